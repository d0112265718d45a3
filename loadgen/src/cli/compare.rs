//! `loadgen compare`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;

use super::judging::Judges;
use super::plan::PlanOptions;
use super::run::{perform, stop};
use super::watch::WatchOptions;
use super::{RUNTIME_ERROR, USAGE, exit_code};
use crate::check::Check;
use crate::compare::{Comparison, REPETITIONS_MAX, SCHEMA, TARGETS_MAX, Turn, turns};
use crate::report::Verdict;
use crate::run::Order;
use crate::target::Target;
use crate::threshold::Threshold;
use crate::values::parse_duration;
use crate::view::Mode;

/// How long each target is sent to before what counts: the first run of a collector touches its memory.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct Compare {
    /// Where to send: several URLs, of one collector or of several.
    #[arg(value_name = "TARGET", required = true, num_args = 2..=TARGETS_MAX)]
    targets: Vec<Target>,
    #[command(flatten)]
    plan: PlanOptions,
    /// How arrival is checked: one for all targets, or one for each in their order; see run.
    #[arg(long = "check", value_name = "CHECK")]
    checks: Vec<Check>,
    /// The collectors' admin listeners: one for all, or one for each.
    #[arg(long = "admin", value_name = "ADDRESS")]
    admins: Vec<String>,
    /// The collectors' processes, where their ports do not tell: one for all, or one for each.
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
    /// What has not come when nothing came for so long is lost.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    drain: Duration,
    /// Runs to each target, in turn forwards and backwards.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(REPETITIONS_MAX)))]
    repetitions: u32,
    /// What each run must keep, such as 'loss_ratio<=0.01%' or 'latency.p99<5ms'; may be given again.
    #[arg(long = "threshold", value_name = "FIGURE OP VALUE")]
    thresholds: Vec<Threshold>,
    /// Write all reports to this file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn execute(command: &Compare) -> Result<u8, (u8, String)> {
    let judges = Judges { thresholds: command.thresholds.clone(), baseline: None };
    let orders = command.orders().map_err(|error| (USAGE, error))?;
    let stop = stop()?;
    for order in &orders {
        perform(&Order { schedule: order.schedule.first(WARM_UP), ..order.clone() }, &stop)?;
    }
    let mut comparison = Comparison {
        schema: SCHEMA,
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        targets: command.targets.iter().map(ToString::to_string).collect(),
        runs: Vec::new(),
    };
    let turns = turns(orders.len(), command.repetitions);
    for (number, target) in turns.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        eprintln!("run {} of {}: {}", number + 1, turns.len(), orders[*target].target);
        let mut run = perform(&orders[*target], &stop)?;
        // Without a baseline there is nothing that could not be compared.
        let _ = judges.judge(&mut run);
        comparison.runs.push(Turn { target: *target, run });
        // After each: what has been measured is not lost with what comes.
        command
            .output
            .as_ref()
            .map_or(Ok(()), |path| comparison.write(path))
            .map_err(|error| (RUNTIME_ERROR, error))?;
    }
    let told = std::io::stdout().write_all(comparison.text().as_bytes());
    told.map_err(|error| (RUNTIME_ERROR, format!("cannot write the result: {error}")))?;
    Ok(command.code(&comparison))
}

impl Compare {
    fn orders(&self) -> Result<Vec<Order>, String> {
        let order = |(number, target): (usize, &Target)| {
            let watching = WatchOptions {
                check: self.of(number, "check", &self.checks)?.unwrap_or_default(),
                admin: self.of(number, "admin", &self.admins)?,
                pid: self.of(number, "pid", &self.pids)?,
                drain: self.drain,
                ui: Mode::Quiet,
            };
            self.plan.applicable(target).order(target.clone(), &watching)
        };
        self.targets.iter().enumerate().map(order).collect()
    }

    /// What an option says for target `number`: the one value is for all.
    fn of<T: Clone>(&self, number: usize, option: &str, values: &[T]) -> Result<Option<T>, String> {
        match values {
            [] => Ok(None),
            [all] => Ok(Some(all.clone())),
            each if each.len() == self.targets.len() => Ok(Some(each[number].clone())),
            each => Err(format!("--{option} is given {} times: give it once, or once for each target", each.len())),
        }
    }

    /// Loss is what is compared: it fails only where something was demanded.
    fn code(&self, comparison: &Comparison) -> u8 {
        let is_any = |verdict| comparison.runs.iter().any(|turn| turn.run.verdict == verdict);
        if comparison.runs.iter().any(|turn| turn.run.check_failed.is_some()) {
            RUNTIME_ERROR
        } else if is_any(Verdict::Invalid) {
            exit_code(Verdict::Invalid)
        } else if is_any(Verdict::Fail) && !self.thresholds.is_empty() {
            exit_code(Verdict::Fail)
        } else {
            0
        }
    }
}
