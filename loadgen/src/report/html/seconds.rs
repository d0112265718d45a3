//! The runs second by second: what was offered, sent and received, what is missing, and what waited at the sockets.

use super::axis::{Axis, short, three};
use super::chart::{Chart, Form, Series};
use super::drawn::Drawn;
use super::figure::Figure;
use super::group::Group;
use super::thin::Point;
use crate::view::wording::{count, share};

const SECONDS: &str = "seconds after the start";

/// The highest point.
fn top(points: &[Point]) -> Option<Point> {
    points.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))
}

fn end<'a>(series: impl Iterator<Item = &'a Vec<Point>>) -> f64 {
    series.flatten().map(|(at, _)| *at).fold(1.0, f64::max)
}

fn highest<'a>(series: impl Iterator<Item = &'a Vec<Point>>) -> f64 {
    series.flatten().map(|(_, value)| *value).fold(0.0, f64::max)
}

/// Offered, sent and received of one group's typical run.
pub(super) fn rates(group: &Group) -> Option<Figure> {
    let run = group.typical();
    let lines = [("offered", 4, &run.offered), ("sent", 1, &run.sent), ("received", 0, &run.received)];
    let lines: Vec<_> = lines.into_iter().filter(|(_, _, points)| points.len() > 1).collect();
    if lines.len() < 2 {
        return None;
    }
    let points = || lines.iter().map(|(_, _, points)| *points);
    let mut chart = Chart::new(Axis::up_to(SECONDS, end(points())), Axis::from_zero("messages/s", highest(points())));
    for (name, style, points) in &lines {
        let points = (*points).clone();
        chart.series(&Series { name: (*name).into(), style: *style, form: Form::Line, points });
    }
    // What was sent and received behind the plan would make the least 0.
    let planned = run.offered.last().map_or(f64::MAX, |(at, _)| *at);
    let told = lines.iter().map(|(name, _, points)| {
        let rates = || points.iter().filter(|(at, _)| *at <= planned).map(|(_, rate)| *rate);
        let (low, high) = (short(rates().fold(f64::MAX, f64::min)), short(rates().fold(0.0, f64::max)));
        if low == high { format!("{name} {low} all the time") } else { format!("{name} {low} to {high}") }
    });
    let caption = format!("{}: {} messages/s.", group.name, told.collect::<Vec<_>>().join(", "));
    Some(Figure::new(format!("{}: offered, sent and received", group.name), caption, chart.finish()))
}

/// Missing messages of all groups, if any lost one.
pub(super) fn missing(groups: &[Group]) -> Option<Figure> {
    let runs: Vec<_> =
        groups.iter().map(|group| (group, group.typical())).filter(|(_, run)| run.missing.len() > 1).collect();
    let points = || runs.iter().map(|(_, run)| &run.missing);
    if highest(points()) == 0.0 {
        return None;
    }
    let mut chart =
        Chart::new(Axis::up_to(SECONDS, end(points())), Axis::from_zero("missing messages/s", highest(points())));
    for (group, run) in &runs {
        let form = if run.missing.len() > 40 { Form::Line } else { Form::Marked };
        chart.series(&Series { name: group.name.clone(), style: group.style, form, points: run.missing.clone() });
    }
    let told: Vec<_> = runs.iter().map(|(group, run)| lost(&group.name, run)).collect();
    Some(Figure::new("Missing messages, by the second in which they were due", told.join("; ") + ".", chart.finish()))
}

/// When a run lost how much, in words.
fn lost(name: &str, run: &Drawn) -> String {
    let (Some((first, _)), Some((worst, messages))) = (run.first_missing, top(&run.missing)) else {
        return format!("{name} lost nothing");
    };
    let ratio = run.figure("loss_ratio").map_or_else(String::new, |ratio| format!(" {}", share(ratio)));
    format!(
        "{name} lost{ratio} from second {} on, most of it in second {}: {}",
        count(first as u64 + 1),
        count(worst as u64 + 1),
        count(messages as u64)
    )
}

/// What waited at the sockets of all groups, if anything did.
pub(super) fn queued(groups: &[Group]) -> Option<Figure> {
    let runs: Vec<_> =
        groups.iter().map(|group| (group, group.typical())).filter(|(_, run)| run.queued.len() > 1).collect();
    let points = || runs.iter().map(|(_, run)| &run.queued);
    let highest = highest(points());
    if highest == 0.0 {
        return None;
    }
    // A limit far above everything would flatten it.
    let buffer = runs.iter().filter_map(|(_, run)| run.buffer_bytes).fold(0.0, f64::max);
    let is_near = buffer > 0.0 && buffer < 5.0 * highest;
    let max = if is_near { highest.max(buffer) } else { highest };
    let mut chart = Chart::new(Axis::up_to(SECONDS, end(points())), Axis::from_zero("bytes that wait", max));
    for (group, run) in &runs {
        chart.series(&Series {
            name: group.name.clone(),
            style: group.style,
            form: Form::Line,
            points: run.queued.clone(),
        });
    }
    if is_near {
        chart.mark_y(buffer, "one socket is full");
    }
    let told = runs.iter().filter_map(|(group, run)| {
        let (at, bytes) = top(&run.queued)?;
        let when = if bytes > 0.0 { format!(", {} s after the start", three(at)) } else { String::new() };
        let full = run.buffer_bytes.filter(|_| bytes > 0.0);
        let full = full.map_or_else(String::new, |buffer| format!("; one socket holds {} kB", three(buffer / 1e3)));
        Some(format!("{}: at most {} kB{when}{full}", group.name, three(bytes / 1e3)))
    });
    let caption = told.collect::<Vec<_>>().join("; ") + ". Looked at once a second: it may have been more between.";
    Some(Figure::new("What waited at the collector's sockets", caption, chart.finish()))
}
