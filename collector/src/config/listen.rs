//! Where messages are taken: `udp://ADDRESS:PORT`, `tcp://ADDRESS:PORT`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One message a datagram (RFC 5426).
    Udp,
    /// Messages on a stream (RFC 6587).
    Tcp,
}

impl Transport {
    /// The scheme of its URLs and the label of its metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A listener: transport, address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListenUrl {
    /// How messages come.
    pub transport: Transport,
    /// Where they come; port 0 lets the kernel choose.
    pub address: SocketAddr,
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport.name(), self.address)
    }
}

impl FromStr for ListenUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let refused = |why: &str| {
            format!(
                "`{url}` is not a listen URL: {why}; write it as udp://0.0.0.0:514, tcp://[::]:514 or udp://127.0.0.1:0"
            )
        };
        let Some((scheme, address)) = url.split_once("://") else {
            return Err(refused("it has no transport"));
        };
        let transport = match scheme {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => return Err(refused("the transport must be udp or tcp")),
        };
        match address.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_multicast() => Err(refused("multicast groups are not joined yet")),
            Ok(address) => Ok(Self { transport, address }),
            Err(_) if address.parse::<std::net::IpAddr>().is_ok() => Err(refused("it has no port")),
            Err(_) => Err(refused("behind :// must stand an IP address and a port")),
        }
    }
}

impl TryFrom<String> for ListenUrl {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        url.parse()
    }
}

impl From<ListenUrl> for String {
    fn from(url: ListenUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::ListenUrl;

    #[test]
    fn urls_come_back() {
        for url in ["udp://127.0.0.1:5514", "tcp://[::]:514", "udp://[fe80::1%2]:514", "tcp://0.0.0.0:0"] {
            assert_eq!(url.parse::<ListenUrl>().unwrap().to_string(), url);
        }
    }

    #[test]
    fn what_is_no_url_is_told_why() {
        for (url, why) in [
            ("127.0.0.1:514", "it has no transport"),
            ("udp:/127.0.0.1:514", "it has no transport"),
            ("icmp://127.0.0.1:514", "must be udp or tcp"),
            ("udp://127.0.0.1", "it has no port"),
            ("udp://localhost:514", "must stand an IP address and a port"),
            ("udp://127.0.0.1:70000", "must stand an IP address and a port"),
            ("udp://239.1.2.3:514", "multicast groups are not joined"),
            ("tcp://", "must stand an IP address and a port"),
        ] {
            let refused = url.parse::<ListenUrl>().unwrap_err();
            assert!(refused.contains(why) && refused.contains(url), "{refused}");
        }
    }
}
