//! The messages of many blocks in one order.
//!
//! By receive time; ties and steps of the clock by (receiver, run, block sequence, row), so that what one receiver took in
//! order stays in order; but messages with the kernel's own times are by these within a block, too. A block is decoded when the time of its first message is reached and let go after its last, so
//! that memory follows the number of receivers and not of segments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::index::BlockEntry;
use crate::rows::{Message, RowCursor, Rows};

/// A block of one of many segments.
#[derive(Clone, Copy, Debug)]
pub struct BlockRef {
    /// The caller's number for the segment.
    pub segment: usize,
    /// The block in it.
    pub entry: BlockEntry,
}

/// From the earliest message on, or from the latest back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Earliest first.
    #[default]
    Forward,
    /// Latest first.
    Backward,
}

impl Direction {
    /// What is least for the message that comes first.
    fn rank(self, value: u64) -> u64 {
        match self {
            Self::Forward => value,
            Self::Backward => u64::MAX - value,
        }
    }

    fn first_ns(self, block: &BlockEntry) -> u64 {
        self.rank(match self {
            Self::Forward => block.received_min_ns,
            Self::Backward => block.received_max_ns,
        })
    }

    fn key(self, received_ns: u64, block: &BlockEntry, row: usize) -> Key {
        let (receiver, run) = (self.rank(u64::from(block.receiver)), self.rank(block.run_id.0));
        (self.rank(received_ns), receiver, run, self.rank(block.sequence_first), row)
    }
}

/// `blocks` in the order in which a [`Merge`] fetches them, each once.
#[must_use]
pub fn in_order(mut blocks: Vec<BlockRef>, direction: Direction) -> Vec<BlockRef> {
    let identity = |block: &BlockRef| (block.entry.run_id, block.entry.receiver, block.entry.sequence_first);
    // Of copies, keep the one that covers most: a rewrite joins blocks, and the parts may still be there.
    blocks.sort_by_key(|block| (identity(block), Reverse(block.entry.sequence_last)));
    let mut covered = None;
    blocks.retain(|block| {
        let (run_id, receiver, first) = identity(block);
        let twice = covered.is_some_and(|(run, by, last)| (run, by) == (run_id, receiver) && first <= last);
        if !twice {
            covered = Some((run_id, receiver, block.entry.sequence_last));
        }
        !twice
    });
    blocks.sort_by_key(|block| {
        let (_, receiver, run, sequence, _) = direction.key(0, &block.entry, 0);
        (direction.first_ns(&block.entry), receiver, run, sequence)
    });
    blocks
}

/// Yields the messages of blocks in one order. `fetch` decodes a block into the rows given and returns its listeners,
/// or `None` to pass over it (damaged, or deleted meanwhile; the caller notes which).
pub struct Merge<F> {
    direction: Direction,
    /// The last first, so that the next one is popped.
    unopened: Vec<BlockRef>,
    opened: BinaryHeap<Reverse<OpenBlock>>,
    current: Option<OpenBlock>,
    spare: Vec<Rows>,
    sorting: Rows,
    fetch: F,
}

/// Order of messages: receive time, receiver, run, block sequence, row.
type Key = (u64, u64, u64, u64, usize);

struct OpenBlock {
    key: Key,
    entry: BlockEntry,
    rows: Rows,
    cursor: RowCursor,
    listeners: Vec<String>,
}

impl<F: FnMut(&BlockRef, &mut Rows) -> Option<Vec<String>>> Merge<F> {
    /// A merge of `blocks`, in whatever order they come; a block given twice is yielded once.
    pub fn new(blocks: Vec<BlockRef>, direction: Direction, fetch: F) -> Self {
        let mut unopened = in_order(blocks, direction);
        unopened.reverse();
        Self {
            direction,
            unopened,
            opened: BinaryHeap::new(),
            current: None,
            spare: Vec::new(),
            sorting: Rows::for_decoding(),
            fetch,
        }
    }

    /// The next message and the URL of the listener that took it; `None` at the end.
    pub fn next_message(&mut self) -> Option<(Message<'_>, &str)> {
        self.choose();
        let current = self.current.as_mut()?;
        let message = current.cursor.next(&current.rows)?;
        if let Some(next_ns) = current.cursor.peek_ns(&current.rows) {
            current.key = self.direction.key(next_ns, &current.entry, current.cursor.row());
        }
        let listener = &current.listeners[usize::from(message.source.listener)];
        Some((message, listener))
    }

    /// Makes the block with the next message current. Messages come in runs from one block: while its next key is the
    /// least, nothing moves.
    fn choose(&mut self) {
        if let Some(current) = self.current.take() {
            if current.cursor.peek_ns(&current.rows).is_none() {
                self.spare.push(current.rows);
            } else if self.is_least(&current.key) {
                self.current = Some(current);
                return;
            } else {
                self.opened.push(Reverse(current));
            }
        }
        while let Some(block) = self.unopened.last() {
            let reached =
                self.opened.peek().is_none_or(|Reverse(least)| least.key.0 >= self.direction.first_ns(&block.entry));
            if !reached {
                break;
            }
            self.open_next();
        }
        self.current = self.opened.pop().map(|Reverse(block)| block);
    }

    fn is_least(&self, key: &Key) -> bool {
        self.opened.peek().is_none_or(|Reverse(least)| *key <= least.key)
            && self.unopened.last().is_none_or(|block| key.0 < self.direction.first_ns(&block.entry))
    }

    fn open_next(&mut self) {
        let Some(block) = self.unopened.pop() else { return };
        let mut rows = self.spare.pop().unwrap_or_else(Rows::for_decoding);
        let fetched = (self.fetch)(&block, &mut rows);
        rows.sort_by_kernel_time(&mut self.sorting);
        if self.direction == Direction::Backward {
            rows.reverse(&mut self.sorting);
        }
        let cursor = RowCursor::default();
        match (fetched, cursor.peek_ns(&rows)) {
            (Some(listeners), Some(first_ns)) => {
                let (key, entry) = (self.direction.key(first_ns, &block.entry, 0), block.entry);
                self.opened.push(Reverse(OpenBlock { key, entry, rows, cursor, listeners }));
            }
            _ => self.spare.push(rows),
        }
    }
}

impl PartialEq for OpenBlock {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for OpenBlock {}

impl PartialOrd for OpenBlock {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OpenBlock {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}
