//! A sealed segment written anew: the small blocks of quiet hours joined, blocks that were stored plain compressed, or all of
//! it compressed harder. What it holds stays the same, message by message, and so does what its blocks are called.

use std::collections::VecDeque;

use crate::builder::SegmentBuilder;
use crate::decode::{Decoder, check_block};
use crate::encode::{EncodeError, Encoder};
use crate::error::FormatError;
use crate::frame::ReadAt;
use crate::index::BlockEntry;
use crate::limits::PARTS_MAX;
use crate::meta::{BlockHeader, Loss, Part};
use crate::reader::{Segment, read_block};
use crate::rows::{RowLimits, Rows};

/// How a segment is written anew.
#[derive(Clone, Copy, Debug)]
pub struct RewriteGoal {
    /// How large joined blocks may become.
    pub limits: RowLimits,
    /// zstd level.
    pub level: i8,
    /// Which blocks are compressed again though they are not joined.
    pub recompress: Recompress,
}

/// Which blocks are compressed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recompress {
    /// None: they are copied as they are.
    None,
    /// Those that were stored plain.
    Plain,
    /// All.
    All,
}

/// Why a segment was not written anew; it stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// It cannot be read, or is damaged.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// A block cannot be encoded.
    #[error("{0}")]
    Encode(#[from] EncodeError),
}

impl RewriteGoal {
    /// To copy every block as it is.
    pub const COPY: Self = Self { limits: RowLimits::NONE, level: 0, recompress: Recompress::None };

    fn recompresses(&self, block: &BlockEntry) -> bool {
        match self.recompress {
            Recompress::None => false,
            Recompress::Plain => is_plain(block),
            Recompress::All => true,
        }
    }

    /// The limits for `segment`: blocks of one that was recovered may stand in another file as well, and are joined with none,
    /// so that each of them can still be told from its copy.
    fn limits_for(&self, segment: &Segment) -> RowLimits {
        if segment.recovered { RowLimits::NONE } else { self.limits }
    }
}

/// The blocks of a segment, in the groups that are to become one block each, by time.
///
/// Only blocks of one receiver that follow each other are joined, so that (run, receiver, first to last sequence number)
/// names nothing that stands elsewhere: the blocks between may be in another writer's file.
#[must_use]
pub fn plan_joins(blocks: &[BlockEntry], limits: RowLimits) -> Vec<Vec<BlockEntry>> {
    let mut blocks = blocks.to_vec();
    blocks.sort_by_key(|block| (block.run_id, block.receiver, block.sequence_first));
    let mut groups: Vec<Group> = Vec::new();
    for block in blocks {
        match groups.last_mut() {
            Some(group) if group.takes(&block, limits) => group.add(block),
            _ => groups.push(Group::of(block)),
        }
    }
    groups.sort_by_key(|group| (group.blocks[0].received_min_ns, group.blocks[0].receiver));
    groups.into_iter().map(|group| group.blocks).collect()
}

struct Group {
    blocks: Vec<BlockEntry>,
    content_bytes: usize,
    rows: usize,
}

impl Group {
    fn of(block: BlockEntry) -> Self {
        Self { content_bytes: block.content_bytes as usize, rows: block.messages as usize, blocks: vec![block] }
    }

    fn takes(&self, block: &BlockEntry, limits: RowLimits) -> bool {
        let last = &self.blocks[self.blocks.len() - 1];
        (last.run_id, last.receiver) == (block.run_id, block.receiver)
            && last.sequence_last.checked_add(1) == Some(block.sequence_first)
            && self.content_bytes + block.content_bytes as usize <= limits.content_bytes
            && self.rows + block.messages as usize <= limits.rows
            && block.sequence_last - self.blocks[0].sequence_first < PARTS_MAX as u64
    }

    fn add(&mut self, block: BlockEntry) {
        self.content_bytes += block.content_bytes as usize;
        self.rows += block.messages as usize;
        self.blocks.push(block);
    }
}

/// Whether it is whole, and writing it anew would make it notably smaller: it halves the number of blocks, compresses what was
/// stored plain, or compresses all of it harder than before.
#[must_use]
pub fn is_worth_rewriting(segment: &Segment, goal: &RewriteGoal) -> bool {
    if !has_blocks_only(segment) {
        return false;
    }
    if goal.recompress == Recompress::All {
        return segment.rewritten.is_none_or(|level| level < goal.level);
    }
    let is_small = |groups: &[Vec<BlockEntry>]| groups.len() * 2 <= segment.blocks.len();
    segment.rewritten.is_none()
        && (segment.blocks.iter().any(|block| goal.recompresses(block))
            || is_small(&plan_joins(&segment.blocks, goal.limits_for(segment))))
}

/// DATA is no smaller than its content: it was not compressed, or cannot be. Of small blocks that says nothing.
fn is_plain(block: &BlockEntry) -> bool {
    const SMALL_BYTES: u32 = 16 << 10;
    block.content_bytes >= SMALL_BYTES && block.data_bytes >= block.content_bytes
}

/// Whether nothing lies between the blocks: damage that was kept must not be lost from sight.
fn has_blocks_only(segment: &Segment) -> bool {
    let mut end = 0;
    segment.blocks.iter().all(|block| {
        let follows = block.offset == end;
        end = block.offset.saturating_add(block.block_bytes() as u64);
        follows
    })
}

/// Writes one segment anew, block by block, so that its caller can stop in between.
///
/// Holds one block of each kind: at most twice the goal's limits, and what zstd needs for the level.
pub struct Rewrite {
    goal: RewriteGoal,
    /// The first block of each group, and those to be joined to it.
    groups: VecDeque<(BlockEntry, VecDeque<BlockEntry>)>,
    builder: SegmentBuilder,
    encoder: Encoder,
    decoder: Decoder,
    /// The block to come, and the part that is added to it.
    joined: Rows,
    part: Rows,
    bytes: Vec<u8>,
}

/// What is known of one block of the old file.
struct Old {
    header: BlockHeader,
    parts: Vec<Part>,
    listeners: Vec<String>,
    losses: Vec<Loss>,
}

impl Rewrite {
    /// Begins to write `segment` anew. Damaged segments are not to be: what is wrong with them would be lost from sight.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new(segment: &Segment, goal: RewriteGoal) -> std::io::Result<Self> {
        let groups = plan_joins(&segment.blocks, goal.limits_for(segment)).into_iter().map(VecDeque::from);
        Ok(Self {
            goal,
            groups: groups.filter_map(|mut group| Some((group.pop_front()?, group))).collect(),
            builder: SegmentBuilder::rewritten(goal.level, segment.recovered),
            encoder: Encoder::new(i32::from(goal.level))?,
            decoder: Decoder::new()?,
            joined: Rows::for_decoding(),
            part: Rows::for_decoding(),
            bytes: Vec::new(),
        })
    }

    /// Puts the next block into `out` (cleared first), to be written behind the others; false when there is none.
    ///
    /// # Errors
    /// [`RewriteError`]: give the new file up.
    pub fn next_block(&mut self, file: &(impl ReadAt + ?Sized), out: &mut Vec<u8>) -> Result<bool, RewriteError> {
        out.clear();
        let Some((first, mut rest)) = self.groups.pop_front() else { return Ok(false) };
        let mut old = read_old(&mut self.decoder, file, &first, &mut self.bytes, &mut self.joined)?;
        if rest.is_empty() && !self.goal.recompresses(&first) {
            out.extend_from_slice(&self.bytes);
            self.builder.add(first, self.joined.sources(), &old.listeners, &old.losses);
            return Ok(true);
        }
        self.joined.set_limits(self.goal.limits);
        while let Some(next) = rest.pop_front() {
            let added = read_old(&mut self.decoder, file, &next, &mut self.bytes, &mut self.part)?;
            // Losses keep their own time: a block that has some is joined with no other.
            let is_joinable = old.losses.is_empty() && added.losses.is_empty() && old.listeners == added.listeners;
            if !is_joinable || self.joined.append_all(&self.part).is_err() {
                self.groups.push_front((next, rest));
                break;
            }
            old.header.sequence_last = added.header.sequence_last;
            old.parts.extend(added.parts);
        }
        let Old { header, parts, listeners, losses } = old;
        let entry = self.encoder.encode_joined(&mut self.joined, &header, &parts, &listeners, &losses, out)?;
        self.builder.add(entry, self.joined.sources(), &listeners, &losses);
        Ok(true)
    }

    /// Messages in the blocks that were written.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.builder.messages()
    }

    /// Index and seek table, to be written behind the last block.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn end(self) -> std::io::Result<Vec<u8>> {
        self.builder.seal()
    }
}

fn read_old(
    decoder: &mut Decoder,
    file: &(impl ReadAt + ?Sized),
    entry: &BlockEntry,
    bytes: &mut Vec<u8>,
    rows: &mut Rows,
) -> Result<Old, FormatError> {
    read_block(file, entry, bytes)?;
    let listeners = decoder.decode(bytes, rows)?;
    let (_, meta) = check_block(bytes)?;
    let (parts, losses) = (meta.parts(decoder)?, meta.losses(decoder)?);
    Ok(Old { header: meta.header, parts, listeners, losses })
}
