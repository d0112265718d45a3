//! Runs as CSV: a row each, a column for each figure, numbers as `run.json` has them.

use super::judged::Judged;
use crate::figures::FIGURES;

/// What stands before the figures.
const COLUMNS: [&str; 7] = ["file", "run", "started", "version", "target", "verdict", "reason"];

/// A header and a row for each run; empty where nothing was measured. Fields are quoted as RFC 4180 section 2 says; lines end in
/// LF.
#[must_use]
pub fn render(runs: &[Judged]) -> String {
    let mut text = String::new();
    let header = COLUMNS.into_iter().chain(FIGURES.iter().map(|figure| figure.name));
    push_row(&mut text, header.map(str::to_owned));
    for run in runs {
        let fact = |name| run.fact(name).unwrap_or_default().to_owned();
        let facts = [
            run.file.clone(),
            fact("run"),
            fact("started"),
            fact("version"),
            fact("target"),
            run.verdict.to_string(),
            run.reason.clone().unwrap_or_default(),
        ];
        let number = |value: &Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        push_row(&mut text, facts.into_iter().chain(run.figures.iter().map(number)));
    }
    text
}

fn push_row(text: &mut String, fields: impl Iterator<Item = String>) {
    let quoted: Vec<_> = fields.map(quote).collect();
    text.push_str(&quoted.join(","));
    text.push('\n');
}

fn quote(field: String) -> String {
    if field.contains([',', '"', '\r', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rows of fields, read by the grammar of RFC 4180 section 2.
    fn parse(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
        let mut rest = text.chars().peekable();
        let mut is_quoted = false;
        while let Some(letter) = rest.next() {
            match letter {
                '"' if is_quoted && rest.next_if_eq(&'"').is_some() => field.push('"'),
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => row.push(std::mem::take(&mut field)),
                '\n' if !is_quoted => {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                other => field.push(other),
            }
        }
        rows
    }

    proptest! {
        #[test]
        fn any_fields_come_back(rows in prop::collection::vec(prop::collection::vec("[a\",\r\n é]{0,6}", 1..4), 0..4)) {
            let mut text = String::new();
            rows.iter().for_each(|row| push_row(&mut text, row.iter().cloned()));
            prop_assert_eq!(parse(&text), rows);
        }
    }
}
