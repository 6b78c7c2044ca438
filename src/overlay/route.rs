//! Why a lookup goes where it goes, hop by hop; and the way that the other geometry would take among the same peers.

use super::Geometry;
use super::ring::power;
use crate::ground::Id;
use std::collections::BTreeSet;

/// Most hops of a computed way. Guess: with full tables each halves the distance, so this is never reached.
const MAX_HOPS: usize = 2 * Id::BITS;

/// Why a peer is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the next after the one that named it.
    Successor,
    /// It is the first at or after 2^(i - 1) from the one that named it, i from 1 (Chord, Table 1).
    Finger(usize),
    /// It shares so many leading bits with the one that named it (Kademlia §2.4).
    Bucket(usize),
    /// It was named, though it is neither.
    Named,
}

impl Geometry {
    /// What `to` is to `by`, who named it. `all`: everybody heard of.
    pub fn reason(self, by: Id, to: Id, all: &BTreeSet<Id>) -> Reason {
        if let Geometry::Xor { .. } = self {
            return Reason::Bucket(by.xor(to).leading_zeros());
        }
        let power = power(by.clockwise_to(to));
        match first_from(all, by.plus(Id::power_of_two(0))) {
            Some(next) if next == to => Reason::Successor,
            _ if first_from(all, by.plus(Id::power_of_two(power))) == Some(to) => Reason::Finger(power + 1),
            _ => Reason::Named,
        }
    }

    /// How far a peer is from a place, as this geometry measures it on the way there.
    pub fn left(self, from: Id, place: Id) -> Id {
        match self {
            Geometry::Ring => from.clockwise_to(place),
            Geometry::Xor { .. } => from.xor(place),
        }
    }

    /// Everybody, who keeps the place first.
    pub fn by_keeping(self, place: Id, all: &BTreeSet<Id>) -> Vec<Id> {
        let mut sorted: Vec<Id> = all.iter().copied().collect();
        sorted.sort_by_key(|id| self.keeping(*id, place));
        sorted
    }

    /// The way from `me` to who keeps `place`, if all of these had the tables that the paper wants: each hop, the last
    /// one the keeper. Empty if that is `me`.
    pub fn supposed_way(self, me: Id, place: Id, all: &BTreeSet<Id>) -> Vec<Id> {
        let keeper = self.by_keeping(place, all).first().copied().unwrap_or(me);
        let (mut at, mut way) = (me, Vec::new());
        while at != keeper && way.len() < MAX_HOPS {
            at = match self {
                Geometry::Ring => finger_towards(at, place, all).unwrap_or(keeper),
                Geometry::Xor { k } => bucket_towards(at, place, k, all).unwrap_or(keeper),
            };
            way.push(at);
        }
        way
    }
}

/// The first at or after a place, going clockwise.
fn first_from(all: &BTreeSet<Id>, place: Id) -> Option<Id> {
    all.range(place..).next().or(all.first()).copied()
}

/// The farthest finger that does not reach the place (Chord, Fig. 5: closest preceding finger).
fn finger_towards(at: Id, place: Id, all: &BTreeSet<Id>) -> Option<Id> {
    let left = at.clockwise_to(place);
    let finger = |exponent| first_from(all, at.plus(Id::power_of_two(exponent)));
    let before = |finger: &Id| *finger != at && at.clockwise_to(*finger) < left;
    (0..Id::BITS).rev().filter_map(finger).find(before)
}

/// The nearest to the place of the k nearest contacts in its bucket, or else of all that are nearer than we are.
fn bucket_towards(at: Id, place: Id, k: usize, all: &BTreeSet<Id>) -> Option<Id> {
    let nearer = |id: &&Id| id.xor(place) < at.xor(place);
    let bits = at.xor(place).leading_zeros();
    let mut bucket: Vec<Id> =
        all.iter().filter(nearer).filter(|id| at.xor(**id).leading_zeros() == bits).copied().collect();
    bucket.sort_by_key(|id| id.xor(at));
    bucket.truncate(k);
    let nearest = bucket.into_iter().min_by_key(|id| id.xor(place));
    nearest.or_else(|| all.iter().filter(nearer).min_by_key(|id| id.xor(place)).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peers(numbers: &[u8]) -> BTreeSet<Id> {
        numbers.iter().map(|number| Id::numbered(*number)).collect()
    }

    fn way(geometry: Geometry, me: u8, place: u8) -> Vec<u8> {
        let all = peers(&[2, 4, 5, 8, 9, 14, 15, 19]);
        let way = geometry.supposed_way(Id::numbered(me), Id::numbered(place), &all);
        way.into_iter().map(|id| id.number().unwrap()).collect()
    }

    #[test]
    fn fingers_lead_to_the_owner_and_never_past_the_place() {
        assert_eq!(way(Geometry::Ring, 2, 12), [8, 9, 14]);
        assert_eq!(way(Geometry::Ring, 2, 7), [4, 5, 8]);
        assert_eq!(way(Geometry::Ring, 8, 220), [19, 2]);
        assert_eq!(way(Geometry::Ring, 14, 12), [] as [u8; 0]);
    }

    #[test]
    fn buckets_lead_to_the_nearest_by_differing_bits() {
        assert_eq!(way(Geometry::Xor { k: 8 }, 2, 12), [14]);
        assert_eq!(way(Geometry::Xor { k: 1 }, 2, 12), [8, 14]);
        assert_eq!(way(Geometry::Xor { k: 8 }, 14, 12), [] as [u8; 0]);
    }

    /// Numbers are the first eight bits of ids: the third finger of eight is the 155th of 160.
    #[test]
    fn each_hop_has_its_reason() {
        let all = peers(&[2, 4, 5, 8, 9, 14, 15, 19]);
        let reason = |geometry: Geometry, by, to| geometry.reason(Id::numbered(by), Id::numbered(to), &all);
        assert_eq!(reason(Geometry::Ring, 2, 8), Reason::Finger(155));
        assert_eq!(reason(Geometry::Ring, 8, 9), Reason::Successor);
        assert_eq!(reason(Geometry::Ring, 19, 2), Reason::Successor);
        assert_eq!(reason(Geometry::Ring, 2, 9), Reason::Named);
        assert_eq!(reason(Geometry::Xor { k: 8 }, 2, 14), Reason::Bucket(4));
    }

    proptest! {
        #[test]
        fn every_way_ends_at_the_keeper(seed: u64, place: [u8; 20]) {
            let all: BTreeSet<Id> = (0..100).map(|at| Id::hashed(format!("{seed} {at}").as_bytes())).collect();
            let (me, place) = (*all.first().unwrap(), Id::new(place));
            for geometry in [Geometry::Ring, Geometry::Xor { k: 8 }] {
                let way = geometry.supposed_way(me, place, &all);
                let keeper = geometry.by_keeping(place, &all)[0];
                prop_assert_eq!(way.last().copied().unwrap_or(me), keeper);
                prop_assert!(way.len() < 40, "{} hops", way.len());
            }
        }
    }
}
