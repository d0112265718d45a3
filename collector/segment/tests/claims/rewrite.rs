use logboom_segment::limits::{CONTENT_BYTES_MAX, ROWS_MAX};
use logboom_segment::{
    BlockRef, Compression, Decoder, Direction, Flags, Loss, LossPlace, Merge, Message, Recompress, Rewrite,
    RewriteGoal, RowLimits, Rows, RunId, Segment, Unsealed, check_block, is_worth_rewriting, plan_joins, read_block,
};

use super::sample::{START_NS, Writer, header, list, message, source};

const LIMITS: RowLimits = RowLimits { content_bytes: 1 << 20, rows: ROWS_MAX, sources: 4096 };
const WARM: RewriteGoal = RewriteGoal { limits: LIMITS, level: 1, recompress: Recompress::Plain };

fn open(bytes: &Vec<u8>) -> Segment {
    Segment::open(bytes, &mut Decoder::new().unwrap()).unwrap()
}

fn rewrite(old: &Vec<u8>, goal: RewriteGoal) -> Vec<u8> {
    let mut rewrite = Rewrite::new(&open(old), goal).unwrap();
    let (mut new, mut block) = (Vec::new(), Vec::new());
    while rewrite.next_block(old, &mut block).unwrap() {
        new.extend_from_slice(&block);
    }
    assert_eq!(rewrite.messages(), open(old).messages());
    new.extend_from_slice(&rewrite.end().unwrap());
    let segment = Segment::walk(&new, &mut Decoder::new().unwrap()).unwrap();
    assert!(segment.sealed && segment.damage.is_empty() && segment.tail_bytes == 0);
    new
}

/// Small blocks of several receivers, with everything that a message can have; one block in ten says of a loss.
fn quiet_hours(blocks: u64) -> Writer {
    let mut writer = Writer::new();
    for number in 0..blocks {
        let (receiver, sequence) = ((number % 3) as u32, number / 3);
        for (row, payload) in
            [&b"<34>su: one"[..], b"two\nlines", b"", b"three\n", b"four\0", b"a\x1E\nb"].iter().enumerate()
        {
            let at = START_NS + number * 60_000_000_000 + row as u64;
            let cut = Message { flags: Flags::TRUNCATED, original_length: 70_000, ..message(payload, at) };
            let whole = Message { source: source(5000 + (number % 7) as u16), ..message(payload, at) };
            writer.rows.append(if row == 3 { &cut } else { &whole }).unwrap();
        }
        let losses = [Loss { place: LossPlace::SocketBuffer, detail: 0, messages: number }];
        writer.block(&header(receiver, sequence), if number % 10 == 9 { &losses } else { &[] });
    }
    writer
}

#[test]
fn joined_blocks_hold_the_same_messages_and_losses() {
    let old = quiet_hours(100).seal();
    assert!(is_worth_rewriting(&open(&old), &WARM));
    let new = rewrite(&old, WARM);
    assert_eq!(list(&new), list(&old));
    assert_eq!(open(&new).losses, open(&old).losses);
    assert!(open(&new).blocks.len() < 40, "{} blocks", open(&new).blocks.len());
    assert!(new.len() < old.len() / 2, "{} of {} B", new.len(), old.len());
    assert!(!is_worth_rewriting(&open(&new), &WARM), "and that is all there is to gain");
    assert!(open(&new).blocks.iter().all(|block| block.content_bytes as usize <= LIMITS.content_bytes));
}

#[test]
fn quiet_hours_come_within_a_tenth_of_full_blocks() {
    // Ten messages a minute, each minute's in a block of its own, for a day.
    let line = |number: u64| {
        format!(
            "<30>Oct 11 22:14:15 host-{} app[{}]: request {number} took {} ms",
            number % 20,
            number % 977,
            number * 7919 % 5000
        )
    };
    let (mut quiet, mut full) = (Writer::new(), Writer::new());
    for number in 0..14_400 {
        let (text, at) = (line(number), START_NS + number * 6_000_000_000);
        let row = Message { pri: 30, ..message(text.as_bytes(), at) };
        quiet.rows.append(&row).unwrap();
        full.rows.append(&row).unwrap();
        if number % 10 == 9 {
            quiet.block(&header(0, number / 10), &[]);
        }
    }
    full.block(&header(0, 0), &[]);
    let (quiet, full) = (quiet.seal(), full.seal());
    let new = rewrite(&quiet, WARM);
    assert!(
        new.len() * 10 <= full.len() * 11,
        "{} B of quiet hours became {}, in full blocks {}",
        quiet.len(),
        new.len(),
        full.len()
    );
}

#[test]
fn an_old_block_is_found_in_the_joined_one() {
    let old = quiet_hours(60).seal();
    let new = rewrite(&old, WARM);
    let (mut decoder, mut bytes) = (Decoder::new().unwrap(), Vec::new());
    for entry in open(&old).blocks {
        let (mut expected, mut rows) = (Rows::for_decoding(), Rows::for_decoding());
        read_block(&old, &entry, &mut bytes).unwrap();
        decoder.decode(&bytes, &mut expected).unwrap();
        let holds = |b: &&logboom_segment::BlockEntry| {
            b.receiver == entry.receiver && (b.sequence_first..=b.sequence_last).contains(&entry.sequence_first)
        };
        let joined = *open(&new).blocks.iter().find(holds).unwrap();
        read_block(&new, &joined, &mut bytes).unwrap();
        decoder.decode_part(&bytes, &entry, &mut rows).unwrap();
        assert!(rows.messages().eq(expected.messages()), "{entry:?}");
    }
}

#[test]
fn blocks_with_a_gap_between_them_are_not_joined() {
    // Those between may be in another writer's file: a joined block would claim to be them.
    let mut writer = Writer::new();
    for sequence in [0, 1, 3, 4, 6] {
        writer.rows.append(&message(b"text", START_NS + sequence)).unwrap();
        writer.block(&header(0, sequence), &[]);
    }
    let groups = plan_joins(&open(&writer.seal()).blocks, LIMITS);
    let sequences: Vec<Vec<u64>> = groups.iter().map(|g| g.iter().map(|b| b.sequence_first).collect()).collect();
    assert_eq!(sequences, [vec![0, 1], vec![3, 4], vec![6]]);
}

#[test]
fn blocks_of_a_recovered_segment_stay_apart_and_their_copies_are_told() {
    // The writer gave this file up after a failed sync and wrote its last two blocks again, to the next.
    let given_up = quiet_hours(30).bytes;
    let recovered = Unsealed::walk(&given_up, RunId(0xC0FFEE), &mut Decoder::new().unwrap()).unwrap();
    let recovered = [given_up, recovered.end].concat();
    let mut next = Writer::new();
    for sequence in 8..12 {
        next.rows.append(&message(b"<34>su: one", START_NS + sequence)).unwrap();
        next.block(&header(2, sequence), &[]);
    }
    let next = rewrite(&next.seal(), WARM);
    assert_eq!(open(&next).blocks.len(), 1);
    let cold = RewriteGoal { level: 5, recompress: Recompress::All, ..WARM };
    let recompressed = rewrite(&recovered, cold);
    assert_eq!(open(&recompressed).blocks.len(), 30, "compressed harder, but not joined");

    let files = [recompressed, next];
    let blocks = files
        .iter()
        .enumerate()
        .flat_map(|(segment, file)| open(file).blocks.into_iter().map(move |entry| BlockRef { segment, entry }));
    let (mut decoder, mut bytes) = (Decoder::new().unwrap(), Vec::new());
    let mut merge = Merge::new(blocks.collect(), Direction::Forward, |block: &BlockRef, rows: &mut Rows| {
        read_block(&files[block.segment], &block.entry, &mut bytes).unwrap();
        decoder.decode(&bytes, rows).ok()
    });
    let mut messages = 0;
    while merge.next_message().is_some() {
        messages += 1;
    }
    // 28 blocks of six that stand in one file only, and the joined one of four.
    assert_eq!(messages, 28 * 6 + 4);
}

#[test]
fn plain_blocks_are_compressed_and_others_copied_as_they_are() {
    let text = "<34>Oct 11 22:14:15 host su: attempt for lonvick on /dev/pts/8 ".repeat(100);
    let mut writer = Writer::new();
    for (sequence, compression) in [(0, Compression::None), (2, Compression::Level), (4, Compression::None)] {
        writer.encoder.set_compression(compression).unwrap();
        (0..100).for_each(|_| writer.rows.append(&message(text.as_bytes(), START_NS)).unwrap());
        writer.block(&header(0, sequence), &[]);
    }
    let old = writer.seal();
    assert!(is_worth_rewriting(&open(&old), &WARM));
    let new = rewrite(&old, WARM);
    assert_eq!(list(&new), list(&old));
    assert!(open(&new).blocks.iter().all(|block| block.data_bytes < block.content_bytes / 10));
    let middle = |bytes: &Vec<u8>| {
        let (mut block, entry) = (Vec::new(), open(bytes).blocks[1]);
        read_block(bytes, &entry, &mut block).unwrap();
        block
    };
    assert_eq!(middle(&new), middle(&old));
}

#[test]
fn old_segments_become_smaller_still_and_are_read_by_any_zstd() {
    let limits = RowLimits { content_bytes: CONTENT_BYTES_MAX, ..LIMITS };
    let cold = RewriteGoal { limits, level: 19, recompress: Recompress::All };
    let old = rewrite(&quiet_hours(300).seal(), WARM);
    assert!(is_worth_rewriting(&open(&old), &cold));
    let new = rewrite(&old, cold);
    assert_eq!(list(&new), list(&old));
    assert!(new.len() < old.len());
    assert!(!is_worth_rewriting(&open(&new), &cold), "once is enough");
    let lines = zstd::stream::decode_all(&new[..]).unwrap().iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 1800);
    // Parts of parts: the names of the first blocks are known still.
    let (mut block, entry) = (Vec::new(), open(&new).blocks[0]);
    read_block(&new, &entry, &mut block).unwrap();
    let parts = check_block(&block).unwrap().1.parts(&mut Decoder::new().unwrap()).unwrap();
    assert_eq!(parts.len() as u64, entry.sequence_last - entry.sequence_first + 1);
}

#[test]
fn damage_that_was_kept_is_not_lost_from_sight() {
    let mut left = quiet_hours(30).bytes;
    left[30] ^= 1;
    let end = Unsealed::walk(&left, RunId(0xC0FFEE), &mut Decoder::new().unwrap()).unwrap().end;
    let recovered = [left, end].concat();
    assert!(open(&recovered).sealed && open(&recovered).damage.is_empty(), "its index does not tell");
    for goal in [WARM, RewriteGoal { level: 19, recompress: Recompress::All, ..WARM }] {
        assert!(!is_worth_rewriting(&open(&recovered), &goal));
    }
}

#[test]
fn a_damaged_segment_is_not_written_anew() {
    let mut old = quiet_hours(30).seal();
    old[30] ^= 1;
    let mut rewrite = Rewrite::new(&open(&old), WARM).unwrap();
    assert!(rewrite.next_block(&old, &mut Vec::new()).is_err());
}
