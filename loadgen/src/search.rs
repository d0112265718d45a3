//! The greatest load that a collector keeps up with: MLRsearch (draft-ietf-bmwg-mlrsearch-15), and the same for bursts.
//!
//! * [`goal`]: what is searched for;
//! * [`classify`]: what the trials at one load say of it;
//! * [`select`]: which load to try next; these are pure;
//! * [`trial`]: what a run came to as one;
//! * [`Record`]: what is written down.

use std::fmt::Write;
use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use crate::figures::Unit;
use crate::report::{Environment, write_whole};
use crate::view::wording::count as count_text;

pub mod classify;
pub mod goal;
pub mod select;
pub mod trial;

pub use classify::Trial;
pub use goal::Goal;
pub use select::{End, Outcome, Search, TRIALS_MAX, Wanted};

/// The only schema there is.
pub const SCHEMA: &str = "loadgen.search/1";

/// Least rate that is tried unless another is named, messages a second.
pub const RATE_LEAST: u64 = 100;

/// Bursts are told from each other when they differ by so much.
const BURST_WIDTH: f64 = 0.05;

/// Bursts at a size, if they do not agree at once.
const BURSTS: f64 = 3.0;

/// How thoroughly to search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Trials of 1 s, two of three decide, bounds within 1 %: under a minute for most.
    #[default]
    Quick,
    /// Trials of 10 s, two of three decide, bounds within 0.5 %.
    Thorough,
    /// Trials of 60 s that lose nothing (RFC 2544 section 26.1), bounds within 0.5 %.
    Rfc2544,
}

impl Preset {
    /// The goal to lose no more than `loss_ratio`.
    #[must_use]
    pub fn goal(self, name: &str, loss_ratio: f64) -> Goal {
        let (initial, last, sum, exceed_ratio, relative_width) = match self {
            Self::Quick => (0.5, 1.0, 3.0, 0.5, 0.01),
            Self::Thorough => (1.0, 10.0, 30.0, 0.5, 0.005),
            Self::Rfc2544 => (1.0, 60.0, 60.0, 0.0, 0.005),
        };
        Goal {
            name: name.into(),
            loss_ratio,
            exceed_ratio,
            relative_width,
            initial_trial_seconds: initial,
            final_trial_seconds: last,
            sum_seconds: sum,
        }
    }

    /// The name that it is chosen by.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The goal that a burst loses nothing; a burst counts as a second.
#[must_use]
pub fn burst_goal() -> Goal {
    Goal {
        name: "burst".into(),
        loss_ratio: 0.0,
        exceed_ratio: 0.5,
        relative_width: BURST_WIDTH,
        initial_trial_seconds: 1.0,
        final_trial_seconds: 1.0,
        sum_seconds: BURSTS,
    }
}

/// What limited a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The collector, or the way to it: the result that is searched for.
    Collector,
    /// The sender could not offer more.
    Sender,
    /// More was not to be tried.
    MaxLoad,
    /// Less was not to be tried, and even that was too much.
    MinLoad,
    /// The search was ended before.
    Unfinished,
}

/// What was found for a goal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// What was searched for.
    #[serde(flatten)]
    pub goal: Goal,
    /// Messages a second, or in a burst, that are surely good enough.
    pub lower: Option<u64>,
    /// And surely too many.
    pub upper: Option<u64>,
    /// Messages a second that typically arrive at the lower bound.
    pub conditional_throughput: Option<f64>,
    /// What limited it.
    pub limit: Limit,
    /// All that in words.
    pub sentence: String,
}

/// What is found: a rate or a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Messages a second.
    Rate,
    /// Messages at once.
    Burst,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// What `load` is.
    pub kind: Kind,
    /// Messages a second, or in the burst.
    pub load: u64,
    /// How long it was to last, s; of a burst, how long it took.
    pub seconds: f64,
    /// Messages that were to be sent.
    pub offered: u64,
    /// Of these, those that did not arrive.
    pub lost: u64,
    /// Their share of `offered`, and what was not offered in time.
    pub loss_ratio: f64,
    /// Why what was lost says nothing for certain: the sender did not offer the load, or others ran on its processors.
    pub invalid: Option<String>,
    /// Whether it counted; if not, it was made again.
    pub counts: bool,
    /// The run's tag, hex.
    pub run: String,
    /// When it began, RFC 3339.
    pub started: String,
}

/// A search, as it is written down: `docs/loadgen.md` describes the fields.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Version of loadgen.
    pub version: &'static str,
    /// The command that did it.
    pub command: Vec<String>,
    /// Where messages were sent.
    pub target: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// How thoroughly.
    pub preset: String,
    /// What was sent, in words.
    pub plan: String,
    /// How arrival was checked.
    pub check: String,
    /// What the sender sends at full speed, messages a second; null if the most to try was named.
    pub full_speed: Option<f64>,
    /// What was found for each goal.
    pub goals: Vec<Found>,
    /// What was found of bursts.
    pub burst: Option<Found>,
    /// Every trial, in the order in which they were made.
    pub trials: Vec<Tried>,
    /// All that was found, in words.
    pub sentence: String,
    /// The machine that sent.
    pub environment: Environment,
}

impl Found {
    /// What `outcome` says of `goal`; `at_most` is what limits it if the most that was to be tried is good enough.
    #[must_use]
    pub fn new(goal: Goal, kind: Kind, outcome: Outcome, at_most: Limit) -> Self {
        let limit = match outcome.end {
            End::Found => Limit::Collector,
            End::SenderLimited => Limit::Sender,
            End::Most => at_most,
            End::Least => Limit::MinLoad,
            End::Unfinished => Limit::Unfinished,
        };
        let (lower, upper) = (outcome.bounds.lower, outcome.bounds.upper);
        let sentence = sentence(&goal, kind, lower, upper, limit);
        let conditional_throughput = outcome.conditional_throughput.filter(|_| kind == Kind::Rate);
        Self { goal, lower, upper, conditional_throughput, limit, sentence }
    }
}

fn sentence(goal: &Goal, kind: Kind, lower: Option<u64>, upper: Option<u64>, limit: Limit) -> String {
    let told = |count: u64| match kind {
        Kind::Rate => format!("{} messages a second", count_text(count)),
        Kind::Burst => format!("A burst of {} messages", count_text(count)),
    };
    let seconds = goal.final_trial_seconds;
    let kept = match (kind, goal.loss_ratio > 0.0) {
        (Kind::Burst, _) => "loses nothing".to_owned(),
        (Kind::Rate, false) => format!("lose nothing in {seconds} s"),
        (Kind::Rate, true) => format!("lose at most {} in {seconds} s", Unit::Share.show(goal.loss_ratio)),
    };
    match (lower, upper, limit) {
        (Some(lower), Some(upper), Limit::Collector) => {
            let apart = (upper - lower) as f64 / lower as f64 * 100.0;
            format!("{} {kept}; {} are too many ({apart:.1} % more)", told(lower), count_text(upper))
        }
        (Some(lower), None, Limit::Collector) => {
            format!(
                "{} {kept}; no more go through at full speed, where the collector makes the sender wait",
                told(lower)
            )
        }
        (Some(lower), _, Limit::Sender) => {
            format!("{} {kept}; this sender cannot offer more, so that the collector's limit is not known", told(lower))
        }
        (None, Some(upper), Limit::Sender) => {
            format!("{} are more than this sender can offer; the collector's limit is not known", told(upper))
        }
        (Some(lower), _, Limit::MaxLoad) => format!("{} {kept}; more was not tried", told(lower)),
        (None, Some(upper), Limit::MinLoad) => format!("{}: too many already; less was not tried", told(upper)),
        (lower, _, _) => {
            let so_far = lower.map_or_else(|| "nothing is known".to_owned(), |lower| format!("{} {kept}", told(lower)));
            format!("{so_far}, but the search was ended before its goal ({})", goal.name)
        }
    }
}

impl Record {
    /// What was found, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for found in self.goals.iter().chain(&self.burst) {
            let _ = writeln!(text, "{:<12} {}", found.goal.name, found.sentence);
        }
        let invalid = self.trials.iter().filter(|trial| trial.invalid.is_some()).count();
        let _ = writeln!(text, "{} trials", self.trials.len());
        if invalid > 0 {
            let _ = writeln!(
                text,
                "{invalid} of them say little: this machine was too slow or too busy, or a hypervisor ran others on it"
            );
        }
        if self.goals.iter().chain(&self.burst).any(|found| found.limit == Limit::Sender) {
            let _ =
                writeln!(text, "what makes a sender faster: --gso (for udp), --threads with as many --flows, --cpu");
        }
        text
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the file system says, with the file's name.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        write_whole(path, &serde_json::to_string_pretty(self).map_err(|error| error.to_string())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use select::Bounds;

    #[test]
    fn what_is_good_enough_at_full_speed_is_limited_by_whoever_limits_that() {
        let outcome = Outcome {
            bounds: Bounds { lower: Some(70_000), upper: None },
            conditional_throughput: Some(70_000.0),
            end: End::Most,
        };
        for (limit, told) in [
            (Limit::Sender, "this sender cannot offer more, so that the collector's limit is not known"),
            (Limit::Collector, "no more go through at full speed, where the collector makes the sender wait"),
            (Limit::MaxLoad, "more was not tried"),
        ] {
            let goal = Preset::Quick.goal("loss<=7%", 7.0 / 100.0);
            let found = Found::new(goal, Kind::Rate, outcome, limit);
            assert_eq!(found.limit, limit);
            assert_eq!(found.sentence, format!("70,000 messages a second lose at most 7.0000 % in 1 s; {told}"));
            let record = Record {
                schema: SCHEMA,
                version: "",
                command: Vec::new(),
                target: String::new(),
                started: String::new(),
                preset: String::new(),
                plan: String::new(),
                check: String::new(),
                full_speed: None,
                goals: vec![found],
                burst: None,
                trials: Vec::new(),
                sentence: String::new(),
                environment: Environment::here(),
            };
            assert_eq!(record.text().contains("what makes a sender faster: --gso"), limit == Limit::Sender);
        }
    }
}
