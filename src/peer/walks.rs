//! Walks: lookups that gather values, peers and tokens on their way, and then store with those who are nearest.
//!
//! Common to all: the lookup, one for each address family, and who answered with which token. What is gathered is told
//! in `finding`, how things are stored in `placing`.

use super::finding::Finding;
use super::placing::Placing;
use super::search::{Asks, Search, Want};
use super::*;
use crate::ground::krpc::{self, Program};
use crate::overlay::Geometry;
use std::collections::BTreeSet;

/// Most walks of one peer under way.
const MAX_WALKS: usize = 1024;

/// Most of them for our own upkeep: whoever has us keep ten thousand values does not keep us from our own commands.
const MAX_UPKEEP_WALKS: usize = 256;

/// Counts the walks of one peer.
pub(super) type WalkId = u64;

/// All walks under way.
#[derive(Default)]
pub(super) struct Walks {
    open: BTreeMap<WalkId, Walk>,
    last: WalkId,
}

/// A walk under way.
pub(super) struct Walk {
    /// Whose command it is; none: our own upkeep.
    pub ticket: Option<Ticket>,
    pub target: Id,
    pub goal: Goal,
    searches: Vec<Search>,
    /// Everybody who answered.
    pub heard: BTreeSet<Id>,
    /// Those who answered and can be stored at, nearest first, with their tokens. Who is in both families is there twice.
    pub candidates: BTreeMap<(Id, bool), Candidate>,
    pub stage: Stage,
}

/// Somebody who can be stored at.
#[derive(Clone)]
pub(super) struct Candidate {
    pub contact: Contact,
    pub token: Vec<u8>,
    pub program: Program,
}

pub(super) enum Goal {
    Find(Finding),
    Place(Box<Placing>),
}

#[derive(PartialEq, Eq)]
pub(super) enum Stage {
    /// On the way.
    Walking,
    /// Arrived: waiting for these keepers, who were not on the way.
    Asking(BTreeSet<SocketAddr>),
    /// Storing.
    Placing,
}

impl Walk {
    pub fn asked(&self) -> usize {
        self.searches.iter().map(|search| search.lookup.asked()).sum()
    }

    /// All who are late are waited for from now on. False if that is so already.
    fn be_patient(&mut self) -> bool {
        let mut news = false;
        for search in &mut self.searches {
            news |= search.be_patient();
        }
        news
    }
}

impl Walks {
    pub fn take(&mut self, id: WalkId) -> Option<Walk> {
        self.open.remove(&id)
    }

    pub fn put_back(&mut self, id: WalkId, walk: Walk) {
        self.open.insert(id, walk);
    }

    /// So much of our upkeep is under way that the rest has to wait.
    pub fn are_busy_with_upkeep(&self) -> bool {
        self.open.len() >= MAX_UPKEEP_WALKS
            && self.open.values().filter(|walk| walk.ticket.is_none()).count() >= MAX_UPKEEP_WALKS
    }

    /// Nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }
}

impl Peer {
    /// How many peers keep a value, or hear of an announcement.
    pub(super) fn copies_wanted(&self) -> usize {
        match self.overlay.geometry() {
            Geometry::Ring => self.replicas,
            Geometry::Xor { k } => k,
        }
    }

    pub(super) fn start_walk(&mut self, now: Moment, ticket: Option<Ticket>, target: Id, goal: Goal) {
        // What we keep is seen to until the goodbye.
        let upkeep = ticket.is_none() && self.standing == Standing::Member;
        if let Some(reason) = self.unready().filter(|_| !upkeep) {
            return self.unable(ticket, reason.to_owned());
        }
        if self.walks.open.len() >= MAX_WALKS {
            return self.unable(ticket, format!("{MAX_WALKS} searches are under way: wait for one to end"));
        }
        let asks = goal.asks();
        let search = |v6: Option<bool>| {
            let search = Search::by_outsider(&*self.overlay, target, asks.clone(), v6);
            if self.keeps_values() { search.with_myself(self.me) } else { search }
        };
        let searches = self.networks().into_iter().map(search).collect();
        let walk = Walk {
            ticket,
            target,
            goal,
            searches,
            heard: BTreeSet::new(),
            candidates: BTreeMap::new(),
            stage: Stage::Walking,
        };
        self.walks.last += 1;
        self.go_on_walking(now, self.walks.last, walk);
    }

    /// The networks that we take part in: of IPv4, of IPv6, or the one there is (BEP 32).
    pub(super) fn networks(&self) -> Vec<Option<bool>> {
        match self.overlay.geometry() {
            Geometry::Xor { .. } if self.families.both() => vec![Some(false), Some(true)],
            Geometry::Ring | Geometry::Xor { .. } => vec![None],
        }
    }

    /// Values are kept here too: so we are among those who may be nearest.
    pub(super) fn keeps_values(&self) -> bool {
        !self.read_only
    }

    fn go_on_walking(&mut self, now: Moment, id: WalkId, mut walk: Walk) {
        let mut done = true;
        for at in 0..walk.searches.len() {
            loop {
                match walk.searches[at].want(&*self.overlay, self.me.id) {
                    Want::Ask(contact, question) => {
                        self.ask(now, contact, question, Patience::Search, Why::Walk(id, contact));
                        done = false;
                    }
                    Want::Wait => {
                        done = false;
                        break;
                    }
                    Want::Done => break,
                }
            }
        }
        if !done {
            return self.walks.put_back(id, walk);
        }
        // Where many have died, the only way to what is looked for may lead through one lost datagram.
        if walk.goal.found_nothing() && walk.be_patient() {
            return self.go_on_walking(now, id, walk);
        }
        self.arrived(now, id, walk)
    }

    /// The nearest have answered. On the ring only one of the keepers had to: the others are asked now.
    fn arrived(&mut self, now: Moment, id: WalkId, mut walk: Walk) {
        let nearest = self.nearest(&walk);
        let unheard = nearest.iter().filter(|contact| contact.id != self.me.id && !walk.heard.contains(&contact.id));
        let unheard: Vec<Contact> = unheard.copied().collect();
        if walk.stage == Stage::Walking && !unheard.is_empty() {
            walk.stage = Stage::Asking(unheard.iter().map(|contact| contact.addr).collect());
            let question = walk.goal.asks().question(walk.target);
            for contact in unheard {
                self.ask(now, contact, question.clone(), Patience::Search, Why::Walk(id, contact));
            }
            return self.walks.put_back(id, walk);
        }
        match &walk.goal {
            Goal::Find(_) => self.found(now, walk),
            Goal::Place(_) => self.place(now, id, walk, &nearest),
        }
    }

    /// Those who shall keep what belongs at the target, as far as the walk knows, of each address family.
    fn nearest(&self, walk: &Walk) -> Vec<Contact> {
        let count = self.copies_wanted();
        walk.searches.iter().flat_map(|search| search.lookup.keepers().take(count)).collect()
    }

    /// Who was asked answered: it may say that others reach it elsewhere.
    pub(super) fn walk_answered(
        &mut self,
        now: Moment,
        id: WalkId,
        asked: Contact,
        (contact, program): (Contact, Program),
        answer: krpc::Answer,
    ) {
        let Some(mut walk) = self.walks.take(id) else { return };
        walk.heard.insert(contact.id);
        let distance = self.overlay.geometry().keeping(contact.id, walk.target);
        let token = answer.token.clone();
        let me = self.me.id;
        let named: Vec<Contact> = answer.nodes.iter().copied().filter(|named| named.id != me).collect();
        let search = walk.searches.iter_mut().find(|search| search.concerns(asked));
        let honest = match &mut walk.goal {
            Goal::Find(finding) => finding.gather(walk.target, contact, answer),
            Goal::Place(placing) => placing.gather(walk.target, contact, &answer),
        };
        if honest && !token.is_empty() {
            walk.candidates.insert((distance, contact.addr.is_ipv6()), Candidate { contact, token, program });
        }
        match search {
            // Who gives what was not asked for is not asked for anything else either.
            Some(search) if !honest => search.failed(contact.id),
            Some(search) if walk.stage == Stage::Walking => search.answered(contact.id, &named),
            _ => {}
        }
        if let Goal::Find(finding) = &walk.goal
            && finding.is_content()
        {
            return self.found(now, walk);
        }
        if honest && walk.stage == Stage::Walking {
            self.place_early(now, id, &mut walk, contact);
        }
        self.walk_heard(now, id, walk, asked);
    }

    pub(super) fn walk_late(&mut self, now: Moment, id: WalkId, contact: Contact, attempts: u32) {
        let Some(mut walk) = self.walks.take(id) else { return };
        if let Some(search) = walk.searches.iter_mut().find(|search| search.concerns(contact)) {
            search.late(contact.id, attempts);
        }
        // A keeper that is asked last is waited for: its value may be the only one.
        match walk.stage {
            Stage::Walking => self.go_on_walking(now, id, walk),
            Stage::Asking(_) | Stage::Placing => self.walks.put_back(id, walk),
        }
    }

    pub(super) fn walk_unanswered(&mut self, now: Moment, id: WalkId, contact: Contact) {
        let Some(mut walk) = self.walks.take(id) else { return };
        if let Some(search) = walk.searches.iter_mut().find(|search| search.concerns(contact)) {
            search.failed(contact.id);
        }
        self.walk_heard(now, id, walk, contact);
    }

    /// A question less is open.
    fn walk_heard(&mut self, now: Moment, id: WalkId, mut walk: Walk, asked: Contact) {
        match &mut walk.stage {
            Stage::Walking => self.go_on_walking(now, id, walk),
            Stage::Asking(waiting) => {
                waiting.remove(&asked.addr);
                if waiting.is_empty() { self.arrived(now, id, walk) } else { self.walks.put_back(id, walk) }
            }
            Stage::Placing => self.walks.put_back(id, walk),
        }
    }

    /// Ends all commands about values and torrents.
    pub(super) fn fail_walks(&mut self, reason: &str) {
        let open = std::mem::take(&mut self.walks.open);
        open.into_values().for_each(|walk| self.unable(walk.ticket, reason.to_owned()));
    }

    pub(super) fn unable(&mut self, ticket: Option<Ticket>, reason: String) {
        self.answer_if_asked(ticket, Answer::Unable(reason));
    }

    pub(super) fn answer_if_asked(&mut self, ticket: Option<Ticket>, answer: Answer) {
        if let Some(ticket) = ticket {
            self.answer(ticket, answer);
        }
    }
}

impl Goal {
    /// To store something.
    pub fn place(placing: Placing) -> Goal {
        Goal::Place(Box::new(placing))
    }

    fn asks(&self) -> Asks {
        match self {
            Goal::Find(finding) => finding.asks(),
            Goal::Place(placing) => placing.asks(),
        }
    }

    /// It was to find something, and has not yet.
    fn found_nothing(&self) -> bool {
        match self {
            Goal::Find(finding) => finding.is_empty(),
            Goal::Place(_) => false,
        }
    }
}
