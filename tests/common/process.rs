//! One peer: a process, its folder, and every line it printed with the time it was printed at.

use super::{SOON, eventually, same_bytes};
use rustix::process::{Pid, Signal, kill_process};
use std::cell::Cell;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// A line that was printed, without its `> `.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: Instant,
    pub stream: Stream,
    pub text: String,
}

impl Line {
    /// Whether it belongs to a round of pings.
    pub fn is_ping(&self) -> bool {
        self.stream == Stream::Out && self.text.starts_with("Ping re")
    }
}

/// A peer that runs, until it is dropped.
pub struct Peer {
    pub number: u8,
    pub addr: SocketAddr,
    /// Its working folder.
    pub dir: PathBuf,
    /// Before it did anything.
    pub started: Instant,
    child: Mutex<Child>,
    stdin: Mutex<Option<ChildStdin>>,
    lines: Arc<Mutex<Vec<Line>>>,
    mark: Cell<usize>,
}

/// The program, without settings from whoever runs the tests.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2p"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("P2P_") {
            command.env_remove(name);
        }
    }
    // Where there is no p2p.toml.
    command.env("XDG_CONFIG_HOME", "/dev/null");
    command
}

/// A command, run with words through another one: the last of its arguments.
pub fn through(outer: &str, words: &[&str], inner: Command) -> Command {
    let mut command = Command::new(outer);
    command.args(words).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

impl Peer {
    pub fn start(number: u8, port: u16, dir: &Path, words: &[&str]) -> Peer {
        let mut command = program();
        command.args(words).current_dir(dir);
        Peer::spawn(number, port, dir, command)
    }

    /// Starts a peer from a command that has all its words.
    pub fn spawn(number: u8, port: u16, dir: &Path, mut command: Command) -> Peer {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let lines = Arc::default();
        listen(child.stdout.take().unwrap(), Stream::Out, &lines);
        listen(child.stderr.take().unwrap(), Stream::Err, &lines);
        let stdin = Mutex::new(child.stdin.take());
        Peer {
            number,
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            dir: dir.to_owned(),
            started,
            child: Mutex::new(child),
            stdin,
            lines,
            mark: Cell::new(0),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Types a line.
    pub fn type_line(&self, line: &str) {
        self.type_bytes(format!("{line}\n").as_bytes());
    }

    /// Types anything.
    pub fn type_bytes(&self, bytes: &[u8]) {
        self.stdin.lock().unwrap().as_mut().expect("its input is open").write_all(bytes).unwrap();
    }

    /// Ends its input.
    pub fn close_input(&self) {
        self.stdin.lock().unwrap().take();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.lock().unwrap()), signal).unwrap();
    }

    /// Ends it as a power cut would. Returns when it is gone.
    pub fn kill(self) {
        self.signal(Signal::KILL);
        self.exit(SOON);
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits for its end, and for its last words.
    pub fn exit(&self, limit: Duration) -> ExitStatus {
        let what = format!("peer {} ends", self.number);
        let status = eventually(limit, &what, || self.child.lock().unwrap().try_wait().unwrap());
        // The threads that listen hold the others.
        eventually(limit, "its output ends", || (Arc::strong_count(&self.lines) == 1).then_some(()));
        status
    }

    /// Everything it printed, from the beginning.
    pub fn transcript(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// What it printed since the last mark.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap()[self.mark.get()..].to_vec()
    }

    /// What it printed to standard output since the last mark, pings left out.
    pub fn told(&self) -> Vec<String> {
        let told = |line: &Line| line.stream == Stream::Out && !line.is_ping();
        self.lines().into_iter().filter(told).map(|line| line.text).collect()
    }

    /// Forgets what was printed so far.
    pub fn mark(&self) {
        self.mark.set(self.lines.lock().unwrap().len());
    }

    /// Waits for exactly this line, since the last mark. Returns when it was printed.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Instant {
        self.wait_until(limit, text, |line| line.text == text).at
    }

    /// Waits for a line, since the last mark.
    pub fn wait_until(&self, limit: Duration, what: &str, is_it: impl Fn(&Line) -> bool) -> Line {
        let what = format!("peer {} says {what:?}", self.number);
        eventually(limit, &what, || self.lines().into_iter().find(&is_it))
    }

    /// The successors it told last, if the last pings went to them.
    pub fn successors(&self) -> Option<(u8, u8)> {
        let lines = self.transcript();
        let last = |words: &[&str]| {
            let number = |line: &Line| words.iter().find_map(|words| line.text.strip_prefix(words)?.parse::<u8>().ok());
            lines.iter().rev().find_map(number)
        };
        let told = last(&["My first successor is Peer ", "My new first successor is Peer "])
            .zip(last(&["My second successor is Peer ", "My new second successor is Peer "]));
        let pinged = lines.iter().rev().find_map(|line| line.text.strip_prefix("Ping requests sent to Peer"));
        let pinged = match pinged?.trim_start_matches(['s', ' ']).split_once(" and ") {
            Some((first, second)) => (first.parse().ok()?, second.parse().ok()?),
            // In a ring of two, the second successor is the peer itself.
            None => (pinged?.trim_start().parse().ok()?, self.number),
        };
        told.is_none_or(|told| told == pinged).then_some(pinged)
    }

    /// Where the copy arrives that a Request brings.
    pub fn received(&self, name: &str) -> PathBuf {
        let is_number = name.len() == 4 && name.bytes().all(|byte| byte.is_ascii_digit());
        self.dir.join(format!("received_{name}{}", if is_number { ".pdf" } else { "" }))
    }

    /// Asks for a file that was stored from `source`.
    pub fn order(&self, source: &Path) {
        let name = source.file_name().unwrap().to_str().unwrap();
        let _ = fs::remove_file(self.received(name));
        self.mark();
        self.type_line(&format!("Request {name}"));
    }

    /// Waits for a file it asked for, and compares it.
    pub fn gets(&self, source: &Path, limit: Duration) {
        let name = source.file_name().unwrap().to_str().unwrap();
        self.wait_for(&format!("File {name} received"), limit);
        assert!(same_bytes(source, &self.received(name)), "peer {} got something else", self.number);
    }

    /// Memory it has now, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it lives");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// Collects lines. Control characters, a missing `> ` and what is no text are made visible, so that no test takes such
/// a line for the right one.
fn listen(stream: impl Read + Send + 'static, which: Stream, lines: &Arc<Mutex<Vec<Line>>>) {
    let lines = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            let text = String::from_utf8(line).unwrap_or_else(|line| format!("NO TEXT {line}"));
            let text = match (which, text.strip_prefix("> ")) {
                _ if text.contains(char::is_control) => format!("CONTROL CHARACTERS {text:?}"),
                (Stream::Out, None) => format!("NO PROMPT {text}"),
                (_, stripped) => stripped.unwrap_or(&text).to_owned(),
            };
            lines.lock().unwrap().push(Line { at: Instant::now(), stream: which, text });
        }
    });
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
        let lines = self.lines.lock().unwrap();
        if thread::panicking() {
            for Line { at, stream, text } in lines.iter() {
                let at = at.duration_since(self.started).as_secs_f64();
                eprintln!("peer {} {at:8.3} {stream:?} {text}", self.number);
            }
            return;
        }
        let is_ugly = |line: &&Line| {
            let marks = ["CONTROL CHARACTERS", "NO TEXT", "NO PROMPT", "panicked", "RUST_BACKTRACE"];
            marks.iter().any(|mark| line.text.contains(mark))
        };
        let ugly: Vec<&Line> = lines.iter().filter(is_ugly).collect();
        assert!(ugly.is_empty(), "peer {}: {ugly:?}", self.number);
    }
}
