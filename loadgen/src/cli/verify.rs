//! `loadgen verify`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{INVALID_RUN, RUNTIME_ERROR, THRESHOLD_BREACHED, USAGE};
use crate::report::{Report, Verdict};
use crate::verify::{Verification, verdict, verify};

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
    let report = Report::read(&command.run).map_err(|error| (USAGE, error))?;
    let found = verify(&report, &command.paths).map_err(|error| (RUNTIME_ERROR, error.to_string()))?;
    let verdict = verdict(&report, &found);
    let mut stdout = std::io::stdout().lock();
    let printed = if command.json {
        let mut json = serde_json::json!(found);
        json["verdict"] = serde_json::json!(verdict);
        writeln!(stdout, "{json:#}")
    } else {
        writeln!(stdout, "{}", verification_text(&found, verdict, report.reason.as_deref()))
    };
    printed.map_err(|error| (RUNTIME_ERROR, format!("cannot write the result: {error}")))?;
    Ok(match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => THRESHOLD_BREACHED,
        Verdict::Invalid => INVALID_RUN,
    })
}

fn verification_text(found: &Verification, verdict: Verdict, reason: Option<&str>) -> String {
    let Verification { run, sent, stored, lost, lost_at_end, duplicates, reordered, corrupted, unexpected, .. } = found;
    let percent = if *sent == 0 { 0.0 } else { *lost as f64 / *sent as f64 * 100.0 };
    let verdict = match verdict {
        Verdict::Pass => "PASS".to_owned(),
        Verdict::Fail => "FAIL".to_owned(),
        Verdict::Invalid => format!("INVALID ({})", reason.unwrap_or("the plan was not kept")),
    };
    format!(
        "run {run}: {verdict}\nsent        {sent}\nstored      {stored}\nlost        {lost} ({percent:.4} %)\n\
         at the end  {lost_at_end}\nduplicates  {duplicates}\nreordered   {reordered}\ncorrupted   {corrupted}\nunexpected  {unexpected}"
    )
}
