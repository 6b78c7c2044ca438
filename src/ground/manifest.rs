//! What a file is, apart from its bytes, and what can keep these from arriving.

use super::bencode::Writer;
use super::{FileName, Id, record};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::Duration;
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
    /// No bytes at all: the content of a version that says "removed". Not that of an empty file, which has a hash.
    pub const REMOVED: Content = Content { hash: [0; Content::HASH_LEN], len_bytes: 0 };

    /// Whether it says "removed".
    pub fn is_removed(&self) -> bool {
        *self == Content::REMOVED
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = u32::from_be_bytes(self.hash[..4].try_into().expect("a hash has 32 bytes"));
        write!(f, "{} B {head:08x}…", self.len_bytes)
    }
}

/// The SHA-256 of a manifest: how the next version names the one before it.
pub type Link = [u8; 32];

/// One version of a named file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The file's name.
    pub name: FileName,
    /// Counts up each time other bytes are stored under the name.
    pub version: u64,
    /// Its bytes.
    pub content: Content,
    /// The version that it replaces; none for the first.
    pub previous: Option<Link>,
    /// Which peer stored it.
    pub stored_by: Id,
    /// How long it is kept, in whole seconds from its being stored; none: until it is removed.
    pub ttl: Option<Duration>,
}

impl Manifest {
    /// No file is stored so often. What claims more is no manifest: one more would have no place on the wire.
    pub const MAX_VERSION: u64 = 1 << 62;
    /// A hundred years: who says more means "for ever", and is read so.
    pub const MAX_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

    /// The version that follows `held`; the first where there is none. Nothing follows the last: it is made again.
    pub fn after(held: Option<&Holding>, name: FileName, content: Content, stored_by: Id) -> Manifest {
        let (version, previous) =
            held.map_or((1, None), |held| (held.version.saturating_add(1).min(Manifest::MAX_VERSION), Some(held.link)));
        Manifest { name, version, content, previous, stored_by, ttl: None }
    }

    /// The same as another version. For tests.
    #[cfg(test)]
    pub(crate) fn at_version(self, version: u64) -> Manifest {
        Manifest { version, ..self }
    }

    /// What the next version names it by: covers what it is and what it follows, and not who stored it for how long.
    pub fn link(&self) -> Link {
        Sha256::digest(Writer::dict(|d| record::write_chained(self, d))).into()
    }

    /// What is said of it where the name is known already.
    pub fn holding(&self) -> Holding {
        Holding { key: self.name.key(), version: self.version, content: self.content, link: self.link() }
    }

    /// Which of two versions answers a request: see [`Holding::rank`].
    pub fn rank(&self) -> (u64, Content) {
        (self.version, self.content)
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
    /// Its manifest's.
    pub link: Link,
}

impl Holding {
    /// "Whatever you hold of this name."
    pub fn any(key: Id) -> Holding {
        Holding { key, version: 0, content: Content::REMOVED, link: Link::default() }
    }

    /// Whether this is [`Holding::any`].
    pub fn is_any(&self) -> bool {
        *self == Holding::any(self.key)
    }

    /// Which of two versions of one file answers a request: the higher (version, content). No clock decides.
    pub fn rank(&self) -> (u64, Content) {
        (self.version, self.content)
    }
}

/// A version that somebody holds, and how its bytes are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Which version.
    pub manifest: Manifest,
    /// Its bytes.
    pub health: Health,
}

/// How a version's bytes are, where it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They are there; nobody has looked whether they are right.
    Here,
    /// They are there, and right: they were read just now. Also: the version has none.
    Verified,
    /// Some are wrong. Whoever found that out has dropped this copy, and waits for a good one.
    Damaged {
        /// How many chunks.
        bad: u64,
        /// Of how many.
        chunks: u64,
    },
}

/// What the other side says in [`MoveError::Refused`] that would take it later.
pub const BUSY: &str = "it is busy: try again later";

/// Why bytes did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MoveError {
    /// The other side could not be reached, or fell silent on the way.
    #[error("cannot be reached ({0})")]
    Unreachable(String),
    /// The other side cannot take it.
    #[error("refused it ({0})")]
    Refused(String),
    /// The other side has this later version.
    #[error("has version {} already", .0.version)]
    Outdated(Holding),
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
