//! Onto the wire: groups of messages, each group to one flow.
//!
//! A UDP flow is a socket of its own (a source port of its own, so that a collector's sockets share the flows), a TCP flow
//! a connection. What the kernel was given is sent; what it refuses for want of memory is offered again.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use logboom_udp::SendBatch;

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a collector has to take what a connection still holds, and to close it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// Streams.
    Tcp {
        /// One a flow.
        connections: Vec<TcpStream>,
        /// How messages are told apart.
        framing: Framing,
        /// The current group.
        bytes: Vec<u8>,
    },
}

impl Flows {
    /// `count` sockets that send to `to`, up to `gso` datagrams of one length as one. They stay unconnected: a connected one would swallow every second datagram
    /// after a port-unreachable, in silence.
    ///
    /// # Errors
    /// What socket(2) and bind(2) say.
    pub fn udp(to: SocketAddr, count: u32, gso: usize) -> io::Result<Self> {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let sockets = (0..count).map(|_| UdpSocket::bind((any, 0))).collect::<io::Result<_>>()?;
        Ok(Self::Udp { sockets, batch: Box::new(SendBatch::new(to, gso)) })
    }

    /// `count` connections to `to`.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn tcp(to: SocketAddr, count: u32, framing: Framing) -> io::Result<Self> {
        let connect = |_| {
            let connection = TcpStream::connect_timeout(&to, CONNECT_TIMEOUT)?;
            connection.set_nodelay(true)?; // A group is a segment; the next must not wait for an acknowledgement.
            Ok(connection)
        };
        let connections = (0..count).map(connect).collect::<io::Result<_>>()?;
        Ok(Self::Tcp { connections, framing, bytes: Vec::new() })
    }

    /// Flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Udp { sockets, .. } => sockets.len(),
            Self::Tcp { connections, .. } => connections.len(),
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
            Self::Tcp { framing: Framing::Lf, bytes, .. } => {
                write(bytes);
                bytes.push(b'\n');
            }
            Self::Tcp { framing: Framing::Octet, bytes, .. } => {
                let _ = write!(bytes, "{message_bytes} ");
                write(bytes);
            }
        }
    }

    /// Sends the current group on flow `flow`. Returns how often the kernel had no memory for it.
    ///
    /// # Errors
    /// What sendmmsg(2) or write(2) say; part of the group may have been sent.
    pub fn send(&mut self, flow: usize) -> io::Result<u64> {
        match self {
            Self::Udp { sockets, batch } => {
                let sent = send_datagrams(&sockets[flow], batch);
                batch.clear();
                sent
            }
            Self::Tcp { connections, bytes, .. } => {
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
        let Self::Tcp { connections, .. } = self else { return Ok(()) };
        for connection in &connections {
            connection.shutdown(Shutdown::Write)?;
        }
        for mut connection in connections {
            connection.set_read_timeout(Some(CLOSE_TIMEOUT))?;
            while connection.read(&mut [0; 1024])? > 0 {}
        }
        Ok(())
    }
}

fn send_datagrams(socket: &UdpSocket, batch: &mut SendBatch) -> io::Result<u64> {
    const ENOBUFS: i32 = 105; // errno(3); std has no kind for it.
    let (mut sent, mut refused) = (0, 0);
    while sent < batch.len() {
        match batch.send(socket, sent) {
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
