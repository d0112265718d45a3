//! Texts of messages: made up, or the lines of a file.

use std::fmt;
use std::path::PathBuf;

use fastrand::Rng;

use super::Sizes;

/// Where texts come from.
#[derive(Clone, Debug)]
pub enum Text {
    /// Made up, so long that the messages have these sizes.
    Made(Sizes),
    /// The lines of a file, in turn.
    Corpus(PathBuf),
}

impl Default for Text {
    fn default() -> Self {
        Self::Made(Sizes::default())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made(sizes) => write!(f, "{sizes} B"),
            Self::Corpus(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `bytes` of text that reads, and compresses, like the logs of a network. Without quotes, backslashes and control
/// characters, so that it may stand in a JSON string (RFC 8259 section 7); never ends with a space, which Vector's syslog
/// source would cut off (`lib/codecs/src/decoding/format/syslog.rs`).
pub(super) fn made_text(rng: &mut Rng, bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    while text.len() < bytes {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&made_clause(rng));
    }
    text.truncate(bytes); // ASCII only.
    if text.ends_with(' ') {
        text.pop();
        text.push('.');
    }
    text.into_bytes()
}

pub(super) fn made_user(rng: &mut Rng) -> &'static str {
    const USERS: [&str; 8] = ["root", "admin", "backup", "oracle", "deploy", "git", "nagios", "www-data"];
    USERS[rng.usize(..USERS.len())]
}

/// An IPv4 address of a private network.
pub(super) fn made_address(rng: &mut Rng) -> String {
    format!("10.{}.{}.{}", rng.u8(0..32), rng.u8(..), rng.u8(1..255))
}

fn made_clause(rng: &mut Rng) -> String {
    const STATES: [&str; 4] = ["up", "down", "flapping", "err-disabled"];
    const PATHS: [&str; 6] = ["/api/v1/items", "/login", "/static/app.js", "/healthz", "/search", "/cart/checkout"];
    let (user, address) = (made_user(rng), made_address(rng));
    match rng.u8(0..10) {
        0 => format!("Failed password for invalid user {user} from {address} port {} ssh2", rng.u16(1024..)),
        1 => format!(
            "Accepted publickey for {user} from {address} port {} ssh2: RSA SHA256:{:x}",
            rng.u16(1024..),
            rng.u64(..)
        ),
        2 => format!(
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={address} user={user}"
        ),
        3 => format!(
            "DHCPACK on {address} to 00:16:3e:{:02x}:{:02x}:{:02x} via eth{}",
            rng.u8(..),
            rng.u8(..),
            rng.u8(..),
            rng.u8(0..4)
        ),
        4 => format!(
            "Interface GigabitEthernet{}/{}/{}, changed state to {}",
            rng.u8(0..4),
            rng.u8(0..2),
            rng.u8(1..49),
            STATES[rng.usize(..STATES.len())]
        ),
        5 => format!(
            "{address} - {user} GET {} HTTP/1.1 {} {} rt=0.{:03}",
            PATHS[rng.usize(..PATHS.len())],
            [200, 200, 200, 304, 404, 502][rng.usize(..6)],
            rng.u32(100..90_000),
            rng.u16(1..900)
        ),
        6 => format!(
            "connection from {address}: closed by peer after {} ms, {} bytes in, {} bytes out",
            rng.u32(1..60_000),
            rng.u32(40..9_000_000),
            rng.u32(40..900_000)
        ),
        7 => format!(
            "IN=eth0 OUT= SRC={address} DST=10.0.{}.{} LEN={} TTL={} PROTO=TCP SPT={} DPT={}",
            rng.u8(0..8),
            rng.u8(1..255),
            rng.u16(40..1500),
            rng.u8(30..128),
            rng.u16(1024..),
            [22, 80, 443, 514, 3389][rng.usize(..5)]
        ),
        8 => format!("session opened for user {user} by (uid={})", rng.u16(0..2000)),
        _ => format!(
            "client {address}#{}: query: host{}.example.net IN A + (10.0.0.{})",
            rng.u16(1024..),
            rng.u16(0..5000),
            rng.u8(2..6)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_long_as_asked_for_and_needs_no_escaping_anywhere() {
        for bytes in (0..600).chain([65_507]) {
            let text = String::from_utf8(made_text(&mut Rng::with_seed(bytes as u64), bytes)).unwrap();
            assert_eq!(text.len(), bytes);
            assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'), "{text}");
            assert_eq!(text.trim(), text);
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_text() {
        let text = |seed| made_text(&mut Rng::with_seed(seed), 500);
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }
}
