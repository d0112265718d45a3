//! What is written and not known to be on disk. Its encoded blocks are kept in memory: what a failed sync leaves in doubt is
//! written again from here. Bounded; the buffers are used again, so that nothing is allocated block by block.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logboom_segment::{BlockEntry, Compression, Loss, Source};
use logboom_udp::clock::realtime_ns;

use super::segment::SegmentHandle;

/// A block as it was written.
#[derive(Debug)]
pub(crate) struct KeptBlock {
    pub(crate) bytes: Vec<u8>,
    pub(crate) compression: Compression,
    pub(crate) entry: BlockEntry,
    pub(crate) sources: Vec<Source>,
    pub(crate) losses: Vec<Loss>,
}

/// The bound on all kept blocks, their buffers when they are not in use, and the segments that they are in.
pub struct Unsynced {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
    sync_is_asked: AtomicBool,
    free: Mutex<Free>,
    /// Those that are written to, or not settled yet.
    segments: Mutex<Vec<Arc<SegmentHandle>>>,
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
            segments: Mutex::default(),
        }
    }

    /// Receive time of the oldest message that a file may hold and that is not known to be on disk, ns since the Unix epoch.
    ///
    /// For who has read a message in a file, and asks after that: if it was received before this time, or there is none, it is
    /// synced. A block counts before its write begins, and so does the segment that it is the first of; until a sync of that
    /// file is over that began when all of the block was written; or, where that failed, until all of it is written to
    /// another file, where it counts too by then. With `store.sync = "none"` that is when the segment is complete.
    #[must_use]
    pub fn oldest_ns(&self) -> Option<u64> {
        self.lock_segments().iter().filter_map(|segment| segment.progress().oldest_unsynced_ns()).min()
    }

    /// Age of that message, zero where there is none.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_nanos(self.oldest_ns().map_or(0, |oldest_ns| realtime_ns().saturating_sub(oldest_ns)))
    }

    /// Notes a segment, before anything is written to it.
    pub(crate) fn begin_segment(&self, segment: Arc<SegmentHandle>) {
        self.lock_segments().push(segment);
    }

    /// The segments that are written to, or not settled yet.
    pub(crate) fn segments(&self) -> Vec<Arc<SegmentHandle>> {
        self.lock_segments().clone()
    }

    /// Forgets a segment that nothing more is written to, unless its writer has still to save what it holds.
    pub(crate) fn end_segment(&self, segment: &Arc<SegmentHandle>) {
        self.lock_segments().retain(|known| !Arc::ptr_eq(known, segment) || !segment.is_settled());
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

    fn lock_free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_segments(&self) -> MutexGuard<'_, Vec<Arc<SegmentHandle>>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
