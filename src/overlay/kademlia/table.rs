//! The k-buckets of one address family: who gets in, who goes, and who is nearest to a key.
//!
//! Bucket i holds the contacts whose ids share just the first i bits with ours; the last one holds all that share more.
//! Only the last one splits, when it is full.

use super::bucket::{Bucket, Entry};
use super::{Eviction, Tuning};
use crate::ground::{Contact, Id, Moment};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter;
use std::net::{IpAddr, SocketAddr};

/// Sizes of the first buckets of a wide table (libtorrent): shorter ways for little memory.
const WIDE: [usize; 4] = [128, 64, 32, 16];
/// The bucket that completes our surroundings (the smallest subtree with k contacts besides us) may hold so many times
/// k: paper §2.4 wants them known completely. Guess: half a subtree is seldom four times as populous as the other.
const SURROUNDINGS: usize = 4;
/// Most contacts of one network (IPv4 /24, IPv6 /64) in a bucket (as in Ethereum's geth).
const MAX_OF_NETWORK_IN_BUCKET: usize = 2;
/// Most contacts of one network in a table (as in geth): one machine room does not own our view.
const MAX_OF_NETWORK: usize = 10;

/// What became of somebody who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A contact of ours, now at the recent end.
    Again,
    /// A contact from now on.
    Entered,
    /// It waits: its bucket is full, and this is the oldest there.
    Waits { oldest: Contact },
    /// Not to be a contact.
    Refused,
}

/// All contacts of one address family.
#[derive(Debug)]
pub struct Table {
    me: Id,
    tuning: Tuning,
    buckets: Vec<Bucket>,
    /// How many contacts each network has, where that is limited.
    networks: BTreeMap<u64, usize>,
    len: usize,
}

impl Table {
    pub fn new(me: Id, tuning: Tuning, refresh_at: Moment) -> Table {
        Table { me, tuning, buckets: vec![Bucket::new(refresh_at)], networks: BTreeMap::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    pub fn bucket_mut(&mut self, at: usize) -> &mut Bucket {
        &mut self.buckets[at]
    }

    /// Which bucket an id belongs into.
    pub fn index(&self, id: Id) -> usize {
        self.me.xor(id).leading_zeros().min(self.buckets.len() - 1)
    }

    pub fn get(&self, id: Id) -> Option<&Entry> {
        self.buckets[self.index(id)].get(id)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut Entry> {
        let at = self.index(id);
        self.buckets[at].get_mut(id)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(Bucket::entries)
    }

    /// It answered.
    pub fn heard(&mut self, now: Moment, contact: Contact) -> Heard {
        let mut at = self.index(contact.id);
        match self.buckets[at].heard_again(now, contact) {
            Some(true) => return Heard::Again,
            Some(false) => return Heard::Refused,
            None if !self.allows(at, contact.addr) => return Heard::Refused,
            None => {}
        }
        while self.is_full(at) && self.can_split(at) {
            self.split();
            at = self.index(contact.id);
        }
        let entry = Entry::heard(now, contact);
        if self.is_full(at) {
            match self.tuning.eviction {
                Eviction::Oldest => self.remove_oldest(at),
                Eviction::Ping => {
                    let bucket = &mut self.buckets[at];
                    bucket.wait(entry, self.tuning.k);
                    return Heard::Waits { oldest: bucket.entries()[0].contact };
                }
            }
        }
        self.enter(at, entry);
        Heard::Entered
    }

    /// Somebody not known would find a place, or might be needed soon.
    pub fn lacks(&self, contact: Contact, stale: impl Fn(&Entry) -> bool) -> bool {
        let at = self.index(contact.id);
        let bucket = &self.buckets[at];
        let waits = |entry: &Entry| entry.contact.id == contact.id;
        let wanted = match self.tuning.eviction {
            _ if !self.is_full(at) || self.can_split(at) => true,
            Eviction::Ping => bucket.waiting().len() < self.tuning.k && !bucket.waiting().iter().any(waits),
            Eviction::Oldest => bucket.entries().first().is_some_and(stale),
        };
        wanted && self.allows(at, contact.addr)
    }

    /// Takes a contact out; returns who takes its place, if somebody does. None if it was no contact.
    pub fn lost(&mut self, id: Id) -> Option<Option<Contact>> {
        let at = self.index(id);
        self.buckets[at].stop_waiting(id);
        let entry = self.buckets[at].remove(id)?;
        self.left(&entry);
        while !self.is_full(at)
            && let Some(next) = self.buckets[at].next_waiting()
        {
            if self.allows(at, next.contact.addr) {
                self.enter(at, next);
                return Some(Some(next.contact));
            }
        }
        Some(None)
    }

    /// In the smallest subtree around us that holds k contacts, as far as we know: the nearer buckets hold fewer.
    pub fn is_in_surroundings(&self, id: Id) -> bool {
        self.nearer_than(self.index(id)) < self.tuning.k
    }

    /// Up to `count` of those `wanted`, nearest to the key first. Looks into no more buckets than it must.
    pub fn nearest(&self, key: Id, count: usize, wanted: impl Fn(&Entry) -> bool) -> Vec<Contact> {
        self.nearest_of(key, count.min(self.len), |bucket| bucket.entries().iter().filter(|entry| wanted(entry)))
    }

    /// The same of all who ever answered, those who wait for a place included.
    pub fn nearest_heard(&self, key: Id, count: usize, wanted: impl Fn(&Entry) -> bool) -> Vec<Contact> {
        self.nearest_of(key, count, |bucket| {
            bucket.entries().iter().chain(bucket.waiting()).filter(|entry| wanted(entry))
        })
    }

    fn nearest_of<'a, I: Iterator<Item = &'a Entry>>(
        &'a self,
        key: Id,
        count: usize,
        wanted: impl Fn(&'a Bucket) -> I,
    ) -> Vec<Contact> {
        let mut found: Vec<Contact> = Vec::with_capacity(count);
        for bucket in self.outwards(key) {
            if found.len() == count {
                break;
            }
            // All in this bucket are nearer to the key than all in those that follow.
            let first = found.len();
            for entry in wanted(bucket) {
                let farther = |other: &&Contact| nearer(key, &entry.contact, other).is_lt();
                let behind = found[first..].iter().rev().take_while(farther).count();
                let full = found.len() == count;
                if full && behind == 0 {
                    continue;
                }
                if full {
                    found.pop();
                }
                let at = found.len() + usize::from(full) - behind;
                found.insert(at, entry.contact);
            }
        }
        found
    }

    /// The buckets by their distance to a key. At bit i the contacts of bucket i differ from us, those of later buckets
    /// do not: where the key differs from us too, bucket i is nearer than all later ones, elsewhere it is farther.
    fn outwards(&self, key: Id) -> impl Iterator<Item = &Bucket> {
        let last = self.buckets.len() - 1;
        let difference = self.me.xor(key);
        let nearer = (0..last).filter(move |at| difference.bit(*at));
        let farther = (0..last).rev().filter(move |at| !difference.bit(*at));
        nearer.chain(iter::once(last)).chain(farther).map(|at| &self.buckets[at])
    }

    fn nearer_than(&self, at: usize) -> usize {
        self.buckets[at + 1..].iter().map(Bucket::len).sum()
    }

    fn is_full(&self, at: usize) -> bool {
        let Tuning { k, wide, .. } = self.tuning;
        let len = self.buckets[at].len();
        let usual = WIDE.get(at).filter(|_| wide).map_or(k, |size| k.max(*size));
        if at + 1 == self.buckets.len() {
            // However wide it may become once it is not the last: what is one range is refreshed as one.
            return len >= k;
        }
        len >= usual && (len >= SURROUNDINGS * k || self.nearer_than(at) >= k)
    }

    fn can_split(&self, at: usize) -> bool {
        at + 1 == self.buckets.len() && self.buckets.len() < Id::BITS
    }

    fn split(&mut self) {
        let last = self.buckets.len() - 1;
        let me = self.me;
        let nearer = self.buckets[last].move_out(|id| me.xor(id).leading_zeros() > last);
        self.buckets.push(nearer);
    }

    fn allows(&self, at: usize, addr: SocketAddr) -> bool {
        let Some(network) = network(addr) else { return true };
        let same = |entry: &&Entry| self::network(entry.contact.addr) == Some(network);
        self.networks.get(&network).is_none_or(|count| *count < MAX_OF_NETWORK)
            && self.buckets[at].entries().iter().filter(same).count() < MAX_OF_NETWORK_IN_BUCKET
    }

    fn enter(&mut self, at: usize, entry: Entry) {
        self.buckets[at].stop_waiting(entry.contact.id);
        self.buckets[at].enter(entry);
        self.len += 1;
        if let Some(network) = network(entry.contact.addr) {
            *self.networks.entry(network).or_default() += 1;
        }
    }

    fn remove_oldest(&mut self, at: usize) {
        if let Some(oldest) = self.buckets[at].remove_oldest() {
            self.left(&oldest);
        }
    }

    fn left(&mut self, entry: &Entry) {
        self.len -= 1;
        if let Some(network) = network(entry.contact.addr)
            && let Some(count) = self.networks.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&network);
            }
        }
    }
}

/// Which of two is nearer to the key. The first eight bytes mostly decide: comparing them alone takes half the time.
pub fn nearer(key: Id, one: &Contact, other: &Contact) -> Ordering {
    let beginning = |contact: &Contact| contact.id.beginning() ^ key.beginning();
    beginning(one).cmp(&beginning(other)).then_with(|| one.id.xor(key).cmp(&other.id.xor(key)))
}

/// The network whose share is limited: an IPv4 /24 or IPv6 /64. None for loopback, private and link-local addresses,
/// where one network is all there is.
fn network(addr: SocketAddr) -> Option<u64> {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_private() || ip.is_link_local() => None,
        IpAddr::V4(ip) => Some(u64::from(ip.to_bits() >> 8)),
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() => None,
        IpAddr::V6(ip) => Some((ip.to_bits() >> 64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Chance;
    use proptest::prelude::*;
    use std::time::Duration;

    const ME: Id = Id::ZERO;

    fn at(seconds: u64) -> Moment {
        Moment::after(Duration::from_secs(seconds))
    }

    /// The contact whose id begins with this byte and ends with its number, in a private network.
    fn contact(first: u8, number: u8) -> Contact {
        let mut bytes = *Id::numbered(first).as_bytes();
        bytes[Id::LEN - 1] = number;
        Contact { id: Id::new(bytes), addr: SocketAddr::from(([10, 0, 0, number], 6881)) }
    }

    fn public(first: u8, number: u8, ip: &str) -> Contact {
        Contact { addr: SocketAddr::new(ip.parse().unwrap(), 6881), ..contact(first, number) }
    }

    fn table(eviction: Eviction, wide: bool) -> Table {
        Table::new(ME, Tuning { k: 8, alpha: 3, eviction, wide }, Moment::NEVER)
    }

    fn meet(table: &mut Table, contacts: impl Iterator<Item = Contact>) {
        contacts.for_each(|contact| assert_ne!(table.heard(at(0), contact), Heard::Again));
    }

    fn numbers(entries: &[Entry]) -> Vec<u8> {
        entries.iter().map(|entry| entry.contact.id.as_bytes()[Id::LEN - 1]).collect()
    }

    /// A table whose farthest bucket is full of 1 to 8, heard in this order, and that knows enough who are nearer.
    fn full(eviction: Eviction) -> Table {
        let mut table = table(eviction, false);
        meet(&mut table, (100..108).map(|number| contact(0x01, number)));
        (1..=8).for_each(|number| assert_eq!(table.heard(at(number.into()), contact(0x80, number)), Heard::Entered));
        table
    }

    #[test]
    fn a_bucket_is_ordered_by_when_its_contacts_were_heard() {
        let mut table = full(Eviction::Ping);
        assert_eq!(numbers(table.buckets()[0].entries()), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(table.heard(at(9), contact(0x80, 3)), Heard::Again);
        assert_eq!(numbers(table.buckets()[0].entries()), [1, 2, 4, 5, 6, 7, 8, 3]);
    }

    #[test]
    fn only_the_bucket_around_us_splits() {
        let mut table = table(Eviction::Ping, false);
        meet(&mut table, (1..=8).map(|number| contact(if number < 5 { 0x80 } else { 0x01 }, number)));
        assert_eq!(table.buckets().len(), 1, "eight fit into one");
        table.heard(at(0), contact(0x01, 9));
        let sizes: Vec<usize> = table.buckets().iter().map(Bucket::len).collect();
        assert_eq!(sizes, [4, 5]);
        meet(&mut table, (10..=20).map(|number| contact(0x40, number)));
        meet(&mut table, (21..=40).map(|number| contact(0x80, number)));
        assert_eq!(table.buckets()[0].len(), 8, "the far one holds k and no more");
        for (at, bucket) in table.buckets().iter().enumerate() {
            let inside = |entry: &Entry| table.index(entry.contact.id) == at;
            assert!(bucket.entries().iter().all(inside), "{at}");
        }
    }

    #[test]
    fn our_surroundings_are_known_completely() {
        let mut table = table(Eviction::Ping, false);
        meet(&mut table, (1..=3).map(|number| contact(0x01, number)));
        meet(&mut table, (4..=23).map(|number| contact(0x80, number)));
        assert_eq!(table.len(), 23, "fewer than k are nearer than the far bucket");
        meet(&mut table, (24..=60).map(|number| contact(0x80, number)));
        assert_eq!(table.buckets()[0].len(), 32, "but even that has its end");
    }

    #[test]
    fn newcomers_wait_until_a_contact_is_lost_and_the_most_recent_enters() {
        let mut table = full(Eviction::Ping);
        let oldest = contact(0x80, 1);
        (9..=18).for_each(|number| {
            assert_eq!(table.heard(at(number.into()), contact(0x80, number)), Heard::Waits { oldest });
        });
        assert_eq!(numbers(table.buckets()[0].waiting()), [11, 12, 13, 14, 15, 16, 17, 18], "at most k wait");
        table.heard(at(19), contact(0x80, 12));
        assert_eq!(table.lost(contact(0x80, 4).id), Some(Some(contact(0x80, 12))));
        assert_eq!(numbers(table.buckets()[0].entries()), [1, 2, 3, 5, 6, 7, 8, 12]);
        assert_eq!(table.lost(contact(0x80, 4).id), None);
        assert_eq!(table.len(), 16);
    }

    #[test]
    fn the_oldest_goes_at_once_where_that_is_wanted() {
        let mut table = full(Eviction::Oldest);
        assert_eq!(table.heard(at(9), contact(0x80, 9)), Heard::Entered);
        assert_eq!(numbers(table.buckets()[0].entries()), [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(table.len(), 16);
    }

    #[test]
    fn the_first_buckets_of_a_wide_table_hold_more() {
        let mut table = table(Eviction::Ping, true);
        let mut chance = Chance::seeded(3);
        for number in 0..20_000u32 {
            let id = Id::hashed(&chance.bits().to_be_bytes());
            let addr = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 1));
            table.heard(at(0), Contact { id, addr });
        }
        let sizes: Vec<usize> = table.buckets().iter().map(Bucket::len).collect();
        assert_eq!(sizes[..5], [128, 64, 32, 16, 8]);
        assert!(sizes[5..].iter().all(|size| *size <= 32), "a few more that were our surroundings once: {sizes:?}");
    }

    #[test]
    fn a_known_id_stays_at_its_address_until_it_is_lost() {
        let mut table = full(Eviction::Ping);
        let elsewhere = Contact { addr: SocketAddr::from(([10, 9, 9, 9], 1)), ..contact(0x80, 4) };
        assert_eq!(table.heard(at(9), elsewhere), Heard::Refused);
        table.lost(elsewhere.id);
        assert_eq!(table.heard(at(9), elsewhere), Heard::Entered);
    }

    #[test]
    fn one_network_gets_two_places_in_a_bucket_and_ten_in_a_table() {
        for (network, other) in [("192.0.2.", "192.0.3.1"), ("2001:db8::", "2001:db8:0:1::1")] {
            let mut table = table(Eviction::Ping, false);
            meet(&mut table, (1..=60).map(|number| contact(1 << (number % 8), number)));
            let same = |number: u8| public(1 << (number % 8), number, &format!("{network}{number}"));
            let entered = (100..200).filter(|number| table.heard(at(0), same(*number)) == Heard::Entered).count();
            assert!(entered <= 10, "{entered}");
            let mut young = self::table(Eviction::Ping, false);
            let heard = [200, 201, 202].map(|number| young.heard(at(0), same(number)));
            assert_eq!(heard, [Heard::Entered, Heard::Entered, Heard::Refused]);
            assert!(!young.lacks(same(203), |_| false));
            assert_eq!(young.heard(at(0), public(1, 250, other)), Heard::Entered);
            young.lost(same(200).id);
            assert_eq!(young.heard(at(0), same(202)), Heard::Entered, "a place is free again");
        }
    }

    #[test]
    fn ten_of_one_network_are_all() {
        let mut table = table(Eviction::Ping, false);
        meet(&mut table, (0..24).map(|number| contact(1 << (number % 8), number)));
        let same = |number: u8| public(0x80 >> (number / 2), 100 + number, &format!("192.0.2.{number}"));
        let heard: Vec<Heard> = (0..12).map(|number| table.heard(at(0), same(number))).collect();
        assert_eq!(heard.iter().filter(|heard| **heard == Heard::Entered).count(), 10, "{heard:?}");
    }

    #[test]
    fn loopback_and_private_networks_are_not_limited() {
        for ip in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.1.1", "::1", "fe80::1", "fd00::1"] {
            assert_eq!(network(SocketAddr::new(ip.parse().unwrap(), 1)), None, "{ip}");
        }
        let mapped = |ip: &str| network(SocketAddr::new(ip.parse().unwrap(), 1));
        assert_eq!(mapped("::ffff:192.0.2.7"), mapped("192.0.2.200"));
    }

    proptest! {
        #[test]
        fn nearest_is_what_sorting_everybody_would_give(
            seed: u64, size in 0..2000usize, count in 0..30usize, wide: bool,
            me: [u8; 20], key: [u8; 20], near_me: bool,
        ) {
            let mut chance = Chance::seeded(seed);
            let tuning = Tuning { wide, ..Tuning::default() };
            let mut table = Table::new(Id::new(me), tuning, Moment::NEVER);
            for number in 0..size as u32 {
                let id = Id::hashed(&chance.bits().to_be_bytes());
                let addr = SocketAddr::from(((0x0a00_0000 + number).to_be_bytes(), 1));
                table.heard(at(number.into()), Contact { id, addr });
            }
            let key = if near_me { Id::new(me).xor(Id::power_of_two(150)) } else { Id::new(key) };
            let wanted = |entry: &Entry| entry.contact.id.as_bytes()[0] >= 85;
            let mut expected: Vec<Contact> = table.entries().filter(|e| wanted(e)).map(|e| e.contact).collect();
            expected.sort_by_key(|contact| contact.id.xor(key));
            expected.truncate(count);
            prop_assert_eq!(table.nearest(key, count, wanted), expected);
            prop_assert_eq!(table.len(), table.entries().count());
        }
    }
}
