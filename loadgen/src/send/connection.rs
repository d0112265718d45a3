//! One stream to a collector: TCP, TLS over it, or a stream socket of this machine.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::tls::{Tls, TlsStream};

/// Time to connect, and for each answer of a handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a collector has to take something, or, at the end, to take all and close every connection.
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
        connect_local(path, CONNECT_TIMEOUT).map(Self::Unix)
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
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => too_slow(PATIENCE),
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

    /// Waits until the collector has ended its side; whatever it says meanwhile is no reason to wait longer.
    ///
    /// # Errors
    /// When it does not before `deadline`.
    pub fn await_close(mut self, deadline: Instant) -> io::Result<()> {
        let in_vain = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                io::Error::new(io::ErrorKind::TimedOut, "the collector does not close the connection")
            }
            _ => error,
        };
        loop {
            let rest = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)); // 0 is for ever.
            let is_over = match &mut self {
                Self::Tcp(stream) => stream.set_read_timeout(Some(rest)).and_then(|()| read(stream)),
                Self::Tls(stream) => stream.set_read_timeout(rest).and_then(|()| stream.read_some()),
                Self::Unix(stream) => stream.set_read_timeout(Some(rest)).and_then(|()| read(stream)),
            };
            match is_over {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() < deadline => {}
                Ok(false) => return Err(in_vain(io::ErrorKind::TimedOut.into())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(in_vain(error)),
            }
        }
    }
}

/// What is said of a collector that is waited for in vain.
pub(super) fn too_slow(waited: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the collector has taken nothing for {waited:?}"))
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

fn connect_local(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // While the backlog is full, connect(2) waits as long as a write may.
    socket.set_write_timeout(Some(timeout))?;
    socket.connect(&SockAddr::unix(path)?).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            let why = format!("the collector has accepted no connection for {timeout:?}: its backlog is full");
            io::Error::new(io::ErrorKind::TimedOut, why)
        }
        _ => error,
    })?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Reads once; whether that was the end.
fn read(stream: &mut impl Read) -> io::Result<bool> {
    Ok(stream.read(&mut [0; 1024])? == 0)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_collector_that_accepts_nobody_is_not_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(1).unwrap();
        let connected: Result<Vec<_>, _> = (0..10).map(|_| connect_local(&path, SHORT)).collect();
        assert!(connected.unwrap_err().to_string().contains("its backlog is full"));
    }

    #[test]
    fn a_collector_that_talks_instead_of_closing_is_not_waited_for_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::tcp(listener.local_addr().unwrap(), None).unwrap();
        let mut collector = listener.accept().unwrap().0;
        let talking = std::thread::spawn(move || while collector.write_all(b"still here").is_ok() {});
        let error = connection.await_close(Instant::now() + SHORT).unwrap_err();
        assert_eq!(error.to_string(), "the collector does not close the connection");
        talking.join().unwrap();
    }
}
