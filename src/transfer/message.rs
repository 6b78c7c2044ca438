//! What the frames say. Keys that are not known are ignored.
//!
//! ```text
//! d 4:from 20:<id>  4:kind 3:put  8:manifest d … e e                                  see ground::record
//! d 7:content d 4:hash 32:<blake3>  3:len i…e e  4:from 20:<id>  4:kind 3:get  4:name <text>  6:offset i…e e
//! d 4:kind 2:go e          have, durable, damaged, missing: the same
//! d 4:held 100:<holding>  4:kind 8:outdated e
//! d 4:kind 7:refused  4:text <why> e
//! d 4:hash 32:<blake3>  4:kind 4:here  3:len i…e e         hash only if it is known
//! d 4:hash 32:<blake3>  4:kind 5:whole e
//! ```

use super::frame::BadFrame;
use crate::ground::bencode::{self, DictWriter, Value, Writer};
use crate::ground::krpc::{compact_files, files_from};
use crate::ground::record;
use crate::ground::{Content, FileName, Holding, Id, Manifest};

/// The longest reason for a refusal that is read, in letters: it is shown in one line.
const MAX_REASON: usize = 200;

/// A BLAKE3.
type Hash = [u8; Content::HASH_LEN];

/// What the one who connects wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// To give a file.
    Put {
        /// Which.
        manifest: Manifest,
        /// Who gives it.
        from: Id,
    },
    /// To get a file.
    Get {
        /// Whose name.
        name: FileName,
        /// Exactly this content; None: whatever lies in the working folder under that name.
        content: Option<Content>,
        /// Without the first `offset` bytes.
        offset: u64,
        /// Who gets it.
        from: Id,
    },
}

impl Opening {
    /// The payload of the frame that says this.
    pub fn encode(&self) -> Vec<u8> {
        Writer::dict(|d| match self {
            Opening::Put { manifest, from } => {
                d.bytes("from", from.as_bytes());
                d.bytes("kind", b"put");
                d.dict("manifest", |d| record::write(manifest, d));
            }
            Opening::Get { name, content, offset, from } => {
                if let Some(content) = content {
                    d.dict("content", |d| write_content(content, d));
                }
                d.bytes("from", from.as_bytes());
                d.bytes("kind", b"get");
                d.bytes("name", name.as_str().as_bytes());
                d.count("offset", *offset);
            }
        })
    }

    /// Reads the payload of a frame.
    pub fn decode(payload: &[u8]) -> Result<Opening, BadFrame> {
        let value = bencode::decode(payload).map_err(|_| BadFrame::Malformed)?;
        let opening = match kind(&value)? {
            b"put" => read_put(&value),
            b"get" => read_get(&value),
            _ => return Err(BadFrame::Unknown),
        };
        opening.ok_or(BadFrame::Malformed)
    }
}

fn read_put(value: &Value) -> Option<Opening> {
    let from = Id::from_slice(value.get("from")?.bytes()?)?;
    Some(Opening::Put { manifest: record::read(value.get("manifest")?).ok()?, from })
}

fn read_get(value: &Value) -> Option<Opening> {
    Some(Opening::Get {
        name: FileName::parse(value.get("name")?.text()?).ok()?,
        content: match value.get("content") {
            Some(content) => Some(read_content(content)?),
            None => None,
        },
        offset: value.get("offset")?.count()?,
        from: Id::from_slice(value.get("from")?.bytes()?)?,
    })
}

/// What the other one answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Put: send the bytes.
    Go,
    /// Put: they are here and durable already.
    Have,
    /// Put: a higher version is here.
    Outdated(Holding),
    /// No, in words that complete "refused it (…)".
    Refused(String),
    /// Put: the bytes are here, verified and durable.
    Durable,
    /// Put: the bytes that came are not those that were announced.
    Damaged,
    /// Get: the bytes follow. Of the whole file: its length, and its hash if it is known.
    Here { len_bytes: u64, hash: Option<Hash> },
    /// Get: there is no such file.
    Missing,
    /// Get: the hash of the whole file, after its last byte.
    Whole { hash: Hash },
}

impl Reply {
    pub fn encode(&self) -> Vec<u8> {
        Writer::dict(|d| match self {
            Reply::Go => d.bytes("kind", b"go"),
            Reply::Have => d.bytes("kind", b"have"),
            Reply::Durable => d.bytes("kind", b"durable"),
            Reply::Damaged => d.bytes("kind", b"damaged"),
            Reply::Missing => d.bytes("kind", b"missing"),
            Reply::Outdated(held) => {
                d.bytes("held", &compact_files(&[*held]));
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
        })
    }

    pub fn decode(payload: &[u8]) -> Result<Reply, BadFrame> {
        let value = bencode::decode(payload).map_err(|_| BadFrame::Malformed)?;
        let number = |key| value.get(key).and_then(Value::count).ok_or(BadFrame::Malformed);
        let held = || files_from(value.get("held")?.bytes()?).first().copied();
        let hash = || value.get("hash").and_then(read_hash);
        Ok(match kind(&value)? {
            b"go" => Reply::Go,
            b"have" => Reply::Have,
            b"durable" => Reply::Durable,
            b"damaged" => Reply::Damaged,
            b"missing" => Reply::Missing,
            b"outdated" => Reply::Outdated(held().ok_or(BadFrame::Malformed)?),
            b"refused" => Reply::Refused(tame(value.get("text").and_then(Value::text).unwrap_or("for no reason"))),
            b"here" => Reply::Here { len_bytes: number("len")?, hash: hash() },
            b"whole" => Reply::Whole { hash: hash().ok_or(BadFrame::Malformed)? },
            _ => return Err(BadFrame::Unknown),
        })
    }
}

fn kind<'a>(value: &Value<'a>) -> Result<&'a [u8], BadFrame> {
    value.get("kind").and_then(Value::bytes).ok_or(BadFrame::Malformed)
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

/// A stranger's words, fit for a terminal's line: plain ASCII, and not many.
fn tame(reason: &str) -> String {
    let is_harmless = |letter: &char| letter.is_ascii_graphic() || *letter == ' ';
    reason.chars().filter(is_harmless).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openings() -> [Opening; 3] {
        let (name, from) = (FileName::parse("4103").unwrap(), Id::numbered(8));
        let content = Content { hash: [0x9c; 32], len_bytes: 7 };
        [
            Opening::Put { manifest: Manifest::after(None, name.clone(), content, from), from },
            Opening::Get { name: name.clone(), content: Some(content), offset: 5, from },
            Opening::Get { name, content: None, offset: 0, from },
        ]
    }

    #[test]
    fn openings_survive_the_wire_and_no_truncation_of_them_does() {
        for opening in openings() {
            let payload = opening.encode();
            assert_eq!(Opening::decode(&payload).unwrap(), opening);
            for len in 0..payload.len() {
                assert!(matches!(Opening::decode(&payload[..len]), Err(BadFrame::Malformed)), "{len}");
            }
        }
    }

    #[test]
    fn replies_survive_the_wire() {
        let hash = [0x9c; 32];
        for reply in [
            Reply::Go,
            Reply::Have,
            Reply::Durable,
            Reply::Damaged,
            Reply::Missing,
            Reply::Outdated(Holding { version: 3, ..Holding::any(Id::numbered(8)) }),
            Reply::Refused("no space left".to_owned()),
            Reply::Here { len_bytes: 5 << 30, hash: Some(hash) },
            Reply::Here { len_bytes: 0, hash: None },
            Reply::Whole { hash },
        ] {
            assert_eq!(Reply::decode(&reply.encode()).unwrap(), reply);
        }
    }

    #[test]
    fn unknown_keys_are_ignored_and_unknown_kinds_are_told_from_damage() {
        assert_eq!(Reply::decode(b"d4:kind2:go4:moodi7ee").unwrap(), Reply::Go);
        assert!(matches!(Opening::decode(b"d4:kind5:dancee"), Err(BadFrame::Unknown)));
        assert!(matches!(Opening::decode(b"d4:kind3:gete"), Err(BadFrame::Malformed)));
        assert!(matches!(Opening::decode(b"i1e"), Err(BadFrame::Malformed)));
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        let payload = b"d4:from20:aaaaaaaaaaaaaaaaaaaa4:kind3:get4:name9:../passwd6:offseti0ee";
        assert!(matches!(Opening::decode(payload), Err(BadFrame::Malformed)));
    }

    #[test]
    fn a_reason_from_the_wire_cannot_play_with_the_terminal() {
        let reply = Reply::decode(b"d4:kind7:refused4:text9:no\x1b[2J\r\nwe").unwrap();
        assert_eq!(reply, Reply::Refused("no[2Jw".to_owned()));
    }
}
