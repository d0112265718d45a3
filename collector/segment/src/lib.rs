//! The on-disk format of logboom: plain zstd files that also know who sent what, and when.
//!
//! A segment is an ordinary multi-frame zstd file, `block+ index seektable`, and a block is `DATA META`: one zstd frame
//! of messages, each ended by LF, and one skippable frame that says when each arrived, from where, and proves with a
//! checksum that both frames are whole. `zstdcat` reads every message; this crate adds the rest. The normative text,
//! with every offset and limit, is `docs/segment-format.md`.
//!
//! The crate is pure: no threads, no clock, no metrics, no configuration. What it must read it reads through
//! [`ReadAt`], so that a file, a slice of memory and a fuzzer's input are the same to it.
//!
//! In the order in which a message passes through:
//!
//! * [`Rows`]: a block in memory, filled message by message;
//! * [`Encoder`]: rows to DATA and META;
//! * [`SegmentBuilder`]: what a file holds so far, and the index and seek table that seal it;
//! * [`Segment`]: a file opened for reading, sealed or still growing, whole or damaged;
//! * [`Decoder`]: a block back to rows, byte for byte;
//! * [`Merge`]: the messages of many segments in one order.

#![forbid(unsafe_code)]

pub mod limits;

mod rows;

mod column;
mod frame;
mod meta;

mod encode;

mod builder;
mod index;

mod directory;
mod name;

mod reader;

mod decode;

mod merge;

mod rewrite;

mod error;

pub use builder::SegmentBuilder;
pub use decode::{Decoder, HeadColumns, Heads, check_block};
pub use directory::{CLOCK_GRAIN_MAX, SegmentFile, list_segments};
pub use encode::{Compression, EncodeError, Encoder};
pub use error::{Damage, FormatError};
pub use frame::ReadAt;
pub use index::BlockEntry;
pub use merge::{BlockRef, Direction, Merge, in_order};
pub use meta::{BlockHeader, Loss, LossPlace, Meta, Part};
pub use name::{FileState, RunId, SegmentName};
pub use reader::{Follow, Segment, Unsealed, read_block};
pub use rewrite::{Recompress, Rewrite, RewriteError, RewriteGoal, is_worth_rewriting, plan_joins};
pub use rows::{Flags, Full, Message, PRI_NONE, PriSet, RowLimits, Rows, Source};
