//! The tag of RFC 3164: name, process id, colon.

use super::host::is_level;
use super::{PROC_ID_BYTES_MAX, TAG_BYTES_MAX};

/// Snare's agents for Windows and Linux have a tab after the tag, or a space, and no colon (rsyslog
/// `contrib/pmsnare/pmsnare.c`).
const SNARE: [&[u8]; 2] = [b"MSWinEventLog", b"LinuxKAudit"];

/// A tag, and what follows it.
#[derive(Clone, Copy)]
pub(super) struct Tag<'a> {
    pub(super) name: Option<&'a [u8]>,
    pub(super) proc_id: Option<&'a [u8]>,
    pub(super) rest: &'a [u8],
}

/// A tag at the front of `text`.
///
/// By RFC 3164 section 4.1.3 any word is one: its first character that is no letter or digit ends it. Then `Use the
/// BFG!` (section 5.4, example 2) comes from a program `Use`; so a name counts only if a colon and a space follow it,
/// or a process id in brackets. A colon with text behind it is a value: `CEF:0|`, `http://`, `12:34:56`.
pub(super) fn tag(text: &[u8]) -> Option<Tag<'_>> {
    let looked_at = &text[..text.len().min(TAG_BYTES_MAX + 1)];
    let length = looked_at.iter().position(|byte| !is_name_byte(*byte)).unwrap_or(looked_at.len());
    let (name, after) = text.split_at(length);
    match after {
        [b'[', inside @ ..] if name.is_empty() || may_be_name(name) => with_proc_id(name, inside),
        [b':', rest @ ..] if is_name(name) && matches!(rest.first(), None | Some(b' ' | b'\t')) => {
            Some(Tag { name: Some(name), proc_id: None, rest })
        }
        [b'\t' | b' ', rest @ ..] if is_snare(name) => Some(Tag { name: Some(name), proc_id: None, rest }),
        _ => None,
    }
}

/// Whether a colon makes a tag of it. `Error: ` begins a text more often than it names a program, `12: ` always does.
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
    may_be_name(name) && name.iter().any(is_letter) && !is_level(name)
}

/// Whether a process id makes a tag of it.
fn may_be_name(name: &[u8]) -> bool {
    name.len() <= TAG_BYTES_MAX
        && name.first().is_some_and(|byte| is_first_byte(*byte))
        && name.iter().all(|byte| is_name_byte(*byte))
}

pub(super) fn is_snare(name: &[u8]) -> bool {
    SNARE.contains(&name)
}

/// `[230]`, then a colon, or with digits a space too. Names of threads stand there as well (`CMDLOGGER[emWeb]:`). With
/// digits even the name may be missing (`[358]: `: Dell PowerStore, Citrix NetScaler).
fn with_proc_id<'a>(name: &'a [u8], inside: &'a [u8]) -> Option<Tag<'a>> {
    let looked_at = &inside[..inside.len().min(PROC_ID_BYTES_MAX + 1)];
    let length = looked_at.iter().position(|byte| matches!(byte, b']' | b'[' | b' ') || byte.is_ascii_control())?;
    let (proc_id, after) = inside.split_at(length);
    let after = after.strip_prefix(b"]")?;
    let is_number = !proc_id.is_empty() && proc_id.iter().all(u8::is_ascii_digit);
    let rest = match after {
        // No space needed here: Huawei writes `%%01IFNET/4/LINK_STATE(l)[1]:The line protocol`.
        [b':', rest @ ..] if is_number || !name.is_empty() => rest,
        [] | [b' ', ..] if is_number && !name.is_empty() => after,
        _ => return None,
    };
    let present = |part: &'a [u8]| (!part.is_empty() && part != b"-").then_some(part);
    Some(Tag { name: present(name), proc_id: present(proc_id), rest })
}

/// What programs have in their names: `postfix/smtpd`, `sshd(pam_unix)`, `openvpn@server`, `bgp#zebra`,
/// `%%10SHELL/5/LOGIN`. Not what makes a list, a pair or JSON: comma, semicolon, equals sign, quotes, bars, braces.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"-_./()+@%#$~*&!".contains(&byte)
}

/// `@cee:` is a cookie that says JSON follows (rsyslog mmjsonparse), not a program.
fn is_first_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"-_./(%~".contains(&byte)
}
