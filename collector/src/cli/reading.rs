//! The commands that read back.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Zoned;
use jiff::tz::TimeZone;
use logboom_segment::{Decoder, Direction, Message};

use super::progress::show_progress;
use super::{ERROR, FOUND, NONE, SYSTEM_CONFIG};
use crate::read::count::{CountBy, Counts, Histogram};
use crate::read::find::{self, Found};
use crate::read::follow::Follower;
use crate::read::print::{Format, Printer, PrinterOptions};
use crate::read::scan::{Scan, ScanStats};
use crate::read::select::{Facility, Filters, PriorityRange, SourceFilter, TimeRange};
use crate::read::stat::stat;
use crate::read::verify::verify;
use crate::read::when::{parse_span, parse_time};
use crate::read::{POLITE_NICE, ReadError, default_directories, last};
use crate::store::directory::writing_run;

/// Time between looks for new messages.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

fn parse_time_now(text: &str) -> Result<u64, String> {
    parse_time(text, &Zoned::now())
}

fn parse_bucket(text: &str) -> Result<u64, String> {
    u64::try_from(parse_span(text)?.as_nanos()).map_err(|_| format!("`{text}` is too long"))
}

/// What to read.
#[derive(Args)]
pub(super) struct Sources {
    /// Data directories and segment files; without any, ./logboom-data or else the data_dir of
    /// /etc/logboom/logboom.toml.
    #[arg(value_name = "DIR|FILE")]
    pub(super) paths: Vec<PathBuf>,
}

impl Sources {
    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, ReadError> {
        if self.paths.is_empty() { default_directories(Path::new(SYSTEM_CONFIG)) } else { Ok(self.paths.clone()) }
    }
}

/// When they were received.
#[derive(Args)]
#[command(next_help_heading = "Which messages")]
pub(super) struct When {
    /// Received then or later: 2026-11-22 10:00:00, 10:00, yesterday, -1h, 2026-11-22T10:00:00Z, @1795341600.
    #[arg(long, short = 'S', value_name = "TIME", value_parser = parse_time_now, allow_hyphen_values = true)]
    since: Option<u64>,
    /// Received then or earlier.
    #[arg(long, short = 'U', value_name = "TIME", value_parser = parse_time_now, allow_hyphen_values = true)]
    until: Option<u64>,
}

impl When {
    pub(super) fn range(&self) -> TimeRange {
        TimeRange { since_ns: self.since.unwrap_or(0), until_ns: self.until.unwrap_or(u64::MAX) }
    }
}

/// Which messages.
#[derive(Args)]
#[command(next_help_heading = "Which messages")]
pub(super) struct Wanted {
    #[command(flatten)]
    when: When,
    /// Of this severity and worse (err), or of a range (err..warning).
    #[arg(long, short, value_name = "SEVERITY")]
    priority: Option<PriorityRange>,
    /// Of these facilities.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    facility: Vec<Facility>,
    /// From these senders: 10.0.0.7, 10.0.0.0/8, 10.0.0.7:514, 2001:db8::/32.
    #[arg(long, value_name = "ADDRESS[/BITS][:PORT]", value_delimiter = ',')]
    source: Vec<SourceFilter>,
    /// With this host in their header.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// With this tag (APP-NAME) in their header.
    #[arg(long, short, value_name = "NAME")]
    tag: Vec<String>,
    /// Taken by this listener: a URL, or the beginning of one, such as tcp.
    #[arg(long, value_name = "URL")]
    listener: Vec<String>,
}

impl Wanted {
    /// Every message.
    fn is_all(&self) -> bool {
        let Self { when: When { since, until }, priority, facility, source, host, tag, listener } = self;
        let is_any_time = since.is_none() && until.is_none();
        let lists_nothing = facility.is_empty() && source.is_empty() && host.is_empty() && tag.is_empty();
        is_any_time && priority.is_none() && lists_nothing && listener.is_empty()
    }

    pub(super) fn filters(&self) -> Filters {
        Filters {
            time: self.when.range(),
            priority: self.priority,
            facilities: self.facility.clone(),
            sources: self.source.clone(),
            listeners: self.listener.clone(),
            hosts: self.host.clone(),
            tags: self.tag.clone(),
        }
    }
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How they are shown.
#[derive(Args)]
#[command(next_help_heading = "How they are shown")]
pub(super) struct Output {
    /// How to show each message.
    #[arg(short, long, value_enum, default_value_t = Format::Short)]
    output: Format,
    /// With -o raw: end each message with NUL instead of LF.
    #[arg(short = '0', long)]
    null: bool,
    /// Times in UTC.
    #[arg(long)]
    utc: bool,
    /// Colour by severity, and what matched.
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// Tell on stderr what was skipped and what was read.
    #[arg(long)]
    stats: bool,
    /// Threads that decode; 0 is one for each processor.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_cpu: usize,
}

impl Output {
    fn zone(&self) -> TimeZone {
        if self.utc { TimeZone::UTC } else { TimeZone::system() }
    }

    pub(super) fn printer(&self) -> Printer<BufWriter<StdoutLock<'static>>> {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let color = match self.color {
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            Color::Always => true,
            Color::Never => false,
        };
        let options = PrinterOptions { format: self.output, nul: self.null, terminal, color, zone: self.zone() };
        Printer::new(BufWriter::with_capacity(1 << 16, stdout.lock()), options)
    }

    pub(super) fn threads(&self) -> usize {
        threads(self.max_cpu)
    }

    pub(super) fn tell_stats(&self, stats: &ScanStats) {
        if self.stats {
            eprintln!("logboom: {stats}");
        }
    }
}

/// Goes behind a collector that is writing to one of `paths`; for threads that begin later, too.
pub(super) fn step_back(paths: &[PathBuf]) {
    if paths.iter().any(|path| writing_run(path).is_some()) {
        // Not permitted to be nicer is no reason not to read.
        let _ = logboom_udp::thread::set_nice(POLITE_NICE);
    }
}

/// As many as there are processors, if no number is asked for.
fn threads(max_cpu: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if max_cpu == 0 { processors } else { max_cpu }
}

pub(super) fn code(complaints: &[String], any: bool) -> u8 {
    for complaint in complaints {
        eprintln!("logboom: {complaint}");
    }
    match (complaints.is_empty(), any) {
        (false, _) => ERROR,
        (true, true) => FOUND,
        (true, false) => NONE,
    }
}

/// The segments in which wanted messages may be.
pub(super) fn open_segments(paths: &[PathBuf], filters: &Filters, stats: &ScanStats) -> Result<Vec<Found>, ReadError> {
    let mut candidates = find::list(paths)?;
    let before = candidates.len();
    candidates.retain(|candidate| candidate.latest_ns >= filters.time.since_ns);
    stats.note_skipped_segments(before - candidates.len());
    let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
    let found = find::open(candidates, &mut decoder)?;
    stats.note_opened_segments(found.len());
    Ok(found)
}

#[derive(Args)]
#[command(after_help = "Examples:
  logboom cat                                   everything in ./logboom-data
  logboom cat -S -1h -p err /var/lib/logboom    errors of the last hour
  logboom cat -r -n 20 --source 10.0.0.0/8      the last twenty of a network, latest first
  logboom cat -o json -S yesterday -U today     for another program")]
pub(super) struct Cat {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    output: Output,
    /// Latest first.
    #[arg(short, long)]
    reverse: bool,
    /// Only the first so many; with -r the last.
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u64>,
}

impl Cat {
    pub(super) fn run(&self) -> Result<u8, ReadError> {
        let (paths, filters, stats) = (self.sources.paths()?, self.wanted.filters(), ScanStats::default());
        step_back(&paths);
        let direction = if self.reverse { Direction::Backward } else { Direction::Forward };
        let threads = self.output.threads();
        let scan = Scan { filters: &filters, pattern: None, direction, threads, stats: &stats };
        let (mut printer, mut left, mut any) = (self.output.printer(), self.lines.unwrap_or(u64::MAX), false);
        let mut print = |message: &Message<'_>, listener: &str| {
            if left > 0 {
                printer.print(message, listener, &[])?;
                (left, any) = (left - 1, true);
            }
            Ok(left > 0)
        };
        let complaints = match (self.reverse, self.lines) {
            // The latest segments alone may be enough.
            (true, Some(lines)) => {
                let (last, complaints) = last::last_messages(&paths, &scan, lines)?;
                for message in last.iter().rev() {
                    print(&message.as_message(), &message.listener)?;
                }
                complaints
            }
            _ => show_progress(&stats, true, || scan.for_each(&open_segments(&paths, &filters, &stats)?, print))?,
        };
        printer.finish()?;
        self.output.tell_stats(&stats);
        Ok(code(&complaints, any))
    }
}

#[derive(Args)]
#[command(after_help = "Examples:
  logboom tail                       the last ten
  logboom tail -n 100 -f -p warning  the last hundred warnings and worse, and those to come")]
pub(super) struct Tail {
    #[command(flatten)]
    sources: Sources,
    /// So many.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: u64,
    /// Go on with those to come, until interrupted.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    output: Output,
}

impl Tail {
    pub(super) fn run(&self) -> Result<u8, ReadError> {
        let (paths, filters, stats) = (self.sources.paths()?, self.wanted.filters(), ScanStats::default());
        step_back(&paths);
        let threads = self.output.threads();
        let scan = Scan { filters: &filters, pattern: None, direction: Direction::Backward, threads, stats: &stats };
        // Before the last are read: what comes meanwhile is shown twice by neither.
        let mut follower = if self.follow { Some(Follower::new(paths.clone())?) } else { None };
        let (last, complaints) = match &follower {
            Some(follower) => follower.last_messages(&scan, self.lines)?,
            None => last::last_messages(&paths, &scan, self.lines)?,
        };
        let mut printer = self.output.printer();
        for message in &last {
            printer.print(&message.as_message(), &message.listener, &[])?;
        }
        self.output.tell_stats(&stats);
        let Some(follower) = &mut follower else {
            printer.finish()?;
            return Ok(code(&complaints, !last.is_empty()));
        };
        code(&complaints, true);
        loop {
            printer.flush()?;
            std::thread::sleep(FOLLOW_INTERVAL);
            let complaints = follower.poll(&filters, |message, listener| printer.print(message, listener, &[]))?;
            code(&complaints, true);
        }
    }
}

/// What is summed up, and how it is shown.
#[derive(Args)]
pub(super) struct Summary {
    #[command(flatten)]
    pub(super) sources: Sources,
    /// One JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  logboom stat /var/lib/logboom
  logboom stat --count-by source -S today -p err
  logboom stat --histogram 1h -S yesterday -U today")]
pub(super) struct Stat {
    #[command(flatten)]
    summary: Summary,
    /// Count messages by this instead.
    #[arg(long, value_enum, value_name = "WHAT")]
    count_by: Option<CountBy>,
    /// Count messages in spans of this length instead.
    #[arg(long, value_name = "SPAN", value_parser = parse_bucket, conflicts_with_all = ["count_by", "json"])]
    histogram: Option<u64>,
    #[command(flatten)]
    wanted: Wanted,
    /// With --histogram: times in UTC.
    #[arg(long)]
    utc: bool,
    /// Tell on stderr what was skipped and what was read.
    #[arg(long)]
    stats: bool,
    /// Threads that count; 0 is one for each processor.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_cpu: usize,
}

impl Stat {
    pub(super) fn run(&self) -> Result<u8, ReadError> {
        let paths = self.summary.sources.paths()?;
        step_back(&paths);
        if self.count_by.is_none() && self.histogram.is_none() {
            if !self.wanted.is_all() || self.stats || self.max_cpu > 0 || self.utc {
                let why = "stat alone sums up whole files: to say which messages, --stats, --max-cpu or --utc, count with \
                           --count-by or --histogram";
                return Err(ReadError::Request(why.into()));
            }
            let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
            let mut found = find::find(&paths, &mut decoder)?;
            let complaints: Vec<String> = found.iter().flat_map(Found::complaints).collect();
            print_summary(&stat(&mut found)?, self.summary.json)?;
            return Ok(code(&complaints, true));
        }
        let (filters, stats) = (self.wanted.filters(), ScanStats::default());
        if filters.asks_for_header() {
            return Err(ReadError::Request("--host and --tag need the text of messages: use grep -c".into()));
        }
        let found = open_segments(&paths, &filters, &stats)?;
        let threads = threads(self.max_cpu);
        let scan = Scan { filters: &filters, pattern: None, direction: Direction::Forward, threads, stats: &stats };
        let complaints = show_progress(&stats, false, || self.count(&scan, &found))?;
        if self.stats {
            eprintln!("logboom: {stats}");
        }
        Ok(code(&complaints, true))
    }

    fn count(&self, scan: &Scan<'_>, found: &[Found]) -> Result<Vec<String>, ReadError> {
        let mut stdout = io::stdout().lock();
        if let Some(bucket_ns) = self.histogram {
            let mut histogram = Histogram::new(bucket_ns);
            let complaints = scan.histogram(found, &mut histogram)?;
            let zone = if self.utc { TimeZone::UTC } else { TimeZone::system() };
            stdout.write_all(histogram.lines(&zone).as_bytes()).map_err(ReadError::Output)?;
            return Ok(complaints);
        }
        let by = self.count_by.unwrap_or(CountBy::Source);
        let mut counts = Counts::default();
        let complaints = scan.count_by(found, by, &mut counts)?;
        let sorted = counts.sorted();
        let printed = if self.summary.json {
            let object: serde_json::Map<String, serde_json::Value> =
                sorted.into_iter().map(|(key, count)| (key, count.into())).collect();
            writeln!(stdout, "{:#}", serde_json::Value::Object(object))
        } else {
            let width = sorted.first().map_or(1, |(_, count)| count.to_string().len());
            sorted.iter().try_for_each(|(key, count)| writeln!(stdout, "{count:>width$} {key}"))
        };
        printed.map_err(ReadError::Output)?;
        Ok(complaints)
    }
}

#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    summary: Summary,
    /// Copy what is whole of each damaged file to one beside it, named repaired-FILE.
    #[arg(long)]
    repair: bool,
}

impl Verify {
    pub(super) fn run(&self) -> Result<u8, ReadError> {
        let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
        let paths = self.summary.sources.paths()?;
        step_back(&paths);
        let mut found = find::find(&paths, &mut decoder)?;
        let verification = verify(&mut found, self.repair, |complaint| eprintln!("logboom: {complaint}"))?;
        print_summary(&verification, self.summary.json)?;
        Ok(if verification.is_clean() { FOUND } else { NONE })
    }
}

pub(super) fn print_json(summary: &impl serde::Serialize) -> Result<(), ReadError> {
    let mut stdout = io::stdout().lock();
    let printed = serde_json::to_writer_pretty(&mut stdout, summary).map_err(io::Error::from);
    printed.and_then(|()| writeln!(stdout)).map_err(ReadError::Output)
}

fn print_summary(summary: &(impl std::fmt::Display + serde::Serialize), json: bool) -> Result<(), ReadError> {
    if json { print_json(summary) } else { writeln!(io::stdout().lock(), "{summary}").map_err(ReadError::Output) }
}
