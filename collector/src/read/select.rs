//! Which messages are wanted, and which blocks need not be looked at for them.

use std::str::FromStr;

use logboom_segment::{BlockEntry, Message, PRI_NONE, PriSet, Source};
use logboom_syslog::{Severity, facility_keyword};

use crate::network::Network;

/// A range of receive times, both ends included, ns since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct TimeRange {
    /// Earliest.
    pub since_ns: u64,
    /// Latest.
    pub until_ns: u64,
}

impl Default for TimeRange {
    fn default() -> Self {
        Self { since_ns: 0, until_ns: u64::MAX }
    }
}

impl TimeRange {
    /// Whether a message received then is wanted.
    #[must_use]
    pub fn contains(&self, received_ns: u64) -> bool {
        (self.since_ns..=self.until_ns).contains(&received_ns)
    }

    /// Whether all messages of a block are wanted.
    #[must_use]
    pub fn covers(&self, block: &BlockEntry) -> bool {
        self.contains(block.received_min_ns) && self.contains(block.received_max_ns)
    }

    /// Whether a block may hold wanted messages.
    #[must_use]
    pub fn may_be_in(&self, block: &BlockEntry) -> bool {
        block.received_min_ns <= self.until_ns && block.received_max_ns >= self.since_ns
    }
}

/// All that a message has to be to be wanted. Within one list, any will do; an empty list asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// When it was received.
    pub time: TimeRange,
    /// Its severity.
    pub priority: Option<PriorityRange>,
    /// Its facility.
    pub facilities: Vec<Facility>,
    /// Who sent it.
    pub sources: Vec<SourceFilter>,
    /// Which listener took it: a URL, or the beginning of one.
    pub listeners: Vec<String>,
    /// The host in its header; letters of either case.
    pub hosts: Vec<String>,
    /// The tag (APP-NAME) in its header.
    pub tags: Vec<String>,
}

impl Filters {
    /// Whether a message with this PRI value is wanted, as far as that goes. One without a PRI has no severity that could
    /// be asked for.
    #[must_use]
    pub fn wants_pri(&self, pri: u8) -> bool {
        let has_pri = pri != PRI_NONE;
        self.priority.is_none_or(|range| has_pri && range.contains(pri))
            && (self.facilities.is_empty() || has_pri && self.facilities.contains(&Facility(pri >> 3)))
    }

    /// Whether a block may hold wanted messages, by its PRI values.
    #[must_use]
    pub fn may_be_among(&self, pris: &PriSet) -> bool {
        !self.asks_for_pri() || (0..=191).any(|pri| pris.contains(pri) && self.wants_pri(pri))
    }

    /// Whether messages of this source are wanted, as far as that goes.
    #[must_use]
    pub fn wants_source(&self, source: &Source, listener: &str) -> bool {
        (self.sources.is_empty() || self.sources.iter().any(|wanted| wanted.matches(source)))
            && (self.listeners.is_empty() || self.listeners.iter().any(|wanted| listener.starts_with(wanted.as_str())))
    }

    /// Whether anything is asked of the PRI value.
    fn asks_for_pri(&self) -> bool {
        self.priority.is_some() || !self.facilities.is_empty()
    }

    /// Whether anything is asked of the source.
    #[must_use]
    pub fn asks_for_sources(&self) -> bool {
        !self.sources.is_empty() || !self.listeners.is_empty()
    }

    /// Whether anything is asked of what only the text of a message tells.
    #[must_use]
    pub fn asks_for_header(&self) -> bool {
        !self.hosts.is_empty() || !self.tags.is_empty()
    }

    /// Whether nothing but the time is asked for.
    #[must_use]
    pub fn asks_only_for_time(&self) -> bool {
        !self.asks_for_pri() && !self.asks_for_sources() && !self.asks_for_header()
    }

    /// Whether a message is wanted.
    #[must_use]
    pub fn wants(&self, message: &Message<'_>, listener: &str) -> bool {
        self.time.contains(message.received_ns)
            && self.wants_pri(message.pri)
            && self.wants_source(&message.source, listener)
            && (!self.asks_for_header() || self.wants_header(message.payload))
    }

    fn wants_header(&self, payload: &[u8]) -> bool {
        let header = logboom_syslog::header::parse(payload);
        let is_among = |field: Option<&[u8]>, wanted: &[String], is_equal: fn(&[u8], &[u8]) -> bool| {
            wanted.is_empty() || field.is_some_and(|field| wanted.iter().any(|one| is_equal(field, one.as_bytes())))
        };
        is_among(header.host, &self.hosts, |a, b| a.eq_ignore_ascii_case(b))
            && is_among(header.app, &self.tags, |a, b| a == b)
    }
}

/// Severities from one to another, as journalctl's `-p`: `err` is err and worse, `warning..err` both and all between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorityRange {
    worst: u8,
    least: u8,
}

impl PriorityRange {
    fn contains(self, pri: u8) -> bool {
        (self.worst..=self.least).contains(&(pri & 7))
    }
}

impl FromStr for PriorityRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let severity = |word: &str| {
            let known = Severity::ALL.into_iter().find(|severity| {
                severity.keyword() == word || (*severity as u8).to_string() == word || is_other_name(*severity, word)
            });
            known.map(|severity| severity as u8).ok_or_else(|| {
                let names = Severity::ALL.map(Severity::keyword).join(", ");
                format!("`{word}` is no severity: write one of {names}, or 0 to 7, or a range such as err..warning")
            })
        };
        match text.split_once("..") {
            Some((from, to)) => {
                let (from, to) = (severity(from)?, severity(to)?);
                Ok(Self { worst: from.min(to), least: from.max(to) })
            }
            None => Ok(Self { worst: 0, least: severity(text)? }),
        }
    }
}

/// Names that people use beside those of syslog.conf(5).
fn is_other_name(severity: Severity, word: &str) -> bool {
    matches!(
        (severity, word),
        (Severity::Emergency, "panic" | "emergency")
            | (Severity::Critical, "critical")
            | (Severity::Error, "error")
            | (Severity::Warning, "warn")
            | (Severity::Informational, "informational")
    )
}

/// A facility, by keyword or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl FromStr for Facility {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = (0..24u8).find(|number| facility_keyword(number << 3) == text || number.to_string() == text);
        known.map(Self).ok_or_else(|| {
            let names: Vec<_> = (0..24u8).map(|number| facility_keyword(number << 3)).collect();
            format!("`{text}` is no facility: write one of {}, or 0 to 23", names.join(", "))
        })
    }
}

/// Senders: an address or a network, and perhaps a port: `10.0.0.7`, `10.0.0.0/8`, `10.0.0.7:514`, `2001:db8::/32`, `[::1]:514`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceFilter {
    network: Network,
    port: Option<u16>,
}

impl SourceFilter {
    /// Whether it means this source.
    #[must_use]
    pub fn matches(&self, source: &Source) -> bool {
        let is_in_network = source.address.is_some_and(|address| self.network.contains(address));
        is_in_network && self.port.is_none_or(|port| port == source.port)
    }
}

impl FromStr for SourceFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "`{text}` is no source: write an address, a network, or either with a port, such as 10.0.0.7, 10.0.0.0/8, \
                 10.0.0.7:514, 2001:db8::/32 or [::1]:514"
            )
        };
        let (network, port) = split_port(text).ok_or_else(refused)?;
        let network = network.parse().map_err(|_| refused())?;
        Ok(Self { network, port })
    }
}

/// `None` when there is a colon for a port, but none behind it.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((address, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((address, None)),
        };
    }
    match text.split_once(':') {
        // More than one colon is an IPv6 address without a port.
        Some((address, port)) if !port.contains(':') => Some((address, Some(port.parse().ok()?))),
        _ => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str, port: u16) -> Source {
        Source { address: Some(address.parse().unwrap()), port, listener: 0 }
    }

    #[test]
    fn priorities_are_journalctls() {
        let wanted = |text: &str| {
            let filters = Filters { priority: Some(text.parse().unwrap()), ..Filters::default() };
            (0..8u8).filter(|severity| filters.wants_pri(8 | severity)).collect::<Vec<_>>()
        };
        assert_eq!(wanted("err"), [0, 1, 2, 3]);
        assert_eq!(wanted("3"), [0, 1, 2, 3]);
        assert_eq!(wanted("error"), [0, 1, 2, 3]);
        assert_eq!(wanted("emerg"), [0]);
        assert_eq!(wanted("err..warning"), [3, 4]);
        assert_eq!(wanted("warning..err"), [3, 4]);
        assert_eq!(wanted("debug"), [0, 1, 2, 3, 4, 5, 6, 7]);
        let no_pri = Filters { priority: Some("debug".parse().unwrap()), ..Filters::default() };
        assert!(!no_pri.wants_pri(PRI_NONE) && Filters::default().wants_pri(PRI_NONE));
        for text in ["", "8", "high", "err..", "..err", "err...warning"] {
            let refused = text.parse::<PriorityRange>().unwrap_err();
            assert!(refused.contains("is no severity: write one of emerg"), "{text}: {refused}");
        }
    }

    #[test]
    fn facilities_go_by_name_or_number() {
        let filters =
            Filters { facilities: vec!["auth".parse().unwrap(), "23".parse().unwrap()], ..Filters::default() };
        let wanted: Vec<u8> = (0..=255).filter(|pri| filters.wants_pri(*pri)).collect();
        assert_eq!(wanted, (32..40).chain(184..192).collect::<Vec<_>>());
        assert!("24".parse::<Facility>().unwrap_err().contains("kern, user"));
    }

    #[test]
    fn a_block_is_passed_over_only_if_none_of_its_pris_is_wanted() {
        let filters = Filters { priority: Some("err".parse().unwrap()), ..Filters::default() };
        assert!(!filters.may_be_among(&[14, 30, PRI_NONE].into_iter().collect()));
        assert!(filters.may_be_among(&[14, 27].into_iter().collect()));
        assert!(Filters::default().may_be_among(&PriSet::default()));
    }

    #[test]
    fn sources_are_addresses_and_networks_with_and_without_ports() {
        for (text, matching, others) in [
            ("10.0.0.7", vec![("10.0.0.7", 1), ("10.0.0.7", 2)], vec![("10.0.0.8", 1), ("::ffff:10.0.0.7", 1)]),
            ("10.0.0.7:514", vec![("10.0.0.7", 514)], vec![("10.0.0.7", 515)]),
            ("10.0.0.0/8", vec![("10.255.0.1", 1)], vec![("11.0.0.0", 1)]),
            ("10.9.9.9/8:514", vec![("10.1.1.1", 514)], vec![("10.1.1.1", 1)]),
            ("0.0.0.0/0", vec![("255.1.1.1", 1)], vec![("::1", 1)]),
            ("::1", vec![("::1", 9)], vec![("::2", 9)]),
            ("[::1]:514", vec![("::1", 514)], vec![("::1", 9)]),
            ("2001:db8::/32", vec![("2001:db8:1::9", 9)], vec![("2001:db9::9", 9)]),
            ("::/0", vec![("::2", 9)], vec![("1.2.3.4", 9)]),
        ] {
            let filter: SourceFilter = text.parse().unwrap();
            matching
                .iter()
                .for_each(|(address, port)| assert!(filter.matches(&source(address, *port)), "{text} {address}"));
            others
                .iter()
                .for_each(|(address, port)| assert!(!filter.matches(&source(address, *port)), "{text} {address}"));
            assert!(!filter.matches(&Source { address: None, port: 0, listener: 0 }));
        }
        for text in ["", "host", "10.0.0.7:", "10.0.0.7:99999", "10.0.0.0/33", "::/129", "[::1", "[::1]x", "10.0.0/8"] {
            assert!(text.parse::<SourceFilter>().unwrap_err().contains("is no source: write"), "{text}");
        }
    }
}
