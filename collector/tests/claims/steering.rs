use std::net::UdpSocket;

use logboom_segment::{Decoder, Segment, list_segments};

use super::support::{Collector, count, udp_sender};

const MESSAGES: u64 = 20_000;

/// Sends `numbers` from one socket, never more at once than the smallest receive buffer holds.
fn send(collector: &Collector, sender: &UdpSocket, numbers: std::ops::Range<u64>) {
    for number in numbers {
        sender.send_to(format!("<13>test {number}").as_bytes(), collector.udp).unwrap();
        if number % 100 == 99 {
            collector.wait_for("delivered", number + 1);
        }
    }
}

fn assert_in_order(collector: &Collector) {
    let numbers: Vec<u64> = collector
        .messages()
        .iter()
        .map(|message| str::from_utf8(&message.payload).unwrap().split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    let out_of_order = numbers.windows(2).find(|pair| pair[0] >= pair[1]);
    assert_eq!(out_of_order, None);
}

/// Messages stored by each of the two receivers.
fn by_receiver(collector: &Collector) -> [u64; 2] {
    let (mut counts, mut decoder) = ([0, 0], Decoder::new().unwrap());
    for mut found in list_segments(&collector.data()).unwrap() {
        let segment = Segment::open(&found.open().unwrap(), &mut decoder).unwrap();
        for block in segment.blocks {
            counts[block.receiver as usize] += u64::from(block.messages);
        }
    }
    counts
}

#[test]
fn one_sender_has_one_receiver_by_hash() {
    let mut collector = Collector::start(&["receive.steering=hash"]);
    send(&collector, &udp_sender(), 0..MESSAGES);
    collector.stop();
    let counts = by_receiver(&collector);
    assert!(counts.contains(&0) && counts.contains(&MESSAGES), "{counts:?}");
    assert_in_order(&collector);
}

#[test]
fn one_sender_uses_every_receiver_when_spread_and_keeps_its_order() {
    let mut collector = Collector::start(&["receive.steering=spread"]);
    collector.wait_for_line("steering datagrams by spread");
    send(&collector, &udp_sender(), 0..MESSAGES);
    let status = collector.get("/status").1;
    assert!(status.contains("\"steering\": \"spread\""), "{status}");
    assert!(collector.get("/metrics").1.contains("logboom_receive_steering{mode=\"spread\"} 1"));
    collector.stop();
    let counts = by_receiver(&collector);
    // Half each; 5 % is seven standard deviations of 20,000.
    assert!(counts.iter().all(|count| (MESSAGES * 9 / 20..=MESSAGES * 11 / 20).contains(count)), "{counts:?}");
    assert_in_order(&collector);
}

#[test]
fn auto_spreads_once_a_receiver_loses_datagrams_beside_an_idle_one_and_keeps_the_order() {
    let mut collector = Collector::start(&["receive.buffer=64KiB"]);
    let sender = udp_sender();
    send(&collector, &sender, 0..1_000);
    collector.signal("STOP");
    for number in 1_000..5_000 {
        sender.send_to(format!("<13>test {number}").as_bytes(), collector.udp).unwrap();
    }
    collector.signal("CONT");
    collector.wait_for_line("steering datagrams by spread");
    let ledger = collector.wait_for("delivered", 5_000);
    assert!(count(&ledger, "socket_buffer") > 0, "{ledger:#}");
    send(&collector, &sender, 5_000..MESSAGES);
    collector.stop();
    let counts = by_receiver(&collector);
    assert!(counts.iter().all(|count| *count > (MESSAGES - 5_000) / 3), "{counts:?}");
    assert_in_order(&collector);
}

#[test]
fn joined_datagrams_are_stored_one_by_one_and_the_ledger_says_that_it_is_a_bound() {
    let mut collector = Collector::start(&["receive.gro=true", "max_message=480B"]);
    let sender = udp_sender();
    let mut batch = logboom_udp::SendBatch::new(collector.udp, 16);
    let texts: Vec<String> = (0..160).map(|number| format!("{number:05} {}", "x".repeat(594))).collect();
    texts.iter().for_each(|text| batch.push_with(|out| out.extend_from_slice(text.as_bytes())));
    let mut sent = 0;
    while sent < batch.len() {
        sent += batch.send(&sender, sent).unwrap();
    }
    let ledger = collector.wait_for("stored", 160);
    assert_eq!(ledger["exact"], false);
    assert!(collector.get("/metrics").1.contains("logboom_ledger_exact 0"));
    let line = collector.stop();
    assert!(line.contains("socket_buffer at least 0"), "{line}");
    let stored = collector.messages();
    assert_eq!(stored.len(), 160);
    for (text, message) in texts.iter().zip(&stored) {
        assert_eq!(message.payload, text.as_bytes()[..480]);
        assert_eq!(message.original_length, 600);
    }
}
