//! How good the generator was, and what a message cost on both sides.

use super::axis::{Axis, three};
use super::figure::Figure;
use super::group::Group;
use super::rows::{Row, rows};
use super::svg::{Anchor, Svg, TEXT_HEIGHT, WIDTH};
use crate::view::wording::{count, share};

/// The percentiles of lateness, each with its words; its marker is that of its place.
const LAGS: [(&str, &str); 4] = [
    ("pacing.lag_us.p50", "half of the messages"),
    ("pacing.lag_us.p99", "99 of 100"),
    ("pacing.lag_us.p999", "999 of 1,000"),
    ("pacing.lag_us.max", "the latest"),
];

/// What is punctual, us; `within_200us` in a run.
const PUNCTUAL_US: f64 = 200.0;

/// How late messages left, of all groups that had a schedule.
pub(super) fn lag(groups: &[Group]) -> Option<Figure> {
    let lags = |group: &Group| LAGS.map(|(name, _)| group.typical().figure(name));
    let timed: Vec<_> = groups.iter().filter(|group| lags(group).iter().any(Option::is_some)).collect();
    let values = || timed.iter().flat_map(|group| lags(group)).flatten().filter(|us| *us > 0.0);
    if timed.is_empty() {
        return None;
    }
    let (least, most) = values().fold((PUNCTUAL_US, PUNCTUAL_US), |(least, most), us| (least.min(us), most.max(us)));
    let axis = Axis::decades("us after it was due, logarithmic", least.max(0.1), most);
    let across = |us: f64| 20.0 + (WIDTH - 46.0) * axis.place(us);
    let step = 2.6 * TEXT_HEIGHT;
    let (top, bottom) = (TEXT_HEIGHT + 6.0, TEXT_HEIGHT + 6.0 + step * timed.len() as f64);
    let mut svg = Svg::new(bottom + 2.0 * TEXT_HEIGHT + 8.0);
    for (value, text) in &axis.ticks {
        svg.line("grid", (across(*value), top), (across(*value), bottom));
        svg.text("tick", (across(*value), bottom + TEXT_HEIGHT), Anchor::Middle, text);
    }
    svg.line("limit", (across(PUNCTUAL_US), top - 4.0), (across(PUNCTUAL_US), bottom));
    svg.text("note", (across(PUNCTUAL_US), TEXT_HEIGHT - 2.0), Anchor::Middle, "200 us");
    for (number, group) in timed.iter().enumerate() {
        let top = top + step * number as f64;
        svg.text("label", (0.0, top + TEXT_HEIGHT), Anchor::Start, &group.name);
        let lags: Vec<_> = lags(group).into_iter().enumerate().filter_map(|(at, us)| Some((at, us?))).collect();
        if let (Some((_, first)), Some((_, last))) = (lags.first(), lags.last()) {
            svg.line("axis", (across(*first), top + 26.0), (across(*last), top + 26.0));
        }
        lags.iter().for_each(|(at, us)| svg.marker(*at, (across(*us), top + 26.0)));
    }
    svg.text("tick", (WIDTH, bottom + 2.0 * TEXT_HEIGHT + 2.0), Anchor::End, &axis.title);
    let key = LAGS.iter().enumerate().map(|(at, (_, words))| (at, (*words).to_owned())).collect();
    Some(Figure::new("How late the generator sent", caption(&timed), svg).with_key(key))
}

fn caption(groups: &[&Group]) -> String {
    let told = groups.iter().map(|group| {
        let run = group.typical();
        let punctual = run
            .figure("pacing.lag_us.within_200us")
            .map_or_else(String::new, |ratio| format!(" {} of its messages left within 200 us,", share(ratio)));
        let grouped = run
            .figure("pacing.group.max")
            .map_or_else(String::new, |most| format!(" at most {} together", count(most as u64)));
        let stolen = run.stolen_ms.filter(|stolen| *stolen > 0.0);
        let stolen = stolen.map_or_else(String::new, |stolen| {
            format!(", and others had its processors for {} ms", count(stolen as u64))
        });
        format!("{}:{punctual}{grouped}{stolen}", group.name)
    });
    told.collect::<Vec<_>>().join("; ") + "."
}

/// What each message cost the sender and the collector.
pub(super) fn cost(groups: &[Group]) -> Option<Figure> {
    let sides =
        [("sender_cpu_ns_per_message", "sender", "sender"), ("collector.cpu_ns_per_message", "collector", "kept")];
    let cost = |group: &Group| {
        let name = group.name.clone();
        let cost = sides.map(|(figure, side, class)| (format!("{name} {side}"), group.median(figure), class));
        cost.into_iter().filter_map(|(name, ns, class)| Some((name, ns?, class))).collect::<Vec<_>>()
    };
    let bars: Vec<_> = groups.iter().flat_map(cost).collect();
    let most = bars.iter().map(|(_, ns, _)| *ns).fold(0.0, f64::max);
    if most == 0.0 {
        return None;
    }
    let bar = |(name, ns, class): &(String, f64, &'static str)| Row {
        name: name.clone(),
        value: format!("{} ns", count(ns.round() as u64)),
        class,
        from: 0.0,
        to: *ns,
    };
    let drawn: Vec<_> = bars.iter().map(bar).collect();
    let told = groups.iter().map(|group| {
        let [sender, collector] = sides.map(|(figure, ..)| group.median(figure));
        let us = |ns: f64| format!("{} us", three(ns / 1e3));
        match (sender, collector) {
            (Some(sender), Some(collector)) => {
                format!("{}: a message cost the sender {}, and the collector {}", group.name, us(sender), us(collector))
            }
            (Some(sender), None) => format!(
                "{}: a message cost the sender {}; the collector's time was not measured",
                group.name,
                us(sender)
            ),
            (None, Some(collector)) => format!("{}: a message cost the collector {}", group.name, us(collector)),
            (None, None) => format!("{}: not measured", group.name),
        }
    });
    let caption = told.collect::<Vec<_>>().join("; ") + ". The sender's time includes spinning until a message is due.";
    Some(Figure::new("Processor time of a message", caption, rows(&drawn, &Axis::from_zero("ns a message", most))))
}
