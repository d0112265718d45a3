//! Datagrams, received in one thread.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use logboom_udp::clock::thread_cpu;
use logboom_udp::{DATAGRAM_BYTES_MAX, ReceiveRing, ReceiveSocket, bind_group};

use super::{LAST_READS_MAX, Pace, Take, Taken};

/// Datagrams in a batch.
const BATCH: usize = 64;

/// How datagrams are received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// One a call: recvfrom(2).
    Recv,
    /// Up to 64 a call: recvmmsg(2).
    #[default]
    Recvmmsg,
    /// The same, of trains that the kernel has joined (UDP_GRO, udp(7)).
    Gro,
}

pub(super) struct Endpoint {
    socket: ReceiveSocket,
    receiver: Receiver,
}

enum Receiver {
    One(UdpSocket, Box<[u8]>),
    Many(ReceiveRing),
}

impl Endpoint {
    pub(super) fn bind(address: SocketAddr, mode: Mode, receive_buffer_bytes: usize) -> io::Result<Self> {
        let socket = bind_group(address, 1, receive_buffer_bytes, false)?.remove(0);
        let receiver = match mode {
            Mode::Recv => {
                let same = UdpSocket::from(socket.as_fd().try_clone_to_owned()?);
                Receiver::One(same, vec![0; DATAGRAM_BYTES_MAX].into())
            }
            Mode::Recvmmsg | Mode::Gro => Receiver::Many(ReceiveRing::new(BATCH, DATAGRAM_BYTES_MAX)),
        };
        if mode == Mode::Gro {
            socket.join_segments()?;
        }
        Ok(Self { socket, receiver })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.socket.address()
    }

    pub(super) fn receive_buffer_bytes(&self) -> io::Result<usize> {
        self.socket.receive_buffer_bytes()
    }

    /// Receives until `stop`, and then what is there, for [`LAST_READS_MAX`] if the senders do not stop.
    pub(super) fn receive<T: Take>(mut self, take: &mut T, taken: &mut Taken, pace: Pace<'_>) -> io::Result<()> {
        let (mut cpu_before, mut over_since) = (None, None);
        loop {
            // Read before what is there is read: what came before the end is found.
            let is_over = pace.stop.load(Ordering::Relaxed);
            if is_over && over_since.get_or_insert_with(Instant::now).elapsed() > LAST_READS_MAX {
                break;
            }
            let batch = match &mut self.receiver {
                Receiver::One(socket, buffer) => take_singly(socket, buffer, take, taken, &mut cpu_before)?,
                Receiver::Many(ring) => {
                    let batch = ring.receive(&self.socket)?;
                    if batch > 0 {
                        cpu_before.get_or_insert_with(thread_cpu);
                        take_batch(ring, batch, take, taken)?;
                    }
                    batch
                }
            };
            if batch == BATCH {
                continue;
            }
            if is_over {
                break;
            }
            std::thread::sleep(pace.tick);
        }
        taken.cpu = cpu_before.map_or(Duration::ZERO, |before| thread_cpu().saturating_sub(before));
        taken.dropped = self.socket.dropped()?;
        Ok(())
    }
}

fn take_batch<T: Take>(ring: &ReceiveRing, batch: usize, take: &mut T, taken: &mut Taken) -> io::Result<()> {
    take.begin_batch();
    for index in 0..batch {
        for (payload, _) in ring.slot(index).datagrams() {
            taken.messages += 1;
            taken.bytes += payload.len() as u64;
            take.take(payload)?;
        }
    }
    take.end_batch()?;
    Ok(())
}

/// Takes a batch a datagram at a time; how many there were.
fn take_singly<T: Take>(
    socket: &UdpSocket,
    buffer: &mut [u8],
    take: &mut T,
    taken: &mut Taken,
    cpu_before: &mut Option<Duration>,
) -> io::Result<usize> {
    let mut batch = 0;
    while batch < BATCH {
        let bytes = match socket.recv_from(buffer) {
            Ok((bytes, _)) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if batch == 0 {
            cpu_before.get_or_insert_with(thread_cpu);
            take.begin_batch();
        }
        batch += 1;
        taken.messages += 1;
        taken.bytes += bytes as u64;
        take.take(&buffer[..bytes])?;
    }
    if batch > 0 {
        take.end_batch()?;
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// A full batch lies in the socket again whenever one is taken.
    struct Overload {
        sender: UdpSocket,
        since: Instant,
    }

    impl Overload {
        fn refill(&self) {
            (0..2 * BATCH).for_each(|_| drop(self.sender.send(b"again")));
        }
    }

    impl Take for Overload {
        fn take(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn end_batch(&mut self) -> io::Result<()> {
            self.refill();
            if self.since.elapsed() < 10 * LAST_READS_MAX { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
        }

        fn finish(self, _: &mut Taken) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn senders_that_do_not_stop_keep_no_sink_from_ending() {
        for mode in [Mode::Recv, Mode::Recvmmsg] {
            let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap(), mode, 1 << 20).unwrap();
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            sender.connect(endpoint.address()).unwrap();
            let mut overload = Overload { sender, since: Instant::now() };
            overload.refill();
            let (stop, mut taken) = (AtomicBool::new(true), Taken::default());
            endpoint.receive(&mut overload, &mut taken, Pace { tick: Duration::ZERO, stop: &stop }).unwrap();
            assert!(taken.messages > 2 * BATCH as u64, "{mode:?}: {}", taken.messages);
        }
    }
}
