//! What a peer learns on its way into a network: whom it must meet before it is a member, and what it adopts then.

use super::{Geometry, Near};
use crate::ground::{Contact, Id};
use std::collections::BTreeSet;

/// The way in of one peer, from the first that answered it to the last that it had to meet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arrival {
    me: Id,
    to_meet: BTreeSet<Contact>,
    /// Who said what follows: of all that answered, the nearest before us.
    told_by: Option<Id>,
    surroundings: Near,
}

impl Arrival {
    /// The way in of `me`, to whom nobody has answered yet.
    pub fn of(me: Id) -> Arrival {
        Arrival { me, to_meet: BTreeSet::new(), told_by: None, surroundings: Near::default() }
    }

    /// This peer answered first.
    pub fn at(mut self, first: Contact) -> Arrival {
        self.to_meet.insert(first);
        self
    }

    /// Somebody said who is near us. Only who is before us knows who follows: a successor may take the dead for its
    /// predecessor, and know nobody between itself and us.
    pub fn hear(&mut self, from: Id, near_us: &Near) {
        self.to_meet.extend(&near_us.contacts);
        let approach = |id: Id| Geometry::Ring.approach(id, self.me);
        if self.told_by.is_none_or(|before| approach(from) <= approach(before)) {
            self.told_by = Some(from);
            self.surroundings = near_us.only_following();
        }
    }

    /// The way is over. Those of all heard of who must answer, or prove silent, before we are a member.
    pub fn meet(&mut self, choose: impl FnOnce(BTreeSet<Contact>) -> BTreeSet<Contact>) -> &BTreeSet<Contact> {
        self.to_meet = choose(std::mem::take(&mut self.to_meet));
        &self.to_meet
    }

    /// Whose answer is still to come.
    pub fn to_meet(&self) -> &BTreeSet<Contact> {
        &self.to_meet
    }

    /// It has answered, or will not.
    pub fn met(&mut self, contact: Contact) {
        self.to_meet.remove(&contact);
    }

    /// What is adopted when everybody is met: who follows us.
    pub fn surroundings(&self) -> &Near {
        &self.surroundings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn contact(number: u8) -> Contact {
        Contact { id: Id::numbered(number), addr: SocketAddr::from(([127, 0, 0, 1], 1)) }
    }

    #[test]
    fn what_the_nearest_before_us_said_last_is_adopted_and_everybody_heard_of_is_met() {
        let said = |numbers: &[u8], gapless| Near {
            contacts: numbers.iter().copied().map(contact).collect(),
            gapless,
            everybody: false,
        };
        let mut arrival = Arrival::of(Id::numbered(3)).at(contact(1));
        arrival.hear(Id::numbered(1), &said(&[5, 6, 2], 2));
        arrival.hear(Id::numbered(2), &said(&[4], 0));
        assert_eq!(arrival.surroundings(), &said(&[], 0), "it may know of others between");
        arrival.hear(Id::numbered(2), &said(&[4, 5, 6], 2));
        arrival.hear(Id::numbered(4), &said(&[7, 8, 9], 3));
        assert_eq!(arrival.surroundings(), &said(&[4, 5], 2), "4 follows us");
        assert_eq!(arrival.meet(|heard| heard), &[1, 2, 4, 5, 6, 7, 8, 9].map(contact).into());
        [2].into_iter().chain(4..=9).map(contact).for_each(|contact| arrival.met(contact));
        assert_eq!(arrival.to_meet(), &BTreeSet::from([contact(1)]));
    }
}
