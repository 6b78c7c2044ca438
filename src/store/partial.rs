//! A file that is being filled, chunk by chunk, in any order, by several at once.
//!
//! ```text
//! <stem>.part     the bytes, at their places
//! <stem>.have     which of them are there (see `sidecar`)
//! ```
//!
//! Only chunks that were verified count, and those are given to others at once. A process that is killed loses nothing:
//! the next one goes on where it stopped. Whoever fills a partial holds a lock on it; who comes second fills another one,
//! that nobody goes on with.

use super::StoreError;
use super::arrival::check_destination;
use super::chunk_set::ChunkSet;
use super::error::On as _;
use super::flusher::Flusher;
use super::opening::try_lock;
use super::pieces::Pieces;
use super::sidecar::{self, Claims, Sidecar};
use super::temporary::{Temporary, reserve};
use crate::ground::Content;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The longest file name of the usual file systems.
const MAX_NAME_BYTES: usize = 255;

/// How many bytes of the content's hash tell the partials of one destination apart.
const HASH_BYTES: usize = 4;

/// What the names of a partial end with.
const ENDINGS: [&str; 2] = [".part", ".have"];

/// How often a lock is tried again on a file that somebody has just finished. Guess: nobody finishes so often.
const LOCK_TRIES: usize = 4;

/// How long a file may take to get its sidecar, or its lock. Guess: a second on the slowest disk.
const JUST_MADE: Duration = Duration::from_secs(60);

/// Where a partial lies.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    stem: String,
}

impl Place {
    /// Beside the file it will become: `.received_4103.pdf.9c0011ff.part`.
    pub fn beside(destination: &Path, content: &Content) -> Place {
        let name = destination.file_name().unwrap_or_default().to_string_lossy();
        let short: String = content.hash[..HASH_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        // Room for the number of one that is filled beside it.
        let room = MAX_NAME_BYTES - 48 - 2 * HASH_BYTES;
        let stem = format!(".{}.{short}", &name[..name.floor_char_boundary(room)]);
        Place { folder: destination.parent().unwrap_or(Path::new("")).to_owned(), stem }
    }

    /// In a folder of partials, by its content alone.
    pub fn within(folder: &Path, content: &Content) -> Place {
        let stem = blake3::Hash::from_bytes(content.hash).to_hex().to_string();
        Place { folder: folder.to_owned(), stem }
    }

    /// How much of the disk it takes; zero where there is none.
    pub(super) fn len_bytes(&self) -> u64 {
        fs::metadata(self.part()).map_or(0, |about| about.len())
    }

    fn alone(&self) -> Place {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Place { folder: self.folder.clone(), stem: format!("{}.{}-{number}", self.stem, std::process::id()) }
    }

    fn part(&self) -> PathBuf {
        self.path(ENDINGS[0])
    }

    fn have(&self) -> PathBuf {
        self.path(ENDINGS[1])
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}{ending}", self.stem))
    }
}

/// A file that is being filled. To be shared by reference among those who fill it, and those who read from it.
pub struct Partial {
    place: Place,
    pieces: Pieces,
    file: Arc<File>,
    flusher: Flusher,
    state: Mutex<State>,
    /// Where somebody reads; [`NOBODY`] reads nowhere.
    reading: AtomicU64,
}

/// No chunk has this index.
const NOBODY: u64 = u64::MAX;

struct State {
    have: ChunkSet,
    /// The same since this was opened, in the order in which they came.
    arrived: Vec<u64>,
    /// None: nobody shall go on with it.
    sidecar: Option<Sidecar>,
    /// It has its real name, or another hand to look after it.
    gone: bool,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is here now.
    New,
    /// It was here.
    Known,
    /// These are not its bytes.
    Wrong,
}

impl Partial {
    /// Goes on with what an earlier order or process left; none where there is nothing, or somebody fills it now.
    pub fn resume(place: &Place, content: &Content) -> Option<Partial> {
        let file = Arc::new(lock(&place.part(), false).ok()??);
        // Read when the lock is held: nobody changes it now.
        let Claims { pieces, have, same_boot } = sidecar::read(&place.have(), content)?;
        let is_long_enough = file.metadata().is_ok_and(|about| about.len() >= content.len_bytes);
        let have = match (is_long_enough, same_boot) {
            (false, _) => return None,
            (true, true) => have,
            (true, false) => proven(&file, &pieces, &have),
        };
        let sidecar = Sidecar::create(&place.have(), &pieces, &have).ok()?;
        Some(Partial::new(place.clone(), pieces, file, have, Some(sidecar)))
    }

    /// Begins anew, or goes on with what an earlier order or process left. A full disk is noticed here.
    pub fn open(place: &Place, pieces: &Pieces) -> Result<Partial, StoreError> {
        if let Some(partial) = Partial::resume(place, &pieces.content()) {
            return Ok(partial);
        }
        let have = ChunkSet::none(pieces.count());
        let part = place.part();
        // A single chunk is not worth going on with.
        if pieces.count() > 1
            && let Some(file) = lock(&part, true).on("make", &part)?
        {
            let partial = Sidecar::create(&place.have(), pieces, &have)
                .map(|sidecar| Partial::new(place.clone(), pieces.clone(), Arc::new(file), have, Some(sidecar)));
            return partial.and_then(Partial::reserved).on("write", &part);
        }
        let place = place.alone();
        let made = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(place.part());
        let file = Arc::new(made.on("make", &part)?);
        // So that no sweep takes it for a leftover. Nobody else has its number.
        let _ = file.try_lock();
        Partial::new(place, pieces.clone(), file, have, None).reserved().on("write", &part)
    }

    fn new(place: Place, pieces: Pieces, file: Arc<File>, have: ChunkSet, sidecar: Option<Sidecar>) -> Partial {
        let flusher = Flusher::new(file.clone());
        let state = Mutex::new(State { have, arrived: Vec::new(), sidecar, gone: false });
        Partial { place, pieces, file, flusher, state, reading: AtomicU64::new(NOBODY) }
    }

    fn reserved(self) -> io::Result<Partial> {
        self.file.set_len(self.pieces.content().len_bytes)?;
        reserve(&self.file, self.pieces.content().len_bytes)?;
        Ok(self)
    }

    /// What it will be.
    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// The chunks that are here.
    pub fn have(&self) -> ChunkSet {
        self.state().have.clone()
    }

    /// All chunks are here.
    pub fn is_whole(&self) -> bool {
        self.state().have.is_full()
    }

    /// A chunk is here.
    pub fn has(&self, index: u64) -> bool {
        self.state().have.contains(index)
    }

    /// Somebody waits to read this chunk, and then those behind it.
    pub fn read(&self, index: u64) {
        self.reading.store(index, Ordering::Relaxed);
    }

    /// The chunk that somebody waits to read.
    pub fn read_from(&self) -> Option<u64> {
        Some(self.reading.load(Ordering::Relaxed)).filter(|index| *index != NOBODY)
    }

    /// Adds a chunk, if these are its bytes.
    pub fn accept(&self, index: u64, bytes: &[u8]) -> Result<Accepted, StoreError> {
        if self.state().have.contains(index) {
            return Ok(Accepted::Known);
        }
        if !self.pieces.verify(index, bytes) {
            return Ok(Accepted::Wrong);
        }
        let written = self.file.write_all_at(bytes, self.pieces.start(index));
        let noted = written.and_then(|()| self.flusher.wrote(bytes.len() as u64)).and_then(|()| self.note(index));
        noted.on("write", &self.place.part())
    }

    fn note(&self, index: u64) -> io::Result<Accepted> {
        let state = &mut *self.state();
        if !state.have.insert(index) {
            return Ok(Accepted::Known);
        }
        state.arrived.push(index);
        state.sidecar.as_ref().map_or(Ok(()), |sidecar| sidecar.note(index, &state.have))?;
        Ok(Accepted::New)
    }

    /// Which chunks came after so many others had come since this was opened.
    pub fn arrived_since(&self, seen: usize) -> Vec<u64> {
        self.state().arrived.get(seen..).unwrap_or_default().to_vec()
    }

    /// A handle for reading: what is in [`have`](Partial::have) is right, whatever else is not.
    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Replaces the destination by the file, whose chunks are all here. On return it would survive a power cut. Fails with
    /// [`StoreError::NoFile`] if something else has taken its place; what has come is kept.
    pub fn finish(&self, destination: &Path) -> Result<(), StoreError> {
        self.flusher.finish().on("write", &self.place.part())?;
        check_destination(destination)?;
        self.release()?.place(destination).on("write", destination)
    }

    /// Gives the file, whose chunks are all here, to who will give it its name. It is durable but for that.
    pub(super) fn release(&self) -> Result<Temporary, StoreError> {
        let part = self.place.part();
        self.flusher.finish().on("write", &part)?;
        let mut state = self.state();
        assert!(state.have.is_full(), "only whole files are released");
        state.gone = true;
        if state.sidecar.take().is_some() {
            let _ = fs::remove_file(self.place.have());
        }
        Ok(Temporary::taken(self.file.clone(), part))
    }

    /// Nobody shall go on with it: it goes when it is dropped.
    pub fn discard(&self) {
        self.state().sidecar = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let state = self.state.get_mut().expect("nothing panics while it is held");
        if !state.gone && (state.sidecar.is_none() || state.have.is_empty()) {
            // Nobody is left to tell; a sweep finds what stays.
            let _ = fs::remove_file(self.place.part());
            let _ = fs::remove_file(self.place.have());
        }
        // Closing alone does not end it while a child process, born but not yet its own program, has our handles.
        let _ = self.file.unlock();
    }
}

/// Those of the claimed chunks that are right.
fn proven(file: &File, pieces: &Pieces, claimed: &ChunkSet) -> ChunkSet {
    let mut have = ChunkSet::none(claimed.of());
    let mut bytes = Vec::new();
    for index in claimed.iter() {
        bytes.resize(pieces.chunk_len(index) as usize, 0);
        if file.read_exact_at(&mut bytes, pieces.start(index)).is_ok() && pieces.verify(index, &bytes) {
            have.insert(index);
        }
    }
    have
}

/// The file at `path`, locked; none if somebody else has locked it, or if there is none and `make` is not wanted.
fn lock(path: &Path, make: bool) -> io::Result<Option<File>> {
    for _ in 0..LOCK_TRIES {
        let file = match OpenOptions::new().read(true).write(true).create(make).truncate(false).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !make => return Ok(None),
            opened => opened?,
        };
        match try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Who had it until now may have finished it: then it is no partial any more.
        if fs::metadata(path).is_ok_and(|named| file.metadata().is_ok_and(|ours| same_file(&named, &ours))) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// How much of the disk partials in a folder of theirs take, those that are being filled included.
pub(super) fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let lengths = entries.flatten().map(|entry| entry.metadata().map_or(0, |about| about.len()));
    lengths.fold(0, u64::saturating_add)
}

/// Removes partials whose names begin with `prefix`, that nobody fills, and nobody has touched for `max_age`.
pub fn sweep(folder: &Path, prefix: &str, max_age: Duration) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let is_partial = name.starts_with(prefix) && ENDINGS.iter().any(|ending| name.ends_with(ending));
        let age = entry.metadata().and_then(|about| about.modified()).map(|at| at.elapsed().unwrap_or_default());
        // What has no sidecar is of no use to anybody, once it is not just being made.
        let max_age = if path.with_extension("have").exists() { max_age } else { max_age.min(JUST_MADE) };
        if !is_partial || !age.is_ok_and(|age| age >= max_age) {
            continue;
        }
        // Held while its bytes go, so that nobody begins to fill them meanwhile.
        if let Ok(Some(_held)) = lock(&path.with_extension("part"), false) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_file(path.with_extension("have"));
            let _ = fs::remove_file(path.with_extension("part"));
        } else if !path.with_extension("part").exists() {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pieces::tests::noise;
    use super::*;
    use std::os::unix::fs::FileTypeExt as _;
    use std::process::Command;
    use std::thread;
    use tempfile::{TempDir, tempdir};

    const LEN: usize = 1_000_000;

    fn place(dir: &TempDir) -> (Place, PathBuf, Vec<u8>, Pieces) {
        let (bytes, pieces) = noise(LEN);
        let destination = dir.path().join("received_4103.pdf");
        (Place::beside(&destination, &pieces.content()), destination, bytes, pieces)
    }

    fn chunk<'b>(pieces: &Pieces, bytes: &'b [u8], index: u64) -> &'b [u8] {
        &bytes[pieces.start(index) as usize..][..pieces.chunk_len(index) as usize]
    }

    fn entries(dir: &TempDir) -> usize {
        fs::read_dir(dir.path()).unwrap().count()
    }

    #[test]
    fn chunks_that_come_in_any_order_from_several_make_the_file() {
        let dir = tempdir().unwrap();
        let (place, destination, bytes, pieces) = place(&dir);
        let partial = Partial::open(&place, &pieces).unwrap();
        thread::scope(|scope| {
            for thread in 0..3 {
                let (partial, pieces, bytes) = (&partial, &pieces, &bytes);
                scope.spawn(move || {
                    for index in (0..pieces.count()).rev().filter(|index| index % 3 != thread) {
                        assert_ne!(partial.accept(index, chunk(pieces, bytes, index)).unwrap(), Accepted::Wrong);
                    }
                });
            }
        });
        assert!(partial.is_whole());
        assert_eq!(partial.arrived_since(0).len() as u64, pieces.count());
        partial.finish(&destination).unwrap();
        drop(partial);
        assert_eq!(fs::read(destination).unwrap(), bytes);
        assert_eq!(entries(&dir), 1);
    }

    #[test]
    fn a_wrong_chunk_does_not_count_and_a_known_one_counts_once() {
        let dir = tempdir().unwrap();
        let (place, _, bytes, pieces) = place(&dir);
        let partial = Partial::open(&place, &pieces).unwrap();
        assert_eq!(partial.accept(1, chunk(&pieces, &bytes, 2)).unwrap(), Accepted::Wrong);
        assert_eq!(partial.accept(1, b"").unwrap(), Accepted::Wrong);
        assert!(partial.have().is_empty());
        assert_eq!(partial.accept(1, chunk(&pieces, &bytes, 1)).unwrap(), Accepted::New);
        assert_eq!(partial.accept(1, chunk(&pieces, &bytes, 1)).unwrap(), Accepted::Known);
        assert_eq!(partial.have().iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_is_here_is_readable_while_the_rest_is_missing() {
        let dir = tempdir().unwrap();
        let (place, _, bytes, pieces) = place(&dir);
        let partial = Partial::open(&place, &pieces).unwrap();
        partial.accept(3, chunk(&pieces, &bytes, 3)).unwrap();
        let mut read = vec![0; pieces.chunk_len(3) as usize];
        partial.file().read_exact_at(&mut read, pieces.start(3)).unwrap();
        assert_eq!(read, chunk(&pieces, &bytes, 3));
    }

    #[test]
    fn the_next_one_goes_on_where_the_last_one_stopped() {
        let dir = tempdir().unwrap();
        let (place, destination, bytes, pieces) = place(&dir);
        let partial = Partial::open(&place, &pieces).unwrap();
        for index in 0..9 {
            partial.accept(index, chunk(&pieces, &bytes, index)).unwrap();
        }
        drop(partial);
        let partial = Partial::resume(&place, &pieces.content()).unwrap();
        assert_eq!(partial.have().count(), 9);
        for index in 9..pieces.count() {
            assert_eq!(partial.accept(index, chunk(&pieces, &bytes, index)).unwrap(), Accepted::New);
        }
        partial.finish(&destination).unwrap();
        assert_eq!(fs::read(destination).unwrap(), bytes);
    }

    #[test]
    fn after_the_machines_crash_only_what_is_right_counts() {
        let dir = tempdir().unwrap();
        let (place, _, bytes, pieces) = place(&dir);
        let partial = Partial::open(&place, &pieces).unwrap();
        for index in 0..9 {
            partial.accept(index, chunk(&pieces, &bytes, index)).unwrap();
        }
        partial.file().write_all_at(b"lost", pieces.start(4) + 77).unwrap();
        drop(partial);
        sidecar::age(&place.have());
        let partial = Partial::resume(&place, &pieces.content()).unwrap();
        assert_eq!(partial.have().iter().collect::<Vec<_>>(), [0, 1, 2, 3, 5, 6, 7, 8]);
    }

    #[test]
    fn what_is_no_file_is_not_replaced_and_what_has_come_is_kept() {
        let dir = tempdir().unwrap();
        let (place, destination, bytes, pieces) = place(&dir);
        let partial = Partial::open(&place, &pieces).unwrap();
        for index in 0..pieces.count() {
            partial.accept(index, chunk(&pieces, &bytes, index)).unwrap();
        }
        assert!(Command::new("mkfifo").arg(&destination).status().unwrap().success());
        assert_eq!(partial.finish(&destination), Err(StoreError::NoFile(destination.clone())));
        drop(partial);
        assert!(fs::metadata(&destination).unwrap().file_type().is_fifo());
        fs::remove_file(&destination).unwrap();
        Partial::resume(&place, &pieces.content()).unwrap().finish(&destination).unwrap();
        assert_eq!(fs::read(destination).unwrap(), bytes);
    }

    #[test]
    fn two_never_fill_the_same_file() {
        let dir = tempdir().unwrap();
        let (place, destination, bytes, pieces) = place(&dir);
        let first = Partial::open(&place, &pieces).unwrap();
        first.accept(0, chunk(&pieces, &bytes, 0)).unwrap();
        assert!(Partial::resume(&place, &pieces.content()).is_none());
        let second = Partial::open(&place, &pieces).unwrap();
        assert!(second.have().is_empty());
        for index in 0..pieces.count() {
            second.accept(index, chunk(&pieces, &bytes, index)).unwrap();
        }
        second.finish(&destination).unwrap();
        drop((first, second));
        assert_eq!(fs::read(destination).unwrap(), bytes);
        assert_eq!(entries(&dir), 3, "the file, and what the first has");
    }

    #[test]
    fn what_has_nothing_or_is_discarded_leaves_nothing_behind() {
        let dir = tempdir().unwrap();
        let (place, _, bytes, pieces) = place(&dir);
        drop(Partial::open(&place, &pieces).unwrap());
        let partial = Partial::open(&place, &pieces).unwrap();
        partial.accept(0, chunk(&pieces, &bytes, 0)).unwrap();
        partial.discard();
        drop(partial);
        assert_eq!(entries(&dir), 0);
    }

    #[test]
    fn a_sweep_takes_what_is_old_and_nobody_fills() {
        let dir = tempdir().unwrap();
        let (place, _, bytes, pieces) = place(&dir);
        fs::write(dir.path().join(".received_lost.have"), "").unwrap();
        fs::write(dir.path().join("mine.part"), "").unwrap();
        let partial = Partial::open(&place, &pieces).unwrap();
        partial.accept(0, chunk(&pieces, &bytes, 0)).unwrap();
        sweep(dir.path(), ".received_", Duration::from_secs(3600));
        assert_eq!(entries(&dir), 4, "too young");
        sweep(dir.path(), ".received_", Duration::ZERO);
        assert_eq!(entries(&dir), 3, "it is being filled");
        drop(partial);
        sweep(dir.path(), ".received_", Duration::ZERO);
        assert_eq!(entries(&dir), 1, "not ours");
    }

    #[test]
    fn the_longest_names_have_partials() {
        let dir = tempdir().unwrap();
        let (_, pieces) = noise(LEN);
        for name in ["x".repeat(255), "ü".repeat(127)] {
            let place = Place::beside(&dir.path().join(name), &pieces.content());
            let (_first, _second) = (Partial::open(&place, &pieces).unwrap(), Partial::open(&place, &pieces).unwrap());
        }
    }
}
