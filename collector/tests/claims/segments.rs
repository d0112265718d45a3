use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use logboom_segment::{FileState, list_segments};

use super::support::{Collector, logboom, udp_sender};

/// Lines that do not compress, so that segments fill.
fn noise(number: u64) -> String {
    let mut state = number.wrapping_add(1);
    let mut text = format!("test {number} ");
    for _ in 0..60 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text
}

#[test]
fn segments_are_rotated_by_size_and_each_is_whole_for_any_zstd() {
    let mut collector = Collector::start(&["store.segment_size=1MiB", "store.block_size=64KiB"]);
    let sender = udp_sender();
    for number in 0..6_000u64 {
        sender.send_to(noise(number).as_bytes(), collector.udp).unwrap();
        if number % 50 == 49 {
            collector.wait_for("received", number + 1);
        }
    }
    collector.stop();
    let segments = list_segments(&collector.data()).unwrap();
    assert!(segments.len() >= 3, "{} segments", segments.len());
    let mut lines = 0;
    for segment in &segments {
        assert_eq!(segment.state, FileState::Sealed);
        let metadata = std::fs::metadata(segment.path()).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        assert!(metadata.len() < (1 << 20) + (128 << 10), "{} B", metadata.len());
        let mut text = Vec::new();
        let bytes = std::fs::read(segment.path()).unwrap();
        zstd::stream::read::Decoder::new(&bytes[..]).unwrap().read_to_end(&mut text).unwrap();
        lines += text.iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(lines, 6_000);
    assert_eq!(std::fs::metadata(collector.data()).unwrap().permissions().mode() & 0o777, 0o750);
    let verified = logboom().args(["verify", "--json"]).arg(collector.data()).output().unwrap();
    assert!(verified.status.success());
    let verified: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verified["messages"], &verified["damaged_blocks"]), (&6_000.into(), &0.into()));
}

#[test]
fn a_segment_is_sealed_by_age_while_the_collector_runs() {
    let mut collector = Collector::start(&["store.segment_age=1s", "store.block_age=10ms"]);
    udp_sender().send_to(b"alone", collector.udp).unwrap();
    collector.wait_for("stored", 1);
    let data = collector.data();
    collector.wait_until("the segment is sealed", |_| {
        list_segments(&data).unwrap().iter().any(|segment| segment.state == FileState::Sealed)
    });
    collector.stop();
    assert_eq!(collector.messages().len(), 1);
}

#[test]
fn what_is_written_can_be_read_while_the_collector_writes_on() {
    let mut collector = Collector::start(&["store.block_age=10ms"]);
    let sender = udp_sender();
    for round in 1..=5u64 {
        for number in 0..20 {
            sender.send_to(format!("<13>round {round} message {number}").as_bytes(), collector.udp).unwrap();
        }
        collector.wait_for("stored", round * 20);
        let printed = logboom().args(["cat", "-o", "raw"]).arg(collector.data()).output().unwrap();
        assert!(printed.status.success(), "{printed:?}");
        assert_eq!(printed.stdout.iter().filter(|byte| **byte == b'\n').count() as u64, round * 20);
        let verified = logboom().arg("verify").arg(collector.data()).output().unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
    collector.stop();
}

#[test]
fn a_time_range_selects_messages() {
    let mut collector = Collector::start(&[]);
    let sender = udp_sender();
    for number in 1..=3u64 {
        sender.send_to(format!("message {number}").as_bytes(), collector.udp).unwrap();
        // Each in a batch, and so at a time, of its own.
        collector.wait_for("received", number);
    }
    collector.stop();
    let cat = |arguments: &[&str]| {
        let output = logboom().arg("cat").args(arguments).arg(collector.data()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let times: Vec<String> = cat(&["-o", "json"])
        .1
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["time"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(times.len(), 3);
    let middle = cat(&["-o", "raw", "--since", &times[1], "--until", &times[1]]);
    assert_eq!(middle, (Some(0), "message 2\n".into()));
    assert_eq!(cat(&["-o", "raw", "--since", &times[1]]).1, "message 2\nmessage 3\n");
    assert_eq!(cat(&["-o", "raw", "--until", "@1"]), (Some(1), String::new()));
}

#[test]
fn damage_is_told_by_cat_and_found_by_verify_and_costs_only_its_block() {
    let mut collector = Collector::start(&["store.block_age=10ms"]);
    let sender = udp_sender();
    for number in 1..=3u64 {
        sender.send_to(format!("message {number}").as_bytes(), collector.udp).unwrap();
        collector.wait_for("stored", number);
    }
    collector.stop();
    let segment = list_segments(&collector.data()).unwrap().remove(0).path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let printed = logboom().args(["cat", "-o", "raw"]).arg(collector.data()).output().unwrap();
    assert_eq!(printed.status.code(), Some(2));
    assert_eq!(printed.stdout, b"message 2\nmessage 3\n");
    assert!(String::from_utf8(printed.stderr).unwrap().contains("the block at 0 is damaged"));
    let verified = logboom().args(["verify", "--json"]).arg(collector.data()).output().unwrap();
    assert_eq!(verified.status.code(), Some(1));
    let verified: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verified["messages"], &verified["damaged_blocks"]), (&2.into(), &1.into()));
}

#[test]
fn a_file_left_behind_by_a_killed_collector_is_read_and_its_torn_end_told() {
    let mut collector = Collector::start(&["store.block_age=10ms"]);
    udp_sender().send_to(b"stored", collector.udp).unwrap();
    collector.wait_for("stored", 1);
    collector.signal("KILL");
    collector.wait();
    let segment = list_segments(&collector.data()).unwrap().remove(0);
    assert_eq!(segment.state, FileState::Open);
    let verify = || logboom().args(["verify", "--json"]).arg(collector.data()).output().unwrap();
    assert!(verify().status.success());
    let mut bytes = std::fs::read(segment.path()).unwrap();
    bytes.extend_from_within(..30);
    std::fs::write(segment.path(), bytes).unwrap();
    let torn = verify();
    assert_eq!(torn.status.code(), Some(1));
    let torn: serde_json::Value = serde_json::from_slice(&torn.stdout).unwrap();
    assert_eq!((&torn["messages"], &torn["torn_bytes"]), (&1.into(), &30.into()));
    assert_eq!(collector.messages().len(), 1);
}

#[test]
fn stat_sums_up() {
    let mut collector = Collector::start(&[]);
    for _ in 0..3 {
        udp_sender().send_to(b"<13>1234567", collector.udp).unwrap();
    }
    collector.wait_for("received", 3);
    collector.stop();
    let stat = logboom().args(["stat", "--json"]).arg(collector.data()).output().unwrap();
    let stat: serde_json::Value = serde_json::from_slice(&stat.stdout).unwrap();
    assert_eq!((&stat["messages"], &stat["raw_bytes"], &stat["sources"]), (&3.into(), &36.into(), &1.into()));
    for field in ["segments", "blocks", "stored_bytes", "ratio", "first_received", "last_received", "lost"] {
        assert!(!stat[field].is_null(), "{field}");
    }
}
