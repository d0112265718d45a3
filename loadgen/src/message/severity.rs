//! How often each severity occurs.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;
use logboom_syslog::Severity;

/// How often each severity occurs: shares, as `debug:98,err:2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Severities(Vec<(Severity, u32)>);

/// As on a real network: most of them informational.
impl Default for Severities {
    fn default() -> Self {
        use Severity::{Critical, Debug, Error, Informational, Notice, Warning};
        Self(vec![(Informational, 8), (Notice, 3), (Warning, 2), (Error, 1), (Debug, 1), (Critical, 1)])
    }
}

impl Severities {
    pub(super) fn choose(&self, rng: &mut Rng) -> Severity {
        let all: u32 = self.0.iter().map(|(_, share)| share).sum();
        let mut chosen = rng.u32(..all);
        for (severity, share) in &self.0 {
            match chosen.checked_sub(*share) {
                Some(rest) => chosen = rest,
                None => return *severity,
            }
        }
        Severity::Informational
    }
}

impl FromStr for Severities {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |part: &str| {
            let (keyword, share) = part.split_once(':').unwrap_or((part, "1"));
            let severity = Severity::ALL.into_iter().find(|severity| severity.keyword() == keyword)?;
            let share = share.parse().ok().filter(|share| (1..=1_000_000).contains(share))?;
            Some((severity, share))
        };
        let refused = || {
            let known = Severity::ALL.map(Severity::keyword).join(", ");
            format!("`{text}` is no mix of severities: write it as err, or debug:98,err:2; there are {known}")
        };
        text.split(',').map(share).collect::<Option<_>>().map(Self).ok_or_else(refused)
    }
}

impl fmt::Display for Severities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (severity, share)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{}:{share}", severity.keyword())?;
        }
        Ok(())
    }
}
