//! What a run is to do.

use std::fmt;
use std::time::Duration;

use crate::check::Check;
use crate::message::Load;
use crate::observe::Watch;
use crate::report::Plan;
use crate::schedule::{Profile, Schedule};
use crate::send::source::Source;
use crate::send::tls::TlsOptions;
use crate::send::{Framing, Overflow};
use crate::sender::Sent;
use crate::tag::SEQUENCE_MAX;
use crate::target::Target;
use crate::view::Mode;

/// Sending threads, at most.
pub const THREADS_MAX: usize = 64;

/// What to do.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where to send.
    pub target: Target,
    /// When each message is due.
    pub schedule: Schedule,
    /// Flows.
    pub flows: u32,
    /// Threads that send; each has flows of its own.
    pub threads: usize,
    /// Processors that the threads keep to, in turn; none for all.
    pub cpus: Vec<usize>,
    /// Where flows come from.
    pub source: Source,
    /// Framing on streams.
    pub framing: Framing,
    /// What happens when a stream does not take a message at once.
    pub overflow: Overflow,
    /// What TLS is made with.
    pub tls: TlsOptions,
    /// Datagrams that go to the kernel as one (UDP_SEGMENT).
    pub gso: usize,
    /// The messages. Recorded ones go to flows of their own, and so from one thread.
    pub load: Load,
    /// Seed of the texts, and of random gaps.
    pub seed: u64,
    /// How it is found out what arrived.
    pub check: Check,
    /// The collector's admin listener, for its own count.
    pub admin: Option<String>,
    /// The collector's process, if it is on this machine and cannot be found by its port.
    pub pid: Option<u32>,
    /// Nothing has come for so long: then nothing comes any more.
    pub drain: Duration,
    /// How the run is shown.
    pub ui: Mode,
}

/// What is sent, for people.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.schedule.profile(), self.schedule.rate()) {
            (Profile::Const, None) => f.write_str("max")?,
            (Profile::Const, Some(rate)) => write!(f, "{rate}/s")?,
            (profile, Some(rate)) => write!(f, "{profile} {rate}/s")?,
            (profile, None) => write!(f, "{profile}")?,
        }
        write!(f, ", {}", self.traffic())
    }
}

impl Order {
    /// What is sent, whenever it is due, in words.
    #[must_use]
    pub fn traffic(&self) -> String {
        let Self { load, flows, .. } = self;
        format!("{load}, {flows} flow{}", if *flows == 1 { "" } else { "s" })
    }

    /// The same traffic at a steady rate, or as fast as possible, for `duration` or `count` messages.
    ///
    /// # Errors
    /// What does not go together, in words.
    pub fn sending(&self, rate: Option<f64>, duration: Duration, count: Option<u64>) -> Result<Self, String> {
        let schedule = Schedule::new(Profile::Const, rate, duration, count, self.seed)?;
        Ok(Self { schedule, ..self.clone() })
    }

    /// What a report will say of the target and the plan, but for when the last message is due, which only sending tells.
    #[must_use]
    pub fn planned(&self) -> serde_json::Value {
        let mut plan = serde_json::json!(self.plan(&Sent::default()));
        if let Some(plan) = plan.as_object_mut() {
            plan.remove("seconds");
        }
        serde_json::json!({ "target": self.target.to_string(), "plan": plan })
    }

    /// Makes sure that somebody will tell what is lost: a check, the collector, or this machine, if the collector is on it.
    ///
    /// # Errors
    /// That nobody will, or that the target's name has no address.
    pub fn must_be_counted(&self) -> Result<(), String> {
        if self.check != Check::None || self.admin.is_some() || self.watch()?.is_local() {
            return Ok(());
        }
        Err(format!("nobody would tell what {} loses: add --check or --admin", self.target))
    }

    /// What is looked at from outside.
    pub(crate) fn watch(&self) -> Result<Watch, String> {
        let is_ip = !self.target.transport.is_local();
        Ok(Watch {
            root: "/".into(),
            transport: self.target.transport,
            address: if is_ip { Some(self.target.resolve()?) } else { None },
            admin: self.admin.clone().or_else(|| self.check.admin().map(ToOwned::to_owned)),
            pid: self.pid,
        })
    }

    /// What was planned, of a run that came to send this.
    pub(crate) fn plan(&self, sent: &Sent) -> Plan {
        let is_stream = self.target.transport.is_stream();
        let assigned: u64 = sent.by_flow.iter().sum();
        let is_open =
            self.schedule.is_full_speed() && (sent.failure.is_none() || self.schedule.count() == SEQUENCE_MAX);
        Plan {
            rate: self.schedule.rate(),
            profile: self.schedule.profile().clone(),
            // At full speed the time is the plan.
            count: if is_open { assigned } else { self.schedule.count() },
            seconds: sent.last_due_ns as f64 / 1e9,
            duration_seconds: self.schedule.is_full_speed().then(|| self.schedule.ends_ns() as f64 / 1e9),
            flows: self.flows,
            threads: self.threads,
            source: self.source.to_string(),
            framing: is_stream.then_some(self.framing),
            overflow: is_stream.then_some(self.overflow),
            gso: self.gso,
            format: self.load.format(),
            severities: self.load.severities(),
            content: self.load.text(),
            seed: self.seed,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::message::Content;

    /// Five flows on two threads, for 10 s.
    pub(crate) fn order(rate: Option<f64>, count: Option<u64>) -> Order {
        Order {
            target: "udp://127.0.0.1:1".parse().unwrap(),
            schedule: Schedule::new(Profile::Const, rate, Duration::from_secs(10), count, 1).unwrap(),
            flows: 5,
            threads: 2,
            cpus: Vec::new(),
            source: Source::default(),
            framing: Framing::Lf,
            overflow: Overflow::Wait,
            tls: TlsOptions::default(),
            gso: 1,
            load: Load::Made(Content::default()),
            seed: 1,
            check: Check::None,
            admin: None,
            pid: None,
            drain: Duration::ZERO,
            ui: Mode::Quiet,
        }
    }

    #[test]
    fn an_interrupted_run_planned_all_and_at_full_speed_what_it_came_to_unless_it_was_to_send_so_many() {
        let count = |rate, count, failure: Option<&str>| {
            let sent = Sent { by_flow: vec![3, 4], failure: failure.map(Into::into), ..Sent::default() };
            let plan = order(rate, count).plan(&sent);
            (plan.count, plan.duration_seconds)
        };
        let interrupted = Some("interrupted");
        assert_eq!(count(Some(100.0), None, interrupted), (1000, None));
        assert_eq!(count(None, None, None), (7, Some(10.0)));
        assert_eq!(count(None, None, interrupted), (7, Some(10.0)));
        assert_eq!(count(None, Some(50), None), (7, Some(10.0)), "the time was over before");
        assert_eq!(count(None, Some(50), interrupted), (50, Some(10.0)));
    }
}
