//! The command line: one file a command.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::report::Verdict;

mod compare;
mod input;
mod judging;
mod plan;
mod probe;
mod replay;
mod report;
mod run;
mod search;
mod sending;
mod sink;
mod sweep;
mod targets;
mod verify;
mod watch;

/// Exit codes; see docs/loadgen.md.
const RUNTIME_ERROR: u8 = 1;
const USAGE: u8 = 2;
const PREFLIGHT_FAILED: u8 = 3;
const INVALID_RUN: u8 = 4;
const THRESHOLD_BREACHED: u8 = 99;

/// The exit code of a verdict.
const fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => THRESHOLD_BREACHED,
        Verdict::Invalid => INVALID_RUN,
    }
}

/// Load for log collectors that proves delivery.
#[derive(Parser)]
#[command(name = "loadgen", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send numbered messages at a steady rate.
    Run(Box<run::Run>),
    /// Send the same to several targets in turn, and put what became of it side by side.
    Compare(Box<compare::Compare>),
    /// Find the greatest rate that a collector keeps up with (MLRsearch), and the largest burst that survives.
    Search(Box<search::SearchArguments>),
    /// Send at rates below and above what a collector keeps up with: what it loses, and how late the rest is.
    Sweep(Box<sweep::SweepArguments>),
    /// Send again what was once sent, when it was sent: from captures, data directories, segments and text.
    Replay(Box<replay::Replay>),
    /// Receive and do as little as can be done: what a collector is compared with. Ends on SIGINT or SIGTERM.
    Sink(sink::SinkArguments),
    /// Find the messages of a run again, and say exactly which are missing.
    Verify(verify::Verify),
    /// Show runs side by side, judge them by thresholds, and compare them with an older one.
    Report(report::ReportArguments),
    /// Find out whether a target can be reached: machine, port, largest datagram, path; and say what that means.
    Probe(probe::ProbeArguments),
    /// Print shell completions.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of one command if it is named.
    Man {
        /// Which command.
        command: Option<String>,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(command) => run::execute(&command),
        Command::Sink(command) => sink::execute(&command),
        Command::Compare(command) => compare::execute(&command),
        Command::Search(command) => search::execute(&command),
        Command::Sweep(command) => sweep::execute(&command),
        Command::Replay(command) => replay::execute(&command),
        Command::Report(command) => report::execute(&command),
        Command::Probe(command) => probe::execute(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "loadgen", &mut script);
            let printed = io::stdout().write_all(&script);
            printed.map(|()| 0).map_err(|error| (RUNTIME_ERROR, format!("cannot write the completions: {error}")))
        }
        Command::Man { command } => print_manual(command.as_deref()),
        Command::Verify(command) => verify::execute(&command),
    };
    ExitCode::from(done.unwrap_or_else(|(code, error)| {
        say(format_args!("loadgen: {error}"));
        code
    }))
}

/// Says `text` on standard error, a line. Whoever does not listen any more (a closed pipe) does not end what is done.
fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes a result to standard output.
fn tell(text: &str) -> Result<(), (u8, String)> {
    let told = io::stdout().write_all(text.as_bytes());
    told.map_err(|error| (RUNTIME_ERROR, format!("cannot write the result: {error}")))
}

fn print_manual(command: Option<&str>) -> Result<u8, (u8, String)> {
    let mut program = Cli::command();
    program.build();
    let command = match command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            let found = found.ok_or_else(|| (USAGE, format!("there is no command `{name}`")))?;
            // Named as its page is: `man loadgen-run`.
            found.display_name(format!("loadgen-{name}"))
        }
    };
    let printed = clap_mangen::Man::new(command).render(&mut io::stdout());
    printed.map(|()| 0).map_err(|error| (RUNTIME_ERROR, format!("cannot write the manual page: {error}")))
}
