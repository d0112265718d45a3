//! The collector's process: whose the sockets are, and what it costs.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::read;

/// Ticks a second in which /proc counts processor time: USER_HZ, on every architecture but Alpha
/// (include/uapi/asm-generic/param.h).
const TICKS_PER_SECOND: f64 = 100.0;

/// Most descriptors that are looked at in search of a socket's owner.
const DESCRIPTORS_MAX: usize = 1 << 18;

/// A process at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, ticks since the machine did: a number may be given twice.
    pub start_ticks: u64,
    /// Its command, 15 bytes at most.
    pub command: String,
    /// Processor time of all its threads, those that ended included, seconds.
    pub cpu_seconds: f64,
    /// Memory that it occupies, bytes.
    pub resident_bytes: u64,
}

impl Process {
    /// Looks at a process; absent if there is none of that number, it has ended, or it may not be looked at.
    #[must_use]
    pub fn read(root: &Path, pid: u32) -> Option<Self> {
        let directory = root.join(format!("proc/{pid}"));
        let status = read(&directory.join("status")).unwrap_or_default();
        Self::parse(pid, &read(&directory.join("stat"))?, &status)
    }

    /// From /proc/PID/stat and /proc/PID/status (proc_pid_stat(5), proc_pid_status(5)).
    fn parse(pid: u32, stat: &str, status: &str) -> Option<Self> {
        // The command stands in parentheses and may hold any byte, parentheses and spaces included.
        let (head, tail) = stat.rsplit_once(')')?;
        let (_, command) = head.split_once('(')?;
        // Ended, but nobody has waited for it: it has no sockets and no network any more.
        if matches!(tail.trim_start().as_bytes().first(), Some(b'Z' | b'X')) {
            return None;
        }
        let field = |number: usize| tail.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident_kib = resident.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Some(Self {
            pid,
            start_ticks: field(22)?,
            command: command.to_owned(),
            cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS_PER_SECOND,
            resident_bytes: resident_kib.unwrap_or(0).saturating_mul(1024),
        })
    }
}

/// The process that holds a socket of `inodes`, among those whose descriptors may be read: one's own, or with root all. Of
/// several the one with the highest number: systemd, which opens sockets for others, is number 1.
#[must_use]
pub fn owner(root: &Path, inodes: &[u64]) -> Option<u32> {
    if inodes.is_empty() {
        return None;
    }
    let wanted: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let entries = fs::read_dir(root.join("proc")).ok()?.flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable_by(|a, b| b.cmp(a));
    let descriptors = pids.into_iter().flat_map(|pid| {
        let links = fs::read_dir(root.join(format!("proc/{pid}/fd"))).into_iter().flatten().flatten();
        links.map(move |link| (pid, link.path()))
    });
    let is_wanted =
        |link: &Path| fs::read_link(link).is_ok_and(|to| wanted.iter().any(|name| to.as_os_str() == &**name));
    descriptors.take(DESCRIPTORS_MAX).find(|(_, link)| is_wanted(link)).map(|(pid, _)| pid)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_command_may_hold_anything() {
        let stat =
            "2219 (rs:main Q) 5) R) R 2203 2203 32368 0 -1 4194304 97 0 0 0 1234 66 7 8 20 0 9 0 4628042 3133440 382\n";
        let status = "Name:\trs\nVmPeak:\t    9999 kB\nVmRSS:\t    1528 kB\n";
        let process = Process::parse(2219, stat, status).unwrap();
        assert_eq!((process.command.as_str(), process.start_ticks), ("rs:main Q) 5) R", 4_628_042));
        assert_eq!((process.cpu_seconds, process.resident_bytes), (13.0, 1528 * 1024));
        assert_eq!(Process::parse(2219, &stat.replace(") R 2203", ") Z 2203"), status), None);
        assert_eq!(Process::parse(1, "1 (kthreadd) S 0 0\n", ""), None);
        assert_eq!(Process::parse(1, "", ""), None);
    }

    #[test]
    fn this_process_is_seen_and_owns_its_sockets() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sockets = super::super::sockets::udp(Path::new("/proc/net"), socket.local_addr().unwrap()).unwrap();
        let pid = owner(Path::new("/"), &[sockets[0].inode]).unwrap();
        assert_eq!(pid, std::process::id());
        let process = Process::read(Path::new("/"), pid).unwrap();
        assert!(process.resident_bytes > 0 && process.start_ticks > 0);
    }

    #[test]
    fn of_several_owners_the_youngest_is_the_collector() {
        let root = tempfile::tempdir().unwrap();
        for (pid, link) in
            [("1", "socket:[77]"), ("812", "socket:[77]"), ("95", "socket:[77]"), ("900", "socket:[777]")]
        {
            let descriptors = root.path().join("proc").join(pid).join("fd");
            fs::create_dir_all(&descriptors).unwrap();
            symlink("/dev/null", descriptors.join("0")).unwrap();
            symlink(link, descriptors.join("3")).unwrap();
        }
        fs::create_dir_all(root.path().join("proc/sys")).unwrap();
        assert_eq!(owner(root.path(), &[77, 78]), Some(812));
        assert_eq!(owner(root.path(), &[7]), None);
        assert_eq!(owner(root.path(), &[]), None);
        assert_eq!(Process::read(root.path(), 812), None);
    }
}
