//! What clients of a host wait for, and what is kept for them meanwhile.

use super::interest::Interest;
use crate::peer::{Answer, Ticket};
use crate::store::Pieces;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;

/// The file that a Store is about.
#[derive(Clone)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub pieces: Pieces,
}

/// Where a Request's bytes are to be put.
#[derive(Clone)]
pub struct Delivery {
    /// The file they become.
    pub path: PathBuf,
    /// Whether somebody waits for them.
    pub interest: Interest,
}

/// All commands that have no answer yet.
#[derive(Default)]
pub struct Orders {
    open: BTreeMap<Ticket, Order>,
    last: u64,
}

struct Order {
    reply: oneshot::Sender<Answer>,
    subject: Option<String>,
    source: Option<Source>,
    /// How long a Store's file is to be kept.
    ttl: Option<Duration>,
    /// Where a Request's bytes are to be put, if not where they always are.
    delivery: Option<Delivery>,
}

impl Orders {
    /// Opens an order. `subject`: the key it is about, where its answer does not say so.
    pub fn open(&mut self, reply: oneshot::Sender<Answer>, subject: Option<String>) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.open.insert(ticket, Order { reply, subject, source: None, ttl: None, delivery: None });
        ticket
    }

    /// Notes the file that a Store is about.
    pub fn set_source(&mut self, ticket: Ticket, source: Source) {
        if let Some(order) = self.open.get_mut(&ticket) {
            order.source = Some(source);
        }
    }

    /// The file that a Store is about.
    pub fn source(&self, ticket: Ticket) -> Option<Source> {
        self.open.get(&ticket)?.source.clone()
    }

    /// Notes how long a Store's file is to be kept.
    pub fn set_ttl(&mut self, ticket: Ticket, ttl: Option<Duration>) {
        if let Some(order) = self.open.get_mut(&ticket) {
            order.ttl = ttl;
        }
    }

    /// How long a Store's file is to be kept.
    pub fn ttl(&self, ticket: Ticket) -> Option<Duration> {
        self.open.get(&ticket)?.ttl
    }

    /// Notes where a Request's bytes are to be put.
    pub fn set_delivery(&mut self, ticket: Ticket, delivery: Option<Delivery>) {
        if let Some(order) = self.open.get_mut(&ticket) {
            order.delivery = delivery;
        }
    }

    /// Where a Request's bytes are to be put, if not where they always are.
    pub fn delivery(&self, ticket: Ticket) -> Option<Delivery> {
        self.open.get(&ticket)?.delivery.clone()
    }

    /// Whether a command has no answer yet.
    pub fn is_open(&self, ticket: Ticket) -> bool {
        self.open.contains_key(&ticket)
    }

    /// Ends an order: whoever waits gets the answer, and what was kept for it goes. Returns its subject.
    pub fn close(&mut self, ticket: Ticket, answer: Answer) -> Option<String> {
        let order = self.open.remove(&ticket)?;
        // Whoever asked may be gone.
        let _ = order.reply.send(answer);
        order.subject
    }
}
