//! Onto the wire: groups of messages, each group to one flow.
//!
//! A flow of datagrams is a socket of its own (with UDP a source port of its own, so that a collector's sockets share
//! the flows), a flow on a stream a connection. What the kernel was given is sent; what it refuses for want of memory
//! is offered again.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use logboom_udp::SendBatch;

pub mod connection;
pub mod tls;

use connection::Connection;

/// Pause before a message that the kernel had no memory for is offered again.
const NO_MEMORY_SLEEP: Duration = Duration::from_micros(100);

/// How messages are told apart on a stream (RFC 6587).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// Each ends with LF.
    Lf,
    /// Each begins with its length.
    Octet,
}

/// The flows of a run.
pub enum Flows {
    /// Datagrams.
    Udp {
        /// One a flow.
        sockets: Vec<UdpSocket>,
        /// The current group.
        batch: Box<SendBatch>,
    },
    /// Datagrams of this machine.
    Unixgram {
        /// One a flow.
        sockets: Vec<UnixDatagram>,
        /// The current group.
        bytes: Vec<u8>,
        /// Where each datagram ends in `bytes`.
        ends: Vec<usize>,
    },
    /// Streams.
    Streams {
        /// One a flow.
        connections: Vec<Connection>,
        /// How messages are told apart.
        framing: Framing,
        /// The current group.
        bytes: Vec<u8>,
    },
}

impl Flows {
    /// `count` sockets that send to `to`, up to `gso` datagrams of one length as one. They stay unconnected: a connected
    /// one would swallow every second datagram after a port-unreachable, in silence.
    ///
    /// # Errors
    /// What socket(2) and bind(2) say.
    pub fn udp(to: SocketAddr, count: u32, gso: usize) -> io::Result<Self> {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let sockets = (0..count).map(|_| UdpSocket::bind((any, 0))).collect::<io::Result<_>>()?;
        Ok(Self::Udp { sockets, batch: Box::new(SendBatch::new(to, gso)) })
    }

    /// `count` sockets that send to the one named `to`. They are connected, and so end with a collector that goes away,
    /// instead of finding the one that takes its place: what the first had not read is lost, and the run must say so.
    ///
    /// # Errors
    /// What socket(2) and connect(2) say.
    pub fn unixgram(to: &Path, count: u32) -> io::Result<Self> {
        let connect = |_| {
            let socket = UnixDatagram::unbound()?;
            socket.connect(to)?;
            Ok(socket)
        };
        let sockets = (0..count).map(connect).collect::<io::Result<_>>()?;
        Ok(Self::Unixgram { sockets, bytes: Vec::new(), ends: Vec::new() })
    }

    /// `count` streams that `connect` makes.
    ///
    /// # Errors
    /// What `connect` says.
    pub fn streams(count: u32, framing: Framing, connect: impl Fn() -> io::Result<Connection>) -> io::Result<Self> {
        let connections = (0..count).map(|_| connect()).collect::<io::Result<_>>()?;
        Ok(Self::Streams { connections, framing, bytes: Vec::new() })
    }

    /// Flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Udp { sockets, .. } => sockets.len(),
            Self::Unixgram { sockets, .. } => sockets.len(),
            Self::Streams { connections, .. } => connections.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a message of `message_bytes` to the current group; `write` puts it behind what the buffer holds.
    pub fn push(&mut self, message_bytes: usize, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Udp { batch, .. } => batch.push_with(write),
            Self::Unixgram { bytes, ends, .. } => {
                write(bytes);
                ends.push(bytes.len());
            }
            Self::Streams { framing: Framing::Lf, bytes, .. } => {
                write(bytes);
                bytes.push(b'\n');
            }
            Self::Streams { framing: Framing::Octet, bytes, .. } => {
                let _ = write!(bytes, "{message_bytes} ");
                write(bytes);
            }
        }
    }

    /// Sends the current group on flow `flow`. Returns how often the kernel had no memory for it.
    ///
    /// # Errors
    /// What sendmmsg(2), send(2) or write(2) say; part of the group may have been sent.
    pub fn send(&mut self, flow: usize) -> io::Result<u64> {
        match self {
            Self::Udp { sockets, batch } => {
                let sent = send_all(batch.len(), |first| batch.send(&sockets[flow], first));
                batch.clear();
                sent
            }
            Self::Unixgram { sockets, bytes, ends } => {
                let sent = send_all(ends.len(), |number| {
                    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
                    sockets[flow].send(&bytes[start..ends[number]]).map(|_| 1)
                });
                bytes.clear();
                ends.clear();
                sent
            }
            Self::Streams { connections, bytes, .. } => {
                let written = connections[flow].write_all(bytes);
                bytes.clear();
                written.map(|()| 0)
            }
        }
    }

    /// Ends every flow. A connection is closed from our side first, and the collector's close waited for: until then it
    /// may not have taken everything.
    ///
    /// # Errors
    /// When a collector does not close a connection in time.
    pub fn finish(self) -> io::Result<()> {
        let Self::Streams { mut connections, .. } = self else { return Ok(()) };
        connections.iter_mut().try_for_each(Connection::close_write)?;
        connections.into_iter().try_for_each(Connection::await_close)
    }
}

/// Has `send` send datagrams from a number on and say how many the kernel took, until it took all `count`. Returns how
/// often it had no memory for one.
fn send_all(count: usize, mut send: impl FnMut(usize) -> io::Result<usize>) -> io::Result<u64> {
    const ENOBUFS: i32 = 105; // errno(3); std has no kind for it.
    let (mut sent, mut refused) = (0, 0);
    while sent < count {
        match send(sent) {
            Ok(more) => sent += more,
            Err(error) if error.raw_os_error() == Some(ENOBUFS) || error.kind() == io::ErrorKind::WouldBlock => {
                refused += 1;
                std::thread::sleep(NO_MEMORY_SLEEP);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_refuses_for_want_of_memory_is_offered_again() {
        let (no_buffers, would_block) = (io::Error::from_raw_os_error(105), io::ErrorKind::WouldBlock.into());
        let mut answers = [Ok(1), Err(no_buffers), Err(would_block), Ok(2)].into_iter();
        let mut offered = Vec::new();
        let refused = send_all(3, |first| {
            offered.push(first);
            answers.next().unwrap()
        });
        assert_eq!((refused.unwrap(), offered), (2, vec![0, 1, 1, 1]));
    }
}
