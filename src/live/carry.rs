//! Moving files: between the disk and other peers' doors.

use super::body::seed;
use super::hands::{Hands, Happening, block, turn};
use super::orders::{Delivery, Source};
use crate::ground::{Contact, Content, FileName, Manifest};
use crate::peer::{Input, MoveError, News, Ticket};
use crate::store::pieces::{Pieces, chunk_count};
use crate::store::{Arrival, StoreError, check_destination, source};
use crate::transfer::{self, AfterTalk, Get, Order, Payload, Put, Served, Told};
use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

impl Hands {
    /// Takes a version into our own store. `source`: its bytes, where it has some.
    pub async fn keep(self: Arc<Self>, ticket: Ticket, manifest: Manifest, source: Option<Source>) {
        let _turn = turn(&self.at_files).await;
        let hands = self.clone();
        let outcome = block(move || {
            match source {
                None => _ = hands.store.adopt(&manifest, manifest.ttl, true)?,
                Some(source) => hands.store.keep(&manifest, manifest.ttl, true, &mut open(&source.path)?.0)?,
            }
            Ok(())
        });
        let outcome = outcome.await;
        self.moved(ticket, outcome).await;
    }

    /// Gives a version to another peer's store. `source`: its bytes, where it is just being stored and has some; else they
    /// are our own copy's.
    pub async fn upload(self: Arc<Self>, ticket: Ticket, put: Put, source: Option<Source>, to: Contact) {
        let _turn = turn(&self.outgoing).await;
        let hands = self.clone();
        let outcome = block(move || {
            let content = put.manifest.content;
            let is_own = source.is_none();
            let bytes = match source {
                _ if content.is_removed() => None,
                Some(source) => Some((open(&source.path)?.0, source.pieces)),
                None => Some(hands.own_bytes(&content)?),
            };
            let given = transfer::converse(&hands.lines, to.addr, |line| {
                let payload = bytes.as_ref().map(|(file, pieces)| Payload { pieces, file });
                transfer::upload(line, &put, payload, &hands.exchange)?;
                Ok(((), AfterTalk::Reuse))
            });
            if given == Err(MoveError::Damaged) && is_own {
                // Perhaps it was so before it left.
                hands.say_damaged(transfer::examine(&hands.store, &put.manifest.name, true, || Ok(()))?.1);
            }
            given
        });
        let outcome = outcome.await;
        self.moved(ticket, outcome).await;
    }

    /// Gets a file from other peers, and puts it where people find it.
    pub async fn download(
        self: Arc<Self>,
        ticket: Ticket,
        name: FileName,
        content: Option<Content>,
        from: Vec<Contact>,
        delivery: Delivery,
    ) {
        let _turn = turn(&self.outgoing).await;
        let hands = self.clone();
        let outcome = block(move || {
            let Delivery { path: destination, interest } = delivery;
            check_destination(&destination)?;
            let tell = |told| {
                let name = name.clone();
                hands.say(Happening::News(match told {
                    Told::Receiving(from) => News::Receiving { name, from },
                    Told::Failed(holder, error) => News::HolderFailed { name, holder, error },
                }));
            };
            match content {
                Some(content) => {
                    let (me, port, seed) = (hands.id, hands.port, seed());
                    let order = Order { name: &name, content, me, port, destination: &destination, seed };
                    let wanted = || interest.lasts();
                    transfer::take(&order, &from, &hands.lines, &hands.exchange, &tell, &wanted)
                }
                None => {
                    let get = Get { name: name.clone(), content: None, from: hands.id, port: hands.port };
                    transfer::fetch(&get, &from, &destination, &hands.lines, &tell)
                }
            }
        });
        let outcome = outcome.await;
        self.moved(ticket, outcome).await;
    }

    /// Puts a file that we have ourselves where people find it.
    pub async fn deliver(
        self: Arc<Self>,
        ticket: Ticket,
        name: FileName,
        content: Option<Content>,
        destination: PathBuf,
    ) {
        let _turn = turn(&self.at_files).await;
        let hands = self.clone();
        let outcome = block(move || {
            let (mut file, len_bytes) = hands.own_file(&name, content).ok_or(MoveError::Missing)?;
            let mut arrival = Arrival::at(&destination)?;
            let copied = arrival.copy(&mut file, len_bytes, content).map_err(|error| match error {
                // Of our own copy nobody but the disk has taken anything: others may have a better one.
                StoreError::Changed if content.is_some() => MoveError::Damaged,
                error => error.into(),
            });
            if let (Some(content), Err(MoveError::Damaged)) = (content, &copied) {
                hands.say_damaged(hands.store.set_damaged(&content, Some(&file))?);
            }
            copied?;
            Ok(arrival.finish()?)
        });
        let outcome = outcome.await;
        self.moved(ticket, outcome).await;
    }

    /// Finds out which versions of a name a peer holds, perhaps we.
    pub async fn inspect(self: Arc<Self>, ticket: Ticket, name: FileName, at: Contact, verify: bool) {
        let _turn = turn(if at.id == self.id { &self.at_files } else { &self.outgoing }).await;
        let hands = self.clone();
        let outcome = block(move || {
            if at.id == hands.id {
                let (copies, damaged) = transfer::examine(&hands.store, &name, verify, || Ok(()))?;
                hands.say_damaged(damaged);
                return Ok(copies);
            }
            hands.ask(at, |line| transfer::inspect(line, &name, verify))
        });
        let outcome = outcome.await;
        self.happen(Happening::Input(Input::Inspected { ticket, outcome })).await;
    }

    /// Finds out which names a peer holds, perhaps we.
    pub async fn list(self: Arc<Self>, ticket: Ticket, at: Contact) {
        let _turn = turn(&self.outgoing).await;
        let hands = self.clone();
        let outcome = block(move || {
            if at.id == hands.id {
                return Ok(hands.answering());
            }
            hands.ask(at, transfer::list)
        });
        let outcome = outcome.await;
        self.happen(Happening::Input(Input::Listed { ticket, outcome })).await;
    }

    fn ask<T>(
        &self,
        at: Contact,
        mut talk: impl FnMut(&mut TcpStream) -> Result<T, MoveError>,
    ) -> Result<T, MoveError> {
        transfer::converse(&self.lines, at.addr, |line| Ok((talk(line)?, AfterTalk::Reuse)))
    }

    /// What we give to those who ask for this file: content that we have or get just now; where they do not ask for
    /// certain bytes, of the assignment's files also what lies in the working folder.
    pub fn served(&self, name: &FileName, wanted: Option<Content>) -> Option<Served> {
        let Some(content) = wanted else {
            let (file, len_bytes) = self.own_file(name, None)?;
            return Some(Served::Lying { file, len_bytes });
        };
        match self.store.refers_to(&content) {
            true => {
                let file = self.store.open_content(&content).ok()?;
                let list = self.store.pieces(&content);
                let pieces = list.and_then(|list| Pieces::from_bytes(content, &list));
                Some(Served::Whole { file, content, pieces })
            }
            false => self.exchange.arriving(&content),
        }
    }

    /// The version that answers for each name here.
    pub fn answering(&self) -> Vec<Manifest> {
        let mut answering: Vec<Manifest> = Vec::new();
        // The highest version of each name comes first.
        for kept in self.store.held() {
            if answering.last().is_none_or(|last| last.name != kept.manifest.name) {
                answering.push(kept.manifest);
            }
        }
        answering
    }

    /// Tells the peer which of its copies turned out to be damaged.
    pub fn say_damaged(&self, damaged: Vec<Manifest>) {
        damaged.into_iter().for_each(|manifest| self.say(Happening::Input(Input::Damaged(manifest))));
    }

    /// Tells the peer what its store has got.
    pub fn say_received(&self, manifest: Manifest, left: Option<Duration>) {
        self.say(Happening::Input(Input::Received { manifest, left }));
    }

    /// Our copy, and the list of its chunks.
    pub fn own_bytes(&self, content: &Content) -> Result<(File, Pieces), MoveError> {
        let mut file = self.store.open_content(content).map_err(|_| MoveError::Missing)?;
        let list = if chunk_count(content.len_bytes) == 1 { Some(Vec::new()) } else { self.store.pieces(content) };
        let pieces = match list.and_then(|list| Pieces::from_bytes(*content, &list)) {
            Some(pieces) => pieces,
            None => source::hash(&mut file).map_err(|error| MoveError::Local(format!("it cannot be read: {error}")))?,
        };
        Ok((file, pieces))
    }

    /// A file that we have: from our store, or, whatever its bytes are, from the working folder.
    fn own_file(&self, name: &FileName, wanted: Option<Content>) -> Option<(File, u64)> {
        let held = || self.store.get(&name.key()).map(|manifest| manifest.content);
        match wanted.or_else(held).filter(|content| !content.is_removed() && self.store.refers_to(content)) {
            Some(content) => Some((self.store.open_content(&content).ok()?, content.len_bytes)),
            None if wanted.is_none() => open(&self.find_unstored(name)?).ok(),
            None => None,
        }
    }

    async fn moved(&self, ticket: Ticket, outcome: Result<(), MoveError>) {
        self.happen(Happening::Input(Input::Moved { ticket, outcome })).await;
    }
}

fn open(path: &Path) -> Result<(File, u64), MoveError> {
    source::open(path).map_err(|error| MoveError::Local(error.to_string()))
}
