//! Ids, time, chance and the wire: values and formats, no state.
//!
//! The lowest floor. Bytes are parsed into types here, so that above it there is nothing left to doubt.

pub mod address_id;
pub mod bencode;
pub mod bloom;
pub mod id;
pub mod item;
pub mod krpc;
pub mod manifest;
pub mod naming;
pub mod random;
pub mod record;
pub mod time;
pub mod versions;

pub use bloom::Bloom;
pub use id::Id;
pub use item::{BadItem, Item, Secret, Signed};
pub use manifest::{BUSY, Content, Copy, Health, Holding, Link, Manifest, MoveError};
pub use naming::{FileName, Naming};
pub use random::Chance;
pub use time::Moment;
pub use versions::{Admission, Versions};

use std::net::SocketAddr;

/// A peer as others know it: its id, and where it answers (UDP and TCP on the same port).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contact {
    /// Its place among all ids.
    pub id: Id,
    /// Where it was heard.
    pub addr: SocketAddr,
}
