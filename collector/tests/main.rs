//! Claims of the collector, each a test against the program itself on real sockets. One binary; the modules are its table
//! of contents:
//!
//! * `bytes`: what is sent comes back byte for byte, with its sender;
//! * `streams`: TCP loses nothing, in either framing, and waits rather than drop;
//! * `senders`: who may send, how much of us anybody may take, and what is told of gaps before us;
//! * `places`: ranges of ports, multicast groups, sockets in the file system, of systemd, and below 1024;
//! * `tls`: encrypted streams, whose certificates are taken, and their renewal;
//! * `holes`: known holes of other collectors;
//! * `accounting`: what is missing is in the ledger, to the message;
//! * `overload`: what cannot be stored is shed by severity, within bounded memory;
//! * `steering`: which receiver gets a datagram, and that reading gives the order back;
//! * `shutdown`: nothing received is lost by a signal;
//! * `segments`: rotation, sealing, reading while writing, other tools;
//! * `keeping`: what is stored stays: recovery, the rewrite, retention, repair, and readers beside them;
//! * `reading`: filters, grep, tail, counting: what is asked for comes, once, and nothing is decoded in vain;
//! * `admin`: the HTTP routes;
//! * `check`: the messages of a test run are shown once each, as they are written, and when they are synced;
//! * `refusals`: bad input is told in one clear line, and nothing is left half-started;
//! * `config_file`: the annotated configuration is the default one.
//!
//! Nothing here passes by timing: tests wait for a counter or a line, with a generous limit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod claims {
    pub(crate) mod support;

    mod accounting;
    mod admin;
    mod bytes;
    mod check;
    mod config_file;
    mod holes;
    mod keeping;
    mod overload;
    mod places;
    mod reading;
    mod refusals;
    mod segments;
    mod senders;
    mod shutdown;
    mod steering;
    mod streams;
    mod tls;
}
