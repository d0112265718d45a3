//! Segments that a dead collector left open, made whole: cut behind the last whole block, ended with an index, and sealed.
//!
//! Each step may be the last one before a power cut; then the next start does the rest. Nothing is deleted but empty files
//! and the pieces of an index: a torn block is copied beside its segment first.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use logboom_segment::{Decoder, FileState, FormatError, ReadAt, RunId, SegmentName, Unsealed};

use super::segment::set_time_of_latest;
use super::storage::{SegmentFile, Storage};

/// Ends the name of the file that keeps a segment's torn tail.
pub(crate) const TORN_SUFFIX: &str = ".torn";

/// Ends the name of a segment that is being written anew; left behind, it is of no use.
pub(crate) const REWRITE_SUFFIX: &str = ".rewrite";

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments that were sealed.
    pub segments: u64,
    /// Messages in these.
    pub messages: u64,
    /// Bytes of torn tails.
    pub torn_bytes: u64,
    /// Damaged ranges in the middle of files.
    pub damaged: u64,
}

impl std::ops::AddAssign for Recovered {
    fn add_assign(&mut self, other: Self) {
        self.segments += other.segments;
        self.messages += other.messages;
        self.torn_bytes += other.torn_bytes;
        self.damaged += other.damaged;
    }
}

/// Makes every open segment in `storage` whole that was not begun by `own_run`. Takes a pass over these files, and none over
/// any other. What cannot be made whole is told and left as it is, and so is what is left when it is to `stop`.
///
/// # Errors
/// When the directory cannot be read, or zstd has no memory.
pub fn recover(storage: &dyn Storage, own_run: RunId, stop: &AtomicBool) -> io::Result<Recovered> {
    let mut decoder = Decoder::new()?;
    let mut recovered = Recovered::default();
    for file in storage.list()? {
        if stop.load(Ordering::Acquire) {
            break;
        }
        if is_stale_rewrite(&file.name) {
            storage.remove(&file.name)?;
            continue;
        }
        let Some((name, FileState::Open)) = SegmentName::parse_file_name(&file.name) else { continue };
        if name.run_id == own_run {
            continue;
        }
        match recover_segment(storage, &name, &mut decoder) {
            Ok(segment) => recovered += segment,
            Err(error) => {
                let path = storage.path().join(&file.name);
                tracing::error!("recovering {}: {error}; it stays as it is", path.display());
            }
        }
    }
    Ok(recovered)
}

fn is_stale_rewrite(name: &str) -> bool {
    name.strip_suffix(REWRITE_SUFFIX).and_then(SegmentName::parse_file_name).is_some()
}

fn recover_segment(storage: &dyn Storage, name: &SegmentName, decoder: &mut Decoder) -> Result<Recovered, FormatError> {
    let (open_name, sealed_name) = (name.file_name(FileState::Open), name.file_name(FileState::Sealed));
    let path = storage.path().join(&open_name);
    let file = storage.open(&open_name)?;
    let Unsealed { segment, blocks_end, tail_is_block, end } = Unsealed::walk(&*file, name.run_id, decoder)?;
    let torn_bytes = if tail_is_block { segment.tail_bytes } else { 0 };
    for damage in &segment.damage {
        let (bytes, offset) = (damage.bytes, damage.offset);
        tracing::error!("{}: {bytes} B at {offset} are damaged and stay as they are: {}", path.display(), damage.error);
    }
    if torn_bytes > 0 {
        let torn_name = format!("{sealed_name}{TORN_SUFFIX}");
        keep_tail(storage, &*file, blocks_end, torn_bytes, &torn_name)?;
        tracing::warn!("{}: the last {torn_bytes} B are no whole block; kept in {torn_name}", path.display());
    }
    if segment.blocks.is_empty() && segment.damage.is_empty() {
        storage.remove(&open_name)?;
        return Ok(Recovered { torn_bytes, ..Recovered::default() });
    }
    // Also where it has an index already, which does not say that its blocks may stand in another file as well.
    file.cut(blocks_end)?;
    file.write_at(&end, blocks_end)?;
    set_time_of_latest(&*file, &segment.blocks, SystemTime::now())?;
    file.sync()?;
    storage.rename(&open_name, &sealed_name)?;
    storage.sync_names()?;
    Ok(Recovered { segments: 1, messages: segment.messages(), torn_bytes, damaged: segment.damage.len() as u64 })
}

/// Copies the end of a file to another, and makes that last.
fn keep_tail(storage: &dyn Storage, file: &dyn SegmentFile, from: u64, bytes: u64, name: &str) -> io::Result<()> {
    const PIECE_BYTES: usize = 1 << 20;
    match storage.remove(name) {
        // A recovery that did not get further left it behind.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let torn = storage.create(name)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut copied = 0;
    while copied < bytes {
        let count = ReadAt::read_at(file, &mut piece, from + copied)?;
        if count == 0 {
            break;
        }
        torn.write_at(&piece[..count], copied)?;
        copied += count as u64;
    }
    torn.sync()?;
    storage.sync_names()
}
