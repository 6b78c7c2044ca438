//! Frames: how the two sides of a connection say something short.
//!
//! ```text
//! 02         version
//! 00 00 00 2a  length of the payload in bytes, big-endian, at most 65,536
//! d … e      payload: a bencoded dictionary
//! ```

use std::io::{self, Read, Write};
use thiserror::Error;

/// Bytes before the payload: the version and the length.
pub const LEN_PREFIX: usize = 5;
/// Counts up when older programs would misunderstand the frames of newer ones. New kinds and keys do not need that.
pub const VERSION: u8 = 2;
/// The longest payload. The longest name has 255 bytes: this leaves room for whatever comes, and none for mischief.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 10;

/// Why a frame is none.
#[derive(Debug, Error)]
pub enum BadFrame {
    /// The stream failed or ended.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It says that it is longer than [`MAX_PAYLOAD_BYTES`].
    #[error("it sent a message of {0} bytes")]
    TooLong(u32),
    /// It comes from another time, or from another program.
    #[error("it speaks version {0} of the protocol, we speak version {VERSION}")]
    Version(u8),
    /// It says something we have never heard of.
    #[error("it sent a message of an unknown kind")]
    Unknown,
    /// It is not bencoding, or something is missing in it.
    #[error("it sent a message that cannot be read")]
    Malformed,
}

/// How many bytes of payload follow these.
pub fn payload_len(prefix: &[u8; LEN_PREFIX]) -> Result<usize, BadFrame> {
    let [version, len @ ..] = *prefix;
    if version != VERSION {
        return Err(BadFrame::Version(version));
    }
    let len = u32::from_be_bytes(len);
    let fits = usize::try_from(len).ok().filter(|len| *len <= MAX_PAYLOAD_BYTES);
    fits.ok_or(BadFrame::TooLong(len))
}

/// Reads one frame, and returns its payload.
pub fn read(stream: &mut impl Read) -> Result<Vec<u8>, BadFrame> {
    let mut prefix = [0; LEN_PREFIX];
    stream.read_exact(&mut prefix)?;
    let mut payload = vec![0; payload_len(&prefix)?];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

/// Writes one frame, in one piece.
pub fn write(stream: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    debug_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
    stream.write_all(&bytes(payload))?;
    stream.flush()
}

/// The bytes of one frame, for who has more to write behind it.
pub fn bytes(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![VERSION];
    frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_truncation_is_refused() {
        let mut frame = Vec::new();
        write(&mut frame, b"d1:ai1ee").unwrap();
        assert_eq!(read(&mut &frame[..]).unwrap(), b"d1:ai1ee");
        for len in 0..frame.len() {
            assert!(matches!(read(&mut &frame[..len]), Err(BadFrame::Io(_))), "{len}");
        }
    }

    #[test]
    fn a_huge_claimed_length_is_refused_before_anything_is_allocated() {
        assert!(matches!(payload_len(b"\x02\xff\xff\xff\xff"), Err(BadFrame::TooLong(u32::MAX))));
        assert!(matches!(payload_len(b"\x02\x00\x01\x00\x01"), Err(BadFrame::TooLong(65_537))));
        assert_eq!(payload_len(b"\x02\x00\x01\x00\x00").unwrap(), MAX_PAYLOAD_BYTES);
    }

    #[test]
    fn other_versions_are_told_from_damage() {
        assert!(matches!(read(&mut &b"\x01\0\0\0\0"[..]), Err(BadFrame::Version(1))));
        assert!(matches!(read(&mut &b"GET / HTTP/1.1\r\n\r\n"[..]), Err(BadFrame::Version(b'G'))));
    }
}
