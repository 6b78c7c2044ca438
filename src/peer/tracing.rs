//! A lookup told hop by hop: whom it asked, who had named each, and why. It asks as a request does and moves no bytes;
//! nobody on the way shows it.

use super::errands::{ErrandJob, Goal, Phase};
use super::holders::{Holders, KEEPERS_ASKED};
use super::*;
use crate::ground::krpc::{self, Errand};
use crate::overlay::{Geometry, Reason};

/// A lookup that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Whose name.
    pub name: FileName,
    /// Where it belongs.
    pub place: Id,
    /// How nearness was measured.
    pub geometry: Geometry,
    /// Nobody was asked along this way: it is what the other geometry would do among the peers met.
    pub supposed: bool,
    /// Where it began: the asker.
    pub from: Id,
    /// Whom it asked, in this order. None: the place is the asker's own.
    pub hops: Vec<Hop>,
    /// Everybody heard of on the way, the asker included, in the order of their ids.
    pub met: Vec<Id>,
    /// Who keeps the place.
    pub owner: Id,
    /// Who holds a copy that answers, the owner first; where nobody does, in whose folder it lies.
    pub holders: Vec<Id>,
    /// How many peers said what they hold.
    pub asked: usize,
    /// Why nobody has it, if nobody has.
    pub absence: Absence,
}

/// A peer on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// Who was asked.
    pub to: Contact,
    /// Who had named it.
    pub by: Id,
    /// Why.
    pub reason: Reason,
    /// How far it is from the place.
    pub left: Id,
    /// How many of those met are nearer.
    pub nearer: usize,
    /// How long it took to answer; none: it did not, or was not asked.
    pub round_trip: Option<Duration>,
    /// From the beginning to its answer.
    pub total: Option<Duration>,
}

/// A trace under way.
pub(super) struct Tracing {
    /// The way of this geometry is wanted, perhaps another one than the network's.
    wanted: Option<Ruler>,
    begun: Moment,
    pub holders: Holders,
    /// The owner has been asked for what lies in its folder.
    looked: bool,
    steps: Vec<Asked>,
    /// Who was heard of first from whom.
    named: BTreeMap<Id, (Contact, Id)>,
    /// It goes along first successors: each hop is named by the one before it.
    hop_by_hop: bool,
}

/// A geometry, as people say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruler {
    /// Clockwise.
    Ring,
    /// By differing bits.
    Kademlia,
}

struct Asked {
    to: Contact,
    sent: Moment,
    answered: Option<Moment>,
}

impl Tracing {
    /// One that begins, and knows these.
    pub fn new(now: Moment, me: Contact, overlay: &dyn Overlay, wanted: Option<Ruler>) -> Tracing {
        let known = overlay.contacts();
        let named = known.iter().chain([&me]).map(|contact| (contact.id, (*contact, me.id))).collect();
        let hop_by_hop = overlay.next_hop().is_some();
        let holders = Holders::default();
        Tracing { wanted, begun: now, holders, looked: false, steps: Vec::new(), named, hop_by_hop }
    }

    /// Somebody is asked the way.
    pub fn asks(&mut self, now: Moment, to: Contact) {
        self.steps.push(Asked { to, sent: now, answered: None });
    }

    /// It answered, and named these.
    pub fn answered(&mut self, now: Moment, by: Id, nodes: &[Contact]) {
        if let Some(step) = self.steps.iter_mut().find(|step| step.to.id == by) {
            step.answered.get_or_insert(now);
        }
        for node in nodes {
            self.named.entry(node.id).or_insert((*node, by));
        }
    }

    fn hops(&self, geometry: Geometry, me: Id, place: Id, all: &BTreeSet<Id>) -> Vec<Hop> {
        let before = [me].into_iter().chain(self.steps.iter().map(|step| step.to.id));
        let hop = |(before, step): (Id, &Asked)| {
            let named_by = self.named.get(&step.to.id).map_or(before, |(_, by)| *by);
            let by = if self.hop_by_hop { before } else { named_by };
            Hop {
                round_trip: step.answered.map(|answered| answered.since(step.sent)),
                total: step.answered.map(|answered| answered.since(self.begun)),
                ..described(geometry, place, by, step.to, all)
            }
        };
        before.zip(&self.steps).map(hop).collect()
    }

    /// The way that another geometry would take from here.
    fn supposed(&self, geometry: Geometry, me: Id, place: Id, all: &BTreeSet<Id>) -> Vec<Hop> {
        let way = geometry.supposed_way(me, place, all);
        let contact = |id: &Id| self.named.get(id).map(|(contact, _)| *contact);
        let by = [me].into_iter().chain(way.iter().copied());
        let hop = |(by, to): (Id, &Id)| Some(described(geometry, place, by, contact(to)?, all));
        by.zip(&way).filter_map(hop).collect()
    }
}

/// A hop that nobody has taken yet.
fn described(geometry: Geometry, place: Id, by: Id, to: Contact, all: &BTreeSet<Id>) -> Hop {
    let left = geometry.left(to.id, place);
    let nearer = all.iter().filter(|id| geometry.left(**id, place) < left).count();
    let reason = geometry.reason(by, to.id, all);
    Hop { to, by, reason, left, nearer, round_trip: None, total: None }
}

impl Ruler {
    /// The geometry, where the network's own is not it.
    fn instead_of(self, own: Geometry) -> Option<Geometry> {
        match (self, own) {
            (Ruler::Ring, Geometry::Xor { .. }) => Some(Geometry::Ring),
            (Ruler::Kademlia, Geometry::Ring) => Some(Geometry::Xor { k: krpc::MAX_NODES }),
            (Ruler::Ring, Geometry::Ring) | (Ruler::Kademlia, Geometry::Xor { .. }) => None,
        }
    }
}

impl Peer {
    pub(super) fn start_trace(&mut self, now: Moment, ticket: Ticket, name: FileName, wanted: Option<Ruler>) {
        let tracing = Tracing::new(now, self.me, &*self.overlay, wanted);
        self.start_errand(now, ticket, name, Goal::Trace(Box::new(tracing)));
    }

    /// The keepers are found, the owner first.
    pub(super) fn trace_at(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, keepers: Vec<Contact>) {
        let (me, held) = (self.me, self.held_of(job.name.key()));
        let Goal::Trace(tracing) = &mut job.goal else { unreachable!("only traces are traced") };
        tracing.holders.found(keepers);
        tracing.holders.heard(me, &held, false);
        self.trace_next(now, id, job);
    }

    /// Asks all who may hold it, then tells.
    pub(super) fn trace_next(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob) {
        let Goal::Trace(tracing) = &mut job.goal else { unreachable!("only traces are traced") };
        if let Some(unasked) = tracing.holders.survey(KEEPERS_ASKED) {
            return self.ask_holders(now, id, job, unasked);
        }
        let announced = tracing.holders.take_announced();
        if !announced.is_empty() {
            return self.ask_announced(now, id, job, announced);
        }
        if let Some(owner) = self.whose_folder_counts(&mut job) {
            return self.look_at(now, id, job, owner);
        }
        job.phase = Phase::Moving;
        self.end_trace(job);
    }

    /// The owner, where a request would have it look into its folder: once.
    fn whose_folder_counts(&self, job: &mut ErrandJob) -> Option<Contact> {
        let Goal::Trace(tracing) = &mut job.goal else { unreachable!("only traces are traced") };
        let owner = tracing.holders.owner()?;
        // In Kademlia whoever has it in its folder finds it itself.
        let may_lie = self.overlay.geometry() == Geometry::Ring || owner.id == self.me.id;
        let looks = may_lie && job.name.four_digits().is_some() && tracing.holders.best(|_| true).is_none();
        (looks && !std::mem::replace(&mut tracing.looked, true)).then_some(owner)
    }

    fn look_at(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, owner: Contact) {
        if owner.id == self.me.id {
            return self.look_here(id, job);
        }
        let (target, errand) = (self.naming.place(&job.name), Some(Errand::Find(job.name.clone())));
        job.phase = Phase::Asking([owner.addr].into());
        self.errands.insert(id, job);
        self.ask(now, owner, Question::FindNode { target, errand }, Patience::Search, Why::Errand(id, owner));
    }

    fn end_trace(&mut self, job: ErrandJob) {
        let Goal::Trace(tracing) = job.goal else { unreachable!("only traces are traced") };
        let (own, place) = (self.overlay.geometry(), self.naming.place(&job.name));
        let other = tracing.wanted.and_then(|wanted| wanted.instead_of(own));
        let all: BTreeSet<Id> = tracing.named.keys().copied().collect();
        let geometry = other.unwrap_or(own);
        let hops = match other {
            Some(other) => tracing.supposed(other, self.me.id, place, &all),
            None => tracing.hops(own, self.me.id, place, &all),
        };
        let best = tracing.holders.best(|_| true).filter(|best| !best.content.is_removed());
        let holders = match best {
            Some(best) => tracing.holders.of(&best, |_| true),
            None => tracing.holders.lying(|_| true),
        };
        let answered = |id: &Id| {
            *id == self.me.id || !tracing.steps.iter().any(|step| step.to.id == *id && step.answered.is_none())
        };
        let owner = geometry.by_keeping(place, &all).into_iter().find(answered).unwrap_or(self.me.id);
        let trace = Trace {
            name: job.name,
            place,
            geometry,
            supposed: other.is_some(),
            from: self.me.id,
            hops,
            met: all.into_iter().collect(),
            owner,
            holders: holders.into_iter().map(|holder| holder.id).collect(),
            asked: tracing.holders.asked(),
            absence: tracing.holders.absence(),
        };
        self.answer(job.ticket, Answer::Traced(Box::new(trace)));
    }
}
