//! Files of segments until they are read, a bounded number of them open at a time.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use logboom_segment::SegmentFile;
use rustix::process::{Resource, getrlimit};

/// Files that stay open until the end, at most: a rewrite may put others in their places meanwhile. So many segments of the
/// default size are 64 GiB.
const HELD_MAX: u64 = 256;

/// Of the others, open at a time: more than a collector has writers, as a rule.
const REOPENED_MAX: usize = 8;

/// Files by number, in the order in which they were kept.
pub(super) struct Files {
    kept: Vec<Kept>,
    held_max: usize,
    /// Those that were opened again, the one used longest ago first.
    reopened: Vec<(usize, File)>,
}

struct Kept {
    path: PathBuf,
    /// If it was found in a directory, where it is sealed under another name.
    segment: Option<SegmentFile>,
    identity: (u64, u64),
    held: Option<File>,
}

impl Files {
    /// None yet. It keeps at most half of the files open that the process may (getrlimit(2)).
    pub(super) fn new() -> Self {
        let permitted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::holding(HELD_MAX.min(permitted / 2) as usize)
    }

    fn holding(held_max: usize) -> Self {
        Self { kept: Vec::new(), held_max, reopened: Vec::new() }
    }

    /// Keeps a file that is open, closed if so many are; its number.
    pub(super) fn keep(&mut self, path: PathBuf, segment: Option<SegmentFile>, file: File) -> io::Result<usize> {
        let (number, identity) = (self.kept.len(), identity(&file.metadata()?));
        let held = (number < self.held_max).then_some(file);
        self.kept.push(Kept { path, segment, identity, held });
        Ok(number)
    }

    pub(super) fn path(&self, number: usize) -> &Path {
        &self.kept[number].path
    }

    /// A file to be read.
    ///
    /// # Errors
    /// What open(2) says, and that it is another one by now.
    pub(super) fn open(&mut self, number: usize) -> io::Result<&File> {
        let kept = &self.kept[number];
        if let Some(file) = &kept.held {
            return Ok(file);
        }
        let known = self.reopened.iter().position(|(known, _)| *known == number);
        let file = match known {
            Some(at) => self.reopened.remove(at).1,
            None => kept.reopen()?,
        };
        if self.reopened.len() == REOPENED_MAX {
            self.reopened.remove(0);
        }
        self.reopened.push((number, file));
        Ok(&self.reopened[self.reopened.len() - 1].1)
    }
}

impl Kept {
    fn reopen(&self) -> io::Result<File> {
        let file = match self.segment.clone() {
            Some(mut segment) => segment.open()?,
            None => File::open(&self.path)?,
        };
        if identity(&file.metadata()?) == self.identity {
            return Ok(file);
        }
        Err(io::Error::other("the collector has rewritten it since it was found: look once more"))
    }
}

/// What a rename leaves as it is.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use logboom_segment::list_segments;

    use super::*;

    fn content(files: &mut Files, number: usize) -> io::Result<String> {
        let mut text = String::new();
        files.open(number)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn few_are_open_at_a_time_and_each_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::holding(3);
        for number in 0..50 {
            let path = directory.path().join(number.to_string());
            std::fs::write(&path, number.to_string()).unwrap();
            let file = File::open(&path).unwrap();
            assert_eq!(files.keep(path, None, file).unwrap(), number);
        }
        for number in (0..50).rev() {
            assert_eq!(content(&mut files, number).unwrap(), number.to_string());
            let held = files.kept.iter().filter(|kept| kept.held.is_some()).count();
            assert!(held == 3 && files.reopened.len() <= REOPENED_MAX);
        }
    }

    #[test]
    fn one_that_was_sealed_is_read_and_one_that_was_replaced_is_told_unless_it_was_open() {
        const OPEN: &str = "20261122T101500Z-w0-0000000000000001-000001.log.zst.open";
        let directory = tempfile::tempdir().unwrap();
        let (open, sealed) = (directory.path().join(OPEN), directory.path().join(OPEN.trim_end_matches(".open")));
        std::fs::write(&open, "old").unwrap();
        let segment = list_segments(directory.path()).unwrap().remove(0);
        let [mut holding, mut closed, mut late] = [1, 0, 0].map(Files::holding);
        for files in [&mut holding, &mut closed, &mut late] {
            files.keep(open.clone(), Some(segment.clone()), File::open(&open).unwrap()).unwrap();
        }
        std::fs::rename(&open, &sealed).unwrap();
        assert_eq!(content(&mut closed, 0).unwrap(), "old");
        let other = directory.path().join("other");
        std::fs::write(&other, "new").unwrap();
        std::fs::rename(&other, &sealed).unwrap();
        assert_eq!(content(&mut holding, 0).unwrap(), "old");
        assert!(content(&mut late, 0).unwrap_err().to_string().contains("rewritten it since"));
    }
}
