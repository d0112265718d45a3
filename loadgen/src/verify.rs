//! What became of a run: every message that arrived looked at, as it comes or afterwards in what a collector stored.
//!
//! * [`Tracker`]: the books, whatever feeds them;
//! * [`examine_paths`]: from files;
//! * [`LiveReader`]: from a collector that streams what it takes;
//! * [`Published`]: the books as others see them meanwhile.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use logboom_segment::FormatError;
use serde::{Deserialize, Serialize};

use crate::message::UNTAGGED;
use crate::report::{Report, Verdict};
use crate::tag::RunTag;

mod distribution;
mod figures;
mod files;
mod inputs;
mod lines;
mod live;
mod numbers;
mod published;
mod tracker;

pub use figures::{Latency, LossRuns, ReorderDepth, RunLengths};
pub(crate) use inputs::Segments;
pub use inputs::examine_paths;
pub use live::{LiveError, LiveReader, Record};
pub use published::Published;
pub use tracker::{Progress, SECONDS_MAX, Tracker};

/// What was found. `docs/loadgen.md` describes the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Messages of the run, sent or not, that were found as they were sent.
    pub stored: u64,
    /// Of the stored, found in text only once what a collector had put behind them was taken off.
    pub wrapped: u64,
    /// Of the sent, not found at all.
    pub lost: u64,
    /// Lost by sent.
    pub loss_ratio: f64,
    /// Of the lost, those behind the last that was found of their flow: all that came after a collector went away.
    pub lost_at_end: u64,
    /// The lost, by how many were lost one behind the other.
    pub loss_runs: LossRuns,
    /// Found again after the first time.
    pub duplicates: u64,
    /// Found behind a later one of their flow.
    pub reordered: u64,
    /// How far behind.
    pub reorder_depth: ReorderDepth,
    /// Found, but changed; all there are is `stored + lost + corrupted`, unless a change made the number itself unreadable.
    pub corrupted: u64,
    /// Found with numbers that were never sent.
    pub unexpected: u64,
    /// Messages and lines looked at.
    pub examined: u64,
    /// Blocks of segments, and ranges that may have been blocks, that cannot be read: what was in them counts as lost.
    #[serde(default)]
    pub damaged_blocks: u64,
    /// That there was no file to look at, in words: all being lost then says more of the check than of a collector.
    #[serde(default)]
    pub absent: Option<String>,
    /// The stored by the second in which they were due, counted from the start of the run; what is later than a day counts
    /// with the last.
    pub stored_by_second: Vec<u64>,
    /// From when they were due to when they were received; null when no time is known.
    pub latency: Option<Latency>,
    /// From when they were due to when they were known to be on disk; null when that is not known.
    pub latency_synced: Option<Latency>,
}

impl Verification {
    /// That some of what is lost may lie in blocks that cannot be read; `None` when there are none.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        let count = self.damaged_blocks;
        (count > 0)
            .then(|| format!("{count} blocks cannot be read: what was in them counts as lost (see logboom verify)"))
    }

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
    /// The run sent messages without tags.
    #[error(
        "the run replayed messages as they were, without tags, and nothing tells them from others: replay with --tag to \
         find them again"
    )]
    Untagged,
    /// The report's start is no time.
    #[error("started {0:?} in the report is no time of RFC 3339")]
    Started(String),
    /// There is no memory to decode with.
    #[error("a decoder: {0}")]
    Memory(io::Error),
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

/// Looks for the messages of a run that is over: see [`examine_paths`].
///
/// # Errors
/// [`VerifyError`].
pub fn verify(report: &Report, paths: &[PathBuf]) -> Result<Verification, VerifyError> {
    let mut tracker = tracker_of(report)?;
    examine_paths(paths, &mut tracker)?;
    Ok(tracker.finish(&report.offered_by_flow))
}

/// Empty books for a run that is over.
fn tracker_of(report: &Report) -> Result<Tracker, VerifyError> {
    if report.plan.format == UNTAGGED {
        return Err(VerifyError::Untagged);
    }
    let run = Some(&report.run).filter(|run| run.len() == 8).and_then(|run| u32::from_str_radix(run, 16).ok());
    let run = run.ok_or_else(|| VerifyError::Run(report.run.clone()))?;
    let started: Timestamp = report.started.parse().map_err(|_| VerifyError::Started(report.started.clone()))?;
    // Numbers up to the plan are no surprise, though the run ended before it came to them.
    let offered = report.offered_by_flow.iter().fold(0u64, |sum, offered| sum.saturating_add(*offered));
    let (flows, messages_max) = (report.offered_by_flow.len() as u32, offered.max(report.offered));
    let mut tracker = Tracker::new(RunTag::new(run), flows, messages_max);
    tracker.begin_at(u64::try_from(started.as_nanosecond()).unwrap_or(0));
    Ok(tracker)
}

/// The verdict on a run whose plan was kept or not.
#[must_use]
pub fn verdict(report: &Report, verification: &Verification) -> Verdict {
    // What its own check could not find out is found now.
    let is_only_unknown = report.check_failed.is_some() && report.reason == report.unknown();
    match report.verdict {
        Verdict::Invalid if !is_only_unknown => Verdict::Invalid,
        _ if verification.is_complete() => Verdict::Pass,
        _ => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_whose_check_failed_is_judged_by_what_is_found_later_unless_its_plan_was_not_kept() {
        let run: Report = serde_json::from_str(include_str!("../tests/golden/pages/udp.json")).unwrap();
        let mut unknown = Report { verdict: Verdict::Invalid, check_failed: Some("it broke".into()), ..run };
        unknown.reason = unknown.unknown();
        let (whole, lossy) = (Verification::default(), Verification { lost: 1, ..Verification::default() });
        assert_eq!((verdict(&unknown, &whole), verdict(&unknown, &lossy)), (Verdict::Pass, Verdict::Fail));
        let late = Report { reason: Some("late".into()), ..unknown };
        assert_eq!(verdict(&late, &whole), Verdict::Invalid);
    }
}
