//! Who is near what: geometries, the one lookup for all of them, and the overlays themselves.
//!
//! An overlay is a *geometry* (how nearness is measured), a *memory* (which contacts to keep) and a *rhythm* (what
//! upkeep is due). It knows nothing of messages: it is told who was heard and says whom to ask.

pub mod lookup;
pub mod ring;

pub use lookup::{Geometry, Lookup, Step};
pub use ring::Ring;

use crate::ground::{Contact, Id, Moment};

/// Upkeep that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chore {
    /// A round of pings that people are shown.
    Round(Vec<Contact>),
    /// Find out quietly whether this contact lives.
    Ping(Contact),
    /// Ask this contact whom it knows near us.
    Consult(Contact),
    /// Look this id up, for what is learnt on the way.
    LookUp(Id),
}

/// Contacts near a key, by both rulers of the geometry: first keepers, nearest first, then those on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Near {
    /// Who is near.
    pub contacts: Vec<Contact>,
    /// So many of the first follow the key without a gap: on the ring, nobody known to be alive is missing among them.
    pub gapless: usize,
    /// These are all there are.
    pub everybody: bool,
}

impl Near {
    /// Those who follow the key without a gap.
    pub fn following(&self) -> &[Contact] {
        &self.contacts[..self.gapless.min(self.contacts.len())]
    }
}

/// A way to keep contacts.
pub trait Overlay: Send {
    /// How nearness is measured.
    fn geometry(&self) -> Geometry;

    /// This peer answered us: it lives. Only this makes a contact.
    fn heard_from(&mut self, now: Moment, contact: Contact);

    /// Somebody says that this peer exists. Is it worth a ping?
    fn heard_of(&self, contact: Contact) -> bool;

    /// It has missed answers: avoid it, but do not forget it yet.
    fn suspect(&mut self, id: Id);

    /// It is silent for good, or said goodbye.
    fn lost(&mut self, now: Moment, id: Id);

    /// Everybody known, nearest first.
    fn contacts(&self) -> Vec<Contact>;

    /// The contact with this id.
    fn contact(&self, id: Id) -> Option<Contact>;

    /// The contacts people are shown: on the ring, the first two successors.
    fn shown(&self) -> Vec<Contact>;

    /// What is shown is certain: not so for the moment between a successor's end and hearing who follows.
    fn settled(&self) -> bool;

    /// The contacts that must not all die together: on the ring, the successor list.
    fn lifeline(&self) -> Vec<Contact>;

    /// Who shows us first: on the ring, the predecessor.
    fn watcher(&self) -> Option<Contact>;

    /// Counts up whenever a contact comes or goes.
    fn changes(&self) -> u64;

    /// Up to `count` unsuspected contacts near `key`: the answer to find_node.
    fn near(&self, key: Id, count: usize) -> Near;

    /// Where a search that people watch goes next, if it is to take one hop at a time.
    fn next_hop(&self) -> Option<Vec<Contact>>;

    /// What is ours to keep is known. Not so in the first moments of peers that start together.
    fn knows_its_range(&self, now: Moment) -> bool;

    /// The key is ours to keep, as far as we know.
    fn owns(&self, key: Id) -> bool;

    /// The `count` peers that shall keep what belongs at `key`, the owner first, ourselves included;
    /// none where the key is too far away to tell.
    fn keepers(&self, key: Id, count: usize) -> Option<Vec<Id>>;

    /// `from` told us who is near us. Contacts it should have named, did they live for it.
    fn consulted(&mut self, from: Id, near_us: &Near) -> Vec<Contact>;

    /// We have joined, and were told who is near us.
    fn joined(&mut self, now: Moment, near_us: &Near);

    /// `asker` consults us as its first successor. Contacts that contradict it: those in between.
    fn contradict(&mut self, now: Moment, asker: Id) -> Vec<Contact>;

    /// What is due now.
    fn chores(&mut self, now: Moment) -> Vec<Chore>;

    /// When something is due next.
    fn due(&self) -> Moment;
}
