//! The whole blocks of a file are sealed and written anew; each must come back under its own name.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use logboom_fuzz::mutate;
use logboom_segment::limits::{CONTENT_BYTES_MAX, ROWS_MAX, SOURCES_MAX};
use logboom_segment::{
    BlockEntry, Decoder, FormatError, LossPlace, Recompress, Rewrite, RewriteError, RewriteGoal, RowLimits, Rows,
    Segment, SegmentBuilder, check_block, read_block,
};

const GOAL: RewriteGoal = RewriteGoal {
    limits: RowLimits { content_bytes: CONTENT_BYTES_MAX, rows: ROWS_MAX, sources: SOURCES_MAX },
    level: 1,
    recompress: Recompress::Plain,
};

fuzz_mutator!(|bytes: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(bytes, size, max_size, seed, fuzzer_mutate)
});

fuzz_target!(|bytes: &[u8]| {
    let file = bytes.to_vec();
    let mut decoder = Decoder::new().unwrap();
    let Ok(Some(old)) = seal(&file, &mut decoder) else { return };
    let old_segment = Segment::open(&old, &mut decoder).unwrap();
    assert!(old_segment.sealed);

    let mut rewrite = Rewrite::new(&old_segment, GOAL).unwrap();
    let (mut new, mut block) = (Vec::new(), Vec::new());
    loop {
        match rewrite.next_block(&old, &mut block) {
            Ok(true) => new.extend_from_slice(&block),
            Ok(false) => break,
            // Larger than they were, because LF stood where none may.
            Err(RewriteError::Encode(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(rewrite.messages(), old_segment.messages());
    new.extend_from_slice(&rewrite.end().unwrap());
    let new_segment = Segment::walk(&new, &mut decoder).unwrap();
    assert!(new_segment.sealed && new_segment.damage.is_empty());
    assert_eq!(losses(&new_segment), losses(&old_segment));
    for entry in &old_segment.blocks {
        let covers = |new: &&BlockEntry| {
            (new.run_id, new.receiver) == (entry.run_id, entry.receiver)
                && (new.sequence_first..=new.sequence_last).contains(&entry.sequence_first)
        };
        let found = new_segment.blocks.iter().find(covers).unwrap();
        check_part(&old, entry, &new, found, &mut decoder);
    }
});

/// What was lost, by place and the listener or severity meant: listeners have other numbers in another file.
fn losses(segment: &Segment) -> BTreeMap<(LossPlace, String), u64> {
    let mut losses = BTreeMap::new();
    for loss in &segment.losses {
        let listener =
            segment.listeners.get(usize::from(loss.detail)).filter(|_| loss.place == LossPlace::SocketBuffer);
        let detail = listener.map_or_else(|| loss.detail.to_string(), String::clone);
        let sum: &mut u64 = losses.entry((loss.place, detail)).or_default();
        *sum = sum.saturating_add(loss.messages);
    }
    losses
}

/// The whole blocks of `file` as a sealed one; `None` where two of them have the same name, or one has none.
fn seal(file: &Vec<u8>, decoder: &mut Decoder) -> Result<Option<Vec<u8>>, FormatError> {
    let blocks = Segment::walk(file, decoder)?.blocks;
    if !has_names(&blocks) {
        return Ok(None);
    }
    let (mut sealed, mut builder) = (Vec::new(), SegmentBuilder::new());
    let (mut block, mut rows) = (Vec::new(), Rows::for_decoding());
    for entry in blocks {
        read_block(file, &entry, &mut block)?;
        let listeners = decoder.decode(&block, &mut rows)?;
        let (_, meta) = check_block(&block)?;
        meta.parts(decoder)?;
        let losses = meta.losses(decoder)?;
        // Of a listener that the block does not name.
        if losses
            .iter()
            .any(|loss| loss.place == LossPlace::SocketBuffer && usize::from(loss.detail) >= listeners.len())
        {
            return Ok(None);
        }
        builder.add(entry, rows.sources(), &listeners, &losses);
        sealed.extend_from_slice(&block);
    }
    sealed.extend_from_slice(&builder.seal()?);
    Ok(Some(sealed))
}

fn has_names(blocks: &[BlockEntry]) -> bool {
    let mut names: Vec<_> =
        blocks.iter().map(|block| (block.run_id, block.receiver, block.sequence_first, block.sequence_last)).collect();
    names.sort_unstable();
    let follow = |pair: &[(_, _, u64, u64)]| (pair[0].0, pair[0].1) != (pair[1].0, pair[1].1) || pair[0].3 < pair[1].2;
    names.iter().all(|name| name.2 <= name.3) && names.windows(2).all(follow)
}

fn check_part(old: &Vec<u8>, entry: &BlockEntry, new: &Vec<u8>, found: &BlockEntry, decoder: &mut Decoder) {
    let (mut block, mut before, mut after) = (Vec::new(), Rows::for_decoding(), Rows::for_decoding());
    read_block(old, entry, &mut block).unwrap();
    let listeners = decoder.decode(&block, &mut before).unwrap();
    read_block(new, found, &mut block).unwrap();
    assert_eq!(decoder.decode_part(&block, entry, &mut after).unwrap(), listeners);
    assert!(before.messages().eq(after.messages()));
}
