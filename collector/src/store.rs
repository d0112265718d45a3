//! From blocks to files: writers encode and write, one thread syncs and seals.

pub mod directory;
mod effort;
#[cfg(test)]
mod faults;
mod rotate;
mod segment;
pub mod storage;
pub mod sync;
pub mod unsynced;
pub mod writer;
