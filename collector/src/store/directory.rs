//! The data directory: made, proven writable, and locked against a second collector.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use logboom_segment::RunId;
use rustix::io::Errno;

use super::storage::{DiskFile, SegmentFile, Storage, StoredFile};

const LOCK_NAME: &str = "logboom.lock";
/// A run id in hex.
const RUN_ID_CHARS: u64 = 16;

const PROBE_NAME: &str = "logboom.probe";

/// Tries for the lock go on so long: a reader that looks whether a collector is alive holds it for a moment.
const LOCK_TRIES: Duration = Duration::from_millis(250);

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It does not exist and cannot be made.
    #[error("cannot make the data directory {path} (data_dir): {error}")]
    Make {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another collector has it.
    #[error("the data directory {path} (data_dir) is in use by another collector; give each its own")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing can be written to it.
    #[error("cannot write to the data directory {path} (data_dir): {error}")]
    Write {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The data directory of a running collector; unlocked when dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// Open for syncing: what is created or renamed in it lasts only then. `None` where its file system has no such thing.
    handle: Option<File>,
    /// Says in hex which run writes to the directory, while it is locked.
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory if need be (mode 0750), locks it for `run_id`, and writes `probe_bytes` to prove that it takes
    /// them.
    ///
    /// # Errors
    /// [`DirectoryError`], which names the directory and the setting.
    pub fn open(path: &Path, run_id: RunId, probe_bytes: usize) -> Result<Self, DirectoryError> {
        let made = DirBuilder::new().recursive(true).mode(0o750).create(path);
        made.map_err(|error| DirectoryError::Make { path: path.into(), error })?;
        let refused = |error| DirectoryError::Write { path: path.into(), error };
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(path.join(LOCK_NAME));
        let lock = lock.map_err(refused)?;
        take_lock(&lock, path)?;
        probe(&path.join(PROBE_NAME), probe_bytes).map_err(refused)?;
        lock.write_all_at(run_id.to_string().as_bytes(), 0).map_err(refused)?;
        let handle = File::open(path).map_err(refused)?;
        let syncs = syncs_names(&handle).map_err(refused)?;
        if !syncs {
            tracing::warn!(
                "the file system of {} cannot sync a directory: after a power cut, files that were new or renamed may be gone",
                path.display()
            );
        }
        Ok(Self { path: path.into(), handle: syncs.then_some(handle), _lock: lock })
    }
}

impl Storage for DataDirectory {
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(DiskFile::create(&self.path.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(DiskFile::open(&self.path.join(name))?))
    }

    fn list(&self) -> io::Result<Vec<StoredFile>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // Not `Path::metadata`, which follows links; what vanishes meanwhile is not there.
            let Ok(metadata) = entry.metadata() else { continue };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push(StoredFile { name, bytes: metadata.len(), modified: metadata.modified()? });
            }
        }
        Ok(files)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.handle.as_ref().map_or(Ok(()), File::sync_all)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let file_system = rustix::fs::statvfs(&self.path)?;
        Ok(file_system.f_bavail * file_system.f_frsize)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The run that writes to this directory now, if one does: its open segments grow, those of any other were left behind.
#[must_use]
pub fn writing_run(path: &Path) -> Option<RunId> {
    let lock = File::open(path.join(LOCK_NAME)).ok()?;
    if !matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let run_id = io::read_to_string(lock.take(RUN_ID_CHARS)).ok()?;
    u64::from_str_radix(&run_id, 16).ok().map(RunId)
}

/// Whether a file system can sync a directory; EINVAL says that it has no such operation (fsync(2)), as vboxsf and some of FUSE.
fn syncs_names(directory: &File) -> io::Result<bool> {
    match directory.sync_all() {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::OPNOTSUPP)) => Ok(false),
        synced => synced.map(|()| true),
    }
}

fn take_lock(lock: &File, path: &Path) -> Result<(), DirectoryError> {
    let since = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(DirectoryError::Write { path: path.into(), error }),
            Err(TryLockError::WouldBlock) if since.elapsed() > LOCK_TRIES => {
                return Err(DirectoryError::InUse { path: path.into() });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn probe(path: &Path, bytes: usize) -> io::Result<()> {
    let written =
        File::create(path).and_then(|mut file| file.write_all(&vec![0; bytes]).and_then(|()| file.sync_data()));
    let removed = match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_cannot_sync_a_directory_is_known_by_its_answer() {
        let directory = tempfile::tempdir().unwrap();
        assert!(syncs_names(&File::open(directory.path()).unwrap()).unwrap());
        // It has no files of its own to sync.
        assert!(!syncs_names(&File::open("/proc").unwrap()).unwrap());
    }

    #[test]
    fn a_second_collector_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new").join("data");
        let first = DataDirectory::open(&path, RunId(0xAB), 10).unwrap();
        let refused = DataDirectory::open(&path, RunId(0xCD), 10).unwrap_err();
        assert!(matches!(refused, DirectoryError::InUse { .. }), "{refused}");
        assert!(refused.to_string().contains("data_dir"));
        assert_eq!(writing_run(&path), Some(RunId(0xAB)));
        drop(first);
        assert_eq!(writing_run(&path), None);
        DataDirectory::open(&path, RunId(0xCD), 10).unwrap();
        assert!(!path.join(PROBE_NAME).exists());
    }

    #[test]
    fn a_file_in_its_place_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = DataDirectory::open(file.path(), RunId(0), 10).unwrap_err();
        assert!(matches!(refused, DirectoryError::Make { .. }), "{refused}");
    }
}
