//! Reference receivers: what a collector is compared with. No format, no accounting, no second thread: the least that can
//! be done with a datagram on one processor.
//!
//! *Discard* receives and forgets. *Bare* also copies each message and an LF to a buffer, compresses every full one with
//! zstd at level 1, and writes it to a file.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use logboom_udp::{DATAGRAM_BYTES_MAX, ReceiveRing, ReceiveSocket, bind_group};

use crate::sender::thread_cpu;

/// Datagrams a call.
const BATCH: usize = 64;

/// Text that is compressed at a time, as in the collector.
const BUFFER_BYTES: usize = 1 << 20;

/// What to do with what comes.
#[derive(Clone, Debug)]
pub enum Work {
    /// Forget it.
    Discard,
    /// Compress it and write it to this file.
    Bare(PathBuf),
}

/// How to receive.
#[derive(Clone, Debug)]
pub struct SinkOrder {
    /// Where.
    pub address: SocketAddr,
    /// What to do with it.
    pub work: Work,
    /// Sleep after a batch that was not full.
    pub tick: Duration,
    /// Kernel receive buffer, bytes.
    pub receive_buffer_bytes: usize,
    /// Let the kernel join datagrams (UDP_GRO).
    pub gro: bool,
}

/// What came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Messages received.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Drops that the socket counted: with `gro` a lower bound.
    pub dropped: u64,
    /// Bytes written.
    pub stored_bytes: u64,
    /// Processor time since the first message.
    pub cpu: Duration,
}

/// A bound sink.
pub struct Sink {
    socket: ReceiveSocket,
    ring: ReceiveRing,
    tick: Duration,
    file: Option<Written>,
}

/// The file of a bare sink.
struct Written {
    file: File,
    buffer: Vec<u8>,
    compressor: zstd::bulk::Compressor<'static>,
    compressed: Vec<u8>,
    bytes: u64,
}

impl Sink {
    /// Binds a sink.
    ///
    /// # Errors
    /// What bind(2), setsockopt(2) and open(2) say.
    pub fn bind(order: &SinkOrder) -> io::Result<Self> {
        let socket = bind_group(order.address, 1, order.receive_buffer_bytes, false)?.remove(0);
        if order.gro {
            socket.join_segments()?;
        }
        let file = match &order.work {
            Work::Discard => None,
            Work::Bare(path) => Some(Written::create(path)?),
        };
        Ok(Self { socket, ring: ReceiveRing::new(BATCH, DATAGRAM_BYTES_MAX), tick: order.tick, file })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.socket.address()
    }

    /// The receive buffer that the kernel granted, bytes.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn receive_buffer_bytes(&self) -> io::Result<usize> {
        self.socket.receive_buffer_bytes()
    }

    /// Receives until `stop`, and then what is there.
    ///
    /// # Errors
    /// What recvmmsg(2) and write(2) say.
    pub fn run(mut self, stop: &Arc<AtomicBool>) -> io::Result<Taken> {
        let mut taken = Taken::default();
        let mut cpu_before = None;
        loop {
            let stopped = stop.load(Ordering::Relaxed);
            loop {
                let batch = self.ring.receive(&self.socket)?;
                if batch > 0 && cpu_before.is_none() {
                    cpu_before = Some(thread_cpu());
                }
                self.take(batch, &mut taken)?;
                if batch < self.ring.batch() {
                    break;
                }
            }
            if stopped {
                break;
            }
            std::thread::sleep(self.tick);
        }
        if let Some(written) = &mut self.file {
            written.flush()?;
            taken.stored_bytes = written.bytes;
        }
        taken.cpu = cpu_before.map_or(Duration::ZERO, |before| thread_cpu().saturating_sub(before));
        taken.dropped = self.socket.dropped()?;
        Ok(taken)
    }

    fn take(&mut self, batch: usize, taken: &mut Taken) -> io::Result<()> {
        for index in 0..batch {
            for (payload, _) in self.ring.slot(index).datagrams() {
                taken.messages += 1;
                taken.bytes += payload.len() as u64;
                if let Some(written) = &mut self.file {
                    written.append(payload)?;
                }
            }
        }
        Ok(())
    }
}

impl Written {
    fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let mut compressor = zstd::bulk::Compressor::new(1)?;
        compressor.include_contentsize(true)?;
        compressor.include_checksum(true)?;
        let compressed = Vec::with_capacity(zstd::zstd_safe::compress_bound(BUFFER_BYTES));
        Ok(Self { file, buffer: Vec::with_capacity(BUFFER_BYTES), compressor, compressed, bytes: 0 })
    }

    #[inline]
    fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.buffer.len() + payload.len() + 1 > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(payload);
        self.buffer.push(b'\n');
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.compressed.clear();
        self.compressor.compress_to_buffer(&self.buffer, &mut self.compressed)?;
        self.file.write_all(&self.compressed)?;
        self.bytes += self.compressed.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
