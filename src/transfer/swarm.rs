//! Which source is asked for which chunks next: decisions alone, no bytes, no sockets.
//!
//! A source owes what it was asked for, and gives it in that order. Chunks that few sources have are asked for first, in
//! runs of neighbours; each source gets as long runs as it gave fast so far. When everything is asked for, sources that
//! are idle are asked for what slower ones still owe, and the first to give it wins. Where somebody reads the content
//! while it comes, what they read next comes before what is rare. A source that gave a wrong chunk is not asked for that
//! one again.

use crate::ground::{Chance, Moment};
use crate::store::ChunkSet;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

/// How long a source should work at one run. Long enough that a question now and then costs nothing, short enough that
/// little is asked for twice at the end. Guess: no other value was measured.
const RUN_SECONDS: f64 = 0.35;
/// The longest run: at the speed of a disk, as long as it is.
const MOST_RUN_BYTES: u64 = 16 << 20;
/// The first run of a source of unknown speed. Guess: 2 s at 1 Mbit/s.
const FIRST_RUN_BYTES: u64 = 256 << 10;
/// Most sources that owe one chunk.
const MOST_DEBTORS: u8 = 2;
/// How much the last run says about a source's speed, against all before it. Guess.
const NEWEST_SHARE: f64 = 0.4;
/// Most wrong chunks that are taken from one source. Guess: a bad block of a disk touches one or two, and a liar sends no more.
const MOST_WRONG: usize = 8;
/// How long sources that have nothing for us may get nothing themselves. Guess: longer than a slow line needs for a chunk.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Tells the sources of one swarm apart.
pub type SourceId = usize;

/// What is to be done with a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask it for these.
    Ask(Range<u64>),
    /// Nothing to be asked of it now.
    Idle,
    /// Nothing more to be asked of it at all: what lacks here is what it gave wrong.
    Spent,
    /// All chunks are here.
    Done,
}

/// Who has what, and who owes what, of one content.
pub struct Swarm {
    chunk_bytes: u64,
    have: ChunkSet,
    /// How many sources owe each chunk.
    debtors: Vec<u8>,
    /// How many sources have each chunk.
    holders: Vec<u16>,
    sources: BTreeMap<SourceId, Source>,
    /// What each source gave wrong, whether it is still one or not.
    wrong: BTreeMap<SourceId, BTreeSet<u64>>,
    /// When a source last came, got something or gave something.
    moved: Moment,
    /// The chunk that somebody waits to read.
    reading: Option<u64>,
    chance: Chance,
}

struct Source {
    has: ChunkSet,
    owes: VecDeque<Range<u64>>,
    bytes_per_second: Option<f64>,
    /// The chunk behind the last it was asked for.
    behind: u64,
    heard: Moment,
}

impl Swarm {
    /// For content of which some chunks are here already. `chunk_bytes`: how long a chunk is.
    pub fn new(have: ChunkSet, chunk_bytes: u64, seed: u64) -> Swarm {
        let (debtors, holders) = (vec![0; have.of() as usize], vec![0; have.of() as usize]);
        let chance = Chance::seeded(seed);
        Swarm {
            chunk_bytes,
            have,
            debtors,
            holders,
            sources: BTreeMap::new(),
            wrong: BTreeMap::new(),
            moved: Moment::START,
            reading: None,
            chance,
        }
    }

    /// Whether all chunks are here.
    pub fn is_done(&self) -> bool {
        self.have.is_full()
    }

    /// A source that has these chunks.
    pub fn join(&mut self, now: Moment, id: SourceId, mut has: ChunkSet) {
        self.moved = now;
        self.wrong.get(&id).into_iter().flatten().for_each(|index| _ = has.remove(*index));
        has.iter().for_each(|index| self.holders[index as usize] += 1);
        let behind = has.of();
        self.sources.insert(id, Source { has, owes: VecDeque::new(), bytes_per_second: None, behind, heard: now });
    }

    /// A source says that it has more. True: some of that is new.
    pub fn gained(&mut self, now: Moment, id: SourceId, chunks: impl IntoIterator<Item = u64>) -> bool {
        let Some(source) = self.sources.get_mut(&id) else { return false };
        let wrong = self.wrong.get(&id);
        let is_wrong = |index: u64| wrong.is_some_and(|wrong| wrong.contains(&index));
        let mut any = false;
        for index in chunks.into_iter().filter(|index| *index < self.have.of() && !is_wrong(*index)) {
            if source.has.insert(index) {
                self.holders[index as usize] += 1;
                self.moved = now;
                any = true;
            }
        }
        any
    }

    /// A source is gone: others are asked for what it owed.
    pub fn leave(&mut self, id: SourceId) {
        let Some(source) = self.sources.remove(&id) else { return };
        source.has.iter().for_each(|index| self.holders[index as usize] -= 1);
        source.owes.into_iter().flatten().for_each(|index| self.debtors[index as usize] -= 1);
    }

    /// How many runs a source owes; none: it has not joined.
    pub fn owed(&self, id: SourceId) -> Option<usize> {
        self.sources.get(&id).map(|source| source.owes.len())
    }

    /// The source gave the next chunk that it owed, and it is right.
    pub fn arrived(&mut self, now: Moment, id: SourceId, index: u64) {
        self.moved = now;
        self.have.insert(index);
        self.given(now, id, index);
    }

    /// The source gave the next chunk that it owed, and it is wrong. True: it may go on. Who has not been taken for
    /// damaged before may not: others come first.
    pub fn was_wrong(&mut self, now: Moment, id: SourceId, index: u64) -> bool {
        self.given(now, id, index);
        if let Some(source) = self.sources.get_mut(&id)
            && source.has.remove(index)
        {
            self.holders[index as usize] -= 1;
        }
        let wrong = self.wrong.entry(id).or_default();
        let is_known = !wrong.is_empty();
        wrong.insert(index);
        is_known && wrong.len() < MOST_WRONG
    }

    /// A source that gave wrong chunks may have right ones that lack here.
    pub fn deserves_another_chance(&self, id: SourceId) -> bool {
        let lacks =
            |wrong: &BTreeSet<u64>| (0..self.have.of()).any(|index| self.lacks(index) && !wrong.contains(&index));
        self.wrong.get(&id).is_some_and(|wrong| wrong.len() < MOST_WRONG && lacks(wrong))
    }

    /// Something lacks here, and none of the sources has anything of it. They must be so many: others are about to join.
    pub fn is_starved(&self, sources: usize) -> bool {
        let is_there = |index: u64| self.lacks(index) && self.holders[index as usize] > 0;
        sources == self.sources.len() && !self.is_done() && !(0..self.have.of()).any(is_there)
    }

    /// For long no source has come, got anything or given anything.
    pub fn is_still(&self, now: Moment) -> bool {
        now.since(self.moved) >= STUCK_AFTER
    }

    fn lacks(&self, index: u64) -> bool {
        !self.have.contains(index)
    }

    fn given(&mut self, now: Moment, id: SourceId, index: u64) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        source.heard = now;
        let Some(run) = source.owes.front_mut().filter(|run| run.start == index) else { return };
        run.start += 1;
        self.debtors[index as usize] -= 1;
        if run.is_empty() {
            source.owes.pop_front();
        }
    }

    /// How long a source took for so many bytes.
    pub fn measured(&mut self, id: SourceId, bytes: u64, took: Duration) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        let newest = bytes as f64 / took.as_secs_f64().max(1e-6);
        let speed = source.bytes_per_second.map_or(newest, |old| old + (newest - old) * NEWEST_SHARE);
        source.bytes_per_second = Some(speed);
    }

    /// From now on somebody reads from this chunk on; or nobody.
    pub fn read(&mut self, from: Option<u64>) {
        self.reading = from;
    }

    /// What to ask of a source now.
    pub fn next(&mut self, now: Moment, id: SourceId) -> Next {
        if self.is_done() {
            return Next::Done;
        }
        let Some(most) = self.sources.get(&id).map(|source| self.run_len(source)) else { return Next::Idle };
        let Some(run) = self.free_run(id, most).or_else(|| self.owed_run(now, id, most)) else {
            return if self.is_spent(id) { Next::Spent } else { Next::Idle };
        };
        run.clone().for_each(|index| self.debtors[index as usize] += 1);
        let source = self.sources.get_mut(&id).expect("it was just looked at");
        if source.owes.is_empty() {
            source.heard = now;
        }
        source.owes.push_back(run.clone());
        source.behind = run.end;
        Next::Ask(run)
    }

    /// It would have all chunks but those that it gave wrong, and nothing else lacks here.
    fn is_spent(&self, id: SourceId) -> bool {
        let (Some(source), Some(wrong)) = (self.sources.get(&id), self.wrong.get(&id)) else { return false };
        let gets_no_more = source.has.count() + wrong.len() as u64 == self.have.of();
        source.owes.is_empty() && gets_no_more && !source.has.iter().any(|index| self.lacks(index))
    }

    /// How many chunks a source is asked for at once.
    fn run_len(&self, source: &Source) -> u64 {
        let bytes = source.bytes_per_second.map_or(FIRST_RUN_BYTES, |speed| (speed * RUN_SECONDS) as u64);
        (bytes.min(MOST_RUN_BYTES) / self.chunk_bytes).max(1)
    }

    /// Neighbours that nobody owes, as rare as any that this source has. It goes on behind its last run if it can: else
    /// anywhere, so that takers who begin together soon have different chunks to give to each other.
    fn free_run(&mut self, id: SourceId, most: u64) -> Option<Range<u64>> {
        let source = &self.sources[&id];
        let is_free =
            |index: u64| source.has.contains(index) && !self.have.contains(index) && self.debtors[index as usize] == 0;
        if let Some(reading) = self.reading
            && let Some(start) = (reading..self.have.of()).find(|index| is_free(*index))
        {
            let len = (start..self.have.of()).take(most as usize).take_while(|index| is_free(*index)).count() as u64;
            return Some(start..start + len);
        }
        let (mut rarity, mut count) = (u16::MAX, 0);
        for index in (0..self.have.of()).filter(|index| is_free(*index)) {
            match self.holders[index as usize] {
                rarer if rarer < rarity => (rarity, count) = (rarer, 1),
                same if same == rarity => count += 1,
                _ => {}
            }
        }
        if count == 0 {
            return None;
        }
        let is_wanted = |index: &u64| is_free(*index) && self.holders[*index as usize] == rarity;
        let start = if is_wanted(&source.behind) {
            source.behind
        } else {
            let drawn = self.chance.within(0..count);
            (0..self.have.of()).filter(is_wanted).nth(drawn as usize).expect("so many were counted")
        };
        let len = (start..self.have.of()).take(most as usize).take_while(is_wanted).count() as u64;
        Some(start..start + len)
    }

    /// The last that the slowest of the others owes, if this source would be done with it earlier.
    fn owed_run(&self, now: Moment, id: SourceId, most: u64) -> Option<Range<u64>> {
        let source = &self.sources[&id];
        if !source.owes.is_empty() {
            return None;
        }
        let ours = Duration::from_secs_f64(RUN_SECONDS);
        let slower = self.sources.iter().filter(|(other, _)| **other != id);
        let slowest = slower.map(|(_, other)| (self.patience(now, other), other));
        let mut slowest: Vec<(Duration, &Source)> = slowest.filter(|(needs, _)| *needs > ours).collect();
        slowest.sort_by_key(|(needs, _)| std::cmp::Reverse(*needs));
        let is_wanted = |index: &u64| {
            source.has.contains(*index) && !self.have.contains(*index) && self.debtors[*index as usize] < MOST_DEBTORS
        };
        slowest.into_iter().find_map(|(_, other)| {
            other.owes.iter().rev().find_map(|run| {
                let end = run.clone().rev().find(is_wanted)? + 1;
                let len = (run.start..end).rev().take(most as usize).take_while(is_wanted).count() as u64;
                Some(end - len..end)
            })
        })
    }

    /// How long a source will need for what it owes; at least as long as it has been silent already.
    fn patience(&self, now: Moment, source: &Source) -> Duration {
        let chunks: u64 = source.owes.iter().map(|run| run.end - run.start).sum();
        if chunks == 0 {
            return Duration::ZERO;
        }
        let needs = source.bytes_per_second.map(|speed| (chunks * self.chunk_bytes) as f64 / speed.max(1.0));
        Duration::from_secs_f64(needs.unwrap_or(0.0).min(1e9)).max(now.since(source.heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u64 = 64 << 10;

    fn at(millis: u64) -> Moment {
        Moment::after(Duration::from_millis(millis))
    }

    fn swarm(of: u64) -> Swarm {
        Swarm::new(ChunkSet::none(of), CHUNK, 7)
    }

    fn asked(swarm: &mut Swarm, id: SourceId) -> Range<u64> {
        match swarm.next(at(0), id) {
            Next::Ask(run) => run,
            other => panic!("{other:?}"),
        }
    }

    fn give(swarm: &mut Swarm, now: Moment, id: SourceId, run: Range<u64>) {
        run.for_each(|index| swarm.arrived(now, id, index));
    }

    /// Lets sources of these speeds (chunks a second) fetch everything, each with two runs asked for ahead. Returns how
    /// long it took in milliseconds, and how many chunks each gave.
    fn run(swarm: &mut Swarm, speeds: &[u64]) -> (u64, Vec<u64>) {
        let mut given = vec![0; speeds.len()];
        let mut runs: Vec<VecDeque<Range<u64>>> = vec![VecDeque::new(); speeds.len()];
        for millis in 0..1_000_000 {
            for (id, speed) in speeds.iter().enumerate() {
                while runs[id].len() < 2 {
                    match swarm.next(at(millis), id) {
                        Next::Ask(run) => runs[id].push_back(run),
                        Next::Idle | Next::Spent => break,
                        Next::Done => return (millis, given),
                    }
                }
                if *speed == 0 || millis % (1000 / speed).max(1) != 0 {
                    continue;
                }
                if let Some(run) = runs[id].front_mut() {
                    swarm.arrived(at(millis), id, run.start);
                    swarm.measured(id, CHUNK, Duration::from_millis(1000 / speed));
                    given[id] += 1;
                    run.start += 1;
                }
                runs[id].retain(|run| !run.is_empty());
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn every_chunk_is_asked_for_once_while_all_goes_well() {
        let mut swarm = swarm(1000);
        swarm.join(at(0), 0, ChunkSet::all(1000));
        let (_, given) = run(&mut swarm, &[100]);
        assert_eq!(given, [1000]);
    }

    #[test]
    fn the_rarest_come_first_among_those_a_source_has() {
        let mut swarm = swarm(100);
        swarm.join(at(0), 0, ChunkSet::all(100));
        let mut most = ChunkSet::all(100);
        (40..43).for_each(|index| _ = most.remove(index));
        swarm.join(at(0), 1, most);
        assert!((40..43).contains(&asked(&mut swarm, 0).start));
        assert!(!(40..43).contains(&asked(&mut swarm, 1).start));
    }

    #[test]
    fn a_source_is_asked_for_neighbours_and_goes_on_behind_them() {
        let mut swarm = swarm(10_000);
        swarm.join(at(0), 0, ChunkSet::all(10_000));
        let first = asked(&mut swarm, 0);
        assert_eq!(first.end - first.start, FIRST_RUN_BYTES / CHUNK);
        assert_eq!(asked(&mut swarm, 0).start, first.end);
    }

    #[test]
    fn what_is_read_comes_before_what_is_rare_and_in_its_order() {
        let mut swarm = swarm(10_000);
        let mut most = ChunkSet::all(10_000);
        most.remove(77);
        swarm.join(at(0), 0, ChunkSet::all(10_000));
        swarm.join(at(0), 1, most);
        swarm.read(Some(9_000));
        let first = asked(&mut swarm, 0);
        assert_eq!(first.start, 9_000);
        assert_eq!(asked(&mut swarm, 1).start, first.end);
        swarm.read(Some(9_999));
        assert_eq!(asked(&mut swarm, 0), 9_999..10_000);
        assert_eq!(asked(&mut swarm, 0).start, 77, "behind it nothing is left");
    }

    #[test]
    fn runs_are_as_long_as_a_source_is_fast() {
        for (chunks_a_second, len) in [(1, 1), (100, 35), (1_000_000, MOST_RUN_BYTES / CHUNK)] {
            let mut swarm = swarm(10_000);
            swarm.join(at(0), 0, ChunkSet::all(10_000));
            swarm.measured(0, chunks_a_second * CHUNK, Duration::from_secs(1));
            let run = asked(&mut swarm, 0);
            let rest = 10_000 - run.start;
            assert_eq!(run.end - run.start, len.min(rest), "{chunks_a_second}");
        }
    }

    #[test]
    fn two_takers_begin_at_different_places() {
        let start = |seed| {
            let mut swarm = Swarm::new(ChunkSet::none(10_000), CHUNK, seed);
            swarm.join(at(0), 0, ChunkSet::all(10_000));
            asked(&mut swarm, 0).start
        };
        assert_ne!(start(1), start(2));
    }

    #[test]
    fn the_faster_source_gives_more_and_the_slow_one_holds_up_nobody() {
        let mut swarm = swarm(1000);
        (0..2).for_each(|id| swarm.join(at(0), id, ChunkSet::all(1000)));
        let (millis, given) = run(&mut swarm, &[100, 10]);
        assert!(given[0] > 8 * given[1], "{given:?}");
        assert!(millis < 10_000, "alone the fast one would need 10 s: {millis}");
        assert!(given[0] + given[1] < 1020, "little is given twice: {given:?}");
    }

    #[test]
    fn what_a_hung_source_owes_is_asked_elsewhere() {
        let mut swarm = swarm(100);
        (0..2).for_each(|id| swarm.join(at(0), id, ChunkSet::all(100)));
        let (_, given) = run(&mut swarm, &[100, 0]);
        assert_eq!(given, [100, 0]);
    }

    #[test]
    fn what_a_dead_source_owed_is_free_again() {
        let mut swarm = swarm(8);
        swarm.join(at(0), 0, ChunkSet::all(8));
        swarm.join(at(0), 1, ChunkSet::all(8));
        let run = asked(&mut swarm, 0);
        give(&mut swarm, at(1), 0, run.start..run.start + 1);
        swarm.leave(0);
        let mut got = ChunkSet::none(8);
        while let Next::Ask(run) = swarm.next(at(2), 1) {
            got.insert_run(run.clone());
            give(&mut swarm, at(2), 1, run);
        }
        assert_eq!(got.count(), 7, "all but the one that came");
        assert!(swarm.is_done());
    }

    #[test]
    fn nothing_is_asked_of_a_source_that_does_not_have_it_until_it_says_so() {
        let mut swarm = swarm(8);
        swarm.join(at(0), 0, ChunkSet::none(8));
        assert_eq!(swarm.next(at(0), 0), Next::Idle);
        assert!(swarm.gained(at(0), 0, [3, 99]));
        assert!(!swarm.gained(at(0), 0, [3]));
        assert_eq!(asked(&mut swarm, 0), 3..4);
        assert_eq!(swarm.next(at(0), 0), Next::Idle);
    }

    #[test]
    fn a_source_is_never_asked_again_for_what_it_gave_wrong_and_is_spent_when_nothing_else_lacks() {
        let mut swarm = swarm(4);
        swarm.join(at(0), 0, ChunkSet::all(4));
        assert!(!swarm.deserves_another_chance(0), "it gave nothing wrong");
        let run = asked(&mut swarm, 0);
        assert!(!swarm.was_wrong(at(1), 0, run.start), "others come first");
        swarm.leave(0);
        assert!(swarm.deserves_another_chance(0));
        swarm.join(at(2), 0, ChunkSet::all(4));
        while let Next::Ask(again) = swarm.next(at(3), 0) {
            assert!(!again.contains(&run.start));
            give(&mut swarm, at(3), 0, again);
        }
        assert_eq!(swarm.next(at(3), 0), Next::Spent);
        assert!(!swarm.deserves_another_chance(0), "it has nothing else that lacks");
        swarm.join(at(4), 1, ChunkSet::all(4));
        assert_eq!(asked(&mut swarm, 1), run.start..run.start + 1);
    }

    #[test]
    fn who_has_a_second_chance_may_be_wrong_again_but_not_for_ever() {
        let mut swarm = swarm(100);
        for chance in 0..2 {
            swarm.join(at(0), 0, ChunkSet::all(100));
            let mut borne = 0;
            while let Next::Ask(run) = swarm.next(at(0), 0) {
                if !run.into_iter().all(|index| swarm.was_wrong(at(0), 0, index)) {
                    break;
                }
                borne += 1;
            }
            assert!(if chance == 0 { borne == 0 } else { borne > 0 }, "{chance}: {borne}");
            swarm.leave(0);
        }
        assert!(!swarm.deserves_another_chance(0));
        assert_eq!(swarm.wrong[&0].len(), MOST_WRONG);
        swarm.join(at(0), 1, ChunkSet::all(100));
        let mut got = 0;
        while let Next::Ask(run) = swarm.next(at(0), 1) {
            got += run.end - run.start;
            give(&mut swarm, at(0), 1, run);
        }
        assert_eq!(got, 100, "nothing is owed by who left");
    }

    #[test]
    fn sources_that_have_nothing_for_us_are_not_waited_for_for_ever() {
        let mut swarm = swarm(8);
        swarm.join(at(0), 0, ChunkSet::none(8));
        let long = |after: u64| at(after + STUCK_AFTER.as_millis() as u64);
        assert!(swarm.is_starved(1) && !swarm.is_still(at(100)) && swarm.is_still(long(0)));
        assert!(!swarm.is_starved(2), "the other one has not said yet what it has");
        swarm.gained(at(5000), 0, [3]);
        assert!(!swarm.is_starved(1), "it has something that lacks here");
        give(&mut swarm, at(9000), 0, 3..4);
        assert!(swarm.is_starved(1) && !swarm.is_still(long(8999)) && swarm.is_still(long(9000)));
        swarm.join(at(9000), 1, ChunkSet::all(8));
        assert!(!swarm.is_starved(2));
        give(&mut swarm, at(9001), 1, 0..8);
        assert!(!swarm.is_starved(2), "nothing lacks");
    }

    #[test]
    fn no_chunk_has_more_than_two_debtors() {
        let mut swarm = swarm(4);
        (0..5).for_each(|id| swarm.join(at(0), id, ChunkSet::all(4)));
        let asked = (0..5).filter(|id| matches!(swarm.next(at(60_000 * (1 + *id as u64)), *id), Next::Ask(_))).count();
        assert_eq!(asked, 2);
    }
}
