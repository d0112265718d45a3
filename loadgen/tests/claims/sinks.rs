use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use loadgen::sink::{Listen, Mode, Sink, SinkOrder, Work};
use loadgen::tag::{Endings, RunTag, Tag, Writer, blank};
use loadgen::verify::{Published, Tracker, Verification};
use serde_json::{Value, json};

use super::support::{loadgen, pass_though_late, verify};

/// A `loadgen sink` that has begun to listen; killed where a test fails.
struct RunningSink {
    child: Child,
    url: String,
}

impl RunningSink {
    fn start(arguments: &[&str]) -> Self {
        Self::begin(Command::new(env!("CARGO_BIN_EXE_loadgen")), arguments)
    }

    /// One whose open files `ulimit` limits.
    fn limited(ulimit: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {ulimit}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_loadgen")]);
        Self::begin(command, arguments)
    }

    fn begin(mut command: Command, arguments: &[&str]) -> Self {
        command.arg("sink").args(arguments).arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("loadgen: listening on ").unwrap_or_else(|| panic!("{line}"));
        Self { child, url: url.split(',').next().unwrap().to_owned() }
    }

    /// Ends it, and returns what it says it did.
    fn stop(mut self) -> Value {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert!(self.child.wait().unwrap().success());
        serde_json::from_reader(self.child.stdout.take().unwrap()).unwrap()
    }
}

impl Drop for RunningSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Few enough to lie in the smallest usual receive buffer (212,992 B) all at once: whatever the receiver's pauses, the kernel
/// loses none.
const MESSAGES: u64 = 160;

/// Runs against a sink, one message at a time, and returns the report.
fn run_against(url: &str, directory: &Path, arguments: &[&str]) -> PathBuf {
    let run = directory.join("run.json");
    let count = MESSAGES.to_string();
    let plan = ["run", url, "--rate", "1k", "--count", &count, "-q", "-o", run.to_str().unwrap()];
    let output = loadgen(&[&plan, arguments].concat());
    pass_though_late(&run, &output);
    run
}

fn figures(found: &Value, names: &[&str]) -> Vec<u64> {
    names.iter().map(|name| found[name].as_u64().unwrap_or_else(|| panic!("{name} in {found:#}"))).collect()
}

#[test]
fn what_a_script_told_a_sink_to_do_is_what_verify_finds_the_first_and_the_last_message_included() {
    let directory = tempfile::tempdir().unwrap();
    let stored = directory.path().join("stored.log");
    let script = "drop:0/0,drop:0/7-9,double:0/12,swap:0/20,corrupt:0/31,corrupt:0/33,double:0/158,drop:0/159";
    let sink = RunningSink::start(&["udp://127.0.0.1:0", "--text", stored.to_str().unwrap(), "--script", script]);
    let run = run_against(&sink.url, directory.path(), &[]);
    let did = sink.stop();
    assert_eq!((&did["messages"], &did["dropped"]), (&json!(MESSAGES), &json!(0)), "{did:#}");
    let done = json!({ "dropped": 5, "doubled": 2, "swapped": 1, "corrupted": 2, "undone": [] });
    assert_eq!(did["script"], done);
    let (found, code) = verify(&run, &stored);
    assert_eq!(code, Some(99));
    let names = ["sent", "stored", "lost", "lost_at_end", "duplicates", "reordered", "corrupted", "unexpected"];
    assert_eq!(figures(&found, &names), [160, 153, 5, 1, 2, 1, 2, 0]);
    assert_eq!(found["loss_ratio"], json!(5.0 / 160.0));
    assert_eq!(found["reorder_depth"], json!({ "p50": 1, "p99": 1, "max": 1 }));
    let rows = json!([
        { "from": 1, "to": 1, "runs": 2, "messages": 2 },
        { "from": 2, "to": 3, "runs": 1, "messages": 3 },
    ]);
    assert_eq!(found["loss_runs"], json!({ "count": 3, "p50": 1, "p99": 3, "max": 3, "histogram": rows }));
    let by_second: u64 =
        found["stored_by_second"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(by_second, 153);
    assert_eq!(found["latency"], Value::Null);
}

#[test]
fn a_script_from_a_file_is_done_on_streams_in_either_framing() {
    for framing in ["lf", "octet"] {
        let directory = tempfile::tempdir().unwrap();
        let (stored, script) = (directory.path().join("stored.log"), directory.path().join("script"));
        std::fs::write(&script, "drop:0/0-4\nswap:1/3\n\ndouble:1/10-11\ncorrupt:0/20\ndrop:2/0\n").unwrap();
        let at_script = format!("@{}", script.display());
        let sink =
            RunningSink::start(&["tcp://127.0.0.1:0", "--text", stored.to_str().unwrap(), "--script", &at_script]);
        let run = run_against(&sink.url, directory.path(), &["--flows", "2", "--framing", framing]);
        let did = sink.stop();
        assert_eq!((&did["messages"], &did["connections"]), (&json!(MESSAGES), &json!(2)), "{did:#}");
        assert_eq!(did["script"]["undone"], json!(["drop:2/0"]));
        let (found, _) = verify(&run, &stored);
        let names = ["stored", "lost", "lost_at_end", "duplicates", "reordered", "corrupted"];
        assert_eq!(figures(&found, &names), [154, 5, 0, 2, 1, 1], "{framing}");
    }
}

#[test]
fn every_way_to_receive_and_to_write_loses_nothing() {
    for mode in ["recv", "recvmmsg", "gro"] {
        for work in ["--text", "--bare"] {
            let directory = tempfile::tempdir().unwrap();
            let stored = directory.path().join("stored");
            let sink = RunningSink::start(&["udp://127.0.0.1:0", work, stored.to_str().unwrap(), "--mode", mode]);
            let run = run_against(&sink.url, directory.path(), &["--flows", "3"]);
            let did = sink.stop();
            assert_eq!(figures(&did, &["messages", "dropped"]), [MESSAGES, 0], "{mode} {work}");
            assert_eq!(did["dropped_is_exact"], json!(mode != "gro"));
            assert_eq!(did["stored_bytes"], json!(std::fs::metadata(&stored).unwrap().len()));
            let (found, code) = verify(&run, &stored);
            assert_eq!((figures(&found, &["stored", "examined"]), code), (vec![MESSAGES; 2], Some(0)), "{mode} {work}");
        }
    }
}

#[test]
fn a_sink_takes_as_many_connections_as_it_may_have_files_and_closes_the_others() {
    const CONNECTIONS: u64 = 40;
    for (ulimit, is_enough) in [("-Sn 24", true), ("-n 24", false)] {
        let sink = RunningSink::limited(ulimit, &["tcp://127.0.0.1:0", "--discard"]);
        let address = sink.url.strip_prefix("tcp://").unwrap();
        let connect = || TcpStream::connect(address).unwrap();
        let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
        if !is_enough {
            let last = streams.last_mut().unwrap();
            last.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            assert_eq!(last.read(&mut [0]).unwrap_or(1), 0, "it was to be closed");
        }
        let did = sink.stop();
        let [taken, refused] = figures(&did, &["connections", "connections_refused"])[..] else { unreachable!() };
        assert_eq!((taken + refused, refused == 0), (CONNECTIONS, is_enough), "{ulimit}: {did:#}");
        assert!(taken > 0, "{did:#}");
    }
}

fn tagged(sequence: u64, send_ns: u64) -> Vec<u8> {
    let mut message = [&blank(RunTag::new(7))[..], b"text"].concat();
    let mut endings = Endings::default();
    endings.push(&message);
    Writer::new(RunTag::new(7), Tag { flow: 0, sequence, send_ns }).write(&mut message, &endings, 0);
    message
}

/// Has a verifying sink take numbers 0, 2 and 1 of which only the last is due after 1970, and returns what it found.
fn verified(listen: Listen, send: impl FnOnce(SocketAddr, &[Vec<u8>])) -> Verification {
    const DUE_NS: u64 = 3_600_000_000_000;
    let tracker = Box::new(Tracker::new(RunTag::new(7), 1, 5));
    let published = Arc::new(Published::default());
    let work = Work::Verify(tracker, Arc::clone(&published));
    let tick = Duration::from_millis(1);
    let order = SinkOrder { listen, work, tick, mode: Mode::default(), receive_buffer_bytes: 1 << 20 };
    let sink = Sink::bind(order).unwrap();
    let (Listen::Udp(address) | Listen::Tcp(address)) = sink.listen();
    let stop = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        let sink = scope.spawn(|| sink.run(&stop));
        published.begin_at(DUE_NS - 2_000_000_000);
        send(address, &[tagged(0, 0), tagged(2, 0), tagged(1, DUE_NS)]);
        let limit = Instant::now() + Duration::from_secs(30);
        while published.progress().stored < 3 && Instant::now() < limit {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        sink.join().unwrap().unwrap()
    });
    let tracker = taken.tracker.unwrap();
    assert_eq!(published.progress(), tracker.progress());
    tracker.finish(&[4])
}

#[test]
fn a_verifying_sink_shows_how_far_it_is_and_gives_back_its_books_with_receive_times() {
    let any = "127.0.0.1:0".parse().unwrap();
    let over_udp = verified(Listen::Udp(any), |address, messages| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        messages.iter().for_each(|message| assert!(socket.send_to(message, address).is_ok()));
    });
    let over_tcp = verified(Listen::Tcp(any), |address, messages| {
        let mut stream = TcpStream::connect(address).unwrap();
        messages.iter().for_each(|message| stream.write_all(&[message, &b"\n"[..]].concat()).unwrap());
    });
    for found in [over_udp, over_tcp] {
        assert_eq!((found.stored, found.lost, found.lost_at_end, found.reordered, found.examined), (3, 1, 1, 1, 3));
        assert_eq!(found.stored_by_second, [2, 0, 1]);
        // Due in 1970, received now.
        let latency = found.latency.unwrap();
        assert_eq!((latency.samples, latency.negative), (3, 0));
        assert!(latency.max > 50.0 * 365.0 * 86_400e3, "{latency:?}");
    }
}

#[test]
fn a_sink_that_cannot_be_is_told_with_its_reason() {
    let refused = |arguments: &[&str]| {
        let output = loadgen(&[&["sink"], arguments].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let in_use = format!("udp://{}", taken.local_addr().unwrap());
    for (arguments, code, told) in [
        (&["udp://127.0.0.1:0"][..], 2, "--discard|--bare <FILE>|--text <FILE>"),
        (&["udp://127.0.0.1:0", "--discard", "--text", "x"], 2, "cannot be used with"),
        (&["udp://127.0.0.1:0", "--discard", "--script", "drop:0/0"], 2, "--script takes --text <FILE>"),
        (&["127.0.0.1:0", "--discard"], 2, "write it as udp://127.0.0.1:5514"),
        (&["tls://127.0.0.1:0", "--discard"], 2, "write it as udp://127.0.0.1:5514"),
        (&["tcp://127.0.0.1:0", "--discard", "--mode", "recv"], 2, "--mode and --buffer are for udp://"),
        (&["udp://127.0.0.1:0", "--discard", "--buffer", "64MB"], 2, "write a size in bytes"),
        (&["udp://127.0.0.1:0", "--text", "x", "--script", "lose:0/1"], 2, "--script `lose:0/1`: write it as drop:"),
        (&["udp://127.0.0.1:0", "--text", "x", "--script", "@/nonexistent"], 2, "--script cannot read /nonexistent"),
        (&["udp://127.0.0.1:0", "--text", "/nonexistent/x"], 3, "cannot receive: No such file"),
        (&[&in_use, "--discard"], 3, "cannot receive: Address already in use"),
    ] {
        let (exit, stderr) = refused(arguments);
        assert!(exit == Some(code) && stderr.contains(told), "{arguments:?}: {exit:?} {stderr}");
    }
}
