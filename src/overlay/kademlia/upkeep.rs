//! When what is due: pings to those who were silent for a while, lookups where nothing was heard of for a while.

use super::bucket::Entry;
use super::table::Table;
use super::{Kademlia, family};
use crate::ground::{Contact, Id, Moment};
use crate::overlay::ring::START_UP_GRACE;
use std::time::Duration;

/// A bucket in which nothing changed for about so long is refreshed (BEP 5; the paper says an hour).
pub const REFRESH_EVERY: Duration = Duration::from_secs(15 * 60);
/// After joining, all buckets are refreshed within this time (paper §2.3), not in one breath.
const SPREAD: Duration = Duration::from_secs(5);
/// Time between two refreshes that are due together. Guess.
const REFRESH_NEXT: Duration = Duration::from_millis(300);
/// Time from the first answer to refreshing all: first our own surroundings are looked up.
const REFRESH_ALL_AFTER: Duration = Duration::from_secs(2);
/// Time from the first lookup of our own id to the second; doubles each time, up to [`REFRESH_EVERY`]. Guess: peers
/// that start together find each other by then.
const OWN_FIRST: Duration = Duration::from_millis(500);
/// A contact not heard for so long is pinged, the stalest first. Guess: the rest of the 15 minutes for which it is
/// good is enough to come to all of them.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);
/// A contact that upkeep still pings in vain after so long is forgotten, whatever else is known of it: long after it
/// ceased to be good.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 60);
/// How long such a last ping waits.
const LAST_CHANCE: Duration = Duration::from_secs(60);
/// Longest time between two quiet pings, however seldom shown ones are wanted.
const PING_AT_LEAST_EVERY: Duration = Duration::from_secs(15);
/// Time between two pings to a peer named at the start.
const HINT_EVERY: Duration = Duration::from_secs(1);

/// Peers named at the start that have not answered yet.
pub struct Hints {
    unheard: Vec<Contact>,
    /// Somebody has answered.
    heard: bool,
    ping_at: Moment,
    until: Moment,
    /// From then on we go by what we know, however little that is.
    settled_at: Moment,
}

/// A peer that hears nothing of those named at the start for so long goes on alone, for now. Guess: as in the ring.
const ALONE_AFTER: Duration = Duration::from_secs(5);
/// Time from the first answer to knowing our surroundings. Guess: peers that start together have looked round three times
/// by then.
const LOOK_ROUND: Duration = Duration::from_secs(2);

/// When our own id is looked up next, and how long we wait after that.
pub struct OwnLookup {
    pub at: Moment,
    pause: Duration,
}

impl Hints {
    /// Peers named by whoever starts us now.
    pub fn new(now: Moment, unheard: Vec<Contact>) -> Hints {
        let settled_at = if unheard.is_empty() { Moment::START } else { now + ALONE_AFTER };
        Hints { unheard, heard: false, ping_at: now, until: now + START_UP_GRACE, settled_at }
    }

    /// Somebody answers. False if that makes no difference.
    pub fn heard(&mut self, now: Moment, id: Id) -> bool {
        if self.heard && self.unheard.is_empty() {
            return false;
        }
        if !self.heard {
            self.heard = true;
            self.settled_at = self.settled_at.min(now + LOOK_ROUND);
        }
        self.unheard.retain(|hint| hint.id != id);
        true
    }

    /// Those named have had their time to answer, and to say who else is there.
    pub fn settled(&self, now: Moment) -> bool {
        now >= self.settled_at
    }
}

impl OwnLookup {
    /// Not before anybody is known.
    pub fn never() -> OwnLookup {
        OwnLookup { at: Moment::NEVER, pause: OWN_FIRST }
    }
}

impl Kademlia {
    /// Whom to ping now.
    pub(super) fn pings_due(&mut self, now: Moment) -> Vec<Contact> {
        let mut pings = self.call_hints(now);
        if !self.is_empty() {
            self.forget_mute(now);
            pings.extend(self.silent(now));
        }
        pings.append(&mut self.pings);
        pings
    }

    /// What to look up now.
    pub(super) fn lookups_due(&mut self, now: Moment) -> Vec<Id> {
        let mut lookups = Vec::new();
        if self.is_empty() {
            return lookups;
        }
        if now >= self.own.at {
            self.own.at = now + self.chance.around(self.own.pause);
            self.own.pause = (self.own.pause * 2).min(REFRESH_EVERY);
            lookups.push(self.me);
        }
        if now >= self.refresh_all_at {
            self.refresh_all(now);
        }
        lookups.extend(self.refresh(now));
        lookups
    }

    /// When one of these is due next.
    pub(super) fn upkeep_due(&self) -> Moment {
        if !self.pings.is_empty() {
            return Moment::START;
        }
        let hints = if self.hints.unheard.is_empty() { Moment::NEVER } else { self.hints.ping_at };
        let known = self.tables.iter().filter(|table| table.len() > 0);
        let buckets = known.flat_map(Table::buckets).map(|bucket| bucket.refresh_at);
        let hints = if self.hints.settled(self.now) { hints } else { hints.min(self.hints.settled_at) };
        match buckets.min() {
            None => hints,
            Some(refresh) => hints.min(refresh).min(self.own.at).min(self.refresh_all_at).min(self.ping_at),
        }
    }

    /// A contact came or went at this place in this table.
    pub(super) fn changed(&mut self, now: Moment, family: usize, id: Id) {
        let next = now + self.chance.around(REFRESH_EVERY);
        let table = &mut self.tables[family];
        let at = table.index(id);
        let bucket = table.bucket_mut(at);
        // What is due within moments is so because we have just come: that was not for want of changes.
        if bucket.refresh_at > now + SPREAD {
            bucket.refresh_at = next;
        }
        if table.is_in_surroundings(id) {
            self.changes += 1;
        }
    }

    /// We are new here: our own id is to be looked up, then all the rest.
    pub(super) fn begin(&mut self, now: Moment) {
        self.own = OwnLookup { at: now, pause: OWN_FIRST };
        self.refresh_all_at = now + REFRESH_ALL_AFTER;
    }

    /// Pings those named at the start who have not answered yet.
    fn call_hints(&mut self, now: Moment) -> Vec<Contact> {
        if self.hints.unheard.is_empty() || now < self.hints.ping_at {
            return Vec::new();
        }
        if now >= self.hints.until {
            self.hints.unheard.clear();
        }
        self.hints.ping_at = now + HINT_EVERY;
        self.hints.unheard.clone()
    }

    /// Who was silent for a while: of the k nearest and of all, the one left alone longest.
    fn silent(&mut self, now: Moment) -> Vec<Contact> {
        if now < self.ping_at {
            return Vec::new();
        }
        self.ping_at = now + self.chance.around(self.pace());
        let neighbours = self.neighbours();
        let near = neighbours.iter().filter_map(|contact| self.table(*contact).get(contact.id));
        let near = near.filter(|entry| entry.left_alone(now) >= self.ping_interval);
        let near = near.max_by_key(|entry| entry.left_alone(now));
        let all = self.tables.iter().flat_map(Table::entries).filter(|entry| entry.left_alone(now) >= STALE_AFTER);
        let stale = all.max_by_key(|entry| entry.left_alone(now));
        let mut silent: Vec<Contact> = near.into_iter().chain(stale).map(|entry| entry.contact).collect();
        silent.dedup();
        for contact in &silent {
            if let Some(entry) = self.tables[family(*contact)].get_mut(contact.id) {
                entry.asked = now;
            }
        }
        silent
    }

    /// Time between two quiet pings: each of the k nearest has its turn within about two intervals.
    fn pace(&self) -> Duration {
        (self.ping_interval.saturating_mul(2) / self.tuning.k as u32).min(PING_AT_LEAST_EVERY)
    }

    /// Forgets those who did not even answer the ping that came half an hour after their last word. Only an id that is
    /// known in both families comes to this: others are suspected, judged and lost before.
    fn forget_mute(&mut self, now: Moment) {
        let mute =
            |entry: &&Entry| entry.asked.since(entry.heard) >= FORGET_AFTER && now.since(entry.asked) >= LAST_CHANCE;
        for family in 0..self.tables.len() {
            let mute: Vec<Id> = self.tables[family].entries().filter(mute).map(|entry| entry.contact.id).collect();
            mute.into_iter().for_each(|id| self.lost_of(now, family, id));
        }
    }

    /// It is to be pinged.
    pub(super) fn doubt(&mut self, now: Moment, contact: Contact) {
        if let Some(entry) = self.tables[family(contact)].get_mut(contact.id)
            && !entry.suspect
        {
            entry.asked = now;
            self.pings.push(contact);
        }
    }

    /// Every bucket is looked into within [`SPREAD`], but not those nearer than our nearest contact: there are none.
    pub(super) fn refresh_all(&mut self, now: Moment) {
        self.refresh_all_at = Moment::NEVER;
        for table in &mut self.tables {
            for at in 0..table.buckets().len() {
                table.bucket_mut(at).refresh_at = now + SPREAD.mul_f64(self.chance.fraction());
            }
        }
    }

    /// An id in the range of the first bucket whose time has come; others that are due have to wait a moment.
    fn refresh(&mut self, now: Moment) -> Option<Id> {
        let mut target = None;
        let mut next = now;
        for family in 0..self.tables.len() {
            if self.tables[family].len() == 0 {
                continue;
            }
            for at in 0..self.tables[family].buckets().len() {
                if self.tables[family].buckets()[at].refresh_at > now {
                    continue;
                }
                let refresh_at = if target.is_none() {
                    target = Some(self.random_in(family, at));
                    now + self.chance.around(REFRESH_EVERY)
                } else {
                    next = next + self.chance.around(REFRESH_NEXT);
                    next
                };
                self.tables[family].bucket_mut(at).refresh_at = refresh_at;
            }
        }
        target
    }

    /// Any id that belongs into this bucket.
    pub(super) fn random_in(&mut self, family: usize, at: usize) -> Id {
        let mut bytes = [0; Id::LEN];
        bytes.fill_with(|| self.chance.bits() as u8);
        // So many bits are ours, and the next one is not, unless this is the last bucket.
        let is_last = at + 1 == self.tables[family].buckets().len();
        let shared = if is_last { at } else { at + 1 };
        let mine = if is_last { self.me } else { self.me.xor(Id::power_of_two(Id::BITS - 1 - at)) };
        for bit in 0..shared {
            let mask = 0x80 >> (bit % 8);
            bytes[bit / 8] = (bytes[bit / 8] & !mask) | (mine.as_bytes()[bit / 8] & mask);
        }
        Id::new(bytes)
    }
}
