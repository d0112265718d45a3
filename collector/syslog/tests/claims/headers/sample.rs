//! A message and what its header must say.

use logboom_syslog::header::{Format, Header, parse};

/// A message as a device or a program sent it, and where that is written down. Long texts are shortened.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    source: &'static str,
    pub(crate) text: &'static str,
    expected: Header<'static>,
}

/// Read by RFC 3164, with no fields but those that are added.
pub(crate) const fn sample(source: &'static str, text: &'static str) -> Sample {
    let expected = Header {
        format: Format::Rfc3164,
        pri: None,
        timestamp: None,
        host: None,
        app: None,
        proc_id: None,
        msg_id: None,
        structured_data: None,
        message: b"",
    };
    Sample { source, text, expected }
}

impl Sample {
    pub(crate) const fn rfc5424(mut self) -> Self {
        self.expected.format = Format::Rfc5424;
        self
    }

    pub(crate) const fn unknown(mut self) -> Self {
        self.expected.format = Format::Unknown;
        self
    }

    pub(crate) const fn pri(mut self, pri: u8) -> Self {
        self.expected.pri = Some(pri);
        self
    }

    pub(crate) const fn at(mut self, timestamp: &'static str) -> Self {
        self.expected.timestamp = Some(timestamp.as_bytes());
        self
    }

    pub(crate) const fn host(mut self, host: &'static str) -> Self {
        self.expected.host = Some(host.as_bytes());
        self
    }

    pub(crate) const fn app(mut self, app: &'static str) -> Self {
        self.expected.app = Some(app.as_bytes());
        self
    }

    pub(crate) const fn proc_id(mut self, proc_id: &'static str) -> Self {
        self.expected.proc_id = Some(proc_id.as_bytes());
        self
    }

    pub(crate) const fn msg_id(mut self, msg_id: &'static str) -> Self {
        self.expected.msg_id = Some(msg_id.as_bytes());
        self
    }

    pub(crate) const fn data(mut self, structured_data: &'static str) -> Self {
        self.expected.structured_data = Some(structured_data.as_bytes());
        self
    }

    pub(crate) const fn message(mut self, message: &'static str) -> Self {
        self.expected.message = message.as_bytes();
        self
    }

    /// What is wrong with the header that is read, if anything.
    pub(crate) fn complaint(&self) -> Option<String> {
        let read = parse(self.text.as_bytes());
        let Self { source, text, expected } = self;
        let complaint = || format!("{source}\n{text}\n    read:     {}\n    expected: {}", told(&read), told(expected));
        (read != *expected).then(complaint)
    }
}

fn told(header: &Header<'_>) -> String {
    let field = |name: &str, value: Option<&[u8]>| {
        value.map_or(String::new(), |value| format!(", {name} {:?}", String::from_utf8_lossy(value)))
    };
    [
        format!("{:?}, PRI {:?}", header.format, header.pri),
        field("timestamp", header.timestamp),
        field("host", header.host),
        field("app", header.app),
        field("proc_id", header.proc_id),
        field("msg_id", header.msg_id),
        field("structured_data", header.structured_data),
        field("message", Some(header.message)),
    ]
    .concat()
}
