//! Headers of messages: what senders write is read as they meant it, and what nobody meant is still read.
//!
//! * `standards`: the examples of the RFCs, and senders that hold to RFC 5424, nearly;
//! * `unix`: syslogd and its successors, programs, agents, and lines that are hardly syslog;
//! * `cisco`: Cisco, and those who write like it;
//! * `vendors`: network devices, firewalls, hypervisors, appliances.
//!
//! Paths are within the repositories at GitHub; those of rsyslog, syslog-ng, Vector, fluentd, go-syslog and
//! splunk-connect-for-syslog as of the middle of 2026.

use logboom_syslog::header::{
    APP_BYTES_MAX, Format, HOST_BYTES_MAX, Header, MSG_ID_BYTES_MAX, PROC_ID_BYTES_MAX, TAG_BYTES_MAX, parse,
};
use proptest::prelude::*;

mod cisco;
mod sample;
mod standards;
mod unix;
mod vendors;

use sample::Sample;

fn samples() -> impl Iterator<Item = &'static Sample> {
    [standards::SAMPLES, unix::SAMPLES, cisco::SAMPLES, vendors::SAMPLES].into_iter().flatten()
}

fn all_read_right(samples: &[Sample]) {
    let complaints: Vec<String> = samples.iter().filter_map(Sample::complaint).collect();
    assert!(complaints.is_empty(), "{} of {} wrong:\n{}", complaints.len(), samples.len(), complaints.join("\n\n"));
}

/// What holds of every header, whatever the bytes.
fn check(input: &[u8]) -> Header<'_> {
    let header = parse(input);
    let whole = input.as_ptr_range();
    let fields = [
        header.timestamp,
        header.host,
        header.app,
        header.proc_id,
        header.msg_id,
        header.structured_data,
        Some(header.message),
    ];
    let mut end = whole.start;
    for field in fields.into_iter().flatten() {
        let part = field.as_ptr_range();
        assert!(whole.start <= part.start && part.end <= whole.end, "a field outside of {:?}", input.escape_ascii());
    }
    for field in fields[..6].iter().flatten() {
        assert!(!field.is_empty(), "a field that is there and empty in {:?}", input.escape_ascii());
        end = end.max(field.as_ptr_range().end);
    }
    let message = header.message.as_ptr_range();
    assert!(end <= message.start && message.end == whole.end, "not the end of {:?}", input.escape_ascii());
    assert_eq!(header.pri, logboom_syslog::pri(input));
    assert_eq!(
        header.format == Format::Unknown,
        fields[..6].iter().all(Option::is_none) && header.format != Format::Rfc5424
    );
    header
}

#[test]
fn the_standards_are_read() {
    all_read_right(standards::SAMPLES);
}

#[test]
fn programs_and_agents_are_read() {
    all_read_right(unix::SAMPLES);
}

#[test]
fn cisco_is_read() {
    all_read_right(cisco::SAMPLES);
}

#[test]
fn vendors_are_read() {
    all_read_right(vendors::SAMPLES);
}

#[test]
fn a_sample_cut_anywhere_is_still_read() {
    for sample in samples() {
        for end in 0..=sample.text.len() {
            check(&sample.text.as_bytes()[..end]);
        }
        for begin in 0..=sample.text.len() {
            check(&sample.text.as_bytes()[begin..]);
        }
    }
}

#[test]
fn nothing_is_read_from_nothing() {
    let nothing = Header { format: Format::Unknown, ..Header::default() };
    assert_eq!(parse(b""), nothing);
    assert_eq!(parse(b"<13>"), Header { pri: Some(13), ..nothing });
    assert_eq!(parse(b"\xEF\xBB\xBF"), nothing);
}

/// Each is what an ordinary message would say, had its timestamp been taken.
#[test]
fn every_timestamp_that_is_sent_is_found() {
    for timestamp in [
        "Oct 11 22:14:15",
        "Oct  1 22:14:15",
        "Oct 01 22:14:15",
        "Oct 1 2:14:15",
        "oct 11 22:14:15",
        "October 11 22:14:15",
        "Oct 11 23:59:60",
        "Oct 11 22:14:15.1",
        "Oct 11 22:14:15.123456789",
        "Oct 11 22:14:15,123",
        "Oct 11 22:14:15 UTC",
        "Oct 11 22:14:15 +0200",
        "Oct 11 22:14:15+02:00",
        "Oct 11 2026 22:14:15",
        "Oct 11 2026 22:14:15.123",
        "2026 Oct 11 22:14:15",
        "2026 Oct  1 22:14:15.123",
        "Oct 11 22:14:15 2026",
        "Oct 11 22:14:15 CEST 2026",
        "Oct 11 22:14:15 UTC 2026",
        "2026-10-11T22:14:15Z",
        "2026-10-11t22:14:15z",
        "2026-10-11T22:14:15.123456+02:00",
        "2026-10-11T22:14:15.123456789-0230",
        "2026-10-11T22:14:15,123+02",
        "2026-10-11 22:14:15",
        "2026-10-11 22:14:15.123 +0200",
        "2026:10:11-22:14:15",
        "10/11/2026:22:14:15 GMT",
    ] {
        for between in [" ", ": ", "  "] {
            let text = format!("<13>{timestamp}{between}mymachine su[230]: failed");
            let header = check(text.as_bytes());
            assert_eq!(header.timestamp, Some(timestamp.as_bytes()), "{text}");
            assert_eq!((header.proc_id, header.message), (Some(&b"230"[..]), &b"failed"[..]), "{text}");
        }
    }
}

#[test]
fn what_is_no_time_is_no_timestamp() {
    for text in [
        "Oct 32 22:14:15",
        "Oct 0 22:14:15",
        "Oct 11 24:14:15",
        "Oct 11 22:60:15",
        "Oct 11 22:14:61",
        "Oct 11 22:14",
        "Oct 11 22:14:15.1234567890",
        "Oct 11 22:14:15x",
        "Oct 111 22:14:15",
        "Okt 11 22:14:15",
        "Oc 11 22:14:15",
        "1026 Oct 11 22:14:15",
        "2026-13-11T22:14:15Z",
        "2026-10-32T22:14:15Z",
        "2026-10-11T22:14:15+24:00",
        "2026-10-11_22:14:15",
        "20266-10-11T22:14:15Z",
        "99999999999999999999-10-11T22:14:15Z",
        "2026/10/11 22:14:15",
        "1791756855.123",
        "1791756855",
    ] {
        let text = format!("<13>{text} mymachine su[230]: failed");
        assert_eq!(check(text.as_bytes()).timestamp, None, "{text}");
    }
}

/// A token that ends with a colon, or has digits in brackets, is the tag; any other is the host.
#[test]
fn host_and_tag_are_told_apart_by_the_colon() {
    let read = |rest: &str| {
        let text = format!("<13>Oct 11 22:14:15 {rest}");
        let header = check(text.as_bytes());
        let told = |field: Option<&[u8]>| field.map(|field| String::from_utf8(field.to_vec()).unwrap());
        (told(header.host), told(header.app), told(header.proc_id), String::from_utf8(header.message.to_vec()).unwrap())
    };
    let expected = |host: &str, app: &str, proc_id: &str, message: &str| {
        let field = |field: &str| (!field.is_empty()).then(|| field.to_owned());
        (field(host), field(app), field(proc_id), message.to_owned())
    };
    assert_eq!(read("su: failed"), expected("", "su", "", "failed"));
    assert_eq!(read("su[230]: failed"), expected("", "su", "230", "failed"));
    assert_eq!(read("su[230] failed"), expected("", "su", "230", "failed"));
    assert_eq!(read("host su: failed"), expected("host", "su", "", "failed"));
    assert_eq!(read("host su failed"), expected("host", "", "", "su failed"));
    assert_eq!(read("host: su: failed"), expected("", "host", "", "su: failed"));
    assert_eq!(read("host :"), expected("host", "", "", ""));
    assert_eq!(read("host"), expected("host", "", "", ""));
    assert_eq!(read("su:"), expected("", "su", "", ""));
    assert_eq!(read("::1 su: failed"), expected("::1", "su", "", "failed"));
    assert_eq!(read("fe80::1%eth0 su: failed"), expected("fe80::1%eth0", "su", "", "failed"));
    assert_eq!(read("[2001:db8::1] su: failed"), expected("2001:db8::1", "su", "", "failed"));
    assert_eq!(read("[main] su: failed"), expected("", "", "", "[main] su: failed"));
    assert_eq!(read("INFO su: failed"), expected("", "", "", "INFO su: failed"));
    assert_eq!(read("INFO: started"), expected("", "", "", "INFO: started"));
    assert_eq!(read("host Error: failed"), expected("host", "", "", "Error: failed"));
    assert_eq!(read("host err su: failed"), expected("host", "su", "", "failed"));
    assert_eq!(read("2026-10-11 22:14:14 started"), expected("", "", "", "2026-10-11 22:14:14 started"));
    assert_eq!(read("last message repeated 2 times"), expected("", "", "", "last message repeated 2 times"));
    assert_eq!(read("host last message repeated 2 times"), expected("host", "", "", "last message repeated 2 times"));
    assert_eq!(read("host http://example.com/"), expected("host", "", "", "http://example.com/"));
    assert_eq!(read("host 12:34:56 up"), expected("host", "", "", "12:34:56 up"));
    assert_eq!(read("host key=value: x"), expected("host", "", "", "key=value: x"));
    assert_eq!(read("host su:   indented"), expected("host", "su", "", "  indented"));
    assert_eq!(read("host\tsu: failed"), expected("host", "su", "", "failed"));
    assert_eq!(read("host\tkey=value"), expected("host", "", "", "key=value"));
    assert_eq!(read("host \tindented"), expected("host", "", "", "\tindented"));
}

#[test]
fn without_a_pri_a_host_is_believed_only_before_a_tag() {
    assert_eq!(check(b"2026-10-11T22:14:15Z Listening on port 80").host, None);
    assert_eq!(check(b"2026-10-11T22:14:15Z Listening on port 80").message, b"Listening on port 80");
    assert_eq!(check(b"2026-10-11T22:14:15Z mymachine su: failed").host, Some(&b"mymachine"[..]));
    assert_eq!(check(b"note: not syslog at all").app, None);
    assert_eq!(check(b"<13>note: syslog").app, Some(&b"note"[..]));
}

#[test]
fn a_field_over_its_limit_stays_in_the_message() {
    let rfc5424 = |host: usize, app: usize, proc_id: usize, msg_id: usize| {
        let [host, app, proc_id, msg_id] = [host, app, proc_id, msg_id].map(|length| "x".repeat(length));
        format!("<13>1 2026-10-11T22:14:15Z {host} {app} {proc_id} {msg_id} - text")
    };
    let longest = [HOST_BYTES_MAX, APP_BYTES_MAX, PROC_ID_BYTES_MAX, MSG_ID_BYTES_MAX];
    let text = rfc5424(longest[0], longest[1], longest[2], longest[3]);
    let header = check(text.as_bytes());
    assert_eq!((header.format, header.message), (Format::Rfc5424, &b"text"[..]));
    for over in 0..4 {
        let mut lengths = longest;
        lengths[over] += 1;
        let text = rfc5424(lengths[0], lengths[1], lengths[2], lengths[3]);
        let header = check(text.as_bytes());
        assert_eq!((header.format, header.host.is_some()), (Format::Rfc3164, over > 0));
        assert!(header.message.starts_with(b"xxx") && header.message.ends_with(b" - text"), "{text}");
    }
    for (length, is_tag) in [(TAG_BYTES_MAX, true), (TAG_BYTES_MAX + 1, false)] {
        let text = format!("<13>Oct 11 22:14:15 host {}: text", "x".repeat(length));
        assert_eq!(check(text.as_bytes()).app.is_some(), is_tag);
    }
}

/// Were any of these read again from each of its bytes, this test would not end.
#[test]
fn endless_repetition_is_read_once() {
    for begin in ["", "<13>", "<13>1 - - - - - ", "<13>Oct 11 22:14:15 ", "<13>Oct 11 22:14:15 host ", "29: %"] {
        for part in [
            " ",
            "a",
            "1",
            ":",
            "[",
            "]",
            "%",
            "\\",
            "\"",
            ",",
            "-",
            "a: ",
            "a ",
            "1: ",
            "*",
            "[a]",
            "[a",
            "[a b=\"",
            "[a b=\"c\"]",
            "\\\"",
            "%A-1-",
            "Oct 11 22:14:15 ",
            "a/b:",
            "CLC ",
            "a:b ",
            "\u{feff}",
            "\t",
            "a\t",
        ] {
            check(format!("{begin}{}", part.repeat((1 << 18) / part.len())).as_bytes());
        }
    }
}

/// What headers are made of, good and bad, to be put together in any order.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&str] = &[
        "<13>",
        "<191>",
        "<192>",
        "<",
        ">",
        "1 ",
        "999 ",
        " ",
        "  ",
        ": ",
        " : ",
        ":",
        "-",
        "- ",
        "\t",
        "\u{feff}",
        "Oct 11 22:14:15",
        "Oct  1 2026 22:14:15.123",
        "2026 Oct 11 22:14:15",
        "2026-10-11T22:14:15.123Z",
        "2026-10-11 22:14:15+0200",
        "05/08/2025:03:13:15 GMT",
        "2015:03:02-00:39:22",
        "1563249630.774247467 ",
        " UTC",
        " CET 1987",
        "*",
        ".",
        "29: ",
        "1d02h: ",
        "host",
        "host ",
        "192.0.2.1 ",
        "2001:db8::1 ",
        "[192.0.2.1] ",
        "a,b,c: ",
        "app",
        "app: ",
        "app[12]: ",
        "app[12] ",
        "[12]: ",
        "notice ",
        "RP/0/RP0/CPU0:",
        "CLC 6/0: ",
        "%SYS-5-CONFIG_I: ",
        "%SYS-5-CONFIG_I",
        "%%10A/5/B: ",
        "Message forwarded from ",
        "last message repeated ",
        "MSWinEventLog\t",
        "[id a=\"b\"]",
        "[id a=\"\\]\\\"\"]",
        "[id]",
        "[id a=\"b",
        "[",
        "]",
        "\"",
        "\\",
        "=",
        "{}",
        "- - - - ",
        "ID47 ",
        "text",
    ];
    let part = prop_oneof![
        9 => proptest::sample::select(PARTS).prop_map(|part| part.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

/// SD-NAME (RFC 5424 section 6): PRINTUSASCII but `=`, space, `]` and `"`.
const SD_NAME: &str = r#"[!#-<>-\\^-~]{1,32}"#;

/// PARAM-VALUE: `"`, `\` and `]` escaped.
const PARAM_VALUE: &str = r#"([^"\\\]]|\\["\\\]])*"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn any_bytes_have_a_header(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn any_parts_of_headers_have_a_header(bytes in parts()) {
        check(&bytes);
    }

    #[test]
    fn any_byte_of_a_sample_may_be_another(
        index in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let samples: Vec<&Sample> = samples().collect();
        let mut bytes = index.get(&samples).text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        check(&bytes);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_rfc_5424_writes_is_read_back(
        (pri, version) in (0u8..=191, 1u16..=999),
        host in "[!-~]{1,255}",
        app in "[!-9;-~]{1,48}",
        proc_id in "[!-~]{1,128}",
        msg_id in "[!-~]{1,32}",
        elements in proptest::collection::vec((SD_NAME, proptest::collection::vec((SD_NAME, PARAM_VALUE), 0..4)), 0..4),
        text in "\\PC*",
    ) {
        let element = |(id, params): &(String, Vec<(String, String)>)| {
            let params: String = params.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
            format!("[{id}{params}]")
        };
        let data: String = elements.iter().map(element).collect();
        let data = if data.is_empty() { "-" } else { &data };
        let timestamp = "2003-10-11T22:14:15.003Z";
        let line = format!("<{pri}>{version} {timestamp} {host} {app} {proc_id} {msg_id} {data} {text}");
        let header = check(line.as_bytes());
        prop_assert_eq!(header.format, Format::Rfc5424);
        prop_assert_eq!(header.pri, Some(pri));
        prop_assert_eq!(header.timestamp, Some(timestamp.as_bytes()));
        let field = |field: &str| (field != "-").then(|| field.as_bytes().to_vec());
        prop_assert_eq!(header.host.map(<[u8]>::to_vec), field(&host));
        prop_assert_eq!(header.app.map(<[u8]>::to_vec), field(&app));
        prop_assert_eq!(header.proc_id.map(<[u8]>::to_vec), field(&proc_id));
        prop_assert_eq!(header.msg_id.map(<[u8]>::to_vec), field(&msg_id));
        prop_assert_eq!(header.structured_data.map(<[u8]>::to_vec), field(data));
        prop_assert_eq!(header.message, text.as_bytes());
    }

    #[test]
    fn what_rfc_3164_writes_is_read_back(
        pri in 0u8..=191,
        month in proptest::sample::select(&["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Oct", "Nov", "Dec"][..]),
        day in 1u8..=31,
        (hour, minute, second) in (0u8..24, 0u8..60, 0u8..60),
        host in "host[a-z0-9-]{0,30}[0-9]",
        tag in "[A-Z]9[A-Za-z0-9]{0,30}",
        proc_id in proptest::option::of(1u32..),
        text in "[^ \u{feff}]\\PC*",
    ) {
        let timestamp = format!("{month} {day:2} {hour:02}:{minute:02}:{second:02}");
        let process = proc_id.map_or(String::new(), |proc_id| format!("[{proc_id}]"));
        let line = format!("<{pri}>{timestamp} {host} {tag}{process}: {text}");
        let header = check(line.as_bytes());
        prop_assert_eq!(header.format, Format::Rfc3164);
        prop_assert_eq!(header.timestamp, Some(timestamp.as_bytes()));
        prop_assert_eq!(header.host, Some(host.as_bytes()));
        prop_assert_eq!(header.app, Some(tag.as_bytes()));
        prop_assert_eq!(header.proc_id.map(<[u8]>::to_vec), proc_id.map(|proc_id| proc_id.to_string().into_bytes()));
        prop_assert_eq!(header.message, text.as_bytes());
    }
}
