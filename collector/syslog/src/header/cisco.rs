//! Cisco: `[sequence: ][origin: ][*][timestamp[ zone]: ]%FACILITY-SEVERITY-MNEMONIC: text`, every part but the last
//! depending on the configuration (Cisco IOS, "System Message Logging").
//!
//! The mnemonic is what shows it to be Cisco, so nothing is believed until that is found.

use memchr::memchr;

use super::host::host;
use super::tag::{is_name, tag};
use super::timestamp::cisco_timestamp;
use super::{Format, HOST_BYTES_MAX, Header, TAG_BYTES_MAX, after_space, after_spaces, word};

/// Sequence number, origin, sequence number of the origin, processor, timestamp, process: none has more.
const PARTS_MAX: usize = 6;

/// How far into the text the mnemonic may stand.
const MNEMONIC_AT_MAX: usize = 512;

/// Reads `text` on from what is `known`; `None` if there is no mnemonic, or something before it that has no place.
pub(super) fn read<'a>(known: &Header<'a>, text: &'a [u8]) -> Option<Header<'a>> {
    // Most messages are not Cisco's, and are told so by one fast look.
    memchr(b'%', &text[..text.len().min(MNEMONIC_AT_MAX)])?;
    let mut header = Header { format: Format::Rfc3164, ..*known };
    let mut rest = text;
    for _ in 0..=PARTS_MAX {
        rest = after_spaces(rest);
        if let Some((mnemonic, rest)) = mnemonic(rest) {
            // IOS XR and Arista EOS name the process too.
            let place = if header.app.is_none() { &mut header.app } else { &mut header.msg_id };
            *place = Some(mnemonic);
            return Some(header.before(after_space(rest)));
        }
        rest = match after_clock(&mut header, rest) {
            Some(rest) => rest,
            None => after_part(&mut header, rest)?,
        };
    }
    None
}

/// `%FACILITY-SEVERITY-MNEMONIC`, and what follows its colon. The facility may have a subfacility (`%SNMP-SNMP-3-...`),
/// the colon a space before it (IOS XR) or be missing (ACI).
pub(super) fn mnemonic(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = text.strip_prefix(b"%")?;
    let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = name.iter().take(TAG_BYTES_MAX).take_while(|byte| is_in_name(byte)).count();
    let has_severity = |name: &[u8]| name.windows(3).any(|part| matches!(part, [b'-', b'0'..=b'7', b'-']));
    if !has_severity(&name[..length]) {
        return None;
    }
    let (mnemonic, rest) = text.split_at(1 + length);
    match rest {
        [b':', rest @ ..] | [b' ', b':', rest @ ..] => Some((mnemonic, rest)),
        [] | [b' ', ..] => Some((mnemonic, rest)),
        _ => None,
    }
}

/// What follows the mark of a clock that was never set (`*`) or is out of step (`.`).
pub(super) fn after_clock_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"*").or_else(|| text.strip_prefix(b".")).unwrap_or(text)
}

fn after_clock<'a>(header: &mut Header<'a>, text: &'a [u8]) -> Option<&'a [u8]> {
    let (timestamp, rest) = cisco_timestamp(after_clock_mark(text))?;
    match header.timestamp {
        None => header.timestamp = Some(timestamp),
        // A relay put its own timestamp and host before. They stay, as in all it relays, and the name between the two
        // timestamps was the origin.
        Some(_) if header.proc_id.is_none() => header.app = None,
        Some(_) => {}
    }
    Some(after_space(rest).strip_prefix(b":").unwrap_or(rest))
}

/// Places one part that ends in a colon, or that only one thing can follow.
fn after_part<'a>(header: &mut Header<'a>, text: &'a [u8]) -> Option<&'a [u8]> {
    if let Some(tag) = tag(text).filter(|tag| tag.proc_id.is_some()) {
        // A name without process id before it can have been a time zone.
        header.app = tag.name;
        return header.proc_id.replace(tag.proc_id?).is_none().then_some(tag.rest);
    }
    if let Some(rest) = after_processor(text) {
        return Some(rest);
    }
    let (part, rest) = word(text, HOST_BYTES_MAX + 1)?;
    match part.strip_suffix(b":") {
        Some(part) => place(header, part)?,
        None if mnemonic(after_spaces(rest)).is_some() => place_host(header, part)?,
        // `CLC 6/0: ` is a line card, `router1 RP/0/RSP0/CPU0:` a router and its processor.
        None if part == b"CLC" => {}
        None => after_processor(after_spaces(rest)).and_then(|_| place_host(header, part))?,
    }
    Some(rest)
}

/// What follows a processor or line card and its colon, with or without a space: `RP/0/RSP0/CPU0:Mar 26`.
fn after_processor(text: &[u8]) -> Option<&[u8]> {
    let (part, _) = word(text, HOST_BYTES_MAX)?;
    let colon = memchr(b':', part)?;
    part[..colon].contains(&b'/').then(|| &text[colon + 1..])
}

fn place<'a>(header: &mut Header<'a>, part: &'a [u8]) -> Option<()> {
    if part.iter().all(u8::is_ascii_digit) {
        // A sequence number; or nothing at all, as NX-OS begins with a colon.
        Some(())
    } else if is_uptime(part) {
        header.timestamp.get_or_insert(part);
        Some(())
    } else if let Some(task) = part.strip_prefix(b"*") {
        // AireOS has its task there: `*spamApTask1: May 26 18:52:01.958: `.
        place_app(header, task)
    } else if header.timestamp.is_some() && is_name(part) {
        // `logging origin-id` goes before the timestamp, so a name after it is a process: Arista EOS. An address is
        // none: Cisco ACE.
        place_app(header, part)
    } else {
        place_host(header, part)
    }
}

fn place_host<'a>(header: &mut Header<'a>, part: &'a [u8]) -> Option<()> {
    let (host, rest) = host(part)?;
    (rest.is_empty() && header.host.replace(host).is_none()).then_some(())
}

fn place_app<'a>(header: &mut Header<'a>, part: &'a [u8]) -> Option<()> {
    (is_name(part) && header.app.replace(part).is_none()).then_some(())
}

/// `00:01:01`, `1d02h`, `3w5d`: time since start, of a device that has no clock (`service timestamps log uptime`).
fn is_uptime(part: &[u8]) -> bool {
    let is_in_uptime = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b':' | b'y' | b'w' | b'd' | b'h');
    part.len() <= 9 && part.first().is_some_and(u8::is_ascii_digit) && part.iter().all(is_in_uptime)
}
