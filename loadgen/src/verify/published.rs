//! The books of one thread as the others see them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Latency;
use super::tracker::{Progress, Tracker};

/// How often percentiles are worked out: it takes a walk through all counts.
const LATENCY_INTERVAL: Duration = Duration::from_secs(1);

/// What others see of books that one thread keeps. Each figure is right by itself; together they may be of two moments.
#[derive(Debug, Default)]
pub struct Published {
    /// 0 while it is not known.
    start_ns: AtomicU64,
    figures: [AtomicU64; 7],
    /// As it was when last looked at, and when that was.
    latency: Mutex<Option<(Instant, Option<Latency>)>>,
}

impl Published {
    /// Passes on when the run starts, before its first message: see [`Tracker::begin_at`].
    pub fn begin_at(&self, start_ns: u64) {
        self.start_ns.store(start_ns, Ordering::Release);
    }

    /// As last published.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let [examined, stored, corrupted, duplicates, reordered, unexpected, missing] =
            [0, 1, 2, 3, 4, 5, 6].map(|at: usize| self.figures[at].load(Ordering::Relaxed));
        Progress { examined, stored, corrupted, duplicates, reordered, unexpected, missing }
    }

    /// From when messages were due to when they were received, a second ago or less.
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        latency.as_ref().and_then(|(_, latency)| latency.clone())
    }

    /// Tells `tracker` when the run started, if that is known by now.
    pub(crate) fn tell_start(&self, tracker: &mut Tracker) {
        match self.start_ns.load(Ordering::Acquire) {
            0 => {}
            start_ns => tracker.begin_at(start_ns),
        }
    }

    /// Shows how far `tracker` is.
    pub(crate) fn publish(&self, tracker: &Tracker) {
        let Progress { examined, stored, corrupted, duplicates, reordered, unexpected, missing } = tracker.progress();
        let values = [examined, stored, corrupted, duplicates, reordered, unexpected, missing];
        self.figures.iter().zip(values).for_each(|(figure, value)| figure.store(value, Ordering::Relaxed));
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        if latency.as_ref().is_none_or(|(since, _)| since.elapsed() >= LATENCY_INTERVAL) {
            *latency = Some((Instant::now(), tracker.latency()));
        }
    }
}
