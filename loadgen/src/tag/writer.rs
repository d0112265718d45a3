//! The tags of messages that are sent one after the other on a flow: what is the same in the next is not written again.

use super::{CRC, CRC_END, Endings, FLOW, RunTag, SEND_NS, SEQUENCE, Tag, hex};

/// The tag of the next message, but for its checksum.
#[derive(Debug)]
pub struct Writer {
    front: Front,
    send_ns: u64,
}

/// Aligned as CRCs are taken, eight bytes at once.
#[derive(Debug)]
#[repr(align(8))]
struct Front([u8; CRC]);

impl Writer {
    /// Begins with `tag`.
    #[must_use]
    pub fn new(run: RunTag, tag: Tag) -> Self {
        let mut front = [b' '; CRC];
        front[..FLOW - 1].copy_from_slice(&run.0);
        put_digits(&mut front[FLOW..FLOW + 5], u64::from(tag.flow));
        put_digits(&mut front[SEQUENCE..SEQUENCE + 10], tag.sequence);
        put_digits(&mut front[SEND_NS..SEND_NS + 20], tag.send_ns);
        Self { front: Front(front), send_ns: tag.send_ns }
    }

    /// When the next message is due, ns since the Unix epoch: at full speed the same for many.
    #[inline]
    pub fn set_send_ns(&mut self, send_ns: u64) {
        if send_ns != self.send_ns {
            self.send_ns = send_ns;
            put_digits(&mut self.front.0[SEND_NS..SEND_NS + 20], send_ns);
        }
    }

    /// Writes the tag over the front of what goes from there to the end of message `index`, and goes on to the next number.
    #[inline]
    pub fn write(&mut self, tagged: &mut [u8], endings: &Endings, index: usize) {
        let Front(front) = &mut self.front;
        let crc = endings.behind(crc32c::crc32c(front), index);
        tagged[..CRC].copy_from_slice(front);
        tagged[CRC..CRC_END].copy_from_slice(&hex(crc));
        for digit in front[SEQUENCE..SEQUENCE + 10].iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
    }
}

/// Eight digits at a time, which do not wait for those before.
#[inline]
fn put_digits(field: &mut [u8], mut value: u64) {
    for part in field.rchunks_mut(8) {
        part.copy_from_slice(&eight_digits(value % 100_000_000)[8 - part.len()..]);
        value /= 100_000_000;
    }
}

/// Into fours, these into twos, these into ones, all of a kind at once: n / 100 is n * 5243 >> 19 below 10,000, and n / 10 is
/// n * 103 >> 10 below 100.
#[inline]
fn eight_digits(value: u64) -> [u8; 8] {
    let fours = (value / 10_000) | (value % 10_000) << 32;
    let upper = ((fours * 5243) >> 19) & 0x0000_007F_0000_007F;
    let twos = upper | (fours - upper * 100) << 16;
    let upper = ((twos * 103) >> 10) & 0x000F_000F_000F_000F;
    let ones = upper | (twos - upper * 10) << 8;
    (ones | 0x3030_3030_3030_3030).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tag::{FLOWS_MAX, SEQUENCE_MAX, blank, fill};

    #[test]
    fn all_of_four_digits_are_written() {
        for value in 0..10_000 {
            assert_eq!(
                eight_digits(value * 10_000 + 9_999 - value),
                *format!("{value:04}{:04}", 9_999 - value).as_bytes()
            );
        }
    }

    #[test]
    fn the_longest_ending_and_none_have_their_checksum() {
        let tag = Tag { flow: 1, sequence: 2, send_ns: 3 };
        for bytes in [0, 65_507 - CRC_END] {
            let mut expected = [&blank(RunTag::new(1))[..CRC_END], &vec![b'x'; bytes]].concat();
            let (mut written, mut endings) = (expected.clone(), Endings::default());
            endings.push(&written);
            Writer::new(RunTag::new(1), tag).write(&mut written, &endings, 0);
            fill(&mut expected, tag);
            assert_eq!(written, expected);
        }
    }

    proptest! {
        #[test]
        fn tags_one_after_the_other_are_as_each_by_itself(
            run: u32, flow in 0..FLOWS_MAX, sequence in prop_oneof![0..SEQUENCE_MAX - 300, (0u32..10).prop_map(|nines| 10u64.pow(nines) - 1)],
            due_ns in proptest::collection::vec(prop_oneof![Just(7), any::<u64>()], 1..300),
            texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..10),
        ) {
            let (tag, mut endings) = (blank(RunTag::new(run)), Endings::default());
            let messages: Vec<_> = texts.iter().map(|text| [&tag[..CRC_END], text].concat()).collect();
            messages.iter().for_each(|message| endings.push(message));
            let mut writer = Writer::new(RunTag::new(run), Tag { flow, sequence, send_ns: due_ns[0] });
            for (number, send_ns) in due_ns.into_iter().enumerate() {
                let index = number % messages.len();
                let (mut expected, mut written) = (messages[index].clone(), messages[index].clone());
                fill(&mut expected, Tag { flow, sequence: sequence + number as u64, send_ns });
                writer.set_send_ns(send_ns);
                writer.write(&mut written, &endings, index);
                prop_assert_eq!(written, expected);
            }
        }
    }
}
