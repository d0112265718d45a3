//! What is told of a run in numbers: a closed list, each by its name, which is also its path in `run.json`, with its unit
//! and which way is better. Thresholds, baselines and reports know figures from here alone.

use serde_json::Value;

use crate::values::MULTIPLES;
use crate::view::wording::{count, share_to};

/// What a figure counts or measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Messages, or other things that are counted.
    Count,
    /// A part of the whole, 0 to 1; people see percent.
    Share,
    /// Messages a second.
    PerSecond,
    /// s.
    Seconds,
    /// ms.
    Milliseconds,
    /// us.
    Microseconds,
    /// ns.
    Nanoseconds,
    /// B.
    Bytes,
}

/// Which way a figure should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// It says nothing of good or bad.
    Neither,
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name: the keys that lead to it in `run.json`, with dots between them.
    pub name: &'static str,
    /// What it is in, there and in [`Figure::value`].
    pub unit: Unit,
    /// Which way is better.
    pub better: Better,
}

const fn figure(name: &'static str, unit: Unit, better: Better) -> Figure {
    Figure { name, unit, better }
}

/// Every figure there is, in the order in which reports show them.
pub const FIGURES: &[Figure] = &[
    figure("offered", Unit::Count, Better::Neither),
    figure("sent", Unit::Count, Better::Neither),
    figure("received", Unit::Count, Better::Higher),
    figure("stored", Unit::Count, Better::Higher),
    figure("lost", Unit::Count, Better::Lower),
    figure("loss_ratio", Unit::Share, Better::Lower),
    figure("counted_lost", Unit::Count, Better::Lower),
    figure("lost_at_end", Unit::Count, Better::Lower),
    figure("duplicates", Unit::Count, Better::Lower),
    figure("corrupted", Unit::Count, Better::Lower),
    figure("unexpected", Unit::Count, Better::Lower),
    figure("reordered", Unit::Count, Better::Lower),
    figure("ledger.unexplained", Unit::Count, Better::Lower),
    figure("elapsed_seconds", Unit::Seconds, Better::Neither),
    figure("achieved_rate", Unit::PerSecond, Better::Higher),
    figure("sender_cpu_ns_per_message", Unit::Nanoseconds, Better::Lower),
    figure("collector.cpu_ns_per_message", Unit::Nanoseconds, Better::Lower),
    figure("collector.rss_bytes", Unit::Bytes, Better::Lower),
    figure("latency.p50", Unit::Milliseconds, Better::Lower),
    figure("latency.p90", Unit::Milliseconds, Better::Lower),
    figure("latency.p99", Unit::Milliseconds, Better::Lower),
    figure("latency.p999", Unit::Milliseconds, Better::Lower),
    figure("latency.max", Unit::Milliseconds, Better::Lower),
    figure("latency_synced.p50", Unit::Milliseconds, Better::Lower),
    figure("latency_synced.p90", Unit::Milliseconds, Better::Lower),
    figure("latency_synced.p99", Unit::Milliseconds, Better::Lower),
    figure("latency_synced.p999", Unit::Milliseconds, Better::Lower),
    figure("latency_synced.max", Unit::Milliseconds, Better::Lower),
    figure("loss_runs.count", Unit::Count, Better::Lower),
    figure("loss_runs.p50", Unit::Count, Better::Lower),
    figure("loss_runs.p99", Unit::Count, Better::Lower),
    figure("loss_runs.max", Unit::Count, Better::Lower),
    figure("reorder_depth.p50", Unit::Count, Better::Lower),
    figure("reorder_depth.p99", Unit::Count, Better::Lower),
    figure("reorder_depth.max", Unit::Count, Better::Lower),
    figure("sending.no_memory", Unit::Count, Better::Lower),
    figure("sending.overflow", Unit::Count, Better::Lower),
    figure("sending.blocked_seconds", Unit::Seconds, Better::Lower),
    figure("pacing.lag_us.p50", Unit::Microseconds, Better::Lower),
    figure("pacing.lag_us.p99", Unit::Microseconds, Better::Lower),
    figure("pacing.lag_us.p999", Unit::Microseconds, Better::Lower),
    figure("pacing.lag_us.max", Unit::Microseconds, Better::Lower),
    figure("pacing.lag_us.within_200us", Unit::Share, Better::Higher),
    figure("pacing.group.p50", Unit::Count, Better::Lower),
    figure("pacing.group.p99", Unit::Count, Better::Lower),
    figure("pacing.group.max", Unit::Count, Better::Lower),
];

/// The figures of these names: a constant made so does not compile with a name that no figure has.
///
/// # Panics
/// If no figure has one of the names.
#[must_use]
pub const fn figures<const N: usize>(names: [&str; N]) -> [&'static Figure; N] {
    let mut found = [&FIGURES[0]; N];
    let mut at = 0;
    while at < N {
        let mut figure = 0;
        while !is_same(FIGURES[figure].name.as_bytes(), names[at].as_bytes()) {
            figure += 1;
            assert!(figure < FIGURES.len(), "no figure has this name");
        }
        found[at] = &FIGURES[figure];
        at += 1;
    }
    found
}

/// `==` of slices is not const.
const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([a, rest @ ..], [b, others @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (rest, others);
    }
    one.is_empty() && other.is_empty()
}

impl Figure {
    /// The figure of this name.
    ///
    /// # Errors
    /// That there is none, with the nearest and the whole list.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        FIGURES.iter().find(|figure| figure.name == name).ok_or_else(|| {
            let all: Vec<_> = FIGURES.iter().map(|figure| figure.name).collect();
            format!("there is no figure `{name}`; the nearest is `{}`, and all are {}", nearest(name), all.join(", "))
        })
    }

    /// What a `run.json` says, in [`Figure::unit`]; `None` when it was not measured.
    #[must_use]
    pub fn value(&self, run: &Value) -> Option<f64> {
        self.name.split('.').try_fold(run, |at, key| at.get(key))?.as_f64()
    }

    /// A value for people, with its unit; `-` when it was not measured.
    #[must_use]
    pub fn show(&self, value: Option<f64>) -> String {
        value.map_or_else(|| "-".into(), |value| self.unit.show(value))
    }
}

/// The name most like `wanted`, which may be its last part alone: `p99`.
fn nearest(wanted: &str) -> &'static str {
    let distance = |figure: &&Figure| {
        let whole = strsim::damerau_levenshtein(wanted, figure.name);
        let (_, last) = figure.name.rsplit_once('.').unwrap_or(("", figure.name));
        whole.min(strsim::damerau_levenshtein(wanted, last) + 1)
    };
    FIGURES.iter().min_by_key(distance).map_or("", |figure| figure.name)
}

impl Unit {
    /// What may stand behind a number of this unit, as a power of ten.
    pub(crate) fn suffixes(self) -> &'static [(&'static str, i32)] {
        match self {
            Self::Count | Self::PerSecond => MULTIPLES,
            Self::Share => &[("%", -2)],
            Self::Seconds => &[("ns", -9), ("us", -6), ("ms", -3), ("s", 0)],
            Self::Milliseconds => &[("ns", -6), ("us", -3), ("ms", 0), ("s", 3)],
            Self::Microseconds => &[("ns", -3), ("us", 0), ("ms", 3), ("s", 6)],
            Self::Nanoseconds => &[("ns", 0), ("us", 3), ("ms", 6), ("s", 9)],
            Self::Bytes => &[("B", 0), ("kB", 3), ("MB", 6), ("GB", 9)],
        }
    }

    /// What to write, with examples.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Count => "a number, such as 10, 200k or 1.5M",
            Self::PerSecond => "messages a second, such as 500, 200k or 1.5M",
            Self::Share => "a percentage, such as 0.01%",
            Self::Seconds | Self::Milliseconds | Self::Microseconds | Self::Nanoseconds => {
                "a time with its unit, such as 600ns, 200us, 5ms or 1.5s"
            }
            Self::Bytes => "a size with its unit, such as 512kB or 64MB",
        }
    }

    /// A value of this unit for people, with the unit.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Count => grouped(value),
            Self::Share => share_to(4, value),
            Self::PerSecond => format!("{}/s", grouped(value)),
            Self::Seconds => format!("{} s", four_digits(value)),
            Self::Milliseconds => format!("{} ms", four_digits(value)),
            Self::Microseconds => format!("{} us", four_digits(value)),
            Self::Nanoseconds => format!("{} ns", four_digits(value)),
            Self::Bytes => format!("{} MB", four_digits(value / 1e6)),
        }
    }
}

/// A whole number.
fn grouped(value: f64) -> String {
    count(value.round() as u64)
}

fn four_digits(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.3}"),
        10.0..100.0 => format!("{value:.2}"),
        100.0..1000.0 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_figure_is_found_by_its_path_and_what_is_missing_or_null_was_not_measured() {
        let run = json!({"lost": 3, "pacing": {"lag_us": null, "group": {"max": 7}}, "latency": [1], "reordered": "2"});
        let value = |name| Figure::named(name).unwrap().value(&run);
        assert_eq!(["lost", "pacing.group.max"].map(value), [Some(3.0), Some(7.0)]);
        assert_eq!(["sent", "pacing.lag_us.p50", "latency.p99", "reordered"].map(value), [None; 4]);
    }

    #[test]
    fn a_wrong_name_is_told_with_the_nearest_and_all_others() {
        for (wrong, nearest) in [
            ("los_ratio", "loss_ratio"),
            ("latncy.p50", "latency.p50"),
            ("p99", "latency.p99"),
            ("rss_bytes", "collector.rss_bytes"),
        ] {
            let told = Figure::named(wrong).unwrap_err();
            assert!(told.contains(&format!("no figure `{wrong}`; the nearest is `{nearest}`")), "{told}");
            assert!(FIGURES.iter().all(|figure| told.contains(figure.name)), "{told}");
        }
    }

    #[test]
    fn people_see_units_and_no_value_is_rounded_to_nothing_or_to_the_whole() {
        for (name, value, shown) in [
            ("lost", 0.0, "0"),
            ("sent", 999.0, "999"),
            ("sent", 1_234_567.0, "1,234,567"),
            ("achieved_rate", 199_987.4, "199,987/s"),
            ("loss_ratio", 0.0, "0 %"),
            ("loss_ratio", 1e-9, "<0.0001 %"),
            ("loss_ratio", 0.012_345, "1.2345 %"),
            ("pacing.lag_us.within_200us", 0.999_999_9, ">99.9999 %"),
            ("pacing.lag_us.within_200us", 1.0, "100 %"),
            ("latency.p99", 5.001, "5.001 ms"),
            ("latency.p99", 41.234, "41.23 ms"),
            ("pacing.lag_us.max", 12_345.6, "12,346 us"),
            ("sender_cpu_ns_per_message", 612.34, "612.3 ns"),
            ("elapsed_seconds", 30.0, "30.00 s"),
            ("collector.rss_bytes", 38_400_000.0, "38.40 MB"),
        ] {
            assert_eq!(Figure::named(name).unwrap().show(Some(value)), shown);
        }
        assert_eq!(FIGURES[0].show(None), "-");
    }

    /// `a.{b,c}` is `a.b` and `a.c`.
    fn expand(name: &str) -> Vec<String> {
        match name.trim_end_matches('}').split_once('{') {
            Some((before, parts)) => parts.split(',').map(|part| format!("{before}{part}")).collect(),
            None => vec![name.to_owned()],
        }
    }

    #[test]
    fn the_manual_lists_every_figure_with_its_unit_and_direction() {
        let manual = include_str!("../../docs/loadgen.md");
        let (_, thresholds) = manual.split_once("## Thresholds").unwrap();
        let rows = thresholds.lines().skip_while(|line| !line.starts_with("| figure |")).skip(2);
        let mut listed = Vec::new();
        for row in rows.take_while(|line| line.starts_with('|')) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let names = cells[1].split(", ").flat_map(|name| expand(name.trim_matches('`')));
            listed.extend(names.map(|name| (name, cells[2].to_owned(), cells[3].to_owned())));
        }
        let unit = |unit| match unit {
            Unit::Count => "count",
            Unit::Share => "%",
            Unit::PerSecond => "messages/s",
            Unit::Seconds => "s",
            Unit::Milliseconds => "ms",
            Unit::Microseconds => "us",
            Unit::Nanoseconds => "ns",
            Unit::Bytes => "B",
        };
        let better = |better| match better {
            Better::Lower => "lower",
            Better::Higher => "higher",
            Better::Neither => "",
        };
        let known =
            |figure: &Figure| (figure.name.to_owned(), unit(figure.unit).to_owned(), better(figure.better).to_owned());
        assert_eq!(listed, FIGURES.iter().map(known).collect::<Vec<_>>());
    }
}
