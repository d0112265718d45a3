//! Taking datagrams from a socket, and putting them into a block.
//!
//! Only the receiving is timed: the datagrams of each round are sent, by the same thread, before the clock starts. They are
//! cache-warm then, which those of a real sender are not: compare stages here, and rates end to end.

use std::hint::black_box;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use benches::{lines, message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::block::{ROWS_PER_BLOCK_MAX, SOURCES_PER_BLOCK_MAX};
use logboom_segment::{RowLimits, Rows};
use logboom_udp::{ReceiveRing, bind_group};

const LIMITS: RowLimits =
    RowLimits { content_bytes: 1 << 20, rows: ROWS_PER_BLOCK_MAX, sources: SOURCES_PER_BLOCK_MAX };

/// Datagrams a round: within the receive buffer that any machine grants.
const ROUND: usize = 128;

fn receive(criterion: &mut Criterion) {
    let socket = bind_group(([127, 0, 0, 1], 0).into(), 1, 1 << 20, false).expect("a loopback socket").remove(0);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
    let lines = lines(ROUND);
    let mut group = criterion.benchmark_group("receive");
    group.throughput(Throughput::Elements(ROUND as u64));
    for batch in [1, 16, 64] {
        let mut ring = ReceiveRing::new(batch, 65_527);
        group.bench_function(BenchmarkId::new("recvmmsg", batch), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    for line in &lines {
                        sender.send_to(line, socket.address()).expect("loopback takes it");
                    }
                    let begun = Instant::now();
                    let mut received = 0;
                    while received < ROUND {
                        let taken = ring.receive(&socket).expect("a receiving socket");
                        (0..taken).for_each(|index| {
                            black_box(ring.slot(index));
                        });
                        received += taken;
                    }
                    total += begun.elapsed();
                }
                total
            });
        });
    }
    group.finish();
}

fn append(criterion: &mut Criterion) {
    let lines = lines(4096);
    let mut rows = Rows::new(LIMITS);
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(lines.len() as u64));
    group.bench_function("pri and row", |bencher| {
        bencher.iter(|| {
            rows.clear();
            for line in &lines {
                let pri = logboom_syslog::pri(line).unwrap_or(255);
                let message = logboom_segment::Message { pri, ..message(line, 1) };
                rows.append(&message).expect("4,096 lines fit");
            }
            rows.len()
        });
    });
    group.finish();
}

criterion_group!(benches, receive, append);
criterion_main!(benches);
