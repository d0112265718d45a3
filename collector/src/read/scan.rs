//! Finding segments, and their messages in one order.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use logboom_segment::{
    BlockRef, Decoder, FileState, FormatError, Merge, Message, Rows, Segment, SegmentFile, list_segments, read_block,
};

use super::ReadError;
use super::select::TimeRange;

/// A segment that was found and opened.
pub struct Found {
    /// Where it was found.
    pub path: PathBuf,
    /// Whether it may still grow.
    pub state: FileState,
    /// What it holds.
    pub segment: Segment,
    /// Its size when it was opened, bytes.
    pub bytes: u64,
    file: Where,
}

/// How to open it again.
enum Where {
    /// In a directory, where it may have another name by then.
    Directory(SegmentFile),
    /// As given on the command line.
    Path(PathBuf),
}

impl Where {
    fn open(&mut self) -> io::Result<File> {
        match self {
            Self::Directory(file) => file.open(),
            Self::Path(path) => File::open(path),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Directory(file) => file.path(),
            Self::Path(path) => path.clone(),
        }
    }

    /// A file of any name is read; only `.open` says that it may still grow.
    fn state(&self) -> FileState {
        match self {
            Self::Directory(file) => file.state,
            Self::Path(path) if path.extension().is_some_and(|extension| extension == "open") => FileState::Open,
            Self::Path(_) => FileState::Sealed,
        }
    }
}

/// Opens the segments of directories, and files, in the order given. Segments that vanish meanwhile are passed over.
///
/// # Errors
/// [`ReadError`]: a path that cannot be read, a directory without segments, a segment of a later version.
pub fn find(paths: &[PathBuf], decoder: &mut Decoder) -> Result<Vec<Found>, ReadError> {
    let mut found = Vec::new();
    for path in paths {
        let refused = |error| ReadError::Path { path: path.clone(), error };
        if !std::fs::metadata(path).map_err(refused)?.is_dir() {
            found.extend(open(Where::Path(path.clone()), decoder)?);
            continue;
        }
        let files = list_segments(path).map_err(refused)?;
        if files.is_empty() {
            return Err(ReadError::NoSegments { path: path.clone() });
        }
        for file in files {
            found.extend(open(Where::Directory(file), decoder)?);
        }
    }
    Ok(found)
}

fn open(mut file: Where, decoder: &mut Decoder) -> Result<Option<Found>, ReadError> {
    let opened = match (file.open(), &file) {
        (Err(error), Where::Directory(_)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        (opened, _) => opened.map_err(|error| ReadError::Path { path: file.path(), error })?,
    };
    let path = file.path();
    let refused = |error| ReadError::Segment { path: path.clone(), error };
    let bytes = opened.metadata().map_err(|error| refused(error.into()))?.len();
    let segment = Segment::open(&opened, decoder).map_err(refused)?;
    if segment.blocks.is_empty() && bytes > 0 && matches!(file, Where::Path(_)) {
        return Err(refused(FormatError::Frame("this is not a logboom segment")));
    }
    let state = file.state();
    Ok(Some(Found { path, state, segment, bytes, file }))
}

impl Found {
    /// Opens its file again, under the name it has now.
    ///
    /// # Errors
    /// What open(2) says; not found when it was deleted meanwhile.
    pub fn reopen(&mut self) -> io::Result<File> {
        self.file.open()
    }

    /// One line for each thing wrong with it that a reader stumbles over.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let path = self.path.display();
        let damage = self
            .segment
            .damage
            .iter()
            .map(|damage| format!("{path}: {} B at {} are damaged: {}", damage.bytes, damage.offset, damage.error));
        let torn = (self.state == FileState::Sealed && self.segment.tail_bytes > 0)
            .then(|| format!("{path}: the last {} B are damaged", self.segment.tail_bytes));
        damage.chain(torn).collect()
    }
}

/// Shows `visit` every message in `range`, in order; returns complaints about what could not be read.
///
/// # Errors
/// What `visit` says, and want of memory.
pub fn for_each_message(
    found: &mut [Found],
    range: TimeRange,
    mut visit: impl FnMut(&Message<'_>, &str) -> Result<(), ReadError>,
) -> Result<Vec<String>, ReadError> {
    let mut complaints: Vec<String> = found.iter().flat_map(Found::complaints).collect();
    let blocks = found.iter().enumerate().flat_map(|(segment, found)| {
        let wanted = found.segment.blocks.iter().filter(|block| range.may_be_in(block));
        wanted.map(move |entry| BlockRef { segment, entry: *entry })
    });
    let mut files = OpenFiles::default();
    let (mut decoder, mut bytes) = (Decoder::new().map_err(ReadError::Zstd)?, Vec::new());
    let mut merge = Merge::new(blocks.collect(), |block: &BlockRef, rows: &mut Rows| {
        let found = &mut found[block.segment];
        let decoded = files.get(block.segment, &mut found.file).map_err(FormatError::from).and_then(|file| {
            read_block(file, &block.entry, &mut bytes)?;
            decoder.decode(&bytes, rows)
        });
        match decoded {
            Ok(listeners) => Some(listeners),
            // Deleted by retention since it was found: no damage.
            Err(FormatError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let path = found.path.display();
                complaints.push(format!("{path}: the block at {} is damaged: {error}", block.entry.offset));
                None
            }
        }
    });
    while let Some((message, listener)) = merge.next_message() {
        if range.contains(message.received_ns) {
            visit(&message, listener)?;
        }
    }
    drop(merge);
    Ok(complaints)
}

/// The files that blocks are being read from, a few at a time.
#[derive(Default)]
struct OpenFiles(Vec<(usize, File)>);

impl OpenFiles {
    /// More than there are writers, as a rule; each costs a file descriptor.
    const MAX: usize = 64;

    fn get(&mut self, segment: usize, place: &mut Where) -> io::Result<&File> {
        if let Some(at) = self.0.iter().position(|(known, _)| *known == segment) {
            return Ok(&self.0[at].1);
        }
        if self.0.len() == Self::MAX {
            self.0.remove(0);
        }
        self.0.push((segment, place.open()?));
        Ok(&self.0[self.0.len() - 1].1)
    }
}

/// The data directory to read where none is given: `./logboom-data`, then the one of the configuration.
#[must_use]
pub fn default_directory(configured: impl FnOnce() -> Option<PathBuf>) -> PathBuf {
    let here = Path::new("./logboom-data");
    if here.is_dir() { here.into() } else { configured().unwrap_or_else(|| here.into()) }
}
