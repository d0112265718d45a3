//! What became of one packet, whatever it was.

use std::fmt;
use std::io;
use std::net::IpAddr;

use logboom_udp::SendError;
use rustix::io::Errno;
use serde::{Serialize, Serializer};

use crate::icmp::Icmp;

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The kernel of this machine.
    Here,
    /// The machine of this address.
    Address(IpAddr),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("this machine"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Serialize for By {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The target did what was asked for: it echoed, accepted, or sent something back.
    Reply,
    /// The target refused a connection (RST, RFC 9293 section 3.5.2).
    Reset,
    /// It was not delivered, and somebody says why.
    Undelivered {
        /// Why.
        why: Icmp,
        /// Who says so.
        by: By,
        /// What the next link takes, bytes; 0 but for [`Icmp::TooBig`].
        mtu_bytes: u32,
    },
    /// This machine could not send it, for a reason (errno(3)) that says nothing about the target.
    Failed(i32),
    /// Nothing came back in time.
    Silent,
}

impl Answer {
    /// An error from the queue of a socket that sends to `target` from `own`. That a neighbour does not answer is told by ICMP
    /// from our own address (ipv4_link_failure in net/ipv4/route.c).
    #[must_use]
    pub fn of(error: &SendError, target: IpAddr, own: Option<IpAddr>) -> Self {
        let is_own = |address: IpAddr| Some(address) == own && address != target;
        match (Icmp::of(error.origin), error.offender) {
            (Some(why), Some(address)) if !is_own(address) => {
                Self::Undelivered { why, by: By::Address(address), mtu_bytes: error.mtu_bytes }
            }
            (Some(why), _) => Self::Undelivered { why, by: By::Here, mtu_bytes: error.mtu_bytes },
            (None, _) => Self::refused(error.errno, error.mtu_bytes),
        }
    }

    /// What this machine says when it does not send: a route that leads nowhere or is forbidden (ip-route(8): unreachable,
    /// blackhole, prohibit), a firewall of its own (EPERM), or a packet that is too long.
    #[must_use]
    pub fn refused(errno: i32, mtu_bytes: u32) -> Self {
        let why = match Errno::from_raw_os_error(errno) {
            Errno::NETUNREACH | Errno::INVAL => Icmp::NetworkUnreachable,
            Errno::HOSTUNREACH => Icmp::HostUnreachable,
            Errno::ACCESS | Errno::PERM => Icmp::Prohibited,
            Errno::MSGSIZE => Icmp::TooBig,
            _ => return Self::Failed(errno),
        };
        Self::Undelivered { why, by: By::Here, mtu_bytes }
    }

    /// Whether the target's own network stack has answered: then it is up, whatever it said.
    #[must_use]
    pub fn is_from(&self, target: IpAddr) -> bool {
        match self {
            Self::Reply | Self::Reset => true,
            Self::Undelivered { by: By::Address(address), why, .. } => *address == target && *why != Icmp::TimeExceeded,
            Self::Undelivered { .. } | Self::Failed(_) | Self::Silent => false,
        }
    }
}

/// An error without its number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(&*text, |(words, _)| words).to_owned()
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply => f.write_str("a reply"),
            Self::Reset => f.write_str("a reset"),
            Self::Undelivered { why, by, .. } => write!(f, "{by} says: {}", why.words()),
            Self::Failed(errno) => f.write_str(&words(&io::Error::from_raw_os_error(*errno))),
            Self::Silent => f.write_str("silence"),
        }
    }
}

#[cfg(test)]
mod tests {
    use logboom_udp::Origin;

    use super::*;

    fn error(origin: Origin, offender: &str) -> SendError {
        SendError { errno: 113, origin, mtu_bytes: 0, offender: offender.parse().ok(), sent: None }
    }

    #[test]
    fn who_says_so_is_told_apart() {
        let [target, own]: [IpAddr; 2] = ["10.0.0.5", "10.0.0.1"].map(|address| address.parse().unwrap());
        let by = |error: &SendError| match Answer::of(error, target, Some(own)) {
            Answer::Undelivered { by, .. } => by.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(by(&error(Origin::Icmp(3, 1), "10.9.9.9")), "10.9.9.9");
        assert_eq!(by(&error(Origin::Icmp(3, 3), "10.0.0.5")), "10.0.0.5");
        assert_eq!(by(&error(Origin::Icmp(3, 1), "10.0.0.1")), "this machine", "a neighbour does not answer");
        assert_eq!(by(&error(Origin::Local, "")), "this machine");
        // A machine that asks itself is the target.
        let itself = Answer::of(&error(Origin::Icmp(3, 3), "10.0.0.1"), own, Some(own));
        assert!(itself.is_from(own));
    }

    #[test]
    fn what_this_machine_refuses_is_no_answer_of_the_target() {
        let why = |errno: Errno| match Answer::refused(errno.raw_os_error(), 0) {
            Answer::Undelivered { why, by: By::Here, .. } => Some(why),
            _ => None,
        };
        assert_eq!(why(Errno::NETUNREACH), Some(Icmp::NetworkUnreachable));
        assert_eq!(why(Errno::INVAL), Some(Icmp::NetworkUnreachable), "a blackhole route");
        assert_eq!(why(Errno::ACCESS), Some(Icmp::Prohibited), "a prohibit route");
        assert_eq!(why(Errno::PERM), Some(Icmp::Prohibited), "a firewall of this machine");
        assert_eq!(why(Errno::MSGSIZE), Some(Icmp::TooBig));
        assert_eq!(why(Errno::NOBUFS), None);
        let target = IpAddr::from([10, 0, 0, 5]);
        assert!(
            !Answer::refused(113, 0).is_from(target)
                && !Answer::Silent.is_from(target)
                && Answer::Reset.is_from(target)
        );
    }
}
