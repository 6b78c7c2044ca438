//! Real peers in real processes: started, typed at, listened to, signalled, and surely ended.
//!
//! A [`Lab`] is a folder and a range of ports that no other test has. A [`Ring`] is several [`Peer`]s in a lab, and
//! remembers what was stored there. Nothing here sleeps to prove something: all waiting is for a condition, with a limit.

// Each file of tests uses a part of this.
#![allow(dead_code)]

pub mod http;
pub mod network;
pub mod pages;
mod process;
pub mod terminal;

#[allow(unused_imports)]
pub use process::{Line, Peer, Stream, program, through};

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::ops::Index;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The assignment's ring.
pub const SEVEN: [(u8, [u8; 2]); 7] =
    [(2, [4, 5]), (4, [5, 8]), (5, [8, 9]), (8, [9, 14]), (9, [14, 19]), (14, [19, 2]), (19, [2, 4])];

/// How long anything may take that should be there at once, on a machine that has other things to do.
pub const SOON: Duration = Duration::from_secs(15);

/// Waits until `look` finds something.
pub fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether namespaces can be made here; says that a test is skipped if not.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can make a namespace");
    }
    root
}

/// Bytes like noise, the same for the same seed; never the same anywhere within a file.
pub fn noise(len_bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len_bytes + 8);
    while bytes.len() < len_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len_bytes);
    bytes
}

/// Whether two files have the same bytes, however long they are.
pub fn same_bytes(one: &Path, other: &Path) -> bool {
    let (Ok(mut one), Ok(mut other)) = (File::open(one), File::open(other)) else { return false };
    let mut buffers = [vec![0; 1 << 20], vec![0; 1 << 20]];
    loop {
        let [mine, theirs] = &mut buffers;
        let len = one.read(mine).expect("it opened");
        if len == 0 {
            return other.read(theirs).expect("it opened") == 0;
        }
        if other.read_exact(&mut theirs[..len]).is_err() || mine[..len] != theirs[..len] {
            return false;
        }
    }
}

/// A folder and a range of ports, for one test alone.
pub struct Lab {
    pub dir: TempDir,
    pub base_port: u16,
    /// Held while the ports are ours, whatever process the others are.
    _lock: File,
}

impl Lab {
    /// Below the ports that the system gives away by itself (32768 and more), above those of the assignment.
    const RANGES: std::ops::Range<u16> = 50..126;

    /// A lab of its own.
    pub fn new() -> Lab {
        let dir = TempDir::new().unwrap();
        let free = |range: u16| {
            let lock = lock_file(range * 256);
            let usable = lock.try_lock().is_ok() && is_free(range * 256);
            usable.then_some((range * 256, lock))
        };
        // Not all tests knock at the same one first.
        let start = std::process::id() as u16 % Self::RANGES.len() as u16;
        let (base_port, _lock) =
            eventually(SOON * 4, "256 free ports", || Self::RANGES.cycle_from(start).find_map(free));
        Lab { dir, base_port, _lock }
    }

    /// The lab with the assignment's own ports: 12000 + n. Waits until nobody else on this machine tests there.
    pub fn classic() -> Lab {
        let lock = lock_file(12000);
        lock.lock().unwrap();
        Lab { dir: TempDir::new().unwrap(), base_port: 12000, _lock: lock }
    }

    /// A folder in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A file to be stored, in a folder where no peer looks by itself.
    pub fn source(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder("sources").join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Starts a peer in a folder of its own: `init 2 4 5 1`.
    pub fn start(&self, line: &str) -> Peer {
        self.start_in(&self.folder(line.split(' ').nth(1).expect("a task and a number")), line)
    }

    /// Starts a peer in a given folder.
    pub fn start_in(&self, dir: &Path, line: &str) -> Peer {
        let mut words: Vec<&str> = line.split(' ').collect();
        let base_port = self.base_port.to_string();
        if self.base_port != 12000 {
            words.extend(["--base-port", &base_port]);
        }
        let number = words[1].split('@').next().expect("a split has a first part");
        let number: u8 = number.parse().expect("peers have numbers here");
        Peer::start(number, self.port(number), dir, &words)
    }

    /// Where peer `number` listens.
    pub fn port(&self, number: u8) -> u16 {
        self.base_port + u16::from(number)
    }
}

trait CycleFrom {
    fn cycle_from(&self, start: u16) -> impl Iterator<Item = u16>;
}

impl CycleFrom for std::ops::Range<u16> {
    fn cycle_from(&self, start: u16) -> impl Iterator<Item = u16> {
        let (first, len) = (self.start, self.len() as u16);
        (0..len).map(move |step| first + (start + step) % len)
    }
}

fn lock_file(base_port: u16) -> File {
    let path = std::env::temp_dir().join(format!("p2p-tests-{base_port}.lock"));
    File::options().create(true).truncate(false).write(true).open(path).unwrap()
}

fn is_free(base_port: u16) -> bool {
    (base_port..base_port + 256)
        .all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok())
}

/// Several peers, and what was stored among them.
pub struct Ring {
    pub peers: BTreeMap<u8, Peer>,
    pub files: Vec<PathBuf>,
    pub interval: String,
    pub lab: Lab,
}

impl Index<u8> for Ring {
    type Output = Peer;

    fn index(&self, number: u8) -> &Peer {
        self.peers.get(&number).unwrap_or_else(|| panic!("peer {number} is gone"))
    }
}

impl Ring {
    /// The seven peers of the assignment, each in a folder of its own, when all have been answered.
    pub fn seven(interval: &str) -> Ring {
        let ring = Ring::seven_unsettled(interval);
        ring.settles();
        ring
    }

    /// The seven peers, just started.
    pub fn seven_unsettled(interval: &str) -> Ring {
        let mut ring = Ring::empty(Lab::new(), interval);
        for (number, [first, second]) in SEVEN {
            ring.start(&format!("init {number} {first} {second} {interval}"));
        }
        ring
    }

    pub fn empty(lab: Lab, interval: &str) -> Ring {
        Ring { peers: BTreeMap::new(), files: Vec::new(), interval: interval.to_owned(), lab }
    }

    /// Starts one more peer in a folder of its own.
    pub fn start(&mut self, line: &str) {
        let peer = self.lab.start(line);
        self.peers.insert(peer.number, peer);
    }

    /// Lets one more peer join. Does not wait for it.
    pub fn join(&mut self, number: u8, known: u8) {
        self.start(&format!("join {number} {known} {}", self.interval));
    }

    /// Takes a peer out of the ring's books.
    pub fn take(&mut self, number: u8) -> Peer {
        self.peers.remove(&number).unwrap_or_else(|| panic!("peer {number} is gone"))
    }

    /// Everybody has had an answer from each successor, and two others have asked.
    pub fn settles(&self) {
        for (peer, (first, second)) in self.peers.values().zip(self.ideal()) {
            // In a ring of two, the second successor is the peer itself.
            for successor in [first, second].into_iter().filter(|successor| *successor != peer.number) {
                peer.wait_for(&format!("Ping response received from Peer {successor}"), SOON);
                let asked = format!("Ping request message received from Peer {}", peer.number);
                self[successor].wait_for(&asked, SOON);
            }
        }
        self.mark();
    }

    /// Forgets what was printed so far.
    pub fn mark(&self) {
        self.peers.values().for_each(Peer::mark);
    }

    /// The right successors of everybody.
    pub fn ideal(&self) -> Vec<(u8, u8)> {
        let numbers: Vec<u8> = self.peers.keys().copied().collect();
        let at = |index: usize| numbers[index % numbers.len()];
        (0..numbers.len()).map(|index| (at(index + 1), at(index + 2))).collect()
    }

    /// The ring is whole: everybody has told the right successors, and has pinged them. Returns how long it took.
    pub fn closes_within(&self, limit: Duration) -> Duration {
        let begun = Instant::now();
        let ideal = self.ideal();
        eventually(limit, &format!("the ring {:?} closes", self.peers.keys()), || {
            self.peers.values().zip(&ideal).all(|(peer, ideal)| peer.successors() == Some(*ideal)).then_some(())
        });
        begun.elapsed()
    }

    /// Stores bytes under a name, and remembers them. Waits until all copies are made.
    pub fn store(&mut self, at: u8, name: &str, bytes: &[u8]) {
        let source = self.lab.source(name, bytes);
        self.store_file(at, &source, SOON);
    }

    /// Stores a file that is on disk, and remembers it.
    pub fn store_file(&mut self, at: u8, source: &Path, limit: Duration) {
        let name = source.file_name().unwrap().to_str().unwrap();
        let peer = &self[at];
        peer.type_line(&format!("Store {}", source.display()));
        let copies = ["no copy", "1 copy", "2 copies", "3 copies"][self.peers.len().min(3)];
        let stored = format!("Stored {name}: {copies}, at");
        peer.wait_until(limit, &stored, |line| line.text.starts_with(&stored));
        self.files.push(source.to_owned());
    }

    /// Every peer gets every file that was stored, bit for bit.
    pub fn serves_everything(&self) {
        for source in &self.files {
            self.peers.values().for_each(|peer| peer.order(source));
            self.peers.values().for_each(|peer| peer.gets(source, SOON * 2));
        }
    }

    /// What the peers have told since the last mark, pings left out, as `8: Peer 9 will depart from the network`.
    pub fn told(&self) -> Vec<String> {
        let told = |peer: &Peer| peer.told().into_iter().map(|text| format!("{}: {text}", peer.number)).collect();
        self.peers.values().flat_map(|peer| -> Vec<String> { told(peer) }).collect()
    }

    /// Nobody has been declared dead since the last mark.
    pub fn told_no_death(&self) {
        let dead: Vec<String> = self.told().into_iter().filter(|told| told.contains("no longer alive")).collect();
        assert!(dead.is_empty(), "{dead:?}");
    }
}
