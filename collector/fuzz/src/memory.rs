//! A bound on what a decoder may allocate.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Runs `decode`, which may hold at most `bytes` more memory than is held now: beyond that it gets none and is aborted.
/// Memory of zstd itself does not count: that has limits of its own.
pub fn within<T>(bytes: usize, decode: impl FnOnce() -> T) -> T {
    let _ = ALLOCATOR.set_limit(ALLOCATOR.allocated() + bytes);
    let decoded = decode();
    let _ = ALLOCATOR.set_limit(usize::MAX);
    decoded
}
