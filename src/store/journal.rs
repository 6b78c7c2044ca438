//! What a peer noted: an append-only file that survives `kill -9`.
//!
//! ```text
//! p2p memory 1\n                                  then records:
//!   8 bytes   the first of the BLAKE3 of the rest of the record
//!   8 bytes   when: Unix time in seconds          numbers are little-endian
//!   2 bytes   length of the key
//!   4 bytes   length of the value, plus one; 0: what was noted under this key is forgotten
//!   key, value
//! ```
//!
//! Each record is one `write(2)`: it is there whole, or not at all, however the process ends. Nothing is flushed: a power
//! cut may take the last seconds. What lies behind a record that does not fit its checksum is cut off when the file is
//! opened. When it has become more than twice what lives in it, it is written anew, which holds the caller up for an fsync.

use super::StoreError;
use super::error::On as _;
use super::opening::try_lock;
use super::temporary::Temporary;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TITLE: &[u8] = b"p2p memory 1\n";
const TITLE_OF_ANY_VERSION: &[u8] = b"p2p memory ";

const CHECK_BYTES: usize = 8;
const HEAD_BYTES: usize = CHECK_BYTES + 8 + 2 + 4;

/// The longest key. Guess: a kind and a few ids.
pub const MAX_KEY_BYTES: usize = 1024;
/// The longest value. Guess: far more than the largest routing table.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// So much that does not live is never worth writing the file anew.
const SLACK_BYTES: u64 = 1 << 20;

/// The journal of one peer.
pub struct Journal {
    path: PathBuf,
    file: File,
    len_bytes: u64,
    living: BTreeMap<Vec<u8>, Span>,
    living_bytes: u64,
}

/// Where a record lies.
#[derive(Clone, Copy)]
struct Span {
    at: u64,
    len_bytes: u64,
}

/// Something noted: its key, what, and how long ago.
pub type Noted = (Vec<u8>, Vec<u8>, Duration);

impl Journal {
    /// Opens the journal in `folder`, both made if they are not there, and reads what lives in it, in the order of keys.
    ///
    /// Fails with [`StoreError::InUse`] while another process has it open.
    pub fn open(folder: &Path) -> Result<(Journal, Vec<Noted>), StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).on("make", folder)?;
        let path = folder.join("memory");
        let mut file = options().create(true).open(&path).on("open", &path)?;
        lock(&file, &path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).on("read", &path)?;
        let mut journal = Journal { path, file, len_bytes: 0, living: BTreeMap::new(), living_bytes: 0 };
        if !text.starts_with(TITLE) {
            if text.starts_with(TITLE_OF_ANY_VERSION) && text.len() >= TITLE.len() {
                return Err(StoreError::Later(journal.path.clone()));
            }
            journal.begin()?;
            return Ok((journal, Vec::new()));
        }
        let noted = journal.read(&text)?;
        Ok((journal, noted))
    }

    /// Notes a value under a key, instead of what was there; with none, only forgets that.
    ///
    /// What is longer than [`MAX_KEY_BYTES`] or [`MAX_VALUE_BYTES`] is refused.
    pub fn note(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        if key.len() > MAX_KEY_BYTES || value.is_some_and(|value| value.len() > MAX_VALUE_BYTES) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput)).on("note this in", &self.path);
        }
        if value.is_none() && !self.living.contains_key(key) {
            return Ok(());
        }
        let record = encode(unix_seconds(), key, value);
        self.append(&record)?;
        self.list(key, value.is_some().then_some(Span { at: self.len_bytes, len_bytes: record.len() as u64 }));
        self.len_bytes += record.len() as u64;
        if self.len_bytes > 2 * self.living_bytes + SLACK_BYTES { self.compact() } else { Ok(()) }
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.file.set_len(0).and_then(|()| self.file.write_all(TITLE)).on("write", &self.path)?;
        self.len_bytes = TITLE.len() as u64;
        Ok(())
    }

    /// Reads the records in `text`, up to the first that is none, and cuts off the rest.
    fn read(&mut self, text: &[u8]) -> Result<Vec<Noted>, StoreError> {
        let now = unix_seconds();
        let mut at = TITLE.len();
        let mut noted = BTreeMap::new();
        while let Some(record) = decode(&text[at..]) {
            let span = Span { at: at as u64, len_bytes: record.len_bytes as u64 };
            self.list(record.key, record.value.map(|_| span));
            match record.value {
                // Where the clock was set back since, it was noted just now.
                Some(value) => _ = noted.insert(record.key, (value, now.saturating_sub(record.time))),
                None => _ = noted.remove(record.key),
            }
            at += record.len_bytes;
        }
        self.len_bytes = at as u64;
        if at < text.len() {
            self.file.set_len(self.len_bytes).on("write", &self.path)?;
        }
        let own = |(key, (value, age)): (&[u8], (&[u8], u64))| (key.to_vec(), value.to_vec(), Duration::from_secs(age));
        Ok(noted.into_iter().map(own).collect())
    }

    /// Adds a record; half of one, where the disk is full, is taken back.
    fn append(&mut self, record: &[u8]) -> Result<(), StoreError> {
        match self.file.write(record) {
            Ok(written) if written == record.len() => Ok(()),
            outcome => {
                self.file.set_len(self.len_bytes).on("write", &self.path)?;
                Err(outcome.err().unwrap_or_else(|| io::ErrorKind::StorageFull.into())).on("write", &self.path)
            }
        }
    }

    fn list(&mut self, key: &[u8], span: Option<Span>) {
        let before = match span {
            Some(span) => {
                self.living_bytes += span.len_bytes;
                self.living.insert(key.to_vec(), span)
            }
            None => self.living.remove(key),
        };
        self.living_bytes -= before.map_or(0, |before| before.len_bytes);
    }

    /// Writes what lives into a new file, which then takes the place of the old one.
    fn compact(&mut self) -> Result<(), StoreError> {
        let mut text = TITLE.to_vec();
        let mut living = BTreeMap::new();
        for (key, span) in &self.living {
            let at = text.len();
            text.resize(at + span.len_bytes as usize, 0);
            self.file.read_exact_at(&mut text[at..], span.at).on("read", &self.path)?;
            living.insert(key.clone(), Span { at: at as u64, ..*span });
        }
        let file = self.replace(&text).on("write", &self.path)?;
        self.file = file;
        self.len_bytes = text.len() as u64;
        self.living = living;
        Ok(())
    }

    /// Makes `text` the file. The new one is locked before it has the name.
    fn replace(&self, text: &[u8]) -> io::Result<File> {
        let path = self.path.with_extension("new");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // Left by a crash, if it was there.
            _ => {}
        }
        let new = Temporary::create(path.clone())?;
        let file = options().open(&path)?;
        file.try_lock().map_err(io::Error::from)?;
        new.file().write_all(text)?;
        new.sync()?;
        new.place(&self.path)?;
        Ok(file)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Closing alone does not end the lock while a child process, born but not yet its own program, has our handles.
        let _ = self.file.unlock();
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    options
}

fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    match try_lock(file) {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(error).on("lock", path),
    }
}

struct Record<'t> {
    time: u64,
    key: &'t [u8],
    value: Option<&'t [u8]>,
    len_bytes: usize,
}

fn encode(time: u64, key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut record = vec![0; CHECK_BYTES];
    record.extend_from_slice(&time.to_le_bytes());
    record.extend_from_slice(&(key.len() as u16).to_le_bytes());
    record.extend_from_slice(&value.map_or(0, |value| value.len() as u32 + 1).to_le_bytes());
    record.extend_from_slice(key);
    record.extend_from_slice(value.unwrap_or_default());
    let check = checksum(&record[CHECK_BYTES..]);
    record[..CHECK_BYTES].copy_from_slice(&check);
    record
}

/// The record that `text` begins with, if it is whole and sound.
fn decode(text: &[u8]) -> Option<Record<'_>> {
    let (check, rest) = text.split_first_chunk::<CHECK_BYTES>()?;
    let (time, after) = rest.split_first_chunk()?;
    let (key_len, after) = after.split_first_chunk()?;
    let (value_len, after) = after.split_first_chunk()?;
    let key_len = usize::from(u16::from_le_bytes(*key_len));
    let value_len = u32::from_le_bytes(*value_len).checked_sub(1).map(|len| len as usize);
    if key_len > MAX_KEY_BYTES || value_len.is_some_and(|len| len > MAX_VALUE_BYTES) {
        return None;
    }
    let key = after.get(..key_len)?;
    let value = match value_len {
        Some(len) => Some(after.get(key_len..key_len + len)?),
        None => None,
    };
    let len_bytes = HEAD_BYTES + key_len + value_len.unwrap_or(0);
    let sound = checksum(&text[CHECK_BYTES..len_bytes]) == *check;
    sound.then_some(Record { time: u64::from_le_bytes(*time), key, value, len_bytes })
}

fn checksum(text: &[u8]) -> [u8; CHECK_BYTES] {
    *blake3::hash(text).as_bytes().first_chunk().expect("a hash has 32 bytes")
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn noted(folder: &Path) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (_, noted) = Journal::open(folder).unwrap();
        noted.into_iter().map(|(key, value, _)| (text(key), text(value))).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn text_of(folder: &Path) -> Vec<u8> {
        fs::read(folder.join("memory")).unwrap()
    }

    #[test]
    fn what_was_noted_last_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep").join("down");
        assert_eq!(noted(&folder), []);
        let (mut journal, _) = Journal::open(&folder).unwrap();
        journal.note(b"id", Some(b"old")).unwrap();
        journal.note(b"gone", Some(b"x")).unwrap();
        journal.note(b"", Some(b"")).unwrap();
        // As after kill -9: nothing is flushed, nothing is said at the end.
        journal.note(b"id", Some(b"new")).unwrap();
        journal.note(b"gone", None).unwrap();
        journal.note(b"never there", None).unwrap();
        drop(journal);
        assert_eq!(noted(&folder), pairs(&[("", ""), ("id", "new")]));
        assert_eq!(noted(&folder), pairs(&[("", ""), ("id", "new")]));
    }

    #[test]
    fn a_torn_tail_is_cut_off_wherever_it_was_torn() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        journal.note(b"first", Some(b"1")).unwrap();
        let whole = text_of(dir.path()).len();
        journal.note(b"second", Some(b"22")).unwrap();
        drop(journal);
        let text = text_of(dir.path());
        for len in 0..text.len() {
            fs::write(dir.path().join("memory"), &text[..len]).unwrap();
            let first = if len < whole { pairs(&[]) } else { pairs(&[("first", "1")]) };
            assert_eq!(noted(dir.path()), first, "{len}");
            // What is noted next is not hidden behind the torn end.
            let (mut journal, _) = Journal::open(dir.path()).unwrap();
            journal.note(b"third", Some(b"3")).unwrap();
            drop(journal);
            assert_eq!(noted(dir.path()), [first, pairs(&[("third", "3")])].concat(), "{len}");
        }
    }

    #[test]
    fn a_record_that_does_not_fit_its_checksum_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        journal.note(b"first", Some(b"1")).unwrap();
        let whole = text_of(dir.path()).len();
        journal.note(b"second", Some(b"22")).unwrap();
        drop(journal);
        let text = text_of(dir.path());
        for at in whole..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 0x10;
            fs::write(dir.path().join("memory"), &damaged).unwrap();
            assert_eq!(noted(dir.path()), pairs(&[("first", "1")]), "{at}");
        }
    }

    #[test]
    fn what_is_noted_over_and_over_does_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        journal.note(b"small", Some(b"stays")).unwrap();
        let mut largest = 0;
        for round in 0..100_u8 {
            journal.note(b"large", Some(&[round; 100_000])).unwrap();
            largest = largest.max(text_of(dir.path()).len() as u64);
        }
        assert!(largest <= 2 * 100_100 + SLACK_BYTES, "{largest}");
        assert!(Journal::open(dir.path()).is_err_and(|error| matches!(error, StoreError::InUse(_))));
        journal.note(b"last", Some(b"too")).unwrap();
        drop(journal);
        let (_, noted) = Journal::open(dir.path()).unwrap();
        let noted: Vec<(&[u8], &[u8])> = noted.iter().map(|(key, value, _)| (&key[..], &value[..])).collect();
        assert_eq!(noted, [(&b"large"[..], &[99; 100_000][..]), (b"last", b"too"), (b"small", b"stays")]);
    }

    #[test]
    fn ages_are_told_and_a_clock_set_back_makes_none() {
        let dir = tempfile::tempdir().unwrap();
        let now = unix_seconds();
        let record = |time, key: &[u8]| encode(time, key, Some(b"x"));
        let text = [TITLE, &record(now - 100, b"a"), &record(now + 1000, b"b"), &record(0, b"c")].concat();
        fs::write(dir.path().join("memory"), text).unwrap();
        let (_, noted) = Journal::open(dir.path()).unwrap();
        let ages: Vec<u64> = noted.iter().map(|(_, _, age)| age.as_secs()).collect();
        assert!((100..110).contains(&ages[0]), "{ages:?}");
        assert_eq!(ages[1], 0);
        assert!(ages[2] >= now);
    }

    #[test]
    fn a_later_version_is_left_alone_and_too_much_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("memory"), b"p2p memory 2\nwhatever").unwrap();
        assert!(matches!(Journal::open(dir.path()), Err(StoreError::Later(_))));
        fs::write(dir.path().join("memory"), b"nonsense").unwrap();
        let (mut journal, noted) = Journal::open(dir.path()).unwrap();
        assert!(noted.is_empty());
        assert!(journal.note(&[0; MAX_KEY_BYTES + 1], None).is_err());
        assert!(journal.note(b"k", Some(&[0; MAX_VALUE_BYTES + 1])).is_err());
        journal.note(&[0; MAX_KEY_BYTES], Some(&[0; MAX_VALUE_BYTES])).unwrap();
        drop(journal);
        assert_eq!(Journal::open(dir.path()).unwrap().1.len(), 1);
    }
}
