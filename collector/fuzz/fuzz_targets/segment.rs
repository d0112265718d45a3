//! A file is opened, walked and made whole; what is whole then must be what was there before.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use logboom_fuzz::{mutate, within};
use logboom_segment::limits::{DATA_BYTES_MAX, EXPANDED_BYTES_MAX, META_BYTES_MAX};
use logboom_segment::{Decoder, Rows, RunId, Segment, Source, Unsealed, check_block, read_block};

/// A block as it is read, while it doubles; one column, likewise; and what is noted of all blocks.
const MEMORY_BYTES: usize = 2 * (DATA_BYTES_MAX + META_BYTES_MAX) + 6 * EXPANDED_BYTES_MAX;

const SEEDS_RUN: RunId = RunId(0xC0FFEE);

/// Each is looked for in every block.
const SOURCES_TRIED: usize = 4;

fuzz_mutator!(|bytes: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(bytes, size, max_size, seed, fuzzer_mutate)
});

fuzz_target!(|bytes: &[u8]| {
    let file = bytes.to_vec();
    let mut decoder = Decoder::new().unwrap();
    if let Ok(opened) = within(MEMORY_BYTES, || Segment::open(&file, &mut decoder)) {
        decode_blocks(&file, &opened, &mut decoder);
    }
    let unsealed = within(MEMORY_BYTES, || Unsealed::walk(&file, SEEDS_RUN, &mut decoder));
    let Ok(unsealed) = unsealed else { return };
    let walked = &unsealed.segment;
    check_every_byte_has_a_place(&file, &unsealed);
    if walked.blocks.is_empty() {
        return;
    }

    let mut whole = file;
    whole.truncate(unsealed.blocks_end as usize);
    whole.extend_from_slice(&unsealed.end);
    let opened = Segment::open(&whole, &mut decoder).unwrap();
    assert!(opened.sealed && opened.recovered);
    assert_eq!(opened.messages(), walked.messages());
    assert_eq!(opened.blocks, walked.blocks);
    assert_eq!(opened.sources, walked.sources);
    assert_eq!(opened.listeners, walked.listeners);
    assert_eq!(opened.losses, walked.losses);
    check_sources(&whole, &opened, &mut decoder);
    // What is searched for in damage depends on the run, which may be another's here.
    if walked.damage.is_empty() {
        let walked_again = Segment::walk(&whole, &mut decoder).unwrap();
        assert!(walked_again.sealed && walked_again.damage.is_empty());
        assert_eq!(walked_again.blocks, walked.blocks);
    }
});

fn decode_blocks(file: &Vec<u8>, segment: &Segment, decoder: &mut Decoder) {
    let (mut block, mut rows) = (Vec::new(), Rows::for_decoding());
    for entry in &segment.blocks {
        if read_block(file, entry, &mut block).is_ok() {
            let _ = decoder.decode(&block, &mut rows);
        }
    }
}

/// The index knows of each block whose messages it holds.
fn check_sources(file: &Vec<u8>, segment: &Segment, decoder: &mut Decoder) {
    let mut block = Vec::new();
    for wanted in segment.sources.iter().flatten().take(SOURCES_TRIED) {
        let is_wanted = |source: &Source| (source.address, source.port) == (wanted.address, wanted.port);
        let may_hold = segment.blocks_with(|source, _| is_wanted(source));
        assert_eq!(may_hold.len(), segment.blocks.len());
        for (entry, may_hold) in segment.blocks.iter().zip(may_hold) {
            read_block(file, entry, &mut block).unwrap();
            let sources = check_block(&block).unwrap().1.sources(decoder).unwrap();
            assert_eq!(may_hold, sources.iter().any(is_wanted));
        }
    }
}

/// Nothing is passed over in silence, and nothing counted twice.
fn check_every_byte_has_a_place(file: &[u8], unsealed: &Unsealed) {
    let walked = &unsealed.segment;
    let blocks: u64 = walked.blocks.iter().map(|block| block.block_bytes() as u64).sum();
    assert_eq!(blocks + damaged_bytes(walked), unsealed.blocks_end);
    // Between the blocks and the tail there may be an index.
    assert!(unsealed.blocks_end + walked.tail_bytes <= file.len() as u64);
    assert!(!walked.sealed || walked.tail_bytes == 0);
}

fn damaged_bytes(segment: &Segment) -> u64 {
    segment.damage.iter().map(|damage| damage.bytes).sum()
}
