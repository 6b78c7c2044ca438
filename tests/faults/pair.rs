//! Two peers: a keeper, who holds what belongs at 101 to 200, and an asker, who stores there and requests. Each step of
//! a sweep is begun with copies of the same folder, in which the keeper has kept some files already.

use super::{Page, Shim, copy_folder, files_below};
use crate::common::{Lab, Peer, SOON, eventually, noise, program};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one thing of a step may take: disks are slow where several sweeps write at once.
pub const LIMIT: Duration = SOON.saturating_mul(4);

const KEEPER: u8 = 200;
const ASKER: u8 = 100;

/// What the keeper has kept before anything goes wrong: nothing, next to nothing, one write's worth, several.
const CORPUS: [(&str, usize); 4] = [("0150", 0), ("0151", 1), ("0152", 100_000), ("0153", 3 << 20)];

/// A lab with a keeper's folder to copy.
pub struct Pair<'s> {
    pub lab: Lab,
    shim: &'s Shim,
    kept: PathBuf,
    steps: usize,
}

/// How a store ended, as the asker was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The keeper has it.
    Kept,
    /// The keeper could not take it; the asker keeps it itself.
    KeptElsewhere,
    /// Nobody has it.
    Failed,
}

impl<'s> Pair<'s> {
    /// Lets a keeper take the corpus, and ends it without a word.
    pub fn new(shim: &'s Shim) -> Pair<'s> {
        let lab = Lab::new();
        let kept = lab.folder("kept");
        let pair = Pair { lab, shim, kept, steps: 0 };
        let keeper = pair.keeper(&pair.kept, None);
        let asker = pair.asker(&pair.lab.folder("first"), None);
        for (name, bytes) in Pair::corpus() {
            assert_eq!(pair.store(&asker, name, &bytes), Told::Kept, "{name}");
        }
        drop((keeper, asker));
        pair
    }

    /// The files that have been kept.
    pub fn corpus() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
        CORPUS.into_iter().map(|(name, len_bytes)| (name, noise(len_bytes, len_bytes as u64)))
    }

    /// An empty folder, for one step.
    pub fn room(&mut self) -> Room {
        self.steps += 1;
        Room { path: self.lab.folder(&format!("step-{}", self.steps)) }
    }

    /// Puts the corpus into a keeper's folder.
    pub fn fill(&self, folder: &Path) {
        copy_folder(&self.kept, folder);
    }

    /// Starts the keeper, with a page for its faults; returns when it answers.
    pub fn keeper(&self, folder: &Path, faults: Option<&Page>) -> Peer {
        answering(self.begin_keeper(folder, faults))
    }

    /// Starts a keeper who gives 8 MiB a second; returns when it answers.
    pub fn slow_keeper(&self, folder: &Path) -> Peer {
        answering(self.start(KEEPER, folder, &["init", "200", "--limit-up", "8M"], None))
    }

    /// Starts the keeper, and does not wait for it.
    pub fn begin_keeper(&self, folder: &Path, faults: Option<&Page>) -> Peer {
        self.start(KEEPER, folder, &["init", "200"], faults)
    }

    /// Starts the asker; returns when it has joined.
    pub fn asker(&self, folder: &Path, faults: Option<&Page>) -> Peer {
        let asker = self.begin_asker(folder, faults);
        asker.wait_for("Join request has been accepted", LIMIT);
        asker
    }

    /// Starts the asker, and does not wait for it.
    pub fn begin_asker(&self, folder: &Path, faults: Option<&Page>) -> Peer {
        self.start(ASKER, folder, &["join", "100", "200"], faults)
    }

    fn start(&self, number: u8, folder: &Path, words: &[&str], faults: Option<&Page>) -> Peer {
        let mut command = program();
        command.args(words).args(["--replicas", "1", "--base-port", &self.lab.base_port.to_string()]);
        command.current_dir(folder);
        if let Some(page) = faults {
            self.shim.preload(&mut command, folder, page);
        }
        Peer::spawn(number, self.lab.port(number), folder, command)
    }

    /// Stores a file, and waits for the word that ends it: silence is a failure of the test.
    pub fn store(&self, asker: &Peer, name: &str, bytes: &[u8]) -> Told {
        let source = self.lab.source(name, bytes);
        asker.mark();
        asker.type_line(&format!("Store {}", source.display()));
        let (stored, failed) = (format!("Stored {name}: 1 copy, at Peer "), format!("File {name}: "));
        let ending =
            asker.wait_until(LIMIT, &stored, |line| [&stored, &failed].iter().any(|end| line.text.starts_with(*end)));
        match ending.text.strip_prefix(&stored) {
            Some(number) if number == KEEPER.to_string() => Told::Kept,
            Some(_) => Told::KeptElsewhere,
            None => Told::Failed,
        }
    }
}

fn answering(keeper: Peer) -> Peer {
    let answers = || {
        assert!(!keeper.has_ended(), "the keeper does not start");
        TcpStream::connect(keeper.addr).ok()
    };
    eventually(LIMIT, "the keeper's door opens", answers);
    keeper
}

/// The folder of one step, removed with all in it.
pub struct Room {
    path: PathBuf,
}

impl Room {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A page for the faults of this step.
    pub fn page(&self) -> Page {
        Page::new(&self.path.join("page"))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Gone with the lab at the latest.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What a Request brought: the bytes, or the sentence that says why not.
pub fn request(asker: &Peer, name: &str) -> Result<Vec<u8>, String> {
    asker.mark();
    asker.type_line(&format!("Request {name}"));
    let received = format!("File {name} received");
    let endings = [&received, &format!("File {name} was not found"), &format!("File {name}: ")];
    let is_end = |text: &str| endings.iter().any(|end| text.starts_with(*end));
    let ending = asker.wait_until(LIMIT, &received, |line| is_end(&line.text)).text;
    if ending == received { Ok(fs::read(asker.received(name)).unwrap()) } else { Err(ending) }
}

/// What is left of writes that never ended, in a peer's folder; apart from uploads that can be resumed, which the store
/// keeps for a day.
pub fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let is_passing = |path: &PathBuf| {
        let in_tmp = path.parent().is_some_and(|parent| parent.ends_with("tmp"));
        let resumable = path.parent().is_some_and(|parent| parent.ends_with("partial"));
        in_tmp || !resumable && path.extension().is_some_and(|extension| extension == "part")
    };
    files_below(folder).into_iter().filter(is_passing).collect()
}
