//! Encoded blocks, kept in memory until they are known to be on disk: what a failed sync leaves in doubt is written again
//! from here. Bounded; the buffers are used again, so that nothing is allocated block by block.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use logboom_segment::{BlockEntry, Loss, Source};

/// A block as it was written.
#[derive(Debug)]
pub(crate) struct KeptBlock {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entry: BlockEntry,
    pub(crate) sources: Vec<Source>,
    pub(crate) losses: Vec<Loss>,
}

/// The bound on all kept blocks, and their buffers when they are not in use.
#[derive(Debug)]
pub struct Unsynced {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Unsynced {
    /// At most `limit_bytes`, and one block more for each writer.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, held_bytes: AtomicUsize::new(0), free: Mutex::default() }
    }

    /// Bytes kept now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Acquire)
    }

    /// Whether no more may be written before a sync.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.limit_bytes
    }

    /// A buffer to encode into.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.lock_free().pop().unwrap_or_default()
    }

    /// Notes a block that is now kept.
    pub(crate) fn hold(&self, bytes: usize) {
        self.held_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Takes back the bytes of a kept block.
    pub(crate) fn release(&self, bytes: Vec<u8>) {
        self.held_bytes.fetch_sub(bytes.len(), Ordering::AcqRel);
        self.give_back(bytes);
    }

    /// Takes back a buffer that was not kept.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.lock_free();
        // Buffers are at most as many as were ever kept at once; of memory that lies idle, no more than the bound.
        let idle: usize = free.iter().map(Vec::capacity).sum();
        if idle + buffer.capacity() + self.bytes() <= self.limit_bytes {
            free.push(buffer);
        }
    }

    fn lock_free(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
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
