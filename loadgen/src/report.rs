//! `run.json`: what was planned and what was sent, for `verify` and for people. `docs/loadgen.md` describes the fields.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::message::Format;
use crate::send::Framing;

/// The only schema there is.
pub const SCHEMA: &str = "loadgen.run/1";

/// How a run went, as far as this side knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The plan was kept; with a check, nothing is missing.
    Pass,
    /// The plan was kept; the check found messages missing, doubled or changed.
    Fail,
    /// The plan was not kept, so that loss says nothing about the collector.
    Invalid,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run's tag, hex.
    pub run: String,
    /// Version of loadgen.
    pub version: String,
    /// Where messages were sent.
    pub target: String,
    /// When the first was sent, RFC 3339.
    pub started: String,
    /// What was planned.
    pub plan: Plan,
    /// Messages planned.
    pub offered: u64,
    /// Messages that the kernel took.
    pub sent: u64,
    /// Their bytes, without framing.
    pub sent_bytes: u64,
    /// Messages sent on each flow; their sequence numbers are 0 to this.
    pub sent_by_flow: Vec<u64>,
    /// Messages sent of each severity.
    pub sent_by_severity: BTreeMap<String, u64>,
    /// Times that the kernel had no memory for a message, which was then offered again.
    pub send_refused: u64,
    /// From the first message to the last, seconds.
    pub elapsed_seconds: f64,
    /// Messages a second.
    pub achieved_rate: f64,
    /// Processor time of the sender.
    pub sender_cpu_ns_per_message: f64,
    /// How it went.
    pub verdict: Verdict,
    /// Why, if it is not a pass.
    pub reason: Option<String>,
    /// The machine.
    pub environment: Environment,
}

/// What was planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Messages a second; null for as fast as possible.
    pub rate: Option<f64>,
    /// Messages.
    pub count: u64,
    /// Flows.
    pub flows: u32,
    /// Framing, for streams.
    pub framing: Option<Framing>,
    /// Datagrams that went to the kernel as one, at most.
    pub gso: usize,
    /// Headers.
    pub format: Format,
    /// Shares of the severities.
    pub severities: String,
    /// Sizes, or the corpus.
    pub content: String,
    /// Seed of the texts.
    pub seed: u64,
}

/// The machine that sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Kernel release.
    pub kernel: String,
    /// Processors that the process may use.
    pub cpus: usize,
    /// Whether this program was built with optimisation.
    pub optimized: bool,
}

impl Environment {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            kernel: kernel.trim().to_owned(),
            cpus: logboom_udp::thread::allowed_cpus().map_or(0, |cpus| cpus.len()),
            optimized: !cfg!(debug_assertions),
        }
    }
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// What is wrong with the file, in words.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let report: Self = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        if report.schema == SCHEMA {
            Ok(report)
        } else {
            Err(format!("{}: schema {}, but this program knows only {SCHEMA}", path.display(), report.schema))
        }
    }

    /// Writes the report: to a temporary file beside it first, so that there is never half of one.
    ///
    /// # Errors
    /// What the file system says, with the file's name.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let refused = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let text = serde_json::to_string_pretty(self).map_err(|error| refused(error.into()))?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        std::fs::write(&partial, text + "\n").and_then(|()| std::fs::rename(&partial, path)).map_err(refused)
    }
}

/// Whether a run that took `elapsed_seconds` kept its plan; why not, otherwise. 0.1 % is allowed, and 10 ms for the last
/// group of a short run.
#[must_use]
pub fn broken_plan(plan: &Plan, sent: u64, elapsed_seconds: f64) -> Option<String> {
    const SHORTFALL: f64 = 0.001;
    const LAST_GROUP_SECONDS: f64 = 0.01;
    if sent < plan.count {
        return Some(format!("ended after {sent} of {} messages", plan.count));
    }
    let rate = plan.rate?;
    let planned_seconds = plan.count.saturating_sub(1) as f64 / rate;
    if elapsed_seconds <= planned_seconds * (1.0 + SHORTFALL) + LAST_GROUP_SECONDS {
        return None;
    }
    let achieved = sent as f64 / elapsed_seconds;
    Some(format!(
        "the sender could not keep up: {achieved:.0} messages a second instead of {rate:.0}; lower --rate, give it a \
         processor of its own, or use a faster machine"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: Option<f64>, count: u64) -> Plan {
        Plan {
            rate,
            count,
            flows: 1,
            framing: None,
            gso: 1,
            format: Format::Rfc3164,
            severities: "err:1".into(),
            content: "200 B".into(),
            seed: 1,
        }
    }

    #[test]
    fn a_sender_that_fell_behind_makes_the_run_invalid() {
        assert_eq!(broken_plan(&plan(Some(1000.0), 10_001), 10_001, 10.0), None);
        assert_eq!(broken_plan(&plan(Some(1000.0), 10_001), 10_001, 10.019), None);
        assert!(broken_plan(&plan(Some(1000.0), 10_001), 10_001, 10.021).unwrap().contains("could not keep up"));
        assert!(broken_plan(&plan(Some(1000.0), 10_001), 9_999, 10.0).unwrap().contains("ended after 9999 of 10001"));
        assert_eq!(broken_plan(&plan(None, 100), 100, 99.0), None);
    }
}
