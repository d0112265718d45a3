//! Names of segment files: unique without trusting the clock.
//!
//! `20261122T101500Z-w0-0123456789abcdef-000001.log.zst`: when it was begun (UTC; for people, not for order), the
//! writer, the run, and the writer's count of segments in this run. A file that still grows ends in `.open` as well, so
//! that `*.zst` never finds a half written block (ripgrep issue 3382: one torn file hides every other file's matches).

use std::fmt;
use std::str::FromStr;

/// One run of a collector: random, so that two runs can be told apart even with the clock set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Whether a segment file may still grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileState {
    /// Being written, or left behind by a collector that died.
    Open,
    /// Complete, with index and seek table; never changed again.
    Sealed,
}

const SEALED_SUFFIX: &str = ".log.zst";
const OPEN_SUFFIX: &str = ".log.zst.open";

/// A segment's name, apart from whether it is sealed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// When it was begun: `YYYYMMDDTHHMMSSZ`, UTC.
    pub begun: String,
    /// The writer that wrote it.
    pub writer: u32,
    /// The run that wrote it.
    pub run_id: RunId,
    /// Its number among the writer's segments of that run, from 1.
    pub number: u32,
}

impl SegmentName {
    /// The name of the file in `state`.
    #[must_use]
    pub fn file_name(&self, state: FileState) -> String {
        let suffix = match state {
            FileState::Open => OPEN_SUFFIX,
            FileState::Sealed => SEALED_SUFFIX,
        };
        format!("{self}{suffix}")
    }

    /// What a file name says; `None` for files that are not segments.
    #[must_use]
    pub fn parse_file_name(name: &str) -> Option<(Self, FileState)> {
        let (stem, state) = match (name.strip_suffix(OPEN_SUFFIX), name.strip_suffix(SEALED_SUFFIX)) {
            (Some(stem), _) => (stem, FileState::Open),
            (_, Some(stem)) => (stem, FileState::Sealed),
            _ => return None,
        };
        Some((stem.parse().ok()?, state))
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-w{}-{}-{:06}", self.begun, self.writer, self.run_id, self.number)
    }
}

/// A file name is not a segment's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASegmentName;

impl FromStr for SegmentName {
    type Err = NotASegmentName;

    fn from_str(stem: &str) -> Result<Self, NotASegmentName> {
        let mut parts = stem.split('-');
        let (Some(begun), Some(writer), Some(run_id), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotASegmentName);
        };
        let name = Self {
            begun: begun.to_owned(),
            writer: writer.strip_prefix('w').and_then(|digits| digits.parse().ok()).ok_or(NotASegmentName)?,
            run_id: RunId(u64::from_str_radix(run_id, 16).map_err(|_| NotASegmentName)?),
            number: number.parse().map_err(|_| NotASegmentName)?,
        };
        let is_time = begun.len() == 16
            && begun.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        // Only what this program writes is its own: `+1` or upper-case digits parse, but are another's.
        if is_time && name.to_string() == stem { Ok(name) } else { Err(NotASegmentName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_and_tells_open_from_sealed() {
        let name = SegmentName { begun: "20261122T101500Z".into(), writer: 3, run_id: RunId(0xAB), number: 17 };
        let file = name.file_name(FileState::Open);
        assert_eq!(file, "20261122T101500Z-w3-00000000000000ab-000017.log.zst.open");
        assert_eq!(SegmentName::parse_file_name(&file), Some((name.clone(), FileState::Open)));
        assert_eq!(
            SegmentName::parse_file_name("20261122T101500Z-w3-00000000000000ab-000017.log.zst"),
            Some((name, FileState::Sealed))
        );
    }

    #[test]
    fn files_of_others_are_not_taken_for_segments() {
        for other in [
            "messages.log.zst",
            "20261122T101500Z-w3-00000000000000ab-000017.log.zst.torn",
            "20261122T101500Z-w3-00000000000000AB-000017.log.zst",
            "20261122T101500Z-w+3-00000000000000ab-000017.log.zst",
            "20261122T101500Z-w3-00000000000000ab-17.log.zst",
            "2026112210150000-w3-00000000000000ab-000017.log.zst",
            "20261122T101500Z-w3-00000000000000ab-000017-2.log.zst",
            ".log.zst",
            "",
        ] {
            assert_eq!(SegmentName::parse_file_name(other), None, "{other}");
        }
    }
}
