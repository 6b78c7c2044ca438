//! Networks that start grown: all peers at once, and each has heard from everybody whom it would know by then.
//!
//! To grow a hundred thousand peers one by one takes longer than all that one wants to see of them. Whom a peer knows
//! follows from the ids of all: it is told in the same calls of its overlay as by answers.

use super::{PeerIndex, World, disks};
use crate::ground::{Contact, Id};
use crate::overlay::{Kind, Near, RingTuning, Tuning};
use crate::peer::Start;
use std::collections::BTreeSet;

/// Buckets of Kademlia that hold so many times k are known completely: they may be our surroundings.
const SURROUNDINGS: usize = 4;

impl World {
    /// So many peers more, that know already whom they would know. Rules are checked from then on.
    pub fn grown(mut self, peers: usize) -> World {
        self.checks.suspend();
        let started = |world: &mut World| {
            let contact = world.fresh_contact();
            (contact, world.start(contact, Start::Ring(Vec::new()), disks::Disk::default()))
        };
        let mut all: Vec<(Contact, PeerIndex)> = (0..peers).map(|_| started(&mut self)).collect();
        all.sort();
        let members: Vec<Contact> = all.iter().map(|(contact, _)| *contact).collect();
        for (rank, (_, at)) in all.iter().enumerate() {
            let (known, near_us) = match self.kind {
                Kind::Ring(tuning) => known_in_ring(&members, rank, tuning),
                Kind::Kademlia(tuning) => (known_in_tree(&members, rank, tuning), None),
            };
            self.acquaint(*at, &known, near_us.as_ref());
        }
        self.check_rules();
        self
    }
}

/// The successors and predecessors, the first contact from each place on where a finger points; and what the successor
/// says of those who follow.
pub(super) fn known_in_ring(members: &[Contact], rank: usize, tuning: RingTuning) -> (Vec<Contact>, Option<Near>) {
    let me = members[rank].id;
    let others = members.len() - 1;
    let after = |steps: usize| members[(rank + steps) % members.len()];
    let reach = tuning.list_len.min(others);
    let mut known: BTreeSet<Contact> = (1..=reach).chain(others + 1 - reach..=others).map(after).collect();
    let at_or_after = |place: Id| members[members.partition_point(|member| member.id < place) % members.len()];
    for exponent in 0..Id::BITS {
        let bits = tuning.fingers.max(1).ilog2() as usize;
        let step = exponent.checked_sub(bits).map_or(Id::ZERO, Id::power_of_two);
        let mut place = me.plus(Id::power_of_two(exponent));
        for _ in 0..tuning.fingers {
            known.insert(at_or_after(place));
            place = place.plus(step);
        }
    }
    known.remove(&members[rank]);
    let following: Vec<Contact> = (1..=reach).map(after).collect();
    let near_us = Near { gapless: following.len(), contacts: following, everybody: others <= tuning.list_len };
    (known.into_iter().collect(), Some(near_us))
}

/// Of each bucket's range k, evenly spread; all where they are few. Those of the nearest ranges first.
fn known_in_tree(members: &[Contact], rank: usize, tuning: Tuning) -> Vec<Contact> {
    let me = members[rank].id;
    // All who share the first bits with us are neighbours in the order of ids.
    let mut shared = 0..members.len();
    let mut ranges = Vec::new();
    for at in 0..Id::BITS {
        if shared.len() == 1 {
            break;
        }
        let ones = shared.start + members[shared.clone()].partition_point(|member| !member.id.bit(at));
        let (same, other) = match me.bit(at) {
            true => (ones..shared.end, shared.start..ones),
            false => (shared.start..ones, ones..shared.end),
        };
        ranges.push(other);
        shared = same;
    }
    let some = |range: std::ops::Range<usize>| {
        let count = if range.len() <= SURROUNDINGS * tuning.k { range.len() } else { tuning.k };
        (0..count).map(move |at| range.start + range.len() * at / count)
    };
    ranges.into_iter().rev().flat_map(some).map(|at| members[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Weather;
    use std::time::Duration;

    #[test]
    fn a_ring_that_starts_grown_is_ideal_at_once_and_stays_so() {
        for peers in [1, 2, 3, 17, 40, 500] {
            let mut world = World::new(7, Weather::default()).grown(peers);
            assert_eq!(world.check_ideal(), Ok(()), "{peers}");
            world.run_for(Duration::from_secs(60));
            assert_eq!(world.check_ideal(), Ok(()), "{peers}");
            assert!(world.broken().is_none(), "{peers}: {:?}", world.broken());
        }
    }

    #[test]
    fn what_is_stored_in_a_network_that_started_grown_is_found() {
        for kademlia in [false, true] {
            let world = World::new(7, Weather::default());
            let world = if kademlia { world.kademlia(Tuning::default()) } else { world };
            let mut world = world.grown(300);
            let store = world.store(3, "4103", 1000);
            world.run_for(Duration::from_secs(10));
            assert!(world.is_stored(store), "kademlia: {kademlia}");
            let request = world.request(250, "4103");
            world.run_for(Duration::from_secs(10));
            assert!(world.record(request).brought.is_some(), "kademlia: {kademlia}");
        }
    }

    #[test]
    fn everybody_near_is_known_at_once() {
        let tuning = Tuning::default();
        let world = World::new(7, Weather::default()).kademlia(tuning).grown(300);
        let all: Vec<Contact> = world.members().into_iter().map(|at| world.view(at).me).collect();
        for (at, me) in world.members().into_iter().zip(&all) {
            let mut nearest: Vec<Contact> = all.iter().copied().filter(|contact| contact != me).collect();
            nearest.sort_by_key(|contact| contact.id.xor(me.id));
            assert_eq!(world.view(at).lifeline, nearest[..tuning.k]);
        }
    }
}
