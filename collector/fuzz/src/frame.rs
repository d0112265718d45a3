//! META and index frames, taken apart and put together again with sizes and checksum as they must be: a CRC32C stands
//! before everything else that is decoded, and no fuzzer guesses one. After `docs/segment-format.md`, and not with the
//! code of the crate that is tried.

const META_MAGIC: [u8; 4] = 0x184D_2A5B_u32.to_le_bytes();
const INDEX_TAG: &[u8] = b"LBIX";
const TRAILER_TAG: &[u8] = b"LBTR";
const TRAILER_BYTES: usize = 16;

/// Magic and the size of what follows.
const HEAD_BYTES: usize = 8;
const BLOCK_FIELDS_BYTES: usize = 104 - HEAD_BYTES;
const INDEX_FIELDS_BYTES: usize = 24 - HEAD_BYTES;
/// Where a block's fields state its content.
const CONTENT_BYTES_AT: usize = 72 - HEAD_BYTES;

const RAW: u8 = 0;
const REPEATED: u8 = 2;

/// A META frame with what stands before it, or an index.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// DATA of a block; before an index, whatever is there.
    pub data: Vec<u8>,
    /// From the tag to the columns.
    pub fields: Vec<u8>,
    /// The columns.
    pub columns: Vec<Column>,
    /// Bytes behind them that are no whole column.
    pub rest: Vec<u8>,
}

/// A column as stored; its stored size is not kept, so that it is always right.
#[derive(Clone, Debug)]
pub struct Column {
    /// Id, encoding, two zeros, and the expanded size.
    pub head: [u8; 8],
    /// The stored bytes.
    pub stored: Vec<u8>,
}

impl Column {
    /// A column that is stored as it is.
    #[must_use]
    pub fn raw(id: u8, stored: Vec<u8>) -> Self {
        let mut column = Self { head: [id, RAW, 0, 0, 0, 0, 0, 0], stored };
        column.state_expanded(column.stored.len());
        column
    }

    /// A column that holds `value` `count` times.
    #[must_use]
    pub fn repeated(id: u8, value: Vec<u8>, count: usize) -> Self {
        let mut column = Self { head: [id, REPEATED, 0, 0, 0, 0, 0, 0], stored: value };
        column.state_expanded(column.stored.len() * count);
        column
    }

    /// Whether it is stored as it is, and says so.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.head[1] == RAW && self.head[4..] == (self.stored.len() as u32).to_le_bytes()
    }

    /// States another expanded size.
    pub fn state_expanded(&mut self, bytes: usize) {
        self.head[4..].copy_from_slice(&(bytes as u32).to_le_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let (stored_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (stored, rest) = rest.split_at_checked(u32::from_le_bytes(*stored_bytes) as usize)?;
        *bytes = rest;
        Some(Self { head: *head, stored: stored.to_vec() })
    }
}

impl Frame {
    /// Takes the next frame and what stands before it from the front of `bytes`; `None` where none begins.
    pub fn take(bytes: &mut &[u8]) -> Option<Self> {
        let start = bytes.windows(META_MAGIC.len()).position(|window| window == META_MAGIC)?;
        let (data, frame) = bytes.split_at(start);
        let (size, _) = frame.get(4..)?.split_first_chunk::<4>()?;
        let end = HEAD_BYTES.saturating_add(u32::from_le_bytes(*size) as usize).min(frame.len());
        let (frame, behind) = frame.split_at(end);
        let body = match frame.len().checked_sub(TRAILER_BYTES) {
            Some(trailer) if trailer >= HEAD_BYTES && &frame[trailer + 8..trailer + 12] == TRAILER_TAG => {
                &frame[HEAD_BYTES..trailer]
            }
            _ => &frame[HEAD_BYTES..],
        };
        let fields_bytes = if body.starts_with(INDEX_TAG) { INDEX_FIELDS_BYTES } else { BLOCK_FIELDS_BYTES };
        let (fields, mut rest) = body.split_at_checked(fields_bytes)?;
        let columns = std::iter::from_fn(|| Column::take(&mut rest)).collect();
        *bytes = behind;
        Some(Self { data: data.to_vec(), fields: fields.to_vec(), columns, rest: rest.to_vec() })
    }

    /// Writes it with sizes and checksum as they must be.
    pub fn put(&self, out: &mut Vec<u8>) {
        let data_start = out.len();
        out.extend_from_slice(&self.data);
        let start = out.len();
        out.extend_from_slice(&META_MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.fields);
        for column in &self.columns {
            out.extend_from_slice(&column.head);
            out.extend_from_slice(&(column.stored.len() as u32).to_le_bytes());
            out.extend_from_slice(&column.stored);
        }
        out.extend_from_slice(&self.rest);
        let bytes = out.len() - start + TRAILER_BYTES;
        out[start + 4..start + 8].copy_from_slice(&((bytes - HEAD_BYTES) as u32).to_le_bytes());
        let signed = if self.fields.starts_with(INDEX_TAG) { start } else { data_start };
        out.extend_from_slice(&((start - signed) as u32).to_le_bytes());
        out.extend_from_slice(&(bytes as u32).to_le_bytes());
        out.extend_from_slice(TRAILER_TAG);
        out.extend_from_slice(&crc32c::crc32c(&out[signed..]).to_le_bytes());
    }

    /// What DATA holds, if it is not compressed.
    #[must_use]
    pub fn plain_content(&self) -> Option<Vec<u8>> {
        // RFC 8878 section 3.1.1: magic, descriptor with the one-segment bit, content size, blocks.
        let mut rest = self.data.strip_prefix(&ZSTD_MAGIC)?;
        let descriptor = *rest.first()?;
        let size_bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        rest = rest.get(1 + size_bytes..).filter(|_| descriptor & ONE_SEGMENT != 0)?;
        let mut content = Vec::new();
        loop {
            let (head, behind) = rest.split_first_chunk::<3>()?;
            let head = u32::from_le_bytes([head[0], head[1], head[2], 0]);
            let (block, behind) = behind.split_at_checked((head >> 3) as usize).filter(|_| (head >> 1) & 3 == 0)?;
            content.extend_from_slice(block);
            rest = behind;
            if head & 1 == 1 {
                return Some(content);
            }
        }
    }

    /// Puts `content` into DATA, neither compressed nor with a checksum, and states its size.
    pub fn set_plain_content(&mut self, content: &[u8]) {
        const BLOCK_BYTES_MAX: usize = 128 << 10;
        const SIZE_OF_FOUR_BYTES: u8 = 2 << 6;
        self.data = [&ZSTD_MAGIC[..], &[SIZE_OF_FOUR_BYTES | ONE_SEGMENT]].concat();
        self.data.extend_from_slice(&(content.len() as u32).to_le_bytes());
        let mut blocks = content.chunks(BLOCK_BYTES_MAX).peekable();
        loop {
            let block = blocks.next().unwrap_or_default();
            let is_last = u32::from(blocks.peek().is_none());
            self.data.extend_from_slice(&((block.len() as u32) << 3 | is_last).to_le_bytes()[..3]);
            self.data.extend_from_slice(block);
            if is_last == 1 {
                break;
            }
        }
        if let Some(stated) = self.fields.get_mut(CONTENT_BYTES_AT..CONTENT_BYTES_AT + 4) {
            stated.copy_from_slice(&(content.len() as u32).to_le_bytes());
        }
    }
}

const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
const ONE_SEGMENT: u8 = 0x20;
