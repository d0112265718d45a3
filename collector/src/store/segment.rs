//! A segment file that grows.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use logboom_segment::{BlockEntry, FileState, SegmentBuilder, SegmentName};

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
    /// Receive time of the oldest message among those that are not, ns since the Unix epoch.
    oldest_written_ns: Option<u64>,
    /// The same of the block that is being written: who reads the file may find it before it counts as written.
    writing_ns: Option<u64>,
    /// The blocks that are not.
    pub(crate) kept: VecDeque<Box<KeptBlock>>,
    /// A sync has failed: the file is abandoned, and its writer writes the kept blocks to another.
    pub(crate) has_failed: bool,
    /// It is doing that: the kept blocks are in its hands.
    pub(crate) is_being_saved: bool,
}

impl Progress {
    /// Receive time of the oldest message that the file may hold and that is not known to be on disk.
    pub(crate) fn oldest_unsynced_ns(&self) -> Option<u64> {
        self.oldest_written_ns.into_iter().chain(self.writing_ns).min()
    }

    /// Whether all of it is on disk, or it is given up and nothing of it is kept any more.
    fn is_settled(&self) -> bool {
        let is_kept = self.is_being_saved || !self.kept.is_empty();
        !is_kept && (self.has_failed || self.synced_bytes == self.written_bytes)
    }

    /// Notes that the block which was being written now is, up to `end_bytes`.
    fn note_written(&mut self, block: Box<KeptBlock>, end_bytes: u64) {
        self.written_bytes = end_bytes;
        self.writing_ns = None;
        self.oldest_written_ns = self.oldest_written_ns.into_iter().chain([block.entry.received_min_ns]).min();
        self.kept.push_back(block);
    }

    /// Notes that what was written up to `end_bytes` is on disk, and returns the blocks among it.
    pub(crate) fn note_synced(&mut self, end_bytes: u64) -> VecDeque<Box<KeptBlock>> {
        self.synced_bytes = end_bytes;
        let synced =
            self.kept.partition_point(|block| block.entry.offset + block.bytes.len() as u64 <= self.synced_bytes);
        let unsynced = self.kept.split_off(synced);
        self.oldest_written_ns = unsynced.iter().map(|block| block.entry.received_min_ns).min();
        std::mem::replace(&mut self.kept, unsynced)
    }
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

    /// As of [`Progress::is_settled`].
    pub(crate) fn is_settled(&self) -> bool {
        self.progress().is_settled()
    }
}

/// Sees to it that a complete file's time of change is that of its latest message or later, also where the clock was set back
/// since: readers and retention go by it.
pub(crate) fn set_time_of_latest(file: &dyn SegmentFile, blocks: &[BlockEntry], now: SystemTime) -> io::Result<()> {
    let latest_ns = blocks.iter().map(|block| block.received_max_ns).max().unwrap_or_default();
    let latest = UNIX_EPOCH + Duration::from_nanos(latest_ns);
    if latest > now { file.set_modified(latest) } else { Ok(()) }
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
        self.handle.progress().writing_ns = Some(block.entry.received_min_ns);
        if let Err(error) = self.write_or_cut(&block.bytes, offset) {
            self.handle.progress().writing_ns = None;
            return Err((error, block));
        }
        block.entry.offset = offset;
        self.builder.add(block.entry, &block.sources, listeners, &block.losses);
        self.handle.progress().note_written(block, self.builder.bytes());
        Ok(())
    }

    /// Writes index and seek table; the file is then complete but for its name. It can be tried again.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        let offset = self.builder.bytes();
        let end = self.builder.clone().seal()?;
        self.write_or_cut(&end, offset)?;
        set_time_of_latest(&*self.handle.file, self.builder.blocks(), SystemTime::now())?;
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

#[cfg(test)]
mod tests {
    use logboom_segment::Compression;

    use super::*;
    use crate::store::storage::DiskFile;

    #[test]
    fn a_message_is_unsynced_from_before_it_can_be_read_until_a_sync_that_began_later_is_over() {
        let mut progress = Progress::default();
        let kept = |offset, received_min_ns| {
            let entry = BlockEntry { offset, received_min_ns, ..BlockEntry::default() };
            let (bytes, sources, losses) = (vec![0; 10], Vec::new(), Vec::new());
            Box::new(KeptBlock { bytes, compression: Compression::Level, entry, sources, losses })
        };
        progress.writing_ns = Some(5);
        assert_eq!(progress.oldest_unsynced_ns(), Some(5), "it may be in the file by now");
        assert!(progress.note_synced(0).is_empty());
        assert_eq!(progress.oldest_unsynced_ns(), Some(5), "a sync that began before it was written");
        progress.note_written(kept(0, 5), 10);
        progress.note_written(kept(10, 3), 20);
        progress.writing_ns = Some(4);
        assert_eq!(progress.oldest_unsynced_ns(), Some(3), "blocks of several receivers, in no order");
        assert_eq!(progress.note_synced(10).len(), 1);
        assert_eq!(progress.oldest_unsynced_ns(), Some(3));
        assert_eq!(progress.note_synced(20).len(), 1);
        assert_eq!(progress.oldest_unsynced_ns(), Some(4));
        progress.note_written(kept(20, 4), 30);
        assert_eq!(progress.note_synced(30).len(), 1);
        assert_eq!(progress.oldest_unsynced_ns(), None);
    }

    #[test]
    fn a_segment_whose_blocks_are_being_saved_is_not_settled() {
        let mut progress =
            Progress { has_failed: true, is_being_saved: true, written_bytes: 10, ..Progress::default() };
        assert!(!progress.is_settled(), "they are kept by nobody else");
        progress.is_being_saved = false;
        assert!(progress.is_settled());
    }

    #[test]
    fn a_file_is_never_older_than_its_latest_message_also_after_the_clock_was_set_back() {
        let directory = tempfile::tempdir().unwrap();
        let file = DiskFile::create(&directory.path().join("file")).unwrap();
        let written = file.modified().unwrap();
        let block = |received_max_ns| BlockEntry { received_max_ns, ..BlockEntry::default() };
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        set_time_of_latest(&file, &[block(1), block(999_999_000_000_000)], now).unwrap();
        assert_eq!(file.modified().unwrap(), written, "the clock goes as it should");
        set_time_of_latest(&file, &[block(1_003_600_000_000_000), block(2)], now).unwrap();
        assert_eq!(file.modified().unwrap(), now + Duration::from_secs(3_600));
        set_time_of_latest(&file, &[], now).unwrap();
    }
}
