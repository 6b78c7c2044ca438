//! A file that nobody takes for the real one until it is whole and durable.

use super::flusher::Flusher;
use super::pieces::PieceHasher;
use super::{PourError, pour};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file under a passing name; dropped without being placed, it is removed.
pub(super) struct Temporary {
    file: Arc<File>,
    flusher: Flusher,
    path: PathBuf,
    placed: bool,
}

impl Temporary {
    /// Makes the file; fails if there is one.
    pub fn create(path: PathBuf) -> io::Result<Temporary> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Temporary::taken(Arc::new(file), path))
    }

    /// Looks after a file from now on.
    pub fn taken(file: Arc<File>, path: PathBuf) -> Temporary {
        let flusher = Flusher::new(file.clone());
        Temporary { file, flusher, path, placed: false }
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds exactly `len_bytes` bytes, hashed on the way. The disk works meanwhile: whoever waits for the end of it does
    /// not wait long, however long the file.
    pub fn fill(&mut self, source: &mut impl Read, len_bytes: u64, hasher: &mut PieceHasher) -> Result<(), PourError> {
        pour(source, len_bytes, hasher, &mut Flushed { file: &self.file, flusher: &self.flusher })
    }

    /// Returns when the bytes written so far would survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.flusher.finish()
    }

    /// Gives the file its real name, over any other of that name, and makes that durable. To be synced before.
    pub fn place(self, path: &Path) -> io::Result<()> {
        self.rename(path)?;
        sync_folder(path.parent().expect("a file lies in a folder"))
    }

    /// Gives the file its real name, which is durable when the folder is synced.
    pub fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.placed = true;
        Ok(())
    }
}

/// Writes, and has what was written flushed.
struct Flushed<'f> {
    file: &'f File,
    flusher: &'f Flusher,
}

impl Write for Flushed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.flusher.wrote(written as u64)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // Nobody is left to tell; the store's start sweeps what stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Asks the disk for all the room at once.
pub(super) fn reserve(file: &File, len_bytes: u64) -> io::Result<()> {
    if len_bytes == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, len_bytes) {
        // Some file systems cannot promise: there, a full disk is noticed when it is full.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    // The folder of a bare file name.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}
