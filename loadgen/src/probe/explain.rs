//! What each answer means, for who is new to ports and protocols.

use std::net::IpAddr;

use super::answer::Answer;
use super::echo::Way;
use super::port::State;
use super::{HostState, Part, Probe};
use crate::target::Transport;

/// Longest datagram that every receiver of syslog must take, bytes, over IPv4 and IPv6 (RFC 5426 section 3.2).
const RECEIVED_ALWAYS_BYTES: (u32, u32) = (480, 1180);

/// Paragraphs about a part.
#[must_use]
pub fn part(probe: &Probe, part: Part) -> Vec<String> {
    match part {
        Part::Name => name(probe),
        Part::Source => source(probe),
        Part::Echo => echo(probe),
        Part::Ports => ports(probe),
        Part::Mtu => mtu(probe),
        Part::Path => vec![PATH_HOW.into(), PATH_READ.into()],
        Part::Verdict => verdict(probe),
    }
}

const ADDRESS: &str = "Every machine of a network has an address, IPv4 (192.0.2.7) or IPv6 (2001:db8::7). This one was given, so no name \
    had to be looked up.";

const NAME: &str = "Names are for people; the network knows addresses. The resolver (a file of this machine, then DNS) looks up \
    the addresses of a name: IPv4 (192.0.2.7), IPv6 (2001:db8::7), or several of both. Programs use the first that will do.";

fn name(probe: &Probe) -> Vec<String> {
    if probe.is_named_by_address() {
        return vec![ADDRESS.into()];
    }
    let mut told = vec![NAME.to_owned()];
    if probe.name.error.is_some() {
        told.push(
            "Without an address nothing can be sent. Is the name spelled right? Does another machine know it (getent hosts \
             NAME)? The address itself can be probed, too."
                .into(),
        );
    }
    told
}

const PORTS: &str = "A packet says from which address to which address it goes, and from which port to which. The address is the \
    machine; the port, a number from 1 to 65535, is the program on it. The destination port is where the collector waits: \
    514 is syslog's. The source port is one that the kernel lends to the sender, so that answers find it; it says nothing about \
    the collector. A collector that shares its work among processors often does so by these four numbers: many source ports \
    spread better than one.";

const PRIVILEGE: &str = "Ports below 1024 are well known: who asks for syslog at 514 relies on the machine's owner having put it \
    there. So to listen on one takes a privilege (root, CAP_NET_BIND_SERVICE, or a lower net.ipv4.ip_unprivileged_port_start); to \
    send to one takes none. A collector may need it, a sender never does.";

fn source(probe: &Probe) -> Vec<String> {
    let mut told = vec![PORTS.to_owned()];
    if probe.target.port < 1024 {
        told.push(PRIVILEGE.into());
    }
    let source = probe.source.as_ref();
    if source.is_some_and(|source| source.error.is_some()) {
        told.push("This machine's routing table (ip route) has no entry for that address: nothing can leave.".into());
    } else if source.is_some_and(|source| source.next_hop.is_some()) {
        told.push(
            "The next hop is the first router: the target is in another network, and packets are handed on.".into(),
        );
    }
    told
}

const ICMP: &str = "ICMP is how the network speaks about itself: errors (this port is closed, this packet is too long), and one \
    question, echo: are you there? ping asks the same. The round trip is the time there and back; UDP needs half of it, TCP a \
    whole one before the first message.";

fn echo(probe: &Probe) -> Vec<String> {
    let mut told = vec![ICMP.to_owned()];
    let Some(echo) = &probe.echo else { return told };
    if echo.received == 0 && matches!(echo.failure, None | Some(Answer::Silent)) {
        told.push(
            "No answer does not mean that the machine is down: many networks drop ICMP echo, and let logs through. What the \
             ports say below counts more."
                .into(),
        );
    } else if echo.received > 0 && echo.way == Some(Way::TcpConnect) {
        told.push(
            "A machine that refuses a connection (RST) has answered, too: it is there. So the time of a connection, or of a \
             refusal, is a round trip as well."
                .into(),
        );
    }
    if echo.received > 0 && echo.received < echo.sent {
        told.push(
            "Some were not answered: packets are lost on the way, or the machine limits such answers. loadgen run says what \
             becomes of messages."
                .into(),
        );
    }
    if !echo.not_permitted.is_empty() {
        told.push(
            "To send ICMP takes a permission on Linux: a group that is listed (ping_group_range), or the capability \
             CAP_NET_RAW. To send logs takes neither."
                .into(),
        );
    }
    told
}

const UDP: &str = "UDP: a message is put into one packet, a datagram, and sent; nobody says that it arrived. So an open port is \
    silent, and so is a firewall that drops: from outside they look alike. Only a closed port speaks: the machine answers by ICMP \
    that nobody listens there (port unreachable).";

const TCP: &str = "TCP: first a connection is made (SYN, SYN/ACK, ACK), so an open port answers at once, and a closed one refuses \
    (RST). Then every byte arrives, once and in order, or the sender hears that it does not. What that costs: a connection for \
    each sender, and when the collector or the network is slow, the sender waits. And it is a promise of the other kernel, not \
    of the disk: what a collector has not stored when it dies is gone.";

const LOSS: &str = "With UDP the sender never waits, so no log can hold up a program; what does not fit anywhere is lost. For \
    logs a lost datagram now and then is mostly a fair price, if somebody counts. loadgen numbers every message: `run` with \
    --check says how many were lost, and where; `compare` sends the same over UDP and TCP.";

fn ports(probe: &Probe) -> Vec<String> {
    let mut told = Vec::new();
    for port in &probe.ports {
        told.push(if port.transport == Transport::Udp { UDP } else { TCP }.to_owned());
        told.extend(meaning(port.transport, port.state, probe.is_up()).map(str::to_owned));
    }
    if probe.ports.iter().any(|port| port.transport == Transport::Udp) {
        told.push(LOSS.into());
    }
    told
}

const fn meaning(transport: Transport, state: State, is_up: bool) -> Option<&'static str> {
    Some(match (state, transport, is_up) {
        (State::Open, ..) => "Open: somebody listens, and messages that arrive are taken.",
        (State::Closed, ..) => {
            "Closed: the machine is there, but nothing listens on this port. Is the collector running, on this port, with this \
             protocol, and on this address and not only on 127.0.0.1?"
        }
        (State::Filtered, ..) => {
            "Filtered: a firewall, a router with a rule, or the collector itself turns our packets away and says so. Whoever \
             runs it can let them through."
        }
        (State::Unreachable, ..) => {
            "Unreachable: the packets do not get as far as the machine. The path shows how far they get."
        }
        (State::Silent, _, false) => "Silent, as everything about this machine: that says nothing about the port.",
        (State::Silent, Transport::Udp, true) => {
            "Silent: most likely open, as the machine is there and would have said that the port is closed, unless a firewall drops \
             our packets, or that answer."
        }
        (State::Silent, _, true) => {
            "Silent: the machine is there, and would have said yes or no. So a firewall drops the request, or the answer."
        }
        (State::NotAsked, ..) => return None,
    })
}

fn mtu(probe: &Probe) -> Vec<String> {
    let Some(mtu) = &probe.mtu else { return Vec::new() };
    let is_v4 = probe.name.used.is_none_or(|address: IpAddr| address.is_ipv4());
    let (headers, always) =
        if is_v4 { ("20 B for IP", RECEIVED_ALWAYS_BYTES.0) } else { ("40 B for IP", RECEIVED_ALWAYS_BYTES.1) };
    let mut told = vec![
        format!(
            "Each link takes packets up to some length, its MTU (Ethernet: 1500 B), and the link of a path that takes least decides: {}{} B. \
             Of that {headers} and 8 B for UDP are headers; {} B are left for a message.",
            if mtu.confirmed { "" } else { "here at most " },
            mtu.mtu_bytes,
            mtu.payload_max_bytes
        ),
        format!(
            "A longer datagram is cut into fragments, and the target puts them together. If one is lost, the whole message is, and \
             many firewalls drop fragments. So keep messages over UDP within {} B; every receiver of syslog takes at least {always} \
             B (RFC 5426). TCP cuts its stream to fit by itself.",
            mtu.payload_max_bytes
        ),
    ];
    if mtu.black_hole {
        told.push(
            "A black hole: longer packets vanish, and the ICMP message that should say so does not come. TCP then hangs once it has \
             much to send. Let ICMP 'fragmentation needed' (IPv6: 'packet too big') through the firewalls."
                .into(),
        );
    }
    if !mtu.confirmed {
        told.push("The target does not say of each packet that it has arrived, so the path may take less than this, but not more.".into());
    }
    told
}

const PATH_HOW: &str = "A packet carries a number (TTL, hop limit) that every router lowers by one. At zero it goes no further, and the \
    router says so by ICMP (time exceeded). Packets sent with 1, 2, 3, ... make the routers tell their addresses one after the other. \
    They are sent to a port that nobody has, so that the target says 'port unreachable', as an open port would say nothing; a hop \
    that does not answer is asked once more in the way that the target answered above.";

const PATH_READ: &str = "The time is there and back. A * is a hop that does not answer; many routers do not, and pass everything on \
    all the same. A hop that is slower than those behind it is only slow to answer. Where the path ends short of the target, the \
    trouble is there or at the next router.";

fn verdict(probe: &Probe) -> Vec<String> {
    let told = match (probe.usable, probe.host.map(|host| host.state)) {
        (true, _) if probe.ports.iter().any(|port| port.state == State::Open) => {
            "Messages can be sent. Whether all of them are kept is another question: loadgen run --check asks it."
        }
        (true, _) => {
            "Messages can be sent; that they arrive is likely, and not proved. loadgen run --check says what becomes of each."
        }
        (false, Some(HostState::Up)) => {
            "The machine is there, but the port does not take messages: look at the collector and at firewalls, not at the network."
        }
        (false, Some(HostState::Silent)) => {
            "Nobody answered anything. Is it the right address? Is the machine on? Does a firewall drop everything? Somebody who \
             sits at that machine can tell."
        }
        (false, Some(_)) => {
            "The packets do not arrive. Who said so is named above: that machine, or the next behind it, is the place."
        }
        (false, None) => "Nothing was sent.",
    };
    vec![told.into()]
}
