//! Group commit: jobs that come while others are being done are then done together, by the first who waits.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs of many threads, done by one of them at a time, in the order in which they came.
pub(super) struct Together<J, O> {
    queue: Mutex<Queue<J, O>>,
    done: Condvar,
}

struct Queue<J, O> {
    waiting: Vec<(u64, J)>,
    outcomes: BTreeMap<u64, O>,
    next: u64,
    /// One of those who wait is at work.
    busy: bool,
}

impl<J, O> Together<J, O> {
    pub fn new() -> Together<J, O> {
        let queue = Queue { waiting: Vec::new(), outcomes: BTreeMap::new(), next: 0, busy: false };
        Together { queue: Mutex::new(queue), done: Condvar::new() }
    }

    /// Returns when this job is done. `work` does all jobs that wait, and returns one outcome for each; it runs in one
    /// thread at a time. There are never more jobs than threads that call.
    pub fn run(&self, job: J, work: impl Fn(Vec<J>) -> Vec<O>) -> O {
        let mut queue = self.queue();
        let ticket = queue.next;
        queue.next += 1;
        queue.waiting.push((ticket, job));
        loop {
            if let Some(outcome) = queue.outcomes.remove(&ticket) {
                return outcome;
            }
            if queue.busy {
                queue = self.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.busy = true;
            let (tickets, jobs): (Vec<u64>, Vec<J>) = mem::take(&mut queue.waiting).into_iter().unzip();
            drop(queue);
            let outcomes = work(jobs);
            assert_eq!(outcomes.len(), tickets.len(), "one outcome for each job");
            queue = self.queue();
            queue.outcomes.extend(tickets.into_iter().zip(outcomes));
            queue.busy = false;
            self.done.notify_all();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<J, O>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn everybody_gets_the_outcome_of_their_own_job() {
        let together = Together::new();
        let double = |jobs: Vec<u64>| jobs.into_iter().map(|job| 2 * job).collect();
        thread::scope(|scope| {
            for job in 0..100 {
                let together = &together;
                scope.spawn(move || assert_eq!(together.run(job, double), 2 * job));
            }
        });
        assert!(together.queue().outcomes.is_empty());
    }

    #[test]
    fn jobs_that_come_meanwhile_are_done_together() {
        let (together, rounds) = (Together::new(), AtomicUsize::new(0));
        let begun = Barrier::new(2);
        let work = |jobs: Vec<u64>| {
            // The first round lasts until all others wait.
            if rounds.fetch_add(1, Ordering::Relaxed) == 0 {
                begun.wait();
                while together.queue().waiting.len() < 9 {
                    thread::yield_now();
                }
            }
            jobs
        };
        thread::scope(|scope| {
            scope.spawn(|| together.run(0, work));
            begun.wait();
            for job in 1..10 {
                let (together, work) = (&together, &work);
                scope.spawn(move || together.run(job, work));
            }
        });
        assert_eq!(rounds.load(Ordering::Relaxed), 2);
    }
}
