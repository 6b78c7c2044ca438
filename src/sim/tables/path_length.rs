//! Hops against the number of peers: Chord, ToN 2003, Fig. 10.

use super::super::still::StillRing;
use super::{Cell, Computed, Line, Order, Table, Tell, aim, mean, part, percentile};
use crate::ground::Chance;
use crate::overlay::RingTuning;

/// The paper's lists and fingers.
pub(super) const CHORD: RingTuning = RingTuning { list_len: 1, fingers: 1, ..RingTuning::DEFAULT };

/// Peers; mean, 1st and 99th percentile of hops, read off the figure.
const PAPER: [(usize, f64, usize, usize); 12] = [
    (8, 1.72, 1, 3),
    (16, 2.09, 1, 4),
    (32, 2.49, 1, 5),
    (64, 2.96, 1, 5),
    (128, 3.39, 1, 6),
    (256, 3.88, 1, 7),
    (512, 4.38, 1, 7),
    (1024, 4.89, 2, 8),
    (2048, 5.36, 2, 9),
    (4096, 5.85, 2, 10),
    (8192, 6.35, 2, 10),
    (16384, 6.87, 3, 11),
];

/// Keys looked up for each peer.
const KEYS_PER_PEER: usize = 100;
/// Lookups where there is nothing to compare with.
const KEYS_OF_A_MILLION: usize = 10_000;

/// Most hops that our own configuration may take on average.
const AIMS: [(usize, f64); 2] = [(1024, 3.5), (16384, 5.3)];

pub(super) fn table(order: Order) -> Table {
    let published = PAPER.iter().map(|(peers, mean, low, high)| {
        let (peers, published) = (*peers, Some((*mean, *low, *high)));
        Line::new(format!("{peers} peers"), move |tell| line(order, peers, peers * KEYS_PER_PEER, published, tell))
    });
    let million = Line::new("a million peers", move |tell| line(order, 1_000_000, KEYS_OF_A_MILLION, None, tell));
    Table {
        title: "Hops from the asker to the last peer before the owner, nobody comes or goes".to_owned(),
        source: "Chord, ToN 2003, Fig. 10 (read off the figure): 1 successor, a finger for each power of two. Ours: 16 \
                 successors and predecessors, two fingers for each power of two.",
        columns: vec![
            "peers",
            "paper mean",
            "paper 1-99 %",
            "Chord's mean",
            "of paper's",
            "Chord's 1-99 %",
            "our mean",
            "our 1-99 %",
        ],
        words: &[],
        lines: published.chain([million]).collect(),
    }
}

fn line(order: Order, peers: usize, keys: usize, published: Option<(f64, usize, usize)>, tell: Tell) -> Computed {
    let keys = order.samples(keys);
    let chord = hops(order.seed, peers, keys, CHORD, &mut part(tell, 0, 2));
    let ours = hops(order.seed, peers, keys, RingTuning::DEFAULT, &mut part(tell, 1, 2));
    let (paper_mean, paper_range, of_paper) = match published {
        Some((mean, low, high)) => {
            (Cell::Number(mean, 2), Cell::text(format!("{low}-{high}")), Cell::Number(chord.0 / mean, 2))
        }
        None => (Cell::Nothing, Cell::Nothing, Cell::Nothing),
    };
    let most = AIMS.iter().filter(|(at, _)| *at == peers);
    let aims = most.map(|(peers, most)| aim(format!("at most {most} hops at {peers} peers"), ours.0 <= *most));
    Computed {
        cells: vec![
            Cell::count(peers),
            paper_mean,
            paper_range,
            Cell::Number(chord.0, 2),
            of_paper,
            Cell::text(chord.1),
            Cell::Number(ours.0, 2),
            Cell::text(ours.1),
        ],
        aims: aims.collect(),
    }
}

/// Mean, and 1st to 99th percentile.
fn hops(seed: u64, peers: usize, keys: usize, tuning: RingTuning, tell: Tell) -> (f64, String) {
    let mut chance = Chance::seeded(!seed);
    let mut ring = StillRing::new(seed, peers, tuning);
    let lookups = ring.look_up_often(keys, &mut chance, tell);
    let mut paths: Vec<usize> = lookups.iter().map(|lookup| lookup.path_len).collect();
    let (low, high) = (percentile(&mut paths, 0.01), percentile(&mut paths, 0.99));
    (mean(paths.iter().map(|path| *path as f64)), format!("{low}-{high}"))
}
