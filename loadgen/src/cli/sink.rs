//! `loadgen sink`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;

use super::{PREFLIGHT_FAILED, RUNTIME_ERROR};
use crate::run::stop_on_signals;
use crate::sink::{Sink, SinkOrder, Taken, Work};
use crate::values::{parse_count, parse_duration};

#[derive(Args)]
pub(super) struct SinkArguments {
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

pub(super) fn execute(command: &SinkArguments) -> Result<u8, (u8, String)> {
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
