//! Messages as text.

use std::io::Write;
use std::ops::Range;

use base64::Engine;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use logboom_segment::{Flags, Message, PRI_NONE};
use logboom_syslog::{Severity, facility_keyword};
use serde::Serialize;

use super::ReadError;

/// How messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Local receive time, source, message.
    Short,
    /// The exact bytes of each message.
    Raw,
    /// One JSON object a line.
    Json,
}

/// How a [`Printer`] writes.
#[derive(Clone, Debug)]
pub struct PrinterOptions {
    /// In which form.
    pub format: Format,
    /// NUL behind a raw message, not LF.
    pub nul: bool,
    /// The output is a terminal: control characters in messages are made visible.
    pub terminal: bool,
    /// Colour by severity, and what matched.
    pub color: bool,
    /// Of the times shown.
    pub zone: TimeZone,
}

/// Writes messages in one format.
pub struct Printer<W> {
    out: W,
    options: PrinterOptions,
    line: Vec<u8>,
}

/// Select Graphic Rendition (ECMA-48 section 8.3.117).
mod sgr {
    pub(super) const PLAIN: &[u8] = b"\x1B[0m";
    pub(super) const MATCH: &[u8] = b"\x1B[1;31m";
    pub(super) const DIM: &[u8] = b"\x1B[2m";
    pub(super) const BOLD: &[u8] = b"\x1B[1m";
    pub(super) const YELLOW: &[u8] = b"\x1B[33m";
    pub(super) const RED: &[u8] = b"\x1B[31m";
}

/// One message as JSON; `docs/reading.md` describes the fields.
#[derive(Serialize)]
struct JsonMessage<'a> {
    time: String,
    source: Option<std::net::IpAddr>,
    source_port: Option<u16>,
    listener: &'a str,
    transport: &'a str,
    facility: Option<&'static str>,
    severity: Option<&'static str>,
    host: Option<&'a str>,
    app: Option<&'a str>,
    timestamp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_base64: Option<String>,
    truncated: bool,
    original_length: u32,
}

impl<W: Write> Printer<W> {
    /// A printer to `out`.
    pub fn new(out: W, options: PrinterOptions) -> Self {
        Self { out, options, line: Vec::new() }
    }

    /// Writes one message; `matches` are the ranges of its text to be pointed out.
    ///
    /// # Errors
    /// [`ReadError::Output`].
    pub fn print(&mut self, message: &Message<'_>, listener: &str, matches: &[Range<usize>]) -> Result<(), ReadError> {
        self.line.clear();
        match self.options.format {
            Format::Raw => {
                self.line.extend_from_slice(message.payload);
                self.line.push(if self.options.nul { 0 } else { b'\n' });
            }
            Format::Json => {
                serde_json::to_writer(&mut self.line, &json_message(message, listener))
                    .map_err(|error| ReadError::Output(error.into()))?;
                self.line.push(b'\n');
            }
            Format::Short => self.put_short(message, matches),
        }
        self.out.write_all(&self.line).map_err(ReadError::Output)
    }

    /// Says that something between two messages was left out, as grep does.
    ///
    /// # Errors
    /// [`ReadError::Output`].
    pub fn separate(&mut self) -> Result<(), ReadError> {
        self.out.write_all(b"--\n").map_err(ReadError::Output)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// [`ReadError::Output`].
    pub fn flush(&mut self) -> Result<(), ReadError> {
        self.out.flush().map_err(ReadError::Output)
    }

    /// The same, for the last time.
    ///
    /// # Errors
    /// [`ReadError::Output`].
    pub fn finish(mut self) -> Result<(), ReadError> {
        self.flush()
    }

    /// Receive time, sender, host, tag, text; what the header does not tell is left out.
    fn put_short(&mut self, message: &Message<'_>, matches: &[Range<usize>]) {
        let header = logboom_syslog::header::parse(message.payload);
        let time = timestamp(message.received_ns).to_zoned(self.options.zone.clone());
        let _ = write!(self.line, "{} ", time.strftime("%b %d %H:%M:%S%.6f"));
        match message.source.address {
            Some(address) => {
                let _ = write!(self.line, "{} ", std::net::SocketAddr::new(address, message.source.port));
            }
            None => self.line.extend_from_slice(b"- "),
        }
        self.put_color(message.pri);
        if let Some(host) = header.host {
            self.put_text(host, &[]);
            self.line.push(b' ');
        }
        if let Some(app) = header.app {
            self.put_text(app, &[]);
            if let Some(id) = header.proc_id {
                self.line.push(b'[');
                self.put_text(id, &[]);
                self.line.push(b']');
            }
            self.line.extend_from_slice(b": ");
        }
        // What is shown of the text is its end; matches lie in the whole.
        let start = message.payload.len() - header.message.len();
        let within = |range: &Range<usize>| range.start.max(start) - start..range.end.max(start) - start;
        let matches: Vec<_> = matches.iter().map(within).filter(|range| !range.is_empty()).collect();
        self.put_text(header.message, &matches);
        if self.options.color {
            self.line.extend_from_slice(sgr::PLAIN);
        }
        if message.flags.has(Flags::TRUNCATED) {
            let _ = write!(self.line, " [cut from {} B]", message.original_length);
        }
        self.line.push(b'\n');
    }

    fn put_color(&mut self, pri: u8) {
        if !self.options.color || pri == PRI_NONE {
            return;
        }
        self.line.extend_from_slice(match Severity::of_pri(pri) {
            Severity::Emergency | Severity::Alert | Severity::Critical | Severity::Error => sgr::RED,
            Severity::Warning => sgr::YELLOW,
            Severity::Notice => sgr::BOLD,
            Severity::Informational => b"",
            Severity::Debug => sgr::DIM,
        });
    }

    fn put_text(&mut self, text: &[u8], matches: &[Range<usize>]) {
        let put = |line: &mut Vec<u8>, piece: &[u8]| {
            if self.options.terminal {
                put_visible(line, piece);
            } else {
                line.extend_from_slice(piece);
            }
        };
        let mut end = 0;
        for range in matches.iter().filter(|_| self.options.color) {
            put(&mut self.line, &text[end..range.start]);
            self.line.extend_from_slice(sgr::MATCH);
            put(&mut self.line, &text[range.clone()]);
            self.line.extend_from_slice(sgr::PLAIN);
            end = range.end;
        }
        put(&mut self.line, &text[end..]);
    }
}

fn json_message<'a>(message: &Message<'a>, listener: &'a str) -> JsonMessage<'a> {
    let text = str::from_utf8(message.payload).ok();
    let header = logboom_syslog::header::parse(message.payload);
    let field = |bytes: Option<&'a [u8]>| bytes.and_then(|bytes| str::from_utf8(bytes).ok());
    let has_pri = message.pri != PRI_NONE;
    JsonMessage {
        time: rfc_3339(message.received_ns),
        source: message.source.address,
        source_port: message.source.address.map(|_| message.source.port),
        listener,
        transport: listener.split("://").next().unwrap_or_default(),
        facility: has_pri.then(|| facility_keyword(message.pri)),
        severity: has_pri.then(|| Severity::of_pri(message.pri).keyword()),
        host: field(header.host),
        app: field(header.app),
        timestamp: field(header.timestamp),
        message: text,
        message_base64: text.is_none().then(|| base64::engine::general_purpose::STANDARD.encode(message.payload)),
        truncated: message.flags.has(Flags::TRUNCATED),
        original_length: message.original_length,
    }
}

/// A receive time; times beyond the year 9999 are shown as its end.
pub(crate) fn timestamp(received_ns: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(received_ns)).unwrap_or(Timestamp::MAX)
}

/// A time for machines: UTC, nine decimals.
pub(crate) fn rfc_3339(ns: u64) -> String {
    timestamp(ns).strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// A time for people, to the second.
pub(crate) fn local(ns: u64, zone: &TimeZone) -> String {
    timestamp(ns).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// What a terminal would obey, and what would turn text around, as its code in angle brackets: C0 but TAB, DEL, C1, the
/// line and paragraph separators, and the bidirectional controls (Unicode TR 9). Bytes that are not UTF-8 as `<xx>`.
fn put_visible(out: &mut Vec<u8>, message: &[u8]) {
    for chunk in message.utf8_chunks() {
        for character in chunk.valid().chars() {
            let visible = match character {
                '\t' => true,
                '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{061C}' => false,
                '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => false,
                other => !other.is_control(),
            };
            if visible {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                let _ = write!(out, "<U+{:04X}>", u32::from(character));
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "<{byte:02X}>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logboom_segment::Source;

    fn printed(payload: &[u8], format: Format, nul: bool, terminal: bool) -> Vec<u8> {
        let message = Message {
            payload,
            received_ns: 1_795_341_600_000_000_001,
            source: Source { address: Some([10, 0, 0, 7].into()), port: 4711, listener: 0 },
            pri: logboom_syslog::pri(payload).unwrap_or(PRI_NONE),
            flags: Flags::NONE,
            original_length: payload.len() as u32,
        };
        let options = PrinterOptions { format, nul, terminal, color: false, zone: TimeZone::UTC };
        print_with(options, &message, &[])
    }

    fn print_with(options: PrinterOptions, message: &Message<'_>, matches: &[Range<usize>]) -> Vec<u8> {
        let mut printer = Printer::new(Vec::new(), options);
        printer.print(message, "udp://127.0.0.1:514", matches).unwrap();
        printer.out
    }

    #[test]
    fn raw_is_byte_exact() {
        assert_eq!(printed(b"a\r\n\0\xFF", Format::Raw, false, true), b"a\r\n\0\xFF\n");
        assert_eq!(printed(b"a\n", Format::Raw, true, true), b"a\n\0");
    }

    #[test]
    fn json_has_every_field() {
        let line = String::from_utf8(printed(b"<34>hello \"x\"", Format::Json, false, false)).unwrap();
        assert_eq!(
            line,
            "{\"time\":\"2026-11-22T10:00:00.000000001Z\",\"source\":\"10.0.0.7\",\"source_port\":4711,\
             \"listener\":\"udp://127.0.0.1:514\",\"transport\":\"udp\",\"facility\":\"auth\",\"severity\":\"crit\",\
             \"host\":null,\"app\":null,\"timestamp\":null,\"message\":\"<34>hello \\\"x\\\"\",\"truncated\":false,\
             \"original_length\":13}\n"
        );
        let line = String::from_utf8(printed(b"\xFFx", Format::Json, false, false)).unwrap();
        assert!(line.contains("\"severity\":null,") && line.contains("\"message_base64\":\"/3g=\""), "{line}");
        assert!(!line.contains("\"message\":"), "{line}");
    }

    #[test]
    fn short_is_time_source_and_what_the_header_tells() {
        let line = printed(b"<34>Oct 11 22:14:15 web1 su[7]: hello", Format::Short, false, false);
        assert_eq!(line, b"Nov 22 10:00:00.000000 10.0.0.7:4711 web1 su[7]: hello\n");
        let line = printed(b"no header", Format::Short, false, false);
        assert_eq!(line, b"Nov 22 10:00:00.000000 10.0.0.7:4711 no header\n");
    }

    #[test]
    fn a_terminal_is_shown_no_controls() {
        let line = printed("a\x1B[2Jb\tc\u{202E}d\u{85}\u{7F}\n".as_bytes(), Format::Short, false, true);
        let line = String::from_utf8(line).unwrap();
        assert!(line.ends_with("a<U+001B>[2Jb\tc<U+202E>d<U+0085><U+007F><U+000A>\n"), "{line}");
        let line = printed(b"a\xFFb", Format::Short, false, true);
        assert!(line.ends_with(b"a<FF>b\n"));
        assert!(printed(b"a\x1Bb", Format::Short, false, false).ends_with(b"a\x1Bb\n"));
    }
}
