use logboom_segment::{BlockRef, Decoder, Direction, Flags, Merge, Message, Rows, read_block};
use proptest::prelude::*;

use super::sample::{START_NS, Writer, header, message};

/// Texts of the merged messages of `blocks`, all in one file.
fn merged(bytes: &Vec<u8>, blocks: Vec<BlockRef>) -> Vec<String> {
    let (mut decoder, mut block) = (Decoder::new().unwrap(), Vec::new());
    let mut merge = Merge::new(blocks, Direction::Forward, |at: &BlockRef, rows: &mut Rows| {
        read_block(bytes, &at.entry, &mut block).ok()?;
        decoder.decode(&block, rows).ok()
    });
    let mut texts = Vec::new();
    while let Some((message, listener)) = merge.next_message() {
        assert_eq!(listener, "udp://127.0.0.1:5514");
        texts.push(String::from_utf8(message.payload.to_vec()).unwrap());
    }
    texts
}

/// Writes blocks of `(receiver, sequence, receive times)`; each message's text is `receiver.sequence.row`.
fn write(blocks: &[(u32, u64, Vec<u64>)]) -> (Vec<u8>, Vec<BlockRef>) {
    let mut writer = Writer::new();
    let mut refs = Vec::new();
    for (receiver, sequence, times) in blocks {
        for (row, ns) in times.iter().enumerate() {
            let text = format!("{receiver}.{sequence}.{row}");
            writer.rows.append(&message(text.as_bytes(), START_NS + ns)).unwrap();
        }
        let offset = writer.bytes.len() as u64;
        let entry = writer.block(&header(*receiver, *sequence), &[]);
        refs.push(BlockRef { segment: 0, entry: logboom_segment::BlockEntry { offset, ..entry } });
    }
    (writer.bytes, refs)
}

#[test]
fn messages_of_two_receivers_come_by_time_and_ties_by_receiver() {
    let (bytes, refs) = write(&[(1, 0, vec![10, 20, 30]), (0, 0, vec![15, 20, 40]), (0, 1, vec![40, 41])]);
    assert_eq!(merged(&bytes, refs), ["1.0.0", "0.0.0", "0.0.1", "1.0.1", "1.0.2", "0.0.2", "0.1.0", "0.1.1"]);
}

#[test]
fn a_clock_set_back_does_not_change_the_order_within_a_block() {
    let (bytes, refs) = write(&[(0, 0, vec![100, 101, 50, 51])]);
    assert_eq!(merged(&bytes, refs), ["0.0.0", "0.0.1", "0.0.2", "0.0.3"]);
}

#[test]
fn the_kernels_times_order_messages_within_a_block_too() {
    let mut writer = Writer::new();
    let mut refs = Vec::new();
    // What two receivers took of one sender (a to f), with another sender's message (x) stamped on another processor.
    for (receiver, rows) in
        [(0, vec![("a", 1), ("x\0", 9), ("d\n", 4), ("f", 10)]), (1, vec![("b", 2), ("c", 3), ("e", 8)])]
    {
        for (text, ns) in rows {
            let flags = Flags::KERNEL_TIME;
            writer.rows.append(&Message { flags, ..message(text.as_bytes(), START_NS + ns) }).unwrap();
        }
        let offset = writer.bytes.len() as u64;
        let entry = writer.block(&header(receiver, 0), &[]);
        refs.push(BlockRef { segment: 0, entry: logboom_segment::BlockEntry { offset, ..entry } });
    }
    assert_eq!(merged(&writer.bytes, refs), ["a", "b", "c", "d\n", "e", "x\0", "f"]);
}

#[test]
fn a_block_seen_twice_is_shown_once() {
    let (bytes, mut refs) = write(&[(0, 0, vec![1]), (0, 1, vec![2]), (0, 2, vec![3])]);
    refs.extend(refs.clone());
    assert_eq!(merged(&bytes, refs), ["0.0.0", "0.1.0", "0.2.0"]);
}

#[test]
fn blocks_that_a_rewrite_joined_are_shown_once() {
    let (bytes, mut refs) = write(&[(0, 0, vec![1]), (0, 1, vec![2]), (0, 0, vec![1, 2]), (0, 2, vec![3])]);
    refs[2].entry.sequence_last = 1;
    assert_eq!(merged(&bytes, refs), ["0.0.0", "0.0.1", "0.2.0"]);
}

proptest! {
    #[test]
    fn every_message_comes_once_and_in_order_of_time(
        receivers in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(0u64..50, 0..6), 0..6), 0..4,
        ),
    ) {
        // Within a receiver time does not go back.
        let mut blocks = Vec::new();
        for (receiver, steps_by_block) in receivers.iter().enumerate() {
            let mut now = 0;
            for (sequence, steps) in steps_by_block.iter().enumerate() {
                let times = steps.iter().map(|step| { now += step; now }).collect::<Vec<_>>();
                blocks.push((receiver as u32, sequence as u64, times));
            }
        }
        let mut expected: Vec<_> = blocks
            .iter()
            .flat_map(|(receiver, sequence, times)| {
                times.iter().enumerate().map(move |(row, ns)| (*ns, *receiver, *sequence, row))
            })
            .collect();
        expected.sort_unstable();
        let expected: Vec<_> = expected.iter().map(|(_, receiver, sequence, row)| format!("{receiver}.{sequence}.{row}")).collect();
        let (bytes, refs) = write(&blocks);
        prop_assert_eq!(merged(&bytes, refs), expected);
    }
}
