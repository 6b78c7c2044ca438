//! Keeping the overlay whole: its chores, lookups for what is learnt on the way, and news of changed successors.

use super::search::{Asks, Search, Want};
use super::*;
use crate::ground::krpc::{self, Ping};
use crate::overlay::{Chore, Near};

/// Most lookups for upkeep at once. More wait for the next time they are due.
const MAX_REFRESHES: usize = 16;

/// Time from becoming a member to telling all neighbours. Guess: the first two have told people by then.
const INTRODUCE_AFTER: Duration = Duration::from_secs(1);

/// Counts the lookups made for upkeep.
pub(super) type RefreshId = u64;

/// What upkeep remembers.
pub(super) struct Upkeep {
    /// The successors people were told of last.
    told: Vec<Contact>,
    /// How the overlay was when changes were told last.
    told_as_of: Option<u64>,
    /// When to tell all neighbours that we have joined.
    introduce_at: Moment,
    refreshes: BTreeMap<RefreshId, Refresh>,
    last_refresh: RefreshId,
}

struct Refresh {
    search: Search,
    /// A file whose keepers are looked for.
    file: Option<Id>,
}

impl Upkeep {
    pub fn new(overlay: &dyn Overlay) -> Upkeep {
        Upkeep {
            told: overlay.shown(),
            told_as_of: None,
            introduce_at: Moment::NEVER,
            refreshes: BTreeMap::new(),
            last_refresh: 0,
        }
    }
}

impl Peer {
    pub(super) fn upkeep_due(&self) -> Moment {
        self.overlay.due().min(self.liveness.due()).min(self.upkeep.introduce_at)
    }

    /// People were told that this peer is a successor of ours.
    pub(super) fn told(&self, id: Id) -> bool {
        self.upkeep.told.iter().any(|contact| contact.id == id)
    }

    pub(super) fn successors(&self) -> Successors {
        let shown = self.overlay.shown();
        let at = |index: usize| shown.get(index).map_or(self.me.id, |contact| contact.id);
        Successors { first: at(0), second: at(1) }
    }

    /// From now on, changes are told against what is the case now.
    pub(super) fn note_successors(&mut self) {
        self.upkeep.told = self.overlay.shown();
    }

    pub(super) fn tell_changes(&mut self, now: Moment) {
        if self.upkeep.told_as_of.replace(self.overlay.touched()) == Some(self.overlay.touched()) {
            return;
        }
        let shown = self.overlay.shown();
        if shown == self.upkeep.told || !self.overlay.settled() {
            return;
        }
        let before = self.upkeep.told.first().copied();
        let squeezed_in =
            shown.first().copied() != before && before.is_none_or(|before| self.overlay.contact(before.id).is_some());
        self.note_successors();
        self.news(News::SuccessorsChanged(self.successors()));
        if let (true, Some(watcher)) = (squeezed_in, self.overlay.watcher()) {
            self.ask(now, watcher, Question::Ping(Ping::Moved), Patience::Ping, Why::Notice(watcher));
        }
    }

    pub(super) fn do_chores(&mut self, now: Moment) {
        if self.liveness.due() <= now {
            self.ask_the_dead(now);
        }
        if self.upkeep.introduce_at <= now {
            self.upkeep.introduce_at = Moment::NEVER;
            let acquaintances = self.overlay.acquaintances();
            acquaintances.into_iter().for_each(|contact| self.greet(now, contact));
        }
        if self.overlay.due() > now {
            return;
        }
        for chore in self.overlay.chores(now) {
            match chore {
                Chore::Round(contacts) => self.send_round(now, contacts),
                Chore::Ping(contact) => self.verify(now, contact),
                Chore::Consult(contact) => self.consult(now, contact),
                Chore::LookUp(target) => {
                    for v6 in self.networks() {
                        let search = Search::by_outsider(&*self.overlay, target, Asks::Nodes(None), v6);
                        self.start_refresh(now, search.with_myself(self.me), None);
                    }
                }
            }
        }
    }

    fn send_round(&mut self, now: Moment, contacts: Vec<Contact>) {
        self.rpc.forget(|why| matches!(why, Why::Round(contact) if self.liveness.awaits(contact.id)));
        self.news(News::PingsSent(contacts.iter().map(|contact| contact.id).collect()));
        for contact in contacts {
            let patience = self.liveness.patience_with(contact.id);
            self.ask(now, contact, Question::Ping(Ping::Shown), patience, Why::Round(contact));
        }
    }

    /// A quiet ping of ours is a notice: who should know us asks back.
    pub(super) fn greet(&mut self, now: Moment, contact: Contact) {
        self.ask(now, contact, Question::Ping(Ping::Quiet), Patience::Ping, Why::Notice(contact));
    }

    /// We have just joined: first those beside us learn of it and tell people, then all who have us in their lists.
    pub(super) fn introduce_ourselves(&mut self, now: Moment, watcher: Contact) {
        self.greet(now, watcher);
        if let Some(successor) = self.overlay.shown().into_iter().next().filter(|successor| *successor != watcher) {
            self.greet(now, successor);
        }
        self.upkeep.introduce_at = now + INTRODUCE_AFTER;
    }

    /// Asks a contact whom it knows near us.
    pub(super) fn consult(&mut self, now: Moment, contact: Contact) {
        let question = Question::FindNode { target: self.me.id, errand: None };
        self.rpc.forget(|why| matches!(why, Why::Consult(c) if *c == contact && self.liveness.awaits(c.id)));
        let patience = self.liveness.patience_with(contact.id);
        self.ask(now, contact, question, patience, Why::Consult(contact));
    }

    /// It named these.
    pub(super) fn learn(&mut self, now: Moment, from: Contact, answer: &krpc::Answer) {
        let near_us = self.near_us(answer);
        self.verify_hearsay(now, &near_us.contacts);
        for doubtful in self.overlay.consulted(from.id, &near_us) {
            self.verify(now, doubtful);
        }
    }

    /// What an answer says of our surroundings, apart from ourselves.
    pub(super) fn near_us(&self, answer: &krpc::Answer) -> Near {
        let krpc::Answer { nodes, gapless, everybody, .. } = answer;
        // Who says that more follow than it names says nothing.
        let gapless = if *gapless > nodes.len() { 0 } else { *gapless };
        Near { contacts: nodes.clone(), gapless, everybody: *everybody }.without(|contact| contact.id == self.me.id)
    }

    /// Looks our own surroundings up, starting at `contact`.
    pub(super) fn refresh_from(&mut self, now: Moment, contact: Contact) {
        let search = Search::for_myself(&*self.overlay, self.me.id, contact, None);
        self.start_refresh(now, search, None);
    }

    /// Looks for those who keep what belongs at `place`, to offer them the file with this key.
    pub(super) fn refresh_keepers(&mut self, now: Moment, place: Id, key: Id) -> bool {
        let search = Search::by_member(&*self.overlay, self.me, place, Asks::Nodes(None)).thorough();
        self.start_refresh(now, search, Some(key))
    }

    fn start_refresh(&mut self, now: Moment, search: Search, file: Option<Id>) -> bool {
        if self.upkeep.refreshes.len() >= MAX_REFRESHES {
            return false;
        }
        self.upkeep.last_refresh += 1;
        let id = self.upkeep.last_refresh;
        self.go_on_refreshing(now, id, Refresh { search, file });
        true
    }

    fn go_on_refreshing(&mut self, now: Moment, id: RefreshId, mut refresh: Refresh) {
        loop {
            match refresh.search.want(&*self.overlay, self.me.id) {
                Want::Ask(contact, question) => {
                    self.ask(now, contact, question, Patience::Search, Why::Refresh(id, contact));
                }
                Want::Wait => break drop(self.upkeep.refreshes.insert(id, refresh)),
                Want::Done => {
                    if let Some(key) = refresh.file {
                        let keepers: Vec<Contact> = self.keepers_found(&refresh.search).take(self.replicas).collect();
                        self.offer_to(key, &keepers);
                    }
                    break;
                }
            }
        }
    }

    pub(super) fn refresh_answered(&mut self, now: Moment, id: RefreshId, contact: Contact, named: &[Contact]) {
        self.verify_hearsay(now, named);
        let Some(mut refresh) = self.upkeep.refreshes.remove(&id) else { return };
        let others: Vec<Contact> = named.iter().copied().filter(|named| named.id != self.me.id).collect();
        refresh.search.answered(contact.id, &others);
        self.go_on_refreshing(now, id, refresh);
    }

    pub(super) fn refresh_late(&mut self, now: Moment, id: RefreshId, contact: Contact, attempts: u32) {
        let Some(mut refresh) = self.upkeep.refreshes.remove(&id) else { return };
        refresh.search.late(contact.id, attempts);
        self.go_on_refreshing(now, id, refresh);
    }

    pub(super) fn refresh_unanswered(&mut self, now: Moment, id: RefreshId, contact: Contact) {
        let Some(mut refresh) = self.upkeep.refreshes.remove(&id) else { return };
        refresh.search.failed(contact.id);
        self.go_on_refreshing(now, id, refresh);
    }
}
