//! The two clocks of a message: when it came, and how long ago that truly is. And what this process and its threads have used.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now on the wall clock, ns since the Unix epoch (CLOCK_REALTIME). May be set, and stepped.
#[must_use]
pub fn realtime_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Time since boot, suspend included, ns (CLOCK_BOOTTIME, clock_gettime(2)): never set, never stepped.
#[must_use]
pub fn boot_ns() -> u64 {
    clock_ns(libc::CLOCK_BOOTTIME)
}

/// Processor time of all threads of this process so far, the kernel's for it included, ns (CLOCK_PROCESS_CPUTIME_ID,
/// clock_gettime(2)).
#[must_use]
pub fn process_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Processor time of this thread so far (CLOCK_THREAD_CPUTIME_ID, clock_gettime(2)).
#[must_use]
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(clock_ns(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// One of the clocks that every kernel has since Linux 2.6.39.
fn clock_ns(clock: libc::clockid_t) -> u64 {
    // SAFETY: all-zero bytes are a valid timespec.
    let mut time = unsafe { std::mem::zeroed::<libc::timespec>() };
    // SAFETY: the kernel writes one timespec. It cannot fail for a clock that exists.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
