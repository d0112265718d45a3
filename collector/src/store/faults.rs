//! The store on a disk that fails: writers and the sync thread, as they are, over a [`Storage`] that refuses on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use logboom_segment::{
    Decoder, Flags, LossPlace, Message, PRI_NONE, ReadAt, RowLimits, Rows, RunId, Segment, Source, list_segments,
    read_block,
};

use super::directory::DataDirectory;
use super::storage::{SegmentFile, Storage, StoredFile};
use super::volumes::Volumes;
use super::{Store, StoreContext, StoreState};
use crate::block::BlockPool;
use crate::config::{Config, OnFull, Size, Sync, Time};
use crate::ledger::{Books, Ledger};
use crate::queue::block_queue;
use crate::telemetry::Telemetry;

const LIMITS: RowLimits = RowLimits { content_bytes: 1000, rows: 10, sources: 4 };

/// How often the next operations are refused.
#[derive(Default)]
struct Faults {
    creates: AtomicU32,
    writes: AtomicU32,
    syncs: AtomicU32,
    renames: AtomicU32,
    names: AtomicU32,
    /// As `names`, from the next rename on.
    names_once_renamed: AtomicU32,
    /// Bytes that the files may take; 0 for any number.
    capacity: AtomicU64,
}

fn refused(left: &AtomicU32) -> io::Result<()> {
    match left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)) {
        Ok(_) => Err(io::Error::from_raw_os_error(5)), // EIO
        Err(_) => Ok(()),
    }
}

struct FaultyStorage {
    directory: Arc<DataDirectory>,
    faults: Arc<Faults>,
}

struct FaultyFile {
    file: Box<dyn SegmentFile>,
    directory: Arc<DataDirectory>,
    faults: Arc<Faults>,
}

impl FaultyStorage {
    fn file(&self, file: Box<dyn SegmentFile>) -> Box<dyn SegmentFile> {
        Box::new(FaultyFile { file, directory: Arc::clone(&self.directory), faults: Arc::clone(&self.faults) })
    }
}

fn used_bytes(directory: &DataDirectory) -> io::Result<u64> {
    Ok(directory.list()?.iter().map(|file| file.bytes).sum())
}

impl Storage for FaultyStorage {
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        refused(&self.faults.creates)?;
        Ok(self.file(self.directory.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(self.file(self.directory.open(name)?))
    }

    fn list(&self) -> io::Result<Vec<StoredFile>> {
        self.directory.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        refused(&self.faults.renames)?;
        self.faults.names.fetch_add(self.faults.names_once_renamed.swap(0, Ordering::AcqRel), Ordering::AcqRel);
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        refused(&self.faults.names)?;
        self.directory.sync_names()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        match self.faults.capacity.load(Ordering::Acquire) {
            0 => self.directory.free_bytes(),
            capacity => Ok(capacity.saturating_sub(used_bytes(&self.directory)?)),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl ReadAt for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

impl SegmentFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        refused(&self.faults.writes).inspect_err(|_| {
            // Half of it got there.
            let _ = self.file.write_at(&bytes[..bytes.len() / 2], offset);
        })?;
        let capacity = self.faults.capacity.load(Ordering::Acquire);
        if capacity > 0 && used_bytes(&self.directory)? + bytes.len() as u64 > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_at(bytes, offset)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.cut(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        refused(&self.faults.syncs)?;
        self.file.sync()
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.file.modified()
    }

    fn set_modified(&self, modified: SystemTime) -> io::Result<()> {
        self.file.set_modified(modified)
    }
}

fn faulty(path: &Path) -> (Arc<dyn Storage>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let directory = Arc::new(DataDirectory::open(path, RUN, 10).unwrap());
    (Arc::new(FaultyStorage { directory, faults: Arc::clone(&faults) }), faults)
}

/// Stores blocks of one message each, its number, with `config`; `before` may break the disk before each block.
fn store(path: &Path, blocks: u32, config: &Config, before: impl Fn(u32, &Faults, &Ledger)) -> Books {
    let (storage, faults) = faulty(path);
    store_on(vec![storage], blocks, config, |number, ledger| before(number, &faults, ledger))
}

pub(super) const RUN: RunId = RunId(1);

/// The same, on any storage.
pub(super) fn store_on(
    storages: Vec<Arc<dyn Storage>>,
    blocks: u32,
    config: &Config,
    before: impl Fn(u32, &Ledger),
) -> Books {
    let pool = Arc::new(BlockPool::new(64 * Rows::memory_bytes_max(LIMITS), 0.0, LIMITS));
    let writers = config.store.writers.max(1);
    let ledger = Arc::new(Ledger::new(1, 1, writers, vec![], Arc::clone(&pool), true));
    let telemetry = Telemetry::start();
    let (queue, ends) = block_queue(64, writers);
    let state = StoreState::new(Volumes::new(storages), config.store.unsynced.as_usize());
    let context = StoreContext {
        config,
        run_id: RUN,
        listeners: ["udp://127.0.0.1:514".to_owned()].into(),
        state: &state,
        ledger: &ledger,
        times: telemetry.store_times(),
        writers_step_back: false,
    };
    let store = Store::start(context, ends).unwrap();
    for number in 0..blocks {
        before(number, &ledger);
        let mut block = std::iter::repeat_with(|| pool.take()).flatten().next().unwrap();
        block.sequence = u64::from(number);
        block.rows.append(&message(&number.to_string())).unwrap();
        pool.publish(&block);
        ledger.receivers[0].listeners[0].messages.add(1);
        queue.push(block);
    }
    queue.close();
    store.join();
    assert_eq!(state.unsynced.bytes(), 0, "everything was let go");
    ledger.read()
}

fn message(text: &str) -> Message<'_> {
    let source = Source { address: None, port: 0, listener: 0 };
    let original_length = text.len() as u32;
    Message { payload: text.as_bytes(), received_ns: 7, source, pri: PRI_NONE, flags: Flags::NONE, original_length }
}

/// What is in the files: the numbers, each as often as it is there, by whether their file is sealed; and the losses.
fn stored(path: &Path) -> (Vec<u32>, Vec<u32>, u64) {
    let (mut sealed, mut open, mut losses) = (Vec::new(), Vec::new(), 0);
    let mut decoder = Decoder::new().unwrap();
    for mut found in list_segments(path).unwrap() {
        let file = found.open().unwrap();
        let segment = Segment::open(&file, &mut decoder).unwrap();
        let is_sealed = found.state == logboom_segment::FileState::Sealed;
        let lost_there = segment.losses.iter().filter(|loss| loss.place == LossPlace::WriteFailed);
        losses += lost_there.map(|loss| loss.messages).sum::<u64>();
        for entry in &segment.blocks {
            let (mut bytes, mut rows) = (Vec::new(), Rows::for_decoding());
            read_block(&file, entry, &mut bytes).unwrap();
            decoder.decode(&bytes, &mut rows).unwrap();
            let numbers = rows.messages().map(|message| str::from_utf8(message.payload).unwrap().parse().unwrap());
            if is_sealed { &mut sealed } else { &mut open }.extend(numbers.collect::<Vec<u32>>());
        }
    }
    (sealed, open, losses)
}

pub(super) fn config() -> Config {
    let mut config = Config::default();
    config.store.sync = Sync::Every(Time::millis(10));
    config
}

pub(super) fn wait_until(condition: impl Fn() -> bool) {
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < until, "it does not come about");
        std::thread::yield_now();
    }
}

#[test]
fn what_a_failed_sync_leaves_in_doubt_is_written_to_another_file() {
    for failures in [1, 3] {
        let directory = tempfile::tempdir().unwrap();
        let books = store(directory.path(), 50, &config(), |number, faults, ledger| {
            if number == 20 {
                wait_until(|| ledger.read().stored == 20);
                faults.syncs.store(failures, Ordering::Release);
            }
            if number == 21 {
                wait_until(|| faults.syncs.load(Ordering::Acquire) < failures);
            }
        });
        assert_eq!((books.stored, books.difference()), (50, 0));
        let (sealed, open, losses) = stored(directory.path());
        assert_eq!((sealed.len(), losses), (sealed.iter().collect::<BTreeSet<_>>().len(), 0), "in sealed files once");
        // Only blocks that were synced before the failure are in the given up file alone.
        let all: BTreeSet<u32> = sealed.iter().chain(&open).copied().collect();
        assert_eq!(all, (0..50).collect());
        assert!((20..50).all(|number| sealed.contains(&number)), "{sealed:?}");
    }
}

#[test]
fn what_a_failed_sync_leaves_in_doubt_is_kept_until_it_can_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let books = store(directory.path(), 60, &config(), |number, faults, ledger| {
        if number == 20 {
            wait_until(|| ledger.read().stored == 20);
            faults.syncs.store(1, Ordering::Release);
        }
        if number == 21 {
            wait_until(|| faults.syncs.load(Ordering::Acquire) == 0);
            // The file to which it would be written begins, and then takes nothing for a while.
            faults.writes.store(4, Ordering::Release);
        }
    });
    assert_eq!((books.stored, books.write_failed, books.difference()), (60, 0, 0));
    let (sealed, open, _) = stored(directory.path());
    let all: BTreeSet<u32> = sealed.iter().chain(&open).copied().collect();
    assert_eq!(all, (0..60).collect());
    assert!((20..60).all(|number| sealed.contains(&number)), "{sealed:?}");
}

#[test]
fn a_disk_that_never_syncs_costs_neither_time_nor_files_without_end() {
    let of_files: fn(&Faults) -> &AtomicU32 = |faults| &faults.syncs;
    let of_the_directory: fn(&Faults) -> &AtomicU32 = |faults| &faults.names;
    let often = Sync::Every(Time::millis(10));
    for (sync, syncs) in [(often, of_files), (Sync::Block, of_files), (often, of_the_directory)] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config();
        config.store.sync = sync;
        config.store.unsynced = Size::bytes(2_000);
        let books = store(directory.path(), 300, &config, |_, faults, _| {
            syncs(faults).store(u32::MAX, Ordering::Release);
        });
        assert_eq!(books.difference(), 0);
        assert!(books.stored > 0 && books.stored + books.write_failed == 300, "{books}");
        let files = list_segments(directory.path()).unwrap().len();
        assert!(files < 20, "{files} files");
    }
}

#[test]
fn a_directory_that_does_not_sync_for_a_moment_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let books = store(directory.path(), 50, &config(), |number, faults, _| {
        faults.names.fetch_add(if number == 0 { 2 } else { 0 }, Ordering::AcqRel);
    });
    assert_eq!((books.stored, books.write_failed, books.difference()), (50, 0, 0));
    let (sealed, _, losses) = stored(directory.path());
    assert_eq!((sealed.iter().copied().collect::<BTreeSet<u32>>(), losses), ((0..50).collect(), 0));
}

#[test]
fn a_segment_gets_its_sealed_name_also_where_that_is_refused_at_first() {
    let renames: fn(&Faults) -> &AtomicU32 = |faults| &faults.renames;
    let names: fn(&Faults) -> &AtomicU32 = |faults| &faults.names_once_renamed;
    for refused in [renames, names] {
        let directory = tempfile::tempdir().unwrap();
        let books = store(directory.path(), 5, &config(), |_, faults, _| refused(faults).store(1, Ordering::Release));
        assert_eq!((books.stored, books.difference()), (5, 0));
        let (sealed, open, _) = stored(directory.path());
        assert_eq!((sealed, open), (vec![0, 1, 2, 3, 4], vec![]));
    }
}

#[test]
fn an_index_that_is_refused_at_the_end_does_not_hold_up_the_end() {
    for sync in [Sync::None, Sync::Every(Time::secs(3600))] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config();
        config.store.sync = sync;
        let books = store(directory.path(), 5, &config, |number, faults, ledger| {
            if number == 4 {
                wait_until(|| ledger.read().stored == 4);
                faults.writes.store(u32::MAX, Ordering::Release);
            }
        });
        assert_eq!((books.stored, books.write_failed, books.difference()), (4, 1, 0));
        assert_eq!(stored(directory.path()).1, [0, 1, 2, 3]);
    }
}

#[test]
fn the_last_sync_may_fail_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.store.sync = Sync::Every(Time::secs(60));
    let books = store(directory.path(), 5, &config, |number, faults, _| {
        if number == 4 {
            faults.syncs.store(1, Ordering::Release);
        }
    });
    assert_eq!((books.stored, books.difference()), (5, 0));
    let (sealed, open, _) = stored(directory.path());
    assert_eq!((sealed, open), (vec![0, 1, 2, 3, 4], vec![0, 1, 2, 3, 4]));
}

#[test]
fn a_disk_that_refuses_for_a_moment_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let books = store(directory.path(), 40, &config(), |number, faults, ledger| {
        if number == 20 {
            wait_until(|| ledger.read().stored == 20);
            faults.writes.store(5, Ordering::Release);
        }
    });
    assert_eq!((books.stored, books.write_failed, books.difference()), (40, 0, 0));
    assert_eq!(stored(directory.path()).0, (0..40).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_refuses_until_memory_is_short_costs_what_has_no_room_and_no_more() {
    const BLOCKS: u32 = 500;
    for writers in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config();
        config.store.writers = writers;
        let books = store(directory.path(), BLOCKS + 40, &config, |number, faults, ledger| {
            if number == 20 {
                wait_until(|| ledger.read().stored == 20);
                faults.writes.store(u32::MAX, Ordering::Release);
            }
            if number == BLOCKS {
                faults.writes.store(0, Ordering::Release);
            }
            if number >= BLOCKS {
                // One at a time: the first writer has them all, and tells what the others lost too.
                wait_until(|| ledger.read().in_flight == 0);
            }
        });
        let lost = books.write_failed;
        assert_eq!((books.stored + lost, books.difference()), (u64::from(BLOCKS) + 40, 0));
        // The pool has 64 blocks: what waits in three quarters of it is not lost.
        assert!((1..=u64::from(BLOCKS) - 20 - 40).contains(&lost), "{lost} lost");
        let (sealed, open, losses) = stored(directory.path());
        assert_eq!((sealed.len() as u64, open.len(), losses), (books.stored, 0, lost));
        assert!((BLOCKS..BLOCKS + 40).all(|number| sealed.contains(&number)), "all that came after is there");
    }
}

#[test]
fn a_directory_that_takes_nothing_ever_leaves_no_file_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let books = store(directory.path(), 10, &config(), |_, faults, _| {
        faults.writes.store(u32::MAX, Ordering::Release);
    });
    assert_eq!((books.stored, books.write_failed, books.difference()), (0, 10, 0));
    assert_eq!(list_segments(directory.path()).unwrap(), []);
}

#[test]
fn a_failing_directory_is_left_for_another() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((broken, faults), (good, _)) = (faulty(first.path()), faulty(second.path()));
    let books = store_on(vec![broken, good], 40, &config(), |number, ledger| {
        if number == 20 {
            wait_until(|| ledger.read().stored == 20);
            faults.writes.store(u32::MAX, Ordering::Release);
        }
    });
    assert_eq!((books.stored, books.write_failed, books.difference()), (40, 0, 0));
    let (sealed, open, _) = stored(first.path());
    // Its index could not be written, but what it holds is whole.
    assert_eq!((sealed, open), (vec![], (0..20).collect()));
    assert_eq!(stored(second.path()).0, (20..40).collect::<Vec<_>>());
}

#[test]
fn a_directory_whose_syncs_fail_is_left_for_another() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((broken, faults), (good, _)) = (faulty(first.path()), faulty(second.path()));
    let books = store_on(vec![broken, good], 40, &config(), |number, ledger| {
        if number == 20 {
            wait_until(|| ledger.read().stored == 20);
            faults.syncs.store(1, Ordering::Release);
        }
        if number == 21 {
            wait_until(|| faults.syncs.load(Ordering::Acquire) == 0);
        }
    });
    assert_eq!((books.stored, books.write_failed, books.difference()), (40, 0, 0));
    let (on_first, on_second) = (stored(first.path()), stored(second.path()));
    let all: BTreeSet<u32> = [on_first.0, on_first.1, on_second.0].concat().into_iter().collect();
    assert_eq!(all, (0..40).collect());
}

#[test]
fn a_dead_directory_costs_nothing_while_another_is_only_slow() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((dead, faults), (slow, _)) = (faulty(first.path()), faulty(second.path()));
    faults.writes.store(u32::MAX, Ordering::Release);
    let mut config = config();
    // Each block waits for the sync of the one before it, and so most of the pool waits.
    config.store.unsynced = Size::bytes(1);
    let books = store_on(vec![dead, slow], 300, &config, |_, _| {});
    assert_eq!((books.stored, books.write_failed, books.difference()), (300, 0, 0));
}

#[test]
fn a_full_disk_drops_the_newest_or_evicts_the_oldest_as_configured() {
    for policy in [OnFull::DropNewest, OnFull::EvictOldest] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config();
        config.store.on_full = policy;
        config.store.segment_size = Size::bytes(5_000);
        let books = store(directory.path(), 600, &config, |_, faults, _| {
            faults.capacity.store(40_000, Ordering::Release);
        });
        assert_eq!((books.stored + books.write_failed, books.difference()), (600, 0));
        let (sealed, open, _) = stored(directory.path());
        let kept: BTreeSet<u32> = sealed.iter().chain(&open).copied().collect();
        match policy {
            OnFull::DropNewest => {
                assert!(books.write_failed > 0);
                assert_eq!(kept.len() as u64, books.stored, "nothing stored is lost");
                assert!(kept.contains(&0));
            }
            OnFull::EvictOldest => {
                assert!(!kept.contains(&0), "the oldest had to go");
                assert!(kept.len() > 20, "and not more than that: {} are left", kept.len());
            }
        }
    }
}

#[test]
fn without_syncs_memory_is_let_go_and_the_sealed_segment_is_synced() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.store.sync = Sync::None;
    config.store.unsynced = Size::bytes(1);
    let books = store(directory.path(), 40, &config, |_, faults, _| faults.syncs.store(0, Ordering::Release));
    assert_eq!((books.stored, books.difference()), (40, 0));
    assert_eq!(stored(directory.path()).0, (0..40).collect::<Vec<_>>());
}

#[test]
fn compression_yields_while_more_than_half_of_the_pool_waits() {
    for (hurry, held, plain) in [(true, 0, false), (true, 40, true), (false, 40, false)] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config();
        config.store.hurry = hurry;
        let taken = RefCell::new(Vec::new());
        let plain_blocks = Cell::new(0);
        let books = store(directory.path(), 30, &config, |number, _, ledger| {
            // One block at a time, so that none waits but those held here.
            wait_until(|| ledger.read().stored == u64::from(number));
            plain_blocks.set(ledger.writers[0].plain_blocks.get());
            if number == 10 {
                taken.borrow_mut().extend((0..held).map_while(|_| ledger.pool.take()));
            }
        });
        assert_eq!((books.stored, books.difference()), (30, 0));
        assert_eq!(plain_blocks.get() > 0, plain, "hurry {hurry}, {held} of 64 blocks held");
        assert_eq!(stored(directory.path()).0, (0..30).collect::<Vec<_>>());
    }
}

#[test]
fn writers_wait_for_a_sync_when_too_much_is_not_synced() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.store.sync = Sync::Every(Time::secs(60));
    config.store.unsynced = Size::bytes(1);
    let books = store(directory.path(), 200, &config, |_, _, _| {});
    assert_eq!((books.stored, books.difference()), (200, 0));
    assert_eq!(stored(directory.path()).0.len(), 200);
}
