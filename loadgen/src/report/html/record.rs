//! The files themselves, in the page: with them the page is the whole record.

use serde_json::Value;

use super::markup::{embed, escape};
use crate::report::document::Document;
use crate::view::wording::count;

/// All that is embedded in a page, at most.
pub(super) const BYTES_MAX: usize = 8 << 20;

/// What a run has for each second or flow: left out of files that have no room otherwise.
const LONG: [&str; 4] = ["series", "offered_by_second", "stored_by_second", "offered_by_flow"];

/// The files that have room.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record {
    bytes: usize,
    scripts: String,
    /// What is said of each file.
    notes: Vec<String>,
}

impl Record {
    pub(super) fn add(&mut self, document: &Document) {
        let whole = embed(&document.json.to_string());
        let (text, note) = if self.has_room(&whole) {
            (Some(whole), "")
        } else {
            let short = embed(&shortened(&document.json).to_string());
            let note = ", without what it has of each second and flow";
            if self.has_room(&short) {
                (Some(short), note)
            } else {
                (None, " is not in this page: there is no room for it")
            }
        };
        let size = text.as_ref().map(|text| format!(": {} bytes", count(text.len() as u64))).unwrap_or_default();
        self.notes.push(format!("{}{size}{note}", escape(&document.file)));
        if let Some(text) = text {
            let file = escape(&document.file);
            self.bytes += text.len();
            self.scripts.push_str(&format!("<script type=\"application/json\" data-file=\"{file}\">{text}</script>\n"));
        }
    }

    fn has_room(&self, text: &str) -> bool {
        self.bytes + text.len() <= BYTES_MAX
    }

    pub(super) fn html(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("<li>{note}</li>")).collect();
        format!(
            "<p>The input stands in this file as <code>script</code> elements of type <code>application/json</code>, which nothing \
             runs; at most {} MiB of it.</p>\n<ul class=\"plain\">{notes}</ul>\n{}",
            BYTES_MAX >> 20,
            self.scripts
        )
    }
}

/// A document without the long lists of its runs.
fn shortened(json: &Value) -> Value {
    let mut short = json.clone();
    let cut = |run: &mut Value| {
        if let Some(members) = run.as_object_mut() {
            LONG.iter().for_each(|name| drop(members.remove(*name)));
        }
    };
    cut(&mut short);
    let turns = short.get_mut("runs").and_then(Value::as_array_mut);
    turns.into_iter().flatten().filter_map(|turn| turn.get_mut("run")).for_each(cut);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_no_room_is_shortened_and_then_left_out_and_that_is_told() {
        let run = |text: usize, seconds: usize| {
            let json = json!({"schema": "loadgen.run/1", "reason": "x".repeat(text), "series": vec![1; seconds]});
            Document::new(format!("{text}-{seconds}"), json).unwrap()
        };
        let mut record = Record::default();
        // Of a run `runs` may be anything.
        let mut strange = run(9 << 20, 9);
        strange.json["runs"] = json!([1, {"run": 2}]);
        Record::default().add(&strange);
        for document in [run(5 << 20, 9), run(1, 2 << 20), run(4 << 20, 0), run(2, 9)] {
            record.add(&document);
        }
        assert!(record.bytes <= BYTES_MAX && record.scripts.len() < BYTES_MAX + 1000);
        let told: Vec<_> = record.notes.iter().map(|note| note.split_once([':', ' ']).unwrap().1).collect();
        assert!(told[1].ends_with("bytes, without what it has of each second and flow"), "{told:?}");
        assert_eq!(told[2], "is not in this page: there is no room for it");
        assert!(told[3].ends_with(" bytes") && record.scripts.matches("\"series\"").count() == 2, "{told:?}");
    }
}
