//! One sending thread: its share of the messages, each when it is due, onto its flows.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use logboom_udp::clock::thread_cpu;

use crate::message::Messages;
use crate::pacer::{Pacer, Step};
use crate::quality::Quality;
use crate::send::{Flows, Trouble};
use crate::tag::{self, RunTag, Tag};
use crate::verify::SECONDS_MAX;

/// Waits shorter than this are spent spinning: a sleep ends some 60 us late.
const SPIN_NS: u64 = 150_000;

/// The same on a processor of the sender's own: a virtual one that sleeps is given to others, and comes back late.
const SPIN_PINNED_NS: u64 = 1_000_000;

/// How often what others look at is brought up to date, ns: often enough for ten looks a second, seldom enough to cost
/// nothing.
const PUBLISH_NS: u64 = 50_000_000;

/// What all sending threads of a run share.
pub struct Shared<'a> {
    /// Which run it is.
    pub run: RunTag,
    /// The messages.
    pub messages: &'a Messages,
    /// When the schedule begins.
    pub start: Instant,
    /// The same, ns since the Unix epoch.
    pub start_ns: u64,
    /// Processors that the threads keep to, in turn; none for all.
    pub cpus: &'a [usize],
    /// Says that it is over.
    pub stop: &'a AtomicBool,
    /// One of them cannot go on: then the others need not.
    pub broken: &'a AtomicBool,
    /// How far they are.
    pub live: &'a Live,
}

/// How far a run is, for others to look at.
#[derive(Debug, Default)]
pub struct Live {
    /// Messages that the kernel or a queue took.
    pub sent: AtomicU64,
    /// Messages that it did not.
    pub unsent: AtomicU64,
    /// Answers of the network.
    pub icmp: AtomicU64,
    /// Processor time of the senders, ns.
    pub cpu_ns: AtomicU64,
    /// How good they are.
    pub quality: Mutex<Quality>,
}

/// What a sending thread did.
#[derive(Debug, Default)]
pub struct Sent {
    /// Messages of each of its flows, sent or not: sequence numbers are 0 to this.
    pub by_flow: Vec<u64>,
    /// Messages due in each second after the start.
    pub by_second: Vec<u64>,
    /// Messages that the kernel or a queue took.
    pub messages: u64,
    /// Their bytes, without framing.
    pub bytes: u64,
    /// Messages that it took, by the severity that they say.
    pub severities: [u64; 8],
    /// What was not simply sent.
    pub trouble: Trouble,
    /// When the last message was due, ns after the start; 0 at full speed.
    pub last_due_ns: u64,
    /// From the start to the last message.
    pub elapsed: Duration,
    /// Processor time.
    pub cpu: Duration,
    /// What ended it early.
    pub failure: Option<String>,
}

/// A sending thread.
pub struct Sender<'a> {
    shared: &'a Shared<'a>,
    pacer: Pacer,
    flows: Flows,
    /// Which thread of how many: flow n of this one is n * threads + thread of all, and so its messages.
    thread: usize,
    threads: usize,
    /// Of the rotation of messages, the next of ours.
    next: u64,
    flow: usize,
    done: Sent,
    quality: Quality,
    published_ns: u64,
    published: [u64; 4],
    cpu_before: Duration,
}

impl<'a> Sender<'a> {
    /// Thread number `thread` of `threads`.
    #[must_use]
    pub fn new(shared: &'a Shared<'a>, pacer: Pacer, flows: Flows, thread: usize, threads: usize) -> Self {
        let done = Sent { by_flow: vec![0; flows.len()], ..Sent::default() };
        Self {
            shared,
            pacer,
            flows,
            thread,
            threads,
            next: thread as u64 % shared.messages.len() as u64,
            flow: 0,
            done,
            quality: Quality::default(),
            published_ns: 0,
            published: [0; 4],
            cpu_before: Duration::ZERO,
        }
    }

    /// Sends the plan. Batches go to the flows in turn, unless messages have flows of their own.
    #[must_use]
    pub fn run(mut self) -> Sent {
        if let Some(cpu) = self.shared.cpus.get(self.thread % self.shared.cpus.len().max(1)) {
            // Whether it may was asked before; a processor that has gone since is one that it cannot keep to.
            let _ = logboom_udp::thread::pin_to_cpu(*cpu);
        }
        // Without it the kernel may end each sleep 50 us late on purpose.
        let _ = logboom_udp::thread::set_timer_slack(1);
        std::thread::sleep(self.shared.start.saturating_duration_since(Instant::now()));
        self.cpu_before = thread_cpu();
        let (mut batch, mut group) = (Vec::new(), 0);
        while !self.is_over() {
            let now_ns = self.now_ns();
            match self.pacer.step(now_ns, &mut batch) {
                Step::Done => break,
                Step::Wait(until_ns) => self.wait(until_ns, now_ns),
                Step::Send => {
                    if let Err(error) = self.send_to_flows(&batch) {
                        let flow = self.flow_number();
                        self.done.failure = Some(format!("sending on flow {flow}: {error}"));
                        self.shared.broken.store(true, Ordering::Relaxed);
                        break;
                    }
                    group += batch.len();
                    if !self.pacer.is_within_group() {
                        self.quality.note_group(std::mem::take(&mut group));
                    }
                }
            }
        }
        self.publish();
        self.done.cpu = Duration::from_nanos(self.published[3]);
        // What contention kept back.
        self.shared.live.quality.lock().unwrap_or_else(PoisonError::into_inner).add(&self.quality);
        let Self { flows, mut done, shared, .. } = self;
        let answered = done.trouble.answers();
        if let Err(error) = flows.finish(&mut done.trouble) {
            done.failure.get_or_insert(format!("waiting for the collector to take the rest: {error}"));
        }
        done.cpu += done.trouble.writers_cpu;
        shared.live.icmp.fetch_add(done.trouble.answers() - answered, Ordering::Relaxed);
        done
    }

    fn is_over(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed) || self.shared.broken.load(Ordering::Relaxed)
    }

    fn flow_number(&self) -> usize {
        self.flow * self.threads + self.thread
    }

    fn now_ns(&self) -> u64 {
        self.shared.start.elapsed().as_nanos() as u64
    }

    /// Sends a batch, given when each of its messages is due.
    fn send_to_flows(&mut self, due_ns: &[u64]) -> std::io::Result<()> {
        let mut rest = due_ns;
        while !rest.is_empty() {
            let flow_of = self.shared.messages.flow_of(self.next, rest.len());
            let (flow, count) = flow_of.unwrap_or((self.flow, rest.len()));
            self.flow = flow;
            self.send(&rest[..count])?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Sends to one flow.
    fn send(&mut self, due_ns: &[u64]) -> std::io::Result<()> {
        let Shared { run, messages, start_ns, .. } = *self.shared;
        let rotation = messages.len() as u64;
        let (first, step) = (self.next, self.threads as u64 % rotation);
        let (flow, sequence) = (self.flow_number() as u32, self.done.by_flow[self.flow]);
        let mut tag = tag::Writer::new(run, Tag { flow, sequence, send_ns: start_ns });
        let mut bytes = 0;
        for due_ns in due_ns {
            tag.set_send_ns(start_ns + due_ns);
            let number = self.next;
            let message_bytes = messages.bytes_of(number);
            self.flows.push(message_bytes, |out| messages.write(number, &mut tag, out));
            if let Some(severity) = messages.severity_of(number) {
                self.done.severities[severity as usize] += 1;
            }
            bytes += message_bytes as u64;
            self.next += step;
            if self.next >= rotation {
                self.next -= rotation;
            }
        }
        let Sent { severities, trouble, .. } = &mut self.done;
        let mut unsent = 0;
        let skipped = |range: Range<usize>| {
            for number in range.map(|offset| first + offset as u64 * step) {
                if let Some(severity) = messages.severity_of(number) {
                    severities[severity as usize] -= 1;
                }
                bytes -= messages.bytes_of(number) as u64;
                unsent += 1;
            }
        };
        let result = self.flows.send(self.flow, due_ns.len(), trouble, skipped);
        let now_ns = self.now_ns();
        self.done.by_flow[self.flow] += due_ns.len() as u64;
        self.note_seconds(due_ns);
        self.done.messages += due_ns.len() as u64 - unsent;
        self.done.bytes += bytes;
        if result.is_ok() {
            self.done.elapsed = Duration::from_nanos(now_ns);
            self.flow = (self.flow + 1) % self.flows.len();
        }
        if !self.pacer.is_full_speed() {
            self.done.last_due_ns = due_ns.last().copied().unwrap_or(self.done.last_due_ns);
            self.quality.note_lag(due_ns, now_ns);
        }
        if now_ns > self.published_ns + PUBLISH_NS {
            self.published_ns = now_ns;
            self.publish();
        }
        result
    }

    fn note_seconds(&mut self, due_ns: &[u64]) {
        let second = |due_ns: u64| ((due_ns / 1_000_000_000) as usize).min(SECONDS_MAX - 1);
        let by_second = &mut self.done.by_second;
        let (Some(first), Some(last)) = (due_ns.first(), due_ns.last()) else { return };
        by_second.resize(by_second.len().max(second(*last) + 1), 0);
        if second(*first) == second(*last) {
            by_second[second(*last)] += due_ns.len() as u64;
        } else {
            due_ns.iter().for_each(|due_ns| by_second[second(*due_ns)] += 1);
        }
    }

    fn publish(&mut self) {
        let Sent { messages, trouble, .. } = &self.done;
        let cpu_ns = thread_cpu().saturating_sub(self.cpu_before).as_nanos() as u64;
        let now = [*messages, trouble.unsent(), trouble.answers(), cpu_ns];
        let Live { sent, unsent, icmp, cpu_ns, quality } = self.shared.live;
        for ((counter, now), before) in [sent, unsent, icmp, cpu_ns].into_iter().zip(now).zip(self.published) {
            counter.fetch_add(now - before, Ordering::Relaxed);
        }
        self.published = now;
        // Somebody who looks must not make the sender late.
        if let Ok(mut quality) = quality.try_lock() {
            quality.add(&self.quality);
            self.quality.clear();
        }
    }

    fn wait(&mut self, until_ns: u64, now_ns: u64) {
        let spin_ns = if self.shared.cpus.is_empty() { SPIN_NS } else { SPIN_PINNED_NS };
        let wait_ns = until_ns - now_ns;
        if wait_ns > PUBLISH_NS {
            self.publish(); // Of a burst, now: nothing more is sent for long.
        }
        if wait_ns > spin_ns {
            // In pieces, so that a signal ends it soon.
            std::thread::sleep(Duration::from_nanos((wait_ns - spin_ns / 2).min(100_000_000)));
        } else {
            while self.now_ns() < until_ns {
                std::hint::spin_loop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Content;
    use crate::schedule::{Profile, Schedule};

    #[test]
    fn what_threads_publish_again_and_again_is_counted_once() {
        let messages = Messages::make(&Content::default(), RunTag::new(1), 1).unwrap();
        let (stop, broken, live) = (AtomicBool::new(false), AtomicBool::new(false), Live::default());
        let (start, cpus) = (Instant::now(), &[][..]);
        let shared = Shared {
            run: RunTag::new(1),
            messages: &messages,
            start,
            start_ns: 0,
            cpus,
            stop: &stop,
            broken: &broken,
            live: &live,
        };
        let schedule = Schedule::new(Profile::Const, Some(1.0), Duration::from_secs(10), None, 1).unwrap();
        let mut senders = [0, 1].map(|thread| {
            let flows = Flows::udp("127.0.0.1:9".parse().unwrap(), &[None], 1).unwrap();
            Sender::new(&shared, Pacer::new(schedule.due_times(), None, thread, 2), flows, thread, 2)
        });
        for (round, sender) in [(1, 0), (2, 1), (3, 0), (3, 0)] {
            let sender: &mut Sender<'_> = &mut senders[sender];
            sender.done.messages = round * 10;
            sender.done.trouble.overflow = round;
            sender.done.trouble.icmp.insert("port_unreachable", round * 2);
            sender.note_seconds(&[1_999_999_999, 2_000_000_000, round * 1_000_000_000]);
            sender.publish();
        }
        let told = [&live.sent, &live.unsent, &live.icmp].map(|counter| counter.load(Ordering::Relaxed));
        assert_eq!(told, [30 + 20, 3 + 2, 6 + 4]);
        let cpu_ns = live.cpu_ns.load(Ordering::Relaxed);
        assert_eq!(cpu_ns, senders.iter().map(|sender| sender.published[3]).sum::<u64>());
        assert_eq!(senders[1].done.by_second, [0, 1, 2]);
    }
}
