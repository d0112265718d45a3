//! New messages as they are written: across sealing, new segments, new runs, the rewrite and retention; each once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use logboom_segment::{
    BlockEntry, BlockRef, CLOCK_GRAIN_MAX, Decoder, Direction, FileState, FormatError, Merge, Message, Rows, RunId,
    Segment, SegmentFile, SegmentName, list_segments, read_block,
};

use super::ReadError;
use super::find;
use super::last::{OwnedMessage, last_of};
use super::scan::Scan;
use super::select::Filters;

/// What of each receiver's blocks was shown: its runs of sequence numbers. Blocks come nearly in order, so these are few.
#[derive(Debug, Default)]
struct Shown(HashMap<(RunId, u32), BTreeMap<u64, u64>>);

impl Shown {
    /// Notes a block; false if it was shown before.
    fn add(&mut self, block: &BlockEntry) -> bool {
        let ranges = self.0.entry((block.run_id, block.receiver)).or_default();
        let (mut first, mut last) = (block.sequence_first, block.sequence_last);
        if ranges.range(..=first).next_back().is_some_and(|(_, end)| *end >= first) {
            return false;
        }
        if let Some((start, _)) = ranges.range(..first).next_back().filter(|(_, end)| **end + 1 == first) {
            first = *start;
        }
        if let Some(end) = last.checked_add(1).and_then(|next| ranges.remove(&next)) {
            last = end;
        }
        ranges.insert(first, last);
        true
    }
}

/// A segment that may grow, and how far it was read.
struct Growing {
    path: PathBuf,
    file: File,
    offset: u64,
    /// It could not be read, which is told once.
    is_unreadable: bool,
}

/// Blocks of a file that were not there before.
struct New {
    path: PathBuf,
    file: File,
    entries: Vec<BlockEntry>,
}

/// Follows directories.
pub struct Follower {
    directories: Vec<PathBuf>,
    /// When each was last changed: nothing else says that there is a new file.
    changed: HashMap<PathBuf, SystemTime>,
    growing: BTreeMap<SegmentName, Growing>,
    /// Segments that were sealed when they were seen, and hold nothing new.
    done: BTreeSet<SegmentName>,
    shown: Shown,
    decoder: Decoder,
}

impl Follower {
    /// Follows what comes from now on.
    ///
    /// # Errors
    /// When a directory cannot be read, or zstd has no memory.
    pub fn new(directories: Vec<PathBuf>) -> Result<Self, ReadError> {
        let decoder = Decoder::new().map_err(ReadError::Zstd)?;
        let (changed, growing, done) = (HashMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut follower = Self { directories, changed, growing, done, shown: Shown::default(), decoder };
        follower.new_blocks(true, &mut Vec::new())?;
        Ok(follower)
    }

    /// The last `count` wanted messages of what was there when following began.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn last_messages(&self, scan: &Scan<'_>, count: u64) -> Result<(Vec<OwnedMessage>, Vec<String>), ReadError> {
        let candidates = find::list(&self.directories)?;
        last_of(candidates, scan, count, |found| {
            let name = found.path.file_name().and_then(|name| name.to_str()).and_then(SegmentName::parse_file_name);
            // What has grown since, and what is new, comes by following.
            let end = match name {
                Some((name, _)) if self.done.contains(&name) => u64::MAX,
                Some((name, _)) => self.growing.get(&name).map_or(0, |growing| growing.offset),
                None => 0,
            };
            found.segment.blocks.retain(|block| block.offset < end);
        })
    }

    /// Shows `visit` what is new, in order; returns complaints.
    ///
    /// # Errors
    /// When a directory cannot be read, or what `visit` says.
    pub fn poll(
        &mut self,
        filters: &Filters,
        visit: impl FnMut(&Message<'_>, &str) -> Result<(), ReadError>,
    ) -> Result<Vec<String>, ReadError> {
        self.poll_blocks(|_| true, filters, visit)
    }

    /// The same of the blocks whose text `wants` says yes to, see [`Decoder::decode_if`]: the others cost less.
    ///
    /// # Errors
    /// As [`Follower::poll`].
    pub fn poll_blocks(
        &mut self,
        wants: impl Fn(&[u8]) -> bool,
        filters: &Filters,
        mut visit: impl FnMut(&Message<'_>, &str) -> Result<(), ReadError>,
    ) -> Result<Vec<String>, ReadError> {
        let mut complaints = Vec::new();
        let new = self.new_blocks(false, &mut complaints)?;
        let refs = |(segment, new): (usize, &New)| {
            new.entries.iter().map(move |entry| BlockRef { segment, entry: *entry }).collect::<Vec<_>>()
        };
        let (blocks, mut bytes) = (new.iter().enumerate().flat_map(refs).collect(), Vec::new());
        let decoder = &mut self.decoder;
        let mut merge = Merge::new(blocks, Direction::Forward, |block: &BlockRef, rows: &mut Rows| {
            let New { path, file, .. } = &new[block.segment];
            let decoded = read_block(file, &block.entry, &mut bytes);
            match decoded.and_then(|()| decoder.decode_if(&bytes, rows, &wants)) {
                Ok(listeners) => listeners,
                Err(error) => {
                    let path = path.display();
                    complaints.push(format!("{path}: the block at {} is damaged: {error}", block.entry.offset));
                    None
                }
            }
        });
        while let Some((message, listener)) = merge.next_message() {
            if filters.wants(&message, listener) {
                visit(&message, listener)?;
            }
        }
        drop(merge);
        Ok(complaints)
    }

    /// Blocks that were not there before; at the start, what there is, is not new. Of a segment that cannot be read
    /// `complaints` tell, and the others go on.
    fn new_blocks(&mut self, starting: bool, complaints: &mut Vec<String>) -> Result<Vec<New>, ReadError> {
        for segment in self.new_segments()? {
            let name = segment.name.clone();
            if starting && segment.state == FileState::Sealed {
                self.done.insert(name);
                continue;
            }
            let mut segment = segment;
            match segment.open() {
                Ok(file) => {
                    let growing = Growing { path: segment.path(), file, offset: 0, is_unreadable: false };
                    self.growing.insert(name, growing);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ReadError::Path { path: segment.path(), error }),
            }
        }
        let mut new = Vec::new();
        let mut done = Vec::new();
        for (name, growing) in &mut self.growing {
            let follow = match Segment::follow(&growing.file, growing.offset, name.run_id, &mut self.decoder) {
                Ok(follow) => follow,
                Err(error) => {
                    if !std::mem::replace(&mut growing.is_unreadable, true) {
                        complaints.push(format!("{}: {error}", growing.path.display()));
                    }
                    // A disk may work again; what a later version wrote stays so.
                    if !matches!(error, FormatError::Io(_)) {
                        done.push(name.clone());
                    }
                    continue;
                }
            };
            growing.offset = follow.offset;
            let entries: Vec<_> = follow.blocks.into_iter().filter(|block| self.shown.add(block)).collect();
            if !entries.is_empty() && !starting {
                let path = growing.path.clone();
                match growing.file.try_clone() {
                    Ok(file) => new.push(New { path, file, entries }),
                    Err(error) => return Err(ReadError::Path { path, error }),
                }
            }
            if follow.sealed {
                done.push(name.clone());
            }
        }
        for name in done {
            self.growing.remove(&name);
            self.done.insert(name);
        }
        Ok(new)
    }

    /// Segments seen for the first time. A directory is read only when it has changed.
    fn new_segments(&mut self) -> Result<Vec<SegmentFile>, ReadError> {
        let mut new = Vec::new();
        for directory in &self.directories {
            let refused = |error| ReadError::Path { path: directory.clone(), error };
            let changed = std::fs::metadata(directory).and_then(|metadata| metadata.modified()).map_err(refused)?;
            if self.changed.get(directory) == Some(&changed) {
                continue;
            }
            let segments = list_segments(directory).map_err(refused)?;
            // A change within the clock's grain of the one noted would not be seen: note it when it is a while ago.
            if changed.elapsed().is_ok_and(|age| age > CLOCK_GRAIN_MAX) {
                self.changed.insert(directory.clone(), changed);
            }
            let is_known = |name: &SegmentName| self.done.contains(name) || self.growing.contains_key(name);
            new.extend(segments.into_iter().filter(|segment| !is_known(&segment.name)));
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_cannot_be_read_is_told_of_once_and_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(vec![directory.path().into()]).unwrap();
        // Opened like a file, and not read like one (EISDIR).
        let path = directory.path().join("20261122T101500Z-w0-00000000000000ab-000001.log.zst.open");
        std::fs::create_dir(&path).unwrap();
        let mut poll = || follower.poll(&Filters::default(), |_, _| Ok(())).unwrap();
        let told = poll();
        assert!(told.len() == 1 && told[0].starts_with(&path.display().to_string()), "{told:?}");
        assert_eq!(poll(), [""; 0]);
    }

    fn block(sequence_first: u64, sequence_last: u64) -> BlockEntry {
        BlockEntry { run_id: RunId(1), sequence_first, sequence_last, ..BlockEntry::default() }
    }

    #[test]
    fn a_block_is_shown_once_in_whatever_order_they_come() {
        let mut shown = Shown::default();
        for sequence in [0, 1, 4, 2, 7, 3, 6, 5] {
            assert!(shown.add(&block(sequence, sequence)), "{sequence}");
            assert!(!shown.add(&block(sequence, sequence)), "{sequence}");
        }
        assert_eq!(shown.0[&(RunId(1), 0)], BTreeMap::from([(0, 7)]), "and what is noted does not grow");
        assert!(!shown.add(&block(3, 6)), "joined from blocks that were shown");
        assert!(shown.add(&block(8, 12)) && !shown.add(&block(9, 9)));
        assert!(shown.add(&BlockEntry { receiver: 1, ..block(3, 3) }));
    }
}
