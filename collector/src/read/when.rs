//! Times as people write them: journalctl's grammar (systemd.time(7)), in the local time zone unless they say another.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

/// Reads a time, as ns since the Unix epoch. What is relative or local is so to `now`.
///
/// | written | means |
/// |---|---|
/// | `2026-11-22T10:00:00Z`, `2026-11-22T12:00:00.5+02:00` | RFC 3339 |
/// | `2026-11-22 10:00:00.5`, `2026-11-22 10:00`, `2026-11-22` | local; a date is its midnight |
/// | `10:00`, `10:00:05` | today |
/// | `today`, `yesterday`, `tomorrow`, each also with a time behind it | midnight, or that time |
/// | `now` | |
/// | `-1h`, `1h 30m ago`, `+5m` | before or after now; units as in `1d 2h 3m 4s 5ms` and their long names |
/// | `@1795341600.5` | seconds since the Unix epoch, up to nine decimals |
///
/// With ` UTC` or a zone of the tz database behind it, a local time is of that zone.
///
/// # Errors
/// What is wrong, and how to write it.
pub fn parse_time(text: &str, now: &Zoned) -> Result<u64, String> {
    let refused = || {
        format!(
            "`{text}` is not a time: write 2026-11-22 10:00:00, 10:00, yesterday 10:00, -1h, 2026-11-22T10:00:00Z or \
             @1795341600.5"
        )
    };
    let written = text.trim();
    let ns = match written.strip_prefix('@') {
        Some(epoch) => epoch_ns(epoch),
        None => relative(written, now)
            .or_else(|| written.parse::<Timestamp>().ok())
            .or_else(|| civil(written, now))
            .and_then(|time| u64::try_from(time.as_nanosecond()).ok()),
    };
    ns.ok_or_else(refused)
}

fn epoch_ns(epoch: &str) -> Option<u64> {
    let (seconds, decimals) = epoch.split_once('.').unwrap_or((epoch, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let ns = format!("{decimals:0<9}").parse::<u64>().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(ns)
}

/// A span before or after now. Days and longer are the calendar's: over a change of the clock a day is not 24 hours.
fn relative(written: &str, now: &Zoned) -> Option<Timestamp> {
    if written == "now" {
        return Some(now.timestamp());
    }
    let (span, is_past) = if let Some(span) = written.strip_suffix(" ago") {
        (span, true)
    } else if let Some(span) = written.strip_prefix('-') {
        (span, true)
    } else {
        (written.strip_prefix('+')?, false)
    };
    let starts_with_digit = span.trim_start().starts_with(|first: char| first.is_ascii_digit());
    let span: Span = span.trim().parse().ok().filter(|_| starts_with_digit && !span.contains('P'))?;
    let then = if is_past { now.checked_sub(span) } else { now.checked_add(span) };
    then.ok().map(|then| then.timestamp())
}

/// A date, a time of day, or both, perhaps with a zone.
fn civil(written: &str, now: &Zoned) -> Option<Timestamp> {
    let mut words: Vec<&str> = written.split_ascii_whitespace().collect();
    let mut zone = now.time_zone().clone();
    if words.len() > 1 {
        let last = words[words.len() - 1];
        // Not `TimeZone::get` alone: it would take a time of day for a file name.
        if last.starts_with(|first: char| first.is_ascii_alphabetic()) {
            zone = TimeZone::get(last).ok()?;
            words.pop();
        }
    }
    let today = now.with_time_zone(zone.clone()).date();
    let (date, time) = match words[..] {
        [only] => match (day(only, today), time_of_day(only)) {
            (Some(date), _) => (date, Time::midnight()),
            (None, Some(time)) => (today, time),
            (None, None) => return None,
        },
        [date, time] => (day(date, today)?, time_of_day(time)?),
        _ => return None,
    };
    // In a gap of the clock: the moment after it; in a fold: the first of both, so that `--since` leaves nothing out.
    Some(date.to_datetime(time).to_zoned(zone).ok()?.timestamp())
}

fn day(word: &str, today: Date) -> Option<Date> {
    match word {
        "today" => Some(today),
        "yesterday" => today.yesterday().ok(),
        "tomorrow" => today.tomorrow().ok(),
        _ if word.len() == "2026-11-22".len() => word.parse().ok(),
        _ => None,
    }
}

fn time_of_day(word: &str) -> Option<Time> {
    let has_shape = word.contains(':') && word.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    // `10:00` without seconds is what people write.
    let (hours, _) = word.split_once(':')?;
    if !has_shape || hours.is_empty() || hours.len() > 2 {
        return None;
    }
    let padded = if hours.len() == 1 { format!("0{word}") } else { word.to_owned() };
    padded.parse().ok()
}

/// Reads a span of time, such as `1h` or `1d 12h`.
///
/// # Errors
/// How to write it.
pub fn parse_span(text: &str) -> Result<SignedDuration, String> {
    let refused = || format!("`{text}` is not a span of time: write a number and a unit, such as 10s, 5m, 1h or 1d");
    let span: Span = text.trim().parse().map_err(|_| refused())?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| refused())?;
    if duration.is_positive() { Ok(duration) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-23T14:30:15.5+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn shown(text: &str) -> String {
        let ns = parse_time(text, &now()).unwrap_or_else(|error| panic!("{error}"));
        Timestamp::from_nanosecond(ns.into()).unwrap().to_string()
    }

    #[test]
    fn times_are_read_as_journalctl_reads_them() {
        for (text, time) in [
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22T12:00:00.25+02:00", "2026-11-22T10:00:00.25Z"),
            ("2026-11-22 10:00:00", "2026-11-22T09:00:00Z"),
            ("2026-11-22 10:00:00.125", "2026-11-22T09:00:00.125Z"),
            ("2026-11-22 10:00", "2026-11-22T09:00:00Z"),
            ("2026-11-22 9:05", "2026-11-22T08:05:00Z"),
            ("2026-11-22", "2026-11-21T23:00:00Z"),
            ("2026-07-22", "2026-07-21T22:00:00Z"),
            ("10:00", "2026-11-23T09:00:00Z"),
            ("10:00:30", "2026-11-23T09:00:30Z"),
            ("today", "2026-11-22T23:00:00Z"),
            ("yesterday", "2026-11-21T23:00:00Z"),
            ("tomorrow", "2026-11-23T23:00:00Z"),
            ("yesterday 10:00", "2026-11-22T09:00:00Z"),
            ("now", "2026-11-23T13:30:15.5Z"),
            ("-1h", "2026-11-23T12:30:15.5Z"),
            ("-1h 30m", "2026-11-23T12:00:15.5Z"),
            ("- 10s", "2026-11-23T13:30:05.5Z"),
            ("2 hours ago", "2026-11-23T11:30:15.5Z"),
            ("1d ago", "2026-11-22T13:30:15.5Z"),
            ("+5min", "2026-11-23T13:35:15.5Z"),
            ("2026-11-22 10:00:00 UTC", "2026-11-22T10:00:00Z"),
            ("10:00 America/New_York", "2026-11-23T15:00:00Z"),
            ("today UTC", "2026-11-23T00:00:00Z"),
            ("@0", "1970-01-01T00:00:00Z"),
            ("@1795341600.5", "2026-11-22T10:00:00.5Z"),
            ("@1.000000001", "1970-01-01T00:00:01.000000001Z"),
        ] {
            assert_eq!(shown(text), time, "{text}");
        }
    }

    #[test]
    fn a_day_is_the_calendars_when_the_clock_changes() {
        // On 2026-10-25 clocks go back in Berlin: that day has 25 hours.
        let noon: Zoned = "2026-10-26T00:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let ns = |text| parse_time(text, &noon).unwrap();
        assert_eq!(ns("today") - ns("-1d"), 25 * 3_600_000_000_000);
        assert_eq!(ns("today") - ns("-24h"), 24 * 3_600_000_000_000);
    }

    #[test]
    fn what_is_no_time_is_told_with_how_to_write_one() {
        for text in [
            "",
            " ",
            "@",
            "@-1",
            "@1.",
            "@1.0000000001",
            "@99999999999999",
            "noon",
            "1969-12-31T23:59:59Z",
            "25:00",
            "10",
            "2026-13-01",
            "2026-11-22 10",
            "-1 fortnight",
            "-",
            "+",
            " ago",
            "--1h",
            "-PT1H",
            "yesterday Nowhere/Else",
            "2026-11-22 10:00 11:00",
            "today 10:00 UTC x",
            "1h",
        ] {
            let refused = parse_time(text, &now()).unwrap_err();
            assert!(refused.contains("is not a time: write"), "{text}: {refused}");
        }
    }

    #[test]
    fn spans_are_read() {
        assert_eq!(parse_span("1h").unwrap(), SignedDuration::from_hours(1));
        assert_eq!(parse_span("1d 12h").unwrap(), SignedDuration::from_hours(36));
        for text in ["", "0s", "-1h", "1", "hour", "1 month"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
