//! RFC 3164 section 4.1: `TIMESTAMP HOSTNAME TAG: CONTENT`, and all that is sent in its name.

use super::cisco::{self, after_clock_mark};
use super::host::{host, is_level, is_ubiquiti_device};
use super::rfc5424::after_version;
use super::tag::{Tag, is_snare, tag};
use super::timestamp::{epoch, timestamp};
use super::{Format, HOST_BYTES_MAX, Header, after_space, after_spaces, word};

/// What AIX puts in place of the host (rsyslog `contrib/pmaixforwardedfrom/pmaixforwardedfrom.c`).
const AIX_FORWARDED: &[u8] = b"Message forwarded from ";

/// What syslogd itself says, without host or tag.
const REPEATED: [&[u8]; 2] = [b"last message repeated ", b"message repeated "];

/// The header after PRI, whatever it is.
pub(super) fn read(pri: Option<u8>, text: &[u8]) -> Header<'_> {
    let header = Header { pri, ..Header::default() };
    // HP ProCurve and others have a space after PRI.
    let start = after_spaces(text);
    if let Some((timestamp, rest)) = leading_timestamp(start) {
        return dated(Header { format: Format::Rfc3164, timestamp: Some(timestamp), ..header }, rest);
    }
    undated(header, text, start)
}

/// The timestamp at the front, a VERSION before it or not; a sequence number before it is Cisco's, even if what follows
/// is not.
fn leading_timestamp(text: &[u8]) -> Option<(&[u8], &[u8])> {
    timestamp(after_clock_mark(text))
        .or_else(|| after_version(text).and_then(|rest| timestamp(rest).or_else(|| epoch(rest))))
}

/// No timestamp: then no host either, only a tag; and not even that without a PRI, where any text may begin `Note: `.
fn undated<'a>(header: Header<'a>, text: &'a [u8], start: &'a [u8]) -> Header<'a> {
    let known = Header { format: Format::Rfc3164, ..header };
    if let Some(header) = cisco::read(&known, start) {
        return header;
    }
    if let Some((timestamp, rest)) = after_sequence(start).and_then(leading_timestamp) {
        return dated(Header { timestamp: Some(timestamp), ..known }, rest);
    }
    if let Some(header) = bare_snare(&known, start) {
        return header;
    }
    if header.pri.is_none() {
        return header.before(text);
    }
    tag(start).map_or_else(|| header.before(after_space(text)), |tag| tagged(known, tag))
}

/// What follows `29: `.
fn after_sequence(text: &[u8]) -> Option<&[u8]> {
    let (sequence, rest) = word(text, 20)?;
    let sequence = sequence.strip_suffix(b":")?;
    sequence.iter().all(u8::is_ascii_digit).then(|| after_spaces(rest))
}

/// Snare without a syslog header: `host<TAB>MSWinEventLog<TAB>`.
fn bare_snare<'a>(known: &Header<'a>, text: &'a [u8]) -> Option<Header<'a>> {
    let (host, rest) = host(text)?;
    let tag = tag(rest.strip_prefix(b"\t")?)?;
    is_snare(tag.name?).then(|| tagged(Header { host: Some(host), ..*known }, tag))
}

/// Reads on after the timestamp.
fn dated<'a>(header: Header<'a>, rest: &'a [u8]) -> Header<'a> {
    // Cisco ends the timestamp with a colon, and others have taken it up.
    let rest = after_tab(rest.strip_prefix(b":").unwrap_or(rest));
    let start = after_spaces(rest);
    if let Some(after_colon) = after_lone_colon(start) {
        return without_host(header, after_colon);
    }
    if let Some(header) = cisco::read(&header, start) {
        return header;
    }
    if let Some((host, rest)) = start.strip_prefix(AIX_FORWARDED).and_then(forwarder) {
        return after_host(Header { host: Some(host), ..header }, rest);
    }
    match host(start) {
        Some((host, after)) if !is_text(start) => {
            let placed = after_host(Header { host: Some(host), ..header }, after);
            // A line of an application's own begins with a timestamp too, and its first word is no host. With a PRI it
            // was sent as syslog; without, a tag must bear the host out.
            if header.pri.is_some() || placed.app.is_some() { placed } else { header.before(after_space(rest)) }
        }
        _ => without_host(header, rest),
    }
}

/// What might be taken for a host and is none.
fn is_text(text: &[u8]) -> bool {
    tag(text).is_some() || timestamp(text).is_some() || REPEATED.iter().any(|begin| text.starts_with(begin))
}

/// The host in front of a colon, and what follows that.
fn forwarder(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = word(text, HOST_BYTES_MAX + 1)?;
    let (host, after) = host(word.strip_suffix(b":")?)?;
    after.is_empty().then_some((host, rest))
}

fn without_host<'a>(header: Header<'a>, rest: &'a [u8]) -> Header<'a> {
    if let Some(header) = cisco::read(&header, after_spaces(rest)) {
        return header;
    }
    tag(after_spaces(rest)).map_or_else(|| header.before(after_space(rest)), |tag| tagged(header, tag))
}

fn after_host<'a>(header: Header<'a>, rest: &'a [u8]) -> Header<'a> {
    // Cisco ASA and MikroTik have a colon with spaces around it where the tag would be.
    let rest = after_tab(after_lone_colon(after_spaces(rest)).unwrap_or(rest));
    let start = after_spaces(rest);
    if let Some(header) = cisco::read(&header, start) {
        return header;
    }
    if let Some(tag) = tag(start).or_else(|| tag_after_extra(header.host, start)) {
        return tagged(header, tag);
    }
    header.before(after_space(rest))
}

/// Where there are no spaces, a tab parts the fields.
fn after_tab(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\t").unwrap_or(text)
}

/// What follows a colon that stands alone.
fn after_lone_colon(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b":").filter(|rest| matches!(rest, [] | [b' ', ..]))
}

/// A tag with a word too many before it: the severity (F5: `notice mcpd[7276]:`), facility and severity (busybox, in
/// files: `user.notice app:`), what device it is (Ubiquiti's access points), the host again (Ubiquiti's gateways).
fn tag_after_extra<'a>(host: Option<&[u8]>, text: &'a [u8]) -> Option<Tag<'a>> {
    let (extra, rest) = word(text, HOST_BYTES_MAX)?;
    let level = extra.rsplit(|byte| *byte == b'.').next().unwrap_or(extra);
    (is_level(level) || is_ubiquiti_device(extra) || host == Some(extra)).then(|| tag(after_spaces(rest)))?
}

fn tagged<'a>(header: Header<'a>, tag: Tag<'a>) -> Header<'a> {
    Header { app: tag.name, proc_id: tag.proc_id, ..header }.before(after_space(tag.rest))
}
