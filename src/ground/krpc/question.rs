//! Questions on the wire.

use super::compact::{array_in, compact_files, files_in, id_in, is_set};
use super::{Refusal, secs_in};
use crate::ground::bencode::{DictWriter, Value, raw};
use crate::ground::{FileName, Holding, Id, Item, Signed};
use std::time::Duration;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Are you there?
    Ping(Ping),
    /// Whom do you know near `target`?
    FindNode {
        /// An id or a place.
        target: Id,
        /// What the asker is about, where people shall see it pass by.
        errand: Option<Errand>,
    },
    /// Which versions of these files do you hold? The asker's own are named.
    Holds(Vec<Holding>),
    /// Do you hold what we both should, of the names with these keys?
    Digest(Range),
    /// Look after these files now: fewer keep them than should. The versions do not matter.
    Mend(Vec<Holding>),
    /// There are such files: remember that, to tell those who look for them when nobody holds them any more.
    Remember(Vec<Holding>),
    /// Who has this torrent, or file (BEP 5)?
    GetPeers {
        /// A torrent's info-hash, or the SHA-1 of a file's name.
        info_hash: Id,
        /// How many they are is wanted too (BEP 33).
        scrape: bool,
    },
    /// I have it (BEP 5).
    AnnouncePeer(Box<Announcement>),
    /// Do you keep this item (BEP 44)?
    Get {
        /// The item's.
        target: Id,
        /// The asker has this version already.
        seq: Option<i64>,
    },
    /// Keep this item (BEP 44).
    Put(Box<Offer>),
    /// What torrents do you know of (BEP 51)?
    SampleInfohashes {
        /// Contacts near it are wanted as well.
        target: Id,
    },
}

/// What two peers should both hold, of the names whose keys are within two bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest key.
    pub first: Id,
    /// The highest key.
    pub last: Id,
    /// The SHA-1 of key, version and BLAKE3 of each version, in the order of keys, of each the highest first.
    pub digest: Id,
}

/// Why a ping is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    /// To know, quietly.
    Quiet,
    /// A round of the classic ring, shown to people.
    Shown,
    /// "My first successor changed: ask me."
    Moved,
    /// "This neighbour of ours is dead: see for yourself."
    Lost(Id),
}

/// What a search is for, where that makes a difference. Those but the last are shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// The asker looks for its own place.
    Join,
    /// It looks for who shall keep a file.
    Store(FileName),
    /// It looks for who has a file.
    Request(FileName),
    /// The same, and nobody shows it.
    Find(FileName),
}

/// "I have this torrent, or file."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What.
    pub info_hash: Id,
    /// At which port; none: at the one the question comes from.
    pub port: Option<u16>,
    /// All of it (BEP 33).
    pub seed: bool,
    /// What the keeper said to our get_peers.
    pub token: Vec<u8>,
    /// Among peers of ours: which version of the file.
    pub file: Option<Holding>,
}

/// "Keep this item."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What. Not verified: that is the keeper's to do.
    pub item: Item,
    /// What the keeper said to our get.
    pub token: Vec<u8>,
    /// Only if this is the version there.
    pub cas: Option<i64>,
    /// Among peers of ours: what is left of its life.
    pub left: Option<Duration>,
}

impl Question {
    pub(super) fn method(&self) -> &'static str {
        match self {
            Question::Ping(_) => "ping",
            Question::FindNode { .. } => "find_node",
            Question::Holds(_) => "holds",
            Question::Digest(_) => "digest",
            Question::Mend(_) => "mend",
            Question::Remember(_) => "remember",
            Question::GetPeers { .. } => "get_peers",
            Question::AnnouncePeer(_) => "announce_peer",
            Question::Get { .. } => "get",
            Question::Put(_) => "put",
            Question::SampleInfohashes { .. } => "sample_infohashes",
        }
    }

    /// The answer is told to people, or begins something: who repeats the question must get the same one again.
    pub fn is_heard_once(&self) -> bool {
        match self {
            Question::Ping(ping) => *ping != Ping::Quiet,
            Question::FindNode { errand, .. } => errand.is_some(),
            _ => false,
        }
    }

    /// Its arguments, in the order of their names; `want` follows all others.
    pub(super) fn encode(&self, a: &mut DictWriter, from: Id, want: &[&[u8]]) {
        match self {
            Question::Ping(ping) => {
                a.bytes("id", from.as_bytes());
                match ping {
                    Ping::Quiet => {}
                    Ping::Lost(id) => a.bytes("lost", id.as_bytes()),
                    Ping::Moved => a.count("moved", 1),
                    Ping::Shown => a.count("shown", 1),
                }
            }
            Question::FindNode { target, errand } => {
                let (word, name) = match errand {
                    None => (None, None),
                    Some(Errand::Join) => (Some("join"), None),
                    Some(Errand::Store(name)) => (Some("store"), Some(name)),
                    Some(Errand::Request(name)) => (Some("request"), Some(name)),
                    Some(Errand::Find(name)) => (Some("find"), Some(name)),
                };
                if let Some(word) = word {
                    a.bytes("errand", word.as_bytes());
                }
                a.bytes("id", from.as_bytes());
                if let Some(name) = name {
                    a.bytes("name", name.as_str().as_bytes());
                }
                a.bytes("target", target.as_bytes());
            }
            Question::Digest(Range { first, last, digest }) => {
                a.bytes("digest", digest.as_bytes());
                a.bytes("first", first.as_bytes());
                a.bytes("id", from.as_bytes());
                a.bytes("last", last.as_bytes());
            }
            Question::Holds(files) | Question::Mend(files) | Question::Remember(files) => {
                a.bytes("files", &compact_files(files));
                a.bytes("id", from.as_bytes());
            }
            Question::GetPeers { info_hash, scrape } => {
                a.bytes("id", from.as_bytes());
                a.bytes("info_hash", info_hash.as_bytes());
                if *scrape {
                    a.count("scrape", 1);
                }
            }
            Question::AnnouncePeer(announcement) => announcement.encode(a, from),
            Question::Get { target, seq } => {
                a.bytes("id", from.as_bytes());
                if let Some(seq) = seq {
                    a.int("seq", *seq);
                }
                a.bytes("target", target.as_bytes());
            }
            Question::Put(offer) => offer.encode(a, from),
            Question::SampleInfohashes { target } => {
                a.bytes("id", from.as_bytes());
                a.bytes("target", target.as_bytes());
            }
        }
        if self.asks_for_nodes() && !want.is_empty() {
            a.strings("want", want);
        }
    }

    fn asks_for_nodes(&self) -> bool {
        match self {
            Question::FindNode { .. } | Question::GetPeers { .. } => true,
            Question::Get { .. } | Question::SampleInfohashes { .. } => true,
            Question::Ping(_) | Question::AnnouncePeer(_) | Question::Put(_) => false,
            Question::Holds(_) | Question::Digest(_) | Question::Mend(_) | Question::Remember(_) => false,
        }
    }

    pub(super) fn decode(datagram: &[u8], text: &Value, arguments: &Value) -> Result<Question, Refusal> {
        let target = |key: &str| id_in(arguments, key).ok_or_else(|| Refusal::protocol("no target"));
        Ok(match text.get("q").and_then(Value::text) {
            Some("ping") if is_set(arguments, "shown") => Question::Ping(Ping::Shown),
            Some("ping") if is_set(arguments, "moved") => Question::Ping(Ping::Moved),
            Some("ping") if arguments.get("lost").is_some() => {
                Question::Ping(Ping::Lost(id_in(arguments, "lost").ok_or_else(|| Refusal::protocol("lost whom?"))?))
            }
            Some("ping") => Question::Ping(Ping::Quiet),
            Some("find_node") => Question::FindNode { target: target("target")?, errand: decode_errand(arguments)? },
            Some("holds") => Question::Holds(files_in(arguments, "files")),
            Some("digest") => {
                let id = |key| id_in(arguments, key).ok_or_else(|| Refusal::protocol("half a digest"));
                Question::Digest(Range { first: id("first")?, last: id("last")?, digest: id("digest")? })
            }
            Some("mend") => Question::Mend(files_in(arguments, "files")),
            Some("remember") => Question::Remember(files_in(arguments, "files")),
            Some("get_peers") => {
                Question::GetPeers { info_hash: target("info_hash")?, scrape: is_set(arguments, "scrape") }
            }
            Some("announce_peer") => Question::AnnouncePeer(Box::new(Announcement::decode(arguments)?)),
            Some("get") => {
                let seq = arguments.get("seq").and_then(Value::int);
                Question::Get { target: target("target")?, seq }
            }
            Some("put") => Question::Put(Box::new(Offer::decode(datagram, arguments)?)),
            Some("sample_infohashes") => Question::SampleInfohashes { target: target("target")? },
            // A question of later times: contacts near what it is about are of use in any case (BEP 5's advice).
            _ => match id_in(arguments, "target").or_else(|| id_in(arguments, "info_hash")) {
                Some(target) => Question::FindNode { target, errand: None },
                None => return Err(Refusal::unknown_method()),
            },
        })
    }
}

impl Announcement {
    fn encode(&self, a: &mut DictWriter, from: Id) {
        if let Some(file) = &self.file {
            a.bytes("files", &compact_files(std::slice::from_ref(file)));
        }
        a.bytes("id", from.as_bytes());
        if self.port.is_none() {
            a.count("implied_port", 1);
        }
        a.bytes("info_hash", self.info_hash.as_bytes());
        a.count("port", u64::from(self.port.unwrap_or(1)));
        if self.seed {
            a.count("seed", 1);
        }
        a.bytes("token", &self.token);
    }

    fn decode(arguments: &Value) -> Result<Announcement, Refusal> {
        let info_hash = id_in(arguments, "info_hash").ok_or_else(|| Refusal::protocol("no info_hash"))?;
        let token = arguments.get("token").and_then(Value::bytes).ok_or_else(|| Refusal::protocol("no token"))?;
        let implied = arguments.get("implied_port").and_then(Value::int).is_some_and(|implied| implied != 0);
        let port = || {
            let port = arguments.get("port").and_then(Value::count).and_then(|port| u16::try_from(port).ok());
            port.filter(|port| *port != 0).ok_or_else(|| Refusal::protocol("no port that could be reached"))
        };
        Ok(Announcement {
            info_hash,
            port: if implied { None } else { Some(port()?) },
            seed: is_set(arguments, "seed"),
            token: token.to_vec(),
            file: files_in(arguments, "files").first().copied().filter(|file| file.key == info_hash),
        })
    }
}

impl Offer {
    fn encode(&self, a: &mut DictWriter, from: Id) {
        if let Some(cas) = self.cas {
            a.int("cas", cas);
        }
        a.bytes("id", from.as_bytes());
        let signed = if let Item::Mutable(signed) = &self.item { Some(signed) } else { None };
        if let Some(signed) = signed {
            a.bytes("k", &signed.key);
        }
        if let Some(left) = self.left {
            a.count("left", left.as_secs());
        }
        if let Some(signed) = signed {
            if !signed.salt.is_empty() {
                a.bytes("salt", &signed.salt);
            }
            a.int("seq", signed.seq);
            a.bytes("sig", &signed.signature);
        }
        a.bytes("token", &self.token);
        a.raw("v", self.item.value());
    }

    fn decode(datagram: &[u8], arguments: &Value) -> Result<Offer, Refusal> {
        let token = arguments.get("token").and_then(Value::bytes).ok_or_else(|| Refusal::protocol("no token"))?;
        let value = raw(datagram, &["a", "v"]).ok_or_else(|| Refusal::protocol("no value"))?.to_vec();
        let item = match arguments.get("k") {
            None => Item::Immutable(value),
            Some(_) => {
                let key = array_in(arguments, "k").ok_or_else(|| Refusal::protocol("a key has 32 bytes"))?;
                let signature = array_in(arguments, "sig").ok_or_else(Refusal::bad_signature)?;
                let seq = arguments.get("seq").and_then(Value::int).ok_or_else(|| Refusal::protocol("no seq"))?;
                let salt = arguments.get("salt").and_then(Value::bytes).unwrap_or_default().to_vec();
                Item::Mutable(Signed { key, salt, seq, value, signature })
            }
        };
        let cas = arguments.get("cas").and_then(Value::int);
        Ok(Offer { item, token: token.to_vec(), cas, left: secs_in(arguments, "left") })
    }
}

fn decode_errand(arguments: &Value) -> Result<Option<Errand>, Refusal> {
    let name = || {
        let text = arguments.get("name").and_then(Value::text).ok_or_else(|| Refusal::protocol("no name"))?;
        FileName::parse(text).map_err(|error| Refusal::protocol(&error.to_string()))
    };
    Ok(match arguments.get("errand").and_then(Value::text) {
        Some("join") => Some(Errand::Join),
        Some("store") => Some(Errand::Store(name()?)),
        Some("request") => Some(Errand::Request(name()?)),
        Some("find") => Some(Errand::Find(name()?)),
        // An errand of a later version: still a question for contacts.
        _ => None,
    })
}
