//! The messages of a run: valid RFC 3164 lines, each with a tag, made from a seed before the clock starts.

use std::path::{Path, PathBuf};

use fastrand::Rng;
use logboom_syslog::Severity;

use crate::tag::{self, RunTag, TAG_BYTES, Tag};

mod header;
mod severity;
mod shares;
mod size;
mod text;

pub use header::Format;
pub use severity::Severities;
pub use size::Sizes;
pub use text::Text;

use header::HeaderMaker;
use text::made_text;

/// Longest datagram over IPv4.
pub const MESSAGE_BYTES_MAX: usize = 65_507;

/// Distinct messages made when no corpus is given; sent in rotation, with other tags each time.
const MADE: usize = 4096;

/// Most bytes of these: fewer are made if they are too long.
const MADE_BYTES_MAX: usize = 64 << 20;

/// Most bytes of a corpus file: it is held in memory.
const CORPUS_BYTES_MAX: u64 = 1 << 30;

/// What the messages are.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Their texts.
    pub text: Text,
    /// Their headers.
    pub format: Format,
    /// Their severities.
    pub severities: Severities,
}

/// Why there are no messages.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// No size asked for holds a header and a tag.
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
    severities: Vec<Severity>,
}

impl Messages {
    /// Makes the messages of run `run`.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn make(content: &Content, run: RunTag, seed: u64) -> Result<Self, MessageError> {
        let mut messages = Self { bytes: Vec::new(), ends: Vec::new(), severities: Vec::new() };
        let mut rng = Rng::with_seed(seed);
        // Of its own, so that headers do not depend on sizes: the size that an error names is enough.
        let mut text_rng = rng.fork();
        let header = HeaderMaker::new(content);
        match &content.text {
            Text::Made(sizes) => {
                let mut least = 0;
                while messages.len() < MADE {
                    let (severity, header) = header.make(&mut rng);
                    let takes = header.len() + TAG_BYTES;
                    least = least.max(takes);
                    let bytes = takes.max(sizes.draw(&mut text_rng));
                    if messages.bytes.len() + bytes > MADE_BYTES_MAX {
                        break;
                    }
                    messages.push(severity, &header, run, &made_text(&mut text_rng, bytes - takes));
                }
                // A smaller size that was drawn has become what its message takes; if all are smaller, nothing is as asked.
                if sizes.largest() < least {
                    return Err(MessageError::TooSmall { asked: sizes.clone(), least });
                }
            }
            Text::Corpus(path) => {
                for (number, line) in corpus_lines(path)?.split(|byte| *byte == b'\n').enumerate() {
                    let (severity, header) = header.make(&mut rng);
                    let bytes = header.len() + TAG_BYTES + line.len();
                    if bytes > MESSAGE_BYTES_MAX {
                        let what = format!("line {} of {} with header and tag", number + 1, path.display());
                        return Err(MessageError::TooLarge { what, bytes });
                    }
                    messages.push(severity, &header, run, line);
                }
            }
        }
        Ok(messages)
    }

    fn push(&mut self, severity: Severity, header: &str, run: RunTag, text: &[u8]) {
        self.bytes.extend_from_slice(header.as_bytes());
        let tag_start = self.bytes.len();
        self.bytes.extend_from_slice(&tag::blank(run));
        self.bytes.extend_from_slice(text);
        self.ends.push((self.bytes.len(), tag_start));
        self.severities.push(severity);
    }

    /// Distinct messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none: a corpus always has a line, if an empty one.
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

    /// Writes message `number` of the rotation, with its tag, behind what `out` holds.
    #[inline]
    pub fn write(&self, number: u64, tag: Tag, out: &mut Vec<u8>) {
        let (start, end, tag_start) = self.range(number);
        let tag_offset = out.len() + tag_start - start;
        out.extend_from_slice(&self.bytes[start..end]);
        tag::fill(&mut out[tag_offset..], tag);
    }

    /// Severity of message `number` in the rotation.
    #[inline]
    #[must_use]
    pub fn severity_of(&self, number: u64) -> Severity {
        self.severities[(number % self.severities.len() as u64) as usize]
    }

    /// How many of the first `count` messages of the rotation are of each severity.
    #[must_use]
    pub fn count_severities(&self, count: u64) -> [u64; 8] {
        let (rounds, rest) = (count / self.severities.len() as u64, count % self.severities.len() as u64);
        let mut counts = [0; 8];
        for (number, severity) in self.severities.iter().enumerate() {
            counts[*severity as usize] += rounds + u64::from((number as u64) < rest);
        }
        counts
    }

    fn range(&self, number: u64) -> (usize, usize, usize) {
        let index = (number % self.ends.len() as u64) as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1].0 };
        let (end, tag_start) = self.ends[index];
        (start, end, tag_start)
    }
}

fn corpus_lines(path: &Path) -> Result<Vec<u8>, MessageError> {
    let refused = |why: String| MessageError::Corpus { path: path.into(), why };
    let bytes = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if bytes > CORPUS_BYTES_MAX {
        return Err(refused(format!(
            "{bytes} B, but at most {CORPUS_BYTES_MAX} B are held in memory; use a part of it"
        )));
    }
    let mut lines = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    if lines.last() == Some(&b'\n') {
        lines.pop();
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::Found;

    const RUN: u32 = 0xABCD;

    fn made(sizes: &str) -> Text {
        Text::Made(sizes.parse().unwrap())
    }

    fn make(text: Text) -> Result<Messages, MessageError> {
        Messages::make(&Content { text, ..Content::default() }, RunTag::new(RUN), 1)
    }

    #[test]
    fn made_messages_are_valid_syslog_of_the_size_asked_for_and_carry_their_tag() {
        let messages = make(made("200")).unwrap();
        for number in 0..messages.len() as u64 + 3 {
            let tag = Tag { flow: 1, sequence: number, send_ns: 5 };
            let mut out = b"before".to_vec();
            messages.write(number, tag, &mut out);
            let message = &out[6..];
            assert_eq!(message.len(), 200);
            let pri_end = message.iter().position(|byte| *byte == b'>').unwrap();
            let pri: u8 = str::from_utf8(&message[1..pri_end]).unwrap().parse().unwrap();
            assert!(message[0] == b'<' && pri <= 191);
            assert_eq!(RunTag::new(RUN).find(message), Some(Found::Intact(tag)));
        }
    }

    #[test]
    fn both_formats_begin_with_their_header() {
        for (format, begin) in [(Format::Rfc3164, "<191>"), (Format::Rfc5424, "<191>1 20")] {
            let content = Content { format, severities: "debug".parse().unwrap(), ..Content::default() };
            let messages = Messages::make(&content, RunTag::new(RUN), 1).unwrap();
            let mut out = Vec::new();
            let tag = Tag { flow: 0, sequence: 0, send_ns: 0 };
            (0..messages.len() as u64).for_each(|number| messages.write(number, tag, &mut out));
            assert!(memchr::memmem::find(&out, begin.as_bytes()).is_some(), "{begin}");
        }
    }

    #[test]
    fn severities_come_in_the_shares_asked_for() {
        let severities: Severities = "debug:98,err:2".parse().unwrap();
        let messages = Messages::make(&Content { severities, ..Content::default() }, RunTag::new(RUN), 1).unwrap();
        let round = messages.len() as u64;
        let counts = messages.count_severities(round);
        assert_eq!((counts.iter().sum::<u64>(), counts[3] + counts[7]), (round, round));
        assert_eq!(messages.count_severities(3 * round + 1).iter().sum::<u64>(), 3 * round + 1);
    }

    #[test]
    fn a_size_that_no_header_leaves_room_for_is_refused_and_one_among_larger_is_raised() {
        for sizes in ["40", "10-61", "mix:1:1,60:1"] {
            let refused = make(made(sizes)).unwrap_err().to_string();
            let told = format!("--size {sizes}: a message with its header and tag takes at least ");
            let least = refused.strip_prefix(&told).unwrap_or_else(|| panic!("{refused}"));
            let least: usize = least.strip_suffix(" B").unwrap().parse().unwrap();
            let holds = |bytes: usize| make(made(&bytes.to_string())).is_ok();
            assert!(holds(least) && !holds(least - 1), "{least}");
        }
        let messages = make(made("0-200")).unwrap();
        let sizes: Vec<usize> = (0..MADE as u64).map(|number| messages.bytes_of(number)).collect();
        assert!(sizes.iter().all(|bytes| (TAG_BYTES + 30..=200).contains(bytes)));
        assert!(sizes.contains(&200));
    }

    #[test]
    fn what_is_made_is_bounded() {
        assert_eq!(make(made("200")).unwrap().len(), MADE);
        let longest = make(made("65507")).unwrap();
        assert_eq!((longest.len(), longest.bytes.len()), (1024, 1024 * MESSAGE_BYTES_MAX));
    }

    #[test]
    fn the_same_seed_makes_the_same_texts() {
        let text = |seed| made_text(&mut Rng::with_seed(seed), 500);
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn corpus_lines_are_kept_byte_for_byte() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"one\r\n\n\xFF\xFE two\nlast without end").unwrap();
        let messages = make(Text::Corpus(file.path().into())).unwrap();
        assert_eq!(messages.len(), 4);
        for (number, line) in [&b"one\r"[..], b"", b"\xFF\xFE two", b"last without end"].into_iter().enumerate() {
            let mut out = Vec::new();
            messages.write(number as u64, Tag { flow: 0, sequence: 0, send_ns: 0 }, &mut out);
            assert!(out.ends_with(line));
        }
    }

    #[test]
    fn a_corpus_that_is_not_there_is_told() {
        let refused = make(Text::Corpus("/nonexistent".into())).unwrap_err().to_string();
        assert!(refused.contains("--corpus /nonexistent"), "{refused}");
    }
}
