//! Who may send.

use std::net::IpAddr;

use crate::network::Network;

/// The networks whose addresses may send; empty for everybody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowList(Box<[Network]>);

impl AllowList {
    /// Of a listener: its own list, or else the one for all.
    #[must_use]
    pub fn new(own: Option<&[Network]>, for_all: &[Network]) -> Self {
        Self(own.unwrap_or(for_all).into())
    }

    /// Whether everybody may.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a sender may.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        self.is_open() || self.0.iter().any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listeners_own_list_stands_in_place_of_the_one_for_all() {
        let networks = |text: &str| vec![text.parse::<Network>().unwrap()];
        let permits = |own: Option<&[Network]>, for_all: &[Network], address: &str| {
            AllowList::new(own, for_all).permits(address.parse().unwrap())
        };
        assert!(permits(None, &[], "192.0.2.1"));
        assert!(
            permits(None, &networks("10.0.0.0/8"), "10.1.1.1") && !permits(None, &networks("10.0.0.0/8"), "192.0.2.1")
        );
        assert!(permits(Some(&networks("192.0.2.0/24")), &networks("10.0.0.0/8"), "192.0.2.1"));
        assert!(!permits(Some(&networks("192.0.2.0/24")), &networks("10.0.0.0/8"), "10.1.1.1"));
        assert!(permits(Some(&[]), &networks("10.0.0.0/8"), "192.0.2.1"), "an empty one of its own opens it");
    }
}
