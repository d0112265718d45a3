//! A chart: two axes, lines or points with their names beside them, and marks across.

use super::axis::Axis;
use super::svg::{Anchor, Svg, TEXT_HEIGHT, WIDTH};
use super::thin::Point;

/// Where the plot lies in the drawing: room for ticks on the left, for names on the right, for titles above and below.
const LEFT: f64 = 44.0;
const RIGHT: f64 = WIDTH - 66.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 186.0;
const HEIGHT: f64 = 226.0;

/// Markers on a line, at most.
const MARKERS_MAX: usize = 8;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A line, with its marker at the end.
    Line,
    /// A line with markers on it.
    Marked,
    /// Markers alone.
    Points,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// What stands beside it, at most nine letters; nothing if it is empty.
    pub(super) name: String,
    /// Its look.
    pub(super) style: usize,
    pub(super) form: Form,
    pub(super) points: Vec<Point>,
}

/// Axes, and what is in them.
pub(super) struct Chart {
    x: Axis,
    y: Axis,
    svg: Svg,
    /// Names beside the plot: where they should be, and what they say.
    names: Vec<(f64, usize, String)>,
}

impl Chart {
    pub(super) fn new(x: Axis, y: Axis) -> Self {
        let mut chart = Self { x, y, svg: Svg::new(HEIGHT), names: Vec::new() };
        for (value, text) in &chart.y.ticks {
            let height = BOTTOM - (BOTTOM - TOP) * chart.y.place(*value);
            chart.svg.line("grid", (LEFT, height), (RIGHT, height));
            chart.svg.text("tick", (LEFT - 6.0, height + 4.0), Anchor::End, text);
        }
        for (value, text) in &chart.x.ticks {
            let across = LEFT + (RIGHT - LEFT) * chart.x.place(*value);
            chart.svg.line("axis", (across, BOTTOM), (across, BOTTOM + 4.0));
            chart.svg.text("tick", (across, BOTTOM + 18.0), Anchor::Middle, text);
        }
        chart.svg.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
        chart.svg.text("tick", (0.0, 12.0), Anchor::Start, &chart.y.title);
        chart.svg.text("tick", (WIDTH, BOTTOM + 35.0), Anchor::End, &chart.x.title);
        chart
    }

    fn at(&self, (x, y): Point) -> Point {
        (LEFT + (RIGHT - LEFT) * self.x.place(x), BOTTOM - (BOTTOM - TOP) * self.y.place(y))
    }

    /// Draws a series; its name stands at the height of its last point.
    pub(super) fn series(&mut self, series: &Series) {
        let Some(last) = series.points.last() else { return };
        let points: Vec<_> = series.points.iter().map(|point| self.at(*point)).collect();
        if series.form != Form::Points {
            self.svg.path(&format!("line s{}", series.style), points.iter().copied());
        }
        let stride = match series.form {
            Form::Line => points.len(),
            Form::Marked => points.len().div_ceil(MARKERS_MAX),
            Form::Points => 1,
        };
        points.iter().rev().step_by(stride).for_each(|point| self.svg.marker(series.style, *point));
        if !series.name.is_empty() {
            self.names.push((self.at(*last).1, series.style, series.name.clone()));
        }
    }

    /// A bar on the lower axis from one x to another.
    pub(super) fn bar(&mut self, from: f64, to: f64, y: f64) {
        let (corner, end) = (self.at((from, y)), self.at((to, y)).0);
        self.svg.bar("loss", (corner.0 + 0.5, corner.1), ((end - corner.0 - 1.0).max(1.0), BOTTOM - corner.1));
    }

    /// A line across all values of y at `x`, with words above it.
    pub(super) fn mark_x(&mut self, x: f64, words: &str) {
        let across = self.at((x, 0.0)).0;
        self.svg.line("limit", (across, TOP - 6.0), (across, BOTTOM));
        // Words begin at the line, or end there, whichever has more room.
        let (anchor, shift) = if across > WIDTH / 2.0 { (Anchor::End, 3.0) } else { (Anchor::Start, -3.0) };
        self.svg.text("note", (across + shift, TOP - 10.0), anchor, words);
    }

    /// A line across all values of x at `y`, with words on it.
    pub(super) fn mark_y(&mut self, y: f64, words: &str) {
        let height = self.at((0.0, y)).1;
        self.svg.line("limit", (LEFT, height), (RIGHT, height));
        let below = height < TOP + TEXT_HEIGHT;
        let height = if below { height + TEXT_HEIGHT - 1.0 } else { height - 4.0 };
        self.svg.text("note", (LEFT + 4.0, height), Anchor::Start, words);
    }

    /// The drawing, with names written where each has a line of its own.
    pub(super) fn finish(mut self) -> Svg {
        self.names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted: Vec<_> = self.names.iter().map(|(height, ..)| *height).collect();
        for (height, (_, style, name)) in apart(&wanted, TOP, BOTTOM).into_iter().zip(&self.names) {
            self.svg.text(&format!("name s{style}"), (RIGHT + 9.0, height + 4.0), Anchor::Start, name);
        }
        self.svg
    }
}

/// Heights of texts near `wanted`, which rise, a line from each other and within `top` and `bottom` as far as there is room.
fn apart(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut heights: Vec<f64> = Vec::with_capacity(wanted.len());
    for height in wanted {
        let least = heights.last().map_or(top, |above| above + TEXT_HEIGHT);
        heights.push(height.max(least));
    }
    let mut most = bottom;
    for height in heights.iter_mut().rev() {
        *height = height.min(most);
        most = *height - TEXT_HEIGHT;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_never_overlap(mut wanted in prop::collection::vec(0.0f64..200.0, 0..10)) {
            wanted.sort_by(f64::total_cmp);
            let heights = apart(&wanted, TOP, BOTTOM);
            prop_assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= TEXT_HEIGHT - 1e-9), "{:?}", heights);
            prop_assert!(heights.iter().all(|height| (TOP..=BOTTOM).contains(height)), "{:?}", heights);
        }
    }

    #[test]
    fn a_name_that_has_room_stays_beside_its_line() {
        assert_eq!(apart(&[60.0, 100.0], TOP, BOTTOM), [60.0, 100.0]);
        assert_eq!(apart(&[180.0, 186.0], TOP, BOTTOM), [172.0, 186.0]);
    }
}
