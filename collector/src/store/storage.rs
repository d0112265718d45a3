//! What the store asks of a disk, as traits, so that tests can have one that fails.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use logboom_segment::ReadAt;
use rustix::io::{Errno, ReadWriteFlags, pwritev2};

/// A place for segments.
pub trait Storage: Send + Sync {
    /// Makes a file that must not exist yet.
    ///
    /// # Errors
    /// What open(2) says.
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>>;

    /// Opens a file that exists, to read and to complete.
    ///
    /// # Errors
    /// What open(2) says.
    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>>;

    /// The regular files that are there.
    ///
    /// # Errors
    /// What readdir(3) says.
    fn list(&self) -> io::Result<Vec<StoredFile>>;

    /// Gives a file another name, in place of the file that has it.
    ///
    /// # Errors
    /// What rename(2) says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file away.
    ///
    /// # Errors
    /// What unlink(2) says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names last.
    ///
    /// # Errors
    /// What fsync(2) says.
    fn sync_names(&self) -> io::Result<()>;

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// What statvfs(3) says.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Where it is, for messages.
    fn path(&self) -> &Path;
}

/// A file of a [`Storage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last written to.
    pub modified: SystemTime,
}

/// A segment file that is written.
pub trait SegmentFile: ReadAt + Send + Sync {
    /// Writes all of `bytes` at `offset`; after a failure some may be there.
    ///
    /// # Errors
    /// What write(2) says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file.
    ///
    /// # Errors
    /// What ftruncate(2) says.
    fn cut(&self, bytes: u64) -> io::Result<()>;

    /// Makes what was written last. After a failure nothing can be said of it, whatever a later call returns: the kernel
    /// tells of each failed page once, and drops it (fsync(2)).
    ///
    /// # Errors
    /// What fdatasync(2) says.
    fn sync(&self) -> io::Result<()>;

    /// When it was last written to.
    ///
    /// # Errors
    /// What fstat(2) says.
    fn modified(&self) -> io::Result<SystemTime>;

    /// Makes it look as if it was last written to then.
    ///
    /// # Errors
    /// What utimensat(2) says.
    fn set_modified(&self, modified: SystemTime) -> io::Result<()>;
}

/// Written pages go to disk at once and then leave the cache, where the kernel knows how (RWF_DONTCACHE, since 6.14;
/// include/uapi/linux/fs.h). Else they pile up until the sync, which then takes long, and holds up writers.
const UNCACHED: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// Without [`UNCACHED`], going to disk is begun each time so much was written.
const WRITEBACK_BYTES: u64 = 8 << 20;

/// A file of the operating system.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    is_uncached: AtomicBool,
    /// Up to here going to disk was begun.
    writeback_from: AtomicU64,
}

impl DiskFile {
    /// Makes a file (mode 0640) that must not exist yet.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(path)?;
        Ok(Self::from(file))
    }

    /// Opens a file that exists.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::from(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn write_uncached(&self, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        let mut written = 0;
        while written < bytes.len() {
            let rest = [IoSlice::new(&bytes[written..])];
            match pwritev2(&self.file, &rest, offset + written as u64, UNCACHED) {
                Ok(0) => return Err(Errno::IO),
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_cached(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        let end = offset + bytes.len() as u64;
        let begun = self.writeback_from.load(Ordering::Relaxed);
        if end >= begun + WRITEBACK_BYTES {
            self.writeback_from.store(end, Ordering::Relaxed);
            // It only spreads the work of the sync: what goes wrong, the sync tells.
            let _ = logboom_udp::file::begin_writeback(self.file.as_fd(), begun, end - begun);
        }
        Ok(())
    }
}

impl From<File> for DiskFile {
    fn from(file: File) -> Self {
        Self { file, is_uncached: AtomicBool::new(true), writeback_from: AtomicU64::new(0) }
    }
}

impl ReadAt for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.file, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl SegmentFile for DiskFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.is_uncached.load(Ordering::Relaxed) {
            match self.write_uncached(bytes, offset) {
                // This kernel or file system has it not.
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => self.is_uncached.store(false, Ordering::Relaxed),
                written => return written.map_err(io::Error::from),
            }
        }
        self.write_cached(bytes, offset)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    fn set_modified(&self, modified: SystemTime) -> io::Result<()> {
        self.file.set_modified(modified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than one round of writeback.
    fn pattern() -> Vec<u8> {
        (0..(WRITEBACK_BYTES as usize * 2 + 77)).map(|at| (at / 1000) as u8).collect()
    }

    #[test]
    fn both_ways_of_writing_leave_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        for is_uncached in [true, false] {
            let path = directory.path().join(format!("{is_uncached}"));
            let file = DiskFile::create(&path).unwrap();
            file.is_uncached.store(is_uncached, Ordering::Relaxed);
            let bytes = pattern();
            for (number, part) in bytes.chunks(1 << 20).enumerate() {
                file.write_at(part, (number as u64) << 20).unwrap();
            }
            file.sync().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            file.cut(10).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes[..10]);
        }
    }

    #[test]
    fn a_file_system_without_uncached_writing_is_written_the_other_way() {
        let Ok(directory) = tempfile::tempdir_in("/dev/shm") else {
            eprintln!("skipped: there is no tmpfs at /dev/shm");
            return;
        };
        let path = directory.path().join("file");
        let file = DiskFile::create(&path).unwrap();
        file.write_at(b"first", 0).unwrap();
        assert!(!file.is_uncached.load(Ordering::Relaxed), "tmpfs has learnt it: this test needs another file system");
        file.write_at(b"second", 5).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"firstsecond");
    }

    #[test]
    fn an_existing_file_is_not_written_to() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(DiskFile::create(file.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
