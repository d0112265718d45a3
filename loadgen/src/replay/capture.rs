//! pcap files (pcap-savefile(5)) and pcapng files (draft-ietf-opsawg-pcapng): packets, each with its time and link layer.

use std::io::Read;

use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, IDB_MAGIC, InterfaceDescriptionBlock, PcapBlockOwned, PcapError, create_reader};

use super::packet::{Dissected, Dissector};
use super::{Recorder, Remark, Source};

/// Longest packet or other block that is read, with its header.
const BLOCK_BYTES_MAX: usize = 4 << 20;

/// Most interfaces of a section.
const INTERFACES_MAX: usize = 65_536;

/// The link type alone, without what the fields above it say (pcap-savefile(5)).
const LINK_TYPE: i32 = 0xFFFF;

/// Where packets were taken.
struct Interface {
    link: i32,
    clock: Clock,
}

/// What times are counted in.
#[derive(Clone, Copy)]
struct Clock {
    units_per_second: u128,
    offset_seconds: i64,
}

const MICROSECONDS: Clock = Clock { units_per_second: 1_000_000, offset_seconds: 0 };
const NANOSECONDS: Clock = Clock { units_per_second: 1_000_000_000, offset_seconds: 0 };

impl Clock {
    /// Of an interface (section 4.2): a power of ten, or of two where the highest bit is set.
    fn of(interface: &InterfaceDescriptionBlock<'_>) -> Option<Self> {
        let exponent = u32::from(interface.if_tsresol & 0x7F);
        let base: u128 = if interface.if_tsresol & 0x80 == 0 { 10 } else { 2 };
        // The parser reads it as little-endian whatever the section is.
        let is_big_endian = interface.block_type != IDB_MAGIC;
        let offset = interface.if_tsoffset;
        Some(Self {
            units_per_second: base.checked_pow(exponent)?,
            offset_seconds: if is_big_endian { offset.swap_bytes() } else { offset },
        })
    }

    fn ns(self, units: u64) -> Option<u64> {
        let ns = u128::from(units).checked_mul(1_000_000_000)? / self.units_per_second;
        let offset_ns = i128::from(self.offset_seconds) * 1_000_000_000;
        u64::try_from(i128::try_from(ns).ok()? + offset_ns).ok()
    }
}

/// Reads a capture: the payloads of its datagrams, those to `port` alone if one is given.
///
/// # Errors
/// What is wrong with it, or that there is no room for more, in words.
pub(super) fn read(file: impl Read + Send + 'static, port: Option<u16>, recorder: &mut Recorder) -> Result<(), String> {
    let mut reader = create_reader(BLOCK_BYTES_MAX, file).map_err(|error| told(&error, 0))?;
    let mut capture = Capture { port, interfaces: Vec::new(), dissector: Dissector::default(), recorder };
    loop {
        match reader.next() {
            Ok((bytes, block)) => {
                capture.take(&block)?;
                reader.consume(bytes);
            }
            Err(PcapError::Incomplete(_)) => {
                let at = reader.consumed();
                reader.refill().map_err(|error| told(&error, at))?;
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::UnexpectedEof) => {
                capture.recorder.remark(Remark::Torn, 1);
                break;
            }
            Err(error) => {
                let error = error.to_owned_vec();
                return Err(told(&error, reader.consumed()));
            }
        }
    }
    let waiting = capture.dissector.finish();
    recorder.remark(Remark::Fragment, waiting);
    Ok(())
}

fn told<I>(error: &PcapError<I>, at: usize) -> String {
    match error {
        PcapError::BufferTooSmall => format!("the packet at byte {at} is longer than {BLOCK_BYTES_MAX} B"),
        PcapError::ReadError => format!("it cannot be read at byte {at}"),
        PcapError::Incomplete(_) | PcapError::Eof => "it ends within its header".into(),
        _ => format!("what stands at byte {at} is no packet of pcap or pcapng"),
    }
}

struct Capture<'r> {
    port: Option<u16>,
    /// Of the section; a pcap file has one.
    interfaces: Vec<Interface>,
    dissector: Dissector,
    recorder: &'r mut Recorder,
}

impl Capture<'_> {
    fn take(&mut self, block: &PcapBlockOwned<'_>) -> Result<(), String> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let clock = if header.is_nanosecond_precision() { NANOSECONDS } else { MICROSECONDS };
                self.interfaces = vec![Interface { link: header.network.0 & LINK_TYPE, clock }];
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                if self.interfaces.len() == INTERFACES_MAX {
                    return Err(format!("a section has over {INTERFACES_MAX} interfaces"));
                }
                let clock = Clock::of(interface).ok_or_else(|| {
                    format!("an interface counts time in parts of a second too small: {}", interface.if_tsresol)
                })?;
                self.interfaces.push(Interface { link: interface.linktype.0 & LINK_TYPE, clock });
            }
            PcapBlockOwned::Legacy(packet) => {
                let Some(Interface { link, clock }) = self.interfaces.first() else { return Ok(()) };
                let units = u128::from(packet.ts_sec) * clock.units_per_second + u128::from(packet.ts_usec);
                let at_ns = u64::try_from(units).ok().and_then(|units| clock.ns(units));
                return self.packet(*link, at_ns, packet.data);
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let Some(Interface { link, clock }) = self.interfaces.get(packet.if_id as usize) else {
                    return Err(format!("a packet is of interface {}, which is not described", packet.if_id));
                };
                let at_ns = clock.ns(u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low));
                return self.packet(*link, at_ns, packet.packet_data());
            }
            PcapBlockOwned::NG(Block::SimplePacket(_)) => {
                return Err("its packets have no times (Simple Packet Blocks)".into());
            }
            PcapBlockOwned::NG(_) => {}
        }
        Ok(())
    }

    fn packet(&mut self, link: i32, at_ns: Option<u64>, packet: &[u8]) -> Result<(), String> {
        let Some(at_ns) = at_ns else {
            self.recorder.remark(Remark::Unreadable, 1);
            return Ok(());
        };
        match self.dissector.dissect(link, packet, at_ns) {
            Dissected::Datagram(datagram) if self.port.is_some_and(|port| port != datagram.to_port) => {
                self.recorder.remark(Remark::OtherPort, 1);
            }
            Dissected::Datagram(datagram) => {
                self.recorder.remark(Remark::Cut, u64::from(datagram.is_cut));
                return self.recorder.push(at_ns, Source::Address(datagram.from), &datagram.payload);
            }
            Dissected::Waiting => {}
            Dissected::LeftOut(remark) => self.recorder.remark(remark, 1),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Seek, Write};

    use proptest::prelude::*;

    use super::*;
    use crate::replay::packet::tests::{ethernet, ipv4, udp};
    use crate::replay::{LIMITS, Recording};

    /// Numbers in an order of bytes.
    #[derive(Clone, Copy)]
    struct Order {
        is_big: bool,
    }

    impl Order {
        fn u32(self, value: u32) -> [u8; 4] {
            if self.is_big { value.to_be_bytes() } else { value.to_le_bytes() }
        }

        fn u32s(self, values: &[u32]) -> Vec<u8> {
            values.iter().flat_map(|value| self.u32(*value)).collect()
        }

        fn u16(self, value: u16) -> [u8; 2] {
            if self.is_big { value.to_be_bytes() } else { value.to_le_bytes() }
        }

        fn pcap_header(self, magic: u32) -> Vec<u8> {
            [self.u32(magic).to_vec(), self.u16(2).into(), self.u16(4).into(), self.u32s(&[0, 0, 65_535, 1])].concat()
        }

        fn pcap_packet(self, seconds: u32, fraction: u32, packet: &[u8], length: usize) -> Vec<u8> {
            [self.u32s(&[seconds, fraction, packet.len() as u32, length as u32]), packet.to_vec()].concat()
        }

        /// A block of pcapng, padded.
        fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
            let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
            let length = (12 + body.len() + padding.len()) as u32;
            [self.u32s(&[kind, length]), body.to_vec(), padding, self.u32(length).into()].concat()
        }

        fn section(self) -> Vec<u8> {
            let body = [self.u32(0x1A2B_3C4D).to_vec(), self.u16(1).into(), self.u16(0).into(), vec![0xFF; 8]].concat();
            self.block(0x0A0D_0D0A, &body)
        }

        fn interface(self, link: u16, resolution: u8, offset_seconds: i64) -> Vec<u8> {
            let offset = if self.is_big { offset_seconds.to_be_bytes() } else { offset_seconds.to_le_bytes() };
            let option = |code: u16, value: &[u8]| {
                let length = self.u16(value.len() as u16);
                [&self.u16(code)[..], &length, value, &vec![0; value.len().next_multiple_of(4) - value.len()]].concat()
            };
            let head = [self.u16(link).to_vec(), vec![0; 2], self.u32(0).into()].concat();
            self.block(1, &[head, option(9, &[resolution]), option(14, &offset), vec![0; 4]].concat())
        }

        fn packet(self, interface: u32, units: u64, packet: &[u8]) -> Vec<u8> {
            let length = packet.len() as u32;
            let head = self.u32s(&[interface, (units >> 32) as u32, units as u32, length, length]);
            self.block(6, &[&head, packet].concat())
        }
    }

    const ORDERS: [Order; 2] = [Order { is_big: false }, Order { is_big: true }];

    fn frame(to_port: u16, text: &[u8]) -> Vec<u8> {
        ethernet(&[0x08, 0x00], &ipv4(&udp(5000, to_port, text)))
    }

    fn read_to(bytes: &[u8], port: Option<u16>) -> Result<Recording, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let mut recorder = Recorder {
            recording: Recording::default(),
            sources: Default::default(),
            message_bytes_max: 65_507,
            limits: LIMITS,
        };
        read(file, port, &mut recorder).map(|()| recorder.recording)
    }

    fn messages(recording: &Recording) -> Vec<(u64, &[u8])> {
        recording.times_ns().zip(recording.messages().map(|(message, _)| message)).collect()
    }

    #[test]
    fn pcap_files_of_either_byte_order_and_resolution_are_read_to_the_nanosecond() {
        for order in ORDERS {
            for (magic, nanoseconds) in [(0xA1B2_C3D4, 123_456_000), (0xA1B2_3C4D, 123_456)] {
                let bytes = [
                    order.pcap_header(magic),
                    order.pcap_packet(1_795_341_600, 123_456, &frame(514, b"one"), 45),
                    order.pcap_packet(4_000_000_000, 0, &frame(514, b"two"), 45),
                ]
                .concat();
                let recording = read_to(&bytes, None).unwrap();
                let first_ns = 1_795_341_600_000_000_000 + nanoseconds;
                assert_eq!(messages(&recording), [(first_ns, &b"one"[..]), (4_000_000_000_000_000_000, b"two")]);
            }
        }
    }

    #[test]
    fn pcapng_files_are_read_with_the_clock_of_each_interface_and_section() {
        const AT_NS: u64 = 1_795_341_600_500_000_000;
        for order in ORDERS {
            let seconds = AT_NS / 1_000_000_000;
            let bytes = [
                order.section(),
                order.interface(1, 6, 0),
                order.interface(101, 9, -100),
                // 2^-20 s.
                order.interface(1, 0x80 | 20, 0),
                order.packet(0, AT_NS / 1000, &frame(514, b"us")),
                order.packet(1, AT_NS + 100_000_000_000, &ipv4(&udp(5000, 514, b"ns"))),
                order.packet(2, (seconds << 20) + (1 << 19), &frame(514, b"binary")),
                // Statistics, and a block that nobody knows.
                order.block(5, &[0; 12]),
                order.block(0xBAD, &[0; 8]),
                ORDERS[0].section(),
                ORDERS[0].interface(1, 3, 0),
                ORDERS[0].packet(0, AT_NS / 1_000_000, &frame(514, b"ms")),
            ]
            .concat();
            let recording = read_to(&bytes, None).unwrap();
            let expected = [&b"us"[..], b"ns", b"binary", b"ms"].map(|text| (AT_NS, text));
            assert_eq!(messages(&recording), expected);
        }
    }

    #[test]
    fn what_is_left_out_or_cut_is_counted() {
        let order = ORDERS[0];
        let long = frame(514, b"cut here: and not there");
        let bytes = [
            order.pcap_header(0xA1B2_C3D4),
            order.pcap_packet(1, 0, &frame(514, b"one"), 45),
            order.pcap_packet(2, 0, &frame(515, b"other"), 47),
            order.pcap_packet(3, 0, &long[..long.len() - 14], long.len()),
            order.pcap_packet(4, 0, &ethernet(&[0x08, 0x06], &[0; 28]), 42),
            order.pcap_packet(5, 0, &frame(514, b""), 42),
            order.pcap_packet(6, 0, &frame(514, b"torn"), 46)[..40].to_vec(),
        ]
        .concat();
        let recording = read_to(&bytes, Some(514)).unwrap();
        assert_eq!(messages(&recording), [(1_000_000_000, &b"one"[..]), (3_000_000_000, b"cut here:")]);
        let expected = [Remark::OtherPort, Remark::Cut, Remark::OtherProtocol, Remark::Empty, Remark::Torn]
            .map(|remark| (remark, 1));
        assert_eq!(recording.remarks().collect::<BTreeMap<_, _>>(), expected.into());
        assert_eq!(messages(&read_to(&bytes, None).unwrap()).len(), 3);
    }

    #[test]
    fn a_capture_that_cannot_be_read_is_told_with_the_place() {
        let order = ORDERS[0];
        let head = [order.section(), order.interface(1, 6, 0)].concat();
        let with = |more: &[u8]| [&head, more].concat();
        for (bytes, told) in [
            (order.pcap_header(0xA1B2_C3D4)[..20].to_vec(), "it ends within its header"),
            (head[..20].to_vec(), "what stands at byte 0 is no packet of pcap or pcapng"),
            (with(&order.packet(3, 0, &[0; 20])), "a packet is of interface 3, which is not described"),
            (with(&order.block(3, &[0; 20])), "its packets have no times (Simple Packet Blocks)"),
            (with(&[7, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]), "what stands at byte "),
            (with(&order.interface(1, 60, 0)), "an interface counts time in parts of a second too small: 60"),
            (
                [order.pcap_header(0xA1B2_C3D4), order.u32s(&[0, 0, 1 << 30, 1 << 30]), vec![0; 99]].concat(),
                "the packet at byte 24 is longer than 4194304 B",
            ),
        ] {
            let refused = read_to(&bytes, None).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_capture_is_too_broken(
            is_big: bool, is_new: bool, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let order = Order { is_big };
            let mut bytes = if is_new {
                [order.section(), order.interface(1, 9, 0), order.packet(0, 7, &frame(514, b"text"))].concat()
            } else {
                [order.pcap_header(0xA1B2_C3D4), order.pcap_packet(1, 0, &frame(514, b"text"), 46)].concat()
            };
            changes.iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = *byte);
            if let Ok(recording) = read_to(&bytes, None) {
                prop_assert!(recording.len() <= 1);
            }
        }
    }
}
