//! What the data directories take up, as of the last look. A thread of the store looks, because a directory whose disk hangs
//! holds up whoever asks, and metrics are rendered where signals are heard.

use std::sync::{Mutex, MutexGuard, PoisonError};

use logboom_segment::SegmentName;

use super::storage::Storage;
use super::volumes::Volumes;

/// What one directory takes up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryUse {
    /// Where it is.
    pub path: String,
    /// Segment files in it.
    pub segments: u64,
    /// Bytes of these.
    pub used_bytes: u64,
    /// Bytes that can still be written.
    pub free_bytes: u64,
}

/// The same of each directory.
#[derive(Debug)]
pub struct DirectoryUses(Mutex<Vec<DirectoryUse>>);

impl DirectoryUses {
    /// Every directory, not looked at yet.
    pub(crate) fn new(volumes: &Volumes) -> Self {
        let of = |storage: &dyn Storage| DirectoryUse { path: path(storage), ..DirectoryUse::default() };
        Self(Mutex::new(volumes.all().map(|storage| of(&**storage)).collect()))
    }

    /// As of the last look.
    #[must_use]
    pub fn get(&self) -> Vec<DirectoryUse> {
        self.lock().clone()
    }

    /// Looks at one directory, however long that takes.
    pub(crate) fn look(&self, storage: &dyn Storage) {
        let files = storage.list().unwrap_or_default();
        let segments = || files.iter().filter(|file| SegmentName::parse_file_name(&file.name).is_some());
        let now = DirectoryUse {
            path: path(storage),
            segments: segments().count() as u64,
            used_bytes: segments().map(|file| file.bytes).sum(),
            free_bytes: storage.free_bytes().unwrap_or_default(),
        };
        self.lock().iter_mut().filter(|known| known.path == now.path).for_each(|known| *known = now.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DirectoryUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path(storage: &dyn Storage) -> String {
    storage.path().display().to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use logboom_segment::RunId;

    use super::*;
    use crate::store::directory::DataDirectory;

    #[test]
    fn every_directory_is_told_of_from_the_start_and_as_it_was_at_the_last_look() {
        let directory = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(DataDirectory::open(directory.path(), RunId(1), 0).unwrap());
        let uses = DirectoryUses::new(&Volumes::new(vec![Arc::clone(&storage)]));
        let segment = storage.create("20261122T101500Z-w0-00000000000000ab-000001.log.zst.open").unwrap();
        segment.write_at(b"12345", 0).unwrap();
        let path = directory.path().display().to_string();
        assert_eq!(uses.get(), [DirectoryUse { path, ..DirectoryUse::default() }]);
        uses.look(&*storage);
        let now = uses.get().remove(0);
        assert_eq!((now.segments, now.used_bytes), (1, 5), "and not the lock beside it");
        assert!(now.free_bytes > 0);
    }
}
