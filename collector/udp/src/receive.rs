//! Many datagrams a call.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

/// Longest datagram there is: the UDP length field's 65,535 B (RFC 768), less its own header. IPv4 allows 20 B less.
pub const DATAGRAM_BYTES_MAX: usize = 65_527;

/// What one slot of a [`ReceiveRing`] got, until the next call: a datagram, or a train of datagrams that the kernel joined
/// (UDP_GRO, udp(7)).
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Address of the sender; IPv4 is never given as v4-mapped IPv6.
    pub address: IpAddr,
    /// Port of the sender.
    pub port: u16,
    /// When the kernel took it, ns since the Unix epoch, on a socket of [`crate::stamp_arrivals`].
    pub arrived_ns: Option<u64>,
    payload: &'a [u8],
    length: u32,
    /// Length of each datagram of a train but the last.
    segment_bytes: Option<usize>,
}

impl<'a> Received<'a> {
    /// The datagrams: the bytes of each, or the first of them if it was longer than the ring's slots, and its length as
    /// sent.
    #[inline]
    pub fn datagrams(&self) -> impl Iterator<Item = (&'a [u8], u32)> + use<'a> {
        let mut rest = Some(self.payload);
        let Self { length, segment_bytes, .. } = *self;
        std::iter::from_fn(move || {
            let payload = rest.take()?;
            match segment_bytes {
                Some(bytes) if bytes < payload.len() => {
                    let (first, others) = payload.split_at(bytes);
                    rest = Some(others);
                    Some((first, bytes as u32))
                }
                Some(_) => Some((payload, payload.len() as u32)),
                None => Some((payload, length)),
            }
        })
    }
}

/// Room for the ancillary messages (cmsg(3)) of a time and a segment length.
type Control = [u64; 8];

/// Slots that recvmmsg(2) fills. Everything the kernel is told is set up once; a call resets only what the last one used.
pub struct ReceiveRing {
    slots: Vec<u8>,
    slot_bytes: usize,
    names: Vec<libc::sockaddr_in6>,
    controls: Vec<Control>,
    headers: Vec<libc::mmsghdr>,
    /// What the headers point to; not looked at again.
    _iovecs: Vec<libc::iovec>,
    received: usize,
}

// SAFETY: the raw pointers in headers and iovecs point into the ring's own vectors, which are never resized and move
// with it (their heap memory stays); no other thread can reach them.
unsafe impl Send for ReceiveRing {}

impl ReceiveRing {
    /// A ring for up to `batch` datagrams a call, each cut at `slot_bytes`. Slots are touched when first needed.
    #[must_use]
    pub fn new(batch: usize, slot_bytes: usize) -> Self {
        let mut slots = vec![0u8; batch * slot_bytes];
        // SAFETY: all-zero bytes are a valid sockaddr_in6.
        let mut names = vec![unsafe { std::mem::zeroed::<libc::sockaddr_in6>() }; batch];
        let mut controls = vec![Control::default(); batch];
        let mut iovecs: Vec<libc::iovec> = slots
            .chunks_exact_mut(slot_bytes)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot_bytes })
            .collect();
        let headers = iovecs
            .iter_mut()
            .zip(&mut names)
            .zip(&mut controls)
            .map(|((iovec, name), control)| {
                // SAFETY: all-zero bytes are a valid mmsghdr (null pointers, no flags).
                let mut header = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
                header.msg_hdr.msg_name = (&raw mut *name).cast();
                header.msg_hdr.msg_namelen = NAME_BYTES;
                header.msg_hdr.msg_iov = iovec;
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_control = control.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = size_of::<Control>();
                header
            })
            .collect();
        Self { slots, slot_bytes, names, controls, headers, _iovecs: iovecs, received: 0 }
    }

    /// Most datagrams a call.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.headers.len()
    }

    /// Takes what has arrived, without waiting, and returns how many; 0 when nothing has.
    ///
    /// # Errors
    /// What recvmmsg(2) says, but for EAGAIN and EINTR.
    pub fn receive(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        for header in &mut self.headers[..self.received] {
            header.msg_hdr.msg_namelen = NAME_BYTES;
            header.msg_hdr.msg_controllen = size_of::<Control>();
        }
        self.received = 0;
        loop {
            // SAFETY: `headers` holds that many headers, whose names, controls, iovecs and slots live as long as the ring and are
            // borrowed by nobody else (`&mut self`). MSG_TRUNC makes msg_len the datagram's true length (recv(2)).
            let result = unsafe {
                libc::recvmmsg(
                    socket.as_fd().as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    self.headers.len() as libc::c_uint,
                    libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                    std::ptr::null_mut(),
                )
            };
            if let Ok(received) = usize::try_from(result) {
                self.received = received;
                return Ok(received);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(0),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }

    /// What slot `index` got by the last call.
    ///
    /// # Panics
    /// When the last call received no more than `index`.
    #[inline]
    #[must_use]
    pub fn slot(&self, index: usize) -> Received<'_> {
        let header = &self.headers[..self.received][index];
        let start = index * self.slot_bytes;
        let stored = (header.msg_len as usize).min(self.slot_bytes);
        let (address, port) = sender(&self.names[index]);
        let control_words = header.msg_hdr.msg_controllen / size_of::<u64>();
        let (arrived_ns, segment_bytes) = match control_words {
            0 => (None, None),
            words => ancillary(&self.controls[index][..words.min(self.controls[index].len())]),
        };
        Received {
            address,
            port,
            arrived_ns,
            payload: &self.slots[start..start + stored],
            length: header.msg_len,
            segment_bytes,
        }
    }
}

/// Time and segment length from ancillary messages, each a cmsghdr (length, level, type) and its data, aligned to 8 B
/// (cmsg(3)).
fn ancillary(mut words: &[u64]) -> (Option<u64>, Option<usize>) {
    let (mut arrived_ns, mut segment_bytes) = (None, None);
    while let [length, level_and_type, data @ ..] = words {
        let [level, kind] = halves(*level_and_type);
        match (level, kind, data) {
            // SOL_SOCKET: a timespec, seconds and nanoseconds (socket(7)).
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, [seconds, ns, ..]) => {
                arrived_ns = Some(seconds.wrapping_mul(1_000_000_000).wrapping_add(*ns));
            }
            (libc::SOL_UDP, libc::UDP_GRO, [bytes, ..]) => segment_bytes = Some(halves(*bytes)[0].max(1) as usize),
            _ => {}
        }
        let next = (*length as usize).div_ceil(size_of::<u64>()).max(2);
        words = words.get(next..).unwrap_or_default();
    }
    (arrived_ns, segment_bytes)
}

/// The two 32 bit fields of one word, first in memory first.
fn halves(word: u64) -> [i32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    [i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h])]
}

const NAME_BYTES: libc::socklen_t = size_of::<libc::sockaddr_in6>() as libc::socklen_t;

/// Address and port that the kernel wrote; a sockaddr_in (ip(7)) has its address where a sockaddr_in6 (ipv6(7)) has the
/// flow information.
#[inline]
fn sender(name: &libc::sockaddr_in6) -> (IpAddr, u16) {
    let port = u16::from_be(name.sin6_port);
    if i32::from(name.sin6_family) == libc::AF_INET {
        return (Ipv4Addr::from(name.sin6_flowinfo.to_ne_bytes()).into(), port);
    }
    (Ipv6Addr::from(name.sin6_addr.s6_addr).to_canonical(), port)
}
