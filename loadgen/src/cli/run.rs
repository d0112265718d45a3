//! `loadgen run`.

use std::path::PathBuf;

use clap::Args;

use super::plan::PlanOptions;
use super::{INVALID_RUN, PREFLIGHT_FAILED, RUNTIME_ERROR, USAGE};
use crate::report::{Report, Verdict};
use crate::run::{RunError, run};
use crate::target::Target;

#[derive(Args)]
pub(super) struct Run {
    /// Where to send: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH (a stream) or unixgram:///PATH.
    target: Target,
    #[command(flatten)]
    plan: PlanOptions,
    /// Write what was sent to this file, for verify.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn execute(command: &Run) -> Result<u8, (u8, String)> {
    let order = command.plan.order(command.target.clone(), command.quiet).map_err(|error| (USAGE, error))?;
    if cfg!(debug_assertions) {
        eprintln!("loadgen: built without optimisation: rates and times say nothing");
    }
    let report = run(&order).map_err(|error| {
        let code = match error {
            RunError::Message(_) | RunError::Tls(_) => USAGE,
            RunError::Preflight { .. } => PREFLIGHT_FAILED,
            RunError::System { .. } => RUNTIME_ERROR,
        };
        (code, error.to_string())
    })?;
    if let Some(path) = &command.output {
        report.write(path).map_err(|error| (RUNTIME_ERROR, error))?;
    }
    println!("{}", sentence(&report));
    Ok(if report.verdict == Verdict::Invalid { INVALID_RUN } else { 0 })
}

fn sentence(report: &Report) -> String {
    let Report { sent, offered, target, achieved_rate, elapsed_seconds, sender_cpu_ns_per_message, run, .. } = report;
    let mut text = format!(
        "run {run}: sent {sent} of {offered} messages to {target} in {elapsed_seconds:.3} s, {achieved_rate:.0} a second, \
         {sender_cpu_ns_per_message:.0} ns of processor time each"
    );
    if let Some(reason) = &report.reason {
        text.push_str("\nINVALID: ");
        text.push_str(reason);
    }
    text
}
