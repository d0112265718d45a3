//! `loadgen sink`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::{PREFLIGHT_FAILED, RUNTIME_ERROR, USAGE};
use crate::process::{raise_files_max, stop_on_signals};
use crate::sink::{Listen, Mode, RECEIVE_BUFFER_BYTES, Script, ScriptDone, Sink, SinkOrder, TICK, Taken, Work};
use crate::values::{parse_size, parse_wait};

#[derive(Args)]
#[command(group = ArgGroup::new("work").required(true))]
pub(super) struct SinkArguments {
    /// Where to receive: udp://ADDRESS:PORT or tcp://ADDRESS:PORT; port 0 lets the kernel choose.
    listen: SinkUrl,
    /// Forget what comes.
    #[arg(long, group = "work")]
    discard: bool,
    /// Compress it with zstd at level 1 and write it to this file, in one thread.
    #[arg(long, value_name = "FILE", group = "work")]
    bare: Option<PathBuf>,
    /// Write it to this file, a line for each message.
    #[arg(long, value_name = "FILE", group = "work")]
    text: Option<PathBuf>,
    /// With --text: lose, double, swap and change exactly these messages of loadgen's, such as
    /// drop:0/5,drop:1/7-9,double:0/12,swap:0/20,corrupt:0/31 (FLOW/SEQUENCE), or @FILE with one item a line.
    #[arg(long, value_name = "SCRIPT")]
    script: Option<String>,
    /// Sleep after a batch or a read that was not full, 0s for none; 1ms unless given.
    #[arg(long, value_name = "TIME", value_parser = parse_wait)]
    tick: Option<Duration>,
    /// Kernel receive buffer for datagrams in bytes, such as 4M or 4MiB; 64MiB unless given.
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    buffer: Option<u64>,
    /// How datagrams are received; recvmmsg unless given.
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// At the end one JSON object instead of a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(command: &SinkArguments) -> Result<u8, (u8, String)> {
    let failed = |code, what: &'static str| move |error: std::io::Error| (code, format!("{what}: {error}"));
    let order = order(command).map_err(|error| (USAGE, error))?;
    let mode = order.mode;
    raise_files_max();
    let stop = stop_on_signals().map_err(failed(RUNTIME_ERROR, "a signal handler"))?;
    let sink = Sink::bind(order).map_err(failed(PREFLIGHT_FAILED, "cannot receive"))?;
    let listen = sink.listen();
    let buffer = sink.receive_buffer_bytes().map_err(failed(RUNTIME_ERROR, "the receive buffer"))?;
    let buffer = buffer.map_or_else(String::new, |bytes| format!(", receive buffer {bytes} B"));
    // Nobody need listen to that.
    let _ = writeln!(std::io::stderr(), "loadgen: listening on {listen}{buffer}");
    let taken = sink.run(&stop).map_err(failed(RUNTIME_ERROR, "receiving"))?;
    let text = if command.json { json(&taken, mode) } else { sentence(&taken, listen, mode) };
    writeln!(std::io::stdout(), "{text}").map_err(failed(RUNTIME_ERROR, "cannot write the result"))?;
    Ok(0)
}

fn order(command: &SinkArguments) -> Result<SinkOrder, String> {
    let listen = command.listen.0;
    if matches!(listen, Listen::Tcp(_)) && (command.mode.is_some() || command.buffer.is_some()) {
        return Err("--mode and --buffer are for udp://: a stream has neither datagrams nor a buffer that drops".into());
    }
    // clap does not demand what another option of its group rules out.
    if command.script.is_some() && command.text.is_none() {
        return Err("--script takes --text <FILE>: what it tells is done on the way to a file".into());
    }
    let script = match command.script.as_deref().map(|script| (script, script.strip_prefix('@'))) {
        None => Ok(Script::default()),
        Some((_, Some(path))) => Script::read(Path::new(path)),
        Some((script, None)) => script.parse(),
    };
    let script = script.map_err(|error| format!("--script {error}"))?;
    let work = match (&command.bare, &command.text) {
        (Some(path), _) => Work::Bare(path.clone()),
        (None, Some(path)) => Work::Text(path.clone(), script),
        (None, None) => Work::Discard,
    };
    Ok(SinkOrder {
        listen,
        work,
        tick: command.tick.unwrap_or(TICK),
        mode: command.mode.unwrap_or_default(),
        receive_buffer_bytes: command.buffer.map_or(RECEIVE_BUFFER_BYTES, |bytes| bytes as usize),
    })
}

fn cpu_ns_per_message(taken: &Taken) -> f64 {
    taken.cpu.as_nanos() as f64 / taken.messages.max(1) as f64
}

fn sentence(taken: &Taken, listen: Listen, mode: Mode) -> String {
    let Taken { messages, bytes, dropped, stored_bytes, connections, .. } = taken;
    let way = match listen {
        Listen::Udp(_) => format!("{}{dropped} dropped", if mode == Mode::Gro { "at least " } else { "" }),
        Listen::Tcp(_) => format!(
            "{connections} connections, {} refused, {} broken",
            taken.connections_refused, taken.connections_broken
        ),
    };
    let mut text = format!(
        "received {messages} messages of {bytes} B, {way}, {stored_bytes} B stored, {:.0} ns of processor time each",
        cpu_ns_per_message(taken)
    );
    if let Some(done) = taken.script.as_ref().filter(|done| **done != ScriptDone::default()) {
        let ScriptDone { dropped, doubled, swapped, corrupted, undone } = done;
        text += &format!("\nas told: {dropped} dropped, {doubled} doubled, {swapped} swapped, {corrupted} corrupted");
        if !undone.is_empty() {
            text += &format!("\nnot done, for the messages never came: {}", undone.join(","));
        }
    }
    text
}

fn json(taken: &Taken, mode: Mode) -> String {
    let json = serde_json::json!({
        "messages": taken.messages,
        "bytes": taken.bytes,
        "dropped": taken.dropped,
        "dropped_is_exact": mode != Mode::Gro,
        "connections": taken.connections,
        "connections_refused": taken.connections_refused,
        "connections_broken": taken.connections_broken,
        "stored_bytes": taken.stored_bytes,
        "cpu_ns_per_message": cpu_ns_per_message(taken),
        "script": taken.script,
    });
    format!("{json:#}")
}

/// Where a sink receives.
#[derive(Clone, Copy)]
struct SinkUrl(Listen);

impl FromStr for SinkUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let (scheme, address) = url.split_once("://").unwrap_or_default();
        let listen: Option<fn(SocketAddr) -> Listen> = match scheme {
            "udp" => Some(Listen::Udp),
            "tcp" => Some(Listen::Tcp),
            _ => None,
        };
        let listen = listen.zip(address.parse().ok()).map(|(listen, address)| Self(listen(address)));
        listen.ok_or_else(|| "write it as udp://127.0.0.1:5514 or tcp://127.0.0.1:5514, or with port 0".into())
    }
}
