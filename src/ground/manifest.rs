//! What a file is, apart from its bytes, and what can keep these from arriving.

use super::{FileName, Id};
use std::fmt;
use thiserror::Error;

/// The bytes of a file, by length and hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// Their BLAKE3.
    pub hash: [u8; Content::HASH_LEN],
    /// How many they are.
    pub len_bytes: u64,
}

impl Content {
    /// Length of a BLAKE3 hash, in bytes.
    pub const HASH_LEN: usize = 32;
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = u32::from_be_bytes(self.hash[..4].try_into().expect("a hash has 32 bytes"));
        write!(f, "{} B {head:08x}…", self.len_bytes)
    }
}

/// One version of a named file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The file's name.
    pub name: FileName,
    /// Counts up each time the name is stored.
    pub version: u64,
    /// Its bytes.
    pub content: Content,
}

impl Manifest {
    /// No file is stored so often. What claims more is no manifest: one more would have no place on the wire.
    pub const MAX_VERSION: u64 = 1 << 62;

    /// What is said of it where the name is known already.
    pub fn holding(&self) -> Holding {
        Holding { key: self.name.key(), version: self.version, content: self.content }
    }
}

/// "I hold this version of that file": a manifest without its name, of fixed size on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The SHA-1 of the file's name.
    pub key: Id,
    /// Which version.
    pub version: u64,
    /// Its bytes.
    pub content: Content,
}

impl Holding {
    /// Which of two versions of one file answers a request: the higher (version, content). No clock decides.
    pub fn rank(&self) -> (u64, Content) {
        (self.version, self.content)
    }
}

/// Why bytes did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MoveError {
    /// The other side could not be reached, or fell silent on the way.
    #[error("cannot be reached ({0})")]
    Unreachable(String),
    /// The other side cannot take it.
    #[error("refused it ({0})")]
    Refused(String),
    /// The other side has a later version.
    #[error("has version {version} already")]
    Outdated {
        /// The version there.
        version: u64,
    },
    /// The other side does not have it.
    #[error("does not have it")]
    Missing,
    /// What arrived is not what was announced.
    #[error("its bytes do not match their hash")]
    Damaged,
    /// Our own disk failed, or the file is gone or changed: no other peer can help.
    #[error("{0}")]
    Local(String),
}
