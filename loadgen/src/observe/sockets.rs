//! The sockets of a collector on this machine, whichever collector it is: /proc/net/udp and udp6 tell of each how many
//! datagrams were dropped at it (proc_pid_net(5); udp4_format_sock in net/ipv4/udp.c).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Most that is read of a table, bytes: 16,384 rows. A reader gets a page at a time, for each of which the kernel begins from the
/// first socket again (seq_read_iter in fs/seq_file.c), so that reading twice as many takes four times as long: 0.3 s for these.
const TABLE_BYTES_MAX: u64 = 2 << 20;

/// The state of a socket that listens, TCP_LISTEN in include/net/tcp_states.h.
const LISTEN: &str = "0A";

/// A socket that gets what is sent to the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// What tells it from all others, and finds its owner.
    pub inode: u64,
    /// Datagrams dropped at it since it was made, whatever the cause. It wraps.
    pub dropped: u32,
    /// Memory of the datagrams that wait in it, bytes.
    pub queued_bytes: u64,
}

/// The sockets that datagrams to `address` can come to: those bound to it or to the unspecified address, by inode.
/// Absent where there are no tables, or longer ones than are read.
#[must_use]
pub fn udp(net: &Path, address: SocketAddr) -> Option<Vec<Socket>> {
    let socket = |row: &Row<'_>| {
        Some(Socket { inode: row.inode, dropped: row.columns.get(12)?.parse().ok()?, queued_bytes: row.queued? })
    };
    sockets(net, ["udp", "udp6"], address, |_| true, socket)
}

/// The sockets that accept connections to `address`; they drop nothing.
#[must_use]
pub fn tcp_listeners(net: &Path, address: SocketAddr) -> Option<Vec<Socket>> {
    let listens = |row: &Row<'_>| row.columns.get(3) == Some(&LISTEN);
    let socket = |row: &Row<'_>| Some(Socket { inode: row.inode, dropped: 0, queued_bytes: 0 });
    // Those that listen come first (tcp_seek_last_pos in net/ipv4/tcp_ipv4.c), and behind them there may be a great many.
    sockets(net, ["tcp", "tcp6"], address, listens, socket)
}

/// Each table is read as long as `goes_on`. Of one that is not read to its end nothing is known: a socket may stand anywhere.
fn sockets(
    net: &Path,
    tables: [&str; 2],
    address: SocketAddr,
    goes_on: impl Fn(&Row<'_>) -> bool,
    socket: impl Fn(&Row<'_>) -> Option<Socket>,
) -> Option<Vec<Socket>> {
    let to = destination(address);
    let of_table = |table| -> io::Result<Vec<Socket>> {
        let mut text = BufReader::new(File::open(net.join(table))?.take(TABLE_BYTES_MAX));
        let mut found = Vec::new();
        for line in text.by_ref().lines() {
            let line = line?;
            let Some(row) = Row::parse(&line) else { continue };
            if !goes_on(&row) {
                return Ok(found);
            }
            found.extend(socket(&row).filter(|_| takes(row.local, to)));
        }
        if text.get_ref().limit() == 0 { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(found) }
    };
    let mut found: Option<Vec<_>> = None;
    for table in tables {
        match of_table(table) {
            Ok(sockets) => found.get_or_insert_default().extend(sockets),
            // Without IPv6 there is one table.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    let mut found = found?;
    found.sort_unstable_by_key(|socket| socket.inode);
    Some(found)
}

/// The address that a message to `address` goes to: the unspecified one means this machine (connect(2)).
fn destination(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether a socket bound to `local` takes what is sent to `to`. The unspecified IPv6 address takes IPv4 as well (ipv6(7)),
/// unless its owner wanted otherwise, which the table does not tell.
fn takes(local: SocketAddr, to: SocketAddr) -> bool {
    let ip = local.ip().to_canonical();
    local.port() == to.port() && (ip == to.ip() || ip.is_unspecified() && (ip.is_ipv6() || to.is_ipv4()))
}

/// A line of one of the tables.
struct Row<'a> {
    local: SocketAddr,
    queued: Option<u64>,
    inode: u64,
    columns: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// `sl local remote st tx:rx tr:when retrnsmt uid timeout inode ref pointer drops`.
    fn parse(line: &'a str) -> Option<Self> {
        let columns: Vec<_> = line.split_whitespace().collect();
        let local = parse_address(columns.get(1)?)?;
        let queued = columns.get(4)?.split_once(':').and_then(|(_, rx)| u64::from_str_radix(rx, 16).ok());
        Some(Self { local, queued, inode: columns.get(9)?.parse().ok()?, columns })
    }
}

/// `0100007F:158A`: words in the order of this machine's bytes, the port in that of people.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |digits: &[u8]| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok().map(u32::to_ne_bytes);
    let words = ip.as_bytes().chunks(8).map(word).collect::<Option<Vec<_>>>()?;
    let ip = match words.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        [a, b, c, d] => {
            let mut octets = [0; 16];
            octets.chunks_mut(4).zip([a, b, c, d]).for_each(|(to, word)| to.copy_from_slice(word));
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Linux 6.18 on a little-endian machine: 127.0.0.1:5514, 0.0.0.0:5514, 10.0.0.5:5514, 127.0.0.1:53.
    const UDP: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  101: 0100007F:158A 00000000:0000 07 00000000:00000500 00:00000000 00000000     0        0 22222 2 000000003e67ffcb 4294967295
   17: 00000000:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11111 2 000000003e67ffcb 7
   18: 0500000A:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 33333 2 000000003e67ffcb 9
   19: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 44444 2 000000003e67ffcb 9
";
    /// [::]:5514 and [::1]:5514, and ::ffff:127.0.0.1:5514.
    const UDP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  1: 00000000000000000000000000000000:158A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 55555 2 000000003e67ffcb 1
  2: 00000000000000000000000001000000:158A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 66666 2 000000003e67ffcb 2
  3: 0000000000000000FFFF00000100007F:158A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 77777 2 000000003e67ffcb 3
";
    /// 0.0.0.0:5514 listens, a connection to it is open.
    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:158A 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 178 1 000000003e67ffcb 100 0 0 10 0
   1: 0100007F:158A 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 179 1 000000003e67ffcb 100 0 0 10 0
";

    fn inodes(sockets: Option<Vec<Socket>>) -> Vec<u64> {
        sockets.unwrap().iter().map(|socket| socket.inode).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_targets_sockets_are_those_bound_to_it_or_to_any_address() {
        let net = tempfile::tempdir().unwrap();
        let to = |address: &str| udp(net.path(), address.parse().unwrap());
        assert_eq!(to("127.0.0.1:5514"), None);
        fs::write(net.path().join("udp"), UDP).unwrap();
        let found = to("127.0.0.1:5514").unwrap();
        assert_eq!(found[1], Socket { inode: 22222, dropped: u32::MAX, queued_bytes: 0x500 });
        assert_eq!(inodes(Some(found)), [11111, 22222]);
        assert_eq!(to("127.0.0.1:1").unwrap(), []);

        fs::write(net.path().join("udp6"), UDP6).unwrap();
        assert_eq!(inodes(to("127.0.0.1:5514")), [11111, 22222, 55555, 77777]);
        assert_eq!(inodes(to("0.0.0.0:5514")), [11111, 22222, 55555, 77777]);
        assert_eq!(inodes(to("10.0.0.5:5514")), [11111, 33333, 55555]);
        assert_eq!(inodes(to("[::1]:5514")), [55555, 66666]);
        assert_eq!(inodes(to("[::ffff:127.0.0.1]:5514")), [11111, 22222, 55555, 77777]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn of_tcp_only_what_listens_is_the_targets() {
        let net = tempfile::tempdir().unwrap();
        fs::write(net.path().join("tcp"), TCP).unwrap();
        assert_eq!(inodes(tcp_listeners(net.path(), "127.0.0.1:5514".parse().unwrap())), [178]);
        assert_eq!(inodes(tcp_listeners(net.path(), "127.0.0.1:40960".parse().unwrap())), [] as [u64; 0]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_socket_is_found_behind_thousands_of_others_and_a_table_that_is_too_long_tells_nothing() {
        let net = tempfile::tempdir().unwrap();
        let rows: Vec<_> = UDP.lines().collect();
        let found = |others| {
            let others = format!("{:<127}\n", rows[4]).repeat(others);
            fs::write(net.path().join("udp"), format!("{}\n{others}{}\n", rows[0], rows[1])).unwrap();
            fs::write(net.path().join("udp6"), UDP6).unwrap();
            udp(net.path(), "127.0.0.1:5514".parse().unwrap())
        };
        assert_eq!(inodes(found(16_000)), [22222, 55555, 77777]);
        assert_eq!(found(17_000), None);
    }

    #[test]
    fn lines_that_are_no_rows_are_passed_over() {
        for line in
            ["", "sl local", "1: x:1 0:0 07 0:0 0:0 0 0 0 1", "1: 0100007F:158A", "1: 0100:158A a b c d e f g 1"]
        {
            let rows: Vec<_> = Row::parse(line).into_iter().filter(|row| row.queued.is_some()).collect();
            assert!(rows.is_empty(), "{line}");
        }
    }

    #[test]
    fn a_socket_of_this_machine_is_found() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let found = udp(Path::new("/proc/net"), socket.local_addr().unwrap()).unwrap();
        assert_eq!(found.len(), 1);
    }
}
