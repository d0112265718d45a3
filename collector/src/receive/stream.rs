//! Streams: the variant that loses nothing. One thread a receiver with its own runtime and its own block; a connection
//! stays with the receiver that accepted it.
//!
//! Without a free block above the reserve nothing is read any more, and the sender waits: TCP's flow control is the
//! queue. A connection keeps only the part of a message that has not ended yet, and of a receiver's connections one the
//! rest of what was read when blocks ran out.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logboom_segment::{Flags, Message, PRI_NONE, Source};
use logboom_syslog::{Frame, Framer};
use logboom_udp::clock::realtime_ns;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::{Feed, NO_BLOCK_SLEEP, Offered};
use crate::ledger::{Connections, OpenConnection};

/// Bytes read at a time, into one buffer for all connections of a receiver.
const READ_BYTES: usize = 256 << 10;

/// Longest reading on one connection after a stop: a sender that never pauses must not hold up the shutdown.
const LAST_READS_MAX: Duration = Duration::from_secs(1);

/// Sleep after a failed accept, so that running out of file descriptors does not spin.
const ACCEPT_SLEEP: Duration = Duration::from_millis(100);

/// One receiver of streams.
pub struct StreamReceiver {
    listeners: Vec<(u8, std::net::TcpListener)>,
    message_bytes_max: usize,
    connections: Arc<Connections>,
    feed: Feed,
    stop: watch::Receiver<bool>,
}

/// What the connections of one receiver share; they run on one thread.
struct Shared {
    feed: Feed,
    scratch: Vec<u8>,
    /// A connection waits for a block: the others do not read.
    is_starving: bool,
}

impl StreamReceiver {
    /// A receiver of connections to `listeners`, each with its number, that cuts messages at `message_bytes_max`.
    #[must_use]
    pub fn new(
        listeners: Vec<(u8, std::net::TcpListener)>,
        message_bytes_max: usize,
        connections: Arc<Connections>,
        feed: Feed,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { listeners, message_bytes_max, connections, feed, stop }
    }

    /// Accepts and reads until stopped, then reads what has arrived on every connection.
    ///
    /// # Errors
    /// When the runtime cannot be made.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let tasks = LocalSet::new();
        let block_age = self.feed.block_age();
        let shared =
            Rc::new(RefCell::new(Shared { feed: self.feed, scratch: vec![0; READ_BYTES], is_starving: false }));
        let entered = runtime.enter();
        for (listener, socket) in self.listeners {
            let acceptor = Acceptor {
                socket: TcpListener::from_std(socket)?,
                listener,
                message_bytes_max: self.message_bytes_max,
                connections: Arc::clone(&self.connections),
                shared: Rc::clone(&shared),
                stop: self.stop.clone(),
            };
            tasks.spawn_local(acceptor.run());
        }
        drop(entered);
        tasks.spawn_local(flush_by_age(Rc::clone(&shared), block_age, self.stop));
        // Every task ends once it is told to stop: acceptors, connections, flusher.
        runtime.block_on(tasks);
        while !shared.borrow_mut().feed.flush() {
            std::thread::sleep(NO_BLOCK_SLEEP);
        }
        Ok(())
    }
}

async fn flush_by_age(shared: Rc<RefCell<Shared>>, block_age: Duration, mut stop: watch::Receiver<bool>) {
    loop {
        // A block begun while this sleeps is looked at before it is old: it is younger than the sleep.
        let due_in = shared.borrow().feed.due_in().unwrap_or(block_age);
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(due_in) => shared.borrow_mut().feed.flush_if_due(),
        }
    }
}

struct Acceptor {
    socket: TcpListener,
    listener: u8,
    message_bytes_max: usize,
    connections: Arc<Connections>,
    shared: Rc<RefCell<Shared>>,
    stop: watch::Receiver<bool>,
}

impl Acceptor {
    async fn run(mut self) {
        let mut stopped = false;
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = self.socket.accept() => accepted,
                _ = self.stop.wait_for(|stop| *stop), if !stopped => {
                    stopped = true;
                    hear_what_came().await;
                    continue;
                }
                () = std::future::ready(()), if stopped => break,
            };
            match accepted {
                Ok((stream, peer)) => self.begin(stream, peer),
                Err(error) => {
                    tracing::warn!("accepting a connection: {error}");
                    tokio::time::sleep(ACCEPT_SLEEP).await;
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(open) = self.connections.enter() else { return };
        // A peer that vanished is noticed, and its place freed, without a limit on honest silence.
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
        if let Err(error) = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive) {
            tracing::debug!("keepalive for {peer}: {error}");
        }
        let connection = Connection {
            stream,
            source: Source { address: Some(peer.ip().to_canonical()), port: peer.port(), listener: self.listener },
            framer: Framer::new(self.message_bytes_max),
            waiting: None,
            shared: Rc::clone(&self.shared),
            _open: open,
        };
        tokio::task::spawn_local(connection.run(self.stop.clone()));
    }
}

/// Lets the runtime ask the kernel what is ready: tokio answers "nothing" by itself to whoever asks before that.
async fn hear_what_came() {
    tokio::task::yield_now().await;
}

struct Connection {
    stream: TcpStream,
    source: Source,
    framer: Framer,
    /// A message that found no block.
    waiting: Option<Waiting>,
    shared: Rc<RefCell<Shared>>,
    _open: OpenConnection,
}

struct Waiting {
    bytes: Vec<u8>,
    original_length: u32,
}

enum Read {
    Some,
    Nothing,
    End,
}

impl Connection {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut stopped: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                readable = self.stream.readable() => if readable.is_err() { break },
                _ = stop.wait_for(|stop| *stop), if stopped.is_none() => {
                    stopped = Some(Instant::now());
                    hear_what_came().await;
                }
                // Stopped: what has arrived is there now.
                () = std::future::ready(()), if stopped.is_some() => {}
            }
            match self.read().await {
                Read::Nothing if stopped.is_some() => break,
                Read::End => break,
                _ if stopped.is_some_and(|since| since.elapsed() > LAST_READS_MAX) => break,
                Read::Some | Read::Nothing => {}
            }
        }
        self.finish().await;
    }

    /// Reads once and takes every whole message.
    async fn read(&mut self) -> Read {
        while self.shared.borrow().is_starving {
            tokio::time::sleep(NO_BLOCK_SLEEP).await;
        }
        let mut rest = {
            let shared = Rc::clone(&self.shared);
            let shared = &mut *shared.borrow_mut();
            let read = match self.stream.try_read(&mut shared.scratch) {
                Ok(0) => return Read::End,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Read::Nothing,
                Err(error) => {
                    tracing::debug!("reading from {:?}: {error}", self.source);
                    return Read::End;
                }
            };
            let taken = self.take(&mut shared.feed, &shared.scratch[..read]);
            if self.waiting.is_none() {
                return Read::Some;
            }
            // The scratch is everybody's: what found no block is kept apart, and only then.
            shared.is_starving = true;
            shared.scratch[taken..read].to_vec()
        };
        while self.waiting.is_some() {
            self.wait_for_block().await;
            let shared = Rc::clone(&self.shared);
            let taken = self.take(&mut shared.borrow_mut().feed, &rest);
            rest.drain(..taken);
        }
        self.shared.borrow_mut().is_starving = false;
        Read::Some
    }

    /// Takes whole messages from the front of `input` until one finds no block; returns how many bytes were taken.
    fn take(&mut self, feed: &mut Feed, input: &[u8]) -> usize {
        let received_ns = realtime_ns();
        let (mut messages, mut bytes, mut truncated) = (0, 0, 0);
        let mut rest = input;
        while let Some(frame) = self.framer.next(&mut rest) {
            let message = message_of(&frame, self.source, received_ns, Flags::NONE);
            if feed.offer_or_wait(&message) == Offered::NoBlock {
                self.waiting = Some(Waiting { bytes: frame.bytes.to_vec(), original_length: frame.original_length });
                break;
            }
            messages += 1;
            bytes += frame.bytes.len() as u64;
            truncated += u64::from(frame.is_truncated());
        }
        count(feed, self.source.listener, messages, bytes, truncated);
        input.len() - rest.len()
    }

    /// Sleeps until the waiting message is in a block.
    async fn wait_for_block(&mut self) {
        let Some(Waiting { bytes, original_length }) = self.waiting.take() else { return };
        let frame = Frame { bytes: &bytes, original_length };
        self.offer_until_kept(&frame, Flags::NONE).await;
    }

    async fn offer_until_kept(&self, frame: &Frame<'_>, flags: Flags) {
        let since = Instant::now();
        loop {
            {
                let feed = &mut self.shared.borrow_mut().feed;
                if feed.offer_or_wait(&message_of(frame, self.source, realtime_ns(), flags)) != Offered::NoBlock {
                    count(feed, self.source.listener, 1, frame.bytes.len() as u64, u64::from(frame.is_truncated()));
                    feed.counts().backpressure_ns.add(since.elapsed().as_nanos() as u64);
                    return;
                }
            }
            tokio::time::sleep(NO_BLOCK_SLEEP).await;
        }
    }

    /// The stream has ended; what it began is kept, and flagged.
    async fn finish(mut self) {
        let Some(frame) = self.framer.finish() else { return };
        let last = Waiting { bytes: frame.bytes.to_vec(), original_length: frame.original_length };
        let frame = Frame { bytes: &last.bytes, original_length: last.original_length };
        self.offer_until_kept(&frame, Flags::UNTERMINATED).await;
    }
}

fn count(feed: &mut Feed, listener: u8, messages: u64, bytes: u64, truncated: u64) {
    feed.end_batch(); // In flight before received: see Ledger::read.
    let counts = feed.counts();
    counts.calls.add(1);
    let counts = &counts.listeners[usize::from(listener)];
    counts.messages.add(messages);
    counts.bytes.add(bytes);
    counts.truncated.add(truncated);
}

fn message_of<'a>(frame: &Frame<'a>, source: Source, received_ns: u64, flags: Flags) -> Message<'a> {
    Message {
        payload: frame.bytes,
        received_ns,
        source,
        pri: logboom_syslog::pri(frame.bytes).unwrap_or(PRI_NONE),
        flags: if frame.is_truncated() { flags.with(Flags::TRUNCATED) } else { flags },
        original_length: frame.original_length,
    }
}
