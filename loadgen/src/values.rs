//! Values as people write them: rates, counts, times.

use std::time::Duration;

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

/// A number, with k or M behind it for a thousand or a million.
pub(crate) fn parse_multiple(text: &str) -> Option<f64> {
    let (digits, factor) = match text.as_bytes() {
        [.., b'k'] => (&text[..text.len() - 1], 1e3),
        [.., b'M'] => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let number = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    digits.parse::<f64>().ok().filter(|_| number).map(|value| value * factor)
}

pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = SpanParser::new().parse_unsigned_duration(text).ok().filter(|duration| !duration.is_zero());
    parsed.ok_or_else(|| "write a time with its unit, such as 30s, 500ms or 2m".into())
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
        assert!(parse_count("1.5").is_err() && parse_count("0").is_err());
        assert!(parse_duration("10").is_err() && parse_duration("0s").is_err());
    }
}
