//! Decides how independent runs share the cores: each item is its own seeded computation, results
//! come in the order of the items, so the number of threads changes nothing but the time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How a long computation is carried out: on how many threads, how it tells its progress, and
/// how it is stopped early.
pub struct Work<'a> {
    pub jobs: usize,
    pub seed: u64,
    /// Shorter runs and looser bars: what CI can afford.
    pub quick: bool,
    /// Called with (items done, items in all, what they are) as items finish, from any thread.
    pub progress: &'a (dyn Fn(usize, usize, &str) + Sync),
    /// Set by Ctrl-C: no new item is begun.
    pub stop: &'a AtomicBool,
}

static NEVER: AtomicBool = AtomicBool::new(false);

impl Work<'static> {
    /// Silent and unstoppable, for tests.
    pub fn quiet(seed: u64) -> Work<'static> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        Work { jobs, seed, quick: true, progress: &|_, _, _| {}, stop: &NEVER }
    }
}

impl Work<'_> {
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Applies `run` to each item. An item that was not begun when the work was stopped has no
    /// result.
    pub fn map<T: Sync, R: Send>(
        &self,
        what: &str,
        items: &[T],
        run: impl Fn(&T) -> R + Sync,
    ) -> Vec<Option<R>> {
        let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let worker = || {
            while !self.stopped() {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { break };
                let result = run(item);
                *results[at].lock().expect("one thread writes each result") = Some(result);
                (self.progress)(1 + done.fetch_add(1, Ordering::Relaxed), items.len(), what);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.jobs.min(items.len()) {
                scope.spawn(worker);
            }
            worker();
        });
        let inner = |m: Mutex<Option<R>>| m.into_inner().expect("no worker panicked");
        results.into_iter().map(inner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_do_not_depend_on_the_threads_and_a_stop_keeps_what_is_done() {
        let items: Vec<u64> = (0..100).collect();
        let squares = |jobs| Work { jobs, ..Work::quiet(1) }.map("squares", &items, |i| i * i);
        assert_eq!(squares(1), squares(7));
        let stop = AtomicBool::new(false);
        let work = Work { jobs: 1, stop: &stop, ..Work::quiet(1) };
        let some = work.map("some", &items, |&i| stop.store(i == 41, Ordering::Relaxed));
        assert_eq!(some.iter().flatten().count(), 42);
    }
}
