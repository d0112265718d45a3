//! Handing blocks from receivers to writers and back: what a block costs, and so, at 5,000 messages a block, a message.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logboom::block::BlockPool;
use logboom::queue::{Popped, block_queue};
use logboom_segment::{RowLimits, Rows};

const LIMITS: RowLimits = RowLimits { content_bytes: 4096, rows: 64, sources: 16 };
const BLOCKS: usize = 64;

fn pool() -> BlockPool {
    BlockPool::new(BLOCKS * Rows::memory_bytes_max(LIMITS), 0.0, LIMITS)
}

fn handoff(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handoff");
    group.throughput(Throughput::Elements(1));

    group.bench_function("pool: take and give back", |bencher| {
        let pool = pool();
        bencher.iter(|| {
            if let Some(block) = pool.take() {
                pool.give_back(block);
            }
        });
    });

    group.bench_function("pool and queue, one thread", |bencher| {
        let pool = pool();
        let (sender, receivers) = block_queue(BLOCKS, 1);
        bencher.iter(|| {
            if let Some(block) = pool.take() {
                sender.push(block);
            }
            if let Popped::Block(block) = receivers[0].pop(None) {
                pool.give_back(block);
            }
        });
    });

    group.bench_function("pool and queue, to a writer thread", |bencher| {
        let pool = Arc::new(pool());
        let (sender, mut receivers) = block_queue(BLOCKS, 1);
        let (receiver, writers_pool) = (receivers.remove(0), Arc::clone(&pool));
        let writer = std::thread::spawn(move || {
            while let Popped::Block(block) = receiver.pop(None) {
                writers_pool.give_back(block);
            }
        });
        bencher.iter(|| {
            loop {
                match pool.take() {
                    Some(block) => break sender.push(block),
                    None => std::thread::yield_now(),
                }
            }
        });
        sender.close();
        writer.join().expect("the writer thread ends");
    });
    group.finish();
}

criterion_group!(benches, handoff);
criterion_main!(benches);
