//! The contacts of a ring in one map, clockwise from me; and how far it is known without a gap.
//!
//! All that is decided about neighbours is decided here: who becomes a contact and who stays one, how far the list
//! reaches, who is consulted, doubted, named. It has no rhythm and no chance: the same calls make the same circle, which
//! is why a model checker can go through all of them.

mod answers;
mod entries;

use super::super::Near;
use crate::ground::{Contact, Id, Moment};
use entries::Entries;
use std::time::Duration;

/// How much of the ring a peer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// A guess: dead neighbours are noticed well before a minute is over, for a quarter of a question a second. Fingers looked
    /// at every 35 s cost 76 bytes a second less than every 20 s, and no more lookups fail (`p2p sim bamboo`).
    pub const DEFAULT: RingTuning = RingTuning {
        list_len: 16,
        fingers: 2,
        stabilise_every: Duration::from_secs(4),
        finger_every: Duration::from_secs(35),
    };
    /// The classic ring, whose routes people watch: successors and predecessors alone.
    pub const CLASSIC: RingTuning = RingTuning { fingers: 0, ..RingTuning::DEFAULT };
}

impl Default for RingTuning {
    fn default() -> RingTuning {
        RingTuning::DEFAULT
    }
}

/// After a death, neighbours not heard for so long are pinged at once: a mass failure is found in one sweep.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(2);

/// Everybody known, ordered by the distance clockwise from me.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Circle {
    me: Id,
    pub(super) tuning: RingTuning,
    pub(super) entries: Entries,
    /// Up to this distance everybody is known: so far reach the successors. What is beyond are fingers.
    reach: Id,
    /// What our first successor said last of those who follow.
    said: Near,
    /// Who is before us is known. Not at once: peers that start together know only who is after them.
    predecessor_known: bool,
}

/// A contact, and what is known of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Who it is.
    pub contact: Contact,
    /// When it answered last; never, for one only named at the start.
    pub heard: Option<Moment>,
    /// It has missed answers.
    pub suspect: bool,
}

impl Entry {
    /// It answered once, but not just now.
    fn is_doubtful(&self, now: Moment) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) > DOUBTFUL_AFTER)
    }
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
            predecessor_known: successors.is_empty(),
        }
    }

    /// A peer answered us: it is a contact now. True if it was none before.
    pub fn heard_from(&mut self, now: Moment, contact: Contact) -> bool {
        let distance = self.me.clockwise_to(contact.id);
        if distance == Id::ZERO {
            return false;
        }
        let known = self.entries.insert(distance, Entry { contact, heard: Some(now), suspect: false });
        if known.is_none() {
            self.extend_reach();
            self.prune();
        }
        known.is_none()
    }

    /// Somebody says that this peer exists. Is it worth a ping?
    pub fn heard_of(&self, contact: Contact) -> bool {
        let distance = self.me.clockwise_to(contact.id);
        match self.entries.get(&distance) {
            _ if distance == Id::ZERO => false,
            Some(known) => known.heard.is_none() || known.suspect,
            None => self.is_neighbour(contact.id) || self.lacks_finger(distance),
        }
    }

    /// It has missed answers: it is passed over, but not forgotten yet.
    pub fn suspect(&mut self, id: Id) {
        if let Some(entry) = self.entries.get_mut(&self.me.clockwise_to(id)) {
            entry.suspect = true;
        }
    }

    /// It is silent for good. True if it was a contact.
    pub fn lost(&mut self, id: Id) -> bool {
        let distance = self.me.clockwise_to(id);
        // Should it come back, others may have come before it.
        self.said.cut_before(|contact| contact.id == id);
        let list_len = self.tuning.list_len;
        let full_to = self.entries.keys().nth(list_len - 1).copied();
        if self.entries.remove(&distance).is_none() {
            return false;
        }
        // The list is shorter now, until the next round: a finger does not fill the gap, nor what was said before. And where
        // more were known than the list holds, nobody tells us who has come since: those left may not be all.
        let in_list = if full_to.is_some_and(|last| distance <= last) { list_len - 1 } else { list_len };
        if full_to.is_some()
            && let Some(last) = self.entries.keys().take(in_list).next_back()
        {
            self.reach = self.reach.min(*last);
            let (me, reach) = (self.me, self.reach);
            self.said.cut_before(|contact| me.clockwise_to(contact.id) > reach);
            self.said.everybody = false;
        }
        true
    }

    /// Neighbours not heard just now, after a death: neighbours die together.
    pub fn doubtful(&self, now: Moment) -> Vec<Contact> {
        let doubtful = |entry: &&Entry| entry.is_doubtful(now);
        let neighbours = self.successors().chain(self.predecessors()).filter(doubtful);
        let mut doubtful: Vec<Contact> = neighbours.map(|entry| entry.contact).collect();
        doubtful.sort();
        doubtful.dedup();
        doubtful
    }

    /// Whom to ask next who is near us: the first successor that is trusted, or the first such predecessor.
    pub fn to_consult(&self, backwards: bool) -> Option<Contact> {
        let trusted = |entry: &&Entry| !entry.suspect;
        let whom = match backwards {
            true => self.predecessors().find(trusted),
            false => self.successors().find(trusted),
        };
        whom.map(|entry| entry.contact)
    }

    /// `from` told us who is near us. Contacts it should have named, did they live for it.
    pub fn consulted(&mut self, from: Id, near_us: &Near) -> Vec<Contact> {
        // Our predecessor, asked whom it knows near us, names nobody between.
        let behind = |id: Id| self.me.clockwise_to(id);
        let is_before_us = self.predecessor().is_some_and(|before| before.contact.id == from);
        self.predecessor_known |= is_before_us && near_us.contacts.iter().all(|other| behind(other.id) <= behind(from));
        if self.successors().next().is_none_or(|first| first.contact.id != from) {
            return Vec::new();
        }
        let distance = |contact: &Contact| self.me.clockwise_to(contact.id);
        let unnamed = |entry: &&Entry| !near_us.following().iter().any(|other| other.id == entry.contact.id);
        let from = self.me.clockwise_to(from);
        let known_to = near_us.following().iter().map(distance).max().unwrap_or(from);
        let doubtful = self.entries.range(..known_to).map(|(_, entry)| entry).take(self.tuning.list_len);
        let doubtful = doubtful.filter(|entry| distance(&entry.contact) > from).filter(unnamed);
        let doubtful = doubtful.map(|entry| entry.contact).collect();
        self.said = near_us.only_following();
        self.extend_reach();
        doubtful
    }

    /// We were told who is near us, and all of them were asked. False if none answered of those who follow: whoever
    /// does may be nearer than all whom we know, so we have not joined.
    pub fn joined(&mut self, near_us: &Near) -> bool {
        let following = near_us.following();
        if self.entries.len() == 0 || !(following.is_empty() || following.iter().any(|contact| self.knows(contact))) {
            return false;
        }
        self.reach = Id::ZERO;
        let mut said = near_us.only_following();
        said.cut_before(|contact| !self.knows(contact));
        self.said = said;
        self.extend_reach();
        true
    }

    fn knows(&self, contact: &Contact) -> bool {
        self.entries.contains_key(&self.me.clockwise_to(contact.id))
    }

    /// `asker` consults us as its first successor. Contacts that contradict it: those in between.
    pub fn contradict(&mut self, now: Moment, asker: Id) -> Vec<Contact> {
        let first = self.entries.values().next().map(|first| first.contact.id);
        if first == Some(asker) && self.entries.len() > 1 {
            // Our successor asks us as its predecessor.
            return Vec::new();
        }
        let nearer: Vec<&Entry> = self.predecessors().take_while(|entry| entry.contact.id != asker).collect();
        let doubtful = nearer.iter().filter(|entry| entry.is_doubtful(now)).map(|entry| entry.contact).collect();
        self.predecessor_known |= nearer.is_empty();
        doubtful
    }

    /// Everybody known, nearest first.
    pub fn contacts(&self) -> impl Iterator<Item = Contact> {
        self.entries.values().map(|entry| entry.contact)
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

    /// What our first successor said last of those who follow, as far as they were not lost since.
    pub fn said_to_follow(&self) -> &[Contact] {
        self.said.following()
    }

    /// Who is before us is known, and not only who was named at the start.
    pub fn knows_its_predecessor(&self) -> bool {
        self.predecessor_known
    }

    /// The list goes all the way round, as far as we were told.
    pub fn is_closed(&self) -> bool {
        self.reach == Id::MAX
    }

    /// The first successors are certain: not so for the moment between one's end and hearing who follows.
    pub fn is_settled(&self) -> bool {
        self.successors().count() >= self.entries.len().min(2)
    }

    /// While contacts are known that the list does not reach, it can be made longer.
    pub fn is_complete(&self) -> bool {
        self.successors().count() >= self.entries.len().min(self.tuning.list_len)
    }

    /// We know everybody and keep all of them.
    fn knows_everybody(&self) -> bool {
        self.is_closed() && self.entries.len() <= self.tuning.list_len
    }

    /// So near that it belongs among successors or predecessors.
    pub fn is_neighbour(&self, id: Id) -> bool {
        let distance = self.me.clockwise_to(id);
        let successor = self.entries.keys().nth(self.tuning.list_len - 1).is_none_or(|last| distance <= *last);
        successor || self.entries.keys().rev().nth(self.tuning.list_len - 1).is_none_or(|last| distance >= *last)
    }

    /// Goes as far as we have heard from everybody who is said to follow us.
    fn extend_reach(&mut self) {
        let distance = |contact: &Contact| self.me.clockwise_to(contact.id);
        let following = self.said.following();
        let heard = following.iter().map(distance).take_while(|at| self.entries.contains_key(at));
        let (count, farthest) = heard.fold((0, Id::ZERO), |(count, farthest), at| (count + 1, farthest.max(at)));
        let reach = if count == following.len() && self.said.everybody { Id::MAX } else { farthest };
        self.reach = self.reach.max(reach);
        self.predecessor_known |= reach == Id::MAX;
    }
}
