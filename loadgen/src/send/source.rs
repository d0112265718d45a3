//! Where messages come from: addresses of a range in turn, ports of a range in turn.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Addresses to send from: one, or those of a network, but not its first and its last (for IPv4 its own address and its
/// broadcast address).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRange {
    address: IpAddr,
    prefix: u8,
}

/// Ports to send from, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Where flows come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The addresses; the kernel's choice if none.
    pub addresses: Option<SourceRange>,
    /// The ports; the kernel's choice if none.
    pub ports: Option<PortRange>,
}

impl Source {
    /// What flow `flow` is bound to on its way to `to`; `None` leaves all to the kernel.
    ///
    /// # Errors
    /// When the addresses are of the other family.
    pub fn of_flow(&self, flow: u32, to: SocketAddr) -> Result<Option<SocketAddr>, String> {
        if *self == Self::default() {
            return Ok(None);
        }
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let address = self.addresses.map_or(any, |addresses| addresses.at(flow));
        if address.is_ipv4() != to.is_ipv4() {
            return Err(format!("--source {address} cannot send to {}: one is IPv4, the other IPv6", to.ip()));
        }
        // Ports advance when the addresses are used up, so that no two flows meet.
        let round = u64::from(flow) / self.addresses.map_or(1, |addresses| addresses.count());
        Ok(Some(SocketAddr::new(address, self.ports.map_or(0, |ports| ports.at(round)))))
    }

    /// Flows that can be told apart; `None` when the kernel chooses the ports.
    #[must_use]
    pub fn flows_max(&self) -> Option<u64> {
        let addresses = self.addresses.map_or(1, |addresses| addresses.count());
        self.ports.map(|ports| addresses.saturating_mul(u64::from(ports.last - ports.first) + 1))
    }
}

impl SourceRange {
    fn count(self) -> u64 {
        match self.host_bits() {
            0 => 1,
            1 => 2,
            bits => (1u64 << bits.min(32)) - 2,
        }
    }

    fn host_bits(self) -> u32 {
        let bits = if self.address.is_ipv4() { 32 } else { 128 };
        bits - u32::from(self.prefix)
    }

    fn at(self, number: u32) -> IpAddr {
        let first = if self.host_bits() < 2 { 0 } else { 1 };
        let host = u128::from(u64::from(number) % self.count() + first);
        match self.address {
            IpAddr::V4(address) => Ipv4Addr::from(address.to_bits() | host as u32).into(),
            IpAddr::V6(address) => Ipv6Addr::from(address.to_bits() | host).into(),
        }
    }
}

impl PortRange {
    fn at(self, number: u64) -> u16 {
        self.first + (number % (u64::from(self.last - self.first) + 1)) as u16
    }
}

impl FromStr for SourceRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused =
            || format!("`{text}` is no address: write one, such as 192.0.2.7, or a network, such as 127.0.0.0/8");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(refused)?,
        };
        let range = Self { address, prefix };
        let host_mask = u128::MAX.checked_shr(128 - range.host_bits()).unwrap_or(0);
        let low = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        if low & host_mask == 0 { Ok(range) } else { Err(format!("{text} has bits set behind its first {prefix}")) }
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err(format!("`{text}` is no range of ports: write it as 20000-20999")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: Option<String>| part.unwrap_or_else(|| "*".into());
        let addresses = part(self.addresses.map(|addresses| addresses.to_string()));
        write!(f, "{addresses} {}", part(self.ports.map(|ports| ports.to_string())))
    }
}

impl fmt::Display for SourceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flows(addresses: &str, ports: Option<&str>, count: u32) -> Vec<String> {
        let source =
            Source { addresses: Some(addresses.parse().unwrap()), ports: ports.map(|ports| ports.parse().unwrap()) };
        let to = "127.0.0.1:514".parse().unwrap();
        (0..count).map(|flow| source.of_flow(flow, to).unwrap().unwrap().to_string()).collect()
    }

    #[test]
    fn flows_go_through_the_addresses_and_then_the_ports() {
        assert_eq!(flows("127.0.1.0/30", None, 3), ["127.0.1.1:0", "127.0.1.2:0", "127.0.1.1:0"]);
        assert_eq!(flows("127.9.9.9", Some("7-8"), 3), ["127.9.9.9:7", "127.9.9.9:8", "127.9.9.9:7"]);
        assert_eq!(flows("127.0.1.0/31", Some("7-8"), 4), ["127.0.1.0:7", "127.0.1.1:7", "127.0.1.0:8", "127.0.1.1:8"]);
        let source = Source { addresses: "127.0.0.0/8".parse().ok(), ports: None };
        let last = source.of_flow((1 << 24) - 3, "127.0.0.1:1".parse().unwrap()).unwrap().unwrap();
        assert_eq!(last.to_string(), "127.255.255.254:0");
        assert_eq!(Source::default().of_flow(3, last), Ok(None));
        assert!(source.of_flow(0, "[::1]:1".parse().unwrap()).unwrap_err().contains("IPv6"));
        let source = Source { addresses: "127.0.1.0/30".parse().ok(), ports: "1-3".parse().ok() };
        assert_eq!(source.flows_max(), Some(6));
    }

    #[test]
    fn what_is_no_range_is_told() {
        for text in ["x", "127.0.0.0/33", "127.0.0.1/8", "::1/64", ""] {
            assert!(text.parse::<SourceRange>().is_err(), "{text}");
        }
        for text in ["0-5", "5-4", "x", "1-70000"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
