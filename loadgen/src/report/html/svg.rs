//! Drawing: the elements of a figure, in units that are about a pixel of a narrow screen.

use super::markup::escape;
use super::thin::Point;

/// Width of every drawing. Of a page 400 pixels wide a figure has about as much, so that [`TEXT_HEIGHT`] stays legible.
pub(super) const WIDTH: f64 = 340.0;

/// From a line of text to the next; the style sheet has the size of letters.
pub(super) const TEXT_HEIGHT: f64 = 14.0;

/// Looks that can be told apart without colour: a dash pattern and a marker each, in the style sheet and in [`Svg::marker`].
pub(super) const STYLES: usize = 6;

/// Where a text is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Svg {
    elements: String,
    height: f64,
}

impl Svg {
    pub(super) fn new(height: f64) -> Self {
        Self { elements: String::new(), height }
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: Point, to: Point) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
        self.elements.push_str(&format!("<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>\n"));
    }

    /// Lines from point to point.
    pub(super) fn path(&mut self, class: &str, points: impl Iterator<Item = Point>) {
        let mut steps = String::new();
        for (at, (x, y)) in points.enumerate() {
            steps.push_str(&format!("{}{} {}", if at == 0 { 'M' } else { 'L' }, number(x), number(y)));
        }
        self.elements.push_str(&format!("<path class=\"{class}\" d=\"{steps}\"/>\n"));
    }

    /// A rectangle by its corner, width and height.
    pub(super) fn bar(&mut self, class: &str, corner: Point, size: Point) {
        let [x, y, width, height] = [corner.0, corner.1, size.0, size.1].map(number);
        self.elements.push_str(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>\n"
        ));
    }

    /// One line of text; `text` is not markup yet.
    pub(super) fn text(&mut self, class: &str, (x, y): Point, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let [x, y] = [x, y].map(number);
        self.elements
            .push_str(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{}</text>\n", escape(text)));
    }

    /// The marker of a style: circle, square, triangle, diamond, cross, plus.
    pub(super) fn marker(&mut self, style: usize, (x, y): Point) {
        let shape = match style % STYLES {
            0 => "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
            1 => "m-3 -3h6v6h-6z",
            2 => "m0 -4l4 7h-8z",
            3 => "m0 -4.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z",
            4 => "m-3.5 -3.5l7 7m0 -7l-7 7",
            _ => "m-4 0h8m-4 -4v8",
        };
        let [x, y] = [x, y].map(number);
        self.elements.push_str(&format!("<path class=\"mark s{}\" d=\"M{x} {y}{shape}\"/>\n", style % STYLES));
    }

    /// A drawing of its own size within a line of text, which says all that it does.
    pub(super) fn inline(&self, width: f64, height: f64) -> String {
        let [width, height] = [width, height].map(number);
        format!(
            "<svg class=\"sample\" aria-hidden=\"true\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">{}</svg>",
            self.elements
        )
    }

    /// An image with a name and a description for who does not see it.
    pub(super) fn image(&self, title: &str, description: &str) -> String {
        format!(
            "<svg role=\"img\" viewBox=\"0 0 {} {}\"><title>{}</title><desc>{}</desc>\n{}</svg>\n",
            number(WIDTH),
            number(self.height),
            escape(title),
            escape(description),
            self.elements
        )
    }
}

/// A coordinate, to a tenth.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
