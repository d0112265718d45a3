//! A segment file that grows.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use logboom_segment::{FileState, SegmentBuilder, SegmentName};

use super::storage::{SegmentFile, Storage};
use super::unsynced::KeptBlock;

/// The file: written by its writer, synced and renamed by the sync thread.
pub(crate) struct SegmentHandle {
    /// Whether its name is known to last; before, nothing in it is.
    pub(crate) has_lasting_name: AtomicBool,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) file: Box<dyn SegmentFile>,
    name: SegmentName,
    progress: Mutex<Progress>,
}

/// How far a segment is written and synced; changed once a block and once a sync.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes written.
    pub(crate) written_bytes: u64,
    /// Bytes that are known to be on disk.
    pub(crate) synced_bytes: u64,
    /// Receive time of the oldest message that is not, ns since the Unix epoch.
    pub(crate) oldest_unsynced_ns: Option<u64>,
    /// The blocks that are not.
    pub(crate) kept: VecDeque<Box<KeptBlock>>,
    /// A sync has failed: the file is abandoned, and its writer writes the kept blocks to another.
    pub(crate) has_failed: bool,
}

impl SegmentHandle {
    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is, while it grows.
    pub(crate) fn open_path(&self) -> PathBuf {
        self.storage.path().join(self.open_name())
    }

    /// Its name while it grows.
    pub(crate) fn open_name(&self) -> String {
        self.name.file_name(FileState::Open)
    }

    /// Its name when it is complete.
    pub(crate) fn sealed_name(&self) -> String {
        self.name.file_name(FileState::Sealed)
    }

    /// Whether all of it is on disk, or it is given up and nothing of it is kept any more.
    pub(crate) fn is_settled(&self) -> bool {
        let progress = self.progress();
        progress.kept.is_empty() && (progress.has_failed || progress.synced_bytes == progress.written_bytes)
    }
}

/// A segment as its writer sees it: the file and the index to come.
pub(crate) struct OpenSegment {
    pub(crate) handle: Arc<SegmentHandle>,
    pub(crate) begun: Instant,
    builder: SegmentBuilder,
    is_sealed: bool,
}

impl OpenSegment {
    pub(crate) fn create(storage: &Arc<dyn Storage>, name: SegmentName) -> io::Result<Self> {
        let file = storage.create(&name.file_name(FileState::Open))?;
        let handle = Arc::new(SegmentHandle {
            has_lasting_name: AtomicBool::new(false),
            storage: Arc::clone(storage),
            file,
            name,
            progress: Mutex::default(),
        });
        Ok(Self { handle, begun: Instant::now(), builder: SegmentBuilder::new(), is_sealed: false })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.builder.bytes()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    /// Writes an encoded block behind the others and keeps it. On failure the file is cut back to the blocks before it,
    /// and the block is given back.
    pub(crate) fn write(
        &mut self,
        mut block: Box<KeptBlock>,
        listeners: &[String],
    ) -> Result<(), (io::Error, Box<KeptBlock>)> {
        let offset = self.builder.bytes();
        if let Err(error) = self.write_or_cut(&block.bytes, offset) {
            return Err((error, block));
        }
        block.entry.offset = offset;
        self.builder.add(block.entry, &block.sources, listeners, &block.losses);
        let mut progress = self.handle.progress();
        progress.written_bytes = self.builder.bytes();
        let oldest_ns = progress.oldest_unsynced_ns.get_or_insert(block.entry.received_min_ns);
        *oldest_ns = block.entry.received_min_ns.min(*oldest_ns);
        progress.kept.push_back(block);
        Ok(())
    }

    /// Writes index and seek table; the file is then complete but for its name. It can be tried again.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        let offset = self.builder.bytes();
        let end = self.builder.clone().seal()?;
        self.write_or_cut(&end, offset)?;
        self.handle.progress().written_bytes = offset + end.len() as u64;
        self.is_sealed = true;
        Ok(())
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    fn write_or_cut(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = self.handle.file.write_at(bytes, offset);
        if written.is_err() {
            // Half a block at the end would be a torn tail; cutting needs no space.
            let _ = self.handle.file.cut(offset);
        }
        written
    }
}
