//! In which groups messages leave, so that they are punctual and no group is a burst of the generator's own making, which
//! would look like loss of the collector. Pure: time is an argument.
//!
//! A group is what has become due, at most one a [`QUANTUM_NS`]. What fell behind is caught up at twice the speed of the
//! schedule, whatever the profile, as one quantum takes what is due in two; or by a message a quantum, where that is more.
//! Quanta of several threads lie between each other.

use crate::schedule::DueTimes;

/// A group begins in each of these, at the most, ns.
pub const QUANTUM_NS: u64 = 50_000;

/// Messages given to the kernel together; what else is due follows at once.
pub const BATCH_MAX: usize = 64;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this batch of the group.
    Send,
    /// Nothing until then, ns after the start.
    Wait(u64),
    /// All was sent.
    Done,
}

/// The share of one sending thread in a schedule, and how far it is.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// Instead of all that is below.
    full_speed: Option<FullSpeed>,
    due_times: DueTimes,
    /// Messages of other threads between two of this one's.
    others: usize,
    /// The next of ours.
    next: Option<u64>,
    /// Where our quanta lie: between those of the other threads.
    phase_ns: u64,
    /// No group before then, ns after the start.
    not_before_ns: u64,
    /// The current group takes what is due until then.
    window_end_ns: Option<u64>,
}

/// As fast as possible: nothing is due, and all at any time.
#[derive(Clone, Copy, Debug)]
struct FullSpeed {
    /// When it ends, ns after the start.
    until_ns: u64,
    /// Messages left.
    left: usize,
}

impl Pacer {
    /// The share of thread `thread` of `threads`: every so many-th message, and groups between those of the others.
    #[must_use]
    pub fn new(mut due_times: DueTimes, full_speed_until_ns: Option<u64>, thread: usize, threads: usize) -> Self {
        let left = due_times.clone().skip(thread).step_by(threads).len();
        let full_speed = full_speed_until_ns.map(|until_ns| FullSpeed { until_ns, left });
        let next = due_times.nth(thread);
        let phase_ns = QUANTUM_NS * thread as u64 / threads as u64;
        let (others, not_before_ns) = (threads - 1, phase_ns);
        Self { full_speed, due_times, others, next, phase_ns, not_before_ns, window_end_ns: None }
    }

    /// Whether messages are due at no time, and sent as fast as possible.
    #[must_use]
    pub fn is_full_speed(&self) -> bool {
        self.full_speed.is_some()
    }

    /// Whether more of the group follows at once.
    #[must_use]
    pub fn is_within_group(&self) -> bool {
        self.window_end_ns.is_some()
    }

    /// What to do at `now_ns` after the start. With [`Step::Send`], `batch` holds when each message to send was due.
    pub fn step(&mut self, now_ns: u64, batch: &mut Vec<u64>) -> Step {
        batch.clear();
        if let Some(FullSpeed { until_ns, left }) = &mut self.full_speed {
            if *left == 0 || now_ns >= *until_ns {
                return Step::Done;
            }
            batch.resize(BATCH_MAX.min(*left), now_ns);
            *left -= batch.len();
            return Step::Send;
        }
        let Some(next_ns) = self.next else { return Step::Done };
        let window_end_ns = match self.window_end_ns {
            Some(window_end_ns) => window_end_ns,
            None => {
                let earliest_ns = next_ns.max(self.not_before_ns);
                if now_ns < earliest_ns {
                    return Step::Wait(earliest_ns);
                }
                self.not_before_ns = self.quantum_after(now_ns);
                next_ns + 2 * QUANTUM_NS
            }
        };
        let due_now = |next: Option<u64>| next.filter(|due_ns| *due_ns <= now_ns && *due_ns < window_end_ns);
        while let Some(due_ns) = due_now(self.next).filter(|_| batch.len() < BATCH_MAX) {
            batch.push(due_ns);
            self.advance();
        }
        self.window_end_ns = due_now(self.next).map(|_| window_end_ns);
        Step::Send
    }

    /// Where the next quantum begins: a late group does not move those behind it, and has half a quantum to itself.
    fn quantum_after(&self, now_ns: u64) -> u64 {
        let earliest_ns = (now_ns + QUANTUM_NS / 2).saturating_sub(self.phase_ns);
        self.phase_ns + earliest_ns.div_ceil(QUANTUM_NS) * QUANTUM_NS
    }

    fn advance(&mut self) {
        self.next = self.due_times.nth(self.others);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::{DURATION_MAX, Profile, Recorded, Schedule};
    use proptest::prelude::*;

    fn schedule(profile: Profile, rate: Option<f64>, count: u64) -> Schedule {
        Schedule::new(profile, rate, Duration::from_secs(60), Some(count), 1).unwrap()
    }

    fn pacer(schedule: &Schedule, thread: usize, threads: usize) -> Pacer {
        let until_ns = schedule.is_full_speed().then(|| schedule.ends_ns());
        Pacer::new(schedule.due_times(), until_ns, thread, threads)
    }

    /// Sends all; each batch begins when it may, plus a delay. Returns the groups and when they began.
    fn run(mut pacer: Pacer, mut delay_ns: impl FnMut() -> u64) -> Vec<(u64, Vec<u64>)> {
        let (mut now_ns, mut batch, mut groups) = (0, Vec::new(), Vec::<(u64, Vec<u64>)>::new());
        loop {
            let follows = pacer.is_within_group();
            match pacer.step(now_ns, &mut batch) {
                Step::Send => {
                    assert!((1..=BATCH_MAX).contains(&batch.len()) && batch.iter().all(|due_ns| *due_ns <= now_ns));
                    match groups.last_mut().filter(|_| follows) {
                        Some((_, group)) => group.append(&mut batch),
                        None => groups.push((now_ns, batch.clone())),
                    }
                }
                Step::Wait(until_ns) => {
                    assert!(until_ns > now_ns);
                    now_ns = until_ns;
                }
                Step::Done => return groups,
            }
            now_ns += delay_ns();
        }
    }

    #[test]
    fn a_punctual_sender_keeps_recorded_gaps_but_for_what_follows_within_a_quantum() {
        // Gaps of a quantum, of less, of none, and long ones.
        let at_ns = [7, 50_007, 50_008, 50_008, 1_000_000, 1_050_001, 3_600_000_000_000];
        let recorded = Recorded::new(at_ns, "1".parse().unwrap(), 1).unwrap();
        let schedule = Schedule::new(Profile::Replay(recorded), None, DURATION_MAX, None, 0).unwrap();
        let groups = run(pacer(&schedule, 0, 1), || 0);
        let due_ns = at_ns.map(|at_ns| at_ns - 7);
        let sent =
            groups.iter().flat_map(|(sent_ns, group)| group.iter().map(move |due_ns| (*due_ns, sent_ns - due_ns)));
        let sent: Vec<_> = sent.collect();
        assert_eq!(sent.iter().map(|(due_ns, _)| *due_ns).collect::<Vec<_>>(), due_ns);
        // What follows within a quantum waits for the next.
        assert_eq!(sent.iter().map(|(_, late_ns)| *late_ns).collect::<Vec<_>>(), [0, 0, 49_999, 49_999, 0, 6, 0]);
    }

    #[test]
    fn a_punctual_sender_sends_each_message_when_it_is_due() {
        let groups = run(pacer(&schedule(Profile::Const, Some(1000.0), 5), 0, 1), || 0);
        let expected: Vec<_> = (0..5).map(|number| (number * 1_000_000, vec![number * 1_000_000])).collect();
        assert_eq!(groups, expected);
    }

    #[test]
    fn full_speed_never_waits_and_ends_with_the_count_or_the_time() {
        let groups = run(pacer(&schedule(Profile::Const, None, 100), 0, 1), || 7);
        assert_eq!(groups, [(0, vec![0; 64]), (7, vec![7; 36])]);
        let shares = [0, 1, 2].map(|thread| run(pacer(&schedule(Profile::Const, None, 100), thread, 3), || 0));
        assert_eq!(shares.map(|groups| groups[0].1.len()), [34, 33, 33]);
        let minute = Schedule::new(Profile::Const, None, Duration::from_secs(60), None, 1).unwrap();
        let groups = run(pacer(&minute, 0, 1), || 20_000_000_000);
        assert_eq!(groups.len(), 3, "at 0, 20 and 40 s of 60");
    }

    #[test]
    fn a_burst_leaves_at_once() {
        let profile = Profile::Burst { messages: 1000, every: Duration::from_millis(1) };
        let groups = run(pacer(&schedule(profile, None, 2000), 0, 1), || 0);
        assert_eq!(groups, [(0, vec![0; 1000]), (1_000_000, vec![1_000_000; 1000])]);
    }

    #[test]
    fn threads_share_the_messages() {
        let schedule = schedule(Profile::Const, Some(1e6), 10_000);
        let shares: Vec<_> = (0..4).map(|thread| run(pacer(&schedule, thread, 4), || 0)).collect();
        let mut due: Vec<_> = shares.iter().flatten().flat_map(|(_, group)| group.clone()).collect();
        due.sort_unstable();
        assert!(due.into_iter().eq(schedule.due_times()));
    }

    #[test]
    fn threads_send_between_each_other_also_after_they_were_late() {
        let schedule = schedule(Profile::Const, Some(1e6), 10_000);
        for thread in 0..4 {
            let mut delays_ns = [0, 0, 7_000, 1_234_567, 40_000].into_iter();
            let groups = run(pacer(&schedule, thread, 4), || delays_ns.next().unwrap_or(0));
            let phases_ns: Vec<_> = groups.iter().rev().take(50).map(|(sent_ns, _)| sent_ns % QUANTUM_NS).collect();
            assert_eq!(phases_ns, [thread as u64 * QUANTUM_NS / 4; 50], "thread {thread}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_delays_the_total_is_the_plan_and_nothing_is_early_or_a_burst(
            profile in prop_oneof![Just(Profile::Const), Just(Profile::Poisson), Just(Profile::Ramp { from: 9.0, to: 1e6 })],
            rate in 1.0f64..2_000_000.0, count in 1u64..3_000, thread in 0usize..3,
            delays_ns in proptest::collection::vec(prop_oneof![0u64..2_000, 0u64..20_000_000], 1..50),
        ) {
            let schedule = schedule(profile, Some(rate), count);
            let mut delays_ns = delays_ns.into_iter().cycle();
            let groups = run(pacer(&schedule, thread, 3), || delays_ns.next().unwrap());
            let sent: Vec<_> = groups.iter().flat_map(|(_, group)| group.clone()).collect();
            prop_assert_eq!(&sent, &schedule.due_times().skip(thread).step_by(3).collect::<Vec<_>>());
            let spans_ns = groups.iter().map(|(_, group)| group[group.len() - 1] - group[0]);
            prop_assert!(spans_ns.max() < Some(2 * QUANTUM_NS));
            prop_assert!(groups.windows(3).all(|three| three[2].0 - three[0].0 >= QUANTUM_NS));
        }

        #[test]
        fn a_punctual_sender_ends_on_time(rate in 100.0f64..1_000_000.0, count in 1u64..5_000) {
            let schedule = schedule(Profile::Const, Some(rate), count);
            let groups = run(pacer(&schedule, 0, 1), || 0);
            let ended_ns = groups[groups.len() - 1].0;
            prop_assert!(ended_ns as f64 / 1e9 <= schedule.planned_seconds().unwrap() + 60e-6, "{ended_ns}");
        }
    }
}
