//! The rates of the last seconds, for the sparklines.

use std::collections::VecDeque;

use super::Frame;

/// Seconds that are kept.
pub(super) const SECONDS: usize = 40;

/// Messages a second, during one second; `None` where nobody knew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) offered: Option<f64>,
    pub(super) sent: Option<f64>,
    pub(super) received: Option<f64>,
    pub(super) lost: Option<f64>,
}

/// The last [`SECONDS`] samples, the newest last.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    observed_seconds: f64,
    lost: u64,
}

impl History {
    /// Notes `frame` if a whole second has passed; one that comes late stands for all that passed.
    pub(super) fn observe(&mut self, frame: &Frame) {
        let passed = frame.elapsed_seconds.floor() - self.observed_seconds.floor();
        if passed < 1.0 {
            return;
        }
        let since_seconds = frame.elapsed_seconds - self.observed_seconds;
        let sample = Sample {
            offered: frame.offered_rate,
            sent: Some(frame.sent_rate),
            received: frame.received_rate,
            // What was given up for lost may come yet.
            lost: frame.lost.map(|lost| lost.saturating_sub(self.lost) as f64 / since_seconds),
        };
        for _ in 0..(passed as usize).min(SECONDS) {
            if self.samples.len() == SECONDS {
                self.samples.pop_front();
            }
            self.samples.push_back(sample);
        }
        self.observed_seconds = frame.elapsed_seconds;
        self.lost = frame.lost.unwrap_or(self.lost);
    }

    /// The samples of at most the last `seconds`, the oldest first.
    pub(super) fn last(&self, seconds: usize) -> impl Iterator<Item = &Sample> + Clone {
        self.samples.iter().skip(self.samples.len().saturating_sub(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::lossy;
    use super::*;

    fn at(elapsed_seconds: f64, lost: u64) -> Frame {
        Frame { elapsed_seconds, lost: Some(lost), ..lossy() }
    }

    fn lost(history: &History) -> Vec<f64> {
        history.last(SECONDS).map(|sample| sample.lost.unwrap()).collect()
    }

    #[test]
    fn a_second_is_one_sample_and_a_late_one_stands_for_all_that_passed() {
        let mut history = History::default();
        for (elapsed_seconds, lost) in [(0.0, 0), (0.5, 5), (1.0, 10), (1.9, 10), (2.0, 10), (4.0, 50), (5.0, 40)] {
            history.observe(&at(elapsed_seconds, lost));
        }
        assert_eq!(lost(&history), [10.0, 0.0, 20.0, 20.0, 0.0]);
        assert_eq!(history.last(2).count(), 2);
    }

    #[test]
    fn no_run_is_too_long() {
        let mut history = History::default();
        for second in 1..200 {
            history.observe(&at(f64::from(second), 0));
        }
        history.observe(&at(1e18, 7));
        assert_eq!((history.samples.len(), history.samples.capacity() <= 2 * SECONDS), (SECONDS, true));
    }
}
