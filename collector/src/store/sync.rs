//! The sync thread: makes what was written last, on a timer and away from the writers, and completes sealed segments.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::directory::DataDirectory;
use super::segment::SegmentHandle;
use crate::telemetry::StoreTimes;

/// What writers tell the sync thread. A few a segment, so the channel needs no bound.
pub(crate) enum SyncOrder {
    /// A segment was begun.
    Begun(Arc<SegmentHandle>),
    /// A segment is complete: sync it, then give it its sealed name.
    Sealed(Arc<SegmentHandle>),
}

/// The sync thread, before and while it runs.
pub struct Syncer {
    orders: Receiver<SyncOrder>,
    directory: Arc<DataDirectory>,
    interval: Duration,
    segments: Vec<Arc<SegmentHandle>>,
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
    /// A sync thread for segments in `directory`; it ends when every [`SyncSender`] is gone and all is synced.
    #[must_use]
    pub fn new(directory: Arc<DataDirectory>, interval: Duration, times: StoreTimes) -> (Self, SyncSender) {
        let (sender, orders) = unbounded();
        (Self { orders, directory, interval, segments: Vec::new(), times }, SyncSender(sender))
    }

    /// Syncs until the last writer is gone.
    pub fn run(mut self) {
        let mut next = Instant::now() + self.interval;
        loop {
            match self.orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(SyncOrder::Begun(segment)) => self.begin(segment),
                Ok(SyncOrder::Sealed(segment)) => self.complete(&segment),
                Err(RecvTimeoutError::Timeout) => {
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
        if let Err(error) = self.directory.sync() {
            tracing::error!("syncing the directory of {}: {error}", segment.path().display());
        }
        self.segments.push(segment);
    }

    fn sync_all(&self) {
        for segment in &self.segments {
            if let Err(error) = self.sync(segment) {
                tracing::error!(
                    "syncing {}: {error}; what it holds may not survive a power cut",
                    segment.path().display()
                );
            }
        }
        self.publish_age();
    }

    fn sync(&self, segment: &SegmentHandle) -> io::Result<()> {
        // What is written from here on is for the next sync.
        let before = {
            let mut progress = segment.progress();
            let before = *progress;
            progress.oldest_unsynced_ns = None;
            before
        };
        if before.written_bytes == before.synced_bytes {
            return Ok(());
        }
        let begun = Instant::now();
        let synced = segment.file.sync_data();
        self.times.sync_seconds.record(begun.elapsed());
        let mut progress = segment.progress();
        match &synced {
            Ok(()) => progress.synced_bytes = before.written_bytes,
            Err(_) => progress.oldest_unsynced_ns = before.oldest_unsynced_ns,
        }
        synced
    }

    fn complete(&mut self, segment: &Arc<SegmentHandle>) {
        let completed = self.sync(segment).and_then(|()| segment.rename_sealed()).and_then(|()| self.directory.sync());
        if let Err(error) = completed {
            tracing::error!("sealing {}: {error}; it stays readable under this name", segment.path().display());
        }
        self.segments.retain(|known| !Arc::ptr_eq(known, segment));
        self.publish_age();
    }

    fn publish_age(&self) {
        let oldest = self.segments.iter().filter_map(|segment| segment.progress().oldest_unsynced_ns).min();
        self.times.set_oldest_unsynced_ns(oldest);
    }
}
