//! Whatever stands between two blocks of a file, it costs neither of them. Senders can put blocks and indexes of their own
//! making there, as messages that are stored plain; they do not know the run.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use logboom_fuzz::mutate;
use logboom_segment::{BlockHeader, Decoder, Encoder, Rows, RunId, Segment, Unsealed};

const RUN: u64 = 0x5EC2_E7A1_D0B5_93F7;

/// A block of that run, without messages.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (mut rows, mut out) = (Rows::for_decoding(), Vec::new());
    let header =
        BlockHeader { run_id: RunId(RUN), receiver: 0, sequence_first: 0, sequence_last: 0, boot_ns: 0, noted_ns: 0 };
    Encoder::new(1).unwrap().encode(&mut rows, &header, &[], &[], &mut out).unwrap();
    out
});

fuzz_mutator!(|bytes: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(bytes, size, max_size, seed, fuzzer_mutate)
});

fuzz_target!(|foreign: &[u8]| {
    let knows_run = foreign.windows(8).any(|window| window == RUN.to_le_bytes());
    if knows_run {
        return;
    }
    // A byte that begins no frame: what follows is found by search, if it is.
    let file = [&BLOCK, &[0][..], foreign, &BLOCK].concat();
    let last = (file.len() - BLOCK.len()) as u64;
    let mut decoder = Decoder::new().unwrap();
    let walked = Segment::walk(&file, &mut decoder).unwrap();
    assert_eq!(walked.blocks.iter().map(|block| block.offset).collect::<Vec<_>>(), [0, last]);
    let unsealed = Unsealed::walk(&file, RunId(RUN), &mut decoder).unwrap();
    assert_eq!(unsealed.segment.blocks, walked.blocks);
    assert_eq!(unsealed.blocks_end, file.len() as u64);
    // Half a block, of which the foreign bytes are a message: it is not there yet.
    let stated = (foreign.len() as u32 + 1000).to_le_bytes();
    let head = (((foreign.len() as u32 + 1000) << 3) | 1).to_le_bytes();
    let growing = [&BLOCK, &b"(\xB5/\xFD\xA4"[..], &stated, &head[..3], foreign].concat();
    let follow = Segment::follow(&growing, BLOCK.len() as u64, RunId(RUN), &mut decoder).unwrap();
    assert!(follow.blocks.is_empty() && follow.offset == BLOCK.len() as u64);
    // Nor where it is the first.
    let first = growing[BLOCK.len()..].to_vec();
    assert!(Segment::open_of(&first, Some(RunId(RUN)), &mut decoder).unwrap().blocks.is_empty());
});
