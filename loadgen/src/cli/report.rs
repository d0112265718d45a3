//! `loadgen report`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::input::read_json;
use super::judging::{Judges, Judging};
use super::{RUNTIME_ERROR, USAGE, exit_code};
use crate::report::document::{Document, Member};
use crate::report::html::Page;
use crate::report::judged::Judged;
use crate::report::{Verdict, csv, junit, markdown, write_whole};

/// Runs in a report, at most; and files.
const RUNS_MAX: usize = 100;

#[derive(Args)]
pub(super) struct ReportArguments {
    /// Files that -o of run, compare, sweep or search wrote; at most 100 with at most 100 runs, of at most 64 MiB each.
    #[arg(value_name = "FILE.json", required = true)]
    files: Vec<PathBuf>,
    /// What to make of them; html if the output ends in .html, else markdown.
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    judging: Judging,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// One page with figures, to be opened in a browser or printed.
    Html,
    /// For people: verdicts, then tables with a column for each run.
    Markdown,
    /// A row for each run.
    Csv,
    /// XML for test services: a suite for each run, a case for each threshold.
    Junit,
}

pub(super) fn execute(command: &ReportArguments) -> Result<u8, (u8, String)> {
    let files = &command.files;
    if files.len() > RUNS_MAX {
        return Err((USAGE, format!("{} files, but at most {RUNS_MAX} go into one report: make several", files.len())));
    }
    let judges = command.judging.load()?;
    let format = command.format();
    let (mut page, mut judged, mut counting) = (Page::default(), Vec::new(), Vec::new());
    for path in files {
        let unusable = |error: String| (USAGE, format!("{}: {error}", path.display()));
        let document = Document::new(path.display().to_string(), read_json(path)?).map_err(unusable)?;
        if judged.len() + document.members().len() > RUNS_MAX {
            return Err(unusable(format!(
                "with its runs there are more than {RUNS_MAX}, the most of one report: make several"
            )));
        }
        let runs = judge(&document, &judges)?;
        if format == Format::Html {
            page.add(&document, &runs);
        } else if runs.is_empty() {
            return Err(unusable("it has no runs, and only --format html shows what else it has".into()));
        }
        counting.extend(runs.iter().filter(|run| run.counts).map(|run| run.verdict));
        judged.extend(runs);
    }
    let verdict = worst(&counting);
    let text = match format {
        Format::Html => page.render(verdict),
        Format::Markdown => markdown::render(&judged),
        Format::Csv => csv::render(&judged),
        Format::Junit => junit::render(&judged),
    };
    match &command.output {
        Some(path) => write_whole(path, &text).map_err(|error| (RUNTIME_ERROR, error))?,
        None => std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| (RUNTIME_ERROR, format!("cannot write the report: {error}")))?,
    }
    Ok(exit_code(verdict.unwrap_or(Verdict::Pass)))
}

impl ReportArguments {
    fn format(&self) -> Format {
        let is_page = || self.output.as_ref().and_then(|path| path.extension()).is_some_and(|end| end == "html");
        self.format.unwrap_or_else(|| if is_page() { Format::Html } else { Format::Markdown })
    }
}

/// The runs of a document, each judged.
fn judge(document: &Document, judges: &Judges) -> Result<Vec<Judged>, (u8, String)> {
    let counts = document.is_judged() || !judges.thresholds.is_empty() || judges.baseline.is_some();
    let judge = |member: Member<'_>| {
        let judged = Judged::new(&member.name, member.run, &judges.thresholds, judges.baseline.as_ref())
            .map_err(|error| (USAGE, format!("{}: {error}", member.name)))?;
        Ok(Judged { counts, ..judged })
    };
    document.members().into_iter().map(judge).collect()
}

/// A run that says nothing weighs more than one that says something bad; `None` where there is no run.
fn worst(verdicts: &[Verdict]) -> Option<Verdict> {
    Verdict::ALL.into_iter().rev().find(|verdict| verdicts.contains(verdict))
}
