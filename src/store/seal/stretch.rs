//! Passphrases made into keys, at a price that who guesses pays for every guess.

use super::{SealError, Secret};
use argon2::{Algorithm, Argon2, Params, Version};

/// The most memory that a header may demand. Guess: what a small machine still has; four times our own [`Cost::USUAL`].
pub const MAX_MEMORY_KIB: u32 = 1 << 20;
/// The most passes that a header may demand: with the most memory some 12 s at the speed of [`Cost::USUAL`].
pub const MAX_PASSES: u32 = 16;
/// Guess: as many as machines have cores. Here they are gone through one by one, so they cost nothing.
const MAX_LANES: u32 = 16;

pub const SALT_BYTES: usize = 16;

/// What argon2id demands for one passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Cost {
    /// For files sealed here. Measured in a release build, on one of two cores: 0.55 s, and 0.85 s while other programs
    /// wanted both. Passes and lanes are those of RFC 9106 for machines with little memory, with four times its memory.
    pub const USUAL: Cost = Cost { memory_kib: 256 << 10, passes: 3, lanes: 4 };

    /// For hidden names. Never to be changed: with other numbers all hidden names are others.
    pub const OF_NAMES: Cost = Cost { memory_kib: 256 << 10, passes: 3, lanes: 4 };

    /// Refuses what a header may not demand, with [`SealError::TooCostly`], and what makes no sense to argon2.
    pub fn check(self) -> Result<Cost, SealError> {
        let Cost { memory_kib, passes, lanes } = self;
        if memory_kib > MAX_MEMORY_KIB || passes > MAX_PASSES || lanes > MAX_LANES {
            return Err(SealError::TooCostly { memory_kib, passes, lanes });
        }
        Params::new(memory_kib, passes, lanes, None).map_err(|_| SealError::Header)?;
        Ok(self)
    }

    /// Takes the time and the memory. Fails with [`SealError::NoMemory`] where there is not enough of it.
    pub fn stretch(self, passphrase: &str, salt: &[u8; SALT_BYTES]) -> Result<Secret, SealError> {
        let Cost { memory_kib, passes, lanes } = self;
        let mut key = Secret::default();
        let params = Params::new(memory_kib, passes, lanes, Some(key.len())).expect("checked, or one of ours");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        match argon2.hash_password_into(passphrase.as_bytes(), salt, &mut *key) {
            Ok(()) => Ok(key),
            Err(argon2::Error::OutOfMemory) => Err(SealError::NoMemory { memory_kib }),
            Err(error) => unreachable!("cost, salt and lengths are all within what argon2 takes: {error}"),
        }
    }
}
