//! A search for the most that is not lost: its answers, and the trials that led there.

use serde_json::Value;

use super::axis::Axis;
use super::chart::{Chart, Form, Series};
use super::figure::Figure;
use super::markup::{escape, table};
use super::overload::per_second;
use super::thin::Point;
use crate::report::document::Document;
use crate::view::wording::{count, share};

/// Trials that are drawn, at most: the last ones.
const TRIALS_MAX: usize = 500;

/// Goals that are told, at most.
const GOALS_MAX: usize = 16;

/// What became of a trial, with its marker.
const OUTCOMES: [(usize, &str); 3] = [(0, "lost nothing"), (2, "lost messages"), (4, "invalid")];

/// A search, as it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Search {
    pub(super) target: String,
    /// What was found, in a sentence.
    pub(super) sentence: Option<String>,
    /// Which search it was, when and where.
    facts: Vec<String>,
    goals: Vec<Goal>,
    burst: Value,
    trials: Vec<Trial>,
    /// How many there were.
    number: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Goal {
    name: String,
    lower: Value,
    upper: Value,
    throughput: Value,
    limit: String,
    sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Trial {
    is_burst: bool,
    load: f64,
    /// None of an invalid one.
    loss_ratio: Option<f64>,
}

impl Search {
    pub(super) fn new(document: &Document) -> Self {
        let json = &document.json;
        let list = |name: &str| json[name].as_array().map_or(&[][..], Vec::as_slice).to_vec();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let goal = |goal: &Value| Goal {
            name: text(&goal["name"]),
            lower: goal["lower"].clone(),
            upper: goal["upper"].clone(),
            throughput: goal["conditional_throughput"].clone(),
            limit: text(&goal["limit"]),
            sentence: text(&goal["sentence"]),
        };
        let trial = |trial: &Value| {
            let loss_ratio = trial["loss_ratio"].as_f64().filter(|_| trial["invalid"].is_null());
            Some(Trial { is_burst: trial["kind"] == "burst", load: trial["load"].as_f64()?, loss_ratio })
        };
        let mut trials: Vec<_> = list("trials").iter().filter_map(trial).collect();
        let number = trials.len();
        trials.drain(..number.saturating_sub(TRIALS_MAX));
        let environment = &json["environment"];
        let facts = [
            ("preset ", &json["preset"]),
            ("", &json["plan"]),
            ("", &json["started"]),
            ("loadgen ", &json["version"]),
            ("kernel ", &environment["kernel"]),
            ("processors ", &environment["cpus"]),
        ];
        let fact = |(before, value): (&str, &Value)| match value {
            Value::String(value) => Some(format!("{before}{value}")),
            Value::Number(value) => Some(format!("{before}{value}")),
            _ => None,
        };
        Self {
            facts: facts.into_iter().filter_map(fact).collect(),
            target: text(&json["target"]),
            sentence: json["sentence"].as_str().map(str::to_owned),
            goals: list("goals").iter().take(GOALS_MAX).map(goal).collect(),
            burst: json["burst"].clone(),
            trials,
            number,
        }
    }

    /// A headline figure for each goal, and for the burst: what, how much, and of what target.
    pub(super) fn headlines(&self) -> Vec<(String, String, String)> {
        let goal = |goal: &Goal| (goal.name.clone(), per_second(&goal.lower), goal.limit.clone());
        let burst = self.burst["lower"].as_f64().map(|messages| {
            (
                "largest burst".into(),
                count(messages as u64),
                self.burst["limit"].as_str().unwrap_or_default().to_owned(),
            )
        });
        let limited = |(what, much, by): (String, String, String)| {
            let note = match by.as_str() {
                "" => self.target.clone(),
                "max_load" => "the most that was tried".into(),
                "min_load" => "the least that was tried".into(),
                "unfinished" => "not found before the end".into(),
                by => format!("limited by the {by}"),
            };
            (what, much, note)
        };
        self.goals.iter().map(goal).chain(burst).map(limited).collect()
    }

    /// Goals and burst, in numbers, and what was searched.
    pub(super) fn table(&self) -> String {
        let goal = |goal: &Goal| {
            let rates = [&goal.lower, &goal.upper, &goal.throughput].map(per_second);
            [vec![escape(&goal.name)], rates.to_vec(), vec![escape(&goal.sentence)]].concat()
        };
        let mut rows: Vec<_> = self.goals.iter().map(goal).collect();
        if self.burst.is_object() {
            let messages =
                |name: &str| self.burst[name].as_f64().map_or_else(|| "-".into(), |messages| count(messages as u64));
            let sentence = escape(self.burst["sentence"].as_str().unwrap_or_default());
            rows.push(vec!["burst, messages".into(), messages("lower"), messages("upper"), "-".into(), sentence]);
        }
        let head = ["goal", "holds at", "does not at", "delivered there", ""];
        let facts: Vec<_> = std::iter::once(&self.target).chain(&self.facts).map(|fact| escape(fact)).collect();
        format!("{}<p class=\"lead\">{}</p>\n", table(&head.map(str::to_owned), &rows), facts.join(" &middot; "))
    }

    /// The trials in their order, and what was lost at each load; `file` names the search where there are several.
    pub(super) fn figures(&self, file: &str) -> Vec<Figure> {
        let of = if file.is_empty() { String::new() } else { format!(" ({file})") };
        let lossless = self.goals.iter().find(|goal| goal.name == "lossless").and_then(|goal| goal.lower.as_f64());
        let burst = self.burst["lower"].as_f64();
        [
            self.scatter(&of, false, "messages/s", lossless),
            self.losses(&of, lossless),
            self.scatter(&of, true, "messages in a burst", burst),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn trials(&self, is_burst: bool) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(move |trial| trial.is_burst == is_burst)
    }

    fn scatter(&self, of: &str, is_burst: bool, unit: &str, found: Option<f64>) -> Option<Figure> {
        let trials: Vec<_> = self.trials(is_burst).enumerate().collect();
        let most = trials.iter().map(|(_, trial)| trial.load).fold(0.0, f64::max);
        if trials.is_empty() {
            return None;
        }
        let mut chart = Chart::new(Axis::up_to("trial", trials.len() as f64), Axis::from_zero(unit, most));
        let outcome = |trial: &Trial| trial.loss_ratio.map_or(2, |ratio| usize::from(ratio > 0.0));
        let points = |wanted: usize| -> Vec<Point> {
            let wanted = trials.iter().filter(|(_, trial)| outcome(trial) == wanted);
            wanted.map(|(at, trial)| (*at as f64 + 1.0, trial.load)).collect()
        };
        for (at, (style, _)) in OUTCOMES.into_iter().enumerate() {
            chart.series(&Series { name: String::new(), style, form: Form::Points, points: points(at) });
        }
        if let Some(found) = found {
            chart.mark_y(found, if is_burst { "survives" } else { "lossless" });
        }
        let [kept, lost, invalid] = [0, 1, 2].map(|at| points(at).len());
        let drawn = if self.number > TRIALS_MAX {
            format!(" Only the last {TRIALS_MAX} of {} are drawn.", self.number)
        } else {
            String::new()
        };
        let caption =
            format!("{} trials: {kept} lost nothing, {lost} lost messages, {invalid} invalid.{drawn}", trials.len());
        let title =
            format!("The search for the {}, trial by trial{of}", if is_burst { "largest burst" } else { "rate" });
        let key = OUTCOMES.map(|(style, words)| (style, words.to_owned())).to_vec();
        Some(Figure::new(title, caption, chart.finish()).with_key(key))
    }

    fn losses(&self, of: &str, lossless: Option<f64>) -> Option<Figure> {
        let mut points: Vec<_> =
            self.trials(false).filter_map(|trial| Some((trial.load, trial.loss_ratio? * 100.0))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (most_load, _) = *points.last()?;
        let (worst_load, most) = points.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let mut chart =
            Chart::new(Axis::from_zero("offered messages/s", most_load), Axis::from_zero("percent lost", most));
        if let Some(rate) = lossless {
            chart.mark_x(rate, "lossless");
        }
        chart.series(&Series { name: String::new(), style: 0, form: Form::Points, points });
        let caption = match most {
            0.0 => "No trial lost a message.".to_owned(),
            most => {
                format!("The most was lost at {}: {}.", crate::view::wording::rate(worst_load), share(most / 100.0))
            }
        };
        Some(Figure::new(format!("What each load lost{of}"), caption, chart.finish()))
    }
}
