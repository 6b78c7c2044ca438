//! What the store holds, in memory: which version of each name, and which content they refer to.

use crate::ground::{Admission, Content, Id, Manifest};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Catalogue {
    by_key: BTreeMap<Id, Manifest>,
    /// How many names refer to each content; never zero.
    references: BTreeMap<Content, usize>,
}

impl Catalogue {
    pub fn get(&self, key: &Id) -> Option<&Manifest> {
        self.by_key.get(key)
    }

    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.by_key.values()
    }

    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        self.references.keys()
    }

    pub fn refers_to(&self, content: &Content) -> bool {
        self.references.contains_key(content)
    }

    pub fn admits(&self, manifest: &Manifest) -> Admission {
        let Some(held) = self.get(&manifest.name.key()) else { return Admission::Take };
        match held.holding().rank().cmp(&manifest.holding().rank()) {
            std::cmp::Ordering::Less => Admission::Take,
            std::cmp::Ordering::Equal => Admission::Have,
            std::cmp::Ordering::Greater => Admission::Outdated(held.holding()),
        }
    }

    /// Lists a version in place of the one before. Returns the content that no name refers to any more.
    pub fn insert(&mut self, manifest: Manifest) -> Option<Content> {
        *self.references.entry(manifest.content).or_default() += 1;
        let before = self.by_key.insert(manifest.name.key(), manifest)?;
        self.release(before.content)
    }

    /// Strikes a name. Returns the content that no name refers to any more.
    pub fn remove(&mut self, key: &Id) -> Option<Content> {
        let before = self.by_key.remove(key)?;
        self.release(before.content)
    }

    fn release(&mut self, content: Content) -> Option<Content> {
        let count = self.references.get_mut(&content).expect("every listed content is counted");
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.references.remove(&content);
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::FileName;

    fn manifest(name: &str, version: u64, content: u8) -> Manifest {
        let name = FileName::parse(name).unwrap();
        Manifest::after(None, name, Content { hash: [content; 32], len_bytes: 1 }, Id::ZERO).at_version(version)
    }

    #[test]
    fn content_is_released_by_its_last_name() {
        let mut catalogue = Catalogue::default();
        assert_eq!(catalogue.insert(manifest("a", 1, 7)), None);
        assert_eq!(catalogue.insert(manifest("b", 1, 7)), None);
        assert_eq!(catalogue.insert(manifest("a", 2, 7)), None, "the same bytes, stored again");
        assert_eq!(catalogue.insert(manifest("a", 3, 8)), None, "b still refers to them");
        assert_eq!(catalogue.remove(&manifest("b", 1, 7).name.key()), Some(manifest("b", 1, 7).content));
    }

    #[test]
    fn of_equal_versions_the_higher_content_wins() {
        let mut catalogue = Catalogue::default();
        catalogue.insert(manifest("a", 1, 7));
        assert_eq!(catalogue.admits(&manifest("a", 1, 6)), Admission::Outdated(manifest("a", 1, 7).holding()));
        assert_eq!(catalogue.admits(&manifest("a", 1, 7)), Admission::Have);
        assert_eq!(catalogue.admits(&manifest("a", 1, 8)), Admission::Take);
    }
}
