//! Claims of the segment format, each a test. One binary; the modules are its table of contents:
//!
//! * `roundtrip`: what goes in comes out, byte for byte, whatever the bytes;
//! * `plain_tools`: a decoder that knows nothing of us reads every message as one line, and seeks by the standard table;
//! * `damage`: flipped, cut and foreign bytes cost what they must and no more, and are told;
//! * `order`: messages of many blocks come in one order, once;
//! * `rewrite`: a segment written anew holds the same, and its blocks go by the same names;
//! * `golden`: files of every version ever released are read, for ever.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod claims {
    pub(crate) mod sample;

    mod damage;
    mod golden;
    mod order;
    mod plain_tools;
    mod rewrite;
    mod roundtrip;
}
