//! PRI: facility and severity in one number, `<0>` to `<191>`, in front of a message.

/// The PRI value at the front of `message`; `None` unless it is `<`, one to three digits without a leading zero, `>`,
/// and at most 191 (RFC 5424 section 6.2.1). Digits beyond three are never read (CVE-2014-3634).
#[inline]
#[must_use]
pub fn pri(message: &[u8]) -> Option<u8> {
    let [b'<', rest @ ..] = message else { return None };
    let value = match rest {
        [a @ b'0'..=b'9', b'>', ..] => u16::from(a - b'0'),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'>', ..] => u16::from(a - b'0') * 10 + u16::from(b - b'0'),
        [b'1', b @ b'0'..=b'9', c @ b'0'..=b'9', b'>', ..] => 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'),
        _ => return None,
    };
    u8::try_from(value).ok().filter(|value| *value <= 191)
}

/// Severity (RFC 5424 table 2): how bad it is, 0 the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Severity {
    /// System is unusable.
    Emergency = 0,
    /// Action must be taken immediately.
    Alert = 1,
    /// Critical conditions.
    Critical = 2,
    /// Error conditions.
    Error = 3,
    /// Warning conditions.
    Warning = 4,
    /// Normal but significant.
    Notice = 5,
    /// Informational.
    Informational = 6,
    /// Debug-level.
    Debug = 7,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Informational,
        Self::Debug,
    ];

    /// The severity in a PRI value.
    #[inline]
    #[must_use]
    pub const fn of_pri(pri: u8) -> Self {
        Self::ALL[(pri & 7) as usize]
    }

    /// The keyword of syslog.conf(5) and journalctl(1).
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Emergency => "emerg",
            Self::Alert => "alert",
            Self::Critical => "crit",
            Self::Error => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Informational => "info",
            Self::Debug => "debug",
        }
    }
}

/// Keyword of the facility in a PRI value: the names of syslog(3), and for 12 to 15, which it has none for, the first
/// word that RFC 5424 table 1 tells them apart by.
#[must_use]
pub const fn facility_keyword(pri: u8) -> &'static str {
    const KEYWORDS: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
        "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ];
    let facility = (pri >> 3) as usize;
    if facility < KEYWORDS.len() { KEYWORDS[facility] } else { "unknown" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_valid_pri_is_read() {
        for value in 0..=191 {
            assert_eq!(pri(format!("<{value}>message").as_bytes()), Some(value));
        }
    }

    #[test]
    fn anything_else_is_no_pri() {
        for message in [
            "", "<", "<>", "<1", "<192>", "<255>", "<256>", "<999>", "<1000>", "<01>", "<001>", "<-1>", "< 1>", "13>",
            "<1x>",
        ] {
            assert_eq!(pri(message.as_bytes()), None, "{message}");
        }
        assert_eq!(pri(b"<99999999999999999999999999>"), None);
    }

    #[test]
    fn severity_and_facility_are_the_two_parts_of_a_pri() {
        assert_eq!((facility_keyword(34), Severity::of_pri(34).keyword()), ("auth", "crit"));
        assert_eq!((facility_keyword(191), Severity::of_pri(191).keyword()), ("local7", "debug"));
    }
}
