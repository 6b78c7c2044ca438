//! A manifest as bencoding: in the store's index, and in the frames that announce a file.
//!
//! ```text
//! d 2:by 20:<id>  4:hash 32:<blake3>  3:len i<bytes>e  4:name <text>  4:prev 32:<link>  3:ttl i<seconds>e
//!   1:v i2e  7:version i<number>e e                                    prev and ttl only where there is one
//!
//! link: the SHA-256 of the same without by and ttl
//! ```

use super::bencode::{self, DictWriter, Value, Writer};
use super::{Content, FileName, Id, Manifest};
use std::time::Duration;
use thiserror::Error;

/// Counts up when readers of the older form would misunderstand the newer.
const FORMAT: u64 = 2;

/// Why a text is no manifest we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadRecord {
    /// It is not bencoding, or something is missing in it.
    #[error("it is no manifest")]
    Malformed,
    /// It says that it has a later form.
    #[error("it was written by a later version of this program")]
    Later,
}

/// The manifest as a text of its own.
pub fn encode(manifest: &Manifest) -> Vec<u8> {
    Writer::dict(|d| write(manifest, d))
}

/// Reads what [`encode`] wrote.
pub fn decode(text: &[u8]) -> Result<Manifest, BadRecord> {
    read(&bencode::decode(text).map_err(|_| BadRecord::Malformed)?)
}

/// Writes the manifest into an open dictionary that has nothing else.
pub fn write(manifest: &Manifest, d: &mut DictWriter) {
    d.bytes("by", manifest.stored_by.as_bytes());
    write_parts(manifest, manifest.ttl, d);
}

/// Writes what the next version's link covers.
pub(super) fn write_chained(manifest: &Manifest, d: &mut DictWriter) {
    write_parts(manifest, None, d);
}

fn write_parts(manifest: &Manifest, ttl: Option<Duration>, d: &mut DictWriter) {
    d.bytes("hash", &manifest.content.hash);
    d.count("len", manifest.content.len_bytes);
    d.bytes("name", manifest.name.as_str().as_bytes());
    if let Some(previous) = &manifest.previous {
        d.bytes("prev", previous);
    }
    if let Some(ttl) = ttl {
        d.count("ttl", ttl.as_secs());
    }
    d.count("v", FORMAT);
    d.count("version", manifest.version);
}

/// Reads what [`write()`] wrote.
pub fn read(value: &Value) -> Result<Manifest, BadRecord> {
    if value.get("v").and_then(Value::count).ok_or(BadRecord::Malformed)? > FORMAT {
        return Err(BadRecord::Later);
    }
    let manifest = || {
        let name = FileName::parse(value.get("name")?.text()?).ok()?;
        let hash = value.get("hash")?.bytes()?.try_into().ok()?;
        let content = Content { hash, len_bytes: value.get("len")?.count()? };
        let version = value.get("version")?.count().filter(|version| *version <= Manifest::MAX_VERSION)?;
        let previous = match value.get("prev") {
            Some(previous) => Some(previous.bytes()?.try_into().ok()?),
            None => None,
        };
        let ttl = match value.get("ttl") {
            Some(ttl) => Some(Duration::from_secs(ttl.count()?)).filter(|ttl| *ttl <= Manifest::MAX_TTL),
            None => None,
        };
        Some(Manifest { name, version, content, previous, stored_by: Id::from_slice(value.get("by")?.bytes()?)?, ttl })
    };
    manifest().ok_or(BadRecord::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(previous: Option<[u8; 32]>, ttl: Option<Duration>) -> Manifest {
        let content = Content { hash: [0x9c; 32], len_bytes: 5 << 30 };
        let name = FileName::parse("Übung 3.pdf").unwrap();
        Manifest { name, version: 7, content, previous, stored_by: Id::numbered(8), ttl }
    }

    #[test]
    fn a_manifest_survives_writing_and_reading() {
        for manifest in [manifest(None, None), manifest(Some([7; 32]), Some(Duration::from_secs(3600)))] {
            let text = encode(&manifest);
            assert_eq!(decode(&text), Ok(manifest));
            for len in 0..text.len() {
                assert_eq!(decode(&text[..len]), Err(BadRecord::Malformed), "{len}");
            }
        }
    }

    #[test]
    fn a_link_covers_what_a_version_is_and_follows_and_nothing_else() {
        let plain = manifest(None, None);
        let other_storer = Manifest { stored_by: Id::numbered(9), ttl: Some(Duration::from_secs(1)), ..plain.clone() };
        assert_eq!(plain.link(), other_storer.link());
        assert_ne!(plain.link(), manifest(Some([7; 32]), None).link());
        assert_ne!(plain.link(), Manifest { version: 8, ..plain.clone() }.link());
    }

    #[test]
    fn a_later_form_is_told_from_a_broken_one() {
        assert_eq!(decode(b"d1:vi3ee"), Err(BadRecord::Later));
        assert_eq!(decode(b"d1:vi2ee"), Err(BadRecord::Malformed));
    }
}
