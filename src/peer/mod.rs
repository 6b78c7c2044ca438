//! What one peer does: a value that is told what happened and says what it wants done.

mod interface;

pub use interface::*;

use crate::ground::{Id, Manifest, Moment, Naming};
use std::net::SocketAddr;
use std::time::Duration;

/// How a peer starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub id: Id,
    /// How its network names peers and places files.
    pub naming: Naming,
    /// Whom it knows.
    pub start: Start,
    /// Time between two rounds of shown pings.
    pub ping_interval: Duration,
    /// Answer with the nearest of all it knows, instead of one hop at a time along first successors.
    pub fingers: bool,
    /// How many peers keep a file.
    pub replicas: usize,
    /// For its chances.
    pub seed: u64,
    /// What its store holds from an earlier run.
    pub held: Vec<Manifest>,
}

/// Whom a starting peer knows.
#[derive(Clone, Debug)]
pub enum Start {
    /// A ring of its own, or one whose peers start together and know their successors: none, one or two.
    Ring(Vec<crate::ground::Contact>),
    /// A peer of the ring it joins.
    Join(SocketAddr),
}

/// One peer.
pub struct Peer {}

impl Peer {
    /// A peer that starts now.
    pub fn new(_now: Moment, _config: Config) -> Peer {
        Peer {}
    }

    /// Tells it what happened.
    pub fn handle(&mut self, _now: Moment, _input: Input) {}

    /// What it wants done, until None.
    pub fn poll(&mut self) -> Option<Output> {
        None
    }

    /// When to say [`Input::Wake`].
    pub fn wake_at(&self) -> Moment {
        Moment::NEVER
    }
}
