//! Every number of the format, what it bounds and why. `docs/segment-format.md` names these constants.

/// Version written into every META and index frame. Raised when a reader of the old version would misread the new one;
/// a new column alone does not raise it, because readers pass over columns they do not know.
pub const FORMAT_VERSION: u16 = 1;

/// Longest DATA content of one block, bytes. RFC 8878 section 3.1.1.1.2 recommends that decoders accept windows of at
/// least 8 MiB, so every decoder reads a frame of this size.
pub const CONTENT_BYTES_MAX: usize = 8 << 20;

/// Longest DATA frame, bytes: `ZSTD_COMPRESSBOUND` of [`CONTENT_BYTES_MAX`] is content/256 above it.
pub const DATA_BYTES_MAX: usize = CONTENT_BYTES_MAX + CONTENT_BYTES_MAX / 256 + 1024;

/// Most messages in one block.
pub const ROWS_MAX: usize = 1 << 17;

/// Most parts of one joined block: as many as a segment has blocks.
pub const PARTS_MAX: usize = BLOCKS_MAX;

/// Most sources in one block: a source id is 16 bits.
pub const SOURCES_MAX: usize = 1 << 16;

/// Most listeners that one block names: a listener id is 8 bits.
pub const LISTENERS_MAX: usize = 256;

/// Most memory that the columns of one META or index frame may ask of a reader when expanded, bytes.
pub const EXPANDED_BYTES_MAX: usize = 4 << 20;

/// Longest META or index frame as stored, bytes: the columns are never stored larger than expanded.
pub const META_BYTES_MAX: usize = EXPANDED_BYTES_MAX + (64 << 10);

/// Most blocks in one segment; a writer rotates before it. Keeps the index below [`EXPANDED_BYTES_MAX`].
pub const BLOCKS_MAX: usize = 16_384;

/// Most distinct sources that an index names. A segment with more leaves sources out of its index, and readers look
/// into each block's META instead.
pub const INDEX_SOURCES_MAX: usize = 32_768;

/// Most (block, source) pairs that an index holds, with the same consequence.
pub const INDEX_SOURCE_REFS_MAX: usize = 262_144;

/// Bytes of one source in a dictionary at most: family 1, address 16, port 2, listener 1.
pub(crate) const SOURCE_BYTES_MAX: usize = 20;

// A whole source dictionary of a block, and the widest rows (time 10, source 3, length 4, PRI 1, flags 1 bytes each),
// fit in the expanded limit together; positions of replaced LF get what is left, and the encoder refuses beyond that.
const _: () = assert!(SOURCES_MAX * SOURCE_BYTES_MAX + ROWS_MAX * 19 <= EXPANDED_BYTES_MAX);
// The index of the largest segment fits: entries, sources, and references of three varint bytes.
const _: () = assert!(
    BLOCKS_MAX * crate::index::ENTRY_BYTES + INDEX_SOURCES_MAX * SOURCE_BYTES_MAX + INDEX_SOURCE_REFS_MAX * 3
        <= EXPANDED_BYTES_MAX
);
