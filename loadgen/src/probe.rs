//! Can a collector be reached, and what is on the way? Asked before a run, or when no message arrives.
//!
//! Everything works without privileges as far as the kernel lets it; what it does not let is told, with what would change that.
//! Parts that decide take answers as values: [`answer`], [`port::Port::of`], [`mtu::Search`], [`path::end`], [`host()`]. Sockets
//! are in the files of the parts, at the end, and in `wire`.
//!
//! * [`place`]: what is probed, and its addresses; [`route`]: the way that this machine takes;
//! * [`echo`]: is the machine there; [`port`]: is the port open;
//! * [`mtu`]: the largest datagram that is not cut; [`path`]: the routers between;
//! * [`text`] and [`explain`]: all of it in words.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use crate::icmp::Icmp;
use crate::target::Transport;

pub mod answer;
pub mod echo;
pub mod explain;
pub mod mtu;
pub mod path;
pub mod place;
pub mod port;
pub mod route;
pub mod text;
mod wire;

use answer::{Answer, By};
use echo::{Echo, EchoSocket, Pace, Way};
use mtu::Mtu;
use path::{Known, Path, Second};
use place::{Family, Place};
use port::{Port, State};
use route::Source;
use wire::Ends;

/// The schema of [`Probe`] as JSON.
pub const SCHEMA: &str = "loadgen.probe/1";

/// Most echo requests.
pub const COUNT_MAX: u32 = 100;

/// Most hops: that of traceroute(8) and of tracepath(8) is 30; no path is longer than 255.
pub const HOPS_MAX: u8 = 64;

/// A machine that does not answer on its own link is known to be silent after three requests for its address, a second apart
/// (arp(7): `mcast_solicit`, `retrans_time_ms`); then the last router, or this machine, says so.
const NEIGHBOUR_TIME: Duration = Duration::from_millis(3500);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to probe.
    pub place: Place,
    /// By IPv4 or IPv6.
    pub family: Family,
    /// Echo requests, 1 to [`COUNT_MAX`].
    pub count: u32,
    /// Least time between two.
    pub interval: Duration,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Hops that are followed, at most [`HOPS_MAX`]; 0 leaves the path out.
    pub hops: u8,
    /// Whether the UDP port is sent two datagrams.
    pub sends: bool,
    /// The admin listener of a logboom that has the port, `HOST:PORT`.
    pub admin: Option<String>,
}

/// What was found, part by part; a part is absent as long as it was not looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Of loadgen.
    pub version: &'static str,
    /// The command line.
    pub command: Vec<String>,
    /// When it began.
    pub started: Timestamp,
    /// Whom.
    pub target: Place,
    /// Its addresses.
    pub name: Name,
    /// From where.
    pub source: Option<Source>,
    /// Is it there?
    pub echo: Option<Echo>,
    /// Is the port open?
    pub ports: Vec<Port>,
    /// What fits?
    pub mtu: Option<Mtu>,
    /// Which way?
    pub path: Option<Path>,
    /// What could not be done, and why.
    pub could_not: Vec<String>,
    /// The machine, by all of these.
    pub host: Option<Host>,
    /// Whether messages may arrive: the machine is there, and a port is open or may be.
    pub usable: bool,
    /// All of it in one sentence.
    pub sentence: String,
}

/// The addresses of the host.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Name {
    /// As the resolver orders them.
    pub addresses: Vec<IpAddr>,
    /// The one that was probed.
    pub used: Option<IpAddr>,
    /// How long the resolver took.
    pub took_ms: f64,
    /// Why there is none to use.
    pub error: Option<String>,
}

/// Whether the machine is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Whether it answered anything at all.
    pub state: HostState,
    /// Who said so.
    pub by: Option<By>,
    /// What they said.
    pub icmp: Option<Icmp>,
}

/// Whether a machine is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// It answered.
    Up,
    /// Somebody says that there is no way to it.
    Unreachable,
    /// Somebody does not let us, and it did not answer.
    Filtered,
    /// Nobody said anything: it is off, or everything is dropped on the way.
    Silent,
}

/// The parts, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`Probe::name`].
    Name,
    /// [`Probe::source`].
    Source,
    /// [`Probe::echo`].
    Echo,
    /// [`Probe::ports`].
    Ports,
    /// [`Probe::mtu`].
    Mtu,
    /// [`Probe::path`].
    Path,
    /// [`Probe::sentence`].
    Verdict,
}

/// Puts together what echo and ports say of the machine: any answer of its own counts more than what others say of it.
#[must_use]
pub fn host(target: IpAddr, answers: &[Answer]) -> Host {
    if answers.iter().any(|answer| answer.is_from(target)) {
        return Host { state: HostState::Up, by: Some(By::Address(target)), icmp: None };
    }
    let said = |wanted: &[Icmp]| {
        answers.iter().find_map(|answer| match answer {
            Answer::Undelivered { why, by, .. } if wanted.contains(why) => Some((*why, *by)),
            _ => None,
        })
    };
    let of = |state, (why, by)| Host { state, by: Some(by), icmp: Some(why) };
    if let Some(said) = said(&[Icmp::HostUnreachable, Icmp::NetworkUnreachable, Icmp::TimeExceeded]) {
        return of(HostState::Unreachable, said);
    }
    if let Some(said) = said(&[Icmp::Prohibited, Icmp::PortUnreachable]) {
        return of(HostState::Filtered, said);
    }
    Host { state: HostState::Silent, by: None, icmp: None }
}

/// A probe under way.
struct Course<'a> {
    plan: &'a Plan,
    ends: Ends,
    probe: Probe,
    tell: &'a mut dyn FnMut(&Probe, Part),
}

/// Probes, and tells of each part when it is done.
///
/// At most 10 s for the name; `count` times the longer of `interval` and `timeout` for ICMP echo, and as much again for TCP
/// where that is needed; 3.5 s or `timeout`, whichever is longer, for each port, and 6 s for the collector's count; 15 s for the
/// path's longest packet and 30 s for its hops. At most 2 datagrams and `count` + 1 connections to the port, `count` echo
/// requests, 64 packets to find the longest one, and two for each hop.
pub fn probe(plan: &Plan, command: Vec<String>, tell: &mut dyn FnMut(&Probe, Part)) -> Probe {
    let begun = Instant::now();
    let found = plan.place.resolve();
    let took_ms = begun.elapsed().as_secs_f64() * 1e3;
    let addresses = found.as_ref().map(|found| found.iter().map(SocketAddr::ip).collect()).unwrap_or_default();
    let used = found.and_then(|found| plan.family.choose(&found));
    let name =
        Name { addresses, used: used.as_ref().ok().map(SocketAddr::ip), took_ms, error: used.as_ref().err().cloned() };
    let mut probe = Probe::begin(plan, command, name);
    tell(&probe, Part::Name);
    let Ok(target) = used else {
        probe.sentence = text::sentence(&probe);
        tell(&probe, Part::Verdict);
        return probe;
    };
    let source = Source::to(target);
    let ends = Ends { target, own: source.address };
    probe.source = Some(source);
    tell(&probe, Part::Source);
    let mut course = Course { plan, ends, probe, tell };
    course.run();
    course.probe
}

impl Probe {
    fn begin(plan: &Plan, command: Vec<String>, name: Name) -> Self {
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            command,
            started: Timestamp::now(),
            target: plan.place.clone(),
            name,
            source: None,
            echo: None,
            ports: Vec::new(),
            mtu: None,
            path: None,
            could_not: Vec::new(),
            host: None,
            usable: false,
            sentence: String::new(),
        }
    }

    /// Whether the machine is known to be there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.host.is_some_and(|host| host.state == HostState::Up)
    }
}

impl Course<'_> {
    fn run(&mut self) {
        let target = self.ends.target.ip();
        let (socket, not_permitted) = EchoSocket::open(self.ends);
        let mut answers = self.echo(socket.as_ref());
        let (mut ports, mut tcp) = (Vec::new(), None);
        for transport in self.plan.place.transports.clone() {
            let patience = self.patience(host(target, &answers).state);
            let (port, answer) = match transport {
                Transport::Udp => self.udp(patience),
                _ => self.tcp(patience),
            };
            tcp = tcp.or((transport != Transport::Udp).then_some(answer));
            answers.push(answer);
            ports.extend(port);
        }
        self.tcp_echo(tcp, host(target, &answers).state, &mut answers);
        if let Some(echo) = &mut self.probe.echo {
            echo.not_permitted = not_permitted;
        }
        (self.tell)(&self.probe, Part::Echo);
        self.probe.ports = ports;
        self.probe.host = Some(host(target, &answers));
        (self.tell)(&self.probe, Part::Ports);
        let socket = socket.filter(|_| self.probe.echo.as_ref().is_some_and(Echo::is_icmp_answered));
        self.mtu(socket.as_ref());
        self.path(socket.as_ref());
        let may_be_open = self.probe.ports.iter().any(Port::may_be_open);
        let is_open = self.probe.ports.iter().any(|port| port.state == State::Open);
        self.probe.usable = is_open || self.probe.is_up() && may_be_open;
        self.probe.sentence = text::sentence(&self.probe);
        (self.tell)(&self.probe, Part::Verdict);
    }

    fn could_not(&mut self, what: &str, error: &io::Error) {
        self.probe.could_not.push(format!("{what}: {error}"));
    }

    fn pace(&self) -> Pace {
        let Plan { count, interval, timeout, .. } = *self.plan;
        Pace { count, interval, timeout }
    }

    /// ICMP echo; the answers that say something of the machine.
    fn echo(&mut self, socket: Option<&EchoSocket>) -> Vec<Answer> {
        let ask =
            |socket: &EchoSocket| self.pace().ask(|sequence, until| socket.ask(sequence, echo::ECHO_TEXT_BYTES, until));
        let answers = socket.map(ask).unwrap_or_default();
        self.probe.echo = Some(Echo::of(socket.map(|socket| socket.way), self.ends.target.ip(), &answers));
        answers.into_iter().map(|(answer, _)| answer).collect()
    }

    /// Time for an answer of a port: enough for the network to find out that the machine is not there.
    fn patience(&self, state: HostState) -> Duration {
        let timeout = self.plan.timeout;
        if state == HostState::Up { timeout } else { timeout.max(NEIGHBOUR_TIME) }
    }

    fn udp(&mut self, patience: Duration) -> (Option<Port>, Answer) {
        let asked = port::udp(self.ends, patience, self.plan.sends, self.plan.admin.as_deref());
        self.asked("ask the UDP port", asked)
    }

    fn tcp(&mut self, patience: Duration) -> (Option<Port>, Answer) {
        let asked = port::tcp(self.ends, patience);
        self.asked("ask the TCP port", asked)
    }

    fn asked(&mut self, what: &str, asked: io::Result<(Port, Answer)>) -> (Option<Port>, Answer) {
        match asked {
            Ok((port, answer)) => (Some(port), answer),
            Err(error) => {
                self.could_not(what, &error);
                (None, Answer::Failed(error.raw_os_error().unwrap_or(0)))
            }
        }
    }

    /// Where ICMP was not permitted or not answered, connections: a machine that refuses them is there, too.
    fn tcp_echo(&mut self, tcp: Option<Answer>, state: HostState, answers: &mut Vec<Answer>) {
        let target = self.ends.target.ip();
        let (asked, is_answered) = match &self.probe.echo {
            Some(echo) => (echo.way.is_some(), echo.received > 0),
            None => (false, false),
        };
        if is_answered {
            return;
        }
        let is_worth = tcp.map_or(state == HostState::Silent || !asked, |answer| answer.is_from(target));
        if !is_worth {
            return;
        }
        let ends = self.ends;
        let connect = |_, until| {
            let failed = |error: io::Error| Answer::Failed(error.raw_os_error().unwrap_or(0));
            ends.connect(ends.target.port(), None, until).unwrap_or_else(failed)
        };
        let connected = self.pace().ask(connect);
        answers.extend(connected.iter().map(|(answer, _)| *answer));
        let echo = Echo::of(Some(Way::TcpConnect), target, &connected);
        if echo.received > 0 || !asked {
            self.probe.echo = Some(Echo { icmp_unanswered: asked, ..echo });
        }
    }

    /// Time for an answer once the time of a round trip is known: four of the longest, and at least 200 ms, as hosts and routers
    /// answer what is not data when they have time to.
    fn short_patience(&self) -> Duration {
        let rtt = self.probe.echo.as_ref().and_then(|echo| echo.rtt_ms);
        let timeout = self.plan.timeout;
        rtt.map_or(timeout, |rtt| Duration::from_secs_f64(rtt.max * 4e-3).max(Duration::from_millis(200)).min(timeout))
    }

    fn mtu(&mut self, socket: Option<&EchoSocket>) {
        if self.probe.host.is_some_and(|host| matches!(host.state, HostState::Unreachable | HostState::Filtered)) {
            self.probe.could_not.push("measure the path MTU: nothing gets through to the target".into());
            return;
        }
        match mtu::measure(self.ends, socket, self.short_patience()) {
            Ok(mtu) => self.probe.mtu = Some(mtu),
            Err(error) => self.could_not("measure the path MTU", &error),
        }
        (self.tell)(&self.probe, Part::Mtu);
    }

    fn path(&mut self, echo: Option<&EchoSocket>) {
        let tcp = self
            .probe
            .ports
            .iter()
            .any(|port| port.transport != Transport::Udp && matches!(port.state, State::Open | State::Closed));
        let refused_by = self.probe.host.filter(|host| host.state != HostState::Up).and_then(|host| host.by);
        if refused_by == Some(By::Here) {
            self.probe.could_not.push("follow the path: this machine sends nothing there".into());
            return;
        }
        let second = Second { echo, tcp };
        let known = Known { is_up: self.probe.is_up(), refused_by };
        match path::follow(self.ends, self.plan.hops, &second, known, self.short_patience()) {
            Ok(path) => self.probe.path = path,
            Err(error) => self.could_not("follow the path", &error),
        }
        (self.tell)(&self.probe, Part::Path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_machine_counts_more_than_what_others_say_of_it() {
        let target: IpAddr = [10, 0, 0, 5].into();
        let icmp = |why, by: [u8; 4]| Answer::Undelivered { why, by: By::Address(by.into()), mtu_bytes: 0 };
        let unreachable = icmp(Icmp::HostUnreachable, [10, 9, 9, 9]);
        let prohibited = icmp(Icmp::Prohibited, [10, 9, 9, 9]);
        let state = |answers: &[Answer]| host(target, answers).state;
        assert_eq!(state(&[]), HostState::Silent);
        assert_eq!(state(&[Answer::Silent, Answer::Failed(105)]), HostState::Silent);
        assert_eq!(state(&[prohibited, Answer::Silent]), HostState::Filtered);
        assert_eq!(state(&[prohibited, unreachable, Answer::Silent]), HostState::Unreachable);
        for answer in [Answer::Reply, Answer::Reset, icmp(Icmp::PortUnreachable, [10, 0, 0, 5])] {
            assert_eq!(state(&[unreachable, answer]), HostState::Up);
        }
        let told = host(target, &[prohibited]);
        assert_eq!((told.by.unwrap().to_string(), told.icmp), ("10.9.9.9".into(), Some(Icmp::Prohibited)));
    }
}
