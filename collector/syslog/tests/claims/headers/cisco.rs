//! Cisco, and those who write like it.

use super::sample::{Sample, sample};

const SYSLOG_NG: &str = "syslog-ng/syslog-ng tests/light/functional_tests/parsers/cisco-parser/test_cisco_parser.py";
const SYSLOG_NG_UNIT: &str = "syslog-ng/syslog-ng lib/tests/test_msgparse.c";
const SC4S_IOS: &str = "splunk/splunk-connect-for-syslog tests/test_cisco_ios.py";
const SC4S_UCM: &str = "splunk/splunk-connect-for-syslog tests/test_cisco_ucm.py";
const SC4S_ASA: &str = "splunk/splunk-connect-for-syslog tests/test_cisco_asa.py";
const SC4S_MERAKI: &str = "splunk/splunk-connect-for-syslog tests/test_cisco_meraki.py";

pub(super) const SAMPLES: &[Sample] = &[
    sample(SYSLOG_NG, "<189>35: *Apr 29 14:00:16.059: %SYS-5-CONFIG_I: Configured from console by console")
        .pri(189)
        .at("Apr 29 14:00:16.059")
        .app("%SYS-5-CONFIG_I")
        .message("Configured from console by console"),
    sample(SYSLOG_NG, "<189>29: foo: *Apr 29 13:58:40.411: %SYS-5-CONFIG_I: Configured from console by console")
        .pri(189)
        .at("Apr 29 13:58:40.411")
        .host("foo")
        .app("%SYS-5-CONFIG_I")
        .message("Configured from console by console"),
    sample(
        SYSLOG_NG,
        "<190>32: foo: *Apr 29 13:58:46.411: %SYSMGR-STANDBY-3-SHUTDOWN_START: The System Manager has started the \
         shutdown procedure.",
    )
    .pri(190)
    .at("Apr 29 13:58:46.411")
    .host("foo")
    .app("%SYSMGR-STANDBY-3-SHUTDOWN_START")
    .message("The System Manager has started the shutdown procedure."),
    sample(
        SYSLOG_NG,
        "<180>782431: machine1: .Nov 18 21:03:22.631 GMT: %CDP-4-NATIVE_VLAN_MISMATCH: Native VLAN mismatch \
         discovered on TenGigabitEthernet.",
    )
    .pri(180)
    .at("Nov 18 21:03:22.631 GMT")
    .host("machine1")
    .app("%CDP-4-NATIVE_VLAN_MISMATCH")
    .message("Native VLAN mismatch discovered on TenGigabitEthernet."),
    sample(
        SYSLOG_NG,
        "<166>2022-02-16T15:31:53Z na-zy-int-fp1140-p02 : %FTD-6-305012: Teardown dynamic TCP translation from \
         FOO-WAN_IN:10.44.60.80/59877 to FOO-OUTSIDE:6.7.8.9/59877 duration 0:01:01",
    )
    .pri(166)
    .at("2022-02-16T15:31:53Z")
    .host("na-zy-int-fp1140-p02")
    .app("%FTD-6-305012")
    .message(
        "Teardown dynamic TCP translation from FOO-WAN_IN:10.44.60.80/59877 to FOO-OUTSIDE:6.7.8.9/59877 duration \
         0:01:01",
    ),
    sample(
        SYSLOG_NG,
        "<190>123030: some-remote-host: %SYS-5-LOGGINGHOST_STARTSTOP: Logging to host 192.168.1.239 stopped",
    )
    .pri(190)
    .host("some-remote-host")
    .app("%SYS-5-LOGGINGHOST_STARTSTOP")
    .message("Logging to host 192.168.1.239 stopped"),
    sample(
        SYSLOG_NG,
        "<187>138076: RP/0/RP0/CPU0:Dec 11 12:43:29.227 EST: snmpd[1002]: %SNMP-SNMP-3-AUTH_FAIL : Received snmp \
         request on unknown community from 0.0.0.0",
    )
    .pri(187)
    .at("Dec 11 12:43:29.227 EST")
    .app("snmpd")
    .proc_id("1002")
    .msg_id("%SNMP-SNMP-3-AUTH_FAIL")
    .message("Received snmp request on unknown community from 0.0.0.0"),
    sample(
        SYSLOG_NG,
        "<187>3408: CLC 6/0: Dec 11 13:31:14.214 EST: %PKI-3-CERTIFICATE_INVALID_EXPIRED: Certificate chain \
         validation has failed.",
    )
    .pri(187)
    .at("Dec 11 13:31:14.214 EST")
    .app("%PKI-3-CERTIFICATE_INVALID_EXPIRED")
    .message("Certificate chain validation has failed."),
    sample(
        "syslog-ng/syslog-ng scl/cisco/plugin.conf",
        "<187>: 2025 Jun 25 11:27:28 GMT: %AUTHPRIV-3-SYSTEM_MSG: pam_aaa:Authentication failed from 192.168.1.10",
    )
    .pri(187)
    .at("2025 Jun 25 11:27:28 GMT")
    .app("%AUTHPRIV-3-SYSTEM_MSG")
    .message("pam_aaa:Authentication failed from 192.168.1.10"),
    sample(
        SYSLOG_NG_UNIT,
        "<0>91: *Oct 07 03:10:04: mydevice.com %CRYPTO-4-RECVD_PKT_INV_SPI: decaps: rec'd IPSEC packet has invalid spi",
    )
    .pri(0)
    .at("Oct 07 03:10:04")
    .host("mydevice.com")
    .app("%CRYPTO-4-RECVD_PKT_INV_SPI")
    .message("decaps: rec'd IPSEC packet has invalid spi"),
    sample(
        SYSLOG_NG_UNIT,
        "<190>.Apr 15 2007 21:28:13: %PIX-6-302014: Teardown TCP connection 1688438 for bloomberg-net:1.2.3.4/8294",
    )
    .pri(190)
    .at("Apr 15 2007 21:28:13")
    .app("%PIX-6-302014")
    .message("Teardown TCP connection 1688438 for bloomberg-net:1.2.3.4/8294"),
    sample(SYSLOG_NG_UNIT, "<190>Apr 15 2007 21:28:13 %ASA: this is a Cisco ASA timestamp")
        .pri(190)
        .at("Apr 15 2007 21:28:13")
        .app("%ASA")
        .message("this is a Cisco ASA timestamp"),
    sample(
        "rsyslog/rsyslog tests/parsertest-parse1.sh",
        "<167>Mar  6 16:57:54 172.20.245.8 %PIX-7-710005: UDP request discarded from SERVER1/2741",
    )
    .pri(167)
    .at("Mar  6 16:57:54")
    .host("172.20.245.8")
    .app("%PIX-7-710005")
    .message("UDP request discarded from SERVER1/2741"),
    sample(
        "rsyslog/rsyslog tests/pmsnare-default.sh",
        "<14>123456789: HOSTNAME: May 21 12:00:01.123 gmt: %IOSXE-6-PLATFORM: F0: cpp_cp: QFP:0.0 Thread:105",
    )
    .pri(14)
    .at("May 21 12:00:01.123 gmt")
    .host("HOSTNAME")
    .app("%IOSXE-6-PLATFORM")
    .message("F0: cpp_cp: QFP:0.0 Thread:105"),
    sample(
        SC4S_IOS,
        "<132>xxxxx: *spamApTask1: May 26 18:52:01.958: %CAPWAP-4-DISC_INTF_ERR2: [PA]capwap_ac_sm.c:2053 Ignoring \
         Primary discovery request received on a wrong VLAN (202)",
    )
    .pri(132)
    .at("May 26 18:52:01.958")
    .host("xxxxx")
    .app("spamApTask1")
    .msg_id("%CAPWAP-4-DISC_INTF_ERR2")
    .message("[PA]capwap_ac_sm.c:2053 Ignoring Primary discovery request received on a wrong VLAN (202)"),
    sample(
        SC4S_IOS,
        "<187>364241: May 19 16:58:44.814 GMT: %ADJ-3-RESOLVE_REQ: Adj resolve request: Failed to resolve 1.1.1.1",
    )
    .pri(187)
    .at("May 19 16:58:44.814 GMT")
    .app("%ADJ-3-RESOLVE_REQ")
    .message("Adj resolve request: Failed to resolve 1.1.1.1"),
    sample(
        SC4S_IOS,
        "<11>July 22 22:45:28 apic1 %LOG_LOCAL0-2-SYSTEM_MSG [F0110][soaking][node-failed][critical]\
         [topology/pod-1/node-102/fault-F0110] Node 102 not reachable. unknown",
    )
    .pri(11)
    .at("July 22 22:45:28")
    .host("apic1")
    .app("%LOG_LOCAL0-2-SYSTEM_MSG")
    .message(
        "[F0110][soaking][node-failed][critical][topology/pod-1/node-102/fault-F0110] Node 102 not reachable. unknown",
    ),
    sample(
        SC4S_IOS,
        "<190>290692: HOST_NAME RP/0/RSP0/CPU0:Mar 26 14:47:02.754 : SSHD_[65935]: %SECURITY-SSHD-6-INFO_USER_LOGOUT \
         : User 'HELLO' from '8.8.8.8' logged out on 'vty0'",
    )
    .pri(190)
    .at("Mar 26 14:47:02.754")
    .host("HOST_NAME")
    .app("SSHD_")
    .proc_id("65935")
    .msg_id("%SECURITY-SSHD-6-INFO_USER_LOGOUT")
    .message("User 'HELLO' from '8.8.8.8' logged out on 'vty0'"),
    sample(SC4S_IOS, "<166>host: 00:01:01: %SYSMGR-STANDBY-3-SHUTDOWN_START: The System Manager has started the")
        .pri(166)
        .at("00:01:01")
        .host("host")
        .app("%SYSMGR-STANDBY-3-SHUTDOWN_START")
        .message("The System Manager has started the"),
    sample(
        SC4S_UCM,
        "<189>8103: Oct 14 2015 05:50:19 AM.484 UTC :  %UC_AUDITLOG-5-AdministrativeEvent: %[ UserID \
         =administrator][ ClientAddress =10.110.1.2]",
    )
    .pri(189)
    .at("Oct 14 2015 05:50:19 AM.484 UTC")
    .app("%UC_AUDITLOG-5-AdministrativeEvent")
    .message("%[ UserID =administrator][ ClientAddress =10.110.1.2]"),
    sample(
        SC4S_UCM,
        "<189>23813: cucm-pub: Jul 05 2016 04:03:01 PM.688 UTC : %UC_RTMT-2-RTMT_ALERT: %[AlertName=SyslogSeverity]",
    )
    .pri(189)
    .at("Jul 05 2016 04:03:01 PM.688 UTC")
    .host("cucm-pub")
    .app("%UC_RTMT-2-RTMT_ALERT")
    .message("%[AlertName=SyslogSeverity]"),
    sample(
        SC4S_ASA,
        "<164>Jan 31 2020 17:24:03: %ASA-4-402119: IPSEC: Received an ESP packet (SPI= 0x0C190BF9, sequence number= \
         0x598243) from 192.0.0.1",
    )
    .pri(164)
    .at("Jan 31 2020 17:24:03")
    .app("%ASA-4-402119")
    .message("IPSEC: Received an ESP packet (SPI= 0x0C190BF9, sequence number= 0x598243) from 192.0.0.1"),
    sample(
        SC4S_ASA,
        "<166>2018-06-27T12:17:46Z asa : %ASA-3-710003: TCP access denied by ACL from 179.236.133.160/8949 to \
         outside:72.142.18.38/23",
    )
    .pri(166)
    .at("2018-06-27T12:17:46Z")
    .host("asa")
    .app("%ASA-3-710003")
    .message("TCP access denied by ACL from 179.236.133.160/8949 to outside:72.142.18.38/23"),
    sample(
        SC4S_ASA,
        "<118>2020-02-04T11:00:54Z %FTD-6-430003: DeviceUUID: 90e14378-2081-11e8-a7fa-d34972ba379f, SrcPort: 59698",
    )
    .pri(118)
    .at("2020-02-04T11:00:54Z")
    .app("%FTD-6-430003")
    .message("DeviceUUID: 90e14378-2081-11e8-a7fa-d34972ba379f, SrcPort: 59698"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_cisco_cimc.py",
        "<189>Apr 19 17:11:12 UTC: %CIMC-6-LOG_CAPACITY: [F0461][info][log-capacity] Log capacity is very-low",
    )
    .pri(189)
    .at("Apr 19 17:11:12 UTC")
    .app("%CIMC-6-LOG_CAPACITY")
    .message("[F0461][info][log-capacity] Log capacity is very-low"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_cisco_ucs_manager.py",
        "<190>: 2020 Oct 26 10:33:18 CET: %UCSM-6-AUDIT: [session][internal][creation][internal][3852391] Web B",
    )
    .pri(190)
    .at("2020 Oct 26 10:33:18 CET")
    .app("%UCSM-6-AUDIT")
    .message("[session][internal][creation][internal][3852391] Web B"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_cisco_viptela.py",
        "<111> Mar 17 18:35:12 xyz_vManage_West SYSMGR[919]: %Viptela-xyz_vManage_East-sysmgrd-6-INFO-1400002: \
         Notification: 3/17/2022 18:35:12 system-login-change",
    )
    .pri(111)
    .at("Mar 17 18:35:12")
    .host("xyz_vManage_West")
    .app("SYSMGR")
    .proc_id("919")
    .msg_id("%Viptela-xyz_vManage_East-sysmgrd-6-INFO-1400002")
    .message("Notification: 3/17/2022 18:35:12 system-login-change"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_arista.py",
        "<111> 2026-10-11T22:14:15Z host Acl: %ACL-6-IPACCESS: list acl-internet Ethernet1 denied tcp",
    )
    .pri(111)
    .at("2026-10-11T22:14:15Z")
    .host("host")
    .app("Acl")
    .msg_id("%ACL-6-IPACCESS")
    .message("list acl-internet Ethernet1 denied tcp"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_arista.py",
        "<111> 2026-10-11T22:14:15Z ProcMgr: %PROCMGR-6-WORKER_WARMSTART: ProcMgr worker warm start.",
    )
    .pri(111)
    .at("2026-10-11T22:14:15Z")
    .app("ProcMgr")
    .msg_id("%PROCMGR-6-WORKER_WARMSTART")
    .message("ProcMgr worker warm start."),
    sample(
        "wazuh/wazuh-ruleset decoders/0065-cisco-ios_decoders.xml",
        "Aug 17 17:41:24.776 AEST: %SEC-6-IPACCESSLOGP: list 102 denied tcp 10.0.6.56(3067) -> 172.36.4.7(139)",
    )
    .at("Aug 17 17:41:24.776 AEST")
    .app("%SEC-6-IPACCESSLOGP")
    .message("list 102 denied tcp 10.0.6.56(3067) -> 172.36.4.7(139)"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_cisco_ace.py",
        "<111> Oct 11 22:14:15 192.168.12.1: %ACE-3-251010: Health probe failed for server X.X.X.X on port 8000",
    )
    .pri(111)
    .at("Oct 11 22:14:15")
    .host("192.168.12.1")
    .app("%ACE-3-251010")
    .message("Health probe failed for server X.X.X.X on port 8000"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_cisco_ise.py",
        "<181>Oct 24 21:00:02 ciscohost CISE_Alarm WARN: RADIUS Authentication Request dropped : Server=10.0.0.5",
    )
    .pri(181)
    .at("Oct 24 21:00:02")
    .host("ciscohost")
    .message("CISE_Alarm WARN: RADIUS Authentication Request dropped : Server=10.0.0.5"),
    sample(
        "splunk/splunk-connect-for-syslog tests/test_cisco_hyperflex.py",
        "<13>Oct 26 09:22:27.524 hostname hx-ssl-access: - - [26/Oct/2020:17:22:26 +0800] \"GET /coreapi\" 200",
    )
    .pri(13)
    .at("Oct 26 09:22:27.524")
    .host("hostname")
    .app("hx-ssl-access")
    .message("- - [26/Oct/2020:17:22:26 +0800] \"GET /coreapi\" 200"),
    sample(
        SC4S_MERAKI,
        "<134>1 1563249630.774247467 devicename security_event ids_alerted signature=1:28423:1 priority=1",
    )
    .pri(134)
    .at("1563249630.774247467")
    .host("devicename")
    .message("security_event ids_alerted signature=1:28423:1 priority=1"),
    sample(
        "https://documentation.meraki.com/General_Administration/Monitoring_and_Reporting/\
         Syslog_Server_Overview_and_Configuration",
        "Apr 20 14:36:35 192.168.10.1 1 948077314.907556162 MX60 urls src=192.168.10.3:62526",
    )
    .at("Apr 20 14:36:35")
    .message("192.168.10.1 1 948077314.907556162 MX60 urls src=192.168.10.3:62526"),
    sample(
        "Cisco IOS, through a relay that takes it for a message without header: rsyslog/rsyslog \
         doc/source/configuration/modules/pmciscoios.rst",
        "<189>Oct 11 22:14:15 relay1 29: foo: *Oct 11 22:14:14.123: %SYS-5-CONFIG_I: Configured from console",
    )
    .pri(189)
    .at("Oct 11 22:14:15")
    .host("relay1")
    .app("%SYS-5-CONFIG_I")
    .message("Configured from console"),
];
