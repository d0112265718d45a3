//! The sync thread: makes what was written last, on a timer and away from the writers, and completes sealed segments.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::rewrite::{Candidate, SealedSender};
use super::segment::SegmentHandle;
use super::unsynced::Unsynced;
use super::volumes::Volumes;
use crate::config::Sync;
use crate::telemetry::StoreTimes;

/// Segments that wait for their sealed name, at most: each is an open file.
const UNNAMED_MAX: usize = 16;

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
    policy: Sync,
    volumes: Arc<Volumes>,
    unsynced: Arc<Unsynced>,
    times: StoreTimes,
    sealed: SealedSender,
    /// Complete and on disk, but not for good under their sealed names: tried again with each sync.
    unnamed: Vec<Arc<SegmentHandle>>,
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
    /// A sync thread that tells `sealed` of complete segments; it ends when every [`SyncSender`] is gone and all is synced.
    #[must_use]
    pub fn new(
        policy: Sync,
        volumes: Arc<Volumes>,
        unsynced: Arc<Unsynced>,
        times: StoreTimes,
        sealed: SealedSender,
    ) -> (Self, SyncSender) {
        let (sender, orders) = unbounded();
        (Self { orders, policy, volumes, unsynced, times, sealed, unnamed: Vec::new() }, SyncSender(sender))
    }

    /// Syncs until the last writer is gone.
    pub fn run(mut self) {
        let interval = self.policy.interval();
        let mut next = Instant::now() + interval;
        loop {
            match self.orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
                // Without syncs its name is made last when it is sealed.
                Ok(SyncOrder::Begun(_)) if self.policy == Sync::None => {}
                Ok(SyncOrder::Begun(segment)) => _ = self.make_name_last(&segment),
                Ok(SyncOrder::Sealed(segment)) => self.complete(&segment),
                Ok(SyncOrder::GivenUp(segment)) => self.end(&segment),
                Ok(SyncOrder::Now) | Err(RecvTimeoutError::Timeout) => {
                    self.sync_all();
                    next = Instant::now() + interval;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.sync_all();
    }

    fn sync_all(&mut self) {
        self.unsynced.sync_begins();
        for segment in self.unsynced.segments() {
            match self.policy {
                Sync::None => self.let_go(&segment),
                Sync::Block | Sync::Every(_) => _ = self.sync(&segment),
            }
        }
        let unnamed = std::mem::take(&mut self.unnamed);
        self.unnamed = unnamed.into_iter().filter(|segment| self.name_sealed(segment).is_err()).collect();
    }

    /// Nothing is synced before the segment is sealed: there is no knowing what would have to be written again.
    fn let_go(&self, segment: &SegmentHandle) {
        let kept = std::mem::take(&mut segment.progress().kept);
        kept.into_iter().for_each(|block| self.unsynced.release(*block));
    }

    /// Whether all that was written before is now on disk. A file whose sync failed once is not asked again: the kernel
    /// would say yes, and mean only what it still has (fsync(2)).
    fn sync(&self, segment: &SegmentHandle) -> bool {
        if segment.progress().has_failed || !self.make_name_last(segment) {
            return false;
        }
        // What is written from here on is for the next sync.
        let written_bytes = {
            let progress = segment.progress();
            if progress.written_bytes == progress.synced_bytes {
                return true;
            }
            progress.written_bytes
        };
        let begun = Instant::now();
        let synced = segment.file.sync();
        self.times.sync_seconds.record(begun.elapsed());
        match &synced {
            Ok(()) => {
                self.volumes.note_synced(&segment.storage);
                let synced = segment.progress().note_synced(written_bytes);
                synced.into_iter().for_each(|block| self.unsynced.release(*block));
            }
            Err(error) => self.give_up(segment, &segment.open_path(), error),
        }
        synced.is_ok()
    }

    /// Whether a segment's name lasts: before that, nothing in it is said to. A directory that does not sync is, for the
    /// segment, as bad as the file.
    fn make_name_last(&self, segment: &SegmentHandle) -> bool {
        if segment.has_lasting_name.load(Ordering::Acquire) {
            return true;
        }
        let synced = segment.storage.sync_names();
        match &synced {
            Ok(()) => segment.has_lasting_name.store(true, Ordering::Release),
            Err(error) => self.give_up(segment, segment.storage.path(), error),
        }
        synced.is_ok()
    }

    /// Leaves a segment to its writer, which writes what is in doubt to another, where `path` could not be synced.
    fn give_up(&self, segment: &SegmentHandle, path: &Path, error: &io::Error) {
        self.volumes.note_sync_failure(&segment.storage, Instant::now());
        segment.progress().has_failed = true;
        tracing::error!(
            "syncing {}: {error}; {} is given up, and what is not known to be on disk is written to another file",
            path.display(),
            segment.open_name(),
        );
    }

    fn complete(&mut self, segment: &Arc<SegmentHandle>) {
        if self.sync(segment)
            && let Err(error) = self.name_sealed(segment)
        {
            let path = segment.open_path();
            tracing::error!("sealing {}: {error}; it stays readable, and is tried again", path.display());
            // Of a directory that refuses for long the next start seals the rest.
            if self.unnamed.len() < UNNAMED_MAX {
                self.unnamed.push(Arc::clone(segment));
            }
        }
        self.end(segment);
    }

    /// Gives a complete segment its sealed name, and makes that last.
    fn name_sealed(&self, segment: &SegmentHandle) -> io::Result<()> {
        let storage = &segment.storage;
        match storage.rename(&segment.open_name(), &segment.sealed_name()) {
            // It has the name since the last try, which could not make it last.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        storage.sync_names()?;
        self.sealed.send(Candidate { storage: Arc::clone(storage), name: segment.sealed_name() });
        Ok(())
    }

    fn end(&self, segment: &Arc<SegmentHandle>) {
        self.sync(segment);
        self.unsynced.end_segment(segment);
    }
}
