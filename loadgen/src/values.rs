//! Values as people write them: rates, counts, times.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::friendly::SpanParser;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    PerSecond(f64),
    Max,
}

pub(crate) fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    let rate = parse_multiple(text).filter(|rate| (1e-3..=1e9).contains(rate));
    rate.map(Rate::PerSecond).ok_or_else(|| "write messages a second, such as 500, 200k or 1.5M, or max".into())
}

pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    let count = parse_multiple(text).filter(|count| (1.0..=1e12).contains(count) && count.fract() == 0.0);
    count.map(|count| count as u64).ok_or_else(|| "write a whole number of messages, such as 500, 200k or 1M".into())
}

/// Bytes, with k or M behind them for a thousand or a million, or KiB, MiB or GiB for powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let binary = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)].into_iter().find_map(|(suffix, bytes)| {
        let number = parse_scaled(text.strip_suffix(suffix)?, &[("", 0)])?;
        Some(number * f64::from(bytes))
    });
    let bytes = binary.or_else(|| parse_multiple(text));
    let bytes = bytes.filter(|bytes| (1.0..=1e12).contains(bytes) && bytes.fract() == 0.0);
    bytes.map(|bytes| bytes as u64).ok_or_else(|| "write a size in bytes, such as 65536, 4M, 512KiB or 64MiB".into())
}

/// What stands behind a number of messages, as a power of ten.
pub(crate) const MULTIPLES: &[(&str, i32)] = &[("", 0), ("k", 3), ("M", 6)];

/// A number, with k or M behind it for a thousand or a million.
pub(crate) fn parse_multiple(text: &str) -> Option<f64> {
    parse_scaled(text, MULTIPLES)
}

/// A number with one of `suffixes` behind it, each a power of ten: the decimal number is read with its exponent, so that
/// 0.57 % is the very number that 57 / 10,000 is, which 0.57 times 0.01 is not.
pub(crate) fn parse_scaled(text: &str, suffixes: &[(&str, i32)]) -> Option<f64> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (digits, suffix) = text.split_at(digits);
    let (_, exponent) = suffixes.iter().find(|(known, _)| *known == suffix)?;
    format!("{digits}e{exponent}").parse().ok().filter(|value: &f64| value.is_finite())
}

pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_wait(text).and_then(|duration| if duration.is_zero() { Err(DURATION.into()) } else { Ok(duration) })
}

/// A time that may be none.
pub(crate) fn parse_wait(text: &str) -> Result<Duration, String> {
    SpanParser::new().parse_unsigned_duration(text).map_err(|_| DURATION.into())
}

const DURATION: &str = "write a time with its unit, such as 30s, 500ms or 2m";

/// A time in ns: of decimal seconds since whenever, or of RFC 3339 since 1970.
pub(crate) fn parse_time_ns(text: &str) -> Option<i128> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_decimal = [seconds, fraction].concat().bytes().all(|byte| byte.is_ascii_digit());
    if !is_decimal {
        return text.parse::<Timestamp>().ok().map(Timestamp::as_nanosecond);
    }
    let nanoseconds = format!("{fraction:0<9}");
    // As many seconds as a Timestamp has.
    let seconds = seconds.parse::<i64>().ok().filter(|seconds| *seconds <= Timestamp::MAX.as_second())?;
    Some(i128::from(seconds) * 1_000_000_000 + nanoseconds[..9].parse::<i128>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_multiples_are_read() {
        assert_eq!(parse_rate("200k"), Ok(Rate::PerSecond(200_000.0)));
        assert_eq!(parse_rate("1.5M"), Ok(Rate::PerSecond(1_500_000.0)));
        assert_eq!(parse_rate("max"), Ok(Rate::Max));
        assert_eq!(parse_count("1M"), Ok(1_000_000));
        for text in ["", "k", "-1", "1e3", "0", "inf", "nan", "1 k"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert_eq!(parse_scaled("0.57%", &[("%", -2)]), Some(57.0 / 10_000.0));
        assert_eq!(parse_scaled(&"9".repeat(400), MULTIPLES), None);
        assert!(parse_count("1.5").is_err() && parse_count("0").is_err());
        assert!(parse_duration("10").is_err() && parse_duration("0s").is_err());
        assert_eq!((parse_wait("0s"), parse_wait("2ms")), (Ok(Duration::ZERO), Ok(Duration::from_millis(2))));
    }

    #[test]
    fn sizes_are_of_thousands_or_of_1024() {
        for (text, bytes) in [("65536", 65_536), ("4M", 4_000_000), ("512KiB", 524_288), ("0.5GiB", 536_870_912)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "0", "1.5", "-1MiB", "64 MiB", "64MB", "4kMiB"] {
            assert!(parse_size(text).unwrap_err().contains("a size in bytes"), "{text}");
        }
    }

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, ns) in [
            ("0", 0),
            ("1.5", 1_500_000_000),
            ("1795341600.123456789", 1_795_341_600_123_456_789),
            ("0.000000001999", 1),
            ("2026-11-22T22:40:00.123456789Z", 1_795_387_200_123_456_789),
            ("2026-11-22T23:40:00+01:00", 1_795_387_200_000_000_000),
        ] {
            assert_eq!(parse_time_ns(text), Some(ns), "{text}");
        }
        for text in ["", ".", ".5", "-1", "1e3", "1.2.3", "2026-11-22", "99999999999999999999"] {
            assert_eq!(parse_time_ns(text), None, "{text}");
        }
    }
}
