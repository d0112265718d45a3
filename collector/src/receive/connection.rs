//! One connection: bytes read in large pieces, messages found in them, and put into blocks.
//!
//! While blocks are scarce nothing is read any more, and the sender waits. A connection keeps only the part of a message that
//! has not ended yet, and of a receiver's connections one the rest of what was read when blocks ran out.

use std::cell::RefCell;
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use logboom_segment::{Flags, Message, PRI_NONE, Source};
use logboom_syslog::{Frame, Framer};
use logboom_udp::clock::realtime_ns;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::connections::{Closed, Connections, OpenConnection};
use super::sequence::{Numbered, Sequences};
use super::{Feed, NO_BLOCK_SLEEP, Offered};

/// Bytes read at a time, into one buffer for all connections of a receiver.
pub(super) const READ_BYTES: usize = 256 << 10;

/// Longest saying of goodbye.
const LAST_WRITE_MAX: Duration = Duration::from_secs(1);

/// What holds for every connection.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Longest message kept whole.
    pub message_bytes_max: usize,
    /// Memory of one receiver for messages that have not ended yet; past it they are cut.
    pub held_bytes_max: usize,
    /// Silence after which a connection is closed.
    pub idle_timeout: Option<Duration>,
    /// Time in which a message that was begun must end.
    pub message_timeout: Duration,
}

/// What carries messages.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Bytes that have arrived and are not read yet, or a little more.
    fn arrived_bytes(&self) -> usize;
}

impl Stream for TcpStream {
    fn arrived_bytes(&self) -> usize {
        in_kernel_bytes(self)
    }
}

impl Stream for UnixStream {
    fn arrived_bytes(&self) -> usize {
        in_kernel_bytes(self)
    }
}

impl Stream for TlsStream<TcpStream> {
    fn arrived_bytes(&self) -> usize {
        /// What rustls may hold, decrypted or not: a few records of 16 KiB (RFC 8446 section 5.1).
        const RUSTLS_BYTES: usize = 128 << 10;
        in_kernel_bytes(self.get_ref().0) + RUSTLS_BYTES
    }
}

fn in_kernel_bytes(socket: &impl AsFd) -> usize {
    // FIONREAD (ioctl_tty(2), tcp(7)). What is not known is read until there is nothing.
    rustix::io::ioctl_fionread(socket).ok().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
}

/// What the connections of one receiver share; they run on one thread.
pub(super) struct Shared {
    pub(super) feed: Feed,
    pub(super) scratch: Vec<u8>,
    pub(super) limits: StreamLimits,
    pub(super) connections: Arc<Connections>,
    pub(super) sequences: Arc<Sequences>,
    numbered: Numbered,
    /// What was read since the runtime waited last.
    read_bytes: Arc<AtomicUsize>,
    /// A connection waits for a block: the others do not read.
    is_starving: bool,
    /// Told when that is over.
    fed: Rc<Notify>,
    /// Of messages that have not ended yet.
    held_bytes: usize,
}

impl Shared {
    pub(super) fn new(
        feed: Feed,
        limits: StreamLimits,
        connections: Arc<Connections>,
        sequences: Arc<Sequences>,
        read_bytes: Arc<AtomicUsize>,
    ) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            feed,
            scratch: vec![0; READ_BYTES],
            limits,
            connections,
            sequences,
            numbered: Numbered::default(),
            read_bytes,
            is_starving: false,
            fed: Rc::new(Notify::new()),
            held_bytes: 0,
        }))
    }
}

/// One connection, whatever carries it.
pub(super) struct Connection<S> {
    stream: S,
    source: Source,
    framer: Framer,
    /// What the framer holds, as counted in [`Shared::held_bytes`].
    held_bytes: usize,
    /// A message that found no block.
    waiting: Option<Waiting>,
    /// When something came last.
    heard: Instant,
    /// When the message began that has not ended yet.
    begun: Option<Instant>,
    shared: Rc<RefCell<Shared>>,
    open: OpenConnection,
}

struct Waiting {
    bytes: Vec<u8>,
    original_length: u32,
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.shared.borrow_mut().held_bytes -= self.held_bytes;
    }
}

impl<S: Stream> Connection<S> {
    pub(super) fn new(stream: S, source: Source, shared: &Rc<RefCell<Shared>>, open: OpenConnection) -> Self {
        let framer = Framer::new(shared.borrow().limits.message_bytes_max);
        Self {
            stream,
            source,
            framer,
            held_bytes: 0,
            waiting: None,
            heard: Instant::now(),
            begun: None,
            shared: Rc::clone(shared),
            open,
        }
    }

    /// Reads until the sender has closed it, a time-out has passed, or all that had arrived at a stop is read: no more, as a
    /// sender that never pauses must not hold up the shutdown.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut left_bytes: Option<usize> = None;
        loop {
            wait_while_starving(&self.shared).await;
            // Looked at each time: a sender that outpaces us leaves no moment in which there is nothing to read.
            if left_bytes.is_none() && *stop.borrow() {
                left_bytes = Some(self.stream.arrived_bytes());
                hear_what_came().await;
            }
            let deadline = self.deadline();
            let Self { stream, source, shared, open, .. } = &mut self;
            tokio::select! {
                biased;
                // Tokio would now and then say that there is nothing, to be fair to others; after a stop that would be believed.
                read = tokio::task::unconstrained(poll_fn(|context| poll_read(stream, source, shared, context))) => match read {
                    Read::Some(bytes) => {
                        left_bytes = left_bytes.map(|left| left.saturating_sub(bytes));
                        self.take_read(bytes).await;
                    }
                    Read::NotNow => continue,
                    Read::End => break,
                },
                Ok(_) = stop.wait_for(|stop| *stop), if left_bytes.is_none() => continue,
                // Stopped: what had arrived was there.
                () = std::future::ready(()), if left_bytes.is_some() => break,
                () = open.is_to_make_room() => {
                    open.note_made_room();
                    break;
                }
                reason = until(deadline) => {
                    self.note_timeout(reason);
                    break;
                }
            }
            if left_bytes == Some(0) {
                break;
            }
            // The others' turn.
            tokio::task::yield_now().await;
        }
        self.finish().await;
    }

    fn deadline(&self) -> Option<(Instant, Closed)> {
        let limits = self.shared.borrow().limits;
        match self.begun {
            Some(begun) => Some((begun + limits.message_timeout, Closed::MessageTimeout)),
            None => limits.idle_timeout.map(|timeout| (self.heard + timeout, Closed::Idle)),
        }
    }

    fn note_timeout(&self, reason: Closed) {
        let why = match reason {
            Closed::MessageTimeout => "a message was begun and not ended (stream.message_timeout)",
            _ => "nothing came (stream.idle_timeout)",
        };
        self.shared.borrow().connections.note_closed(reason, self.source.address, &why);
    }

    /// Takes every whole message of what was read.
    async fn take_read(&mut self, bytes: usize) {
        self.heard = Instant::now();
        self.open.note_sent();
        let mut rest = {
            let shared = Rc::clone(&self.shared);
            let shared = &mut *shared.borrow_mut();
            shared.read_bytes.fetch_add(bytes, Ordering::Relaxed);
            // Apart from the rest of `shared` while messages are taken out of it.
            let scratch = std::mem::take(&mut shared.scratch);
            let taken = self.take(shared, &scratch[..bytes]);
            // The buffer is everybody's: what found no block is kept apart, and only then.
            let rest = scratch[taken..bytes].to_vec();
            shared.scratch = scratch;
            shared.is_starving |= self.waiting.is_some();
            rest
        };
        while self.waiting.is_some() {
            self.wait_for_block().await;
            let shared = Rc::clone(&self.shared);
            let taken = self.take(&mut shared.borrow_mut(), &rest);
            rest.drain(..taken);
            if self.waiting.is_none() {
                shared.borrow_mut().is_starving = false;
                shared.borrow().fed.notify_waiters();
            }
        }
    }

    /// Takes whole messages from the front of `input` until one finds no block; returns how many bytes were taken.
    fn take(&mut self, shared: &mut Shared, input: &[u8]) -> usize {
        self.framer.set_may_hold(shared.held_bytes < shared.limits.held_bytes_max);
        let received_ns = realtime_ns();
        let (mut messages, mut bytes, mut truncated) = (0, 0, 0);
        let mut rest = input;
        while let Some(frame) = self.framer.next(&mut rest) {
            let message = message_of(&frame, self.source, received_ns, Flags::NONE);
            if shared.feed.offer_or_wait(&message) == Offered::NoBlock {
                self.waiting = Some(Waiting { bytes: frame.bytes.to_vec(), original_length: frame.original_length });
                break;
            }
            shared.numbered.note(self.source, frame.bytes);
            messages += 1;
            bytes += frame.bytes.len() as u64;
            truncated += u64::from(frame.is_truncated());
        }
        count(&mut shared.feed, self.source.listener, messages, bytes, truncated);
        shared.sequences.take(&mut shared.numbered);
        self.note_held(shared, messages > 0);
        input.len() - rest.len()
    }

    fn note_held(&mut self, shared: &mut Shared, ended_one: bool) {
        let held_bytes = self.framer.memory_bytes();
        shared.held_bytes = shared.held_bytes - self.held_bytes + held_bytes;
        self.held_bytes = held_bytes;
        let begun = self.begun.filter(|_| !ended_one).unwrap_or(self.heard);
        self.begun = self.framer.is_within_message().then_some(begun);
    }

    /// Sleeps until the waiting message is in a block.
    async fn wait_for_block(&mut self) {
        let Some(Waiting { bytes, original_length }) = self.waiting.take() else { return };
        let frame = Frame { bytes: &bytes, original_length };
        offer_until_kept(&self.shared, &frame, self.source, Flags::NONE).await;
        self.shared.borrow_mut().numbered.note(self.source, &bytes);
    }

    /// The stream has ended; what it began is kept, and flagged.
    async fn finish(mut self) {
        if let Some(frame) = self.framer.finish() {
            offer_until_kept(&self.shared, &frame, self.source, Flags::UNTERMINATED).await;
        }
        // TLS says so before it closes (RFC 8446 section 6.1); to who does not listen any more, that does not matter.
        let _ = tokio::time::timeout(LAST_WRITE_MAX, self.stream.shutdown()).await;
    }
}

/// Returns at a deadline, with what it is for; never where there is none.
async fn until(deadline: Option<(Instant, Closed)>) -> Closed {
    match deadline {
        Some((at, reason)) => {
            tokio::time::sleep_until(at).await;
            reason
        }
        None => std::future::pending().await,
    }
}

/// What reading once gave.
enum Read {
    /// So many bytes, in the buffer that all share.
    Some(usize),
    /// Another connection has no block for what it has read.
    NotNow,
    /// The end of the stream.
    End,
}

/// Reads once.
fn poll_read(
    stream: &mut (impl AsyncRead + Unpin),
    source: &Source,
    shared: &RefCell<Shared>,
    context: &mut Context<'_>,
) -> Poll<Read> {
    let shared = &mut *shared.borrow_mut();
    // Each that read now would keep all of it.
    if shared.is_starving {
        return Poll::Ready(Read::NotNow);
    }
    let mut buffer = ReadBuf::new(&mut shared.scratch);
    if let Err(error) = ready!(Pin::new(stream).poll_read(context, &mut buffer)) {
        tracing::debug!("reading from {source:?}: {error}");
        return Poll::Ready(Read::End);
    }
    Poll::Ready(match buffer.filled().len() {
        0 => Read::End,
        bytes => Read::Some(bytes),
    })
}

/// Reads nothing while another connection has no block for what it has read.
pub(super) async fn wait_while_starving(shared: &RefCell<Shared>) {
    let fed = Rc::clone(&shared.borrow().fed);
    while shared.borrow().is_starving {
        fed.notified().await;
    }
}

/// Lets the runtime ask the kernel what is ready: tokio answers "nothing" by itself to whoever asks before that.
pub(super) async fn hear_what_came() {
    tokio::task::yield_now().await;
}

/// Offers a message until there is a block for it.
pub(super) async fn offer_until_kept(shared: &RefCell<Shared>, frame: &Frame<'_>, source: Source, flags: Flags) {
    let since = Instant::now();
    loop {
        {
            let feed = &mut shared.borrow_mut().feed;
            if feed.offer_or_wait(&message_of(frame, source, realtime_ns(), flags)) != Offered::NoBlock {
                count(feed, source.listener, 1, frame.bytes.len() as u64, u64::from(frame.is_truncated()));
                feed.counts().backpressure_ns.add(since.elapsed().as_nanos() as u64);
                return;
            }
        }
        tokio::time::sleep(NO_BLOCK_SLEEP).await;
    }
}

/// Publishes what was taken with one call.
pub(super) fn count(feed: &mut Feed, listener: u8, messages: u64, bytes: u64, truncated: u64) {
    feed.end_batch(); // In flight before received: see Ledger::read.
    let counts = feed.counts();
    counts.calls.add(1);
    let counts = &counts.listeners[usize::from(listener)];
    counts.messages.add(messages);
    counts.bytes.add(bytes);
    counts.truncated.add(truncated);
}

pub(super) fn message_of<'a>(frame: &Frame<'a>, source: Source, received_ns: u64, flags: Flags) -> Message<'a> {
    Message {
        payload: frame.bytes,
        received_ns,
        source,
        pri: logboom_syslog::pri(frame.bytes).unwrap_or(PRI_NONE),
        flags: if frame.is_truncated() { flags.with(Flags::TRUNCATED) } else { flags },
        original_length: frame.original_length,
    }
}
