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
use crate::sink::{CONNECTIONS_MAX, Listen, Mode, RECEIVE_BUFFER_BYTES, Sink, SinkOrder, TICK, Work};
use crate::tag::RunTag;
use crate::target::{Target, Transport};
use crate::verify::{Latency, LiveReader, Progress, Published, Tracker, VerifyError, examine_paths};

/// Files found by a pattern, at most.
pub const FILES_MAX: usize = 10_000;

/// How often it is looked whether something still comes.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Longest wait for what arrived to come to rest.
pub const SETTLE_MAX: Duration = Duration::from_secs(120);

/// Longest silence of a collector that streams what it stores: it says something twenty times a second.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Nothing more is expected when all was found and nothing came for so long.
const QUIET_WHEN_WHOLE: Duration = Duration::from_millis(200);

/// Longest wait for what was found to be synced as well.
const SYNC_WAIT_MAX: Duration = Duration::from_secs(5);

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
    Live { published: Arc<Published>, stop: Arc<AtomicBool>, reader: JoinHandle<Result<Looked, String>> },
}

/// What a live check came to, unless it failed on our side: its books, and why they are not whole if the collector ended them.
struct Looked {
    tracker: Box<Tracker>,
    broken: Option<String>,
}

/// Files that are looked at when nothing is written to them any more.
enum Files {
    Directory(PathBuf),
    Pattern(String),
}

impl Check {
    /// Begins to look for the messages of run `run`, of so many flows and messages at most, before the first is sent to `target`,
    /// whose address is `address`.
    ///
    /// # Errors
    /// Why it cannot, in words.
    pub fn begin(
        &self,
        target: &Target,
        address: Option<SocketAddr>,
        run: u32,
        flows: u32,
        messages_max: u64,
    ) -> Result<Checking, String> {
        let tag = RunTag::new(run);
        let tracker = || Box::new(Tracker::new(tag, flows, messages_max));
        let way = match self {
            Self::None => Way::None,
            Self::Directory(directory) => begin_files(self, directory, Files::Directory(directory.clone()))?,
            Self::Files(pattern) => begin_files(self, &fixed_part(pattern), Files::Pattern(pattern.clone()))?,
            Self::Sink => begin_sink(target, address, tag, flows, tracker())?,
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

/// Files of `directory` or below: it must be there, though they need not be yet.
fn begin_files(check: &Check, directory: &Path, files: Files) -> Result<Way, String> {
    let refused = |error| format!("--check {check}: cannot read {}: {error}", directory.display());
    std::fs::read_dir(directory).map(|_| Way::Files(files)).map_err(refused)
}

/// The directory that a pattern begins with: its components before the first that stands for several, and before the last.
fn fixed_part(pattern: &str) -> PathBuf {
    let special = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    match pattern[..special].rfind('/') {
        None => ".".into(),
        Some(0) => "/".into(),
        Some(end) => pattern[..end].into(),
    }
}

fn begin_sink(
    target: &Target,
    address: Option<SocketAddr>,
    tag: RunTag,
    flows: u32,
    tracker: Box<Tracker>,
) -> Result<Way, String> {
    let refused = |error| format!("--check sink: cannot receive at {target}: {error}");
    let listen = match (target.transport, address) {
        (Transport::Udp, Some(address)) => Listen::Udp(address),
        (Transport::Tcp, _) if flows as usize > CONNECTIONS_MAX => {
            return Err(format!("--check sink takes at most {CONNECTIONS_MAX} connections, but --flows is {flows}"));
        }
        (Transport::Tcp, Some(address)) => Listen::Tcp(address),
        _ => return Err(format!("--check sink receives by udp and tcp, not at {target}")),
    };
    let (published, stop) = (Arc::new(Published::default()), Arc::new(AtomicBool::new(false)));
    let work = Work::Verify(tracker, Arc::clone(&published));
    let order =
        SinkOrder { listen, work, tick: TICK, mode: Mode::Recvmmsg, receive_buffer_bytes: RECEIVE_BUFFER_BYTES };
    let sink = Sink::bind(order).map_err(refused)?;
    let stopped = Arc::clone(&stop);
    let receive = move || {
        let taken = sink.run(&stopped).map_err(|error| format!("the sink: {error}"))?;
        if taken.connections_refused > 0 {
            return Err(format!(
                "the sink turned {} connections away: it takes {CONNECTIONS_MAX}, if the process may have as many files and \
                 threads",
                taken.connections_refused
            ));
        }
        Ok(Looked { tracker: taken.tracker.unwrap_or_else(|| Box::new(Tracker::new(tag, 0, 0))), broken: None })
    };
    let reader = spawn("sink", receive)?;
    Ok(Way::Live { published, stop, reader })
}

fn begin_admin(admin: &str, run: u32, mut tracker: Box<Tracker>) -> Result<Way, String> {
    let refused = |why: String| format!("--check admin:{admin}: {why}");
    let stream = collector::stream(admin, run).map_err(refused)?;
    let (published, stop) = (Arc::new(Published::default()), Arc::new(AtomicBool::new(false)));
    let (shown, stopped) = (Arc::clone(&published), Arc::clone(&stop));
    let mut reader = LiveReader::new(BufReader::with_capacity(1 << 20, stream));
    let (ready, is_ready) = std::sync::mpsc::channel();
    let read = move || {
        // The first record says that the collector looks: what is sent before might be missed.
        let first = reader.read_record(&mut tracker);
        let _ = ready.send(match &first {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the stream ended at once".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        let ended = reader.read(&mut tracker, &shown, &stopped);
        let broken = (!stopped.load(Ordering::Relaxed)).then(|| match ended {
            Ok(()) => "the collector ended the stream".to_owned(),
            Err(error) => error.to_string(),
        });
        let since = Instant::now();
        while broken.is_none() && reader.unsynced() > 0 && since.elapsed() < SYNC_WAIT_MAX {
            if !matches!(reader.read_record(&mut tracker), Ok(Some(_))) {
                break;
            }
        }
        Ok(Looked { tracker, broken })
    };
    let reader = spawn("check", read)?;
    let silent = |_| Err(format!("the collector said nothing for {SILENCE_MAX:?}"));
    is_ready.recv_timeout(SILENCE_MAX).unwrap_or_else(silent).map_err(refused)?;
    Ok(Way::Live { published, stop, reader })
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, String> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(|error| format!("a thread: {error}"))
}

impl Checking {
    /// Says when the schedule begins, ns since the Unix epoch.
    pub fn begin_at(&mut self, start_ns: u64) {
        self.start_ns = start_ns;
        if let Way::Live { published, .. } = &self.way {
            published.begin_at(start_ns);
        }
    }

    /// What was found so far; `None` when that is known only afterwards.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        match &self.way {
            Way::Live { published, .. } => Some(published.progress()),
            Way::None | Way::Files(_) => None,
        }
    }

    /// Latency so far, where it is known.
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        match &self.way {
            Way::Live { published, .. } => published.latency(),
            Way::None | Way::Files(_) => None,
        }
    }

    /// Waits until `sent` messages are found and nothing more comes, or nothing has come for `quiet`; `wait` is called
    /// meanwhile, and ends it with false.
    pub fn settle(&self, sent: u64, quiet: Duration, mut wait: impl FnMut(Duration) -> bool) {
        let (begun, mut since, mut seen) = (Instant::now(), Instant::now(), None);
        loop {
            let (now, is_all) = match &self.way {
                Way::None => return,
                Way::Live { reader, .. } if reader.is_finished() => return,
                Way::Live { published, .. } => {
                    let Progress { examined, stored, corrupted, .. } = published.progress();
                    (examined, stored + corrupted >= sent)
                }
                Way::Files(files) => (files.bytes(), false),
            };
            if seen != Some(now) {
                (seen, since) = (Some(now), Instant::now());
            }
            // A copy may come behind the last message.
            let quiet = if is_all { quiet.min(QUIET_WHEN_WHOLE) } else { quiet };
            if since.elapsed() >= quiet || begun.elapsed() >= SETTLE_MAX || !wait(LOOK_INTERVAL) {
                return;
            }
        }
    }

    /// The books at the end; `None` when there is no check. `is_gone` says whether the collector went away and did not come
    /// back, which explains that it did not tell everything.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn finish(self, is_gone: bool) -> Result<Option<Box<Tracker>>, String> {
        match self.way {
            Way::None => Ok(None),
            Way::Live { stop, reader, .. } => {
                stop.store(true, Ordering::Relaxed);
                // Reading ends when the collector next says something; one that hangs says nothing.
                let since = Instant::now();
                while !reader.is_finished() && since.elapsed() < SILENCE_MAX + SYNC_WAIT_MAX {
                    std::thread::sleep(LOOK_INTERVAL / 10);
                }
                if !reader.is_finished() {
                    return Err("the collector says nothing any more".into());
                }
                let looked = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                let Looked { tracker, broken } = looked?;
                match broken.filter(|_| !is_gone) {
                    Some(why) => Err(why),
                    None => Ok(Some(tracker)),
                }
            }
            Way::Files(files) => {
                let mut tracker = Box::new(Tracker::new(self.run, self.flows, self.messages_max));
                tracker.begin_at(self.start_ns);
                let paths = files.paths()?;
                let is_absent = match examine_paths(&paths, &mut tracker) {
                    Ok(()) => paths.is_empty(),
                    // A collector that has stored nothing has lost all, which is an answer.
                    Err(VerifyError::NoSegments(_)) => true,
                    Err(error) => return Err(error.to_string()),
                };
                if is_absent {
                    tracker.note_absent(files.absent());
                }
                Ok(Some(tracker))
            }
        }
    }
}

impl Files {
    fn paths(&self) -> Result<Vec<PathBuf>, String> {
        let pattern = match self {
            Self::Directory(directory) => return Ok(vec![directory.clone()]),
            Self::Pattern(pattern) => pattern,
        };
        let found = glob::glob(pattern).map_err(|error| format!("{pattern}: {error}"))?;
        let mut paths = found.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        paths.retain(|path| path.is_file());
        match paths.len() {
            0..=FILES_MAX => Ok(paths),
            count => Err(format!("{pattern} finds {count} files, but at most {FILES_MAX} are looked at")),
        }
    }

    /// That there are none.
    fn absent(&self) -> String {
        match self {
            Self::Directory(directory) => {
                format!("there is no segment in {}: is it the right directory?", directory.display())
            }
            Self::Pattern(pattern) => format!("no file is called {pattern}: is it the right pattern?"),
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
            Self::Pattern(_) => self.paths().unwrap_or_default().iter().map(|path| bytes_of(path)).sum(),
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
            Some(("files", pattern)) if !pattern.is_empty() => match glob::Pattern::new(pattern) {
                Ok(_) => Ok(Self::Files(pattern.into())),
                Err(error) => Err(format!("`{pattern}` is no pattern of files: {error}")),
            },
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
    use std::io::{BufRead, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn checks_come_back_and_others_are_told() {
        for text in ["none", "sink", "dir:/var/lib/logboom", "files:/var/log/*.log", "admin:http://[::1]:9514"] {
            assert_eq!(text.parse::<Check>().unwrap().to_string(), text);
        }
        assert!("files:a/***".parse::<Check>().unwrap_err().contains("no pattern of files"));
        for text in ["", "dir:", "file:x", "admin"] {
            assert!(text.parse::<Check>().unwrap_err().contains("write dir:DIR"), "{text}");
        }
    }

    /// A check by a collector that ends its stream after the first record.
    fn broken_stream() -> Checking {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = Check::Admin(listener.local_addr().unwrap().to_string());
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let request = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let _ = request.take_while(|line| !line.is_empty()).count();
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ns 0 0\n").unwrap();
        });
        let checking = admin.begin(&"udp://127.0.0.1:1".parse().unwrap(), None, 1, 1, 10).unwrap();
        // Over when the stream is.
        checking.settle(10, SETTLE_MAX, |_| true);
        checking
    }

    #[test]
    fn a_stream_that_breaks_is_a_loss_only_if_the_collector_is_gone() {
        let broken = broken_stream().finish(false).err();
        assert_eq!(broken.as_deref(), Some("the collector ended the stream"));
        let tracker = broken_stream().finish(true).unwrap().unwrap();
        assert_eq!(tracker.finish(&[10]).lost, 10);
    }

    #[test]
    fn a_sink_that_failed_is_no_collector_that_went_away() {
        let reader = std::thread::spawn(|| Err("the sink: no memory".to_owned()));
        let way = Way::Live { published: Arc::default(), stop: Arc::default(), reader };
        let checking = Checking { run: RunTag::new(1), flows: 1, messages_max: 10, start_ns: 0, way };
        assert_eq!(checking.finish(true).err().as_deref(), Some("the sink: no memory"));
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_told_before_anything_is_sent() {
        let target = "udp://127.0.0.1:1".parse().unwrap();
        for check in ["dir:/nonexistent", "files:/nonexistent/*.log", "files:/nonexistent/a.log"] {
            let refused = check.parse::<Check>().unwrap().begin(&target, None, 1, 1, 1).err().unwrap();
            assert!(refused.contains(&format!("--check {check}: cannot read /nonexistent: No such")), "{refused}");
        }
        let parts = ["/var/log/*/a?.log", "/var/log/a.log", "*.log", "/*"].map(fixed_part);
        assert_eq!(parts, ["/var/log", "/var/log", ".", "/"].map(PathBuf::from));
    }

    #[test]
    fn where_no_file_is_that_is_told_beside_the_loss() {
        let directory = tempfile::tempdir().unwrap();
        let (path, target) = (directory.path().display(), "udp://127.0.0.1:1".parse().unwrap());
        for (check, told) in [
            (format!("dir:{path}"), format!("there is no segment in {path}: ")),
            (format!("files:{path}/*.log"), format!("no file is called {path}/*.log: ")),
        ] {
            let checking = check.parse::<Check>().unwrap().begin(&target, None, 1, 1, 10).unwrap();
            let found = checking.finish(false).unwrap().unwrap().finish(&[10]);
            assert_eq!(found.lost, 10);
            assert!(found.absent.as_ref().unwrap().starts_with(&told), "{found:?}");
        }
    }

    #[test]
    fn more_connections_than_a_sink_takes_are_refused_before_the_first() {
        let target = "tcp://127.0.0.1:1".parse().unwrap();
        let begun = Check::Sink.begin(&target, None, 1, 1_025, 10_000);
        assert_eq!(begun.err().unwrap(), "--check sink takes at most 1024 connections, but --flows is 1025");
    }

    #[test]
    fn files_are_waited_for_until_nothing_is_written_to_them_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let pattern = format!("files:{}/*.log", directory.path().display());
        let target = "udp://127.0.0.1:1".parse().unwrap();
        let checking = pattern.parse::<Check>().unwrap().begin(&target, None, 1, 1, 10).unwrap();
        let mut writes = 0;
        checking.settle(10, Duration::from_millis(1), |_| {
            writes += 1;
            let grows = writes < 20;
            std::fs::write(&path, vec![b'\n'; if grows { writes } else { 20 }]).unwrap();
            true
        });
        assert!(writes >= 20, "{writes}");
        let tracker = checking.finish(false).unwrap().unwrap();
        assert_eq!(tracker.finish(&[10]).lost, 10);
    }
}
