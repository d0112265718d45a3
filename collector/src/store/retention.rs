//! How long segments are kept: what to delete is decided by a pure function, and done by a thread of its own.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use logboom_segment::{FileState, SegmentName};

use super::StoreState;
use super::recover::TORN_SUFFIX;
use super::storage::{Storage, StoredFile};
use super::usage::DirectoryUses;
use super::volumes::Volumes;

/// Time between looks whether something is to be deleted.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Time between looks whether a deletion has made room, and the longest that is waited for: a file that is being read takes up
/// its room until it is closed, and some file systems free it only later.
const ROOM_LOOK_INTERVAL: Duration = Duration::from_millis(50);
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a data directory may hold; `None` sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionLimits {
    /// Time since a segment was last written to.
    pub max_age: Option<Duration>,
    /// All our files together, bytes.
    pub max_bytes: Option<u64>,
    /// Bytes to be left free in the file system.
    pub min_free_bytes: Option<u64>,
}

/// Why a segment is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// `retention.max_age`
    Age,
    /// `retention.max_bytes`
    Bytes,
    /// `retention.min_free`
    Free,
    /// `store.on_full = "evict_oldest"`
    Full,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Age, Self::Bytes, Self::Free, Self::Full];

    /// Its name in metrics and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Age => "max_age",
            Self::Bytes => "max_bytes",
            Self::Free => "min_free",
            Self::Full => "on_full",
        }
    }
}

/// What deletes and what replaces files must not meet: a segment written anew must not bring back a deleted one.
#[derive(Debug, Default)]
pub struct FileLock(Mutex<()>);

impl FileLock {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of `files` to delete, oldest first: sealed segments, and the torn tails that belong to them. Never an open segment,
/// and never a file that is not ours.
pub(crate) fn decide(
    files: &[StoredFile],
    now: SystemTime,
    free_bytes: u64,
    limits: &RetentionLimits,
) -> Vec<(String, Reason)> {
    let mut sealed: Vec<&StoredFile> = files.iter().filter(|file| is_sealed(&file.name)).collect();
    sealed.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
    let mut used_bytes: u64 = files.iter().filter(|file| is_ours(&file.name)).map(|file| file.bytes).sum();
    let mut free_bytes = free_bytes;
    let mut deleted = Vec::new();
    for segment in sealed {
        let age = now.duration_since(segment.modified).unwrap_or_default();
        let reason = if limits.max_age.is_some_and(|max| age > max) {
            Reason::Age
        } else if limits.max_bytes.is_some_and(|max| used_bytes > max) {
            Reason::Bytes
        } else if limits.min_free_bytes.is_some_and(|min| free_bytes < min) {
            Reason::Free
        } else {
            break;
        };
        for file in files.iter().filter(|file| belongs_to(&file.name, &segment.name)) {
            used_bytes -= file.bytes;
            free_bytes = free_bytes.saturating_add(file.bytes);
            deleted.push((file.name.clone(), reason));
        }
    }
    // A torn tail whose segment held nothing else, or is gone.
    let names: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let orphans = files.iter().filter(|file| {
        let age = now.duration_since(file.modified).unwrap_or_default();
        let segment = file.name.strip_suffix(TORN_SUFFIX).filter(|segment| is_sealed(segment));
        segment.is_some_and(|segment| !names.contains(segment)) && limits.max_age.is_some_and(|max| age > max)
    });
    deleted.extend(orphans.map(|file| (file.name.clone(), Reason::Age)));
    deleted
}

fn is_sealed(name: &str) -> bool {
    matches!(SegmentName::parse_file_name(name), Some((_, FileState::Sealed)))
}

fn is_ours(name: &str) -> bool {
    SegmentName::parse_file_name(name.strip_suffix(TORN_SUFFIX).unwrap_or(name)).is_some()
}

fn belongs_to(name: &str, segment: &str) -> bool {
    name == segment || name.strip_suffix(TORN_SUFFIX) == Some(segment)
}

/// Segments deleted so far, by reason.
#[derive(Debug, Default)]
pub struct RetentionCounts([AtomicU64; Reason::ALL.len()]);

impl RetentionCounts {
    /// For one reason.
    #[must_use]
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}

/// The writers' end: asks for room when the disk is full.
#[derive(Clone)]
pub struct RoomSender(Sender<Arc<dyn Storage>>);

impl RoomSender {
    /// Asks that `storage` be given room, unless that is being asked already.
    pub(crate) fn ask(&self, storage: &Arc<dyn Storage>) {
        let _ = self.0.try_send(Arc::clone(storage));
    }
}

/// A deletion that is to make room.
struct Deletion {
    free_bytes_before: u64,
    begun: Instant,
}

impl Deletion {
    /// Whether the room is still to come.
    fn is_awaited(&self, free_bytes: u64, now: Instant) -> bool {
        free_bytes <= self.free_bytes_before && now.duration_since(self.begun) < ROOM_WAIT_MAX
    }
}

/// The thread that deletes.
pub struct Retention {
    volumes: Arc<Volumes>,
    limits: RetentionLimits,
    evict_when_full: bool,
    files: Arc<FileLock>,
    counts: Arc<RetentionCounts>,
    uses: Arc<DirectoryUses>,
    asked: Receiver<Arc<dyn Storage>>,
}

impl Retention {
    /// It ends when every [`RoomSender`] is gone.
    #[must_use]
    pub fn new(
        state: &StoreState,
        limits: RetentionLimits,
        evict_when_full: bool,
        files: Arc<FileLock>,
    ) -> (Self, RoomSender) {
        let (sender, asked) = bounded(1);
        let StoreState { volumes, retention: counts, uses, .. } = state.clone();
        (Self { volumes, limits, evict_when_full, files, counts, uses, asked }, RoomSender(sender))
    }

    /// Deletes until the last writer is gone.
    pub fn run(self) {
        let mut next = Instant::now();
        loop {
            match self.asked.recv_deadline(next) {
                Ok(storage) => self.make_room(&*storage),
                Err(RecvTimeoutError::Timeout) => {
                    for storage in self.volumes.all() {
                        self.keep_limits(&**storage);
                        self.uses.look(&**storage);
                    }
                    next = Instant::now() + LOOK_INTERVAL;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    /// Deletes what the limits say; returns how many files.
    fn keep_limits(&self, storage: &dyn Storage) -> usize {
        if self.limits == RetentionLimits::default() {
            return 0;
        }
        let deleted = storage.list().and_then(|files| {
            let deleted = decide(&files, SystemTime::now(), storage.free_bytes()?, &self.limits);
            self.delete(storage, &deleted)
        });
        deleted.unwrap_or_else(|error| {
            tracing::error!("deleting old segments in {}: {error}", storage.path().display());
            0
        })
    }

    /// The disk is full: the limits first, then, if that is the policy, the oldest segment. Nothing more is deleted before that
    /// has made room.
    fn make_room(&self, storage: &dyn Storage) {
        let free_bytes = || storage.free_bytes().unwrap_or_default();
        let deletion = Deletion { free_bytes_before: free_bytes(), begun: Instant::now() };
        let deleted = match self.keep_limits(storage) {
            0 if self.evict_when_full => self.evict_oldest(storage),
            deleted => deleted,
        };
        while deleted > 0 && deletion.is_awaited(free_bytes(), Instant::now()) {
            // Asked again meanwhile: this is the answer.
            if let Err(RecvTimeoutError::Disconnected) = self.asked.recv_timeout(ROOM_LOOK_INTERVAL) {
                return;
            }
        }
        while self.asked.try_recv().is_ok() {}
    }

    /// Deletes the oldest segment; returns how many files that were.
    fn evict_oldest(&self, storage: &dyn Storage) -> usize {
        let evicted = storage.list().and_then(|files| {
            let limits = RetentionLimits { min_free_bytes: Some(1), ..RetentionLimits::default() };
            let oldest = decide(&files, SystemTime::now(), 0, &limits);
            let oldest: Vec<_> = oldest.into_iter().map(|(name, _)| (name, Reason::Full)).collect();
            self.delete(storage, &oldest)
        });
        evicted.unwrap_or_else(|error| {
            tracing::error!("making room in {}: {error}", storage.path().display());
            0
        })
    }

    fn delete(&self, storage: &dyn Storage, files: &[(String, Reason)]) -> io::Result<usize> {
        for (name, reason) in files {
            let _no_rewrite = self.files.lock();
            match storage.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if is_sealed(name) {
                self.counts.0[*reason as usize].fetch_add(1, Ordering::Relaxed);
            }
            tracing::info!("deleted {} ({})", storage.path().join(name).display(), reason.name());
        }
        Ok(files.len())
    }
}

#[cfg(test)]
mod tests {
    use logboom_segment::RunId;

    use super::*;
    use crate::store::directory::DataDirectory;

    const NOW_SECS: u64 = 1_000_000;

    fn segment(number: u32, age_secs: u64) -> StoredFile {
        let name = format!("20261122T101500Z-w0-00000000000000ab-{number:06}.log.zst");
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECS - age_secs);
        StoredFile { name, bytes: 100, modified }
    }

    fn deleted(files: &[StoredFile], free_bytes: u64, limits: RetentionLimits) -> Vec<(usize, Reason)> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECS);
        let place = |name: &String| files.iter().position(|file| file.name == *name).unwrap();
        decide(files, now, free_bytes, &limits).iter().map(|(name, reason)| (place(name), *reason)).collect()
    }

    #[test]
    fn each_limit_deletes_the_oldest_and_no_more_than_needed() {
        // Not in order of name: the clock may have been wrong when a file was named.
        let files = [segment(1, 10), segment(2, 40), segment(3, 30), segment(4, 20)];
        let none = RetentionLimits::default();
        assert_eq!(deleted(&files, 0, none), []);
        let age = |secs| RetentionLimits { max_age: Some(Duration::from_secs(secs)), ..none };
        assert_eq!(deleted(&files, 0, age(40)), []);
        assert_eq!(deleted(&files, 0, age(29)), [(1, Reason::Age), (2, Reason::Age)]);
        let bytes = |max| RetentionLimits { max_bytes: Some(max), ..none };
        assert_eq!(deleted(&files, 0, bytes(400)), []);
        assert_eq!(deleted(&files, 0, bytes(399)), [(1, Reason::Bytes)]);
        assert_eq!(deleted(&files, 0, bytes(0)).len(), 4);
        let free = |min| RetentionLimits { min_free_bytes: Some(min), ..none };
        assert_eq!(deleted(&files, 50, free(50)), []);
        assert_eq!(deleted(&files, 50, free(251)), [(1, Reason::Free), (2, Reason::Free), (3, Reason::Free)]);
        let both = RetentionLimits { max_age: Some(Duration::from_secs(35)), max_bytes: Some(200), ..none };
        assert_eq!(deleted(&files, 0, both), [(1, Reason::Age), (2, Reason::Bytes)]);
    }

    #[test]
    fn open_segments_and_files_of_others_stay_whatever_their_age() {
        let all = RetentionLimits { max_age: Some(Duration::ZERO), max_bytes: Some(0), min_free_bytes: Some(u64::MAX) };
        let mut files = [segment(1, 900), segment(2, 900), segment(3, 900), segment(4, 900), segment(5, 900)];
        files[0].name += ".open";
        files[1].name = "messages.log.zst".into();
        files[2].name = format!("repaired-{}", files[2].name);
        files[3].name = "logboom.lock".into();
        assert_eq!(deleted(&files, 0, all), [(4, Reason::Age)]);
    }

    #[test]
    fn a_deletion_is_waited_for_until_it_has_made_room_and_not_for_ever() {
        let begun = Instant::now();
        let deletion = Deletion { free_bytes_before: 1_000, begun };
        assert!(deletion.is_awaited(1_000, begun), "somebody reads the file");
        assert!(deletion.is_awaited(900, begun + ROOM_WAIT_MAX / 2), "and others write");
        assert!(!deletion.is_awaited(1_001, begun));
        assert!(!deletion.is_awaited(1_000, begun + ROOM_WAIT_MAX));
    }

    #[test]
    fn what_the_limits_delete_answers_all_who_asked_for_room() {
        let directory = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(DataDirectory::open(directory.path(), RunId(1), 0).unwrap());
        let names = [1, 2, 3].map(|number| segment(number, 0).name);
        names.iter().for_each(|name| storage.create(name).unwrap().write_at(&[7; 1 << 20], 0).unwrap());
        let limits = RetentionLimits { max_bytes: Some(5 << 19), ..RetentionLimits::default() };
        let state = StoreState::new(Volumes::new(vec![Arc::clone(&storage)]), 0);
        let (retention, room) = Retention::new(&state, limits, true, Arc::default());
        room.ask(&storage);
        retention.make_room(&*storage);
        assert!(retention.asked.is_empty(), "asked before it was there");
        assert_eq!((retention.counts.get(Reason::Bytes), retention.counts.get(Reason::Full)), (1, 0));
    }

    #[test]
    fn an_open_segment_counts_for_the_bytes() {
        let mut files = [segment(1, 900), segment(2, 1)];
        files[1].name += ".open";
        let limits = RetentionLimits { max_bytes: Some(150), ..RetentionLimits::default() };
        assert_eq!(deleted(&files, 0, limits), [(0, Reason::Bytes)]);
    }

    #[test]
    fn a_torn_tail_goes_with_its_segment() {
        let mut files = [segment(1, 40), segment(1, 40), segment(2, 50)];
        files[1].name += TORN_SUFFIX;
        files[2].name += TORN_SUFFIX;
        let limits = RetentionLimits { max_bytes: Some(250), ..RetentionLimits::default() };
        assert_eq!(deleted(&files, 0, limits), [(0, Reason::Bytes), (1, Reason::Bytes)]);
        let limits = RetentionLimits { max_age: Some(Duration::from_secs(45)), ..RetentionLimits::default() };
        assert_eq!(deleted(&files, 0, limits), [(2, Reason::Age)], "its segment held nothing else");
    }

    #[test]
    fn a_file_from_the_future_has_no_age() {
        let files =
            [StoredFile { modified: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECS * 2), ..segment(1, 0) }];
        let limits = RetentionLimits { max_age: Some(Duration::ZERO), ..RetentionLimits::default() };
        assert_eq!(deleted(&files, 0, limits), []);
    }
}
