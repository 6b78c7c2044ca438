//! What a file is, apart from its bytes.

use super::{FileName, Id};
use std::fmt;

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
