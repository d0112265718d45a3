//! Sockets that systemd has bound for us, each found by where it is bound.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;

use logboom_udp::{ReceiveSocket, activated_sockets};
use socket2::{SockAddr, Socket, Type};

use super::StreamDoor;

/// Those that no listener has taken yet.
#[derive(Default)]
pub struct Activated(Vec<Socket>);

impl Activated {
    /// What was passed to this process (LISTEN_FDS).
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let (process, count) = (variable("LISTEN_PID"), variable("LISTEN_FDS"));
        Self::of(activated_sockets(process.as_deref(), count.as_deref()))
    }

    fn of(passed: Vec<OwnedFd>) -> Self {
        Self(passed.into_iter().map(Socket::from).collect())
    }

    /// Takes the sockets of a kind at a place.
    fn take(&mut self, kind: Type, is_there: impl Fn(&SockAddr) -> bool) -> Vec<Socket> {
        let is_wanted = |socket: &Socket| {
            socket.r#type().is_ok_and(|is| is == kind) && socket.local_addr().is_ok_and(|address| is_there(&address))
        };
        let (wanted, others) = std::mem::take(&mut self.0).into_iter().partition(is_wanted);
        self.0 = others;
        wanted
    }

    /// Takes the UDP sockets at an address: systemd passes one, or with ReusePort= in several units as many.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn udp(&mut self, address: SocketAddr, receive_buffer_bytes: usize) -> io::Result<Vec<ReceiveSocket>> {
        let sockets = self.take(Type::DGRAM, |at| at.as_socket() == Some(address));
        sockets.into_iter().map(|socket| ReceiveSocket::adopt(UdpSocket::from(socket), receive_buffer_bytes)).collect()
    }

    /// Takes the TCP listener at an address.
    pub fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let socket = self.take(Type::STREAM, |at| at.as_socket() == Some(address)).pop()?;
        socket.set_nonblocking(true).ok()?;
        Some(socket.into())
    }

    /// Takes the local socket at a path.
    pub fn local(&mut self, path: &Path) -> Option<StreamDoor> {
        let is_there = |at: &SockAddr| at.as_pathname() == Some(path);
        if let Some(socket) = self.take(Type::STREAM, is_there).pop() {
            socket.set_nonblocking(true).ok()?;
            return Some(StreamDoor::Unix(socket.into()));
        }
        let socket = self.take(Type::DGRAM, is_there).pop()?;
        socket.set_nonblocking(true).ok()?;
        Some(StreamDoor::Unixgram(socket.into(), true))
    }

    /// Tells of those that no listener is set for: what is sent there would wait for ever.
    pub fn warn_of_unused(&self) {
        for socket in &self.0 {
            let place = socket.local_addr().map_or_else(
                |error| error.to_string(),
                |address| {
                    address.as_socket().map_or_else(|| format!("{:?}", address.as_pathname()), |at| at.to_string())
                },
            );
            tracing::warn!(
                "systemd passed a socket at {place}, but `listen` has no such address: nothing is received there"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_is_found_by_its_kind_and_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let (udp_at, tcp_at) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let local = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let mut activated = Activated::of(vec![udp.into(), tcp.into(), local.into()]);
        assert!(activated.tcp(udp_at).is_none() && activated.udp(tcp_at, 1 << 16).unwrap().is_empty());
        assert_eq!(activated.udp(udp_at, 1 << 16).unwrap()[0].address(), udp_at);
        assert_eq!(activated.tcp(tcp_at).unwrap().local_addr().unwrap(), tcp_at);
        assert!(matches!(activated.local(&path), Some(StreamDoor::Unixgram(_, true))));
        assert!(activated.0.is_empty());
    }
}
