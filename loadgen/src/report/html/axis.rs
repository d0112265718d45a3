//! One direction of a chart: which values it spans, where they are on it, and which are written beside it.

use crate::view::wording::count;

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// What it shows, with the unit.
    pub(super) title: String,
    /// Values that are written beside it, with their texts.
    pub(super) ticks: Vec<(f64, String)>,
    from: f64,
    to: f64,
    is_logarithmic: bool,
}

/// Ticks of a linear axis, at most, without the one at 0.
const TICKS_MAX: f64 = 4.0;

/// Ticks of a logarithmic axis, at most.
const DECADES_MAX: i32 = 6;

impl Axis {
    /// From 0 to the first tick that is no less than `max`.
    pub(super) fn from_zero(title: &str, max: f64) -> Self {
        let mut axis = Self::up_to(title, max);
        let step = step(axis.to);
        axis.to = (axis.to / step).ceil() * step;
        axis.ticks = ticks(0.0, axis.to, step);
        axis
    }

    /// From 0 to `max`, with ticks before it.
    pub(super) fn up_to(title: &str, max: f64) -> Self {
        let to = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        Self { title: title.to_owned(), ticks: ticks(0.0, to, step(to)), from: 0.0, to, is_logarithmic: false }
    }

    /// From `from` to `to`, with ticks between.
    pub(super) fn between(title: &str, from: f64, to: f64) -> Self {
        let step = step(to - from);
        let first = (from / step).ceil() * step;
        Self { title: title.to_owned(), ticks: ticks(first, to, step), from, to, is_logarithmic: false }
    }

    /// The powers of ten from no more than `min` to no less than `max`.
    pub(super) fn decades(title: &str, min: f64, max: f64) -> Self {
        let power = |value: f64| if value.is_finite() && value > 0.0 { value.log10() } else { 0.0 };
        let from = (power(min).floor() as i32).clamp(-9, 19);
        let to = (power(max).ceil() as i32).clamp(from + 1, 20);
        let stride = (to - from).div_euclid(DECADES_MAX) + 1;
        let tick = |power: i32| (10f64.powi(power), decade(power));
        let ticks = (from..=to).step_by(stride as usize).map(tick).collect();
        Self { title: title.to_owned(), ticks, from: 10f64.powi(from), to: 10f64.powi(to), is_logarithmic: true }
    }

    /// Percent of messages, denser towards 100: what lies beyond 99.999 % has no place. Values are [`nines`].
    pub(super) fn percentiles(title: &str) -> Self {
        let texts = ["0", "90", "99", "99.9", "99.99", "99.999"];
        let ticks = texts.into_iter().enumerate().map(|(at, text)| (at as f64, text.to_owned())).collect();
        Self { title: title.to_owned(), ticks, from: 0.0, to: NINES_MAX, is_logarithmic: false }
    }

    /// The same from half of the least value on, so that a bar of it has a height.
    pub(super) fn with_room_below(mut self) -> Self {
        self.from /= 2.0;
        self
    }

    /// How far along the axis a value is, 0 to 1; what is outside is at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let along = if self.is_logarithmic {
            (value.max(f64::MIN_POSITIVE) / self.from).log10() / (self.to / self.from).log10()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        if along.is_nan() { 0.0 } else { along.clamp(0.0, 1.0) }
    }
}

/// Where an axis of percentiles ends: 99.999 %.
pub(super) const NINES_MAX: f64 = 5.0;

/// How many nines a percentage has: 1 for 90, 3 for 99.9.
pub(super) fn nines(percent: f64) -> f64 {
    -(1.0 - percent / 100.0).log10()
}

/// 1, 2 or 5 of a power of ten, so that few of them make `span`.
fn step(span: f64) -> f64 {
    let rough = (span / TICKS_MAX).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    // What is a little more by rounding is no more.
    [1.0, 2.0, 5.0].into_iter().find(|factor| rough <= factor * power * (1.0 + 1e-9)).unwrap_or(10.0) * power
}

fn ticks(from: f64, to: f64, step: f64) -> Vec<(f64, String)> {
    let number = ((to - from) / step + 1e-9).floor().clamp(0.0, 2.0 * TICKS_MAX) as u32;
    (0..=number).map(|at| from + f64::from(at) * step).map(|value| (value, short(value))).collect()
}

/// A power of ten.
fn decade(power: i32) -> String {
    match power {
        ..0 => format!("{:.*}", power.unsigned_abs() as usize, 10f64.powi(power)),
        0..=3 => count(10u64.pow(power as u32)),
        4.. => short(10f64.powi(power)),
    }
}

/// At most four digits and a letter, or a power of ten: `0.25`, `12.5k`, `3M`, `1e21`.
pub(super) fn short(value: f64) -> String {
    if value >= 1e21 {
        return format!("{value:.0e}");
    }
    let letters = [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, letter) = letters.into_iter().find(|(scale, _)| value >= scale * 0.9995).unwrap_or((1.0, ""));
    format!("{}{letter}", three(value / scale))
}

/// Three digits, or all that stand before the point; no zeros at the end. Of what is not negative.
pub(super) fn three(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".into();
    }
    let decimals = (2 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    if decimals == 0 {
        return count(value.round() as u64);
    }
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(texts(&Axis::from_zero("", 21_300.0)), ["0", "10k", "20k", "30k"]);
        assert_eq!(texts(&Axis::up_to("", 10.0)), ["0", "5", "10"]);
        assert_eq!(texts(&Axis::from_zero("", 0.031)), ["0", "0.01", "0.02", "0.03", "0.04"]);
        assert_eq!(texts(&Axis::between("", 96.3, 100.0)), ["97", "98", "99", "100"]);
        assert_eq!(texts(&Axis::decades("", 0.03, 800.0)), ["0.01", "0.1", "1", "10", "100", "1,000"]);
        for max in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 1e300, 1.0, 7.0, 1e6 + 1.0] {
            let axis = Axis::from_zero("", max);
            assert!((2..=6).contains(&axis.ticks.len()), "{max}: {axis:?}");
        }
        assert!(Axis::decades("", 0.0, 1e300).ticks.len() <= 7);
    }

    #[test]
    fn values_are_on_the_axis_or_at_its_end() {
        let axis = Axis::decades("", 1.0, 100.0);
        assert_eq!(
            [1.0, 10.0, 100.0, 0.0, 1e9, f64::NAN].map(|value| axis.place(value)),
            [0.0, 0.5, 1.0, 0.0, 1.0, 0.0]
        );
        let axis = Axis::percentiles("");
        assert!((axis.place(nines(99.9)) - 0.6).abs() < 1e-9 && axis.place(nines(100.0)) == 1.0);
        assert_eq!(axis.place(nines(0.0)), 0.0);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.25, 999.0, 999.6, 12_500.0, 3e6, 0.012_345, 2e300].map(short);
        assert_eq!(shown, ["0", "0.25", "999", "1k", "12.5k", "3M", "0.0123", "2e300"]);
    }
}
