//! A sorted list in the shape of a map: a ring knows some fifty contacts, is read all the time and changes seldom. Found
//! and counted in a fifth of the time that a tree of maps takes. What is searched lies apart from what is found: most
//! questions are answered by a kilobyte of distances.

use super::Entry;
use crate::ground::Id;
use std::iter;
use std::ops::{Bound, RangeBounds};

/// Contacts by their distance, the shortest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in super::super) struct Entries {
    distances: Vec<Id>,
    /// As many, in the same order.
    entries: Vec<Entry>,
}

impl Entries {
    pub fn len(&self) -> usize {
        self.distances.len()
    }

    pub fn get(&self, distance: &Id) -> Option<&Entry> {
        self.find(distance).ok().map(|at| &self.entries[at])
    }

    pub fn get_mut(&mut self, distance: &Id) -> Option<&mut Entry> {
        self.find(distance).ok().map(|at| &mut self.entries[at])
    }

    pub fn contains_key(&self, distance: &Id) -> bool {
        self.find(distance).is_ok()
    }

    /// Returns who was at this distance before.
    pub fn insert(&mut self, distance: Id, entry: Entry) -> Option<Entry> {
        match self.find(&distance) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at], entry)),
            Err(at) => {
                self.distances.insert(at, distance);
                self.entries.insert(at, entry);
                None
            }
        }
    }

    pub fn remove(&mut self, distance: &Id) -> Option<Entry> {
        let at = self.find(distance).ok()?;
        self.distances.remove(at);
        Some(self.entries.remove(at))
    }

    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Id> + ExactSizeIterator + Clone {
        self.distances.iter()
    }

    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator + Clone {
        self.entries.iter()
    }

    pub fn range(
        &self,
        distances: impl RangeBounds<Id>,
    ) -> impl DoubleEndedIterator<Item = (&Id, &Entry)> + ExactSizeIterator + Clone {
        let before = |bound: &Id| self.distances.partition_point(|distance| distance < bound);
        let through = |bound: &Id| self.distances.partition_point(|distance| distance <= bound);
        let start = match distances.start_bound() {
            Bound::Included(first) => before(first),
            Bound::Excluded(first) => through(first),
            Bound::Unbounded => 0,
        };
        let end = match distances.end_bound() {
            Bound::Included(last) => through(last),
            Bound::Excluded(last) => before(last),
            Bound::Unbounded => self.len(),
        };
        let listed = start..end.max(start);
        iter::zip(&self.distances[listed.clone()], &self.entries[listed])
    }

    fn find(&self, distance: &Id) -> Result<usize, usize> {
        self.distances.binary_search(distance)
    }
}

impl FromIterator<(Id, Entry)> for Entries {
    fn from_iter<I: IntoIterator<Item = (Id, Entry)>>(entries: I) -> Entries {
        let mut sorted = Entries::default();
        for (distance, entry) in entries {
            sorted.insert(distance, entry);
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::{Contact, Moment};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    fn entry(number: u16) -> Entry {
        let contact = Contact { id: Id::ZERO, addr: SocketAddr::from(([127, 0, 0, 1], number)) };
        Entry { contact, heard: Some(Moment::START), suspect: false }
    }

    proptest! {
        #[test]
        fn it_does_what_a_map_does(changes: Vec<(bool, u8)>, from: u8, to: u8) {
            let (mut entries, mut map) = (Entries::default(), BTreeMap::new());
            let port = |entry: Option<Entry>| entry.map(|entry| entry.contact.addr.port());
            for (at, (insert, number)) in changes.into_iter().enumerate() {
                let (id, at) = (Id::numbered(number % 32), at as u16);
                if insert {
                    prop_assert_eq!(port(entries.insert(id, entry(at))), map.insert(id, at));
                } else {
                    prop_assert_eq!(port(entries.remove(&id)), map.remove(&id));
                }
            }
            let (from, to) = (Id::numbered(from.min(to) % 32), Id::numbered(from.max(to)));
            prop_assert!(entries.keys().eq(map.keys()) && entries.len() == map.len());
            prop_assert!(entries.range(from..).map(|(id, _)| id).eq(map.range(from..).map(|(id, _)| id)));
            prop_assert!(entries.range(..=to).map(|(id, _)| id).eq(map.range(..=to).map(|(id, _)| id)));
            prop_assert!(entries.range(from..to).map(|(id, _)| id).eq(map.range(from..to).map(|(id, _)| id)));
            prop_assert_eq!(port(entries.get(&to).copied()), map.get(&to).copied());
            prop_assert_eq!(entries.contains_key(&from), map.contains_key(&from));
        }
    }
}
