//! The options that say how a run is watched: those of `run`, `replay` and `search`, and of `compare` and `sweep` for all
//! their runs.

use std::time::Duration;

use clap::Args;

use crate::check::Check;
use crate::values::parse_wait;

#[derive(Args, Clone)]
pub(super) struct WatchOptions {
    /// How arrival is checked: dir:DIR (segments), files:PATTERN (text of any collector), admin:HOST:PORT (live, by a
    /// logboom), sink (a receiver of our own at the target) or none.
    #[arg(long, value_name = "CHECK", default_value_t)]
    pub(super) check: Check,
    /// The collector's admin listener, HOST:PORT, for its own count; known from --check admin. It must answer.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) admin: Option<String>,
    /// The collector's process, where its port does not tell, as in a container.
    #[arg(long)]
    pub(super) pid: Option<u32>,
    #[command(flatten)]
    pub(super) drain: Drain,
}

#[derive(Args, Clone, Copy)]
pub(super) struct Drain {
    /// What has not come when nothing came for so long is lost.
    #[arg(id = "drain", long, value_name = "TIME", default_value = "2s", value_parser = parse_wait)]
    pub(super) time: Duration,
}
