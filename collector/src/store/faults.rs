//! The store on a disk that fails: writers and the sync thread, as they are, over a [`Storage`] that refuses on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use logboom_segment::{
    Decoder, Flags, LossPlace, Message, PRI_NONE, RowLimits, Rows, RunId, Segment, Source, list_segments, read_block,
};

use super::directory::DataDirectory;
use super::storage::{SegmentFile, Storage};
use super::sync::Syncer;
use super::unsynced::Unsynced;
use super::writer::{Writer, WriterContext};
use crate::block::BlockPool;
use crate::config::Config;
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
}

fn refused(left: &AtomicU32) -> io::Result<()> {
    match left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)) {
        Ok(_) => Err(io::Error::from_raw_os_error(5)), // EIO
        Err(_) => Ok(()),
    }
}

struct FaultyStorage {
    directory: DataDirectory,
    faults: Arc<Faults>,
}

struct FaultyFile {
    file: Box<dyn SegmentFile>,
    faults: Arc<Faults>,
}

impl Storage for FaultyStorage {
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        refused(&self.faults.creates)?;
        let file = self.directory.create(name)?;
        Ok(Box::new(FaultyFile { file, faults: Arc::clone(&self.faults) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.directory.sync_names()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl SegmentFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        refused(&self.faults.writes).inspect_err(|_| {
            // Half of it got there.
            let _ = self.file.write_at(&bytes[..bytes.len() / 2], offset);
        })?;
        self.file.write_at(bytes, offset)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.cut(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        refused(&self.faults.syncs)?;
        self.file.sync()
    }
}

/// Stores blocks of one message each, its number, with `config`; `before` may break the disk before each block.
fn store(path: &Path, blocks: u32, config: &Config, before: impl Fn(u32, &Faults, &Ledger)) -> Books {
    let faults = Arc::new(Faults::default());
    let directory = DataDirectory::open(path, 10).unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FaultyStorage { directory, faults: Arc::clone(&faults) });
    let pool = Arc::new(BlockPool::new(64 * Rows::memory_bytes_max(LIMITS), 0.0, LIMITS));
    let ledger = Arc::new(Ledger::new(1, 1, 1, vec![], Arc::clone(&pool), true));
    let telemetry = Telemetry::start();
    let (queue, mut ends) = block_queue(64, 1);
    let unsynced = Arc::new(Unsynced::new(config.store.unsynced.as_usize()));
    let interval = config.store.sync.get();
    let (syncer, sync) = Syncer::new(Arc::clone(&storage), interval, Arc::clone(&unsynced), telemetry.store_times());
    let context = WriterContext {
        storage,
        run_id: RunId(1),
        listeners: ["udp://127.0.0.1:514".to_owned()].into(),
        ledger: Arc::clone(&ledger),
        sync,
        unsynced: Arc::clone(&unsynced),
        times: telemetry.store_times(),
    };
    let writer = Writer::new(0, ends.remove(0), &config.store, context).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| syncer.run());
        scope.spawn(|| writer.run());
        for number in 0..blocks {
            before(number, &faults, &ledger);
            let mut block = std::iter::repeat_with(|| pool.take()).flatten().next().unwrap();
            block.sequence = u64::from(number);
            block.rows.append(&message(&number.to_string())).unwrap();
            pool.publish(&block);
            ledger.receivers[0].listeners[0].messages.add(1);
            queue.push(block);
        }
        queue.close();
    });
    assert_eq!(unsynced.bytes(), 0, "everything was let go");
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

fn config() -> Config {
    let mut config = Config::default();
    config.store.sync = crate::config::Time::millis(10);
    config
}

fn wait_until(condition: impl Fn() -> bool) {
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
fn the_last_sync_may_fail_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.store.sync = crate::config::Time::secs(60);
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
fn a_disk_that_refuses_for_long_costs_these_messages_and_no_later_ones() {
    const REFUSED: u32 = 5_000;
    let directory = tempfile::tempdir().unwrap();
    let books = store(directory.path(), REFUSED + 40, &config(), |number, faults, ledger| {
        if number == 20 {
            wait_until(|| ledger.read().stored == 20);
            faults.writes.store(REFUSED, Ordering::Release);
        }
    });
    assert_eq!((books.stored, books.write_failed, books.difference()), (40, u64::from(REFUSED), 0));
    let (sealed, open, losses) = stored(directory.path());
    assert_eq!((sealed.len(), open.len(), losses), (40, 0, u64::from(REFUSED)));
}

#[test]
fn a_directory_that_takes_no_file_leaves_none_without_a_block() {
    let directory = tempfile::tempdir().unwrap();
    let books = store(directory.path(), 10, &config(), |number, faults, _| {
        if number == 0 {
            faults.creates.store(3, Ordering::Release);
            faults.writes.store(7, Ordering::Release);
        }
    });
    assert_eq!((books.stored, books.write_failed, books.difference()), (0, 10, 0));
    assert_eq!(list_segments(directory.path()).unwrap(), []);
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
    config.store.sync = crate::config::Time::secs(60);
    config.store.unsynced = crate::config::Size::bytes(1);
    let books = store(directory.path(), 200, &config, |_, _, _| {});
    assert_eq!((books.stored, books.difference()), (200, 0));
    assert_eq!(stored(directory.path()).0.len(), 200);
}
