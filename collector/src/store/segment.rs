//! A segment file that grows.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use logboom_segment::{BlockEntry, FileState, Loss, SegmentBuilder, SegmentName, Source};

/// The file: written by its writer, synced and renamed by the sync thread.
#[derive(Debug)]
pub(crate) struct SegmentHandle {
    pub(crate) file: File,
    path: PathBuf,
    sealed_path: PathBuf,
    progress: Mutex<Progress>,
}

/// How far a segment is written and synced; changed once a block and once a sync.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Bytes of whole blocks.
    pub(crate) written_bytes: u64,
    /// Bytes that are known to be on disk.
    pub(crate) synced_bytes: u64,
    /// Receive time of the oldest message that is not, ns since the Unix epoch.
    pub(crate) oldest_unsynced_ns: Option<u64>,
}

impl SegmentHandle {
    fn create(directory: &Path, name: &SegmentName) -> io::Result<Self> {
        let path = directory.join(name.file_name(FileState::Open));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&path)?;
        Ok(Self {
            file,
            path,
            sealed_path: directory.join(name.file_name(FileState::Sealed)),
            progress: Mutex::new(Progress::default()),
        })
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is while it grows.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its sealed name.
    pub(crate) fn rename_sealed(&self) -> io::Result<()> {
        std::fs::rename(&self.path, &self.sealed_path)
    }
}

/// A segment as its writer sees it: the file and the index to come.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) handle: Arc<SegmentHandle>,
    pub(crate) begun: Instant,
    builder: SegmentBuilder,
}

impl OpenSegment {
    pub(crate) fn create(directory: &Path, name: &SegmentName) -> io::Result<Self> {
        let handle = Arc::new(SegmentHandle::create(directory, name)?);
        Ok(Self { handle, begun: Instant::now(), builder: SegmentBuilder::new() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.builder.bytes()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    /// Writes an encoded block behind the others. On failure the file is cut back to the blocks before it.
    pub(crate) fn write(
        &mut self,
        bytes: &[u8],
        entry: BlockEntry,
        sources: &[Source],
        listeners: &[String],
        losses: &[Loss],
    ) -> io::Result<()> {
        write_or_cut(&self.handle.file, bytes, self.builder.bytes())?;
        self.builder.add(entry, sources, listeners, losses);
        let mut progress = self.handle.progress();
        progress.written_bytes = self.builder.bytes();
        progress.oldest_unsynced_ns.get_or_insert(entry.received_min_ns);
        Ok(())
    }

    /// Writes index and seek table; the file is then complete but for its name.
    pub(crate) fn seal(self) -> io::Result<Arc<SegmentHandle>> {
        let Self { handle, builder, .. } = self;
        let offset = builder.bytes();
        let end = builder.seal()?;
        write_or_cut(&handle.file, &end, offset)?;
        handle.progress().written_bytes = offset + end.len() as u64;
        Ok(handle)
    }
}

fn write_or_cut(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let written = file.write_all_at(bytes, offset);
    if written.is_err() {
        // Half a block at the end would be a torn tail; cutting needs no space.
        let _ = file.set_len(offset);
    }
    written
}
