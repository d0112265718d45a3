//! The data directories: which one a writer writes to, and which are left alone for a while because they failed.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::storage::Storage;

/// A directory that failed is tried again after this time.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The data directories of a collector.
pub struct Volumes(Box<[Volume]>);

struct Volume {
    storage: Arc<dyn Storage>,
    failed: Mutex<Failed>,
}

/// When a directory last failed, while it does.
#[derive(Clone, Copy, Debug, Default)]
struct Failed {
    /// To take what is written: over with the next write.
    write: Option<Instant>,
    /// To sync it: over with the next sync, whatever can be written.
    sync: Option<Instant>,
}

impl Failed {
    fn last(self) -> Option<Instant> {
        self.write.max(self.sync)
    }
}

impl Volumes {
    /// At least one.
    #[must_use]
    pub fn new(storages: Vec<Arc<dyn Storage>>) -> Self {
        Self(storages.into_iter().map(|storage| Volume { storage, failed: Mutex::default() }).collect())
    }

    /// Every directory.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Storage>> {
        self.0.iter().map(|volume| &volume.storage)
    }

    /// Where `writer` is to write: writers are spread over the directories that work.
    pub(crate) fn choose(&self, writer: usize, now: Instant) -> &Arc<dyn Storage> {
        let failures: Vec<_> = self.0.iter().map(|volume| volume.lock_failed().last()).collect();
        &self.0[choose(&failures, writer, now)].storage
    }

    /// Whether another directory than `storage` may be written to now.
    pub(crate) fn has_other(&self, storage: &Arc<dyn Storage>, now: Instant) -> bool {
        self.0
            .iter()
            .any(|volume| !Arc::ptr_eq(&volume.storage, storage) && is_usable(volume.lock_failed().last(), now))
    }

    /// Whether there is any that may be written to now.
    pub(crate) fn any_usable(&self, now: Instant) -> bool {
        self.0.iter().any(|volume| is_usable(volume.lock_failed().last(), now))
    }

    /// Notes that `storage` did not take what was written; said once.
    pub(crate) fn note_failure(&self, storage: &Arc<dyn Storage>, error: &io::Error, now: Instant) {
        self.change(storage, |failed| {
            if failed.write.replace(now).is_none() {
                let path = storage.path().display();
                tracing::error!("writing to {path}: {error}; it is tried again until it works");
            }
        });
    }

    /// Notes that `storage` took what was written; said once.
    pub(crate) fn note_written(&self, storage: &Arc<dyn Storage>) {
        self.change(storage, |failed| {
            if failed.write.take().is_some() {
                tracing::info!("writing to {} works again", storage.path().display());
            }
        });
    }

    /// Notes that `storage` did not sync.
    pub(crate) fn note_sync_failure(&self, storage: &Arc<dyn Storage>, now: Instant) {
        self.change(storage, |failed| failed.sync = Some(now));
    }

    /// Notes that `storage` synced; said once.
    pub(crate) fn note_synced(&self, storage: &Arc<dyn Storage>) {
        self.change(storage, |failed| {
            if failed.sync.take().is_some() {
                tracing::info!("syncing in {} works again", storage.path().display());
            }
        });
    }

    fn change(&self, storage: &Arc<dyn Storage>, change: impl Fn(&mut Failed)) {
        let volumes = self.0.iter().filter(|volume| Arc::ptr_eq(&volume.storage, storage));
        volumes.for_each(|volume| change(&mut volume.lock_failed()));
    }

    /// Directories that failed when they were last written to.
    pub fn failing(&self) -> usize {
        self.0.iter().filter(|volume| volume.lock_failed().last().is_some()).count()
    }
}

impl Volume {
    fn lock_failed(&self) -> std::sync::MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_usable(failed: Option<Instant>, now: Instant) -> bool {
    failed.is_none_or(|failed| now.saturating_duration_since(failed) >= RETRY_INTERVAL)
}

/// The first usable one from the writer's own on; with none, the one that failed longest ago.
fn choose(failures: &[Option<Instant>], writer: usize, now: Instant) -> usize {
    let from_own = || (0..failures.len()).map(|step| (writer + step) % failures.len());
    let usable = from_own().find(|at| is_usable(failures[*at], now));
    usable.or_else(|| from_own().min_by_key(|at| failures[*at])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_spread_over_what_works() {
        let now = Instant::now() + Duration::from_secs(3600);
        let ago = |secs| Some(now - Duration::from_secs(secs));
        assert_eq!([0, 1, 2, 3].map(|writer| choose(&[None, None, None], writer, now)), [0, 1, 2, 0]);
        assert_eq!([0, 1, 2, 3].map(|writer| choose(&[None, ago(1), None], writer, now)), [0, 2, 2, 0]);
        assert_eq!(choose(&[None, ago(10)], 1, now), 1, "tried again");
        assert_eq!(choose(&[ago(3), ago(5), ago(4)], 0, now), 1, "none works: the longest ago");
    }
}
