//! Whether every byte that is stored is what was written.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use logboom_segment::{
    BlockRef, Decoder, Direction, FileState, Rewrite, RewriteError, RewriteGoal, Rows, Segment, in_order, read_block,
};
use serde::Serialize;

use super::ReadError;
use super::find::{Found, run_of};

/// What was found.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Verification {
    /// Segment files.
    pub segments: u64,
    /// Messages in whole blocks.
    pub messages: u64,
    /// Blocks, or ranges where blocks were, that are damaged.
    pub damaged_blocks: u64,
    /// Bytes at the ends of files that are no whole block, of collectors that no longer run.
    pub torn_bytes: u64,
    /// Damaged files whose whole blocks were copied to another.
    pub repaired_files: u64,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged_blocks == 0 && self.torn_bytes == 0
    }
}

/// Walks every file from its first byte, checks each checksum, decodes each block, and compares what the index says.
/// Tells `complain` of each thing wrong. With `repair`, what is whole of a damaged file is copied to one beside it.
///
/// # Errors
/// When a file cannot be read at all, or the copy cannot be written.
pub fn verify(found: &mut [Found], repair: bool, mut complain: impl FnMut(String)) -> Result<Verification, ReadError> {
    let mut verification = Verification::default();
    let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
    for found in &mut *found {
        let file = match found.reopen() {
            // Deleted by retention since it was found: nothing to verify.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| ReadError::Path { path: found.path.clone(), error })?,
        };
        let was_clean = verification;
        verification.segments += 1;
        match Segment::walk_of(&file, run_of(&found.path), &mut decoder) {
            Ok(segment) => found.segment = segment,
            Err(error) => {
                verification.damaged_blocks += 1;
                complain(format!("{}: {error}", found.path.display()));
                continue;
            }
        }
        verify_blocks(found, &file, &mut decoder, &mut verification, &mut complain);
        verification.damaged_blocks += found.segment.damage.len() as u64;
        found.complaints().into_iter().for_each(&mut complain);
        verify_end(found, &mut verification, &mut complain);
        let is_damaged =
            verification.damaged_blocks > was_clean.damaged_blocks || verification.torn_bytes > was_clean.torn_bytes;
        if repair && is_damaged {
            let path = repaired_path(found);
            let (from, to) = (found.path.display(), path.display());
            if path.exists() {
                complain(format!(
                    "{from}: {to} is there already, as an earlier repair made it; remove it for a new one"
                ));
                continue;
            }
            copy_whole_blocks(&path, found, &file)?;
            verification.repaired_files += 1;
            complain(format!(
                "{from}: its {} messages are in {to}; mv it over the damaged file, or keep both",
                found.segment.messages()
            ));
        }
    }
    // After a failed sync a block may stand in two files.
    let blocks =
        found.iter().flat_map(|found| &found.segment.blocks).map(|entry| BlockRef { segment: 0, entry: *entry });
    let distinct = in_order(blocks.collect(), Direction::Forward);
    verification.messages = distinct.iter().map(|block| u64::from(block.entry.messages)).sum();
    Ok(verification)
}

/// Decodes every block; those that cannot be are taken out of the segment.
fn verify_blocks(
    found: &mut Found,
    file: &File,
    decoder: &mut Decoder,
    verification: &mut Verification,
    complain: &mut impl FnMut(String),
) {
    let (mut bytes, mut rows) = (Vec::new(), Rows::for_decoding());
    let path = found.path.display();
    found.segment.blocks.retain(|block| {
        let decoded = read_block(file, block, &mut bytes).and_then(|()| decoder.decode(&bytes, &mut rows));
        if let Err(error) = &decoded {
            verification.damaged_blocks += 1;
            complain(format!("{path}: the block at {} is damaged: {error}", block.offset));
        }
        decoded.is_ok()
    });
}

/// The end of a file that still grows may be half a block; that of a file left behind may not.
fn verify_end(found: &Found, verification: &mut Verification, complain: &mut impl FnMut(String)) {
    let path = found.path.display();
    if found.grows() {
        return;
    }
    verification.torn_bytes += found.segment.tail_bytes;
    if found.state == FileState::Open && found.segment.tail_bytes > 0 {
        complain(format!("{path}: the last {} B are no whole block", found.segment.tail_bytes));
    }
    if found.state == FileState::Sealed && !found.segment.sealed && found.segment.tail_bytes == 0 {
        verification.damaged_blocks += 1;
        complain(format!("{path}: the index or the seek table is missing"));
    }
}

/// Begins the name of a copy: it is then no segment of the directory, and nothing in it is read twice.
const REPAIRED_PREFIX: &str = "repaired-";

fn repaired_path(found: &Found) -> PathBuf {
    let name = found.path.file_name().unwrap_or_default().to_string_lossy();
    found.path.with_file_name(format!("{REPAIRED_PREFIX}{}", name.trim_end_matches(".open")))
}

/// Writes what is whole of a segment to a new file, sealed. It has its name only once it is whole.
fn copy_whole_blocks(path: &Path, found: &Found, file: &File) -> Result<(), ReadError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let refused = |error| ReadError::Repair { path: path.into(), error };
    let written = write_copy(&partial, found, file)
        .and_then(|()| std::fs::rename(&partial, path).map_err(|error| RewriteError::Format(error.into())));
    if written.is_err() {
        // What cannot be removed either is written over by the next.
        let _ = std::fs::remove_file(&partial);
    }
    written.map_err(refused)
}

fn write_copy(path: &Path, found: &Found, file: &File) -> Result<(), RewriteError> {
    let io = |error: std::io::Error| RewriteError::Format(error.into());
    let mut rewrite = Rewrite::new(&found.segment, RewriteGoal::COPY).map_err(io)?;
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path).map_err(io)?;
    let mut block = Vec::new();
    while rewrite.next_block(file, &mut block)? {
        copy.write_all(&block).map_err(io)?;
    }
    copy.write_all(&rewrite.end().map_err(io)?).map_err(io)?;
    copy.sync_all().map_err(io)
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, messages, damaged_blocks, torn_bytes, repaired_files: _ } = self;
        let verdict = if self.is_clean() { "clean" } else { "DAMAGED" };
        write!(
            f,
            "{verdict}: {segments} segments, {messages} messages, {damaged_blocks} damaged blocks, {torn_bytes} torn bytes"
        )
    }
}
