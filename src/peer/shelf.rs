//! The catalogue of what a peer holds, and of who else is known to hold it.

use crate::ground::{Admission, FileName, Holding, Id, Manifest, Moment, Versions};
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

/// What the store holds, without the bytes.
#[derive(Default)]
pub(super) struct Shelf {
    held: BTreeMap<Id, Versions<Note>>,
    /// When which file has a version whose time is over; now and then too early.
    endings: BTreeSet<(Moment, Id)>,
    /// Counts up whenever a version comes or goes, or its bytes turn bad or good.
    revision: u64,
}

/// What is known of one version.
#[derive(Clone, Debug)]
pub(super) struct Note {
    /// Peers that said they hold it, or a later one that ends it.
    pub confirmed: BTreeSet<Id>,
    /// Peers that said so before all were to be asked again, and have not said otherwise since.
    pub doubted: BTreeSet<Id>,
    /// When its time is over.
    pub expires: Moment,
    /// No new copy is made before: who had one may only be away for a moment.
    pub spare_until: Moment,
    /// Our bytes are not what they were: others are to give us good ones, and may have the good ones among ours.
    pub damaged: bool,
}

impl Note {
    pub fn until(expires: Moment) -> Note {
        Note {
            confirmed: BTreeSet::new(),
            doubted: BTreeSet::new(),
            expires,
            spare_until: Moment::START,
            damaged: false,
        }
    }

    /// This peer said that it holds it.
    pub fn confirm(&mut self, by: Id) {
        self.doubted.remove(&by);
        self.confirmed.insert(by);
    }

    /// Nobody else is believed to hold it.
    pub fn is_last_copy(&self) -> bool {
        self.confirmed.is_empty() && self.doubted.is_empty()
    }

    /// This peer does not hold it. True: it was believed to.
    fn strike(&mut self, who: Id) -> bool {
        self.doubted.remove(&who) | self.confirmed.remove(&who)
    }

    /// All are to be asked again.
    fn doubt(&mut self) {
        self.doubted.append(&mut self.confirmed);
    }
}

impl Shelf {
    /// Takes note of a version in the store. What the store would not keep changes nothing.
    pub fn put(&mut self, manifest: Manifest, expires: Moment) {
        let key = manifest.name.key();
        let versions = self.held.entry(key).or_default();
        match versions.admits(&manifest, false) {
            Admission::Take => {
                self.revision += 1;
                versions.insert(manifest, Note::until(expires));
            }
            Admission::Have => {
                let (_, note) = versions.get_mut(&manifest.holding()).expect("the shelf has it");
                note.expires = note.expires.max(expires);
                self.revision += u64::from(mem::take(&mut note.damaged));
            }
            Admission::Outdated(_) => return,
        }
        if expires != Moment::NEVER {
            self.endings.insert((expires, key));
        }
    }

    /// Forgets all versions of a file.
    pub fn remove(&mut self, key: Id) -> Vec<Manifest> {
        self.revision += 1;
        let versions = self.held.remove(&key).unwrap_or_default();
        versions.iter().map(|(manifest, _)| manifest.clone()).collect()
    }

    /// Forgets a version. True: it was there.
    pub fn remove_version(&mut self, like: &Holding) -> bool {
        let Some(versions) = self.held.get_mut(&like.key) else { return false };
        let gone = versions.remove(like).is_some();
        if versions.is_empty() {
            self.held.remove(&like.key);
        }
        self.revision += u64::from(gone);
        gone
    }

    /// Our bytes of this version are not what they were. True: that is news.
    pub fn set_damaged(&mut self, like: &Holding) -> bool {
        let Some((_, note)) = self.held.get_mut(&like.key).and_then(|versions| versions.get_mut(like)) else {
            return false;
        };
        let is_new = !mem::replace(&mut note.damaged, true);
        self.revision += u64::from(is_new);
        is_new
    }

    /// When something is over next.
    pub fn due(&self) -> Moment {
        self.endings.first().map_or(Moment::NEVER, |(at, _)| *at)
    }

    /// Forgets what is over by now.
    pub fn take_expired(&mut self, now: Moment) -> Vec<Manifest> {
        let mut expired = Vec::new();
        while let Some((at, key)) = self.endings.first().copied().filter(|(at, _)| *at <= now) {
            self.endings.remove(&(at, key));
            let versions = self.held.get(&key).into_iter().flat_map(Versions::iter);
            let over = versions.filter(|(_, note)| note.expires <= now).map(|(manifest, _)| manifest.clone());
            let over: Vec<Manifest> = over.collect();
            for manifest in &over {
                self.remove_version(&manifest.holding());
            }
            expired.extend(over);
        }
        expired
    }

    /// The versions of the file with this key whose bytes are good, as far as we know.
    pub fn whole(&self, key: Id) -> impl Iterator<Item = &Manifest> {
        self.versions(key).filter(|(_, note)| !note.damaged).map(|(manifest, _)| manifest)
    }

    /// All versions of the file with this key.
    pub fn versions(&self, key: Id) -> impl Iterator<Item = &(Manifest, Note)> {
        self.held.get(&key).into_iter().flat_map(Versions::iter)
    }

    /// The same, with notes to be changed.
    pub fn versions_mut(&mut self, key: Id) -> impl Iterator<Item = (&Manifest, &mut Note)> {
        self.held.get_mut(&key).into_iter().flat_map(Versions::iter_mut)
    }

    /// The version of the same rank as this.
    pub fn get(&self, like: &Holding) -> Option<&(Manifest, Note)> {
        self.held.get(&like.key)?.get(like)
    }

    /// The same, with its note to be changed.
    pub fn get_mut(&mut self, like: &Holding) -> Option<(&Manifest, &mut Note)> {
        self.held.get_mut(&like.key)?.get_mut(like)
    }

    /// The version that answers for a key.
    pub fn best(&self, key: Id) -> Option<&Manifest> {
        self.held.get(&key)?.best().map(|(manifest, _)| manifest)
    }

    /// What answers for a name.
    pub fn named(&self, name: &FileName) -> Option<Holding> {
        self.holding(name.key())
    }

    /// What answers for a key.
    pub fn holding(&self, key: Id) -> Option<Holding> {
        self.best(key).map(Manifest::holding)
    }

    /// Every version held: in the order of keys, of each the highest first.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &(Manifest, Note))> {
        self.held.iter().flat_map(|(key, versions)| versions.iter().map(|version| (*key, version)))
    }

    /// The keys of all files held.
    pub fn keys(&self) -> impl Iterator<Item = Id> {
        self.held.keys().copied()
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Counts up whenever a version comes or goes, or its bytes turn bad or good.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// `peer` is gone, and what it confirmed with it. While two copies at least are left, it has until then to come back.
    pub fn distrust(&mut self, peer: Id, spare_until: impl Fn(&Manifest) -> Moment) {
        for (manifest, note) in self.held.values_mut().flat_map(Versions::iter_mut) {
            if note.strike(peer) {
                note.spare_until = if note.is_last_copy() { Moment::START } else { spare_until(manifest) };
            }
        }
    }

    /// Everybody is to be asked again about everything.
    pub fn doubt_all(&mut self) {
        self.held.values_mut().flat_map(Versions::iter_mut).for_each(|(_, note)| note.doubt());
    }
}
