//! What clients of a host wait for, and what is kept for them meanwhile.

use crate::peer::{Answer, Ticket};
use crate::store::Arrival;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// The bytes of a Request's file that are here so far; taken by the one who adds to them.
pub type Basket = Arc<Mutex<Option<Arrival>>>;

/// All commands that have no answer yet.
#[derive(Default)]
pub struct Orders {
    open: BTreeMap<Ticket, Order>,
    last: u64,
}

struct Order {
    reply: oneshot::Sender<Answer>,
    subject: Option<String>,
    source: Option<PathBuf>,
    basket: Basket,
}

impl Orders {
    /// Opens an order. `subject`: the key it is about, where its answer does not say so.
    pub fn open(&mut self, reply: oneshot::Sender<Answer>, subject: Option<String>) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.open.insert(ticket, Order { reply, subject, source: None, basket: Basket::default() });
        ticket
    }

    /// Notes where the bytes are that a Store is about.
    pub fn set_source(&mut self, ticket: Ticket, path: PathBuf) {
        if let Some(order) = self.open.get_mut(&ticket) {
            order.source = Some(path);
        }
    }

    /// Where the bytes are that a Store is about.
    pub fn source(&self, ticket: Ticket) -> Option<PathBuf> {
        self.open.get(&ticket)?.source.clone()
    }

    /// What a Request has so far.
    pub fn basket(&self, ticket: Ticket) -> Option<Basket> {
        self.open.get(&ticket).map(|order| order.basket.clone())
    }

    /// Ends an order: whoever waits gets the answer, and what was kept for it goes. Returns its subject.
    pub fn close(&mut self, ticket: Ticket, answer: Answer) -> Option<String> {
        let order = self.open.remove(&ticket)?;
        // Whoever asked may be gone.
        let _ = order.reply.send(answer);
        order.subject
    }
}
