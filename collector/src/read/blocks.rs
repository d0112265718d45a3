//! Blocks of segments that may be replaced, sealed, damaged or deleted while they are read.

use std::fs::File;
use std::io;

use logboom_segment::{
    BlockEntry, BlockRef, Decoder, FormatError, HeadColumns, Heads, Loss, Message, Rows, Segment, Source, read_block,
};

use super::find::{Found, Identity, identity, run_of};
use super::scan::Scan;

/// Reads and decodes blocks; one a thread.
pub(super) struct BlockReader<'a> {
    bytes: BlockBytes<'a>,
    decoder: Decoder,
    spare: Rows,
    heads: Heads,
}

/// The wanted messages of a block, with the listeners that its sources name; none if there are no such messages.
pub(super) type Wanted = Option<(Rows, Vec<String>)>;

impl<'a> BlockReader<'a> {
    pub(super) fn new(found: &'a [Found]) -> io::Result<Self> {
        Ok(Self {
            bytes: BlockBytes::new(found),
            decoder: Decoder::new()?,
            spare: Rows::for_decoding(),
            heads: Heads::default(),
        })
    }

    /// Does `work` on a block's bytes: those where the index says, or, where these are not the block, those that a walk finds.
    /// They may be those of a larger block that it is part of now: then true.
    fn with_block<T>(
        &mut self,
        scan: &Scan<'_>,
        block: &BlockRef,
        mut work: impl FnMut(&mut Decoder, &[u8], bool) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        scan.stats.count_read(block);
        let Self { bytes, decoder, .. } = self;
        let done = bytes.read(block, decoder).and_then(|is_part| work(decoder, &bytes.block, is_part));
        match done {
            Err(error) if !matches!(error, FormatError::Io(_)) && bytes.read_by_walk(block, decoder).is_ok() => {
                work(decoder, &bytes.block, false)
            }
            done => done,
        }
    }

    /// The wanted messages of a block. Its messages are not looked at where its text cannot hold what is looked for.
    pub(super) fn wanted_rows(&mut self, scan: &Scan<'_>, block: &BlockRef) -> Result<Wanted, FormatError> {
        let mut rows = Rows::for_decoding();
        scan.stats.count_decoded(block);
        let listeners = self.with_block(scan, block, |decoder, bytes, is_part| {
            if is_part {
                return decoder.decode_part(bytes, &block.entry, &mut rows).map(Some);
            }
            let may_match = |text: &[u8]| scan.pattern.is_none_or(|pattern| pattern.may_match_block(text));
            decoder.decode_if(bytes, &mut rows, may_match)
        })?;
        let Some(listeners) = listeners else { return Ok(None) };
        let wants = |message: &Message<'_>| {
            scan.filters.wants(message, &listeners[usize::from(message.source.listener)])
                && scan.pattern.is_none_or(|pattern| pattern.matches(message.payload))
        };
        if scan.pattern.is_some() || !rows.messages().all(|message| wants(&message)) {
            rows.retain(&mut self.spare, wants);
        }
        Ok((!rows.is_empty()).then_some((rows, listeners)))
    }

    /// How many messages of a block are wanted. Where only the text says so they are lines, and nothing but DATA is decoded.
    pub(super) fn count_wanted(&mut self, scan: &Scan<'_>, block: &BlockRef) -> Result<u64, FormatError> {
        let lines_tell = scan.filters.time.covers(&block.entry) && scan.filters.asks_only_for_time();
        let Some(pattern) = scan.pattern.filter(|pattern| lines_tell && pattern.counts_lines()) else {
            return Ok(self.wanted_rows(scan, block)?.map_or(0, |(rows, _)| rows.len() as u64));
        };
        scan.stats.count_decoded(block);
        let mut rows = std::mem::replace(&mut self.spare, Rows::for_decoding());
        let counted = self.with_block(scan, block, |decoder, bytes, is_part| {
            if is_part {
                decoder.decode_part(bytes, &block.entry, &mut rows)?;
                return Ok(rows.messages().filter(|message| pattern.matches(message.payload)).count() as u64);
            }
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

    /// What is known of a block's messages without their text.
    pub(super) fn heads(
        &mut self,
        scan: &Scan<'_>,
        block: &BlockRef,
        asked: HeadColumns,
    ) -> Result<&Heads, FormatError> {
        let mut heads = std::mem::take(&mut self.heads);
        let read = self.with_block(scan, block, |decoder, bytes, is_part| {
            if !is_part {
                return decoder.decode_heads(bytes, asked, &mut heads);
            }
            // Rare: the part of a joined block has to be cut out of it.
            let mut rows = Rows::for_decoding();
            let listeners = decoder.decode_part(bytes, &block.entry, &mut rows)?;
            let sources = rows.sources().to_vec();
            let id = |source: Source| sources.iter().position(|known| *known == source).unwrap_or_default() as u16;
            heads = Heads {
                messages: rows.len(),
                received_ns: rows.messages().map(|message| message.received_ns).collect(),
                source_ids: rows.messages().map(|message| id(message.source)).collect(),
                pris: rows.messages().map(|message| message.pri).collect(),
                sources,
                listeners,
            };
            Ok(())
        });
        self.heads = heads;
        read.map(|()| &self.heads)
    }

    /// What a block tells of losses, and the listeners that these name.
    pub(super) fn losses(
        &mut self,
        scan: &Scan<'_>,
        block: &BlockRef,
    ) -> Result<(Vec<Loss>, Vec<String>), FormatError> {
        self.with_block(scan, block, |decoder, bytes, is_part| {
            // A block with losses is joined with no other.
            if is_part { Ok(Default::default()) } else { decoder.decode_losses(bytes) }
        })
    }
}

/// Where blocks are by now, and the bytes of the one read last.
struct BlockBytes<'a> {
    found: &'a [Found],
    /// The files that blocks are being read from, a few at a time.
    files: Vec<(usize, File)>,
    /// Segments that have replaced those found: the same messages, in other blocks.
    replaced: Vec<(usize, Identity, Segment)>,
    /// Segments whose index names blocks that are not there.
    walked: Vec<(usize, Segment)>,
    block: Vec<u8>,
}

impl<'a> BlockBytes<'a> {
    /// More than there are writers, as a rule; each costs a file descriptor.
    const FILES_MAX: usize = 16;

    fn new(found: &'a [Found]) -> Self {
        Self { found, files: Vec::new(), replaced: Vec::new(), walked: Vec::new(), block: Vec::new() }
    }

    /// Reads a block that was there when its segment was found, or the larger one that it is part of now: then true.
    fn read(&mut self, block: &BlockRef, decoder: &mut Decoder) -> Result<bool, FormatError> {
        let found = &self.found[block.segment];
        let at = self.open(block.segment)?;
        let file = &self.files[at].1;
        let metadata = file.metadata()?;
        if !found.is_replaced(&metadata) {
            read_block(file, &block.entry, &mut self.block)?;
            return Ok(false);
        }
        let now = identity(&metadata);
        let known = self.replaced.iter().position(|(number, then, _)| (*number, *then) == (block.segment, now));
        let known = match known {
            Some(known) => known,
            None => {
                self.replaced.retain(|(number, _, _)| *number != block.segment);
                self.replaced.push((block.segment, now, Segment::open_of(file, run_of(&found.path), decoder)?));
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
        read_block(file, held, &mut self.block)?;
        Ok(held.sequence_first != block.entry.sequence_first || held.sequence_last != block.entry.sequence_last)
    }

    /// Which of `files` is that of a segment.
    fn open(&mut self, segment: usize) -> io::Result<usize> {
        if let Some(at) = self.files.iter().position(|(known, _)| *known == segment) {
            return Ok(at);
        }
        if self.files.len() == Self::FILES_MAX {
            self.files.remove(0);
        }
        self.files.push((segment, self.found[segment].reopen()?));
        Ok(self.files.len() - 1)
    }

    /// Reads a block that is not where the index says: the file may have been damaged so that everything behind has moved.
    fn read_by_walk(&mut self, block: &BlockRef, decoder: &mut Decoder) -> Result<(), FormatError> {
        let found = &self.found[block.segment];
        let file = found.reopen()?;
        if !self.walked.iter().any(|(number, _)| *number == block.segment) {
            self.walked.push((block.segment, Segment::walk_of(&file, run_of(&found.path), decoder)?));
        }
        let name = |entry: &BlockEntry| (entry.run_id, entry.receiver, entry.sequence_first, entry.sequence_last);
        let walked = self.walked.iter().find(|(number, _)| *number == block.segment).map(|(_, segment)| segment);
        let held = walked.and_then(|segment| segment.blocks.iter().find(|held| name(held) == name(&block.entry)));
        let held = held.ok_or(FormatError::Frame("it is not there"))?;
        read_block(&file, held, &mut self.block)
    }
}
