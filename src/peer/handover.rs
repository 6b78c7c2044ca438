//! Files follow the network: whoever shall keep a file is offered it, and who need not keep it lets go.
//!
//! Each holder works out who the keepers of its files are now, asks those who have not confirmed them whether they hold
//! these versions (see `comparing`), and uploads what is lacking. The owner does so at once, the next keeper a moment
//! later, and so on: the later ones mostly find it done. A holder that is no keeper any more drops its copies only after
//! all keepers confirmed. What a peer held that died is not made anew at once where it is large, as long as two copies
//! are left: most who vanish come back.

use super::comparing::Comparing;
use super::*;
use crate::ground::{BUSY, Holding};

/// Time from a change in the neighbourhood to the first offers: changes come in bursts.
const SETTLE: Duration = Duration::from_millis(300);
/// Each further keeper in line waits this much longer with its offers.
const TURN: Duration = Duration::from_millis(1500);
/// All keepers are asked again about everything this often. Guess.
const RECHECK_EVERY: Duration = Duration::from_secs(120);
/// Time to the next offer of a file after a failed one.
const RETRY: Duration = Duration::from_secs(5);
/// Who died has time to come back before its copy is made anew: the longer the more there is to be moved, a second for so
/// many bytes. What is small is moved at once: waiting would cost more safety than moving costs bandwidth.
const SPARED_BYTES_PER_SECOND: f64 = 1e6;
/// But no more than this. Guess: a restart, or a cable put back.
const SPARED: Duration = Duration::from_secs(60);
/// Most uploads for this purpose at once.
const MAX_UPLOADS: usize = 4;
/// Bytes uploaded for this purpose in a second, on average: repair must leave room for people. Guess: a third of a
/// gigabit line. Last copies and departures do not wait for it.
const BYTES_PER_SECOND: f64 = 40e6;

/// The state of handing over.
pub(super) struct Handover {
    /// When which file is to be looked at.
    agenda: BTreeSet<(Moment, Id)>,
    /// What a keeper wants from us.
    wanted: VecDeque<(Contact, Holding)>,
    pub comparing: Comparing,
    uploads: BTreeSet<(Id, Id, u64)>,
    /// Who has not taken which file from us, while we leave.
    refused: BTreeSet<(Id, Id)>,
    changes_seen: u64,
    recheck_at: Moment,
    /// When the next upload may begin.
    free_at: Moment,
}

impl Handover {
    pub fn new(now: Moment) -> Handover {
        Handover {
            agenda: BTreeSet::new(),
            wanted: VecDeque::new(),
            comparing: Comparing::default(),
            uploads: BTreeSet::new(),
            refused: BTreeSet::new(),
            changes_seen: 0,
            recheck_at: now + RECHECK_EVERY,
            free_at: now,
        }
    }

    /// Nothing is being asked or moved, and nothing is waiting to be.
    pub fn is_idle(&self) -> bool {
        self.agenda.is_empty() && self.wanted.is_empty() && self.comparing.is_idle() && self.uploads.is_empty()
    }

    fn may_upload(&self, now: Moment, hurry: bool) -> bool {
        self.uploads.len() < MAX_UPLOADS && (hurry || self.free_at <= now)
    }
}

impl Peer {
    pub(super) fn handover_due(&self) -> Moment {
        if self.shelf.is_empty() || self.standing == Standing::Joining {
            return Moment::NEVER;
        }
        let handover = &self.handover;
        let next = handover.agenda.first().map_or(Moment::NEVER, |(at, _)| *at);
        let next = if handover.comparing.is_busy() { Moment::NEVER } else { next.min(handover.recheck_at) };
        let waits = !handover.wanted.is_empty() && handover.uploads.len() < MAX_UPLOADS;
        next.min(self.shelf.due()).min(if waits { handover.free_at } else { Moment::NEVER })
    }

    /// Somebody's upload arrived in our store.
    pub(super) fn received(&mut self, now: Moment, manifest: Manifest, left: Option<Duration>) {
        let key = manifest.name.key();
        self.shelf.put(manifest, left.map_or(Moment::NEVER, |left| now + left));
        self.announcing.plan(now, key);
        self.plan(now, key);
    }

    /// Every file is to be looked at, each in its turn.
    pub(super) fn plan_all(&mut self, now: Moment) {
        self.handover.agenda.clear();
        let keys: Vec<Id> = self.shelf.keys().collect();
        keys.into_iter().for_each(|key| self.plan(now, key));
    }

    fn plan(&mut self, now: Moment, key: Id) {
        let Some(held) = self.shelf.best(key) else { return };
        let place = self.naming.place(&held.name);
        let keepers = self.overlay.keepers(place, self.replicas, &self.strangers).unwrap_or_default();
        let turn = keepers.iter().position(|id| *id == self.me.id).unwrap_or(self.replicas);
        self.handover.agenda.insert((now + SETTLE + TURN * turn as u32, key));
    }

    /// What is planned for later is due now.
    pub(super) fn handover_now(&mut self, now: Moment) {
        self.shelf.doubt_all();
        self.handover.agenda = self.shelf.keys().map(|key| (now, key)).collect();
    }

    /// Somebody is dead or gone: its copies do not count any more.
    pub(super) fn distrust(&mut self, now: Moment, gone: Id) {
        let spared = |manifest: &Manifest| {
            SPARED.min(Duration::from_secs_f64(manifest.content.len_bytes as f64 / SPARED_BYTES_PER_SECOND))
        };
        self.shelf.distrust(gone, |manifest| now + spared(manifest));
    }

    /// Fewer keep these files than should: all are asked again, now.
    pub(super) fn mend(&mut self, now: Moment, files: &[Holding]) {
        if self.handover.comparing.is_busy() {
            // Anybody may say so, and work is not to heap up; whoever means it says it again.
            return;
        }
        for file in files {
            let mut known = false;
            for (_, note) in self.shelf.versions_mut(file.key) {
                note.confirmed.clear();
                note.spare_until = Moment::START;
                known = true;
            }
            if known {
                self.handover.agenda.insert((now, file.key));
            }
        }
    }

    /// A copy of ours is not what it was: those who have others are asked for one. It stays until that has come: where all
    /// copies are damaged, each in another place, what is good in them makes a whole one.
    pub(super) fn damaged(&mut self, now: Moment, manifest: &Manifest) {
        let holding = manifest.holding();
        if !self.shelf.set_damaged(&holding) {
            return;
        }
        let place = self.naming.place(&manifest.name);
        let keepers = self.overlay.keepers(place, self.replicas + 1, &self.strangers).unwrap_or_default();
        let keepers: Vec<Contact> = keepers.into_iter().filter_map(|id| self.overlay.contact(id)).collect();
        for keeper in keepers {
            self.ask(now, keeper, Question::Mend(vec![holding]), Patience::Search, Why::Told);
        }
    }

    /// Does what is due.
    pub(super) fn hand_over(&mut self, now: Moment) {
        let changes = self.overlay.changes();
        if self.standing == Standing::Joining || self.standing == Standing::Gone {
            return;
        }
        for manifest in self.shelf.take_expired(now) {
            self.out.push_back(Output::Forget(manifest));
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
        if !self.handover.comparing.is_busy() {
            self.look_at_due(now);
        }
        self.go_on_comparing(now);
        while let Some((_, file)) = self.handover.wanted.front()
            && self.handover.may_upload(now, self.leaving.is_some() || self.is_last_copy(file))
            && let Some((to, file)) = self.handover.wanted.pop_front()
        {
            self.upload_to(now, to, &file);
        }
    }

    /// Nobody else is known to hold it.
    fn is_last_copy(&self, file: &Holding) -> bool {
        self.shelf.get(file).is_some_and(|(_, note)| note.is_last_copy())
    }

    /// Looks at the files now due: who of their keepers is to be asked, and which need not be ours any more.
    fn look_at_due(&mut self, now: Moment) {
        let mut offers: BTreeMap<Contact, Vec<Holding>> = BTreeMap::new();
        // Each once, however often it is due: who asks for the same again and again gets no more work done.
        let mut due = BTreeSet::new();
        while let Some((at, key)) = self.handover.agenda.first().copied().filter(|(at, _)| *at <= now) {
            self.handover.agenda.remove(&(at, key));
            due.insert(key);
        }
        for key in due {
            let Some(held) = self.shelf.best(key) else { continue };
            let place = self.naming.place(&held.name);
            let Some(keepers) = self.keepers_to_be(place) else {
                if !self.refresh_keepers(now, place, key) {
                    self.handover.agenda.insert((now + self.retry(), key));
                }
                continue;
            };
            let others: Vec<Contact> = keepers.iter().filter_map(|id| self.overlay.contact(*id)).collect();
            let keeps = keepers.contains(&self.me.id) || others.len() < keepers.len();
            for (contact, holding) in self.lacking(key, &others, keeps) {
                offers.entry(contact).or_default().push(holding);
            }
        }
        for (contact, files) in offers {
            self.handover.comparing.plan(contact, files);
        }
    }

    /// Which versions of a file are not known to be with these keepers. If there are none, and we need not keep it, we
    /// let go.
    fn lacking(&mut self, key: Id, keepers: &[Contact], keep: bool) -> Vec<(Contact, Holding)> {
        let mut lacking = Vec::new();
        for (manifest, note) in self.shelf.versions(key) {
            let unconfirmed = keepers.iter().filter(|keeper| keeper.id != self.me.id);
            let unconfirmed = unconfirmed.filter(|keeper| !note.confirmed.contains(&keeper.id));
            lacking.extend(unconfirmed.map(|keeper| (*keeper, manifest.holding())));
        }
        if lacking.is_empty() && !keep {
            self.let_go(key);
        }
        lacking
    }

    /// Whether somebody who shall keep it may still take this file, of which nobody else has a copy. Then it is worth waiting.
    pub(super) fn may_be_taken(&self, file: &Manifest) -> bool {
        let takes = |id: &Id| !self.handover.refused.contains(&(*id, file.name.key()));
        self.keepers_to_be(self.naming.place(&file.name)).is_none_or(|keepers| keepers.iter().any(takes))
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
    pub(super) fn offer_to(&mut self, key: Id, keepers: &[Contact]) {
        let keep = keepers.is_empty() || keepers.contains(&self.me);
        for (contact, holding) in self.lacking(key, keepers, keep) {
            self.handover.comparing.plan(contact, vec![holding]);
        }
    }

    /// It said that it holds this, or what ends it.
    pub(super) fn confirmed(&mut self, now: Moment, by: Id, file: &Holding) {
        if let Some((_, note)) = self.shelf.get_mut(file) {
            note.confirm(by);
            self.look_again(now, file.key);
        }
    }

    /// It said that it does not hold this.
    pub(super) fn lacks(&mut self, now: Moment, by: Contact, file: &Holding) {
        let Some((_, note)) = self.shelf.get_mut(file) else { return };
        note.doubted.remove(&by.id);
        if note.spare_until > now && self.leaving.is_none() {
            self.handover.agenda.insert((note.spare_until, file.key));
        } else if !self.handover.wanted.contains(&(by, *file)) {
            self.handover.wanted.push_back((by, *file));
        }
    }

    /// It did not say anything.
    pub(super) fn offer_again(&mut self, now: Moment, files: &[Holding]) {
        let retry = now + self.retry();
        self.handover.agenda.extend(files.iter().map(|file| (retry, file.key)));
    }

    fn upload_to(&mut self, now: Moment, to: Contact, file: &Holding) {
        let Some((manifest, note)) = self.shelf.get(file) else { return };
        let manifest = manifest.clone();
        let left = (note.expires != Moment::NEVER).then(|| note.expires.since(now));
        if !self.handover.uploads.insert((to.id, file.key, file.version)) {
            return;
        }
        if !self.is_last_copy(file) {
            let time = Duration::from_secs_f64(file.content.len_bytes as f64 / BYTES_PER_SECOND);
            self.handover.free_at = self.handover.free_at.max(now) + time;
        }
        let task = Move::Upload { manifest, left, source: None, to };
        self.move_bytes(MovePurpose::Handover(to, *file), task);
    }

    pub(super) fn handed_over(&mut self, now: Moment, to: Contact, file: &Holding, outcome: Result<(), MoveError>) {
        self.handover.uploads.remove(&(to.id, file.key, file.version));
        match outcome {
            Ok(()) | Err(MoveError::Outdated(_)) => self.confirmed(now, to.id, file),
            Err(error) => {
                let is_damaged = self.shelf.get(file).is_some_and(|(_, note)| note.damaged);
                let is_final = match error {
                    MoveError::Unreachable(_) => {
                        self.verify_known(now, to);
                        false
                    }
                    MoveError::Refused(reason) => reason != BUSY,
                    // On its way, if our copy is good.
                    MoveError::Damaged => is_damaged,
                    MoveError::Missing | MoveError::Local(_) => true,
                    MoveError::Outdated(_) => unreachable!("that is as good as taken"),
                };
                if is_final && self.leaving.is_some() {
                    self.handover.refused.insert((to.id, file.key));
                }
                // What is damaged here is given for the sake of what is not; there is nothing new to give soon.
                let retry = if is_damaged { RECHECK_EVERY } else { self.retry() };
                self.handover.agenda.insert((now + retry, file.key));
            }
        }
    }

    /// Who leaves has no time to wait.
    fn retry(&self) -> Duration {
        if self.leaving.is_some() { SETTLE } else { RETRY }
    }

    /// A copy that we need not keep is looked at again when somebody confirmed to have it: it may be the last word.
    fn look_again(&mut self, now: Moment, key: Id) {
        let Some(held) = self.shelf.best(key) else { return };
        if self.standing != Standing::Member || self.leaving.is_some() {
            return;
        }
        let keepers = self.overlay.keepers(self.naming.place(&held.name), self.replicas, &self.strangers);
        if keepers.is_none_or(|keepers| !keepers.contains(&self.me.id)) {
            self.handover.agenda.insert((now + SETTLE, key));
        }
    }

    fn let_go(&mut self, key: Id) {
        if self.leaving.is_some() {
            return;
        }
        if let Some(best) = self.shelf.holding(key) {
            self.known.remember(best);
        }
        for manifest in self.shelf.remove(key) {
            self.out.push_back(Output::Forget(manifest));
        }
    }
}
