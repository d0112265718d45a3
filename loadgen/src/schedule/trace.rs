//! How a rate went over time, from a file: the lines of `--profile trace:FILE`, which docs/loadgen.md describes.
//!
//! Rates are read to a millionth of a message a second and times to the nanosecond: all sums are whole numbers, and what is
//! sent is exactly the integral of the rate, down to a whole message.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::DURATION_MAX;
use crate::message::read_at_most;
use crate::values::{parse_multiple, parse_time_ns};

/// Most lines with rates.
const LINES_MAX: usize = 100_000;

/// Most bytes of the file.
const BYTES_MAX: u64 = 16 << 20;

/// Highest rate, messages a second.
const RATE_MAX: f64 = 1e9;

/// Largest factor.
const FACTOR_MAX: f64 = 1e6;

/// A rate's unit is a millionth of a message a second.
const RATE_UNITS: f64 = 1e6;

/// A message, in units of rate times ns.
const MESSAGE: u128 = 1_000_000 * 1_000_000_000;

/// A file that says how the rate went, and by what to multiply it. Two are equal when their texts are: a report tells the
/// name alone, and is read where the file is not.
#[derive(Clone, Debug)]
pub struct Trace {
    path: PathBuf,
    factor: f64,
    /// One for each line, in order, the last of no rate; none before the file is read.
    parts: Arc<[Part]>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    /// After the start.
    start_ns: u64,
    /// From then on, in units of rate.
    rate: u64,
    /// What is due until then, in units of rate times ns.
    before: u128,
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.factor) == (&other.path, other.factor)
    }
}

impl Trace {
    /// The same with what its file says.
    ///
    /// # Errors
    /// What is wrong with the file, with its name and the line.
    pub fn read(&self) -> Result<Self, String> {
        let lines = read_at_most(&self.path, BYTES_MAX)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|error| format!("it is not UTF-8: {error}")));
        lines.and_then(|lines| self.with(&lines)).map_err(|why| format!("--profile {self}: {why}"))
    }

    /// The same with what `lines` say.
    fn with(&self, lines: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let (mut first_ns, mut is_first) = (0, true);
        // Some programs put a byte order mark in front.
        let lines = lines.strip_prefix('\u{feff}').unwrap_or(lines);
        for (number, line) in (1..).zip(lines.lines()) {
            let content = line.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let is_heading = is_first && !content.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
            is_first = false;
            if is_heading {
                continue;
            }
            let wrong = |why: String| format!("line {number}: {why}");
            let (at_ns, rate) = self.line(content).map_err(wrong)?;
            if parts.is_empty() {
                first_ns = at_ns;
            }
            let start_ns = since(first_ns, at_ns).map_err(wrong)?;
            let before = match parts.last() {
                None => 0,
                Some(last) if start_ns > last.start_ns => {
                    last.before + u128::from(last.rate) * u128::from(start_ns - last.start_ns)
                }
                Some(_) => return Err(wrong(format!("{content}: its time is not after that of the line before"))),
            };
            if parts.len() == LINES_MAX {
                return Err(wrong(format!("this is rate {}, but a trace has at most {LINES_MAX}", LINES_MAX + 1)));
            }
            parts.push(Part { start_ns, rate, before });
        }
        match parts.len() {
            lines @ 0..2 => {
                Err(format!("it takes two lines with a time and a rate, the last to end it, but has {lines}"))
            }
            _ => Ok(Self { parts: parts.into(), ..self.clone() }),
        }
    }

    /// The time, ns, and the rate of a line.
    fn line(&self, content: &str) -> Result<(i128, u64), String> {
        let fields: Vec<_> = content.split([',', ' ', '\t']).filter(|field| !field.is_empty()).collect();
        let [at, rate] = fields[..] else {
            return Err(format!("`{content}` has {} fields, not a time and a rate", fields.len()));
        };
        let at_ns = parse_time_ns(at).ok_or_else(|| {
            format!("`{at}` is no time: write seconds since the start or since 1970, or as 2026-11-23T10:00:00Z")
        })?;
        let told = parse_multiple(rate).or_else(|| rate.parse().ok()).filter(|rate| (0.0..=RATE_MAX).contains(rate));
        let told = told.ok_or_else(|| format!("`{rate}` is no rate: write messages a second, 0 to {RATE_MAX}"))?;
        let scaled = told * self.factor;
        if scaled > RATE_MAX {
            return Err(format!(
                "{rate} messages a second times {} is over {RATE_MAX}, the most there is",
                self.factor
            ));
        }
        Ok((at_ns, (scaled * RATE_UNITS).round() as u64))
    }

    /// Messages due before `end_ns` after the start: the integral of the rate, rounded down.
    pub(super) fn messages_before(&self, end_ns: u64) -> u64 {
        let Some(part) = self.part_at(end_ns) else { return 0 };
        let within = u128::from(part.rate) * u128::from(end_ns - part.start_ns);
        // The last has no rate: its line ends the trace.
        let due = if self.is_last(part) { part.before } else { part.before + within };
        (due / MESSAGE) as u64
    }

    /// Messages a second that are due so long after the start.
    pub(super) fn rate_at(&self, at_ns: u64) -> f64 {
        self.part_at(at_ns).filter(|part| !self.is_last(part)).map_or(0.0, |part| part.rate as f64 / RATE_UNITS)
    }

    /// When message `number` is due, ns after the start; `part` is the part of an earlier one.
    pub(super) fn due_ns(&self, number: u64, part: &mut usize) -> u64 {
        let due = u128::from(number) * MESSAGE;
        while self.parts.get(*part + 1).is_some_and(|next| next.before <= due) {
            *part += 1;
        }
        let Part { start_ns, rate, before } = self.parts[*part];
        start_ns + ((due - before) / u128::from(rate.max(1))) as u64
    }

    fn part_at(&self, at_ns: u64) -> Option<&Part> {
        let behind = self.parts.partition_point(|part| part.start_ns <= at_ns);
        behind.checked_sub(1).map(|number| &self.parts[number])
    }

    fn is_last(&self, part: &Part) -> bool {
        self.parts.last() == Some(part)
    }
}

/// ns from `first_ns` to `at_ns`.
fn since(first_ns: i128, at_ns: i128) -> Result<u64, String> {
    let most = DURATION_MAX.as_nanos() as i128;
    let told = |ns: i128| format!("{} s", ns as f64 / 1e9);
    match at_ns - first_ns {
        ns if ns > most => {
            Err(format!("it is {} after the first line, but a run lasts at most {}", told(ns), told(most)))
        }
        ns => u64::try_from(ns).map_err(|_| format!("it is {} before the first line", told(-ns))),
    }
}

/// A file's name and a factor, if one stands behind it.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('@') {
        Some((path, factor)) if factor.starts_with(|c: char| c.is_ascii_digit()) && factor.parse::<f64>().is_ok() => {
            (path, Some(factor))
        }
        _ => (text, None),
    }
}

impl FromStr for Trace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, factor) = split(text);
        let factor = factor.map_or(Ok(1.0), str::parse).unwrap_or(0.0);
        if path.is_empty() {
            return Err("a trace has a file");
        }
        if !(1.0 / FACTOR_MAX..=FACTOR_MAX).contains(&factor) {
            return Err("the factor of a trace is 0.000001 to 1000000");
        }
        Ok(Self { path: path.into(), factor, parts: Arc::default() })
    }
}

/// `trace:FILE@FACTOR`, the factor where there is one.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display().to_string();
        write!(f, "trace:{path}")?;
        if self.factor != 1.0 || split(&path).1.is_some() { write!(f, "@{}", self.factor) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::schedule::{Profile, Schedule};

    fn trace(lines: &str) -> Result<Trace, String> {
        "FILE".parse::<Trace>().unwrap().with(lines)
    }

    fn schedule(trace: Trace, duration: Duration) -> Schedule {
        Schedule::new(Profile::Trace(trace), None, duration, None, 1).unwrap()
    }

    fn due_ms(lines: &str) -> Vec<u64> {
        schedule(trace(lines).unwrap(), DURATION_MAX).due_times().map(|due_ns| due_ns / 1_000_000).collect()
    }

    #[test]
    fn a_rate_holds_until_the_next_line_and_the_last_ends_it() {
        let expected = [0, 500, 1000, 1250, 1500, 1750, 4000, 4500];
        assert_eq!(due_ms("0 2\n1 4\n2 0\n4 2\n5 1000"), expected);
        for lines in [
            "time,rate\n1795341600,2\n1795341601,4\n1795341602.000,0\n1795341604,2\n1795341605,0",
            "# yesterday\n\n2026-11-23T10:00:00Z 2 # at ten\n2026-11-23T11:00:01+01:00\t4\n2026-11-23T10:00:02Z  0e3\n\
             2026-11-23T10:00:04Z 0.002k\n2026-11-23T10:00:05Z, 2\n",
        ] {
            assert_eq!(due_ms(lines), expected, "{lines}");
        }
        assert_eq!(due_ms("0 0\n3 1\n4 0"), [3000], "nothing is due while the rate is 0, not even the first");
    }

    #[test]
    fn a_factor_multiplies_the_rate_and_not_the_time() {
        let half: Trace = "FILE@0.5".parse().unwrap();
        let half = schedule(half.with("0 2\n2 4\n4 0").unwrap(), DURATION_MAX);
        assert_eq!(
            half.due_times().map(|due_ns| due_ns / 1_000_000).collect::<Vec<_>>(),
            [0, 1000, 2000, 2500, 3000, 3500]
        );
        assert_eq!([0.0, 1.9, 2.0, 9.0].map(|at| half.rate_at(at)), [Some(1.0), Some(1.0), Some(2.0), Some(0.0)]);
    }

    #[test]
    fn a_duration_cuts_a_trace_and_does_not_prolong_it() {
        let lines = trace("0 100\n10 0").unwrap();
        let count = |seconds| schedule(lines.clone(), Duration::from_secs(seconds)).count();
        assert_eq!([1, 10, 3600].map(count), [100, 1000, 1000]);
    }

    #[test]
    fn a_trace_that_cannot_be_read_is_told_with_the_line_the_limit_and_the_value() {
        let many: String = (0..=LINES_MAX).map(|second| format!("{second} 1\n")).collect();
        for (lines, told) in [
            ("", "it takes two lines with a time and a rate, the last to end it, but has 0"),
            ("0 1", "the last to end it, but has 1"),
            ("0 1\nx 1", "line 2: `x` is no time: write seconds since the start"),
            ("time rate\nrate time\n", "line 2: `rate` is no time"),
            ("0 1\n1 1 1\n", "line 2: `1 1 1` has 3 fields, not a time and a rate"),
            ("0 1\n\n1 -1", "line 3: `-1` is no rate: write messages a second, 0 to 1000000000"),
            ("0 NaN\n1 1", "line 1: `NaN` is no rate"),
            ("0 1\n1 2G", "line 2: `2G` is no rate"),
            ("0 1e10\n1 1", "line 1: `1e10` is no rate"),
            ("0 1\n2 1\n2.0 1", "line 3: 2.0 1: its time is not after that of the line before"),
            ("5 1\n2 1", "line 2: it is 3 s before the first line"),
            ("0 1\n604801 1", "line 2: it is 604801 s after the first line, but a run lasts at most 604800 s"),
            (&many, "line 100001: this is rate 100001, but a trace has at most 100000"),
        ] {
            let refused = trace(lines).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
        let refused = "FILE@2".parse::<Trace>().unwrap().with("0 1e9\n1 0").unwrap_err();
        assert!(refused.contains("line 1: 1e9 messages a second times 2 is over 1000000000"), "{refused}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'#'; (BYTES_MAX + 1) as usize]).unwrap();
        for (path, told) in
            [(file.path().to_str().unwrap(), "longer than 16777216 B"), ("/nonexistent", "No such file")]
        {
            let refused = path.parse::<Trace>().unwrap().read().unwrap_err();
            assert!(refused.starts_with(&format!("--profile trace:{path}: ")) && refused.contains(told), "{refused}");
        }
    }

    #[test]
    fn the_text_of_a_trace_needs_no_file_and_comes_back() {
        for text in ["trace:rate.csv", "trace:a b:c@2.5", "trace:user@host", "trace:odd@2@1"] {
            let profile: Profile = text.parse().unwrap();
            assert_eq!(profile.to_string(), text);
            assert_eq!(serde_json::from_str::<Profile>(&serde_json::to_string(&profile).unwrap()).unwrap(), profile);
        }
        for text in ["trace:", "trace:FILE@0", "trace:FILE@1e7"] {
            assert!(text.parse::<Profile>().is_err(), "{text}");
        }
        let unread = Schedule::new("trace:FILE".parse().unwrap(), None, DURATION_MAX, None, 1).unwrap_err();
        assert!(unread.contains("no message is due"), "{unread}");
    }

    proptest! {
        #[test]
        fn what_is_due_is_the_integral_of_the_rate_to_the_message(
            lines in prop::collection::vec((1u64..2_000_000_000, 0u64..3_000_000_000), 2..20), cut_ns in 1u64..20_000_000_000,
        ) {
            let (mut at_ns, mut text, mut boundaries) = (0, String::new(), vec![(0, 0)]);
            for (gap_ns, rate) in &lines {
                text += &format!("{}.{:09} {}.{:06}\n", at_ns / 1_000_000_000, at_ns % 1_000_000_000, rate / 1_000_000, rate % 1_000_000);
                let integral = boundaries[boundaries.len() - 1].1 + u128::from(*rate) * u128::from(*gap_ns);
                at_ns += gap_ns;
                boundaries.push((at_ns, integral));
            }
            // The last line only ends it.
            boundaries.pop();
            let (end_ns, whole) = boundaries[boundaries.len() - 1];
            let trace = trace(&text).unwrap();
            prop_assert_eq!(u128::from(trace.messages_before(u64::MAX)), whole / MESSAGE);
            let Ok(schedule) = Schedule::new(Profile::Trace(trace.clone()), None, DURATION_MAX, None, 1) else {
                return Ok(()); // None is due.
            };
            let due: Vec<_> = schedule.due_times().collect();
            prop_assert_eq!(due.len() as u128, whole / MESSAGE);
            prop_assert!(due.is_sorted() && due[due.len() - 1] < end_ns);
            for (boundary_ns, integral) in boundaries {
                let before = due.iter().filter(|due_ns| **due_ns < boundary_ns).count();
                prop_assert_eq!(before as u128, integral.div_ceil(MESSAGE).min(whole / MESSAGE));
            }
            if let Ok(first) = Schedule::new(Profile::Trace(trace.clone()), None, Duration::from_nanos(cut_ns), None, 1) {
                prop_assert_eq!(first.count(), trace.messages_before(cut_ns));
                prop_assert!(first.due_times().zip(&due).all(|(cut, whole)| cut == *whole && cut < cut_ns));
            }
        }
    }
}
