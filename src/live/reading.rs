//! Files that are here, read and written piece by piece for programs: whatever is read has proved itself, and neither
//! files nor readers take more memory or more threads when there are many.

use super::hands::{Hands, block, turn};
use crate::ground::{Content, FileName, MoveError};
use crate::store::pieces::{Pieces, chunk_size};
use crate::store::{Partial, Passing, StoreError, is_for_lack_of_room, source};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is in the passing folder begins with this, if it was fetched to be read.
pub const FETCHED: &str = "fetched-";

/// A file that is here, open: its bytes stay readable, whatever becomes of the copy. Clones are the same file.
#[derive(Clone)]
pub struct Opened {
    hands: Arc<Hands>,
    file: Arc<File>,
    pieces: Pieces,
    /// It is the store's.
    kept: bool,
}

/// A file on its way here: what has come can be read.
pub struct Growing {
    opened: Opened,
    partial: Arc<Partial>,
}

/// Room for a file that somebody sends. Dropped, it is gone.
pub struct Arriving {
    hands: Arc<Hands>,
    passing: Passing,
    len_bytes: u64,
}

/// Why a file cannot come here.
#[derive(Debug)]
pub enum NoRoom {
    /// It would not fit.
    Full(String),
    /// The disk does not let us.
    Disk(String),
}

impl Opened {
    /// What it is.
    pub fn content(&self) -> Content {
        self.pieces.content()
    }

    /// The bytes from `at` to the end of their chunk. Fails with [`MoveError::Damaged`] if they are not what they were;
    /// then others are asked for good ones. `at` is before its end.
    pub async fn read(&self, at: u64) -> Result<Vec<u8>, MoveError> {
        let _turn = turn(&self.hands.reading).await;
        let opened = self.clone();
        block(move || opened.read_now(at)).await
    }

    fn read_now(&self, at: u64) -> Result<Vec<u8>, MoveError> {
        let index = at / chunk_size(self.content().len_bytes);
        let start = self.pieces.start(index);
        let mut chunk = vec![0; self.pieces.chunk_len(index) as usize];
        let read = self.file.read_exact_at(&mut chunk, start);
        if read.is_err() || !self.pieces.verify(index, &chunk) {
            self.set_damaged()?;
            return Err(MoveError::Damaged);
        }
        chunk.drain(..(at - start) as usize);
        Ok(chunk)
    }

    fn set_damaged(&self) -> Result<(), StoreError> {
        if self.kept {
            self.hands.say_damaged(self.hands.store.set_damaged(&self.content(), Some(&self.file))?);
        }
        Ok(())
    }
}

impl Growing {
    /// The bytes from `at` to the end of their chunk; none if they have not come yet: then they come before others. `at`
    /// is before its end.
    pub async fn read(&self, at: u64) -> Option<Vec<u8>> {
        let index = at / chunk_size(self.opened.content().len_bytes);
        if !self.partial.has(index) {
            self.partial.read(index);
            return None;
        }
        // What the disk has spoilt meanwhile is noticed where the whole is read.
        self.opened.read(at).await.ok()
    }
}

impl Arriving {
    /// Adds bytes. More than there is room for are refused.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<(), NoRoom> {
        let _turn = turn(&self.hands.reading).await;
        let (passing, at) = (self.passing.clone(), self.len_bytes);
        self.len_bytes += bytes.as_ref().len() as u64;
        block(move || passing.write_at(bytes.as_ref(), at)).await.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NoRoom::Full(error.to_string()),
            _ => NoRoom::Disk(error.to_string()),
        })
    }

    /// How many bytes came.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.passing.path()
    }
}

impl Hands {
    /// Opens what is here of the version that answers for a name.
    pub async fn open(self: Arc<Self>, name: FileName) -> Option<Opened> {
        let manifest = self.store.get(&name.key())?;
        let content = manifest.content;
        // Of what is known to be damaged, others have better copies, or parts of one.
        if content.is_removed() || !self.store.keeps(&manifest) {
            return None;
        }
        let _turn = turn(&self.reading).await;
        let hands = self.clone();
        block(move || {
            let (file, pieces) = hands.own_bytes(&content).ok()?;
            // Hashed just now, if nobody had a list of its chunks.
            let opened = Opened { hands: hands.clone(), file: Arc::new(file), pieces, kept: true };
            (opened.content() == content).then_some(opened)
        })
        .await
    }

    /// What has come of a content that is on its way here; none if nothing has.
    pub fn growing(self: Arc<Self>, content: &Content) -> Option<Growing> {
        let partial = self.exchange.partial(content)?;
        let (file, pieces) = (partial.file(), partial.pieces().clone());
        Some(Growing { opened: Opened { hands: self, file, pieces, kept: false }, partial })
    }

    /// Takes a file out of its folder: from now on it is there only while it is open.
    pub async fn open_passing(self: Arc<Self>, path: PathBuf) -> Result<Opened, String> {
        let _turn = turn(&self.reading).await;
        let hands = self.clone();
        block(move || {
            let opened = source::open(&path).map_err(|error| error.to_string());
            // Where it cannot be removed, the next start does it.
            let _ = fs::remove_file(&path);
            let (mut file, _) = opened?;
            let pieces = source::hash(&mut file).map_err(|error| format!("it cannot be read: {error}"))?;
            Ok(Opened { hands: hands.clone(), file: Arc::new(file), pieces, kept: false })
        })
        .await
    }

    /// Makes room for so many bytes.
    pub async fn arrive(self: Arc<Self>, len_bytes: u64) -> Result<Arriving, NoRoom> {
        let _turn = turn(&self.reading).await;
        let hands = self.clone();
        let passing = block(move || hands.store.passing(len_bytes)).await;
        let passing = passing.map_err(|error| match error.to_string() {
            reason if is_for_lack_of_room(&reason) => NoRoom::Full(reason),
            reason => NoRoom::Disk(reason),
        })?;
        Ok(Arriving { hands: self.clone(), passing, len_bytes: 0 })
    }

    /// Where files pass through that are fetched to be read.
    pub fn fetched_path(&self, stem: &str) -> PathBuf {
        self.folders.passing().join(format!("{FETCHED}{stem}"))
    }
}
