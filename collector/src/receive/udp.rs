//! Datagrams: one thread a receiver, one socket a listener, many datagrams a system call.
//!
//! A receiver waits in the kernel only when nothing has come. Under load it drains its sockets, and after a batch that
//! was not full sleeps one *tick*, so that one wake-up serves many datagrams (`docs/decisions/0001`).

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use logboom_segment::{Flags, LossPlace, Message, PRI_NONE, Source};
use logboom_udp::clock::realtime_ns;
use logboom_udp::{Datagram, ReceiveRing, ReceiveSocket};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::{Feed, Offered};

/// Datagrams a call. Beyond 16 it hardly matters.
const BATCH: usize = 64;

/// Full batches from one socket before the receiver looks after the others, and after time.
const BATCHES_IN_A_ROW: usize = 16;

/// Time between looks at the kernel's drop counters: losses are in a block within a second.
const DROPS_INTERVAL: Duration = Duration::from_millis(500);

/// Longest time without a sleep while blocks are scarce: a real-time receiver would starve the writers.
const BUSY_MAX: Duration = Duration::from_millis(10);

/// Sleep while there is no block, where the tick is shorter.
const NO_BLOCK_SLEEP: Duration = Duration::from_millis(1);

const WAKE: Token = Token(usize::MAX);

/// One receiver, before and while it runs.
pub struct UdpReceiver {
    sockets: Vec<Listening>,
    ring: ReceiveRing,
    feed: Feed,
    tick: Duration,
    poll: Poll,
    stop: Arc<AtomicBool>,
    drops_read: Instant,
    slept: Instant,
}

/// A listener's socket at this receiver.
struct Listening {
    listener: u8,
    socket: Arc<ReceiveSocket>,
    /// Drops already noted in a block.
    dropped: u64,
}

/// Ends a receiver: close the doors of all sockets first.
pub struct Stopper {
    stop: Arc<AtomicBool>,
    waker: Waker,
}

impl Stopper {
    /// Lets the receiver drain what has arrived, hand it on and end.
    ///
    /// # Errors
    /// When the receiver cannot be woken.
    pub fn stop(&self) -> io::Result<()> {
        self.stop.store(true, Ordering::Release);
        self.waker.wake()
    }
}

impl UdpReceiver {
    /// A receiver of `sockets`, each with its listener's number, that keeps at most `message_bytes_max` of a datagram.
    ///
    /// # Errors
    /// When the poll cannot be made.
    pub fn new(
        sockets: Vec<(u8, Arc<ReceiveSocket>)>,
        message_bytes_max: usize,
        tick: Duration,
        feed: Feed,
    ) -> io::Result<(Self, Stopper)> {
        let poll = Poll::new()?;
        for (number, (_, socket)) in sockets.iter().enumerate() {
            poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(number), Interest::READABLE)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopper = Stopper { stop: Arc::clone(&stop), waker: Waker::new(poll.registry(), WAKE)? };
        let sockets =
            sockets.into_iter().map(|(listener, socket)| Listening { listener, socket, dropped: 0 }).collect();
        let ring = ReceiveRing::new(BATCH, message_bytes_max.min(logboom_udp::DATAGRAM_BYTES_MAX));
        let now = Instant::now();
        Ok((Self { sockets, ring, feed, tick, poll, stop, drops_read: now, slept: now }, stopper))
    }

    /// Receives until stopped, then takes what arrived before the doors were closed.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(self.sockets.len() + 1);
        while !self.stop.load(Ordering::Acquire) {
            let timeout = self.feed.due_in().map_or(DROPS_INTERVAL, |due| due.min(DROPS_INTERVAL));
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!("waiting for datagrams: {error}");
            }
            self.drain();
            self.look_after();
        }
        self.finish();
    }

    /// Takes datagrams until every socket says there is none (mio tells only of changes), with a tick between rounds.
    fn drain(&mut self) {
        while !self.stop.load(Ordering::Acquire) {
            let (mut received, mut more) = (0, false);
            for number in 0..self.sockets.len() {
                let drained = self.drain_socket(number);
                received += drained.received;
                more |= drained.more;
            }
            if received == 0 {
                return;
            }
            self.look_after();
            let writers_wait = self.feed.pool().is_low() && self.slept.elapsed() >= BUSY_MAX;
            if !more || writers_wait {
                self.sleep(self.tick);
            }
        }
    }

    /// Takes batches from one socket until one is not full, or it is the others' turn.
    fn drain_socket(&mut self, number: usize) -> Drained {
        let mut received = 0;
        for _ in 0..BATCHES_IN_A_ROW {
            let batch = match self.ring.receive(&self.sockets[number].socket.as_ref()) {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!("receiving from {}: {error}", self.sockets[number].socket.address());
                    0
                }
            };
            if batch > 0 {
                self.take(number, batch);
            }
            received += batch;
            if batch < self.ring.batch() {
                return Drained { received, more: false };
            }
        }
        Drained { received, more: true }
    }

    /// Puts the datagrams of the last call into blocks.
    fn take(&mut self, number: usize, batch: usize) {
        let listener = self.sockets[number].listener;
        let received_ns = realtime_ns();
        let mut counts = BatchCounts::default();
        for index in 0..batch {
            let datagram = self.ring.datagram(index);
            let message = message_of(&datagram, listener, received_ns);
            while self.feed.offer_or_shed(&message) == Offered::NoBlock {
                // The rest waits in the ring, and the kernel's buffer is the last reserve: it counts what it cannot take.
                std::mem::take(&mut counts).publish(&mut self.feed, listener);
                std::thread::sleep(self.tick.max(NO_BLOCK_SLEEP));
            }
            counts.messages += 1;
            counts.bytes += message.payload.len() as u64;
            counts.truncated += u64::from(datagram.is_truncated());
        }
        self.feed.counts().calls.add(1);
        counts.publish(&mut self.feed, listener);
    }

    fn sleep(&mut self, time: Duration) {
        if !time.is_zero() {
            std::thread::sleep(time);
        }
        self.slept = Instant::now();
    }

    /// What is due by the clock: old blocks and the kernel's drop counters.
    fn look_after(&mut self) {
        self.feed.flush_if_due();
        if self.drops_read.elapsed() >= DROPS_INTERVAL {
            self.drops_read = Instant::now();
            if self.note_drops() {
                self.feed.flush();
            }
        }
    }

    /// Notes what the kernel dropped since the last look; whether there was any.
    fn note_drops(&mut self) -> bool {
        let mut any = false;
        for Listening { listener, socket, dropped } in &mut self.sockets {
            let Ok(now) = socket.dropped() else { continue };
            if now > *dropped {
                self.feed.note_loss(LossPlace::SocketBuffer, *listener, now - *dropped);
                *dropped = now;
                any = true;
            }
        }
        any
    }

    /// The doors are closed: takes what was there, and a tick later what was just being delivered.
    fn finish(mut self) {
        for _ in 0..2 {
            for number in 0..self.sockets.len() {
                while self.drain_socket(number).more {}
            }
            std::thread::sleep(self.tick.max(Duration::from_millis(1)));
        }
        self.note_drops();
        while !self.feed.flush() {
            std::thread::sleep(NO_BLOCK_SLEEP);
        }
    }
}

struct Drained {
    received: usize,
    /// Every batch was full: there may be more.
    more: bool,
}

/// What one batch adds to the ledger.
#[derive(Default)]
struct BatchCounts {
    messages: u64,
    bytes: u64,
    truncated: u64,
}

impl BatchCounts {
    fn publish(self, feed: &mut Feed, listener: u8) {
        let counts = &feed.counts().listeners[usize::from(listener)];
        counts.messages.add(self.messages);
        counts.bytes.add(self.bytes);
        counts.truncated.add(self.truncated);
        feed.end_batch();
    }
}

fn message_of<'a>(datagram: &Datagram<'a>, listener: u8, received_ns: u64) -> Message<'a> {
    Message {
        payload: datagram.payload,
        received_ns,
        source: Source { address: Some(datagram.address), port: datagram.port, listener },
        pri: logboom_syslog::pri(datagram.payload).unwrap_or(PRI_NONE),
        flags: if datagram.is_truncated() { Flags::TRUNCATED } else { Flags::NONE },
        original_length: datagram.original_length,
    }
}
