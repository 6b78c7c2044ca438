//! Made-up disks: what the store does, without the bytes.

use crate::ground::{Id, Manifest, Moment};
use crate::peer::{Memory, MoveError};
use std::collections::BTreeMap;

/// What one peer's store holds.
#[derive(Default)]
pub(super) struct Disk {
    files: BTreeMap<Id, Manifest>,
    notes: BTreeMap<Vec<u8>, (Moment, Vec<u8>)>,
}

impl Disk {
    /// Keeps a version, unless a later one is there.
    pub fn put(&mut self, manifest: Manifest) -> Result<(), MoveError> {
        let key = manifest.name.key();
        match self.files.get(&key) {
            Some(held) if held.holding().rank() > manifest.holding().rank() => {
                Err(MoveError::Outdated { version: held.version })
            }
            _ => {
                self.files.insert(key, manifest);
                Ok(())
            }
        }
    }

    /// Drops a version, unless it was replaced.
    pub fn forget(&mut self, manifest: &Manifest) {
        if self.holds(manifest) {
            self.files.remove(&manifest.name.key());
        }
    }

    /// The version held under a key.
    pub fn get(&self, key: Id) -> Option<&Manifest> {
        self.files.get(&key)
    }

    /// Just this version is held.
    pub fn holds(&self, manifest: &Manifest) -> bool {
        self.files.get(&manifest.name.key()) == Some(manifest)
    }

    /// Notes something for the next run.
    pub fn note(&mut self, now: Moment, key: Vec<u8>, value: Option<Vec<u8>>) {
        match value {
            Some(value) => drop(self.notes.insert(key, (now, value))),
            None => drop(self.notes.remove(&key)),
        }
    }

    /// What was noted.
    pub fn memory(&self, now: Moment) -> Vec<Memory> {
        let memory = |(key, (noted, value)): (&Vec<u8>, &(Moment, Vec<u8>))| Memory {
            key: key.clone(),
            value: value.clone(),
            age: now.since(*noted),
        };
        self.notes.iter().map(memory).collect()
    }

    /// All versions held.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.files.values()
    }
}
