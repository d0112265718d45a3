//! What became of more and more load: the steps of a sweep.

use serde_json::Value;

use super::axis::{Axis, three};
use super::chart::{Chart, Form, Series};
use super::figure::Figure;
use super::group::{SHOWN_MAX, names};
use super::markup::{escape, table};
use super::svg::Svg;
use super::thin::Point;
use crate::figures::{Figure as Measure, Unit, figures};
use crate::report::Verdict;
use crate::report::document::{Document, Member};
use crate::report::judged::Judged;
use crate::view::wording::{rate, share};

/// Columns of the table beside target, rate and verdict.
const MEASURES: [&Measure; 2] = figures(["achieved_rate", "latency.p99"]);

/// A sweep, as it is drawn: at most [`SHOWN_MAX`] targets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sweep {
    /// Where it was sent.
    pub(super) urls: Vec<String>,
    targets: Vec<Target>,
    lossless_rate: Option<f64>,
    rows: Vec<Vec<String>>,
    invalid: usize,
}

/// The steps of one target, by their rate.
#[derive(Clone, Debug, Default, PartialEq)]
struct Target {
    name: String,
    /// (messages a second, percent lost).
    lost: Vec<Point>,
    /// (messages a second, ms).
    p99: Vec<Point>,
}

impl Sweep {
    pub(super) fn new(document: &Document, judged: &[Judged]) -> Self {
        let urls = document.json["targets"].as_array().map_or(&[][..], Vec::as_slice);
        let urls: Vec<_> = urls.iter().map(|url| url.as_str().unwrap_or_default().to_owned()).collect();
        let names = names(&urls);
        let name = |member: &Member<'_>| names.get(member.target).cloned().unwrap_or_default();
        let mut steps: Vec<_> = document.members().into_iter().zip(judged).collect();
        steps.sort_by(|(a, _), (b, _)| {
            a.target.cmp(&b.target).then(a.rate.unwrap_or(0.0).total_cmp(&b.rate.unwrap_or(0.0)))
        });
        let valid = |target: usize| {
            let of_target = steps.iter().filter(move |(member, _)| member.target == target);
            of_target.filter(|(_, judged)| judged.verdict != Verdict::Invalid)
        };
        let points = |target: usize, figure: fn(&Judged) -> Option<f64>| {
            let point = |(member, judged): &(Member<'_>, &Judged)| Some((member.rate?, figure(judged)?));
            valid(target).filter_map(point).collect()
        };
        let target = |(at, name): (usize, &String)| Target {
            name: name.clone(),
            lost: points(at, |judged| lost(judged).map(|(_, ratio)| ratio * 100.0)),
            p99: points(at, |judged| judged.figure("latency.p99")),
        };
        Self {
            targets: names.iter().enumerate().take(SHOWN_MAX).map(target).collect(),
            lossless_rate: document.json["lossless_rate"].as_f64(),
            rows: steps.iter().map(|(member, judged)| row(&name(member), member.rate, judged)).collect(),
            urls,
            invalid: steps.iter().filter(|(_, judged)| judged.verdict == Verdict::Invalid).count(),
        }
    }

    /// From which rate on each target lost messages, and what was left out.
    pub(super) fn sentence(&self) -> String {
        let lost = self.targets.iter().filter_map(lost_words).collect::<Vec<_>>().join("; ");
        let lossless = self.lossless_rate.map(|at| format!(" The lossless rate is {}.", rate(at))).unwrap_or_default();
        let invalid = match self.invalid {
            0 => String::new(),
            1 => " One invalid step is left out.".into(),
            many => format!(" {many} invalid steps are left out."),
        };
        let lost = if lost.is_empty() { "No valid step tells what was lost".into() } else { lost };
        format!("{lost}.{lossless}{invalid}")
    }

    /// What was lost, and how late the rest was.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let lost = self.chart(|target| &target.lost, |_, most| Axis::from_zero("percent lost", most));
        let late = self.chart(
            |target| &target.p99,
            |least, most| Axis::decades("ms, 99th percentile, logarithmic", least.clamp(0.001, most.max(0.001)), most),
        );
        let late_caption = self.targets.iter().filter_map(late_words).collect::<Vec<_>>().join("; ") + ".";
        let lost = lost.map(|drawing| Figure::new("What more load costs: messages lost", self.sentence(), drawing));
        let late = late.map(|drawing| Figure::new("What more load costs: latency", late_caption, drawing));
        lost.into_iter().chain(late).collect()
    }

    fn chart(&self, points: impl Fn(&Target) -> &Vec<Point>, y: impl Fn(f64, f64) -> Axis) -> Option<Svg> {
        let highest = |of: fn(&Point) -> f64| self.targets.iter().flat_map(&points).map(of).fold(0.0, f64::max);
        if self.targets.iter().all(|target| points(target).len() < 2) {
            return None;
        }
        let least = self.targets.iter().flat_map(&points).map(|point| point.1).fold(f64::MAX, f64::min);
        let most = highest(|point| point.0).max(self.lossless_rate.unwrap_or(0.0));
        let mut chart = Chart::new(Axis::from_zero("offered messages/s", most), y(least, highest(|point| point.1)));
        if let Some(rate) = self.lossless_rate {
            chart.mark_x(rate, "lossless");
        }
        for (style, target) in self.targets.iter().enumerate() {
            let points = points(target).clone();
            chart.series(&Series { name: target.name.clone(), style, form: Form::Marked, points });
        }
        Some(chart.finish())
    }

    /// Every step, in numbers.
    pub(super) fn table(&self) -> String {
        let head = ["target", "rate", "verdict", "achieved", "lost", "lost", "99 of 100 within", ""];
        table(&head.map(str::to_owned), &self.rows)
    }
}

/// Messages lost, as they were looked for or else as counters saw it, and their share of those offered.
fn lost(judged: &Judged) -> Option<(f64, f64)> {
    let lost = judged.figure("lost").or_else(|| judged.figure("counted_lost"))?;
    Some((lost, lost / judged.figure("offered")?.max(1.0)))
}

fn row(name: &str, asked: Option<f64>, judged: &Judged) -> Vec<String> {
    let [achieved, late] = MEASURES.map(|figure| figure.show(judged.figure(figure.name)));
    let (lost, ratio) = lost(judged).unzip();
    let [lost, ratio] = [(Unit::Count, lost), (Unit::Share, ratio)]
        .map(|(unit, value)| value.map_or_else(|| "-".into(), |value| unit.show(value)));
    let asked = asked.map_or_else(|| "-".into(), rate);
    let is_told = judged.counts || judged.verdict == Verdict::Invalid;
    let reason = judged.reason.as_deref().filter(|_| is_told).unwrap_or_default();
    let mut row = vec![escape(name), asked, judged.verdict.to_string()];
    row.extend([achieved, lost, ratio, late]);
    row.push(escape(reason));
    row
}

fn lost_words(target: &Target) -> Option<String> {
    let (most_rate, most) = *target.lost.last()?;
    let first = target.lost.iter().find(|(_, lost)| *lost > 0.0);
    Some(match first {
        None => format!("{} lost nothing up to {}", target.name, rate(most_rate)),
        Some((from, _)) => {
            let at_most = format!("{} at {}", share(most / 100.0), rate(most_rate));
            format!("{} lost messages from {} on, {at_most}", target.name, rate(*from))
        }
    })
}

fn late_words(target: &Target) -> Option<String> {
    let ((from, least), (to, most)) = (*target.p99.first()?, *target.p99.last()?);
    let at = |ms, at| format!("within {} ms at {}", three(ms), rate(at));
    Some(format!("{}: 99 of 100 arrived {}, {}", target.name, at(least, from), at(most, to)))
}

/// Messages a second of a document, if it is a number.
pub(super) fn per_second(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".into(), rate)
}
