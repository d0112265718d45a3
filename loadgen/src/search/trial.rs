//! What a run came to as a trial of a search.

use super::classify::Trial;
use super::{Kind, Tried};
use crate::report::{Report, SHORTFALL, Verdict};

/// Messages of a run that arrived, as far as anybody knows.
#[must_use]
pub fn arrived(report: &Report) -> u64 {
    let counted = report.offered.saturating_sub(report.counted_lost.unwrap_or(0));
    report.found.as_ref().map_or(counted, |found| found.stored).min(report.offered)
}

/// What a run that was to offer `load` for `seconds` says of it.
///
/// What was not offered in time counts as lost, as the draft demands of a tester that cannot keep up ("Trial Loss Ratio"); whose
/// fault that is, is told.
///
/// # Errors
/// Why it says nothing, in words: it broke off, or what arrived is not known.
pub fn judge(report: &Report, kind: Kind, load: u64, seconds: f64) -> Result<(Trial, Tried), String> {
    if let Some(why) = &report.check_failed {
        return Err(format!("what arrived could not be found out: {why}"));
    }
    let accounted = report.sent + report.sending.overflow;
    if report.verdict == Verdict::Invalid && (accounted as f64) < report.offered as f64 * (1.0 - SHORTFALL) {
        return Err(report.reason.clone().unwrap_or_default());
    }
    let arrived = arrived(report);
    let late_seconds = (report.elapsed_seconds - report.plan.seconds).max(0.0);
    let is_late = report.verdict == Verdict::Invalid;
    let stretch = if is_late { (seconds + late_seconds) / seconds } else { 1.0 };
    let loss_ratio = 1.0 - arrived as f64 / (report.offered.max(1) as f64 * stretch);
    let waited_seconds = report.sending.blocked_seconds / report.plan.threads.max(1) as f64;
    let trial = Trial { load, seconds, loss_ratio, is_sender_limited: is_late && waited_seconds <= late_seconds / 2.0 };
    let tried = Tried {
        kind,
        load,
        seconds: if kind == Kind::Burst { report.elapsed_seconds } else { seconds },
        offered: report.offered,
        lost: report.offered - arrived,
        loss_ratio,
        invalid: report.reason.clone().filter(|_| trial.is_sender_limited),
        run: report.run.clone(),
        started: report.started.clone(),
    };
    Ok((trial, tried))
}
