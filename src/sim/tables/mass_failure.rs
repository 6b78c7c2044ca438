//! Lookups after many have died at once: Chord, ToN 2003, Table II.

use super::super::still::StillRing;
use super::{Cell, Computed, Line, Order, Table, Tell, aim, mean, part};
use crate::ground::Chance;
use crate::overlay::RingTuning;

/// Peers, as in the paper.
const PEERS: usize = 1000;
/// Lookups, as in the paper.
const LOOKUPS: usize = 10_000;

/// The paper's lists and fingers.
const CHORD: RingTuning = RingTuning { list_len: 20, fingers: 1, ..RingTuning::DEFAULT };

/// Share of the dead; mean hops, mean timeouts.
const PAPER: [(f64, f64, f64); 6] =
    [(0.0, 3.84, 0.0), (0.1, 4.03, 0.60), (0.2, 4.22, 1.17), (0.3, 4.44, 2.02), (0.4, 4.69, 3.23), (0.5, 5.09, 5.10)];

pub(super) fn table(order: Order) -> Table {
    let line = |(share, path, timeouts): (f64, f64, f64)| {
        Line::new(format!("{:.0} % dead", share * 100.0), move |tell| line(order, share, (path, timeouts), tell))
    };
    Table {
        title: "Lookups right after a share of 1,000 peers has died; nobody has noticed".to_owned(),
        source: "Chord, ToN 2003, Table II: 20 successors, a finger for each power of two. Ours: 16 successors and \
                 predecessors, two fingers for each power of two.",
        columns: vec![
            "dead",
            "paper hops",
            "Chord's hops",
            "of paper's",
            "paper timeouts",
            "Chord's timeouts",
            "Chord's failed",
            "our hops",
            "our timeouts",
            "our failed",
            "of lookups",
        ],
        words: &[],
        lines: PAPER.into_iter().map(line).collect(),
    }
}

struct Result {
    hops: f64,
    timeouts: f64,
    failed: usize,
}

fn line(order: Order, share: f64, (paper_path, paper_timeouts): (f64, f64), tell: Tell) -> Computed {
    let chord = look_up(order, share, CHORD, &mut part(tell, 0, 2));
    let ours = look_up(order, share, RingTuning::DEFAULT, &mut part(tell, 1, 2));
    Computed {
        cells: vec![
            Cell::Number(share, 1),
            Cell::Number(paper_path, 2),
            Cell::Number(chord.hops, 2),
            Cell::Number(chord.hops / paper_path, 2),
            Cell::Number(paper_timeouts, 2),
            Cell::Number(chord.timeouts, 2),
            Cell::count(chord.failed),
            Cell::Number(ours.hops, 2),
            Cell::Number(ours.timeouts, 2),
            Cell::count(ours.failed),
            Cell::count(order.samples(LOOKUPS)),
        ],
        aims: vec![aim(format!("no failed lookup with {share} dead"), ours.failed == 0)],
    }
}

fn look_up(order: Order, share: f64, tuning: RingTuning, tell: Tell) -> Result {
    let mut chance = Chance::seeded(!order.seed);
    let mut ring = StillRing::new(order.seed, PEERS, tuning);
    ring.kill(share, &mut chance);
    let lookups = ring.look_up_often(order.samples(LOOKUPS), &mut chance, tell);
    Result {
        hops: mean(lookups.iter().map(|lookup| lookup.path_len as f64)),
        timeouts: mean(lookups.iter().map(|lookup| lookup.timeouts as f64)),
        failed: lookups.iter().filter(|lookup| !lookup.right).count(),
    }
}
