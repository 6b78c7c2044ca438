//! Callers: so many at once, each with so much time to say what it wants.

use super::patient::Patient;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Most connections at once at a door, where the process may have as many files open; who comes then waits.
const MOST_CONNECTIONS: u64 = 512;

/// So much of the files that the process may have open is for connections at one door: the peer itself needs some.
const SHARE_OF_HANDLES: u64 = 4;

/// How long to wait where no connection can be taken: the process has no file handles left.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a caller may take for what comes before a body, and be silent between two requests.
const HEADERS: Duration = Duration::from_secs(10);

/// Most bytes of a request before its body, and most of its headers. Guess: ten times what browsers send.
const MAX_HEADER_BYTES: usize = 32 << 10;
const MAX_HEADERS: usize = 100;

/// Most bytes that wait to be read or written on a connection, apart from a chunk of a file.
const BUFFER_BYTES: usize = 128 << 10;

/// Where callers come from.
pub enum Door {
    /// This machine, and our own user.
    Unix(UnixListener),
    /// Anywhere.
    Tcp(TcpListener),
}

trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Line for S {}

impl Door {
    async fn next(&self, room: &Arc<Semaphore>) -> io::Result<(Box<dyn Line>, OwnedSemaphorePermit)> {
        let place = room.clone().acquire_owned().await.expect("it is never closed");
        let line: Box<dyn Line> = match self {
            Door::Unix(listener) => Box::new(listener.accept().await?.0),
            Door::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        Ok((line, place))
    }
}

/// Answers callers until `stop` says so; ends when the last has heard all.
pub async fn keep(door: Door, router: Router, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(most_connections()));
    let mut callers = JoinSet::new();
    let stopping = stop.clone();
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            caller = door.next(&room) => match caller {
                Ok((line, place)) => {
                    let (router, stop) = (router.clone(), stopping.clone());
                    callers.spawn(async move {
                        serve(line, router, stop).await;
                        drop(place);
                    });
                }
                // No handles are left, or the caller is gone: without a pause the first would take all our time.
                Err(_) => sleep(PAUSE).await,
            },
            Some(_) = callers.join_next() => {}
        }
    }
    drop(door);
    while callers.join_next().await.is_some() {}
}

async fn serve(line: Box<dyn Line>, router: Router, mut stop: watch::Receiver<bool>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    builder.max_headers(MAX_HEADERS).max_header_size(MAX_HEADER_BYTES).max_buf_size(BUFFER_BYTES);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Patient::new(line)), service));
    // What goes wrong with a caller is the caller's.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = told(&mut stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Resolves when it is said that all ends, or nobody is left to say so.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// How many may be connected at a door.
pub fn most_connections() -> usize {
    let handles = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    MOST_CONNECTIONS.min(handles / SHARE_OF_HANDLES).max(1) as usize
}
