//! Rows to DATA and META.

use std::io;

use memchr::memchr_iter;

use crate::column::{Column, ColumnWriter, LEVEL_FAST, put_varint, zigzag};
use crate::frame::ZSTD_MAGIC;
use crate::limits::{CONTENT_BYTES_MAX, EXPANDED_BYTES_MAX, LISTENERS_MAX, ROWS_MAX};
use crate::meta::{
    BlockHeader, Loss, Meta, Part, finish_frame, put_fixed, put_listeners, put_losses, put_parts, put_sources,
};
use crate::rows::{PriSet, Rows};
use crate::{BlockEntry, column::Columns};

/// What stands in DATA for an LF inside a message: RECORD SEPARATOR, rarer in logs than any printable byte.
pub(crate) const NEWLINE_SUBSTITUTE: u8 = 0x1E;

/// Why rows could not be encoded; nothing was written to the output.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// zstd refused, for want of memory.
    #[error("zstd: {0}")]
    Zstd(#[from] io::Error),
    /// The rows are beyond a limit of the format.
    #[error("{what}: {found}, but the format allows at most {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

/// How DATA is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// At the encoder's level.
    Level,
    /// Not at all: a zstd frame of literals, an order of magnitude faster.
    None,
}

/// Encodes blocks; holds the compressors' memory, so keep one per thread.
pub struct Encoder {
    data: zstd::bulk::Compressor<'static>,
    level: i32,
    compression: Compression,
    columns: ColumnWriter,
    column: Vec<u8>,
    newlines: Vec<u32>,
}

impl Encoder {
    /// An encoder that compresses DATA at `level` (zstd's own scale).
    ///
    /// # Errors
    /// When zstd has no memory or no such level.
    pub fn new(level: i32) -> io::Result<Self> {
        let mut data = zstd::bulk::Compressor::new(level)?;
        data.include_contentsize(true)?;
        data.include_checksum(true)?;
        Ok(Self {
            data,
            level,
            compression: Compression::Level,
            columns: ColumnWriter::new(level.max(LEVEL_FAST))?,
            column: Vec::new(),
            newlines: Vec::new(),
        })
    }

    /// Compresses DATA so from the next block on.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn set_compression(&mut self, compression: Compression) -> io::Result<()> {
        if compression != self.compression {
            self.data.set_compression_level(match compression {
                Compression::Level => self.level,
                // Its fastest level: it looks for matches so rarely that it finds none.
                Compression::None => zstd::zstd_safe::min_c_level(),
            })?;
            self.compression = compression;
        }
        Ok(())
    }

    /// Writes DATA and META of `rows` to `out`, which is cleared first. `listeners` are those that the rows' sources
    /// name by index. Line ends are put into the rows' content, which is then good only to be cleared.
    ///
    /// Returns the block's entry with offset 0: where it stands in a file is not known here.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` is then empty.
    pub fn encode(
        &mut self,
        rows: &mut Rows,
        header: &BlockHeader,
        listeners: &[String],
        losses: &[Loss],
        out: &mut Vec<u8>,
    ) -> Result<BlockEntry, EncodeError> {
        self.encode_joined(rows, header, &[], listeners, losses, out)
    }

    /// As [`Encoder::encode`], for a block that was joined from `parts`: one for each sequence number of `header`.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` is then empty.
    pub fn encode_joined(
        &mut self,
        rows: &mut Rows,
        header: &BlockHeader,
        parts: &[Part],
        listeners: &[String],
        losses: &[Loss],
        out: &mut Vec<u8>,
    ) -> Result<BlockEntry, EncodeError> {
        out.clear();
        let encoded = self.encode_into(rows, header, parts, listeners, losses, out);
        if encoded.is_err() {
            out.clear();
        }
        encoded
    }

    fn encode_into(
        &mut self,
        rows: &mut Rows,
        header: &BlockHeader,
        parts: &[Part],
        listeners: &[String],
        losses: &[Loss],
        out: &mut Vec<u8>,
    ) -> Result<BlockEntry, EncodeError> {
        check_limit("messages in a block", rows.len(), ROWS_MAX)?;
        check_limit("content of a block, bytes", rows.content.len(), CONTENT_BYTES_MAX)?;
        check_limit("listeners of a block", listeners.len(), LISTENERS_MAX)?;
        self.put_line_ends(rows);
        out.reserve(zstd::zstd_safe::compress_bound(rows.content.len()));
        self.data.compress_to_buffer(&rows.content, out)?;
        debug_assert_eq!(out[..4], ZSTD_MAGIC.to_le_bytes());

        let meta = summarize(rows, header, out.len());
        put_fixed(out, &meta);
        self.columns.start();
        self.put_rows(out, rows, meta.received_min_ns)?;
        self.put_dictionaries(out, rows, listeners, losses)?;
        if parts.len() > 1 {
            self.column.clear();
            put_parts(&mut self.column, header.boot_ns, parts);
            self.columns.put(out, Column::Parts, &self.column)?;
        }
        check_limit("columns of a block, bytes", self.columns.expanded_bytes(), EXPANDED_BYTES_MAX)?;
        finish_frame(out, 0, meta.data_bytes as usize);
        Ok(BlockEntry::new(&meta, 0, out.len() - meta.data_bytes as usize))
    }

    /// Makes every message one line: LF where a NUL was moved into a flag, and the substitute for LF inside.
    fn put_line_ends(&mut self, rows: &mut Rows) {
        self.newlines.clear();
        if !rows.needs_line_ends {
            return;
        }
        let mut start = 0;
        for length in &rows.lengths {
            let end = start + *length as usize;
            let first = self.newlines.len();
            self.newlines.extend(memchr_iter(b'\n', &rows.content[start..end]).map(|at| (start + at) as u32));
            for at in &self.newlines[first..] {
                rows.content[*at as usize] = NEWLINE_SUBSTITUTE;
            }
            rows.content[end] = b'\n';
            start = end + 1;
        }
    }

    fn put_rows(&mut self, out: &mut Vec<u8>, rows: &Rows, received_min_ns: u64) -> io::Result<()> {
        let mut previous_ns = received_min_ns;
        let times = rows.received_ns.iter().map(|ns| zigzag(std::mem::replace(&mut previous_ns, *ns), *ns));
        put_varints(&mut self.columns, &mut self.column, out, Column::Time, times)?;
        let source_ids = rows.source_ids.iter().map(|id| u64::from(*id));
        put_varints(&mut self.columns, &mut self.column, out, Column::Source, source_ids)?;
        let lengths = rows.lengths.iter().map(|length| u64::from(*length));
        put_varints(&mut self.columns, &mut self.column, out, Column::Length, lengths)?;
        put_bytes(&mut self.columns, out, Column::Pri, &rows.pris)?;
        put_bytes(&mut self.columns, out, Column::Flags, &rows.flags)?;
        let mut previous = 0;
        let newlines = self.newlines.iter().map(|at| u64::from(*at - std::mem::replace(&mut previous, *at)));
        put_varints(&mut self.columns, &mut self.column, out, Column::Newlines, newlines)?;
        let original_lengths = rows.original_lengths.iter().map(|length| u64::from(*length));
        put_varints(&mut self.columns, &mut self.column, out, Column::OriginalLength, original_lengths)
    }

    fn put_dictionaries(
        &mut self,
        out: &mut Vec<u8>,
        rows: &Rows,
        listeners: &[String],
        losses: &[Loss],
    ) -> io::Result<()> {
        self.column.clear();
        put_sources(&mut self.column, &rows.sources);
        self.columns.put(out, Column::Sources, &self.column)?;
        self.column.clear();
        put_listeners(&mut self.column, listeners);
        self.columns.put(out, Column::Listeners, &self.column)?;
        self.column.clear();
        put_losses(&mut self.column, losses);
        self.columns.put(out, Column::Losses, &self.column)
    }
}

fn check_limit(what: &'static str, found: usize, limit: usize) -> Result<(), EncodeError> {
    if found > limit { Err(EncodeError::TooLarge { what, found, limit }) } else { Ok(()) }
}

fn summarize(rows: &Rows, header: &BlockHeader, data_bytes: usize) -> Meta<'static> {
    Meta {
        header: *header,
        messages: rows.len() as u32,
        content_bytes: rows.content.len() as u32,
        received_min_ns: rows.received_ns.iter().copied().min().unwrap_or(header.noted_ns),
        received_max_ns: rows.received_ns.iter().copied().max().unwrap_or(header.noted_ns),
        pris: rows.pris.iter().copied().collect::<PriSet>(),
        data_bytes: data_bytes as u32,
        columns: Columns::default(),
    }
}

/// One sender, one length, one time: a column of equal values is stored once.
fn put_varints(
    columns: &mut ColumnWriter,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
    id: Column,
    mut values: impl ExactSizeIterator<Item = u64>,
) -> io::Result<()> {
    let count = values.len();
    let Some(first) = values.next() else { return Ok(()) };
    scratch.clear();
    put_varint(scratch, first);
    let first_bytes = scratch.len();
    let mut equal = true;
    for value in values {
        equal &= value == first;
        put_varint(scratch, value);
    }
    if equal && count > 1 {
        columns.put_repeated(out, id, &scratch[..first_bytes], count);
        return Ok(());
    }
    columns.put(out, id, scratch)
}

fn put_bytes(columns: &mut ColumnWriter, out: &mut Vec<u8>, id: Column, bytes: &[u8]) -> io::Result<()> {
    match bytes {
        [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|byte| byte == first) => {
            columns.put_repeated(out, id, &[*first], bytes.len());
            Ok(())
        }
        _ => columns.put(out, id, bytes),
    }
}
