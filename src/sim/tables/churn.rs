//! Lookups while peers come and go: Chord, ToN 2003, Table III.

use super::super::Weather;
use super::super::churn::{Churn, Departure};
use super::restless::{Lookups, Restless};
use super::{Cell, Computed, Line, Order, Table, Tell, aim, part};
use crate::overlay::{Kind, RingTuning};
use std::time::Duration;

/// Peers, as in the paper.
const PEERS: usize = 1000;
/// Lookups of a line. The paper has 7,200, one a second for two hours.
const LOOKUPS: usize = 10_000;
/// Lookups a second, by all together. Five times the paper's: still only one in three minutes from each peer, while its
/// upkeep asks every four seconds.
const RATE: f64 = 5.0;

/// The paper's lists, fingers and rhythm.
const CHORD: RingTuning = RingTuning {
    list_len: 20,
    fingers: 1,
    stabilise_every: Duration::from_secs(30),
    finger_every: Duration::from_secs(30),
};

/// Joins and departures a second; mean hops, timeouts of a lookup, failures of 10,000.
const PAPER: [(f64, f64, f64, f64); 8] = [
    (0.05, 3.90, 0.05, 0.0),
    (0.10, 3.83, 0.11, 0.0),
    (0.15, 3.84, 0.16, 2.0),
    (0.20, 3.81, 0.23, 5.0),
    (0.25, 3.83, 0.30, 6.0),
    (0.30, 3.91, 0.34, 8.0),
    (0.35, 3.94, 0.42, 16.0),
    (0.40, 4.06, 0.46, 15.0),
];

/// Most failures of 10,000 where all say goodbye, and where all crash.
const AIMS: (f64, f64) = (1.0, 6.0);
/// Most timeouts of a lookup at the highest rate.
const TIMEOUTS_AIM: f64 = 0.23;

pub(super) fn table(order: Order) -> Table {
    let line = |(rate, path, timeouts, failed): (f64, f64, f64, f64)| {
        Line::new(format!("{rate:.2} joins and departures a second"), move |tell| {
            line(order, rate, (path, timeouts, failed), tell)
        })
    };
    Table {
        title: "Lookups of 1,000 peers, five a second in all, while peers join and leave at a rate".to_owned(),
        source: "Chord, ToN 2003, Table III: 20 successors, stabilisation every 30 s. \"Chord's\" is our peer with these \
                 lists and times. \"Crash\": ours, where nobody says goodbye. A timeout is a \
                 question never answered; \"overdue\" are late ones too: we wait for the measured round trip, the paper 500 ms.",
        columns: vec![
            "R",
            "paper hops",
            "Chord's hops",
            "our hops",
            "paper timeouts",
            "Chord's timeouts",
            "our timeouts",
            "crash timeouts",
            "paper failed/10,000",
            "Chord's failed",
            "our failed",
            "crash failed",
            "our overdue",
            "our p50 ms",
            "our B/s",
        ],
        words: &[],
        lines: PAPER.into_iter().map(line).collect(),
    }
}

fn line(order: Order, rate: f64, paper: (f64, f64, f64), tell: Tell) -> Computed {
    let (paper_path, paper_timeouts, paper_failed) = paper;
    let ours = RingTuning::DEFAULT;
    let chord = run(order, rate, CHORD, Duration::from_secs(30), Departure::Leave, &mut part(tell, 0, 3));
    let leaving = run(order, rate, ours, Duration::from_secs(15), Departure::Leave, &mut part(tell, 1, 3));
    let crashing = run(order, rate, ours, Duration::from_secs(15), Departure::Crash, &mut part(tell, 2, 3));
    let mut aims = vec![
        aim(format!("at most {} failure of 10,000 at R = {rate}", AIMS.0), per_10_000(&leaving) <= AIMS.0),
        aim(format!("at most {} where all crash, at R = {rate}", AIMS.1), per_10_000(&crashing) <= AIMS.1),
    ];
    if rate == 0.40 {
        aims.push(aim(format!("at most {TIMEOUTS_AIM} timeouts at R = {rate}"), leaving.timeouts <= TIMEOUTS_AIM));
    }
    for broken in [&chord, &leaving, &crashing].iter().filter_map(|lookups| lookups.broken.as_ref()) {
        aims.push(aim(format!("no rule is broken: {broken}"), false));
    }
    Computed {
        cells: vec![
            Cell::Number(rate, 2),
            Cell::Number(paper_path, 2),
            Cell::Number(chord.path, 2),
            Cell::Number(leaving.path, 2),
            Cell::Number(paper_timeouts, 2),
            Cell::Number(chord.timeouts, 2),
            Cell::Number(leaving.timeouts, 2),
            Cell::Number(crashing.timeouts, 2),
            Cell::Number(paper_failed, 0),
            Cell::Number(per_10_000(&chord), 1),
            Cell::Number(per_10_000(&leaving), 1),
            Cell::Number(per_10_000(&crashing), 1),
            Cell::Number(leaving.overdue, 2),
            Cell::Number(leaving.p50.as_secs_f64() * 1e3, 0),
            Cell::Number(leaving.bytes_per_peer_second, 0),
        ],
        aims,
    }
}

fn per_10_000(lookups: &Lookups) -> f64 {
    lookups.failed as f64 * 10_000.0 / lookups.ended.max(1) as f64
}

fn run(
    order: Order,
    rate: f64,
    tuning: RingTuning,
    ping_interval: Duration,
    departure: Departure,
    tell: Tell,
) -> Lookups {
    let restless = Restless {
        seed: order.seed,
        peers: PEERS,
        kind: Kind::Ring(tuning),
        weather: Weather::default(),
        churn: Churn::Poisson(rate),
        departure,
        ping_interval,
        rate: RATE,
        lookups: order.samples(LOOKUPS),
    };
    restless.run(tell)
}
