//! One run as reports tell it: what its `run.json` says, and how it stands by thresholds and beside a baseline.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::Verdict;
use crate::baseline::{Baseline, Change};
use crate::figures::FIGURES;
use crate::threshold::{Checked, Threshold, judge};

/// What is told of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The file it was read from, as given.
    pub file: String,
    /// How it stands.
    pub verdict: Verdict,
    /// Why, if it is not a pass.
    pub reason: Option<String>,
    /// What the run itself concluded; `None` where thresholds were asked instead.
    pub recorded: Option<(Verdict, Option<String>)>,
    /// The thresholds that were asked, and the default ones that they do not replace.
    pub checked: Vec<Checked>,
    /// Beside the baseline.
    pub changes: Vec<Change>,
    /// One sentence about where its messages ended.
    pub sentence: Option<String>,
    /// A value for each of [`FIGURES`].
    pub figures: Vec<Option<f64>>,
    /// Where its messages ended.
    pub places: Vec<Ended>,
    /// What it was: `run`, `version`, `target`, `started`, `command`, and by their paths `plan.` and `environment.`.
    pub facts: BTreeMap<String, String>,
    /// Whether its verdict is one on the collector. The steps of a sweep are meant to lose, unless they are judged by what was
    /// asked now.
    pub counts: bool,
}

/// Messages that ended in one place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ended {
    /// Its name.
    pub place: String,
    /// How many.
    pub messages: u64,
    /// Whether that is known exactly.
    pub exact: bool,
    /// How it is known.
    pub evidence: String,
}

/// How a run stands: by what it concluded, by what it must keep, and beside a baseline.
pub struct Standing {
    /// In a word.
    pub verdict: Verdict,
    /// Why, if it is not a pass.
    pub reason: Option<String>,
    /// What it must keep, unless its own conclusion stands.
    pub checked: Vec<Checked>,
}

impl Standing {
    /// `concluded` is the run's own verdict and reason where they stand; else it is judged by `thresholds` and by the default ones
    /// that they do not replace. `changes` is what it came to beside a baseline.
    #[must_use]
    pub fn of(
        run: &Value,
        concluded: Option<(Verdict, Option<String>)>,
        thresholds: &[Threshold],
        changes: &[Change],
    ) -> Self {
        let checked = if concluded.is_none() { judge(run, thresholds).checked } else { Vec::new() };
        let failed = checked.iter().filter(|checked| !checked.passed).map(Checked::to_string);
        let regressed = changes.iter().filter(|change| change.regressed).map(Change::to_string);
        let faults: Vec<_> = failed.chain(regressed).collect();
        let (concluded, reason) = concluded.unwrap_or((Verdict::Pass, None));
        let verdict = if concluded == Verdict::Pass && !faults.is_empty() { Verdict::Fail } else { concluded };
        let reasons: Vec<_> = reason.into_iter().chain(faults).collect();
        Self { verdict, reason: (!reasons.is_empty()).then(|| reasons.join("; ")), checked }
    }
}

impl Judged {
    /// Judges the run of `file`. Its own verdict stands unless there are thresholds; an invalid run stays invalid, and is neither
    /// checked nor compared.
    ///
    /// # Errors
    /// What is wrong with it, or why it cannot be compared.
    pub fn new(file: &str, run: &Value, thresholds: &[Threshold], baseline: Option<&Baseline>) -> Result<Self, String> {
        let recorded = Verdict::deserialize(&run["verdict"]).map_err(|error| format!("verdict: {error}"))?;
        let places = match &run["ledger"]["places"] {
            Value::Null => Vec::new(),
            places => Vec::deserialize(places).map_err(|error| format!("ledger.places: {error}"))?,
        };
        let is_valid = recorded != Verdict::Invalid;
        let is_asked = is_valid && !thresholds.is_empty();
        let changes = baseline.filter(|_| is_valid).map_or(Ok(Vec::new()), |baseline| baseline.compare(run))?;
        let recorded = (!is_asked).then(|| (recorded, text(&run["reason"])));
        let Standing { verdict, reason, checked } = Standing::of(run, recorded.clone(), thresholds, &changes);
        Ok(Self {
            file: file.to_owned(),
            verdict,
            reason,
            recorded,
            checked,
            changes,
            sentence: text(&run["ledger"]["sentence"]),
            figures: FIGURES.iter().map(|figure| figure.value(run)).collect(),
            places,
            facts: facts(run),
            counts: true,
        })
    }

    /// A figure by its name, if it was measured.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<f64> {
        FIGURES.iter().position(|figure| figure.name == name).and_then(|at| self.figures[at])
    }

    /// A fact by its name, if it is known.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
        })
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn facts(run: &Value) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for name in ["run", "version", "target", "started", "command", "plan", "environment"] {
        flatten(name.to_owned(), &run[name], &mut facts);
    }
    facts
}

/// Every value below `path`, by its own path; what is null is left out.
fn flatten(path: String, value: &Value, facts: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (key, value) in members {
                flatten(format!("{path}.{key}"), value, facts);
            }
        }
        Value::String(text) => {
            facts.insert(path, text.clone());
        }
        other => {
            facts.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(run: &Value, thresholds: &[&str], baseline: Option<Value>) -> Judged {
        let thresholds: Vec<_> = thresholds.iter().map(|text| text.parse().unwrap()).collect();
        let baseline = baseline.map(|run| Baseline::new(run, vec![], false).unwrap());
        Judged::new("run.json", run, &thresholds, baseline.as_ref()).unwrap()
    }

    #[test]
    fn the_recorded_verdict_stands_unless_thresholds_are_asked() {
        let passed = json!({"verdict": "pass", "lost": 3});
        let failed = json!({"verdict": "fail", "lost": 3, "reason": "3 lost"});
        for (run, thresholds, verdict, reason) in [
            (&passed, &[][..], Verdict::Pass, None),
            (&failed, &[], Verdict::Fail, Some("3 lost")),
            (&failed, &["lost<=3"], Verdict::Pass, None),
            (&passed, &["lost<=2"], Verdict::Fail, Some("lost<=2: it is 3")),
            (&passed, &["sent>=0"], Verdict::Fail, Some("lost<=0: it is 3; sent>=0: it was not measured")),
        ] {
            let judged = judged(run, thresholds, None);
            assert_eq!((judged.verdict, judged.reason.as_deref()), (verdict, reason), "{thresholds:?}");
        }
    }

    #[test]
    fn a_regression_fails_a_run_that_keeps_all_else() {
        let then = |rate: f64| json!({"verdict": "pass", "lost": 0, "achieved_rate": rate});
        for thresholds in [&[][..], &["lost<=0"]] {
            let judged = judged(&then(900.0), thresholds, Some(then(1000.0)));
            assert_eq!(judged.verdict, Verdict::Fail);
            assert_eq!(judged.reason.unwrap(), "achieved_rate: it is 900/s, and was 1,000/s (-10.0 %)");
        }
        assert_eq!(judged(&then(1100.0), &[], Some(then(1000.0))).verdict, Verdict::Pass);
    }

    #[test]
    fn an_invalid_run_is_neither_checked_nor_compared() {
        let run = json!({"verdict": "invalid", "reason": "late", "lost": 3, "achieved_rate": 1, "plan": {"rate": 1}});
        let judged = judged(&run, &["lost<=0"], Some(json!({"verdict": "pass", "achieved_rate": 1000})));
        assert_eq!((judged.verdict, judged.reason.as_deref()), (Verdict::Invalid, Some("late")));
        assert!(judged.checked.is_empty() && judged.changes.is_empty());
    }

    #[test]
    fn what_cannot_be_judged_is_told_by_its_field() {
        for (run, told) in [
            (json!({}), "verdict: "),
            (json!({"verdict": "good"}), "verdict: unknown variant `good`"),
            (json!({"verdict": "pass", "ledger": {"places": [{"place": "stored"}]}}), "ledger.places: missing field"),
        ] {
            let error = Judged::new("run.json", &run, &[], None).unwrap_err();
            assert!(error.starts_with(told), "{error}");
        }
    }
}
