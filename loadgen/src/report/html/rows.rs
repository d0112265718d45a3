//! Bars one below the other, each under a line that says what it is.

use super::axis::Axis;
use super::svg::{Anchor, Svg, TEXT_HEIGHT, WIDTH};

/// Room beside the bars for the half of a tick's text.
const LEFT: f64 = 16.0;
const RIGHT: f64 = WIDTH - 20.0;

/// From one bar to the next.
const STEP: f64 = 34.0;

/// Thickness of a bar.
const BAR: f64 = 12.0;

/// Least width: what is not nothing is seen.
const LEAST: f64 = 1.5;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// What it is: at most 18 letters.
    pub(super) name: String,
    /// How much it is: at most 24 letters.
    pub(super) value: String,
    /// Its look, in the style sheet.
    pub(super) class: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Letters of a name that have room beside the value.
const NAME_MAX: usize = 18;

/// The drawing of some bars on one axis.
pub(super) fn rows(rows: &[Row], axis: &Axis) -> Svg {
    let bottom = STEP * rows.len() as f64 + 4.0;
    let mut svg = Svg::new(bottom + 2.5 * TEXT_HEIGHT + 4.0);
    let across = |value: f64| LEFT + (RIGHT - LEFT) * axis.place(value);
    for (value, text) in &axis.ticks {
        svg.line("grid", (across(*value), 2.0), (across(*value), bottom));
        svg.text("tick", (across(*value), bottom + TEXT_HEIGHT), Anchor::Middle, text);
    }
    for (number, row) in rows.iter().enumerate() {
        let top = STEP * number as f64;
        let (start, end) = (across(row.from), across(row.to));
        let width = (end - start).max(LEAST);
        svg.bar(row.class, (start.min(RIGHT - width), top + TEXT_HEIGHT + 4.0), (width, BAR));
        let letters = row.name.chars().count();
        let name = if letters > NAME_MAX {
            row.name.chars().take(NAME_MAX - 1).chain(['\u{2026}']).collect()
        } else {
            row.name.clone()
        };
        svg.text("label", (0.0, top + TEXT_HEIGHT), Anchor::Start, &name);
        svg.text("value", (WIDTH, top + TEXT_HEIGHT), Anchor::End, &row.value);
    }
    svg.text("tick", (WIDTH, bottom + 2.0 * TEXT_HEIGHT + 2.0), Anchor::End, &axis.title);
    svg
}
