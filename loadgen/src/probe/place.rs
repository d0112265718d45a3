//! What is probed: `HOST`, `HOST:PORT`, or a URL as `run` takes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;

use serde::Serialize;

use crate::target::Transport;

/// The port of syslog, over UDP (RFC 5426 section 3.3) and by habit over TCP (RFC 6587 section 3.4).
const SYSLOG_PORT: u16 = 514;
/// The port of syslog over TLS (RFC 5425 section 4.1).
const SYSLOG_TLS_PORT: u16 = 6514;

/// Longest name of a host (RFC 1035 section 2.3.4), bytes.
const HOST_BYTES_MAX: usize = 255;

/// Most addresses of a name that are told.
const ADDRESSES_MAX: usize = 64;

/// Longest wait for the addresses of a name.
pub(super) const RESOLVE_TIME: Duration = Duration::from_secs(10);

/// A host, a port of it, and over what to ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Name or address, without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// UDP, TCP or both; TLS is a TCP port.
    #[serde(serialize_with = "names")]
    pub transports: Vec<Transport>,
}

/// Which addresses of a name will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// As the resolver orders them (RFC 6724).
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

fn names<S: serde::Serializer>(transports: &[Transport], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(transports.iter().map(|transport| transport.name()))
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: &str| {
            format!(
                "`{text}` cannot be probed: {why}; write it as collector, 10.0.0.5:514, [::1]:514 or udp://host:514"
            )
        };
        let (transports, port, rest) = match text.split_once("://") {
            None => (vec![Transport::Udp, Transport::Tcp], SYSLOG_PORT, text),
            Some(("udp", rest)) => (vec![Transport::Udp], SYSLOG_PORT, rest),
            Some(("tcp", rest)) => (vec![Transport::Tcp], SYSLOG_PORT, rest),
            Some(("tls", rest)) => (vec![Transport::Tcp], SYSLOG_TLS_PORT, rest),
            Some(("unix" | "unixgram", _)) => return Err(refused("a socket of this machine has no network before it")),
            Some(_) => return Err(refused("the transport must be udp, tcp or tls")),
        };
        let (host, written) = split(rest).map_err(&refused)?;
        let port = match written.map(str::parse::<u16>) {
            None => port,
            Some(Ok(port @ 1..)) => port,
            Some(_) => return Err(refused("the port must be 1 to 65535")),
        };
        match host.len() {
            0 => Err(refused("it has no host")),
            1..=HOST_BYTES_MAX => Ok(Self { host: host.to_owned(), port, transports }),
            bytes => Err(refused(&format!("the host has {bytes} B, but a name has at most {HOST_BYTES_MAX} B"))),
        }
    }
}

/// Host and port. An IPv6 address needs no brackets where no port follows.
fn split(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("behind the bracket stands something that is no port"),
        };
    }
    match text.matches(':').count() {
        0 => Ok((text, None)),
        1 => Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))),
        _ if text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()) => Ok((text, None)),
        _ => Err("it is no IPv6 address; with a port it stands in brackets"),
    }
}

impl Place {
    /// The addresses of the host, at most 64, IPv4 as such; asks the resolver for at most 10 s.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let (tell, told) = mpsc::channel();
        let (host, port) = (self.host.clone(), self.port);
        // getaddrinfo(3) cannot be told how long to try; a thread that hangs in it ends with the program.
        std::thread::spawn(move || {
            let found =
                (host.as_str(), port).to_socket_addrs().map(|addresses| addresses.take(ADDRESSES_MAX).collect());
            let _ = tell.send(found);
        });
        let found: Vec<_> = told
            .recv_timeout(RESOLVE_TIME)
            .map_err(|_| format!("the resolver gave no answer within {} s", RESOLVE_TIME.as_secs()))?
            .map_err(|error| error.to_string())?;
        if found.is_empty() {
            Err("the name has no address".into())
        } else {
            Ok(found.into_iter().map(plain).collect())
        }
    }
}

/// An IPv4 address that is written as an IPv6 one is reached by IPv4 (RFC 4291 section 2.5.5.2), and the unspecified one is this
/// machine (connect(2)).
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

impl Family {
    /// The first of `addresses` that will do.
    ///
    /// # Errors
    /// Why none does, in words.
    pub fn choose(self, addresses: &[SocketAddr]) -> Result<SocketAddr, String> {
        let will_do = |address: &&SocketAddr| match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        };
        let chosen = addresses
            .iter()
            .find(will_do)
            .ok_or_else(|| format!("it has no {} address", if self == Self::V4 { "IPv4" } else { "IPv6" }))?;
        let ip = chosen.ip();
        if ip.is_multicast() || ip == IpAddr::from([255; 4]) {
            return Err(format!("{ip} stands for many machines; probe one of them"));
        }
        Ok(*chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        use Transport::{Tcp, Udp};
        for (text, host, port, transports) in [
            ("collector", "collector", 514, vec![Udp, Tcp]),
            ("10.0.0.5:5514", "10.0.0.5", 5514, vec![Udp, Tcp]),
            ("::1", "::1", 514, vec![Udp, Tcp]),
            ("fe80::1%eth0", "fe80::1%eth0", 514, vec![Udp, Tcp]),
            ("[::1]", "::1", 514, vec![Udp, Tcp]),
            ("[2001:db8::1]:601", "2001:db8::1", 601, vec![Udp, Tcp]),
            ("udp://collector", "collector", 514, vec![Udp]),
            ("tcp://[::1]:1514", "::1", 1514, vec![Tcp]),
            ("tls://collector", "collector", 6514, vec![Tcp]),
        ] {
            let place = Place { host: host.into(), port, transports };
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_told_why() {
        let long = "x".repeat(256);
        for (text, why) in [
            ("", "it has no host"),
            (":514", "it has no host"),
            ("host:0", "the port must be 1 to 65535"),
            ("host:65536", "the port must be 1 to 65535"),
            ("host:syslog", "the port must be 1 to 65535"),
            ("http://host", "the transport must be udp, tcp or tls"),
            ("unix:///dev/log", "has no network before it"),
            ("[::1", "the bracket is not closed"),
            ("[::1]514", "no port"),
            ("a:b:c", "no IPv6 address"),
            (&long, "the host has 256 B, but a name has at most 255 B"),
        ] {
            let refused = text.parse::<Place>().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn addresses_are_resolved_and_the_family_chooses() {
        let place: Place = "[::ffff:127.0.0.1]:9".parse().unwrap();
        assert_eq!(place.resolve(), Ok(vec!["127.0.0.1:9".parse().unwrap()]));
        let this_machine: Place = "[::]:9".parse().unwrap();
        assert_eq!(this_machine.resolve(), Ok(vec!["[::1]:9".parse().unwrap()]));
        let addresses = ["[::1]:9", "127.0.0.1:9"].map(|address| address.parse().unwrap());
        assert_eq!(Family::Any.choose(&addresses), Ok(addresses[0]));
        assert_eq!(Family::V4.choose(&addresses), Ok(addresses[1]));
        assert_eq!(Family::V6.choose(&addresses[1..]).unwrap_err(), "it has no IPv6 address");
        let many = |address: &str| Family::Any.choose(&[address.parse().unwrap()]).unwrap_err();
        assert!(many("239.1.2.3:514").contains("many machines") && many("[ff02::1]:514").contains("many machines"));
    }
}
