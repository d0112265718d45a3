//! What is seen of a run while it goes on: counters at both ends each second, and a view of them.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::check::Checking;
use crate::ledger::{Facts, Ledger, Place};
use crate::observe::{Change, Changes, Snapshot, Watch};
use crate::order::Order;
use crate::report::{CollectorSide, SHORTFALL, Sending};
use crate::schedule::{Profile, Schedule};
use crate::send::Overflow;
use crate::sender::Live;
use crate::verify::{Latency, Progress, SECONDS_MAX, Verification};
use crate::view::{self, Frame, View};

/// Of the monitor (sched(7)).
const NICE: i32 = 19;

/// How often the view is offered a frame.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// Time between two snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);

/// A sender this far behind its schedule does not keep it, beside [`SHORTFALL`]: counters are of a moment ago, and what fell behind
/// for less is soon caught up.
const BEHIND_SECONDS: f64 = 0.3;

/// Rates are of so much time.
const RATE_TIME: Duration = Duration::from_secs(1);

/// A run at one moment, for its time series. Counts are since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Seconds after the start.
    pub at: f64,
    /// Messages that the kernel took.
    pub sent: u64,
    /// Messages found, where they are looked for during the run.
    pub received: Option<u64>,
    /// Messages missing behind the last found of their flow.
    pub missing: Option<u64>,
    /// Datagrams dropped at the collector's sockets, where that is known.
    pub socket_dropped: Option<u64>,
    /// Errors that came back.
    pub icmp: u64,
    /// Bytes that wait in the collector's sockets.
    pub socket_queued_bytes: Option<u64>,
}

/// Watches one run.
pub struct Monitor<'a> {
    order: &'a Order,
    run: String,
    live: &'a Live,
    checking: &'a Checking,
    watch: &'a Watch,
    is_local: bool,
    start: Instant,
    planned_seconds: Option<f64>,
    view: View<Box<dyn Write + Send>>,
    changes: Changes,
    series: Vec<Second>,
    next_snapshot: Instant,
    /// Of the last second: when, sent, received.
    moments: VecDeque<(Instant, u64, u64)>,
    change: Change,
}

impl<'a> Monitor<'a> {
    /// A monitor of the run tagged `run` that begins at `start`, given what was seen before it.
    #[must_use]
    pub fn new(
        order: &'a Order,
        run: String,
        live: &'a Live,
        checking: &'a Checking,
        watch: &'a Watch,
        before: Snapshot,
        start: Instant,
    ) -> Self {
        let ui = order.ui;
        Self {
            order,
            run,
            live,
            checking,
            watch,
            is_local: watch.is_local(),
            start,
            planned_seconds: order.schedule.planned_seconds(),
            view: View::new(ui, ui.output()),
            changes: Changes::since(before),
            series: Vec::new(),
            next_snapshot: start + SNAPSHOT_INTERVAL,
            moments: VecDeque::from([(start, 0, 0)]),
            change: Change::default(),
        }
    }

    /// Shows and notes what is to be shown and noted, until `over`. It stands behind the senders.
    #[must_use]
    pub fn run(mut self, over: &AtomicBool) -> (Seen, LastFrame) {
        let _ = logboom_udp::thread::set_nice(NICE);
        let elsewhere = logboom_udp::thread::allowed_cpus().unwrap_or_default();
        if let Some(cpu) = elsewhere.into_iter().find(|cpu| !self.order.cpus.contains(cpu))
            && !self.order.cpus.is_empty()
        {
            let _ = logboom_udp::thread::pin_to_cpu(cpu);
        }
        while !over.load(Ordering::Acquire) {
            let now = Instant::now();
            if now >= self.next_snapshot {
                self.next_snapshot = now + SNAPSHOT_INTERVAL;
                self.look();
            }
            if self.view.is_due(self.elapsed_seconds(now)) {
                let frame = self.frame(now);
                self.view.show(&frame);
            }
            std::thread::park_timeout(FRAME_INTERVAL);
        }
        self.finish()
    }

    fn look(&mut self) {
        self.changes.add(Snapshot::take(self.watch, Some(self.changes.last())));
        self.change = self.changes.so_far();
        let progress = self.checking.progress();
        let sockets = self.change.sockets.as_ref();
        if self.series.len() < SECONDS_MAX {
            self.series.push(Second {
                at: self.start.elapsed().as_secs_f64(),
                sent: self.live.sent.load(Ordering::Relaxed),
                received: progress.map(|progress| progress.stored + progress.corrupted),
                missing: progress.map(|progress| progress.missing),
                socket_dropped: sockets.map(|sockets| sockets.dropped),
                icmp: self.live.icmp.load(Ordering::Relaxed),
                socket_queued_bytes: sockets.map(|sockets| sockets.queued_bytes),
            });
        }
    }

    fn elapsed_seconds(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.start).as_secs_f64()
    }

    fn frame(&mut self, now: Instant) -> Frame {
        let elapsed_seconds = self.elapsed_seconds(now);
        let (sent, icmp) = (self.live.sent.load(Ordering::Relaxed), self.live.icmp.load(Ordering::Relaxed));
        let pacing = self.live.quality.lock().unwrap_or_else(PoisonError::into_inner).clone().pacing();
        let assigned = sent + self.live.unsent.load(Ordering::Relaxed);
        let is_behind = is_behind(&self.order.schedule, elapsed_seconds, assigned);
        let progress = self.checking.progress();
        let received = progress.map(|progress| progress.stored + progress.corrupted);
        self.moments.push_back((now, sent, received.unwrap_or(0)));
        while self.moments.len() > 2
            && now.saturating_duration_since(self.moments[1].0) > RATE_TIME - FRAME_INTERVAL / 2
        {
            self.moments.pop_front();
        }
        let (since, sent_before, received_before) = self.moments[0];
        let seconds = now.saturating_duration_since(since).as_secs_f64().max(1e-3);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let (sent_rate, received_rate) = (rate(sent, sent_before), received.map(|now| rate(now, received_before)));
        let latency = self.checking.latency();
        let lost = progress.map(|Progress { missing, .. }| missing);
        let (places, hint) = self.places(sent);
        Frame {
            run: self.run.clone(),
            target: self.order.target.to_string(),
            plan: self.order.to_string(),
            elapsed_seconds,
            planned_seconds: self.planned_seconds,
            offered: if self.planned_seconds.is_none() { sent } else { self.order.schedule.count() },
            offered_rate: offered_rate(&self.order.schedule, self.planned_seconds, elapsed_seconds),
            sent,
            sent_rate,
            pacing,
            generator_fault: is_behind.then(|| "behind its schedule".to_owned()),
            received,
            received_rate,
            lost,
            loss_ratio: lost.map(|lost| lost as f64 / sent.max(1) as f64),
            duplicates: progress.map(|progress| progress.duplicates),
            reordered: progress.map(|progress| progress.reordered),
            corrupted: progress.map(|progress| progress.corrupted),
            latency_ms: latency.as_ref().map(shown),
            sender_cpu_ns_per_message: self.live.cpu_ns.load(Ordering::Relaxed) as f64 / sent.max(1) as f64,
            receiver_cpu_ns_per_message: self.receiver_cpu(sent),
            places,
            icmp,
            hint,
        }
    }

    fn receiver_cpu(&self, sent: u64) -> Option<f64> {
        CollectorSide::of(&self.change, sent).map(|collector| collector.cpu_ns_per_message)
    }

    /// Where messages that did not come are, as far as counters tell it.
    fn places(&self, sent: u64) -> (Vec<(String, u64)>, Option<String>) {
        let unsent = self.live.unsent.load(Ordering::Relaxed);
        // Of what the kernel refused no more is known yet than its number.
        let sending = match self.order.overflow {
            Overflow::Drop => Sending { overflow: unsent, ..Sending::default() },
            Overflow::Wait => Sending { errors: [("refused".into(), unsent)].into(), ..Sending::default() },
        };
        let facts = Facts {
            target: &self.order.target,
            is_local: self.is_local,
            offered: sent + unsent,
            unsent: 0,
            sending: &sending,
            found: None,
            change: &self.change,
            invalid: None,
        };
        let is_counted = |place| {
            use Place::{Host, Malformed, Refused, SenderErrors, SenderOverflow, Shed, SocketBuffer, WriteFailed};
            matches!(
                place,
                SenderErrors | SenderOverflow | Host | SocketBuffer | Refused | Shed | Malformed | WriteFailed
            )
        };
        let Ledger { places, fix, .. } = Ledger::of(&facts);
        let lost = places.into_iter().filter(|entry| entry.messages > 0 && is_counted(entry.place));
        let lost: Vec<_> = lost.map(|entry| (entry.place.name().to_owned(), entry.messages)).collect();
        let hint = fix.filter(|_| !lost.is_empty());
        (lost, hint)
    }

    /// The last look, when all is still.
    fn finish(mut self) -> (Seen, LastFrame) {
        self.look();
        let frame = self.frame(Instant::now());
        (Seen { series: self.series, change: self.change }, LastFrame { view: self.view, frame })
    }
}

/// Messages a second that are due now: none when the plan is over, `None` at full speed.
fn offered_rate(schedule: &Schedule, planned_seconds: Option<f64>, elapsed_seconds: f64) -> Option<f64> {
    let is_over = planned_seconds.is_some_and(|planned| elapsed_seconds > planned);
    schedule.rate_at(elapsed_seconds).map(|rate| if is_over { 0.0 } else { rate })
}

/// Whether a message that is not sent yet, behind `assigned` others, was due more than a moment ago.
fn is_behind(schedule: &Schedule, elapsed_seconds: f64, assigned: u64) -> bool {
    let slack_seconds = match (schedule.profile(), schedule.rate()) {
        // A burst has until the next one.
        (Profile::Burst { every, .. }, _) => every.as_secs_f64().max(BEHIND_SECONDS),
        // Random gaps add up to so much more or less than on average, but for once in 30,000: four standard deviations.
        (Profile::Poisson, Some(rate)) => BEHIND_SECONDS + 4.0 * (elapsed_seconds / rate).sqrt(),
        _ => BEHIND_SECONDS,
    };
    let behind = |due: f64| due < elapsed_seconds * (1.0 - SHORTFALL) - slack_seconds;
    assigned < schedule.count() && schedule.due_seconds(assigned).is_some_and(behind)
}

fn shown(latency: &Latency) -> view::Latency {
    let Latency { p50, p90, p99, p999, max, .. } = *latency;
    view::Latency { p50, p90, p99, p999, max }
}

/// What stays of the view when the run is over.
pub struct LastFrame {
    view: View<Box<dyn Write + Send>>,
    frame: Frame,
}

impl LastFrame {
    /// Shows it, with why the run is invalid and what was found in the end: both say more than could be seen meanwhile.
    pub fn show(self, invalid: Option<&str>, found: Option<&Verification>) {
        // A terminal that is gone does not end a run.
        let _ = self.view.finish(&closed(self.frame, invalid, found));
    }
}

fn closed(frame: Frame, invalid: Option<&str>, found: Option<&Verification>) -> Frame {
    let frame = Frame { generator_fault: invalid.map(ToOwned::to_owned), ..frame };
    let Some(found) = found else { return frame };
    Frame {
        received: Some(found.stored + found.corrupted),
        lost: Some(found.lost),
        loss_ratio: Some(found.loss_ratio),
        duplicates: Some(found.duplicates),
        reordered: Some(found.reordered),
        corrupted: Some(found.corrupted),
        latency_ms: found.latency.as_ref().map(shown),
        ..frame
    }
}

/// What a monitor saw.
pub struct Seen {
    /// A moment each second.
    pub series: Vec<Second>,
    /// From before the first message to the end.
    pub change: Change,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(profile: &str, rate: Option<f64>) -> Schedule {
        Schedule::new(profile.parse().unwrap(), rate, Duration::from_secs(10), None, 7).unwrap()
    }

    #[test]
    fn nothing_is_offered_when_the_plan_is_over_and_at_full_speed_no_rate() {
        let even = schedule("const", Some(1000.0));
        let planned = even.planned_seconds();
        assert_eq!([5.0, 10.5].map(|now| offered_rate(&even, planned, now)), [Some(1000.0), Some(0.0)]);
        let full_speed = schedule("const", None);
        assert_eq!(offered_rate(&full_speed, full_speed.planned_seconds(), 10.5), None);
    }

    #[test]
    fn a_sender_that_falls_behind_is_noticed_whatever_the_profile() {
        for (profile, rate) in
            [("const", Some(1000.0)), ("poisson", Some(1000.0)), ("ramp:500-1500", None), ("step:500,1500", None)]
        {
            let schedule = schedule(profile, rate);
            let due = schedule.due_times().take_while(|due_ns| *due_ns < 8_000_000_000).count() as u64;
            assert!(!is_behind(&schedule, 8.0, due), "{profile}");
            assert!(!is_behind(&schedule, 8.0, due - 100), "{profile}: a moment is no fault");
            assert!(is_behind(&schedule, 8.0, due - 1_000), "{profile}");
            assert!(!is_behind(&schedule, 60.0, schedule.count()), "{profile}: all is sent");
        }
        let burst = schedule("burst:100/2s", None);
        assert!(!is_behind(&burst, 5.9, 201), "a burst has until the next one");
        assert!(is_behind(&burst, 6.1, 201));
        assert!(!is_behind(&schedule("const", None), 8.0, 0), "nothing is due at full speed");
    }

    #[test]
    fn the_last_frame_has_the_verdict_s_reason_and_what_was_found() {
        let seen = Frame { sent: 100, received: Some(60), lost: Some(0), corrupted: Some(0), ..Frame::default() };
        let found = Verification { stored: 55, corrupted: 5, lost: 40, loss_ratio: 0.4, ..Verification::default() };
        let frame = closed(seen.clone(), Some("interrupted"), Some(&found));
        assert_eq!((frame.received, frame.lost, frame.loss_ratio), (Some(60), Some(40), Some(0.4)));
        assert_eq!((frame.corrupted, frame.generator_fault.as_deref()), (Some(5), Some("interrupted")));
        let behind = Frame { generator_fault: Some("behind its schedule".into()), ..seen.clone() };
        assert_eq!(closed(behind, None, None), seen, "caught up, and nobody looked");
    }
}
