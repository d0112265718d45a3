//! Blocks and segments to test with, as the collector would write them.

use logboom_segment::{
    BlockEntry, BlockHeader, Decoder, Encoder, Flags, Loss, LossPlace, Message, PRI_NONE, Recompress, Rewrite,
    RewriteGoal, RowLimits, Rows, RunId, Segment, SegmentBuilder, Source, Unsealed, check_block, read_block,
};

pub(crate) const LIMITS: RowLimits = RowLimits { content_bytes: 1 << 20, rows: 16_384, sources: 4_096 };

/// Receive time of the first message of every sample, ns since the Unix epoch.
pub(crate) const START_NS: u64 = 1_795_000_000_000_000_000;

pub(crate) fn listeners() -> Vec<String> {
    vec!["udp://127.0.0.1:5514".into(), "tcp://[::1]:5514".into()]
}

pub(crate) fn source(port: u16) -> Source {
    Source { address: Some([127, 0, 0, 1].into()), port, listener: 0 }
}

pub(crate) fn message(payload: &[u8], received_ns: u64) -> Message<'_> {
    Message {
        payload,
        received_ns,
        source: source(4000),
        pri: PRI_NONE,
        flags: Flags::NONE,
        original_length: payload.len() as u32,
    }
}

pub(crate) fn header(receiver: u32, sequence: u64) -> BlockHeader {
    BlockHeader {
        run_id: RunId(0xC0FFEE),
        receiver,
        sequence_first: sequence,
        sequence_last: sequence,
        boot_ns: 77,
        noted_ns: START_NS,
    }
}

/// A segment under construction, as bytes.
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) builder: SegmentBuilder,
    pub(crate) encoder: Encoder,
    pub(crate) rows: Rows,
    block: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            builder: SegmentBuilder::new(),
            encoder: Encoder::new(1).unwrap(),
            rows: Rows::new(LIMITS),
            block: Vec::new(),
        }
    }

    /// Ends the block: encodes the rows gathered so far.
    pub(crate) fn block(&mut self, header: &BlockHeader, losses: &[Loss]) -> BlockEntry {
        let listeners = listeners();
        let entry = self.encoder.encode(&mut self.rows, header, &listeners, losses, &mut self.block).unwrap();
        self.builder.add(entry, self.rows.sources(), &listeners, losses);
        self.bytes.extend_from_slice(&self.block);
        self.rows.clear();
        entry
    }

    pub(crate) fn seal(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        bytes.extend_from_slice(&self.builder.seal().unwrap());
        bytes
    }
}

/// Three blocks of a hundred lines each.
pub(crate) fn three_blocks() -> Writer {
    let mut writer = Writer::new();
    for block in 0..3 {
        for line in 0..100 {
            let text = format!("<34>Oct 11 22:14:15 host-{block} su: attempt {line} for lonvick on /dev/pts/8");
            let at = START_NS + (block * 100 + line) * 1000;
            writer.rows.append(&Message { pri: 34, ..message(text.as_bytes(), at) }).unwrap();
        }
        writer.block(&header(0, block), &[]);
    }
    writer
}

/// Everything that the format can hold, in the ways in which it can stand in a file.
pub(crate) fn golden_files() -> Vec<(&'static str, Vec<u8>)> {
    let open = everything().bytes;
    let sealed = everything().seal();
    let torn = [&open[..], &open[..open.len() / 2]].concat();
    let recovered = Unsealed::walk(&open, RunId(0xC0FFEE), &mut Decoder::new().unwrap()).unwrap();
    let recovered = [&open[..], &recovered.end].concat();
    let limits = RowLimits { rows: 1 << 17, ..LIMITS };
    let goal = RewriteGoal { limits, level: 3, recompress: Recompress::All };
    let segment = Segment::open(&sealed, &mut Decoder::new().unwrap()).unwrap();
    let mut rewrite = Rewrite::new(&segment, goal).unwrap();
    let (mut rewritten, mut block) = (Vec::new(), Vec::new());
    while rewrite.next_block(&sealed, &mut block).unwrap() {
        rewritten.extend_from_slice(&block);
    }
    rewritten.extend_from_slice(&rewrite.end().unwrap());
    vec![
        ("v1-sealed.zst", sealed),
        ("v1-open.zst", open),
        ("v1-torn.zst", torn),
        ("v1-recovered.zst", recovered),
        ("v1-rewritten.zst", rewritten),
    ]
}

fn everything() -> Writer {
    let mut writer = Writer::new();
    let v6 = Source { address: Some("2001:db8::7".parse().unwrap()), port: 514, listener: 1 };
    let local = Source { address: None, port: 0, listener: 0 };
    for (number, (receiver, sequence)) in [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1)].into_iter().enumerate() {
        let start = START_NS + number as u64 * 1_000_000_000;
        let plain = message(b"<34>Oct 11 22:14:15 host su: 'su root' failed", start);
        let rows = [
            Message { pri: 34, ..plain },
            Message { source: v6, pri: 165, payload: b"<165>1 2003-10-11T22:14:15.003Z - - - - -", ..plain },
            Message { source: local, payload: b"line\nfeeds\n\x1E and a separator", received_ns: start + 5, ..plain },
            Message { payload: b"", received_ns: start - 7, ..plain },
            Message { payload: b"ends with NUL\0", flags: Flags::KERNEL_TIME, received_ns: start + 9, ..plain },
            Message { payload: b"ends with LF\n", flags: Flags::UNTERMINATED, received_ns: start + 9, ..plain },
            Message { payload: b"\xFF\xFEcut", flags: Flags::TRUNCATED, original_length: 70_000, ..plain },
        ];
        rows.iter().for_each(|row| writer.rows.append(row).unwrap());
        let losses = LossPlace::ALL.map(|place| Loss { place, detail: 1, messages: 1 << place as u8 });
        writer.block(&header(receiver, sequence), if number == 3 { &losses } else { &[] });
    }
    writer.block(&header(2, 0), &[Loss { place: LossPlace::Shed, detail: 7, messages: 5 }]);
    writer
}

/// All that a segment tells, as text: its ends and losses, and every message of every block, whatever blocks it came in.
pub(crate) fn list(bytes: &Vec<u8>) -> String {
    let mut decoder = Decoder::new().unwrap();
    let segment = Segment::open(bytes, &mut decoder).unwrap();
    let mut lines: Vec<String> = Vec::new();
    let (mut block, mut rows) = (Vec::new(), Rows::for_decoding());
    for entry in &segment.blocks {
        read_block(bytes, entry, &mut block).unwrap();
        let listeners = decoder.decode(&block, &mut rows).unwrap();
        let (_, meta) = check_block(&block).unwrap();
        let parts = meta.parts(&mut decoder).unwrap();
        let mut messages = rows.messages();
        for (sequence, part) in (entry.sequence_first..).zip(&parts) {
            let name = format!("{} {:03} {sequence:06}", entry.run_id, entry.receiver);
            lines.push(format!("{name} begun {}", part.boot_ns));
            for (row, message) in messages.by_ref().take(part.messages as usize).enumerate() {
                let Message { payload, received_ns, source, pri, flags, original_length } = message;
                let (address, port, listener) = (source.address, source.port, &listeners[usize::from(source.listener)]);
                lines.push(format!(
                    "{name} {row:06} {received_ns} {address:?} {port} {listener} pri {pri} flags {} of {original_length}: {}",
                    flags.0,
                    payload.escape_ascii()
                ));
            }
        }
    }
    lines.sort();
    let losses =
        segment.losses.iter().map(|loss| format!("lost {} {} {}", loss.place.name(), loss.detail, loss.messages));
    lines.extend(losses);
    lines.push(format!("sealed {}, {} B behind the blocks", segment.sealed, segment.tail_bytes));
    lines.join("\n") + "\n"
}
