//! How it is found out what arrived: by a receiver of our own, by what the collector streams of it, or in its files once they
//! have come to rest.

use std::fmt;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::observe::collector;
use crate::sink::{Listen, Mode, Sink, SinkOrder, Work};
use crate::tag::RunTag;
use crate::target::{Target, Transport};
use crate::verify::{LiveReader, Progress, Tracker, VerifyError, Watch, examine_paths};

/// Files found by a pattern, at most.
pub const FILES_MAX: usize = 10_000;

/// How often it is looked whether something still comes.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Longest wait for what arrived to come to rest.
pub const SETTLE_MAX: Duration = Duration::from_secs(120);

/// Longest wait for what was found to be synced as well.
const SYNC_WAIT_MAX: Duration = Duration::from_secs(5);

/// The receiver of our own: as in a collector.
const SINK_TICK: Duration = Duration::from_millis(1);
const SINK_BUFFER_BYTES: usize = 64 << 20;

/// How it is found out what arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Not at all.
    #[default]
    None,
    /// By a receiver of our own, bound to the target.
    Sink,
    /// In the segments of a data directory.
    Directory(PathBuf),
    /// In the text files of any collector: a pattern, as glob(7).
    Files(String),
    /// By what the collector's admin listener streams.
    Admin(String),
}

/// A check under way.
pub struct Checking {
    run: RunTag,
    flows: u32,
    messages_max: u64,
    start_ns: u64,
    way: Way,
}

enum Way {
    None,
    Files(Files),
    Live { watch: Arc<Watch>, stop: Arc<AtomicBool>, reader: JoinHandle<Result<Box<Tracker>, String>> },
}

/// Files that are looked at when nothing is written to them any more.
enum Files {
    Directory(PathBuf),
    Pattern(String),
}

impl Check {
    /// Begins to look for the messages of run `run`, of so many flows and messages at most, before the first is sent.
    ///
    /// # Errors
    /// Why it cannot, in words.
    pub fn begin(&self, target: &Target, run: u32, flows: u32, messages_max: u64) -> Result<Checking, String> {
        let tag = RunTag::new(run);
        let tracker = || Box::new(Tracker::new(tag, flows, messages_max));
        let way = match self {
            Self::None => Way::None,
            Self::Directory(directory) => Way::Files(Files::Directory(directory.clone())),
            Self::Files(pattern) => {
                glob::Pattern::new(pattern).map_err(|error| format!("--check files:{pattern}: {error}"))?;
                Way::Files(Files::Pattern(pattern.clone()))
            }
            Self::Sink => begin_sink(target, tracker())?,
            Self::Admin(admin) => begin_admin(admin, run, tracker())?,
        };
        Ok(Checking { run: tag, flows, messages_max, start_ns: 0, way })
    }

    /// The admin listener that it names.
    #[must_use]
    pub fn admin(&self) -> Option<&str> {
        match self {
            Self::Admin(admin) => Some(admin),
            _ => None,
        }
    }
}

fn begin_sink(target: &Target, tracker: Box<Tracker>) -> Result<Way, String> {
    let refused = |error| format!("--check sink: cannot receive at {target}: {error}");
    let address: SocketAddr = target.resolve()?;
    let listen = match target.transport {
        Transport::Udp => Listen::Udp(address),
        Transport::Tcp => Listen::Tcp(address),
        _ => return Err(format!("--check sink receives by udp and tcp, not at {target}")),
    };
    let (watch, stop) = (Arc::new(Watch::default()), Arc::new(AtomicBool::new(false)));
    let work = Work::Verify(tracker, Arc::clone(&watch));
    let order =
        SinkOrder { listen, work, tick: SINK_TICK, mode: Mode::Recvmmsg, receive_buffer_bytes: SINK_BUFFER_BYTES };
    let sink = Sink::bind(order).map_err(refused)?;
    let stopped = Arc::clone(&stop);
    let receive = move || {
        let taken = sink.run(&stopped).map_err(|error| format!("the sink: {error}"))?;
        taken.tracker.ok_or_else(|| "the sink kept no books".into())
    };
    let reader = spawn("sink", receive)?;
    Ok(Way::Live { watch, stop, reader })
}

fn begin_admin(admin: &str, run: u32, mut tracker: Box<Tracker>) -> Result<Way, String> {
    let stream = collector::stream(admin, run).map_err(|why| format!("--check admin:{admin}: {why}"))?;
    let (watch, stop) = (Arc::new(Watch::default()), Arc::new(AtomicBool::new(false)));
    let (watched, stopped) = (Arc::clone(&watch), Arc::clone(&stop));
    let mut reader = LiveReader::new(BufReader::with_capacity(1 << 20, stream));
    // The first record says that the collector looks: what is sent before might be missed.
    reader.read_record(&mut tracker).map_err(|error| format!("--check admin:{admin}: {error}"))?;
    let read = move || {
        // A collector that goes away breaks its stream: what it has not told is missing.
        let _ = reader.read(&mut tracker, &watched, &stopped);
        let since = Instant::now();
        while reader.unsynced() > 0 && since.elapsed() < SYNC_WAIT_MAX {
            if !matches!(reader.read_record(&mut tracker), Ok(Some(_))) {
                break;
            }
        }
        Ok(tracker)
    };
    let reader = spawn("check", read)?;
    Ok(Way::Live { watch, stop, reader })
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, String> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(|error| format!("a thread: {error}"))
}

impl Checking {
    /// Says when the schedule begins, ns since the Unix epoch.
    pub fn begin_at(&mut self, start_ns: u64) {
        self.start_ns = start_ns;
        if let Way::Live { watch, .. } = &self.way {
            watch.begin_at(start_ns);
        }
    }

    /// What was found so far; `None` when that is known only afterwards.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        match &self.way {
            Way::Live { watch, .. } => Some(watch.progress()),
            Way::None | Way::Files(_) => None,
        }
    }

    /// Waits until `sent` messages are found, or nothing has come for `quiet`; `wait` is called meanwhile, and ends it with
    /// false.
    pub fn settle(&self, sent: u64, quiet: Duration, mut wait: impl FnMut(Duration) -> bool) {
        let (begun, mut since, mut seen) = (Instant::now(), Instant::now(), None);
        loop {
            let (now, is_all) = match &self.way {
                Way::None => return,
                Way::Live { watch, reader, .. } => {
                    let Progress { examined, stored, corrupted, .. } = watch.progress();
                    (examined, stored + corrupted >= sent || reader.is_finished())
                }
                Way::Files(files) => (files.bytes(), false),
            };
            if seen != Some(now) {
                (seen, since) = (Some(now), Instant::now());
            }
            if is_all || since.elapsed() >= quiet || begun.elapsed() >= SETTLE_MAX || !wait(LOOK_INTERVAL) {
                return;
            }
        }
    }

    /// The books at the end; `None` when there is no check.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn finish(self) -> Result<Option<Box<Tracker>>, String> {
        match self.way {
            Way::None => Ok(None),
            Way::Live { stop, reader, .. } => {
                stop.store(true, Ordering::Relaxed);
                reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(Some)
            }
            Way::Files(files) => {
                let mut tracker = Box::new(Tracker::new(self.run, self.flows, self.messages_max));
                tracker.begin_at(self.start_ns);
                match examine_paths(&files.paths(), &mut tracker) {
                    // A collector that has stored nothing has lost all, which is an answer.
                    Ok(()) | Err(VerifyError::NoSegments(_)) => Ok(Some(tracker)),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    }
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Directory(directory) => vec![directory.clone()],
            Self::Pattern(pattern) => glob::glob(pattern)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|path| path.is_file())
                .take(FILES_MAX)
                .collect(),
        }
    }

    /// Bytes in all of them.
    fn bytes(&self) -> u64 {
        let bytes_of = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        match self {
            Self::Directory(directory) => {
                let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
                entries.map(|entry| bytes_of(&entry.path())).sum()
            }
            Self::Pattern(_) => self.paths().iter().map(|path| bytes_of(path)).sum(),
        }
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "sink" => Ok(Self::Sink),
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Directory(path.into())),
            Some(("files", pattern)) if !pattern.is_empty() => Ok(Self::Files(pattern.into())),
            Some(("admin", admin)) if !admin.is_empty() => Ok(Self::Admin(admin.into())),
            _ => Err(format!("`{text}` is no check: write dir:DIR, files:PATTERN, admin:HOST:PORT, sink or none")),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Sink => f.write_str("sink"),
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Files(pattern) => write!(f, "files:{pattern}"),
            Self::Admin(admin) => write!(f, "admin:{admin}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_come_back_and_others_are_told() {
        for text in ["none", "sink", "dir:/var/lib/logboom", "files:/var/log/*.log", "admin:http://[::1]:9514"] {
            assert_eq!(text.parse::<Check>().unwrap().to_string(), text);
        }
        for text in ["", "dir:", "file:x", "admin"] {
            assert!(text.parse::<Check>().unwrap_err().contains("write dir:DIR"), "{text}");
        }
    }

    #[test]
    fn files_are_waited_for_until_nothing_is_written_to_them_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let pattern = format!("files:{}/*.log", directory.path().display());
        let target = "udp://127.0.0.1:1".parse().unwrap();
        let checking = pattern.parse::<Check>().unwrap().begin(&target, 1, 1, 10).unwrap();
        let mut writes = 0;
        checking.settle(10, Duration::from_millis(1), |_| {
            writes += 1;
            let grows = writes < 20;
            std::fs::write(&path, vec![b'\n'; if grows { writes } else { 20 }]).unwrap();
            true
        });
        assert!(writes >= 20, "{writes}");
        let tracker = checking.finish().unwrap().unwrap();
        assert_eq!(tracker.finish(&[10]).lost, 10);
    }
}
