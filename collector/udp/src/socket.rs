//! Sockets that share one port, their buffers and their drop counters.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};

use crate::ReceiveRing;
use crate::clock::realtime_ns;
use crate::sockopt::{MEMINFO_DROPS, MEMINFO_RCVBUF, MEMINFO_RMEM_ALLOC, meminfo, set_int};

/// Binds `count` sockets to `address`, among which the kernel shares the traffic by sender.
///
/// The first binds *without* SO_REUSEPORT and sets it afterwards, then the others join. So the bind fails when anybody
/// has the port, even another of the same user with SO_REUSEPORT (who would otherwise take half of the traffic in
/// silence), and port 0 gives one port to all. A `v6_only` socket leaves IPv4 to others; else `[::]` takes both.
///
/// `receive_buffer_bytes` is asked for with SO_RCVBUFFORCE, and without CAP_NET_ADMIN with SO_RCVBUF, which the kernel
/// cuts to `net.core.rmem_max` without an error (socket(7)): see [`ReceiveSocket::receive_buffer_bytes`].
///
/// # Errors
/// What socket(2), setsockopt(2) and bind(2) say; no socket is left bound then.
pub fn bind_group(
    address: SocketAddr,
    count: usize,
    receive_buffer_bytes: usize,
    v6_only: bool,
) -> io::Result<Vec<ReceiveSocket>> {
    let mut sockets = Vec::with_capacity(count);
    let mut address = address;
    for index in 0..count {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(v6_only)?;
        }
        leave_foreign_groups(&socket, address)?;
        ask_receive_buffer(&socket, receive_buffer_bytes)?;
        if index > 0 {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&address.into())?;
        if index == 0 && count > 1 {
            socket.set_reuse_port(true)?;
        }
        let socket = ReceiveSocket::of(socket.into())?;
        address = socket.address;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Binds one socket to a multicast group and joins it on the interface numbered `interface`, or, with 0, on the one that the
/// routes say (ip(7), ipv6(7)). One, because each socket of a group gets every datagram. Bound to the group's address, it gets
/// no other.
///
/// # Errors
/// What socket(2), setsockopt(2) and bind(2) say.
pub fn bind_multicast(group: SocketAddr, interface: u32, receive_buffer_bytes: usize) -> io::Result<ReceiveSocket> {
    let socket = bind_group(group, 1, receive_buffer_bytes, true)?.remove(0);
    socket.join_multicast(interface)?;
    Ok(socket)
}

/// By default a socket on the any address gets every multicast group that some program of the host has joined, and each
/// socket of ours a copy (IP_MULTICAST_ALL, ip(7); IPV6_MULTICAST_ALL, since Linux 4.20).
fn leave_foreign_groups(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    /// include/uapi/linux/in6.h; not in libc.
    const IPV6_MULTICAST_ALL: libc::c_int = 29;
    match address {
        SocketAddr::V4(_) => set_int(socket.as_fd(), libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0),
        SocketAddr::V6(_) => set_int(socket.as_fd(), libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0),
    }
}

fn ask_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    // The kernel doubles what it is asked for, in an int.
    let asked = i32::try_from(bytes).unwrap_or(i32::MAX).min(i32::MAX / 2);
    if set_int(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, asked).is_err() {
        socket.set_recv_buffer_size(asked as usize)?;
    }
    Ok(())
}

/// How full a socket's receive buffer is, in the kernel's own count: each datagram is charged with all memory it
/// occupies, 1,280 B for 200 B of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferUse {
    /// Charged now, bytes.
    pub used_bytes: u32,
    /// Charged at most, bytes: twice what was asked for.
    pub limit_bytes: u32,
}

/// A bound UDP socket that only receives.
#[derive(Debug)]
pub struct ReceiveSocket {
    socket: UdpSocket,
    address: SocketAddr,
    /// The kernel's 32 bit counter, widened: the lower half is always the last value read.
    dropped: AtomicU64,
    /// What the kernel had dropped before the socket was ours.
    dropped_before: u64,
    /// Others hold it too: what is done to it lasts beyond this process.
    is_shared: bool,
    /// Keeps the dummy peer's port ours while the door is closed.
    door_stop: Mutex<Option<UdpSocket>>,
}

impl ReceiveSocket {
    fn of(socket: UdpSocket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let (dropped, door_stop) = (AtomicU64::new(0), Mutex::new(None));
        Ok(Self { socket, address, dropped, dropped_before: 0, is_shared: false, door_stop })
    }

    /// A socket that somebody else has bound and handed to this process, and may hand to the next.
    ///
    /// # Errors
    /// What setsockopt(2) and getsockname(2) say.
    pub fn adopt(socket: UdpSocket, receive_buffer_bytes: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        ask_receive_buffer(&SockRef::from(&socket), receive_buffer_bytes)?;
        let dropped_before = u64::from(meminfo(socket.as_fd())?[MEMINFO_DROPS]);
        let dropped = AtomicU64::new(dropped_before);
        Ok(Self { dropped, dropped_before, is_shared: true, ..Self::of(socket)? })
    }

    /// Joins the multicast group that it is bound to, on the interface numbered `interface`, or, with 0, on the one that the
    /// routes say.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn join_multicast(&self, interface: u32) -> io::Result<()> {
        let membership = SockRef::from(&self.socket);
        let joined = match self.address.ip() {
            IpAddr::V4(group) => membership.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface)),
            IpAddr::V6(group) => membership.join_multicast_v6(&group, interface),
        };
        match joined {
            // Membership is the socket's, whose holder handed it to a process before this one (ip_mc_join_group in
            // net/ipv4/igmp.c, ipv6_sock_mc_join in net/ipv6/mcast.c).
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && self.is_shared => Ok(()),
            joined => joined,
        }
    }

    /// The address it is bound to, with the port that the kernel chose if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The receive buffer that the kernel granted, on the scale in which it was asked for, bytes.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn receive_buffer_bytes(&self) -> io::Result<usize> {
        Ok(meminfo(self.as_fd())?[MEMINFO_RCVBUF] as usize / 2)
    }

    /// How full the receive buffer is.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn buffer_use(&self) -> io::Result<BufferUse> {
        let words = meminfo(self.as_fd())?;
        Ok(BufferUse { used_bytes: words[MEMINFO_RMEM_ALLOC], limit_bytes: words[MEMINFO_RCVBUF] })
    }

    /// Datagrams that the kernel has dropped at this socket since it is ours, whatever the cause. Any thread may ask,
    /// at least once each 2^31 drops.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn dropped(&self) -> io::Result<u64> {
        let known = self.dropped.load(Ordering::Acquire);
        let now = meminfo(self.as_fd())?[MEMINFO_DROPS];
        let widened = widen(known, now);
        // Of two threads the one that read later may come first.
        Ok(self.dropped.fetch_max(widened, Ordering::AcqRel).max(widened) - self.dropped_before)
    }

    /// Lets the kernel join datagrams of one sender and length into trains (UDP_GRO, udp(7)). It then counts a train that
    /// it drops as one: [`ReceiveSocket::dropped`] becomes a lower bound.
    ///
    /// # Errors
    /// What setsockopt(2) says: kernels before 5.0 have it not.
    pub fn join_segments(&self) -> io::Result<()> {
        set_int(self.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1)
    }

    /// Stops arrivals while what has arrived can still be read: connects the socket to a peer that never sends. What
    /// arrives from here on is refused by the host (`NoPorts` in /proc/net/snmp), as after a close, but the queue stays.
    ///
    /// The peer is a socket of our own on a port of its own, so that nobody else can send from there. A socket that others hold
    /// too stays open: what arrives is for who reads it next.
    ///
    /// # Errors
    /// What bind(2) and connect(2) say; the door is then still open.
    pub fn close_door(&self) -> io::Result<()> {
        if self.is_shared {
            return Ok(());
        }
        let mut here = self.address;
        if here.ip().is_unspecified() {
            here.set_ip(match here.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        here.set_port(0);
        let peer = UdpSocket::bind(here)?;
        self.socket.connect(peer.local_addr()?)?;
        *self.door_stop.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(peer);
        Ok(())
    }
}

impl AsFd for ReceiveSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for ReceiveSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Has the kernel tell when each datagram arrived at `sockets` ([`crate::Received::arrived_ns`]; SO_TIMESTAMPNS, socket(7)).
/// Those already queued are stamped when they are read.
///
/// Returns once arrivals are stamped: the kernel patches its code in a work queue after the first socket asks
/// (net_enable_timestamp, net/core/dev.c), and until then a datagram gets the time at which it is read.
///
/// # Errors
/// What setsockopt(2) says; TimedOut when arrivals are still not stamped after a second.
pub fn stamp_arrivals<'a>(sockets: impl IntoIterator<Item = &'a ReceiveSocket>) -> io::Result<()> {
    const TRIES: u32 = 1_000;
    let stamp = |socket: &ReceiveSocket| set_int(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1);
    sockets.into_iter().try_for_each(stamp)?;
    let own = bind_group((Ipv4Addr::LOCALHOST, 0).into(), 1, 1 << 16, false)?.remove(0);
    stamp(&own)?;
    let mut ring = ReceiveRing::new(1, 1);
    for _ in 0..TRIES {
        own.socket.send_to(&[0], own.address)?;
        let sent_ns = realtime_ns();
        // A moment, lest reading falls into the same tick of a coarse clock.
        std::thread::sleep(std::time::Duration::from_millis(1));
        let received = ring.receive(&own)?;
        if received == 1 && ring.slot(0).arrived_ns.is_some_and(|arrived_ns| arrived_ns <= sent_ns) {
            return Ok(());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The 64 bit counter whose lower half is `now`, at or next after `known`. A value a little before `known` (read by a
/// thread that was overtaken) stays `known`.
fn widen(known: u64, now: u32) -> u64 {
    let ahead = now.wrapping_sub(known as u32);
    if ahead > u32::MAX / 2 { known } else { known + u64::from(ahead) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::{ReceiveSocket, widen};

    #[test]
    fn a_group_is_joined_again_on_a_socket_that_outlives_who_joined_it() {
        let held = UdpSocket::bind("239.255.77.2:0").unwrap();
        const LOOPBACK: u32 = 1;
        for process in ["first", "next"] {
            let socket = ReceiveSocket::adopt(held.try_clone().unwrap(), 1 << 16).unwrap();
            socket.join_multicast(LOOPBACK).unwrap_or_else(|error| panic!("the {process}: {error}"));
        }
    }

    #[test]
    fn a_counter_that_wraps_goes_on() {
        assert_eq!(widen(0, 7), 7);
        assert_eq!(widen(0xFFFF_FFF0, 0x10), 0x1_0000_0010);
        assert_eq!(widen(0x5_0000_0010, 0x10), 0x5_0000_0010);
        assert_eq!(widen(0x5_0000_0010, 0x11), 0x5_0000_0011);
    }

    #[test]
    fn a_reading_that_was_overtaken_changes_nothing() {
        assert_eq!(widen(100, 90), 100);
        assert_eq!(widen(0x1_0000_0005, 0xFFFF_FFF0), 0x1_0000_0005);
    }
}
