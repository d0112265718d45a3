//! What a run looks like while it goes on: a block at the foot of a terminal, a line a second for a ticket, or a JSON
//! object a second for a program. `docs/loadgen.md` describes all three.
//!
//! Whoever watches a run fills a [`Frame`] from counters and shows it, from a thread that is not the sender's: a terminal
//! may make a writer wait. What is written follows from frames alone; there is no other clock.
//!
//! * `wording`: figures as people read them, and text of others made harmless;
//! * `rows`: what is said below the rates, to both kinds of people;
//! * `plain`: lines;
//! * `json`: objects;
//! * `history`: the rates of the last seconds;
//! * `terminal`: frame and history to cells;
//! * `painter`: cells to a terminal, always over the block before.

mod history;
mod json;
mod painter;
mod plain;
mod rows;
mod terminal;
pub(crate) mod wording;

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::str::FromStr;

use ratatui::layout::Size;
use serde::{Serialize, Serializer};
use terminal_size::{Height, Width, terminal_size_of};

use crate::quality::Pacing;
use plain::Plain;
use terminal::Terminal;

/// The terminal that is assumed where there is none to ask.
const SIZE_UNKNOWN: Size = Size { width: 80, height: 24 };

/// A run at one moment: all that a view shows, and the fields of a JSON line. Counts are since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Frame {
    /// The run's tag, hex.
    pub run: String,
    /// Where messages are sent.
    pub target: String,
    /// The rest of the plan, in words.
    pub plan: String,
    /// Since the start, seconds.
    pub elapsed_seconds: f64,
    /// How long sending is to take, seconds; `None` at full speed.
    pub planned_seconds: Option<f64>,
    /// Messages planned.
    pub offered: u64,
    /// Messages a second that are due now; `None` at full speed.
    pub offered_rate: Option<f64>,
    /// Messages that the kernel took.
    pub sent: u64,
    /// The same, a second, of late.
    pub sent_rate: f64,
    /// How late messages left, and how many at once.
    pub pacing: Pacing,
    /// Why the load is not the one that was asked for; `None` while it is.
    pub generator_fault: Option<String>,
    /// Messages that came; `None`, as all that depends on it, when nobody counts them during the run.
    pub received: Option<u64>,
    /// The same, a second, of late.
    pub received_rate: Option<f64>,
    /// Messages that were sent, did not come, and are not on their way.
    pub lost: Option<u64>,
    /// Their share of those sent, 0 to 1.
    pub loss_ratio: Option<f64>,
    /// Messages that came again.
    pub duplicates: Option<u64>,
    /// Messages that came behind a later one of their flow.
    pub reordered: Option<u64>,
    /// Messages whose checksum does not match.
    pub corrupted: Option<u64>,
    /// From when messages were due to when they came.
    pub latency_ms: Option<Latency>,
    /// Processor time of the sender.
    pub sender_cpu_ns_per_message: f64,
    /// Processor time of the receiver.
    pub receiver_cpu_ns_per_message: Option<f64>,
    /// Where those that did not come were last seen: names of places, and messages.
    #[serde(serialize_with = "as_object")]
    pub places: Vec<(String, u64)>,
    /// ICMP errors that came back: at least so many, because routers send few.
    pub icmp: u64,
    /// What to try.
    pub hint: Option<String>,
}

/// Percentiles of latency, ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half took no longer.
    pub p50: f64,
    /// 90 of 100 took no longer.
    pub p90: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// 999 of 1,000 took no longer.
    pub p999: f64,
    /// None took longer.
    pub max: f64,
}

fn as_object<S: Serializer>(places: &[(String, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(places.iter().map(|(place, messages)| (place, messages)))
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A block that is drawn again in its place.
    Terminal,
    /// A line a second.
    Plain,
    /// A JSON object a second.
    Json,
    /// Not at all.
    Quiet,
}

impl Mode {
    /// What suits standard error: a block on a terminal, else lines.
    #[must_use]
    pub fn auto() -> Self {
        Self::suited(io::stderr().is_terminal(), std::env::var_os("TERM").as_deref())
    }

    /// A terminal that is called `dumb` cannot move its cursor (terminfo(5)).
    fn suited(is_terminal: bool, name: Option<&OsStr>) -> Self {
        if is_terminal && name.is_some_and(|name| name != "dumb") { Self::Terminal } else { Self::Plain }
    }

    /// Where it belongs: JSON lines on standard output, to be piped; what is for people on standard error.
    #[must_use]
    pub fn output(self) -> Box<dyn Write + Send> {
        match self {
            Self::Json => Box::new(io::stdout()),
            Self::Terminal | Self::Plain | Self::Quiet => Box::new(io::stderr()),
        }
    }

    fn interval_seconds(self) -> f64 {
        match self {
            Self::Terminal => 0.1,
            Self::Plain | Self::Json | Self::Quiet => 1.0,
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "auto" => Ok(Self::auto()),
            "terminal" => Ok(Self::Terminal),
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            "quiet" => Ok(Self::Quiet),
            _ => Err("write auto, terminal, plain, json or quiet".into()),
        }
    }
}

/// Shows one run.
pub struct View<W> {
    form: Form,
    interval_seconds: f64,
    /// Frames before then are passed over.
    next_seconds: f64,
    out: W,
    /// Why nothing more is written.
    failed: Option<io::Error>,
}

enum Form {
    Terminal(Terminal),
    Plain(Plain),
    Json,
    Quiet,
}

impl<W: Write> View<W> {
    /// A view that writes to `out`; see [`Mode::output`]. A terminal is drawn without colour where `NO_COLOR` is set and
    /// not empty (no-color.org).
    #[must_use]
    pub fn new(mode: Mode, out: W) -> Self {
        let (form, next_seconds) = match mode {
            Mode::Terminal => {
                let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
                (Form::Terminal(Terminal::new(colour)), 0.0)
            }
            Mode::Plain => (Form::Plain(Plain::default()), mode.interval_seconds()),
            Mode::Json => (Form::Json, mode.interval_seconds()),
            Mode::Quiet => (Form::Quiet, mode.interval_seconds()),
        };
        Self { form, interval_seconds: mode.interval_seconds(), next_seconds, out, failed: None }
    }

    /// Whether a frame of so many seconds after the start would be shown: if not, none need be made.
    #[must_use]
    pub fn is_due(&self, elapsed_seconds: f64) -> bool {
        elapsed_seconds >= self.next_seconds && self.failed.is_none() && !matches!(self.form, Form::Quiet)
    }

    /// Shows `frame` if it is time, by the frame's own: ten times a second on a terminal, else once. An output that
    /// takes nothing any more ends the view, never the run.
    pub fn show(&mut self, frame: &Frame) {
        if self.is_due(frame.elapsed_seconds) {
            self.next_seconds = ((frame.elapsed_seconds / self.interval_seconds).floor() + 1.0) * self.interval_seconds;
            self.write(frame, false);
        }
    }

    /// Shows the last frame of a run, which stays.
    ///
    /// # Errors
    /// The first thing that `out` said against any frame.
    pub fn finish(mut self, frame: &Frame) -> io::Result<()> {
        self.write(frame, true);
        self.failed.map_or(Ok(()), Err)
    }

    fn write(&mut self, frame: &Frame, finished: bool) {
        if self.failed.is_some() {
            return;
        }
        let text = match &mut self.form {
            Form::Terminal(terminal) => Ok(terminal.text(frame, size())),
            Form::Plain(plain) => Ok(plain.text(frame, finished)),
            Form::Json => json::text(frame, finished),
            Form::Quiet => return,
        };
        // One call a frame, so that whatever ends the process leaves a whole one.
        let written = text.and_then(|text| self.out.write_all(text.as_bytes())).and_then(|()| self.out.flush());
        self.failed = written.err();
    }
}

fn size() -> Size {
    terminal_size_of(io::stderr()).map_or(SIZE_UNKNOWN, |(Width(width), Height(height))| Size { width, height })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::{Group, Lag};

    /// A run of 200,000 messages a second that loses some in the socket buffer.
    pub(super) fn lossy() -> Frame {
        Frame {
            received: Some(3_548_178),
            received_rate: Some(197_100.0),
            lost: Some(51_822),
            loss_ratio: Some(51_822.0 / 3_600_000.0),
            places: vec![("queue".into(), 12), ("host".into(), 0), ("socket_buffer".into(), 51_810)],
            hint: Some(
                "the receive buffer holds 166 messages, 0.8 ms of this load; set receive.buffer to 32 MiB, and \
                 net.core.rmem_max too"
                    .into(),
            ),
            ..good()
        }
    }

    /// The same without loss.
    pub(super) fn good() -> Frame {
        Frame {
            run: "7f3a9c01".into(),
            target: "udp://10.0.0.5:514".into(),
            plan: "16 flows, rfc5424, 300 B".into(),
            elapsed_seconds: 18.0,
            planned_seconds: Some(30.0),
            offered: 6_000_000,
            offered_rate: Some(200_000.0),
            sent: 3_600_000,
            sent_rate: 199_980.0,
            pacing: Pacing {
                lag_us: Some(Lag { p50: 11.8, p99: 41.2, p999: 280.0, max: 1_310.0, within_200us: 0.998 }),
                group: Group { p50: 10, p99: 12, max: 20 },
            },
            generator_fault: None,
            received: Some(3_600_000),
            received_rate: Some(199_980.0),
            lost: Some(0),
            loss_ratio: Some(0.0),
            duplicates: Some(0),
            reordered: Some(12_001),
            corrupted: Some(0),
            latency_ms: Some(Latency { p50: 0.314, p90: 0.92, p99: 7.81, p999: 41.2, max: 88.0 }),
            sender_cpu_ns_per_message: 310.4,
            receiver_cpu_ns_per_message: Some(540.0),
            places: Vec::new(),
            icmp: 0,
            hint: None,
        }
    }

    /// The same, and nobody counts what comes.
    pub(super) fn unchecked() -> Frame {
        Frame {
            received: None,
            received_rate: None,
            lost: None,
            loss_ratio: None,
            duplicates: None,
            reordered: None,
            corrupted: None,
            latency_ms: None,
            receiver_cpu_ns_per_message: None,
            ..good()
        }
    }

    /// How often a view writes that is shown frames of 0 to 3 s.
    fn written(mode: Mode, frames_per_second: u32) -> usize {
        struct Calls(usize);
        impl Write for &mut Calls {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut calls = Calls(0);
        let mut view = View::new(mode, &mut calls);
        let mut due = 0;
        for number in 0..=3 * frames_per_second {
            let elapsed_seconds = f64::from(number) / f64::from(frames_per_second);
            due += usize::from(view.is_due(elapsed_seconds));
            view.show(&Frame { elapsed_seconds, ..lossy() });
        }
        drop(view);
        assert_eq!(due, calls.0, "a frame is due when it would be shown");
        calls.0
    }

    #[test]
    fn a_view_writes_at_most_ten_times_a_second_and_a_line_once() {
        assert_eq!(written(Mode::Terminal, 1000), 31);
        assert_eq!(written(Mode::Plain, 1000), 3);
        assert_eq!(written(Mode::Json, 10), 3);
        assert_eq!(written(Mode::Quiet, 10), 0);
    }

    #[test]
    fn an_output_that_is_gone_ends_the_view_and_says_so_at_the_end() {
        struct Gone(u32);
        impl Write for &mut Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut gone = Gone(0);
        let mut view = View::new(Mode::Json, &mut gone);
        view.show(&Frame { elapsed_seconds: 1.0, ..good() });
        assert!(!view.is_due(2.0));
        view.show(&Frame { elapsed_seconds: 2.0, ..good() });
        let ended = view.finish(&Frame { elapsed_seconds: 3.0, ..good() });
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(gone.0, 1);
    }

    #[test]
    fn the_block_is_for_terminals_that_can_move_their_cursor() {
        assert_eq!(Mode::suited(true, Some(OsStr::new("xterm"))), Mode::Terminal);
        assert_eq!(Mode::suited(true, Some(OsStr::new("dumb"))), Mode::Plain);
        assert_eq!(Mode::suited(true, None), Mode::Plain);
        assert_eq!(Mode::suited(false, Some(OsStr::new("xterm"))), Mode::Plain);
        assert_eq!("json".parse(), Ok(Mode::Json));
        assert!("tui".parse::<Mode>().unwrap_err().contains("auto, terminal, plain, json or quiet"));
    }
}
