//! A file that nobody takes for the real one until it is whole and durable.

use super::{PourError, pour};
use blake3::Hasher;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

/// Guess: at 10 MB/s, the slowest disk we can think of, a peer is silent for 13 s while it syncs twice as much.
/// In the tests so little that they meet it.
const FLUSH_EVERY_BYTES: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// A file under a passing name; dropped without being placed, it is removed.
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    placed: bool,
}

impl Temporary {
    /// Makes the file; fails if there is one.
    pub fn create(path: PathBuf) -> io::Result<Temporary> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Temporary { file, path, placed: false })
    }

    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds exactly `len_bytes` bytes, hashed on the way. The disk works meanwhile, and is never more than twice
    /// [`FLUSH_EVERY_BYTES`] behind: whoever waits for the end of it does not wait long, however long the file.
    pub fn fill(&mut self, source: &mut impl Read, len_bytes: u64, hasher: &mut Hasher) -> Result<(), PourError> {
        if len_bytes <= FLUSH_EVERY_BYTES {
            return pour(source, len_bytes, hasher, &mut self.file);
        }
        let file = &self.file;
        // Of no capacity: who sends waits until the flush before is done.
        let (turn, turns) = sync_channel(0);
        thread::scope(|scope| {
            let flusher = scope.spawn(move || turns.iter().try_for_each(|()| file.sync_data()));
            let poured = pour(source, len_bytes, hasher, &mut Flushed { file, unflushed: 0, turn });
            // The operating system tells of a failed flush only once: if it is not heard here, it never is.
            let flushed = flusher.join().expect("flushing does not panic");
            flushed.map_err(PourError::Sink).and(poured)
        })
    }

    /// Returns when the bytes written so far would survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
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

/// Writes, and every [`FLUSH_EVERY_BYTES`] has what was written flushed.
struct Flushed<'f> {
    file: &'f File,
    unflushed: u64,
    turn: SyncSender<()>,
}

impl Write for Flushed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unflushed += written as u64;
        if self.unflushed >= FLUSH_EVERY_BYTES {
            self.unflushed = 0;
            self.turn.send(()).map_err(|_| io::Error::other("an earlier write failed"))?;
        }
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

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    // The folder of a bare file name.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}
