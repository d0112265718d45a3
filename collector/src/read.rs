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

use std::path::{Path, PathBuf};

use crate::config::{ConfigError, load};

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
    /// What was not given cannot be had from the configuration.
    #[error("there is no ./logboom-data, and {path} does not tell the data_dir: {error}; name the directory to read")]
    Configuration {
        /// The file.
        path: PathBuf,
        /// Why.
        error: ConfigError,
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

/// The data directories to read where none is given: `./logboom-data`, then those of the configuration in `file`, if there is
/// one.
///
/// # Errors
/// [`ReadError::Configuration`].
pub fn default_directories(file: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let here = PathBuf::from("./logboom-data");
    if here.is_dir() {
        return Ok(vec![here]);
    }
    match load(Some(file), &Vec::new()) {
        Ok(config) => Ok(config.data_dir.paths().to_vec()),
        Err(ConfigError::Read { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![here]),
        Err(error) => Err(ReadError::Configuration { path: file.into(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_used_is_named_and_one_that_is_not_there_is_not_missed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("logboom.toml");
        assert_eq!(default_directories(&file).unwrap(), [PathBuf::from("./logboom-data")]);
        std::fs::write(&file, "data_dir = \"/var/lib/somewhere\"\n").unwrap();
        assert_eq!(default_directories(&file).unwrap(), [PathBuf::from("/var/lib/somewhere")]);
        for wrong in ["data_dirs = 1", "store.level = 99"] {
            std::fs::write(&file, wrong).unwrap();
            let refused = default_directories(&file).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("there is no ./logboom-data, and {}", file.display())), "{refused}");
        }
    }
}
