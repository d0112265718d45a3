//! How many messages, by what is known of them without their text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use logboom_segment::{Heads, PRI_NONE};
use logboom_syslog::{Severity, facility_keyword};

use super::ReadError;
use super::print::local;

/// Most distinct keys that are counted apart; what comes beyond goes to [`OTHERS`].
pub const KEYS_MAX: usize = 100_000;

/// Where keys beyond [`KEYS_MAX`] are counted.
pub const OTHERS: &str = "(others)";

/// What to count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CountBy {
    /// The sender's address.
    Source,
    /// Severity; `none` without a PRI.
    Severity,
    /// Facility.
    Facility,
    /// The listener that took it.
    Listener,
}

impl CountBy {
    /// Whether it takes a message's PRI.
    pub(super) fn needs_pri(self) -> bool {
        matches!(self, Self::Severity | Self::Facility)
    }

    /// Whether it takes a message's source.
    pub(super) fn needs_source(self) -> bool {
        matches!(self, Self::Source | Self::Listener)
    }

    /// Counts the wanted rows of a block: first by number, so that a name is made once a block and not once a message.
    pub(super) fn count(self, heads: &Heads, wanted: &WantedRows<'_>) -> Vec<(String, u64)> {
        let mut rows = vec![0u64; heads.sources.len().max(256)];
        let mut count = |row: usize| {
            let number =
                if self.needs_pri() { usize::from(heads.pris[row]) } else { usize::from(heads.source_ids[row]) };
            rows[number] += 1;
        };
        match wanted {
            WantedRows::All => (0..heads.messages).for_each(count),
            WantedRows::Those(wants) => (0..heads.messages).filter(|row| wants(*row)).for_each(&mut count),
        }
        let key = |number: usize| {
            if self.needs_pri() { self.pri_key(number as u8) } else { self.source_key(heads, number) }
        };
        rows.iter().enumerate().filter(|(_, count)| **count > 0).map(|(number, count)| (key(number), *count)).collect()
    }

    fn pri_key(self, pri: u8) -> String {
        match self {
            _ if pri == PRI_NONE => "none".into(),
            Self::Facility => facility_keyword(pri).into(),
            _ => Severity::of_pri(pri).keyword().into(),
        }
    }

    fn source_key(self, heads: &Heads, number: usize) -> String {
        let source = heads.sources[number];
        match (self, source.address) {
            (Self::Listener, _) => heads.listeners[usize::from(source.listener)].clone(),
            (_, Some(address)) => address.to_string(),
            (_, None) => "local".into(),
        }
    }
}

/// Which rows of a block are wanted.
pub(super) enum WantedRows<'a> {
    /// Every one.
    All,
    /// Those that it says yes to.
    Those(&'a dyn Fn(usize) -> bool),
}

impl WantedRows<'_> {
    pub(super) fn has(&self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Those(wants) => wants(row),
        }
    }
}

/// Messages by key.
#[derive(Debug, Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Counts messages.
    pub fn add(&mut self, key: String, count: u64) {
        let has_room = self.0.len() < KEYS_MAX || self.0.contains_key(&key);
        *self.0.entry(if has_room { key } else { OTHERS.into() }).or_default() += count;
    }

    /// Keys and counts, the greatest first.
    #[must_use]
    pub fn sorted(self) -> Vec<(String, u64)> {
        let mut sorted: Vec<_> = self.0.into_iter().collect();
        sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sorted
    }
}

/// Messages by time, in buckets of equal length.
#[derive(Debug)]
pub struct Histogram {
    bucket_ns: u64,
    counts: BTreeMap<u64, u64>,
}

/// Most buckets of a histogram.
pub const BUCKETS_MAX: usize = 100_000;

impl Histogram {
    /// Buckets of `bucket_ns`, of which one begins at the Unix epoch.
    #[must_use]
    pub fn new(bucket_ns: u64) -> Self {
        Self { bucket_ns: bucket_ns.max(1), counts: BTreeMap::new() }
    }

    /// Length of each, ns.
    #[must_use]
    pub fn bucket_ns(&self) -> u64 {
        self.bucket_ns
    }

    /// Counts messages of one bucket, by its number since the Unix epoch.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add(&mut self, bucket: u64, messages: u64) -> Result<(), ReadError> {
        if self.counts.len() == BUCKETS_MAX && !self.counts.contains_key(&bucket) {
            return Err(ReadError::Request(format!(
                "there are messages in more than {BUCKETS_MAX} spans of this length: ask for longer ones, or for less time"
            )));
        }
        *self.counts.entry(bucket).or_default() += messages;
        Ok(())
    }

    /// One line for each bucket from the first to the last with a message: when it begins, count, bar.
    #[must_use]
    pub fn lines(&self, zone: &TimeZone) -> String {
        const BAR_MAX: u64 = 50;
        let most = self.counts.values().copied().max().unwrap_or(1);
        let width = most.to_string().len();
        let mut text = String::new();
        let mut expected = None;
        for (bucket, count) in &self.counts {
            if expected.is_some_and(|expected| expected < *bucket) {
                text.push_str("...\n");
            }
            expected = Some(bucket + 1);
            let begin = local(bucket * self.bucket_ns, zone);
            let bar = "#".repeat((count * BAR_MAX).div_ceil(most) as usize);
            let _ = writeln!(text, "{begin} {count:>width$} {bar}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_greatest_first_and_keys_are_bounded() {
        let mut counts = Counts::default();
        ["b", "a", "a", "c", "b", "a"].iter().for_each(|key| counts.add((*key).into(), 1));
        assert_eq!(counts.sorted(), [("a".into(), 3), ("b".into(), 2), ("c".into(), 1)]);
        let mut many = Counts::default();
        (0..KEYS_MAX + 10).for_each(|number| many.add(number.to_string(), 1));
        let sorted = many.sorted();
        assert_eq!((sorted.len(), &sorted[0]), (KEYS_MAX + 1, &(OTHERS.into(), 10)));
    }

    #[test]
    fn a_histogram_shows_each_bucket_and_the_gaps() {
        let mut histogram = Histogram::new(60_000_000_000);
        for (minute, count) in [(0u64, 4), (1, 1), (5, 2)] {
            histogram.add(minute, count).unwrap();
        }
        let lines = histogram.lines(&TimeZone::UTC);
        let expected = format!(
            "1970-01-01 00:00:00 4 {}\n1970-01-01 00:01:00 1 {}\n...\n1970-01-01 00:05:00 2 {}\n",
            "#".repeat(50),
            "#".repeat(13),
            "#".repeat(25)
        );
        assert_eq!(lines, expected);
    }

    #[test]
    fn more_spans_than_a_histogram_has_are_refused() {
        let mut histogram = Histogram::new(1);
        (0..BUCKETS_MAX as u64).for_each(|bucket| histogram.add(bucket, 1).unwrap());
        histogram.add(7, 1).unwrap();
        assert!(histogram.add(BUCKETS_MAX as u64, 1).unwrap_err().to_string().contains("ask for longer ones"));
    }
}
