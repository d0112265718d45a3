//! When each message is due: an absolute schedule, so that what is late stays late by itself and nothing drifts.
//!
//! Message `n` is due at `n / rate` after the start. Messages are sent in small groups, at most one a [`QUANTUM_NS`]; what
//! fell behind is caught up at twice the rate, never in one burst (a burst of the generator's own making would look like
//! loss of the collector). Pure: time is an argument.

/// Least time between two groups, ns.
pub const QUANTUM_NS: u64 = 50_000;

/// Messages in one group at full speed.
pub const GROUP_MAX: u64 = 64;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send so many.
    Send(u64),
    /// Nothing until then, ns after the start.
    Wait(u64),
    /// All was sent.
    Done,
}

/// The schedule of one run, and how far it is.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// Messages a second; `None` as fast as possible.
    rate: Option<f64>,
    count: u64,
    sent: u64,
    /// No group before then, ns after the start.
    not_before_ns: u64,
}

impl Pacer {
    /// A schedule of `count` messages at `rate` a second.
    #[must_use]
    pub fn new(rate: Option<f64>, count: u64) -> Self {
        Self { rate, count, sent: 0, not_before_ns: 0 }
    }

    /// Messages sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// When message `number` is due, ns after the start; at full speed always now.
    #[must_use]
    pub fn due_ns(&self, number: u64, now_ns: u64) -> u64 {
        self.rate.map_or(now_ns, |rate| (number as f64 / rate * 1e9) as u64)
    }

    /// What to do at `now_ns` after the start.
    #[must_use]
    pub fn step(&self, now_ns: u64) -> Step {
        let left = self.count - self.sent;
        let Some(rate) = self.rate else {
            return if left == 0 { Step::Done } else { Step::Send(left.min(GROUP_MAX)) };
        };
        if left == 0 {
            return Step::Done;
        }
        let earliest_ns = self.due_ns(self.sent, now_ns).max(self.not_before_ns);
        if now_ns < earliest_ns {
            return Step::Wait(earliest_ns);
        }
        let due = ((now_ns as f64 * rate / 1e9) as u64 + 1).min(self.count);
        let twice_the_rate = ((2.0 * rate * QUANTUM_NS as f64 / 1e9).ceil() as u64).clamp(1, GROUP_MAX * 16);
        // The message that is due now is always sent, whatever the rounding of floating point says.
        Step::Send(due.saturating_sub(self.sent).clamp(1, twice_the_rate))
    }

    /// Notes that `messages` were sent in a group begun at `now_ns`.
    pub fn note_sent(&mut self, messages: u64, now_ns: u64) {
        self.sent += messages;
        self.not_before_ns = now_ns + QUANTUM_NS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_punctual_sender_sends_each_message_when_it_is_due() {
        let mut pacer = Pacer::new(Some(1000.0), 5);
        let mut now_ns = 0;
        let mut sent_at = Vec::new();
        loop {
            match pacer.step(now_ns) {
                Step::Send(messages) => {
                    pacer.note_sent(messages, now_ns);
                    sent_at.push((now_ns, messages));
                }
                Step::Wait(until_ns) => now_ns = until_ns,
                Step::Done => break,
            }
        }
        assert_eq!(sent_at, [(0, 1), (1_000_000, 1), (2_000_000, 1), (3_000_000, 1), (4_000_000, 1)]);
    }

    #[test]
    fn full_speed_never_waits() {
        let mut pacer = Pacer::new(None, 100);
        assert_eq!(pacer.step(0), Step::Send(64));
        pacer.note_sent(64, 0);
        assert_eq!(pacer.step(0), Step::Send(36));
        pacer.note_sent(36, 0);
        assert_eq!(pacer.step(0), Step::Done);
    }

    proptest! {
        #[test]
        fn whatever_the_delays_the_total_is_the_plan_and_no_group_is_early_or_a_burst(
            rate in 1.0f64..2_000_000.0, count in 0u64..3_000,
            delays_ns in proptest::collection::vec(prop_oneof![0u64..2_000, 0u64..20_000_000], 1..50),
        ) {
            let mut pacer = Pacer::new(Some(rate), count);
            let (mut now_ns, mut last_group_ns, mut delays_ns) = (0u64, None::<u64>, delays_ns.into_iter().cycle());
            loop {
                match pacer.step(now_ns) {
                    Step::Send(messages) => {
                        let last = pacer.sent() + messages - 1;
                        prop_assert!(messages == 1 || pacer.due_ns(last, now_ns) <= now_ns, "early");
                        prop_assert!(messages as f64 <= (2.0 * rate * 50e-6).ceil().max(1.0), "burst of {messages}");
                        prop_assert!(last_group_ns.is_none_or(|last| now_ns >= last + QUANTUM_NS), "too soon");
                        last_group_ns = Some(now_ns);
                        pacer.note_sent(messages, now_ns);
                        now_ns += delays_ns.next().unwrap_or_default();
                    }
                    Step::Wait(until_ns) => {
                        prop_assert!(until_ns > now_ns);
                        now_ns = until_ns + delays_ns.next().unwrap_or_default();
                    }
                    Step::Done => break,
                }
            }
            prop_assert_eq!(pacer.sent(), count);
        }

        #[test]
        fn a_punctual_sender_ends_on_time(rate in 100.0f64..1_000_000.0, count in 1u64..5_000) {
            let mut pacer = Pacer::new(Some(rate), count);
            let mut now_ns = 0;
            loop {
                match pacer.step(now_ns) {
                    Step::Send(messages) => pacer.note_sent(messages, now_ns),
                    Step::Wait(until_ns) => now_ns = until_ns,
                    Step::Done => break,
                }
            }
            let planned_ns = (count - 1) as f64 / rate * 1e9;
            prop_assert!(now_ns as f64 <= planned_ns + QUANTUM_NS as f64 + 1.0, "{now_ns} {planned_ns}");
        }
    }
}
