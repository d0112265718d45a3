//! Claims of the wire formats, each a test; those of PRI stand beside it. One binary; the modules are its table of
//! contents:
//!
//! * `framing`: where messages begin and end on a stream, whatever it is cut into;
//! * `headers`: what senders write is read as they meant it, and what nobody meant is still read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod claims {
    mod framing;
    mod headers;
}
