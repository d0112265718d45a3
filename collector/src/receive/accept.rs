//! Connections taken, or turned away: who may send, how many at a time, and how TLS begins.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use logboom_segment::Source;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::allow::AllowList;
use super::connection::{Connection, Shared, hear_what_came};
use super::connections::{Closed, OpenConnection};
use super::tls::TlsSettings;
use crate::bind::{ACCEPT_SLEEP, LISTEN_BACKLOG};

/// A connection of a sender that vanished is noticed after so long, without a limit on honest silence.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Where connections come.
pub(super) enum Door {
    Tcp { socket: TcpListener, allow: AllowList, tls: Option<Handshakes> },
    Unix(UnixListener),
}

/// How TLS is begun on a listener.
#[derive(Clone)]
pub(super) struct Handshakes {
    settings: Arc<TlsSettings>,
    /// Whoever is next holds it until it may begin. The lock is fair: the others wait in turn.
    pace: Rc<Mutex<Pace>>,
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Door {
    /// One of `receivers` that share a listener.
    pub(super) fn tcp(
        socket: std::net::TcpListener,
        allow: AllowList,
        tls: Option<Arc<TlsSettings>>,
        receivers: usize,
    ) -> io::Result<Self> {
        let handshakes = |settings: Arc<TlsSettings>| {
            let per_second = f64::from(settings.limits().handshakes_per_second) / receivers.max(1) as f64;
            Handshakes { settings, pace: Rc::new(Mutex::new(Pace::new(per_second, Instant::now()))) }
        };
        Ok(Self::Tcp { socket: TcpListener::from_std(socket)?, allow, tls: tls.map(handshakes) })
    }

    pub(super) fn unix(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        Ok(Self::Unix(UnixListener::from_std(socket)?))
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp { socket, .. } => socket.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer)),
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl Handshakes {
    /// Waits until one more may begin. Nothing is taken before that, so it may be given up.
    async fn turn(&self) {
        let mut pace = self.pace.lock().await;
        let wait = pace.wait(Instant::now());
        // Tokio would sleep a millisecond also for nothing.
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        pace.note_begun(Instant::now());
    }
}

/// How often handshakes begin: evenly, and after a pause as many at once as in a second.
struct Pace {
    interval: Duration,
    /// How long before its even time one may begin.
    early_max: Duration,
    /// When the next would begin if all began evenly.
    even: Instant,
}

impl Pace {
    fn new(per_second: f64, now: Instant) -> Self {
        let interval = Duration::from_secs_f64(per_second.recip());
        let at_once = (per_second as u32).max(1);
        Self { interval, early_max: interval * (at_once - 1), even: now }
    }

    /// How long until the next may begin.
    fn wait(&self, now: Instant) -> Duration {
        self.even.saturating_duration_since(now).saturating_sub(self.early_max)
    }

    fn note_begun(&mut self, now: Instant) {
        self.even = self.even.max(now) + self.interval;
    }
}

/// Accepts connections to one listener.
pub(super) struct Acceptor {
    door: Door,
    listener: u8,
    shared: Rc<RefCell<Shared>>,
    stop: watch::Receiver<bool>,
}

impl Acceptor {
    pub(super) fn new(door: Door, listener: u8, shared: Rc<RefCell<Shared>>, stop: watch::Receiver<bool>) -> Self {
        Self { door, listener, shared, stop }
    }

    /// Until stopped; then those that had come.
    pub(super) async fn run(mut self) {
        let mut stopped = false;
        // After a stop no more than wait in the kernel.
        let mut left = LISTEN_BACKLOG;
        while left > 0 {
            // Looked at each time, as who connects without end leaves no moment in which nobody waits.
            if !stopped && *self.stop.borrow() {
                stopped = true;
                hear_what_came().await;
            }
            left -= i32::from(stopped);
            let accepted = tokio::select! {
                biased;
                accepted = tokio::task::unconstrained(self.door.accept()) => accepted,
                Ok(_) = self.stop.wait_for(|stop| *stop), if !stopped => continue,
                () = std::future::ready(()), if stopped => break,
            };
            match accepted {
                Ok(Accepted::Tcp(stream, peer)) => self.begin_tcp(stream, peer),
                Ok(Accepted::Unix(stream)) => self.begin_unix(stream),
                Err(error) => {
                    tracing::warn!("accepting a connection: {error}");
                    tokio::time::sleep(ACCEPT_SLEEP).await;
                }
            }
            // The others' turn: who connects without end must not keep those waiting that are connected.
            tokio::task::yield_now().await;
        }
    }

    fn enter(&self, address: Option<IpAddr>) -> Option<OpenConnection> {
        self.shared.borrow().connections.enter(address).ok()
    }

    fn begin_tcp(&self, stream: TcpStream, peer: SocketAddr) {
        let Door::Tcp { allow, tls, .. } = &self.door else { return };
        let address = peer.ip().to_canonical();
        if !allow.permits(address) {
            let why = "it is not on the list `allow` of the listener";
            self.shared.borrow().connections.note_closed(Closed::NotAllowed, Some(address), &why);
            return;
        }
        let Some(open) = self.enter(Some(address)) else { return };
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
        if let Err(error) = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive) {
            tracing::debug!("keepalive for {peer}: {error}");
        }
        let source = Source { address: Some(address), port: peer.port(), listener: self.listener };
        let (shared, stop) = (Rc::clone(&self.shared), self.stop.clone());
        match tls {
            None => drop(tokio::task::spawn_local(Connection::new(stream, source, &shared, open).run(stop))),
            Some(handshakes) => {
                drop(tokio::task::spawn_local(begin_tls(stream, handshakes.clone(), source, shared, open, stop)));
            }
        }
    }

    fn begin_unix(&self, stream: UnixStream) {
        let Some(open) = self.enter(None) else { return };
        let source = Source { address: None, port: 0, listener: self.listener };
        let connection = Connection::new(stream, source, &self.shared, open);
        tokio::task::spawn_local(connection.run(self.stop.clone()));
    }
}

/// Makes the handshake, then reads.
async fn begin_tls(
    stream: TcpStream,
    handshakes: Handshakes,
    source: Source,
    shared: Rc<RefCell<Shared>>,
    open: OpenConnection,
    mut stop: watch::Receiver<bool>,
) {
    let settings = &handshakes.settings;
    let timeout = settings.limits().handshake_timeout.get();
    let handshake = async {
        let connections = Arc::clone(&shared.borrow().connections);
        let waiting = connections.wait_for_handshake();
        handshakes.turn().await;
        drop(waiting);
        tokio::time::timeout(timeout, TlsAcceptor::from(settings.current()).accept(stream)).await
    };
    let done = tokio::select! {
        done = handshake => done,
        // Nothing was taken yet: it stays with the sender, who sees no close_notify.
        _ = stop.wait_for(|stop| *stop) => return,
        () = open.is_to_make_room() => return open.note_made_room(),
    };
    let closed = |reason: Closed, why: &dyn std::fmt::Display| {
        shared.borrow().connections.note_closed(reason, source.address, why);
    };
    match done {
        Ok(Ok(stream)) => Connection::new(stream, source, &shared, open).run(stop).await,
        Ok(Err(error)) => match refusal(&error) {
            Closed::TlsNotAllowed => closed(Closed::TlsNotAllowed, &format_args!("its certificate: {error}")),
            reason => closed(reason, &format_args!("the TLS handshake failed: {error}{}", hint(&error))),
        },
        Err(_) => closed(Closed::TlsTimeout, &"the TLS handshake took too long (tls.handshake_timeout)"),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn refusal(error: &io::Error) -> Closed {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => Closed::TlsNotAllowed,
        _ => Closed::TlsFailed,
    }
}

/// What most likely is behind a failed handshake.
fn hint(error: &io::Error) -> &'static str {
    match tls_error(error) {
        Some(rustls::Error::InvalidMessage(_)) => "; does it send without TLS?",
        Some(rustls::Error::AlertReceived(_)) => "; does it trust the authority of tls.cert, and is its name in there?",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_begin_at_their_pace_and_after_a_pause_as_many_at_once() {
        let start = Instant::now();
        let begun_at = |pace: &mut Pace, now: Duration| {
            let at = now + pace.wait(start + now);
            pace.note_begun(start + at);
            at
        };
        let mut pace = Pace::new(10.0, start);
        let ms = Duration::from_millis;
        for pause in [ms(0), ms(60_000)] {
            let begun: Vec<_> = (0..12).map(|_| begun_at(&mut pace, pause) - pause).collect();
            assert_eq!(begun[..10], [ms(0); 10], "no more than a second's");
            assert_eq!(begun[10..], [ms(100), ms(200)], "then evenly");
        }
        let begun: Vec<_> = (0..3).map(|_| begun_at(&mut pace, ms(60_450)) - ms(60_450)).collect();
        assert_eq!(begun, [ms(0), ms(0), ms(50)], "a shorter pause counts for what it was");
        let mut slow = Pace::new(0.5, start);
        let begun: Vec<_> = (0..3).map(|_| begun_at(&mut slow, ms(0))).collect();
        assert_eq!(begun, [ms(0), ms(2_000), ms(4_000)]);
    }
}
