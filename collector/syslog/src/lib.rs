//! The syslog wire formats. What a collector must know of them before it stores a message:
//!
//! * [`pri()`]: the PRI value in front of a message (RFC 3164 section 4.1.1, RFC 5424 section 6.2.1);
//! * [`Framer`]: where messages begin and end on a stream (RFC 6587);
//! * [`sequence_id`] and [`Sequence`]: what the numbers of messages tell of those that were lost on the way (RFC 5424
//!   section 7.3.1);
//!
//! and what only a reader asks, of messages already stored:
//!
//! * [`header`]: timestamp, host, program and the rest of a message (RFC 3164 section 4.1, RFC 5424 section 6).
//!
//! Pure: no I/O, no clock, no threads. Nothing here fails on any input: what is not valid is stored as it came.

#![forbid(unsafe_code)]

pub mod header;

mod framing;
mod pri;
mod sequence;

pub use framing::{Frame, Framer, HELD_ALWAYS_BYTES, OCTET_COUNT_DIGITS_MAX};
pub use pri::{Severity, facility_keyword, pri};
pub use sequence::{Sequence, sequence_id};
