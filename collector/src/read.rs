//! Reading back: what is in a data directory or a file, also while a collector is writing it.

mod ahead;
mod blocks;
pub mod count;
pub mod find;
pub mod follow;
pub mod grep;
pub mod last;
pub mod lost;
pub mod print;
pub mod scan;
pub mod select;
pub mod stat;
pub mod verify;
pub mod when;

use std::path::PathBuf;

/// Niceness of reading beside a collector that writes to the same directory: the least, which is also the least for the disk
/// (ioprio_set(2): without a class of its own, a thread's follows from its niceness).
pub const POLITE_NICE: i32 = 19;

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A path is not there, or not readable.
    #[error("cannot read {path}: {error}")]
    Path {
        /// As given.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A directory holds no segment.
    #[error("there are no segments in {path}: is it the data_dir of a collector, and has that received anything yet?")]
    NoSegments {
        /// As given.
        path: PathBuf,
    },
    /// A segment cannot be read at all.
    #[error("{path}: {error}")]
    Segment {
        /// The file.
        path: PathBuf,
        /// Why.
        error: logboom_segment::FormatError,
    },
    /// What is whole of a damaged file cannot be copied.
    #[error("cannot write {path}: {error}")]
    Repair {
        /// The copy.
        path: PathBuf,
        /// Why.
        error: logboom_segment::RewriteError,
    },
    /// What is asked is not to be had.
    #[error("{0}")]
    Request(String),
    /// zstd has no memory.
    #[error("zstd: {0}")]
    Zstd(std::io::Error),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
}

impl ReadError {
    /// Whether the reader of our output went away, as `head` does: no error.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// The data directories to read where none is given: `./logboom-data`, then those of the configuration.
#[must_use]
pub fn default_directories(configured: impl FnOnce() -> Option<Vec<PathBuf>>) -> Vec<PathBuf> {
    let here = PathBuf::from("./logboom-data");
    if here.is_dir() { vec![here] } else { configured().unwrap_or_else(|| vec![here]) }
}
