//! Can a collector be reached, and what is on the way? Asked before a run, or when no message arrives.
//!
//! Everything works without privileges as far as the kernel lets it; what it does not let is told, with what would change that.
//! Parts that decide take answers as values: [`answer`], [`host()`], [`port::Port::of`], [`mtu::Search`], [`path::end`]. Sockets
//! are in `wire`; `course` says what is asked next.
//!
//! * [`place`]: what is probed, and its addresses; [`route`]: the way that this machine takes;
//! * [`echo`]: is the machine there; [`port`]: is the port open;
//! * [`mtu`]: the largest datagram that is not cut; [`path`]: the routers between;
//! * [`text`] and [`explain`]: all of it in words.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use crate::icmp::Icmp;

pub mod answer;
mod course;
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
use echo::Echo;
use mtu::Mtu;
use path::Path;
use place::{Family, Place};
use port::{Port, State};
use route::Source;

/// The schema of [`Probe`] as JSON.
pub const SCHEMA: &str = "loadgen.probe/1";

/// Most echo requests.
pub const COUNT_MAX: u32 = 100;

/// Most hops: that of traceroute(8) and of tracepath(8) is 30; no path is longer than 255.
pub const HOPS_MAX: u8 = 64;

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
    /// The machine, by all of these; absent if nothing could be sent to it.
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

/// Puts together what echo and ports say of the machine: any answer of its own counts more than what others say of it. What could
/// not be sent says nothing, and is no silence.
#[must_use]
pub fn host(target: IpAddr, answers: &[Answer]) -> Option<Host> {
    if answers.iter().all(|answer| matches!(answer, Answer::Failed(_))) {
        return None;
    }
    if answers.iter().any(|answer| answer.is_from(target)) {
        return Some(Host { state: HostState::Up, by: Some(By::Address(target)), icmp: None });
    }
    let said = |wanted: &[Icmp]| {
        answers.iter().find_map(|answer| match answer {
            Answer::Undelivered { why, by, .. } if wanted.contains(why) => Some((*why, *by)),
            _ => None,
        })
    };
    let of = |state, (why, by)| Some(Host { state, by: Some(by), icmp: Some(why) });
    if let Some(said) = said(&[Icmp::HostUnreachable, Icmp::NetworkUnreachable, Icmp::TimeExceeded, Icmp::Other]) {
        return of(HostState::Unreachable, said);
    }
    if let Some(said) = said(&[Icmp::Prohibited, Icmp::PortUnreachable]) {
        return of(HostState::Filtered, said);
    }
    Some(Host { state: HostState::Silent, by: None, icmp: None })
}

/// Probes, and tells of each part when it is done.
///
/// At most 10 s for the name; `count` times the longer of `interval` and `timeout` for ICMP echo, and as much again for TCP
/// where that is needed; for a TCP port 2.5 s, for each port of a machine that is not known to be there 3.5 s, or `timeout` if
/// that is longer; 10 s for the collector's count; 15 s for the longest packet and 30 s for the hops of the path. At most 2
/// datagrams and `count` + 1 connections to the port, `count` echo requests, 64 packets to find the longest one, and two for
/// each hop.
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
        probe.judge();
        tell(&probe, Part::Verdict);
        return probe;
    };
    course::run(plan, target, probe, tell)
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

    /// Whether there was no name to look up.
    fn is_named_by_address(&self) -> bool {
        self.target.host.parse::<IpAddr>().is_ok()
    }

    /// Whether messages may arrive.
    fn judge(&mut self) {
        let may_be_open = self.ports.iter().any(Port::may_be_open);
        let is_open = self.ports.iter().any(|port| port.state == State::Open);
        self.usable = is_open || self.is_up() && may_be_open;
        self.sentence = text::sentence(self);
    }

    /// Whether the machine is known to be there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.host.is_some_and(|host| host.state == HostState::Up)
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
        let state = |answers: &[Answer]| host(target, answers).unwrap().state;
        assert_eq!(host(target, &[]), None);
        assert_eq!(host(target, &[Answer::Failed(105), Answer::Failed(100)]), None, "this machine is silent");
        assert_eq!(state(&[Answer::Silent, Answer::Failed(105)]), HostState::Silent);
        assert_eq!(state(&[prohibited, Answer::Silent]), HostState::Filtered);
        assert_eq!(state(&[prohibited, unreachable, Answer::Silent]), HostState::Unreachable);
        for answer in [Answer::Reply, Answer::Reset, icmp(Icmp::PortUnreachable, [10, 0, 0, 5])] {
            assert_eq!(state(&[unreachable, answer]), HostState::Up);
        }
        let told = host(target, &[prohibited]).unwrap();
        assert_eq!((told.by.unwrap().to_string(), told.icmp), ("10.9.9.9".into(), Some(Icmp::Prohibited)));
    }
}
