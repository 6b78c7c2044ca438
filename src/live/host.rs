//! The loop that drives a peer: datagrams and other happenings in, sends and tasks out.

use super::config::Config;
use super::door;
use super::hands::{Hands, Happening};
use super::orders::Orders;
use crate::ground::krpc::MAX_DATAGRAM;
use crate::ground::naming::BadName;
use crate::ground::{FileName, Moment};
use crate::peer::{self, Answer, Command, Input, Move, MoveError, News, Output, Peer, Ticket};
use crate::store::{Store, StoreError};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{self, Runtime};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{self, JoinSet};
use tokio::time;

/// Most datagrams read before anything else has its turn. Guess: more than a socket's buffer holds, so that after a
/// pause all answers that are waiting are heard before a timer says that they are late.
const DATAGRAMS_A_TURN: usize = 512;

/// Room for datagrams of strangers that are longer than ours; the rest of a longer one is cut off.
const DATAGRAM_BYTES: usize = 2 * MAX_DATAGRAM;

/// Most commands that wait to be read. Guess: nobody types so fast.
const WAITING_ORDERS: usize = 64;

/// Most happenings that wait to be read; whoever has more waits.
const WAITING_HAPPENINGS: usize = 64;

/// Most events kept for a slow listener, who loses the oldest.
const KEPT_EVENTS: usize = 1024;

/// How long a failing socket is left alone.
const PAUSE: Duration = Duration::from_millis(50);

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
enum Wish {
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
        let tcp = TcpListener::bind(addr).await.map_err(listen)?;
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

fn peer_config(config: &Config, store: &Store) -> peer::Config {
    peer::Config {
        id: config.id,
        addr: config.addr,
        naming: config.naming,
        start: config.start.clone(),
        ping_interval: config.ping_interval,
        fingers: config.fingers,
        replicas: config.replicas,
        seed: seed(),
        held: store.manifests(),
    }
}

/// A number nobody can foresee: what the standard library seeds its maps with.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// All that one running peer has.
struct Life {
    peer: Peer,
    begun: Instant,
    udp: UdpSocket,
    hands: Arc<Hands>,
    happenings: mpsc::Receiver<Happening>,
    wishes: mpsc::Receiver<(Wish, oneshot::Sender<Answer>)>,
    events: broadcast::Sender<Event>,
    orders: Orders,
    tasks: JoinSet<()>,
}

/// Whether to live on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Live,
    Leave,
}

impl Life {
    /// Lives until the peer has left, or nobody holds its host.
    async fn live(mut self) {
        // Before this, sending would be refused.
        let _ = self.udp.writable().await;
        while self.turn().await == Fate::Live {
            let wake = time::Instant::from_std(self.begun) + self.peer.wake_at().elapsed();
            tokio::select! {
                biased;
                readable = self.udp.readable() => if readable.is_err() {
                    time::sleep(PAUSE).await;
                },
                Some(happening) = self.happenings.recv() => self.happened(happening),
                wish = self.wishes.recv() => match wish {
                    Some((wish, reply)) => self.begin(wish, reply),
                    None => return,
                },
                Some(_) = self.tasks.join_next() => {}
                () = time::sleep_until(wake) => {}
            }
        }
    }

    /// One turn: everything that has happened, in the order that is fairest to others. Their datagrams first, so that
    /// nobody is called late because we were; the clock last.
    async fn turn(&mut self) -> Fate {
        if self.hear() == DATAGRAMS_A_TURN {
            // A flood: the other tasks have their turn too.
            task::yield_now().await;
        }
        if self.peer.wake_at() <= self.now() {
            self.peer.handle(self.now(), Input::Wake);
        }
        self.perform()
    }

    /// Reads what waits in the socket. Returns how many datagrams that were.
    fn hear(&mut self) -> usize {
        let mut buffer = [0; DATAGRAM_BYTES];
        for count in 0..DATAGRAMS_A_TURN {
            match self.udp.try_recv_from(&mut buffer) {
                Ok((len, from)) => {
                    let bytes = buffer[..len].to_vec();
                    self.peer.handle(self.now(), Input::Datagram { from, bytes });
                }
                Err(_) => return count,
            }
        }
        DATAGRAMS_A_TURN
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Input(input) => self.peer.handle(self.now(), input),
            Happening::News(news) => self.tell(Event::News(news)),
            Happening::Sourced { ticket, name, found: Ok((path, content)) } => {
                self.orders.set_source(ticket, path);
                self.command(ticket, Command::Store { name, content });
            }
            Happening::Sourced { ticket, name, found: Err(reason) } => {
                self.answer(ticket, Answer::Failed { name, reason });
            }
        }
    }

    fn begin(&mut self, wish: Wish, reply: oneshot::Sender<Answer>) {
        let ticket = self.orders.open(reply);
        match wish {
            Wish::Plain(command) => self.command(ticket, command),
            Wish::Store { word, name } => _ = self.tasks.spawn(self.hands.clone().find_source(ticket, word, name)),
        }
    }

    fn command(&mut self, ticket: Ticket, command: Command) {
        self.peer.handle(self.now(), Input::Command { ticket, command });
    }

    /// Does all that the peer wants done.
    fn perform(&mut self) -> Fate {
        let mut fate = Fate::Live;
        while let Some(output) = self.peer.poll() {
            match output {
                // A full buffer loses a datagram as any link may.
                Output::Send { to, bytes } => _ = self.udp.try_send_to(&bytes, to),
                Output::Move { ticket, task } => self.carry(ticket, task),
                Output::Probe { addr } => _ = self.tasks.spawn(self.hands.clone().probe(addr)),
                Output::Look { ticket, name } => _ = self.tasks.spawn(self.hands.clone().look(ticket, name)),
                Output::Forget(manifest) => _ = self.tasks.spawn(self.hands.clone().forget(manifest)),
                Output::Answer { ticket, answer } => {
                    if answer == Answer::Left {
                        fate = Fate::Leave;
                    }
                    self.answer(ticket, answer);
                }
                Output::News(news) => self.tell(Event::News(news)),
            }
        }
        fate
    }

    /// Starts moving bytes, unless the command that they are for has its end already.
    fn carry(&mut self, ticket: Ticket, task: Move) {
        let hands = self.hands.clone();
        let begun = match task {
            Move::Keep { manifest, source } => self.orders.source(source).map(|path| {
                self.tasks.spawn(hands.keep(ticket, manifest, path));
            }),
            Move::Upload { manifest, source: None, to } => {
                self.tasks.spawn(hands.upload(ticket, manifest, None, to));
                Some(())
            }
            Move::Upload { manifest, source: Some(source), to } => self.orders.source(source).map(|path| {
                self.tasks.spawn(hands.upload(ticket, manifest, Some(path), to));
            }),
            Move::Download { name, content, from, order } => self.orders.basket(order).map(|basket| {
                self.tasks.spawn(hands.download(ticket, name, content, from, basket));
            }),
            Move::Deliver { name, content, order } => self.orders.basket(order).map(|basket| {
                self.tasks.spawn(hands.deliver(ticket, name, content, basket));
            }),
        };
        if begun.is_none() {
            let outcome = Err(MoveError::Local("the command it is for has ended".to_owned()));
            self.peer.handle(self.now(), Input::Moved { ticket, outcome });
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.tell(Event::Answer { ticket, answer: answer.clone() });
        self.orders.close(ticket, answer);
    }

    fn tell(&self, event: Event) {
        // Nobody need listen.
        let _ = self.events.send(event);
    }

    fn now(&self) -> Moment {
        Moment::after(self.begun.elapsed())
    }
}
