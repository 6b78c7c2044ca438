//! The loop that drives a peer: datagrams and other happenings in, sends and tasks out.

use super::body::Body;
use super::hands::{Hands, Happening};
use super::host::{Event, Wish};
use super::interest::Interest;
use super::meters::Look;
use super::orders::{Delivery, Orders};
use crate::ground::{FileName, Manifest};
use crate::peer::{Answer, Command, Input, Move, MoveError, Output, Ticket};
use crate::transfer::Put;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{self, JoinSet};

/// All that one running peer has.
pub struct Life {
    pub body: Body,
    pub hands: Arc<Hands>,
    pub happenings: mpsc::Receiver<Happening>,
    pub wishes: mpsc::Receiver<(Wish, oneshot::Sender<Answer>)>,
    pub events: broadcast::Sender<Event>,
    pub orders: Orders,
    pub tasks: JoinSet<()>,
    pub fate: Fate,
}

/// Whether to live on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Yes.
    Live,
    /// No: it has left, or shall vanish.
    End,
}

impl Life {
    /// Lives until the peer has left, or nobody holds its host.
    pub async fn live(mut self) {
        self.body.ready().await;
        while self.turn().await == Fate::Live {
            tokio::select! {
                biased;
                Some(happening) = self.happenings.recv() => self.happened(happening),
                wish = self.wishes.recv() => match wish {
                    Some((wish, reply)) => self.begin(wish, reply),
                    None => return,
                },
                Some(_) = self.tasks.join_next() => {}
                () = self.body.stir() => {}
            }
        }
    }

    /// One turn: everything that has happened, in the order that is fairest to others. Their datagrams first, so that
    /// nobody is called late because we were; the clock last.
    async fn turn(&mut self) -> Fate {
        if self.body.hear() {
            self.survive_flood().await;
        }
        if self.fate == Fate::Live {
            self.body.wake();
            self.perform();
        }
        self.fate
    }

    /// While datagrams never end, all others have a little of each turn.
    async fn survive_flood(&mut self) {
        task::yield_now().await;
        if let Ok(happening) = self.happenings.try_recv() {
            self.happened(happening);
        }
        if let Ok((wish, reply)) = self.wishes.try_recv() {
            self.begin(wish, reply);
        }
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Input(input) => {
                if self.is_still_so(&input) {
                    self.body.tell(input);
                }
            }
            Happening::News(news) => self.tell(Event::News(news)),
            Happening::Sourced { ticket, name, found: Ok(source) } => {
                let (content, ttl) = (source.pieces.content(), self.orders.ttl(ticket));
                self.orders.set_source(ticket, source);
                self.command(ticket, Command::Store { name, content, ttl });
            }
            Happening::Sourced { ticket, name, found: Err(reason) } => {
                self.answer(ticket, Answer::Failed { name, reason });
            }
        }
    }

    /// The store may have changed since this was said: a version that came may be dropped by now, one that was dropped may
    /// have come again. What the peer believes of it must not be older than the store.
    fn is_still_so(&self, input: &Input) -> bool {
        match input {
            Input::Received { manifest, .. } => self.hands.store.keeps(manifest),
            Input::Damaged(manifest) => !self.hands.store.keeps(manifest),
            Input::Command { .. }
            | Input::Datagram { .. }
            | Input::Moved { .. }
            | Input::Inspected { .. }
            | Input::Listed { .. }
            | Input::Probed { .. }
            | Input::Unreachable(_)
            | Input::Known(_)
            | Input::ReachedAt(_)
            | Input::Looked { .. }
            | Input::Wake => true,
        }
    }

    fn begin(&mut self, wish: Wish, reply: oneshot::Sender<Answer>) {
        let (subject, wish) = match wish {
            Wish::Look(looker) => {
                let (view, meters) = (self.body.view(), self.body.meters);
                let look = Look { view, meters, used_bytes: self.hands.store.used_bytes() };
                // Whoever asked may be gone.
                let _ = looker.send(look);
                return;
            }
            Wish::Value { key, command } => (Some(key), Wish::Plain(command)),
            Wish::Vanish => {
                self.fate = Fate::End;
                let _ = reply.send(Answer::Left);
                return;
            }
            wish => (None, wish),
        };
        let ticket = self.orders.open(reply, subject);
        match wish {
            Wish::Plain(command) | Wish::Value { command, .. } => self.command(ticket, command),
            Wish::Request { name, version, delivery } => {
                self.orders.set_delivery(ticket, delivery);
                self.command(ticket, Command::Request { name, version });
            }
            Wish::Store { word, name, ttl } => {
                self.orders.set_ttl(ticket, ttl);
                self.tasks.spawn(self.hands.clone().find_source(ticket, word, name));
            }
            Wish::Look(_) | Wish::Vanish => unreachable!("they have left above"),
        }
    }

    fn command(&mut self, ticket: Ticket, command: Command) {
        match command {
            Command::Leave => self.hands.close(),
            Command::Request { .. } => self.body.meters.requests += 1,
            Command::Store { .. }
            | Command::Remove { .. }
            | Command::Inspect { .. }
            | Command::List
            | Command::Put { .. }
            | Command::Find(_)
            | Command::Announce { .. }
            | Command::FindPeers { .. }
            | Command::Sample(_)
            | Command::Trace { .. }
            | Command::LookUp { .. }
            | Command::Contacts
            | Command::Ping(_) => {}
        }
        self.body.meters.lookups += u64::from(command.is_about_places());
        self.body.tell(Input::Command { ticket, command });
    }

    /// Does all that the peer wants done.
    fn perform(&mut self) {
        let mut forgotten = Vec::new();
        while let Some(output) = self.body.poll() {
            match output {
                Output::Move { ticket, task } => self.carry(ticket, task),
                Output::Probe { addr } => _ = self.tasks.spawn(self.hands.clone().probe(addr)),
                Output::Look { ticket, name } => _ = self.tasks.spawn(self.hands.clone().look(ticket, name)),
                Output::Forget(manifest) => forgotten.push(manifest),
                Output::Send { .. } | Output::Note { .. } => unreachable!("the body does these"),
                Output::Answer { ticket, answer } => {
                    if answer == Answer::Left {
                        self.fate = Fate::End;
                    }
                    self.answer(ticket, answer);
                }
                Output::News(news) => self.tell(Event::News(news)),
            }
        }
        // Together: each commit waits for the disk, and so does everybody who waits for us.
        if !forgotten.is_empty() {
            self.hands.forget(forgotten);
        }
    }

    /// Starts moving bytes, unless the command that they are for has its end already.
    fn carry(&mut self, ticket: Ticket, task: Move) {
        match &task {
            Move::Upload { source: None, .. } => self.body.meters.repairs += 1,
            Move::Upload { source: Some(_), .. } | Move::Keep { .. } | Move::Download { .. } | Move::Deliver { .. } => {
                self.body.meters.transfers += 1
            }
            Move::Inspect { .. } | Move::List { .. } => {}
        }
        let hands = self.hands.clone();
        let source = |ticket, manifest: &Manifest| match self.orders.source(ticket) {
            None if manifest.content.is_removed() && self.orders.is_open(ticket) => Some(None),
            source => source.map(Some),
        };
        let delivery = |order, name: &FileName| {
            let usual = || Delivery { path: self.hands.folders.received(name), interest: Interest::LASTING };
            self.orders.delivery(order).unwrap_or_else(usual)
        };
        let begun = match task {
            Move::Keep { manifest, source: order } => source(order, &manifest).map(|source| {
                self.tasks.spawn(hands.keep(ticket, manifest, source));
            }),
            Move::Upload { manifest, left, source: None, to } => {
                let put = Put { manifest, left, fresh: false, from: hands.id };
                self.tasks.spawn(hands.upload(ticket, put, None, to));
                Some(())
            }
            Move::Upload { manifest, left, source: Some(order), to } => source(order, &manifest).map(|source| {
                let put = Put { manifest, left, fresh: true, from: hands.id };
                self.tasks.spawn(hands.upload(ticket, put, source, to));
            }),
            Move::Download { name, content, from, order } => self.orders.is_open(order).then(|| {
                let to = delivery(order, &name);
                self.tasks.spawn(hands.download(ticket, name, content, from, to));
            }),
            Move::Deliver { name, content, order } => self.orders.is_open(order).then(|| {
                let to = delivery(order, &name).path;
                self.tasks.spawn(hands.deliver(ticket, name, content, to));
            }),
            Move::Inspect { name, at, verify } => {
                self.tasks.spawn(hands.inspect(ticket, name, at, verify));
                Some(())
            }
            Move::List { at } => {
                self.tasks.spawn(hands.list(ticket, at));
                Some(())
            }
        };
        if begun.is_none() {
            let outcome = Err(MoveError::Local("the command it is for has ended".to_owned()));
            self.body.tell(Input::Moved { ticket, outcome });
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let subject = self.orders.close(ticket, answer.clone());
        self.tell(Event::Answer { ticket, subject, answer });
    }

    fn tell(&self, event: Event) {
        // Nobody need listen.
        let _ = self.events.send(event);
    }
}
