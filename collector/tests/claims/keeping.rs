use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

use logboom::read::find::{Found, find};
use logboom::read::scan::{Scan, ScanStats};
use logboom::read::select::Filters;
use logboom_segment::{Decoder, Direction, FileState, Segment, SegmentName, list_segments};

use super::support::{Collector, logboom, udp_sender};

fn cat(data: &Path) -> Output {
    logboom().args(["cat", "-o", "raw"]).arg(data).output().unwrap()
}

fn open(path: &Path) -> Segment {
    Segment::open(&std::fs::File::open(path).unwrap(), &mut Decoder::new().unwrap()).unwrap()
}

/// Sends numbered messages to a collector that has none yet, each stored in a block of its own.
fn send_apart(collector: &Collector, numbers: std::ops::Range<u64>) {
    let sender = udp_sender();
    for number in numbers.clone() {
        sender.send_to(&text(number), collector.udp).unwrap();
        collector.wait_for("stored", number - numbers.start + 1);
    }
}

fn text(number: u64) -> Vec<u8> {
    format!("message {number:06}").into_bytes()
}

fn numbers(text: &[u8]) -> Vec<u64> {
    let text = str::from_utf8(text).unwrap();
    text.lines().map(|line| line.strip_prefix("message ").unwrap().parse().unwrap()).collect()
}

/// The numbers of all messages, read without a complaint.
fn read(found: &[Found]) -> Vec<u64> {
    let (filters, stats, mut seen) = (Filters::default(), ScanStats::default(), Vec::new());
    let scan = Scan { filters: &filters, pattern: None, direction: Direction::Forward, threads: 2, stats: &stats };
    let complaints = scan.for_each(found, |message, _| {
        seen.extend(numbers(message.payload));
        Ok(true)
    });
    assert_eq!(complaints.unwrap(), Vec::<String>::new());
    seen
}

#[test]
fn what_a_killed_collector_left_is_sealed_at_the_next_start() {
    let mut collector = Collector::start(&["store.block_age=10ms"]);
    send_apart(&collector, 0..5);
    collector.signal("KILL");
    collector.wait();
    let left = list_segments(&collector.data()).unwrap().remove(0);
    assert_eq!(left.state, FileState::Open);
    let whole = std::fs::read(left.path()).unwrap();
    std::fs::OpenOptions::new().append(true).open(left.path()).unwrap().write_all(&whole[..40]).unwrap();

    let mut next = Collector::start_in(collector.directory.path(), &["store.block_age=10ms"]);
    next.wait_for_metric("logboom_recovered_segments_total", 1);
    assert_eq!(next.metric("logboom_recovered_torn_bytes_total"), Some(40));
    next.wait_for_line("recovered 1 segments with 5 messages");
    let sealed = collector.data().join(left.name.file_name(FileState::Sealed));
    let segment = open(&sealed);
    assert!(segment.sealed && segment.recovered && segment.messages() == 5);
    let torn = sealed.with_file_name(format!("{}.torn", sealed.file_name().unwrap().to_str().unwrap()));
    assert_eq!(std::fs::read(torn).unwrap(), whole[..40]);
    send_apart(&next, 5..7);
    next.stop();
    assert_eq!(numbers(&cat(&collector.data()).stdout), (0..7).collect::<Vec<_>>());
    assert!(logboom().arg("verify").arg(collector.data()).status().unwrap().success());
    let ledger = logboom().args(["ledger", "--json"]).arg(collector.data()).output().unwrap();
    assert_eq!(ledger.status.code(), Some(1), "what it had in memory is lost");
    let ledger: serde_json::Value = serde_json::from_slice(&ledger.stdout).unwrap();
    let broken_off = ledger["broken_off"].as_array().unwrap();
    assert_eq!((&ledger["stored"], broken_off.len()), (&7.into(), 1), "{ledger:#}");
    assert_eq!(broken_off[0]["run_id"], left.name.run_id.to_string());
}

#[test]
fn a_file_that_was_given_up_after_a_failed_sync_does_not_say_that_its_run_broke_off() {
    let mut collector = Collector::start(&["store.block_age=10ms"]);
    send_apart(&collector, 0..3);
    collector.stop();
    let first = list_segments(&collector.data()).unwrap().remove(0);
    let second = SegmentName { number: first.name.number + 1, ..first.name.clone() };
    let path = |name: &SegmentName, state| collector.data().join(name.file_name(state));
    let broken_off = || {
        let output = logboom().args(["ledger", "--json"]).arg(collector.data()).output().unwrap();
        let ledger: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(ledger["stored"], 3, "each message once, though it stands in two files");
        (output.status.code(), ledger["broken_off"].as_array().unwrap().len())
    };
    std::fs::copy(first.path(), path(&second, FileState::Sealed)).unwrap();
    std::fs::rename(first.path(), path(&first.name, FileState::Open)).unwrap();
    assert_eq!(broken_off(), (Some(0), 0));
    std::fs::rename(path(&second, FileState::Sealed), path(&second, FileState::Open)).unwrap();
    assert_eq!(broken_off(), (Some(1), 1), "the last has no end either");
}

#[test]
fn an_open_segment_of_a_dead_run_is_torn_even_beside_a_running_collector() {
    let mut collector = Collector::start(&["store.block_age=10ms"]);
    send_apart(&collector, 0..1);
    let growing = list_segments(&collector.data()).unwrap().remove(0);
    let bytes = std::fs::read(growing.path()).unwrap();
    let half = [&bytes[..], &bytes[..30]].concat();
    let verify = || {
        let output = logboom().args(["verify", "--json"]).arg(collector.data()).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["torn_bytes"].as_u64()
    };
    std::fs::write(growing.path(), &half).unwrap();
    assert_eq!(verify(), Some(0), "its own: it grows");
    std::fs::write(growing.path(), &bytes).unwrap();
    let mut name = growing.name;
    name.run_id.0 ^= 1;
    std::fs::write(collector.data().join(name.file_name(FileState::Open)), half).unwrap();
    assert_eq!(verify(), Some(30), "another's: nobody completes it");
    collector.stop();
}

#[test]
fn small_blocks_are_joined_while_the_collector_runs() {
    let mut collector = Collector::start(&["store.block_age=10ms", "store.segment_age=2s", "receive.threads=1"]);
    send_apart(&collector, 0..30);
    collector.wait_for_metric("logboom_rewritten_segments_total", 1);
    let data = collector.data();
    let rewritten = |path: PathBuf| Some(open(&path)).filter(|segment| segment.rewritten.is_some());
    let segment = list_segments(&data).unwrap().iter().find_map(|segment| rewritten(segment.path())).unwrap();
    assert!(segment.blocks.len() * 2 <= segment.messages() as usize, "{} blocks", segment.blocks.len());
    collector.stop();
    assert_eq!(numbers(&cat(&data).stdout), (0..30).collect::<Vec<_>>());
    assert!(
        std::fs::read_dir(&data)
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_str().unwrap().ends_with(".rewrite") })
    );
}

#[test]
fn a_segment_that_is_replaced_between_finding_and_reading_gives_each_message_once() {
    let mut first = Collector::start(&["store.block_age=10ms"]);
    send_apart(&first, 0..40);
    first.stop();
    let found = find(&[first.data()], &mut Decoder::new().unwrap()).unwrap();
    let mut next = Collector::start_in(first.directory.path(), &[]);
    next.wait_for_metric("logboom_rewritten_segments_total", 1);
    next.stop();
    assert_eq!(read(&found), (0..40).collect::<Vec<_>>());
}

#[test]
fn a_segment_that_is_deleted_between_finding_and_reading_is_no_damage() {
    let mut collector = Collector::start(&["store.block_age=10ms"]);
    send_apart(&collector, 0..3);
    collector.stop();
    let found = find(&[collector.data()], &mut Decoder::new().unwrap()).unwrap();
    std::fs::remove_file(&found[0].path).unwrap();
    assert_eq!(read(&found), Vec::<u64>::new());
}

#[test]
fn readers_beside_a_collector_that_seals_and_joins_never_miss_and_never_double() {
    const MESSAGES: u64 = 600;
    let mut collector = Collector::start(&["store.block_age=10ms", "store.segment_age=1s"]);
    let (sender, to) = (udp_sender(), collector.udp);
    // A few at a time, so that the passes come between them.
    let (mut sent, mut passes, mut last) = (0, 0, 0);
    while last < MESSAGES {
        for number in sent..(sent + 10).min(MESSAGES) {
            sender.send_to(&text(number), to).unwrap();
        }
        sent = (sent + 10).min(MESSAGES);
        collector.wait_for("stored", 1);
        let at_least = collector.ledger()["stored"].as_u64().unwrap();
        let printed = cat(&collector.data());
        let seen = numbers(&printed.stdout);
        assert!(printed.stderr.is_empty(), "{}", String::from_utf8_lossy(&printed.stderr));
        assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>());
        assert!(seen.len() as u64 >= at_least, "{} of {at_least} that were stored before", seen.len());
        (passes, last) = (passes + 1, seen.len() as u64);
    }
    assert!(passes > 10, "only {passes} passes");
    collector.wait_for_metric("logboom_rewritten_segments_total", 1);
    collector.stop();
}

#[test]
fn the_oldest_segments_are_deleted_and_files_of_others_stay() {
    let settings = ["store.segment_size=1MiB", "store.block_size=64KiB", "store.level=-7", "retention.max_bytes=2MiB"];
    let mut collector = Collector::start(&settings);
    let others = ["messages.log.zst", "notes.txt", "20261122T101500Z-w0-00000000000000AB-000001.log.zst"];
    others.iter().for_each(|name| std::fs::write(collector.data().join(name), vec![0; 100]).unwrap());
    let sender = udp_sender();
    let mut state = 1u64;
    for number in 1..=6_000u64 {
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(number);
            b'!' + (state >> 58) as u8
        });
        let noise = noise.take(1000).collect::<Vec<u8>>();
        sender.send_to(&noise, collector.udp).unwrap();
        if number % 50 == 0 {
            collector.wait_for("received", number);
        }
    }
    collector.wait_for_metric("logboom_retention_deleted_segments_total{reason=\"max_bytes\"}", 2);
    let data = collector.data();
    assert!(others.iter().all(|name| data.join(name).exists()));
    let left = list_segments(&data).unwrap();
    let newest = left.iter().map(|segment| segment.name.number).max().unwrap();
    assert!(left.iter().all(|segment| segment.name.number + 4 > newest), "the newest stay: {left:?}");
    collector.stop();
}

#[test]
fn what_is_whole_of_a_damaged_file_is_copied_to_another() {
    let mut collector = Collector::start(&["store.block_age=10ms"]);
    send_apart(&collector, 0..3);
    collector.stop();
    let damaged = list_segments(&collector.data()).unwrap().remove(0).path();
    let mut bytes = std::fs::read(&damaged).unwrap();
    let second = open(&damaged).blocks[1];
    bytes[second.offset as usize + 20] ^= 1;
    std::fs::write(&damaged, &bytes).unwrap();

    let repair = || logboom().args(["verify", "--repair"]).arg(collector.data()).output().unwrap();
    let output = repair();
    assert_eq!(output.status.code(), Some(1));
    let name = damaged.file_name().unwrap().to_str().unwrap();
    let repaired = damaged.with_file_name(format!("repaired-{name}"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("its 2 messages are in {}", repaired.display())), "{told}");
    assert_eq!(std::fs::read(&damaged).unwrap(), bytes, "the damaged file is evidence");
    let copy = cat(&repaired);
    assert_eq!((copy.status.code(), numbers(&copy.stdout)), (Some(0), vec![0, 2]));
    assert!(logboom().arg("verify").arg(&repaired).status().unwrap().success());
    // In the directory the copy does not count twice.
    assert_eq!(numbers(&cat(&collector.data()).stdout), [0, 2]);
    let again = repair();
    assert_eq!(again.status.code(), Some(1));
    let told = String::from_utf8(again.stderr).unwrap();
    assert!(told.contains(&format!("{} is there already", repaired.display())), "{told}");
    assert!(String::from_utf8(again.stdout).unwrap().starts_with("DAMAGED: 1 segments"), "and it goes on to the end");
}

#[test]
fn several_data_directories_are_written_and_read_together() {
    let second = tempfile::tempdir().unwrap();
    let mut collector = Collector::start_with(&["--data-dir", second.path().to_str().unwrap()], &["store.writers=2"]);
    send_apart(&collector, 0..3);
    let status: serde_json::Value = serde_json::from_str(&collector.get("/status").1).unwrap();
    assert_eq!(status["data_dirs"].as_array().unwrap().len(), 2);
    assert!(second.path().join("logboom.lock").exists());
    collector.stop();
    let both = logboom().args(["cat", "-o", "raw"]).arg(collector.data()).arg(second.path()).output().unwrap();
    assert_eq!(numbers(&both.stdout), [0, 1, 2]);
}
