//! The options that say what a run must keep: those of `run` and of `report`.

use std::path::PathBuf;

use clap::Args;

use super::USAGE;
use super::input::read_run;
use crate::baseline::{Baseline, Change, Limit};
use crate::order::Order;
use crate::report::judged::Standing;
use crate::report::{Demand, Report, Verdict};
use crate::threshold::{Checked, Threshold};

#[derive(Args)]
pub(super) struct Judging {
    /// What a run must keep, such as 'loss_ratio<=0.01%' or 'latency.p99<5ms'; may be given again. Without any nothing may be
    /// lost, doubled or changed; for a report, the verdict that a run has stands.
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
            Baseline::new(read_run(path)?, self.max_regress.clone(), self.ignore_plan)
                .map_err(|error| (USAGE, format!("{}: as a baseline: {error}", path.display())))
        };
        let baseline = self.baseline.as_ref().map(make).transpose()?;
        Ok(Judges { thresholds: self.thresholds.clone(), baseline })
    }
}

impl Judges {
    /// Whether a run of this plan can be compared with the baseline: what is known before it.
    ///
    /// # Errors
    /// Why it cannot, and the exit code.
    pub(super) fn expect(&self, order: &Order) -> Result<(), (u8, String)> {
        let refused = |error| (USAGE, error);
        self.baseline.as_ref().map_or(Ok(()), |baseline| baseline.expect(&order.planned())).map_err(refused)
    }

    /// Judges a run that is over, and writes the verdict into its report. What became worse than it may, or why it cannot be
    /// compared with the baseline.
    pub(super) fn judge(&self, report: &mut Report) -> Result<Vec<Change>, String> {
        if report.verdict == Verdict::Invalid {
            return Ok(Vec::new());
        }
        let run = serde_json::json!(report);
        let compared = self.baseline.as_ref().map_or(Ok(Vec::new()), |baseline| baseline.compare(&run));
        let compared = compared.map(|mut changes| {
            changes.retain(|change| change.regressed);
            changes
        });
        let changes = compared.as_deref().unwrap_or_default();
        let Standing { verdict, mut reason, checked } = Standing::of(&run, None, &self.thresholds, changes);
        if let (Some(reason), Some(absent)) =
            (&mut reason, report.found.as_ref().and_then(|found| found.absent.as_ref()))
        {
            *reason += &format!("; {absent}");
        }
        report.thresholds = checked.into_iter().map(demand).collect();
        (report.verdict, report.reason) = (verdict, reason);
        compared
    }
}

fn demand(checked: Checked) -> Demand {
    Demand { threshold: checked.threshold.to_string(), actual: checked.actual, passed: checked.passed }
}
