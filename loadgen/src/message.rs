//! The messages of a run: each with a tag, made from a seed before the clock starts, sent in rotation.
//!
//! * [`Format`]: what stands around the tag and the text: lines with gaps (`template`), filled with what a sender says of
//!   itself (`header`);
//! * [`Text`]: made up in some [`Sizes`], or the lines of a file;
//! * [`Severities`]: how often each occurs;
//! * or what was once sent (`recorded`).
//!
//! They are held whole, so that sending is a copy and a tag: `Limits` says how much that is.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logboom_syslog::Severity;

use crate::replay::Recording;
use crate::tag::{self, Endings, RunTag};

mod format;
mod header;
mod maker;
mod recorded;
mod severity;
mod shares;
mod size;
mod template;
mod text;

pub use format::Format;
pub use severity::Severities;
pub use size::Sizes;
pub use text::Text;

use header::Stamps;
use maker::Maker;
use template::Frame;

/// Longest datagram over IPv4.
pub const MESSAGE_BYTES_MAX: usize = 65_507;

/// The format of what is sent as it was recorded: nothing in it says of which run it is.
pub(crate) const UNTAGGED: &str = "recorded";

/// How much is made.
struct Limits {
    /// Distinct messages with made-up texts; fewer if these are too long.
    made: usize,
    /// Their bytes.
    made_bytes: usize,
    /// Bytes of the messages with the lines of a file.
    corpus_bytes: usize,
}

const LIMITS: Limits = Limits { made: 4096, made_bytes: 64 << 20, corpus_bytes: 1 << 30 };

// Every template is used, however long its messages are.
const _: () = assert!(LIMITS.made_bytes / MESSAGE_BYTES_MAX >= format::TEMPLATES_MAX);

/// What is sent.
#[derive(Clone, Debug)]
pub enum Load {
    /// Messages of our making.
    Made(Content),
    /// What was once sent.
    Recorded {
        /// The messages.
        recording: Arc<Recording>,
        /// Whether each gets a tag, to be found by.
        is_tagged: bool,
    },
}

/// Its texts and what stands around them.
impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text(), self.format())
    }
}

impl Load {
    /// Where the texts are from.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Made(content) => content.text.to_string(),
            Self::Recorded { recording, .. } => recording.name().to_owned(),
        }
    }

    /// What stands around them.
    #[must_use]
    pub fn format(&self) -> String {
        match self {
            Self::Made(content) => content.format.to_string(),
            Self::Recorded { is_tagged, .. } => if *is_tagged { "recorded, tagged" } else { UNTAGGED }.into(),
        }
    }

    /// Their severities.
    #[must_use]
    pub fn severities(&self) -> String {
        match self {
            Self::Made(content) => content.severities.to_string(),
            Self::Recorded { .. } => "recorded".into(),
        }
    }
}

/// What messages of our making are.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Their texts.
    pub text: Text,
    /// What stands around these.
    pub format: Format,
    /// Their severities.
    pub severities: Severities,
}

/// Why there are no messages.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// No size asked for holds what stands around the text.
    #[error("--size {asked}: a message with its header and tag takes at least {least} B")]
    TooSmall {
        /// As asked.
        asked: Sizes,
        /// What the longest header takes.
        least: usize,
    },
    /// A message would not fit a datagram.
    #[error("{what} is {bytes} B, but a datagram holds at most {MESSAGE_BYTES_MAX} B")]
    TooLarge {
        /// Which message.
        what: String,
        /// Its size.
        bytes: usize,
    },
    /// The format cannot be used.
    #[error("--format {format}: {why}")]
    Format {
        /// As asked.
        format: Format,
        /// Why.
        why: String,
    },
    /// The corpus cannot be used.
    #[error("--corpus {}: {why}", path.display())]
    Corpus {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Messages to send in rotation.
#[derive(Debug)]
pub struct Messages {
    bytes: Vec<u8>,
    /// Where each ends in `bytes`, and where its tag begins.
    ends: Vec<(usize, usize)>,
    /// None if they have no tags.
    endings: Option<Endings>,
    /// What each says of its severity.
    severities: Vec<Option<Severity>>,
    /// The flow of each; none if flows take them in turn.
    flows: Vec<u32>,
}

impl Messages {
    /// Makes the messages of run `run`. The same content and seed make the same messages, but for the run and the time.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn make(content: &Content, run: RunTag, seed: u64) -> Result<Self, MessageError> {
        Maker::new(content, run, seed, Stamps::of(&jiff::Zoned::now()), LIMITS)?.make()
    }

    fn none(is_tagged: bool) -> Self {
        let endings = is_tagged.then(Endings::default);
        Self { bytes: Vec::new(), ends: Vec::new(), endings, severities: Vec::new(), flows: Vec::new() }
    }

    /// Adds the message that `frame` is with `text` in it.
    fn push(&mut self, frame: &Frame, text: &[u8]) {
        let start = self.bytes.len();
        let text_start = frame.text_start.unwrap_or(frame.bytes.len());
        let (before, behind) = frame.bytes.split_at(text_start);
        for part in [before, text, behind] {
            self.bytes.extend_from_slice(part);
        }
        let moved = if text_start <= frame.tag_start { text.len() } else { 0 };
        self.end(start + frame.tag_start + moved, frame.severity);
    }

    /// Ends the next message here.
    fn end(&mut self, tag_start: usize, severity: Option<Severity>) {
        self.ends.push((self.bytes.len(), tag_start));
        self.severities.push(severity);
        if let Some(endings) = &mut self.endings {
            endings.push(&self.bytes[tag_start..]);
        }
    }

    /// Keeps the first `count` messages.
    fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.severities.truncate(count);
        if let Some(endings) = &mut self.endings {
            endings.truncate(count);
        }
        self.bytes.truncate(self.ends.last().map_or(0, |(end, _)| *end));
    }

    /// Distinct messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none: never, once they are made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Size of message `number` in the rotation, bytes.
    #[must_use]
    pub fn bytes_of(&self, number: u64) -> usize {
        let (start, end, _) = self.range(number);
        end - start
    }

    /// Writes message `number` of the rotation, with its tag if it has one, behind what `out` holds.
    #[inline]
    pub fn write(&self, number: u64, tag: &mut tag::Writer, out: &mut Vec<u8>) {
        let (start, end, tag_start) = self.range(number);
        let tag_offset = out.len() + tag_start - start;
        out.extend_from_slice(&self.bytes[start..end]);
        if let Some(endings) = &self.endings {
            tag.write(&mut out[tag_offset..], endings, self.index(number));
        }
    }

    /// The flow that message `number` of the rotation goes to, and with it as many of the next `count` as go there, too; `None`
    /// if flows take messages in turn.
    #[must_use]
    pub fn flow_of(&self, number: u64, count: usize) -> Option<(usize, usize)> {
        let flow = *self.flows.get(self.index(number))?;
        let goes_there = |later: &u64| self.flows[self.index(*later)] == flow;
        Some((flow as usize, (number..number + count as u64).take_while(goes_there).count()))
    }

    /// What message `number` in the rotation says of its severity: always one in the formats `rfc3164`, `rfc5424` and `json`,
    /// never one in `raw`.
    #[inline]
    #[must_use]
    pub fn severity_of(&self, number: u64) -> Option<Severity> {
        self.severities[self.index(number)]
    }

    /// Whoever counts within the rotation is spared a division for each message.
    #[inline]
    fn index(&self, number: u64) -> usize {
        let messages = self.ends.len() as u64;
        (if number < messages { number } else { number % messages }) as usize
    }

    #[inline]
    fn range(&self, number: u64) -> (usize, usize, usize) {
        let index = self.index(number);
        let start = if index == 0 { 0 } else { self.ends[index - 1].0 };
        let (end, tag_start) = self.ends[index];
        (start, end, tag_start)
    }
}

/// What a file holds, if that is at most `bytes_max`.
pub(crate) fn read_at_most(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    match read.map_err(|error| error.to_string())? as u64 {
        read if read > bytes_max => Err(format!("it is longer than {bytes_max} B; use a part of it")),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use logboom_syslog::header::{self, Format as Layout};
    use proptest::prelude::*;

    use super::*;
    use crate::tag::{Found, TAG_BYTES, Tag};

    pub(super) const RUN: u32 = 0xABCD;
    pub(super) const TAG: Tag = Tag { flow: 1, sequence: 2, send_ns: 3 };
    pub(super) const FEW: Limits = Limits { made: 24, made_bytes: 4 << 20, corpus_bytes: 1 << 20 };

    pub(super) fn content(format: &str, sizes: &str) -> Content {
        Content {
            text: Text::Made(sizes.parse().unwrap()),
            format: format.parse().unwrap(),
            severities: Severities::default(),
        }
    }

    pub(super) fn make_within(content: &Content, limits: Limits) -> Result<Messages, MessageError> {
        make_at("2026-11-23T10:00:00Z", content, RUN, 1, limits)
    }

    fn make_at(time: &str, content: &Content, run: u32, seed: u64, limits: Limits) -> Result<Messages, MessageError> {
        let now = time.parse::<jiff::Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        Maker::new(content, RunTag::new(run), seed, Stamps::of(&now), limits)?.make()
    }

    /// A file of some lines.
    pub(super) fn file(lines: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        file
    }

    pub(super) fn written(messages: &Messages, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        messages.write(number, &mut tag::Writer::new(RunTag::new(RUN), TAG), &mut out);
        out
    }

    /// Fails unless `message` is what its format says.
    fn assert_valid(format: &str, message: &[u8]) {
        let text = str::from_utf8(message).unwrap();
        let header = header::parse(message);
        match format {
            "rfc3164" | "rfc5424" => {
                let layout = if format == "rfc3164" { Layout::Rfc3164 } else { Layout::Rfc5424 };
                assert_eq!((header.format, header.pri.is_some()), (layout, true), "{text}");
                let fields = [header.timestamp, header.host, header.app, header.proc_id];
                assert!(fields.iter().all(Option::is_some) && header.message.starts_with(b"lg1 "), "{text}");
            }
            "json" => {
                let object: serde_json::Value = serde_json::from_str(text).unwrap();
                let fields = ["timestamp", "host", "severity", "appname"].map(|key| object[key].as_str());
                assert!(fields.iter().all(Option::is_some), "{text}");
                assert!(object["message"].as_str().unwrap().starts_with("lg1 "), "{text}");
            }
            "raw" => assert!(text.starts_with("lg1 ")),
            _ => assert!(text.starts_with("text=\"") && header.pri.is_none() && text.ends_with('}'), "{text}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_message_is_valid_and_found_and_any_change_behind_its_tag_is_noticed(
            format in prop::sample::select(vec!["rfc3164", "rfc5424", "json", "raw", "template"]),
            sizes in prop_oneof![
                (210usize..3000).prop_map(|bytes| bytes.to_string()),
                (0usize..300, 210usize..3000).prop_map(|(min, max)| format!("{}-{max}", min.min(max))),
                (1usize..2000, 0u32..30).prop_map(|(median, sigma)| format!("lognormal:{median},{}", f64::from(sigma) / 10.0)),
                Just("mix:64:7,570:4,1400:1".to_owned()),
            ],
            seed: u64, at: prop::sample::Index, bit in 0u8..8,
        ) {
            let templates = file(b"text=\"{text}\"{tag} of {user}}}\ntext=\"{text}{tag}}}\ntext=\"\"{tag}}}\n");
            let path = format!("template:{}", templates.path().display());
            let content = content(if format == "template" { &path } else { format }, &sizes);
            let messages = make_at("2026-11-23T10:00:00Z", &content, RUN, seed, FEW).unwrap();
            for number in 0..messages.len() as u64 + 3 {
                let mut out = b"before".to_vec();
                messages.write(number, &mut tag::Writer::new(RunTag::new(RUN), TAG), &mut out);
                let mut message = out.split_off(6);
                prop_assert_eq!(&out, b"before");
                prop_assert_eq!(message.len(), messages.bytes_of(number));
                if let (Ok(bytes), false) = (sizes.parse::<usize>(), format == "template") {
                    prop_assert_eq!(message.len(), bytes);
                }
                assert_valid(format, &message);
                prop_assert_eq!(RunTag::new(RUN).find(&message), Some(Found::Intact(TAG)));
                let behind = memchr::memmem::find(&message, b"lg1 ").unwrap() + TAG_BYTES - 1;
                let changed = behind + at.index(message.len() - behind);
                message[changed] ^= 1 << bit;
                prop_assert_eq!(RunTag::new(RUN).find(&message), Some(Found::Corrupted(TAG)));
            }
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_messages_but_for_run_and_time() {
        for format in ["rfc3164", "rfc5424", "json", "raw"] {
            let content = content(format, "lognormal:300,0.5");
            let make = |time, run, seed| {
                let messages = make_at(time, &content, run, seed, FEW).unwrap();
                (String::from_utf8(messages.bytes).unwrap(), messages.ends)
            };
            let (first, ends) = make("2026-11-23T10:00:00Z", 1, 7);
            let (again, ends_again) = make("2027-01-02T03:04:05.678Z", 2, 7);
            let renamed = first
                .replace("lg1 00000001", "lg1 00000002")
                .replace("Nov 23 10:00:00", "Jan  2 03:04:05")
                .replace("2026-11-23T10:00:00.000000Z", "2027-01-02T03:04:05.678000Z");
            assert!(renamed == again && ends == ends_again, "{format}");
            assert_ne!(first, make("2026-11-23T10:00:00Z", 1, 8).0, "{format}");
        }
    }

    #[test]
    fn a_severity_is_known_where_the_message_says_it() {
        for (format, says) in [("rfc3164", true), ("rfc5424", true), ("json", true), ("raw", false)] {
            let messages = make_within(&content(format, "200"), FEW).unwrap();
            for number in 0..messages.len() as u64 + 3 {
                let (message, severity) = (written(&messages, number), messages.severity_of(number));
                assert_eq!(severity.is_some(), says, "{format}");
                if let Some(pri) = logboom_syslog::pri(&message) {
                    assert_eq!(severity, Some(Severity::of_pri(pri)));
                } else if let Some(severity) = severity {
                    let object: serde_json::Value = serde_json::from_slice(&message).unwrap();
                    assert_eq!(object["severity"], severity.keyword());
                }
            }
        }
    }
}
