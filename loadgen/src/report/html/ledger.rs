//! Where every message ended: from all that were offered down to those that are stored.

use super::axis::{Axis, short};
use super::drawn::Drawn;
use super::figure::Figure;
use super::group::Group;
use super::rows::{Row, rows};
use crate::ledger::Place;
use crate::report::judged::Ended;
use crate::view::wording::{count, share};

/// The axis begins at 0 if at least this share is missing; else near what is stored, so that little loss is seen.
const WHOLE_AXIS_SHARE: f64 = 0.2;

/// What is drawn as stored.
const KEPT: &str = "kept";

/// Places that are drawn, at most.
const PLACES_MAX: usize = Place::ALL.len();

/// The figure of a group's typical run, if it has a ledger.
pub(super) fn figure(group: &Group) -> Option<Figure> {
    let run = group.typical();
    let offered = run.figure("offered").filter(|offered| *offered > 0.0)?;
    if run.judged.places.is_empty() {
        return None;
    }
    let steps = steps(run, offered);
    let missing = steps.iter().filter(|row| row.class != KEPT).map(|row| row.to - row.from).sum::<f64>() / 100.0;
    let axis = if missing >= WHOLE_AXIS_SHARE {
        Axis::between("percent of offered", 0.0, 100.0)
    } else {
        let from = (100.0 - 125.0 * missing.max(0.008)).floor();
        Axis::between(&format!("percent of offered; the axis begins at {} %", short(from)), from, 100.0)
    };
    let mut bars =
        vec![Row { name: "offered".into(), value: count(offered as u64), class: "whole", from: 0.0, to: 100.0 }];
    bars.extend(steps);
    Some(Figure::new(format!("{}: where the messages ended", group.name), caption(run, offered), rows(&bars, &axis)))
}

/// A bar for each place that has messages, each beginning where the one before ended; what is stored comes last.
fn steps(run: &Drawn, offered: f64) -> Vec<Row> {
    let is_found = |ended: &&Ended| ended.place == Place::Stored.name();
    let places = || run.judged.places.iter().filter(|ended| ended.messages > 0).take(PLACES_MAX);
    let mut left = 100.0;
    let lost = places().filter(|ended| !is_found(ended)).map(|ended| {
        let part = ended.messages as f64 / offered * 100.0;
        left -= part;
        let class = if ended.exact { "loss" } else { "loss bound" };
        Row { name: ended.place.clone(), value: value(ended, offered), class, from: left, to: left + part }
    });
    let mut rows: Vec<_> = lost.collect();
    let found = places().filter(is_found);
    rows.extend(found.map(|ended| {
        let part = ended.messages as f64 / offered * 100.0;
        Row { name: ended.place.clone(), value: value(ended, offered), class: KEPT, from: 0.0, to: part }
    }));
    rows
}

/// How many, with a mark where that is not known exactly.
fn value(ended: &Ended, offered: f64) -> String {
    let about = if ended.exact { "" } else { "~" };
    format!("{about}{} ({})", count(ended.messages), share(ended.messages as f64 / offered))
}

fn caption(run: &Drawn, offered: f64) -> String {
    let at = |place: Place| {
        run.judged
            .places
            .iter()
            .filter(move |ended| ended.place == place.name())
            .map(|ended| ended.messages)
            .sum::<u64>()
    };
    let stored = at(Place::Stored);
    let others = run.judged.places.iter().filter(|ended| ended.place != Place::Stored.name() && ended.messages > 0);
    let all = count(offered as u64);
    match others.max_by_key(|ended| ended.messages) {
        None => format!("All {all} messages offered are stored."),
        Some(most) => format!(
            "Of {all} messages offered {} ({}) are stored; most of the others ended in {}: {}{}.",
            count(stored),
            share(stored as f64 / offered),
            most.place,
            count(most.messages),
            if most.exact { "" } else { ", not known exactly" },
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::group::named;
    use super::*;
    use crate::report::document::Member;
    use crate::report::judged::Judged;

    #[test]
    fn the_axis_is_whole_when_nothing_is_stored() {
        let place =
            |place: &str, messages: u64| json!({"place": place, "messages": messages, "exact": true, "evidence": ""});
        let run = json!({
            "verdict": "fail", "target": "udp://h:1", "offered": 100,
            "ledger": {"offered": 100, "places": [place("host", 5), place("socket_buffer", 95)]},
        });
        let judged = Judged::new("f", &run, &[], None).unwrap();
        let drawn = Drawn::new(&Member { name: "f".into(), run: &run, target: 0, rate: None }, &judged);
        let group = named(vec![("f".into(), vec![drawn])]).remove(0);
        let page = figure(&group).unwrap().html();
        assert!(page.contains("percent of offered<"), "{page}");
    }
}
