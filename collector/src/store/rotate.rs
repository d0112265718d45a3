//! When a segment has grown or aged enough to be sealed.

use std::time::Duration;

/// The limits of one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RotateLimits {
    /// Size, bytes; a segment passes it by less than one block.
    pub(crate) bytes: u64,
    /// Age since it was begun.
    pub(crate) age: Duration,
}

/// Whether a segment of `bytes` that was begun `age` ago is due; `is_full` when the format allows no more blocks.
pub(crate) fn is_due(limits: RotateLimits, bytes: u64, age: Duration, is_full: bool) -> bool {
    is_full || bytes >= limits.bytes || age >= limits.age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_age_and_blocks_each_make_it_due() {
        let limits = RotateLimits { bytes: 100, age: Duration::from_secs(10) };
        assert!(!is_due(limits, 99, Duration::from_secs(9), false));
        assert!(is_due(limits, 100, Duration::ZERO, false));
        assert!(is_due(limits, 0, Duration::from_secs(10), false));
        assert!(is_due(limits, 0, Duration::ZERO, true));
    }
}
