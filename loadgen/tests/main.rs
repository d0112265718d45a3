//! Claims of loadgen, each a test against the program itself. One binary; the modules are its table of contents:
//!
//! * `delivery`: `verify` reports exactly what is missing, doubled, swapped and changed, first and last message included;
//! * `stored`: the same from whatever a collector makes of messages, with the times that are known;
//! * `sinks`: receivers of ours lose, double, swap and change what they are told to, and `verify` finds exactly that;
//! * `sending`: what `run` says it sent is what arrives, on schedule and in order;
//! * `replay`: what was once sent is sent again as it was, when it was, or says what is not;
//! * `local`: the same over sockets of this machine, where a full queue makes the sender wait;
//! * `tls`: the same encrypted, to the collector that was meant and to no other;
//! * `runs`: a run from plan to verdict: checks, thresholds, baselines, comparisons, overflow;
//! * `search`: the limit of a receiver is found, or it is told why not; a sweep goes past it;
//! * `report`: runs are told in every format as the golden files say, and judged by exit code;
//! * `probe`: whether a target can be reached, on this machine (a network between: `ci/probe`);
//! * `refusals`: bad input and broken plans have their own exit codes and one clear line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod claims {
    pub(crate) mod support;

    mod delivery;
    mod local;
    mod probe;
    mod refusals;
    mod replay;
    mod report;
    mod runs;
    mod search;
    mod sending;
    mod sinks;
    mod stored;
    mod tls;
}
