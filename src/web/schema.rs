//! The JSON of the interface: what is wished, what is told. It only ever grows.

mod kinds;
pub mod looking;
mod phases;
mod wishes;

pub use kinds::KINDS;
pub use looking::Seen;
pub use phases::Phase;
pub use wishes::{CheckWish, GetWish, NameWish, QuitWish, RequestWish, SetWish, StoreWish};

use crate::ground::{Content, Copy, FileName, Health, Id, Manifest, Naming};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A peer that runs on this machine, as the file says that it leaves for commands; also `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plate {
    /// How people call it: `4`, or the first digits of its id.
    pub name: String,
    /// Its id.
    pub id: Hex<{ Id::LEN }>,
    /// Where it listens.
    pub addrs: Vec<SocketAddr>,
    /// Who is near what.
    pub mode: Mode,
    /// How its network names peers.
    pub naming: NamingMode,
    /// Its process.
    pub pid: u32,
    /// Where it takes commands.
    pub socket: PathBuf,
    /// Where it answers HTTP, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// The file with what requests there have to show that change something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<PathBuf>,
}

/// Who is near what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The nearest clockwise.
    Ring,
    /// The nearest by exclusive or.
    Kademlia,
}

/// How a network names its peers and places its files: [`Naming`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamingMode {
    /// [`Naming::Numbered`].
    Numbered,
    /// [`Naming::NumberedPeers`].
    NumberedPeers,
    /// [`Naming::Hashed`].
    Hashed,
}

/// A line of a reply. `done` or `error` is the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Object {
    /// Something has begun.
    #[serde(rename = "phase")]
    Phase(Phase),
    /// Somebody's search for a file came by this peer.
    #[serde(rename = "hop")]
    Hop {
        /// The file's name.
        name: String,
        /// What for.
        search: Search,
        /// It goes on from here; if not, it ends here.
        passes: bool,
    },
    /// A file is on its way.
    #[serde(rename = "progress")]
    Progress {
        /// The file's name.
        file: String,
        /// How much of it is here.
        bytes: u64,
        /// All of it.
        total: u64,
        /// How fast it comes.
        bytes_per_s: u64,
        /// Seconds until all is here; none: nothing comes.
        eta_s: Option<u64>,
    },
    /// A peer takes part, perhaps this one.
    #[serde(rename = "peer.joined")]
    PeerJoined {
        /// Who.
        peer: Who,
        /// Who comes after this peer, if it is the one, and there is such a thing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        successors: Vec<Who>,
    },
    /// A successor has not answered twice running: it is passed over until it is heard again, or dead.
    #[serde(rename = "peer.silent")]
    PeerSilent {
        /// Who.
        peer: Who,
    },
    /// A successor is dead.
    #[serde(rename = "peer.dead")]
    PeerDead {
        /// Who.
        peer: Who,
    },
    /// A successor said goodbye.
    #[serde(rename = "peer.left")]
    PeerLeft {
        /// Who.
        peer: Who,
    },
    /// Others come after this peer than before.
    #[serde(rename = "successors")]
    Successors {
        /// The nearest first.
        successors: Vec<Who>,
    },
    /// Whoever reads was too slow, or came too late.
    #[serde(rename = "missed")]
    Missed {
        /// How many objects are not told.
        events: u64,
    },
    /// Somebody holds a version of a file.
    #[serde(rename = "copy")]
    Copy {
        /// Who.
        holder: Who,
        /// What.
        file: FileVersion,
        /// How its bytes are.
        health: CopyHealth,
    },
    /// A file of the network.
    #[serde(rename = "file")]
    File {
        /// The version that answers.
        file: FileVersion,
        /// Who holds it.
        holders: Vec<Who>,
    },
    /// All files have been told.
    #[serde(rename = "files")]
    Files {
        /// How many they are.
        files: usize,
        /// How many peers were asked.
        asked: usize,
        /// How many of these did not answer.
        silent: usize,
    },
    /// A file is stored.
    #[serde(rename = "file.stored")]
    Stored {
        /// What.
        file: FileVersion,
        /// Where it belongs.
        place: Who,
        /// Who has it, the owner first.
        holders: Vec<Who>,
        /// How many copies were wanted.
        wanted: usize,
    },
    /// A file is removed.
    #[serde(rename = "file.removed")]
    Removed {
        /// The version that says so.
        file: FileVersion,
        /// Who knows.
        holders: Vec<Who>,
        /// How many were to know.
        wanted: usize,
    },
    /// A file is here.
    #[serde(rename = "file.fetched")]
    Fetched {
        /// Its name.
        name: String,
        /// Where it was put; empty where only whoever asked knows.
        path: String,
        /// Who had it.
        from: Who,
    },
    /// All copies of a file have been read, and told as `copy`.
    #[serde(rename = "file.checked")]
    Checked {
        /// Its name.
        name: String,
        /// How many copies are good, of the version that answers.
        good: usize,
        /// How many there should be.
        wanted: usize,
        /// How many peers were asked.
        asked: usize,
    },
    /// A file that lacked copies has them.
    #[serde(rename = "file.repaired")]
    Repaired {
        /// Its name.
        name: String,
        /// How many copies are good.
        good: usize,
    },
    /// A value is kept.
    #[serde(rename = "value.set")]
    ValueSet {
        /// Its key.
        key: String,
        /// Who keeps it, the nearest first.
        holders: Vec<Who>,
    },
    /// A value was found. One of both forms is there.
    #[serde(rename = "value")]
    Value {
        /// Its key.
        key: String,
        /// As text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// Its bencoding, where it is no text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value_hex: Option<String>,
    },
    /// The peer that was asked.
    #[serde(rename = "status")]
    Status(Plate),
    /// It could not be done.
    #[serde(rename = "error")]
    Error(Trouble),
    /// It is done.
    #[serde(rename = "done")]
    Done {
        /// How well.
        outcome: Outcome,
    },
    /// What people look at.
    #[serde(untagged)]
    Seen(Seen),
}

/// An object as it is told to many: in the stream of events, and in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Counts up from one, in each run of the peer.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// What.
    #[serde(flatten)]
    pub object: Object,
}

/// What somebody looks for a file's place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// To keep it there.
    Store,
    /// To have it from there.
    Request,
}

/// How well something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As wanted.
    Good,
    /// With fewer copies than wanted.
    Few,
    /// A copy is damaged.
    Damaged,
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// In a word.
    pub code: Code,
    /// In a sentence.
    pub message: String,
    /// What led to it, if there is more to say.
    #[serde(default)]
    pub cause: Vec<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// None of the others.
    Failed,
    /// The wish is none.
    Usage,
    /// Everybody responsible was asked: it is not there.
    NotFound,
    /// The network is out of reach.
    OutOfReach,
    /// No running peer can be asked.
    NoPeer,
    /// It does not match its hash.
    Damaged,
    /// Somebody said no.
    Refused,
    /// Time ran out.
    Timeout,
}

/// A peer, or a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// How people call it: `4`, or the first digits of its id.
    pub peer: String,
    /// Its id.
    pub id: Hex<{ Id::LEN }>,
}

/// A version of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVersion {
    /// The file's name.
    pub name: String,
    /// Which.
    pub version: u64,
    /// Its length.
    pub bytes: u64,
    /// The hash of its bytes; none: it says that the file is removed.
    pub blake3: Option<Hex<{ Content::HASH_LEN }>>,
    /// The SHA-256 of the version before it.
    pub previous: Option<Hex<32>>,
    /// Who stored it.
    pub stored_by: Who,
    /// Seconds that it is kept; none: until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// How a copy's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CopyHealth {
    /// There; nobody has looked whether they are right.
    Here,
    /// Right: they were read just now.
    Verified,
    /// Some are wrong.
    Damaged {
        /// How many chunks.
        bad: u64,
        /// Of how many.
        chunks: u64,
    },
}

/// Bytes as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex<const LEN: usize>(pub [u8; LEN]);

impl Who {
    /// A peer, or a place, of a network that names them so.
    pub fn new(naming: Naming, id: Id) -> Who {
        Who { peer: naming.call(id), id: Hex(*id.as_bytes()) }
    }

    /// Several.
    pub fn all(naming: Naming, ids: &[Id]) -> Vec<Who> {
        ids.iter().map(|id| Who::new(naming, *id)).collect()
    }

    /// Its id.
    pub fn id(&self) -> Id {
        Id::new(self.id.0)
    }
}

impl FileVersion {
    /// A version, in a network that names peers so.
    pub fn new(naming: Naming, manifest: &Manifest) -> FileVersion {
        let content = manifest.content;
        FileVersion {
            name: manifest.name.to_string(),
            version: manifest.version,
            bytes: content.len_bytes,
            blake3: (!content.is_removed()).then_some(Hex(content.hash)),
            previous: manifest.previous.map(Hex),
            stored_by: Who::new(naming, manifest.stored_by),
            ttl_s: manifest.ttl.map(|ttl| ttl.as_secs()),
        }
    }

    /// The same as its manifest; none if its name is no name.
    pub fn manifest(&self) -> Option<Manifest> {
        let content = match self.blake3 {
            Some(Hex(hash)) => Content { hash, len_bytes: self.bytes },
            None => Content::REMOVED,
        };
        Some(Manifest {
            name: FileName::parse(&self.name).ok()?,
            version: self.version,
            content,
            previous: self.previous.map(|Hex(link)| link),
            stored_by: self.stored_by.id(),
            ttl: self.ttl_s.map(Duration::from_secs),
        })
    }
}

impl CopyHealth {
    /// Of a copy.
    pub fn of(copy: &Copy) -> CopyHealth {
        match copy.health {
            Health::Here => CopyHealth::Here,
            Health::Verified => CopyHealth::Verified,
            Health::Damaged { bad, chunks } => CopyHealth::Damaged { bad, chunks },
        }
    }

    /// The same on the lowest floor.
    pub fn health(self) -> Health {
        match self {
            CopyHealth::Here => Health::Here,
            CopyHealth::Verified => Health::Verified,
            CopyHealth::Damaged { bad, chunks } => Health::Damaged { bad, chunks },
        }
    }
}

impl From<Naming> for NamingMode {
    fn from(naming: Naming) -> NamingMode {
        match naming {
            Naming::Numbered => NamingMode::Numbered,
            Naming::NumberedPeers => NamingMode::NumberedPeers,
            Naming::Hashed => NamingMode::Hashed,
        }
    }
}

impl From<NamingMode> for Naming {
    fn from(naming: NamingMode) -> Naming {
        match naming {
            NamingMode::Numbered => Naming::Numbered,
            NamingMode::NumberedPeers => Naming::NumberedPeers,
            NamingMode::Hashed => Naming::Hashed,
        }
    }
}

impl Trouble {
    /// With nothing more to say.
    pub fn new(code: Code, message: impl ToString) -> Trouble {
        Trouble { code, message: message.to_string(), cause: Vec::new(), hint: None }
    }

    /// With what to do.
    pub fn hint(self, hint: impl ToString) -> Trouble {
        Trouble { hint: Some(hint.to_string()), ..self }
    }
}

impl Object {
    /// One line, its end included.
    pub fn line(&self) -> String {
        let text = serde_json::to_string(self).expect("all keys are text, and nothing here fails to be written");
        text + "\n"
    }
}

impl<const LEN: usize> std::fmt::Display for Hex<LEN> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const LEN: usize> Serialize for Hex<LEN> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const LEN: usize> Deserialize<'de> for Hex<LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hex<LEN>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() != 2 * LEN || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(D::Error::custom(format!("this takes {} hexadecimal digits", 2 * LEN)));
        }
        let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("these are digits");
        Ok(Hex(std::array::from_fn(byte)))
    }
}

#[cfg(test)]
mod tests;
