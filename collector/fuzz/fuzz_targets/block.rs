//! A block is decoded; what comes of it is encoded and decoded once more.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use logboom_fuzz::{mutate, within};
use logboom_segment::limits::{CONTENT_BYTES_MAX, EXPANDED_BYTES_MAX, ROWS_MAX, SOURCES_MAX};
use logboom_segment::{
    BlockEntry, BlockHeader, Decoder, EncodeError, Encoder, HeadColumns, Heads, Loss, Message, Meta, Part, RowLimits,
    Rows, check_block,
};

/// The content, one column while it doubles, the rows and their sources.
const MEMORY_BYTES: usize = CONTENT_BYTES_MAX + 2 * EXPANDED_BYTES_MAX + 32 * ROWS_MAX + 64 * SOURCES_MAX;

/// Each part decodes the whole block again.
const PARTS_TRIED: usize = 8;

fuzz_mutator!(|bytes: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(bytes, size, max_size, seed, fuzzer_mutate)
});

fuzz_target!(|block: &[u8]| {
    let (mut decoder, mut rows) = (Decoder::new().unwrap(), Rows::for_decoding());
    let decoded = within(MEMORY_BYTES, || decoder.decode(block, &mut rows));
    assert!(decoded.is_ok() || rows.is_empty());
    let Ok((_, meta)) = check_block(block) else { return assert!(decoded.is_err()) };
    let mut heads = Heads::default();
    let asked = HeadColumns { times: true, sources: true, pris: true };
    let heads_of = within(MEMORY_BYTES, || decoder.decode_heads(block, asked, &mut heads));
    let sources = within(MEMORY_BYTES, || meta.sources(&mut decoder));
    let listeners = within(MEMORY_BYTES, || meta.listeners(&mut decoder));
    let losses = within(MEMORY_BYTES, || meta.losses(&mut decoder));
    let parts = within(MEMORY_BYTES, || meta.parts(&mut decoder));
    let Ok(decoded) = decoded else { return };
    assert_eq!(rows.len(), meta.messages as usize);
    assert_eq!(rows.sources(), sources.unwrap());
    assert_eq!(decoded, listeners.unwrap());
    heads_of.unwrap();
    assert_eq!((&heads.sources[..], &heads.listeners), (rows.sources(), &decoded));
    let times_and_pris = heads.received_ns.iter().copied().zip(heads.pris.iter().copied());
    assert!(times_and_pris.eq(rows.messages().map(|message| (message.received_ns, message.pri))));

    let (Ok(losses), Ok(parts)) = (losses, parts) else { return };
    let messages: Vec<_> = rows.messages().collect();
    let Some((again, entry)) = encode(&rows, &meta, &parts, &decoded, &losses) else { return };
    let mut rows_again = Rows::for_decoding();
    assert_eq!(decoder.decode(&again, &mut rows_again).unwrap(), decoded);
    assert_eq!(rows_again.messages().collect::<Vec<_>>(), messages);
    let (_, meta_again) = check_block(&again).unwrap();
    let noted_ns = meta_again.header.noted_ns;
    assert_eq!(meta_again.header, BlockHeader { noted_ns, ..meta.header });
    assert_eq!(meta_again.parts(&mut decoder).unwrap(), parts);
    assert_eq!(meta_again.losses(&mut decoder).unwrap(), losses);
    decode_parts(&again, &entry, &parts, &messages);
});

/// Encodes what was decoded; `None` where that is larger than it was, because LF stood where none may.
fn encode(
    rows: &Rows,
    meta: &Meta<'_>,
    parts: &[Part],
    listeners: &[String],
    losses: &[Loss],
) -> Option<(Vec<u8>, BlockEntry)> {
    let limits = RowLimits { content_bytes: rows.content_bytes() + 2, rows: rows.len(), sources: rows.sources().len() };
    let (mut copy, mut out) = (Rows::new(limits), Vec::new());
    rows.messages().for_each(|message| copy.append(&message).unwrap());
    match Encoder::new(1).unwrap().encode_joined(&mut copy, &meta.header, parts, listeners, losses, &mut out) {
        Ok(entry) => Some((out, entry)),
        Err(EncodeError::TooLarge { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The parts of a joined block are, together, the block.
fn decode_parts(block: &[u8], entry: &BlockEntry, parts: &[Part], messages: &[Message<'_>]) {
    if parts.len() > PARTS_TRIED {
        return;
    }
    let (mut decoder, mut rows, mut before) = (Decoder::new().unwrap(), Rows::for_decoding(), 0);
    for (sequence, part) in (entry.sequence_first..=entry.sequence_last).zip(parts) {
        let wanted = BlockEntry { sequence_first: sequence, sequence_last: sequence, ..*entry };
        decoder.decode_part(block, &wanted, &mut rows).unwrap();
        let end = before + part.messages as usize;
        assert_eq!(rows.messages().collect::<Vec<_>>(), messages[before..end]);
        before = end;
    }
    assert_eq!(before, messages.len());
}
