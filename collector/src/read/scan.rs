//! The wanted messages of segments in one order: what cannot be wanted is not decoded, the rest is decoded by several threads
//! ahead of who reads it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use logboom_segment::{
    BlockEntry, BlockRef, Direction, FormatError, HeadColumns, Heads, Merge, Message, Rows, Source, in_order,
};

use super::ReadError;
use super::ahead::in_order_ahead;
use super::blocks::BlockReader;
use super::count::{CountBy, Counts, Histogram, WantedRows};
use super::find::Found;
use super::grep::Pattern;
use super::select::Filters;

/// What is wanted, and how it is read.
pub struct Scan<'a> {
    /// What messages must be.
    pub filters: &'a Filters,
    /// What their text must hold.
    pub pattern: Option<&'a Pattern>,
    /// From which end.
    pub direction: Direction,
    /// Threads that decode.
    pub threads: usize,
    /// Counted on the way.
    pub stats: &'a ScanStats,
}

/// What was looked at, and what was not.
#[derive(Debug, Default)]
pub struct ScanStats {
    /// Segments not opened, by the time at which they were last written.
    pub segments_skipped: AtomicU64,
    /// Segments opened.
    pub segments: AtomicU64,
    /// Blocks that were passed over by their times, by their PRI values, by their sources.
    pub skipped_by: [AtomicU64; 3],
    /// What the blocks take that are to be read, bytes.
    pub to_read_bytes: AtomicU64,
    /// Blocks read.
    pub blocks: AtomicU64,
    /// What these take, bytes.
    pub read_bytes: AtomicU64,
    /// Text of messages decompressed, bytes.
    pub decoded_bytes: AtomicU64,
}

impl ScanStats {
    /// Notes segments that were not opened.
    pub fn note_skipped_segments(&self, segments: usize) {
        self.segments_skipped.fetch_add(segments as u64, Ordering::Relaxed);
    }

    /// Notes segments that were opened.
    pub fn note_opened_segments(&self, segments: usize) {
        self.segments.fetch_add(segments as u64, Ordering::Relaxed);
    }

    pub(super) fn count_read(&self, block: &BlockRef) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(block.entry.block_bytes() as u64, Ordering::Relaxed);
    }

    pub(super) fn count_decoded(&self, block: &BlockRef) {
        self.decoded_bytes.fetch_add(u64::from(block.entry.content_bytes), Ordering::Relaxed);
    }
}

impl std::fmt::Display for ScanStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [by_time, by_pri, by_source] = &self.skipped_by;
        write!(
            f,
            "{} segments skipped, {} opened; blocks skipped: {} by time, {} by severity or facility, {} by source; {} blocks \
             read, {} bytes decoded",
            get(&self.segments_skipped),
            get(&self.segments),
            get(by_time),
            get(by_pri),
            get(by_source),
            get(&self.blocks),
            get(&self.decoded_bytes)
        )
    }
}

/// What a scan starts from.
pub(super) struct Begun<'a> {
    /// The blocks that may hold wanted messages, in order.
    pub(super) blocks: Vec<BlockRef>,
    /// One for each thread.
    pub(super) readers: Vec<BlockReader<'a>>,
    /// What could not be read so far.
    pub(super) complaints: Vec<String>,
}

impl Scan<'_> {
    /// What a scan of messages starts from.
    fn begin<'f>(&self, found: &'f [Found], threads: usize) -> Result<Begun<'f>, ReadError> {
        let mut blocks = self.blocks(found);
        blocks.retain(|block| block.entry.messages > 0);
        self.begin_with(found, blocks, threads)
    }

    /// The same for what blocks tell beside messages: some have none.
    pub(super) fn begin_with_empty<'f>(&self, found: &'f [Found]) -> Result<Begun<'f>, ReadError> {
        self.begin_with(found, self.blocks(found), 1)
    }

    fn begin_with<'f>(
        &self,
        found: &'f [Found],
        blocks: Vec<BlockRef>,
        threads: usize,
    ) -> Result<Begun<'f>, ReadError> {
        let blocks = in_order(blocks, self.direction);
        let bytes: usize = blocks.iter().map(|block| block.entry.block_bytes()).sum();
        self.stats.to_read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let readers = (0..threads.clamp(1, blocks.len().max(1))).map(|_| BlockReader::new(found));
        let readers = readers.collect::<io::Result<_>>().map_err(ReadError::Zstd)?;
        Ok(Begun { blocks, readers, complaints: found.iter().flat_map(Found::complaints).collect() })
    }

    /// The blocks that may hold wanted messages.
    fn blocks(&self, found: &[Found]) -> Vec<BlockRef> {
        let mut blocks = Vec::new();
        for (number, found) in found.iter().enumerate() {
            let has_source = self
                .filters
                .asks_for_sources()
                .then(|| found.segment.blocks_with(|source, listener| self.filters.wants_source(source, listener)));
            for (at, entry) in found.segment.blocks.iter().enumerate() {
                let reasons = [
                    !self.filters.time.may_be_in(entry),
                    !self.filters.may_be_among(&entry.pris),
                    has_source.as_ref().is_some_and(|blocks| !blocks[at]),
                ];
                match reasons.iter().position(|reason| *reason) {
                    Some(reason) => _ = self.stats.skipped_by[reason].fetch_add(1, Ordering::Relaxed),
                    None => blocks.push(BlockRef { segment: number, entry: *entry }),
                }
            }
        }
        blocks
    }

    /// Shows `visit` every wanted message, in order, until it says stop (`false`); returns complaints about what could not be
    /// read.
    ///
    /// # Errors
    /// What `visit` says, and want of memory.
    pub fn for_each(
        &self,
        found: &[Found],
        mut visit: impl FnMut(&Message<'_>, &str) -> Result<bool, ReadError>,
    ) -> Result<Vec<String>, ReadError> {
        let Begun { blocks, readers, mut complaints } = self.begin(found, self.threads)?;
        let wanted_rows = |reader: &mut BlockReader<'_>, piece: usize| reader.wanted_rows(self, &blocks[piece]);
        in_order_ahead(readers, blocks.len(), wanted_rows, |take| {
            let mut piece = 0;
            let mut merge = Merge::new(blocks.clone(), self.direction, |block: &BlockRef, rows: &mut Rows| {
                let taken = take(piece);
                piece += 1;
                match taken {
                    Ok(Some((wanted, listeners))) => {
                        *rows = wanted;
                        Some(listeners)
                    }
                    Ok(None) => None,
                    Err(error) => {
                        complaints.extend(complaint(&found[block.segment], &block.entry, &error));
                        None
                    }
                }
            });
            while let Some((message, listener)) = merge.next_message() {
                if !visit(&message, listener)? {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(complaints)
    }

    /// Counts the wanted messages; also returns complaints.
    ///
    /// # Errors
    /// Want of memory.
    pub fn count(&self, found: &[Found]) -> Result<(u64, Vec<String>), ReadError> {
        let Begun { blocks, readers, mut complaints } = self.begin(found, self.threads)?;
        let count_wanted = |reader: &mut BlockReader<'_>, piece: usize| reader.count_wanted(self, &blocks[piece]);
        let mut messages = 0;
        in_order_ahead(readers, blocks.len(), count_wanted, |take| {
            for (piece, block) in blocks.iter().enumerate() {
                match take(piece) {
                    Ok(count) => messages += count,
                    Err(error) => complaints.extend(complaint(&found[block.segment], &block.entry, &error)),
                }
            }
        });
        Ok((messages, complaints))
    }

    /// Counts the wanted messages by what is known of them without their text, of which none is decompressed.
    ///
    /// # Errors
    /// Want of memory.
    pub fn count_by(&self, found: &[Found], by: CountBy, counts: &mut Counts) -> Result<Vec<String>, ReadError> {
        let asked = HeadColumns { times: false, sources: by.needs_source(), pris: by.needs_pri() };
        let count = |heads: &Heads, wanted: &WantedRows<'_>| by.count(heads, wanted);
        self.for_each_block_of_heads(found, asked, count, |counted| {
            counted.into_iter().for_each(|(key, count)| counts.add(key, count));
            Ok(())
        })
    }

    /// Counts the wanted messages by time, in the same way.
    ///
    /// # Errors
    /// Want of memory, and more spans than a histogram has.
    pub fn histogram(&self, found: &[Found], histogram: &mut Histogram) -> Result<Vec<String>, ReadError> {
        let asked = HeadColumns { times: true, ..HeadColumns::default() };
        let bucket_ns = histogram.bucket_ns();
        let count = |heads: &Heads, wanted: &WantedRows<'_>| {
            let mut buckets: Vec<(u64, u64)> = Vec::new();
            for (_, received_ns) in heads.received_ns.iter().enumerate().filter(|(row, _)| wanted.has(*row)) {
                let bucket = received_ns / bucket_ns;
                match buckets.last_mut() {
                    Some((last, count)) if *last == bucket => *count += 1,
                    _ => buckets.push((bucket, 1)),
                }
            }
            buckets
        };
        self.for_each_block_of_heads(found, asked, count, |buckets| {
            buckets.into_iter().try_for_each(|(bucket, count)| histogram.add(bucket, count))
        })
    }

    /// Does `work`, on several threads, on the heads of each block, with at least the columns `asked`, and which rows are
    /// wanted; shows `visit` what came of it.
    fn for_each_block_of_heads<T: Send>(
        &self,
        found: &[Found],
        asked: HeadColumns,
        work: impl Fn(&Heads, &WantedRows<'_>) -> T + Sync,
        mut visit: impl FnMut(T) -> Result<(), ReadError>,
    ) -> Result<Vec<String>, ReadError> {
        let Begun { blocks, readers, mut complaints } = self.begin(found, self.threads)?;
        let wants_pri: Vec<bool> = (0..=u8::MAX).map(|pri| self.filters.wants_pri(pri)).collect();
        let work_on = |reader: &mut BlockReader<'_>, piece: usize| {
            self.with_heads(reader, &blocks[piece], asked, &wants_pri, &work)
        };
        in_order_ahead(readers, blocks.len(), work_on, |take| {
            for (piece, block) in blocks.iter().enumerate() {
                match take(piece) {
                    Ok(result) => visit(result)?,
                    Err(error) => complaints.extend(complaint(&found[block.segment], &block.entry, &error)),
                }
            }
            Ok(complaints)
        })
    }

    fn with_heads<T>(
        &self,
        reader: &mut BlockReader<'_>,
        block: &BlockRef,
        asked: HeadColumns,
        wants_pri: &[bool],
        work: impl Fn(&Heads, &WantedRows<'_>) -> T,
    ) -> Result<T, FormatError> {
        let filters = self.filters;
        let all_times = filters.time.covers(&block.entry);
        let all_pris = wants_pri.iter().all(|wants| *wants);
        let all_sources = !filters.asks_for_sources();
        let columns = HeadColumns {
            times: asked.times || !all_times,
            sources: asked.sources || !all_sources,
            pris: asked.pris || !all_pris,
        };
        let heads = reader.heads(self, block, columns)?;
        let listener = |source: &Source| heads.listeners[usize::from(source.listener)].as_str();
        let wants_source: Vec<bool> =
            heads.sources.iter().map(|source| filters.wants_source(source, listener(source))).collect();
        if all_pris && all_sources && all_times {
            return Ok(work(heads, &WantedRows::All));
        }
        let wants = |row: usize| {
            (all_pris || wants_pri[usize::from(heads.pris[row])])
                && (all_sources || wants_source[usize::from(heads.source_ids[row])])
                && (all_times || filters.time.contains(heads.received_ns[row]))
        };
        Ok(work(heads, &WantedRows::Those(&wants)))
    }
}

pub(super) fn complaint(found: &Found, entry: &BlockEntry, error: &FormatError) -> Option<String> {
    match error {
        // Deleted by retention since it was found: no damage.
        FormatError::Io(error) if error.kind() == io::ErrorKind::NotFound => None,
        _ => Some(format!("{}: the block at {} is damaged: {error}", found.path.display(), entry.offset)),
    }
}
