//! Many datagrams a call, the other way.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;

use socket2::SockAddr;

/// Datagrams gathered to be sent by one sendmmsg(2) to one address.
///
/// The socket need not be connected, and better is not: on a connected one an ICMP error is handed to the next send,
/// which then does not transmit, and sendmmsg hides even that.
pub struct SendBatch {
    destination: SockAddr,
    bytes: Vec<u8>,
    messages: Vec<Range<usize>>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: iovecs and headers are rebuilt by each `send` and hold pointers into `bytes` and `destination` only during it.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// An empty batch.
    #[must_use]
    pub fn new(destination: SocketAddr) -> Self {
        Self {
            destination: destination.into(),
            bytes: Vec::new(),
            messages: Vec::new(),
            iovecs: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Adds a datagram; `write` puts its bytes behind those already in the buffer.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.messages.push(start..self.bytes.len());
    }

    /// Datagrams gathered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none is gathered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Forgets the datagrams gathered.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }

    /// Sends the datagrams from number `first` on, and returns how many the kernel took: at least one, perhaps not all.
    ///
    /// # Errors
    /// What sendmmsg(2) says of the first, which was then not sent.
    pub fn send(&mut self, socket: &UdpSocket, first: usize) -> io::Result<usize> {
        self.iovecs.clear();
        self.headers.clear();
        let base = self.bytes.as_mut_ptr();
        for message in &self.messages[first..] {
            // SAFETY: the range was made from lengths of `bytes`, so the pointer stays within it.
            let iov_base = unsafe { base.add(message.start) }.cast();
            self.iovecs.push(libc::iovec { iov_base, iov_len: message.len() });
        }
        for iovec in &mut self.iovecs {
            // SAFETY: all-zero bytes are a valid mmsghdr (null pointers, no flags).
            let mut header = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
            header.msg_hdr.msg_name = self.destination.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = self.destination.len();
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            self.headers.push(header);
        }
        loop {
            // SAFETY: `headers` holds that many headers; what they point to (destination, iovecs, bytes) lives through
            // the call and the kernel only reads it.
            let result = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), self.headers.len() as libc::c_uint, 0)
            };
            if let Ok(sent) = usize::try_from(result) {
                return Ok(sent);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}
