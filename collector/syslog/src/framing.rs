//! Where messages begin and end on a stream (RFC 6587).
//!
//! Each connection speaks one of two ways, told apart by its first bytes and then kept:
//!
//! * *octet counting* (section 3.4.1), `MSG-LEN SP MSG`: only if the first bytes are a digit 1 to 9, at most six more
//!   digits, a space and `<`;
//! * *LF framing* (section 3.4.2), `MSG LF`: everything else. That section knows senders that end messages with NUL instead
//!   (Python's SysLogHandler is one): a NUL ends a message too, stays its last byte, and an LF behind it is passed over.
//!
//! A message longer than the limit is cut, and its length still counted. Between counted messages an LF is passed over
//! (senders that end a counted message with LF without counting it); any other bytes that are no count are taken as one
//! message up to the next LF, where counting goes on: nothing is thrown away to find the way back.

use memchr::{memchr, memchr2};

/// Most digits of an octet count. Bounds the count before it is computed (CVE-2018-16881, CVE-2022-24903).
pub const OCTET_COUNT_DIGITS_MAX: usize = 7;

/// So much of a message that has not ended is held in any case: what RFC 5426 section 3.2 has every receiver take.
pub const HELD_ALWAYS_BYTES: usize = 480;

/// One message of a stream, without what framed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message, or its first bytes if it was longer than the limit.
    pub bytes: &'a [u8],
    /// Its length as sent, bytes; more than `bytes` if it was cut. Stays at the largest `u32` beyond that.
    pub original_length: u32,
}

impl Frame<'_> {
    /// Whether only the first bytes are here.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.original_length as usize > self.bytes.len()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known of the connection yet.
    First,
    /// LF framing, for the rest of the connection.
    Line,
    /// Octet counting, at a count.
    Count,
    /// Octet counting, with this many bytes of the message still to come.
    Counted(usize),
    /// Octet counting, but what came is no count: a line, then a count again.
    Resync,
}

/// Finds the messages in the bytes of one connection, however these are split into reads.
///
/// Holds the part of a message that has not ended yet, at most `message_bytes_max` bytes.
#[derive(Debug)]
pub struct Framer {
    message_bytes_max: usize,
    state: State,
    pending: Vec<u8>,
    /// Bytes of the pending message that were beyond the limit.
    beyond: usize,
    /// `pending` was given out by the last call.
    given: bool,
    /// More may be put aside.
    may_hold: bool,
    /// The last message ended with NUL: an LF here belongs to it.
    after_nul: bool,
}

impl Framer {
    /// A framer for a new connection that cuts messages at `message_bytes_max`.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            state: State::First,
            pending: Vec::new(),
            beyond: 0,
            given: false,
            may_hold: true,
            after_nul: false,
        }
    }

    /// Memory held for the part of a message that has not ended yet, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.pending.capacity()
    }

    /// Whether a message has begun that has not ended yet.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        !self.given && !self.pending.is_empty() || matches!(self.state, State::Counted(_))
    }

    /// Whether more than the first [`HELD_ALWAYS_BYTES`] of a message that has not ended may be held; what comes while it may
    /// not is cut off, and counted in its length. A message that comes whole is not touched.
    pub fn set_may_hold(&mut self, may_hold: bool) {
        self.may_hold = may_hold;
    }

    /// Takes bytes from the front of `input` up to the end of a message. `None` when all of it was taken and the
    /// message goes on.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Frame<'s>> {
        self.forget_given();
        loop {
            match self.state {
                State::First | State::Count => self.read_count(input)?,
                State::Counted(remaining) => return self.read_counted(remaining, input),
                State::Line | State::Resync => return self.read_line(input),
            }
        }
    }

    /// What came of a message that the end of the stream cut off; `None` if the stream ended between messages.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        self.forget_given();
        let begun = !self.pending.is_empty();
        self.state = State::First;
        begun.then(|| self.give())
    }

    fn forget_given(&mut self) {
        if std::mem::take(&mut self.given) {
            self.pending.clear();
            self.beyond = 0;
            self.pending.shrink_to(PENDING_BYTES_KEPT);
        }
    }

    /// Decides whether a count stands here; `None` when that takes more input.
    fn read_count(&mut self, input: &mut &[u8]) -> Option<()> {
        loop {
            // What was put aside are digits and a space that did not decide it: never an LF, never past the count.
            let mut head = [0; OCTET_COUNT_DIGITS_MAX + 2];
            let filled =
                head.iter_mut().zip(self.pending.iter().chain(input.iter())).map(|(to, from)| *to = *from).count();
            match octet_count(&head[..filled], self.state == State::First) {
                Count::Is { octets, head_bytes } => {
                    *input = &input[head_bytes - self.pending.len()..];
                    self.pending.clear();
                    self.state = State::Counted(octets);
                    return Some(());
                }
                Count::Unfinished => {
                    self.pending.extend_from_slice(input);
                    *input = &[];
                    return None;
                }
                Count::Not if self.state == State::First => {
                    self.state = State::Line;
                    return Some(());
                }
                Count::Not if head[0] == b'\n' => *input = &input[1..],
                Count::Not => {
                    self.state = State::Resync;
                    return Some(());
                }
            }
        }
    }

    fn read_counted<'s, 'i: 's>(&'s mut self, remaining: usize, input: &mut &'i [u8]) -> Option<Frame<'s>> {
        let (taken, rest) = input.split_at(remaining.min(input.len()));
        *input = rest;
        if taken.len() < remaining {
            self.state = State::Counted(remaining - taken.len());
            self.put_aside(taken);
            return None;
        }
        self.state = State::Count;
        Some(self.complete(taken))
    }

    fn read_line<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Frame<'s>> {
        if !input.is_empty() && std::mem::take(&mut self.after_nul) && input[0] == b'\n' {
            *input = &input[1..];
        }
        let is_resync = self.state == State::Resync;
        let end = if is_resync { memchr(b'\n', input) } else { memchr2(b'\n', 0, input) };
        let Some(end) = end else {
            self.put_aside(input);
            *input = &[];
            return None;
        };
        self.after_nul = input[end] == 0;
        let line = &input[..end + usize::from(self.after_nul)];
        *input = &input[end + 1..];
        if is_resync {
            self.state = State::Count;
        }
        Some(self.complete(line))
    }

    fn put_aside(&mut self, bytes: &[u8]) {
        let limit = if self.may_hold { self.message_bytes_max } else { HELD_ALWAYS_BYTES.min(self.message_bytes_max) };
        // Nothing is put behind a gap.
        let room = if self.beyond == 0 { limit.saturating_sub(self.pending.len()) } else { 0 };
        let (kept, beyond) = bytes.split_at(room.min(bytes.len()));
        self.pending.extend_from_slice(kept);
        self.beyond += beyond.len();
    }

    /// The message that ends with `last`: given out where it stands if all of it is there.
    fn complete<'s>(&'s mut self, last: &'s [u8]) -> Frame<'s> {
        if self.pending.is_empty() {
            let bytes = &last[..last.len().min(self.message_bytes_max)];
            return Frame { bytes, original_length: saturated(last.len()) };
        }
        self.put_aside(last);
        self.give()
    }

    fn give(&mut self) -> Frame<'_> {
        self.given = true;
        Frame { bytes: &self.pending, original_length: saturated(self.pending.len() + self.beyond) }
    }
}

/// A connection does not keep the memory of a long message that has ended.
const PENDING_BYTES_KEPT: usize = HELD_ALWAYS_BYTES;

fn saturated(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[derive(Debug, PartialEq, Eq)]
enum Count {
    Is {
        octets: usize,
        /// Digits and the space.
        head_bytes: usize,
    },
    Not,
    Unfinished,
}

/// Reads a count from the front of `head`; the first of a connection counts only with `<` behind it.
fn octet_count(head: &[u8], is_first: bool) -> Count {
    let digits = head.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if head.first() == Some(&b'0') || digits > OCTET_COUNT_DIGITS_MAX {
        return Count::Not;
    }
    match (digits, head.get(digits), head.get(digits + 1)) {
        (_, None, _) => Count::Unfinished,
        (0, Some(_), _) | (_, Some(b'\0'..=b'\x1F' | b'!'..), _) => Count::Not,
        (_, _, None) if is_first => Count::Unfinished,
        (_, _, Some(next)) if is_first && *next != b'<' => Count::Not,
        _ => {
            let octets = head[..digits].iter().fold(0, |octets, digit| octets * 10 + usize::from(digit - b'0'));
            Count::Is { octets, head_bytes: digits + 1 }
        }
    }
}
