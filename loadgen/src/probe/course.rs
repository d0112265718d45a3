//! A probe under way: what is asked next, and for how long, by what was answered before.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::answer::{Answer, By, words};
use super::echo::{ECHO_TEXT_BYTES, Echo, EchoSocket, Pace, Way};
use super::path::{Known, Second};
use super::port::{Port, State};
use super::route::Source;
use super::wire::Ends;
use super::{Host, HostState, Part, Plan, Probe, host, mtu, path, port};
use crate::target::Transport;

/// A machine that does not answer on its own link is known to be silent after three requests for its address, a second apart
/// (arp(7): `mcast_solicit`, `retrans_time_ms`); then the last router, or this machine, says so.
const NEIGHBOUR_TIME: Duration = Duration::from_millis(3500);

/// Time for a TCP port: a request that is lost is sent again after a second (RFC 6298 section 2.1), so that one lost packet is no
/// silence.
const CONNECT_TIME: Duration = Duration::from_millis(2500);

/// A probe under way.
struct Course<'a> {
    plan: &'a Plan,
    ends: Ends,
    probe: Probe,
    tell: &'a mut dyn FnMut(&Probe, Part),
}

/// Asks all there is to ask of an address, and tells of each part when it is done.
pub(super) fn run(plan: &Plan, target: SocketAddr, mut probe: Probe, tell: &mut dyn FnMut(&Probe, Part)) -> Probe {
    let source = Source::to(target);
    let ends = Ends { target, own: source.address };
    probe.source = Some(source);
    tell(&probe, Part::Source);
    let mut course = Course { plan, ends, probe, tell };
    course.run();
    course.probe
}

impl Course<'_> {
    fn run(&mut self) {
        let target = self.ends.target.ip();
        let (socket, not_permitted, error) = EchoSocket::open(self.ends);
        if let Some(error) = error {
            self.could_not("open an ICMP socket", &error);
        }
        let mut answers = self.echo(socket.as_ref());
        let (mut ports, mut tcp) = (Vec::new(), None);
        // TCP first: what it answers tells that the machine is there, and then silence of UDP need not be waited for so long.
        for transport in self.plan.place.transports.iter().rev() {
            let patience = self.patience(host(target, &answers));
            let (port, answer) = match transport {
                Transport::Udp => self.udp(patience),
                _ => self.tcp(patience),
            };
            tcp = tcp.or((*transport != Transport::Udp).then_some(answer));
            // A collector that counts, or a table of this machine, may know what no answer says.
            let has_it = |port: &Port| port.state == State::Open || port.by == Some(By::Address(target));
            answers.push(if port.as_ref().is_some_and(has_it) { Answer::Reply } else { answer });
            ports.extend(port);
        }
        ports.reverse();
        self.tcp_echo(tcp, host(target, &answers), &mut answers);
        if let Some(echo) = &mut self.probe.echo {
            echo.not_permitted = not_permitted;
        }
        (self.tell)(&self.probe, Part::Echo);
        self.probe.ports = ports;
        self.probe.host = host(target, &answers);
        (self.tell)(&self.probe, Part::Ports);
        let socket = socket.filter(|_| self.probe.echo.as_ref().is_some_and(Echo::is_icmp_answered));
        self.mtu(socket.as_ref());
        self.path(socket.as_ref());
        self.probe.judge();
        (self.tell)(&self.probe, Part::Verdict);
    }

    fn could_not(&mut self, what: &str, error: &io::Error) {
        self.probe.could_not.push(format!("{what}: {}", words(error)));
    }

    fn pace(&self) -> Pace {
        let Plan { count, interval, timeout, .. } = *self.plan;
        Pace { count, interval, timeout }
    }

    /// ICMP echo; the answers that say something of the machine.
    fn echo(&mut self, socket: Option<&EchoSocket>) -> Vec<Answer> {
        let ask = |socket: &EchoSocket| self.pace().ask(|sequence, until| socket.ask(sequence, ECHO_TEXT_BYTES, until));
        let answers = socket.map(ask).unwrap_or_default();
        self.probe.echo = Some(Echo::of(socket.map(|socket| socket.way), self.ends.target.ip(), &answers));
        answers.into_iter().map(|(answer, _)| answer).collect()
    }

    /// Time for an answer of a port: enough for the network to find out that the machine is not there.
    fn patience(&self, host: Option<Host>) -> Duration {
        let timeout = self.plan.timeout;
        let is_up = host.is_some_and(|host| host.state == HostState::Up);
        if is_up { timeout } else { timeout.max(NEIGHBOUR_TIME) }
    }

    fn udp(&mut self, patience: Duration) -> (Option<Port>, Answer) {
        let asked = port::udp(self.ends, patience, self.plan.sends, self.plan.admin.as_deref());
        self.asked("ask the UDP port", asked)
    }

    fn tcp(&mut self, patience: Duration) -> (Option<Port>, Answer) {
        let asked = port::tcp(self.ends, patience.max(CONNECT_TIME));
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
    fn tcp_echo(&mut self, tcp: Option<Answer>, host: Option<Host>, answers: &mut Vec<Answer>) {
        let target = self.ends.target.ip();
        let (asked, is_answered) = match &self.probe.echo {
            Some(echo) => (echo.way.is_some(), echo.received > 0),
            None => (false, false),
        };
        if is_answered {
            return;
        }
        // A port that was silent would be silent again.
        let is_silent = host.is_none_or(|host| host.state == HostState::Silent);
        let is_worth = tcp.map_or(is_silent || !asked, |answer| answer.is_from(target));
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
    /// answer what is not data when they have time to; never longer than `timeout`.
    fn short_patience(&self) -> Duration {
        let rtt = self.probe.echo.as_ref().and_then(|echo| echo.rtt_ms);
        let timeout = self.plan.timeout;
        rtt.map_or(timeout, |rtt| Duration::from_secs_f64(rtt.max * 4e-3).max(Duration::from_millis(200)).min(timeout))
    }

    fn mtu(&mut self, socket: Option<&EchoSocket>) {
        if self.probe.host.is_none_or(|host| matches!(host.state, HostState::Unreachable | HostState::Filtered)) {
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
        if self.probe.host.is_none() || refused_by == Some(By::Here) {
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
