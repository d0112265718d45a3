//! One stream to a collector: TCP, TLS over it, or a stream socket of this machine.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::tls::{Tls, TlsStream};

/// Time to connect, and for each answer of a handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a collector has to take what a connection still holds, and to close it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// Connects to `to`.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn tcp(to: SocketAddr) -> io::Result<Self> {
        connect(to).map(Self::Tcp)
    }

    /// Connects to `to` and makes the connection an encrypted one.
    ///
    /// # Errors
    /// What connect(2) says, or why there is no TLS.
    pub fn tls(to: SocketAddr, tls: &Tls) -> io::Result<Self> {
        let stream = tls.handshake(connect(to)?, CONNECT_TIMEOUT)?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Connects to the socket named `path`.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn unix(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).map(Self::Unix)
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What write(2) says; some may have been written.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
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
        let timeout = Some(CLOSE_TIMEOUT);
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(timeout).and_then(|()| read_to_end(stream)),
            Self::Tls(mut stream) => stream.await_close(CLOSE_TIMEOUT),
            Self::Unix(stream) => stream.set_read_timeout(timeout).and_then(|()| read_to_end(stream)),
        }
    }
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, CONNECT_TIMEOUT)?;
    stream.set_nodelay(true)?; // A group is a segment; the next must not wait for an acknowledgement.
    Ok(stream)
}

fn read_to_end(mut stream: impl Read) -> io::Result<()> {
    while stream.read(&mut [0; 1024])? > 0 {}
    Ok(())
}
