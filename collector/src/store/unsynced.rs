//! Encoded blocks, kept in memory until they are known to be on disk: what a failed sync leaves in doubt is written again
//! from here. Bounded; the buffers are used again, so that nothing is allocated block by block.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use logboom_segment::{BlockEntry, Compression, Loss, Source};

/// A block as it was written.
#[derive(Debug)]
pub(crate) struct KeptBlock {
    pub(crate) bytes: Vec<u8>,
    pub(crate) compression: Compression,
    pub(crate) entry: BlockEntry,
    pub(crate) sources: Vec<Source>,
    pub(crate) losses: Vec<Loss>,
}

/// The bound on all kept blocks, and their buffers when they are not in use.
#[derive(Debug)]
pub struct Unsynced {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
    sync_is_asked: AtomicBool,
    free: Mutex<Free>,
}

/// Apart, because a buffer that once held a plain block takes its memory for good: with a compressed one in it, it would
/// count for a fraction of that.
#[derive(Debug, Default)]
struct Free {
    compressed: Vec<Vec<u8>>,
    plain: Vec<Vec<u8>>,
}

impl Free {
    fn of(&mut self, compression: Compression) -> &mut Vec<Vec<u8>> {
        match compression {
            Compression::Level => &mut self.compressed,
            Compression::None => &mut self.plain,
        }
    }

    fn bytes(&self) -> usize {
        self.compressed.iter().chain(&self.plain).map(Vec::capacity).sum()
    }
}

impl Unsynced {
    /// At most `limit_bytes`, and one block more for each writer.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            held_bytes: AtomicUsize::new(0),
            sync_is_asked: AtomicBool::new(false),
            free: Mutex::default(),
        }
    }

    /// Bytes kept now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Acquire)
    }

    /// Bytes that may be kept.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.limit_bytes
    }

    /// Whether no more may be written before a sync.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.limit_bytes
    }

    /// Whether it is time to ask for a sync, said once until [`Unsynced::sync_begins`]: at half of the bound, so that the
    /// disk works while the other half fills.
    pub(crate) fn asks_for_sync(&self) -> bool {
        self.bytes() >= self.limit_bytes / 2 && !self.sync_is_asked.swap(true, Ordering::AcqRel)
    }

    /// Notes that all that is written so far is being synced.
    pub(crate) fn sync_begins(&self) {
        self.sync_is_asked.store(false, Ordering::Release);
    }

    /// A buffer to encode into.
    pub(crate) fn buffer(&self, compression: Compression) -> Vec<u8> {
        self.lock_free().of(compression).pop().unwrap_or_default()
    }

    /// Notes a block that is now kept.
    pub(crate) fn hold(&self, bytes: usize) {
        self.held_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Takes back the bytes of a kept block.
    pub(crate) fn release(&self, block: KeptBlock) {
        self.held_bytes.fetch_sub(block.bytes.len(), Ordering::AcqRel);
        self.give_back(block.bytes, block.compression);
    }

    /// Takes back a buffer that was not kept.
    pub(crate) fn give_back(&self, buffer: Vec<u8>, compression: Compression) {
        let mut free = self.lock_free();
        // Buffers are at most as many as were ever kept at once; of memory that lies idle, no more than the bound.
        if free.bytes() + buffer.capacity() + self.bytes() <= self.limit_bytes {
            free.of(compression).push(buffer);
        }
    }

    fn lock_free(&self) -> std::sync::MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the blocks from the front of `kept` that end at or before `synced_bytes` of their file.
pub(crate) fn take_synced(
    kept: &mut VecDeque<Box<KeptBlock>>,
    synced_bytes: u64,
) -> impl Iterator<Item = Box<KeptBlock>> {
    std::iter::from_fn(move || {
        let first = kept.front()?;
        let is_synced = first.entry.offset + first.bytes.len() as u64 <= synced_bytes;
        if is_synced { kept.pop_front() } else { None }
    })
}
