//! Mutations of blocks and segments that leave sizes and checksums right, so that what is behind them is reached.

use crate::frame::{Column, Frame};

/// libFuzzer's own mutation: of the first `size` bytes, to at most `max_size`; returns the new size.
type MutateBytes = fn(bytes: &mut [u8], size: usize, max_size: usize) -> usize;

/// Mutates one part of the blocks or the index in the first `size` of `bytes`; returns the new size.
pub fn mutate(bytes: &mut [u8], size: usize, max_size: usize, seed: u32, mutate_bytes: MutateBytes) -> usize {
    let mut choices = Choices(seed);
    let mut tail = &bytes[..size];
    let mut frames: Vec<Frame> = std::iter::from_fn(|| Frame::take(&mut tail)).collect();
    let mut tail = tail.to_vec();
    let room = max_size.saturating_sub(size);
    let mut mutate_part = |part: &mut Vec<u8>| {
        let size = part.len();
        part.resize(size + room.max(1), 0);
        let size = mutate_bytes(part, size, size + room.max(1));
        part.truncate(size);
    };
    let at = choices.below(frames.len());
    match choices.below(16) {
        // Damage, which checksums are there to find.
        0 => return mutate_bytes(bytes, size, max_size),
        1 => mutate_part(&mut tail),
        2 => change_order(&mut frames, &mut choices),
        _ if frames.is_empty() => return mutate_bytes(bytes, size, max_size),
        _ => mutate_frame(&mut frames[at], &mut choices, &mut mutate_part),
    }
    let mut out = Vec::new();
    frames.iter().for_each(|frame| frame.put(&mut out));
    out.extend_from_slice(&tail);
    match bytes.get_mut(..out.len()).filter(|_| out.len() <= max_size) {
        Some(to) => {
            to.copy_from_slice(&out);
            out.len()
        }
        None => mutate_bytes(bytes, size, max_size),
    }
}

fn mutate_frame(frame: &mut Frame, choices: &mut Choices, mutate_part: &mut impl FnMut(&mut Vec<u8>)) {
    let at = choices.below(frame.columns.len());
    match choices.below(10) {
        0 => match frame.plain_content() {
            Some(mut content) => {
                mutate_part(&mut content);
                frame.set_plain_content(&content);
            }
            None => mutate_part(&mut frame.data),
        },
        1 | 2 => {
            let bytes = frame.fields.len();
            mutate_part(&mut frame.fields);
            frame.fields.resize(bytes, 0);
        }
        3 => change_order(&mut frame.columns, choices),
        4 => mutate_part(&mut frame.rest),
        column => match frame.columns.get_mut(at) {
            Some(found) if column == 5 => {
                let mut head = found.head.to_vec();
                mutate_part(&mut head);
                head.resize(found.head.len(), 0);
                found.head.copy_from_slice(&head);
            }
            Some(found) => mutate_column(found, mutate_part),
            None => mutate_part(&mut frame.rest),
        },
    }
}

fn mutate_column(column: &mut Column, mutate_part: &mut impl FnMut(&mut Vec<u8>)) {
    let is_raw = column.is_raw();
    mutate_part(&mut column.stored);
    if is_raw {
        column.state_expanded(column.stored.len());
    }
}

/// Removes one of `parts`, doubles it, or changes its place.
fn change_order<T: Clone>(parts: &mut Vec<T>, choices: &mut Choices) {
    if parts.is_empty() {
        return;
    }
    let (from, to) = (choices.below(parts.len()), choices.below(parts.len()));
    match choices.below(3) {
        0 => drop(parts.remove(from)),
        1 => parts.insert(to, parts[from].clone()),
        _ => parts.swap(from, to),
    }
}

/// The choices that a seed stands for.
struct Choices(u32);

impl Choices {
    /// One of the numbers below `count`; 0 of none.
    fn below(&mut self, count: usize) -> usize {
        // Numerical Recipes' generator; its low bits are poor.
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % count.max(1)
    }
}
