//! One lookup for every geometry: keep asking the nearest contact not yet asked.
//!
//! A value: it says whom to ask, and is told what came of it. The two overlays differ in two rulers.
//!
//! | | `approach`: whom to ask next | `keeping`: who keeps the key |
//! |---|---|---|
//! | ring | clockwise from node to key, staying before it | clockwise from key to node: the first at or after it |
//! | xor | node xor key | node xor key |
//!
//! On the ring this is Chord's find-predecessor-then-successor, on xor it is Kademlia's node lookup. Differs from
//! Chord (ToN 2003, Fig. 5): a contact that is late is passed over at once and still counts when it answers.

use crate::ground::{Contact, Id};

/// So many of the nearest must answer at least where many have died. Guess: as many as one answer names; what it brings
/// is measured by benches/kademlia_figures.rs.
const INSISTENT: usize = 24;

/// How nearness is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Geometry {
    /// Clockwise on a circle (Chord).
    Ring,
    /// By differing bits (Kademlia), with `k` keepers for a key.
    Xor {
        /// How many of the nearest must have answered.
        k: usize,
    },
}

impl Geometry {
    /// How far `node` is as somebody to ask about `key`. On the ring, a node *at* the key is the farthest.
    pub fn approach(self, node: Id, key: Id) -> Id {
        match self {
            Geometry::Ring => node.clockwise_to(key).plus(Id::MAX),
            Geometry::Xor { .. } => node.xor(key),
        }
    }

    /// How far `node` is as somebody to keep `key`.
    pub fn keeping(self, node: Id, key: Id) -> Id {
        match self {
            Geometry::Ring => key.clockwise_to(node),
            Geometry::Xor { .. } => node.xor(key),
        }
    }

    /// How many of the nearest, by either ruler, must have answered.
    fn needed(self) -> usize {
        match self {
            Geometry::Ring => 1,
            Geometry::Xor { k } => k,
        }
    }
}

/// What a lookup wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this contact about the key.
    Ask(Contact),
    /// Enough questions are open.
    Wait,
    /// The nearest have answered.
    Done,
}

/// A search for the peers nearest to a key.
#[derive(Clone, Debug)]
pub struct Lookup {
    key: Id,
    geometry: Geometry,
    width: usize,
    /// How many of the nearest must have answered.
    needed: usize,
    /// The last answer named nobody nearer: all that is left is to hear the nearest (Kademlia §2.3).
    arriving: bool,
    /// Everybody heard of, in the order of approach: a sorted list, since there are some dozens and all are looked at.
    candidates: Vec<Candidate>,
    asked: usize,
    /// How many are in the state Asked.
    open: usize,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    approach: Id,
    contact: Contact,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unasked,
    Asked,
    Slow,
    Late,
    Answered,
    Failed,
}

impl Lookup {
    /// Most questions of one lookup: twice once round the ring of 256, one hop at a time.
    pub const MAX_QUESTIONS: usize = 512;

    /// A lookup of `key` with at most `width` (Kademlia's α) questions open.
    pub fn new(geometry: Geometry, key: Id, width: usize) -> Lookup {
        let needed = geometry.needed();
        Lookup { key, geometry, width, needed, arriving: false, candidates: Vec::new(), asked: 0, open: 0 }
    }

    /// Counts the asker itself among those who have answered, as a possible keeper. It is never asked.
    pub fn with_myself(mut self, me: Contact) -> Lookup {
        self.hear_of(me);
        self.set(me.id, State::Answered);
        self
    }

    /// What is looked up.
    pub fn key(&self) -> Id {
        self.key
    }

    /// How many questions it has asked.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// How nearness is measured.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// It was heard of before.
    pub fn knows(&self, id: Id) -> bool {
        self.state(id).is_some()
    }

    /// Somebody who may be worth asking.
    pub fn hear_of(&mut self, contact: Contact) {
        let approach = self.geometry.approach(contact.id, self.key);
        let Err(at) = self.find(approach) else { return };
        self.arriving &= at > 0;
        self.candidates.insert(at, Candidate { approach, contact, state: State::Unasked });
    }

    /// What to do now. A contact in [`Step::Ask`] counts as asked.
    pub fn next_step(&mut self) -> Step {
        match self.wanted() {
            Some(contact) if self.asked < Lookup::MAX_QUESTIONS => {
                if self.open >= self.width_now() {
                    return Step::Wait;
                }
                self.asked += 1;
                self.set(contact.id, State::Asked);
                Step::Ask(contact)
            }
            _ if self.open_matters() => Step::Wait,
            _ => Step::Done,
        }
    }

    /// How many questions may be open: at the end as many as must be answered, unless one at a time is wanted.
    fn width_now(&self) -> usize {
        if self.arriving && self.width > 1 { self.width.max(self.needed) } else { self.width }
    }

    /// It answered, and named these.
    pub fn answered(&mut self, id: Id, named: &[Contact]) {
        self.set(id, State::Answered);
        self.arriving = true;
        named.iter().for_each(|contact| self.hear_of(*contact));
    }

    /// Its answer is overdue: somebody else is asked meanwhile, but before the end it is waited for.
    pub fn slow(&mut self, id: Id) {
        if self.state(id) == Some(State::Asked) {
            self.set(id, State::Slow);
        }
    }

    /// Its answer is overdue: go on without it, but it may still come.
    pub fn late(&mut self, id: Id) {
        if matches!(self.state(id), Some(State::Asked | State::Slow)) {
            self.set(id, State::Late);
        }
    }

    /// Those who answered lead nowhere: whoever is late and might be needed is waited for from now on. In Kademlia, where
    /// a third of all asked are silent, many more than the k nearest must answer: all who know a far region know mostly
    /// the same few of it, the oldest, and when these have died others farther off may know somebody else.
    pub fn insist(&mut self) {
        let silent = |candidate: &&Candidate| matches!(candidate.state, State::Late | State::Failed);
        let silent = self.candidates.iter().filter(silent).count();
        if matches!(self.geometry, Geometry::Xor { .. }) && 3 * silent >= self.asked {
            self.needed = INSISTENT.max(3 * self.needed);
        }
        let late = self.candidates.iter_mut().filter(|candidate| candidate.state == State::Late);
        late.for_each(|candidate| candidate.state = State::Slow);
    }

    /// It will not answer.
    pub fn failed(&mut self, id: Id) {
        self.set(id, State::Failed);
    }

    /// Those who keep the key, nearest first: all who answered, or were only heard of.
    pub fn keepers(&self) -> impl Iterator<Item = Contact> + '_ {
        self.nearest_keepers().map(|candidate| candidate.contact)
    }

    /// Who was asked and has not answered.
    pub fn unanswering(&self) -> impl Iterator<Item = Contact> + '_ {
        let is_silent = |state| matches!(state, State::Asked | State::Slow | State::Late | State::Failed);
        self.candidates.iter().filter(move |candidate| is_silent(candidate.state)).map(|candidate| candidate.contact)
    }

    /// It has answered.
    pub fn has_answered(&self, id: Id) -> bool {
        self.state(id) == Some(State::Answered)
    }

    /// The nearest who answered, as somebody to ask again.
    pub fn nearest_answered(&self) -> Option<Contact> {
        let answered = |candidate: &&Candidate| candidate.state == State::Answered;
        self.candidates.iter().find(answered).map(|candidate| candidate.contact)
    }

    /// The next one whose answer is needed and was not asked for: first those on the way, then the keepers.
    fn wanted(&self) -> Option<Contact> {
        let needed = self.needed;
        let way = self.promising().take(needed).find(|candidate| candidate.state == State::Unasked);
        let arrived = || self.promising().take(needed).all(|candidate| candidate.state == State::Answered);
        let keeper = || {
            let unasked = |candidate: &&Candidate| candidate.state == State::Unasked;
            self.nearest_keepers().take(needed).find(unasked)
        };
        way.or_else(|| if arrived() { keeper() } else { None }).map(|candidate| candidate.contact)
    }

    fn open_matters(&self) -> bool {
        let needed = self.needed;
        let open = |candidate: &Candidate| matches!(candidate.state, State::Asked | State::Slow | State::Late);
        self.promising().take(needed).any(open) || self.nearest_keepers().take(needed).any(open)
    }

    fn promising(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|candidate| !matches!(candidate.state, State::Failed | State::Late))
    }

    fn nearest_keepers(&self) -> impl Iterator<Item = &Candidate> {
        // The one keeper of a ring's key is waited for: the next one would be the wrong one. Of k keepers a late one is not.
        let passed_over = |state: State| state == State::Failed || (state == State::Late && self.geometry.needed() > 1);
        self.by_keeping().filter(move |candidate| !passed_over(candidate.state))
    }

    /// The same candidates by the other ruler. On the ring it is the first one read backwards: who is the farthest before
    /// the key is the nearest after it.
    fn by_keeping(&self) -> impl Iterator<Item = &Candidate> {
        let (forwards, backwards) = match self.geometry {
            Geometry::Ring => (&[][..], &self.candidates[..]),
            Geometry::Xor { .. } => (&self.candidates[..], &[][..]),
        };
        forwards.iter().chain(backwards.iter().rev())
    }

    fn find(&self, approach: Id) -> Result<usize, usize> {
        self.candidates.binary_search_by(|candidate| candidate.approach.cmp(&approach))
    }

    fn state(&self, id: Id) -> Option<State> {
        let at = self.find(self.geometry.approach(id, self.key)).ok()?;
        Some(self.candidates[at].state)
    }

    fn set(&mut self, id: Id, state: State) {
        if let Ok(at) = self.find(self.geometry.approach(id, self.key)) {
            let before = std::mem::replace(&mut self.candidates[at].state, state);
            self.open += usize::from(state == State::Asked);
            self.open -= usize::from(before == State::Asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    fn contact(id: Id) -> Contact {
        Contact { id, addr: SocketAddr::from(([127, 0, 0, 1], 1)) }
    }

    /// What a well-kept peer of this geometry would answer: on the ring, its fingers and the key's neighbours.
    fn answer(geometry: Geometry, all: &BTreeSet<Id>, node: Id, key: Id) -> Vec<Contact> {
        let mut known: Vec<Id> = match geometry {
            Geometry::Ring => {
                let at_or_after = |from: Id| *all.range(from..).next().or(all.first()).unwrap();
                let fingers = (0..Id::BITS).map(|exponent| at_or_after(node.plus(Id::power_of_two(exponent))));
                fingers.collect()
            }
            Geometry::Xor { k } => {
                let mut sorted: Vec<Id> = all.iter().copied().collect();
                sorted.sort_by_key(|id| id.xor(node));
                let bucket = |exponent: usize| {
                    let inside = move |id: &&Id| {
                        let distance = id.xor(node);
                        distance >= Id::power_of_two(exponent)
                            && (exponent + 1 == Id::BITS || distance < Id::power_of_two(exponent + 1))
                    };
                    sorted.iter().filter(inside).take(k).copied().collect::<Vec<Id>>()
                };
                (0..Id::BITS).flat_map(bucket).collect()
            }
        };
        known.sort_by_key(|id| geometry.approach(*id, key));
        let nearest = known.iter().take(8).copied();
        let keeper = known.iter().copied().min_by_key(|id| geometry.keeping(*id, key));
        nearest.chain(keeper).map(contact).collect()
    }

    /// Runs a lookup over a made-up network in which the `dead` never answer.
    fn run(geometry: Geometry, all: &BTreeSet<Id>, dead: &BTreeSet<Id>, start: Id, key: Id) -> Lookup {
        let mut lookup = Lookup::new(geometry, key, 3);
        lookup.hear_of(contact(start));
        let mut open: Vec<Id> = Vec::new();
        loop {
            match lookup.next_step() {
                Step::Ask(next) => open.push(next.id),
                Step::Done => return lookup,
                Step::Wait => {
                    let id = open.remove(0);
                    match dead.contains(&id) {
                        true => lookup.failed(id),
                        false => lookup.answered(id, &answer(geometry, all, id, key)),
                    }
                }
            }
        }
    }

    fn network(seed: u64, size: u64) -> BTreeSet<Id> {
        (0..size).map(|at| Id::hashed(format!("{seed} {at}").as_bytes())).collect()
    }

    proptest! {
        #[test]
        fn on_the_ring_keepers_are_those_on_the_way_read_backwards(node: [u8; 20], other: [u8; 20], key: [u8; 20]) {
            let (ring, key) = (Geometry::Ring, Id::new(key));
            let by_keeping = ring.keeping(Id::new(node), key).cmp(&ring.keeping(Id::new(other), key));
            let by_approach = ring.approach(Id::new(node), key).cmp(&ring.approach(Id::new(other), key));
            prop_assert_eq!(by_keeping, by_approach.reverse());
            prop_assert!(ring.approach(key, key) == Id::MAX && ring.keeping(key, key) == Id::ZERO);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn both_geometries_find_the_true_keeper(seed: u64, key: [u8; 20], start in any::<prop::sample::Index>()) {
            let all = network(seed, 200);
            let key = Id::new(key);
            let start = *all.iter().nth(start.index(all.len())).unwrap();
            for geometry in [Geometry::Ring, Geometry::Xor { k: 8 }] {
                let lookup = run(geometry, &all, &BTreeSet::new(), start, key);
                let found = lookup.keepers().next().unwrap().id;
                let truth = all.iter().copied().min_by_key(|id| geometry.keeping(*id, key)).unwrap();
                prop_assert_eq!(found, truth, "{:?}", geometry);
                prop_assert!(lookup.asked() < 40, "{} questions", lookup.asked());
            }
        }
    }

    /// Not quite always: all eight whom somebody knows in a range may be among the dead.
    #[test]
    fn a_third_dead_do_not_stop_kademlia() {
        let finds_the_nearest = |seed: &u64| {
            let all = network(*seed, 200);
            let key = Id::hashed(&seed.to_be_bytes());
            let dead: BTreeSet<Id> = all.iter().copied().filter(|id| id.as_bytes()[19].is_multiple_of(3)).collect();
            let start = *all.difference(&dead).next().unwrap();
            let geometry = Geometry::Xor { k: 8 };
            let lookup = run(geometry, &all, &dead, start, key);
            let truth = all.difference(&dead).copied().min_by_key(|id| geometry.keeping(*id, key)).unwrap();
            lookup.keepers().next().unwrap().id == truth
        };
        let found = (0..200).filter(finds_the_nearest).count();
        assert!(found >= 198, "{found} of 200");
    }

    fn hop_by_hop(from: u8, key: u8) -> (Vec<u8>, u8) {
        let peers = [2, 4, 5, 8, 9, 14, 19].map(Id::numbered);
        let successor =
            |id: Id| *peers.iter().min_by_key(|peer| id.plus(Id::numbered(1)).clockwise_to(**peer)).unwrap();
        let me = Id::numbered(from);
        let mut lookup = Lookup::new(Geometry::Ring, Id::numbered(key), 1).with_myself(contact(me));
        lookup.hear_of(contact(successor(me)));
        let mut route = Vec::new();
        while let Step::Ask(next) = lookup.next_step() {
            route.push(next.id.number().unwrap());
            lookup.answered(next.id, &[contact(successor(next.id))]);
        }
        (route, lookup.keepers().next().unwrap().id.number().unwrap())
    }

    #[test]
    fn one_hop_at_a_time_it_walks_the_assignments_routes() {
        assert_eq!(hop_by_hop(8, 19), (vec![9, 14, 19], 19));
        assert_eq!(hop_by_hop(2, 7), (vec![4, 5, 8], 8));
        assert_eq!(hop_by_hop(8, 220), (vec![9, 14, 19, 2], 2));
        assert_eq!(hop_by_hop(5, 8), (vec![8], 8));
    }

    #[test]
    fn when_nobody_names_anybody_nearer_all_who_are_needed_are_asked_at_once() {
        let mut lookup = Lookup::new(Geometry::Xor { k: 4 }, Id::ZERO, 2);
        (3..=8).for_each(|number| lookup.hear_of(contact(Id::numbered(number))));
        let mut asked = || {
            let next = |_| if let Step::Ask(next) = lookup.next_step() { next.id.number() } else { None };
            let asked: Vec<u8> = (0..9).map_while(next).collect();
            if asked == [3, 4] {
                lookup.answered(Id::numbered(3), &[contact(Id::numbered(2))]);
            } else if asked == [2] {
                lookup.answered(Id::numbered(2), &[contact(Id::numbered(9))]);
            }
            asked
        };
        assert_eq!(asked(), [3, 4]);
        assert_eq!(asked(), [2], "somebody nearer was named");
        assert_eq!(asked(), [5], "the four nearest are 2 to 5");
    }

    #[test]
    fn the_slow_free_their_slot_and_are_waited_for_at_the_end() {
        let geometry = Geometry::Xor { k: 2 };
        let mut lookup = Lookup::new(geometry, Id::ZERO, 1);
        [1, 2, 3].iter().for_each(|number| lookup.hear_of(contact(Id::numbered(*number))));
        assert_eq!(lookup.next_step(), Step::Ask(contact(Id::numbered(1))));
        assert_eq!(lookup.next_step(), Step::Wait);
        lookup.slow(Id::numbered(1));
        assert_eq!(lookup.next_step(), Step::Ask(contact(Id::numbered(2))));
        lookup.answered(Id::numbered(2), &[]);
        assert_eq!(lookup.next_step(), Step::Wait, "1 may still answer");
        lookup.late(Id::numbered(1));
        assert_eq!(lookup.next_step(), Step::Ask(contact(Id::numbered(3))));
        lookup.answered(Id::numbered(1), &[]);
        assert_eq!(lookup.next_step(), Step::Done);
    }

    #[test]
    fn when_nothing_was_found_the_late_are_waited_for_and_others_farther_off_are_asked() {
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| contact(Id::numbered(number)));
        let mut lookup = Lookup::new(Geometry::Xor { k: 2 }, Id::ZERO, 1);
        [one, two, three, four].iter().for_each(|contact| lookup.hear_of(*contact));
        assert_eq!(lookup.next_step(), Step::Ask(one));
        lookup.late(one.id);
        for next in [two, three] {
            assert_eq!(lookup.next_step(), Step::Ask(next));
            lookup.answered(next.id, &[]);
        }
        assert_eq!(lookup.next_step(), Step::Done);
        lookup.insist();
        assert_eq!(lookup.next_step(), Step::Ask(four));
        lookup.answered(four.id, &[]);
        assert_eq!(lookup.next_step(), Step::Wait);
        lookup.failed(one.id);
        assert_eq!(lookup.next_step(), Step::Done);
    }

    #[test]
    fn the_late_are_passed_over_and_still_count() {
        let ids = [10, 20, 30].map(|number| contact(Id::numbered(number)));
        let mut lookup = Lookup::new(Geometry::Ring, Id::numbered(25), 1);
        ids.iter().for_each(|id| lookup.hear_of(*id));
        assert_eq!(lookup.next_step(), Step::Ask(ids[1]));
        assert_eq!(lookup.next_step(), Step::Wait);
        lookup.late(ids[1].id);
        assert_eq!(lookup.next_step(), Step::Ask(ids[0]));
        lookup.answered(ids[1].id, &[]);
        assert_eq!(lookup.next_step(), Step::Wait, "the first question is open still");
        lookup.failed(ids[0].id);
        assert_eq!(lookup.next_step(), Step::Ask(ids[2]));
    }

    #[test]
    fn a_ring_of_answers_that_name_each_other_ends() {
        let mut lookup = Lookup::new(Geometry::Ring, Id::ZERO, 1);
        lookup.hear_of(contact(Id::hashed(b"0")));
        let mut asked = 0;
        while let Step::Ask(next) = lookup.next_step() {
            asked += 1;
            let nearer = next.id.plus(Id::power_of_two(100));
            lookup.answered(next.id, &[contact(nearer), contact(next.id)]);
        }
        assert!(asked <= Lookup::MAX_QUESTIONS);
    }
}
