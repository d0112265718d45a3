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
    /// Datagrams that one header may carry to the kernel, to be cut apart there (UDP_SEGMENT, udp(7)).
    segments_max: usize,
    bytes: Vec<u8>,
    /// Where each datagram ends in `bytes`.
    ends: Vec<usize>,
    trains: Vec<Train>,
    iovecs: Vec<libc::iovec>,
    controls: Vec<SegmentControl>,
    headers: Vec<libc::mmsghdr>,
}

/// Datagrams that go to the kernel as one: all of one length, the last may be shorter.
#[derive(Debug, PartialEq, Eq)]
struct Train {
    datagrams: usize,
    bytes: Range<usize>,
    segment_bytes: u16,
}

/// The ancillary message UDP_SEGMENT (cmsg(3)): a header, a 16 bit length, and padding.
#[repr(C)]
#[derive(Clone, Copy)]
struct SegmentControl {
    header: libc::cmsghdr,
    segment_bytes: u16,
    padding: [u16; 3],
}

const _: () = assert!(align_of::<libc::cmsghdr>() == 8 && size_of::<libc::cmsghdr>() == 16, "cmsg(3) on 64 bit Linux");

/// Most datagrams in one train: UDP_MAX_SEGMENTS of kernels before 6.4 (include/linux/udp.h).
pub const SEGMENTS_MAX: usize = 64;

/// Longest train: the IP packet it is made from has a 16 bit length.
const TRAIN_BYTES_MAX: usize = 65_507;

// SAFETY: iovecs and headers are rebuilt by each `send` and hold pointers into `bytes` and `destination` only during it.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// An empty batch. Up to `segments_max` datagrams of one length go to the kernel as one and are cut apart there; 1
    /// sends each by itself.
    #[must_use]
    pub fn new(destination: SocketAddr, segments_max: usize) -> Self {
        Self {
            destination: destination.into(),
            segments_max: segments_max.clamp(1, SEGMENTS_MAX),
            bytes: Vec::new(),
            ends: Vec::new(),
            trains: Vec::new(),
            iovecs: Vec::new(),
            controls: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Adds a datagram; `write` puts its bytes behind those already in the buffer.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Datagrams gathered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether none is gathered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets the datagrams gathered.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Sends the datagrams from number `first` on, and returns how many the kernel took: at least one, perhaps not all.
    ///
    /// # Errors
    /// What sendmmsg(2) says of the first [`SendBatch::train_datagrams`], which were then not sent.
    pub fn send(&mut self, socket: &UdpSocket, first: usize) -> io::Result<usize> {
        gather_trains(&mut self.trains, &self.ends, first, self.segments_max);
        self.point_headers();
        loop {
            // SAFETY: `headers` holds that many headers; what they point to (destination, iovecs, controls, bytes) lives
            // through the call and the kernel only reads it.
            let result = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), self.headers.len() as libc::c_uint, 0)
            };
            if let Ok(sent) = usize::try_from(result) {
                return Ok(self.trains[..sent].iter().map(|train| train.datagrams).sum());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// Datagrams that the last call of [`SendBatch::send`] offered first, as one: 1 but with UDP_SEGMENT.
    #[must_use]
    pub fn train_datagrams(&self) -> usize {
        self.trains.first().map_or(0, |train| train.datagrams)
    }

    fn point_headers(&mut self) {
        self.iovecs.clear();
        self.controls.clear();
        self.headers.clear();
        let base = self.bytes.as_mut_ptr();
        for train in &self.trains {
            // SAFETY: the range was made from lengths of `bytes`, so the pointer stays within it.
            let iov_base = unsafe { base.add(train.bytes.start) }.cast();
            self.iovecs.push(libc::iovec { iov_base, iov_len: train.bytes.len() });
            self.controls.push(SegmentControl::new(train.segment_bytes));
        }
        for ((train, iovec), control) in self.trains.iter().zip(&mut self.iovecs).zip(&mut self.controls) {
            // SAFETY: all-zero bytes are a valid mmsghdr (null pointers, no flags).
            let mut header = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
            header.msg_hdr.msg_name = self.destination.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = self.destination.len();
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            if train.datagrams > 1 {
                header.msg_hdr.msg_control = (&raw mut *control).cast();
                header.msg_hdr.msg_controllen = size_of::<SegmentControl>();
            }
            self.headers.push(header);
        }
    }
}

impl SegmentControl {
    fn new(segment_bytes: u16) -> Self {
        let header = libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + size_of::<u16>(),
            cmsg_level: libc::SOL_UDP,
            cmsg_type: libc::UDP_SEGMENT,
        };
        Self { header, segment_bytes, padding: [0; 3] }
    }
}

/// Cuts the datagrams from number `first` on into trains, in order.
fn gather_trains(trains: &mut Vec<Train>, ends: &[usize], first: usize, segments_max: usize) {
    trains.clear();
    let mut start = if first == 0 { 0 } else { ends[first - 1] };
    for end in &ends[first..] {
        let bytes = end - start;
        match trains.last_mut() {
            Some(train) if train.takes(bytes, segments_max) => {
                train.datagrams += 1;
                train.bytes.end = *end;
            }
            _ => trains.push(Train { datagrams: 1, bytes: start..*end, segment_bytes: bytes as u16 }),
        }
        start = *end;
    }
}

impl Train {
    /// Whether a datagram of `bytes` may follow: no longer than the others, and none behind a shorter one or an empty one.
    fn takes(&self, bytes: usize, segments_max: usize) -> bool {
        let all_of_one_length = self.bytes.len() == self.datagrams * usize::from(self.segment_bytes);
        self.datagrams < segments_max
            && all_of_one_length
            && (1..=usize::from(self.segment_bytes)).contains(&bytes)
            && self.bytes.len() + bytes <= TRAIN_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trains(lengths: &[usize], first: usize, segments_max: usize) -> Vec<(usize, usize)> {
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect();
        let mut trains = Vec::new();
        gather_trains(&mut trains, &ends, first, segments_max);
        trains.iter().map(|train| (train.datagrams, train.bytes.len())).collect()
    }

    #[test]
    fn datagrams_of_one_length_travel_together_and_a_shorter_one_ends_the_train() {
        assert_eq!(trains(&[10, 10, 10, 7, 10, 12, 12], 0, 64), [(4, 37), (1, 10), (2, 24)]);
        assert_eq!(trains(&[10, 10, 10, 7], 2, 64), [(2, 17)]);
        assert_eq!(trains(&[10; 5], 0, 2), [(2, 20), (2, 20), (1, 10)]);
        assert_eq!(trains(&[10; 3], 0, 1), [(1, 10), (1, 10), (1, 10)]);
        assert_eq!(trains(&[0, 0, 5, 0], 0, 64), [(1, 0), (1, 0), (1, 5), (1, 0)]);
    }

    #[test]
    fn a_train_is_no_longer_than_an_ip_packet() {
        assert_eq!(trains(&[30_000; 5], 0, 64), [(2, 60_000), (2, 60_000), (1, 30_000)]);
    }
}
