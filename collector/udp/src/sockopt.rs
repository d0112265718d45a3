//! Socket options that socket2 does not have.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets an integer option.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn set_int(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    set_words(socket, level, option, &[value as u32])
}

/// Sets an option that is an array of words.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn set_words(socket: BorrowedFd<'_>, level: i32, option: i32, words: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer and length describe `words`, which live through the call; the descriptor is borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            words.as_ptr().cast(),
            size_of_val(words) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Words of SO_MEMINFO (include/uapi/linux/sock_diag.h): the first that are of use here.
pub(crate) const MEMINFO_RMEM_ALLOC: usize = 0;
pub(crate) const MEMINFO_RCVBUF: usize = 1;
pub(crate) const MEMINFO_DROPS: usize = 8;
const MEMINFO_WORDS: usize = 9;

/// Reads SO_MEMINFO (since Linux 4.12): buffer sizes and drops, without a datagram having to arrive.
///
/// # Errors
/// What getsockopt(2) says, or that the kernel knows fewer words than drops need.
pub(crate) fn meminfo(socket: BorrowedFd<'_>) -> io::Result<[u32; MEMINFO_WORDS]> {
    let mut words = [0u32; MEMINFO_WORDS];
    let mut bytes = size_of_val(&words) as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes to `words`, which is that long, and how many to `bytes`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    match result {
        0 if bytes as usize == size_of_val(&words) => Ok(words),
        0 => Err(io::Error::from(io::ErrorKind::Unsupported)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Largest receive buffer that the kernel grants without CAP_NET_ADMIN, bytes: `net.core.rmem_max`.
///
/// # Errors
/// When /proc cannot be read.
pub fn kernel_receive_buffer_max() -> io::Result<usize> {
    let text = std::fs::read_to_string("/proc/sys/net/core/rmem_max")?;
    text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}
