//! Writers: each takes blocks from the queue, makes them frames, and writes these behind each other in its segment.
//!
//! A frame stays in memory until it is synced. When a sync fails, the file is given up, and the frames that are not known to
//! be on disk are written to another; readers drop the block that they then see twice.
//!
//! A disk that takes nothing is tried again, in another directory if there is one, while blocks wait in memory; they are lost,
//! and counted, when three quarters of that are used.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use logboom_segment::{BlockHeader, Compression, EncodeError, Encoder, Loss, LossPlace, RunId, SegmentName};

use super::effort::{Costs, Pressure, compression};
use super::retention::RoomSender;
use super::rotate::{RotateLimits, is_due};
use super::segment::{OpenSegment, SegmentHandle};
use super::storage::Storage;
use super::sync::{SyncOrder, SyncSender};
use super::unsynced::{KeptBlock, Unsynced};
use super::volumes::Volumes;
use crate::block::Block;
use crate::config::Store;
use crate::ledger::Ledger;
use crate::queue::{BlockReceiver, Popped};
use crate::telemetry::StoreTimes;

/// Time between looks whether a sync has failed.
const SETTLED_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Sleep while too much is not synced.
const NO_ROOM_SLEEP: Duration = Duration::from_millis(1);

/// Time between tries to write what the disk does not take.
const RETRY_SLEEP: Duration = Duration::from_millis(50);

/// Segments that wait for their index, at most.
const UNSEALED_MAX: usize = 16;

/// While it shuts down, a disk that takes nothing is tried for so long.
const LAST_TRIES: Duration = Duration::from_secs(1);

/// What all writers of a run share.
#[derive(Clone)]
pub struct WriterContext {
    /// Where segments go.
    pub volumes: Arc<Volumes>,
    /// This run.
    pub run_id: RunId,
    /// The listeners that sources name by number.
    pub listeners: Arc<[String]>,
    /// Where blocks go back to, and what is counted.
    pub ledger: Arc<Ledger>,
    /// The sync thread.
    pub sync: SyncSender,
    /// The thread that deletes old segments.
    pub room: RoomSender,
    /// The bound on blocks that are not synced yet.
    pub unsynced: Arc<Unsynced>,
    /// Losses whose block could not be written: they go into the next that is, whoever writes it.
    pub unwritten: Arc<Mutex<Vec<Loss>>>,
    /// Durations of writes.
    pub times: StoreTimes,
}

/// One writer.
pub struct Writer {
    number: usize,
    queue: BlockReceiver,
    context: WriterContext,
    encoder: Encoder,
    costs: Costs,
    hurries: bool,
    limits: RotateLimits,
    segment: Option<OpenSegment>,
    /// Its own segments that are not all on disk, the open one among them.
    unsettled: Vec<Arc<SegmentHandle>>,
    /// Those that are full or left, and have no index yet because the disk does not take it.
    unsealed: Vec<OpenSegment>,
    segments_begun: u32,
    /// Blocks are being lost, which is said once.
    is_losing: bool,
    /// Since when the disk takes nothing while it shuts down.
    last_tries: Option<Instant>,
}

/// Why a block is not on disk.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("encoding a block: {0}")]
    Encode(#[from] EncodeError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("what was written before cannot be synced, and memory for it is used up (store.unsynced)")]
    NotSynced,
}

impl Writer {
    /// Writer number `number`, fed by `queue`.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new(number: usize, queue: BlockReceiver, store: &Store, context: WriterContext) -> io::Result<Self> {
        Ok(Self {
            number,
            queue,
            context,
            encoder: Encoder::new(store.level)?,
            costs: Costs::default(),
            hurries: store.hurry,
            limits: RotateLimits { bytes: store.segment_size.get(), age: store.segment_age.get() },
            segment: None,
            unsettled: Vec::new(),
            unsealed: Vec::new(),
            segments_begun: 0,
            is_losing: false,
            last_tries: None,
        })
    }

    /// Writes until the queue is closed and empty, then seals.
    pub fn run(mut self) {
        loop {
            match self.queue.pop(self.deadline()) {
                Popped::Block(block) => self.take(block),
                Popped::TimedOut => {
                    self.save_what_failed(false);
                    self.seal_what_was_left();
                    self.seal_if_due();
                }
                Popped::Closed => break,
            }
        }
        self.finish();
    }

    /// When to look again even if no block comes.
    fn deadline(&self) -> Option<Instant> {
        let seal = self.segment.as_ref().map(|segment| segment.begun + self.limits.age);
        let look =
            (!self.unsettled.is_empty() || !self.unsealed.is_empty()).then(|| Instant::now() + SETTLED_LOOK_INTERVAL);
        seal.into_iter().chain(look).min()
    }

    fn take(&mut self, mut block: Box<Block>) {
        self.save_what_failed(false);
        let messages = block.rows.len() as u64;
        self.lock_unwritten().drain(..).for_each(|loss| loss.add_to(&mut block.losses));
        let written = self.wait_for_room().and_then(|()| self.write(&mut block));
        let Ledger { writers, pool, .. } = &*self.context.ledger;
        match written {
            Ok(()) => {
                writers[self.number].stored.add(messages);
                self.is_losing &= pool.is_low();
            }
            Err(error) => {
                writers[self.number].write_failed.add(messages);
                let lost = Loss { place: LossPlace::WriteFailed, detail: 0, messages };
                let mut unwritten = self.lock_unwritten();
                block.losses.drain(..).chain([lost]).for_each(|loss| loss.add_to(&mut unwritten));
                drop(unwritten);
                if !std::mem::replace(&mut self.is_losing, true) {
                    tracing::error!("messages are lost (write_failed), the first {messages} of them now: {error}");
                }
            }
        }
        self.context.ledger.pool.give_back(block);
        self.ask_for_sync();
        self.seal_if_due();
    }

    fn lock_unwritten(&self) -> MutexGuard<'_, Vec<Loss>> {
        self.context.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&mut self, block: &mut Block) -> Result<(), WriteError> {
        let header = BlockHeader {
            run_id: self.context.run_id,
            receiver: block.receiver,
            sequence_first: block.sequence,
            sequence_last: block.sequence,
            boot_ns: block.begun_boot_ns,
            noted_ns: block.noted_ns,
        };
        let listeners = &self.context.listeners;
        let compression = self.choose_compression();
        let mut bytes = self.context.unsynced.buffer(compression);
        let begun = Instant::now();
        let entry = self
            .encoder
            .set_compression(compression)
            .map_err(EncodeError::from)
            .and_then(|()| self.encoder.encode(&mut block.rows, &header, listeners, &block.losses, &mut bytes));
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                self.context.unsynced.give_back(bytes, compression);
                return Err(error.into());
            }
        };
        if compression == Compression::Level {
            self.costs.note_compressed(entry.content_bytes as usize, bytes.len(), begun.elapsed());
        }
        let (sources, losses) = (block.rows.sources().to_vec(), block.losses.clone());
        let kept = Box::new(KeptBlock { bytes, compression, entry, sources, losses });
        let block_bytes = kept.bytes.len();
        // Before it is written: the sync thread may let it go at once.
        self.context.unsynced.hold(block_bytes);
        let begun = Instant::now();
        if let Err((error, kept)) = self.write_or_give_up(kept) {
            self.context.unsynced.release(*kept);
            return Err(error.into());
        }
        self.context.times.write_seconds.record(begun.elapsed());
        self.costs.note_written(block_bytes, begun.elapsed());
        let counts = &self.context.ledger.writers[self.number];
        counts.blocks.add(1);
        counts.plain_blocks.add(u64::from(compression == Compression::None));
        counts.raw_bytes.add(u64::from(entry.content_bytes));
        counts.stored_bytes.add(block_bytes as u64);
        Ok(())
    }

    fn choose_compression(&self) -> Compression {
        let (pool, unsynced) = (&self.context.ledger.pool, &self.context.unsynced);
        let pressure = Pressure {
            free_blocks: pool.free(),
            blocks: pool.blocks(),
            unsynced_bytes: unsynced.bytes(),
            unsynced_bytes_max: unsynced.bytes_max(),
        };
        if self.hurries { compression(pressure, self.costs) } else { Compression::Level }
    }

    /// Writes an encoded block, as often as it takes, until memory runs short.
    fn write_or_give_up(&mut self, mut block: Box<KeptBlock>) -> Result<(), (io::Error, Box<KeptBlock>)> {
        loop {
            let (error, refused) = match self.write_kept(block) {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            block = refused;
            if self.moves_on(&error) {
                continue;
            }
            if self.must_give_up() {
                return Err((error, block));
            }
            std::thread::sleep(RETRY_SLEEP);
            self.save_what_failed(false);
        }
    }

    /// Leaves a directory that failed, if there is another that works.
    fn moves_on(&mut self, error: &io::Error) -> bool {
        let now = Instant::now();
        let storage = self.storage();
        self.context.volumes.note_failure(&storage, error, now);
        let has_other = self.context.volumes.has_other(&storage, now);
        if has_other {
            self.seal();
        } else if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            self.context.room.ask(&storage);
        }
        has_other
    }

    /// Where it writes now, or would.
    fn storage(&self) -> Arc<dyn Storage> {
        match &self.segment {
            Some(segment) => Arc::clone(&segment.handle.storage),
            None => Arc::clone(self.context.volumes.choose(self.number, Instant::now())),
        }
    }

    /// Whether a block that the disk does not take is to be lost now: so that receivers never stand still for a disk, and a
    /// shutdown ends.
    fn must_give_up(&mut self) -> bool {
        if self.queue.is_closed() {
            return self.last_tries.get_or_insert_with(Instant::now).elapsed() >= LAST_TRIES;
        }
        self.context.ledger.pool.is_low()
    }

    /// Writes an encoded block to the open segment, or to a new one.
    fn write_kept(&mut self, block: Box<KeptBlock>) -> Result<(), (io::Error, Box<KeptBlock>)> {
        if self.segment.as_ref().is_some_and(OpenSegment::is_full) {
            self.seal();
        }
        if self.segment.is_none() {
            match self.begin() {
                Ok(segment) => self.segment = Some(segment),
                Err(error) => return Err((error, block)),
            }
        }
        let Some(segment) = &mut self.segment else { return Ok(()) };
        segment.write(block, &self.context.listeners)?;
        self.context.volumes.note_written(&segment.handle.storage);
        self.last_tries = None;
        Ok(())
    }

    fn begin(&mut self) -> io::Result<OpenSegment> {
        let name = SegmentName {
            begun: utc_stamp(SystemTime::now()),
            writer: self.number as u32,
            run_id: self.context.run_id,
            number: self.segments_begun + 1,
        };
        let segment = OpenSegment::create(&self.storage(), name)?;
        self.segments_begun += 1;
        // A failed one leaves only when what it held is safe, which may be in a caller's hands just now.
        self.unsettled.retain(|handle| handle.progress().has_failed || !handle.is_settled());
        self.unsettled.push(Arc::clone(&segment.handle));
        self.context.unsynced.begin_segment(Arc::clone(&segment.handle));
        self.context.sync.send(SyncOrder::Begun(Arc::clone(&segment.handle)));
        Ok(segment)
    }

    /// Waits while too much is not synced: a slow disk then shows in the queue.
    fn wait_for_room(&mut self) -> Result<(), WriteError> {
        loop {
            self.ask_for_sync();
            if !self.context.unsynced.is_full() {
                return Ok(());
            }
            // A disk that is only slow is waited for; and of several directories, one that works.
            if !self.context.volumes.any_usable(Instant::now()) && self.must_give_up() {
                return Err(WriteError::NotSynced);
            }
            std::thread::sleep(NO_ROOM_SLEEP);
            self.save_what_failed(false);
        }
    }

    fn ask_for_sync(&self) {
        if self.context.unsynced.asks_for_sync() {
            self.context.sync.send(SyncOrder::Now);
        }
    }

    /// Writes what a failed sync left in doubt to another segment: one file at a call, as much as can be written now. True if
    /// there was such a file and all of it is written. Where every directory fails it is not tried, unless it `must` be.
    fn save_what_failed(&mut self, must: bool) -> bool {
        if self.segment.as_ref().is_some_and(|segment| segment.handle.progress().has_failed) {
            self.segment = None;
        }
        let Some(failed) = self.unsettled.iter().find(|handle| handle.progress().has_failed).map(Arc::clone) else {
            return false;
        };
        if !must && !self.context.volumes.any_usable(Instant::now()) {
            return false;
        }
        let mut kept = {
            let mut progress = failed.progress();
            progress.is_being_saved = true;
            std::mem::take(&mut progress.kept)
        };
        while let Some(block) = kept.pop_front() {
            if let Err((error, block)) = self.write_kept(block) {
                kept.push_front(block);
                if self.moves_on(&error) {
                    continue;
                }
                break;
            }
        }
        let is_saved = kept.is_empty();
        {
            let mut progress = failed.progress();
            (progress.kept, progress.is_being_saved) = (kept, false);
        }
        if is_saved {
            self.unsettled.retain(|handle| !Arc::ptr_eq(handle, &failed));
            self.context.sync.send(SyncOrder::GivenUp(failed));
        }
        is_saved
    }

    /// Seals, and waits until all is on disk.
    fn finish(&mut self) {
        /// A sync that fails again and again is a broken disk.
        const TRIES: u32 = 5;
        for _ in 0..TRIES {
            self.seal();
            self.seal_what_was_left();
            // The next start writes their index; what they hold is synced now, whatever `store.sync` says.
            for OpenSegment { handle, .. } in self.unsealed.drain(..) {
                self.context.sync.send(SyncOrder::GivenUp(handle));
            }
            let has_failed = |handle: &Arc<SegmentHandle>| handle.progress().has_failed;
            while !self.unsettled.iter().all(|handle| handle.is_settled() || has_failed(handle)) {
                std::thread::sleep(NO_ROOM_SLEEP);
            }
            self.unsettled.retain(|handle| !handle.is_settled());
            if self.unsettled.is_empty() {
                return;
            }
            let mut failed = self.unsettled.iter().filter(|handle| has_failed(handle)).count();
            while failed > 0 && self.save_what_failed(true) {
                failed -= 1;
            }
        }
        let mut blocks = 0;
        for handle in &self.unsettled {
            // Other writers wait for the room.
            for block in std::mem::take(&mut handle.progress().kept) {
                blocks += 1;
                self.context.unsynced.release(*block);
            }
        }
        tracing::error!("{blocks} blocks are written, but could not be synced: they may not survive a power cut");
    }

    fn seal_if_due(&mut self) {
        let due =
            |segment: &OpenSegment| is_due(self.limits, segment.bytes(), segment.begun.elapsed(), segment.is_full());
        if self.segment.as_ref().is_some_and(due) {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        let handle = Arc::clone(&segment.handle);
        if segment.bytes() == 0 {
            // Its first block failed: a file without a block is no segment.
            if let Err(error) = handle.storage.remove(&handle.open_name()) {
                tracing::error!("removing {}, which holds nothing: {error}", handle.open_path().display());
            }
            self.context.sync.send(SyncOrder::GivenUp(handle));
            return;
        }
        self.unsealed.push(segment);
        self.seal_what_was_left();
    }

    /// Ends segments with their index; those whose disk does not take it are tried again later. Until then they are readable
    /// under their open name.
    fn seal_what_was_left(&mut self) {
        let mut left = std::mem::take(&mut self.unsealed);
        left.retain_mut(|segment| {
            let handle = Arc::clone(&segment.handle);
            if handle.progress().has_failed {
                return false;
            }
            match segment.seal() {
                Ok(()) => self.context.sync.send(SyncOrder::Sealed(handle)),
                Err(error) => self.context.volumes.note_failure(&handle.storage, &error, Instant::now()),
            }
            !segment.is_sealed()
        });
        // Bounded: of a disk that fails for long the next start seals the rest.
        while left.len() > UNSEALED_MAX {
            self.context.sync.send(SyncOrder::GivenUp(left.remove(0).handle));
        }
        self.unsealed = left;
    }
}

fn utc_stamp(now: SystemTime) -> String {
    let now = jiff::Timestamp::try_from(now).unwrap_or_default();
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}
