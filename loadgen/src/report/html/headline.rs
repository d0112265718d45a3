//! What is told first: what was run, how it stands, and the figures that say most.

use std::collections::BTreeSet;

use super::axis::three;
use super::figure::sample;
use super::group::{Group, SHOWN_MAX};
use super::markup::escape;
use super::tables;
use super::trials::Search;
use crate::report::Verdict;
use crate::report::judged::Judged;
use crate::view::wording::{count, share};

/// Runs of which the banner tells why they stand as the whole does, at most, beside those that are shown.
const REASONS_MAX: usize = 6;

/// Targets that have room in a title.
const TITLE_TARGETS_MAX: usize = 3;

/// The verdict, with a sentence or two about each group, why others that were `judged` stand as the whole does, and what sweeps and
/// searches `found`.
pub(super) fn banner(
    verdict: Option<Verdict>,
    groups: &[Group],
    judged: &[Group],
    found: impl Iterator<Item = String>,
) -> String {
    let (class, word) = match verdict {
        Some(Verdict::Pass) => ("pass", "PASS"),
        Some(Verdict::Fail) => ("fail", "FAIL"),
        Some(Verdict::Invalid) => ("invalid", "INVALID"),
        None => ("measured", "MEASURED"),
    };
    let all = (groups.len() > SHOWN_MAX).then(|| tally(groups));
    let each = groups.iter().take(SHOWN_MAX).flat_map(|group| sentences(group, groups.len() > 1));
    let found = found.map(|told| format!("<p>{}</p>", escape(&told)));
    let told: Vec<_> = all.into_iter().chain(each).chain(reasons(verdict, groups, judged)).chain(found).collect();
    format!(
        "<section class=\"verdict {class}\">\n<p class=\"word\">{word}</p>\n<div>{}</div>\n</section>\n",
        told.join("\n")
    )
}

/// A card for each group, and one for what was searched.
pub(super) fn headlines<'a>(groups: &[Group], searches: impl Iterator<Item = &'a Search>) -> String {
    let cards: String = groups.iter().map(|group| card(group, groups.len() > 1)).collect();
    let found: String =
        searches.flat_map(Search::headlines).map(|(what, much, note)| tile(&what, &much, &note)).collect();
    let found =
        if found.is_empty() { found } else { format!("<div class=\"card\"><dl class=\"tiles\">{found}</dl></div>\n") };
    let all = cards + &found;
    if all.is_empty() { all } else { format!("<section class=\"cards\">\n{all}</section>\n") }
}

/// Targets, if they are few.
pub(super) fn title(targets: &BTreeSet<&str>) -> String {
    match targets.len() {
        0 => "no runs".into(),
        1..=TITLE_TARGETS_MAX => targets.iter().rev().map(|target| escape(target)).collect::<Vec<_>>().join(", "),
        many => format!("{many} targets side by side"),
    }
}

/// When, by what, and where it was run.
pub(super) fn lead(groups: &[Group]) -> String {
    let Some(run) = groups.first().map(Group::typical) else { return String::new() };
    let fact = |name: &str, before: &str, after: &str| {
        run.judged.fact(name).map(|fact| format!("{before}{}{after}", escape(fact)))
    };
    let facts = [
        fact("started", "", ""),
        fact("version", "loadgen ", ""),
        fact("environment.kernel", "kernel ", ""),
        fact("environment.cpus", "", " processors"),
    ];
    format!("<p class=\"lead\">{}</p>\n", facts.into_iter().flatten().collect::<Vec<_>>().join(" &middot; "))
}

/// The ledger's sentence about a group's typical run, and why it failed if the sentence does not say so.
fn sentences(group: &Group, is_named: bool) -> Vec<String> {
    let run = group.typical();
    let name = if is_named { format!("{}: ", tables::heading(group)) } else { String::new() };
    let sentence = run.judged.sentence.iter();
    let is_new = |reason: &&String| run.judged.sentence.as_ref().is_none_or(|sentence| !sentence.contains(*reason));
    let reason = run.judged.reason.iter().filter(is_new);
    sentence
        .map(|told| format!("<p>{name}{}</p>", escape(told)))
        .chain(reason.map(|told| format!("<p class=\"reason\">{name}{}</p>", escape(told))))
        .collect()
}

/// Why runs of which no sentence is shown have the `verdict` of the whole.
fn reasons(verdict: Option<Verdict>, groups: &[Group], judged: &[Group]) -> Vec<String> {
    let shown: Vec<_> = groups.iter().take(SHOWN_MAX).map(|group| &group.typical().judged.file).collect();
    let runs = judged.iter().flat_map(|group| &group.runs).map(|run| &run.judged);
    let others = runs.filter(|run| Some(run.verdict) == verdict && !shown.contains(&&run.file));
    let reason = |run: &Judged| {
        let reason = run.reason.as_ref()?;
        Some(format!("<p class=\"reason\">{}: {}</p>", escape(&run.file), escape(reason)))
    };
    let mut told: Vec<_> = others.filter_map(reason).collect();
    if told.len() > REASONS_MAX {
        let more = told.len() - REASONS_MAX;
        told.truncate(REASONS_MAX);
        told.push(format!("<p class=\"reason\">and {more} more</p>"));
    }
    told
}

/// How many runs stand how.
fn tally(groups: &[Group]) -> String {
    let runs: Vec<_> = groups.iter().flat_map(|group| &group.runs).map(|run| run.judged.verdict).collect();
    format!(
        "<p>{} runs: {}. Figures and sentences are of the first {SHOWN_MAX}.</p>",
        runs.len(),
        Verdict::tally(&runs)
    )
}

fn tile(what: &str, much: &str, note: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!("<dd class=\"small\">{}</dd>", escape(note)) };
    format!("<div><dt>{}</dt><dd>{}</dd>{note}</div>\n", escape(what), escape(much))
}

/// The figures of a group that say most: medians.
fn card(group: &Group, is_named: bool) -> String {
    let median = |name| group.median(name);
    let whole = |value: f64| count(value.round() as u64);
    let of_offered = |value: f64| {
        median("offered").filter(|offered| *offered > 0.0).map(|offered| share((value / offered).min(1.0)))
    };
    let kept = median("stored").map(|stored| ("stored", stored));
    let kept = kept.or(median("received").map(|received| ("received", received)));
    let lost = median("lost").or(median("counted_lost"));
    let ms = |value: f64| format!("{} ms", three(value));
    let us = |value: f64| format!("{} us", three(value / 1e3));
    let tiles = [
        lost.map(|lost| ("lost", whole(lost), of_offered(lost))),
        kept.map(|(what, kept)| (what, whole(kept), of_offered(kept))),
        median("achieved_rate").map(|rate| ("messages a second", whole(rate), None)),
        median("latency.p99")
            .map(|p99| ("99 of 100 within", ms(p99), median("latency.max").map(|max| format!("longest {}", ms(max))))),
        median("sender_cpu_ns_per_message").map(|ns| ("sender, per message", us(ns), None)),
        median("collector.cpu_ns_per_message").map(|ns| ("collector, per message", us(ns), None)),
    ];
    let tiles: String =
        tiles.into_iter().flatten().map(|(what, much, note)| tile(what, &much, &note.unwrap_or_default())).collect();
    let name = if is_named {
        format!("<h2>{} <span>{}</span></h2>\n", tables::heading(group), escape(&group.words))
    } else {
        String::new()
    };
    format!("<div class=\"card\">\n{name}<dl class=\"tiles\">\n{tiles}</dl>\n</div>\n")
}

/// Which lines are whose, and what figures show of several runs.
pub(super) fn key(groups: &[Group]) -> String {
    let entry = |group: &Group| {
        format!("<li>{}<strong>{}</strong> {}</li>", sample(group.style), escape(&group.name), escape(&group.words))
    };
    let several = groups.iter().any(|group| group.runs.len() > 1);
    let typical = if several {
        "<p>Medians, with least and most. Figures show the run in the middle by loss, then by latency.</p>\n"
    } else {
        ""
    };
    format!("<ul class=\"key\">{}</ul>\n{typical}", groups.iter().map(entry).collect::<String>())
}
