//! Text of others as text of a page, and elements around it.

use crate::view::wording::visible;

/// Longest text, letters.
const LETTERS_MAX: usize = 10_000;

/// `text` as the text of an element or the value of an attribute in double quotes: nothing in it is markup, and what would turn
/// a line around or has no place in HTML is shown as its code. What is longer than [`LETTERS_MAX`] ends in three dots.
pub(super) fn escape(text: &str) -> String {
    let end = text.char_indices().nth(LETTERS_MAX).map(|(at, _)| at);
    let text = visible(&text[..end.unwrap_or(text.len())]);
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped.push_str(if end.is_some() { "..." } else { "" });
    escaped
}

/// JSON as the text of a `script` element, of which only `<` could end it (HTML 13.2.5.4) or begin a comment in it, and the line
/// separators trouble what takes JSON for a script. All stand in strings alone, where an escape means the same.
pub(super) fn embed(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// A table in a box of its own, in which it scrolls when it is too wide. `rows` are cells of markup; the first of a row heads it.
pub(super) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let mut text = String::from("<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>");
    head.iter().for_each(|cell| text.push_str(&format!("<th scope=\"col\">{cell}</th>")));
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let (open, close) = if at == 0 { ("<th scope=\"row\">", "</th>") } else { ("<td>", "</td>") };
            text.push_str(&format!("{open}{cell}{close}"));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div>\n");
    text
}

/// A command as a shell takes it: words that a shell could read otherwise stand in single quotes (POSIX 2.2.2).
pub(super) fn shell<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quote = |word: &str| {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
        if !word.is_empty() && word.chars().all(is_plain) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup_or_endless() {
        assert_eq!(
            escape("<b a='\"'>&\u{202e}\u{1b}"),
            "&lt;b a=&#39;&quot;&#39;&gt;&amp;&lt;U+202E&gt;&lt;U+001B&gt;"
        );
    }

    #[test]
    fn embedded_json_cannot_end_its_element_and_means_the_same() {
        let json = serde_json::json!({"</script>": "<!--\u{2028}\u{2029}<script>"});
        let text = embed(&json.to_string());
        assert!(!text.contains(['<', '\u{2028}', '\u{2029}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), json);
    }

    #[test]
    fn a_shell_reads_the_words_that_were_given() {
        let words = ["loadgen", "--threshold", "loss_ratio<=0.01%", "", "it's", "a b", "$(x)", "udp://[::1]:514"];
        let quoted = shell(words.into_iter());
        let output =
            std::process::Command::new("sh").args(["-c", &format!("printf '%s\\n' {quoted}")]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), words.join("\n") + "\n", "{quoted}");
        assert!(quoted.starts_with("loadgen --threshold 'loss_ratio<=0.01%' '' "), "{quoted}");
    }
}
