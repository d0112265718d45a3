//! The index of a sealed file, whose blocks are none.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use logboom_fuzz::{mutate, within};
use logboom_segment::limits::EXPANDED_BYTES_MAX;
use logboom_segment::{Decoder, Rows, Segment, read_block};

const BLOCKS_BYTES: usize = 4096;

/// A seek table without entries: the index is found by its size alone.
const SEEK_TABLE: [u8; 17] = *b"\x5E\x2A\x4D\x18\x09\0\0\0\0\0\0\0\0\xB1\xEA\x92\x8F";

/// The index as it is read, one column while it doubles, and twice what all columns hold when decoded.
const MEMORY_BYTES: usize = 6 * EXPANDED_BYTES_MAX;

fuzz_mutator!(|bytes: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(bytes, size, max_size, seed, fuzzer_mutate)
});

fuzz_target!(|index: &[u8]| {
    let file = [&[0; BLOCKS_BYTES], index, &SEEK_TABLE].concat();
    let mut decoder = Decoder::new().unwrap();
    let Ok(segment) = within(MEMORY_BYTES, || Segment::open(&file, &mut decoder)) else { return };
    if !segment.sealed {
        return;
    }
    assert_eq!(segment.blocks_with(|source, _| source.port == 0).len(), segment.blocks.len());
    let (mut block, mut rows, mut end) = (Vec::new(), Rows::for_decoding(), 0);
    for entry in &segment.blocks {
        assert!(entry.offset >= end);
        end = entry.offset + entry.block_bytes() as u64;
        read_block(&file, entry, &mut block).unwrap();
        assert!(decoder.decode(&block, &mut rows).is_err());
    }
    assert!(end <= BLOCKS_BYTES as u64);
});
