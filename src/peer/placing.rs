//! How walks store: values and announcements, with those who are nearest to their target.
//!
//! A put stores while it walks, where the size of the network, as estimated from how near our neighbours are, says that
//! somebody is very probably among the nearest. Who is late frees its place for the next: nobody waits for the dead.

use super::search::Asks;
use super::values::LIFE;
use super::walks::{Candidate, Goal, Stage, Walk, WalkId};
use super::*;
use crate::ground::item::mutable_target;
use crate::ground::krpc::{self, Announcement, Offer, Program, Refusal};
use crate::ground::{Holding, Item, Signed};
use crate::overlay::Geometry;
use std::collections::BTreeSet;

/// So many more than are wanted are given a copy, so that the slowest need not be waited for. Guess: one of five is slow.
const SPARE: usize = 2;
/// How often a put starts again because somebody has a later version.
const MAX_RESTARTS: usize = 4;

/// What is to be stored, and how far that is.
pub(super) struct Placing {
    what: Thing,
    /// What gets a later version if somebody has this one already.
    source: Option<Publication>,
    cas: Option<i64>,
    /// Ours to promise, or passed on: what is left of its life.
    left: Option<Duration>,
    /// Who has this version already, and may refuse it for that.
    having: BTreeSet<Id>,
    highest_seq: Option<i64>,
    given: BTreeSet<Id>,
    /// Given, and neither answered nor late.
    open: BTreeSet<Id>,
    late: BTreeSet<Id>,
    copies: Vec<Id>,
    refusal: Option<Refusal>,
    /// How many said that a later version is there.
    outdated: usize,
    restarts: usize,
}

/// What is to be stored.
pub(super) enum Thing {
    Item(Item),
    /// A mutable value that gets its version only when the network's is known.
    Next(Publication),
    Announcement {
        port: Option<u16>,
        seed: bool,
        file: Option<Holding>,
    },
}

impl Publication {
    /// If somebody has a later version, it may get one later still.
    fn may_go_on(&self) -> bool {
        matches!(self, Publication::Mutable { seq: None, cas: None, .. })
    }
}

impl Placing {
    pub fn new(what: Thing, left: Option<Duration>) -> Placing {
        Placing {
            source: if let Thing::Next(publication) = &what { Some(publication.clone()) } else { None },
            what,
            cas: None,
            left,
            having: BTreeSet::new(),
            highest_seq: None,
            given: BTreeSet::new(),
            open: BTreeSet::new(),
            late: BTreeSet::new(),
            copies: Vec::new(),
            refusal: None,
            outdated: 0,
            restarts: 0,
        }
    }

    pub fn asks(&self) -> Asks {
        match &self.what {
            Thing::Announcement { .. } => Asks::Peers { scrape: false },
            // Who has this version, or a later one, need not send it.
            Thing::Item(item) => Asks::Item { seq: item.seq() },
            // The whole of it: only what is signed tells the version. A made-up one would be the last for ever.
            Thing::Next(_) => Asks::Item { seq: None },
        }
    }

    /// Notes which version somebody has; false if it lies about it.
    pub fn gather(&mut self, target: Id, from: Contact, answer: &krpc::Answer) -> bool {
        if let (Thing::Item(item), None) = (&self.what, &answer.item)
            && answer.seq.is_some()
            && answer.seq >= item.seq()
        {
            self.having.insert(from.id);
        }
        let Some(there) = answer.item.as_ref().filter(|_| !matches!(self.what, Thing::Announcement { .. })) else {
            return true;
        };
        let Some(there) = self.genuine(target, Item::clone(there)) else { return false };
        self.highest_seq = self.highest_seq.max(there.seq());
        if let Thing::Item(item) = &self.what
            && there.value() == item.value()
        {
            self.having.insert(from.id);
        }
        true
    }

    /// The item somebody has, with the salt that is not said again, if it belongs under the target and is signed.
    fn genuine(&self, target: Id, there: Item) -> Option<Item> {
        let salt = match &self.what {
            Thing::Item(Item::Mutable(ours)) => &ours.salt,
            Thing::Next(Publication::Mutable { salt, .. }) => salt,
            Thing::Item(Item::Immutable(_)) | Thing::Next(_) | Thing::Announcement { .. } => &Vec::new(),
        };
        let there = match there {
            Item::Mutable(signed) => Item::Mutable(Signed { salt: salt.clone(), ..signed }),
            immutable @ Item::Immutable(_) => immutable,
        };
        (there.target() == target && there.verify().is_ok()).then_some(there)
    }

    /// A later version is there: it was seen, or more than a third of those who were given ours say so. A single liar
    /// does not keep us from storing.
    fn is_outdated(&self) -> bool {
        let ours = if let Thing::Item(item) = &self.what { item.seq() } else { None };
        let refused = self.refusal.as_ref().is_some_and(Refusal::is_outdated);
        refused && (self.highest_seq > ours || 2 * self.outdated > self.copies.len())
    }
}

impl Peer {
    pub(super) fn start_put(&mut self, now: Moment, ticket: Ticket, publication: Publication, promised: bool) {
        let left = promised.then_some(LIFE);
        let (target, what) = match publication {
            Publication::Immutable(value) => {
                let item = Item::Immutable(value);
                (item.target(), Thing::Item(item))
            }
            Publication::Mutable { secret, salt, seq: Some(seq), cas: None, value } => {
                let item = Item::Mutable(secret.sign(&salt, seq, &value));
                (item.target(), Thing::Item(item))
            }
            Publication::Mutable { ref secret, ref salt, .. } => {
                (mutable_target(&secret.public(), salt), Thing::Next(publication))
            }
        };
        if let Thing::Item(item) = &what
            && let Err(bad) = item.verify()
        {
            return self.answer(ticket, Answer::Refused(bad.to_string()));
        }
        self.start_walk(now, Some(ticket), target, Goal::place(Placing::new(what, left)));
    }

    pub(super) fn start_announce(
        &mut self,
        now: Moment,
        ticket: Option<Ticket>,
        info_hash: Id,
        port: Option<u16>,
        seed: bool,
        file: Option<Holding>,
    ) {
        let what = Thing::Announcement { port, seed, file };
        self.start_walk(now, ticket, info_hash, Goal::place(Placing::new(what, None)));
    }

    /// Publishes a value again that is kept here, or was published here.
    pub(super) fn publish_again(&mut self, now: Moment, item: Item, left: Duration) {
        let target = item.target();
        self.start_walk(now, None, target, Goal::place(Placing::new(Thing::Item(item), Some(left))));
    }

    /// Somebody answered on the way: if it is very probably one of the nearest, it gets its copy now.
    pub(super) fn place_early(&mut self, now: Moment, id: WalkId, walk: &mut Walk, contact: Contact) {
        let Goal::Place(placing) = &walk.goal else { return };
        let Geometry::Xor { k } = self.overlay.geometry() else { return };
        if matches!(placing.what, Thing::Next(_)) || placing.given.len() >= k + SPARE {
            return;
        }
        let distance = contact.id.xor(walk.target);
        if self.expected_nearer(distance) < k as f64 {
            let candidate = walk.candidates.get(&(distance, contact.addr.is_ipv6())).cloned();
            candidate.into_iter().for_each(|candidate| self.give_to(now, id, walk, candidate));
        }
    }

    /// How many nodes are nearer than this to anything, if all are spread as evenly as our neighbours.
    fn expected_nearer(&self, distance: Id) -> f64 {
        let lifeline = self.overlay.lifeline();
        let farthest = lifeline.iter().map(|contact| contact.id.xor(self.me.id)).max();
        farthest.map_or(0.0, |farthest| lifeline.len() as f64 * distance.fraction() / farthest.fraction())
    }

    /// The walk has arrived: those who are nearest get what they have not got yet.
    pub(super) fn place(&mut self, now: Moment, id: WalkId, mut walk: Walk, nearest: &[Contact]) {
        walk.stage = Stage::Placing;
        let Goal::Place(placing) = &mut walk.goal else { unreachable!("only what is placed is placed") };
        if let Thing::Next(Publication::Mutable { secret, salt, seq, cas, value }) = &placing.what {
            let own = self.keeping.values.get(now, walk.target).and_then(|kept| kept.item.seq());
            let there = placing.highest_seq.max(own);
            if cas.is_some() && there.is_some() && *cas != there {
                // Whoever does not know the version that is there, we or another one, would take ours.
                let reason = "it was refused: the version there is another one".to_owned();
                return self.answer_if_asked(walk.ticket, Answer::Refused(reason));
            }
            let next = there.map_or(1, |seq| seq.saturating_add(1));
            let item = Item::Mutable(secret.sign(salt, seq.unwrap_or(next), value));
            if let Err(bad) = item.verify() {
                return self.answer_if_asked(walk.ticket, Answer::Refused(bad.to_string()));
            }
            placing.cas = *cas;
            placing.what = Thing::Item(item);
        }
        if nearest.contains(&self.me) && placing.given.insert(self.me.id) {
            match self.keep_here(now, walk.target, &placing.what, placing.cas, placing.left) {
                Ok(()) => placing.copies.push(self.me.id),
                Err(refusal) => {
                    placing.outdated += usize::from(refusal.is_outdated());
                    placing.refusal = Some(refusal);
                }
            }
        }
        // Whoever else got a copy on the way: the nearest are where it will be looked for.
        let geometry = self.overlay.geometry();
        for contact in nearest {
            let candidate =
                walk.candidates.get(&(geometry.keeping(contact.id, walk.target), contact.addr.is_ipv6())).cloned();
            candidate.into_iter().for_each(|candidate| self.give_to(now, id, &mut walk, candidate));
        }
        self.place_on(now, id, walk);
    }

    /// Gives as many copies as are missing; ends the walk when there is nobody left to give one to.
    fn place_on(&mut self, now: Moment, id: WalkId, mut walk: Walk) {
        while let Some(candidate) = self.next_to_give(&walk) {
            self.give_to(now, id, &mut walk, candidate);
        }
        let Goal::Place(placing) = &walk.goal else { unreachable!("only what is placed is placed") };
        let wanted = self.copies_wanted() * self.networks().len();
        let enough = placing.copies.len() >= (wanted.min(placing.given.len()) * 3).div_ceil(4).max(1);
        let all = placing.copies.len() >= wanted;
        if all || placing.open.is_empty() && (enough || placing.late.is_empty()) {
            self.end_placing(now, walk);
        } else {
            self.walks.put_back(id, walk);
        }
    }

    /// The nearest who has not been given a copy, in a network that lacks one: those of IPv4 must not use up what is meant
    /// for the few of IPv6.
    fn next_to_give(&self, walk: &Walk) -> Option<Candidate> {
        let Goal::Place(placing) = &walk.goal else { unreachable!("only what is placed is placed") };
        let own = usize::from(placing.copies.contains(&self.me.id));
        let has = |id: &Id| placing.copies.contains(id) || placing.open.contains(id);
        self.networks().iter().find_map(|v6| {
            let here = |contact: Contact| v6.is_none_or(|v6| contact.addr.is_ipv6() == v6);
            let here = || walk.candidates.values().filter(move |candidate| here(candidate.contact));
            let copies = own + here().filter(|candidate| has(&candidate.contact.id)).count();
            let next = here().find(|candidate| !placing.given.contains(&candidate.contact.id));
            next.filter(|_| copies < self.copies_wanted() + self.spare()).cloned()
        })
    }

    /// On the ring only the next three will do; of k nearest it is not so important which.
    fn spare(&self) -> usize {
        if self.overlay.geometry() == Geometry::Ring { 0 } else { SPARE }
    }

    fn give_to(&mut self, now: Moment, id: WalkId, walk: &mut Walk, candidate: Candidate) {
        let Goal::Place(placing) = &mut walk.goal else { return };
        let Candidate { contact, token, program } = candidate;
        if !placing.given.insert(contact.id) || !Peer::fits_its_address(contact) {
            return;
        }
        let question = match &placing.what {
            Thing::Item(item) => {
                let left = placing.left.filter(|_| program != Program::Stranger);
                Question::Put(Box::new(Offer { item: item.clone(), token, cas: placing.cas, left }))
            }
            Thing::Announcement { port, seed, file } => {
                let file = file.filter(|_| program != Program::Stranger);
                let port = port.or(self.reached_from(contact.addr).map(|at| at.port()));
                Question::AnnouncePeer(Box::new(Announcement {
                    info_hash: walk.target,
                    port,
                    seed: *seed,
                    token,
                    file,
                }))
            }
            Thing::Next(_) => unreachable!("its version is known before it is given to anybody"),
        };
        placing.open.insert(contact.id);
        self.ask(now, contact, question, Patience::Search, Why::Place(id, contact));
    }

    /// What became of something given: kept, refused, not answered.
    pub(super) fn placed(&mut self, now: Moment, id: WalkId, contact: Contact, outcome: Option<Result<(), Refusal>>) {
        let Some(mut walk) = self.walks.take(id) else { return };
        let Goal::Place(placing) = &mut walk.goal else { unreachable!("only what is placed is placed") };
        placing.open.remove(&contact.id);
        placing.late.remove(&contact.id);
        match outcome {
            Some(Ok(())) => placing.copies.push(contact.id),
            // Some refuse what they have already.
            Some(Err(refusal)) if refusal.is_outdated() && placing.having.contains(&contact.id) => {
                placing.copies.push(contact.id);
            }
            Some(Err(refusal)) => {
                placing.outdated += usize::from(refusal.is_outdated());
                let worse = placing.refusal.take().filter(Refusal::is_outdated);
                placing.refusal = Some(worse.unwrap_or(refusal));
            }
            None => {}
        }
        if walk.stage == Stage::Placing { self.place_on(now, id, walk) } else { self.walks.put_back(id, walk) }
    }

    pub(super) fn placed_late(&mut self, now: Moment, id: WalkId, contact: Contact) {
        let Some(mut walk) = self.walks.take(id) else { return };
        let Goal::Place(placing) = &mut walk.goal else { unreachable!("only what is placed is placed") };
        if placing.open.remove(&contact.id) {
            placing.late.insert(contact.id);
        }
        if walk.stage == Stage::Placing { self.place_on(now, id, walk) } else { self.walks.put_back(id, walk) }
    }

    fn end_placing(&mut self, now: Moment, walk: Walk) {
        let Goal::Place(mut placing) = walk.goal else { unreachable!("only what is placed is placed") };
        let geometry = self.overlay.geometry();
        placing.copies.sort_by_key(|copy| geometry.keeping(*copy, walk.target));
        let outdated = placing.is_outdated();
        self.outdate(walk.target, placing.highest_seq);
        let again = placing.source.as_ref().filter(|source| source.may_go_on() && placing.restarts < MAX_RESTARTS);
        if let (true, Some(publication)) = (outdated, again) {
            let what = Thing::Next(publication.clone());
            let again = Placing { restarts: placing.restarts + 1, ..Placing::new(what, placing.left) };
            return self.start_walk(now, walk.ticket, walk.target, Goal::place(again));
        }
        let answer = match (placing.what, placing.refusal) {
            (Thing::Announcement { .. }, _) => Answer::Announced(placing.copies),
            (Thing::Item(_) | Thing::Next(_), Some(refusal)) if outdated || placing.copies.is_empty() => {
                Answer::Refused(format!("it was refused: {}", refusal.text))
            }
            (Thing::Item(item), _) if !placing.copies.is_empty() => {
                if walk.ticket.is_some() && placing.left.is_some() {
                    self.promise(now, item.clone());
                }
                Answer::Put { item, copies: placing.copies }
            }
            _ => Answer::Unable("no peer that could keep it answers: try again in a moment".to_owned()),
        };
        self.answer_if_asked(walk.ticket, answer);
    }
}
