//! The scrub: all content is read again and again, slowly, to find what the disk has changed on its own.
//!
//! One content after the other in the order of their hashes, hashed whole. Where a pass is, is kept in the index from
//! time to time, so that a restart does not begin anew.

use super::index::{Bookmark, unix_seconds};
use super::{Store, StoreError};
use crate::ground::{Content, Manifest};
use blake3::Hasher;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

/// How much of the disk a scrub takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many bytes it reads in a second.
    pub bytes_per_second: u64,
    /// From the beginning of a pass to that of the next, if it is over by then.
    pub pass_every: Duration,
}

impl Default for Pace {
    /// Each content about once a week. Guess: archives and RAIDs do it every one to four weeks, and a copy that is
    /// found bad within a week is mended long before two more are likely to be. 8 MB/s are a twentieth of what a
    /// spinning disk reads: nobody notices, and yet 4.8 TB are done within the week.
    fn default() -> Pace {
        Pace { bytes_per_second: 8_000_000, pass_every: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// Read at once. Guess: long enough for a spinning disk to stream, short enough to be out of the way of others.
const SLICE_BYTES: usize = 1 << 20;

/// What finding and opening a file costs, in bytes read meanwhile. Guess: a seek of 8 ms at the pace above.
const OPENING_BYTES: u64 = 64 << 10;

/// Between two notes of where the scrub is. Guess: half a minute at the pace above; so much is read twice after a crash.
const BOOKMARK_EVERY_BYTES: u64 = 256 << 20;

/// The shortest rest between two passes, where a store is small and its pace quick.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// How often a store without content is looked at. Guess: nobody minds a minute.
const NOTHING_HERE: Duration = Duration::from_secs(60);

/// A scrub under way. What a step reads is for the caller to space out in time.
pub struct Scrub {
    store: Store,
    pace: Pace,
    bookmark: Bookmark,
    /// How much was read since the bookmark was kept.
    unmarked_bytes: u64,
    current: Option<Reading>,
}

/// What one step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// These versions turned out to have wrong bytes.
    pub damaged: Vec<Manifest>,
    /// How long to wait before the next step.
    pub pause: Duration,
}

/// A content that is being read.
struct Reading {
    content: Content,
    file: File,
    hasher: Hasher,
}

impl Scrub {
    /// Goes on where the last scrub of this store stopped.
    pub fn new(store: Store, pace: Pace) -> Result<Scrub, StoreError> {
        let bookmark = store.bookmark()?;
        Ok(Scrub { store, pace, bookmark, unmarked_bytes: 0, current: None })
    }

    /// Reads on, at most 1 MiB. What is gone, or what the disk cannot read, is as good as wrong.
    pub fn step(&mut self) -> Result<Step, StoreError> {
        let Some(mut reading) = self.current.take() else { return self.turn_to_next() };
        let mut buffer = vec![0; SLICE_BYTES];
        match reading.file.read(&mut buffer) {
            Ok(0) => self.end(&reading.content, Some(&reading.file), reading.is_whole()),
            Ok(got) => {
                reading.hasher.update(&buffer[..got]);
                self.current = Some(reading);
                self.read_so_much(got as u64)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.current = Some(reading);
                self.read_so_much(0)
            }
            Err(error) => self.end(&reading.content, Some(&reading.file), !is_damage(&error)),
        }
    }

    fn turn_to_next(&mut self) -> Result<Step, StoreError> {
        if self.bookmark.after.is_none() {
            let wait = self.until_next_pass();
            if !wait.is_zero() {
                return Ok(Step { damaged: Vec::new(), pause: wait });
            }
        }
        let Some(content) = self.store.content_after(self.bookmark.after) else { return self.end_pass() };
        if self.bookmark.after.is_none() {
            self.bookmark.began = unix_seconds();
        }
        match self.store.open_content(&content) {
            Ok(file) => {
                read_from_disk(&file);
                self.current = Some(Reading { content, file, hasher: Hasher::new() });
                self.read_so_much(OPENING_BYTES)
            }
            // Where it was forgotten just now, no version is dropped.
            Err(error) => self.end(&content, None, !is_damage(&error)),
        }
    }

    /// The turn of a content is over.
    fn end(&mut self, content: &Content, read: Option<&File>, is_right: bool) -> Result<Step, StoreError> {
        let damaged = if is_right { Vec::new() } else { self.store.set_damaged(content, read)? };
        self.bookmark.after = Some(content.hash);
        Ok(Step { damaged, ..self.read_so_much(0)? })
    }

    fn end_pass(&mut self) -> Result<Step, StoreError> {
        let pause = match self.bookmark.after.take() {
            Some(_) => {
                self.keep_bookmark()?;
                self.until_next_pass()
            }
            None => self.pace.pass_every.min(NOTHING_HERE),
        };
        Ok(Step { damaged: Vec::new(), pause: pause.max(SHORTEST_REST) })
    }

    fn until_next_pass(&self) -> Duration {
        // Where the clock was set back behind the beginning of the last pass, nobody knows: now.
        let since = unix_seconds().checked_sub(self.bookmark.began).map(Duration::from_secs);
        since.map_or(Duration::ZERO, |since| self.pace.pass_every.saturating_sub(since))
    }

    fn read_so_much(&mut self, len_bytes: u64) -> Result<Step, StoreError> {
        self.unmarked_bytes += len_bytes;
        if self.unmarked_bytes >= BOOKMARK_EVERY_BYTES {
            self.keep_bookmark()?;
        }
        let pause = Duration::from_secs_f64(len_bytes as f64 / self.pace.bytes_per_second.max(1) as f64);
        Ok(Step { damaged: Vec::new(), pause })
    }

    fn keep_bookmark(&mut self) -> Result<(), StoreError> {
        self.unmarked_bytes = 0;
        self.store.set_bookmark(self.bookmark)
    }
}

impl Reading {
    fn is_whole(&self) -> bool {
        self.hasher.count() == self.content.len_bytes && *self.hasher.finalize().as_bytes() == self.content.hash
    }
}

/// Where the system only lacks handles or memory, nothing is known, and the next pass may tell.
fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// Otherwise memory would be checked where the system still has the file in it.
#[cfg(target_os = "linux")]
fn read_from_disk(file: &File) {
    // Advice: where it is not taken, the scrub finds less.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn read_from_disk(_file: &File) {}

#[cfg(test)]
mod tests {
    use super::super::tests::{keep, manifest, open};
    use super::*;
    use std::fs;
    use tempfile::{TempDir, tempdir};

    const QUICK: Pace = Pace { bytes_per_second: u64::MAX, pass_every: Duration::from_secs(3600) };

    /// Scrubs until the pass is over; returns what was damaged, in the order of its finding.
    fn pass(scrub: &mut Scrub) -> Vec<Manifest> {
        let mut damaged = Vec::new();
        for _ in 0..10_000 {
            let step = scrub.step().unwrap();
            damaged.extend(step.damaged);
            if step.pause > Duration::from_secs(1) {
                return damaged;
            }
        }
        panic!("the pass never ends");
    }

    fn spoil(dir: &TempDir, bytes: &[u8], with: &[u8]) {
        let name = blake3::hash(bytes).to_hex();
        fs::write(dir.path().join("store/content").join(name.as_str()), with).unwrap();
    }

    #[test]
    fn damaged_content_is_told_with_all_versions_that_refer_to_it_and_stays() {
        let dir = tempdir().unwrap();
        let store = open(&dir);
        let long = vec![b'x'; 3 * SLICE_BYTES / 2];
        for (name, bytes) in [("a", &b"good"[..]), ("b", b"good too"), ("c", &long), ("d", &long), ("e", b"gone")] {
            keep(&store, name, 1, bytes).unwrap();
        }
        let mut spoilt = long.clone();
        spoilt[SLICE_BYTES + 7] ^= 1;
        spoil(&dir, &long, &spoilt);
        fs::remove_file(dir.path().join("store/content").join(blake3::hash(b"gone").to_hex().as_str())).unwrap();

        let mut damaged = pass(&mut Scrub::new(store.clone(), QUICK).unwrap());
        damaged.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
        assert_eq!(damaged, [manifest("c", 1, &long), manifest("d", 1, &long), manifest("e", 1, b"gone")]);
        assert!(store.keeps(&manifest("a", 1, b"good")) && damaged.iter().all(|manifest| !store.keeps(manifest)));
        assert_eq!(store.held().len(), 5);
        keep(&store, "c", 1, &long).unwrap();
        assert!(store.keeps(&manifest("c", 1, &long)) && store.keeps(&manifest("d", 1, &long)), "good bytes have come");
        drop(store);
        assert_eq!(open(&dir).held().len(), 4, "what has no bytes at all is struck when the store opens");
    }

    #[test]
    fn what_became_longer_or_shorter_is_damaged() {
        for with in [&b"goo"[..], b"good!", b""] {
            let dir = tempdir().unwrap();
            let store = open(&dir);
            keep(&store, "a", 1, b"good").unwrap();
            spoil(&dir, b"good", with);
            assert_eq!(pass(&mut Scrub::new(store, QUICK).unwrap()).len(), 1);
        }
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_damaged() {
        assert!(is_damage(&Errno::NOENT.into()) && is_damage(&Errno::IO.into()));
        assert!(
            ![Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS].iter().any(|errno| is_damage(&(*errno).into()))
        );
    }

    #[test]
    fn the_next_run_goes_on_where_the_last_one_stopped() {
        let dir = tempdir().unwrap();
        let store = open(&dir);
        let mut bytes = [b"one", b"two", b"six"];
        bytes.sort_by_key(|bytes| *blake3::hash(*bytes).as_bytes());
        bytes.iter().for_each(|bytes| keep(&store, &String::from_utf8_lossy(*bytes), 1, *bytes).unwrap());
        let mut scrub = Scrub::new(store.clone(), QUICK).unwrap();
        while scrub.bookmark.after != Some(*blake3::hash(bytes[0]).as_bytes()) {
            scrub.step().unwrap();
        }
        scrub.keep_bookmark().unwrap();
        drop((scrub, store));

        let store = open(&dir);
        spoil(&dir, bytes[0], b"bad");
        spoil(&dir, bytes[2], b"bad");
        let mut scrub = Scrub::new(store.clone(), QUICK).unwrap();
        assert_eq!(pass(&mut scrub).len(), 1, "the first had its turn");
        drop(scrub);
        assert_eq!(pass(&mut Scrub::new(store.clone(), QUICK).unwrap()).len(), 0, "the next pass is not due");
        let at_once = Pace { pass_every: Duration::ZERO, ..QUICK };
        let mut scrub = Scrub::new(store, at_once).unwrap();
        let found = (0..100).any(|_| !scrub.step().unwrap().damaged.is_empty());
        assert!(found, "in the next pass it is");
    }

    #[test]
    fn a_scrub_of_nothing_rests() {
        let dir = tempdir().unwrap();
        let mut scrub = Scrub::new(open(&dir), Pace { pass_every: Duration::ZERO, ..QUICK }).unwrap();
        assert!((0..3).all(|_| scrub.step().unwrap().pause >= SHORTEST_REST));
    }

    #[test]
    fn pauses_keep_the_pace() {
        let dir = tempdir().unwrap();
        let store = open(&dir);
        keep(&store, "a", 1, &vec![7; SLICE_BYTES]).unwrap();
        let pace = Pace { bytes_per_second: SLICE_BYTES as u64, ..QUICK };
        let mut scrub = Scrub::new(store, pace).unwrap();
        let pauses: Vec<Duration> = (0..3).map(|_| scrub.step().unwrap().pause).collect();
        assert_eq!(pauses[1], Duration::from_secs(1));
        assert!(pauses[0] < Duration::from_millis(100) && pauses[2] < Duration::from_millis(100), "{pauses:?}");
    }
}
