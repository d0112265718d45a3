//! Writers: each takes blocks from the queue, makes them frames, and writes these behind each other in its segment.
//!
//! A frame stays in memory until it is synced. When a sync fails, the file is given up, and the frames that are not known to
//! be on disk are written to another; readers drop the block that they then see twice.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use logboom_segment::{BlockHeader, Compression, EncodeError, Encoder, Loss, LossPlace, RunId, SegmentName};

use super::effort::{Costs, Pressure, compression};
use super::rotate::{RotateLimits, is_due};
use super::segment::{OpenSegment, SegmentHandle};
use super::storage::Storage;
use super::sync::{SyncOrder, SyncSender};
use super::unsynced::{KeptBlock, Unsynced};
use crate::block::Block;
use crate::config::Store;
use crate::ledger::Ledger;
use crate::queue::{BlockReceiver, Popped};
use crate::telemetry::StoreTimes;

/// Time between looks whether a sync has failed.
const SETTLED_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Sleep while too much is not synced.
const NO_ROOM_SLEEP: Duration = Duration::from_millis(1);

/// What all writers of a run share.
#[derive(Clone)]
pub struct WriterContext {
    /// Where segments go.
    pub storage: Arc<dyn Storage>,
    /// This run.
    pub run_id: RunId,
    /// The listeners that sources name by number.
    pub listeners: Arc<[String]>,
    /// Where blocks go back to, and what is counted.
    pub ledger: Arc<Ledger>,
    /// The sync thread.
    pub sync: SyncSender,
    /// The bound on blocks that are not synced yet.
    pub unsynced: Arc<Unsynced>,
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
    segments_begun: u32,
    /// Losses whose block could not be written: they go into the next.
    unwritten: Vec<Loss>,
    /// Whether the last write failed: said once, and once when it is over.
    failing: bool,
}

/// Why a block is not on disk.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("encoding a block: {0}")]
    Encode(#[from] EncodeError),
    #[error("{0}")]
    Io(#[from] io::Error),
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
            segments_begun: 0,
            unwritten: Vec::new(),
            failing: false,
        })
    }

    /// Writes until the queue is closed and empty, then seals.
    pub fn run(mut self) {
        loop {
            match self.queue.pop(self.deadline()) {
                Popped::Block(block) => self.take(block),
                Popped::TimedOut => {
                    self.save_what_failed();
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
        let look = (!self.unsettled.is_empty()).then(|| Instant::now() + SETTLED_LOOK_INTERVAL);
        seal.into_iter().chain(look).min()
    }

    fn take(&mut self, mut block: Box<Block>) {
        self.save_what_failed();
        self.wait_for_room();
        let messages = block.rows.len() as u64;
        self.unwritten.drain(..).for_each(|loss| loss.add_to(&mut block.losses));
        let written = self.write(&mut block);
        let counts = &self.context.ledger.writers[self.number];
        match written {
            Ok(()) => {
                counts.stored.add(messages);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("writing to {} works again", self.context.storage.path().display());
                }
            }
            Err(error) => {
                counts.write_failed.add(messages);
                self.unwritten = std::mem::take(&mut block.losses);
                Loss { place: LossPlace::WriteFailed, detail: 0, messages }.add_to(&mut self.unwritten);
                if !std::mem::replace(&mut self.failing, true) {
                    let path = self.context.storage.path().display();
                    tracing::error!(
                        "writing to {path}: {error}; messages are lost (write_failed) until it works again"
                    );
                }
            }
        }
        self.context.ledger.pool.give_back(block);
        self.seal_if_due();
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
        self.write_kept(kept).map_err(|(error, kept)| {
            self.context.unsynced.release(*kept);
            error
        })?;
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

    /// Writes an encoded block to the open segment, or to a new one.
    fn write_kept(&mut self, block: Box<KeptBlock>) -> Result<(), (io::Error, Box<KeptBlock>)> {
        if self.segment.is_none() {
            match self.begin() {
                Ok(segment) => self.segment = Some(segment),
                Err(error) => return Err((error, block)),
            }
        }
        match &mut self.segment {
            Some(segment) => segment.write(block, &self.context.listeners),
            None => Ok(()),
        }
    }

    fn begin(&mut self) -> io::Result<OpenSegment> {
        let name = SegmentName {
            begun: utc_stamp(SystemTime::now()),
            writer: self.number as u32,
            run_id: self.context.run_id,
            number: self.segments_begun + 1,
        };
        let segment = OpenSegment::create(&*self.context.storage, name)?;
        self.segments_begun += 1;
        self.unsettled.retain(|handle| !handle.is_settled());
        self.unsettled.push(Arc::clone(&segment.handle));
        self.context.sync.send(SyncOrder::Begun(Arc::clone(&segment.handle)));
        Ok(segment)
    }

    /// Waits while too much is not synced: a slow disk then shows in the queue.
    fn wait_for_room(&mut self) {
        loop {
            if self.context.unsynced.asks_for_sync() {
                self.context.sync.send(SyncOrder::Now);
            }
            if !self.context.unsynced.is_full() {
                return;
            }
            std::thread::sleep(NO_ROOM_SLEEP);
            self.save_what_failed();
        }
    }

    /// Writes what a failed sync left in doubt to another segment. What cannot be written now is tried again later.
    fn save_what_failed(&mut self) {
        let Some(failed) = self.unsettled.iter().find(|handle| handle.progress().has_failed).map(Arc::clone) else {
            return;
        };
        if self.segment.as_ref().is_some_and(|segment| Arc::ptr_eq(&segment.handle, &failed)) {
            self.segment = None;
        }
        let mut kept = std::mem::take(&mut failed.progress().kept);
        while let Some(block) = kept.pop_front() {
            if let Err((error, block)) = self.write_kept(block) {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(
                        "writing again what a failed sync left in doubt: {error}; it is tried until it works"
                    );
                }
                kept.push_front(block);
                break;
            }
        }
        failed.progress().kept = kept;
        if failed.is_settled() {
            self.unsettled.retain(|handle| !Arc::ptr_eq(handle, &failed));
            self.context.sync.send(SyncOrder::GivenUp(failed));
        }
    }

    /// Seals, and waits until all is on disk.
    fn finish(&mut self) {
        const TRIES: u32 = 3;
        for _ in 0..TRIES {
            self.seal();
            let has_failed = |handle: &Arc<SegmentHandle>| handle.progress().has_failed;
            while !self.unsettled.iter().all(|handle| handle.is_settled() || has_failed(handle)) {
                std::thread::sleep(NO_ROOM_SLEEP);
            }
            self.unsettled.retain(|handle| !handle.is_settled());
            if self.unsettled.is_empty() {
                return;
            }
            while self.unsettled.iter().any(has_failed) {
                let before = self.unsettled.len();
                self.save_what_failed();
                if self.unsettled.len() == before {
                    break;
                }
            }
        }
        let blocks: usize = self.unsettled.iter().map(|handle| handle.progress().kept.len()).sum();
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
            if let Err(error) = self.context.storage.remove(&handle.open_name()) {
                tracing::error!("removing {}, which holds nothing: {error}", handle.open_name());
            }
            self.context.sync.send(SyncOrder::GivenUp(handle));
            return;
        }
        match segment.seal() {
            Ok(handle) => self.context.sync.send(SyncOrder::Sealed(handle)),
            Err(error) => {
                tracing::error!("sealing {}: {error}; it stays readable under this name", handle.open_name());
                self.context.sync.send(SyncOrder::GivenUp(handle));
            }
        }
    }
}

fn utc_stamp(now: SystemTime) -> String {
    let now = jiff::Timestamp::try_from(now).unwrap_or_default();
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}
