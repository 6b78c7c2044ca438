//! The versions kept of one name, and which others are taken beside them.
//!
//! Two versions stored at once are both kept; the higher (version, content) answers. What says "removed" ends all
//! versions below it, also those that come back later from a peer that was away.

use super::{Holding, Manifest};

/// Most versions kept of one name. Guess: as many as people go back, and an answer over UDP holds them all.
pub const MAX_VERSIONS: usize = 8;

/// Whether a version would be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Take,
    /// It is here already.
    Have,
    /// Not beside this later one.
    Outdated(Holding),
}

/// The versions of one name, the highest first; each with a note of whoever keeps them.
#[derive(Clone, Debug)]
pub struct Versions<T> {
    kept: Vec<(Manifest, T)>,
}

impl<T> Default for Versions<T> {
    fn default() -> Versions<T> {
        Versions { kept: Vec::new() }
    }
}

impl<T> Versions<T> {
    /// The version that answers a request; it may say "removed".
    pub fn best(&self) -> Option<&(Manifest, T)> {
        self.kept.first()
    }

    /// All of them, the highest first.
    pub fn iter(&self) -> impl Iterator<Item = &(Manifest, T)> {
        self.kept.iter()
    }

    /// All of them, the highest first, with notes to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Manifest, &mut T)> {
        self.kept.iter_mut().map(|(manifest, note)| (&*manifest, note))
    }

    /// The version of the same rank as this.
    pub fn get_mut(&mut self, like: &Holding) -> Option<(&Manifest, &mut T)> {
        self.iter_mut().find(|(manifest, _)| manifest.rank() == like.rank())
    }

    /// The version of the same rank as this.
    pub fn get(&self, like: &Holding) -> Option<&(Manifest, T)> {
        self.kept.iter().find(|(manifest, _)| manifest.rank() == like.rank())
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether a version would be taken. `fresh`: it is just being stored, and shall be the one that answers; who stores
    /// it is told of a higher one, to follow that.
    pub fn admits(&self, manifest: &Manifest, fresh: bool) -> Admission {
        let rank = manifest.rank();
        if self.kept.iter().any(|(held, _)| held.rank() == rank) {
            return Admission::Have;
        }
        let Some((best, _)) = self.best() else { return Admission::Take };
        let ended = self.kept.iter().any(|(held, _)| held.content.is_removed() && held.rank() > rank);
        let crowded = self.kept.len() >= MAX_VERSIONS && self.kept.last().is_some_and(|(last, _)| last.rank() > rank);
        if ended || crowded || fresh && best.rank() > rank {
            return Admission::Outdated(best.holding());
        }
        Admission::Take
    }

    /// Adds a version that [`admits`](Versions::admits) would take. Returns those that are not kept any more.
    pub fn insert(&mut self, manifest: Manifest, note: T) -> Vec<(Manifest, T)> {
        let at = self.kept.partition_point(|(held, _)| held.rank() > manifest.rank());
        self.kept.insert(at, (manifest, note));
        let removed_at = self.kept.iter().position(|(held, _)| held.content.is_removed());
        let len = removed_at.map_or(MAX_VERSIONS, |at| MAX_VERSIONS.min(at + 1));
        self.kept.split_off(len.min(self.kept.len()))
    }

    /// Takes out the version of the same rank as this.
    pub fn remove(&mut self, like: &Holding) -> Option<(Manifest, T)> {
        let at = self.kept.iter().position(|(held, _)| held.rank() == like.rank())?;
        Some(self.kept.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, FileName, Id};
    use super::*;

    fn manifest(version: u64, content: u8) -> Manifest {
        let name = FileName::parse("4103").unwrap();
        let content = match content {
            0 => Content::REMOVED,
            byte => Content { hash: [byte; 32], len_bytes: 1 },
        };
        Manifest { name, version, content, previous: None, stored_by: Id::ZERO, ttl: None }
    }

    fn versions(kept: &[(u64, u8)]) -> Versions<()> {
        let mut versions = Versions::default();
        kept.iter().for_each(|(version, content)| drop(versions.insert(manifest(*version, *content), ())));
        versions
    }

    fn ranks(versions: &Versions<()>) -> Vec<(u64, u8)> {
        versions.iter().map(|(held, ())| (held.version, held.content.hash[0])).collect()
    }

    #[test]
    fn two_stored_at_once_are_both_kept_and_the_higher_answers() {
        for order in [[(2, 7), (2, 8)], [(2, 8), (2, 7)]] {
            let versions = versions(&[(1, 1), order[0], order[1]]);
            assert_eq!(ranks(&versions), [(2, 8), (2, 7), (1, 1)]);
        }
        assert_eq!(versions(&[(2, 7)]).admits(&manifest(2, 8), true), Admission::Take);
    }

    #[test]
    fn who_stores_what_would_not_answer_is_told_of_what_does() {
        let versions = versions(&[(2, 7)]);
        assert_eq!(versions.admits(&manifest(2, 6), true), Admission::Outdated(manifest(2, 7).holding()));
        assert_eq!(versions.admits(&manifest(2, 6), false), Admission::Take);
        assert_eq!(versions.admits(&manifest(1, 7), true), Admission::Outdated(manifest(2, 7).holding()));
        assert_eq!(versions.admits(&manifest(1, 7), false), Admission::Take, "it comes back from somewhere");
        assert_eq!(versions.admits(&manifest(2, 7), true), Admission::Have);
    }

    #[test]
    fn what_says_removed_ends_all_below_it() {
        let mut versions = versions(&[(1, 1), (2, 7), (4, 9)]);
        let ended = versions.insert(manifest(3, 0), ());
        assert_eq!(ended.iter().map(|(held, ())| held.version).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(ranks(&versions), [(4, 9), (3, 0)]);
        assert!(matches!(versions.admits(&manifest(2, 7), false), Admission::Outdated(_)));
        assert_eq!(
            versions.admits(&manifest(3, 5), false),
            Admission::Take,
            "stored at once with the removal: it stays"
        );
    }

    #[test]
    fn the_lowest_versions_go_where_there_are_too_many() {
        let many: Vec<(u64, u8)> = (1..=10).map(|version| (version, 1)).collect();
        let versions = versions(&many);
        assert_eq!(ranks(&versions).len(), MAX_VERSIONS);
        assert_eq!(ranks(&versions)[0], (10, 1));
        assert!(matches!(versions.admits(&manifest(1, 1), false), Admission::Outdated(_)));
    }
}
