//! The command line: `run`, `verify` and `sink`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use jiff::fmt::friendly::SpanParser;
use logboom_udp::SEGMENTS_MAX;

use crate::message::{Content, Format, Severities, Text};
use crate::report::{Report, Verdict};
use crate::run::{Order, RunError, run, stop_on_signals};
use crate::send::Framing;
use crate::send::tls::TlsOptions;
use crate::sink::{Sink, SinkOrder, Taken, Work};
use crate::tag::{FLOWS_MAX, SEQUENCE_MAX};
use crate::target::{Target, Transport};
use crate::verify::{Verification, verdict, verify};

/// How long a run lasts where neither --duration nor --count says.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// Exit codes; see docs/loadgen.md.
const RUNTIME_ERROR: u8 = 1;
const USAGE: u8 = 2;
const PREFLIGHT_FAILED: u8 = 3;
const INVALID_RUN: u8 = 4;
const THRESHOLD_BREACHED: u8 = 99;

/// Load for log collectors that proves delivery.
#[derive(Parser)]
#[command(name = "loadgen", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send numbered messages at a steady rate.
    Run(Run),
    /// Receive and do as little as can be done: what a collector is compared with. Ends on SIGINT or SIGTERM.
    Sink(SinkArguments),
    /// Find the messages of a run again, and say exactly which are missing.
    Verify(Verify),
}

#[derive(Args)]
struct Run {
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

#[derive(Args)]
struct SinkArguments {
    /// Where to receive: udp://HOST:PORT; port 0 lets the kernel choose.
    listen: SinkUrl,
    /// Forget what comes.
    #[arg(long, required_unless_present = "bare", conflicts_with = "bare")]
    discard: bool,
    /// Compress it with zstd at level 1 and write it to this file, in one thread.
    #[arg(long, value_name = "FILE")]
    bare: Option<PathBuf>,
    /// Sleep after a batch that was not full.
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = parse_duration)]
    tick: Duration,
    /// Kernel receive buffer in bytes, such as 4M.
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = parse_count)]
    buffer: u64,
    /// Let the kernel join datagrams (UDP_GRO).
    #[arg(long)]
    gro: bool,
}

#[derive(Args)]
struct Verify {
    /// The file that run -o wrote.
    #[arg(long, value_name = "FILE")]
    run: PathBuf,
    /// Where messages were stored: logboom data directories or segments, any collector's text files, - for standard
    /// input.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    PerSecond(f64),
    Max,
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    let rate = parse_multiple(text).filter(|rate| (1e-3..=1e9).contains(rate));
    rate.map(Rate::PerSecond).ok_or_else(|| "write messages a second, such as 500, 200k or 1.5M, or max".into())
}

fn parse_count(text: &str) -> Result<u64, String> {
    let count = parse_multiple(text).filter(|count| (1.0..=1e12).contains(count) && count.fract() == 0.0);
    count.map(|count| count as u64).ok_or_else(|| "write a whole number of messages, such as 500, 200k or 1M".into())
}

/// A number, with k or M behind it for a thousand or a million.
fn parse_multiple(text: &str) -> Option<f64> {
    let (digits, factor) = match text.as_bytes() {
        [.., b'k'] => (&text[..text.len() - 1], 1e3),
        [.., b'M'] => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let number = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    digits.parse::<f64>().ok().filter(|_| number).map(|value| value * factor)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = SpanParser::new().parse_unsigned_duration(text).ok().filter(|duration| !duration.is_zero());
    parsed.ok_or_else(|| "write a time with its unit, such as 30s, 500ms or 2m".into())
}

fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    match (min.parse(), max.parse()) {
        (Ok(min), Ok(max)) if min <= max => Ok((min, max)),
        _ => Err("write bytes, such as 200, or a range, such as 100-500".into()),
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(command) => run_run(&command),
        Command::Sink(command) => run_sink(&command),
        Command::Verify(command) => run_verify(&command),
    };
    ExitCode::from(done.unwrap_or_else(|(code, error)| {
        eprintln!("loadgen: {error}");
        code
    }))
}

fn run_run(command: &Run) -> Result<u8, (u8, String)> {
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

fn run_sink(command: &SinkArguments) -> Result<u8, (u8, String)> {
    let failed = |code, what: &'static str| move |error: std::io::Error| (code, format!("{what}: {error}"));
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(&stop).map_err(failed(RUNTIME_ERROR, "a signal handler"))?;
    let order = SinkOrder {
        address: command.listen.0,
        work: command.bare.clone().map_or(Work::Discard, Work::Bare),
        tick: command.tick,
        receive_buffer_bytes: command.buffer as usize,
        gro: command.gro,
    };
    let sink = Sink::bind(&order).map_err(failed(PREFLIGHT_FAILED, "cannot receive"))?;
    let buffer = sink.receive_buffer_bytes().map_err(failed(RUNTIME_ERROR, "the receive buffer"))?;
    eprintln!("loadgen: listening on udp://{}, receive buffer {buffer} B", sink.address());
    let taken = sink.run(&stop).map_err(failed(RUNTIME_ERROR, "receiving"))?;
    let Taken { messages, bytes, dropped, stored_bytes, cpu } = taken;
    let at_least = if command.gro { "at least " } else { "" };
    println!(
        "received {messages} messages of {bytes} B, {at_least}{dropped} dropped, {stored_bytes} B stored, {:.0} ns of \
         processor time each",
        cpu.as_nanos() as f64 / messages.max(1) as f64
    );
    Ok(0)
}

/// Where a sink receives.
#[derive(Clone, Copy)]
struct SinkUrl(SocketAddr);

impl FromStr for SinkUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let address = url.strip_prefix("udp://").and_then(|address| address.parse().ok());
        address.map(Self).ok_or_else(|| "write it as udp://127.0.0.1:5514, or with port 0".into())
    }
}

fn run_verify(command: &Verify) -> Result<u8, (u8, String)> {
    let report = Report::read(&command.run).map_err(|error| (USAGE, error))?;
    let found = verify(&report, &command.paths).map_err(|error| (RUNTIME_ERROR, error.to_string()))?;
    let verdict = verdict(&report, &found);
    let mut stdout = std::io::stdout().lock();
    let printed = if command.json {
        let mut json = serde_json::json!(found);
        json["verdict"] = serde_json::json!(verdict);
        writeln!(stdout, "{json:#}")
    } else {
        writeln!(stdout, "{}", verification_text(&found, verdict, report.reason.as_deref()))
    };
    printed.map_err(|error| (RUNTIME_ERROR, format!("cannot write the result: {error}")))?;
    Ok(match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => THRESHOLD_BREACHED,
        Verdict::Invalid => INVALID_RUN,
    })
}

fn verification_text(found: &Verification, verdict: Verdict, reason: Option<&str>) -> String {
    let Verification { run, sent, stored, lost, lost_at_end, duplicates, reordered, corrupted, unexpected, .. } = found;
    let percent = if *sent == 0 { 0.0 } else { *lost as f64 / *sent as f64 * 100.0 };
    let verdict = match verdict {
        Verdict::Pass => "PASS".to_owned(),
        Verdict::Fail => "FAIL".to_owned(),
        Verdict::Invalid => format!("INVALID ({})", reason.unwrap_or("the plan was not kept")),
    };
    format!(
        "run {run}: {verdict}\nsent        {sent}\nstored      {stored}\nlost        {lost} ({percent:.4} %)\n\
         at the end  {lost_at_end}\nduplicates  {duplicates}\nreordered   {reordered}\ncorrupted   {corrupted}\nunexpected  {unexpected}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_multiples_are_read() {
        assert_eq!(parse_rate("200k"), Ok(Rate::PerSecond(200_000.0)));
        assert_eq!(parse_rate("1.5M"), Ok(Rate::PerSecond(1_500_000.0)));
        assert_eq!(parse_rate("max"), Ok(Rate::Max));
        assert_eq!(parse_count("1M"), Ok(1_000_000));
        assert_eq!(parse_size("200"), Ok((200, 200)));
        assert_eq!(parse_size("100-500"), Ok((100, 500)));
        for text in ["", "k", "-1", "1e3", "0", "inf", "nan", "1 k"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert!(parse_count("1.5").is_err() && parse_count("0").is_err());
        assert!(parse_size("500-100").is_err() && parse_size("x").is_err());
        assert!(parse_duration("10").is_err() && parse_duration("0s").is_err());
    }

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
