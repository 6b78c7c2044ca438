//! A store's bytes on their way to the keepers.

use super::errands::{ErrandJob, Goal};
use super::*;
use crate::ground::{Content, Holding};

/// How often a store starts again because somebody has a later version.
const MAX_RESTARTS: usize = 3;

/// A store under way.
pub(super) struct Store {
    content: Content,
    version: u64,
    /// How often it has started again: uploads of earlier attempts do not count.
    attempt: usize,
    /// Whom to try next, nearest keeper first.
    candidates: VecDeque<Contact>,
    /// All who could keep it.
    keepers: Vec<Contact>,
    moving: usize,
    copies: Vec<Id>,
    last_error: Option<MoveError>,
}

impl Store {
    pub fn new(content: Content) -> Store {
        Store {
            content,
            version: 1,
            attempt: 0,
            candidates: VecDeque::new(),
            keepers: Vec::new(),
            moving: 0,
            copies: Vec::new(),
            last_error: None,
        }
    }

    /// Somebody holds this already: the same bytes again are the same version, others a later one.
    pub fn supersede(&mut self, held: Option<Holding>) {
        if let Some(held) = held {
            let next = if held.content == self.content { held.version } else { held.version.saturating_add(1) };
            self.version = self.version.max(next);
        }
    }

    /// Somebody holds a later version than we thought: everybody gets one that supersedes it.
    fn start_again(&mut self, version: u64) {
        self.attempt += 1;
        self.version = self.version.max(version.saturating_add(1));
        self.copies.clear();
        self.candidates = self.keepers.clone().into();
    }
}

impl Peer {
    /// The keepers are found, the owner first.
    pub(super) fn store_at(&mut self, id: ErrandId, mut job: ErrandJob, keepers: Vec<Contact>) {
        let held = self.shelf.named(&job.name);
        let Goal::Store(store) = &mut job.goal else { unreachable!("only stores are stored") };
        store.supersede(held);
        store.candidates = keepers.iter().copied().collect();
        store.keepers = keepers;
        self.upload_on(id, job);
    }

    /// Starts as many uploads as copies are missing; ends the store when there is nobody left to try.
    fn upload_on(&mut self, id: ErrandId, mut job: ErrandJob) {
        let Goal::Store(store) = &mut job.goal else { unreachable!("only stores are stored") };
        let manifest = Manifest { name: job.name.clone(), version: store.version, content: store.content };
        let mut tasks = Vec::new();
        while store.copies.len() + store.moving < self.replicas
            && let Some(to) = store.candidates.pop_front()
        {
            store.moving += 1;
            let manifest = manifest.clone();
            let task = match to == self.me {
                true => Move::Keep { manifest, source: job.ticket },
                false => Move::Upload { manifest, source: Some(job.ticket), to },
            };
            tasks.push((MovePurpose::Store(id, to, store.attempt), task));
        }
        let ended = store.moving == 0;
        tasks.into_iter().for_each(|(purpose, task)| self.move_bytes(purpose, task));
        if ended { self.end_store(job, manifest) } else { drop(self.errands.insert(id, job)) }
    }

    fn end_store(&mut self, job: ErrandJob, manifest: Manifest) {
        let Goal::Store(mut store) = job.goal else { unreachable!("only stores are stored") };
        let geometry = self.overlay.geometry();
        let place = self.naming.place(&job.name);
        store.copies.sort_by_key(|copy| geometry.keeping(*copy, place));
        let wanted = self.replicas.min(store.keepers.len());
        let answer = match (store.copies.is_empty(), store.last_error) {
            (false, _) => Answer::Stored { manifest, copies: store.copies, wanted },
            (true, Some(error)) => Answer::Failed { name: job.name, reason: error.to_string() },
            (true, None) if !self.strangers.is_empty() => {
                let reason = "only nodes of other programs answer, and none of them takes files: start a second peer";
                Answer::Failed { name: job.name, reason: reason.to_owned() }
            }
            (true, None) => {
                let reason = "no peer that could keep it answers: try again in a moment".to_owned();
                Answer::Failed { name: job.name, reason }
            }
        };
        self.answer(job.ticket, answer);
    }

    /// An upload came to its end.
    pub(super) fn uploaded(
        &mut self,
        now: Moment,
        id: ErrandId,
        at: Contact,
        attempt: usize,
        outcome: Result<(), MoveError>,
    ) {
        if let Err(MoveError::Unreachable(_)) = outcome {
            self.verify_known(now, at);
        }
        let Some(mut job) = self.errands.remove(&id) else { return };
        let Goal::Store(store) = &mut job.goal else { unreachable!("only stores are stored") };
        store.moving -= 1;
        let mut kept_here = None;
        match outcome {
            _ if attempt != store.attempt => {}
            Ok(()) => {
                store.copies.push(at.id);
                let manifest = Manifest { name: job.name.clone(), version: store.version, content: store.content };
                kept_here = (at == self.me).then_some(manifest);
            }
            Err(MoveError::Outdated { version }) if store.attempt < MAX_RESTARTS => store.start_again(version),
            Err(error @ MoveError::Local(_)) if at != self.me => {
                // Our own file is gone: nobody can be given it.
                store.candidates.clear();
                store.last_error = Some(error);
            }
            Err(error) => store.last_error = Some(error),
        }
        if let Some(manifest) = kept_here {
            self.received(now, manifest);
        }
        self.upload_on(id, job);
    }
}
