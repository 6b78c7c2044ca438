//! A running peer as its clients see it.

use super::config::Config;
use super::door;
use super::hands::Hands;
use super::life::Life;
use super::orders::Orders;
use crate::ground::naming::BadName;
use crate::ground::{FileName, Moment};
use crate::peer::{self, Answer, Command, News, Peer, Ticket};
use crate::store::{Store, StoreError};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::runtime::{self, Runtime};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{self, JoinSet};

/// Most commands that wait to be read. Guess: nobody types so fast.
const WAITING_ORDERS: usize = 64;

/// Most happenings that wait to be read; whoever has more waits.
const WAITING_HAPPENINGS: usize = 64;

/// Most callers the system lets wait for us. While we are paused all neighbours knock, and to whom the queue is full we
/// are dead: with 128, as the standard library has it, six neighbours filled it within 21 s at an interval of 1 s.
const WAITING_CALLERS: u32 = 4096;

/// Most events kept for a slow listener, who loses the oldest.
const KEPT_EVENTS: usize = 1024;

/// What a host tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something nobody asked for.
    News(News),
    /// The end of a command.
    Answer {
        /// The command's.
        ticket: Ticket,
        /// How it ended.
        answer: Answer,
    },
}

/// Resolves to a command's answer; to an error if the host ends without one.
pub type Reply = oneshot::Receiver<Answer>;

/// A running peer. Clones are the same peer; when the last is dropped, it is gone without a word to anybody.
#[derive(Clone)]
pub struct Host {
    orders: mpsc::Sender<(Wish, oneshot::Sender<Answer>)>,
}

/// Why a host cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Somebody listens there already.
    #[error("{0} is in use already")]
    PortInUse(SocketAddr),
    /// The address is not ours, or we may not listen there.
    #[error("cannot listen at {addr}: {error}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The working folder is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command was not even begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unheard {
    /// No file can have this name.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// Too many commands wait.
    #[error("too many commands at once: wait for an answer")]
    Busy,
    /// The peer has left.
    #[error("this peer has left the network")]
    Ended,
}

/// A command as its client gives it.
pub(super) enum Wish {
    /// To be found, read and hashed before the peer hears of it.
    Store { word: String, name: FileName },
    /// For the peer as it is.
    Plain(Command),
}

/// A runtime for hosts: one thread for all that waits, and a few more where something blocks.
pub fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().max_blocking_threads(Hands::MOST_THREADS).build()
}

impl Host {
    /// Starts a peer on the current runtime. The receiver hears everything from the beginning.
    pub async fn start(config: Config) -> Result<(Host, broadcast::Receiver<Event>), StartError> {
        let addr = config.addr;
        let listen = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => StartError::PortInUse(addr),
            _ => StartError::Listen { addr, error },
        };
        let udp = UdpSocket::bind(addr).await.map_err(listen)?;
        let tcp = listen_at(addr).map_err(listen)?;
        let store = Store::open(&config.folders.store)?;

        let (happen, happenings) = mpsc::channel(WAITING_HAPPENINGS);
        let (orders, wishes) = mpsc::channel(WAITING_ORDERS);
        let (events, first_listener) = broadcast::channel(KEPT_EVENTS);
        let begun = Instant::now();
        let peer = Peer::new(Moment::START, peer_config(&config, &store));
        let hands = Arc::new(Hands::new(config.id, config.folders, store, happen));
        let mut tasks = JoinSet::new();
        tasks.spawn(door::keep(tcp, hands.clone()));
        let life = Life { peer, begun, udp, hands, happenings, wishes, events, orders: Orders::default(), tasks };
        task::spawn(life.live());
        Ok((Host { orders }, first_listener))
    }

    /// Keeps a file in the network: a path, or what [`source::find`](crate::store::source::find) finds by it. Its name
    /// there is the last component.
    pub fn store(&self, word: &str) -> Result<Reply, Unheard> {
        let last = Path::new(word).file_name().and_then(|name| name.to_str());
        let name = FileName::parse(last.unwrap_or(word))?;
        self.order(Wish::Store { word: word.to_owned(), name })
    }

    /// Brings a file here.
    pub fn request(&self, name: &str) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Request { name: FileName::parse(name)? }))
    }

    /// Hands over, says goodbye, ends.
    pub fn leave(&self) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Leave))
    }

    /// Resolves when the peer has left.
    pub async fn ended(&self) {
        self.orders.closed().await;
    }

    fn order(&self, wish: Wish) -> Result<Reply, Unheard> {
        let (reply, answer) = oneshot::channel();
        self.orders.try_send((wish, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unheard::Busy,
            mpsc::error::TrySendError::Closed(_) => Unheard::Ended,
        })?;
        Ok(answer)
    }
}

/// A door with a long queue before it.
fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port is ours again right after we were killed.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(WAITING_CALLERS)
}

fn peer_config(config: &Config, store: &Store) -> peer::Config {
    peer::Config {
        id: config.id,
        addr: config.addr,
        naming: config.naming,
        start: config.start.clone(),
        ping_interval: config.ping_interval,
        overlay: config.overlay,
        replicas: config.replicas,
        seed: seed(),
        held: store.manifests(),
    }
}

/// A number nobody can foresee: what the standard library seeds its maps with.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
