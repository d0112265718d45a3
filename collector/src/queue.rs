//! The lock-free hand-off of blocks from receivers to writers.
//!
//! One ring (crossbeam's `ArrayQueue`) with room for every block of the pool, so that pushing never fails and never
//! waits. A writer without work parks; a push wakes the first parked writer, so that a quiet collector uses only one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam::queue::ArrayQueue;
use crossbeam::sync::{Parker, Unparker};
use crossbeam::utils::CachePadded;

use crate::block::Block;

struct Shared {
    ring: ArrayQueue<Box<Block>>,
    writers: Box<[Sleeper]>,
    closed: AtomicBool,
}

struct Sleeper {
    asleep: CachePadded<AtomicBool>,
    unparker: Unparker,
}

/// The receivers' end; cloned for each.
#[derive(Clone)]
pub struct BlockSender(Arc<Shared>);

/// A writer's end.
pub struct BlockReceiver {
    shared: Arc<Shared>,
    number: usize,
    parker: Parker,
}

/// What a writer got.
pub enum Popped {
    /// A block.
    Block(Box<Block>),
    /// Nothing until the deadline.
    TimedOut,
    /// Nothing, and nothing will come.
    Closed,
}

/// A queue for `blocks` blocks and `writers` writers.
#[must_use]
pub fn block_queue(blocks: usize, writers: usize) -> (BlockSender, Vec<BlockReceiver>) {
    let parkers: Vec<Parker> = (0..writers).map(|_| Parker::new()).collect();
    let sleeper = |parker: &Parker| Sleeper {
        asleep: CachePadded::new(AtomicBool::new(false)),
        unparker: parker.unparker().clone(),
    };
    let shared = Arc::new(Shared {
        ring: ArrayQueue::new(blocks.max(1)),
        writers: parkers.iter().map(sleeper).collect(),
        closed: AtomicBool::new(false),
    });
    let receiver = |(number, parker)| BlockReceiver { shared: Arc::clone(&shared), number, parker };
    let receivers = parkers.into_iter().enumerate().map(receiver).collect();
    (BlockSender(shared), receivers)
}

impl BlockSender {
    /// Hands a block on.
    ///
    /// # Panics
    /// When there are more blocks than the queue was made for.
    pub fn push(&self, block: Box<Block>) {
        assert!(self.0.ring.push(block).is_ok(), "more blocks than the pool has");
        for writer in &self.0.writers {
            // Whoever takes the mark away wakes the writer, so that two pushes wake two.
            if writer.asleep.load(Ordering::SeqCst) && writer.asleep.swap(false, Ordering::SeqCst) {
                writer.unparker.unpark();
                return;
            }
        }
    }

    /// Tells the writers that nothing will come any more.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        for writer in &self.0.writers {
            writer.unparker.unpark();
        }
    }

    /// Blocks that wait for a writer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.ring.len()
    }

    /// Whether no block waits for a writer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.ring.is_empty()
    }
}

impl BlockReceiver {
    /// Waits for a block, until `deadline` if there is one.
    #[must_use]
    pub fn pop(&self, deadline: Option<Instant>) -> Popped {
        loop {
            // Read before the ring: what was pushed before closing is found.
            let closed = self.shared.closed.load(Ordering::SeqCst);
            if let Some(block) = self.shared.ring.pop() {
                return Popped::Block(block);
            }
            if closed {
                return Popped::Closed;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Popped::TimedOut;
            }
            self.park(deadline);
        }
    }

    /// Whether nothing will come any more but what is in the queue.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::SeqCst)
    }

    fn park(&self, deadline: Option<Instant>) {
        let asleep = &self.shared.writers[self.number].asleep;
        asleep.store(true, Ordering::SeqCst);
        // A push that came before the mark saw nobody asleep: look again.
        if self.shared.ring.is_empty() && !self.shared.closed.load(Ordering::SeqCst) {
            match deadline {
                Some(deadline) => self.parker.park_deadline(deadline),
                None => self.parker.park(),
            }
        }
        asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::block::BlockPool;
    use logboom_segment::{RowLimits, Rows};

    const LIMITS: RowLimits = RowLimits { content_bytes: 100, rows: 10, sources: 4 };

    fn pool(blocks: usize) -> BlockPool {
        BlockPool::new(blocks * Rows::memory_bytes_max(LIMITS), 0.0, LIMITS)
    }

    #[test]
    fn what_was_pushed_before_closing_comes_out_in_order() {
        let pool = pool(3);
        let (sender, receivers) = block_queue(3, 1);
        for sequence in 0..3 {
            let mut block = pool.take().unwrap();
            block.sequence = sequence;
            sender.push(block);
        }
        assert_eq!(sender.len(), 3);
        sender.close();
        for sequence in 0..3 {
            let Popped::Block(block) = receivers[0].pop(None) else { panic!("block {sequence} is missing") };
            assert_eq!(block.sequence, sequence);
        }
        assert!(matches!(receivers[0].pop(None), Popped::Closed));
    }

    #[test]
    fn a_deadline_ends_the_waiting() {
        let (_sender, receivers) = block_queue(1, 1);
        assert!(matches!(receivers[0].pop(Some(Instant::now() + Duration::from_millis(1))), Popped::TimedOut));
    }

    #[test]
    fn no_wake_up_is_lost_between_many_receivers_and_writers() {
        const EACH: u64 = 20_000;
        let pool = pool(16);
        let (sender, receivers) = block_queue(16, 3);
        let taken: u64 = std::thread::scope(|scope| {
            let writers: Vec<_> = receivers
                .into_iter()
                .map(|receiver| {
                    let pool = &pool;
                    scope.spawn(move || {
                        let mut taken = 0;
                        while let Popped::Block(block) = receiver.pop(None) {
                            pool.give_back(block);
                            taken += 1;
                        }
                        taken
                    })
                })
                .collect();
            let producers: Vec<_> = (0..2)
                .map(|_| {
                    let (pool, sender) = (&pool, sender.clone());
                    scope.spawn(move || {
                        let mut pushed = 0;
                        while pushed < EACH {
                            match pool.take() {
                                Some(block) => sender.push(block),
                                None => {
                                    std::thread::yield_now();
                                    continue;
                                }
                            }
                            pushed += 1;
                        }
                    })
                })
                .collect();
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            sender.close();
            writers.into_iter().map(|writer| writer.join().unwrap()).sum()
        });
        assert_eq!(taken, 2 * EACH);
    }
}
