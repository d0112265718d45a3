//! The two clocks of a message: when it came, and how long ago that truly is.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now on the wall clock, ns since the Unix epoch (CLOCK_REALTIME). May be set, and stepped.
#[must_use]
pub fn realtime_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Time since boot, suspend included, ns (CLOCK_BOOTTIME, clock_gettime(2)): never set, never stepped.
#[must_use]
pub fn boot_ns() -> u64 {
    // SAFETY: all-zero bytes are a valid timespec.
    let mut time = unsafe { std::mem::zeroed::<libc::timespec>() };
    // SAFETY: the kernel writes one timespec. It cannot fail: the clock exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
