//! Are you there? ICMP echo, as ping(8) does, and a TCP connection where that is not permitted or not answered.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use logboom_udp::hear_echo_replies_alone;
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use super::answer::{Answer, words};
use super::wire::{Came, Ends, forbid_fragments, open, set_hops};

/// Header of ICMP echo, bytes (RFC 792 page 14, RFC 4443 section 4.1).
pub(super) const ECHO_HEADER_BYTES: usize = 8;

/// Text of an ordinary echo request, bytes: that of ping(8).
pub(super) const ECHO_TEXT_BYTES: usize = 56;

/// How it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// An ICMP socket for which the group of the user must be listed (icmp(7): `ping_group_range`).
    IcmpDatagram,
    /// A raw socket, which takes CAP_NET_RAW (raw(7)).
    IcmpRaw,
    /// A connection to the port: SYN/ACK and RST both come from a machine that is up.
    TcpConnect,
}

/// A way that is not open, and what would open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotPermitted {
    /// Which.
    pub way: Way,
    /// What the kernel said.
    pub why: String,
    /// What an administrator would do.
    pub remedy: &'static str,
}

impl NotPermitted {
    fn new(way: Way, why: &io::Error) -> Self {
        let remedy = match way {
            Way::IcmpDatagram => "sysctl -w net.ipv4.ping_group_range='0 2147483647'",
            Way::IcmpRaw => "setcap cap_net_raw+ep $(command -v loadgen), or run as root",
            Way::TcpConnect => "",
        };
        Self { way, why: words(why), remedy }
    }
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Echo {
    /// How it was asked in the end; absent if no way was open.
    pub way: Option<Way>,
    /// Ways that are closed to this user.
    pub not_permitted: Vec<NotPermitted>,
    /// ICMP was asked first, and did not answer.
    pub icmp_unanswered: bool,
    /// Times asked; what this machine could not send is not among them.
    pub sent: u32,
    /// Times answered in time.
    pub received: u32,
    /// Share that was not, 0 to 1.
    pub loss_ratio: f64,
    /// Round trips; absent without any.
    pub rtt_ms: Option<RoundTrips>,
    /// The last answer that was no reply.
    #[serde(skip)]
    pub(super) failure: Option<Answer>,
}

/// Times from sending to the answer, ms, of this program's clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RoundTrips {
    /// Shortest.
    pub min: f64,
    /// Of an even number the lower of the two in the middle.
    pub median: f64,
    /// Longest.
    pub max: f64,
}

impl RoundTrips {
    fn of(mut ms: Vec<f64>) -> Option<Self> {
        ms.sort_by(f64::total_cmp);
        Some(Self { min: *ms.first()?, median: ms[(ms.len() - 1) / 2], max: *ms.last()? })
    }
}

impl Echo {
    /// The figures of so many answers, each with how long it took.
    pub(super) fn of(way: Option<Way>, target: IpAddr, answers: &[(Answer, Duration)]) -> Self {
        let round_trips = answers.iter().filter(|(answer, _)| answer.is_from(target));
        let round_trips: Vec<_> = round_trips.map(|(_, took)| took.as_secs_f64() * 1e3).collect();
        let sent = answers.iter().filter(|(answer, _)| !matches!(answer, Answer::Failed(_))).count() as u32;
        let received = round_trips.len() as u32;
        let failure =
            answers.iter().map(|(answer, _)| *answer).rfind(|answer| !matches!(answer, Answer::Reply | Answer::Reset));
        Self {
            way,
            not_permitted: Vec::new(),
            icmp_unanswered: false,
            sent,
            received,
            loss_ratio: f64::from(sent - received) / f64::from(sent.max(1)),
            rtt_ms: RoundTrips::of(round_trips),
            failure,
        }
    }

    /// Whether ICMP echo was answered, so that more can be asked with it.
    #[must_use]
    pub fn is_icmp_answered(&self) -> bool {
        self.received > 0 && matches!(self.way, Some(Way::IcmpDatagram | Way::IcmpRaw))
    }
}

/// How often, how fast, how long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) count: u32,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

impl Pace {
    /// Asks `count` times, one behind the other, and not more often than every `interval`.
    pub(super) fn ask(&self, mut ask: impl FnMut(u16, Instant) -> Answer) -> Vec<(Answer, Duration)> {
        let mut answers = Vec::new();
        for sequence in 0..self.count {
            let begun = Instant::now();
            answers.push((ask(sequence as u16, begun + self.timeout), begun.elapsed()));
            if sequence + 1 < self.count {
                std::thread::sleep(self.interval.saturating_sub(begun.elapsed()));
            }
        }
        answers
    }
}

/// A socket that echo requests leave by.
pub(super) struct EchoSocket {
    socket: Socket,
    pub(super) way: Way,
    ends: Ends,
    /// Tells our requests from others'; the kernel puts its own on a datagram socket (ping_v4_sendmsg in net/ipv4/ping.c).
    id: u16,
}

impl EchoSocket {
    /// The first way that is open, and those before it that are not permitted; the error of another kind that left none.
    pub(super) fn open(ends: Ends) -> (Option<Self>, Vec<NotPermitted>, Option<io::Error>) {
        let protocol = if ends.domain() == Domain::IPV4 { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        let (mut closed, mut failed) = (Vec::new(), None);
        for (way, kind) in [(Way::IcmpDatagram, Type::DGRAM), (Way::IcmpRaw, Type::RAW)] {
            match open(ends.domain(), kind, protocol) {
                Ok(socket) => {
                    if way == Way::IcmpRaw {
                        let _ = hear_echo_replies_alone(&socket);
                    }
                    // So that a raw socket hears of nobody else; without a route sending says why.
                    let _ = socket.connect(&ends.at_port(0).into());
                    return (Some(Self { socket, way, ends, id: fastrand::u16(..) }), closed, None);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    closed.push(NotPermitted::new(way, &error));
                }
                Err(error) => failed = Some(error),
            }
        }
        (None, closed, failed)
    }

    /// Sends a request with so many bytes of text, and waits for its answer.
    pub(super) fn ask(&self, sequence: u16, text_bytes: usize, until: Instant) -> Answer {
        let is_v4 = self.ends.domain() == Domain::IPV4;
        let request = request(is_v4, self.id, sequence, text_bytes);
        let is_raw = self.way == Way::IcmpRaw;
        let is_answer = |came: &Came<'_>| {
            let (kind, message) = match *came {
                // A raw IPv4 socket gets the IP header, too (raw(7)).
                Came::Packet(packet) if is_v4 && is_raw => (ECHO_REPLY, behind_ip(packet)),
                Came::Packet(packet) => (ECHO_REPLY, Some(packet)),
                Came::ErrorAbout(request) => (ECHO_REQUEST, Some(request)),
            };
            message
                .and_then(|message| read(kind, is_v4, message))
                .is_some_and(|(id, number)| number == sequence && (!is_raw || id == self.id))
        };
        self.ends.ask(&self.socket, (&request, self.ends.at_port(0)), is_answer, until)
    }

    pub(super) fn forbid_fragments(&self) -> io::Result<()> {
        forbid_fragments(&self.socket)
    }

    pub(super) fn set_hops(&self, hops: u8) -> io::Result<()> {
        set_hops(&self.socket, hops)
    }
}

const ECHO_REQUEST: (u8, u8) = (8, 128);
const ECHO_REPLY: (u8, u8) = (0, 129);

fn request(is_v4: bool, id: u16, sequence: u16, text_bytes: usize) -> Vec<u8> {
    let mut message = vec![0; ECHO_HEADER_BYTES + text_bytes];
    message[0] = if is_v4 { ECHO_REQUEST.0 } else { ECHO_REQUEST.1 };
    message[4..6].copy_from_slice(&id.to_be_bytes());
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    // The sum of ICMPv6 is over addresses, too: the kernel does it (RFC 3542 section 3.1).
    if is_v4 {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded + (folded >> 16)) as u16)
}

/// What stands behind an IPv4 header (RFC 791 section 3.1: its length is counted in words).
fn behind_ip(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 15) * 4..)
}

/// Id and sequence number, if the message is of this kind.
fn read((kind, kind6): (u8, u8), is_v4: bool, message: &[u8]) -> Option<(u16, u16)> {
    let [found, 0, _, _, id @ .., a, b] = message.get(..ECHO_HEADER_BYTES)? else { return None };
    let is_it = *found == if is_v4 { kind } else { kind6 };
    is_it.then_some((u16::from_be_bytes(id.try_into().ok()?), u16::from_be_bytes([*a, *b])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sums_to_zero_and_its_reply_is_known() {
        let mut message = request(true, 0xbeef, 7, 5);
        assert_eq!((checksum(&message), message.len()), (0, 13));
        assert_eq!(read(ECHO_REPLY, true, &message), None, "a request is no reply");
        assert_eq!(read(ECHO_REQUEST, true, &message), Some((0xbeef, 7)));
        message[0] = 0;
        assert_eq!(read(ECHO_REPLY, true, &message), Some((0xbeef, 7)));
        assert_eq!(read(ECHO_REPLY, false, &message), None, "nor one of the other protocol");
        message[0] = 129;
        assert_eq!(read(ECHO_REPLY, false, &message), Some((0xbeef, 7)));
        let packet = [&[0x46; 24][..], &message].concat();
        assert_eq!(behind_ip(&packet), Some(&*message), "six words of header");
        for bytes in 0..ECHO_HEADER_BYTES {
            assert_eq!(read(ECHO_REPLY, false, &message[..bytes]), None);
        }
    }

    #[test]
    fn the_sum_is_that_of_rfc_1071() {
        // Section 3: its example adds up to 0xddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0xff; 65_535]), 0x00ff, "no sum overflows");
    }

    #[test]
    fn what_is_not_answered_is_lost_and_has_no_time() {
        let ms = |ms| Duration::from_millis(ms);
        let answers =
            [(Answer::Reply, ms(20)), (Answer::Silent, ms(1000)), (Answer::Reset, ms(22)), (Answer::Reply, ms(21))];
        let echo = Echo::of(Some(Way::TcpConnect), [10, 0, 0, 5].into(), &answers);
        assert_eq!((echo.sent, echo.received, echo.loss_ratio, echo.failure), (4, 3, 0.25, Some(Answer::Silent)));
        assert_eq!(echo.rtt_ms, Some(RoundTrips { min: 20.0, median: 21.0, max: 22.0 }));
        let nothing = Echo::of(None, [10, 0, 0, 5].into(), &[]);
        assert_eq!((nothing.loss_ratio, nothing.rtt_ms), (0.0, None));
        let unsent = Echo::of(Some(Way::IcmpRaw), [10, 0, 0, 5].into(), &[(Answer::Failed(105), ms(0))]);
        assert_eq!((unsent.sent, unsent.loss_ratio, unsent.failure), (0, 0.0, Some(Answer::Failed(105))));
    }

    #[test]
    fn it_is_asked_as_often_as_it_should_be() {
        let pace = Pace { count: 3, interval: Duration::ZERO, timeout: Duration::from_secs(1) };
        let mut asked = Vec::new();
        let answers = pace.ask(|sequence, _| {
            asked.push(sequence);
            Answer::Reply
        });
        assert_eq!((asked, answers.len()), (vec![0, 1, 2], 3));
    }
}
