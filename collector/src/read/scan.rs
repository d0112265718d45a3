//! Finding segments, and their messages in one order.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use logboom_segment::{
    BlockEntry, BlockRef, Decoder, FileState, FormatError, Merge, Message, Rows, Segment, SegmentFile, list_segments,
    read_block,
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
    /// Which file it was: its inode number, and the time of its last change.
    identity: Identity,
    /// The segment that has replaced it since: the same messages, in other blocks.
    replaced: Option<(Identity, Segment)>,
}

type Identity = (u64, i64, i64);

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
/// [`ReadError`]: a path that cannot be read, directories without a segment, a segment of a later version.
pub fn find(paths: &[PathBuf], decoder: &mut Decoder) -> Result<Vec<Found>, ReadError> {
    let (mut found, mut empty) = (Vec::new(), None);
    for path in paths {
        let refused = |error| ReadError::Path { path: path.clone(), error };
        if !std::fs::metadata(path).map_err(refused)?.is_dir() {
            found.extend(open(Where::Path(path.clone()), decoder)?);
            continue;
        }
        let files = list_segments(path).map_err(refused)?;
        empty = empty.or(files.is_empty().then_some(path));
        for file in files {
            found.extend(open(Where::Directory(file), decoder)?);
        }
    }
    match empty {
        // One of several data directories may be: its writers had nothing to do.
        Some(path) if found.is_empty() => Err(ReadError::NoSegments { path: path.clone() }),
        _ => Ok(found),
    }
}

fn open(mut file: Where, decoder: &mut Decoder) -> Result<Option<Found>, ReadError> {
    let opened = match (file.open(), &file) {
        (Err(error), Where::Directory(_)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        (opened, _) => opened.map_err(|error| ReadError::Path { path: file.path(), error })?,
    };
    let path = file.path();
    let refused = |error| ReadError::Segment { path: path.clone(), error };
    let metadata = opened.metadata().map_err(|error| refused(error.into()))?;
    let bytes = metadata.len();
    let segment = Segment::open(&opened, decoder).map_err(refused)?;
    if segment.blocks.is_empty() && bytes > 0 && matches!(file, Where::Path(_)) {
        return Err(refused(FormatError::Frame("this is not a logboom segment")));
    }
    let state = file.state();
    Ok(Some(Found { path, state, segment, bytes, file, identity: identity(&metadata), replaced: None }))
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

impl Found {
    /// Decodes a block that was there when the segment was found. It may have been written anew since, and be part of a larger
    /// one now.
    fn decode(
        &mut self,
        file: &File,
        wanted: &BlockEntry,
        decoder: &mut Decoder,
        bytes: &mut Vec<u8>,
        rows: &mut Rows,
    ) -> Result<Vec<String>, FormatError> {
        let metadata = file.metadata()?;
        if !self.is_replaced(&metadata) {
            read_block(file, wanted, bytes)?;
            return decoder.decode(bytes, rows);
        }
        let replaced = match self.replaced.take() {
            Some(known) if known.0 == identity(&metadata) => known,
            _ => (identity(&metadata), Segment::open(file, decoder)?),
        };
        let (_, replaced) = self.replaced.insert(replaced);
        let holds = |block: &&BlockEntry| {
            (block.run_id, block.receiver) == (wanted.run_id, wanted.receiver)
                && block.sequence_first <= wanted.sequence_first
                && wanted.sequence_last <= block.sequence_last
        };
        let block = replaced.blocks.iter().find(holds);
        let block = block.ok_or(FormatError::Frame("the file was replaced by one without this block"))?;
        read_block(file, block, bytes)?;
        decoder.decode_part(bytes, wanted, rows)
    }

    /// Whether `file` is another than the one that was found; one that grew since is the same.
    fn is_replaced(&self, metadata: &Metadata) -> bool {
        let (found, now) = (self.identity, identity(metadata));
        let grew = self.state == FileState::Open && metadata.len() >= self.bytes;
        found.0 != now.0 || (found != now && !grew)
    }

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
        let decoded = files
            .get(block.segment, &mut found.file)
            .map_err(FormatError::from)
            .and_then(|file| found.decode(file, &block.entry, &mut decoder, &mut bytes, rows));
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
