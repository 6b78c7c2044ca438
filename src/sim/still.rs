//! A ring in which nothing moves: the real memories and the real lookup, without messages or time.
//!
//! What each peer knows is what a ring at rest would have told it. It is made when it is first asked, so a million peers
//! cost as much memory as those of them that are met.

use super::PeerIndex;
use super::grown::known_in_ring;
use crate::ground::{Chance, Contact, Id, Moment};
use crate::overlay::{Geometry, Lookup, Overlay, Ring, RingTuning, Step};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The first peer's address.
const FIRST: u32 = 0x0a00_0000;
/// How many contacts an answer names, as on the wire.
const NAMED: usize = 24;
/// Memories kept; beyond that all are forgotten, and made again. Guess: 3 GB of them.
const MAX_MEMORIES: usize = 400_000;

/// A ring at rest.
pub struct StillRing {
    tuning: RingTuning,
    /// Clockwise; their addresses count them.
    members: Vec<Contact>,
    dead: Vec<bool>,
    living: usize,
    memories: Vec<Option<Box<Ring>>>,
    made: usize,
}

/// How a lookup in it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillLookup {
    /// Hops to the last peer before the owner, at least one: as Chord counts them.
    pub path_len: usize,
    /// Questions to the dead.
    pub timeouts: usize,
    /// It ended at the first living peer at or after the key.
    pub right: bool,
}

impl StillRing {
    /// So many peers with ids from this seed. Panics if there are none, or more than 2^24.
    pub fn new(seed: u64, peers: usize, tuning: RingTuning) -> StillRing {
        assert!((1..=1 << 24).contains(&peers), "each peer has an address of its own");
        let mut chance = Chance::seeded(seed);
        let mut ids: Vec<Id> = (0..peers).map(|_| Id::hashed(&chance.bits().to_be_bytes())).collect();
        ids.sort();
        let member =
            |(at, id): (usize, Id)| Contact { id, addr: SocketAddr::from((Ipv4Addr::from(FIRST + at as u32), 1)) };
        let members: Vec<Contact> = ids.into_iter().enumerate().map(member).collect();
        let memories = members.iter().map(|_| None).collect();
        StillRing { tuning, dead: vec![false; peers], living: peers, members, memories, made: 0 }
    }

    /// How many peers there are, dead ones included.
    pub fn peers(&self) -> usize {
        self.members.len()
    }

    /// Each peer dies with this probability. Nobody notices.
    pub fn kill(&mut self, share: f64, chance: &mut Chance) {
        self.dead.iter_mut().for_each(|dead| *dead = chance.happens(share));
        self.living = self.dead.iter().filter(|dead| !**dead).count();
    }

    /// Any living peer; none if all are dead.
    pub fn anybody(&self, chance: &mut Chance) -> Option<PeerIndex> {
        (self.living > 0).then(|| {
            loop {
                let at = chance.within(0..self.members.len() as u64) as usize;
                if !self.dead[at] {
                    break at;
                }
            }
        })
    }

    /// So many lookups of random keys, each by any living peer. Tells which share of them is done, 0 to 1.
    pub fn look_up_often(
        &mut self,
        lookups: usize,
        chance: &mut Chance,
        mut tell: impl FnMut(f64),
    ) -> Vec<StillLookup> {
        let lookup = |at| {
            tell(at as f64 / lookups as f64);
            let from = self.anybody(chance)?;
            Some(self.look_up(from, Id::hashed(&chance.bits().to_be_bytes())))
        };
        (0..lookups).filter_map(lookup).collect()
    }

    /// `from` looks up who keeps `key`.
    pub fn look_up(&mut self, from: PeerIndex, key: Id) -> StillLookup {
        let mut lookup = Lookup::new(Geometry::Ring, key, 1).with_myself(self.members[from]);
        let start = self.memory(from).near(key, NAMED).contacts;
        start.into_iter().for_each(|contact| lookup.hear_of(contact));
        let (mut answered, mut timeouts) = (Vec::new(), 0);
        while let Step::Ask(contact) = lookup.next_step() {
            let at = index(contact);
            if self.dead[at] {
                timeouts += 1;
                lookup.failed(contact.id);
                continue;
            }
            answered.push(at);
            let named = self.memory(at).near(key, NAMED).contacts;
            lookup.answered(contact.id, &named);
        }
        let found = lookup.keepers().next().map(index);
        let hops = answered.iter().filter(|at| Some(**at) != found).count();
        StillLookup { path_len: hops.max(1), timeouts, right: found == self.owner(key) }
    }

    /// The first living peer at or after a key.
    fn owner(&self, key: Id) -> Option<PeerIndex> {
        let first = self.members.partition_point(|member| member.id < key);
        let all = (0..self.members.len()).map(|step| (first + step) % self.members.len());
        all.into_iter().find(|at| !self.dead[*at])
    }

    fn memory(&mut self, at: PeerIndex) -> &Ring {
        if self.memories[at].is_none() {
            if self.made >= MAX_MEMORIES {
                self.memories.iter_mut().for_each(|memory| *memory = None);
                self.made = 0;
            }
            self.made += 1;
            self.memories[at] = Some(Box::new(self.make_memory(at)));
        }
        self.memories[at].as_deref().expect("just made")
    }

    /// What a ring at rest has told this peer: its lists in both directions, and its fingers.
    fn make_memory(&self, at: PeerIndex) -> Ring {
        let (me, now) = (self.members[at].id, Moment::START);
        let mut ring = Ring::new(now, me, &[], Duration::from_secs(15), self.tuning, Chance::seeded(0));
        let (known, near_us) = known_in_ring(&self.members, at, self.tuning);
        for contact in known {
            ring.heard_from(now, contact);
        }
        if let Some(near_us) = near_us {
            ring.joined(now, &near_us);
        }
        ring
    }
}

fn index(contact: Contact) -> PeerIndex {
    match contact.addr {
        SocketAddr::V4(addr) => (addr.ip().to_bits() - FIRST) as usize,
        SocketAddr::V6(_) => unreachable!("all addresses are made above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(peers: usize, tuning: RingTuning, dead: f64) -> (f64, usize) {
        let mut chance = Chance::seeded(3);
        let mut ring = StillRing::new(1, peers, tuning);
        ring.kill(dead, &mut chance);
        let lookups = 500;
        let looks = ring.look_up_often(lookups, &mut chance, |_| {});
        let hops: usize = looks.iter().map(|look| look.path_len).sum();
        (hops as f64 / lookups as f64, looks.iter().filter(|look| !look.right).count())
    }

    #[test]
    fn with_chords_fingers_the_way_has_the_papers_length() {
        let chord = RingTuning { list_len: 1, fingers: 1, ..RingTuning::DEFAULT };
        let (mean, wrong) = paths(1024, chord, 0.0);
        assert!((4.6..5.2).contains(&mean), "{mean} hops; 4.89 in the paper");
        assert_eq!(wrong, 0);
    }

    #[test]
    fn half_of_all_dead_no_lookup_ends_wrong() {
        let (mean, wrong) = paths(1000, RingTuning::DEFAULT, 0.5);
        assert_eq!(wrong, 0);
        assert!(mean < 5.0, "{mean}");
    }

    #[test]
    fn alone_everything_is_ours() {
        let mut ring = StillRing::new(1, 1, RingTuning::DEFAULT);
        assert_eq!(ring.look_up(0, Id::hashed(b"x")), StillLookup { path_len: 1, timeouts: 0, right: true });
    }
}
