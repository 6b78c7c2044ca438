//! A manifest as bencoding: in the store's name files, and in the frames that announce a file.
//!
//! ```text
//! d 4:hash 32:<blake3>  3:len i<bytes>e  4:name <text>  1:v i1e  7:version i<number>e e
//! ```

use crate::ground::bencode::{self, DictWriter, Value, Writer};
use crate::ground::{Content, FileName, Manifest};
use thiserror::Error;

/// Counts up when readers of the older form would misunderstand the newer.
const FORMAT: u64 = 1;

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
    d.bytes("hash", &manifest.content.hash);
    d.count("len", manifest.content.len_bytes);
    d.bytes("name", manifest.name.as_str().as_bytes());
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
        Some(Manifest { name, version, content })
    };
    manifest().ok_or(BadRecord::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_survives_writing_and_reading() {
        let content = Content { hash: [0x9c; 32], len_bytes: 5 << 30 };
        let manifest = Manifest { name: FileName::parse("Übung 3.pdf").unwrap(), version: 7, content };
        let text = encode(&manifest);
        assert_eq!(decode(&text), Ok(manifest));
        for len in 0..text.len() {
            assert_eq!(decode(&text[..len]), Err(BadRecord::Malformed), "{len}");
        }
    }

    #[test]
    fn a_later_form_is_told_from_a_broken_one() {
        assert_eq!(decode(b"d1:vi2ee"), Err(BadRecord::Later));
        assert_eq!(decode(b"d1:vi1ee"), Err(BadRecord::Malformed));
    }
}
