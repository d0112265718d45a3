//! RFC 5424 section 6: `VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]`.

use memchr::memchr2;

use super::timestamp::rfc3339;
use super::{APP_BYTES_MAX, Format, HOST_BYTES_MAX, Header, MSG_ID_BYTES_MAX, PROC_ID_BYTES_MAX, after_space, word};

/// A field, `None` if it is NILVALUE, and what follows it.
type Field<'a> = (Option<&'a [u8]>, &'a [u8]);

/// The header after PRI; `None` unless all of it is there. Many a device writes VERSION and an RFC 3339 timestamp and
/// then goes on in the old way (`1 2007-02-15T09:17:15.719Z mib2d[1484]: ...`): with less than the whole, words of its
/// text would become fields.
pub(super) fn read(pri: Option<u8>, text: &[u8]) -> Option<Header<'_>> {
    let (timestamp, rest) = timestamp(after_version(text)?)?;
    // Without either, a number, a dash and four words would do.
    if pri.is_none() && timestamp.is_none() {
        return None;
    }
    let (host, rest) = field(rest, HOST_BYTES_MAX)?;
    let (app, rest) = field(rest, APP_BYTES_MAX)?;
    let (proc_id, rest) = field(rest, PROC_ID_BYTES_MAX)?;
    let (msg_id, rest) = field(rest, MSG_ID_BYTES_MAX)?;
    // Pulse Secure keeps the colon of the tag.
    let app = app.map(|app| app.strip_suffix(b":").unwrap_or(app)).filter(|app| !app.is_empty());
    let header = Header { format: Format::Rfc5424, pri, timestamp, host, app, proc_id, msg_id, ..Header::default() };
    match rest {
        [] | [b' ', b'-'] => Some(header.before(&rest[rest.len()..])),
        [b' ', b'-', b' ', message @ ..] => Some(header.before(message)),
        [b' ', data @ ..] if data.starts_with(b"[") => Some(match structured_data(data) {
            Some((data, rest)) => Header { structured_data: Some(data), ..header }.before(after_space(rest)),
            None => header.before(data),
        }),
        // Heroku leaves STRUCTURED-DATA out (Heroku Dev Center, "Log Drains"); its MSGID is always nil.
        [b' ', message @ ..] if msg_id.is_none() => Some(header.before(message)),
        _ => None,
    }
}

/// What follows VERSION, `NONZERO-DIGIT 0*2DIGIT`, and a space.
pub(super) fn after_version(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'1'..=b'9', b' ', rest @ ..]
        | [b'1'..=b'9', b'0'..=b'9', b' ', rest @ ..]
        | [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', rest @ ..] => Some(rest),
        _ => None,
    }
}

fn timestamp(text: &[u8]) -> Option<Field<'_>> {
    match text {
        [b'-', rest @ ..] => Some((None, rest)),
        // Check Point has a space for `T`; the four fields that must follow keep that from being anything else.
        _ => rfc3339(text).map(|(timestamp, rest)| (Some(timestamp), rest)),
    }
}

/// A space, and a field of PRINTUSASCII; UTF-8 is let through, as every receiver does.
fn field(text: &[u8], bytes_max: usize) -> Option<Field<'_>> {
    let (field, rest) = word(text.strip_prefix(b" ")?, bytes_max)?;
    (!field.iter().any(u8::is_ascii_control)).then_some(((field != b"-").then_some(field), rest))
}

/// One or more elements, and what follows them: nothing, or a space. Without that, brackets begin the text
/// (`[worker]: started`).
fn structured_data(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = text;
    while let Some(inside) = rest.strip_prefix(b"[") {
        rest = after_element(inside)?;
    }
    matches!(rest, [] | [b' ', ..]).then(|| text.split_at(text.len() - rest.len()))
}

/// `SD-ID *(SP SD-PARAM) "]"`. Names may be longer than 32 bytes, spaces more than one, and one may stand behind `=`:
/// there is a line break at that place in the RFC's own example (section 6.5), and it has been copied.
fn after_element(text: &[u8]) -> Option<&[u8]> {
    let mut rest = after_sd_name(text)?;
    loop {
        let param = super::after_spaces(rest);
        match param {
            [b']', rest @ ..] => return Some(rest),
            _ if param.len() == rest.len() => return None,
            _ => {}
        }
        let value = super::after_spaces(after_sd_name(param)?.strip_prefix(b"=")?);
        rest = after_value(value.strip_prefix(b"\"")?)?;
    }
}

/// SD-NAME: PRINTUSASCII but `=`, space, `]` and `"`.
fn after_sd_name(text: &[u8]) -> Option<&[u8]> {
    let is_in_name = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
    let length = text.iter().position(|byte| !is_in_name(byte))?;
    (length > 0).then(|| &text[length..])
}

/// PARAM-VALUE and its closing quote. A backslash takes the next byte with it, whichever that is (section 6.3.3). `]`
/// should be escaped as well; where it is not, the quotes tell all the same.
fn after_value(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let at = memchr2(b'"', b'\\', rest)?;
        if rest[at] == b'"' {
            return Some(&rest[at + 1..]);
        }
        rest = rest.get(at + 2..)?;
    }
}
