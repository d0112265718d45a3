use logboom_segment::Flags;

use super::support::{Collector, logboom, udp_sender};

/// Datagrams that other collectors lose, cut or change.
fn odd_datagrams() -> Vec<Vec<u8>> {
    let mut datagrams: Vec<Vec<u8>> = [
        &b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8"[..],
        b"",
        b"\n",
        b"\0",
        b"two\nlines",
        b"ends with a line feed\n",
        b"ends with two\n\n",
        b"ends with a carriage return\r",
        b"ends with both\r\n",
        b"ends with a nul\0",
        b"nul \0 inside",
        b"record \x1E separator",
        b"record \x1E separator and\nline feed",
        b"\xFF\xFE\xC3\x28 not UTF-8",
        b"\xEF\xBB\xBFwith a byte order mark",
        b"\x1B[2J\x1B]0;title\x07 terminal controls",
        b"<999>no PRI",
        b"<",
    ]
    .into_iter()
    .map(<[u8]>::to_vec)
    .collect();
    datagrams.push((0..=255).collect());
    datagrams.push((0..65_507u32).map(|at| (at % 251) as u8).collect());
    datagrams
}

fn send(to: std::net::SocketAddr, datagrams: &[Vec<u8>]) -> std::net::SocketAddr {
    let sender = udp_sender();
    for datagram in datagrams {
        assert_eq!(sender.send_to(datagram, to).unwrap(), datagram.len());
    }
    sender.local_addr().unwrap()
}

#[test]
fn every_datagram_comes_back_byte_for_byte_with_its_sender() {
    let mut collector = Collector::start(&[]);
    let datagrams = odd_datagrams();
    let from = send(collector.udp, &datagrams);
    collector.wait_for("received", datagrams.len() as u64);
    collector.stop();
    let stored = collector.messages();
    let payloads: Vec<&Vec<u8>> = stored.iter().map(|message| &message.payload).collect();
    assert_eq!(payloads, datagrams.iter().collect::<Vec<_>>());
    for message in &stored {
        assert_eq!((message.address, message.port), (Some(from.ip()), from.port()));
        assert_eq!(message.listener, format!("udp://{}", collector.udp));
        assert_eq!((message.flags, message.original_length as usize), (Flags::NONE, message.payload.len()));
    }
    let raw = logboom().args(["cat", "-o", "raw"]).arg(collector.data()).output().unwrap();
    let expected: Vec<u8> = datagrams.iter().flat_map(|datagram| [datagram, &b"\n"[..]].concat()).collect();
    assert!(raw.status.success() && raw.stdout == expected);
    let raw = logboom().args(["cat", "-o", "raw", "-0"]).arg(collector.data()).output().unwrap();
    let expected: Vec<u8> = datagrams.iter().flat_map(|datagram| [datagram, &b"\0"[..]].concat()).collect();
    assert!(raw.status.success() && raw.stdout == expected);
}

#[test]
fn a_datagram_longer_than_max_message_is_cut_flagged_and_its_length_kept() {
    let mut collector = Collector::start(&["max_message=480B"]);
    let datagrams = vec![vec![b'a'; 480], vec![b'b'; 481], vec![b'c'; 65_507], b"short".to_vec()];
    send(collector.udp, &datagrams);
    collector.wait_for("received", 4);
    let metrics = collector.get("/metrics").1;
    assert!(metrics.contains("transport=\"udp\"} 2\n"), "two truncated: {metrics}");
    collector.stop();
    let stored = collector.messages();
    for (message, sent) in stored.iter().zip(&datagrams) {
        assert_eq!(message.payload, sent[..sent.len().min(480)]);
        assert_eq!(message.original_length as usize, sent.len());
        assert_eq!(message.flags.has(Flags::TRUNCATED), sent.len() > 480);
    }
    assert_eq!(stored.len(), 4);
}

/// The files of `LOGBOOM_CORPUS` (a directory of real logs) where that is set, else lines made here.
#[test]
fn real_log_lines_come_back_byte_for_byte() {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    if let Some(corpus) = std::env::var_os("LOGBOOM_CORPUS") {
        for entry in std::fs::read_dir(corpus).unwrap() {
            let text = std::fs::read(entry.unwrap().path()).unwrap();
            lines.extend(text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
        assert!(lines.len() > 1000, "a corpus of {} lines", lines.len());
    } else {
        println!("skipped: the real logs (LOGBOOM_CORPUS is not set); made lines instead");
        lines.extend((0..5000).map(|n| format!("<{}>Nov 23 10:00:00 host app[{n}]: line {n}\r", n % 192).into_bytes()));
    }
    let mut collector = Collector::start(&[]);
    let sender = udp_sender();
    for (number, line) in lines.iter().enumerate() {
        sender.send_to(line, collector.udp).unwrap();
        if number % 100 == 99 {
            // A buffer of the default size on an ordinary machine holds 166 datagrams.
            collector.wait_for("received", number as u64 + 1);
        }
    }
    collector.wait_for("received", lines.len() as u64);
    collector.stop();
    let stored: Vec<Vec<u8>> = collector.messages().into_iter().map(|message| message.payload).collect();
    assert!(stored == lines, "{} lines stored of {}", stored.len(), lines.len());
}

#[test]
fn json_names_the_source_and_cuts_nothing() {
    let mut collector = Collector::start(&[]);
    let from = send(collector.udp, &[b"<34>hello".to_vec(), b"\xFF".to_vec()]);
    collector.wait_for("received", 2);
    collector.stop();
    let printed = logboom().args(["cat", "-o", "json"]).arg(collector.data()).output().unwrap();
    let objects: Vec<serde_json::Value> =
        String::from_utf8(printed.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["source"], "127.0.0.1");
    assert_eq!(objects[0]["source_port"], from.port());
    assert_eq!(objects[0]["message"], "<34>hello");
    assert_eq!((&objects[0]["facility"], &objects[0]["severity"]), (&"auth".into(), &"crit".into()));
    assert_eq!(objects[1]["message_base64"], "/w==");
    let fields =
        ["time", "source", "source_port", "listener", "transport", "facility", "severity", "host", "app", "timestamp"];
    for field in fields.iter().chain(&["truncated", "original_length"]) {
        assert!(objects.iter().all(|object| object.get(field).is_some()), "{field}");
    }
}
