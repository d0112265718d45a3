//! One packet out, what comes back: the sockets of a probe.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use logboom_udp::{SendError, queue_send_errors, take_send_error};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};
use rustix::net::{RecvFlags, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use super::answer::Answer;

/// Longest packet that is read whole, bytes: no IP packet is longer.
const PACKET_BYTES_MAX: usize = 1 << 16;

/// A port that nobody should have: the first of traceroute(8). The target says so, and that is the end of the path; an open port
/// would say nothing.
const CLOSED_PORT: u16 = 33_434;

/// What came to a socket, and may be the answer or somebody else's.
pub(super) enum Came<'a> {
    /// A packet from where the question was sent.
    Packet(&'a [u8]),
    /// An error about a packet that began so, behind the headers of IP and UDP.
    ErrorAbout(&'a [u8]),
}

/// The answer of a port that nobody has.
pub(super) const fn is_error(came: &Came<'_>) -> bool {
    matches!(came, Came::ErrorAbout(_))
}

/// Both ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) target: SocketAddr,
    /// The address that is sent from, if it is known.
    pub(super) own: Option<IpAddr>,
}

impl Ends {
    pub(super) fn domain(&self) -> Domain {
        Domain::for_address(self.target)
    }

    /// A port of the target at which nobody is expected: as traceroute(8) does, but never the one that is asked about.
    pub(super) fn closed_port(&self, number: u8) -> SocketAddr {
        let port = CLOSED_PORT.saturating_add(number.into());
        self.at_port(if port == self.target.port() { CLOSED_PORT - 1 } else { port })
    }

    /// Another port of the target; 0 for what has no ports.
    pub(super) fn at_port(&self, port: u16) -> SocketAddr {
        let mut address = self.target;
        address.set_port(port);
        address
    }

    fn refused(error: &io::Error) -> Answer {
        Answer::refused(error.raw_os_error().unwrap_or(0), 0)
    }

    /// Sends a packet and waits until `until` for what comes back. `is_answer` says whether what came is the answer.
    pub(super) fn ask(
        &self,
        socket: &Socket,
        (packet, to): (&[u8], SocketAddr),
        is_answer: impl Fn(&Came<'_>) -> bool,
        until: Instant,
    ) -> Answer {
        forget(socket);
        if let Err(error) = socket.send_to(packet, &to.into()) {
            return self.queued(socket, is_answer).unwrap_or_else(|| Self::refused(&error));
        }
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        // No port of ours is so much ours that nobody else can send to it.
        let is_from_there = |from: SocketAddr| (from.ip(), from.port()) == (to.ip(), to.port());
        loop {
            if let Some(answer) = self.queued(socket, &is_answer) {
                return answer;
            }
            let received = recvfrom(socket, &mut *buffer, RecvFlags::empty());
            match received.map(|(bytes, _, from)| (bytes, from.and_then(|from| SocketAddr::try_from(from).ok()))) {
                Ok((bytes, Some(from))) if is_from_there(from) && is_answer(&Came::Packet(&buffer[..bytes])) => {
                    return Answer::Reply;
                }
                // Somebody else's, or an error that stands in the queue too.
                Ok(_) | Err(_) if Instant::now() >= until => return Answer::Silent,
                Err(Errno::AGAIN) => {
                    let _ = wait(socket, PollFlags::IN, until);
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Connects to a port of the target, and says nothing; `hops` is how many routers may pass it on.
    pub(super) fn connect(&self, port: u16, hops: Option<u8>, until: Instant) -> io::Result<Answer> {
        let socket = open(self.domain(), Type::STREAM, Protocol::TCP)?;
        if let Some(hops) = hops {
            set_hops(&socket, hops)?;
        }
        let refused = |error: &io::Error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Answer::Reset,
            _ => Self::refused(error),
        };
        match socket.connect(&self.at_port(port).into()) {
            Ok(()) => return Ok(Answer::Reply),
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Ok(refused(&error)),
        }
        if !wait(&socket, PollFlags::OUT, until)? {
            return Ok(Answer::Silent);
        }
        // An ICMP error stands in the queue (since Linux 5.8), a reset does not.
        Ok(match (self.queued(&socket, |_| true), socket.take_error()?) {
            (Some(answer), _) => answer,
            (None, Some(error)) => refused(&error),
            // A source port that happens to be the one asked for connects to itself where nobody listens (RFC 9293 section 3.5).
            (None, None) if is_connected_to_itself(&socket) => Answer::Reset,
            (None, None) => Answer::Reply,
        })
    }

    /// The oldest error in the queue that is the answer; those before it are others'.
    fn queued(&self, socket: &Socket, is_answer: impl Fn(&Came<'_>) -> bool) -> Option<Answer> {
        let mut errors = std::iter::from_fn(|| take_send_error(socket).ok().flatten());
        let is_ours = |error: &SendError| error.sent.as_ref().is_none_or(|sent| is_answer(&Came::ErrorAbout(sent)));
        errors.find(is_ours).map(|error| Answer::of(&error, self.target.ip(), self.own))
    }
}

/// A socket that never waits, and has errors about what it sends queued.
pub(super) fn open(domain: Domain, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    queue_send_errors(&socket)?;
    Ok(socket)
}

fn is_connected_to_itself(socket: &Socket) -> bool {
    let [own, other] =
        [socket.local_addr(), socket.peer_addr()].map(|address| address.ok().and_then(|address| address.as_socket()));
    own.is_some() && own == other
}

/// Drops answers to earlier packets.
fn forget(socket: &Socket) {
    while let Ok(Some(_)) = take_send_error(socket) {}
    let _ = socket.take_error();
}

/// How many routers may pass on what the socket sends (RFC 791 section 3.2: time to live; RFC 8200 section 3: hop limit).
pub(super) fn set_hops(socket: &Socket, hops: u8) -> io::Result<()> {
    match socket.domain()? {
        Domain::IPV4 => socket.set_ttl_v4(hops.into()),
        _ => socket.set_unicast_hops_v6(hops.into()),
    }
}

/// No router may cut what the socket sends, and the kernel forgets what it knows of the path (IP_PMTUDISC_PROBE, ip(7)).
pub(super) fn forbid_fragments(socket: &Socket) -> io::Result<()> {
    match socket.domain()? {
        Domain::IPV4 => set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE)?,
        _ => set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE)?,
    }
    Ok(())
}

/// Waits for an event or an error; whether there was one before `until`.
fn wait(socket: &Socket, event: PollFlags, until: Instant) -> io::Result<bool> {
    loop {
        // Rounded up, so that what is waited for is not asked for again and again in the last fraction.
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(1);
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(socket, event)], Some(&left)) {
            Ok(events) => return Ok(events > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
