//! What is said below the rates, on a terminal and at the end of the plain lines: first what decides whether to believe
//! the rest, then where the missing ones went.

use super::Frame;
use super::wording::{count, known, microseconds, milliseconds, visible};

/// Columns of a label, the space behind it included.
pub(super) const LABEL_COLUMNS: usize = 10;

/// A label and what is said of it.
pub(super) struct Row {
    pub(super) label: &'static str,
    pub(super) text: String,
    /// Whether it is bad news.
    pub(super) alarm: bool,
}

/// The rows of `frame`, six at most, the most important first.
pub(super) fn rows(frame: &Frame) -> impl Iterator<Item = Row> {
    [Some(generator(frame)), missing(frame), hint(frame), Some(lag(frame)), latency(frame), Some(arrival(frame))]
        .into_iter()
        .flatten()
}

fn generator(frame: &Frame) -> Row {
    let fault = frame.generator_fault.as_ref();
    let text = fault.map_or_else(|| "OK".into(), |fault| format!("INVALID: {}", visible(fault)));
    Row { label: "generator", text, alarm: fault.is_some() }
}

fn missing(frame: &Frame) -> Option<Row> {
    let mut places: Vec<_> = frame.places.iter().filter(|(_, messages)| *messages > 0).collect();
    places.sort_by_key(|(_, messages)| std::cmp::Reverse(*messages));
    let text = match frame.lost {
        Some(1..) if places.is_empty() => "not known where".to_owned(),
        _ if places.is_empty() => return None,
        _ => {
            let places = places.iter().map(|(place, messages)| format!("{} {}", visible(place), count(*messages)));
            places.collect::<Vec<_>>().join("  ")
        }
    };
    Some(Row { label: "missing", text, alarm: true })
}

fn hint(frame: &Frame) -> Option<Row> {
    frame.hint.as_ref().map(|hint| Row { label: "hint", text: visible(hint), alarm: false })
}

fn lag(frame: &Frame) -> Row {
    let lag = known(frame.pacing.lag_us, |lag| {
        let [p50, p99, max] = [lag.p50, lag.p99, lag.max].map(microseconds);
        format!("p50 {p50}  p99 {p99}  max {max} us")
    });
    let group = count(frame.pacing.group.p99);
    let tx = frame.sender_cpu_ns_per_message;
    let rx = frame.receiver_cpu_ns_per_message.map_or_else(String::new, |ns| format!(" rx {ns:.0}"));
    let text = format!("{lag}  group p99 {group}  cpu tx {tx:.0}{rx} ns each");
    Row { label: "lag", text, alarm: false }
}

fn latency(frame: &Frame) -> Option<Row> {
    let latency = frame.latency_ms?;
    let [p50, p90, p99, p999, max] =
        [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(milliseconds);
    let text = format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max} ms");
    Some(Row { label: "latency", text, alarm: false })
}

fn arrival(frame: &Frame) -> Row {
    let counts = [
        ("duplicates", frame.duplicates),
        ("reordered", frame.reordered),
        ("corrupted", frame.corrupted),
        ("icmp", Some(frame.icmp)),
    ];
    let known = counts.iter().filter_map(|(name, messages)| Some(format!("{name} {}", count((*messages)?))));
    let mut text = known.collect::<Vec<_>>().join("  ");
    if frame.received.is_none() {
        text.push_str("  (what comes is not counted)");
    }
    Row { label: "arrival", text, alarm: false }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{good, lossy};
    use super::*;

    fn row(frame: &Frame, label: &str) -> Option<String> {
        rows(frame).find(|row| row.label == label).map(|row| row.text)
    }

    #[test]
    fn places_come_with_the_worst_first_and_without_those_where_none_is() {
        assert_eq!(row(&lossy(), "missing").unwrap(), "socket_buffer 51,810  queue 12");
        assert_eq!(row(&good(), "missing"), None);
        let unexplained = Frame { places: Vec::new(), ..lossy() };
        assert_eq!(row(&unexplained, "missing").unwrap(), "not known where");
    }

    #[test]
    fn what_a_check_does_not_count_is_left_out_and_not_nought() {
        let counters_alone = Frame { duplicates: None, reordered: None, corrupted: None, icmp: 3, ..good() };
        assert_eq!(row(&counters_alone, "arrival").unwrap(), "icmp 3");
    }
}
