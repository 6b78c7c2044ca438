//! One-shot commands against running peers, in folders where nobody else's are found.

use super::{Lab, Peer, Ring, SOON, eventually, program};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// How long a command may take before its test fails.
const LIMIT: std::time::Duration = SOON.saturating_mul(5);

/// Peers that are found in a folder of their own, and somebody who works in another one.
pub struct Network {
    pub ring: Ring,
    /// What is to be the `XDG_RUNTIME_DIR`.
    pub runtime: PathBuf,
    /// What is to be the folder for temporary files.
    pub passing: PathBuf,
    /// Where the commands are given.
    pub here: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Network {
    /// Nobody yet.
    pub fn empty() -> Network {
        let lab = Lab::new();
        let [runtime, passing, here] = ["runtime", "passing", "here"].map(|name| lab.folder(name));
        Network { ring: Ring::empty(lab, "1"), runtime, passing, here }
    }

    /// Peers that have all found each other.
    pub fn of(lines: &[&str]) -> Network {
        let mut network = Network::empty();
        lines.iter().for_each(|line| network.start(line));
        network.ring.settles();
        network
    }

    pub fn three() -> Network {
        Network::of(&["init 2 4 5 1", "init 4 5 2 1", "init 5 2 4 1"])
    }

    pub fn start(&mut self, line: &str) {
        let peer = self.spawn(line);
        self.ring.peers.insert(peer.number, peer);
    }

    pub fn spawn(&self, line: &str) -> Peer {
        let number: u8 = line.split(' ').nth(1).unwrap().parse().unwrap();
        let dir = self.ring.lab.folder(&number.to_string());
        let mut command = program();
        command.args(line.split(' ')).args(["--base-port", &self.ring.lab.base_port.to_string()]);
        command.current_dir(&dir).env("XDG_RUNTIME_DIR", &self.runtime);
        Peer::spawn(number, self.ring.lab.port(number), &dir, command)
    }

    /// The program with these words, in the folder `here`, at peer 4 unless the words name another one.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.args(words).current_dir(&self.here);
        command.env("XDG_RUNTIME_DIR", &self.runtime).env("TMPDIR", &self.passing).env("P2P_PEER", "4");
        command
    }

    pub fn p2p(&self, words: &[&str]) -> Ended {
        self.run(self.command(words), None)
    }

    /// Runs a command to its end, with these bytes on its standard input.
    pub fn run(&self, command: Command, input: Option<&[u8]>) -> Ended {
        let (mut child, out, err) = self.begin(command, input);
        let status = eventually(LIMIT, "the command ends", || child.try_wait().unwrap());
        let read = |path: &Path| String::from_utf8(fs::read(path).unwrap()).unwrap();
        Ended { code: status.code().expect("no signal ended it"), out: read(&out), err: read(&err) }
    }

    pub fn begin(&self, mut command: Command, input: Option<&[u8]>) -> (Child, PathBuf, PathBuf) {
        let folder = tempfile::tempdir_in(self.ring.lab.folder("outputs")).unwrap().keep();
        let [out, err, stdin] = ["out", "err", "in"].map(|name| folder.join(name));
        fs::write(&stdin, input.unwrap_or_default()).unwrap();
        command.stdin(File::open(&stdin).unwrap());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        (command.spawn().unwrap(), out, err)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.here.join(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.here.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Stores bytes under a name, in as many copies as wanted.
    pub fn store(&self, name: &str, bytes: &[u8]) {
        let ended = self.run(self.command(&["store", "-", "--name", name]), Some(bytes));
        assert_eq!(ended.code, 0, "{ended:?}");
    }

    /// So many peers can be found.
    pub fn found(&self, peers: usize) {
        let count = || fs::read_dir(self.runtime.join("p2p")).map_or(0, Iterator::count);
        eventually(SOON, "each has a socket and a plate", || (count() == 2 * peers).then_some(()));
    }

    /// Each has all others among its contacts.
    pub fn knows_all(&self) {
        let others = format!("{} contact", self.ring.peers.len() - 1);
        for number in self.ring.peers.keys() {
            let look = || self.p2p(&["peers", "--peer", &number.to_string()]).out;
            let knows = || look().lines().any(|line| line.starts_with(&others)).then_some(());
            eventually(SOON, &format!("peer {number} knows all"), knows);
        }
    }

    /// Turns one bit of a file of this length that a peer keeps.
    pub fn damage(&self, number: u8, len_bytes: u64) {
        self.damage_at(number, len_bytes, 70_000);
    }

    /// Turns one bit of this byte of it.
    pub fn damage_at(&self, number: u8, len_bytes: u64, at: usize) {
        let store = self.ring[number].dir.join(".p2p").join(self.ring.lab.port(number).to_string());
        let entries = fs::read_dir(store.join("content")).unwrap().map(|entry| entry.unwrap().path());
        let kept: Vec<PathBuf> = entries.filter(|path| fs::metadata(path).unwrap().len() == len_bytes).collect();
        let [content] = &kept[..] else { panic!("{kept:?}") };
        let mut bytes = fs::read(content).unwrap();
        bytes[at] ^= 1;
        fs::write(content, bytes).unwrap();
    }

    /// No passing file is left where the commands were given.
    pub fn is_clean(&self) {
        for folder in [&self.here, &self.passing] {
            let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert!(!names.iter().any(|name| name.to_str().unwrap().starts_with(".p2p")), "{names:?}");
        }
        assert_eq!(fs::read_dir(&self.passing).unwrap().count(), 0);
    }
}

impl Ended {
    /// It ended so, and said all it had to say on standard output.
    pub fn with(self, code: i32) -> Vec<String> {
        assert_eq!((self.code, self.err.as_str()), (code, ""), "{}", self.out);
        self.out.lines().map(str::to_owned).collect()
    }

    /// It ended so, had no result, and said why on standard error.
    pub fn failed(self, code: i32, why: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert!(self.err.contains(why), "{why:?} is not in {:?}", self.err);
    }
}

/// Lines of JSON.
pub fn objects(lines: &[String]) -> Vec<serde_json::Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}
