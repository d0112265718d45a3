//! The books against a model that keeps every message.

use std::collections::BTreeSet;

use super::*;
use crate::tag::{blank, fill};
use crate::verify::{LossRuns, RunLengths};
use proptest::prelude::*;
use proptest::sample::Index;

const RUN: u32 = 7;
const START_NS: u64 = 1_000_000_000_000;

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Intact,
    Changed,
    Unreadable,
    Foreign,
}

#[derive(Clone, Copy, Debug)]
struct Copy {
    flow: u32,
    sequence: u64,
    kind: Kind,
    received_ns: Option<u64>,
}

impl Copy {
    /// 97 ms from one message of a flow to the next.
    fn send_ns(&self) -> u64 {
        START_NS + self.sequence * 97_000_000
    }

    fn bytes(&self) -> Vec<u8> {
        let run = if self.kind == Kind::Foreign { RUN + 1 } else { RUN };
        let mut message = [&blank(RunTag::new(run))[..], b"text"].concat();
        fill(&mut message, Tag { flow: self.flow, sequence: self.sequence, send_ns: self.send_ns() });
        match self.kind {
            Kind::Changed => *message.last_mut().unwrap() = b'!',
            Kind::Unreadable => message[15] = b'!',
            Kind::Intact | Kind::Foreign => {}
        }
        message
    }
}

fn tracked(copies: &[Copy], flows: u32, messages_max: u64) -> Tracker {
    let mut tracker = Tracker::new(RunTag::new(RUN), flows, messages_max);
    tracker.begin_at(START_NS);
    for copy in copies {
        tracker.examine(&copy.bytes(), copy.received_ns);
    }
    tracker
}

/// The least of `sorted` that so many of a thousand do not exceed.
fn permille(sorted: &[u64], permille: usize) -> u64 {
    let rank = (permille * sorted.len()).div_ceil(1_000);
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0)
}

/// The same figures by the plainest means, but for those of time.
fn model(copies: &[Copy], sent_by_flow: &[u64]) -> Verification {
    let was_sent = |(flow, sequence): &(u32, u64)| *sequence < sent_by_flow[*flow as usize];
    let number = |copy: &Copy| (copy.flow, copy.sequence);
    let count = |kind| copies.iter().filter(|copy| copy.kind == kind).count() as u64;
    let read: Vec<Copy> =
        copies.iter().filter(|copy| matches!(copy.kind, Kind::Intact | Kind::Changed)).copied().collect();
    let found: BTreeSet<_> = read.iter().map(number).collect();
    let intact: BTreeSet<_> = read.iter().filter(|copy| copy.kind == Kind::Intact).map(number).collect();
    let depths = depths(&read);
    let (loss_runs, lost_at_end) = loss_runs(&found, sent_by_flow);
    let lost = loss_runs.histogram.iter().map(|row| row.messages).sum();
    let sent: u64 = sent_by_flow.iter().sum();
    let mut stored_by_second = Vec::new();
    for (_, sequence) in &intact {
        let second = (sequence * 97 / 1_000) as usize;
        stored_by_second.resize(stored_by_second.len().max(second + 1), 0);
        stored_by_second[second] += 1;
    }
    Verification {
        stored: intact.iter().filter(|number| was_sent(number)).count() as u64,
        wrapped: 0,
        lost,
        loss_ratio: lost as f64 / sent.max(1) as f64,
        lost_at_end,
        loss_runs,
        duplicates: (read.len() - found.len()) as u64,
        reordered: depths.len() as u64,
        reorder_depth: ReorderDepth {
            p50: permille(&depths, 500),
            p99: permille(&depths, 990),
            max: depths.last().copied().unwrap_or(0),
        },
        corrupted: found.difference(&intact).filter(|number| was_sent(number)).count() as u64 + count(Kind::Unreadable),
        unexpected: found.iter().filter(|number| !was_sent(number)).count() as u64,
        examined: copies.len() as u64,
        damaged_blocks: 0,
        absent: None,
        stored_by_second,
        latency: None,
        latency_synced: None,
    }
}

/// Of each message that came behind a later one of its flow, how far.
fn depths(copies: &[Copy]) -> Vec<u64> {
    let mut depths = Vec::new();
    for (at, copy) in copies.iter().enumerate() {
        let before = copies[..at].iter().filter(|earlier| earlier.flow == copy.flow);
        let is_first = before.clone().all(|earlier| earlier.sequence != copy.sequence);
        let highest = before.filter(|earlier| earlier.kind == Kind::Intact).map(|earlier| earlier.sequence).max();
        if is_first && copy.kind == Kind::Intact {
            depths.extend(highest.filter(|highest| copy.sequence < *highest).map(|highest| highest - copy.sequence));
        }
    }
    depths.sort_unstable();
    depths
}

/// The runs of numbers that were not found, and how many of these at the ends of flows.
fn loss_runs(found: &BTreeSet<(u32, u64)>, sent_by_flow: &[u64]) -> (LossRuns, u64) {
    let (mut runs, mut lost_at_end) = (Vec::<u64>::new(), 0);
    for (flow, sent) in sent_by_flow.iter().enumerate() {
        let mut run = 0;
        for sequence in 0..*sent {
            if !found.contains(&(flow as u32, sequence)) {
                run += 1;
            } else if run > 0 {
                runs.push(std::mem::take(&mut run));
            }
        }
        runs.extend((run > 0).then_some(run));
        lost_at_end += run;
    }
    runs.sort_unstable();
    let max = runs.last().copied().unwrap_or(0);
    let rows = (0..64).map(|power| 1u64 << power).take_while(|from| *from <= max).map(|from| {
        let of_row: Vec<u64> = runs.iter().filter(|run| (from..2 * from).contains(run)).copied().collect();
        RunLengths { from, to: 2 * from - 1, runs: of_row.len() as u64, messages: of_row.iter().sum() }
    });
    let (count, p50, p99) = (runs.len() as u64, permille(&runs, 500), permille(&runs, 990));
    (LossRuns { count, p50, p99, max, histogram: rows.collect() }, lost_at_end)
}

/// Every message of up to three flows once and in order, and what then happens to some of them.
fn deliveries() -> impl Strategy<Value = (Vec<u64>, Vec<Copy>)> {
    let sent = proptest::collection::vec(0u64..150, 1..=3);
    let kind = prop_oneof![
        6 => Just(Kind::Intact), 2 => Just(Kind::Changed), 1 => Just(Kind::Unreadable), 1 => Just(Kind::Foreign)
    ];
    let events = proptest::collection::vec((0u8..4, any::<Index>(), any::<Index>(), kind, 0u64..30), 0..60);
    (sent, events).prop_map(|(sent, events)| {
        let all = (0..150).flat_map(|sequence| (0..sent.len() as u32).map(move |flow| (flow, sequence)));
        let kept = all.filter(|(flow, sequence)| *sequence < sent[*flow as usize]);
        let mut copies: Vec<_> =
            kept.map(|(flow, sequence)| Copy { flow, sequence, kind: Kind::Intact, received_ns: None }).collect();
        for (event, one, other, kind, count) in events {
            if copies.is_empty() {
                break;
            }
            let (one, other) = (one.index(copies.len()), other.index(copies.len()));
            match event {
                // A run of messages is lost, at the end or the beginning as well.
                0 => drop(copies.drain(one..(one + count as usize).min(copies.len()))),
                1 => copies.insert(other, Copy { kind, ..copies[one] }),
                2 => copies.swap(one, other),
                // Changed, or a number that was never sent.
                _ if count < 25 => copies[one].kind = kind,
                _ => copies[one].sequence = sent[copies[one].flow as usize] + count,
            }
        }
        (sent, copies)
    })
}

proptest! {
    #[test]
    fn every_figure_is_what_the_plainest_count_gives((sent, copies) in deliveries()) {
        let tracker = tracked(&copies, sent.len() as u32, 10_000);
        let found = tracker.finish(&sent);
        prop_assert_eq!(&found, &model(&copies, &sent));
        let ours = copies.iter().filter(|copy| copy.kind != Kind::Foreign).count() as u64;
        prop_assert_eq!(ours, found.stored + found.corrupted + found.duplicates + found.unexpected);
        // While messages come, what is missing is what is not there below the highest of each flow.
        let reached = tracker.reached_by_flow();
        let so_far = tracker.finish(&reached);
        let not_intact = reached.iter().sum::<u64>() - so_far.stored;
        prop_assert_eq!(tracker.progress().missing, not_intact.saturating_sub(tracker.progress().corrupted));
        prop_assert_eq!(so_far.lost_at_end, 0);
    }

    #[test]
    fn times_are_those_of_first_copies(
        (sent, mut copies) in deliveries(), delays_ms in proptest::collection::vec(-5i64..2_000, 1..20),
    ) {
        for (copy, delay_ms) in copies.iter_mut().zip(delays_ms.iter().cycle()) {
            // Of every third the time is not known.
            let received_ns = copy.send_ns().checked_add_signed(delay_ms * 1_000_000);
            copy.received_ns = received_ns.filter(|_| delay_ms % 3 != 0);
        }
        let (mut seen, mut delays) = (BTreeSet::new(), Vec::new());
        for copy in copies.iter().filter(|copy| copy.kind == Kind::Intact) {
            if seen.insert((copy.flow, copy.sequence)) {
                delays.extend(copy.received_ns.map(|received_ns| received_ns as i64 - copy.send_ns() as i64));
            }
        }
        let found = tracked(&copies, sent.len() as u32, 10_000).finish(&sent);
        let Some(latency) = found.latency else {
            prop_assert!(delays.is_empty());
            return Ok(());
        };
        let negative = delays.iter().filter(|delay| **delay < 0).count() as u64;
        let mut ns: Vec<u64> = delays.into_iter().map(|delay| delay.max(0) as u64).collect();
        ns.sort_unstable();
        prop_assert_eq!((latency.samples, latency.negative), (ns.len() as u64, negative));
        prop_assert_eq!(latency.max, *ns.last().unwrap() as f64 / 1e6);
        prop_assert!((latency.mean - ns.iter().sum::<u64>() as f64 / 1e6 / ns.len() as f64).abs() < 1e-6);
        let is_near = |ms: f64, ns: u64| (ms - ns as f64 / 1e6).abs() <= ns as f64 / 1e9 + 1e-3;
        for (ms, of_1000) in [(latency.p50, 500), (latency.p90, 900), (latency.p99, 990), (latency.p999, 999)] {
            prop_assert!(is_near(ms, permille(&ns, of_1000)), "{of_1000}: {ms}, but {}", permille(&ns, of_1000));
        }
        for (percent, ms) in latency.curve {
            let rank = (percent / 100.0 * ns.len() as f64).ceil() as usize;
            prop_assert!(is_near(ms, ns[rank.max(1) - 1]), "{percent}: {ms}, but {}", ns[rank.max(1) - 1]);
        }
    }
}

fn intact(flow: u32, sequence: u64) -> Copy {
    Copy { flow, sequence, kind: Kind::Intact, received_ns: None }
}

#[test]
fn numbers_beyond_the_plan_are_unexpected_and_reach_no_further() {
    let far = Copy { kind: Kind::Changed, ..intact(1, SEQUENCE_MAX - 1) };
    let tracker = tracked(&[intact(0, 0), intact(0, SEQUENCE_MAX - 1), far, intact(2, 0), intact(1, 98)], 2, 100);
    assert_eq!((tracker.progress().unexpected, tracker.progress().stored), (3, 2));
    assert_eq!(tracker.reached_by_flow(), [1, 99]);
}

#[test]
fn a_changed_number_takes_no_room_of_those_that_are_right() {
    let wrong = Copy { kind: Kind::Changed, ..intact(0, 99) };
    let copies = [wrong].into_iter().chain((0..50).map(|n| intact(0, n))).chain((0..50).map(|n| intact(1, n)));
    let found = tracked(&copies.collect::<Vec<_>>(), 2, 100).finish(&[50, 50]);
    assert_eq!((found.stored, found.lost, found.unexpected, found.reordered), (100, 0, 1, 0));
}

#[test]
fn seconds_beyond_a_day_count_with_the_last_and_those_before_the_start_with_the_first() {
    let mut tracker = Tracker::new(RunTag::new(RUN), 1, 2_000_000);
    tracker.begin_at(START_NS + 97_000_000);
    for sequence in [0, 1, 1_000_000, 1_999_999] {
        tracker.examine(&intact(0, sequence).bytes(), None);
    }
    let seconds = tracker.finish(&[2_000_000]).stored_by_second;
    assert_eq!((seconds.len(), seconds[0], seconds[SECONDS_MAX - 1]), (SECONDS_MAX, 2, 2));
}
