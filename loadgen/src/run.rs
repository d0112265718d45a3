//! One run: made ready, sent on schedule by threads of its own, watched from another.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use logboom_syslog::Severity;

use crate::check::Check;
use crate::clocks::Clocks;
use crate::ledger::{Facts, Ledger};
use crate::message::{Load, MessageError, Messages};
use crate::monitor::{Monitor, Seen};
use crate::observe::collector::Answer;
use crate::observe::{Life, Snapshot, Watch};
use crate::pacer::Pacer;
use crate::report::{CollectorSide, Environment, Plan, Report, SCHEMA, Sending, Verdict, broken_plan, command_line};
use crate::schedule::{Profile, Schedule};
use crate::send::connection::Connection;
use crate::send::source::Source;
use crate::send::tls::{Tls, TlsError, TlsOptions};
use crate::send::{Flows, Framing, Overflow};
use crate::sender::{Live, Sender, Sent, Shared};
use crate::tag::{RunTag, SEQUENCE_MAX};
use crate::target::{Target, Transport};
use crate::verify::Verification;
use crate::view::Mode;

/// Sending threads, at most.
pub const THREADS_MAX: usize = 64;

/// Files that a run has open beside its flows.
const OWN_FILES: u64 = 64;

/// How often it is looked whether the collector has come to rest.
pub(crate) const REST_INTERVAL: Duration = Duration::from_millis(20);

/// Time for all threads to be ready before the schedule begins.
const HEAD_START: Duration = Duration::from_millis(20);

/// What to do.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where to send.
    pub target: Target,
    /// When each message is due.
    pub schedule: Schedule,
    /// Flows.
    pub flows: u32,
    /// Threads that send; each has flows of its own.
    pub threads: usize,
    /// Processors that the threads keep to, in turn; none for all.
    pub cpus: Vec<usize>,
    /// Where flows come from.
    pub source: Source,
    /// Framing on streams.
    pub framing: Framing,
    /// What happens when a stream does not take a message at once.
    pub overflow: Overflow,
    /// What TLS is made with.
    pub tls: TlsOptions,
    /// Datagrams that go to the kernel as one (UDP_SEGMENT).
    pub gso: usize,
    /// The messages. Recorded ones go to flows of their own, and so from one thread.
    pub load: Load,
    /// Seed of the texts, and of random gaps.
    pub seed: u64,
    /// How it is found out what arrived.
    pub check: Check,
    /// The collector's admin listener, for its own count.
    pub admin: Option<String>,
    /// The collector's process, if it is on this machine and cannot be found by its port.
    pub pid: Option<u32>,
    /// Nothing has come for so long: then nothing comes any more.
    pub drain: Duration,
    /// How the run is shown.
    pub ui: Mode,
}

/// What is sent, for people.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.schedule.profile(), self.schedule.rate()) {
            (Profile::Const, None) => f.write_str("max")?,
            (Profile::Const, Some(rate)) => write!(f, "{rate}/s")?,
            (profile, Some(rate)) => write!(f, "{profile} {rate}/s")?,
            (profile, None) => write!(f, "{profile}")?,
        }
        write!(f, ", {}", self.traffic())
    }
}

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
        order.await_sockets(&watch, &mut wait);
        order.await_books(&watch, &mut wait);
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

impl Order {
    /// What is sent, whenever it is due, in words.
    #[must_use]
    pub fn traffic(&self) -> String {
        let Self { load, flows, .. } = self;
        format!("{load}, {flows} flow{}", if *flows == 1 { "" } else { "s" })
    }

    /// The same traffic at a steady rate, or as fast as possible, for `duration` or `count` messages.
    ///
    /// # Errors
    /// What does not go together, in words.
    pub fn sending(&self, rate: Option<f64>, duration: Duration, count: Option<u64>) -> Result<Self, String> {
        let schedule = Schedule::new(Profile::Const, rate, duration, count, self.seed)?;
        Ok(Self { schedule, ..self.clone() })
    }

    /// What a report will say of the target and the plan, but for when the last message is due, which only sending tells.
    #[must_use]
    pub fn planned(&self) -> serde_json::Value {
        let mut plan = serde_json::json!(plan(self, &Sent::default()));
        if let Some(plan) = plan.as_object_mut() {
            plan.remove("seconds");
        }
        serde_json::json!({ "target": self.target.to_string(), "plan": plan })
    }

    /// Makes sure that somebody will tell what is lost: a check, the collector, or this machine, if the collector is on it.
    ///
    /// # Errors
    /// That nobody will, or that the target's name has no address.
    pub fn must_be_counted(&self) -> Result<(), String> {
        if self.check != Check::None || self.admin.is_some() || self.watch()?.is_local() {
            return Ok(());
        }
        Err(format!("nobody would tell what {} loses: add --check or --admin", self.target))
    }

    /// Waits until the collector has read what is in its sockets, where nobody looks for what arrived.
    fn await_sockets(&self, watch: &Watch, mut wait: impl FnMut(Duration) -> bool) {
        let since = Instant::now();
        let is_left = || self.check == Check::None && since.elapsed() < self.drain && watch.queued_bytes() > 0;
        while is_left() && wait(REST_INTERVAL) {}
    }

    /// Waits until the collector answers, and where its books are all that is looked at, has nothing in memory any more.
    fn await_books(&self, watch: &Watch, mut wait: impl FnMut(Duration) -> bool) {
        let Some(admin) = &watch.admin else { return };
        let since = Instant::now();
        let is_settled = || {
            let answer = Answer::of(admin);
            answer.told().is_some_and(|told| self.check != Check::None || told.books.in_flight == 0)
        };
        while since.elapsed() < self.drain && !is_settled() && wait(Duration::from_millis(100)) {}
    }

    /// What is looked at from outside.
    fn watch(&self) -> Result<Watch, String> {
        let is_ip = !self.target.transport.is_local();
        Ok(Watch {
            root: "/".into(),
            transport: self.target.transport,
            address: if is_ip { Some(self.target.resolve()?) } else { None },
            admin: self.admin.clone().or_else(|| self.check.admin().map(ToOwned::to_owned)),
            pid: self.pid,
        })
    }
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

/// What SIGINT and SIGTERM set; the second one ends the program at once.
///
/// # Errors
/// What sigaction(2) says.
pub(crate) fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    const ENDED_BY_SIGNAL: i32 = 130;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Before the other: it looks whether the flag was set before.
        signal_hook::flag::register_conditional_shutdown(signal, ENDED_BY_SIGNAL, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Raises the soft limit of open files to the hard one (getrlimit(2)); what it is then, `None` without one.
pub(crate) fn raise_files_max() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current
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

/// What was planned, of a run that came to send this.
fn plan(order: &Order, sent: &Sent) -> Plan {
    let is_stream = order.target.transport.is_stream();
    let assigned: u64 = sent.by_flow.iter().sum();
    let is_open = order.schedule.is_full_speed() && (sent.failure.is_none() || order.schedule.count() == SEQUENCE_MAX);
    Plan {
        rate: order.schedule.rate(),
        profile: order.schedule.profile().clone(),
        // At full speed the time is the plan.
        count: if is_open { assigned } else { order.schedule.count() },
        seconds: sent.last_due_ns as f64 / 1e9,
        duration_seconds: order.schedule.is_full_speed().then(|| order.schedule.ends_ns() as f64 / 1e9),
        flows: order.flows,
        threads: order.threads,
        source: order.source.to_string(),
        framing: is_stream.then_some(order.framing),
        overflow: is_stream.then_some(order.overflow),
        gso: order.gso,
        format: order.load.format(),
        severities: order.load.severities(),
        content: order.load.text(),
        seed: order.seed,
    }
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
        let plan = plan(order, sent);
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
    use crate::message::Content;
    use crate::send::Trouble;

    /// Five flows on two threads, for 10 s.
    fn order(rate: Option<f64>, count: Option<u64>) -> Order {
        Order {
            target: "udp://127.0.0.1:1".parse().unwrap(),
            schedule: Schedule::new(Profile::Const, rate, Duration::from_secs(10), count, 1).unwrap(),
            flows: 5,
            threads: 2,
            cpus: Vec::new(),
            source: Source::default(),
            framing: Framing::Lf,
            overflow: Overflow::Wait,
            tls: TlsOptions::default(),
            gso: 1,
            load: Load::Made(Content::default()),
            seed: 1,
            check: Check::None,
            admin: None,
            pid: None,
            drain: Duration::ZERO,
            ui: Mode::Quiet,
        }
    }

    #[test]
    fn sockets_are_waited_for_until_they_are_empty_but_no_longer_than_drain() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = format!("udp://{}", socket.local_addr().unwrap()).parse().unwrap();
        socket.send_to(b"1", socket.local_addr().unwrap()).unwrap();
        let order = Order { target, drain: Duration::from_secs(3600), ..order(None, Some(1)) };
        let watch = order.watch().unwrap();
        let mut waits = 0;
        order.await_sockets(&watch, |_| {
            waits += 1;
            if waits == 3 {
                socket.recv_from(&mut [0; 10]).unwrap();
            }
            waits < 10
        });
        assert_eq!(waits, 3);
        socket.send_to(b"2", socket.local_addr().unwrap()).unwrap();
        let impatient = Order { drain: Duration::ZERO, ..order.clone() };
        impatient.await_sockets(&watch, |_| panic!("it has no time"));
        let checked = Order { check: Check::Sink, ..order };
        checked.await_sockets(&watch, |_| panic!("the check waits itself"));
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

    #[test]
    fn an_interrupted_run_planned_all_and_at_full_speed_what_it_came_to_unless_it_was_to_send_so_many() {
        let count = |rate, count, failure: Option<&str>| {
            let sent = Sent { by_flow: vec![3, 4], failure: failure.map(Into::into), ..Sent::default() };
            let plan = plan(&order(rate, count), &sent);
            (plan.count, plan.duration_seconds)
        };
        let interrupted = Some("interrupted");
        assert_eq!(count(Some(100.0), None, interrupted), (1000, None));
        assert_eq!(count(None, None, None), (7, Some(10.0)));
        assert_eq!(count(None, None, interrupted), (7, Some(10.0)));
        assert_eq!(count(None, Some(50), None), (7, Some(10.0)), "the time was over before");
        assert_eq!(count(None, Some(50), interrupted), (50, Some(10.0)));
    }
}
