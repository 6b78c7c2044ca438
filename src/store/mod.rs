//! Files at rest: bytes by their content, names beside them. Knows the disk, and nothing of the network.
//!
//! ```text
//! root/lock              held while a process uses the store
//! root/content/<hash>    the bytes, under the hexadecimal BLAKE3 of themselves
//! root/names/<key>       a manifest, under the hexadecimal SHA-1 of the file's name (see `record`)
//! root/memory            what the peer noted for its next run (see `journal`)
//! root/tmp/<number>      what is being written; whatever is left there at the start is removed
//! ```
//!
//! Names from the network never become paths. A name file appears only after its content is durable and vanishes
//! before it does, so a crash at any moment leaves at worst content that no name refers to, which the next start
//! removes. All calls block; [`Store`] is cheap to clone and may be used from many threads.

mod arrival;
mod catalogue;
mod error;
mod incoming;
pub mod journal;
mod pour;
pub mod seal;
pub mod source;
mod temporary;

pub use arrival::Arrival;
pub use error::StoreError;
pub use incoming::Incoming;
pub use journal::Journal;
pub use pour::{PourError, pour};

pub(crate) use error::plain;

use crate::ground::record;
use crate::ground::{Admission, Content, Id, Manifest};
use catalogue::Catalogue;
use error::On as _;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use temporary::{Temporary, sync_folder};

/// The files this peer keeps for the network.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    /// Held while names and content change places on disk, so that both always agree.
    catalogue: Mutex<Catalogue>,
    next_temporary: AtomicU64,
    lock: File,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Closing alone does not end it while a child process, born but not yet its own program, has our handles.
        let _ = self.lock.unlock();
    }
}

impl Store {
    /// Opens the store in the folder `root`, made if it is not there, and cleans up after a crash: unfinished
    /// writes, names whose content is missing or has another length, and content that no name refers to are removed.
    ///
    /// Fails with [`StoreError::InUse`] while another process has it open.
    pub fn open(root: &Path) -> Result<Store, StoreError> {
        for folder in ["content", "names", "tmp"].map(|name| root.join(name)) {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).on("make", &folder)?;
        }
        let lock = lock(root)?;
        // Files inside are durable only if the folders are.
        sync_folder(root).on("write", root)?;
        // The one above is not ours, and perhaps not even readable.
        let _ = sync_folder(&root.join(".."));

        for leftover in files_in(&root.join("tmp"))? {
            remove(&leftover)?;
        }
        let catalogue = load_names(root)?;
        let referred_to: BTreeSet<PathBuf> = catalogue.contents().map(|content| content_path(root, content)).collect();
        for path in files_in(&root.join("content"))? {
            if !referred_to.contains(&path) {
                remove(&path)?;
            }
        }
        let shared =
            Shared { root: root.to_owned(), catalogue: Mutex::new(catalogue), next_temporary: AtomicU64::new(0), lock };
        Ok(Store { shared: Arc::new(shared) })
    }

    /// Everything that is kept, one version of each name, in the order of their keys.
    pub fn manifests(&self) -> Vec<Manifest> {
        self.catalogue().manifests().cloned().collect()
    }

    /// The version kept of the file whose name has this key.
    pub fn get(&self, key: &Id) -> Option<Manifest> {
        self.catalogue().get(key).cloned()
    }

    /// The bytes of `content`, from their beginning. They stay readable while the file is open, forgotten or not.
    pub fn open_content(&self, content: &Content) -> io::Result<File> {
        File::open(content_path(&self.shared.root, content))
    }

    /// Whether this version would be taken. Of two versions of one name the higher
    /// [`rank`](crate::ground::Holding::rank) wins, whichever comes first.
    pub fn admits(&self, manifest: &Manifest) -> Admission {
        self.catalogue().admits(manifest)
    }

    /// Keeps a version without its bytes being sent, where some name has the same ones. False: they are not here.
    pub fn adopt(&self, manifest: &Manifest) -> Result<bool, StoreError> {
        let mut catalogue = self.catalogue();
        match catalogue.admits(manifest) {
            Admission::Have => return Ok(true),
            Admission::Outdated(held) => return Err(StoreError::Outdated(held)),
            Admission::Take => {}
        }
        if !catalogue.refers_to(&manifest.content) {
            return Ok(false);
        }
        self.write_name(manifest)?;
        self.list(&mut catalogue, manifest)?;
        Ok(true)
    }

    /// Makes room for the bytes of a version that is about to arrive. A full disk is noticed here.
    pub fn begin(&self, manifest: &Manifest) -> Result<Incoming, StoreError> {
        Incoming::begin(self.clone(), manifest.clone())
    }

    /// Keeps a version whose bytes are at hand: reads exactly as many as it says.
    ///
    /// Fails with [`StoreError::Changed`] when they are no longer the ones that were hashed.
    pub fn keep(&self, manifest: &Manifest, source: &mut impl Read) -> Result<(), StoreError> {
        if self.adopt(manifest)? {
            return Ok(());
        }
        let mut incoming = self.begin(manifest)?;
        incoming.fill(source).map_err(|error| match error {
            PourError::Source(error) => StoreError::disk("read", Path::new("the file to be stored"), &error),
            PourError::Ended => StoreError::Changed,
            PourError::Sink(error) => incoming.write_error(&error),
        })?;
        incoming.commit().map_err(|error| if error == StoreError::Damaged { StoreError::Changed } else { error })
    }

    /// Removes a version, unless another one has taken its place meanwhile.
    pub fn forget(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let mut catalogue = self.catalogue();
        let key = manifest.name.key();
        if catalogue.get(&key) != Some(manifest) {
            return Ok(());
        }
        remove(&self.name_path(&key))?;
        sync_folder(&self.folder("names")).on("write", &self.folder("names"))?;
        self.drop_content(catalogue.remove(&key))
    }

    /// Puts durable bytes and then their name in their places: the end of an [`Incoming`].
    fn place(&self, bytes: Temporary, manifest: &Manifest) -> Result<(), StoreError> {
        let mut catalogue = self.catalogue();
        // Another version may have come in while these bytes arrived.
        match catalogue.admits(manifest) {
            Admission::Have => return Ok(()),
            Admission::Outdated(held) => return Err(StoreError::Outdated(held)),
            Admission::Take => {}
        }
        let path = content_path(&self.shared.root, &manifest.content);
        let placed = bytes.place(&path).on("write", &path).and_then(|()| self.write_name(manifest));
        if let Err(error) = placed {
            if !catalogue.refers_to(&manifest.content) {
                let _ = remove(&path);
            }
            return Err(error);
        }
        self.list(&mut catalogue, manifest)
    }

    /// Changes the catalogue, once the disk says the same.
    fn list(&self, catalogue: &mut Catalogue, manifest: &Manifest) -> Result<(), StoreError> {
        self.drop_content(catalogue.insert(manifest.clone()))
    }

    fn write_name(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let path = self.name_path(&manifest.name.key());
        let mut file = self.temporary()?;
        file.file().write_all(&record::encode(manifest)).on("write", &path)?;
        file.sync().on("write", &path)?;
        file.place(&path).on("write", &path)
    }

    fn drop_content(&self, content: Option<Content>) -> Result<(), StoreError> {
        content.map_or(Ok(()), |content| remove(&content_path(&self.shared.root, &content)))
    }

    fn temporary(&self) -> Result<Temporary, StoreError> {
        let number = self.shared.next_temporary.fetch_add(1, Ordering::Relaxed);
        let path = self.folder("tmp").join(number.to_string());
        Temporary::create(path.clone()).on("make", &path)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.shared.root.join(name)
    }

    fn name_path(&self, key: &Id) -> PathBuf {
        self.folder("names").join(key.to_string())
    }

    fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.shared.catalogue.lock().expect("nothing panics while it is held")
    }
}

fn content_path(root: &Path, content: &Content) -> PathBuf {
    root.join("content").join(blake3::Hash::from_bytes(content.hash).to_hex().as_str())
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let file = File::create(&path).on("open", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(root.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::disk("lock", &path, &error)),
    }
}

/// Reads all name files; those that are of no use are removed.
fn load_names(root: &Path) -> Result<Catalogue, StoreError> {
    let mut catalogue = Catalogue::default();
    for path in files_in(&root.join("names"))? {
        let text = fs::read(&path).on("read", &path)?;
        match record::decode(&text) {
            Ok(manifest) if is_whole(root, &path, &manifest) => _ = catalogue.insert(manifest),
            Ok(_) | Err(record::BadRecord::Malformed) => remove(&path)?,
            Err(record::BadRecord::Later) => return Err(StoreError::Later(path)),
        }
    }
    Ok(catalogue)
}

/// The name file has the right name, and its content is there in full length.
fn is_whole(root: &Path, path: &Path, manifest: &Manifest) -> bool {
    let len_bytes = fs::metadata(content_path(root, &manifest.content)).map(|about| about.len());
    path.ends_with(manifest.name.key().to_string()) && len_bytes.is_ok_and(|len| len == manifest.content.len_bytes)
}

/// The regular files in `folder`.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries: io::Result<Vec<_>> = fs::read_dir(folder).and_then(Iterator::collect);
    let entries = entries.on("read", folder)?;
    let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    Ok(entries.iter().filter(|entry| is_file(entry)).map(fs::DirEntry::path).collect())
}

/// Removes a file; that it is gone already is as good.
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).on("remove", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
