//! `loadgen replay`.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;

use super::run::Conduct;
use super::sending::SendingOptions;
use super::watch::WatchOptions;
use super::{RUNTIME_ERROR, USAGE, say};
use crate::check::Check;
use crate::message::{Load, MESSAGE_BYTES_MAX};
use crate::order::Order;
use crate::replay::{LIMITS, Recording, ReplayError};
use crate::schedule::{DURATION_MAX, Profile, Recorded, Schedule, Speed};
use crate::send::Framing;
use crate::tag::{FLOWS_MAX, SEQUENCE_MAX, TAG_BYTES};
use crate::target::Target;
use crate::values::parse_duration;
use crate::verify::VerifyError;
use crate::view::Mode;

/// Sockets or connections unless said otherwise.
const FLOWS_DEFAULT: u32 = 1000;

#[derive(Args)]
pub(super) struct Replay {
    /// What to send: pcap and pcapng files, data directories and segments of a logboom, and text with a time at the head of
    /// its lines.
    #[arg(value_name = "SOURCE", required = true, num_args = 1..)]
    sources: Vec<PathBuf>,
    /// Where to send: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH (a stream) or unixgram:///PATH.
    target: Target,
    /// How fast time goes: 1 as it did, 2x, 0.5, or max to send as fast as possible.
    #[arg(long, default_value = "1")]
    speed: Pace,
    /// How often to send it all.
    #[arg(long = "loop", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rounds: u64,
    /// Send only what was due within so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<std::time::Duration>,
    /// Of captures, send only the datagrams to this port.
    #[arg(long)]
    port: Option<u16>,
    /// Give each message a tag, by which --check finds it; else messages are sent as they were, byte for byte.
    #[arg(long)]
    tag: bool,
    /// Most sockets (udp, unixgram) or connections (tcp, tls, unix) to send from; each sender has its own, and if there are more
    /// they share.
    #[arg(long, value_name = "MAX", default_value_t = FLOWS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(FLOWS_MAX)))]
    flows: u32,
    #[command(flatten)]
    sending: SendingOptions,
    #[command(flatten)]
    watching: WatchOptions,
    #[command(flatten)]
    conduct: Conduct,
}

/// When messages are sent.
#[derive(Clone, Copy)]
enum Pace {
    AsRecorded(Speed),
    Max,
}

impl FromStr for Pace {
    type Err = <Speed as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" { Ok(Self::Max) } else { text.parse().map(Self::AsRecorded) }
    }
}

pub(super) fn execute(command: &Replay) -> Result<u8, (u8, String)> {
    command.conduct.run(|| {
        command.check().map_err(|error| (USAGE, error))?;
        let recording = command.read()?;
        say(format_args!("loadgen: {recording}"));
        command.order(Arc::new(recording)).map_err(|error| (USAGE, error))
    })
}

impl Replay {
    /// What can be refused before anything is read.
    fn check(&self) -> Result<(), String> {
        let check = &self.watching.check;
        if *check == Check::None || self.tag {
            return Ok(());
        }
        Err(format!(
            "--check {check} finds messages by their tags, and those that are sent as they were have none: give --tag as \
             well, or leave --check out and let counters tell (--admin)"
        ))
    }

    fn read(&self) -> Result<Recording, (u8, String)> {
        let message_bytes_max = if self.tag { MESSAGE_BYTES_MAX - TAG_BYTES } else { MESSAGE_BYTES_MAX };
        let year = jiff::Zoned::now().year();
        Recording::read(&self.sources, self.port, message_bytes_max, year, LIMITS).map_err(|error| {
            let code = match error {
                ReplayError::Segments(VerifyError::Memory(_)) => RUNTIME_ERROR,
                _ => USAGE,
            };
            (code, error.to_string())
        })
    }

    fn order(&self, recording: Arc<Recording>) -> Result<Order, String> {
        let Self { target, sending, watching, .. } = self;
        let duration = self.duration.unwrap_or(DURATION_MAX);
        let count = (recording.len() as u64).saturating_mul(self.rounds);
        if count > SEQUENCE_MAX {
            return Err(format!("--loop {} makes {count} messages, but a run has at most {SEQUENCE_MAX}", self.rounds));
        }
        let profile = match self.speed {
            Pace::AsRecorded(speed) => Profile::Replay(Recorded::new(recording.times_ns(), speed, self.rounds)?),
            Pace::Max => Profile::Const,
        };
        let flows = self.flows.min(recording.sources());
        sending.check(target, flows)?;
        let all_have_pri = recording.messages().all(|(message, _)| message.starts_with(b"<"));
        let framing = sending.framing.unwrap_or(Framing::usual(target.transport, all_have_pri));
        if target.transport.is_stream() && framing == Framing::Lf {
            recording.must_be_lines(all_have_pri)?;
        }
        Ok(Order {
            schedule: Schedule::new(profile, None, duration, Some(count), 0)?,
            flows,
            threads: 1,
            cpus: sending.cpus()?,
            source: sending.source(),
            framing,
            overflow: sending.overflow,
            tls: sending.tls.clone(),
            gso: usize::from(sending.gso),
            load: Load::Recorded { recording, is_tagged: self.tag },
            seed: 0,
            check: watching.check.clone(),
            admin: watching.admin.clone(),
            pid: watching.pid,
            drain: watching.drain.time,
            ui: Mode::Quiet,
            target: target.clone(),
        })
    }
}
