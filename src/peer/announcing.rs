//! Who holds a file in a Kademlia network announces it, as a torrent would be: under the SHA-1 of its name.
//!
//! So plain nodes of the DHT lead to it too, and whoever looks for a file finds its holders though others are nearer
//! to its place by now. Peers of ours note the version as well: the k nearest know of a file, though fewer hold it.

use super::*;
use crate::overlay::Geometry;

/// Announcements are good for 45 minutes; ours are repeated before.
const REPEAT_EVERY: Duration = Duration::from_secs(30 * 60);
/// A peer that starts with files announces them within this time.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Most announcements begun together, and the time to the next ones.
const AT_ONCE: usize = 8;
const NEXT: Duration = Duration::from_millis(200);

/// When which file is announced next.
pub(super) struct Announcing {
    agenda: BTreeSet<(Moment, Id)>,
    at: BTreeMap<Id, Moment>,
    not_before: Moment,
    /// There is something to announce in this kind of network.
    wanted: bool,
}

impl Announcing {
    pub fn new(now: Moment, geometry: Geometry, held: impl Iterator<Item = Id>, chance: &mut Chance) -> Announcing {
        let wanted = geometry != Geometry::Ring;
        let mut announcing = Announcing { agenda: BTreeSet::new(), at: BTreeMap::new(), not_before: now, wanted };
        held.for_each(|key| announcing.plan(now + START_WITHIN.mul_f64(chance.fraction()), key));
        announcing
    }

    /// This file is to be announced then, and not before.
    pub fn plan(&mut self, at: Moment, key: Id) {
        if self.wanted {
            let before = self.at.insert(key, at);
            before.map(|before| self.agenda.remove(&(before, key)));
            self.agenda.insert((at, key));
        }
    }

    fn take_due(&mut self, now: Moment) -> Option<Id> {
        let (at, key) = self.agenda.first().copied().filter(|(at, _)| *at <= now)?;
        self.agenda.remove(&(at, key));
        self.at.remove(&key);
        Some(key)
    }

    pub fn due(&self) -> Moment {
        self.agenda.first().map_or(Moment::NEVER, |(at, _)| (*at).max(self.not_before))
    }
}

impl Peer {
    pub(super) fn go_on_announcing(&mut self, now: Moment) {
        if now < self.announcing.not_before {
            return;
        }
        for _ in 0..AT_ONCE {
            let Some(key) = self.announcing.take_due(now) else { return };
            if let Some(file) = self.shelf.holding(key) {
                let again = now + self.chance.around(REPEAT_EVERY);
                self.announcing.plan(again, key);
                self.start_announce(now, None, key, None, true, Some(file));
            }
        }
        // If more are due, it is their turn then.
        self.announcing.not_before = now + NEXT;
    }
}
