//! One run: made ready, sent on schedule by threads of its own, watched from another.

use std::io;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use logboom_syslog::Severity;

use crate::check::Check;
use crate::clocks::Clocks;
use crate::ledger::{Facts, Ledger};
use crate::message::{Load, MessageError, Messages};
use crate::monitor::{Monitor, Seen};
use crate::observe::collector::Answer;
use crate::observe::{Life, Snapshot, Watch};
use crate::order::Order;
use crate::pacer::Pacer;
use crate::process::raise_files_max;
use crate::report::{CollectorSide, Environment, Plan, Report, SCHEMA, Sending, Verdict, broken_plan, command_line};
use crate::send::Flows;
use crate::send::connection::Connection;
use crate::send::tls::{Tls, TlsError};
use crate::sender::{Live, Sender, Sent, Shared};
use crate::tag::RunTag;
use crate::target::{Target, Transport};
use crate::verify::Verification;

/// Files that a run has open beside its flows.
const OWN_FILES: u64 = 64;

/// How often it is looked whether the collector has come to rest.
pub(crate) const REST_INTERVAL: Duration = Duration::from_millis(20);

/// Time for all threads to be ready before the schedule begins.
const HEAD_START: Duration = Duration::from_millis(20);

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The messages cannot be made.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// There can be no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The target cannot be reached.
    #[error("{target}: {why}")]
    Preflight {
        /// The target.
        target: Target,
        /// Why.
        why: String,
    },
    /// The operating system refused something else.
    #[error("{what}: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The answer.
        error: io::Error,
    },
}

/// Runs `order` and reports. `stop` ends it early; the report then says so.
///
/// # Errors
/// [`RunError`] when nothing was sent.
pub fn run(order: &Order, stop: &AtomicBool) -> Result<Report, RunError> {
    let number =
        getrandom::u32().map_err(|error| RunError::System { what: "a random run tag", error: error.into() })?;
    let run = RunTag::new(number);
    let messages = match &order.load {
        Load::Made(content) => Messages::make(content, run, order.seed)?,
        Load::Recorded { recording, is_tagged } => Messages::recorded(recording, order.flows, is_tagged.then_some(run)),
    };
    let tls = Tls::load(&order.tls, &order.target)?;
    let preflight = |why| RunError::Preflight { target: order.target.clone(), why };
    let watch = order.watch().map_err(preflight)?;
    make_room(order).map_err(preflight)?;
    let (target, messages_max) = (&order.target, order.schedule.messages_max());
    let mut checking =
        order.check.begin(target, watch.address, number, order.flows, messages_max).map_err(preflight)?;
    let flows = (0..order.threads).map(|thread| open(order, watch.address, tls.as_ref(), thread));
    let flows = flows.collect::<Result<Vec<_>, _>>().map_err(preflight)?;
    let (live, broken) = (Live::default(), AtomicBool::new(false));
    // It may take seconds: the schedule begins behind it.
    let before = Snapshot::take(&watch, None);
    check_seen(&watch, &before).map_err(preflight)?;
    let clocks = Clocks::read();
    let (start, started) = (clocks.monotonic + HEAD_START, clocks.wall + HEAD_START);
    let shared = Shared {
        run,
        messages: &messages,
        start,
        start_ns: started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
        cpus: &order.cpus,
        stop,
        broken: &broken,
        live: &live,
    };
    checking.begin_at(shared.start_ns);
    let monitor = Monitor::new(order, format!("{number:08x}"), &live, &checking, &watch, before, shared.start);
    let over = AtomicBool::new(false);
    let (sent, (seen, last_frame)) = std::thread::scope(|scope| {
        let monitor = scope.spawn(|| monitor.run(&over));
        let mut sent = join(order, send(order, &shared, flows));
        let mut wait = |time| pause(time, stop);
        checking.settle(sent.messages, order.drain, &mut wait);
        await_sockets(order, &watch, &mut wait);
        await_books(order, &watch, &mut wait);
        if stop.load(Ordering::Relaxed) {
            sent.failure.get_or_insert("interrupted".into());
        }
        over.store(true, Ordering::Release);
        monitor.thread().unpark();
        (sent, joined(monitor))
    });
    let is_gone = seen.change.life() == Life::Gone;
    let checked = checking.finish(is_gone).map(|tracker| tracker.map(|tracker| tracker.finish(&sent.by_flow)));
    let clock_set_ms = Clocks::read().set_by_ms(&clocks);
    let report =
        Over { order, number, started, clock_set_ms, live: &live, sent: &sent, seen, watch: &watch, checked }.report();
    let fault = report.reason.as_deref().filter(|_| report.check_failed.is_none());
    last_frame.show(fault, report.found.as_ref());
    Ok(report)
}

/// Makes sure that what was named to be looked at is there: what was missed at the start could not be told from a run's own.
fn check_seen(watch: &Watch, before: &Snapshot) -> Result<(), String> {
    if let Answer::Silent(why) = &before.collector {
        return Err(format!("the collector's admin listener does not answer: {why}"));
    }
    match watch.pid {
        Some(pid) if before.process.is_none() => {
            Err(format!("--pid {pid}: there is no such process, or it may not be looked at"))
        }
        _ => Ok(()),
    }
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits until the collector has read what is in its sockets, where nobody looks for what arrived.
fn await_sockets(order: &Order, watch: &Watch, mut wait: impl FnMut(Duration) -> bool) {
    let since = Instant::now();
    let is_left = || order.check == Check::None && since.elapsed() < order.drain && watch.queued_bytes() > 0;
    while is_left() && wait(REST_INTERVAL) {}
}

/// Waits until the collector answers, and where its books are all that is looked at, has nothing in memory any more.
fn await_books(order: &Order, watch: &Watch, mut wait: impl FnMut(Duration) -> bool) {
    let Some(admin) = &watch.admin else { return };
    let since = Instant::now();
    let is_settled = || {
        let answer = Answer::of(admin);
        answer.told().is_some_and(|told| order.check != Check::None || told.books.in_flight == 0)
    };
    while since.elapsed() < order.drain && !is_settled() && wait(Duration::from_millis(100)) {}
}

/// Sends the plan from as many threads as there are sets of flows.
fn send(order: &Order, shared: &Shared<'_>, flows: Vec<Flows>) -> Vec<Sent> {
    let Order { schedule, threads, .. } = order;
    let full_speed_until_ns = schedule.is_full_speed().then(|| schedule.ends_ns());
    std::thread::scope(|scope| {
        let senders: Vec<_> = (flows.into_iter().enumerate())
            .map(|(thread, flows)| {
                let pacer = Pacer::new(schedule.due_times(), full_speed_until_ns, thread, *threads);
                let sender = Sender::new(shared, pacer, flows, thread, *threads);
                scope.spawn(move || sender.run())
            })
            .collect();
        senders.into_iter().map(joined).collect()
    })
}

/// What all threads together did.
fn join(order: &Order, threads: Vec<Sent>) -> Sent {
    let mut all = Sent { by_flow: vec![0; order.flows as usize], ..Sent::default() };
    for (thread, sent) in threads.into_iter().enumerate() {
        for (flow, count) in sent.by_flow.iter().enumerate() {
            all.by_flow[flow * order.threads + thread] = *count;
        }
        all.by_second.resize(all.by_second.len().max(sent.by_second.len()), 0);
        all.by_second.iter_mut().zip(&sent.by_second).for_each(|(all, count)| *all += count);
        all.severities.iter_mut().zip(sent.severities).for_each(|(all, count)| *all += count);
        all.messages += sent.messages;
        all.bytes += sent.bytes;
        all.trouble.add(&sent.trouble);
        all.last_due_ns = all.last_due_ns.max(sent.last_due_ns);
        all.elapsed = all.elapsed.max(sent.elapsed);
        all.cpu += sent.cpu;
        all.failure = all.failure.or(sent.failure);
    }
    all
}

/// Sleeps; whether to go on then.
pub(crate) fn pause(time: Duration, stop: &AtomicBool) -> bool {
    std::thread::sleep(time);
    !stop.load(Ordering::Relaxed)
}

/// Makes room for a file for each flow, another for its other end if that is here as well, and [`OWN_FILES`].
fn make_room(order: &Order) -> Result<(), String> {
    let ends = if order.check == Check::Sink && order.target.transport.is_stream() { 2 } else { 1 };
    let needed = u64::from(order.flows) * ends + OWN_FILES;
    match raise_files_max() {
        Some(files) if files < needed => Err(format!(
            "--flows {} takes {needed} open files, but the process may open {files}: raise ulimit -n",
            order.flows
        )),
        _ => Ok(()),
    }
}

/// The flows of thread `thread` to `address`, or to a local socket if there is none: every so many-th.
fn open(order: &Order, address: Option<SocketAddr>, tls: Option<&Tls>, thread: usize) -> Result<Flows, String> {
    let Order { target, framing, overflow, .. } = order;
    let address = || address.ok_or_else(|| format!("{target} has no address"));
    let numbers = (thread as u32..order.flows).step_by(order.threads);
    let opened = match (target.transport, tls) {
        (Transport::Udp, _) => {
            let to = address()?;
            let from = numbers.map(|flow| order.source.of_flow(flow, to)).collect::<Result<Vec<_>, _>>()?;
            Flows::udp(to, &from, order.gso)
        }
        (Transport::Unixgram, _) => Flows::unixgram(target.path(), numbers.len()),
        (Transport::Unix, _) => {
            let connections = numbers.map(|_| Connection::unix(target.path())).collect::<io::Result<Vec<_>>>();
            connections.and_then(|connections| Flows::streams(connections, *framing, *overflow))
        }
        (Transport::Tcp | Transport::Tls, tls) => {
            let to = address()?;
            let from = numbers.map(|flow| order.source.of_flow(flow, to)).collect::<Result<Vec<_>, _>>()?;
            let connect = |from| tls.map_or_else(|| Connection::tcp(to, from), |tls| Connection::tls(to, from, tls));
            let connections = from.into_iter().map(connect).collect::<io::Result<Vec<_>>>();
            connections.and_then(|connections| Flows::streams(connections, *framing, *overflow))
        }
    };
    opened.map_err(|error| error.to_string())
}

/// Everything that is known of a run that is over.
struct Over<'a> {
    order: &'a Order,
    number: u32,
    started: SystemTime,
    clock_set_ms: f64,
    live: &'a Live,
    sent: &'a Sent,
    seen: Seen,
    watch: &'a Watch,
    checked: Result<Option<Verification>, String>,
}

impl Over<'_> {
    fn report(self) -> Report {
        let Self { order, sent, .. } = &self;
        let plan = order.plan(sent);
        let elapsed_seconds = sent.elapsed.as_secs_f64();
        let sending = Sending::new(&sent.trouble);
        let invalid = sent.failure.clone().or_else(|| broken_plan(&plan, sent.messages, elapsed_seconds, &sending));
        let (found, check_failed) = match &self.checked {
            // Without a check the collector's books are what tells.
            Ok(None) => (None, self.seen.change.silence().map(ToOwned::to_owned)),
            Ok(found) => (found.clone(), None),
            Err(why) => (None, Some(why.clone())),
        };
        let facts = self.facts(&plan, &sending, found.as_ref(), invalid.as_deref());
        let mut ledger = Ledger::of(&facts);
        if let Some(absent) = found.as_ref().and_then(|found| found.absent.as_ref()) {
            ledger.sentence += &format!("; {absent}");
        }
        let counted_lost = facts.counted_lost(&ledger);
        let told = self.seen.change.collector.as_ref().filter(|_| self.seen.change.silence().is_none());
        let per = |value: f64, by: f64| if by > 0.0 { value / by } else { 0.0 };
        let severity = |(severity, count): (Severity, u64)| (severity.keyword().to_owned(), count);
        let mut report = Report {
            schema: SCHEMA.into(),
            run: format!("{:08x}", self.number),
            version: env!("CARGO_PKG_VERSION").into(),
            command: command_line(),
            target: order.target.to_string(),
            started: jiff::Timestamp::try_from(self.started).unwrap_or_default().to_string(),
            clock_set_ms: self.clock_set_ms,
            offered: plan.count,
            plan,
            sent: sent.messages,
            sent_bytes: sent.bytes,
            offered_by_flow: sent.by_flow.clone(),
            offered_by_second: sent.by_second.clone(),
            sent_by_severity: Severity::ALL.into_iter().zip(sent.severities).map(severity).collect(),
            sending,
            elapsed_seconds,
            achieved_rate: per(sent.messages as f64, elapsed_seconds),
            sender_cpu_ns_per_message: per(sent.cpu.as_nanos() as f64, sent.messages as f64),
            pacing: self.live.quality.lock().unwrap_or_else(PoisonError::into_inner).pacing(),
            check: order.check.to_string(),
            check_failed,
            received: told.map(|told| told.books.received),
            counted_lost,
            found,
            collector: CollectorSide::of(&self.seen.change, sent.messages),
            ledger,
            series: self.seen.series.clone(),
            change: self.seen.change.clone(),
            verdict: Verdict::Pass,
            reason: None,
            thresholds: Vec::new(),
            environment: Environment::here(),
        };
        if let Some(reason) = invalid.or_else(|| report.unknown()) {
            (report.verdict, report.reason) = (Verdict::Invalid, Some(reason));
        }
        report
    }

    fn facts<'a>(
        &'a self,
        plan: &Plan,
        sending: &'a Sending,
        found: Option<&'a Verification>,
        invalid: Option<&'a str>,
    ) -> Facts<'a> {
        let assigned: u64 = self.sent.by_flow.iter().sum();
        Facts {
            target: &self.order.target,
            is_local: self.watch.is_local(),
            offered: plan.count,
            unsent: plan.count.saturating_sub(assigned),
            sending,
            found,
            change: &self.seen.change,
            invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::tests::order;
    use crate::send::Trouble;

    #[test]
    fn sockets_are_waited_for_until_they_are_empty_but_no_longer_than_drain() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = format!("udp://{}", socket.local_addr().unwrap()).parse().unwrap();
        socket.send_to(b"1", socket.local_addr().unwrap()).unwrap();
        let order = Order { target, drain: Duration::from_secs(3600), ..order(None, Some(1)) };
        let watch = order.watch().unwrap();
        let mut waits = 0;
        await_sockets(&order, &watch, |_| {
            waits += 1;
            if waits == 3 {
                socket.recv_from(&mut [0; 10]).unwrap();
            }
            waits < 10
        });
        assert_eq!(waits, 3);
        socket.send_to(b"2", socket.local_addr().unwrap()).unwrap();
        let impatient = Order { drain: Duration::ZERO, ..order.clone() };
        await_sockets(&impatient, &watch, |_| panic!("it has no time"));
        let checked = Order { check: Check::Sink, ..order };
        await_sockets(&checked, &watch, |_| panic!("the check waits itself"));
    }

    #[test]
    fn what_threads_did_is_joined_flow_by_flow_and_the_longest_of_them_counts() {
        let thread = |by_flow: &[u64], by_second: &[u64], ms: u64, failure: Option<&str>| Sent {
            by_flow: by_flow.to_vec(),
            by_second: by_second.to_vec(),
            messages: by_flow.iter().sum::<u64>() - 1,
            bytes: 100,
            severities: [1; 8],
            trouble: Trouble { errors: [(90, 1)].into(), ..Trouble::default() },
            last_due_ns: ms * 1_000_000,
            elapsed: Duration::from_millis(ms),
            cpu: Duration::from_millis(3),
            failure: failure.map(Into::into),
        };
        // Flows 0, 2 and 4 are of the first thread, 1 and 3 of the second, which ended early.
        let threads = vec![thread(&[10, 12, 14], &[20, 16], 1_900, None), thread(&[1, 3], &[4], 200, Some("broken"))];
        let all = join(&order(Some(4.0), None), threads);
        assert_eq!((all.by_flow, all.by_second), (vec![10, 1, 12, 3, 14], vec![24, 16]));
        assert_eq!((all.messages, all.bytes, all.severities, all.trouble.unsent()), (38, 200, [2; 8], 2));
        assert_eq!((all.last_due_ns, all.elapsed), (1_900_000_000, Duration::from_millis(1_900)));
        assert_eq!((all.cpu, all.failure.as_deref()), (Duration::from_millis(6), Some("broken")));
    }
}
