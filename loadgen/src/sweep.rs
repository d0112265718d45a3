//! The same traffic at one rate after the other: what is lost, and how late the rest is, below and above what a collector keeps
//! up with (RFC 2544 section 26.3, upwards).

use std::fmt::Write;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::figures::{Figure, Unit, figures};
use crate::report::{Report, Verdict, write_whole};
use crate::search::Limit;
use crate::values::{Rate, parse_rate, parse_scaled};

/// The only schema there is.
pub const SCHEMA: &str = "loadgen.sweep/1";

/// Rates of one sweep, at most.
pub const RATES_MAX: usize = 100;

/// A rate to send at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Point {
    /// A share of the lossless rate.
    Share(f64),
    /// Messages a second.
    PerSecond(f64),
}

/// The rates of a sweep, such as `10%-150%/10%` or `50k,100k,90%`.
#[derive(Clone, Debug, PartialEq)]
pub struct Points(Vec<Point>);

impl Points {
    /// Whether the lossless rate must be known.
    #[must_use]
    pub fn are_relative(&self) -> bool {
        self.0.iter().any(|point| matches!(point, Point::Share(_)))
    }

    /// Messages a second, in order.
    #[must_use]
    pub fn rates(&self, lossless: f64) -> Vec<f64> {
        let rate = |point: &Point| match point {
            Point::Share(share) => (share * lossless).round().max(1.0),
            Point::PerSecond(rate) => *rate,
        };
        self.0.iter().map(rate).collect()
    }
}

impl FromStr for Points {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut points = Vec::new();
        for part in text.split(',') {
            points.extend(parse_part(part)?);
            if points.len() > RATES_MAX {
                return Err(format!("more than {RATES_MAX} rates"));
            }
        }
        Ok(Self(points))
    }
}

fn parse_share(text: &str) -> Option<f64> {
    parse_scaled(text, &[("%", -2)]).filter(|share| (0.001..=100.0).contains(share))
}

/// One rate, one share, or shares from one to another.
fn parse_part(text: &str) -> Result<Vec<Point>, String> {
    let unusable = || format!("`{text}` is no rate: write 50k, 80% (of the lossless rate) or 10%-150%/10%");
    if let Some((range, step)) = text.split_once('/') {
        let (from, to) = range.split_once('-').ok_or_else(unusable)?;
        let (Some(from), Some(to), Some(step)) = (parse_share(from), parse_share(to), parse_share(step)) else {
            return Err(unusable());
        };
        // Decimal fractions do not add up exactly.
        let steps = ((to - from) / step + 1e-9).floor();
        return match steps {
            0.0..100.0 => Ok((0..=steps as u32).map(|number| Point::Share(from + step * f64::from(number))).collect()),
            _ => Err(format!("`{text}`: from less to more, in at most {RATES_MAX} steps")),
        };
    }
    match (parse_share(text), parse_rate(text)) {
        (Some(share), _) => Ok(vec![Point::Share(share)]),
        (None, Ok(Rate::PerSecond(rate))) => Ok(vec![Point::PerSecond(rate)]),
        _ => Err(unusable()),
    }
}

/// Runs at rates below and above the lossless one.
#[derive(Debug, Serialize)]
pub struct Sweep {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Version of loadgen.
    pub version: &'static str,
    /// The command that made them.
    pub command: Vec<String>,
    /// Where they were sent.
    pub targets: Vec<String>,
    /// What the first target keeps up with, messages a second, if that was asked.
    pub lossless_rate: Option<f64>,
    /// What limited that, if it was searched for: if the sender, the collector may keep up with more.
    pub lossless_limit: Option<Limit>,
    /// Each, in the order in which they were made.
    pub runs: Vec<Step>,
}

/// A run at one rate.
#[derive(Debug, Serialize)]
pub struct Step {
    /// Which of the targets, from 0.
    pub target: usize,
    /// Messages a second that were to be sent.
    pub rate: f64,
    /// What it came to.
    pub run: Report,
}

/// Figures that are told of each step, beside its loss.
const TOLD: [&Figure; 2] = figures(["latency.p99", "sending.blocked_seconds"]);

impl Sweep {
    /// A line for each rate and target.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(lossless) = self.lossless_rate {
            let whose = match self.lossless_limit {
                Some(Limit::Sender) => ", all that this sender can offer",
                _ => "",
            };
            let _ = writeln!(text, "lossless rate {}{whose}", Unit::PerSecond.show(lossless));
        }
        for (number, target) in self.targets.iter().enumerate() {
            let _ =
                writeln!(text, "{target}\n{:>14} {:>8} {:>12} {:>12} {:>12}", "rate", "of it", "lost", "p99", "waited");
            for step in self.runs.iter().filter(|step| step.target == number) {
                let _ = writeln!(text, "{}", self.line(step));
            }
        }
        text
    }

    fn line(&self, step: &Step) -> String {
        let run = serde_json::json!(step.run);
        let share =
            self.lossless_rate.map_or_else(|| "-".into(), |lossless| format!("{:.0} %", step.rate / lossless * 100.0));
        let lost = step.run.loss_ratio().map_or_else(|| "-".into(), |ratio| Unit::Share.show(ratio));
        let told = TOLD.map(|figure| format!("{:>12}", figure.show(figure.value(&run))));
        let invalid = match (&step.run.verdict, &step.run.reason) {
            (Verdict::Invalid, Some(reason)) => format!("  INVALID: {reason}"),
            _ => String::new(),
        };
        format!("{:>14} {share:>8} {lost:>12} {}{invalid}", Unit::PerSecond.show(step.rate), told.join(" "))
    }

    /// Writes it, runs and all.
    ///
    /// # Errors
    /// What the file system says, with the file's name.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        write_whole(path, &serde_json::to_string_pretty(self).map_err(|error| error.to_string())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_others_are_told() {
        let rates = |text: &str| text.parse::<Points>().unwrap().rates(1000.0);
        assert_eq!(rates("10%-150%/10%").len(), 15);
        assert_eq!(rates("10%-150%/10%")[14], 1500.0);
        assert_eq!(rates("10%-25%/10%"), [100.0, 200.0], "not past the end");
        assert_eq!(rates("50k,80%"), [50_000.0, 800.0]);
        assert!(!"50k,1.5M".parse::<Points>().unwrap().are_relative());
        for text in ["", "50", "max", "10%-", "50%-10%/10%", "10%-150%/0%", "1%-1000%/1%", "10%,x", "10%-150%"] {
            // A plain number is a rate.
            assert_eq!(text.parse::<Points>().is_ok(), text == "50", "{text}");
        }
    }
}
