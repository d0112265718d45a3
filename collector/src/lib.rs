//! logboom: collects logs over UDP (and TCP) into plain zstd files, and accounts for every message.
//!
//! ```text
//!  datagrams -> receive::udp    (rx-N: pinned threads; one SO_REUSEPORT socket a listener)  \
//!                                                                                             block -> queue
//!  streams   -> receive::stream (stream-N: tokio; RFC 6587 framing)                         /            |
//!                                                                                                        v
//!  files     <- store::sync (sync: fdatasync, seal)  <-  store::writer (wr-N: zstd, positioned writes) <-+
//! ```
//!
//! [`pipeline`] puts it together; [`ledger`] counts every message on its way; [`control`] answers questions; [`read`]
//! gives the messages back. `ARCHITECTURE.md` draws it with threads, memory and where to look for what.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod pipeline;
pub mod run;

pub mod bind;
pub mod network;
pub mod receive;

pub mod block;
pub mod queue;

pub mod store;

pub mod read;

pub mod ledger;
pub mod telemetry;

pub mod control;
