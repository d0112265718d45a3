//! Where to send: `udp://HOST:PORT`, `tcp://HOST:PORT`.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// How messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One message a datagram.
    Udp,
    /// Messages on a stream.
    Tcp,
}

/// A collector's listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How messages are sent.
    pub transport: Transport,
    /// Host and port as given.
    host_and_port: String,
}

impl Target {
    /// The first address of the host.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn resolve(&self) -> Result<SocketAddr, String> {
        let resolved = self.host_and_port.to_socket_addrs();
        let mut addresses = resolved.map_err(|error| format!("{self}: {error}"))?;
        addresses.next().ok_or_else(|| format!("{self}: the host has no address"))
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let refused =
            |why: &str| format!("`{url}` is not a target: {why}; write it as udp://127.0.0.1:5514 or tcp://host:514");
        let (scheme, host_and_port) = url.split_once("://").ok_or_else(|| refused("it has no transport"))?;
        let transport = match scheme {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => return Err(refused("the transport must be udp or tcp")),
        };
        let port = host_and_port.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            None => Err(refused("it has no port")),
            Some(Ok(1..)) => Ok(Self { transport, host_and_port: host_and_port.to_owned() }),
            Some(_) => Err(refused("the port must be 1 to 65535")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        write!(f, "{scheme}://{}", self.host_and_port)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn targets_come_back_and_resolve() {
        for url in ["udp://127.0.0.1:5514", "tcp://[::1]:514", "tcp://localhost:1"] {
            let target: Target = url.parse().unwrap();
            assert_eq!(target.to_string(), url);
            target.resolve().unwrap();
        }
    }

    #[test]
    fn what_is_no_target_is_told_why() {
        for (url, why) in [
            ("127.0.0.1:5514", "it has no transport"),
            ("http://x:1", "must be udp or tcp"),
            ("udp://localhost", "it has no port"),
            ("udp://localhost:0", "the port must be"),
            ("udp://localhost:x", "the port must be"),
        ] {
            let refused = url.parse::<Target>().unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
