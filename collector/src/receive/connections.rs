//! How many stream connections there are, of whom, and why others were turned away or closed.
//!
//! When there are as many as may be, the one that has been silent longest since it came makes room: nothing that was sent is
//! lost by that, and who opens connections only to hold them does not keep out those who have something to say.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::ledger::Counter;

/// Why a connection was closed by us: a closed list, as metrics need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Its source is not on the allow list.
    NotAllowed,
    /// There were as many as may be, and each had sent something.
    TooMany,
    /// It had sent nothing yet, and another needed its place.
    MadeRoom,
    /// There were as many of its source as may be.
    TooManyOfSource,
    /// The TLS handshake failed: no version, cipher or certificate in common, or no TLS at all.
    TlsFailed,
    /// The TLS handshake took too long.
    TlsTimeout,
    /// Its certificate is not one of those that may send.
    TlsNotAllowed,
    /// A message was begun and not ended for too long.
    MessageTimeout,
    /// Nothing came for too long.
    Idle,
}

impl Closed {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::NotAllowed,
        Self::TooMany,
        Self::MadeRoom,
        Self::TooManyOfSource,
        Self::TlsFailed,
        Self::TlsTimeout,
        Self::TlsNotAllowed,
        Self::MessageTimeout,
        Self::Idle,
    ];

    /// Its label in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::TooMany => "max_connections",
            Self::MadeRoom => "made_room",
            Self::TooManyOfSource => "max_per_source",
            Self::TlsFailed => "tls_failed",
            Self::TlsTimeout => "tls_timeout",
            Self::TlsNotAllowed => "tls_not_allowed",
            Self::MessageTimeout => "message_timeout",
            Self::Idle => "idle_timeout",
        }
    }
}

/// Time between two log lines for one reason.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Connections that are told to make room, and still close, beyond those that may be.
pub const CLOSING_MAX: usize = 64;

/// Every connection of a collector.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    waiting_handshakes: AtomicUsize,
    accepted: Counter,
    closed: [Counter; Closed::ALL.len()],
    logged: Mutex<[Option<Instant>; Closed::ALL.len()]>,
    by_source: Mutex<HashMap<IpAddr, usize>>,
    newcomers: Mutex<Newcomers>,
    max: usize,
    max_per_source: usize,
}

/// Those that have sent nothing yet, by when they came, and how each is told to make room.
#[derive(Debug, Default)]
struct Newcomers {
    next: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// None yet, at most `max`, and `max_per_source` from one address.
    #[must_use]
    pub fn new(max: usize, max_per_source: usize) -> Self {
        Self {
            open: AtomicUsize::new(0),
            waiting_handshakes: AtomicUsize::new(0),
            accepted: Counter::default(),
            closed: Default::default(),
            logged: Mutex::default(),
            by_source: Mutex::default(),
            newcomers: Mutex::default(),
            max,
            max_per_source,
        }
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Connections that wait for their turn to begin TLS.
    #[must_use]
    pub fn waiting_handshakes(&self) -> usize {
        self.waiting_handshakes.load(Ordering::Acquire)
    }

    /// Counts one that waits for its turn, until this is dropped.
    #[must_use]
    pub fn wait_for_handshake(&self) -> WaitingHandshake<'_> {
        self.waiting_handshakes.fetch_add(1, Ordering::AcqRel);
        WaitingHandshake(self)
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    /// Connections that were closed for a reason.
    #[must_use]
    pub fn closed(&self, reason: Closed) -> u64 {
        self.closed[reason as usize].get()
    }

    /// Counts a connection that is closed, and tells of it once a minute.
    pub fn note_closed(&self, reason: Closed, source: Option<IpAddr>, why: &dyn std::fmt::Display) {
        self.closed[reason as usize].add(1);
        let logged = &mut lock(&self.logged)[reason as usize];
        if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            *logged = Some(Instant::now());
            let source = source.map_or_else(|| "a local socket".to_owned(), |address| address.to_string());
            tracing::warn!("closed a connection from {source}: {why} ({}; told once a minute)", reason.name());
        }
    }

    /// A place for one more, if need be that of one that has sent nothing; where there is none, why.
    ///
    /// # Errors
    /// The limit that it would pass; it is counted.
    pub fn enter(self: &Arc<Self>, source: Option<IpAddr>) -> Result<OpenConnection, Closed> {
        if !self.count_source(source) {
            let max = self.max_per_source;
            let why = format_args!("{max} of its own are open (stream.max_per_source)");
            self.note_closed(Closed::TooManyOfSource, source, &why);
            return Err(Closed::TooManyOfSource);
        }
        if !self.count_open() {
            self.forget_source(source);
            let why = format_args!("{} are open (stream.max_connections)", self.max);
            self.note_closed(Closed::TooMany, source, &why);
            return Err(Closed::TooMany);
        }
        self.accepted.add(1);
        let newcomer = Some(lock(&self.newcomers).add());
        Ok(OpenConnection { connections: Arc::clone(self), source, newcomer })
    }

    /// Counts one more of a source, if it may have it.
    fn count_source(&self, source: Option<IpAddr>) -> bool {
        let Some(address) = source else { return true };
        let mut by_source = lock(&self.by_source);
        let count = by_source.get(&address).copied().unwrap_or(0);
        let has_place = count < self.max_per_source;
        if has_place {
            by_source.insert(address, count + 1);
        }
        has_place
    }

    fn forget_source(&self, source: Option<IpAddr>) {
        let Some(address) = source else { return };
        let mut by_source = lock(&self.by_source);
        if let Some(count) = by_source.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_source.remove(&address);
            }
        }
    }

    /// Counts one more in all, if there is a place, or one is made. Nobody is told to make room in vain.
    fn count_open(&self) -> bool {
        let count_below = |limit: usize| {
            let below_limit = |open: usize| (open < limit).then_some(open + 1);
            self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, below_limit).is_ok()
        };
        if count_below(self.max) {
            return true;
        }
        if !count_below(self.max + CLOSING_MAX) {
            return false;
        }
        let is_made = self.make_room();
        if !is_made {
            self.open.fetch_sub(1, Ordering::AcqRel);
        }
        is_made
    }

    /// Tells the one to close that has sent nothing for longest; false if each has sent something.
    fn make_room(&self) -> bool {
        let first = lock(&self.newcomers).waiting.pop_first();
        first.is_some_and(|(_, told)| {
            told.notify_one();
            true
        })
    }
}

impl Newcomers {
    fn add(&mut self) -> (u64, Arc<Notify>) {
        let (number, told) = (self.next, Arc::new(Notify::new()));
        self.next += 1;
        self.waiting.insert(number, Arc::clone(&told));
        (number, told)
    }
}

/// A connection that waits for its turn to begin TLS.
#[derive(Debug)]
pub struct WaitingHandshake<'a>(&'a Connections);

impl Drop for WaitingHandshake<'_> {
    fn drop(&mut self) {
        self.0.waiting_handshakes.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The place of one connection, given back when dropped.
#[derive(Debug)]
pub struct OpenConnection {
    connections: Arc<Connections>,
    source: Option<IpAddr>,
    /// While it has sent nothing: its number, and how it is told to make room.
    newcomer: Option<(u64, Arc<Notify>)>,
}

impl OpenConnection {
    /// It has sent something: it need not make room any more.
    pub fn note_sent(&mut self) {
        if let Some((number, _)) = self.newcomer.take() {
            lock(&self.connections.newcomers).waiting.remove(&number);
        }
    }

    /// Returns when it is to make room: never, once it has sent something.
    pub async fn is_to_make_room(&self) {
        match &self.newcomer {
            Some((_, told)) => told.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Counts that it made room.
    pub fn note_made_room(&self) {
        let why = "it has sent nothing, and another came (stream.max_connections)";
        self.connections.note_closed(Closed::MadeRoom, self.source, &why);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.note_sent();
        self.connections.open.fetch_sub(1, Ordering::AcqRel);
        self.connections.forget_source(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(connections: &Arc<Connections>, source: Option<IpAddr>) -> Result<OpenConnection, Closed> {
        let mut open = connections.enter(source)?;
        open.note_sent();
        Ok(open)
    }

    #[test]
    fn places_are_limited_in_all_and_for_each_source_and_given_back() {
        let connections = Arc::new(Connections::new(3, 2));
        let (a, b) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        let first = sender(&connections, a).unwrap();
        let second = sender(&connections, a).unwrap();
        assert_eq!(sender(&connections, a).unwrap_err(), Closed::TooManyOfSource);
        let third = sender(&connections, b).unwrap();
        assert_eq!(sender(&connections, b).unwrap_err(), Closed::TooMany);
        assert_eq!((connections.open(), connections.accepted()), (3, 3));
        drop((first, third));
        connections.enter(a).unwrap();
        let local = connections.enter(None).unwrap();
        assert_eq!((connections.closed(Closed::TooMany), connections.closed(Closed::TooManyOfSource)), (1, 1));
        drop((second, local));
        assert_eq!(connections.open(), 0);
        assert!(lock(&connections.by_source).is_empty(), "a source that is gone is forgotten");
        assert!(lock(&connections.newcomers).waiting.is_empty());
    }

    #[test]
    fn who_has_sent_nothing_for_longest_makes_room() {
        let connections = Arc::new(Connections::new(3, 100));
        let is_told = |open: &OpenConnection| {
            let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
            std::pin::pin!(open.is_to_make_room()).poll(context).is_ready()
        };
        let mut first = connections.enter(None).unwrap();
        let second = connections.enter(None).unwrap();
        let third = connections.enter(None).unwrap();
        first.note_sent();
        let mut newer: Vec<_> = (0..2).map(|_| connections.enter(None).unwrap()).collect();
        assert_eq!([&first, &second, &third, &newer[0]].map(is_told), [false, true, true, false]);
        newer.extend((0..CLOSING_MAX - 2).map(|_| connections.enter(None).unwrap()));
        assert_eq!(connections.enter(None).unwrap_err(), Closed::TooMany, "no more than so many may still be closing");
        assert_eq!(connections.open(), 3 + CLOSING_MAX);
    }
}
