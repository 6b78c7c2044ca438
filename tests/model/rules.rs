//! What must be true of a ring, and which deaths it need not survive.

use super::member::{LIST_LEN, MAX_PLACES, Place, View};

/// Which peers may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failures {
    /// Those without whom everybody keeps a live successor, and the ring its principals (Zave's assumption).
    Sparing,
    /// Those without whom everybody keeps a live successor.
    SparingSuccessors,
}

type Views = [View; MAX_PLACES];

impl Failures {
    /// This peer may die, or leave, in this state.
    pub fn allow(self, views: &Views, places: usize, who: Place) -> bool {
        let mut without = *views;
        without[who] = View::NOBODY;
        let last = !without.iter().any(|view| view.is_member);
        let spares_successors = || all_are_attached(&without, places);
        match self {
            // Somebody must be left to join.
            _ if last => false,
            Failures::Sparing => spares_successors() && has_enough_principals(&without, places),
            Failures::SparingSuccessors => spares_successors(),
        }
    }
}

impl View {
    /// All that repairs are about.
    pub fn pointers(&self) -> (bool, u8, u8, Place) {
        (self.is_member, self.contacts, self.list, self.predecessor)
    }
}

fn lives(views: &Views, place: Place) -> bool {
    views[place].is_member || views[place].is_joining
}

/// A set of places as one peer counts them, as everybody counts them.
fn absolute(set: u8, who: Place, places: usize) -> impl Iterator<Item = Place> {
    (1..places).filter(move |from| set >> from & 1 == 1).map(move |from| (who + from) % places)
}

fn members(views: &Views) -> usize {
    views.iter().filter(|view| view.is_member).count()
}

fn has_a_live_successor(views: &Views, places: usize, who: Place) -> bool {
    // Who joins is nobody's successor yet, though it may have been, and be still in lists: it died in between.
    absolute(views[who].list, who, places).any(|next| views[next].is_member)
}

/// Each member has a living one in its list, unless it is alone.
pub fn all_have_a_live_successor(views: &Views, places: usize) -> bool {
    members(views) < 2
        || (0..places).filter(|who| views[*who].is_member).all(|who| has_a_live_successor(views, places, who))
}

/// The same, and of those joining each may still meet, or has met, a living one.
fn all_are_attached(views: &Views, places: usize) -> bool {
    let attached = |who: Place| {
        let view = views[who];
        absolute(view.contacts | view.named, who, places).any(|next| views[next].is_member)
    };
    all_have_a_live_successor(views, places) && (0..places).filter(|who| views[*who].is_joining).all(attached)
}

/// At least r + 1 members are skipped by no member's list, nor by what it is going to be.
pub fn has_enough_principals(views: &Views, places: usize) -> bool {
    let skips = |who: Place| absolute(views[who].skips, who, places);
    let mut skipped = [false; MAX_PLACES];
    (0..places).filter(|who| lives(views, *who)).flat_map(skips).for_each(|place| skipped[place] = true);
    (0..places).filter(|place| views[*place].is_member && !skipped[*place]).count() > LIST_LEN
}

/// Everybody's list is the next r members, or all others while they are fewer; its predecessor is the one before; and
/// nobody remembers the dead.
pub fn is_ideal(views: &Views, places: usize) -> bool {
    (0..places).filter(|who| views[*who].is_member).all(|who| {
        let others: Vec<Place> = (1..places).filter(|from| views[(who + from) % places].is_member).collect();
        let list = others.iter().take(LIST_LEN).fold(0, |list, from| list | 1 << from);
        let view = views[who];
        let knows_dead = absolute(view.contacts, who, places).any(|known| !lives(views, known));
        view.list == list && view.predecessor == others.last().copied().unwrap_or(0) && !knows_dead
    })
}
