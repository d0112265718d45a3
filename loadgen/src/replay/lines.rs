//! Lines of text with a time at their head, in any of the layouts in which logs have it, with or without PRI. Times without
//! offset count as UTC, and those without year as of one year: only the gaps between them are kept.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use logboom_syslog::header;

use super::{Recorder, Remark, Source};
use crate::values::parse_time_ns;

/// A time so much before that of the line before was written a little late; one further back is of a clock that was set.
const BEHIND_NS: u64 = 60_000_000_000;

/// Hosts with a clock each, at most; those beyond share that of lines without a host.
const HOSTS_MAX: usize = 10_000;

/// Longest name of a host (RFC 5424 section 6).
const HOST_BYTES_MAX: usize = 255;

/// Longest line that is read whole, bytes: longer than any message.
const LINE_BYTES_MAX: u64 = 1 << 17;

/// Reads a text from `source`: each line a message, without its line end. What has no year is of `year`.
///
/// # Errors
/// What is wrong with it, or that there is no room for more, in words.
pub(super) fn read(text: impl Read, source: Source, year: i16, recorder: &mut Recorder) -> Result<(), String> {
    let mut reader = BufReader::with_capacity(1 << 20, text);
    let (mut line, mut clock) = (Vec::new(), Clock::default());
    let first = recorder.recording.entries.len();
    while read_line(&mut reader, &mut line).map_err(|error| error.to_string())? {
        if line.is_empty() {
            recorder.remark(Remark::Empty, 1);
            continue;
        }
        let header = header::parse(&line);
        let told = header.timestamp.and_then(|timestamp| time_ns(timestamp, year));
        recorder.remark(Remark::Untimed, u64::from(told.is_none()));
        if let (Some(told_ns), None) = (told, clock.at_ns) {
            // Those before the first time are sent with it.
            recorder.recording.entries[first..].iter_mut().for_each(|entry| entry.at_ns = told_ns);
        }
        recorder.remark(Remark::ClockSetBack, u64::from(told.is_some_and(|told_ns| clock.note(header.host, told_ns))));
        recorder.push(clock.at_ns.unwrap_or(0), source, &line)?;
    }
    let why =
        "no line has a time at its head, such as 2026-11-23T10:00:00Z or Nov 23 10:00:00: send it with run --corpus";
    clock.at_ns.map(|_| ()).ok_or_else(|| why.into())
}

/// Reads a line without its end; of one that is too long, enough to know that. Whether there was one.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 == LINE_BYTES_MAX {
        reader.skip_until(b'\n')?;
    }
    Ok(true)
}

/// The time of the line before, going on evenly where a host's clock was set back, or is behind those of others.
#[derive(Default)]
struct Clock {
    at_ns: Option<u64>,
    /// By how much the clock of the line before is behind.
    back_ns: u64,
    /// By how much that of each host is, and under no name that of lines without one.
    back_ns_by_host: HashMap<Box<[u8]>, u64>,
}

impl Clock {
    /// Notes the time of a line from `host`; whether its clock is found to be further behind.
    fn note(&mut self, host: Option<&[u8]>, told_ns: u64) -> bool {
        let before_ns = self.at_ns.unwrap_or(0);
        let is_behind = |back_ns: u64| before_ns.saturating_sub(told_ns.saturating_add(back_ns)) > BEHIND_NS;
        let host = self.name(host.unwrap_or_default());
        let known_ns = self.back_ns_by_host.get(host).copied().unwrap_or(0);
        // What the clock of the line before went through, this one may have as well: a new year.
        let back_ns = [known_ns, self.back_ns].into_iter().find(|back_ns| !is_behind(*back_ns));
        self.back_ns = back_ns.unwrap_or(before_ns.saturating_sub(told_ns));
        if self.back_ns != known_ns {
            self.back_ns_by_host.insert(host.into(), self.back_ns);
        }
        self.at_ns = Some(before_ns.max(told_ns.saturating_add(self.back_ns)));
        back_ns.is_none()
    }

    /// The name under which the clock of `host` is kept.
    fn name<'a>(&self, host: &'a [u8]) -> &'a [u8] {
        let is_full = self.back_ns_by_host.len() >= HOSTS_MAX && !self.back_ns_by_host.contains_key(host);
        if is_full || host.len() > HOST_BYTES_MAX { b"" } else { host }
    }
}

/// A time as senders write it, ns since 1970.
fn time_ns(text: &[u8], year: i16) -> Option<u64> {
    let text = str::from_utf8(text).ok()?.replace(',', ".");
    let ns = parse_time_ns(&text).or_else(|| {
        let civil = text.parse::<DateTime>().ok().or_else(|| month_first(&text, year))?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond())
    });
    ns.and_then(|ns| u64::try_from(ns).ok())
}

/// `Nov 23 10:00:00` with what may stand around it; a zone behind it is not looked at.
fn month_first(text: &str, year: i16) -> Option<DateTime> {
    const LAYOUTS: [&str; 3] = ["%b %e %H:%M:%S%.f", "%b %e %Y %H:%M:%S%.f", "%Y %b %e %H:%M:%S%.f"];
    LAYOUTS.iter().find_map(|layout| {
        let (mut time, _) = BrokenDownTime::parse_prefix(layout, text).ok()?;
        if time.year().is_none() {
            time.set_year(Some(year)).ok()?;
        }
        time.to_datetime().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{LIMITS, Limits, Recording};

    fn read_within(text: &[u8], limits: Limits) -> Result<Recording, String> {
        let recording = Recording::default();
        let mut recorder = Recorder { recording, sources: Default::default(), message_bytes_max: 65_507, limits };
        read(text, Source::File(0), 2026, &mut recorder).map(|()| recorder.recording)
    }

    fn read_all(text: &str) -> Recording {
        read_within(text.as_bytes(), LIMITS).unwrap()
    }

    /// When lines are sent, ms after the first.
    fn offsets_ms(text: &str) -> Vec<u64> {
        let times: Vec<_> = read_all(text).times_ns().collect();
        times.iter().map(|at_ns| (at_ns - times[0]) / 1_000_000).collect()
    }

    #[test]
    fn times_are_read_in_the_layouts_of_logs_with_and_without_pri() {
        let at = |text: &str| Some(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as u64);
        for (line, expected) in [
            ("<13>Nov 23 10:00:00 host app: text", at("2026-11-23T10:00:00Z")),
            ("Nov  3 10:00:00 host app: text", at("2026-11-03T10:00:00Z")),
            ("Nov 23 10:00:00.125 host app: text", at("2026-11-23T10:00:00.125Z")),
            ("Nov 23 2025 10:00:00 host app: text", at("2025-11-23T10:00:00Z")),
            ("2025 Nov 23 10:00:00 host app: text", at("2025-11-23T10:00:00Z")),
            ("<13>1 2026-11-23T10:00:00.000007Z host app - - - text", at("2026-11-23T10:00:00.000007Z")),
            ("<13>1 - host app - - - text", None),
            ("2026-11-23T10:00:00.5+01:00 host app: text", at("2026-11-23T09:00:00.5Z")),
            ("2026-11-23T10:00:00+0100 host app: text", at("2026-11-23T09:00:00Z")),
            ("2026-11-23 10:00:00,125 INFO text", at("2026-11-23T10:00:00.125Z")),
            ("2026-11-23T10:00:00 host app: text", at("2026-11-23T10:00:00Z")),
            ("<134>1 1795341600.25 MX64 flows text", Some(1_795_341_600_250_000_000)),
            ("Nov 31 10:00:00 host app: text", None),
            ("    at java.lang.Thread.run", None),
        ] {
            let told = header::parse(line.as_bytes()).timestamp.and_then(|text| time_ns(text, 2026));
            assert_eq!(told, expected, "{line}");
        }
    }

    #[test]
    fn order_is_kept_and_a_line_without_a_time_goes_right_behind_the_one_before() {
        let text = "first of all\n2026-11-23T10:00:00Z a\n\tat b\n2026-11-23T10:00:02Z c\n\
                    2026-11-23T10:00:01.5Z a little late\n2026-11-23T10:00:03Z d\n";
        assert_eq!(offsets_ms(text), [0, 0, 0, 2000, 2000, 3000]);
        let recording = read_all(text);
        assert_eq!(recording.remarks().collect::<Vec<_>>(), [(Remark::Untimed, 2)]);
        let lines: Vec<_> = recording.messages().map(|(message, _)| message).collect();
        assert_eq!(lines, text.lines().map(str::as_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn a_clock_that_was_set_back_costs_one_gap_and_is_told() {
        let text = "Dec 31 23:59:58 h a: 1\nDec 31 23:59:59 h a: 2\nJan  1 00:00:00 h a: 3\nJan  1 00:00:05 h a: 4\n";
        assert_eq!(offsets_ms(text), [0, 1000, 1000, 6000]);
        assert_eq!(read_all(text).remarks().collect::<Vec<_>>(), [(Remark::ClockSetBack, 1)]);
    }

    #[test]
    fn hosts_whose_clocks_differ_keep_their_gaps_and_the_difference_counts_once() {
        let line = |host: &str, hour: u64, second: u64| format!("Nov 23 {hour:02}:00:{second:02} {host} app: text\n");
        let ahead: String = (0..20).map(|second| line("a", 10, second) + &line("b", 12, second)).collect();
        let (hours, found) = (2 * 3600 * 1000, offsets_ms(&ahead));
        let expected = (0..20).flat_map(|second| [hours + second * 1000 - 1000, hours + second * 1000]);
        assert_eq!(found[1..], expected.collect::<Vec<_>>()[1..]);
        assert_eq!(read_all(&ahead).remarks().collect::<Vec<_>>(), [(Remark::ClockSetBack, 1)]);
        let behind: String = (0..20).map(|second| line("b", 12, second) + &line("a", 10, second)).collect();
        assert_eq!(offsets_ms(&behind), (0..20).flat_map(|second| [second * 1000; 2]).collect::<Vec<_>>());
    }

    #[test]
    fn a_new_year_is_one_for_all_hosts() {
        let text = "Dec 31 23:59:58 a x: 1\nDec 31 23:59:59 b x: 2\nJan  1 00:00:01 a x: 3\nJan  1 00:00:04 b x: 4\n";
        assert_eq!(offsets_ms(text), [0, 1000, 1000, 4000]);
        assert_eq!(read_all(text).remarks().collect::<Vec<_>>(), [(Remark::ClockSetBack, 1)]);
    }

    #[test]
    fn hosts_beyond_the_limit_share_a_clock() {
        let mut clock = Clock::default();
        let hour_ns = 3_600_000_000_000;
        clock.note(Some(b"right"), 9 * hour_ns);
        for number in 0..HOSTS_MAX as u64 + 100 {
            clock.note(Some(format!("host{number}").as_bytes()), number % 2 * hour_ns);
        }
        assert!(
            clock.back_ns_by_host.len() <= HOSTS_MAX + 1 && clock.at_ns.is_some(),
            "{}",
            clock.back_ns_by_host.len()
        );
    }

    #[test]
    fn lines_are_kept_byte_for_byte_and_what_cannot_be_sent_is_counted() {
        let long = "x".repeat(LINE_BYTES_MAX as usize * 2);
        let text = [b"Nov 23 10:00:00 h a: \xFF\x00 \r\n\n", long.as_bytes(), b"\nNov 23 10:00:01 h a: last"].concat();
        let recording = read_within(&text, LIMITS).unwrap();
        let lines: Vec<_> = recording.messages().map(|(message, _)| message).collect();
        assert_eq!(lines, [&b"Nov 23 10:00:00 h a: \xFF\x00 \r"[..], b"Nov 23 10:00:01 h a: last"]);
        let remarks = [(Remark::Empty, 1), (Remark::TooLong, 1), (Remark::Untimed, 1)];
        assert_eq!(recording.remarks().collect::<Vec<_>>(), remarks);
    }

    #[test]
    fn a_text_without_any_time_is_refused_and_one_beyond_the_limit_as_well() {
        let why = read_within(b"no time\nhere\n", LIMITS).unwrap_err();
        assert!(why.contains("send it with run --corpus"), "{why}");
        let text = b"Nov 23 10:00:00 h a: 1\nNov 23 10:00:01 h a: 2\n";
        for limits in [Limits { messages: 1, ..LIMITS }, Limits { bytes: 43, ..LIMITS }] {
            assert!(read_within(text, limits).unwrap_err().contains("use a part of it"));
        }
        assert!(read_within(text, Limits { messages: 2, bytes: 44 }).is_ok());
    }
}
