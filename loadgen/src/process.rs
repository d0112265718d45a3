//! This process: what ends it, and how many files it may open.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What SIGINT and SIGTERM set; the second one ends the program at once.
///
/// # Errors
/// What sigaction(2) says.
pub(crate) fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    const ENDED_BY_SIGNAL: i32 = 130;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Before the other: it looks whether the flag was set before.
        signal_hook::flag::register_conditional_shutdown(signal, ENDED_BY_SIGNAL, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Raises the soft limit of open files to the hard one (getrlimit(2)); what it is then, `None` without one.
pub(crate) fn raise_files_max() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current
}
