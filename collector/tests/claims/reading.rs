use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use logboom_segment::{BlockHeader, Encoder, Flags, Message, RowLimits, Rows, RunId, SegmentBuilder, Source};
use proptest::prelude::*;

use super::support::{Collector, logboom, udp_sender, wait_for_exit};

/// Runs `logboom ARGUMENTS DIR`: exit code, standard output, standard error.
fn run(arguments: &[&str], data: &Path) -> (Option<i32>, String, String) {
    let output = logboom().args(arguments).arg(data).env("TZ", "UTC").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn raw(arguments: &[&str], data: &Path) -> Vec<String> {
    let (code, text, errors) = run(&[&["cat", "-o", "raw"], arguments].concat(), data);
    assert_eq!((code, errors.as_str()), (Some(i32::from(text.is_empty())), ""), "{arguments:?}");
    text.lines().map(str::to_owned).collect()
}

const MESSAGES: [&str; 8] = [
    "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick",
    "<165>1 2003-10-11T22:14:15.003Z web1 nginx 4711 ID47 - GET /index.html 200",
    "<14>Oct 11 22:14:16 web1 nginx[4711]: timeout",
    "<11>Oct 11 22:14:17 web2 app: connection refused [42]",
    "no header at all, timeout",
    "<191>Oct 11 22:14:18 web2 app: debugging",
    "<30>Oct 11 22:14:19 WEB1 cron[1]: Timeout twice: timeout",
    "<27>Oct 11 22:14:20 web3 app: the last timeouts",
];

/// A collector that has stored these messages, each in a block of its own, every second one by TCP.
fn stored() -> Collector {
    use std::io::Write;
    let mut collector = Collector::start(&["store.block_age=10ms"]);
    let udp = udp_sender();
    let mut tcp = std::net::TcpStream::connect(collector.tcp).unwrap();
    for (number, message) in MESSAGES.iter().enumerate() {
        if number % 2 == 0 {
            udp.send_to(message.as_bytes(), collector.udp).unwrap();
        } else {
            tcp.write_all(format!("{message}\n").as_bytes()).unwrap();
        }
        collector.wait_for("stored", number as u64 + 1);
    }
    drop(tcp);
    collector.stop();
    collector
}

fn some(numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(|number| MESSAGES[*number].to_owned()).collect()
}

#[test]
fn each_filter_selects_and_all_together_do() {
    let collector = stored();
    let data = collector.data();
    for (arguments, expected) in [
        (&[][..], &[0, 1, 2, 3, 4, 5, 6, 7][..]),
        (&["-p", "err"], &[0, 3, 7]),
        (&["-p", "info..err"], &[1, 2, 3, 6, 7]),
        (&["--facility", "auth,daemon"], &[0, 6, 7]),
        (&["--source", "127.0.0.0/8"], &[0, 1, 2, 3, 4, 5, 6, 7]),
        (&["--source", "10.0.0.0/8,::1"], &[]),
        (&["--listener", "tcp"], &[1, 3, 5, 7]),
        (&["--host", "web1"], &[1, 2, 6]),
        (&["-t", "nginx"], &[1, 2]),
        (&["-t", "app", "-t", "su"], &[0, 3, 5, 7]),
        (&["-t", "app", "-p", "err", "--host", "web3"], &[7]),
        (&["-n", "3"], &[0, 1, 2]),
        (&["-r", "-n", "3"], &[7, 6, 5]),
        (&["-r"], &[7, 6, 5, 4, 3, 2, 1, 0]),
        (&["-S", "-1h", "-U", "+1h"], &[0, 1, 2, 3, 4, 5, 6, 7]),
        (&["-U", "yesterday"], &[]),
        (&["-S", "tomorrow"], &[]),
    ] {
        assert_eq!(raw(arguments, &data), some(expected), "{arguments:?}");
    }
    let port = udp_sender().local_addr().unwrap().port();
    assert_eq!(raw(&["--source", &format!("127.0.0.1:{port}")], &data), Vec::<String>::new());
}

#[test]
fn what_cannot_be_wanted_is_not_decoded() {
    let collector = stored();
    let stats = |arguments: &[&str]| run(&[&["cat", "--stats"], arguments].concat(), &collector.data()).2;
    assert!(stats(&[]).contains("8 blocks read"), "{}", stats(&[]));
    assert!(stats(&["-p", "crit"]).contains("7 by severity or facility, 0 by source; 1 blocks read"));
    assert!(stats(&["--listener", "udp"]).contains("4 by source; 4 blocks read"));
    assert!(stats(&["--source", "10.0.0.1"]).contains("8 by source; 0 blocks read, 0 bytes decoded"));
    assert!(stats(&["-U", "yesterday"]).contains("blocks skipped: 8 by time"));
    assert!(stats(&["-S", "tomorrow"]).contains("1 segments skipped, 0 opened"));
    let counted = run(&["stat", "--stats", "--count-by", "severity"], &collector.data()).2;
    assert!(counted.contains("0 bytes decoded"), "{counted}");
}

#[test]
fn grep_takes_what_ripgreps_users_type() {
    let collector = stored();
    let data = collector.data();
    let grep = |arguments: &[&str]| {
        let (code, text, errors) = run(&[&["grep", "-o", "raw"], arguments].concat(), &data);
        (code, text.lines().map(str::to_owned).collect::<Vec<_>>(), errors)
    };
    for (arguments, expected) in [
        (&["timeout"][..], &[2, 4, 6, 7][..]),
        (&["-i", "timeout twice"], &[6]),
        (&["-w", "timeout"], &[2, 4, 6]),
        (&["-v", "e"], &[]),
        (&["-v", "timeout"], &[0, 1, 3, 5]),
        (&["-F", "[42]"], &[3]),
        (&["-e", "refused", "-e", "GET"], &[1, 3]),
        (&["conn.*refused|su root"], &[0, 3]),
        (&["-m", "2", "timeout"], &[2, 4]),
        (&["-r", "-m", "2", "timeout"], &[7, 6]),
        (&["-p", "err", "timeout"], &[7]),
        (&["^<14>"], &[2]),
    ] {
        let found = i32::from(expected.is_empty());
        assert_eq!(grep(arguments), (Some(found), some(expected), String::new()), "{arguments:?}");
    }
    for (arguments, count) in
        [(&["-c", "timeout"][..], "4"), (&["-c", "-i", "TIMEOUT"], "4"), (&["-c", "-p", "info", "timeout"], "3")]
    {
        assert_eq!(grep(arguments).1, [count], "{arguments:?}");
    }
    assert_eq!(grep(&["-c", "nothing of that"]), (Some(1), vec!["0".into()], String::new()));
    assert_eq!(grep(&["--only-matching", "t[a-z]+t"]).1, ["timeout", "timeout", "timeout", "timeout"]);
    let context = grep(&["-C", "1", "refused"]).1;
    assert_eq!(context, some(&[2, 3, 4]));
    let context = grep(&["-A", "1", "-B", "0", "su root|debugging"]).1;
    assert_eq!(context, [some(&[0, 1]), vec!["--".into()], some(&[5, 6])].concat());
    let (code, _, errors) = grep(&["("]);
    assert!(code == Some(2) && errors.contains("unclosed group"), "{errors}");
}

#[test]
fn short_output_is_what_people_know_and_json_has_the_header() {
    let collector = stored();
    let (_, short, _) = run(&["cat", "--utc", "-n", "3"], &collector.data());
    let lines: Vec<&str> = short.lines().map(|line| line.splitn(5, ' ').last().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "mymachine su: 'su root' failed for lonvick",
            "web1 nginx[4711]: GET /index.html 200",
            "web1 nginx[4711]: timeout"
        ]
    );
    let (_, json, _) = run(&["cat", "-o", "json", "-n", "2"], &collector.data());
    let second: serde_json::Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&second["host"], &second["app"]), (&"web1".into(), &"nginx".into()));
    assert_eq!(second["timestamp"], "2003-10-11T22:14:15.003Z");
    assert_eq!(second["message"], MESSAGES[1], "the whole datagram");
    let (_, colored, _) = run(&["grep", "--color", "always", "refused"], &collector.data());
    assert!(colored.contains("\x1B[31m") && colored.contains("\x1B[1;31mrefused\x1B[0m"), "{colored:?}");
}

#[test]
fn counting_needs_no_text() {
    let collector = stored();
    let data = collector.data();
    let (code, text, _) = run(&["stat", "--count-by", "severity"], &data);
    assert_eq!(code, Some(0));
    assert_eq!(text, "2 err\n2 info\n1 crit\n1 debug\n1 none\n1 notice\n");
    assert_eq!(run(&["stat", "--count-by", "source"], &data).1, "8 127.0.0.1\n");
    assert_eq!(run(&["stat", "--count-by", "facility", "-p", "err"], &data).1, "1 auth\n1 daemon\n1 user\n");
    let (_, json, _) = run(&["stat", "--json", "--count-by", "listener"], &data);
    let counts: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(counts.as_object().unwrap().values().collect::<Vec<_>>(), [4, 4]);
    let (_, histogram, _) = run(&["stat", "--histogram", "1d", "--utc"], &data);
    let total: u64 = histogram.lines().map(|line| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(total, 8, "{histogram}");
}

#[test]
fn tail_shows_the_last_without_opening_the_rest() {
    let mut collector = Collector::start(&["store.block_age=10ms", "store.segment_age=1s"]);
    let sender = udp_sender();
    for number in 1..=10u64 {
        sender.send_to(format!("message {number}").as_bytes(), collector.udp).unwrap();
        collector.wait_for("stored", number);
        if number < 10 {
            // The next is to be in another segment.
            let data = collector.data();
            collector.wait_until("the segment is sealed", |_| {
                let open = std::fs::read_dir(&data).unwrap();
                !open.into_iter().any(|entry| entry.unwrap().file_name().to_str().unwrap().ends_with(".open"))
            });
        }
    }
    collector.stop();
    let (code, text, stats) = run(&["tail", "-n", "2", "-o", "raw", "--stats"], &collector.data());
    assert_eq!((code, text.as_str()), (Some(0), "message 9\nmessage 10\n"));
    assert!(stats.contains("6 segments skipped, 4 opened"), "{stats}");
    assert_eq!(run(&["tail", "-o", "raw"], &collector.data()).1.lines().count(), 10);
    assert_eq!(run(&["tail", "-n", "100", "-o", "raw"], &collector.data()).1.lines().count(), 10);
}

#[test]
fn following_shows_each_message_once_across_sealing_and_restarts() {
    let mut collector = Collector::start(&["store.block_age=10ms", "store.segment_age=1s", "receive.threads=1"]);
    let send = |collector: &Collector, numbers: std::ops::Range<u64>| {
        let sender = udp_sender();
        for number in numbers.clone() {
            sender.send_to(format!("message {number}").as_bytes(), collector.udp).unwrap();
            collector.wait_for("stored", number - numbers.start + 1);
        }
    };
    send(&collector, 0..5);
    let data = collector.data();
    let mut tail =
        logboom().args(["tail", "-f", "-n", "3", "-o", "raw"]).arg(&data).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!([next(), next(), next()], ["message 2", "message 3", "message 4"]);
    // Over several segments, which are sealed, and joined, meanwhile.
    let sender = udp_sender();
    for number in 5..120u64 {
        sender.send_to(format!("message {number}").as_bytes(), collector.udp).unwrap();
        assert_eq!(next(), format!("message {number}"));
    }
    collector.wait_for_metric("logboom_rewritten_segments_total", 1);
    collector.stop();
    let mut second = Collector::start_in(collector.directory.path(), &["store.block_age=10ms"]);
    send(&second, 120..130);
    for number in 120..130 {
        assert_eq!(next(), format!("message {number}"));
    }
    second.signal("KILL");
    second.wait();
    let mut third = Collector::start_in(collector.directory.path(), &["store.block_age=10ms"]);
    third.wait_for_metric("logboom_recovered_segments_total", 1);
    send(&third, 130..133);
    assert_eq!([next(), next(), next()], ["message 130", "message 131", "message 132"]);
    third.stop();
    tail.kill().unwrap();
    wait_for_exit(&mut tail);
}

#[test]
fn wrong_turns_are_helped() {
    let empty = tempfile::tempdir().unwrap();
    for (arguments, told) in [
        (&["cat", "/nowhere"][..], "cannot read /nowhere: No such file or directory"),
        (&["cat", "--since", "noon"], "is not a time: write 2026-11-22 10:00:00"),
        (&["cat", "-p", "high"], "is no severity: write one of emerg"),
        (&["cat", "--source", "host"], "is no source: write an address"),
        (&["grep"], "there is no pattern: logboom grep PATTERN"),
        (&["stat", "--count-by", "severity", "--host", "x", "/"], "use grep -c"),
        (&["stat", "--histogram", "fast"], "is not a span of time: write"),
        (&["man", "nothing"], "there is no command `nothing`"),
    ] {
        let output = logboom().args(arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && errors.contains(told), "{arguments:?}: {errors}");
    }
    let (code, _, errors) = run(&["grep", "x"], empty.path());
    assert!(code == Some(2) && errors.contains("there are no segments in"), "{errors}");
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definitions() {
    let output = |arguments: &[&str]| String::from_utf8(logboom().args(arguments).output().unwrap().stdout).unwrap();
    assert!(output(&["completions", "bash"]).contains("--only-matching"));
    assert!(output(&["completions", "zsh"]).contains("#compdef logboom"));
    assert!(output(&["man"]).contains(".TH logboom"));
    let page = output(&["man", "grep"]);
    assert!(page.contains("logboom\\-grep") && page.contains("invert\\-match"), "{page}");
}

/// Writes messages to a sealed segment of `directory`, in blocks of a few.
fn write_segment(directory: &Path, messages: &[String], in_a_block: usize) {
    let limits = RowLimits { content_bytes: 1 << 20, rows: 16_384, sources: 16 };
    let (mut rows, mut encoder, mut builder) = (Rows::new(limits), Encoder::new(1).unwrap(), SegmentBuilder::new());
    let (listeners, mut bytes, mut block) = (vec!["udp://127.0.0.1:514".to_owned()], Vec::new(), Vec::new());
    let run_id = RunId(0xC0FFEE);
    for (sequence, messages) in (0..).zip(messages.chunks(in_a_block)) {
        for text in messages {
            let (source, length) = (Source { address: None, port: 0, listener: 0 }, text.len() as u32);
            let payload = text.as_bytes();
            let message =
                Message { payload, received_ns: 1, source, pri: 13, flags: Flags::NONE, original_length: length };
            rows.append(&message).unwrap();
        }
        let (receiver, boot_ns, noted_ns) = (0, 0, 1);
        let header =
            BlockHeader { run_id, receiver, sequence_first: sequence, sequence_last: sequence, boot_ns, noted_ns };
        let entry = encoder.encode(&mut rows, &header, &listeners, &[], &mut block).unwrap();
        builder.add(entry, rows.sources(), &listeners, &[]);
        bytes.extend_from_slice(&block);
        rows.clear();
    }
    bytes.extend_from_slice(&builder.seal().unwrap());
    std::fs::write(directory.join(format!("20261122T101500Z-w0-{run_id}-000001.log.zst")), bytes).unwrap();
}

#[test]
fn what_stat_would_have_to_ignore_it_refuses() {
    let directory = tempfile::tempdir().unwrap();
    write_segment(directory.path(), &["one".into(), "two".into()], 1);
    for arguments in
        [&["-p", "err"][..], &["-S", "-1h"], &["--source", "::1"], &["--stats"], &["--max-cpu", "2"], &["--utc"]]
    {
        let (code, text, errors) = run(&[&["stat"], arguments].concat(), directory.path());
        assert_eq!((code, text.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(errors.contains("count with --count-by or --histogram"), "{errors}");
    }
    let (code, _, errors) = run(&["stat", "--histogram", "1h", "--json"], directory.path());
    assert!(code == Some(2) && errors.contains("cannot be used with"), "{errors}");
    assert_eq!(run(&["stat"], directory.path()).0, Some(0));
}

#[test]
fn a_reader_of_the_output_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    write_segment(directory.path(), &["one".into()], 1);
    for arguments in [&["grep", "-c", "one"][..], &["grep", "-c", "-m", "1", "one"], &["stat"], &["check-config"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = logboom();
        command.args(arguments).stdout(writer).stderr(Stdio::piped());
        if arguments[0] != "check-config" {
            command.arg(directory.path());
        }
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{arguments:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// `zstdcat FILE | grep` is the plain reference: whatever is asked, the same lines come.
    #[test]
    fn grep_finds_what_plain_grep_finds(
        messages in proptest::collection::vec("[abAB .x]{0,12}", 1..60),
        in_a_block in 1usize..20,
        pattern in prop_oneof!["[abAB x]{1,4}", "[ab][.][ab]", "[(]a[|]b[)]x?", "\\^[ab]{1,2}", "[ab]{1,2}[$]", "a[*]b", "\\[ab\\][+]x"],
        options in proptest::sample::subsequence(vec!["-i", "-v", "-F"], 0..=3),
    ) {
        let directory = tempfile::tempdir().unwrap();
        write_segment(directory.path(), &messages, in_a_block);
        let file = std::fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
        let text = zstd::decode_all(&std::fs::read(&file).unwrap()[..]).unwrap();
        let plain = directory.path().join("plain");
        std::fs::write(&plain, text).unwrap();
        let grep = |count: &[&str]| {
            let engine = if options.contains(&"-F") { &[][..] } else { &["-E"] };
            let mut command = std::process::Command::new("grep");
            command.env("LC_ALL", "C").args(engine).args(&options).args(count).args(["-e", &pattern]).arg(&plain);
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let ours = |count: &[&str]| {
            let arguments = [&["grep"], &options[..], count, &["-e", &pattern]].concat();
            run(&arguments, directory.path()).1
        };
        prop_assert_eq!(ours(&["-o", "raw"]), grep(&[]), "{:?} {:?}", options, pattern);
        prop_assert_eq!(ours(&["-c"]), grep(&["-c"]), "{:?} {:?}", options, pattern);
    }
}
