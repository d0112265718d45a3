use std::io::Write;
use std::net::TcpStream;
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

#[test]
fn a_second_signal_ends_at_once() {
    let mut collector = Collector::start(&[]);
    let mut stream = TcpStream::connect(collector.tcp).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A sender that never pauses holds the first one up for a while.
        scope.spawn(|| {
            let lines = [b'\n'; 4096];
            while !stop.load(Ordering::Relaxed) {
                if stream.write_all(&lines).is_err() {
                    break;
                }
            }
        });
        collector.wait_for("received", 1);
        collector.signal("TERM");
        collector.wait_for_line("stopping");
        collector.signal("TERM");
        let status = wait_for_exit(&mut collector.child);
        stop.store(true, Ordering::Relaxed);
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
