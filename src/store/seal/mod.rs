//! Sealed files: who keeps one learns how long it is, and nothing of what is in it.
//!
//! ```text
//! offset  bytes
//!      0     10   "p2p sealed"
//!     10      1   version of the format: 1
//!     11      1   what opens it: 1 a passphrase, 2 a key file
//!     12      4   argon2id: memory in KiB   ┐
//!     16      4   argon2id: passes          │ zero where a key file opens it; numbers are little-endian
//!     20      4   argon2id: lanes           ┘
//!     24     16   salt, drawn for this file
//!     40     19   beginning of all nonces, drawn for this file
//!     59     32   key check: tells a wrong key from damage
//!     91      8   the first of the BLAKE3 of the 91 bytes above: tells damage from a wrong key
//!     99          the chunks: 65,536 bytes of the file each, the last one what is left, each with 16 bytes of tag behind
//! ```
//!
//! *Keys.* The root is argon2id (version 1.3, 32 bytes) of the passphrase and the salt, or the 32 bytes of the key file.
//! The key of the chunks and the key check are BLAKE3 `derive_key` of the root followed by bytes 0 to 58, under the
//! contexts `p2p sealed 1: key of the chunks` and `p2p sealed 1: key check`. So each file has a key of its own, a header
//! that was changed leads to another key, and who guesses at a passphrase pays for argon2 with every guess.
//!
//! *Chunks.* STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance, 2015), in the form STREAM-BE32, over XChaCha20-Poly1305 without associated data. Its nonce is the 19
//! bytes of the header, the number of the chunk from 0 (4 bytes, big-endian), and 1 for the last chunk, else 0. Chunks
//! that are changed, exchanged, left out or added are noticed. The last chunk is empty only if the file is.
//!
//! *Hidden names* are `sealed-` and the first 20 bytes, in hexadecimal, of the keyed BLAKE3 of the name. The key is
//! `derive_key` under the context `p2p sealed 1: hidden names`: of the 32 bytes of the key file, or of argon2id of the
//! passphrase with the salt `p2p hidden names` (256 MiB, 3 passes, 4 lanes). As that salt is the same everywhere, one
//! table of guesses fits everybody's names: it takes a better passphrase than the files do.

mod header;
mod key;
mod stretch;
mod unsealed;

pub use key::SealKey;
pub use unsealed::Unsealed;

use super::StoreError;
use chacha20poly1305::aead::Generate;
use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305, XNonce};
use header::{Header, MAGIC, NONCE_PREFIX_BYTES};
use key::MAX_PASSPHRASE_BYTES;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use stretch::{MAX_MEMORY_KIB, MAX_PASSES};
use thiserror::Error;
use zeroize::Zeroizing;

/// What of the file is sealed at a time. Guess: small enough to jump about in a film, so large that tags (16 bytes) and
/// calls cost nothing.
const CHUNK_BYTES: usize = 1 << 16;
const TAG_BYTES: usize = 16;
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// Why a file cannot be sealed or unsealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// It does not begin like a sealed file.
    #[error("the file is not sealed")]
    NotSealed,
    /// Its format has a higher version.
    #[error("the file was sealed by a later version of this program: get that version")]
    Later,
    /// It is a sealed file, but its header is incomplete or changed.
    #[error("the header of the sealed file is damaged: get another copy")]
    Header,
    /// A chunk is not what was sealed there.
    #[error("the sealed file is damaged or incomplete in chunk {chunk}: get another copy")]
    Damaged {
        /// Which, counted from 0; each has 65,536 bytes of the file.
        chunk: u64,
    },
    /// Its header is whole, and belongs to another passphrase.
    #[error("the passphrase is not the one that the file was sealed with")]
    WrongPassphrase,
    /// Its header is whole, and belongs to another key file.
    #[error("the key file is not the one that the file was sealed with")]
    WrongKeyFile,
    /// A key file was given for it.
    #[error("the file was sealed with a passphrase, not with a key file: give the passphrase")]
    NeedsPassphrase,
    /// A passphrase was given for it.
    #[error("the file was sealed with a key file, not with a passphrase: give the key file")]
    NeedsKeyFile,
    /// Its header demands more than we grant before we know that the passphrase is right.
    #[error(
        "to try a passphrase the file demands {memory_kib} KiB of memory, {passes} passes and {lanes} lanes: this program \
        grants {MAX_MEMORY_KIB} KiB and {MAX_PASSES} passes, and did not seal it"
    )]
    TooCostly {
        /// In KiB.
        memory_kib: u32,
        /// How often the memory is gone through.
        passes: u32,
        /// In how many parts.
        lanes: u32,
    },
    /// The memory that a passphrase takes is not to be had.
    #[error("a passphrase takes {memory_kib} KiB of memory, which are not free: end other programs, or use a key file")]
    NoMemory {
        /// In KiB.
        memory_kib: u32,
    },
    /// It is empty, or longer than anybody types.
    #[error("a passphrase has 1 to {MAX_PASSPHRASE_BYTES} bytes: choose another one, or use a key file")]
    BadPassphrase,
    /// Its text is no key.
    #[error("{} is no key file: it should hold a key of 64 hexadecimal digits", .0.display())]
    BadKeyFile(PathBuf),
    /// Who overwrites a key loses all files sealed with it.
    #[error("{} is there already, and may be a key in use: choose another name", .0.display())]
    KeyFileExists(PathBuf),
    /// A key file cannot be read or written.
    #[error(transparent)]
    KeyFile(#[from] StoreError),
    /// More than 256 TiB.
    #[error("the file is too long to be sealed: split it")]
    TooLong,
    /// The operating system has no random numbers.
    #[error("the operating system gives no random numbers for a key: {0}")]
    NoRandomness(String),
    /// Reading failed.
    #[error("the source failed: {0}")]
    Source(io::Error),
    /// Writing failed.
    #[error("the sink failed: {0}")]
    Sink(io::Error),
}

/// Seals all that `source` has left, in constant memory. Returns how many bytes went into `sink`.
///
/// With a passphrase each file takes half a second and 256 MiB first. Sealing the same file again gives other bytes.
pub fn seal(source: &mut impl Read, sink: &mut impl Write, key: &SealKey) -> Result<u64, SealError> {
    seal_under(&Header::draw(key.opened_by())?, source, sink, key)
}

/// Whether this is a sealed file, of any version, by how it begins. Leaves `file` at its beginning.
pub fn is_sealed(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    file.rewind()?;
    let mut beginning = Vec::with_capacity(MAGIC.len());
    file.take(MAGIC.len() as u64).read_to_end(&mut beginning)?;
    file.rewind()?;
    Ok(beginning == MAGIC)
}

fn seal_under(header: &Header, source: &mut impl Read, sink: &mut impl Write, key: &SealKey) -> Result<u64, SealError> {
    let keys = header.keys(key)?;
    let cipher = ChunkCipher::new(&keys.chunks, header.nonce_prefix);
    let head = header.encode(&keys.check);
    sink.write_all(&head).map_err(SealError::Sink)?;
    let mut written = head.len() as u64;

    let (mut chunk, mut next) = (Vec::with_capacity(SEALED_CHUNK_BYTES), Vec::with_capacity(SEALED_CHUNK_BYTES));
    read_chunk(source, &mut chunk)?;
    for number in 0.. {
        // Whether a chunk is the last one shows only when nothing comes after it.
        read_chunk(source, &mut next)?;
        let last = next.is_empty();
        cipher.seal(number, last, &mut chunk)?;
        sink.write_all(&chunk).map_err(SealError::Sink)?;
        written += chunk.len() as u64;
        if last {
            break;
        }
        std::mem::swap(&mut chunk, &mut next);
    }
    Ok(written)
}

/// Replaces what is in `chunk` by the next 64 KiB, or by what is left.
fn read_chunk(source: &mut impl Read, chunk: &mut Vec<u8>) -> Result<(), SealError> {
    chunk.clear();
    source.take(CHUNK_BYTES as u64).read_to_end(chunk).map_err(SealError::Source)?;
    Ok(())
}

/// Seals and opens the chunks of one file.
struct ChunkCipher {
    cipher: XChaCha20Poly1305,
    nonce_prefix: [u8; NONCE_PREFIX_BYTES],
}

impl ChunkCipher {
    fn new(key: &Secret, nonce_prefix: [u8; NONCE_PREFIX_BYTES]) -> ChunkCipher {
        ChunkCipher { cipher: XChaCha20Poly1305::new((&**key).into()), nonce_prefix }
    }

    /// Encrypts the chunk where it is, and puts the tag behind.
    fn seal(&self, number: u64, last: bool, chunk: &mut Vec<u8>) -> Result<(), SealError> {
        let nonce = self.nonce(number, last).ok_or(SealError::TooLong)?;
        let tag = self.cipher.encrypt_inout_detached(&nonce, b"", chunk.as_mut_slice().into());
        chunk.extend_from_slice(&tag.expect("a chunk is shorter than the 256 GiB that the cipher takes"));
        Ok(())
    }

    /// Decrypts the chunk where it is, and takes the tag off. What is not genuine stays encrypted.
    fn open(&self, number: u64, last: bool, chunk: &mut Vec<u8>) -> Result<(), SealError> {
        let damaged = SealError::Damaged { chunk: number };
        let Some(nonce) = self.nonce(number, last) else { return Err(damaged) };
        let Some((body, tag)) = chunk.split_last_chunk_mut::<TAG_BYTES>() else { return Err(damaged) };
        let opened = self.cipher.decrypt_inout_detached(&nonce, b"", body.into(), (&*tag).into());
        opened.map_err(|_| damaged)?;
        chunk.truncate(chunk.len() - TAG_BYTES);
        Ok(())
    }

    /// None: the 4 bytes are for numbers below 2³², which is 256 TiB.
    fn nonce(&self, number: u64, last: bool) -> Option<XNonce> {
        let number = u32::try_from(number).ok()?;
        let mut nonce = XNonce::default();
        nonce[..NONCE_PREFIX_BYTES].copy_from_slice(&self.nonce_prefix);
        nonce[NONCE_PREFIX_BYTES..][..4].copy_from_slice(&number.to_be_bytes());
        nonce[NONCE_PREFIX_BYTES + 4] = u8::from(last);
        Some(nonce)
    }
}

/// A key, wiped from memory when it is dropped.
type Secret = Zeroizing<[u8; 32]>;

/// BLAKE3 `derive_key` of all parts, one behind the other.
fn derive(context: &str, parts: &[&[u8]]) -> Secret {
    let mut hasher = Zeroizing::new(blake3::Hasher::new_derive_key(context));
    for part in parts {
        hasher.update(part);
    }
    Zeroizing::new(*hasher.finalize().as_bytes())
}

/// Bytes from the operating system's randomness.
fn draw<T: Generate>() -> Result<T, SealError> {
    T::try_generate().map_err(|error| SealError::NoRandomness(error.to_string()))
}

#[cfg(test)]
mod tests;
