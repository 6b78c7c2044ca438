//! Made-up disks: what the store does, without the bytes.

use crate::ground::{Admission, Content, Copy, Health, Id, Manifest, Moment, Versions};
use crate::peer::{Memory, MoveError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What one peer's store holds.
#[derive(Default)]
pub(super) struct Disk {
    files: BTreeMap<Id, Versions<Moment>>,
    /// What was written well, and cannot be read well any more.
    damaged: BTreeSet<Content>,
    notes: BTreeMap<Vec<u8>, (Moment, Vec<u8>)>,
}

impl Disk {
    /// Keeps a version, unless a later one rules that out. `fresh`: it is just being stored.
    pub fn put(&mut self, manifest: Manifest, expires: Moment, fresh: bool) -> Result<(), MoveError> {
        self.damaged.remove(&manifest.content);
        let versions = self.files.entry(manifest.name.key()).or_default();
        match versions.admits(&manifest, fresh) {
            Admission::Take => drop(versions.insert(manifest, expires)),
            Admission::Have => {}
            Admission::Outdated(held) => return Err(MoveError::Outdated(held)),
        }
        Ok(())
    }

    /// Drops a version.
    pub fn forget(&mut self, manifest: &Manifest) {
        let key = manifest.name.key();
        if let Some(versions) = self.files.get_mut(&key) {
            versions.remove(&manifest.holding());
            if versions.is_empty() {
                self.files.remove(&key);
            }
        }
    }

    /// All versions held under a key.
    pub fn versions(&self, key: Id) -> impl Iterator<Item = &Manifest> {
        self.files.get(&key).into_iter().flat_map(Versions::iter).map(|(manifest, _)| manifest)
    }

    /// The version that answers for a key.
    pub fn best(&self, key: Id) -> Option<&Manifest> {
        self.versions(key).next()
    }

    /// Just this version is held, and can be read.
    pub fn holds(&self, manifest: &Manifest) -> bool {
        !self.damaged.contains(&manifest.content)
            && self.versions(manifest.name.key()).any(|held| held.rank() == manifest.rank())
    }

    /// These bytes are held under this key, and can be read.
    pub fn serves(&self, key: Id, content: &Content) -> bool {
        !self.damaged.contains(content) && self.versions(key).any(|held| held.content == *content)
    }

    /// These bytes cannot be read well any more, until they are written again.
    pub fn damage(&mut self, content: Content) {
        self.damaged.insert(content);
    }

    /// How the versions under a key are; and which of them are damaged, if that was looked for.
    pub fn inspect(&self, key: Id, verify: bool) -> (Vec<Copy>, Vec<Manifest>) {
        let health = |manifest: &Manifest| match (verify, self.damaged.contains(&manifest.content)) {
            (false, _) => Health::Here,
            (true, false) => Health::Verified,
            (true, true) => Health::Damaged { bad: 1, chunks: 1 },
        };
        let copy = |manifest: &Manifest| Copy { manifest: manifest.clone(), health: health(manifest) };
        let copies: Vec<Copy> = self.versions(key).map(copy).collect();
        let is_bad = |copy: &&Copy| matches!(copy.health, Health::Damaged { .. });
        let bad: Vec<Manifest> = copies.iter().filter(is_bad).map(|copy| copy.manifest.clone()).collect();
        (copies, bad)
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

    /// All versions held, and what is left of their lives.
    pub fn held(&self, now: Moment) -> Vec<(Manifest, Option<Duration>)> {
        let left = |expires: Moment| (expires != Moment::NEVER).then(|| expires.since(now));
        let all = self.files.values().flat_map(Versions::iter);
        all.map(|(manifest, expires)| (manifest.clone(), left(*expires))).collect()
    }

    /// The version that answers for each name.
    pub fn list(&self) -> Vec<Manifest> {
        self.files.values().filter_map(|versions| versions.best().map(|(manifest, _)| manifest.clone())).collect()
    }
}
