//! A run beside an older one of the same plan: what became worse by more than it may.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::figures::{Better, FIGURES, Figure, Unit};
use crate::report::Verdict;
use crate::values::parse_scaled;

/// Figures that may not become worse: those that say what a collector lost, took and cost. The others are noisy or
/// follow from these, and count only where a limit names them.
pub const WATCHED: [&str; 8] = [
    "loss_ratio",
    "duplicates",
    "corrupted",
    "latency.p99",
    "latency_synced.p99",
    "achieved_rate",
    "sender_cpu_ns_per_message",
    "collector.cpu_ns_per_message",
];

/// What they may become worse by, unless a limit says otherwise; a share of the old value.
const LIMIT_DEFAULT: f64 = 0.05;

/// `5%` for the figures of [`WATCHED`], or `latency.p50=10%` for one, watched or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    figure: Option<&'static Figure>,
    /// Share of the old value.
    ratio: f64,
}

impl FromStr for Limit {
    type Err = String;

    /// # Errors
    /// What is wrong with it: the figure, or the percentage.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, percentage) = text.split_once('=').map_or((None, text), |(name, rest)| (Some(name), rest));
        let figure = name.map(Figure::named).transpose()?;
        if let Some(figure) = figure.filter(|figure| figure.better == Better::Neither) {
            return Err(format!("{} says nothing of good or bad: it cannot become worse", figure.name));
        }
        let ratio = parse_scaled(percentage, Unit::Share.suffixes());
        let ratio = ratio.ok_or_else(|| format!("`{percentage}`: write a percentage, such as 5%, or FIGURE=5%"))?;
        Ok(Self { figure, ratio })
    }
}

/// A figure then and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which.
    pub figure: &'static Figure,
    /// In the baseline.
    pub old: f64,
    /// In the run, if it was measured.
    pub new: Option<f64>,
    /// What it may become worse by; a share of the old value.
    pub limit: f64,
    /// Whether it became worse by more, or is not known any more.
    pub regressed: bool,
}

impl Change {
    fn new(figure: &'static Figure, old: f64, new: Option<f64>, limit: f64) -> Self {
        let regressed = new.is_none_or(|new| match figure.better {
            // Where there was none, one is too many.
            Better::Lower => new > old * (1.0 + limit),
            Better::Higher => new < old * (1.0 - limit),
            Better::Neither => false,
        });
        Self { figure, old, new, limit, regressed }
    }

    /// By how much it grew, for people; `None` when that cannot be said.
    #[must_use]
    pub fn growth(&self) -> Option<String> {
        let new = self.new?;
        let ratio = if new == self.old { 0.0 } else { new / self.old - 1.0 };
        ratio.is_finite().then(|| format!("{:+.1} %", ratio * 100.0))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, old, new, .. } = self;
        let is = new.map_or("was not measured".into(), |new| format!("is {}", figure.unit.show(new)));
        let growth = self.growth().map(|growth| format!(" ({growth})")).unwrap_or_default();
        write!(formatter, "{}: it {is}, and was {}{growth}", figure.name, figure.unit.show(*old))
    }
}

/// The older run, and what may become worse.
#[derive(Clone, Debug)]
pub struct Baseline {
    run: Value,
    limits: Vec<Limit>,
    ignore_plan: bool,
}

impl Baseline {
    /// `run` as a baseline. Of limits for the same the last counts.
    ///
    /// # Errors
    /// Why it is none: an invalid run, or one that did not measure what a limit names.
    pub fn new(run: Value, limits: Vec<Limit>, ignore_plan: bool) -> Result<Self, String> {
        if run["verdict"] == serde_json::json!(Verdict::Invalid) {
            return Err("it is an invalid run, with which nothing can be compared".into());
        }
        let named = limits.iter().filter_map(|limit| limit.figure);
        match named.into_iter().find(|figure| figure.value(&run).is_none()) {
            Some(figure) => Err(format!("it did not measure {}, which --max-regress names", figure.name)),
            None => Ok(Self { run, limits, ignore_plan }),
        }
    }

    /// What became of every figure that has a limit and that the baseline measured.
    ///
    /// # Errors
    /// How the plan of `run` differs from the baseline's, unless that is to be ignored.
    pub fn compare(&self, run: &Value) -> Result<Vec<Change>, String> {
        self.agree(plan_differences(&self.run, run))?;
        let change = |figure: &'static Figure| {
            let (limit, old) = (self.limit(figure)?, figure.value(&self.run)?);
            Some(Change::new(figure, old, figure.value(run), limit))
        };
        Ok(FIGURES.iter().filter_map(change).collect())
    }

    /// Whether a run that is to be, of which only these settings of its `plan` and its `target` are known, can be compared.
    ///
    /// # Errors
    /// How its plan differs from the baseline's, unless that is to be ignored.
    pub fn expect(&self, run: &Value) -> Result<(), String> {
        let mut known = self.run.clone();
        if let (Some(old), Some(new)) = (known["plan"].as_object_mut(), run["plan"].as_object()) {
            old.retain(|key, _| new.contains_key(key));
        }
        self.agree(plan_differences(&known, run))
    }

    fn agree(&self, differences: Vec<String>) -> Result<(), String> {
        if self.ignore_plan || differences.is_empty() {
            return Ok(());
        }
        Err(format!(
            "its plan is not that of the baseline: {}; compare runs of one plan, or say --ignore-plan",
            differences.join(", ")
        ))
    }

    fn limit(&self, figure: &Figure) -> Option<f64> {
        let of = |wanted: Option<&Figure>| self.limits.iter().rev().find(|limit| limit.figure == wanted);
        let general = WATCHED.contains(&figure.name).then(|| of(None).map_or(LIMIT_DEFAULT, |limit| limit.ratio));
        of(Some(figure)).map(|limit| limit.ratio).or(general)
    }
}

/// Every setting of two plans that is not the same, and the transport. At full speed the count is no plan, but
/// what was done, and the duration is not known of runs of older versions.
fn plan_differences(old: &Value, new: &Value) -> Vec<String> {
    let (old_plan, new_plan) = (&old["plan"], &new["plan"]);
    let is_full_speed = [old_plan, new_plan].iter().all(|plan| plan["rate"].is_null() && plan["profile"] == "const");
    let keys: BTreeSet<_> =
        [old_plan, new_plan].iter().filter_map(|plan| plan.as_object()).flat_map(|plan| plan.keys()).collect();
    let is_unknown = [old_plan, new_plan].iter().any(|plan| plan["duration_seconds"].is_null());
    let is_asked = |key: &str| match key {
        "count" => !is_full_speed,
        "duration_seconds" => !is_unknown,
        _ => true,
    };
    let settings = keys.into_iter().filter(|key| is_asked(key));
    let differing =
        settings.map(|key| (key.as_str(), &old_plan[key], &new_plan[key])).filter(|(_, old, new)| old != new);
    let told = differing.map(|(key, old, new)| format!("{key} is {new} and was {old}"));
    let (old, new) = (transport(old), transport(new));
    told.chain((old != new).then(|| format!("the transport is {new} and was {old}"))).collect()
}

fn transport(run: &Value) -> &str {
    run["target"].as_str().and_then(|target| target.split_once("://")).map_or("unknown", |(transport, _)| transport)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run() -> Value {
        json!({
            "verdict": "pass", "target": "udp://127.0.0.1:1", "plan": {"rate": 1000.0, "count": 100, "seconds": 0.1},
            "lost": 0, "loss_ratio": 0.0, "duplicates": 0, "achieved_rate": 1000.0, "sender_cpu_ns_per_message": 500.0,
            "latency": {"p50": 1.0, "p99": 4.0},
        })
    }

    fn with(path: &str, value: impl Into<Value>) -> Value {
        let mut run = run();
        *run.pointer_mut(path).unwrap() = value.into();
        run
    }

    fn limits(texts: &[&str]) -> Vec<Limit> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn regressions(new: &Value, texts: &[&str]) -> Vec<String> {
        let changes = Baseline::new(run(), limits(texts), false).unwrap().compare(new).unwrap();
        changes.iter().filter(|change| change.regressed).map(Change::to_string).collect()
    }

    #[test]
    fn only_what_is_watched_or_named_regresses_and_only_beyond_its_limit() {
        for (new, texts, expected) in [
            (run(), &[][..], None),
            (with("/achieved_rate", 950.0), &[], None),
            (with("/achieved_rate", 949.0), &[], Some("achieved_rate: it is 949/s, and was 1,000/s (-5.1 %)")),
            (with("/achieved_rate", 2000.0), &[], None),
            (with("/latency/p99", 4.2), &[], None),
            (
                with("/latency/p99", 4.3),
                &["0.1%", "5%"],
                Some("latency.p99: it is 4.300 ms, and was 4.000 ms (+7.5 %)"),
            ),
            (with("/latency/p99", 4.3), &["10%"], None),
            (with("/latency/p99", 4.3), &["latency.p99=10%", "1%"], None),
            (with("/latency/p99", 1.0), &["0%"], None),
            (with("/latency/p50", 9.0), &[], None),
            (
                with("/latency/p50", 9.0),
                &["latency.p50=100%"],
                Some("latency.p50: it is 9.000 ms, and was 1.000 ms (+800.0 %)"),
            ),
            (with("/lost", 5), &[], None),
            (with("/loss_ratio", 1e-9), &["100%"], Some("loss_ratio: it is <0.0001 %, and was 0 %")),
            (with("/duplicates", Value::Null), &["100%"], Some("duplicates: it was not measured, and was 0")),
        ] {
            assert_eq!(regressions(&new, texts), Vec::from_iter(expected.map(String::from)), "{texts:?}");
        }
    }

    #[test]
    fn what_the_baseline_did_not_measure_is_not_compared_unless_it_is_named() {
        let mut old = run();
        old.as_object_mut().unwrap().remove("latency");
        let changes = Baseline::new(old.clone(), vec![], false).unwrap().compare(&run()).unwrap();
        let names: Vec<_> = changes.iter().map(|change| change.figure.name).collect();
        assert_eq!(names, ["loss_ratio", "duplicates", "achieved_rate", "sender_cpu_ns_per_message"]);
        let refused = Baseline::new(old, limits(&["latency.p99=5%"]), false).unwrap_err();
        assert!(refused.contains("did not measure latency.p99"), "{refused}");
    }

    #[test]
    fn runs_of_different_plans_are_compared_only_when_told_to() {
        let baseline = Baseline::new(run(), vec![], false).unwrap();
        for (new, told) in [
            (with("/plan/rate", 2000.0), "rate is 2000.0 and was 1000.0"),
            (with("/plan", json!({"rate": 1000.0, "count": 100, "seconds": 0.1, "gso": 4})), "gso is 4 and was null"),
            (with("/plan/count", 50), "count is 50 and was 100"),
            (with("/target", "tcp://127.0.0.1:1"), "the transport is tcp and was udp"),
        ] {
            let refused = baseline.compare(&new).unwrap_err();
            assert!(refused.contains(told) && refused.contains("--ignore-plan"), "{refused}");
            assert!(Baseline::new(run(), vec![], true).unwrap().compare(&new).is_ok());
        }
        assert!(baseline.compare(&with("/target", "udp://192.0.2.1:514")).is_ok());
        let full_speed = |count| with("/plan", json!({"rate": null, "profile": "const", "count": count}));
        let old = Baseline::new(full_speed(1), vec![], false).unwrap();
        assert!(old.compare(&full_speed(2)).is_ok());
        let lasting = |seconds: f64| {
            let mut run = full_speed(1);
            run["plan"]["duration_seconds"] = json!(seconds);
            run
        };
        let timed = Baseline::new(lasting(10.0), vec![], false).unwrap();
        assert!(timed.compare(&lasting(10.0)).is_ok());
        assert!(timed.compare(&lasting(20.0)).unwrap_err().contains("duration_seconds is 20.0 and was 10.0"));
        assert!(old.compare(&lasting(20.0)).is_ok(), "an older version did not tell");
    }

    #[test]
    fn of_a_run_that_is_to_be_only_what_is_known_is_compared() {
        let baseline = Baseline::new(run(), vec![], false).unwrap();
        let planned = |rate: f64| json!({"target": "udp://127.0.0.1:1", "plan": {"rate": rate, "count": 100}});
        assert_eq!(baseline.expect(&planned(1000.0)), Ok(()));
        assert!(baseline.expect(&planned(2000.0)).unwrap_err().contains("rate is 2000.0 and was 1000.0"));
        assert_eq!(Baseline::new(run(), vec![], true).unwrap().expect(&planned(2000.0)), Ok(()));
    }

    #[test]
    fn an_invalid_run_is_no_baseline() {
        assert!(Baseline::new(with("/verdict", "invalid"), vec![], true).unwrap_err().contains("invalid run"));
    }

    #[test]
    fn limits_are_percentages_of_figures_that_can_become_worse() {
        assert_eq!("2.5%".parse(), Ok(Limit { figure: None, ratio: 0.025 }));
        for (text, told) in [
            ("5", "write a percentage"),
            ("latency.p50=", "write a percentage"),
            ("latncy.p50=5%", "the nearest is `latency.p50`"),
            ("offered=5%", "it cannot become worse"),
        ] {
            let error = text.parse::<Limit>().unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn every_watched_figure_can_become_worse_and_stands_in_the_manual() {
        for name in WATCHED {
            assert_ne!(Figure::named(name).unwrap().better, Better::Neither, "{name}");
        }
        let manual = include_str!("../../docs/loadgen.md").replace('\n', " ");
        let listed = WATCHED.map(|name| format!("`{name}`")).join(", ");
        assert!(manual.contains(&format!("follow from these:  {listed}  ")), "{listed}");
    }
}
