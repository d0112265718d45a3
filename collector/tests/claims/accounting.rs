use std::collections::HashSet;

use super::support::{Collector, count, logboom, udp_sender};

fn sequence(payload: &[u8]) -> u64 {
    str::from_utf8(payload).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_a_stopped_collector_misses_is_in_socket_buffer_to_the_message() {
    let mut collector = Collector::start(&["receive.buffer=64KiB"]);
    let sender = udp_sender();
    let send = |number: u64| {
        let text = format!("<13>test {number} {}", "x".repeat(180));
        sender.send_to(text.as_bytes(), collector.udp).unwrap();
    };
    (0..50).for_each(send);
    collector.wait_for("received", 50);
    collector.signal("STOP");
    (50..5_000).for_each(send);
    collector.signal("CONT");
    let ledger = collector.wait_until("everything accounted for", |ledger| count(ledger, "delivered") >= 5_000);
    let dropped = count(&ledger, "socket_buffer");
    assert!(dropped > 1_000, "the buffer held more than it should: {ledger:#}");
    collector.stop();
    let stored: HashSet<u64> = collector.messages().iter().map(|message| sequence(&message.payload)).collect();
    let missing = (0..5_000).filter(|number| !stored.contains(number)).count() as u64;
    assert_eq!(missing, dropped);
}

#[test]
fn losses_stand_in_the_files_even_when_nothing_else_is_stored() {
    let mut collector = Collector::start(&["receive.buffer=64KiB"]);
    collector.signal("STOP");
    let sender = udp_sender();
    for _ in 0..2_000 {
        sender.send_to(&[b'x'; 200], collector.udp).unwrap();
    }
    collector.signal("CONT");
    let ledger = collector.wait_for("delivered", 2_000);
    // Written within a second while the collector runs, not only at its end.
    let dropped = count(&ledger, "socket_buffer");
    let data = collector.data();
    let noted = || {
        let stat = logboom().args(["stat", "--json"]).arg(&data).output().unwrap();
        let stat: serde_json::Value = serde_json::from_slice(&stat.stdout).unwrap_or_default();
        stat["lost"]["socket_buffer"].as_u64().unwrap_or(0)
    };
    collector.wait_until("the loss is in a file", |_| noted() == dropped);
    collector.stop();
    assert_eq!(noted(), dropped);
}

#[test]
fn the_identity_holds_whenever_the_pipeline_is_quiet() {
    let mut collector = Collector::start(&[]);
    let sender = udp_sender();
    for round in 1..=5u64 {
        for number in 0..100 {
            sender.send_to(format!("<15>round {round} {number}").as_bytes(), collector.udp).unwrap();
        }
        let ledger = collector.wait_for("received", round * 100);
        assert_eq!(count(&ledger, "received"), round * 100);
        let ledger = collector.wait_until("quiet", |ledger| ledger["difference"] == 0);
        assert_eq!(count(&ledger, "stored") + count(&ledger, "in_flight"), round * 100);
    }
    let line = collector.stop();
    assert!(line.contains("delivered 500 = received 500 + socket_buffer 0"), "{line}");
    assert!(line.contains("stored 500 + in_flight 0 + shed 0"), "{line}");
}

#[test]
fn many_senders_are_told_apart_and_each_ones_order_is_kept() {
    let mut collector = Collector::start(&[]);
    let senders: Vec<_> = (0..40).map(|_| udp_sender()).collect();
    for number in 0..25u64 {
        for sender in &senders {
            sender.send_to(format!("test {number}").as_bytes(), collector.udp).unwrap();
        }
        collector.wait_for("received", (number + 1) * 40);
    }
    collector.stop();
    let stored = collector.messages();
    assert_eq!(stored.len(), 1000);
    for sender in &senders {
        let port = sender.local_addr().unwrap().port();
        let numbers: Vec<u64> =
            stored.iter().filter(|message| message.port == port).map(|message| sequence(&message.payload)).collect();
        assert_eq!(numbers, (0..25).collect::<Vec<_>>());
    }
}
