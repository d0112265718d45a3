//! The header of a stored message: what a reader shows in columns and searches by.
//!
//! [`parse`] reads what RFC 5424 section 6 and RFC 3164 section 4.1 define, and what senders make of them: no
//! timestamp, no host, a year, a time zone, Cisco's sequence numbers, structured data with a quote too many. It is
//! total: every byte string has a header, if an empty one, and what has no place in it stays in the message.
//!
//! * Nothing is copied or allocated: every field is a slice of the input, and the message is its end (a suffix).
//! * Time is linear in the length: a constant number of layouts is tried, none of which goes back, and none looks at
//!   more of a field than its limit below. Structured data alone has no limit, and is read once.
//! * No number is computed from a run of digits longer than nine: CVE-2014-3634 is a PRI of ten.
//!
//! ```
//! let header = logboom_syslog::header::parse(b"<38>Oct 11 22:14:15 mymachine sshd[230]: Connection closed");
//! assert_eq!(header.host, Some(&b"mymachine"[..]));
//! assert_eq!(header.app, Some(&b"sshd"[..]));
//! assert_eq!(header.proc_id, Some(&b"230"[..]));
//! assert_eq!(header.message, b"Connection closed");
//! ```

use memchr::memchr;

use crate::pri;

mod cisco;
mod host;
mod rfc3164;
mod rfc5424;
mod tag;
mod timestamp;

/// HOSTNAME, in bytes (RFC 5424 section 6.2.4).
pub const HOST_BYTES_MAX: usize = 255;

/// APP-NAME, in bytes (RFC 5424 section 6.2.5).
pub const APP_BYTES_MAX: usize = 48;

/// PROCID, in bytes (RFC 5424 section 6.2.6), and what stands in brackets after the tag of RFC 3164.
pub const PROC_ID_BYTES_MAX: usize = 128;

/// MSGID, in bytes (RFC 5424 section 6.2.7).
pub const MSG_ID_BYTES_MAX: usize = 32;

/// The tag of RFC 3164, in bytes. Section 4.1.3 says 32, which neither syslogd nor its successors kept to (rsyslog,
/// `tools/pmrfc3164.c`: given up in 2008); container names are commonly longer.
pub const TAG_BYTES_MAX: usize = 128;

/// Which layout the header was read by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// RFC 5424: VERSION and six fields, each there or `-`.
    Rfc5424,
    /// RFC 3164 and everything that resembles it: a timestamp, or at least a tag.
    Rfc3164,
    /// Neither: no more than a PRI, if that.
    #[default]
    Unknown,
}

/// The parts of a message, each as it stands in the text. What is missing, or `-` in RFC 5424, is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header<'a> {
    /// Which layout the header was read by.
    pub format: Format,
    /// Facility and severity, 0 to 191: what [`pri()`](crate::pri()) says of the same message.
    pub pri: Option<u8>,
    /// When the sender says it happened. Most often `Oct 11 22:14:15` or RFC 3339; with year, fraction of a second and
    /// time zone where they were sent. From Cisco also time since start (`1d02h`), from Meraki seconds since 1970.
    pub timestamp: Option<&'a [u8]>,
    /// The name or address the sender gives itself, an address without brackets.
    pub host: Option<&'a [u8]>,
    /// APP-NAME; in RFC 3164 the name in the tag; from Cisco `%FACILITY-SEVERITY-MNEMONIC`, unless a process is named.
    pub app: Option<&'a [u8]>,
    /// PROCID; in RFC 3164 what stands in brackets after the tag, mostly a process id.
    pub proc_id: Option<&'a [u8]>,
    /// MSGID; from Cisco, where a process is named too, `%FACILITY-SEVERITY-MNEMONIC`.
    pub msg_id: Option<&'a [u8]>,
    /// STRUCTURED-DATA, all elements with their brackets; only RFC 5424 has it, and only whole.
    pub structured_data: Option<&'a [u8]>,
    /// The rest: MSG, without the byte order mark that RFC 5424 section 6.4 puts before UTF-8.
    pub message: &'a [u8],
}

/// Takes a message apart. Never fails: the worst header is one whose message is the whole input.
#[must_use]
pub fn parse(message: &[u8]) -> Header<'_> {
    let pri = pri(message);
    let text = match pri {
        // A PRI that is valid ends with the first `>` there is.
        Some(_) => memchr(b'>', message).map_or(message, |at| &message[at + 1..]),
        None => message,
    };
    rfc5424::read(pri, text).unwrap_or_else(|| rfc3164::read(pri, text))
}

impl<'a> Header<'a> {
    /// The same header before `rest`: its message.
    fn before(self, rest: &'a [u8]) -> Self {
        // RFC 5424 section 6.4; some senders of RFC 3164 do it as well, and it is never content.
        Self { message: rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest), ..self }
    }
}

fn after_space(text: &[u8]) -> &[u8] {
    text.strip_prefix(b" ").unwrap_or(text)
}

fn after_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| **byte == b' ').count()..]
}

/// The word at the front, up to a space, a tab or the end, and what follows; `None` if it is empty or longer than
/// `bytes_max`.
fn word(text: &[u8], bytes_max: usize) -> Option<(&[u8], &[u8])> {
    let looked_at = &text[..text.len().min(bytes_max + 1)];
    let length = looked_at.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(looked_at.len());
    (1..=bytes_max).contains(&length).then(|| text.split_at(length))
}
