//! syslogd and its successors, programs, agents, and lines that are hardly syslog.

use super::sample::{Sample, sample};

const RSYSLOG: &str = "rsyslog/rsyslog tests/parsertest-parse1.sh";
const RSYSLOG_PARSE3: &str = "rsyslog/rsyslog tests/parsertest-parse3.sh";
const RSYSLOG_NO_DATE: &str = "rsyslog/rsyslog tests/parsertest-parse-nodate.sh";
const RSYSLOG_SNARE: &str = "rsyslog/rsyslog tests/pmsnare-ccoff.sh";
const SYSLOG_NG: &str = "syslog-ng/syslog-ng lib/tests/test_msgparse.c";
const GO_SYSLOG: &str = "influxdata/go-syslog rfc3164/machine_test.go";
const BEATS: &str = "elastic/beats filebeat/input/syslog/parser_test.go";
const SYSLOG_LOOSE: &str = "StephenWakely/syslog-loose tests/tests.rs";
const LOGSEARCH: &str = "logsearch-attic/logsearch-filters-common test/syslog_standard-spec.rb";
const SC4S_LINUX: &str = "splunk/splunk-connect-for-syslog tests/test_linux_syslog.py";
const SC4S_PFSENSE: &str = "splunk/splunk-connect-for-syslog tests/test_pfsense.py";
const WAZUH_RESPONSE: &str = "wazuh/wazuh-ruleset decoders/0010-active-response_decoders.xml";
const WAZUH_DOVECOT: &str = "wazuh/wazuh-ruleset decoders/0085-dovecot_decoders.xml";
const WAZUH_SSH: &str = "wazuh/wazuh-ruleset decoders/0310-ssh_decoders.xml";

pub(super) const SAMPLES: &[Sample] = &[
    sample(RSYSLOG, "<167>Mar 27 19:06:53 source_server sshd(pam_unix)[12750]: session opened for user foo by (uid=0)")
        .pri(167)
        .at("Mar 27 19:06:53")
        .host("source_server")
        .app("sshd(pam_unix)")
        .proc_id("12750")
        .message("session opened for user foo by (uid=0)"),
    sample(RSYSLOG, "<167>AUG 10 22:18:24 host tag This msg contains 8-bit European chars: äöü")
        .pri(167)
        .at("AUG 10 22:18:24")
        .host("host")
        .message("tag This msg contains 8-bit European chars: äöü"),
    sample(RSYSLOG, "<167> Mar  7 19:06:53 example tag: testmessage (only date actually tested)")
        .pri(167)
        .at("Mar  7 19:06:53")
        .host("example")
        .app("tag")
        .message("testmessage (only date actually tested)"),
    sample(RSYSLOG, "<167>Mar 7 2008 19:06:53: example tag: testmessage (only date actually tested)")
        .pri(167)
        .at("Mar 7 2008 19:06:53")
        .host("example")
        .app("tag")
        .message("testmessage (only date actually tested)"),
    sample(RSYSLOG, "<14>Jan  6 2009 15:22:26 localhost").pri(14).at("Jan  6 2009 15:22:26").host("localhost"),
    sample(RSYSLOG, "<167>Oct  8 23:05:06 10.321.1.123 05\",result_code=200,b")
        .pri(167)
        .at("Oct  8 23:05:06")
        .host("10.321.1.123")
        .message("05\",result_code=200,b"),
    sample(RSYSLOG, "<167>Feb 18 16:01:59 serverX -- MARK --")
        .pri(167)
        .at("Feb 18 16:01:59")
        .host("serverX")
        .message("-- MARK --"),
    sample(RSYSLOG, "Feb 18 16:01:59 serverX -- MARK --").at("Feb 18 16:01:59").message("serverX -- MARK --"),
    sample(
        RSYSLOG,
        "<6>AUG 10 22:18:24 2009  netips-warden2-p [audit] user=[*SMS] src=192.168.11.11 iface=5 access=9 Update \
         State Reset",
    )
    .pri(6)
    .at("AUG 10 22:18:24 2009")
    .host("netips-warden2-p")
    .message("[audit] user=[*SMS] src=192.168.11.11 iface=5 access=9 Update State Reset"),
    sample(RSYSLOG, "<14>Aug 30 23:00:05 X4711 ").pri(14).at("Aug 30 23:00:05").host("X4711"),
    sample(RSYSLOG, "<14>Aug 30 23:00:05").pri(14).at("Aug 30 23:00:05"),
    sample(RSYSLOG, "<14>2010-08-30T23:00:05Z X4711").pri(14).at("2010-08-30T23:00:05Z").host("X4711"),
    sample(RSYSLOG_PARSE3, "<175>Oct 16 2009 23:47:31 hostname tag[1234] This is a message")
        .pri(175)
        .at("Oct 16 2009 23:47:31")
        .host("hostname")
        .app("tag")
        .proc_id("1234")
        .message("This is a message"),
    sample(
        RSYSLOG_NO_DATE,
        "<27>xapi: [error|xen3|15|Guest liveness monitor D:bca30ab3f1c1|master_connection] Connection to master died.",
    )
    .pri(27)
    .app("xapi")
    .message("[error|xen3|15|Guest liveness monitor D:bca30ab3f1c1|master_connection] Connection to master died."),
    sample(RSYSLOG_NO_DATE, "This is a message!").unknown().message("This is a message!"),
    sample("rsyslog/rsyslog tests/pmlastmsg.sh", "<13>last message repeated 5 times")
        .unknown()
        .pri(13)
        .message("last message repeated 5 times"),
    sample("rsyslog/rsyslog tests/pmlastmsg.sh", "<167>Mar  6 16:57:54 172.20.245.8 TAG: Rest of message...")
        .pri(167)
        .at("Mar  6 16:57:54")
        .host("172.20.245.8")
        .app("TAG")
        .message("Rest of message..."),
    sample(SYSLOG_NG, "<15> openvpn[2499]: PTHREAD support initialized")
        .pri(15)
        .app("openvpn")
        .proc_id("2499")
        .message("PTHREAD support initialized"),
    sample(SYSLOG_NG, "<7>2006-11-10T10:43:21.15600000000 bzorp openvpn[2499]: PTHREAD support initialized")
        .unknown()
        .pri(7)
        .message("2006-11-10T10:43:21.15600000000 bzorp openvpn[2499]: PTHREAD support initialized"),
    sample(SYSLOG_NG, "<7> Aug 29 02:00:00.156789 ctld snmpd[2499]: PTHREAD support initialized")
        .pri(7)
        .at("Aug 29 02:00:00.156789")
        .host("ctld")
        .app("snmpd")
        .proc_id("2499")
        .message("PTHREAD support initialized"),
    sample(SYSLOG_NG, "<7>Aug 29 02:00:00 bzorp ctld/snmpd[2499]:")
        .pri(7)
        .at("Aug 29 02:00:00")
        .host("bzorp")
        .app("ctld/snmpd")
        .proc_id("2499"),
    sample(SYSLOG_NG, "<190>Apr 15 21:28:13 2007 linksys app: msg")
        .pri(190)
        .at("Apr 15 21:28:13 2007")
        .host("linksys")
        .app("app")
        .message("msg"),
    sample(
        SYSLOG_NG,
        "<38>Sep 22 10:11:56 Message forwarded from cdaix66: sshd[679960]: Accepted publickey for nagios from \
         1.9.1.1 port 42096 ssh2",
    )
    .pri(38)
    .at("Sep 22 10:11:56")
    .host("cdaix66")
    .app("sshd")
    .proc_id("679960")
    .message("Accepted publickey for nagios from 1.9.1.1 port 42096 ssh2"),
    sample(SYSLOG_NG, "<0>Jan 10 01:00:00 0001:BABA:BA00:DAB::BAB0 prg0")
        .pri(0)
        .at("Jan 10 01:00:00")
        .host("0001:BABA:BA00:DAB::BAB0")
        .message("prg0"),
    sample(SYSLOG_NG, "<0>Jan 10 01:00:00 0002:: prg0: msgtxt")
        .pri(0)
        .at("Jan 10 01:00:00")
        .host("0002::")
        .app("prg0")
        .message("msgtxt"),
    sample(
        GO_SYSLOG,
        "<85>Jan 24 15:50:41 ip-172-31-30-110 sudo[6040]: ec2-user : TTY=pts/0 ; PWD=/var/log ; USER=root",
    )
    .pri(85)
    .at("Jan 24 15:50:41")
    .host("ip-172-31-30-110")
    .app("sudo")
    .proc_id("6040")
    .message("ec2-user : TTY=pts/0 ; PWD=/var/log ; USER=root"),
    sample(GO_SYSLOG, "<166>Jul  6 20:33:28 ABC-1-234567 Some message here")
        .pri(166)
        .at("Jul  6 20:33:28")
        .host("ABC-1-234567")
        .message("Some message here"),
    sample(BEATS, "<190>2018-06-19 02:13:38.0004 super mon message")
        .pri(190)
        .at("2018-06-19 02:13:38.0004")
        .host("super")
        .message("mon message"),
    sample(BEATS, "<190>2018-06-19T02:13:38.635322Z+0000 super mon message")
        .pri(190)
        .at("2018-06-19T02:13:38.635322Z+0000")
        .host("super")
        .message("mon message"),
    sample(
        BEATS,
        "2016-05-08T10:31:24.0004 localhost prg00000[1234]: seq: 0000000000, thread: 0000, runid: 1525768284",
    )
    .at("2016-05-08T10:31:24.0004")
    .host("localhost")
    .app("prg00000")
    .proc_id("1234")
    .message("seq: 0000000000, thread: 0000, runid: 1525768284"),
    sample(BEATS, "Oct 11 22:14:15.000000005 --- last message repeated 1 time ---")
        .at("Oct 11 22:14:15.000000005")
        .message("--- last message repeated 1 time ---"),
    sample(
        BEATS,
        "<34>Oct 11 22:14:15 wopr.mymachine.co postfix/smtpd[2000]: 'su root' failed for lonvick on /dev/pts/8",
    )
    .pri(34)
    .at("Oct 11 22:14:15")
    .host("wopr.mymachine.co")
    .app("postfix/smtpd")
    .proc_id("2000")
    .message("'su root' failed for lonvick on /dev/pts/8"),
    sample(BEATS, "<13>Feb 25 17:32:18 2607:f0d0:1002:0051:0000:0000:0000:0004 Use the Force!")
        .pri(13)
        .at("Feb 25 17:32:18")
        .host("2607:f0d0:1002:0051:0000:0000:0000:0004")
        .message("Use the Force!"),
    sample("elastic/beats libbeat/reader/syslog/rfc3164_test.go", "13 Oct 11 22:14:15 test-host this is the message")
        .at("Oct 11 22:14:15")
        .message("test-host this is the message"),
    sample("elastic/beats libbeat/reader/syslog/rfc3164_test.go", "<192>Oct 11 22:14:15 test-host this is the message")
        .unknown()
        .message("<192>Oct 11 22:14:15 test-host this is the message"),
    sample(
        SYSLOG_LOOSE,
        r#"<190>Dec 28 16:49:07 plertrood-thinkpad-x220 nginx: 127.0.0.1 - - [28/Dec/2019:16:49:07 +0000] "GET /" 304"#,
    )
    .pri(190)
    .at("Dec 28 16:49:07")
    .host("plertrood-thinkpad-x220")
    .app("nginx")
    .message(r#"127.0.0.1 - - [28/Dec/2019:16:49:07 +0000] "GET /" 304"#),
    sample(SYSLOG_LOOSE, r#"<46>Jan  5 15:33:03 ThinkPad-X220 rsyslogd:  [origin software="rsyslogd"] start"#)
        .pri(46)
        .at("Jan  5 15:33:03")
        .host("ThinkPad-X220")
        .app("rsyslogd")
        .message(r#" [origin software="rsyslogd"] start"#),
    sample(SYSLOG_LOOSE, "<133>Jan 13 16:33:35 haproxy[73411]: Proxy sticky-servers started.")
        .pri(133)
        .at("Jan 13 16:33:35")
        .app("haproxy")
        .proc_id("73411")
        .message("Proxy sticky-servers started."),
    sample(SYSLOG_LOOSE, "<46>Jan 5 10:01:00 Übergröße außerplanmäßig größenordnungsmäßig")
        .pri(46)
        .at("Jan 5 10:01:00")
        .host("Übergröße")
        .message("außerplanmäßig größenordnungsmäßig"),
    sample("StephenWakely/syslog-loose src/rfc3164.rs", "<34>Oct 11 22:14:15 : a message")
        .pri(34)
        .at("Oct 11 22:14:15")
        .message("a message"),
    sample(LOGSEARCH, "<78>Apr 24, this message should fail")
        .unknown()
        .pri(78)
        .message("Apr 24, this message should fail"),
    sample(LOGSEARCH, "<14>2014-04-23T23:19:01.227366+00:00 172.31.201.31 vcap.nats [job=vcap.nats index=1]  {}")
        .pri(14)
        .at("2014-04-23T23:19:01.227366+00:00")
        .host("172.31.201.31")
        .message("vcap.nats [job=vcap.nats index=1]  {}"),
    sample(SC4S_LINUX, "<78>Oct 25 09:10:00 /usr/sbin/cron[54928]: (root) CMD (/usr/libexec/atrun)")
        .pri(78)
        .at("Oct 25 09:10:00")
        .app("/usr/sbin/cron")
        .proc_id("54928")
        .message("(root) CMD (/usr/libexec/atrun)"),
    sample(SC4S_PFSENSE, "<27>Jan 25 01:58:06 filterlog: 82,,,1000002666,mvneta2,match,pass,out,6,0x00,0x00000,64")
        .pri(27)
        .at("Jan 25 01:58:06")
        .app("filterlog")
        .message("82,,,1000002666,mvneta2,match,pass,out,6,0x00,0x00000,64"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_loggen.py",
        "<38>2020-07-24T17:04:52 localhost prg00000[1234]: seq: 0000000008, thread: 0000, runid: 1595610292",
    )
    .pri(38)
    .at("2020-07-24T17:04:52")
    .host("localhost")
    .app("prg00000")
    .proc_id("1234")
    .message("seq: 0000000008, thread: 0000, runid: 1595610292"),
    sample(
        "https://docs.docker.com/engine/logging/log_tags/",
        "Aug  7 18:33:19 HOSTNAME hello-world/foobar/5790672ab6a0[9103]: Hello from Docker.",
    )
    .at("Aug  7 18:33:19")
    .host("HOSTNAME")
    .app("hello-world/foobar/5790672ab6a0")
    .proc_id("9103")
    .message("Hello from Docker."),
    sample(
        "systemd/systemd src/journal/journald-syslog.c, server_forward_syslog(): priority, time, identifier and PID",
        "<30>Oct 11 22:14:15 systemd[1]: Started Session 4 of user root.",
    )
    .pri(30)
    .at("Oct 11 22:14:15")
    .app("systemd")
    .proc_id("1")
    .message("Started Session 4 of user root."),
    sample(
        "mirror/busybox sysklogd/syslogd.c, -R: sends what came from /dev/log as it is",
        "<13>Oct 11 22:14:15 root: hello from logger",
    )
    .pri(13)
    .at("Oct 11 22:14:15")
    .app("root")
    .message("hello from logger"),
    sample(
        "mirror/busybox sysklogd/syslogd.c, timestamp_and_log(): time, host, facility and level, text",
        "Oct 11 22:14:15 router user.notice root: hello from logger",
    )
    .at("Oct 11 22:14:15")
    .host("router")
    .app("root")
    .message("hello from logger"),
    sample(
        "https://github.com/rsyslog/rsyslog/blob/main/doc/source/configuration/modules/mmjsonparse.rst",
        r#"<14>Oct 11 22:14:15 host app: @cee: {"a":1}"#,
    )
    .pri(14)
    .at("Oct 11 22:14:15")
    .host("host")
    .app("app")
    .message(r#"@cee: {"a":1}"#),
    sample("splunk/splunk-connect-for-syslog tests/test_zscaler_proxy.py", r#"<111>{"LogTimestamp": "Mon Mar  2"}"#)
        .unknown()
        .pri(111)
        .message(r#"{"LogTimestamp": "Mon Mar  2"}"#),
    sample(
        "rsyslog/rsyslog tests/parsertest-parse2.sh",
        "<175>Oct 16 23:47:31 #001 MSWinEventLog 0\tSecurity\t19023582\tFri Oct 16 16:30:44 2009\t592\tSecurity",
    )
    .pri(175)
    .at("Oct 16 23:47:31")
    .message("#001 MSWinEventLog 0\tSecurity\t19023582\tFri Oct 16 16:30:44 2009\t592\tSecurity"),
    sample(
        RSYSLOG_SNARE,
        "<14>May 21 12:00:01 hostname.domain MSWinEventLog\t1\tSecurity\t00000000\tSun May 21 12:00:01.123\t4624",
    )
    .pri(14)
    .at("May 21 12:00:01")
    .host("hostname.domain")
    .app("MSWinEventLog")
    .message("1\tSecurity\t00000000\tSun May 21 12:00:01.123\t4624"),
    sample(RSYSLOG_SNARE, "hostname.domain\tMSWinEventLog\t1\tSecurity\t00000000\tSun May 21 12:00:01.123\t5061")
        .host("hostname.domain")
        .app("MSWinEventLog")
        .message("1\tSecurity\t00000000\tSun May 21 12:00:01.123\t5061"),
    sample(
        "rsyslog/rsyslog tests/testsuites/mmsnareparse/sample-windows2025-security.data",
        "<13>1 2025-02-18T06:42:17.554128Z DC25-PREVIEW - - - - MSWinEventLog\t1\tSecurity\t802301\tTue Feb 18",
    )
    .rfc5424()
    .pri(13)
    .at("2025-02-18T06:42:17.554128Z")
    .host("DC25-PREVIEW")
    .message("MSWinEventLog\t1\tSecurity\t802301\tTue Feb 18"),
    sample(
        "logsearch-attic/logsearch-filters-common test/nxlog_standard-spec.rb",
        r#"<13>1 2014-06-23T09:54:13.275897+01:00 SHIPPER - - - [NXLOG@14506 path="\\\\HOST\\Logs"] 2014-06-23"#,
    )
    .rfc5424()
    .pri(13)
    .at("2014-06-23T09:54:13.275897+01:00")
    .host("SHIPPER")
    .data(r#"[NXLOG@14506 path="\\\\HOST\\Logs"]"#)
    .message("2014-06-23"),
    sample(WAZUH_RESPONSE, "Dec  7 18:11:34 UTC 2016 /var/ossec/active-response/bin/route-null.sh add - 192.168.2.4")
        .at("Dec  7 18:11:34 UTC 2016")
        .message("/var/ossec/active-response/bin/route-null.sh add - 192.168.2.4"),
    sample(WAZUH_DOVECOT, "Jun 23 15:04:05 Info: imap-login: Login: user=<username>, method=PLAIN, rip=1.2.3.4")
        .at("Jun 23 15:04:05")
        .message("Info: imap-login: Login: user=<username>, method=PLAIN, rip=1.2.3.4"),
    sample(WAZUH_SSH, "Jul 12 16:11:31 cloud sshd[14582]: Bad protocol version identification 'GET http://'")
        .at("Jul 12 16:11:31")
        .host("cloud")
        .app("sshd")
        .proc_id("14582")
        .message("Bad protocol version identification 'GET http://'"),
];
