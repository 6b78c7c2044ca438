//! What lies beside a partial file: which of its chunks are there.
//!
//! ```text
//! p2p-have-1\n     11 bytes
//! hash             32: the content's BLAKE3
//! length           8, big-endian: its bytes
//! boot id          36: of the machine's run in which the rest was written
//! list             32 for each chunk; none for content of one chunk
//! bits             1 for each chunk
//! ```
//!
//! Its bits are written in place and never synced: as long as the machine runs, what a killed process wrote is in the
//! system's memory. After a crash of the machine (the boot id tells) the bits are mere claims.

use super::chunk_set::ChunkSet;
use super::pieces::Pieces;
use crate::ground::Content;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MAGIC: &[u8] = b"p2p-have-1\n";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const BOOT_ID_LEN: usize = 36;

/// A sidecar that is open.
pub(super) struct Sidecar {
    file: File,
    bits_at: u64,
}

/// What a sidecar says.
pub(super) struct Claims {
    pub pieces: Pieces,
    pub have: ChunkSet,
    /// The machine has run on since: what is claimed is so.
    pub same_boot: bool,
}

impl Sidecar {
    /// Writes one anew.
    pub fn create(path: &Path, pieces: &Pieces, have: &ChunkSet) -> io::Result<Sidecar> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let content = pieces.content();
        let mut bytes = [MAGIC, &content.hash, &content.len_bytes.to_be_bytes(), &boot_id()].concat();
        bytes.extend(pieces.to_bytes());
        let bits_at = bytes.len() as u64;
        bytes.extend(have.as_bytes());
        file.write_all_at(&bytes, 0)?;
        Ok(Sidecar { file, bits_at })
    }

    /// Notes the bits around a chunk that has just been written.
    pub fn note(&self, index: u64, have: &ChunkSet) -> io::Result<()> {
        let at = index / 8;
        self.file.write_all_at(&have.as_bytes()[at as usize..][..1], self.bits_at + at)
    }
}

/// What a sidecar says about this content; none where there is none, or it makes no sense.
pub(super) fn read(path: &Path, content: &Content) -> Option<Claims> {
    let bytes = fs::read(path).ok()?;
    let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&content.hash)?;
    let rest = rest.strip_prefix(&content.len_bytes.to_be_bytes())?;
    let (boot, rest) = rest.split_at_checked(BOOT_ID_LEN)?;
    let of = ChunkSet::none_of(content).of();
    let bits = of.div_ceil(8) as usize;
    let (list, bits) = rest.split_at_checked(rest.len().checked_sub(bits)?)?;
    let same_boot = boot == boot_id() && boot != UNKNOWN_BOOT;
    Some(Claims { pieces: Pieces::from_bytes(*content, list)?, have: ChunkSet::from_bytes(of, bits)?, same_boot })
}

/// Where the system does not say: no boot is the same as this.
const UNKNOWN_BOOT: [u8; BOOT_ID_LEN] = [b'-'; BOOT_ID_LEN];

fn boot_id() -> [u8; BOOT_ID_LEN] {
    let text = fs::read(BOOT_ID).unwrap_or_default();
    text.first_chunk().copied().unwrap_or(UNKNOWN_BOOT)
}

/// Makes a sidecar look as if it was written before the machine was last started. For tests.
#[cfg(test)]
pub(super) fn age(path: &Path) {
    let at = (MAGIC.len() + Content::HASH_LEN + 8) as u64;
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[b'0'; BOOT_ID_LEN], at).unwrap();
}
