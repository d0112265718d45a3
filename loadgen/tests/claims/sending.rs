use std::collections::{HashMap, HashSet};

use loadgen::tag::{Found, RunTag, find_any};

use super::support::{assert_all_came, loadgen, messages, read_report, run_over_tcp, run_over_udp, text, verify};

#[test]
fn every_flow_has_a_source_port_and_numbers_without_gaps() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let arguments =
        ["--rate", "2k", "--count", "1001", "--flows", "5", "--size", "150-300", "-o", run.to_str().unwrap()];
    let (output, received) = run_over_udp(&arguments);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let report = read_report(&run);
    assert_eq!(
        (&report["schema"], &report["sent"], &report["offered"]),
        (&"loadgen.run/1".into(), &1001.into(), &1001.into())
    );
    let tag = RunTag::new(u32::from_str_radix(report["run"].as_str().unwrap(), 16).unwrap());
    let mut next: HashMap<u32, u64> = HashMap::new();
    let mut ports = HashSet::new();
    let mut last_send_ns = 0;
    for (payload, from) in &received {
        assert!((150..=300).contains(&payload.len()));
        let Some(Found::Intact(tag)) = tag.find(payload) else { panic!("{}", text(payload)) };
        let expected = next.entry(tag.flow).or_default();
        assert_eq!(tag.sequence, *expected);
        *expected += 1;
        assert!(tag.send_ns >= last_send_ns, "the schedule goes on");
        last_send_ns = tag.send_ns;
        ports.insert(from.port());
    }
    assert_eq!((received.len(), ports.len(), next.len()), (1001, 5, 5));
    let by_flow: Vec<u64> = (0..5).map(|flow| next[&flow]).collect();
    assert_eq!(report["offered_by_flow"], serde_json::json!(by_flow));
    let bytes: usize = received.iter().map(|(payload, _)| payload.len()).sum();
    assert_eq!(report["sent_bytes"], bytes);
}

#[test]
fn threads_share_the_flows_and_the_plan_is_kept_to_the_message() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let out = run.to_str().unwrap();
    for profile in ["const", "poisson", "ramp:1000-3000", "step:1000,3000", "burst:100/50ms"] {
        let mut arguments = vec!["--profile", profile, "--count", "997", "--duration", "2s"];
        arguments.extend(["--flows", "5", "--threads", "2", "-o", out]);
        let rate = ["--rate", "2k"];
        arguments.extend(rate.iter().filter(|_| ["const", "poisson"].contains(&profile)));
        let (output, received) = run_over_udp(&arguments);
        assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
        let report = read_report(&run);
        assert_eq!(report["plan"]["profile"], profile);
        let sums = ["offered_by_flow", "offered_by_second"]
            .map(|field| report[field].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum::<u64>());
        assert_eq!((received.len(), sums), (997, [997, 997]), "{profile}");
        let tag = RunTag::new(u32::from_str_radix(report["run"].as_str().unwrap(), 16).unwrap());
        let found: HashSet<_> = received
            .iter()
            .map(|(payload, from)| {
                let Some(Found::Intact(tag)) = tag.find(payload) else { panic!("{}", text(payload)) };
                (tag.flow, tag.sequence, from.port())
            })
            .collect();
        assert_eq!(found.len(), 997);
        assert_eq!(found.iter().map(|(flow, _, port)| (flow, port)).collect::<HashSet<_>>().len(), 5);
    }
}

#[test]
fn a_burst_is_told_as_one_group_and_shown_before_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let plan = ["--profile", "burst:200/1500ms", "--count", "400", "--threads", "1", "-o", run.to_str().unwrap()];
    let (output, received) = run_over_udp(&plan);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    assert_eq!(received.len(), 400);
    let report = read_report(&run);
    assert_eq!(report["pacing"]["group"]["max"], 200, "{}", report["pacing"]);
    let series = report["series"].as_array().unwrap();
    assert!(series.iter().any(|point| point["at"].as_f64().unwrap() < 1.4 && point["sent"] == 200), "{series:?}");
}

#[test]
fn a_rate_of_old_is_played_again_and_told_of_without_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let (trace, run) = (directory.path().join("rate.csv"), directory.path().join("run.json"));
    std::fs::write(&trace, "time,rate\n1795341600,500\n1795341600.2,1500.5\n1795341600.4,0\n").unwrap();
    let profile = format!("trace:{}@0.5", trace.display());
    let (output, received) = run_over_udp(&["--profile", &profile, "-o", run.to_str().unwrap()]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let due_ns = received.iter().map(|(payload, _)| match find_any(payload) {
        Some(Found::Intact(tag)) => tag.send_ns,
        _ => panic!("{}", text(payload)),
    });
    let due_ns: Vec<_> = due_ns.collect();
    let early = due_ns.iter().filter(|ns| **ns - due_ns[0] < 200_000_000).count();
    assert_eq!((due_ns.len(), early), (200, 50), "0.2 s x 250 + 0.2 s x 750.25");
    std::fs::remove_file(&trace).unwrap();
    assert_eq!(read_report(&run)["plan"]["profile"], profile);
    let output = loadgen(&["report", run.to_str().unwrap()]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
}

#[test]
fn flows_come_from_the_addresses_and_ports_asked_for() {
    let arguments = ["--rate", "2k", "--count", "60", "--flows", "6", "--source", "127.0.7.0/30"];
    let (output, received) = run_over_udp(&arguments);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let sources: HashSet<_> = received.iter().map(|(_, from)| from.ip().to_string()).collect();
    assert_eq!(sources, ["127.0.7.1", "127.0.7.2"].map(String::from).into());
    assert_eq!(received.iter().map(|(_, from)| from).collect::<HashSet<_>>().len(), 6);
}

#[test]
fn a_port_where_nobody_listens_is_noticed_and_not_taken_for_loss() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = format!("udp://{closed}");
    let output =
        loadgen(&["run", &target, "--rate", "2k", "--count", "300", "--flows", "3", "-o", run.to_str().unwrap()]);
    let report = read_report(&run);
    assert_eq!(report["sent"], 300, "none was swallowed: {output:?}");
    assert_eq!(report["sending"]["icmp"]["port_unreachable"], 300);
}

#[test]
fn what_the_kernel_refuses_is_counted_by_its_words_and_the_run_is_invalid() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    // A broadcast address needs SO_BROADCAST (socket(7)).
    let output =
        loadgen(&["run", "udp://255.255.255.255:9", "--rate", "1k", "--count", "50", "-o", run.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let report = read_report(&run);
    let errors = report["sending"]["errors"].as_object().unwrap();
    assert_eq!(errors.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 50, "{errors:?}");
    assert!(report["reason"].as_str().unwrap().contains("the kernel of this machine refused 50"), "{report}");
}

#[test]
fn streams_carry_the_same_messages_in_either_framing() {
    for framing in ["lf", "octet"] {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run.json");
        let arguments =
            ["--rate", "20k", "--count", "2000", "--flows", "3", "--framing", framing, "-o", run.to_str().unwrap()];
        let (output, streams) = run_over_tcp(3, &arguments);
        assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
        let came: Vec<_> = streams.iter().flat_map(|stream| messages(stream, framing)).collect();
        assert_all_came(&run, &came, 2000);
    }
}

#[test]
fn a_corpus_is_sent_line_by_line_with_its_odd_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let corpus = directory.path().join("corpus.log");
    std::fs::write(&corpus, b"first\r\n\n\xFF\xFEthird\n").unwrap();
    let arguments = ["--rate", "1k", "--count", "6", "--corpus", corpus.to_str().unwrap()];
    let (output, received) = run_over_udp(&arguments);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let ends: Vec<bool> = received
        .iter()
        .zip([&b" first\r"[..], b" ", b" \xFF\xFEthird"].into_iter().cycle())
        .map(|((payload, _), end)| payload.ends_with(end))
        .collect();
    assert_eq!(ends, [true; 6]);
}

#[test]
fn messages_of_every_format_are_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (run, stored) = (path("run.json"), path("stored.log"));
    std::fs::write(path("lines"), "<{pri}>{host} {{{tag}}} {ip}\nuser={user} {tag} {text}\n").unwrap();
    let template = format!("template:{}", path("lines"));
    for format in ["rfc3164", "rfc5424", "json", "raw", &template] {
        let arguments =
            ["--rate", "2k", "--count", "300", "--format", format, "--size", "mix:200:2,1400:1", "-o", &run];
        let (output, received) = run_over_udp(&arguments);
        assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
        let lines: Vec<_> = received.iter().map(|(payload, _)| payload.as_slice()).collect();
        std::fs::write(&stored, lines.join(&b'\n')).unwrap();
        let (found, _) = verify(run.as_ref(), stored.as_ref());
        assert_eq!((&found["stored"], &found["corrupted"]), (&300.into(), &0.into()), "{format}");
        let report = read_report(run.as_ref());
        assert_eq!(report["plan"]["format"], *format);
        assert_eq!(report["sent_bytes"], lines.iter().map(|line| line.len()).sum::<usize>());
    }
}

#[test]
fn a_plan_that_cannot_be_kept_is_invalid_and_no_loss() {
    // Nobody sends a hundred million messages a second; what arrives is not looked at.
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    let arguments = ["--rate", "100M", "--count", "20000", "-o", run.to_str().unwrap()];
    let (output, _) = run_over_udp(&arguments);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(text(&output.stdout).contains("the sender could not keep up"), "{output:?}");
    assert_eq!(read_report(&run)["verdict"], "invalid");
    let stored = directory.path().join("stored.log");
    std::fs::write(&stored, "").unwrap();
    assert_eq!(verify(&run, &stored).1, Some(4), "loss of an invalid run says nothing");
}

#[test]
fn full_speed_sends_the_count() {
    let (output, received) = run_over_udp(&["--rate", "max", "--count", "100"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(received.len(), 100);
}

#[test]
fn a_collector_that_dies_makes_the_run_invalid() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    let output = std::thread::scope(|scope| {
        scope.spawn(|| drop(listener.accept().unwrap()));
        loadgen(&["run", &target, "--rate", "50k", "--count", "500k"])
    });
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(text(&output.stdout).contains("sending on flow 0:"), "{output:?}");
}
