//! From blocks to files: writers encode and write, one thread syncs and seals.

pub mod directory;
mod rotate;
mod segment;
pub mod sync;
pub mod writer;
