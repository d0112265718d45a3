//! The routers on the way: packets that may be passed on once, twice, ... and who says that it passed them on no further
//! (RFC 792 page 6). Unprivileged, as tracepath(8) does it.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::{Protocol, Type};

use super::answer::{Answer, By};
use super::echo::{ECHO_TEXT_BYTES, EchoSocket};
use super::wire::{Ends, is_error, open, set_hops};
use crate::icmp::Icmp;

/// Hops in a row that say nothing, after which the path is given up unless the target is known to be there.
const SILENT_HOPS_MAX: usize = 5;

/// Longest time for all hops.
pub(super) const PATH_TIME: Duration = Duration::from_secs(30);

/// With what a hop was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Packet {
    /// A datagram to a closed port.
    Udp,
    /// An ICMP echo request.
    Echo,
    /// A connection request to the port itself.
    Tcp,
}

impl Packet {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Echo => "ICMP echo",
            Self::Tcp => "TCP",
        }
    }
}

/// One router, or the target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hop {
    /// How many the packet may pass: 1 is the first router.
    pub hop: u8,
    /// Who answered; none if nobody did.
    pub address: Option<By>,
    /// From sending to the answer, ms.
    pub ms: Option<f64>,
    /// With what it was found, or last asked.
    pub packet: Packet,
    /// What it said, but for the ordinary.
    pub icmp: Option<Icmp>,
    /// Whether it is the target.
    pub reached: bool,
}

impl Hop {
    /// The answers to the packets of one hop, the last of which counts.
    #[must_use]
    pub fn of(hop: u8, target: IpAddr, packet: Packet, answer: Answer, took: Duration) -> Self {
        let reached = answer.is_from(target);
        let (address, icmp) = match answer {
            Answer::Reply | Answer::Reset => (Some(By::Address(target)), None),
            Answer::Undelivered { why: Icmp::TimeExceeded, by, .. } => (Some(by), None),
            Answer::Undelivered { why: Icmp::PortUnreachable, by, .. } if reached => (Some(by), None),
            Answer::Undelivered { why, by, .. } => (Some(by), Some(why)),
            Answer::Failed(_) | Answer::Silent => (None, None),
        };
        let ms = address.map(|_| took.as_secs_f64() * 1e3);
        Self { hop, address, ms, packet, icmp, reached }
    }
}

/// Why it went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The target has answered.
    Reached,
    /// Somebody on the way says that it goes no further.
    Refused,
    /// Nobody answers any more.
    Silent,
    /// As many hops as were asked for.
    HopsMax,
    /// It took too long.
    TimeMax,
}

/// The way there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Path {
    /// One after the other.
    pub hops: Vec<Hop>,
    /// Why it ends.
    pub end: End,
}

/// What is known of the target before its path is followed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// It is there, so that silence may end.
    pub is_up: bool,
    /// Who says that there is no way to it: behind that router is nothing to ask.
    pub refused_by: Option<By>,
}

/// Whether a path ends with these hops.
#[must_use]
pub fn end(hops: &[Hop], hops_max: u8, known: Known, elapsed: Duration) -> Option<End> {
    let last = hops.last()?;
    let silent = hops.iter().rev().take_while(|hop| hop.address.is_none()).count();
    if last.reached {
        Some(End::Reached)
    } else if last.icmp.is_some() || last.address.is_some() && last.address == known.refused_by {
        Some(End::Refused)
    } else if silent >= SILENT_HOPS_MAX && !known.is_up {
        Some(End::Silent)
    } else if hops.len() >= usize::from(hops_max) {
        Some(if silent >= SILENT_HOPS_MAX { End::Silent } else { End::HopsMax })
    } else if elapsed >= PATH_TIME {
        Some(End::TimeMax)
    } else {
        None
    }
}

/// Whether a hop is asked in the second way, too: a datagram was not answered, or somebody before the target rejects datagrams to
/// such ports, though other packets are known to arrive.
fn is_asked_again(answer: Answer, target: IpAddr, known: Known) -> bool {
    match answer {
        Answer::Silent => true,
        Answer::Undelivered { why, .. } => known.is_up && why != Icmp::TimeExceeded && !answer.is_from(target),
        Answer::Reply | Answer::Reset | Answer::Failed(_) => false,
    }
}

/// What the hops are asked with then: what the target is known to answer.
pub(super) struct Second<'a> {
    pub(super) echo: Option<&'a EchoSocket>,
    pub(super) tcp: bool,
}

/// Follows the path, at most two packets a hop.
pub(super) fn follow(
    ends: Ends,
    hops_max: u8,
    second: &Second<'_>,
    known: Known,
    patience: Duration,
) -> io::Result<Option<Path>> {
    let (mut hops, begun) = (Vec::new(), Instant::now());
    for number in 1..=hops_max {
        let left = PATH_TIME.saturating_sub(begun.elapsed());
        hops.push(ask(ends, number, second, known, patience.min(left / 2))?);
        if let Some(end) = end(&hops, hops_max, known, begun.elapsed()) {
            return Ok(Some(Path { hops, end }));
        }
    }
    Ok(None)
}

fn ask(ends: Ends, number: u8, second: &Second<'_>, known: Known, patience: Duration) -> io::Result<Hop> {
    // A socket, and so a source port, for each hop: what comes late is not taken for the answer to another.
    let socket = open(ends.domain(), Type::DGRAM, Protocol::UDP)?;
    set_hops(&socket, number)?;
    let to = ends.closed_port(number);
    let target = ends.target.ip();
    let begun = Instant::now();
    let answer = ends.ask(&socket, (b"loadgen probe", to), is_error, begun + patience);
    let first = Hop::of(number, target, Packet::Udp, answer, begun.elapsed());
    if !is_asked_again(answer, target, known) {
        return Ok(first);
    }
    let begun = Instant::now();
    let (packet, answer) = match second.echo {
        Some(echo) => {
            echo.set_hops(number)?;
            (Packet::Echo, echo.ask(2000 + u16::from(number), ECHO_TEXT_BYTES, begun + patience))
        }
        None if second.tcp => (Packet::Tcp, ends.connect(ends.target.port(), Some(number), begun + patience)?),
        None => return Ok(first),
    };
    let again = Hop::of(number, target, packet, answer, begun.elapsed());
    // Who rejects has said more than who is silent.
    Ok(if again.address.is_none() && first.address.is_some() { first } else { again })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));
    const AT_ONCE: Duration = Duration::ZERO;

    fn hop(number: u8, answer: Answer) -> Hop {
        Hop::of(number, TARGET, Packet::Udp, answer, Duration::from_millis(20))
    }

    fn icmp(why: Icmp, by: [u8; 4]) -> Answer {
        Answer::Undelivered { why, by: By::Address(by.into()), mtu_bytes: 0 }
    }

    #[test]
    fn a_hop_is_who_answered_and_when() {
        let router = hop(1, icmp(Icmp::TimeExceeded, [10, 9, 9, 9]));
        assert_eq!(
            (router.address.unwrap().to_string(), router.ms, router.icmp),
            ("10.9.9.9".into(), Some(20.0), None)
        );
        assert_eq!((hop(2, Answer::Silent).address, hop(2, Answer::Silent).ms), (None, None));
        let refusing = hop(2, icmp(Icmp::HostUnreachable, [10, 9, 9, 9]));
        assert_eq!((refusing.icmp, refusing.reached), (Some(Icmp::HostUnreachable), false));
        for answer in [Answer::Reply, Answer::Reset, icmp(Icmp::PortUnreachable, [10, 0, 0, 5])] {
            let target = hop(3, answer);
            assert!(target.reached && target.icmp.is_none() && target.address == Some(By::Address(TARGET)));
        }
        // The target may be the router of a loop, too.
        assert!(!hop(1, icmp(Icmp::TimeExceeded, [10, 0, 0, 5])).reached);
    }

    #[test]
    fn who_rejects_datagrams_to_such_ports_is_passed_by_other_packets_if_those_arrive() {
        let again = |answer, is_up| is_asked_again(answer, TARGET, Known { is_up, refused_by: None });
        for why in [Icmp::Prohibited, Icmp::PortUnreachable, Icmp::HostUnreachable] {
            let rejected = icmp(why, [10, 9, 9, 9]);
            assert!(again(rejected, true) && !again(rejected, false));
        }
        assert!(!again(icmp(Icmp::TimeExceeded, [10, 9, 9, 9]), true));
        assert!(!again(icmp(Icmp::PortUnreachable, [10, 0, 0, 5]), true), "the target itself");
        assert!(again(Answer::Silent, true) && again(Answer::Silent, false));
    }

    #[test]
    fn a_path_ends_where_nothing_more_is_to_be_learned() {
        let router = hop(1, icmp(Icmp::TimeExceeded, [10, 9, 9, 9]));
        let silent = hop(2, Answer::Silent);
        let ends = |hops: &[&Hop], is_up| {
            let hops: Vec<_> = hops.iter().copied().cloned().collect();
            end(&hops, 9, Known { is_up, refused_by: None }, AT_ONCE)
        };
        assert_eq!(ends(&[], true), None);
        assert_eq!(ends(&[&router], true), None);
        assert_eq!(ends(&[&router, &hop(2, Answer::Reply)], false), Some(End::Reached));
        assert_eq!(ends(&[&router, &hop(2, icmp(Icmp::Prohibited, [10, 9, 9, 9]))], true), Some(End::Refused));
        assert_eq!(ends(&[&router, &silent, &silent, &silent, &silent], false), None);
        assert_eq!(ends(&[&router, &silent, &silent, &silent, &silent, &silent], false), Some(End::Silent));
        assert_eq!(ends(&[&router, &silent, &silent, &silent, &silent, &silent], true), None, "the target is there");
        assert_eq!(ends(&[&router; 9], true), Some(End::HopsMax));
        assert_eq!(ends(&[&silent; 9], true), Some(End::Silent));
        assert_eq!(end(std::slice::from_ref(&router), 9, Known::default(), PATH_TIME), Some(End::TimeMax));
        let refused_by = router.address;
        assert_eq!(end(&[router], 9, Known { is_up: false, refused_by }, AT_ONCE), Some(End::Refused));
        assert_eq!(end(&[silent], 9, Known { is_up: false, refused_by: None }, AT_ONCE), None);
    }
}
