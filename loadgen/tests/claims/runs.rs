use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{loadgen, read_report, text};

/// A port of the loopback interface that was free a moment ago.
fn free_port(transport: &str) -> u16 {
    let address = if transport == "udp" {
        UdpSocket::bind("127.0.0.1:0").unwrap().local_addr()
    } else {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr()
    };
    address.unwrap().port()
}

fn count(report: &Value, field: &str) -> u64 {
    report[field].as_u64().unwrap_or_else(|| panic!("{field}: {report}"))
}

fn place(report: &Value, name: &str) -> u64 {
    let places = report["ledger"]["places"].as_array().unwrap();
    places.iter().find(|place| place["place"] == name).unwrap()["messages"].as_u64().unwrap()
}

#[test]
fn a_receiver_of_our_own_finds_everything_and_its_latency() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    for transport in ["udp", "tcp"] {
        let target = format!("{transport}://127.0.0.1:{}", free_port(transport));
        let arguments = ["--rate", "2k", "--count", "1500", "--flows", "3", "--check", "sink", "--ui", "quiet"];
        let output = loadgen(&[&["run", &target], &arguments[..], &["-o", run.to_str().unwrap()]].concat());
        assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
        let report = read_report(&run);
        let found = ["offered", "sent", "stored", "lost", "duplicates", "corrupted"].map(|field| count(&report, field));
        assert_eq!(found, [1500, 1500, 1500, 0, 0, 0]);
        assert_eq!((place(&report, "stored"), count(&report["latency"], "samples")), (1500, 1500));
        assert_eq!(report["offered_by_second"], report["stored_by_second"]);
        let places = report["ledger"]["places"].as_array().unwrap();
        assert_eq!(places.iter().map(|place| place["messages"].as_u64().unwrap()).sum::<u64>(), 1500);
        assert!(report["command"].as_array().unwrap().iter().any(|word| word == "--check"));
    }
}

/// The names in the first column of the tables of a section, of which `heading` begins the title.
fn documented(heading: &str) -> BTreeSet<&'static str> {
    let manual = include_str!("../../../docs/loadgen.md");
    let (_, rest) = manual.split_once(&format!("\n## {heading}")).unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |")).map(|(cell, _)| cell);
    let names = cells.flat_map(|cell| cell.split('`').step_by(2));
    names
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .collect()
}

#[test]
fn every_field_of_a_report_is_documented_and_every_documented_one_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let target = format!("udp://127.0.0.1:{}", free_port("udp"));
    let arguments = ["--rate", "1k", "--count", "100", "--check", "sink", "--ui", "quiet", "-o", run.to_str().unwrap()];
    loadgen(&[&["run", &target], &arguments[..]].concat());
    let report = read_report(&run);
    let fields: BTreeSet<_> =
        report.as_object().unwrap().keys().map(String::as_str).filter(|field| *field != "schema").collect();
    let told: BTreeSet<_> = documented("`run.json`").union(&documented("`verify`")).copied().collect();
    assert_eq!(fields, told);
}

#[test]
fn segments_of_the_kernel_are_cut_apart_again() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let target = format!("udp://127.0.0.1:{}", free_port("udp"));
    let arguments = ["--rate", "max", "--count", "2000", "--gso", "16", "--check", "sink", "--ui", "quiet"];
    let output = loadgen(&[&["run", &target], &arguments[..], &["-o", run.to_str().unwrap()]].concat());
    assert!(matches!(output.status.code(), Some(0 | 4 | 99)), "{output:?}");
    let report = read_report(&run);
    // At full speed the receiver may lose; what it has is whole.
    assert_eq!(count(&report, "stored") + count(&report, "lost"), 2000);
    assert!(count(&report, "stored") > 0);
    assert_eq!((count(&report, "corrupted"), &report["plan"]["gso"]), (0, &16.into()));
}

#[test]
fn a_run_that_is_interrupted_says_so_and_its_books_still_close() {
    for rate in ["5k", "max"] {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run.json");
        let target = format!("udp://127.0.0.1:{}", free_port("udp"));
        let mut sender = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(["run", &target, "--rate", rate, "--duration", "60s", "--flows", "3", "--threads", "3"])
            .args(["--check", "sink", "--ui", "json", "-o", run.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(sender.stdout.take().unwrap()).lines().map_while(Result::ok);
        let frame = lines.find(|line| serde_json::from_str::<Value>(line).unwrap()["sent"] != 0).unwrap();
        assert!(frame.starts_with('{'), "{frame}");
        Command::new("kill").args(["-INT", &sender.id().to_string()]).status().unwrap();
        assert!(lines.count() >= 1, "a last frame");
        assert_eq!(sender.wait().unwrap().code(), Some(4));
        let report = read_report(&run);
        assert_eq!((&report["verdict"], &report["reason"]), (&"invalid".into(), &"interrupted".into()));
        let assigned: u64 =
            report["offered_by_flow"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
        let offered = count(&report, "offered");
        assert_eq!(offered, if rate == "max" { assigned } else { 300_000 });
        let places = report["ledger"]["places"].as_array().unwrap();
        assert_eq!(places.iter().map(|place| place["messages"].as_u64().unwrap()).sum::<u64>(), offered);
        assert_eq!(place(&report, "unsent"), offered - assigned);
    }
}

#[test]
fn thresholds_decide_and_stand_in_the_report() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let target = format!("udp://127.0.0.1:{}", free_port("udp"));
    let arguments = ["run", &target, "--rate", "1k", "--count", "300", "--check", "sink", "--ui", "quiet", "-o"];
    let demand = |thresholds: &[&str]| {
        let thresholds: Vec<_> = thresholds.iter().flat_map(|threshold| ["--threshold", threshold]).collect();
        let output = loadgen(&[&arguments[..], &[run.to_str().unwrap()], &thresholds].concat());
        (output.status.code(), text(&output.stdout), read_report(&run))
    };
    let (code, _, report) = demand(&["loss_ratio<=0.1%", "latency.max<1000s"]);
    // Late on a busy machine, but never judged wrongly.
    if code == Some(0) {
        assert!(report["thresholds"].as_array().unwrap().iter().all(|demand| demand["passed"] == true), "{report}");
    }
    let (code, said, report) = demand(&["stored>=301", "latency_synced.p99<1s"]);
    if code != Some(4) {
        assert_eq!((code, &report["verdict"]), (Some(99), &"fail".into()));
        assert!(said.contains("breached stored>=301") && said.contains("breached latency_synced.p99<1s"), "{said}");
        assert!(report["reason"].as_str().unwrap().contains("stored>=301: it is 300"), "{report}");
    }
}

#[test]
fn a_check_of_files_that_are_not_there_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (target, check) =
        (format!("udp://{}", receiver.local_addr().unwrap()), format!("files:{}/*.log", directory.path().display()));
    let arguments =
        ["--rate", "1k", "--count", "100", "--check", &check, "--drain", "0s", "-q", "-o", run.to_str().unwrap()];
    let output = loadgen(&[&["run", &target], &arguments[..]].concat());
    let report = read_report(&run);
    let told = "no file is called ";
    assert!(report["ledger"]["sentence"].as_str().unwrap().contains(told), "{report:#}");
    if output.status.code() != Some(4) {
        assert!(output.status.code() == Some(99) && report["reason"].as_str().unwrap().contains(told), "{report:#}");
    }
}

#[test]
fn a_run_that_became_worse_than_its_baseline_fails() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old.json"), directory.path().join("new.json"));
    let target = format!("udp://127.0.0.1:{}", free_port("udp"));
    let arguments = ["run", &target, "--rate", "1k", "--count", "300", "--check", "sink", "--ui", "quiet", "-o"];
    let output = loadgen(&[&arguments[..], &[old.to_str().unwrap()]].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    // An old run that took no processor time at all.
    let mut report = read_report(&old);
    (report["verdict"], report["sender_cpu_ns_per_message"]) = ("pass".into(), 0.001.into());
    std::fs::write(&old, report.to_string()).unwrap();
    let baseline = ["--baseline", old.to_str().unwrap(), "--max-regress", "1000000%"];
    let output = loadgen(&[&arguments[..], &[new.to_str().unwrap()], &baseline].concat());
    if output.status.code() != Some(4) {
        assert_eq!(output.status.code(), Some(99), "{output:?}");
        assert!(text(&output.stdout).contains("worse    sender_cpu_ns_per_message"), "{output:?}");
    }
    // Another plan is refused before it is sent.
    let unsent = directory.path().join("unsent.json");
    let output = loadgen(&[&arguments[..], &[unsent.to_str().unwrap()], &baseline, &["--flows", "2"]].concat());
    let told = text(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("flows is 2 and was 1") && !unsent.exists(), "{told}");
}

#[test]
fn targets_are_compared_in_turn() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("compare.json");
    let (udp, tcp) = (format!("udp://127.0.0.1:{}", free_port("udp")), format!("tcp://127.0.0.1:{}", free_port("tcp")));
    let arguments = ["compare", &udp, &tcp, "--rate", "1k", "--count", "200", "--repetitions", "2", "--check", "sink"];
    let output = loadgen(&[&arguments[..], &["--overflow", "drop", "-o", out.to_str().unwrap()]].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let comparison = read_report(&out);
    assert_eq!(comparison["schema"], "loadgen.compare/1");
    let runs = comparison["runs"].as_array().unwrap();
    let turns: Vec<_> = runs.iter().map(|turn| turn["target"].as_u64().unwrap()).collect();
    assert_eq!(turns, [0, 1, 1, 0]);
    assert!(runs.iter().all(|turn| count(&turn["run"], "stored") == 200), "{comparison}");
    let said = text(&output.stdout);
    let lost = said.lines().find(|line| line.starts_with("lost ")).unwrap();
    assert_eq!(lost.split_whitespace().collect::<Vec<_>>(), ["lost", "0", "0"], "{said}");
    let demanding =
        loadgen(&[&arguments[..7], &["--repetitions", "1", "--check", "sink", "--threshold", "stored>=201"]].concat());
    assert!(matches!(demanding.status.code(), Some(99 | 4)), "{demanding:?}");
    assert!(said.contains(&format!("{udp}: lost nothing")) && said.contains(&format!("{tcp}: lost nothing")), "{said}");
}

/// A collector that tells its books once, before the run, and its address.
fn told_once() -> (std::thread::JoinHandle<()>, String) {
    const LEDGER: &str = r#"{"received": 0, "stored": 0, "in_flight": 0, "shed": 0, "refused": 0, "malformed": 0,
        "write_failed": 0, "socket_buffer": 0, "exact": true}"#;
    const STATUS: &str = r#"{"run_id": "1", "pid": 1, "sockets": [], "unsynced_seconds": 0.0}"#;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answers = std::thread::spawn(move || {
        for body in [LEDGER, STATUS] {
            let mut stream = listener.accept().unwrap().0;
            let request = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let _ = request.take_while(|line| !line.is_empty()).count();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).unwrap();
        }
    });
    (answers, address)
}

#[test]
fn books_that_are_not_told_to_the_end_are_no_pass() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = format!("udp://{}", socket.local_addr().unwrap());
    let (answers, admin) = told_once();
    let arguments = ["--rate", "1k", "--count", "50", "--drain", "200ms", "-q", "--admin", &admin];
    let output = loadgen(&[&["run", &target], &arguments[..], &["-o", run.to_str().unwrap()]].concat());
    answers.join().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("NOT CHECKED"), "{output:?}");
    let report = read_report(&run);
    assert_eq!(
        (&report["verdict"], &report["received"], count(&report, "counted_lost")),
        (&"invalid".into(), &().into(), 0)
    );
    assert!(report["check_failed"].as_str().unwrap().contains(&format!("http://{admin}/ledger: ")), "{report}");
    let output = loadgen(&["report", run.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(text(&output.stdout).contains("**INVALID**"), "{output:?}");
}

#[test]
fn a_comparison_that_breaks_off_tells_what_it_has() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = format!("udp://{}", receiver.local_addr().unwrap());
    let tcp = format!("tcp://{}", listener.local_addr().unwrap());
    let output = std::thread::scope(|scope| {
        // The second connection, behind the first run that counts, is refused.
        scope.spawn(move || {
            let mut warm_up = listener.accept().unwrap().0;
            drop(listener);
            warm_up.read_to_end(&mut Vec::new()).unwrap();
        });
        loadgen(&["compare", &udp, &tcp, "--rate", "100", "--count", "10", "--drain", "10ms"])
    });
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.code() == Some(3) && told.contains(&format!("{tcp}: ")), "{output:?}");
    assert!(said.lines().any(|line| line.starts_with("sent ") && line.contains("10")), "{said}");
}

#[test]
fn a_second_signal_ends_what_still_waits_for_the_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let mut sender = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["run", &target, "--rate", "max", "--duration", "60s", "-q", "-o", run.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _nobody_reads = listener.accept().unwrap();
    // Again and again: a signal that is not yet delivered is not counted twice (signal(7)).
    let status = loop {
        Command::new("kill").args(["-INT", &sender.id().to_string()]).status().unwrap();
        if let Some(status) = sender.try_wait().unwrap() {
            break status;
        }
    };
    assert_eq!(status.code(), Some(130));
    assert!(!run.exists());
}

#[test]
fn a_sending_thread_keeps_to_its_processor() {
    let allowed = |status: &str| {
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        list.trim().to_owned()
    };
    let all = allowed(&std::fs::read_to_string("/proc/self/status").unwrap());
    let Some((_, cpu)) = all.rsplit_once(['-', ',']) else { return }; // The only one is kept to anyway.
    let target = format!("udp://127.0.0.1:{}", free_port("udp"));
    let mut sender = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["run", &target, "--rate", "100", "--duration", "60s", "--cpu", cpu, "--check", "sink", "-q"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let tasks = format!("/proc/{}/task", sender.id());
    let is_kept = || {
        let threads = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
        let statuses = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
        statuses.filter(|status| allowed(status) == cpu).count() == 1
    };
    while !is_kept() {
        assert_eq!(sender.try_wait().unwrap(), None, "it ended, and no thread kept to {cpu}");
        std::thread::yield_now();
    }
    sender.kill().unwrap();
    sender.wait().unwrap();
}

#[test]
fn a_comparison_that_is_interrupted_before_its_first_run_is_no_success() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = format!("udp://{}", receiver.local_addr().unwrap());
    let comparison = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["compare", &target, &target, "--rate", "100", "--duration", "60s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    receiver.recv_from(&mut [0; 1000]).unwrap();
    Command::new("kill").args(["-INT", &comparison.id().to_string()]).status().unwrap();
    let output = comparison.wait_with_output().unwrap();
    assert!(output.status.code() == Some(1) && !text(&output.stderr).contains("run 1 of"), "{output:?}");
}

#[test]
fn an_output_that_nobody_reads_any_more_ends_no_command() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = &format!("udp://{}", receiver.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("lines");
    std::fs::write(&source, "Nov 23 10:00:00 host app: text\n").unwrap();
    let few = ["--drain", "10ms"];
    for arguments in [
        &["sweep", target, "--rates", "100,200", "--duration", "50ms"][..],
        &["compare", target, target, "--rate", "100", "--count", "5", "--repetitions", "1"],
        &["search", target, "--max-rate", "100", "--trial", "50ms", "--goal", "lossless"],
        &["replay", source.to_str().unwrap(), target],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(arguments)
            .args(few)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(command.stderr.take());
        // Late on a busy machine, but not aborted.
        assert!(matches!(command.wait().unwrap().code(), Some(0 | 4)), "{arguments:?}");
    }
}

#[test]
fn a_stream_that_is_not_read_makes_the_sender_drop_and_the_books_agree() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    // For as long as nothing is read; the drops end it, not the time.
    let mut sender = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["run", &target, "--size", "1000", "--rate", "20k", "--duration", "60s", "--overflow", "drop"])
        .args(["--ui", "json", "-o", run.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stream = listener.accept().unwrap().0;
    let mut lines = BufReader::new(sender.stdout.take().unwrap()).lines();
    let dropped = lines
        .by_ref()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .find(|frame| frame["places"]["sender_overflow"].as_u64().is_some_and(|dropped| dropped > 0));
    assert!(dropped.is_some(), "nothing was dropped");
    Command::new("kill").args(["-TERM", &sender.id().to_string()]).status().unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    drop(stream);
    assert!(lines.all(|line| line.is_ok()));
    assert_eq!(sender.wait().unwrap().code(), Some(4), "interrupted");
    let report = read_report(&run);
    let assigned: u64 = report["offered_by_flow"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
    let dropped = count(&report["sending"], "overflow");
    assert!(dropped > 0);
    assert_eq!(count(&report, "sent") + dropped, assigned);
    assert_eq!(bytes.len() as u64, 1001 * count(&report, "sent"));
    assert_eq!(place(&report, "sender_overflow"), dropped);
}
