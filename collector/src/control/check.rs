//! `GET /loadgen/RUN`: the messages of one test run of `loadgen`, as they are written, until the client closes or the
//! collector ends. `docs/admin.md` has the format.
//!
//! A thread of its own follows the data directories, as `logboom tail -f` does from outside: messages come from the files
//! and never from the data path, and it runs behind all that receives and writes. What it finds waits in a bounded channel
//! for the main thread, which sends it; a client that reads slowly makes that thread wait, and nobody else. In memory: 16
//! parts that wait, each of 64 KiB and one message, and one decoded block for each receiver.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame};
use logboom_segment::Message;
use logboom_udp::clock::realtime_ns;
use logboom_udp::thread;
use memchr::memmem::Finder;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::read::follow::Follower;
use crate::read::select::Filters;
use crate::read::{POLITE_NICE, ReadError};
use crate::store::StoreState;
use crate::store::unsynced::Unsynced;

/// Checks at a time: each is a thread.
pub const CHECKS_MAX: usize = 4;

/// Time between looks for new messages.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A part is sent when it is so long.
const PART_BYTES: usize = 64 << 10;

/// Parts that wait to be sent.
const PARTS_MAX: usize = 16;

/// Sleep while so many wait.
const FULL_SLEEP: Duration = Duration::from_millis(5);

/// A client that takes nothing for so long is given up.
const STALLED_MAX: Duration = Duration::from_secs(60);

/// A shutdown waits so long for the last messages to be found and taken: where others want every processor, a thread at nice 19
/// gets one for some 15 ms of each second (sched(7)), and the client may be slow.
const LAST_PARTS_MAX: Duration = Duration::from_secs(10);

/// One of [`CHECKS_MAX`], while its thread or its connection is there: each holds it.
pub struct Place(Arc<OwnedSemaphorePermit>);

impl Place {
    /// Whether the thread still runs, as far as its connection knows.
    #[must_use]
    pub fn has_thread(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Of a connection and its thread.
    fn of(permit: OwnedSemaphorePermit) -> (Self, Self) {
        let permit = Arc::new(permit);
        (Self(Arc::clone(&permit)), Self(permit))
    }

    #[cfg(test)]
    pub(super) fn pair() -> (Self, Self) {
        Self::of(Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap())
    }
}

/// Why there is no check.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The run is not one.
    #[error("`{0}` is no run: that is eight lower-case hex digits, as in /loadgen/7f3a9c01")]
    Run(String),
    /// There are as many as may be.
    #[error("{CHECKS_MAX} checks are running, which is the most at a time: end one of them, or try again later")]
    TooMany,
    /// There is no thread for it.
    #[error("starting a thread for it: {0}")]
    Thread(#[from] io::Error),
}

/// What all checks share.
pub struct Checks {
    directories: Vec<PathBuf>,
    unsynced: Arc<Unsynced>,
    places: Arc<Semaphore>,
    stops: Arc<AtomicBool>,
}

impl Checks {
    /// None yet, of what `store` writes.
    #[must_use]
    pub fn new(store: &StoreState) -> Self {
        Self {
            directories: store.volumes.all().map(|storage| storage.path().to_owned()).collect(),
            unsynced: Arc::clone(&store.unsynced),
            places: Arc::new(Semaphore::new(CHECKS_MAX)),
            stops: Arc::default(),
        }
    }

    /// Begins a check of `run`: what is to be sent, and its place, to be held until all of that is sent.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn begin(&self, run: &str) -> Result<(Arrivals, Place), Refused> {
        let is_run = run.len() == 8 && run.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_run {
            return Err(Refused::Run(run.to_owned()));
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refused::TooMany)?;
        let (place, of_thread) = Place::of(place);
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        let watch = Watch {
            // All that is known here of loadgen's tag.
            mark: Finder::new(&format!("lg1 {run} ")).into_owned(),
            parts: sender,
            stops: Arc::clone(&self.stops),
            stalled_max: STALLED_MAX,
            _place: of_thread,
        };
        let directories = self.directories.clone();
        std::thread::Builder::new().name("check".into()).spawn(move || watch.run(directories))?;
        Ok((Arrivals { parts, unsynced: Arc::clone(&self.unsynced), is_over: false }, place))
    }

    /// Ends every check once it has sent what is written by now, or after `LAST_PARTS_MAX`.
    pub async fn finish(&self) {
        self.stops.store(true, Ordering::Release);
        let all = self.places.acquire_many(CHECKS_MAX as u32);
        if tokio::time::timeout(LAST_PARTS_MAX, all).await.is_err() {
            tracing::warn!("a check of a test run ends before it has shown the last messages");
        }
    }
}

/// What the thread has found.
enum Part {
    /// Messages, as they are to be sent.
    Messages(Vec<u8>),
    /// The end of a poll.
    Polled {
        /// Later than the receive time of every message so far.
        after_ns: u64,
        /// There will be no other.
        is_last: bool,
    },
}

/// What is to be sent of a run.
pub struct Arrivals {
    parts: mpsc::Receiver<Part>,
    unsynced: Arc<Unsynced>,
    is_over: bool,
}

impl Arrivals {
    /// The line that says how far messages are synced.
    ///
    /// Every message that was sent before this line was read in a file before [`Unsynced::oldest_ns`] is asked here, and its
    /// block counted there from before it could be read. So it is synced if it was received before the oldest message that
    /// is not; and if there is none such, whenever it was received. Of messages that are written and not sent yet the line
    /// says nothing: they may be older than those that were. Asked in the thread instead, which runs when nobody else does,
    /// this could hold up a writer at the locks that it needs.
    fn synced(&self, after_ns: u64) -> String {
        let through_ns = self.unsynced.oldest_ns().unwrap_or(after_ns);
        format!("s {through_ns} {}\n", realtime_ns())
    }
}

impl Body for Arrivals {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let bytes = match ready!(this.parts.poll_recv(context)) {
            Some(Part::Messages(messages)) => messages.into(),
            Some(Part::Polled { after_ns, is_last }) => {
                this.is_over = is_last;
                this.synced(after_ns).into()
            }
            // The thread has given up, and said why. The client sees a body without an end.
            None => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

/// The thread of a check.
struct Watch {
    mark: Finder<'static>,
    parts: mpsc::Sender<Part>,
    stops: Arc<AtomicBool>,
    stalled_max: Duration,
    _place: Place,
}

impl Watch {
    fn run(self, directories: Vec<PathBuf>) {
        // Not permitted to be nicer is no reason not to read.
        let _ = thread::set_nice(POLITE_NICE);
        match self.follow(directories) {
            Err(error) if !error.is_closed_pipe() => tracing::warn!("a check of a test run ends early: {error}"),
            _ => {}
        }
    }

    fn follow(&self, directories: Vec<PathBuf>) -> Result<(), ReadError> {
        let mut follower = Follower::new(directories)?;
        let is_marked = |text: &[u8]| self.mark.find(text).is_some();
        let (filters, mut latest_ns) = (Filters::default(), 0);
        loop {
            // Before the poll, which then finds all that was written until a stop.
            let is_last = self.stops.load(Ordering::Acquire);
            let begun_ns = realtime_ns();
            let mut messages = Vec::new();
            let complaints = follower.poll_blocks(is_marked, &filters, |message, listener| {
                if is_marked(message.payload) {
                    latest_ns = message.received_ns.max(latest_ns);
                    put(&mut messages, message, listener);
                }
                if messages.len() < PART_BYTES {
                    return Ok(());
                }
                self.send(Part::Messages(std::mem::take(&mut messages)))
            })?;
            for complaint in complaints {
                tracing::warn!("a check of a test run: {complaint}");
            }
            if !messages.is_empty() {
                self.send(Part::Messages(messages))?;
            }
            self.send(Part::Polled { after_ns: begun_ns.max(latest_ns.saturating_add(1)), is_last })?;
            if is_last {
                return Ok(());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits for a client that is slow, though not for ever.
    fn send(&self, mut part: Part) -> Result<(), ReadError> {
        let begun = Instant::now();
        loop {
            part = match self.parts.try_send(part) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(ReadError::Output(io::ErrorKind::BrokenPipe.into())),
                Err(TrySendError::Full(part)) => part,
            };
            if begun.elapsed() >= self.stalled_max {
                let why = format!("its client has taken nothing for {} s", self.stalled_max.as_secs());
                return Err(ReadError::Output(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            std::thread::sleep(FULL_SLEEP);
        }
    }
}

fn put(out: &mut Vec<u8>, message: &Message<'_>, listener: &str) {
    let transport = listener.split_once("://").map_or(listener, |(transport, _)| transport);
    let head = format!("m {} {transport} {}\n", message.received_ns, message.payload.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(message.payload);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_waits_for_the_last_messages_but_not_for_ever() {
        use tokio::time::{Instant, sleep};
        let checks = Checks {
            directories: Vec::new(),
            unsynced: Arc::new(Unsynced::new(0)),
            places: Arc::new(Semaphore::new(CHECKS_MAX)),
            stops: Arc::default(),
        };
        let check = || Arc::clone(&checks.places).try_acquire_owned().unwrap();
        let (slow, begun) = (check(), Instant::now());
        let ends = async {
            sleep(Duration::from_secs(9)).await;
            drop(slow);
        };
        tokio::join!(checks.finish(), ends);
        assert!(begun.elapsed() < LAST_PARTS_MAX, "it ended by itself");
        assert!(checks.stops.load(Ordering::Acquire));
        let (_hangs, begun) = (check(), Instant::now());
        checks.finish().await;
        assert_eq!(begun.elapsed().as_secs(), LAST_PARTS_MAX.as_secs());
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up_and_the_body_has_no_end() {
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        let place = Place::pair().1;
        let (mark, stops, stalled_max) = (Finder::new("lg1 ").into_owned(), Arc::default(), Duration::ZERO);
        let watch = Watch { mark, parts: sender, stops, stalled_max, _place: place };
        for _ in 0..PARTS_MAX {
            watch.send(Part::Polled { after_ns: 7, is_last: false }).unwrap();
        }
        let refused = watch.send(Part::Messages(b"m".to_vec())).unwrap_err();
        assert!(refused.to_string().contains("its client has taken nothing for 0 s"), "{refused}");
        drop(watch);
        let mut arrivals = Arrivals { parts, unsynced: Arc::new(Unsynced::new(0)), is_over: false };
        let mut frames = std::iter::repeat_with(|| {
            let context = &mut Context::from_waker(std::task::Waker::noop());
            Pin::new(&mut arrivals).poll_frame(context)
        });
        for _ in 0..PARTS_MAX {
            let Some(Poll::Ready(Some(Ok(frame)))) = frames.next() else { panic!("a part is missing") };
            assert!(frame.into_data().unwrap().starts_with(b"s 7 "));
        }
        assert!(matches!(frames.next(), Some(Poll::Ready(Some(Err(_))))));
    }
}
