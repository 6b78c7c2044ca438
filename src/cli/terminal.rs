//! Leaving a terminal as it was found, in every way to leave.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, Write};
use std::process;
use std::sync::OnceLock;

static FOUND: OnceLock<Termios> = OnceLock::new();

/// Remembers the terminal's settings, before a line editor changes them.
pub fn remember() {
    if let Ok(settings) = tcgetattr(io::stdin()) {
        FOUND.get_or_init(|| settings);
    }
}

/// Undoes what a line editor did to the terminal, and wipes its prompt. Nothing, where it did nothing.
pub fn restore() {
    let Some(found) = FOUND.get() else { return };
    let edited = tcgetattr(io::stdin()).is_ok_and(|now| !now.local_modes.contains(LocalModes::ICANON));
    if edited {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, found);
        let mut screen = io::stdout();
        let _ = screen.write_all(b"\r\x1b[K").and_then(|()| screen.flush());
    }
}

/// Ends the program at once, whatever its other threads do.
pub fn exit(code: i32) -> ! {
    restore();
    process::exit(code)
}
