//! Work on blocks done ahead by several threads, and its results taken in order: as fast as the processors, in bounded memory.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Results that may wait for each worker: it has one in hand while the next is taken.
const AHEAD_EACH: usize = 2;

struct State<T> {
    /// The number of the next piece of work.
    next: usize,
    /// Pieces taken so far.
    taken: usize,
    results: HashMap<usize, T>,
    stopped: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    pieces: usize,
    ahead: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_next(&self) -> Option<usize> {
        let mut state = self.lock();
        while !state.stopped && state.next < self.pieces && state.next >= state.taken + self.ahead {
            state = self.wait(state);
        }
        if state.stopped || state.next == self.pieces {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    fn put(&self, piece: usize, result: T) {
        self.lock().results.insert(piece, result);
        self.changed.notify_all();
    }

    fn take(&self, piece: usize) -> T {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.results.remove(&piece) {
                state.taken = piece + 1;
                self.changed.notify_all();
                return result;
            }
            state = self.wait(state);
        }
    }
}

/// Ends the workers, also when who takes their results fails.
struct StopOnDrop<'a, T>(&'a Shared<T>);

impl<T> Drop for StopOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

/// Lets each of `workers` do `work` on the pieces 0 to `pieces`, in a thread of its own, and gives `body` a function that takes the
/// results, which must be called for each piece in turn. At most two results a worker wait.
pub(super) fn in_order_ahead<W: Send, T: Send, R>(
    mut workers: Vec<W>,
    pieces: usize,
    work: impl Fn(&mut W, usize) -> T + Sync,
    body: impl FnOnce(&mut dyn FnMut(usize) -> T) -> R,
) -> R {
    if let [worker] = &mut *workers {
        // Nothing to gain: and `head` on a pipe costs one block and not several.
        return body(&mut |piece| work(worker, piece));
    }
    let state = State { next: 0, taken: 0, results: HashMap::new(), stopped: false };
    let shared =
        Shared { state: Mutex::new(state), changed: Condvar::new(), pieces, ahead: workers.len() * AHEAD_EACH };
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&shared);
        for worker in workers {
            scope.spawn(|| {
                let mut worker = worker;
                while let Some(piece) = shared.begin_next() {
                    shared.put(piece, work(&mut worker, piece));
                }
            });
        }
        body(&mut |piece| shared.take(piece))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_and_never_more_than_stated_wait() {
        let (begun, taken, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |_: &mut (), piece: usize| {
            let ahead = begun.fetch_add(1, Ordering::SeqCst) + 1 - taken.load(Ordering::SeqCst);
            most.fetch_max(ahead, Ordering::SeqCst);
            (0..(piece * 7919) % 1000).for_each(|_| std::hint::spin_loop());
            piece * 2
        };
        let results = in_order_ahead(vec![(); 4], 1000, work, |take| {
            (0..1000).map(|piece| (take(piece), taken.fetch_add(1, Ordering::SeqCst)).0).collect::<Vec<_>>()
        });
        assert_eq!(results, (0..1000).map(|piece| piece * 2).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 4 * AHEAD_EACH + 1, "{most:?} ahead");
    }

    #[test]
    fn who_stops_early_is_not_kept() {
        let work = |_: &mut (), piece: usize| piece;
        let first = in_order_ahead(vec![(); 4], 1_000_000, work, |take| [take(0), take(1)]);
        assert_eq!(first, [0, 1]);
        assert_eq!(in_order_ahead(vec![(); 4], 0, work, |_| "nothing"), "nothing");
    }
}
