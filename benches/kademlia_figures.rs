//! Figures of whole Kademlia networks, beside the ring's, as tables in Markdown:
//! `cargo bench --no-default-features --bench kademlia_figures [-- lost|hops|reach|speed|dead …]`.
//!
//! What they say is in `docs/kademlia-figures.md`.

use p2p::ground::item::text_value;
use p2p::ground::{Chance, Contact, Id, Item};
use p2p::overlay::{Geometry, Lookup, Step, Tuning};
use p2p::peer::{Answer, Command, Publication, Sought, Ticket};
use p2p::sim::{Delay, PeerIndex, Weather, World};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// What a search of ours starts with, and what our peers name each other: `krpc::MAX_NODES`.
const NAMED: usize = 24;
/// Mean time of a datagram on its way.
const DELAY: Duration = Duration::from_millis(50);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, print) in
        [("lost", lost as fn()), ("hops", hops), ("reach", reach), ("speed", speed), ("dead", dead)].into_iter()
    {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            print();
        }
    }
}

fn any(members: &[PeerIndex], chance: &mut Chance) -> PeerIndex {
    members[chance.within(0..members.len() as u64) as usize]
}

fn random_id(chance: &mut Chance) -> Id {
    Id::hashed(&chance.bits().to_be_bytes())
}

/// A network whose peers join one after the other through the first, so many a second.
fn grown(mut world: World, count: usize, a_second: u32) -> World {
    let first = world.start_alone();
    for _ in 1..count {
        world.join(first);
        world.run_for(SECOND / a_second);
    }
    world.run_for(30 * SECOND);
    assert_eq!(world.member_count(), count);
    world
}

fn stormy(seed: u64, tuning: Tuning) -> World {
    World::new(seed, Weather { loss: 0.02, duplication: 0.01, ..Weather::default() }).kademlia(tuning)
}

// ---- Values lost when half of all die at once

#[derive(Default)]
struct Losses {
    values: usize,
    copies: usize,
    expected: f64,
    lost: usize,
    missed: [usize; 2],
}

fn lost() {
    println!("\n### Values lost when half of 1,000 peers die at once\n");
    println!(
        "| k | values | copies acknowledged | 2^-k | with these copies | lost | kept, not found at once | 2 min later |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for k in [1, 2, 3, 4, 8] {
        let mut sum = Losses::default();
        // What is rare takes more networks to be seen at all.
        let seeds = if k == 8 { 12 } else { 4 };
        (0..seeds).for_each(|seed| half_dies(seed, k, &mut sum));
        let values = sum.values as f64;
        println!(
            "| {k} | {} | {:.2} | {:.2} % | {:.2} % | {} = {:.2} % | {} | {} |",
            sum.values,
            sum.copies as f64 / values,
            100.0 * 0.5f64.powi(k as i32),
            100.0 * sum.expected / values,
            sum.lost,
            100.0 * sum.lost as f64 / values,
            sum.missed[0],
            sum.missed[1],
        );
    }
}

fn half_dies(seed: u64, k: usize, sum: &mut Losses) {
    const PEERS: usize = 1000;
    const VALUES: usize = 1000;
    let mut chance = Chance::seeded(seed);
    let mut world = grown(stormy(seed, Tuning { k, ..Tuning::default() }), PEERS, 5);
    let mut members = world.members();
    let by_id: BTreeMap<Id, PeerIndex> = members.iter().map(|at| (world.view(*at).me.id, *at)).collect();
    let sets: Vec<Ticket> =
        (0..VALUES).map(|at| world.set(any(&members, &mut chance), &format!("key {at}"), "value")).collect();
    world.run_for(30 * SECOND);
    while members.len() > PEERS / 2 {
        let dies = members.swap_remove(chance.within(0..members.len() as u64) as usize);
        world.kill(dies);
    }
    let mut kept = vec![false; VALUES];
    for (at, set) in sets.iter().enumerate() {
        let Some((_, Answer::Put { copies, .. })) = &world.record(*set).answer else {
            println!("value {at} could not be set: {:?}", world.record(*set).answer);
            continue;
        };
        sum.values += 1;
        sum.copies += copies.len();
        sum.expected += all_among(PEERS, PEERS / 2, copies.len());
        kept[at] = copies.iter().any(|id| members.contains(&by_id[id]));
        sum.lost += usize::from(!kept[at]);
    }
    for (when, wait) in [0, 120].into_iter().enumerate() {
        world.run_for(wait * SECOND);
        let gets: Vec<Ticket> =
            (0..VALUES).map(|at| world.get(any(&members, &mut chance), &format!("key {at}"))).collect();
        world.run_for(10 * SECOND);
        let found = gets.iter().map(|get| world.text(*get).is_some());
        sum.missed[when] += found.zip(&kept).filter(|(found, kept)| **kept && !found).count();
    }
}

/// How likely `copies` peers are all among `dead` of `all`: C(all - copies, dead - copies) / C(all, dead).
fn all_among(all: usize, dead: usize, copies: usize) -> f64 {
    (0..copies).map(|at| (dead - at) as f64 / (all - at) as f64).product()
}

// ---- Hops

/// Peers as they are at one moment, to be asked whom they know.
struct Tables<'a> {
    world: &'a World,
    geometry: Geometry,
    peers: BTreeMap<Id, PeerIndex>,
    ids: Vec<Id>,
}

impl Tables<'_> {
    fn of(world: &World, geometry: Geometry) -> Tables<'_> {
        let peers: BTreeMap<Id, PeerIndex> = world.members().into_iter().map(|at| (world.view(at).me.id, at)).collect();
        Tables { world, geometry, ids: peers.keys().copied().collect(), peers }
    }

    fn mean_len(&self) -> f64 {
        mean(self.peers.values().map(|at| self.world.view(*at).contacts.len() as f64))
    }

    /// Who keeps a key in truth.
    fn owner(&self, key: Id) -> Id {
        *self.ids.iter().min_by_key(|id| self.geometry.keeping(**id, key)).expect("there are peers")
    }

    /// Whom `node` names to who asks about `key`. On the ring at least one at or after the key, and one before it.
    fn named(&self, node: Id, key: Id, count: usize) -> Vec<Contact> {
        let least = if self.geometry == Geometry::Ring { 3 } else { 1 };
        self.world.near(self.peers[&node], key, count.max(least))
    }
}

/// What came of one lookup.
struct Way {
    /// Questions asked until one that names the owner was answered, and one more to the owner itself.
    hops: usize,
    /// Answers that had to be waited for one after the other: those that led to the owner, and the owner's own.
    chain: usize,
    /// Questions until the end.
    questions: usize,
    /// Time until the owner was named.
    named: Duration,
    /// Time until the end.
    ended: Duration,
    found: bool,
}

/// One lookup over tables that stand still; nothing is lost, delays are exponential.
fn walk(tables: &Tables, from: Id, key: Id, width: usize, names: usize, chance: &mut Chance) -> Way {
    let owner = tables.owner(key);
    let mut lookup = Lookup::new(tables.geometry, key, width);
    let mut depth: BTreeMap<Id, usize> = BTreeMap::from([(from, 0)]);
    let mut open = BinaryHeap::new();
    let (mut now, mut answers) = (Duration::ZERO, 0);
    let mut way = None;
    let mut heard = |lookup: &mut Lookup, node: Id, now: Duration, answers: usize| {
        let named = tables.named(node, key, names);
        let next = depth[&node] + 1;
        for contact in &named {
            depth.entry(contact.id).or_insert(next);
            if contact.id == owner {
                way.get_or_insert((answers + 1, next, now));
            }
        }
        if node == from {
            named.into_iter().for_each(|contact| lookup.hear_of(contact));
        } else {
            let others: Vec<Contact> = named.into_iter().filter(|contact| contact.id != from).collect();
            lookup.answered(node, &others);
        }
    };
    heard(&mut lookup, from, now, answers);
    loop {
        match lookup.next_step() {
            Step::Ask(contact) => {
                let there_and_back = chance.exponential(DELAY) + chance.exponential(DELAY);
                open.push(Reverse((now + there_and_back, contact.id)));
            }
            Step::Wait => {
                let Reverse((at, id)) = open.pop().expect("a question is open");
                now = at;
                answers += 1;
                heard(&mut lookup, id, now, answers);
            }
            Step::Done => break,
        }
    }
    let found = lookup.keepers().next().is_some_and(|nearest| nearest.id == owner);
    let (hops, chain, named) = way.unwrap_or((lookup.asked(), 0, now));
    Way { hops, chain, questions: lookup.asked(), named, ended: now, found }
}

fn percentile<T: Copy + Ord>(values: &[T], share: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let len = values.len() as f64;
    values.sum::<f64>() / len
}

fn print_ways(what: &str, tables: &Tables, width: usize, names: usize) {
    const LOOKUPS: usize = 4000;
    let mut chance = Chance::seeded(7);
    let mut ways = Vec::with_capacity(LOOKUPS);
    while ways.len() < LOOKUPS {
        let from = tables.ids[chance.within(0..tables.ids.len() as u64) as usize];
        let key = random_id(&mut chance);
        if tables.owner(key) != from {
            ways.push(walk(tables, from, key, width, names, &mut chance));
        }
    }
    let column = |field: fn(&Way) -> usize| ways.iter().map(field).collect::<Vec<usize>>();
    let (hops, chain, questions) = (column(|way| way.hops), column(|way| way.chain), column(|way| way.questions));
    let millis = |field: fn(&Way) -> Duration| ways.iter().map(|way| field(way).as_millis()).collect::<Vec<u128>>();
    let (named, ended) = (millis(|way| way.named), millis(|way| way.ended));
    println!(
        "| {} | {what} | {:.0} | {:.2} | {} | {} | {:.2} | {:.1} | {} | {:.0} / {} | {:.0} / {} | {:.2} % |",
        tables.ids.len(),
        tables.mean_len(),
        mean(hops.iter().map(|hops| *hops as f64)),
        percentile(&hops, 0.01),
        percentile(&hops, 0.99),
        mean(chain.iter().map(|chain| *chain as f64)),
        mean(questions.iter().map(|asked| *asked as f64)),
        percentile(&questions, 0.99),
        mean(named.iter().map(|millis| *millis as f64)),
        percentile(&named, 0.99),
        mean(ended.iter().map(|millis| *millis as f64)),
        percentile(&ended, 0.99),
        100.0 * ways.iter().filter(|way| way.found).count() as f64 / LOOKUPS as f64,
    );
}

fn sizes() -> Vec<usize> {
    match std::env::var("SIZES") {
        Ok(sizes) => sizes.split(',').map(|size| size.parse().expect("SIZES is numbers with commas")).collect(),
        Err(_) => vec![64, 256, 1024, 4096],
    }
}

fn settled(world: World, count: usize) -> World {
    let mut world = grown(world, count, 10);
    world.run_for(600 * SECOND);
    world
}

fn hops() {
    println!("\n### Hops\n");
    println!(
        "| N | overlay | contacts | hops | p1 | p99 | chain | questions | p99 | ms until named, p99 | ms in all, p99 | right |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut real = Vec::new();
    for count in sizes() {
        let seed = count as u64;
        let world = settled(World::new(seed, Weather::default()).unchecked(), count);
        let tables = Tables::of(&world, Geometry::Ring);
        for (what, names) in [("ring, 3 names", 3), ("ring, 8 names", 8), ("ring, 24 names", NAMED)] {
            print_ways(what, &tables, 1, names);
        }
        real.push(print_real("ring", count, world));
        for (what, k, wide) in [("k = 8", 8, false), ("k = 20", 20, false), ("k = 8, wide", 8, true)] {
            let tuning = Tuning { k, wide, ..Tuning::default() };
            let world = settled(World::new(seed, Weather::default()).kademlia(tuning), count);
            let tables = Tables::of(&world, Geometry::Xor { k });
            let rows = [(1, 1), (1, 8), (3, 8), (1, NAMED), (3, NAMED)];
            // One name is the ring's rule in xor: the next hop and nothing else.
            for (width, names) in rows.into_iter().filter(|row| row.1 != 1 || (!wide && k == 8)) {
                print_ways(
                    &format!("{what}, α = {width}, {names} {}", if names == 1 { "name" } else { "names" }),
                    &tables,
                    width,
                    names,
                );
            }
            real.push(print_real(&format!("{what}, α = 3"), count, world));
        }
    }
    println!("\n### A value that nobody set, looked for by the real peers\n");
    println!("| N | overlay | questions | p99 | ms | p99 |");
    println!("|---|---|---|---|---|---|");
    real.iter().for_each(|row| println!("{row}"));
}

/// The real peers, with all their timeouts, look for what is not there: until everybody responsible has answered.
fn print_real(what: &str, count: usize, mut world: World) -> String {
    const LOOKUPS: usize = 2000;
    let mut chance = Chance::seeded(8);
    let members = world.members();
    let mut tickets = Vec::with_capacity(LOOKUPS);
    for _ in 0..LOOKUPS {
        let sought = Sought::Immutable(random_id(&mut chance));
        tickets.push(world.order(any(&members, &mut chance), Command::Find(sought)));
        world.run_for(SECOND / 20);
    }
    world.run_for(20 * SECOND);
    let mut asked = Vec::new();
    let mut took = Vec::new();
    for ticket in tickets {
        let record = world.record(ticket);
        if let Some((at, Answer::NoValue { asked: questions })) = record.answer {
            asked.push(questions);
            took.push(at.since(record.given).as_millis());
        }
    }
    assert_eq!(asked.len(), LOOKUPS, "all lookups end");
    format!(
        "| {count} | {what} | {:.1} | {} | {:.0} | {} |",
        mean(asked.iter().map(|asked| *asked as f64)),
        percentile(&asked, 0.99),
        mean(took.iter().map(|took| *took as f64)),
        percentile(&took, 0.99),
    )
}

// ---- Who reaches whom

fn reach() {
    for (chain, how) in [(false, "all join through the first"), (true, "each joins through the one before")] {
        for (after, when) in [(5, "5 s after the last joined"), (600, "10 min later")] {
            for (names, who) in [(None, "answers name k"), (Some(NAMED), "answers name 24")] {
                println!("\n### Pairs that do not find each other, {how}, {when}, {who}\n");
                println!("| N | k = 1 | k = 2 | k = 3 | k = 4 | k = 8 |");
                println!("|---|---|---|---|---|---|");
                for count in [4, 8, 16, 32, 64] {
                    let cells: Vec<String> =
                        [1, 2, 3, 4, 8].map(|k| unreached(count, k, chain, after, names.unwrap_or(k))).to_vec();
                    println!("| {count} | {} |", cells.join(" | "));
                }
            }
        }
    }
}

fn unreached(count: usize, k: usize, chain: bool, after: u64, names: usize) -> String {
    const SEEDS: u64 = 10;
    let (mut pairs, mut missed) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = stormy(seed, Tuning { k, ..Tuning::default() });
        let first = world.start_alone();
        let mut last = first;
        for _ in 1..count {
            last = world.join(if chain { last } else { first });
            // Whoever lets others in must be in.
            let there = world.run_while(30 * SECOND, SECOND / 5, |world| !world.members().contains(&last));
            assert!(there, "seed {seed}: a peer could not join");
        }
        world.run_for(Duration::from_secs(after));
        let tables = Tables::of(&world, Geometry::Xor { k });
        let mut chance = Chance::seeded(seed);
        for from in &tables.ids {
            for to in tables.ids.iter().filter(|to| *to != from) {
                pairs += 1;
                missed += usize::from(!walk(&tables, *from, *to, 3, names, &mut chance).found);
            }
        }
    }
    if missed == 0 {
        "0".to_owned()
    } else {
        format!("{missed} of {pairs} ({:.2} %)", 100.0 * missed as f64 / pairs as f64)
    }
}

// ---- How fast the simulator is

fn speed() {
    println!("\n### 1,000 Kademlia peers in the simulator\n");
    let before = resident_kib();
    let begun = Instant::now();
    let mut world = grown(stormy(1, Tuning::default()), 1000, 5);
    let (joined, events) = (begun.elapsed(), world.counts.events);
    let begun = Instant::now();
    world.run_for(600 * SECOND);
    let ran = begun.elapsed();
    let more = world.counts.events - events;
    println!("| phase | simulated | took | events | events a second |");
    println!("|---|---|---|---|---|");
    let rate = |events: u64, took: Duration| events as f64 / took.as_secs_f64();
    println!("| joining, 5 a second | 230 s | {joined:.2?} | {events} | {:.0} |", rate(events, joined));
    println!("| quiet | 600 s | {ran:.2?} | {more} | {:.0} |", rate(more, ran));
    if let (Some(before), Some(after)) = (before, resident_kib()) {
        println!("\n{} KiB of memory for each peer and what is under way to it.", (after - before) / 1000);
    }
}

// ---- How long the living wait when a third is dead

/// Two of these one after the other have a median of 156 ms: a round trip on the Internet.
const INTERNET: Duration = Duration::from_millis(93);

fn dead() {
    println!("\n### 200 peers, round trips of 156 ms (median), a third just died: how long commands take\n");
    println!("| | done | p50 | p99 | before: p50 | p99 |");
    println!("|---|---|---|---|---|---|");
    let mut world = World::new(1, Weather { delay: Delay::Exponential(INTERNET), ..Weather::default() });
    world = grown(world.kademlia(Tuning::default()), 200, 5);
    world.run_for(600 * SECOND);
    let mut chance = Chance::seeded(1);
    let texts = |from: usize| (from..from + 200).map(|at| text_value(format!("value {at}").as_bytes()));
    let values: Vec<Item> = texts(0).map(Item::Immutable).collect();
    let put = |value: Vec<u8>| Command::Put { publication: Publication::Immutable(value), promised: true };
    let find = |item: &Item| Command::Find(Sought::Immutable(item.target()));
    let first = times(&mut world, &mut chance, texts(0).map(put).collect());
    let found = times(&mut world, &mut chance, values.iter().map(find).collect());
    let members = world.members();
    members.iter().skip(1).step_by(3).for_each(|at| world.kill(*at));
    let again = times(&mut world, &mut chance, values.iter().map(find).collect());
    let second = times(&mut world, &mut chance, texts(1000).map(put).collect());
    for (name, before, after) in [("put", first, second), ("get", found, again)] {
        let ms = |times: &[Duration], share| percentile(times, share).as_millis();
        let [a, b, c, d] = [ms(&after, 0.5), ms(&after, 0.99), ms(&before, 0.5), ms(&before, 0.99)];
        println!("| {name} | {} of 200 | {a} ms | {b} ms | {c} ms | {d} ms |", after.len());
    }
}

/// Gives the commands at random peers, ten a second; how long those took that succeeded, sorted.
fn times(world: &mut World, chance: &mut Chance, commands: Vec<Command>) -> Vec<Duration> {
    let members = world.members();
    let mut given = Vec::new();
    for command in commands {
        given.push(world.order(any(&members, chance), command));
        world.run_for(SECOND / 10);
    }
    world.run_for(20 * SECOND);
    let took = |ticket: Ticket| {
        let record = world.record(ticket);
        match &record.answer {
            Some((at, Answer::Put { .. } | Answer::Found(_))) => Some(at.since(record.given)),
            _ => None,
        }
    };
    let mut times: Vec<Duration> = given.into_iter().filter_map(took).collect();
    times.sort();
    times
}

/// Memory in use, where the system tells (Linux).
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().split(' ').next()?.parse().ok()
}
