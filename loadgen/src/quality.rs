//! How good the generator was: how late messages left, and in how large groups. A generator that is late or sends in bursts
//! makes the loss that it then reports.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Lags are told apart up to this, ns; longer ones count as this.
const LAG_MAX_NS: u64 = 60_000_000_000;

/// What a punctual sender keeps, ns.
const PUNCTUAL_NS: u64 = 200_000;

/// How late messages left, and how many at once.
#[derive(Clone, Debug)]
pub struct Quality {
    lag_ns: Histogram<u64>,
    group: Histogram<u64>,
}

impl Default for Quality {
    fn default() -> Self {
        Self { lag_ns: histogram(LAG_MAX_NS), group: histogram(1 << 20) }
    }
}

/// Two digits, from 1 to `max`: bounds that are right cannot be refused.
fn histogram(max: u64) -> Histogram<u64> {
    Histogram::new_with_max(max, 2).unwrap_or_else(|error| unreachable!("{error}"))
}

/// The report's summary of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pacing {
    /// From the time at which a message was due to the time at which the kernel had it, us; null at full speed.
    pub lag_us: Option<Lag>,
    /// Messages that left together.
    pub group: Group,
}

/// Percentiles, us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// Half of the messages.
    pub p50: f64,
    /// 99 in 100.
    pub p99: f64,
    /// 999 in 1,000.
    pub p999: f64,
    /// The latest.
    pub max: f64,
    /// Share that left within 200 us.
    pub within_200us: f64,
}

/// Messages that left together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Half of the groups.
    pub p50: u64,
    /// 99 in 100.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

impl Quality {
    /// Notes messages that the kernel had at `now_ns`, given when they were due.
    pub fn note_lag(&mut self, due_ns: &[u64], now_ns: u64) {
        for due_ns in due_ns {
            self.lag_ns.saturating_record(now_ns.saturating_sub(*due_ns));
        }
    }

    /// Notes that so many `messages` left together.
    pub fn note_group(&mut self, messages: usize) {
        self.group.saturating_record(messages as u64);
    }

    /// Adds what another sender noted.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, and so nothing to refuse.
        let _ = self.lag_ns.add(&other.lag_ns);
        let _ = self.group.add(&other.group);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.lag_ns.reset();
        self.group.reset();
    }

    /// The summary.
    #[must_use]
    pub fn pacing(&self) -> Pacing {
        let us = |quantile: f64| self.lag_ns.value_at_quantile(quantile) as f64 / 1e3;
        let lag_us = (!self.lag_ns.is_empty()).then(|| Lag {
            p50: us(0.5),
            p99: us(0.99),
            p999: us(0.999),
            max: self.lag_ns.max() as f64 / 1e3,
            within_200us: self.lag_ns.quantile_below(PUNCTUAL_NS),
        });
        let at = |quantile: f64| self.group.value_at_quantile(quantile);
        Pacing { lag_us, group: Group { p50: at(0.5), p99: at(0.99), max: self.group.max() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_and_groups_are_summed_up() {
        let mut quality = Quality::default();
        for number in 0..999u64 {
            quality.note_lag(&[number * 1000], number * 1000 + 40_000);
            quality.note_group(1);
        }
        let mut other = Quality::default();
        other.note_lag(&[0; 7], 3_000_000);
        other.note_group(7);
        quality.add(&other);
        let Pacing { lag_us: Some(lag), group } = quality.pacing() else { panic!("lags were noted") };
        assert!((lag.p50 - 40.0).abs() < 1.0 && (lag.max - 3000.0).abs() < 30.0, "{lag:?}");
        assert!((lag.within_200us - 999.0 / 1006.0).abs() < 1e-9, "{lag:?}");
        assert_eq!(group, Group { p50: 1, p99: 1, max: 7 });
        assert_eq!(Quality::default().pacing(), Pacing::default());
    }
}
