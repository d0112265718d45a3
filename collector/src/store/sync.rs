//! The sync thread: makes what was written last, on a timer and away from the writers, and completes sealed segments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::segment::SegmentHandle;
use super::storage::Storage;
use super::unsynced::{Unsynced, take_synced};
use crate::telemetry::StoreTimes;

/// What writers tell the sync thread. A few a segment and a few a sync, so the channel needs no bound.
pub(crate) enum SyncOrder {
    /// A segment was begun.
    Begun(Arc<SegmentHandle>),
    /// A segment is complete: sync it, then give it its sealed name.
    Sealed(Arc<SegmentHandle>),
    /// Nothing more will be written to a segment, but it has no end and keeps its name: sync it a last time.
    GivenUp(Arc<SegmentHandle>),
    /// Too much is not synced: do not wait for the timer.
    Now,
}

/// The sync thread, before and while it runs.
pub struct Syncer {
    orders: Receiver<SyncOrder>,
    storage: Arc<dyn Storage>,
    interval: Duration,
    /// Those that are written to, or not settled yet.
    segments: Vec<Arc<SegmentHandle>>,
    unsynced: Arc<Unsynced>,
    times: StoreTimes,
}

/// The writers' end.
#[derive(Clone)]
pub struct SyncSender(Sender<SyncOrder>);

impl SyncSender {
    pub(crate) fn send(&self, order: SyncOrder) {
        // The thread ends after the last sender is gone, never before.
        let _ = self.0.send(order);
    }
}

impl Syncer {
    /// A sync thread for segments in `storage`; it ends when every [`SyncSender`] is gone and all is synced.
    #[must_use]
    pub fn new(
        storage: Arc<dyn Storage>,
        interval: Duration,
        unsynced: Arc<Unsynced>,
        times: StoreTimes,
    ) -> (Self, SyncSender) {
        let (sender, orders) = unbounded();
        (Self { orders, storage, interval, segments: Vec::new(), unsynced, times }, SyncSender(sender))
    }

    /// Syncs until the last writer is gone.
    pub fn run(mut self) {
        let mut next = Instant::now() + self.interval;
        loop {
            match self.orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(SyncOrder::Begun(segment)) => self.begin(segment),
                Ok(SyncOrder::Sealed(segment)) => self.complete(&segment),
                Ok(SyncOrder::GivenUp(segment)) => self.end(&segment),
                Ok(SyncOrder::Now) | Err(RecvTimeoutError::Timeout) => {
                    self.sync_all();
                    next = Instant::now() + self.interval;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.sync_all();
    }

    fn begin(&mut self, segment: Arc<SegmentHandle>) {
        // Its name must last before anything in it is said to.
        if let Err(error) = self.storage.sync_names() {
            tracing::error!("syncing the directory {}: {error}", self.storage.path().display());
        }
        self.segments.push(segment);
    }

    fn sync_all(&self) {
        self.unsynced.sync_begins();
        for segment in &self.segments {
            self.sync(segment);
        }
        self.publish_age();
    }

    /// Whether all that was written before is now on disk. A file whose sync failed once is not asked again: the kernel
    /// would say yes, and mean only what it still has (fsync(2)).
    fn sync(&self, segment: &SegmentHandle) -> bool {
        // What is written from here on is for the next sync.
        let (written_bytes, oldest_unsynced_ns) = {
            let mut progress = segment.progress();
            if progress.has_failed {
                return false;
            }
            if progress.written_bytes == progress.synced_bytes {
                return true;
            }
            (progress.written_bytes, progress.oldest_unsynced_ns.take())
        };
        let begun = Instant::now();
        let synced = segment.file.sync();
        self.times.sync_seconds.record(begun.elapsed());
        let mut progress = segment.progress();
        match &synced {
            Ok(()) => {
                progress.synced_bytes = written_bytes;
                take_synced(&mut progress.kept, written_bytes).for_each(|block| self.unsynced.release(*block));
            }
            Err(error) => {
                progress.has_failed = true;
                progress.oldest_unsynced_ns = oldest_unsynced_ns.or(progress.oldest_unsynced_ns);
                tracing::error!(
                    "syncing {} in {}: {error}; it is given up, and what is not known to be on disk is written to another \
                     file",
                    segment.open_name(),
                    self.storage.path().display(),
                );
            }
        }
        synced.is_ok()
    }

    fn complete(&mut self, segment: &Arc<SegmentHandle>) {
        if self.sync(segment) {
            let renamed = self.storage.rename(&segment.open_name(), &segment.sealed_name());
            if let Err(error) = renamed.and_then(|()| self.storage.sync_names()) {
                tracing::error!("sealing {}: {error}; it stays readable under this name", segment.open_name());
            }
        }
        self.end(segment);
    }

    /// Forgets a segment, unless its writer has still to save what it holds.
    fn end(&mut self, segment: &Arc<SegmentHandle>) {
        self.sync(segment);
        self.segments.retain(|known| !Arc::ptr_eq(known, segment) || !segment.is_settled());
        self.publish_age();
    }

    fn publish_age(&self) {
        let oldest = self.segments.iter().filter_map(|segment| segment.progress().oldest_unsynced_ns).min();
        self.times.set_oldest_unsynced_ns(oldest);
    }
}
