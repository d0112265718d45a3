use super::support::{loadgen, text};

fn refused(arguments: &[&str], code: i32) -> String {
    let output = loadgen(arguments);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    text(&output.stderr)
}

#[test]
fn bad_usage_is_told_with_exit_code_2() {
    for (arguments, told) in [
        (&["run", "127.0.0.1:1"][..], "it has no transport"),
        (&["run", "udp://127.0.0.1:1", "--rate", "fast"], "write messages a second"),
        (&["run", "udp://127.0.0.1:1", "--size", "10"], "takes at least"),
        (&["run", "udp://127.0.0.1:1", "--size", "100000"], "at most 65507 B"),
        (&["run", "udp://127.0.0.1:1", "--size", "lognormal:300"], "write bytes, such as 200; a range"),
        (&["run", "udp://127.0.0.1:1", "--format", "xml"], "there are rfc3164, rfc5424, json, raw and template:FILE"),
        (&["run", "udp://127.0.0.1:1", "--format", "template:/nonexistent"], "template:/nonexistent: No such file"),
        (&["run", "udp://127.0.0.1:1", "--flows", "0"], "0 is not in"),
        (&["run", "udp://127.0.0.1:1", "--rate", "max", "--profile", "poisson"], "poisson needs a rate"),
        (&["run", "udp://127.0.0.1:1", "--rate", "1k", "--profile", "ramp:1k-2k"], "leave --rate out"),
        (&["run", "udp://127.0.0.1:1", "--profile", "wave"], "`wave` is no profile"),
        (&["run", "udp://127.0.0.1:1", "--profile", "step:100", "--count", "2k"], "has only 1000 messages in 10s"),
        (
            &["run", "udp://127.0.0.1:1", "--profile", "trace:/nonexistent"],
            "--profile trace:/nonexistent: No such file",
        ),
        (&["run", "udp://127.0.0.1:1", "--profile", "replay:1"], "is what loadgen replay does"),
        (&["run", "udp://127.0.0.1:1", "--threads", "2"], "each thread needs a flow of its own"),
        (&["run", "udp://127.0.0.1:1", "--cpu", "1000000"], "--cpu 1000000: this process may use processors ["),
        (&["run", "udp://127.0.0.1:1", "--source", "127.0.0.1/8"], "has bits set behind its first 8"),
        (&["run", "udp://127.0.0.1:1", "--source-port", "9-9", "--flows", "2"], "make only 1"),
        (&["run", "udp://127.0.0.1:1", "--overflow", "drop"], "--overflow is for streams (tcp, tls, unix)"),
        (&["run", "tcp://127.0.0.1:1", "--gso", "2"], "--gso is for udp"),
        (&["run", "udp://127.0.0.1:1", "--format", "raw", "--severity", "err:1"], "messages of --format raw say none"),
        (&["run", "udp://127.0.0.1:1", "--framing", "lf"], "--framing is for streams"),
        (&["run", "udp://127.0.0.1:1", "--check", "files:a/***"], "is no pattern of files"),
        (&["run", "tcp://127.0.0.1:1", "--overflow", "drop", "--flows", "257"], "at most 256 flows, not 257"),
        (&["run", "unixgram:///dev/log", "--source", "127.0.0.1"], "has no source addresses"),
        (&["run", "udp://127.0.0.1:1", "--duration", "200h"], "lasts at most"),
        (&["run", "udp://127.0.0.1:1", "--corpus", "/nonexistent"], "--corpus /nonexistent"),
        (&["run", "unix://socket"], "the path must be absolute"),
        (&["run", "tls://127.0.0.1:1"], "tls://127.0.0.1:1 needs --tls-ca FILE"),
        (&["run", "tls://127.0.0.1:1", "--tls-ca", "/nonexistent"], "--tls-ca /nonexistent: No such file"),
        (&["run", "tls://127.0.0.1:1", "--tls-cert", "x"], "--tls-key <FILE>"),
        (&["run", "tls://127.0.0.1:1", "--tls-key", "x"], "--tls-cert <FILE>"),
        (&["run", "tcp://127.0.0.1:1", "--tls-ca", "x"], "tcp://127.0.0.1:1 is not encrypted"),
        (&["run", "tcp://127.0.0.1:1", "--tls-name", "x"], "tcp://127.0.0.1:1 is not encrypted"),
    ] {
        let stderr = refused(arguments, 2);
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
}

#[test]
fn every_command_has_a_manual_page_and_shells_can_complete_it() {
    for command in ["run", "compare", "search", "sweep", "replay", "sink", "verify", "report", "probe"] {
        let output = loadgen(&["man", command]);
        assert!(output.status.success() && text(&output.stdout).contains(&format!(".TH loadgen-{command} ")));
        assert!(text(&loadgen(&["completions", "bash"]).stdout).contains(command));
    }
    assert_eq!(loadgen(&["man", "fly"]).status.code(), Some(2));
}

#[test]
fn a_target_that_is_not_there_is_told_with_exit_code_3() {
    // Port 1 of the loopback interface: nobody listens there.
    let stderr = refused(&["run", "tcp://127.0.0.1:1"], 3);
    assert!(stderr.contains("tcp://127.0.0.1:1: Connection refused"), "{stderr}");
    for url in ["unix:///nonexistent", "unixgram:///nonexistent"] {
        let stderr = refused(&["run", url], 3);
        assert!(stderr.contains(&format!("{url}: No such file or directory")), "{stderr}");
    }
    // An address of nobody (RFC 5737) is not ours to send from.
    let stderr = refused(&["run", "udp://127.0.0.1:1", "--source", "192.0.2.1"], 3);
    assert!(stderr.contains("sending from 192.0.2.1:0: Cannot assign requested address"), "{stderr}");
    let limited = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 200 && exec \"$0\" run udp://127.0.0.1:1 --flows 200", env!("CARGO_BIN_EXE_loadgen")])
        .output()
        .unwrap();
    assert_eq!(limited.status.code(), Some(3));
    assert!(
        text(&limited.stderr).contains("--flows 200 takes 264 open files, but the process may open 200"),
        "{limited:?}"
    );
    for command in ["run", "search"] {
        let stderr = refused(&[command, "udp://127.0.0.1:1", "--admin", "127.0.0.1:1"], 3);
        assert!(stderr.contains("admin listener does not answer: http://127.0.0.1:1/ledger: "), "{stderr}");
    }
    // The largest number is 4,194,304 (proc_sys_kernel(5)).
    let stderr = refused(&["run", "udp://127.0.0.1:1", "--pid", "4194305"], 3);
    assert!(stderr.contains("--pid 4194305: there is no such process"), "{stderr}");
    let stderr = refused(&["run", "udp://no-such-host.invalid:514"], 3);
    assert!(stderr.contains("no-such-host.invalid"), "{stderr}");
}

#[test]
fn a_report_that_cannot_be_written_or_read_is_told_with_exit_code_1() {
    let stderr = refused(&["run", "udp://127.0.0.1:1", "--count", "1", "-o", "/nonexistent/run.json"], 1);
    assert!(stderr.contains("cannot write /nonexistent/run.json"), "{stderr}");
    let stderr = refused(&["verify", "--run", "/nonexistent", "x"], 1);
    assert!(stderr.contains("cannot read /nonexistent"), "{stderr}");
}

#[test]
fn a_report_of_another_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run.json");
    std::fs::write(&run, "{\"schema\": \"other\"}").unwrap();
    let stderr = refused(&["verify", "--run", run.to_str().unwrap(), "x"], 2);
    assert!(stderr.contains("run.json"), "{stderr}");
}
