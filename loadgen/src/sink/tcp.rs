//! Messages on streams: a thread for each connection, one at a time at the work.

use std::fs::File;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use logboom_syslog::Framer;
use logboom_udp::DATAGRAM_BYTES_MAX;
use logboom_udp::clock::thread_cpu;

use super::{LAST_READS_MAX, Pace, TICK, Take, Taken};

/// Connections at a time; more are closed at once, as are those for which the process may have no file or no thread. Each takes
/// both, and at most 128 KiB.
pub const CONNECTIONS_MAX: usize = 1024;

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// A silent connection looks so often whether it is time to stop.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What the threads share.
struct Shared<'a, T> {
    taking: Mutex<Taking<'a, T>>,
    open: AtomicUsize,
    pace: Pace<'a>,
}

struct Taking<'a, T> {
    take: T,
    taken: &'a mut Taken,
    /// Why this cannot go on.
    failure: Option<io::Error>,
}

impl<'a, T> Shared<'a, T> {
    fn lock(&self) -> MutexGuard<'_, Taking<'a, T>> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a connection in a thread of its own; without one it is closed.
    fn begin<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, stream: TcpStream)
    where
        T: Take,
    {
        self.open.fetch_add(1, Ordering::Relaxed);
        let reader = std::thread::Builder::new().spawn_scoped(scope, move || {
            let outcome = read(&stream, self);
            let mut taking = self.lock();
            taking.taken.cpu += thread_cpu();
            taking.taken.connections_broken += u64::from(outcome.is_err());
            self.open.fetch_sub(1, Ordering::Relaxed);
        });
        let mut taking = self.lock();
        match reader {
            Ok(_) => taking.taken.connections += 1,
            Err(_) => {
                self.open.fetch_sub(1, Ordering::Relaxed);
                taking.taken.connections_refused += 1;
            }
        }
    }

    /// Read before what is there is read: what came before the end is found.
    fn is_over(&self) -> bool {
        self.pace.stop.load(Ordering::Relaxed) || self.lock().failure.is_some()
    }
}

/// Accepts connections until `stop`, takes what is there then, and gives back the work.
pub(super) fn receive<T: Take>(
    listener: &TcpListener,
    take: T,
    taken: &mut Taken,
    pace: Pace<'_>,
    connections_max: usize,
) -> io::Result<T> {
    listener.set_nonblocking(true)?;
    let taking = Mutex::new(Taking { take, taken, failure: None });
    let shared = Shared { taking, open: AtomicUsize::new(0), pace };
    let mut spare = spare_file();
    std::thread::scope(|scope| {
        loop {
            let is_over = shared.is_over();
            let room = connections_max - shared.open.load(Ordering::Relaxed);
            match accept(listener, &mut spare).map(|stream| stream.filter(|_| room > 0)) {
                Ok(Some(stream)) => shared.begin(scope, stream),
                Ok(None) => shared.lock().taken.connections_refused += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if is_over {
                        break;
                    }
                    std::thread::sleep(pace.tick.max(TICK));
                }
                // The peer was gone before we came (accept(2)).
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(error) => {
                    // Ends the connections too.
                    shared.lock().failure.get_or_insert(error);
                    break;
                }
            }
        }
    });
    let Taking { take, failure, .. } = shared.taking.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(take), Err)
}

/// The next connection; `None` if it was closed for want of a file. No connection is kept while there is no spare file: the next could not be turned
/// away.
fn accept(listener: &TcpListener, spare: &mut Option<File>) -> io::Result<Option<TcpStream>> {
    let taken = match (listener.accept(), &spare) {
        (Ok((stream, _)), Some(_)) => return Ok(Some(stream)),
        // It waits on (accept(2)), until there is a file with which it can be turned away.
        (Err(error), _) if is_out_of_files(&error) => {
            *spare = None;
            listener.accept()
        }
        (taken, _) => taken,
    };
    let turned_away = taken.map(drop);
    // Not there if whatever takes a file for a moment came first: malloc(3) does, in a new thread.
    *spare = spare.take().or_else(spare_file);
    match turned_away {
        Err(error) if is_out_of_files(&error) => Err(io::ErrorKind::WouldBlock.into()),
        turned_away => turned_away.map(|()| None),
    }
}

/// Given up when the process may open no more files, for a connection that is to be closed.
fn spare_file() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Of the process, or of the machine.
fn is_out_of_files(error: &io::Error) -> bool {
    const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
    const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// Reads one connection to its end, or until it is time to stop and nothing more is there.
fn read<T: Take>(mut stream: &TcpStream, shared: &Shared<'_, T>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK_INTERVAL))?;
    let mut framer = Framer::new(DATAGRAM_BYTES_MAX);
    let mut buffer = vec![0; READ_BYTES];
    let mut over_since = None;
    loop {
        let is_over = shared.is_over();
        if is_over && over_since.get_or_insert_with(Instant::now).elapsed() > LAST_READS_MAX {
            break;
        }
        let read = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if is_over {
                    break;
                }
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if !shared.lock().take_read(&mut framer, &buffer[..read]) {
            break;
        }
        if read < READ_BYTES {
            std::thread::sleep(shared.pace.tick);
        }
    }
    // What a stream that ends leaves unterminated is a message too, as in the collector.
    shared.lock().take_last(&mut framer);
    Ok(())
}

impl<T: Take> Taking<'_, T> {
    /// Whether it can go on.
    fn take_read(&mut self, framer: &mut Framer, mut read: &[u8]) -> bool {
        self.take.begin_batch();
        while let Some(frame) = framer.next(&mut read) {
            self.take_one(frame.bytes);
        }
        self.end_batch();
        self.failure.is_none()
    }

    fn take_last(&mut self, framer: &mut Framer) {
        if let Some(frame) = framer.finish() {
            self.take.begin_batch();
            self.take_one(frame.bytes);
            self.end_batch();
        }
    }

    fn end_batch(&mut self) {
        if let Err(error) = self.take.end_batch() {
            self.failure.get_or_insert(error);
        }
    }

    fn take_one(&mut self, message: &[u8]) {
        self.taken.messages += 1;
        self.taken.bytes += message.len() as u64;
        if self.failure.is_none() {
            self.failure = self.take.take(message).err();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Keeps what comes; refuses a message `refuse`.
    struct Keep(Vec<Vec<u8>>);

    impl Take for Keep {
        fn take(&mut self, message: &[u8]) -> io::Result<()> {
            self.0.push(message.to_vec());
            if message == b"refuse" { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn finish(self, _: &mut Taken) -> io::Result<()> {
            Ok(())
        }
    }

    fn listener() -> (TcpListener, impl Fn() -> TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, move || TcpStream::connect(address).unwrap())
    }

    #[test]
    fn what_is_there_when_it_is_time_to_stop_is_taken_in_either_framing() {
        let (listener, connect) = listener();
        let (stop, mut taken) = (AtomicBool::new(true), Taken::default());
        let (mut lines, mut counted) = (connect(), connect());
        lines.write_all(b"<1>one\n<1>two\n<1>three").unwrap();
        counted.write_all(b"7 <1>four7 <1>five").unwrap();
        drop(counted);
        let kept = receive(&listener, Keep(Vec::new()), &mut taken, Pace { tick: TICK, stop: &stop }, 2).unwrap();
        let mut messages = kept.0;
        messages.sort();
        assert_eq!(messages, [&b"<1>five"[..], b"<1>four", b"<1>one", b"<1>three", b"<1>two"]);
        assert_eq!((taken.messages, taken.bytes, taken.connections, taken.connections_broken), (5, 34, 2, 0));
    }

    #[test]
    fn connections_beyond_the_limit_are_closed_at_once_and_counted() {
        let (listener, connect) = listener();
        let (stop, mut taken) = (AtomicBool::new(false), Taken::default());
        let pace = Pace { tick: TICK, stop: &stop };
        let kept = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(&listener, Keep(Vec::new()), &mut taken, pace, 2));
            let (mut first, mut second, mut third) = (connect(), connect(), connect());
            third.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            assert_eq!(third.read(&mut [0]).unwrap_or(1), 0);
            first.write_all(b"first\n").unwrap();
            second.write_all(b"second\n").unwrap();
            stop.store(true, Ordering::Relaxed);
            receiver.join().unwrap().unwrap().0
        });
        assert_eq!(kept.len(), 2);
        assert_eq!((taken.connections, taken.connections_refused), (2, 1));
    }

    #[test]
    fn work_that_fails_ends_all_connections_with_its_reason() {
        let (listener, connect) = listener();
        let (stop, mut taken) = (AtomicBool::new(false), Taken::default());
        let (mut one, _silent) = (connect(), connect());
        one.write_all(b"refuse\nnot looked at\n").unwrap();
        let pace = Pace { tick: TICK, stop: &stop };
        let error = receive(&listener, Keep(Vec::new()), &mut taken, pace, 2).map(|kept| kept.0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
