//! Where messages are taken: `udp://ADDRESS:PORT`, `tcp://ADDRESS:PORT`, `tls://ADDRESS:PORT`, `unix:///PATH`, `unixgram:///PATH`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::network::Network;

/// How messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One message a datagram (RFC 5426).
    Udp,
    /// Messages on a stream (RFC 6587).
    Tcp,
    /// The same, encrypted (RFC 5425).
    Tls,
    /// Messages on a stream of this machine.
    Unix,
    /// One message a datagram of this machine, as /dev/log takes them.
    Unixgram,
}

impl Transport {
    const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Unix, Self::Unixgram];

    /// The scheme of its URLs and the label of its metrics.
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

    /// Whether its listeners are names in the file system.
    #[must_use]
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Unix | Self::Unixgram)
    }
}

/// The place of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address and a port; port 0 lets the kernel choose.
    Address(SocketAddr),
    /// A name in the file system.
    Path(PathBuf),
}

/// One listener: how messages come, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenUrl {
    /// How messages come.
    pub transport: Transport,
    /// Where they come.
    pub place: Place,
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Address(address) => write!(f, "{}://{address}", self.transport.name()),
            Place::Path(path) => write!(f, "{}://{}", self.transport.name(), path.display()),
        }
    }
}

/// An entry of `listen`: a URL, which may name several ports, and what is to hold for it alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    url: ListenUrl,
    /// Last port of a range; the URL has the first.
    port_last: Option<u16>,
    /// Who may send here, in place of `receive.allow`.
    pub allow: Option<Vec<Network>>,
    /// Mode of a local socket.
    pub mode: Option<Mode>,
    /// Name of the group that a local socket is given.
    pub group: Option<String>,
    /// Name of the interface on which a multicast group is joined.
    pub interface: Option<String>,
}

/// Permission bits, written in octal: `"0660"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

/// An entry that is a table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow: Option<Vec<Network>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
}

impl Listen {
    /// A listener at an address, without options of its own.
    #[must_use]
    pub const fn at(transport: Transport, address: SocketAddr) -> Self {
        Self::of(ListenUrl { transport, place: Place::Address(address) }, None)
    }

    const fn of(url: ListenUrl, port_last: Option<u16>) -> Self {
        Self { url, port_last, allow: None, mode: None, group: None, interface: None }
    }

    /// A listener for each port.
    pub fn urls(&self) -> impl Iterator<Item = ListenUrl> + '_ {
        let ports = match (&self.url.place, self.port_last) {
            (Place::Address(address), Some(last)) => address.port()..=last,
            (Place::Address(address), None) => address.port()..=address.port(),
            (Place::Path(_), _) => 0..=0,
        };
        ports.map(|port| {
            let mut url = self.url.clone();
            if let Place::Address(address) = &mut url.place {
                address.set_port(port);
            }
            url
        })
    }

    /// How messages come.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.url.transport
    }

    /// What does not go together, if anything.
    fn refusal(&self) -> Option<&'static str> {
        let is_local = self.transport().is_local();
        let is_multicast = matches!(self.url.place, Place::Address(address) if address.ip().is_multicast());
        match () {
            () if self.allow.is_some() && is_local => {
                Some("`allow` is for networks: who may send here, `mode` and `group` say")
            }
            () if (self.mode.is_some() || self.group.is_some()) && !is_local => {
                Some("`mode` and `group` are for unix:// and unixgram://")
            }
            () if self.interface.is_some() && !is_multicast => Some("`interface` is for multicast groups"),
            () => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)?;
        self.port_last.map_or(Ok(()), |last| write!(f, "-{last}"))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, port_last) = parse_url(text).map_err(|why| {
            format!(
                "`{text}` is not a listen URL: {why}; write it as udp://0.0.0.0:514, tcp://[::]:514, tls://0.0.0.0:6514, \
                 udp://127.0.0.1:0, udp://0.0.0.0:32000-32003, unix:///run/logboom.sock or unixgram:///dev/log"
            )
        })?;
        Ok(Self::of(url, port_last))
    }
}

fn parse_url(text: &str) -> Result<(ListenUrl, Option<u16>), &'static str> {
    /// sun_path of unix(7), less the NUL at its end.
    const PATH_BYTES_MAX: usize = 107;
    let (scheme, place) = text.split_once("://").ok_or("it has no transport")?;
    let transport = Transport::ALL.into_iter().find(|transport| transport.name() == scheme);
    let transport = transport.ok_or("the transport must be udp, tcp, tls, unix or unixgram")?;
    if transport.is_local() {
        return match place {
            _ if !place.starts_with('/') => Err("behind :// must stand an absolute path, and so three slashes in all"),
            _ if place.len() > PATH_BYTES_MAX => Err("a socket's path has at most 107 bytes (unix(7))"),
            _ => Ok((ListenUrl { transport, place: Place::Path(place.into()) }, None)),
        };
    }
    let (address, last) = match place.rsplit_once('-') {
        Some((address, last)) => (address, Some(last.parse::<u16>().map_err(|_| "behind - must stand the last port")?)),
        None => (place, None),
    };
    let address = address.parse::<SocketAddr>().map_err(|_| {
        if address.parse::<std::net::IpAddr>().is_ok() {
            "it has no port"
        } else {
            "behind :// must stand an IP address and a port"
        }
    })?;
    match last {
        Some(last) if address.port() == 0 || last <= address.port() => {
            Err("the last port must be greater than the first")
        }
        _ if address.ip().is_multicast() && transport != Transport::Udp => Err("only udp has multicast groups"),
        _ => Ok((ListenUrl { transport, place: Place::Address(address) }, last)),
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| (1..=0o777).contains(mode));
        mode.map(Self)
            .ok_or_else(|| format!("mode is `{text}`, but must be permission bits in octal, such as \"0660\""))
    }
}

impl TryFrom<Table> for Listen {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let mode = table.mode.map(|mode| mode.parse()).transpose()?;
        let listen =
            Self { allow: table.allow, mode, group: table.group, interface: table.interface, ..table.url.parse()? };
        match listen.refusal() {
            Some(why) => Err(format!("listen on {listen}: {why}")),
            None => Ok(listen),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlOrTable;

        impl<'de> Visitor<'de> for UrlOrTable {
            type Value = Listen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a listen URL, or a table with `url` and options")
            }

            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Listen, E> {
                url.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Listen, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(table))?;
                table.try_into().map_err(serde::de::Error::custom)
            }
        }
        deserializer.deserialize_any(UrlOrTable)
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let url = self.to_string();
        let Self { url: _, port_last: _, allow, mode, group, interface } = self.clone();
        if allow.is_none() && mode.is_none() && group.is_none() && interface.is_none() {
            return serializer.serialize_str(&url);
        }
        let mode = mode.map(|Mode(bits)| format!("{bits:04o}"));
        Table { url, allow, mode, group, interface }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_back() {
        for url in [
            "udp://127.0.0.1:5514",
            "tcp://[::]:514",
            "udp://[fe80::1%2]:514",
            "tcp://0.0.0.0:0",
            "tls://0.0.0.0:6514",
            "udp://0.0.0.0:32000-32003",
            "udp://239.1.2.3:514",
            "unix:///run/logboom.sock",
            "unixgram:///dev/log",
        ] {
            assert_eq!(url.parse::<Listen>().unwrap().to_string(), url);
        }
    }

    #[test]
    fn a_range_is_a_listener_for_each_port() {
        let urls = |text: &str| text.parse::<Listen>().unwrap().urls().map(|url| url.to_string()).collect::<Vec<_>>();
        assert_eq!(urls("udp://[::1]:32000-32002"), ["udp://[::1]:32000", "udp://[::1]:32001", "udp://[::1]:32002"]);
        assert_eq!(urls("tcp://0.0.0.0:514"), ["tcp://0.0.0.0:514"]);
        assert_eq!(urls("unix:///a"), ["unix:///a"]);
    }

    #[test]
    fn what_is_no_url_is_told_why() {
        let long = format!("unix:///{}", "x".repeat(107));
        for (url, why) in [
            ("127.0.0.1:514", "it has no transport"),
            ("udp:/127.0.0.1:514", "it has no transport"),
            ("icmp://127.0.0.1:514", "must be udp, tcp, tls, unix or unixgram"),
            ("udp://127.0.0.1", "it has no port"),
            ("udp://localhost:514", "must stand an IP address and a port"),
            ("udp://127.0.0.1:70000", "must stand an IP address and a port"),
            ("udp://127.0.0.1:514-514", "must be greater than the first"),
            ("udp://127.0.0.1:0-5", "must be greater than the first"),
            ("udp://127.0.0.1:514-x", "must stand the last port"),
            ("tcp://239.1.2.3:514", "only udp has multicast groups"),
            ("tcp://", "must stand an IP address and a port"),
            ("unix://run/log", "must stand an absolute path"),
            (&long, "at most 107 bytes"),
        ] {
            let refused = url.parse::<Listen>().unwrap_err();
            assert!(refused.contains(why) && refused.contains(url), "{refused}");
        }
    }

    #[test]
    fn a_table_has_options_of_its_own_and_those_only_where_they_mean_something() {
        let parse = |text: &str| toml::from_str::<std::collections::BTreeMap<String, Listen>>(text);
        for table in [
            "x = { url = \"udp://0.0.0.0:514\", allow = [\"10.0.0.0/8\"] }",
            "x = { url = \"unix:///run/log\", mode = \"0660\", group = \"adm\" }",
            "x = { url = \"udp://239.1.2.3:514\", interface = \"eth0\" }",
        ] {
            let parsed = parse(table).unwrap();
            assert_eq!(parse(&toml::to_string(&parsed).unwrap()).unwrap(), parsed, "{table}");
        }
        for (table, why) in [
            ("x = { url = \"unix:///run/log\", allow = [] }", "`allow` is for networks"),
            ("x = { url = \"tcp://0.0.0.0:514\", mode = \"0660\" }", "`mode` and `group` are for unix://"),
            ("x = { url = \"udp://0.0.0.0:514\", interface = \"eth0\" }", "`interface` is for multicast"),
            ("x = { url = \"unix:///run/log\", mode = \"999\" }", "permission bits in octal"),
            ("x = { url = \"udp://0.0.0.0:514\", allow = [\"10\"] }", "is no network"),
            ("x = { url = \"udp://0.0.0.0:514\", allowed = [] }", "unknown field `allowed`"),
            ("x = { allow = [] }", "missing field `url`"),
            ("x = 514", "a listen URL, or a table"),
        ] {
            let refused = parse(table).unwrap_err().to_string();
            assert!(refused.contains(why), "{table}: {refused}");
        }
    }
}
