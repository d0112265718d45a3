//! Which messages are wanted.

use logboom_segment::BlockEntry;

/// A range of receive times, both ends included, ns since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct TimeRange {
    /// Earliest.
    pub since_ns: u64,
    /// Latest.
    pub until_ns: u64,
}

impl Default for TimeRange {
    fn default() -> Self {
        Self { since_ns: 0, until_ns: u64::MAX }
    }
}

impl TimeRange {
    /// Whether a message received then is wanted.
    #[must_use]
    pub fn contains(&self, received_ns: u64) -> bool {
        (self.since_ns..=self.until_ns).contains(&received_ns)
    }

    /// Whether a block may hold wanted messages.
    #[must_use]
    pub fn may_be_in(&self, block: &BlockEntry) -> bool {
        block.received_min_ns <= self.until_ns && block.received_max_ns >= self.since_ns
    }
}

/// Reads a time: RFC 3339 (`2026-11-22T10:00:00Z`, with any offset), or `@` and seconds since the Unix epoch, with up to
/// nine decimals.
///
/// # Errors
/// What is wrong, and how to write it.
pub fn parse_time(text: &str) -> Result<u64, String> {
    let refused = || {
        format!(
            "`{text}` is not a time: write RFC 3339, such as 2026-11-22T10:00:00Z, or @ and seconds since 1970, such as @1795341600.5"
        )
    };
    let ns = match text.strip_prefix('@') {
        Some(epoch) => epoch_ns(epoch),
        None => text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_nanosecond()).ok()),
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

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn times_are_read() {
        for (text, ns) in [
            ("@0", 0),
            ("@1795341600", 1_795_341_600_000_000_000),
            ("@1.5", 1_500_000_000),
            ("@1.000000001", 1_000_000_001),
            ("1970-01-01T00:00:01Z", 1_000_000_000),
            ("1970-01-01T02:00:00.25+02:00", 250_000_000),
        ] {
            assert_eq!(parse_time(text), Ok(ns), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told() {
        for text in
            ["", "@", "@-1", "@1.", "@1.0000000001", "@99999999999999", "noon", "2026-11-22", "1969-12-31T23:59:59Z"]
        {
            assert!(parse_time(text).unwrap_err().contains("is not a time"), "{text}");
        }
    }
}
