//! `loadgen search`.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::plan::TrafficOptions;
use super::run::{perform_in_turn, stop};
use super::watch::WatchOptions;
use super::{INVALID_RUN, PREFLIGHT_FAILED, RUNTIME_ERROR, USAGE, say, tell};
use crate::order::Order;
use crate::report::{Environment, Report, command_line};
use crate::schedule::{DURATION_MAX, Profile, Schedule};
use crate::search::trial::{arrived, is_held_back, judge};
use crate::search::{Found, Goal, Kind, Limit, Preset, RATE_LEAST, Record, SCHEMA, Search, Tried, Wanted, burst_goal};
use crate::target::Target;
use crate::values::{Rate, parse_count, parse_duration, parse_rate, parse_scaled};

#[derive(Args)]
pub(super) struct SearchArguments {
    /// Where to send; see run.
    target: Target,
    /// What to search for: lossless, loss=0.5% (the greatest rate that loses no more) or burst (the most messages at once
    /// that survive); may be given again. All three unless given, for streams lossless alone.
    #[arg(long = "goal", value_name = "GOAL")]
    goals: Vec<Aim>,
    /// How thoroughly.
    #[arg(long, value_enum, default_value_t)]
    preset: Preset,
    /// How long the deciding trials are, instead of the preset's time: what a buffer holds for so long counts as taken.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    trial: Option<Duration>,
    /// Least rate to try, messages a second.
    #[arg(long, value_name = "RATE", default_value_t = RATE_LEAST, value_parser = parse_per_second)]
    min_rate: u64,
    /// Greatest rate to try; what this sender sends at full speed unless given.
    #[arg(long, value_name = "RATE", value_parser = parse_per_second)]
    max_rate: Option<u64>,
    /// Largest burst to try.
    #[arg(long, value_name = "N", default_value = "1M", value_parser = parse_count)]
    max_burst: u64,
    #[command(flatten)]
    traffic: TrafficOptions,
    #[command(flatten)]
    watching: WatchOptions,
    /// Write the search with all its trials to this file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Do not tell of each trial.
    #[arg(short, long)]
    quiet: bool,
}

/// Something to search for.
#[derive(Clone, Debug, PartialEq)]
enum Aim {
    Loss { name: String, ratio: f64 },
    Burst,
}

impl FromStr for Aim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = |text| parse_scaled(text, &[("%", -2)]).filter(|ratio| *ratio > 0.0 && *ratio < 1.0);
        match text.split_once('=') {
            None if text == "lossless" => Ok(Self::Loss { name: text.into(), ratio: 0.0 }),
            None if text == "burst" => Ok(Self::Burst),
            Some(("loss", share)) => percent(share)
                .map(|ratio| Self::Loss { name: format!("loss<={share}"), ratio })
                .ok_or_else(|| format!("`{share}` is no share: write more than 0% and less than 100%, such as 0.5%")),
            _ => Err("write lossless, loss=0.5% or burst".into()),
        }
    }
}

fn parse_per_second(text: &str) -> Result<u64, String> {
    match parse_rate(text)? {
        Rate::PerSecond(rate) if rate >= 1.0 => Ok(rate.round() as u64),
        _ => Err("write messages a second, at least 1, such as 500, 200k or 1.5M".into()),
    }
}

pub(super) fn execute(command: &SearchArguments) -> Result<u8, (u8, String)> {
    let order = command.order().map_err(|error| (USAGE, error))?;
    let stop = stop()?;
    let mut trials = Trials { order: &order, stop: &stop, is_quiet: command.quiet, tried: Vec::new() };
    let mut record = command.record(&order);
    let searched = command.search(&mut trials, &mut record);
    record.trials = trials.tried;
    let sentences = record.goals.iter().chain(&record.burst).map(|found| found.sentence.as_str());
    record.sentence = sentences.collect::<Vec<_>>().join(". ");
    // What was found before it broke off is not lost.
    let written = command.output.as_ref().map_or(Ok(()), |path| record.write(path));
    let told = tell(&record.text());
    searched?;
    written.map_err(|error| (RUNTIME_ERROR, error))?;
    told?;
    Ok(code(&record))
}

/// A result that says less than was asked for is told by the exit code too.
fn code(record: &Record) -> u8 {
    let is_any = |limit| record.goals.iter().chain(&record.burst).any(|found| found.limit == limit);
    if is_any(Limit::Unfinished) {
        RUNTIME_ERROR
    } else if record.goals.iter().any(|found| found.limit == Limit::Sender) {
        INVALID_RUN
    } else {
        0
    }
}

impl SearchArguments {
    fn aims(&self) -> Vec<Aim> {
        let lossless = Aim::Loss { name: "lossless".into(), ratio: 0.0 };
        match &self.goals[..] {
            [] if self.target.transport.is_stream() => vec![lossless],
            [] => vec![lossless, Aim::Loss { name: "loss<=0.5%".into(), ratio: 0.005 }, Aim::Burst],
            goals => goals.to_vec(),
        }
    }

    /// The goals that are rates.
    fn rates(&self) -> Vec<Goal> {
        let goal = |aim: Aim| match aim {
            Aim::Loss { name, ratio } => Some(self.lasting(self.preset.goal(&name, ratio))),
            Aim::Burst => None,
        };
        self.aims().into_iter().filter_map(goal).collect()
    }

    /// `goal` with the trials that were asked for.
    fn lasting(&self, goal: Goal) -> Goal {
        let Some(seconds) = self.trial.map(|trial| trial.as_secs_f64()) else { return goal };
        Goal {
            initial_trial_seconds: goal.initial_trial_seconds.min(seconds),
            final_trial_seconds: seconds,
            sum_seconds: goal.sum_seconds / goal.final_trial_seconds * seconds,
            ..goal
        }
    }

    fn order(&self) -> Result<Order, String> {
        if self.max_rate.is_some_and(|most| most < self.min_rate) {
            return Err(format!("--max-rate is less than --min-rate, which is {}", self.min_rate));
        }
        let shortest = self.rates().into_iter().map(|goal| goal.initial_trial_seconds).fold(f64::MAX, f64::min);
        if self.min_rate as f64 * shortest < 1.0 {
            let rate = self.min_rate;
            return Err(format!("at --min-rate {rate} no message is due in a trial of {shortest} s: raise either"));
        }
        let schedule = Schedule::new(Profile::Const, None, Duration::from_secs(1), None, 0)?;
        let order = self.traffic.order(self.target.clone(), &self.watching, schedule)?;
        order.must_be_counted()?;
        Ok(order)
    }

    fn record(&self, order: &Order) -> Record {
        Record {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            command: command_line(),
            target: self.target.to_string(),
            started: jiff::Timestamp::now().to_string(),
            preset: self.preset.name(),
            plan: order.traffic(),
            check: order.check.to_string(),
            full_speed: None,
            goals: Vec::new(),
            burst: None,
            trials: Vec::new(),
            sentence: String::new(),
            environment: Environment::here(),
        }
    }

    /// Searches for one goal after the other, and writes down what is found.
    fn search(&self, trials: &mut Trials<'_>, record: &mut Record) -> Result<(), (u8, String)> {
        let goals = self.rates();
        if !goals.is_empty() {
            let (most, at_most) = match self.max_rate {
                Some(most) => (most, Limit::MaxLoad),
                None => {
                    let FullSpeed { rate, limit } = trials.full_speed(goals[0].initial_trial_seconds, self.min_rate)?;
                    record.full_speed = Some(rate);
                    (rate as u64, limit)
                }
            };
            let mut search = Search::new(goals.clone(), self.min_rate, most);
            let ended = trials.search(&mut search, Kind::Rate);
            let found = goals.into_iter().zip(search.outcomes());
            record.goals = found.map(|(goal, outcome)| Found::new(goal, Kind::Rate, outcome, at_most)).collect();
            ended?;
        }
        if self.aims().contains(&Aim::Burst) {
            let mut search = Search::new(vec![burst_goal()], 1, self.max_burst);
            let ended = trials.search(&mut search, Kind::Burst);
            record.burst = Some(Found::new(burst_goal(), Kind::Burst, search.outcomes()[0], Limit::MaxLoad));
            ended?;
        }
        Ok(())
    }
}

/// The trials of a search.
pub(super) struct Trials<'a> {
    pub(super) order: &'a Order,
    pub(super) stop: &'a AtomicBool,
    pub(super) is_quiet: bool,
    pub(super) tried: Vec<Tried>,
}

/// What a sender sends as fast as it can.
pub(super) struct FullSpeed {
    /// Messages a second; at least the least that is to be tried.
    pub(super) rate: f64,
    /// Who limits that.
    pub(super) limit: Limit,
}

impl Trials<'_> {
    /// Sends as fast as possible, which also touches all the collector's memory. There is no search above it, and none if that is
    /// below `least`.
    pub(super) fn full_speed(&self, seconds: f64, least: u64) -> Result<FullSpeed, (u8, String)> {
        let order = self.order.sending(None, Duration::from_secs_f64(seconds), None).map_err(usage)?;
        let report = perform_in_turn(&order, self.stop)?;
        if arrived(&report).map_err(|error| (PREFLIGHT_FAILED, error))? == 0 {
            return Err(nothing_arrives(&report));
        }
        let rate = report.achieved_rate;
        if rate < least as f64 {
            return Err(usage(format!(
                "{} takes {rate:.1} messages a second at full speed, but {least} are the least to be tried \
                 (--min-rate of search)",
                self.order.target
            )));
        }
        let limit = if is_held_back(&report) { Limit::Collector } else { Limit::Sender };
        if !self.is_quiet {
            let why = if limit == Limit::Collector { ", held back by the collector" } else { "" };
            say(format_args!("this sender sends {rate:.0} messages a second at full speed{why}"));
        }
        Ok(FullSpeed { rate, limit })
    }

    /// Makes the trials that `search` wants.
    pub(super) fn search(&mut self, search: &mut Search, kind: Kind) -> Result<(), (u8, String)> {
        let mut last = None;
        while let Some(Wanted { load, seconds }) = search.next() {
            let order = match kind {
                Kind::Rate => self.order.sending(Some(load as f64), Duration::from_secs_f64(seconds), None),
                Kind::Burst => self.order.sending(None, DURATION_MAX, Some(load)),
            };
            let report = perform_in_turn(&order.map_err(usage)?, self.stop)?;
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let (trial, mut tried) = judge(&report, kind, load, seconds).map_err(|error| (RUNTIME_ERROR, error))?;
            let lost = if tried.lost == 0 { "nothing".into() } else { format!("{} of {}", tried.lost, tried.offered) };
            let doubt = tried.invalid.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            tried.counts = search.record(trial);
            self.tried.push(tried);
            let told = match kind {
                Kind::Rate => format!("{load} a second for {seconds:.1} s"),
                Kind::Burst => format!("{load} at once"),
            };
            if !self.is_quiet {
                say(format_args!("trial {}: {told}: lost {lost}{doubt}", self.tried.len()));
            }
            last = Some(report);
        }
        match last {
            Some(report) if self.tried.iter().all(|tried| tried.lost == tried.offered) => Err(nothing_arrives(&report)),
            _ => Ok(()),
        }
    }
}

fn nothing_arrives(report: &Report) -> (u8, String) {
    (PREFLIGHT_FAILED, format!("nothing arrives: {}", report.ledger.sentence))
}

fn usage(error: String) -> (u8, String) {
    (USAGE, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_read_and_others_are_told() {
        assert_eq!("lossless".parse(), Ok(Aim::Loss { name: "lossless".into(), ratio: 0.0 }));
        assert_eq!("loss=0.5%".parse(), Ok(Aim::Loss { name: "loss<=0.5%".into(), ratio: 0.005 }));
        assert_eq!("burst".parse(), Ok(Aim::Burst));
        for text in ["", "loss", "loss=", "loss=1", "loss=0%", "loss=100%", "loss=-1%", "bursts"] {
            assert!(text.parse::<Aim>().is_err(), "{text}");
        }
    }
}
