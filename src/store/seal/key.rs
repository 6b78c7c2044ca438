//! What people keep to open their sealed files: a passphrase in the head, or a key in a file.

use super::header::OpenedBy;
use super::stretch::{Cost, SALT_BYTES};
use super::{SealError, Secret, derive, draw};
use crate::ground::FileName;
use crate::store::error::On as _;
use crate::store::temporary::sync_folder;
use blake3::Hash;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// The salt of hidden names: the same for all, because who knows only the passphrase must find them.
const SALT_OF_NAMES: &[u8; SALT_BYTES] = b"p2p hidden names";

/// Guess: more than anybody types.
pub const MAX_PASSPHRASE_BYTES: usize = 1024;

/// Guess: 64 digits, and some space around them.
const MAX_KEY_FILE_BYTES: usize = 128;

/// A passphrase, or the key from a key file. Wiped from memory when it is dropped.
pub struct SealKey {
    held: Held,
    /// Costs as much as opening a file, so it is made once.
    name_key: OnceLock<Secret>,
}

enum Held {
    Passphrase { text: Zeroizing<String>, cost: Cost, cost_of_names: Cost },
    KeyFile(Secret),
}

impl SealKey {
    /// Any text of 1 to 1024 bytes; each byte counts, line ends too.
    pub fn passphrase(text: String) -> Result<SealKey, SealError> {
        SealKey::passphrase_at(Cost::USUAL, Cost::OF_NAMES, text)
    }

    /// The key in a file: 64 hexadecimal digits, with white space around them or not.
    pub fn from_key_file(path: &Path) -> Result<SealKey, SealError> {
        // So roomy that it never grows: what it grew out of would not be wiped.
        let mut text = Zeroizing::new(Vec::with_capacity(2 * MAX_KEY_FILE_BYTES));
        let most = MAX_KEY_FILE_BYTES as u64 + 1;
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut text)).on("read", path)?;
        let digits = if text.len() > MAX_KEY_FILE_BYTES { &[] } else { text.trim_ascii() };
        let key = Hash::from_hex(digits).map_err(|_| SealError::BadKeyFile(path.to_owned()))?;
        Ok(SealKey::from_bytes(Zeroizing::new(*Zeroizing::new(key).as_bytes())))
    }

    /// Draws a key and writes it to a new file that only its owner can read; durable on return.
    ///
    /// Fails with [`SealError::KeyFileExists`], and changes nothing, if anything has this path.
    pub fn generate_key_file(path: &Path) -> Result<SealKey, SealError> {
        let key = Zeroizing::new(draw::<[u8; 32]>()?);
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(SealError::KeyFileExists(path.to_owned()));
            }
            opened => opened.on("make", path)?,
        };
        let digits = Zeroizing::new(Hash::from_bytes(*key).to_hex());
        let written = file.write_all(digits.as_bytes()).and_then(|()| file.write_all(b"\n"));
        let durable = written.and_then(|()| file.sync_all()).and_then(|()| sync_folder(folder_of(path)));
        if durable.is_err() {
            // Half a key is none.
            let _ = fs::remove_file(path);
        }
        durable.on("write", path)?;
        Ok(SealKey::from_bytes(key))
    }

    /// The name under which a sealed file is stored: `sealed-` and 40 hexadecimal digits. The same for the same name and
    /// key, on every machine; who has not the key cannot tell what name it stands for.
    ///
    /// The first one of a passphrase takes half a second and 256 MiB; if they are not free: [`SealError::NoMemory`].
    pub fn hidden_name(&self, name: &FileName) -> Result<FileName, SealError> {
        let hash = blake3::keyed_hash(self.name_key()?, name.as_str().as_bytes()).to_hex();
        Ok(FileName::parse(&format!("sealed-{}", &hash[..40])).expect("letters, digits and a hyphen make a name"))
    }

    /// A passphrase at another price than the usual one.
    pub(super) fn passphrase_at(cost: Cost, cost_of_names: Cost, text: String) -> Result<SealKey, SealError> {
        let text = Zeroizing::new(text);
        if text.is_empty() || text.len() > MAX_PASSPHRASE_BYTES {
            return Err(SealError::BadPassphrase);
        }
        Ok(SealKey { held: Held::Passphrase { text, cost, cost_of_names }, name_key: OnceLock::new() })
    }

    pub(super) fn from_bytes(key: Secret) -> SealKey {
        SealKey { held: Held::KeyFile(key), name_key: OnceLock::new() }
    }

    /// What files sealed with this key open with.
    pub(super) fn opened_by(&self) -> OpenedBy {
        match self.held {
            Held::Passphrase { cost, .. } => OpenedBy::Passphrase(cost),
            Held::KeyFile(_) => OpenedBy::KeyFile,
        }
    }

    /// What all keys of a file come from.
    pub(super) fn root(&self, opened_by: OpenedBy, salt: &[u8; SALT_BYTES]) -> Result<Secret, SealError> {
        match (&self.held, opened_by) {
            (Held::Passphrase { text, .. }, OpenedBy::Passphrase(cost)) => cost.stretch(text, salt),
            (Held::KeyFile(key), OpenedBy::KeyFile) => Ok(key.clone()),
            (Held::Passphrase { .. }, OpenedBy::KeyFile) => Err(SealError::NeedsKeyFile),
            (Held::KeyFile(_), OpenedBy::Passphrase(_)) => Err(SealError::NeedsPassphrase),
        }
    }

    /// BLAKE3 `derive_key` of the key file's key, or of the passphrase stretched with [`SALT_OF_NAMES`].
    fn name_key(&self) -> Result<&Secret, SealError> {
        if let Some(key) = self.name_key.get() {
            return Ok(key);
        }
        let root = match &self.held {
            Held::Passphrase { text, cost_of_names, .. } => cost_of_names.stretch(text, SALT_OF_NAMES)?,
            Held::KeyFile(key) => key.clone(),
        };
        Ok(self.name_key.get_or_init(|| derive("p2p sealed 1: hidden names", &[&*root])))
    }
}

/// Says which kind it is, never the secret.
impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.held {
            Held::Passphrase { .. } => "SealKey(a passphrase)",
            Held::KeyFile(_) => "SealKey(a key file)",
        })
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().expect("what was opened as a file is not the root")
}
