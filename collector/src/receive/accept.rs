//! Connections taken, or turned away: who may send, how many at a time, and how TLS begins.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use logboom_segment::Source;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::allow::AllowList;
use super::connection::{Connection, Shared, hear_what_came};
use super::connections::{Closed, OpenConnection};
use super::tls::TlsSettings;

/// Sleep after a failed accept, so that running out of file descriptors does not spin.
const ACCEPT_SLEEP: Duration = Duration::from_millis(100);

/// Connections taken after a stop, at most: as many as wait in the kernel.
const LAST_ACCEPTS_MAX: usize = 1024;

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
    /// Those that may begin now; who waits for more gets it in turn.
    turns: Rc<Semaphore>,
    per_second: f64,
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
            Handshakes { settings, turns: Rc::new(Semaphore::new(burst(per_second))), per_second }
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

/// So many at once, after a pause.
fn burst(per_second: f64) -> usize {
    (per_second as usize).max(1)
}

/// Gives turns at their pace until it is to stop.
async fn give_turns(handshakes: Handshakes, mut stop: watch::Receiver<bool>) {
    const INTERVAL: Duration = Duration::from_millis(20);
    let Handshakes { turns, per_second, .. } = handshakes;
    let (mut pace, mut at) = (Pace { per_second, owed: 0.0 }, Instant::now());
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let passed = at.elapsed();
        at += passed;
        turns.add_permits(pace.more(passed, turns.available_permits()));
    }
}

struct Pace {
    per_second: f64,
    /// Parts of one.
    owed: f64,
}

impl Pace {
    /// How many more may begin now that so much time has passed, where `ready` still may.
    fn more(&mut self, passed: Duration, ready: usize) -> usize {
        let due = self.owed + passed.as_secs_f64() * self.per_second;
        self.owed = due.fract();
        (due as usize).min(burst(self.per_second).saturating_sub(ready))
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
        if let Door::Tcp { tls: Some(handshakes), .. } = &self.door {
            tokio::task::spawn_local(give_turns(handshakes.clone(), self.stop.clone()));
        }
        let mut stopped = false;
        let mut left = LAST_ACCEPTS_MAX;
        while left > 0 {
            left -= usize::from(stopped);
            let accepted = tokio::select! {
                biased;
                accepted = tokio::task::unconstrained(self.door.accept()) => accepted,
                _ = self.stop.wait_for(|stop| *stop), if !stopped => {
                    stopped = true;
                    hear_what_came().await;
                    continue;
                }
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
        let connections = Arc::clone(&self.shared.borrow().connections);
        connections.enter(address).ok()
    }

    fn begin_tcp(&self, stream: TcpStream, peer: SocketAddr) {
        let Door::Tcp { allow, tls, .. } = &self.door else { return };
        let address = peer.ip().to_canonical();
        if !allow.permits(address) {
            let connections = Arc::clone(&self.shared.borrow().connections);
            connections.note_closed(
                Closed::NotAllowed,
                Some(address),
                &"it is not on the list `allow` of the listener",
            );
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
    let Handshakes { settings, turns, .. } = handshakes;
    let timeout = settings.limits().handshake_timeout.get();
    let handshake = async {
        // Beyond their rate they wait, each in turn. The semaphore is never closed.
        let connections = Arc::clone(&shared.borrow().connections);
        let waiting = connections.wait_for_handshake();
        if let Ok(turn) = turns.acquire().await {
            turn.forget();
        }
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
        let mut pace = Pace { per_second: 10.0, owed: 0.0 };
        assert_eq!(pace.more(Duration::from_millis(250), 0), 2);
        assert_eq!(pace.more(Duration::from_millis(50), 0), 1, "what was left of the time before counts");
        assert_eq!(pace.more(Duration::from_secs(60), 3), 7, "no more than a second's may be ready");
        let mut slow = Pace { per_second: 0.5, owed: 0.0 };
        let given: usize = (0..500).map(|_| slow.more(Duration::from_millis(20), 0)).sum();
        assert_eq!(given, 5, "in ten seconds");
        assert_eq!(burst(0.5), 1);
    }
}
