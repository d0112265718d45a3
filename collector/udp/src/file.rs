//! The one system call on files that neither the standard library nor a safe wrapper has.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Begins to write `bytes` bytes of the page cache from `offset` on to disk, and does not wait for it
/// (SYNC_FILE_RANGE_WRITE, sync_file_range(2)). Makes nothing last: the later fdatasync(2) only has less to do.
///
/// # Errors
/// What sync_file_range(2) says.
pub fn begin_writeback(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> io::Result<()> {
    // SAFETY: no pointers; the descriptor is borrowed.
    let result =
        unsafe { libc::sync_file_range(file.as_raw_fd(), offset as i64, bytes as i64, libc::SYNC_FILE_RANGE_WRITE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
