//! What goes wrong at the disk, in one plain sentence each.

use crate::ground::Holding;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What is said where no more is to be kept, whoever passes it on.
const NO_ROOM: &str = "no room";
/// What is said where the disk is full.
const NO_SPACE: &str = "no space left";

/// Whether the reason that somebody gives is that more does not fit there.
pub fn is_for_lack_of_room(reason: &str) -> bool {
    reason.contains(NO_ROOM) || reason.contains(NO_SPACE)
}

/// Why the store could not do it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Another process has this store open.
    #[error("{} is in use by another process: end that one, or choose another folder", .0.display())]
    InUse(PathBuf),
    /// A later program wrote this, and we might lose what we do not understand.
    #[error("{} was written by a later version of this program", .0.display())]
    Later(PathBuf),
    /// An earlier program wrote this, in a form that we do not read.
    #[error(
        "{} was written by an earlier version of this program: move it away, start again, and store its files anew \
         (their bytes are those in content/)",
        .0.display()
    )]
    Earlier(PathBuf),
    /// Bytes are here, and what they belong to is not known.
    #[error("{} is gone, without which nobody knows what the files in content/ are: put it back, or move content/ away", .0.display())]
    Lost(PathBuf),
    /// What lies there was changed by something else than this program, or by the disk.
    #[error(
        "{} is damaged ({reason}): move its folder away and start again; what it held comes back from other peers",
        .path.display()
    )]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// How that was noticed.
        reason: String,
    },
    /// More is not to be kept.
    #[error(
        "{} for {} more: {} of the quota of {} are in use; remove files, or start the peer with a larger quota",
        NO_ROOM, Size(*.wanted), Size(*.used), Size(*.quota)
    )]
    Quota {
        /// How long the refused content is.
        wanted: u64,
        /// How long all is that is kept or arrives.
        used: u64,
        /// How long all of it may be.
        quota: u64,
    },
    /// The disk is full.
    #[error("{} on the disk for {}", NO_SPACE, .0.display())]
    Full(PathBuf),
    /// A higher version is here already.
    #[error("version {} is here already", .0.version)]
    Outdated(Holding),
    /// The bytes are not those that were announced.
    #[error("the bytes do not match their hash")]
    Damaged,
    /// The bytes of a local file are not those that were hashed a moment ago.
    #[error("the file changed while it was being stored: try again")]
    Changed,
    /// A file is to be where a folder, a pipe, a socket or a device is, or a link to one.
    #[error("{} is there, and no file: choose another path", .0.display())]
    NoFile(PathBuf),
    /// Everything else the operating system says no to.
    #[error("cannot {verb} {}: {reason}", .path.display())]
    Disk {
        /// What was tried: `read`.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl StoreError {
    pub(super) fn disk(verb: &'static str, path: &Path, error: &io::Error) -> StoreError {
        match error.kind() {
            // A length beyond what the file system can address is as hopeless as a full disk.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::Full(path.to_owned())
            }
            _ => StoreError::Disk { verb, path: path.to_owned(), reason: plain(error) },
        }
    }
}

/// A number of bytes, as people say it: `1.5 GiB`.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => write!(f, "{:.1} {name}", self.0 as f64 / unit as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// Gives an `io::Error` the path it belongs to, on its way up.
pub(super) trait On<T> {
    /// `verb`: what was tried with `path`.
    fn on(self, verb: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> On<T> for io::Result<T> {
    fn on(self, verb: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::disk(verb, path, &error))
    }
}

/// The error's text without the operating system's number: `no such file or directory`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().expect("a split has a first part");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lack_of_room_is_told_from_all_else() {
        let quota = StoreError::Quota { wanted: 2, used: 1, quota: 2 };
        for error in [quota, StoreError::Full(PathBuf::from("x"))] {
            assert!(is_for_lack_of_room(&error.to_string()), "{error}");
        }
        assert!(!is_for_lack_of_room(&StoreError::Changed.to_string()));
    }
}
