//! A block back to rows, byte for byte.

use crate::column::{Column, ColumnReader, Columns, Fields, unzigzag};
use crate::encode::NEWLINE_SUBSTITUTE;
use crate::error::FormatError;
use crate::index::BlockEntry;
use crate::meta::{Loss, Meta, check_crc};
use crate::rows::{Flags, RowLimits, Rows, Source};

/// What of a block's messages is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadColumns {
    /// Receive times.
    pub times: bool,
    /// Who sent them, and to which listener.
    pub sources: bool,
    /// PRI values.
    pub pris: bool,
}

/// What is known of the messages of a block beside their text; by row. What was not asked is empty.
#[derive(Debug, Default)]
pub struct Heads {
    /// How many there are.
    pub messages: usize,
    /// Receive time, ns since the Unix epoch.
    pub received_ns: Vec<u64>,
    /// Index into [`Heads::sources`].
    pub source_ids: Vec<u16>,
    /// PRI value, or [`PRI_NONE`](crate::PRI_NONE).
    pub pris: Vec<u8>,
    /// The block's sources.
    pub sources: Vec<Source>,
    /// URLs of the listeners that these name.
    pub listeners: Vec<String>,
}

/// Decodes blocks; holds the decompressors' memory, so keep one per thread.
pub struct Decoder {
    data: zstd::bulk::Decompressor<'static>,
    columns: ColumnReader,
    column: Vec<u8>,
}

impl Decoder {
    /// A decoder.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { data: zstd::bulk::Decompressor::new()?, columns: ColumnReader::new()?, column: Vec::new() })
    }

    pub(crate) fn expand(&mut self, columns: Columns<'_>, id: Column) -> Result<&[u8], FormatError> {
        self.columns.expand(columns, id, &mut self.column)?;
        Ok(&self.column)
    }

    /// Restores the messages of a block, DATA and META as they stand in the file, into `rows`, and its listeners.
    ///
    /// Asks for at most [`CONTENT_BYTES_MAX`](crate::limits::CONTENT_BYTES_MAX) and
    /// [`EXPANDED_BYTES_MAX`](crate::limits::EXPANDED_BYTES_MAX) of memory, whatever the bytes say.
    ///
    /// # Errors
    /// [`FormatError`]; `rows` is then empty.
    pub fn decode(&mut self, block: &[u8], rows: &mut Rows) -> Result<Vec<String>, FormatError> {
        self.decode_if(block, rows, |_| true).map(Option::unwrap_or_default)
    }

    /// As [`Decoder::decode`], if `wants` says yes to the text of the whole block: one line for each message, an LF inside
    /// replaced by 0x1E. `None` if it says no, at less cost; `rows` is then empty.
    ///
    /// # Errors
    /// [`FormatError`]; `rows` is then empty.
    pub fn decode_if(
        &mut self,
        block: &[u8],
        rows: &mut Rows,
        wants: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<Vec<String>>, FormatError> {
        rows.clear();
        let decoded = self.decode_into(block, rows, wants);
        if !matches!(decoded, Ok(Some(_))) {
            rows.clear();
        }
        decoded
    }

    /// Restores what is asked of the messages of a block but for their text, which is not decompressed; also its sources and
    /// listeners.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn decode_heads(&mut self, block: &[u8], asked: HeadColumns, heads: &mut Heads) -> Result<(), FormatError> {
        let (_, meta) = check_block(block)?;
        let count = meta.messages as usize;
        *heads = Heads { messages: count, ..Heads::default() };
        if asked.times {
            let mut received_ns = meta.received_min_ns;
            read_varints(self.expand(meta.columns, Column::Time)?, count, &mut heads.received_ns, |code| {
                received_ns = unzigzag(received_ns, code);
                Some(received_ns)
            })?;
        }
        if asked.sources {
            let ids = self.expand(meta.columns, Column::Source)?;
            read_varints(ids, count, &mut heads.source_ids, |id| u16::try_from(id).ok())?;
            (heads.sources, heads.listeners) = (meta.sources(self)?, meta.listeners(self)?);
            if heads.source_ids.iter().any(|id| usize::from(*id) >= heads.sources.len()) {
                return Err(FormatError::Columns("a message names a source that META does not hold"));
            }
            if heads.sources.iter().any(|source| usize::from(source.listener) >= heads.listeners.len()) {
                return Err(FormatError::Columns("a source names a listener that META does not hold"));
            }
        }
        if asked.pris {
            heads.pris.extend_from_slice(self.expand(meta.columns, Column::Pri)?);
            if heads.pris.len() != count {
                return Err(FormatError::Columns("a column has another number of rows than META says"));
            }
        }
        Ok(())
    }

    /// As [`Decoder::decode`], but of a joined block only the messages of `wanted`, one of the blocks it was joined from or
    /// several that follow each other.
    ///
    /// # Errors
    /// [`FormatError`]; `rows` is then empty.
    pub fn decode_part(
        &mut self,
        block: &[u8],
        wanted: &BlockEntry,
        rows: &mut Rows,
    ) -> Result<Vec<String>, FormatError> {
        let listeners = self.decode(block, rows)?;
        let (_, meta) = check_block(block)?;
        let (mut sequence, mut before, mut count) = (meta.header.sequence_first, 0, 0);
        for part in meta.parts(self)? {
            if sequence < wanted.sequence_first {
                before += part.messages as usize;
            } else if sequence <= wanted.sequence_last {
                count += part.messages as usize;
            }
            sequence = sequence.saturating_add(1);
        }
        rows.keep(before, count);
        Ok(listeners)
    }

    /// What a block tells of losses, and the listeners that these name.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn decode_losses(&mut self, block: &[u8]) -> Result<(Vec<Loss>, Vec<String>), FormatError> {
        let (_, meta) = check_block(block)?;
        Ok((meta.losses(self)?, meta.listeners(self)?))
    }

    fn decode_into(
        &mut self,
        block: &[u8],
        rows: &mut Rows,
        wants: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<Vec<String>>, FormatError> {
        let (data, meta) = check_block(block)?;
        let content_bytes = meta.content_bytes as usize;
        rows.content.resize(content_bytes, 0);
        let decompressed = self.data.decompress_to_buffer(data, rows.content.as_mut_slice());
        if decompressed.map_err(FormatError::Data)? != content_bytes {
            return Err(FormatError::Frame("DATA holds less than META says"));
        }
        if !wants(&rows.content) {
            return Ok(None);
        }
        self.read_rows(&meta, rows)?;
        rows.sources = meta.sources(self)?;
        let listeners = meta.listeners(self)?;
        check_rows(rows, listeners.len())?;
        self.restore_content(&meta, rows)?;
        rows.needs_line_ends = true;
        Ok(Some(listeners))
    }

    fn read_rows(&mut self, meta: &Meta<'_>, rows: &mut Rows) -> Result<(), FormatError> {
        let count = meta.messages as usize;
        let mut received_ns = meta.received_min_ns;
        let times = self.expand(meta.columns, Column::Time)?;
        read_varints(times, count, &mut rows.received_ns, |code| {
            received_ns = unzigzag(received_ns, code);
            Some(received_ns)
        })?;
        let source_ids = self.expand(meta.columns, Column::Source)?;
        read_varints(source_ids, count, &mut rows.source_ids, |id| u16::try_from(id).ok())?;
        let lengths = self.expand(meta.columns, Column::Length)?;
        read_varints(lengths, count, &mut rows.lengths, |length| u32::try_from(length).ok())?;
        rows.pris.extend_from_slice(self.expand(meta.columns, Column::Pri)?);
        rows.flags.extend_from_slice(self.expand(meta.columns, Column::Flags)?);
        if rows.pris.len() != count || rows.flags.len() != count {
            return Err(FormatError::Columns("a column has another number of rows than META says"));
        }
        let truncated = rows.flags.iter().filter(|flags| Flags(**flags).has(Flags::TRUNCATED)).count();
        let original_lengths = self.expand(meta.columns, Column::OriginalLength)?;
        read_varints(original_lengths, truncated, &mut rows.original_lengths, |length| u32::try_from(length).ok())
    }

    /// Puts LF back where it was replaced, and NUL where it was moved into a flag.
    fn restore_content(&mut self, meta: &Meta<'_>, rows: &mut Rows) -> Result<(), FormatError> {
        let mut newlines = Fields::new(self.expand(meta.columns, Column::Newlines)?);
        let mut at = 0usize;
        while !newlines.is_empty() {
            let distance = newlines.varint().and_then(|distance| usize::try_from(distance).ok());
            at = distance.and_then(|distance| at.checked_add(distance)).unwrap_or(usize::MAX);
            match rows.content.get_mut(at) {
                Some(byte) if *byte == NEWLINE_SUBSTITUTE => *byte = b'\n',
                _ => return Err(FormatError::Columns("a replaced LF is not where META says")),
            }
        }
        let mut end = 0;
        for (length, flags) in rows.lengths.iter().zip(&rows.flags) {
            end += *length as usize;
            if Flags(*flags).has(Flags::ENDED_NUL) {
                rows.content[end] = 0;
            }
            end += 1;
        }
        Ok(())
    }
}

/// Checks that `block` is one whole DATA and META, and returns them; decompresses nothing.
///
/// # Errors
/// [`FormatError`] when checksum, version or sizes are wrong.
pub fn check_block(block: &[u8]) -> Result<(&[u8], Meta<'_>), FormatError> {
    let trailer = check_crc(block)?;
    let (data, meta) = block
        .split_at_checked(trailer.data_bytes as usize)
        .ok_or(FormatError::Frame("the trailer states more DATA than there is"))?;
    Ok((data, Meta::parse(meta)?))
}

fn read_varints<T>(
    column: &[u8],
    count: usize,
    out: &mut Vec<T>,
    mut convert: impl FnMut(u64) -> Option<T>,
) -> Result<(), FormatError> {
    let mut fields = Fields::new(column);
    for _ in 0..count {
        let value = fields.varint().and_then(&mut convert);
        out.push(value.ok_or(FormatError::Columns("a column is cut short or out of range"))?);
    }
    if fields.is_empty() { Ok(()) } else { Err(FormatError::Columns("a column has more rows than META says")) }
}

/// Every row lies in the content, ends at a line end, and names a source and listener that exist.
fn check_rows(rows: &Rows, listeners: usize) -> Result<(), FormatError> {
    let mut end = 0usize;
    for length in &rows.lengths {
        end += *length as usize;
        if rows.content.get(end) != Some(&b'\n') {
            return Err(FormatError::Columns("a message does not end where META says"));
        }
        end += 1;
    }
    if end != rows.content.len() {
        return Err(FormatError::Columns("DATA holds more than META says"));
    }
    if rows.source_ids.iter().any(|id| usize::from(*id) >= rows.sources.len()) {
        return Err(FormatError::Columns("a message names a source that META does not hold"));
    }
    if rows.sources.iter().any(|source| usize::from(source.listener) >= listeners) {
        return Err(FormatError::Columns("a source names a listener that META does not hold"));
    }
    Ok(())
}

impl Rows {
    /// Rows to decode into: no limits of their own, because the decoder bounds what it accepts.
    #[must_use]
    pub fn for_decoding() -> Self {
        Self::new(RowLimits::NONE)
    }
}
