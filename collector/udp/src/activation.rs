//! Sockets that systemd has bound for this process (sd_listen_fds(3)): so a port below 1024 takes no privilege of ours.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The first that is passed (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;

/// More than anybody passes: a limit for a variable that somebody else wrote.
const COUNT_MAX: RawFd = 1024;

/// The sockets passed to this process, in order; none the second time.
///
/// The variables stay: what starts another process must not pass them on, and we start none. `process` is our own id, which
/// LISTEN_PID must have; `count` is LISTEN_FDS.
#[must_use]
pub fn activated_sockets(process: Option<&str>, count: Option<&str>) -> Vec<OwnedFd> {
    static TAKEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let count = activated_count(process, count, std::process::id());
    if count == 0 || TAKEN.swap(true, std::sync::atomic::Ordering::AcqRel) {
        return Vec::new();
    }
    let is_open = |fd: &RawFd| {
        // SAFETY: F_GETFD reads a flag of a descriptor, if there is one, and takes no pointer.
        unsafe { libc::fcntl(*fd, libc::F_GETFD) >= 0 }
    };
    let passed = (FIRST..FIRST + count).filter(is_open);
    passed
        .map(|fd| {
            // SAFETY: open, and ours: who set the variables for this process passed it, and `TAKEN` lets nobody take it twice.
            let owned = unsafe { OwnedFd::from_raw_fd(fd) };
            // SAFETY: the descriptor is open; FD_CLOEXEC is an integer.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
            owned
        })
        .collect()
}

fn activated_count(process: Option<&str>, count: Option<&str>, own: u32) -> RawFd {
    let is_ours = process.and_then(|process| process.parse().ok()) == Some(own);
    count.filter(|_| is_ours).and_then(|count| count.parse().ok()).unwrap_or(0).clamp(0, COUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::activated_count;

    #[test]
    fn only_what_was_passed_to_this_process_counts() {
        assert_eq!(activated_count(Some("7"), Some("2"), 7), 2);
        assert_eq!(activated_count(Some("8"), Some("2"), 7), 0, "a parent's");
        assert_eq!(activated_count(None, Some("2"), 7), 0);
        assert_eq!(activated_count(Some("7"), Some("-1"), 7), 0);
        assert_eq!(activated_count(Some("7"), Some("many"), 7), 0);
        assert_eq!(activated_count(Some("7"), Some("999999"), 7), 1024);
    }
}
