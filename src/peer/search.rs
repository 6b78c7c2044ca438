//! A lookup, as a peer runs it: with the question to ask, and a way round the dead where routes are shown.

use crate::ground::krpc::{Errand, Question};
use crate::ground::{Contact, Id};
use crate::overlay::{Lookup, Overlay, Step};

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

/// A running search.
#[derive(Debug)]
pub(super) struct Search {
    pub lookup: Lookup,
    errand: Option<Errand>,
    /// Along first successors, one at a time: then one late answer is waited for, or the route would not be shown.
    hop_by_hop: bool,
    step_back: bool,
    /// Who has been asked to show another way: until it answers, nobody else is asked.
    stepping_back: Option<Id>,
}

impl Search {
    /// A search by a member: it starts from what the overlay knows.
    pub fn by_member(overlay: &dyn Overlay, me: Contact, key: Id, errand: Option<Errand>) -> Search {
        let mut search =
            Search::new(overlay, Lookup::new(overlay.geometry(), key, overlay.width()).with_myself(me), errand);
        let start =
            overlay.next_hop().filter(|_| search.hop_by_hop).unwrap_or_else(|| overlay.near(key, START).contacts);
        start.into_iter().for_each(|contact| search.lookup.hear_of(contact));
        search
    }

    /// A search for our own surroundings, starting at one contact.
    pub fn for_myself(overlay: &dyn Overlay, me: Id, start: Contact, errand: Option<Errand>) -> Search {
        let mut search = Search::new(overlay, Lookup::new(overlay.geometry(), me, overlay.width()), errand);
        search.lookup.hear_of(start);
        search
    }

    fn new(overlay: &dyn Overlay, lookup: Lookup, errand: Option<Errand>) -> Search {
        let hop_by_hop = errand.is_some() && overlay.next_hop().is_some();
        Search { lookup, errand, hop_by_hop, step_back: false, stepping_back: None }
    }

    /// What to do now.
    pub fn want(&mut self, overlay: &dyn Overlay, me: Id) -> Want {
        if std::mem::take(&mut self.step_back) {
            let target = self.lookup.key();
            match self.lookup.nearest_answered() {
                Some(contact) if contact.id != me => {
                    self.stepping_back = Some(contact.id);
                    return Want::Ask(contact, Question::FindNode { target, errand: None });
                }
                _ => overlay.near(target, START).contacts.into_iter().for_each(|contact| self.lookup.hear_of(contact)),
            }
        }
        if self.stepping_back.is_some() {
            return Want::Wait;
        }
        match self.lookup.next_step() {
            Step::Ask(contact) => {
                Want::Ask(contact, Question::FindNode { target: self.lookup.key(), errand: self.errand.clone() })
            }
            Step::Wait => Want::Wait,
            Step::Done => Want::Done,
        }
    }

    /// An answer is overdue.
    pub fn late(&mut self, id: Id) {
        if !self.hop_by_hop {
            self.lookup.late(id);
        }
    }

    /// It answered, and named these.
    pub fn answered(&mut self, id: Id, named: &[Contact]) {
        self.stepping_back.take_if(|asked| *asked == id);
        self.lookup.answered(id, named);
    }

    /// It will not answer. One hop at a time nobody else is known then: the last who answered is asked for more.
    pub fn failed(&mut self, id: Id) {
        self.step_back = self.hop_by_hop && self.lookup.nearest_answered().is_none_or(|last| last.id != id);
        self.stepping_back.take_if(|asked| *asked == id);
        self.lookup.failed(id);
    }
}

/// How many contacts a search starts with. Guess: enough that one of them lives.
const START: usize = 24;
