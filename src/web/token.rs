//! The token of who may change something over TCP: made at the start, in a file that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Nobody guesses 128 bits; twice as many cost nothing.
const TOKEN_BYTES: usize = 32;

/// What a request has to show.
pub struct Token(String);

impl Token {
    /// Makes one, and leaves it in a file.
    pub fn leave(path: &Path) -> io::Result<Token> {
        let mut bytes = [0; TOKEN_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let token = Token(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        // Of a process that had our number and was killed. What else is there is not opened.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", token.0)?;
        Ok(token)
    }

    /// Whether this is it. Takes as long for any wrong one, so that nobody finds it out letter by letter.
    pub fn is(&self, shown: &str) -> bool {
        let (own, shown) = (self.0.as_bytes(), shown.as_bytes());
        own.len() == shown.len() && own.iter().zip(shown).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn each_start_has_its_own_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let first = Token::leave(&path).unwrap();
        let second = Token::leave(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(second.is(text.trim_end()) && !first.is(text.trim_end()));
        assert!(!second.is("") && !second.is(&text) && text.trim_end().len() == 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
