//! One sentence about a run: where its messages were lost, how many, and what to do about it.

use std::collections::BTreeMap;

use super::{Entry, Facts, Ledger, Place};
use crate::observe::Life;
use crate::view::wording::share_to;

/// What happened, and what helps.
pub(super) struct Diagnosis {
    what: String,
    pub(super) fix: Option<String>,
}

impl Diagnosis {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: Some(fix.into()) }
    }

    fn well(what: String) -> Self {
        Self { what, fix: None }
    }

    pub(super) fn sentence(&self) -> String {
        match &self.fix {
            Some(fix) => format!("{}: {fix}", self.what),
            None => self.what.clone(),
        }
    }
}

/// Judges a ledger by the place where most was lost.
pub(super) fn diagnose(facts: &Facts<'_>, ledger: &Ledger) -> Diagnosis {
    let absence = closed_port(facts, ledger).or_else(|| death(facts, ledger));
    if let Some(diagnosis) = absence.filter(|_| ledger.missing() > 0 && facts.is_known()) {
        return diagnosis;
    }
    match (facts.invalid, worst(facts, ledger)) {
        // What made it invalid.
        (_, Some(entry)) if matches!(entry.place, Place::SenderErrors | Place::SenderOverflow) => at(facts, entry),
        (Some(reason), _) => Diagnosis::well(format!("the run is invalid, and what it lost says little: {reason}")),
        (None, Some(entry)) => at(facts, entry),
        (None, None) if ledger.missing() == 0 => nothing_missing(facts, ledger),
        (None, None) => {
            let sent = format!("{} messages were sent to {}", facts.offered, facts.target);
            match facts.change.silence() {
                Some(why) => Diagnosis::new(
                    format!("{sent}, and what it stored is not known, because at the end it did not answer: {why}"),
                    "look whether it is overloaded or hangs, or give it longer by --drain",
                ),
                None => Diagnosis::new(
                    format!("{sent}, and nobody asked what it stored"),
                    "look for them in its files, or name its admin listener",
                ),
            }
        }
    }
}

/// The place where most was lost, and of equals the earliest on the way.
fn worst<'a>(facts: &Facts<'_>, ledger: &'a Ledger) -> Option<&'a Entry> {
    let is_lost = |place| match place {
        Place::Stored | Place::Corrupted => false,
        // Where nobody knows what was stored, that messages are not explained, or were on their way, says nothing.
        Place::Unexplained | Place::InFlight => facts.is_known(),
        _ => true,
    };
    let lost = ledger.places.iter().filter(|entry| is_lost(entry.place) && entry.messages > 0);
    lost.rev().max_by_key(|entry| entry.messages)
}

fn nothing_missing(facts: &Facts<'_>, ledger: &Ledger) -> Diagnosis {
    let (corrupted, duplicates) = (ledger.at(Place::Corrupted), facts.found.map_or(0, |found| found.duplicates));
    if corrupted > 0 {
        let what = format!("no message is missing, but {} were found changed", share(corrupted, facts.offered));
        return Diagnosis::new(
            what,
            "look for what the collector cuts or rewrites: its largest message, escaping, a template",
        );
    }
    if duplicates > 0 {
        let what = format!("no message is missing, but {duplicates} were stored more than once");
        return Diagnosis::new(
            what,
            "look for a second listener or output that writes to the same files, or a sender in between that repeats",
        );
    }
    if let Some(told) = facts.change.collector.as_ref().filter(|told| facts.found.is_none() && !facts.are_ours(told)) {
        let (offered, received) = (facts.offered, told.books.received);
        let what = format!("no loss was counted, but of the {received} messages that the collector received");
        let what = format!("{what} nobody knows whether all {offered} of this run are among them");
        return Diagnosis::new(what, "look for them with --check, or let nobody else send meanwhile");
    }
    let how = if facts.found.is_some() { "found once and unchanged" } else { "stored, by the collector's own count" };
    Diagnosis::well(format!("nothing is lost: all {} messages were {how}", facts.offered))
}

/// Nobody was there at all.
fn closed_port(facts: &Facts<'_>, ledger: &Ledger) -> Option<Diagnosis> {
    let is_unseen = facts.is_local && facts.change.sockets.is_none();
    let is_closed = is_unreachable(facts) || is_unseen && facts.change.host.udp.no_ports > ledger.missing() / 2;
    if !is_closed || ledger.at(Place::Stored) > 0 || facts.change.life() != Life::Whole {
        return None;
    }
    let what = lost(facts, ledger.missing(), "were sent to a closed port");
    let what = format!("nothing listens on {}, and {what}", facts.target);
    Some(Diagnosis::new(what, "start the collector, or correct the address"))
}

/// Whether the port was found closed at least once.
fn is_unreachable(facts: &Facts<'_>) -> bool {
    facts.icmp("port_unreachable") > 0 || facts.sending.errors.contains_key("ECONNREFUSED")
}

/// It was there for a part of the run only, and most was lost where that shows.
fn death(facts: &Facts<'_>, ledger: &Ledger) -> Option<Diagnosis> {
    let what = match facts.change.life() {
        Life::Gone => "went away during the run and did not come back",
        Life::Restarted => "was started or restarted during the run",
        Life::Whole if is_unreachable(facts) => "was not there for a part of the run",
        Life::Whole => return None,
    };
    let before = [Place::Unsent, Place::Icmp, Place::Network, Place::Host];
    let inside = [Place::InFlight, Place::Collector, Place::Unexplained];
    let by_absence: u64 = before.into_iter().chain(inside).map(|place| ledger.at(place)).sum();
    if by_absence < ledger.missing() / 2 {
        return None;
    }
    let mut what =
        format!("the collector at {} {what}, and {}", facts.target, lost(facts, ledger.missing(), "are lost"));
    if let Some(at_end) = facts.found.map(|found| found.lost_at_end).filter(|at_end| *at_end > 0) {
        what.push_str(&format!(", {at_end} of them behind the last that it stored"));
    }
    Some(Diagnosis::new(what, "read the end of its log, and `dmesg` for a kill for want of memory"))
}

/// What it means that messages ended in a place.
fn at(facts: &Facts<'_>, entry: &Entry) -> Diagnosis {
    let messages = entry.messages;
    let told = |what: &str| lost(facts, messages, what);
    match entry.place {
        Place::Unsent => Diagnosis::new(told("were never sent, because the run ended early"), "let it run to its end"),
        Place::SenderErrors => sender_error(facts, messages),
        Place::SenderOverflow => Diagnosis::new(
            told("were dropped by the sender's own queue, because the collector took them too slowly"),
            "send at a lower --rate, or let the sender wait instead of dropping",
        ),
        Place::Icmp => icmp_error(facts, messages),
        Place::Network => network(facts, messages),
        Place::Host => host(facts, messages),
        Place::SocketBuffer => socket_buffer(facts, messages),
        Place::Refused => Diagnosis::new(
            told("were refused, because the collector does not allow this sender"),
            "add this machine's address to its receive.allow",
        ),
        Place::Shed => Diagnosis::new(
            told("were shed on purpose, because the collector could not write as fast as they came"),
            "give it a faster disk, more writers (store.writers) or more memory (queue.memory), or send at a lower --rate",
        ),
        Place::Malformed => Diagnosis::new(
            told("were no messages to the collector"),
            "send with the --framing that its listener expects",
        ),
        Place::WriteFailed => Diagnosis::new(
            told("were given up, because the collector's disk would not take them"),
            "look whether it is full (`df`) or failing (`dmesg`), and at the collector's log",
        ),
        Place::InFlight => Diagnosis::new(
            told("were still on their way in the collector when it was last looked at"),
            "wait longer before looking, and if they stay, look at what holds the collector up",
        ),
        Place::Collector => Diagnosis::new(
            told("were lost inside the collector, which took them from its socket but does not have them in its files"),
            "look in its log and statistics for full queues, rate limits and failed writes, or wait until it has written all",
        ),
        Place::Unexplained | Place::Stored | Place::Corrupted => Diagnosis::new(
            told("are missing, and no counter that can be read tells where"),
            "wait until the collector has written all, and look for a firewall rule that drops packets (`nft list ruleset`)",
        ),
    }
}

fn sender_error(facts: &Facts<'_>, messages: u64) -> Diagnosis {
    let errno = most(&facts.sending.errors);
    let (what, fix) = match errno {
        "EMSGSIZE" => (
            "are longer than a datagram or the path's MTU allows",
            "send with a smaller --size: UDP takes at most 65507 B, and less where the path must not fragment",
        ),
        "ENETUNREACH" | "EHOSTUNREACH" => ("had no way to go", "look for a route with `ip route get`"),
        "EPERM" | "EACCES" => {
            ("were forbidden on this machine", "look for a firewall rule for outgoing packets with `nft list ruleset`")
        }
        "ENOBUFS" | "EAGAIN" => (
            "found the sending device's queue or the socket's send buffer full",
            "send at a lower --rate, or give the device a longer queue (`ip link set DEV txqueuelen N`)",
        ),
        "ECONNREFUSED" => ("met nobody who listens", "start the collector, or correct the address"),
        "EINVAL" | "EIO" => (
            "were refused by the kernel",
            "leave --gso out: before Linux 6.11 it takes a device that makes checksums, and messages that fit the path's MTU",
        ),
        "broken" => ("were on a connection that broke", "look at the reason, and in the collector's log"),
        "EPIPE" | "ECONNRESET" => ("met a connection that the collector had closed", "look in its log for the reason"),
        _ => ("were refused by the kernel", "look the error up in errno(3)"),
    };
    Diagnosis::new(lost(facts, messages, &format!("{what} ({errno})")), fix)
}

fn icmp_error(facts: &Facts<'_>, messages: u64) -> Diagnosis {
    let kind = most(&facts.sending.icmp);
    let (what, fix) = match kind {
        "port_unreachable" => ("met nobody who listens", "start the collector, or correct the address"),
        "host_unreachable" => ("did not reach the collector's machine", "look whether it is up, and its address right"),
        "network_unreachable" => {
            ("did not reach the collector's network", "look at the routes on the way (`tracepath`)")
        }
        "prohibited" => ("were rejected by a firewall on the way", "let it pass UDP to the collector's port"),
        "too_big" => ("are longer than the path's MTU", "send with a smaller --size"),
        "time_exceeded" => ("went around in circles or came in pieces", "look at the routes on the way (`tracepath`)"),
        _ => ("were answered with an error", "look at the collector's machine and the way there"),
    };
    Diagnosis::new(lost(facts, messages, &format!("{what} (ICMP {kind})")), fix)
}

fn network(facts: &Facts<'_>, messages: u64) -> Diagnosis {
    if facts.change.collector.is_some() {
        let what = "were lost between this machine and the collector's sockets";
        return Diagnosis::new(
            lost(facts, messages, what),
            "look there for drops of the device (`ip -s link`, `ethtool -S`) and of its network stack (`nstat -az`, \
             /proc/net/softnet_stat), and at the switches on the way",
        );
    }
    let what = "were lost on the network or on the collector's machine, of which nothing is known";
    Diagnosis::new(lost(facts, messages, what), "name its admin listener, or read `nstat -az` and `ip -s link` there")
}

fn host(facts: &Facts<'_>, messages: u64) -> Diagnosis {
    let host = &facts.change.host;
    if !facts.is_local {
        let what = lost(facts, messages, "were dropped by this machine's own device or its queue");
        return Diagnosis::new(what, "send at a lower --rate, or look at the device (`ip -s link`, `tc -s qdisc`)");
    }
    let pieces = host.ip.in_discards.saturating_add(host.ip.reasm_fails);
    if host.softnet.dropped >= host.udp.no_ports.max(pieces) {
        let now = host.netdev_max_backlog.map_or(String::new(), |now| format!(", now {now}"));
        let what =
            lost(facts, messages, "were dropped before any socket saw them, because a processor's backlog was full");
        let fix = format!("sysctl -w net.core.netdev_max_backlog=16384{now}, or send in smaller bursts");
        return Diagnosis::new(what, fix);
    }
    if host.udp.no_ports >= pieces {
        let what = lost(facts, messages, "came to this machine while nobody listened on their port");
        return Diagnosis::new(what, "look whether the collector listens on the address that is sent to");
    }
    let what = lost(facts, messages, "were dropped by IP, most likely because a fragment was missing");
    Diagnosis::new(what, "send with a --size that fits the path's MTU")
}

fn socket_buffer(facts: &Facts<'_>, messages: u64) -> Diagnosis {
    /// What deploy/sysctl.d sets: the collector's own `receive.buffer`.
    const RMEM_MAX_BYTES: u64 = 64 << 20;
    let host = &facts.change.host;
    if facts.is_local && host.udp.mem_errors.saturating_mul(2) > messages {
        return Diagnosis::new(
            lost(facts, messages, "were dropped, because the memory for all UDP sockets of the machine was used up"),
            "raise the three numbers of pages of `sysctl net.ipv4.udp_mem`, or let fewer sockets have smaller buffers",
        );
    }
    let told = facts.change.collector.as_ref().and_then(|told| told.receive_buffer_bytes);
    let buffer = told.map_or(String::new(), |bytes| format!(" of {bytes} B"));
    let mut what = format!("were dropped at the collector's sockets, whose receive buffer{buffer} was full");
    if let Some(run) = facts.found.map(|found| found.loss_runs.max).filter(|run| *run > 0) {
        what.push_str(&format!(", up to {run} in a row"));
    }
    // The collector may be permitted more than the limit (SO_RCVBUFFORCE, socket(7)).
    let limit = host.rmem_max_bytes.filter(|_| facts.is_local);
    let larger = match limit {
        _ if told.max(limit) >= Some(RMEM_MAX_BYTES) => "let the collector ask for a larger buffer".to_owned(),
        Some(now) => format!("sysctl -w net.core.rmem_max={RMEM_MAX_BYTES}, now {now}, and restart the collector"),
        None => format!("sysctl -w net.core.rmem_max={RMEM_MAX_BYTES} there, and restart the collector"),
    };
    Diagnosis::new(
        lost(facts, messages, &what),
        format!("{larger}; or give it more receivers, or send in smaller bursts"),
    )
}

/// The name that was counted most.
fn most(counts: &BTreeMap<String, u64>) -> &str {
    counts.iter().max_by_key(|(_, count)| **count).map_or("", |(name, _)| name)
}

fn lost(facts: &Facts<'_>, messages: u64, what: &str) -> String {
    format!("{} {what}", share(messages, facts.offered))
}

fn share(messages: u64, offered: u64) -> String {
    format!("{messages} of {offered} messages ({})", share_to(4, messages as f64 / offered.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::situation::Situation;
    use crate::observe::collector::Books;
    use crate::observe::host::{Host, Ip, Softnet, Udp};
    use crate::observe::{CollectorChange, ProcessChange, SocketsChange};

    fn udp(udp: Udp) -> Host {
        Host { udp, rmem_max_bytes: Some(212_992), netdev_max_backlog: Some(1000), ..Host::default() }
    }

    fn sockets(sockets: usize, dropped: u64, life: Life) -> Option<SocketsChange> {
        Some(SocketsChange { sockets, dropped, queued_bytes: 0, life })
    }

    /// A logboom whose places are `books`, which received the rest.
    fn told(books: Books) -> Option<CollectorChange> {
        let Books { stored, in_flight, shed, refused, malformed, write_failed, .. } = books;
        let received = books.received.max(stored + in_flight + shed + refused + malformed + write_failed);
        let books = Books { received, exact: true, ..books };
        Some(CollectorChange { books, receive_buffer_bytes: Some(425_984), ..CollectorChange::default() })
    }

    /// Of 1,000 messages to a collector on this machine, `stored` are found.
    fn found(stored: u64) -> Situation {
        Situation::found(1000, stored)
    }

    #[track_caller]
    fn says(situation: Situation, parts: &[&str]) {
        let sentence = situation.close().sentence;
        for part in parts {
            assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
        }
        assert!(!sentence.contains(". ") && !sentence.contains('\n'), "more than one sentence: {sentence}");
    }

    #[test]
    fn what_is_complete_is_said_in_full() {
        says(found(1000), &["nothing is lost: all 1000 messages were found once and unchanged"]);
        let counted = Situation { offered: 1000, ..Situation::default() };
        let counted = counted.with_collector(told(Books { stored: 1000, ..Books::default() }));
        says(counted, &["nothing is lost: all 1000 messages were stored, by the collector's own count"]);
        says(Situation { offered: 1000, ..Situation::default() }, &["1000 messages were sent", "nobody asked"]);
        let books = Books { stored: 600, in_flight: 50, ..Books::default() };
        let silent = Situation { offered: 1000, ..Situation::default() }.with_collector(told(books)).with_silence();
        says(
            silent,
            &["1000 messages were sent", "not known, because at the end it did not answer: timeout", "--drain"],
        );
        let others = Situation { offered: 1000, ..Situation::default() };
        let others = others.with_collector(told(Books { stored: 1200, ..Books::default() }));
        says(others, &["no loss was counted, but of the 1200 messages", "whether all 1000 of this run", "--check"]);

        let mut twice = found(1000);
        twice.found.as_mut().unwrap().duplicates = 3;
        says(twice, &["no message is missing, but 3 were stored more than once", "listener"]);
        let mut changed = found(990);
        changed.found.as_mut().unwrap().corrupted = 10;
        says(
            changed,
            &["no message is missing, but 10 of 1000 messages (1.0000 %) were found changed", "cuts or rewrites"],
        );
    }

    #[test]
    fn an_invalid_run_judges_nobody_but_a_collector_that_died() {
        let slow = "the sender could not keep up: 900 messages a second instead of 1000; lower --rate";
        let invalid = Situation { invalid: Some(slow), ..found(900) };
        says(invalid, &["the run is invalid, and what it lost says little: the sender could not", slow]);
        let refused = Situation { invalid: Some("sent 900 of 1000 messages"), ..found(900) };
        says(refused.with_error("EMSGSIZE", 100), &["100 of 1000", "(EMSGSIZE): send with a smaller --size"]);
        let broken = Situation { invalid: Some("sending on flow 0: Broken pipe"), unsent: 100, ..found(900) };
        let broken = broken.with_sockets(sockets(0, 0, Life::Gone));
        says(
            broken,
            &["went away during the run and did not come back, and 100 of 1000 messages (10.0000 %) are lost"],
        );
    }

    #[test]
    fn a_closed_port_and_a_death_are_told_apart() {
        let closed = found(0).with_icmp("port_unreachable", 400);
        says(closed, &["nothing listens on udp://127.0.0.1:5514, and 1000 of 1000 messages", "start the collector"]);
        says(
            found(0).with_host(udp(Udp { no_ports: 1000, ..Udp::default() })),
            &["nothing listens on udp://127.0.0.1:5514"],
        );

        let mut later = found(600).with_icmp("port_unreachable", 400);
        later.found.as_mut().unwrap().lost_at_end = 400;
        says(later, &["was not there for a part of the run", "400 of them behind the last that it stored", "dmesg"]);
        let restarted = found(600).with_sockets(sockets(2, 10, Life::Restarted));
        says(
            restarted,
            &["the collector at udp://127.0.0.1:5514 was started or restarted during the run", "400 of 1000"],
        );
        let process = Some(ProcessChange { life: Life::Gone, ..ProcessChange::default() });
        says(found(600).with_process(process), &["went away during the run"]);
        let unknown = Situation { offered: 1000, ..Situation::default() }.with_icmp("port_unreachable", 7);
        says(unknown, &["7 of 1000 messages (0.7000 %) met nobody who listens", "start the collector"]);
    }

    #[test]
    fn neither_a_restart_nor_silence_takes_the_blame_for_a_full_buffer() {
        let restarted = found(600).with_sockets(sockets(2, 390, Life::Restarted));
        says(restarted, &["390 of 1000 messages (39.0000 %) were dropped at the collector's sockets"]);
        let silent = found(600).with_sockets(sockets(2, 400, Life::Whole));
        let silent = silent.with_collector(told(Books { stored: 600, ..Books::default() })).with_silence();
        says(silent, &["400 of 1000 messages (40.0000 %) were dropped at the collector's sockets"]);
    }

    #[test]
    fn full_buffers_have_their_sysctls() {
        let full = found(900).with_sockets(sockets(1, 100, Life::Whole)).with_host(udp(Udp::default()));
        let sysctl = "sysctl -w net.core.rmem_max=67108864, now 212992, and restart the collector";
        says(
            full,
            &["100 of 1000 messages (10.0000 %) were dropped at the collector's sockets", sysctl, "more receivers"],
        );
        let told = told(Books { stored: 900, socket_buffer: 100, ..Books::default() });
        let mut remote = Situation { is_remote: true, ..found(900) }.with_collector(told.clone());
        if let Some(found) = &mut remote.found {
            found.loss_runs.max = 62;
        }
        says(remote, &["receive buffer of 425984 B was full, up to 62 in a row", "rmem_max=67108864 there"]);
        let large = Host { rmem_max_bytes: Some(1 << 30), ..Host::default() };
        says(found(900).with_sockets(sockets(1, 100, Life::Whole)).with_host(large), &[": let the collector ask for"]);
        let forced = CollectorChange { receive_buffer_bytes: Some(64 << 20), ..told.unwrap() };
        let forced = found(900).with_host(udp(Udp::default())).with_collector(Some(forced));
        says(forced, &["receive buffer of 67108864 B was full: let the collector ask for a larger buffer"]);

        let memory = found(900).with_sockets(sockets(1, 100, Life::Whole));
        says(memory.with_host(udp(Udp { mem_errors: 80, ..Udp::default() })), &["UDP sockets", "net.ipv4.udp_mem"]);
        let backlog = Host { softnet: Softnet { dropped: 90, ..Softnet::default() }, ..udp(Udp::default()) };
        says(found(900).with_host(backlog), &["90 of 1000", "backlog", "netdev_max_backlog=16384, now 1000"]);
    }

    #[test]
    fn other_drops_of_the_machine_are_told_apart() {
        let no_port = udp(Udp { no_ports: 90, ..Udp::default() });
        says(found(900).with_host(no_port), &["90 of 1000", "nobody listened on their port"]);
        let pieces = Host { ip: Ip { reasm_fails: 90, ..Ip::default() }, ..Host::default() };
        says(found(900).with_host(pieces), &["90 of 1000", "fragment", "--size"]);
        let queue = Host { ip: Ip { out_discards: 90, ..Ip::default() }, ..Host::default() };
        says(
            Situation { is_remote: true, ..found(900) }.with_host(queue),
            &["this machine's own device", "tc -s qdisc"],
        );
    }

    #[test]
    fn what_the_collector_counts_has_its_remedy() {
        for (books, parts) in [
            (Books { shed: 100, ..Books::default() }, ["100 of 1000 messages (10.0000 %) were shed", "queue.memory"]),
            (Books { refused: 100, ..Books::default() }, ["were refused", "receive.allow"]),
            (Books { malformed: 100, ..Books::default() }, ["were no messages", "--framing"]),
            (Books { write_failed: 100, ..Books::default() }, ["disk would not take them", "df"]),
            (Books { in_flight: 100, ..Books::default() }, ["still on their way", "wait longer"]),
            (Books { received: 1000, ..Books::default() }, ["lost inside the collector", "rate limits"]),
        ] {
            says(found(900).with_collector(told(Books { stored: 900, ..books })), &parts);
        }
    }

    #[test]
    fn what_the_sender_was_told_has_its_remedy() {
        for (errno, parts) in [
            ("EMSGSIZE", ["longer than a datagram or the path's MTU", "--size"]),
            ("ENETUNREACH", ["no way to go (ENETUNREACH)", "ip route get"]),
            ("EPERM", ["were forbidden on this machine", "nft list ruleset"]),
            ("ENOBUFS", ["queue", "txqueuelen"]),
            ("EPIPE", ["connection that the collector had closed", "log"]),
            ("EIO", ["were refused by the kernel (EIO)", "--gso"]),
            ("broken", ["on a connection that broke", "reason"]),
            ("ENETDOWN", ["were refused by the kernel (ENETDOWN)", "errno(3)"]),
        ] {
            says(found(900).with_error(errno, 100), &parts);
        }
        for (kind, parts) in [
            ("host_unreachable", ["did not reach the collector's machine", "up"]),
            ("network_unreachable", ["did not reach the collector's network", "tracepath"]),
            ("prohibited", ["rejected by a firewall", "let it pass"]),
            ("too_big", ["longer than the path's MTU (ICMP too_big)", "--size"]),
            ("time_exceeded", ["in circles", "tracepath"]),
            ("parameter_problem", ["were answered with an error (ICMP parameter_problem)", "way there"]),
        ] {
            says(Situation { is_remote: true, ..found(900) }.with_icmp(kind, 100), &parts);
        }
        let mut overflow = found(900);
        overflow.sending.overflow = 100;
        says(overflow, &["100 of 1000 messages (10.0000 %) were dropped by the sender's own queue", "--rate"]);
        says(Situation { unsent: 100, ..found(900) }, &["were never sent, because the run ended early"]);
    }

    #[test]
    fn what_no_counter_explains_is_the_networks_only_if_there_is_one() {
        let remote = Situation { is_remote: true, ..found(900) };
        says(remote, &["lost on the network or on the collector's machine", "name its admin listener"]);
        let told = told(Books { stored: 900, ..Books::default() });
        let remote = Situation { is_remote: true, ..found(900) }.with_collector(told);
        says(remote, &["between this machine and the collector's sockets", "ethtool -S"]);
        says(
            found(900),
            &["100 of 1000 messages (10.0000 %) are missing, and no counter that can be read tells where"],
        );
    }
}
