//! Writes the seeds of every target into `corpus/`: small, and one for each thing that the formats can say.

use std::error::Error;
use std::fs;
use std::path::Path;

use logboom_fuzz::{Column, Frame};
use logboom_segment::limits::{LISTENERS_MAX, SOURCES_MAX};
use logboom_segment::{
    BlockEntry, BlockHeader, Compression, Decoder, Encoder, FileState, Flags, Loss, LossPlace, Message, PRI_NONE, Part,
    RowLimits, Rows, RunId, SegmentBuilder, SegmentName, Source, Unsealed,
};

/// `segment.rs` knows it.
const RUN: u64 = 0xC0FFEE;
const START_NS: u64 = 1_795_000_000_000_000_000;
const LIMITS: RowLimits = RowLimits { content_bytes: 1 << 20, rows: 1 << 10, sources: 1 << 8 };

const LOSSES: [Loss; 2] = [
    Loss { place: LossPlace::Shed, detail: 7, messages: 3 },
    // Two such blocks in one file are more than can be counted.
    Loss { place: LossPlace::SocketBuffer, detail: 1, messages: u64::MAX },
];

const PRIS: [(&str, &str); 10] = [
    ("one-digit", "<0>"),
    ("two-digits", "<34>su:"),
    ("three-digits", "<191>"),
    ("too-large", "<192>"),
    ("leading-zero", "<01>"),
    ("four-digits", "<1000>"),
    ("negative", "<-1>"),
    ("cut", "<1"),
    ("empty", "<>"),
    ("none", "su: <34>"),
];

type Named<T> = Vec<(&'static str, T)>;

fn main() -> Result<(), Box<dyn Error>> {
    let blocks = blocks()?;
    for (name, block) in &blocks {
        put("block", name, &block.bytes)?;
    }
    for (name, block) in blocks_beyond_limits(&blocks[0].1.bytes) {
        put("block", name, &block)?;
    }
    for (name, segment) in segments(&blocks)? {
        put("segment", name, &segment)?;
    }
    for (name, block) in &blocks[..2] {
        put("damage", name, &block.bytes)?;
    }
    for (name, blocks) in [("joinable", &blocks[..5]), ("with-losses", &blocks[5..9]), ("compressed", &blocks[9..])] {
        put("rewrite", name, &bytes_of(blocks))?;
    }
    for (name, index) in indexes(&blocks)? {
        put("index", name, &index)?;
        put("damage", &format!("index-{name}"), &index)?;
    }
    for (name, stream) in streams() {
        // A limit of 9 + 16 bytes, and reads of these lengths.
        put("framing", name, &[b"\x10\x01\x03\x07\x02", stream].concat())?;
    }
    for (name, pri) in PRIS {
        put("pri", name, pri.as_bytes())?;
    }
    for (name, message) in headers() {
        put("header", name, message)?;
    }
    for (name, file_name) in names() {
        put("name", name, file_name.as_bytes())?;
    }
    Ok(())
}

fn put(target: &str, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    const SEED_BYTES_MAX: usize = 4096;
    if bytes.len() > SEED_BYTES_MAX {
        return Err(format!("seed {target}/{name} has {} bytes, but at most {SEED_BYTES_MAX}", bytes.len()).into());
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&directory)?;
    Ok(fs::write(directory.join(name), bytes)?)
}

/// One block, and what an index says of it.
struct Block {
    bytes: Vec<u8>,
    entry: BlockEntry,
    sources: Vec<Source>,
    losses: &'static [Loss],
}

fn listeners() -> Vec<String> {
    vec!["udp://0.0.0.0:514".into(), "tcp://[::1]:601".into()]
}

fn header(receiver: u32, sequences: std::ops::RangeInclusive<u64>) -> BlockHeader {
    let (sequence_first, sequence_last) = sequences.into_inner();
    BlockHeader { run_id: RunId(RUN), receiver, sequence_first, sequence_last, boot_ns: 77, noted_ns: START_NS }
}

fn message(payload: &[u8]) -> Message<'_> {
    let source = Source { address: Some([192, 0, 2, 1].into()), port: 4000, listener: 0 };
    let original_length = payload.len() as u32;
    Message { payload, received_ns: START_NS, source, pri: PRI_NONE, flags: Flags::NONE, original_length }
}

/// Not compressed where `compression` says so: then a mutation of DATA is one of the messages.
fn block(
    messages: &[Message<'_>],
    header: &BlockHeader,
    parts: &[Part],
    losses: &'static [Loss],
    compression: Compression,
) -> Result<Block, Box<dyn Error>> {
    let (mut rows, mut bytes) = (Rows::new(LIMITS), Vec::new());
    for message in messages {
        rows.append(message).map_err(|_| "a seed of a block has too many messages")?;
    }
    let sources = rows.sources().to_vec();
    let mut encoder = Encoder::new(1)?;
    encoder.set_compression(compression)?;
    let entry = encoder.encode_joined(&mut rows, header, parts, &listeners(), losses, &mut bytes)?;
    Ok(Block { bytes, entry, sources, losses })
}

fn blocks() -> Result<Named<Block>, Box<dyn Error>> {
    let plain = |messages: &[Message<'_>], sequence, losses| {
        block(messages, &header(0, sequence..=sequence), &[], losses, Compression::None)
    };
    let from = |address: Option<std::net::IpAddr>, port, listener| Message {
        source: Source { address, port, listener },
        ..message(b"<13>x")
    };
    let at = |received_ns, flags| Message { received_ns, flags, ..message(b"tick") };
    let cut = Message { flags: Flags::TRUNCATED, original_length: 9000, ..message(b"the first bytes\n") };
    let unterminated = Message { flags: Flags::UNTERMINATED, ..message(b"no end") };
    let many: Vec<String> =
        (0..100).map(|line| format!("<34>Oct 11 22:14:15 su: attempt {line} on /dev/pts/8")).collect();
    let many: Vec<Message<'_>> = many.iter().map(|text| Message { pri: 34, ..message(text.as_bytes()) }).collect();
    let line_ends = [&b""[..], b"\n", b"\0", b"\n\0", b"\0\n", b"a\nb", b"a\x1Eb", b"a\x1Eb\nc\n", b"\xFF\r\n"];
    let parts =
        [Part { messages: 1, boot_ns: 77 }, Part { messages: 0, boot_ns: 70 }, Part { messages: 2, boot_ns: 99 }];
    let three = [message(b"one"), message(b"two\nlines"), message(b"three\0")];
    Ok(vec![
        ("one", plain(&[Message { pri: 34, ..message(b"<34>su: 'su root' failed") }], 0, &[])?),
        ("line-ends", plain(&line_ends.map(message), 1, &[])?),
        ("sources", {
            let v6 = "2001:db8::1".parse()?;
            plain(&[from(None, 0, 1), from(Some([192, 0, 2, 7].into()), 514, 0), from(Some(v6), 9, 1)], 2, &[])?
        }),
        ("cut", plain(&[message(b"whole"), cut, unterminated], 3, &[])?),
        (
            "clock-set-back",
            plain(&[at(START_NS, Flags::NONE), at(START_NS - 5, Flags::NONE), at(0, Flags::NONE)], 4, &[])?,
        ),
        ("kernel-times", plain(&[9, 3, 5].map(|ns| at(START_NS + ns, Flags::KERNEL_TIME)), 5, &[])?),
        ("losses", plain(&[message(b"after"), message(b"a loss")], 6, &LOSSES)?),
        ("nothing-but-losses", plain(&[], 7, &LOSSES[..1])?),
        ("joined", block(&three, &header(0, 8..=10), &parts, &[], Compression::None)?),
        ("equal", plain(&[message(b"same"); 5], 11, &[])?),
        ("compressed", block(&many, &header(1, 0..=0), &[], &[], Compression::Level)?),
        // Its size takes four bytes.
        ("long", block(&[message(&[b'x'; 70_000])], &header(1, 1..=1), &[], &[], Compression::Level)?),
    ])
}

/// Blocks that a decoder refuses by number, not by size.
fn blocks_beyond_limits(block: &[u8]) -> [(&'static str, Vec<u8>); 2] {
    let with = |id, value: &[u8], count: usize| {
        let mut frame = Frame::take(&mut &*block).unwrap_or_default();
        frame.columns.retain(|column| column.head[0] != id);
        frame.columns.push(Column::repeated(id, value.to_vec(), count));
        let mut out = Vec::new();
        frame.put(&mut out);
        out
    };
    [
        ("sources-too-many", with(8, &[0, 1, 0, 0], SOURCES_MAX + 1)),
        ("listeners-too-many", with(9, &[0, 0], LISTENERS_MAX + 1)),
    ]
}

fn bytes_of(blocks: &[(&str, Block)]) -> Vec<u8> {
    blocks.iter().flat_map(|(_, block)| block.bytes.clone()).collect()
}

fn seal(blocks: &[(&str, Block)]) -> std::io::Result<Vec<u8>> {
    let mut builder = SegmentBuilder::new();
    for (_, block) in blocks {
        builder.add(block.entry, &block.sources, &listeners(), block.losses);
    }
    builder.seal()
}

fn segments(blocks: &[(&str, Block)]) -> Result<Named<Vec<u8>>, Box<dyn Error>> {
    let (one, two, three) = (bytes_of(&blocks[..1]), bytes_of(&blocks[..2]), bytes_of(&blocks[..3]));
    let end = seal(&blocks[..2])?;
    let torn = three[..three.len() - 20].to_vec();
    let recovered = [two.as_slice(), &Unsealed::walk(&torn, RunId(RUN), &mut Decoder::new()?)?.end].concat();
    let damaged = [&one[5..], b"(\xB5/\xFD not a block", &three[one.len()..]].concat();
    Ok(vec![
        ("sealed", [bytes_of(&blocks[..9]), seal(&blocks[..9])?].concat()),
        ("compressed", [bytes_of(&blocks[9..]), seal(&blocks[9..])?].concat()),
        ("recovered", recovered),
        ("index-of-others", [one.as_slice(), &end].concat()),
        ("index-torn", [two.as_slice(), &end[..30]].concat()),
        ("without-seek-table", [two.as_slice(), &end[..end.len() - 57]].concat()),
        ("twice", [one.as_slice(), &seal(&blocks[..1])?].concat().repeat(2)),
        ("torn", torn),
        ("damaged", damaged),
        ("zeros", [two.as_slice(), &[0; 64]].concat()),
        ("growing", two),
    ])
}

/// Indexes whose columns are stored as they are, so that a mutation is one of an entry.
fn indexes(blocks: &[(&str, Block)]) -> Result<Named<Vec<u8>>, Box<dyn Error>> {
    let (mut entries, mut offset) = (Vec::new(), 0);
    for (_, Block { entry, .. }) in &blocks[..3] {
        put_entry(&mut entries, &BlockEntry { offset, ..*entry });
        offset += entry.block_bytes() as u64;
    }
    let sources = b"\x04\xC0\0\x02\x01\xA0\x0F\0\0\0\0\x01".to_vec();
    let listeners: Vec<u8> =
        listeners().iter().flat_map(|url| [&[url.len() as u8, 0], url.as_bytes()].concat()).collect();
    let mut losses = vec![1, 7];
    losses.extend_from_slice(&3u64.to_le_bytes());
    let columns = vec![
        Column::raw(11, entries),
        Column::raw(8, sources),
        Column::raw(12, vec![1, 0, 1, 0, 2, 0, 1]),
        Column::raw(9, listeners),
        Column::raw(10, losses),
        Column::raw(14, vec![19]),
    ];
    let put = |flags: u8, blocks: u8, columns: Vec<Column>| {
        let fields = [b"LBIX\x01\0", &[flags, 0, blocks, 0, 0, 0, 0, 0, 0, 0][..]].concat();
        let mut out = Vec::new();
        Frame { fields, columns, ..Frame::default() }.put(&mut out);
        out
    };
    // Without the seek table: the target has its own.
    let compressed = seal(&blocks[..9])?;
    let seek_table_bytes = 8 + (2 * 9 + 1) * 8 + 9;
    Ok(vec![
        ("plain", put(0, 3, columns.clone())),
        ("recovered", put(2, 3, columns.clone())),
        ("without-sources", put(1, 3, columns[..1].to_vec())),
        ("empty", put(0, 0, Vec::new())),
        ("compressed", compressed[..compressed.len() - seek_table_bytes].to_vec()),
    ])
}

fn put_entry(out: &mut Vec<u8>, entry: &BlockEntry) {
    out.extend_from_slice(&entry.offset.to_le_bytes());
    for field in [entry.data_bytes, entry.meta_bytes, entry.content_bytes, entry.messages] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&entry.run_id.0.to_le_bytes());
    out.extend_from_slice(&entry.receiver.to_le_bytes());
    for field in [entry.sequence_first, entry.sequence_last, entry.received_min_ns, entry.received_max_ns] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&[0xFF; 25]);
    out.extend_from_slice(&[0; 3]);
}

fn streams() -> [(&'static str, &'static [u8]); 9] {
    [
        ("lines", b"<1>one\n\ntwo\r\n34 not a count\nlast"),
        ("counted", b"6 <1>one8 <2>t\nw\no3 abc"),
        ("counted-with-lf", b"6 <1>one\n6 <1>two\n\n6 <1>six"),
        ("broken-count", b"6 <1>oneoops, no count\n6 <1>two99999999 too many digits\n6 <1>six"),
        ("long-line", b"<1>a line that is longer than the limit of the seed\nshort\n"),
        ("long-counted", b"30 <1>34567890123456789012345678905 short"),
        ("largest-count", b"9999999 <1>never all of it"),
        ("no-count", b"06 <1>one\n12345678 <1>one\n6\t<1>on\n"),
        ("half-a-count", b"12"),
    ]
}

fn headers() -> [(&'static str, &'static [u8]); 14] {
    [
        ("rfc3164", b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8"),
        ("rfc3164-pid", b"<38>Oct  1 22:14:15 192.0.2.1 sshd[230]: Connection closed"),
        ("rfc3164-year", b"<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time"),
        ("no-host", b"<13>2026-10-11T22:14:15.003+02:00 app/child: text"),
        ("no-timestamp", b"<13>myhost app[1]: text"),
        ("level", b"<13>2026-10-11 22:14:15,123 INFO text"),
        ("rfc5424", b"<34>1 2026-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xEF\xBB\xBF'su root' failed"),
        (
            "rfc5424-data",
            b"<165>1 2003-10-11T22:14:15.003Z h evntslog 7 ID47 [a@1 iut=\"3\" e=\"A\\\"p\\]\"][b@2 c=\"d\"] x",
        ),
        ("rfc5424-nil", b"<0>1 - - - - - -"),
        ("cisco", b"<189>29: *Apr  1 12:00:00.123 UTC: %SYS-5-CONFIG_I: Configured from console"),
        ("cisco-xr", b"<189>2: RP/0/RSP0/CPU0:Mar 26 10:00:00.000 : ifmgr[100]: %PKT_INFRA-LINK-3-UPDOWN : down"),
        ("meraki", b"<134>1 1633036800.123456789 MX84 flows src=192.0.2.1"),
        ("ipv6", b"<13>Oct 11 22:14:15 [2001:db8::1] app: text"),
        ("aix", b"<13>Oct 11 22:14:15 Message forwarded from host1: su: text"),
    ]
}

fn names() -> Named<String> {
    let name = SegmentName { begun: "20261122T101500Z".into(), writer: 3, run_id: RunId(0xAB), number: 17 };
    let large = SegmentName { writer: u32::MAX, run_id: RunId(u64::MAX), number: u32::MAX, ..name.clone() };
    vec![
        ("open", name.file_name(FileState::Open)),
        ("sealed", name.file_name(FileState::Sealed)),
        ("large", large.file_name(FileState::Sealed)),
        ("plus", name.file_name(FileState::Sealed).replace("w3", "w+3")),
        ("upper-case", name.file_name(FileState::Sealed).replace("ab", "AB")),
        ("five-parts", name.file_name(FileState::Sealed).replace(".log", "-2.log")),
        ("no-time", name.file_name(FileState::Open).replace('T', "0")),
        ("bare", ".log.zst".into()),
    ]
}
