//! `logboom grep`: messages by their text, with what is around them.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use logboom_segment::{Direction, Message};

use super::progress::show_progress;
use super::reading::{Output, Sources, Wanted, code, open_segments, step_back};
use crate::read::grep::{Pattern, PatternOptions};
use crate::read::print::Printer;
use crate::read::scan::{Scan, ScanStats};
use crate::read::{ReadError, last};

#[derive(Args)]
#[command(after_help = "Examples:
  logboom grep 'connection refused' /var/lib/logboom
  logboom grep -i -w error -S today --source 10.0.0.7
  logboom grep -c -e timeout -e 'reset by peer'
  logboom grep -F '[42]' -C 3

Without -e the first argument is the pattern. Exit code 0 if a message matched, 1 if none did, 2 after an error.")]
pub(super) struct Grep {
    /// Pattern, unless -e is given; then directories and files.
    #[arg(value_name = "PATTERN|DIR|FILE")]
    arguments: Vec<PathBuf>,
    /// A pattern; several times for any of several.
    #[arg(short = 'e', long = "regexp", value_name = "PATTERN", allow_hyphen_values = true)]
    patterns: Vec<String>,
    /// Patterns are texts, not regular expressions.
    #[arg(short = 'F', long)]
    fixed_strings: bool,
    /// Letters of either case.
    #[arg(short, long)]
    ignore_case: bool,
    /// Whole words only.
    #[arg(short, long)]
    word_regexp: bool,
    /// Messages that do not match.
    #[arg(short = 'v', long)]
    invert_match: bool,
    /// Only their number.
    #[arg(short, long)]
    count: bool,
    /// Stop after so many.
    #[arg(short, long, value_name = "N")]
    max_count: Option<u64>,
    /// Also so many messages after each.
    #[arg(short = 'A', long, value_name = "N", default_value_t = 0)]
    after_context: usize,
    /// Also so many messages before each.
    #[arg(short = 'B', long, value_name = "N", default_value_t = 0)]
    before_context: usize,
    /// Both.
    #[arg(short = 'C', long, value_name = "N")]
    context: Option<usize>,
    /// Only what matched, each on a line.
    #[arg(long)]
    only_matching: bool,
    /// Latest first.
    #[arg(short, long)]
    reverse: bool,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    output: Output,
}

impl Grep {
    fn pattern_and_paths(&self) -> Result<(Pattern, Vec<PathBuf>), ReadError> {
        let mut paths = self.arguments.clone();
        let mut patterns = self.patterns.clone();
        if patterns.is_empty() {
            if paths.is_empty() {
                return Err(ReadError::Request("there is no pattern: logboom grep PATTERN [DIR|FILE]...".into()));
            }
            patterns.push(paths.remove(0).to_string_lossy().into_owned());
        }
        let options = PatternOptions {
            fixed: self.fixed_strings,
            ignore_case: self.ignore_case,
            words: self.word_regexp,
            invert: self.invert_match,
        };
        let pattern = Pattern::new(&patterns, options).map_err(ReadError::Request)?;
        Ok((pattern, Sources { paths }.paths()?))
    }

    pub(super) fn run(&self) -> Result<u8, ReadError> {
        let (pattern, paths) = self.pattern_and_paths()?;
        let (filters, stats) = (self.wanted.filters(), ScanStats::default());
        let direction = if self.reverse { Direction::Backward } else { Direction::Forward };
        let (before, after) = (self.context.unwrap_or(self.before_context), self.context.unwrap_or(self.after_context));
        let has_context = before > 0 || after > 0;
        step_back(&paths);
        let threads = self.output.threads();
        // Context is made of messages that do not match: then every one must be seen here.
        let in_workers = Some(&pattern).filter(|_| !has_context);
        let scan = Scan { filters: &filters, pattern: in_workers, direction, threads, stats: &stats };
        let found = open_segments(&paths, &filters, &stats)?;
        if self.count && self.max_count.is_none() && !has_context {
            let (count, complaints) = show_progress(&stats, false, || scan.count(&found))?;
            print_count(count)?;
            self.output.tell_stats(&stats);
            return Ok(code(&complaints, count > 0));
        }
        let mut shown = Shown {
            printer: self.output.printer(),
            pattern: &pattern,
            only_matching: self.only_matching,
            silent: self.count,
            context: Context::new(before, after),
            matches: 0,
        };
        let most = self.max_count.unwrap_or(u64::MAX);
        let complaints = show_progress(&stats, !self.count, || {
            scan.for_each(&found, |message, listener| shown.show(message, listener, most))
        })?;
        let matches = shown.matches;
        shown.printer.finish()?;
        if self.count {
            print_count(matches)?;
        }
        self.output.tell_stats(&stats);
        Ok(code(&complaints, matches > 0))
    }
}

/// Not `println!`, which panics when the reader of our output has gone away.
fn print_count(count: u64) -> Result<(), ReadError> {
    writeln!(io::stdout().lock(), "{count}").map_err(ReadError::Output)
}

/// Messages around a match.
struct Context {
    before: usize,
    after: usize,
    /// The last few that did not match and were not shown.
    held: VecDeque<last::OwnedMessage>,
    /// How many are still to be shown.
    to_show: usize,
    /// Something was left out since the last that was shown.
    gap: bool,
    any: bool,
}

impl Context {
    fn new(before: usize, after: usize) -> Self {
        Self { before, after, held: VecDeque::new(), to_show: 0, gap: false, any: false }
    }
}

/// Shows matches and what is around them.
struct Shown<'a, W: Write> {
    printer: Printer<W>,
    pattern: &'a Pattern,
    only_matching: bool,
    silent: bool,
    context: Context,
    matches: u64,
}

impl<W: Write> Shown<'_, W> {
    /// Whether to go on.
    fn show(&mut self, message: &Message<'_>, listener: &str, most: u64) -> Result<bool, ReadError> {
        if self.matches == most {
            // Only what belongs to the last match is still wanted.
            if self.context.to_show == 0 {
                return Ok(false);
            }
        } else if self.pattern.matches(message.payload) {
            self.show_match(message, listener)?;
            return Ok(self.matches < most || self.context.after > 0);
        }
        if self.context.to_show > 0 {
            self.context.to_show -= 1;
            self.print(message, listener, false)?;
        } else if self.context.before > 0 {
            if self.context.held.len() == self.context.before {
                self.context.held.pop_front();
                self.context.gap = true;
            }
            self.context.held.push_back(last::OwnedMessage::of(message, listener));
        } else {
            self.context.gap = true;
        }
        Ok(true)
    }

    fn show_match(&mut self, message: &Message<'_>, listener: &str) -> Result<(), ReadError> {
        let has_context = self.context.before > 0 || self.context.after > 0;
        if has_context && self.context.gap && self.context.any && !self.silent {
            self.printer.separate()?;
        }
        for held in std::mem::take(&mut self.context.held) {
            self.print(&held.as_message(), &held.listener, false)?;
        }
        self.matches += 1;
        (self.context.to_show, self.context.gap, self.context.any) = (self.context.after, false, true);
        self.print(message, listener, true)
    }

    fn print(&mut self, message: &Message<'_>, listener: &str, is_match: bool) -> Result<(), ReadError> {
        if self.silent {
            return Ok(());
        }
        let ranges: Vec<_> = if is_match { self.pattern.find_all(message.payload).collect() } else { Vec::new() };
        if !self.only_matching {
            return self.printer.print(message, listener, &ranges);
        }
        for range in ranges {
            let payload = &message.payload[range.clone()];
            let whole = 0..payload.len();
            self.printer.print(&Message { payload, ..*message }, listener, std::slice::from_ref(&whole))?;
        }
        Ok(())
    }
}
