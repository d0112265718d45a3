//! Long series as few points as a chart has columns, without losing a spike.

/// Where something is, and how much of it.
pub(super) type Point = (f64, f64);

/// Columns of a series in a chart. Each has at most two points.
pub(super) const COLUMNS: usize = 240;

/// The lowest and the highest point of each of [`COLUMNS`] equal spans of x, in their order; all of them, if they are no more
/// than that. So the worst second of a day is still there.
pub(super) fn thin(points: Vec<Point>) -> Vec<Point> {
    if points.len() <= 2 * COLUMNS {
        return points;
    }
    let (from, to) = (points[0].0, points[points.len() - 1].0);
    let span = (to - from).max(f64::MIN_POSITIVE);
    let column = |point: &Point| (((point.0 - from) / span * COLUMNS as f64) as usize).min(COLUMNS - 1);
    let mut kept = Vec::with_capacity(2 * COLUMNS);
    for bucket in points.chunk_by(|one, next| column(one) == column(next)) {
        let by_value = |a: &(usize, &Point), b: &(usize, &Point)| a.1.1.total_cmp(&b.1.1);
        let low = bucket.iter().enumerate().min_by(by_value).map_or(0, |(at, _)| at);
        let high = bucket.iter().enumerate().max_by(by_value).map_or(0, |(at, _)| at);
        kept.push(bucket[low.min(high)]);
        if low != high {
            kept.push(bucket[low.max(high)]);
        }
    }
    // Out of order, a column may come up more than once.
    kept.truncate(2 * COLUMNS);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_one_bad_second_of_a_day_stays() {
        for bad in [0, 1, 43_210, 86_399] {
            let day: Vec<_> =
                (0..86_400).map(|second| (f64::from(second), if second == bad { 7.0 } else { 0.0 })).collect();
            let kept = thin(day);
            assert!(kept.len() <= 2 * COLUMNS && kept.contains(&(f64::from(bad), 7.0)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn extremes_and_order_are_kept(values in prop::collection::vec(0u32..1000, 1..3000)) {
            let points: Vec<_> = values.iter().enumerate().map(|(at, value)| (at as f64, f64::from(*value))).collect();
            let kept = thin(points.clone());
            prop_assert!(kept.len() <= 2 * COLUMNS && kept.is_sorted_by(|a, b| a.0 < b.0));
            let extremes = |points: &[Point]| points.iter().fold((f64::MAX, f64::MIN), |(low, high), point| (low.min(point.1), high.max(point.1)));
            prop_assert_eq!(extremes(&points), extremes(&kept));
            prop_assert!(kept.iter().all(|point| points.contains(point)));
        }
    }
}
