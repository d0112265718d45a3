//! One run: made ready, sent on schedule by a thread of its own, watched from another.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use logboom_syslog::Severity;

use crate::message::{Content, MessageError, Messages};
use crate::pacer::{Pacer, Step};
use crate::report::{Environment, Plan, Report, SCHEMA, Verdict, broken_plan};
use crate::send::connection::Connection;
use crate::send::tls::{Tls, TlsError, TlsOptions};
use crate::send::{Flows, Framing};
use crate::tag::{RunTag, Tag};
use crate::target::{Target, Transport};

/// Waits shorter than this are spent spinning: a sleep ends some 60 us late.
const SPIN_NS: u64 = 150_000;

/// What to do.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where to send.
    pub target: Target,
    /// Messages a second; `None` as fast as possible.
    pub rate: Option<f64>,
    /// How many.
    pub count: u64,
    /// Flows.
    pub flows: u32,
    /// Framing on streams.
    pub framing: Framing,
    /// What TLS is made with.
    pub tls: TlsOptions,
    /// Datagrams that go to the kernel as one (UDP_SEGMENT).
    pub gso: usize,
    /// The messages.
    pub content: Content,
    /// Seed of the texts.
    pub seed: u64,
    /// No progress bar.
    pub quiet: bool,
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

/// What the sending thread did.
struct Sent {
    by_flow: Vec<u64>,
    bytes: u64,
    refused: u64,
    started: SystemTime,
    elapsed: Duration,
    cpu: Duration,
    /// What ended it early.
    failure: Option<String>,
}

/// Runs `order` and reports. SIGINT and SIGTERM end it early; the report then says so.
///
/// # Errors
/// [`RunError`] when nothing was sent.
pub fn run(order: &Order) -> Result<Report, RunError> {
    let number =
        getrandom::u32().map_err(|error| RunError::System { what: "a random run tag", error: error.into() })?;
    let messages = Messages::make(&order.content, RunTag::new(number), order.seed)?;
    let tls = Tls::load(&order.tls, &order.target)?;
    let flows = open(order, tls.as_ref()).map_err(|why| RunError::Preflight { target: order.target.clone(), why })?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(&stop).map_err(|error| RunError::System { what: "a signal handler", error })?;
    let sent_so_far = AtomicU64::new(0);
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(order, &messages, flows, &stop, &sent_so_far));
        watch(order, &sent_so_far, &|| sender.is_finished());
        sender.join()
    });
    match sent {
        Ok(sent) => Ok(report(order, number, &messages, &sent)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// SIGINT and SIGTERM set `stop`.
///
/// # Errors
/// What sigaction(2) says.
pub(crate) fn stop_on_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

fn open(order: &Order, tls: Option<&Tls>) -> Result<Flows, String> {
    let Order { target, flows, framing, .. } = order;
    let opened = match (target.transport, tls) {
        (Transport::Udp, _) => Flows::udp(target.resolve()?, *flows, order.gso),
        (Transport::Unixgram, _) => Flows::unixgram(target.path(), *flows),
        (Transport::Unix, _) => Flows::streams(*flows, *framing, || Connection::unix(target.path())),
        (Transport::Tcp | Transport::Tls, tls) => {
            let to = target.resolve()?;
            let connect = || tls.map_or_else(|| Connection::tcp(to), |tls| Connection::tls(to, tls));
            Flows::streams(*flows, *framing, connect)
        }
    };
    opened.map_err(|error| error.to_string())
}

/// Sends the plan. Groups go to the flows in turn.
fn send(order: &Order, messages: &Messages, mut flows: Flows, stop: &AtomicBool, sent_so_far: &AtomicU64) -> Sent {
    // Without it the kernel may end each sleep 50 us late on purpose.
    let _ = logboom_udp::thread::set_timer_slack(1);
    let mut pacer = Pacer::new(order.rate, order.count);
    let mut next = vec![0u64; flows.len()];
    let (mut flow, mut bytes, mut refused, mut failure) = (0, 0, 0, None);
    let cpu_before = thread_cpu();
    let (started, start) = (SystemTime::now(), Instant::now());
    let start_ns = started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let mut last = start;
    while !stop.load(Ordering::Relaxed) {
        let now_ns = start.elapsed().as_nanos() as u64;
        match pacer.step(now_ns) {
            Step::Done => break,
            Step::Wait(until_ns) => wait(start, until_ns, now_ns),
            Step::Send(group) => {
                for number in pacer.sent()..pacer.sent() + group {
                    let send_ns = start_ns + pacer.due_ns(number, now_ns);
                    let tag = Tag { flow: flow as u32, sequence: next[flow], send_ns };
                    let message_bytes = messages.bytes_of(number);
                    flows.push(message_bytes, |out| messages.write(number, tag, out));
                    next[flow] += 1;
                    bytes += message_bytes as u64;
                }
                match flows.send(flow) {
                    Ok(again) => refused += again,
                    Err(error) => {
                        failure = Some(format!("sending on flow {flow}: {error}"));
                        next[flow] -= group;
                        break;
                    }
                }
                pacer.note_sent(group, now_ns);
                sent_so_far.store(pacer.sent(), Ordering::Relaxed);
                last = Instant::now();
                flow = (flow + 1) % next.len();
            }
        }
    }
    let cpu = thread_cpu().saturating_sub(cpu_before);
    if let Err(error) = flows.finish() {
        failure.get_or_insert(format!("waiting for the collector to close a connection: {error}"));
    }
    if stop.load(Ordering::Relaxed) {
        failure.get_or_insert("interrupted".into());
    }
    Sent { by_flow: next, bytes, refused, started, elapsed: last - start, cpu, failure }
}

fn wait(start: Instant, until_ns: u64, now_ns: u64) {
    let wait_ns = until_ns - now_ns;
    if wait_ns > SPIN_NS {
        std::thread::sleep(Duration::from_nanos(wait_ns - SPIN_NS / 2));
    } else {
        while (start.elapsed().as_nanos() as u64) < until_ns {
            std::hint::spin_loop();
        }
    }
}

/// Processor time of this thread: schedstat's first field (Documentation/scheduler/sched-stats.rst), ns.
pub(crate) fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
    Duration::from_nanos(ns)
}

/// Shows progress until `is_finished`, ten times a second: often enough to look alive, seldom enough to cost nothing.
fn watch(order: &Order, sent_so_far: &AtomicU64, is_finished: &dyn Fn() -> bool) {
    let visible = !order.quiet && io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
    let style = "{wide_bar} {pos}/{len} messages, {per_sec}, {eta} left";
    let bar = ProgressBar::with_draw_target(Some(order.count), target)
        .with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    while !is_finished() {
        bar.set_position(sent_so_far.load(Ordering::Relaxed));
        std::thread::sleep(Duration::from_millis(100));
    }
    bar.finish_and_clear();
}

fn report(order: &Order, run: u32, messages: &Messages, sent: &Sent) -> Report {
    let total: u64 = sent.by_flow.iter().sum();
    let elapsed_seconds = sent.elapsed.as_secs_f64();
    let plan = Plan {
        rate: order.rate,
        count: order.count,
        flows: order.flows,
        framing: order.target.transport.is_stream().then_some(order.framing),
        gso: order.gso,
        format: order.content.format,
        severities: order.content.severities.to_string(),
        content: order.content.text.to_string(),
        seed: order.seed,
    };
    let reason = sent.failure.clone().or_else(|| broken_plan(&plan, total, elapsed_seconds));
    let per = |value: f64, by: f64| if by > 0.0 { value / by } else { 0.0 };
    Report {
        schema: SCHEMA.into(),
        run: format!("{run:08x}"),
        version: env!("CARGO_PKG_VERSION").into(),
        target: order.target.to_string(),
        started: jiff::Timestamp::try_from(sent.started).unwrap_or_default().to_string(),
        offered: plan.count,
        plan,
        sent: total,
        sent_bytes: sent.bytes,
        sent_by_flow: sent.by_flow.clone(),
        sent_by_severity: Severity::ALL
            .into_iter()
            .zip(messages.count_severities(total))
            .map(|(severity, count)| (severity.keyword().to_owned(), count))
            .collect(),
        send_refused: sent.refused,
        elapsed_seconds,
        achieved_rate: per(total as f64, elapsed_seconds),
        sender_cpu_ns_per_message: per(sent.cpu.as_nanos() as f64, total as f64),
        verdict: if reason.is_some() { Verdict::Invalid } else { Verdict::Pass },
        reason,
        environment: Environment::here(),
    }
}
