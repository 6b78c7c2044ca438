//! A lookup, as a peer runs it: with the question to ask, and a way round the dead where routes are shown.

use crate::ground::krpc::{Errand, Question};
use crate::ground::{Contact, Id, address_id};
use crate::overlay::{Geometry, Lookup, Overlay, Step};
use std::collections::BTreeMap;

/// How many contacts a search starts with. Guess: enough that one of them lives.
const START: usize = 24;

/// Most contacts of one public network (/24, or /64 of IPv6) that a search hears of: who owns few addresses and invents
/// many ids neither leads it round in circles nor aims it at somebody else's machine. Not on the ring, where whole networks
/// live on one machine, one hop after the other. Guess: twice as many as keep a value.
const MAX_OF_NETWORK: usize = 16;

/// What a search wants done.
#[derive(Debug)]
pub(super) enum Want {
    /// Ask this contact this.
    Ask(Contact, Question),
    /// Answers are to come.
    Wait,
    /// It is over.
    Done,
}

/// What everybody on the way is asked.
#[derive(Clone, Debug)]
pub(super) enum Asks {
    /// Whom they know; with the errand, where people shall see it pass by.
    Nodes(Option<Errand>),
    /// The same way as a shown search, which nobody shows.
    Way,
    /// Who has the torrent, or file.
    Peers { scrape: bool },
    /// Whether they keep the item, if later than this version.
    Item { seq: Option<i64> },
    /// What torrents they know of.
    Samples,
}

impl Asks {
    pub fn question(&self, target: Id) -> Question {
        match self {
            Asks::Way => Question::FindNode { target, errand: None },
            Asks::Nodes(errand) => Question::FindNode { target, errand: errand.clone() },
            Asks::Peers { scrape } => Question::GetPeers { info_hash: target, scrape: *scrape },
            Asks::Item { seq } => Question::Get { target, seq: *seq },
            Asks::Samples => Question::SampleInfohashes { target },
        }
    }
}

/// A running search.
#[derive(Debug)]
pub(super) struct Search {
    pub lookup: Lookup,
    asks: Asks,
    /// Who is late once is waited for before the end: a file is not to be given to the next one for a lost datagram.
    thorough: bool,
    /// Nothing was found among those in time: everybody is waited for until it answers or is silent.
    patient: bool,
    /// Only contacts of this address family take part: IPv4 and IPv6 are two networks (BEP 32).
    v6: Option<bool>,
    /// How many peers led to each that was heard of.
    hops: BTreeMap<Id, usize>,
    /// How many were heard of in each public network.
    networks: BTreeMap<u64, usize>,
    /// Along first successors, one at a time: then one late answer is waited for, or the route would not be shown.
    hop_by_hop: bool,
    step_back: bool,
    /// Who has been asked for all it knows: until it answers, nobody else is asked.
    stepping_back: Option<Id>,
    /// Who has told all it knows, or was asked to, last.
    told_all: Option<Id>,
}

impl Search {
    /// A search by a member: it starts from what the overlay knows.
    pub fn by_member(overlay: &dyn Overlay, me: Contact, key: Id, asks: Asks) -> Search {
        Search::by_outsider(overlay, key, asks, None).with_myself(me)
    }

    /// The same by somebody who keeps nothing; in one address family only, if one is named.
    pub fn by_outsider(overlay: &dyn Overlay, key: Id, asks: Asks, v6: Option<bool>) -> Search {
        let mut search = Search::new(overlay, key, asks);
        search.v6 = v6;
        let start =
            overlay.next_hop().filter(|_| search.hop_by_hop).unwrap_or_else(|| overlay.near(key, START).contacts);
        search.hear_of(&start);
        search
    }

    /// A search for our own surroundings, starting at one contact.
    pub fn for_myself(overlay: &dyn Overlay, me: Id, start: Contact, errand: Option<Errand>) -> Search {
        let mut search = Search::new(overlay, me, Asks::Nodes(errand));
        search.lookup.hear_of(start);
        search
    }

    fn new(overlay: &dyn Overlay, key: Id, asks: Asks) -> Search {
        let hop_by_hop = matches!(asks, Asks::Nodes(Some(_)) | Asks::Way) && overlay.next_hop().is_some();
        let lookup = Lookup::new(overlay.geometry(), key, overlay.width());
        Search {
            lookup,
            asks,
            thorough: false,
            patient: false,
            v6: None,
            hops: BTreeMap::new(),
            networks: BTreeMap::new(),
            hop_by_hop,
            step_back: false,
            stepping_back: None,
            told_all: None,
        }
    }

    /// Counts ourselves among those who keep things.
    pub fn with_myself(mut self, me: Contact) -> Search {
        self.lookup = self.lookup.with_myself(me);
        self
    }

    /// Who is late once is waited for before the end.
    pub fn thorough(mut self) -> Search {
        self.thorough = true;
        self
    }

    /// Waits for all who are late, from now on, until each answers or is silent. False if it did so already.
    pub fn be_patient(&mut self) -> bool {
        self.lookup.insist();
        !std::mem::replace(&mut self.patient, true)
    }

    /// How many peers led to this one, itself included.
    pub fn hop(&self, id: Id) -> usize {
        self.hops.get(&id).copied().unwrap_or(1)
    }

    /// It takes part in this search.
    pub fn concerns(&self, contact: Contact) -> bool {
        self.v6.is_none_or(|v6| contact.addr.is_ipv6() == v6)
    }

    /// What to do now.
    pub fn want(&mut self, overlay: &dyn Overlay, me: Id) -> Want {
        if std::mem::take(&mut self.step_back) {
            match self.lookup.nearest_answered() {
                Some(contact) if contact.id != me => return self.ask_for_all(contact),
                _ => self.hear_of(&overlay.near(self.lookup.key(), START).contacts),
            }
        }
        if self.stepping_back.is_some() {
            return Want::Wait;
        }
        match self.lookup.next_step() {
            Step::Ask(contact) => {
                // Whom it knows after itself: the first of them is the next hop.
                let target = if self.is_unshown_way() { contact.id } else { self.lookup.key() };
                Want::Ask(contact, self.asks.question(target))
            }
            Step::Wait => Want::Wait,
            Step::Done => match self.lookup.nearest_answered() {
                // Who joins goes by what its predecessor says: perhaps that one was only asked for its next hop, long dead.
                Some(found) if self.is_way_in() && self.told_all != Some(found.id) => self.ask_for_all(found),
                _ => Want::Done,
            },
        }
    }

    fn ask_for_all(&mut self, contact: Contact) -> Want {
        self.stepping_back = Some(contact.id);
        self.told_all = Some(contact.id);
        Want::Ask(contact, Question::FindNode { target: self.lookup.key(), errand: None })
    }

    /// It named not only its next hop.
    pub fn told_all(&mut self, id: Id) {
        if self.lookup.nearest_answered().is_some_and(|nearest| nearest.id == id) {
            self.told_all = Some(id);
        }
    }

    fn is_way_in(&self) -> bool {
        self.hop_by_hop && matches!(self.asks, Asks::Nodes(Some(Errand::Join)))
    }

    /// An answer is overdue, after so many attempts.
    pub fn late(&mut self, id: Id, attempts: u32) {
        match attempts {
            _ if self.hop_by_hop => {}
            _ if self.patient => self.lookup.slow(id),
            1 if self.thorough => self.lookup.slow(id),
            _ => self.lookup.late(id),
        }
    }

    /// It answered, and named these.
    pub fn answered(&mut self, id: Id, named: &[Contact]) {
        let stepped_back = self.stepping_back.take_if(|asked| *asked == id).is_some();
        self.lookup.answered(id, &[]);
        let next = self.hop(id) + 1;
        for node in named {
            self.hops.entry(node.id).or_insert(next);
        }
        // All others on the way lie before the place, and are farther round from it than we are.
        let is_owner = self.lookup.keepers().next().is_some_and(|keeper| keeper.id == id);
        if self.is_unshown_way() && !stepped_back && !is_owner {
            let next = named.iter().min_by_key(|node| id.plus(Id::power_of_two(0)).clockwise_to(node.id));
            return self.hear_of(next.map_or(&[], std::slice::from_ref));
        }
        self.hear_of(named);
    }

    /// It takes the steps of a shown search, though nobody tells it whom to ask next.
    fn is_unshown_way(&self) -> bool {
        self.hop_by_hop && matches!(self.asks, Asks::Way)
    }

    /// It will not answer. One hop at a time nobody else is known then: the last who answered is asked for more.
    pub fn failed(&mut self, id: Id) {
        self.step_back = self.hop_by_hop && self.lookup.nearest_answered().is_none_or(|last| last.id != id);
        self.stepping_back.take_if(|asked| *asked == id);
        self.lookup.failed(id);
    }

    fn hear_of(&mut self, named: &[Contact]) {
        for contact in named {
            if self.concerns(*contact) && !self.lookup.knows(contact.id) && self.has_room_for(*contact) {
                self.lookup.hear_of(*contact);
            }
        }
    }

    /// Counts it among those of its network, if they are not too many.
    fn has_room_for(&mut self, contact: Contact) -> bool {
        if self.lookup.geometry() == Geometry::Ring || address_id::is_exempt(contact.addr.ip()) {
            return true;
        }
        let count = self.networks.entry(address_id::network(contact.addr.ip())).or_default();
        *count += 1;
        *count <= MAX_OF_NETWORK
    }
}
