//! Runs to close the books of, for tests.

use super::{Facts, Ledger};
use crate::observe::host::Host;
use crate::observe::{Change, CollectorChange, ProcessChange, SocketsChange};
use crate::report::Sending;
use crate::verify::Verification;

/// What [`Facts`] refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct Situation {
    pub(super) is_remote: bool,
    pub(super) is_stream: bool,
    pub(super) offered: u64,
    pub(super) unsent: u64,
    pub(super) sending: Sending,
    pub(super) found: Option<Verification>,
    pub(super) change: Change,
    pub(super) invalid: Option<&'static str>,
}

impl Situation {
    /// `offered` messages to a collector on this machine, of which `stored` are found.
    pub(super) fn found(offered: u64, stored: u64) -> Self {
        let found = Verification { stored, lost: offered - stored, ..Verification::default() };
        Self { offered, found: Some(found), ..Self::default() }
    }

    pub(super) fn with_host(mut self, host: Host) -> Self {
        self.change.host = host;
        self
    }

    pub(super) fn with_sockets(mut self, sockets: Option<SocketsChange>) -> Self {
        self.change.sockets = sockets;
        self
    }

    pub(super) fn with_process(mut self, process: Option<ProcessChange>) -> Self {
        self.change.process = process;
        self
    }

    pub(super) fn with_collector(mut self, collector: Option<CollectorChange>) -> Self {
        self.change.collector = collector;
        self
    }

    /// Nor did it answer at the end.
    pub(super) fn with_silence(mut self) -> Self {
        self.change.collector_silent = Some("timeout".into());
        self
    }

    pub(super) fn with_error(mut self, errno: &str, messages: u64) -> Self {
        self.sending.errors.insert(errno.into(), messages);
        self
    }

    pub(super) fn with_icmp(mut self, kind: &str, messages: u64) -> Self {
        self.sending.icmp.insert(kind.into(), messages);
        self
    }

    pub(super) fn close(&self) -> Ledger {
        self.with_facts(Ledger::of)
    }

    pub(super) fn counted_lost(&self) -> Option<u64> {
        self.with_facts(|facts| facts.counted_lost(&Ledger::of(facts)))
    }

    fn with_facts<T>(&self, of: impl FnOnce(&Facts<'_>) -> T) -> T {
        let target = if self.is_stream { "tcp://127.0.0.1:5514" } else { "udp://127.0.0.1:5514" };
        of(&Facts {
            target: &target.parse().unwrap(),
            is_local: !self.is_remote,
            offered: self.offered,
            unsent: self.unsent,
            sending: &self.sending,
            found: self.found.as_ref(),
            change: &self.change,
            invalid: self.invalid,
        })
    }
}
