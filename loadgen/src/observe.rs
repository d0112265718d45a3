//! What can be seen of a run from outside: counters of this machine, of the collector's sockets and process, and of the
//! collector itself, before the run, each second, and after.
//!
//! A [`Snapshot`] is taken of what a [`Watch`] points at; [`Changes`] adds up what happens from one to the next. All of it is read
//! without privileges, and what cannot be read is absent, never an error: in a container much is.
//!
//! * [`host`]: this machine's network stack and devices;
//! * [`sockets`]: the sockets of a collector on this machine, whichever it is;
//! * [`process`]: the process that owns them;
//! * [`collector`]: logboom's own books, by its admin listener.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::probe::route;
use crate::target::Transport;

mod change;
pub mod collector;
pub mod host;
pub mod process;
pub mod sockets;

pub use change::{Change, Changes, CollectorChange, Life, ProcessChange, SocketsChange};
use collector::Answer;
use host::Host;
use process::Process;
use sockets::Socket;

/// Most that is read of one file of /proc or /sys, bytes; but of the tables of sockets.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// What to look at.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where /proc and /sys are: `/`, but in tests.
    pub root: PathBuf,
    /// How messages are sent.
    pub transport: Transport,
    /// Where to, if by IP. An unspecified address is this machine, as for connect(2).
    pub address: Option<SocketAddr>,
    /// Address of the collector's admin listener, `http://HOST:PORT` or `HOST:PORT`; only logboom has one.
    pub admin: Option<String>,
    /// The collector's process, if it is known and on this machine. Counters are then those of its network namespace.
    pub pid: Option<u32>,
}

impl Watch {
    /// Whether the collector is on this machine, so that nothing but this machine's counters can explain a loss.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.pid.is_some() || self.address.is_none_or(is_of_this_machine)
    }

    /// Where the network's tables are: /proc/net is of one network namespace (network_namespaces(7)).
    fn net(&self) -> PathBuf {
        self.root.join(self.pid.map_or_else(|| "proc/net".to_owned(), |pid| format!("proc/{pid}/net")))
    }

    /// Memory of the datagrams that wait in the collector's sockets, bytes, as far as they can be seen.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.sockets(&self.net()).into_iter().flatten().map(|socket| socket.queued_bytes).sum()
    }

    /// The collector's sockets, if it is on this machine and they can be read.
    fn sockets(&self, net: &Path) -> Option<Vec<Socket>> {
        let address = self.address.filter(|_| self.is_local())?;
        match self.transport {
            Transport::Udp => sockets::udp(net, address),
            Transport::Tcp | Transport::Tls => sockets::tcp_listeners(net, address),
            Transport::Unix | Transport::Unixgram => None,
        }
    }
}

/// The members of a multicast group are anywhere, though this machine may be one.
fn is_of_this_machine(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    !ip.is_multicast() && (ip.is_unspecified() || ip.is_loopback() || route::is_local(address))
}

/// Everything that can be seen at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When.
    pub at: Timestamp,
    /// This machine.
    pub host: Host,
    /// The collector's sockets, or none if nobody listens; absent where they cannot be read or are elsewhere.
    pub sockets: Option<Vec<Socket>>,
    /// The collector's process; absent where it cannot be seen.
    pub process: Option<Process>,
    /// What the collector says of itself.
    pub collector: Answer,
}

impl Snapshot {
    /// Looks. Who owns the sockets is searched for among all processes only if the owner that the snapshot `before` found is
    /// gone, or the sockets are others. A process that was named is looked for under its number alone; once it is gone, so is the
    /// way into its network, and the counters stay as they were in `before`.
    ///
    /// Takes a few milliseconds, but twice [`collector::TIMEOUT`] when the collector's admin listener hangs.
    #[must_use]
    pub fn take(watch: &Watch, before: Option<&Self>) -> Self {
        let net = watch.net();
        let (host, sockets) = (Host::read(&watch.root, &net), watch.sockets(&net));
        // Looked at last: if it is there, it was there when its network was read.
        let process = match watch.pid {
            Some(pid) => named(&watch.root, pid, before),
            // Whoever was not found among all processes is not found the next time either.
            None if before
                .is_some_and(|before| before.process.is_none() && inodes(&before.sockets) == inodes(&sockets)) =>
            {
                None
            }
            None => known_owner(watch, &sockets, before).or_else(|| {
                let pid = process::owner(&watch.root, &inodes(&sockets))?;
                Process::read(&watch.root, pid)
            }),
        };
        let last = before.filter(|_| watch.pid.is_some() && process.is_none());
        let (host, sockets) = last.map_or((host, sockets), |before| (before.host.clone(), None));
        Self {
            at: Timestamp::now(),
            host,
            sockets,
            process,
            collector: watch.admin.as_deref().map_or(Answer::Unasked, Answer::of),
        }
    }
}

/// The process number `pid`, if it is the one that the snapshot `before` found: numbers are given again.
fn named(root: &Path, pid: u32, before: Option<&Snapshot>) -> Option<Process> {
    let is_same = |now: &Process, before: &Snapshot| {
        before.process.as_ref().is_some_and(|known| known.start_ticks == now.start_ticks)
    };
    Process::read(root, pid).filter(|now| before.is_none_or(|before| is_same(now, before)))
}

/// The process that the snapshot `before` found, if it is still there and the sockets are the same.
fn known_owner(watch: &Watch, sockets: &Option<Vec<Socket>>, before: Option<&Snapshot>) -> Option<Process> {
    let before = before.filter(|before| inodes(&before.sockets) == inodes(sockets))?;
    let known = before.process.as_ref()?;
    Process::read(&watch.root, known.pid).filter(|now| now.start_ticks == known.start_ticks)
}

fn inodes(sockets: &Option<Vec<Socket>>) -> Vec<u64> {
    sockets.iter().flatten().map(|socket| socket.inode).collect()
}

/// The whole lines of a file of the kernel's, of its first [`TEXT_BYTES_MAX`].
fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
    // A process may name itself in any bytes.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn watch(root: &str, address: &str, pid: Option<u32>) -> Watch {
        let address = Some(address.parse().unwrap());
        Watch { root: root.into(), transport: Transport::Udp, address, admin: None, pid }
    }

    #[test]
    fn an_address_of_this_machine_is_told_from_others() {
        for local in ["127.0.0.1:5514", "127.8.9.10:1", "0.0.0.0:5514", "[::ffff:127.0.0.1]:5514", "[::]:1"] {
            assert!(watch("/", local, None).is_local(), "{local}");
        }
        // Documentation addresses (RFC 5737, RFC 3849), and a group.
        for remote in ["192.0.2.1:5514", "[2001:db8::1]:5514", "239.1.2.3:5514", "[ff02::1]:5514"] {
            assert!(!watch("/", remote, None).is_local(), "{remote}");
            assert!(watch("/", remote, Some(1)).is_local(), "{remote}");
        }
        let transport = Transport::Unixgram;
        assert!(Watch { address: None, transport, ..watch("/", "192.0.2.1:1", None) }.is_local());
    }

    #[test]
    fn a_collector_on_this_machine_is_seen_until_it_goes() {
        let collector = UdpSocket::bind("127.83.1.7:0").unwrap();
        let watch = watch("/", &collector.local_addr().unwrap().to_string(), None);
        let before = Snapshot::take(&watch, None);
        assert_eq!((before.sockets.as_ref().unwrap().len(), &before.collector), (1, &Answer::Unasked));
        assert_eq!(before.process.as_ref().unwrap().pid, std::process::id());
        let during = Snapshot::take(&watch, Some(&before));
        assert_eq!(during.process.unwrap().pid, std::process::id());
        drop(collector);
        let after = Snapshot::take(&watch, Some(&before));
        assert_eq!((after.sockets.as_deref(), &after.process), (Some(&[][..]), &None));
        let mut changes = Changes::since(before);
        changes.add(after);
        assert_eq!(changes.so_far().sockets.unwrap().life, Life::Gone);
    }

    #[test]
    fn the_owner_of_other_sockets_is_not_taken_from_before() {
        let socket = Socket { inode: 1, dropped: 0, queued_bytes: 0 };
        let this = Process::read(Path::new("/"), std::process::id());
        let watch = watch("/", "127.0.0.1:1", None);
        let before = Snapshot { process: this.clone(), sockets: Some(vec![socket]), ..Snapshot::take(&watch, None) };
        let owner = |inode| known_owner(&watch, &Some(vec![Socket { inode, ..socket }]), Some(&before));
        assert_eq!(owner(1).map(|owner| owner.pid), this.map(|this| this.pid));
        assert_eq!(owner(2), None);
    }

    #[test]
    fn a_process_known_by_number_has_its_own_network_until_it_goes() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = root.path().join("proc").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let stat = |state, start_ticks| format!("812 (c) {state}{} {start_ticks} 0\n", " 0".repeat(18));
        write("net/snmp", "Udp: NoPorts\nUdp: 1000\n");
        write("net/udp", "");
        write("812/net/snmp", "Udp: NoPorts\nUdp: 7\n");
        write("812/net/udp", "");
        write("812/stat", &stat('S', 5));
        let watch = watch(root.path().to_str().unwrap(), "192.0.2.1:5514", Some(812));
        let before = Snapshot::take(&watch, None);
        assert_eq!((before.host.udp.no_ports, before.sockets.as_deref()), (7, Some(&[][..])));
        assert_eq!(before.process.as_ref().unwrap().pid, 812);
        let is_gone = || {
            let after = Snapshot::take(&watch, Some(&before));
            (after.process.is_none(), after.sockets.is_none(), after.host == before.host) == (true, true, true)
        };
        write("812/net/snmp", "Udp: NoPorts\nUdp: 9\n");
        assert!(!is_gone());
        write("812/stat", &stat('S', 6));
        assert!(is_gone(), "another process has its number");
        write("812/stat", &stat('Z', 5));
        assert!(is_gone(), "nobody has waited for it");
        std::fs::remove_dir_all(root.path().join("proc/812")).unwrap();
        assert!(is_gone());
    }

    #[test]
    fn a_line_that_the_bound_cuts_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = "0123456\n".repeat(TEXT_BYTES_MAX as usize / 8);
        std::fs::write(file.path(), format!("x\n{line}")).unwrap();
        let text = read(file.path()).unwrap();
        assert!(text.len() < TEXT_BYTES_MAX as usize && text.ends_with("6\n"));
    }
}
