//! The options that say what a run must keep: those of `run` and of `report`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::{RUNTIME_ERROR, USAGE};
use crate::baseline::{Baseline, Change, Limit};
use crate::report::{Demand, Report, SCHEMA, Verdict};
use crate::threshold::{Checked, Threshold, judge};

/// Largest report that is read, MiB.
const FILE_MIB_MAX: u64 = 64;

#[derive(Args)]
pub(super) struct Judging {
    /// What a run must keep, such as 'loss_ratio<=0.01%' or 'latency.p99<5ms'; may be given again. Without any nothing may be
    /// lost, doubled or changed.
    #[arg(long = "threshold", value_name = "FIGURE OP VALUE")]
    pub(super) thresholds: Vec<Threshold>,
    /// An older run of the same plan that no run may be worse than.
    #[arg(long, value_name = "OLD.json")]
    baseline: Option<PathBuf>,
    /// How much worse, such as 5%, or latency.p50=10% for one figure; may be given again. 5% unless given.
    #[arg(long, value_name = "[FIGURE=]PERCENT", requires = "baseline")]
    max_regress: Vec<Limit>,
    /// Compare with a baseline of another plan.
    #[arg(long, requires = "baseline")]
    ignore_plan: bool,
}

/// What runs are judged by.
pub(super) struct Judges {
    pub(super) thresholds: Vec<Threshold>,
    pub(super) baseline: Option<Baseline>,
}

impl Judging {
    /// Reads the baseline.
    ///
    /// # Errors
    /// What is wrong with it, and the exit code.
    pub(super) fn load(&self) -> Result<Judges, (u8, String)> {
        let make = |path: &PathBuf| {
            Baseline::new(read(path)?, self.max_regress.clone(), self.ignore_plan)
                .map_err(|error| (USAGE, format!("{}: as a baseline: {error}", path.display())))
        };
        let baseline = self.baseline.as_ref().map(make).transpose()?;
        Ok(Judges { thresholds: self.thresholds.clone(), baseline })
    }
}

impl Judges {
    /// Judges a run that is over, and writes the verdict into its report. What became worse than it may, or why it cannot be
    /// compared with the baseline.
    pub(super) fn judge(&self, report: &mut Report) -> Result<Vec<Change>, String> {
        if report.verdict == Verdict::Invalid {
            return Ok(Vec::new());
        }
        let run = serde_json::json!(report);
        let judgement = judge(&run, &self.thresholds);
        let compared = self.baseline.as_ref().map_or(Ok(Vec::new()), |baseline| baseline.compare(&run));
        let compared = compared.map(|mut changes| {
            changes.retain(|change| change.regressed);
            changes
        });
        let failed = judgement.checked.iter().filter(|checked| !checked.passed).map(Checked::to_string);
        let worse = compared.iter().flatten().map(Change::to_string);
        let reasons: Vec<_> = failed.chain(worse).collect();
        report.thresholds = judgement.checked.into_iter().map(demand).collect();
        if !reasons.is_empty() {
            (report.verdict, report.reason) = (Verdict::Fail, Some(reasons.join("; ")));
        }
        compared
    }
}

fn demand(checked: Checked) -> Demand {
    Demand { threshold: checked.threshold.to_string(), actual: checked.actual, passed: checked.passed }
}

/// A run of any version of this schema, as it stands in the file: not all of its fields need be known.
///
/// # Errors
/// What is wrong with it, and the exit code.
fn read(path: &Path) -> Result<Value, (u8, String)> {
    let run = read_json(path)?;
    match &run["schema"] {
        Value::String(schema) if schema == SCHEMA => Ok(run),
        schema => Err((USAGE, format!("{}: schema {schema}, but a baseline has {SCHEMA:?}", path.display()))),
    }
}

/// What stands in a file of a bounded size.
///
/// # Errors
/// What is wrong with it, and the exit code.
pub(super) fn read_json(path: &Path) -> Result<Value, (u8, String)> {
    let failed = |error: std::io::Error| (RUNTIME_ERROR, format!("cannot read {}: {error}", path.display()));
    let unusable = |error: String| (USAGE, format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let limit = FILE_MIB_MAX << 20;
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(unusable(format!("it is larger than {FILE_MIB_MAX} MiB, the most that is read of a file")));
    }
    serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))
}
