//! The command line: `run`, `check-config`, and the commands that read back.

mod grep;
mod ledger;
mod progress;
mod reading;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::config::{Config, ConfigError, LogLevel, Overrides, load};
use crate::read::ReadError;

/// Where a packaged collector has its configuration.
const SYSTEM_CONFIG: &str = "/etc/logboom/logboom.toml";

/// Collects logs over UDP and TCP into plain zstd files, and accounts for every message.
#[derive(Parser)]
#[command(name = "logboom", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Collect until SIGTERM or SIGINT.
    Run(Configured),
    /// Check a configuration and exit.
    CheckConfig(Configured),
    /// Print stored messages, by receive time.
    Cat(reading::Cat),
    /// Print stored messages whose text matches.
    Grep(grep::Grep),
    /// Print the last stored messages, and those to come.
    Tail(reading::Tail),
    /// Sum up what is stored, or count it.
    Stat(reading::Stat),
    /// What was stored and what was lost, when and where; exit 1 if anything was lost.
    Ledger(ledger::Ledger),
    /// Check every stored byte; exit 1 if anything is damaged.
    Verify(reading::Verify),
    /// Print a completion script for a shell.
    Completions {
        /// Which.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or that of a command.
    Man {
        /// The command; without one, the program.
        command: Option<String>,
    },
}

/// A configuration file, and what is set over it.
#[derive(Args)]
struct Configured {
    /// Configuration file (TOML); without one, the defaults hold.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to take messages, instead of the configured places: udp://ADDRESS:PORT or tcp://ADDRESS:PORT.
    #[arg(long, value_name = "URL")]
    listen: Vec<String>,
    /// Where to write segments; several times for several directories.
    #[arg(long, value_name = "DIR")]
    data_dir: Vec<String>,
    /// Where to serve metrics, health, status and ledger.
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<String>,
    /// Set any key of the configuration, such as receive.tick=0s.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_assignment)]
    set: Vec<(String, String)>,
}

fn parse_assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write it as KEY=VALUE".into()),
    }
}

impl Configured {
    fn load(&self) -> Result<Config, ConfigError> {
        let array =
            |texts: &[String]| toml::Value::Array(texts.iter().cloned().map(toml::Value::String).collect()).to_string();
        let mut overrides: Overrides = Vec::new();
        if !self.listen.is_empty() {
            overrides.push(("listen".into(), array(&self.listen)));
        }
        let quoted = |text: &String| toml::Value::String(text.clone()).to_string();
        match &self.data_dir[..] {
            [] => {}
            [path] => overrides.push(("data_dir".into(), quoted(path))),
            paths => overrides.push(("data_dir".into(), array(paths))),
        }
        overrides.extend(self.admin.as_ref().map(|address| ("admin.listen".into(), quoted(address))));
        overrides.extend(self.set.iter().cloned());
        load(self.config.as_deref(), &overrides)
    }
}

/// Exit codes of the commands that read, as grep has them.
const FOUND: u8 = 0;
const NONE: u8 = 1;
const ERROR: u8 = 2;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let failed = |code: u8, error: &dyn std::fmt::Display| {
        eprintln!("logboom: {error}");
        ExitCode::from(code)
    };
    let read = |result: Result<u8, ReadError>| match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is_closed_pipe() => ExitCode::from(FOUND),
        Err(error) => failed(ERROR, &error),
    };
    match Cli::parse().command {
        Command::Run(configured) => match configured.load() {
            Ok(config) => {
                log_to_stderr(config.log);
                crate::run::run(&config).unwrap_or_else(|error| failed(1, &error))
            }
            Err(error) => failed(1, &error),
        },
        Command::CheckConfig(configured) => match configured.load() {
            Ok(_) => {
                // Who does not want to read it has its exit code.
                let _ = writeln!(io::stdout(), "the configuration is valid");
                ExitCode::SUCCESS
            }
            Err(error) => failed(1, &error),
        },
        Command::Cat(cat) => read(cat.run()),
        Command::Grep(grep) => read(grep.run()),
        Command::Tail(tail) => read(tail.run()),
        Command::Stat(stat) => read(stat.run()),
        Command::Ledger(ledger) => read(ledger.run()),
        Command::Verify(verify) => read(verify.run()),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "logboom", &mut io::stdout());
            ExitCode::SUCCESS
        }
        Command::Man { command } => print_manual(command.as_deref()).unwrap_or_else(|error| failed(1, &error)),
    }
}

fn log_to_stderr(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(level)
        .init();
}

fn print_manual(command: Option<&str>) -> Result<ExitCode, String> {
    let mut program = Cli::command();
    program.build();
    let command = match command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            // Named as its page is: `man logboom-cat`.
            found.ok_or(format!("there is no command `{name}`"))?.display_name(format!("logboom-{name}"))
        }
    };
    clap_mangen::Man::new(command).render(&mut io::stdout()).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}
