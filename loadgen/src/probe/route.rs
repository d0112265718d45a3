//! The way that this machine takes: source address and port, interface, next hop. The kernel is asked, which knows all its
//! tables and rules, by netlink (rtnetlink(7)); that takes no privilege.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use super::answer::words;

/// What datagrams to the target would carry, and where they leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The address that they come from.
    pub address: Option<IpAddr>,
    /// The port that the kernel chose for one socket; the next gets another.
    pub port: Option<u16>,
    /// The range that it chooses from (ip(7): `ip_local_port_range`).
    pub ports: Option<[u16; 2]>,
    /// The device that they leave by.
    pub interface: Option<String>,
    /// The longest packet of that device, bytes.
    pub interface_mtu_bytes: Option<u32>,
    /// The first router; none if the target is on the same link, or this machine.
    pub next_hop: Option<IpAddr>,
    /// Why there is no way.
    pub error: Option<String>,
}

impl Source {
    /// Asks the kernel; nothing is sent.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let mut source = Self { ports: local_ports(), ..Self::default() };
        match connect(target) {
            Ok(own) => (source.address, source.port) = (Some(own.ip()), Some(own.port())),
            Err(error) => source.error = Some(words(&error)),
        }
        let Ok(Some(route)) = query(route_request(target)).map(|reply| Route::read(&reply)) else {
            return source;
        };
        source.next_hop = route.next_hop;
        if let Ok(reply) = query(link_request(route.interface)) {
            (source.interface, source.interface_mtu_bytes) = read_link(&reply);
        }
        source
    }
}

/// Whether what is sent to `address` stays on this machine: its own addresses, and networks that are routed to itself. That an address
/// can be bound to says less: with `ip_nonlocal_bind` (ip(7)) any can.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    query(route_request(address)).is_ok_and(|reply| Route::read(&reply).is_some_and(|route| route.is_local))
}

/// To connect a datagram socket sends nothing, but chooses the route (connect(2), udp(7)).
fn connect(target: SocketAddr) -> io::Result<SocketAddr> {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.local_addr()
}

fn local_ports() -> Option<[u16; 2]> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ports = text.split_whitespace().map(str::parse);
    Some([ports.next()?.ok()?, ports.next()?.ok()?])
}

/// Bytes before the attributes: nlmsghdr (netlink(7)), and behind it rtmsg or ifinfomsg (rtnetlink(7)).
const HEADER_BYTES: usize = 16;
const ROUTE_BYTES: usize = 12;
const LINK_BYTES: usize = 16;

const RTM_GETLINK: u16 = 18;
const RTM_NEWLINK: u16 = 16;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWROUTE: u16 = 24;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_VIA: u16 = 18;
const RTA_IP_PROTO: u16 = 27;
const RTA_DPORT: u16 = 29;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;

fn request(kind: u16, body: &[u8]) -> Vec<u8> {
    const NLM_F_REQUEST: u16 = 1;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend(((HEADER_BYTES + body.len()) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// For a datagram, as a rule may ask for protocol and port (ip-rule(8): `ipproto`, `dport`; an older kernel than 4.18 knows no such
/// rules and ignores what it does not know); by the link that the zone of an IPv6 address names (RFC 4007 section 11).
fn route_request(target: SocketAddr) -> Vec<u8> {
    let (family, address) = match target.ip().to_canonical() {
        IpAddr::V4(address) => (Domain::IPV4, address.octets().to_vec()),
        IpAddr::V6(address) => (Domain::IPV6, address.octets().to_vec()),
    };
    let mut body = vec![i32::from(family) as u8, (address.len() * 8) as u8];
    body.resize(ROUTE_BYTES, 0);
    body.extend(attribute(RTA_DST, &address));
    body.extend(attribute(RTA_IP_PROTO, &[i32::from(Protocol::UDP) as u8]));
    body.extend(attribute(RTA_DPORT, &target.port().to_be_bytes()));
    if let SocketAddr::V6(target) = target
        && target.scope_id() != 0
    {
        body.extend(attribute(RTA_OIF, &target.scope_id().to_ne_bytes()));
    }
    request(RTM_GETROUTE, &body)
}

/// Aligned to four bytes (rtnetlink(3)).
fn attribute(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = [(4 + data.len() as u16).to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn link_request(interface: u32) -> Vec<u8> {
    let mut body = vec![0; LINK_BYTES];
    body[4..8].copy_from_slice(&interface.to_ne_bytes());
    request(RTM_GETLINK, &body)
}

fn query(request: Vec<u8>) -> io::Result<Vec<u8>> {
    /// include/linux/socket.h and include/uapi/linux/netlink.h.
    const AF_NETLINK: i32 = 16;
    const NETLINK_ROUTE: i32 = 0;
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_ROUTE)))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.send(&request)?;
    // An answer is at most a page, or 8 KiB (NLMSG_GOODSIZE in include/linux/netlink.h), but links with many functions.
    let mut reply = vec![0; 1 << 16];
    let bytes = (&socket).read(&mut reply)?;
    reply.truncate(bytes);
    Ok(reply)
}

struct Route {
    /// Whether it leads to this machine itself.
    is_local: bool,
    interface: u32,
    next_hop: Option<IpAddr>,
}

impl Route {
    fn read(reply: &[u8]) -> Option<Self> {
        /// `rtm_type` of an address of this machine (rtnetlink(7)), and where it stands.
        const RTN_LOCAL: u8 = 2;
        const TYPE_AT: usize = HEADER_BYTES + 7;
        let attributes = attributes(reply, RTM_NEWROUTE, ROUTE_BYTES)?;
        let find = |kind| attributes.iter().find(|(found, _)| *found == kind).map(|(_, data)| *data);
        // RTA_VIA: a router of the other family, with two bytes of family before its address (struct rtvia).
        let next_hop = find(RTA_GATEWAY).or_else(|| find(RTA_VIA)?.get(2..)).and_then(address);
        Some(Self { is_local: reply[TYPE_AT] == RTN_LOCAL, interface: word(find(RTA_OIF)?)?, next_hop })
    }
}

fn read_link(reply: &[u8]) -> (Option<String>, Option<u32>) {
    let attributes = attributes(reply, RTM_NEWLINK, LINK_BYTES).unwrap_or_default();
    let find = |kind| attributes.iter().find(|(found, _)| *found == kind).map(|(_, data)| *data);
    let name =
        find(IFLA_IFNAME).map(|name| String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned());
    (name, find(IFLA_MTU).and_then(word))
}

/// The attributes of a message of kind `kind`, each with its type, behind `body_bytes`; absent if it is another one.
fn attributes(message: &[u8], kind: u16, body_bytes: usize) -> Option<Vec<(u16, &[u8])>> {
    let found = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    let mut rest = message.get(HEADER_BYTES + body_bytes..).filter(|_| found == kind)?;
    let mut attributes = Vec::new();
    while let [a, b, c, d, ..] = rest {
        let [bytes, kind] = [[*a, *b], [*c, *d]].map(u16::from_ne_bytes);
        let Some(data) = rest.get(4..usize::from(bytes)) else { break };
        attributes.push((kind, data));
        rest = rest.get(usize::from(bytes).next_multiple_of(4)..).unwrap_or_default();
    }
    Some(attributes)
}

fn word(data: &[u8]) -> Option<u32> {
    data.try_into().ok().map(u32::from_ne_bytes)
}

fn address(data: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(data).map(IpAddr::from).ok();
    v4.or_else(|| <[u8; 16]>::try_from(data).map(IpAddr::from).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(kind: u16, body_bytes: usize, attributes: &[Vec<u8>]) -> Vec<u8> {
        request(kind, &[vec![0; body_bytes], attributes.concat()].concat())
    }

    #[test]
    fn a_route_is_asked_for_by_port_and_by_zone() {
        let asked = |target: &str| {
            let request = route_request(target.parse().unwrap());
            let attributes = attributes(&request, RTM_GETROUTE, ROUTE_BYTES).unwrap();
            attributes.into_iter().map(|(kind, data)| (kind, data.to_vec())).collect::<Vec<_>>()
        };
        let of_udp = [(RTA_IP_PROTO, vec![17]), (RTA_DPORT, vec![2, 2])];
        assert_eq!(asked("10.0.0.5:514"), [&[(RTA_DST, vec![10, 0, 0, 5])], &of_udp[..]].concat());
        let zone = asked("[fe80::1%7]:514");
        assert_eq!((&zone[1..3], &zone[3..]), (&of_udp[..], &[(RTA_OIF, 7u32.to_ne_bytes().to_vec())][..]));
    }

    #[test]
    fn a_route_has_an_interface_and_perhaps_a_router() {
        let device = attribute(RTA_OIF, &7u32.to_ne_bytes());
        let read = |attributes: &[Vec<u8>]| Route::read(&reply(RTM_NEWROUTE, ROUTE_BYTES, attributes));
        let route = read(&[device.clone(), attribute(RTA_GATEWAY, &[10, 0, 0, 1])]).unwrap();
        assert_eq!((route.interface, route.next_hop), (7, Some([10, 0, 0, 1].into())));
        let via = [vec![10, 0], Ipv6Addr::LOCALHOST.octets().to_vec()].concat();
        assert_eq!(
            read(&[attribute(RTA_VIA, &via), device.clone()]).unwrap().next_hop,
            Some(Ipv6Addr::LOCALHOST.into())
        );
        assert_eq!(read(&[device]).unwrap().next_hop, None);
        assert!(read(&[]).is_none());
    }

    #[test]
    fn a_route_to_this_machine_is_told_from_others() {
        let mut reply = reply(RTM_NEWROUTE, ROUTE_BYTES, &[attribute(RTA_OIF, &1u32.to_ne_bytes())]);
        // RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST.
        for (kind, is_local) in [(1, false), (2, true), (3, false)] {
            reply[HEADER_BYTES + 7] = kind;
            assert_eq!(Route::read(&reply).unwrap().is_local, is_local, "{kind}");
        }
    }

    #[test]
    fn a_link_local_address_is_asked_for_on_its_link() {
        let asked = |address: &str| route_request(address.parse().unwrap());
        let (everywhere, on_a_link) = (asked("[fe80::1]:514"), asked("[fe80::1%7]:514"));
        let link = attribute(RTA_OIF, &7u32.to_ne_bytes());
        assert_eq!(on_a_link[HEADER_BYTES..], [&everywhere[HEADER_BYTES..], &link].concat());
        assert_eq!(asked("[::ffff:10.0.0.5]:514"), asked("10.0.0.5:514"));
    }

    #[test]
    fn a_link_has_a_name_and_a_longest_packet() {
        let link = [attribute(IFLA_IFNAME, b"eth0\0"), attribute(IFLA_MTU, &1400u32.to_ne_bytes())];
        assert_eq!(read_link(&reply(RTM_NEWLINK, LINK_BYTES, &link)), (Some("eth0".into()), Some(1400)));
        assert_eq!(read_link(&reply(RTM_NEWROUTE, LINK_BYTES, &link)), (None, None), "not what was asked for");
    }

    #[test]
    fn a_message_cut_anywhere_is_read_as_far_as_it_goes() {
        let whole = reply(RTM_NEWLINK, LINK_BYTES, &[attribute(IFLA_IFNAME, b"lo\0"), attribute(IFLA_MTU, &[0; 4])]);
        for bytes in 0..whole.len() {
            read_link(&whole[..bytes]);
            Route::read(&whole[..bytes]);
        }
    }

    #[test]
    fn this_machine_reaches_itself_from_its_own_address_by_lo() {
        let source = Source::to("127.0.0.1:514".parse().unwrap());
        assert_eq!((source.address, source.next_hop, source.error), (Some([127, 0, 0, 1].into()), None, None));
        assert_eq!(source.interface.as_deref(), Some("lo"));
        assert!(source.interface_mtu_bytes.is_some() && source.port.is_some());
    }
}
