//! A program at a terminal of its own: keys are pressed, and the screen is read.

use super::{SOON, eventually};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OutputModes, Winsize, tcgetattr, tcsetwinsize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A program at a terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// The side the program has, to look at its settings.
    line: File,
    screen: Arc<Mutex<Screen>>,
    /// Shows what the program prints, and tells when nothing more is to be shown.
    reader: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

const COLUMNS: usize = 100;

/// A byte that no program here prints.
const LAST_WORD: u8 = 6;

impl Terminal {
    /// Runs a command there.
    pub fn run(inner: &Command) -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let size = Winsize { ws_row: 40, ws_col: COLUMNS as u16, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keyboard, size).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let keyboard = File::from(keyboard);
        let line = File::options().read(true).write(true).open(OsStr::from_bytes(name.to_bytes())).unwrap();

        // A session of its own, or Ctrl-C would be no signal.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(dir) = inner.get_current_dir() {
            command.current_dir(dir);
        }
        command.env("TERM", "xterm").env_remove("P2P_DIR");
        let end = || line.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();

        let screen: Arc<Mutex<Screen>> = Arc::default();
        let (mut output, seen) = (keyboard.try_clone().unwrap(), screen.clone());
        let gone = Arc::new(AtomicBool::new(false));
        let over = gone.clone();
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len) = output.read(&mut bytes)
                && !over.load(Ordering::SeqCst)
            {
                seen.lock().unwrap().show(&bytes[..len]);
            }
        });
        Terminal { child, keyboard, line, screen, reader: Some((gone, reader)) }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// A line is on the screen, whole, in a row of its own.
    pub fn shows(&self, text: &str) {
        self.shows_row(&format!("{text:?}"), |row| row == text);
    }

    /// A row is on the screen that is like that. The row.
    pub fn shows_row(&self, what: &str, mut is_like: impl FnMut(&str) -> bool) -> String {
        eventually(SOON, &format!("{what} on the screen"), || self.rows().into_iter().find(|row| is_like(row)))
    }

    /// The row with the cursor.
    pub fn prompt_is(&self, text: &str) {
        eventually(SOON, &format!("the prompt {text:?}"), || self.has_prompt(text).then_some(()));
    }

    /// Tab makes this prompt of what is typed after `> `. Tab waits a moment for the network and no longer: on a busy machine
    /// whoever wants to know presses it again.
    pub fn tab_makes(&mut self, typed: &str, text: &str) {
        eventually(SOON, &format!("the prompt {text:?}"), || {
            // Over what is there, so that it is the same whatever became of the last one.
            self.press(&format!("\x15{typed}\t"));
            let pressed = Instant::now();
            while !self.has_prompt(text) && pressed.elapsed() < Duration::from_secs(1) {
                thread::sleep(Duration::from_millis(10));
            }
            self.has_prompt(text).then_some(())
        });
    }

    fn has_prompt(&self, text: &str) -> bool {
        let screen = self.screen.lock().unwrap();
        let current = &screen.rows[screen.row];
        let padded = format!("{:width$}", current.iter().collect::<String>(), width = text.len());
        padded.trim_end() == text.trim_end() && screen.column == text.len()
    }

    /// All rows, those that were scrolled away included.
    pub fn rows(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap();
        screen.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    /// All that is on the screen.
    pub fn text(&self) -> String {
        self.rows().join("\n")
    }

    /// How many rows are so.
    pub fn count(&self, text: &str) -> usize {
        self.rows().iter().filter(|row| *row == text).count()
    }

    /// Whether it is as shells want it.
    pub fn is_cooked(&self) -> bool {
        let settings = tcgetattr(&self.line).unwrap();
        settings.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
            && settings.output_modes.contains(OutputModes::OPOST)
    }

    /// Whether what is typed is shown.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Takes the terminal away, as when its window is closed.
    pub fn hang_up(&mut self) {
        let (gone, reader) = self.reader.take().expect("it hangs up once");
        gone.store(true, Ordering::SeqCst);
        // Or the reader waits for ever, and has the terminal too.
        self.line.write_all(b"\n").unwrap();
        reader.join().unwrap();
        self.keyboard = File::open("/dev/null").unwrap();
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit code, when it has ended and all that it said is on the screen.
    pub fn exit(&mut self) -> i32 {
        let status = eventually(SOON, "it ends", || self.child.try_wait().unwrap());
        if self.reader.is_some() {
            // What was written before it is read before it.
            self.line.write_all(&[LAST_WORD]).unwrap();
            eventually(SOON, "its last words", || self.screen.lock().unwrap().over.then_some(()));
        }
        status.code().expect("it is no signal that ends it")
    }

    /// The exit code, when it has ended and left the terminal as it was.
    pub fn ends(&mut self) -> i32 {
        let code = self.exit();
        assert!(self.is_cooked());
        // Whatever the shell prints next begins at the left, after nothing half typed.
        eventually(SOON, "the cursor at the left", || (self.screen.lock().unwrap().column == 0).then_some(()));
        let strange = self.rows().into_iter().find(|row| row.contains("panicked"));
        assert_eq!(strange, None);
        code
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

/// What a terminal shows, all that was scrolled away included. Knows the few sequences that line editors and progress bars use.
struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// The beginning of a sequence or letter whose end has not come yet.
    rest: Vec<u8>,
    /// The last word was read.
    over: bool,
}

impl Default for Screen {
    fn default() -> Screen {
        Screen { rows: vec![Vec::new()], row: 0, column: 0, rest: Vec::new(), over: false }
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
                LAST_WORD => {
                    self.over = true;
                    1
                }
                0..0x20 => 1,
                _ => {
                    // A letter of several bytes may come in parts.
                    let len = 1.max(first.leading_ones() as usize).min(4);
                    let Some(bytes) = self.rest.get(..len) else { return };
                    let letter = str::from_utf8(bytes).ok().and_then(|text| text.chars().next());
                    self.letter(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
                    len
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
            b'K' if numbers == "2" => self.rows[self.row].clear(),
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
