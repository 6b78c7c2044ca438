//! Files follow the ring: whoever shall keep a file is offered it, and who need not keep it lets go.
//!
//! Each holder works out who the keepers of its files are now, asks those who have not confirmed it whether they hold
//! this version, and uploads what is lacking. The owner does so at once, the next keeper a moment later, and so on: the
//! later ones mostly find it done. A holder that is no keeper any more drops its copy only after all keepers confirmed.

use super::*;
use crate::ground::Holding;
use crate::ground::krpc::MAX_FILES;
use std::collections::BTreeSet;

/// Time from a change in the neighbourhood to the first offers: changes come in bursts.
const SETTLE: Duration = Duration::from_millis(300);
/// Each further keeper in line waits this much longer with its offers.
const TURN: Duration = Duration::from_millis(1500);
/// All keepers are asked again about everything this often. Guess.
const RECHECK_EVERY: Duration = Duration::from_secs(120);
/// Time to the next offer of a file after a failed one.
const RETRY: Duration = Duration::from_secs(5);
/// Most uploads for this purpose at once.
const MAX_UPLOADS: usize = 4;
/// Most questions about files at once.
const MAX_OFFERS: usize = 16;

/// The state of handing over.
pub(super) struct Handover {
    /// When which file is to be looked at.
    agenda: BTreeSet<(Moment, Id)>,
    /// What a keeper wants from us.
    wanted: VecDeque<(Contact, Id)>,
    open_offers: usize,
    uploads: BTreeSet<(Id, Id)>,
    changes_seen: u64,
    recheck_at: Moment,
}

impl Handover {
    pub fn new(now: Moment) -> Handover {
        Handover {
            agenda: BTreeSet::new(),
            wanted: VecDeque::new(),
            open_offers: 0,
            uploads: BTreeSet::new(),
            changes_seen: 0,
            recheck_at: now + RECHECK_EVERY,
        }
    }

    /// Nothing is being asked or moved, and nothing is waiting to be.
    pub fn is_idle(&self) -> bool {
        self.agenda.is_empty() && self.wanted.is_empty() && self.open_offers == 0 && self.uploads.is_empty()
    }
}

impl Peer {
    pub(super) fn handover_due(&self) -> Moment {
        if self.shelf.len() == 0 || self.standing == Standing::Joining {
            return Moment::NEVER;
        }
        let busy = self.handover.open_offers >= MAX_OFFERS;
        let next = self.handover.agenda.first().map_or(Moment::NEVER, |(at, _)| *at);
        if busy { Moment::NEVER } else { next.min(self.handover.recheck_at) }
    }

    /// Somebody's upload arrived in our store.
    pub(super) fn received(&mut self, now: Moment, manifest: Manifest) {
        let key = manifest.name.key();
        self.shelf.put(manifest);
        self.announcing.plan(now, key);
        self.plan(now, key);
    }

    /// Every file is to be looked at, each in its turn.
    pub(super) fn plan_all(&mut self, now: Moment) {
        self.handover.agenda.clear();
        let keys: Vec<Id> = self.shelf.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.plan(now, key));
    }

    fn plan(&mut self, now: Moment, key: Id) {
        let Some(held) = self.shelf.get(key) else { return };
        let place = self.naming.place(&held.manifest.name);
        let keepers = self.overlay.keepers(place, self.replicas, &self.strangers).unwrap_or_default();
        let turn = keepers.iter().position(|id| *id == self.me.id).unwrap_or(self.replicas);
        self.handover.agenda.insert((now + SETTLE + TURN * turn as u32, key));
    }

    /// What is planned for later is due now.
    pub(super) fn handover_now(&mut self, now: Moment) {
        self.shelf.doubt_all();
        let keys: Vec<Id> = self.shelf.iter().map(|(key, _)| key).collect();
        self.handover.agenda = keys.into_iter().map(|key| (now, key)).collect();
    }

    /// Does what is due.
    pub(super) fn hand_over(&mut self, now: Moment) {
        let changes = self.overlay.changes();
        if self.standing == Standing::Joining || self.standing == Standing::Gone {
            return;
        }
        if changes != self.handover.changes_seen && self.standing == Standing::Member {
            self.handover.changes_seen = changes;
            if self.leaving.is_some() { self.handover_now(now) } else { self.plan_all(now) }
        }
        if now >= self.handover.recheck_at {
            self.handover.recheck_at = now + self.chance.around(RECHECK_EVERY);
            self.shelf.doubt_all();
            self.plan_all(now);
        }
        while self.handover.open_offers < MAX_OFFERS && self.offer_due(now) {}
        while self.handover.uploads.len() < MAX_UPLOADS
            && let Some((to, key)) = self.handover.wanted.pop_front()
        {
            self.upload_to(to, key);
        }
    }

    /// Takes the files now due from the agenda; false when there was none.
    fn offer_due(&mut self, now: Moment) -> bool {
        let mut offers: BTreeMap<Contact, Vec<Holding>> = BTreeMap::new();
        let mut any = false;
        while let Some((at, key)) = self.handover.agenda.first().copied().filter(|(at, _)| *at <= now) {
            self.handover.agenda.remove(&(at, key));
            any = true;
            let Some(held) = self.shelf.get(key) else { continue };
            let place = self.naming.place(&held.manifest.name);
            let Some(keepers) = self.keepers_to_be(place) else {
                if !self.refresh_keepers(now, place, key) {
                    self.handover.agenda.insert((now + self.retry(), key));
                }
                continue;
            };
            let lacking = keepers.iter().filter(|id| **id != self.me.id && !held.confirmed.contains(id));
            let lacking: Vec<Contact> = lacking.filter_map(|id| self.overlay.contact(*id)).collect();
            if lacking.is_empty() && !keepers.contains(&self.me.id) {
                self.let_go(key);
                continue;
            }
            let holding = held.manifest.holding();
            for contact in lacking {
                let batch = offers.entry(contact).or_default();
                batch.push(holding);
                if batch.len() == MAX_FILES {
                    let batch = std::mem::take(batch);
                    self.offer(now, contact, batch);
                }
            }
            if self.handover.open_offers + offers.len() >= MAX_OFFERS {
                break;
            }
        }
        for (contact, batch) in offers {
            if !batch.is_empty() {
                self.offer(now, contact, batch);
            }
        }
        any
    }

    /// Who shall keep what belongs at `place`: after our departure, if that is what we are about.
    fn keepers_to_be(&self, place: Id) -> Option<Vec<Id>> {
        if self.leaving.is_none() {
            return self.overlay.keepers(place, self.replicas, &self.strangers);
        }
        let mut keepers = self.overlay.keepers(place, self.replicas + 1, &self.strangers)?;
        keepers.retain(|id| *id != self.me.id);
        keepers.truncate(self.replicas);
        Some(keepers)
    }

    /// A search found who keeps a file of ours that belongs far away.
    pub(super) fn offer_to(&mut self, now: Moment, key: Id, keepers: &[Contact]) {
        let Some(held) = self.shelf.get(key) else { return };
        let holding = held.manifest.holding();
        let others = keepers.iter().filter(|keeper| keeper.id != self.me.id);
        let lacking: Vec<Contact> = others.filter(|keeper| !held.confirmed.contains(&keeper.id)).copied().collect();
        if lacking.is_empty() && !keepers.is_empty() && !keepers.contains(&self.me) {
            self.let_go(key);
        }
        for contact in lacking {
            self.offer(now, contact, vec![holding]);
        }
    }

    fn offer(&mut self, now: Moment, to: Contact, files: Vec<Holding>) {
        self.handover.open_offers += 1;
        let keys = files.iter().map(|file| file.key).collect();
        self.ask(now, to, Question::Holds(files), Patience::Search, Why::Offer(to, keys));
    }

    pub(super) fn offer_answered(&mut self, now: Moment, from: Contact, keys: &[Id], there: &[Holding]) {
        self.handover.open_offers -= 1;
        for key in keys {
            let Some(held) = self.shelf.get_mut(*key) else { continue };
            let ours = held.manifest.holding().rank();
            if there.iter().any(|holding| holding.key == *key && holding.rank() >= ours) {
                held.confirmed.insert(from.id);
                self.look_again(now, *key);
            } else if !self.handover.wanted.contains(&(from, *key)) {
                self.handover.wanted.push_back((from, *key));
            }
        }
    }

    pub(super) fn offer_unanswered(&mut self, now: Moment, keys: &[Id]) {
        self.handover.open_offers -= 1;
        let retry = now + self.retry();
        self.handover.agenda.extend(keys.iter().map(|key| (retry, *key)));
    }

    fn upload_to(&mut self, to: Contact, key: Id) {
        let Some(held) = self.shelf.get(key) else { return };
        if !self.handover.uploads.insert((to.id, key)) {
            return;
        }
        let file = held.manifest.holding();
        let task = Move::Upload { manifest: held.manifest.clone(), source: None, to };
        self.move_bytes(MovePurpose::Handover(to, file), task);
    }

    pub(super) fn handed_over(&mut self, now: Moment, to: Contact, file: &Holding, outcome: Result<(), MoveError>) {
        let key = file.key;
        self.handover.uploads.remove(&(to.id, key));
        let replaced = self.shelf.holding(key) != Some(*file);
        match outcome {
            // What went out says nothing of the version that is here now.
            _ if replaced => drop(self.handover.agenda.insert((now, key))),
            Ok(()) | Err(MoveError::Outdated { .. }) => {
                if let Some(held) = self.shelf.get_mut(key) {
                    held.confirmed.insert(to.id);
                }
                self.look_again(now, key);
            }
            Err(error) => {
                if let MoveError::Unreachable(_) = error {
                    self.verify_known(now, to);
                }
                self.handover.agenda.insert((now + self.retry(), key));
            }
        }
    }

    /// Who leaves has no time to wait.
    fn retry(&self) -> Duration {
        if self.leaving.is_some() { SETTLE } else { RETRY }
    }

    /// A copy that we need not keep is looked at again when somebody confirmed to have it: it may be the last word.
    fn look_again(&mut self, now: Moment, key: Id) {
        let Some(held) = self.shelf.get(key) else { return };
        let place = self.naming.place(&held.manifest.name);
        if self.standing == Standing::Member
            && self.leaving.is_none()
            && self
                .overlay
                .keepers(place, self.replicas, &self.strangers)
                .is_none_or(|keepers| !keepers.contains(&self.me.id))
        {
            self.handover.agenda.insert((now + SETTLE, key));
        }
    }

    fn let_go(&mut self, key: Id) {
        if self.leaving.is_some() {
            return;
        }
        if let Some(manifest) = self.shelf.remove(key) {
            self.out.push_back(Output::Forget(manifest));
        }
    }
}
