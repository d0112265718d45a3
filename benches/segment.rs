//! Encoding and decoding blocks of 1 MiB.

use benches::{lines, message};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom_segment::{BlockHeader, Decoder, Encoder, RowLimits, Rows, RunId, check_block};

const LIMITS: RowLimits = RowLimits { content_bytes: 1 << 20, rows: 16_384, sources: 4_096 };
const HEADER: BlockHeader =
    BlockHeader { run_id: RunId(1), receiver: 0, sequence_first: 0, sequence_last: 0, boot_ns: 0, noted_ns: 0 };

fn full_block() -> Rows {
    let mut rows = Rows::new(LIMITS);
    // One clock reading for each batch of 64, as receivers take it.
    for (number, line) in lines(LIMITS.rows).iter().enumerate() {
        if rows.append(&message(line, 1_795_000_000_000_000_000 + number as u64 / 64 * 160_000)).is_err() {
            break;
        }
    }
    rows
}

fn segment(criterion: &mut Criterion) {
    let listeners = ["udp://127.0.0.1:514".to_owned()];
    let messages = full_block().len() as u64;
    let mut group = criterion.benchmark_group("segment");
    group.throughput(Throughput::Elements(messages));
    for level in [1, 3, -5] {
        let mut encoder = Encoder::new(level).expect("memory for zstd");
        let mut block = Vec::new();
        group.bench_function(BenchmarkId::new("encode", level), |bencher| {
            bencher.iter_batched_ref(
                full_block,
                |rows| encoder.encode(rows, &HEADER, &listeners, &[], &mut block).expect("within the limits"),
                BatchSize::LargeInput,
            );
        });
    }
    let mut block = Vec::new();
    let mut encoder = Encoder::new(1).expect("memory for zstd");
    encoder.encode(&mut full_block(), &HEADER, &listeners, &[], &mut block).expect("within the limits");
    let (mut decoder, mut rows) = (Decoder::new().expect("memory for zstd"), Rows::for_decoding());
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decoder.decode(&block, &mut rows).expect("what was encoded"));
    });
    group.bench_function("check", |bencher| {
        bencher.iter(|| check_block(&block).expect("what was encoded").1.messages);
    });
    group.finish();
}

criterion_group!(benches, segment);
criterion_main!(benches);
