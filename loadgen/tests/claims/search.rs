use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::support::{loadgen, read_report, text};

/// A receiver that looks into its socket of 64,000 B twenty times a second, and what it is called.
struct SlowSink(Child, String);

impl SlowSink {
    fn start() -> Self {
        let mut sink = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(["sink", "udp://127.0.0.1:0", "--discard", "--tick", "50ms", "--buffer", "64k"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(sink.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("udp://").nth(1).unwrap().split(',').next().unwrap();
        Self(sink, format!("udp://{address}"))
    }
}

impl Drop for SlowSink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("{field}: {value}"))
}

/// Trials of `kind` that count at the load that `found` has as `bound`: how many, and how many of them lost something.
fn tried(record: &Value, kind: &str, found: &Value, bound: &str) -> (usize, usize) {
    let trials = record["trials"].as_array().unwrap().iter().filter(|trial| trial["counts"] == true);
    let at: Vec<_> = trials.filter(|trial| trial["kind"] == kind && trial["load"] == found[bound]).collect();
    (at.len(), at.iter().filter(|trial| trial["lost"] != 0).count())
}

#[test]
fn the_greatest_rate_and_the_largest_burst_of_a_real_receiver_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("search.json");
    let sink = SlowSink::start();
    let goals =
        ["--goal", "lossless", "--goal", "burst", "--max-rate", "20k", "--max-burst", "10k", "--trial", "250ms"];
    let drain = ["--drain", "100ms"];
    let output = loadgen(&[&["search", &sink.1], &goals[..], &drain, &["-o", path.to_str().unwrap()]].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let record = read_report(&path);
    assert_eq!(record["schema"], "loadgen.search/1");
    let (rate, burst) = (&record["goals"][0], &record["burst"]);
    // A socket of 64,000 B, which the kernel doubles, holds about a hundred messages of 200 B (truesize); on a busy machine the
    // receiver looks into it later.
    for (kind, found, width, range) in [("rate", rate, 0.01, 200.0..=2_200.0), ("burst", burst, 0.05, 50.0..=250.0)] {
        let (lower, upper) = (number(found, "lower"), number(found, "upper"));
        assert!((upper - lower) / upper <= width && range.contains(&lower), "{kind}: {lower} {upper}");
        let (trials, lossy) = tried(&record, kind, found, "lower");
        assert!(trials >= 2 && 2 * lossy <= trials, "{kind}: {lossy} of {trials} at {lower}");
        let (trials, lossy) = tried(&record, kind, found, "upper");
        assert!(trials >= 2 && 2 * lossy > trials, "{kind}: {lossy} of {trials} at {upper}");
    }
    let told = text(&output.stdout);
    assert!(told.contains("lose nothing in 0.25 s") && told.contains("A burst of"), "{told}");
}

#[test]
fn a_receiver_that_nobody_looks_into_rests_after_a_trial_that_lost_something() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("search.json");
    let sink = SlowSink::start();
    let goal = ["--goal", "burst", "--max-burst", "1k", "--drain", "300ms", "-q"];
    let output = loadgen(&[&["search", &sink.1], &goal[..], &["-o", path.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let record = read_report(&path);
    let started = |trial: &Value| trial["started"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let trials = record["trials"].as_array().unwrap();
    let lossy: Vec<_> = trials.windows(2).filter(|pair| pair[0]["lost"] != 0).collect();
    assert!(!lossy.is_empty(), "{trials:?}");
    for pair in lossy {
        let rest_ms = started(&pair[1]).duration_since(started(&pair[0])).as_millis();
        assert!(rest_ms >= 300, "{rest_ms} ms: {pair:?}");
    }
}

#[test]
fn a_trial_whose_connection_broke_behind_the_last_message_was_not_late_and_says_nothing() {
    // Of 200 B and an LF.
    const TRIAL_BYTES: usize = 10 * 201;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.read_exact(&mut [0; TRIAL_BYTES]).unwrap();
            // So that it is reset (socket(7), SO_LINGER).
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        });
        loadgen(&["search", &target, "--max-rate", "100", "--trial", "100ms", "--drain", "10ms"])
    });
    assert!(output.status.code() == Some(1) && text(&output.stdout).ends_with("\n0 trials\n"), "{output:?}");
}

#[test]
fn a_sweep_shows_where_loss_begins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sweep.json");
    let sink = SlowSink::start();
    let rates = ["--rates", "100,10k", "--duration", "500ms"];
    let output = loadgen(&[&["sweep", &sink.1], &rates[..], &["-o", path.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let sweep = read_report(&path);
    let lost: Vec<_> = sweep["runs"].as_array().unwrap().iter().map(|step| &step["run"]["counted_lost"]).collect();
    assert_eq!((sweep["schema"].as_str(), lost.len(), lost[0]), (Some("loadgen.sweep/1"), 2, &0.into()));
    assert!(lost[1].as_u64().unwrap() > 1_000, "{lost:?}");
}

#[test]
fn a_search_that_cannot_be_is_refused() {
    let refused = |arguments: &[&str], code, why: &str| {
        let output = loadgen(&[&["search"], arguments].concat());
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(code) && told.contains(why), "{arguments:?}: {output:?}");
    };
    refused(&["udp://192.0.2.1:514"], 2, "nobody would tell what udp://192.0.2.1:514 loses: add --check or --admin");
    refused(&["udp://127.0.0.1:9", "--min-rate", "2k", "--max-rate", "1k"], 2, "--max-rate is less than --min-rate");
    refused(&["udp://127.0.0.1:9", "--goal", "loss=200%"], 2, "is no share");
    // The discard port (RFC 863), at which nobody listens.
    for most in [&[][..], &["--max-rate", "200"], &["--goal", "burst", "--max-burst", "2"]] {
        let arguments = [&["udp://127.0.0.1:9", "--trial", "100ms", "--drain", "10ms"], most].concat();
        refused(&arguments, 3, "nothing arrives");
    }
    let sink = SlowSink::start();
    refused(&[&sink.1, "--min-rate", "900M", "--drain", "10ms"], 2, "900000000 are the least to be tried (--min-rate");
}
