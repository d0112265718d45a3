//! The same plan over several transports, or to several collectors: runs in turn, and their medians side by side.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::figures::{Figure, figures};
use crate::report::{Report, Verdict, write_whole};

/// The only schema there is.
pub const SCHEMA: &str = "loadgen.compare/1";

/// Targets side by side, at most.
pub const TARGETS_MAX: usize = 8;

/// Runs to each target, at most.
pub const REPETITIONS_MAX: u32 = 100;

/// Figures that are put side by side, if any run measured them.
const TOLD: [&Figure; 17] = figures([
    "sent",
    "achieved_rate",
    "lost",
    "loss_ratio",
    "loss_runs.max",
    "duplicates",
    "reordered",
    "corrupted",
    "latency.p50",
    "latency.p99",
    "latency.p999",
    "latency.max",
    "latency_synced.p99",
    "sending.overflow",
    "sending.blocked_seconds",
    "sender_cpu_ns_per_message",
    "collector.cpu_ns_per_message",
]);

/// Figures of which the last sentence speaks.
const SPOKEN: [&Figure; 4] =
    figures(["loss_ratio", "latency.p99", "sender_cpu_ns_per_message", "collector.cpu_ns_per_message"]);

/// What it says of each.
const WORDS: [&str; 4] = ["lost", "99 of 100 arrived within", "each cost the sender", "and the collector"];

/// In which turn targets are sent to: forwards and backwards, so that what drifts meanwhile meets all alike.
#[must_use]
pub fn turns(targets: usize, repetitions: u32) -> Vec<usize> {
    let turn = |repetition: u32| -> Vec<usize> {
        if repetition.is_multiple_of(2) { (0..targets).collect() } else { (0..targets).rev().collect() }
    };
    (0..repetitions).flat_map(turn).collect()
}

/// Runs of one plan to several targets.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The command that made them.
    pub command: Vec<String>,
    /// Where they were sent.
    pub targets: Vec<String>,
    /// Each, in the order in which they were made.
    pub runs: Vec<Turn>,
}

/// A run and its target.
#[derive(Debug, Serialize)]
pub struct Turn {
    /// Which of the targets, from 0.
    pub target: usize,
    /// What it came to.
    pub run: Report,
}

/// The runs to one target.
struct Column {
    name: String,
    verdicts: Vec<Verdict>,
    runs: Vec<Value>,
}

impl Column {
    /// Least, median and most of a figure over the runs that measured it.
    fn spread(&self, figure: &Figure) -> Option<[f64; 3]> {
        spread(self.runs.iter().filter_map(|run| figure.value(run)).collect())
    }

    fn cell(&self, figure: &Figure) -> String {
        cell(figure, self.spread(figure))
    }
}

/// Least, median and most of some values, if there are any.
pub(crate) fn spread(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.sort_by(f64::total_cmp);
    let (least, most) = (values.first()?, values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
    Some([*least, median, *most])
}

/// A median for people, with least and most where they differ.
pub(crate) fn cell(figure: &Figure, spread: Option<[f64; 3]>) -> String {
    match spread {
        None => "-".into(),
        Some([least, _, most]) if least == most => figure.show(Some(least)),
        Some([least, median, most]) => {
            format!("{} ({} .. {})", figure.show(Some(median)), figure.show(Some(least)), figure.show(Some(most)))
        }
    }
}

impl Comparison {
    fn columns(&self) -> Vec<Column> {
        let column = |(number, name): (usize, &String)| {
            let mine = || self.runs.iter().filter(move |turn| turn.target == number).map(|turn| &turn.run);
            // An invalid run says nothing.
            let valid = mine().filter(|run| run.verdict != Verdict::Invalid);
            Column {
                name: name.clone(),
                verdicts: mine().map(|run| run.verdict).collect(),
                runs: valid.map(|run| serde_json::json!(run)).collect(),
            }
        };
        self.targets.iter().enumerate().map(column).collect()
    }

    /// A table of medians, with least and most where they differ, and a sentence for each target.
    #[must_use]
    pub fn text(&self) -> String {
        let columns = self.columns();
        let mut rows = vec![vec![String::new()]];
        rows[0].extend(columns.iter().map(|column| column.name.clone()));
        let verdicts = columns.iter().map(|column| Verdict::tally(&column.verdicts));
        rows.push(std::iter::once("runs".to_owned()).chain(verdicts).collect());
        for figure in TOLD {
            if columns.iter().any(|column| column.spread(figure).is_some()) {
                let cells = columns.iter().map(|column| column.cell(figure));
                rows.push(std::iter::once(figure.name.to_owned()).chain(cells).collect());
            }
        }
        let mut text = aligned(&rows);
        for column in &columns {
            text.push_str(&sentence(column));
        }
        for Turn { run, .. } in self.runs.iter().filter(|turn| turn.run.verdict != Verdict::Pass) {
            let reason = run.reason.as_deref().unwrap_or_default();
            let _ = writeln!(text, "run {} to {}: {}: {reason}", run.run, run.target, run.verdict);
            if run.verdict == Verdict::Fail {
                let _ = writeln!(text, "  {}", run.ledger.sentence);
            }
        }
        text
    }

    /// Writes it, runs and all.
    ///
    /// # Errors
    /// What the file system says, with the file's name.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        write_whole(path, &serde_json::to_string_pretty(self).map_err(|error| error.to_string())?)
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// What a column comes to, in words: medians.
fn sentence(column: &Column) -> String {
    let spoken = SPOKEN.into_iter().zip(WORDS).filter_map(|(figure, words)| {
        let [_, median, _] = column.spread(figure)?;
        Some(if figure.name == "loss_ratio" && median == 0.0 {
            "lost nothing".to_owned()
        } else {
            format!("{words} {}", figure.show(Some(median)))
        })
    });
    let spoken: Vec<_> = spoken.collect();
    let told = if spoken.is_empty() { "no valid run".to_owned() } else { spoken.join(", ") };
    format!("{}: {told}\n", column.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn targets_take_turns_forwards_and_backwards() {
        assert_eq!(turns(2, 3), [0, 1, 1, 0, 0, 1]);
        assert_eq!(turns(3, 2), [0, 1, 2, 2, 1, 0]);
    }

    #[test]
    fn medians_stand_with_what_lies_beside_them() {
        let run = |lost: u64, p99: Option<f64>| json!({"lost": lost, "loss_ratio": lost as f64 / 1000.0, "latency": {"p99": p99}});
        let column = Column {
            name: "udp".into(),
            verdicts: vec![Verdict::Fail; 3],
            runs: vec![run(30, Some(4.0)), run(10, None), run(20, Some(2.0))],
        };
        let figure = |name| Figure::named(name).unwrap();
        assert_eq!(column.cell(figure("lost")), "20 (10 .. 30)");
        assert_eq!(column.spread(figure("latency.p99")), Some([2.0, 3.0, 4.0]));
        assert_eq!(column.cell(figure("latency.p50")), "-");
        let told = sentence(&column);
        assert!(told.starts_with("udp: lost 2") && told.contains("99 of 100 arrived within 3"), "{told}");
        let clean = Column { name: "tcp".into(), verdicts: vec![Verdict::Pass], runs: vec![run(0, None)] };
        assert_eq!(sentence(&clean), "tcp: lost nothing\n");
    }
}
