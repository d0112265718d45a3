//! Filling the places of a ledger, one after the other, until no message is left.

use std::collections::BTreeMap;

use super::{Entry, Facts, Place};
use crate::target::Transport;
use crate::verify::Verification;

/// Evidence of what a collector says of itself.
const OWN_COUNT: &str = "the collector's own count";

/// Books that are being closed.
pub(super) struct Closing {
    /// Messages that have no place yet.
    left: u64,
    entries: Vec<Entry>,
}

impl Closing {
    /// Every place, with the messages that ended there.
    pub(super) fn of(facts: &Facts<'_>) -> Vec<Entry> {
        let mut closing = Self::new(facts.offered);
        closing.found(facts);
        closing.sender(facts);
        closing.sockets(facts);
        closing.books(facts);
        closing.host(facts);
        closing.inside(facts);
        closing.rest(facts);
        closing.entries
    }

    fn new(offered: u64) -> Self {
        let entry = |place| Entry { place, messages: 0, exact: false, evidence: String::new() };
        Self { left: offered, entries: Place::ALL.into_iter().map(entry).collect() }
    }

    /// Puts `counted` messages, or as many as are left, in a place.
    fn put(&mut self, place: Place, counted: u64, exact: bool, evidence: &str) {
        let messages = counted.min(self.left);
        self.left -= messages;
        let entry = &mut self.entries[place as usize];
        entry.exact = exact && messages == counted && (entry.exact || entry.evidence.is_empty());
        entry.messages += messages;
        if !entry.evidence.is_empty() {
            entry.evidence.push_str("; ");
        }
        entry.evidence.push_str(evidence);
        if messages < counted {
            let more = format!(" (it counted {counted}, {} more than were missing)", counted - messages);
            entry.evidence.push_str(&more);
        }
    }

    /// The same for a counter that others share, if it counted anything.
    fn put_shared(&mut self, place: Place, counted: u64, evidence: &str) {
        if counted > 0 {
            self.put(place, counted, false, evidence);
        }
    }

    fn found(&mut self, facts: &Facts<'_>) {
        match (facts.found, &facts.change.collector) {
            (Some(found), _) => {
                self.put(Place::Stored, found.stored, true, "found as sent");
                // A change that made the number unreadable is counted in `lost` as well.
                self.put(Place::Corrupted, found.corrupted.min(self.left), true, "found, but changed");
            }
            (None, Some(told)) if facts.are_ours(told) => self.put(Place::Stored, told.books.stored, true, OWN_COUNT),
            (None, _) => {}
        }
    }

    fn sender(&mut self, facts: &Facts<'_>) {
        self.put(Place::Unsent, facts.unsent, true, "the sender's own count");
        let errors = facts.sending.errors.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
        self.put(Place::SenderErrors, errors, true, &by_name("the sender's own count", &facts.sending.errors));
        self.put(Place::SenderOverflow, facts.sending.overflow, true, "the sender's own count");
        let icmp = facts.sending.icmp.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
        self.put_shared(Place::Icmp, icmp, &by_name("errors that came back, at least", &facts.sending.icmp));
    }

    fn sockets(&mut self, facts: &Facts<'_>) {
        let udp = &facts.change.host.udp;
        match facts.socket_drops() {
            Some((dropped, exact)) => {
                let mut evidence = "drops that the kernel counted at the collector's sockets".to_owned();
                if facts.is_local && udp.mem_errors > 0 {
                    evidence.push_str(&format!(", {} on this machine for want of UDP memory", udp.mem_errors));
                }
                self.put(Place::SocketBuffer, dropped, exact, &evidence);
            }
            None if facts.is_local && facts.target.transport == Transport::Udp => {
                let dropped = udp.rcvbuf_errors.saturating_add(udp.mem_errors);
                self.put_shared(Place::SocketBuffer, dropped, "RcvbufErrors and MemErrors of this machine");
            }
            None => {}
        }
    }

    fn books(&mut self, facts: &Facts<'_>) {
        let Some(told) = &facts.change.collector else { return };
        let books = &told.books;
        let are_ours = facts.are_ours(told);
        let places = [
            (Place::Refused, books.refused),
            (Place::Shed, books.shed),
            (Place::Malformed, books.malformed),
            (Place::WriteFailed, books.write_failed),
        ];
        for (place, messages) in places {
            self.put(place, messages, are_ours, OWN_COUNT);
        }
        if told.ended_in_flight > 0 {
            self.put_shared(Place::Collector, told.ended_in_flight, "in the memory of a collector that ended");
        }
        // What it stored and has may be others', but what was lost may be ours.
        if facts.found.is_none() && !are_ours {
            self.put(Place::Stored, books.stored, false, OWN_COUNT);
        }
        self.put(Place::InFlight, books.in_flight, are_ours, OWN_COUNT);
        if facts.is_alone(told) {
            let kept = facts.found.map_or(books.stored, carried);
            let in_memory = told.ended_in_flight.saturating_add(books.in_flight);
            let placed = places.iter().fold(in_memory, |sum, (_, messages)| sum.saturating_add(*messages));
            let inside = books.received.saturating_sub(kept).saturating_sub(placed);
            self.put(Place::Collector, inside, are_ours, &format!("it received {}", books.received));
        }
    }

    /// What this machine's network stack dropped: of datagrams alone, for TCP sends again.
    fn host(&mut self, facts: &Facts<'_>) {
        if facts.target.transport != Transport::Udp {
            return;
        }
        let host = &facts.change.host;
        if facts.is_local {
            // ICMP errors came back for some of these.
            let no_port = host.udp.no_ports.saturating_sub(facts.icmp("port_unreachable"));
            self.put_shared(Place::Host, no_port, "NoPorts: nobody listened");
            self.put_shared(Place::Host, host.softnet.dropped, "softnet_stat: a processor's backlog was full");
            let ip = host.ip.in_discards.saturating_add(host.ip.reasm_fails);
            self.put_shared(Place::Host, ip, "InDiscards and ReasmFails of IP");
        } else {
            // A queueing discipline's drop is counted in both.
            let queue = host.ip.out_discards.max(host.udp.sndbuf_errors);
            self.put_shared(Place::Host, queue, "OutDiscards or SndbufErrors of the sender");
            for (name, device) in host.devices.iter().filter(|(name, _)| *name != "lo") {
                let unsent = device.tx_dropped.saturating_add(device.tx_errors);
                self.put_shared(Place::Host, unsent, &format!("tx_dropped and tx_errors of {name}"));
            }
        }
    }

    /// What was read on this machine, by a collector without books, and what was not.
    fn inside(&mut self, facts: &Facts<'_>) {
        if !facts.is_local || !facts.is_known() {
            return;
        }
        if let Some(found) = facts.found.filter(|_| facts.change.collector.is_none())
            && facts.target.transport == Transport::Udp
        {
            let read = facts.change.host.udp.in_datagrams;
            let lost = read.saturating_sub(carried(found));
            let evidence = format!("programs of this machine read {read} datagrams (InDatagrams)");
            self.put_shared(Place::Collector, lost.min(self.left), &evidence);
        }
        let queued_bytes = facts.change.sockets.map_or(0, |sockets| sockets.queued_bytes);
        if queued_bytes > 0 {
            self.put_shared(
                Place::InFlight,
                self.left,
                &format!("{queued_bytes} B wait unread in the collector's sockets"),
            );
        }
    }

    fn rest(&mut self, facts: &Facts<'_>) {
        let (place, evidence) = match &facts.change.collector {
            _ if !facts.is_known() => (Place::Unexplained, "nobody knows what the collector stored".to_owned()),
            _ if facts.is_local => (Place::Unexplained, "no counter of this machine tells".to_owned()),
            Some(told) => {
                let delivered = told.books.received.saturating_add(told.books.socket_buffer);
                (Place::Network, format!("the kernel had {delivered} for the collector's sockets"))
            }
            None => (Place::Network, "or the collector's machine, of which no counter is known".to_owned()),
        };
        self.put_shared(place, self.left, &evidence);
    }
}

/// What was found of a run, copies and all: so much the collector took at least, and kept.
fn carried(found: &Verification) -> u64 {
    [found.corrupted, found.duplicates, found.unexpected].into_iter().fold(found.stored, u64::saturating_add)
}

/// `evidence: EMSGSIZE 3, EPERM 1`, or only the evidence.
fn by_name(evidence: &str, counts: &BTreeMap<String, u64>) -> String {
    let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if counts.is_empty() { evidence.to_owned() } else { format!("{evidence}: {}", counts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::Ledger;
    use crate::ledger::situation::Situation;
    use crate::observe::collector::Books;
    use crate::observe::host::{Host, Udp};
    use crate::observe::{Change, CollectorChange, Life, SocketsChange};
    use crate::report::Sending;

    fn at(ledger: &Ledger, place: Place) -> (u64, bool) {
        let entry = &ledger.places[place as usize];
        assert_eq!(entry.place, place);
        (entry.messages, entry.exact)
    }

    fn dropped(dropped: u64) -> Option<SocketsChange> {
        Some(SocketsChange { sockets: 1, dropped, ..SocketsChange::default() })
    }

    #[test]
    fn each_place_gets_what_was_counted_there() {
        let books = Books { received: 880, stored: 800, shed: 50, in_flight: 20, exact: true, ..Books::default() };
        let told = CollectorChange { books, ..CollectorChange::default() };
        let situation = Situation { unsent: 5, ..Situation::found(1000, 790) };
        let situation = situation.with_error("EMSGSIZE", 3).with_icmp("too_big", 2).with_sockets(dropped(60));
        let ledger = Situation { is_remote: true, ..situation }.with_collector(Some(told)).close();
        for (place, messages, exact) in [
            (Place::Unsent, 5, true),
            (Place::SenderErrors, 3, true),
            (Place::SenderOverflow, 0, true),
            (Place::Icmp, 2, false),
            (Place::Network, 50, false),
            (Place::SocketBuffer, 60, true),
            (Place::Shed, 50, true),
            (Place::InFlight, 20, true),
            (Place::Collector, 20, true),
            (Place::Stored, 790, true),
            (Place::Unexplained, 0, false),
        ] {
            assert_eq!(at(&ledger, place), (messages, exact), "{place:?}");
        }
        assert_eq!(ledger.places[Place::SenderErrors as usize].evidence, "the sender's own count: EMSGSIZE 3");
    }

    #[test]
    fn the_sockets_own_counter_goes_before_those_of_the_whole_machine() {
        let noise = Host { udp: Udp { no_ports: 50, ..Udp::default() }, ..Host::default() };
        let ledger = Situation::found(1000, 900).with_sockets(dropped(100)).with_host(noise.clone()).close();
        assert_eq!(at(&ledger, Place::SocketBuffer), (100, true));
        assert_eq!(at(&ledger, Place::Host), (0, false));
        let ledger = Situation::found(1000, 900).with_sockets(dropped(70)).with_host(noise).close();
        assert_eq!((at(&ledger, Place::SocketBuffer), at(&ledger, Place::Host)), ((70, true), (30, false)));
        let evidence = &ledger.places[Place::Host as usize].evidence;
        assert!(evidence.contains("counted 50, 20 more than were missing"), "{evidence}");
    }

    #[test]
    fn a_counter_that_explains_too_much_is_capped_and_no_more_exact() {
        let ledger = Situation::found(1000, 900).with_sockets(dropped(130)).close();
        assert_eq!(at(&ledger, Place::SocketBuffer), (100, false));
        let ledger = Situation::found(1000, 1000).with_sockets(dropped(130)).close();
        assert_eq!((ledger.missing(), at(&ledger, Place::SocketBuffer)), (0, (0, false)));
    }

    #[test]
    fn udp_memory_explains_the_sockets_drops_and_is_not_added_to_them() {
        let host = Host { udp: Udp { mem_errors: 60, rcvbuf_errors: 40, ..Udp::default() }, ..Host::default() };
        let ledger = Situation::found(1000, 900).with_sockets(dropped(90)).with_host(host.clone()).close();
        assert_eq!((at(&ledger, Place::SocketBuffer), ledger.at(Place::Unexplained)), ((90, true), 10));
        // Where the sockets are not seen they stand for them.
        let ledger = Situation::found(1000, 850).with_host(host).close();
        assert_eq!((at(&ledger, Place::SocketBuffer), ledger.at(Place::Unexplained)), ((100, false), 50));
    }

    #[test]
    fn errors_that_came_back_are_not_counted_again_as_ports_nobody_listens_on() {
        let host = Host { udp: Udp { no_ports: 100, ..Udp::default() }, ..Host::default() };
        let ledger = Situation::found(1000, 900).with_icmp("port_unreachable", 60).with_host(host).close();
        assert_eq!((ledger.at(Place::Icmp), ledger.at(Place::Host), ledger.at(Place::Unexplained)), (60, 40, 0));
    }

    #[test]
    fn a_collector_without_books_is_judged_by_what_was_read() {
        let host = Host { udp: Udp { in_datagrams: 950, ..Udp::default() }, ..Host::default() };
        let ledger = Situation::found(1000, 900).with_host(host.clone()).close();
        assert_eq!((ledger.at(Place::Collector), ledger.at(Place::Unexplained)), (50, 50));
        let queued = SocketsChange { sockets: 1, queued_bytes: 64_000, ..SocketsChange::default() };
        let ledger = Situation::found(1000, 900).with_host(host).with_sockets(Some(queued)).close();
        assert_eq!((ledger.at(Place::Collector), at(&ledger, Place::InFlight)), (50, (50, false)));
    }

    #[test]
    fn what_died_in_memory_is_lost_in_the_collector() {
        let books = Books { received: 980, stored: 900, ..Books::default() };
        let told = CollectorChange { books, ended_in_flight: 30, life: Life::Restarted, ..CollectorChange::default() };
        let ledger = Situation::found(1000, 905).with_collector(Some(told)).close();
        assert_eq!((at(&ledger, Place::Collector), ledger.at(Place::Unexplained)), ((75, false), 20));
    }

    #[test]
    fn a_collector_that_others_send_to_is_not_held_to_what_it_received() {
        let books = Books { received: 5000, stored: 4990, shed: 10, exact: true, ..Books::default() };
        let told = CollectorChange { books, ..CollectorChange::default() };
        let ledger = Situation { is_remote: true, ..Situation::found(1000, 900) }.with_collector(Some(told)).close();
        assert_eq!((at(&ledger, Place::Shed), ledger.at(Place::Collector)), ((10, false), 0));
        assert_eq!(at(&ledger, Place::Network), (90, false));
    }

    /// Of 100,000 messages 4,000 were dropped at the collector's sockets; of others it stored 10,000.
    fn beside_others() -> Situation {
        let (received, stored, in_flight) = (106_000, 105_500, 500);
        let books = Books { received, stored, in_flight, socket_buffer: 4_000, exact: true, ..Books::default() };
        let told = CollectorChange { books, ..CollectorChange::default() };
        Situation { offered: 100_000, ..Situation::default() }.with_collector(Some(told))
    }

    #[test]
    fn without_a_check_what_others_had_stored_does_not_hide_what_was_lost_of_ours() {
        let ledger = beside_others().close();
        assert_eq!((at(&ledger, Place::SocketBuffer), at(&ledger, Place::Stored)), ((4_000, false), (96_000, false)));
        assert_eq!(ledger.at(Place::InFlight), 0, "nor what others have on their way");
        assert_eq!(beside_others().counted_lost(), Some(4_000));
        // Without others it is known what was stored, and a drop at the sockets is not ours.
        let books = Books { received: 1000, stored: 1000, exact: true, ..Books::default() };
        let told = CollectorChange { books, ..CollectorChange::default() };
        let alone = Situation { offered: 1000, ..Situation::default() };
        let alone = alone.with_collector(Some(told)).with_sockets(dropped(7));
        assert_eq!((at(&alone.close(), Place::Stored), alone.counted_lost()), ((1000, true), Some(0)));
    }

    #[test]
    fn what_nobody_counts_is_not_counted_as_nothing() {
        let nobody = Situation { offered: 1000, ..Situation::default() };
        assert_eq!(nobody.counted_lost(), None);
        assert_eq!(Situation { is_remote: true, ..nobody.clone() }.counted_lost(), None);
        assert_eq!(nobody.clone().with_sockets(dropped(0)).counted_lost(), Some(0));
        assert_eq!(nobody.clone().with_icmp("port_unreachable", 3).counted_lost(), Some(3));
        let host = Host { udp: Udp { rcvbuf_errors: 5, ..Udp::default() }, ..Host::default() };
        assert_eq!(nobody.with_host(host).counted_lost(), Some(5));
        assert_eq!(Situation::found(1000, 900).with_sockets(dropped(100)).counted_lost(), None, "somebody looked");
    }

    #[test]
    fn of_a_collector_that_fell_silent_nobody_knows_what_it_stored() {
        let books = Books { received: 600, stored: 590, in_flight: 10, exact: true, ..Books::default() };
        let told = CollectorChange { books, ..CollectorChange::default() };
        let silent = Situation { offered: 1000, ..Situation::default() }.with_collector(Some(told)).with_silence();
        let ledger = silent.close();
        assert_eq!((at(&ledger, Place::Stored), at(&ledger, Place::InFlight)), ((590, false), (10, false)));
        assert_eq!((ledger.unexplained, silent.counted_lost()), (400, None));
        assert_eq!(silent.clone().with_sockets(dropped(30)).counted_lost(), Some(30), "the kernel still counts");
        // One that was seen to go has lost what it did not tell of.
        let gone = SocketsChange { life: Life::Gone, ..SocketsChange::default() };
        assert_eq!(silent.with_sockets(Some(gone)).counted_lost(), Some(400));
    }

    #[test]
    fn drops_are_ours_only_if_this_machine_read_no_more_than_was_sent() {
        let read = |in_datagrams| Host { udp: Udp { in_datagrams, ..Udp::default() }, ..Host::default() };
        for (in_datagrams, exact) in [(900, true), (901, false)] {
            let ledger = Situation::found(1000, 900).with_sockets(dropped(100)).with_host(read(in_datagrams)).close();
            assert_eq!(at(&ledger, Place::SocketBuffer), (100, exact));
        }
    }

    #[test]
    fn copies_are_not_lost_inside_the_collector() {
        let mut situation = Situation::found(1000, 900);
        let found = situation.found.as_mut().unwrap();
        (found.duplicates, found.unexpected) = (60, 20);
        let books = Books { received: 980, stored: 980, exact: true, ..Books::default() };
        let told = CollectorChange { books, ..CollectorChange::default() };
        let ledger = situation.clone().with_collector(Some(told)).close();
        assert_eq!((ledger.at(Place::Collector), ledger.at(Place::Unexplained)), (0, 100));
        let host = Host { udp: Udp { in_datagrams: 990, ..Udp::default() }, ..Host::default() };
        let ledger = situation.with_host(host).close();
        assert_eq!((ledger.at(Place::Collector), ledger.at(Place::Unexplained)), (10, 90));
    }

    #[test]
    fn what_waits_unread_is_in_flight_though_the_collector_has_books() {
        let books = Books { received: 600, stored: 600, exact: true, ..Books::default() };
        let told = CollectorChange { books, ..CollectorChange::default() };
        let queued = SocketsChange { sockets: 1, queued_bytes: 64_000, ..SocketsChange::default() };
        let frozen = Situation::found(1000, 600).with_collector(Some(told)).with_sockets(Some(queued)).with_silence();
        assert_eq!(at(&frozen.close(), Place::InFlight), (400, false));
    }

    #[test]
    fn a_number_that_became_unreadable_is_not_counted_twice() {
        let mut situation = Situation::found(1000, 990);
        situation.found.as_mut().unwrap().corrupted = 12;
        let ledger = situation.close();
        assert_eq!((ledger.at(Place::Corrupted), ledger.at(Place::Unexplained)), (10, 0));
    }

    /// Small numbers, which meet, and any at all.
    fn count() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0..200u64, 1 => any::<u64>()]
    }

    fn life() -> impl Strategy<Value = Life> {
        prop_oneof![Just(Life::Whole), Just(Life::Restarted), Just(Life::Gone)]
    }

    fn change() -> impl Strategy<Value = Change> {
        let sockets = (0..3usize, count(), count(), life());
        let sockets = sockets.prop_map(|(sockets, dropped, queued_bytes, life)| SocketsChange {
            sockets,
            dropped,
            queued_bytes,
            life,
        });
        let told = (proptest::array::uniform9(count()), any::<bool>(), life());
        let told = told.prop_map(|(counts, exact, life)| {
            let [received, stored, in_flight, shed, refused, malformed, write_failed, socket_buffer, ended_in_flight] =
                counts;
            let books =
                Books { received, stored, in_flight, shed, refused, malformed, write_failed, socket_buffer, exact };
            CollectorChange { books, ended_in_flight, life, ..CollectorChange::default() }
        });
        let host = proptest::array::uniform8(count()).prop_map(|counts| {
            let mut host = Host::default();
            [host.udp.in_datagrams, host.udp.no_ports, host.udp.rcvbuf_errors, host.udp.mem_errors, ..] = counts;
            [.., host.softnet.dropped, host.ip.in_discards, host.ip.reasm_fails, host.ip.out_discards] = counts;
            host.devices.entry("eth0".into()).or_default().tx_dropped = counts[0];
            host
        });
        let parts = (proptest::option::of(sockets), proptest::option::of(told), host);
        parts.prop_map(|(sockets, collector, host)| Change { sockets, collector, host, ..Change::default() })
    }

    fn situation() -> impl Strategy<Value = Situation> {
        let sent = (0..1000u64, 0..1000u64, 0..1000u64, any::<bool>(), any::<bool>(), any::<bool>());
        let counts = (count(), count(), btree_map("E[A-Z]{4}", count(), 0..3), btree_map("[a-z_]{8}", count(), 0..3));
        (sent, counts, change()).prop_map(|(sent, counts, change)| {
            let (offered, stored, corrupted, is_found, is_remote, is_stream) = sent;
            let (unsent, overflow, errors, icmp) = counts;
            let sending = Sending { overflow, errors, icmp, ..Sending::default() };
            let mut situation = Situation::found(offered, stored.min(offered));
            if let Some(found) = &mut situation.found {
                found.corrupted = corrupted;
            }
            situation.found = situation.found.filter(|_| is_found);
            Situation { is_remote, is_stream, unsent, sending, change, ..situation }
        })
    }

    proptest! {
        #[test]
        fn every_message_is_in_exactly_one_place(situation in situation()) {
            let ledger = situation.close();
            prop_assert_eq!(ledger.places.iter().map(|entry| entry.messages).sum::<u64>(), situation.offered);
            prop_assert_eq!(ledger.places.iter().map(|entry| entry.place).collect::<Vec<_>>(), Place::ALL);
            prop_assert_eq!(ledger.unexplained, ledger.at(Place::Unexplained));
            prop_assert!(situation.is_remote || ledger.at(Place::Network) == 0);
            if let Some(found) = situation.found {
                prop_assert_eq!(ledger.at(Place::Stored), found.stored);
            }
        }
    }
}
