//! A peer's HTTP interface, for as long as it runs.

use super::accept::{self, Door};
use super::control::Control;
use super::folder::{self, FolderError};
use super::guard::Guard;
use super::schema::{Hex, Mode, Plate};
use super::token::Token;
use super::told::{self, Told};
use super::{log, plates, routes};
use crate::ground::Naming;
use crate::live::{self, Event, Host, Kind};
use axum::Router;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{broadcast, watch};
use tokio::task::{self, JoinSet};
use tokio::time::timeout;

/// How long the last replies may take to leave. Guess: a line to a process of this machine, which may be busy.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Files and sockets for a peer that answers HTTP over TCP: each of 512 downloads has one of both, and the peer some.
const HANDLES: u64 = 2048;

/// Most callers the system lets wait for us. With 128, as the standard library has it, the 500 connections of
/// tests/http.rs did not even find the queue.
const WAITING_CALLERS: u32 = 4096;

/// What of the interface is for choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where HTTP is answered over TCP; port 0: the system chooses one. None: only at the Unix socket.
    pub http: Option<SocketAddr>,
    /// Names by which this machine is asked, apart from its addresses and `localhost`.
    pub names: Vec<String>,
    /// Where all that is told is written too.
    pub log: Option<PathBuf>,
}

/// What settings need, had before the peer starts: who asked for it hears at once that it cannot be.
pub struct Opened {
    listener: Option<TcpListener>,
    names: Vec<String>,
    log: Option<File>,
}

/// Why a peer takes no commands from other processes.
#[derive(Debug, Error)]
pub enum ServeError {
    /// There is no folder for its socket.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The socket, or a file that leads to it, or the log, cannot be made.
    #[error("cannot make {}: {error}", .path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Somebody listens there already, or we may not.
    #[error("cannot answer HTTP at {addr}: {error}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        error: io::Error,
    },
}

/// Takes commands for a peer. Dropped, it leaves nothing behind.
pub struct Server {
    path: PathBuf,
    plate: Plate,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Settings {
    /// Listens, and opens the log. To be called on the runtime that the peer is to run on.
    pub fn open(self) -> Result<Opened, ServeError> {
        let listener = match self.http {
            Some(addr) => {
                live::allow_handles(HANDLES);
                Some(listen_at(addr).map_err(|error| ServeError::Listen { addr, error })?)
            }
            None => None,
        };
        let log = match self.log {
            // It tells who stores what: that is nobody else's business.
            Some(path) => {
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
                Some(file.map_err(|error| ServeError::Socket { path, error })?)
            }
            None => None,
        };
        Ok(Opened { listener, names: self.names, log })
    }
}

impl Server {
    /// Listens, and can be found from now on. `events`: all that the host tells.
    pub fn start(
        host: Host,
        events: broadcast::Receiver<Event>,
        naming: Naming,
        overlay: Kind,
        opened: Opened,
    ) -> Result<Server, ServeError> {
        let (told, (stop, stopped)) = (Arc::<Told>::default(), watch::channel(false));
        let mut tasks = JoinSet::new();
        tasks.spawn(told::listen(told.clone(), events.resubscribe(), naming, host.id()));
        if let Some(file) = opened.log {
            tasks.spawn(log::keep(told.clone(), file, stopped.clone()));
        }
        let (listener, socket) = plates::bind(process::id())?;
        let mut server = Server { path: PathBuf::new(), plate: plate(&host, naming, overlay, socket), stop, tasks };
        let guarded = match opened.listener {
            Some(listener) => Some(server.guard(listener, opened.names)?),
            None => None,
        };
        server.path = plates::leave(&server.plate)?;
        let control = Arc::new(Control::new(host, naming, events, server.plate.clone(), told));
        if let Some((listener, guard)) = guarded {
            server.serve(Door::Tcp(listener), routes::router(control.clone(), Some(guard)));
        }
        server.serve(Door::Unix(listener), routes::router(control, None));
        // So that what was killed does not heap up where nobody gives commands.
        task::spawn(async { drop(plates::running().await) });
        Ok(server)
    }

    /// How it is found.
    pub fn plate(&self) -> &Plate {
        &self.plate
    }

    /// Takes no more commands, and lets the last replies leave.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        let _ = timeout(LAST_WORDS, async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    /// Makes a token for those who ask over TCP.
    fn guard(&mut self, listener: TcpListener, names: Vec<String>) -> Result<(TcpListener, Guard), ServeError> {
        let path = plates::token_path(&folder::private()?, process::id());
        let failed = |error| ServeError::Socket { path: path.clone(), error };
        let (token, addr) = (Token::leave(&path).map_err(failed)?, listener.local_addr().map_err(failed)?);
        (self.plate.http, self.plate.token) = (Some(addr), Some(path));
        Ok((listener, Guard::new(addr, names, token)))
    }

    fn serve(&mut self, door: Door, router: Router) {
        self.tasks.spawn(accept::keep(door, router, self.stop.subscribe()));
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

/// What is said of a peer that takes commands at this socket.
pub fn plate(host: &Host, naming: Naming, overlay: Kind, socket: PathBuf) -> Plate {
    Plate {
        name: naming.call(host.id()),
        id: Hex(*host.id().as_bytes()),
        addrs: host.addrs().to_vec(),
        mode: match overlay {
            Kind::Ring { .. } => Mode::Ring,
            Kind::Kademlia(_) => Mode::Kademlia,
        },
        naming: naming.into(),
        pid: process::id(),
        socket,
        http: None,
        token: None,
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        plates::remove(&self.path, &self.plate.socket);
        if let Some(token) = &self.plate.token {
            // What is gone already need not go.
            let _ = fs::remove_file(token);
        }
    }
}
