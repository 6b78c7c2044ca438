//! Stores and requests: find who keeps the place, then move the bytes there, or here.
//!
//! Common to both: the search, and who answered what. How the bytes move is told in `storing` and `requesting`.

use super::holders::Holders;
use super::inspecting::Inspection;
use super::requesting::Request;
use super::search::{Asks, Search, Want};
use super::storing::Store;
use super::tracing::Tracing;
use super::*;
use crate::ground::krpc::{self, Errand};
use crate::ground::{Content, FileName, Holding};
use crate::overlay::Geometry;
use std::collections::BTreeSet;
use std::iter;

/// Most stores and requests of one peer under way.
const MAX_ERRANDS: usize = 256;

/// A store or request under way.
pub(super) struct ErrandJob {
    pub ticket: Ticket,
    pub name: FileName,
    pub goal: Goal,
    pub phase: Phase,
}

pub(super) enum Goal {
    Store(Box<Store>),
    Request(Box<Request>),
    Inspect(Box<Inspection>),
    Trace(Box<Tracing>),
}

impl Goal {
    /// Whoever has not said yet what it holds need not be waited for.
    fn can_do_without(&self) -> bool {
        match self {
            Goal::Request(request) => request.has_found(),
            Goal::Store(_) | Goal::Inspect(_) | Goal::Trace(_) => false,
        }
    }

    /// What is heard of holders is for it.
    pub fn holders(&mut self) -> Option<&mut Holders> {
        match self {
            Goal::Store(_) => None,
            Goal::Request(request) => Some(&mut request.holders),
            Goal::Inspect(inspection) => Some(&mut inspection.holders),
            Goal::Trace(tracing) => Some(&mut tracing.holders),
        }
    }
}

pub(super) enum Phase {
    /// Looking for the place's keepers.
    Searching(Search),
    /// Asking these keepers what they hold.
    Asking(BTreeSet<SocketAddr>),
    /// Looking into our own folder.
    Looking,
    /// Bytes are moving.
    Moving,
}

impl Peer {
    pub(super) fn start_store(
        &mut self,
        now: Moment,
        ticket: Ticket,
        name: FileName,
        content: Content,
        ttl: Option<Duration>,
    ) {
        self.start_errand(now, ticket, name, Goal::Store(Box::new(Store::new(content, ttl))));
    }

    pub(super) fn start_request(&mut self, now: Moment, ticket: Ticket, name: FileName, version: Option<u64>) {
        self.start_errand(now, ticket, name, Goal::Request(Box::new(Request::new(version))));
    }

    pub(super) fn start_inspection(&mut self, now: Moment, ticket: Ticket, name: FileName, verify: bool, mend: bool) {
        self.start_errand(now, ticket, name, Goal::Inspect(Box::new(Inspection::new(verify, mend))));
    }

    pub(super) fn start_errand(&mut self, now: Moment, ticket: Ticket, name: FileName, goal: Goal) {
        if let Some(reason) = self.unready() {
            return self.answer(ticket, Answer::Unable(reason.to_owned()));
        }
        if self.errands.len() >= MAX_ERRANDS {
            let reason = format!("{MAX_ERRANDS} stores and requests are under way: wait for one to end");
            return self.answer(ticket, Answer::Failed { name, reason });
        }
        let place = self.naming.place(&name);
        let own = self.overlay.owns(place);
        let asks = match self.overlay.geometry() {
            Geometry::Ring if matches!(goal, Goal::Trace(_)) => Asks::Way,
            Geometry::Ring => Asks::Nodes(self.tell_errand(&name, &goal, own)),
            // Whoever announced the file is of interest too.
            Geometry::Xor { .. } => Asks::Peers { scrape: false },
        };
        let search = Search::by_member(&*self.overlay, self.me, place, asks).thorough();
        let mut job = ErrandJob { ticket, name, goal, phase: Phase::Searching(search) };
        self.last_errand += 1;
        let id = self.last_errand;
        if own && self.overlay.geometry() == Geometry::Ring {
            // A ring's owner need not ask its way: it knows who comes after it.
            let mut keepers = self.overlay.near(place, krpc::MAX_NODES).contacts;
            keepers.push(self.me);
            let geometry = self.overlay.geometry();
            keepers.sort_by_key(|contact| geometry.keeping(contact.id, place));
            if let Some(holders) = job.goal.holders() {
                let silent = self.silent_keepers(place, &keepers, iter::empty());
                silent.into_iter().for_each(|id| holders.unheard(id));
            }
            self.found_keepers(now, id, job, keepers);
        } else {
            self.go_on_searching(now, id, job);
        }
    }

    /// The ring shows its routes, from the first step on.
    fn tell_errand(&mut self, name: &FileName, goal: &Goal, own: bool) -> Option<Errand> {
        match (goal, own) {
            (Goal::Inspect(_) | Goal::Trace(_), _) => {}
            (Goal::Store(store), _) if store.is_removal() => {}
            (Goal::Store(_), true) => self.news(News::StoreAccepted(name.clone())),
            (Goal::Store(_), false) => self.news(News::StoreForwarded(name.clone())),
            (Goal::Request(_), true) => {}
            (Goal::Request(_), false) => self.news(News::RequestSent(name.clone())),
        }
        match goal {
            Goal::Store(store) if store.is_removal() => None,
            Goal::Store(_) => Some(Errand::Store(name.clone())),
            Goal::Request(_) => Some(Errand::Request(name.clone())),
            Goal::Inspect(_) | Goal::Trace(_) => None,
        }
    }

    /// Ends all stores and requests.
    pub(super) fn fail_errands(&mut self, reason: &str) {
        for job in std::mem::take(&mut self.errands).into_values() {
            self.answer(job.ticket, Answer::Failed { name: job.name, reason: reason.to_owned() });
        }
    }

    fn go_on_searching(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob) {
        loop {
            let Phase::Searching(search) = &mut job.phase else { return drop(self.errands.insert(id, job)) };
            match search.want(&*self.overlay, self.me.id) {
                Want::Ask(contact, question) => {
                    let (name, hop, asked) = (job.name.clone(), search.hop(contact.id), search.lookup.asked());
                    self.out.push_back(Output::News(News::Asking { name, hop, asked }));
                    if let Goal::Trace(tracing) = &mut job.goal {
                        tracing.asks(now, contact);
                    }
                    self.ask(now, contact, question, Patience::Search, Why::Errand(id, contact));
                }
                Want::Wait => return drop(self.errands.insert(id, job)),
                Want::Done => {
                    let keepers: Vec<Contact> = self.keepers_found(search).collect();
                    let (key, unanswering) = (search.lookup.key(), search.lookup.unanswering());
                    let silent = self.silent_keepers(key, &keepers, unanswering);
                    if let Some(holders) = job.goal.holders() {
                        silent.into_iter().for_each(|id| holders.unheard(id));
                    }
                    return self.found_keepers(now, id, job, keepers);
                }
            }
        }
    }

    /// Those who may keep a file, nearest first. In Kademlia only who has answered or is a contact: what the others run
    /// nobody knows, and most of them are strangers.
    pub(super) fn keepers_found<'a>(&'a self, search: &'a Search) -> impl Iterator<Item = Contact> + 'a {
        let ring = self.overlay.geometry() == Geometry::Ring;
        let known = move |keeper: &Contact| {
            ring || search.lookup.has_answered(keeper.id) || self.overlay.contact(keeper.id) == Some(*keeper)
        };
        search.lookup.keepers().filter(|keeper| !self.strangers.contains(&keeper.id)).filter(known)
    }

    /// Who would be a keeper in the place of one that was found: it may well hold what the others do not. Silent is who did
    /// not answer, and a contact that nobody named: it has been silent for so long that it is passed over.
    fn silent_keepers(&self, key: Id, found: &[Contact], unanswering: impl Iterator<Item = Contact>) -> Vec<Id> {
        let geometry = self.overlay.geometry();
        let last =
            self.replicas.checked_sub(1).and_then(|last| found.get(last)).map(|last| geometry.keeping(last.id, key));
        let is_nearer = |contact: &Contact| last.is_none_or(|last| geometry.keeping(contact.id, key) < last);
        let passed_over = self.overlay.contacts().into_iter().filter(|contact| !found.contains(contact));
        let silent = unanswering.chain(passed_over).filter(is_nearer).map(|contact| contact.id);
        silent.filter(|id| !self.strangers.contains(id)).collect()
    }

    fn found_keepers(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, keepers: Vec<Contact>) {
        job.phase = Phase::Moving;
        match job.goal {
            Goal::Store(_) => self.store_at(now, id, job, keepers),
            Goal::Request(_) => self.request_from(now, id, job, keepers),
            Goal::Inspect(_) => self.inspect_at(now, id, job, keepers),
            Goal::Trace(_) => self.trace_at(now, id, job, keepers),
        }
    }

    /// Who was asked answered: it may say that others reach it elsewhere.
    pub(super) fn errand_answered(
        &mut self,
        now: Moment,
        id: ErrandId,
        asked: Contact,
        contact: Contact,
        answer: krpc::Answer,
    ) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        let key = job.name.key();
        let holdings: Vec<Holding> = answer.files.into_iter().filter(|holding| holding.key == key).collect();
        match &mut job.goal {
            // Once bytes are moving their version is settled; a later one elsewhere refuses them.
            Goal::Store(store) if matches!(job.phase, Phase::Searching(_) | Phase::Asking(_)) => {
                holdings.iter().for_each(|holding| store.supersede(Some(*holding), contact));
            }
            Goal::Store(_) => {}
            Goal::Request(_) | Goal::Inspect(_) | Goal::Trace(_) => {}
        }
        if let Some(holders) = job.goal.holders() {
            holders.heard_told(answer.told.map(|told| *told).filter(|told| told.key == key));
            holders.heard_of(&answer.peers);
            // Who is only asked its way says what answers; all it has it says when it is asked for that.
            if !holdings.is_empty() || answer.lying || matches!(job.phase, Phase::Asking(_)) {
                holders.heard(contact, &holdings, answer.lying);
            }
        }
        if let Phase::Searching(search) = &mut job.phase {
            if let Goal::Trace(tracing) = &mut job.goal {
                tracing.answered(now, contact.id, &answer.nodes);
            }
            search.answered(contact.id, &answer.nodes);
        }
        self.errand_heard(now, id, job, asked);
    }

    pub(super) fn errand_late(&mut self, now: Moment, id: ErrandId, contact: Contact, attempts: u32) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        match &mut job.phase {
            Phase::Searching(search) => {
                search.late(contact.id, attempts);
                self.go_on_searching(now, id, job);
            }
            // Its answer still counts if it comes before the end. It is waited for where it may be the only one.
            Phase::Asking(_) if job.goal.can_do_without() => self.errand_heard(now, id, job, contact),
            Phase::Asking(_) | Phase::Looking | Phase::Moving => drop(self.errands.insert(id, job)),
        }
    }

    pub(super) fn errand_unanswered(&mut self, now: Moment, id: ErrandId, contact: Contact) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        match &mut job.phase {
            Phase::Searching(search) => search.failed(contact.id),
            Phase::Asking(_) => drop(job.goal.holders().map(|holders| holders.unheard(contact.id))),
            Phase::Looking | Phase::Moving => {}
        }
        self.errand_heard(now, id, job, contact);
    }

    /// Somebody who announced the file said what it holds.
    pub(super) fn holder_answered(
        &mut self,
        now: Moment,
        id: ErrandId,
        addr: SocketAddr,
        contact: Contact,
        answer: &krpc::Answer,
    ) {
        if let Some(job) = self.errands.get_mut(&id)
            && let Some(holders) = job.goal.holders()
        {
            let key = job.name.key();
            let holdings: Vec<Holding> = answer.files.iter().filter(|holding| holding.key == key).copied().collect();
            holders.heard(contact, &holdings, answer.lying);
        }
        self.holder_unanswered(now, id, addr);
    }

    pub(super) fn holder_unanswered(&mut self, now: Moment, id: ErrandId, addr: SocketAddr) {
        if let Some(job) = self.errands.remove(&id) {
            self.errand_heard(now, id, job, Contact { id: Id::ZERO, addr });
        }
    }

    /// Goes on with what was heard.
    pub(super) fn all_asked(&mut self, now: Moment, id: ErrandId, job: ErrandJob) {
        match job.goal {
            Goal::Store(_) => self.begin_uploads(id, job),
            Goal::Request(_) => self.fetch_next(now, id, job),
            Goal::Inspect(_) => self.inspect_next(now, id, job),
            Goal::Trace(_) => self.trace_next(now, id, job),
        }
    }

    /// A question less is open.
    fn errand_heard(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, asked: Contact) {
        match &mut job.phase {
            Phase::Searching(_) => self.go_on_searching(now, id, job),
            Phase::Asking(waiting) => {
                waiting.remove(&asked.addr);
                if waiting.is_empty() { self.all_asked(now, id, job) } else { drop(self.errands.insert(id, job)) }
            }
            Phase::Looking | Phase::Moving => drop(self.errands.insert(id, job)),
        }
    }
}
