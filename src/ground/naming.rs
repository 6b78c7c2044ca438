//! Names of files and peers, and the places files have on the ring.

use super::Id;
use std::fmt;
use thiserror::Error;

/// How a network names its peers and places its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// The classic ring: peers 0 to 255, a file at its number (or SHA-1) mod 256.
    Numbered,
    /// Numbered peers of a Kademlia network: a file is at the SHA-1 of its name, as torrents are.
    NumberedPeers,
    /// 160 bits: peers hashed from their address, a file at the SHA-1 of its name.
    Hashed,
}

impl Naming {
    /// Where a file of this name belongs.
    pub fn place(self, name: &FileName) -> Id {
        match (self, name.four_digits()) {
            (Naming::Hashed | Naming::NumberedPeers, _) => name.key(),
            // 256 divides 10,000 with a rest: `number mod 256`, not the low byte of the text.
            (Naming::Numbered, Some(number)) => Id::numbered((number % 256) as u8),
            // The last byte of a big-endian number is the number mod 256.
            (Naming::Numbered, None) => Id::numbered(name.key().as_bytes()[Id::LEN - 1]),
        }
    }

    /// How people call this peer, or place: `8`, or `9f2c41d0`.
    pub fn call(self, id: Id) -> String {
        match (self, id.number()) {
            (Naming::Numbered | Naming::NumberedPeers, Some(number)) => number.to_string(),
            _ => id.to_string()[..8].to_owned(),
        }
    }
}

/// The name of a file in the network: 1 to 255 bytes of printable text that could never be taken for a path.
///
/// What comes from the wire as a name is data: it goes through [`FileName::parse`] or nowhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// The longest name, in bytes: what file systems take for one component.
    pub const MAX_BYTES: usize = 255;

    /// Checks a name.
    pub fn parse(text: &str) -> Result<FileName, BadName> {
        match text {
            "" => Err(BadName::Empty),
            "." | ".." => Err(BadName::Path),
            _ if text.len() > FileName::MAX_BYTES => Err(BadName::TooLong),
            _ if text.contains(['/', '\\']) => Err(BadName::Path),
            _ if text.chars().any(misleads) => Err(BadName::Unprintable),
            _ => Ok(FileName(text.to_owned())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file's identity in the network: the SHA-1 of its name. Two names may share a place, never this.
    pub fn key(&self) -> Id {
        Id::hashed(self.0.as_bytes())
    }

    /// The number of an assignment's file, `0000` to `9999`, if this is one.
    pub fn four_digits(&self) -> Option<u16> {
        let digits = self.0.len() == 4 && self.0.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| self.0.parse().expect("four digits fit a u16"))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Why a text cannot be a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadName {
    /// No text at all.
    #[error("a file name cannot be empty")]
    Empty,
    /// It contains a slash or is a step through folders.
    #[error("a file name cannot be a path: leave out the folders")]
    Path,
    /// It is longer than [`FileName::MAX_BYTES`].
    #[error("a file name has at most 255 bytes")]
    TooLong,
    /// It contains control characters, or characters that reorder the text around them.
    #[error("a file name cannot contain control characters")]
    Unprintable,
}

/// Control characters (NUL and escape among them), line separators, and marks that turn the reading direction:
/// none may reach a terminal.
fn misleads(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(name: &str) -> u8 {
        let place = Naming::Numbered.place(&FileName::parse(name).unwrap());
        place.number().unwrap()
    }

    #[test]
    fn four_digit_names_sit_at_their_number_mod_256() {
        assert_eq!([place_of("2012"), place_of("2067"), place_of("4103")], [220, 19, 7]);
        assert_eq!([place_of("0000"), place_of("0007"), place_of("9999")], [0, 7, 15]);
    }

    #[test]
    fn other_names_sit_at_their_sha1_mod_256() {
        // sha1("report.pdf") computed with coreutils' sha1sum.
        let key = FileName::parse("report.pdf").unwrap().key();
        assert_eq!(place_of("report.pdf"), key.as_bytes()[19]);
        assert_eq!(FileName::parse("abc").unwrap().key().to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(place_of("abc"), 0x9d);
        assert_eq!(FileName::parse("410").unwrap().four_digits(), None);
        assert_eq!(FileName::parse("41o3").unwrap().four_digits(), None);
    }

    #[test]
    fn in_a_hashed_network_every_name_sits_at_its_key() {
        let name = FileName::parse("4103").unwrap();
        assert_eq!(Naming::Hashed.place(&name), name.key());
    }

    #[test]
    fn names_that_are_paths_or_trick_the_terminal_are_refused() {
        for (text, error) in [
            ("", BadName::Empty),
            ("..", BadName::Path),
            (".", BadName::Path),
            ("../x", BadName::Path),
            ("/etc/passwd", BadName::Path),
            ("a\\b", BadName::Path),
            ("a\0b", BadName::Unprintable),
            ("\x1b[2J", BadName::Unprintable),
            ("a\nb", BadName::Unprintable),
            ("\u{202e}fdp.exe", BadName::Unprintable),
        ] {
            assert_eq!(FileName::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(FileName::parse(&"x".repeat(256)), Err(BadName::TooLong));
        assert!(FileName::parse(&"x".repeat(255)).is_ok());
        assert!(FileName::parse("Übung 3 – Lösung.pdf").is_ok());
        assert!(FileName::parse("...").is_ok());
    }
}
