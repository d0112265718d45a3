//! The times at which messages were once sent, for `loadgen replay`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::DURATION_MAX;

/// How far a speed is from that of old.
const SPEED_MAX: f64 = 1e6;

/// How fast time goes, 1 as it did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(f64);

/// Times of old, at some speed, so many rounds. Two are equal when their speeds are: a report tells the speed alone.
#[derive(Clone, Debug)]
pub struct Recorded {
    speed: Speed,
    /// When each message of a round is due, ns after its start, in order.
    due_ns: Arc<[u64]>,
    /// From the start of one round to that of the next.
    round_ns: u64,
    rounds: u64,
}

impl PartialEq for Recorded {
    fn eq(&self, other: &Self) -> bool {
        self.speed == other.speed
    }
}

impl Recorded {
    /// Messages that were sent at `at_ns`, in order, whatever the clock; played at `speed`, `rounds` times. A round begins as
    /// long after the last message of the one before as messages are apart on average; a second after it if all were sent
    /// at one time.
    ///
    /// # Errors
    /// When that takes longer than a run may last.
    pub fn new(at_ns: impl IntoIterator<Item = u64>, speed: Speed, rounds: u64) -> Result<Self, String> {
        let mut at_ns = at_ns.into_iter().peekable();
        let first_ns = at_ns.peek().copied().unwrap_or(0);
        // Exact at speed 1: a week has fewer ns than a float has whole numbers.
        let due_ns: Arc<[u64]> = at_ns.map(|at_ns| ((at_ns - first_ns) as f64 / speed.0) as u64).collect();
        let last_ns = due_ns.last().copied().unwrap_or(0);
        let gap_ns = match last_ns / (due_ns.len() as u64).saturating_sub(1).max(1) {
            0 => 1_000_000_000,
            gap_ns => gap_ns,
        };
        let round_ns = last_ns.saturating_add(gap_ns);
        let whole_ns = round_ns.saturating_mul(rounds - 1).saturating_add(last_ns);
        // What is due at its very end is not within it.
        if u128::from(whole_ns) >= DURATION_MAX.as_nanos() {
            return Err(format!(
                "a run lasts under {} s, but this takes {:.0} s: raise --speed",
                DURATION_MAX.as_secs(),
                whole_ns as f64 / 1e9
            ));
        }
        Ok(Self { speed, due_ns, round_ns, rounds })
    }

    /// Messages due before `end_ns` after the start.
    pub(super) fn messages_before(&self, end_ns: u64) -> u64 {
        let round = (end_ns / self.round_ns.max(1)).min(self.rounds);
        let messages = self.due_ns.len() as u64;
        if round == self.rounds {
            return messages * self.rounds;
        }
        let within_ns = end_ns - round * self.round_ns;
        messages * round + self.due_ns.partition_point(|due_ns| *due_ns < within_ns) as u64
    }

    /// Messages in the second around a moment.
    pub(super) fn rate_at(&self, at_ns: u64) -> f64 {
        let messages_before = |ns| self.messages_before(ns) as f64;
        messages_before(at_ns + 500_000_000) - messages_before(at_ns.saturating_sub(500_000_000))
    }

    /// When message `number` is due, ns after the start.
    #[inline]
    pub(super) fn due_ns(&self, number: u64) -> u64 {
        let messages = self.due_ns.len() as u64;
        number / messages * self.round_ns + self.due_ns[(number % messages) as usize]
    }
}

impl FromStr for Speed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let speed = text.strip_suffix('x').unwrap_or(text).parse().ok();
        let speed = speed.filter(|speed| (1.0 / SPEED_MAX..=SPEED_MAX).contains(speed));
        speed.map(Self).ok_or("write how fast time goes, 0.000001 to 1000000, such as 1, 2x or 0.5, or max")
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The speed alone, for times that are not at hand: those of a report.
impl FromStr for Recorded {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { speed: text.parse()?, due_ns: Arc::default(), round_ns: 0, rounds: 0 })
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replay:{}", self.speed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::schedule::{Profile, Schedule};

    fn recorded(at_ns: &[u64], speed: &str, rounds: u64) -> Result<Recorded, String> {
        Recorded::new(at_ns.iter().copied(), speed.parse().unwrap(), rounds)
    }

    fn due_ns(recorded: Recorded, duration: Duration) -> Vec<u64> {
        let schedule = Schedule::new(Profile::Replay(recorded), None, duration, None, 0).unwrap();
        schedule.due_times().collect()
    }

    #[test]
    fn gaps_are_those_of_old_to_the_nanosecond_or_scaled() {
        let at_ns = [
            1_795_341_600_000_000_007,
            1_795_341_600_000_000_008,
            1_795_341_600_123_456_789,
            1_795_942_000_987_654_321,
        ];
        for (speed, expected) in [
            ("1", [0, 1, 123_456_782, 600_400_987_654_314]),
            ("2x", [0, 0, 61_728_391, 300_200_493_827_157]),
            ("0.999999999999", [0, 1, 123_456_782, 600_400_987_654_914]),
        ] {
            assert_eq!(due_ns(recorded(&at_ns, speed, 1).unwrap(), DURATION_MAX), expected, "{speed}");
        }
    }

    #[test]
    fn rounds_follow_each_other_as_messages_do() {
        let due = |at_ns: &[u64], rounds| due_ns(recorded(at_ns, "1", rounds).unwrap(), DURATION_MAX);
        assert_eq!(due(&[100, 120, 140], 3), [0, 20, 40, 60, 80, 100, 120, 140, 160]);
        assert_eq!(due(&[7, 7], 2), [0, 0, 1_000_000_000, 1_000_000_000]);
        assert_eq!(due(&[7], 2), [0, 1_000_000_000]);
    }

    #[test]
    fn what_takes_a_week_or_more_is_refused_and_a_duration_cuts() {
        let week_ns = DURATION_MAX.as_nanos() as u64;
        let longest = recorded(&[0, week_ns - 1], "1", 1).unwrap();
        assert_eq!(due_ns(longest, DURATION_MAX), [0, week_ns - 1]);
        for (last_ns, speed, rounds) in
            [(week_ns, "1", 1), (week_ns - 1, "0.5", 1), (week_ns - 1, "1", 2), (u64::MAX, "1e-6", 9)]
        {
            let refused = recorded(&[0, last_ns], speed, rounds).unwrap_err();
            assert!(refused.starts_with("a run lasts under 604800 s, but this takes "), "{refused}");
        }
        let cut = due_ns(recorded(&[0, 20, 40], "1", 3).unwrap(), Duration::from_nanos(80));
        assert_eq!(cut, [0, 20, 40, 60]);
    }

    #[test]
    fn a_speed_comes_back_and_what_is_none_is_told() {
        for text in ["replay:1", "replay:0.5", "replay:1000000"] {
            let profile: Profile = text.parse().unwrap();
            assert_eq!(profile.to_string(), text);
            assert!(Schedule::new(profile, None, DURATION_MAX, None, 0).is_err(), "the times are not at hand");
        }
        for text in ["0", "-1", "x", "", "2xx", "inf", "nan", "1000001"] {
            assert!(text.parse::<Speed>().unwrap_err().contains("0.000001 to 1000000"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn as_many_are_due_before_a_moment_as_times_are(
            mut at_ns in prop::collection::vec(0u64..1_000_000, 1..20), rounds in 1u64..5, end_ns in 1u64..10_000_000,
        ) {
            at_ns.sort_unstable();
            let recorded = recorded(&at_ns, "1", rounds).unwrap();
            let due = due_ns(recorded.clone(), DURATION_MAX);
            prop_assert_eq!(due.len() as u64, at_ns.len() as u64 * rounds);
            prop_assert!(due.is_sorted());
            for (number, due_ns) in due.iter().enumerate().take(at_ns.len()) {
                prop_assert_eq!(*due_ns, at_ns[number] - at_ns[0]);
            }
            let before = due.iter().filter(|due_ns| **due_ns < end_ns).count();
            prop_assert_eq!(recorded.messages_before(end_ns), before as u64);
        }
    }
}
