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
