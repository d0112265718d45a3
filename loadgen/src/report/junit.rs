//! Runs as JUnit XML, in the form that test services read (github.com/testmoapp/junitxml, which describes what they have in
//! common): a suite for each run, a case for its verdict or each of its thresholds, and for each figure compared.

use super::Verdict;
use super::judged::Judged;

/// One case.
struct Case {
    name: String,
    /// The kind of what went wrong, and what it was: `failure` where the run was judged, `error` where it could not be, `skipped`
    /// where it was not to be.
    wrong: Option<(&'static str, String)>,
}

/// An XML 1.0 document.
#[must_use]
pub fn render(runs: &[Judged]) -> String {
    let suites: Vec<_> = runs.iter().map(|run| (run, cases(run))).collect();
    let totals = totals(suites.iter().flat_map(|(_, cases)| cases));
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"loadgen\"{totals}>\n");
    for (run, cases) in &suites {
        push_suite(&mut text, run, cases);
    }
    text.push_str("</testsuites>\n");
    text
}

fn cases(run: &Judged) -> Vec<Case> {
    let verdict = run.recorded.iter().map(|(verdict, reason)| {
        let reason = || reason.clone().unwrap_or_else(|| "no reason is told".into());
        let wrong = match verdict {
            Verdict::Pass => None,
            _ if !run.counts => Some(("skipped", reason())),
            Verdict::Fail => Some(("failure", reason())),
            Verdict::Invalid => Some(("error", reason())),
        };
        Case { name: "verdict".into(), wrong }
    });
    let failure = |is_failure: bool, told: String| is_failure.then_some(("failure", told));
    let thresholds = run.checked.iter().map(|checked| Case {
        name: checked.threshold.to_string(),
        wrong: failure(!checked.passed, checked.to_string()),
    });
    let changes = run.changes.iter().map(|change| Case {
        name: format!("{} beside the baseline", change.figure.name),
        wrong: failure(change.regressed, change.to_string()),
    });
    verdict.chain(thresholds).chain(changes).collect()
}

/// The attributes that count cases.
fn totals<'a>(cases: impl Iterator<Item = &'a Case> + Clone) -> String {
    let wrong = |kind| cases.clone().filter(|case| case.wrong.as_ref().is_some_and(|(is, _)| *is == kind)).count();
    let (tests, failures, errors, skipped) =
        (cases.clone().count(), wrong("failure"), wrong("error"), wrong("skipped"));
    format!(" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"")
}

fn push_suite(text: &mut String, run: &Judged, cases: &[Case]) {
    let time = run.figure("elapsed_seconds").map(|seconds| format!(" time=\"{seconds}\"")).unwrap_or_default();
    let started = run.fact("started").map(|started| format!(" timestamp=\"{}\"", escape(started))).unwrap_or_default();
    let name = escape(&run.file);
    text.push_str(&format!("  <testsuite name=\"{name}\"{}{time}{started}>\n", totals(cases.iter())));
    text.push_str("    <properties>\n");
    for (name, value) in &run.facts {
        text.push_str(&format!("      <property name=\"{}\" value=\"{}\"/>\n", escape(name), escape(value)));
    }
    text.push_str("    </properties>\n");
    for case in cases {
        let head = format!("    <testcase classname=\"loadgen\" name=\"{}\"", escape(&case.name));
        match &case.wrong {
            None => text.push_str(&format!("{head}/>\n")),
            Some((kind, told)) => {
                let told = escape(told);
                text.push_str(&format!("{head}>\n      <{kind} message=\"{told}\"/>\n    </testcase>\n"));
            }
        }
    }
    text.push_str("  </testsuite>\n");
}

/// For an attribute value: what would end it or be made a space of (XML 1.0 section 3.3.3) becomes a reference, and what no
/// document may have (section 2.2) the replacement character.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(letter))),
            '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn any_text_comes_back_but_for_what_no_document_may_have(
            text in "[\\x00-\\x7F]{0,8}\\PC{0,4}[\u{FFFD}-\u{FFFF}]{0,2}",
        ) {
            let run = json!({"verdict": "fail", "reason": text, "target": text});
            let rendered = render(&[Judged::new(&text, &run, &[], None).unwrap()]);
            let document = roxmltree::Document::parse(&rendered).unwrap();
            let expected: String = text
                .chars()
                .map(|letter| match letter {
                    '\t' | '\n' | '\r' => letter,
                    '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => '\u{FFFD}',
                    other => other,
                })
                .collect();
            for (node, attribute) in [("testsuite", "name"), ("property", "value"), ("failure", "message")] {
                let node = document.descendants().find(|found| found.has_tag_name(node)).unwrap();
                prop_assert_eq!(node.attribute(attribute), Some(expected.as_str()));
            }
        }
    }
}
