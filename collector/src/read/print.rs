//! Messages as text.

use std::io::Write;

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

/// Writes messages in one format.
pub struct Printer<W> {
    out: W,
    format: Format,
    /// NUL behind a raw message, not LF.
    nul: bool,
    /// The output is a terminal: control characters in messages are made visible.
    terminal: bool,
    zone: TimeZone,
    line: Vec<u8>,
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
    pub fn new(out: W, format: Format, nul: bool, terminal: bool) -> Self {
        Self { out, format, nul, terminal, zone: TimeZone::system(), line: Vec::new() }
    }

    /// Writes one message.
    ///
    /// # Errors
    /// [`ReadError::Output`].
    pub fn print(&mut self, message: &Message<'_>, listener: &str) -> Result<(), ReadError> {
        self.line.clear();
        match self.format {
            Format::Raw => {
                self.line.extend_from_slice(message.payload);
                self.line.push(if self.nul { 0 } else { b'\n' });
            }
            Format::Json => {
                serde_json::to_writer(&mut self.line, &json_message(message, listener))
                    .map_err(|error| ReadError::Output(error.into()))?;
                self.line.push(b'\n');
            }
            Format::Short => self.put_short(message),
        }
        self.out.write_all(&self.line).map_err(ReadError::Output)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// [`ReadError::Output`].
    pub fn finish(mut self) -> Result<(), ReadError> {
        self.out.flush().map_err(ReadError::Output)
    }

    fn put_short(&mut self, message: &Message<'_>) {
        let time = timestamp(message.received_ns).to_zoned(self.zone.clone());
        let _ = write!(self.line, "{} ", time.strftime("%b %e %H:%M:%S%.6f"));
        match message.source.address {
            Some(address) => {
                let _ = write!(self.line, "{} ", std::net::SocketAddr::new(address, message.source.port));
            }
            None => self.line.extend_from_slice(b"- "),
        }
        if self.terminal {
            put_visible(&mut self.line, message.payload);
        } else {
            self.line.extend_from_slice(message.payload);
        }
        if message.flags.has(Flags::TRUNCATED) {
            let _ = write!(self.line, " [cut from {} B]", message.original_length);
        }
        self.line.push(b'\n');
    }
}

fn json_message<'a>(message: &Message<'a>, listener: &'a str) -> JsonMessage<'a> {
    let text = str::from_utf8(message.payload).ok();
    let has_pri = message.pri != PRI_NONE;
    JsonMessage {
        time: timestamp(message.received_ns).strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string(),
        source: message.source.address,
        source_port: message.source.address.map(|_| message.source.port),
        listener,
        transport: listener.split("://").next().unwrap_or_default(),
        facility: has_pri.then(|| facility_keyword(message.pri)),
        severity: has_pri.then(|| Severity::of_pri(message.pri).keyword()),
        host: None,
        app: None,
        timestamp: None,
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
        let mut printer = Printer::new(Vec::new(), format, nul, terminal);
        printer.zone = TimeZone::UTC;
        printer.print(&message, "udp://127.0.0.1:514").unwrap();
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
    fn short_is_time_source_and_message() {
        let line = printed(b"<34>hello", Format::Short, false, false);
        assert_eq!(line, b"Nov 22 10:00:00.000000 10.0.0.7:4711 <34>hello\n");
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
