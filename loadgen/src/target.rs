//! Where to send: `udp://HOST:PORT`, `tcp://HOST:PORT`, `tls://HOST:PORT`, `unix:///PATH`, `unixgram:///PATH`.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::str::FromStr;

/// Longest path of a socket, bytes: `sun_path` has 108, one of them for NUL (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// How messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One message a datagram.
    Udp,
    /// Messages on a stream (RFC 6587).
    Tcp,
    /// The same, encrypted (RFC 5425).
    Tls,
    /// Messages on a stream of this machine.
    Unix,
    /// One message a datagram of this machine.
    Unixgram,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Unix, Self::Unixgram];

    /// The scheme of its URLs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Unix => "unix",
            Self::Unixgram => "unixgram",
        }
    }

    /// Whether messages need framing.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Unix)
    }

    /// Whether its listeners are names in the file system.
    #[must_use]
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Unix | Self::Unixgram)
    }
}

/// A collector's listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How messages are sent.
    pub transport: Transport,
    /// Host and port, or path, as given.
    place: String,
}

impl Target {
    /// The first address of the host. One of IPv4 that is written as IPv6 (RFC 4291 section 2.5.5.2) is one of IPv4: only so
    /// does a socket hear what ICMP says of it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn resolve(&self) -> Result<SocketAddr, String> {
        let port = self.place.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let port = port.ok_or("it has no port")?;
        // Without brackets, so that a zone may have the name of its interface (RFC 4007 section 11.2).
        let mut addresses = (self.host(), port).to_socket_addrs().map_err(|error| error.to_string())?;
        let address = addresses.next().ok_or("the host has no address")?;
        Ok(match address.ip().to_canonical() {
            IpAddr::V4(ip) => (ip, address.port()).into(),
            IpAddr::V6(_) => address,
        })
    }

    /// The host without its port, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.place.rsplit_once(':').map_or(&*self.place, |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The name of a local socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(&self.place)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let refused = |why: &str| {
            format!(
                "`{url}` is not a target: {why}; write it as udp://127.0.0.1:5514, tcp://host:514 or unix:///run/log"
            )
        };
        let (scheme, place) = url.split_once("://").ok_or_else(|| refused("it has no transport"))?;
        let transport = Transport::ALL.into_iter().find(|transport| transport.name() == scheme);
        let transport = transport.ok_or_else(|| refused("the transport must be udp, tcp, tls, unix or unixgram"))?;
        let checked = if transport.is_local() { check_path(place) } else { check_port(place) };
        checked.map_err(|why| refused(&why))?;
        Ok(Self { transport, place: place.to_owned() })
    }
}

fn check_port(host_and_port: &str) -> Result<(), String> {
    match host_and_port.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
        None => Err("it has no port".into()),
        Some(Ok(1..)) => Ok(()),
        Some(_) => Err("the port must be 1 to 65535".into()),
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        Err("the path must be absolute, with three slashes in all".into())
    } else if path.len() > PATH_BYTES_MAX {
        Err(format!("the path has {} B, but a socket's has at most {PATH_BYTES_MAX} B", path.len()))
    } else {
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport.name(), self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_come_back_and_resolve() {
        for (url, host) in [
            ("udp://127.0.0.1:5514", "127.0.0.1"),
            ("tcp://[::1]:514", "::1"),
            ("tcp://localhost:1", "localhost"),
            ("tls://127.0.0.1:6514", "127.0.0.1"),
        ] {
            let target: Target = url.parse().unwrap();
            assert_eq!((target.to_string().as_str(), target.host()), (url, host));
            target.resolve().unwrap();
        }
        let on_a_link: Target = "udp://[fe80::1%lo]:514".parse().unwrap();
        assert!(matches!(on_a_link.resolve(), Ok(SocketAddr::V6(address)) if address.scope_id() != 0));
    }

    #[test]
    fn local_targets_are_paths() {
        for url in ["unix:///run/collector.sock", "unixgram:///dev/log"] {
            let target: Target = url.parse().unwrap();
            assert_eq!(target.to_string(), url);
            assert_eq!(target.path(), Path::new(url.split_once("://").unwrap().1));
        }
    }

    #[test]
    fn what_is_no_target_is_told_why() {
        let long = format!("unix:///{}", "x".repeat(107));
        for (url, why) in [
            ("127.0.0.1:5514", "it has no transport"),
            ("http://x:1", "must be udp, tcp, tls, unix or unixgram"),
            ("udp://localhost", "it has no port"),
            ("udp://localhost:0", "the port must be"),
            ("tls://localhost:x", "the port must be"),
            ("unix://run/log", "the path must be absolute"),
            ("unixgram://", "the path must be absolute"),
            (&long, "the path has 108 B, but a socket's has at most 107 B"),
        ] {
            let refused = url.parse::<Target>().unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
