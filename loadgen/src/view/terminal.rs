//! A frame and the seconds before it as a block of cells: 80 columns and a dozen rows, or what there is room for.

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Sparkline, Widget, Wrap};

use super::Frame;
use super::history::{History, Sample};
use super::painter::Painter;
use super::rows::{LABEL_COLUMNS, rows};
use super::wording::{clock, count, known, rate, share, visible};

/// Bounds of the block.
const ROWS_MAX: u16 = 20;
const COLUMNS_MAX: u16 = 100;

/// Lines that one text may take.
const LINES_MAX: u16 = 3;

/// Where sparklines begin: behind the figures and a gap.
const SPARKLINE_COLUMN: u16 = 42;

/// Heights that a sparkline has.
const LEVELS: u64 = 8;

/// The view of a terminal.
pub(super) struct Terminal {
    colour: bool,
    history: History,
    painter: Painter,
}

impl Terminal {
    /// One in red where there is bad news, if it may have `colour`; bold it is always.
    pub(super) fn new(colour: bool) -> Self {
        Self { colour, history: History::default(), painter: Painter::default() }
    }

    /// What shows `frame` on a terminal of `size`.
    pub(super) fn text(&mut self, frame: &Frame, size: Size) -> String {
        self.history.observe(frame);
        self.painter.paint(&block(frame, &self.history, size, self.colour))
    }
}

/// The block: at least a row less high than the terminal, because the cursor stands below. What is too wide goes on in
/// the next line; what has no room then is cut, from the bottom.
fn block(frame: &Frame, history: &History, size: Size, colour: bool) -> Buffer {
    let area = Rect::new(0, 0, size.width.min(COLUMNS_MAX), size.height.saturating_sub(1).min(ROWS_MAX));
    let alarm = if colour { Style::new().bold().fg(Color::Red) } else { Style::new().bold() };
    let mut block = Block { buffer: Buffer::empty(area), height: 0, alarm };
    block.plan(frame);
    block.rates(frame, history);
    for row in rows(frame) {
        block.row(row.label, &row.text, row.alarm);
    }
    let height = block.height;
    block.buffer.resize(Rect { height, ..area });
    block.buffer
}

/// A block that grows downwards.
struct Block {
    buffer: Buffer,
    height: u16,
    alarm: Style,
}

impl Block {
    /// The next `rows` rows, as far as there is room.
    fn next(&mut self, rows: u16) -> Rect {
        let area = self.buffer.area;
        let next = Rect::new(0, self.height, area.width, rows.min(area.height - self.height));
        self.height += next.height;
        next
    }

    /// Adds `text` behind `label`, in as many lines as it takes up to [`LINES_MAX`], and says where.
    fn row(&mut self, label: &str, text: &str, alarm: bool) -> Rect {
        let mut area = self.next(LINES_MAX);
        let indent = if label.is_empty() { 0 } else { LABEL_COLUMNS as u16 };
        let style = if alarm { self.alarm } else { Style::new() };
        Line::styled(label, style).render(area, &mut self.buffer);
        Paragraph::new(text).style(style).wrap(Wrap { trim: true }).render(indented(area, indent), &mut self.buffer);
        while area.height > 1 && area.rows().next_back().is_some_and(|row| self.is_blank(row)) {
            area.height -= 1;
            self.height -= 1;
        }
        area
    }

    fn is_blank(&self, row: Rect) -> bool {
        row.positions().all(|position| self.buffer[position].symbol() == " ")
    }

    fn plan(&mut self, frame: &Frame) {
        let Frame { run, target, plan, elapsed_seconds, planned_seconds, sent, offered, .. } = frame;
        let planned = planned_seconds.map_or_else(String::new, |seconds| format!(" / {}", clock(seconds)));
        let time = format!("{}{planned}  {}", clock(*elapsed_seconds), share(*sent as f64 / *offered as f64));
        let area = self.next(1);
        Line::from(format!("loadgen {}", visible(run))).render(area, &mut self.buffer);
        Line::from(time).right_aligned().render(area, &mut self.buffer);
        self.row("", &format!("{}  {}", visible(target), visible(plan)), false);
    }

    /// The rates that make up the load have one scale; loss has its own, or one message of many would not be seen.
    fn rates(&mut self, frame: &Frame, history: &History) {
        let seconds = usize::from(self.buffer.area.width.saturating_sub(SPARKLINE_COLUMN));
        let last = history.last(seconds);
        let load = most(last.clone().flat_map(|sample| [sample.offered, sample.sent, sample.received]));
        let loss = most(last.clone().map(|sample| sample.lost));
        let levels = |of: fn(&Sample) -> Option<f64>, most| last.clone().map(move |sample| level(of(sample), most));

        let offered = frame.offered_rate.map_or_else(|| "max".into(), rate);
        self.rate(["offered", &offered, &count(frame.offered), ""], levels(|sample| sample.offered, load), false);
        let sent = rate(frame.sent_rate);
        self.rate(["sent", &sent, &count(frame.sent), ""], levels(|sample| sample.sent, load), false);
        let Some(received) = frame.received else {
            return;
        };
        let received_rate = known(frame.received_rate, rate);
        let figures = ["received", &received_rate, &count(received), ""];
        self.rate(figures, levels(|sample| sample.received, load), false);
        let lost_rate = known(history.last(1).next().and_then(|sample| sample.lost), rate);
        let figures = ["lost", &lost_rate, &known(frame.lost, count), &known(frame.loss_ratio, share)];
        self.rate(figures, levels(|sample| sample.lost, loss), frame.lost > Some(0));
    }

    /// Adds a label, a rate, a count and a share, and how the rate was in the last seconds.
    fn rate(&mut self, figures: [&str; 4], levels: impl Iterator<Item = Option<u64>>, alarm: bool) {
        let [label, rate, count, share] = figures;
        let figures = format!("{label:<LABEL_COLUMNS$}{rate:>10}{count:>12}{share:>8}");
        let area = self.row("", figures.trim_end(), alarm);
        let area = indented(area, SPARKLINE_COLUMN);
        Sparkline::default().data(levels).max(LEVELS).render(area, &mut self.buffer);
    }
}

/// `area` without its first `columns`. (ratatui's `Layout` would solve equations for this, a dozen times a block.)
fn indented(area: Rect, columns: u16) -> Rect {
    let columns = columns.min(area.width);
    Rect { x: area.x + columns, width: area.width - columns, ..area }
}

fn most(rates: impl Iterator<Item = Option<f64>>) -> f64 {
    rates.flatten().fold(0.0, f64::max)
}

/// How high `rate` is on a scale up to `most`, rounded up: whatever is not nothing is seen.
fn level(rate: Option<f64>, most: f64) -> Option<u64> {
    rate.map(|rate| (rate / most * LEVELS as f64).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Cell;
    use ratatui::style::Modifier;

    use super::super::tests::{good, lossy, unchecked};
    use super::*;

    const WIDE: Size = Size::new(80, 24);
    const SMALL: Size = Size::new(40, 10);

    /// `frame` after 18 s of which each lost so many messages.
    fn drawn(frame: &Frame, lost: [u64; 18], size: Size, colour: bool) -> Buffer {
        let (mut history, mut sum) = (History::default(), 0);
        for (second, lost) in lost.into_iter().enumerate() {
            sum += lost;
            let received_rate = frame.received_rate.map(|_| 200_000.0 - lost as f64);
            let elapsed_seconds = (second + 1) as f64;
            let lost = frame.lost.map(|_| sum);
            history.observe(&Frame { elapsed_seconds, received_rate, lost, ..frame.clone() });
        }
        block(frame, &history, size, colour)
    }

    fn rows_of(block: &Buffer) -> Vec<String> {
        let rows = block.content.chunks(usize::from(block.area.width.max(1)));
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()).collect()
    }

    fn assert_drawn(frame: &Frame, lost: [u64; 18], size: Size, expected: &str) {
        let rows = rows_of(&drawn(frame, lost, size, true)).join("\n");
        assert_eq!(rows, expected.trim_end(), "\n{rows}");
    }

    const NONE_LOST: [u64; 18] = [0; 18];
    const SOME_LOST: [u64; 18] = [0, 0, 0, 0, 25_000, 0, 0, 0, 26_821, 0, 0, 0, 1, 0, 0, 0, 0, 0];

    #[test]
    fn a_good_run() {
        assert_drawn(
            &good(),
            NONE_LOST,
            WIDE,
            "\
loadgen 7f3a9c01                                          00:18 / 00:30  60.00 %
udp://10.0.0.5:514  16 flows, rfc5424, 300 B
offered    200.0 k/s   6,000,000          ██████████████████
sent       200.0 k/s   3,600,000          ██████████████████
received   200.0 k/s   3,600,000          ██████████████████
lost            0 /s           0     0 %
generator OK
lag       p50 12  p99 41  max 1,310 us  group p99 12  cpu tx 310 rx 540 ns each
latency   p50 0.31  p90 0.92  p99 7.8  p99.9 41  max 88 ms
arrival   duplicates 0  reordered 12,001  corrupted 0  icmp 0
",
        );
        assert_drawn(
            &good(),
            NONE_LOST,
            SMALL,
            "\
loadgen 7f3a9c01  00:18 / 00:30  60.00 %
udp://10.0.0.5:514  16 flows, rfc5424,
300 B
offered    200.0 k/s   6,000,000
sent       200.0 k/s   3,600,000
received   200.0 k/s   3,600,000
lost            0 /s           0     0 %
generator OK
lag       p50 12  p99 41  max 1,310 us
",
        );
    }

    #[test]
    fn a_run_with_loss_shows_when_and_where() {
        assert_drawn(
            &lossy(),
            SOME_LOST,
            WIDE,
            "\
loadgen 7f3a9c01                                          00:18 / 00:30  60.00 %
udp://10.0.0.5:514  16 flows, rfc5424, 300 B
offered    200.0 k/s   6,000,000          ██████████████████
sent       200.0 k/s   3,600,000          ██████████████████
received   197.1 k/s   3,548,178          ████▇███▇█████████
lost            0 /s      51,822  1.44 %      █   █   ▁
generator OK
missing   socket_buffer 51,810  queue 12
hint      the receive buffer holds 166 messages, 0.8 ms of this load; set
          receive.buffer to 32 MiB, and net.core.rmem_max too
lag       p50 12  p99 41  max 1,310 us  group p99 12  cpu tx 310 rx 540 ns each
latency   p50 0.31  p90 0.92  p99 7.8  p99.9 41  max 88 ms
arrival   duplicates 0  reordered 12,001  corrupted 0  icmp 0
",
        );
        assert_drawn(
            &lossy(),
            SOME_LOST,
            SMALL,
            "\
loadgen 7f3a9c01  00:18 / 00:30  60.00 %
udp://10.0.0.5:514  16 flows, rfc5424,
300 B
offered    200.0 k/s   6,000,000
sent       200.0 k/s   3,600,000
received   197.1 k/s   3,548,178
lost            0 /s      51,822  1.44 %
generator OK
missing   socket_buffer 51,810  queue 12
",
        );
    }

    #[test]
    fn a_generator_that_is_late_is_in_words_and_above_what_it_spoils() {
        assert_drawn(
            &late(),
            NONE_LOST,
            WIDE,
            "\
loadgen 7f3a9c01                                          00:18 / 00:30  60.00 %
udp://10.0.0.5:514  16 flows, rfc5424, 300 B
offered    200.0 k/s   6,000,000          ██████████████████
sent       200.0 k/s   3,600,000          ██████████████████
received   200.0 k/s   3,600,000          ██████████████████
lost            0 /s           0     0 %
generator INVALID: the sender could not keep up: 180000 messages a second
          instead of 200000; lower --rate, give it a processor of its own, or
          use a faster machine
lag       p50 12  p99 41  max 1,310 us  group p99 12  cpu tx 310 rx 540 ns each
latency   p50 0.31  p90 0.92  p99 7.8  p99.9 41  max 88 ms
arrival   duplicates 0  reordered 12,001  corrupted 0  icmp 0
",
        );
        assert_drawn(
            &late(),
            NONE_LOST,
            SMALL,
            "\
loadgen 7f3a9c01  00:18 / 00:30  60.00 %
udp://10.0.0.5:514  16 flows, rfc5424,
300 B
offered    200.0 k/s   6,000,000
sent       200.0 k/s   3,600,000
received   200.0 k/s   3,600,000
lost            0 /s           0     0 %
generator INVALID: the sender could not
          keep up: 180000 messages a
",
        );
    }

    #[test]
    fn a_run_that_nobody_checks_claims_nothing_of_what_came() {
        assert_drawn(
            &unchecked(),
            NONE_LOST,
            WIDE,
            "\
loadgen 7f3a9c01                                          00:18 / 00:30  60.00 %
udp://10.0.0.5:514  16 flows, rfc5424, 300 B
offered    200.0 k/s   6,000,000          ██████████████████
sent       200.0 k/s   3,600,000          ██████████████████
generator OK
lag       p50 12  p99 41  max 1,310 us  group p99 12  cpu tx 310 ns each
arrival   icmp 0  (what comes is not counted)
",
        );
        assert_drawn(
            &unchecked(),
            NONE_LOST,
            SMALL,
            "\
loadgen 7f3a9c01  00:18 / 00:30  60.00 %
udp://10.0.0.5:514  16 flows, rfc5424,
300 B
offered    200.0 k/s   6,000,000
sent       200.0 k/s   3,600,000
generator OK
lag       p50 12  p99 41  max 1,310 us
          group p99 12  cpu tx 310 ns
          each
",
        );
    }

    fn late() -> Frame {
        let fault = "the sender could not keep up: 180000 messages a second instead of 200000; lower --rate, give it a \
                     processor of its own, or use a faster machine";
        Frame { generator_fault: Some(fault.into()), ..good() }
    }

    #[test]
    fn bad_news_is_bold_and_red_and_in_words_without_either() {
        let alarms = |frame: &Frame, colour| {
            let block = drawn(frame, SOME_LOST, WIDE, colour);
            let bold = |cell: &&Cell| cell.modifier.contains(Modifier::BOLD);
            let bold = block.content.iter().filter(bold).count();
            (bold, block.content.iter().filter(|cell| cell.fg == Color::Red).count(), rows_of(&block))
        };
        let (bold, red, rows) = alarms(&lossy(), true);
        assert!(bold > 0 && bold == red);
        assert_eq!(alarms(&lossy(), false), (bold, 0, rows));
        assert_eq!(alarms(&good(), true).0, 0);
        assert!(alarms(&late(), true).0 > 0);
    }

    #[test]
    fn no_terminal_is_too_small_and_none_too_large() {
        let frame = Frame { target: "unix:///\u{6c34}/\u{1b}[2J/\u{e9}".repeat(9), ..lossy() };
        for width in (0..=100).chain([u16::MAX]) {
            for height in [0, 1, 2, 3, 10, 24, u16::MAX] {
                let mut terminal = Terminal::new(true);
                terminal.text(&frame, Size { width, height });
                let area = block(&frame, &terminal.history, Size { width, height }, true).area;
                assert!(area.width <= width.min(COLUMNS_MAX) && area.height <= height.saturating_sub(1).min(ROWS_MAX));
            }
        }
    }

    #[test]
    fn frames_follow_each_other_in_one_place_and_leave_nothing_to_restore() {
        let mut emulator = vt100::Parser::new(24, 80, 0);
        emulator.process(b"$ loadgen\r\n");
        let before = emulator.screen().input_mode_formatted();
        let mut terminal = Terminal::new(true);
        for frame in [lossy(), late(), good()] {
            emulator.process(terminal.text(&frame, WIDE).as_bytes());
            let screen = emulator.screen();
            assert!(!screen.hide_cursor() && !screen.alternate_screen() && !screen.bold());
            assert_eq!((screen.fgcolor(), screen.cursor_position().1), (vt100::Color::Default, 0));
            assert_eq!(screen.input_mode_formatted(), before);
        }
        let expected = rows_of(&block(&good(), &terminal.history, WIDE, true));
        assert_eq!(emulator.screen().contents(), format!("$ loadgen\n{}", expected.join("\n")));
    }
}
