//! How many messages were lost one behind the other: single ones, or many at once.

use super::axis::Axis;
use super::chart::Chart;
use super::drawn::Lengths;
use super::figure::Figure;
use super::group::Group;
use crate::view::wording::{count, known};

/// The histogram of a group's typical run, if it lost any.
pub(super) fn figure(group: &Group) -> Option<Figure> {
    let run = group.typical();
    let lengths: Vec<_> = run.loss_runs.iter().filter(|lengths| lengths.runs > 0.0).collect();
    let most = lengths.iter().map(|lengths| lengths.runs).fold(0.0, f64::max);
    let longest = lengths.last()?.to + 1.0;
    let y = Axis::decades("how often, logarithmic", 1.0, most).with_room_below();
    let mut chart = Chart::new(Axis::decades("messages lost in a row, logarithmic", 1.0, longest), y);
    for Lengths { from, to, runs } in lengths {
        chart.bar(*from, to + 1.0, *runs);
    }
    let figure = |name| known(run.figure(name), |value: f64| count(value as u64));
    let caption = match run.figure("loss_runs.count") {
        Some(1.0) => {
            format!("{}: all lost messages were lost in a row, {} of one flow.", group.name, figure("loss_runs.max"))
        }
        _ => format!(
            "{}: messages were lost {} times; half of the times no more than {} in a row, and {} at the longest.",
            group.name,
            figure("loss_runs.count"),
            figure("loss_runs.p50"),
            figure("loss_runs.max"),
        ),
    };
    Some(Figure::new(format!("{}: messages lost in a row", group.name), caption, chart.finish()))
}
