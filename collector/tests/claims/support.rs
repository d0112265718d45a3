//! A collector as a process of its own, on free ports in a directory of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use logboom_segment::{BlockRef, Decoder, Direction, Flags, Merge, Rows, Segment, list_segments, read_block};
use serde_json::Value;

/// Longest wait for anything: far beyond what a busy machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn logboom() -> Command {
    Command::new(env!("CARGO_BIN_EXE_logboom"))
}

/// A running collector; killed when dropped.
pub(crate) struct Collector {
    pub(crate) child: Child,
    pub(crate) directory: tempfile::TempDir,
    lines: Receiver<String>,
    /// Every line logged so far that was waited for.
    pub(crate) log: Vec<String>,
    /// Those of them that were not it: threads log in no set order.
    passed: Vec<String>,
    /// The line that says where it listens.
    pub(crate) listening: String,
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Collector {
    /// Starts one with UDP, TCP and admin on free ports of the loopback interface, and waits until it listens.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_with(&[], settings)
    }

    /// The same, with further arguments.
    pub(crate) fn start_with(arguments: &[&str], settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        Self::run(directory, &data, arguments, settings)
    }

    /// The same, in the directory of another that has ended.
    pub(crate) fn start_in(other: &Path, settings: &[&str]) -> Self {
        Self::run(tempfile::tempdir().unwrap(), &other.join("data"), &[], settings)
    }

    /// The same, with its data where told.
    pub(crate) fn start_at(data: &Path, arguments: &[&str], settings: &[&str]) -> Self {
        Self::run(tempfile::tempdir().unwrap(), data, arguments, settings)
    }

    fn run(directory: tempfile::TempDir, data: &Path, arguments: &[&str], settings: &[&str]) -> Self {
        let mut command = logboom();
        command.args([
            "run",
            "--listen",
            "udp://127.0.0.1:0",
            "--listen",
            "tcp://127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        // A few threads, whatever the machine; a buffer that every test machine grants or that the tests need smaller.
        command.args(["--set", "receive.threads=2", "--set", "store.writers=1", "--set", "queue.memory=64MiB"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.arg("--data-dir").arg(data).args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut collector = Self {
            child,
            directory,
            lines,
            log: Vec::new(),
            passed: Vec::new(),
            listening: String::new(),
            udp: nowhere,
            tcp: nowhere,
            admin: nowhere,
        };
        let line = collector.wait_for_line("listening on ");
        collector.listening = line;
        let address = |scheme: &str| {
            let url = collector.urls(scheme).into_iter().next()?;
            url.split_once("://")?.1.parse().ok()
        };
        let [udp, tcp, admin] = ["udp", "tcp", "http"].map(|scheme| address(scheme).unwrap_or(nowhere));
        (collector.udp, collector.tcp, collector.admin) = (udp, tcp, admin);
        collector
    }

    /// Where it listens, of one kind.
    pub(crate) fn urls(&self, scheme: &str) -> Vec<String> {
        let words = self.listening.split([' ', ',']);
        words.filter(|word| word.starts_with(&format!("{scheme}://"))).map(str::to_owned).collect()
    }

    /// The first address of one kind.
    pub(crate) fn address(&self, scheme: &str) -> SocketAddr {
        self.urls(scheme)[0].split_once("://").unwrap().1.parse().unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Waits for a line of the log that contains `text`, each line once.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        if let Some(at) = self.passed.iter().position(|line| line.contains(text)) {
            return self.passed.remove(at);
        }
        let until = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                    self.passed.push(line);
                }
                Err(RecvTimeoutError::Timeout) => panic!("no line with {text:?} in {:#?}", self.log),
                Err(RecvTimeoutError::Disconnected) => panic!("ended without {text:?}: {:#?}", self.log),
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        request(self.admin, "GET", path)
    }

    /// A whole number among the metrics, by name and labels.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let (_, metrics) = self.get("/metrics");
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    pub(crate) fn wait_for_metric(&self, name: &str, least: u64) {
        self.wait_until(&format!("{name} >= {least}"), |_| self.metric(name) >= Some(least));
    }

    pub(crate) fn ledger(&self) -> Value {
        serde_json::from_str(&self.get("/ledger").1).unwrap()
    }

    /// Waits until a number of the ledger is at least `least`, and returns the ledger.
    pub(crate) fn wait_for(&self, number: &str, least: u64) -> Value {
        self.wait_until(&format!("{number} >= {least}"), |ledger| count(ledger, number) >= least)
    }

    pub(crate) fn wait_until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + LIMIT;
        loop {
            let ledger = self.ledger();
            if holds(&ledger) {
                return ledger;
            }
            assert!(Instant::now() < until, "{what} did not come to hold: {ledger:#}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for_exit(&mut self.child)
    }

    /// SIGTERM, then the exit, which must be clean; returns the last line of the ledger.
    pub(crate) fn stop(&mut self) -> String {
        self.signal("TERM");
        let line = self.wait_for_line("ledger: ");
        let status = self.wait();
        assert!(status.success(), "{status}: {:#?}", self.log);
        assert!(line.contains("nothing missing"), "{line}");
        line
    }

    /// Every message stored, in order.
    pub(crate) fn messages(&self) -> Vec<Stored> {
        read_messages(&self.data())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(sent.success());
}

pub(crate) fn wait_for_exit(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < until, "the process does not end");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

pub(crate) fn request(admin: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

pub(crate) fn count(ledger: &Value, number: &str) -> u64 {
    ledger[number].as_u64().unwrap_or_else(|| panic!("no {number} in {ledger:#}"))
}

pub(crate) fn udp_sender() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// A message as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) payload: Vec<u8>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) listener: String,
    pub(crate) flags: Flags,
    pub(crate) original_length: u32,
}

pub(crate) fn read_messages(data: &Path) -> Vec<Stored> {
    let mut decoder = Decoder::new().unwrap();
    let (mut files, mut blocks) = (Vec::new(), Vec::new());
    for mut found in list_segments(data).unwrap() {
        let file = found.open().unwrap();
        let segment = Segment::open(&file, &mut decoder).unwrap();
        assert!(segment.damage.is_empty(), "{:?}", segment.damage);
        blocks.extend(segment.blocks.iter().map(|entry| BlockRef { segment: files.len(), entry: *entry }));
        files.push(file);
    }
    let mut bytes = Vec::new();
    let mut merge = Merge::new(blocks, Direction::Forward, |block: &BlockRef, rows: &mut Rows| {
        read_block(&files[block.segment], &block.entry, &mut bytes).unwrap();
        Some(decoder.decode(&bytes, rows).unwrap())
    });
    let mut messages = Vec::new();
    while let Some((message, listener)) = merge.next_message() {
        messages.push(Stored {
            payload: message.payload.to_vec(),
            address: message.source.address,
            port: message.source.port,
            listener: listener.to_owned(),
            flags: message.flags,
            original_length: message.original_length,
        });
    }
    messages
}
