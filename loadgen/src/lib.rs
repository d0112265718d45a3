//! loadgen: load for log collectors that proves delivery.
//!
//! `run` sends numbered messages on an absolute schedule and writes down what it sent; `verify` finds them again in what
//! a collector stored, ours or any other, and says exactly which are missing.
//!
//! * [`tag`]: what makes a message findable and checkable;
//! * [`message`]: the messages, made before the clock starts;
//! * [`replay`]: what was once sent, from captures, segments and text;
//! * [`schedule`] and [`pacer`]: when each is due, and in which groups they leave; pure;
//! * [`send`]: onto the wire, by UDP, TCP, TLS, or sockets of this machine;
//! * [`sender`]: one sending thread; [`quality`]: how good it was; [`clocks`]: what times are of;
//! * [`order`]: what a run is to do; [`run`]: from there to its report;
//! * [`sink`]: reference receivers, to compare a collector with;
//! * [`verify`]: stored, lost, duplicated, reordered, corrupted; [`check`]: of which run, where, and when;
//! * [`observe`]: counters of the machine, the sockets, the process and the collector;
//! * [`ledger`]: where each message ended, and one sentence about it; pure;
//! * [`monitor`]: who looks while a run goes on; [`view`]: what it looks like;
//! * [`report`]: what became of a run, as `run.json`; [`report::judged`]: as Markdown, CSV, JUnit XML or a page of HTML;
//! * [`figures`]: what is told of a run, by name and unit; [`threshold`] and [`baseline`]: what it must keep; pure;
//! * [`compare`]: runs side by side; [`search`]: the greatest load that a collector keeps up with; [`sweep`]: what happens
//!   below and above it;
//! * [`probe`]: whether a target can be reached, and what is on the way; [`icmp`]: what the network says of what it did not
//!   deliver.

#![forbid(unsafe_code)]

pub mod cli;

pub mod icmp;
pub mod probe;

pub mod message;
pub mod replay;
pub mod tag;

pub mod clocks;
pub mod pacer;
pub mod schedule;
pub mod send;
pub mod target;

pub mod check;
pub mod order;
mod process;
pub mod quality;
pub mod run;
pub mod sender;
pub mod sink;
pub mod verify;

pub mod ledger;
pub mod monitor;
pub mod observe;
pub mod view;

pub mod baseline;
pub mod compare;
pub mod figures;
pub mod report;
pub mod search;
pub mod sweep;
pub mod threshold;

mod values;
