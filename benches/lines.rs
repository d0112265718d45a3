//! Lines to measure with: syslog messages of the length and variety of a real network's, the same in every run.

use fastrand::Rng;
use logboom_segment::{Flags, Message, Source};

/// `count` lines of 150 to 250 B, about 200 on average.
#[must_use]
pub fn lines(count: usize) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(1);
    (0..count).map(|_| line(&mut rng)).collect()
}

fn line(rng: &mut Rng) -> Vec<u8> {
    const TEXTS: [&str; 6] = [
        "Failed password for invalid user admin from",
        "Accepted publickey for deploy from",
        "connection closed by authenticating user root",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=",
        "Interface GigabitEthernet1/0/24, changed state to up; last change by console from",
        "GET /api/v1/items HTTP/1.1 200 client=",
    ];
    let bytes = rng.usize(150..=250);
    let mut line = format!(
        "<{}>Nov 23 10:00:{:02} fra{:02}-sw{:02} app[{}]:",
        rng.u8(..192),
        rng.u8(..60),
        rng.u8(..40),
        rng.u8(..30),
        rng.u16(..)
    );
    while line.len() < bytes {
        let text = TEXTS[rng.usize(..TEXTS.len())];
        line.push_str(&format!(" {text} 10.{}.{}.{} port {}", rng.u8(..32), rng.u8(..), rng.u8(..), rng.u16(..)));
    }
    line.truncate(bytes);
    line.into_bytes()
}

/// A message as a receiver makes it of a datagram.
#[must_use]
pub fn message(payload: &[u8], received_ns: u64) -> Message<'_> {
    Message {
        payload,
        received_ns,
        source: Source { address: Some([10, 0, 0, 1].into()), port: 514, listener: 0 },
        pri: 134,
        flags: Flags::NONE,
        original_length: payload.len() as u32,
    }
}
