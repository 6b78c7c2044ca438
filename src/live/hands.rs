//! Work that takes time, each in a task of its own: looking at files, knocking at doors, and (in `carry`) moving
//! files. All of it is bounded.

use super::body::seed;
use super::config::Folders;
use super::lines::Pool;
use super::orders::Source;
use crate::ground::{FileName, Id, Manifest};
use crate::peer::{Input, News, Ticket};
use crate::store::{Store, source};
use crate::transfer::{Exchange, Limits};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task;
use tokio::time::timeout;

/// Most questions of others that are answered at once; more wait at the `door`. Guess: so many that those who are slow,
/// or wait for the uplink, do not shut the others out.
const INCOMING: usize = 64;
/// Most transfers that we began, at once; more wait.
const OUTGOING: usize = 8;
/// Most files read or hashed at once, apart from transfers.
const AT_FILES: usize = 4;
/// Most looks into folders at once: these are short, and must not wait for files that are hashed.
const LOOKING: usize = 4;
/// Most pieces of files read or written at once for programs, each for a moment: so hundreds of them do not take the
/// threads of those who transfer.
const READING: usize = 4;
/// Most doors knocked at, at once.
const KNOCKING: usize = 32;

/// How long a machine takes to open a port that is held open, if it lives and can be reached.
const KNOCK: Duration = Duration::from_secs(1);

/// What the hands bring back.
pub enum Happening {
    /// For the peer.
    Input(Input),
    /// For whoever listens.
    News(News),
    /// The file a Store is about was looked for.
    Sourced {
        /// The command's.
        ticket: Ticket,
        /// The file's name in the network.
        name: FileName,
        /// Where and what it is, or why it cannot be stored.
        found: Result<Source, String>,
    },
}

/// What all tasks of a host share.
pub struct Hands {
    pub(super) id: Id,
    pub(super) port: u16,
    pub(super) folders: Folders,
    pub(super) store: Store,
    pub(super) exchange: Exchange,
    pub(super) lines: Pool,
    happen: mpsc::Sender<Happening>,
    pub(super) incoming: Semaphore,
    pub(super) outgoing: Semaphore,
    pub(super) at_files: Semaphore,
    pub(super) reading: Semaphore,
    knocking: Semaphore,
    looking: Semaphore,
    closed: AtomicBool,
}

impl Hands {
    /// Threads for all that blocks; one looks names up.
    pub const MOST_THREADS: usize = INCOMING + OUTGOING + AT_FILES + LOOKING + READING + 1;

    /// The hands of peer `id`, which others ask at `port`.
    pub fn new(
        id: Id,
        port: u16,
        folders: Folders,
        store: Store,
        limits: Limits,
        happen: mpsc::Sender<Happening>,
    ) -> Hands {
        let sizes = [INCOMING, OUTGOING, AT_FILES, READING, KNOCKING, LOOKING];
        let [incoming, outgoing, at_files, reading, knocking, looking] = sizes.map(Semaphore::new);
        let closed = AtomicBool::new(false);
        let (exchange, lines) = (Exchange::new(limits, seed()), Pool::default());
        Hands {
            id,
            port,
            folders,
            store,
            exchange,
            lines,
            happen,
            incoming,
            outgoing,
            at_files,
            reading,
            knocking,
            looking,
            closed,
        }
    }

    /// Says what happened.
    pub async fn happen(&self, happening: Happening) {
        // Where the host has ended, nobody need know.
        let _ = self.happen.send(happening).await;
    }

    /// Says what happened, from a thread that may block.
    pub fn say(&self, happening: Happening) {
        let _ = self.happen.blocking_send(happening);
    }

    /// Finds and hashes what a Store is about: a file of the working folder or its `files`, or any path.
    pub async fn find_source(self: Arc<Self>, ticket: Ticket, word: String, name: FileName) {
        let _turn = turn(&self.at_files).await;
        let hands = self.clone();
        let found = block(move || {
            let path = hands.find(&word).unwrap_or_else(|| hands.folders.work.join(&word));
            let (mut file, _) = source::open(&path).map_err(|error| error.to_string())?;
            let pieces = source::hash(&mut file);
            pieces.map(|pieces| Source { path, pieces }).map_err(|error| format!("it cannot be read: {error}"))
        });
        let found = found.await;
        self.happen(Happening::Sourced { ticket, name, found }).await;
    }

    /// Looks for an assignment's file that nobody stored.
    pub async fn look(self: Arc<Self>, ticket: Ticket, name: FileName) {
        let _turn = turn(&self.looking).await;
        let hands = self.clone();
        let found = block(move || hands.find_unstored(&name).is_some()).await;
        self.happen(Happening::Input(Input::Looked { ticket, found })).await;
    }

    /// Drops copies. At once, though it blocks for a moment: later they might be copies that were given anew.
    pub fn forget(&self, manifests: Vec<Manifest>) {
        // What the disk does not let go is found again at the next start, and offered to its keepers.
        let _ = self.store.forget_all(manifests);
    }

    /// From now on nobody gives us anything to keep.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// We are leaving.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Finds out whether somebody holds this port open.
    pub async fn probe(self: Arc<Self>, addr: SocketAddr) {
        let _turn = turn(&self.knocking).await;
        let open = matches!(timeout(KNOCK, TcpStream::connect(addr)).await, Ok(Ok(_)));
        self.happen(Happening::Input(Input::Probed { addr, open })).await;
    }

    /// Where an assignment's file lies that nobody stored.
    pub fn find_unstored(&self, name: &FileName) -> Option<PathBuf> {
        name.four_digits().and_then(|_| self.find(name.as_str()))
    }

    fn find(&self, word: &str) -> Option<PathBuf> {
        source::find(word, &[self.folders.work.clone(), self.folders.work.join("files")])
    }
}

/// Waits until it is our turn; kept for as long as what is returned.
pub async fn turn(semaphore: &Semaphore) -> SemaphorePermit<'_> {
    semaphore.acquire().await.expect("it is never closed")
}

/// Runs `work` on a thread where it may block.
pub async fn block<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    task::spawn_blocking(work).await.expect("it does not panic, and is awaited only while the runtime lives")
}
