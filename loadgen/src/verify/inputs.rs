//! Where messages were stored: data directories and segments of ours, text of any collector, plain or in zstd frames, standard
//! input.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use logboom_segment::{
    BlockRef, Decoder, Direction, FileState, FormatError, Merge, Message, RunId, Segment, SegmentFile, SegmentName,
    list_segments, read_block,
};

use super::VerifyError;
use super::files::Files;
use super::lines::examine_lines;
use super::tracker::Tracker;

/// What a zstd frame begins with (RFC 8878 section 3.1.1), and text does not.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Blocks whose last message came so long before the run are of others, and passed over: clocks do not differ by more.
const OLDER_NS_MAX: u64 = 24 * 3600 * 1_000_000_000;

/// Looks at every message in data directories, segment files, text files, zstd files of text, and `-` for standard input.
///
/// # Errors
/// [`VerifyError`].
pub fn examine_paths(paths: &[PathBuf], tracker: &mut Tracker) -> Result<(), VerifyError> {
    let mut segments = Segments::since(tracker.start_ns().saturating_sub(OLDER_NS_MAX))?;
    for path in paths {
        let refused = |error| VerifyError::Path { path: path.clone(), error };
        if path == Path::new("-") {
            examine_text(io::stdin().lock(), tracker).map_err(refused)?;
        } else if std::fs::metadata(path).map_err(refused)?.is_dir() {
            segments.add_all(path)?;
        } else {
            let file = File::open(path).map_err(refused)?;
            if let Some(file) = segments.add(path, file)? {
                examine_text(file, tracker).map_err(refused)?;
            }
        }
    }
    let damaged = segments.read_each(|message| {
        tracker.examine(message.payload, Some(message.received_ns));
        true
    })?;
    tracker.note_damaged(damaged);
    Ok(())
}

/// Lines, plain or in zstd frames.
fn examine_text(mut input: impl Read, tracker: &mut Tracker) -> io::Result<()> {
    let mut head = Vec::new();
    input.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut head)?;
    let is_zstd = head == ZSTD_MAGIC;
    let whole = head.chain(input);
    if is_zstd { examine_lines(zstd::Decoder::new(whole)?, tracker) } else { examine_lines(whole, tracker) }
}

/// Segments that were found; all are looked at together, in the order in which `logboom cat` shows them.
pub(crate) struct Segments {
    decoder: Decoder,
    files: Files,
    blocks: Vec<BlockRef>,
    since_ns: u64,
    /// Ranges found damaged so far.
    damaged: u64,
}

impl Segments {
    /// None yet. Blocks with nothing received at `since_ns` or later, ns since the Unix epoch, will be passed over.
    pub(crate) fn since(since_ns: u64) -> Result<Self, VerifyError> {
        let decoder = Decoder::new().map_err(VerifyError::Memory)?;
        Ok(Self { decoder, files: Files::new(), blocks: Vec::new(), since_ns, damaged: 0 })
    }

    /// Adds the segments of a directory. Those that vanish meanwhile are passed over: retention may run.
    pub(crate) fn add_all(&mut self, directory: &Path) -> Result<(), VerifyError> {
        let refused = |path: &Path, error| VerifyError::Path { path: path.to_owned(), error };
        let found = list_segments(directory).map_err(|error| refused(directory, error))?;
        if found.is_empty() {
            return Err(VerifyError::NoSegments(directory.to_owned()));
        }
        for mut segment in found {
            match segment.open() {
                Ok(file) => self.add_segment(&segment, file)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(refused(&segment.path(), error)),
            }
        }
        Ok(())
    }

    fn add_segment(&mut self, segment: &SegmentFile, file: File) -> Result<(), VerifyError> {
        let path = segment.path();
        let opened = self.open(&path, &file, Some(segment.name.run_id))?;
        self.keep(path, Some(segment.clone()), file, &opened)
    }

    /// Adds a file if it is a segment; gives it back if it is not, with nothing read.
    pub(crate) fn add(&mut self, path: &Path, file: File) -> Result<Option<File>, VerifyError> {
        let run_id = run_of(path);
        let mut head = [0; ZSTD_MAGIC.len()];
        // Fails for what has no places to read at, such as a pipe: that is no segment.
        let is_zstd = file.read_exact_at(&mut head, 0).is_ok() && head == ZSTD_MAGIC;
        if !is_zstd && run_id.is_none() {
            return Ok(Some(file));
        }
        let opened = self.open(path, &file, run_id)?;
        if opened.blocks.is_empty() && run_id.is_none() {
            return Ok(Some(file));
        }
        self.keep(path.to_owned(), None, file, &opened)?;
        Ok(None)
    }

    fn open(&mut self, path: &Path, file: &File, run_id: Option<RunId>) -> Result<Segment, VerifyError> {
        Segment::open_of(file, run_id, &mut self.decoder)
            .map_err(|error| VerifyError::Segment { path: path.to_owned(), error })
    }

    fn keep(
        &mut self,
        path: PathBuf,
        found: Option<SegmentFile>,
        file: File,
        segment: &Segment,
    ) -> Result<(), VerifyError> {
        let blocks = || segment.blocks.iter().filter(|entry| entry.received_max_ns >= self.since_ns);
        if blocks().next().is_none() && !segment.blocks.is_empty() {
            return Ok(());
        }
        // What a file that still grows ends with may be a block being written.
        let is_torn = segment.tail_bytes > 0 && is_complete(&path);
        self.damaged += segment.damage.len() as u64 + u64::from(is_torn);
        let kept = self.files.keep(path.clone(), found, file);
        let number = kept.map_err(|error| VerifyError::Path { path, error })?;
        self.blocks.extend(blocks().map(|entry| BlockRef { segment: number, entry: *entry }));
        Ok(())
    }

    /// Has `read` look at each message, while it wants more. How many ranges and blocks are damaged: these are passed over.
    pub(crate) fn read_each(self, mut read: impl FnMut(&Message<'_>) -> bool) -> Result<u64, VerifyError> {
        let Self { mut decoder, mut files, blocks, mut damaged, .. } = self;
        let (mut bytes, mut failure) = (Vec::new(), None);
        let mut merge = Merge::new(blocks, Direction::Forward, |block: &BlockRef, rows| {
            let read = files.open(block.segment).map_err(FormatError::from);
            let read = read.and_then(|file| read_block(file, &block.entry, &mut bytes));
            match read.and_then(|()| decoder.decode(&bytes, rows)) {
                Ok(listeners) => return Some(listeners),
                Err(error @ (FormatError::Io(_) | FormatError::Version { .. })) => {
                    failure = Some(VerifyError::Segment { path: files.path(block.segment).to_owned(), error });
                }
                Err(_) => damaged += 1,
            }
            None
        });
        while let Some((message, _)) = merge.next_message() {
            if !read(&message) {
                break;
            }
        }
        drop(merge);
        failure.map_or(Ok(damaged), Err)
    }
}

/// Whether a file is a segment that is written no more, as its name says.
fn is_complete(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(SegmentName::parse_file_name);
    matches!(name, Some((_, FileState::Sealed)))
}

/// The run that wrote a segment, as its name says.
fn run_of(path: &Path) -> Option<RunId> {
    let name = path.file_name()?.to_str()?;
    SegmentName::parse_file_name(name).map(|(name, _)| name.run_id)
}
