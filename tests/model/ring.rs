//! A ring of a few peers as a state, and what can happen to it next. The peers decide with the product's own
//! [`Circle`], [`Lookup`] and [`Arrival`]; here is only who talks to whom, and when.
//!
//! Each peer counts ids clockwise from itself: its own is 0, the next place is 1. Only the order of ids matters to a
//! ring without fingers, so two rings that differ by a turn are the same one, and their peers are equal.

use crate::member::{HEARD, LIST_LEN, MAX_PLACES, Member, NAMES, Peer, Place, View, contact, place_of, stranger};
use p2p::ground::Contact;
use p2p::overlay::lookup::{Geometry, Lookup, Step as Way};
use p2p::overlay::{Arrival, Near};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// The peers at all places, by their numbers in a [`Pool`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State(pub [u32; MAX_PLACES]);

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A peer looks its place up, starting at any member.
    Join { who: Place, through: Place },
    /// A joining peer has asked all its future neighbours whether they are there: it is a member, if any is.
    Meet { who: Place },
    /// It is told that somebody is there, and whom that one knows; or meets silence.
    Talk { who: Place, whom: Place, about: Talk },
    /// A peer dies, or leaves: after its goodbye the others find the same silence, only sooner.
    Fail { who: Place },
}

/// What two peers talk about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Talk {
    /// A member pings a contact, or somebody it has heard of.
    Ping,
    /// A member asks a contact who is near it: asked and answered, but not yet heard.
    Consult,
    /// That answer arrives.
    Hear,
    /// A member learns that another one has it as a contact, and pings it.
    Notice,
}

/// How carefully peers join.
#[derive(Clone, Copy, Debug)]
pub struct Care {
    /// How many of those it heard of a joining peer meets.
    pub meets: usize,
    /// Who is found to be before it is asked for all it knows, if it has only named its next hop.
    pub asks_for_all: bool,
}

impl Care {
    /// As the product does it; with less there is something to find.
    pub const FULL: Care = Care { meets: usize::MAX, asks_for_all: true };
}

/// All peers that ever were in a state of the ring, each once.
pub struct Pool {
    places: usize,
    care: Care,
    peers: RwLock<Peers>,
    /// Whoever is named is pinged at once, before anything else happens.
    prompt: bool,
    /// What came of who talked to whom, how far away, about what.
    talks: RwLock<HashMap<Talked, (u32, u32)>>,
    /// What became of who heard an answer while at the places after it peers were out, joining or members.
    heard: RwLock<HashMap<(u32, [u8; MAX_PLACES]), u32>>,
}

type Talked = (u32, u32, Place, Talk);

#[derive(Default)]
struct Peers {
    all: Vec<(Arc<Peer>, View)>,
    numbers: HashMap<Arc<Peer>, u32>,
}

impl Pool {
    /// No peers yet. In `prompt` rings, whoever hears an answer pings all it names in the same step.
    pub fn new(places: usize, care: Care, prompt: bool) -> Pool {
        assert!(places <= MAX_PLACES);
        let (peers, talks, heard) = (RwLock::default(), RwLock::default(), RwLock::default());
        let pool = Pool { places, care, prompt, peers, talks, heard };
        assert_eq!(pool.number(Peer::Out), 0);
        pool
    }

    pub fn places(&self) -> usize {
        self.places
    }

    /// How many different peers have been seen.
    pub fn len(&self) -> usize {
        self.peers.read().unwrap().all.len()
    }

    pub fn peer(&self, state: State, place: Place) -> Arc<Peer> {
        Arc::clone(&self.peers.read().unwrap().all[state.0[place] as usize].0)
    }

    pub fn views(&self, state: State) -> [View; MAX_PLACES] {
        let peers = self.peers.read().unwrap();
        state.0.map(|number| peers.all[number as usize].1)
    }

    /// Whom a member may consult, counted from it: its first successor, or every few rounds its predecessor.
    pub fn consultable(&self, state: State, place: Place) -> Vec<Place> {
        let Peer::Member(Member { circle, .. }) = &*self.peer(state, place) else { return Vec::new() };
        let mut whom: Vec<Place> =
            [false, true].into_iter().filter_map(|back| circle.to_consult(back)).map(|c| place_of(&c)).collect();
        whom.dedup();
        whom
    }

    /// A peer in one line.
    pub fn tell(&self, state: State, place: Place) -> String {
        let absolute = |contacts: &mut dyn Iterator<Item = Contact>| {
            contacts.map(|contact| (place_of(&contact) + place) % self.places).collect::<Vec<Place>>()
        };
        match &*self.peer(state, place) {
            Peer::Out => "out".to_owned(),
            Peer::Joining(circle, arrival) => format!(
                "joining, has met {:?}, is to meet {:?}",
                absolute(&mut circle.contacts()),
                absolute(&mut arrival.to_meet().iter().copied())
            ),
            Peer::Member(Member { circle, hearsay, answer }) => format!(
                "knows {:?}, list {:?}, was told {:?}, has heard of {:?}, is told {:?}",
                absolute(&mut circle.contacts()),
                absolute(&mut circle.successors().map(|entry| entry.contact)),
                absolute(&mut circle.said_to_follow().iter().copied()),
                absolute(&mut hearsay.iter().copied()),
                answer.as_ref().map(|(_, near)| (
                    absolute(&mut near.contacts.iter().copied()),
                    near.gapless,
                    near.everybody
                )),
            ),
        }
    }

    fn number(&self, mut peer: Peer) -> u32 {
        if let Peer::Member(member) = &mut peer
            && self.prompt
        {
            member.forget_what_is_done_with();
        }
        if let Some(number) = self.peers.read().unwrap().numbers.get(&peer) {
            return *number;
        }
        let view = View::of(&peer);
        if let Peer::Joining(circle, _) | Peer::Member(Member { circle, .. }) = &peer {
            let order: Vec<Place> = circle.contacts().map(|contact| place_of(&contact)).collect();
            assert!(order.is_sorted_by(|one, next| one < next) && !order.contains(&0), "out of order: {peer:?}");
        }
        let mut peers = self.peers.write().unwrap();
        let next = u32::try_from(peers.all.len()).expect("far fewer");
        let peer = Arc::new(peer);
        let number = *peers.numbers.entry(Arc::clone(&peer)).or_insert(next);
        if number == next {
            peers.all.push((peer, view));
        }
        number
    }

    /// A ring in which these places are taken, and everybody knows all there is to know.
    pub fn ideal(&self, members: &[Place]) -> State {
        let mut state = State::default();
        for who in members {
            let mut circle = stranger();
            let mut others: Vec<Place> = members.iter().map(|whom| self.from(*who, *whom)).collect();
            others.sort_unstable();
            let others: Vec<Contact> = others.into_iter().skip(1).map(contact).collect();
            let near = |contacts: &[Contact]| Near {
                contacts: contacts.to_vec(),
                gapless: contacts.len(),
                everybody: others.len() <= LIST_LEN,
            };
            others.iter().for_each(|other| {
                circle.heard_from(HEARD, *other);
            });
            let surroundings = near(&others[..others.len().min(LIST_LEN)]);
            circle.joined(&surroundings);
            state.0[*who] = self.number(Peer::Member(Member::new(circle)));
        }
        state
    }

    /// How far `whom` is clockwise from `who`.
    pub fn from(&self, who: Place, whom: Place) -> Place {
        (whom + self.places - who) % self.places
    }

    /// What a peer says of others, as one that far before it counts them.
    fn heard_at(&self, near: &Near, from: Place) -> Near {
        let translate = |said: &Contact| contact((place_of(said) + from) % self.places);
        Near { contacts: near.contacts.iter().map(translate).collect(), ..*near }
    }

    /// The state after a step; none if the step cannot be.
    pub fn after(&self, state: State, step: Step) -> Option<State> {
        let mut next = state;
        match step {
            Step::Fail { who } => next.0[who] = 0,
            Step::Meet { who } => next.0[who] = self.number(self.meet(state, who)),
            Step::Join { who, through } => next.0[who] = self.number(self.look_up_place(state, who, through)?),
            Step::Talk { who, about: Talk::Hear, .. } if self.prompt => next.0[who] = self.hear_and_ping(state, who),
            Step::Talk { who, whom, about } => {
                let from = self.from(who, whom);
                let key = (state.0[who], state.0[whom], from, about);
                let known = self.talks.read().unwrap().get(&key).copied();
                let (one, other) = known.unwrap_or_else(|| {
                    let (one, other) = self.talk(&self.peer(state, who), &self.peer(state, whom), from, about);
                    let numbers = (self.number(one), self.number(other));
                    self.talks.write().unwrap().insert(key, numbers);
                    numbers
                });
                // Who hears an answer needs nobody else.
                next.0[whom] = other;
                next.0[who] = one;
            }
        }
        Some(next)
    }

    /// Both peers afterwards; `other` is that far clockwise from `one`.
    fn talk(&self, one: &Peer, other: &Peer, from: Place, about: Talk) -> (Peer, Peer) {
        let (mut one, mut other) = (one.clone(), other.clone());
        let (whom, back) = (contact(from), contact((self.places - from) % self.places));
        match (&mut one, about) {
            (Peer::Member(member), Talk::Hear) => member.hear(),
            (Peer::Member(member), Talk::Consult) => match &mut other {
                Peer::Member(other) if self.prompt => {
                    let near = other.circle.near(back.id, NAMES).without(|contact| *contact == back);
                    member.answer = Some((whom, self.heard_at(&near, from)));
                }
                Peer::Member(other) => member.answer = Some((whom, self.heard_at(&other.answer(back), from))),
                Peer::Joining(..) => {}
                Peer::Out => member.pinged(whom, false),
            },
            (Peer::Member(member), Talk::Ping) => match &mut other {
                Peer::Member(other) => {
                    member.pinged(whom, true);
                    if !self.prompt {
                        other.heard_of(back);
                    }
                }
                Peer::Joining(..) => member.refused(whom),
                Peer::Out => member.pinged(whom, false),
            },
            (Peer::Member(member), Talk::Notice) => match &other {
                Peer::Member(other) if other.circle.contacts().any(|contact| contact == back) => {
                    member.pinged(whom, true);
                }
                Peer::Member(_) | Peer::Joining(..) | Peer::Out => {}
            },
            (Peer::Out | Peer::Joining(..), _) => unreachable!("only members talk"),
        }
        (one, other)
    }

    /// The answer arrives, and everybody named in it who is not known yet is pinged.
    fn hear_and_ping(&self, state: State, who: Place) -> u32 {
        let views = self.views(state);
        let standings = std::array::from_fn(|from| {
            let view = views[(who + from) % self.places];
            u8::from(view.is_member) + 2 * u8::from(view.is_joining)
        });
        let key = (state.0[who], standings);
        if let Some(number) = self.heard.read().unwrap().get(&key) {
            return *number;
        }
        let Peer::Member(mut member) = (*self.peer(state, who)).clone() else { unreachable!("only members hear") };
        member.hear();
        for whom in member.hearsay.clone() {
            match &*self.peer(state, (who + place_of(&whom)) % self.places) {
                Peer::Member(_) => member.pinged(whom, true),
                Peer::Joining(..) => member.refused(whom),
                Peer::Out => member.pinged(whom, false),
            }
        }
        let number = self.number(Peer::Member(member));
        self.heard.write().unwrap().insert(key, number);
        number
    }

    /// `peer/joining`: everybody is asked whether it lives, and what was said on the way is adopted.
    fn meet(&self, state: State, who: Place) -> Peer {
        let peer = self.peer(state, who);
        let Peer::Joining(circle, arrival) = &*peer else { unreachable!("only joining peers meet others") };
        let (mut circle, mut arrival) = (circle.clone(), arrival.clone());
        for whom in arrival.to_meet().clone() {
            let lives = matches!(*self.peer(state, (who + place_of(&whom)) % self.places), Peer::Member(_));
            if lives && circle.heard_of(whom) {
                circle.heard_from(HEARD, whom);
            }
            arrival.met(whom);
        }
        if circle.joined(arrival.surroundings()) { Peer::Member(Member::new(circle)) } else { Peer::Out }
    }

    /// `peer/joining` and `peer/search`: the way in, which nothing interrupts here.
    fn look_up_place(&self, state: State, who: Place, through: Place) -> Option<Peer> {
        let me = contact(0).id;
        let mut lookup = Lookup::new(Geometry::Ring, me, 1);
        let first = contact(self.from(who, through));
        lookup.hear_of(first);
        let (mut arrival, mut told_all, mut step_back) = (Arrival::of(me).at(first), None, false);
        loop {
            // One hop at a time nobody else is known: the last who answered is asked for all it knows.
            let step = if step_back { Way::Done } else { lookup.next_step() };
            let (whom, for_all) = match (step, lookup.nearest_answered()) {
                (Way::Ask(whom), _) => (whom, false),
                (Way::Done, found) if (told_all == found || !self.care.asks_for_all) && !step_back => break,
                (Way::Done, found) => (found?, true),
                (Way::Wait, _) => unreachable!("all have answered"),
            };
            let near = self.ask_the_way(state, who, whom, for_all);
            step_back = near.is_none();
            match near {
                Some(near) => {
                    lookup.answered(whom.id, &near.contacts);
                    if (for_all || !near.following().is_empty()) && lookup.nearest_answered() == Some(whom) {
                        told_all = Some(whom);
                    }
                    arrival.hear(whom.id, &near);
                }
                None => lookup.failed(whom.id),
            }
        }
        arrival.meet(|heard| heard.into_iter().take(self.care.meets).collect());
        Some(Peer::Joining(stranger(), arrival))
    }

    /// Where the search of `who` goes on or ends, or all that is known near it; none from the silent, and who is joining.
    fn ask_the_way(&self, state: State, who: Place, whom: Contact, for_all: bool) -> Option<Near> {
        let from = place_of(&whom);
        let joiner = contact(self.places - from);
        let Peer::Member(member) = &*self.peer(state, (who + from) % self.places) else { return None };
        let near = if for_all { member.circle.near_newcomer(joiner.id, NAMES) } else { member.show_the_way(joiner) };
        Some(self.heard_at(&near.without(|contact| *contact == joiner), from))
    }
}
