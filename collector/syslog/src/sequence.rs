//! Messages that were lost before they were received, where their sender numbers them: `[meta sequenceId="7"]` (RFC 5424
//! section 7.3.1). It begins at 1 when the sender starts, goes up by one with each message, and after 2147483647 begins
//! at 1 again.

use memchr::memmem;

use crate::header;

/// After the largest number comes 1.
const ID_MAX: u32 = 2_147_483_647;

/// The structured data of a message is looked for in so many of its first bytes.
const LOOKED_AT_BYTES_MAX: usize = 2048;

/// A larger jump is no loss: the sender counts anew, or something else.
const GAP_MAX: u32 = 10_000_000;

/// So many numbers that came before, each a little above the last, may be repeats; more are a new beginning.
const REPEATS_MAX: u32 = 8;

/// "A little".
const ASCENT_MAX: u32 = 16;

/// Gaps in which a message that comes late is still looked for.
const GAPS_MAX: usize = 8;

/// The number that the sender gave a message, if it did. Costs a look at two bytes where it is not RFC 5424.
#[must_use]
pub fn sequence_id(message: &[u8]) -> Option<u32> {
    // "<N>1 " to "<NNN>1 ": VERSION stands behind PRI (section 6.2.2).
    let end = message.iter().take(5).position(|byte| *byte == b'>')?;
    if message.get(end + 1..end + 3) != Some(b"1 ") {
        return None;
    }
    let message = &message[..message.len().min(LOOKED_AT_BYTES_MAX)];
    memmem::find(message, b"sequenceId")?;
    let elements = header::parse(message).structured_data?;
    let id = param(elements, b"meta", b"sequenceId")?;
    let is_number = (1..=10).contains(&id.len()) && id.iter().all(u8::is_ascii_digit);
    let id = id.iter().filter(|_| is_number).fold(0u64, |id, digit| id * 10 + u64::from(digit - b'0'));
    u32::try_from(id).ok().filter(|id| (1..=ID_MAX).contains(id))
}

/// The value of a parameter of an element, as it stands there, out of whole and valid structured data.
fn param<'a>(elements: &'a [u8], id: &[u8], name: &[u8]) -> Option<&'a [u8]> {
    let (mut rest, mut is_wanted) = (elements, false);
    while let Some((first, behind)) = rest.split_first() {
        match first {
            b'[' => {
                let length = behind.iter().position(|byte| matches!(byte, b' ' | b']'))?;
                is_wanted = behind[..length] == *id;
                rest = &behind[length..];
            }
            b' ' => {
                let length = memmem::find(behind, b"=\"")?;
                let value = &behind[length + 2..];
                let value_length = quoted_length(value)?;
                if is_wanted && behind[..length] == *name {
                    return Some(&value[..value_length]);
                }
                rest = &value[value_length + 1..];
            }
            _ => rest = behind,
        }
    }
    None
}

/// Bytes up to the quote that ends a value; one behind a backslash does not (section 6.3.3).
fn quoted_length(value: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    value.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })
}

/// What the numbers of one sender tell. Holds 8 gaps at most.
#[derive(Clone, Debug)]
pub struct Sequence {
    next: u32,
    /// Numbers that were left out lately, from and to.
    gaps: Vec<(u32, u32)>,
    /// The last number that came again, and how many such came in ascending order.
    again: (u32, u32),
    /// Messages with a number.
    pub received: u64,
    /// Numbers that never came.
    pub missing: u64,
    /// Numbers that came again.
    pub repeated: u64,
    /// Times at which the sender began anew.
    pub restarts: u64,
}

impl Sequence {
    /// Of a sender whose first message had this number.
    #[must_use]
    pub fn new(id: u32) -> Self {
        Self { next: after(id), gaps: Vec::new(), again: (0, 0), received: 1, missing: 0, repeated: 0, restarts: 0 }
    }

    /// Notes the next message that came.
    pub fn note(&mut self, id: u32) {
        self.received += 1;
        let ahead = id.wrapping_sub(self.next);
        if id == self.next {
            self.next = after(id);
        } else if self.fill_gap(id) {
            self.missing -= 1;
        } else if id > self.next && ahead <= GAP_MAX {
            if self.gaps.len() == GAPS_MAX {
                self.gaps.remove(0);
            }
            self.gaps.push((self.next, id - 1));
            self.missing += u64::from(ahead);
            self.next = after(id);
        } else if id != 1 && id < self.next && self.next - id <= GAP_MAX && !self.begins_anew(id) {
            self.repeated += 1;
        } else {
            self.restarts += 1;
            self.gaps.clear();
            self.next = after(id);
        }
    }

    /// Whether numbers that came before, in ascending order, are too many to have come again: its first message was lost.
    fn begins_anew(&mut self, id: u32) -> bool {
        let (last, in_order) = self.again;
        self.again = (id, if (1..=ASCENT_MAX).contains(&id.wrapping_sub(last)) { in_order + 1 } else { 1 });
        self.again.1 > REPEATS_MAX
    }

    /// Whether a number was missing until now.
    fn fill_gap(&mut self, id: u32) -> bool {
        let Some(at) = self.gaps.iter().position(|(from, to)| (*from..=*to).contains(&id)) else { return false };
        let (from, to) = self.gaps.remove(at);
        let sides = [(from, id - 1), (id + 1, to)];
        self.gaps.extend(sides.into_iter().filter(|(from, to)| from <= to));
        self.gaps.truncate(GAPS_MAX);
        true
    }
}

const fn after(id: u32) -> u32 {
    if id >= ID_MAX { 1 } else { id + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_in_the_element_meta_of_rfc_5424() {
        for (message, id) in [
            (r#"<34>1 - h a p i [meta sequenceId="29" sysUpTime="5"] text"#, Some(29)),
            (r#"<34>1 - h a p i [x y="\"]"][meta lang="de" sequenceId="2147483647"]"#, Some(2_147_483_647)),
            (r#"<34>1 - h a p i [meta language="a] sequenceId=\"5\"" sequenceId="7"] x"#, Some(7)),
            (r#"<34>1 - h a p i [other sequenceId="3"] x"#, None),
            (r#"<34>1 - h a p i - [meta sequenceId="3"] in the text"#, None),
            (r#"<34>1 - h a p i [meta sequenceId="0"] x"#, None),
            (r#"<34>1 - h a p i [meta sequenceId="2147483648"] x"#, None),
            (r#"<34>1 - h a p i [meta sequenceId="99999999999999999999"] x"#, None),
            (r#"<34>1 - h a p i [meta sequenceId="-1"] x"#, None),
            (r#"<34>Oct 11 22:14:15 h a: [meta sequenceId="3"] x"#, None),
            ("<34>1 ", None),
            ("", None),
        ] {
            assert_eq!(sequence_id(message.as_bytes()), id, "{message}");
        }
    }

    fn of(ids: &[u32]) -> (u64, u64, u64) {
        let mut sequence = Sequence::new(ids[0]);
        ids[1..].iter().for_each(|id| sequence.note(*id));
        assert_eq!(sequence.received, ids.len() as u64);
        assert!(sequence.gaps.len() <= GAPS_MAX);
        (sequence.missing, sequence.repeated, sequence.restarts)
    }

    #[test]
    fn gaps_are_counted_and_what_comes_late_is_not_missing() {
        assert_eq!(of(&[1, 2, 3, 4]), (0, 0, 0));
        assert_eq!(of(&[5, 6, 9, 10]), (2, 0, 0));
        assert_eq!(of(&[5, 9, 7, 6, 8, 10]), (0, 0, 0));
        assert_eq!(of(&[5, 9, 7, 7, 9]), (2, 2, 0));
        assert_eq!(of(&[500, 501, 1, 2, 3]), (0, 0, 1), "it was started anew");
        assert_eq!(of(&[2_147_483_646, 2_147_483_647, 1, 2]), (0, 0, 0));
        assert_eq!(of(&[7, 2_000_000_000, 2_000_000_001]), (0, 0, 1), "no such gap is believed");
        let anew: Vec<u32> = [1_000, 1_001].into_iter().chain(2..30).collect();
        assert_eq!(of(&anew), (0, 8, 1), "it was started anew, and its first message was lost");
        let every_second: Vec<u32> = (0..100).map(|number| 10 + number * 2).collect();
        assert_eq!(of(&every_second), (99, 0, 0));
    }
}
