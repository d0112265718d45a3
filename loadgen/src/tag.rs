//! The tag in each message: `lg1 RUN FLOW SEQUENCE SEND_NS CRC `, then the text.
//!
//! Plain words of fixed width, so that it survives a collector that rewrites headers, and so that a sender counts
//! on in place. CRC is the CRC32C (8 hex digits) of everything from `lg1` to the end of the message but these 8 digits.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `lg1 ` |
//! | 4 | 8 | run, hex |
//! | 13 | 5 | flow |
//! | 19 | 10 | sequence number within the flow, from 0 |
//! | 30 | 20 | when it was due, ns since the Unix epoch |
//! | 51 | 8 | CRC, hex |
//! | 60 | | text |

use std::fmt;

use memchr::memmem;

mod endings;
mod writer;

pub use endings::Endings;
pub use writer::Writer;

/// Bytes of the tag and the space behind it.
pub const TAG_BYTES: usize = 60;

/// Most flows in a run: the field has five digits.
pub const FLOWS_MAX: u32 = 100_000;

/// Most messages of one flow: the field has ten digits.
pub const SEQUENCE_MAX: u64 = 10_000_000_000;

const MARK: &[u8; 4] = b"lg1 ";
const FLOW: usize = 13;
const SEQUENCE: usize = 19;
const SEND_NS: usize = 30;
const CRC: usize = 51;
const CRC_END: usize = CRC + 8;

/// One run of loadgen: chosen at random, so that older runs in the same files are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTag([u8; 12]);

impl RunTag {
    /// The beginning of every tag of run `run`.
    #[must_use]
    pub fn new(run: u32) -> Self {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(MARK);
        bytes[4..].copy_from_slice(format!("{run:08x}").as_bytes());
        Self(bytes)
    }

    /// Finds and reads the tag in a message; `None` when the message is not of this run.
    #[must_use]
    pub fn find(&self, message: &[u8]) -> Option<Found> {
        self.tagged(message).map(Found::read)
    }

    /// A message from its tag on; `None` when the message is not of this run.
    #[must_use]
    pub fn tagged<'m>(&self, message: &'m [u8]) -> Option<&'m [u8]> {
        memmem::find(message, &self.0).map(|at| &message[at..])
    }
}

/// Finds and reads the first tag in a message, of whatever run.
#[must_use]
pub fn find_any(message: &[u8]) -> Option<Found> {
    let is_run = |run: &[u8]| run.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_tag = |at: &usize| message[at + MARK.len()..].get(..8).is_some_and(is_run);
    memmem::find_iter(message, MARK).find(is_tag).map(|at| Found::read(&message[at..]))
}

/// The run's number as tags and reports have it.
impl fmt::Display for RunTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[MARK.len()..].iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

/// What a tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Which flow.
    pub flow: u32,
    /// Number within the flow, from 0.
    pub sequence: u64,
    /// When the message was due, ns since the Unix epoch.
    pub send_ns: u64,
}

/// A tag as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The message is as it was sent.
    Intact(Tag),
    /// The tag is readable, but the checksum does not match: something behind it was changed.
    Corrupted(Tag),
    /// The tag itself is damaged.
    Unreadable,
}

impl Found {
    /// Reads a tag from the bytes that begin with it and end with the message.
    fn read(tagged: &[u8]) -> Self {
        let Some(tag) = read_fields(tagged) else { return Self::Unreadable };
        let intact = tagged.get(CRC..CRC_END) == Some(&hex(checksum(tagged)));
        if intact { Self::Intact(tag) } else { Self::Corrupted(tag) }
    }
}

fn read_fields(tagged: &[u8]) -> Option<Tag> {
    let number = |from: usize, digits: usize| {
        let digits = tagged.get(from..from + digits)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        str::from_utf8(digits).ok()?.parse::<u64>().ok()
    };
    let flow = u32::try_from(number(FLOW, 5)?).ok()?;
    Some(Tag { flow, sequence: number(SEQUENCE, 10)?, send_ns: number(SEND_NS, 20)? })
}

/// Everything but the checksum's own digits.
fn checksum(tagged: &[u8]) -> u32 {
    let (before, rest) = tagged.split_at(CRC.min(tagged.len()));
    crc32c::crc32c_append(crc32c::crc32c(before), rest.get(CRC_END - CRC..).unwrap_or_default())
}

/// The tag of a message not yet sent: the run, and zeros to be replaced.
#[must_use]
pub fn blank(run: RunTag) -> Vec<u8> {
    let mut tag = run.0.to_vec();
    tag.extend_from_slice(b" 00000 0000000000 00000000000000000000 00000000 ");
    debug_assert_eq!(tag.len(), TAG_BYTES);
    tag
}

/// Replaces the numbers of a tag, given the bytes from the tag to the end of the message: as documented, and slowly.
#[cfg(test)]
pub(crate) fn fill(tagged: &mut [u8], tag: Tag) {
    let Tag { flow, sequence, send_ns } = tag;
    let numbers = format!("{flow:05} {sequence:010} {send_ns:020}");
    tagged[FLOW..FLOW + numbers.len()].copy_from_slice(numbers.as_bytes());
    let crc = format!("{:08x}", checksum(tagged));
    tagged[CRC..CRC_END].copy_from_slice(crc.as_bytes());
}

fn hex(value: u32) -> [u8; 8] {
    std::array::from_fn(|at| b"0123456789abcdef"[(value >> (28 - 4 * at)) as usize & 15])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tagged(run: u32, tag: Tag, text: &[u8]) -> Vec<u8> {
        let mut bytes = blank(RunTag::new(run));
        bytes.extend_from_slice(text);
        fill(&mut bytes, tag);
        bytes
    }

    #[test]
    fn a_tag_reads_as_documented() {
        let tag = Tag { flow: 7, sequence: 42, send_ns: 1_795_341_600_000_000_000 };
        let bytes = tagged(0xBEEF, tag, b"text");
        assert!(bytes.starts_with(b"lg1 0000beef 00007 0000000042 01795341600000000000 "));
        assert!(bytes.ends_with(b" text"));
        assert_eq!(RunTag::new(0xBEEF).to_string(), "0000beef");
    }

    proptest! {
        #[test]
        fn a_tag_is_found_behind_any_header_and_any_change_behind_it_is_noticed(
            header in "[ -~]{0,40}", text in proptest::collection::vec(any::<u8>(), 1..80),
            flow in 0..FLOWS_MAX, sequence in 0..SEQUENCE_MAX, send_ns: u64, at in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let tag = Tag { flow, sequence, send_ns };
            let mut message = header.into_bytes();
            let start = message.len();
            message.extend(tagged(1, tag, &text));
            prop_assert_eq!(RunTag::new(1).find(&message), Some(Found::Intact(tag)));
            prop_assert_eq!(RunTag::new(2).find(&message), None);
            prop_assert_eq!(find_any(&[b"lg1 is not lg1 a tag: ", &message[..]].concat()), Some(Found::Intact(tag)));
            let at = start + 12 + at.index(message.len() - start - 12);
            message[at] ^= 1 << bit;
            prop_assert!(!matches!(RunTag::new(1).find(&message), Some(Found::Intact(_))));
        }

        #[test]
        fn a_message_cut_short_is_noticed(text in "[a-z]{1,50}", keep in 12usize..100) {
            let tag = Tag { flow: 1, sequence: 2, send_ns: 3 };
            let message = tagged(1, tag, text.as_bytes());
            let keep = keep.min(message.len() - 1);
            prop_assert!(!matches!(RunTag::new(1).find(&message[..keep]), Some(Found::Intact(_))));
        }
    }
}
