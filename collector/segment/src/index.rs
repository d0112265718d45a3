//! The end of a sealed file: an index of its blocks, and the standard table that lets other tools seek.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic 0x184D2A5B |
//! | 4 | 4 | bytes that follow |
//! | 8 | 4 | tag `LBIX` |
//! | 12 | 2 | version |
//! | 14 | 2 | flags: bit 0, the sources were too many and are left out; bit 1, sealed by a later run |
//! | 16 | 4 | blocks |
//! | 20 | 4 | zero |
//! | 24 | | columns: entries, sources, listeners, sources of each block, losses in total, level of a rewrite |
//! | end - 16 | 16 | trailer as in META, with 0 bytes of DATA |

use crate::column::{Column, ColumnWriter, Columns, Fields, LEVEL_FAST};
use crate::decode::Decoder;
use crate::error::FormatError;
use crate::frame::{META_MAGIC, SEEK_TABLE_MAGIC};
use crate::limits::{BLOCKS_MAX, FORMAT_VERSION, INDEX_SOURCE_REFS_MAX, INDEX_SOURCES_MAX};
use crate::meta::{
    BlockHeader, Loss, Meta, TRAILER_BYTES, check_tag, finish_frame, parse_listeners, parse_losses, parse_sources,
    put_listeners, put_losses, put_sources,
};
use crate::name::RunId;
use crate::rows::{PriSet, Source};

pub(crate) const INDEX_TAG: [u8; 4] = *b"LBIX";

/// Bytes of one entry: the fields of [`BlockEntry`] in order, padded.
pub(crate) const ENTRY_BYTES: usize = 96;

const FLAG_SOURCES_LEFT_OUT: u16 = 1;
const FLAG_RECOVERED: u16 = 2;

/// Where a block stands in its file and what it holds: enough to pass over it, or to read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockEntry {
    /// First byte of DATA, from the start of the file.
    pub offset: u64,
    /// DATA frame, bytes.
    pub data_bytes: u32,
    /// META frame, bytes.
    pub meta_bytes: u32,
    /// DATA when decompressed, bytes.
    pub content_bytes: u32,
    /// Messages.
    pub messages: u32,
    /// Which block it is.
    pub run_id: RunId,
    /// The receiver that filled it.
    pub receiver: u32,
    /// Its sequence number, or the first where a rewrite joined several.
    pub sequence_first: u64,
    /// The last sequence number.
    pub sequence_last: u64,
    /// Earliest receive time, ns since the Unix epoch.
    pub received_min_ns: u64,
    /// Latest receive time.
    pub received_max_ns: u64,
    /// PRI values that occur.
    pub pris: PriSet,
}

impl BlockEntry {
    pub(crate) fn new(meta: &Meta<'_>, offset: u64, meta_bytes: usize) -> Self {
        let BlockHeader { run_id, receiver, sequence_first, sequence_last, .. } = meta.header;
        Self {
            offset,
            data_bytes: meta.data_bytes,
            meta_bytes: meta_bytes as u32,
            content_bytes: meta.content_bytes,
            messages: meta.messages,
            run_id,
            receiver,
            sequence_first,
            sequence_last,
            received_min_ns: meta.received_min_ns,
            received_max_ns: meta.received_max_ns,
            pris: meta.pris,
        }
    }

    /// DATA and META together, bytes.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.data_bytes as usize + self.meta_bytes as usize
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        for field in [self.data_bytes, self.meta_bytes, self.content_bytes, self.messages] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.run_id.0.to_le_bytes());
        out.extend_from_slice(&self.receiver.to_le_bytes());
        for field in [self.sequence_first, self.sequence_last, self.received_min_ns, self.received_max_ns] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.pris.0);
        out.extend_from_slice(&[0; 3]);
    }

    fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        let entry = Self {
            offset: fields.u64()?,
            data_bytes: fields.u32()?,
            meta_bytes: fields.u32()?,
            content_bytes: fields.u32()?,
            messages: fields.u32()?,
            run_id: RunId(fields.u64()?),
            receiver: fields.u32()?,
            sequence_first: fields.u64()?,
            sequence_last: fields.u64()?,
            received_min_ns: fields.u64()?,
            received_max_ns: fields.u64()?,
            pris: PriSet(fields.array()?),
        };
        fields.bytes(3)?;
        Some(entry)
    }
}

/// What an index says.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) blocks: Vec<BlockEntry>,
    /// Every source of the segment and, by number, those of each block; `None` where they were too many.
    pub(crate) sources: Option<IndexSources>,
    pub(crate) listeners: Vec<String>,
    /// Losses of all blocks, summed by place and detail.
    pub(crate) losses: Vec<Loss>,
    /// The zstd level at which the segment was written anew, if it was.
    pub(crate) rewritten: Option<i8>,
    /// Sealed by a later run than the one that wrote it.
    pub(crate) recovered: bool,
}

/// The sources of a segment, and which of them each block holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexSources {
    pub(crate) all: Vec<Source>,
    /// For each block: how many, then which, as varints.
    pub(crate) by_block: Vec<u8>,
}

impl Index {
    /// Writes the index frame that stands at `offset` of the file, and the seek table behind it.
    pub(crate) fn put(&self, offset: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
        let start = out.len();
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(self.sources.is_none(), FLAG_SOURCES_LEFT_OUT) | flag(self.recovered, FLAG_RECOVERED);
        out.extend_from_slice(&META_MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]); // Stated by `finish_frame`.
        out.extend_from_slice(&INDEX_TAG);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let mut columns = ColumnWriter::new(LEVEL_FAST)?;
        let mut column = Vec::with_capacity(self.blocks.len() * ENTRY_BYTES);
        for entry in &self.blocks {
            entry.put(&mut column);
        }
        columns.put(out, Column::Entries, &column)?;
        if let Some(sources) = &self.sources {
            column.clear();
            put_sources(&mut column, &sources.all);
            columns.put(out, Column::Sources, &column)?;
            columns.put(out, Column::BlockSources, &sources.by_block)?;
        }
        column.clear();
        put_listeners(&mut column, &self.listeners);
        columns.put(out, Column::Listeners, &column)?;
        column.clear();
        put_losses(&mut column, &self.losses);
        columns.put(out, Column::Losses, &column)?;
        if let Some(level) = self.rewritten {
            columns.put(out, Column::Rewritten, &level.to_le_bytes())?;
        }
        finish_frame(out, start, start);
        let index_bytes = out.len() - start;
        put_seek_table(out, &self.blocks, offset, index_bytes);
        Ok(())
    }

    /// Decodes a whole index frame whose checksum was verified.
    pub(crate) fn parse(frame: &[u8], decoder: &mut Decoder) -> Result<Self, FormatError> {
        let mut fields = Fields::new(&frame[..frame.len() - TRAILER_BYTES]);
        let head =
            (|| Some((fields.u64()?, fields.array()?, fields.u16()?, fields.u16()?, fields.u32()?, fields.u32()?)))();
        let Some((_magic_and_bytes, tag, version, flags, blocks, _zero)) = head else {
            return Err(FormatError::Frame("the index is cut short"));
        };
        check_tag(tag, INDEX_TAG, version)?;
        let columns = Columns::parse(fields.rest())?;
        Ok(Self {
            blocks: parse_entries(decoder.expand(columns, Column::Entries)?, blocks as usize)?,
            sources: if flags & FLAG_SOURCES_LEFT_OUT == 0 {
                Some(IndexSources {
                    all: parse_sources(decoder.expand(columns, Column::Sources)?, INDEX_SOURCES_MAX)?,
                    by_block: decoder.expand(columns, Column::BlockSources)?.to_vec(),
                })
            } else {
                None
            },
            listeners: parse_listeners(decoder.expand(columns, Column::Listeners)?)?,
            losses: parse_losses(decoder.expand(columns, Column::Losses)?)?,
            recovered: flags & FLAG_RECOVERED != 0,
            rewritten: decoder.expand(columns, Column::Rewritten)?.first().map(|level| i8::from_le_bytes([*level])),
        })
    }
}

fn parse_entries(column: &[u8], blocks: usize) -> Result<Vec<BlockEntry>, FormatError> {
    if blocks > BLOCKS_MAX || column.len() != blocks * ENTRY_BYTES {
        return Err(FormatError::Columns("the index has another number of blocks than it says"));
    }
    let mut fields = Fields::new(column);
    let mut entries = Vec::with_capacity(blocks);
    let mut end = 0;
    while let Some(entry) = BlockEntry::parse(&mut fields) {
        if entry.offset < end {
            return Err(FormatError::Columns("the index has blocks that overlap"));
        }
        end = entry.offset.saturating_add(entry.block_bytes() as u64);
        entries.push(entry);
    }
    Ok(entries)
}

/// Keeps (block, source) pairs within the index's limits while a segment grows.
pub(crate) fn sources_fit(all: usize, refs: usize) -> bool {
    all <= INDEX_SOURCES_MAX && refs <= INDEX_SOURCE_REFS_MAX
}

const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const SEEK_FOOTER_BYTES: usize = 9;
const SEEK_ENTRY_BYTES: usize = 8;

/// The seekable format's table: a skippable frame with one entry for every frame of the file before it, and one for damage
/// between them, so that the sizes add up to where each frame stands.
pub(crate) fn put_seek_table(out: &mut Vec<u8>, blocks: &[BlockEntry], index_offset: u64, index_bytes: usize) {
    let mut entries: Vec<(u32, u32)> = Vec::with_capacity(blocks.len() * 2 + 1);
    let mut end = 0;
    let mut skip_to = |entries: &mut Vec<(u32, u32)>, offset: u64, bytes: u64| {
        let mut gap = offset.saturating_sub(end);
        while gap > 0 {
            let piece = u32::try_from(gap).unwrap_or(u32::MAX);
            entries.push((piece, 0));
            gap -= u64::from(piece);
        }
        end = offset.saturating_add(bytes);
    };
    for block in blocks {
        skip_to(&mut entries, block.offset, block.block_bytes() as u64);
        entries.extend([(block.data_bytes, block.content_bytes), (block.meta_bytes, 0)]);
    }
    skip_to(&mut entries, index_offset, 0);
    entries.push((index_bytes as u32, 0));
    out.extend_from_slice(&SEEK_TABLE_MAGIC.to_le_bytes());
    out.extend_from_slice(&((entries.len() * SEEK_ENTRY_BYTES + SEEK_FOOTER_BYTES) as u32).to_le_bytes());
    for (stored_bytes, content_bytes) in &entries {
        out.extend_from_slice(&stored_bytes.to_le_bytes());
        out.extend_from_slice(&content_bytes.to_le_bytes());
    }
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    out.push(0); // Descriptor: no checksum in each entry.
    out.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
}

/// Size of the seek table that ends a file, bytes, from the file's last nine; `None` when they are no footer.
pub(crate) fn seek_table_bytes(footer: &[u8; SEEK_FOOTER_BYTES]) -> Option<u64> {
    let mut fields = Fields::new(footer);
    let (frames, descriptor, magic) = (fields.u32()?, fields.u8()?, fields.u32()?);
    let frames = (magic == SEEKABLE_MAGIC && descriptor == 0).then_some(frames)?;
    Some(8 + u64::from(frames) * SEEK_ENTRY_BYTES as u64 + SEEK_FOOTER_BYTES as u64)
}
