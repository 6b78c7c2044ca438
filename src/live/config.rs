//! What a host is started with, and where it keeps things.

use super::neighbours::Place;
use crate::ground::{Contact, FileName, Id, Naming};
use crate::overlay::Kind;
use crate::store::scrub::Pace;
use crate::transfer::Limits;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a host starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who its peer is.
    pub identity: Identity,
    /// How its network names peers and places files.
    pub naming: Naming,
    /// Whom it knows.
    pub start: Beginning,
    /// Where it listens, UDP and TCP alike. With port 0 the system chooses one.
    pub addr: SocketAddr,
    /// Where else: an address of the other family, at the same port.
    pub also: Option<SocketAddr>,
    /// Where others reach it, if that is not where they see it. Port 0 is the one where it listens.
    pub advertise: Option<Place>,
    /// Its folders.
    pub folders: Folders,
    /// Time between two rounds of shown pings.
    pub ping_interval: Duration,
    /// Who is near what.
    pub overlay: Kind,
    /// How many peers keep a file.
    pub replicas: usize,
    /// How many bytes of content its store holds at most; none: as many as the disk.
    pub quota: Option<u64>,
    /// How quickly its store is read again and again, to find what the disk has damaged.
    pub scrub: Pace,
    /// How fast its transfers go at most.
    pub limits: Limits,
}

/// Whom a host's peer knows when it starts.
#[derive(Clone, Debug)]
pub enum Beginning {
    /// A network of its own, or one whose peers start together and know their successors: none, one or two.
    Ring(Vec<Contact>),
    /// Where peers of the network it joins can be asked. Not empty.
    Join(Vec<Place>),
}

/// Who a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// This one.
    Given(Id),
    /// Drawn by lot at the first start, and kept with what the peer notes.
    Kept {
        /// So many leading bits are drawn; the others are zero.
        bits: usize,
    },
}

impl Identity {
    /// Only the leading `bits` of an id; the others are zero.
    pub fn truncated(id: Id, bits: usize) -> Id {
        let masked = |(at, byte): (usize, &u8)| match bits.saturating_sub(8 * at) {
            0 => 0,
            rest if rest < 8 => byte & !(0xff >> rest),
            _ => *byte,
        };
        let bytes: Vec<u8> = id.as_bytes().iter().enumerate().map(masked).collect();
        Id::from_slice(&bytes).expect("as many bytes as before")
    }
}

/// A host's folders.
///
/// ```text
/// working folder/            sources of Store; files of the assignment that nobody stored
///   files/                   more of them
///   received_4103.pdf        what a Request brought
///   .p2p/12008/              the store of the peer on port 12008
/// ```
#[derive(Clone, Debug)]
pub struct Folders {
    /// The working folder.
    pub work: PathBuf,
    /// The peer's own store. Not shared with other peers that run in the same working folder.
    pub store: PathBuf,
}

impl Folders {
    /// The longest name that fits a folder entry, in bytes.
    const MAX_ENTRY_BYTES: usize = 255;

    /// The folders of the peer that listens on `port` and works in `work`.
    pub fn new(work: &Path, port: u16) -> Folders {
        Folders { work: work.to_owned(), store: work.join(".p2p").join(port.to_string()) }
    }

    /// The folders of the same peer, once its port is known.
    pub fn at_port(&self, port: u16) -> Folders {
        Folders::new(&self.work, port)
    }

    /// Where files pass through on their way to programs. Emptied at the start, with the store's own.
    pub fn passing(&self) -> PathBuf {
        self.store.join("tmp")
    }

    /// Where the copy arrives that a Request brings: the assignment's files as PDFs, others under their own ending.
    pub fn received(&self, name: &FileName) -> PathBuf {
        let ending = if name.four_digits().is_some() { ".pdf" } else { "" };
        let entry = format!("received_{name}{ending}");
        if entry.len() <= Self::MAX_ENTRY_BYTES {
            return self.work.join(entry);
        }
        self.work.join(format!("received_{}", name.key()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(name: &str) -> String {
        let folders = Folders::new(Path::new(""), 12008);
        folders.received(&FileName::parse(name).unwrap()).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_truncated_id_has_zeros_behind() {
        for bits in [4, 8, 13, 159, 160] {
            let id = Identity::truncated(Id::MAX, bits);
            let ones: u32 = id.as_bytes().iter().map(|byte| byte.count_ones()).sum();
            assert_eq!(ones as usize, bits);
            assert!(Id::MAX.xor(id) == Id::ZERO || Id::MAX.xor(id) < Id::power_of_two(160 - bits));
        }
        assert_eq!(Identity::truncated(Id::numbered(15), 8), Id::numbered(15));
    }

    #[test]
    fn copies_of_the_assignments_files_arrive_as_pdfs() {
        assert_eq!(received("4103"), "received_4103.pdf");
        assert_eq!(received("lorem.txt"), "received_lorem.txt");
        assert_eq!(received("41030"), "received_41030");
    }

    #[test]
    fn every_name_gives_an_entry_that_fits_a_folder() {
        let names = [240, 246, 247, 255].map(|len| received(&"x".repeat(len)));
        assert!(names.iter().all(|entry| entry.len() <= 255), "{names:?}");
        assert_eq!(names[1].len(), 255);
    }

    #[test]
    fn peers_in_one_folder_have_stores_of_their_own() {
        let work = Path::new("work");
        assert_eq!(Folders::new(work, 12008).store, Path::new("work/.p2p/12008"));
        assert_ne!(Folders::new(work, 12008).store, Folders::new(work, 12009).store);
    }
}
