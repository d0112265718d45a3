//! `loadgen report`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::judging::{Judges, Judging, read};
use super::{RUNTIME_ERROR, USAGE, exit_code};
use crate::report::judged::Judged;
use crate::report::{Verdict, csv, junit, markdown, write_whole};

/// Runs side by side, at most.
const RUNS_MAX: usize = 100;

#[derive(Args)]
pub(super) struct ReportArguments {
    /// Files that run -o wrote; at most 100, of at most 64 MiB each.
    #[arg(value_name = "RUN.json", required = true)]
    runs: Vec<PathBuf>,
    /// What to make of them.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    judging: Judging,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For people: verdicts, then tables with a column for each run.
    #[default]
    Markdown,
    /// A row for each run.
    Csv,
    /// XML for test services: a suite for each run, a case for each threshold.
    Junit,
}

pub(super) fn execute(command: &ReportArguments) -> Result<u8, (u8, String)> {
    let runs = &command.runs;
    if runs.len() > RUNS_MAX {
        return Err((USAGE, format!("{} runs, but at most {RUNS_MAX} go into one report: make several", runs.len())));
    }
    let Judges { thresholds, baseline } = command.judging.load()?;
    let judge = |path: &PathBuf| {
        let name = path.display().to_string();
        Judged::new(&name, &read(path)?, &thresholds, baseline.as_ref())
            .map_err(|error| (USAGE, format!("{name}: {error}")))
    };
    let judged = runs.iter().map(judge).collect::<Result<Vec<_>, _>>()?;
    let text = match command.format {
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
    Ok(exit_code(worst(&judged)))
}

/// A run that says nothing weighs more than one that says something bad.
fn worst(judged: &[Judged]) -> Verdict {
    let is_any = |verdict| judged.iter().any(|run| run.verdict == verdict);
    [Verdict::Invalid, Verdict::Fail].into_iter().find(|verdict| is_any(*verdict)).unwrap_or(Verdict::Pass)
}
