//! The k-buckets of one address family: who gets in, who goes, and who is nearest to a key.
//!
//! Bucket i holds the contacts whose ids share just the first i bits with ours; the last one holds all that share more.
//! Only the last one splits, when it is full.

use super::bucket::{Bucket, Entry};
use super::{Eviction, Tuning};
use crate::ground::{Contact, Id, Moment};
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
        let count = count.min(self.len);
        let mut found: Vec<Contact> = Vec::with_capacity(count);
        for bucket in self.outwards(key) {
            if found.len() == count {
                break;
            }
            // All in this bucket are nearer to the key than all in those that follow.
            let first = found.len();
            for entry in bucket.entries().iter().filter(|entry| wanted(entry)) {
                let distance = entry.contact.id.xor(key);
                let farther = |other: &&Contact| other.id.xor(key) > distance;
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

    /// The buckets by their distance to a key. At bit i the contacts of bucket i differ from us, those of later buckets do
    /// not: where the key differs from us too, bucket i is nearer than all later ones, elsewhere it is farther.
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
        let is_last = at + 1 == self.buckets.len();
        len >= usual && (is_last || len >= SURROUNDINGS * k || self.nearer_than(at) >= k)
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
