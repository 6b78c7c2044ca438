//! How what is kept changes: one thread at a time makes all changes that wait durable, and then known.
//!
//! Bytes get their name before the index lists them, and lose it after the index has struck them: whenever a crash
//! comes, every version listed has its content.

use super::catalogue::{Changes, Draft};
use super::error::On as _;
use super::index::{Bookmark, Edit, Expiry};
use super::temporary::{Temporary, sync_folder};
use super::{FileId, Shared, StoreError, content_path, identity, remove};
use crate::ground::{Admission, Content, Holding, Manifest};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

/// What is to become of what is kept.
pub(super) enum Change {
    /// A version is to be kept.
    Keep(Keep),
    /// Versions are to be dropped.
    Forget(Vec<Manifest>),
    /// These bytes are wrong, as long as they lie in this file, or in none.
    Damaged(Content, Option<FileId>),
    /// How far the scrub is.
    Bookmark(Bookmark),
}

/// A version to be kept.
pub(super) struct Keep {
    pub manifest: Manifest,
    pub expiry: Expiry,
    /// See [`Versions::admits`](crate::ground::Versions::admits).
    pub fresh: bool,
    /// Synced. None: some other version has the same bytes, or it has none.
    pub bytes: Option<Temporary>,
    /// What is kept about its content, where that is new.
    pub pieces: Option<Vec<u8>>,
}

/// What became of a [`Change`] that is durable now.
pub(super) enum Done {
    /// It is as wanted.
    Yes,
    /// The version is not kept: its bytes are not here.
    WithoutBytes,
    /// The version is not kept: this one is here.
    Outdated(Holding),
    /// These have no good bytes.
    Damaged(Vec<Manifest>),
}

/// What one commit does.
struct Plan {
    changes: Changes,
    edits: Vec<Edit>,
    arrivals: Vec<(Temporary, Content)>,
    dones: Vec<Done>,
}

/// Makes the changes in this order; all of them fail where one does.
pub(super) fn make(shared: &Shared, changes: Vec<Change>) -> Vec<Result<Done, StoreError>> {
    let len = changes.len();
    // Nobody else changes the catalogue, so what is planned stays true while others read it.
    let plan = plan(shared, changes);
    match perform(shared, plan) {
        Ok(dones) => dones.into_iter().map(Ok).collect(),
        Err(error) => (0..len).map(|_| Err(error.clone())).collect(),
    }
}

fn plan(shared: &Shared, changes: Vec<Change>) -> Plan {
    let catalogue = shared.catalogue();
    let mut draft = Draft::new(&catalogue);
    let mut arrivals = Vec::new();
    let dones = changes.into_iter().map(|change| match change {
        Change::Keep(keep) => plan_to_keep(&mut draft, &shared.damaged(), keep, &mut arrivals),
        Change::Forget(manifests) => {
            manifests.iter().for_each(|manifest| draft.remove(&manifest.holding()));
            Done::Yes
        }
        Change::Damaged(content, read) => {
            let is_so = draft.refers_to(&content) && is_still_there(&shared.root, &content, read);
            if is_so {
                shared.damaged().insert(content);
            }
            Done::Damaged(if is_so { draft.with_content(&content) } else { Vec::new() })
        }
        Change::Bookmark(bookmark) => {
            draft.edit(Edit::Bookmark(bookmark));
            Done::Yes
        }
    });
    let dones = dones.collect();
    let (changes, edits) = draft.finish();
    Plan { changes, edits, arrivals, dones }
}

/// What was found wrong is what lies there now: good bytes may have come meanwhile.
fn is_still_there(root: &Path, content: &Content, read: Option<FileId>) -> bool {
    match (File::open(content_path(root, content)), read) {
        (Ok(file), Some(read)) => identity(&file).is_none_or(|there| there == read),
        (Ok(_), None) => false,
        (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn plan_to_keep(
    draft: &mut Draft,
    damaged: &BTreeSet<Content>,
    keep: Keep,
    arrivals: &mut Vec<(Temporary, Content)>,
) -> Done {
    let content = keep.manifest.content;
    let admission = draft.admits(&keep.manifest, keep.fresh);
    if let Admission::Outdated(held) = admission {
        return Done::Outdated(held);
    }
    if !content.is_removed() && (!draft.refers_to(&content) || damaged.contains(&content)) {
        let Some(bytes) = keep.bytes else { return Done::WithoutBytes };
        arrivals.push((bytes, content));
    }
    match admission {
        Admission::Have => draft.extend(&keep.manifest.holding(), keep.expiry),
        Admission::Take => draft.insert(&keep.manifest, keep.expiry),
        Admission::Outdated(_) => unreachable!("it has left above"),
    }
    if let Some(pieces) = keep.pieces {
        draft.edit(Edit::Describe(content, pieces));
    }
    Done::Yes
}

fn perform(shared: &Shared, plan: Plan) -> Result<Vec<Done>, StoreError> {
    let Plan { changes, edits, arrivals, dones } = plan;
    let arrived: Vec<Content> = arrivals.iter().map(|(_, content)| *content).collect();
    let durable = place_all(shared, arrivals).and_then(|()| shared.index.commit(&edits));
    if let Err(error) = durable {
        let catalogue = shared.catalogue();
        for content in arrived.iter().filter(|content| !catalogue.refers_to(content)) {
            // What stays is removed at the next start.
            let _ = remove(&content_path(&shared.root, content));
        }
        return Err(error);
    }
    let released: Vec<Content> = changes.released().copied().collect();
    shared.catalogue().apply(changes);
    shared.damaged().retain(|content| !arrived.contains(content) && !released.contains(content));
    for content in &released {
        // The same: it is struck, and only its room is lost until the next start.
        let _ = remove(&content_path(&shared.root, content));
    }
    Ok(dones)
}

/// Gives synced bytes their names, and makes these durable.
fn place_all(shared: &Shared, arrivals: Vec<(Temporary, Content)>) -> Result<(), StoreError> {
    if arrivals.is_empty() {
        return Ok(());
    }
    for (bytes, content) in arrivals {
        let path = content_path(&shared.root, &content);
        bytes.rename(&path).on("write", &path)?;
    }
    let folder = shared.root.join("content");
    sync_folder(&folder).on("write", &folder)
}
