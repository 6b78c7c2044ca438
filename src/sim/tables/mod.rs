//! Published tables, made again with the real peer: the paper's configuration and ours, beside the paper's numbers.
//!
//! A table is a heading and lines that are computed one after the other, so that what was measured so far can be shown.

mod bamboo;
mod churn;
mod flash_crowd;
mod hop_shares;
mod hostile;
mod load_balance;
mod mass_failure;
mod partition;
mod path_length;
mod restless;

use super::{Weather, World};
use crate::overlay::Kind;
use std::fmt;
use std::time::Duration;

/// The tables there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Hops against the number of peers.
    PathLength,
    /// How many lookups take how many hops.
    HopShares,
    /// Lookups after many have died at once.
    MassFailure,
    /// Lookups while peers come and go.
    Churn,
    /// Lookups of everybody while everybody comes and goes.
    Bamboo,
    /// How evenly keys lie on peers.
    LoadBalance,
    /// A network cut in two, and healed.
    Partition,
    /// Everybody wants the same file.
    FlashCrowd,
    /// Some of the peers lie.
    Hostile,
}

/// What to compute.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// A share of the lookups that the table has by default, above 0: fewer are faster, and less exact.
    pub effort: f64,
}

impl Order {
    /// So many lookups instead of `full`.
    fn samples(self, full: usize) -> usize {
        ((full as f64 * self.effort).ceil() as usize).max(1)
    }
}

/// A table to be computed.
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Whose numbers are beside ours, and what differs.
    pub source: &'static str,
    /// The heads of the columns.
    pub columns: Vec<&'static str>,
    /// Which columns are words, and how wide these are, in characters.
    pub words: &'static [(usize, usize)],
    /// The lines, each to be computed.
    pub lines: Vec<Line>,
}

/// Is told how much of a line has been computed, 0 to 1.
pub type Tell<'t> = &'t mut dyn FnMut(f64);

/// A line that is computed when it is wanted.
pub struct Line {
    /// What it is about.
    pub label: String,
    compute: Box<dyn FnOnce(Tell) -> Computed + Send>,
}

impl Line {
    fn new(label: impl Into<String>, compute: impl FnOnce(Tell) -> Computed + Send + 'static) -> Line {
        Line { label: label.into(), compute: Box::new(compute) }
    }

    /// Computes it: seconds to minutes. Tells how far it is, now and then.
    pub fn compute(self, tell: Tell) -> Computed {
        (self.compute)(tell)
    }
}

/// Tells of one of several equal parts as its share of the whole.
fn part(tell: Tell, at: usize, of: usize) -> impl FnMut(f64) {
    move |share| tell((at as f64 + share) / of as f64)
}

/// A line that has been computed.
#[derive(Clone, Debug, Default)]
pub struct Computed {
    /// As many as the table has columns.
    pub cells: Vec<Cell>,
    /// What was aimed at.
    pub aims: Vec<Aim>,
}

/// Something that ought to be so.
#[derive(Clone, Debug)]
pub struct Aim {
    /// What.
    pub what: String,
    /// It is so.
    pub reached: bool,
}

/// What stands in one place of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number, shown with so many decimals.
    Number(f64, usize),
    /// Nobody has published or measured it.
    Nothing,
}

impl Cell {
    fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    fn count(count: usize) -> Cell {
        Cell::Number(count as f64, 0)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Text(text) => f.write_str(text),
            Cell::Number(number, decimals) => write!(f, "{number:.decimals$}"),
            Cell::Nothing => f.write_str("-"),
        }
    }
}

/// The table with this name.
pub fn table(name: Name, order: Order) -> Table {
    match name {
        Name::PathLength => path_length::table(order),
        Name::HopShares => hop_shares::table(order),
        Name::MassFailure => mass_failure::table(order),
        Name::Churn => churn::table(order),
        Name::Bamboo => bamboo::table(order),
        Name::LoadBalance => load_balance::table(order),
        Name::Partition => partition::table(order),
        Name::FlashCrowd => flash_crowd::table(order),
        Name::Hostile => hostile::table(order),
    }
}

/// A world of this overlay.
fn world_of(kind: Kind, seed: u64, weather: Weather) -> World {
    let world = World::new(seed, weather);
    match kind {
        Kind::Ring(tuning) => world.ring(tuning),
        Kind::Kademlia(tuning) => world.kademlia(tuning),
    }
}

/// One in which so many have joined through the first, one after the other, and a minute has passed.
fn joined_world(kind: Kind, seed: u64, weather: Weather, peers: usize, join_every: Duration, tell: Tell) -> World {
    let mut world = world_of(kind, seed, weather);
    let first = world.start_alone();
    for at in 1..peers {
        tell(at as f64 / peers as f64);
        world.run_for(join_every);
        world.join(first);
    }
    world.run_for(Duration::from_secs(60));
    world
}

fn aim(what: impl Into<String>, reached: bool) -> Aim {
    Aim { what: what.into(), reached }
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// The value below which a share of all lie, 0 to 1. Sorts them. The default of what they are if there are none.
fn percentile<T: Ord + Copy + Default>(values: &mut [T], share: f64) -> T {
    values.sort_unstable();
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const NAMES: [Name; 9] = [
        Name::PathLength,
        Name::HopShares,
        Name::MassFailure,
        Name::Churn,
        Name::Bamboo,
        Name::LoadBalance,
        Name::Partition,
        Name::FlashCrowd,
        Name::Hostile,
    ];

    #[test]
    fn a_line_tells_how_far_it_is() {
        let line = table(Name::MassFailure, Order { seed: 1, effort: 0.01 }).lines.remove(3);
        let mut told = Vec::new();
        line.compute(&mut |share| told.push(share));
        assert!(told.is_sorted() && told[0] == 0.0 && told.iter().all(|share| *share < 1.0), "{told:?}");
        assert!(told.len() == 200 && told.last() > Some(&0.9), "{told:?}");
    }

    #[test]
    fn columns_of_a_table_have_names_of_their_own() {
        for name in NAMES {
            let Table { title, columns, .. } = table(name, Order { seed: 1, effort: 1.0 });
            assert_eq!(columns.iter().collect::<BTreeSet<_>>().len(), columns.len(), "{title}: {columns:?}");
        }
    }
}
