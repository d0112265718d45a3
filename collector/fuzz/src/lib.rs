//! What the targets share: a bound on memory, and mutations that get past checksums.

#![forbid(unsafe_code)]

mod frame;
mod memory;
mod mutate;

pub use frame::{Column, Frame};
pub use memory::within;
pub use mutate::mutate;
