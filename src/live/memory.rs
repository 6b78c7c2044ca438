//! What a peer knew, from an earlier run: its notes, and who it is.

use super::body::seed;
use super::config::Identity;
use crate::ground::Id;
use crate::peer::Memory;
use crate::store::{Journal, StoreError};
use std::path::Path;

/// The key of the peer's own id. The peer notes another one there, if its address wants it (BEP 42).
const ID: &[u8] = b"id";

/// What was found in a journal.
pub struct Remembered {
    /// Who the peer is.
    pub id: Id,
    /// For its notes.
    pub journal: Journal,
    /// What it noted.
    pub memory: Vec<Memory>,
}

/// Opens the journal in a folder. Who has no id yet gets one, which is kept there.
pub fn open(folder: &Path, identity: Identity) -> Result<Remembered, StoreError> {
    let (mut journal, noted) = Journal::open(folder)?;
    let kept = noted.iter().find(|(key, ..)| key == ID).and_then(|(_, value, _)| Id::from_slice(value));
    let id = match (identity, kept) {
        (Identity::Given(id), _) => id,
        (Identity::Kept { bits }, Some(id)) => Identity::truncated(id, bits),
        (Identity::Kept { bits }, None) => {
            let id = drawn();
            journal.note(ID, Some(id.as_bytes()))?;
            Identity::truncated(id, bits)
        }
    };
    let others = noted.into_iter().filter(|(key, ..)| key != ID);
    let memory = others.map(|(key, value, age)| Memory { key, value, age }).collect();
    Ok(Remembered { id, journal, memory })
}

/// An id that nobody can foresee.
pub fn drawn() -> Id {
    let lots: Vec<u8> = (0..3).flat_map(|_| seed().to_be_bytes()).collect();
    Id::hashed(&lots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_given_no_id_keeps_the_first_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let id = |identity| open(dir.path(), identity).unwrap().id;
        let first = id(Identity::Kept { bits: 160 });
        assert_eq!(id(Identity::Kept { bits: 160 }), first);
        assert_eq!(id(Identity::Kept { bits: 12 }), Identity::truncated(first, 12));
        assert_eq!(id(Identity::Given(Id::numbered(7))), Id::numbered(7));
        assert!(open(dir.path(), Identity::Kept { bits: 160 }).unwrap().memory.is_empty());
        let other = tempfile::tempdir().unwrap();
        assert_ne!(open(other.path(), Identity::Kept { bits: 160 }).unwrap().id, first);
    }

    #[test]
    fn notes_come_back_as_memories() {
        let dir = tempfile::tempdir().unwrap();
        let mut found = open(dir.path(), Identity::Kept { bits: 160 }).unwrap();
        found.journal.note(b"table", Some(b"contacts")).unwrap();
        drop(found);
        let found = open(dir.path(), Identity::Kept { bits: 160 }).unwrap();
        let [memory] = &found.memory[..] else { panic!() };
        assert_eq!((&memory.key[..], &memory.value[..]), (&b"table"[..], &b"contacts"[..]));
    }
}
