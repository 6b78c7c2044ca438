//! What a peer learns on its way into a network: whom it must meet before it is a member, and what it adopts then.

use super::Near;
use crate::ground::Contact;
use std::collections::BTreeSet;

/// The way in of one peer, from the first that answered it to the last that it had to meet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Arrival {
    to_meet: BTreeSet<Contact>,
    /// The answer that said most of who follows us.
    surroundings: Near,
}

impl Arrival {
    /// This peer answered first.
    pub fn at(first: Contact) -> Arrival {
        Arrival { to_meet: BTreeSet::from([first]), surroundings: Near::default() }
    }

    /// Somebody said who is near us. Of two who say as much, the later is nearer.
    pub fn hear(&mut self, near_us: Near) {
        self.to_meet.extend(&near_us.contacts);
        if near_us.following().len() >= self.surroundings.following().len() {
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
    use crate::ground::Id;
    use std::net::SocketAddr;

    fn contact(number: u8) -> Contact {
        Contact { id: Id::numbered(number), addr: SocketAddr::from(([127, 0, 0, 1], 1)) }
    }

    #[test]
    fn the_answer_that_says_most_is_adopted_and_everybody_heard_of_is_met() {
        let said = |numbers: &[u8], gapless| Near {
            contacts: numbers.iter().copied().map(contact).collect(),
            gapless,
            everybody: false,
        };
        let mut arrival = Arrival::at(contact(1));
        arrival.hear(said(&[4, 5, 6], 2));
        arrival.hear(said(&[6, 7, 8], 1));
        assert_eq!(arrival.surroundings(), &said(&[4, 5], 2));
        arrival.hear(said(&[4, 9], 2));
        assert_eq!(arrival.surroundings(), &said(&[4, 9], 2), "as many, and later");
        assert_eq!(arrival.meet(|heard| heard), &[1, 4, 5, 6, 7, 8, 9].map(contact).into());
        (4..=9).map(contact).for_each(|contact| arrival.met(contact));
        assert_eq!(arrival.to_meet(), &BTreeSet::from([contact(1)]));
    }
}
