//! The catalogue of what a peer holds, and of who else is known to hold it.

use crate::ground::{FileName, Holding, Id, Manifest};
use std::collections::{BTreeMap, BTreeSet};

/// What the store holds, without the bytes.
#[derive(Default)]
pub(super) struct Shelf {
    held: BTreeMap<Id, Held>,
}

/// One file.
pub(super) struct Held {
    pub manifest: Manifest,
    /// Peers that said they hold this version, or a later one.
    pub confirmed: BTreeSet<Id>,
}

impl Shelf {
    /// Takes note of a file in the store. An older version than the one known changes nothing.
    pub fn put(&mut self, manifest: Manifest) {
        let key = manifest.name.key();
        if self.held.get(&key).is_none_or(|held| held.manifest.holding().rank() < manifest.holding().rank()) {
            self.held.insert(key, Held { manifest, confirmed: BTreeSet::new() });
        }
    }

    /// Forgets a file.
    pub fn remove(&mut self, key: Id) -> Option<Manifest> {
        self.held.remove(&key).map(|held| held.manifest)
    }

    /// The file with this key.
    pub fn get_mut(&mut self, key: Id) -> Option<&mut Held> {
        self.held.get_mut(&key)
    }

    /// The file with this key.
    pub fn get(&self, key: Id) -> Option<&Held> {
        self.held.get(&key)
    }

    /// What is held under a name.
    pub fn named(&self, name: &FileName) -> Option<Holding> {
        self.holding(name.key())
    }

    /// What is held under a key.
    pub fn holding(&self, key: Id) -> Option<Holding> {
        self.held.get(&key).map(|held| held.manifest.holding())
    }

    /// Everything held.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Held)> {
        self.held.iter().map(|(key, held)| (*key, held))
    }

    /// How many files are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// `peer` is gone, and what it confirmed with it.
    pub fn distrust(&mut self, peer: Id) {
        for held in self.held.values_mut() {
            held.confirmed.remove(&peer);
        }
    }

    /// Nothing is confirmed any more: everybody is to be asked again.
    pub fn doubt_all(&mut self) {
        self.held.values_mut().for_each(|held| held.confirmed.clear());
    }
}
