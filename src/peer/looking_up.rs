//! A lookup that is told step by step: whom it asked, who had named it, who answered and when.

use super::search::{Asks, Search, Want};
use super::*;
use crate::ground::krpc;

/// Most of them at one peer under way.
const MAX_LOOKUPS: usize = 64;

/// How a lookup went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedUp {
    /// What was looked up.
    pub key: Id,
    /// Who was asked, in this order. Empty where the peer itself knew enough.
    pub steps: Vec<LookupStep>,
    /// Those who keep the key as far as the lookup knows, nearest first: the owner, then who comes after it.
    pub keepers: Vec<Contact>,
    /// From the first question to the end.
    pub took: Duration,
}

/// One question of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupStep {
    /// Who was asked.
    pub asked: Contact,
    /// Who had named it first; none: the peer itself knew it.
    pub named_by: Option<Id>,
    /// Since the beginning.
    pub at: Duration,
    /// Its answer was overdue at some time: others were asked meanwhile.
    pub overdue: bool,
    /// From question to answer; none: nothing came before the end.
    pub round_trip: Option<Duration>,
}

impl LookedUp {
    /// Hops from the asker to the last before the owner, as Chord counts them (ToN 2003, §V.B): who answered, but for the
    /// owner itself; at least one.
    pub fn path_len(&self) -> usize {
        let owner = self.keepers.first().map(|owner| owner.id);
        let on_the_way = |step: &&LookupStep| step.round_trip.is_some() && Some(step.asked.id) != owner;
        self.steps.iter().filter(on_the_way).count().max(1)
    }

    /// How many questions were overdue, and not answered before the end: to those who are gone, mostly.
    pub fn timeouts(&self) -> usize {
        self.steps.iter().filter(|step| step.overdue && step.round_trip.is_none()).count()
    }

    /// How many questions were overdue, answered in the end or not.
    pub fn overdue(&self) -> usize {
        self.steps.iter().filter(|step| step.overdue).count()
    }
}

/// What becomes of a lookup that has ended.
pub(super) enum Purpose {
    /// It is told.
    Told,
    /// Whoever is called so is pinged.
    Ping(String),
}

/// A lookup under way that somebody waits for.
pub(super) struct PendingLookup {
    ticket: Ticket,
    purpose: Purpose,
    begun: Moment,
    search: Search,
    named_by: BTreeMap<Id, Id>,
    steps: Vec<LookupStep>,
}

impl PendingLookup {
    fn step(&mut self, id: Id) -> Option<&mut LookupStep> {
        self.steps.iter_mut().rev().find(|step| step.asked.id == id)
    }
}

impl Peer {
    pub(super) fn start_lookup(&mut self, now: Moment, ticket: Ticket, key: Id, purpose: Purpose) {
        if let Some(reason) = self.unready() {
            return self.answer(ticket, Answer::Unable(reason.to_owned()));
        }
        if self.lookups.len() >= MAX_LOOKUPS {
            let reason = format!("{MAX_LOOKUPS} lookups are under way: wait for one to end");
            return self.answer(ticket, Answer::Unable(reason));
        }
        let search = Search::by_member(&*self.overlay, self.me, key, Asks::Nodes(None)).thorough();
        self.last_errand += 1;
        let lookup =
            PendingLookup { ticket, purpose, begun: now, search, named_by: BTreeMap::new(), steps: Vec::new() };
        self.go_on_lookup(now, self.last_errand, lookup);
    }

    fn go_on_lookup(&mut self, now: Moment, id: ErrandId, mut lookup: PendingLookup) {
        loop {
            match lookup.search.want(&*self.overlay, self.me.id) {
                Want::Ask(contact, question) => {
                    lookup.steps.push(LookupStep {
                        asked: contact,
                        named_by: lookup.named_by.get(&contact.id).copied(),
                        at: now.since(lookup.begun),
                        overdue: false,
                        round_trip: None,
                    });
                    self.ask(now, contact, question, Patience::Search, Why::LookUp(id, contact));
                }
                Want::Wait => return drop(self.lookups.insert(id, lookup)),
                Want::Done => return self.end_lookup(now, lookup),
            }
        }
    }

    fn end_lookup(&mut self, now: Moment, lookup: PendingLookup) {
        if let Purpose::Ping(name) = &lookup.purpose {
            let found: Vec<Contact> = lookup.search.lookup.keepers().collect();
            return self.ping_found(now, lookup.ticket, name, &found);
        }
        let keepers = self.keepers_found(&lookup.search).take(self.copies_wanted().max(1)).collect();
        let looked_up =
            LookedUp { key: lookup.search.lookup.key(), steps: lookup.steps, keepers, took: now.since(lookup.begun) };
        self.answer(lookup.ticket, Answer::LookedUp(looked_up));
    }

    pub(super) fn lookup_answered(&mut self, now: Moment, id: ErrandId, contact: Contact, answer: &krpc::Answer) {
        let Some(mut lookup) = self.lookups.remove(&id) else { return };
        let elapsed = now.since(lookup.begun);
        if let Some(step) = lookup.step(contact.id) {
            step.round_trip.get_or_insert(elapsed.saturating_sub(step.at));
        }
        let others: Vec<Contact> = answer.nodes.iter().copied().filter(|named| named.id != self.me.id).collect();
        for named in &others {
            if !lookup.search.lookup.knows(named.id) {
                lookup.named_by.entry(named.id).or_insert(contact.id);
            }
        }
        lookup.search.answered(contact.id, &others);
        self.go_on_lookup(now, id, lookup);
    }

    pub(super) fn lookup_late(&mut self, now: Moment, id: ErrandId, contact: Contact, attempts: u32) {
        let Some(mut lookup) = self.lookups.remove(&id) else { return };
        if let Some(step) = lookup.step(contact.id) {
            step.overdue = true;
        }
        lookup.search.late(contact.id, attempts);
        self.go_on_lookup(now, id, lookup);
    }

    pub(super) fn lookup_unanswered(&mut self, now: Moment, id: ErrandId, contact: Contact) {
        let Some(mut lookup) = self.lookups.remove(&id) else { return };
        if let Some(step) = lookup.step(contact.id) {
            step.overdue = true;
        }
        lookup.search.failed(contact.id);
        self.go_on_lookup(now, id, lookup);
    }

    /// Ends all lookups that somebody waits for.
    pub(super) fn fail_lookups(&mut self, reason: &str) {
        for lookup in std::mem::take(&mut self.lookups).into_values() {
            self.answer(lookup.ticket, Answer::Unable(reason.to_owned()));
        }
    }
}
