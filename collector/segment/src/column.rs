//! Columns: one small byte string each, stored raw, compressed, or as one repeated value.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | id |
//! | 1 | 1 | encoding: 0 raw, 1 one zstd frame, 2 the stored bytes repeated until `expanded` is reached |
//! | 2 | 2 | zero |
//! | 4 | 4 | expanded, bytes |
//! | 8 | 4 | stored, bytes |
//! | 12 | stored | the column |

use crate::error::FormatError;
use crate::limits::EXPANDED_BYTES_MAX;

/// What a column holds. Readers pass over ids they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Column {
    /// Rows: zigzag varint of the receive time minus the row before's; the first row's minus the block's minimum.
    Time = 1,
    /// Rows: varint index into [`Column::Sources`].
    Source = 2,
    /// Rows: varint length in DATA without the line end, bytes.
    Length = 3,
    /// Rows: one byte of PRI, 255 for none.
    Pri = 4,
    /// Rows: one byte of [`crate::Flags`].
    Flags = 5,
    /// Varint distances between the 0x1E bytes of DATA that stand for LF; the first is its offset.
    Newlines = 6,
    /// Varint original length, bytes, of each row with [`crate::Flags::TRUNCATED`].
    OriginalLength = 7,
    /// Dictionary: family (0 none, 4, 6), address (0, 4, 16 bytes), port u16, listener u8.
    Sources = 8,
    /// Dictionary: length u16 and UTF-8 URL of each listener.
    Listeners = 9,
    /// Losses since the previous block of the same receiver: place u8, detail u8, messages u64.
    Losses = 10,
    /// Index: one fixed entry a block.
    Entries = 11,
    /// Index: for each block the varint number of its sources, then varint indices into [`Column::Sources`].
    BlockSources = 12,
    /// A joined block: for each of its parts the varint number of its messages, and the zigzag varint of its boot-time
    /// clock minus that of the part before (of the first: minus the block's).
    Parts = 13,
    /// Index of a rewritten segment: the zstd level of the rewrite, one signed byte.
    Rewritten = 14,
}

const HEAD_BYTES: usize = 12;

const RAW: u8 = 0;
const ZSTD: u8 = 1;
const REPEATED: u8 = 2;

/// Below this, a zstd frame's own 10 to 13 bytes eat the gain.
const ZSTD_WORTH_BYTES: usize = 48;

/// On the data path columns gain little from higher levels.
pub(crate) const LEVEL_FAST: i32 = 1;

/// Writes columns behind a frame's fixed fields.
pub(crate) struct ColumnWriter {
    compressor: zstd::bulk::Compressor<'static>,
    compressed: Vec<u8>,
    expanded_bytes: usize,
}

impl ColumnWriter {
    /// A writer at `level`, on zstd's own scale.
    pub(crate) fn new(level: i32) -> std::io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        compressor.include_checksum(false)?; // The frame's own CRC32C covers it.
        Ok(Self { compressor, compressed: Vec::new(), expanded_bytes: 0 })
    }

    /// Starts a new frame: what the columns written from here on expand to is counted from zero.
    pub(crate) fn start(&mut self) {
        self.expanded_bytes = 0;
    }

    /// Bytes that a reader must hold for all columns written since [`ColumnWriter::start`].
    pub(crate) fn expanded_bytes(&self) -> usize {
        self.expanded_bytes
    }

    /// Writes `bytes` in the smaller of raw and zstd form; nothing for an empty column.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, id: Column, bytes: &[u8]) -> std::io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.expanded_bytes += bytes.len();
        if bytes.len() >= ZSTD_WORTH_BYTES {
            self.compressed.clear();
            self.compressed.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
            self.compressor.compress_to_buffer(bytes, &mut self.compressed)?;
            if self.compressed.len() < bytes.len() {
                put_column(out, id, ZSTD, bytes.len(), &self.compressed);
                return Ok(());
            }
        }
        put_column(out, id, RAW, bytes.len(), bytes);
        Ok(())
    }

    /// Writes a column that holds `value` `count` times.
    pub(crate) fn put_repeated(&mut self, out: &mut Vec<u8>, id: Column, value: &[u8], count: usize) {
        let expanded = value.len() * count;
        self.expanded_bytes += expanded;
        put_column(out, id, REPEATED, expanded, value);
    }
}

fn put_column(out: &mut Vec<u8>, id: Column, encoding: u8, expanded: usize, stored: &[u8]) {
    out.extend_from_slice(&[id as u8, encoding, 0, 0]);
    out.extend_from_slice(&(expanded as u32).to_le_bytes());
    out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    out.extend_from_slice(stored);
}

/// The columns of one frame as stored, checked to lie within it and within the expanded limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Columns<'a>(&'a [u8]);

impl<'a> Columns<'a> {
    pub(crate) fn parse(stored: &'a [u8]) -> Result<Self, FormatError> {
        let mut rest = stored;
        let mut expanded_bytes = 0usize;
        while !rest.is_empty() {
            let (head, after) = StoredColumn::split(rest).ok_or(FormatError::Columns("a column is cut short"))?;
            expanded_bytes = expanded_bytes.saturating_add(head.expanded_bytes);
            rest = after;
        }
        if expanded_bytes > EXPANDED_BYTES_MAX {
            return Err(FormatError::TooLarge {
                what: "columns expanded",
                bytes: expanded_bytes as u64,
                limit: EXPANDED_BYTES_MAX as u64,
            });
        }
        Ok(Self(stored))
    }

    fn find(self, id: Column) -> Option<StoredColumn<'a>> {
        let mut rest = self.0;
        while let Some((column, after)) = StoredColumn::split(rest) {
            if column.id == id as u8 {
                return Some(column);
            }
            rest = after;
        }
        None
    }
}

/// Expands columns, one at a time; holds the decompressor's memory.
pub(crate) struct ColumnReader(zstd::bulk::Decompressor<'static>);

impl ColumnReader {
    pub(crate) fn new() -> std::io::Result<Self> {
        zstd::bulk::Decompressor::new().map(Self)
    }

    /// Expands column `id` into `out`; empty when the frame has none. [`Columns::parse`] has bounded the size.
    pub(crate) fn expand(&mut self, columns: Columns<'_>, id: Column, out: &mut Vec<u8>) -> Result<(), FormatError> {
        out.clear();
        let Some(column) = columns.find(id) else { return Ok(()) };
        match column.encoding {
            RAW => out.extend_from_slice(column.stored),
            ZSTD => {
                // A slice, not the Vec: zstd fills a Vec up to its capacity, which may be more than was asked for.
                out.resize(column.expanded_bytes, 0);
                let expanded = self.0.decompress_to_buffer(column.stored, out.as_mut_slice());
                out.truncate(expanded.unwrap_or(0));
            }
            REPEATED => match column.stored {
                [] => return Err(FormatError::Columns("a column repeats nothing")),
                [byte] => out.resize(column.expanded_bytes, *byte),
                value => (0..column.expanded_bytes.div_ceil(value.len())).for_each(|_| out.extend_from_slice(value)),
            },
            _ => return Err(FormatError::Columns("a column has an unknown encoding")),
        }
        if out.len() == column.expanded_bytes {
            Ok(())
        } else {
            Err(FormatError::Columns("a column does not expand to its stated size"))
        }
    }
}

struct StoredColumn<'a> {
    id: u8,
    encoding: u8,
    expanded_bytes: usize,
    stored: &'a [u8],
}

impl<'a> StoredColumn<'a> {
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let mut head = Fields::new(head);
        let (id, encoding) = (head.u8()?, head.u8()?);
        head.u16()?;
        let (expanded_bytes, stored_bytes) = (head.u32()? as usize, head.u32()? as usize);
        let (stored, rest) = rest.split_at_checked(stored_bytes)?;
        Some((Self { id, encoding, expanded_bytes, stored }, rest))
    }
}

/// Reads little-endian integers and varints from the front of a byte string; `None` where it ends too early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// LEB128; at most ten bytes and no bit beyond the 64th.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Signed differences of unsigned values, small either way (the clock may step back): 0, -1, 1, -2 become 0, 1, 2, 3.
pub(crate) fn zigzag(from: u64, to: u64) -> u64 {
    let delta = to.wrapping_sub(from) as i64;
    ((delta << 1) ^ (delta >> 63)) as u64
}

/// Inverse of [`zigzag`]: the value that lies `code` behind or before `from`.
pub(crate) fn unzigzag(from: u64, code: u64) -> u64 {
    let delta = (code >> 1) as i64 ^ -((code & 1) as i64);
    from.wrapping_add(delta as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let too_long = [0xFF; 11];
        assert_eq!(Fields::new(&too_long).varint(), None);
        let too_large = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02];
        assert_eq!(Fields::new(&too_large).varint(), None);
        let largest = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        assert_eq!(Fields::new(&largest).varint(), Some(u64::MAX));
    }

    #[test]
    fn columns_that_would_expand_beyond_the_limit_are_refused_before_expanding() {
        let mut stored = Vec::new();
        put_column(&mut stored, Column::Pri, REPEATED, EXPANDED_BYTES_MAX, &[1]);
        assert!(Columns::parse(&stored).is_ok());
        put_column(&mut stored, Column::Flags, REPEATED, 1, &[1]);
        assert!(matches!(Columns::parse(&stored), Err(FormatError::TooLarge { .. })));
    }

    #[test]
    fn an_unknown_column_is_passed_over() {
        let mut stored = vec![200, 77, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 1, 2];
        put_column(&mut stored, Column::Pri, RAW, 2, &[5, 6]);
        let mut out = Vec::new();
        ColumnReader::new().unwrap().expand(Columns::parse(&stored).unwrap(), Column::Pri, &mut out).unwrap();
        assert_eq!(out, [5, 6]);
    }

    proptest! {
        #[test]
        fn varints_and_differences_come_back(from: u64, to: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, zigzag(from, to));
            prop_assert!(out.len() <= 10);
            let mut fields = Fields::new(&out);
            prop_assert_eq!(unzigzag(from, fields.varint().unwrap()), to);
            prop_assert!(fields.is_empty());
        }

        #[test]
        fn any_column_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..2000), count in 1usize..50) {
            let mut writer = ColumnWriter::new(LEVEL_FAST).unwrap();
            let (mut stored, mut out) = (Vec::new(), Vec::new());
            writer.put(&mut stored, Column::Length, &bytes).unwrap();
            writer.put_repeated(&mut stored, Column::Source, &[1, 2, 3], count);
            let columns = Columns::parse(&stored).unwrap();
            let mut reader = ColumnReader::new().unwrap();
            reader.expand(columns, Column::Length, &mut out).unwrap();
            prop_assert_eq!(&out, &bytes);
            reader.expand(columns, Column::Source, &mut out).unwrap();
            prop_assert_eq!(out, [1, 2, 3].repeat(count));
        }

        #[test]
        fn no_bytes_make_the_column_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(columns) = Columns::parse(&bytes) {
                let mut out = Vec::new();
                for id in [Column::Time, Column::Source, Column::Length, Column::Entries] {
                    let _ = ColumnReader::new().unwrap().expand(columns, id, &mut out);
                }
            }
        }
    }
}
