//! Which numbers of each flow were seen: a bit each, as far as the highest.

/// Numbers of flows, at most so many in all.
pub(super) struct Numbers {
    flows: Vec<Flow>,
    /// Sum of what the flows have reached.
    reached: u64,
    max: u64,
}

#[derive(Clone, Default)]
struct Flow {
    words: Vec<u64>,
    /// One more than the highest number seen.
    reached: u64,
}

impl Numbers {
    /// Of `flows` flows, which together reach no further than `max`: an eighth of a byte each, and twice that while it grows.
    pub(super) fn new(flows: u32, max: u64) -> Self {
        Self { flows: vec![Flow::default(); flows as usize], reached: 0, max }
    }

    /// Whether a number can be inserted.
    pub(super) fn has_room(&self, flow: u32, number: u64) -> bool {
        let Some(flow) = self.flows.get(flow as usize) else { return false };
        number < self.max && (number + 1).saturating_sub(flow.reached) <= self.max - self.reached
    }

    /// Inserts a number for which there is room; whether it is new.
    pub(super) fn insert(&mut self, flow: u32, number: u64) -> bool {
        let flow = &mut self.flows[flow as usize];
        let (index, bit) = ((number / 64) as usize, 1 << (number % 64));
        if number >= flow.reached {
            self.reached += number + 1 - flow.reached;
            flow.reached = number + 1;
            if index >= flow.words.len() {
                flow.words.resize(index + 1, 0);
            }
        }
        let was = flow.words[index] & bit != 0;
        flow.words[index] |= bit;
        !was
    }

    /// Whether a number was inserted.
    pub(super) fn contains(&self, flow: u32, number: u64) -> bool {
        self.word(flow as usize, number / 64) >> (number % 64) & 1 == 1
    }

    /// One more than the highest number of a flow; 0 when there is none.
    pub(super) fn reached(&self, flow: u32) -> u64 {
        self.flows.get(flow as usize).map_or(0, |flow| flow.reached)
    }

    /// The sum of [`Numbers::reached`] over the flows.
    pub(super) fn reached_in_all(&self) -> u64 {
        self.reached
    }

    /// How many flows there are.
    pub(super) fn flows(&self) -> usize {
        self.flows.len()
    }

    /// 64 numbers of a flow from `index` * 64 on, the first in the lowest bit.
    pub(super) fn word(&self, flow: usize, index: u64) -> u64 {
        self.flows.get(flow).and_then(|flow| flow.words.get(index as usize)).copied().unwrap_or(0)
    }
}

/// Calls `each` with the length of every run of numbers below `end` that are in neither of the two, and returns that of a run
/// that goes to the end. Beyond what was seen it takes no time.
pub(super) fn missing_runs(one: &Numbers, other: &Numbers, flow: u32, end: u64, mut each: impl FnMut(u64)) -> u64 {
    let seen_end = one.reached(flow).max(other.reached(flow)).min(end);
    let mut run = 0;
    for index in 0..seen_end.div_ceil(64) {
        let word = one.word(flow as usize, index) | other.word(flow as usize, index);
        let bits = (seen_end - index * 64).min(64) as u32;
        let mut at = 0;
        while at < bits {
            let missing = (word >> at).trailing_zeros().min(bits - at);
            run += u64::from(missing);
            at += missing;
            if at < bits {
                if run > 0 {
                    each(std::mem::take(&mut run));
                }
                at += (word >> at).trailing_ones();
            }
        }
    }
    run += end - seen_end;
    if run > 0 {
        each(run);
    }
    run
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_flows_together_reach_no_further_than_the_limit() {
        let mut numbers = Numbers::new(2, 100);
        assert!(numbers.has_room(0, 99) && !numbers.has_room(0, 100) && !numbers.has_room(2, 0));
        assert!(!numbers.has_room(0, u64::MAX));
        assert!(numbers.insert(0, 59));
        assert!(numbers.has_room(1, 39) && !numbers.has_room(1, 40));
        assert!(numbers.insert(1, 39) && !numbers.insert(1, 39));
        assert!(numbers.has_room(0, 0) && !numbers.has_room(0, 60));
        assert!(numbers.insert(0, 0));
        assert_eq!((numbers.reached(0), numbers.reached(1), numbers.reached_in_all()), (60, 40, 100));
    }

    #[test]
    fn an_end_far_beyond_what_was_seen_is_one_run() {
        let (mut numbers, none, mut runs) = (Numbers::new(1, 10), Numbers::new(1, 10), Vec::new());
        numbers.insert(0, 0);
        let last = missing_runs(&numbers, &none, 0, u64::MAX, |run| runs.push(run));
        assert_eq!((last, runs), (u64::MAX - 1, vec![u64::MAX - 1]));
    }

    proptest! {
        #[test]
        fn runs_are_those_that_counting_one_by_one_finds(
            one in proptest::collection::btree_set(0u64..300, 0..200),
            other in proptest::collection::btree_set(0u64..300, 0..200), end in 0u64..400,
        ) {
            let numbers = |of: &BTreeSet<u64>| {
                let mut numbers = Numbers::new(1, 300);
                of.iter().for_each(|number| assert!(numbers.insert(0, *number)));
                numbers
            };
            let (mut runs, mut run) = (Vec::new(), 0);
            for number in 0..end {
                if !one.contains(&number) && !other.contains(&number) {
                    run += 1;
                } else if run > 0 {
                    runs.push(std::mem::take(&mut run));
                }
            }
            runs.extend((run > 0).then_some(run));
            let mut found = Vec::new();
            let last = missing_runs(&numbers(&one), &numbers(&other), 0, end, |run| found.push(run));
            prop_assert_eq!((last, found), (run, runs));
        }
    }
}
