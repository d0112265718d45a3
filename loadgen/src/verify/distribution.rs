//! How values are distributed, in fixed memory.

use hdrhistogram::Histogram;

/// Percentiles are right to so many decimal digits.
const DIGITS: u8 = 3;

/// Counts of values; number, sum, minimum and maximum are exact.
pub(super) struct Distribution {
    histogram: Histogram<u64>,
    sum: u128,
    min: u64,
    max: u64,
}

impl Distribution {
    /// Of values from `lowest` to `highest`; what is smaller or greater counts as these, but for sum, minimum and maximum.
    pub(super) fn new(lowest: u64, highest: u64) -> Self {
        let histogram = Histogram::new_with_bounds(lowest, highest, DIGITS);
        Self { histogram: histogram.expect("1 <= lowest, 2 * lowest <= highest"), sum: 0, min: u64::MAX, max: 0 }
    }

    #[inline]
    pub(super) fn record(&mut self, value: u64) {
        self.histogram.saturating_record(value);
        self.sum += u128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// How many values there are.
    pub(super) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The least value that this share of all do not exceed; 0 when there is none. Not by percent: 99.9 / 100 is more than 0.999,
    /// and with it one value too far.
    pub(super) fn quantile(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile).max(self.min).min(self.max)
    }

    /// The greatest value; 0 when there is none.
    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// 0 when there is none.
    pub(super) fn mean(&self) -> f64 {
        self.sum as f64 / self.count().max(1) as f64
    }

    /// (percent, value) from the least to the greatest, every second one half as far from 100 as before: what a plot of the
    /// tail takes. At most [`CURVE_POINTS_MAX`].
    pub(super) fn curve(&self) -> Vec<(f64, u64)> {
        let mut points = Vec::with_capacity(CURVE_POINTS_MAX);
        if self.count() == 0 {
            return points;
        }
        for step in 0..CURVE_POINTS_MAX as i32 - 1 {
            let beyond = 0.5f64.powf(f64::from(step) / 2.0);
            let value = self.quantile(1.0 - beyond);
            if value == self.max {
                break;
            }
            points.push((100.0 - 100.0 * beyond, value));
        }
        points.push((100.0, self.max));
        points
    }
}

/// Up to 99.9999 percent, and the maximum.
pub(super) const CURVE_POINTS_MAX: usize = 42;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits_and_count_sum_and_maximum_exactly() {
        let mut distribution = Distribution::new(1_000, 3_600_000_000_000);
        (1..=1_000_000u64).for_each(|value| distribution.record(value * 1_000));
        for (quantile, expected) in [(0.5, 500_000_000.0), (0.99, 990_000_000.0), (0.999, 999_000_000.0)] {
            let found = distribution.quantile(quantile) as f64;
            assert!((found / expected - 1.0).abs() <= 1e-3, "{quantile}: {found}");
        }
        assert_eq!((distribution.count(), distribution.max()), (1_000_000, 1_000_000_000));
        assert_eq!(distribution.mean(), 500_000_500.0);
    }

    #[test]
    fn of_a_thousand_values_the_last_is_beyond_999() {
        let mut distribution = Distribution::new(1, 1_000_000);
        (0..999).for_each(|_| distribution.record(1));
        distribution.record(1_000);
        assert_eq!([0.999, 0.9991].map(|quantile| distribution.quantile(quantile)), [1, 1_000]);
    }

    #[test]
    fn values_out_of_range_are_counted_and_their_maximum_kept() {
        let mut distribution = Distribution::new(1_000, 1_000_000);
        [0, u64::MAX].into_iter().for_each(|value| distribution.record(value));
        assert_eq!((distribution.count(), distribution.max()), (2, u64::MAX));
        assert!(distribution.quantile(0.5) < 1_000);
        assert_eq!(distribution.quantile(0.0), 0);
    }

    #[test]
    fn a_curve_rises_from_the_least_to_the_greatest_in_a_bounded_number_of_points() {
        assert_eq!(Distribution::new(1, 10).curve(), []);
        // Each value twice as great as the one before, and half as often.
        let mut distribution = Distribution::new(1, 1 << 30);
        (0..22).for_each(|power| (0..1 << (21 - power)).for_each(|_| distribution.record(1 << power)));
        let curve = distribution.curve();
        assert_eq!(curve.len(), CURVE_POINTS_MAX);
        assert_eq!((curve[0], curve[2], curve[CURVE_POINTS_MAX - 1]), ((0.0, 1), (50.0, 1), (100.0, 1 << 21)));
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{curve:?}");
        // What so few values do not tell apart is left out.
        let mut few = Distribution::new(1, 100);
        [1, 2].into_iter().for_each(|value| few.record(value));
        assert_eq!(few.curve(), [(0.0, 1), (100.0 - 100.0 * 0.5f64.sqrt(), 1), (50.0, 1), (100.0, 2)]);
    }
}
