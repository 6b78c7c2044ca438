//! One peer of a small ring: what it decides, with the product's own [`Circle`] and [`Arrival`], and what the rules see
//! of it.

use p2p::ground::{Contact, Id, Moment};
use p2p::overlay::ring::{Circle, RingTuning};
use p2p::overlay::{Arrival, Near};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Most places of a ring: more have too many states to look at them all.
pub const MAX_PLACES: usize = 5;
/// r: as few successors as survive the death of one.
pub const LIST_LEN: usize = 2;
/// An answer names 24 contacts where lists have 16: as many and a half.
pub const NAMES: usize = 3;
/// When everybody was heard: time stands still, who may be doubted was heard long ago.
pub const HEARD: Moment = Moment::START;

/// A place of the ring, or how far a peer is clockwise from another: below the number of places.
pub type Place = usize;

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Nobody, or somebody who has left or died.
    Out,
    /// Has found its place, and waits for its future neighbours.
    Joining(Circle, Arrival),
    /// Takes part.
    Member(Member),
}

/// A peer that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    pub circle: Circle,
    /// Heard of and to be pinged, though no contacts yet.
    pub hearsay: BTreeSet<Contact>,
    /// Whom it has consulted, and what is on its way from there.
    pub answer: Option<(Contact, Near)>,
}

/// What the rules ask of a peer, as sets of places counted from it: bit 1 is the next place.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub is_member: bool,
    pub is_joining: bool,
    pub contacts: u8,
    /// The successor list.
    pub list: u8,
    /// Who is skipped by its list; by what the list is going to be when all have answered whom its first successor
    /// named, or names in an answer on its way; and by that answer itself.
    pub skips: u8,
    pub predecessor: Place,
    /// It has consulted somebody, and the answer is on its way.
    pub is_consulting: bool,
    /// Everybody named to it and not yet found out about.
    pub named: u8,
}

/// The contact that far clockwise.
pub fn contact(place: Place) -> Contact {
    let number = u8::try_from(place).expect("few places");
    // Evenly, and none at the far end of the circle.
    let id = Id::numbered(number * (u8::MAX / MAX_PLACES as u8));
    Contact { id, addr: SocketAddr::from(([127, 0, 0, 1], 12000 + u16::from(number))) }
}

pub fn place_of(contact: &Contact) -> Place {
    usize::from(contact.addr.port() - 12000)
}

pub fn bits(contacts: impl Iterator<Item = Contact>) -> u8 {
    contacts.fold(0, |bits, contact| bits | 1 << place_of(&contact))
}

fn list_of(circle: &Circle) -> u8 {
    bits(circle.successors().map(|entry| entry.contact))
}

fn hear_from<'a>(circle: &mut Circle, contacts: impl IntoIterator<Item = &'a Contact>) {
    for contact in contacts {
        circle.heard_from(HEARD, *contact);
    }
}

/// The places between `from` and the last of this list that are not in it.
fn skipped_by(from: Place, list: u8) -> u8 {
    let last = (u8::BITS - list.leading_zeros()).saturating_sub(1) as Place;
    (from + 1..last).filter(|place| list >> place & 1 == 0).fold(0, |skips, place| skips | 1 << place)
}

/// Who is skipped by what somebody said of those that follow it, as far as the asker.
fn skipped_by_answer(from: Place, near: &Near) -> u8 {
    let following = near.following().iter().take_while(|contact| place_of(contact) > from);
    skipped_by(from, bits(following.copied()))
}

/// A peer that knows nobody yet.
pub fn stranger() -> Circle {
    Circle::of(contact(0).id, RingTuning { list_len: LIST_LEN, ..RingTuning::CLASSIC }, &[])
}

impl Member {
    /// Takes part, and waits for nothing.
    pub fn new(circle: Circle) -> Member {
        Member { circle, hearsay: BTreeSet::new(), answer: None }
    }

    /// Where all who are named are pinged at once, what the first successor said has done its work then. And whether the
    /// predecessor is known decides about files alone.
    pub fn forget_what_is_done_with(&mut self) {
        let first = self.circle.successors().next().map(|first| first.contact.id);
        first.map(|first| self.circle.consulted(first, &Near::default()));
        let last = self.circle.predecessor().map(|last| last.contact.id);
        last.map(|last| self.circle.contradict(HEARD, last));
    }

    /// `peer/liveness`: it answered. Or nobody is there, and its port is closed.
    pub fn pinged(&mut self, whom: Contact, lives: bool) {
        self.hearsay.remove(&whom);
        let known = self.circle.contacts().any(|known| known == whom);
        if lives && (known || self.circle.heard_of(whom)) {
            self.circle.heard_from(HEARD, whom);
        } else if !lives && self.circle.lost(whom.id) {
            self.answer.take_if(|(from, _)| *from == whom);
        }
        let circle = &self.circle;
        self.hearsay.retain(|contact| circle.heard_of(*contact));
    }

    /// `peer/liveness`: somebody is there who has not joined yet.
    pub fn refused(&mut self, whom: Contact) {
        if self.hearsay.remove(&whom) {
            self.circle.lost(whom.id);
        }
    }

    /// `peer/liveness`: somebody says that it exists.
    pub fn heard_of(&mut self, whom: Contact) {
        if self.circle.heard_of(whom) {
            self.hearsay.insert(whom);
        }
    }

    /// `peer/upkeep`: whom we consulted named these.
    pub fn hear(&mut self) {
        let Some((from, near_us)) = self.answer.take() else { return };
        near_us.contacts.iter().for_each(|contact| self.heard_of(*contact));
        // Doubtful contacts are pinged sooner: here each may be pinged at any time.
        self.circle.consulted(from.id, &near_us);
    }

    /// `peer/answering`: who is near the asker.
    pub fn answer(&mut self, asker: Contact) -> Near {
        self.heard_of(asker);
        if self.circle.contacts().any(|known| known == asker) {
            self.circle.contradict(HEARD + Duration::from_secs(60), asker.id);
        }
        self.circle.near(asker.id, NAMES).without(|contact| *contact == asker)
    }

    /// `peer/answering`: where a joining peer's search goes on, or ends.
    pub fn show_the_way(&self, joiner: Contact) -> Near {
        let has_arrived = self.circle.precedes(joiner.id) || self.circle.owns(joiner.id);
        let near = match has_arrived {
            true => self.circle.near_newcomer(joiner.id, NAMES),
            false => Near { contacts: self.circle.next_hop(), ..Near::default() },
        };
        near.without(|contact| *contact == joiner)
    }
}

impl View {
    /// Of a free place.
    pub const NOBODY: View = View {
        is_member: false,
        is_joining: false,
        contacts: 0,
        list: 0,
        skips: 0,
        predecessor: 0,
        is_consulting: false,
        named: 0,
    };

    pub fn of(peer: &Peer) -> View {
        let circle = match peer {
            Peer::Out => return View::NOBODY,
            Peer::Joining(circle, _) | Peer::Member(Member { circle, .. }) => circle,
        };
        let named = match peer {
            Peer::Out => 0,
            Peer::Joining(_, arrival) => bits(arrival.to_meet().iter().copied()),
            Peer::Member(member) => bits(member.hearsay.iter().copied()),
        };
        let list_if = |named: &[Contact], told: &dyn Fn(&mut Circle)| {
            let mut circle = circle.clone();
            told(&mut circle);
            hear_from(&mut circle, named);
            list_of(&circle)
        };
        let lists = match peer {
            Peer::Out => [0; 2],
            Peer::Joining(_, arrival) => {
                let mut circle = circle.clone();
                hear_from(&mut circle, arrival.to_meet());
                circle.joined(arrival.surroundings());
                [list_of(&circle); 2]
            }
            Peer::Member(Member { answer, .. }) => {
                let once_heard = |(from, near): &(Contact, Near)| {
                    list_if(&near.contacts, &|circle| drop(circle.consulted(from.id, near)))
                };
                [list_if(circle.said_to_follow(), &|_| ()), answer.as_ref().map_or(0, once_heard)]
            }
        };
        let list = list_of(circle);
        let on_its_way = match peer {
            Peer::Member(Member { answer: Some((from, near)), .. }) => skipped_by_answer(place_of(from), near),
            Peer::Out | Peer::Joining(..) | Peer::Member(_) => 0,
        };
        let skips = lists.into_iter().chain([list]).fold(on_its_way, |skips, list| skips | skipped_by(0, list));
        View {
            is_member: matches!(peer, Peer::Member(_)),
            is_joining: matches!(peer, Peer::Joining(..)),
            contacts: bits(circle.contacts()),
            list,
            skips,
            predecessor: circle.predecessor().map_or(0, |entry| place_of(&entry.contact)),
            is_consulting: matches!(peer, Peer::Member(member) if member.answer.is_some()),
            named,
        }
    }
}
