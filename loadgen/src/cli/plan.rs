//! The options that say what to send: those of `run`, and of `compare` for all its runs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::sending::SendingOptions;
use super::watch::WatchOptions;
use crate::message::{Content, Format, Load, Severities, Sizes, Text};
use crate::order::{Order, THREADS_MAX};
use crate::schedule::{DURATION_MAX, Profile, Schedule};
use crate::send::Framing;
use crate::tag::FLOWS_MAX;
use crate::target::Target;
use crate::values::{Rate, parse_count, parse_duration, parse_rate};
use crate::view::Mode;

/// How long a run lasts where neither --duration nor --count says.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// Messages a second where neither --rate nor --profile says.
const RATE_DEFAULT: f64 = 10_000.0;

#[derive(Args, Clone)]
pub(super) struct PlanOptions {
    /// Messages a second, such as 200k, or max; 10k unless given.
    #[arg(long, value_parser = parse_rate)]
    rate: Option<Rate>,
    /// How the rate goes over time: const, poisson, ramp:10k-500k, step:10k,50k,100k, burst:5000/1s or trace:FILE.
    #[arg(long, default_value_t)]
    profile: Profile,
    /// How long to send, such as 30s; 10s unless --count is given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// How many messages to send.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    count: Option<u64>,
    #[command(flatten)]
    traffic: TrafficOptions,
}

/// What is sent, and how, whenever it is due.
#[derive(Args, Clone)]
pub(super) struct TrafficOptions {
    /// Size of each message in bytes: 200, 100-500, lognormal:300,0.5 or mix:64:7,570:4,1400:1.
    #[arg(long, default_value_t, conflicts_with = "corpus")]
    size: Sizes,
    /// Take the texts from the lines of a file, in turn; each gets a header and a tag.
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// What stands around the text: rfc3164, rfc5424, json, raw, or template:FILE.
    #[arg(long, default_value_t)]
    format: Format,
    /// Severities by share, such as debug:98,err:2.
    #[arg(long, value_name = "MIX", default_value_t)]
    severity: Severities,
    /// Sockets (udp, unixgram) or connections (tcp, tls, unix) to send from.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(FLOWS_MAX)))]
    flows: u32,
    /// Threads to send from; each needs a processor of its own, and at least one flow.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=THREADS_MAX as i64))]
    threads: u8,
    #[command(flatten)]
    sending: SendingOptions,
    /// Seed of the made-up texts and of random gaps.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl PlanOptions {
    /// These options without those that say nothing of `target`, where others of the same comparison may want them.
    pub(super) fn applicable(&self, target: &Target) -> Self {
        Self { traffic: self.traffic.applicable(target), ..self.clone() }
    }

    /// The order to send this to `target`.
    ///
    /// # Errors
    /// What does not go together, in words.
    pub(super) fn order(&self, target: Target, watching: &WatchOptions) -> Result<Order, String> {
        let rate = self.rate()?;
        let duration = self.duration.unwrap_or(match (self.count, &self.profile) {
            (Some(_), Profile::Const | Profile::Poisson | Profile::Burst { .. }) => DURATION_MAX,
            // Its last line ends it.
            (_, Profile::Trace(_)) => DURATION_MAX,
            _ => DURATION_DEFAULT,
        });
        let profile = match &self.profile {
            Profile::Trace(trace) => Profile::Trace(trace.read()?),
            profile => profile.clone(),
        };
        let schedule = Schedule::new(profile, rate, duration, self.count, self.traffic.seed)?;
        // A count that is not reached would be a plan that nobody asked for; with a time as well, the fewer of both is meant.
        if let Some(count) = self.count.filter(|count| self.duration.is_none() && schedule.count() < *count) {
            let (due, profile) = (schedule.count(), &self.profile);
            return Err(format!(
                "--count {count}, but --profile {profile} has only {due} messages in {duration:?}: ask for no more, or give a \
                 --duration that holds them"
            ));
        }
        self.traffic.order(target, watching, schedule)
    }

    fn rate(&self) -> Result<Option<f64>, String> {
        let profile = &self.profile;
        match (profile, self.rate) {
            (Profile::Const | Profile::Poisson, None) => Ok(Some(RATE_DEFAULT)),
            (Profile::Const, Some(Rate::Max)) => Ok(None),
            (Profile::Poisson, Some(Rate::Max)) => Err("--profile poisson needs a rate, not max".into()),
            (Profile::Const | Profile::Poisson, Some(Rate::PerSecond(rate))) => Ok(Some(rate)),
            (Profile::Replay(_), _) => Err(format!("--profile {profile} is what loadgen replay does: use that")),
            (_, None) => Ok(None),
            (_, Some(_)) => Err(format!("--profile {profile} has rates of its own: leave --rate out")),
        }
    }
}

impl TrafficOptions {
    /// These options without those that say nothing of `target`, where others of the same comparison may want them.
    pub(super) fn applicable(&self, target: &Target) -> Self {
        Self { sending: self.sending.applicable(target), ..self.clone() }
    }

    /// The order to send this to `target` when `schedule` says.
    ///
    /// # Errors
    /// What does not go together, in words.
    pub(super) fn order(&self, target: Target, watching: &WatchOptions, schedule: Schedule) -> Result<Order, String> {
        let (flows, threads, sending) = (self.flows, self.threads, &self.sending);
        if u32::from(threads) > flows {
            return Err(format!("--threads {threads} with --flows {flows}: each thread needs a flow of its own"));
        }
        sending.check(&target, flows)?;
        let is_asked = self.severity != Severities::default();
        if is_asked && !self.format.says_severity().map_err(|error| error.to_string())? {
            return Err(format!("--severity {}, but messages of --format {} say none", self.severity, self.format));
        }
        Ok(Order {
            schedule,
            flows,
            threads: usize::from(threads),
            cpus: sending.cpus()?,
            source: sending.source(),
            framing: match sending.framing {
                Some(framing) => framing,
                None => Framing::usual(target.transport, self.format.has_pri().map_err(|error| error.to_string())?),
            },
            overflow: sending.overflow,
            tls: sending.tls.clone(),
            gso: usize::from(sending.gso),
            load: Load::Made(self.content()),
            seed: self.seed,
            check: watching.check.clone(),
            admin: watching.admin.clone(),
            pid: watching.pid,
            drain: watching.drain.time,
            ui: Mode::Quiet,
            target,
        })
    }

    fn content(&self) -> Content {
        Content {
            text: match &self.corpus {
                Some(path) => Text::Corpus(path.clone()),
                None => Text::Made(self.size.clone()),
            },
            format: self.format.clone(),
            severities: self.severity.clone(),
        }
    }
}
