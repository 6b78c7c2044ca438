//! The keys of sealed files: from a file, or from who sits at the terminal.

use super::{bars, failed};
use crate::cli::args::client::KeyOptions;
use crate::store::seal::{SealError, SealKey};
use crate::web::schema::{Code, Trouble};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The longest passphrase read, in bytes; the store says that it takes 1024.
const MAX_PASSPHRASE_BYTES: usize = 1100;

/// The terminal that is just asked for a passphrase, with its settings.
static ASKED: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// The key that the options name.
pub fn given(options: &KeyOptions) -> Result<Option<SealKey>, Trouble> {
    match (&options.key_file, &options.passphrase_file) {
        (Some(path), _) => SealKey::from_key_file(path).map(Some).map_err(trouble),
        (None, Some(path)) => from_file(path).map(Some),
        (None, None) => Ok(None),
    }
}

/// What somebody types at the terminal; a passphrase to be is typed twice.
pub fn asked(twice: bool) -> Result<SealKey, Trouble> {
    let no_terminal = |_| {
        let message = "there is no terminal to ask for a passphrase: give --passphrase-file or --key-file";
        Trouble::new(Code::Usage, message)
    };
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    // A bar would be drawn over the question.
    bars::close();
    let passphrase = ask(&mut terminal, "Passphrase: ").map_err(failed)?;
    if twice && passphrase != ask(&mut terminal, "The same again: ").map_err(failed)? {
        return Err(failed("the two passphrases are not the same: nothing was done"));
    }
    SealKey::passphrase(passphrase).map_err(trouble)
}

/// What a key or a sealed file that does not fit means to whoever asked.
pub fn trouble(error: SealError) -> Trouble {
    let code = match error {
        SealError::Header | SealError::Damaged { .. } => Code::Damaged,
        SealError::WrongPassphrase
        | SealError::WrongKeyFile
        | SealError::NeedsPassphrase
        | SealError::NeedsKeyFile
        | SealError::TooCostly { .. }
        | SealError::BadPassphrase => Code::Refused,
        SealError::NotSealed
        | SealError::Later
        | SealError::NoMemory { .. }
        | SealError::BadKeyFile(_)
        | SealError::KeyFileExists(_)
        | SealError::KeyFile(_)
        | SealError::TooLong
        | SealError::NoRandomness(_)
        | SealError::Source(_)
        | SealError::Sink(_) => Code::Failed,
    };
    Trouble::new(code, error)
}

/// Lets the terminal show again what is typed, if it was asked not to.
pub fn restore_echo() {
    if let Some((terminal, settings)) = ASKED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(&terminal, OptionalActions::Now, &settings);
        let _ = (&terminal).write_all(b"\n");
    }
}

/// The first line of a file; what is behind it must be nothing.
fn from_file(path: &Path) -> Result<SealKey, Trouble> {
    let unread = |error: io::Error| failed(format!("{} cannot be read: {error}", path.display()));
    // So roomy that it never grows: what it grew out of would not be wiped.
    let mut text = String::with_capacity(2 * MAX_PASSPHRASE_BYTES);
    File::open(path).map_err(unread)?.take(MAX_PASSPHRASE_BYTES as u64).read_to_string(&mut text).map_err(unread)?;
    cut_line_end(&mut text);
    if text.contains('\n') {
        return Err(failed(format!("{} has several lines: a passphrase is one", path.display())));
    }
    SealKey::passphrase(text).map_err(trouble)
}

fn cut_line_end(text: &mut String) {
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
}

/// Asks without showing what is typed.
fn ask(terminal: &mut File, prompt: &str) -> io::Result<String> {
    let settings = tcgetattr(&*terminal)?;
    let mut silent = settings.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    *ASKED.lock().unwrap_or_else(PoisonError::into_inner) = Some((terminal.try_clone()?, settings));
    tcsetattr(&*terminal, OptionalActions::Flush, &silent)?;
    let typed = terminal.write_all(prompt.as_bytes()).and_then(|()| read_line(terminal));
    restore_echo();
    typed
}

fn read_line(terminal: &mut File) -> io::Result<String> {
    let mut typed = Vec::with_capacity(2 * MAX_PASSPHRASE_BYTES);
    let mut byte = [0];
    while terminal.read(&mut byte)? == 1 && byte[0] != b'\n' && typed.len() < MAX_PASSPHRASE_BYTES {
        typed.push(byte[0]);
    }
    String::from_utf8(typed).map_err(|_| io::Error::other("a passphrase is text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_end_is_cut_off() {
        let cut = |text: &str| {
            let mut text = text.to_owned();
            cut_line_end(&mut text);
            text
        };
        assert_eq!(["a\n", "a\r\n", " a ", "a\n\n"].map(cut), ["a", "a", " a ", "a\n"]);
    }

    #[test]
    fn a_passphrase_file_has_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\ntwo\n").unwrap();
        assert!(from_file(file.path()).unwrap_err().message.contains("several lines"));
        std::fs::write(file.path(), "\n").unwrap();
        assert_eq!(from_file(file.path()).unwrap_err().code, Code::Refused);
        std::fs::write(file.path(), "one").unwrap();
        assert!(from_file(file.path()).is_ok());
    }
}
