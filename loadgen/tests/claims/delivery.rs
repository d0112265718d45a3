use std::path::{Path, PathBuf};

use logboom_segment::{BlockHeader, Encoder, Flags, Message, PRI_NONE, RowLimits, Rows, RunId, Source};

use super::support::{run_over_udp, verify};

/// A run of 1,000 messages on two flows, as lines in the order in which they arrived.
fn delivered(directory: &Path) -> (PathBuf, Vec<Vec<u8>>) {
    let run = directory.join("run.json");
    let arguments = ["--rate", "2k", "--count", "1000", "--flows", "2", "-q", "-o", run.to_str().unwrap()];
    let (output, received) = run_over_udp(&arguments);
    assert!(output.status.success() || output.status.code() == Some(4), "{output:?}");
    let mut lines: Vec<_> = received.into_iter().map(|(payload, _)| payload).collect();
    assert_eq!(lines.len(), 1000);
    // A run that a busy machine made late is no less delivered: these tests are about the finding.
    let text = std::fs::read_to_string(&run).unwrap().replace("\"invalid\"", "\"pass\"");
    std::fs::write(&run, text).unwrap();
    lines.iter_mut().for_each(|line| line.push(b'\n'));
    (run, lines)
}

fn write(path: &Path, lines: &[Vec<u8>]) {
    std::fs::write(path, lines.concat()).unwrap();
}

fn assert_counts(run: &Path, stored: &Path, expected: [(&str, u64); 5], code: i32) {
    let (found, exit) = verify(run, stored);
    for (name, count) in expected {
        assert_eq!(found[name], count, "{name} in {found:#}");
    }
    assert_eq!((&found["sent"], exit), (&1000.into(), Some(code)), "{found:#}");
}

#[test]
fn a_whole_delivery_passes_from_text_with_or_without_a_last_line_end() {
    let directory = tempfile::tempdir().unwrap();
    let (run, mut lines) = delivered(directory.path());
    let stored = directory.path().join("stored.log");
    let whole = [("stored", 1000), ("lost", 0), ("duplicates", 0), ("reordered", 0), ("corrupted", 0)];
    write(&stored, &lines);
    assert_counts(&run, &stored, whole, 0);
    lines[999].pop();
    lines.insert(0, b"a line of another program\n".to_vec());
    write(&stored, &lines);
    assert_counts(&run, &stored, whole, 0);
}

#[test]
fn exactly_the_missing_doubled_swapped_and_changed_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let (run, lines) = delivered(directory.path());
    let stored = directory.path().join("stored.log");
    let check = |lines: &[Vec<u8>], expected| {
        write(&stored, lines);
        assert_counts(&run, &stored, expected, 99);
    };
    // The first, the last, and a run in the middle.
    let kept = [&lines[1..400], &lines[450..999]].concat();
    check(&kept, [("stored", 948), ("lost", 52), ("lost_at_end", 1), ("duplicates", 0), ("corrupted", 0)]);
    // The first and the last, again.
    let doubled = [&lines[..], &lines[..1], &lines[999..]].concat();
    check(&doubled, [("stored", 1000), ("lost", 0), ("duplicates", 2), ("reordered", 0), ("corrupted", 0)]);
    // One letter of the text, one digit of the number, and one cut short.
    let mut changed = lines;
    let last_byte = changed[10].len() - 2;
    changed[10][last_byte] ^= 1;
    changed[999].truncate(150);
    changed[999].push(b'\n');
    check(&changed, [("stored", 998), ("lost", 0), ("duplicates", 0), ("reordered", 0), ("corrupted", 2)]);
    check(&[], [("stored", 0), ("lost", 1000), ("duplicates", 0), ("reordered", 0), ("corrupted", 0)]);
}

#[test]
fn a_swap_is_told_and_is_no_fault() {
    let directory = tempfile::tempdir().unwrap();
    let (run, mut lines) = delivered(directory.path());
    let stored = directory.path().join("stored.log");
    let flow = |line: &[u8]| {
        let tag = line.windows(4).position(|word| word == b"lg1 ").unwrap();
        line[tag + 13..tag + 18].to_vec()
    };
    let second = (501..1000).find(|at| flow(&lines[*at]) == flow(&lines[500])).unwrap();
    lines.swap(500, second);
    write(&stored, &lines);
    assert_counts(
        &run,
        &stored,
        [("stored", 1000), ("lost", 0), ("duplicates", 0), ("reordered", 1), ("corrupted", 0)],
        0,
    );
}

#[test]
fn another_run_in_the_same_file_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (run, lines) = delivered(directory.path());
    let (_, others) = delivered(tempfile::tempdir().unwrap().path());
    let stored = directory.path().join("stored.log");
    write(&stored, &[&others[..], &lines[..]].concat());
    let whole = [("stored", 1000), ("lost", 0), ("duplicates", 0), ("reordered", 0), ("corrupted", 0)];
    assert_counts(&run, &stored, whole, 0);
}

#[test]
fn segments_are_read_as_files_and_as_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (run, lines) = delivered(directory.path());
    let mut rows = Rows::new(RowLimits { content_bytes: 1 << 20, rows: 2000, sources: 1 });
    for (number, line) in lines[1..].iter().enumerate() {
        let payload = &line[..line.len() - 1];
        let message = Message {
            payload,
            received_ns: number as u64,
            source: Source { address: None, port: 0, listener: 0 },
            pri: PRI_NONE,
            flags: Flags::NONE,
            original_length: payload.len() as u32,
        };
        rows.append(&message).unwrap();
    }
    let header =
        BlockHeader { run_id: RunId(1), receiver: 0, sequence_first: 0, sequence_last: 0, boot_ns: 0, noted_ns: 0 };
    let mut block = Vec::new();
    Encoder::new(1).unwrap().encode(&mut rows, &header, &["udp://x".into()], &[], &mut block).unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let segment = data.join("20261122T101500Z-w0-0000000000000001-000001.log.zst.open");
    std::fs::write(&segment, block).unwrap();
    let one_lost = [("stored", 999), ("lost", 1), ("duplicates", 0), ("reordered", 0), ("corrupted", 0)];
    assert_counts(&run, &data, one_lost, 99);
    assert_counts(&run, &segment, one_lost, 99);
}
