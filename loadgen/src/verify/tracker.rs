//! The books of a run while its messages are found, as they come or afterwards.
//!
//! Each number of each flow is found unchanged, found changed, or not found: two bits each, so that the answer is exact and the
//! memory known. Of copies the first counts, and unchanged before changed; the others are duplicates. So, always,
//!
//! * sent = stored + lost + corrupted, of these only those whose number can be read;
//! * what carries the run's tag = stored + corrupted + duplicates + unexpected.

use super::Verification;
use super::distribution::Distribution;
use super::figures::{Delays, Latency, LossRunCount, ReorderDepth};
use super::lines::unwrapped;
use super::numbers::{Numbers, missing_runs};
use crate::tag::{Found, RunTag, SEQUENCE_MAX, Tag};

/// Seconds of a run that are told apart; what is later counts with the last.
pub const SECONDS_MAX: usize = 86_400;

/// The books of one run.
///
/// Memory: a quarter of a byte for each message, at most twice that while they grow; 0.6 MiB for the distributions and as much
/// for the seconds; 64 B a flow.
pub struct Tracker {
    run: RunTag,
    intact: Numbers,
    changed: Numbers,
    progress: Progress,
    wrapped: u64,
    depths: Distribution,
    damaged_blocks: u64,
    absent: Option<String>,
    start_ns: Option<u64>,
    by_second: Vec<u64>,
    received: Delays,
    synced: Delays,
}

/// How far it is: what is known without looking at every number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages and lines looked at.
    pub examined: u64,
    /// Numbers found unchanged.
    pub stored: u64,
    /// Numbers found only changed, and messages whose number cannot be read.
    pub corrupted: u64,
    /// Messages whose number was found before.
    pub duplicates: u64,
    /// Numbers found first, and unchanged, behind a later one of their flow.
    pub reordered: u64,
    /// Messages with numbers that were never sent.
    pub unexpected: u64,
    /// Numbers not found although a later one of their flow was: lost, if they do not come yet. At least so many, where some
    /// were found changed.
    pub missing: u64,
}

impl Tracker {
    /// Empty books for a run of `flows` flows and at most `messages_max` messages. A number beyond that is unexpected.
    #[must_use]
    pub fn new(run: RunTag, flows: u32, messages_max: u64) -> Self {
        Self {
            run,
            intact: Numbers::new(flows, messages_max),
            changed: Numbers::new(flows, messages_max),
            progress: Progress::default(),
            wrapped: 0,
            depths: Distribution::new(1, SEQUENCE_MAX),
            damaged_blocks: 0,
            absent: None,
            start_ns: None,
            by_second: Vec::new(),
            received: Delays::new(),
            synced: Delays::new(),
        }
    }

    /// Counts seconds from `start_ns`, ns since the Unix epoch; else from when the first message found was due. Only before
    /// that, and only once.
    pub fn begin_at(&mut self, start_ns: u64) {
        self.start_ns.get_or_insert(start_ns);
    }

    /// When the run started, ns since the Unix epoch; 0 while that is not known.
    pub(super) fn start_ns(&self) -> u64 {
        self.start_ns.unwrap_or(0)
    }

    /// Notes that there were so many blocks, or ranges that may have been blocks, that cannot be read.
    pub(super) fn note_damaged(&mut self, blocks: u64) {
        self.damaged_blocks += blocks;
    }

    /// Notes that there was nothing to look at, in words.
    pub(crate) fn note_absent(&mut self, absent: String) {
        self.absent = Some(absent);
    }

    /// Looks at a message, received at `received_ns` if that is known (ns since the Unix epoch). Its tag, if it is the first
    /// unchanged copy.
    #[inline]
    pub fn examine(&mut self, message: &[u8], received_ns: Option<u64>) -> Option<Tag> {
        self.progress.examined += 1;
        let found = self.run.find(message)?;
        self.note(found, received_ns)
    }

    /// Looks at a line of text, without its LF: also for a message with something behind it, see `docs/loadgen.md`.
    pub fn examine_line(&mut self, line: &[u8]) {
        self.progress.examined += 1;
        let Some(tagged) = self.run.tagged(line) else { return };
        let intact = |text: &[u8]| self.run.find(text).filter(|found| matches!(found, Found::Intact(_)));
        let (found, is_wrapped) = match self.run.find(tagged) {
            Some(Found::Corrupted(tag)) => match unwrapped(tagged).find_map(|text| intact(&text)) {
                Some(whole) => (whole, true),
                None => (Found::Corrupted(tag), false),
            },
            Some(found) => (found, false),
            None => return,
        };
        let is_first = self.note(found, None).is_some();
        self.wrapped += u64::from(is_first && is_wrapped);
    }

    /// Notes that a message due at `send_ns` was known to be on disk at `synced_ns`.
    pub fn note_synced(&mut self, send_ns: u64, synced_ns: u64) {
        self.synced.note(send_ns, synced_ns);
    }

    fn note(&mut self, found: Found, received_ns: Option<u64>) -> Option<Tag> {
        let (tag, numbers) = match found {
            Found::Intact(tag) => (tag, &mut self.intact),
            Found::Corrupted(tag) => (tag, &mut self.changed),
            Found::Unreadable => {
                self.progress.corrupted += 1;
                return None;
            }
        };
        let Tag { flow, sequence, .. } = tag;
        if !numbers.has_room(flow, sequence) {
            self.progress.unexpected += 1;
            return None;
        }
        let reached = numbers.reached(flow);
        let is_new = numbers.insert(flow, sequence);
        let is_intact = matches!(found, Found::Intact(_));
        let was_found = !is_new || if is_intact { &self.changed } else { &self.intact }.contains(flow, sequence);
        self.progress.duplicates += u64::from(was_found);
        if !is_intact {
            self.progress.corrupted += u64::from(!was_found);
            return None;
        }
        if !is_new {
            return None;
        }
        self.progress.stored += 1;
        if was_found {
            // Until now only a changed copy was there.
            self.progress.corrupted -= 1;
        } else if sequence < reached {
            self.progress.reordered += 1;
            self.depths.record(reached - 1 - sequence);
        }
        self.note_time(tag, received_ns);
        Some(tag)
    }

    fn note_time(&mut self, tag: Tag, received_ns: Option<u64>) {
        let start_ns = *self.start_ns.get_or_insert(tag.send_ns);
        let second = tag.send_ns.saturating_sub(start_ns) / 1_000_000_000;
        let second = usize::try_from(second).unwrap_or(usize::MAX).min(SECONDS_MAX - 1);
        if second >= self.by_second.len() {
            self.by_second.resize(second + 1, 0);
        }
        self.by_second[second] += 1;
        if let Some(received_ns) = received_ns {
            self.received.note(tag.send_ns, received_ns);
        }
    }

    /// How far it is; takes no time.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let Progress { stored, corrupted, .. } = self.progress;
        let missing = (self.intact.reached_in_all() - stored).saturating_sub(corrupted);
        Progress { missing, ..self.progress }
    }

    /// For each flow one more than the highest number found unchanged: with these, [`Tracker::finish`] tells what is missing
    /// so far.
    #[cfg(test)]
    fn reached_by_flow(&self) -> Vec<u64> {
        (0..self.intact.flows() as u32).map(|flow| self.intact.reached(flow)).collect()
    }

    /// From when messages were due to when they were received; `None` when no time is known.
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        self.received.figures(self.progress.stored)
    }

    /// What became of a run that sent so many messages on each flow. Looks at every number: 64 at a time, as far as they were
    /// found.
    #[must_use]
    pub fn finish(&self, sent_by_flow: &[u64]) -> Verification {
        let Progress { examined, stored, corrupted, duplicates, reordered, unexpected, .. } = self.progress;
        let (mut runs, mut lost, mut lost_at_end) = (LossRunCount::new(), 0u64, 0u64);
        for (flow, sent) in sent_by_flow.iter().enumerate() {
            let note = |length| {
                lost = lost.saturating_add(length);
                runs.note(length);
            };
            let at_end = missing_runs(&self.intact, &self.changed, flow as u32, *sent, note);
            lost_at_end = lost_at_end.saturating_add(at_end);
        }
        let (intact_beyond, changed_beyond) = self.beyond(sent_by_flow);
        let stored = stored - intact_beyond;
        let sent = sent_by_flow.iter().fold(0u64, |sum, sent| sum.saturating_add(*sent));
        Verification {
            stored,
            wrapped: self.wrapped,
            lost,
            loss_ratio: lost as f64 / sent.max(1) as f64,
            lost_at_end,
            loss_runs: runs.figures(),
            duplicates,
            reordered,
            reorder_depth: ReorderDepth::of(&self.depths),
            corrupted: corrupted - changed_beyond,
            unexpected: unexpected + intact_beyond + changed_beyond,
            examined,
            damaged_blocks: self.damaged_blocks,
            absent: self.absent.clone(),
            stored_by_second: self.by_second.clone(),
            latency: self.received.figures(stored),
            latency_synced: self.synced.figures(stored),
        }
    }

    /// Numbers found unchanged, and found only changed, that no flow has sent.
    fn beyond(&self, sent_by_flow: &[u64]) -> (u64, u64) {
        let (mut intact, mut changed) = (0, 0);
        for flow in 0..self.intact.flows() {
            let sent = sent_by_flow.get(flow).copied().unwrap_or(0);
            let reached = self.intact.reached(flow as u32).max(self.changed.reached(flow as u32));
            for index in sent / 64..reached.div_ceil(64) {
                let is_beyond = if index == sent / 64 { u64::MAX << (sent % 64) } else { u64::MAX };
                let found = self.intact.word(flow, index) & is_beyond;
                intact += u64::from(found.count_ones());
                changed += u64::from((self.changed.word(flow, index) & is_beyond & !found).count_ones());
            }
        }
        (intact, changed)
    }
}

#[cfg(test)]
mod tests;
