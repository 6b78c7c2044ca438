//! A version on its way into the store.

use super::error::On as _;
use super::temporary::{Temporary, reserve};
use super::{PourError, Store, StoreError};
use crate::ground::Manifest;
use blake3::Hasher;
use std::io::{self, Read};

/// Bytes that are not in the store yet. Dropped without being committed, they leave nothing behind.
pub struct Incoming {
    store: Store,
    manifest: Manifest,
    file: Temporary,
    hasher: Hasher,
}

impl Incoming {
    pub(super) fn begin(store: Store, manifest: Manifest) -> Result<Incoming, StoreError> {
        let file = store.temporary()?;
        let reserved = reserve(file.file(), manifest.content.len_bytes);
        reserved.on("write", file.path())?;
        Ok(Incoming { store, manifest, file, hasher: Hasher::new() })
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
    /// higher version came in while they arrived.
    pub fn commit(self) -> Result<(), StoreError> {
        let Incoming { store, manifest, file, hasher } = self;
        if hasher.count() != manifest.content.len_bytes || *hasher.finalize().as_bytes() != manifest.content.hash {
            return Err(StoreError::Damaged);
        }
        file.sync().on("write", file.path())?;
        store.place(file, &manifest)
    }
}
