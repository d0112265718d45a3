//! The examples of the RFCs themselves, and senders that hold to RFC 5424, nearly.

use super::sample::{Sample, sample};

const GO_SYSLOG: &str = "influxdata/go-syslog rfc5424/machine_test.go";
const SYSLOG_NG: &str = "syslog-ng/syslog-ng lib/tests/test_msgparse.c";
const VECTOR: &str = "vectordotdev/vector src/sources/syslog.rs";
const FLUENTD: &str = "fluent/fluentd test/plugin/test_parser_syslog.rb";
const LOGSEARCH: &str = "logsearch-attic/logsearch-filters-common test/syslog_standard-spec.rb";

pub(super) const SAMPLES: &[Sample] = &[
    sample(
        "RFC 5424 section 6.5, example 1",
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on \
         /dev/pts/8",
    )
    .rfc5424()
    .pri(34)
    .at("2003-10-11T22:14:15.003Z")
    .host("mymachine.example.com")
    .app("su")
    .msg_id("ID47")
    .message("'su root' failed for lonvick on /dev/pts/8"),
    sample(
        "RFC 5424 section 6.5, example 2",
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
    )
    .rfc5424()
    .pri(165)
    .at("2003-08-24T05:14:15.000003-07:00")
    .host("192.0.2.1")
    .app("myproc")
    .proc_id("8710")
    .message("%% It's time to make the do-nuts."),
    sample(
        "RFC 5424 section 6.5, example 3",
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" \
         eventSource=\"Application\" eventID=\"1011\"] \u{feff}An application event log entry...",
    )
    .rfc5424()
    .pri(165)
    .at("2003-10-11T22:14:15.003Z")
    .host("mymachine.example.com")
    .app("evntslog")
    .msg_id("ID47")
    .data(r#"[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]"#)
    .message("An application event log entry..."),
    sample(
        "RFC 5424 section 6.5, example 4",
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" \
         eventSource=\"Application\" eventID=\"1011\"][examplePriority@32473 class=\"high\"]",
    )
    .rfc5424()
    .pri(165)
    .at("2003-10-11T22:14:15.003Z")
    .host("mymachine.example.com")
    .app("evntslog")
    .msg_id("ID47")
    .data(concat!(
        r#"[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]"#,
        r#"[examplePriority@32473 class="high"]"#
    )),
    sample(
        "RFC 3164 section 5.4, example 1",
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
    )
    .pri(34)
    .at("Oct 11 22:14:15")
    .host("mymachine")
    .app("su")
    .message("'su root' failed for lonvick on /dev/pts/8"),
    sample("RFC 3164 section 5.4, example 2, as sent", "Use the BFG!").unknown().message("Use the BFG!"),
    sample("RFC 3164 section 5.4, example 2, as relayed", "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!")
        .pri(13)
        .at("Feb  5 17:32:18")
        .host("10.0.0.99")
        .message("Use the BFG!"),
    sample(
        "RFC 3164 section 5.4, example 3",
        "<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time to make the do-nuts.  %%  Ingredients: \
         Mix=OK, Jelly=OK # Devices: Mixer=OK, Jelly_Injector=OK, Frier=OK # Transport: Conveyer1=OK, \
         Conveyer2=OK # %%",
    )
    .pri(165)
    .at("Aug 24 05:34:00 CST 1987")
    .host("mymachine")
    .app("myproc")
    .proc_id("10")
    .message(
        "%% It's time to make the do-nuts.  %%  Ingredients: Mix=OK, Jelly=OK # Devices: Mixer=OK, \
         Jelly_Injector=OK, Frier=OK # Transport: Conveyer1=OK, Conveyer2=OK # %%",
    ),
    sample(
        "RFC 3164 section 5.4, example 4, as relayed",
        "<0>Oct 22 10:52:12 scapegoat 1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's \
         All Folks!",
    )
    .pri(0)
    .at("Oct 22 10:52:12")
    .host("scapegoat")
    .message("1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!"),
    sample(GO_SYSLOG, "<0>1 - - - - - -").rfc5424().pri(0),
    sample(GO_SYSLOG, "<165>2 2003-08-24T05:14:15.000003-07:00 - - - - -")
        .rfc5424()
        .pri(165)
        .at("2003-08-24T05:14:15.000003-07:00"),
    sample(GO_SYSLOG, "<29>1 2006-01-02t15:04:05Z - - - - -").rfc5424().pri(29).at("2006-01-02t15:04:05Z"),
    sample(GO_SYSLOG, "<78>5 2016-01-15T00:04:01+00:00 host1 CROND 10391 - [sdid] some_message")
        .rfc5424()
        .pri(78)
        .at("2016-01-15T00:04:01+00:00")
        .host("host1")
        .app("CROND")
        .proc_id("10391")
        .data("[sdid]")
        .message("some_message"),
    sample(GO_SYSLOG, r#"<78>1 2016-01-15T00:04:01+00:00 host1 CROND 10391 - [sdid x="⌘"] some_message"#)
        .rfc5424()
        .pri(78)
        .at("2016-01-15T00:04:01+00:00")
        .host("host1")
        .app("CROND")
        .proc_id("10391")
        .data(r#"[sdid x="⌘"]"#)
        .message("some_message"),
    sample(GO_SYSLOG, r#"<29>2 2016-01-15T01:00:43Z some-host-name SEKRETPROGRAM prg - [meta escape="\]\"\\\\\]\""]"#)
        .rfc5424()
        .pri(29)
        .at("2016-01-15T01:00:43Z")
        .host("some-host-name")
        .app("SEKRETPROGRAM")
        .proc_id("prg")
        .data(r#"[meta escape="\]\"\\\\\]\""]"#),
    sample(GO_SYSLOG, r#"<29>4 2017-01-15T01:00:43Z hn S - - [meta escape="""] 127.0.0.1 - - 1452819643 "GET""#)
        .rfc5424()
        .pri(29)
        .at("2017-01-15T01:00:43Z")
        .host("hn")
        .app("S")
        .message(r#"[meta escape="""] 127.0.0.1 - - 1452819643 "GET""#),
    sample(GO_SYSLOG, r#"<29>5 2019-01-15T01:00:43Z hn S - - [meta escape="\"] 127.0.0.1 - - 1452819643 "GET""#)
        .rfc5424()
        .pri(29)
        .at("2019-01-15T01:00:43Z")
        .host("hn")
        .app("S")
        .message(r#"[meta escape="\"] 127.0.0.1 - - 1452819643 "GET""#),
    sample(
        SYSLOG_NG,
        r#"<7>1 2006-10-29T01:59:59.156Z mymachine.example.com evntslog - ID47 [ exampleSDID@0 iut="3"] An entry..."#,
    )
    .rfc5424()
    .pri(7)
    .at("2006-10-29T01:59:59.156Z")
    .host("mymachine.example.com")
    .app("evntslog")
    .msg_id("ID47")
    .message(r#"[ exampleSDID@0 iut="3"] An entry..."#),
    sample(
        SYSLOG_NG,
        r#"<132>1 2006-10-29T01:59:59.156+01:00 mymachine evntslog - - [a i="]ok"] An application event log entry..."#,
    )
    .rfc5424()
    .pri(132)
    .at("2006-10-29T01:59:59.156+01:00")
    .host("mymachine")
    .app("evntslog")
    .data(r#"[a i="]ok"]"#)
    .message("An application event log entry..."),
    sample(
        SYSLOG_NG,
        "<132>1 2006-10-29T01:59:59.156+01:00 mymachine evntslog - - [exampleSDID@0 iut=\"3\"] \
         [eventSource=\"Application\" eventID=\"1011\"][examplePriority@0 class=\"high\"] An entry...",
    )
    .rfc5424()
    .pri(132)
    .at("2006-10-29T01:59:59.156+01:00")
    .host("mymachine")
    .app("evntslog")
    .data(r#"[exampleSDID@0 iut="3"]"#)
    .message(r#"[eventSource="Application" eventID="1011"][examplePriority@0 class="high"] An entry..."#),
    sample(
        SYSLOG_NG,
        "<134>1 2009-10-16T11:51:56 exchange.macartney.esbjerg MSExchange_ADAccess 20208 - - An entry...",
    )
    .rfc5424()
    .pri(134)
    .at("2009-10-16T11:51:56")
    .host("exchange.macartney.esbjerg")
    .app("MSExchange_ADAccess")
    .proc_id("20208")
    .message("An entry..."),
    sample(SYSLOG_NG, "<7>1 - bzorp openvpn 2499 - - PTHREAD support initialized")
        .rfc5424()
        .pri(7)
        .host("bzorp")
        .app("openvpn")
        .proc_id("2499")
        .message("PTHREAD support initialized"),
    sample(
        "rsyslog/rsyslog tests/parsertest-parse1.sh",
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" \
         eventSource= \"Application\" eventID=\"1011\"] BOMAn application event log entry...",
    )
    .rfc5424()
    .pri(165)
    .at("2003-10-11T22:14:15.003Z")
    .host("mymachine.example.com")
    .app("evntslog")
    .msg_id("ID47")
    .data(r#"[exampleSDID@32473 iut="3" eventSource= "Application" eventID="1011"]"#)
    .message("BOMAn application event log entry..."),
    sample(VECTOR, r#"<13>1 2019-02-13T19:48:34+00:00 74794bfb6795 root 8449 - [incorrect x] qwerty"#)
        .rfc5424()
        .pri(13)
        .at("2019-02-13T19:48:34+00:00")
        .host("74794bfb6795")
        .app("root")
        .proc_id("8449")
        .message("[incorrect x] qwerty"),
    sample(VECTOR, r#"<13>1 2019-02-13T19:48:34+00:00 74794bfb6795 root 8449 - [non_empty x="1"][empty] qwerty"#)
        .rfc5424()
        .pri(13)
        .at("2019-02-13T19:48:34+00:00")
        .host("74794bfb6795")
        .app("root")
        .proc_id("8449")
        .data(r#"[non_empty x="1"][empty]"#)
        .message("qwerty"),
    sample(FLUENTD, "<30>1 2020-03-31T20:32:54Z myhostname 02abaf0687f5 10339 02abaf0687f5 - method=POST db=0.00")
        .rfc5424()
        .pri(30)
        .at("2020-03-31T20:32:54Z")
        .host("myhostname")
        .app("02abaf0687f5")
        .proc_id("10339")
        .msg_id("02abaf0687f5")
        .message("method=POST db=0.00"),
    sample(
        FLUENTD,
        "<28>1 2018-09-26T15:54:26.620412+09:00 machine minissdpd 1298 - -  peer 192.168.0.5:50123 is not from a LAN",
    )
    .rfc5424()
    .pri(28)
    .at("2018-09-26T15:54:26.620412+09:00")
    .host("machine")
    .app("minissdpd")
    .proc_id("1298")
    .message(" peer 192.168.0.5:50123 is not from a LAN"),
    sample(
        "https://devcenter.heroku.com/articles/log-drains",
        "<40>1 2012-11-30T06:45:29+00:00 host app web.3 - State changed from starting to up",
    )
    .rfc5424()
    .pri(40)
    .at("2012-11-30T06:45:29+00:00")
    .host("host")
    .app("app")
    .proc_id("web.3")
    .message("State changed from starting to up"),
    sample(
        LOGSEARCH,
        "<14>1 2014-05-20T09:46:16+00:00 loggregator d5a5e8a5-9b06-4dd3-8157-e9bd3327b9dc [App/0] - - Updating \
         AppSettings for /home/vcap/app/logsearch-watcher-bot.exe.config",
    )
    .rfc5424()
    .pri(14)
    .at("2014-05-20T09:46:16+00:00")
    .host("loggregator")
    .app("d5a5e8a5-9b06-4dd3-8157-e9bd3327b9dc")
    .proc_id("[App/0]")
    .message("Updating AppSettings for /home/vcap/app/logsearch-watcher-bot.exe.config"),
    sample(LOGSEARCH, "<11>1 2014-05-20T09:46:07+00:00 loggregator d5a5e8a5-9b06-4dd3-8157-e9bd3327b9dc [App/0] - -")
        .rfc5424()
        .pri(11)
        .at("2014-05-20T09:46:07+00:00")
        .host("loggregator")
        .app("d5a5e8a5-9b06-4dd3-8157-e9bd3327b9dc")
        .proc_id("[App/0]"),
    sample(
        "https://docs.nxlog.co/agent/current/xm/syslog.html",
        r#"<165>1 2026-03-20T15:45:12.345Z appserver.example.com MyApp 12345 ID123 - {"event":"login","user":"jdoe"}"#,
    )
    .rfc5424()
    .pri(165)
    .at("2026-03-20T15:45:12.345Z")
    .host("appserver.example.com")
    .app("MyApp")
    .proc_id("12345")
    .msg_id("ID123")
    .message(r#"{"event":"login","user":"jdoe"}"#),
];
