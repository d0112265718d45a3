//! How long messages took, by share: curves that show the tail.

use super::axis::{Axis, three};
use super::chart::{Chart, Form, Series};
use super::figure::Figure;
use super::group::Group;

/// The curves of all groups whose latency is known.
pub(super) fn figure(groups: &[Group]) -> Option<Figure> {
    let curves: Vec<_> =
        groups.iter().map(|group| (group, group.typical())).filter(|(_, run)| run.latency.len() > 1).collect();
    let values = || curves.iter().flat_map(|(_, run)| run.latency.iter().map(|(_, ms)| *ms)).filter(|ms| *ms > 0.0);
    if curves.is_empty() {
        return None;
    }
    let (least, most) = values().fold((f64::MAX, 0.001f64), |(least, most), ms| (least.min(ms), most.max(ms)));
    // Below a microsecond is as good as nothing.
    let y = Axis::decades("ms, logarithmic", least.clamp(0.001, most), most);
    let mut chart = Chart::new(Axis::percentiles("percent of messages that took no longer"), y);
    for (group, run) in &curves {
        chart.series(&Series {
            name: group.name.clone(),
            style: group.style,
            form: Form::Marked,
            points: run.latency.clone(),
        });
    }
    let told = curves.iter().map(|(group, run)| {
        let ms = |name| run.figure(name).map_or_else(|| "an unknown time".into(), |ms| format!("{} ms", three(ms)));
        format!(
            "{}: half arrived within {}, 99 of 100 within {}, the last after {}",
            group.name,
            ms("latency.p50"),
            ms("latency.p99"),
            ms("latency.max")
        )
    });
    let caption = told.collect::<Vec<_>>().join("; ") + ".";
    Some(Figure::new("Latency, from when a message was due to when it was received", caption, chart.finish()))
}
