//! What people may see of a peer.

use super::{Peer, Standing};
use crate::ground::{Contact, Holding, Id};

/// A peer's state at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Who it is.
    pub me: Contact,
    /// Where it stands in its network.
    pub standing: Standing,
    /// Everybody it knows, nearest first.
    pub contacts: Vec<Contact>,
    /// Those of them that must not all die together: on the ring, its successor list.
    pub lifeline: Vec<Contact>,
    /// Who shows it first: on the ring, its predecessor.
    pub watcher: Option<Contact>,
    /// What it holds.
    pub files: Vec<Holding>,
}

impl Peer {
    /// What people may see.
    pub fn view(&self) -> View {
        View {
            me: self.me,
            standing: self.standing,
            contacts: self.overlay.contacts(),
            lifeline: self.overlay.lifeline(),
            watcher: self.overlay.watcher(),
            files: self.shelf.iter().map(|(_, (manifest, _))| manifest.holding()).collect(),
        }
    }

    /// Everybody it knows, nearest first.
    pub fn contacts(&self) -> Vec<Contact> {
        self.overlay.contacts()
    }

    /// Those of them that must not all die together.
    pub fn lifeline(&self) -> Vec<Contact> {
        self.overlay.lifeline()
    }

    /// Up to `count` contacts near a key: those it would name to who asks.
    pub fn near(&self, key: Id, count: usize) -> Vec<Contact> {
        self.overlay.near(key, count).contacts
    }

    /// Who it is.
    pub fn id(&self) -> Id {
        self.me.id
    }

    /// Where it stands in its network.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// It is leaving, or gone: whoever drives it refuses files for it.
    pub fn takes_nothing(&self) -> bool {
        self.leaving.is_some() || self.standing == Standing::Gone
    }

    /// Counts up whenever one of its contacts comes or goes.
    pub fn changes(&self) -> u64 {
        self.overlay.changes()
    }

    /// Whether a place is its own to keep, as far as it knows.
    pub fn owns(&self, place: Id) -> bool {
        self.overlay.owns(place)
    }
}
