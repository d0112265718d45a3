//! What figures take of one run: bounded, so that a hundred runs of a day each fit into one page.

use serde_json::Value;

use super::axis::{NINES_MAX, nines};
use super::thin::{Point, thin};
use crate::report::document::Member;
use crate::report::judged::Judged;

/// Rows of a list in a run that are looked at, at most: a run has 42 points of latency and 64 lengths of loss runs.
const ROWS_MAX: usize = 100;

/// A run, as it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) judged: Judged,
    pub(super) target: String,
    /// (seconds, messages a second).
    pub(super) offered: Vec<Point>,
    pub(super) sent: Vec<Point>,
    pub(super) received: Vec<Point>,
    /// (second, messages due in it that are missing).
    pub(super) missing: Vec<Point>,
    /// The first second with a missing message.
    pub(super) first_missing: Option<Point>,
    /// (seconds, bytes that wait at the collector's sockets).
    pub(super) queued: Vec<Point>,
    /// Memory that messages may occupy at one socket, bytes.
    pub(super) buffer_bytes: Option<f64>,
    /// ([`nines`], ms).
    pub(super) latency: Vec<Point>,
    /// Runs of lost messages.
    pub(super) loss_runs: Vec<Lengths>,
    /// Processor time that a hypervisor gave to others, ms.
    pub(super) stolen_ms: Option<f64>,
    /// The words of its command.
    pub(super) command: Vec<String>,
    /// What was demanded of it: the threshold, what was measured, and whether it holds.
    pub(super) demands: Vec<(String, Option<f64>, bool)>,
    /// Messages a second that a sweep asked for.
    pub(super) rate: Option<f64>,
}

/// So many runs of `from` to `to` lost messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lengths {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) runs: f64,
}

impl Drawn {
    pub(super) fn new(member: &Member<'_>, judged: &Judged) -> Self {
        let run = member.run;
        let target = run["target"].as_str().unwrap_or_default().to_owned();
        let offered = numbers(&run["offered_by_second"]);
        let missing = missing(run, &offered);
        Self {
            target,
            offered: thin(by_second(&whole_seconds(run, &offered))),
            sent: thin(rates(run, "sent")),
            received: thin(rates(run, "received")),
            first_missing: missing.iter().find(|(_, messages)| *messages > 0.0).copied(),
            missing: thin(missing),
            queued: thin(samples(run, "socket_queued_bytes")),
            buffer_bytes: buffer_bytes(&run["change"]),
            latency: latency(&run["latency"]),
            loss_runs: loss_runs(&run["loss_runs"]["histogram"]),
            stolen_ms: run["change"]["host"]["stolen_ms"].as_f64(),
            command: command(&run["command"]),
            demands: demands(run, judged),
            rate: member.rate,
            judged: judged.clone(),
        }
    }

    /// A figure by its name.
    pub(super) fn figure(&self, name: &str) -> Option<f64> {
        self.judged.figure(name)
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|number| number.as_f64().unwrap_or(0.0)).collect()
}

/// Without a last second that is not whole: its count is no rate.
fn whole_seconds(run: &Value, offered: &[f64]) -> Vec<f64> {
    let seconds = run["plan"]["seconds"].as_f64().unwrap_or(0.0);
    let whole = (seconds + 1e-3).floor() as usize;
    offered[..if whole > 0 { whole.min(offered.len()) } else { offered.len() }].to_vec()
}

/// Counts of seconds, each in the middle of its own.
fn by_second(counts: &[f64]) -> Vec<Point> {
    counts.iter().enumerate().map(|(second, count)| (second as f64 + 0.5, *count)).collect()
}

/// What a series says at each of its times.
fn samples(run: &Value, name: &str) -> Vec<Point> {
    let sample = |second: &Value| Some((second["at"].as_f64()?, second[name].as_f64()?));
    list(&run["series"]).iter().filter_map(sample).collect()
}

/// What a series that counts from the start grew by from one time to the next, a second, in the middle between them.
fn rates(run: &Value, name: &str) -> Vec<Point> {
    let mut rates = Vec::new();
    let mut before = (0.0, 0.0);
    for now in samples(run, name).into_iter().filter(|(at, _)| *at > 0.0) {
        let seconds = now.0 - before.0;
        if seconds > 0.0 {
            rates.push((before.0 + seconds / 2.0, (now.1 - before.1).max(0.0) / seconds));
        }
        before = now;
    }
    rates
}

/// What is missing of each second: exactly, where messages were found by the second in which they were due; else what was seen
/// missing, or dropped at the sockets, while the run went on.
fn missing(run: &Value, offered: &[f64]) -> Vec<Point> {
    let stored = &run["stored_by_second"];
    if stored.is_array() && !offered.is_empty() {
        let stored = numbers(stored);
        let missing = |(second, due): (usize, &f64)| (due - stored.get(second).unwrap_or(&0.0)).max(0.0);
        return by_second(&offered.iter().enumerate().map(missing).collect::<Vec<_>>());
    }
    let seen = rates(run, "missing");
    if seen.is_empty() { rates(run, "socket_dropped") } else { seen }
}

/// Twice what was asked for, as the kernel counts its own memory too (socket(7), SO_RCVBUF).
fn buffer_bytes(change: &Value) -> Option<f64> {
    change["collector"]["receive_buffer_bytes"].as_f64().map(|bytes| 2.0 * bytes)
}

/// Points of the curve up to 99.999 %; the longest stands where one message of all is.
fn latency(latency: &Value) -> Vec<Point> {
    let samples = latency["samples"].as_f64().unwrap_or(1.0).max(1.0);
    let point = |point: &Value| Some((point[0].as_f64()?, point[1].as_f64()?));
    let at = |(percent, ms)| (if percent < 100.0 { nines(percent) } else { samples.log10() }, ms);
    let points = list(&latency["curve"]).iter().take(ROWS_MAX).filter_map(point).map(at);
    points.filter(|(nines, _)| *nines <= NINES_MAX).collect()
}

fn loss_runs(histogram: &Value) -> Vec<Lengths> {
    let row = |row: &Value| {
        Some(Lengths { from: row["from"].as_f64()?, to: row["to"].as_f64()?, runs: row["runs"].as_f64()? })
    };
    list(histogram).iter().take(ROWS_MAX).filter_map(row).collect()
}

/// A command's words, or the one string that it is.
pub(super) fn command(command: &Value) -> Vec<String> {
    let word = |word: &Value| word.as_str().map(str::to_owned);
    match command {
        Value::Array(words) => words.iter().filter_map(word).collect(),
        whole => word(whole).into_iter().collect(),
    }
}

/// The thresholds that were asked now, or else those that the run had.
fn demands(run: &Value, judged: &Judged) -> Vec<(String, Option<f64>, bool)> {
    if !judged.checked.is_empty() {
        let demand =
            |checked: &crate::threshold::Checked| (checked.threshold.to_string(), checked.actual, checked.passed);
        return judged.checked.iter().map(demand).collect();
    }
    let demand = |demand: &Value| {
        Some((demand["threshold"].as_str()?.to_owned(), demand["actual"].as_f64(), demand["passed"].as_bool()?))
    };
    list(&run["thresholds"]).iter().take(ROWS_MAX).filter_map(demand).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn drawn(run: &Value) -> Drawn {
        let judged = Judged::new("run.json", run, &[], None).unwrap();
        Drawn::new(&Member { name: "run.json".into(), run, target: 0, rate: None }, &judged)
    }

    #[test]
    fn rates_are_what_counts_grew_by_and_missing_is_told_by_the_second_in_which_it_was_due() {
        let second = |at: f64, sent: u64| json!({"at": at, "sent": sent, "received": null, "socket_queued_bytes": 512});
        let drawn = drawn(&json!({
            "verdict": "fail", "target": "udp://h:1", "plan": {"seconds": 2.5}, "offered_by_second": [10, 10, 5],
            "stored_by_second": [10, 7], "series": [second(1.0, 10), second(3.0, 24)],
        }));
        assert_eq!((drawn.sent, drawn.received), (vec![(0.5, 10.0), (2.0, 7.0)], vec![]));
        assert_eq!(drawn.offered, [(0.5, 10.0), (1.5, 10.0)]);
        assert_eq!((drawn.missing, drawn.first_missing), (vec![(0.5, 0.0), (1.5, 3.0), (2.5, 5.0)], Some((1.5, 3.0))));
        assert_eq!(drawn.queued, [(1.0, 512.0), (3.0, 512.0)]);
    }

    #[test]
    fn the_longest_stands_where_one_message_of_all_is_and_nothing_beyond_the_axis() {
        let curve = json!([[0.0, 1.0], [90.0, 2.0], [100.0, 3.0]]);
        let points = latency(&json!({"samples": 1000, "curve": curve}));
        assert_eq!(
            points.iter().map(|(nines, ms)| (nines.round(), *ms)).collect::<Vec<_>>(),
            [(0.0, 1.0), (1.0, 2.0), (3.0, 3.0)]
        );
        assert_eq!(latency(&json!({"samples": 1e7, "curve": curve})).len(), 2);
    }

    #[test]
    fn nonsense_in_place_of_any_field_is_no_figure() {
        let run = json!({
            "verdict": "pass", "series": [{"at": "x"}, 3, {"at": 1.0, "sent": -5}], "offered_by_second": {"a": 1},
            "latency": {"curve": [1, [], [1]]}, "loss_runs": {"histogram": [{}]}, "thresholds": [{}], "command": [1],
        });
        let drawn = drawn(&run);
        assert!(drawn.latency.is_empty() && drawn.loss_runs.is_empty() && drawn.demands.is_empty(), "{drawn:?}");
        assert_eq!((drawn.sent, drawn.missing), (vec![(0.5, 0.0)], vec![]));
    }
}
