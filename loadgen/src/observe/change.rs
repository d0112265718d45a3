//! What happened between snapshots.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Snapshot;
use super::collector::{Answer, Books, Collector};
use super::host::{Host, growth};
use super::process::Process;
use super::sockets::Socket;

/// What became of something that was looked at more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Life {
    /// It was the same all the time.
    #[default]
    Whole,
    /// It began, or ended and began again, meanwhile: what the one that ended counted last is not known, so that every
    /// count is a lower bound.
    Restarted,
    /// It was gone at the end, and counts are lower bounds.
    Gone,
}

/// How much everything grew from a first snapshot to a last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Time between the two, seconds.
    pub seconds: f64,
    /// This machine's counters.
    pub host: Host,
    /// The collector's sockets; absent if none was ever seen.
    pub sockets: Option<SocketsChange>,
    /// The collector's process; absent if no snapshot has it.
    pub process: Option<ProcessChange>,
    /// The collector's books; absent if it never answered.
    pub collector: Option<CollectorChange>,
    /// Why it did not answer at the end.
    pub collector_silent: Option<String>,
}

/// What the collector's sockets did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketsChange {
    /// How many there were at the end.
    pub sockets: usize,
    /// Datagrams dropped at them.
    pub dropped: u64,
    /// Memory of the datagrams that waited in them at the end, bytes.
    pub queued_bytes: u64,
    /// Whether they stayed.
    pub life: Life,
}

/// What the collector's process did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessChange {
    /// The last one's number.
    pub pid: u32,
    /// Its command.
    pub command: String,
    /// Processor time used, seconds.
    pub cpu_seconds: f64,
    /// Memory occupied at the end, bytes.
    pub resident_bytes: u64,
    /// Whether it stayed.
    pub life: Life,
}

/// What the collector says that it did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CollectorChange {
    /// Messages by place; `in_flight` as it was at the end.
    pub books: Books,
    /// Messages that were in flight when a run of the collector was last looked at that then ended.
    pub ended_in_flight: u64,
    /// Processor time used, seconds, if it tells.
    pub cpu_seconds: Option<f64>,
    /// Memory that it occupied at the end, bytes, if it tells.
    pub resident_bytes: Option<u64>,
    /// Age of the oldest message that was not yet synced at the end.
    pub unsynced_seconds: f64,
    /// Receive buffer of the smallest of its UDP sockets, bytes.
    pub receive_buffer_bytes: Option<u64>,
    /// Whether its run stayed.
    pub life: Life,
}

/// Snapshots in the order of time, added up as they come: those in between tell what was restarted, and what wraps is
/// followed, a socket's drops once each 2^32. Of all of them only the last is kept, so that a run of days takes no more
/// than one of seconds.
#[derive(Debug)]
pub struct Changes {
    first_at: Timestamp,
    first_host: Host,
    last: Snapshot,
    /// Each part as it was last seen, and what it did until then.
    sockets: Option<(Vec<Socket>, SocketsChange)>,
    process: Option<(Process, ProcessChange)>,
    collector: Option<(Collector, CollectorChange)>,
}

impl Changes {
    /// Nothing but a first snapshot.
    #[must_use]
    pub fn since(first: Snapshot) -> Self {
        let (first_at, first_host) = (first.at, first.host.clone());
        let mut changes =
            Self { first_at, first_host, last: first.clone(), sockets: None, process: None, collector: None };
        changes.add(first);
        changes
    }

    /// Adds what happened up to `now`. What `now` does not have is followed again when it is seen the next time.
    pub fn add(&mut self, now: Snapshot) {
        if let Some(now) = &now.sockets {
            let (before, sum) = self.sockets.get_or_insert_with(|| (now.clone(), SocketsChange::default()));
            sum.add(before, now);
            before.clone_from(now);
        }
        if let Some(now) = &now.process {
            let (before, sum) = self.process.get_or_insert_with(|| (now.clone(), ProcessChange::default()));
            sum.add(before, now);
            before.clone_from(now);
        }
        if let Some(now) = now.collector.told() {
            let (before, sum) = self.collector.get_or_insert_with(|| (now.clone(), CollectorChange::none()));
            sum.add(before, now);
            before.clone_from(now);
        }
        self.last = now;
    }

    /// The last snapshot.
    #[must_use]
    pub fn last(&self) -> &Snapshot {
        &self.last
    }

    /// From the first snapshot to the last.
    #[must_use]
    pub fn so_far(&self) -> Change {
        let Self { last, .. } = self;
        let process = self.process.as_ref().map(|(_, sum)| sum.clone());
        let mut change = Change {
            seconds: last.at.duration_since(self.first_at).as_secs_f64(),
            // Of counters that cannot be read for once nothing is missed.
            host: last.host.since(&self.first_host),
            sockets: self.sockets.as_ref().map(|(_, sum)| *sum).filter(SocketsChange::were_seen),
            process: if last.process.is_some() { process } else { process.map(ProcessChange::gone) },
            collector: self.collector.as_ref().map(|(_, sum)| sum.clone()),
            collector_silent: match &last.collector {
                Answer::Silent(why) => Some(why.clone()),
                Answer::Unasked | Answer::Told(_) => None,
            },
        };
        if change.seen() == Some(Life::Gone) {
            change.collector = change.collector.map(CollectorChange::ended);
        }
        change
    }
}

impl Change {
    /// The kernel's word on what became of the collector, by its sockets and its process.
    fn seen(&self) -> Option<Life> {
        self.sockets.map(|sockets| sockets.life).max(self.process.as_ref().map(|process| process.life))
    }

    /// What became of the collector. The kernel's word goes before its silence, which may be want of time.
    #[must_use]
    pub fn life(&self) -> Life {
        let silent = self.collector_silent.as_ref().map(|_| Life::Gone);
        let told = self.collector.as_ref().map(|told| told.life);
        self.seen().or(silent).max(told).unwrap_or_default()
    }

    /// Why the collector's books are not known up to the end: it was asked and said nothing, but nobody saw it end.
    #[must_use]
    pub fn silence(&self) -> Option<&str> {
        self.collector_silent.as_deref().filter(|_| self.seen() != Some(Life::Gone))
    }
}

impl SocketsChange {
    /// Whether there were any. Those of a collector in another network namespace never are, and what they drop is not known.
    fn were_seen(&self) -> bool {
        self.sockets > 0 || self.life != Life::Whole
    }

    fn add(&mut self, before: &[Socket], now: &[Socket]) {
        let find = |sockets: &[Socket], inode| sockets.iter().find(|socket| socket.inode == inode).copied();
        for socket in now {
            // One that is new counts from 0.
            let counted = find(before, socket.inode).map_or(0, |socket| socket.dropped);
            self.dropped += u64::from(socket.dropped.wrapping_sub(counted));
        }
        if before.is_empty() != now.is_empty() || before.iter().any(|socket| find(now, socket.inode).is_none()) {
            self.life = Life::Restarted;
        }
        if now.is_empty() && self.life != Life::Whole {
            self.life = Life::Gone;
        }
        self.sockets = now.len();
        self.queued_bytes = now.iter().map(|socket| socket.queued_bytes).sum();
    }
}

impl ProcessChange {
    fn add(&mut self, before: &Process, now: &Process) {
        if (before.pid, before.start_ticks) == (now.pid, now.start_ticks) {
            self.cpu_seconds += now.cpu_seconds - before.cpu_seconds;
        } else {
            self.cpu_seconds += now.cpu_seconds;
            self.life = Life::Restarted;
        }
        self.pid = now.pid;
        self.command.clone_from(&now.command);
        self.resident_bytes = now.resident_bytes;
    }

    fn gone(self) -> Self {
        Self { life: Life::Gone, ..self }
    }
}

impl CollectorChange {
    /// Of nothing yet, which is exact.
    fn none() -> Self {
        Self { books: Books { exact: true, ..Books::default() }, ..Self::default() }
    }

    fn add(&mut self, before: &Collector, now: &Collector) {
        if before.run_id == now.run_id {
            self.grow(now, &before.books, before.cpu_seconds);
        } else {
            self.grow(now, &Books::default(), Some(0.0));
            self.ended_in_flight = self.ended_in_flight.saturating_add(before.books.in_flight);
            self.life = Life::Restarted;
        }
        self.books.in_flight = now.books.in_flight;
        self.resident_bytes = now.resident_bytes;
        self.unsynced_seconds = now.unsynced_seconds;
        self.receive_buffer_bytes = now.receive_buffer_bytes;
    }

    fn grow(&mut self, now: &Collector, before: &Books, cpu_seconds_before: Option<f64>) {
        let grow = |sum: &mut u64, now, before| *sum = sum.saturating_add(growth(now, before));
        let (sum, now_books) = (&mut self.books, &now.books);
        grow(&mut sum.received, now_books.received, before.received);
        grow(&mut sum.stored, now_books.stored, before.stored);
        grow(&mut sum.shed, now_books.shed, before.shed);
        grow(&mut sum.refused, now_books.refused, before.refused);
        grow(&mut sum.malformed, now_books.malformed, before.malformed);
        grow(&mut sum.write_failed, now_books.write_failed, before.write_failed);
        grow(&mut sum.socket_buffer, now_books.socket_buffer, before.socket_buffer);
        sum.exact &= now_books.exact;
        let more = |now: f64| now - cpu_seconds_before.unwrap_or(now);
        self.cpu_seconds = now.cpu_seconds.map(|now| self.cpu_seconds.unwrap_or(0.0) + more(now));
    }

    fn ended(mut self) -> Self {
        self.ended_in_flight = self.ended_in_flight.saturating_add(self.books.in_flight);
        self.books.in_flight = 0;
        Self { life: Life::Gone, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::host::Udp;

    fn snapshot(second: i64) -> Snapshot {
        let at = Timestamp::from_second(second).unwrap();
        let host = Host { udp: Udp { no_ports: second as u64, ..Udp::default() }, ..Host::default() };
        Snapshot { at, host, sockets: None, process: None, collector: Answer::Unasked }
    }

    fn with_sockets(second: i64, sockets: &[(u64, u32)]) -> Snapshot {
        let socket = |(inode, dropped): &(u64, u32)| Socket { inode: *inode, dropped: *dropped, queued_bytes: 10 };
        Snapshot { sockets: Some(sockets.iter().map(socket).collect()), ..snapshot(second) }
    }

    fn with_books(second: i64, run_id: &str, stored: u64, in_flight: u64) -> Snapshot {
        let books = Books { received: stored + in_flight, stored, in_flight, exact: true, ..Books::default() };
        let cpu_seconds = Some(second as f64);
        let collector = Collector { run_id: run_id.into(), books, cpu_seconds, ..Collector::default() };
        Snapshot { collector: Answer::Told(Box::new(collector)), ..snapshot(second) }
    }

    fn with_process(second: i64, pid: u32, cpu_seconds: f64) -> Snapshot {
        let process = Process { pid, start_ticks: 7, command: "c".into(), cpu_seconds, resident_bytes: 4096 };
        Snapshot { process: Some(process), ..snapshot(second) }
    }

    fn over<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> Change {
        let mut snapshots = snapshots.into_iter().cloned();
        let mut changes = Changes::since(snapshots.next().unwrap());
        snapshots.for_each(|snapshot| changes.add(snapshot));
        changes.so_far()
    }

    #[test]
    fn what_is_not_seen_does_not_change() {
        let change = over([&snapshot(10), &snapshot(14)]);
        assert_eq!((change.seconds, change.host.udp.no_ports), (4.0, 4));
        assert_eq!((change.sockets, change.process, change.collector), (None, None, None));
    }

    #[test]
    fn drops_are_widened_by_socket() {
        let snapshots = [
            with_sockets(0, &[(1, u32::MAX), (2, 5)]),
            with_sockets(1, &[(1, 1), (2, 5)]),
            // A receiver more, which counts from 0, is no restart.
            with_sockets(2, &[(1, u32::MAX), (2, 6), (3, 9)]),
        ];
        let sockets = over(&snapshots).sockets.unwrap();
        let dropped = 2 + (u64::from(u32::MAX) - 1) + 1 + 9;
        assert_eq!(sockets, SocketsChange { sockets: 3, dropped, queued_bytes: 30, life: Life::Whole });
    }

    #[test]
    fn sockets_that_are_opened_again_count_in_full_as_a_lower_bound() {
        let (before, after) = (with_sockets(0, &[(1, 100)]), with_sockets(9, &[(2, 7)]));
        let sockets = over([&before, &after]).sockets.unwrap();
        assert_eq!((sockets.dropped, sockets.life), (7, Life::Restarted));
        let sockets = over([&before, &with_sockets(1, &[(1, 130)]), &with_sockets(2, &[]), &after]).sockets.unwrap();
        assert_eq!((sockets.dropped, sockets.life), (37, Life::Restarted));
        assert_eq!(over([&before, &with_sockets(9, &[])]).sockets.unwrap().life, Life::Gone);
        assert_eq!(over([&with_sockets(0, &[]), &after]).sockets.unwrap().life, Life::Restarted);
    }

    #[test]
    fn books_of_runs_are_added_up_with_what_ended_in_flight() {
        let silent = Snapshot { collector: Answer::Silent("timeout".into()), ..snapshot(2) };
        let snapshots = [with_books(0, "a", 100, 0), with_books(1, "a", 150, 8), silent, with_books(3, "b", 20, 2)];
        let change = over(&snapshots);
        let collector = change.collector.unwrap();
        assert_eq!((collector.books.stored, collector.books.in_flight, collector.ended_in_flight), (70, 2, 8));
        assert_eq!((collector.life, collector.books.exact, collector.cpu_seconds), (Life::Restarted, true, Some(4.0)));
        assert_eq!(change.collector_silent, None);
    }

    #[test]
    fn a_collector_that_is_silent_at_the_end_is_gone_unless_the_kernel_sees_it() {
        let silent = Snapshot { collector: Answer::Silent("timeout".into()), ..snapshot(2) };
        let books = with_books(1, "a", 150, 8);
        let places = |change: &Change| {
            let collector = change.collector.as_ref().unwrap();
            (collector.books.in_flight, collector.ended_in_flight)
        };
        let change = over([&books, &silent]);
        assert_eq!((change.life(), change.silence(), places(&change)), (Life::Gone, Some("timeout"), (8, 0)));

        let at_sockets = |snapshot: &Snapshot, sockets: &[(u64, u32)]| Snapshot {
            sockets: with_sockets(0, sockets).sockets,
            ..snapshot.clone()
        };
        let before = at_sockets(&books, &[(1, 0)]);
        let change = over([&before, &at_sockets(&silent, &[(1, 0)])]);
        assert_eq!((change.life(), change.silence(), places(&change)), (Life::Whole, Some("timeout"), (8, 0)));
        let change = over([&before, &at_sockets(&silent, &[])]);
        assert_eq!((change.life(), change.silence(), places(&change)), (Life::Gone, None, (0, 8)));
    }

    #[test]
    fn sockets_that_were_never_seen_have_dropped_an_unknown_number() {
        assert_eq!(over([&with_sockets(0, &[]), &with_sockets(1, &[])]).sockets, None);
        let late = over([&with_sockets(0, &[]), &with_sockets(1, &[(1, 5)])]).sockets.unwrap();
        assert_eq!((late.dropped, late.life), (5, Life::Restarted));
    }

    #[test]
    fn a_collector_that_answers_late_is_no_other() {
        let silent = Snapshot { collector: Answer::Silent("timeout".into()), ..snapshot(1) };
        let collector = over([&with_books(0, "a", 1, 0), &silent, &with_books(2, "a", 4, 0)]).collector.unwrap();
        assert_eq!((collector.books.stored, collector.life), (3, Life::Whole));
    }

    #[test]
    fn no_restart_is_missed_however_long_a_run_is() {
        let mut changes = Changes::since(with_books(0, "run 0", 0, 0));
        // A run of the collector every seven seconds, of which each second stores one message; the last is silent.
        for second in 1..7_000 {
            let (run, stored) = (format!("run {}", second / 7), second as u64 % 7);
            let silent = Snapshot { collector: Answer::Silent("timeout".into()), ..snapshot(second) };
            changes.add(if stored == 6 { silent } else { with_books(second, &run, stored, 1) });
        }
        let collector = changes.so_far().collector.unwrap();
        assert_eq!((collector.books.stored, collector.ended_in_flight), (5_000, 999));
        assert_eq!(changes.so_far().life(), Life::Gone, "the last run as well");
        changes.add(with_books(7_000, "run 999", 6, 0));
        let collector = changes.so_far().collector.unwrap();
        assert_eq!((collector.books.stored, collector.ended_in_flight), (5_001, 999));
        assert_eq!(collector.life, Life::Restarted, "but those before it ended");
    }

    #[test]
    fn processor_time_is_of_the_processes_there_were() {
        let snapshots = [with_process(0, 5, 1.0), with_process(1, 5, 1.5), with_process(2, 6, 0.25)];
        let process = over(&snapshots).process.unwrap();
        assert_eq!((process.pid, process.cpu_seconds, process.life), (6, 0.75, Life::Restarted));
        let process = over([&snapshots[0], &snapshots[1]]).process.unwrap();
        assert_eq!((process.cpu_seconds, process.life), (0.5, Life::Whole));
        assert_eq!(over([&snapshots[0], &snapshot(9)]).process.unwrap().life, Life::Gone);
    }
}
