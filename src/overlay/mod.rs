//! Who is near what: geometries, the one lookup for all of them, and the overlays themselves.
//!
//! An overlay is a *geometry* (how nearness is measured), a *memory* (which contacts to keep) and a *rhythm* (what
//! upkeep is due). It knows nothing of messages: it is told who was heard and says whom to ask.

pub mod arrival;
pub mod kademlia;
pub mod lookup;
pub mod ring;
mod route;

pub use arrival::Arrival;
pub use kademlia::{Eviction, Kademlia, Tuning};
pub use lookup::{Geometry, Lookup, Step};
pub use ring::{Ring, RingTuning};
pub use route::Reason;

use crate::ground::{Chance, Contact, Id, Moment, Naming};
use std::collections::BTreeSet;
use std::time::Duration;

/// Which overlay a network has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chord's ring.
    Ring(RingTuning),
    /// Kademlia.
    Kademlia(Tuning),
}

impl Kind {
    /// How such a network places the files of peers that people name this way: Kademlia's at their keys, as torrents.
    pub fn naming(self, naming: Naming) -> Naming {
        match (self, naming) {
            (Kind::Kademlia(_), Naming::Numbered) => Naming::NumberedPeers,
            (Kind::Kademlia(_) | Kind::Ring(_), naming) => naming,
        }
    }

    /// Ids of peers without a number shall fit their addresses (BEP 42).
    pub fn ties_ids_to_addresses(self) -> bool {
        matches!(self, Kind::Kademlia(_))
    }

    /// The overlay of a peer that starts now and knows of these contacts, not yet heard from.
    pub fn start(
        self,
        now: Moment,
        me: Id,
        known: &[Contact],
        ping_interval: Duration,
        chance: Chance,
    ) -> Box<dyn Overlay> {
        match self {
            Kind::Ring(tuning) => Box::new(Ring::new(now, me, known, ping_interval, tuning, chance)),
            Kind::Kademlia(tuning) => Box::new(Kademlia::new(now, me, known, ping_interval, tuning, chance)),
        }
    }
}

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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

    /// The same, but for those whose neighbours may be missing.
    pub fn only_following(&self) -> Near {
        Near { contacts: self.following().to_vec(), gapless: self.following().len(), everybody: self.everybody }
    }

    /// Leaves out the first such contact, and all after it.
    pub fn cut_before(&mut self, first: impl Fn(&Contact) -> bool) {
        if let Some(at) = self.contacts.iter().position(first) {
            self.contacts.truncate(at);
            self.gapless = self.gapless.min(at);
            self.everybody = false;
        }
    }

    /// The same, but for this contact: nobody is told of itself.
    pub fn without(mut self, left_out: impl Fn(&Contact) -> bool) -> Near {
        self.gapless = self.following().iter().filter(|contact| !left_out(contact)).count();
        self.contacts.retain(|contact| !left_out(contact));
        self
    }
}

/// What a contact is to us. It may be several things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// On the ring: so many peers after us; 1 is the next.
    Successor(usize),
    /// On the ring: the one before us.
    Predecessor,
    /// On the ring: the first at or after 2^(i - 1) from us, i from 1 (Chord, Table 1).
    Finger(usize),
    /// In Kademlia: it shares so many leading bits with us, or for the nearest bucket more.
    Bucket(usize),
}

/// A contact, and what its overlay knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    /// Who.
    pub contact: Contact,
    /// When it answered last; never, for one only named at the start.
    pub heard: Option<Moment>,
    /// It has missed answers.
    pub suspect: bool,
    /// What it is to us.
    pub roles: Vec<Role>,
}

/// A way to keep contacts.
pub trait Overlay: Send {
    /// How nearness is measured.
    fn geometry(&self) -> Geometry;

    /// How many questions of one lookup may be open: on the ring 1, in Kademlia α.
    fn width(&self) -> usize;

    /// This peer answered us: it lives. Only this makes a contact. False if nothing is different now but when it was heard
    /// last.
    fn heard_from(&mut self, now: Moment, contact: Contact) -> bool;

    /// Somebody says that this peer exists. Is it worth a ping?
    fn heard_of(&self, contact: Contact) -> bool;

    /// It answered something: shall it be [`heard_from`](Overlay::heard_from), though no contact yet?
    fn welcomes(&self, contact: Contact) -> bool {
        self.heard_of(contact)
    }

    /// Those of whom we heard on our way in: who of them must have answered before we are a member?
    fn to_meet(&self, heard: BTreeSet<Contact>) -> BTreeSet<Contact> {
        heard
    }

    /// It has missed answers: avoid it, but do not forget it yet.
    fn suspect(&mut self, id: Id);

    /// It is silent for good, or said goodbye.
    fn lost(&mut self, now: Moment, id: Id);

    /// Everybody known, nearest first.
    fn contacts(&self) -> Vec<Contact>;

    /// The same, with what is known of each: on the ring clockwise from us, in Kademlia bucket by bucket.
    fn described(&self) -> Vec<Acquaintance>;

    /// The contact with this id.
    fn contact(&self, id: Id) -> Option<Contact>;

    /// The contacts people are shown: on the ring, the first two successors; in Kademlia none.
    fn shown(&self) -> Vec<Contact>;

    /// What is shown is certain: not so for the moment between a successor's end and hearing who follows.
    fn settled(&self) -> bool;

    /// The contacts that must not all die together: on the ring, the successor list; in Kademlia, the k nearest.
    fn lifeline(&self) -> Vec<Contact>;

    /// Who shows us first: on the ring, the predecessor; in Kademlia, the nearest.
    fn watcher(&self) -> Option<Contact>;

    /// The contacts that shall hear at once that we have joined.
    fn acquaintances(&self) -> Vec<Contact> {
        self.contacts()
    }

    /// Counts up whenever a contact comes or goes that may matter to what is ours to keep.
    fn changes(&self) -> u64;

    /// Up to `count` unsuspected contacts near `key`: the answer to find_node.
    fn near(&self, key: Id, count: usize) -> Near;

    /// The same for who wants to join at this id: whom we know there is itself, before it died.
    fn near_newcomer(&self, id: Id, count: usize) -> Near {
        self.near(id, count)
    }

    /// Nobody known has its place between ours and this one: a peer that joins there is to be after us.
    fn precedes(&self, id: Id) -> bool;

    /// Where a search that people watch goes next, if it is to take one hop at a time.
    fn next_hop(&self) -> Option<Vec<Contact>>;

    /// What is ours to keep is known. Not so in the first moments of peers that start together.
    fn knows_its_range(&self, now: Moment) -> bool;

    /// The key is ours to keep, as far as we know.
    fn owns(&self, key: Id) -> bool;

    /// The `count` peers that shall keep what belongs at `key`, the owner first, ourselves included;
    /// none where the key is too far away to tell. Contacts in `except` keep nothing: they are passed over.
    fn keepers(&self, key: Id, count: usize, except: &BTreeSet<Id>) -> Option<Vec<Id>>;

    /// `from` told us who is near us. Contacts it should have named, did they live for it.
    fn consulted(&mut self, from: Id, near_us: &Near) -> Vec<Contact>;

    /// We have joined, and were told who is near us. False if nobody of them answered: then we have not.
    fn joined(&mut self, now: Moment, near_us: &Near) -> bool;

    /// `asker` consults us as its first successor. Contacts that contradict it: those in between.
    fn contradict(&mut self, now: Moment, asker: Id) -> Vec<Contact>;

    /// What is due now.
    fn chores(&mut self, now: Moment) -> Vec<Chore>;

    /// When something is due next.
    fn due(&self) -> Moment;
}
