//! The end of a run for whoever watched it: the verdict, where the messages are, and what it took.

use std::fmt::Write;

use super::{Report, Verdict};
use crate::baseline::Change;
use crate::figures::{Figure, figures};
use crate::ledger::Place;
use crate::verify::Verification;

/// Figures that are told, if they were measured.
const TOLD: [&Figure; 12] = figures([
    "duplicates",
    "reordered",
    "corrupted",
    "latency.p50",
    "latency.p99",
    "latency.max",
    "latency_synced.p99",
    "pacing.lag_us.p99",
    "pacing.lag_us.max",
    "sender_cpu_ns_per_message",
    "collector.cpu_ns_per_message",
    "collector.rss_bytes",
]);

/// Time that a hypervisor takes away is told from this share of the run on.
const STOLEN_SHARE_TOLD: f64 = 0.01;

/// A clock that was set is told from here on: less may be the time between two readings.
const CLOCK_SET_TOLD_MS: f64 = 1.0;

/// Some lines of text, the verdict first.
#[must_use]
pub fn summary(report: &Report, regressions: &[Change]) -> String {
    let Report { run, target, sent, offered, elapsed_seconds, achieved_rate, ledger, .. } = report;
    let verdict = match (report.verdict, &report.check_failed) {
        (_, Some(_)) => "NOT CHECKED",
        (Verdict::Invalid, None) => "INVALID",
        (Verdict::Pass, None) => "PASS",
        (Verdict::Fail, None) => "FAIL",
    };
    let mut text = format!(
        "run {run}: {verdict}\n{}\nsent {sent} of {offered} messages to {target} in {elapsed_seconds:.3} s, \
         {achieved_rate:.0} a second\n",
        ledger.sentence
    );
    let is_told = |place| !matches!(place, Place::Unexplained) || report.found.is_some();
    for entry in ledger.places.iter().filter(|entry| entry.messages > 0 && is_told(entry.place)) {
        let share = entry.messages as f64 / (*offered).max(1) as f64 * 100.0;
        let about = if entry.exact { ' ' } else { '~' };
        let _ = writeln!(
            text,
            "  {:<16}{about}{:>12}  {share:>8.4} %  {}",
            entry.place.name(),
            entry.messages,
            entry.evidence
        );
    }
    let json = serde_json::json!(report);
    for figure in TOLD {
        if let Some(value) = figure.value(&json) {
            let _ = writeln!(text, "  {:<30}{:>14}", figure.name, figure.show(Some(value)));
        }
    }
    if let Some(damage) = report.found.as_ref().and_then(Verification::damage) {
        let _ = writeln!(text, "  {damage}");
    }
    let stolen_ms = report.change.host.stolen_ms;
    if stolen_ms as f64 > STOLEN_SHARE_TOLD * elapsed_seconds * 1e3 {
        let _ = writeln!(
            text,
            "  a hypervisor ran others on our processors for {stolen_ms} ms: what was late may not be anybody's fault"
        );
    }
    if report.clock_set_ms.abs() > CLOCK_SET_TOLD_MS {
        let _ = writeln!(
            text,
            "  the clock of this machine was set by {:+.1} ms during the run: latencies are wrong by up to that",
            report.clock_set_ms
        );
    }
    for demand in &report.thresholds {
        let _ = writeln!(text, "  {} {}", if demand.passed { "kept    " } else { "breached" }, demand.threshold);
    }
    for change in regressions {
        let _ = writeln!(text, "  worse    {change}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_told() {
        let mut run: Report = serde_json::from_str(include_str!("../../tests/golden/pages/udp.json")).unwrap();
        assert!(!summary(&run, &[]).contains("clock"));
        run.clock_set_ms = -1234.5;
        assert!(summary(&run, &[]).contains("was set by -1234.5 ms during the run: latencies are wrong by up to that"));
    }
}
