use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::text;

/// A run of which all is known, and nothing was lost.
fn passed() -> Value {
    json!({
        "schema": "loadgen.run/1", "run": "7f3a9c01", "version": "0.1.0", "target": "udp://127.0.0.1:5514",
        "started": "2026-11-23T10:00:00Z", "command": "loadgen run udp://127.0.0.1:5514 --rate 200k",
        "plan": {"rate": 200_000.0, "count": 2_000_000, "seconds": 10.0, "flows": 2, "framing": null},
        "environment": {"kernel": "6.18.0", "cpus": 2, "optimized": true},
        "offered": 2_000_000, "sent": 2_000_000, "received": 2_000_000, "stored": 2_000_000, "lost": 0, "loss_ratio": 0.0,
        "duplicates": 0, "reordered": 12, "corrupted": 0, "unexpected": 0,
        "elapsed_seconds": 10.0002, "achieved_rate": 199_996.0, "sender_cpu_ns_per_message": 612.34,
        "collector": {"cpu_ns_per_message": 701.5, "rss_bytes": 38_400_000},
        "latency": {"p50": 0.31, "p90": 0.92, "p99": 3.25, "p999": 12.5, "max": 120.0},
        "ledger": {
            "sentence": "nothing is lost: all 2000000 messages were found once and unchanged", "fix": null, "unexplained": 0,
            "places": [
                {"place": "socket_buffer", "messages": 0, "exact": true, "evidence": "drops of 2 sockets"},
                {"place": "stored", "messages": 2_000_000, "exact": true, "evidence": "found unchanged"},
            ],
        },
        "verdict": "pass", "reason": null,
    })
}

/// One that failed, with less known, and with text that wants escaping.
fn failed() -> Value {
    json!({
        "schema": "loadgen.run/1", "run": "0000beef", "version": "0.1.0", "target": "udp://[::1]:514",
        "started": "2026-11-23T11:00:00Z",
        "plan": {"rate": 200_000.0, "count": 2_000_000, "seconds": 10.0, "flows": 2, "framing": null},
        "environment": {"kernel": "6.18.0 \"x|y\" <&>", "cpus": 2, "optimized": true},
        "offered": 2_000_000, "sent": 2_000_000, "lost": 1, "loss_ratio": 0.000_000_5, "duplicates": 0,
        "elapsed_seconds": 10.0, "achieved_rate": 180_000.0, "sender_cpu_ns_per_message": 600.0,
        "pacing": {"lag_us": null, "group": {"p50": 10, "p99": 20, "max": 31}}, "latency": null,
        "ledger": {
            "sentence": "1 of 2000000 messages was lost, \"all\" <at> the socket|buffer: raise it",
            "places": [
                {"place": "socket_buffer", "messages": 1, "exact": false, "evidence": "drops of 1 socket | at least"},
                {"place": "stored", "messages": 1_999_999, "exact": true, "evidence": "found unchanged"},
            ],
        },
        "verdict": "fail", "reason": "lost 1, \"of\" 2000000",
    })
}

/// A directory with runs by name.
fn runs(runs: &[(&str, Value)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, run) in runs {
        fs::write(directory.path().join(name), run.to_string()).unwrap();
    }
    directory
}

fn report(directory: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.current_dir(directory.path()).arg("report").args(arguments).output().unwrap()
}

#[test]
fn every_format_is_as_the_golden_files_say() {
    let mut old = passed();
    old["sender_cpu_ns_per_message"] = json!(600.0);
    let directory = runs(&[("pass.json", passed()), ("fail.json", failed()), ("old.json", old)]);
    let asked = ["--threshold", "loss_ratio<=0.01%", "--threshold", "latency.p99<5ms", "--baseline", "old.json"];
    for (format, arguments, golden) in [
        ("markdown", &asked[..], include_str!("../golden/report.md")),
        ("csv", &[], include_str!("../golden/report.csv")),
        ("junit", &asked, include_str!("../golden/report.xml")),
    ] {
        let arguments = [&["pass.json", "fail.json", "--format", format, "-o", "report"], arguments].concat();
        let output = report(&directory, &arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(99), String::new()), "{output:?}");
        let written = fs::read_to_string(directory.path().join("report")).unwrap();
        assert_eq!(written, golden, "{format}:\n{written}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4, "nothing is left beside the report");
}

#[test]
fn the_exit_code_is_that_of_the_worst_run() {
    let mut invalid = failed();
    invalid["verdict"] = json!("invalid");
    let mut slow = passed();
    slow["achieved_rate"] = json!(100_000.0);
    let directory =
        runs(&[("pass.json", passed()), ("fail.json", failed()), ("invalid.json", invalid), ("slow.json", slow)]);
    for (arguments, code) in [
        (&["pass.json"][..], 0),
        (&["pass.json", "fail.json"], 99),
        (&["invalid.json", "fail.json", "pass.json"], 4),
        (&["invalid.json", "--threshold", "lost<=1"], 4),
        (&["fail.json", "--threshold", "lost<=1"], 0),
        (&["fail.json", "--threshold", "lost<=1", "--threshold", "latency.p99<5ms"], 99),
        (&["pass.json", "--threshold", "achieved_rate>=200k"], 99),
        (&["slow.json", "--baseline", "pass.json"], 99),
        (&["slow.json", "--baseline", "pass.json", "--max-regress", "51%"], 0),
        (&["pass.json", "--baseline", "slow.json"], 0),
    ] {
        let output = report(&directory, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert!(text(&output.stdout).starts_with("# loadgen report\n"), "{output:?}");
    }
}

/// What `loadgen report` makes of files of `tests/golden/pages`, and its exit code.
fn page(files: &[&str]) -> (String, Option<i32>) {
    let directory = tempfile::tempdir().unwrap();
    let inputs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pages");
    for file in files {
        fs::copy(format!("{inputs}/{file}"), directory.path().join(file)).unwrap();
    }
    let output = report(&directory, &[files, &["-o", "report.html"]].concat());
    (fs::read_to_string(directory.path().join("report.html")).unwrap(), output.status.code())
}

/// The page without the input in it, and the input: file and JSON.
fn record(page: &str) -> (String, Vec<(String, Value)>) {
    let (mut rest, mut seen, mut files) = (page, String::new(), Vec::new());
    while let Some((before, after)) = rest.split_once("<script type=\"application/json\" data-file=\"") {
        let (json, after) = after.split_once("</script>").unwrap();
        let (file, json) = json.split_once("\">").unwrap();
        files.push((file.to_owned(), serde_json::from_str(json).unwrap()));
        seen.push_str(before);
        rest = after;
    }
    (seen + rest, files)
}

#[test]
fn a_page_is_whole_always_the_same_and_asks_nobody() {
    let files = ["udp.json", "compare.json", "sweep.json", "search.json"];
    let (html, code) = page(&files);
    assert_eq!((code, &html), (Some(99), &page(&files).0), "the same each time");
    let (seen, record) = record(&html);
    for ((file, json), name) in record.iter().zip(files) {
        let input = fs::read_to_string(format!("{}/tests/golden/pages/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert_eq!((file.as_str(), json), (name, &serde_json::from_str(&input).unwrap()));
    }
    assert_eq!(record.len(), files.len());
    for foreign in ["<script", "<link", "<img", "<iframe", "src=", "href=", "@import", "url(", "http://", "https://"] {
        assert!(!seen.contains(foreign), "{foreign}");
    }
}

#[test]
fn every_figure_has_a_name_a_sentence_and_a_description() {
    let (html, _) = page(&["udp.json", "compare.json", "sweep.json", "search.json"]);
    let figures: Vec<_> = html.split("<figure>").skip(1).map(|rest| rest.split_once("</figure>").unwrap().0).collect();
    let mut captions = String::new();
    for figure in &figures {
        let (_, caption) = figure.split_once("<figcaption>").unwrap();
        captions.push_str(caption);
        let image = &figure[figure.find("<svg role").unwrap()..figure.find("<figcaption>").unwrap()];
        let image = roxmltree::Document::parse(image).unwrap();
        let told: Vec<_> = image.root_element().children().filter(|node| node.is_element()).take(2).collect();
        assert_eq!((told[0].tag_name().name(), told[1].tag_name().name()), ("title", "desc"));
        assert!(figure.contains("<h3>") && told.iter().all(|node| !node.text().unwrap().is_empty()), "{figure}");
    }
    for told in [
        "A lost 4.69 % from second 4 on, most of it in second 5: 1,311; ",
        "C lost nothing",
        "A: half arrived within 0.0123 ms, 99 of 100 within 2.58 ms, the last after 503 ms",
        "Of 30,000 messages offered 28,592 (95.31 %) are stored; most of the others ended in socket_buffer: 1,408.",
        "UDP lost messages from 68.2 k/s on, 36.67 % at 93.0 k/s; TCP lost nothing up to 68.2 k/s. The lossless rate is 62.0 k/s.",
        "14 trials: 6 lost nothing, 7 lost messages, 1 invalid.",
    ] {
        assert!(captions.contains(told), "{told}: {captions}");
    }
    assert_eq!(figures.len(), 18, "{captions}");
}

#[test]
fn what_was_not_measured_has_no_figure() {
    let directory = runs(&[("pass.json", passed())]);
    let output = report(&directory, &["pass.json", "--format", "html"]);
    let html = text(&output.stdout);
    assert_eq!((output.status.code(), html.matches("<figure>").count()), (Some(0), 2), "ledger and cost: {html}");
    assert!(
        html.contains(">PASS<") && html.contains("<pre>loadgen run udp://127.0.0.1:5514 --rate 200k</pre>"),
        "{html}"
    );
}

#[test]
fn no_text_of_a_run_becomes_markup_of_the_page() {
    let (html, _) = page(&["hostile.json"]);
    let (seen, record) = record(&html);
    assert!(!seen.contains("<script") && !seen.contains("<img") && !seen.contains(['\u{2028}', '\u{202e}']), "{seen}");
    assert_eq!(record.len(), 1, "no text ends the element of the input");
    assert!(seen.contains("&lt;/script&gt;&lt;script&gt;alert(1)") && seen.contains("&lt;U+202E&gt;"), "{seen}");
}

#[test]
fn steps_of_a_sweep_are_meant_to_lose_and_a_search_has_no_runs() {
    for (file, verdict, code) in
        [("sweep.json", "MEASURED", 0), ("search.json", "MEASURED", 0), ("compare.json", "FAIL", 99)]
    {
        let (html, ended) = page(&[file]);
        assert!(ended == Some(code) && html.contains(&format!("<p class=\"word\">{verdict}</p>")), "{file}: {ended:?}");
        assert!(html.contains("//127.0.0.1:25514</h1>"), "{file} names its targets");
    }
    let inputs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pages");
    let directory = tempfile::tempdir().unwrap();
    let sweep = format!("{inputs}/sweep.json");
    let judged = report(&directory, &[&sweep, "--format", "csv", "--threshold", "loss_ratio<=1%"]);
    assert_eq!(
        (judged.status.code(), text(&judged.stdout).lines().count()),
        (Some(4), 19),
        "its steps are judged when asked"
    );
    let suites = report(&directory, &[&sweep, "--format", "junit"]);
    let suites = (suites.status.code(), text(&suites.stdout));
    let head = "<testsuites name=\"loadgen\" tests=\"18\" failures=\"0\" errors=\"0\" skipped=\"5\">";
    assert!(
        suites.0 == Some(0) && suites.1.contains(head),
        "a test service sees no failure where there is none: {suites:?}"
    );
    let search = report(&directory, &[&format!("{inputs}/search.json")]);
    assert!(search.status.code() == Some(2) && text(&search.stderr).contains("only --format html shows"), "{search:?}");
}

#[test]
fn a_page_tells_of_what_was_asked_of_the_steps_of_a_sweep_and_what_their_plans_were() {
    let sweep = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pages/sweep.json");
    let mut sweep: Value = serde_json::from_str(&fs::read_to_string(sweep).unwrap()).unwrap();
    for turn in sweep["runs"].as_array_mut().unwrap() {
        turn["run"]["plan"]["rate"] = turn["rate"].clone();
    }
    let directory = runs(&[("sweep.json", sweep)]);
    let plain = text(&report(&directory, &["sweep.json", "--format", "html"]).stdout);
    assert!(!plain.contains("<h2>Thresholds</h2>") && !plain.contains("class=\"reason\""), "nothing was asked");
    assert!(plain.contains(">6200 .. 93000</td>"), "the plan of every step: {plain}");
    let asked = report(&directory, &["sweep.json", "--format", "html", "--threshold", "latency.max<1us"]);
    let asked = text(&asked.stdout);
    assert!(asked.contains("<h2>Thresholds</h2>") && asked.contains("<strong>breached</strong> by"), "{asked}");
}

#[test]
fn the_banner_tells_why_of_each_run_that_decides_though_another_is_shown() {
    let mut why = failed();
    (why["reason"], why["ledger"]["sentence"]) = (json!("doubled <2>"), json!("1 was doubled"));
    let turns: Vec<_> = [passed(), passed(), passed(), why].map(|run| json!({"target": 0, "run": run})).to_vec();
    let compare = json!({"schema": "loadgen.compare/1", "targets": ["udp://127.0.0.1:5514"], "runs": turns});
    let directory = runs(&[("compare.json", compare)]);
    let html = text(&report(&directory, &["compare.json", "--format", "html"]).stdout);
    let (_, banner) = html.split_once("<p class=\"word\">FAIL</p>").unwrap();
    let (banner, _) = banner.split_once("</section>").unwrap();
    assert!(banner.contains("<p class=\"reason\">compare.json#4: doubled &lt;2&gt;</p>"), "{banner}");
}

#[test]
fn what_nobody_looked_for_is_not_called_stored() {
    let mut counted = passed();
    for name in ["stored", "lost", "loss_ratio"] {
        counted[name] = Value::Null;
    }
    let directory = runs(&[("checked.json", passed()), ("counted.json", counted)]);
    for (file, word) in [("checked.json", "stored"), ("counted.json", "received")] {
        let html = text(&report(&directory, &[file, "--format", "html"]).stdout);
        assert!(html.contains(&format!("<dt>{word}</dt><dd>2,000,000</dd>")), "{file}: {html}");
    }
}

#[test]
fn what_a_link_leads_to_is_written_be_it_a_file_or_none() {
    let directory = runs(&[("pass.json", passed()), ("old.md", json!({}))]);
    let path = |name: &str| directory.path().join(name);
    std::os::unix::fs::symlink("old.md", path("link.md")).unwrap();
    std::os::unix::fs::symlink("/dev/stdout", path("pipe.md")).unwrap();
    let written = report(&directory, &["pass.json", "-o", "link.md"]);
    assert_eq!((written.status.code(), written.stdout.len()), (Some(0), 0), "{written:?}");
    let kept = fs::read_to_string(path("old.md")).unwrap();
    assert!(path("link.md").is_symlink() && kept.starts_with("# loadgen report\n"), "{kept}");
    let piped = report(&directory, &["pass.json", "-o", "pipe.md"]);
    assert_eq!((piped.status.code(), text(&piped.stdout)), (Some(0), kept));
    assert!(path("pipe.md").is_symlink() && !path("pipe.md.partial").exists());
}

#[test]
fn what_cannot_be_reported_is_told_with_its_exit_code() {
    let mut other_plan = passed();
    other_plan["plan"]["flows"] = json!(4);
    let mut invalid = passed();
    invalid["verdict"] = json!("invalid");
    let directory = runs(&[
        ("pass.json", passed()),
        ("plan.json", other_plan),
        ("invalid.json", invalid),
        ("schema.json", json!({"schema": "loadgen.run/2"})),
        ("verdict.json", json!({"schema": "loadgen.run/1"})),
    ]);
    fs::write(directory.path().join("text.json"), "no JSON").unwrap();
    fs::File::create(directory.path().join("large.json")).unwrap().set_len((64 << 20) + 1).unwrap();
    for (arguments, code, told) in [
        (&["absent.json"][..], 1, "cannot read absent.json: No such file"),
        (&["pass.json", "-o", "absent/report"], 1, "cannot write absent/report: No such file"),
        (&["text.json"], 2, "text.json: expected ident at line 1"),
        (&["schema.json"], 2, "schema.json: schema \"loadgen.run/2\", but this program knows only \"loadgen.run/1\", "),
        (&["verdict.json"], 2, "verdict.json: verdict: "),
        (&["large.json"], 2, "large.json: it is larger than 64 MiB"),
        (&["pass.json"; 101], 2, "101 files, but at most 100"),
        (&["pass.json", "--threshold", "los<=0"], 2, "the nearest is `lost`"),
        (&["pass.json", "--max-regress", "5%"], 2, "--baseline"),
        (
            &["pass.json", "--baseline", "plan.json"],
            2,
            "pass.json: its plan is not that of the baseline: flows is 2 and was 4",
        ),
        (&["pass.json", "--baseline", "invalid.json"], 2, "invalid.json: as a baseline: it is an invalid run"),
    ] {
        let output = report(&directory, arguments);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(code), String::new()), "{output:?}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
    let ignored = report(&directory, &["pass.json", "--baseline", "plan.json", "--ignore-plan"]);
    assert_eq!(ignored.status.code(), Some(0), "{ignored:?}");
}
