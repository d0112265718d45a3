use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logboom_segment::{BlockHeader, Encoder, Flags, Message, PRI_NONE, RowLimits, Rows, RunId, Source};
use serde_json::{Value, json};

use super::support::{delivered, loadgen, read_report, text, verify};

fn lines(messages: &[Vec<u8>], line: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    messages.iter().flat_map(|message| [&line(message)[..], b"\n"].concat()).collect()
}

/// When a message was due.
fn send_ns(message: &[u8]) -> u64 {
    let tag = text(message);
    tag[tag.find("lg1 ").unwrap() + 30..][..20].parse().unwrap()
}

const SEGMENT: &str = "20261122T101500Z-w0-0000000000000001-000001.log.zst.open";

/// A data directory with one segment, whose block has the messages, received `delay_ns` after each was due.
fn data_directory(directory: &Path, messages: &[Vec<u8>], delay_ns: u64) -> PathBuf {
    let data = directory.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join(SEGMENT), block(messages, delay_ns, 0)).unwrap();
    data
}

/// Block number `sequence` of a run.
fn block(messages: &[Vec<u8>], delay_ns: u64, sequence: u64) -> Vec<u8> {
    let mut rows = Rows::new(RowLimits { content_bytes: 1 << 20, rows: 2000, sources: 1 });
    for payload in messages {
        let message = Message {
            payload,
            received_ns: send_ns(payload).wrapping_add(delay_ns),
            source: Source { address: None, port: 0, listener: 0 },
            pri: PRI_NONE,
            flags: Flags::NONE,
            original_length: payload.len() as u32,
        };
        rows.append(&message).unwrap();
    }
    let (run_id, sequence_first, sequence_last) = (RunId(1), sequence, sequence);
    let header = BlockHeader { run_id, receiver: 0, sequence_first, sequence_last, boot_ns: 0, noted_ns: 0 };
    let mut block = Vec::new();
    Encoder::new(1).unwrap().encode(&mut rows, &header, &["udp://x".into()], &[], &mut block).unwrap();
    block
}

fn assert_figures(found: &(Value, Option<i32>), expected: [(&str, u64); 4], code: i32) {
    for (name, count) in expected {
        assert_eq!(found.0[name], count, "{name} in {:#}", found.0);
    }
    assert_eq!(found.1, Some(code));
}

#[test]
fn what_a_collector_puts_around_a_message_is_no_change_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (run, messages) = delivered(directory.path(), 200);
    let stored = directory.path().join("stored");
    let cr = |message: &[u8]| [b"Nov 23 10:00:00 host app: ", message, b"\r"].concat();
    let json =
        |message: &[u8]| json!({ "host": "a", "message": text(message), "severity": "info" }).to_string().into_bytes();
    let headed = |message: &[u8]| [b"another header: ", message].concat();
    let check = |lines: Vec<u8>, wrapped| {
        std::fs::write(&stored, lines).unwrap();
        let whole = [("stored", 200), ("wrapped", wrapped), ("corrupted", 0), ("lost", 0)];
        assert_figures(&verify(&run, &stored), whole, 0);
    };
    check(lines(&messages, cr), 200);
    check(lines(&messages, json), 200);
    check(lines(&messages, headed), 0);
    check(lines(&messages, |message| message[5..].to_vec()), 0);
    std::fs::write(&stored, lines(&messages, |message| [message, b" and more"].concat())).unwrap();
    let none = [("stored", 0), ("wrapped", 0), ("corrupted", 200), ("lost", 0)];
    assert_figures(&verify(&run, &stored), none, 99);
}

#[test]
fn zstd_frames_of_text_are_read_by_name_and_from_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let (run, messages) = delivered(directory.path(), 200);
    let stored = directory.path().join("stored.zst");
    let frames = [&messages[..90], &messages[90..]].map(|part| zstd::bulk::compress(&lines(part, <[u8]>::to_vec), 1));
    let bytes = frames.map(Result::unwrap).concat();
    std::fs::write(&stored, &bytes).unwrap();
    let whole = [("stored", 200), ("wrapped", 0), ("corrupted", 0), ("lost", 0)];
    assert_figures(&verify(&run, &stored), whole, 0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command
        .args(["verify", "--json", "--run", run.to_str().unwrap(), "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_figures(&(serde_json::from_slice(&output.stdout).unwrap(), output.status.code()), whole, 0);
    // Half a frame is no answer.
    std::fs::write(&stored, &bytes[..bytes.len() - 10]).unwrap();
    let output = loadgen(&["verify", "--run", run.to_str().unwrap(), stored.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("cannot read "), "{output:?}");
}

#[test]
fn segments_are_read_as_files_and_as_a_directory_and_tell_how_long_messages_took() {
    let directory = tempfile::tempdir().unwrap();
    let (run, messages) = delivered(directory.path(), 200);
    let data = data_directory(directory.path(), &messages[1..], 5_000_000);
    let one_lost = [("stored", 199), ("examined", 199), ("corrupted", 0), ("lost", 1)];
    assert_figures(&verify(&run, &data.join(SEGMENT)), one_lost, 99);
    let found = verify(&run, &data);
    assert_figures(&found, one_lost, 99);
    let latency = &found.0["latency"];
    assert_eq!((&latency["samples"], &latency["unsampled"], &latency["negative"]), (&json!(199), &json!(0), &json!(0)));
    assert_eq!((&latency["mean"], &latency["p50"], &latency["max"]), (&json!(5.0), &json!(5.0), &json!(5.0)));
    assert_eq!(latency["curve"], json!([[100.0, 5.0]]));
    assert_eq!(found.0["latency_synced"], Value::Null);
    // For people.
    let output = loadgen(&["verify", "--run", run.to_str().unwrap(), data.to_str().unwrap()]);
    let told = text(&output.stdout);
    assert!(
        told.contains("; runs 1, lengths p50 1 p99 1 max 1") && told.contains("received    after ms: p50 5.000"),
        "{told}"
    );
}

#[test]
fn blocks_of_a_day_before_the_run_are_passed_over() {
    const HOUR_NS: u64 = 3_600_000_000_000;
    for (hours, found) in [(23, 200), (25, 0)] {
        let directory = tempfile::tempdir().unwrap();
        let (run, messages) = delivered(directory.path(), 200);
        let data = data_directory(directory.path(), &messages, (hours * HOUR_NS).wrapping_neg());
        let figures = [("stored", found), ("examined", found), ("damaged_blocks", 0), ("lost", 200 - found)];
        assert_figures(&verify(&run, &data), figures, if found == 200 { 0 } else { 99 });
    }
}

#[test]
fn a_damaged_block_is_passed_over_and_told_beside_the_figures() {
    let directory = tempfile::tempdir().unwrap();
    let (run, messages) = delivered(directory.path(), 200);
    let data = data_directory(directory.path(), &messages[..100], 0);
    let (first, segment) = (std::fs::read(data.join(SEGMENT)).unwrap(), data.join(SEGMENT.trim_end_matches(".open")));
    std::fs::remove_file(data.join(SEGMENT)).unwrap();
    let mut second = block(&messages[100..], 0, 1);
    let middle = second.len() / 2;
    second[middle] ^= 1;
    for bytes in [[&first[..], &second].concat(), [&second[..], &first].concat()] {
        std::fs::write(&segment, bytes).unwrap();
        for path in [&data, &segment] {
            let figures = [("stored", 100), ("lost", 100), ("damaged_blocks", 1), ("corrupted", 0)];
            assert_figures(&verify(&run, path), figures, 99);
        }
    }
    let output = loadgen(&["verify", "--run", run.to_str().unwrap(), data.to_str().unwrap()]);
    assert!(text(&output.stdout).contains("\ndamaged     1 blocks cannot be read"), "{output:?}");
}

#[test]
fn a_block_of_a_sender_s_making_is_not_taken_for_messages() {
    let directory = tempfile::tempdir().unwrap();
    let (run, messages) = delivered(directory.path(), 200);
    let data = data_directory(directory.path(), &messages, 0);
    let real = data.join(SEGMENT);
    let block = std::fs::read(&real).unwrap();
    std::fs::remove_file(real).unwrap();
    for (run_id, found) in [("0000000000000001", 200), ("0000000000000002", 0)] {
        // What stands before it is damaged; the name says whose blocks may stand behind.
        let segment = data.join(format!("20261122T101500Z-w0-{run_id}-000001.log.zst"));
        std::fs::write(&segment, [&block[..100], &block].concat()).unwrap();
        let figures = [("stored", found), ("examined", found), ("corrupted", 0), ("lost", 200 - found)];
        for path in [&data, &segment] {
            assert_figures(&verify(&run, path), figures, if found == 200 { 0 } else { 99 });
        }
        std::fs::remove_file(segment).unwrap();
    }
}

#[test]
fn a_report_without_a_start_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (run, _) = delivered(directory.path(), 200);
    let mut report: Value = serde_json::from_slice(&std::fs::read(&run).unwrap()).unwrap();
    report["started"] = json!("yesterday");
    std::fs::write(&run, report.to_string()).unwrap();
    let output = loadgen(&["verify", "--run", run.to_str().unwrap(), "/dev/null"]);
    assert!(text(&output.stderr).contains("started \"yesterday\" in the report is no time"), "{output:?}");
}

#[test]
fn an_invalid_run_stays_so_though_all_that_it_sent_is_there_and_both_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let (run, messages) = delivered(directory.path(), 10);
    let mut report = read_report(&run);
    (report["verdict"], report["reason"]) = (json!("invalid"), json!("late"));
    std::fs::write(&run, report.to_string()).unwrap();
    let stored = directory.path().join("stored");
    for (kept, told) in [(10, "what it did send is there"), (9, "what it did send is not there")] {
        std::fs::write(&stored, lines(&messages[..kept], <[u8]>::to_vec)).unwrap();
        let output = loadgen(&["verify", "--run", run.to_str().unwrap(), stored.to_str().unwrap()]);
        let stdout = text(&output.stdout);
        assert!(stdout.contains(&format!("INVALID, as the run was (late); {told}")), "{stdout}");
        assert_eq!(output.status.code(), Some(4));
    }
}

#[test]
fn a_directory_of_more_segments_than_may_be_open_is_read_whole() {
    const FILES_MAX: usize = 48;
    let directory = tempfile::tempdir().unwrap();
    let (run, messages) = delivered(directory.path(), 4 * FILES_MAX);
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for (number, message) in messages.chunks(1).enumerate() {
        let name = format!("20261122T101500Z-w0-0000000000000001-{number:06}.log.zst.open");
        std::fs::write(data.join(name), block(message, 1_000_000, number as u64)).unwrap();
    }
    let limited = format!("ulimit -n {FILES_MAX}; exec \"$@\"");
    let loadgen = env!("CARGO_BIN_EXE_loadgen");
    let arguments = ["-c", &limited, "sh", loadgen, "verify", "--json", "--run"];
    let output = Command::new("sh").args(arguments).args([&run, &data]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["stored"], &found["lost"]), (&json!(4 * FILES_MAX), &json!(0)));
}
