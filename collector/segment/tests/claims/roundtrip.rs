use std::net::IpAddr;

use logboom_segment::limits::{CONTENT_BYTES_MAX, ROWS_MAX};
use logboom_segment::{
    Decoder, EncodeError, Encoder, Flags, Full, Loss, LossPlace, Message, PriSet, RowLimits, Rows, Segment, Source,
    check_block,
};
use proptest::prelude::*;

use super::sample::{START_NS, Writer, header, listeners, message, source, three_blocks};

fn decode(block: &[u8]) -> Rows {
    let mut rows = Rows::for_decoding();
    Decoder::new().unwrap().decode(block, &mut rows).unwrap();
    rows
}

fn assert_comes_back(payloads: &[&[u8]]) {
    let mut writer = Writer::new();
    for payload in payloads {
        writer.rows.append(&message(payload, START_NS)).unwrap();
    }
    writer.block(&header(0, 0), &[]);
    let rows = decode(&writer.bytes);
    let back: Vec<&[u8]> = rows.messages().map(|message| message.payload).collect();
    assert_eq!(back, payloads);
}

#[test]
fn line_feeds_nuls_separators_and_invalid_utf8_come_back() {
    assert_comes_back(&[
        b"",
        b"\n",
        b"\0",
        b"\n\n",
        b"\0\0",
        b"\n\0",
        b"\0\n",
        b"plain",
        b"two\nlines",
        b"two\nlines\n",
        b"carriage return\r\n",
        b"record\x1Eseparator",
        b"record\x1Eseparator and\nline feed",
        b"nul inside\0and after\0",
        b"\xFF\xFE not UTF-8 \xC3\x28",
        b"",
    ]);
}

#[test]
fn the_longest_datagram_comes_back() {
    let longest = [vec![b'x'; 65_506], vec![b'\n']].concat();
    assert_comes_back(&[&longest, b"and the next"]);
}

#[test]
fn the_original_length_of_a_cut_message_comes_back() {
    let mut writer = Writer::new();
    let cut = Message { flags: Flags::TRUNCATED, original_length: 9_000, ..message(b"the first bytes\n", START_NS) };
    writer.rows.append(&message(b"whole", START_NS)).unwrap();
    writer.rows.append(&cut).unwrap();
    writer.rows.append(&message(b"whole again", START_NS)).unwrap();
    writer.block(&header(0, 0), &[]);
    let rows = decode(&writer.bytes);
    let back: Vec<_> = rows.messages().collect();
    assert_eq!(back[1], cut);
    assert_eq!(back[2].original_length, 11);
    assert!(!back[2].flags.has(Flags::TRUNCATED));
}

#[test]
fn a_block_without_messages_keeps_its_losses() {
    let mut writer = Writer::new();
    let losses = [
        Loss { place: LossPlace::SocketBuffer, detail: 1, messages: u64::MAX },
        Loss { place: LossPlace::Shed, detail: 7, messages: 3 },
    ];
    writer.block(&header(4, 9), &losses);
    let (_, meta) = check_block(&writer.bytes).unwrap();
    assert_eq!(meta.losses(&mut Decoder::new().unwrap()).unwrap(), losses);
    assert_eq!((meta.messages, meta.received_min_ns, meta.received_max_ns), (0, START_NS, START_NS));
    assert_eq!(decode(&writer.bytes).len(), 0);
}

#[test]
fn the_index_says_what_the_blocks_say() {
    let sealed = three_blocks().seal();
    let mut decoder = Decoder::new().unwrap();
    let by_index = Segment::open(&sealed, &mut decoder).unwrap();
    let by_walking = Segment::walk(&sealed, &mut decoder).unwrap();
    assert!(by_index.sealed && by_walking.sealed);
    assert_eq!(by_index.blocks, by_walking.blocks);
    assert_eq!(by_index.blocks.len(), 3);
    assert_eq!(by_index.messages(), 300);
    assert_eq!(by_index.sources, Some(vec![source(4000)]));
    assert_eq!(by_index.listeners, listeners());
    assert!(by_index.blocks[0].pris.contains(34) && !by_index.blocks[0].pris.contains(35));
    assert_eq!((by_index.damage.len(), by_index.tail_bytes), (0, 0));
}

#[test]
fn a_growing_file_shows_its_whole_blocks() {
    let Writer { bytes, .. } = three_blocks();
    let segment = Segment::open(&bytes, &mut Decoder::new().unwrap()).unwrap();
    assert!(!segment.sealed);
    assert_eq!((segment.blocks.len(), segment.tail_bytes, segment.damage.len()), (3, 0, 0));
    let empty = Segment::open(&Vec::new(), &mut Decoder::new().unwrap()).unwrap();
    assert_eq!((empty.blocks.len(), empty.tail_bytes, empty.damage.len()), (0, 0, 0));
}

#[test]
fn a_full_block_refuses_without_changing() {
    let limits = RowLimits { content_bytes: 64, rows: 3, sources: 2 };
    let mut rows = Rows::new(limits);
    assert_eq!(rows.append(&message(&[b'x'; 64], 0)), Err(Full), "content needs room for the line end");
    assert_eq!(rows.append(&message(&[b'x'; 20], 0)), Ok(()));
    let from = |port| Message { source: source(port), ..message(b"y", 0) };
    assert_eq!(rows.append(&from(1)), Ok(()));
    assert_eq!(rows.append(&from(2)), Err(Full), "sources");
    assert_eq!(rows.append(&from(1)), Ok(()));
    assert_eq!(rows.append(&from(1)), Err(Full), "rows");
    assert_eq!((rows.len(), rows.content_bytes()), (3, 25));
}

#[test]
fn rows_beyond_a_limit_of_the_format_are_refused() {
    let mut encoder = Encoder::new(1).unwrap();
    let mut out = vec![1];
    let mut rows = Rows::new(RowLimits { content_bytes: 2 * CONTENT_BYTES_MAX, rows: ROWS_MAX + 1, sources: 1 });
    for _ in 0..=ROWS_MAX {
        rows.append(&message(b"", 0)).unwrap();
    }
    let refused = encoder.encode(&mut rows, &header(0, 0), &listeners(), &[], &mut out);
    assert!(matches!(refused, Err(EncodeError::TooLarge { what: "messages in a block", .. })));
    assert!(out.is_empty());

    // Eight million replaced LF do not fit the columns.
    rows.clear();
    rows.append(&message(&vec![b'\n'; CONTENT_BYTES_MAX - 1], 0)).unwrap();
    let refused = encoder.encode(&mut rows, &header(0, 0), &listeners(), &[], &mut out);
    assert!(matches!(refused, Err(EncodeError::TooLarge { what: "columns of a block, bytes", .. })));
    assert!(out.is_empty());
}

fn any_source() -> impl Strategy<Value = Source> {
    let address = prop_oneof![
        Just(None),
        any::<[u8; 4]>().prop_map(|octets| Some(IpAddr::from(octets))),
        any::<[u8; 16]>().prop_map(|octets| Some(IpAddr::from(octets))),
    ];
    (address, any::<u16>(), 0u8..2).prop_map(|(address, port, listener)| Source { address, port, listener })
}

type Row = (Vec<u8>, u64, Source, u8, bool, u32);

fn any_row() -> impl Strategy<Value = Row> {
    let nasty = prop_oneof![Just(b'\n'), Just(0u8), Just(0x1E), any::<u8>()];
    let payload =
        prop_oneof![proptest::collection::vec(nasty, 0..40), "<[0-9]{1,3}>[a-z ]{0,200}".prop_map(String::into_bytes),];
    let pri = prop_oneof![0u8..192, Just(255)];
    (payload, any::<u64>(), any_source(), pri, any::<bool>(), any::<u32>())
}

proptest! {
    #[test]
    fn any_messages_come_back(rows in proptest::collection::vec(any_row(), 0..60)) {
        let mut writer = Writer::new();
        let messages: Vec<Message<'_>> = rows
            .iter()
            .map(|(payload, received_ns, source, pri, truncated, original_length)| Message {
                payload,
                received_ns: *received_ns,
                source: *source,
                pri: *pri,
                flags: if *truncated { Flags::TRUNCATED } else { Flags::UNTERMINATED },
                original_length: if *truncated { *original_length } else { payload.len() as u32 },
            })
            .collect();
        for message in &messages {
            writer.rows.append(message).unwrap();
        }
        prop_assert_eq!(&writer.rows.messages().collect::<Vec<_>>(), &messages, "before encoding");
        let entry = writer.block(&header(1, 2), &[]);
        let back = decode(&writer.bytes);
        prop_assert_eq!(&back.messages().collect::<Vec<_>>(), &messages);
        prop_assert_eq!(entry.pris, messages.iter().map(|message| message.pri).collect::<PriSet>());
        prop_assert_eq!(entry.messages as usize, messages.len());
        if let Some(min) = messages.iter().map(|message| message.received_ns).min() {
            prop_assert_eq!(entry.received_min_ns, min);
        }
    }
}
