//! Lines of text, whoever wrote them: what a collector puts in front of a message does not matter, what it puts behind does,
//! because the checksum goes to the end of the message.
//!
//! rsyslog and syslog-ng put nothing behind a message of ours by themselves. Where others do, one of these is tried, and the
//! checksum decides:
//!
//! * without one thing that ends lines or messages elsewhere: CR, space, NUL, or CR, LF or NUL as rsyslog writes them
//!   (`parser.escapeControlCharactersOnReceive`, on by default: `#` and three octal digits);
//! * as the beginning of a JSON string: up to its closing quote, its escapes undone (RFC 8259 section 7).
//!
//! Nothing is undone within a message: control characters that a collector has escaped there are changes.

use std::borrow::Cow;
use std::io::{self, Read};

use memchr::{memchr, memchr_iter};

use super::tracker::Tracker;

/// Longest line that is looked at as one message, bytes.
const LINE_BYTES_MAX: usize = 4 << 20;

/// Bytes read at a time.
const READ_BYTES: u64 = 1 << 20;

/// What may stand behind a message.
const ENDS: [&[u8]; 6] = [b"\r", b" ", b"\0", b"#015", b"#012", b"#000"];

/// Looks at every line of a text; one longer than 4 MiB is looked at in pieces.
pub(super) fn examine_lines(mut input: impl Read, tracker: &mut Tracker) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let read = input.by_ref().take(READ_BYTES).read_to_end(&mut buffer)?;
        let mut start = 0;
        while let Some(end) = memchr(b'\n', &buffer[start..]) {
            tracker.examine_line(&buffer[start..start + end]);
            start += end + 1;
        }
        let is_last = read == 0;
        if start < buffer.len() && (is_last || buffer.len() - start > LINE_BYTES_MAX) {
            tracker.examine_line(&buffer[start..]);
            start = buffer.len();
        }
        if is_last {
            return Ok(());
        }
        buffer.drain(..start);
    }
}

/// What a message may have been, given what a line has from its tag on.
pub(super) fn unwrapped(tagged: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let shorter = ENDS.iter().find_map(|end| tagged.strip_suffix(*end)).map(Cow::Borrowed);
    [shorter, json_string(tagged)].into_iter().flatten()
}

/// What a JSON string that `text` begins within has up to its end; `None` when it has none.
fn json_string(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let is_escaped = |at: usize| text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    let end = memchr_iter(b'"', text).find(|at| !is_escaped(*at))?;
    let inside = &text[..end];
    if memchr(b'\\', inside).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    let quoted = [b"\"", inside, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).ok().map(|text| Cow::Owned(text.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::{RunTag, Tag, blank, fill};
    use crate::verify::Progress;
    use proptest::prelude::*;

    fn tagged(text: &[u8]) -> Vec<u8> {
        let mut message = [&blank(RunTag::new(1)), text].concat();
        fill(&mut message, Tag { flow: 0, sequence: 0, send_ns: 7 });
        message
    }

    /// What is found in one line, and whether it had to be unwrapped.
    fn found(line: &[u8]) -> (Progress, u64) {
        let mut tracker = Tracker::new(RunTag::new(1), 1, 1);
        examine_lines(line, &mut tracker).unwrap();
        (tracker.progress(), tracker.finish(&[1]).wrapped)
    }

    #[test]
    fn one_thing_behind_a_message_is_taken_off_and_told() {
        let message = tagged(b"text");
        let stored = Progress { examined: 1, stored: 1, ..Progress::default() };
        assert_eq!(found(&message), (stored, 0));
        for end in [&b"\r"[..], b" ", b"\0", b"#015", b"#012", b"#000", b"\"", b"\"}", b"\"}]", b"\",\"host\":\"a\"}"] {
            let line = [b"header ", &message[..], end].concat();
            assert_eq!(found(&line), (stored, 1), "{}", String::from_utf8_lossy(end));
        }
    }

    #[test]
    fn anything_else_behind_a_message_or_within_it_is_a_change() {
        let message = tagged(b"a\ttext");
        let corrupted = Progress { examined: 1, corrupted: 1, ..Progress::default() };
        for end in [&b"."[..], b"\r\r", b"  ", b"#011", b"'", b" \""] {
            assert_eq!(found(&[&message[..], end].concat()), (corrupted, 0), "{}", String::from_utf8_lossy(end));
        }
        let escaped = String::from_utf8(message.clone()).unwrap().replace('\t', "#011");
        assert_eq!(found(escaped.as_bytes()), (corrupted, 0));
        assert_eq!(found(&message[..message.len() - 1]), (corrupted, 0));
    }

    #[test]
    fn a_message_that_ends_like_a_line_is_not_cut() {
        for text in [&b"a "[..], b"a\r", b"\"quoted\"", b"#012"] {
            let stored = Progress { examined: 1, stored: 1, ..Progress::default() };
            assert_eq!(found(&tagged(text)), (stored, 0), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_line_beyond_the_limit_is_looked_at_in_pieces() {
        let mut tracker = Tracker::new(RunTag::new(1), 1, 1);
        let line = [vec![b'x'; LINE_BYTES_MAX + (1 << 20)], b"\n".to_vec(), tagged(b"text")].concat();
        examine_lines(&line[..], &mut tracker).unwrap();
        let progress = tracker.progress();
        assert!(progress.stored == 1 && (3..=4).contains(&progress.examined), "{progress:?}");
    }

    proptest! {
        #[test]
        fn a_message_in_a_json_string_is_found_as_it_was(text: String, behind in "[a-z\":{}]{0,20}") {
            let message = tagged(text.as_bytes());
            // The tag itself is plain.
            prop_assert_eq!(&message[..4], b"lg1 ");
            let json = serde_json::to_string(&String::from_utf8(message).unwrap()).unwrap();
            let line = format!("{{\"log\":{json}{behind}");
            let found = found(line.as_bytes()).0;
            prop_assert_eq!(found, Progress { examined: 1, stored: 1, ..Progress::default() });
        }
    }
}
