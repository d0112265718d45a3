//! `loadgen probe`.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::{PREFLIGHT_FAILED, RUNTIME_ERROR, USAGE};
use crate::probe::place::{Family, Place};
use crate::probe::{COUNT_MAX, HOPS_MAX, Plan, probe, text};
use crate::report::command_line;
use crate::target::Transport;
use crate::values::parse_duration;

/// Longest wait for one answer, and longest pause.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct ProbeArguments {
    /// HOST or HOST:PORT, by UDP and TCP, port 514 unless given; or udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT.
    #[arg(value_name = "TARGET")]
    place: Place,
    /// Only IPv4.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Only IPv6.
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Echo requests.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=i64::from(COUNT_MAX)))]
    count: u32,
    /// Least time between two of them, at most 10 s.
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = parse_wait)]
    interval: Duration,
    /// Longest wait for one answer, at most 10 s.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_wait)]
    timeout: Duration,
    /// Follow the path for so many hops; 0 leaves it out.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=i64::from(HOPS_MAX)))]
    hops: u8,
    /// Send nothing to the UDP port itself. Else it gets two messages of severity debug, which say what they are.
    #[arg(long)]
    no_send: bool,
    /// Admin listener of a logboom that has the UDP port, HOST:PORT: what it counted is certain.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_send")]
    admin: Option<String>,
    /// Say what each answer means, for who is new to ports and protocols.
    #[arg(long, conflicts_with = "json")]
    explain: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    let wait = parse_duration(text)?;
    if wait > WAIT_MAX {
        return Err(format!("at most {} s, not {text}", WAIT_MAX.as_secs()));
    }
    Ok(wait)
}

pub(super) fn execute(command: &ProbeArguments) -> Result<u8, (u8, String)> {
    if command.admin.is_some() && !command.place.transports.contains(&Transport::Udp) {
        let why =
            "--admin tells what came to a UDP port, and TARGET names none: leave it out, or probe udp://HOST:PORT";
        return Err((USAGE, why.into()));
    }
    let plan = Plan {
        place: command.place.clone(),
        family: match (command.ipv4, command.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        },
        count: command.count,
        interval: command.interval,
        timeout: command.timeout,
        hops: command.hops,
        sends: !command.no_send,
        admin: command.admin.clone(),
    };
    let mut printed = Ok(());
    let probe = probe(&plan, command_line(), &mut |probe, part| {
        if !command.json && printed.is_ok() {
            let mut stdout = std::io::stdout().lock();
            let text = text::part(probe, part, command.explain);
            printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        }
    });
    if command.json {
        printed = writeln!(std::io::stdout().lock(), "{:#}", serde_json::json!(probe));
    }
    printed.map_err(|error| (RUNTIME_ERROR, format!("cannot write what was found: {error}")))?;
    Ok(if probe.usable { 0 } else { PREFLIGHT_FAILED })
}
