//! Streams: the variant that loses nothing. One thread a receiver with its own runtime and its own block; a connection
//! stays with the receiver that accepted it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;

use super::accept::{Acceptor, Door};
use super::allow::AllowList;
use super::connection::{Shared, StreamLimits};
use super::connections::Connections;
use super::sequence::Sequences;
use super::tls::TlsSettings;
use super::unixgram::LocalDatagrams;
use super::{Feed, NO_BLOCK_SLEEP};
use crate::bind::StreamDoor;

/// Who has sent so much since the last wait goes on at once: a pause would fill its socket's buffer and slow it down.
const MUCH_BYTES: usize = 128 << 10;

/// One listener's socket at one receiver.
pub struct StreamListener {
    /// Its number.
    pub number: u8,
    /// Bound to its place.
    pub door: StreamDoor,
    /// Who may send there over TCP and TLS.
    pub allow: AllowList,
    /// What handshakes are made with, for `tls://`.
    pub tls: Option<Arc<TlsSettings>>,
}

impl StreamListener {
    /// The same listener at another receiver.
    ///
    /// # Errors
    /// As [`StreamDoor::try_clone`].
    pub fn try_clone(&self) -> io::Result<Self> {
        let Self { number, door, allow, tls } = self;
        Ok(Self { number: *number, door: door.try_clone()?, allow: allow.clone(), tls: tls.clone() })
    }
}

/// What all receivers of streams share.
#[derive(Clone)]
pub struct StreamContext {
    /// What holds for every connection.
    pub limits: StreamLimits,
    /// Every connection.
    pub connections: Arc<Connections>,
    /// The numbers that senders give their messages.
    pub sequences: Arc<Sequences>,
    /// Receivers: each makes its share of the handshakes.
    pub receivers: usize,
    /// Sleep before waiting in the kernel.
    pub tick: Duration,
    /// Tells when to stop.
    pub stop: watch::Receiver<bool>,
}

/// One receiver of streams.
pub struct StreamReceiver {
    listeners: Vec<StreamListener>,
    context: StreamContext,
    feed: Feed,
}

impl StreamReceiver {
    /// A receiver of what comes to `listeners`.
    #[must_use]
    pub fn new(listeners: Vec<StreamListener>, context: StreamContext, feed: Feed) -> Self {
        Self { listeners, context, feed }
    }

    /// Accepts and reads until stopped, then reads what has arrived on every connection.
    ///
    /// # Errors
    /// When the runtime cannot be made.
    pub fn run(self) -> io::Result<()> {
        let Self { listeners, context, feed } = self;
        let read_bytes = Arc::new(AtomicUsize::new(0));
        let runtime = runtime(context.tick, Arc::clone(&read_bytes))?;
        let block_age = feed.block_age();
        let tasks = LocalSet::new();
        let shared = Shared::new(
            feed,
            context.limits,
            Arc::clone(&context.connections),
            Arc::clone(&context.sequences),
            read_bytes,
        );
        let entered = runtime.enter();
        for StreamListener { number, door, allow, tls } in listeners {
            let stop = context.stop.clone();
            let door = match door {
                StreamDoor::Tcp(socket) => Door::tcp(socket, allow, tls, context.receivers)?,
                StreamDoor::Unix(socket) => Door::unix(socket)?,
                StreamDoor::Unixgram(socket, is_shared) => {
                    tasks.spawn_local(LocalDatagrams::new(socket, is_shared, number, Rc::clone(&shared))?.run(stop));
                    continue;
                }
            };
            tasks.spawn_local(Acceptor::new(door, number, Rc::clone(&shared), stop).run());
        }
        drop(entered);
        tasks.spawn_local(flush_by_age(Rc::clone(&shared), block_age, context.stop));
        // Every task ends once it is told to stop: acceptors, connections, flusher.
        runtime.block_on(tasks);
        while !shared.borrow_mut().feed.flush() {
            std::thread::sleep(NO_BLOCK_SLEEP);
        }
        Ok(())
    }
}

/// A runtime that sleeps one *tick* before it waits in the kernel, if little was read since the last time: so one wake-up
/// serves what many senders have sent meanwhile, as at the receivers of datagrams (`docs/decisions/0001`).
fn runtime(tick: Duration, read_bytes: Arc<AtomicUsize>) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io().enable_time();
    if !tick.is_zero() {
        builder.on_thread_park(move || {
            if (1..MUCH_BYTES).contains(&read_bytes.swap(0, Ordering::Relaxed)) {
                std::thread::sleep(tick);
            }
        });
    }
    builder.build()
}

async fn flush_by_age(shared: Rc<std::cell::RefCell<Shared>>, block_age: Duration, mut stop: watch::Receiver<bool>) {
    loop {
        // A block begun while this sleeps is looked at before it is old: it is younger than the sleep.
        let due_in = shared.borrow().feed.due_in().unwrap_or(block_age);
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(due_in) => shared.borrow_mut().feed.flush_if_due(),
        }
    }
}
