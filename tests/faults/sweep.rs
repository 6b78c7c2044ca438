//! Sweeps: the same step again and again, each time with the fault at the next call, until there is no such call.

use super::{Fault, Pair, Shim};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;

/// Steps at a time. Guess: most of a step is waiting, on two cores.
const WORKERS: usize = 4;

/// So many steps in a row without the fault end a sweep: how many calls there are differs a little from run to run, with
/// how the bytes come in.
const UNMET_ENDS: usize = 3;

/// A sweep that hits fewer calls proves nothing: the program's calls are not seen. Guess: half of what the shortest needs.
const FEWEST_CALLS: usize = 5;

/// A sweep that comes so far does not end by itself.
const MOST_CALLS: u64 = 2000;

/// What a step found.
#[derive(Default)]
pub struct Report {
    /// The fault happened: there was an n-th call.
    pub met: bool,
    /// What was not as it must be.
    pub defects: Vec<String>,
    /// The file that was being stored or fetched when it happened was acknowledged.
    pub acknowledged: bool,
}

/// Steps with each of `faults` at n = 1, 2, 3 … Prints a line for each fault, and fails if there was any defect.
pub fn sweep(shim: &Shim, what: &str, faults: &[Fault], step: impl Fn(&mut Pair, Fault, u64) -> Report + Sync) {
    let jobs = Mutex::new(Jobs::new(what, faults));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut pair = Pair::new(shim);
                loop {
                    let Some((fault, n)) = jobs.lock().unwrap().next() else { return };
                    let report = step(&mut pair, fault, n);
                    jobs.lock().unwrap().done(fault, n, report);
                }
            });
        }
    });
    let jobs = jobs.into_inner().unwrap();
    jobs.sweeps.iter().for_each(|sweep| sweep.print(what));
    let seen = jobs.sweeps.iter().all(|sweep| sweep.met >= FEWEST_CALLS);
    assert!(seen, "{what}: the shim hits too few calls");
    let defects: Vec<String> = jobs.sweeps.into_iter().flat_map(|sweep| sweep.defects).collect();
    assert!(defects.is_empty(), "{what}: {} defects:\n{}", defects.len(), defects.join("\n"));
}

struct Jobs {
    waiting: VecDeque<Fault>,
    sweeps: Vec<Sweep>,
    what: String,
}

/// All steps with one fault.
struct Sweep {
    fault: Fault,
    begun: u64,
    met: usize,
    unmet: usize,
    acknowledged: usize,
    defects: Vec<String>,
}

impl Jobs {
    fn new(what: &str, faults: &[Fault]) -> Jobs {
        Jobs { waiting: faults.iter().copied().collect(), sweeps: Vec::new(), what: what.to_owned() }
    }

    fn next(&mut self) -> Option<(Fault, u64)> {
        if self.sweeps.last().is_none_or(|sweep| sweep.unmet >= UNMET_ENDS) {
            let fault = self.waiting.pop_front()?;
            let sweep = Sweep { fault, begun: 0, met: 0, unmet: 0, acknowledged: 0, defects: Vec::new() };
            self.sweeps.push(sweep);
        }
        let sweep = self.sweeps.last_mut().expect("pushed just above");
        sweep.begun += 1;
        assert!(sweep.begun < MOST_CALLS, "{}: a sweep without end", self.what);
        Some((sweep.fault, sweep.begun))
    }

    fn done(&mut self, fault: Fault, n: u64, report: Report) {
        let sweep = self.sweeps.iter_mut().find(|sweep| sweep.fault == fault).expect("it was begun");
        sweep.met += usize::from(report.met);
        sweep.unmet += usize::from(!report.met);
        sweep.acknowledged += usize::from(report.acknowledged);
        let told = report.defects.into_iter().map(|defect| format!("{fault}, call {n}: {defect}"));
        sweep.defects.extend(told);
    }
}

impl Sweep {
    fn print(&self, what: &str) {
        let Sweep { fault, begun, met, acknowledged, defects, .. } = self;
        eprintln!(
            "{what}, {fault}: {met} calls hit in {begun} steps, {acknowledged} acknowledged, {} defects",
            defects.len()
        );
    }
}
