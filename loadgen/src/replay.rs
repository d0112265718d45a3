//! What was once sent, to be sent again: messages with the time and the sender of each.
//!
//! * `capture`: from pcap and pcapng files, whose packets `packet` takes apart;
//! * `lines`: from text with a time at the head of its lines;
//! * segments are read as `verify` reads them.
//!
//! A [`Recording`] is held whole, so that sending is a copy: [`LIMITS`] says how much that is.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use logboom_segment::{Flags, Message};

use crate::verify::{Segments, VerifyError};

mod capture;
mod lines;
mod packet;

/// How much a recording may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// Of a recording that is sent, its messages are held twice, with tags the second time: docs/loadgen.md says how much that is.
pub const LIMITS: Limits = Limits { messages: 4_000_000, bytes: 512 << 20 };

/// What is read of a file to tell what it is; a pipe has it but once. The reader of captures wants their header at once.
const HEAD_BYTES: u64 = 1 << 16;

/// Messages, in the order in which they were sent.
#[derive(Debug, Default)]
pub struct Recording {
    name: String,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    sources: u32,
    remarks: BTreeMap<Remark, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at_ns: u64,
    start: u32,
    bytes: u32,
    source: u32,
}

const _: () = assert!(LIMITS.bytes <= u32::MAX as usize);

/// What a source holds that is not sent, or not as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    /// Packets that are no UDP.
    OtherProtocol,
    /// Datagrams to a port that was not asked for.
    OtherPort,
    /// Fragments of datagrams that are not whole.
    Fragment,
    /// Packets of a link layer that is not known.
    UnknownLink,
    /// Packets that are not what they say they are, or cut before their payload.
    Unreadable,
    /// Messages without a byte.
    Empty,
    /// Messages that would not fit a datagram.
    TooLong,
    /// Messages that were cut when they were recorded; they are sent as far as they are there.
    Cut,
    /// Lines without a time; they are sent right behind the line before.
    Untimed,
    /// Times over a minute before those of the line before; what follows of that host goes on from there.
    ClockSetBack,
    /// Files that end within a packet.
    Torn,
    /// Blocks of segments that cannot be read.
    Damaged,
}

impl Remark {
    const fn words(self) -> &'static str {
        match self {
            Self::OtherProtocol => "packets of other protocols left out",
            Self::OtherPort => "datagrams to other ports left out",
            Self::Fragment => "fragments of datagrams that are not whole left out",
            Self::UnknownLink => "packets of an unknown link layer left out",
            Self::Unreadable => "packets that are damaged, or cut before their payload, left out",
            Self::Empty => "empty messages left out",
            Self::TooLong => "messages too long for a datagram left out",
            Self::Cut => "messages were cut when they were recorded: sent as far as they are there",
            Self::Untimed => "lines without a time: sent right behind the line before",
            Self::ClockSetBack => "times over a minute before the line before: the clock was set, no gap is kept there",
            Self::Torn => "files end within a packet: sent as far as they go",
            Self::Damaged => "damaged blocks of segments left out",
        }
    }
}

/// Why there is nothing to send.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file cannot be used, or not all of it.
    #[error("{name}: {why}")]
    Source {
        /// The file.
        name: String,
        /// Why.
        why: String,
    },
    /// Segments cannot be read.
    #[error(transparent)]
    Segments(#[from] VerifyError),
    /// The files are good, but empty.
    #[error("there is no message in {0}")]
    Nothing(Box<Recording>),
}

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Address(SocketAddr),
    /// A program of the machine where it was recorded.
    Local,
    /// Whoever wrote a file of text.
    File(usize),
}

/// A recording while it is made.
struct Recorder {
    recording: Recording,
    sources: HashMap<Source, u32>,
    /// Longest message.
    message_bytes_max: usize,
    limits: Limits,
}

impl Recorder {
    /// # Errors
    /// That there is no room for more, in words.
    fn push(&mut self, at_ns: u64, source: Source, payload: &[u8]) -> Result<(), String> {
        let Recording { bytes, entries, .. } = &mut self.recording;
        if payload.is_empty() || payload.len() > self.message_bytes_max {
            self.remark(if payload.is_empty() { Remark::Empty } else { Remark::TooLong }, 1);
            return Ok(());
        }
        let (messages_now, bytes_now) = (entries.len() + 1, bytes.len() + payload.len());
        let Limits { messages: messages_max, bytes: bytes_max } = self.limits;
        if messages_now > messages_max || bytes_now > bytes_max {
            return Err(format!(
                "message {messages_now} makes {bytes_now} B, but a recording has at most {messages_max} messages and \
                 {bytes_max} B: use a part of it"
            ));
        }
        let next = self.sources.len() as u32;
        let source = *self.sources.entry(source).or_insert(next);
        entries.push(Entry { at_ns, start: bytes.len() as u32, bytes: payload.len() as u32, source });
        bytes.extend_from_slice(payload);
        Ok(())
    }

    fn remark(&mut self, remark: Remark, count: u64) {
        if count > 0 {
            *self.recording.remarks.entry(remark).or_default() += count;
        }
    }
}

impl Recording {
    /// Reads captures, data directories, segments and text, all into one, by time. Of captures only datagrams to `port` if one is
    /// given; of all, messages of at most `message_bytes_max`. What has no year is of `year`.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn read(
        paths: &[PathBuf],
        port: Option<u16>,
        message_bytes_max: usize,
        year: i16,
        limits: Limits,
    ) -> Result<Self, ReplayError> {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let recording = Self { name: names.join(" "), ..Self::default() };
        let mut recorder = Recorder { recording, sources: HashMap::new(), message_bytes_max, limits };
        let mut segments = Segments::since(0)?;
        for (number, path) in paths.iter().enumerate() {
            let unusable = |why| ReplayError::Source { name: names[number].clone(), why };
            let refused = |error: std::io::Error| unusable(error.to_string());
            let kind = std::fs::metadata(path).map_err(refused)?.file_type();
            if kind.is_dir() {
                segments.add_all(path)?;
            } else if kind.is_char_device() || kind.is_block_device() {
                return Err(unusable("it is a device, not a file".into()));
            } else if let Some(file) = segments.add(path, File::open(path).map_err(refused)?)? {
                let mut head = Vec::new();
                (&file).take(HEAD_BYTES).read_to_end(&mut head).map_err(refused)?;
                let kind = Kind::of(&head);
                let whole = Cursor::new(head).chain(file);
                let read = match kind {
                    Kind::Capture => capture::read(whole, port, &mut recorder),
                    Kind::Text => lines::read(whole, Source::File(number), year, &mut recorder),
                    Kind::Compressed => Err("it is compressed: unpack it first".into()),
                };
                read.map_err(unusable)?;
            }
        }
        let mut pushed = Ok(());
        let damaged = segments.read_each(|message| {
            pushed = recorder.push_stored(message);
            pushed.is_ok()
        })?;
        recorder.remark(Remark::Damaged, damaged);
        pushed.map_err(|why| ReplayError::Source { name: names.join(" "), why })?;
        let Recorder { mut recording, sources, .. } = recorder;
        recording.sources = sources.len() as u32;
        // Stable: what was sent at one time keeps its order.
        recording.entries.sort_by_key(|entry| entry.at_ns);
        if recording.entries.is_empty() { Err(ReplayError::Nothing(Box::new(recording))) } else { Ok(recording) }
    }

    /// Messages in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none: never, once it is read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Senders in it.
    #[must_use]
    pub fn sources(&self) -> u32 {
        self.sources
    }

    /// When each message was sent, ns since whenever, in order.
    pub fn times_ns(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().map(|entry| entry.at_ns)
    }

    /// Each message and the number of its sender, in order.
    pub fn messages(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.entries.iter().map(|entry| {
            let start = entry.start as usize;
            (&self.bytes[start..start + entry.bytes as usize], entry.source)
        })
    }

    /// What is not sent, or not as it was, and how often.
    pub fn remarks(&self) -> impl Iterator<Item = (Remark, u64)> {
        self.remarks.iter().map(|(remark, count)| (*remark, *count))
    }

    /// The files.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes sure that no message holds what ends one on a stream of lines: an LF, or, as some senders of syslog end with it, a NUL
    /// before its last byte. `all_have_pri` says whether they could be counted instead.
    ///
    /// # Errors
    /// What holds one of them, and what to do.
    pub fn must_be_lines(&self, all_have_pri: bool) -> Result<(), String> {
        let is_cut = |message: &[u8]| {
            memchr::memchr2(b'\n', 0, message).is_some_and(|at| message[at] == b'\n' || at + 1 < message.len())
        };
        if !self.messages().any(|(message, _)| is_cut(message)) {
            return Ok(());
        }
        let instead = if all_have_pri { "use --framing octet" } else { "send them over udp" };
        Err(format!(
            "{}: a message holds a line end or a NUL, at which a stream of lines would cut it: {instead}",
            self.name
        ))
    }
}

/// What is in it, and what is not.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_ns = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.at_ns);
        let seconds = (at_ns(self.entries.last()) - at_ns(self.entries.first())) as f64 / 1e9;
        write!(f, "{}: {} messages of {} senders in {seconds:.3} s", self.name, self.len(), self.sources)?;
        self.remarks.iter().try_for_each(|(remark, count)| write!(f, "; {count} {}", remark.words()))
    }
}

impl Recorder {
    fn push_stored(&mut self, message: &Message<'_>) -> Result<(), String> {
        if message.flags.has(Flags::TRUNCATED) {
            self.remark(Remark::Cut, 1);
        }
        let address = message.source.address.map(|address| SocketAddr::new(address, message.source.port));
        self.push(message.received_ns, address.map_or(Source::Local, Source::Address), message.payload)
    }
}

/// What a file that is no segment is, by how it begins.
enum Kind {
    /// A pcap file (of us or ns, in either byte order, or as Linux once modified it) or a pcapng file.
    Capture,
    /// gzip (RFC 1952), zstd (RFC 8878) or xz.
    Compressed,
    Text,
}

impl Kind {
    fn of(head: &[u8]) -> Self {
        let Some(head) = head.first_chunk() else { return Self::Text };
        match (u32::from_le_bytes(*head), head) {
            (0xA1B2_C3D4 | 0xD4C3_B2A1 | 0xA1B2_3C4D | 0x4D3C_B2A1 | 0xA1B2_CD34 | 0x0A0D_0D0A, _) => Self::Capture,
            (_, [0x1F, 0x8B, ..] | [0x28, 0xB5, 0x2F, 0xFD] | [0xFD, b'7', b'z', b'X']) => Self::Compressed,
            _ => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(contents: &[&str], limits: Limits) -> Result<Recording, ReplayError> {
        let directory = tempfile::tempdir().unwrap();
        let write = |(number, content): (usize, &&str)| {
            let path = directory.path().join(number.to_string());
            std::fs::write(&path, content).unwrap();
            path
        };
        let paths: Vec<_> = contents.iter().enumerate().map(write).collect();
        Recording::read(&paths, None, 65_507, 2026, limits)
    }

    #[test]
    fn several_sources_are_sent_together_by_time_and_those_of_one_time_in_their_order() {
        let first = "2026-11-23T10:00:00Z a\nsame a\n2026-11-23T10:00:02Z c\n";
        let second = "2026-11-23T10:00:01Z b\n2026-11-23T10:00:02Z d\n";
        let recording = texts(&[first, second], LIMITS).unwrap();
        let sent: Vec<_> = recording.messages().map(|(message, source)| (message[message.len() - 1], source)).collect();
        assert_eq!(sent, [(b'a', 0), (b'a', 0), (b'b', 1), (b'c', 0), (b'd', 1)]);
        assert_eq!((recording.len(), recording.sources()), (5, 2));
        let told = recording.to_string();
        assert!(
            told.ends_with(
                "5 messages of 2 senders in 2.000 s; 1 lines without a time: sent right behind the line before"
            ),
            "{told}"
        );
    }

    #[test]
    fn what_is_compressed_is_not_taken_for_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("capture.pcap.gz");
        for head in [&b"\x1F\x8B\x08\x00rest"[..], b"\x28\xB5\x2F\xFDrest", b"\xFD7zXZ\x00rest"] {
            std::fs::write(&path, head).unwrap();
            let refused =
                Recording::read(std::slice::from_ref(&path), None, 65_507, 2026, LIMITS).unwrap_err().to_string();
            assert_eq!(refused, format!("{}: it is compressed: unpack it first", path.display()));
        }
    }

    #[test]
    fn a_recording_beyond_a_limit_is_refused_with_the_limit() {
        let line = "2026-11-23T10:00:00Z a\n";
        for (limits, told) in [
            (Limits { messages: 1, ..LIMITS }, "at most 1 messages and 536870912 B: use a part of it"),
            (Limits { bytes: 43, ..LIMITS }, "at most 4000000 messages and 43 B: use a part of it"),
        ] {
            let refused = texts(&[line, line], limits).unwrap_err().to_string();
            assert!(
                refused.contains("message 2 makes 44 B, but a recording has ") && refused.ends_with(told),
                "{refused}"
            );
        }
        assert_eq!(texts(&[line, line], Limits { messages: 2, bytes: 44 }).unwrap().len(), 2);
    }
}
