//! The contacts of a ring in one map, clockwise from me; and how far it is known without a gap.

mod entries;

use super::super::{Acquaintance, Geometry, Near, Role};
use crate::ground::{Contact, Id, Moment};
use entries::Entries;
use std::collections::BTreeSet;
use std::time::Duration;

/// How much of the ring a peer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingTuning {
    /// Successors kept, and as many predecessors: at least 1.
    pub list_len: usize,
    /// Fingers in each power of two of the distance, evenly spread: 1 as in Chord, 2, 4 or another power of two; 0 for
    /// none. Without fingers a search takes one hop at a time along first successors.
    pub fingers: usize,
    /// Time between two rounds of stabilisation while nothing changes.
    pub stabilise_every: Duration,
    /// Time between two looks at a finger.
    pub finger_every: Duration,
}

impl RingTuning {
    /// Lists of 16: with 2 successors, killing half of ten peers cuts the ring in 99 of 100 trials; with 16, none of 4,000
    /// did. Two fingers: one more hop than that with 1,000 peers, and a second one with 16,000, costs ten contacts.
    /// Times are guesses: dead neighbours are noticed well before a minute is over, for a quarter of a question a second.
    pub const DEFAULT: RingTuning = RingTuning {
        list_len: 16,
        fingers: 2,
        stabilise_every: Duration::from_secs(4),
        finger_every: Duration::from_secs(20),
    };
    /// The classic ring, whose routes people watch: successors and predecessors alone.
    pub const CLASSIC: RingTuning = RingTuning { fingers: 0, ..RingTuning::DEFAULT };
}

impl Default for RingTuning {
    fn default() -> RingTuning {
        RingTuning::DEFAULT
    }
}

/// Everybody known, ordered by the distance clockwise from me.
pub(super) struct Circle {
    me: Id,
    pub tuning: RingTuning,
    pub entries: Entries,
    /// Up to this distance everybody is known: so far reach the successors. What is beyond are fingers.
    pub reach: Id,
    /// What our first successor said last of those who follow.
    pub said: Near,
}

/// A contact, and what is known of its life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub contact: Contact,
    /// When it answered last; never, for one only named at the start.
    pub heard: Option<Moment>,
    /// It has missed answers.
    pub suspect: bool,
}

impl Circle {
    /// What a peer knows that starts with these successors: nobody is between them, but others may follow.
    pub fn of(me: Id, tuning: RingTuning, successors: &[Contact]) -> Circle {
        let entry =
            |contact: &Contact| (me.clockwise_to(contact.id), Entry { contact: *contact, heard: None, suspect: false });
        Circle {
            me,
            tuning,
            entries: successors.iter().filter(|contact| contact.id != me).map(entry).collect(),
            reach: successors.get(1).map_or(Id::MAX, |second| me.clockwise_to(second.id)),
            said: Near::default(),
        }
    }

    /// The successor list: all up to the reach, nearest first.
    pub fn successors(&self) -> impl Iterator<Item = &Entry> {
        let listed = self.entries.range(..=self.reach).map(|(_, entry)| entry);
        // Nobody known is before the first: it is listed whatever is known of the others.
        let first = self.entries.values().take(1).filter(|first| self.me.clockwise_to(first.contact.id) > self.reach);
        first.chain(listed).take(self.tuning.list_len)
    }

    /// Those before me, nearest first.
    pub fn predecessors(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().rev().take(self.tuning.list_len)
    }

    /// The predecessor: the last who answered, going clockwise.
    pub fn predecessor(&self) -> Option<&Entry> {
        self.entries.values().rev().find(|entry| entry.heard.is_some())
    }

    /// The list goes all the way round.
    pub fn knows_everybody(&self) -> bool {
        self.reach == Id::MAX && self.entries.len() <= self.tuning.list_len
    }

    /// So near that it belongs among successors or predecessors.
    pub fn is_neighbour(&self, distance: Id) -> bool {
        let successor = self.entries.keys().nth(self.tuning.list_len - 1).is_none_or(|last| distance <= *last);
        successor || self.entries.keys().rev().nth(self.tuning.list_len - 1).is_none_or(|last| distance >= *last)
    }

    /// Distances fall into slots, numbered from the shortest: each power of two is cut into as many equal parts as it has
    /// fingers, which are a power of two themselves.
    pub fn slot(&self, distance: Id) -> usize {
        let power = power(distance);
        let bit =
            |part: usize, below: usize| 2 * part + usize::from(power >= below && has_power(distance, power - below));
        power * self.tuning.fingers + (1..=self.part_bits()).fold(0, bit)
    }

    /// The shortest distance in a slot: where its finger points.
    pub fn finger_target(&self, slot: usize) -> Id {
        let (power, part) = (slot / self.tuning.fingers, slot % self.tuning.fingers);
        let bits = self.part_bits();
        let part = (1..=bits).filter(|below| part >> (bits - below) & 1 == 1 && power >= *below);
        part.fold(Id::power_of_two(power), |sum, below| sum.plus(Id::power_of_two(power - below)))
    }

    fn part_bits(&self) -> usize {
        self.tuning.fingers.max(1).ilog2() as usize
    }

    /// Nobody is known where a finger should point at this distance.
    pub fn lacks_finger(&self, distance: Id) -> bool {
        if self.tuning.fingers == 0 {
            return false;
        }
        let slot = self.slot(distance);
        let nearest = self.entries.range(self.finger_target(slot)..).next();
        nearest.is_none_or(|(known, _)| self.slot(*known) != slot)
    }

    /// Forgets whoever is neither successor, predecessor nor finger: the first of its slot.
    pub fn prune(&mut self) {
        let (len, list_len) = (self.entries.len(), self.tuning.list_len);
        if len <= 2 * list_len {
            return;
        }
        let middle = self.entries.keys().copied().enumerate().skip(list_len - 1).take(len + 1 - 2 * list_len);
        let mut kept = None;
        let mut surplus = Vec::new();
        for (at, distance) in middle {
            let same_slot = kept.is_some_and(|kept| self.slot(kept) == self.slot(distance));
            if at >= list_len && (same_slot || self.tuning.fingers == 0) {
                surplus.push(distance);
            } else {
                kept = Some(distance);
            }
        }
        for distance in surplus {
            self.entries.remove(&distance);
        }
    }

    /// Goes as far as we have heard from everybody who is said to follow us. True if that is all the way round.
    pub fn extend_reach(&mut self) -> bool {
        let distance = |contact: &Contact| self.me.clockwise_to(contact.id);
        let following = self.said.following();
        let heard = following.iter().map(distance).take_while(|at| self.entries.contains_key(at));
        let (count, farthest) = heard.fold((0, Id::ZERO), |(count, farthest), at| (count + 1, farthest.max(at)));
        let reach = if count == following.len() && self.said.everybody { Id::MAX } else { farthest };
        self.reach = self.reach.max(reach);
        reach == Id::MAX
    }

    /// Contacts near a key, by both rulers.
    pub fn near(&self, key: Id, count: usize) -> Near {
        let offset = self.me.clockwise_to(key);
        let trusted = |(_, entry): &(&Id, &Entry)| !entry.suspect && entry.heard.is_some();
        let after = self.entries.range(offset..).chain(self.entries.range(..offset)).filter(trusted);
        let before = self.entries.range(..offset).rev().chain(self.entries.range(offset..).rev()).filter(trusted);
        // Our successor asks us as its predecessor: it wants to know who is before it. Others want to know who keeps.
        let by_successor = self.entries.keys().next() == Some(&offset);
        let ahead = if by_successor { count / 3 } else { count - count / 3 };
        let mut contacts = Vec::with_capacity(count.min(self.entries.len()));
        contacts.extend(after.take(ahead).map(|(_, entry)| entry.contact));
        let distance = |contact: &Contact| self.me.clockwise_to(contact.id);
        let before_me = self.predecessor().map_or(Id::ZERO, |entry| self.me.clockwise_to(entry.contact.id));
        let listed = |distance: Id| distance <= self.reach;
        let gapless = match () {
            () if offset >= before_me => {
                contacts.iter().map(distance).take_while(|d| *d >= offset || listed(*d)).count()
            }
            () if listed(offset) => contacts.iter().map(distance).take_while(|d| *d >= offset && listed(*d)).count(),
            () => 0,
        };
        for (_, entry) in before.take(count - ahead) {
            if !contacts.contains(&entry.contact) {
                contacts.push(entry.contact);
            }
        }
        // Our list may end just where it began: at the last contact, who asks.
        let full_circle = listed(offset) && self.entries.keys().next_back() == Some(&offset);
        let everybody = self.entries.len() <= self.tuning.list_len && (full_circle || self.reach == Id::MAX);
        Near { contacts, gapless, everybody }
    }

    /// Everybody, with what each is to me.
    pub fn described(&self) -> Vec<Acquaintance> {
        let successors: Vec<Id> = self.successors().map(|entry| entry.contact.id).collect();
        let predecessor = self.predecessor().map(|entry| entry.contact.id);
        let describe = |(distance, entry): (&Id, &Entry)| {
            let Entry { contact, heard, suspect } = *entry;
            let successor = successors.iter().position(|id| *id == contact.id).map(|at| Role::Successor(at + 1));
            let before = (predecessor == Some(contact.id)).then_some(Role::Predecessor);
            let finger = self.finger(*distance).map(Role::Finger);
            Acquaintance { contact, heard, suspect, roles: [successor, before, finger].into_iter().flatten().collect() }
        };
        self.entries.range(..).map(describe).collect()
    }

    /// Which finger somebody at this distance is, if one: the first at or after 2^(i - 1).
    fn finger(&self, distance: Id) -> Option<usize> {
        let power = power(distance);
        let first = self.entries.range(Id::power_of_two(power)..).next().is_some_and(|(first, _)| *first == distance);
        (first && self.tuning.fingers > 0).then_some(power + 1)
    }

    /// The key lies after my predecessor and not after me.
    pub fn owns(&self, key: Id) -> bool {
        self.predecessor().is_none_or(|before| {
            let mine = before.contact.id.clockwise_to(self.me);
            let distance = before.contact.id.clockwise_to(key);
            distance != Id::ZERO && distance <= mine
        })
    }

    /// Who keeps what belongs at a key, where that is near enough to tell.
    pub fn keepers(&self, key: Id, count: usize, except: &BTreeSet<Id>) -> Option<Vec<Id>> {
        let from_me = self.me.clockwise_to(key);
        let takes_files = |entry: &&Entry| !except.contains(&entry.contact.id);
        let behind = from_me == Id::ZERO
            || self.predecessors().last().is_some_and(|last| self.me.clockwise_to(last.contact.id) < from_me);
        let at_or_after = |entry: &&Entry| self.me.clockwise_to(entry.contact.id) >= from_me;
        let ahead = || self.successors().filter(takes_files).filter(at_or_after).count() >= count;
        if !(self.knows_everybody() || behind || ahead()) {
            return None;
        }
        let others = self.entries.values().filter(takes_files).map(|entry| entry.contact.id);
        let mut all: Vec<Id> = others.chain([self.me]).collect();
        all.sort_by_key(|id| Geometry::Ring.keeping(*id, key));
        all.truncate(count);
        Some(all)
    }
}

/// The exponent of the highest power of two in a distance that is not zero.
pub fn power(distance: Id) -> usize {
    let bytes = distance.as_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(Id::LEN - 1);
    (Id::LEN - 1 - first) * 8 + (bytes[first].max(1).ilog2() as usize)
}

/// The power of two with this exponent is part of the distance.
fn has_power(distance: Id, exponent: usize) -> bool {
    distance.bit(Id::BITS - 1 - exponent)
}
