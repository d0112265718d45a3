//! loadgen: load for log collectors that proves delivery.
//!
//! `run` sends numbered messages on an absolute schedule and writes down what it sent; `verify` finds them again in what
//! a collector stored, ours or any other, and says exactly which are missing.
//!
//! * [`tag`]: what makes a message findable and checkable;
//! * [`message`]: the messages, made before the clock starts;
//! * [`schedule`] and [`pacer`]: when each is due, and in which groups they leave; pure;
//! * [`send`]: onto the wire, by UDP, TCP, TLS, or sockets of this machine;
//! * [`sender`]: one sending thread; [`quality`]: how good it was;
//! * [`run`]: one run from plan to report;
//! * `report`: what was planned and sent, as `run.json`;
//! * [`figures`]: what is told of a run, by name and unit; [`threshold`] and [`baseline`]: what it must keep; pure;
//! * [`report::judged`]: runs judged, and told as Markdown, CSV or JUnit XML;
//! * [`sink`]: receivers, to compare a collector with, and to test `verify` with;
//! * [`verify`]: stored, lost, duplicated, reordered, corrupted, and how long it took;
//! * [`observe`]: counters of the machine, of the collector's sockets and process, and of the collector itself;
//! * [`ledger`]: where each message ended, and one sentence about it; pure;
//! * [`view`]: what a run looks like while it goes on.

#![forbid(unsafe_code)]

pub mod cli;

pub mod message;
pub mod tag;

pub mod pacer;
pub mod schedule;
pub mod send;
pub mod target;

pub mod quality;
pub mod report;
pub mod run;
pub mod sender;

pub mod baseline;
pub mod figures;
pub mod threshold;

pub mod sink;

pub mod ledger;
pub mod observe;
pub mod verify;
pub mod view;

mod values;
