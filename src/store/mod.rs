//! Files at rest: bytes by their content, and an index of what they are. Knows the disk, and nothing of the network.
//!
//! ```text
//! root/lock              held while a process uses the store
//! root/content/<hash>    the bytes, under the hexadecimal BLAKE3 of themselves
//! root/index.redb        which versions of which names are kept, until when (see `index`)
//! root/memory            what the peer noted for its next run (see `journal`)
//! root/partial/          uploads that may go on
//! root/tmp/<number>      what is being written; whatever is left there at the start is removed
//! ```
//!
//! Names from the network never become paths. A version is listed only after its content is durable and struck before
//! that vanishes, so a crash at any moment leaves at worst content that no version refers to, which the next start
//! removes. All calls block; [`Store`] is cheap to clone and may be used from many threads, whose changes share
//! commits. What several threads want at once is done in one order, the same for all.

mod arrival;
mod catalogue;
mod chunk_set;
mod commit;
mod error;
mod flusher;
mod incoming;
mod index;
pub mod journal;
mod opening;
mod partial;
mod passing;
pub mod pieces;
mod pour;
pub mod scrub;
pub mod seal;
mod sidecar;
pub mod source;
mod temporary;
mod together;
mod upload;

pub use arrival::{Arrival, check_destination};
pub use chunk_set::ChunkSet;
pub use error::{StoreError, is_for_lack_of_room};
pub use incoming::Incoming;
pub use journal::Journal;
pub use partial::{Accepted, Partial, Place, sweep};
pub use passing::Passing;
pub use pieces::Pieces;
pub use pour::{PourError, pour};
pub use scrub::Scrub;
pub use upload::Upload;

pub(crate) use error::plain;

use crate::ground::{Admission, Content, Id, Manifest, Versions};
use catalogue::Catalogue;
use commit::{Change, Done, Keep};
use error::On as _;
use index::{Bookmark, Index};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use temporary::Temporary;
use together::Together;

/// The files this peer keeps for the network.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    index: Index,
    /// What the index says. Changed by `changes` alone, when it is durable.
    catalogue: Mutex<Catalogue>,
    changes: Together<Change, Result<Done, StoreError>>,
    /// What is here, but not what it was: it stays until good bytes come, for the good ones that are left in it.
    damaged: Mutex<BTreeSet<Content>>,
    /// Most bytes of content.
    quota: Option<u64>,
    next_temporary: AtomicU64,
    lock: File,
}

impl Shared {
    fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue.lock().expect("nothing panics while it is held")
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeSet<Content>> {
        self.damaged.lock().expect("nothing panics while it is held")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Closing alone does not end it while a child process, born but not yet its own program, has our handles.
        let _ = self.lock.unlock();
    }
}

/// A version as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub manifest: Manifest,
    /// What is left of its life, in whole seconds; none: it has no end.
    pub left: Option<Duration>,
}

/// Bytes of the quota that are promised to one content on its way; given back when dropped.
struct Room {
    shared: Arc<Shared>,
    len_bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.catalogue().arriving_bytes -= self.len_bytes;
    }
}

impl Store {
    /// Opens the store in the folder `root`, made if it is not there, and cleans up after a crash: unfinished writes,
    /// versions whose time is over or whose content is missing or has another length, and content that no version
    /// refers to are removed. `quota`: most bytes of content; where more is here, it stays.
    ///
    /// Fails with [`StoreError::InUse`] while another process has it open, and with [`StoreError::Corrupt`],
    /// [`StoreError::Lost`], [`StoreError::Earlier`] or [`StoreError::Later`] where going on would lose something.
    pub fn open(root: &Path, quota: Option<u64>) -> Result<Store, StoreError> {
        let lock = opening::claim(root)?;
        let (index, catalogue) = opening::load(root)?;
        let shared = Shared {
            root: root.to_owned(),
            index,
            catalogue: Mutex::new(catalogue),
            changes: Together::new(),
            damaged: Mutex::default(),
            quota,
            next_temporary: AtomicU64::new(0),
            lock,
        };
        Ok(Store { shared: Arc::new(shared) })
    }

    /// All versions of all names, in the order of their keys, the highest version of each first.
    pub fn held(&self) -> Vec<Kept> {
        let kept = |(manifest, expiry): &(Manifest, _)| Kept { manifest: manifest.clone(), left: index::left(*expiry) };
        self.shared.catalogue().all().map(kept).collect()
    }

    /// The version that answers for the name with this key; it may say "removed".
    pub fn get(&self, key: &Id) -> Option<Manifest> {
        Some(self.shared.catalogue().versions(key)?.best()?.0.clone())
    }

    /// All versions of the name with this key, the highest first.
    pub fn versions(&self, key: &Id) -> Vec<Manifest> {
        let catalogue = self.shared.catalogue();
        let versions = catalogue.versions(key).into_iter().flat_map(Versions::iter);
        versions.map(|(manifest, _)| manifest.clone()).collect()
    }

    /// The highest version of this name that has this content.
    pub fn find(&self, key: &Id, content: &Content) -> Option<Manifest> {
        self.versions(key).into_iter().find(|manifest| manifest.content == *content)
    }

    /// Whether this very version is kept, and nobody has found it damaged.
    pub fn keeps(&self, manifest: &Manifest) -> bool {
        let catalogue = self.shared.catalogue();
        let is_here = |versions: &Versions<_>| versions.get(&manifest.holding()).is_some();
        catalogue.versions(&manifest.name.key()).is_some_and(is_here)
            && !self.shared.damaged().contains(&manifest.content)
    }

    /// Whether some version has this content.
    pub fn refers_to(&self, content: &Content) -> bool {
        self.shared.catalogue().refers_to(content)
    }

    /// What was to be kept about this content when its bytes came; none where nothing was, or the disk failed.
    pub fn pieces(&self, content: &Content) -> Option<Vec<u8>> {
        self.shared.index.pieces(content).ok().flatten()
    }

    /// How many bytes all content has; what several versions refer to counts once.
    pub fn used_bytes(&self) -> u64 {
        self.shared.catalogue().used_bytes()
    }

    /// The bytes of `content`, from their beginning. They stay readable while the file is open, forgotten or not.
    pub fn open_content(&self, content: &Content) -> io::Result<File> {
        File::open(content_path(&self.shared.root, content))
    }

    /// Whether this version would be taken; `fresh`: it is just being stored. See
    /// [`Versions::admits`](crate::ground::Versions::admits).
    pub fn admits(&self, manifest: &Manifest, fresh: bool) -> Admission {
        let catalogue = self.shared.catalogue();
        let versions = catalogue.versions(&manifest.name.key());
        versions.map_or(Admission::Take, |versions| versions.admits(manifest, fresh))
    }

    /// Keeps a version without its bytes being sent: because it is here already (then it lives as long as is said here,
    /// if that is longer), because some other version has the same ones, or because it says "removed".
    ///
    /// False: its bytes are not here, or damaged. On true it would survive a power cut.
    pub fn adopt(&self, manifest: &Manifest, left: Option<Duration>, fresh: bool) -> Result<bool, StoreError> {
        self.keep_durable(manifest, left, fresh, None, None)
    }

    /// Makes room for the bytes of a version that is about to arrive. A full disk is noticed here, and a used up quota.
    pub fn begin(&self, manifest: &Manifest) -> Result<Incoming, StoreError> {
        let wanted = self.new_bytes(&manifest.content);
        self.with_room(wanted, wanted, |room| Incoming::begin(self.clone(), manifest.clone(), room))
    }

    /// The same for bytes that come chunk by chunk, in any order; goes on where an earlier upload of them stopped.
    pub fn receive(&self, manifest: &Manifest, pieces: &Pieces) -> Result<Upload, StoreError> {
        let wanted = self.new_bytes(&manifest.content);
        let there = Place::within(&self.folder("partial"), &manifest.content).len_bytes();
        let begin = |room| Upload::begin(self.clone(), manifest.clone(), pieces, room);
        self.with_room(wanted, wanted.saturating_sub(there), begin)
    }

    /// Removes what uploads left that broke off, where nobody has gone on with it for so long.
    pub fn sweep_partials(&self, max_age: Duration) {
        partial::sweep(&self.folder("partial"), "", max_age);
    }

    /// Keeps a version whose bytes are at hand: reads exactly as many as it says.
    ///
    /// Fails with [`StoreError::Changed`] when they are no longer the ones that were hashed.
    pub fn keep(
        &self,
        manifest: &Manifest,
        left: Option<Duration>,
        fresh: bool,
        source: &mut impl Read,
    ) -> Result<(), StoreError> {
        if self.adopt(manifest, left, fresh)? {
            return Ok(());
        }
        let mut incoming = self.begin(manifest)?;
        incoming.fill(source).map_err(|error| match error {
            PourError::Source(error) => StoreError::disk("read", Path::new("the file to be stored"), &error),
            PourError::Ended => StoreError::Changed,
            PourError::Sink(error) => incoming.write_error(&error),
        })?;
        let outcome = incoming.commit(left, fresh);
        outcome.map_err(|error| if error == StoreError::Damaged { StoreError::Changed } else { error })
    }

    /// Removes this version, and no other of its name.
    pub fn forget(&self, manifest: &Manifest) -> Result<(), StoreError> {
        self.forget_all(vec![manifest.clone()])
    }

    /// Removes these versions, in one commit.
    pub fn forget_all(&self, manifests: Vec<Manifest>) -> Result<(), StoreError> {
        self.change(Change::Forget(manifests)).map(drop)
    }

    /// Bytes are wrong, or gone: all versions that refer to them need good ones. Until these come all stays as it is, because
    /// what is good of the bytes may be all that is left. `read`: the file that was found wrong, still open; none where there
    /// was none. If there is another one by now, nothing is wrong with that. Returns the versions, each time.
    pub fn set_damaged(&self, content: &Content, read: Option<&File>) -> Result<Vec<Manifest>, StoreError> {
        match self.change(Change::Damaged(*content, read.and_then(identity)))? {
            Done::Damaged(manifests) => Ok(manifests),
            Done::Yes | Done::WithoutBytes | Done::Outdated(_) => unreachable!("nothing is kept anew"),
        }
    }

    /// Keeps a version whose bytes are synced and verified: the end of an [`Incoming`]. `pieces`: what is to be kept
    /// about its content.
    fn place(
        &self,
        bytes: Temporary,
        manifest: &Manifest,
        left: Option<Duration>,
        fresh: bool,
        pieces: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let kept = self.keep_durable(manifest, left, fresh, Some(bytes), pieces)?;
        assert!(kept, "its bytes were given");
        Ok(())
    }

    fn keep_durable(
        &self,
        manifest: &Manifest,
        left: Option<Duration>,
        fresh: bool,
        bytes: Option<Temporary>,
        pieces: Option<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        let keep = Keep { manifest: manifest.clone(), expiry: index::expiry(left), fresh, bytes, pieces };
        match self.change(Change::Keep(keep))? {
            Done::Yes => Ok(true),
            Done::WithoutBytes => Ok(false),
            Done::Outdated(held) => Err(StoreError::Outdated(held)),
            Done::Damaged(_) => unreachable!("a version is kept, none is found damaged"),
        }
    }

    fn change(&self, change: Change) -> Result<Done, StoreError> {
        self.shared.changes.run(change, |changes| commit::make(&self.shared, changes))
    }

    /// How many bytes more this content will have here: none where it takes the place of damaged ones.
    fn new_bytes(&self, content: &Content) -> u64 {
        if self.shared.damaged().contains(content) { 0 } else { content.len_bytes }
    }

    /// Makes room for so many bytes, of which so many are new on the disk. What uploads left that broke off gives way.
    fn with_room<T>(
        &self,
        wanted: u64,
        new: u64,
        begin: impl Fn(Room) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let left = partial::bytes_in(&self.folder("partial"));
        let all = self.used_bytes().saturating_add(left).saturating_add(new);
        if left > 0 && self.shared.quota.is_some_and(|quota| all > quota) {
            self.sweep_partials(Duration::ZERO);
        }
        match begin(self.room(wanted)?) {
            Err(StoreError::Full(_)) if left > 0 => {
                self.sweep_partials(Duration::ZERO);
                begin(self.room(wanted)?)
            }
            outcome => outcome,
        }
    }

    fn room(&self, wanted: u64) -> Result<Room, StoreError> {
        let mut catalogue = self.shared.catalogue();
        let used = catalogue.used_bytes().saturating_add(catalogue.arriving_bytes);
        if let Some(quota) = self.shared.quota
            && wanted > quota.saturating_sub(used)
        {
            return Err(StoreError::Quota { wanted, used, quota });
        }
        // Lengths are claims of others: a sum of them that overflows is refused by any disk.
        let arriving = catalogue.arriving_bytes.checked_add(wanted);
        catalogue.arriving_bytes = arriving.ok_or_else(|| StoreError::Full(self.folder("content")))?;
        Ok(Room { shared: self.shared.clone(), len_bytes: wanted })
    }

    fn bookmark(&self) -> Result<Bookmark, StoreError> {
        self.shared.index.bookmark()
    }

    fn set_bookmark(&self, bookmark: Bookmark) -> Result<(), StoreError> {
        self.change(Change::Bookmark(bookmark)).map(drop)
    }

    fn content_after(&self, hash: Option<[u8; Content::HASH_LEN]>) -> Option<Content> {
        self.shared.catalogue().content_after(hash)
    }

    fn temporary(&self) -> Result<Temporary, StoreError> {
        let number = self.shared.next_temporary.fetch_add(1, Ordering::Relaxed);
        let path = self.folder("tmp").join(number.to_string());
        Temporary::create(path.clone()).on("make", &path)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.shared.root.join(name)
    }
}

fn content_path(root: &Path, content: &Content) -> PathBuf {
    root.join("content").join(content_name(content))
}

fn content_name(content: &Content) -> String {
    blake3::Hash::from_bytes(content.hash).to_hex().to_string()
}

/// What tells a file from all others, for as long as it is open.
type FileId = (u64, u64);

fn identity(file: &File) -> Option<FileId> {
    file.metadata().ok().map(|about| (about.dev(), about.ino()))
}

/// Removes a file; that it is gone already is as good.
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).on("remove", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
use opening::files_in;

#[cfg(test)]
pub(crate) mod tests;
