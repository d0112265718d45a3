//! Writers: each takes blocks from the queue, makes them frames, and writes these behind each other in its segment.

use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use logboom_segment::{BlockHeader, EncodeError, Encoder, Loss, LossPlace, RunId, SegmentName};

use super::directory::DataDirectory;
use super::rotate::{RotateLimits, is_due};
use super::segment::OpenSegment;
use super::sync::{SyncOrder, SyncSender};
use crate::block::Block;
use crate::config::Store;
use crate::ledger::Ledger;
use crate::queue::{BlockReceiver, Popped};
use crate::telemetry::StoreTimes;

/// What all writers of a run share.
#[derive(Clone)]
pub struct WriterContext {
    /// Where segments go.
    pub directory: Arc<DataDirectory>,
    /// This run.
    pub run_id: RunId,
    /// The listeners that sources name by number.
    pub listeners: Arc<[String]>,
    /// Where blocks go back to, and what is counted.
    pub ledger: Arc<Ledger>,
    /// The sync thread.
    pub sync: SyncSender,
    /// Durations of writes.
    pub times: StoreTimes,
}

/// One writer.
pub struct Writer {
    number: usize,
    queue: BlockReceiver,
    context: WriterContext,
    encoder: Encoder,
    encoded: Vec<u8>,
    limits: RotateLimits,
    segment: Option<OpenSegment>,
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
            encoded: Vec::new(),
            limits: RotateLimits { bytes: store.segment_size.get(), age: store.segment_age.get() },
            segment: None,
            segments_begun: 0,
            unwritten: Vec::new(),
            failing: false,
        })
    }

    /// Writes until the queue is closed and empty, then seals.
    pub fn run(mut self) {
        loop {
            let deadline = self.segment.as_ref().map(|segment| segment.begun + self.limits.age);
            match self.queue.pop(deadline) {
                Popped::Block(block) => self.take(block),
                Popped::TimedOut => self.seal(),
                Popped::Closed => break,
            }
        }
        self.seal();
    }

    fn take(&mut self, mut block: Box<Block>) {
        let messages = block.rows.len() as u64;
        self.unwritten.drain(..).for_each(|loss| loss.add_to(&mut block.losses));
        let written = self.write(&mut block);
        let counts = &self.context.ledger.writers[self.number];
        match written {
            Ok(()) => {
                counts.stored.add(messages);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("writing to {} works again", self.context.directory.path().display());
                }
            }
            Err(error) => {
                counts.write_failed.add(messages);
                self.unwritten = std::mem::take(&mut block.losses);
                Loss { place: LossPlace::WriteFailed, detail: 0, messages }.add_to(&mut self.unwritten);
                if !std::mem::replace(&mut self.failing, true) {
                    let path = self.context.directory.path().display();
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
        let entry = self.encoder.encode(&mut block.rows, &header, listeners, &block.losses, &mut self.encoded)?;
        let segment = match &mut self.segment {
            Some(segment) => segment,
            None => self.segment.insert(begin(&self.context, self.number, &mut self.segments_begun)?),
        };
        let begun = Instant::now();
        segment.write(&self.encoded, entry, block.rows.sources(), listeners, &block.losses)?;
        self.context.times.write_seconds.record(begun.elapsed());
        let counts = &self.context.ledger.writers[self.number];
        counts.blocks.add(1);
        counts.raw_bytes.add(u64::from(entry.content_bytes));
        counts.stored_bytes.add(entry.block_bytes() as u64);
        Ok(())
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
        let path = segment.handle.path().display().to_string();
        match segment.seal() {
            Ok(handle) => self.context.sync.send(SyncOrder::Sealed(handle)),
            Err(error) => tracing::error!("sealing {path}: {error}; it stays readable under this name"),
        }
    }
}

fn begin(context: &WriterContext, writer: usize, begun: &mut u32) -> io::Result<OpenSegment> {
    let name = SegmentName {
        begun: utc_stamp(SystemTime::now()),
        writer: writer as u32,
        run_id: context.run_id,
        number: *begun + 1,
    };
    let segment = OpenSegment::create(context.directory.path(), &name)?;
    *begun += 1;
    context.sync.send(SyncOrder::Begun(Arc::clone(&segment.handle)));
    Ok(segment)
}

fn utc_stamp(now: SystemTime) -> String {
    let now = jiff::Timestamp::try_from(now).unwrap_or_default();
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}
