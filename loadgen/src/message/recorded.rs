//! Messages as they were once sent.

use logboom_syslog::{Severity, header};

use super::Messages;
use crate::replay::Recording;
use crate::tag::{self, RunTag};

impl Messages {
    /// The messages of `recording`, each on the flow of its sender, of at most `flows` that senders share. They stay as they
    /// are, or get the tag of a run behind their header, or at their front if they have none.
    #[must_use]
    pub fn recorded(recording: &Recording, flows: u32, run: Option<RunTag>) -> Self {
        let mut messages = Self::none(run.is_some());
        let tag = run.map(tag::blank).unwrap_or_default();
        for (message, source) in recording.messages() {
            let text_start = message.len() - header::parse(message).message.len();
            let (head, text) = message.split_at(text_start);
            let tag_start = messages.bytes.len() + text_start;
            for part in [head, &tag, text] {
                messages.bytes.extend_from_slice(part);
            }
            messages.end(tag_start, logboom_syslog::pri(message).map(Severity::of_pri));
            messages.flows.push(source % flows);
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::{RUN, TAG, file, written};
    use crate::replay::LIMITS;
    use crate::tag::Found;

    const LINES: [&str; 4] = [
        "<11>Nov 23 10:00:00 host app[7]: text",
        "<12>1 2026-11-23T10:00:00Z host app 7 - [a b=\"c\"] text",
        "{\"message\":\"no header\"}",
        "Nov 23 10:00:01 host app: without PRI \u{1F4DC}\r",
    ];

    fn recording() -> Recording {
        let file = file(LINES.join("\n").as_bytes());
        Recording::read(&[file.path().into()], None, 65_507, 2026, LIMITS).unwrap()
    }

    #[test]
    fn messages_stay_as_they_were_byte_for_byte() {
        let messages = Messages::recorded(&recording(), 1, None);
        for (number, line) in LINES.iter().enumerate() {
            assert_eq!(written(&messages, number as u64), line.as_bytes());
            assert_eq!(messages.bytes_of(number as u64), line.len());
        }
        let severities: Vec<_> =
            (0..4).map(|number| messages.severity_of(number).map(|severity| severity as u8)).collect();
        assert_eq!(severities, [Some(3), Some(4), None, None]);
    }

    #[test]
    fn a_tag_stands_behind_the_header_and_is_found() {
        let messages = Messages::recorded(&recording(), 1, Some(RunTag::new(RUN)));
        for (number, line) in LINES.iter().enumerate() {
            let message = written(&messages, number as u64);
            assert_eq!(RunTag::new(RUN).find(&message), Some(Found::Intact(TAG)));
            let (before, after) = (header::parse(line.as_bytes()), header::parse(&message));
            assert_eq!((after.timestamp, after.host, after.app), (before.timestamp, before.host, before.app), "{line}");
            assert!(after.message.starts_with(b"lg1 ") && after.message.ends_with(before.message), "{line}");
        }
    }

    #[test]
    fn senders_have_flows_of_their_own_and_share_them_beyond_the_most() {
        let files: Vec<_> = (0..4).map(|_| file("2026-11-23T10:00:00Z\n".repeat(2).as_bytes())).collect();
        let paths: Vec<_> = files.iter().map(|file| file.path().to_owned()).collect();
        let recording = Recording::read(&paths, None, 65_507, 2026, LIMITS).unwrap();
        assert_eq!(recording.sources(), 4);
        let messages = Messages::recorded(&recording, 3, None);
        // Two of each sender, of whom the last shares a flow with the first; the rotation begins again behind them.
        let flows: Vec<_> = [(0, 8), (1, 8), (2, 8), (4, 1), (6, 3), (8, 2)]
            .map(|(number, count)| messages.flow_of(number, count).unwrap())
            .into();
        assert_eq!(flows, [(0, 2), (0, 1), (1, 2), (2, 1), (0, 3), (0, 2)]);
    }
}
