//! Checksums of messages of which only the tag is new. CRCs are linear: that of two parts is that of the first, carried over as
//! many bytes as the second has, plus that of the second. So no text is gone through again each time that it is sent, however
//! long it is.

use std::collections::HashMap;

use super::CRC_END;

/// What follows the checksum in each message of a run.
#[derive(Debug, Default)]
pub struct Endings {
    /// The CRC32C of each, and which of `carries` goes over it.
    of_messages: Vec<(u32, u32)>,
    /// One for each length: 512 B for each of at most 65,449.
    carries: Vec<Carry>,
    carry_by_bytes: HashMap<usize, u32>,
}

impl Endings {
    /// Adds that of the next message, given from its tag to its end.
    pub fn push(&mut self, tagged: &[u8]) {
        let ending = &tagged[CRC_END..];
        let carry = *self.carry_by_bytes.entry(ending.len()).or_insert_with(|| {
            self.carries.push(Carry::over(ending.len()));
            self.carries.len() as u32 - 1
        });
        self.of_messages.push((crc32c::crc32c(ending), carry));
    }

    /// Keeps those of the first `count` messages.
    pub fn truncate(&mut self, count: usize) {
        self.of_messages.truncate(count);
    }

    /// The CRC32C of what has the CRC32C `before` and then the ending of message `index`.
    #[inline]
    pub(super) fn behind(&self, before: u32, index: usize) -> u32 {
        let (crc, carry) = self.of_messages[index];
        self.carries[carry as usize].of(before) ^ crc
    }
}

/// The polynomial of CRC32C (RFC 3720 section 12.1) but for x^32, as remainders are held: x^0 is the highest bit.
const POLYNOMIAL: u32 = 0x82F6_3B78;

const X_0: u32 = 1 << 31;
const X_8: u32 = X_0 >> 8;

/// The remainder of a product.
fn multiply(one: u32, mut other: u32) -> u32 {
    let mut product = 0;
    for bit in (0..u32::BITS).rev() {
        if one >> bit & 1 == 1 {
            product ^= other;
        }
        other = (other >> 1) ^ if other & 1 == 1 { POLYNOMIAL } else { 0 };
    }
    product
}

/// What a remainder becomes over so many more bytes, each of which multiplies it by x^8: the sum of what each four bits of it
/// become.
#[derive(Debug)]
struct Carry([[u32; 16]; 8]);

impl Carry {
    fn over(bytes: usize) -> Self {
        let (mut power, mut square) = (X_0, X_8);
        for bit in 0..usize::BITS - bytes.leading_zeros() {
            if bytes >> bit & 1 == 1 {
                power = multiply(power, square);
            }
            square = multiply(square, square);
        }
        let become_of = |place: usize, bits: usize| multiply((bits as u32) << (4 * place), power);
        Self(std::array::from_fn(|place| std::array::from_fn(|bits| become_of(place, bits))))
    }

    #[inline]
    fn of(&self, crc: u32) -> u32 {
        self.0.iter().enumerate().fold(0, |sum, (place, become_of)| sum ^ become_of[(crc >> (4 * place)) as usize & 15])
    }
}
