//! The command line: `run`, `check-config`, and the commands that read back.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use logboom_segment::Decoder;
use tracing::level_filters::LevelFilter;

use crate::config::{Config, ConfigError, LogLevel, Overrides, load};
use crate::read::print::{Format, Printer};
use crate::read::select::{TimeRange, parse_time};
use crate::read::{ReadError, default_directories, scan, stat, verify};

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
    Cat(Cat),
    /// Sum up what is stored.
    Stat(Summary),
    /// Check every stored byte; exit 1 if anything is damaged.
    Verify(Verify),
}

#[derive(Args)]
struct Verify {
    #[command(flatten)]
    summary: Summary,
    /// Copy what is whole of each damaged file to one beside it, named repaired-FILE.
    #[arg(long)]
    repair: bool,
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

/// What to read.
#[derive(Args)]
struct Sources {
    /// Data directories and segment files; without any, ./logboom-data or else the data_dir of
    /// /etc/logboom/logboom.toml.
    #[arg(value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
}

impl Sources {
    fn paths(&self) -> Vec<PathBuf> {
        if !self.paths.is_empty() {
            return self.paths.clone();
        }
        let configured = || Some(load(Some(Path::new(SYSTEM_CONFIG)), &Vec::new()).ok()?.data_dir.paths().to_vec());
        default_directories(configured)
    }
}

#[derive(Args)]
struct Cat {
    #[command(flatten)]
    sources: Sources,
    /// How to show each message.
    #[arg(short, long, value_enum, default_value_t = Format::Short)]
    output: Format,
    /// With -o raw: end each message with NUL instead of LF.
    #[arg(short = '0', long)]
    null: bool,
    /// Only messages received then or later: RFC 3339, or @ and seconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<u64>,
    /// Only messages received then or earlier.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<u64>,
}

#[derive(Args)]
struct Summary {
    #[command(flatten)]
    sources: Sources,
    /// One JSON object.
    #[arg(long)]
    json: bool,
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
                println!("the configuration is valid");
                ExitCode::SUCCESS
            }
            Err(error) => failed(1, &error),
        },
        Command::Cat(cat) => read(run_cat(&cat)),
        Command::Stat(summary) => read(run_stat(&summary)),
        Command::Verify(verify) => read(run_verify(&verify)),
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

fn run_cat(cat: &Cat) -> Result<u8, ReadError> {
    let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
    let mut found = scan::find(&cat.sources.paths(), &mut decoder)?;
    let range = TimeRange { since_ns: cat.since.unwrap_or(0), until_ns: cat.until.unwrap_or(u64::MAX) };
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let mut printer = Printer::new(BufWriter::with_capacity(1 << 16, stdout.lock()), cat.output, cat.null, terminal);
    let mut any = false;
    let complaints = scan::for_each_message(&mut found, range, |message, listener| {
        any = true;
        printer.print(message, listener)
    })?;
    printer.finish()?;
    for complaint in &complaints {
        eprintln!("logboom: {complaint}");
    }
    Ok(match (complaints.is_empty(), any) {
        (false, _) => ERROR,
        (true, true) => FOUND,
        (true, false) => NONE,
    })
}

fn run_stat(summary: &Summary) -> Result<u8, ReadError> {
    let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
    let mut found = scan::find(&summary.sources.paths(), &mut decoder)?;
    let complaints: Vec<String> = found.iter().flat_map(scan::Found::complaints).collect();
    print_summary(&stat::stat(&mut found)?, summary.json)?;
    for complaint in &complaints {
        eprintln!("logboom: {complaint}");
    }
    Ok(if complaints.is_empty() { FOUND } else { ERROR })
}

fn run_verify(Verify { summary, repair }: &Verify) -> Result<u8, ReadError> {
    let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
    let mut found = scan::find(&summary.sources.paths(), &mut decoder)?;
    let verification = verify::verify(&mut found, *repair, |complaint| eprintln!("logboom: {complaint}"))?;
    print_summary(&verification, summary.json)?;
    Ok(if verification.is_clean() { FOUND } else { NONE })
}

fn print_summary(summary: &(impl std::fmt::Display + serde::Serialize), json: bool) -> Result<(), ReadError> {
    let mut stdout = io::stdout().lock();
    let printed = if json {
        serde_json::to_writer_pretty(&mut stdout, summary).map_err(io::Error::from).and_then(|()| writeln!(stdout))
    } else {
        writeln!(stdout, "{summary}")
    };
    printed.map_err(ReadError::Output)
}
