//! From a packet to the datagram in it: link layer, IP, its fragments, UDP.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use etherparse::defrag::IpDefragBuf;
use etherparse::{EtherType, IpFragOffset, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, UdpSlice, ip_number};

use super::Remark;

/// Datagrams at most of which fragments are kept: 64 MiB.
const WAITING_MAX: usize = 1024;

/// How long fragments wait for the others (ip-sysctl, ipfrag_time).
const WAIT_NS: u64 = 30_000_000_000;

/// A datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Datagram<'p> {
    pub(super) from: SocketAddr,
    pub(super) to_port: u16,
    pub(super) payload: Cow<'p, [u8]>,
    /// Whether its end is missing.
    pub(super) is_cut: bool,
}

/// What a packet is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dissected<'p> {
    /// A datagram, or its last fragment.
    Datagram(Datagram<'p>),
    /// A fragment of one that is not whole yet.
    Waiting,
    /// Nothing that is sent.
    LeftOut(Remark),
}

/// Keeps fragments until their datagrams are whole.
#[derive(Default)]
pub(super) struct Dissector {
    waiting: HashMap<FragmentOf, Fragments>,
    /// Fragments that waited too long.
    given_up: u64,
}

/// What fragments of one packet have in common (RFC 791 section 2.3, RFC 8200 section 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FragmentOf {
    from: IpAddr,
    to: IpAddr,
    identification: u32,
}

struct Fragment<'p> {
    of: FragmentOf,
    offset: IpFragOffset,
    is_followed: bool,
    bytes: &'p [u8],
}

struct Fragments {
    joined: IpDefragBuf,
    count: u64,
    since_ns: u64,
}

impl Dissector {
    /// Takes apart a packet of link layer `link` (tcpdump.org/linktypes.html) that was taken at `at_ns`.
    pub(super) fn dissect<'p>(&mut self, link: i32, packet: &'p [u8], at_ns: u64) -> Dissected<'p> {
        let sliced = match sliced(link, packet) {
            Ok(sliced) => sliced,
            Err(remark) => return Dissected::LeftOut(remark),
        };
        let Some(net) = &sliced.net else {
            // What is no IP at all, or no whole header of it.
            let is_damaged = sliced.stop_err.is_some();
            return Dissected::LeftOut(if is_damaged { Remark::Unreadable } else { Remark::OtherProtocol });
        };
        let (from, fragment, payload): (IpAddr, _, _) = match net {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                let of = FragmentOf {
                    from: header.source_addr().into(),
                    to: header.destination_addr().into(),
                    identification: header.identification().into(),
                };
                let fragment = (of, header.fragments_offset(), header.more_fragments());
                (of.from, Some(fragment), ip.payload())
            }
            LaxNetSlice::Ipv6(ip) => {
                let from = ip.header().source_addr().into();
                let to = ip.header().destination_addr().into();
                let header = ip.extensions().clone().into_iter().find_map(|extension| match extension {
                    Ipv6ExtensionSlice::Fragment(header) => Some(header),
                    _ => None,
                });
                let fragment = header.map(|header| {
                    let of = FragmentOf { from, to, identification: header.identification() };
                    (of, header.fragment_offset(), header.more_fragments())
                });
                (from, fragment, ip.payload())
            }
            LaxNetSlice::Arp(_) => return Dissected::LeftOut(Remark::OtherProtocol),
        };
        if payload.ip_number != ip_number::UDP {
            return Dissected::LeftOut(Remark::OtherProtocol);
        }
        match fragment.filter(|_| payload.fragmented) {
            None => datagram(from, payload.payload, payload.incomplete)
                .map_or(Dissected::LeftOut(Remark::Unreadable), Dissected::Datagram),
            // Its place is known, but not what of it is missing.
            Some(_) if payload.incomplete => Dissected::LeftOut(Remark::Fragment),
            Some((of, offset, is_followed)) => {
                self.join(&Fragment { of, offset, is_followed, bytes: payload.payload }, at_ns)
            }
        }
    }

    fn join<'p>(&mut self, fragment: &Fragment<'_>, at_ns: u64) -> Dissected<'p> {
        let Fragment { of, offset, is_followed, bytes } = *fragment;
        if !self.make_room(&of, at_ns) {
            return Dissected::LeftOut(Remark::Fragment);
        }
        let joined = || IpDefragBuf::new(ip_number::UDP, Vec::new(), Vec::new());
        let none = || Fragments { joined: joined(), count: 0, since_ns: at_ns };
        let fragments = self.waiting.entry(of).or_insert_with(none);
        if fragments.joined.add(offset, is_followed, bytes).is_err() {
            return Dissected::LeftOut(Remark::Fragment);
        }
        fragments.count += 1;
        if !fragments.joined.is_complete() {
            return Dissected::Waiting;
        }
        let whole = self.waiting.remove(&of).map(|whole| whole.joined.take_bufs().0).unwrap_or_default();
        match datagram(of.from, &whole, false) {
            None => Dissected::LeftOut(Remark::Unreadable),
            Some(datagram) => {
                let payload = Cow::Owned(datagram.payload.into_owned());
                Dissected::Datagram(Datagram { payload, ..datagram })
            }
        }
    }

    /// Gives up what has waited too long; whether there is room for a fragment of `of`.
    fn make_room(&mut self, of: &FragmentOf, now_ns: u64) -> bool {
        let is_old = |fragments: &Fragments| now_ns.saturating_sub(fragments.since_ns) > WAIT_NS;
        let is_full = self.waiting.len() >= WAITING_MAX;
        // The number of another datagram, used again, is no fragment of it.
        if self.waiting.get(of).map_or(is_full, is_old) {
            let given_up = &mut self.given_up;
            self.waiting.retain(|_, fragments| {
                *given_up += if is_old(fragments) { fragments.count } else { 0 };
                !is_old(fragments)
            });
        }
        self.waiting.len() < WAITING_MAX || self.waiting.contains_key(of)
    }

    /// Fragments that found no others.
    pub(super) fn finish(&self) -> u64 {
        self.given_up + self.waiting.values().map(|fragments| fragments.count).sum::<u64>()
    }
}

/// The headers of a packet, as far as it goes.
fn sliced(link: i32, packet: &[u8]) -> Result<LaxSlicedPacket<'_>, Remark> {
    let behind = |bytes: usize| packet.get(bytes..).ok_or(Remark::Unreadable);
    // The EtherType at `at`, and what follows a header of `bytes`.
    let cooked = |at: usize, bytes: usize| {
        let ether_type = u16::from_be_bytes([packet[at], packet[at + 1]]);
        LaxSlicedPacket::from_ether_type(EtherType(ether_type), &packet[bytes..])
    };
    Ok(match link {
        // NULL, LOOP: four bytes say which protocol, in an order that nobody tells; the version of IP does, too.
        0 | 108 => LaxSlicedPacket::from_ip(behind(4)?).map_err(|_| Remark::OtherProtocol)?,
        1 => LaxSlicedPacket::from_ethernet(packet).map_err(|_| Remark::Unreadable)?,
        // RAW, by its number and by those of systems; IPV4, IPV6.
        12 | 14 | 101 | 228 | 229 => LaxSlicedPacket::from_ip(packet).map_err(|_| Remark::Unreadable)?,
        // LINUX_SLL, LINUX_SLL2.
        113 => behind(16).map(|_| cooked(14, 16))?,
        276 => behind(20).map(|_| cooked(0, 20))?,
        _ => return Err(Remark::UnknownLink),
    })
}

fn datagram(from: IpAddr, udp: &[u8], is_cut: bool) -> Option<Datagram<'_>> {
    let sliced = UdpSlice::from_slice_lax(udp).ok()?;
    Some(Datagram {
        from: SocketAddr::new(from, sliced.source_port()),
        to_port: sliced.destination_port(),
        payload: Cow::Borrowed(sliced.payload()),
        is_cut: is_cut || usize::from(sliced.length()) > udp.len(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const ETHERNET: i32 = 1;
    const RAW: i32 = 101;

    pub(in crate::replay) fn udp(from_port: u16, to_port: u16, payload: &[u8]) -> Vec<u8> {
        let length = 8 + payload.len() as u16;
        let header = [from_port, to_port, length, 0].map(u16::to_be_bytes).concat();
        [&header, payload].concat()
    }

    /// From 192.0.2.1; `offset` in units of 8 B.
    fn ipv4_fragment(protocol: u8, identification: u16, offset: u16, is_followed: bool, payload: &[u8]) -> Vec<u8> {
        let length = 20 + payload.len() as u16;
        let flags = offset | if is_followed { 0x2000 } else { 0 };
        let mut header = vec![0x45, 0];
        header.extend([length, identification, flags].map(u16::to_be_bytes).concat());
        header.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9]);
        [&header, payload].concat()
    }

    pub(in crate::replay) fn ipv4(payload: &[u8]) -> Vec<u8> {
        ipv4_fragment(17, 7, 0, false, payload)
    }

    /// From 2001:db8::1.
    fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = vec![0x60, 0, 0, 0];
        header.extend((payload.len() as u16).to_be_bytes());
        header.extend([next_header, 64]);
        let address = |last| [&[0x20, 0x01, 0x0D, 0xB8][..], &[0; 11], &[last]].concat();
        [header, address(1), address(9), payload.to_vec()].concat()
    }

    fn ipv6_fragment(identification: u32, offset: u16, is_followed: bool, payload: &[u8]) -> Vec<u8> {
        let fields = (offset << 3 | u16::from(is_followed)).to_be_bytes();
        ipv6(44, &[&[17, 0][..], &fields, &identification.to_be_bytes(), payload].concat())
    }

    pub(in crate::replay) fn ethernet(ether_type: &[u8], packet: &[u8]) -> Vec<u8> {
        [&[2; 12], ether_type, packet].concat()
    }

    fn dissect(link: i32, packet: &[u8]) -> Dissected<'_> {
        Dissector::default().dissect(link, packet, 0)
    }

    fn datagram<'p>(from: &str, payload: &'p [u8]) -> Dissected<'p> {
        let payload = Cow::Borrowed(payload);
        Dissected::Datagram(Datagram { from: from.parse().unwrap(), to_port: 514, payload, is_cut: false })
    }

    #[test]
    fn a_datagram_is_found_behind_every_link_layer_and_in_both_versions_of_ip() {
        let udp = udp(5000, 514, b"text");
        for (ip, ether_type, from) in
            [(ipv4(&udp), [0x08, 0x00], "192.0.2.1:5000"), (ipv6(17, &udp), [0x86, 0xDD], "[2001:db8::1]:5000")]
        {
            let vlan = [&[0x81, 0, 0, 5][..], &ether_type].concat();
            let two_vlans = [&[0x88, 0xA8, 0, 6][..], &vlan].concat();
            let sll = [&[0, 4, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0][..], &ether_type, &ip].concat();
            let sll2 = [&ether_type[..], &[0; 18], &ip].concat();
            // A frame is padded to 60 B.
            let padded = [&ethernet(&ether_type, &ip)[..], &[0; 20]].concat();
            for (link, packet) in [
                (ETHERNET, ethernet(&ether_type, &ip)),
                (ETHERNET, padded),
                (ETHERNET, ethernet(&vlan, &ip)),
                (ETHERNET, ethernet(&two_vlans, &ip)),
                (113, sll),
                (276, sll2),
                (RAW, ip.clone()),
                (228, ip.clone()),
                (0, [&[2, 0, 0, 0][..], &ip].concat()),
                (108, [&[0, 0, 0, 2][..], &ip].concat()),
            ] {
                assert_eq!(dissect(link, &packet), datagram(from, b"text"), "link {link}");
            }
        }
    }

    #[test]
    fn what_is_no_datagram_is_told_why() {
        let udp = udp(5000, 514, b"text");
        for (link, packet, remark) in [
            (RAW, ipv4_fragment(6, 7, 0, false, &[0; 20]), Remark::OtherProtocol),
            (ETHERNET, ethernet(&[0x08, 0x06], &[0; 28]), Remark::OtherProtocol),
            (ETHERNET, ethernet(&[0x88, 0xCC], &[0; 40]), Remark::OtherProtocol),
            (ETHERNET, ethernet(&[0x08, 0x00], &ipv4(&udp)[..19]), Remark::Unreadable),
            (ETHERNET, vec![0; 13], Remark::Unreadable),
            (RAW, ipv4(&udp)[..27].to_vec(), Remark::Unreadable),
            (113, vec![0; 15], Remark::Unreadable),
            (147, ipv4(&udp), Remark::UnknownLink),
        ] {
            assert_eq!(dissect(link, &packet), Dissected::LeftOut(remark), "link {link}: {packet:?}");
        }
    }

    #[test]
    fn a_cut_packet_gives_what_is_left_of_its_payload() {
        let packet = ipv4(&udp(5000, 514, b"text that is cut"));
        let Dissected::Datagram(cut) = dissect(RAW, &packet[..packet.len() - 12]) else { panic!("no datagram") };
        assert_eq!((&*cut.payload, cut.is_cut), (&b"text"[..], true));
    }

    #[test]
    fn fragments_are_joined_in_any_order_and_not_with_those_of_others() {
        let (whole, other) = (udp(5000, 514, &[b'x'; 100]), udp(5000, 514, &[b'y'; 100]));
        let fragments = |payload: &[u8], id| {
            [(0, 48), (6, 96), (12, 108)].map(|(offset, end): (u16, usize)| {
                let part = &payload[usize::from(offset) * 8..end];
                [ipv4_fragment(17, id, offset, end < 108, part), ipv6_fragment(id.into(), offset, end < 108, part)]
            })
        };
        for version in 0..2 {
            for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
                let mut dissector = Dissector::default();
                let (ours, theirs) = (fragments(&whole, 1), fragments(&other, 2));
                for number in &order[..2] {
                    assert_eq!(dissector.dissect(RAW, &ours[*number][version], 0), Dissected::Waiting);
                    assert_eq!(dissector.dissect(RAW, &theirs[*number][version], 0), Dissected::Waiting);
                }
                let from = ["192.0.2.1:5000", "[2001:db8::1]:5000"][version];
                assert_eq!(dissector.dissect(RAW, &ours[order[2]][version], 0), datagram(from, &[b'x'; 100]));
                assert_eq!(dissector.finish(), 2, "the others wait");
            }
        }
    }

    #[test]
    fn fragments_do_not_wait_for_ever_nor_without_limit() {
        let first = |id| ipv4_fragment(17, id, 0, true, &udp(5000, 514, &[b'x'; 40]));
        let last = |id| ipv4_fragment(17, id, 6, false, b"end");
        let mut dissector = Dissector::default();
        assert_eq!(dissector.dissect(RAW, &first(1), 0), Dissected::Waiting);
        assert_eq!(dissector.dissect(RAW, &last(1), WAIT_NS + 1), Dissected::Waiting, "of another datagram");
        assert_eq!(dissector.finish(), 2);
        let mut dissector = Dissector::default();
        for id in 0..WAITING_MAX as u16 {
            assert_eq!(dissector.dissect(RAW, &first(id), 0), Dissected::Waiting);
        }
        assert_eq!(dissector.dissect(RAW, &first(u16::MAX), 0), Dissected::LeftOut(Remark::Fragment));
        assert!(matches!(dissector.dissect(RAW, &last(5), 0), Dissected::Datagram(_)), "what waits can be ended");
        assert_eq!(dissector.dissect(RAW, &first(u16::MAX), WAIT_NS + 1), Dissected::Waiting, "one has gone");
        assert_eq!(dissector.waiting.len(), WAITING_MAX);
        assert_eq!(dissector.dissect(RAW, &first(u16::MAX - 1), WAIT_NS + 1), Dissected::Waiting);
        assert_eq!((dissector.waiting.len(), dissector.finish()), (2, WAITING_MAX as u64 + 1));
    }

    proptest! {
        #[test]
        fn no_packet_is_too_broken(
            link in prop::sample::select(vec![0, 1, 12, 101, 113, 276, 9999]), version: bool,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), cut in 0usize..200,
        ) {
            let udp = udp(5000, 514, &[b'x'; 60]);
            let ip = if version { ipv4(&udp) } else { ipv6_fragment(1, 0, true, &udp[..64]) };
            let mut packet = ethernet(if version { &[0x08, 0x00] } else { &[0x86, 0xDD] }, &ip);
            changes.iter().for_each(|(at, byte)| *at.get_mut(&mut packet) = *byte);
            packet.truncate(cut);
            if let Dissected::Datagram(datagram) = dissect(link, &packet) {
                prop_assert!(datagram.payload.len() <= packet.len());
            }
        }
    }
}
