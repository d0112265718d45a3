//! What a run must keep: `loss_ratio<=0.01%`, `latency.p99<5ms`. `docs/loadgen.md` says what holds without any.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::figures::{FIGURES, Figure};
use crate::values::parse_scaled;

/// How a figure is compared with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
}

impl Comparison {
    /// Each as it is written; what begins like another stands before it.
    const WRITTEN: [(&'static str, Self); 5] =
        [("<=", Self::AtMost), ("<", Self::Less), (">=", Self::AtLeast), (">", Self::More), ("==", Self::Equal)];

    fn holds(self, actual: f64, limit: f64) -> bool {
        match self {
            Self::Less => actual < limit,
            Self::AtMost => actual <= limit,
            Self::More => actual > limit,
            Self::AtLeast => actual >= limit,
            Self::Equal => actual == limit,
        }
    }
}

/// FIGURE OP VALUE; shown as it was written, without spaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    written: String,
    /// What is looked at.
    pub figure: &'static Figure,
    /// How.
    pub comparison: Comparison,
    /// With what, in the unit of the figure.
    pub limit: f64,
}

impl FromStr for Threshold {
    type Err = String;

    /// # Errors
    /// What is wrong with it: the form, the figure's name, or the value's unit.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write FIGURE OP VALUE, such as 'loss_ratio<=0.01%'; OP is one of < <= > >= ==".to_owned();
        let (name, rest) = text.split_at(text.find(['<', '>', '=']).ok_or_else(form)?);
        let read = |(op, comparison)| Some((op, comparison, rest.strip_prefix(op)?.trim()));
        let (op, comparison, value) = Comparison::WRITTEN.into_iter().find_map(read).ok_or_else(form)?;
        let figure = Figure::named(name.trim())?;
        // Nothing is nothing in any unit.
        let limit = if value == "0" { Some(0.0) } else { parse_scaled(value, figure.unit.suffixes()) };
        let limit =
            limit.ok_or_else(|| format!("`{value}` is no value of {}: write {}", figure.name, figure.unit.hint()))?;
        Ok(Self { written: format!("{}{op}{value}", figure.name), figure, comparison, limit })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written)
    }
}

impl Threshold {
    /// None at all of what `figure` counts.
    fn none_of(figure: &'static Figure) -> Self {
        Self { written: format!("{}<=0", figure.name), figure, comparison: Comparison::AtMost, limit: 0.0 }
    }

    /// Whether a `run.json` keeps it. One that did not measure the figure does not.
    #[must_use]
    pub fn check(&self, run: &Value) -> Checked {
        let actual = self.figure.value(run);
        let passed = actual.is_some_and(|actual| self.comparison.holds(actual, self.limit));
        Checked { threshold: self.clone(), actual, passed }
    }
}

/// A threshold and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// What was asked for.
    pub threshold: Threshold,
    /// What was measured, if it was.
    pub actual: Option<f64>,
    /// Whether that will do.
    pub passed: bool,
}

impl fmt::Display for Checked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { threshold, actual, .. } = self;
        match actual {
            Some(actual) => write!(formatter, "{threshold}: it is {}", threshold.figure.unit.show(*actual)),
            None => write!(formatter, "{threshold}: it was not measured"),
        }
    }
}

/// A run and all that it must keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Whether it keeps all of it.
    pub passed: bool,
    /// One by one: what holds by default, then what was asked for.
    pub checked: Vec<Checked>,
}

/// Of these no run may have one, unless a threshold says otherwise.
const FAULTS: [&str; 5] = ["lost", "counted_lost", "duplicates", "corrupted", "unexpected"];

/// Judges a `run.json` by `thresholds`, and by the default ones that they do not replace: no message lost, duplicated,
/// corrupted or unexpected, as far as that was measured. Whether the run is valid is not asked here.
#[must_use]
pub fn judge(run: &Value, thresholds: &[Threshold]) -> Judgement {
    // Who allows loss allows it however it is known.
    let is_loss = |figure: &Figure| ["lost", "loss_ratio", "counted_lost"].contains(&figure.name);
    let replaces = |asked: &Figure, fault: &Figure| asked == fault || is_loss(asked) && is_loss(fault);
    let is_replaced = |fault: &Figure| thresholds.iter().any(|threshold| replaces(threshold.figure, fault));
    let faults = FIGURES.iter().filter(|figure| FAULTS.contains(&figure.name) && !is_replaced(figure));
    let default = faults.filter(|fault| fault.value(run).is_some()).map(Threshold::none_of);
    let checked: Vec<_> = default.chain(thresholds.iter().cloned()).map(|threshold| threshold.check(run)).collect();
    Judgement { passed: checked.iter().all(|checked| checked.passed), checked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn threshold(text: &str) -> Threshold {
        text.parse().unwrap()
    }

    #[test]
    fn thresholds_are_read_in_the_unit_of_their_figure() {
        for (text, name, comparison, limit) in [
            ("loss_ratio<=0.01%", "loss_ratio", Comparison::AtMost, 0.0001),
            ("loss_ratio<=0", "loss_ratio", Comparison::AtMost, 0.0),
            ("latency.p99<5ms", "latency.p99", Comparison::Less, 5.0),
            ("latency.p99<500us", "latency.p99", Comparison::Less, 0.5),
            (" lost <= 10 ", "lost", Comparison::AtMost, 10.0),
            ("achieved_rate>=190k", "achieved_rate", Comparison::AtLeast, 190_000.0),
            ("sent>1.5M", "sent", Comparison::More, 1_500_000.0),
            ("pacing.lag_us.p999<1ms", "pacing.lag_us.p999", Comparison::Less, 1000.0),
            ("sender_cpu_ns_per_message<1.2us", "sender_cpu_ns_per_message", Comparison::Less, 1200.0),
            ("elapsed_seconds<=30s", "elapsed_seconds", Comparison::AtMost, 30.0),
            ("collector.rss_bytes<64MB", "collector.rss_bytes", Comparison::Less, 64e6),
            ("duplicates==0", "duplicates", Comparison::Equal, 0.0),
        ] {
            let read = threshold(text);
            assert_eq!((read.figure.name, read.comparison, read.limit), (name, comparison, limit));
            assert_eq!(read.to_string(), text.replace(' ', ""));
        }
    }

    #[test]
    fn what_is_no_threshold_is_told_with_what_to_write() {
        for (text, told) in [
            ("lost", "write FIGURE OP VALUE"),
            ("lost=0", "OP is one of"),
            ("lost<=", "`` is no value of lost: write a number"),
            ("lost<=-1", "`-1` is no value"),
            ("lost<=1e3", "`1e3` is no value"),
            ("lost<=1%", "write a number"),
            ("lost!=1", "write FIGURE OP VALUE"),
            ("p99<5ms", "the nearest is `latency.p99`"),
            ("loss_ratio<=0.01", "`0.01` is no value of loss_ratio: write a percentage"),
            ("latency.p99<5", "write a time with its unit"),
            ("latency.p99<5m", "write a time with its unit"),
            ("achieved_rate>=190K", "write messages a second"),
            ("collector.rss_bytes<64M", "write a size with its unit"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn limits_are_kept_to_the_last_digit_and_what_was_not_measured_keeps_none() {
        let run = json!({"lost": 57, "loss_ratio": 57.0 / 10_000.0, "latency": {"p99": 5.0}});
        for (text, passed) in [
            ("loss_ratio<=0.57%", true),
            ("loss_ratio==0.57%", true),
            ("loss_ratio<0.57%", false),
            ("loss_ratio>=0.57%", true),
            ("latency.p99<5ms", false),
            ("latency.p99<=5000us", true),
            ("lost>56", true),
            ("lost>57", false),
            ("lost==56", false),
            ("duplicates>=0", false),
        ] {
            assert_eq!(threshold(text).check(&run).passed, passed, "{text}");
        }
        let told = ["latency.p99<5ms", "duplicates>=0"].map(|text| threshold(text).check(&run).to_string());
        assert_eq!(told, ["latency.p99<5ms: it is 5.000 ms", "duplicates>=0: it was not measured"]);
    }

    #[test]
    fn without_thresholds_nothing_may_be_lost_doubled_or_changed_and_a_threshold_replaces_its_own_default() {
        let clean =
            json!({"lost": 0, "loss_ratio": 0.0, "duplicates": 0, "corrupted": 0, "unexpected": 0, "reordered": 9});
        assert!(judge(&clean, &[]).passed);
        for fault in FAULTS {
            let mut run = clean.clone();
            run[fault] = json!(1);
            let judgement = judge(&run, &[threshold("sent>=0")]);
            let failed: Vec<_> =
                judgement.checked.iter().filter(|checked| !checked.passed).map(Checked::to_string).collect();
            assert_eq!(failed, [format!("{fault}<=0: it is 1"), "sent>=0: it was not measured".into()]);
            assert!(judge(&run, &[threshold(&format!("{fault}<=1"))]).passed);
            assert!(!judgement.passed && !judge(&run, &[]).passed);
        }
        let lossy = json!({"lost": 1, "loss_ratio": 0.001, "duplicates": 1});
        let checked = |thresholds: &[Threshold]| -> Vec<String> {
            judge(&lossy, thresholds).checked.iter().map(|checked| checked.threshold.to_string()).collect()
        };
        assert_eq!(checked(&[threshold("loss_ratio<1%")]), ["duplicates<=0", "loss_ratio<1%"]);
        assert_eq!(checked(&[threshold("lost_at_end<=1")]), ["lost<=0", "duplicates<=0", "lost_at_end<=1"]);
    }

    #[test]
    fn a_run_of_which_nothing_was_looked_for_is_not_failed_for_it() {
        assert_eq!(judge(&json!({"sent": 5, "lost": null}), &[]), Judgement { passed: true, checked: vec![] });
    }
}
