use std::io::{Read, Write};
use std::net::TcpStream;

use super::support::{Collector, count, udp_sender};

/// Whether the other side has closed a connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
}

#[test]
fn a_source_that_may_not_send_is_refused_and_counted() {
    let listen = "listen=[{url=\"udp://127.0.0.1:0\",allow=[\"127.0.0.2\",\"10.0.0.0/8\"]},\"tcp://127.0.0.1:0\"]";
    let mut collector = Collector::start(&[listen, "receive.allow=[\"192.0.2.0/24\"]"]);
    let allowed = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
    let other = udp_sender();
    for _ in 0..3 {
        allowed.send_to(b"<13>allowed", collector.udp).unwrap();
    }
    for _ in 0..5 {
        other.send_to(b"<13>other", collector.udp).unwrap();
    }
    let mut stream = TcpStream::connect(collector.tcp).unwrap();
    assert!(is_closed(&mut stream), "not on the list for all");
    let ledger = collector.wait_until("all are there", |ledger| {
        (count(ledger, "stored"), count(ledger, "refused"), count(ledger, "received")) == (3, 5, 8)
    });
    assert_eq!(ledger["difference"], 0, "{ledger:#}");
    collector.wait_for_metric("logboom_tcp_closed_connections_total{reason=\"not_allowed\"}", 1);
    collector.stop();
    assert!(collector.messages().iter().all(|message| message.payload == b"<13>allowed"));
    let ledger = super::support::logboom().args(["ledger", "--json"]).arg(collector.data()).output().unwrap();
    let ledger: serde_json::Value = serde_json::from_slice(&ledger.stdout).unwrap();
    assert_eq!(ledger["lost"]["refused"], 5, "the files tell of them too: {ledger:#}");
}

#[test]
fn one_source_has_no_more_connections_than_its_share() {
    let mut collector = Collector::start(&["stream.max_per_source=2"]);
    let mut kept: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(collector.tcp).unwrap()).collect();
    for stream in &mut kept {
        writeln!(stream, "kept").unwrap();
    }
    collector.wait_for("received", 2);
    assert!(is_closed(&mut TcpStream::connect(collector.tcp).unwrap()));
    let from = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    from.bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    from.connect(&collector.tcp.into()).unwrap();
    writeln!(TcpStream::from(from), "another source").unwrap();
    collector.wait_for("received", 3);
    assert_eq!(collector.metric("logboom_tcp_closed_connections_total{reason=\"max_per_source\"}"), Some(1));
    collector.wait_for_line("2 of its own are open (stream.max_per_source)");
    collector.stop();
}

#[test]
fn connections_that_say_nothing_do_not_keep_out_who_does() {
    let mut collector = Collector::start(&["stream.max_connections=20"]);
    let mut honest = TcpStream::connect(collector.tcp).unwrap();
    writeln!(honest, "first").unwrap();
    collector.wait_for("received", 1);
    let silent: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(collector.tcp).unwrap()).collect();
    for number in 0..30 {
        writeln!(TcpStream::connect(collector.tcp).unwrap(), "late {number}").unwrap();
        collector.wait_for("received", 2 + number);
    }
    writeln!(honest, "still there").unwrap();
    collector.wait_for("received", 32);
    collector.wait_for_metric("logboom_tcp_closed_connections_total{reason=\"made_room\"}", 1);
    drop(silent);
    collector.stop();
}

#[test]
fn a_message_that_is_begun_and_not_ended_closes_its_connection_and_is_kept() {
    let mut collector = Collector::start(&["stream.message_timeout=1s"]);
    let mut slow = TcpStream::connect(collector.tcp).unwrap();
    let mut silent = TcpStream::connect(collector.tcp).unwrap();
    writeln!(silent, "whole").unwrap();
    slow.write_all(b"whole\nhalf a mess").unwrap();
    assert!(is_closed(&mut slow));
    collector.wait_for_metric("logboom_tcp_closed_connections_total{reason=\"message_timeout\"}", 1);
    writeln!(silent, "silence is no fault").unwrap();
    collector.wait_for("received", 4);
    collector.stop();
    assert!(collector.messages().iter().any(|message| message.payload == b"half a mess"));
}

#[test]
fn who_is_silent_for_too_long_is_closed_only_if_that_is_set() {
    let mut collector = Collector::start(&["stream.idle_timeout=1s"]);
    let mut silent = TcpStream::connect(collector.tcp).unwrap();
    writeln!(silent, "hello").unwrap();
    assert!(is_closed(&mut silent));
    collector.wait_for_metric("logboom_tcp_closed_connections_total{reason=\"idle_timeout\"}", 1);
    collector.stop();
}

#[test]
fn what_cannot_be_held_is_cut_and_others_are_not_touched() {
    let mut collector = Collector::start(&["stream.memory=1MiB", "max_message=64KiB", "receive.threads=1"]);
    let begun = vec![b'x'; 60_000];
    let mut hoarders: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(collector.tcp).unwrap()).collect();
    for stream in &mut hoarders {
        stream.write_all(&begun).unwrap();
    }
    let mut honest = TcpStream::connect(collector.tcp).unwrap();
    honest.write_all(&[&[b'h'; 60_000][..], b"\n<13>short\n"].concat()).unwrap();
    collector.wait_for("received", 2);
    for stream in &mut hoarders {
        stream.write_all(b"end\n").unwrap();
    }
    collector.wait_for("received", 42);
    collector.stop();
    let messages = collector.messages();
    let (hoarded, honest): (Vec<_>, Vec<_>) = messages.iter().partition(|message| message.payload.starts_with(b"x"));
    assert_eq!(honest.iter().map(|message| message.payload.len()).max(), Some(60_000), "whole");
    assert!(hoarded.iter().all(|message| message.original_length == 60_003), "the length is known of each");
    let held: usize = hoarded.iter().map(|message| message.payload.len()).sum();
    // Never more than the limit, one read, and what is held of each in any case.
    assert!(held <= (1 << 20) + (256 << 10) + 40 * 480, "{held} B were held");
    assert!(hoarded.iter().all(|message| message.payload.len() >= 480));
}

#[test]
fn gaps_in_the_numbers_of_a_sender_are_told() {
    let mut collector = Collector::start(&[]);
    let sender = udp_sender();
    for id in [1, 2, 5, 6, 4] {
        let message = format!("<34>1 - host app - - [meta sequenceId=\"{id}\"] text");
        sender.send_to(message.as_bytes(), collector.udp).unwrap();
    }
    collector.wait_for("received", 5);
    collector.wait_for_metric("logboom_upstream_missing_messages", 1);
    let status: serde_json::Value = serde_json::from_str(&collector.get("/status").1).unwrap();
    let worst = &status["upstream_gaps"]["worst"][0];
    assert_eq!((&worst["source"], &worst["received"], &worst["missing"]), (&"127.0.0.1".into(), &5.into(), &1.into()));
    collector.stop();
}
