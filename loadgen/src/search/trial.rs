//! What a run came to as a trial of a search.

use super::classify::Trial;
use super::{Kind, Tried};
use crate::report::{Report, SHORTFALL, Verdict};

/// Time in which a hypervisor ran others explains a loss of as many times what was due in it: the time is counted in hundredths of
/// a second, and what comes in a bunch after a pause may not find room either.
const STOLEN_FACTOR: f64 = 2.0;

/// Messages of a run that arrived, as they were found or as counters saw it.
///
/// # Errors
/// Why nobody knows, in words.
pub fn arrived(report: &Report) -> Result<u64, String> {
    if let Some(why) = report.unknown() {
        return Err(why);
    }
    let counted = report.counted_lost.map(|lost| report.offered.saturating_sub(lost));
    let found = report.found.as_ref().map(|found| found.stored.min(report.offered));
    found.or(counted).ok_or_else(|| {
        format!("nobody tells what {} loses: its sockets are not seen here; add --check or --admin", report.target)
    })
}

/// What a run that was to offer `load` for `seconds` says of it.
///
/// What was not offered in time counts as lost, as the draft demands of a tester that cannot keep up ("Trial Loss Ratio"); whose
/// fault that is, is told.
///
/// # Errors
/// Why it says nothing, in words: it broke off, or what arrived is not known.
pub fn judge(report: &Report, kind: Kind, load: u64, seconds: f64) -> Result<(Trial, Tried), String> {
    let arrived = arrived(report)?;
    let accounted = report.sent + report.sending.overflow;
    if report.verdict == Verdict::Invalid && (accounted as f64) < report.offered as f64 * (1.0 - SHORTFALL) {
        return Err(report.reason.clone().unwrap_or_default());
    }
    let late_seconds = (report.elapsed_seconds - report.plan.seconds).max(0.0);
    let is_late = report.verdict == Verdict::Invalid;
    let stretch = if is_late { (seconds + late_seconds) / seconds } else { 1.0 };
    let loss_ratio = 1.0 - arrived as f64 / (report.offered.max(1) as f64 * stretch);
    let waited_seconds = report.sending.blocked_seconds / report.plan.threads.max(1) as f64;
    let is_sender_limited = is_late && waited_seconds <= late_seconds / 2.0;
    let stolen_ms = report.change.host.stolen_ms;
    let lasted_seconds = if kind == Kind::Burst { report.elapsed_seconds } else { seconds };
    let is_disturbed = is_explained(loss_ratio, lasted_seconds, stolen_ms);
    let doubt = if is_disturbed {
        Some(format!("a hypervisor ran others on these processors for {stolen_ms} ms, which may be why"))
    } else {
        report.reason.clone().filter(|_| is_sender_limited)
    };
    let trial = Trial { load, seconds, loss_ratio, is_sender_limited, is_disturbed };
    let tried = Tried {
        kind,
        load,
        seconds: lasted_seconds,
        offered: report.offered,
        lost: report.offered - arrived,
        loss_ratio,
        invalid: doubt,
        counts: true,
        run: report.run.clone(),
        started: report.started.clone(),
    };
    Ok((trial, tried))
}

/// Whether so much can be lost because a hypervisor ran others for so long.
fn is_explained(loss_ratio: f64, seconds: f64, stolen_ms: u64) -> bool {
    loss_ratio > 0.0 && loss_ratio * seconds * 1e3 <= STOLEN_FACTOR * stolen_ms as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_counted_is_not_known_to_have_arrived() {
        let run = serde_json::from_str(include_str!("../../tests/golden/pages/udp.json")).unwrap();
        let counted = Report { found: None, counted_lost: Some(100), check_failed: None, ..run };
        assert_eq!(judge(&counted, Kind::Rate, 1000, 5.0).unwrap().1.lost, 100);
        let nobody = Report { counted_lost: None, ..counted.clone() };
        assert!(judge(&nobody, Kind::Rate, 1000, 5.0).unwrap_err().contains("add --check or --admin"));
        let failed = Report { check_failed: Some("it broke".into()), ..counted };
        assert!(judge(&failed, Kind::Rate, 1000, 5.0).unwrap_err().contains("it broke"));
    }

    #[test]
    fn a_hypervisor_explains_what_was_due_in_its_time_and_no_more() {
        for (loss_ratio, seconds, stolen_ms, is) in [
            (0.0, 1.0, 500, false),
            (0.001, 1.0, 0, false),
            (0.001, 1.0, 10, true),
            (0.019, 1.0, 10, true),
            (0.021, 1.0, 10, false),
            (0.021, 0.5, 10, true),
            (0.0021, 10.0, 10, false),
        ] {
            assert_eq!(is_explained(loss_ratio, seconds, stolen_ms), is, "{loss_ratio} in {seconds} s, {stolen_ms} ms");
        }
    }
}
