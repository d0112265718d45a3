//! `loadgen run`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;

use super::judging::{Judges, Judging};
use super::plan::PlanOptions;
use super::watch::WatchOptions;
use super::{PREFLIGHT_FAILED, RUNTIME_ERROR, USAGE, exit_code, say};
use crate::check::Check;
use crate::order::Order;
use crate::process::stop_on_signals;
use crate::report::text::summary;
use crate::report::{Report, Verdict};
use crate::run::{REST_INTERVAL, RunError, pause, run};
use crate::target::Target;
use crate::view::Mode;

#[derive(Args)]
pub(super) struct Run {
    /// Where to send: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH (a stream) or unixgram:///PATH.
    target: Target,
    #[command(flatten)]
    plan: PlanOptions,
    #[command(flatten)]
    watching: WatchOptions,
    #[command(flatten)]
    conduct: Conduct,
}

/// How a single run is shown and judged, and where its report goes: options of `run` and of `replay`.
#[derive(Args)]
pub(super) struct Conduct {
    /// How the run is shown: auto, terminal, plain (a line a second), json (an object a second, on standard output) or quiet.
    #[arg(long, value_name = "FORM", default_value = "auto")]
    ui: Mode,
    /// Show nothing while it runs: as --ui quiet.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    judging: Judging,
    /// Write the report to this file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn execute(command: &Run) -> Result<u8, (u8, String)> {
    command
        .conduct
        .run(|| command.plan.order(command.target.clone(), &command.watching).map_err(|error| (USAGE, error)))
}

impl Conduct {
    /// Runs what `order` makes, unless it cannot be judged as asked: that is looked at first.
    pub(super) fn run(&self, order: impl FnOnce() -> Result<Order, (u8, String)>) -> Result<u8, (u8, String)> {
        let judges = self.judging.load()?;
        let ui = if self.quiet { Mode::Quiet } else { self.ui };
        let order = Order { ui, ..order()? };
        judges.expect(&order)?;
        conduct(&order, &judges, self.output.as_deref())
    }
}

/// Runs `order`, judges it, writes the report to `output`, and tells how it went.
fn conduct(order: &Order, judges: &Judges, output: Option<&Path>) -> Result<u8, (u8, String)> {
    let mut report = perform(order, &*stop()?)?;
    let judged = judges.judge(&mut report);
    let written = output.map_or(Ok(()), |path| report.write(path));
    // Also when the report cannot be written, what it says must not be lost. JSON lines have standard output for themselves.
    let text = summary(&report, judged.as_deref().unwrap_or_default());
    let told = match order.ui {
        Mode::Json => std::io::stderr().write_all(text.as_bytes()),
        _ => std::io::stdout().write_all(text.as_bytes()),
    };
    written.map_err(|error| (RUNTIME_ERROR, error))?;
    told.map_err(|error| (RUNTIME_ERROR, format!("cannot write the result: {error}")))?;
    judged.map_err(|error| (USAGE, error))?;
    report.unknown().map_or_else(|| Ok(exit_code(report.verdict)), |why| Err((RUNTIME_ERROR, why)))
}

/// What SIGINT and SIGTERM set.
pub(super) fn stop() -> Result<Arc<AtomicBool>, (u8, String)> {
    stop_on_signals().map_err(|error| (RUNTIME_ERROR, format!("a signal handler: {error}")))
}

/// Runs `order`; what stops it has an exit code.
pub(super) fn perform(order: &Order, stop: &AtomicBool) -> Result<Report, (u8, String)> {
    if cfg!(debug_assertions) {
        say("loadgen: built without optimisation: rates and times say nothing");
    }
    run(order, stop).map_err(|error| {
        let code = match error {
            RunError::Message(_) | RunError::Tls(_) => USAGE,
            RunError::Preflight { .. } => PREFLIGHT_FAILED,
            RunError::System { .. } => RUNTIME_ERROR,
        };
        (code, error.to_string())
    })
}

/// Runs `order` as one of several. After what was too much for a collector, and where nobody tells whether it has come to rest,
/// --drain is waited, so that the next run does not meet what is left (RFC 2544 section 23).
pub(super) fn perform_in_turn(order: &Order, stop: &AtomicBool) -> Result<Report, (u8, String)> {
    let report = perform(order, stop)?;
    let is_told = order.check != Check::None || order.admin.is_some();
    let is_kept = report.verdict != Verdict::Invalid && report.loss_ratio() == Some(0.0);
    let since = Instant::now();
    while !is_told && !is_kept && since.elapsed() < order.drain && pause(REST_INTERVAL, stop) {}
    Ok(report)
}
