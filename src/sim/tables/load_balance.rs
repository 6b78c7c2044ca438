//! How evenly keys lie on peers: Chord, ToN 2003, Fig. 9.

use super::{Cell, Computed, Line, Order, Table, mean, percentile};
use crate::ground::{Chance, Id};

/// Peers, as in the paper.
const PEERS: usize = 10_000;
/// Keys, as in the paper.
const KEYS: usize = 1_000_000;

/// How a peer gets its places on the ring.
#[derive(Clone, Copy)]
enum Places {
    /// So many at random.
    Virtual(usize),
    /// The one of so many that shares the longest arc with its owner so far.
    BestOf(usize),
}

pub(super) fn table(order: Order) -> Table {
    let lines = [
        (Places::Virtual(1), "one id, as our peers", Some((0.0, 4.8))),
        (Places::Virtual(20), "20 virtual nodes", Some((0.50, 1.6))),
        (Places::BestOf(16), "best of 16 ids at join", None),
    ];
    let line = |(places, label, paper): (Places, &'static str, Option<(f64, f64)>)| {
        Line::new(label, move |_| line(order, places, label, paper))
    };
    Table {
        title: "Keys of a peer, as a share of the mean: 10,000 peers, 1,000,000 keys".to_owned(),
        source: "Chord, ToN 2003, Fig. 9 (read off the figure). Our peers have one id each.",
        columns: vec!["ids", "paper 1 %", "1 %", "paper 99 %", "99 %", "most"],
        words: &[(0, 22)],
        lines: lines.into_iter().map(line).collect(),
    }
}

fn line(order: Order, places: Places, label: &str, paper: Option<(f64, f64)>) -> Computed {
    let mut chance = Chance::seeded(order.seed);
    let arcs = places.take(&mut chance);
    let mut keys = vec![0usize; PEERS];
    for _ in 0..order.samples(KEYS) {
        let key = random(&mut chance);
        let at = arcs.partition_point(|(id, _)| *id < key) % arcs.len();
        keys[arcs[at].1] += 1;
    }
    let average = mean(keys.iter().map(|keys| *keys as f64));
    let share = |keys: usize| Cell::Number(keys as f64 / average, 2);
    let published = |number: Option<f64>| number.map_or(Cell::Nothing, |number| Cell::Number(number, 2));
    let (low, high, most) = (percentile(&mut keys, 0.01), percentile(&mut keys, 0.99), percentile(&mut keys, 1.0));
    let cells = vec![
        Cell::text(label),
        published(paper.map(|(low, _)| low)),
        share(low),
        published(paper.map(|(_, high)| high)),
        share(high),
        share(most),
    ];
    Computed { cells, aims: Vec::new() }
}

impl Places {
    /// Ids and whose they are, clockwise.
    fn take(self, chance: &mut Chance) -> Vec<(Id, usize)> {
        match self {
            Places::Virtual(each) => {
                let mut all: Vec<(Id, usize)> = (0..PEERS * each).map(|place| (random(chance), place / each)).collect();
                all.sort();
                all
            }
            Places::BestOf(choices) => {
                let mut taken = std::collections::BTreeMap::new();
                for peer in 0..PEERS {
                    let ids = (0..choices).map(|_| random(chance));
                    let best = ids.max_by_key(|id| arc(&taken, *id)).expect("there is at least one choice");
                    taken.insert(best, peer);
                }
                taken.into_iter().collect()
            }
        }
    }
}

/// What a newcomer would own there.
fn arc(taken: &std::collections::BTreeMap<Id, usize>, id: Id) -> Id {
    let before = taken.range(..id).next_back().or_else(|| taken.last_key_value());
    let after = taken.range(id..).next().or_else(|| taken.first_key_value());
    match (before, after) {
        // The shorter half counts: who takes nearly all of an arc has only moved the inequality.
        (Some((before, _)), Some((after, _))) => before.clockwise_to(id).min(id.clockwise_to(*after)),
        _ => Id::MAX,
    }
}

fn random(chance: &mut Chance) -> Id {
    Id::hashed(&chance.bits().to_be_bytes())
}
