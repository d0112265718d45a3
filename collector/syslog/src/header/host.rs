//! Host names and addresses.

use std::net::{IpAddr, Ipv6Addr};

use super::{HOST_BYTES_MAX, word};

/// What programs call the severity of a line. Where an application's own line comes after a timestamp, as in
/// `2026-10-11 22:14:15,123 INFO ...`, one of these stands where a host would.
const LEVELS: [&str; 19] = [
    "emerg",
    "emergency",
    "panic",
    "alert",
    "crit",
    "critical",
    "fatal",
    "severe",
    "err",
    "error",
    "warn",
    "warning",
    "notice",
    "info",
    "information",
    "informational",
    "debug",
    "trace",
    "verbose",
];

/// A host at the front of `text`, and what follows it.
///
/// RFC 3164 section 4.1.2 wants a name without domain or an address; rsyslog takes letters, digits, `.`, `_` and `-`.
/// Real ones also have `/` (a system and its part), `@` (syslog-ng's chain of hosts), and commas (Ubiquiti's
/// `model,MAC,version`, which may end in a colon). Any of those inside, neither first nor last.
pub(super) fn host(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = word(text, HOST_BYTES_MAX)?;
    if let Some(address) = bracketed_address(word) {
        return Some((address, rest));
    }
    let name = if is_ubiquiti_device(word) { &word[..word.len() - 1] } else { word };
    (is_name(name) || is_ipv6(name)).then_some((name, rest))
}

/// What device it is: `f492bfa8ad88,U6-Lite-6.7.54+15663:`, in place of a host or after it.
pub(super) fn is_ubiquiti_device(word: &[u8]) -> bool {
    word.strip_suffix(b":").is_some_and(|device| device.contains(&b',') && is_name(device))
}

/// A word that says how bad it is, and no more.
pub(super) fn is_level(word: &[u8]) -> bool {
    LEVELS.iter().any(|level| level.as_bytes().eq_ignore_ascii_case(word))
}

fn is_name(name: &[u8]) -> bool {
    let inside = |byte: &u8| is_outermost(byte) || matches!(byte, b'-' | b'.' | b'/' | b'@' | b',' | b'+' | b'~');
    let [first, .., last] = name else { return name.first().is_some_and(is_outermost) };
    is_outermost(first)
        && is_outermost(last)
        && name.iter().all(inside)
        && (!name.contains(&b',') || is_no_list(name))
        && !is_level(name)
}

fn is_outermost(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii()
}

/// Commas are more often a list of values: Palo Alto's begins `1,2026/10/11`.
fn is_no_list(name: &[u8]) -> bool {
    name.iter().any(u8::is_ascii_alphabetic) && !name.contains(&b'/')
}

fn is_ipv6(name: &[u8]) -> bool {
    // RFC 4007 section 11: the zone is no part of the address.
    let address = name.iter().position(|byte| *byte == b'%').map_or(name, |zone| &name[..zone]);
    address.contains(&b':') && std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// `[192.0.2.1]`: Zscaler, and relays that hold to the address literals of RFC 5321 section 4.1.3.
fn bracketed_address(word: &[u8]) -> Option<&[u8]> {
    let address = word.strip_prefix(b"[")?.strip_suffix(b"]")?;
    std::str::from_utf8(address).ok()?.parse::<IpAddr>().ok()?;
    Some(address)
}
