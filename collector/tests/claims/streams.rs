use std::io::Write;
use std::net::{Shutdown, TcpStream};

use logboom_segment::Flags;

use super::support::{Collector, count};

#[test]
fn lines_and_counted_messages_come_back_whole() {
    let mut collector = Collector::start(&[]);
    let mut lines = TcpStream::connect(collector.tcp).unwrap();
    let mut counted = TcpStream::connect(collector.tcp).unwrap();
    let source_port = lines.local_addr().unwrap().port();
    for number in 0..1000 {
        writeln!(lines, "<13>line {number}").unwrap();
        let message = format!("<13>counted\n{number}");
        write!(counted, "{} {message}", message.len()).unwrap();
    }
    lines.write_all(b"no line end").unwrap();
    lines.shutdown(Shutdown::Write).unwrap();
    counted.shutdown(Shutdown::Write).unwrap();
    collector.wait_for("received", 2001);
    collector.stop();
    let stored = collector.messages();
    let (lines, counted): (Vec<_>, Vec<_>) = stored.into_iter().partition(|message| message.port == source_port);
    assert_eq!((lines.len(), counted.len()), (1001, 1000));
    for (number, message) in lines[..1000].iter().enumerate() {
        assert_eq!(message.payload, format!("<13>line {number}").into_bytes());
        assert_eq!((message.flags, &message.listener), (Flags::NONE, &format!("tcp://{}", collector.tcp)));
    }
    assert_eq!((&lines[1000].payload[..], lines[1000].flags), (&b"no line end"[..], Flags::UNTERMINATED));
    for (number, message) in counted.iter().enumerate() {
        assert_eq!(message.payload, format!("<13>counted\n{number}").into_bytes());
    }
}

#[test]
fn a_message_longer_than_max_message_is_cut_and_its_length_kept() {
    let mut collector = Collector::start(&["max_message=480B"]);
    let mut stream = TcpStream::connect(collector.tcp).unwrap();
    stream.write_all(&[&[b'a'; 5000][..], b"\nshort\n"].concat()).unwrap();
    drop(stream);
    collector.wait_for("received", 2);
    collector.stop();
    let stored = collector.messages();
    assert_eq!((stored[0].payload.len(), stored[0].original_length), (480, 5000));
    assert!(stored[0].flags.has(Flags::TRUNCATED) && stored[1].payload == b"short");
}

#[test]
fn a_sender_faster_than_the_disk_waits_and_loses_nothing() {
    // Level 19 makes the one writer slower than any sender; the pool holds a few blocks.
    let mut collector = Collector::start(&[
        "queue.memory=20MiB",
        "store.block_size=64KiB",
        "store.level=19",
        "receive.threads=1",
        "max_message=4KiB",
    ]);
    let mut stream = TcpStream::connect(collector.tcp).unwrap();
    let mut sent = 0u64;
    for number in 0..40_000u64 {
        let noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        writeln!(stream, "<15>debug {number} {noise:x} {} {noise:b}", "payload ".repeat(100)).unwrap();
        sent += 1;
    }
    drop(stream);
    let ledger = collector.wait_for("received", sent);
    assert_eq!((count(&ledger, "received"), count(&ledger, "shed")), (sent, 0));
    let metrics = collector.get("/metrics").1;
    let waited = metrics.lines().find(|line| line.starts_with("logboom_backpressure_seconds_total ")).unwrap();
    assert!(waited.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 0.0, "{waited}");
    collector.stop();
    assert_eq!(collector.messages().len() as u64, sent);
}

#[test]
fn while_there_is_no_block_only_one_connection_holds_what_it_has_read() {
    // Four blocks of the pool, and a writer that is much slower than nine hundred senders.
    let mut collector = Collector::start(&[
        "queue.memory=20MiB",
        "store.block_size=64KiB",
        "store.level=19",
        "receive.threads=1",
        "stream.memory=1MiB",
        "store.unsynced=4MiB",
    ]);
    let mut state = 1u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'a' + (state >> 59) as u8 % 26
    });
    let line: Vec<u8> = noise.take(999).chain([b'\n']).collect();
    let lines = line.repeat(300);
    let mut streams: Vec<TcpStream> = (0..900).map(|_| TcpStream::connect(collector.tcp).unwrap()).collect();
    // Each waits for more when the pool is used up.
    for stream in &mut streams {
        stream.write_all(b"hello\n").unwrap();
    }
    collector.wait_for("received", streams.len() as u64);
    let mut sent = vec![0usize; streams.len()];
    for (stream, sent) in streams.iter_mut().zip(&mut sent) {
        stream.set_nonblocking(true).unwrap();
        // As much as the kernel takes: more than is read at a time.
        while *sent < lines.len() {
            match stream.write(&lines[*sent..]) {
                Ok(written) => *sent += written,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    let hellos = streams.len();
    drop(streams);
    let whole = hellos + sent.iter().map(|sent| sent.div_ceil(line.len())).sum::<usize>();
    collector.wait_for("received", whole as u64);
    let status = std::fs::read_to_string(format!("/proc/{}/status", collector.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_mib = peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10;
    // ARCHITECTURE.md, memory: pool, unsynced, fixed, zstd at level 19, messages that have not ended.
    let stated_mib = 20 + 4 + 32 + 24 + 1;
    assert!(peak_mib <= stated_mib, "{peak_mib} MiB, but at most {stated_mib} MiB are stated");
    collector.stop();
    assert_eq!(collector.messages().len(), whole);
}

#[test]
fn connections_beyond_the_limit_are_closed_and_counted() {
    let mut collector = Collector::start(&["stream.max_connections=2"]);
    let mut kept: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(collector.tcp).unwrap()).collect();
    for stream in &mut kept {
        writeln!(stream, "kept").unwrap();
    }
    collector.wait_for("received", 2);
    let mut refused = TcpStream::connect(collector.tcp).unwrap();
    let closed = std::io::Read::read(&mut refused, &mut [0; 1]);
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert!(
        collector.get("/metrics").1.contains("\nlogboom_tcp_closed_connections_total{reason=\"max_connections\"} 1\n")
    );
    kept.clear();
    collector.wait_until("a place is free", |_| {
        let mut stream = TcpStream::connect(collector.tcp).unwrap();
        writeln!(stream, "late").is_ok() && count(&collector.ledger(), "received") > 2
    });
    collector.stop();
}
