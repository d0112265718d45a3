//! Timestamps, in the ways senders write them: where one ends, not when it is.

type Layout = fn(&mut Scan<'_>) -> Option<()>;

const LAYOUTS: [Layout; 4] = [month_first, year_first, numeric, netscaler];

/// A timestamp at the front of `text`, and what follows it: nothing, a space, a tab or a colon.
pub(super) fn timestamp(text: &[u8]) -> Option<(&[u8], &[u8])> {
    LAYOUTS.iter().find_map(|layout| delimited(text, layout))
}

/// The same where what stands before it has shown it to be Cisco's: then `EST:` is a time zone and no program, `EST :`
/// no host.
pub(super) fn cisco_timestamp(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let with_zone = |layout: &Layout| {
        delimited(text, |scan| {
            layout(scan)?;
            scan.try_last_part(|scan| {
                scan.eat(b' ')?;
                let name = scan.letters(1, 5)?;
                (is_in_capitals(name) && super::after_space(scan.rest).starts_with(b":")).then_some(())
            });
            Some(())
        })
    };
    LAYOUTS.iter().find_map(with_zone)
}

/// The same of RFC 3339 and its kin alone, with no space but that for `T`: the next field begins with one.
pub(super) fn rfc3339(text: &[u8]) -> Option<(&[u8], &[u8])> {
    delimited(text, date_and_time)
}

/// Seconds since 1970 with a fraction. Only Meraki sends them, and only after a VERSION (Meraki, "Syslog Event Types
/// and Log Samples"); anywhere else they are just a number.
pub(super) fn epoch(text: &[u8]) -> Option<(&[u8], &[u8])> {
    delimited(text, |scan| {
        scan.digits(9, 10)?;
        scan.eat(b'.')?;
        scan.digits(1, 9)?;
        Some(())
    })
}

fn delimited(text: &[u8], layout: impl Fn(&mut Scan<'_>) -> Option<()>) -> Option<(&[u8], &[u8])> {
    let mut scan = Scan { rest: text };
    layout(&mut scan)?;
    scan.is_delimited().then(|| text.split_at(text.len() - scan.rest.len()))
}

/// `Mmm dd hh:mm:ss` (RFC 3164 section 4.1.2), the day padded or not, in any case; a year before or after the time, as
/// network devices have it (RFC 3164 section 5.4, example 3; rsyslog `runtime/datetime.c`).
fn month_first(scan: &mut Scan<'_>) -> Option<()> {
    scan.month()?;
    scan.eat(b' ')?;
    scan.try_part(|scan| scan.eat(b' '));
    scan.number(1, 2, 1..=31)?;
    scan.eat(b' ')?;
    scan.try_part(|scan| {
        scan.year()?;
        scan.eat(b' ')
    });
    scan.hour_minute()?;
    scan.second()?;
    scan.try_last_part(half_of_day);
    scan.try_last_part(|scan| {
        scan.eat(b' ')?;
        scan.year()
    });
    scan.try_last_part(offset);
    scan.try_last_part(spaced_offset);
    scan.try_last_part(zone_name);
    scan.try_last_part(universal);
    Some(())
}

/// `yyyy Mmm dd hh:mm:ss`: Cisco NX-OS, Brocade.
fn year_first(scan: &mut Scan<'_>) -> Option<()> {
    scan.year()?;
    scan.eat(b' ')?;
    month_first(scan)
}

/// Digits throughout, and ` +hh:mm` or ` UTC` behind them.
fn numeric(scan: &mut Scan<'_>) -> Option<()> {
    date_and_time(scan)?;
    scan.try_last_part(spaced_offset);
    scan.try_last_part(universal);
    Some(())
}

/// RFC 3339, and what it is mistaken for: a space for `T`, a comma for the point, no seconds, no offset or one without
/// colon, `Z` and an offset. With other separators, `yyyy:mm:dd-hh:mm:ss`, it is Sophos UTM's.
fn date_and_time(scan: &mut Scan<'_>) -> Option<()> {
    scan.year()?;
    let separator = if scan.eat(b'-').is_some() { b'-' } else { scan.eat(b':').map(|()| b':')? };
    scan.number(1, 2, 1..=12)?;
    scan.eat(separator)?;
    scan.number(1, 2, 1..=31)?;
    match separator {
        b':' => scan.eat(b'-')?,
        _ => scan.eat(b'T').or_else(|| scan.eat(b't')).or_else(|| scan.eat(b' '))?,
    }
    scan.hour_minute()?;
    if scan.rest.first() == Some(&b':') {
        scan.second()?;
    }
    scan.try_part(|scan| scan.eat(b'Z').or_else(|| scan.eat(b'z')));
    scan.try_last_part(offset);
    Some(())
}

/// `mm/dd/yyyy:hh:mm:ss GMT`, month and day in the order of the configuration: Citrix NetScaler.
fn netscaler(scan: &mut Scan<'_>) -> Option<()> {
    scan.number(2, 2, 1..=31)?;
    scan.eat(b'/')?;
    scan.number(2, 2, 1..=31)?;
    scan.eat(b'/')?;
    scan.year()?;
    scan.eat(b':')?;
    scan.hour_minute()?;
    scan.second()?;
    scan.try_last_part(universal);
    Some(())
}

/// ` AM`, ` PM`, and the fraction after it: Cisco UCM.
fn half_of_day(scan: &mut Scan<'_>) -> Option<()> {
    scan.eat(b' ')?;
    scan.eat(b'A').or_else(|| scan.eat(b'P'))?;
    scan.eat(b'M')?;
    scan.try_part(Scan::fraction);
    Some(())
}

/// `+hh:mm`, `+hhmm` or `+hh`.
fn offset(scan: &mut Scan<'_>) -> Option<()> {
    scan.eat(b'+').or_else(|| scan.eat(b'-'))?;
    if scan.try_part(|scan| scan.digits(4, 4)).is_none() {
        scan.number(2, 2, 0..=23)?;
        scan.try_part(|scan| {
            scan.eat(b':')?;
            scan.number(2, 2, 0..=59)
        });
    }
    Some(())
}

fn spaced_offset(scan: &mut Scan<'_>) -> Option<()> {
    scan.eat(b' ')?;
    offset(scan)
}

/// The two time zones that nobody calls a host.
fn universal(scan: &mut Scan<'_>) -> Option<()> {
    scan.eat(b' ')?;
    let name = scan.letters(3, 3)?;
    (name.eq_ignore_ascii_case(b"UTC") || name.eq_ignore_ascii_case(b"GMT")).then_some(())
}

/// Any other. `CET` is a good name for a host as well, and `CET:` for a program; it is a time zone where a year follows
/// (RFC 3164 section 5.4, example 3), or Cisco's colon and per cent sign.
fn zone_name(scan: &mut Scan<'_>) -> Option<()> {
    scan.eat(b' ')?;
    let name = scan.letters(1, 5)?;
    let year = scan.try_last_part(|scan| {
        scan.eat(b' ')?;
        scan.year()
    });
    let is_before_cisco =
        || scan.rest.strip_prefix(b":").is_some_and(|rest| super::after_spaces(rest).starts_with(b"%"));
    (year.is_some() || (is_in_capitals(name) && is_before_cisco())).then_some(())
}

fn is_in_capitals(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_uppercase)
}

/// What has not been read yet.
#[derive(Clone, Copy)]
struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn is_delimited(&self) -> bool {
        matches!(self.rest.first(), None | Some(b' ' | b'\t' | b':'))
    }

    /// Reads what may be missing: nothing is read if not all of it is there.
    fn try_part<T>(&mut self, part: impl Fn(&mut Self) -> Option<T>) -> Option<T> {
        let mut ahead = *self;
        let found = part(&mut ahead)?;
        *self = ahead;
        Some(found)
    }

    /// The same of a part that the timestamp may end with: no longer word only begins like it.
    fn try_last_part(&mut self, part: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        self.try_part(|scan| {
            part(scan)?;
            scan.is_delimited().then_some(())
        })
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    /// A run of digits, neither shorter nor longer.
    fn digits(&mut self, count_min: usize, count_max: usize) -> Option<&'a [u8]> {
        self.run(count_min, count_max, u8::is_ascii_digit)
    }

    fn letters(&mut self, count_min: usize, count_max: usize) -> Option<&'a [u8]> {
        self.run(count_min, count_max, u8::is_ascii_alphabetic)
    }

    fn run(&mut self, count_min: usize, count_max: usize, belongs: fn(&u8) -> bool) -> Option<&'a [u8]> {
        let count = self.rest.iter().take(count_max + 1).take_while(|byte| belongs(byte)).count();
        let (run, rest) = (count_min..=count_max).contains(&count).then(|| self.rest.split_at(count))?;
        self.rest = rest;
        Some(run)
    }

    fn number(&mut self, count_min: usize, count_max: usize, range: std::ops::RangeInclusive<u32>) -> Option<()> {
        let value =
            self.digits(count_min, count_max)?.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        range.contains(&value).then_some(())
    }

    fn year(&mut self) -> Option<()> {
        self.number(4, 4, 1970..=2199)
    }

    /// The English name, or no less than three letters of it.
    fn month(&mut self) -> Option<()> {
        const NAMES: [&str; 12] = [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ];
        let word = self.letters(3, 9)?;
        let is_begun_by =
            |name: &&str| name.as_bytes().get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word));
        NAMES.iter().any(is_begun_by).then_some(())
    }

    fn hour_minute(&mut self) -> Option<()> {
        self.number(1, 2, 0..=23)?;
        self.eat(b':')?;
        self.number(2, 2, 0..=59)
    }

    /// `:ss`, 60 being a leap second, and a fraction if there is one.
    fn second(&mut self) -> Option<()> {
        self.eat(b':')?;
        self.number(2, 2, 0..=60)?;
        self.try_part(Self::fraction);
        Some(())
    }

    fn fraction(&mut self) -> Option<()> {
        self.eat(b'.').or_else(|| self.eat(b','))?;
        self.digits(1, 9).map(|_| ())
    }
}
