//! What happened between snapshots.

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
    /// The collector's sockets; absent if no snapshot has them.
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
    /// Messages that were in flight when a run of the collector was last seen that then ended.
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

impl Change {
    /// From one snapshot to a later one.
    #[must_use]
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        Self::over([before, after])
    }

    /// From the first of some snapshots, in the order of time, to the last. Those in between tell more of what was
    /// restarted, and what wraps is followed: a socket's drops once each 2^32.
    #[must_use]
    pub fn over<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> Self {
        let snapshots: Vec<_> = snapshots.into_iter().collect();
        let (Some(first), Some(last)) = (snapshots.first(), snapshots.last()) else { return Self::default() };
        let sockets: Vec<_> = snapshots.iter().filter_map(|snapshot| snapshot.sockets.as_deref()).collect();
        let processes: Vec<_> = snapshots.iter().filter_map(|snapshot| snapshot.process.as_ref()).collect();
        let answers: Vec<_> = snapshots.iter().filter_map(|snapshot| snapshot.collector.told()).collect();
        Self {
            seconds: last.at.duration_since(first.at).as_secs_f64(),
            host: last.host.since(&first.host),
            sockets: SocketsChange::over(&sockets),
            process: ProcessChange::over(&processes, last.process.is_none()),
            collector: CollectorChange::over(&answers, last.collector.told().is_none()),
            collector_silent: match &last.collector {
                Answer::Silent(why) => Some(why.clone()),
                Answer::Unasked | Answer::Told(_) => None,
            },
        }
    }
}

impl SocketsChange {
    fn over(snapshots: &[&[Socket]]) -> Option<Self> {
        let last = snapshots.last()?;
        let (mut dropped, mut life) = (0, Life::Whole);
        for pair in snapshots.windows(2) {
            let (before, now) = (pair[0], pair[1]);
            let find = |sockets: &[Socket], inode| sockets.iter().find(|socket| socket.inode == inode).copied();
            for socket in now {
                // One that is new counts from 0.
                let counted = find(before, socket.inode).map_or(0, |socket| socket.dropped);
                dropped += u64::from(socket.dropped.wrapping_sub(counted));
            }
            if before.is_empty() != now.is_empty() || before.iter().any(|socket| find(now, socket.inode).is_none()) {
                life = Life::Restarted;
            }
        }
        if last.is_empty() && snapshots.iter().any(|sockets| !sockets.is_empty()) {
            life = Life::Gone;
        }
        let queued_bytes = last.iter().map(|socket| socket.queued_bytes).sum();
        Some(Self { sockets: last.len(), dropped, queued_bytes, life })
    }
}

impl ProcessChange {
    fn over(snapshots: &[&Process], is_gone: bool) -> Option<Self> {
        let last = snapshots.last()?;
        let (mut cpu_seconds, mut life) = (0.0, Life::Whole);
        for pair in snapshots.windows(2) {
            let (before, now) = (pair[0], pair[1]);
            if (before.pid, before.start_ticks) == (now.pid, now.start_ticks) {
                cpu_seconds += now.cpu_seconds - before.cpu_seconds;
            } else {
                cpu_seconds += now.cpu_seconds;
                life = Life::Restarted;
            }
        }
        Some(Self {
            pid: last.pid,
            command: last.command.clone(),
            cpu_seconds,
            resident_bytes: last.resident_bytes,
            life: if is_gone { Life::Gone } else { life },
        })
    }
}

impl CollectorChange {
    fn over(snapshots: &[&Collector], is_gone: bool) -> Option<Self> {
        let last = snapshots.last()?;
        let mut change = Self {
            books: Books { in_flight: last.books.in_flight, exact: last.books.exact, ..Books::default() },
            cpu_seconds: last.cpu_seconds.map(|_| 0.0),
            resident_bytes: last.resident_bytes,
            unsynced_seconds: last.unsynced_seconds,
            receive_buffer_bytes: last.receive_buffer_bytes,
            ..Self::default()
        };
        for pair in snapshots.windows(2) {
            let (before, now) = (pair[0], pair[1]);
            if before.run_id == now.run_id {
                change.add(now, &before.books, before.cpu_seconds);
            } else {
                change.add(now, &Books::default(), Some(0.0));
                change.ended_in_flight = change.ended_in_flight.saturating_add(before.books.in_flight);
                change.life = Life::Restarted;
            }
        }
        if is_gone {
            change.ended_in_flight = change.ended_in_flight.saturating_add(last.books.in_flight);
            change.books.in_flight = 0;
            change.life = Life::Gone;
        }
        Some(change)
    }

    fn add(&mut self, now: &Collector, before: &Books, cpu_seconds_before: Option<f64>) {
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
        if let (Some(sum), Some(now), Some(before)) = (&mut self.cpu_seconds, now.cpu_seconds, cpu_seconds_before) {
            *sum += now - before;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

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

    #[test]
    fn what_is_not_seen_does_not_change() {
        let change = Change::between(&snapshot(10), &snapshot(14));
        assert_eq!((change.seconds, change.host.udp.no_ports), (4.0, 4));
        assert_eq!((change.sockets, change.process, change.collector), (None, None, None));
        assert_eq!(Change::over([]), Change::default());
    }

    #[test]
    fn drops_are_widened_by_socket() {
        let snapshots = [
            with_sockets(0, &[(1, u32::MAX), (2, 5)]),
            with_sockets(1, &[(1, 1), (2, 5)]),
            // A receiver more, which counts from 0, is no restart.
            with_sockets(2, &[(1, u32::MAX), (2, 6), (3, 9)]),
        ];
        let sockets = Change::over(&snapshots).sockets.unwrap();
        let dropped = 2 + (u64::from(u32::MAX) - 1) + 1 + 9;
        assert_eq!(sockets, SocketsChange { sockets: 3, dropped, queued_bytes: 30, life: Life::Whole });
    }

    #[test]
    fn sockets_that_are_opened_again_count_in_full_as_a_lower_bound() {
        let (before, after) = (with_sockets(0, &[(1, 100)]), with_sockets(9, &[(2, 7)]));
        let sockets = Change::between(&before, &after).sockets.unwrap();
        assert_eq!((sockets.dropped, sockets.life), (7, Life::Restarted));
        let sockets =
            Change::over([&before, &with_sockets(1, &[(1, 130)]), &with_sockets(2, &[]), &after]).sockets.unwrap();
        assert_eq!((sockets.dropped, sockets.life), (37, Life::Restarted));
        assert_eq!(Change::between(&before, &with_sockets(9, &[])).sockets.unwrap().life, Life::Gone);
        assert_eq!(Change::between(&with_sockets(0, &[]), &after).sockets.unwrap().life, Life::Restarted);
        assert_eq!(Change::between(&with_sockets(0, &[]), &with_sockets(1, &[])).sockets.unwrap().life, Life::Whole);
    }

    #[test]
    fn books_of_runs_are_added_up_with_what_ended_in_flight() {
        let silent = Snapshot { collector: Answer::Silent("timeout".into()), ..snapshot(2) };
        let snapshots = [with_books(0, "a", 100, 0), with_books(1, "a", 150, 8), silent, with_books(3, "b", 20, 2)];
        let change = Change::over(&snapshots);
        let collector = change.collector.unwrap();
        assert_eq!((collector.books.stored, collector.books.in_flight, collector.ended_in_flight), (70, 2, 8));
        assert_eq!((collector.life, collector.books.exact, collector.cpu_seconds), (Life::Restarted, true, Some(4.0)));
        assert_eq!(change.collector_silent, None);

        let change = Change::over(&snapshots[..3]);
        let collector = change.collector.unwrap();
        assert_eq!((collector.books.stored, collector.books.in_flight, collector.ended_in_flight), (50, 0, 8));
        assert_eq!((collector.life, change.collector_silent.as_deref()), (Life::Gone, Some("timeout")));
    }

    #[test]
    fn a_collector_that_answers_late_is_no_other() {
        let silent = Snapshot { collector: Answer::Silent("timeout".into()), ..snapshot(1) };
        let collector =
            Change::over([&with_books(0, "a", 1, 0), &silent, &with_books(2, "a", 4, 0)]).collector.unwrap();
        assert_eq!((collector.books.stored, collector.life), (3, Life::Whole));
    }

    #[test]
    fn processor_time_is_of_the_processes_there_were() {
        let snapshots = [with_process(0, 5, 1.0), with_process(1, 5, 1.5), with_process(2, 6, 0.25)];
        let process = Change::over(&snapshots).process.unwrap();
        assert_eq!((process.pid, process.cpu_seconds, process.life), (6, 0.75, Life::Restarted));
        let process = Change::between(&snapshots[0], &snapshots[1]).process.unwrap();
        assert_eq!((process.cpu_seconds, process.life), (0.5, Life::Whole));
        assert_eq!(Change::between(&snapshots[0], &snapshot(9)).process.unwrap().life, Life::Gone);
    }
}
