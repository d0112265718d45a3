//! The wanted messages of segments in one order: what cannot be wanted is not decoded, the rest is decoded by several threads
//! ahead of who reads it.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use logboom_segment::{
    BlockEntry, BlockRef, Decoder, Direction, FormatError, HeadColumns, Heads, Merge, Message, Rows, Segment, Source,
    in_order, read_block,
};

use super::ReadError;
use super::ahead::in_order_ahead;
use super::count::{CountBy, Counts, Histogram};
use super::find::{Found, Identity, identity, run_of};
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
    /// Blocks read.
    pub blocks: AtomicU64,
    /// Text of messages decompressed, bytes.
    pub decoded_bytes: AtomicU64,
}

impl ScanStats {
    /// Notes segments that were not opened.
    pub fn note_skipped_segments(&self, segments: usize) {
        self.segments_skipped.fetch_add(segments as u64, Ordering::Relaxed);
    }

    fn count_decoded(&self, block: &BlockRef) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
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

impl Scan<'_> {
    /// The blocks that may hold wanted messages.
    fn blocks(&self, found: &[Found]) -> Vec<BlockRef> {
        let mut blocks = Vec::new();
        self.stats.segments.fetch_add(found.len() as u64, Ordering::Relaxed);
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
        let mut complaints: Vec<String> = found.iter().flat_map(Found::complaints).collect();
        let blocks = in_order(self.blocks(found), self.direction);
        // Proven once that there is memory for decoders.
        drop(Decoder::new().map_err(ReadError::Zstd)?);
        let worker = || {
            let mut reader = BlockReader::new(found);
            let blocks = &blocks;
            move |piece: usize| reader.wanted_rows(self, &blocks[piece])
        };
        in_order_ahead(self.threads, blocks.len(), worker, |take| {
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

    /// Counts the wanted messages, in no order; also returns complaints. Whole blocks are counted without being looked at where
    /// nothing is asked of their messages.
    ///
    /// # Errors
    /// Want of memory.
    pub fn count(&self, found: &[Found]) -> Result<(u64, Vec<String>), ReadError> {
        let mut complaints: Vec<String> = found.iter().flat_map(Found::complaints).collect();
        let blocks = in_order(self.blocks(found), self.direction);
        drop(Decoder::new().map_err(ReadError::Zstd)?);
        let worker = || {
            let mut reader = BlockReader::new(found);
            let blocks = &blocks;
            move |piece: usize| reader.count_wanted(self, &blocks[piece])
        };
        let mut messages = 0;
        in_order_ahead(self.threads, blocks.len(), worker, |take| {
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
        self.for_each_block_of_heads(found, asked, |heads, wants| by.count(heads, wants, counts))
    }

    /// Counts the wanted messages by time, in the same way.
    ///
    /// # Errors
    /// Want of memory.
    pub fn histogram(&self, found: &[Found], histogram: &mut Histogram) -> Result<Vec<String>, ReadError> {
        let asked = HeadColumns { times: true, ..HeadColumns::default() };
        self.for_each_block_of_heads(found, asked, |heads, wants| {
            let times = heads.received_ns.iter().enumerate().filter(|(row, _)| wants(*row));
            times.for_each(|(_, received_ns)| histogram.add(*received_ns));
        })
    }

    /// Shows `visit` the heads of each block, with at least the columns `asked`, and which rows are wanted.
    fn for_each_block_of_heads(
        &self,
        found: &[Found],
        asked: HeadColumns,
        mut visit: impl FnMut(&Heads, &dyn Fn(usize) -> bool),
    ) -> Result<Vec<String>, ReadError> {
        let mut complaints: Vec<String> = found.iter().flat_map(Found::complaints).collect();
        drop(Decoder::new().map_err(ReadError::Zstd)?);
        let (mut reader, mut heads) = (BlockReader::new(found), Heads::default());
        let filters = self.filters;
        let wants_pri: Vec<bool> = (0..=u8::MAX).map(|pri| filters.wants_pri(pri)).collect();
        let all_pris = wants_pri.iter().all(|wants| *wants);
        for block in in_order(self.blocks(found), self.direction) {
            let entry = &block.entry;
            let all_times =
                filters.time.contains(entry.received_min_ns) && filters.time.contains(entry.received_max_ns);
            let columns = HeadColumns {
                times: asked.times || !all_times,
                sources: asked.sources || filters.asks_for_sources(),
                pris: asked.pris || !all_pris,
            };
            if let Err(error) = reader.heads(self, &block, columns, &mut heads) {
                complaints.extend(complaint(&found[block.segment], entry, &error));
                continue;
            }
            let listener = |source: &Source| heads.listeners[usize::from(source.listener)].as_str();
            let wants_source: Vec<bool> =
                heads.sources.iter().map(|source| filters.wants_source(source, listener(source))).collect();
            let all_sources = !filters.asks_for_sources();
            visit(&heads, &|row| {
                (all_pris || wants_pri[usize::from(heads.pris[row])])
                    && (all_sources || wants_source[usize::from(heads.source_ids[row])])
                    && (all_times || filters.time.contains(heads.received_ns[row]))
            });
        }
        Ok(complaints)
    }
}

fn complaint(found: &Found, entry: &BlockEntry, error: &FormatError) -> Option<String> {
    match error {
        // Deleted by retention since it was found: no damage.
        FormatError::Io(error) if error.kind() == io::ErrorKind::NotFound => None,
        _ => Some(format!("{}: the block at {} is damaged: {error}", found.path.display(), entry.offset)),
    }
}

/// Reads blocks of segments that may be replaced, sealed or deleted meanwhile; one a thread.
struct BlockReader<'a> {
    found: &'a [Found],
    /// The files that blocks are being read from, a few at a time.
    files: Vec<(usize, File)>,
    /// Segments that have replaced those found: the same messages, in other blocks.
    replaced: Vec<(usize, Identity, Segment)>,
    /// Segments whose index names blocks that are not there.
    walked: Vec<(usize, Segment)>,
    decoder: Option<Decoder>,
    bytes: Vec<u8>,
    spare: Rows,
}

type Wanted = Option<(Rows, Vec<String>)>;

impl<'a> BlockReader<'a> {
    /// More than there are writers, as a rule; each costs a file descriptor.
    const FILES_MAX: usize = 16;

    fn new(found: &'a [Found]) -> Self {
        let (files, replaced, decoder) = (Vec::new(), Vec::new(), Decoder::new().ok());
        Self { found, files, replaced, walked: Vec::new(), decoder, bytes: Vec::new(), spare: Rows::for_decoding() }
    }

    /// Reads a block that was there when its segment was found. It may be part of a larger one now: then true.
    fn read(&mut self, block: &BlockRef) -> Result<bool, FormatError> {
        let found = &self.found[block.segment];
        let at = match self.files.iter().position(|(known, _)| *known == block.segment) {
            Some(at) => at,
            None => {
                if self.files.len() == Self::FILES_MAX {
                    self.files.remove(0);
                }
                self.files.push((block.segment, found.reopen()?));
                self.files.len() - 1
            }
        };
        let file = &self.files[at].1;
        let metadata = file.metadata()?;
        if !found.is_replaced(&metadata) {
            read_block(file, &block.entry, &mut self.bytes)?;
            return Ok(false);
        }
        let now = identity(&metadata);
        let known = self.replaced.iter().position(|(number, then, _)| (*number, *then) == (block.segment, now));
        let known = match known {
            Some(known) => known,
            None => {
                let mut decoder = Decoder::new()?;
                self.replaced.retain(|(number, _, _)| *number != block.segment);
                self.replaced.push((block.segment, now, Segment::open(file, &mut decoder)?));
                self.replaced.len() - 1
            }
        };
        let holds = |held: &&BlockEntry| {
            (held.run_id, held.receiver) == (block.entry.run_id, block.entry.receiver)
                && held.sequence_first <= block.entry.sequence_first
                && block.entry.sequence_last <= held.sequence_last
        };
        let held = self.replaced[known].2.blocks.iter().find(holds);
        let held = held.ok_or(FormatError::Frame("the file was replaced by one without this block"))?;
        read_block(file, held, &mut self.bytes)?;
        Ok(held.sequence_first != block.entry.sequence_first || held.sequence_last != block.entry.sequence_last)
    }

    /// Does `work` on a block's bytes: those where the index says, or, where these are not the block, those that a walk finds.
    fn with_block<T>(
        &mut self,
        block: &BlockRef,
        mut work: impl FnMut(&mut Decoder, &[u8], bool) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => Decoder::new()?,
        };
        let mut done = self.read(block).and_then(|is_part| work(&mut decoder, &self.bytes, is_part));
        if let Err(error) = &done
            && !matches!(error, FormatError::Io(_))
            && self.read_by_walk(block).is_ok()
        {
            done = work(&mut decoder, &self.bytes, false);
        }
        self.decoder = Some(decoder);
        done
    }

    /// Reads a block that is not where the index says: the file may have been damaged so that everything behind has moved.
    fn read_by_walk(&mut self, block: &BlockRef) -> Result<(), FormatError> {
        let found = &self.found[block.segment];
        if !self.walked.iter().any(|(number, _)| *number == block.segment) {
            let mut decoder = Decoder::new()?;
            let walked = Segment::walk_of(&found.reopen()?, run_of(&found.path), &mut decoder)?;
            self.walked.push((block.segment, walked));
        }
        let name = |entry: &BlockEntry| (entry.run_id, entry.receiver, entry.sequence_first, entry.sequence_last);
        let walked = self.walked.iter().find(|(number, _)| *number == block.segment).map(|(_, segment)| segment);
        let held = walked.and_then(|segment| segment.blocks.iter().find(|held| name(held) == name(&block.entry)));
        let held = held.ok_or(FormatError::Frame("it is not there"))?;
        read_block(&found.reopen()?, held, &mut self.bytes)
    }

    /// Decodes a block, unless its text cannot hold what is looked for.
    fn decode(
        &mut self,
        scan: &Scan<'_>,
        block: &BlockRef,
        rows: &mut Rows,
    ) -> Result<Option<Vec<String>>, FormatError> {
        scan.stats.count_decoded(block);
        self.with_block(block, |decoder, bytes, is_part| {
            if is_part {
                return decoder.decode_part(bytes, &block.entry, rows).map(Some);
            }
            decoder.decode_if(bytes, rows, |text| scan.pattern.is_none_or(|pattern| pattern.may_match_block(text)))
        })
    }

    fn wanted_rows(&mut self, scan: &Scan<'_>, block: &BlockRef) -> Result<Wanted, FormatError> {
        let mut rows = Rows::for_decoding();
        let Some(listeners) = self.decode(scan, block, &mut rows)? else { return Ok(None) };
        let filters = scan.filters;
        let wants = |message: &Message<'_>| {
            filters.wants(message, &listeners[usize::from(message.source.listener)])
                && scan.pattern.is_none_or(|pattern| pattern.matches(message.payload))
        };
        if scan.pattern.is_some() || !rows.messages().all(|message| wants(&message)) {
            rows.retain(&mut self.spare, wants);
        }
        Ok((!rows.is_empty()).then_some((rows, listeners)))
    }

    fn count_wanted(&mut self, scan: &Scan<'_>, block: &BlockRef) -> Result<u64, FormatError> {
        let filters = scan.filters;
        let entry = &block.entry;
        let is_all_in_time =
            filters.time.contains(entry.received_min_ns) && filters.time.contains(entry.received_max_ns);
        let asks_nothing_else = is_all_in_time
            && filters.priority.is_none()
            && filters.facilities.is_empty()
            && !filters.asks_for_sources()
            && !filters.asks_for_header();
        let Some(pattern) = scan.pattern.filter(|_| asks_nothing_else) else {
            return Ok(self.wanted_rows(scan, block)?.map_or(0, |(rows, _)| rows.len() as u64));
        };
        if !pattern.counts_lines() {
            return Ok(self.wanted_rows(scan, block)?.map_or(0, |(rows, _)| rows.len() as u64));
        }
        scan.stats.count_decoded(block);
        let mut rows = std::mem::replace(&mut self.spare, Rows::for_decoding());
        let counted = self.with_block(block, |decoder, bytes, is_part| {
            if is_part {
                decoder.decode_part(bytes, &block.entry, &mut rows)?;
                return Ok(rows.messages().filter(|message| pattern.matches(message.payload)).count() as u64);
            }
            // Lines are messages, so that nothing but DATA is needed.
            let mut count = 0;
            decoder.decode_if(bytes, &mut rows, |text| {
                count = pattern.count_lines(text);
                false
            })?;
            Ok(count)
        });
        self.spare = rows;
        counted
    }

    fn heads(
        &mut self,
        scan: &Scan<'_>,
        block: &BlockRef,
        asked: HeadColumns,
        heads: &mut Heads,
    ) -> Result<(), FormatError> {
        scan.stats.blocks.fetch_add(1, Ordering::Relaxed);
        self.with_block(block, |decoder, bytes, is_part| {
            if !is_part {
                return decoder.decode_heads(bytes, asked, heads);
            }
            // Rare: the part of a joined block has to be cut out of it.
            let mut rows = Rows::for_decoding();
            let listeners = decoder.decode_part(bytes, &block.entry, &mut rows)?;
            let sources = rows.sources().to_vec();
            let id = |source: Source| sources.iter().position(|known| *known == source).unwrap_or_default() as u16;
            *heads = Heads {
                messages: rows.len(),
                received_ns: rows.messages().map(|message| message.received_ns).collect(),
                source_ids: rows.messages().map(|message| id(message.source)).collect(),
                pris: rows.messages().map(|message| message.pri).collect(),
                sources,
                listeners,
            };
            Ok(())
        })
    }
}
