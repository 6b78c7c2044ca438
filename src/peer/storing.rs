//! A store's bytes on their way to the keepers; and the word that a file is removed, which goes the same way.

use super::errands::{ErrandJob, Goal, Phase};
use super::*;
use crate::ground::{Content, Holding};

/// How often a store starts again because somebody has a later version.
const MAX_RESTARTS: usize = 3;

/// So long is remembered that a file was removed: a peer that comes back later brings it back. Guess.
const REMOVAL_LASTS: Duration = Duration::from_secs(30 * 24 * 3600);

/// So many of the peers nearest to a place know of a file, though fewer hold it.
const KNOWN_TO: usize = 8;

/// A store under way.
pub(super) struct Store {
    content: Content,
    ttl: Option<Duration>,
    /// The highest version heard of, and who holds it.
    before: Option<(Holding, Contact)>,
    manifest: Option<Manifest>,
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
    pub fn new(content: Content, ttl: Option<Duration>) -> Store {
        // As everybody will read it.
        let ttl = ttl.filter(|ttl| *ttl <= Manifest::MAX_TTL);
        let ttl = if content.is_removed() { Some(REMOVAL_LASTS) } else { ttl };
        Store {
            content,
            ttl,
            before: None,
            manifest: None,
            attempt: 0,
            candidates: VecDeque::new(),
            keepers: Vec::new(),
            moving: 0,
            copies: Vec::new(),
            last_error: None,
        }
    }

    /// It says that the file is removed.
    pub fn is_removal(&self) -> bool {
        self.content.is_removed()
    }

    /// Somebody holds this already. Nothing can follow the last version: who says to hold it is not heard, so that a liar
    /// cannot keep others from storing.
    pub fn supersede(&mut self, held: Option<Holding>, holder: Contact) {
        if let Some(held) = held.filter(|held| held.version < Manifest::MAX_VERSION)
            && self.before.is_none_or(|(before, _)| before.rank() < held.rank())
        {
            self.before = Some((held, holder));
        }
    }

    /// Somebody holds a later version than we thought: everybody gets one that supersedes it.
    fn start_again(&mut self, held: Holding, holder: Contact) {
        self.attempt += 1;
        self.supersede(Some(held), holder);
        self.copies.clear();
        self.manifest = None;
        self.candidates = self.keepers.clone().into();
    }

    /// Who holds these very bytes as the latest version.
    fn same_at(&self) -> Option<Contact> {
        self.before.filter(|(held, _)| held.content == self.content).map(|(_, holder)| holder)
    }
}

impl Peer {
    /// The keepers are found, the owner first.
    pub(super) fn store_at(&mut self, now: Moment, id: ErrandId, mut job: ErrandJob, keepers: Vec<Contact>) {
        let held = self.shelf.named(&job.name);
        let me = self.me;
        let Goal::Store(store) = &mut job.goal else { unreachable!("only stores are stored") };
        store.supersede(held, me);
        store.candidates = keepers.iter().copied().collect();
        store.keepers = keepers.clone();
        if store.is_removal() && store.before.is_none() && !keepers.is_empty() {
            // Whoever removes what nobody has is told so.
            let asked: Vec<Contact> = keepers.into_iter().filter(|keeper| keeper.id != me.id).take(KNOWN_TO).collect();
            if !asked.is_empty() {
                return self.ask_holders(now, id, job, asked);
            }
        }
        self.begin_uploads(id, job);
    }

    /// All who were asked what they hold have said so.
    pub(super) fn begin_uploads(&mut self, id: ErrandId, mut job: ErrandJob) {
        let Goal::Store(store) = &mut job.goal else { unreachable!("only stores are stored") };
        job.phase = Phase::Moving;
        let absence = match &store.before {
            None => Some(Absence::NeverStored),
            Some((held, _)) if held.content.is_removed() => Some(Absence::Removed),
            Some(_) => None,
        };
        if let Some(absence) = absence.filter(|_| store.is_removal()) {
            let asked = store.keepers.len().min(KNOWN_TO);
            return self.answer(job.ticket, Answer::NotFound { name: job.name, asked, absence });
        }
        // The same bytes again are the same version: its manifest is asked for, where we do not have it.
        match store.same_at() {
            Some(holder) => {
                let name = job.name.clone();
                self.errands.insert(id, job);
                let task = Move::Inspect { name, at: holder, verify: false };
                self.move_bytes(MovePurpose::Adopt(id), task);
            }
            None => self.upload_on(id, job),
        }
    }

    /// The holder of the same bytes has said which versions it has.
    pub(super) fn adopted(&mut self, id: ErrandId, outcome: Result<Vec<crate::ground::Copy>, MoveError>) {
        let Some(mut job) = self.errands.remove(&id) else { return };
        let Goal::Store(store) = &mut job.goal else { unreachable!("only stores are stored") };
        let copies = outcome.unwrap_or_default();
        let same = copies.into_iter().map(|copy| copy.manifest).find(|manifest| {
            store.before.is_some_and(|(held, _)| held.rank() == manifest.rank()) && manifest.name == job.name
        });
        store.manifest = same.map(|manifest| Manifest { ttl: store.ttl, ..manifest });
        self.upload_on(id, job);
    }

    /// Starts as many uploads as copies are missing; ends the store when there is nobody left to try.
    fn upload_on(&mut self, id: ErrandId, mut job: ErrandJob) {
        let Goal::Store(store) = &mut job.goal else { unreachable!("only stores are stored") };
        let next = || {
            let before = store.before.as_ref().map(|(held, _)| held);
            let manifest = Manifest::after(before, job.name.clone(), store.content, self.me.id);
            Manifest { ttl: store.ttl, ..manifest }
        };
        let manifest = store.manifest.clone().unwrap_or_else(next);
        store.manifest = Some(manifest.clone());
        let mut tasks = Vec::new();
        while store.copies.len() + store.moving < self.replicas
            && let Some(to) = store.candidates.pop_front()
        {
            store.moving += 1;
            let manifest = manifest.clone();
            let task = match to == self.me {
                true => Move::Keep { manifest, source: job.ticket },
                false => Move::Upload { manifest, left: store.ttl, source: Some(job.ticket), to },
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
        let replaces = store.before.is_some_and(|(held, _)| !held.content.is_removed());
        let answer = match (store.copies.is_empty(), store.last_error) {
            (false, _) => {
                self.make_known(manifest.holding(), &store.keepers);
                Answer::Stored { manifest, replaces, copies: store.copies, wanted }
            }
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

    /// Those who would keep a file if its keepers were gone hear of it.
    fn make_known(&mut self, file: Holding, keepers: &[Contact]) {
        for keeper in keepers.iter().take(KNOWN_TO).skip(self.replicas) {
            if *keeper == self.me {
                self.known.remember(file);
            } else {
                self.told.push((*keeper, file));
            }
        }
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
                kept_here = store.manifest.clone().filter(|_| at == self.me);
            }
            Err(MoveError::Outdated(held)) if store.attempt < MAX_RESTARTS => store.start_again(held, at),
            Err(error @ MoveError::Local(_)) if at != self.me => {
                // Our own file is gone: nobody can be given it.
                store.candidates.clear();
                store.last_error = Some(error);
            }
            Err(error) => store.last_error = Some(error),
        }
        if let Some(manifest) = kept_here {
            let left = manifest.ttl;
            self.received(now, manifest, left);
        }
        self.upload_on(id, job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::record;

    #[test]
    fn what_a_store_makes_can_be_read_whatever_is_claimed() {
        let holder = Contact { id: Id::ZERO, addr: SocketAddr::from(([127, 0, 0, 1], 1)) };
        let name = FileName::parse("4103").unwrap();
        let content = Content { hash: [7; Content::HASH_LEN], len_bytes: 1 };
        for claimed in [1, Manifest::MAX_VERSION - 1, Manifest::MAX_VERSION] {
            let mut store = Store::new(content, Some(Duration::from_secs(u64::MAX)));
            let held = Holding { version: claimed, ..Holding::any(name.key()) };
            store.supersede(Some(held), holder);
            let before = store.before.as_ref().map(|(held, _)| held);
            assert_eq!(before.is_some(), claimed < Manifest::MAX_VERSION, "nothing follows the last");
            let next = Manifest::after(before, name.clone(), content, Id::ZERO);
            let made = Manifest { ttl: store.ttl, ..next };
            assert_eq!(record::decode(&record::encode(&made)), Ok(made));
            let last = Manifest::after(Some(&held), name.clone(), content, Id::ZERO);
            assert!(record::decode(&record::encode(&last)).is_ok());
        }
    }
}
