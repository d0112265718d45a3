//! What was stored and what was lost, when and where: the ledger as the files tell it, long after their collector is gone.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use logboom_segment::{BlockEntry, HeadColumns, Heads, Loss, LossPlace, RunId};
use logboom_syslog::Severity;
use serde::Serialize;

use super::ReadError;
use super::find::{Found, name_of};
use super::print::{local, rfc_3339};
use super::scan::{Begun, Scan, complaint};

/// Losses of one place that follow each other within so long are told as one.
const SPAN_GAP_NS: u64 = 2_000_000_000;

/// Most spans that are told: beyond it, those further apart are told as one.
const SPANS_MAX: usize = 10_000;

/// What the files of a span of time tell.
#[derive(Debug, Serialize)]
pub struct LedgerOfFiles {
    /// Messages stored.
    pub stored: u64,
    /// Messages lost, by place.
    pub lost: BTreeMap<&'static str, u64>,
    /// When they were lost, and where, by time.
    pub losses: Vec<LossSpan>,
    /// Losses of one place that are closer together than this stand in one span, ns.
    pub losses_joined_within_ns: u64,
    /// Runs that ended without a shutdown: what they had in memory is lost and not counted.
    pub broken_off: Vec<BrokenOff>,
    /// Where in `losses` the last span of each kind stands.
    #[serde(skip)]
    last_of_kind: HashMap<Kind, usize>,
}

/// Place and detail of a loss.
type Kind = (&'static str, Option<String>);

/// Messages that were lost in one place, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LossSpan {
    /// Receive time of the first message of the first block that tells of it, ns since the Unix epoch.
    #[serde(serialize_with = "as_time")]
    pub from: u64,
    /// Receive time of the last message of the last block that tells of it.
    #[serde(serialize_with = "as_time")]
    pub to: u64,
    /// Name of the place.
    pub place: &'static str,
    /// Which severity was shed, or which listener's socket it was.
    pub detail: Option<String>,
    /// How many.
    pub messages: u64,
}

/// A run that left a file to another run to seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenOff {
    /// Receive time of the last message that it wrote, ns since the Unix epoch.
    #[serde(serialize_with = "as_time")]
    pub last_written: u64,
    /// Which run, as in the names of its files.
    pub run_id: String,
}

fn as_time<S: serde::Serializer>(ns: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc_3339(*ns))
}

impl LedgerOfFiles {
    fn new() -> Self {
        Self {
            stored: 0,
            lost: LossPlace::ALL.map(|place| (place.name(), 0)).into(),
            losses: Vec::new(),
            losses_joined_within_ns: SPAN_GAP_NS,
            broken_off: Vec::new(),
            last_of_kind: HashMap::new(),
        }
    }

    /// Messages lost, wherever.
    #[must_use]
    pub fn lost_messages(&self) -> u64 {
        self.lost.values().fold(0, |sum, messages| sum.saturating_add(*messages))
    }

    /// Notes what a block tells; blocks come by time.
    fn add(&mut self, block: &BlockEntry, loss: &Loss, listeners: &[String]) {
        let sum = self.lost.entry(loss.place.name()).or_default();
        *sum = sum.saturating_add(loss.messages);
        let detail = match loss.place {
            LossPlace::Shed => Some(Severity::of_pri(loss.detail & 7).keyword().to_owned()),
            LossPlace::SocketBuffer => listeners.get(usize::from(loss.detail)).cloned(),
            LossPlace::Refused | LossPlace::Malformed | LossPlace::WriteFailed => None,
        };
        let (from, to, place) = (block.received_min_ns, block.received_max_ns, loss.place.name());
        self.join(LossSpan { from, to, place, detail, messages: loss.messages });
        // Once it is all of time, there is one span for each kind, and no shorter list.
        while self.losses.len() > SPANS_MAX && self.losses_joined_within_ns < u64::MAX {
            self.losses_joined_within_ns = self.losses_joined_within_ns.saturating_mul(2);
            self.last_of_kind.clear();
            for span in std::mem::take(&mut self.losses) {
                self.join(span);
            }
        }
    }

    /// Puts a span behind the others, or makes it part of the last one of its kind, if that is close.
    fn join(&mut self, span: LossSpan) {
        let gap_ns = self.losses_joined_within_ns;
        let last = self.last_of_kind.entry((span.place, span.detail.clone())).or_insert(self.losses.len());
        match self.losses.get_mut(*last) {
            Some(known) if span.from <= known.to.saturating_add(gap_ns) => {
                (known.from, known.to) = (known.from.min(span.from), known.to.max(span.to));
                known.messages = known.messages.saturating_add(span.messages);
            }
            _ => {
                *last = self.losses.len();
                self.losses.push(span);
            }
        }
    }
}

/// Sums up what is stored and lost in the time that `scan` asks for, and returns complaints. Messages of blocks that lie in
/// that time only partly are counted by their own times; what such a block tells of losses is counted in full.
///
/// # Errors
/// Want of memory.
pub fn ledger_of_files(scan: &Scan<'_>, found: &[Found]) -> Result<(LedgerOfFiles, Vec<String>), ReadError> {
    let Begun { blocks, mut readers, mut complaints } = scan.begin_with_empty(found)?;
    let mut ledger = LedgerOfFiles::new();
    let reader = &mut readers[0];
    let times = HeadColumns { times: true, ..HeadColumns::default() };
    for block in blocks {
        let (entry, time) = (&block.entry, &scan.filters.time);
        let counted = if time.covers(entry) {
            Ok(u64::from(entry.messages))
        } else {
            let count = |heads: &Heads| heads.received_ns.iter().filter(|at| time.contains(**at)).count() as u64;
            reader.heads(scan, &block, times).map(count)
        };
        let told = counted.and_then(|messages| {
            ledger.stored += messages;
            let has_losses = !found[block.segment].segment.losses.is_empty();
            if has_losses { reader.losses(scan, &block) } else { Ok(Default::default()) }
        });
        match told {
            Ok((losses, listeners)) => losses.iter().for_each(|loss| ledger.add(entry, loss, &listeners)),
            Err(error) => complaints.extend(complaint(&found[block.segment], entry, &error)),
        }
    }
    ledger.broken_off = broken_off(scan, found);
    Ok((ledger, complaints))
}

/// The runs that left a writer's last segment for another to seal, in the time asked for, by time. One before it was given up,
/// after a failed sync or because the disk did not take its index, and the run went on.
fn broken_off(scan: &Scan<'_>, found: &[Found]) -> Vec<BrokenOff> {
    let mut last_by_run: BTreeMap<RunId, u64> = BTreeMap::new();
    let mut last_numbers: HashMap<(RunId, u32), u32> = HashMap::new();
    for name in found.iter().filter_map(|found| name_of(&found.path)) {
        let last = last_numbers.entry((name.run_id, name.writer)).or_default();
        *last = name.number.max(*last);
    }
    let is_last = |found: &&Found| {
        name_of(&found.path).is_none_or(|name| last_numbers.get(&(name.run_id, name.writer)) == Some(&name.number))
    };
    let left_behind = found.iter().filter(|found| found.is_left_behind()).filter(is_last);
    for entry in left_behind.flat_map(|found| &found.segment.blocks) {
        let last_ns = last_by_run.entry(entry.run_id).or_default();
        *last_ns = entry.received_max_ns.max(*last_ns);
    }
    let mut runs: Vec<_> =
        last_by_run.into_iter().filter(|(_, last_ns)| scan.filters.time.contains(*last_ns)).collect();
    runs.sort_by_key(|(_, last_ns)| *last_ns);
    runs.into_iter().map(|(run_id, last_written)| BrokenOff { last_written, run_id: run_id.to_string() }).collect()
}

/// What to do against losses of a place.
const fn remedy(place: LossPlace) -> &'static str {
    match place {
        LossPlace::SocketBuffer => {
            "the kernel's receive buffer was full: raise receive.buffer, or give the collector more processors"
        }
        LossPlace::Shed => {
            "memory was used up but for its reserve, because the writers or the disk were slower than what came in: raise \
             queue.memory, or give the collector a faster disk or more processors"
        }
        LossPlace::WriteFailed => {
            "the disk took nothing, and memory to wait in ran short: free space, or add another data_dir"
        }
        LossPlace::Refused => "the sender is not allowed to send",
        LossPlace::Malformed => "the sender broke the framing of its stream",
    }
}

impl LedgerOfFiles {
    /// As lines of text.
    #[must_use]
    pub fn lines(&self, zone: &TimeZone) -> String {
        let lost = self.lost_messages();
        let width = self.stored.max(lost).to_string().len();
        let offered = self.stored.saturating_add(lost);
        let percent = if offered == 0 { 0.0 } else { lost as f64 * 100.0 / offered as f64 };
        let mut text = format!("stored {:>width$}\nlost   {lost:>width$}  {percent:.4} %\n", self.stored);
        for (place, messages) in LossPlace::ALL.map(|place| (place, self.lost[place.name()])) {
            if messages > 0 {
                let _ = writeln!(text, "       {messages:>width$}  {}: {}", place.name(), remedy(place));
            }
        }
        for span in &self.losses {
            let (from, to) = (local(span.from, zone), local(span.to, zone));
            let detail = span.detail.as_deref().unwrap_or_default();
            let _ = writeln!(text, "{from} to {to} {:>width$} {} {detail}", span.messages, span.place);
        }
        for BrokenOff { last_written, run_id } in &self.broken_off {
            let last = local(*last_written, zone);
            let _ = writeln!(
                text,
                "run {run_id} ended without a shutdown after {last}: what it had in memory is lost, and not counted here"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(ledger: &mut LedgerOfFiles, second: u64, place: LossPlace, detail: u8, messages: u64) {
        let entry = BlockEntry {
            received_min_ns: second * 1_000_000_000,
            received_max_ns: second * 1_000_000_000 + 500_000_000,
            ..BlockEntry::default()
        };
        ledger.add(&entry, &Loss { place, detail, messages }, &["udp://0.0.0.0:514".into()]);
    }

    #[test]
    fn losses_that_follow_each_other_are_one_span_for_each_place() {
        let mut ledger = LedgerOfFiles::new();
        add(&mut ledger, 10, LossPlace::SocketBuffer, 0, 5);
        add(&mut ledger, 10, LossPlace::Shed, 7, 3);
        add(&mut ledger, 11, LossPlace::Shed, 6, 4);
        add(&mut ledger, 12, LossPlace::SocketBuffer, 0, 6);
        add(&mut ledger, 15, LossPlace::SocketBuffer, 0, 7);
        ledger.stored = 75;
        assert_eq!(ledger.lost_messages(), 25);
        let lines = ledger.lines(&TimeZone::UTC);
        let spans: Vec<&str> = lines.lines().skip(4).collect();
        assert_eq!(
            spans,
            [
                "1970-01-01 00:00:10 to 1970-01-01 00:00:12 11 socket_buffer udp://0.0.0.0:514",
                "1970-01-01 00:00:10 to 1970-01-01 00:00:10  3 shed debug",
                "1970-01-01 00:00:11 to 1970-01-01 00:00:11  4 shed info",
                "1970-01-01 00:00:15 to 1970-01-01 00:00:15  7 socket_buffer udp://0.0.0.0:514",
            ]
        );
        assert!(lines.starts_with("stored 75\nlost   25  25.0000 %\n        7  shed: memory was used up"), "{lines}");
        assert!(lines.contains("       18  socket_buffer: the kernel's receive buffer was full"), "{lines}");
    }

    #[test]
    fn losses_of_more_kinds_than_one_remembers_are_one_span_for_each() {
        let mut ledger = LedgerOfFiles::new();
        let files: Vec<Vec<String>> =
            (0..2).map(|file| (0..150).map(|port| format!("udp://127.0.0.{file}:{port}")).collect()).collect();
        // Many more than SPANS_MAX if they were not joined.
        for second in 0..60 {
            let at = second * 1_000_000_000;
            let entry = BlockEntry { received_min_ns: at, received_max_ns: at, ..BlockEntry::default() };
            for (listeners, detail) in files.iter().flat_map(|file| (0..150).map(move |detail| (file, detail))) {
                ledger.add(&entry, &Loss { place: LossPlace::SocketBuffer, detail, messages: 1 }, listeners);
            }
        }
        assert_eq!((ledger.losses.len(), ledger.losses_joined_within_ns), (300, SPAN_GAP_NS));
        assert!(ledger.losses.iter().all(|span| span.messages == 60));
    }

    #[test]
    fn more_kinds_than_spans_that_are_told_come_to_an_end() {
        let mut ledger = LedgerOfFiles::new();
        for number in 0..=SPANS_MAX {
            let loss = Loss { place: LossPlace::SocketBuffer, detail: 0, messages: 1 };
            ledger.add(&BlockEntry::default(), &loss, &[number.to_string()]);
        }
        assert_eq!(ledger.losses.len(), SPANS_MAX + 1);
    }

    #[test]
    fn spans_are_bounded_and_their_sum_stays() {
        let mut ledger = LedgerOfFiles::new();
        let times = SPANS_MAX as u64 * 4;
        let mut second = 0;
        for number in 0..times {
            second += 3 + (number % 50) * (number % 50);
            add(&mut ledger, second, LossPlace::WriteFailed, 0, 2);
        }
        assert!(ledger.losses.len() <= SPANS_MAX && ledger.losses.len() > 100, "{}", ledger.losses.len());
        assert_eq!(ledger.losses.iter().map(|span| span.messages).sum::<u64>(), times * 2);
        assert!(ledger.losses_joined_within_ns > SPAN_GAP_NS);
    }
}
