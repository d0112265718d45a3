//! Blocks and segments to test with, as the collector would write them.

use logboom_segment::{
    BlockEntry, BlockHeader, Encoder, Flags, Loss, Message, PRI_NONE, RowLimits, Rows, RunId, SegmentBuilder, Source,
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
