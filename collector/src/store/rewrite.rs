//! The background rewrite of sealed segments, with whatever processor time nobody else wants: small blocks of quiet hours are
//! joined, blocks that were stored plain in a burst are compressed, and, where configured, old segments are compressed harder.
//!
//! A segment is written to a temporary file, synced, and renamed over the old one: a reader that has the old one open reads
//! on there, and a crash leaves one of both whole, never two.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use logboom_segment::limits::{CONTENT_BYTES_MAX, ROWS_MAX};
use logboom_segment::{
    Decoder, FileState, Recompress, Rewrite, RewriteError, RewriteGoal, RowLimits, Segment, SegmentName,
    is_worth_rewriting,
};

use super::recover::REWRITE_SUFFIX;
use super::retention::FileLock;
use super::storage::{SegmentFile, Storage, StoredFile};
use super::volumes::Volumes;
use crate::block::{BlockPool, SOURCES_PER_BLOCK_MAX};

/// Segments that wait to be looked at; what is sealed while so many wait is left as it is.
pub const WAITING_MAX: usize = 1024;

/// Of the segments that earlier runs left, so many of the latest are looked at.
const EARLIER_MAX: usize = 64;

/// Time between looks for segments that have become old enough to be compressed harder.
const COLD_LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Time between looks for anything to do, or whether the load is gone.
const IDLE_SLEEP: Duration = Duration::from_millis(200);

/// zstd level of old segments: the highest that decodes with 8 MiB of window as fast as any.
const COLD_LEVEL: i8 = 19;

/// Counts of the rewrite.
#[derive(Debug, Default)]
pub struct RewriteCounts {
    /// Segments that wait.
    pub waiting: AtomicU64,
    /// Bytes of these.
    pub waiting_bytes: AtomicU64,
    /// Segments written anew.
    pub rewritten: AtomicU64,
    /// Segments left as they are because too many waited.
    pub skipped: AtomicU64,
    /// Bytes that were saved.
    pub saved_bytes: AtomicU64,
}

/// A sealed segment to look at.
#[derive(Clone)]
pub struct Candidate {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) name: String,
}

/// The sync thread's end: tells of sealed segments.
#[derive(Clone)]
pub struct SealedSender(Sender<Candidate>, Arc<RewriteCounts>);

impl SealedSender {
    pub(crate) fn send(&self, candidate: Candidate) {
        // Without a receiver the collector is stopping; the next start looks at it.
        if let Err(TrySendError::Full(_)) = self.0.try_send(candidate) {
            note_skipped(&self.1);
        }
    }
}

fn note_skipped(counts: &RewriteCounts) {
    if counts.skipped.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!(
            "{WAITING_MAX} segments wait to be written anew: more come in than can be; some stay as they are \
             (logboom_rewrite_skipped_segments_total)"
        );
    }
}

/// What the rewrite is made from.
pub struct RewriteContext {
    /// Where segments are.
    pub volumes: Arc<Volumes>,
    /// Keeps retention from deleting what is being replaced.
    pub files: Arc<FileLock>,
    /// What is to stay free beside a copy.
    pub min_free_bytes: u64,
    /// Its free blocks tell the load.
    pub pool: Arc<BlockPool>,
    /// Counted here.
    pub counts: Arc<RewriteCounts>,
    /// Ends the thread.
    pub stop: Arc<AtomicBool>,
}

/// The thread that writes anew.
pub struct Rewriter {
    context: RewriteContext,
    warm: RewriteGoal,
    /// Age from which segments are compressed harder.
    cold_age: Option<Duration>,
    sealed: Receiver<Candidate>,
    waiting: VecDeque<(Candidate, u64, RewriteGoal)>,
    /// Old segments that need not be looked at again.
    known_cold: HashSet<PathBuf>,
    /// It was told that there are more of them than may wait.
    told_of_cold: bool,
    next_cold_look: Instant,
}

impl Rewriter {
    /// Blocks of at most `block_bytes` at `level`; segments of `cold_age`, if any, harder.
    #[must_use]
    pub fn new(
        context: RewriteContext,
        block_bytes: usize,
        level: i8,
        cold_age: Option<Duration>,
    ) -> (Self, SealedSender) {
        let (sender, sealed) = bounded(WAITING_MAX);
        let limits = RowLimits { content_bytes: block_bytes, rows: ROWS_MAX, sources: SOURCES_PER_BLOCK_MAX };
        let warm = RewriteGoal { limits, level, recompress: Recompress::Plain };
        let counts = Arc::clone(&context.counts);
        let rewriter = Self {
            context,
            warm,
            cold_age,
            sealed,
            waiting: VecDeque::new(),
            known_cold: HashSet::new(),
            told_of_cold: false,
            next_cold_look: Instant::now(),
        };
        (rewriter, SealedSender(sender, counts))
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        self.look_at_earlier();
        while !self.stops() {
            self.take_sealed();
            self.look_for_cold();
            match self.waiting.pop_front() {
                Some((candidate, _, goal)) => {
                    self.rewrite(&candidate, goal);
                    self.count_waiting();
                }
                None => std::thread::sleep(IDLE_SLEEP),
            }
        }
    }

    fn stops(&self) -> bool {
        self.context.stop.load(Ordering::Acquire)
    }

    /// Whether there was room for it. What was just sealed goes before what is old.
    fn wait_for(&mut self, candidate: Candidate, bytes: u64, goal: RewriteGoal) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        if goal.recompress == Recompress::All {
            self.waiting.push_back((candidate, bytes, goal));
        } else {
            self.waiting.push_front((candidate, bytes, goal));
        }
        self.count_waiting();
        true
    }

    fn count_waiting(&self) {
        let counts = &self.context.counts;
        counts.waiting.store(self.waiting.len() as u64, Ordering::Relaxed);
        counts.waiting_bytes.store(self.waiting.iter().map(|(_, bytes, _)| bytes).sum(), Ordering::Relaxed);
    }

    fn take_sealed(&mut self) {
        while let Ok(candidate) = self.sealed.try_recv() {
            let bytes = candidate.storage.open(&candidate.name).and_then(|file| file.size()).unwrap_or_default();
            if !self.wait_for(candidate, bytes, self.warm) {
                note_skipped(&self.context.counts);
            }
        }
    }

    /// What a run before this one sealed last: it may not have had the time.
    fn look_at_earlier(&mut self) {
        let mut files = self.sealed_files();
        files.sort_by_key(|(_, file)| std::cmp::Reverse(file.modified));
        for (candidate, file) in files.into_iter().take(EARLIER_MAX) {
            self.wait_for(candidate, file.bytes, self.warm);
        }
    }

    fn look_for_cold(&mut self) {
        let Some(cold_age) = self.cold_age.filter(|_| Instant::now() >= self.next_cold_look) else { return };
        self.next_cold_look = Instant::now() + COLD_LOOK_INTERVAL;
        let limits = RowLimits { content_bytes: CONTENT_BYTES_MAX, rows: ROWS_MAX, sources: SOURCES_PER_BLOCK_MAX };
        let goal = RewriteGoal { limits, level: COLD_LEVEL, recompress: Recompress::All };
        let now = SystemTime::now();
        let mut known_cold = HashSet::new();
        let mut files = self.sealed_files();
        // The oldest first: with more than there is room for, the rest gets its turn at a later look.
        files.sort_by_key(|(_, file)| file.modified);
        let is_cold = |file: &StoredFile| now.duration_since(file.modified).is_ok_and(|age| age >= cold_age);
        for (candidate, file) in files.into_iter().filter(|(_, file)| is_cold(file)) {
            let path = candidate.storage.path().join(&file.name);
            if self.known_cold.contains(&path) || self.wait_for(candidate, file.bytes, goal) {
                known_cold.insert(path);
            } else if !std::mem::replace(&mut self.told_of_cold, true) {
                tracing::warn!(
                    "{WAITING_MAX} segments wait to be written anew: compressing old ones at level {COLD_LEVEL} cannot keep up; \
                     the others stay as they are meanwhile (store.recompress_after)"
                );
            }
        }
        // Those that are gone are forgotten.
        self.known_cold = known_cold;
    }

    fn sealed_files(&self) -> Vec<(Candidate, StoredFile)> {
        let is_sealed =
            |file: &StoredFile| matches!(SegmentName::parse_file_name(&file.name), Some((_, FileState::Sealed)));
        let list = |storage: &Arc<dyn Storage>| {
            let files = storage.list().unwrap_or_default().into_iter().filter(is_sealed);
            let candidate =
                |file: StoredFile| (Candidate { storage: Arc::clone(storage), name: file.name.clone() }, file);
            files.map(candidate).collect::<Vec<_>>()
        };
        self.context.volumes.all().flat_map(list).collect()
    }

    fn rewrite(&self, candidate: &Candidate, goal: RewriteGoal) {
        let temporary = format!("{}{REWRITE_SUFFIX}", candidate.name);
        let written = self.write_anew(candidate, goal, &temporary);
        if !matches!(written, Ok(true)) {
            // It was not made, or is not wanted; a name that is not there is no error.
            let _ = candidate.storage.remove(&temporary);
        }
        if let Err(error) = written {
            let path = candidate.storage.path().join(&candidate.name);
            tracing::warn!("writing {} anew: {error}; it stays as it is", path.display());
        }
    }

    /// Whether the segment was replaced; not where there is nothing to gain, or it is gone, or we are to stop.
    fn write_anew(&self, candidate: &Candidate, goal: RewriteGoal, temporary: &str) -> Result<bool, RewriteError> {
        let storage = &candidate.storage;
        let old = match storage.open(&candidate.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(into_format)?,
        };
        let run_id = SegmentName::parse_file_name(&candidate.name).map(|(name, _)| name.run_id);
        let segment = Segment::open_of(&*old, run_id, &mut Decoder::new().map_err(into_format)?)?;
        if !segment.sealed || !is_worth_rewriting(&segment, &goal) {
            return Ok(false);
        }
        let needed = old.size().map_err(into_format)?.saturating_add(self.context.min_free_bytes);
        if storage.free_bytes().map_err(into_format)? < needed {
            return Ok(false);
        }
        let mut rewrite = Rewrite::new(&segment, goal).map_err(into_format)?;
        let new = storage.create(temporary).map_err(into_format)?;
        let (mut block, mut bytes) = (Vec::new(), 0);
        while self.wait_for_quiet() && rewrite.next_block(&*old, &mut block)? {
            new.write_at(&block, bytes).map_err(into_format)?;
            bytes += block.len() as u64;
        }
        if self.stops() || rewrite.messages() != segment.messages() {
            return Ok(false);
        }
        let end = rewrite.end().map_err(into_format)?;
        new.write_at(&end, bytes).map_err(into_format)?;
        self.replace(candidate, temporary, &*new, &*old).map_err(into_format)
    }

    fn replace(
        &self,
        candidate: &Candidate,
        temporary: &str,
        new: &dyn SegmentFile,
        old: &dyn SegmentFile,
    ) -> io::Result<bool> {
        let (storage, name) = (&candidate.storage, &candidate.name);
        new.set_modified(old.modified()?)?;
        new.sync()?;
        let no_deletion = self.context.files.lock();
        match storage.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => _ = opened?,
        }
        storage.rename(temporary, name)?;
        drop(no_deletion);
        storage.sync_names()?;
        let (old_bytes, new_bytes) = (old.size()?, new.size()?);
        let counts = &self.context.counts;
        counts.rewritten.fetch_add(1, Ordering::Relaxed);
        counts.saved_bytes.fetch_add(old_bytes.saturating_sub(new_bytes), Ordering::Relaxed);
        tracing::debug!("wrote {} anew: {old_bytes} B are now {new_bytes} B", storage.path().join(name).display());
        Ok(true)
    }

    /// Waits while blocks pile up; false when it is time to stop.
    fn wait_for_quiet(&self) -> bool {
        let pool = &self.context.pool;
        while !self.stops() && pool.free() < pool.blocks() / 4 * 3 {
            std::thread::sleep(IDLE_SLEEP);
        }
        !self.stops()
    }
}

fn into_format(error: io::Error) -> RewriteError {
    RewriteError::Format(error.into())
}
