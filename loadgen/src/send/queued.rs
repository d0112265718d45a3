//! A stream behind a queue, as a logging library has one: what the collector does not take in time is dropped here, and
//! counted, instead of making the program wait.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logboom_udp::clock::thread_cpu;

use super::connection::Connection;

/// Bytes that wait for one connection at most, but for a single group that is larger.
pub const QUEUE_BYTES: usize = 1 << 20;

/// Connections with a queue, at most: each has a thread.
pub const QUEUED_MAX: u32 = 256;

/// A connection, its queue, and the thread that writes.
pub struct Queued {
    groups: Sender<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
    /// When the writer gives up what waits.
    deadline: Arc<OnceLock<Instant>>,
    writer: Option<JoinHandle<(io::Result<Connection>, Duration)>>,
    /// Processor time of the writer, once it has ended.
    pub(super) cpu: Duration,
}

impl Queued {
    /// Puts a queue before `connection`.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn new(connection: Connection) -> io::Result<Self> {
        let (groups, queue) = channel();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let (waiting, deadline) = (Arc::clone(&waiting_bytes), Arc::new(OnceLock::new()));
        let ends = Arc::clone(&deadline);
        let write = move || (write_all(connection, &queue, &waiting, &ends), thread_cpu());
        let writer = std::thread::Builder::new().name("writer".into()).spawn(write)?;
        Ok(Self { groups, waiting_bytes, deadline, writer: Some(writer), cpu: Duration::ZERO })
    }

    /// Queues a group, if there is room; whether there was.
    ///
    /// # Errors
    /// Why the connection broke, once.
    pub fn offer(&mut self, group: &[u8]) -> io::Result<bool> {
        let waiting_bytes = self.waiting_bytes.load(Ordering::Relaxed);
        if waiting_bytes > 0 && waiting_bytes + group.len() > QUEUE_BYTES {
            return Ok(false);
        }
        self.waiting_bytes.fetch_add(group.len(), Ordering::Relaxed);
        match self.groups.send(group.to_vec()) {
            Ok(()) => Ok(true),
            Err(_) => Err(self.end().err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Writes what waits, until `deadline`, and gives the connection back.
    ///
    /// # Errors
    /// Why it broke, or that there is more.
    pub fn finish(&mut self, deadline: Instant) -> io::Result<Connection> {
        let _ = self.deadline.set(deadline);
        self.groups = channel().0; // The writer ends with its queue.
        self.end()
    }

    fn end(&mut self) -> io::Result<Connection> {
        let Some(writer) = self.writer.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let (connection, cpu) = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.cpu = cpu;
        connection
    }
}

fn write_all(
    mut connection: Connection,
    queue: &Receiver<Vec<u8>>,
    waiting_bytes: &AtomicUsize,
    deadline: &OnceLock<Instant>,
) -> io::Result<Connection> {
    for group in queue {
        if deadline.get().is_some_and(|deadline| Instant::now() > *deadline) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the collector has not taken all that waited in time"));
        }
        connection.write_all(&group)?;
        waiting_bytes.fetch_sub(group.len(), Ordering::Relaxed);
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::super::connection::PATIENCE;
    use super::*;

    #[test]
    fn what_a_collector_does_not_take_is_dropped_and_the_rest_arrives() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::tcp(listener.local_addr().unwrap(), None).unwrap();
        let mut collector = listener.accept().unwrap().0;
        let mut queued = Queued::new(connection).unwrap();
        let group = vec![b'x'; 100_000];
        let mut taken = 0;
        // The kernel's buffers end somewhere; 6 MiB are granted to each side at most (tcp(7), tcp_wmem and tcp_rmem).
        while queued.offer(&group).unwrap() {
            taken += 1;
            assert!(taken < 10_000, "nothing is ever dropped");
        }
        assert!(queued.waiting_bytes.load(Ordering::Relaxed) <= QUEUE_BYTES);
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            collector.read_to_end(&mut bytes).unwrap();
            bytes.len()
        });
        queued.finish(Instant::now() + PATIENCE).unwrap().close_write().unwrap();
        assert_eq!(reader.join().unwrap(), taken * group.len());
    }

    #[test]
    fn what_waits_at_the_end_is_written_until_then_and_no_longer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::tcp(listener.local_addr().unwrap(), None).unwrap();
        let mut collector = listener.accept().unwrap().0;
        let mut queued = Queued::new(connection).unwrap();
        while queued.offer(&[b'x'; 100_000]).unwrap() {}
        let reader = std::thread::spawn(move || collector.read_to_end(&mut Vec::new()));
        assert_eq!(queued.finish(Instant::now()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        reader.join().unwrap().unwrap();
    }

    #[test]
    fn a_connection_that_breaks_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::tcp(listener.local_addr().unwrap(), None).unwrap();
        drop(listener.accept().unwrap());
        let mut queued = Queued::new(connection).unwrap();
        let error = loop {
            // A full queue means that the writer has not met the error yet.
            if let Err(error) = queued.offer(b"x") {
                break error;
            }
        };
        assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{error}");
    }
}
