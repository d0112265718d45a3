//! From what is asked for to messages.

use std::path::Path;

use fastrand::Rng;

use super::header::{Header, Stamps};
use super::template::{Frame, Template};
use super::text::{Text, made_text};
use super::{Content, Limits, MESSAGE_BYTES_MAX, MessageError, Messages, Sizes, read_at_most};
use crate::tag::{self, RunTag};

/// Fewest bytes of a made-up text: without any, a message would end with the space behind its tag, which some collectors
/// cut off.
const TEXT_BYTES_MIN: usize = 1;

/// Messages while they are made.
pub(super) struct Maker<'c> {
    content: &'c Content,
    templates: Vec<Template>,
    stamps: Stamps,
    /// Without the space behind it: the templates say what follows.
    tag: Vec<u8>,
    rng: Rng,
    /// Of its own, so that headers do not depend on sizes: the size that an error names is enough.
    text_rng: Rng,
    limits: Limits,
    messages: Messages,
}

impl<'c> Maker<'c> {
    pub(super) fn new(
        content: &'c Content,
        run: RunTag,
        seed: u64,
        stamps: Stamps,
        limits: Limits,
    ) -> Result<Self, MessageError> {
        let mut rng = Rng::with_seed(seed);
        Ok(Self {
            content,
            templates: content.format.templates()?,
            stamps,
            tag: tag::blank(run).trim_ascii_end().to_vec(),
            text_rng: rng.fork(),
            rng,
            limits,
            messages: Messages::none(true),
        })
    }

    /// # Errors
    /// [`MessageError`].
    pub(super) fn make(mut self) -> Result<Messages, MessageError> {
        match &self.content.text {
            Text::Made(sizes) => self.make_up(sizes)?,
            Text::Corpus(path) => self.take_lines(path)?,
        }
        self.messages.bytes.shrink_to_fit();
        Ok(self.messages)
    }

    /// Which template the next message is made from.
    fn turn(&self) -> usize {
        self.messages.len() % self.templates.len()
    }

    fn next_frame(&mut self) -> Frame {
        let header = Header::choose(&mut self.rng, &self.content.severities);
        self.templates[self.turn()].render(&header, &self.stamps, &self.tag, &mut self.rng)
    }

    /// Makes up messages until there are enough, or as many as fit; every template equally often.
    fn make_up(&mut self, sizes: &Sizes) -> Result<(), MessageError> {
        let mut least = 0;
        while self.messages.len() < self.limits.made {
            let line = self.turn() + 1;
            let frame = self.next_frame();
            let mut bytes = frame.bytes.len();
            if frame.text_start.is_some() {
                let takes = bytes + TEXT_BYTES_MIN;
                least = least.max(takes);
                bytes = takes.max(sizes.draw(&mut self.text_rng));
            }
            if bytes > MESSAGE_BYTES_MAX {
                let what = format!("a message of line {line} of {}", self.content.format);
                return Err(MessageError::TooLarge { what, bytes });
            }
            if self.messages.bytes.len() + bytes > self.limits.made_bytes {
                break;
            }
            self.messages.push(&frame, &made_text(&mut self.text_rng, bytes - frame.bytes.len()));
        }
        // A smaller size that was drawn has become what its message takes; if all are smaller, nothing is as asked.
        if sizes.largest() < least {
            return Err(MessageError::TooSmall { asked: sizes.clone(), least });
        }
        self.messages.truncate(self.messages.len() - self.turn());
        Ok(())
    }

    /// Makes a message of each line of the file at `path`.
    fn take_lines(&mut self, path: &Path) -> Result<(), MessageError> {
        let refused = |why| MessageError::Corpus { path: path.into(), why };
        let Content { format, .. } = self.content;
        if let Some(line) = self.templates.iter().position(|template| !template.has_text()) {
            return Err(refused(format!("there is no {{text}} for its lines in line {} of {format}", line + 1)));
        }
        let limit = self.limits.corpus_bytes;
        let mut lines = read_at_most(path, limit as u64).map_err(refused)?;
        if lines.is_empty() {
            return Err(refused("the file is empty".into()));
        }
        if lines.last() == Some(&b'\n') {
            lines.pop();
        }
        for (number, line) in (1..).zip(lines.split(|byte| *byte == b'\n')) {
            let text = format.escape(line).map_err(|why| refused(format!("line {number}: {why}")))?;
            let frame = self.next_frame();
            let bytes = frame.bytes.len() + text.len();
            if bytes > MESSAGE_BYTES_MAX {
                let what = format!("line {number} of {} with header and tag", path.display());
                return Err(MessageError::TooLarge { what, bytes });
            }
            if self.messages.bytes.len() + bytes > limit {
                return Err(refused(format!("with headers and tags it is longer than {limit} B; use a part of it")));
            }
            self.messages.push(&frame, &text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::LIMITS;
    use crate::message::tests::{FEW, RUN, TAG, content, file, make_within, written};
    use crate::tag::{Found, TAG_BYTES};

    fn all(messages: &Messages) -> Vec<Vec<u8>> {
        (0..messages.len() as u64).map(|number| written(messages, number)).collect()
    }

    #[test]
    fn a_size_that_no_header_leaves_room_for_is_refused_and_one_among_larger_is_raised() {
        for asked in ["40", "10-61", "mix:1:1,60:1", "lognormal:50,0"] {
            let refused = make_within(&content("rfc3164", asked), LIMITS).unwrap_err().to_string();
            let least = refused
                .strip_prefix(&format!("--size {asked}: a message with its header and tag takes at least "))
                .unwrap_or_else(|| panic!("{refused}"));
            let least: usize = least.strip_suffix(" B").unwrap().parse().unwrap();
            let made = |bytes: usize| make_within(&content("rfc3164", &bytes.to_string()), LIMITS);
            assert!(made(least).is_ok() && made(least - 1).is_err(), "{least}");
        }
        let raw = TAG_BYTES + 1;
        let messages = make_within(&content("raw", "0-100"), LIMITS).unwrap();
        let sizes: Vec<usize> = (0..messages.len() as u64).map(|number| messages.bytes_of(number)).collect();
        assert_eq!(sizes.iter().min(), Some(&raw));
        let raised = sizes.iter().filter(|bytes| **bytes == raw).count();
        assert!((2300..2700).contains(&raised), "62 of 101 sizes: {raised} of 4096");
    }

    #[test]
    fn what_is_made_is_bounded_and_uses_every_template_equally() {
        let count = |format: &str, sizes: &str, made_bytes| {
            let messages = make_within(&content(format, sizes), Limits { made_bytes, ..LIMITS }).unwrap();
            assert!(messages.bytes.len() <= made_bytes);
            messages.len()
        };
        for format in ["rfc3164", "rfc5424", "json", "raw"] {
            assert_eq!(count(format, &Sizes::default().to_string(), 64 << 20), 4096, "{format}");
        }
        assert_eq!(count("rfc3164", "200", 10_199), 50);
        assert_eq!(count("rfc5424", "200", 10_199), 48, "of four templates");
        let three = file(b"{tag} one\n{tag} two\n{tag} three\n");
        assert_eq!(count(&format!("template:{}", three.path().display()), "200", 64 << 20), 4095);
        assert_eq!(count("raw", "65507", 64 << 20), 1024);
    }

    #[test]
    fn a_template_without_text_has_its_own_size_and_one_too_long_is_refused() {
        let templates = file(b"{tag} short\n{tag} {text}\n");
        let format = format!("template:{}", templates.path().display());
        let messages = make_within(&content(&format, "300"), FEW).unwrap();
        let sizes: Vec<usize> = (0..4).map(|number| messages.bytes_of(number)).collect();
        assert_eq!(sizes, [TAG_BYTES + 5, 300, TAG_BYTES + 5, 300]);
        std::fs::write(templates.path(), format!("{{tag}}\n{{tag}}{}", "x".repeat(65_507))).unwrap();
        let refused = make_within(&content(&format, "300"), FEW).unwrap_err().to_string();
        let told = "a message of line 2 of template:";
        assert!(
            refused.starts_with(told) && refused.ends_with("is 65566 B, but a datagram holds at most 65507 B"),
            "{refused}"
        );
    }

    fn corpus(format: &str, lines: &[u8]) -> Result<Messages, MessageError> {
        let file = file(lines);
        let text = Text::Corpus(file.path().into());
        make_within(&Content { text, format: format.parse().unwrap(), ..Content::default() }, FEW)
    }

    #[test]
    fn corpus_lines_are_kept_byte_for_byte() {
        for format in ["rfc3164", "rfc5424", "raw"] {
            let messages = corpus(format, b"one\r\n\n\xFF\xFE two\nlast without end").unwrap();
            let ends = [&b" one\r"[..], b" ", b" \xFF\xFE two", b" last without end"];
            assert_eq!(messages.len(), ends.len());
            for (message, end) in all(&messages).iter().zip(ends) {
                assert!(message.ends_with(end));
                assert_eq!(RunTag::new(RUN).find(message), Some(Found::Intact(TAG)));
            }
        }
    }

    #[test]
    fn corpus_lines_in_json_are_escaped_and_come_out_as_they_were() {
        let messages = corpus("json", "say \"hi\"\\n\r\ntab\there \u{1F4DC}\n".as_bytes()).unwrap();
        for (message, line) in all(&messages).iter().zip(["say \"hi\"\\n\r", "tab\there \u{1F4DC}"]) {
            assert_eq!(RunTag::new(RUN).find(message), Some(Found::Intact(TAG)));
            let object: serde_json::Value = serde_json::from_slice(message).unwrap();
            assert_eq!(object["message"].as_str().unwrap()[TAG_BYTES..], *line);
        }
    }

    #[test]
    fn a_corpus_that_cannot_be_used_is_told() {
        let no_text = file(b"{tag} {text}\n{tag}\n");
        let no_text = format!("template:{}", no_text.path().display());
        let (long, much) = ("x".repeat(65_500), "\n".repeat(20_000));
        for (format, lines, told) in [
            ("json", &b"good\n\xFF\n"[..], ": line 2: JSON is UTF-8"),
            ("raw", long.as_bytes(), " with header and tag is 65560 B, but a datagram holds at most 65507 B"),
            ("raw", much.as_bytes(), ": with headers and tags it is longer than 1048576 B; use a part of it"),
            ("raw", &vec![b'\n'; (1 << 20) + 1], ": it is longer than 1048576 B; use a part of it"),
            (&no_text, b"line\n", ": there is no {text} for its lines in line 2 of template:"),
        ] {
            let refused = corpus(format, lines).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
        let text = Text::Corpus("/nonexistent".into());
        let refused = make_within(&Content { text, ..Content::default() }, FEW).unwrap_err().to_string();
        assert!(refused.starts_with("--corpus /nonexistent: No such file"), "{refused}");
    }
}
