//! What the frames say. Keys that are not known are ignored.
//!
//! ```text
//! d 5:fresh i1e  4:from 20:<id>  4:kind 3:put  4:left i<seconds>e  8:manifest d … e e      see ground::record
//! d 7:content d 4:hash 32:<blake3>  3:len i…e e  4:from 20:<id>  4:kind 3:get  4:name <text>  4:port i…e e
//! d 4:kind 7:inspect  4:name <text>  6:verify i1e e
//! d 4:kind 4:list e                          hashes, done: the same
//! d 5:count i…e  5:first i…e  4:kind 4:want e
//!
//! d 4:bits <bits>  4:kind 5:lacks e
//! d 4:kind 4:have e                          durable, damaged, missing, wait: the same
//! d 4:held 100:<holding>  4:kind 8:outdated e
//! d 4:kind 7:refused  4:text <why> e
//! d 4:hash 32:<blake3>  4:kind 4:here  3:len i…e e                    hash only if it is known
//! d 4:hash 32:<blake3>  4:kind 5:whole e
//! d 4:bits <bits>  4:kind 5:holds  6:takers l <address> … e e         no bits: it has all
//! d 5:count i…e  5:first i…e  4:kind 4:give  3:new <indices>  6:takers l <address> … e e
//! d 6:copies l <copy> … e  4:kind 6:copies e       copy: d 3:bad i…e  6:chunks i…e  8:manifest d … e  8:verified i1e e
//! d 4:kind 5:names  9:manifests l <manifest> … e  4:more i1e e
//!
//! bits       one for each chunk, the first is the highest of the first byte
//! indices    4 bytes each, big-endian
//! address    4 or 16 bytes and a port of 2, big-endian, as in BEP 5 and BEP 32
//! ```

use super::frame::BadFrame;
use crate::ground::bencode::{self, DictWriter, Value, Writer};
use crate::ground::{Content, Copy, FileName, Health, Holding, Id, Manifest, krpc, record};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

/// The longest reason for a refusal that is read, in letters: it is shown in one line.
const MAX_REASON: usize = 200;

/// Most chunks told as new in one frame: 32 KiB of it.
pub(super) const MAX_NEW: usize = 8 << 10;

/// A BLAKE3.
type Hash = [u8; Content::HASH_LEN];

/// What the one who connects wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// To give a version. What belongs to it follows (see the drawing in [`transfer`](super)).
    Put(Put),
    /// To get a file.
    Get(Get),
    /// To know which versions of a name are held.
    Inspect {
        /// The name.
        name: FileName,
        /// All bytes are to be read and checked.
        verify: bool,
    },
    /// To know which names are held.
    List,
    /// After a Get: the list of the chunks' hashes.
    Hashes,
    /// After a Get: these chunks.
    Want(Range<u64>),
    /// After a Get: no more of this.
    Done,
}

/// A version that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Which.
    pub manifest: Manifest,
    /// What is left of its life, where that has an end.
    pub left: Option<Duration>,
    /// It is just being stored.
    pub fresh: bool,
    /// Who gives it.
    pub from: Id,
}

/// A file that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Whose name.
    pub name: FileName,
    /// Exactly this content; none: whatever lies in the working folder under that name.
    pub content: Option<Content>,
    /// Who gets it.
    pub from: Id,
    /// The port at which they give it on.
    pub port: u16,
}

impl Question {
    /// The payload of the frame that says this.
    pub fn encode(&self) -> Vec<u8> {
        Writer::dict(|d| match self {
            Question::Put(Put { manifest, left, fresh, from }) => {
                flag("fresh", *fresh, d);
                d.bytes("from", from.as_bytes());
                d.bytes("kind", b"put");
                if let Some(left) = left {
                    d.count("left", left.as_secs());
                }
                d.dict("manifest", |d| record::write(manifest, d));
            }
            Question::Get(Get { name, content, from, port }) => {
                if let Some(content) = content {
                    d.dict("content", |d| write_content(content, d));
                }
                d.bytes("from", from.as_bytes());
                d.bytes("kind", b"get");
                d.bytes("name", name.as_str().as_bytes());
                d.count("port", u64::from(*port));
            }
            Question::Inspect { name, verify } => {
                d.bytes("kind", b"inspect");
                d.bytes("name", name.as_str().as_bytes());
                flag("verify", *verify, d);
            }
            Question::List => d.bytes("kind", b"list"),
            Question::Hashes => d.bytes("kind", b"hashes"),
            Question::Done => d.bytes("kind", b"done"),
            Question::Want(run) => {
                write_run(run, d);
                d.bytes("kind", b"want");
            }
        })
    }

    /// Reads the payload of a frame.
    pub fn decode(payload: &[u8]) -> Result<Question, BadFrame> {
        let value = bencode::decode(payload).map_err(|_| BadFrame::Malformed)?;
        let question = match kind(&value)? {
            b"put" => read_put(&value),
            b"get" => read_get(&value),
            b"inspect" => read_name(&value).map(|name| Question::Inspect { name, verify: is_set(&value, "verify") }),
            b"list" => Some(Question::List),
            b"hashes" => Some(Question::Hashes),
            b"done" => Some(Question::Done),
            b"want" => read_run(&value).map(Question::Want),
            _ => return Err(BadFrame::Unknown),
        };
        question.ok_or(BadFrame::Malformed)
    }
}

fn read_put(value: &Value) -> Option<Question> {
    Some(Question::Put(Put {
        manifest: record::read(value.get("manifest")?).ok()?,
        left: value.get("left").and_then(Value::count).map(Duration::from_secs),
        fresh: is_set(value, "fresh"),
        from: Id::from_slice(value.get("from")?.bytes()?)?,
    }))
}

fn read_get(value: &Value) -> Option<Question> {
    Some(Question::Get(Get {
        name: read_name(value)?,
        content: match value.get("content") {
            Some(content) => Some(read_content(content)?),
            None => None,
        },
        from: Id::from_slice(value.get("from")?.bytes()?)?,
        port: value.get("port")?.count()?.try_into().ok()?,
    }))
}

fn read_name(value: &Value) -> Option<FileName> {
    FileName::parse(value.get("name")?.text()?).ok()
}

/// What the other one answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Put: send these chunks, one behind the other.
    Lacks(Vec<u8>),
    /// Put: it is here and durable already.
    Have,
    /// Put: not beside this version.
    Outdated(Holding),
    /// No, in words that complete "refused it (…)".
    Refused(String),
    /// Put: the bytes are here, verified and durable.
    Durable,
    /// Put: the bytes that came are not those that were announced.
    Damaged,
    /// Get: all bytes follow. Of the whole file: its length, and its hash if it is known.
    Here { len_bytes: u64, hash: Option<Hash> },
    /// Get: there is no such file.
    Missing,
    /// Get: the hash of the whole file, after its last byte.
    Whole { hash: Hash },
    /// Get: the content is here, or these chunks of it; others who take the same.
    Holds { bits: Option<Vec<u8>>, takers: Vec<SocketAddr> },
    /// Hashes: the list follows.
    Hashes,
    /// Want: these chunks follow. More that came here meanwhile; others who take the same.
    Give { run: Range<u64>, new: Vec<u64>, takers: Vec<SocketAddr> },
    /// Any: it takes its time.
    Wait,
    /// Inspect: what is held of the name.
    Copies(Vec<Copy>),
    /// List: what is held, and perhaps more in the next frame.
    Names { manifests: Vec<Manifest>, more: bool },
}

impl Reply {
    pub fn encode(&self) -> Vec<u8> {
        Writer::dict(|d| match self {
            Reply::Have => d.bytes("kind", b"have"),
            Reply::Durable => d.bytes("kind", b"durable"),
            Reply::Damaged => d.bytes("kind", b"damaged"),
            Reply::Missing => d.bytes("kind", b"missing"),
            Reply::Hashes => d.bytes("kind", b"hashes"),
            Reply::Wait => d.bytes("kind", b"wait"),
            Reply::Lacks(bits) => {
                d.bytes("bits", bits);
                d.bytes("kind", b"lacks");
            }
            Reply::Outdated(held) => {
                d.bytes("held", &krpc::compact_files(&[*held]));
                d.bytes("kind", b"outdated");
            }
            Reply::Refused(reason) => {
                d.bytes("kind", b"refused");
                d.bytes("text", tame(reason).as_bytes());
            }
            Reply::Here { len_bytes, hash } => {
                if let Some(hash) = hash {
                    d.bytes("hash", hash);
                }
                d.bytes("kind", b"here");
                d.count("len", *len_bytes);
            }
            Reply::Whole { hash } => {
                d.bytes("hash", hash);
                d.bytes("kind", b"whole");
            }
            Reply::Holds { bits, takers } => {
                if let Some(bits) = bits {
                    d.bytes("bits", bits);
                }
                d.bytes("kind", b"holds");
                write_takers(takers, d);
            }
            Reply::Give { run, new, takers } => {
                write_run(run, d);
                d.bytes("kind", b"give");
                d.bytes("new", &new.iter().flat_map(|index| (*index as u32).to_be_bytes()).collect::<Vec<u8>>());
                write_takers(takers, d);
            }
            Reply::Copies(copies) => {
                let copies: Vec<Vec<u8>> = copies.iter().map(copy_text).collect();
                d.strings("copies", &copies.iter().map(Vec::as_slice).collect::<Vec<_>>());
                d.bytes("kind", b"copies");
            }
            Reply::Names { manifests, more } => {
                let manifests: Vec<Vec<u8>> = manifests.iter().map(record::encode).collect();
                d.bytes("kind", b"names");
                d.strings("manifests", &manifests.iter().map(Vec::as_slice).collect::<Vec<_>>());
                flag("more", *more, d);
            }
        })
    }

    pub fn decode(payload: &[u8]) -> Result<Reply, BadFrame> {
        let value = bencode::decode(payload).map_err(|_| BadFrame::Malformed)?;
        let hash = || value.get("hash").and_then(read_hash);
        let bits = || value.get("bits").and_then(Value::bytes).map(<[u8]>::to_vec);
        let reply = match kind(&value)? {
            b"lacks" => bits().map(Reply::Lacks),
            b"have" => Some(Reply::Have),
            b"durable" => Some(Reply::Durable),
            b"damaged" => Some(Reply::Damaged),
            b"missing" => Some(Reply::Missing),
            b"hashes" => Some(Reply::Hashes),
            b"wait" => Some(Reply::Wait),
            b"outdated" => read_held(&value).map(Reply::Outdated),
            b"refused" => {
                Some(Reply::Refused(tame(value.get("text").and_then(Value::text).unwrap_or("for no reason"))))
            }
            b"here" => {
                let len_bytes = value.get("len").and_then(Value::count);
                len_bytes.map(|len_bytes| Reply::Here { len_bytes, hash: hash() })
            }
            b"whole" => hash().map(|hash| Reply::Whole { hash }),
            b"holds" => Some(Reply::Holds { bits: bits(), takers: read_takers(&value) }),
            b"give" => {
                let give = |run| Reply::Give { run, new: read_new(&value), takers: read_takers(&value) };
                read_run(&value).map(give)
            }
            b"copies" => read_list(&value, "copies", read_copy).map(Reply::Copies),
            b"names" => {
                let manifests = read_list(&value, "manifests", |text| record::decode(text).ok());
                manifests.map(|manifests| Reply::Names { manifests, more: is_set(&value, "more") })
            }
            _ => return Err(BadFrame::Unknown),
        };
        reply.ok_or(BadFrame::Malformed)
    }
}

fn kind<'a>(value: &Value<'a>) -> Result<&'a [u8], BadFrame> {
    value.get("kind").and_then(Value::bytes).ok_or(BadFrame::Malformed)
}

fn flag(key: &'static str, is_set: bool, d: &mut DictWriter) {
    if is_set {
        d.count(key, 1);
    }
}

fn is_set(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::count) == Some(1)
}

fn read_held(value: &Value) -> Option<Holding> {
    krpc::files_from(value.get("held")?.bytes()?).first().copied()
}

fn write_content(content: &Content, d: &mut DictWriter) {
    d.bytes("hash", &content.hash);
    d.count("len", content.len_bytes);
}

fn read_content(value: &Value) -> Option<Content> {
    Some(Content { hash: read_hash(value.get("hash")?)?, len_bytes: value.get("len")?.count()? })
}

fn read_hash(value: &Value) -> Option<Hash> {
    value.bytes()?.try_into().ok()
}

fn write_run(run: &Range<u64>, d: &mut DictWriter) {
    d.count("count", run.end - run.start);
    d.count("first", run.start);
}

fn read_run(value: &Value) -> Option<Range<u64>> {
    let first = value.get("first")?.count()?;
    Some(first..first.checked_add(value.get("count")?.count()?)?)
}

fn read_new(value: &Value) -> Vec<u64> {
    let bytes = value.get("new").and_then(Value::bytes).unwrap_or_default();
    bytes.as_chunks().0.iter().map(|index| u64::from(u32::from_be_bytes(*index))).collect()
}

fn write_takers(takers: &[SocketAddr], d: &mut DictWriter) {
    let compact = |addr: &SocketAddr| {
        let mut bytes = match addr.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        bytes.extend(addr.port().to_be_bytes());
        bytes
    };
    let takers: Vec<Vec<u8>> = takers.iter().map(compact).collect();
    if !takers.is_empty() {
        d.strings("takers", &takers.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
}

fn read_takers(value: &Value) -> Vec<SocketAddr> {
    let addr = |bytes: &[u8]| -> Option<SocketAddr> {
        let (ip, port) = bytes.split_last_chunk()?;
        let ip = match ip.len() {
            4 => IpAddr::from(*ip.first_chunk::<4>()?),
            16 => IpAddr::from(*ip.first_chunk::<16>()?),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
    };
    let takers = value.get("takers").and_then(Value::list).unwrap_or_default();
    takers.iter().filter_map(|taker| addr(taker.bytes()?)).collect()
}

fn read_list<T>(value: &Value, key: &str, read: impl Fn(&[u8]) -> Option<T>) -> Option<Vec<T>> {
    value.get(key)?.list()?.iter().map(|text| read(text.bytes()?)).collect()
}

fn copy_text(copy: &Copy) -> Vec<u8> {
    Writer::dict(|d| {
        if let Health::Damaged { bad, chunks } = copy.health {
            d.count("bad", bad);
            d.count("chunks", chunks);
        }
        d.dict("manifest", |d| record::write(&copy.manifest, d));
        flag("verified", copy.health == Health::Verified, d);
    })
}

fn read_copy(text: &[u8]) -> Option<Copy> {
    let value = bencode::decode(text).ok()?;
    let number = |key| value.get(key).and_then(Value::count);
    let health = match (number("bad"), number("chunks")) {
        (Some(bad), Some(chunks)) => Health::Damaged { bad, chunks },
        _ if is_set(&value, "verified") => Health::Verified,
        _ => Health::Here,
    };
    Some(Copy { manifest: record::read(value.get("manifest")?).ok()?, health })
}

/// A stranger's words, fit for a terminal's line: plain ASCII, and not many.
fn tame(reason: &str) -> String {
    let is_harmless = |letter: &char| letter.is_ascii_graphic() || *letter == ' ';
    reason.chars().filter(is_harmless).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> FileName {
        FileName::parse("4103").unwrap()
    }

    fn manifest() -> Manifest {
        Manifest::after(None, name(), Content { hash: [0x9c; 32], len_bytes: 7 }, Id::numbered(8))
    }

    fn questions() -> Vec<Question> {
        let from = Id::numbered(8);
        let left = Some(Duration::from_secs(60));
        vec![
            Question::Put(Put { manifest: manifest(), left, fresh: true, from }),
            Question::Put(Put { manifest: manifest(), left: None, fresh: false, from }),
            Question::Get(Get { name: name(), content: Some(manifest().content), from, port: 12008 }),
            Question::Get(Get { name: name(), content: None, from, port: 0 }),
            Question::Inspect { name: name(), verify: true },
            Question::Inspect { name: name(), verify: false },
            Question::List,
            Question::Hashes,
            Question::Want(7..9),
            Question::Done,
        ]
    }

    #[test]
    fn questions_survive_the_wire_and_no_truncation_of_them_does() {
        for question in questions() {
            let payload = question.encode();
            assert_eq!(Question::decode(&payload).unwrap(), question);
            for len in 0..payload.len() {
                assert!(matches!(Question::decode(&payload[..len]), Err(BadFrame::Malformed)), "{len}");
            }
        }
    }

    #[test]
    fn replies_survive_the_wire() {
        let hash = [0x9c; 32];
        let takers: Vec<SocketAddr> = vec!["127.0.0.1:12008".parse().unwrap(), "[::1]:7".parse().unwrap()];
        let health = [Health::Here, Health::Verified, Health::Damaged { bad: 1, chunks: 7 }];
        for reply in [
            Reply::Lacks(vec![0xff, 0x80]),
            Reply::Have,
            Reply::Durable,
            Reply::Damaged,
            Reply::Missing,
            Reply::Hashes,
            Reply::Wait,
            Reply::Outdated(manifest().holding()),
            Reply::Refused("no space left".to_owned()),
            Reply::Here { len_bytes: 5 << 30, hash: Some(hash) },
            Reply::Here { len_bytes: 0, hash: None },
            Reply::Whole { hash },
            Reply::Holds { bits: Some(vec![0x80]), takers: takers.clone() },
            Reply::Holds { bits: None, takers: Vec::new() },
            Reply::Give { run: 7..9, new: vec![1, 65_535], takers },
            Reply::Copies(health.map(|health| Copy { manifest: manifest(), health }).to_vec()),
            Reply::Names { manifests: vec![manifest(), manifest()], more: true },
        ] {
            assert_eq!(Reply::decode(&reply.encode()).unwrap(), reply);
        }
    }

    #[test]
    fn the_longest_replies_fit_a_frame() {
        let most = super::super::frame::MAX_PAYLOAD_BYTES;
        let takers = vec!["[::1]:7".parse().unwrap(); super::super::crowd::MOST_TOLD];
        let bits = vec![0xff; (crate::store::pieces::MAX_CHUNKS / 8) as usize];
        assert!(Reply::Lacks(bits.clone()).encode().len() <= most);
        assert!(Reply::Holds { bits: Some(bits), takers: takers.clone() }.encode().len() <= most);
        assert!(Reply::Give { run: 0..u64::MAX, new: vec![65_535; MAX_NEW], takers }.encode().len() <= most);
        let long = Manifest { name: FileName::parse(&"x".repeat(255)).unwrap(), ..manifest() };
        let copies = vec![Copy { manifest: long, health: Health::Verified }; crate::ground::versions::MAX_VERSIONS];
        assert!(Reply::Copies(copies).encode().len() <= most);
    }

    #[test]
    fn unknown_keys_are_ignored_and_unknown_kinds_are_told_from_damage() {
        assert_eq!(Reply::decode(b"d4:kind4:have4:moodi7ee").unwrap(), Reply::Have);
        assert!(matches!(Question::decode(b"d4:kind5:dancee"), Err(BadFrame::Unknown)));
        assert!(matches!(Question::decode(b"d4:kind3:gete"), Err(BadFrame::Malformed)));
        assert!(matches!(Question::decode(b"i1e"), Err(BadFrame::Malformed)));
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        let payload = b"d4:from20:aaaaaaaaaaaaaaaaaaaa4:kind3:get4:name9:../passwd4:porti0ee";
        assert!(matches!(Question::decode(payload), Err(BadFrame::Malformed)));
    }

    #[test]
    fn a_reason_from_the_wire_cannot_play_with_the_terminal() {
        let reply = Reply::decode(b"d4:kind7:refused4:text9:no\x1b[2J\r\nwe").unwrap();
        assert_eq!(reply, Reply::Refused("no[2Jw".to_owned()));
    }
}
