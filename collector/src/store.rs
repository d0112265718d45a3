//! From blocks to files: writers encode and write, one thread syncs and seals. Beside them, away from the data path, threads
//! that recover what a dead collector left, delete what is too old, and write sealed segments anew.

#[cfg(test)]
mod crash;
pub mod directory;
mod effort;
#[cfg(test)]
mod faults;
pub mod recover;
pub mod retention;
pub mod rewrite;
mod rotate;
mod segment;
pub mod storage;
pub mod sync;
pub mod unsynced;
pub mod usage;
pub mod volumes;
pub mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logboom_segment::RunId;
use logboom_udp::thread;

use self::recover::{Recovered, recover};
use self::retention::{FileLock, Retention, RetentionCounts, RetentionLimits};
use self::rewrite::{RewriteContext, RewriteCounts, Rewriter, SealedSender};
use self::sync::Syncer;
use self::unsynced::Unsynced;
use self::usage::DirectoryUses;
use self::volumes::Volumes;
use self::writer::{Writer, WriterContext};
use crate::config::{Config, OnFull};
use crate::ledger::Ledger;
use crate::queue::BlockReceiver;
use crate::telemetry::StoreTimes;

/// Niceness of writers where receivers may not be real-time threads: at equal priority on one processor, writers cost
/// 2.7 % of the datagrams at 870,000 a second (`docs/decisions/0001`).
const WRITER_NICE: i32 = 10;

/// A shutdown waits so long for a rewrite to be given up.
const REWRITER_TIMEOUT: Duration = Duration::from_secs(1);

/// What can be known of the store while it runs.
#[derive(Clone)]
pub struct StoreState {
    /// The data directories.
    pub volumes: Arc<Volumes>,
    /// What these take up.
    pub uses: Arc<DirectoryUses>,
    /// What is written and not yet synced.
    pub unsynced: Arc<Unsynced>,
    /// What was deleted.
    pub retention: Arc<RetentionCounts>,
    /// What was written anew.
    pub rewrite: Arc<RewriteCounts>,
    /// What a dead collector had left.
    pub recovered: Arc<Mutex<Recovered>>,
}

impl StoreState {
    /// Nothing done yet.
    #[must_use]
    pub fn new(volumes: Volumes, unsynced_bytes: usize) -> Self {
        Self {
            uses: Arc::new(DirectoryUses::new(&volumes)),
            volumes: Arc::new(volumes),
            unsynced: Arc::new(Unsynced::new(unsynced_bytes)),
            retention: Arc::default(),
            rewrite: Arc::default(),
            recovered: Arc::default(),
        }
    }

    /// What was recovered so far.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        *self.recovered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the store is started with.
pub struct StoreContext<'a> {
    /// How.
    pub config: &'a Config,
    /// This run.
    pub run_id: RunId,
    /// The listeners that sources name by number.
    pub listeners: Arc<[String]>,
    /// What can be known of it.
    pub state: &'a StoreState,
    /// Where blocks go back to, and what is counted.
    pub ledger: &'a Arc<Ledger>,
    /// Durations of writes and syncs.
    pub times: StoreTimes,
    /// Receivers may not outrank the writers: these step back.
    pub writers_step_back: bool,
}

/// The store's threads.
pub struct Store {
    writers: Vec<JoinHandle<()>>,
    syncer: JoinHandle<()>,
    retention: JoinHandle<()>,
    rewriter: JoinHandle<()>,
    stop_rewriter: Arc<AtomicBool>,
}

impl Store {
    /// Starts one writer for each of `queue_ends`, and the threads beside them.
    ///
    /// # Errors
    /// When there is no memory for zstd, or no thread.
    pub fn start(context: StoreContext<'_>, queue_ends: Vec<BlockReceiver>) -> io::Result<Self> {
        let StoreContext { config, run_id, listeners, state, ledger, times, writers_step_back } = context;
        let files = Arc::new(FileLock::default());
        let stop_rewriter = Arc::new(AtomicBool::new(false));
        let (rewriter, sealed) = rewriter(config, state, ledger, &files, &stop_rewriter);
        let rewriter = {
            let (state, stop) = (state.clone(), Arc::clone(&stop_rewriter));
            spawn("rewrite", move || {
                recover_all(&state, run_id, &stop);
                // Not where it is not permitted: then it runs as any other thread.
                let _ = thread::yield_to_all();
                rewriter.run();
            })?
        };
        let evict_when_full = config.store.on_full == OnFull::EvictOldest;
        let (retention, room) = Retention::new(state, retention_limits(config), evict_when_full, files);
        let retention = spawn("retention", || retention.run())?;
        let (syncer, sync) = Syncer::new(
            config.store.sync,
            Arc::clone(&state.volumes),
            Arc::clone(&state.unsynced),
            times.clone(),
            sealed,
        );
        let syncer = spawn("sync", || syncer.run())?;
        let context = WriterContext {
            volumes: Arc::clone(&state.volumes),
            run_id,
            listeners,
            ledger: Arc::clone(ledger),
            sync,
            room,
            unsynced: Arc::clone(&state.unsynced),
            unwritten: Arc::default(),
            times,
        };
        let mut writers = Vec::new();
        for (number, end) in queue_ends.into_iter().enumerate() {
            let writer = Writer::new(number, end, &config.store, context.clone())?;
            writers.push(spawn(&format!("wr-{number}"), move || {
                if writers_step_back && let Err(error) = thread::set_nice(WRITER_NICE) {
                    tracing::warn!("lowering the priority of a writer: {error}");
                }
                writer.run();
            })?);
        }
        Ok(Self { writers, syncer, retention, rewriter, stop_rewriter })
    }

    /// Waits until all that was queued is on disk; the queue is to be closed before.
    ///
    /// # Panics
    /// When a thread has panicked.
    pub fn join(self) {
        self.stop_rewriter.store(true, Ordering::Release);
        for thread in self.writers.into_iter().chain([self.syncer, self.retention]) {
            join(thread);
        }
        // It may be in the middle of compressing, at the lowest priority: what it has not finished is of no use, and the next
        // start removes it.
        let until = Instant::now() + REWRITER_TIMEOUT;
        while !self.rewriter.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.rewriter.is_finished() {
            join(self.rewriter);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or("unnamed").to_owned();
    assert!(thread.join().is_ok(), "thread {name} has panicked");
}

fn rewriter(
    config: &Config,
    state: &StoreState,
    ledger: &Arc<Ledger>,
    files: &Arc<FileLock>,
    stop: &Arc<AtomicBool>,
) -> (Rewriter, SealedSender) {
    let context = RewriteContext {
        min_free_bytes: config.retention.min_free.get(),
        volumes: Arc::clone(&state.volumes),
        files: Arc::clone(files),
        pool: Arc::clone(&ledger.pool),
        counts: Arc::clone(&state.rewrite),
        stop: Arc::clone(stop),
    };
    let store = &config.store;
    let cold_age = Some(store.recompress_after.get()).filter(|age| !age.is_zero());
    // The level is checked to be -7 to 19.
    Rewriter::new(context, store.block_size.as_usize(), store.level as i8, cold_age)
}

fn retention_limits(config: &Config) -> RetentionLimits {
    let retention = &config.retention;
    let bytes = |size: crate::config::Size| Some(size.get()).filter(|bytes| *bytes > 0);
    RetentionLimits {
        max_age: Some(retention.max_age.get()).filter(|age| !age.is_zero()),
        max_bytes: bytes(retention.max_bytes),
        min_free_bytes: bytes(retention.min_free),
    }
}

fn recover_all(state: &StoreState, run_id: RunId, stop: &AtomicBool) {
    for storage in state.volumes.all() {
        match recover(&**storage, run_id, stop) {
            Ok(recovered) => {
                *state.recovered.lock().unwrap_or_else(PoisonError::into_inner) += recovered;
                if recovered != Recovered::default() {
                    let Recovered { segments, messages, torn_bytes, damaged } = recovered;
                    tracing::info!(
                        "recovered {segments} segments with {messages} messages in {}; {torn_bytes} torn bytes, \
                         {damaged} damaged ranges",
                        storage.path().display()
                    );
                }
            }
            Err(error) => tracing::error!("recovering segments in {}: {error}", storage.path().display()),
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}
