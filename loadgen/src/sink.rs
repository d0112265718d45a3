//! Receivers of our own. What a collector is compared with: no format, no accounting, the least that can be done with a message.
//! And what the verifier is tested with: a receiver that loses, doubles, swaps and changes exactly what it is told to.
//!
//! * *discard* receives and forgets;
//! * *bare* copies each message and an LF to a buffer, compresses every full one with zstd at level 1, and writes it to a file;
//! * *text* writes each message as a line, with or without a [`Script`];
//! * *verify* looks for the messages of a run as they come.
//!
//! Datagrams are received in one thread, as is each connection of a stream. All drain what is there, then sleep a tick, as the
//! collector does.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use logboom_udp::clock::{realtime_ns, thread_cpu};

use crate::verify::{Published, Tracker};

mod bare;
mod script;
mod tcp;
mod text;
mod udp;

pub use script::{ITEMS_MAX, SCRIPT_BYTES_MAX, Script, ScriptDone, ScriptError};
pub use tcp::CONNECTIONS_MAX;
pub use udp::Mode;

use bare::Bare;
use text::Lines;

/// How long it sleeps, unless told otherwise: as a collector does.
pub const TICK: Duration = Duration::from_millis(1);

/// Kernel receive buffer of a socket of datagrams, unless told otherwise, bytes.
pub const RECEIVE_BUFFER_BYTES: usize = 64 << 20;

/// What is there when it is time to stop is read for so long, if the sender does not stop.
const LAST_READS_MAX: Duration = Duration::from_secs(1);

/// What to do with what comes.
pub enum Work {
    /// Forget it.
    Discard,
    /// Compress it and write it to this file.
    Bare(PathBuf),
    /// Write it to this file line by line, as the script tells.
    Text(PathBuf, Script),
    /// Look for the messages of a run; others see how far it is.
    Verify(Box<Tracker>, Arc<Published>),
}

/// Where to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// One message a datagram.
    Udp(SocketAddr),
    /// Messages on streams, in either framing (RFC 6587).
    Tcp(SocketAddr),
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// How to receive.
pub struct SinkOrder {
    /// Where.
    pub listen: Listen,
    /// What to do with it.
    pub work: Work,
    /// Sleep after a batch or a read that was not full; none to spin.
    pub tick: Duration,
    /// How datagrams are received.
    pub mode: Mode,
    /// Kernel receive buffer of a socket of datagrams, bytes.
    pub receive_buffer_bytes: usize,
}

/// What came.
#[derive(Default)]
pub struct Taken {
    /// Messages received.
    pub messages: u64,
    /// Their bytes, without framing.
    pub bytes: u64,
    /// Drops that the socket of datagrams counted: with [`Mode::Gro`] a lower bound.
    pub dropped: u64,
    /// Connections taken.
    pub connections: u64,
    /// Connections turned away: beyond [`CONNECTIONS_MAX`], or for want of a file or a thread.
    pub connections_refused: u64,
    /// Connections that broke.
    pub connections_broken: u64,
    /// Bytes written.
    pub stored_bytes: u64,
    /// Processor time since the first message; for streams, of the connections' threads.
    pub cpu: Duration,
    /// What was done as a script told.
    pub script: Option<ScriptDone>,
    /// The books of [`Work::Verify`].
    pub tracker: Option<Box<Tracker>>,
}

/// What is done with each message.
trait Take: Send {
    /// Some messages are there.
    #[inline]
    fn begin_batch(&mut self) {}

    /// One of them.
    fn take(&mut self, message: &[u8]) -> io::Result<()>;

    /// They are taken.
    #[inline]
    fn end_batch(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// There will be no more.
    fn finish(self, taken: &mut Taken) -> io::Result<()>;
}

/// A bound sink.
pub struct Sink {
    endpoint: Endpoint,
    work: ReadyWork,
    tick: Duration,
}

enum Endpoint {
    Udp(udp::Endpoint),
    Tcp(TcpListener, SocketAddr),
}

/// Work whose files are open.
enum ReadyWork {
    Discard,
    Bare(Bare),
    Text(Lines),
    Verify(Books),
}

impl Sink {
    /// Binds a sink.
    ///
    /// # Errors
    /// What bind(2), setsockopt(2) and open(2) say.
    pub fn bind(order: SinkOrder) -> io::Result<Self> {
        let endpoint = match order.listen {
            Listen::Udp(address) => {
                Endpoint::Udp(udp::Endpoint::bind(address, order.mode, order.receive_buffer_bytes)?)
            }
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                let address = listener.local_addr()?;
                Endpoint::Tcp(listener, address)
            }
        };
        let work = match order.work {
            Work::Discard => ReadyWork::Discard,
            Work::Bare(path) => ReadyWork::Bare(Bare::create(&path)?),
            Work::Text(path, script) => ReadyWork::Text(Lines::create(&path, script)?),
            Work::Verify(tracker, published) => ReadyWork::Verify(Books { tracker, published, received_ns: 0 }),
        };
        Ok(Self { endpoint, work, tick: order.tick })
    }

    /// Where it listens, with the port that the kernel chose if 0 was asked for.
    #[must_use]
    pub fn listen(&self) -> Listen {
        match &self.endpoint {
            Endpoint::Udp(endpoint) => Listen::Udp(endpoint.address()),
            Endpoint::Tcp(_, address) => Listen::Tcp(*address),
        }
    }

    /// The receive buffer that the kernel granted for datagrams, bytes; `None` for streams.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn receive_buffer_bytes(&self) -> io::Result<Option<usize>> {
        match &self.endpoint {
            Endpoint::Udp(endpoint) => endpoint.receive_buffer_bytes().map(Some),
            Endpoint::Tcp(..) => Ok(None),
        }
    }

    /// Receives until `stop`, and then what is there, for a second if the senders do not stop.
    ///
    /// # Errors
    /// What recvmmsg(2), accept(2) and write(2) say.
    pub fn run(self, stop: &AtomicBool) -> io::Result<Taken> {
        let Self { endpoint, work, tick } = self;
        let pace = Pace { tick, stop };
        match work {
            ReadyWork::Discard => receive(endpoint, Discard, pace),
            ReadyWork::Bare(bare) => receive(endpoint, bare, pace),
            ReadyWork::Text(lines) => receive(endpoint, lines, pace),
            ReadyWork::Verify(books) => receive(endpoint, books, pace),
        }
    }
}

/// When to rest, and when to end.
#[derive(Clone, Copy)]
struct Pace<'a> {
    tick: Duration,
    stop: &'a AtomicBool,
}

/// A loop of its own for each kind of work.
fn receive<T: Take>(endpoint: Endpoint, mut take: T, pace: Pace<'_>) -> io::Result<Taken> {
    let mut taken = Taken::default();
    match endpoint {
        Endpoint::Udp(endpoint) => endpoint.receive(&mut take, &mut taken, pace)?,
        Endpoint::Tcp(listener, _) => take = tcp::receive(&listener, take, &mut taken, pace, CONNECTIONS_MAX)?,
    }
    let cpu_before = thread_cpu();
    take.finish(&mut taken)?;
    taken.cpu += thread_cpu().saturating_sub(cpu_before);
    Ok(taken)
}

struct Discard;

impl Take for Discard {
    #[inline]
    fn take(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn finish(self, _: &mut Taken) -> io::Result<()> {
        Ok(())
    }
}

/// The books of a run, kept as its messages come.
struct Books {
    tracker: Box<Tracker>,
    published: Arc<Published>,
    /// Of the batch: one reading of the clock serves all of it.
    received_ns: u64,
}

impl Take for Books {
    fn begin_batch(&mut self) {
        self.received_ns = realtime_ns();
        self.published.tell_start(&mut self.tracker);
    }

    #[inline]
    fn take(&mut self, message: &[u8]) -> io::Result<()> {
        self.tracker.examine(message, Some(self.received_ns));
        Ok(())
    }

    fn end_batch(&mut self) -> io::Result<()> {
        self.published.publish(&self.tracker);
        Ok(())
    }

    fn finish(self, taken: &mut Taken) -> io::Result<()> {
        taken.tracker = Some(self.tracker);
        Ok(())
    }
}
