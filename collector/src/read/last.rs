//! The last messages, without reading what lies before them.

use std::path::PathBuf;

use logboom_segment::{Decoder, Direction, Flags, Message, Source};

use super::ReadError;
use super::find::{self, Candidate, Found};
use super::scan::Scan;

/// A message that outlives its block.
#[derive(Clone, Debug)]
pub struct OwnedMessage {
    payload: Vec<u8>,
    received_ns: u64,
    source: Source,
    pri: u8,
    flags: Flags,
    original_length: u32,
    /// URL of the listener that took it.
    pub listener: String,
}

impl OwnedMessage {
    /// A copy.
    #[must_use]
    pub fn of(message: &Message<'_>, listener: &str) -> Self {
        let Message { payload, received_ns, source, pri, flags, original_length } = *message;
        Self {
            payload: payload.to_vec(),
            received_ns,
            source,
            pri,
            flags,
            original_length,
            listener: listener.to_owned(),
        }
    }

    /// The message again.
    #[must_use]
    pub fn as_message(&self) -> Message<'_> {
        let Self { payload, received_ns, source, pri, flags, original_length, listener: _ } = self;
        Message {
            payload,
            received_ns: *received_ns,
            source: *source,
            pri: *pri,
            flags: *flags,
            original_length: *original_length,
        }
    }
}

/// The last `count` wanted messages, in order, and complaints. Opens the segments that were written last, and more only while
/// these are not enough. Holds as many messages.
///
/// # Errors
/// What cannot be read, and want of memory.
pub fn last_messages(
    paths: &[PathBuf],
    scan: &Scan<'_>,
    count: u64,
) -> Result<(Vec<OwnedMessage>, Vec<String>), ReadError> {
    last_of(find::list(paths)?, scan, count, |_| ())
}

/// The same of `candidates`; `limit` may take from the opened segments what is not to be read.
pub(super) fn last_of(
    mut candidates: Vec<Candidate>,
    scan: &Scan<'_>,
    count: u64,
    limit: impl Fn(&mut Found),
) -> Result<(Vec<OwnedMessage>, Vec<String>), ReadError> {
    const FIRST_SEGMENTS: usize = 4;
    let before = candidates.len();
    candidates.retain(|candidate| candidate.latest_ns >= scan.filters.time.since_ns);
    scan.stats.note_skipped_segments(before - candidates.len());
    candidates.sort_by_key(|candidate| candidate.latest_ns);
    let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
    let (mut found, mut take) = (Vec::new(), FIRST_SEGMENTS);
    loop {
        let more = candidates.split_off(candidates.len().saturating_sub(take));
        let mut opened = find::open(more, &mut decoder)?;
        scan.stats.note_opened_segments(opened.len());
        opened.iter_mut().for_each(&limit);
        found.extend(opened);
        // In those that are not opened is nothing later.
        let complete_from_ns = candidates.last().map_or(0, |candidate| candidate.latest_ns.saturating_add(1));
        let mut last = Vec::new();
        let backward = Scan { direction: Direction::Backward, ..*scan };
        let complaints = backward.for_each(&found, |message, listener| {
            let is_complete = message.received_ns >= complete_from_ns;
            if is_complete && (last.len() as u64) < count {
                last.push(OwnedMessage::of(message, listener));
            }
            Ok(is_complete && (last.len() as u64) < count)
        })?;
        if last.len() as u64 == count || candidates.is_empty() {
            last.reverse();
            scan.stats.note_skipped_segments(candidates.len());
            return Ok((last, complaints));
        }
        take *= 2;
    }
}
