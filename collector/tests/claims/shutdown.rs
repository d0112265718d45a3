use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::support::{Collector, udp_sender, wait_for_exit};

#[test]
fn a_signal_in_the_middle_of_a_flood_leaves_no_gap_below_the_last_message_stored() {
    for signal in ["TERM", "INT"] {
        let mut collector = Collector::start(&[]);
        let to = collector.udp;
        let stop = AtomicBool::new(false);
        let dropped = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let sender = udp_sender();
                        let mut number = 0u64;
                        while !stop.load(Ordering::Relaxed) {
                            // A refusal of an earlier one may be told here: the collector is gone then.
                            let _ = sender.send_to(format!("test {number}").as_bytes(), to);
                            number += 1;
                        }
                    })
                })
                .collect();
            collector.wait_for("stored", 20_000);
            collector.signal(signal);
            let line = collector.wait_for_line("ledger: ");
            assert!(collector.wait().success());
            stop.store(true, Ordering::Relaxed);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            assert!(line.contains("in_flight 0 ") && line.contains("nothing missing"), "{line}");
            let dropped =
                line.split("socket_buffer ").nth(1).unwrap().split(';').next().unwrap().parse::<u64>().unwrap();
            let shed = line.split("shed ").nth(1).unwrap().split(' ').next().unwrap();
            assert_eq!(shed, "0", "no PRI, so never shed: {line}");
            dropped
        });
        let mut gaps = 0;
        let stored = collector.messages();
        let ports: std::collections::HashSet<u16> = stored.iter().map(|message| message.port).collect();
        assert_eq!(ports.len(), 3);
        for port in ports {
            let numbers: Vec<u64> = stored
                .iter()
                .filter(|message| message.port == port)
                .map(|message| str::from_utf8(&message.payload[5..]).unwrap().parse().unwrap())
                .collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "out of order, or twice");
            gaps += numbers[numbers.len() - 1] + 1 - numbers.len() as u64;
        }
        assert_eq!(gaps, dropped, "{signal}: {gaps} numbers are missing below the last");
    }
}

#[test]
fn what_waits_on_a_connection_is_stored() {
    let mut collector = Collector::start(&[]);
    let mut streams: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(collector.tcp).unwrap()).collect();
    for stream in &mut streams {
        writeln!(stream, "first").unwrap();
    }
    collector.wait_for("received", 5);
    // Stopped, so that it cannot read; then told to end, and let go on.
    collector.signal("STOP");
    for stream in &mut streams {
        stream.write_all(b"second\nthird without end").unwrap();
    }
    collector.signal("TERM");
    collector.signal("CONT");
    let line = collector.wait_for_line("ledger: ");
    assert!(collector.wait().success());
    assert!(line.contains("received 15 "), "{line}");
    assert_eq!(collector.messages().len(), 15);
}

/// A writer that is slower than any sender: what it has not written is in flight.
const SLOW_WRITER: [&str; 2] = ["store.level=19", "store.hurry=false"];

/// Lines of noise.
fn noise() -> Vec<u8> {
    let mut state = 1u64;
    let noise = std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'a' + (state >> 59) as u8 % 26
    });
    let mut lines: Vec<u8> = noise.take(256 << 10).collect();
    lines.iter_mut().skip(1023).step_by(1024).for_each(|byte| *byte = b'\n');
    lines
}

#[test]
fn senders_that_never_pause_do_not_hold_up_a_shutdown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let listen = format!("unixgram://{}", path.display());
    let mut collector = Collector::start_with(&["--listen", &listen], &SLOW_WRITER);
    let (to, stop) = (collector.tcp, AtomicBool::new(false));
    let goes_on = || !stop.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, lines) = (TcpStream::connect(to).unwrap(), noise());
            while goes_on() && stream.write_all(&lines).is_ok() {}
        });
        scope.spawn(|| {
            let (socket, lines) = (UnixDatagram::unbound().unwrap(), noise());
            let mut datagrams = lines.chunks(1024).cycle();
            while goes_on() && socket.send_to(datagrams.next().unwrap(), &path).is_ok() {}
        });
        scope.spawn(|| while goes_on() && TcpStream::connect(to).is_ok() {});
        collector.wait_for("in_flight", 3_000);
        collector.signal("TERM");
        let line = collector.wait_for_line("ledger: ");
        let status = collector.wait();
        stop.store(true, Ordering::Relaxed);
        assert!(status.success() && line.contains("in_flight 0 ") && line.contains("nothing missing"), "{line}");
    });
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut collector = Collector::start(&SLOW_WRITER);
    let mut stream = TcpStream::connect(collector.tcp).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let lines = noise();
            while stream.write_all(&lines).is_ok() {}
        });
        // Seconds of work for the writer.
        collector.wait_for("in_flight", 3_000);
        collector.signal("TERM");
        collector.wait_for_line("stopping");
        collector.signal("TERM");
        let status = wait_for_exit(&mut collector.child);
        assert_eq!(status.code().or(status.signal().map(|signal| 128 + signal)), Some(143), "{status}");
    });
}

#[test]
fn an_idle_collector_ends_cleanly_and_leaves_no_segment() {
    let mut collector = Collector::start(&[]);
    let line = collector.stop();
    assert!(line.contains("delivered 0 = received 0 + socket_buffer 0"), "{line}");
    assert_eq!(logboom_segment::list_segments(&collector.data()).unwrap(), []);
}
