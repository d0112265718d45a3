//! Sizes as `64MiB` and times as `250ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::fmt::friendly::{SpanParser, SpanPrinter};
use serde::{Deserialize, Serialize};

/// A size in bytes, written with a unit: `64MiB`, `200kB`, `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1,024 bytes.
    #[must_use]
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many times 1,048,576 bytes.
    #[must_use]
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The size in bytes, as large as memory can be.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is not a size: write a number and a unit, such as 64MiB, 200kB or 512B");
        if !text.ends_with(|last: char| last.is_ascii_alphabetic()) {
            return Err(refused());
        }
        text.parse::<bytesize::ByteSize>().map(|size| Self(size.as_u64())).map_err(|_| refused())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let whole = |(_, shift): &(&str, u32)| self.0 != 0 && self.0.trailing_zeros() >= *shift;
        match UNITS.into_iter().find(whole) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A time, written with its unit: `250ms`, `1s`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(Duration);

impl Time {
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// So many seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The time as the standard library has it.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = SpanParser::new().parse_unsigned_duration(text);
        parsed
            .map(Self)
            .map_err(|_| format!("`{text}` is not a time: write a number and a unit, such as 250ms, 1s or 1h 30m"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&SpanPrinter::new().unsigned_duration_to_string(&self.0))
    }
}

macro_rules! as_strings {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

as_strings!(Size);
as_strings!(Time);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit_and_come_back() {
        for (text, bytes, shown) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("200kB", 200_000, "200000B"),
            ("0B", 0, "0B"),
            ("1.5KiB", 1536, "1536B"),
        ] {
            assert_eq!(text.parse::<Size>().unwrap().get(), bytes);
            assert_eq!(text.parse::<Size>().unwrap().to_string(), shown);
        }
        for text in ["64", "", "MiB", "-1MiB", "64 parsecs", "64MiB "] {
            assert!(text.parse::<Size>().unwrap_err().contains("is not a size"), "{text}");
        }
    }

    #[test]
    fn times_need_a_unit_and_come_back() {
        for (text, millis, shown) in
            [("250ms", 250, "250ms"), ("1s", 1000, "1s"), ("0s", 0, "0s"), ("90m", 5_400_000, "1h 30m")]
        {
            assert_eq!(text.parse::<Time>().unwrap().get(), Duration::from_millis(millis));
            assert_eq!(text.parse::<Time>().unwrap().to_string(), shown);
        }
        for text in ["1", "", "-1s", "1 fortnight", "s"] {
            assert!(text.parse::<Time>().unwrap_err().contains("is not a time"), "{text}");
        }
    }
}
