//! What is seen of a run while it goes on: counters at both ends each second, and a view of them.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::check::Checking;
use crate::ledger::{Facts, Ledger, Place};
use crate::observe::{Change, Snapshot, Watch};
use crate::report::Sending;
use crate::run::Order;
use crate::sender::{Live, SECONDS_MAX};
use crate::verify::Progress;
use crate::view::{Frame, View};

/// Of the monitor (sched(7)).
const NICE: i32 = 19;

/// How often the view is offered a frame.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// Time between two snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);

/// Rates are of so much time.
const RATE_TIME: Duration = Duration::from_secs(1);

/// Snapshots kept, an odd number: of more, every second goes, but never the first and the last.
const SNAPSHOTS_MAX: usize = 601;

/// A generator whose 99th percentile is later than this is not well, us.
const LAG_P99_MAX_US: f64 = 1000.0;

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
    start: Instant,
    planned_seconds: Option<f64>,
    view: View<Box<dyn Write + Send>>,
    snapshots: Vec<Snapshot>,
    series: Vec<Second>,
    next_snapshot: Instant,
    /// Of the last second: when, sent, received.
    moments: VecDeque<(Instant, u64, u64)>,
    change: Change,
}

impl<'a> Monitor<'a> {
    /// A monitor of the run tagged `run` that begins at `start`. The first snapshot is taken now.
    #[must_use]
    pub fn new(
        order: &'a Order,
        run: String,
        live: &'a Live,
        checking: &'a Checking,
        watch: &'a Watch,
        start: Instant,
    ) -> Self {
        let ui = order.ui;
        Self {
            order,
            run,
            live,
            checking,
            watch,
            start,
            planned_seconds: order.schedule.planned_seconds(),
            view: View::new(ui, ui.output()),
            snapshots: vec![Snapshot::take(watch, None)],
            series: Vec::new(),
            next_snapshot: start + SNAPSHOT_INTERVAL,
            moments: VecDeque::from([(start, 0, 0)]),
            change: Change::default(),
        }
    }

    /// Shows and notes what is to be shown and noted, until `over`. It stands behind the senders.
    #[must_use]
    pub fn run(mut self, over: &AtomicBool) -> Seen {
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
                self.next_snapshot += SNAPSHOT_INTERVAL;
                self.look();
            }
            let frame = self.frame(now);
            self.view.show(&frame);
            std::thread::park_timeout(FRAME_INTERVAL);
        }
        self.finish()
    }

    fn look(&mut self) {
        self.snapshots.push(Snapshot::take(self.watch, self.snapshots.last()));
        if self.snapshots.len() >= SNAPSHOTS_MAX {
            let mut number = 0;
            self.snapshots.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
        self.change = Change::over(&self.snapshots);
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

    fn frame(&mut self, now: Instant) -> Frame {
        let elapsed_seconds = now.saturating_duration_since(self.start).as_secs_f64();
        let (sent, icmp) = (self.live.sent.load(Ordering::Relaxed), self.live.icmp.load(Ordering::Relaxed));
        let pacing = self.live.quality.lock().unwrap_or_else(PoisonError::into_inner).clone().pacing();
        let is_late = pacing.lag_us.is_some_and(|lag| lag.p99 > LAG_P99_MAX_US);
        let progress = self.checking.progress();
        let received = progress.map(|progress| progress.stored + progress.corrupted);
        self.moments.push_back((now, sent, received.unwrap_or(0)));
        while self.moments.len() > 2 && now.saturating_duration_since(self.moments[1].0) > RATE_TIME {
            self.moments.pop_front();
        }
        let (since, sent_before, received_before) = self.moments[0];
        let seconds = now.saturating_duration_since(since).as_secs_f64().max(1e-3);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let (sent_rate, received_rate) = (rate(sent, sent_before), received.map(|now| rate(now, received_before)));
        let lost = progress.map(|Progress { missing, .. }| missing);
        Frame {
            run: self.run.clone(),
            target: self.order.target.to_string(),
            plan: self.order.to_string(),
            elapsed_seconds,
            planned_seconds: self.planned_seconds,
            offered: self.order.schedule.count(),
            offered_rate: self.order.schedule.rate_at(elapsed_seconds),
            sent,
            sent_rate,
            pacing,
            generator_fault: is_late.then(|| "late".to_owned()),
            received,
            received_rate,
            lost,
            loss_ratio: lost.map(|lost| lost as f64 / sent.max(1) as f64),
            duplicates: progress.map(|progress| progress.duplicates),
            reordered: progress.map(|progress| progress.reordered),
            corrupted: progress.map(|progress| progress.corrupted),
            latency_ms: None,
            sender_cpu_ns_per_message: self.live.cpu_ns.load(Ordering::Relaxed) as f64 / sent.max(1) as f64,
            receiver_cpu_ns_per_message: self.receiver_cpu(sent),
            places: self.places(sent),
            icmp,
            hint: None,
        }
    }

    fn receiver_cpu(&self, sent: u64) -> Option<f64> {
        self.change.process.as_ref().map(|process| process.cpu_seconds * 1e9 / sent.max(1) as f64)
    }

    /// Where messages that did not come are, as far as counters tell it.
    fn places(&self, sent: u64) -> Vec<(String, u64)> {
        let unsent = self.live.unsent.load(Ordering::Relaxed);
        // Of what was not sent no more is known yet than its number.
        let sending = Sending { overflow: unsent, ..Sending::default() };
        let facts = Facts {
            target: &self.order.target,
            is_local: self.watch.is_local(),
            offered: sent + unsent,
            unsent: 0,
            sending: &sending,
            found: None,
            longest_loss_run: None,
            change: &self.change,
            invalid: None,
        };
        let is_counted = |place| {
            use Place::{Host, Malformed, Refused, SenderOverflow, Shed, SocketBuffer, WriteFailed};
            matches!(place, SenderOverflow | Host | SocketBuffer | Refused | Shed | Malformed | WriteFailed)
        };
        let entries = Ledger::of(&facts).places.into_iter();
        let lost = entries.filter(|entry| entry.messages > 0 && is_counted(entry.place));
        lost.map(|entry| (entry.place.name().to_owned(), entry.messages)).collect()
    }

    /// The last look, when all is still; then the last frame.
    fn finish(mut self) -> Seen {
        self.look();
        let frame = self.frame(Instant::now());
        // A terminal that is gone does not end a run.
        let _ = self.view.finish(&frame);
        Seen { series: self.series, change: self.change }
    }
}

/// What a monitor saw.
pub struct Seen {
    /// A moment each second.
    pub series: Vec<Second>,
    /// From before the first message to the end.
    pub change: Change,
}
