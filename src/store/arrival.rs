//! A file on its way to the requester.

use super::error::On as _;
use super::pieces::PieceHasher;
use super::temporary::Temporary;
use super::{PourError, StoreError};
use crate::ground::Content;
use std::fs;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest file name of the usual file systems.
const MAX_NAME_BYTES: usize = 255;

/// Bytes that grow from their beginning, under a passing name beside their destination (`.received_4103.pdf.71-0.part`).
/// Dropped without being finished, they leave nothing behind.
pub struct Arrival {
    file: Temporary,
    destination: PathBuf,
    hasher: PieceHasher,
}

impl Arrival {
    /// An arrival without any bytes.
    pub fn at(destination: &Path) -> Result<Arrival, StoreError> {
        // Noticed now, and not after the last byte.
        check_destination(destination)?;
        let file = create_beside(destination).on("write", destination)?;
        Ok(Arrival { file, destination: destination.to_owned(), hasher: PieceHasher::default() })
    }

    /// Puts bytes that are all here at `destination`, as a whole. On return they would survive a power cut.
    pub fn of(destination: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let file = create_beside(destination).on("write", destination)?;
        file.file().write_all(bytes).and_then(|()| file.sync()).on("write", destination)?;
        check_destination(destination)?;
        file.place(destination).on("write", destination)
    }

    /// How many bytes are here.
    pub fn len_bytes(&self) -> u64 {
        self.hasher.count()
    }

    /// What is here, by length and hash.
    pub fn content(&self) -> Content {
        self.hasher.clone().finish().content()
    }

    /// Adds exactly `len_bytes` bytes from `source`. What came before a failure stays.
    pub fn fill(&mut self, source: &mut impl Read, len_bytes: u64) -> Result<(), PourError> {
        // A write that failed half-way may have moved on.
        self.file.file().seek(SeekFrom::Start(self.hasher.count())).map_err(PourError::Sink)?;
        self.file.fill(source, len_bytes, &mut self.hasher)
    }

    /// Becomes a copy of a file on this machine, whatever was here before.
    ///
    /// Fails with [`StoreError::Damaged`] if it is not `wanted`, and with [`StoreError::Changed`] if it is shorter than
    /// `len_bytes`.
    pub fn copy(&mut self, source: &mut impl Read, len_bytes: u64, wanted: Option<Content>) -> Result<(), StoreError> {
        self.restart()?;
        self.fill(source, len_bytes).map_err(|error| match error {
            PourError::Source(error) => StoreError::disk("read", Path::new("the stored file"), &error),
            PourError::Ended => StoreError::Changed,
            PourError::Sink(error) => self.write_error(&error),
        })?;
        if wanted.is_none_or(|wanted| wanted == self.content()) { Ok(()) } else { Err(StoreError::Damaged) }
    }

    /// Throws all bytes away: they were not what was wanted.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.hasher = PieceHasher::default();
        self.file.file().set_len(0).on("write", &self.destination)
    }

    /// Replaces the destination as a whole. On return it would survive a power cut.
    pub fn finish(self) -> Result<(), StoreError> {
        let len_bytes = self.hasher.count();
        let durable = self.file.file().set_len(len_bytes).and_then(|()| self.file.sync());
        durable.on("write", &self.destination)?;
        check_destination(&self.destination)?;
        self.file.place(&self.destination).on("write", &self.destination)
    }

    /// The sentence for a failed write.
    pub fn write_error(&self, error: &io::Error) -> StoreError {
        StoreError::disk("write", &self.destination, error)
    }
}

/// Whether a file may be put there: only files are replaced. To be asked before the bytes come, and again when they are here,
/// because it may change until then.
pub fn check_destination(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(about) if !about.is_file() => Err(StoreError::NoFile(path.to_owned())),
        // Where nothing can be seen, nothing is, or what is wrong is said when it is written.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn create_beside(destination: &Path) -> io::Result<Temporary> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = destination.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    loop {
        let unique = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let room = MAX_NAME_BYTES - "...part".len() - unique.len();
        let path = destination.with_file_name(format!(".{}.{unique}.part", &name[..name.floor_char_boundary(room)]));
        match Temporary::create(path) {
            // Left by a process that was killed and had our number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => {
                let file = created?;
                // So that no sweep takes it for a leftover. Nobody else has its name.
                let _ = file.file().try_lock();
                return Ok(file);
            }
        }
    }
}
