//! What a collector streams of a run while it takes its messages: `GET /loadgen/RUN` of its admin listener, in the format of
//! `docs/admin.md`. Of a record's first line the first number and the last are read, and what stands between is passed over.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use super::published::Published;
use super::tracker::Tracker;

/// Longest message, bytes: what a collector's `max_message` can be.
const LIVE_MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// Longest first line of a record, bytes.
const HEAD_BYTES_MAX: u64 = 256;

/// Messages whose sync is waited for, at most: 64 MiB. The sync of more is not looked for.
const UNSYNCED_MAX: usize = 4 << 20;

/// Messages between two updates of a [`Published`].
const MESSAGES_A_LOOK: u64 = 256;

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// It broke.
    #[error("reading record {record}: {error}")]
    Io {
        /// Which, from 0.
        record: u64,
        /// Why.
        error: io::Error,
    },
    /// It ended within a record.
    #[error("the stream ended within record {0}")]
    Ended(u64),
    /// A record begins as none does.
    #[error(
        "record {record} begins with {head:?}, which is neither `m RECEIVED_NS ... LENGTH` nor `s THROUGH_NS AT_NS`"
    )]
    Head {
        /// Which, from 0.
        record: u64,
        /// Its first line, or the first 256 B of it.
        head: String,
    },
    /// A message is too long.
    #[error("the message of record {record} has {bytes} B, but at most {LIVE_MESSAGE_BYTES_MAX} are taken")]
    TooLong {
        /// Which, from 0.
        record: u64,
        /// Its length.
        bytes: u64,
    },
    /// A message does not end where its length says.
    #[error("the {bytes} B of record {record} do not end with LF")]
    Unterminated {
        /// Which, from 0.
        record: u64,
        /// Its length.
        bytes: u64,
    },
}

/// The first line of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Message { received_ns: u64, bytes: u64 },
    Synced { through_ns: u64, at_ns: u64 },
}

impl Head {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = str::from_utf8(line).ok()?.strip_suffix('\n')?.split(' ');
        let (kind, first, last) = (fields.next()?, fields.next()?, fields.next_back()?);
        let number = |field: &str| field.bytes().all(|byte| byte.is_ascii_digit()).then(|| field.parse().ok())?;
        match kind {
            "m" => Some(Self::Message { received_ns: number(first)?, bytes: number(last)? }),
            "s" => Some(Self::Synced { through_ns: number(first)?, at_ns: number(last)? }),
            _ => None,
        }
    }
}

/// Reads such a stream into books.
pub struct LiveReader<R> {
    input: R,
    /// Records read.
    records: u64,
    head: Vec<u8>,
    message: Vec<u8>,
    /// Messages not known to be synced: when received, and when due.
    unsynced: Vec<(u64, u64)>,
    /// The earliest of the times received among them: most syncs come to none, and need not look at all.
    unsynced_since_ns: u64,
    unsynced_max: usize,
}

impl<R: BufRead> LiveReader<R> {
    /// A reader at the beginning of a stream. Holds one record and what is not synced: at most 65 MiB.
    pub fn new(input: R) -> Self {
        Self {
            input,
            records: 0,
            head: Vec::new(),
            message: Vec::new(),
            unsynced: Vec::new(),
            unsynced_since_ns: u64::MAX,
            unsynced_max: UNSYNCED_MAX,
        }
    }

    /// Reads to the end of the stream, or until `stop`, which is looked at after each record: a collector sends one at least
    /// every second. `published` sees how far it is after every sync and every few messages.
    ///
    /// # Errors
    /// [`LiveError`]; what was read before is in the books.
    pub fn read(&mut self, tracker: &mut Tracker, published: &Published, stop: &AtomicBool) -> Result<(), LiveError> {
        let mut done = Ok(());
        while !stop.load(Ordering::Relaxed) {
            published.tell_start(tracker);
            match self.read_record(tracker) {
                Ok(Some(Record::Message)) if !self.records.is_multiple_of(MESSAGES_A_LOOK) => {}
                Ok(Some(_)) => published.publish(tracker),
                Ok(None) => break,
                Err(error) => {
                    done = Err(error);
                    break;
                }
            }
        }
        published.publish(tracker);
        done
    }

    /// Messages read that are not known to be synced.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Reads one record; `None` when the stream ended before it.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn read_record(&mut self, tracker: &mut Tracker) -> Result<Option<Record>, LiveError> {
        let record = self.records;
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => LiveError::Ended(record),
            _ => LiveError::Io { record, error },
        };
        self.head.clear();
        self.input.by_ref().take(HEAD_BYTES_MAX).read_until(b'\n', &mut self.head).map_err(broken)?;
        if self.head.is_empty() {
            return Ok(None);
        }
        let Some(head) = Head::parse(&self.head) else {
            if self.head.last() != Some(&b'\n') && self.head.len() < HEAD_BYTES_MAX as usize {
                return Err(LiveError::Ended(record));
            }
            return Err(LiveError::Head { record, head: String::from_utf8_lossy(self.head.trim_ascii_end()).into() });
        };
        self.records += 1;
        match head {
            Head::Message { bytes, .. } if bytes > LIVE_MESSAGE_BYTES_MAX => Err(LiveError::TooLong { record, bytes }),
            Head::Message { received_ns, bytes } => {
                self.message.resize(bytes as usize + 1, 0);
                self.input.read_exact(&mut self.message).map_err(broken)?;
                let Some((b'\n', message)) = self.message.split_last() else {
                    return Err(LiveError::Unterminated { record, bytes });
                };
                if let Some(tag) = tracker.examine(message, Some(received_ns))
                    && self.unsynced.len() < self.unsynced_max
                {
                    self.unsynced.push((received_ns, tag.send_ns));
                    self.unsynced_since_ns = self.unsynced_since_ns.min(received_ns);
                }
                Ok(Some(Record::Message))
            }
            Head::Synced { through_ns, at_ns } => {
                if through_ns > self.unsynced_since_ns {
                    self.note_synced(tracker, through_ns, at_ns);
                }
                Ok(Some(Record::Synced))
            }
        }
    }
}

impl<R> LiveReader<R> {
    fn note_synced(&mut self, tracker: &mut Tracker, through_ns: u64, at_ns: u64) {
        let mut since_ns = u64::MAX;
        // Not a queue: receivers stream side by side, so that times go back and forth a little.
        self.unsynced.retain(|(received_ns, send_ns)| {
            let is_synced = *received_ns < through_ns;
            if is_synced {
                tracker.note_synced(*send_ns, at_ns);
            } else {
                since_ns = since_ns.min(*received_ns);
            }
            !is_synced
        });
        self.unsynced_since_ns = since_ns;
    }
}

/// What a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A message, of this run or not.
    Message,
    /// Messages are synced.
    Synced,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::{RunTag, Tag, blank, fill};
    use proptest::prelude::*;

    static RUNNING: AtomicBool = AtomicBool::new(false);

    fn tracker() -> Tracker {
        Tracker::new(RunTag::new(1), 1, 1_000)
    }

    /// A message of flow 0 that was due at `sequence` ms.
    fn message(sequence: u64) -> Vec<u8> {
        let mut message = [&blank(RunTag::new(1))[..], b"text\nwith a line end"].concat();
        fill(&mut message, Tag { flow: 0, sequence, send_ns: sequence * 1_000_000 });
        message
    }

    fn record(received_ms: u64, between: &str, message: &[u8]) -> Vec<u8> {
        [format!("m {received_ms}000000 {between}{}\n", message.len()).as_bytes(), message, b"\n"].concat()
    }

    #[test]
    fn messages_are_timed_twice_when_received_and_when_synced() {
        let records = [
            record(3, "", &message(1)),
            record(5, "7 ", &message(2)),
            record(4, "", b"of another"),
            record(4, "", &message(3)),
            b"s 5000000 11000000\n".to_vec(),
            record(5, "", &message(2)),
            b"s 6000000 x 52000000\n".to_vec(),
            record(6, "", &message(4)),
        ];
        let (mut tracker, published) = (tracker(), Published::default());
        LiveReader::new(&records.concat()[..]).read(&mut tracker, &published, &RUNNING).unwrap();
        assert_eq!(published.progress(), tracker.progress());
        let found = tracker.finish(&[5]);
        assert_eq!((found.stored, found.duplicates, found.examined), (4, 1, 6));
        let (received, synced) = (found.latency.unwrap(), found.latency_synced.unwrap());
        assert_eq!((received.samples, received.mean, received.max), (4, 2.0, 3.0));
        // 10, 8 and 50 ms; the last is not synced.
        assert_eq!((synced.samples, synced.unsampled, synced.max), (3, 1, 50.0));
        assert!((synced.mean - 68.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn no_more_than_the_limit_waits_for_a_sync() {
        let records: Vec<u8> = (0..5).flat_map(|sequence| record(1, "", &message(sequence))).collect();
        let input = [&records[..], b"s 2000000 3000000\n"].concat();
        let mut tracker = tracker();
        let mut reader = LiveReader { unsynced_max: 3, ..LiveReader::new(&input[..]) };
        reader.read(&mut tracker, &Published::default(), &RUNNING).unwrap();
        let synced = tracker.finish(&[5]).latency_synced.unwrap();
        assert_eq!((synced.samples, synced.unsampled), (3, 2));
    }

    #[test]
    fn what_is_no_record_is_told_with_its_place() {
        let good = record(1, "", &message(0));
        let long = "m ".to_owned() + &"1".repeat(300);
        for (bad, told) in [
            ("x 1 2\n", "record 1 begins with \"x 1 2\", which is neither"),
            ("m 1\n", "record 1 begins with \"m 1\""),
            ("m -1 2\n", "record 1 begins with \"m -1 2\""),
            ("m 1 99999999999999999999\n", "record 1 begins with"),
            ("\n", "record 1 begins with \"\""),
            (&long, "record 1 begins with \"m 1111"),
            ("m 1 1048577\n", "the message of record 1 has 1048577 B, but at most 1048576 are taken"),
            ("m 1 2\nabcd\n", "the 2 B of record 1 do not end with LF"),
            ("m 1 4\nab", "the stream ended within record 1"),
            ("m 1 4", "the stream ended within record 1"),
            ("s 1 ", "the stream ended within record 1"),
        ] {
            let input = [&good[..], bad.as_bytes()].concat();
            let (mut tracker, published) = (tracker(), Published::default());
            let error = LiveReader::new(&input[..]).read(&mut tracker, &published, &RUNNING).unwrap_err().to_string();
            assert!(error.starts_with(told), "{bad:?}: {error}");
            assert_eq!(published.progress().stored, 1, "{bad:?}");
        }
    }

    #[test]
    fn a_stream_that_breaks_is_told_with_its_reason() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let error = LiveReader::new(io::BufReader::new(Broken)).read_record(&mut tracker()).unwrap_err();
        assert_eq!(error.to_string(), "reading record 0: connection reset");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let _ = LiveReader::new(&bytes[..]).read(&mut tracker(), &Published::default(), &RUNNING);
            // Cut anywhere, a good stream ends well only between two records.
            let stream = [record(1, "", &message(0)), b"s 1 2\n".to_vec(), record(1, "a ", b"")].concat();
            let cut = cut.min(stream.len());
            let first = stream.len() - b"s 1 2\nm 1000000 a 0\n\n".len();
            let between = [0, first, first + 6, stream.len()].contains(&cut);
            let read = LiveReader::new(&stream[..cut]).read(&mut tracker(), &Published::default(), &RUNNING);
            prop_assert_eq!(read.is_ok(), between, "{:?}", read);
        }
    }
}
