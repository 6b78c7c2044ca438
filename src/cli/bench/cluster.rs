//! Nodes in processes of their own, on this machine, in one passing folder. Dropped, all of it is gone.

use super::material::{Image, Text};
use super::ours::{Kept, Ours};
use super::python::Python;
use super::{OverlayName, failed};
use crate::cli::client::Passing;
use crate::web::schema::Trouble;
use std::env;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most nodes of a network. Guess: what two cores carry without measuring themselves.
pub const MOST_NODES: usize = 200;

/// How often somebody else takes the port that was free. Guess: once is rare.
const PORT_TRIES: usize = 3;

/// Which program the nodes are of, and what all of them are told.
#[derive(Clone, Debug)]
pub enum Engine {
    /// This program.
    Ours {
        /// Who is near what.
        overlay: OverlayName,
        /// How many keep a value in Kademlia.
        k: usize,
        /// How many keep a file.
        replicas: usize,
        /// How larger things are kept.
        kept: Kept,
    },
    /// The yardstick, run by this interpreter.
    Python {
        /// The interpreter.
        interpreter: PathBuf,
        /// How many keep a value.
        k: usize,
    },
}

/// One thing that is kept.
#[derive(Clone, Copy, Debug)]
pub enum Thing<'t> {
    /// An image.
    Image(&'t Image),
    /// A string.
    Text(&'t Text),
}

/// A write that is done.
#[derive(Clone, Debug)]
pub struct Written {
    /// How long it took.
    pub took: Duration,
    /// In how many parts it is kept.
    pub chunks: usize,
    /// How many bytes were given to the network.
    pub bytes: usize,
    /// The ids of those who keep it; one for each part that they keep. Unknown of the yardstick.
    pub holders: Vec<String>,
}

/// A read that is done.
#[derive(Clone, Copy, Debug)]
pub struct Got {
    /// How long it took.
    pub took: Duration,
    /// In how many parts it came.
    pub chunks: usize,
    /// It is what was written.
    pub right: bool,
    /// It came from the reader itself, as far as it says.
    pub own: bool,
}

/// A node of either program.
pub enum Node {
    /// A peer of ours.
    Ours(Ours),
    /// One of the yardstick.
    Python(Python),
}

impl Node {
    /// Has something kept.
    pub async fn write(&mut self, thing: Thing<'_>) -> Result<Written, Trouble> {
        match self {
            Node::Ours(peer) => peer.write(thing).await,
            Node::Python(node) => node.write(thing).await,
        }
    }

    /// Reads it, and compares.
    pub async fn read(&mut self, thing: Thing<'_>) -> Result<Got, Trouble> {
        match self {
            Node::Ours(peer) => peer.read(thing).await,
            Node::Python(node) => node.read(thing).await,
        }
    }

    /// Of how many parts of it this node is a keeper itself.
    pub async fn held(&mut self, thing: Thing<'_>, written: &Written) -> Result<usize, Trouble> {
        match self {
            Node::Ours(peer) => {
                let id = peer.plate.id.to_string();
                Ok(written.holders.iter().filter(|holder| **holder == id).count())
            }
            Node::Python(node) => node.held(thing, written.chunks).await,
        }
    }

    /// Says goodbye, as far as its program does, and is gone.
    pub async fn leave(&mut self) -> Result<(), Trouble> {
        match self {
            Node::Ours(peer) => peer.leave().await,
            Node::Python(node) => node.leave().await,
        }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        match self {
            Node::Ours(peer) => peer.process.kill(),
            Node::Python(node) => node.process.kill(),
        }
    }

    fn port(&self) -> u16 {
        match self {
            Node::Ours(peer) => peer.plate.addrs[0].port(),
            Node::Python(node) => node.port,
        }
    }
}

/// Several nodes.
pub struct Cluster {
    /// In the order of their start. Before the folder, so that nobody writes there when it goes.
    pub nodes: Vec<Node>,
    engine: Engine,
    scratch: Passing,
}

impl Cluster {
    /// Without nodes yet.
    pub fn new(engine: Engine) -> Result<Cluster, Trouble> {
        Ok(Cluster { nodes: Vec::new(), engine, scratch: scratch()? })
    }

    /// Starts a node that joins another one. Returns its place among the nodes when it has joined.
    pub async fn start(&mut self, joins: Option<usize>, options: &[String]) -> Result<usize, Trouble> {
        if self.nodes.len() >= MOST_NODES {
            return Err(failed(format!("a network here has at most {MOST_NODES} nodes")));
        }
        let at = self.nodes.len();
        let known = joins.map(|at| self.nodes[at].port());
        let root = self.scratch.file("");
        let node = match &self.engine {
            Engine::Ours { overlay, k, replicas, kept } => {
                let mut tries = 0;
                loop {
                    let words = words(*overlay, *k, *replicas, known)?;
                    tries += 1;
                    match Ours::start(&root, at, &[&words, options].concat(), known.is_some(), *kept).await {
                        Ok(peer) => break Node::Ours(peer),
                        Err(_) if tries < PORT_TRIES => {}
                        Err(trouble) => return Err(trouble),
                    }
                }
            }
            Engine::Python { interpreter, k } => {
                Node::Python(Python::start(interpreter, &root, *k, free_port()?, known).await?)
            }
        };
        self.nodes.push(node);
        Ok(at)
    }

    /// Those of ours, which alone are told of peers' plates.
    pub fn ours(&mut self, at: usize) -> &mut Ours {
        match &mut self.nodes[at] {
            Node::Ours(peer) => peer,
            Node::Python(_) => unreachable!("asked only of networks of ours"),
        }
    }
}

/// A folder for one experiment.
pub fn scratch() -> Result<Passing, Trouble> {
    let folder = env::temp_dir();
    let unmade = |error| failed(format!("cannot write in {}: {error}; TMPDIR names another folder", folder.display()));
    Passing::within(&folder).map_err(unmade)
}

/// Where experiments keep their folders.
pub fn scratch_is_in() -> String {
    Path::new(&env::temp_dir()).display().to_string()
}

/// The command line of a peer.
fn words(overlay: OverlayName, k: usize, replicas: usize, known: Option<u16>) -> Result<Vec<String>, Trouble> {
    let known = known.map(|port| format!("127.0.0.1:{port}"));
    let replicas = replicas.to_string();
    let words: Vec<String> = match (overlay, known) {
        (OverlayName::Kademlia, known) => {
            let k = k.to_string();
            let words = ["join", "--kademlia", "--listen", "127.0.0.1:0", "--k", &k].map(str::to_owned);
            let remote = known.into_iter().flat_map(|known| ["--remote".to_owned(), known]);
            words.into_iter().chain(remote).collect()
        }
        // A peer of a ring has its place by its address, so the port is chosen before it starts.
        (OverlayName::Ring, None) => vec!["init".to_owned(), format!("127.0.0.1:{}", free_port()?)],
        (OverlayName::Ring, Some(known)) => {
            vec!["join".to_owned(), format!("127.0.0.1:{}", free_port()?), known, "1".to_owned()]
        }
    };
    Ok(words.into_iter().chain(["--replicas".to_owned(), replicas]).collect())
}

/// A port that the system said was free a moment ago, for UDP and TCP.
fn free_port() -> Result<u16, Trouble> {
    let free = || {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = tcp.local_addr()?.port();
        UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).map(|_| port)
    };
    let found = (0..PORT_TRIES).find_map(|_| free().ok());
    found.ok_or_else(|| failed("the system gives no free port at 127.0.0.1"))
}
