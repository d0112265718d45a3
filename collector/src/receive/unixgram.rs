//! Datagrams of this machine, as programs send them to /dev/log: nothing is lost, because the kernel lets their senders wait.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::rc::Rc;

use logboom_segment::{Flags, Source};
use logboom_syslog::Frame;
use logboom_udp::clock::realtime_ns;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::watch;

use super::Offered;
use super::connection::{Shared, count, hear_what_came, message_of, offer_until_kept, wait_while_starving};

/// Datagrams taken before the others get their turn.
const IN_A_ROW: usize = 256;

/// Taken after a stop, at most: more than a socket's queue can hold (net.unix.max_dgram_qlen).
const LAST_DATAGRAMS_MAX: usize = 1 << 20;

/// One socket.
pub(super) struct LocalDatagrams {
    socket: UnixDatagram,
    /// systemd holds it too.
    is_shared: bool,
    source: Source,
    shared: Rc<RefCell<Shared>>,
}

impl LocalDatagrams {
    pub(super) fn new(
        socket: StdUnixDatagram,
        is_shared: bool,
        listener: u8,
        shared: Rc<RefCell<Shared>>,
    ) -> io::Result<Self> {
        let source = Source { address: None, port: 0, listener };
        Ok(Self { socket: UnixDatagram::from_std(socket)?, is_shared, source, shared })
    }

    /// Until stopped; then what had come.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut stopped = false;
        while !stopped {
            wait_while_starving(&self.shared).await;
            // Looked at each time: a sender that outpaces us leaves no moment in which there is nothing to read.
            stopped = *stop.borrow();
            if stopped {
                // No more can be sent, and what was stays to be read; a socket of systemd's is for who reads it next.
                if !self.is_shared {
                    let _ = self.socket.shutdown(Shutdown::Read);
                }
                hear_what_came().await;
            } else {
                tokio::select! {
                    biased;
                    ready = self.socket.readable() => if ready.is_err() { return },
                    Ok(_) = stop.wait_for(|stop| *stop) => continue,
                }
            }
            for _ in 0..if stopped { LAST_DATAGRAMS_MAX } else { IN_A_ROW } {
                if !self.take_one(stopped).await {
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Whether there was one; the end of a socket that was shut down looks like an empty datagram with nothing
    /// behind it.
    async fn take_one(&self, stopped: bool) -> bool {
        let unkept = {
            let Shared { feed, scratch, limits, .. } = &mut *self.shared.borrow_mut();
            // TRUNC gives the length also of what the buffer was too small for (recv(2)).
            let receive = || Ok(rustix::net::recv(&self.socket, &mut scratch[..], RecvFlags::TRUNC)?);
            let (filled, length) = match self.socket.try_io(Interest::READABLE, receive) {
                Ok(received) => received,
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::debug!("receiving from a local socket: {error}");
                    }
                    return false;
                }
            };
            if stopped && length == 0 && rustix::io::ioctl_fionread(&self.socket).unwrap_or(0) == 0 {
                return false;
            }
            let bytes = &scratch[..filled.min(limits.message_bytes_max)];
            let frame = Frame { bytes, original_length: u32::try_from(length).unwrap_or(u32::MAX) };
            let message = message_of(&frame, self.source, realtime_ns(), Flags::NONE);
            if feed.offer_or_wait(&message) == Offered::NoBlock {
                Some((bytes.to_vec(), frame.original_length))
            } else {
                count(feed, self.source.listener, 1, bytes.len() as u64, u64::from(frame.is_truncated()));
                None
            }
        };
        if let Some((bytes, original_length)) = unkept {
            let frame = Frame { bytes: &bytes, original_length };
            offer_until_kept(&self.shared, &frame, self.source, Flags::NONE).await;
        }
        true
    }
}
