use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use super::support::{Collector, logboom, udp_sender};

/// Sends bytes on a connection of their own, and the honest message on another behind them.
fn send_beside_an_honest_one(collector: &Collector, hostile: &[&[u8]]) {
    for bytes in hostile {
        let mut stream = TcpStream::connect(collector.tcp).unwrap();
        let _ = stream.write_all(bytes);
    }
    writeln!(TcpStream::connect(collector.tcp).unwrap(), "<13>honest").unwrap();
}

/// rsyslog up to 8.2204 computed an octet count of any length and wrote behind its buffer: CVE-2022-24903.
#[test]
fn a_count_with_digits_without_end_is_a_line_and_no_number() {
    let mut collector = Collector::start(&["max_message=1KiB"]);
    let digits = [&[b'9'; 100_000][..], b"\n"].concat();
    let counts: [&[u8]; 5] =
        [&digits, b"9223372036854775808 <13>x\n", b"18446744073709551616 <13>x\n", b"-5 <13>x\n", b"00000005 <13>x\n"];
    send_beside_an_honest_one(&collector, &counts);
    collector.wait_for("received", 6);
    collector.stop();
    let stored = collector.messages();
    assert!(stored.iter().any(|message| message.payload == b"<13>honest"));
    let cut = stored.iter().find(|message| message.original_length == 100_000).unwrap();
    assert_eq!(cut.payload.len(), 1_024);
    assert!(stored.iter().any(|message| message.payload == b"9223372036854775808 <13>x"), "kept as it came");
}

/// A count at the limit of what one may be, and a message that never comes: the memory held is what came of it.
#[test]
fn a_count_of_a_message_that_never_comes_holds_nothing() {
    let mut collector = Collector::start(&[]);
    let mut waiting: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(collector.tcp).unwrap()).collect();
    for stream in &mut waiting {
        stream.write_all(b"9999999 <13>never").unwrap();
    }
    writeln!(TcpStream::connect(collector.tcp).unwrap(), "<13>honest").unwrap();
    collector.wait_for("received", 1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", collector.child.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident_kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(resident_kib < 64 << 10, "{resident_kib} KiB for 200 promises of 10 MB");
    drop(waiting);
    collector.wait_for("received", 201);
    collector.stop();
    assert_eq!(collector.messages().iter().filter(|message| message.payload == b"<13>never").count(), 200);
}

/// rsyslog and sysklogd took a PRI of any size for an index: CVE-2014-3634.
#[test]
fn a_pri_out_of_range_is_text() {
    let mut collector = Collector::start(&[]);
    let sender = udp_sender();
    let pris = ["<192>", "<999>", "<2147483648>", "<99999999999999999999>", "<-1>", "<>", "<", "<1", "<000>"];
    for pri in pris {
        sender.send_to(format!("{pri}text").as_bytes(), collector.udp).unwrap();
    }
    collector.wait_for("stored", pris.len() as u64);
    collector.stop();
    let output = logboom().args(["cat", "-o", "json"]).arg(collector.data()).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains("\"severity\":null")).count(), pris.len(), "{lines}");
}

/// syslog-ng up to 3.36 read behind a timestamp that was cut short: CVE-2022-38725.
#[test]
fn headers_cut_short_anywhere_are_read_as_far_as_they_go() {
    let mut collector = Collector::start(&[]);
    let sender = udp_sender();
    let whole = "<34>1 2003-10-11T22:14:15.003000+02:00 host app 1 id [a b=\"c\\]\"] text";
    let older = "<34>Oct 11 22:14:15.123456 2026 host app[1]: text";
    let mut sent = 0;
    for text in [whole, older] {
        for end in 1..=text.len() {
            sender.send_to(&text.as_bytes()[..end], collector.udp).unwrap();
            sent += 1;
        }
    }
    collector.wait_for("stored", sent);
    collector.stop();
    for format in ["short", "json"] {
        let output = logboom().args(["cat", "-o", format]).arg(collector.data()).output().unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64, sent);
    }
}

/// Fluent Bit's HTTP server took values of any type and length for names: CVE-2024-4323. Ours takes nothing but a path.
#[test]
fn the_admin_listener_survives_requests_of_every_shape() {
    let mut collector = Collector::start(&[]);
    let long = "x".repeat(1 << 20);
    for request in [
        "\0\0\0\0".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {long}\r\n\r\n"),
        "POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n".to_owned(),
        "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n{\"inputs\":[{},[],-1]}".to_owned(),
        "GET /metrics HTTP/9.9\r\n\r\n".to_owned(),
    ] {
        let mut stream = TcpStream::connect(collector.admin).unwrap();
        let _ = stream.write_all(request.as_bytes());
    }
    assert_eq!(collector.get("/healthz").0, 200);
    collector.stop();
}

/// A line feed inside a datagram must not look like the next message, to any reader.
#[test]
fn a_line_feed_inside_a_message_forges_no_other() {
    let mut collector = Collector::start(&[]);
    let forged = b"<13>harmless\n<10>Oct 11 22:14:15 bank su: root logged in";
    udp_sender().send_to(forged, collector.udp).unwrap();
    collector.wait_for("stored", 1);
    collector.stop();
    let sealed = std::fs::read_dir(collector.data()).unwrap().map(|entry| entry.unwrap().path());
    let sealed = sealed.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "zst")).unwrap();
    let text = zstd::decode_all(&std::fs::read(sealed).unwrap()[..]).unwrap();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1, "a line a message, for zstdcat too");
    let output = logboom().args(["cat", "-o", "json"]).arg(collector.data()).output().unwrap();
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(collector.messages()[0].payload, forged, "byte for byte");
}

/// What is stored may hold passwords: nobody but the collector's user and group reads it.
#[test]
fn no_file_is_readable_by_everybody() {
    let mut collector = Collector::start(&[]);
    udp_sender().send_to(b"<13>secret", collector.udp).unwrap();
    collector.wait_for("stored", 1);
    let assert_closed = |data: &std::path::Path| {
        for entry in std::fs::read_dir(data).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7, 0, "{entry:?}");
        }
        assert_eq!(std::fs::metadata(data).unwrap().permissions().mode() & 0o777, 0o750);
    };
    assert_closed(&collector.data());
    collector.stop();
    assert_closed(&collector.data());
}

/// NULs end messages, as some senders mean them to, and stay; a line without end is cut.
#[test]
fn nuls_and_an_endless_line_are_kept_and_cut() {
    let mut collector = Collector::start(&["max_message=1KiB"]);
    let endless = vec![b'x'; 5 << 20];
    send_beside_an_honest_one(&collector, &[b"a\0b\0\nc\n", &endless]);
    collector.wait_for("received", 5);
    collector.stop();
    let stored = collector.messages();
    for text in ["a\0", "b\0", "c"] {
        assert!(stored.iter().any(|message| message.payload == text.as_bytes()), "{text:?}");
    }
    let cut = stored.iter().find(|message| message.payload.starts_with(b"xxx")).unwrap();
    assert_eq!((cut.payload.len(), cut.original_length), (1_024, 5 << 20));
}
