//! Runs, comparisons, sweeps and searches as one page of HTML: verdict, figures, tables, and the input itself. It runs no script,
//! asks nobody for anything, and is the same each time. What a run brings along is bounded as it is added.

use std::collections::BTreeMap;

use super::Verdict;
use super::document::{Document, Kind};
use super::judged::Judged;

mod axis;
mod chart;
mod drawn;
mod figure;
mod generator;
mod group;
mod headline;
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

use drawn::{Drawn, command};
use figure::Figure;
use group::{Group, SHOWN_MAX, named};
use headline::{banner, headlines, key, lead, title};
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
    /// Runs of sweeps, of one target each.
    steps: Vec<(String, Vec<Drawn>)>,
    /// Each command, with the files that it made.
    commands: Vec<(String, Vec<String>)>,
    record: Record,
}

impl Page {
    /// Adds a file, whose runs were judged, each in its place.
    pub fn add(&mut self, document: &Document, judged: &[Judged]) {
        let file = || document.file.clone();
        let words = command(&document.json["command"]);
        let command = if words.len() == 1 { words.concat() } else { shell(words.iter().map(String::as_str)) };
        match self.commands.iter_mut().find(|(known, _)| *known == command) {
            Some((_, files)) => files.push(file()),
            None if command.is_empty() => {}
            None => self.commands.push((command, vec![file()])),
        }
        self.record.add(document);
        let mut runs = BTreeMap::<_, Vec<_>>::new();
        for (member, judged) in document.members().iter().zip(judged) {
            runs.entry(member.target).or_default().push(Drawn::new(member, judged));
        }
        let runs = runs.into_values().map(|runs| (file(), runs));
        match document.kind {
            Kind::Run | Kind::Compare => self.runs.extend(runs),
            Kind::Sweep => {
                self.sweeps.push((file(), Sweep::new(document, judged)));
                self.steps.extend(runs);
            }
            Kind::Search => self.searches.push((file(), Search::new(document))),
        }
    }

    /// The page. `verdict` is that of all runs that are judged, if any is.
    #[must_use]
    pub fn render(&self, verdict: Option<Verdict>) -> String {
        let groups = named(self.runs.clone());
        let steps = self.steps.iter().filter(|(_, runs)| runs.iter().all(|run| run.judged.counts));
        let judged = named(self.runs.iter().chain(steps).cloned().collect());
        let shown = &groups[..groups.len().min(SHOWN_MAX)];
        let targets = groups.iter().map(|group| group.typical().target.as_str());
        let swept = self.sweeps.iter().flat_map(|(_, sweep)| sweep.urls.iter().map(String::as_str));
        let searched = self.searches.iter().map(|(_, search)| search.target.as_str());
        let title = title(&targets.chain(swept).chain(searched).collect());
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
        let found = self.sweeps.iter().map(|(_, sweep)| sweep.sentence());
        let found = found.chain(self.searches.iter().filter_map(|(_, search)| search.sentence.clone()));
        let searches = || self.searches.iter().map(|(_, search)| search);
        html.push_str(&banner(verdict, &groups, &judged, found));
        html.push_str(&headlines(shown, searches()));
        if groups.iter().map(|group| group.runs.len()).sum::<usize>() > 1 {
            push_section(&mut html, "Side by side", key(shown) + &tables::side_by_side(&groups));
        }
        push_figures(&mut html, self.figures(shown));
        let rates = self.sweeps.iter().map(|(file, sweep)| (format!("Step by step: {}", escape(file)), sweep.table()));
        let goals = self.searches.iter().map(|(file, search)| (format!("The limit: {}", escape(file)), search.table()));
        rates.chain(goals).for_each(|(heading, table)| push_section(&mut html, &heading, table));
        push_section(&mut html, "Thresholds", tables::thresholds(&judged));
        push_section(&mut html, "Beside the baseline", tables::changes(&judged));
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

    /// Every figure that there is data for.
    fn figures(&self, groups: &[Group]) -> Vec<Figure> {
        let ended = groups.iter().filter_map(ledger::figure);
        let seconds =
            groups.iter().filter_map(seconds::rates).chain(seconds::missing(groups)).chain(seconds::queued(groups));
        let overload = self.sweeps.iter().flat_map(|(_, sweep)| sweep.figures());
        let is_alone = self.searches.len() == 1;
        let trials = self.searches.iter().flat_map(|(file, search)| search.figures(if is_alone { "" } else { file }));
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
        let command = |(command, files): &(String, Vec<String>)| {
            let files = escape(&files.join(", "));
            let files =
                if self.commands.len() > 1 { format!("<p class=\"lead\">{files}</p>\n") } else { String::new() };
            format!("{files}<pre>{}</pre>\n", escape(command))
        };
        self.commands.iter().map(command).collect()
    }
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
        for _ in 0..3 {
            page.add(&document, std::slice::from_ref(&judged));
        }
        let html = page.render(Some(Verdict::Fail));
        assert!(html.contains("A lost from second 43,211 on, most of it in second 43,211: 7"));
        assert!(html.len() < record::BYTES_MAX + (1 << 20), "{}", html.len());
    }
}
