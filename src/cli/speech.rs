//! All that is said on standard output and standard error. Nothing here can fail: what cannot be said on standard error is not
//! missed, and results that were lost make a failure of the whole command.

use super::FAILED;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

/// What became of the results.
static RESULTS: Mutex<Fate> = Mutex::new(Fate::Taken);

#[derive(Clone)]
enum Fate {
    /// All that were said.
    Taken,
    /// Nobody reads any more, as behind `| head`: that is no failure.
    Unread,
    /// They could not be written, for this reason.
    Lost(String),
}

/// A result, on a line of its own.
pub fn say(line: &str) {
    say_bytes(format!("{line}\n").as_bytes());
}

/// A result, as it is.
pub fn say_bytes(text: &[u8]) {
    let mut out = io::stdout().lock();
    note(out.write_all(text).and_then(|()| out.flush()));
}

/// How the writing of a result went.
pub fn note(written: io::Result<()>) {
    if let Err(error) = written {
        let mut fate = RESULTS.lock().unwrap_or_else(PoisonError::into_inner);
        *fate = match (error.kind(), &*fate) {
            (_, lost @ Fate::Lost(_)) => lost.clone(),
            (ErrorKind::BrokenPipe, _) => Fate::Unread,
            _ => Fate::Lost(reason(&error)),
        };
    }
}

/// Whether results still arrive where they are wanted.
pub fn is_heard() -> bool {
    matches!(fate(), Fate::Taken)
}

/// Something beside the results, on a line of its own.
pub fn aside(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The exit code of a command that would end with this one: results that were lost are no success.
pub fn settled(code: ExitCode) -> ExitCode {
    match fate() {
        Fate::Lost(reason) => {
            aside(&format!("standard output cannot be written: {reason}"));
            if code == ExitCode::SUCCESS { ExitCode::from(FAILED) } else { code }
        }
        Fate::Taken | Fate::Unread => code,
    }
}

fn fate() -> Fate {
    RESULTS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// `No space left on device`, without the number that people have no use for.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_no_number() {
        assert_eq!(reason(&io::Error::from_raw_os_error(28)), "No space left on device");
        assert_eq!(reason(&io::Error::other("why not")), "why not");
    }
}
