//! Made-up disks: what the store does, without the bytes.

use crate::ground::{Id, Manifest};
use crate::peer::MoveError;
use std::collections::BTreeMap;

/// What one peer's store holds.
#[derive(Default)]
pub(super) struct Disk {
    files: BTreeMap<Id, Manifest>,
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

    /// All versions held.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.files.values()
    }
}
