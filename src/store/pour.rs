//! Bytes from one place to another, hashed on the way.

use super::pieces::PieceHasher;
use std::io::{self, Read, Write};
use thiserror::Error;

/// Guess: so much that system calls cost nothing beside the hashing.
const BUFFER_BYTES: usize = 1 << 20;

/// Why not all bytes were poured.
#[derive(Debug, Error)]
pub enum PourError {
    /// The source failed.
    #[error("the source failed: {0}")]
    Source(io::Error),
    /// The source ended too early.
    #[error("the source ended too early")]
    Ended,
    /// The sink failed.
    #[error("the sink failed: {0}")]
    Sink(io::Error),
}

/// Moves exactly `len_bytes` bytes, through a buffer of 1 MiB. What `hasher` has seen is always what `sink` has taken,
/// after a failure too, except that a failed sink may have taken a little more.
pub fn pour(
    source: &mut impl Read,
    len_bytes: u64,
    hasher: &mut PieceHasher,
    sink: &mut impl Write,
) -> Result<(), PourError> {
    let mut buffer = vec![0; len_bytes.min(BUFFER_BYTES as u64) as usize];
    let mut left = len_bytes;
    while left > 0 {
        let most = left.min(BUFFER_BYTES as u64) as usize;
        let got = match source.read(&mut buffer[..most]) {
            Ok(0) => return Err(PourError::Ended),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(PourError::Source(error)),
        };
        sink.write_all(&buffer[..got]).map_err(PourError::Sink)?;
        hasher.update(&buffer[..got]);
        left -= got as u64;
    }
    Ok(())
}
