//! Onto the wire: groups of messages, each group to one flow.
//!
//! A flow of datagrams is a socket of its own (with UDP a source port of its own, so that a collector's sockets share
//! the flows), a flow on a stream a connection. What the kernel was given is sent; what it refuses for want of memory
//! is offered again; what it refuses for another reason is counted and skipped.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use logboom_udp::{SendBatch, queue_send_errors, take_send_error};

use crate::icmp::Icmp;
use crate::target::Transport;

pub mod connection;
pub mod queued;
pub mod source;
pub mod tls;

use connection::{Connection, PATIENCE, too_slow};
use queued::Queued;

/// Pause before a message that the kernel had no memory for is offered again.
const NO_MEMORY_SLEEP: Duration = Duration::from_micros(100);

/// Time for answers of the network to the last datagrams.
const LAST_ANSWERS: Duration = Duration::from_millis(100);

/// Times in a row that the kernel may have no memory for a datagram: over a second.
const NO_MEMORY_IN_A_ROW: u32 = 10_000;

/// Times that a datagram is offered again because an answer to an earlier one came instead.
const ANSWERS_IN_A_ROW: u32 = 16;

/// A write that takes longer was made to wait by the collector.
const BLOCKED: Duration = Duration::from_millis(1);

/// How messages are told apart on a stream (RFC 6587).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// Each ends with LF.
    Lf,
    /// Each begins with its length.
    Octet,
}

impl Framing {
    /// What is usual on a stream of `transport`: with TLS each message begins with its length (RFC 5425 section 4.3), if all of them
    /// begin with a PRI. Receivers know a count by the `<` behind it.
    #[must_use]
    pub fn usual(transport: Transport, all_have_pri: bool) -> Self {
        if transport == Transport::Tls && all_have_pri { Self::Octet } else { Self::Lf }
    }
}

/// What happens to a message that a stream does not take at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// The sender waits, and what follows is late.
    #[default]
    Wait,
    /// It is dropped when a queue is full, as in a program that must not wait for its logs.
    Drop,
}

/// What was not simply sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Times that the kernel had no memory for a message, which was then offered again.
    pub no_memory: u64,
    /// Messages that the kernel refused, by errno(3).
    pub errors: BTreeMap<i32, u64>,
    /// Messages dropped because a queue was full.
    pub overflow: u64,
    /// Answers of the network, by what they say: a lower bound, as machines limit how many they send.
    pub icmp: BTreeMap<&'static str, u64>,
    /// Time spent in writes that waited for the collector.
    pub blocked: Duration,
    /// Processor time of threads that wrote for the sender.
    pub writers_cpu: Duration,
}

impl Trouble {
    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        self.no_memory += other.no_memory;
        self.overflow += other.overflow;
        self.blocked += other.blocked;
        self.writers_cpu += other.writers_cpu;
        other.errors.iter().for_each(|(errno, count)| *self.errors.entry(*errno).or_default() += count);
        other.icmp.iter().for_each(|(told, count)| *self.icmp.entry(told).or_default() += count);
    }

    /// Notes how long a write took: most of it was waiting, if it took long.
    fn note_wait(&mut self, took: Duration) {
        if took > BLOCKED {
            self.blocked += took;
        }
    }

    /// Messages that were not sent.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.errors.values().sum::<u64>() + self.overflow
    }

    /// Answers in all.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.icmp.values().sum()
    }
}

/// The flows of a sending thread.
pub enum Flows {
    /// Datagrams.
    Udp {
        /// One a flow.
        sockets: Vec<UdpSocket>,
        /// The current group.
        batch: Box<SendBatch>,
    },
    /// Datagrams of this machine.
    Unixgram {
        /// One a flow.
        sockets: Vec<UnixDatagram>,
        /// The current group.
        bytes: Vec<u8>,
        /// Where each datagram ends in `bytes`.
        ends: Vec<usize>,
    },
    /// Streams.
    Streams {
        /// One a flow.
        streams: Vec<Stream>,
        /// How messages are told apart.
        framing: Framing,
        /// The current group.
        bytes: Vec<u8>,
    },
}

/// A stream, which is waited for or not.
pub enum Stream {
    /// [`Overflow::Wait`].
    Direct(Connection),
    /// [`Overflow::Drop`].
    Queued(Queued),
}

impl Flows {
    /// Sockets that send to `to` from the addresses in `from`, up to `gso` datagrams of one length as one. They stay
    /// unconnected: a connected one would swallow every second datagram after a port-unreachable, in silence.
    ///
    /// # Errors
    /// What socket(2), bind(2) and setsockopt(2) say.
    pub fn udp(to: SocketAddr, from: &[Option<SocketAddr>], gso: usize) -> io::Result<Self> {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let bind = |from: &Option<SocketAddr>| {
            let from = from.unwrap_or((any, 0).into());
            let refused = |error: io::Error| io::Error::new(error.kind(), format!("sending from {from}: {error}"));
            let socket = UdpSocket::bind(from).map_err(refused)?;
            queue_send_errors(&socket)?;
            Ok(socket)
        };
        let sockets = from.iter().map(bind).collect::<io::Result<_>>()?;
        Ok(Self::Udp { sockets, batch: Box::new(SendBatch::new(to, gso)) })
    }

    /// `count` sockets that send to the one named `to`. They are connected, and so end with a collector that goes away,
    /// instead of finding the one that takes its place: what the first had not read is lost, and the run must say so.
    ///
    /// # Errors
    /// What socket(2) and connect(2) say.
    pub fn unixgram(to: &Path, count: usize) -> io::Result<Self> {
        let connect = |_| {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.connect(to)?;
            Ok(socket)
        };
        let sockets = (0..count).map(connect).collect::<io::Result<_>>()?;
        Ok(Self::Unixgram { sockets, bytes: Vec::new(), ends: Vec::new() })
    }

    /// Streams.
    ///
    /// # Errors
    /// When there can be no threads for their queues.
    pub fn streams(connections: Vec<Connection>, framing: Framing, overflow: Overflow) -> io::Result<Self> {
        let wrap = |connection| match overflow {
            Overflow::Wait => Ok(Stream::Direct(connection)),
            Overflow::Drop => Queued::new(connection).map(Stream::Queued),
        };
        let streams = connections.into_iter().map(wrap).collect::<io::Result<_>>()?;
        Ok(Self::Streams { streams, framing, bytes: Vec::new() })
    }

    /// Flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Udp { sockets, .. } => sockets.len(),
            Self::Unixgram { sockets, .. } => sockets.len(),
            Self::Streams { streams, .. } => streams.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a message of `message_bytes` to the current group; `write` puts it behind what the buffer holds.
    #[inline]
    pub fn push(&mut self, message_bytes: usize, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Udp { batch, .. } => batch.push_with(write),
            Self::Unixgram { bytes, ends, .. } => {
                write(bytes);
                ends.push(bytes.len());
            }
            Self::Streams { framing: Framing::Lf, bytes, .. } => {
                write(bytes);
                bytes.push(b'\n');
            }
            Self::Streams { framing: Framing::Octet, bytes, .. } => {
                let _ = write!(bytes, "{message_bytes} ");
                write(bytes);
            }
        }
    }

    /// Sends the current group, of `messages`, on flow `flow`. What is not sent is counted in `trouble`, and its place in
    /// the group given to `skipped`.
    ///
    /// # Errors
    /// When a flow is broken and nothing more can be sent on it; part of the group may have been sent.
    pub fn send(
        &mut self,
        flow: usize,
        messages: usize,
        trouble: &mut Trouble,
        mut skipped: impl FnMut(Range<usize>),
    ) -> io::Result<()> {
        match self {
            Self::Udp { sockets, batch } => {
                let socket = &sockets[flow];
                send_all(batch.len(), trouble, &mut skipped, |first, trouble| {
                    let answer = batch.send(socket, first).map_err(|error| (error, batch.train_datagrams()));
                    (answer, take_answers(socket, trouble))
                });
                batch.clear();
                Ok(())
            }
            Self::Unixgram { sockets, bytes, ends } => {
                use io::ErrorKind::{
                    BrokenPipe, ConnectionRefused, ConnectionReset, Interrupted, NotConnected, TimedOut, WouldBlock,
                };
                let (mut broken, count) = (None, ends.len());
                send_all(count, trouble, &mut skipped, |number, trouble| {
                    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
                    let before = Instant::now();
                    let sent = loop {
                        match sockets[flow].send(&bytes[start..ends[number]]) {
                            // With a timeout not even SA_RESTART goes on (signal(7)).
                            Err(error) if error.kind() == Interrupted => {}
                            sent => break sent,
                        }
                    };
                    trouble.note_wait(before.elapsed());
                    let refused = sent.map(|_| 1).map_err(|error| {
                        let error = if error.kind() == WouldBlock { too_slow(PATIENCE) } else { error };
                        let ends_flow = matches!(
                            error.kind(),
                            TimedOut | ConnectionRefused | ConnectionReset | NotConnected | BrokenPipe
                        );
                        if !ends_flow {
                            return (error, 1);
                        }
                        broken = Some(io::Error::new(error.kind(), error.to_string()));
                        (error, count - number) // The rest would each wait as long.
                    });
                    (refused, 0)
                });
                bytes.clear();
                ends.clear();
                broken.map_or(Ok(()), Err)
            }
            Self::Streams { streams, bytes, .. } => {
                let taken = streams[flow].take(bytes, trouble);
                bytes.clear();
                match &taken {
                    Ok(true) => return Ok(()),
                    Ok(false) => trouble.overflow += messages as u64,
                    // Some may have been taken: what is found is found.
                    Err(error) => {
                        *trouble.errors.entry(error.raw_os_error().unwrap_or(0)).or_default() += messages as u64;
                    }
                }
                skipped(0..messages);
                taken.map(|_| ())
            }
        }
    }

    /// Ends every flow. A connection is closed from our side first, and the collector's close waited for: until then it
    /// may not have taken everything. Of datagrams, the last answers of the network are taken.
    ///
    /// # Errors
    /// When a collector does not close a connection in time.
    pub fn finish(self, trouble: &mut Trouble) -> io::Result<()> {
        match self {
            Self::Udp { sockets, .. } => {
                std::thread::sleep(LAST_ANSWERS);
                sockets.iter().for_each(|socket| _ = take_answers(socket, trouble));
                Ok(())
            }
            Self::Unixgram { .. } => Ok(()),
            Self::Streams { streams, .. } => {
                let deadline = Instant::now() + PATIENCE;
                let finish = |stream: Stream| stream.finish(trouble, deadline);
                let written = streams.into_iter().map(finish).collect::<io::Result<Vec<_>>>()?;
                written.into_iter().try_for_each(|connection| connection.await_close(deadline))
            }
        }
    }
}

impl Stream {
    /// Writes or queues a group; whether there was room.
    fn take(&mut self, group: &[u8], trouble: &mut Trouble) -> io::Result<bool> {
        match self {
            Self::Queued(queued) => queued.offer(group),
            Self::Direct(connection) => {
                let before = Instant::now();
                let written = connection.write_all(group);
                trouble.note_wait(before.elapsed());
                written.map(|()| true)
            }
        }
    }

    fn finish(self, trouble: &mut Trouble, deadline: Instant) -> io::Result<Connection> {
        let mut connection = match self {
            Self::Direct(connection) => connection,
            Self::Queued(mut queued) => {
                let finished = queued.finish(deadline);
                trouble.writers_cpu += queued.cpu;
                finished?
            }
        };
        connection.close_write()?;
        Ok(connection)
    }
}

/// Counts the answers that wait at a socket; how many there were.
fn take_answers(socket: &UdpSocket, trouble: &mut Trouble) -> u32 {
    let mut answers = 0;
    while let Ok(Some(error)) = take_send_error(socket) {
        if let Some(icmp) = Icmp::of(error.origin) {
            *trouble.icmp.entry(icmp.name()).or_default() += 1;
        }
        answers += 1;
    }
    answers
}

/// How many datagrams the kernel took, or why it did not take the first so many.
type Answer = Result<usize, (io::Error, usize)>;

/// Has `send` send datagrams from a number on until each of `count` is sent or skipped. It says how many the kernel took,
/// or why it did not take the first so many; and how many answers to earlier datagrams it found, one of which may have come
/// in place of sending (udp(7)).
fn send_all(
    count: usize,
    trouble: &mut Trouble,
    skipped: &mut impl FnMut(Range<usize>),
    mut send: impl FnMut(usize, &mut Trouble) -> (Answer, u32),
) {
    const ENOBUFS: i32 = 105; // errno(3); std has no kind for it.
    let (mut done, mut answered, mut starved) = (0, 0, 0);
    while done < count {
        match send(done, trouble) {
            (Ok(more), _) => {
                done += more;
                (answered, starved) = (0, 0);
            }
            (Err((error, _)), _)
                if starved < NO_MEMORY_IN_A_ROW
                    && (error.raw_os_error() == Some(ENOBUFS) || error.kind() == io::ErrorKind::WouldBlock) =>
            {
                starved += 1;
                trouble.no_memory += 1;
                std::thread::sleep(NO_MEMORY_SLEEP);
            }
            (Err(_), 1..) if answered < ANSWERS_IN_A_ROW => answered += 1,
            (Err((error, refused)), _) => {
                let refused = refused.clamp(1, count - done);
                *trouble.errors.entry(error.raw_os_error().unwrap_or(0)).or_default() += refused as u64;
                skipped(done..done + refused);
                done += refused;
                (answered, starved) = (0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno(errno: i32) -> Answer {
        Err((io::Error::from_raw_os_error(errno), 2))
    }

    /// The numbers that were offered, the trouble, and what was skipped.
    fn send(count: usize, answers: Vec<(Answer, u32)>) -> (Vec<usize>, Trouble, Vec<Range<usize>>) {
        let (mut answers, mut offered, mut trouble, mut skipped) =
            (answers.into_iter(), Vec::new(), Trouble::default(), Vec::new());
        send_all(count, &mut trouble, &mut |range| skipped.push(range), |first, _| {
            offered.push(first);
            answers.next().unwrap()
        });
        (offered, trouble, skipped)
    }

    #[test]
    fn what_the_kernel_refuses_for_want_of_memory_is_offered_again() {
        let would_block = Err((io::ErrorKind::WouldBlock.into(), 1));
        let (offered, trouble, skipped) = send(3, vec![(Ok(1), 0), (errno(105), 0), (would_block, 0), (Ok(2), 0)]);
        assert_eq!((offered, trouble.no_memory, trouble.unsent(), skipped), (vec![0, 1, 1, 1], 2, 0, vec![]));
    }

    #[test]
    fn what_the_kernel_refuses_otherwise_is_counted_and_the_rest_is_sent() {
        let (offered, trouble, skipped) = send(5, vec![(Ok(1), 0), (errno(90), 0), (Ok(1), 0), (errno(1), 0)]);
        assert_eq!((offered, skipped), (vec![0, 1, 3, 4], vec![1..3, 4..5]));
        assert_eq!((trouble.errors.clone(), trouble.unsent()), (BTreeMap::from([(90, 2), (1, 1)]), 3));
    }

    #[test]
    fn a_collector_that_takes_no_datagrams_any_more_is_waited_for_once() {
        const SHORT: Duration = Duration::from_millis(50);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _collector = UnixDatagram::bind(&path).unwrap();
        let mut flows = Flows::unixgram(&path, 1).unwrap();
        let Flows::Unixgram { sockets, .. } = &flows else { unreachable!() };
        sockets[0].set_write_timeout(Some(SHORT)).unwrap();
        let (mut trouble, mut skipped) = (Trouble::default(), 0);
        let error = loop {
            (0..64).for_each(|_| flows.push(1, |out| out.push(b'x')));
            if let Err(error) = flows.send(0, 64, &mut trouble, |range| skipped += range.len() as u64) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            trouble.errors,
            BTreeMap::from([(0, skipped)]),
            "the rest of the group, which no error of errno(3) ended"
        );
        assert!(skipped > 1 && trouble.blocked < 10 * SHORT, "{skipped} in {:?}", trouble.blocked);
    }

    #[test]
    fn messages_are_counted_on_tls_alone_and_only_if_receivers_know_counts() {
        use Transport::{Tcp, Tls, Unix};
        let usual = [Tcp, Tls, Unix].map(|transport| [true, false].map(|pri| Framing::usual(transport, pri)));
        assert_eq!(usual, [[Framing::Lf; 2], [Framing::Octet, Framing::Lf], [Framing::Lf; 2]]);
    }

    #[test]
    fn an_answer_in_place_of_sending_does_not_cost_the_datagram() {
        let (offered, trouble, skipped) = send(2, vec![(errno(111), 1), (Ok(1), 1), (errno(111), 1), (Ok(1), 0)]);
        assert_eq!((offered, trouble.unsent(), skipped), (vec![0, 0, 1, 1], 0, vec![]));
        let for_ever = (0..=ANSWERS_IN_A_ROW).map(|_| (errno(111), 1)).collect();
        assert_eq!(send(1, for_ever).1.unsent(), 1, "but it is not offered for ever");
    }
}
