//! A block in memory: the messages' bytes one behind the other, and one row of columns for each.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use memchr::memchr;

/// PRI column value of a message that has no valid PRI (RFC 5424 section 6.2.1 allows 0 to 191).
pub const PRI_NONE: u8 = 255;

/// What is known of one message beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// The message was longer than what is stored; its original length is kept.
    pub const TRUNCATED: Self = Self(1);
    /// The message ended with one more LF, which stands in DATA as its line end.
    pub const ENDED_LF: Self = Self(2);
    /// The message ended with one more NUL, in whose place DATA has the line end.
    pub const ENDED_NUL: Self = Self(4);
    /// A stream ended before this message did.
    pub const UNTERMINATED: Self = Self(8);
    /// The receive time is the kernel's, of this message alone: by it, messages that several receivers took are put in
    /// the order in which they came.
    pub const KERNEL_TIME: Self = Self(16);

    /// Whether all of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Who sent a message, and to which listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// Address of the sender; IPv4 is never stored as v4-mapped IPv6. `None` for senders without one (local sockets).
    pub address: Option<IpAddr>,
    /// Port of the sender, 0 without one.
    pub port: u16,
    /// Index into the listeners named by the same block.
    pub listener: u8,
}

/// One message with everything that is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The bytes as they came, cut only if [`Flags::TRUNCATED`] says so.
    pub payload: &'a [u8],
    /// When it was received, ns since the Unix epoch.
    pub received_ns: u64,
    /// Who sent it.
    pub source: Source,
    /// Its PRI value, or [`PRI_NONE`].
    pub pri: u8,
    /// What else is known of it.
    pub flags: Flags,
    /// Its length as sent, bytes; differs from the payload's only with [`Flags::TRUNCATED`].
    pub original_length: u32,
}

/// When a block counts as full.
#[derive(Clone, Copy, Debug)]
pub struct RowLimits {
    /// Content, bytes: every message and the LF behind it.
    pub content_bytes: usize,
    /// Messages.
    pub rows: usize,
    /// Distinct sources.
    pub sources: usize,
}

impl RowLimits {
    /// Room for no message.
    pub(crate) const NONE: Self = Self { content_bytes: 0, rows: 0, sources: 0 };

    /// For messages that stood in one block already.
    const UNLIMITED: Self = Self { content_bytes: usize::MAX, rows: usize::MAX, sources: usize::MAX };
}

/// The block has no room for the message offered; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A block in memory. Filling one allocates nothing after [`Rows::new`] but for the length of cut messages and new
/// sources, both bounded by the limits.
#[derive(Debug)]
pub struct Rows {
    /// Every message as it came, and one byte behind it: LF, or the NUL of [`Flags::ENDED_NUL`].
    pub(crate) content: Vec<u8>,
    pub(crate) received_ns: Vec<u64>,
    pub(crate) source_ids: Vec<u16>,
    pub(crate) lengths: Vec<u32>,
    pub(crate) pris: Vec<u8>,
    pub(crate) flags: Vec<u8>,
    /// One for each row flagged [`Flags::TRUNCATED`], in order.
    pub(crate) original_lengths: Vec<u32>,
    pub(crate) sources: Vec<Source>,
    ids_by_source: HashMap<Source, u16, RandomState>,
    /// Some message holds an LF, or ended with NUL: DATA cannot be the content as it is.
    pub(crate) needs_line_ends: bool,
    limits: RowLimits,
}

impl Rows {
    /// Empty rows that will never hold more than `limits`. The memory is reserved, not touched.
    #[must_use]
    pub fn new(limits: RowLimits) -> Self {
        Self {
            content: Vec::with_capacity(limits.content_bytes),
            received_ns: Vec::with_capacity(limits.rows),
            source_ids: Vec::with_capacity(limits.rows),
            lengths: Vec::with_capacity(limits.rows),
            pris: Vec::with_capacity(limits.rows),
            flags: Vec::with_capacity(limits.rows),
            original_lengths: Vec::new(),
            sources: Vec::new(),
            ids_by_source: HashMap::default(),
            needs_line_ends: false,
            limits,
        }
    }

    /// Memory that [`Rows::new`] with these limits can come to hold, bytes.
    #[must_use]
    pub const fn memory_bytes_max(limits: RowLimits) -> usize {
        const ROW_BYTES: usize = size_of::<u64>() + size_of::<u16>() + 2 * size_of::<u32>() + 2;
        // The dictionary twice: once in order and once in a hash table at most half full, with a control byte an entry.
        const SOURCE_BYTES: usize = size_of::<Source>() + 2 * (size_of::<(Source, u16)>() + 1);
        limits.content_bytes + limits.rows * ROW_BYTES + limits.sources * SOURCE_BYTES
    }

    /// Puts a message behind the others.
    ///
    /// # Errors
    /// [`Full`] when a limit would be passed: hand this block on and offer the message to the next.
    #[inline]
    pub fn append(&mut self, message: &Message<'_>) -> Result<(), Full> {
        let fits = self.content.len() + message.payload.len() < self.limits.content_bytes
            && self.received_ns.len() < self.limits.rows;
        if !fits {
            return Err(Full);
        }
        let source_id = self.source_id(message.source)?;
        let (text, end, flags) = match message.payload {
            [text @ .., b'\n'] => (text, b'\n', message.flags.with(Flags::ENDED_LF)),
            [text @ .., 0] => (text, 0, message.flags.with(Flags::ENDED_NUL)),
            text => (text, b'\n', message.flags),
        };
        // Looked for here, where the text is in cache, and not in the whole content again.
        self.needs_line_ends |= end == 0 || memchr(b'\n', text).is_some();
        self.content.extend_from_slice(text);
        self.content.push(end);
        self.received_ns.push(message.received_ns);
        self.source_ids.push(source_id);
        self.lengths.push(text.len() as u32);
        self.pris.push(message.pri);
        self.flags.push(flags.0);
        if flags.has(Flags::TRUNCATED) {
            self.original_lengths.push(message.original_length);
        }
        Ok(())
    }

    /// Datagrams of one sender come in runs, so the last row's source is the likeliest.
    #[inline]
    fn source_id(&mut self, source: Source) -> Result<u16, Full> {
        match self.source_ids.last() {
            Some(&id) if self.sources[usize::from(id)] == source => Ok(id),
            _ => self.look_up_source(source),
        }
    }

    fn look_up_source(&mut self, source: Source) -> Result<u16, Full> {
        if let Some(&id) = self.ids_by_source.get(&source) {
            return Ok(id);
        }
        if self.sources.len() == self.limits.sources {
            return Err(Full);
        }
        let id = self.sources.len() as u16;
        self.sources.push(source);
        self.ids_by_source.insert(source, id);
        Ok(id)
    }

    /// Puts all messages of `other` behind its own, or none.
    ///
    /// # Errors
    /// [`Full`] when a limit would be passed; nothing was changed.
    pub(crate) fn append_all(&mut self, other: &Self) -> Result<(), Full> {
        let new_sources = other.sources.iter().filter(|source| !self.ids_by_source.contains_key(*source)).count();
        let fits = self.content.len() + other.content.len() < self.limits.content_bytes
            && self.len() + other.len() <= self.limits.rows
            && self.sources.len() + new_sources <= self.limits.sources;
        if !fits {
            return Err(Full);
        }
        other.messages().try_for_each(|message| self.append(&message))
    }

    /// Keeps `count` messages from `first` on.
    pub(crate) fn keep(&mut self, first: usize, count: usize) {
        if first == 0 && count >= self.len() {
            return;
        }
        let mut kept = Self::for_decoding();
        kept.refill(self.messages().skip(first).take(count));
        *self = kept;
    }

    /// Keeps the messages that `wants` says yes to, by way of `spare`.
    pub fn retain(&mut self, spare: &mut Self, wants: impl Fn(&Message<'_>) -> bool) {
        spare.refill(self.messages().filter(wants));
        std::mem::swap(self, spare);
    }

    /// Puts the messages in the opposite order, by way of `spare`.
    pub(crate) fn reverse(&mut self, spare: &mut Self) {
        let messages: Vec<Message<'_>> = self.messages().collect();
        spare.refill(messages.into_iter().rev());
        std::mem::swap(self, spare);
    }

    /// Puts messages that all have the kernel's time in the order of these, by way of `spare`. Others stay in the order in
    /// which they were received: their clock may have been set back.
    pub(crate) fn sort_by_kernel_time(&mut self, spare: &mut Self) {
        let has_kernel_time = |flags: &u8| Flags(*flags).has(Flags::KERNEL_TIME);
        if !self.flags.first().is_some_and(has_kernel_time)
            || self.received_ns.is_sorted()
            || !self.flags.iter().all(has_kernel_time)
        {
            return;
        }
        let mut messages: Vec<Message<'_>> = self.messages().collect();
        messages.sort_by_key(|message| message.received_ns);
        spare.refill(messages.into_iter());
        std::mem::swap(self, spare);
    }

    /// Holds `messages`, which stood in one block, instead of its own.
    fn refill<'a>(&mut self, messages: impl Iterator<Item = Message<'a>>) {
        self.clear();
        self.limits = RowLimits::UNLIMITED;
        for message in messages {
            let appended = self.append(&message);
            debug_assert!(appended.is_ok(), "without limits there is room");
        }
    }

    /// Rows that were decoded, to be appended to: they know neither limits nor which of their sources has which number.
    pub(crate) fn set_limits(&mut self, limits: RowLimits) {
        self.limits = limits;
        self.ids_by_source = self.sources.iter().zip(0..).map(|(source, id)| (*source, id)).collect();
        self.needs_line_ends = true;
    }

    /// Forgets every message; the memory stays.
    pub fn clear(&mut self) {
        self.content.clear();
        self.received_ns.clear();
        self.source_ids.clear();
        self.lengths.clear();
        self.pris.clear();
        self.flags.clear();
        self.original_lengths.clear();
        self.sources.clear();
        self.ids_by_source.clear();
        self.needs_line_ends = false;
    }

    /// Messages held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.received_ns.len()
    }

    /// Whether no message is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.received_ns.is_empty()
    }

    /// Content held, bytes: messages and line ends.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        self.content.len()
    }

    /// Who sent the messages, in the order in which they first did.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The messages in the order in which they were appended.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        let mut cursor = RowCursor::default();
        std::iter::from_fn(move || cursor.next(self))
    }
}

/// A place in [`Rows`] while walking them; apart from them, so that a reader may own both.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowCursor {
    row: usize,
    content_offset: usize,
    truncated: usize,
}

impl RowCursor {
    /// Receive time of the next message, `None` at the end.
    pub(crate) fn peek_ns(&self, rows: &Rows) -> Option<u64> {
        rows.received_ns.get(self.row).copied()
    }

    /// Row index of the next message.
    pub(crate) fn row(&self) -> usize {
        self.row
    }

    /// The next message, `None` at the end.
    pub(crate) fn next<'a>(&mut self, rows: &'a Rows) -> Option<Message<'a>> {
        let received_ns = self.peek_ns(rows)?;
        let row = self.row;
        let flags = Flags(rows.flags[row]);
        let text_end = self.content_offset + rows.lengths[row] as usize;
        // The byte behind the text *is* the LF or NUL that was moved into the flag.
        let moved = usize::from(flags.has(Flags::ENDED_LF) || flags.has(Flags::ENDED_NUL));
        let payload = &rows.content[self.content_offset..text_end + moved];
        let original_length = if flags.has(Flags::TRUNCATED) {
            self.truncated += 1;
            rows.original_lengths[self.truncated - 1]
        } else {
            payload.len() as u32
        };
        self.row += 1;
        self.content_offset = text_end + 1;
        Some(Message {
            payload,
            received_ns,
            source: rows.sources[usize::from(rows.source_ids[row])],
            pri: rows.pris[row],
            flags: Flags(flags.0 & !(Flags::ENDED_LF.0 | Flags::ENDED_NUL.0)),
            original_length,
        })
    }
}

/// The PRI values that occur in a block, so that a reader can pass over blocks without the wanted severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriSet(pub(crate) [u8; Self::BYTES]);

impl PriSet {
    /// 192 bits for PRI 0 to 191, one for "none", seven of padding.
    pub(crate) const BYTES: usize = 25;
    const NONE_BIT: usize = 192;

    /// Adds a value of the PRI column.
    pub fn insert(&mut self, pri: u8) {
        let bit = Self::bit(pri);
        self.0[bit / 8] |= 1 << (bit % 8);
    }

    /// Whether a value of the PRI column occurs.
    #[must_use]
    pub fn contains(&self, pri: u8) -> bool {
        let bit = Self::bit(pri);
        self.0[bit / 8] & (1 << (bit % 8)) != 0
    }

    fn bit(pri: u8) -> usize {
        usize::from(pri).min(Self::NONE_BIT)
    }
}

impl FromIterator<u8> for PriSet {
    fn from_iter<I: IntoIterator<Item = u8>>(pris: I) -> Self {
        let mut set = Self::default();
        for pri in pris {
            set.insert(pri);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_at_every_limit_hold_no_more_memory_than_stated() {
        let limits = RowLimits { content_bytes: 1 << 16, rows: 4096, sources: 1000 };
        let mut rows = Rows::new(limits);
        let message = |port| Message {
            payload: b"0123456789",
            received_ns: 1,
            source: Source { address: Some([10, 0, 0, 1].into()), port, listener: 0 },
            pri: PRI_NONE,
            flags: Flags::TRUNCATED,
            original_length: 70_000,
        };
        while rows.append(&message(rows.len() as u16 % 1000)).is_ok() {}
        assert_eq!((rows.len(), rows.sources.len()), (4096, 1000));
        let held = rows.content.capacity()
            + rows.received_ns.capacity() * size_of::<u64>()
            + rows.source_ids.capacity() * size_of::<u16>()
            + (rows.lengths.capacity() + rows.original_lengths.capacity()) * size_of::<u32>()
            + rows.pris.capacity()
            + rows.flags.capacity()
            + rows.sources.capacity() * size_of::<Source>()
            + rows.ids_by_source.capacity() * (size_of::<(Source, u16)>() + 1);
        assert!(held <= Rows::memory_bytes_max(limits), "{held} of {}", Rows::memory_bytes_max(limits));
    }
}
