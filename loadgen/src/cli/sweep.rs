//! `loadgen sweep`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::plan::TrafficOptions;
use super::run::{perform_in_turn, stop};
use super::search::{FullSpeed, Trials};
use super::targets::Targets;
use super::{RUNTIME_ERROR, USAGE, say, tell};
use crate::compare::turns;
use crate::order::Order;
use crate::report::command_line;
use crate::schedule::{Profile, Schedule};
use crate::search::{Found, Kind, Limit, Preset, RATE_LEAST, Search};
use crate::sweep::{Points, SCHEMA, Step, Sweep};
use crate::values::{Rate, parse_duration, parse_rate};

#[derive(Args)]
pub(super) struct SweepArguments {
    #[command(flatten)]
    targets: Targets,
    /// Rates, and shares of the lossless rate.
    #[arg(long, value_name = "RATES", default_value = "10%-150%/10%")]
    rates: Points,
    /// The lossless rate, messages a second; unless given, it is searched for first, at the first target.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    lossless: Option<Rate>,
    /// How long to send at each rate.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    duration: Duration,
    #[command(flatten)]
    traffic: TrafficOptions,
    /// Write all reports to this file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What the first target keeps up with, messages a second, and what limited that if it was searched for.
struct Lossless {
    rate: f64,
    limit: Option<Limit>,
}

pub(super) fn execute(command: &SweepArguments) -> Result<u8, (u8, String)> {
    let orders = command.orders().map_err(|error| (USAGE, error))?;
    let stop = stop()?;
    let lossless = command.lossless(&orders[0], &stop)?;
    let lossless_rate = lossless.as_ref().map(|lossless| lossless.rate);
    let mut sweep = Sweep {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: command_line(),
        targets: command.targets.names(),
        lossless_rate,
        lossless_limit: lossless.and_then(|lossless| lossless.limit),
        runs: Vec::new(),
    };
    let ended = command.make(&mut sweep, &orders, &stop);
    // What was measured before it broke off is not lost.
    let told = tell(&sweep.text());
    ended.and(told)?;
    // Loss, and a sender that cannot go on, are what is looked for here.
    let is_broken = |step: &Step| step.run.check_failed.is_some();
    Ok(if stop.load(Ordering::Relaxed) || sweep.runs.iter().any(is_broken) { RUNTIME_ERROR } else { 0 })
}

impl SweepArguments {
    /// Sends at one rate after the other, to the targets in turn.
    fn make(&self, sweep: &mut Sweep, orders: &[Order], stop: &AtomicBool) -> Result<(), (u8, String)> {
        let rates = self.rates.rates(sweep.lossless_rate.unwrap_or_default());
        let turns = turns(orders.len(), rates.len() as u32);
        for (number, target) in turns.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let (rate, order) = (rates[number / orders.len()], &orders[*target]);
            say(format_args!("run {} of {}: {} at {rate:.0} a second", number + 1, turns.len(), order.target));
            let order = order.sending(Some(rate), self.duration, None).map_err(|error| (USAGE, error))?;
            let run = perform_in_turn(&order, stop)?;
            sweep.runs.push(Step { target: *target, rate, run });
            self.output.as_ref().map_or(Ok(()), |path| sweep.write(path)).map_err(|error| (RUNTIME_ERROR, error))?;
        }
        Ok(())
    }

    fn orders(&self) -> Result<Vec<Order>, String> {
        let schedule = Schedule::new(Profile::Const, None, self.duration, None, 0)?;
        let order = |(target, watching)| {
            let traffic = self.traffic.applicable(&target);
            let order = traffic.order(target, &watching, schedule.clone())?;
            order.must_be_counted()?;
            Ok(order)
        };
        self.targets.watched()?.into_iter().map(order).collect()
    }

    /// What the first target keeps up with: as it was given, or as a quick search finds it.
    fn lossless(&self, order: &Order, stop: &AtomicBool) -> Result<Option<Lossless>, (u8, String)> {
        let named = |rate| Lossless { rate, limit: None };
        match self.lossless {
            Some(Rate::PerSecond(rate)) => return Ok(Some(named(rate))),
            Some(Rate::Max) => return Err((USAGE, "--lossless is a rate, such as 200k, not max".into())),
            None if !self.rates.are_relative() => return Ok(None),
            None => {}
        }
        let goal = Preset::Quick.goal("lossless", 0.0);
        let mut trials = Trials { order, stop, is_quiet: false, tried: Vec::new() };
        let FullSpeed { rate, limit } = trials.full_speed(goal.initial_trial_seconds, RATE_LEAST)?;
        let mut search = Search::new(vec![goal.clone()], RATE_LEAST, rate as u64);
        trials.search(&mut search, Kind::Rate)?;
        let found = Found::new(goal, Kind::Rate, search.outcomes()[0], limit);
        say(&found.sentence);
        match (found.lower, found.limit) {
            (Some(lower), Limit::Collector | Limit::Sender) => {
                Ok(Some(Lossless { rate: lower as f64, limit: Some(found.limit) }))
            }
            _ => Err((RUNTIME_ERROR, format!("{}: name a rate by --lossless", found.sentence))),
        }
    }
}
