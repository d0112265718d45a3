//! Ways in. Each file is one; what they share is here: filling blocks, and what to do when there is none.

mod accept;
pub mod allow;
mod connection;
pub mod connections;
pub mod sequence;
pub mod steering;
pub mod stream;
pub mod tls;
pub mod udp;
mod unixgram;

pub use connection::StreamLimits;

use std::sync::Arc;
use std::time::{Duration, Instant};

use logboom_segment::{Loss, LossPlace, Message, PRI_NONE};
use logboom_syslog::Severity;
use logboom_udp::clock::{boot_ns, realtime_ns};

use crate::block::{Block, BlockPool};
use crate::ledger::{Ledger, ReceiverCounts};
use crate::queue::BlockSender;

/// Sleep while there is no block.
const NO_BLOCK_SLEEP: Duration = Duration::from_millis(1);

/// What became of a message that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is in a block.
    Kept,
    /// It was shed, and counted.
    Shed,
    /// There is no block for it: nothing was done, offer it again.
    NoBlock,
}

/// Fills one receiver's blocks and hands them on.
pub struct Feed {
    receiver: u32,
    next_sequence: u64,
    current: Option<Box<Block>>,
    block_age: Duration,
    /// Whether only the reserve was left in this batch.
    shedding: bool,
    /// Shed in this batch, by severity.
    shed: [u64; 8],
    /// Losses not yet in a block.
    losses: Vec<Loss>,
    ledger: Arc<Ledger>,
    queue: BlockSender,
}

impl Feed {
    /// A feed for receiver number `receiver`.
    #[must_use]
    pub fn new(receiver: u32, block_age: Duration, ledger: Arc<Ledger>, queue: BlockSender) -> Self {
        Self {
            receiver,
            next_sequence: 0,
            current: None,
            block_age,
            shedding: false,
            shed: [0; 8],
            losses: Vec::new(),
            ledger,
            queue,
        }
    }

    /// Longest time that a message waits in an unfilled block.
    #[must_use]
    pub fn block_age(&self) -> Duration {
        self.block_age
    }

    /// The pool that the blocks come from.
    #[must_use]
    pub fn pool(&self) -> &BlockPool {
        &self.ledger.pool
    }

    /// The counts of this receiver.
    #[must_use]
    pub fn counts(&self) -> &ReceiverCounts {
        &self.ledger.receivers[self.receiver as usize]
    }

    /// Puts a datagram into the current block. When only the reserve is left, messages of severity info and debug are
    /// shed and the rest goes into the reserve; a message without a valid PRI counts as notice.
    #[inline]
    pub fn offer_or_shed(&mut self, message: &Message<'_>) -> Offered {
        if self.shedding && is_sheddable(message.pri) {
            return self.shed(message.pri);
        }
        if let Some(block) = &mut self.current
            && block.rows.append(message).is_ok()
        {
            return Offered::Kept;
        }
        self.offer_to_next(message)
    }

    /// Puts a message of a stream into the current block. Nothing is shed: when blocks are scarce its sender waits, so that
    /// what is left is for datagrams, whose senders do not.
    pub fn offer_or_wait(&mut self, message: &Message<'_>) -> Offered {
        loop {
            if let Some(block) = &mut self.current
                && block.rows.append(message).is_ok()
            {
                return Offered::Kept;
            }
            self.hand_over();
            let Some(block) = self.pool().take_patiently() else { return Offered::NoBlock };
            self.begin(block);
        }
    }

    fn offer_to_next(&mut self, message: &Message<'_>) -> Offered {
        self.hand_over();
        let block = match self.pool().take() {
            Some(block) => block,
            None => {
                self.shedding = true;
                if is_sheddable(message.pri) {
                    return self.shed(message.pri);
                }
                let Some(block) = self.pool().take_reserve() else { return Offered::NoBlock };
                block
            }
        };
        self.begin(block);
        // An empty block takes any message: it has room for the longest.
        match self.current.as_mut().map(|block| block.rows.append(message)) {
            Some(Ok(())) => Offered::Kept,
            _ => Offered::NoBlock,
        }
    }

    fn shed(&mut self, pri: u8) -> Offered {
        self.shed[Severity::of_pri(pri) as usize] += 1;
        Offered::Shed
    }

    fn begin(&mut self, mut block: Box<Block>) {
        block.receiver = self.receiver;
        block.begun = Instant::now();
        block.begun_boot_ns = boot_ns();
        self.current = Some(block);
    }

    /// Looks whether shedding goes on.
    pub fn begin_batch(&mut self) {
        self.shedding = self.shedding && self.pool().is_down_to_reserve();
    }

    /// Publishes what the current block holds, and what was shed.
    pub fn end_batch(&mut self) {
        if let Some(block) = &self.current {
            self.pool().publish(block);
        }
        if self.shedding {
            self.publish_shed();
        }
    }

    fn publish_shed(&mut self) {
        for severity in [Severity::Informational, Severity::Debug] {
            let shed = std::mem::take(&mut self.shed[severity as usize]);
            if shed > 0 {
                self.counts().shed[severity as usize].add(shed);
                self.note_loss(LossPlace::Shed, severity as u8, shed);
            }
        }
    }

    /// Notes messages that were lost, for the META of the next block.
    pub fn note_loss(&mut self, place: LossPlace, detail: u8, messages: u64) {
        Loss { place, detail, messages }.add_to(&mut self.losses);
    }

    /// Hands over the current block if it is old enough.
    pub fn flush_if_due(&mut self) {
        if self.current.as_ref().is_some_and(|block| block.begun.elapsed() >= self.block_age) {
            self.hand_over();
        }
    }

    /// Time until [`Feed::flush_if_due`] has something to do; `None` when nothing waits.
    #[must_use]
    pub fn due_in(&self) -> Option<Duration> {
        let block = self.current.as_ref()?;
        Some(self.block_age.saturating_sub(block.begun.elapsed()))
    }

    /// Hands over whatever there is. False when losses are left that no block was free for.
    pub fn flush(&mut self) -> bool {
        self.hand_over();
        self.flush_losses();
        self.losses.is_empty()
    }

    /// Hands over what was lost: with the current block, or in one of its own without messages. Now and then, not each
    /// time: such a block comes from the reserve.
    pub fn flush_losses(&mut self) {
        if self.losses.is_empty() {
            return;
        }
        if self.current.is_none() {
            let Some(block) = self.pool().take_reserve() else { return };
            self.begin(block);
        }
        self.hand_over();
    }

    fn hand_over(&mut self) {
        let Some(mut block) = self.current.take() else { return };
        block.sequence = self.next_sequence;
        self.next_sequence += 1;
        block.noted_ns = realtime_ns();
        block.losses.append(&mut self.losses);
        self.pool().publish(&block);
        self.queue.push(block);
    }
}

/// Info and debug, and only with a PRI that says so.
fn is_sheddable(pri: u8) -> bool {
    pri != PRI_NONE && Severity::of_pri(pri) >= Severity::Informational
}
