//! `loadgen report`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{INVALID_RUN, RUNTIME_ERROR, THRESHOLD_BREACHED, USAGE};
use crate::baseline::{Baseline, Limit};
use crate::report::judged::Judged;
use crate::report::{SCHEMA, Verdict, csv, junit, markdown};
use crate::threshold::Threshold;

/// Runs side by side, at most.
const RUNS_MAX: usize = 100;

/// Of one file, at most.
const FILE_MIB_MAX: u64 = 64;

#[derive(Args)]
pub(super) struct ReportArguments {
    /// Files that run -o wrote; at most 100, of at most 64 MiB each.
    #[arg(value_name = "RUN.json", required = true)]
    runs: Vec<PathBuf>,
    /// What to make of them.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// What a run must keep, such as 'loss_ratio<=0.01%' or 'latency.p99<5ms'; may be given again. Without any the verdict of
    /// the run stands.
    #[arg(long = "threshold", value_name = "FIGURE OP VALUE")]
    thresholds: Vec<Threshold>,
    /// An older run of the same plan that no run may be worse than.
    #[arg(long, value_name = "OLD.json")]
    baseline: Option<PathBuf>,
    /// How much worse, such as 5%, or latency.p50=10% for one figure; may be given again. 5% unless given.
    #[arg(long, value_name = "[FIGURE=]PERCENT", requires = "baseline")]
    max_regress: Vec<Limit>,
    /// Compare with a baseline of another plan.
    #[arg(long, requires = "baseline")]
    ignore_plan: bool,
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
    let ReportArguments { runs, thresholds, max_regress, ignore_plan, .. } = command;
    if runs.len() > RUNS_MAX {
        return Err((USAGE, format!("{} runs, but at most {RUNS_MAX} go into one report: make several", runs.len())));
    }
    let unusable = |path: &Path| {
        let name = path.display().to_string();
        move |error: String| (USAGE, format!("{name}: {error}"))
    };
    let baseline = match &command.baseline {
        Some(path) => {
            let made = Baseline::new(read(path)?, max_regress.clone(), *ignore_plan);
            Some(made.map_err(|error| unusable(path)(format!("as a baseline: {error}")))?)
        }
        None => None,
    };
    let judge = |path: &PathBuf| {
        let judged = Judged::new(&path.display().to_string(), &read(path)?, thresholds, baseline.as_ref());
        judged.map_err(unusable(path))
    };
    let judged = runs.iter().map(judge).collect::<Result<Vec<_>, _>>()?;
    let text = match command.format {
        Format::Markdown => markdown::render(&judged),
        Format::Csv => csv::render(&judged),
        Format::Junit => junit::render(&judged),
    };
    match &command.output {
        Some(path) => write(path, &text)?,
        None => std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| (RUNTIME_ERROR, format!("cannot write the report: {error}")))?,
    }
    Ok(exit_code(&judged))
}

/// A run that says nothing weighs more than one that says something bad.
fn exit_code(judged: &[Judged]) -> u8 {
    let is_any = |verdict| judged.iter().any(|run| run.verdict == verdict);
    if is_any(Verdict::Invalid) {
        INVALID_RUN
    } else if is_any(Verdict::Fail) {
        THRESHOLD_BREACHED
    } else {
        0
    }
}

/// A run as it stands in the file: reports need not know all of its fields, and of each keep only what they tell.
fn read(path: &Path) -> Result<Value, (u8, String)> {
    let failed = |error: std::io::Error| (RUNTIME_ERROR, format!("cannot read {}: {error}", path.display()));
    let unusable = |error: String| (USAGE, format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let limit = FILE_MIB_MAX << 20;
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(unusable(format!("it is larger than {FILE_MIB_MAX} MiB, the most that is read of a run")));
    }
    let run: Value = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
    match &run["schema"] {
        Value::String(schema) if schema == SCHEMA => Ok(run),
        schema => Err(unusable(format!("schema {schema}, but this program knows only {SCHEMA:?}"))),
    }
}

/// To a temporary file beside it first, so that there is never half of one.
fn write(path: &Path, text: &str) -> Result<(), (u8, String)> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|error| (RUNTIME_ERROR, format!("cannot write {}: {error}", path.display())))
}
