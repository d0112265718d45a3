//! What stands around the tag and the text of a message.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::template::Template;
use super::{MessageError, read_at_most};

/// Most lines of a file of templates: so many of the longest messages fit what is made.
pub(super) const TEMPLATES_MAX: usize = 1024;

/// Most bytes of a file of templates.
const TEMPLATES_BYTES_MAX: u64 = 1 << 20;

/// What stands around the tag and the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `<PRI>Nov 23 10:00:00 host app[pid]: `
    #[default]
    Rfc3164,
    /// `<PRI>1 2026-11-23T10:00:00.000000Z host app pid - - `; every fourth with a MSGID, every fourth with structured data.
    Rfc5424,
    /// An object, its last value the tag and the text. Without PRI, as Fluent Bit (`plugins/out_udp`) and Vector
    /// (`src/sinks/socket.rs`) send it by UDP and TCP.
    Json,
    /// The tag and the text alone.
    Raw,
    /// The lines of a file, in turn; docs/loadgen.md says what stands in them.
    Template(PathBuf),
}

impl Format {
    const NAMED: [Self; 4] = [Self::Rfc3164, Self::Rfc5424, Self::Json, Self::Raw];

    /// The templates to use in turn, at least one.
    ///
    /// # Errors
    /// [`MessageError::Format`] when the file cannot be used.
    pub(super) fn templates(&self) -> Result<Vec<Template>, MessageError> {
        let refused = |why| MessageError::Format { format: self.clone(), why };
        let lines = self.lines().map_err(refused)?;
        let parse =
            |(number, line)| Template::parse(line).map_err(|why| refused(format!("line {}: {why}", number + 1)));
        let templates = lines.lines().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        match templates.len() {
            0 => Err(refused("the file is empty".into())),
            1..=TEMPLATES_MAX => Ok(templates),
            lines => Err(refused(format!("{lines} lines, but at most {TEMPLATES_MAX} are used in turn"))),
        }
    }

    /// Whether each message begins with a PRI.
    ///
    /// # Errors
    /// [`MessageError::Format`] when the file cannot be used.
    pub fn has_pri(&self) -> Result<bool, MessageError> {
        let lines = self.lines().map_err(|why| MessageError::Format { format: self.clone(), why })?;
        Ok(lines.lines().all(|line| line.starts_with('<')))
    }

    /// Whether any message says how severe it is.
    ///
    /// # Errors
    /// [`MessageError::Format`] when the file cannot be used.
    pub fn says_severity(&self) -> Result<bool, MessageError> {
        Ok(self.templates()?.iter().any(Template::says_severity))
    }

    fn lines(&self) -> Result<Cow<'static, str>, String> {
        Ok(Cow::Borrowed(match self {
            Self::Rfc3164 => "<{pri}>{timestamp_rfc3164} {host} {app}[{pid}]: {tag} {text}",
            Self::Rfc5424 => {
                "<{pri}>1 {timestamp} {host} {app} {pid} - - {tag} {text}\n\
                 <{pri}>1 {timestamp} {host} {app} {pid} ID{number} - {tag} {text}\n\
                 <{pri}>1 {timestamp} {host} {app} {pid} - - {tag} {text}\n\
                 <{pri}>1 {timestamp} {host} {app} {pid} - [login@32473 user=\"{user}\" ip=\"{ip}\"] {tag} {text}"
            }
            Self::Json => {
                "{{\"timestamp\":\"{timestamp}\",\"host\":\"{host}\",\"severity\":\"{severity}\",\"appname\":\"{app}\",\
                 \"message\":\"{tag} {text}\"}}"
            }
            Self::Raw => "{tag} {text}",
            Self::Template(path) => {
                let bytes = read_at_most(path, TEMPLATES_BYTES_MAX)?;
                return String::from_utf8(bytes).map(Cow::Owned).map_err(|error| format!("it is not UTF-8: {error}"));
            }
        }))
    }

    /// `line`, as it stands in a message of this format.
    ///
    /// # Errors
    /// Why it cannot, in words.
    pub(super) fn escape<'l>(&self, line: &'l [u8]) -> Result<Cow<'l, [u8]>, String> {
        if *self != Self::Json {
            return Ok(Cow::Borrowed(line));
        }
        let text = str::from_utf8(line).map_err(|error| format!("JSON is UTF-8 (RFC 8259 section 8.1): {error}"))?;
        let quoted = serde_json::to_string(text).map_err(|error| error.to_string())?;
        Ok(Cow::Owned(quoted.as_bytes()[1..quoted.len() - 1].to_vec()))
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("template:").filter(|path| !path.is_empty()) {
            return Ok(Self::Template(path.into()));
        }
        let named = Self::NAMED.into_iter().find(|format| format.to_string() == text);
        named.ok_or_else(|| {
            let known = Self::NAMED.map(|format| format.to_string()).join(", ");
            format!("there are {known} and template:FILE")
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rfc3164 => f.write_str("rfc3164"),
            Self::Rfc5424 => f.write_str("rfc5424"),
            Self::Json => f.write_str("json"),
            Self::Raw => f.write_str("raw"),
            Self::Template(path) => write!(f, "template:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_come_back_and_what_is_none_is_told_what_there_is() {
        for text in ["rfc3164", "rfc5424", "json", "raw", "template:a b:c"] {
            let format: Format = text.parse().unwrap();
            assert_eq!(format.to_string(), text);
        }
        for text in ["", "RFC3164", "template", "template:"] {
            let refused = text.parse::<Format>().unwrap_err();
            assert_eq!(refused, "there are rfc3164, rfc5424, json, raw and template:FILE", "{text}");
        }
    }

    #[test]
    fn a_file_of_templates_that_cannot_be_used_is_told_with_the_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let too_many = "{tag}\n".repeat(TEMPLATES_MAX + 1);
        for (content, told) in [
            (&b""[..], ": the file is empty"),
            (b"{tag}\n\n{tag}\n", ": line 2: there is no {tag}"),
            (b"{tag}\r\n{tag} {txt}\r\n", ": line 2: `{txt}` stands for nothing"),
            (b"{tag}\xFF", ": it is not UTF-8: invalid utf-8 sequence"),
            (too_many.as_bytes(), ": 1025 lines, but at most 1024 are used in turn"),
            (&vec![b'x'; (1 << 20) + 1], ": it is longer than 1048576 B"),
        ] {
            std::fs::write(file.path(), content).unwrap();
            let refused = Format::Template(file.path().into()).templates().unwrap_err().to_string();
            assert!(refused.contains(&format!("--format template:{}{told}", file.path().display())), "{refused}");
        }
        let refused = Format::Template("/nonexistent".into()).templates().unwrap_err().to_string();
        assert!(refused.starts_with("--format template:/nonexistent: No such file"), "{refused}");
    }
}
