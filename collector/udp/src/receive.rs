//! Many datagrams a call.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

/// Longest datagram there is: the UDP length field's 65,535 B (RFC 768), less its own header. IPv4 allows 20 B less.
pub const DATAGRAM_BYTES_MAX: usize = 65_527;

/// One datagram in a [`ReceiveRing`], until the next call.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Its bytes, or the first of them if it was longer than the ring's slots.
    pub payload: &'a [u8],
    /// Its length as sent, bytes.
    pub original_length: u32,
    /// Address of the sender; IPv4 is never given as v4-mapped IPv6.
    pub address: IpAddr,
    /// Port of the sender.
    pub port: u16,
}

impl Datagram<'_> {
    /// Whether only the first bytes are here.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.original_length as usize > self.payload.len()
    }
}

/// Slots that recvmmsg(2) fills. Everything the kernel is told is set up once; a call resets only what the last one used.
pub struct ReceiveRing {
    slots: Vec<u8>,
    slot_bytes: usize,
    names: Vec<libc::sockaddr_in6>,
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
        let mut iovecs: Vec<libc::iovec> = slots
            .chunks_exact_mut(slot_bytes)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot_bytes })
            .collect();
        let headers = iovecs
            .iter_mut()
            .zip(&mut names)
            .map(|(iovec, name)| {
                // SAFETY: all-zero bytes are a valid mmsghdr (null pointers, no flags).
                let mut header = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
                header.msg_hdr.msg_name = (&raw mut *name).cast();
                header.msg_hdr.msg_namelen = NAME_BYTES;
                header.msg_hdr.msg_iov = iovec;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { slots, slot_bytes, names, headers, _iovecs: iovecs, received: 0 }
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
        }
        self.received = 0;
        loop {
            // SAFETY: `headers` holds that many headers, whose names, iovecs and slots live as long as the ring and are
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

    /// Datagram `index` of the last call.
    ///
    /// # Panics
    /// When the last call received no more than `index`.
    #[inline]
    #[must_use]
    pub fn datagram(&self, index: usize) -> Datagram<'_> {
        let header = &self.headers[..self.received][index];
        let start = index * self.slot_bytes;
        let stored = (header.msg_len as usize).min(self.slot_bytes);
        let (address, port) = sender(&self.names[index]);
        Datagram { payload: &self.slots[start..start + stored], original_length: header.msg_len, address, port }
    }
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
