//! The closed list of places a message can end, and the identity that shows none is missing.
//!
//! `received = stored + in_flight + shed + refused + malformed + write_failed`, and what the kernel handed to our sockets
//! is `received + socket_buffer`. `docs/ledger.md` says how each is known.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use logboom_segment::LossPlace;
use logboom_syslog::Severity;
use logboom_udp::ReceiveSocket;
use serde::{Serialize, Serializer};

use crate::block::BlockPool;

/// A number that one thread counts up and any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Release);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What one receiver counts, published once a batch.
#[derive(Debug, Default)]
pub struct ReceiverCounts {
    /// By listener.
    pub listeners: Box<[ListenerCounts]>,
    /// Receive system calls.
    pub calls: Counter,
    /// Dropped on purpose under overload, by severity.
    pub shed: [Counter; 8],
    /// Not allowed to send.
    pub refused: Counter,
    /// Stream framing broken beyond resync.
    pub malformed: Counter,
    /// Time in which streams were not read because the pool was used up, ns.
    pub backpressure_ns: Counter,
}

/// What one receiver counts of one listener.
#[derive(Debug, Default)]
pub struct ListenerCounts {
    /// Messages, whatever became of them.
    pub messages: Counter,
    /// Their bytes, as kept.
    pub bytes: Counter,
    /// Messages of which only the first bytes were kept.
    pub truncated: Counter,
}

/// What one writer counts.
#[derive(Debug, Default)]
pub struct WriterCounts {
    /// Messages in blocks on disk.
    pub stored: Counter,
    /// Their text, bytes, line ends included.
    pub raw_bytes: Counter,
    /// Bytes written for them.
    pub stored_bytes: Counter,
    /// Blocks written.
    pub blocks: Counter,
    /// Of these, blocks that were not compressed because others waited.
    pub plain_blocks: Counter,
    /// Messages that the disk would not take.
    pub write_failed: Counter,
}

/// Every count of a running collector, and where to look for the rest.
pub struct Ledger {
    /// By receiver.
    pub receivers: Box<[CachePadded<ReceiverCounts>]>,
    /// By writer.
    pub writers: Box<[CachePadded<WriterCounts>]>,
    /// Every UDP socket, with the listener it belongs to.
    pub sockets: Box<[(u8, Arc<ReceiveSocket>)]>,
    /// Where messages are in flight.
    pub pool: Arc<BlockPool>,
    /// Whether the kernel counts every datagram that it drops: not with `receive.gro`.
    pub counts_every_drop: bool,
}

impl Ledger {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(
        receivers: usize,
        listeners: usize,
        writers: usize,
        sockets: Vec<(u8, Arc<ReceiveSocket>)>,
        pool: Arc<BlockPool>,
        counts_every_drop: bool,
    ) -> Self {
        let receiver = || ReceiverCounts {
            listeners: (0..listeners).map(|_| ListenerCounts::default()).collect(),
            ..ReceiverCounts::default()
        };
        Self {
            receivers: (0..receivers).map(|_| CachePadded::new(receiver())).collect(),
            writers: (0..writers).map(|_| CachePadded::new(WriterCounts::default())).collect(),
            sockets: sockets.into(),
            pool,
            counts_every_drop,
        }
    }

    /// The books as they stand now. Counters move while they are read: exact once the pipeline is quiet.
    #[must_use]
    pub fn read(&self) -> Books {
        let receivers = |count: &dyn Fn(&ReceiverCounts) -> u64| self.receivers.iter().map(|r| count(r)).sum();
        let writers = |count: &dyn Fn(&WriterCounts) -> u64| self.writers.iter().map(|w| count(w)).sum();
        // A message is in flight before it counts as received, and stored before it leaves flight. Read with that stream,
        // one that moves meanwhile is perhaps seen twice, but never missed.
        let received = receivers(&|r| r.listeners.iter().map(|listener| listener.messages.get()).sum());
        let in_flight = self.pool.in_flight();
        Books {
            received,
            stored: writers(&|writer| writer.stored.get()),
            in_flight,
            shed: receivers(&|r| r.shed.iter().map(Counter::get).sum()),
            shed_by_severity: Severity::ALL.map(|s| receivers(&|r| r.shed[s as usize].get())),
            refused: receivers(&|r| r.refused.get()),
            malformed: receivers(&|r| r.malformed.get()),
            write_failed: writers(&|writer| writer.write_failed.get()),
            socket_buffer: self.sockets.iter().map(|(_, socket)| socket.dropped().unwrap_or_default()).sum(),
            exact: self.counts_every_drop,
        }
    }
}

/// The ledger at one moment, in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Taken from our sockets.
    pub received: u64,
    /// In a block on disk.
    pub stored: u64,
    /// In a block, in the queue or with a writer.
    pub in_flight: u64,
    /// Dropped on purpose under overload.
    pub shed: u64,
    /// The same by severity, emergency first.
    #[serde(serialize_with = "by_keyword")]
    pub shed_by_severity: [u64; 8],
    /// Not allowed to send.
    pub refused: u64,
    /// Stream framing broken beyond resync.
    pub malformed: u64,
    /// The disk would not take them and memory ran out.
    pub write_failed: u64,
    /// Dropped by the kernel at our sockets, before we could receive them.
    pub socket_buffer: u64,
    /// Whether `socket_buffer` is exact, and not a lower bound (`receive.gro`).
    pub exact: bool,
}

fn by_keyword<S: Serializer>(counts: &[u64; 8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Severity::ALL.map(|severity| (severity.keyword(), counts[severity as usize])))
}

impl Books {
    /// Messages received that are in no place of the list, or in two if negative; 0 while the pipeline is quiet.
    #[must_use]
    pub fn difference(&self) -> i64 {
        let placed = self.stored + self.in_flight + self.shed + self.refused + self.malformed + self.write_failed;
        self.received.wrapping_sub(placed) as i64
    }

    /// Messages that the kernel had for our sockets.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.received + self.socket_buffer
    }

    /// Messages lost at one place.
    #[must_use]
    pub fn lost_at(&self, place: LossPlace) -> u64 {
        match place {
            LossPlace::Shed => self.shed,
            LossPlace::Refused => self.refused,
            LossPlace::Malformed => self.malformed,
            LossPlace::WriteFailed => self.write_failed,
            LossPlace::SocketBuffer => self.socket_buffer,
        }
    }

    /// Messages that were delivered to our sockets and are lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        LossPlace::ALL.into_iter().map(|place| self.lost_at(place)).sum()
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, stored, in_flight, shed, refused, malformed, write_failed, socket_buffer, .. } = self;
        let at_least = if self.exact { "" } else { "at least " };
        write!(
            f,
            "delivered {at_least}{} = received {received} + socket_buffer {at_least}{socket_buffer}; received = stored {stored} + in_flight \
             {in_flight} + shed {shed} + refused {refused} + malformed {malformed} + write_failed {write_failed}; ",
            self.delivered(),
        )?;
        match self.difference() {
            0 => f.write_str("nothing missing"),
            difference => write!(f, "MISSING {difference}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Books;

    #[test]
    fn the_identity_is_told_either_way() {
        let whole = Books {
            received: 10,
            stored: 4,
            in_flight: 1,
            shed: 2,
            write_failed: 3,
            socket_buffer: 5,
            exact: true,
            ..Books::default()
        };
        assert_eq!((whole.difference(), whole.delivered(), whole.lost()), (0, 15, 10));
        assert!(whole.to_string().ends_with("; nothing missing"));
        assert!(whole.to_string().starts_with("delivered 15 = received 10 + socket_buffer 5;"));
        let bound = Books { exact: false, ..whole }.to_string();
        assert!(bound.starts_with("delivered at least 15 = received 10 + socket_buffer at least 5;"), "{bound}");
        let broken = Books { stored: 3, ..whole };
        assert!(broken.to_string().ends_with("; MISSING 1"));
    }
}
