//! What became of a run: every stored message looked at, from segments or from any text file.
//!
//! Each sequence number of each flow ends as stored, corrupted or lost: two bits each, so that the answer is exact and
//! the memory known (a quarter of a byte a message).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use logboom_segment::{
    BlockRef, Decoder, Direction, FormatError, Merge, Rows, Segment, SegmentFile, list_segments, read_block,
};
use memchr::memchr;
use serde::Serialize;

use crate::report::{Report, Verdict};
use crate::tag::{Found, RunTag, Tag};

/// Longest line of a text file that is looked at as one message, bytes.
const LINE_BYTES_MAX: usize = 4 << 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The run's tag, hex.
    pub run: String,
    /// Messages sent.
    pub sent: u64,
    /// Of these, found as they were sent.
    pub stored: u64,
    /// Of these, not found at all.
    pub lost: u64,
    /// Of the lost, those behind the last that was found of their flow: all that came after a collector went away.
    pub lost_at_end: u64,
    /// Found again after the first time.
    pub duplicates: u64,
    /// Found behind a later one of their flow.
    pub reordered: u64,
    /// Found, but changed; `sent` is `stored + lost + corrupted`, unless a change made the number itself unreadable.
    pub corrupted: u64,
    /// Found with numbers that were never sent.
    pub unexpected: u64,
    /// Messages and lines looked at.
    pub examined: u64,
}

impl Verification {
    /// Whether everything sent is there, once and unchanged. Order is told, but no fault: UDP promises none.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lost == 0 && self.duplicates == 0 && self.corrupted == 0 && self.unexpected == 0
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The report's tag is not one.
    #[error("the run {0:?} in the report is not eight hex digits")]
    Run(String),
    /// A path cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Path {
        /// As given.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A segment cannot be read.
    #[error("{}: {error}", path.display())]
    Segment {
        /// The file.
        path: PathBuf,
        /// Why.
        error: FormatError,
    },
    /// A directory holds no segments.
    #[error("there are no segments in {}: name the files of another collector themselves", .0.display())]
    NoSegments(PathBuf),
}

/// The books of a run while its messages are found.
struct Tracker {
    run: RunTag,
    flows: Vec<Flow>,
    duplicates: u64,
    reordered: u64,
    unreadable: u64,
    unexpected: u64,
    examined: u64,
}

struct Flow {
    sent: u64,
    intact: Bits,
    corrupted: Bits,
    /// One more than the highest number found so far.
    reached: u64,
}

struct Bits(Vec<u64>);

impl Bits {
    fn new(count: u64) -> Self {
        Self(vec![0; count.div_ceil(64) as usize])
    }

    /// Sets a bit; whether it was set before.
    fn set(&mut self, at: u64) -> bool {
        let word = &mut self.0[(at / 64) as usize];
        let bit = 1 << (at % 64);
        let was = *word & bit != 0;
        *word |= bit;
        was
    }
}

impl Tracker {
    fn new(report: &Report) -> Result<Self, VerifyError> {
        let run = u32::from_str_radix(&report.run, 16).map_err(|_| VerifyError::Run(report.run.clone()))?;
        let flow = |sent: &u64| Flow { sent: *sent, intact: Bits::new(*sent), corrupted: Bits::new(*sent), reached: 0 };
        Ok(Self {
            run: RunTag::new(run),
            flows: report.offered_by_flow.iter().map(flow).collect(),
            duplicates: 0,
            reordered: 0,
            unreadable: 0,
            unexpected: 0,
            examined: 0,
        })
    }

    fn examine(&mut self, message: &[u8]) {
        self.examined += 1;
        match self.run.find(message) {
            None => {}
            Some(Found::Unreadable) => self.unreadable += 1,
            Some(Found::Intact(tag)) => self.note(tag, true),
            Some(Found::Corrupted(tag)) => self.note(tag, false),
        }
    }

    fn note(&mut self, Tag { flow, sequence, .. }: Tag, intact: bool) {
        let Some(flow) = self.flows.get_mut(flow as usize).filter(|flow| sequence < flow.sent) else {
            self.unexpected += 1;
            return;
        };
        let seen = if intact { flow.intact.set(sequence) } else { flow.corrupted.set(sequence) };
        if seen {
            self.duplicates += 1;
        } else if sequence < flow.reached {
            self.reordered += 1;
        }
        flow.reached = flow.reached.max(sequence + 1);
    }

    fn finish(self, report: &Report) -> Verification {
        let ones = |word: u64| u64::from(word.count_ones());
        let (mut stored, mut corrupted, mut lost_at_end) = (0, 0, 0);
        for flow in &self.flows {
            lost_at_end += flow.sent - flow.reached;
            for (intact, damaged) in flow.intact.0.iter().zip(&flow.corrupted.0) {
                stored += ones(*intact);
                corrupted += ones(*damaged & !*intact);
            }
        }
        let sent = report.offered_by_flow.iter().sum::<u64>();
        Verification {
            run: report.run.clone(),
            sent,
            stored,
            lost: sent - stored - corrupted,
            lost_at_end,
            duplicates: self.duplicates,
            reordered: self.reordered,
            corrupted: corrupted + self.unreadable,
            unexpected: self.unexpected,
            examined: self.examined,
        }
    }
}

/// Looks for the messages of a run in data directories, segment files, text files, and `-` for standard input.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(report: &Report, paths: &[PathBuf]) -> Result<Verification, VerifyError> {
    let mut tracker = Tracker::new(report)?;
    let mut segments = Vec::new();
    for path in paths {
        let refused = |error| VerifyError::Path { path: path.clone(), error };
        if path == Path::new("-") {
            examine_lines(io::stdin().lock(), &mut tracker).map_err(refused)?;
        } else if std::fs::metadata(path).map_err(refused)?.is_dir() {
            let found = list_segments(path).map_err(refused)?;
            if found.is_empty() {
                return Err(VerifyError::NoSegments(path.clone()));
            }
            segments.extend(found.into_iter().map(Input::Listed));
        } else if is_segment(path).map_err(refused)? {
            segments.push(Input::Named(path.clone()));
        } else {
            let file = File::open(path).map_err(refused)?;
            examine_lines(BufReader::with_capacity(1 << 20, file), &mut tracker).map_err(refused)?;
        }
    }
    examine_segments(segments, &mut tracker)?;
    Ok(tracker.finish(report))
}

/// How a segment is opened.
enum Input {
    Listed(SegmentFile),
    Named(PathBuf),
}

/// A zstd frame at the front: text does not begin so.
fn is_segment(path: &Path) -> io::Result<bool> {
    let mut magic = [0; 4];
    let mut read = 0;
    let mut file = File::open(path)?;
    while read < magic.len() {
        match file.read(&mut magic[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(magic == [0x28, 0xB5, 0x2F, 0xFD])
}

/// All segments together, in the order in which `logboom cat` shows them.
fn examine_segments(inputs: Vec<Input>, tracker: &mut Tracker) -> Result<(), VerifyError> {
    let memory = |error: io::Error| VerifyError::Segment { path: PathBuf::new(), error: error.into() };
    let mut decoder = Decoder::new().map_err(memory)?;
    let (mut files, mut blocks) = (Vec::new(), Vec::new());
    for input in inputs {
        let (path, opened) = match input {
            Input::Listed(mut file) => {
                let opened = file.open();
                (file.path(), opened)
            }
            Input::Named(path) => (path.clone(), File::open(path)),
        };
        let file = opened.map_err(|error| VerifyError::Path { path: path.clone(), error })?;
        let segment =
            Segment::open(&file, &mut decoder).map_err(|error| VerifyError::Segment { path: path.clone(), error })?;
        blocks.extend(segment.blocks.iter().map(|entry| BlockRef { segment: files.len(), entry: *entry }));
        files.push((path, file));
    }
    let (mut bytes, mut failure) = (Vec::new(), None);
    let mut merge = Merge::new(blocks, Direction::Forward, |block: &BlockRef, rows: &mut Rows| {
        let (path, file) = &files[block.segment];
        let decoded = read_block(file, &block.entry, &mut bytes).and_then(|()| decoder.decode(&bytes, rows));
        decoded.map_err(|error| failure = Some(VerifyError::Segment { path: path.clone(), error })).ok()
    });
    while let Some((message, _)) = merge.next_message() {
        tracker.examine(message.payload);
    }
    drop(merge);
    failure.map_or(Ok(()), Err)
}

/// Lines of any text; one longer than [`LINE_BYTES_MAX`] is looked at in pieces.
fn examine_lines(mut input: impl Read, tracker: &mut Tracker) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 20);
    loop {
        let old = buffer.len();
        buffer.resize(old + (1 << 20), 0);
        let read = input.read(&mut buffer[old..])?;
        buffer.truncate(old + read);
        let mut start = 0;
        while let Some(end) = memchr(b'\n', &buffer[start..]) {
            tracker.examine(&buffer[start..start + end]);
            start += end + 1;
        }
        let is_last = read == 0;
        if start < buffer.len() && (is_last || buffer.len() - start > LINE_BYTES_MAX) {
            tracker.examine(&buffer[start..]);
            start = buffer.len();
        }
        if is_last {
            return Ok(());
        }
        buffer.drain(..start);
    }
}

/// The verdict on a run whose plan was kept or not.
#[must_use]
pub fn verdict(report: &Report, verification: &Verification) -> Verdict {
    match report.verdict {
        Verdict::Invalid => Verdict::Invalid,
        _ if verification.is_complete() => Verdict::Pass,
        _ => Verdict::Fail,
    }
}
