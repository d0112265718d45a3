//! This machine's own counters: what its network stack and its devices dropped.
//!
//! They count for everybody on the host (or in the network namespace), so that they bound from above what a run lost.
//! A queueing discipline tells its drops by netlink alone (`tc -s qdisc`), and they are left out; what it drops of a
//! sender that does not ask for errors shows in `SndbufErrors` (udp_send_skb in net/ipv4/udp.c).

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::read;

/// Most devices that are looked at, by name: hosts of containers have thousands.
const DEVICES_MAX: usize = 64;

/// Counters of one machine since it started, or how much they grew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// UDP over IPv4 and IPv6.
    pub udp: Udp,
    /// IPv4 and IPv6.
    pub ip: Ip,
    /// Packets between the devices and the protocols.
    pub softnet: Softnet,
    /// By name, those of the namespace whose /sys is mounted.
    pub devices: BTreeMap<String, Device>,
    /// Time in which a hypervisor ran others on our processors (`steal` of /proc/stat, proc_stat(5)), ms: no fault of any program
    /// here, but whatever waits meanwhile is late.
    pub stolen_ms: u64,
    /// Largest receive buffer that a socket gets without privileges, bytes (`net.core.rmem_max`).
    pub rmem_max_bytes: Option<u64>,
    /// Packets that wait for one processor at most (`net.core.netdev_max_backlog`).
    pub netdev_max_backlog: Option<u64>,
}

/// Lines `Udp` of /proc/net/snmp and `Udp6` of snmp6 (RFC 4113; net/ipv4/proc.c), added up, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Udp {
    /// Read by programs.
    pub in_datagrams: u64,
    /// For ports on which nobody listens.
    pub no_ports: u64,
    /// Not delivered for any other reason; the next ones are among them.
    pub in_errors: u64,
    /// Sent.
    pub out_datagrams: u64,
    /// A socket's receive buffer was full.
    pub rcvbuf_errors: u64,
    /// No memory to send, or dropped by a queueing discipline.
    pub sndbuf_errors: u64,
    /// The checksum was wrong.
    pub in_csum_errors: u64,
    /// The memory for all UDP sockets was used up (`net.ipv4.udp_mem`; since Linux 5.11).
    pub mem_errors: u64,
}

/// Lines `Ip` of /proc/net/snmp and `Ip6` of snmp6 (RFC 4293), added up, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ip {
    /// Not sent for want of memory or room in a queue.
    pub out_discards: u64,
    /// Not sent: no route.
    pub out_no_routes: u64,
    /// Received in order and dropped all the same.
    pub in_discards: u64,
    /// Fragments that were never made whole.
    pub reasm_fails: u64,
}

/// /proc/net/softnet_stat, the sum of all processors (softnet_seq_show in net/core/net-procfs.c). Each is a u32 that wraps,
/// and so is their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Softnet {
    /// Packets for which a processor's backlog had no room; `flow_limited` are among them, and the device counts them
    /// too (`rx_dropped`; enqueue_to_backlog in net/core/dev.c).
    pub dropped: u64,
    /// Times that a processor had more packets than it may take at once.
    pub squeezed: u64,
    /// Packets of a flow that had more than its share of a busy backlog.
    pub flow_limited: u64,
}

/// One device, packets (Documentation/networking/statistics.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Received, but not taken by the network stack.
    pub rx_dropped: u64,
    /// The device's ring was full.
    pub rx_missed_errors: u64,
    /// The device's own buffer ran over.
    pub rx_fifo_errors: u64,
    /// Not sent for want of room.
    pub tx_dropped: u64,
    /// Not sent for any other reason.
    pub tx_errors: u64,
}

impl Host {
    /// Reads the counters of the machine whose /proc and /sys are under `root`; `net` is its /proc/net, or that of a
    /// process. What is missing is 0, or absent.
    #[must_use]
    pub fn read(root: &Path, net: &Path) -> Self {
        let snmp = read(&net.join("snmp")).unwrap_or_default();
        let snmp6 = read(&net.join("snmp6")).unwrap_or_default();
        let limit = |name: &str| read(&root.join("proc/sys/net/core").join(name))?.trim().parse().ok();
        Self {
            udp: Udp::parse(&snmp, &snmp6),
            ip: Ip::parse(&snmp, &snmp6),
            softnet: Softnet::parse(&read(&net.join("softnet_stat")).unwrap_or_default()),
            devices: devices(&root.join("sys/class/net")),
            stolen_ms: stolen_ms(&read(&root.join("proc/stat")).unwrap_or_default()),
            rmem_max_bytes: limit("rmem_max"),
            netdev_max_backlog: limit("netdev_max_backlog"),
        }
    }

    /// How much the counters grew since `before`. A device that came meanwhile, such as one moved here from a container, may
    /// have counted for long, and is left out.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let device = |(name, now): (&String, &Device)| Some((name.clone(), now.since(before.devices.get(name)?)));
        Self {
            udp: self.udp.since(&before.udp),
            ip: self.ip.since(&before.ip),
            softnet: self.softnet.since(&before.softnet),
            devices: self.devices.iter().filter_map(device).collect(),
            stolen_ms: growth(self.stolen_ms, before.stolen_ms),
            ..*self
        }
    }
}

/// The eighth time of the first line, which is of all processors, in hundredths of a second (USER_HZ).
fn stolen_ms(stat: &str) -> u64 {
    let all = stat.lines().next().filter(|line| line.starts_with("cpu "));
    all.and_then(|line| line.split_ascii_whitespace().nth(8)?.parse::<u64>().ok()).unwrap_or(0) * 10
}

/// How much a counter grew. One that is smaller than before began anew.
pub(super) fn growth(now: u64, before: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

impl Udp {
    fn parse(snmp: &str, snmp6: &str) -> Self {
        let sum = |name: &str| counter(snmp, "Udp", name) + counter6(snmp6, "Udp6", name);
        Self {
            in_datagrams: sum("InDatagrams"),
            no_ports: sum("NoPorts"),
            in_errors: sum("InErrors"),
            out_datagrams: sum("OutDatagrams"),
            rcvbuf_errors: sum("RcvbufErrors"),
            sndbuf_errors: sum("SndbufErrors"),
            in_csum_errors: sum("InCsumErrors"),
            mem_errors: sum("MemErrors"),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            in_datagrams: growth(self.in_datagrams, before.in_datagrams),
            no_ports: growth(self.no_ports, before.no_ports),
            in_errors: growth(self.in_errors, before.in_errors),
            out_datagrams: growth(self.out_datagrams, before.out_datagrams),
            rcvbuf_errors: growth(self.rcvbuf_errors, before.rcvbuf_errors),
            sndbuf_errors: growth(self.sndbuf_errors, before.sndbuf_errors),
            in_csum_errors: growth(self.in_csum_errors, before.in_csum_errors),
            mem_errors: growth(self.mem_errors, before.mem_errors),
        }
    }
}

impl Ip {
    fn parse(snmp: &str, snmp6: &str) -> Self {
        let sum = |name: &str| counter(snmp, "Ip", name) + counter6(snmp6, "Ip6", name);
        Self {
            out_discards: sum("OutDiscards"),
            out_no_routes: sum("OutNoRoutes"),
            in_discards: sum("InDiscards"),
            reasm_fails: sum("ReasmFails"),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            out_discards: growth(self.out_discards, before.out_discards),
            out_no_routes: growth(self.out_no_routes, before.out_no_routes),
            in_discards: growth(self.in_discards, before.in_discards),
            reasm_fails: growth(self.reasm_fails, before.reasm_fails),
        }
    }
}

impl Softnet {
    fn parse(softnet_stat: &str) -> Self {
        let column = |index: usize| {
            let values = softnet_stat.lines().filter_map(|line| line.split_whitespace().nth(index));
            let sum = values.filter_map(|value| u32::from_str_radix(value, 16).ok()).fold(0, u32::wrapping_add);
            u64::from(sum)
        };
        Self { dropped: column(1), squeezed: column(2), flow_limited: column(10) }
    }

    fn since(&self, before: &Self) -> Self {
        let growth = |now: u64, before: u64| {
            let grown = (now as u32).wrapping_sub(before as u32);
            // A processor that was switched off took its counters away.
            if grown > i32::MAX as u32 { 0 } else { u64::from(grown) }
        };
        Self {
            dropped: growth(self.dropped, before.dropped),
            squeezed: growth(self.squeezed, before.squeezed),
            flow_limited: growth(self.flow_limited, before.flow_limited),
        }
    }
}

impl Device {
    fn read(statistics: &Path) -> Self {
        let number = |name| read(&statistics.join(name)).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Self {
            rx_dropped: number("rx_dropped"),
            rx_missed_errors: number("rx_missed_errors"),
            rx_fifo_errors: number("rx_fifo_errors"),
            tx_dropped: number("tx_dropped"),
            tx_errors: number("tx_errors"),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            rx_dropped: growth(self.rx_dropped, before.rx_dropped),
            rx_missed_errors: growth(self.rx_missed_errors, before.rx_missed_errors),
            rx_fifo_errors: growth(self.rx_fifo_errors, before.rx_fifo_errors),
            tx_dropped: growth(self.tx_dropped, before.tx_dropped),
            tx_errors: growth(self.tx_errors, before.tx_errors),
        }
    }
}

fn devices(class: &Path) -> BTreeMap<String, Device> {
    let entries = std::fs::read_dir(class).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names.truncate(DEVICES_MAX);
    names.into_iter().map(|name| (name.clone(), Device::read(&class.join(name).join("statistics")))).collect()
}

/// A counter of /proc/net/snmp: for each protocol a line of names, and a line of values under it.
fn counter(snmp: &str, protocol: &str, name: &str) -> u64 {
    let mut lines = snmp.lines().filter_map(|line| line.split_once(": ")).filter(|(of, _)| *of == protocol);
    let (Some((_, names)), Some((_, values))) = (lines.next(), lines.next()) else { return 0 };
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs.find(|(found, _)| *found == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// A counter of /proc/net/snmp6: a line for each, its name behind its protocol's.
fn counter6(snmp6: &str, protocol: &str, name: &str) -> u64 {
    let mut pairs = snmp6.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let found = pairs.find(|(found, _)| found.strip_prefix(protocol) == Some(name));
    found.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Linux 6.18, cut to the columns that matter and a few that do not.
    const SNMP: &str = "\
Ip: Forwarding InReceives InDiscards OutDiscards OutNoRoutes ReasmFails
Ip: 2 801807275 1 2 3 4
Tcp: RtoAlgorithm MaxConn
Tcp: 1 -1
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 1883635103 49731217 20195760 715688602 20195753 5 3 0 4
UdpLite: InDatagrams NoPorts
UdpLite: 7 7
";
    const SNMP6: &str = "Ip6InDiscards                   \t10\nIp6ReasmFails                   \t40\n\
                         Udp6NoPorts                     \t400\nUdp6RcvbufErrors                \t1\n";
    const SOFTNET: &str = "\
28cd3783 00000029 000002f5 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000007 00000000 00000000
06fd6991 ffffffff 00000137 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000001
";

    #[test]
    fn both_families_are_added_up_by_name() {
        let udp = Udp::parse(SNMP, SNMP6);
        assert_eq!((udp.no_ports, udp.rcvbuf_errors, udp.in_errors), (49_731_617, 20_195_754, 20_195_760));
        assert_eq!((udp.sndbuf_errors, udp.in_csum_errors, udp.mem_errors), (5, 3, 4));
        assert_eq!((udp.in_datagrams, udp.out_datagrams), (1_883_635_103, 715_688_602));
        assert_eq!(Ip::parse(SNMP, SNMP6), Ip { out_discards: 2, out_no_routes: 3, in_discards: 11, reasm_fails: 44 });
    }

    #[test]
    fn softnet_is_summed_in_hex_and_grows_across_the_wrap() {
        let before = Softnet::parse(SOFTNET);
        assert_eq!(before, Softnet { dropped: 0x28, squeezed: 0x42c, flow_limited: 8 });
        // The second processor's counter goes from ffffffff to 1.
        let after = Softnet::parse(&SOFTNET.replace("ffffffff", "00000001"));
        assert_eq!(after.since(&before), Softnet { dropped: 2, ..Softnet::default() });
        let switched_off = Softnet::parse(SOFTNET.lines().next_back().unwrap());
        assert_eq!(switched_off.since(&before), Softnet::default());
        // Before Linux 3.11 there were ten columns.
        assert_eq!(Softnet::parse("1 2 3 0 0 0 0 0 0 0\n"), Softnet { dropped: 2, squeezed: 3, flow_limited: 0 });
    }

    #[test]
    fn a_counter_that_began_anew_counts_from_there() {
        let before = Udp { no_ports: 100, rcvbuf_errors: 7, ..Udp::default() };
        let after = Udp { no_ports: 3, rcvbuf_errors: 9, ..Udp::default() };
        assert_eq!(after.since(&before), Udp { no_ports: 3, rcvbuf_errors: 2, ..Udp::default() });
    }

    #[test]
    fn a_tree_is_read_and_what_it_lacks_is_nothing() {
        let root = tempfile::tempdir().unwrap();
        let net = root.path().join("proc/net");
        assert_eq!(Host::read(root.path(), &net), Host::default());

        for (path, text) in [
            ("proc/net/snmp", SNMP),
            ("proc/net/softnet_stat", SOFTNET),
            ("proc/sys/net/core/rmem_max", "4194304\n"),
            ("proc/stat", "cpu  3036083 635453 686818 5559021 43723 0 165313 27 0 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n"),
            ("sys/class/net/eth0/statistics/tx_dropped", "12\n"),
            ("sys/class/net/eth0/statistics/rx_missed_errors", "nonsense\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = Host::read(root.path(), &net);
        assert_eq!((host.udp.no_ports, host.softnet.dropped, host.stolen_ms), (49_731_217, 0x28, 270));
        assert_eq!((host.rmem_max_bytes, host.netdev_max_backlog), (Some(4_194_304), None));
        assert_eq!(host.devices["eth0"], Device { tx_dropped: 12, ..Device::default() });
        assert_eq!(host.since(&host).devices["eth0"], Device::default());
        assert_eq!(host.since(&Host::default()).devices.get("eth0"), None, "it came meanwhile, and had counted before");
    }
}
