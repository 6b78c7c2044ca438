//! What a circle says when somebody asks: who is near a key, who keeps it, where a search goes on, who everybody is.

use super::super::super::{Acquaintance, Geometry, Near, Role};
use super::super::fingers::power;
use super::{Circle, Entry};
use crate::ground::{Contact, Id};
use std::collections::BTreeSet;

impl Circle {
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
        // The first is listed even when nobody has told us of any that follow: where all were told nothing, as in a ring
        // of three that has lost the others, nobody's list would ever grow again.
        let first = self.entries.keys().next().copied();
        let listed = |distance: Id| distance <= self.reach || first.is_some_and(|first| distance <= first);
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

    /// The same for who wants to join at this id. We may know it from before it died, and not have noticed: it is no
    /// successor that asks us as its predecessor, and wants to know all who follow.
    pub fn near_newcomer(&self, id: Id, count: usize) -> Near {
        let mut without = self.clone();
        without.lost(id);
        without.near(id, count)
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

    /// Where a search goes on that takes one hop at a time.
    pub fn next_hop(&self) -> Vec<Contact> {
        let successor = self.entries.values().find(|entry| !entry.suspect);
        // The predecessor goes along: it turns a search back that has overshot because of a peer just joined.
        let predecessor = self.predecessor().filter(|entry| !entry.suspect);
        successor.into_iter().chain(predecessor).map(|entry| entry.contact).collect()
    }

    /// Nobody known has its place between mine and this one.
    pub fn precedes(&self, id: Id) -> bool {
        let place = self.me.clockwise_to(id);
        self.entries.keys().find(|distance| **distance != place).is_none_or(|next| place < *next)
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
