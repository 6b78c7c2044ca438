//! Chord's ring, corrected.
//!
//! One map of contacts, ordered clockwise from me: the successors are its beginning, the predecessor its end, the
//! fingers its gaps at powers of two. There are no lists that could disagree.
//!
//! How it differs from the papers (Chord, ToN 2003; Zave's corrected rules, 2017), and why:
//! - Only a peer that answered *us* is a contact. A successor's list is hearsay: whoever in it we lack is pinged
//!   first. So no dead entry is ever passed on, and nobody is adopted before it answered.
//! - Predecessors are kept as deep as successors: they are the same map read backwards. They tell who keeps what.
//! - A round consults the first successor, every fourth round the predecessor: the ring is mended in both directions.

mod circle;
mod fingers;

pub use circle::{Circle, Entry, RingTuning};
pub(super) use fingers::power;

use super::{Acquaintance, Chore, Geometry, Near, Overlay};
use crate::ground::{Chance, Contact, Id, Moment};
use std::collections::BTreeSet;
use std::time::Duration;

/// Time to the next round when a neighbour has just changed.
const STABILISE_SOON: Duration = Duration::from_millis(500);
/// A peer that starts in a ring and hears of nobody before it for so long takes whom it knows for its predecessor.
/// Guess: the others have been started by then, or this one is alone for now.
const RANGE_KNOWN_AFTER: Duration = Duration::from_secs(5);
/// A peer that has just come knows so many successors before it says who keeps what. Guess: as many as keep a file.
const KEEPERS_KNOWN: usize = 3;
/// A contact not heard for so long is pinged. Guess: fingers are the only ones that nothing else refreshes.
const STALE_AFTER: Duration = Duration::from_secs(120);
/// A configured successor that never answered is not given up before this: people start peers by hand.
pub const START_UP_GRACE: Duration = Duration::from_secs(60);

/// The ring as one peer sees it.
pub struct Ring {
    me: Id,
    ping_interval: Duration,
    circle: Circle,
    /// From then on we go by what we know, however little that is.
    range_known_at: Moment,
    chance: Chance,
    round: Round,
    stabilise_at: Moment,
    rounds: u32,
    finger_at: Moment,
    finger: usize,
    pings: Vec<Contact>,
    changes: u64,
}

/// The last round of shown pings.
struct Round {
    to: Vec<Contact>,
    next: Moment,
}

impl Ring {
    /// A ring as seen by `me`, who starts now with these `successors`, not yet heard from.
    pub fn new(
        now: Moment,
        me: Id,
        successors: &[Contact],
        ping_interval: Duration,
        tuning: RingTuning,
        mut chance: Chance,
    ) -> Ring {
        Ring {
            me,
            ping_interval,
            circle: Circle::of(me, tuning, successors),
            range_known_at: if successors.is_empty() { Moment::START } else { now + RANGE_KNOWN_AFTER },
            stabilise_at: now,
            finger_at: now + chance.around(tuning.finger_every),
            chance,
            round: Round { to: Vec::new(), next: now },
            rounds: 0,
            finger: 0,
            pings: Vec::new(),
            changes: 0,
        }
    }

    fn hurry(&mut self, now: Moment) {
        let soon = now + self.chance.around(STABILISE_SOON);
        self.stabilise_at = self.stabilise_at.min(soon);
    }

    fn stabilise(&mut self, now: Moment) -> Option<Chore> {
        if now < self.stabilise_at {
            return None;
        }
        let wait = if self.circle.is_complete() { self.circle.tuning.stabilise_every } else { STABILISE_SOON };
        self.stabilise_at = now + self.chance.around(wait);
        self.rounds += 1;
        self.circle.to_consult(self.rounds.is_multiple_of(4)).map(Chore::Consult)
    }

    /// Looks up the next finger that is not among the successors anyway.
    fn mend_finger(&mut self, now: Moment) -> Option<Chore> {
        let RingTuning { list_len, fingers, finger_every, .. } = self.circle.tuning;
        if fingers == 0 || now < self.finger_at {
            return None;
        }
        self.finger_at = now + self.chance.around(finger_every);
        let lowest = self.circle.slot(*self.circle.entries.keys().nth(list_len - 1)?);
        self.finger = if self.finger + 1 < Id::BITS * fingers { (self.finger + 1).max(lowest) } else { lowest };
        Some(Chore::LookUp(self.me.plus(self.circle.finger_target(self.finger))))
    }

    fn refresh_stalest(&mut self, now: Moment) -> Option<Chore> {
        let stale = |entry: &&Entry| entry.heard.is_some_and(|heard| now.since(heard) > STALE_AFTER);
        let stalest = self.circle.entries.values().filter(stale).min_by_key(|entry| entry.heard)?;
        Some(Chore::Ping(stalest.contact))
    }
}

impl Overlay for Ring {
    fn geometry(&self) -> Geometry {
        Geometry::Ring
    }

    fn width(&self) -> usize {
        1
    }

    fn heard_from(&mut self, now: Moment, contact: Contact) -> bool {
        let known = self.circle.entries.get(&self.me.clockwise_to(contact.id));
        let as_before = known.is_some_and(|known| known.contact == contact && known.heard.is_some() && !known.suspect);
        if self.circle.heard_from(now, contact) {
            self.changes += 1;
            if self.circle.is_neighbour(contact.id) {
                self.hurry(now);
            }
        }
        !as_before
    }

    fn heard_of(&self, contact: Contact) -> bool {
        self.circle.heard_of(contact)
    }

    fn suspect(&mut self, id: Id) {
        self.circle.suspect(id);
    }

    fn lost(&mut self, now: Moment, id: Id) {
        if !self.circle.lost(id) {
            return;
        }
        if !self.settled() {
            self.stabilise_at = now;
        }
        self.changes += 1;
        self.hurry(now);
        self.pings = self.circle.doubtful(now);
    }

    fn contacts(&self) -> Vec<Contact> {
        self.circle.contacts().collect()
    }

    fn described(&self) -> Vec<Acquaintance> {
        self.circle.described()
    }

    fn contact(&self, id: Id) -> Option<Contact> {
        self.circle.entries.get(&self.me.clockwise_to(id)).map(|entry| entry.contact)
    }

    fn shown(&self) -> Vec<Contact> {
        self.circle.successors().take(2).map(|entry| entry.contact).collect()
    }

    fn settled(&self) -> bool {
        self.circle.is_settled()
    }

    fn lifeline(&self) -> Vec<Contact> {
        self.circle.successors().map(|entry| entry.contact).collect()
    }

    fn watcher(&self) -> Option<Contact> {
        self.circle.predecessor().map(|entry| entry.contact)
    }

    fn changes(&self) -> u64 {
        self.changes
    }

    fn near(&self, key: Id, count: usize) -> Near {
        self.circle.near(key, count)
    }

    fn near_newcomer(&self, id: Id, count: usize) -> Near {
        self.circle.near_newcomer(id, count)
    }

    fn next_hop(&self) -> Option<Vec<Contact>> {
        if self.circle.tuning.fingers > 0 {
            return None;
        }
        Some(self.circle.next_hop())
    }

    fn precedes(&self, id: Id) -> bool {
        self.circle.precedes(id)
    }

    fn owns(&self, key: Id) -> bool {
        self.circle.owns(key)
    }

    fn keepers(&self, key: Id, count: usize, except: &BTreeSet<Id>) -> Option<Vec<Id>> {
        self.circle.keepers(key, count, except)
    }

    fn consulted(&mut self, from: Id, near_us: &Near) -> Vec<Contact> {
        self.circle.consulted(from, near_us)
    }

    fn joined(&mut self, now: Moment, near_us: &Near) -> bool {
        self.range_known_at = now + RANGE_KNOWN_AFTER;
        self.circle.joined(near_us)
    }

    fn contradict(&mut self, now: Moment, asker: Id) -> Vec<Contact> {
        self.circle.contradict(now, asker)
    }

    fn knows_its_range(&self, now: Moment) -> bool {
        let enough = || self.circle.is_closed() || self.circle.successors().count() >= KEEPERS_KNOWN;
        now >= self.range_known_at || (self.circle.knows_its_predecessor() && enough())
    }

    fn chores(&mut self, now: Moment) -> Vec<Chore> {
        if self.knows_its_range(now) {
            self.range_known_at = Moment::START;
        }
        let mut chores: Vec<Chore> = self.pings.drain(..).map(Chore::Ping).collect();
        let shown = self.shown();
        if !shown.is_empty() && self.settled() && (now >= self.round.next || shown != self.round.to) {
            self.round = Round { to: shown.clone(), next: now + self.ping_interval };
            chores.push(Chore::Round(shown));
        }
        if let Some(consult) = self.stabilise(now) {
            chores.push(consult);
            chores.extend(self.refresh_stalest(now));
        }
        chores.extend(self.mend_finger(now));
        chores
    }

    fn due(&self) -> Moment {
        let shown = self.shown();
        let can_be_shown = !shown.is_empty() && self.settled();
        if !self.pings.is_empty() || (can_be_shown && shown != self.round.to) {
            return Moment::START;
        }
        let round = if can_be_shown { self.round.next } else { Moment::NEVER };
        let finger = if self.circle.tuning.fingers > 0 { self.finger_at } else { Moment::NEVER };
        let range = if self.range_known_at == Moment::START { Moment::NEVER } else { self.range_known_at };
        round.min(self.stabilise_at).min(finger).min(range)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;
    use std::net::SocketAddr;

    const NOW: Moment = Moment::START;

    fn contact(number: u8) -> Contact {
        Contact { id: Id::numbered(number), addr: SocketAddr::from(([127, 0, 0, 1], 12000 + u16::from(number))) }
    }

    fn ring(me: u8, heard: &[u8]) -> Ring {
        let interval = Duration::from_secs(15);
        let mut ring = Ring::new(NOW, Id::numbered(me), &[], interval, RingTuning::CLASSIC, Chance::seeded(1));
        heard.iter().for_each(|number| _ = ring.heard_from(NOW, contact(*number)));
        ring
    }

    fn numbers(contacts: &[Contact]) -> Vec<u8> {
        contacts.iter().map(|contact| contact.id.number().unwrap()).collect()
    }

    fn keepers(ring: &Ring, key: u8) -> Option<Vec<Id>> {
        ring.keepers(Id::numbered(key), 3, &BTreeSet::new())
    }

    #[test]
    fn successors_are_the_beginning_and_the_predecessor_is_the_end() {
        let ring = ring(14, &[2, 4, 5, 8, 9, 19]);
        assert_eq!(numbers(&ring.contacts()), [19, 2, 4, 5, 8, 9]);
        assert_eq!(numbers(&ring.shown()), [19, 2]);
        assert_eq!(ring.circle.predecessor().unwrap().contact, contact(9));
    }

    #[test]
    fn contacts_are_described_by_what_they_are_to_us() {
        let classic = ring(14, &[2, 4, 19]);
        let roles = |ring: &Ring, number| {
            let all = ring.described();
            all.into_iter().find(|known| known.contact == contact(number)).unwrap().roles
        };
        assert_eq!(roles(&classic, 19), [Role::Successor(1)]);
        let lonely = ring(14, &[9]);
        assert_eq!(roles(&lonely, 9), [Role::Successor(1), Role::Predecessor]);
        let interval = Duration::from_secs(15);
        let mut fingered = Ring::new(NOW, Id::numbered(2), &[], interval, RingTuning::DEFAULT, Chance::seeded(1));
        [4, 5, 8, 9, 14].iter().for_each(|number| _ = fingered.heard_from(NOW, contact(*number)));
        // 2 + 4 = 6 leads to 8, which is the third finger of eight, the 155th of 160; 9 is one of nobody.
        let finger = |number| roles(&fingered, number).into_iter().find(|role| matches!(role, Role::Finger(_)));
        assert_eq!(
            [4, 8, 9, 14].map(finger),
            [Some(Role::Finger(154)), Some(Role::Finger(155)), None, Some(Role::Finger(156))]
        );
    }

    #[test]
    fn a_peer_owns_what_lies_after_its_predecessor_up_to_itself() {
        let ring = ring(14, &[2, 4, 5, 8, 9, 19]);
        let owned: Vec<u8> = (0..=255).filter(|key| ring.owns(Id::numbered(*key))).collect();
        assert_eq!(owned, [10, 11, 12, 13, 14]);
        let alone = self::ring(2, &[]);
        assert!((0..=255).all(|key| alone.owns(Id::numbered(key))));
    }

    #[test]
    fn keepers_are_the_owner_and_the_next_after_it() {
        let ring = ring(14, &[2, 4, 5, 8, 9, 19]);
        let keepers = |key| keepers(&ring, key).unwrap().iter().map(|id| id.number().unwrap()).collect::<Vec<_>>();
        assert_eq!(keepers(19), [19, 2, 4]);
        assert_eq!(keepers(7), [8, 9, 14]);
        assert_eq!(keepers(220), [2, 4, 5]);
        assert_eq!(keepers(9), [9, 14, 19]);
    }

    #[test]
    fn strangers_keep_nothing() {
        let ring = ring(14, &[2, 4, 5, 8, 9, 19]);
        let strangers = BTreeSet::from([9, 19].map(Id::numbered));
        assert_eq!(ring.keepers(Id::numbered(7), 3, &strangers).unwrap(), [8, 14, 2].map(Id::numbered));
    }

    #[test]
    fn keepers_of_far_places_are_not_guessed() {
        let heard: Vec<u8> = (1..=16).chain(200..=215).collect();
        let ring = ring(0, &heard);
        assert!(keepers(&ring, 100).is_none());
        assert_eq!(keepers(&ring, 215).unwrap(), [215, 0, 1].map(Id::numbered));
        assert_eq!(keepers(&ring, 5).unwrap(), [5, 6, 7].map(Id::numbered));
    }

    #[test]
    fn never_in_its_own_list_and_nobody_twice() {
        let ring = ring(4, &[4, 5, 5, 8]);
        assert_eq!(numbers(&ring.contacts()), [5, 8]);
    }

    #[test]
    fn only_sixteen_of_each_side_are_kept_without_fingers() {
        let ring = ring(0, &(1..=200).collect::<Vec<u8>>());
        let expected: Vec<u8> = (1..=16).chain(185..=200).collect();
        assert_eq!(numbers(&ring.contacts()), expected);
        assert!(!ring.heard_of(contact(100)));
        assert!(ring.heard_of(contact(220)));
    }

    #[test]
    fn fingers_are_the_first_contacts_in_each_power_of_two() {
        let mut ring = ring(0, &[]);
        ring.circle.tuning.fingers = 1;
        (1..=200).rev().for_each(|number| _ = ring.heard_from(NOW, contact(number)));
        let fingers: Vec<u8> = numbers(&ring.contacts()).into_iter().filter(|n| (17..185).contains(n)).collect();
        assert_eq!(fingers, [32, 64, 128]);
    }

    #[test]
    fn more_fingers_are_the_first_in_equal_parts_of_a_power_of_two() {
        let mut ring = ring(0, &[]);
        ring.circle.tuning.fingers = 4;
        (1..=200).rev().for_each(|number| _ = ring.heard_from(NOW, contact(number)));
        let fingers: Vec<u8> = numbers(&ring.contacts()).into_iter().filter(|n| (17..185).contains(n)).collect();
        assert_eq!(fingers, [20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160]);
        assert!(!ring.heard_of(contact(130)), "that part has its finger");
    }

    #[test]
    fn a_finger_points_at_the_beginning_of_its_slot() {
        for fingers in [1, 2, 4, 8] {
            let mut ring = ring(0, &[]);
            ring.circle.tuning.fingers = fingers;
            let slots = 8 * fingers..Id::BITS * fingers;
            assert!(slots.clone().all(|slot| ring.circle.slot(ring.circle.finger_target(slot)) == slot));
            assert!(slots.map(|slot| ring.circle.finger_target(slot)).is_sorted());
        }
    }

    #[test]
    fn one_hop_at_a_time_names_the_successor() {
        let ring = ring(9, &[2, 4, 5, 8, 14, 19]);
        assert_eq!(numbers(&ring.next_hop().unwrap()), [14, 8]);
    }

    #[test]
    fn suspects_stay_successors_but_are_not_named() {
        let mut ring = ring(9, &[8, 14, 19]);
        ring.suspect(Id::numbered(14));
        assert_eq!(numbers(&ring.shown()), [14, 19]);
        assert_eq!(numbers(&ring.next_hop().unwrap()), [19, 8]);
        assert!(!numbers(&ring.near(Id::numbered(13), 24).contacts).contains(&14));
        ring.heard_from(NOW, contact(14));
        assert_eq!(numbers(&ring.next_hop().unwrap()), [14, 8]);
    }

    #[test]
    fn an_answer_says_how_far_it_is_gapless() {
        let heard: Vec<u8> = (1..=16).chain(200..=215).collect();
        let mut ring = ring(0, &heard);
        ring.joined(NOW, &Near { contacts: vec![contact(10)], gapless: 1, everybody: false });
        ring.lost(NOW, Id::numbered(3));
        let gapless = |key| ring.near(Id::numbered(key), 24).gapless;
        assert_eq!(gapless(215), 10, "215 itself, then 1 to 10 without 3");
        assert_eq!(gapless(220), 9);
        assert_eq!(gapless(5), 6, "5 to 10");
        assert_eq!(gapless(100), 0);
    }

    #[test]
    fn peers_that_were_all_told_nothing_find_that_they_are_all() {
        let mut rings = [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])].map(|(me, others)| ring(me, &others));
        assert!(rings.iter_mut().all(|ring| ring.joined(NOW, &Near::default())));
        assert!(rings.iter().all(|ring| ring.lifeline().len() == 1), "so short after their neighbours have died");
        for who in [0, 1, 2, 0, 1, 2] {
            let (me, next) = (rings[who].me, (who + 1) % 3);
            let said = rings[next].near(me, 24).without(|contact| contact.id == me);
            let next = rings[next].me;
            rings[who].consulted(next, &said);
        }
        assert!(rings.iter().all(|ring| ring.lifeline().len() == 2));
    }

    fn following(numbers: &[u8], everybody: bool) -> Near {
        let contacts: Vec<Contact> = numbers.iter().copied().map(contact).collect();
        Near { gapless: contacts.len(), contacts, everybody }
    }

    #[test]
    fn what_was_said_of_those_after_the_dead_does_not_hold_when_they_come_back() {
        let mut ring = ring(0, &[1]);
        ring.joined(NOW, &Near::default());
        ring.consulted(Id::numbered(1), &following(&[5, 9], true));
        ring.lost(NOW, Id::numbered(5));
        [5, 9].iter().for_each(|number| _ = ring.heard_from(NOW, contact(*number)));
        assert_eq!(numbers(&ring.lifeline()), [1], "2 may have come before 5 did");
        ring.consulted(Id::numbered(1), &following(&[5, 9], true));
        assert_eq!(numbers(&ring.lifeline()), [1, 5, 9]);
    }

    #[test]
    fn who_knew_more_than_its_list_holds_does_not_take_those_left_for_all() {
        let mut ring = ring(0, &(1..=17).collect::<Vec<u8>>());
        ring.lost(NOW, Id::numbered(17));
        assert!(!ring.near(Id::numbered(200), 24).everybody);
        assert_eq!(ring.lifeline().len(), 16);
    }

    #[test]
    fn who_joins_where_it_was_before_is_told_of_those_who_follow() {
        let ring = ring(9, &[14, 19, 2, 5]);
        let told = |near: Near| numbers(near.without(|contact| contact.id == Id::numbered(14)).following());
        assert_eq!(told(ring.near(Id::numbered(14), 3)), [0; 0], "a successor wants to know who is before us");
        assert_eq!(told(ring.near_newcomer(Id::numbered(14), 3)), [19, 2]);
    }

    #[test]
    fn nobody_joins_before_those_of_whom_none_has_answered() {
        let joins = |heard: &[u8]| ring(0, heard).joined(NOW, &following(&[1, 2], false));
        assert!(!joins(&[9]), "somebody else may be nearer than 9");
        assert!(joins(&[2, 9]) && !joins(&[]));
    }

    #[test]
    fn a_successor_that_its_neighbour_does_not_name_is_doubted() {
        let mut ring = ring(5, &[2, 4, 8, 9, 14, 19]);
        let named = Near { contacts: [9, 19, 2, 4].map(contact).to_vec(), gapless: 4, everybody: false };
        assert_eq!(numbers(&ring.consulted(Id::numbered(8), &named)), [14]);
        assert_eq!(ring.consulted(Id::numbered(14), &named), []);
    }

    #[test]
    fn who_takes_us_for_its_successor_casts_doubt_on_those_in_between() {
        let mut ring = ring(14, &[2, 4, 5, 8, 9, 19]);
        let later = NOW + Duration::from_secs(10);
        assert_eq!(numbers(&ring.contradict(later, Id::numbered(5))), [9, 8]);
        assert_eq!(ring.contradict(later, Id::numbered(9)), []);
        assert_eq!(ring.contradict(later, Id::numbered(19)), [], "our successor asks us as its predecessor");
        assert_eq!(ring.contradict(NOW, Id::numbered(5)), [], "they were heard just now");
    }

    #[test]
    fn a_round_goes_out_at_the_start_every_interval_and_when_a_successor_changes() {
        let mut ring = ring(9, &[14, 19, 8]);
        let round = |chores: Vec<Chore>| {
            chores.into_iter().find_map(|c| if let Chore::Round(to) = c { Some(numbers(&to)) } else { None })
        };
        assert_eq!(round(ring.chores(NOW)), Some(vec![14, 19]));
        assert_eq!(round(ring.chores(NOW + Duration::from_secs(14))), None);
        assert_eq!(round(ring.chores(NOW + Duration::from_secs(15))), Some(vec![14, 19]));
        ring.lost(NOW + Duration::from_secs(16), Id::numbered(14));
        assert_eq!(ring.due(), Moment::START);
        assert_eq!(round(ring.chores(NOW + Duration::from_secs(16))), Some(vec![19, 8]));
    }
}
