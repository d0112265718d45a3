//! Losses before us: gaps in the numbers that senders give their messages, for each sender.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use logboom_segment::Source;
use logboom_syslog::{Sequence, sequence_id};
use serde::Serialize;

/// Most senders that are followed, about 200 B each; what others number is not looked at.
pub const SENDERS_MAX: usize = 10_000;

/// A sender that was silent for so long gives its place to another.
const SILENCE: Duration = Duration::from_secs(600);

/// Time between two looks for silent ones.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Senders shown in `/status`, those with most missing.
pub const SHOWN_MAX: usize = 100;

/// The numbers of one batch, kept by its receiver so that the table is locked once and not for each message.
#[derive(Debug, Default)]
pub struct Numbered(Vec<((IpAddr, u16), u32)>);

impl Numbered {
    /// Notes a message, if its sender numbers them.
    #[inline]
    pub fn note(&mut self, source: Source, payload: &[u8]) {
        if let (Some(address), Some(id)) = (source.address, sequence_id(payload)) {
            self.0.push(((address, source.port), id));
        }
    }
}

/// What all senders' numbers tell. They are followed by address and port: two programs of a machine number apart.
#[derive(Debug)]
pub struct Sequences(Mutex<Table>);

#[derive(Debug)]
struct Table {
    senders: HashMap<(IpAddr, u16), (Sequence, Instant)>,
    looked: Instant,
    /// Missing of senders that have lost their place.
    missing_before: u64,
    not_followed: u64,
}

/// One sender, for `/status`.
#[derive(Debug, Serialize)]
pub struct SenderGaps {
    source: IpAddr,
    source_port: u16,
    received: u64,
    missing: u64,
    repeated: u64,
    restarts: u64,
}

/// All of them, for `/status`.
#[derive(Debug, Serialize)]
pub struct Gaps {
    /// Senders that are followed.
    pub senders: usize,
    /// Numbers that never came.
    pub missing: u64,
    /// Messages of senders that found no place.
    pub not_followed: u64,
    /// The senders with most missing.
    pub worst: Vec<SenderGaps>,
}

impl Default for Sequences {
    fn default() -> Self {
        let (senders, looked) = (HashMap::new(), Instant::now());
        Self(Mutex::new(Table { senders, looked, missing_before: 0, not_followed: 0 }))
    }
}

impl Sequences {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a batch has numbered, and leaves it empty.
    pub fn take(&self, numbered: &mut Numbered) {
        if !numbered.0.is_empty() {
            let (mut table, now) = (self.lock(), Instant::now());
            numbered.0.drain(..).for_each(|(sender, id)| table.note(sender, id, now));
        }
    }

    /// Numbers that never came, of all senders.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.lock().missing()
    }

    /// How it stands.
    #[must_use]
    pub fn gaps(&self) -> Gaps {
        let table = self.lock();
        let mut worst: Vec<_> = table.senders.iter().filter(|(_, (sequence, _))| sequence.missing > 0).collect();
        worst.sort_by_key(|(_, (sequence, _))| std::cmp::Reverse(sequence.missing));
        worst.truncate(SHOWN_MAX);
        let shown = |(sender, (sequence, _)): (&(IpAddr, u16), &(Sequence, Instant))| SenderGaps {
            source: sender.0,
            source_port: sender.1,
            received: sequence.received,
            missing: sequence.missing,
            repeated: sequence.repeated,
            restarts: sequence.restarts,
        };
        Gaps {
            senders: table.senders.len(),
            missing: table.missing(),
            not_followed: table.not_followed,
            worst: worst.into_iter().map(shown).collect(),
        }
    }
}

impl Table {
    fn missing(&self) -> u64 {
        self.missing_before + self.senders.values().map(|(sequence, _)| sequence.missing).sum::<u64>()
    }

    fn note(&mut self, sender: (IpAddr, u16), id: u32, now: Instant) {
        if let Some((sequence, heard)) = self.senders.get_mut(&sender) {
            sequence.note(id);
            *heard = now;
            return;
        }
        if self.senders.len() == SENDERS_MAX && now.duration_since(self.looked) >= LOOK_INTERVAL {
            self.looked = now;
            self.forget_silent(now);
        }
        if self.senders.len() < SENDERS_MAX {
            self.senders.insert(sender, (Sequence::new(id), now));
        } else {
            self.not_followed += 1;
        }
    }

    fn forget_silent(&mut self, now: Instant) {
        let missing_before = &mut self.missing_before;
        self.senders.retain(|_, (sequence, heard)| {
            let stays = now.duration_since(*heard) < SILENCE;
            *missing_before += if stays { 0 } else { sequence.missing };
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(port: u16) -> Source {
        Source { address: Some([10, 0, 0, 1].into()), port, listener: 0 }
    }

    #[test]
    fn gaps_are_counted_for_each_sender() {
        let sequences = Sequences::default();
        let mut numbered = Numbered::default();
        for (port, id) in [(1, 7), (2, 1), (1, 8), (2, 5), (1, 9), (2, 6)] {
            numbered.note(source(port), format!("<34>1 - h a - - [meta sequenceId=\"{id}\"] x").as_bytes());
        }
        numbered.note(source(3), b"<34>1 - h a - - - not numbered");
        sequences.take(&mut numbered);
        let gaps = sequences.gaps();
        assert_eq!((gaps.senders, gaps.missing, gaps.worst.len()), (2, 3, 1));
        assert_eq!((gaps.worst[0].source_port, gaps.worst[0].received, gaps.worst[0].missing), (2, 3, 3));
    }

    #[test]
    fn senders_are_bounded_and_a_silent_one_gives_its_place() {
        let sequences = Sequences::default();
        let mut table = sequences.lock();
        let begin = table.looked;
        for number in 0..SENDERS_MAX as u32 + 5 {
            table.note((number.to_be_bytes().into(), 514), 1, begin);
            table.note((number.to_be_bytes().into(), 514), 4, begin);
        }
        assert_eq!((table.senders.len(), table.not_followed), (SENDERS_MAX, 10));
        let missing = table.missing();
        table.note(([192, 0, 2, 1].into(), 514), 1, begin + SILENCE);
        assert_eq!((table.senders.len(), table.missing()), (1, missing), "what was missing stays counted");
    }
}
