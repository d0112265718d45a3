//! Several targets in turn: the options of `compare` and `sweep` that say what is sent to and how it is watched.

use clap::Args;

use super::watch::{Drain, WatchOptions};
use crate::check::Check;
use crate::compare::TARGETS_MAX;
use crate::target::Target;

#[derive(Args)]
pub(super) struct Targets {
    /// Where to send: URLs, of one collector or of several.
    #[arg(value_name = "TARGET", required = true, num_args = 1..=TARGETS_MAX)]
    pub(super) targets: Vec<Target>,
    /// How arrival is checked: one for all targets, or one for each in their order; see run.
    #[arg(long = "check", value_name = "CHECK")]
    checks: Vec<Check>,
    /// The collectors' admin listeners: one for all, or one for each.
    #[arg(long = "admin", value_name = "ADDRESS")]
    admins: Vec<String>,
    /// The collectors' processes, where their ports do not tell: one for all, or one for each.
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
    #[command(flatten)]
    drain: Drain,
}

impl Targets {
    /// Each target, with how it is watched.
    ///
    /// # Errors
    /// Which option is given too seldom, in words.
    pub(super) fn watched(&self) -> Result<Vec<(Target, WatchOptions)>, String> {
        let watched = |(number, target): (usize, &Target)| {
            let watching = WatchOptions {
                check: self.of(number, "check", &self.checks)?.unwrap_or_default(),
                admin: self.of(number, "admin", &self.admins)?,
                pid: self.of(number, "pid", &self.pids)?,
                drain: self.drain,
            };
            Ok((target.clone(), watching))
        };
        self.targets.iter().enumerate().map(watched).collect()
    }

    /// The URLs.
    pub(super) fn names(&self) -> Vec<String> {
        self.targets.iter().map(ToString::to_string).collect()
    }

    /// What an option says for target `number`: the one value is for all.
    fn of<T: Clone>(&self, number: usize, option: &str, values: &[T]) -> Result<Option<T>, String> {
        match values {
            [] => Ok(None),
            [all] => Ok(Some(all.clone())),
            each if each.len() == self.targets.len() => Ok(Some(each[number].clone())),
            each => Err(format!("--{option} is given {} times: give it once, or once for each target", each.len())),
        }
    }
}
