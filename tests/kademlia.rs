//! Stories of whole Kademlia networks, in the simulator.

use p2p::ground::{Content, Id};
use p2p::overlay::{Eviction, Tuning};
use p2p::peer::{Answer, Command, Ticket};
use p2p::sim::{PeerIndex, Weather, World};
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn stormy(loss: f64) -> Weather {
    Weather { loss, duplication: 0.01, ..Weather::default() }
}

/// `count` peers that joined one after the other, five a second, and half a minute more.
fn grown(seed: u64, loss: f64, count: usize, tuning: Tuning) -> World {
    let mut world = World::new(seed, stormy(loss)).kademlia(tuning);
    let first = world.start_alone();
    for _ in 1..count {
        world.join(first);
        world.run_for(SECOND / 5);
    }
    world.run_for(30 * SECOND);
    assert_eq!(world.member_count(), count, "seed {seed}");
    world
}

fn content_of(world: &World, ticket: Ticket) -> Content {
    match &world.record(ticket).command {
        Command::Store { content, .. } => *content,
        other => panic!("{other:?} stores nothing"),
    }
}

/// The members nearest to a place, nearest first.
fn nearest(world: &World, place: Id, count: usize) -> Vec<Id> {
    let mut ids: Vec<Id> = world.members().into_iter().map(|at| world.view(at).me.id).collect();
    ids.sort_by_key(|id| id.xor(place));
    ids.truncate(count);
    ids
}

/// Stores `count` files at peers all over the network; all are acknowledged, with three copies.
fn store_files(world: &mut World, seed: u64, count: usize) -> Vec<(String, Ticket)> {
    let members = world.members();
    let stores: Vec<(String, Ticket)> = (0..count)
        .map(|at| {
            let name = format!("file {at}.bin");
            let ticket = world.store(members[at * 7 % members.len()], &name, 100_000);
            (name, ticket)
        })
        .collect();
    world.run_for(30 * SECOND);
    for (name, ticket) in &stores {
        let copies = match &world.record(*ticket).answer {
            Some((_, Answer::Stored { copies, .. })) => copies.len(),
            _ => 0,
        };
        assert_eq!(copies, 3.min(members.len()), "seed {seed}, {name}: {:?}", world.record(*ticket).answer);
    }
    stores
}

/// Requests each file at some peer; returns those not found.
fn not_found(world: &mut World, seed: u64, stores: &[(String, Ticket)]) -> BTreeSet<String> {
    let members = world.members();
    let requests: Vec<Ticket> = stores
        .iter()
        .enumerate()
        .map(|(at, (name, _))| world.request(members[at * 13 % members.len()], name))
        .collect();
    world.run_for(60 * SECOND);
    let mut missing = BTreeSet::new();
    for ((name, store), request) in stores.iter().zip(requests) {
        let record = world.record(request);
        match record.answer {
            Some((_, Answer::Fetched { .. })) => {
                assert_eq!(record.brought, Some(content_of(world, *store)), "seed {seed}, {name}");
            }
            Some((_, Answer::NotFound { .. } | Answer::Failed { .. })) => drop(missing.insert(name.clone())),
            ref other => panic!("seed {seed}, {name}: {other:?}"),
        }
    }
    missing
}

/// How many of the `count` members nearest to each peer it does not know.
fn unknown_neighbours(world: &World, count: usize) -> usize {
    let lacks = |at: PeerIndex| {
        let view = world.view(at);
        let known: BTreeSet<Id> = view.contacts.iter().map(|contact| contact.id).collect();
        let near = nearest(world, view.me.id, count + 1);
        near.iter().filter(|id| **id != view.me.id && !known.contains(id)).count()
    };
    world.members().into_iter().map(lacks).sum()
}

#[test]
fn a_hundred_peers_know_their_neighbours_and_keep_files_at_the_three_nearest() {
    for seed in 0..5 {
        let mut world = grown(seed, 0.02, 100, Tuning::default());
        assert_eq!(unknown_neighbours(&world, 8), 0, "seed {seed}");
        let stores = store_files(&mut world, seed, 100);
        let right_at_once = stores.iter().flat_map(|(name, store)| {
            let Some((_, Answer::Stored { copies, .. })) = &world.record(*store).answer else { unreachable!() };
            let true_keepers = nearest(&world, world.place(name), 3);
            copies.iter().filter(move |copy| true_keepers.contains(copy))
        });
        // Who loses a datagram when it is needed is passed over, and gets its copy a moment later.
        let right_at_once = right_at_once.count();
        assert!(right_at_once >= 285, "seed {seed}: {right_at_once} of 300 copies at the right peers at once");
        assert_eq!(not_found(&mut world, seed, &stores), BTreeSet::new(), "seed {seed}");
        world.run_for(2 * MINUTE);
        for (name, _) in &stores {
            let true_keepers = nearest(&world, world.place(name), 3);
            let holders = world.members().into_iter().map(|at| world.view(at));
            let key = p2p::ground::FileName::parse(name).unwrap().key();
            let holders = holders.filter(|view| view.files.iter().any(|file| file.key == key));
            let holders: BTreeSet<Id> = holders.map(|view| view.me.id).collect();
            assert_eq!(holders, true_keepers.into_iter().collect(), "seed {seed}, {name}");
        }
    }
}

#[test]
fn a_third_of_a_hundred_die_at_once_and_only_files_whose_holders_all_died_are_lost() {
    for seed in 0..5 {
        let mut world = grown(seed, 0.02, 100, Tuning::default());
        let stores = store_files(&mut world, seed, 100);
        world.members().into_iter().skip(seed as usize % 3).step_by(3).for_each(|at| world.kill(at));
        let lost: BTreeSet<String> = stores
            .iter()
            .filter(|(name, store)| world.copies(name, content_of(&world, *store)) == 0)
            .map(|(name, _)| name.clone())
            .collect();
        assert_eq!(not_found(&mut world, seed, &stores), lost, "seed {seed}, a moment later");
        world.run_for(3 * MINUTE);
        assert_eq!(unknown_neighbours(&world, 8), 0, "seed {seed}");
        for (name, store) in stores.iter().filter(|(name, _)| !lost.contains(name)) {
            assert_eq!(world.copies(name, content_of(&world, *store)), 3, "seed {seed}, {name} has its copies again");
        }
        assert_eq!(not_found(&mut world, seed, &stores), lost, "seed {seed}, later");
    }
}

#[test]
fn peers_started_together_with_hints_find_each_other() {
    for seed in 0..5 {
        let mut world = World::new(seed, stormy(0.02)).classic().kademlia(Tuning::default());
        let seven = [(2, [4, 5]), (4, [5, 8]), (5, [8, 9]), (8, [9, 14]), (9, [14, 19]), (14, [19, 2]), (19, [2, 4])];
        for (number, hints) in seven {
            world.init(number, &hints);
            // Started by hand, one after the other: the first ones knock at closed doors.
            world.run_for(3 * SECOND);
        }
        world.run_for(30 * SECOND);
        assert_eq!(unknown_neighbours(&world, 6), 0, "seed {seed}");
        let stores = store_files(&mut world, seed, 20);
        assert_eq!(not_found(&mut world, seed, &stores), BTreeSet::new(), "seed {seed}");
    }
}

#[test]
fn every_eviction_and_width_finds_every_file() {
    for (k, alpha, eviction, wide) in
        [(20, 3, Eviction::Ping, false), (8, 5, Eviction::Oldest, false), (8, 1, Eviction::Ping, true)]
    {
        let tuning = Tuning { k, alpha, eviction, wide };
        let mut world = grown(k as u64, 0.02, 100, tuning);
        let stores = store_files(&mut world, 0, 50);
        assert_eq!(not_found(&mut world, 0, &stores), BTreeSet::new(), "{tuning:?}");
    }
}

#[test]
fn who_leaves_hands_its_files_over() {
    for seed in 0..5 {
        let mut world = grown(seed, 0.01, 30, Tuning::default());
        let stores = store_files(&mut world, seed, 40);
        for round in 0..15 {
            let members = world.members();
            world.quit(members[round * 5 % members.len()]);
            world.run_for(5 * SECOND);
        }
        assert_eq!(world.member_count(), 15, "seed {seed}");
        assert_eq!(not_found(&mut world, seed, &stores), BTreeSet::new(), "seed {seed}");
    }
}

#[test]
fn a_quiet_network_stays_whole_for_hours_at_little_cost() {
    let mut world = grown(1, 0.02, 100, Tuning::default());
    let (before, since) = (world.counts.datagram_bytes, world.now());
    world.run_for(120 * MINUTE);
    let bytes = (world.counts.datagram_bytes - before) as f64 / world.now().since(since).as_secs_f64() / 100.0;
    println!("{bytes:.0} bytes a second from each peer");
    assert!(bytes < 200.0, "{bytes:.0} bytes a second from each peer");
    assert_eq!(world.member_count(), 100);
    assert_eq!(unknown_neighbours(&world, 8), 0);
}

#[test]
fn same_seed_same_run() {
    let fingerprint = |seed| grown(seed, 0.05, 40, Tuning::default()).fingerprint();
    assert_eq!(fingerprint(11), fingerprint(11));
    assert_ne!(fingerprint(11), fingerprint(12));
}

#[test]
fn files_are_not_tried_to_be_left_with_nodes_that_keep_none() {
    let mut world = World::new(31, stormy(0.0)).kademlia(Tuning::default());
    world.keep_files(false);
    let first = world.start_alone();
    for _ in 1..80 {
        world.join(first);
        world.run_for(SECOND / 5);
    }
    world.keep_files(true);
    let ours = world.join(first);
    world.run_for(20 * SECOND);
    let store = world.store(ours, "file.bin", 1000);
    world.run_for(10 * SECOND);
    let answer = world.record(store).answer.as_ref();
    assert!(answer.is_some(), "{answer:?}");
    assert!(world.counts.moves <= 1, "{} moves: only our own store takes it", world.counts.moves);
    let quit = world.quit(ours);
    world.run_for(10 * SECOND);
    assert!(world.record(quit).answer.is_some(), "nobody could take it over");
}
