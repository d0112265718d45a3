//! How far a scan has come, on a terminal.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::read::scan::ScanStats;

/// What takes no longer than this needs no telling.
const DELAY: Duration = Duration::from_secs(1);

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// Does `work` and shows on stderr how far it has come, if that is a terminal. Work that `prints` shows that itself on a
/// terminal, where the two would be mixed up.
pub(super) fn show_progress<R>(stats: &ScanStats, prints: bool, work: impl FnOnce() -> R) -> R {
    if !io::stderr().is_terminal() || prints && io::stdout().is_terminal() {
        return work();
    }
    let (working, done) = channel::<()>();
    std::thread::scope(|scope| {
        let target = ProgressDrawTarget::stderr_with_hz(4);
        scope.spawn(move || draw(stats, &done, target, [DELAY, INTERVAL]));
        let result = work();
        drop(working);
        result
    })
}

/// Draws until the other end of `done` is gone, first after the first of two spans of time and then each time the second is over.
fn draw(stats: &ScanStats, done: &Receiver<()>, target: ProgressDrawTarget, [delay, interval]: [Duration; 2]) {
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) =
        ProgressStyle::with_template("{binary_bytes} of {binary_total_bytes} read, {binary_bytes_per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    let mut wait = delay;
    while done.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let get = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        bar.set_length(get(&stats.to_read_bytes));
        bar.set_position(get(&stats.read_bytes));
        bar.tick();
        wait = interval;
    }
    bar.finish_and_clear();
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    #[test]
    fn what_is_read_of_how_much_is_shown_and_taken_away_again() {
        let stats = ScanStats::default();
        stats.to_read_bytes.store(3 << 20, Ordering::Relaxed);
        stats.read_bytes.store(1 << 20, Ordering::Relaxed);
        let terminal = InMemoryTerm::new(3, 80);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let (working, done) = channel();
        std::thread::scope(|scope| {
            let stats = &stats;
            scope.spawn(move || draw(stats, &done, target, [Duration::ZERO, Duration::from_millis(1)]));
            while !terminal.contents().starts_with("1.00 MiB of 3.00 MiB read, ") {
                std::thread::yield_now();
            }
            assert!(terminal.contents().ends_with(" left"), "{}", terminal.contents());
            drop(working);
        });
        assert_eq!(terminal.contents(), "");
    }
}
