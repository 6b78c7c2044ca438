//! Which versions are kept, on disk: the only file that knows the embedded database.
//!
//! ```text
//! versions   key 20 · version 8, big-endian · hash 32   →  expiry 8, big-endian; 0: none · manifest (`record`)
//! pieces     hash 32                                     →  whatever its owner wrote about this content
//! meta       text                                        →  bytes: the format, how far the scrub is
//! ```
//!
//! A commit is durable when it returns: all of it, or nothing. The whole file is checked against its checksums whenever
//! it is opened, because the database trusts what it reads later, and would end the process over a flipped bit.

use super::error::On as _;
use super::temporary::reserve;
use super::temporary::sync_folder;
use super::{StoreError, error};
use crate::ground::{Content, Manifest, record};
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type VersionKey = [u8; 60];

const VERSIONS: TableDefinition<&VersionKey, &[u8]> = TableDefinition::new("versions");
const PIECES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("pieces");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Counts up when older programs would misunderstand what is written. 1 were plain files in a folder `names`.
const FORMAT: u64 = 2;

/// Guess: the inner nodes of a million versions; the database's own choice of 1 GiB is more than all else we use.
const CACHE_BYTES: usize = 16 << 20;

/// When a version is to be dropped, in Unix seconds; none: never.
pub(super) type Expiry = Option<u64>;

/// The first is the later one; none is for ever.
pub(super) fn outlasts(one: Expiry, other: Expiry) -> bool {
    other.is_some_and(|other| one.is_none_or(|one| one > other))
}

/// The time of day. A clock that jumps makes lives shorter or longer, and nothing else depends on it.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The end of a life of which so much is left.
pub(super) fn expiry(left: Option<Duration>) -> Expiry {
    // Zero would be read as "none".
    left.map(|left| unix_seconds().saturating_add(left.as_secs()).max(1))
}

/// What is left of a life that ends then.
pub(super) fn left(expiry: Expiry) -> Option<Duration> {
    expiry.map(|expiry| Duration::from_secs(expiry.saturating_sub(unix_seconds())))
}

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Lists a version, or changes its expiry.
    List(Manifest, Expiry),
    /// Strikes a version.
    Strike(Manifest),
    /// Keeps bytes about a content.
    Describe(Content, Vec<u8>),
    /// Drops the bytes about a content.
    Undescribe(Content),
    /// How far the scrub is.
    Bookmark(Bookmark),
}

/// How far a scrub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Bookmark {
    /// When the pass began, in Unix seconds; 0: never.
    pub began: u64,
    /// The last content whose turn is over; none at the end of a pass.
    pub after: Option<[u8; Content::HASH_LEN]>,
}

/// A database and the file it lies in.
pub(super) struct Index {
    root: PathBuf,
    path: PathBuf,
    /// After a failed write the database refuses all: then it is opened anew. Where that failed too, here lies why.
    database: RwLock<Result<Database, StoreError>>,
}

/// What a new index says is kept.
pub(super) type Listed = Vec<(Manifest, Expiry)>;

impl Index {
    /// Opens `root/index.redb`, made if it is not there, and says all that it lists. Rows that are none are struck.
    ///
    /// Fails with [`StoreError::InUse`] while another process has it open, and with [`StoreError::Corrupt`] where a
    /// crash cannot be the reason for what it looks like.
    pub fn open(root: &Path) -> Result<(Index, Listed), StoreError> {
        let path = root.join("index.redb");
        if !path.exists() {
            create(root, &path)?;
        }
        let database = open(root, &path)?;
        let index = Index { root: root.to_owned(), path, database: RwLock::new(Ok(database)) };
        let listed = index.load()?;
        Ok((index, listed))
    }

    /// Makes the edits in this order: all of them or, after an error, none.
    pub fn commit(&self, edits: &[Edit]) -> Result<(), StoreError> {
        if edits.is_empty() {
            return Ok(());
        }
        if self.database().is_err() {
            self.reopen();
        }
        let outcome = self.with(|database| write(database, edits));
        if outcome.is_err() {
            self.reopen();
        }
        outcome
    }

    /// What is kept about a content.
    pub fn pieces(&self, content: &Content) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let pieces = database.begin_read()?.open_table(PIECES)?.get(&content.hash)?;
            Ok(pieces.map(|bytes| bytes.value().to_vec()))
        })
    }

    /// Where the last scrub stopped.
    pub fn bookmark(&self) -> Result<Bookmark, StoreError> {
        self.with(|database| {
            let bytes = database.begin_read()?.open_table(META)?.get("scrub")?;
            Ok(bytes.and_then(|bytes| read_bookmark(bytes.value())).unwrap_or_default())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        match &*self.database() {
            // It panics over a page that the disk has changed since it was checked. Then it is not used any more.
            Ok(database) => match catch_unwind(AssertUnwindSafe(|| work(database))) {
                Ok(outcome) => outcome.map_err(|error| failure(&self.root, &self.path, error)),
                Err(_) => {
                    Err(StoreError::Corrupt { path: self.path.clone(), reason: "a page makes no sense".to_owned() })
                }
            },
            Err(error) => Err(error.clone()),
        }
    }

    fn database(&self) -> RwLockReadGuard<'_, Result<Database, StoreError>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A full disk is not the end: what was committed is there, and there may be room later.
    fn reopen(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Two handles of one file would lock each other out.
        *database = Err(StoreError::InUse(self.root.clone()));
        *database = open(&self.root, &self.path);
    }

    fn load(&self) -> Result<Listed, StoreError> {
        let (mut listed, mut unreadable) = (Vec::new(), Vec::new());
        let mut later = false;
        self.with(|database| {
            let read = database.begin_read()?;
            let format = read.open_table(META)?.get("format")?;
            later = format.is_some_and(|format| format.value() > &FORMAT.to_be_bytes()[..]);
            for row in read.open_table(VERSIONS)?.iter()? {
                let (key, value) = row?;
                match read_row(key.value(), value.value()) {
                    Ok(row) => listed.push(row),
                    Err(record::BadRecord::Malformed) => unreadable.push(*key.value()),
                    Err(record::BadRecord::Later) => later = true,
                }
            }
            Ok(())
        })?;
        if later {
            return Err(StoreError::Later(self.path.clone()));
        }
        if !unreadable.is_empty() {
            self.with(|database| strike_rows(database, &unreadable))?;
        }
        Ok(listed)
    }
}

/// Makes an empty index under a passing name: one that is half made is never taken for one.
fn create(root: &Path, path: &Path) -> Result<(), StoreError> {
    let passing = root.join("tmp").join("index");
    let made = open(root, &passing)?;
    let outcome = write_format(&made);
    drop(made);
    outcome.map_err(|error| failure(root, path, error))?;
    fs::rename(&passing, path).and_then(|()| sync_folder(root)).on("make", path)
}

fn open(root: &Path, path: &Path) -> Result<Database, StoreError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    let database = builder.create(path).map_err(|error| failure(root, path, error.into()))?;
    // It may have holes, and a store should be able to forget when its disk is full. Where it is full already: what can
    // be read is worth reading.
    let _ = File::options().write(true).open(path).and_then(|file| reserve(&file, file.metadata()?.len()));
    Ok(database)
}

fn failure(root: &Path, path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse(root.to_owned()),
        redb::Error::Corrupted(reason) => StoreError::Corrupt { path: path.to_owned(), reason },
        redb::Error::Io(error) if is_nonsense(&error) => {
            StoreError::Corrupt { path: path.to_owned(), reason: error::plain(&error) }
        }
        redb::Error::Io(error) => StoreError::disk("write", path, &error),
        // Its list of errors is open-ended. The rest are mistakes of ours in using it, or follow from those above.
        error => StoreError::Disk { verb: "use", path: path.to_owned(), reason: error.to_string() },
    }
}

/// The file ends too early, or is no database.
fn is_nonsense(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

fn write_format(database: &Database) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    writing.open_table(META)?.insert("format", &FORMAT.to_be_bytes()[..])?;
    // Readers expect them.
    writing.open_table(VERSIONS)?;
    writing.open_table(PIECES)?;
    Ok(writing.commit()?)
}

fn strike_rows(database: &Database, keys: &[VersionKey]) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    for key in keys {
        writing.open_table(VERSIONS)?.remove(key)?;
    }
    Ok(writing.commit()?)
}

fn write(database: &Database, edits: &[Edit]) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    {
        let mut versions = writing.open_table(VERSIONS)?;
        let mut pieces = writing.open_table(PIECES)?;
        let mut meta = writing.open_table(META)?;
        for edit in edits {
            match edit {
                Edit::List(manifest, expiry) => _ = versions.insert(&key(manifest), &*row(manifest, *expiry))?,
                Edit::Strike(manifest) => _ = versions.remove(&key(manifest))?,
                Edit::Describe(content, bytes) => _ = pieces.insert(&content.hash, bytes.as_slice())?,
                Edit::Undescribe(content) => _ = pieces.remove(&content.hash)?,
                Edit::Bookmark(bookmark) => _ = meta.insert("scrub", &*bookmark_bytes(*bookmark))?,
            }
        }
    }
    Ok(writing.commit()?)
}

fn key(manifest: &Manifest) -> VersionKey {
    let name = manifest.name.key();
    let parts = [&name.as_bytes()[..], &manifest.version.to_be_bytes(), &manifest.content.hash];
    parts.concat().try_into().expect("20, 8 and 32 bytes are 60")
}

fn row(manifest: &Manifest, expiry: Expiry) -> Vec<u8> {
    [&expiry.unwrap_or(0).to_be_bytes()[..], &record::encode(manifest)].concat()
}

fn read_row(under: &VersionKey, row: &[u8]) -> Result<(Manifest, Expiry), record::BadRecord> {
    let (expiry, text) = row.split_first_chunk().ok_or(record::BadRecord::Malformed)?;
    let expiry = u64::from_be_bytes(*expiry);
    let manifest = record::decode(text)?;
    if key(&manifest) != *under {
        return Err(record::BadRecord::Malformed);
    }
    Ok((manifest, (expiry != 0).then_some(expiry)))
}

fn bookmark_bytes(bookmark: Bookmark) -> Vec<u8> {
    let after = bookmark.after.as_ref().map_or(&[][..], |after| after);
    [&bookmark.began.to_be_bytes()[..], after].concat()
}

fn read_bookmark(bytes: &[u8]) -> Option<Bookmark> {
    let (began, after) = bytes.split_first_chunk()?;
    Some(Bookmark { began: u64::from_be_bytes(*began), after: after.try_into().ok() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::{FileName, Id};
    use tempfile::tempdir;

    fn manifest() -> Manifest {
        let content = Content { hash: [7; Content::HASH_LEN], len_bytes: 1 };
        Manifest::after(None, FileName::parse("4103").unwrap(), content, Id::ZERO)
    }

    #[test]
    fn all_edits_of_a_commit_are_there_after_reopening_or_none() {
        let dir = tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        let open = || Index::open(dir.path()).unwrap();
        let (index, listed) = open();
        assert_eq!((listed, index.bookmark()), (Vec::new(), Ok(Bookmark::default())));
        let bookmark = Bookmark { began: 5, after: Some([9; Content::HASH_LEN]) };
        let content = manifest().content;
        let edits =
            [Edit::List(manifest(), Some(77)), Edit::Describe(content, b"pieces".to_vec()), Edit::Bookmark(bookmark)];
        index.commit(&edits).unwrap();
        drop(index);
        let (index, listed) = open();
        assert_eq!((listed, index.bookmark()), (vec![(manifest(), Some(77))], Ok(bookmark)));
        assert_eq!(index.pieces(&content), Ok(Some(b"pieces".to_vec())));
        index.commit(&[Edit::Strike(manifest()), Edit::Undescribe(content)]).unwrap();
        assert_eq!(index.pieces(&content), Ok(None));
        drop(index);
        assert_eq!(open().1, []);
    }

    #[test]
    fn a_database_that_panics_is_an_error_and_is_opened_anew() {
        let dir = tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        let (index, _) = Index::open(dir.path()).unwrap();
        let stumbled = index.with(|database| {
            let _writing = database.begin_write()?;
            panic!("as over a page that makes no sense");
            #[expect(unreachable_code, reason = "says what the closure returns")]
            Ok(())
        });
        assert!(matches!(stumbled, Err(StoreError::Corrupt { .. })), "{stumbled:?}");
        let edit = [Edit::List(manifest(), None)];
        assert!(index.commit(&edit).is_ok() || index.commit(&edit).is_ok(), "at the latest when it is opened anew");
    }

    #[test]
    fn rows_that_are_no_versions_are_struck_and_later_ones_refused() {
        let dir = tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        let (index, _) = Index::open(dir.path()).unwrap();
        index.commit(&[Edit::List(manifest(), None)]).unwrap();
        let put = |key: &VersionKey, row: &[u8]| {
            index.with(|database| {
                let writing = database.begin_write()?;
                writing.open_table(VERSIONS)?.insert(key, row)?;
                Ok(writing.commit()?)
            })
        };
        put(&[1; 60], b"no row").unwrap();
        put(&[2; 60], &row(&manifest(), None)).unwrap();
        assert_eq!(index.load(), Ok(vec![(manifest(), None)]));
        put(&[3; 60], b"\0\0\0\0\0\0\0\0d1:vi9ee").unwrap();
        assert_eq!(index.load(), Err(StoreError::Later(index.path.clone())));
    }

    #[test]
    fn no_end_outlasts_every_end() {
        let order = [Some(1), Some(2), None];
        for (at, one) in order.iter().enumerate() {
            for (other_at, other) in order.iter().enumerate() {
                assert_eq!(outlasts(*one, *other), at > other_at, "{one:?} {other:?}");
            }
        }
    }
}
