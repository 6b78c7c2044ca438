//! A peer's socket, for as long as it runs.

use super::folder::FolderError;
use super::plates;
use super::routes::{self, Control};
use super::schema::{Hex, Mode, Plate};
use crate::ground::Naming;
use crate::live::{Event, Host, Kind};
use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{broadcast, oneshot};
use tokio::task::{self, JoinHandle};
use tokio::time::timeout;

/// How long the last replies may take to leave. Guess: a line to a process of this machine, which may be busy.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Why a peer takes no commands from other processes.
#[derive(Debug, Error)]
pub enum ServeError {
    /// There is no folder for its socket.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The socket, or the file that leads to it, cannot be made.
    #[error("cannot make {}: {error}", .path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Takes commands for a peer. Dropped, it leaves nothing behind.
pub struct Server {
    path: PathBuf,
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Listens, and can be found from now on. `events`: all that the host tells.
    pub fn start(
        host: Host,
        events: broadcast::Receiver<Event>,
        naming: Naming,
        overlay: Kind,
    ) -> Result<Server, ServeError> {
        let pid = process::id();
        let (listener, socket) = plates::bind(pid)?;
        let plate = plate(&host, naming, overlay, socket.clone());
        let path = plates::leave(&plate).inspect_err(|_| plates::remove(&socket, &socket))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let router = routes::router(Arc::new(Control::new(host, naming, events, plate)));
        let serving = task::spawn(async move {
            let until = async { drop(stopped.await) };
            // It ends when it is told to, and never fails: what goes wrong with a caller is the caller's.
            let _ = axum::serve(listener, router).with_graceful_shutdown(until).await;
        });
        // So that what was killed does not heap up where nobody gives commands.
        task::spawn(async { drop(plates::running().await) });
        Ok(Server { path, socket, stop: Some(stop), serving })
    }

    /// Takes no more commands, and lets the last replies leave.
    pub async fn close(mut self) {
        self.stop.take();
        let _ = timeout(LAST_WORDS, &mut self.serving).await;
    }
}

/// What is said of a peer that takes commands at this socket.
pub fn plate(host: &Host, naming: Naming, overlay: Kind, socket: PathBuf) -> Plate {
    Plate {
        name: naming.call(host.id()),
        id: Hex(*host.id().as_bytes()),
        addrs: host.addrs().to_vec(),
        mode: match overlay {
            Kind::Ring(_) => Mode::Ring,
            Kind::Kademlia(_) => Mode::Kademlia,
        },
        naming: naming.into(),
        pid: process::id(),
        socket,
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        plates::remove(&self.path, &self.socket);
        self.serving.abort();
    }
}
