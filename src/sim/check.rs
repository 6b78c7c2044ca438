//! What must be true of a ring, checked from outside, after every event, where something has changed.
//!
//! At each peer, always: it is not among its own contacts, and every contact stands where its id says. Of all
//! (Zave 2017): each member has a living successor in its list, and at least r + 1 members are *principals*, that is,
//! no member's extended list (itself, then its successors) skips them.

use super::{Host, PeerIndex, State};
use crate::ground::{Id, Moment};
use crate::overlay::RingTuning;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

/// From so many times r members on, r + 1 of them must be principals. A ring that is just growing from one has none to
/// spare.
const PRINCIPALS_FROM: usize = 4;

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// When.
    pub at: Moment,
    /// What, and by whom.
    pub rule: String,
}

/// The members, and what each was last seen to know.
#[derive(Default)]
pub(super) struct Checks {
    tuning: RingTuning,
    members: BTreeMap<Id, PeerIndex>,
    /// By the peer's index.
    seen: Vec<Seen>,
    skips: BTreeMap<Id, BTreeSet<Id>>,
    skipped: BTreeMap<Id, usize>,
    suspended: bool,
    /// It is no ring: only who is a member is kept.
    off: bool,
    broken: Option<Broken>,
}

/// How a peer was when it was last looked at.
#[derive(Clone, Default)]
struct Seen {
    /// It stands among the members.
    member: bool,
    changes: Option<u64>,
    /// The beginnings of the ids of its next contacts.
    next: Vec<u64>,
}

impl Checks {
    pub fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    pub fn members(&self) -> impl Iterator<Item = PeerIndex> {
        self.members.values().copied()
    }

    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    pub fn is_member(&self, id: Id, at: PeerIndex) -> bool {
        self.members.get(&id) == Some(&at)
    }

    /// The member with the fewest leading bits that differ from a key.
    pub fn nearest(&self, key: Id) -> Option<PeerIndex> {
        self.members.iter().min_by_key(|(id, _)| id.xor(key)).map(|(_, at)| *at)
    }

    pub fn owner(&self, place: Id) -> Option<PeerIndex> {
        self.members.range(place..).next().or(self.members.first_key_value()).map(|(_, at)| *at)
    }

    /// How long lists are.
    pub fn expect(&mut self, tuning: RingTuning) {
        self.tuning = tuning;
    }

    pub fn switch_off(&mut self) {
        self.off = true;
    }

    pub fn suspend(&mut self) {
        self.suspended = true;
    }

    pub fn resume(&mut self, now: Moment, hosts: &[Host]) {
        self.suspended = false;
        self.look_at_all(now, hosts);
    }

    /// A peer has died: those before it are looked at, and all who count on it.
    pub fn died(&mut self, now: Moment, id: Id, hosts: &[Host]) {
        self.gone(id);
        if self.off {
            return;
        }
        let counts_on_it = |at: &PeerIndex| self.seen[*at].next.contains(&id.beginning());
        let mut affected: BTreeSet<PeerIndex> = self.members().filter(counts_on_it).collect();
        affected.extend(self.before(id));
        affected.into_iter().for_each(|at| self.examine(now, at, hosts));
    }

    /// Those members who should have this one in their lists, and some more.
    fn before(&self, id: Id) -> impl Iterator<Item = PeerIndex> {
        let before = self.members.range(..id).rev().chain(self.members.range(id..).rev());
        before.take(self.tuning.list_len + 4).map(|(_, at)| *at)
    }

    /// A peer is no member any more.
    fn gone(&mut self, id: Id) {
        if let Some(at) = self.members.remove(&id) {
            self.seen[at].member = false;
        }
        self.forget_skips(id);
    }

    pub fn look_at_all(&mut self, now: Moment, hosts: &[Host]) {
        let members: Vec<PeerIndex> = self.members().collect();
        members.into_iter().for_each(|at| self.examine(now, at, hosts));
    }

    /// A peer was told something.
    pub fn look_at(&mut self, now: Moment, at: PeerIndex, hosts: &[Host]) {
        if self.seen.len() < hosts.len() {
            self.seen.resize(hosts.len(), Seen::default());
        }
        let host = &hosts[at];
        let (is_member, was_member) = (host.is_member(), self.seen[at].member);
        if is_member && !was_member {
            self.enter(now, at, hosts);
        } else if !is_member && was_member {
            self.gone(host.peer.id());
        }
        let changes = Some(host.peer.changes());
        if is_member && self.seen[at].changes != changes {
            self.seen[at].changes = changes;
            self.examine(now, at, hosts);
        }
    }

    /// A member more: those before it should have it in their lists.
    fn enter(&mut self, now: Moment, at: PeerIndex, hosts: &[Host]) {
        let id = hosts[at].peer.id();
        if let Some(instead_of) = self.members.insert(id, at) {
            self.seen[instead_of].member = false;
        }
        self.seen[at].member = true;
        if self.off {
            return;
        }
        let affected: Vec<PeerIndex> = self.before(id).collect();
        affected.into_iter().for_each(|at| self.examine(now, at, hosts));
    }

    fn examine(&mut self, now: Moment, at: PeerIndex, hosts: &[Host]) {
        if self.off {
            return;
        }
        let peer = &hosts[at].peer;
        let (me, contacts) = (peer.id(), peer.contacts());
        let clockwise = contacts.iter().map(|contact| me.clockwise_to(contact.id));
        if clockwise.clone().next() == Some(Id::ZERO) || !clockwise.is_sorted_by(|one, next| one < next) {
            self.break_rule(now, format!("{me:?} has contacts out of order, twice, or itself: {contacts:?}"));
        }
        let successors: Vec<Id> = peer.lifeline().iter().map(|contact| contact.id).collect();
        self.count_skips(me, &successors);
        // A list that is short for a moment is not all there is: the next contact takes the place of a dead successor.
        let list_len = self.tuning.list_len;
        let next = &contacts[..contacts.len().min(list_len)];
        self.seen[at].next.clear();
        self.seen[at].next.extend(next.iter().map(|contact| contact.id.beginning()));
        if self.suspended || self.members.len() < 2 {
            return;
        }
        if !next.is_empty() && !next.iter().any(|contact| self.members.contains_key(&contact.id)) {
            self.break_rule(now, format!("{me:?} has no living successor among {next:?}"));
        }
        let principals = self.members.keys().filter(|id| self.skipped.get(id).is_none_or(|count| *count == 0));
        if self.members.len() >= PRINCIPALS_FROM * list_len && principals.take(list_len + 1).count() <= list_len {
            let worst = self.skips.iter().max_by_key(|(_, skips)| skips.len());
            let (who, count) = worst.map_or((me, 0), |(id, skips)| (*id, skips.len()));
            let members = self.members.len();
            self.break_rule(
                now,
                format!("at most {list_len} principals among {members} members: {who:?} skips {count} of them"),
            );
        }
    }

    /// The members between a peer and the end of its list that the list does not name.
    fn count_skips(&mut self, me: Id, successors: &[Id]) {
        self.forget_skips(me);
        let Some(last) = successors.last() else { return };
        let reach = me.clockwise_to(*last);
        let onwards = self.members.range((Excluded(me), Unbounded)).chain(self.members.range(..me));
        let within = onwards.map(|(id, _)| *id).take_while(|id| me.clockwise_to(*id) < reach);
        // Both are in the order of the ring.
        let mut named = successors.iter().peekable();
        let skips: BTreeSet<Id> = within
            .filter(|id| {
                while named.next_if(|named| me.clockwise_to(**named) < me.clockwise_to(*id)).is_some() {}
                named.next_if_eq(&id).is_none()
            })
            .collect();
        skips.iter().for_each(|id| *self.skipped.entry(*id).or_default() += 1);
        self.skips.insert(me, skips);
    }

    fn forget_skips(&mut self, id: Id) {
        for skipped in self.skips.remove(&id).unwrap_or_default() {
            if let Some(count) = self.skipped.get_mut(&skipped) {
                *count -= 1;
            }
        }
    }

    fn break_rule(&mut self, at: Moment, rule: String) {
        self.broken.get_or_insert(Broken { at, rule });
    }

    /// The first `len` of everybody's list, or all of it, are the next of all members, and its predecessor is the one before.
    pub fn lists(&self, hosts: &[Host], len: usize) -> Result<(), String> {
        let len = len.min(self.tuning.list_len);
        let ids: Vec<Id> = self.members.keys().copied().collect();
        let joining = hosts.iter().filter(|host| host.state == State::Running && !host.is_member()).count();
        if joining > 0 {
            return Err(format!("{joining} peers are not members yet"));
        }
        for (position, (id, at)) in self.members.iter().enumerate() {
            let view = hosts[*at].peer.view();
            let expected = (1..ids.len()).take(len).map(|step| ids[(position + step) % ids.len()]);
            let actual = view.lifeline.iter().take(len).map(|contact| contact.id);
            for (rank, (expected, actual)) in expected.clone().zip(actual.clone()).enumerate() {
                if expected != actual {
                    return Err(format!("{id:?} has {actual:?} as successor {}, not {expected:?}", rank + 1));
                }
            }
            if actual.count() < expected.count() {
                return Err(format!("{id:?} has too few successors"));
            }
            let before = ids[(position + ids.len() - 1) % ids.len()];
            let watcher = view.watcher.map_or(*id, |watcher| watcher.id);
            if watcher != before {
                return Err(format!("{id:?} has {watcher:?} as predecessor, not {before:?}"));
            }
        }
        Ok(())
    }
}
