//! Figures as people read them, and text of others made harmless.

/// What is said where a figure is not known.
pub(crate) const UNKNOWN: &str = "-";

/// Messages a second, rounded: `950 /s`, `200.0 k/s`, `1.25 M/s`.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        rate if !rate.is_finite() => UNKNOWN.into(),
        0.0 => "0 /s".into(),
        rate if rate < 99.95 => format!("{rate:.1} /s"),
        rate if rate < 999.5 => format!("{rate:.0} /s"),
        rate if rate < 999_950.0 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{:.2} M/s", rate / 1e6),
    }
}

/// A count with its thousands apart: `51,822`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share of 1 in percent, to two decimals: where there is little room. See [`share_to`].
pub(crate) fn share(ratio: f64) -> String {
    share_to(2, ratio)
}

/// A share of 1 in percent, to so many decimals. Rounding makes neither none of a little nor all of almost all: one message in a
/// billion is lost, or it is not.
pub(crate) fn share_to(decimals: usize, ratio: f64) -> String {
    let least = 10f64.powi(-(decimals as i32));
    match ratio * 100.0 {
        percent if !percent.is_finite() => UNKNOWN.into(),
        0.0 => "0 %".into(),
        100.0 => "100 %".into(),
        percent if percent > 0.0 && percent < least => format!("<{least:.decimals$} %"),
        percent if percent < 100.0 && percent > 100.0 - least => format!(">{:.decimals$} %", 100.0 - least),
        percent => format!("{percent:.decimals$} %"),
    }
}

/// A time as a clock shows it: `00:18`, `1:00:00`.
pub(crate) fn clock(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes:02}:{seconds:02}") }
}

/// Milliseconds, in two digits or all that stand before the point: `0.31`, `7.8`, `88`.
pub(crate) fn milliseconds(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() => UNKNOWN.into(),
        ms if ms < 0.995 => format!("{ms:.2}"),
        ms if ms < 9.95 => format!("{ms:.1}"),
        ms => count(ms.round() as u64),
    }
}

/// Whole microseconds.
pub(crate) fn microseconds(us: f64) -> String {
    count(us.round() as u64)
}

/// A figure, or that it is not known.
pub(crate) fn known<T>(figure: Option<T>, wording: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| UNKNOWN.into(), wording)
}

/// `text` with what a terminal would obey, and what would turn a line around, as its code in angle brackets: C0, DEL, C1,
/// the line and paragraph separators, and the bidirectional controls (Unicode TR 9).
pub(crate) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{061C}' => visible.push_str(&code(character)),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => visible.push_str(&code(character)),
            other if other.is_control() => visible.push_str(&code(other)),
            other => visible.push(other),
        }
    }
    visible
}

fn code(character: char) -> String {
    format!("<U+{:04X}>", u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_unit_that_leaves_few_digits() {
        let said = [0.0, 0.5, 99.94, 99.96, 950.0, 999.6, 199_980.0, 999_960.0, 1_250_000.0, f64::NAN].map(rate);
        let read =
            ["0 /s", "0.5 /s", "99.9 /s", "100 /s", "950 /s", "1.0 k/s", "200.0 k/s", "1.00 M/s", "1.25 M/s", "-"];
        assert_eq!(said, read);
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!([0, 999, 1_000, 51_822, 1_234_567].map(count), ["0", "999", "1,000", "51,822", "1,234,567"]);
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn one_lost_of_a_million_is_not_none_and_all_but_one_is_not_all() {
        let said = [0.0, 1e-6, 0.0144, 0.5, 0.999_999, 1.0, f64::NAN].map(share);
        assert_eq!(said, ["0 %", "<0.01 %", "1.44 %", "50.00 %", ">99.99 %", "100 %", "-"]);
        let said = [0.0, 1e-9, 1.44e-5, 0.5, 0.999_999_9, 1.0].map(|ratio| share_to(4, ratio));
        assert_eq!(said, ["0 %", "<0.0001 %", "0.0014 %", "50.0000 %", ">99.9999 %", "100 %"]);
    }

    #[test]
    fn times_are_short() {
        assert_eq!([0.0, 18.9, 3_599.0, 3_600.0].map(clock), ["00:00", "00:18", "59:59", "1:00:00"]);
        let said = [0.0, 0.314, 0.996, 7.81, 9.96, 88.0, 12_345.6].map(milliseconds);
        assert_eq!(said, ["0.00", "0.31", "1.0", "7.8", "10", "88", "12,346"]);
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(visible("unix:///run/\u{1b}[2J\u{9b}\n\u{202e}x/\u{e9}"), {
            "unix:///run/<U+001B>[2J<U+009B><U+000A><U+202E>x/\u{e9}"
        });
    }
}
