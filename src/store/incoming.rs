//! A version on its way into the store.

use super::error::On as _;
use super::pieces::PieceHasher;
use super::temporary::{Temporary, reserve};
use super::{PourError, Room, Store, StoreError};
use crate::ground::Manifest;
use std::io::{self, Read};
use std::time::Duration;

/// Bytes that are not in the store yet. Dropped without being committed, they leave nothing behind.
pub struct Incoming {
    store: Store,
    manifest: Manifest,
    file: Temporary,
    hasher: PieceHasher,
    room: Room,
}

impl Incoming {
    pub(super) fn begin(store: Store, manifest: Manifest, room: Room) -> Result<Incoming, StoreError> {
        let file = store.temporary()?;
        let reserved = reserve(file.file(), manifest.content.len_bytes);
        reserved.on("write", file.path())?;
        Ok(Incoming { store, manifest, file, hasher: PieceHasher::default(), room })
    }

    /// Reads exactly as many bytes as the manifest says.
    pub fn fill(&mut self, source: &mut impl Read) -> Result<(), PourError> {
        let left = self.manifest.content.len_bytes - self.hasher.count();
        self.file.fill(source, left, &mut self.hasher)
    }

    /// How many bytes of it are here.
    pub fn len_bytes(&self) -> u64 {
        self.hasher.count()
    }

    /// The sentence for a failed write.
    pub fn write_error(&self, error: &io::Error) -> StoreError {
        StoreError::disk("write", self.file.path(), error)
    }

    /// Checks the bytes and keeps them. On return they and their name would survive a power cut.
    ///
    /// Fails with [`StoreError::Damaged`] if they are not those of the manifest, and with [`StoreError::Outdated`] if a
    /// higher version came in while they arrived. `left`: how long it is kept; `fresh`: see [`Store::admits`].
    pub fn commit(self, left: Option<Duration>, fresh: bool) -> Result<(), StoreError> {
        let Incoming { store, manifest, file, hasher, room } = self;
        let pieces = hasher.finish();
        if pieces.content() != manifest.content {
            return Err(StoreError::Damaged);
        }
        file.sync().on("write", file.path())?;
        store.place(file, &manifest, left, fresh, pieces.to_kept())?;
        // What is kept is counted; from now on not twice.
        drop(room);
        Ok(())
    }
}
