//! What the store holds, in memory: the versions of each name, and the content they refer to. A [`Draft`] is what a
//! commit would make of it.

use super::index::{Edit, Expiry, outlasts};
use crate::ground::{Admission, Content, Holding, Id, Manifest, Versions};
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

#[derive(Default)]
pub(super) struct Catalogue {
    /// Never without a version.
    names: BTreeMap<Id, Versions<Expiry>>,
    /// How many versions refer to each content; never zero.
    references: BTreeMap<Content, usize>,
    used_bytes: u64,
    /// Promised to content that is on its way.
    pub arriving_bytes: u64,
}

impl Catalogue {
    pub fn versions(&self, key: &Id) -> Option<&Versions<Expiry>> {
        self.names.get(key)
    }

    /// All versions, the names in the order of their keys.
    pub fn all(&self) -> impl Iterator<Item = &(Manifest, Expiry)> {
        self.names.values().flat_map(Versions::iter)
    }

    /// The first content whose hash is greater than this one; with none, the first of all.
    pub fn content_after(&self, hash: Option<[u8; Content::HASH_LEN]>) -> Option<Content> {
        let after = hash.map_or(Unbounded, |hash| Excluded(Content { hash, len_bytes: u64::MAX }));
        self.references.range((after, Unbounded)).next().map(|(content, _)| *content)
    }

    pub fn refers_to(&self, content: &Content) -> bool {
        self.references.contains_key(content)
    }

    /// How long all content is together; what several versions refer to counts once.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Becomes what a draft says. Nothing else may have changed it since the draft was begun.
    pub fn apply(&mut self, changes: Changes) {
        for (key, versions) in changes.names {
            if versions.is_empty() {
                self.names.remove(&key)
            } else {
                self.names.insert(key, versions)
            };
        }
        for (content, count) in changes.references {
            if self.references.remove(&content).is_some() {
                self.used_bytes -= content.len_bytes;
            }
            if count > 0 {
                self.references.insert(content, count);
                self.used_bytes += content.len_bytes;
            }
        }
    }
}

/// What a list of changes makes of a catalogue, which stays as it is until they are durable.
pub(super) struct Draft<'c> {
    base: &'c Catalogue,
    changes: Changes,
    edits: Vec<Edit>,
}

/// The parts of a catalogue that are not what they were.
#[derive(Default)]
pub(super) struct Changes {
    names: BTreeMap<Id, Versions<Expiry>>,
    references: BTreeMap<Content, usize>,
}

impl Changes {
    /// Content that no version refers to any more.
    pub fn released(&self) -> impl Iterator<Item = &Content> {
        self.references.iter().filter(|(_, count)| **count == 0).map(|(content, _)| content)
    }
}

impl<'c> Draft<'c> {
    pub fn new(base: &'c Catalogue) -> Draft<'c> {
        Draft { base, changes: Changes::default(), edits: Vec::new() }
    }

    pub fn refers_to(&self, content: &Content) -> bool {
        let changed = self.changes.references.get(content).map(|count| *count > 0);
        changed.unwrap_or_else(|| self.base.refers_to(content))
    }

    pub fn admits(&mut self, manifest: &Manifest, fresh: bool) -> Admission {
        self.versions(manifest.name.key()).admits(manifest, fresh)
    }

    /// Lists a version that is admitted, and strikes what it ends.
    pub fn insert(&mut self, manifest: &Manifest, expiry: Expiry) {
        self.count(manifest.content, true);
        self.edits.push(Edit::List(manifest.clone(), expiry));
        let ended = self.versions(manifest.name.key()).insert(manifest.clone(), expiry);
        ended.into_iter().for_each(|(manifest, _)| self.struck(manifest));
    }

    /// Lets a version that is here live longer, if this is longer.
    pub fn extend(&mut self, like: &Holding, expiry: Expiry) {
        let Some((manifest, held)) = self.versions(like.key).get_mut(like) else { return };
        if outlasts(expiry, *held) {
            *held = expiry;
            let edit = Edit::List(manifest.clone(), expiry);
            self.edits.push(edit);
        }
    }

    /// Strikes a version, if it is here.
    pub fn remove(&mut self, like: &Holding) {
        if let Some((manifest, _)) = self.versions(like.key).remove(like) {
            self.struck(manifest);
        }
    }

    /// All versions that refer to a content.
    pub fn with_content(&self, content: &Content) -> Vec<Manifest> {
        // Seldom enough to look everywhere; a draft that changed a name before knows it better than its base.
        let unchanged = self.base.names.iter().filter(|(key, _)| !self.changes.names.contains_key(key));
        let all = unchanged.chain(&self.changes.names).flat_map(|(_, versions)| versions.iter());
        all.map(|(manifest, _)| manifest).filter(|manifest| manifest.content == *content).cloned().collect()
    }

    /// Adds an edit that the catalogue in memory knows nothing of.
    pub fn edit(&mut self, edit: Edit) {
        self.edits.push(edit);
    }

    /// The changes in memory, and the edits that make the disk say the same.
    pub fn finish(mut self) -> (Changes, Vec<Edit>) {
        self.edits.extend(self.changes.released().map(|content| Edit::Undescribe(*content)));
        (self.changes, self.edits)
    }

    fn struck(&mut self, manifest: Manifest) {
        self.count(manifest.content, false);
        self.edits.push(Edit::Strike(manifest));
    }

    /// One version more, or less, refers to a content.
    fn count(&mut self, content: Content, more: bool) {
        if content.is_removed() {
            return;
        }
        let before = || self.base.references.get(&content).copied().unwrap_or(0);
        let count = self.changes.references.entry(content).or_insert_with(before);
        *count = if more { *count + 1 } else { *count - 1 };
    }

    fn versions(&mut self, key: Id) -> &mut Versions<Expiry> {
        let before = || self.base.versions(&key).cloned().unwrap_or_default();
        self.changes.names.entry(key).or_insert_with(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::FileName;

    fn manifest(name: &str, version: u64, content: u8) -> Manifest {
        let content = match content {
            0 => Content::REMOVED,
            byte => Content { hash: [byte; 32], len_bytes: 10 },
        };
        Manifest::after(None, FileName::parse(name).unwrap(), content, Id::ZERO).at_version(version)
    }

    /// Makes a change, and says which content is released by it.
    fn change(catalogue: &mut Catalogue, work: impl FnOnce(&mut Draft)) -> Vec<u8> {
        let mut draft = Draft::new(catalogue);
        work(&mut draft);
        let (changes, _) = draft.finish();
        let released = changes.released().map(|content| content.hash[0]).collect();
        catalogue.apply(changes);
        released
    }

    #[test]
    fn content_is_released_by_its_last_version() {
        let mut catalogue = Catalogue::default();
        for held in [manifest("a", 1, 7), manifest("b", 1, 7), manifest("a", 2, 7)] {
            assert_eq!(change(&mut catalogue, |draft| draft.insert(&held, None)), [0_u8; 0]);
        }
        assert_eq!(catalogue.used_bytes(), 10, "the same bytes three times");
        for (held, released) in
            [(manifest("b", 1, 7), vec![]), (manifest("a", 2, 7), vec![]), (manifest("a", 1, 7), vec![7])]
        {
            assert_eq!(change(&mut catalogue, |draft| draft.remove(&held.holding())), released);
        }
        assert_eq!((catalogue.used_bytes(), catalogue.all().count()), (0, 0));
    }

    #[test]
    fn a_removal_releases_what_it_ends_and_refers_to_nothing() {
        let mut catalogue = Catalogue::default();
        change(&mut catalogue, |draft| draft.insert(&manifest("a", 1, 7), None));
        assert_eq!(change(&mut catalogue, |draft| draft.insert(&manifest("a", 2, 0), None)), [7]);
        assert_eq!(catalogue.used_bytes(), 0);
        assert!(!catalogue.refers_to(&Content::REMOVED));
    }

    #[test]
    fn one_draft_sees_its_own_changes() {
        let mut catalogue = Catalogue::default();
        let released = change(&mut catalogue, |draft| {
            draft.insert(&manifest("a", 1, 7), None);
            assert!(draft.refers_to(&manifest("a", 1, 7).content));
            assert_eq!(draft.admits(&manifest("a", 1, 7), true), Admission::Have);
            assert_eq!(draft.with_content(&manifest("a", 1, 7).content), [manifest("a", 1, 7)]);
            draft.remove(&manifest("a", 1, 7).holding());
            assert!(!draft.refers_to(&manifest("a", 1, 7).content));
            draft.insert(&manifest("b", 1, 8), None);
        });
        assert_eq!(released, [7]);
        assert_eq!(catalogue.all().count(), 1);
    }

    #[test]
    fn a_life_is_only_ever_made_longer() {
        let mut catalogue = Catalogue::default();
        let held = manifest("a", 1, 7);
        change(&mut catalogue, |draft| draft.insert(&held, Some(5)));
        for (offered, expected) in [(Some(4), Some(5)), (Some(9), Some(9)), (None, None), (Some(99), None)] {
            change(&mut catalogue, |draft| draft.extend(&held.holding(), offered));
            assert_eq!(catalogue.all().next(), Some(&(held.clone(), expected)));
        }
    }
}
