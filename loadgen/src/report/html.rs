//! Runs, comparisons, sweeps and searches as one page of HTML: verdict, figures, tables, and the input itself. It runs no script,
//! asks nobody for anything, and is the same each time. What a run brings along is bounded as it is added.

use super::Verdict;
use super::document::{Document, Kind};
use super::judged::Judged;
use crate::view::wording::{count, share};

mod axis;
mod chart;
mod drawn;
mod figure;
mod generator;
mod group;
mod latency;
mod ledger;
mod loss_runs;
mod markup;
mod overload;
mod record;
mod rows;
mod seconds;
mod svg;
mod tables;
mod thin;
mod trials;

use axis::three;
use drawn::{Drawn, command};
use figure::{Figure, sample};
use group::{Group, SHOWN_MAX, named};
use markup::{escape, shell};
use overload::Sweep;
use record::Record;
use trials::Search;

/// Nothing is fetched, and nothing runs, whatever the texts of a run say.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A page, file by file.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Runs that stand side by side, with the file they are from.
    runs: Vec<(String, Vec<Drawn>)>,
    sweeps: Vec<(String, Sweep)>,
    searches: Vec<(String, Search)>,
    /// Runs of sweeps, for what is said of plan and machine.
    steps: Vec<(String, Vec<Drawn>)>,
    commands: Vec<(String, String)>,
    record: Record,
}

impl Page {
    /// Adds a file, whose runs were judged, each in its place.
    pub fn add(&mut self, document: &Document, judged: &[Judged]) {
        let file = || document.file.clone();
        let words = command(&document.json["command"]);
        if !words.is_empty() {
            self.commands.push((
                file(),
                if words.len() == 1 { words.concat() } else { shell(words.iter().map(String::as_str)) },
            ));
        }
        self.record.add(document);
        let members = document.members();
        let drawn: Vec<_> =
            members.iter().zip(judged).map(|(member, judged)| (member.target, Drawn::new(member, judged))).collect();
        match document.kind {
            Kind::Run | Kind::Compare => {
                let targets = drawn.iter().map(|(target, _)| target + 1).max().unwrap_or(0);
                let mut runs = vec![Vec::new(); targets];
                drawn.into_iter().for_each(|(target, run)| runs[target].push(run));
                self.runs.extend(runs.into_iter().map(|runs| (file(), runs)));
            }
            Kind::Sweep => {
                self.sweeps.push((file(), Sweep::new(document, judged)));
                self.steps.extend(drawn.into_iter().take(1).map(|(_, run)| (file(), vec![run])));
            }
            Kind::Search => self.searches.push((file(), Search::new(document))),
        }
    }

    /// The page. `verdict` is that of all runs that are judged, if any is.
    #[must_use]
    pub fn render(&self, verdict: Option<Verdict>) -> String {
        let groups = named(self.runs.clone());
        let shown = &groups[..groups.len().min(SHOWN_MAX)];
        let title = title(&groups, self.searches.len() + self.sweeps.len());
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>loadgen: {title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
            include_str!("html/style.css")
        );
        html.push_str(&format!(
            "<header>\n<p class=\"kicker\">loadgen report</p>\n<h1>{title}</h1>\n{}</header>\n",
            lead(&groups)
        ));
        html.push_str(&self.banner(verdict, &groups));
        html.push_str(&self.headlines(shown));
        if groups.iter().map(|group| group.runs.len()).sum::<usize>() > 1 {
            push_section(&mut html, "Side by side", key(shown) + &tables::side_by_side(&groups));
        }
        push_figures(&mut html, self.figures(shown));
        let steps = self.sweeps.iter().map(|(file, sweep)| (format!("Step by step: {}", escape(file)), sweep.table()));
        let goals = self.searches.iter().map(|(file, search)| (format!("The limit: {}", escape(file)), search.table()));
        steps.chain(goals).for_each(|(heading, table)| push_section(&mut html, &heading, table));
        push_section(&mut html, "Thresholds", tables::thresholds(&groups));
        push_section(&mut html, "Beside the baseline", tables::changes(&groups));
        if !shown.is_empty() {
            push_section(&mut html, "All figures", tables::all_figures(shown));
        }
        let settings = named(self.runs.iter().chain(&self.steps).cloned().collect());
        if !settings.is_empty() {
            push_section(&mut html, "Plan and environment", tables::settings(&settings));
        }
        push_section(&mut html, "To do it again", self.commands());
        push_section(&mut html, "The record", self.record.html());
        html.push_str("</main>\n</body>\n</html>\n");
        html
    }

    fn banner(&self, verdict: Option<Verdict>, groups: &[Group]) -> String {
        let (class, word) = match verdict {
            Some(Verdict::Pass) => ("pass", "PASS"),
            Some(Verdict::Fail) => ("fail", "FAIL"),
            Some(Verdict::Invalid) => ("invalid", "INVALID"),
            None => ("measured", "MEASURED"),
        };
        let mut told: Vec<_> =
            groups.iter().take(SHOWN_MAX).flat_map(|group| sentences(group, groups.len() > 1)).collect();
        if groups.len() > SHOWN_MAX {
            told.insert(0, tally(groups));
        }
        told.extend(
            self.searches
                .iter()
                .filter_map(|(_, search)| search.sentence.as_deref())
                .map(|told| format!("<p>{}</p>", escape(told))),
        );
        format!(
            "<section class=\"verdict {class}\">\n<p class=\"word\">{word}</p>\n<div>{}</div>\n</section>\n",
            told.join("\n")
        )
    }

    fn headlines(&self, groups: &[Group]) -> String {
        let cards: String = groups.iter().map(|group| card(group, groups.len() > 1)).collect();
        let found = self.searches.iter().flat_map(|(_, search)| search.headlines());
        let found: String = found.map(|(what, much, note)| tile(&what, &much, &note)).collect();
        let found = if found.is_empty() {
            found
        } else {
            format!("<div class=\"card\"><dl class=\"tiles\">{found}</dl></div>\n")
        };
        format!("<section class=\"cards\">\n{cards}{found}</section>\n")
    }

    /// Every figure that there is data for.
    fn figures(&self, groups: &[Group]) -> Vec<Figure> {
        let ended = groups.iter().filter_map(ledger::figure);
        let seconds =
            groups.iter().filter_map(seconds::rates).chain(seconds::missing(groups)).chain(seconds::queued(groups));
        let overload = self.sweeps.iter().flat_map(|(_, sweep)| sweep.figures());
        let trials = self.searches.iter().flat_map(|(_, search)| search.figures());
        let in_a_row = groups.iter().filter_map(loss_runs::figure);
        let generator = generator::lag(groups).into_iter().chain(generator::cost(groups));
        ended
            .chain(seconds)
            .chain(latency::figure(groups))
            .chain(overload)
            .chain(trials)
            .chain(in_a_row)
            .chain(generator)
            .collect()
    }

    fn commands(&self) -> String {
        let is_one = self.commands.len() == 1;
        let command = |(file, command): &(String, String)| {
            let file = if is_one { String::new() } else { format!("<p>{}</p>\n", escape(file)) };
            format!("{file}<pre>{}</pre>\n", escape(command))
        };
        self.commands.iter().map(command).collect()
    }
}

/// Targets, if they are few.
fn title(groups: &[Group], others: usize) -> String {
    match groups {
        [] if others == 1 => "the limit of a collector".into(),
        [] => format!("{others} searches and sweeps"),
        [one] => escape(&one.words),
        some if some.len() <= 3 => some.iter().map(|group| escape(&group.words)).collect::<Vec<_>>().join(", "),
        many => format!("{} runs side by side", many.iter().map(|group| group.runs.len()).sum::<usize>()),
    }
}

/// When, by what, and where it was run.
fn lead(groups: &[Group]) -> String {
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

/// How many runs stand how.
fn tally(groups: &[Group]) -> String {
    let runs = || groups.iter().flat_map(|group| &group.runs);
    let number = |verdict| runs().filter(|run| run.judged.verdict == verdict).count();
    let [passed, failed, invalid] = [Verdict::Pass, Verdict::Fail, Verdict::Invalid].map(number);
    format!(
        "<p>Of {} runs {passed} passed, {failed} failed, and {invalid} are invalid. Figures and sentences are of the first {SHOWN_MAX}.</p>",
        runs().count()
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
    let kept = median("stored").or(median("received"));
    let lost = median("lost").or(median("counted_lost"));
    let ms = |value: f64| format!("{} ms", three(value));
    let us = |value: f64| format!("{} us", three(value / 1e3));
    let tiles = [
        lost.map(|lost| ("lost", whole(lost), of_offered(lost))),
        kept.map(|kept| ("stored", whole(kept), of_offered(kept))),
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
fn key(groups: &[Group]) -> String {
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

fn push_figures(html: &mut String, figures: Vec<Figure>) {
    let figures: String = figures.iter().map(Figure::html).collect();
    push_section(
        html,
        "Figures",
        if figures.is_empty() { figures } else { format!("<div class=\"figures\">\n{figures}</div>\n") },
    );
}

fn push_section(html: &mut String, heading: &str, content: String) {
    if !content.is_empty() {
        html.push_str(&format!("<section>\n<h2>{heading}</h2>\n{content}</section>\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn days_of_seconds_make_a_page_of_a_bounded_size_with_the_one_bad_second_in_it() {
        let day = 86_400u64;
        let second =
            |at: u64| json!({"at": at, "sent": 100 * at, "received": 100 * at, "socket_queued_bytes": at % 4_001});
        let stored: Vec<_> = (0..day).map(|second| if second == 43_210 { 93 } else { 100 }).collect();
        let run = json!({
            "schema": "loadgen.run/1", "verdict": "fail", "target": "udp://h:1", "plan": {"seconds": day},
            "offered_by_second": vec![100; day as usize], "stored_by_second": stored,
            "series": (1..=day).map(second).collect::<Vec<_>>(),
        });
        let document = Document::new("day.json".into(), run).unwrap();
        let judged = Judged::new("day.json", &document.json, &[], None).unwrap();
        let mut page = Page::default();
        for _ in 0..=SHOWN_MAX {
            page.add(&document, std::slice::from_ref(&judged));
        }
        let html = page.render(Some(Verdict::Fail));
        assert!(html.contains("A lost from second 43,211 on, most of it in second 43,211: 7"));
        assert!(html.len() < record::BYTES_MAX + (1 << 20), "{}", html.len());
    }
}
