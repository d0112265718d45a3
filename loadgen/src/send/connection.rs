//! One stream to a collector: TCP, TLS over it, or a stream socket of this machine.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::tls::{Tls, TlsStream};

/// Time to connect, and for each answer of a handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a collector has to take something, or, at the end, to close a connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A stream that is connected.
#[derive(Debug)]
pub enum Connection {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
    /// A stream socket of this machine.
    Unix(UnixStream),
}

impl Connection {
    /// Connects to `to`, from an address and port if one is given.
    ///
    /// # Errors
    /// What bind(2) and connect(2) say.
    pub fn tcp(to: SocketAddr, from: Option<SocketAddr>) -> io::Result<Self> {
        connect(to, from).map(Self::Tcp)
    }

    /// Connects to `to` and makes the connection an encrypted one.
    ///
    /// # Errors
    /// What bind(2) and connect(2) say, or why there is no TLS.
    pub fn tls(to: SocketAddr, from: Option<SocketAddr>, tls: &Tls) -> io::Result<Self> {
        let stream = tls.handshake(connect(to, from)?, CONNECT_TIMEOUT)?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Connects to the socket named `path`.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Unix(stream))
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What write(2) says, or that the collector takes nothing any more; some may have been written.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => too_slow(),
            _ => error,
        })
    }

    /// Ends our side.
    ///
    /// # Errors
    /// What shutdown(2) says.
    pub fn close_write(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(stream) => stream.close_write(),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Waits until the collector has ended its side.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn await_close(self) -> io::Result<()> {
        let timeout = Some(PATIENCE);
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(timeout).and_then(|()| read_to_end(stream)),
            Self::Tls(mut stream) => stream.await_close(PATIENCE),
            Self::Unix(stream) => stream.set_read_timeout(timeout).and_then(|()| read_to_end(stream)),
        }
    }
}

/// What is said of a collector that is waited for in vain.
pub(super) fn too_slow() -> io::Error {
    io::Error::other(format!("the collector has taken nothing for {PATIENCE:?}"))
}

fn connect(to: SocketAddr, from: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(from) = from {
        let refused = |error: io::Error| io::Error::new(error.kind(), format!("sending from {from}: {error}"));
        // We close first: without it a port of ours could not be used again for a minute (TIME_WAIT, tcp(7)).
        socket.set_reuse_address(true)?;
        socket.bind(&from.into()).map_err(refused)?;
    }
    socket.connect_timeout(&to.into(), CONNECT_TIMEOUT)?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?; // A group is a segment; the next must not wait for an acknowledgement.
    Ok(stream)
}

fn read_to_end(mut stream: impl Read) -> io::Result<()> {
    while stream.read(&mut [0; 1024])? > 0 {}
    Ok(())
}
