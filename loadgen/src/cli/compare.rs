//! `loadgen compare`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::judging::Judges;
use super::plan::PlanOptions;
use super::run::{perform_in_turn, stop};
use super::targets::Targets;
use super::{RUNTIME_ERROR, USAGE, exit_code, say, tell};
use crate::compare::{Comparison, REPETITIONS_MAX, SCHEMA, Turn, turns};
use crate::order::Order;
use crate::report::{Verdict, command_line};
use crate::threshold::Threshold;

/// How long each target is sent to before what counts: the first run of a collector touches its memory.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct Compare {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    plan: PlanOptions,
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
    let orders = command.orders().map_err(|error| (USAGE, error))?;
    let stop = stop()?;
    for order in &orders {
        perform_in_turn(&Order { schedule: order.schedule.first(WARM_UP), ..order.clone() }, &stop)?;
    }
    let mut comparison =
        Comparison { schema: SCHEMA, command: command_line(), targets: command.targets.names(), runs: Vec::new() };
    let ended = command.make(&mut comparison, &orders, &stop);
    // What was measured before it broke off is not lost.
    let told = tell(&comparison.text());
    ended.and(told)?;
    Ok(if stop.load(Ordering::Relaxed) { RUNTIME_ERROR } else { command.code(&comparison) })
}

impl Compare {
    fn orders(&self) -> Result<Vec<Order>, String> {
        let watched = self.targets.watched()?;
        if watched.len() < 2 {
            return Err("there is one target, but nothing to compare it with: name two or more".into());
        }
        watched.into_iter().map(|(target, watching)| self.plan.applicable(&target).order(target, &watching)).collect()
    }

    /// Runs to the targets in turn.
    fn make(&self, comparison: &mut Comparison, orders: &[Order], stop: &AtomicBool) -> Result<(), (u8, String)> {
        let judges = Judges { thresholds: self.thresholds.clone(), baseline: None };
        let turns = turns(orders.len(), self.repetitions);
        for (number, target) in turns.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            say(format_args!("run {} of {}: {}", number + 1, turns.len(), orders[*target].target));
            let mut run = perform_in_turn(&orders[*target], stop)?;
            // Without a baseline there is nothing that could not be compared.
            let _ = judges.judge(&mut run);
            comparison.runs.push(Turn { target: *target, run });
            let written = self.output.as_ref().map_or(Ok(()), |path| comparison.write(path));
            written.map_err(|error| (RUNTIME_ERROR, error))?;
        }
        Ok(())
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
