//! `logboom ledger`: what was stored and lost, when and where, from the files alone.

use std::io::{self, Write};

use clap::Args;
use jiff::tz::TimeZone;
use logboom_segment::Direction;

use super::progress::show_progress;
use super::reading::{Summary, When, code, open_segments, print_json, step_back};
use crate::read::ReadError;
use crate::read::lost::ledger_of_files;
use crate::read::scan::{Scan, ScanStats};
use crate::read::select::Filters;

#[derive(Args)]
#[command(after_help = "Examples:
  logboom ledger                           everything in ./logboom-data
  logboom ledger -S -7d /var/lib/logboom   did we lose anything last week, when, and where
  logboom ledger --json -S today           for another program

Exit code 0 if nothing was lost, 1 if something was, 2 after an error. What a running collector counts is at GET /ledger.")]
pub(super) struct Ledger {
    #[command(flatten)]
    summary: Summary,
    #[command(flatten)]
    when: When,
    /// Times in UTC.
    #[arg(long)]
    utc: bool,
}

impl Ledger {
    pub(super) fn run(&self) -> Result<u8, ReadError> {
        let (paths, stats) = (self.summary.sources.paths()?, ScanStats::default());
        step_back(&paths);
        let filters = Filters { time: self.when.range(), ..Filters::default() };
        let scan = Scan { filters: &filters, pattern: None, direction: Direction::Forward, threads: 1, stats: &stats };
        let (ledger, complaints) =
            show_progress(&stats, false, || ledger_of_files(&scan, &open_segments(&paths, &filters, &stats)?))?;
        if self.summary.json {
            print_json(&ledger)?;
        } else {
            let zone = if self.utc { TimeZone::UTC } else { TimeZone::system() };
            io::stdout().lock().write_all(ledger.lines(&zone).as_bytes()).map_err(ReadError::Output)?;
        }
        let is_complete = ledger.lost_messages() == 0 && ledger.broken_off.is_empty();
        Ok(code(&complaints, is_complete))
    }
}
