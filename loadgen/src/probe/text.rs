//! A probe in words: each part as lines of at most 100 columns.

use std::fmt::Write;

use super::answer::{Answer, By};
use super::echo::{Echo, NotPermitted, Way};
use super::mtu::Mtu;
use super::path::{End, Hop, Path};
use super::port::{Port, State};
use super::route::Source;
use super::{HostState, Part, Probe, explain};
use crate::target::Transport;

/// Longest line, columns, but for words that are longer.
const COLUMNS: usize = 100;

/// What stands before a line: what it is about, or nothing.
const LABEL_COLUMNS: usize = 12;

/// A part as text, each line ended; empty if it was not looked at. With `explains` followed by what it means.
#[must_use]
pub fn part(probe: &Probe, part: Part, explains: bool) -> String {
    let lines = match part {
        Part::Name => name(probe),
        Part::Source => probe.source.as_ref().map(source).unwrap_or_default(),
        Part::Echo => probe.echo.as_ref().map(echo).unwrap_or_default(),
        Part::Ports => probe.ports.iter().flat_map(|found| port(found, probe)).collect(),
        Part::Mtu => probe.mtu.as_ref().map(mtu).unwrap_or_default(),
        Part::Path => probe.path.as_ref().map(|found| path(found, probe)).unwrap_or_default(),
        Part::Verdict => verdict(probe),
    };
    let mut text = String::new();
    let is_empty = lines.is_empty();
    for (label, line) in lines {
        wrap(&mut text, &format!("{label:<LABEL_COLUMNS$}"), &" ".repeat(LABEL_COLUMNS), &line);
    }
    if explains && !is_empty {
        for paragraph in explain::part(probe, part) {
            let margin = format!("{:>LABEL_COLUMNS$}", "| ");
            wrap(&mut text, &margin, &margin, &paragraph);
        }
        text.push('\n');
    }
    text
}

/// A line about something.
type Line = (String, String);

fn line(label: &str, text: impl Into<String>) -> Line {
    (label.to_owned(), text.into())
}

/// Writes a paragraph, broken between words; `first` stands before its first line, `rest` before the others.
fn wrap(text: &mut String, first: &str, rest: &str, paragraph: &str) {
    let mut row = first.to_owned();
    let mut is_begun = false;
    // Two spaces or more belong to a table and stay.
    for word in paragraph.split_inclusive(' ') {
        if is_begun && row.chars().count() + word.trim_end().chars().count() > COLUMNS {
            let _ = writeln!(text, "{}", row.trim_end());
            row = rest.to_owned();
        }
        row += word;
        is_begun = true;
    }
    let _ = writeln!(text, "{}", row.trim_end());
}

fn name(probe: &Probe) -> Vec<Line> {
    let (place, name) = (&probe.target, &probe.name);
    let transports: Vec<_> = place.transports.iter().map(|transport| transport.name().to_uppercase()).collect();
    let mut lines = vec![line("probe", format!("{}, port {}, {}", place.host, place.port, transports.join(" and ")))];
    if let Some(error) = &name.error {
        lines.push(line("address", error.as_str()));
    }
    let told = name.addresses.iter().map(|address| match name.used {
        Some(used) if used == *address && name.addresses.len() > 1 => format!("{address} (used)"),
        _ => address.to_string(),
    });
    let told: Vec<_> = told.collect();
    if !told.is_empty() && !probe.is_named_by_address() {
        lines.push(line("address", format!("{}; found in {} ms", told.join(", "), ms(name.took_ms))));
    }
    lines
}

fn source(source: &Source) -> Vec<Line> {
    if let Some(error) = &source.error {
        return vec![line("from", format!("no way there: {error}"))];
    }
    let mut text = source.address.map_or_else(String::new, |address| address.to_string());
    if let Some(port) = source.port {
        let _ = write!(text, ", source port {port}");
    }
    if let Some([low, high]) = source.ports {
        let _ = write!(text, " (of {low} to {high}: each socket gets another)");
    }
    if let Some(interface) = &source.interface {
        let _ = write!(text, "; by {interface}");
    }
    if let Some(mtu_bytes) = source.interface_mtu_bytes {
        let _ = write!(text, " (MTU {mtu_bytes} B)");
    }
    match source.next_hop {
        Some(router) => text += &format!(", next hop {router}"),
        None if source.interface.is_some() => text += ", no router between",
        None => {}
    }
    vec![line("from", text)]
}

const fn way(way: Way) -> &'static str {
    match way {
        Way::IcmpDatagram => "ICMP echo (datagram socket)",
        Way::IcmpRaw => "ICMP echo (raw socket)",
        Way::TcpConnect => "TCP connections",
    }
}

fn echo(echo: &Echo) -> Vec<Line> {
    let mut text = match echo.way {
        None => "no way to ask by ICMP, and no TCP port has answered".to_owned(),
        Some(found) => format!("{}: {} of {} answered", way(found), echo.received, echo.sent),
    };
    if let Some(rtt) = echo.rtt_ms {
        let _ = write!(text, "; round trip min {} median {} max {} ms", ms(rtt.min), ms(rtt.median), ms(rtt.max));
    }
    if let Some(failure) = echo.failure.filter(|failure| *failure != Answer::Silent) {
        let _ = write!(text, "; {failure}");
    }
    if echo.icmp_unanswered {
        text += "; ICMP echo was not answered: it is blocked somewhere";
    }
    let mut lines = vec![line("echo", text)];
    for NotPermitted { way: closed, why, remedy } in &echo.not_permitted {
        lines.push(line("", format!("not permitted: {}, {why}; to permit it:", way(*closed))));
        lines.push(line("", format!("  {remedy}")));
    }
    lines
}

fn state(port: &Port, is_up: bool) -> String {
    match (port.state, port.transport, port.by) {
        (State::Open, ..) => "open".into(),
        (State::Closed, ..) => "closed".into(),
        (State::Filtered, _, Some(by)) => format!("filtered by {by}"),
        (State::Filtered, ..) => "filtered".into(),
        (State::Unreachable, ..) => "unreachable".into(),
        (State::Silent, Transport::Udp, _) => "silent: open or filtered".into(),
        (State::Silent, ..) if is_up => "silent: filtered".into(),
        (State::Silent, ..) => "silent: filtered, or the machine is off".into(),
        (State::NotAsked, ..) => "not asked".into(),
    }
}

fn port(port: &Port, probe: &Probe) -> Vec<Line> {
    let label = format!("{} {}", port.transport.name(), probe.target.port);
    let mut lines = vec![line(&label, format!("{}; {}", state(port, probe.is_up()), port.evidence))];
    if let Some(holder) = &port.holder {
        lines.push(line(
            "",
            match (&holder.command, holder.pid) {
                (Some(command), Some(pid)) => {
                    format!("held by {}, process {pid} of this machine", command.escape_debug())
                }
                _ => "held by a process of this machine that another user runs: root can see which".into(),
            },
        ));
    }
    if port.transport == Transport::Udp && !port.certain && matches!(port.state, State::Silent | State::NotAsked) {
        lines.push(line("", "to be certain: --admin HOST:PORT of a logboom there, or loadgen run with --check"));
    }
    lines
}

fn mtu(mtu: &Mtu) -> Vec<Line> {
    let Mtu { mtu_bytes, payload_max_bytes, .. } = mtu;
    let bound = if mtu.confirmed { "" } else { "at most " };
    let mut text =
        format!("{bound}{mtu_bytes} B a packet; the largest datagram that stays whole has {payload_max_bytes} B");
    match mtu.limited_by {
        Some(By::Here) => text += "; limited by this machine's own interface",
        Some(by) => text += &format!("; limited behind {by}, which says so"),
        None if mtu.black_hole => text += "; longer packets vanish and nobody says so (a black hole)",
        None => {}
    }
    if let Some(why) = &mtu.why_not_confirmed {
        let _ = write!(text, "; an upper bound: {why}");
    }
    vec![line("mtu", text)]
}

fn path(path: &Path, probe: &Probe) -> Vec<Line> {
    let mut lines: Vec<_> = path.hops.iter().map(|found| line("", hop(found))).collect();
    let refused_by = probe.host.filter(|_| !probe.is_up()).and_then(|host| Some((host.by?, host.icmp?)));
    let told = match path.end {
        End::Reached => None,
        End::Refused => Some(refused_by.map_or_else(
            || "it goes no further".to_owned(),
            |(by, icmp)| format!("it goes no further: {by} says {}", icmp.words()),
        )),
        End::Silent => Some("nobody answers from here on: it is dropped, or routers and target are silent".to_owned()),
        End::HopsMax => Some("the target was not reached with so many hops: --hops allows more".to_owned()),
        End::TimeMax => Some("the time for the path is over".to_owned()),
    };
    lines.extend(told.map(|told| line("", told)));
    if let Some(first) = lines.first_mut() {
        first.0 = "path".into();
    }
    lines
}

fn hop(hop: &Hop) -> String {
    let Some(address) = hop.address else {
        return format!("{:>2}  *", hop.hop);
    };
    let took = hop.ms.map_or_else(String::new, |took| format!("{} ms", ms(took)));
    let mut text = format!("{:>2}  {:<24} {took:>12}  {}", hop.hop, address.to_string(), hop.packet.words());
    if let Some(icmp) = hop.icmp {
        let _ = write!(text, ": {}", icmp.words());
    }
    if hop.reached {
        text += ": the target";
    }
    text
}

fn verdict(probe: &Probe) -> Vec<Line> {
    let mut lines: Vec<_> = probe.could_not.iter().map(|what| line("not done", what.as_str())).collect();
    lines.push(line(if probe.usable { "usable" } else { "NOT USABLE" }, probe.sentence.as_str()));
    lines
}

/// All of it in one sentence.
#[must_use]
pub fn sentence(probe: &Probe) -> String {
    let (place, name) = (&probe.target, &probe.name);
    let (Some(address), None) = (name.used, &name.error) else {
        return format!("{} cannot be probed: {}", place.host, name.error.as_deref().unwrap_or_default());
    };
    let mut text = match probe.host {
        Some(host) => match (host.state, host.by, host.icmp) {
            (HostState::Up, ..) => format!("{address} is there"),
            (HostState::Unreachable, Some(by), Some(icmp)) => {
                format!("{address} cannot be reached: {by} says {}", icmp.words())
            }
            (HostState::Filtered, Some(by), Some(icmp)) => {
                format!("{address} does not answer, and {by} says {}", icmp.words())
            }
            _ => format!("{address} answers nothing at all: it is off, or everything is dropped on the way"),
        },
        None => {
            let failure = probe.echo.as_ref().and_then(|echo| echo.failure).map(|failure| failure.to_string());
            let why = failure.or_else(|| probe.could_not.first().cloned());
            format!("{address} was not asked: {}", why.as_deref().unwrap_or("nothing was sent"))
        }
    };
    let is_told = |port: &&Port| probe.is_up() || port.state == State::Open;
    for port in probe.ports.iter().filter(is_told) {
        let _ = write!(text, "; {} port {} ", port.transport.name().to_uppercase(), place.port);
        text += &match port.state {
            State::Silent | State::NotAsked if port.may_be_open() => "may be open".to_owned(),
            State::Silent => "is silent".into(),
            State::NotAsked => "was not asked".into(),
            _ => format!("is {}", state(port, probe.is_up())),
        };
    }
    let is_udp = probe.ports.iter().any(|port| port.transport == Transport::Udp);
    if let Some(mtu) = probe.mtu.as_ref().filter(|_| probe.usable && is_udp) {
        let _ = write!(text, "; messages over UDP should have at most {} B", mtu.payload_max_bytes);
    }
    text
}

/// Milliseconds with as many digits as say something.
fn ms(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.3}") } else { format!("{ms:.1}") }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::super::path::Packet;
    use super::super::{Name, Plan, host};
    use super::*;
    use crate::icmp::Icmp;

    const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 3, 1));
    const ROUTER: By = By::Address(IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 2, 2)));

    const PARTS: [Part; 7] = [Part::Name, Part::Source, Part::Echo, Part::Ports, Part::Mtu, Part::Path, Part::Verdict];

    /// A probe of UDP and TCP, of which the ports answered so.
    fn probe(udp: Answer, tcp: Answer) -> Probe {
        let plan = Plan {
            place: "collector.example".parse().unwrap(),
            family: super::super::place::Family::Any,
            count: 1,
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            hops: 30,
            sends: true,
            admin: None,
        };
        let name = Name { addresses: vec![TARGET], used: Some(TARGET), took_ms: 0.25, error: None };
        let mut probe = Probe::begin(&plan, vec![], name);
        let took = Duration::from_micros(40_512);
        probe.echo = Some(Echo::of(Some(Way::IcmpRaw), TARGET, &[(tcp, took)]));
        probe.ports = vec![Port::of(Transport::Udp, TARGET, &[udp]), Port::of(Transport::Tcp, TARGET, &[tcp])];
        probe.host = host(TARGET, &[udp, tcp]);
        let hops = [(1, udp), (2, tcp)].map(|(hop, answer)| Hop::of(hop, TARGET, Packet::Udp, answer, took));
        probe.path = Some(Path { hops: hops.to_vec(), end: End::Silent });
        probe.mtu = Some(Mtu {
            mtu_bytes: 1400,
            payload_max_bytes: 1372,
            confirmed: false,
            black_hole: true,
            limited_by: None,
            packets: 3,
            why_not_confirmed: Some("nobody says".into()),
        });
        probe.judge();
        probe
    }

    fn undelivered(why: Icmp, by: By) -> Answer {
        Answer::Undelivered { why, by, mtu_bytes: 0 }
    }

    #[test]
    fn one_sentence_says_it_all() {
        let of = |udp, tcp| {
            let probe = probe(udp, tcp);
            (probe.usable, probe.sentence)
        };
        let closed = undelivered(Icmp::PortUnreachable, By::Address(TARGET));
        let off = undelivered(Icmp::HostUnreachable, ROUTER);
        let forbidden = undelivered(Icmp::Prohibited, ROUTER);
        for (udp, tcp, usable, sentence) in [
            (
                Answer::Silent,
                Answer::Reset,
                true,
                "10.77.3.1 is there; UDP port 514 may be open; TCP port 514 is closed; messages over UDP should have at most \
                 1372 B",
            ),
            (closed, Answer::Silent, false, "10.77.3.1 is there; UDP port 514 is closed; TCP port 514 is silent"),
            (off, off, false, "10.77.3.1 cannot be reached: 10.77.2.2 says host unreachable"),
            (forbidden, forbidden, false, "10.77.3.1 does not answer, and 10.77.2.2 says administratively prohibited"),
            (
                Answer::Silent,
                Answer::Silent,
                false,
                "10.77.3.1 answers nothing at all: it is off, or everything is dropped on the way",
            ),
            (Answer::Failed(105), Answer::Failed(105), false, "10.77.3.1 was not asked: No buffer space available"),
        ] {
            assert_eq!(of(udp, tcp), (usable, sentence.to_owned()));
        }
    }

    #[test]
    fn every_answer_is_told_in_lines_of_at_most_100_columns_and_explained() {
        let answers = [
            Answer::Reply,
            Answer::Reset,
            Answer::Silent,
            Answer::Failed(105),
            undelivered(Icmp::PortUnreachable, By::Address(TARGET)),
            undelivered(Icmp::HostUnreachable, ROUTER),
            undelivered(Icmp::Prohibited, By::Here),
        ];
        for (udp, tcp) in answers.iter().flat_map(|udp| answers.iter().map(move |tcp| (*udp, *tcp))) {
            let probe = probe(udp, tcp);
            for (found, explains) in PARTS.into_iter().flat_map(|part| [(part, false), (part, true)]) {
                let text = part(&probe, found, explains);
                assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
                assert!(text.is_empty() == (found == Part::Source), "{found:?}: {text}");
                assert!(text.contains("| ") == (explains && found != Part::Source), "{found:?}: {text}");
            }
        }
    }

    #[test]
    fn words_are_kept_whole_and_the_columns_of_hops_too() {
        let mut text = String::new();
        wrap(&mut text, "path ", "     ", &format!("1  * {} {}", "x".repeat(95), "y".repeat(120)));
        assert_eq!(text, format!("path 1  *\n     {}\n     {}\n", "x".repeat(95), "y".repeat(120)));
    }
}
