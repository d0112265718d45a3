//! What the network says about datagrams that were sent: the error queue of a socket (IP_RECVERR, ip(7)).
//!
//! Without it an unconnected socket never hears that nothing listens at the other end, and a connected one swallows a
//! datagram for each time it hears it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use socket2::{Domain, SockRef};

use super::sockopt::{set_int, set_words};

/// One error about a datagram that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError {
    /// What the kernel makes of it (errno(3)).
    pub errno: i32,
    /// Who noticed.
    pub origin: Origin,
    /// For EMSGSIZE the path's MTU, bytes; otherwise 0.
    pub mtu_bytes: u32,
    /// The machine that answered.
    pub offender: Option<IpAddr>,
    /// How what was sent began, behind the headers of IP and UDP: a raw socket hears of packets of others, too (raw_err in
    /// net/ipv4/raw.c). Absent where less has come back, and where nobody but this machine noticed.
    pub sent: Option<[u8; SENT_BYTES]>,
}

/// What comes back of a packet at least, bytes behind its IP header (RFC 792 page 4: 64 bits).
const SENT_BYTES: usize = 8;

/// Who noticed an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This machine.
    Local,
    /// An ICMP message of this type and code (RFC 792).
    Icmp(u8, u8),
    /// An ICMPv6 message of this type and code (RFC 4443).
    Icmp6(u8, u8),
}

/// Has the kernel queue errors about what this socket sends. They count against its receive buffer: what does not fit is
/// forgotten. For UDP, ICMP and raw sockets, and, since Linux 5.8, for a TCP socket until it is connected.
///
/// # Errors
/// What setsockopt(2) says.
pub fn queue_send_errors(socket: &impl AsFd) -> io::Result<()> {
    if SockRef::from(socket).domain()? == Domain::IPV4 {
        set_int(socket.as_fd(), libc::IPPROTO_IP, libc::IP_RECVERR, 1)
    } else {
        set_int(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)
    }
}

/// Has a raw ICMP socket (raw(7)) get echo replies alone. It would get every ICMP message of its peers, and under a storm of
/// them have no room for what it asked for.
///
/// # Errors
/// What setsockopt(2) says.
pub fn hear_echo_replies_alone(socket: &impl AsFd) -> io::Result<()> {
    /// include/uapi/linux/icmp.h and icmpv6.h; not in libc. A bit set is a type that is not passed on.
    const ICMP_FILTER: libc::c_int = 1;
    const ICMPV6_FILTER: libc::c_int = 1;
    const ECHO_REPLY: u32 = 0;
    const ECHO_REPLY_6: u32 = 129;
    if SockRef::from(socket).domain()? == Domain::IPV4 {
        set_words(socket.as_fd(), libc::SOL_RAW, ICMP_FILTER, &[!(1 << ECHO_REPLY)])
    } else {
        let mut types = [u32::MAX; 8];
        types[ECHO_REPLY_6 as usize / 32] &= !(1 << (ECHO_REPLY_6 % 32));
        set_words(socket.as_fd(), libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &types)
    }
}

/// Words of ancillary data of one error: its header, the error, and the offender's address (cmsg(3)).
const CONTROL_WORDS: usize = 16;

/// Takes the oldest error of the queue, without waiting; `None` when there is none.
///
/// # Errors
/// What recvmsg(2) says, but for EAGAIN and EINTR.
pub fn take_send_error(socket: &impl AsFd) -> io::Result<Option<SendError>> {
    let mut control = [0u64; CONTROL_WORDS];
    let mut sent = [0; SENT_BYTES];
    let mut part = libc::iovec { iov_base: sent.as_mut_ptr().cast(), iov_len: sent.len() };
    // SAFETY: all-zero bytes are a valid msghdr (null pointers, no flags).
    let mut header = unsafe { std::mem::zeroed::<libc::msghdr>() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    loop {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        // SAFETY: the header holds no name, and one iovec and a control buffer that are as long as they say and live through
        // the call.
        let result = unsafe {
            libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
        };
        if result >= 0 {
            let words = header.msg_controllen / size_of::<u64>();
            let error = read_error(&control[..words.min(CONTROL_WORDS)]);
            return Ok(Some(SendError { sent: (result as usize == SENT_BYTES).then_some(sent), ..error }));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(None),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
}

/// The `sock_extended_err` (include/uapi/linux/errqueue.h) among ancillary messages, and the address behind it.
fn read_error(words: &[u64]) -> SendError {
    let mut error = SendError { errno: 0, origin: Origin::Local, mtu_bytes: 0, offender: None, sent: None };
    let mut rest = words;
    while let [length, level_and_type, data @ ..] = rest {
        let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let [level, kind] = [&level_and_type.to_ne_bytes()[..4], &level_and_type.to_ne_bytes()[4..]].map(int);
        let is_error =
            matches!((level, kind), (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR));
        if let (true, Some((extended, offender))) = (is_error, bytes.split_at_checked(16)) {
            error = SendError {
                errno: int(&extended[..4]),
                origin: match extended[4..7] {
                    [libc::SO_EE_ORIGIN_ICMP, kind, code] => Origin::Icmp(kind, code),
                    [libc::SO_EE_ORIGIN_ICMP6, kind, code] => Origin::Icmp6(kind, code),
                    _ => Origin::Local,
                },
                mtu_bytes: int(&extended[8..12]) as u32,
                offender: address(offender),
                sent: None,
            };
        }
        let next = (*length as usize).div_ceil(size_of::<u64>()).max(2);
        rest = rest.get(next..).unwrap_or_default();
    }
    error
}

fn int(bytes: &[u8]) -> i32 {
    bytes.try_into().map_or(0, i32::from_ne_bytes)
}

/// The address in a sockaddr_in (ip(7)) or sockaddr_in6 (ipv6(7)); family 0 means that there is none.
fn address(sockaddr: &[u8]) -> Option<IpAddr> {
    let family = i32::from(u16::from_ne_bytes(sockaddr.get(..2)?.try_into().ok()?));
    match family {
        libc::AF_INET => <[u8; 4]>::try_from(sockaddr.get(4..8)?).ok().map(|octets| Ipv4Addr::from(octets).into()),
        libc::AF_INET6 => {
            <[u8; 16]>::try_from(sockaddr.get(8..24)?).ok().map(|octets| Ipv6Addr::from(octets).to_canonical())
        }
        _ => None,
    }
}
