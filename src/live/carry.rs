//! Moving files: between the disk and other peers' doors.

use super::hands::{Hands, Happening, block, turn};
use super::orders::Basket;
use crate::ground::{Contact, Content, FileName, Manifest};
use crate::peer::{Input, MoveError, News, Ticket};
use crate::store::{Arrival, source};
use crate::transfer::{self, Served};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long another machine may be silent in the middle of a transfer, and how long it takes at most to call it.
pub const SILENCE: Duration = Duration::from_secs(10);

impl Hands {
    /// Takes a file into our own store.
    pub async fn keep(self: Arc<Self>, ticket: Ticket, manifest: Manifest, path: PathBuf) {
        let _turn = turn(&self.at_files).await;
        let hands = self.clone();
        let outcome = block(move || {
            let mut file = open(&path)?.file;
            Ok(hands.store.keep(&manifest, manifest.ttl, true, &mut file)?)
        });
        let outcome = outcome.await;
        self.moved(ticket, outcome).await;
    }

    /// Gives a file to another peer's store: the one at `path`, or our own copy.
    pub async fn upload(self: Arc<Self>, ticket: Ticket, manifest: Manifest, path: Option<PathBuf>, to: Contact) {
        let _turn = turn(&self.outgoing).await;
        let hands = self.clone();
        let outcome = match call(to.addr).await {
            Err(error) => Err(error),
            Ok(mut stream) => {
                block(move || {
                    let file = match path {
                        Some(path) => open(&path)?.file,
                        None => hands.store.open_content(&manifest.content).map_err(|_| MoveError::Missing)?,
                    };
                    transfer::upload(&mut stream, &manifest, file, hands.id)
                })
                .await
            }
        };
        self.moved(ticket, outcome).await;
    }

    /// Gets a file from another peer, and puts it where people find it.
    pub async fn download(
        self: Arc<Self>,
        ticket: Ticket,
        name: FileName,
        content: Option<Content>,
        from: Contact,
        basket: Basket,
    ) {
        let _turn = turn(&self.outgoing).await;
        let continued = has_something(&basket);
        let first = self.download_once(&name, content, from, &basket, true).await;
        let outcome = match first {
            // The wrong bytes may have come from the holder before.
            Err(MoveError::Damaged) if continued => self.download_once(&name, content, from, &basket, false).await,
            outcome => outcome,
        };
        self.moved(ticket, outcome).await;
    }

    async fn download_once(
        self: &Arc<Self>,
        name: &FileName,
        content: Option<Content>,
        from: Contact,
        basket: &Basket,
        telling: bool,
    ) -> Result<(), MoveError> {
        let mut stream = call(from.addr).await?;
        let (hands, name, basket) = (self.clone(), name.clone(), basket.clone());
        block(move || {
            hands.fill(&name, &basket, |arrival| {
                let on_here = |_| {
                    if telling {
                        hands.say(Happening::News(News::Receiving { name: name.clone(), from: from.id }));
                    }
                };
                transfer::download(&mut stream, &name, content, hands.id, arrival, on_here).map(|_| ())
            })
        })
        .await
    }

    /// Puts a file that we have ourselves where people find it.
    pub async fn deliver(self: Arc<Self>, ticket: Ticket, name: FileName, content: Option<Content>, basket: Basket) {
        let _turn = turn(&self.at_files).await;
        let hands = self.clone();
        let outcome = block(move || {
            let Served { mut file, len_bytes, .. } = hands.served(&name, content).ok_or(MoveError::Missing)?;
            hands.fill(&name, &basket, |arrival| Ok(arrival.copy(&mut file, len_bytes, content)?))
        });
        let outcome = outcome.await;
        self.moved(ticket, outcome).await;
    }

    /// What we give to those who ask for this file: our own copy; of the assignment's files also what lies in the
    /// working folder, if they do not ask for certain bytes.
    pub fn served(&self, name: &FileName, wanted: Option<Content>) -> Option<Served> {
        let held = self.store.get(&name.key()).map(|manifest| manifest.content);
        match held.filter(|held| wanted.is_none_or(|wanted| wanted == *held)) {
            Some(content) => {
                let file = self.store.open_content(&content).ok()?;
                Some(Served { file, content: Some(content), len_bytes: content.len_bytes })
            }
            None if wanted.is_none() => open(&self.find_unstored(name)?).ok(),
            None => None,
        }
    }

    /// Lets `work` add to what is in the basket, and places the file if that completes it.
    fn fill(
        &self,
        name: &FileName,
        basket: &Basket,
        work: impl FnOnce(&mut Arrival) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        let begun = basket.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut arrival = begun.map_or_else(|| Arrival::at(&self.folders.received(name)), Ok)?;
        match work(&mut arrival) {
            Ok(()) => Ok(arrival.finish()?),
            Err(error) => {
                *basket.lock().unwrap_or_else(PoisonError::into_inner) = Some(arrival);
                Err(error)
            }
        }
    }

    async fn moved(&self, ticket: Ticket, outcome: Result<(), MoveError>) {
        self.happen(Happening::Input(Input::Moved { ticket, outcome })).await;
    }
}

fn has_something(basket: &Basket) -> bool {
    let basket = basket.lock().unwrap_or_else(PoisonError::into_inner);
    basket.as_ref().is_some_and(|arrival| arrival.len_bytes() > 0)
}

fn open(path: &Path) -> Result<Served, MoveError> {
    let (file, len_bytes) = source::open(path).map_err(|error| MoveError::Local(error.to_string()))?;
    Ok(Served { file, content: None, len_bytes })
}

/// Connects to another peer's door.
async fn call(addr: SocketAddr) -> Result<std::net::TcpStream, MoveError> {
    let stream = match timeout(SILENCE, TcpStream::connect(addr)).await {
        Ok(connected) => connected.and_then(blocking),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    stream.map_err(|error| MoveError::Unreachable(error.kind().to_string()))
}

/// The same connection for a thread that blocks, which never waits longer than [`SILENCE`].
pub fn blocking(stream: TcpStream) -> io::Result<std::net::TcpStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}
