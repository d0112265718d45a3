//! What can be wrong with the bytes of a segment.

use std::io;

/// Why bytes are not what the format says.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The bytes could not be read at all.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// Written by a later version of the format.
    #[error("format version {found}, but this program knows only versions 1 to {known}")]
    Version {
        /// Version in the frame.
        found: u16,
        /// Latest version known here.
        known: u16,
    },
    /// A stated size is beyond a limit of the format; nothing was allocated for it.
    #[error("{what}: {bytes} B, but the format allows at most {limit} B")]
    TooLarge {
        /// What has that size.
        what: &'static str,
        /// The stated size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The frame is not one of this format, or its fields contradict each other.
    #[error("{0}")]
    Frame(&'static str),
    /// The columns contradict each other or the frame.
    #[error("{0}")]
    Columns(&'static str),
    /// The checksum over DATA and META does not match.
    #[error("checksum is {found:08x}, but the block says {stated:08x}")]
    Checksum {
        /// Computed over the bytes.
        found: u32,
        /// Stated in the trailer.
        stated: u32,
    },
    /// DATA does not decompress.
    #[error("DATA does not decompress: {0}")]
    Data(io::Error),
}

/// One thing found wrong in a file.
#[derive(Debug)]
pub struct Damage {
    /// Where it begins, bytes from the start of the file.
    pub offset: u64,
    /// How many bytes it spans.
    pub bytes: u64,
    /// What is wrong.
    pub error: FormatError,
}
