//! At a real terminal: the prompt, half typed text, history, and leaving it as it was found.

mod common;

use common::{Lab, Peer, SOON, eventually, program};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OutputModes, Winsize, tcgetattr, tcsetwinsize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

/// A peer 2 at a terminal of its own, in a ring of two with a peer 8 at a pipe.
struct Terminal {
    child: Child,
    keyboard: File,
    /// The side the peer has, to look at its settings.
    line: File,
    screen: Arc<Mutex<Screen>>,
    other: Peer,
    _lab: Lab,
}

const COLUMNS: usize = 100;

impl Terminal {
    /// Pings come every so many seconds.
    fn open(interval: &str) -> Terminal {
        let lab = Lab::new();
        let other = lab.start(&format!("init 8 2 8 {interval}"));
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let size = Winsize { ws_row: 40, ws_col: COLUMNS as u16, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keyboard, size).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let keyboard = File::from(keyboard);
        let line = File::options().read(true).write(true).open(OsStr::from_bytes(name.to_bytes())).unwrap();

        // A session of its own, or Ctrl-C would be no signal.
        let mut command = Command::new("setsid");
        let base_port = lab.base_port.to_string();
        command.arg("--ctty").arg(program().get_program());
        command.args(["init", "2", "8", "2", interval, "--base-port", &base_port]).current_dir(lab.folder("2"));
        command.env("TERM", "xterm").env_remove("P2P_DIR");
        let end = || line.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();

        let screen: Arc<Mutex<Screen>> = Arc::default();
        let (mut output, seen) = (keyboard.try_clone().unwrap(), screen.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len) = output.read(&mut bytes) {
                seen.lock().unwrap().show(&bytes[..len]);
            }
        });
        let terminal = Terminal { child, keyboard, line, screen, other, _lab: lab };
        terminal.shows("Ping response received from Peer 8");
        terminal.prompt_is("> ");
        terminal
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// A line is on the screen, whole, in a row of its own.
    fn shows(&self, text: &str) {
        eventually(SOON, &format!("{text:?} on the screen:\n{}", self.text()), || {
            self.rows().iter().any(|row| row == text).then_some(())
        });
    }

    /// The row with the cursor.
    fn prompt_is(&self, text: &str) {
        eventually(SOON, &format!("the prompt {text:?}"), || {
            let screen = self.screen.lock().unwrap();
            let current = &screen.rows[screen.row];
            let padded = format!("{:width$}", current.iter().collect::<String>(), width = text.len());
            (padded.trim_end() == text.trim_end() && screen.column == text.len()).then_some(())
        });
    }

    fn rows(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap();
        screen.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    fn text(&self) -> String {
        self.rows().join("\n")
    }

    fn count(&self, text: &str) -> usize {
        self.rows().iter().filter(|row| *row == text).count()
    }

    fn is_cooked(&self) -> bool {
        let settings = tcgetattr(&self.line).unwrap();
        settings.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
            && settings.output_modes.contains(OutputModes::OPOST)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit code, when it has ended and left the terminal as it was.
    fn ends(&mut self) -> i32 {
        let status = eventually(SOON, "the peer ends", || self.child.try_wait().unwrap());
        assert!(self.is_cooked());
        // Whatever the shell prints next begins at the left, after nothing half typed.
        eventually(SOON, "the cursor at the left", || (self.screen.lock().unwrap().column == 0).then_some(()));
        let strange = self.rows().into_iter().find(|row| row.contains("panicked"));
        assert_eq!(strange, None);
        status.code().expect("it is no signal that ends it")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the screen:\n{}", self.text());
        }
    }
}

/// What a terminal shows, all that was scrolled away included. Knows the few sequences that line editors use.
struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// The beginning of a sequence or letter whose end has not come yet.
    rest: Vec<u8>,
}

impl Default for Screen {
    fn default() -> Screen {
        Screen { rows: vec![Vec::new()], row: 0, column: 0, rest: Vec::new() }
    }
}

impl Screen {
    fn show(&mut self, bytes: &[u8]) {
        self.rest.extend(bytes);
        while let Some((&first, rest)) = self.rest.split_first() {
            let used = match first {
                0x1b if rest.first() == Some(&b'[') => {
                    let Some(end) = rest[1..].iter().position(|byte| (0x40..0x7f).contains(byte)) else { return };
                    let numbers = String::from_utf8_lossy(&rest[1..=end]).into_owned();
                    let last = rest[end + 1];
                    self.sequence(last, &numbers);
                    end + 3
                }
                0x1b if rest.is_empty() => return,
                0x1b => 2,
                b'\r' => {
                    self.column = 0;
                    1
                }
                b'\n' => {
                    self.row += 1;
                    if self.row == self.rows.len() {
                        self.rows.push(Vec::new());
                    }
                    1
                }
                8 => {
                    self.column = self.column.saturating_sub(1);
                    1
                }
                0..0x20 => 1,
                _ => {
                    self.letter(first.into());
                    1
                }
            };
            self.rest.drain(..used);
        }
    }

    fn letter(&mut self, letter: char) {
        let row = &mut self.rows[self.row];
        if row.len() <= self.column {
            row.resize(self.column + 1, ' ');
        }
        row[self.column] = letter;
        self.column += 1;
    }

    fn sequence(&mut self, last: u8, numbers: &str) {
        let count: usize = numbers.parse().unwrap_or(1);
        match last {
            b'A' => self.row = self.row.saturating_sub(count),
            b'B' => self.row = (self.row + count).min(self.rows.len() - 1),
            b'C' => self.column = (self.column + count).min(COLUMNS - 1),
            b'D' => self.column = self.column.saturating_sub(count),
            b'K' => self.rows[self.row].truncate(self.column),
            b'J' => {
                self.rows[self.row].truncate(self.column);
                self.rows.truncate(self.row + 1);
            }
            // Colours and modes.
            b'm' | b'h' | b'l' => {}
            _ => panic!("a sequence this screen does not know: {numbers:?} {:?}", char::from(last)),
        }
    }
}

#[test]
fn lines_that_arrive_keep_what_is_half_typed() {
    let mut terminal = Terminal::open("0.5");
    terminal.press("Request no");
    terminal.prompt_is("> Request no");
    let seen = terminal.count("Ping response received from Peer 8");
    eventually(SOON, "three more rounds of pings", || {
        (terminal.count("Ping response received from Peer 8") >= seen + 3).then_some(())
    });
    terminal.prompt_is("> Request no");
    terminal.press(".such\r");
    terminal.shows("File no.such was not found (2 peers asked): nobody has heard of it");
    terminal.prompt_is("> ");
    assert_eq!(terminal.count("> Request no.such"), 1, "{}", terminal.text());
    assert_eq!(terminal.count("File no.such was not found (2 peers asked): nobody has heard of it"), 1);
}

#[test]
fn arrow_up_brings_the_last_line_back() {
    let mut terminal = Terminal::open("60");
    terminal.press("Request no.such\r");
    terminal.shows("File no.such was not found (2 peers asked): nobody has heard of it");
    terminal.prompt_is("> ");
    terminal.press("\x1b[A");
    terminal.prompt_is("> Request no.such");
    terminal.press("\r");
    eventually(SOON, "a second answer", || {
        (terminal.count("File no.such was not found (2 peers asked): nobody has heard of it") == 2).then_some(())
    });
    // Edited in the middle: to the left of the last letter.
    terminal.press("\x1b[A\x1b[Dx\r");
    terminal.shows("File no.sucxh was not found (2 peers asked): nobody has heard of it");
}

#[test]
fn nobody_at_a_terminal_waits_for_the_answer_before() {
    let mut terminal = Terminal::open("60");
    terminal.press("hilfe\rStore missing\r");
    eventually(SOON, "the list of words", || {
        terminal
            .rows()
            .iter()
            .any(|row| row.starts_with("The words are: Store FILE, Request NAME, rm NAME, ls,"))
            .then_some(())
    });
    eventually(SOON, "an answer", || {
        terminal.rows().iter().any(|row| row.starts_with("File missing: there is no file")).then_some(())
    });
    terminal.prompt_is("> ");
}

#[test]
fn tab_completes_words_paths_and_names() {
    let mut terminal = Terminal::open("60");
    std::fs::write(terminal._lab.folder("2").join("lorem ipsum.txt"), "dolor").unwrap();
    terminal.press("sto\t");
    terminal.prompt_is("> Store ");
    terminal.press("lor\t");
    eventually(SOON, "the path, its blank marked or not", || {
        terminal.rows().iter().any(|row| row.starts_with("> Store lorem")).then_some(())
    });
    terminal.press("\x15Store 4103\r");
    eventually(SOON, "an answer", || {
        terminal.rows().iter().any(|row| row.starts_with("File 4103: there is no file")).then_some(())
    });
    std::fs::write(terminal._lab.folder("2").join("report.pdf"), "sit").unwrap();
    terminal.press("Store report.pdf\r");
    eventually(SOON, "it is stored", || {
        terminal.rows().iter().any(|row| row.starts_with("Stored report.pdf: 2 copies")).then_some(())
    });
    terminal.press("requ\trep\t");
    terminal.prompt_is("> Request report.pdf");
    terminal.press("\r");
    terminal.shows("File report.pdf received");
}

#[test]
fn a_look_is_shown_above_what_is_half_typed() {
    let mut terminal = Terminal::open("60");
    terminal.press("ping 8\rhalf");
    eventually(SOON, "the round trip", || {
        terminal.rows().iter().any(|row| row.starts_with("peer 8 at 127.0.0.1:")).then_some(())
    });
    terminal.prompt_is("> half");
}

#[test]
fn ctrl_c_ends_at_once_with_130_and_a_cooked_terminal() {
    let mut terminal = Terminal::open("1");
    assert!(!terminal.is_cooked(), "the editor has it");
    terminal.press("half typ");
    terminal.prompt_is("> half typ");
    terminal.press("\x03");
    assert_eq!(terminal.ends(), 130);
    terminal.other.wait_for("Peer 2 is no longer alive", SOON);
}

#[test]
fn signals_from_elsewhere_leave_a_cooked_terminal_too() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 0)] {
        let mut terminal = Terminal::open("1");
        terminal.press("half typ");
        terminal.prompt_is("> half typ");
        terminal.signal(signal);
        assert_eq!(terminal.ends(), code, "{signal:?}");
    }
}

#[test]
fn quit_exits_with_0_and_a_cooked_terminal() {
    let mut terminal = Terminal::open("1");
    terminal.press("quit\r");
    assert_eq!(terminal.ends(), 0);
    terminal.other.wait_for("Peer 2 will depart from the network", SOON);
    assert!(terminal.rows().iter().all(|row| !row.contains("depart")), "{}", terminal.text());
}

#[test]
fn ctrl_d_ends_the_typing_but_not_the_peer() {
    let mut terminal = Terminal::open("0.5");
    terminal.press("\x04");
    terminal.shows("No more input: the peer serves on, Ctrl-C ends it");
    terminal.other.mark();
    terminal.other.wait_for("Ping response received from Peer 2", SOON);
    terminal.press("\x03");
    let status = eventually(SOON, "the peer ends", || terminal.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    assert!(terminal.is_cooked());
}
