//! Everybody wants the same file.

use super::super::{Weather, World};
use super::{Cell, Computed, Line, Order, Table, Tell, joined_world, percentile};
use crate::ground::Chance;
use crate::overlay::{Kind, RingTuning, Tuning};
use crate::peer::{Answer, Ticket};
use std::time::Duration;

/// Peers.
const PEERS: usize = 1000;
/// All of them ask within this time.
const WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for the last.
const LIMIT: Duration = Duration::from_secs(3600);
/// What one peer can send, in bytes a second.
const UPLINK: f64 = 10e6;

pub(super) fn table(order: Order) -> Table {
    let overlays = [("ring", Kind::Ring(RingTuning::DEFAULT)), ("kademlia", Kind::Kademlia(Tuning::default()))];
    let lines = overlays.into_iter().flat_map(|(name, kind)| [10_000, 1_000_000].map(|bytes| (name, kind, bytes)));
    let line = |(name, kind, bytes): (&'static str, Kind, u64)| {
        Line::new(format!("{name}, {bytes} bytes"), move |tell| line(order, name, kind, bytes, tell))
    };
    Table {
        title: "1,000 peers request one file within 10 s; each can send 10 MB/s, three have it".to_owned(),
        source: "No published table. The simulator moves files from keepers alone; that takers give on what they have \
                 is measured on real processes: p2p bench distribute. Load is inputs handled in that time.",
        columns: vec![
            "overlay",
            "file bytes",
            "got it",
            "p50 s",
            "p99 s",
            "last s",
            "busiest peer's load",
            "mean load",
        ],
        words: &[(0, 8)],
        lines: lines.map(line).collect(),
    }
}

fn line(order: Order, name: &str, kind: Kind, bytes: u64, tell: Tell) -> Computed {
    let mut chance = Chance::seeded(!order.seed);
    let weather = Weather { uplink_bytes_per_second: Some(UPLINK), ..Weather::default() };
    let mut world = joined_world(kind, order.seed, weather, PEERS, Duration::from_millis(100), tell);
    world.store(0, "wanted", bytes);
    world.run_for(Duration::from_secs(30));
    let before: Vec<u64> = (0..PEERS).map(|at| world.handled(at)).collect();
    let begun = world.now();
    let mut moments: Vec<Duration> = (0..PEERS).map(|_| WITHIN.mul_f64(chance.fraction())).collect();
    moments.sort();
    let mut requests: Vec<Ticket> = Vec::new();
    for (at, moment) in moments.into_iter().enumerate() {
        world.run_until(begun + moment);
        requests.push(world.request(at, "wanted"));
    }
    let waiting = |world: &World| requests.iter().any(|ticket| world.record(*ticket).answer.is_none());
    world.run_while(LIMIT, Duration::from_millis(500), waiting);
    let load = (0..PEERS).map(|at| world.handled(at) - before[at]);
    let (busiest, all) = load.fold((0, 0), |(most, sum), load| (load.max(most), sum + load));
    let time = |ticket: &Ticket| {
        let record = world.record(*ticket);
        match &record.answer {
            Some((at, Answer::Fetched { .. })) => Some(at.since(record.given)),
            _ => None,
        }
    };
    let mut times: Vec<Duration> = requests.iter().filter_map(time).collect();
    let seconds = |time: Duration| Cell::Number(time.as_secs_f64(), 2);
    let cells = vec![
        Cell::text(name),
        Cell::Number(bytes as f64, 0),
        Cell::count(times.len()),
        seconds(percentile(&mut times, 0.5)),
        seconds(percentile(&mut times, 0.99)),
        seconds(percentile(&mut times, 1.0)),
        Cell::Number(busiest as f64, 0),
        Cell::Number(all as f64 / PEERS as f64, 0),
    ];
    Computed { cells, aims: Vec::new() }
}
