//! `loadgen run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use logboom_udp::SEGMENTS_MAX;

use super::values::{Rate, parse_count, parse_duration, parse_rate, parse_size};
use super::{INVALID_RUN, PREFLIGHT_FAILED, RUNTIME_ERROR, USAGE};
use crate::message::{Content, Format, Severities, Text};
use crate::report::{Report, Verdict};
use crate::run::{Order, RunError, run};
use crate::send::Framing;
use crate::send::tls::TlsOptions;
use crate::tag::{FLOWS_MAX, SEQUENCE_MAX};
use crate::target::{Target, Transport};

/// How long a run lasts where neither --duration nor --count says.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Run {
    /// Where to send: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH (a stream) or unixgram:///PATH.
    target: Target,
    /// Messages a second, such as 200k, or max.
    #[arg(long, default_value = "10k", value_parser = parse_rate)]
    rate: Rate,
    /// How long to send, such as 30s; 10s unless --count is given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// How many messages to send.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    count: Option<u64>,
    /// Size of each message in bytes, or a range: 200, or 100-500.
    #[arg(long, default_value = "200", value_parser = parse_size, conflicts_with = "corpus")]
    size: (usize, usize),
    /// Take the texts from the lines of a file, in turn; each gets a header and a tag.
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// Sockets (udp, unixgram) or connections (tcp, tls, unix) to send from.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(FLOWS_MAX)))]
    flows: u32,
    /// How messages are told apart on a stream; lf unless given, but octet for tls (RFC 5425 section 4.3).
    #[arg(long, value_enum)]
    framing: Option<Framing>,
    #[command(flatten)]
    tls: TlsOptions,
    /// Header of the messages.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Severities by share, such as debug:98,err:2.
    #[arg(long, value_name = "MIX", default_value_t)]
    severity: Severities,
    /// Datagrams of one length that go to the kernel as one, to be cut apart there (UDP_SEGMENT): a faster sender.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=SEGMENTS_MAX as i64))]
    gso: u8,
    /// Seed of the made-up texts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write what was sent to this file, for verify.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn execute(command: &Run) -> Result<u8, (u8, String)> {
    let rate = match command.rate {
        Rate::PerSecond(rate) => Some(rate),
        Rate::Max => None,
    };
    let order = Order {
        target: command.target.clone(),
        rate,
        count: count(rate, command.duration, command.count).map_err(|error| (USAGE, error))?,
        flows: command.flows,
        framing: command.framing.unwrap_or(match command.target.transport {
            Transport::Tls => Framing::Octet,
            _ => Framing::Lf,
        }),
        tls: command.tls.clone(),
        gso: usize::from(command.gso),
        content: Content {
            text: match &command.corpus {
                Some(path) => Text::Corpus(path.clone()),
                None => Text::Made { min_bytes: command.size.0, max_bytes: command.size.1 },
            },
            format: command.format,
            severities: command.severity.clone(),
        },
        seed: command.seed,
        quiet: command.quiet,
    };
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

/// How many messages the plan holds: as --count says, or as --duration has room for, or the fewer of both.
fn count(rate: Option<f64>, duration: Option<Duration>, count: Option<u64>) -> Result<u64, String> {
    let by_duration = match (rate, duration) {
        (Some(rate), Some(duration)) => Some((rate * duration.as_secs_f64()).round() as u64),
        (None, Some(_)) if count.is_none() => {
            return Err("--rate max needs --count: without a rate a time holds no number of messages".into());
        }
        (None, None) if count.is_none() => return Err("--rate max needs --count".into()),
        (Some(rate), None) if count.is_none() => Some((rate * DURATION_DEFAULT.as_secs_f64()).round() as u64),
        _ => None,
    };
    let count = by_duration.unwrap_or(u64::MAX).min(count.unwrap_or(u64::MAX));
    if count > SEQUENCE_MAX {
        Err(format!("{count} messages, but a run has at most {SEQUENCE_MAX}"))
    } else {
        Ok(count)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_the_lesser_of_count_and_duration() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(count(Some(100.0), second, None), Ok(100));
        assert_eq!(count(Some(100.0), second, Some(7)), Ok(7));
        assert_eq!(count(Some(100.0), second, Some(700)), Ok(100));
        assert_eq!(count(Some(100.0), None, None), Ok(1000));
        assert_eq!(count(None, None, Some(7)), Ok(7));
        assert!(count(None, second, None).is_err());
        assert!(count(Some(1e9), Some(Duration::from_secs(100)), None).unwrap_err().contains("at most"));
    }
}
