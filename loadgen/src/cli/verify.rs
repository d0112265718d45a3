//! `loadgen verify`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::input::read_run;
use super::{RUNTIME_ERROR, USAGE, exit_code};
use crate::report::{Report, Verdict};
use crate::verify::{Latency, Verification, VerifyError, verdict, verify};
use crate::view::wording::share_to;

#[derive(Args)]
pub(super) struct Verify {
    /// The file that run -o wrote.
    #[arg(long, value_name = "FILE")]
    run: PathBuf,
    /// Where messages were stored: logboom data directories or segments, any collector's text files, - for standard
    /// input.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(command: &Verify) -> Result<u8, (u8, String)> {
    let run = read_run(&command.run)?;
    let report: Report =
        serde_json::from_value(run).map_err(|error| (USAGE, format!("{}: {error}", command.run.display())))?;
    let found = verify(&report, &command.paths).map_err(|error| {
        let code = if matches!(error, VerifyError::Untagged) { USAGE } else { RUNTIME_ERROR };
        (code, error.to_string())
    })?;
    let verdict = verdict(&report, &found);
    let mut stdout = std::io::stdout().lock();
    let printed = if command.json {
        let mut json = serde_json::json!(found);
        json["run"] = serde_json::json!(report.run);
        json["sent"] = serde_json::json!(report.offered_by_flow.iter().sum::<u64>());
        json["verdict"] = serde_json::json!(verdict);
        writeln!(stdout, "{json:#}")
    } else {
        writeln!(stdout, "{}", verification_text(&report, &found, verdict))
    };
    printed.map_err(|error| (RUNTIME_ERROR, format!("cannot write the result: {error}")))?;
    Ok(exit_code(verdict))
}

fn verification_text(report: &Report, found: &Verification, verdict: Verdict) -> String {
    let (run, sent) = (&report.run, report.offered_by_flow.iter().sum::<u64>());
    let Verification { stored, lost, lost_at_end, loss_runs, reorder_depth, reordered, .. } = found;
    let verdict = match verdict {
        Verdict::Pass => "PASS".to_owned(),
        Verdict::Fail => "FAIL".to_owned(),
        Verdict::Invalid => {
            let why = report.reason.as_deref().unwrap_or("the plan was not kept");
            let complete = if found.is_complete() { "is" } else { "is not" };
            format!("INVALID, as the run was ({why}); what it did send {complete} there, once and unchanged")
        }
    };
    let wrapped =
        if found.wrapped == 0 { String::new() } else { format!(" ({} with something behind)", found.wrapped) };
    let runs = match loss_runs.count {
        0 => String::new(),
        count => format!("; runs {count}, lengths p50 {} p99 {} max {}", loss_runs.p50, loss_runs.p99, loss_runs.max),
    };
    let depth = match reordered {
        0 => String::new(),
        _ => format!("; behind by p50 {} p99 {} max {}", reorder_depth.p50, reorder_depth.p99, reorder_depth.max),
    };
    let ratio = share_to(4, found.loss_ratio);
    let mut text = format!(
        "run {run}: {verdict}\nsent        {sent}\nstored      {stored}{wrapped}\nlost        {lost} ({ratio}){runs}\n\
         at the end  {lost_at_end}\nduplicates  {}\nreordered   {reordered}{depth}\ncorrupted   {}\nunexpected  {}",
        found.duplicates, found.corrupted, found.unexpected
    );
    text.extend(found.damage().map(|damage| format!("\ndamaged     {damage}")));
    for (name, latency) in [("received", &found.latency), ("synced", &found.latency_synced)] {
        text.extend(latency.iter().map(|latency| format!("\n{name:<11} {}", latency_text(latency))));
    }
    text
}

fn latency_text(latency: &Latency) -> String {
    let Latency { samples, negative, mean, p50, p90, p99, p999, max, .. } = latency;
    let mut text = format!(
        "after ms: p50 {p50:.3} p90 {p90:.3} p99 {p99:.3} p99.9 {p999:.3} max {max:.3} mean {mean:.3} ({samples} messages)"
    );
    if *negative > 0 {
        text += &format!("; {negative} before they were due: two clocks differ");
    }
    text
}
