//! Who is asked for content next, and who once more.

use super::super::swarm::SourceId;
use crate::ground::Id;
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

/// Most addresses that are tried for one content. Guess: who is not here by then is not needed.
pub(super) const MOST_TRIED: usize = 48;

/// Somebody to take from.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub id: SourceId,
    pub addr: SocketAddr,
    /// None: another taker.
    pub holder: Option<Id>,
}

/// Who is to be asked.
#[derive(Default)]
pub(super) struct Queue {
    /// All who were ever added.
    known: BTreeSet<SocketAddr>,
    /// Those who were not asked yet, the next one first.
    pub waiting: VecDeque<Source>,
    /// Those who gave something wrong. They are asked for the rest when nobody else has it: copies that are damaged in
    /// different places make a whole one.
    pub damaged: Vec<Source>,
    /// Who has been among those: nobody is twice.
    pub doubted: BTreeSet<SourceId>,
}

impl Queue {
    /// Somebody who may have it, unless there are enough already.
    pub fn add(&mut self, addr: SocketAddr, holder: Option<Id>) {
        if self.known.len() < MOST_TRIED && self.known.insert(addr) {
            self.waiting.push_back(Source { id: self.known.len(), addr, holder });
        }
    }

    /// It gave something wrong.
    pub fn doubt(&mut self, source: Source) {
        if self.doubted.insert(source.id) {
            self.damaged.push(source);
        }
    }
}
