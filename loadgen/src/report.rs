//! `run.json`: what was planned and what was sent, for `verify` and for people. `docs/loadgen.md` describes the fields.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::monitor::Second;
use crate::observe::Change;
use crate::quality::Pacing;
use crate::schedule::Profile;
use crate::send::{Framing, Overflow, Trouble};
use crate::verify::Verification;

pub mod csv;
pub mod document;
pub mod html;
pub mod judged;
pub mod junit;
pub mod markdown;
pub mod text;

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
    /// The plan was not kept, so that loss says nothing about the collector; or what arrived could not be found out.
    Invalid,
}

impl Verdict {
    /// Each, the best first.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Invalid];

    /// How many there are of each, in words.
    #[must_use]
    pub fn tally(verdicts: &[Self]) -> String {
        let count = |verdict: &Self| verdicts.iter().filter(|is| *is == verdict).count();
        let told = Self::ALL.iter().map(|verdict| (count(verdict), verdict)).filter(|(count, _)| *count > 0);
        told.map(|(count, verdict)| format!("{count} {verdict}")).collect::<Vec<_>>().join(", ")
    }
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
    /// The command that did it.
    #[serde(default)]
    pub command: Vec<String>,
    /// Where messages were sent.
    pub target: String,
    /// When the first was sent, RFC 3339.
    pub started: String,
    /// How far the wall clock of the sender was set during the run, ms: so far latencies may be wrong.
    #[serde(default)]
    pub clock_set_ms: f64,
    /// What was planned.
    pub plan: Plan,
    /// Messages planned.
    pub offered: u64,
    /// Messages that the kernel took.
    pub sent: u64,
    /// Their bytes, without framing.
    pub sent_bytes: u64,
    /// Messages of each flow, sent or not; their sequence numbers are 0 to this.
    pub offered_by_flow: Vec<u64>,
    /// Messages due in each second after the start.
    pub offered_by_second: Vec<u64>,
    /// Messages sent of each severity.
    pub sent_by_severity: BTreeMap<String, u64>,
    /// What was not simply sent.
    pub sending: Sending,
    /// From the first message to the last, seconds.
    pub elapsed_seconds: f64,
    /// Messages a second.
    pub achieved_rate: f64,
    /// Processor time of the sender.
    pub sender_cpu_ns_per_message: f64,
    /// How good the generator was.
    pub pacing: Pacing,
    /// How it was found out what arrived.
    pub check: String,
    /// Why that is not known, though it was asked.
    pub check_failed: Option<String>,
    /// Messages that a logboom says it took.
    pub received: Option<u64>,
    /// What was found; its fields stand beside these.
    #[serde(flatten)]
    pub found: Option<Verification>,
    /// Messages that counters saw lost, when nobody looked what arrived.
    pub counted_lost: Option<u64>,
    /// What the collector used.
    pub collector: Option<CollectorSide>,
    /// Where every message ended.
    pub ledger: Ledger,
    /// The run second by second.
    pub series: Vec<Second>,
    /// What the counters at both ends did.
    pub change: Change,
    /// How it went.
    pub verdict: Verdict,
    /// Why, if it is not a pass.
    pub reason: Option<String>,
    /// What was demanded.
    pub thresholds: Vec<Demand>,
    /// The machine.
    pub environment: Environment,
}

/// What was planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Messages a second; null for as fast as possible.
    pub rate: Option<f64>,
    /// How the rate goes.
    pub profile: Profile,
    /// Messages.
    pub count: u64,
    /// When the last is due, seconds after the first; 0 for as fast as possible.
    pub seconds: f64,
    /// As fast as possible: the time after which sending ends, if all messages have not been sent before, seconds; else null.
    #[serde(default)]
    pub duration_seconds: Option<f64>,
    /// Flows.
    pub flows: u32,
    /// Sending threads.
    pub threads: usize,
    /// Addresses and ports that flows come from, `*` for the kernel's choice.
    pub source: String,
    /// Framing, for streams.
    pub framing: Option<Framing>,
    /// What happens when a stream does not take a message at once.
    pub overflow: Option<Overflow>,
    /// Datagrams that went to the kernel as one, at most.
    pub gso: usize,
    /// What stands around the texts.
    pub format: String,
    /// Shares of the severities.
    pub severities: String,
    /// Sizes, or the corpus.
    pub content: String,
    /// Seed of the texts.
    pub seed: u64,
}

impl Plan {
    /// Whether messages were due at no time.
    #[must_use]
    pub fn is_full_speed(&self) -> bool {
        self.rate.is_none() && self.profile == Profile::Const
    }
}

/// What was not simply sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sending {
    /// Times that the kernel had no memory for a message, which was then offered again.
    pub no_memory: u64,
    /// Messages that the kernel refused, by the name of the error.
    pub errors: BTreeMap<String, u64>,
    /// Messages dropped because the queue before a connection was full.
    pub overflow: u64,
    /// Answers of the network (ICMP), by what they say: a lower bound.
    pub icmp: BTreeMap<String, u64>,
    /// Time that writes waited for the collector.
    pub blocked_seconds: f64,
}

/// What was demanded of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// As it was written.
    pub threshold: String,
    /// What was measured, in the unit of the figure; null if it was not.
    pub actual: Option<f64>,
    /// Whether that will do.
    pub passed: bool,
}

/// What the collector used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CollectorSide {
    /// Its command.
    pub command: String,
    /// Processor time of all its threads by messages sent; what the kernel does for it in interrupts is not in it.
    pub cpu_ns_per_message: f64,
    /// Memory occupied at the end; null if that is not known.
    pub rss_bytes: Option<u64>,
}

impl CollectorSide {
    /// What a collector on this machine used for `messages`; `None` for one that cannot be seen.
    #[must_use]
    pub fn of(change: &Change, messages: u64) -> Option<Self> {
        let told = change.collector.as_ref().and_then(|told| told.cpu_seconds);
        // A receiver of our own is no collector.
        let process = change.process.as_ref().filter(|process| process.pid != std::process::id());
        let cpu_seconds = process.map(|process| process.cpu_seconds).or(told)?;
        Some(Self {
            command: process.map_or_else(String::new, |process| process.command.clone()),
            cpu_ns_per_message: cpu_seconds * 1e9 / messages.max(1) as f64,
            rss_bytes: process
                .map(|process| process.resident_bytes)
                .or_else(|| change.collector.as_ref().and_then(|told| told.resident_bytes)),
        })
    }
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
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            kernel: kernel.trim().to_owned(),
            cpus: logboom_udp::thread::allowed_cpus().map_or(0, |cpus| cpus.len()),
            optimized: !cfg!(debug_assertions),
        }
    }
}

impl Report {
    /// What was lost of what was offered, as it was found or else as counters saw it; `None` when nobody knows.
    #[must_use]
    pub fn loss_ratio(&self) -> Option<f64> {
        let counted = self.counted_lost.map(|lost| lost as f64 / self.offered.max(1) as f64);
        self.found.as_ref().map(|found| found.loss_ratio).or(counted)
    }

    /// That its check failed, in words, if it did.
    #[must_use]
    pub fn unknown(&self) -> Option<String> {
        self.check_failed.as_ref().map(|why| format!("what arrived could not be found out: {why}"))
    }

    /// Writes the report: to a temporary file beside it first, so that there is never half of one.
    ///
    /// # Errors
    /// What the file system says, with the file's name.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        write_whole(path, &serde_json::to_string_pretty(self).map_err(|error| error.to_string())?)
    }
}

/// The words of the command that runs, for a report.
pub(crate) fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Writes `text` and a line end to a temporary file beside `path`, and then renames it, so that there is never half of one. A
/// link stays one; what is no file, such as a pipe or a device, is written itself.
///
/// # Errors
/// What the file system says, with the file's name.
pub fn write_whole(path: &Path, text: &str) -> Result<(), String> {
    let line_end = if text.ends_with('\n') { "" } else { "\n" };
    let write = |file: &mut File| file.write_all(text.as_bytes()).and_then(|()| file.write_all(line_end.as_bytes()));
    let is_file = fs::metadata(path).map_or(true, |found| found.is_file());
    let written = if is_file {
        replace(path, |file| write(file).and_then(|()| file.sync_all()))
    } else {
        OpenOptions::new().write(true).open(path).and_then(|mut file| write(&mut file))
    };
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Replaces the file that `path` leads to by one that `write` has written.
fn replace(path: &Path, write: impl Fn(&mut File) -> io::Result<()>) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut partial = path.clone().into_os_string();
    partial.push(".partial");
    let replaced =
        File::create(&partial).and_then(|mut file| write(&mut file)).and_then(|()| fs::rename(&partial, &path));
    replaced.inspect_err(|_| {
        let _ = fs::remove_file(&partial);
    })
}

/// Share of the plan that may be missing.
pub const SHORTFALL: f64 = 0.001;

/// What the last group of a short run may be late, seconds.
const LAST_GROUP_SECONDS: f64 = 0.01;

/// Why a run that sent `sent` messages in `elapsed_seconds` did not offer 99.9 % of its plan; `None` if it did.
#[must_use]
pub fn broken_plan(plan: &Plan, sent: u64, elapsed_seconds: f64, sending: &Sending) -> Option<String> {
    // What a full queue dropped was offered in time: it is loss, and the collector's.
    let missing = plan.count - (sent + sending.overflow).min(plan.count);
    if missing as f64 > plan.count as f64 * SHORTFALL {
        return Some(match sending.errors.iter().max_by_key(|(_, count)| **count) {
            Some((error, count)) => format!(
                "sent {sent} of {} messages: the kernel of this machine refused {count} of them: {error}",
                plan.count
            ),
            None => format!("ended after {sent} of {} messages", plan.count),
        });
    }
    // A burst has until the next one.
    let slack_seconds = match &plan.profile {
        Profile::Burst { every, .. } => every.as_secs_f64().max(LAST_GROUP_SECONDS),
        _ => LAST_GROUP_SECONDS,
    };
    let late_seconds = elapsed_seconds - plan.seconds * (1.0 + SHORTFALL) - slack_seconds;
    if plan.is_full_speed() || late_seconds <= 0.0 {
        return None;
    }
    let (achieved, planned) = (sent as f64 / elapsed_seconds, plan.count as f64 / plan.seconds.max(1e-3));
    let option = if matches!(plan.profile, Profile::Replay(_)) { "--speed" } else { "--rate" };
    if sending.blocked_seconds / plan.threads as f64 > late_seconds / 2.0 {
        return Some(format!(
            "the collector took only {achieved:.0} messages a second instead of {planned:.0}: it made the sender wait for \
             {:.1} s; lower {option}, or let the sender drop instead (--overflow drop)",
            sending.blocked_seconds
        ));
    }
    Some(format!(
        "the sender could not keep up: {achieved:.0} messages a second instead of {planned:.0}; lower {option}, give it a \
         processor of its own, or use a faster machine"
    ))
}

/// The name of an error, as in errno(3); `broken` for what is none: a collector that took nothing in time, an alert of TLS.
fn error_name(errno: i32) -> String {
    const NAMES: [(i32, &str); 18] = [
        (0, "broken"),
        (1, "EPERM"),
        (5, "EIO"),
        (11, "EAGAIN"),
        (13, "EACCES"),
        (22, "EINVAL"),
        (32, "EPIPE"),
        (90, "EMSGSIZE"),
        (99, "EADDRNOTAVAIL"),
        (100, "ENETDOWN"),
        (101, "ENETUNREACH"),
        (104, "ECONNRESET"),
        (105, "ENOBUFS"),
        (107, "ENOTCONN"),
        (110, "ETIMEDOUT"),
        (111, "ECONNREFUSED"),
        (112, "EHOSTDOWN"),
        (113, "EHOSTUNREACH"),
    ];
    let known = NAMES.into_iter().find(|(number, _)| *number == errno);
    known.map_or_else(|| format!("errno {errno}"), |(_, name)| name.to_owned())
}

impl Sending {
    /// The report of `trouble`.
    #[must_use]
    pub fn new(trouble: &Trouble) -> Self {
        Self {
            no_memory: trouble.no_memory,
            errors: trouble.errors.iter().map(|(errno, count)| (error_name(*errno), *count)).collect(),
            overflow: trouble.overflow,
            icmp: trouble.icmp.iter().map(|(told, count)| ((*told).to_owned(), *count)).collect(),
            blocked_seconds: trouble.blocked.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(sent: u64, elapsed_seconds: f64, sending: &Sending) -> Option<String> {
        let plan = Plan {
            rate: Some(1000.0),
            profile: Profile::Const,
            count: 10_001,
            seconds: 10.0,
            duration_seconds: None,
            flows: 1,
            threads: 1,
            source: "* *".into(),
            framing: None,
            overflow: None,
            gso: 1,
            format: "rfc3164".into(),
            severities: "err:1".into(),
            content: "200 B".into(),
            seed: 1,
        };
        broken_plan(&plan, sent, elapsed_seconds, sending)
    }

    #[test]
    fn a_sender_that_fell_behind_makes_the_run_invalid_and_the_cause_is_told() {
        let smooth = Sending::default();
        assert_eq!(broken(10_001, 10.0, &smooth), None);
        assert_eq!(broken(10_001, 10.019, &smooth), None);
        assert_eq!(broken(9_992, 10.0, &smooth), None, "99.9 %");
        assert!(broken(10_001, 10.021, &smooth).unwrap().contains("could not keep up"));
        assert!(broken(9_990, 10.0, &smooth).unwrap().contains("ended after 9990 of 10001"));
        let blocked = Sending { blocked_seconds: 4.0, ..Sending::default() };
        assert!(broken(10_001, 15.0, &blocked).unwrap().contains("made the sender wait for 4.0 s"));
        let errors = Sending { errors: [(error_name(90), 5001)].into(), ..Sending::default() };
        assert!(broken(5000, 10.0, &errors).unwrap().contains("refused 5001 of them: EMSGSIZE"));
        let overflow = Sending { overflow: 5001, ..Sending::default() };
        assert_eq!(broken(5000, 10.0, &overflow), None, "loss, and no fault of the sender");
    }
}
