//! Plain lines: a heading, then a line a second, then what the columns do not say. Made to be pasted into a ticket.

use std::fmt::Write;

use super::Frame;
use super::rows::{LABEL_COLUMNS, rows};
use super::wording::{count, known, microseconds, milliseconds, rate, share, visible};

const COLUMNS: &str = "    time    offered       sent   received         lost    share    lag p99  latency";

/// The lines of one run.
#[derive(Default)]
pub(super) struct Plain {
    begun: bool,
}

impl Plain {
    /// The line of `frame`; the heading before the first, the rest behind the last.
    pub(super) fn text(&mut self, frame: &Frame, finished: bool) -> String {
        let mut text = String::new();
        if !self.begun {
            self.begun = true;
            let Frame { run, target, plan, .. } = frame;
            let _ = writeln!(text, "run {run} to {}: {}\n{COLUMNS}", visible(target), visible(plan));
        }
        text.push_str(&line(frame));
        if finished {
            for row in rows(frame) {
                let _ = writeln!(text, "{:<LABEL_COLUMNS$}{}", row.label, row.text);
            }
        }
        text
    }
}

fn line(frame: &Frame) -> String {
    let lag = known(frame.pacing.lag_us, |lag| format!("{} us", microseconds(lag.p99)));
    let mut line = format!(
        "{:>6.1} s {:>10} {:>10} {:>10} {:>12} {:>8} {lag:>10} {:>8}",
        frame.elapsed_seconds,
        frame.offered_rate.map_or_else(|| "max".into(), rate),
        rate(frame.sent_rate),
        known(frame.received_rate, rate),
        known(frame.lost, count),
        known(frame.loss_ratio, share),
        known(frame.latency_ms, |latency| format!("{} ms", milliseconds(latency.p99))),
    );
    if frame.generator_fault.is_some() {
        line.push_str("  INVALID");
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::super::tests::{good, lossy, unchecked};
    use super::*;

    #[test]
    fn a_run_is_a_heading_a_line_each_second_and_where_the_missing_ones_went() {
        let mut plain = Plain::default();
        let mut text = plain.text(&Frame { elapsed_seconds: 1.0, offered_rate: None, ..unchecked() }, false);
        let late = Frame { generator_fault: Some("97.2 % of the plan".into()), elapsed_seconds: 2.0, ..lossy() };
        text += &plain.text(&late, false);
        text += &plain.text(&Frame { elapsed_seconds: 30.04, ..lossy() }, true);
        let expected = "\
run 7f3a9c01 to udp://10.0.0.5:514: 16 flows, rfc5424, 300 B
    time    offered       sent   received         lost    share    lag p99  latency
   1.0 s        max  200.0 k/s          -            -        -      41 us        -
   2.0 s  200.0 k/s  200.0 k/s  197.1 k/s       51,822   1.44 %      41 us   7.8 ms  INVALID
  30.0 s  200.0 k/s  200.0 k/s  197.1 k/s       51,822   1.44 %      41 us   7.8 ms
generator OK
missing   socket_buffer 51,810  queue 12
hint      the receive buffer holds 166 messages, 0.8 ms of this load; set receive.buffer to 32 MiB, and \
          net.core.rmem_max too
lag       p50 12  p99 41  max 1,310 us  group p99 12  cpu tx 310 rx 540 ns each
latency   p50 0.31  p90 0.92  p99 7.8  p99.9 41  max 88 ms
arrival   duplicates 0  reordered 12,001  corrupted 0  icmp 0
";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_text_of_others_breaks_or_commands_a_line() {
        let evil = "\u{1b}[2J\n".to_owned();
        let frame = Frame {
            target: evil.clone(),
            plan: evil.clone(),
            generator_fault: Some(evil.clone()),
            hint: Some(evil.clone()),
            places: vec![(evil, 1)],
            ..good()
        };
        let text = Plain::default().text(&frame, true);
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()));
        assert_eq!(text.matches("<U+001B>[2J<U+000A>").count(), 5);
        assert_eq!(text.lines().count(), 9);
    }
}
