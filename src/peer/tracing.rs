//! A lookup that is told step by step: whom it asked, who had named it, who answered and when.

use super::search::{Asks, Search, Want};
use super::*;
use crate::ground::krpc;

/// Most told lookups of one peer under way.
const MAX_TRACES: usize = 64;

/// How a lookup went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What was looked up.
    pub key: Id,
    /// Who was asked, in this order. Empty where the peer itself knew enough.
    pub steps: Vec<TraceStep>,
    /// Those who keep the key as far as the lookup knows, nearest first: the owner, then who comes after it.
    pub keepers: Vec<Contact>,
    /// From the first question to the end.
    pub took: Duration,
}

/// One question of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
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

impl Trace {
    /// Hops from the asker to the last before the owner, as Chord counts them (ToN 2003, §V.B): who answered, but for the
    /// owner itself; at least one.
    pub fn path_len(&self) -> usize {
        let owner = self.keepers.first().map(|owner| owner.id);
        let on_the_way = |step: &&TraceStep| step.round_trip.is_some() && Some(step.asked.id) != owner;
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

/// A told lookup under way.
pub(super) struct Tracing {
    ticket: Ticket,
    begun: Moment,
    search: Search,
    named_by: BTreeMap<Id, Id>,
    steps: Vec<TraceStep>,
}

impl Tracing {
    fn step(&mut self, id: Id) -> Option<&mut TraceStep> {
        self.steps.iter_mut().rev().find(|step| step.asked.id == id)
    }
}

impl Peer {
    pub(super) fn start_trace(&mut self, now: Moment, ticket: Ticket, key: Id) {
        if let Some(reason) = self.unready() {
            return self.answer(ticket, Answer::Unable(reason.to_owned()));
        }
        if self.traces.len() >= MAX_TRACES {
            let reason = format!("{MAX_TRACES} lookups are under way: wait for one to end");
            return self.answer(ticket, Answer::Unable(reason));
        }
        let search = Search::by_member(&*self.overlay, self.me, key, Asks::Nodes(None)).thorough();
        self.last_errand += 1;
        let tracing = Tracing { ticket, begun: now, search, named_by: BTreeMap::new(), steps: Vec::new() };
        self.go_on_tracing(now, self.last_errand, tracing);
    }

    fn go_on_tracing(&mut self, now: Moment, id: ErrandId, mut tracing: Tracing) {
        loop {
            match tracing.search.want(&*self.overlay, self.me.id) {
                Want::Ask(contact, question) => {
                    tracing.steps.push(TraceStep {
                        asked: contact,
                        named_by: tracing.named_by.get(&contact.id).copied(),
                        at: now.since(tracing.begun),
                        overdue: false,
                        round_trip: None,
                    });
                    self.ask(now, contact, question, Patience::Search, Why::Trace(id, contact));
                }
                Want::Wait => return drop(self.traces.insert(id, tracing)),
                Want::Done => return self.end_trace(now, tracing),
            }
        }
    }

    fn end_trace(&mut self, now: Moment, tracing: Tracing) {
        let keepers = self.keepers_found(&tracing.search).take(self.copies_wanted().max(1)).collect();
        let trace =
            Trace { key: tracing.search.lookup.key(), steps: tracing.steps, keepers, took: now.since(tracing.begun) };
        self.answer(tracing.ticket, Answer::LookedUp(trace));
    }

    pub(super) fn trace_answered(&mut self, now: Moment, id: ErrandId, contact: Contact, answer: &krpc::Answer) {
        let Some(mut tracing) = self.traces.remove(&id) else { return };
        let elapsed = now.since(tracing.begun);
        if let Some(step) = tracing.step(contact.id) {
            step.round_trip.get_or_insert(elapsed.saturating_sub(step.at));
        }
        let others: Vec<Contact> = answer.nodes.iter().copied().filter(|named| named.id != self.me.id).collect();
        for named in &others {
            if !tracing.search.lookup.knows(named.id) {
                tracing.named_by.entry(named.id).or_insert(contact.id);
            }
        }
        tracing.search.answered(contact.id, &others);
        self.go_on_tracing(now, id, tracing);
    }

    pub(super) fn trace_late(&mut self, now: Moment, id: ErrandId, contact: Contact, attempts: u32) {
        let Some(mut tracing) = self.traces.remove(&id) else { return };
        if let Some(step) = tracing.step(contact.id) {
            step.overdue = true;
        }
        tracing.search.late(contact.id, attempts);
        self.go_on_tracing(now, id, tracing);
    }

    pub(super) fn trace_unanswered(&mut self, now: Moment, id: ErrandId, contact: Contact) {
        let Some(mut tracing) = self.traces.remove(&id) else { return };
        if let Some(step) = tracing.step(contact.id) {
            step.overdue = true;
        }
        tracing.search.failed(contact.id);
        self.go_on_tracing(now, id, tracing);
    }

    /// Ends all told lookups.
    pub(super) fn fail_traces(&mut self, reason: &str) {
        for tracing in std::mem::take(&mut self.traces).into_values() {
            self.answer(tracing.ticket, Answer::Unable(reason.to_owned()));
        }
    }
}
