//! Kademlia (Maymounkov and Mazières, 2002), as a citizen of the Mainline DHT (BEP 5, BEP 32).
//!
//! Two tables of k-buckets, one for IPv4 and one for IPv6. How it differs from the paper, and why:
//! - Only a peer that answered *us* enters, and only an answer moves it to the recent end: whoever merely asks may have
//!   forged its address. Only those who answered within 15 minutes are handed out.
//! - A full bucket's oldest is pinged when somebody else was heard, but not twice in a minute: newcomers come in bursts.
//! - Buckets are not split anywhere but around our own id, as in the paper's first version; where its §2.4 splits
//!   further to know our surroundings completely, the one bucket that lies across holds more instead.
//! - Our own id is looked up again and again, at growing intervals, and soon after a neighbour was lost.
//! - Contacts are pinged before they are needed: the k nearest, who keep files with us, in every other round.

mod bucket;
mod table;

use super::ring::START_UP_GRACE;
use super::{Chore, Geometry, Near, Overlay};
use crate::ground::{Chance, Contact, Id, Moment};
use bucket::Entry;
use std::collections::BTreeSet;
use std::time::Duration;
use table::{Heard, Table};

/// A bucket in which nothing changed for about so long is refreshed (BEP 5; the paper says an hour).
const REFRESH_EVERY: Duration = Duration::from_secs(15 * 60);
/// After joining, all buckets are refreshed within this time (paper §2.3), not in one breath.
const SPREAD: Duration = Duration::from_secs(5);
/// Time between two refreshes that are due together. Guess.
const REFRESH_NEXT: Duration = Duration::from_millis(300);
/// Time from the first answer to refreshing all: first our own surroundings are looked up.
const REFRESH_ALL_AFTER: Duration = Duration::from_secs(2);
/// Time from the first lookup of our own id to the second; doubles each time, up to [`REFRESH_EVERY`]. Guess: peers
/// that start together find each other by then.
const OWN_FIRST: Duration = Duration::from_secs(10);
/// Time from the loss of a neighbour to looking up who follows. Guess: neighbours are lost in bursts.
const MEND_AFTER: Duration = Duration::from_secs(3);
/// A full bucket's oldest is not pinged if it was heard or pinged within this time.
const DOUBT_AFTER: Duration = Duration::from_secs(60);
/// When a neighbour is lost, neighbours not heard for so long are pinged at once: a mass failure is found in one sweep.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(2);
/// A contact not heard for so long is pinged, the stalest first. Guess: the rest of the 15 minutes for which it is
/// good is enough to come to all of them.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);
/// A contact that upkeep still pings in vain after so long is forgotten, whatever else is known of it.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 60);
/// How long such a last ping waits.
const LAST_CHANCE: Duration = Duration::from_secs(60);
/// Longest time between two quiet pings, however seldom shown ones are wanted.
const PING_AT_LEAST_EVERY: Duration = Duration::from_secs(15);
/// Time between two pings to a peer named at the start.
const HINT_EVERY: Duration = Duration::from_secs(1);

/// What can be chosen in Kademlia.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Contacts in a bucket, and keepers that a lookup must hear: 8 in Mainline, 20 in the paper. At least 1.
    pub k: usize,
    /// Open questions of one lookup. At least 1.
    pub alpha: usize,
    /// Who goes when a bucket is full.
    pub eviction: Eviction,
    /// The first buckets hold 128, 64, 32 and 16 (libtorrent).
    pub wide: bool,
}

/// Who goes when a bucket is full and somebody new was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// The oldest, if it does not answer pings; meanwhile newcomers wait.
    Ping,
    /// The oldest, at once.
    Oldest,
}

impl Default for Tuning {
    /// As in Mainline.
    fn default() -> Tuning {
        Tuning { k: 8, alpha: 3, eviction: Eviction::Ping, wide: false }
    }
}

/// The network as one peer sees it.
pub struct Kademlia {
    me: Id,
    ping_interval: Duration,
    tuning: Tuning,
    chance: Chance,
    /// The latest moment we were told of: who is good is a question of time.
    now: Moment,
    /// IPv4, IPv6.
    tables: [Table; 2],
    hints: Hints,
    pings: Vec<Contact>,
    ping_at: Moment,
    refresh_all_at: Moment,
    own: OwnLookup,
    changes: u64,
}

/// Peers named at the start that have not answered yet.
struct Hints {
    unheard: Vec<Contact>,
    /// Somebody has answered.
    heard: bool,
    ping_at: Moment,
    until: Moment,
}

/// When our own id is looked up next, and how long we wait after that.
struct OwnLookup {
    at: Moment,
    pause: Duration,
}

impl Kademlia {
    /// The network as seen by `me`, who starts now and knows of these `hints`, not yet heard from.
    pub fn new(
        now: Moment,
        me: Id,
        hints: &[Contact],
        ping_interval: Duration,
        tuning: Tuning,
        mut chance: Chance,
    ) -> Kademlia {
        let tuning = Tuning { k: tuning.k.max(1), alpha: tuning.alpha.max(1), ..tuning };
        let unheard = hints.iter().copied().filter(|hint| hint.id != me).collect();
        let mut table = || Table::new(me, tuning, now + chance.around(REFRESH_EVERY));
        Kademlia {
            me,
            ping_interval,
            tuning,
            now,
            tables: [table(), table()],
            hints: Hints { unheard, heard: false, ping_at: now, until: now + START_UP_GRACE },
            pings: Vec::new(),
            ping_at: now,
            refresh_all_at: Moment::NEVER,
            own: OwnLookup { at: Moment::NEVER, pause: OWN_FIRST },
            changes: 0,
            chance,
        }
    }

    fn table(&self, contact: Contact) -> &Table {
        &self.tables[family(contact)]
    }

    fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.len() == 0)
    }

    fn entry_mut(&mut self, id: Id) -> Option<&mut Entry> {
        self.tables.iter_mut().find_map(|table| table.get_mut(id))
    }

    /// Up to `count` of each family, nearest first.
    fn nearest(&self, key: Id, count: usize, wanted: impl Fn(&Entry) -> bool + Copy) -> Vec<Contact> {
        let [mut all, others] = [0, 1].map(|family| self.tables[family].nearest(key, count, wanted));
        if !others.is_empty() {
            all.extend(others);
            all.sort_by_key(|contact| contact.id.xor(key));
        }
        all
    }

    /// The k nearest to us, of whichever family.
    fn neighbours(&self) -> Vec<Contact> {
        let mut nearest = self.nearest(self.me, self.tuning.k, |_| true);
        nearest.truncate(self.tuning.k);
        nearest
    }

    /// A contact came or went at this place in this table.
    fn changed(&mut self, now: Moment, family: usize, id: Id) {
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
    fn begin(&mut self, now: Moment) {
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

    fn lost_of(&mut self, now: Moment, family: usize, id: Id) {
        let near = self.tables[family].is_in_surroundings(id);
        let Some(successor) = self.tables[family].lost(id) else { return };
        self.changed(now, family, id);
        self.pings.retain(|contact| contact.id != id);
        self.pings.extend(successor);
        if near {
            self.own.at = self.own.at.min(now + self.chance.around(MEND_AFTER));
            let doubtful = |entry: &Entry| entry.left_alone(now) >= DOUBTFUL_AFTER;
            let neighbours = self.nearest(self.me, self.tuning.k, doubtful);
            neighbours.into_iter().for_each(|contact| self.doubt(now, contact));
        }
    }

    /// It is to be pinged.
    fn doubt(&mut self, now: Moment, contact: Contact) {
        if let Some(entry) = self.tables[family(contact)].get_mut(contact.id)
            && !entry.suspect
        {
            entry.asked = now;
            self.pings.push(contact);
        }
    }

    /// Every bucket is looked into within [`SPREAD`], but not those nearer than our nearest contact: there are none.
    fn refresh_all(&mut self, now: Moment) {
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
    fn random_in(&mut self, family: usize, at: usize) -> Id {
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

fn family(contact: Contact) -> usize {
    usize::from(contact.addr.ip().to_canonical().is_ipv6())
}

/// It can be sent to at all.
fn has_address(contact: Contact) -> bool {
    contact.addr.port() != 0 && !contact.addr.ip().is_unspecified() && !contact.addr.ip().is_multicast()
}

impl Overlay for Kademlia {
    fn geometry(&self) -> Geometry {
        Geometry::Xor { k: self.tuning.k }
    }

    fn width(&self) -> usize {
        self.tuning.alpha
    }

    fn heard_from(&mut self, now: Moment, contact: Contact) {
        self.now = now;
        if contact.id == self.me || !has_address(contact) {
            return;
        }
        if !self.hints.heard || !self.hints.unheard.is_empty() {
            self.hints.heard = true;
            self.hints.unheard.retain(|hint| hint.id != contact.id);
        }
        let family = family(contact);
        let first = self.is_empty();
        match self.tables[family].heard(now, contact) {
            Heard::Again | Heard::Refused => {}
            Heard::Entered => {
                self.changed(now, family, contact.id);
                if first {
                    self.begin(now);
                }
            }
            Heard::Waits { oldest } => {
                let recent = |entry: &Entry| entry.left_alone(now) < DOUBT_AFTER;
                if !self.tables[family].get(oldest.id).is_some_and(recent) {
                    self.doubt(now, oldest);
                }
            }
        }
    }

    fn heard_of(&self, contact: Contact) -> bool {
        if contact.id == self.me || !has_address(contact) {
            return false;
        }
        let table = self.table(contact);
        let stale = |entry: &Entry| !entry.is_good(self.now);
        match table.get(contact.id) {
            Some(known) => known.contact == contact && stale(known),
            None => table.lacks(contact, stale),
        }
    }

    fn welcomes(&self, contact: Contact) -> bool {
        contact.id != self.me
    }

    fn to_meet(&self, mut heard: BTreeSet<Contact>) -> BTreeSet<Contact> {
        let mut nearest: Vec<Contact> = heard.iter().copied().collect();
        nearest.sort_by_key(|contact| contact.id.xor(self.me));
        let nearest: BTreeSet<Contact> = nearest.into_iter().take(self.tuning.k).collect();
        heard.retain(|contact| nearest.contains(contact) && self.heard_of(*contact));
        heard
    }

    fn suspect(&mut self, id: Id) {
        if let Some(entry) = self.entry_mut(id) {
            entry.suspect = true;
        }
    }

    fn lost(&mut self, now: Moment, id: Id) {
        self.now = now;
        if let Some(family) = self.tables.iter().position(|table| table.get(id).is_some()) {
            self.lost_of(now, family, id);
        }
    }

    fn contacts(&self) -> Vec<Contact> {
        self.nearest(self.me, usize::MAX, |_| true)
    }

    fn contact(&self, id: Id) -> Option<Contact> {
        self.tables.iter().find_map(|table| table.get(id)).map(|entry| entry.contact)
    }

    fn shown(&self) -> Vec<Contact> {
        Vec::new()
    }

    fn settled(&self) -> bool {
        true
    }

    fn lifeline(&self) -> Vec<Contact> {
        self.neighbours()
    }

    fn acquaintances(&self) -> Vec<Contact> {
        self.neighbours()
    }

    fn watcher(&self) -> Option<Contact> {
        self.nearest(self.me, 1, |_| true).first().copied()
    }

    fn changes(&self) -> u64 {
        self.changes
    }

    fn near(&self, key: Id, count: usize) -> Near {
        let good = self.nearest(key, count, |entry| entry.is_good(self.now));
        let contacts = if good.is_empty() { self.nearest(key, count, |_| true) } else { good };
        Near { contacts, gapless: 0, everybody: false }
    }

    fn next_hop(&self) -> Option<Vec<Contact>> {
        None
    }

    fn knows_its_range(&self, _now: Moment) -> bool {
        self.hints.heard || self.hints.unheard.is_empty()
    }

    fn owns(&self, key: Id) -> bool {
        let nearest = self.nearest(key, 1, |entry| !entry.suspect);
        nearest.first().is_none_or(|nearest| self.me.xor(key) < nearest.id.xor(key))
    }

    fn keepers(&self, key: Id, count: usize, except: &BTreeSet<Id>) -> Option<Vec<Id>> {
        let k = self.tuning.k;
        let counts = |entry: &Entry| except.is_empty() || !except.contains(&entry.contact.id);
        let mut nearest: Vec<Id> = self.nearest(key, k.max(count), counts).iter().map(|contact| contact.id).collect();
        nearest.dedup();
        let before_me = nearest.partition_point(|id| id.xor(key) < self.me.xor(key));
        let knows_few = || self.tables.iter().map(Table::len).sum::<usize>() < k;
        if before_me >= k && !knows_few() {
            return None;
        }
        nearest.insert(before_me, self.me);
        nearest.truncate(count);
        Some(nearest)
    }

    fn consulted(&mut self, _from: Id, _near_us: &Near) -> Vec<Contact> {
        Vec::new()
    }

    fn joined(&mut self, now: Moment, _near_us: &Near) {
        self.now = now;
        self.begin(now);
        self.refresh_all(now);
    }

    fn contradict(&mut self, _now: Moment, _asker: Id) -> Vec<Contact> {
        Vec::new()
    }

    fn chores(&mut self, now: Moment) -> Vec<Chore> {
        self.now = now;
        let mut pings = self.call_hints(now);
        if !self.is_empty() {
            self.forget_mute(now);
            pings.extend(self.silent(now));
        }
        pings.append(&mut self.pings);
        let mut chores: Vec<Chore> = pings.into_iter().map(Chore::Ping).collect();
        if self.is_empty() {
            return chores;
        }
        if now >= self.own.at {
            self.own.at = now + self.chance.around(self.own.pause);
            self.own.pause = (self.own.pause * 2).min(REFRESH_EVERY);
            chores.push(Chore::LookUp(self.me));
        }
        if now >= self.refresh_all_at {
            self.refresh_all(now);
        }
        chores.extend(self.refresh(now).map(Chore::LookUp));
        chores
    }

    fn due(&self) -> Moment {
        if !self.pings.is_empty() {
            return Moment::START;
        }
        let hints = if self.hints.unheard.is_empty() { Moment::NEVER } else { self.hints.ping_at };
        let known = self.tables.iter().filter(|table| table.len() > 0);
        let buckets = known.flat_map(Table::buckets).map(|bucket| bucket.refresh_at);
        match buckets.min() {
            None => hints,
            Some(refresh) => hints.min(refresh).min(self.own.at).min(self.refresh_all_at).min(self.ping_at),
        }
    }
}
