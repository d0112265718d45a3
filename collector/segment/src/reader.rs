//! A segment opened for reading: sealed or still growing, whole or damaged.

use memchr::memmem;

use crate::builder::SegmentBuilder;
use crate::column::Fields;
use crate::decode::{Decoder, check_block};
use crate::error::{Damage, FormatError};
use crate::frame::{Frame, META_MAGIC, ReadAt, Snapshot, frame_at, read_exact, read_up_to};
use crate::index::{BlockEntry, INDEX_TAG, Index, put_seek_table, seek_table_bytes};
use crate::limits::{DATA_BYTES_MAX, META_BYTES_MAX};
use crate::meta::{Loss, Meta, TRAILER_BYTES, Trailer, check_crc};
use crate::name::RunId;
use crate::rows::Source;

/// What a segment file holds, known without decompressing its messages.
#[derive(Debug, Default)]
pub struct Segment {
    /// Its whole blocks, in file order.
    pub blocks: Vec<BlockEntry>,
    /// Whether it ends with a valid index and seek table.
    pub sealed: bool,
    /// Who sent its messages; `None` where the index left them out because they were too many.
    pub sources: Option<Vec<Source>>,
    /// For each block the number of its sources, and which of [`Segment::sources`] they are, as varints.
    block_sources: Vec<u8>,
    /// The listeners that its sources name.
    pub listeners: Vec<String>,
    /// What was lost while it was filled, summed by place and detail.
    pub losses: Vec<Loss>,
    /// The zstd level at which the segment was written anew, if it was.
    pub rewritten: Option<i8>,
    /// Sealed by a later run than the one that wrote it, which may have written some of its blocks to another file as well.
    pub recovered: bool,
    /// Ranges that are not what the format says, with something whole behind them.
    pub damage: Vec<Damage>,
    /// Bytes at the end that are not a whole block: one being written, or one that never was completed.
    pub tail_bytes: u64,
}

impl Segment {
    /// Opens a file by its index, or without one by walking its blocks.
    ///
    /// # Errors
    /// [`FormatError::Io`] when the file cannot be read, [`FormatError::Version`] when a later version wrote it; all
    /// else that is wrong is told in [`Segment::damage`] and [`Segment::tail_bytes`].
    pub fn open(file: &(impl ReadAt + ?Sized), decoder: &mut Decoder) -> Result<Self, FormatError> {
        Self::open_of(file, None, decoder)
    }

    /// The same of a file that run `run_id` wrote, as its name says. Where something is damaged or not whole yet, blocks of
    /// another run are then not taken for real: a message may hold a whole block of its sender's making.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn open_of(
        file: &(impl ReadAt + ?Sized),
        run_id: Option<RunId>,
        decoder: &mut Decoder,
    ) -> Result<Self, FormatError> {
        match sealed_index(&Snapshot::take(file)?, decoder) {
            Ok(Some(index)) if is_of_run(&index, run_id) => Ok(Self { sealed: true, ..Self::from_index(index) }),
            Err(error @ (FormatError::Io(_) | FormatError::Version { .. })) => Err(error),
            Ok(_) | Err(_) => Self::walk_of(file, run_id, decoder),
        }
    }

    /// Walks every block of a file, verifying each checksum; the index is used for nothing but to know a sealed end.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn walk(file: &(impl ReadAt + ?Sized), decoder: &mut Decoder) -> Result<Self, FormatError> {
        Self::walk_of(file, None, decoder)
    }

    /// The same of a file that run `run_id` wrote, see [`Segment::open_of`].
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn walk_of(
        file: &(impl ReadAt + ?Sized),
        run_id: Option<RunId>,
        decoder: &mut Decoder,
    ) -> Result<Self, FormatError> {
        Ok(Walked::walk(file, WalkFrom { run_id, ..WalkFrom::default() }, decoder)?.into_segment())
    }

    /// Walks the blocks of a file that grows from `offset` on, where a block begins or will: what is new since, and in
    /// [`Follow::offset`] where to go on.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn follow(
        file: &(impl ReadAt + ?Sized),
        offset: u64,
        run_id: RunId,
        decoder: &mut Decoder,
    ) -> Result<Follow, FormatError> {
        let from = WalkFrom { offset, run_id: Some(run_id), stops_at_unfinished: true };
        let walked = Walked::walk(file, from, decoder)?;
        Ok(Follow { blocks: walked.builder.blocks().to_vec(), offset: walked.builder.bytes(), sealed: walked.sealed })
    }

    fn from_index(index: Index) -> Self {
        let (sources, block_sources) = index.sources.map(|sources| (sources.all, sources.by_block)).unzip();
        Self {
            blocks: index.blocks,
            sources,
            block_sources: block_sources.unwrap_or_default(),
            listeners: index.listeners,
            losses: index.losses,
            rewritten: index.rewritten,
            recovered: index.recovered,
            ..Self::default()
        }
    }

    /// For each block, whether it holds messages of a source that `wants` says yes to; all may where the index does not tell.
    #[must_use]
    pub fn blocks_with(&self, wants: impl Fn(&Source, &str) -> bool) -> Vec<bool> {
        let Some(sources) = &self.sources else { return vec![true; self.blocks.len()] };
        let listener = |source: &Source| self.listeners.get(usize::from(source.listener)).map_or("", String::as_str);
        let wanted: Vec<bool> = sources.iter().map(|source| wants(source, listener(source))).collect();
        let mut fields = Fields::new(&self.block_sources);
        let mut adds_up = true;
        let mut holds_wanted = || {
            let count = fields.varint()?;
            let mut holds = false;
            for _ in 0..count {
                holds |= *wanted.get(usize::try_from(fields.varint()?).ok()?)?;
            }
            Some(holds)
        };
        // An index that does not add up tells nothing from there on.
        let mut may_hold = || {
            let holds = if adds_up { holds_wanted() } else { None };
            adds_up = holds.is_some();
            holds.unwrap_or(true)
        };
        self.blocks.iter().map(|_| may_hold()).collect()
    }

    /// Messages in its whole blocks.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.messages)).sum()
    }
}

/// A segment file that its collector left behind, and what makes it whole.
#[derive(Debug)]
pub struct Unsealed {
    /// What it holds.
    pub segment: Segment,
    /// Where its last whole block ends: what lies behind that is to be cut off, unless it is sealed already.
    pub blocks_end: u64,
    /// What lies behind that may hold part of a message, and is worth keeping: not so a piece of an index.
    pub tail_is_block: bool,
    /// Index and seek table, to be written at [`Unsealed::blocks_end`].
    pub end: Vec<u8>,
}

impl Unsealed {
    /// Walks a file that nobody writes to any more, and that run `run_id` wrote.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn walk(file: &(impl ReadAt + ?Sized), run_id: RunId, decoder: &mut Decoder) -> Result<Self, FormatError> {
        let from = WalkFrom { run_id: Some(run_id), ..WalkFrom::default() };
        let walked = Walked::walk(file, from, decoder)?;
        let (blocks_end, tail_is_block) = (walked.builder.bytes(), walked.tail_is_block);
        let mut builder = walked.builder.clone();
        builder.set_recovered();
        let end = builder.seal()?;
        Ok(Self { segment: walked.into_segment(), blocks_end, tail_is_block, end })
    }
}

/// Where a walk begins, and what is known of the file.
#[derive(Clone, Copy, Debug, Default)]
struct WalkFrom {
    offset: u64,
    run_id: Option<RunId>,
    /// A block that is not whole is being written: it is not looked into.
    stops_at_unfinished: bool,
}

/// What a walk from the first byte to the last has found.
struct Walked {
    builder: SegmentBuilder,
    rewritten: Option<i8>,
    recovered: bool,
    damage: Vec<Damage>,
    sealed: bool,
    tail_bytes: u64,
    tail_is_block: bool,
}

impl Walked {
    fn walk(file: &(impl ReadAt + ?Sized), from: WalkFrom, decoder: &mut Decoder) -> Result<Self, FormatError> {
        let WalkFrom { offset, run_id: known_run, stops_at_unfinished } = from;
        let file = Snapshot::take(file)?;
        let size = file.size()?;
        let (mut builder, bytes) = (SegmentBuilder::new(), Vec::new());
        builder.skip(offset);
        // Where the name does not tell, a sealed file's index does, also when the first block is damaged.
        let indexed_run = || match sealed_index(&file, decoder) {
            Ok(Some(index)) => index.blocks.first().map(|block| block.run_id),
            _ => None,
        };
        let run_id = known_run.or_else(indexed_run);
        let mut walk = Walk {
            file: &file,
            decoder,
            from: offset,
            run_id,
            builder,
            damage: Vec::new(),
            bytes,
            rewritten: None,
            recovered: false,
        };
        let (mut sealed, mut tail_bytes, mut tail_is_block) = (false, 0, false);
        while walk.builder.bytes() < size {
            let offset = walk.builder.bytes();
            let error = match walk.step() {
                Ok(Step::Block) => continue,
                Ok(Step::Sealed { end, has_table }) => {
                    sealed = has_table && end == size;
                    tail_bytes = size - end;
                    break;
                }
                Ok(Step::Unfinished) if stops_at_unfinished => {
                    tail_bytes = size - offset;
                    break;
                }
                Ok(Step::Unfinished) => FormatError::Frame("a block begins here but is not whole"),
                Err(error @ (FormatError::Io(_) | FormatError::Version { .. })) => return Err(error),
                Err(error) => error,
            };
            let Some(next) = walk.find_whole(offset + 1, size)? else {
                tail_bytes = size - offset;
                tail_is_block = !walk.index_begins_at(offset)?;
                break;
            };
            walk.damage.push(Damage { offset, bytes: next - offset, error });
            walk.builder.skip(next - offset);
        }
        let Walk { builder, damage, rewritten, recovered, .. } = walk;
        Ok(Self { builder, rewritten, recovered, damage, sealed, tail_bytes, tail_is_block })
    }

    fn into_segment(self) -> Segment {
        let Self { builder, rewritten, recovered, damage, sealed, tail_bytes, .. } = self;
        let index = builder.into_index();
        Segment { sealed, damage, tail_bytes, rewritten, recovered, ..Segment::from_index(index) }
    }
}

/// What a file that grows has new.
#[derive(Debug)]
pub struct Follow {
    /// Its new blocks.
    pub blocks: Vec<BlockEntry>,
    /// Where the next will begin.
    pub offset: u64,
    /// Whether there will be none.
    pub sealed: bool,
}

/// Reads DATA and META of `entry` into `out`.
///
/// # Errors
/// [`FormatError`] when the file ends before the block does, or cannot be read.
pub fn read_block(file: &(impl ReadAt + ?Sized), entry: &BlockEntry, out: &mut Vec<u8>) -> Result<(), FormatError> {
    if entry.block_bytes() > DATA_BYTES_MAX + META_BYTES_MAX {
        return Err(FormatError::TooLarge {
            what: "block",
            bytes: entry.block_bytes() as u64,
            limit: (DATA_BYTES_MAX + META_BYTES_MAX) as u64,
        });
    }
    read_exact(file, entry.offset, entry.block_bytes(), out)?.ok_or(FormatError::Frame("the file ends inside a block"))
}

/// The index of a sealed file, found from its end; `None` when there is no seek table.
fn sealed_index(file: &(impl ReadAt + ?Sized), decoder: &mut Decoder) -> Result<Option<Index>, FormatError> {
    let size = file.size()?;
    let mut footer = [0; 9];
    let Some(footer_offset) = size.checked_sub(footer.len() as u64) else { return Ok(None) };
    read_up_to(file, &mut footer, footer_offset)?;
    let Some(index_end) = seek_table_bytes(&footer).and_then(|table_bytes| size.checked_sub(table_bytes)) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    let trailer_offset = index_end.saturating_sub(TRAILER_BYTES as u64);
    if read_exact(file, trailer_offset, TRAILER_BYTES, &mut bytes)?.is_none() {
        return Ok(None);
    }
    let trailer = Trailer::parse(&bytes).ok_or(FormatError::Frame("no index before the seek table"))?;
    let index_bytes = trailer.meta_bytes as usize;
    let index_offset = index_end.checked_sub(index_bytes as u64).filter(|_| index_bytes <= META_BYTES_MAX);
    let index_offset = index_offset.ok_or(FormatError::Frame("no index before the seek table"))?;
    if read_exact(file, index_offset, index_bytes, &mut bytes)?.is_none() {
        return Ok(None);
    }
    check_crc(&bytes)?;
    let index = Index::parse(&bytes, decoder)?;
    if blocks_end(&index) <= index_offset { Ok(Some(index)) } else { Err(FormatError::Frame(INDEX_OVERLAPS)) }
}

const INDEX_OVERLAPS: &str = "the index overlaps its blocks";

/// Where the last block ends that an index names; its blocks follow each other.
fn blocks_end(index: &Index) -> u64 {
    index.blocks.last().map_or(0, |block| block.offset.saturating_add(block.block_bytes() as u64))
}

/// Whether an index names blocks of the run that wrote the file, as far as that is known. A torn message may end with an index of
/// its sender's making, who does not know the run.
fn is_of_run(index: &Index, run_id: Option<RunId>) -> bool {
    index.blocks.first().is_some_and(|block| run_id.is_none_or(|run_id| run_id == block.run_id))
}

enum Step {
    Block,
    /// An index, and the seek table if it is there; the last of both ends here.
    Sealed {
        end: u64,
        has_table: bool,
    },
    Unfinished,
}

struct Walk<'a, F> {
    file: &'a F,
    decoder: &'a mut Decoder,
    /// Where the walk began.
    from: u64,
    /// The run that wrote the file, as far as known.
    run_id: Option<RunId>,
    builder: SegmentBuilder,
    damage: Vec<Damage>,
    bytes: Vec<u8>,
    rewritten: Option<i8>,
    recovered: bool,
}

impl<F: ReadAt> Walk<'_, F> {
    /// Takes the block at the builder's end, or the sealed end of the file.
    fn step(&mut self) -> Result<Step, FormatError> {
        let offset = self.builder.bytes();
        let data_bytes = match frame_at(self.file, offset)? {
            Frame::Data { frame_bytes, .. } => frame_bytes,
            Frame::Meta { frame_bytes } => return self.sealed_end(offset, frame_bytes),
            Frame::SeekTable => return Err(FormatError::Frame("a seek table without an index")),
            Frame::Unfinished => return Ok(Step::Unfinished),
        };
        let meta_bytes = match frame_at(self.file, offset + data_bytes as u64)? {
            Frame::Meta { frame_bytes } => frame_bytes,
            Frame::Unfinished => return Ok(Step::Unfinished),
            _ => return Err(FormatError::Frame("DATA without META")),
        };
        if read_exact(self.file, offset, data_bytes + meta_bytes, &mut self.bytes)?.is_none() {
            return Ok(Step::Unfinished);
        }
        let (_, meta) = check_block(&self.bytes)?;
        if meta.data_bytes as usize != data_bytes {
            return Err(FormatError::Frame("META belongs to a DATA of another size"));
        }
        let entry = BlockEntry::new(&meta, offset, meta_bytes);
        let sources = meta.sources(self.decoder)?;
        let listeners = meta.listeners(self.decoder)?;
        let losses = meta.losses(self.decoder)?;
        self.run_id.get_or_insert(entry.run_id);
        self.builder.add(entry, &sources, &listeners, &losses);
        Ok(Step::Block)
    }

    fn sealed_end(&mut self, offset: u64, index_bytes: usize) -> Result<Step, FormatError> {
        if read_exact(self.file, offset, index_bytes, &mut self.bytes)?.is_none() {
            return Ok(Step::Unfinished);
        }
        check_crc(&self.bytes)?;
        if self.bytes.get(8..12) != Some(&INDEX_TAG) {
            return Err(FormatError::Frame("META without DATA"));
        }
        let index = Index::parse(&self.bytes, self.decoder)?;
        if !self.is_index_of_this_file(&index) {
            return Err(FormatError::Frame("the index does not name the blocks that are there"));
        }
        if blocks_end(&index) > offset {
            return Err(FormatError::Frame(INDEX_OVERLAPS));
        }
        (self.rewritten, self.recovered) = (index.rewritten, index.recovered);
        // The table has no checksum of its own, but only one is right.
        let mut table = Vec::new();
        put_seek_table(&mut table, &index.blocks, offset, index_bytes);
        let index_end = offset + index_bytes as u64;
        let has_table =
            read_exact(self.file, index_end, table.len(), &mut self.bytes)?.is_some() && self.bytes == table;
        Ok(Step::Sealed { end: if has_table { index_end + table.len() as u64 } else { index_end }, has_table })
    }

    /// Whether what begins at `offset`, where a block should, is an index: no DATA begins with the magic of META.
    fn index_begins_at(&mut self, offset: u64) -> Result<bool, FormatError> {
        let mut head = [0; 4];
        let filled = read_up_to(self.file, &mut head, offset)?;
        Ok(META_MAGIC.to_le_bytes().starts_with(&head[..filled]))
    }

    /// Whether an index names the blocks that were met, and, unless some are damaged, no other. A message may hold an index of its
    /// sender's making, who does not know the run.
    fn is_index_of_this_file(&self, index: &Index) -> bool {
        let walked = self.builder.blocks();
        let mut named = index.blocks.iter().filter(|block| block.offset >= self.from);
        if self.damage.is_empty() {
            return named.eq(walked);
        }
        is_of_run(index, self.run_id) && walked.iter().all(|block| named.any(|named| named == block))
    }

    /// Looks for the next whole block or index that begins at `from` or later, by the magic of its META.
    fn find_whole(&mut self, from: u64, size: u64) -> Result<Option<u64>, FormatError> {
        const WINDOW_BYTES: usize = 1 << 20;
        let magic = META_MAGIC.to_le_bytes();
        let finder = memmem::Finder::new(&magic);
        let mut window = vec![0; WINDOW_BYTES];
        let mut start = from;
        while start < size {
            let filled = read_up_to(self.file, &mut window, start)?;
            for at in finder.find_iter(&window[..filled]) {
                if let Some(begin) = self.whole_before(start + at as u64, from)? {
                    return Ok(Some(begin));
                }
            }
            if filled < WINDOW_BYTES {
                break;
            }
            start += (WINDOW_BYTES - (magic.len() - 1)) as u64; // A magic may lie across two windows.
        }
        Ok(None)
    }

    /// Where the block or index begins whose META begins at `meta_offset`, if it is whole and not before `from`.
    fn whole_before(&mut self, meta_offset: u64, from: u64) -> Result<Option<u64>, FormatError> {
        let Ok(Frame::Meta { frame_bytes }) = frame_at(self.file, meta_offset) else { return Ok(None) };
        let end = meta_offset + frame_bytes as u64;
        let Some(trailer_offset) = end.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
        if read_exact(self.file, trailer_offset, TRAILER_BYTES, &mut self.bytes)?.is_none() {
            return Ok(None);
        }
        let Some(trailer) = Trailer::parse(&self.bytes) else { return Ok(None) };
        let begin = meta_offset.checked_sub(u64::from(trailer.data_bytes)).filter(|begin| *begin >= from);
        let Some(begin) = begin.filter(|_| trailer.data_bytes as usize <= DATA_BYTES_MAX) else { return Ok(None) };
        if read_exact(self.file, begin, (end - begin) as usize, &mut self.bytes)?.is_none() {
            return Ok(None);
        }
        Ok((check_crc(&self.bytes).is_ok() && self.is_ours(begin, meta_offset)).then_some(begin))
    }

    /// Whether a block or index that a search has found is of the run that wrote the file. A message may hold either: where the
    /// block around it is damaged and was not compressed, only this tells them apart. Its sender does not know the run.
    fn is_ours(&mut self, begin: u64, meta_offset: u64) -> bool {
        let meta = self.bytes.get((meta_offset - begin) as usize..).unwrap_or_default();
        let run_id = match meta.get(8..12) {
            Some(tag) if *tag == INDEX_TAG => {
                let index = Index::parse(meta, self.decoder).ok();
                index.and_then(|index| index.blocks.first().map(|block| block.run_id))
            }
            _ => Meta::parse(meta).ok().map(|meta| meta.header.run_id),
        };
        run_id.is_some() && (self.run_id.is_none() || self.run_id == run_id)
    }
}
