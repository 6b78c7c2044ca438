//! What a store does before it is open: takes its lock, sweeps what a crash left, and checks that all is there.

use super::catalogue::{Catalogue, Draft};
use super::error::On as _;
use super::index::{Expiry, Index, unix_seconds};
use super::temporary::sync_folder;
use super::{StoreError, content_name, remove};
use crate::ground::{Content, Manifest};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, DirEntry, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often a lock is tried.
const LOCK_TRIES: u32 = 20;
/// Time between two tries. Guess: a process is started in a few milliseconds, on a busy machine in some tens.
const LOCK_TRY_EVERY: Duration = Duration::from_millis(10);

/// Makes the store's folders, where they are not there, and holds them against other processes.
pub(super) fn claim(root: &Path) -> Result<File, StoreError> {
    for folder in ["content", "partial", "tmp"].map(|name| root.join(name)) {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).on("make", &folder)?;
    }
    let lock = lock(root)?;
    // Files inside are durable only if the folders are.
    sync_folder(root).on("write", root)?;
    // The one above is not ours, and perhaps not even readable.
    let _ = sync_folder(&root.join(".."));
    Ok(lock)
}

/// Locks a file, or says that somebody else has, after a moment: who has just ended lets go a little later, and so does a
/// process that is being started, until it runs its own program.
pub(super) fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_TRY_EVERY),
            tried => return tried,
        }
    }
    file.try_lock()
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let file = File::create(&path).on("open", &path)?;
    match try_lock(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(root.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::disk("lock", &path, &error)),
    }
}

/// Opens the index, and makes it and the content agree: versions whose time is over or whose content is missing or has
/// another length are struck, content that no version refers to is removed.
pub(super) fn load(root: &Path) -> Result<(Index, Catalogue), StoreError> {
    for leftover in files_in(&root.join("tmp"))? {
        remove(&leftover)?;
    }
    let mut content = lengths_in(&root.join("content"))?;
    refuse_what_is_not_understood(root, content.is_empty())?;
    let (index, listed) = Index::open(root)?;
    let catalogue = settle(&index, listed, &content)?;
    for (manifest, _) in catalogue.all() {
        content.remove(&content_name(&manifest.content));
    }
    for unreferenced in content.keys() {
        remove(&root.join("content").join(unreferenced))?;
    }
    Ok((index, catalogue))
}

/// Content without an index would be taken for leftovers.
fn refuse_what_is_not_understood(root: &Path, is_empty: bool) -> Result<(), StoreError> {
    let (index, names) = (root.join("index.redb"), root.join("names"));
    if index.exists() {
        return Ok(());
    }
    if names.is_dir() && !files_in(&names)?.is_empty() {
        return Err(StoreError::Earlier(root.to_owned()));
    }
    if is_empty { Ok(()) } else { Err(StoreError::Lost(index)) }
}

fn settle(
    index: &Index,
    listed: Vec<(Manifest, Expiry)>,
    lengths: &BTreeMap<String, u64>,
) -> Result<Catalogue, StoreError> {
    let now = unix_seconds();
    let is_whole = |content: &Content| lengths.get(&content_name(content)) == Some(&content.len_bytes);
    let is_over = |(manifest, expiry): &(Manifest, Expiry)| {
        let has_bytes = manifest.content.is_removed() || is_whole(&manifest.content);
        !has_bytes || expiry.is_some_and(|expiry| expiry <= now)
    };
    let mut catalogue = Catalogue::default();
    let mut draft = Draft::new(&catalogue);
    listed.iter().for_each(|(manifest, expiry)| draft.insert(manifest, *expiry));
    // On disk they are.
    let (changes, _) = draft.finish();
    catalogue.apply(changes);

    let mut draft = Draft::new(&catalogue);
    listed.iter().filter(|row| is_over(row)).for_each(|(manifest, _)| draft.remove(&manifest.holding()));
    let (changes, edits) = draft.finish();
    index.commit(&edits)?;
    catalogue.apply(changes);
    Ok(catalogue)
}

/// How long the regular files in `folder` are, by their names.
fn lengths_in(folder: &Path) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut lengths = BTreeMap::new();
    for entry in entries_of(folder)? {
        let about = entry.metadata().on("read", &entry.path())?;
        lengths.insert(entry.file_name().to_string_lossy().into_owned(), about.len());
    }
    Ok(lengths)
}

/// The regular files in `folder`.
pub(super) fn files_in(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    Ok(entries_of(folder)?.iter().map(DirEntry::path).collect())
}

fn entries_of(folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
    let entries: io::Result<Vec<_>> = fs::read_dir(folder).and_then(Iterator::collect);
    let is_file = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    Ok(entries.on("read", folder)?.into_iter().filter(is_file).collect())
}
