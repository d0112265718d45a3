use std::path::{Path, PathBuf};

use super::support::{delivered, verify};

/// A run of 1,000 messages on two flows, as lines in the order in which they arrived.
fn delivered_lines(directory: &Path) -> (PathBuf, Vec<Vec<u8>>) {
    let (run, mut lines) = delivered(directory, 1000);
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
    let (run, mut lines) = delivered_lines(directory.path());
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
    let (run, lines) = delivered_lines(directory.path());
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
    let (run, mut lines) = delivered_lines(directory.path());
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
    let (run, lines) = delivered_lines(directory.path());
    let (_, others) = delivered_lines(tempfile::tempdir().unwrap().path());
    let stored = directory.path().join("stored.log");
    write(&stored, &[&others[..], &lines[..]].concat());
    let whole = [("stored", 1000), ("lost", 0), ("duplicates", 0), ("reordered", 0), ("corrupted", 0)];
    assert_counts(&run, &stored, whole, 0);
}
