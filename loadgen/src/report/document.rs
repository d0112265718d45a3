//! What a file holds that `-o` wrote: one run, or runs that belong together.

use serde_json::Value;

use super::SCHEMA;
use crate::{compare, search, sweep};

/// What wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `run`.
    Run,
    /// `compare`: runs of one plan to several targets.
    Compare,
    /// `sweep`: runs at several rates.
    Sweep,
    /// `search`: trials, of which the runs are not kept.
    Search,
}

impl Kind {
    /// Every kind.
    const ALL: [Self; 4] = [Self::Run, Self::Compare, Self::Sweep, Self::Search];

    const fn schema(self) -> &'static str {
        match self {
            Self::Run => SCHEMA,
            Self::Compare => compare::SCHEMA,
            Self::Sweep => sweep::SCHEMA,
            Self::Search => search::SCHEMA,
        }
    }
}

/// A file and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its name, as given.
    pub file: String,
    /// What wrote it.
    pub kind: Kind,
    /// All of it, of any version of its schema: not all fields need be known.
    pub json: Value,
}

/// A run in a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<'a> {
    /// The file, and which of its runs, from 1, if it has several.
    pub name: String,
    /// The run.
    pub run: &'a Value,
    /// Which of the document's targets, from 0.
    pub target: usize,
    /// Messages a second that a sweep asked for.
    pub rate: Option<f64>,
}

impl Document {
    /// The document of `file`.
    ///
    /// # Errors
    /// That it has another schema, or what a run in it lacks.
    pub fn new(file: String, json: Value) -> Result<Self, String> {
        let kind = Kind::ALL.into_iter().find(|kind| json["schema"] == kind.schema()).ok_or_else(|| {
            let known = Kind::ALL.map(|kind| format!("{:?}", kind.schema()));
            format!("schema {}, but this program knows only {}", json["schema"], known.join(", "))
        })?;
        let document = Self { file, kind, json };
        let strange = document.members().into_iter().find(|member| member.run["schema"] != SCHEMA);
        match strange {
            Some(member) => Err(format!("{}: schema {}, not {SCHEMA:?}", member.name, member.run["schema"])),
            None => Ok(document),
        }
    }

    /// Its runs, in the order in which they were made.
    #[must_use]
    pub fn members<'a>(&'a self) -> Vec<Member<'a>> {
        if self.kind == Kind::Run {
            return vec![Member { name: self.file.clone(), run: &self.json, target: 0, rate: None }];
        }
        let turns = self.json["runs"].as_array().map_or(&[][..], Vec::as_slice);
        let member = |(number, turn): (usize, &'a Value)| Member {
            name: format!("{}#{}", self.file, number + 1),
            run: &turn["run"],
            target: turn["target"].as_u64().unwrap_or(0) as usize,
            rate: turn["rate"].as_f64(),
        };
        turns.iter().enumerate().map(member).collect()
    }

    /// Whether its runs are judged as they stand. Those of a sweep are meant to lose.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        matches!(self.kind, Kind::Run | Kind::Compare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn runs_are_found_in_every_kind_of_file_and_others_are_refused() {
        let run = |number: u64| json!({"schema": SCHEMA, "run": number});
        let one = Document::new("a".into(), run(1)).unwrap();
        assert_eq!(one.members(), [Member { name: "a".into(), run: &run(1), target: 0, rate: None }]);
        let sweep = json!({"schema": "loadgen.sweep/1", "runs": [{"target": 1, "rate": 5.0, "run": run(2)}]});
        let sweep = Document::new("b".into(), sweep).unwrap();
        assert_eq!(sweep.members(), [Member { name: "b#1".into(), run: &run(2), target: 1, rate: Some(5.0) }]);
        assert!(one.is_judged() && !sweep.is_judged());
        let search = Document::new("c".into(), json!({"schema": "loadgen.search/1"})).unwrap();
        assert_eq!((search.kind, search.members()), (Kind::Search, vec![]));
        let told = Document::new("d".into(), json!({"schema": "loadgen.run/2"})).unwrap_err();
        assert!(told.contains("\"loadgen.run/2\"") && told.contains("\"loadgen.sweep/1\""), "{told}");
        let told = Document::new("e".into(), json!({"schema": compare::SCHEMA, "runs": [{"target": 0}]})).unwrap_err();
        assert_eq!(told, "e#1: schema null, not \"loadgen.run/1\"");
    }
}
