//! A network cut in two, and healed.

use super::super::{PeerIndex, Weather, World};
use super::{Cell, Computed, Line, Order, Table, Tell, aim, joined_world};
use crate::ground::Chance;
use crate::overlay::{Kind, RingTuning, Tuning};
use crate::peer::{Answer, Ticket};
use std::time::Duration;

/// How long it is cut.
const CUT_FOR: Duration = Duration::from_secs(600);
/// Files stored on each side meanwhile, and before.
const FILES: usize = 50;
/// Longest wait until everything can be found everywhere.
const LIMIT: Duration = Duration::from_secs(1800);
/// In this time all is to be as before.
const AIM: Duration = Duration::from_secs(300);
/// Of one file, in bytes.
const FILE_BYTES: u64 = 100_000;

pub(super) fn table(order: Order) -> Table {
    let overlays = [("ring", Kind::Ring(RingTuning::DEFAULT)), ("kademlia", Kind::Kademlia(Tuning::default()))];
    let sizes = [20, 100, 500];
    let lines = overlays.into_iter().flat_map(|(name, kind)| sizes.map(|peers| (name, kind, peers)));
    let line = |(name, kind, peers): (&'static str, Kind, usize)| {
        Line::new(format!("{name}, {peers} peers"), move |tell| line(order, name, kind, peers, tell))
    };
    Table {
        title: "Cut in two halves for 10 minutes, with stores on both sides; then healed".to_owned(),
        source: "No published table. \"One again\": on the ring, all successor lists are right; in Kademlia, everybody \
                 finds everything. Seconds are from the healing on.",
        columns: vec!["overlay", "peers", "stored", "one again s", "all found everywhere s", "lost"],
        words: &[(0, 8)],
        lines: lines.map(line).collect(),
    }
}

fn line(order: Order, name: &str, kind: Kind, peers: usize, tell: Tell) -> Computed {
    let mut chance = Chance::seeded(!order.seed);
    let mut world = joined_world(kind, order.seed, Weather::default(), peers, Duration::from_millis(200), tell);
    let mut stores = store(&mut world, &mut chance, peers, "before", |_| true);
    let side: Vec<bool> = (0..peers).map(|_| chance.happens(0.5)).collect();
    world.partition(|at| side[at]);
    world.run_for(CUT_FOR / 2);
    stores.extend(store(&mut world, &mut chance, peers, "one", |at| side[at]));
    stores.extend(store(&mut world, &mut chance, peers, "other", |at| !side[at]));
    world.run_for(CUT_FOR / 2);
    world.heal();
    let healed = world.now();
    let stored: Vec<(String, Ticket)> = stores.into_iter().filter(|(_, ticket)| world.is_stored(*ticket)).collect();
    let mut one_again = None;
    let mut all_found = None;
    while world.now().since(healed) < LIMIT && (one_again.is_none() || all_found.is_none()) {
        world.run_for(Duration::from_secs(5));
        let since = world.now().since(healed);
        if matches!(kind, Kind::Ring(_)) && one_again.is_none() && world.check_ideal().is_ok() {
            one_again = Some(since);
        }
        if all_found.is_none() && everything_is_found(&mut world, &mut chance, peers, &stored) {
            all_found = Some(since);
            one_again = one_again.or(matches!(kind, Kind::Kademlia(_)).then_some(since));
        }
    }
    let content = |world: &World, ticket: Ticket| match world.record(ticket).command {
        crate::peer::Command::Store { content, .. } => Some(content),
        _ => None,
    };
    let copies = |(name, ticket): &&(String, Ticket)| {
        content(&world, *ticket).is_none_or(|content| world.copies(name, content) == 0)
    };
    let lost = stored.iter().filter(copies).count();
    let seconds = |time: Option<Duration>| time.map_or(Cell::Nothing, |time| Cell::Number(time.as_secs_f64(), 0));
    Computed {
        cells: vec![
            Cell::text(name),
            Cell::count(peers),
            Cell::count(stored.len()),
            seconds(one_again),
            seconds(all_found),
            Cell::count(lost),
        ],
        aims: vec![
            aim(format!("{name}, {peers} peers: nothing lost"), lost == 0),
            aim(
                format!("{name}, {peers} peers: as before within {} s", AIM.as_secs()),
                one_again.max(all_found).is_some_and(|time| time <= AIM) && all_found.is_some(),
            ),
        ],
    }
}

/// Stores files at peers of one side, and waits a little.
fn store(
    world: &mut World,
    chance: &mut Chance,
    peers: usize,
    prefix: &str,
    side: impl Fn(PeerIndex) -> bool,
) -> Vec<(String, Ticket)> {
    let members: Vec<PeerIndex> = (0..peers).filter(|at| side(*at)).collect();
    if members.is_empty() {
        return Vec::new();
    }
    let store = |at: usize| {
        let name = format!("{prefix} {at}");
        let by = members[chance.within(0..members.len() as u64) as usize];
        let ticket = world.store(by, &name, FILE_BYTES);
        (name, ticket)
    };
    let stores = (0..FILES).map(store).collect();
    world.run_for(Duration::from_secs(30));
    stores
}

/// Somebody, another one for each, requests each file, and gets it.
fn everything_is_found(world: &mut World, chance: &mut Chance, peers: usize, stored: &[(String, Ticket)]) -> bool {
    let request = |(name, _): &(String, Ticket)| world.request(chance.within(0..peers as u64) as usize, name);
    let requests: Vec<Ticket> = stored.iter().map(request).collect();
    world.run_for(Duration::from_secs(10));
    requests.into_iter().all(|ticket| matches!(world.take_answer(ticket), Some(Answer::Fetched { .. })))
}
