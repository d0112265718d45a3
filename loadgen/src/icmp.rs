//! What the network says of a packet that it did not deliver.

use logboom_udp::Origin;
use serde::Serialize;

/// The messages of ICMP (RFC 792, RFC 1812 section 5.2.7.1) and ICMPv6 (RFC 4443 section 3), as far as they make a
/// difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Icmp {
    /// Nobody listens on that port.
    PortUnreachable,
    /// No way to that network.
    NetworkUnreachable,
    /// The network is there, the machine does not answer.
    HostUnreachable,
    /// Longer than the next link takes, and not to be cut.
    TooBig,
    /// A rule forbids it.
    Prohibited,
    /// It has passed as many routers as it was allowed to.
    TimeExceeded,
    /// Anything else.
    Other,
}

impl Icmp {
    /// What an answer says; `None` when it was no answer of the network.
    #[must_use]
    pub const fn of(origin: Origin) -> Option<Self> {
        Some(match origin {
            Origin::Local => return None,
            Origin::Icmp(3, 3) | Origin::Icmp6(1, 4) => Self::PortUnreachable,
            Origin::Icmp(3, 0 | 6) | Origin::Icmp6(1, 0) => Self::NetworkUnreachable,
            Origin::Icmp(3, 1 | 7) | Origin::Icmp6(1, 3) => Self::HostUnreachable,
            Origin::Icmp(3, 4) | Origin::Icmp6(2, _) => Self::TooBig,
            Origin::Icmp(3, 9 | 10 | 13) | Origin::Icmp6(1, 1 | 5 | 6) => Self::Prohibited,
            Origin::Icmp(11, _) | Origin::Icmp6(3, _) => Self::TimeExceeded,
            Origin::Icmp(..) | Origin::Icmp6(..) => Self::Other,
        })
    }

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PortUnreachable => "port_unreachable",
            Self::NetworkUnreachable => "network_unreachable",
            Self::HostUnreachable => "host_unreachable",
            Self::TooBig => "too_big",
            Self::Prohibited => "prohibited",
            Self::TimeExceeded => "time_exceeded",
            Self::Other => "other",
        }
    }

    /// The same in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::PortUnreachable => "port unreachable",
            Self::NetworkUnreachable => "network unreachable",
            Self::HostUnreachable => "host unreachable",
            Self::TooBig => "packet too big",
            Self::Prohibited => "administratively prohibited",
            Self::TimeExceeded => "time exceeded",
            Self::Other => "another ICMP error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_protocols_say_the_same() {
        for (icmp, icmp6, name) in [
            ((3, 3), (1, 4), "port_unreachable"),
            ((3, 0), (1, 0), "network_unreachable"),
            ((3, 1), (1, 3), "host_unreachable"),
            ((3, 4), (2, 0), "too_big"),
            ((3, 13), (1, 1), "prohibited"),
            ((11, 0), (3, 0), "time_exceeded"),
            ((12, 0), (4, 0), "other"),
        ] {
            let told = |origin| Icmp::of(origin).map(Icmp::name);
            assert_eq!(told(Origin::Icmp(icmp.0, icmp.1)), Some(name));
            assert_eq!(told(Origin::Icmp6(icmp6.0, icmp6.1)), Some(name));
            assert_eq!(serde_json::json!(Icmp::of(Origin::Icmp(icmp.0, icmp.1))), name);
        }
        assert_eq!(Icmp::of(Origin::Local), None);
    }
}
