//! What a message says of itself besides its text: who sent it, when, and how bad it is.

use fastrand::Rng;
use logboom_syslog::Severity;

use super::Severities;

/// Who a message pretends to be from, and its severity.
pub(super) struct Header {
    facility: u8,
    pub(super) severity: Severity,
    pub(super) host: String,
    pub(super) app: &'static str,
    pub(super) pid: u16,
}

impl Header {
    pub(super) fn choose(rng: &mut Rng, severities: &Severities) -> Self {
        const FACILITIES: [u8; 8] = [0, 1, 3, 4, 10, 16, 20, 23];
        const APPS: [&str; 12] = [
            "sshd",
            "kernel",
            "dhcpd",
            "named",
            "postfix/smtpd",
            "haproxy",
            "CRON",
            "systemd",
            "nginx",
            "snmpd",
            "openvpn",
            "ntpd",
        ];
        const SITES: [&str; 8] = ["fra", "ams", "lon", "nyc", "sfo", "sin", "syd", "gru"];
        let (site, rack, host) = (SITES[rng.usize(..SITES.len())], rng.u8(1..40), rng.u8(1..30));
        Self {
            facility: FACILITIES[rng.usize(..FACILITIES.len())],
            host: format!("{site}{rack:02}-sw{host:02}"),
            app: APPS[rng.usize(..APPS.len())],
            pid: rng.u16(300..33_000),
            severity: severities.choose(rng),
        }
    }

    /// Facility and severity in one number (RFC 5424 section 6.2.1).
    pub(super) fn pri(&self) -> u8 {
        self.facility * 8 + self.severity as u8
    }
}

/// The time at which the messages are made, as all of them give it. Of fixed width, so that sizes do not depend on it.
pub(super) struct Stamps {
    /// `Nov 23 10:00:00`, local time (RFC 3164 section 4.1.2).
    pub(super) rfc3164: String,
    /// `2026-11-23T10:00:00.000000Z` (RFC 3339, as RFC 5424 section 6.2.3 narrows it).
    pub(super) rfc3339: String,
}

impl Stamps {
    pub(super) fn of(now: &jiff::Zoned) -> Self {
        Self {
            rfc3164: now.strftime("%b %e %H:%M:%S").to_string(),
            rfc3339: now.timestamp().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        }
    }
}
