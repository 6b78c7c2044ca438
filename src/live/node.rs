//! A plain node of the DHT: a peer with UDP only, which keeps no files.

use super::body::{Body, seed};
use super::config::Identity;
use super::host::{StartError, Unheard, listen_error};
use super::memory::{self, Remembered};
use super::sockets::Bound;
use crate::ground::{Id, Naming};
use crate::overlay::{Kind, Tuning};
use crate::peer::{self, Answer, Command, Input, JoinError, News, Output, Publication, Sought, Start, Ticket};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task;

/// Most commands that wait to be read.
const WAITING_ORDERS: usize = 32;

/// Time between two rounds of pings. Nobody is shown them; the tables are kept fresh.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// How a node starts.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Nodes of the network it joins; with none, it begins one.
    pub bootstrap: Vec<SocketAddr>,
    /// What can be chosen in Kademlia.
    pub tuning: Tuning,
    /// Only asks, and is nobody's contact (BEP 43).
    pub read_only: bool,
    /// Who it is; none: drawn by lot, and kept in the folder, if there is one.
    pub id: Option<Id>,
    /// Where it notes what the next run should know; none: nowhere.
    pub folder: Option<PathBuf>,
}

/// A running node. Clones are the same node; when the last is dropped, it is gone.
#[derive(Clone)]
pub struct Node {
    id: Id,
    addrs: Vec<SocketAddr>,
    orders: mpsc::Sender<Order>,
    joined: watch::Receiver<Option<Result<(), JoinError>>>,
}

type Order = (Command, oneshot::Sender<Answer>);

impl Node {
    /// Starts a node on the current runtime. With port 0 the system chooses one.
    pub fn start(addr: SocketAddr, setup: Setup) -> Result<Node, StartError> {
        Node::start_at(Bound::at(addr, None).map_err(|error| listen_error(addr, error))?, setup)
    }

    /// Starts a node on the current runtime, at sockets bound before.
    pub fn start_at(bound: Bound, setup: Setup) -> Result<Node, StartError> {
        let unbound = SocketAddr::from(([0, 0, 0, 0], 0));
        let addrs = bound.addrs().map_err(|error| listen_error(unbound, error))?;
        let addr = addrs[0];
        let (id, journal, memory) = match setup.folder {
            None => (setup.id.unwrap_or_else(memory::drawn), None, Vec::new()),
            Some(folder) => {
                let identity = setup.id.map_or(Identity::Kept { bits: Id::BITS }, Identity::Given);
                let Remembered { id, journal, memory } = memory::open(&folder, identity)?;
                (id, Some(journal), memory)
            }
        };
        let alone = setup.bootstrap.is_empty();
        let config = peer::Config {
            id,
            addr,
            reached_at: Vec::new(),
            naming: Naming::Hashed,
            start: if alone { Start::Ring(Vec::new()) } else { Start::Join(setup.bootstrap) },
            ping_interval: PING_INTERVAL,
            overlay: Kind::Kademlia(setup.tuning),
            replicas: 1,
            seed: seed(),
            held: Vec::new(),
            keeps_files: false,
            read_only: setup.read_only,
            both_families: addrs.len() > 1,
            memory,
        };
        let body = Body::new(bound, config, journal).map_err(|error| listen_error(addr, error))?;
        let (orders, wishes) = mpsc::channel(WAITING_ORDERS);
        let (joining, joined) = watch::channel(alone.then_some(Ok(())));
        let life = Life { body, wishes, joining, open: BTreeMap::new(), last: 0 };
        task::spawn(life.live());
        Ok(Node { id, addrs, orders, joined })
    }

    /// Who it is.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Where it listens.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Resolves when it is in the network, or nobody has answered.
    pub async fn joined(&self) -> Result<(), JoinError> {
        let mut joined = self.joined.clone();
        let outcome = joined.wait_for(Option::is_some).await;
        // A node that has ended unasked could not join, and said so.
        outcome.ok().and_then(|outcome| outcome.clone()).unwrap_or(Ok(()))
    }

    /// Keeps a value in the network (BEP 44), for as long as the network does so by itself.
    pub async fn put(&self, publication: Publication) -> Result<Answer, Unheard> {
        self.ask(Command::Put { publication, promised: false }).await
    }

    /// Finds a value.
    pub async fn find(&self, sought: Sought) -> Result<Answer, Unheard> {
        self.ask(Command::Find(sought)).await
    }

    /// Says that a torrent can be had here, at the port we ask from or another one (BEP 5).
    pub async fn announce(&self, info_hash: Id, port: Option<u16>, seed: bool) -> Result<Answer, Unheard> {
        self.ask(Command::Announce { info_hash, port, seed }).await
    }

    /// Finds who has a torrent and, if wanted, how many they are (BEP 33).
    pub async fn find_peers(&self, info_hash: Id, scrape: bool) -> Result<Answer, Unheard> {
        self.ask(Command::FindPeers { info_hash, scrape }).await
    }

    /// Asks those near an id what torrents they know of (BEP 51).
    pub async fn sample(&self, target: Id) -> Result<Answer, Unheard> {
        self.ask(Command::Sample(target)).await
    }

    /// Leaves the network.
    pub async fn leave(&self) -> Result<Answer, Unheard> {
        self.ask(Command::Leave).await
    }

    /// Gives any command, and waits for its answer.
    pub async fn ask(&self, command: Command) -> Result<Answer, Unheard> {
        let (reply, answer) = oneshot::channel();
        self.orders.send((command, reply)).await.map_err(|_| Unheard::Ended)?;
        answer.await.map_err(|_| Unheard::Ended)
    }
}

/// All that a running node has.
struct Life {
    body: Body,
    wishes: mpsc::Receiver<Order>,
    joining: watch::Sender<Option<Result<(), JoinError>>>,
    open: BTreeMap<Ticket, oneshot::Sender<Answer>>,
    last: u64,
}

impl Life {
    /// Lives until the node has left or could not join, or nobody holds it.
    async fn live(mut self) {
        self.body.ready().await;
        loop {
            let flooded = self.body.hear();
            self.body.wake();
            if self.perform() {
                return;
            }
            if flooded {
                task::yield_now().await;
                if let Ok(order) = self.wishes.try_recv() {
                    self.begin(order);
                }
                continue;
            }
            tokio::select! {
                biased;
                order = self.wishes.recv() => match order {
                    Some(order) => self.begin(order),
                    None => return,
                },
                () = self.body.stir() => {}
            }
        }
    }

    fn begin(&mut self, (command, reply): Order) {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.open.insert(ticket, reply);
        self.body.tell(Input::Command { ticket, command });
    }

    /// Does all that the peer wants done. True: that was all.
    fn perform(&mut self) -> bool {
        let mut ended = false;
        while let Some(output) = self.body.poll() {
            match output {
                Output::Answer { ticket, answer } => {
                    ended |= answer == Answer::Left;
                    if let Some(reply) = self.open.remove(&ticket) {
                        // Whoever asked may be gone.
                        let _ = reply.send(answer);
                    }
                }
                Output::News(News::Joined(_)) => _ = self.joining.send(Some(Ok(()))),
                Output::News(News::JoinFailed(error)) => {
                    ended = true;
                    let _ = self.joining.send(Some(Err(error)));
                }
                Output::News(_) => {}
                // Nothing is known of who has no door.
                Output::Probe { addr } => self.body.tell(Input::Probed { addr, open: false }),
                Output::Look { ticket, .. } => self.body.tell(Input::Looked { ticket, found: false }),
                Output::Move { ticket, .. } => {
                    let outcome = Err(peer::MoveError::Local("this node moves no files".to_owned()));
                    self.body.tell(Input::Moved { ticket, outcome });
                }
                Output::Forget(_) => {}
                Output::Send { .. } | Output::Note { .. } => unreachable!("the body does these"),
            }
        }
        ended
    }
}
