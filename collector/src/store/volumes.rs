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
    /// When it last failed, while it does.
    failed: Mutex<Option<Instant>>,
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
        let failures: Vec<_> = self.0.iter().map(|volume| *volume.lock_failed()).collect();
        &self.0[choose(&failures, writer, now)].storage
    }

    /// Whether another directory than `storage` may be written to now.
    pub(crate) fn has_other(&self, storage: &Arc<dyn Storage>, now: Instant) -> bool {
        self.0.iter().any(|volume| !Arc::ptr_eq(&volume.storage, storage) && is_usable(*volume.lock_failed(), now))
    }

    /// Notes that `storage` failed; said once.
    pub(crate) fn note_failure(&self, storage: &Arc<dyn Storage>, error: &io::Error, now: Instant) {
        for volume in self.0.iter().filter(|volume| Arc::ptr_eq(&volume.storage, storage)) {
            if volume.lock_failed().replace(now).is_none() {
                let path = storage.path().display();
                tracing::error!("writing to {path}: {error}; it is tried again until it works");
            }
        }
    }

    /// Notes that `storage` works; said once.
    pub(crate) fn note_success(&self, storage: &Arc<dyn Storage>) {
        for volume in self.0.iter().filter(|volume| Arc::ptr_eq(&volume.storage, storage)) {
            if volume.lock_failed().take().is_some() {
                tracing::info!("writing to {} works again", storage.path().display());
            }
        }
    }

    /// Directories that failed when they were last written to.
    pub fn failing(&self) -> usize {
        self.0.iter().filter(|volume| volume.lock_failed().is_some()).count()
    }
}

impl Volume {
    fn lock_failed(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
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
