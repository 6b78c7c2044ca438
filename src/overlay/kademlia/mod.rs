//! Kademlia (Maymounkov and Mazières, 2002), as a citizen of the Mainline DHT (BEP 5, BEP 32).
//!
//! Two tables of k-buckets, one for IPv4 and one for IPv6. How it differs from the paper, and why:
//! - Only a peer that answered *us* enters, and only an answer moves it to the recent end: whoever merely asks may have
//!   forged its address. Only those who answered within 15 minutes are handed out.
//! - A full bucket's oldest is pinged when somebody new was heard, but not if it was heard within a minute: newcomers
//!   come in bursts.
//! - Buckets are not split anywhere but around our own id, as in the paper's first version; where its §2.4 splits
//!   further to know our surroundings completely, the one bucket that lies across holds more instead.
//! - Our own id is looked up again and again, at growing intervals, and soon after a neighbour was lost.
//! - Contacts are pinged before they are needed: the k nearest, who keep files with us, in every other round.

mod bucket;
mod table;
mod upkeep;

use super::{Acquaintance, Chore, Geometry, Near, Overlay, Role};
use crate::ground::{Chance, Contact, Id, Moment};
use bucket::Entry;
use std::collections::BTreeSet;
use std::time::Duration;
use table::{Heard, Table, nearer};
use upkeep::{Hints, OwnLookup, REFRESH_EVERY};

/// Time from the loss of a neighbour to looking up who follows. Guess: neighbours are lost in bursts.
const MEND_AFTER: Duration = Duration::from_secs(3);
/// A full bucket's oldest is not pinged if it was heard or pinged within this time.
const DOUBT_AFTER: Duration = Duration::from_secs(60);
/// When a neighbour is lost, neighbours not heard for so long are pinged at once: a mass failure is found in one sweep.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(2);

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
            hints: Hints::new(now, unheard),
            pings: Vec::new(),
            ping_at: now,
            refresh_all_at: Moment::NEVER,
            own: OwnLookup::never(),
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
        self.merged(key, |table| table.nearest(key, count, wanted))
    }

    /// Up to `count` of each family that may be handed out.
    fn nearest_good(&self, key: Id, count: usize) -> Vec<Contact> {
        self.merged(key, |table| table.nearest_heard(key, count, |entry| entry.is_good(self.now)))
    }

    fn merged(&self, key: Id, nearest: impl Fn(&Table) -> Vec<Contact>) -> Vec<Contact> {
        let [mut all, others] = [0, 1].map(|family| nearest(&self.tables[family]));
        if !others.is_empty() {
            all.extend(others);
            all.sort_by(|one, other| nearer(key, one, other));
        }
        all
    }

    /// The k nearest to us, of whichever family.
    fn neighbours(&self) -> Vec<Contact> {
        let mut nearest = self.nearest(self.me, self.tuning.k, |_| true);
        nearest.truncate(self.tuning.k);
        nearest
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

    fn heard_from(&mut self, now: Moment, contact: Contact) -> bool {
        self.now = now;
        if contact.id == self.me || !has_address(contact) {
            return false;
        }
        let hinted = self.hints.heard(now, contact.id);
        let family = family(contact);
        let first = self.is_empty();
        let heard = self.tables[family].heard(now, contact);
        match heard {
            Heard::Again | Heard::Refused => return hinted,
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
        true
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

    fn described(&self) -> Vec<Acquaintance> {
        let of = |table: &Table| -> Vec<Acquaintance> {
            let buckets = table.buckets().iter().enumerate();
            let all = buckets.flat_map(|(at, bucket)| bucket.entries().iter().map(move |entry| (at, entry)));
            let describe = |(at, entry): (usize, &Entry)| Acquaintance {
                contact: entry.contact,
                heard: Some(entry.heard),
                suspect: entry.suspect,
                roles: vec![Role::Bucket(at)],
            };
            all.map(describe).collect()
        };
        self.tables.iter().flat_map(of).collect()
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
        // Those who wait are named too: everybody's buckets hold the same oldest few of a far region, and when these die
        // together nobody would know anybody there.
        let good = self.nearest_good(key, count);
        let contacts = if good.is_empty() { self.nearest(key, count, |_| true) } else { good };
        Near { contacts, gapless: 0, everybody: false }
    }

    fn precedes(&self, _: Id) -> bool {
        // There is no place after another: every way ends where it is nearest.
        true
    }

    fn next_hop(&self) -> Option<Vec<Contact>> {
        None
    }

    fn knows_its_range(&self, now: Moment) -> bool {
        self.hints.settled(now)
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

    fn joined(&mut self, now: Moment, _near_us: &Near) -> bool {
        self.now = now;
        self.begin(now);
        self.refresh_all(now);
        true
    }

    fn contradict(&mut self, _now: Moment, _asker: Id) -> Vec<Contact> {
        Vec::new()
    }

    fn chores(&mut self, now: Moment) -> Vec<Chore> {
        self.now = now;
        let mut chores: Vec<Chore> = self.pings_due(now).into_iter().map(Chore::Ping).collect();
        chores.extend(self.lookups_due(now).into_iter().map(Chore::LookUp));
        chores
    }

    fn due(&self) -> Moment {
        self.upkeep_due()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    const NOW: Moment = Moment::START;
    const ME: Id = Id::ZERO;
    const INTERVAL: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Moment {
        NOW + Duration::from_secs(seconds)
    }

    fn contact(number: u8) -> Contact {
        Contact { id: Id::numbered(number), addr: SocketAddr::from(([127, 0, 0, 1], 12000 + u16::from(number))) }
    }

    fn over_v6(number: u8) -> Contact {
        Contact { addr: SocketAddr::new("::1".parse().unwrap(), 12000), ..contact(number) }
    }

    fn kademlia(hints: &[u8], heard: &[u8]) -> Kademlia {
        let hints: Vec<Contact> = hints.iter().copied().map(contact).collect();
        let mut kademlia = Kademlia::new(NOW, ME, &hints, INTERVAL, Tuning::default(), Chance::seeded(1));
        heard.iter().for_each(|number| _ = kademlia.heard_from(NOW, contact(*number)));
        kademlia
    }

    fn numbers(contacts: &[Contact]) -> Vec<u8> {
        contacts.iter().map(|contact| contact.id.number().unwrap()).collect()
    }

    fn near(kademlia: &Kademlia, key: u8) -> Vec<u8> {
        numbers(&kademlia.near(Id::numbered(key), 8).contacts)
    }

    fn pings(chores: &[Chore]) -> Vec<u8> {
        let ping = |chore: &Chore| if let Chore::Ping(to) = chore { to.id.number() } else { None };
        chores.iter().filter_map(ping).collect()
    }

    fn lookups(chores: &[Chore]) -> Vec<Id> {
        chores.iter().filter_map(|chore| if let Chore::LookUp(id) = chore { Some(*id) } else { None }).collect()
    }

    /// Does all that is due until then, answering every ping; returns when what was looked up.
    fn live(kademlia: &mut Kademlia, until: Moment) -> Vec<(Moment, Id)> {
        let mut looked_up = Vec::new();
        let mut now = NOW;
        while kademlia.due() <= until {
            now = now.max(kademlia.due());
            let chores = kademlia.chores(now);
            looked_up.extend(lookups(&chores).into_iter().map(|id| (now, id)));
            pings(&chores).into_iter().for_each(|number| _ = kademlia.heard_from(now, contact(number)));
        }
        looked_up
    }

    #[test]
    fn near_is_nearest_first_by_differing_bits() {
        let kademlia = kademlia(&[], &[1, 2, 3, 8, 9, 200]);
        assert_eq!(near(&kademlia, 9), [9, 8, 1, 3, 2, 200]);
        assert_eq!(numbers(&kademlia.contacts()), [1, 2, 3, 8, 9, 200]);
    }

    #[test]
    fn only_the_good_are_handed_out_unless_there_are_none() {
        let mut kademlia = kademlia(&[], &[1, 2, 3]);
        kademlia.suspect(Id::numbered(2));
        assert_eq!(near(&kademlia, 0), [1, 3]);
        kademlia.heard_from(at(20 * 60), contact(3));
        assert_eq!(near(&kademlia, 0), [3], "1 was heard 20 minutes ago");
        kademlia.suspect(Id::numbered(3));
        assert_eq!(near(&kademlia, 0), [1, 2, 3], "nobody is good");
        kademlia.heard_from(at(20 * 60), contact(2));
        assert_eq!(near(&kademlia, 0), [2], "it has answered: no suspect any more");
    }

    #[test]
    fn neither_ourselves_nor_who_has_no_port() {
        let mut kademlia = kademlia(&[], &[0, 1]);
        let portless = Contact { addr: SocketAddr::from(([127, 0, 0, 1], 0)), ..contact(2) };
        kademlia.heard_from(NOW, portless);
        assert_eq!(numbers(&kademlia.contacts()), [1]);
        assert!(!kademlia.heard_of(contact(0)) && !kademlia.heard_of(portless));
        assert!(!kademlia.heard_of(contact(1)) && kademlia.heard_of(contact(3)));
    }

    #[test]
    fn the_two_families_are_apart_and_both_are_handed_out() {
        let mut kademlia = kademlia(&[], &(1..=12).collect::<Vec<u8>>());
        (1..=12).for_each(|number| _ = kademlia.heard_from(NOW, over_v6(number)));
        let near = kademlia.near(Id::numbered(4), 3).contacts;
        assert_eq!(near, [contact(4), over_v6(4), contact(5), over_v6(5), contact(6), over_v6(6)]);
        kademlia.lost(NOW, Id::numbered(4));
        assert_eq!(kademlia.contact(Id::numbered(4)), Some(over_v6(4)));
        kademlia.lost(NOW, Id::numbered(4));
        assert_eq!(kademlia.contact(Id::numbered(4)), None);
    }

    #[test]
    fn a_full_buckets_oldest_is_pinged_once_and_goes_when_it_is_lost() {
        let mut kademlia = kademlia(&[], &(1..=8).chain(128..136).collect::<Vec<u8>>());
        kademlia.heard_from(at(30), contact(200));
        assert!(kademlia.pings.is_empty(), "the oldest was heard half a minute ago");
        [201, 202].iter().for_each(|number| _ = kademlia.heard_from(at(90), contact(*number)));
        assert_eq!(kademlia.due(), Moment::START);
        assert_eq!(numbers(&kademlia.pings), [128]);
        assert!(pings(&kademlia.chores(at(90))).contains(&128));
        assert!(kademlia.contact(Id::numbered(128)).is_some());
        kademlia.lost(at(95), Id::numbered(128));
        assert_eq!(kademlia.contact(Id::numbered(202)), Some(contact(202)), "the most recent newcomer takes its place");
        assert!(kademlia.contact(Id::numbered(201)).is_none());
    }

    #[test]
    fn quiet_buckets_are_refreshed_after_about_a_quarter_of_an_hour_and_not_together() {
        let mut kademlia = kademlia(&[], &(1..=8).chain(64..72).chain(128..136).collect::<Vec<u8>>());
        let hour = live(&mut kademlia, at(3600));
        for bucket in 0..2 {
            let times: Vec<Moment> =
                hour.iter().filter(|(_, id)| id.leading_zeros() == bucket).map(|(at, _)| *at).collect();
            // At first everything is looked up, then each bucket in its time.
            assert!(times[0] <= at(8), "{times:?}");
            let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
            assert!(pauses.iter().all(|pause| (675..=1126).contains(pause)), "{pauses:?}");
        }
        let times: BTreeSet<u64> = hour.iter().map(|(at, _)| at.elapsed().as_micros() as u64).collect();
        assert!(times.len() + 1 >= hour.len(), "two at one moment at most: {hour:?}");
    }

    #[test]
    fn a_change_puts_a_refresh_off() {
        let mut kademlia = kademlia(&[], &(1..=8).chain(128..132).collect::<Vec<u8>>());
        live(&mut kademlia, at(600));
        let due = |kademlia: &Kademlia| kademlia.tables[0].buckets()[0].refresh_at;
        assert!(due(&kademlia) < at(600 + 675));
        kademlia.heard_from(at(600), contact(140));
        assert!(due(&kademlia) >= at(600 + 675));
    }

    #[test]
    fn after_joining_all_buckets_are_refreshed_within_seconds() {
        let mut kademlia = kademlia(&[], &(1..=8).chain(64..72).chain(128..136).collect::<Vec<u8>>());
        kademlia.joined(NOW, &Near::default());
        let soon = live(&mut kademlia, at(8));
        assert_eq!(soon[0], (NOW, ME), "first ourselves");
        let buckets: BTreeSet<usize> = soon.iter().map(|(_, id)| kademlia.tables[0].index(*id)).collect();
        assert_eq!(buckets.len(), kademlia.tables[0].buckets().len());
    }

    #[test]
    fn random_ids_of_a_bucket_lie_in_it() {
        let mut kademlia = kademlia(&[], &(1..=40).chain(128..136).collect::<Vec<u8>>());
        for bucket in 0..kademlia.tables[0].buckets().len() {
            let id = kademlia.random_in(0, bucket);
            assert_eq!(kademlia.tables[0].index(id), bucket, "{id}");
        }
    }

    #[test]
    fn hints_are_pinged_every_second_until_they_answer_or_a_minute_is_over() {
        let mut kademlia = kademlia(&[4, 5], &[]);
        assert_eq!(kademlia.due(), NOW);
        assert!(!kademlia.knows_its_range(NOW));
        assert_eq!(pings(&kademlia.chores(NOW)), [4, 5]);
        assert_eq!(kademlia.due(), at(1));
        kademlia.heard_from(at(1), contact(5));
        assert!(!kademlia.knows_its_range(at(1)), "who else is there is being looked up");
        assert!(kademlia.knows_its_range(at(3)));
        let chores = kademlia.chores(at(1));
        assert!(pings(&chores).contains(&4));
        assert_eq!(lookups(&chores), [ME]);
        kademlia.chores(at(61));
        assert!(!pings(&kademlia.chores(at(63))).contains(&4));
    }

    #[test]
    fn who_is_alone_has_nothing_to_do() {
        let mut alone = kademlia(&[], &[]);
        assert_eq!(alone.due(), Moment::NEVER);
        assert!(alone.knows_its_range(NOW) && alone.owns(Id::numbered(77)));
        assert_eq!(alone.chores(NOW), []);
        let mut unanswered = kademlia(&[4], &[]);
        unanswered.chores(at(60));
        assert_eq!(unanswered.due(), Moment::NEVER);
        assert!(unanswered.knows_its_range(at(60)));
    }

    #[test]
    fn each_of_the_k_nearest_is_pinged_within_three_intervals() {
        let all: Vec<u8> = (1..=8).chain(128..136).collect();
        let mut kademlia = kademlia(&[], &all);
        let mut heard = [NOW; 9];
        let mut now = NOW;
        while now < at(600) {
            now = now.max(kademlia.due());
            for number in pings(&kademlia.chores(now)) {
                kademlia.heard_from(now, contact(number));
                if number <= 8 {
                    let silent = now.since(heard[usize::from(number)]);
                    assert!(silent <= INTERVAL * 3, "{number} was left alone for {silent:?}");
                    heard[usize::from(number)] = now;
                }
            }
        }
        assert!(heard[1..].iter().all(|at| now.since(*at) <= INTERVAL * 3));
    }

    #[test]
    fn everybody_else_is_pinged_before_the_quarter_of_an_hour_is_over() {
        let mut kademlia = kademlia(&[], &(1..=8).chain(16..24).chain(64..72).chain(128..136).collect::<Vec<u8>>());
        live(&mut kademlia, at(3600));
        assert_eq!(kademlia.near(ME, 100).contacts.len(), 32);
    }

    #[test]
    fn keepers_are_told_only_where_we_are_one_of_the_k_nearest() {
        let none = BTreeSet::new();
        let few = kademlia(&[], &[1, 2, 130]);
        assert_eq!(few.keepers(Id::numbered(131), 2, &none), Some([130, 2].map(Id::numbered).to_vec()));
        let kademlia = kademlia(&[], &(1..=8).chain(128..136).collect::<Vec<u8>>());
        assert_eq!(kademlia.keepers(Id::numbered(131), 3, &none), None);
        assert_eq!(kademlia.keepers(Id::numbered(2), 3, &none), Some([2, 3, 0].map(Id::numbered).to_vec()));
        let strangers: BTreeSet<Id> = (1..=3).chain(128..136).map(Id::numbered).collect();
        assert_eq!(kademlia.keepers(Id::numbered(2), 3, &strangers), Some([0, 6, 7].map(Id::numbered).to_vec()));
        assert!(kademlia.keepers(Id::numbered(131), 3, &strangers).is_some(), "all who were nearer are strangers");
    }

    #[test]
    fn a_key_is_ours_when_nobody_known_is_nearer() {
        let mut kademlia = kademlia(&[], &[1, 2, 128]);
        assert!(kademlia.owns(ME) && kademlia.owns(Id::numbered(64)));
        assert!(!kademlia.owns(Id::numbered(1)) && !kademlia.owns(Id::numbered(200)));
        kademlia.suspect(Id::numbered(128));
        assert!(!kademlia.owns(Id::numbered(130)), "2 is nearer to it, too");
        assert!(kademlia.owns(Id::numbered(196)));
    }

    #[test]
    fn a_lost_neighbour_makes_us_ask_who_follows() {
        let mut kademlia = kademlia(&[], &(1..=8).chain(128..136).collect::<Vec<u8>>());
        live(&mut kademlia, at(3600));
        let before = kademlia.changes();
        kademlia.lost(at(3603), Id::numbered(130));
        assert_eq!(kademlia.changes(), before, "far away");
        kademlia.lost(at(3603), Id::numbered(3));
        assert_eq!(kademlia.changes(), before + 1);
        assert_eq!(pings(&kademlia.chores(at(3603))).iter().filter(|number| **number < 9).count(), 7);
        assert!(lookups(&kademlia.chores(at(3608))).contains(&ME));
    }
}
