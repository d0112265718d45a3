//! The sockets of a collector on this machine, whichever collector it is: /proc/net/udp and udp6 tell of each how many
//! datagrams were dropped at it (proc_pid_net(5); udp4_format_sock in net/ipv4/udp.c).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::read;

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
/// Absent where there are no tables.
#[must_use]
pub fn udp(net: &Path, address: SocketAddr) -> Option<Vec<Socket>> {
    let socket = |row: &Row<'_>| {
        Some(Socket { inode: row.inode, dropped: row.columns.get(12)?.parse().ok()?, queued_bytes: row.queued? })
    };
    sockets(net, ["udp", "udp6"], address, socket)
}

/// The sockets that accept connections to `address`; they drop nothing.
#[must_use]
pub fn tcp_listeners(net: &Path, address: SocketAddr) -> Option<Vec<Socket>> {
    let socket = |row: &Row<'_>| {
        let listens = row.columns.get(3) == Some(&LISTEN);
        listens.then_some(Socket { inode: row.inode, dropped: 0, queued_bytes: 0 })
    };
    sockets(net, ["tcp", "tcp6"], address, socket)
}

fn sockets(
    net: &Path,
    tables: [&str; 2],
    address: SocketAddr,
    socket: impl Fn(&Row<'_>) -> Option<Socket>,
) -> Option<Vec<Socket>> {
    let to = destination(address);
    let [table, table6] = tables.map(|table| read(&net.join(table)));
    if table.is_none() && table6.is_none() {
        return None;
    }
    let rows = [&table, &table6].into_iter().flatten().flat_map(|table| table.lines()).filter_map(Row::parse);
    let mut found: Vec<_> = rows.filter(|row| takes(row.local, to)).filter_map(|row| socket(&row)).collect();
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
