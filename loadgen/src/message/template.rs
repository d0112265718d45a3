//! A message with gaps: `<{pri}>{timestamp} {host} {app}[{pid}]: {tag} {text}`.

use fastrand::Rng;
use logboom_syslog::{Severity, facility_keyword};

use super::header::{Header, Stamps};
use super::text::{made_address, made_user};

/// How a brace is written that is no gap.
const TWICE: &str = "a brace is written twice: {{ or }}";

/// One line of a format.
#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Literal(String),
    Value(Value),
    /// The tag, without the space behind it.
    Tag,
    Text,
}

/// What a gap is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Pri,
    Facility,
    Severity,
    Timestamp,
    TimestampRfc3164,
    Host,
    App,
    Pid,
    Ip,
    User,
    Number,
}

impl Value {
    const fn says_severity(self) -> bool {
        matches!(self, Self::Pri | Self::Severity)
    }

    const ALL: [Self; 11] = [
        Self::Pri,
        Self::Facility,
        Self::Severity,
        Self::Timestamp,
        Self::TimestampRfc3164,
        Self::Host,
        Self::App,
        Self::Pid,
        Self::Ip,
        Self::User,
        Self::Number,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Pri => "pri",
            Self::Facility => "facility",
            Self::Severity => "severity",
            Self::Timestamp => "timestamp",
            Self::TimestampRfc3164 => "timestamp_rfc3164",
            Self::Host => "host",
            Self::App => "app",
            Self::Pid => "pid",
            Self::Ip => "ip",
            Self::User => "user",
            Self::Number => "number",
        }
    }

    fn render(self, header: &Header, stamps: &Stamps, rng: &mut Rng) -> String {
        match self {
            Self::Pri => header.pri().to_string(),
            Self::Facility => facility_keyword(header.pri()).to_owned(),
            Self::Severity => header.severity.keyword().to_owned(),
            Self::Timestamp => stamps.rfc3339.clone(),
            Self::TimestampRfc3164 => stamps.rfc3164.clone(),
            Self::Host => header.host.clone(),
            Self::App => header.app.to_owned(),
            Self::Pid => header.pid.to_string(),
            Self::Ip => made_address(rng),
            Self::User => made_user(rng).to_owned(),
            Self::Number => rng.u32(1..100_000).to_string(),
        }
    }
}

/// A message but for its text.
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    /// Where its tag begins.
    pub(super) tag_start: usize,
    /// Where its text is put in; before the tag if that begins there too.
    pub(super) text_start: Option<usize>,
    /// What it says of its severity.
    pub(super) severity: Option<Severity>,
}

impl Template {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), line);
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let braced = &rest[at..];
            let unpaired = || format!("`{}` has no counterpart; {TWICE}", &braced[..1]);
            match braced.as_bytes() {
                [b'{', b'{', ..] | [b'}', b'}', ..] => {
                    literal.push_str(&braced[..1]);
                    rest = &braced[2..];
                }
                [b'{', ..] => {
                    let (name, after) = braced[1..].split_once('}').ok_or_else(unpaired)?;
                    pieces.extend([Piece::Literal(std::mem::take(&mut literal)), piece(name)?]);
                    rest = after;
                }
                _ => return Err(unpaired()),
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Literal(literal));
        let count = |wanted| pieces.iter().filter(|piece| **piece == wanted).count();
        match (count(Piece::Tag), count(Piece::Text)) {
            (1, 0 | 1) => Ok(Self { pieces }),
            (0, _) => Err("there is no {tag}, and without it the messages could not be found again".into()),
            (1, texts) => Err(format!("{{text}} stands in it {texts} times, but there is one text")),
            (tags, _) => Err(format!("{{tag}} stands in it {tags} times, but a message has one tag")),
        }
    }

    /// Whether messages say how severe they are.
    pub(super) fn says_severity(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Value(value) if value.says_severity()))
    }

    pub(super) fn has_text(&self) -> bool {
        self.pieces.contains(&Piece::Text)
    }

    /// Fills all gaps but that of the text.
    pub(super) fn render(&self, header: &Header, stamps: &Stamps, tag: &[u8], rng: &mut Rng) -> Frame {
        let mut frame = Frame { bytes: Vec::new(), tag_start: 0, text_start: None, severity: None };
        for piece in &self.pieces {
            let end = frame.bytes.len();
            match piece {
                Piece::Literal(literal) => frame.bytes.extend_from_slice(literal.as_bytes()),
                Piece::Value(value) => {
                    frame.bytes.extend_from_slice(value.render(header, stamps, rng).as_bytes());
                    if value.says_severity() {
                        frame.severity = Some(header.severity);
                    }
                }
                Piece::Tag => {
                    frame.tag_start = end;
                    frame.bytes.extend_from_slice(tag);
                }
                Piece::Text => frame.text_start = Some(end),
            }
        }
        frame
    }
}

fn piece(name: &str) -> Result<Piece, String> {
    match name {
        "tag" => Ok(Piece::Tag),
        "text" => Ok(Piece::Text),
        _ => Value::ALL.into_iter().find(|value| value.name() == name).map(Piece::Value).ok_or_else(|| {
            let known = Value::ALL.map(|value| format!("{{{}}}", value.name())).join(", ");
            format!("`{{{name:.40}}}` stands for nothing: there are {{tag}}, {{text}}, {known}; {TWICE}")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Severities;

    fn render(line: &str) -> Frame {
        let mut rng = Rng::with_seed(1);
        let header = Header::choose(&mut rng, &"err".parse::<Severities>().unwrap());
        let stamps = Stamps { rfc3164: "Nov 23 10:00:00".into(), rfc3339: "2026-11-23T10:00:00.000000Z".into() };
        Template::parse(line).unwrap().render(&header, &stamps, b"TAG", &mut rng)
    }

    fn rendered(line: &str) -> String {
        String::from_utf8(render(line).bytes).unwrap()
    }

    #[test]
    fn every_gap_is_filled_with_what_it_names() {
        let line = Value::ALL.map(|value| format!("{{{}}}", value.name())).join("|") + "|{tag}";
        let filled = rendered(&line);
        let [pri, facility, severity, timestamp, timestamp_rfc3164, host, app, pid, ip, user, number, tag] =
            filled.split('|').collect::<Vec<_>>()[..]
        else {
            panic!("{filled}")
        };
        let pri: u8 = pri.parse().unwrap();
        assert_eq!((pri % 8, facility_keyword(pri), severity), (3, facility, "err"));
        assert_eq!((timestamp, timestamp_rfc3164), ("2026-11-23T10:00:00.000000Z", "Nov 23 10:00:00"));
        assert!([host, app, user].iter().all(|name| name.bytes().all(|byte| byte.is_ascii_graphic())), "{filled}");
        assert!(ip.parse::<std::net::Ipv4Addr>().unwrap().is_private());
        assert!(pid.parse::<u32>().is_ok() && number.parse::<u32>().is_ok(), "{filled}");
        assert_eq!(tag, "TAG");
    }

    #[test]
    fn a_brace_is_written_twice() {
        for (line, expected) in
            [("{{\"m\":\"{tag}\"}}", "{\"m\":\"TAG\"}"), ("{{{tag}}}", "{TAG}"), ("{{tag}} }}{{{tag}", "{tag} }{TAG")]
        {
            assert_eq!(rendered(line), expected);
        }
    }

    #[test]
    fn a_severity_is_known_where_the_line_says_it() {
        for (line, said) in [("{pri}{tag}", true), ("{tag}{severity}", true), ("<13>{tag}{facility}", false)] {
            assert_eq!(render(line).severity.is_some(), said, "{line}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        for (line, told) in [
            ("", "there is no {tag}, and without it the messages could not be found again"),
            ("{text}", "there is no {tag}"),
            ("{{tag}}", "there is no {tag}"),
            ("{tag} {text} {tag}", "{tag} stands in it 2 times"),
            ("{tag} {text} {text}", "{text} stands in it 2 times"),
            ("{tag} {hots}", "`{hots}` stands for nothing: there are {tag}, {text}, {pri}, {facility}, {severity}, "),
            ("{tag} {}", "`{}` stands for nothing"),
            ("{\"m\":\"{tag}\"}", "`{\"m\":\"{tag}` stands for nothing"),
            ("{tag", "`{` has no counterpart; a brace is written twice: {{ or }}"),
            ("{tag} }", "`}` has no counterpart"),
            ("{tag}} {{}", "`}` has no counterpart"),
        ] {
            let refused = Template::parse(line).unwrap_err();
            assert!(refused.contains(told), "{line}: {refused}");
        }
        let long = Template::parse(&format!("{{tag}}{{{}}}", "x".repeat(5000))).unwrap_err();
        assert!(long.len() < 500, "{long}");
    }
}
