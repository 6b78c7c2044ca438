//! The header of a sealed file, and the keys that belong to it. Its bytes are drawn in the parent module.

use super::stretch::{Cost, SALT_BYTES};
use super::{SealError, SealKey, Secret, derive, draw};

pub const MAGIC: &[u8] = b"p2p sealed";
const VERSION: u8 = 1;

const BY_PASSPHRASE: u8 = 1;
const BY_KEY_FILE: u8 = 2;

pub const NONCE_PREFIX_BYTES: usize = 19;
pub const CHECK_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 8;

/// What all keys depend on.
const FIELDS_BYTES: usize = MAGIC.len() + 1 + 1 + 3 * 4 + SALT_BYTES + NONCE_PREFIX_BYTES;
pub const HEADER_BYTES: usize = FIELDS_BYTES + CHECK_BYTES + CHECKSUM_BYTES;

/// What a file opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenedBy {
    Passphrase(Cost),
    KeyFile,
}

/// What is said about a sealed file before its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub opened_by: OpenedBy,
    pub salt: [u8; SALT_BYTES],
    pub nonce_prefix: [u8; NONCE_PREFIX_BYTES],
}

/// What a header and the right key make together.
pub struct FileKeys {
    pub chunks: Secret,
    /// Stands in the header, for everybody to see.
    pub check: [u8; CHECK_BYTES],
}

impl Header {
    /// The header of a file that is about to be sealed.
    pub fn draw(opened_by: OpenedBy) -> Result<Header, SealError> {
        Ok(Header { opened_by, salt: draw()?, nonce_prefix: draw()? })
    }

    /// Does not look whether `key` is the right one. Takes the time that the header demands.
    pub fn keys(&self, key: &SealKey) -> Result<FileKeys, SealError> {
        let root = key.root(self.opened_by, &self.salt)?;
        let fields = self.fields();
        let check = *derive("p2p sealed 1: key check", &[&*root, &fields]);
        Ok(FileKeys { chunks: derive("p2p sealed 1: key of the chunks", &[&*root, &fields]), check })
    }

    /// The keys, if the header's check says that `key` is the right one.
    pub fn right_keys(&self, check: &[u8; CHECK_BYTES], key: &SealKey) -> Result<FileKeys, SealError> {
        let keys = self.keys(key)?;
        if keys.check == *check {
            return Ok(keys);
        }
        match self.opened_by {
            OpenedBy::Passphrase(_) => Err(SealError::WrongPassphrase),
            OpenedBy::KeyFile => Err(SealError::WrongKeyFile),
        }
    }

    pub fn encode(&self, check: &[u8; CHECK_BYTES]) -> Vec<u8> {
        let mut bytes = [self.fields().as_slice(), check].concat();
        bytes.extend(checksum(&bytes));
        bytes
    }

    /// Reads what [`Header::encode`] wrote, and the check in it.
    pub fn decode(bytes: &[u8]) -> Result<(Header, [u8; CHECK_BYTES]), SealError> {
        let version = bytes.strip_prefix(MAGIC).ok_or(SealError::NotSealed)?.first();
        match version {
            Some(&version) if version > VERSION => return Err(SealError::Later),
            Some(&VERSION) => {}
            Some(_) | None => return Err(SealError::Header),
        }
        let (checked, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(SealError::Header)?;
        if bytes.len() != HEADER_BYTES || checksum(checked) != *sum {
            return Err(SealError::Header);
        }
        let mut rest = &checked[MAGIC.len() + 1..];
        let [kind] = take(&mut rest);
        let [memory_kib, passes, lanes] = [(); 3].map(|()| u32::from_le_bytes(take(&mut rest)));
        let opened_by = match kind {
            BY_PASSPHRASE => OpenedBy::Passphrase(Cost { memory_kib, passes, lanes }.check()?),
            BY_KEY_FILE if [memory_kib, passes, lanes] == [0; 3] => OpenedBy::KeyFile,
            _ => return Err(SealError::Header),
        };
        Ok((Header { opened_by, salt: take(&mut rest), nonce_prefix: take(&mut rest) }, take(&mut rest)))
    }

    fn fields(&self) -> Vec<u8> {
        let (kind, costs) = match self.opened_by {
            OpenedBy::Passphrase(Cost { memory_kib, passes, lanes }) => (BY_PASSPHRASE, [memory_kib, passes, lanes]),
            OpenedBy::KeyFile => (BY_KEY_FILE, [0; 3]),
        };
        let costs = costs.map(u32::to_le_bytes);
        [MAGIC, &[VERSION, kind], costs.as_flattened(), &self.salt, &self.nonce_prefix].concat()
    }
}

pub fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    *blake3::hash(bytes).as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// The next `N` bytes of a header of the right length.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (taken, left) = rest.split_first_chunk().expect("the length was checked, and the fields add up to it");
    *rest = left;
    *taken
}
