//! Figures, thresholds, changes and settings in numbers, side by side.

use std::collections::BTreeSet;

use super::axis::short;
use super::figure::sample;
use super::group::{Group, SHOWN_MAX};
use super::markup::{escape, table};
use crate::compare::{cell, spread};
use crate::figures::{FIGURES, Figure, Unit, figures};
use crate::report::Verdict;

/// What is told of runs before the figures.
const KEY: [&Figure; 12] = figures([
    "offered",
    "achieved_rate",
    "lost",
    "loss_ratio",
    "duplicates",
    "corrupted",
    "latency.p50",
    "latency.p99",
    "latency.max",
    "latency_synced.p99",
    "sender_cpu_ns_per_message",
    "collector.cpu_ns_per_message",
]);

/// Settings that are told, at most; a run has about 25.
const SETTINGS_MAX: usize = 100;

/// A group's marker and name.
pub(super) fn heading(group: &Group) -> String {
    format!("<span class=\"run\">{}{}</span>", sample(group.style), escape(&group.name))
}

fn heads(groups: &[Group]) -> Vec<String> {
    std::iter::once(String::new()).chain(groups.iter().map(heading)).collect()
}

/// What is told first: a column for each group, or a row where they are many.
pub(super) fn side_by_side(groups: &[Group]) -> String {
    if groups.len() <= SHOWN_MAX {
        return columns(groups, KEY);
    }
    let head = ["", "verdict"].into_iter().chain(KEY.map(|figure| figure.name));
    let row = |group: &Group| {
        let mut row = vec![format!("{} {}", escape(&group.name), escape(&group.words)), verdicts(group)];
        row.extend(KEY.map(|figure| median(group, figure)));
        row
    };
    table(&head.map(str::to_owned).collect::<Vec<_>>(), &groups.iter().map(row).collect::<Vec<_>>())
}

/// Every figure that any of some groups has.
pub(super) fn all_figures(groups: &[Group]) -> String {
    columns(groups, FIGURES)
}

/// Verdicts and figures, a row each.
fn columns(groups: &[Group], figures: impl IntoIterator<Item = &'static Figure>) -> String {
    let mut rows = vec![std::iter::once("verdict".to_owned()).chain(groups.iter().map(verdicts)).collect::<Vec<_>>()];
    let runs = || groups.iter().flat_map(|group| &group.runs);
    let known = figures.into_iter().filter(|figure| runs().any(|run| run.figure(figure.name).is_some()));
    rows.extend(known.map(|figure| {
        let medians = groups.iter().map(|group| median(group, figure));
        std::iter::once(breakable(figure.name)).chain(medians).collect()
    }));
    table(&heads(groups), &rows)
}

/// A dotted name that goes on in the next line where the column is narrow.
fn breakable(name: &str) -> String {
    escape(name).replace('.', ".<wbr>").replace('_', "_<wbr>")
}

/// The median of a figure, with least and most where runs differ.
fn median(group: &Group, figure: &Figure) -> String {
    cell(figure, spread(group.telling().iter().filter_map(|run| run.figure(figure.name)).collect()))
}

/// How the runs of a group stand: one verdict, or how many there are of each.
fn verdicts(group: &Group) -> String {
    let all: Vec<_> = group.runs.iter().map(|run| run.judged.verdict).collect();
    if let [one] = all[..] { one.to_string() } else { Verdict::tally(&all) }
}

/// What was demanded, and what became of it in each group; empty if nothing was. Where groups are many, only what was breached.
pub(super) fn thresholds(groups: &[Group]) -> String {
    let demands = groups.iter().flat_map(|group| &group.runs).flat_map(|run| &run.demands);
    let is_told = |passed: bool| groups.len() <= SHOWN_MAX || !passed;
    let all: BTreeSet<_> =
        demands.filter(|(_, _, passed)| is_told(*passed)).map(|(threshold, ..)| threshold.as_str()).collect();
    if all.is_empty() {
        return String::new();
    }
    let row = |threshold: &&str| {
        let kept = groups.iter().map(|group| (group, kept(group, threshold)));
        if groups.len() <= SHOWN_MAX {
            return [vec![escape(threshold)], kept.map(|(_, told)| told).collect()].concat();
        }
        let breached = kept
            .filter(|(_, told)| told.contains("breached"))
            .map(|(group, told)| format!("{}: {told}", escape(&group.name)));
        vec![escape(threshold), breached.collect::<Vec<_>>().join("; ")]
    };
    let head = if groups.len() <= SHOWN_MAX { heads(groups) } else { vec![String::new(), "breached by".into()] };
    table(&head, &all.iter().map(row).collect::<Vec<_>>())
}

/// Whether the runs of a group keep a threshold, and the first value that does not.
fn kept(group: &Group, threshold: &str) -> String {
    let asked: Vec<_> = group.runs.iter().flat_map(|run| &run.demands).filter(|(is, ..)| is == threshold).collect();
    let breached: Vec<_> = asked.iter().filter(|(.., passed)| !passed).collect();
    let Some((_, actual, _)) = breached.first() else {
        return if asked.is_empty() { "-" } else { "kept" }.to_owned();
    };
    let figure = threshold.split(['<', '>', '=']).next().and_then(|name| Figure::named(name.trim()).ok());
    let measured = match (figure, actual) {
        (_, None) => "not measured".to_owned(),
        (Some(figure), actual) => figure.show(*actual),
        (None, Some(actual)) => short(*actual),
    };
    let runs = if asked.len() > 1 { format!(" by {} of {} runs", breached.len(), asked.len()) } else { String::new() };
    format!("<strong>breached</strong>{runs}: {measured}")
}

/// Every run beside the baseline; empty without one.
pub(super) fn changes(groups: &[Group]) -> String {
    let runs = groups.iter().flat_map(|group| group.runs.iter().map(move |run| (group, run)));
    let rows = runs.flat_map(|(group, run)| {
        run.judged.changes.iter().map(|change| {
            let figure = change.figure;
            vec![
                escape(figure.name),
                heading(group),
                figure.show(Some(change.old)),
                figure.show(change.new),
                change.growth().unwrap_or_else(|| "-".into()),
                Unit::Share.show(change.limit),
                if change.regressed { "<strong>regression</strong>" } else { "kept" }.to_owned(),
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    let head = ["figure", "", "was", "is", "change", "may become worse by", ""].map(str::to_owned);
    if rows.is_empty() { String::new() } else { table(&head, &rows) }
}

/// Plan, versions and machine of the groups; where these are many, what all have in common.
pub(super) fn settings(groups: &[Group]) -> String {
    let names: BTreeSet<_> = groups.iter().flat_map(|group| group.typical().judged.facts.keys()).collect();
    let names = names.into_iter().filter(|name| *name != "command").take(SETTINGS_MAX);
    let facts = |name: &str| groups.iter().map(|group| fact(group, name)).collect::<Vec<_>>();
    if groups.len() > SHOWN_MAX {
        let common = |name: &String| {
            let facts = facts(name);
            let different: BTreeSet<_> = facts.iter().collect();
            let told =
                if different.len() == 1 { escape(&facts[0]) } else { format!("{} different ones", different.len()) };
            vec![breakable(name), told]
        };
        return table(&[String::new(), "all runs".into()], &names.map(common).collect::<Vec<_>>());
    }
    let row = |name: &String| [vec![breakable(name)], facts(name).iter().map(|fact| escape(fact)).collect()].concat();
    table(&heads(groups), &names.map(row).collect::<Vec<_>>())
}

/// A fact of the typical run; of plans that differ, as those of a sweep do, least and most, or how many there are.
fn fact(group: &Group, name: &str) -> String {
    let all: BTreeSet<_> = group.runs.iter().filter_map(|run| run.judged.fact(name)).collect();
    if all.len() < 2 || !name.starts_with("plan.") {
        return group.typical().judged.fact(name).unwrap_or("-").to_owned();
    }
    let numbers: Option<Vec<f64>> = all.iter().map(|fact| fact.parse().ok()).collect();
    match numbers.and_then(spread) {
        Some([least, _, most]) => format!("{least} .. {most}"),
        None => format!("{} different ones", all.len()),
    }
}
