//! The segment files of a directory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::name::{FileState, SegmentName};

/// One segment file as found in a directory; by the time it is opened it may have been sealed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// The directory it is in.
    pub directory: PathBuf,
    /// What it is called.
    pub name: SegmentName,
    /// Whether it was still growing when the directory was read.
    pub state: FileState,
}

impl SegmentFile {
    /// Where it was when the directory was read.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(self.name.file_name(self.state))
    }

    /// Opens it under the name it has now, which is another if it was sealed meanwhile.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it was deleted, and whatever else the file system says.
    pub fn open(&mut self) -> io::Result<File> {
        match (File::open(self.path()), self.state) {
            (Err(error), FileState::Open) if error.kind() == io::ErrorKind::NotFound => {
                self.state = FileState::Sealed;
                File::open(self.path())
            }
            (opened, _) => opened,
        }
    }
}

/// The segments of `directory`, by name; other files are passed over.
///
/// # Errors
/// When the directory cannot be read.
pub fn list_segments(directory: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut segments = Vec::new();
    let before = last_changed(directory)?;
    read_names(directory, &mut segments)?;
    // A file renamed during the pass may show under neither name (readdir(3)); it is renamed only once.
    let was_quiet = before.elapsed().is_ok_and(|age| age > CLOCK_GRAIN_MAX) && last_changed(directory)? == before;
    if !was_quiet {
        read_names(directory, &mut segments)?;
    }
    // Open before sealed: `SegmentFile::open` finds a file that has been sealed since.
    segments.sort_by(|a, b| (&a.name, a.state).cmp(&(&b.name, b.state)));
    segments.dedup_by(|second, first| second.name == first.name);
    Ok(segments)
}

/// Two changes of a file or directory within so long may leave the same time, and that time may lie so long before: the kernel
/// takes it from a clock that goes by ticks (current_time in fs/inode.c), and some file systems keep whole seconds.
pub const CLOCK_GRAIN_MAX: Duration = Duration::from_secs(1);

fn last_changed(directory: &Path) -> io::Result<SystemTime> {
    std::fs::metadata(directory)?.modified()
}

fn read_names(directory: &Path, segments: &mut Vec<SegmentFile>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let file_name = entry?.file_name();
        let Some((name, state)) = file_name.to_str().and_then(SegmentName::parse_file_name) else { continue };
        segments.push(SegmentFile { directory: directory.to_owned(), name, state });
    }
    Ok(())
}
