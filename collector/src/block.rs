//! Blocks: the memory in which messages wait between a receiver and a writer; and the bounded pool they come from.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam::atomic::AtomicCell;
use crossbeam::utils::CachePadded;
use logboom_segment::{Loss, RowLimits, Rows};

/// Most messages in one block: at 200 B a message, three times what its text has room for.
pub const ROWS_PER_BLOCK_MAX: usize = 16_384;

/// Most senders in one block.
pub const SOURCES_PER_BLOCK_MAX: usize = 4_096;

/// Messages of one receiver on their way to disk.
#[derive(Debug)]
pub struct Block {
    /// The messages.
    pub rows: Rows,
    /// The receiver that fills it.
    pub receiver: u32,
    /// Its number among the receiver's blocks.
    pub sequence: u64,
    /// When it was begun, for its age.
    pub begun: Instant,
    /// When it was begun on the boot-time clock, ns.
    pub begun_boot_ns: u64,
    /// When it was handed on or a loss was noted, ns since the Unix epoch: its time if it holds no message.
    pub noted_ns: u64,
    /// What its receiver lost since its previous block.
    pub losses: Vec<Loss>,
    /// Its place in the pool.
    slot: u32,
}

/// A fixed number of blocks. Taking and giving back is lock-free, and last given is first taken, so that a quiet
/// collector stays in cache and memory is touched only when it is needed.
///
/// The free blocks are a Treiber stack of slot numbers; the head carries a count of changes, so that a slot that left
/// and came back meanwhile is noticed.
pub struct BlockPool {
    slots: Box<[Slot]>,
    head: CachePadded<AtomicU64>,
    free: CachePadded<AtomicUsize>,
    reserve: usize,
}

struct Slot {
    /// The block, while it is free.
    block: AtomicCell<Option<Box<Block>>>,
    /// The free slot below this one.
    below: AtomicU32,
    /// Messages in the block, while it is not free; published by whoever holds it.
    messages: CachePadded<AtomicU32>,
}

const BOTTOM: u32 = u32::MAX;

impl BlockPool {
    /// A pool of as many blocks as fit in `memory_bytes`, of which a share of `reserve` is only for
    /// [`BlockPool::take_reserve`].
    #[must_use]
    pub fn new(memory_bytes: usize, reserve: f64, limits: RowLimits) -> Self {
        let count = (memory_bytes / Rows::memory_bytes_max(limits)).min(BOTTOM as usize - 1);
        let slots = (0..count as u32).map(|slot| Slot {
            block: AtomicCell::new(Some(Box::new(Block::new(slot, limits)))),
            below: AtomicU32::new(slot.checked_sub(1).unwrap_or(BOTTOM)),
            messages: CachePadded::new(AtomicU32::new(0)),
        });
        Self {
            slots: slots.collect(),
            head: CachePadded::new(AtomicU64::new(u64::from((count as u32).checked_sub(1).unwrap_or(BOTTOM)))),
            free: CachePadded::new(AtomicUsize::new(count)),
            reserve: (count as f64 * reserve) as usize,
        }
    }

    /// Blocks in all.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.slots.len()
    }

    /// Blocks that nobody holds.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.load(Ordering::Acquire)
    }

    /// Whether only the reserve is left.
    #[must_use]
    pub fn is_down_to_reserve(&self) -> bool {
        self.free() <= self.reserve
    }

    /// Whether less than a quarter is free: receivers then leave the processor to writers now and then.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.free() < self.slots.len() / 4
    }

    /// An empty block, unless only the reserve is left.
    #[must_use]
    pub fn take(&self) -> Option<Box<Block>> {
        self.take_if_more_than(self.reserve)
    }

    /// An empty block for what can wait, unless that would leave less than a quarter ([`BlockPool::is_low`]): the rest is for
    /// what cannot.
    #[must_use]
    pub fn take_patiently(&self) -> Option<Box<Block>> {
        self.take_if_more_than(self.reserve.max(self.slots.len() / 4))
    }

    /// An empty block, unless none is left.
    #[must_use]
    pub fn take_reserve(&self) -> Option<Box<Block>> {
        self.take_if_more_than(0)
    }

    fn take_if_more_than(&self, left: usize) -> Option<Box<Block>> {
        // Claimed first: who has the claim will find a block, because each is counted only after it was put there.
        let claim = |free: usize| (free > left).then(|| free - 1);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, claim).ok()?;
        self.pop()
    }

    fn pop(&self) -> Option<Box<Block>> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let slot = self.slots.get(slot_of(head))?;
            let next = changed(head, slot.below.load(Ordering::Relaxed));
            match self.head.compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return slot.block.take(),
                Err(now) => head = now,
            }
        }
    }

    /// Takes back a block; its messages are forgotten.
    pub fn give_back(&self, mut block: Box<Block>) {
        block.rows.clear();
        block.losses.clear();
        let number = block.slot;
        let slot = &self.slots[number as usize];
        slot.messages.store(0, Ordering::Release);
        slot.block.store(Some(block));
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            slot.below.store(head as u32, Ordering::Relaxed);
            match self.head.compare_exchange_weak(head, changed(head, number), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        self.free.fetch_add(1, Ordering::AcqRel);
    }

    /// Tells how many messages a block that is not free holds now.
    pub fn publish(&self, block: &Block) {
        self.slots[block.slot as usize].messages.store(block.rows.len() as u32, Ordering::Release);
    }

    /// Messages in all blocks that are not free, as last published.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.slots.iter().map(|slot| u64::from(slot.messages.load(Ordering::Acquire))).sum()
    }
}

fn slot_of(head: u64) -> usize {
    head as u32 as usize
}

/// A head that points to `slot` and differs from every recent one.
fn changed(head: u64, slot: u32) -> u64 {
    (head >> 32).wrapping_add(1) << 32 | u64::from(slot)
}

impl Block {
    fn new(slot: u32, limits: RowLimits) -> Self {
        Self {
            rows: Rows::new(limits),
            receiver: 0,
            sequence: 0,
            begun: Instant::now(),
            begun_boot_ns: 0,
            noted_ns: 0,
            losses: Vec::new(),
            slot,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use logboom_segment::{Flags, Message, PRI_NONE, Source};

    const LIMITS: RowLimits = RowLimits { content_bytes: 100, rows: 10, sources: 4 };

    fn pool(blocks: usize, reserve: f64) -> BlockPool {
        BlockPool::new(blocks * Rows::memory_bytes_max(LIMITS), reserve, LIMITS)
    }

    fn fill(block: &mut Block, messages: usize) {
        let source = Source { address: None, port: 0, listener: 0 };
        for _ in 0..messages {
            let message = Message {
                payload: b"x",
                received_ns: 1,
                source,
                pri: PRI_NONE,
                flags: Flags::NONE,
                original_length: 1,
            };
            block.rows.append(&message).unwrap();
        }
    }

    #[test]
    fn the_stack_is_lock_free_here() {
        assert!(AtomicCell::<Option<Box<Block>>>::is_lock_free());
    }

    #[test]
    fn memory_bounds_the_blocks_and_the_reserve_is_kept() {
        let pool = pool(8, 0.25);
        let taken: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!((pool.blocks(), taken.len(), pool.free()), (8, 6, 2));
        assert!(pool.is_down_to_reserve());
        let reserve: Vec<_> = std::iter::from_fn(|| pool.take_reserve()).collect();
        assert_eq!((reserve.len(), pool.free()), (2, 0));
        taken.into_iter().chain(reserve).for_each(|block| pool.give_back(block));
        assert_eq!(pool.free(), 8);
    }

    #[test]
    fn what_can_wait_leaves_a_quarter_so_that_the_pool_is_never_low_by_it() {
        let pool = pool(16, 0.125);
        let patient: Vec<_> = std::iter::from_fn(|| pool.take_patiently()).collect();
        assert_eq!((patient.len(), pool.free(), pool.is_low()), (12, 4, false));
        let taken: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!((taken.len(), pool.is_low()), (2, true), "and the rest of it above the reserve is for what cannot");
        patient.into_iter().chain(taken).for_each(|block| pool.give_back(block));
    }

    #[test]
    fn the_last_given_back_is_the_first_taken() {
        let pool = pool(8, 0.0);
        let (first, second) = (pool.take().unwrap(), pool.take().unwrap());
        let slot = first.slot;
        pool.give_back(second);
        pool.give_back(first);
        assert_eq!(pool.take().unwrap().slot, slot);
    }

    #[test]
    fn in_flight_is_what_the_blocks_hold_and_given_back_blocks_are_empty() {
        let pool = pool(4, 0.0);
        let (mut a, mut b) = (pool.take().unwrap(), pool.take().unwrap());
        fill(&mut a, 3);
        fill(&mut b, 5);
        pool.publish(&a);
        pool.publish(&b);
        assert_eq!(pool.in_flight(), 8);
        pool.give_back(a);
        assert_eq!(pool.in_flight(), 5);
        pool.give_back(b);
        assert_eq!(pool.in_flight(), 0);
        assert!(std::iter::from_fn(|| pool.take()).all(|block| block.rows.is_empty()));
    }

    #[test]
    fn many_threads_never_hold_the_same_block() {
        let pool = pool(6, 0.0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let Some(mut a) = pool.take() else { continue };
                        let b = pool.take();
                        // A block held twice would show the other holder's rows.
                        assert!(a.rows.is_empty());
                        fill(&mut a, 1);
                        b.into_iter().for_each(|b| pool.give_back(b));
                        assert_eq!(a.rows.len(), 1);
                        pool.give_back(a);
                    }
                });
            }
        });
        let slots: HashSet<u32> = std::iter::from_fn(|| pool.take()).map(|block| block.slot).collect();
        assert_eq!(slots.len(), 6, "every block is there, once");
    }
}
