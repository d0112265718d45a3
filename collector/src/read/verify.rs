//! Whether every byte that is stored is what was written.

use std::fmt;
use std::fs::File;
use std::path::Path;

use logboom_segment::{Decoder, FileState, Rows, Segment, read_block};
use serde::Serialize;

use super::ReadError;
use super::scan::Found;
use crate::store::directory::is_collected_into;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Verification {
    /// Segment files.
    pub segments: u64,
    /// Messages in whole blocks.
    pub messages: u64,
    /// Blocks, or ranges where blocks were, that are damaged.
    pub damaged_blocks: u64,
    /// Bytes at the ends of files that are no whole block, of collectors that no longer run.
    pub torn_bytes: u64,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged_blocks == 0 && self.torn_bytes == 0
    }
}

/// Walks every file from its first byte, checks each checksum, decodes each block, and compares what the index says.
/// Tells `complain` of each thing wrong.
///
/// # Errors
/// When a file cannot be read at all.
pub fn verify(found: &mut [Found], mut complain: impl FnMut(String)) -> Result<Verification, ReadError> {
    let mut verification = Verification::default();
    let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
    for found in found {
        // Deleted by retention since it was found: nothing to verify.
        let Ok(file) = found.reopen() else { continue };
        let refused = |error| ReadError::Segment { path: found.path.clone(), error };
        found.segment = Segment::walk(&file, &mut decoder).map_err(refused)?;
        verification.segments += 1;
        verify_blocks(found, &file, &mut decoder, &mut verification, &mut complain);
        verification.damaged_blocks += found.segment.damage.len() as u64;
        found.complaints().into_iter().for_each(&mut complain);
        verify_end(found, &mut verification, &mut complain);
    }
    Ok(verification)
}

fn verify_blocks(
    found: &Found,
    file: &File,
    decoder: &mut Decoder,
    verification: &mut Verification,
    complain: &mut impl FnMut(String),
) {
    let (mut bytes, mut rows) = (Vec::new(), Rows::for_decoding());
    for block in &found.segment.blocks {
        match read_block(file, block, &mut bytes).and_then(|()| decoder.decode(&bytes, &mut rows)) {
            Ok(_) => verification.messages += rows.len() as u64,
            Err(error) => {
                verification.damaged_blocks += 1;
                complain(format!("{}: the block at {} is damaged: {error}", found.path.display(), block.offset));
            }
        }
    }
}

/// The end of a file that still grows may be half a block; that of a file left behind may not.
fn verify_end(found: &Found, verification: &mut Verification, complain: &mut impl FnMut(String)) {
    let path = found.path.display();
    let grows = found.state == FileState::Open && is_collected_into(found.path.parent().unwrap_or(Path::new(".")));
    if grows {
        return;
    }
    verification.torn_bytes += found.segment.tail_bytes;
    if found.state == FileState::Open && found.segment.tail_bytes > 0 {
        complain(format!("{path}: the last {} B are no whole block", found.segment.tail_bytes));
    }
    if found.state == FileState::Sealed && !found.segment.sealed && found.segment.tail_bytes == 0 {
        verification.damaged_blocks += 1;
        complain(format!("{path}: the index and seek table are missing"));
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, messages, damaged_blocks, torn_bytes } = self;
        let verdict = if self.is_clean() { "clean" } else { "DAMAGED" };
        write!(
            f,
            "{verdict}: {segments} segments, {messages} messages, {damaged_blocks} damaged blocks, {torn_bytes} torn bytes"
        )
    }
}
