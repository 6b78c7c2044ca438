//! Store and request: find who keeps the place, then move the bytes there, or here.

use super::answering::PendingLook;
use super::search::{Search, Want};
use super::*;
use crate::ground::krpc::{self, Errand};
use crate::ground::{Content, FileName, Holding};

/// Most stores and requests of one peer under way.
const MAX_ERRANDS: usize = 256;
/// How many keepers are asked for a file before it counts as nowhere: more than hold copies, in case of changes.
const KEEPERS_ASKED: usize = 8;
/// How often a store starts again because somebody has a later version.
const MAX_RESTARTS: usize = 3;

/// A store or request under way.
pub(super) struct ErrandJob {
    ticket: Ticket,
    name: FileName,
    goal: Goal,
    phase: Phase,
}

enum Goal {
    Store(Store),
    Request(Request),
}

enum Phase {
    /// Looking for the place's keepers.
    Searching(Search),
    /// Asking so many keepers what they hold.
    Asking { open: usize },
    /// Looking into our own folder.
    Looking,
    /// Bytes are moving.
    Moving,
}

struct Store {
    content: Content,
    version: u64,
    restarts: usize,
    /// Whom to try next, nearest keeper first.
    candidates: VecDeque<Contact>,
    /// All who could keep it.
    keepers: Vec<Contact>,
    moving: usize,
    copies: Vec<Id>,
    last_error: Option<MoveError>,
}

#[derive(Default)]
struct Request {
    /// Who said what it holds, keepers in order.
    keepers: Vec<Contact>,
    asked: Vec<Id>,
    holders: Vec<Holder>,
    tried: usize,
    surveyed: bool,
    last_error: Option<MoveError>,
}

#[derive(Clone, Copy)]
struct Holder {
    contact: Contact,
    /// Unknown where it lies in the holder's folder.
    holding: Option<Holding>,
}

impl Peer {
    pub(super) fn start_store(&mut self, now: Moment, ticket: Ticket, name: FileName, content: Content) {
        let store = Store {
            content,
            version: 1,
            restarts: 0,
            candidates: VecDeque::new(),
            keepers: Vec::new(),
            moving: 0,
            copies: Vec::new(),
            last_error: None,
        };
        self.start_errand(now, ticket, name, Goal::Store(store));
    }

    pub(super) fn start_request(&mut self, now: Moment, ticket: Ticket, name: FileName) {
        self.start_errand(now, ticket, name, Goal::Request(Request::default()));
    }

    fn start_errand(&mut self, now: Moment, ticket: Ticket, name: FileName, goal: Goal) {
        if self.standing != Standing::Member || self.leaving.is_some() {
            let doing = if self.leaving.is_some() { "is leaving" } else { "has not joined yet: try again in a moment" };
            return self.answer(ticket, Answer::Failed { name, reason: format!("this peer {doing}") });
        }
        if self.errands.len() >= MAX_ERRANDS {
            let reason = format!("{MAX_ERRANDS} stores and requests are under way: wait for one to end");
            return self.answer(ticket, Answer::Failed { name, reason });
        }
        let place = self.naming.place(&name);
        let own = self.overlay.owns(place);
        let errand = match &goal {
            Goal::Store(_) => Errand::Store(name.clone()),
            Goal::Request(_) => Errand::Request(name.clone()),
        };
        match (&goal, own) {
            (Goal::Store(_), true) => self.news(News::StoreAccepted(name.clone())),
            (Goal::Store(_), false) => self.news(News::StoreForwarded(name.clone())),
            (Goal::Request(_), true) => {}
            (Goal::Request(_), false) => self.news(News::RequestSent(name.clone())),
        }
        // The owner need not ask its way; but whom it knows after itself keeps copies too.
        let search = Search::by_member(&*self.overlay, self.me, place, Some(errand));
        let job = ErrandJob { ticket, name, goal, phase: Phase::Searching(search) };
        self.last_errand += 1;
        let id = self.last_errand;
        if own {
            let mut keepers = self.overlay.near(place, krpc::MAX_NODES).contacts;
            keepers.push(self.me);
            let geometry = self.overlay.geometry();
            keepers.sort_by_key(|contact| geometry.keeping(contact.id, place));
            self.found_keepers(now, id, job, keepers);
        } else {
            self.go_on_searching(now, id, job);
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
                    self.ask(now, contact, question, Patience::Search, Why::Errand(id, contact));
                }
                Want::Wait => return drop(self.errands.insert(id, job)),
                Want::Done => {
                    let keepers = search.lookup.keepers().collect();
                    return self.found_keepers(now, id, job, keepers);
                }
            }
        }
    }

    pub(super) fn errand_answered(&mut self, now: Moment, id: ErrandId, contact: Contact, answer: krpc::Answer) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        let key = job.name.key();
        let holding = answer.files.into_iter().find(|holding| holding.key == key);
        match &mut job.goal {
            Goal::Store(store) => {
                if let Some(held) = holding {
                    // The same bytes again are the same version.
                    let next = if held.content == store.content { held.version } else { held.version + 1 };
                    store.version = store.version.max(next);
                }
            }
            Goal::Request(request) => {
                let known = request.asked.contains(&contact.id);
                if !known {
                    request.asked.push(contact.id);
                }
                if (holding.is_some() || answer.lying) && !request.holders.iter().any(|h| h.contact.id == contact.id) {
                    request.holders.push(Holder { contact, holding });
                }
            }
        }
        if let Phase::Searching(search) = &mut job.phase {
            search.lookup.answered(contact.id, &answer.nodes);
        }
        self.errand_heard(now, id, job);
    }

    pub(super) fn errand_late(&mut self, now: Moment, id: ErrandId, contact: Contact) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        if let Phase::Searching(search) = &mut job.phase {
            search.late(contact.id);
        }
        self.go_on_searching(now, id, job);
    }

    pub(super) fn errand_unanswered(&mut self, now: Moment, id: ErrandId, contact: Contact) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        if let Phase::Searching(search) = &mut job.phase {
            search.failed(contact.id);
        }
        self.errand_heard(now, id, job);
    }

    /// One question less is open.
    fn errand_heard(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob) {
        match &mut job.phase {
            Phase::Searching(_) => self.go_on_searching(now, id, job),
            Phase::Asking { open } => {
                *open -= 1;
                if *open == 0 { self.fetch_next(now, id, job) } else { drop(self.errands.insert(id, job)) }
            }
            Phase::Looking | Phase::Moving => drop(self.errands.insert(id, job)),
        }
    }

    fn found_keepers(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, keepers: Vec<Contact>) {
        job.phase = Phase::Moving;
        match &mut job.goal {
            Goal::Store(store) => {
                if let Some(held) = self.shelf.named(&job.name) {
                    let next = if held.content == store.content { held.version } else { held.version + 1 };
                    store.version = store.version.max(next);
                }
                store.keepers.clone_from(&keepers);
                store.candidates = keepers.into();
                self.upload_on(id, job);
            }
            Goal::Request(request) => {
                let own = keepers.first().is_some_and(|owner| *owner == self.me);
                request.keepers = keepers;
                let held = self.shelf.named(&job.name);
                if let Some(holding) = held {
                    request.holders.push(Holder { contact: self.me, holding: Some(holding) });
                }
                if own {
                    if held.is_none() && job.name.four_digits().is_some() {
                        job.phase = Phase::Looking;
                        let ticket = self.fresh_ticket();
                        self.looks.insert(ticket, PendingLook::Errand(id));
                        self.out.push_back(Output::Look { ticket, name: job.name.clone() });
                        return drop(self.errands.insert(id, job));
                    }
                    self.news(if held.is_some() {
                        News::FileHere(job.name.clone())
                    } else {
                        News::NotHere(job.name.clone())
                    });
                }
                self.fetch_next(now, id, job);
            }
        }
    }

    pub(super) fn errand_looked(&mut self, now: Moment, id: ErrandId, found: bool) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        job.phase = Phase::Moving;
        if let (true, Goal::Request(request)) = (found, &mut job.goal) {
            request.holders.push(Holder { contact: self.me, holding: None });
        }
        self.news(if found { News::FileHere(job.name.clone()) } else { News::NotHere(job.name.clone()) });
        self.fetch_next(now, id, job);
    }

    /// Starts as many uploads as copies are missing; ends the store when there is nobody left to try.
    fn upload_on(&mut self, id: ErrandId, mut job: ErrandJob) {
        let Goal::Store(store) = &mut job.goal else { unreachable!("only stores upload") };
        let manifest = Manifest { name: job.name.clone(), version: store.version, content: store.content };
        while store.copies.len() + store.moving < self.replicas
            && let Some(to) = store.candidates.pop_front()
        {
            store.moving += 1;
            let manifest = manifest.clone();
            let task = match to == self.me {
                true => Move::Keep { manifest, source: job.ticket },
                false => Move::Upload { manifest, source: Some(job.ticket), to },
            };
            self.last_ticket += 1;
            self.moves.insert(Ticket(self.last_ticket), MovePurpose::Errand(id, to));
            self.out.push_back(Output::Move { ticket: Ticket(self.last_ticket), task });
        }
        if store.moving > 0 {
            return drop(self.errands.insert(id, job));
        }
        let geometry = self.overlay.geometry();
        let place = self.naming.place(&job.name);
        store.copies.sort_by_key(|copy| geometry.keeping(*copy, place));
        let wanted = self.replicas.min(store.keepers.len().max(store.copies.len()));
        let answer = match store.copies.is_empty() {
            false => Answer::Stored { manifest, copies: std::mem::take(&mut store.copies), wanted },
            true => {
                let error = store.last_error.take();
                let reason = error.map_or("no peer that could keep it answers".to_owned(), |error| error.to_string());
                Answer::Failed { name: job.name, reason }
            }
        };
        self.answer(job.ticket, answer);
    }

    pub(super) fn errand_moved(&mut self, now: Moment, id: ErrandId, at: Contact, outcome: Result<(), MoveError>) {
        if let Err(MoveError::Unreachable(_)) = outcome {
            self.verify_known(now, at);
        }
        let Some(mut job) = self.errands.remove(&id) else { return };
        let mut kept_here = false;
        match &mut job.goal {
            Goal::Store(store) => {
                store.moving -= 1;
                match outcome {
                    Ok(()) => {
                        store.copies.push(at.id);
                        kept_here = at == self.me;
                    }
                    Err(MoveError::Outdated { version }) if store.restarts < MAX_RESTARTS => {
                        // Everybody gets the version that supersedes what that one has.
                        store.restarts += 1;
                        store.version = store.version.max(version + 1);
                        store.copies.clear();
                        store.candidates = store.keepers.clone().into();
                    }
                    Err(error @ MoveError::Local(_)) if at != self.me => {
                        store.candidates.clear();
                        store.last_error = Some(error);
                    }
                    Err(error) => store.last_error = Some(error),
                }
                if kept_here {
                    let manifest = Manifest { name: job.name.clone(), version: store.version, content: store.content };
                    self.received(now, manifest);
                }
                self.upload_on(id, job);
            }
            Goal::Request(request) => match outcome {
                Ok(()) => self.answer(job.ticket, Answer::Fetched { name: job.name, from: at.id }),
                Err(MoveError::Local(reason)) => self.answer(job.ticket, Answer::Failed { name: job.name, reason }),
                Err(error) => {
                    request.last_error = Some(error.clone());
                    self.news(News::HolderFailed { name: job.name.clone(), holder: at.id, error });
                    self.fetch_next(now, id, job);
                }
            },
        }
    }

    /// Fetches from the best holder not yet tried; asks the other keepers when there is none; ends when there is none
    /// then.
    fn fetch_next(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob) {
        let Goal::Request(request) = &mut job.goal else { unreachable!("only requests fetch") };
        job.phase = Phase::Moving;
        let (place, key) = (self.naming.place(&job.name), job.name.key());
        let geometry = self.overlay.geometry();
        // The latest version first; of its holders the owner first; a file that only lies in a folder last.
        request.holders[request.tried..].sort_by_key(|holder| {
            let rank = holder.holding.map(|holding| holding.rank());
            (std::cmp::Reverse(rank), geometry.keeping(holder.contact.id, place))
        });
        if let Some(holder) = request.holders.get(request.tried).copied() {
            request.tried += 1;
            let content = holder.holding.map(|holding| holding.content);
            let (name, order) = (job.name.clone(), job.ticket);
            let task = match holder.contact == self.me {
                true => Move::Deliver { name, content, order },
                false => Move::Download { name, content, from: holder.contact, order },
            };
            self.move_bytes(MovePurpose::Errand(id, holder.contact), task);
            return drop(self.errands.insert(id, job));
        }
        if !request.surveyed {
            request.surveyed = true;
            let unasked = |keeper: &&Contact| **keeper != self.me && !request.asked.contains(&keeper.id);
            let keepers: Vec<Contact> = request.keepers.iter().take(KEEPERS_ASKED).filter(unasked).copied().collect();
            if !keepers.is_empty() {
                job.phase = Phase::Asking { open: keepers.len() };
                self.errands.insert(id, job);
                let nothing = Holding { key, version: 0, content: Content { hash: [0; 32], len_bytes: 0 } };
                for keeper in keepers {
                    let why = Why::Errand(id, keeper);
                    self.ask(now, keeper, Question::Holds(vec![nothing]), Patience::Search, why);
                }
                return;
            }
        }
        let answer = match request.last_error.take() {
            Some(error) => Answer::Failed {
                name: job.name,
                reason: format!("nobody who has it could send it: the last one {error}"),
            },
            None => Answer::NotFound { name: job.name, asked: request.asked.len() + 1 },
        };
        self.answer(job.ticket, answer);
    }
}
