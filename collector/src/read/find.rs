//! Finding segments.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use logboom_segment::{
    CLOCK_GRAIN_MAX, Decoder, FileState, FormatError, RunId, Segment, SegmentFile, SegmentName, list_segments,
};

use super::ReadError;
use crate::store::directory::writing_run;

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
    /// Why it cannot be read at all.
    refused: Option<FormatError>,
    file: Where,
    /// Which file it was.
    pub(super) identity: Identity,
}

/// Inode number, and time of the last change.
pub(super) type Identity = (u64, i64, i64);

/// How to open it again.
#[derive(Clone, Debug)]
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

/// A segment that was found, and is not opened yet.
#[derive(Clone, Debug)]
pub struct Candidate {
    file: Where,
    /// Nothing in it was received later, ns since the Unix epoch; as far as known without opening it.
    pub latest_ns: u64,
}

/// Lists the segments of directories, and files, in the order given.
///
/// # Errors
/// [`ReadError`]: a path that cannot be read, directories without a segment.
pub fn list(paths: &[PathBuf]) -> Result<Vec<Candidate>, ReadError> {
    let (mut candidates, mut empty) = (Vec::new(), None);
    for path in paths {
        let refused = |error| ReadError::Path { path: path.clone(), error };
        let metadata = std::fs::metadata(path).map_err(refused)?;
        if !metadata.is_dir() {
            candidates.push(Candidate { file: Where::Path(path.clone()), latest_ns: u64::MAX });
            continue;
        }
        let files = list_segments(path).map_err(refused)?;
        empty = empty.or(files.is_empty().then_some(path));
        candidates.extend(
            files.into_iter().map(|file| Candidate { latest_ns: latest_ns(&file), file: Where::Directory(file) }),
        );
    }
    match empty {
        // One of several data directories may be: its writers had nothing to do.
        Some(path) if candidates.is_empty() => Err(ReadError::NoSegments { path: path.clone() }),
        _ => Ok(candidates),
    }
}

/// When the last message of a segment was received, at the latest: the collector sees to it that a sealed file's time of change
/// is no earlier.
fn latest_ns(file: &SegmentFile) -> u64 {
    let sealed = Some(file).filter(|file| file.state == FileState::Sealed);
    // One that is gone is passed over when it is opened.
    let modified = sealed.and_then(|file| std::fs::metadata(file.path()).ok()?.modified().ok());
    let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified_ns = modified.and_then(|time| u64::try_from(time.as_nanos()).ok());
    modified_ns.map_or(u64::MAX, |modified_ns| modified_ns.saturating_add(CLOCK_GRAIN_MAX.as_nanos() as u64))
}

/// Opens every segment of directories, and files. Segments that vanish meanwhile are passed over.
///
/// # Errors
/// As [`list`] and [`open`].
pub fn find(paths: &[PathBuf], decoder: &mut Decoder) -> Result<Vec<Found>, ReadError> {
    open(list(paths)?, decoder)
}

/// Opens segments; those that are gone are passed over.
///
/// # Errors
/// [`ReadError`]: a file that cannot be read or is none of ours, a segment of a later version.
pub fn open(candidates: Vec<Candidate>, decoder: &mut Decoder) -> Result<Vec<Found>, ReadError> {
    let opened = candidates.into_iter().map(|candidate| open_one(candidate.file, decoder));
    opened.filter_map(Result::transpose).collect()
}

fn open_one(mut file: Where, decoder: &mut Decoder) -> Result<Option<Found>, ReadError> {
    let opened = match (file.open(), &file) {
        (Err(error), Where::Directory(_)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        (opened, _) => opened.map_err(|error| ReadError::Path { path: file.path(), error })?,
    };
    let path = file.path();
    let refused = |error| ReadError::Segment { path: path.clone(), error };
    let metadata = opened.metadata().map_err(|error| refused(error.into()))?;
    let bytes = metadata.len();
    let (segment, why) = match (Segment::open_of(&opened, run_of(&path), decoder), &file) {
        (Ok(segment), _) => (segment, None),
        // The others of the directory are read all the same.
        (Err(error), Where::Directory(_)) => (Segment::default(), Some(error)),
        (Err(error), Where::Path(_)) => return Err(refused(error)),
    };
    if segment.blocks.is_empty() && bytes > 0 && matches!(file, Where::Path(_)) {
        return Err(refused(FormatError::Frame("this is not a logboom segment")));
    }
    let state = file.state();
    Ok(Some(Found { path, state, segment, bytes, refused: why, file, identity: identity(&metadata) }))
}

/// The name that the collector gave a segment.
pub(super) fn name_of(path: &Path) -> Option<SegmentName> {
    SegmentName::parse_file_name(path.file_name()?.to_str()?).map(|(name, _)| name)
}

/// The run that wrote a segment, as its name says.
pub(super) fn run_of(path: &Path) -> Option<RunId> {
    name_of(path).map(|name| name.run_id)
}

pub(super) fn identity(metadata: &Metadata) -> Identity {
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

impl Found {
    /// Opens its file again, under the name it has now.
    ///
    /// # Errors
    /// What open(2) says; not found when it was deleted meanwhile.
    pub fn reopen(&self) -> io::Result<File> {
        self.file.clone().open()
    }

    /// Whether a collector is running that is still writing it.
    #[must_use]
    pub fn grows(&self) -> bool {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.state == FileState::Open && run_of(&self.path).is_some_and(|run_id| writing_run(directory) == Some(run_id))
    }

    /// Whether the run that wrote it did not come to seal it.
    #[must_use]
    pub fn is_left_behind(&self) -> bool {
        self.segment.recovered || self.state == FileState::Open && !self.grows()
    }

    /// Whether `metadata` is of another file than the one that was found; one that grew since is the same.
    pub(super) fn is_replaced(&self, metadata: &Metadata) -> bool {
        let (found, now) = (self.identity, identity(metadata));
        let grew = self.state == FileState::Open && metadata.len() >= self.bytes;
        found.0 != now.0 || (found != now && !grew)
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
        let refused = self.refused.as_ref().map(|error| format!("{path}: {error}"));
        damage.chain(torn).chain(refused).collect()
    }
}
