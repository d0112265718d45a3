//! What stands before the tag: who sent it, when, and how bad it is.

use fastrand::Rng;
use logboom_syslog::Severity;

use super::Content;

/// Header of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `<PRI>Nov 23 10:00:00 host app[pid]: `
    #[default]
    Rfc3164,
    /// `<PRI>1 2026-11-23T10:00:00.000000Z host app pid - - `
    Rfc5424,
}

/// Makes headers of one format; all have the time at which it was made.
pub(super) struct HeaderMaker<'a> {
    content: &'a Content,
    stamp: String,
}

impl<'a> HeaderMaker<'a> {
    pub(super) fn new(content: &'a Content) -> Self {
        let stamp = match content.format {
            Format::Rfc3164 => jiff::Zoned::now().strftime("%b %e %H:%M:%S").to_string(),
            Format::Rfc5424 => jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        };
        Self { content, stamp }
    }

    pub(super) fn make(&self, rng: &mut Rng) -> (Severity, String) {
        let Origin { facility, host, program, process } = Origin::choose(rng);
        let severity = self.content.severities.choose(rng);
        let pri = facility * 8 + severity as u8;
        let stamp = &self.stamp;
        let header = match self.content.format {
            Format::Rfc3164 => format!("<{pri}>{stamp} {host} {program}[{process}]: "),
            Format::Rfc5424 => format!("<{pri}>1 {stamp} {host} {program} {process} - - "),
        };
        (severity, header)
    }
}

/// Who a message pretends to be from.
struct Origin {
    facility: u8,
    host: String,
    program: &'static str,
    process: u16,
}

impl Origin {
    fn choose(rng: &mut Rng) -> Self {
        const FACILITIES: [u8; 8] = [0, 1, 3, 4, 10, 16, 20, 23];
        const PROGRAMS: [&str; 12] = [
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
            program: PROGRAMS[rng.usize(..PROGRAMS.len())],
            process: rng.u16(300..33_000),
        }
    }
}
