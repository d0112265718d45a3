//! Is the port open, closed or silent?

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::{Protocol, Type};

use super::answer::{Answer, By, words};
use super::wire::{Ends, open};
use crate::icmp::Icmp;
use crate::observe::collector::{Answer as Told, Books, Collector};
use crate::observe::{Snapshot, Watch};
use crate::target::Transport;

/// Datagrams that ask a UDP port. Machines limit how many errors they send, Linux to six at once and then one a second for each
/// peer (`icmp_ratelimit`, icmp(7)), and the path is still to be followed.
pub(super) const DATAGRAMS: u32 = 2;

/// What they hold: valid syslog (RFC 5424 section 6) of severity debug, which says what it is.
const MESSAGE: &[u8] = b"<15>1 - - loadgen - probe - loadgen probe asks whether this port is open; ignore this message";

/// Time for a collector to count what it was sent.
const COUNT_TIME: Duration = Duration::from_secs(2);
/// Pause before it is asked again.
const COUNT_PAUSE: Duration = Duration::from_millis(50);

const UNTOLD: &str = "the collector does not tell what it counted";

/// What a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Somebody listens.
    Open,
    /// The machine is there, nobody listens.
    Closed,
    /// A firewall, a rule of a router, or the collector's own list of who may send says no.
    Filtered,
    /// The machine cannot be reached.
    Unreachable,
    /// No answer: of UDP that is what an open port does, and a filter that drops; of TCP only the latter, or no machine.
    Silent,
    /// Nothing was sent.
    NotAsked,
}

/// One port over one transport.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Port {
    /// `udp` or `tcp`.
    #[serde(serialize_with = "name")]
    pub transport: Transport,
    /// What it is.
    pub state: State,
    /// Whether there is no doubt about that.
    pub certain: bool,
    /// Who said so, if anybody did.
    pub by: Option<By>,
    /// With which ICMP message, or what this machine knew without one.
    pub icmp: Option<Icmp>,
    /// What was seen.
    pub evidence: String,
    /// Packets that asked; of TCP connections.
    pub sent: u32,
    /// The collector that was named counted none of them.
    #[serde(skip)]
    pub is_uncounted: bool,
    /// The process that holds it, where the target is this machine and shows it.
    pub holder: Option<Holder>,
}

/// Who holds a port of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its process; absent when it is another user's.
    pub pid: Option<u32>,
    /// Its command, at most 15 B (proc_pid_comm(5)).
    pub command: Option<String>,
}

fn name<S: serde::Serializer>(transport: &Transport, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(transport.name())
}

impl Port {
    /// Puts answers into one: whoever says something counts more than silence, and the target more than others.
    #[must_use]
    pub fn of(transport: Transport, target: IpAddr, answers: &[Answer]) -> Self {
        let said = answers.iter().find(|answer| answer.is_from(target));
        let said = said.or_else(|| answers.iter().find(|answer| !matches!(answer, Answer::Silent)));
        let (state, certain, evidence) = match (said.copied().unwrap_or(Answer::Silent), transport) {
            _ if answers.is_empty() => (State::NotAsked, false, "nothing was sent".to_owned()),
            (Answer::Reply, Transport::Udp) => (State::Open, true, "it answered with a datagram".into()),
            (Answer::Reply, _) => (State::Open, true, "it accepted a connection (SYN/ACK)".into()),
            (Answer::Reset, _) => (State::Closed, true, "the target refused the connection (RST)".into()),
            (Answer::Undelivered { why, by, .. }, _) => undelivered(why, by, target),
            (Answer::Failed(errno), _) => {
                let why = words(&io::Error::from_raw_os_error(errno));
                (State::NotAsked, false, format!("this machine could not send: {why}"))
            }
            (Answer::Silent, Transport::Udp) => {
                (State::Silent, false, format!("no answer to {} datagrams", answers.len()))
            }
            (Answer::Silent, _) => (State::Silent, false, "no answer to the connection request (SYN)".into()),
        };
        let (icmp, by) = match said {
            Some(Answer::Undelivered { why, by, .. }) => (Some(*why), Some(*by)),
            Some(Answer::Reply | Answer::Reset) => (None, Some(By::Address(target))),
            _ => (None, None),
        };
        let sent = answers.iter().filter(|answer| !matches!(answer, Answer::Failed(_))).count() as u32;
        Self { transport, state, certain, by, icmp, evidence, sent, is_uncounted: false, holder: None }
    }

    /// What the collector counted between two looks, while `sent` datagrams were sent to it and nothing else by us.
    fn count(&mut self, target: IpAddr, before: &Collector, after: &Told) {
        let after = match after {
            Told::Told(after) if after.run_id == before.run_id => after.books,
            Told::Told(_) => return self.evidence += "; the collector was started anew meanwhile",
            Told::Silent(why) => return self.evidence += &format!("; {UNTOLD}: {why}"),
            Told::Unasked => return,
        };
        let (sent, before) = (u64::from(self.sent), &before.books);
        let more = came(&after).saturating_sub(came(before));
        // Refused datagrams are received, too (docs/ledger.md).
        let refused = after.refused.saturating_sub(before.refused);
        if more == 0 {
            self.is_uncounted = true;
            self.evidence += "; the collector counted nothing: they do not come to it";
        } else if more == sent && refused == 0 {
            (self.state, self.certain, self.by) = (State::Open, true, Some(By::Address(target)));
            self.evidence = format!("the collector counted the {more} datagrams that were sent");
        } else if more == sent && refused == sent {
            (self.state, self.certain, self.by) = (State::Filtered, true, Some(By::Address(target)));
            self.evidence =
                format!("the collector refused the {more} datagrams: its `allow` does not let this machine send");
        } else if more < sent {
            self.evidence +=
                &format!("; the collector counted {more} of {sent}: the rest is lost, or others send, too");
        } else {
            self.evidence += &format!(
                "; the collector counted {more}, and refused {refused} of them, while {sent} were sent: others send, too"
            );
        }
    }

    /// What this machine's own tables say, if the target is this machine: who is bound there gets what comes.
    fn look(&mut self, target: SocketAddr) {
        let watch = Watch {
            root: PathBuf::from("/"),
            transport: self.transport,
            address: Some(target),
            admin: None,
            pid: None,
        };
        let seen = Snapshot::take(&watch, None);
        if seen.sockets.is_none_or(|sockets| sockets.is_empty()) {
            return;
        }
        let (pid, command) = seen.process.map(|process| (process.pid, process.command)).unzip();
        self.holder = Some(Holder { pid, command });
        let is_unknown = matches!(self.state, State::Silent | State::NotAsked) && !self.is_uncounted;
        if self.transport == Transport::Udp && is_unknown {
            (self.state, self.certain) = (State::Open, true);
            self.evidence += "; a socket of this machine is bound to it (/proc/net/udp)";
        }
    }

    /// Whether messages may arrive there.
    #[must_use]
    pub fn may_be_open(&self) -> bool {
        match self.state {
            State::Open => true,
            State::Silent | State::NotAsked => self.transport == Transport::Udp && !self.is_uncounted,
            State::Closed | State::Filtered | State::Unreachable => false,
        }
    }
}

fn undelivered(why: Icmp, by: By, target: IpAddr) -> (State, bool, String) {
    let words = why.words();
    match (why, by) {
        (Icmp::PortUnreachable, By::Address(address)) if address == target => {
            (State::Closed, true, "the target says by ICMP: port unreachable".into())
        }
        (Icmp::PortUnreachable, _) => (
            State::Filtered,
            true,
            format!("ICMP {words}, but from {by} and not from the target: a firewall rejects it"),
        ),
        (Icmp::Prohibited, By::Here) => (
            State::Filtered,
            true,
            "this machine does not let it out: a firewall, a prohibit route, or a broadcast address".into(),
        ),
        (Icmp::Prohibited, _) => (State::Filtered, true, format!("it says by ICMP: {words}")),
        (Icmp::HostUnreachable, By::Here) => {
            (State::Unreachable, true, "this machine finds no such neighbour, or has an unreachable route".into())
        }
        (Icmp::NetworkUnreachable, By::Here) => {
            (State::Unreachable, true, "this machine has no route there, or one that drops".into())
        }
        _ => (State::Unreachable, true, format!("{by} says by ICMP: {words}")),
    }
}

/// Asks a UDP port, at most [`DATAGRAMS`] times within `patience`; with `admin`, the collector there is asked what it counted.
/// The last answer comes with it.
pub(super) fn udp(ends: Ends, patience: Duration, sends: bool, admin: Option<&str>) -> io::Result<(Port, Answer)> {
    let mut answers = Vec::new();
    let before = admin.map(Told::of);
    if sends {
        let socket = open(ends.domain(), Type::DGRAM, Protocol::UDP)?;
        for _ in 0..DATAGRAMS {
            let until = Instant::now() + patience / DATAGRAMS;
            // Whatever the port sends back is an answer, and all errors are about what this socket sent.
            answers.push(ends.ask(&socket, (MESSAGE, ends.target), |_| true, until));
            if !matches!(answers.last(), Some(Answer::Silent)) {
                break;
            }
        }
    }
    let mut port = Port::of(Transport::Udp, ends.target.ip(), &answers);
    match before {
        Some(Told::Told(before)) if sends && port.state == State::Silent => {
            let after = counted(admin.unwrap_or_default(), &before.books, port.sent);
            port.count(ends.target.ip(), &before, &after);
        }
        Some(Told::Silent(why)) => port.evidence += &format!("; {UNTOLD}: {why}"),
        _ => {}
    }
    port.look(ends.target);
    Ok((port, answers.pop().unwrap_or(Answer::Silent)))
}

/// What has come to its sockets, whatever became of it.
const fn came(books: &Books) -> u64 {
    books.received + books.socket_buffer
}

/// What the collector says once it has `sent` more than before, or when the time for that is over.
fn counted(admin: &str, before: &Books, sent: u32) -> Told {
    let until = Instant::now() + COUNT_TIME;
    loop {
        let told = Told::of(admin);
        let has_all = |collector: &Collector| came(&collector.books).saturating_sub(came(before)) >= u64::from(sent);
        if told.told().is_some_and(has_all) || Instant::now() >= until {
            return told;
        }
        std::thread::sleep(COUNT_PAUSE);
    }
}

/// Asks a TCP port by connecting once. The answer comes with it.
pub(super) fn tcp(ends: Ends, patience: Duration) -> io::Result<(Port, Answer)> {
    let answer = ends.connect(ends.target.port(), None, Instant::now() + patience)?;
    let mut port = Port::of(Transport::Tcp, ends.target.ip(), &[answer]);
    port.look(ends.target);
    Ok((port, answer))
}

#[cfg(test)]
mod tests {
    use logboom_syslog::header;

    use super::*;

    const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));

    fn icmp(why: Icmp, by: &str) -> Answer {
        let by = by.parse().map_or(By::Here, By::Address);
        Answer::Undelivered { why, by, mtu_bytes: 0 }
    }

    #[test]
    fn each_answer_has_its_meaning() {
        use Transport::{Tcp, Udp};
        for (transport, answers, state, certain, by) in [
            (Udp, vec![Answer::Silent, Answer::Silent], State::Silent, false, None),
            (Udp, vec![Answer::Silent, Answer::Reply], State::Open, true, Some("10.0.0.5")),
            (Udp, vec![icmp(Icmp::PortUnreachable, "10.0.0.5")], State::Closed, true, Some("10.0.0.5")),
            (Udp, vec![icmp(Icmp::PortUnreachable, "10.9.9.9")], State::Filtered, true, Some("10.9.9.9")),
            (Udp, vec![Answer::Silent, icmp(Icmp::Prohibited, "10.9.9.9")], State::Filtered, true, Some("10.9.9.9")),
            (Udp, vec![icmp(Icmp::Prohibited, "10.0.0.5")], State::Filtered, true, Some("10.0.0.5")),
            (Udp, vec![icmp(Icmp::HostUnreachable, "10.9.9.9")], State::Unreachable, true, Some("10.9.9.9")),
            (Udp, vec![icmp(Icmp::NetworkUnreachable, "")], State::Unreachable, true, Some("this machine")),
            (Udp, vec![], State::NotAsked, false, None),
            (Udp, vec![Answer::Failed(105)], State::NotAsked, false, None),
            (Tcp, vec![Answer::Reply], State::Open, true, Some("10.0.0.5")),
            (Tcp, vec![Answer::Reset], State::Closed, true, Some("10.0.0.5")),
            (Tcp, vec![Answer::Silent], State::Silent, false, None),
        ] {
            let port = Port::of(transport, TARGET, &answers);
            let found = (port.state, port.certain, port.by.map(|by| by.to_string()));
            assert_eq!(found, (state, certain, by.map(str::to_owned)), "{answers:?}");
        }
    }

    #[test]
    fn silence_is_hope_for_udp_alone() {
        let may = |transport, answer| Port::of(transport, TARGET, &[answer]).may_be_open();
        assert!(may(Transport::Udp, Answer::Silent) && !may(Transport::Tcp, Answer::Silent));
        assert!(may(Transport::Tcp, Answer::Reply) && !may(Transport::Udp, icmp(Icmp::PortUnreachable, "10.0.0.5")));
    }

    #[test]
    fn what_the_collector_counted_makes_certain_only_if_it_is_what_was_sent() {
        for (received, socket_buffer, refused, state, certain, told) in [
            (12, 0, 0, State::Open, true, "counted the 2"),
            // What was dropped at its socket has come, too.
            (11, 1, 0, State::Open, true, "counted the 2"),
            (12, 0, 2, State::Filtered, true, "refused the 2"),
            (12, 0, 1, State::Silent, false, "others send"),
            (10, 0, 0, State::Silent, false, "counted nothing"),
            (11, 0, 0, State::Silent, false, "counted 1 of 2"),
            (100, 0, 2, State::Silent, false, "others send"),
        ] {
            let port = counted_port(&told_books(Books { received, socket_buffer, refused, ..Books::default() }));
            assert_eq!((port.state, port.certain), (state, certain), "{}", port.evidence);
            assert!(port.evidence.contains(told), "{}", port.evidence);
        }
    }

    fn told_books(books: Books) -> Told {
        Told::Told(Box::new(Collector { books, ..Collector::default() }))
    }

    /// Two datagrams that nobody answered, sent to a collector that had counted 10 before.
    fn counted_port(after: &Told) -> Port {
        let mut port = Port::of(Transport::Udp, TARGET, &[Answer::Silent, Answer::Silent]);
        let before = Collector { books: Books { received: 10, ..Books::default() }, ..Collector::default() };
        port.count(TARGET, &before, after);
        port
    }

    #[test]
    fn a_collector_that_stops_telling_has_not_counted_nothing() {
        let anew = Told::Told(Box::new(Collector { run_id: "another".into(), ..Collector::default() }));
        for (after, told) in
            [(Told::Silent("timeout".into()), "does not tell what it counted: timeout"), (anew, "anew")]
        {
            let port = counted_port(&after);
            assert_eq!((port.state, port.certain, port.may_be_open()), (State::Silent, false, true));
            assert!(port.evidence.contains(told), "{}", port.evidence);
        }
    }

    #[test]
    fn what_is_sent_is_valid_syslog_of_the_lowest_severity() {
        assert_eq!(logboom_syslog::pri(MESSAGE), Some(15), "facility user, severity debug");
        let header = header::parse(MESSAGE);
        assert_eq!((header.format, header.app), (header::Format::Rfc5424, Some(&b"loadgen"[..])));
    }
}
