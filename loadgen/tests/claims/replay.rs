use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use logboom_segment::{BlockHeader, Encoder, Flags, Message, PRI_NONE, RowLimits, Rows, RunId, Source};
use logboom_udp::{ReceiveRing, bind_group, stamp_arrivals};
use serde_json::json;

use super::support::{loadgen, messages, read_report, send_over_udp, text};

/// A packet: when it was captured, ns since 1970, the sender's port, the port it was sent to, and its text.
type Sent = (u64, u16, u16, Vec<u8>);

const START_NS: u64 = 1_795_341_600_000_000_007;

/// A pcap file of ns, with Ethernet, IPv4 and UDP.
fn pcap(directory: &Path, packets: &[Sent]) -> PathBuf {
    let u32s = |values: &[u32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let mut bytes = [u32s(&[0xA1B2_3C4D]), vec![2, 0, 4, 0], u32s(&[0, 0, 65_535, 1])].concat();
    for (at_ns, from_port, to_port, text) in packets {
        let udp_bytes = 8 + text.len() as u16;
        let mut packet = vec![2; 12];
        packet.extend([0x08, 0x00, 0x45, 0x00]);
        packet.extend([20 + udp_bytes, 7, 0].map(u16::to_be_bytes).concat());
        packet.extend([64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9]);
        packet.extend([*from_port, *to_port, udp_bytes, 0].map(u16::to_be_bytes).concat());
        packet.extend(text);
        let length = packet.len() as u32;
        bytes.extend(u32s(&[(at_ns / 1_000_000_000) as u32, (at_ns % 1_000_000_000) as u32, length, length]));
        bytes.extend(packet);
    }
    let path = directory.join("capture.pcap");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn message(number: usize) -> Vec<u8> {
    format!("<{}>Nov 23 10:00:00 host app: {number}\n", number % 192).into_bytes()
}

/// `count` packets of `senders` in turn, 1 ms apart.
fn packets(count: usize, senders: u16) -> Vec<Sent> {
    let packet = |number| (START_NS + number as u64 * 1_000_000, 5000 + number as u16 % senders, 514, message(number));
    (0..count).map(packet).collect()
}

fn replay(source: &Path, target: &str, arguments: &[&str]) -> Output {
    loadgen(&[&["replay", source.to_str().unwrap(), target, "-q"], arguments].concat())
}

/// Replays to a receiver with the kernel's times: when each message was due, by its tag, and when it arrived, ns since 1970.
fn replayed(source: &Path, count: usize) -> Vec<(u64, u64)> {
    let socket = bind_group("127.0.0.1:0".parse().unwrap(), 1, 4 << 20, false).unwrap().remove(0);
    stamp_arrivals([&socket]).unwrap();
    let (target, done) = (format!("udp://{}", socket.address()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let output = replay(source, &target, &["--tag"]);
            done.store(true, Ordering::Release);
            output
        });
        let (mut ring, mut arrivals) = (ReceiveRing::new(64, 2048), Vec::new());
        loop {
            let last = done.load(Ordering::Acquire);
            // Its socket does not block: what is not there is none.
            let received = ring.receive(&socket).unwrap_or(0);
            for received in (0..received).map(|slot| ring.slot(slot)) {
                let arrived_ns = received.arrived_ns.unwrap();
                let Some(tag) = received.datagrams().next().map(|(payload, _)| due_ns(payload)) else { continue };
                arrivals.push((tag, arrived_ns));
            }
            if received == 0 && last {
                break;
            }
            std::thread::yield_now();
        }
        let output = sender.join().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
        assert_eq!(arrivals.len(), count, "{output:?}");
        arrivals
    })
}

fn due_ns(message: &[u8]) -> u64 {
    let tag = text(message);
    tag[tag.find("lg1 ").unwrap() + 30..][..20].parse().unwrap()
}

/// Of the gaps, those that came as long as they were, give or take 200 us.
fn kept(arrivals: &[(u64, u64)]) -> usize {
    let gap_ns = |pair: &[(u64, u64)]| (pair[1].0 - pair[0].0, pair[1].1.saturating_sub(pair[0].1));
    arrivals.windows(2).map(gap_ns).filter(|(due_ns, came_ns)| came_ns.abs_diff(*due_ns) <= 200_000).count()
}

/// How punctual a sender is on a machine of its own, `benches/senders` measures. What a schedule, a clock or a sleep does wrong by
/// 200 us is wrong with most gaps, on any machine; what a busy one is late with is not, in some of so many tries.
#[test]
fn the_gaps_of_a_capture_are_kept_within_200_us() {
    const TRIES: usize = 20;
    const GAPS: usize = 200;
    let directory = tempfile::tempdir().unwrap();
    // From 0.1 to 5 ms: some spent spinning, some asleep.
    let mut packets = packets(GAPS + 1, 3);
    let mut at_ns = START_NS;
    for (number, packet) in packets.iter_mut().enumerate() {
        packet.0 = at_ns;
        at_ns += [100_003, 5_000_019, 130_511, 900_001, 1_700_077][number % 5];
    }
    let source = pcap(directory.path(), &packets);
    let mut best = 0;
    for _ in 0..TRIES {
        let arrivals = replayed(&source, packets.len());
        for ((due_ns, arrived_ns), (at_ns, ..)) in arrivals.iter().zip(&packets) {
            assert_eq!(due_ns - arrivals[0].0, at_ns - START_NS, "the schedule is exact");
            // So a gap is shorter than it was by the lateness of what came before it, and by no more.
            assert!(arrived_ns >= due_ns, "{} ns early", due_ns - arrived_ns);
        }
        best = best.max(kept(&arrivals));
        if best > GAPS / 2 {
            return;
        }
    }
    panic!("of {GAPS} gaps only {best} were kept within 200 us");
}

#[test]
fn messages_of_a_capture_arrive_as_they_were_and_each_sender_has_a_port() {
    let directory = tempfile::tempdir().unwrap();
    let mut packets = packets(90, 3);
    packets.insert(40, (START_NS, 5000, 515, b"to another port".into()));
    let source = pcap(directory.path(), &packets);
    let run = directory.path().join("run.json");
    let (output, received) =
        send_over_udp(|target| replay(&source, target, &["--port", "514", "-o", run.to_str().unwrap()]));
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let told = text(&output.stderr);
    assert!(told.contains("90 messages of 3 senders in 0.089 s; 1 datagrams to other ports left out"), "{told}");
    assert_eq!(
        received.iter().map(|(payload, _)| payload.clone()).collect::<Vec<_>>(),
        (0..90).map(message).collect::<Vec<_>>()
    );
    let ports: HashMap<_, HashSet<_>> =
        received.iter().enumerate().fold(HashMap::new(), |mut ports, (number, (_, from))| {
            ports.entry(number % 3).or_insert_with(HashSet::new).insert(from.port());
            ports
        });
    assert!(ports.values().all(|ports| ports.len() == 1), "{ports:?}");
    assert_eq!(ports.values().flatten().collect::<HashSet<_>>().len(), 3);
    // What became of it is known without the capture.
    std::fs::remove_file(&source).unwrap();
    let report = read_report(&run);
    assert_eq!(report["plan"]["profile"], "replay:1");
    assert_eq!(report["plan"]["format"], "recorded");
    assert_eq!(report["plan"]["seconds"], 0.089);
    assert_eq!(report["offered_by_flow"], json!([30, 30, 30]));
    assert_eq!(report["sent_bytes"], (0..90).map(|number| message(number).len()).sum::<usize>());
    let output = loadgen(&["report", run.to_str().unwrap()]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let output = loadgen(&["verify", "--run", run.to_str().unwrap(), directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("without tags") && text(&output.stderr).contains("--tag"), "{output:?}");
}

#[test]
fn with_tags_every_message_of_every_round_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let source = pcap(directory.path(), &packets(100, 7));
    let run = directory.path().join("run.json");
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (transport, speed) in [("udp", "2x"), ("tcp", "max")] {
        let target = format!("{transport}://127.0.0.1:{port}");
        let arguments = ["--tag", "--check", "sink", "--loop", "3", "--speed", speed, "--flows", "5"];
        let octet: &[&str] = if transport == "tcp" { &["--framing", "octet"] } else { &[] };
        let output = replay(&source, &target, &[&arguments[..], octet, &["-o", run.to_str().unwrap()]].concat());
        assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
        let report = read_report(&run);
        let counts = ["sent", "stored", "lost", "corrupted", "duplicates"].map(|field| report[field].as_u64().unwrap());
        assert_eq!(counts, [300, 300, 0, 0, 0], "{output:?}");
        // Of senders 0 to 6 the last two share with the first; of 100 messages two senders have one more.
        assert_eq!(report["offered_by_flow"], json!([87, 87, 42, 42, 42]));
    }
}

#[test]
fn a_stream_carries_what_was_recorded_unless_it_would_be_cut() {
    let directory = tempfile::tempdir().unwrap();
    let source = pcap(directory.path(), &packets(50, 1));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    let output = replay(&source, &target, &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("a message holds a line end or a NUL, at which"), "{output:?}");
    let came = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut bytes = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let output = replay(&source, &target, &["--framing", "octet"]);
        assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
        reader.join().unwrap()
    });
    assert_eq!(messages(&came, "octet"), (0..50).map(message).collect::<Vec<_>>());
}

#[test]
fn the_messages_of_a_data_directory_are_sent_in_the_order_in_which_they_came() {
    let directory = tempfile::tempdir().unwrap();
    let mut rows = Rows::new(RowLimits { content_bytes: 1 << 20, rows: 2000, sources: 9 });
    for number in 0..60 {
        let source = Source { address: Some("192.0.2.1".parse().unwrap()), port: 5000 + number % 2, listener: 0 };
        let payload = message(number.into());
        let (received_ns, original_length) = (START_NS + u64::from(number) * 1_000_000, payload.len() as u32);
        let flags = Flags::NONE;
        let message = Message { payload: &payload, received_ns, source, pri: PRI_NONE, flags, original_length };
        rows.append(&message).unwrap();
    }
    let header =
        BlockHeader { run_id: RunId(1), receiver: 0, sequence_first: 0, sequence_last: 0, boot_ns: 0, noted_ns: 0 };
    let mut block = Vec::new();
    Encoder::new(1).unwrap().encode(&mut rows, &header, &["udp://x".into()], &[], &mut block).unwrap();
    let segment = directory.path().join("20261122T101500Z-w0-0000000000000001-000001.log.zst.open");
    std::fs::write(&segment, block).unwrap();
    for source in [directory.path(), &segment] {
        let (output, received) = send_over_udp(|target| replay(source, target, &[]));
        assert!(text(&output.stderr).contains("60 messages of 2 senders in 0.059 s"), "{output:?}");
        let came: Vec<_> = received.into_iter().map(|(payload, _)| payload).collect();
        assert_eq!(came, (0..60).map(message).collect::<Vec<_>>());
    }
}

#[test]
fn a_capture_is_known_through_a_pipe_too() {
    let directory = tempfile::tempdir().unwrap();
    let capture = std::fs::read(pcap(directory.path(), &packets(20, 2))).unwrap();
    let (output, received) = send_over_udp(|target| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(["replay", "/dev/stdin", target, "-q"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        command.stdin.take().unwrap().write_all(&capture).unwrap();
        command.wait_with_output().unwrap()
    });
    assert!(text(&output.stderr).contains("20 messages of 2 senders"), "{output:?}");
    assert_eq!(
        received.into_iter().map(|(payload, _)| payload).collect::<Vec<_>>(),
        (0..20).map(message).collect::<Vec<_>>()
    );
}

#[test]
fn what_cannot_be_replayed_is_told_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let capture = pcap(directory.path(), &packets(2, 1));
    let capture = capture.to_str().unwrap();
    let (empty, no_times) = (path("empty", b""), path("no-times", b"some\ntext\n"));
    let lines = path("lines", b"2026-11-01T10:00:00Z a\n2026-11-23T10:00:00Z b\n");
    let target = "udp://127.0.0.1:1";
    for (arguments, told) in [
        (&[capture, target, "--check", "sink"][..], "give --tag as well"),
        (&[capture, target, "--speed", "fast"], "write how fast time goes"),
        (&[capture, target, "--port", "9"], "there is no message in"),
        (&[capture, target, "--loop", "0"], "0 is not in"),
        (&[capture, target, "--gso", "2", "--source-port", "9-8"], "is no range of ports"),
        (&[capture], "is not a target: it has no transport"),
        (&[&empty, target], "no line has a time at its head"),
        (&[&no_times, target], "no line has a time at its head"),
        (&[&lines, target], "a run lasts under 604800 s, but this takes 1900800 s: raise --speed"),
        (&["/nonexistent", target], "/nonexistent: No such file"),
        (&[directory.path().to_str().unwrap(), target], "there are no segments in"),
    ] {
        let output = loadgen(&[&["replay"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(told), "{arguments:?}: {output:?}");
    }
}

/// `tcpdump -i any` (Linux cooked v2, with the ICMP errors that came back), and `tcpdump -i lo -s 90`, version 4.99.3.
#[test]
fn captures_that_tcpdump_made_are_sent() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let text_of = |number: usize| {
        format!("<134>Nov 24 01:05:00 fra07-sw12 sshd[4711]: Accepted publickey for root, number {}", number / 2)
    };
    for (name, told, captured_bytes) in [
        ("any.pcap", "10 messages of 2 senders in 0.099 s; 5 packets of other protocols left out", [90, 90]),
        ("lo-cut.pcap", "; 10 messages were cut when they were recorded: sent as far as they are there", [48, 28]),
    ] {
        let (output, received) = send_over_udp(|target| replay(&captures.join(name), target, &["--port", "5598"]));
        assert!(text(&output.stderr).contains(told), "{output:?}");
        let came: Vec<_> = received.iter().map(|(payload, _)| text(payload)).collect();
        let sent = |number| text_of(number).chars().take(captured_bytes[number % 2]).collect::<String>();
        assert_eq!(came, (0..10).map(sent).collect::<Vec<_>>(), "{name}");
    }
}
