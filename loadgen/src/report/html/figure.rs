//! A figure of the page: a title, one sentence that says what is to be seen, and a drawing.

use super::markup::escape;
use super::svg::Svg;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    /// What is shown.
    pub(super) title: String,
    /// What it comes to, in a sentence made of the data; also read to who does not see the drawing.
    pub(super) caption: String,
    pub(super) drawing: Svg,
    /// What the markers mean, where names do not stand beside them: style and words.
    pub(super) key: Vec<(usize, String)>,
}

impl Figure {
    pub(super) fn new(title: impl Into<String>, caption: impl Into<String>, drawing: Svg) -> Self {
        Self { title: title.into(), caption: caption.into(), drawing, key: Vec::new() }
    }

    pub(super) fn with_key(mut self, key: Vec<(usize, String)>) -> Self {
        self.key = key;
        self
    }

    pub(super) fn html(&self) -> String {
        let (title, caption) = (escape(&self.title), escape(&self.caption));
        let image = self.drawing.image(&self.title, &self.caption);
        format!("<figure>\n<h3>{title}</h3>\n{}{image}<figcaption>{caption}</figcaption>\n</figure>\n", key(&self.key))
    }
}

/// Markers with their words, on as many lines as it takes.
pub(super) fn key(entries: &[(usize, String)]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let entry = |(style, words): &(usize, String)| format!("<li>{}{}</li>", sample(*style), escape(words));
    format!("<ul class=\"key\">{}</ul>\n", entries.iter().map(entry).collect::<String>())
}

/// A piece of a line with its marker, as they look in figures.
pub(super) fn sample(style: usize) -> String {
    let mut svg = Svg::default();
    svg.path(&format!("line s{style}"), [(1.0, 6.0), (31.0, 6.0)].into_iter());
    svg.marker(style, (16.0, 6.0));
    svg.inline(32.0, 12.0)
}
