//! How many lookups take how many hops: Chord, ToN 2003, Fig. 10b.

use super::super::still::StillRing;
use super::path_length::CHORD;
use super::{Cell, Computed, Line, Order, Table, Tell, aim};
use crate::ground::Chance;
use crate::overlay::RingTuning;

/// Peers, as in the paper.
const PEERS: usize = 4096;
/// Lookups, as in the paper: 100 for each peer.
const LOOKUPS: usize = 100 * PEERS;
/// The most hops that the paper tells of.
const MOST: usize = 11;
/// The shares of 1, 2, 3 … hops, read off the figure.
const PAPER: [f64; MOST] = [0.0032, 0.0179, 0.0570, 0.1287, 0.2123, 0.2253, 0.1937, 0.1094, 0.0411, 0.0091, 0.0011];
/// So near to each of the paper's shares.
const AIM: f64 = 0.02;

pub(super) fn table(order: Order) -> Table {
    let paper = Line::new("paper", |_| Computed { cells: cells("paper", &PAPER, None), aims: Vec::new() });
    let chord = Line::new("Chord's", move |tell| {
        let (shares, more) = shares(order, CHORD, tell);
        let off = shares.iter().zip(PAPER).map(|(share, paper)| (share - paper).abs()).fold(more, f64::max);
        let near = aim(format!("each share within {AIM} of the paper's (at most {off:.3} off)"), off <= AIM);
        Computed { cells: cells("Chord's", &shares, Some(more)), aims: vec![near] }
    });
    let ours = Line::new("ours", move |tell| {
        let (shares, more) = shares(order, RingTuning::DEFAULT, tell);
        Computed { cells: cells("ours", &shares, Some(more)), aims: Vec::new() }
    });
    Table {
        title: "Share of the lookups that take so many hops: 4,096 peers, nobody comes or goes".to_owned(),
        source: "Chord, ToN 2003, Fig. 10b (read off the figure): 1 successor, a finger for each power of two. Ours: 16 \
                 successors and predecessors, two fingers for each power of two.",
        columns: vec!["hops", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "more"],
        words: &[(0, 8)],
        lines: vec![paper, chord, ours],
    }
}

fn cells(whose: &str, shares: &[f64; MOST], more: Option<f64>) -> Vec<Cell> {
    let share = |share: f64| Cell::Number(share, 4);
    let shares = shares.iter().map(|of| share(*of));
    [Cell::text(whose)].into_iter().chain(shares).chain([more.map_or(Cell::Nothing, share)]).collect()
}

/// The shares of 1, 2, 3 … hops, and that of more.
fn shares(order: Order, tuning: RingTuning, tell: Tell) -> ([f64; MOST], f64) {
    let mut chance = Chance::seeded(!order.seed);
    let mut ring = StillRing::new(order.seed, PEERS, tuning);
    let lookups = ring.look_up_often(order.samples(LOOKUPS), &mut chance, tell);
    let took = |wanted: &dyn Fn(usize) -> bool| {
        lookups.iter().filter(|lookup| wanted(lookup.path_len)).count() as f64 / lookups.len() as f64
    };
    (std::array::from_fn(|at| took(&|hops| hops == at + 1)), took(&|hops| hops > MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_lookups() {
        let (shares, more) = shares(Order { seed: 1, effort: 0.002 }, CHORD, &mut |_| {});
        assert!((shares.iter().sum::<f64>() + more - 1.0).abs() < 1e-9, "{shares:?} {more}");
        assert!((PAPER.iter().sum::<f64>() - 1.0).abs() < 0.002);
    }
}
