//! Where every message of a run ended: a closed list of places whose sum is what was offered.
//!
//! What was found is counted first, then what was never sent, then what counters of the collector's own sockets and books
//! explain, and only then what counters explain that a whole machine shares; none explains more than is still missing. Where
//! nobody looked, what the collector stored stands for what was found; if others sent to it as well, behind its losses. What no
//! counter explains was lost on the network if the collector is on another machine. `docs/loadgen.md` describes the
//! fields. Pure: no I/O, no clock.

use serde::{Deserialize, Serialize};

use crate::observe::{Change, CollectorChange, Life};
use crate::report::Sending;
use crate::target::{Target, Transport};
use crate::verify::Verification;

mod closing;
mod diagnose;
#[cfg(test)]
mod situation;

use closing::Closing;

/// Where a message can end, in the order in which it passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Planned, but the run ended before.
    Unsent,
    /// The kernel refused it.
    SenderErrors,
    /// The sender's own queue was full.
    SenderOverflow,
    /// An ICMP error came back for it.
    Icmp,
    /// Between this machine and the collector's sockets on another one.
    Network,
    /// This machine's network stack.
    Host,
    /// Dropped by the kernel at the collector's sockets.
    SocketBuffer,
    /// The collector does not allow us to send.
    Refused,
    /// Dropped by the collector on purpose under overload.
    Shed,
    /// The collector found no message in the stream.
    Malformed,
    /// The collector's disk would not take it.
    WriteFailed,
    /// In the collector's memory, or unread in its sockets, when it was last looked at.
    InFlight,
    /// Taken by the collector, but not in its files.
    Collector,
    /// Found, but changed.
    Corrupted,
    /// Found as it was sent.
    Stored,
    /// No counter tells.
    Unexplained,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 16] = [
        Self::Unsent,
        Self::SenderErrors,
        Self::SenderOverflow,
        Self::Icmp,
        Self::Network,
        Self::Host,
        Self::SocketBuffer,
        Self::Refused,
        Self::Shed,
        Self::Malformed,
        Self::WriteFailed,
        Self::InFlight,
        Self::Collector,
        Self::Corrupted,
        Self::Stored,
        Self::Unexplained,
    ];

    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::SenderErrors => "sender_errors",
            Self::SenderOverflow => "sender_overflow",
            Self::Icmp => "icmp",
            Self::Network => "network",
            Self::Host => "host",
            Self::SocketBuffer => "socket_buffer",
            Self::Refused => "refused",
            Self::Shed => "shed",
            Self::Malformed => "malformed",
            Self::WriteFailed => "write_failed",
            Self::InFlight => "in_flight",
            Self::Collector => "collector",
            Self::Corrupted => "corrupted",
            Self::Stored => "stored",
            Self::Unexplained => "unexplained",
        }
    }
}

/// What is known of a run.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Where messages were sent.
    pub target: &'a Target,
    /// Whether that is this machine ([`crate::observe::Watch::is_local`]).
    pub is_local: bool,
    /// Messages planned.
    pub offered: u64,
    /// Of these, never tried, because the run ended early.
    pub unsent: u64,
    /// What the sender was told: errors by the names of errno(3), answers of the network by what they say.
    pub sending: &'a Sending,
    /// What was found of the run, if it was looked for.
    pub found: Option<&'a Verification>,
    /// What the counters did from before the run until everything had settled.
    pub change: &'a Change,
    /// Why the run is invalid, if it is.
    pub invalid: Option<&'a str>,
}

/// Messages that ended in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub place: Place,
    /// How many.
    pub messages: u64,
    /// Whether that is known exactly. If not, it is a bound, or what is left over.
    pub exact: bool,
    /// How it is known; empty where nothing was counted.
    pub evidence: String,
}

/// Where the messages of a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Messages planned: the sum of all places.
    pub offered: u64,
    /// Every place, in the order of [`Place::ALL`].
    pub places: Vec<Entry>,
    /// What [`Place::Unexplained`] has: a figure by itself, for thresholds.
    pub unexplained: u64,
    /// What happened, and what to do about it, in one sentence.
    pub sentence: String,
    /// What to do about it, if anything.
    pub fix: Option<String>,
}

impl Ledger {
    /// Closes the books of a run.
    #[must_use]
    pub fn of(facts: &Facts<'_>) -> Self {
        let (places, offered) = (Closing::of(facts), facts.offered);
        let mut ledger = Self { offered, places, unexplained: 0, sentence: String::new(), fix: None };
        ledger.unexplained = ledger.at(Place::Unexplained);
        let diagnosis = diagnose::diagnose(facts, &ledger);
        ledger.sentence = diagnosis.sentence();
        ledger.fix = diagnosis.fix;
        ledger
    }

    /// Messages that ended in `place`.
    #[must_use]
    pub fn at(&self, place: Place) -> u64 {
        self.places.iter().find(|entry| entry.place == place).map_or(0, |entry| entry.messages)
    }

    /// Messages that are neither stored nor found changed.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.offered.saturating_sub(self.at(Place::Stored)).saturating_sub(self.at(Place::Corrupted))
    }
}

impl Facts<'_> {
    /// Messages that counters saw lost, as `ledger` has it, where nobody looked what arrived; absent where nobody would have
    /// counted.
    #[must_use]
    pub fn counted_lost(&self, ledger: &Ledger) -> Option<u64> {
        use Place::{Icmp, InFlight, Malformed, Refused, SenderOverflow, Shed, SocketBuffer, WriteFailed};
        if self.found.is_some() {
            return None;
        }
        if self.is_told() {
            return Some(ledger.missing().saturating_sub(ledger.at(InFlight)));
        }
        let counted = [SenderOverflow, Icmp, SocketBuffer, Refused, Shed, Malformed, WriteFailed];
        let counted = counted.into_iter().map(|place| ledger.at(place)).sum();
        // The kernel counts at sockets that it shows, and at those with a path it drops nothing: the sender waits (unix(7)).
        let is_counted = self.change.sockets.is_some() || self.target.transport.is_local();
        (is_counted || counted > 0).then_some(counted)
    }

    /// Whether anybody knows what the collector stored.
    fn is_known(&self) -> bool {
        self.found.is_some() || self.is_told()
    }

    /// Whether the collector's books are known, up to the end or to its own.
    fn is_told(&self) -> bool {
        self.change.collector.is_some() && self.change.silence().is_none()
    }

    /// Drops at the collector's sockets, and whether they are all of them and ours alone; absent if nobody counted.
    fn socket_drops(&self) -> Option<(u64, bool)> {
        let (sockets, told) = (self.change.sockets, &self.change.collector);
        let is_whole = sockets.is_none_or(|sockets| sockets.life == Life::Whole);
        match (sockets, told) {
            _ if self.target.transport != Transport::Udp => None,
            (None, None) => None,
            // Programs of this machine read no more than we sent: then nobody else sent to them.
            (Some(sockets), None) => {
                let delivered = self.change.host.udp.in_datagrams.saturating_add(sockets.dropped);
                Some((sockets.dropped, is_whole && delivered <= self.offered))
            }
            // Its books count other listeners too.
            (Some(sockets), Some(told)) if sockets.sockets > 0 && is_whole => {
                Some((sockets.dropped, told.books.exact && self.are_ours(told)))
            }
            (sockets, Some(told)) => {
                let exact = is_whole && told.books.exact && self.are_ours(told);
                Some((told.books.socket_buffer.max(sockets.map_or(0, |sockets| sockets.dropped)), exact))
            }
        }
    }

    /// Whether the collector got no more than we sent: what it counts is then of this run.
    fn is_alone(&self, told: &CollectorChange) -> bool {
        told.books.received.saturating_add(told.books.socket_buffer) <= self.offered
    }

    /// Whether all that the collector counts is of this run, and was told to its end.
    fn are_ours(&self, told: &CollectorChange) -> bool {
        told.life == Life::Whole && self.change.collector_silent.is_none() && self.is_alone(told)
    }

    /// Answers of the network that say `kind`.
    fn icmp(&self, kind: &str) -> u64 {
        self.sending.icmp.get(kind).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::situation::Situation;
    use super::*;

    #[test]
    fn it_comes_back_from_json() {
        let ledger = Situation::found(10, 9).close();
        let json = serde_json::to_string(&ledger).unwrap();
        assert!(json.contains(r#"{"place":"socket_buffer","messages":0,"exact":false,"evidence":""}"#), "{json}");
        assert_eq!(serde_json::from_str::<Ledger>(&json).unwrap(), ledger);
    }

    #[test]
    fn places_have_the_names_of_json() {
        for (index, place) in Place::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_value(place).unwrap(), place.name());
            assert_eq!(place as usize, index);
        }
    }
}
