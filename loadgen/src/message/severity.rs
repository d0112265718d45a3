//! How often each severity occurs.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;
use logboom_syslog::Severity;

use super::shares::Shares;

/// How often each severity occurs: shares, as `debug:98,err:2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Severities(Shares<Severity>);

impl Severities {
    pub(super) fn choose(&self, rng: &mut Rng) -> Severity {
        self.0.choose(rng)
    }
}

/// As on a real network: most of them informational.
impl Default for Severities {
    fn default() -> Self {
        use Severity::{Critical, Debug, Error, Informational, Notice, Warning};
        Self(Shares::of(&[(Informational, 8), (Notice, 3), (Warning, 2), (Error, 1), (Debug, 1), (Critical, 1)]))
    }
}

impl FromStr for Severities {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |keyword: &str| Severity::ALL.into_iter().find(|severity| severity.keyword() == keyword);
        Shares::parse(text, read).map(Self).ok_or_else(|| {
            let known = Severity::ALL.map(Severity::keyword).join(", ");
            format!("`{text}` is no mix of severities: write it as err, or debug:98,err:2; there are {known}")
        })
    }
}

impl fmt::Display for Severities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, Severity::keyword)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_comes_back_and_what_is_none_is_told_what_there_is() {
        for (text, back) in [("debug:98,err:2", "debug:98,err:2"), ("err", "err:1")] {
            let severities: Severities = text.parse().unwrap();
            assert_eq!(severities.to_string(), back);
        }
        assert_eq!(Severities::default().to_string().parse(), Ok(Severities::default()));
        for wrong in ["", "debug:", "loud:1", "err:0", "err,"] {
            assert!(wrong.parse::<Severities>().unwrap_err().contains("emerg"), "{wrong}");
        }
    }
}
