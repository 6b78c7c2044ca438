//! Some of the peers lie.

use super::super::{Malice, Weather};
use super::{Cell, Computed, Line, Order, Table, Tell, joined_world, mean, part, percentile};
use crate::ground::{Chance, Id};
use crate::overlay::{Kind, RingTuning, Tuning};
use crate::peer::{Answer, LookedUp};
use std::time::Duration;

/// Peers.
const PEERS: usize = 1000;
/// Lookups of a line, by honest peers.
const LOOKUPS: usize = 1000;
/// How long after the liars began.
const BEGIN_AFTER: Duration = Duration::from_secs(300);
/// Shares of liars.
const SHARES: [f64; 4] = [0.0, 0.1, 0.2, 0.33];

pub(super) fn table(order: Order) -> Table {
    let overlays = [("ring", Kind::Ring(RingTuning::DEFAULT)), ("kademlia", Kind::Kademlia(Tuning::default()))];
    let kinds = [("do not answer", Malice::Silent), ("invent peers", Malice::Invents)];
    let mut lines = Vec::new();
    for (overlay, kind) in overlays {
        for (does, malice) in kinds {
            // Nobody lies in the same way, whatever the lie would be.
            let shares = SHARES.into_iter().filter(|share| *share > 0.0 || malice == Malice::Silent);
            for share in shares {
                let label = format!("{overlay}, {:.0} % {does}", share * 100.0);
                lines.push(Line::new(label, move |tell| line(order, overlay, kind, share, (does, malice), tell)));
            }
        }
    }
    Table {
        title: "Lookups by honest peers where a share of 1,000 answers pings, but no searches, or with inventions"
            .to_owned(),
        source: "No published table. \"Right\": it named the honest peer that is the owner among all peers. \
                 \"Right of honest\": of those keys whose owner is honest.",
        columns: vec![
            "overlay",
            "liars %",
            "they",
            "right %",
            "right of honest %",
            "timeouts",
            "p50 ms",
            "p99 ms",
            "of lookups",
        ],
        words: &[(0, 8), (2, 13)],
        lines,
    }
}

fn line(order: Order, overlay: &str, kind: Kind, share: f64, (does, malice): (&str, Malice), tell: Tell) -> Computed {
    let mut chance = Chance::seeded(!order.seed);
    let mut world =
        joined_world(kind, order.seed, Weather::default(), PEERS, Duration::from_millis(100), &mut part(tell, 0, 4));
    let liars: Vec<bool> = (0..PEERS).map(|_| chance.happens(share)).collect();
    (0..PEERS).filter(|at| liars[*at]).for_each(|at| world.turn(at, malice));
    world.run_for(BEGIN_AFTER);
    let honest: Vec<usize> = (0..PEERS).filter(|at| !liars[*at]).collect();
    let mut traces: Vec<(bool, bool, Option<LookedUp>)> = Vec::new();
    let samples = order.samples(LOOKUPS);
    for sample in 0..samples {
        tell(0.25 + 0.75 * sample as f64 / samples as f64);
        let by = honest[chance.within(0..honest.len() as u64) as usize];
        let key = Id::hashed(&chance.bits().to_be_bytes());
        let ticket = world.look_up(by, key);
        world.run_while(Duration::from_secs(60), Duration::from_millis(100), |world| {
            world.record(ticket).answer.is_none()
        });
        let owner = world.owner(key);
        let trace = match world.take_answer(ticket) {
            Some(Answer::LookedUp(trace)) => Some(trace),
            _ => None,
        };
        let found = trace.as_ref().and_then(|trace| trace.keepers.first());
        let right = owner.is_some_and(|owner| found.is_some_and(|found| found.id == world.id(owner)));
        traces.push((owner.is_some_and(|owner| !liars[owner]), right, trace));
    }
    let percent = |all: usize, right: usize| Cell::Number(right as f64 * 100.0 / all.max(1) as f64, 1);
    let of_honest = || traces.iter().filter(|(honest, _, _)| *honest);
    let mut times: Vec<Duration> = traces.iter().filter_map(|(_, _, trace)| Some(trace.as_ref()?.took)).collect();
    let timeouts = mean(traces.iter().filter_map(|(_, _, trace)| Some(trace.as_ref()?.timeouts() as f64)));
    let millis = |time: Duration| Cell::Number(time.as_secs_f64() * 1e3, 0);
    let cells = vec![
        Cell::text(overlay),
        Cell::Number(share * 100.0, 0),
        Cell::text(does),
        percent(traces.len(), traces.iter().filter(|(_, right, _)| *right).count()),
        percent(of_honest().count(), of_honest().filter(|(_, right, _)| *right).count()),
        Cell::Number(timeouts, 2),
        millis(percentile(&mut times, 0.5)),
        millis(percentile(&mut times, 0.99)),
        Cell::count(traces.len()),
    ];
    Computed { cells, aims: Vec::new() }
}
