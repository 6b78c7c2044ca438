//! A version on its way into the store, chunk by chunk.

use super::{Partial, Pieces, Place, Room, Store, StoreError};
use crate::ground::Manifest;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that are not in the store yet. Dropped without being committed, the chunks that came stay for a while (see
/// [`PARTIALS_AGE`](Upload::PARTIALS_AGE)), for whoever sends the same content next.
pub struct Upload {
    store: Store,
    manifest: Manifest,
    partial: Arc<Partial>,
    room: Room,
}

impl Upload {
    /// How long chunks of an upload that broke off are kept. Guess: who was interrupted goes on within a day.
    pub const PARTIALS_AGE: Duration = Duration::from_secs(24 * 3600);

    pub(super) fn begin(store: Store, manifest: Manifest, pieces: &Pieces, room: Room) -> Result<Upload, StoreError> {
        let place = Place::within(&store.folder("partial"), &pieces.content());
        let partial = Arc::new(Partial::open(&place, pieces)?);
        Ok(Upload { store, manifest, partial, room })
    }

    /// Where the chunks go.
    pub fn partial(&self) -> &Arc<Partial> {
        &self.partial
    }

    /// Keeps the version, when all chunks are here. On return they and their name would survive a power cut.
    ///
    /// Fails with [`StoreError::Outdated`] if a higher version came in while they arrived. `left`: how long it is kept;
    /// `fresh`: see [`Store::admits`].
    pub fn commit(self, left: Option<Duration>, fresh: bool) -> Result<(), StoreError> {
        let Upload { store, manifest, partial, room } = self;
        if !partial.is_whole() {
            return Err(StoreError::Damaged);
        }
        store.place(partial.release()?, &manifest, left, fresh, partial.pieces().to_kept())?;
        // What is kept is counted; from now on not twice.
        drop(room);
        Ok(())
    }
}
