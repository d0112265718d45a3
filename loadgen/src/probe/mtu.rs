//! The longest packet that the path takes whole, and the largest datagram that fits into it (RFC 1191, RFC 8201; RFC 8899
//! where routers are silent).

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::{Protocol, Type};

use super::answer::{Answer, By};
use super::echo::{ECHO_HEADER_BYTES, ECHO_TEXT_BYTES, EchoSocket};
use super::wire::{Ends, forbid_fragments, is_error, open};
use crate::icmp::Icmp;

/// Header of UDP, bytes (RFC 768); that of ICMP echo is as long, so that a packet of either has the same text.
const UDP_HEADER_BYTES: u32 = 8;
const _: () = assert!(UDP_HEADER_BYTES as usize == ECHO_HEADER_BYTES);

/// Most packets of one search: it takes 16 halvings to find one length of 65,536, each asked at most [`TRIES`] times, and a few
/// routers that say what they take.
const PACKETS_MAX: u32 = 64;

/// Times that a length is asked for before silence is an answer.
const TRIES: u32 = 3;

/// Packets of a length that arrives, all of which must, before what vanished counts as too long. Evenly spaced behind [`TRIES`]
/// that are silent, they tell who limits how often it answers: one who has no answer left for the first three has at most one for
/// these two.
const PROOFS: u32 = 2;

const NO_WORD: &str = "the target does not say whether long packets arrive";
const MOODY: &str = "the target does not answer each request, so that its silence says nothing of length";

/// Longest search.
pub(super) const MTU_TIME: Duration = Duration::from_secs(15);

/// The lengths of headers and packets of one version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// IP and UDP, bytes.
    pub headers: u32,
    /// What every link takes, bytes (RFC 791 section 3.2, RFC 8200 section 5).
    pub least: u32,
    /// What no packet exceeds, bytes.
    pub most: u32,
}

impl Lengths {
    /// Those of the version that `target` is of.
    #[must_use]
    pub const fn of(target: IpAddr) -> Self {
        match target {
            IpAddr::V4(_) => Self { headers: 20 + UDP_HEADER_BYTES, least: 68, most: 65_535 },
            // The length of an IPv6 packet is counted without its header of 40 bytes.
            IpAddr::V6(_) => Self { headers: 40 + UDP_HEADER_BYTES, least: 1280, most: 40 + 65_535 },
        }
    }
}

/// What became of a packet of some length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The target has it.
    Arrived,
    /// Somebody has said that it is too long, and what the next link takes, bytes (0: not said). What takes it all is about
    /// another packet.
    TooLong(u32, By),
    /// Nobody has said anything.
    Silent,
}

/// The search: from above, by what routers say; by halves where they say nothing and arrival can be seen. What silence has said
/// is asked again at the end, beside what arrives.
#[derive(Clone, Debug)]
pub struct Search {
    least: u32,
    low: u32,
    high: u32,
    /// Whether a packet of `low` is known to have arrived.
    arrived: bool,
    /// Whether silence means that it did not arrive.
    confirms: bool,
    /// The most by what is told, and by whom.
    told: (u32, Option<By>),
    silent: u32,
    packets: u32,
    /// Whether nobody says how long a packet may be, so that it is found by halves.
    halves: bool,
    /// The shortest length that vanished without a word.
    vanished: Option<u32>,
    /// Packets of a length that arrives, sent after that one.
    proofs: u32,
    given_up: Option<&'static str>,
}

impl Search {
    /// Between what every link takes and what no packet exceeds. `confirmed` is the length of a packet that is known to arrive,
    /// whose like are answered: then silence is a packet lost, and else it is nothing.
    #[must_use]
    pub fn new(lengths: Lengths, confirmed: Option<u32>) -> Self {
        Self {
            least: lengths.least,
            low: confirmed.unwrap_or(0).max(lengths.least),
            high: lengths.most,
            arrived: false,
            confirms: confirmed.is_some(),
            told: (lengths.most, None),
            silent: 0,
            packets: 0,
            halves: false,
            vanished: None,
            proofs: 0,
            given_up: None,
        }
    }

    /// The length of the next packet, bytes, IP header included; `None` at the end.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        if self.given_up.is_some() || self.packets >= PACKETS_MAX {
            return None;
        }
        match self.vanished.filter(|_| self.is_found()) {
            Some(length) if self.silent < TRIES => Some(length),
            Some(_) if self.proofs < PROOFS => Some(self.low),
            _ if self.is_found() => None,
            _ if self.halves => Some(self.low + (self.high - self.low).div_ceil(2)),
            _ => Some(self.high),
        }
    }

    /// Whether a packet has arrived than which none longer does, as far as is known.
    const fn is_found(&self) -> bool {
        self.low >= self.high && self.arrived
    }

    /// Whether all that is left is to prove that a length is too long because it vanished.
    #[must_use]
    pub const fn is_proving(&self) -> bool {
        self.is_found() && self.is_unproved()
    }

    /// What became of the packet of that length.
    pub fn note(&mut self, length: u32, fate: Fate) {
        let fate = match fate {
            Fate::TooLong(takes, _) if takes >= length => Fate::Silent,
            fate => fate,
        };
        let is_proving = self.is_proving();
        self.packets += 1;
        match fate {
            Fate::Silent if is_proving && length > self.low => self.silent += 1,
            Fate::Silent if is_proving => self.given_up = Some(MOODY),
            Fate::Arrived if is_proving && length == self.low => self.proofs += 1,
            fate => {
                if is_proving {
                    // Somebody has a word for that length after all.
                    (self.high, self.halves, self.vanished) = (self.told.0, false, None);
                    (self.silent, self.proofs) = (0, 0);
                }
                self.search(length, fate);
            }
        }
    }

    fn search(&mut self, length: u32, fate: Fate) {
        match fate {
            Fate::Arrived => {
                (self.low, self.arrived, self.silent) = (length, true, 0);
            }
            Fate::TooLong(takes, by) => {
                // Old routers do not say what they take (RFC 1191 section 5), and a broken one may say anything.
                let is_believed = (self.least..length).contains(&takes);
                self.halves |= !is_believed;
                let bound = if is_believed { takes } else { length - 1 };
                if bound < self.told.0 {
                    self.told = (bound, Some(by));
                }
                (self.high, self.silent) = (self.high.min(bound), 0);
                if self.high < self.least || self.halves && !self.confirms {
                    self.given_up = Some(NO_WORD);
                }
            }
            Fate::Silent => {
                self.silent += 1;
                if self.silent == TRIES {
                    self.silent = 0;
                    if self.confirms && length > self.low {
                        (self.high, self.halves, self.vanished) = (length - 1, true, Some(length));
                    } else {
                        self.given_up = Some(if self.confirms { MOODY } else { NO_WORD });
                    }
                }
            }
        }
        // A router may take less than what was found before: then the path is another one now.
        self.arrived &= self.low <= self.high;
        self.low = self.low.min(self.high);
    }

    /// What was found: the longest packet that arrives, or, unless one is known to, the longest that nobody refuses.
    #[must_use]
    pub fn result(&self, lengths: Lengths) -> Mtu {
        let confirmed = self.is_found() && self.given_up.is_none() && !self.is_unproved();
        let mtu_bytes = if confirmed { self.high } else { self.told.0 };
        Mtu {
            mtu_bytes,
            payload_max_bytes: mtu_bytes.saturating_sub(lengths.headers),
            confirmed,
            black_hole: confirmed && self.vanished.is_some(),
            limited_by: self.told.1.filter(|_| mtu_bytes == self.told.0),
            packets: self.packets,
            why_not_confirmed: (!confirmed).then(|| {
                self.given_up.map_or_else(|| format!("{PACKETS_MAX} packets have not found it"), str::to_owned)
            }),
        }
    }

    const fn is_unproved(&self) -> bool {
        self.vanished.is_some() && self.proofs < PROOFS
    }
}

/// What the path takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mtu {
    /// The longest packet, bytes, IP header included. Unless `confirmed` it is an upper bound.
    pub mtu_bytes: u32,
    /// The largest datagram that is not cut into fragments, bytes of text.
    pub payload_max_bytes: u32,
    /// Whether a packet of that length has arrived, and one longer has not.
    pub confirmed: bool,
    /// Longer packets vanish without a word: whoever relies on being told (TCP, RFC 2923) hangs.
    pub black_hole: bool,
    /// Whose next link takes no more, if anybody said so.
    pub limited_by: Option<By>,
    /// Packets sent.
    pub packets: u32,
    /// Why it is a bound only.
    pub why_not_confirmed: Option<String>,
}

fn fate(answer: Answer, target: IpAddr) -> Result<Fate, Answer> {
    match answer {
        Answer::Undelivered { why: Icmp::TooBig, by, mtu_bytes } => Ok(Fate::TooLong(mtu_bytes, by)),
        answer if answer.is_from(target) => Ok(Fate::Arrived),
        Answer::Silent => Ok(Fate::Silent),
        other => Err(other),
    }
}

/// Measures the path with echo requests if those are answered, else with datagrams to a port that nobody has.
pub(super) fn measure(ends: Ends, echo: Option<&EchoSocket>, patience: Duration) -> io::Result<Mtu> {
    let lengths = Lengths::of(ends.target.ip());
    let confirmed = echo.map(|_| lengths.headers + ECHO_TEXT_BYTES as u32);
    let mut search = Search::new(lengths, confirmed);
    let socket = open(ends.domain(), Type::DGRAM, Protocol::UDP)?;
    forbid_fragments(&socket)?;
    if let Some(echo) = echo {
        echo.forbid_fragments()?;
    }
    let text = vec![0; (lengths.most - lengths.headers) as usize];
    let (begun, mut sequence, mut stopped) = (Instant::now(), 1000, None);
    while let Some(length) = search.next() {
        let text_bytes = (length - lengths.headers) as usize;
        let until = (Instant::now() + patience).min(begun + MTU_TIME);
        let answer = match echo {
            Some(echo) => echo.ask(sequence, text_bytes, until),
            None => ends.ask(&socket, (&text[..text_bytes], ends.closed_port(0)), is_error, until),
        };
        if search.is_proving() {
            // Evenly spaced, see PROOFS.
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        sequence += 1;
        match fate(answer, ends.target.ip()) {
            Ok(fate) => search.note(length, fate),
            Err(other) => stopped = Some(other.to_string()),
        }
        if begun.elapsed() >= MTU_TIME {
            stopped = Some(format!("the search took longer than {} s", MTU_TIME.as_secs()));
        }
        if stopped.is_some() {
            break;
        }
    }
    let mtu = search.result(lengths);
    let why_not_confirmed = stopped.filter(|_| !mtu.confirmed).or(mtu.why_not_confirmed);
    Ok(Mtu { why_not_confirmed, ..mtu })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V4: Lengths = Lengths::of(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    /// A path of links, each with the longest packet that it takes and whether the router before it says so.
    fn search(links: &[(u32, bool)], confirmed: Option<u32>) -> Mtu {
        let mut search = Search::new(V4, confirmed);
        while let Some(length) = search.next() {
            let fate = match links.iter().zip(0u8..).find(|((takes, _), _)| *takes < length) {
                Some(((takes, true), 0)) => Fate::TooLong(*takes, By::Here),
                Some(((takes, true), hop)) => Fate::TooLong(*takes, By::Address([10, 0, 0, hop].into())),
                Some(((_, false), _)) => Fate::Silent,
                None if confirmed.is_some() => Fate::Arrived,
                None => Fate::Silent,
            };
            search.note(length, fate);
        }
        search.result(V4)
    }

    #[test]
    fn routers_that_say_what_they_take_are_believed() {
        let mtu = search(&[(1500, true), (1400, true)], Some(84));
        assert_eq!((mtu.mtu_bytes, mtu.payload_max_bytes, mtu.confirmed, mtu.packets), (1400, 1372, true, 3));
        assert_eq!((mtu.black_hole, mtu.limited_by), (false, Some(By::Address([10, 0, 0, 1].into()))));
        let alone = search(&[(1500, true)], Some(84));
        assert_eq!((alone.mtu_bytes, alone.limited_by), (1500, Some(By::Here)));
        assert_eq!(search(&[], Some(84)).mtu_bytes, 65_535, "no packet is longer");
    }

    #[test]
    fn without_an_answer_of_the_target_it_is_a_bound() {
        let mtu = search(&[(1500, true), (1400, true)], None);
        assert_eq!((mtu.mtu_bytes, mtu.confirmed, mtu.packets), (1400, false, 2 + TRIES));
        let hidden = search(&[(1500, true), (1400, false)], None);
        assert_eq!((hidden.mtu_bytes, hidden.confirmed, hidden.black_hole), (1500, false, false));
    }

    #[test]
    fn routers_that_do_not_say_what_they_take_are_asked_by_halves() {
        for nonsense in [0, 40] {
            let mut search = Search::new(V4, Some(84));
            while let Some(length) = search.next() {
                let fate = if length > 1400 { Fate::TooLong(nonsense, By::Here) } else { Fate::Arrived };
                search.note(length, fate);
            }
            let mtu = search.result(V4);
            assert_eq!((mtu.mtu_bytes, mtu.confirmed, mtu.black_hole), (1400, true, false));
        }
        // Without an answer of the target there is nothing to halve by.
        let mut search = Search::new(V4, None);
        search.note(65_535, Fate::TooLong(0, By::Here));
        assert_eq!((search.next(), search.result(V4).confirmed), (None, false));
    }

    /// A path that takes 1300 B whose target answers so often: `answers` says of each packet, by its number, whether it would.
    fn moody(told: u32, answers: impl Fn(u32) -> bool) -> Mtu {
        let (mut search, mut number) = (Search::new(V4, Some(84)), 0);
        while let Some(length) = search.next() {
            let fate = match length {
                _ if length > told => Fate::TooLong(told, By::Here),
                _ if length <= 1300 && answers(number) => Fate::Arrived,
                _ => Fate::Silent,
            };
            number += 1;
            search.note(length, fate);
        }
        search.result(V4)
    }

    #[test]
    fn a_target_that_answers_now_and_then_confirms_nothing_wrong() {
        // From some packet on it answers every n-th, as a limit does: nothing is known but what was told.
        for (whole, every) in (0..40).flat_map(|whole| (2..12).map(move |every| (whole, every))) {
            let mtu = moody(1500, |number| number < whole || number % every == 0);
            let is_right = if mtu.confirmed { mtu.mtu_bytes == 1300 } else { mtu.mtu_bytes == 1500 && !mtu.black_hole };
            assert!(is_right && mtu.packets <= PACKETS_MAX, "{whole} {every}: {mtu:?}");
        }
        let limited = moody(1500, |number| number < 3);
        assert_eq!((limited.confirmed, limited.why_not_confirmed.as_deref()), (false, Some(MOODY)));
        assert_eq!(limited.limited_by, Some(By::Here));
        // Three that are lost by chance are asked again.
        for (told, lost, mtu_bytes) in [(1200, 1..4, 1200), (1500, 4..7, 1300)] {
            let mtu = moody(told, |number| !lost.contains(&number));
            assert_eq!((mtu.mtu_bytes, mtu.confirmed, mtu.black_hole), (mtu_bytes, true, told != mtu_bytes));
        }
    }

    #[test]
    fn an_error_about_another_packet_does_not_shorten_this_one() {
        let mut search = Search::new(V4, Some(84));
        search.note(65_535, Fate::TooLong(1400, By::Here));
        search.note(1400, Fate::TooLong(1400, By::Address([10, 9, 9, 9].into())));
        assert_eq!(search.next(), Some(1400));
        search.note(1400, Fate::Arrived);
        let mtu = search.result(V4);
        assert_eq!((mtu.mtu_bytes, mtu.confirmed, mtu.limited_by), (1400, true, Some(By::Here)));
    }

    #[test]
    fn only_some_answers_tell_of_length() {
        let target: IpAddr = [10, 0, 0, 5].into();
        let by = |address: [u8; 4]| By::Address(address.into());
        let undelivered = |why, by| Answer::Undelivered { why, by, mtu_bytes: 1400 };
        let too_big = undelivered(Icmp::TooBig, by([10, 9, 9, 9]));
        assert_eq!(fate(too_big, target), Ok(Fate::TooLong(1400, by([10, 9, 9, 9]))));
        assert_eq!(fate(undelivered(Icmp::PortUnreachable, by([10, 0, 0, 5])), target), Ok(Fate::Arrived));
        assert!(fate(undelivered(Icmp::HostUnreachable, by([10, 9, 9, 9])), target).is_err());
    }

    proptest! {
        #[test]
        fn whatever_the_path_the_shortest_link_is_found(links in prop::collection::vec((90u32..65_536, any::<bool>()), 0..5)) {
            let mtu = search(&links, Some(84));
            let shortest = links.iter().map(|(takes, _)| *takes).min().unwrap_or(V4.most);
            prop_assert_eq!((mtu.mtu_bytes, mtu.confirmed), (shortest, true));
            prop_assert!(mtu.packets <= PACKETS_MAX);
            // Who says nothing only matters where nobody before it took less.
            let silent = links.iter().scan(V4.most, |least, (takes, says)| {
                let is_hole = *takes < *least && !says;
                *least = (*least).min(*takes);
                Some(is_hole)
            }).any(|is_hole| is_hole);
            prop_assert!(silent || !mtu.black_hole);
        }
    }
}
