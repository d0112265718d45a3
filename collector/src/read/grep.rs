//! What the text of a message must hold: patterns as ripgrep's, looked for in whole blocks first.

use std::ops::Range;

use memchr::{memchr, memmem};
use regex::bytes::{Regex, RegexBuilder};

/// Longest of all patterns together, compiled, bytes: what regular expressions may ask of memory.
const COMPILED_BYTES_MAX: usize = 16 << 20;

/// How patterns are meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct PatternOptions {
    /// Texts, not regular expressions.
    pub fixed: bool,
    /// Letters of either case.
    pub ignore_case: bool,
    /// Whole words only.
    pub words: bool,
    /// Messages that do not match.
    pub invert: bool,
}

/// One or several patterns, any of which will do. Matching takes time linear in the text.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    invert: bool,
    /// A text that every match holds, exactly as it stands there.
    literal: Option<memmem::Finder<'static>>,
    /// The literal is all there is to match.
    is_literal: bool,
}

impl Pattern {
    /// Compiles patterns.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(patterns: &[String], options: PatternOptions) -> Result<Self, String> {
        let source = |pattern: &String| {
            let text = if options.fixed { regex::escape(pattern) } else { format!("(?:{pattern})") };
            if options.words { format!(r"\b{{start-half}}{text}\b{{end-half}}") } else { text }
        };
        let all: Vec<String> = patterns.iter().map(source).collect();
        let mut builder = RegexBuilder::new(&all.join("|"));
        // Bytes that are no UTF-8 are matched as bytes; LF may stand inside a message.
        builder.case_insensitive(options.ignore_case).multi_line(true).size_limit(COMPILED_BYTES_MAX);
        let regex = builder.build().map_err(|error| error.to_string())?;
        let literal = match patterns {
            [only] if !options.ignore_case && (options.fixed || regex::escape(only) == *only) => Some(only.as_bytes()),
            _ => None,
        };
        // In a block's text an LF inside a message is replaced by 0x1E.
        let literal =
            literal.filter(|text| !text.is_empty() && memchr(b'\n', text).is_none() && memchr(0x1E, text).is_none());
        Ok(Self {
            regex,
            invert: options.invert,
            is_literal: literal.is_some() && !options.words,
            literal: literal.map(|text| memmem::Finder::new(text).into_owned()),
        })
    }

    /// Whether a block with this text may hold a wanted message.
    pub(super) fn may_match_block(&self, text: &[u8]) -> bool {
        self.invert || self.literal.as_ref().is_none_or(|literal| literal.find(text).is_some())
    }

    /// Whether a message is wanted.
    #[must_use]
    pub fn matches(&self, payload: &[u8]) -> bool {
        let is_match = match &self.literal {
            Some(literal) if self.is_literal => literal.find(payload).is_some(),
            _ => self.regex.is_match(payload),
        };
        is_match != self.invert
    }

    /// Whether wanted messages can be counted by the lines of a block's text.
    pub(super) fn counts_lines(&self) -> bool {
        self.is_literal && !self.invert
    }

    /// Lines with the literal in them.
    pub(super) fn count_lines(&self, text: &[u8]) -> u64 {
        let Some(literal) = &self.literal else { return 0 };
        let (mut count, mut from) = (0, 0);
        while let Some(at) = literal.find(&text[from..]) {
            count += 1;
            let rest = from + at;
            from = memchr(b'\n', &text[rest..]).map_or(text.len(), |end| rest + end + 1);
        }
        count
    }

    /// Where it matches in a message, to be shown.
    pub fn find_all<'a>(&'a self, payload: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        let shown = (!self.invert).then(|| self.regex.find_iter(payload).map(|found| found.range()));
        shown.into_iter().flatten().filter(|range| !range.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str, options: PatternOptions) -> Pattern {
        Pattern::new(&[text.to_owned()], options).unwrap()
    }

    const PLAIN: PatternOptions = PatternOptions { fixed: false, ignore_case: false, words: false, invert: false };

    #[test]
    fn patterns_mean_what_ripgreps_do() {
        for (text, options, matching, other) in [
            ("error", PLAIN, "an error here", "an Error here"),
            ("err.r", PLAIN, "an error here", "an eror"),
            ("err.r", PatternOptions { fixed: true, ..PLAIN }, "err.r", "error"),
            ("ERROR", PatternOptions { ignore_case: true, ..PLAIN }, "an error here", "none"),
            ("err", PatternOptions { words: true, ..PLAIN }, "an err here", "an error"),
            ("-x", PatternOptions { words: true, fixed: true, ..PLAIN }, "a -x b", "a -xy"),
            ("error", PatternOptions { invert: true, ..PLAIN }, "fine", "an error"),
            ("^su:", PLAIN, "su: failed", "login su: failed"),
            ("^second", PLAIN, "first\nsecond", "first second"),
            ("", PLAIN, "", "never"),
        ] {
            let pattern = pattern(text, options);
            assert!(pattern.matches(matching.as_bytes()), "{text}");
            assert!(text.is_empty() || !pattern.matches(other.as_bytes()), "{text}");
        }
        assert!(pattern(r"\xFF", PLAIN).matches(b"\xC3\xBF"), "as a character");
        assert!(pattern(r"(?-u:\xFF)", PLAIN).matches(b"a\xFFb"), "as a byte");
        assert!(Pattern::new(&["(".into()], PLAIN).unwrap_err().contains("unclosed group"));
        assert!(Pattern::new(&["(((a{100}){100}){100}){100}".into()], PLAIN).unwrap_err().contains("size limit"));
        assert!(Pattern::new(&["a".into(), "b".into()], PLAIN).unwrap().matches(b"xbx"));
    }

    #[test]
    fn a_block_is_passed_over_only_when_no_message_in_it_can_match() {
        let text = b"one error\nfine\ntwo error errors\n";
        let error = pattern("error", PLAIN);
        assert!(error.may_match_block(text) && !error.may_match_block(b"fine\nwell\n"));
        assert!(pattern("e.*r", PLAIN).may_match_block(b"fine\n"), "not known");
        assert!(pattern("fine", PatternOptions { invert: true, ..PLAIN }).may_match_block(b"fine\n"));
        // What stands for LF in a block's text is none.
        assert!(pattern("a\nb", PLAIN).may_match_block(b"a\x1Eb\n") && !pattern("a\nb", PLAIN).counts_lines());
        assert!(error.counts_lines());
        assert_eq!(error.count_lines(text), 2);
        assert_eq!(error.count_lines(b"error"), 1);
    }

    #[test]
    fn matches_are_found() {
        let ranges: Vec<_> = pattern("o+", PLAIN).find_all(b"foo bo").collect();
        assert_eq!(ranges, [1..3, 5..6]);
    }
}
