//! Network devices, firewalls, hypervisors, appliances.

use super::sample::{Sample, sample};

const SC4S_JUNOS: &str = "splunk/splunk-connect-for-syslog tests/test_juniper_junos_rfc5424.py";
const SC4S_JUNOS_BSD: &str = "splunk/splunk-connect-for-syslog tests/test_juniper_junos_rfc3164.py";
const SC4S_PALO_ALTO: &str = "splunk/splunk-connect-for-syslog tests/test_palo_alto.py";
const SC4S_FORTINET: &str = "splunk/splunk-connect-for-syslog tests/test_fortinet_ngfw.py";
const SC4S_F5: &str = "splunk/splunk-connect-for-syslog tests/test_f5_bigip.py";
const SC4S_NETSCALER: &str = "splunk/splunk-connect-for-syslog tests/test_citrix_netscaler.py";
const SC4S_UNIFI: &str = "splunk/splunk-connect-for-syslog tests/test_ubiquiti_unifi.py";
const SC4S_VMWARE: &str = "splunk/splunk-connect-for-syslog tests/test_vmware.py";
const SC4S_CYBERARK: &str = "splunk/splunk-connect-for-syslog tests/test_cyberark.py";
const HUAWEI: &str =
    "Huawei, \"Log Format\", CloudEngine: TimeStamp HostName %%ddModuleName/Severity/Brief(l)[n]:Description";

pub(super) const SAMPLES: &[Sample] = &[
    sample(
        SC4S_JUNOS,
        "<165>1 2007-02-15T09:17:15.719Z router1 mgd 3046 UI_DBASE_LOGOUT_EVENT [junos@2636.1.1.1.2.18 \
         username=\"user\"] User 'user' exiting configuration mode",
    )
    .rfc5424()
    .pri(165)
    .at("2007-02-15T09:17:15.719Z")
    .host("router1")
    .app("mgd")
    .proc_id("3046")
    .msg_id("UI_DBASE_LOGOUT_EVENT")
    .data(r#"[junos@2636.1.1.1.2.18 username="user"]"#)
    .message("User 'user' exiting configuration mode"),
    sample(
        "syslog-ng/syslog-ng scl/junos/plugin.conf",
        "<14>1 2019-04-12T14:29:06.576Z - RT_FLOW - RT_FLOW_SESSION_CLOSE [junos@2636.1.1.1.2.129 reason=\"TCP FIN\" \
         src-nat-rule-type=\"source rule\"] session closed TCP FIN: 10.3.255.203/47776->8.23.224.110/80",
    )
    .rfc5424()
    .pri(14)
    .at("2019-04-12T14:29:06.576Z")
    .app("RT_FLOW")
    .msg_id("RT_FLOW_SESSION_CLOSE")
    .data(r#"[junos@2636.1.1.1.2.129 reason="TCP FIN" src-nat-rule-type="source rule"]"#)
    .message("session closed TCP FIN: 10.3.255.203/47776->8.23.224.110/80"),
    sample(
        SC4S_JUNOS_BSD,
        "<165>1 2007-02-15T09:17:15.719Z mib2d[1484]: SNMP_TRAP_LINK_UP: ifIndex 584, ifAdminStatus up(1)",
    )
    .pri(165)
    .at("2007-02-15T09:17:15.719Z")
    .app("mib2d")
    .proc_id("1484")
    .message("SNMP_TRAP_LINK_UP: ifIndex 584, ifAdminStatus up(1)"),
    sample(
        SC4S_JUNOS_BSD,
        "<23> Nov 18 09:56:58  INTERNET-ROUTER RT_FLOW: RT_FLOW_SESSION_CREATE: session created \
         192.168.1.102/58662->8.8.8.8/53",
    )
    .pri(23)
    .at("Nov 18 09:56:58")
    .host("INTERNET-ROUTER")
    .app("RT_FLOW")
    .message("RT_FLOW_SESSION_CREATE: session created 192.168.1.102/58662->8.8.8.8/53"),
    sample(
        "https://juniper.net/documentation/us/en/software/ccfips20.3, \"Interpreting Event Messages\"",
        "Feb 27 02:33:04 bm-a mgd[6520]: UI_LOGIN_EVENT: User 'security-officer' login, class 'j-super-user' [6520]",
    )
    .at("Feb 27 02:33:04")
    .host("bm-a")
    .app("mgd")
    .proc_id("6520")
    .message("UI_LOGIN_EVENT: User 'security-officer' login, class 'j-super-user' [6520]"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_juniper_legacy.py",
        "<23> Mar 18 17:56:52 [FW IP] [FW Model]: NetScreen device_id=netscreen2  [Root]system-notification-00257",
    )
    .pri(23)
    .at("Mar 18 17:56:52")
    .message("[FW IP] [FW Model]: NetScreen device_id=netscreen2  [Root]system-notification-00257"),
    sample(
        "syslog-ng/syslog-ng scl/fortigate/fortigate.conf",
        r#"<189>date=2021-01-15 time=12:58:59 devname="FORTI_111" devid="FG100D3G12801312" logid="0001000014""#,
    )
    .unknown()
    .pri(189)
    .message(r#"date=2021-01-15 time=12:58:59 devname="FORTI_111" devid="FG100D3G12801312" logid="0001000014""#),
    sample(
        SC4S_FORTINET,
        "<111> Aug 17 00:00:00 fortigate date=2015-08-11 time=19:19:43 devname=Nosey devid=FG800C3912801080",
    )
    .pri(111)
    .at("Aug 17 00:00:00")
    .host("fortigate")
    .message("date=2015-08-11 time=19:19:43 devname=Nosey devid=FG800C3912801080"),
    sample(SC4S_FORTINET, "<13>Nov 08 12:59:54 1.1.1.1 program[-]: VERSION:v1:date_time='2023-11-08 13:59:54'")
        .pri(13)
        .at("Nov 08 12:59:54")
        .host("1.1.1.1")
        .app("program")
        .message("VERSION:v1:date_time='2023-11-08 13:59:54'"),
    sample(SC4S_PALO_ALTO, "<190>Jan 28 01:28:35 PA-VM300-goran1 1,2014/01/28 01:28:35,007200001056,TRAFFIC,end,1")
        .pri(190)
        .at("Jan 28 01:28:35")
        .host("PA-VM300-goran1")
        .message("1,2014/01/28 01:28:35,007200001056,TRAFFIC,end,1"),
    sample(SC4S_PALO_ALTO, "<190>Oct 30 09:46:17 1,2012/10/30 09:46:17,01606001116,THREAT,url,1,2012/04/10 04:39:55")
        .pri(190)
        .at("Oct 30 09:46:17")
        .message("1,2012/10/30 09:46:17,01606001116,THREAT,url,1,2012/04/10 04:39:55"),
    sample(SC4S_PALO_ALTO, "<14>1 2020-10-09T18:39:02-04:00 paloietf.com - - - - 1,2020/10/09 17:43:54,007200001056")
        .rfc5424()
        .pri(14)
        .at("2020-10-09T18:39:02-04:00")
        .host("paloietf.com")
        .message("1,2020/10/09 17:43:54,007200001056"),
    sample(
        "syslog-ng documentation, checkpoint-parser(): https://support.oneidentity.com/technical-documents/doc1209356",
        r#"<134>1 2018-03-21 17:25:25 MDS-72 CheckPoint 13752 - [action:"Update"; flags:"150784"; ifdir:"inbound";]"#,
    )
    .rfc5424()
    .pri(134)
    .at("2018-03-21 17:25:25")
    .host("MDS-72")
    .app("CheckPoint")
    .proc_id("13752")
    .message(r#"[action:"Update"; flags:"150784"; ifdir:"inbound";]"#),
    sample("splunk/splunk-connect-for-syslog tests/test_checkpoint.py", "<6>kernel: sd 2:0:0:0: SCSI error")
        .pri(6)
        .app("kernel")
        .message("sd 2:0:0:0: SCSI error"),
    sample(
        SC4S_F5,
        "<141>Feb  3 13:24:14 F5-V1-EX.x.edu notice tmm1[12390]: 01490500:5: /Common/My_HDKS-Hybrid:Common:e03c2ca8: \
         New session from client IP 71.0.0.0",
    )
    .pri(141)
    .at("Feb  3 13:24:14")
    .host("F5-V1-EX.x.edu")
    .app("tmm1")
    .proc_id("12390")
    .message("01490500:5: /Common/My_HDKS-Hybrid:Common:e03c2ca8: New session from client IP 71.0.0.0"),
    sample(
        SC4S_F5,
        "<141>1 2020-04-14T14:39:05.271965+00:00 f5-bigip.com apmd 7389 01490248:5: [F5@12276 \
         hostname=\"f5-bigip.com\" errdefs_msgno=\"01490248:5:\"] Received client info",
    )
    .rfc5424()
    .pri(141)
    .at("2020-04-14T14:39:05.271965+00:00")
    .host("f5-bigip.com")
    .app("apmd")
    .proc_id("7389")
    .msg_id("01490248:5:")
    .data(r#"[F5@12276 hostname="f5-bigip.com" errdefs_msgno="01490248:5:"]"#)
    .message("Received client info"),
    sample(SC4S_F5, "<131>Apr 07 11:40:26 bigip-2.test_domain.com ASM:f5_asm=Splunk-F5-ASM,attack_type=\"SQL\"")
        .pri(131)
        .at("Apr 07 11:40:26")
        .host("bigip-2.test_domain.com")
        .message("ASM:f5_asm=Splunk-F5-ASM,attack_type=\"SQL\""),
    sample(
        SC4S_NETSCALER,
        "<134> 05/08/2025:03:13:15 GMT DC-NS02 0-PPE-0 : default TCP CONN_TERMINATE 1874124822 0 :  Source 10.0.0.1",
    )
    .pri(134)
    .at("05/08/2025:03:13:15 GMT")
    .host("DC-NS02")
    .message("0-PPE-0 : default TCP CONN_TERMINATE 1874124822 0 :  Source 10.0.0.1"),
    sample(SC4S_NETSCALER, "<134>Jun 18 18:18:42 svm_service: 1.1.1.1  18/06/2020:16:18:42 GMT mynetscaler2 0-PPE-0")
        .pri(134)
        .at("Jun 18 18:18:42")
        .app("svm_service")
        .message("1.1.1.1  18/06/2020:16:18:42 GMT mynetscaler2 0-PPE-0"),
    sample(
        "rsyslog/rsyslog tests/pmsnare-default.sh",
        "<14>2017-05-21T00:00:01.123Z hostname.domain Hostd: verbose hostd[81480B70] [Originator@6876 \
         sub=Hostsvc.StorageSystem] SendStorageInfoEvent: Notify",
    )
    .pri(14)
    .at("2017-05-21T00:00:01.123Z")
    .host("hostname.domain")
    .app("Hostd")
    .message("verbose hostd[81480B70] [Originator@6876 sub=Hostsvc.StorageSystem] SendStorageInfoEvent: Notify"),
    sample(
        SC4S_VMWARE,
        "<111>1 2020-06-18T08:44:09.039-05:00 host View - 73 [View@6876 Severity=\"AUDIT_SUCCESS\" Module=\"Broker\"]",
    )
    .rfc5424()
    .pri(111)
    .at("2020-06-18T08:44:09.039-05:00")
    .host("host")
    .app("View")
    .msg_id("73")
    .data(r#"[View@6876 Severity="AUDIT_SUCCESS" Module="Broker"]"#),
    sample(SC4S_VMWARE, "<13>1 2024-05-15T19:41:25.001Z globalhost.com FIREWALL-PKTLOG - - - INET TERM PASS 5096 OUT")
        .rfc5424()
        .pri(13)
        .at("2024-05-15T19:41:25.001Z")
        .host("globalhost.com")
        .app("FIREWALL-PKTLOG")
        .message("INET TERM PASS 5096 OUT"),
    sample(
        SC4S_UNIFI,
        "<27>Nov  8 17:28:43 US8P60,18e8294876c3,v4.0.66.10832 switch: DOT1S: dot1sBpduReceive(): Discarding the BPDU",
    )
    .pri(27)
    .at("Nov  8 17:28:43")
    .host("US8P60,18e8294876c3,v4.0.66.10832")
    .app("switch")
    .message("DOT1S: dot1sBpduReceive(): Discarding the BPDU"),
    sample(SC4S_UNIFI, "<30>Nov 10 11:49:46 U7PG2,788a2056b181,v4.0.66.10832: logread[5495]: Logread connected")
        .pri(30)
        .at("Nov 10 11:49:46")
        .host("U7PG2,788a2056b181,v4.0.66.10832")
        .app("logread")
        .proc_id("5495")
        .message("Logread connected"),
    sample(SC4S_UNIFI, "<4>Nov 10 23:04:06 USG kernel: [LAN_LOCAL-default-A]IN=eth0.2004 OUT= MAC= SRC=10.254.3.1")
        .pri(4)
        .at("Nov 10 23:04:06")
        .host("USG")
        .app("kernel")
        .message("[LAN_LOCAL-default-A]IN=eth0.2004 OUT= MAC= SRC=10.254.3.1"),
    sample(
        "UniFi U6 Lite 6.7.54, captured",
        "<4>Aug 24 20:07:01 AP-HWR f492bfa8ad88,U6-Lite-6.7.54+15663: kernel: [1219886.764489] ra1: Send NULL to STA",
    )
    .pri(4)
    .at("Aug 24 20:07:01")
    .host("AP-HWR")
    .app("kernel")
    .message("[1219886.764489] ra1: Send NULL to STA"),
    sample(
        "UniFi Dream Machine Pro, captured",
        "<45>Aug 24 20:06:48 UDM-Pro UDM-Pro syslog-ng[206887]: Syslog connection broken; fd='38'",
    )
    .pri(45)
    .at("Aug 24 20:06:48")
    .host("UDM-Pro")
    .app("syslog-ng")
    .proc_id("206887")
    .message("Syslog connection broken; fd='38'"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_mikrotik.py",
        "<132>Oct 11 22:14:15 mrtros forward: in:ether1 out:bridge, src-mac 26:5a:4c:57:6e:cc, proto TCP (SYN)",
    )
    .pri(132)
    .at("Oct 11 22:14:15")
    .host("mrtros")
    .app("forward")
    .message("in:ether1 out:bridge, src-mac 26:5a:4c:57:6e:cc, proto TCP (SYN)"),
    sample(
        "MikroTik RouterOS, remote logging without bsd-syslog",
        "<30>firewall,info forward: in:ether5_EXT out:Rapid, src-mac 2c:c8:1b:f4:85:e4, proto TCP (ACK,FIN), len 52",
    )
    .unknown()
    .pri(30)
    .message("firewall,info forward: in:ether5_EXT out:Rapid, src-mac 2c:c8:1b:f4:85:e4, proto TCP (ACK,FIN), len 52"),
    sample(
        "MikroTik RouterOS, with the name in place of the tag",
        "<30>Jun  4 18:00:00 edge-router : firewall,info forward: in:ether1 out:bridge",
    )
    .pri(30)
    .at("Jun  4 18:00:00")
    .host("edge-router")
    .message("firewall,info forward: in:ether1 out:bridge"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_sophos_firewall_xg.py",
        r#"<30> device="SFW" date=2022-04-25 time=15:27:08 timezone="CDT" device_name="XG430""#,
    )
    .unknown()
    .pri(30)
    .message(r#"device="SFW" date=2022-04-25 time=15:27:08 timezone="CDT" device_name="XG430""#),
    sample(
        "Sophos UTM 9.3, https://community.sophos.com, \"Content Filtering Logging Issues\"",
        r#"<30>2015:03:02-00:39:22 SophosUTM93 httpproxy[5207]: id="0001" severity="info" sys="SecureWeb" sub="http""#,
    )
    .pri(30)
    .at("2015:03:02-00:39:22")
    .host("SophosUTM93")
    .app("httpproxy")
    .proc_id("5207")
    .message(r#"id="0001" severity="info" sys="SecureWeb" sub="http""#),
    sample(
        "HP MSR Router Series, Network Management Configuration Guide (V5), \"System information formats\"",
        "<189>Oct 9 14:59:04 2009 Sysname %%10SHELL/5/SHELL_LOGIN(l): VTY logged in from 192.168.1.21.",
    )
    .pri(189)
    .at("Oct 9 14:59:04 2009")
    .host("Sysname")
    .app("%%10SHELL/5/SHELL_LOGIN(l)")
    .message("VTY logged in from 192.168.1.21."),
    sample(
        "HPE FlexFabric 5700, \"Description of the timestamp parameters\"",
        "<189>2003-05-30T06:42:44 Sysname %%10FTPD/5/FTPD_LOGIN(l): User ftp (192.168.1.23) has logged in",
    )
    .pri(189)
    .at("2003-05-30T06:42:44")
    .host("Sysname")
    .app("%%10FTPD/5/FTPD_LOGIN(l)")
    .message("User ftp (192.168.1.23) has logged in"),
    sample(HUAWEI, "<187>Apr 16 2024 03:38:37-08:00 Huawei %%01IFNET/4/LINK_STATE(l)[1]:The line protocol IP")
        .pri(187)
        .at("Apr 16 2024 03:38:37-08:00")
        .host("Huawei")
        .app("%%01IFNET/4/LINK_STATE(l)")
        .proc_id("1")
        .message("The line protocol IP"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_hpe_procurve.py",
        "<46> May 15 14:04:23 192.168.1.254  00179 mgr:  SME SSH from 192.168.1.22 - MANAGER Mode",
    )
    .pri(46)
    .at("May 15 14:04:23")
    .host("192.168.1.254")
    .message(" 00179 mgr:  SME SSH from 192.168.1.22 - MANAGER Mode"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_hpe_ilo.py",
        "<134>1 2022-01-27T19:51:46Z host  DriveArray: Smart Array - Drive is failed...",
    )
    .pri(134)
    .at("2022-01-27T19:51:46Z")
    .host("host")
    .app("DriveArray")
    .message("Smart Array - Drive is failed..."),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_dell_emc_networking.py",
        "<189> Oct 21 09:10:54 test-dell-switch-n-1 CMDLOGGER[emWeb]: cmd_logger_api.c(83) 29333 %% NOTE CLI",
    )
    .pri(189)
    .at("Oct 21 09:10:54")
    .host("test-dell-switch-n-1")
    .app("CMDLOGGER")
    .proc_id("emWeb")
    .message("cmd_logger_api.c(83) 29333 %% NOTE CLI"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_dell_powerstore.py",
        "<110>Jan 31 19:43:24 APM00243620939-B [358]: 2025-01-31T19:43:17 APM00243620939-B PSb8ad27c26647 358@HM3CTZ3",
    )
    .pri(110)
    .at("Jan 31 19:43:24")
    .host("APM00243620939-B")
    .proc_id("358")
    .message("2025-01-31T19:43:17 APM00243620939-B PSb8ad27c26647 358@HM3CTZ3"),
    sample(SC4S_CYBERARK, "<5>1 2020-01-24T22:53:03Z REDACTEDHOSTNAME CEF:0|Cyber-Ark|Vault|10.9.0000|22|CPM Verify|5")
        .pri(5)
        .at("2020-01-24T22:53:03Z")
        .host("REDACTEDHOSTNAME")
        .message("CEF:0|Cyber-Ark|Vault|10.9.0000|22|CPM Verify|5"),
    sample(SC4S_CYBERARK, "<190>Jul 27 23:31:58 VAULT CEF:0|Cyber-Ark|Vault|9.20.0000|7|Logon|5|act=\"Logon\"")
        .pri(190)
        .at("Jul 27 23:31:58")
        .host("VAULT")
        .message("CEF:0|Cyber-Ark|Vault|9.20.0000|7|Logon|5|act=\"Logon\""),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_fireye.py",
        "<164>fenotify-1590500.warning: CEF:0|FireEye|CMS|9.0.1.923211|MC|malware-callback|7",
    )
    .pri(164)
    .app("fenotify-1590500.warning")
    .message("CEF:0|FireEye|CMS|9.0.1.923211|MC|malware-callback|7"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_leef.py",
        "<13>1 2019-01-18T11:07:53.520Z 192.168.1.1 LEEF:1.0|Microsoft|MSExchange|4.0 SP1|15345|src=192.0.2.0",
    )
    .pri(13)
    .at("2019-01-18T11:07:53.520Z")
    .host("192.168.1.1")
    .message("LEEF:1.0|Microsoft|MSExchange|4.0 SP1|15345|src=192.0.2.0"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_zscaler_proxy.py",
        "<118>Mar  1 22:05:35 [10.225.64.143] ZscalerNSS: The NSS free memory has decreased to 1.40 GB",
    )
    .pri(118)
    .at("Mar  1 22:05:35")
    .host("10.225.64.143")
    .app("ZscalerNSS")
    .message("The NSS free memory has decreased to 1.40 GB"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_guardicore.py",
        "<14>2025-12-22T17:17Z Guardicore CEF:0|Guardicore|Centra|51|Network Log|Network Log|None|...",
    )
    .pri(14)
    .at("2025-12-22T17:17Z")
    .host("Guardicore")
    .message("CEF:0|Guardicore|Centra|51|Network Log|Network Log|None|..."),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_netapp.py",
        "<13>Feb 10 11:36:10 [cluster-01:secd.conn.auth.failure:notice]: Vserver (datavserver) could not connect",
    )
    .pri(13)
    .at("Feb 10 11:36:10")
    .message("[cluster-01:secd.conn.auth.failure:notice]: Vserver (datavserver) could not connect"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_pulsesecure.py",
        "<134>1 2020-09-16T18:10:53-04:00 host PulseSecure: - - - ive | 2020-09-16 18:10:53 | ADM100 | info",
    )
    .rfc5424()
    .pri(134)
    .at("2020-09-16T18:10:53-04:00")
    .host("host")
    .app("PulseSecure")
    .message("ive | 2020-09-16 18:10:53 | ADM100 | info"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_veeam.py",
        "<14>1 2024-06-11T14:08:02.823748+10:00 MYSERVER Veeam_MP - - [origin enterpriseId=\"31023\"] [categoryId=0 \
         instanceId=10010] Job finished",
    )
    .rfc5424()
    .pri(14)
    .at("2024-06-11T14:08:02.823748+10:00")
    .host("MYSERVER")
    .app("Veeam_MP")
    .data(r#"[origin enterpriseId="31023"]"#)
    .message("[categoryId=0 instanceId=10010] Job finished"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_prisma_sd-wan.py",
        "<11>1 Feb 14 10:44:58 172.20.75.186 log: ION_HOST=\"ion7k-Hub\" DEVICE_TIME=\"2018-02-14T10:44:58.881Z\"",
    )
    .pri(11)
    .at("Feb 14 10:44:58")
    .host("172.20.75.186")
    .app("log")
    .message("ION_HOST=\"ion7k-Hub\" DEVICE_TIME=\"2018-02-14T10:44:58.881Z\""),
];
