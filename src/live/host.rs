//! A running peer as its clients see it.

use super::advertising::Advertised;
use super::body::{Body, seed};
use super::config::{Beginning, Config};
use super::door;
use super::hands::Hands;
use super::interest::Interest;
use super::life::{Fate, Life};
use super::memory::{self, Remembered};
use super::meters::Look;
use super::neighbours::{self, Place};
use super::orders::{Delivery, Orders};
use super::reading::{Arriving, Growing, NoRoom, Opened};
use super::scrub;
use super::sockets::{Bound, only_own_family};
use super::sweeping;
use crate::ground::item::text_value;
use crate::ground::naming::BadName;
use crate::ground::{Content, FileName, Id, Item, Secret};
use crate::peer::{self, Answer, Command, News, Publication, Ruler, Sought, Start, Ticket, Whom};
use crate::store::{Store, StoreError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{self, Runtime};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{self, JoinSet};

/// How often a port is chosen by the system until it is free for UDP and TCP.
const PORT_TRIES: usize = 20;

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
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Something nobody asked for.
    News(News),
    /// The end of a command.
    Answer {
        /// The command's.
        ticket: Ticket,
        /// The key it was about, where it was given by [`Host::set`] or [`Host::get`].
        subject: Option<String>,
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
    id: Id,
    addrs: Arc<[SocketAddr]>,
    /// The running peer has them: whoever only asks does not keep them.
    hands: Weak<Hands>,
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
    /// Nobody has this name.
    #[error("no host of the network is found at {place} ({error}): start it first, or say another one")]
    Unnamed {
        /// Whom it was to join.
        place: Place,
        /// What the system says.
        error: io::Error,
    },
    /// Nobody could be told to come there.
    #[error(
        "nobody reaches this peer at {place} ({error}): advertise an address that leads here, or a name that has it"
    )]
    Unreachable {
        /// Where it was to be reached.
        place: Place,
        /// What the system says.
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
    /// No keeper would take so long a value.
    #[error("a value has at most {most} bytes, its length and a colon before it included: this one has {len}", most = Item::MAX_VALUE_BYTES)]
    ValueTooLong {
        /// What it has.
        len: usize,
    },
    /// No file can have this path.
    #[error("this path is no text: give the file another name")]
    BadPath,
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
    Store { word: String, name: FileName, ttl: Option<Duration> },
    /// With where its bytes are to be put.
    Request { name: FileName, version: Option<u64>, delivery: Option<Delivery> },
    /// About a value under a key that people know.
    Value { key: String, command: Command },
    /// For the peer as it is.
    Plain(Command),
    /// Not for the peer, which is not asked.
    Vanish,
    /// Not for the peer: to see it.
    Look(oneshot::Sender<Look>),
}

/// A runtime for hosts: one thread for all that waits, and a few more where something blocks.
pub fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().max_blocking_threads(Hands::MOST_THREADS).build()
}

impl Host {
    /// Starts a peer on the current runtime, as soon as it is known where those are whom it joins. The receiver hears everything from the beginning.
    pub async fn start(config: Config) -> Result<(Host, broadcast::Receiver<Event>), StartError> {
        let (bound, doors) = listen(config.addr, config.also)?;
        let own = bound.addrs().map_err(|error| listen_error(config.addr, error))?;
        let (start, places) = match config.start {
            Beginning::Ring(successors) => (Start::Ring(successors), Vec::new()),
            Beginning::Join(places) => (Start::Join(addrs_of(&places).await?), places),
        };
        let advertised = match config.advertise {
            Some(place) => Some(Advertised::looked_up(place, &own).await.map_err(unreachable)?),
            None => None,
        };
        let folders = if config.addr.port() == 0 { config.folders.at_port(own[0].port()) } else { config.folders };
        let store = Store::open(&folders.store, config.quota)?;
        sweeping::sweep(&folders, &store);
        let Remembered { id, journal, memory } = memory::open(&folders.store, config.identity)?;
        let peer_config = peer::Config {
            id,
            addr: own[0],
            reached_at: advertised.as_ref().map_or_else(Vec::new, |advertised| advertised.addrs.clone()),
            naming: config.naming,
            start,
            ping_interval: config.ping_interval,
            overlay: config.overlay,
            replicas: config.replicas,
            seed: seed(),
            held: store.held().into_iter().map(|kept| (kept.manifest, kept.left)).collect(),
            keeps_files: true,
            read_only: false,
            both_families: own.len() > 1,
            memory,
        };

        let (happen, happenings) = mpsc::channel(WAITING_HAPPENINGS);
        let (orders, wishes) = mpsc::channel(WAITING_ORDERS);
        let (events, first_listener) = broadcast::channel(KEPT_EVENTS);
        let body = Body::new(bound, peer_config, Some(journal)).map_err(|error| listen_error(config.addr, error))?;
        let port = advertised.as_ref().map_or(own[0].port(), Advertised::port);
        let hands = Arc::new(Hands::new(id, port, folders, store, config.limits, happen));
        let (mut tasks, reached) = (JoinSet::new(), Arc::downgrade(&hands));
        for door in doors {
            tasks.spawn(door::keep(door, hands.clone()));
        }
        tasks.spawn(scrub::keep_on(hands.clone(), config.scrub));
        tasks.spawn(sweeping::keep_on(hands.clone()));
        if let Some(advertised) = advertised {
            tasks.spawn(advertised.keep_on(own.clone(), hands.clone()));
        }
        if !places.is_empty() {
            tasks.spawn(neighbours::keep_on(places, orders.downgrade(), hands.clone()));
        }
        let life = Life { body, hands, happenings, wishes, events, orders: Orders::default(), tasks, fate: Fate::Live };
        task::spawn(life.live());
        Ok((Host { orders, id, addrs: own.into(), hands: reached }, first_listener))
    }

    /// Who it is.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Where it listens.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Keeps a file in the network: a path, or what [`source::find`](crate::store::source::find) finds by it. Its name
    /// there is the last component.
    pub fn store(&self, word: &str) -> Result<Reply, Unheard> {
        let last = Path::new(word).file_name().and_then(|name| name.to_str());
        let name = FileName::parse(last.unwrap_or(word))?;
        self.order(Wish::Store { word: word.to_owned(), name, ttl: None })
    }

    /// Keeps the file at a path in the network, under any name; for a while, if that is said.
    pub fn store_as(&self, path: &Path, name: &str, ttl: Option<Duration>) -> Result<Reply, Unheard> {
        let word = path.to_str().ok_or(Unheard::BadPath)?.to_owned();
        self.order(Wish::Store { word, name: FileName::parse(name)?, ttl })
    }

    /// Brings a file here.
    pub fn request(&self, name: &str) -> Result<Reply, Unheard> {
        self.order(Wish::Request { name: FileName::parse(name)?, version: None, delivery: None })
    }

    /// Brings a version of a file here, to a path, as long as the interest in it lasts.
    pub fn request_to(
        &self,
        name: &str,
        version: Option<u64>,
        path: PathBuf,
        interest: Interest,
    ) -> Result<Reply, Unheard> {
        let delivery = Some(Delivery { path, interest });
        self.order(Wish::Request { name: FileName::parse(name)?, version, delivery })
    }

    /// Lets nobody find a file any more.
    pub fn remove(&self, name: &str) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Remove { name: FileName::parse(name)? }))
    }

    /// Finds out who holds which versions of a file; reads all copies, if `verify`; has made good what lacks, if `mend`.
    pub fn inspect(&self, name: &str, verify: bool, mend: bool) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Inspect { name: FileName::parse(name)?, verify, mend }))
    }

    /// Finds out which files there are.
    pub fn list(&self) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::List))
    }

    /// Says whom the peer knows.
    pub fn contacts(&self) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Contacts))
    }

    /// Finds out how long somebody takes to answer.
    pub fn ping(&self, whom: Whom) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Ping(whom)))
    }

    /// Finds who keeps a file, and tells the way: the network's own, or the one that another geometry would take.
    pub fn trace(&self, name: &str, ruler: Option<Ruler>) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Trace { name: FileName::parse(name)?, ruler }))
    }

    /// Keeps a value in the network, under a key that everybody may change who knows it.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<Reply, Unheard> {
        let value = text_value(value);
        if value.len() > Item::MAX_VALUE_BYTES {
            return Err(Unheard::ValueTooLong { len: value.len() });
        }
        let secret = Secret::named(key);
        let publication = Publication::Mutable { secret, salt: Vec::new(), seq: None, cas: None, value };
        let command = Command::Put { publication, promised: true };
        self.order(Wish::Value { key: key.to_owned(), command })
    }

    /// Finds what was [`set`](Host::set) under a key.
    pub fn get(&self, key: &str) -> Result<Reply, Unheard> {
        let command = Command::Find(Sought::Mutable { key: Secret::named(key).public(), salt: Vec::new() });
        self.order(Wish::Value { key: key.to_owned(), command })
    }

    /// Keeps a value in the network, and promises it a day if wanted (BEP 44).
    pub fn put(&self, publication: Publication, promised: bool) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Put { publication, promised }))
    }

    /// Finds a value.
    pub fn find(&self, sought: Sought) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Find(sought)))
    }

    /// Says that a torrent can be had here, at the port we ask from or another one (BEP 5).
    pub fn announce(&self, info_hash: Id, port: Option<u16>, seed: bool) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Announce { info_hash, port, seed }))
    }

    /// Finds who has a torrent and, if wanted, how many they are (BEP 33).
    pub fn find_peers(&self, info_hash: Id, scrape: bool) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::FindPeers { info_hash, scrape }))
    }

    /// Asks those near an id what torrents they know of (BEP 51).
    pub fn sample(&self, target: Id) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Sample(target)))
    }

    /// Hands over, says goodbye, ends.
    pub fn leave(&self) -> Result<Reply, Unheard> {
        self.order(Wish::Plain(Command::Leave))
    }

    /// Ends at once, and tells nobody.
    pub fn vanish(&self) -> Result<Reply, Unheard> {
        self.order(Wish::Vanish)
    }

    /// The peer as it is now.
    pub async fn look(&self) -> Result<Look, Unheard> {
        let (looker, look) = oneshot::channel();
        drop(self.order(Wish::Look(looker))?);
        look.await.map_err(|_| Unheard::Ended)
    }

    /// Opens what is here of the version that answers for a name.
    pub async fn open(&self, name: &FileName) -> Option<Opened> {
        self.hands.upgrade()?.open(name.clone()).await
    }

    /// Makes room for a file of so many bytes, which is to be stored.
    pub async fn arrive(&self, len_bytes: u64) -> Result<Arriving, NoRoom> {
        let hands = self.hands.upgrade().ok_or_else(|| NoRoom::Disk(Unheard::Ended.to_string()))?;
        hands.arrive(len_bytes).await
    }

    /// Where a Request is to put what is fetched only to be read. `stem`: letters and digits, one for each content.
    pub fn fetched_path(&self, stem: &str) -> Result<PathBuf, Unheard> {
        self.hands.upgrade().map(|hands| hands.fetched_path(stem)).ok_or(Unheard::Ended)
    }

    /// Opens what a Request put there, and leaves nothing behind.
    pub async fn open_fetched(&self, path: PathBuf) -> Result<Opened, String> {
        let hands = self.hands.upgrade().ok_or_else(|| Unheard::Ended.to_string())?;
        hands.open_passing(path).await
    }

    /// What has come of a content that is on its way here; none if nothing has.
    pub fn growing(&self, content: &Content) -> Option<Growing> {
        self.hands.upgrade()?.growing(content)
    }

    /// How far a file has come, in bytes, and how many it has; none: it is not on its way.
    pub fn progress(&self, name: &FileName) -> Option<(u64, u64)> {
        self.hands.upgrade()?.exchange.progress.of(name)
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

async fn addrs_of(places: &[Place]) -> Result<Vec<SocketAddr>, StartError> {
    neighbours::addrs_of(places).await.map_err(|(place, error)| StartError::Unnamed { place, error })
}

fn unreachable((place, error): (Place, io::Error)) -> StartError {
    StartError::Unreachable { place, error }
}

/// Sockets and doors at the same port, in both families where that is wanted.
fn listen(addr: SocketAddr, also: Option<SocketAddr>) -> Result<(Bound, Vec<TcpListener>), StartError> {
    let tries = if addr.port() == 0 { PORT_TRIES } else { 1 };
    let mut outcome = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..tries {
        outcome = Bound::at(addr, also).and_then(|bound| {
            let doors: io::Result<_> = bound.addrs()?.into_iter().map(listen_at).collect();
            Ok((bound, doors?))
        });
        if !matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
            break;
        }
    }
    outcome.map_err(|error| listen_error(addr, error))
}

pub(super) fn listen_error(addr: SocketAddr, error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse(addr),
        _ => StartError::Listen { addr, error },
    }
}

/// A door with a long queue before it.
fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    only_own_family(&socket, addr)?;
    // A port is ours again right after we were killed.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(WAITING_CALLERS)
}
