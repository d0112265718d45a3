use logboom_segment::{Decoder, FormatError, Rows, Segment, read_block};
use proptest::prelude::*;

use super::sample::three_blocks;

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
    fn one_flipped_bit_costs_at_most_its_own_block_and_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = three_blocks().bytes;
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let segment = walk(&bytes);
        prop_assert_eq!(segment.blocks.len(), 2);
        prop_assert_eq!(readable_messages(&bytes, &segment), 200);
        prop_assert!(!segment.damage.is_empty() || segment.tail_bytes > 0);
    }

    #[test]
    fn any_sealed_file_with_a_flipped_bit_never_gives_a_wrong_message(
        at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let mut sealed = three_blocks().seal();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        let segment = Segment::open(&sealed, &mut Decoder::new().unwrap()).unwrap();
        prop_assert!(readable_messages(&sealed, &segment) >= 200);
        let walked = walk(&sealed);
        prop_assert!(!walked.sealed || !walked.damage.is_empty() || walked.tail_bytes > 0, "not found: byte {}", at);
    }

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
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = Segment::open(&bytes, &mut Decoder::new().unwrap());
        let _ = Decoder::new().unwrap().decode(&bytes, &mut Rows::for_decoding());
    }
}
