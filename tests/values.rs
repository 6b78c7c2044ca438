//! Small values in whole networks, in the simulator: on both overlays.

use p2p::ground::item::text_value;
use p2p::ground::{Chance, Id, Secret};
use p2p::overlay::Tuning;
use p2p::peer::{Answer, Command, Publication, Sought, Ticket};
use p2p::sim::{Weather, World};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn world(seed: u64, kademlia: bool, loss: f64, count: usize) -> World {
    let weather = Weather { loss, ..Weather::default() };
    let world = World::new(seed, weather);
    let mut world = if kademlia { world.kademlia(Tuning::default()) } else { world };
    let first = world.start_alone();
    for _ in 1..count {
        world.join(first);
        world.run_for(SECOND / 5);
    }
    world.run_for(20 * SECOND);
    assert_eq!(world.member_count(), count, "seed {seed}");
    world
}

fn answered(world: &World, ticket: Ticket) -> Option<&Answer> {
    world.record(ticket).answer.as_ref().map(|(_, answer)| answer)
}

fn set_many(world: &mut World, seed: u64, count: usize) {
    let members = world.members();
    let sets: Vec<Ticket> = (0..count)
        .map(|at| world.set(members[at * 7 % members.len()], &format!("key {at}"), &format!("value {at}")))
        .collect();
    world.run_for(20 * SECOND);
    for (at, set) in sets.into_iter().enumerate() {
        assert!(matches!(answered(world, set), Some(Answer::Put { .. })), "seed {seed}, {at}: {:?}", world.record(set));
    }
}

/// How many of them are found, each from some peer.
fn found(world: &mut World, count: usize) -> usize {
    let members = world.members();
    let gets: Vec<Ticket> =
        (0..count).map(|at| world.get(members[(at * 13 + 5) % members.len()], &format!("key {at}"))).collect();
    world.run_for(20 * SECOND);
    let right = |(at, get): (usize, &Ticket)| world.text(*get) == Some(&format!("value {at}"));
    gets.iter().enumerate().filter(|found| right((found.0, found.1))).count()
}

#[test]
fn what_is_set_anywhere_is_found_everywhere() {
    for (seed, kademlia) in [(1, false), (2, true), (3, false), (4, true)] {
        let mut world = world(seed, kademlia, 0.02, 60);
        set_many(&mut world, seed, 100);
        assert_eq!(found(&mut world, 100), 100, "seed {seed}");
    }
}

#[test]
fn what_is_set_again_is_what_is_found() {
    for (seed, kademlia) in [(1, false), (2, true)] {
        let mut world = world(seed, kademlia, 0.02, 40);
        let members = world.members();
        for round in 0..5 {
            let set = world.set(members[round * 3], "minutes", &format!("round {round}"));
            world.run_for(5 * SECOND);
            assert!(matches!(answered(&world, set), Some(Answer::Put { .. })), "{:?}", world.record(set));
            let get = world.get(members[round * 5 + 7], "minutes");
            world.run_for(5 * SECOND);
            assert_eq!(world.text(get), Some(&*format!("round {round}")), "seed {seed}");
        }
    }
}

#[test]
fn two_sets_at_once_leave_one_value_everywhere() {
    for (seed, kademlia) in (0..6).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = world(seed, kademlia, 0.02, 40);
        let members = world.members();
        let sets = [2, 17].map(|at| world.set(members[at], "minutes", &format!("of {at}")));
        world.run_for(20 * SECOND);
        assert!(sets.iter().any(|set| matches!(answered(&world, *set), Some(Answer::Put { .. }))));
        let gets: Vec<Ticket> = members.iter().map(|at| world.get(*at, "minutes")).collect();
        world.run_for(10 * SECOND);
        let texts: Vec<Option<&str>> = gets.iter().map(|get| world.text(*get)).collect();
        assert!(texts.iter().all(|text| text.is_some() && *text == texts[0]), "seed {seed}: {texts:?}");
    }
}

#[test]
fn what_was_never_set_is_not_found() {
    for kademlia in [false, true] {
        let mut world = world(5, kademlia, 0.0, 20);
        let get = world.get(world.members()[3], "nothing");
        world.run_for(5 * SECOND);
        assert!(matches!(answered(&world, get), Some(Answer::NoValue { asked }) if *asked > 0));
    }
}

#[test]
fn values_on_a_ring_live_for_a_day_through_departures_and_then_end() {
    a_day_of_values(1, false);
}

#[test]
fn values_in_kademlia_live_for_a_day_through_departures_and_then_end() {
    a_day_of_values(2, true);
}

fn a_day_of_values(seed: u64, kademlia: bool) {
    let mut world = world(seed, kademlia, 0.01, 40);
    set_many(&mut world, seed, 40);
    let mut chance = Chance::seeded(seed);
    // Each half hour one comes and one goes: at the end nobody is left of those who were there at first.
    for round in 0..46 {
        let members = world.members();
        let goes = members[chance.within(0..members.len() as u64) as usize];
        if round % 2 == 0 {
            world.kill(goes)
        } else {
            world.quit(goes);
        }
        world.run_for(HOUR / 4);
        let members = world.members();
        world.join(members[0]);
        world.run_for(HOUR / 4);
    }
    assert_eq!(found(&mut world, 40), 40, "seed {seed}");
    // Some publishers may live and publish on; nobody makes a value older than a day.
    world.run_for(2 * HOUR);
    assert_eq!(found(&mut world, 40), 0, "seed {seed}");
}

#[test]
fn strangers_values_end_after_two_hours() {
    let mut world = world(7, true, 0.0, 30);
    let publication = Publication::Immutable(text_value(b"fleeting"));
    let put = world.order(world.members()[2], Command::Put { publication, promised: false });
    world.run_for(5 * SECOND);
    let Some(Answer::Put { item, copies }) = answered(&world, put) else { panic!("{:?}", world.record(put)) };
    // Who is late has it too, but has not said so in time.
    assert!(copies.len() >= 6, "{}", copies.len());
    let sought = Sought::Immutable(item.target());
    let find = |world: &mut World| {
        let get = world.order(world.members()[20], Command::Find(sought.clone()));
        world.run_for(5 * SECOND);
        world.text(get).map(str::to_owned)
    };
    assert_eq!(find(&mut world).as_deref(), Some("fleeting"));
    world.run_for(HOUR * 119 / 60);
    assert_eq!(find(&mut world).as_deref(), Some("fleeting"));
    world.run_for(HOUR / 30);
    assert_eq!(find(&mut world), None);
}

#[test]
fn who_announces_a_torrent_is_found_and_counted() {
    let mut world = world(8, true, 0.02, 40);
    let info_hash = Id::hashed(b"torrent");
    let members = world.members();
    for (at, member) in members.iter().enumerate().take(10) {
        let port = (at % 2 == 0).then_some(6881);
        world.order(*member, Command::Announce { info_hash, port, seed: at < 7 });
    }
    world.run_for(10 * SECOND);
    let find = world.order(members[30], Command::FindPeers { info_hash, scrape: true });
    world.run_for(10 * SECOND);
    let Some(Answer::Peers { peers, scrape: Some((seeds, others)), .. }) = answered(&world, find) else { panic!() };
    assert_eq!(peers.len(), 10);
    assert_eq!(peers.iter().filter(|peer| peer.port() == 6881).count(), 5);
    assert!((6.0..8.5).contains(seeds) && (2.5..4.0).contains(others), "{seeds} {others}");
    let sample = world.order(members[12], Command::Sample(info_hash));
    world.run_for(10 * SECOND);
    let Some(Answer::Samples { ids, .. }) = answered(&world, sample) else { panic!() };
    assert_eq!(ids[..], [info_hash]);
}

#[test]
fn a_keeper_that_comes_back_has_what_it_noted() {
    for kademlia in [false, true] {
        let mut world = world(9, kademlia, 0.0, 8);
        set_many(&mut world, 9, 20);
        let members = world.members();
        members.iter().for_each(|at| world.kill(*at));
        let mut back = vec![world.restart_alone(members[0])];
        for at in &members[1..] {
            back.push(world.restart(*at, back[0]));
            world.run_for(SECOND);
        }
        world.run_for(20 * SECOND);
        assert_eq!(found(&mut world, 20), 20);
    }
}

#[test]
fn a_node_that_comes_back_finds_its_network_by_itself() {
    let mut world = world(10, true, 0.02, 40);
    set_many(&mut world, 10, 20);
    let gone = world.members()[7];
    let known = world.view(gone).contacts.len();
    world.kill(gone);
    world.run_for(60 * SECOND);
    // Nobody is named to it: it has only what it noted.
    let back = world.restart_alone(gone);
    world.run_for(30 * SECOND);
    assert!(world.view(back).contacts.len() * 2 > known, "{} of {known}", world.view(back).contacts.len());
    let gets: Vec<Ticket> = (0..20).map(|at| world.get(back, &format!("key {at}"))).collect();
    world.run_for(20 * SECOND);
    assert!(gets.iter().enumerate().all(|(at, get)| world.text(*get) == Some(&format!("value {at}"))));
    let set = world.set(back, "news", "I am back");
    world.run_for(5 * SECOND);
    assert!(matches!(answered(&world, set), Some(Answer::Put { copies, .. }) if copies.len() >= 6));
}

/// Anybody's put of a version of `key`, unpromised as other programs' are: it lives for two hours.
fn put(key: &str, seq: Option<i64>, cas: Option<i64>, text: &str) -> Command {
    let value = text_value(text.as_bytes());
    let publication = Publication::Mutable { secret: Secret::named(key), salt: Vec::new(), seq, cas, value };
    Command::Put { publication, promised: false }
}

#[test]
fn a_put_instead_of_another_version_than_the_one_there_changes_nothing() {
    let mut world = world(11, true, 0.0, 8);
    let members = world.members();
    let first = world.order(members[1], put("motto", Some(5), None, "first"));
    world.run_for(2 * SECOND);
    assert!(matches!(answered(&world, first), Some(Answer::Put { .. })), "{:?}", world.record(first));
    // Its giver keeps the value too, and is no exception.
    let second = world.order(members[2], put("motto", Some(6), Some(4), "second"));
    world.run_for(2 * SECOND);
    assert!(matches!(answered(&world, second), Some(Answer::Refused(_))), "{:?}", world.record(second));
    let gets: Vec<Ticket> = members.iter().map(|at| world.get(*at, "motto")).collect();
    world.run_for(2 * SECOND);
    assert!(gets.iter().all(|get| world.text(*get) == Some("first")));
}

#[test]
fn every_command_ends_though_its_peer_is_told_twice_to_leave() {
    for kademlia in [false, true] {
        let mut world = world(13, kademlia, 0.0, 12);
        set_many(&mut world, 13, 20);
        let leaver = world.members()[3];
        let get = world.get(leaver, "nothing");
        let store = world.store(leaver, "file", 1000);
        let quits = [world.quit(leaver), world.quit(leaver)];
        world.run_for(5 * SECOND);
        for ticket in [get, store, quits[0], quits[1]] {
            assert!(answered(&world, ticket).is_some(), "{:?}", world.record(ticket));
        }
    }
}

#[test]
fn what_was_replaced_does_not_come_back_when_its_successor_ends() {
    let mut world = world(12, true, 0.0, 12);
    let members = world.members();
    let old = world.set(members[1], "motto", "old");
    world.run_for(2 * SECOND);
    assert!(matches!(answered(&world, old), Some(Answer::Put { .. })), "{:?}", world.record(old));
    let new = world.order(members[7], put("motto", None, None, "new"));
    world.run_for(2 * SECOND);
    assert!(matches!(answered(&world, new), Some(Answer::Put { .. })), "{:?}", world.record(new));
    world.run_for(4 * HOUR);
    let get = world.get(members[4], "motto");
    world.run_for(2 * SECOND);
    assert!(matches!(answered(&world, get), Some(Answer::NoValue { .. })), "{:?}", world.record(get));
}
#[test]
fn whoever_publishes_a_value_again_spares_its_other_keepers() {
    let hours = 6;
    let [none, many] = [0, 100].map(|count| {
        let mut world = world(14, true, 0.0, 40);
        set_many(&mut world, 14, count);
        let before = world.counts.datagrams;
        world.run_for(HOUR * hours);
        world.counts.datagrams - before
    });
    // One walk to the nearest eight and as many puts; eight keepers, each for itself, made it 92.
    let each = (many - none) / (100 * u64::from(hours));
    assert!(each < 70, "{each} datagrams for each value and hour");
}
