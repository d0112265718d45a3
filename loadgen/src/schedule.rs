//! When each message is due, ns after the start: an absolute schedule, so that what is late stays late by itself and
//! nothing drifts. Pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::tag::SEQUENCE_MAX;
use crate::values::{Rate, parse_count, parse_duration, parse_rate};

mod recorded;
mod trace;

pub use recorded::{Recorded, Speed};
pub use trace::Trace;

/// Most parts of a step profile.
pub const STEPS_MAX: usize = 1000;

/// Longest plan.
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// More messages a second than a machine sends at full speed, where a core sends some 15 million with UDP_SEGMENT: a number
/// beyond is nobody's, and takes no memory of who looks for it.
const FULL_SPEED_MAX: f64 = 200e6;

/// How the rate goes over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Profile {
    /// The same all the time.
    #[default]
    Const,
    /// From one rate to another, evenly.
    Ramp {
        /// At the start, messages a second.
        from: f64,
        /// At the end, messages a second.
        to: f64,
    },
    /// One rate after the other, each for an equal part of the time.
    Step(Vec<f64>),
    /// So many messages at once, and then nothing, again and again.
    Burst {
        /// Messages due at the same moment.
        messages: u64,
        /// From one burst to the next.
        every: Duration,
    },
    /// At random, one not knowing of the other, as from many independent senders: exponential gaps.
    Poisson,
    /// As a file says.
    Trace(Trace),
    /// When messages were once sent.
    Replay(Recorded),
}

/// The schedule of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    profile: Profile,
    rate: Option<f64>,
    /// The time that the profile is laid out for, seconds.
    seconds: f64,
    count: u64,
    seed: u64,
}

impl Schedule {
    /// A schedule of `profile` for `duration` or `count` messages, the fewer of both. `rate` is for the profiles that have none of
    /// their own; `None` is as fast as possible, and then the end is `count` or [`Schedule::ends_ns`].
    ///
    /// # Errors
    /// What does not go together, in words.
    pub fn new(
        profile: Profile,
        rate: Option<f64>,
        duration: Duration,
        count: Option<u64>,
        seed: u64,
    ) -> Result<Self, String> {
        if duration > DURATION_MAX {
            return Err(format!("a run lasts at most {DURATION_MAX:?}, not {duration:?}"));
        }
        let mut schedule = Self { profile, rate, seconds: duration.as_secs_f64(), count: 0, seed };
        // The time is then a limit that says nothing about the load.
        if let (Profile::Const | Profile::Poisson, Some(count), Some(rate)) = (&schedule.profile, count, rate) {
            schedule.seconds = schedule.seconds.min(count as f64 / rate);
        }
        let by_time = schedule.messages_in_time();
        schedule.count = by_time.min(count.unwrap_or(u64::MAX));
        match schedule.count {
            0 => Err(format!("no message is due within {duration:?}: raise the rate or the duration")),
            1..=SEQUENCE_MAX => Ok(schedule),
            // The time is to end it.
            _ if schedule.is_full_speed() && count.is_none() => Ok(Self { count: SEQUENCE_MAX, ..schedule }),
            count => Err(format!("{count} messages, but a run has at most {SEQUENCE_MAX}")),
        }
    }

    /// How the rate goes.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Messages a second; `None` as fast as possible, or as the profile says.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The part of it that is over within `time`.
    #[must_use]
    pub fn first(&self, time: Duration) -> Self {
        if self.is_full_speed() {
            return Self { seconds: self.seconds.min(time.as_secs_f64()), ..self.clone() };
        }
        let end_ns = time.as_nanos() as u64;
        let count = self.due_times().take_while(|due_ns| *due_ns < end_ns).count() as u64;
        Self { count, ..self.clone() }
    }

    fn messages_in_time(&self) -> u64 {
        let Self { rate, seconds, .. } = *self;
        match (&self.profile, rate) {
            (Profile::Const | Profile::Poisson, None) => u64::MAX,
            (Profile::Const | Profile::Poisson, Some(rate)) => (rate * seconds).round() as u64,
            (Profile::Ramp { from, to }, _) => ((from + to) / 2.0 * seconds).floor() as u64,
            (Profile::Step(rates), _) => rates.iter().map(|rate| messages_of_step(*rate, seconds, rates.len())).sum(),
            (Profile::Burst { messages, every }, _) => {
                let bursts = u128::from(self.ends_ns()).div_ceil(every.as_nanos()).max(1) as u64;
                bursts.saturating_mul(*messages)
            }
            (Profile::Trace(trace), _) => trace.messages_before(self.ends_ns()),
            (Profile::Replay(recorded), _) => recorded.messages_before(self.ends_ns()),
        }
    }

    /// Messages planned; at full speed the most there may be.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Most messages there can be.
    #[must_use]
    pub fn messages_max(&self) -> u64 {
        if self.is_full_speed() {
            self.count.min((self.seconds * FULL_SPEED_MAX) as u64 + 1_000_000)
        } else {
            self.count
        }
    }

    /// Whether there is none: messages are sent as fast as possible.
    #[must_use]
    pub fn is_full_speed(&self) -> bool {
        self.rate.is_none() && matches!(self.profile, Profile::Const | Profile::Poisson)
    }

    /// When it ends at the latest, ns after the start.
    #[must_use]
    pub fn ends_ns(&self) -> u64 {
        (self.seconds * 1e9).round() as u64
    }

    /// Messages a second that are due so many seconds after the start, on average with bursts; `None` at full speed.
    #[must_use]
    pub fn rate_at(&self, seconds: f64) -> Option<f64> {
        let share = (seconds / self.seconds).clamp(0.0, 1.0);
        match &self.profile {
            Profile::Const | Profile::Poisson => self.rate,
            Profile::Ramp { from, to } => Some(from + (to - from) * share),
            Profile::Step(rates) => rates.get(((share * rates.len() as f64) as usize).min(rates.len() - 1)).copied(),
            Profile::Burst { messages, every } => Some(*messages as f64 / every.as_secs_f64()),
            Profile::Trace(trace) => Some(trace.rate_at((seconds * 1e9) as u64)),
            Profile::Replay(recorded) => Some(recorded.rate_at((seconds * 1e9) as u64)),
        }
    }

    /// When each message is due, ns after the start, in order.
    #[must_use]
    pub fn due_times(&self) -> DueTimes {
        let law = match (&self.profile, self.rate) {
            (Profile::Const | Profile::Poisson, None) => Law::Even { rate: f64::INFINITY },
            (Profile::Const, Some(rate)) => Law::Even { rate },
            (Profile::Poisson, Some(rate)) => Law::Poisson { rate, rng: Rng::with_seed(self.seed), at_ns: 0.0 },
            (Profile::Ramp { from, to }, _) => Law::Ramp { from: *from, growth: (to - from) / self.seconds },
            (Profile::Step(rates), _) => Law::Step { seconds: self.seconds, rates: rates.clone(), step: 0, before: 0 },
            (Profile::Burst { messages, every }, _) => {
                Law::Burst { messages: *messages, every_ns: every.as_nanos() as u64 }
            }
            (Profile::Trace(trace), _) => Law::Trace { trace: trace.clone(), part: 0 },
            (Profile::Replay(recorded), _) => Law::Replay(recorded.clone()),
        };
        DueTimes { law, next: 0, count: self.count }
    }

    /// When the last message is due, seconds after the start: with random gaps, on average; `None` at full speed.
    #[must_use]
    pub fn planned_seconds(&self) -> Option<f64> {
        match (&self.profile, self.rate) {
            (Profile::Poisson, Some(rate)) => Some(self.count as f64 / rate),
            _ => self.due_seconds(self.count.saturating_sub(1)),
        }
    }

    /// When message `number` is due, seconds after the start: with random gaps, on average; `None` at full speed.
    #[must_use]
    pub fn due_seconds(&self, number: u64) -> Option<f64> {
        match (&self.profile, self.rate) {
            (Profile::Const | Profile::Poisson, None) => None,
            (Profile::Poisson, Some(rate)) => Some(number as f64 / rate),
            _ => Some(self.due_times().law.due_ns(number) as f64 / 1e9),
        }
    }
}

/// Messages of one of `steps` equal parts of `seconds`.
fn messages_of_step(rate: f64, seconds: f64, steps: usize) -> u64 {
    (rate * seconds / steps as f64).round() as u64
}

/// Iterator over due times.
#[derive(Clone, Debug)]
pub struct DueTimes {
    law: Law,
    next: u64,
    count: u64,
}

#[derive(Clone, Debug)]
enum Law {
    Even { rate: f64 },
    Ramp { from: f64, growth: f64 },
    Step { seconds: f64, rates: Vec<f64>, step: usize, before: u64 },
    Burst { messages: u64, every_ns: u64 },
    Poisson { rate: f64, rng: Rng, at_ns: f64 },
    Trace { trace: Trace, part: usize },
    Replay(Recorded),
}

impl Law {
    #[inline]
    fn due_ns(&mut self, number: u64) -> u64 {
        let n = number as f64;
        match self {
            Self::Even { rate } => (n / *rate * 1e9) as u64,
            // n = from t + growth t^2 / 2, solved for t in the form that does not divide by a growth of 0.
            Self::Ramp { from, growth } => {
                let root = (*from * *from + 2.0 * *growth * n).max(0.0).sqrt();
                if n == 0.0 { 0 } else { (2.0 * n / (*from + root) * 1e9) as u64 }
            }
            Self::Step { seconds, rates, step, before } => {
                let mut within = number - *before;
                while *step + 1 < rates.len() && within >= messages_of_step(rates[*step], *seconds, rates.len()) {
                    *before += messages_of_step(rates[*step], *seconds, rates.len());
                    *step += 1;
                    within = number - *before;
                }
                let started = *seconds / rates.len() as f64 * *step as f64;
                ((started + within as f64 / rates[*step]) * 1e9) as u64
            }
            Self::Burst { messages, every_ns } => number / *messages * *every_ns,
            Self::Poisson { rate, rng, at_ns } => {
                // Inversion: -ln(1 - u) is exponential for u even in [0, 1).
                *at_ns -= (1.0 - rng.f64()).ln() / *rate * 1e9;
                *at_ns as u64
            }
            Self::Trace { trace, part } => trace.due_ns(number, part),
            Self::Replay(recorded) => recorded.due_ns(number),
        }
    }
}

impl Iterator for DueTimes {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        if self.next == self.count {
            return None;
        }
        let due_ns = self.law.due_ns(self.next);
        self.next += 1;
        Some(due_ns)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.count - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for DueTimes {}

const PROFILES: &str = "const, ramp:10k-500k, step:10k,50k,100k, burst:5000/1s, poisson or trace:FILE";

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: &str| format!("`{text}` is no profile: {why}; write {PROFILES}");
        let rate = |text: &str| match parse_rate(text) {
            Ok(Rate::PerSecond(rate)) => Ok(rate),
            _ => Err(refused("a rate is wrong")),
        };
        match text.split_once(':') {
            None if text == "const" => Ok(Self::Const),
            None if text == "poisson" => Ok(Self::Poisson),
            Some(("ramp", rates)) => {
                let (from, to) = rates.split_once('-').ok_or_else(|| refused("a ramp has two rates"))?;
                Ok(Self::Ramp { from: rate(from)?, to: rate(to)? })
            }
            Some(("step", rates)) => {
                let rates: Vec<_> = rates.split(',').map(rate).collect::<Result<_, _>>()?;
                if rates.len() <= STEPS_MAX { Ok(Self::Step(rates)) } else { Err(refused("there are too many steps")) }
            }
            Some(("burst", burst)) => {
                let (messages, every) =
                    burst.split_once('/').ok_or_else(|| refused("a burst has a size and a time"))?;
                let messages = parse_count(messages).map_err(|_| refused("the size of a burst is wrong"))?;
                let every = parse_duration(every).map_err(|_| refused("the time between bursts is wrong"))?;
                Ok(Self::Burst { messages, every })
            }
            Some(("trace", trace)) => trace.parse().map(Self::Trace).map_err(refused),
            Some(("replay", speed)) => speed.parse().map(Self::Replay).map_err(refused),
            _ => Err(refused("there is no such one")),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Const => f.write_str("const"),
            Self::Ramp { from, to } => write!(f, "ramp:{from}-{to}"),
            Self::Step(rates) => {
                let rates: Vec<_> = rates.iter().map(ToString::to_string).collect();
                write!(f, "step:{}", rates.join(","))
            }
            Self::Burst { messages, every } => write!(f, "burst:{messages}/{every:?}"),
            Self::Poisson => f.write_str("poisson"),
            Self::Trace(trace) => trace.fmt(f),
            Self::Replay(recorded) => recorded.fmt(f),
        }
    }
}

impl From<Profile> for String {
    fn from(profile: Profile) -> Self {
        profile.to_string()
    }
}

impl TryFrom<String> for Profile {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(profile: &str, rate: Option<f64>, duration: Duration) -> Schedule {
        Schedule::new(profile.parse().unwrap(), rate, duration, None, 7).unwrap()
    }

    fn due_between(schedule: &Schedule, from_ns: u64, to_ns: u64) -> usize {
        schedule.due_times().filter(|due| (from_ns..to_ns).contains(due)).count()
    }

    #[test]
    fn each_profile_puts_the_messages_where_it_says() {
        let even = schedule("const", Some(1000.0), SECOND);
        assert_eq!(even.due_times().take(3).collect::<Vec<_>>(), [0, 1_000_000, 2_000_000]);
        let ramp = schedule("ramp:0.001-2k", None, 10 * SECOND);
        assert!(ramp.count().abs_diff(10_000) <= 1, "{}", ramp.count());
        assert!(due_between(&ramp, 0, 5_000_000_000).abs_diff(2500) <= 2, "half the time holds a quarter");
        let falling = schedule("ramp:2k-0.001", None, 10 * SECOND);
        assert!(due_between(&falling, 0, 5_000_000_000).abs_diff(7500) <= 2);
        let step = schedule("step:1k,3k,2k", None, 3 * SECOND);
        let seconds = [0, 1, 2].map(|at| due_between(&step, at * 1_000_000_000, (at + 1) * 1_000_000_000));
        assert_eq!(seconds, [1000, 3000, 2000]);
        let burst = schedule("burst:50/100ms", None, SECOND);
        assert_eq!((burst.count(), due_between(&burst, 100_000_000, 100_000_001)), (500, 50));
        // 2.1 / 0.7 is over 3 in floating point.
        assert_eq!(schedule("burst:50/700ms", None, Duration::from_millis(2100)).count(), 150);
        let rates = [&even, &ramp, &falling, &step, &burst].map(|schedule| schedule.rate_at(2.5).unwrap().round());
        assert_eq!(rates, [1000.0, 500.0, 1500.0, 2000.0, 500.0]);
    }

    #[test]
    fn the_first_part_of_a_schedule_is_a_schedule() {
        let ramp = schedule("ramp:0.001-2k", None, 10 * SECOND);
        let first = ramp.first(5 * SECOND);
        assert_eq!(first.count() as usize, due_between(&ramp, 0, 5_000_000_000));
        assert!(ramp.due_times().zip(first.due_times()).all(|(whole, part)| whole == part));
        let full_speed = Schedule::new(Profile::Const, None, 10 * SECOND, None, 1).unwrap().first(SECOND);
        assert_eq!(full_speed.ends_ns(), 1_000_000_000);
    }

    #[test]
    fn random_gaps_are_exponential() {
        let poisson = schedule("poisson", Some(10_000.0), 10 * SECOND);
        let due: Vec<_> = poisson.due_times().collect();
        let gaps: Vec<_> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let over_mean = gaps.iter().filter(|gap| **gap > mean).count() as f64 / gaps.len() as f64;
        assert!((mean / 1e5 - 1.0).abs() < 0.02, "{mean}");
        assert!((over_mean - (-1f64).exp()).abs() < 0.01, "{over_mean}");
        assert_eq!(due, poisson.due_times().collect::<Vec<_>>(), "the same seed, the same schedule");
    }

    #[test]
    fn the_plan_is_the_lesser_of_count_and_duration() {
        let count = |rate, duration, count| {
            Schedule::new(Profile::Const, rate, duration, count, 1).map(|schedule| schedule.count())
        };
        assert_eq!(count(Some(100.0), SECOND, None), Ok(100));
        assert_eq!(count(Some(100.0), SECOND, Some(7)), Ok(7));
        assert_eq!(count(Some(100.0), SECOND, Some(700)), Ok(100));
        assert_eq!(count(None, SECOND, Some(7)), Ok(7));
        assert_eq!(count(None, SECOND, None), Ok(SEQUENCE_MAX), "until the time is over");
        assert!(count(Some(0.1), SECOND, None).unwrap_err().contains("no message is due"));
        assert!(count(Some(1e9), 100 * SECOND, None).unwrap_err().contains("at most"));
        assert!(count(None, SECOND, Some(SEQUENCE_MAX + 1)).unwrap_err().contains("at most"));
        for profile in ["ramp:1M-1M", "step:1M", "burst:1M/1s"] {
            let long = Schedule::new(profile.parse().unwrap(), None, 20_000 * SECOND, None, 1);
            assert_eq!(long.unwrap_err(), "20000000000 messages, but a run has at most 10000000000", "{profile}");
        }
        assert!(count(Some(1.0), DURATION_MAX + SECOND, None).unwrap_err().contains("lasts at most"));
    }

    #[test]
    fn what_is_no_profile_is_told_why() {
        for (text, why) in [
            ("steady", "there is no such one"),
            ("ramp:5", "a ramp has two rates"),
            ("ramp:5-max", "a rate is wrong"),
            ("step:", "a rate is wrong"),
            ("burst:5", "a burst has a size and a time"),
            ("burst:x/1s", "the size of a burst"),
            ("burst:5/1", "the time between bursts"),
        ] {
            let told = text.parse::<Profile>().unwrap_err();
            assert!(told.contains(why) && told.contains(PROFILES), "{told}");
        }
    }

    fn profiles() -> impl Strategy<Value = Profile> {
        let rate = || 1.0f64..1e6;
        prop_oneof![
            Just(Profile::Const),
            Just(Profile::Poisson),
            (rate(), rate()).prop_map(|(from, to)| Profile::Ramp { from, to }),
            proptest::collection::vec(rate(), 1..9).prop_map(Profile::Step),
            (1u64..5000, 1u64..2000)
                .prop_map(|(messages, ms)| { Profile::Burst { messages, every: Duration::from_millis(ms) } }),
        ]
    }

    proptest! {
        #[test]
        fn due_times_are_as_many_as_planned_in_order_and_within_the_time(
            profile in profiles(), rate in 1.0f64..1e5, ms in 1u64..3000, limit in 1u64..20_000,
        ) {
            let duration = Duration::from_millis(ms);
            let Ok(schedule) = Schedule::new(profile.clone(), Some(rate), duration, Some(limit), 3) else {
                return Ok(()); // None is due.
            };
            let due: Vec<_> = schedule.due_times().collect();
            prop_assert_eq!(due.len() as u64, schedule.count());
            prop_assert!(due.is_sorted());
            if profile != Profile::Poisson {
                let middle = due.len() / 2;
                prop_assert_eq!(schedule.due_seconds(middle as u64), Some(due[middle] as f64 / 1e9));
                prop_assert_eq!(due[due.len() - 1] as f64 / 1e9, schedule.planned_seconds().unwrap());
                let over_ns = due[due.len() - 1] as f64 - duration.as_nanos() as f64;
                // Rounding may add half a message to each part.
                let allowed_ns = match &profile {
                    Profile::Const => 0.5e9 / rate,
                    Profile::Step(rates) => 0.5e9 / rates.iter().copied().fold(f64::MAX, f64::min),
                    Profile::Burst { .. } => -2.0, // Before the time is over, not at its end.
                    _ => 0.0,
                };
                prop_assert!(over_ns <= allowed_ns + 1.0, "{over_ns}");
            }
            prop_assert_eq!(profile.to_string().parse::<Profile>(), Ok(profile));
        }
    }
}
