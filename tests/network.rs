//! Stories of whole networks, in the simulator.

use p2p::ground::krpc::{Body, Errand, Message, Program, Question, Want};
use p2p::ground::{Chance, Contact, Content, FileName, Id, Manifest, Moment, Naming};
use p2p::overlay::{Kind, RingTuning};
use p2p::peer::{Absence, Answer, Command, Config, Input, Output, Peer, Start, Ticket, Whom};
use p2p::sim::{PeerIndex, Weather, World};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn stormy(loss: f64) -> Weather {
    Weather { loss, duplication: 0.01, ..Weather::default() }
}

fn assert_unbroken(world: &World, seed: u64) {
    assert!(world.broken().is_none(), "seed {seed}: {:?}", world.broken());
}

/// `count` peers that joined one after the other, five a second; the ring is ideal.
fn grown(seed: u64, weather: Weather, count: usize) -> World {
    let mut world = World::new(seed, weather);
    let first = world.start_alone();
    for _ in 1..count {
        world.join(first);
        world.run_for(SECOND / 5);
    }
    let ideal = world.run_while(30 * SECOND, SECOND, |world| world.check_ideal().is_err());
    assert!(ideal, "seed {seed}: {:?}", world.check_ideal());
    assert_unbroken(&world, seed);
    world
}

fn content_of(world: &World, ticket: Ticket) -> Content {
    match &world.record(ticket).command {
        Command::Store { content, .. } => *content,
        other => panic!("{other:?} stores nothing"),
    }
}

/// Stores `count` files at peers all over the network; all are acknowledged.
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
        assert!(world.is_stored(*ticket), "seed {seed}, {name}: {:?}", world.record(*ticket).answer);
    }
    stores
}

/// Requests each file at some peer, and compares.
fn assert_all_found(world: &mut World, seed: u64, stores: &[(String, Ticket)]) {
    let members = world.members();
    let requests: Vec<Ticket> = stores
        .iter()
        .enumerate()
        .map(|(at, (name, _))| world.request(members[at * 13 % members.len()], name))
        .collect();
    world.run_for(60 * SECOND);
    for ((name, store), request) in stores.iter().zip(requests) {
        let record = world.record(request);
        let fetched = matches!(record.answer, Some((_, Answer::Fetched { .. })));
        assert!(
            fetched,
            "seed {seed}, {name}: {:?}, {} copies",
            record.answer,
            world.copies(name, content_of(world, *store))
        );
        assert_eq!(record.brought, Some(content_of(world, *store)), "seed {seed}, {name}");
    }
}

#[test]
fn a_hundred_peers_become_one_ring() {
    (0..3).for_each(|seed| drop(grown(seed, stormy(0.02), 100)));
}

#[test]
fn same_seed_same_run() {
    let fingerprint = |seed| grown(seed, stormy(0.05), 40).fingerprint();
    assert_eq!(fingerprint(11), fingerprint(11));
    assert_ne!(fingerprint(11), fingerprint(12));
}

#[test]
fn whoever_is_passed_over_for_its_silence_may_still_hold_a_file() {
    for seed in 0..5 {
        let mut world = grown(seed, stormy(0.0), 8);
        let stored = world.store(world.members()[0], "report.pdf", 1000);
        world.run_for(5 * SECOND);
        let Some((_, Answer::Stored { copies, .. })) = world.record(stored).answer.clone() else { panic!() };
        let members = world.members();
        let is_keeper = |world: &World, at: PeerIndex| copies.contains(&world.view(at).me.id);
        let (keepers, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|at| is_keeper(&world, *at));
        keepers.iter().for_each(|at| world.pause(*at));
        // Before they count as dead, which takes most of a minute.
        for wait in [SECOND, 10 * SECOND] {
            world.run_for(wait);
            let name = FileName::parse("report.pdf").unwrap();
            let commands = [
                Command::Request { name: name.clone(), version: None },
                Command::Inspect { name: name.clone(), verify: false, mend: false },
                Command::Trace { name: name.clone(), ruler: None },
            ];
            let asked = others.iter().flat_map(|at| commands.clone().map(|command| (*at, command)));
            let asked: Vec<(PeerIndex, Command)> = asked.collect();
            let tickets: Vec<Ticket> = asked.into_iter().map(|(at, command)| world.order(at, command)).collect();
            world.run_for(15 * SECOND);
            for ticket in tickets {
                let absence = match &world.record(ticket).answer {
                    Some((_, Answer::NotFound { absence, .. } | Answer::Inspected { absence, .. })) => *absence,
                    Some((_, Answer::Traced(trace))) => trace.absence,
                    other => panic!("seed {seed}: {other:?}"),
                };
                assert!(matches!(absence, Absence::OutOfReach { .. }), "seed {seed}: {:?}", world.record(ticket));
            }
        }
    }
}

#[test]
fn whoever_is_pinged_by_its_name_is_found_though_it_is_no_contact() {
    let on_the_ring = grown(3, stormy(0.01), 100);
    let mut in_kademlia = World::new(3, stormy(0.01)).kademlia(Default::default());
    let first = in_kademlia.start_alone();
    for _ in 1..300 {
        in_kademlia.join(first);
        in_kademlia.run_for(SECOND / 5);
    }
    for mut world in [on_the_ring, in_kademlia] {
        let members = world.members();
        let asker = members[1];
        let ids: Vec<Id> = members.iter().filter(|at| **at != asker).map(|at| world.view(*at).me.id).collect();
        let ping = |name: &str| Command::Ping(Whom::Called(name.to_owned()));
        let contacts = world.order(asker, Command::Contacts);
        let pings: Vec<Ticket> = ids
            .chunks(50)
            .flat_map(|some| {
                let pings = some.iter().map(|id| world.order(asker, ping(&id.to_string()[..8]))).collect::<Vec<_>>();
                world.run_for(20 * SECOND);
                pings
            })
            .collect();
        match &world.record(contacts).answer {
            Some((_, Answer::Contacts(contacts))) => assert!(contacts.known.len() < ids.len(), "some are no contacts"),
            other => panic!("{other:?}"),
        }
        for (id, pinged) in ids.iter().zip(pings) {
            let answer = &world.record(pinged).answer;
            let answered = matches!(answer, Some((_, Answer::Pinged { contact, .. })) if contact.id == *id);
            assert!(answered, "{id}: {answer:?}");
        }
        let absent = (0..=u8::MAX).map(|first| format!("{first:02x}00000000"));
        let absent =
            absent.into_iter().find(|digits| !ids.iter().any(|id| id.to_string().starts_with(digits))).unwrap();
        let nobody = world.order(asker, ping(&absent));
        world.run_for(20 * SECOND);
        let Some((_, Answer::Unable(reason))) = &world.record(nobody).answer else { panic!() };
        assert!(
            reason.ends_with("is no contact of this peer, and was not found: give its address, HOST:PORT"),
            "{reason}"
        );
    }
}

#[test]
fn half_of_a_hundred_die_at_once_and_every_file_with_a_copy_is_found() {
    for seed in 0..5 {
        let mut world = grown(seed, stormy(0.01), 100);
        let stores = store_files(&mut world, seed, 100);
        world.members().into_iter().step_by(2).for_each(|at| world.kill(at));
        let ideal = world.run_while(90 * SECOND, SECOND, |world| world.check_ideal().is_err());
        assert!(ideal, "seed {seed}: {:?}", world.check_ideal());
        // Every other one of the circle died: of three neighbours one lives.
        assert_all_found(&mut world, seed, &stores);
        assert_unbroken(&world, seed);
    }
}

#[test]
fn any_half_of_a_hundred_dies_at_once_and_every_search_ends_at_the_right_owner() {
    for seed in 0..5 {
        let mut world = grown(seed, stormy(0.01), 100);
        let mut chance = Chance::seeded(seed);
        let mut members = world.members();
        while members.len() > 50 {
            let dies = members.swap_remove(chance.within(0..members.len() as u64) as usize);
            world.kill(dies);
        }
        let ideal = world.run_while(90 * SECOND, SECOND, |world| world.check_ideal().is_err());
        assert!(ideal, "seed {seed}: {:?}", world.check_ideal());
        for (name, store) in store_files(&mut world, seed, 100) {
            let Some((_, Answer::Stored { copies, .. })) = &world.record(store).answer else { unreachable!() };
            let owner = world.owner(world.place(&name)).unwrap();
            assert_eq!(copies[0], world.view(owner).me.id, "seed {seed}, {name}");
            assert_eq!(copies.len(), 3, "seed {seed}, {name}");
        }
        assert_unbroken(&world, seed);
    }
}

#[test]
fn a_partition_heals_into_one_ring_and_no_acknowledged_file_is_lost() {
    for seed in 0..3 {
        let mut world = grown(seed, stormy(0.01), 100);
        let mut stores = store_files(&mut world, seed, 40);
        world.partition(|at| at % 2 == 0);
        world.run_for(5 * MINUTE);
        for (at, side) in [(0, "even"), (1, "odd")] {
            let name = format!("{side}.bin");
            let ticket = world.store(at, &name, 1000);
            stores.push((name, ticket));
        }
        world.run_for(5 * MINUTE);
        world.heal();
        let one = world.run_while(5 * MINUTE, SECOND, |world| world.check_ideal().is_err());
        assert!(one, "seed {seed}: {:?}", world.check_ideal());
        world.check_rules();
        world.run_for(10 * SECOND);
        assert_all_found(&mut world, seed, &stores);
        assert_unbroken(&world, seed);
    }
}

#[test]
fn files_survive_every_pair_of_neighbours_leaving_or_dying() {
    for seed in 0..10 {
        let mut world = grown(seed, stormy(0.01), 20);
        let stores = store_files(&mut world, seed, 40);
        for round in 0..5 {
            let members = world.members();
            let (one, next) = (members[round * 3 % members.len()], members[(round * 3 + 1) % members.len()]);
            match (seed as usize + round) % 3 {
                0 => [one, next].into_iter().for_each(|at| world.kill(at)),
                1 => {
                    world.quit(one);
                    world.run_for(SECOND / 5);
                    world.quit(next);
                }
                _ => {
                    world.quit(one);
                    world.kill(next);
                }
            }
            // Who quits has gone after five seconds, whatever happens.
            world.run_for(5 * SECOND);
            assert!(!world.members().contains(&one) && !world.members().contains(&next), "seed {seed}, round {round}");
            let closed = world.run_while(15 * SECOND, SECOND / 2, |world| world.check_closed().is_err());
            assert!(closed, "seed {seed}, round {round}: {:?}", world.check_closed());
            let ideal = world.run_while(60 * SECOND, SECOND, |world| world.check_ideal().is_err());
            assert!(ideal, "seed {seed}, round {round}: {:?}", world.check_ideal());
        }
        assert_all_found(&mut world, seed, &stores);
        assert_unbroken(&world, seed);
    }
}

#[test]
fn a_thousand_peers_join_at_five_a_second_and_are_one_ring_half_a_minute_later() {
    let grows = |seed| {
        let world = grown(seed, stormy(0.02), 1000);
        println!("seed {seed}: ideal {:?} after the last join", world.now().elapsed() - SECOND / 5 * 999);
    };
    // All others of this file are done long before.
    thread::scope(|scope| {
        for first in 0..2 {
            scope.spawn(move || (first..20).step_by(2).for_each(grows));
        }
    });
}

/// Who checks the checks? A ring cut in two by a partition that the checks are not told of breaks the rules.
#[test]
fn the_checks_find_a_ring_that_is_cut() {
    let mut world = grown(5, stormy(0.0), 100);
    world.partition(|at| at % 2 == 0);
    world.check_rules();
    world.run_for(3 * MINUTE);
    assert!(world.check_closed().is_err());
    assert!(world.broken().is_some());
}

#[test]
fn an_owner_that_comes_back_with_an_old_version_does_not_serve_it() {
    for seed in 0..10 {
        let mut world = grown(seed, stormy(0.01), 30);
        let old = world.store(world.members()[3], "report.pdf", 1000);
        world.run_for(10 * SECOND);
        assert!(world.is_stored(old));
        let owner = world.owner(world.place("report.pdf")).unwrap();
        world.kill(owner);
        world.run_for(30 * SECOND);
        let new = world.store(world.members()[5], "report.pdf", 1000);
        world.run_for(10 * SECOND);
        assert!(world.is_stored(new), "seed {seed}");
        let back = world.restart(owner, world.members()[7]);
        assert!(world.run_while(20 * SECOND, SECOND / 20, |world| !world.members().contains(&back)), "seed {seed}");
        let request = world.request(world.members()[9], "report.pdf");
        world.run_for(20 * SECOND);
        assert_eq!(world.record(request).brought, Some(content_of(&world, new)), "seed {seed}");
        let first = world.owner(world.place("report.pdf")).unwrap();
        let versions: Vec<u64> = world.versions(first, "report.pdf").iter().map(|manifest| manifest.version).collect();
        assert_eq!(versions, [2, 1], "seed {seed}: the old version is kept beside it");
    }
}

#[test]
fn the_only_holder_of_a_file_takes_its_time_to_hand_it_over() {
    for seed in 0..10 {
        let mut world = World::new(seed, stormy(0.01)).replicas(1);
        let first = world.start_alone();
        (0..10).for_each(|_| {
            world.join(first);
            world.run_for(SECOND);
        });
        world.run_for(10 * SECOND);
        // 100 MB at 10 MB/s: longer than a quit takes otherwise.
        let store = world.store(first, "large.bin", 100_000_000);
        world.run_for(20 * SECOND);
        assert!(world.is_stored(store), "seed {seed}: {:?}", world.record(store));
        let holder = world.owner(world.place("large.bin")).unwrap();
        let quit = world.quit(holder);
        world.run_for(20 * SECOND);
        assert!(matches!(world.record(quit).answer, Some((_, Answer::Left))), "seed {seed}");
        let asker = world.members()[0];
        let request = world.request(asker, "large.bin");
        world.run_for(30 * SECOND);
        assert_eq!(world.record(request).brought, Some(content_of(&world, store)), "seed {seed}");
    }
}

#[test]
fn two_stores_of_one_name_at_once_are_both_kept_and_one_answers_everywhere() {
    for seed in 0..20 {
        let mut world = grown(seed, stormy(0.02), 30);
        let members = world.members();
        let stores = [2, 17].map(|at| world.store(members[at], "minutes.txt", 5000));
        world.run_for(60 * SECOND);
        assert!(stores.iter().all(|store| world.is_stored(*store)), "seed {seed}");
        let copies = stores.map(|store| world.copies("minutes.txt", content_of(&world, store)));
        assert_eq!(copies, [3, 3], "seed {seed}");
        let requests: Vec<Ticket> = world.members().into_iter().map(|at| world.request(at, "minutes.txt")).collect();
        world.run_for(20 * SECOND);
        let brought: BTreeSet<_> = requests.iter().map(|request| world.record(*request).brought).collect();
        assert!(brought.len() == 1 && !brought.contains(&None), "seed {seed}: {brought:?}");
    }
}

#[test]
fn a_peer_that_alone_has_many_files_hands_them_all_over_before_it_goes() {
    for seed in 0..12 {
        let mut world = World::new(seed, stormy(0.0));
        let lone = world.start_alone();
        let names: Vec<String> = (0..60).map(|at| format!("file {at}")).collect();
        let stores: Vec<Ticket> = names.iter().map(|name| world.store(lone, name, 1_000_000)).collect();
        world.run_for(10 * SECOND);
        for _ in 0..3 {
            world.join(lone);
        }
        world.run_for(3 * SECOND / 2);
        let quit = world.quit(lone);
        world.run_for(60 * SECOND);
        assert!(matches!(world.record(quit).answer, Some((_, Answer::Left))), "seed {seed}");
        for (name, store) in names.iter().zip(stores) {
            assert!(world.copies(name, content_of(&world, store)) > 0, "seed {seed}: {name} is lost");
        }
    }
}

#[test]
fn an_acknowledged_copy_is_a_copy() {
    for seed in 0..100 {
        let mut world = grown(seed, stormy(0.0), 10);
        let members = world.members();
        let stores = [1, 6].map(|at| world.store(members[at], "minutes.txt", 3_000_000));
        world.run_while(60 * SECOND, SECOND / 20, |world| !stores.iter().all(|store| world.is_stored(*store)));
        // The later version is acknowledged last: what was said of it is true at that moment.
        let last = stores.into_iter().max_by_key(|store| match &world.record(*store).answer {
            Some((_, Answer::Stored { manifest, .. })) => manifest.holding().rank(),
            other => panic!("seed {seed}: {other:?}"),
        });
        let last = last.unwrap();
        let Some((_, Answer::Stored { copies, .. })) = &world.record(last).answer else { unreachable!() };
        assert_eq!(world.copies("minutes.txt", content_of(&world, last)), copies.len(), "seed {seed}");
    }
}

/// Its predecessor may have died before it was known: nobody else would tell where the file is.
#[test]
fn a_holder_says_what_it_holds_before_it_knows_its_range() {
    let name = FileName::parse("4103").unwrap();
    let content = Content { hash: [7; Content::HASH_LEN], len_bytes: 5 };
    let manifest = Manifest::after(None, name.clone(), content, Id::numbered(5));
    let asked = |held: Vec<Manifest>| {
        let contact = |number: u8| Contact {
            id: Id::numbered(number),
            addr: SocketAddr::from(([127, 0, 0, 1], 12000 + u16::from(number))),
        };
        let config = Config {
            id: Id::numbered(14),
            addr: contact(14).addr,
            reached_at: Vec::new(),
            naming: Naming::Numbered,
            overlay: Kind::Ring(RingTuning::CLASSIC),
            start: Start::Ring(vec![contact(19), contact(2)]),
            ping_interval: Duration::from_secs(15),
            replicas: 3,
            seed: 1,
            held: held.into_iter().map(|manifest| (manifest, None)).collect(),
            keeps_files: true,
            read_only: false,
            both_families: false,
            memory: Vec::new(),
        };
        let mut peer = Peer::new(Moment::START, config);
        let question = Question::FindNode { target: Id::numbered(7), errand: Some(Errand::Request(name.clone())) };
        let body = Body::Question { from: Id::numbered(5), read_only: false, want: Want::default(), question };
        let message =
            Message { transaction: b"aa".to_vec(), leaving: false, reached_at: None, program: Program::Keeper, body };
        let bytes = message.encode(contact(14).addr);
        peer.handle(Moment::START, Input::Datagram { from: contact(5).addr, bytes });
        let mut files = None;
        while let Some(output) = peer.poll() {
            let Output::Send { to, bytes } = output else { continue };
            if let Ok(Message { body: Body::Answer { answer, .. }, .. }) = Message::decode(&bytes)
                && to == contact(5).addr
            {
                files = Some(answer.files);
            }
        }
        files
    };
    assert_eq!(asked(vec![manifest.clone()]), Some(vec![manifest.holding()]));
    assert_eq!(asked(Vec::new()), None, "it will be asked again, and know then");
}
