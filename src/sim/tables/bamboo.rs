//! Lookups of everybody while everybody comes and goes: Bamboo, USENIX 2004.

use super::super::Weather;
use super::super::churn::{Churn, Departure, Sessions};
use super::restless::Restless;
use super::{Cell, Computed, Line, Order, Table, Tell, aim};
use crate::overlay::{Kind, RingTuning, Tuning};
use std::time::Duration;

/// Peers, as in the paper.
const PEERS: usize = 1000;
/// Lookups of a peer in a second, as in the paper.
const RATE: f64 = 0.1;
/// Lookups of a line: five minutes of them.
const LOOKUPS: usize = 30_000;
/// Median sessions, in minutes.
const MEDIANS: [f64; 6] = [1.4, 3.1, 6.2, 23.5, 47.0, 180.0];
/// The session for which the paper tells what must be reached: share of right lookups, bytes a second.
const AIM_AT: (f64, f64, f64) = (47.0, 0.999, 750.0);

pub(super) fn table(order: Order) -> Table {
    let overlays = [("ring", Kind::Ring(RingTuning::DEFAULT)), ("kademlia", Kind::Kademlia(Tuning::default()))];
    let lines = MEDIANS.iter().flat_map(|minutes| overlays.map(|(name, kind)| (*minutes, name, kind)));
    let line = |(minutes, name, kind): (f64, &'static str, Kind)| {
        Line::new(format!("{name}, {minutes} minutes"), move |tell| line(order, minutes, name, kind, tell))
    };
    Table {
        title: "1,000 peers, each death replaced at once, each peer looks up 0.1 keys a second".to_owned(),
        source: "Bamboo, USENIX 2004 (from notes): sessions of 47 min: at least 99.9 % consistent under 750 B/s; of 1.4 \
                 min: works under 900 B/s. All crash. \"Right\": it ended at the living owner.",
        columns: vec!["median session min", "overlay", "right %", "hops", "timeouts", "p50 ms", "p99 ms", "B/s a peer"],
        words: &[(1, 8)],
        lines: lines.map(line).collect(),
    }
}

fn line(order: Order, minutes: f64, name: &str, kind: Kind, tell: Tell) -> Computed {
    let restless = Restless {
        seed: order.seed,
        peers: PEERS,
        kind,
        weather: Weather::default(),
        churn: Churn::Sessions(Sessions::Exponential(Duration::from_secs_f64(minutes * 60.0))),
        departure: Departure::Crash,
        ping_interval: Duration::from_secs(15),
        rate: RATE * PEERS as f64,
        lookups: order.samples(LOOKUPS),
    };
    let lookups = restless.run(tell);
    let right = 1.0 - lookups.failed as f64 / lookups.ended.max(1) as f64;
    let mut aims = Vec::new();
    if minutes == AIM_AT.0 {
        aims.push(aim(format!("{name}: 99.9 % right at {minutes} min"), right >= AIM_AT.1));
        let bytes = lookups.bytes_per_peer_second;
        aims.push(aim(format!("{name}: under {} B/s at {minutes} min", AIM_AT.2), bytes < AIM_AT.2));
    }
    let millis = |time: Duration| Cell::Number(time.as_secs_f64() * 1e3, 0);
    Computed {
        cells: vec![
            Cell::Number(minutes, 1),
            Cell::text(name),
            Cell::Number(right * 100.0, 3),
            Cell::Number(lookups.path, 2),
            Cell::Number(lookups.timeouts, 2),
            millis(lookups.p50),
            millis(lookups.p99),
            Cell::Number(lookups.bytes_per_peer_second, 0),
        ],
        aims,
    }
}
