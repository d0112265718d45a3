//! The store on a disk that loses its power: the writers, the sync thread and the rewrite, as they are, over a simulated disk
//! that records what they do. At every point of that record, what was not synced is dropped, torn or reordered, the recovery
//! runs on what is left, loses its power in turn, and runs again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use logboom_segment::{
    BlockRef, Decoder, Direction, FileState, Merge, ReadAt, Rows, RunId, Segment, SegmentName, check_block, read_block,
};

use super::faults::{config, store_on, wait_until};
use super::recover::{REWRITE_SUFFIX, recover};
use super::storage::{SegmentFile, Storage, StoredFile};
use crate::config::Size;

/// What a disk holds.
#[derive(Clone, Debug, Default)]
struct Contents {
    files: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
}

#[derive(Clone, Debug)]
enum Operation {
    Create { name: String, file: usize },
    Write { file: usize, offset: usize, bytes: Vec<u8> },
    Cut { file: usize, bytes: usize },
    Sync { file: usize },
    Rename { from: String, to: String },
    Remove { name: String },
    SyncNames,
}

impl Contents {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { name, file } => {
                self.hold(*file);
                self.names.insert(name.clone(), *file);
            }
            Operation::Write { file, offset, bytes } => {
                let end = offset + bytes.len();
                let content = self.hold(*file);
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Operation::Cut { file, bytes } => self.hold(*file).resize(*bytes, 0),
            Operation::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Operation::Remove { name } => _ = self.names.remove(name),
            Operation::Sync { .. } | Operation::SyncNames => {}
        }
    }

    fn hold(&mut self, file: usize) -> &mut Vec<u8> {
        if self.files.len() <= file {
            self.files.resize(file + 1, Vec::new());
        }
        &mut self.files[file]
    }
}

/// A disk with everything that was done to it since it held `begin`.
#[derive(Default)]
struct SimulatedDisk {
    begin: Contents,
    now: Mutex<(Contents, Vec<Operation>)>,
}

impl SimulatedDisk {
    fn holding(begin: Contents) -> Arc<Self> {
        Arc::new(Self { now: Mutex::new((begin.clone(), Vec::new())), begin })
    }

    fn lock(&self) -> MutexGuard<'_, (Contents, Vec<Operation>)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn perform(&self, operation: Operation) {
        let (contents, log) = &mut *self.lock();
        contents.apply(&operation);
        log.push(operation);
    }

    fn log(&self) -> Vec<Operation> {
        self.lock().1.clone()
    }

    /// What is there after a power cut behind the first `operations`: all that was synced, and of the rest whatever `random`
    /// says, in any order. Names last in the order in which they were made (as on a journaling file system), some of them.
    fn after_power_cut(&self, operations: &[Operation], random: &mut Random) -> Contents {
        let mut left = self.begin.clone();
        let (mut writes, mut names): (Vec<&Operation>, Vec<&Operation>) = (Vec::new(), Vec::new());
        for operation in operations {
            match operation {
                Operation::Sync { file } => writes.retain(|write| {
                    let is_synced = file_of(write) == Some(*file);
                    if is_synced {
                        left.apply(write);
                    }
                    !is_synced
                }),
                Operation::SyncNames => names.drain(..).for_each(|name| left.apply(name)),
                Operation::Write { .. } | Operation::Cut { .. } => writes.push(operation),
                _ => names.push(operation),
            }
        }
        random.shuffle(&mut writes);
        for write in writes {
            match (random.below(3), write) {
                (0, _) => {}
                (1, Operation::Write { file, offset, bytes }) => {
                    let (from, to) = random.range(bytes.len());
                    let bytes = bytes[from..to].to_vec();
                    left.apply(&Operation::Write { file: *file, offset: offset + from, bytes });
                }
                (_, write) => left.apply(write),
            }
        }
        let count = random.below(names.len() + 1);
        names[..count].iter().for_each(|name| left.apply(name));
        left
    }
}

fn file_of(operation: &Operation) -> Option<usize> {
    match operation {
        Operation::Write { file, .. } | Operation::Cut { file, .. } | Operation::Sync { file } => Some(*file),
        _ => None,
    }
}

struct OnDisk(Arc<SimulatedDisk>);

struct FileOnDisk {
    disk: Arc<SimulatedDisk>,
    file: usize,
}

impl Storage for OnDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let file = {
            let (contents, _) = &*self.0.lock();
            if contents.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            contents.files.len()
        };
        self.0.perform(Operation::Create { name: name.into(), file });
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let file = self.0.lock().0.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FileOnDisk { disk: Arc::clone(&self.0), file }))
    }

    fn list(&self) -> io::Result<Vec<StoredFile>> {
        let (contents, _) = &*self.0.lock();
        let file = |(name, file): (&String, &usize)| StoredFile {
            name: name.clone(),
            bytes: contents.files[*file].len() as u64,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(*file as u64),
        };
        Ok(contents.names.iter().map(file).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.perform(Operation::Rename { from: from.into(), to: to.into() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if !self.0.lock().0.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.0.perform(Operation::Remove { name: name.into() });
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.perform(Operation::SyncNames);
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn path(&self) -> &Path {
        Path::new("simulated")
    }
}

impl ReadAt for FileOnDisk {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.lock().0.files[self.file].read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.disk.lock().0.files[self.file].size()
    }
}

impl SegmentFile for FileOnDisk {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.perform(Operation::Write { file: self.file, offset: offset as usize, bytes: bytes.to_vec() });
        Ok(())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.disk.perform(Operation::Cut { file: self.file, bytes: bytes as usize });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.perform(Operation::Sync { file: self.file });
        Ok(())
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(SystemTime::UNIX_EPOCH)
    }

    fn set_modified(&self, _modified: SystemTime) -> io::Result<()> {
        Ok(())
    }
}

/// Numbers that follow from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn range(&mut self, bytes: usize) -> (usize, usize) {
        let (a, b) = (self.below(bytes + 1), self.below(bytes + 1));
        (a.min(b), a.max(b))
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// The blocks that were synced within `operations`: these must never be lost.
fn synced(operations: &[Operation]) -> BTreeSet<u64> {
    let (mut written, mut synced): (Vec<(usize, u64)>, BTreeSet<u64>) = (Vec::new(), BTreeSet::new());
    for operation in operations {
        match operation {
            Operation::Write { file, bytes, .. } => {
                if let Ok((_, meta)) = check_block(bytes) {
                    let header = meta.header;
                    written.extend((header.sequence_first..=header.sequence_last).map(|number| (*file, number)));
                }
            }
            Operation::Sync { file } => {
                synced.extend(written.iter().filter(|(of, _)| of == file).map(|(_, number)| *number));
            }
            _ => {}
        }
    }
    synced
}

/// The numbers that a reader finds, in order. Every message is its block's number.
fn readable(contents: &Contents) -> Vec<u64> {
    let mut decoder = Decoder::new().unwrap();
    let (mut files, mut blocks) = (Vec::new(), Vec::new());
    for (name, file) in &contents.names {
        let Some((_, state)) = SegmentName::parse_file_name(name) else { continue };
        assert_eq!(state, FileState::Sealed, "{name} was left open");
        let segment = Segment::open(&contents.files[*file], &mut decoder).unwrap();
        assert!(segment.sealed && segment.tail_bytes == 0, "{name}");
        blocks.extend(segment.blocks.iter().map(|entry| BlockRef { segment: files.len(), entry: *entry }));
        files.push(&contents.files[*file]);
    }
    let mut bytes = Vec::new();
    let mut merge = Merge::new(blocks, Direction::Forward, |block: &BlockRef, rows: &mut Rows| {
        read_block(files[block.segment], &block.entry, &mut bytes).unwrap();
        Some(decoder.decode(&bytes, rows).unwrap())
    });
    let mut numbers = Vec::new();
    while let Some((message, _)) = merge.next_message() {
        numbers.push(str::from_utf8(message.payload).unwrap().parse().unwrap());
    }
    numbers
}

fn check(disk: &Arc<SimulatedDisk>, must_be_there: &BTreeSet<u64>, at: &str) {
    let numbers = readable(&disk.lock().0);
    let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "{at}: a message is there twice: {numbers:?}");
    assert!(distinct.iter().all(|number| *number < u64::from(BLOCKS)), "{at}: a message was invented: {numbers:?}");
    let lost: Vec<_> = must_be_there.difference(&distinct).collect();
    assert!(lost.is_empty(), "{at}: synced and lost: {lost:?}");
}

const BLOCKS: u32 = 60;

/// Cuts at each point.
const SEEDS: u64 = 20;

#[test]
fn no_power_cut_at_any_point_loses_what_was_synced() {
    let disk = SimulatedDisk::holding(Contents::default());
    let mut config = config();
    config.store.segment_size = Size::bytes(2_500);
    let last_synced = |disk: &SimulatedDisk| synced(&disk.log()).last().copied();
    store_on(vec![Arc::new(OnDisk(Arc::clone(&disk)))], BLOCKS, &config, |number, _| {
        if number % 7 == 6 {
            wait_until(|| last_synced(&disk) == Some(u64::from(number) - 1));
        }
        if number == BLOCKS - 1 {
            let is_rewrite = |operation: &Operation| matches!(operation, Operation::Rename { from, .. } if from.ends_with(REWRITE_SUFFIX));
            wait_until(|| disk.log().iter().filter(|operation| is_rewrite(operation)).count() > 1);
        }
    });
    assert_eq!(readable(&disk.lock().0), (0..u64::from(BLOCKS)).collect::<Vec<_>>());

    let log = disk.log();
    let later_run = RunId(2);
    let mut recoveries = 0;
    for cut in 0..=log.len() {
        let must_be_there = synced(&log[..cut]);
        for seed in 0..SEEDS {
            let mut random = Random(seed << 32 | cut as u64);
            let left = SimulatedDisk::holding(disk.after_power_cut(&log[..cut], &mut random));
            recover(&OnDisk(Arc::clone(&left)), later_run, &AtomicBool::new(false)).unwrap();
            check(&left, &must_be_there, &format!("cut at {cut}, seed {seed}"));
            // The recovery, too, may lose its power.
            let steps = left.log();
            let again = random.below(steps.len() + 1);
            let left_again = SimulatedDisk::holding(left.after_power_cut(&steps[..again], &mut random));
            recover(&OnDisk(Arc::clone(&left_again)), later_run, &AtomicBool::new(false)).unwrap();
            check(&left_again, &must_be_there, &format!("cut at {cut}, seed {seed}, and at {again} of the recovery"));
            recoveries += 2;
        }
    }
    assert!(recoveries > 2_000, "only {recoveries} recoveries were tried: the record is too short");
}
