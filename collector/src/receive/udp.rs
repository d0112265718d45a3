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
use logboom_udp::{DATAGRAM_BYTES_MAX, ReceiveRing, ReceiveSocket};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::allow::AllowList;
use super::sequence::{Numbered, Sequences};
use super::steering::{LoadWatch, Steerer};
use super::{Feed, NO_BLOCK_SLEEP, Offered};
use crate::config::Config;

/// Datagrams a call. Beyond 16 it hardly matters.
const BATCH: usize = 64;

/// After a round of fewer datagrams the tick is [`QUIET_TICKS`] long: at 1,000 a second each sleep would else bring one.
const QUIET_DATAGRAMS: usize = BATCH / 4;

/// See [`QUIET_DATAGRAMS`].
const QUIET_TICKS: u32 = 4;

/// Receive buffer from which on that is done, bytes: 3,276 datagrams of 200 B, more than come in the longer tick of 1 ms when
/// a silent sender begins to send at 800,000 a second.
const QUIET_BUFFER_BYTES_MIN: usize = 4 << 20;

/// Full batches from one socket before the receiver looks after the others, and after time.
const BATCHES_IN_A_ROW: usize = 16;

/// Full batches of the smallest datagrams (832 B each) that the largest receive buffer holds.
const BUFFER_BATCHES_MAX: usize = (2 << 30) / 832 / BATCH;

/// Time between looks at the kernel's drop counters, and at losses that no block holds yet: they are in one within a
/// second.
const LOSSES_INTERVAL: Duration = Duration::from_millis(500);

/// Longest time without a sleep while blocks are scarce: a real-time receiver would starve the writers.
const BUSY_MAX: Duration = Duration::from_millis(10);

const WAKE: Token = Token(usize::MAX);

/// One receiver, before and while it runs.
pub struct UdpReceiver {
    sockets: Vec<Listening>,
    ring: ReceiveRing,
    feed: Feed,
    sequences: Arc<Sequences>,
    numbered: Numbered,
    tick: Duration,
    quiet_tick: Duration,
    message_bytes_max: usize,
    poll: Poll,
    steerer: Arc<Steerer>,
    load_watch: Option<LoadWatch>,
    /// Since when messages get the kernel's times, ns since the Unix epoch. One that arrived before, while those before it
    /// were still given the batch's time, gets this time, to stay behind them.
    kernel_times_since_ns: Option<u64>,
    stop: Arc<AtomicBool>,
    losses_read: Instant,
    slept: Instant,
}

/// A listener's socket at one receiver.
pub struct UdpSocketOf {
    /// Number of the listener.
    pub listener: u8,
    /// Bound to its address.
    pub socket: Arc<ReceiveSocket>,
    /// Who may send there.
    pub allow: AllowList,
}

/// The same while it is read.
struct Listening {
    listener: u8,
    socket: Arc<ReceiveSocket>,
    allow: AllowList,
    /// Drops already noted in a block.
    dropped: u64,
}

/// Ends a receiver: close the doors of all sockets first.
pub struct Stopper {
    stop: Arc<AtomicBool>,
    waker: Waker,
}

impl Stopper {
    /// Lets the receiver see what is wanted of it now.
    ///
    /// # Errors
    /// When the receiver cannot be woken.
    pub fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }

    /// Lets the receiver drain what has arrived, hand it on and end.
    ///
    /// # Errors
    /// When the receiver cannot be woken.
    pub fn stop(&self) -> io::Result<()> {
        self.stop.store(true, Ordering::Release);
        self.wake()
    }
}

impl UdpReceiver {
    /// A receiver of `sockets`.
    ///
    /// # Errors
    /// When the poll cannot be made.
    pub fn new(
        sockets: Vec<UdpSocketOf>,
        config: &Config,
        sequences: Arc<Sequences>,
        steerer: Arc<Steerer>,
        load_watch: Option<LoadWatch>,
        feed: Feed,
    ) -> io::Result<(Self, Stopper)> {
        let poll = Poll::new()?;
        for (number, UdpSocketOf { socket, .. }) in sockets.iter().enumerate() {
            poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(number), Interest::READABLE)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopper = Stopper { stop: Arc::clone(&stop), waker: Waker::new(poll.registry(), WAKE)? };
        let has_room =
            |socket: &ReceiveSocket| socket.receive_buffer_bytes().is_ok_and(|bytes| bytes >= QUIET_BUFFER_BYTES_MIN);
        let tick = config.receive.tick.get();
        let quiet_tick = if sockets.iter().all(|of| has_room(&of.socket)) { tick * QUIET_TICKS } else { tick };
        let listening = |UdpSocketOf { listener, socket, allow }| Listening { listener, socket, allow, dropped: 0 };
        let sockets = sockets.into_iter().map(listening).collect();
        let message_bytes_max = config.max_message.as_usize().min(DATAGRAM_BYTES_MAX);
        // A train of datagrams is as long as an IP packet can be.
        let slot_bytes = if config.receive.gro { DATAGRAM_BYTES_MAX } else { message_bytes_max };
        let now = Instant::now();
        let receiver = Self {
            sockets,
            ring: ReceiveRing::new(BATCH, slot_bytes),
            feed,
            sequences,
            numbered: Numbered::default(),
            tick,
            quiet_tick,
            message_bytes_max,
            poll,
            steerer,
            load_watch,
            kernel_times_since_ns: None,
            stop,
            losses_read: now,
            slept: now,
        };
        Ok((receiver, stopper))
    }

    /// Receives until stopped, then takes what arrived before the doors were closed.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(self.sockets.len() + 1);
        while !self.stop.load(Ordering::Acquire) {
            self.change_over_if_wanted();
            let timeout = self.feed.due_in().map_or(LOSSES_INTERVAL, |due| due.min(LOSSES_INTERVAL));
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

    /// Stores the kernel's times from here on, if that is wanted: takes first what may have come before it was stamped.
    fn change_over_if_wanted(&mut self) {
        if self.kernel_times_since_ns.is_some() || !self.steerer.wants_kernel_times() {
            return;
        }
        self.drain_buffers();
        self.feed.flush();
        self.kernel_times_since_ns = Some(realtime_ns());
        self.steerer.note_stamping();
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
            self.change_over_if_wanted();
            let writers_wait = self.feed.pool().is_low() && self.slept.elapsed() >= BUSY_MAX;
            if writers_wait {
                self.sleep(self.tick.max(NO_BLOCK_SLEEP));
            } else if !more {
                self.sleep(if received < QUIET_DATAGRAMS { self.quiet_tick } else { self.tick });
            }
        }
    }

    /// Takes what is in the sockets' buffers now. What comes meanwhile may never end, also when the doors are closed: one stays
    /// open where the socket is not ours alone.
    fn drain_buffers(&mut self) {
        for number in 0..self.sockets.len() {
            for _ in 0..BUFFER_BATCHES_MAX / BATCHES_IN_A_ROW {
                if !self.drain_socket(number).more {
                    break;
                }
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
        let Listening { listener, allow, .. } = &self.sockets[number];
        let listener = *listener;
        let now = Arrival { ns: realtime_ns(), flags: Flags::NONE };
        let mut counts = BatchCounts::default();
        self.feed.begin_batch();
        for index in 0..batch {
            let slot = self.ring.slot(index);
            if !allow.permits(slot.address) {
                counts.refused += slot.datagrams().count() as u64;
                continue;
            }
            let source = Source { address: Some(slot.address), port: slot.port, listener };
            let arrival = match (slot.arrived_ns, self.kernel_times_since_ns) {
                (Some(ns), Some(since_ns)) => Arrival { ns: ns.max(since_ns), flags: Flags::KERNEL_TIME },
                _ => now,
            };
            for (payload, length) in slot.datagrams() {
                let message = message_of(payload, length, self.message_bytes_max, source, arrival);
                self.numbered.note(source, message.payload);
                while self.feed.offer_or_shed(&message) == Offered::NoBlock {
                    // The rest waits in the ring, and the kernel's buffer is the last reserve: it counts what it cannot
                    // take.
                    std::mem::take(&mut counts).publish(&mut self.feed, listener);
                    std::thread::sleep(self.tick.max(NO_BLOCK_SLEEP));
                }
                counts.messages += 1;
                counts.bytes += message.payload.len() as u64;
                counts.truncated += u64::from(message.flags.has(Flags::TRUNCATED));
            }
        }
        self.feed.counts().calls.add(1);
        counts.publish(&mut self.feed, listener);
        self.sequences.take(&mut self.numbered);
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
        if self.losses_read.elapsed() >= LOSSES_INTERVAL {
            self.losses_read = Instant::now();
            self.note_drops();
            self.feed.flush_losses();
            if let Some(load_watch) = &mut self.load_watch {
                load_watch.look();
            }
        }
    }

    /// Notes what the kernel dropped since the last look.
    fn note_drops(&mut self) {
        for Listening { listener, socket, dropped, allow: _ } in &mut self.sockets {
            let Ok(now) = socket.dropped() else { continue };
            if now > *dropped {
                self.feed.note_loss(LossPlace::SocketBuffer, *listener, now - *dropped);
                *dropped = now;
            }
        }
    }

    /// The doors are closed: takes what was there, and a tick later what was just being delivered.
    fn finish(mut self) {
        for _ in 0..2 {
            self.drain_buffers();
            std::thread::sleep(self.tick.max(NO_BLOCK_SLEEP));
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
    /// From senders that may not send; not among the others.
    refused: u64,
}

impl BatchCounts {
    fn publish(self, feed: &mut Feed, listener: u8) {
        feed.end_batch(); // In flight, or refused, before received: see Ledger::read.
        if self.refused > 0 {
            feed.counts().refused.add(self.refused);
            feed.note_loss(LossPlace::Refused, 0, self.refused);
        }
        let counts = &feed.counts().listeners[usize::from(listener)];
        counts.messages.add(self.messages + self.refused);
        counts.bytes.add(self.bytes);
        counts.truncated.add(self.truncated);
    }
}

/// When a datagram came.
#[derive(Clone, Copy)]
struct Arrival {
    ns: u64,
    flags: Flags,
}

#[inline]
fn message_of(payload: &[u8], length: u32, bytes_max: usize, source: Source, arrival: Arrival) -> Message<'_> {
    let kept = &payload[..payload.len().min(bytes_max)];
    let is_truncated = length as usize > kept.len();
    Message {
        payload: kept,
        received_ns: arrival.ns,
        source,
        pri: logboom_syslog::pri(kept).unwrap_or(PRI_NONE),
        flags: if is_truncated { arrival.flags.with(Flags::TRUNCATED) } else { arrival.flags },
        original_length: length,
    }
}
