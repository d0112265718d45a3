//! What is told of losses, of order and of time: figures made from distributions.

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use crate::tag::SEQUENCE_MAX;

/// Runs of numbers of one flow that are missing one behind the other, messages: RFC 3357's loss periods (section 6.3), the
/// first and the last number of a flow included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossRuns {
    /// How many.
    pub count: u64,
    /// Half of them are no longer.
    pub p50: u64,
    /// 99 of 100 are no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// By length, from 1 up to the longest.
    pub histogram: Vec<RunLengths>,
}

/// Runs of one length to less than twice that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLengths {
    /// Shortest, a power of two.
    pub from: u64,
    /// Longest.
    pub to: u64,
    /// How many runs.
    pub runs: u64,
    /// How many messages in them.
    pub messages: u64,
}

/// Loss runs while they are found.
pub(super) struct LossRunCount {
    lengths: Distribution,
    histogram: Vec<RunLengths>,
}

impl LossRunCount {
    pub(super) fn new() -> Self {
        Self { lengths: Distribution::new(1, SEQUENCE_MAX), histogram: Vec::new() }
    }

    /// Notes a run of one message or more.
    pub(super) fn note(&mut self, length: u64) {
        self.lengths.record(length);
        let power = length.ilog2() as usize;
        let empty = |power| RunLengths { from: 1u64 << power, to: u64::MAX >> (63 - power), runs: 0, messages: 0 };
        self.histogram.extend((self.histogram.len()..=power).map(empty));
        self.histogram[power].runs += 1;
        self.histogram[power].messages += length;
    }

    pub(super) fn figures(self) -> LossRuns {
        LossRuns {
            count: self.lengths.count(),
            p50: self.lengths.quantile(0.5),
            p99: self.lengths.quantile(0.99),
            max: self.lengths.max(),
            histogram: self.histogram,
        }
    }
}

/// How far behind: the highest number of its flow found before, less the message's own. RFC 4737 section 3.3 says which
/// messages are reordered; its extent (section 4.2) counts arrivals where this counts numbers, and would take remembering all
/// of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReorderDepth {
    /// Half of the reordered messages are no further behind.
    pub p50: u64,
    /// 99 of 100 are no further behind.
    pub p99: u64,
    /// The furthest.
    pub max: u64,
}

impl ReorderDepth {
    pub(super) fn of(depths: &Distribution) -> Self {
        Self { p50: depths.quantile(0.5), p99: depths.quantile(0.99), max: depths.max() }
    }
}

/// How long messages took from when they were due, ms. Percentiles to three digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Messages whose time is known.
    pub samples: u64,
    /// Stored messages whose time is not known.
    pub unsampled: u64,
    /// Of the samples, those with a time before they were due, by two clocks that differ: they count as 0.
    pub negative: u64,
    /// Their mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// 90 of 100 took no longer.
    pub p90: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// 999 of 1,000 took no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// (percent, ms): so many percent took no longer. At most 42 points, denser towards 100.
    pub curve: Vec<(f64, f64)>,
}

/// Latencies while they are found, ns.
pub(super) struct Delays {
    delays: Distribution,
    negative: u64,
}

/// From 1 us to 1 h. What took longer counts as that, but for mean and maximum.
const DELAY_NS: (u64, u64) = (1_000, 3_600_000_000_000);

impl Delays {
    pub(super) fn new() -> Self {
        Self { delays: Distribution::new(DELAY_NS.0, DELAY_NS.1), negative: 0 }
    }

    /// Notes a message that was due at `from_ns` and there at `to_ns`.
    #[inline]
    pub(super) fn note(&mut self, from_ns: u64, to_ns: u64) {
        self.negative += u64::from(to_ns < from_ns);
        self.delays.record(to_ns.saturating_sub(from_ns));
    }

    /// The figures of `stored` messages; `None` when no time of them is known.
    pub(super) fn figures(&self, stored: u64) -> Option<Latency> {
        let ms = |ns: u64| ns as f64 / 1e6;
        let at = |quantile| ms(self.delays.quantile(quantile));
        let samples = self.delays.count();
        (samples > 0).then(|| Latency {
            samples,
            unsampled: stored.saturating_sub(samples),
            negative: self.negative,
            mean: self.delays.mean() / 1e6,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(self.delays.max()),
            curve: self.delays.curve().into_iter().map(|(percent, ns)| (percent, ms(ns))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_by_powers_of_two() {
        let mut runs = LossRunCount::new();
        [1, 1, 3, 8, 15].into_iter().for_each(|length| runs.note(length));
        let rows = |runs: &LossRuns| -> Vec<_> {
            runs.histogram.iter().map(|row| (row.from, row.to, row.runs, row.messages)).collect()
        };
        let runs = runs.figures();
        assert_eq!(rows(&runs), [(1, 1, 2, 2), (2, 3, 1, 3), (4, 7, 0, 0), (8, 15, 2, 23)]);
        assert_eq!((runs.count, runs.p50, runs.p99, runs.max), (5, 3, 15, 15));
        assert_eq!(LossRunCount::new().figures(), LossRuns::default());
        let mut endless = LossRunCount::new();
        endless.note(u64::MAX);
        assert_eq!(endless.figures().histogram[63].to, u64::MAX);
    }

    #[test]
    fn a_time_before_the_message_was_due_counts_as_none_and_is_told() {
        let mut delays = Delays::new();
        assert_eq!(delays.figures(7), None);
        for (from_ns, to_ns) in [(10, 9), (10, 10), (10_000_000, 12_000_000), (0, 7_200_000_000_000)] {
            delays.note(from_ns, to_ns);
        }
        let latency = delays.figures(6).unwrap();
        assert_eq!((latency.samples, latency.unsampled, latency.negative), (4, 2, 1));
        assert!((latency.p90 / 3_600_000.0 - 1.0).abs() < 1e-3, "{latency:?}");
        assert_eq!((latency.max, latency.mean), (7_200_000.0, 7_200_002.0 / 4.0));
        assert_eq!((latency.curve[0].0, latency.curve.last().unwrap().0), (0.0, 100.0));
    }
}
