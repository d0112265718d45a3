//! What a run came to as a trial of a search.

use super::classify::Trial;
use super::{Kind, Tried};
use crate::report::{Report, SHORTFALL, Verdict, broken_plan};

/// Time in which a hypervisor ran others explains a loss of as many times what was due in it: the time is counted in hundredths of
/// a second, and what comes in a bunch after a pause may not find room either.
const STOLEN_FACTOR: f64 = 2.0;

/// A sender that waited for the collector for such a share of the time would have been faster without. One that did not fill its
/// buffers did not wait at all.
const HELD_BACK: f64 = 0.05;

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
    let is_late = is_late(report);
    if report.verdict == Verdict::Invalid && !is_late {
        return Err(report.reason.clone().unwrap_or_default());
    }
    let late_seconds = if is_late { (report.elapsed_seconds - report.plan.seconds).max(0.0) } else { 0.0 };
    let lost_share = 1.0 - arrived as f64 / report.offered.max(1) as f64;
    let late_share = late_seconds / (seconds + late_seconds);
    let loss_ratio = 1.0 - (1.0 - lost_share) * (1.0 - late_share);
    let is_sender_limited = is_senders(lost_share, late_share, waited_seconds(report) / late_seconds);
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

/// Whether all that is wrong with a run is that it was late: everything was sent, and no connection broke behind it.
fn is_late(report: &Report) -> bool {
    let Report { plan, sent, sending, .. } = report;
    let is_whole = (sent + sending.overflow) as f64 >= report.offered as f64 * (1.0 - SHORTFALL);
    let late = broken_plan(plan, *sent, report.elapsed_seconds, sending);
    is_whole && late.is_some() && late == report.reason
}

/// Time that a thread of the sender waited for the collector, on average.
fn waited_seconds(report: &Report) -> f64 {
    report.sending.blocked_seconds / report.plan.threads.max(1) as f64
}

/// Whether the sender is why less arrived than was to be offered in time: more of it was late than was lost, and of that time
/// little was spent waiting for the collector.
fn is_senders(lost_share: f64, late_share: f64, waited: f64) -> bool {
    late_share > lost_share && waited <= 0.5
}

/// Whether the collector is why the sender was not faster at full speed.
#[must_use]
pub fn is_held_back(report: &Report) -> bool {
    waited_seconds(report) > report.elapsed_seconds * HELD_BACK
}

/// Whether so much can be lost because a hypervisor ran others for so long.
fn is_explained(loss_ratio: f64, seconds: f64, stolen_ms: u64) -> bool {
    loss_ratio > 0.0 && loss_ratio * seconds * 1e3 <= STOLEN_FACTOR * stolen_ms as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Plan, Sending};
    use crate::schedule::Profile;
    use crate::verify::Verification;

    /// A run of 1,000 messages in a second, of which so many were found, on one thread.
    fn run(stored: u64, elapsed_seconds: f64, blocked_seconds: f64) -> Report {
        let mut run: Report = serde_json::from_str(include_str!("../../tests/golden/pages/udp.json")).unwrap();
        run.plan =
            Plan { profile: Profile::Const, rate: Some(1000.0), count: 1000, seconds: 0.999, threads: 1, ..run.plan };
        (run.offered, run.sent, run.elapsed_seconds, run.check_failed) = (1000, 1000, elapsed_seconds, None);
        run.sending = Sending { blocked_seconds, ..Sending::default() };
        run.change.host.stolen_ms = 0;
        run.found = run.found.map(|found| Verification { stored, ..found });
        run.reason = broken_plan(&run.plan, run.sent, elapsed_seconds, &run.sending);
        run.verdict = if run.reason.is_some() { Verdict::Invalid } else { Verdict::Pass };
        run
    }

    #[test]
    fn what_was_late_counts_as_lost_and_what_broke_behind_the_last_message_says_nothing() {
        let judged = |run: &Report| judge(run, Kind::Rate, 1000, 1.0).map(|(trial, _)| trial);
        let trial = judged(&run(900, 0.999, 0.0)).unwrap();
        assert!((trial.loss_ratio - 0.1).abs() < 1e-9 && !trial.is_sender_limited, "{trial:?}");
        let trial = judged(&run(900, 1.249, 0.0)).unwrap();
        assert!((trial.loss_ratio - 0.28).abs() < 1e-9 && trial.is_sender_limited, "{trial:?}");
        let trial = judged(&run(700, 1.049, 0.0)).unwrap();
        assert!(trial.loss_ratio > 0.3 && !trial.is_sender_limited, "{trial:?}");
        let trial = judged(&run(1000, 1.249, 0.2)).unwrap();
        assert!(trial.loss_ratio > 0.19 && !trial.is_sender_limited, "it waited: {trial:?}");
        let broken = Report { reason: Some("reset".into()), verdict: Verdict::Invalid, ..run(1000, 0.999, 0.0) };
        assert_eq!(judged(&broken), Err("reset".into()));
    }

    #[test]
    fn a_sender_that_waited_at_full_speed_was_held_back() {
        assert!(is_held_back(&run(1000, 1.0, 0.06)) && !is_held_back(&run(1000, 1.0, 0.04)));
        let two = run(1000, 1.0, 0.08);
        assert!(!is_held_back(&Report { plan: Plan { threads: 2, ..two.plan.clone() }, ..two }));
    }

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
