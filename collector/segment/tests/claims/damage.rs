use logboom_segment::{BlockHeader, Compression, Decoder, FormatError, Rows, RunId, Segment, Unsealed, read_block};
use proptest::prelude::*;

use super::sample::{START_NS, Writer, header, message, three_blocks};

fn walk(bytes: &Vec<u8>) -> Segment {
    Segment::walk(bytes, &mut Decoder::new().unwrap()).unwrap()
}

/// Messages that can be decoded from the blocks that `segment` names.
fn readable_messages(bytes: &Vec<u8>, segment: &Segment) -> usize {
    let (mut decoder, mut rows, mut block) = (Decoder::new().unwrap(), Rows::for_decoding(), Vec::new());
    let mut messages = 0;
    for entry in &segment.blocks {
        let decoded = read_block(bytes, entry, &mut block).and_then(|()| decoder.decode(&block, &mut rows));
        messages += if decoded.is_ok() { rows.len() } else { 0 };
    }
    messages
}

/// Three blocks of ten lines each, sealed: small enough to try everything.
fn small_segment() -> Vec<u8> {
    let mut writer = Writer::new();
    for block in 0..3 {
        for line in 0..10 {
            let text = format!("<34>Oct 11 22:14:15 host-{block} su: attempt {line}");
            writer.rows.append(&message(text.as_bytes(), START_NS + block * 1000 + line)).unwrap();
        }
        writer.block(&header(0, block), &[]);
    }
    writer.seal()
}

fn is_clean(segment: &Segment) -> bool {
    segment.sealed && segment.damage.is_empty() && segment.tail_bytes == 0
}

#[test]
fn every_flipped_bit_of_a_sealed_file_is_found_and_costs_at_most_its_own_block() {
    let mut sealed = small_segment();
    assert!(is_clean(&walk(&sealed)));
    for at in 0..sealed.len() {
        for bit in 0..8 {
            sealed[at] ^= 1 << bit;
            let walked = walk(&sealed);
            assert!(!is_clean(&walked), "bit {bit} of byte {at} is not found");
            assert!(readable_messages(&sealed, &walked) >= 20, "bit {bit} of byte {at} costs more than its block");
            let opened = Segment::open(&sealed, &mut Decoder::new().unwrap()).unwrap();
            assert!(readable_messages(&sealed, &opened) >= 20, "bit {bit} of byte {at} costs more than its block");
            sealed[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_cut_of_a_sealed_file_is_found() {
    let sealed = small_segment();
    for cut in 0..sealed.len() {
        assert!(!is_clean(&walk(&sealed[..cut].to_vec())), "cut at {cut}");
    }
}

#[test]
fn swapped_doubled_and_foreign_blocks_of_a_sealed_file_are_found_and_cost_nothing() {
    let sealed = small_segment();
    let ranges: Vec<_> =
        walk(&sealed).blocks.iter().map(|b| b.offset as usize..b.offset as usize + b.block_bytes()).collect();
    let block = |number: usize| &sealed[ranges[number].clone()];
    let rest = &sealed[ranges[2].end..];
    let mut foreign = Writer::new();
    foreign.rows.append(&message(b"of another file", START_NS)).unwrap();
    foreign.block(&header(7, 7), &[]);
    for (blocks, messages) in [
        ([block(0), block(2), block(1)], 30),
        ([block(0), block(0), block(2)], 30),
        ([block(0), &foreign.bytes, block(2)], 21),
        ([block(0), b"", block(2)], 20),
    ] {
        let changed = [&blocks.concat(), rest].concat();
        let walked = walk(&changed);
        assert!(!is_clean(&walked));
        assert_eq!(readable_messages(&changed, &walked), messages);
    }
}

#[test]
fn what_was_left_open_is_made_whole() {
    let whole = three_blocks();
    let blocks_end = whole.bytes.len();
    let sealed = three_blocks().seal();
    // Cut anywhere behind the second block: in a block, in the index, in the seek table, or nowhere.
    let second_end = blocks_end - walk(&whole.bytes).blocks[2].block_bytes();
    for cut in second_end..=sealed.len() {
        let left = sealed[..cut].to_vec();
        let unsealed = Unsealed::walk(&left, RunId(0xC0FFEE), &mut Decoder::new().unwrap()).unwrap();
        let is_torn_block = second_end < cut && cut < blocks_end;
        assert_eq!(unsealed.tail_is_block, is_torn_block, "cut at {cut}");
        assert_eq!(unsealed.blocks_end as usize, if cut < blocks_end { second_end } else { blocks_end });
        let mended = [&left[..unsealed.blocks_end as usize], &unsealed.end].concat();
        let segment = Segment::open(&mended, &mut Decoder::new().unwrap()).unwrap();
        assert!(is_clean(&segment) && is_clean(&walk(&mended)) && segment.recovered);
        assert_eq!(segment.messages(), unsealed.segment.messages());
    }
}

#[test]
fn damage_in_the_middle_of_what_was_left_open_costs_its_block() {
    let mut bytes = three_blocks().bytes;
    let second = walk(&bytes).blocks[1];
    bytes[second.offset as usize + 20] ^= 1;
    let unsealed = Unsealed::walk(&bytes, RunId(0xC0FFEE), &mut Decoder::new().unwrap()).unwrap();
    assert_eq!((unsealed.segment.damage.len(), unsealed.blocks_end as usize), (1, bytes.len()));
    let mended = [bytes, unsealed.end].concat();
    let segment = Segment::open(&mended, &mut Decoder::new().unwrap()).unwrap();
    assert_eq!((segment.sealed, readable_messages(&mended, &segment)), (true, 200));
    assert_eq!(walk(&mended).damage.len(), 1, "and stays known");
    // The seek table leads to every frame all the same.
    let u32_at = |offset: usize| u32::from_le_bytes(mended[offset..offset + 4].try_into().unwrap()) as usize;
    let entries = u32_at(mended.len() - 9);
    let table = mended.len() - 9 - entries * 8;
    assert_eq!((0..entries).map(|entry| u32_at(table + entry * 8)).sum::<usize>(), table - 8);
}

#[test]
fn a_block_inside_a_message_is_not_taken_for_one() {
    // A sender sends what looks like a block, as a message; it is stored without compression, and then damaged. Not every
    // block survives that: one that holds an LF, such as of a text so short that zstd leaves it as it is, does not.
    let with_forged = |number: u32| {
        let mut forged = Writer::new();
        for line in 0..40 {
            let text = format!("<34>forged {}", (number + line).wrapping_mul(2_654_435_761));
            forged.rows.append(&message(text.as_bytes(), START_NS)).unwrap();
        }
        forged.block(&BlockHeader { run_id: RunId(7), ..header(0, 0) }, &[]);
        let mut writer = Writer::new();
        writer.rows.append(&message(b"genuine", START_NS)).unwrap();
        writer.block(&header(0, 0), &[]);
        writer.encoder.set_compression(Compression::None).unwrap();
        writer.rows.append(&message(&forged.bytes, START_NS)).unwrap();
        writer.block(&header(0, 1), &[]);
        let stands_there = writer.bytes.windows(forged.bytes.len()).any(|window| window == forged.bytes);
        stands_there.then_some(writer)
    };
    let writer = (0..10_000).find_map(with_forged).expect("some forged block stands there as it came");
    let first = walk(&writer.bytes).blocks[0].block_bytes();
    for damaged in [writer.bytes[..writer.bytes.len() - 1].to_vec(), {
        let mut bytes = writer.bytes.clone();
        bytes[first] ^= 1;
        bytes
    }] {
        let segment = walk(&damaged);
        assert_eq!(segment.blocks.len(), 1, "{:?}", segment.blocks);
        let unsealed =
            Unsealed::walk(&damaged[first..].to_vec(), RunId(0xC0FFEE), &mut Decoder::new().unwrap()).unwrap();
        assert_eq!(unsealed.segment.blocks.len(), 0, "also where no block tells the run");
        let opened = Segment::open_of(&damaged[first..].to_vec(), Some(RunId(0xC0FFEE)), &mut Decoder::new().unwrap());
        assert_eq!(opened.unwrap().blocks.len(), 0);
    }
    // And half of it, while it is being written, is not looked into.
    let half = writer.bytes[..writer.bytes.len() - 1].to_vec();
    let follow = Segment::follow(&half, first as u64, RunId(0xC0FFEE), &mut Decoder::new().unwrap()).unwrap();
    assert!(follow.blocks.is_empty() && follow.offset == first as u64);
}

#[test]
fn an_index_inside_a_message_is_not_taken_for_one() {
    // What a sender sends looks like a segment with index and seek table; the file is cut where these end.
    let mut forged = Writer::new();
    forged.rows.append(&message(b"forged", START_NS)).unwrap();
    forged.block(&BlockHeader { run_id: RunId(7), ..header(0, 0) }, &[]);
    let forged = forged.seal();
    let mut torn = Writer::new();
    torn.rows.append(&message(b"genuine", START_NS)).unwrap();
    torn.block(&header(0, 0), &[]);
    let genuine_bytes = torn.bytes.len() as u64;
    torn.bytes.extend_from_slice(b"begins a block");
    torn.bytes.extend_from_slice(&forged);
    let mut decoder = Decoder::new().unwrap();
    let opened = Segment::open_of(&torn.bytes, Some(RunId(0xC0FFEE)), &mut decoder).unwrap();
    assert_eq!((opened.sealed, opened.blocks.len(), opened.damage.len()), (false, 1, 0), "{opened:?}");
    let unsealed = Unsealed::walk(&torn.bytes, RunId(0xC0FFEE), &mut decoder).unwrap();
    assert_eq!((unsealed.blocks_end, unsealed.segment.sealed), (genuine_bytes, false));
    // Also where the block before it is damaged, so that only the name tells the run.
    torn.bytes[0] ^= 1;
    let damaged = Segment::open_of(&torn.bytes, Some(RunId(0xC0FFEE)), &mut decoder).unwrap();
    assert!(damaged.blocks.is_empty() && damaged.tail_bytes > genuine_bytes, "{damaged:?}");
}

#[test]
fn a_torn_tail_costs_only_the_block_that_was_being_written() {
    let writer = three_blocks();
    let second_end = writer.bytes.len() - walk(&writer.bytes).blocks[2].block_bytes();
    for cut in second_end..writer.bytes.len() {
        let torn = writer.bytes[..cut].to_vec();
        let segment = walk(&torn);
        assert_eq!(segment.blocks.len(), 2, "cut at {cut}");
        assert_eq!(segment.tail_bytes, (cut - second_end) as u64);
        assert!(segment.damage.is_empty());
    }
}

#[test]
fn trailing_zeros_are_a_tail_and_no_block() {
    let mut bytes = three_blocks().bytes;
    bytes.extend_from_slice(&[0; 4096]);
    let segment = walk(&bytes);
    assert_eq!((segment.blocks.len(), segment.tail_bytes, segment.damage.len()), (3, 4096, 0));
}

#[test]
fn a_sealed_file_with_a_damaged_end_still_gives_its_blocks() {
    let mut sealed = three_blocks().seal();
    let end = sealed.len();
    sealed[end - 60] ^= 1; // In the seek table or index.
    let segment = Segment::open(&sealed, &mut Decoder::new().unwrap()).unwrap();
    assert_eq!(readable_messages(&sealed, &segment), 300);
}

#[test]
fn a_later_version_is_told_apart_from_damage() {
    let mut bytes = three_blocks().bytes;
    let entry = walk(&bytes).blocks[0];
    let meta = entry.data_bytes as usize;
    bytes[meta + 12] = 2;
    let end = entry.block_bytes();
    let crc = crc32c::crc32c(&bytes[..end - 4]).to_le_bytes();
    bytes[end - 4..end].copy_from_slice(&crc);
    let refused = Segment::open(&bytes, &mut Decoder::new().unwrap());
    assert!(matches!(refused, Err(FormatError::Version { found: 2, known: 1 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn foreign_bytes_between_blocks_are_damage_and_cost_nothing_else(
        foreign in proptest::collection::vec(any::<u8>(), 1..300), after in 0usize..3,
    ) {
        let writer = three_blocks();
        let ends: Vec<usize> = walk(&writer.bytes).blocks.iter().map(|b| b.offset as usize + b.block_bytes()).collect();
        let mut bytes = writer.bytes;
        bytes.splice(ends[after]..ends[after], foreign.iter().copied());
        let segment = walk(&bytes);
        prop_assert_eq!(segment.blocks.len(), 3);
        let told: u64 = segment.damage.iter().map(|damage| damage.bytes).sum::<u64>() + segment.tail_bytes;
        prop_assert_eq!(told, foreign.len() as u64);
    }

    #[test]
    fn no_signed_bytes_make_the_reader_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        // Signed again, so that what lies behind the checksum is reached.
        let mut block = three_blocks().bytes;
        block.truncate(walk(&block).blocks[0].block_bytes());
        let end = block.len();
        for (at, value) in changes {
            block[at.index(end - 16)] = value;
        }
        let crc = crc32c::crc32c(&block[..end - 4]).to_le_bytes();
        block[end - 4..].copy_from_slice(&crc);
        let _ = Segment::open(&block, &mut Decoder::new().unwrap());
        let _ = Decoder::new().unwrap().decode(&block, &mut Rows::for_decoding());
    }
}
