//! Runs as Markdown, for people: verdicts first, then figures side by side, where messages ended, thresholds, the baseline, and
//! what was run where.

use std::collections::BTreeSet;

use super::judged::Judged;
use crate::figures::{FIGURES, Unit};

/// One document; chapters without content are left out, and so are rows that no run has.
#[must_use]
pub fn render(runs: &[Judged]) -> String {
    let mut text = String::from("# loadgen report\n\n");
    runs.iter().for_each(|run| push_verdict(&mut text, run));
    push_figures(&mut text, runs);
    push_chapter(
        &mut text,
        "Where messages ended",
        "| run | place | messages | exact | evidence |\n|---|---|---:|---|---|\n",
        places(runs),
    );
    push_chapter(&mut text, "Thresholds", "| run | threshold | measured | |\n|---|---|---:|---|\n", thresholds(runs));
    push_chapter(
        &mut text,
        "Beside the baseline",
        "| run | figure | was | is | change | may become worse by | |\n|---|---|---:|---:|---:|---:|---|\n",
        changes(runs),
    );
    let names: BTreeSet<_> = runs.iter().flat_map(|run| run.facts.keys()).collect();
    let fact = |name: &String| row(name, runs.iter().map(|run| escape(run.fact(name).unwrap_or("-"))));
    push_chapter(&mut text, "What was run", &side_by_side(runs, "---"), names.into_iter().map(fact).collect());
    text
}

fn push_verdict(text: &mut String, run: &Judged) {
    text.push_str(&format!("* **{}** {}\n", run.verdict.to_string().to_uppercase(), escape(&run.file)));
    // The sentence about an invalid run has its reason in it.
    let is_told = |reason: &&String| run.sentence.as_ref().is_none_or(|sentence| !sentence.contains(*reason));
    for told in run.reason.iter().filter(is_told).chain(&run.sentence) {
        text.push_str(&format!("  * {}\n", escape(told)));
    }
}

fn push_figures(text: &mut String, runs: &[Judged]) {
    let (mut rows, mut unmeasured) = (String::new(), Vec::new());
    for (at, figure) in FIGURES.iter().enumerate() {
        if runs.iter().any(|run| run.figures[at].is_some()) {
            rows.push_str(&row(figure.name, runs.iter().map(|run| figure.show(run.figures[at]))));
        } else {
            unmeasured.push(figure.name);
        }
    }
    push_chapter(text, "Figures", &side_by_side(runs, "---:"), rows);
    if !unmeasured.is_empty() {
        text.push_str(&format!("\nNot measured: {}.\n", unmeasured.join(", ")));
    }
}

fn places(runs: &[Judged]) -> String {
    let rows = runs.iter().flat_map(|run| {
        run.places.iter().filter(|ended| ended.messages > 0).map(|ended| {
            let messages = Unit::Count.show(ended.messages as f64);
            let exact = if ended.exact { "yes" } else { "no" };
            row(&run.file, [escape(&ended.place), messages, exact.into(), escape(&ended.evidence)].into_iter())
        })
    });
    rows.collect()
}

fn thresholds(runs: &[Judged]) -> String {
    let rows = runs.iter().flat_map(|run| {
        run.checked.iter().map(|checked| {
            let measured = checked.threshold.figure.show(checked.actual);
            let result = if checked.passed { "pass" } else { "**fail**" };
            row(&run.file, [format!("`{}`", checked.threshold), measured, result.into()].into_iter())
        })
    });
    rows.collect()
}

fn changes(runs: &[Judged]) -> String {
    let rows = runs.iter().flat_map(|run| {
        run.changes.iter().map(|change| {
            let figure = change.figure;
            let result = if change.regressed { "**regression**" } else { "pass" };
            let cells = [
                figure.name.into(),
                figure.show(Some(change.old)),
                figure.show(change.new),
                change.growth().unwrap_or_else(|| "-".into()),
                Unit::Share.show(change.limit),
                result.into(),
            ];
            row(&run.file, cells.into_iter())
        })
    });
    rows.collect()
}

fn push_chapter(text: &mut String, title: &str, head: &str, rows: String) {
    if !rows.is_empty() {
        text.push_str(&format!("\n## {title}\n\n{head}{rows}"));
    }
}

/// The head of a table with a column for each run.
fn side_by_side(runs: &[Judged], align: &str) -> String {
    let columns = format!("|{}\n", format!("{align}|").repeat(runs.len()));
    row("", runs.iter().map(|run| escape(&run.file))) + "|---" + &columns
}

/// One row; only its first cell is escaped here.
fn row(first: &str, cells: impl Iterator<Item = String>) -> String {
    let mut text = format!("| {} |", escape(first));
    cells.for_each(|cell| text.push_str(&format!(" {cell} |")));
    text.push('\n');
    text
}

/// On one line, and without what Markdown would make more of than text. `<` is left where it begins neither a tag nor a link
/// (CommonMark 0.31 sections 6.5 and 6.6), as in `lost<=0`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        match letter {
            '<' if !text[at + 1..].starts_with(|next: char| next.is_ascii_alphabetic() || "/!?".contains(next)) => {
                escaped.push(letter);
            }
            '\\' | '`' | '*' | '<' | '[' | '|' => escaped.extend(['\\', letter]),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_text_of_a_run_breaks_a_table_or_becomes_markup() {
        let hostile = "a|b\n| 1 < 2 | <script> `d` *e* [f](g) \\|";
        let run = json!({
            "verdict": "fail", "reason": hostile, "environment": {"kernel": hostile},
            "ledger": {"sentence": "told", "places": [{"place": hostile, "messages": 1, "exact": true, "evidence": hostile}]},
        });
        let text = render(&[Judged::new(hostile, &run, &[], None).unwrap()]);
        let once = "a\\|b \\| 1 < 2 \\| \\<script> \\`d\\` \\*e\\* \\[f](g) \\\\\\|";
        assert_eq!(text.matches(once).count(), 7, "{text}");
        assert!(!text.replace(once, "").contains("script"), "{text}");
    }
}
