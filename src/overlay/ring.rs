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

use super::{Chore, Geometry, Near, Overlay};
use crate::ground::{Chance, Contact, Id, Moment};
use std::collections::BTreeMap;
use std::time::Duration;

/// Successors kept, and predecessors. With 2 of them, killing half of ten peers cuts the ring in 99 of 100 trials;
/// with 16, none of 4,000 did.
pub const LIST_LEN: usize = 16;
/// Time between two rounds of stabilisation while nothing changes. Guess: dead neighbours are noticed well before a
/// minute is over, for a quarter of a question a second.
const STABILISE_EVERY: Duration = Duration::from_secs(4);
/// Time to the next round when a neighbour has just changed.
const STABILISE_SOON: Duration = Duration::from_millis(500);
/// A peer that starts in a ring and hears of nobody before it for so long takes whom it knows for its predecessor.
/// Guess: the others have been started by then, or this one is alone for now.
const RANGE_KNOWN_AFTER: Duration = Duration::from_secs(5);
/// A peer that has just come knows so many successors before it says who keeps what. Guess: as many as keep a file.
const KEEPERS_KNOWN: usize = 3;
/// Time between two looks at a finger. Guess.
const FINGER_EVERY: Duration = Duration::from_secs(20);
/// A contact not heard for so long is pinged. Guess: fingers are the only ones that nothing else refreshes.
const STALE_AFTER: Duration = Duration::from_secs(120);
/// After a death, neighbours not heard for so long are pinged at once: a mass failure is found in one sweep.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(2);
/// A configured successor that never answered is not given up before this: people start peers by hand.
pub const START_UP_GRACE: Duration = Duration::from_secs(60);

/// The ring as one peer sees it.
pub struct Ring {
    me: Id,
    ping_interval: Duration,
    fingers: bool,
    clockwise: BTreeMap<Id, Entry>,
    /// Up to this distance everybody is known: so far reach the successors. What is beyond are fingers.
    reach: Id,
    /// What our first successor said last of those who follow.
    said: Near,
    /// Who is before us is known. Not at once: peers that start together know only who is after them.
    predecessor_known: bool,
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

#[derive(Clone, Copy, Debug)]
struct Entry {
    contact: Contact,
    heard: Option<Moment>,
    suspect: bool,
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
        fingers: bool,
        mut chance: Chance,
    ) -> Ring {
        let entry =
            |contact: &Contact| (me.clockwise_to(contact.id), Entry { contact: *contact, heard: None, suspect: false });
        Ring {
            me,
            ping_interval,
            fingers,
            clockwise: successors.iter().filter(|contact| contact.id != me).map(entry).collect(),
            // Peers that start together know two successors: nobody is between these, but others may follow.
            reach: successors.get(1).map_or(Id::MAX, |second| me.clockwise_to(second.id)),
            said: Near::default(),
            predecessor_known: successors.is_empty(),
            range_known_at: if successors.is_empty() { Moment::START } else { now + RANGE_KNOWN_AFTER },
            stabilise_at: now,
            finger_at: now + chance.around(FINGER_EVERY),
            chance,
            round: Round { to: Vec::new(), next: now },
            rounds: 0,
            finger: 0,
            pings: Vec::new(),
            changes: 0,
        }
    }

    fn successors(&self) -> impl Iterator<Item = &Entry> {
        let listed = self.clockwise.range(..=self.reach).map(|(_, entry)| entry);
        // Nobody known is before the first: it is listed whatever is known of the others.
        let first = self.clockwise.values().take(1).filter(|first| self.me.clockwise_to(first.contact.id) > self.reach);
        first.chain(listed).take(LIST_LEN)
    }

    fn predecessors(&self) -> impl Iterator<Item = &Entry> {
        self.clockwise.values().rev().take(LIST_LEN)
    }

    /// The predecessor: the last who answered, going clockwise.
    fn predecessor(&self) -> Option<&Entry> {
        self.clockwise.values().rev().find(|entry| entry.heard.is_some())
    }

    /// The list goes all the way round.
    fn knows_everybody(&self) -> bool {
        self.reach == Id::MAX && self.clockwise.len() <= LIST_LEN
    }

    fn is_neighbour(&self, distance: Id) -> bool {
        let successor = self.clockwise.keys().nth(LIST_LEN - 1).is_none_or(|last| distance <= *last);
        successor || self.clockwise.keys().rev().nth(LIST_LEN - 1).is_none_or(|last| distance >= *last)
    }

    fn fills_a_finger(&self, distance: Id) -> bool {
        self.fingers && self.clockwise.range(bucket(distance)).next().is_none()
    }

    /// Forgets whoever is neither successor, predecessor nor the first in its power of two.
    fn prune(&mut self) {
        let len = self.clockwise.len();
        if len <= 2 * LIST_LEN {
            return;
        }
        let middle = self.clockwise.keys().copied().enumerate().skip(LIST_LEN - 1).take(len + 1 - 2 * LIST_LEN);
        let mut kept = None;
        let mut surplus = Vec::new();
        for (at, distance) in middle {
            let same_power = kept.is_some_and(|kept| power(kept) == power(distance));
            if at >= LIST_LEN && (same_power || !self.fingers) {
                surplus.push(distance);
            } else {
                kept = Some(distance);
            }
        }
        for distance in surplus {
            self.clockwise.remove(&distance);
        }
    }

    /// Goes as far as we have heard from everybody who is said to follow us.
    fn extend_reach(&mut self) {
        let distance = |contact: &Contact| self.me.clockwise_to(contact.id);
        let following = self.said.following();
        let heard = following.iter().map(distance).take_while(|at| self.clockwise.contains_key(at));
        let reach = match heard.clone().count() == following.len() && self.said.everybody {
            true => Id::MAX,
            false => heard.max().unwrap_or(Id::ZERO),
        };
        self.predecessor_known |= reach == Id::MAX;
        if reach > self.reach {
            self.reach = reach;
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
        // While contacts are known that the list does not reach, it can be made longer.
        let complete = self.successors().count() >= self.clockwise.len().min(LIST_LEN);
        self.stabilise_at = now + self.chance.around(if complete { STABILISE_EVERY } else { STABILISE_SOON });
        self.rounds += 1;
        let trusted = |entry: &&Entry| !entry.suspect;
        let whom = match self.rounds % 4 {
            0 => self.predecessors().find(trusted),
            _ => self.successors().find(trusted),
        };
        whom.map(|entry| Chore::Consult(entry.contact))
    }

    /// Looks up the next finger that is not among the successors anyway.
    fn mend_finger(&mut self, now: Moment) -> Option<Chore> {
        if !self.fingers || now < self.finger_at {
            return None;
        }
        self.finger_at = now + self.chance.around(FINGER_EVERY);
        let lowest = power(*self.clockwise.keys().nth(LIST_LEN - 1)?);
        self.finger = if self.finger + 1 < Id::BITS { (self.finger + 1).max(lowest) } else { lowest };
        Some(Chore::LookUp(self.me.plus(Id::power_of_two(self.finger))))
    }

    fn refresh_stalest(&mut self, now: Moment) -> Option<Chore> {
        let stale = |entry: &&Entry| entry.heard.is_some_and(|heard| now.since(heard) > STALE_AFTER);
        let stalest = self.clockwise.values().filter(stale).min_by_key(|entry| entry.heard)?;
        Some(Chore::Ping(stalest.contact))
    }
}

impl Overlay for Ring {
    fn geometry(&self) -> Geometry {
        Geometry::Ring
    }

    fn heard_from(&mut self, now: Moment, contact: Contact) {
        let distance = self.me.clockwise_to(contact.id);
        if distance == Id::ZERO {
            return;
        }
        let known = self.clockwise.insert(distance, Entry { contact, heard: Some(now), suspect: false });
        if known.is_none() {
            self.changes += 1;
            self.extend_reach();
            if self.is_neighbour(distance) {
                self.hurry(now);
            }
            self.prune();
        }
    }

    fn heard_of(&self, contact: Contact) -> bool {
        let distance = self.me.clockwise_to(contact.id);
        match self.clockwise.get(&distance) {
            _ if distance == Id::ZERO => false,
            Some(known) => known.heard.is_none() || known.suspect,
            None => self.is_neighbour(distance) || self.fills_a_finger(distance),
        }
    }

    fn suspect(&mut self, id: Id) {
        if let Some(entry) = self.clockwise.get_mut(&self.me.clockwise_to(id)) {
            entry.suspect = true;
        }
    }

    fn lost(&mut self, now: Moment, id: Id) {
        let distance = self.me.clockwise_to(id);
        let full_to = self.clockwise.keys().nth(LIST_LEN - 1).copied();
        if self.clockwise.remove(&distance).is_none() {
            return;
        }
        if full_to.is_some_and(|last| distance <= last)
            && let Some(last) = self.clockwise.keys().nth(LIST_LEN - 2)
        {
            // The list is shorter now, until the next round: a finger does not fill the gap.
            self.reach = self.reach.min(*last);
        }
        if !self.settled() {
            self.stabilise_at = now;
        }
        self.changes += 1;
        self.hurry(now);
        let doubtful = |entry: &&Entry| entry.heard.is_some_and(|heard| now.since(heard) > DOUBTFUL_AFTER);
        let neighbours = self.successors().chain(self.predecessors()).filter(doubtful);
        let mut pings: Vec<Contact> = neighbours.map(|entry| entry.contact).collect();
        pings.sort();
        pings.dedup();
        self.pings = pings;
    }

    fn contacts(&self) -> Vec<Contact> {
        self.clockwise.values().map(|entry| entry.contact).collect()
    }

    fn contact(&self, id: Id) -> Option<Contact> {
        self.clockwise.get(&self.me.clockwise_to(id)).map(|entry| entry.contact)
    }

    fn shown(&self) -> Vec<Contact> {
        self.successors().take(2).map(|entry| entry.contact).collect()
    }

    fn settled(&self) -> bool {
        self.successors().count() >= self.clockwise.len().min(2)
    }

    fn lifeline(&self) -> Vec<Contact> {
        self.successors().map(|entry| entry.contact).collect()
    }

    fn watcher(&self) -> Option<Contact> {
        self.predecessor().map(|entry| entry.contact)
    }

    fn changes(&self) -> u64 {
        self.changes
    }

    fn near(&self, key: Id, count: usize) -> Near {
        let offset = self.me.clockwise_to(key);
        let trusted = |(_, entry): &(&Id, &Entry)| !entry.suspect && entry.heard.is_some();
        let after = self.clockwise.range(offset..).chain(self.clockwise.range(..offset)).filter(trusted);
        let before = self.clockwise.range(..offset).rev().chain(self.clockwise.range(offset..).rev()).filter(trusted);
        // Our successor asks us as its predecessor: it wants to know who is before it. Others want to know who keeps.
        let by_successor = self.clockwise.keys().next() == Some(&offset);
        let ahead = if by_successor { count / 3 } else { count - count / 3 };
        let mut contacts: Vec<Contact> = after.take(ahead).map(|(_, entry)| entry.contact).collect();
        let distance = |contact: &Contact| self.me.clockwise_to(contact.id);
        let before_me = self.predecessor().map_or(Id::ZERO, |entry| self.me.clockwise_to(entry.contact.id));
        let listed = |distance: Id| distance <= self.reach;
        let gapless = match () {
            () if offset >= before_me => {
                contacts.iter().map(distance).take_while(|d| *d >= offset || listed(*d)).count()
            }
            () if listed(offset) => contacts.iter().map(distance).take_while(|d| *d >= offset && listed(*d)).count(),
            () => 0,
        };
        for (_, entry) in before.take(count - ahead) {
            if !contacts.contains(&entry.contact) {
                contacts.push(entry.contact);
            }
        }
        // Our list may end just where it began: at the last contact, who asks.
        let full_circle = listed(offset) && self.clockwise.keys().next_back() == Some(&offset);
        let everybody = self.clockwise.len() <= LIST_LEN && (full_circle || self.reach == Id::MAX);
        Near { contacts, gapless, everybody }
    }

    fn next_hop(&self) -> Option<Vec<Contact>> {
        if self.fingers {
            return None;
        }
        let successor = self.clockwise.values().find(|entry| !entry.suspect);
        // The predecessor goes along: it turns a search back that has overshot because of a peer just joined.
        let predecessor = self.predecessor().filter(|entry| !entry.suspect);
        Some(successor.into_iter().chain(predecessor).map(|entry| entry.contact).collect())
    }

    fn owns(&self, key: Id) -> bool {
        self.predecessor().is_none_or(|before| {
            let mine = before.contact.id.clockwise_to(self.me);
            let distance = before.contact.id.clockwise_to(key);
            distance != Id::ZERO && distance <= mine
        })
    }

    fn keepers(&self, key: Id, count: usize) -> Option<Vec<Id>> {
        let from_me = self.me.clockwise_to(key);
        let behind = from_me == Id::ZERO
            || self.predecessors().last().is_some_and(|last| self.me.clockwise_to(last.contact.id) < from_me);
        let ahead =
            || self.successors().filter(|entry| self.me.clockwise_to(entry.contact.id) >= from_me).count() >= count;
        if !(self.knows_everybody() || behind || ahead()) {
            return None;
        }
        let mut all: Vec<Id> = self.clockwise.values().map(|entry| entry.contact.id).chain([self.me]).collect();
        all.sort_by_key(|id| Geometry::Ring.keeping(*id, key));
        all.truncate(count);
        Some(all)
    }

    fn consulted(&mut self, from: Id, near_us: &Near) -> Vec<Contact> {
        if self.shown().first().is_none_or(|first| first.id != from) {
            return Vec::new();
        }
        let distance = |contact: &Contact| self.me.clockwise_to(contact.id);
        let unnamed = |entry: &&Entry| !near_us.following().iter().any(|other| other.id == entry.contact.id);
        let from = self.me.clockwise_to(from);
        let known_to = near_us.following().iter().map(distance).max().unwrap_or(from);
        let doubtful = self.clockwise.range(..known_to).map(|(_, entry)| entry).take(LIST_LEN);
        let doubtful = doubtful.filter(|entry| distance(&entry.contact) > from).filter(unnamed);
        let doubtful = doubtful.map(|entry| entry.contact).collect();
        self.said = near_us.clone();
        self.extend_reach();
        doubtful
    }

    fn joined(&mut self, now: Moment, near_us: &Near) {
        self.range_known_at = now + RANGE_KNOWN_AFTER;
        self.reach = Id::ZERO;
        self.said = near_us.clone();
        self.extend_reach();
    }

    fn contradict(&mut self, now: Moment, asker: Id) -> Vec<Contact> {
        let first = self.clockwise.values().next().map(|first| first.contact.id);
        if first == Some(asker) && self.clockwise.len() > 1 {
            // Our successor asks us as its predecessor.
            return Vec::new();
        }
        let nearer: Vec<&Entry> = self.predecessors().take_while(|entry| entry.contact.id != asker).collect();
        let doubtful = nearer.iter().filter(|entry| entry.heard.is_some_and(|heard| now.since(heard) > DOUBTFUL_AFTER));
        let doubtful = doubtful.map(|entry| entry.contact).collect();
        self.predecessor_known |= nearer.is_empty();
        doubtful
    }

    fn knows_its_range(&self, now: Moment) -> bool {
        let enough = || self.reach == Id::MAX || self.successors().count() >= KEEPERS_KNOWN;
        now >= self.range_known_at || (self.predecessor_known && enough())
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
        let finger = if self.fingers { self.finger_at } else { Moment::NEVER };
        let range = if self.range_known_at == Moment::START { Moment::NEVER } else { self.range_known_at };
        round.min(self.stabilise_at).min(finger).min(range)
    }
}

/// The exponent of the highest power of two in a distance that is not zero.
fn power(distance: Id) -> usize {
    let bytes = distance.as_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(Id::LEN - 1);
    (Id::LEN - 1 - first) * 8 + (bytes[first].max(1).ilog2() as usize)
}

/// All distances with the same highest power of two.
fn bucket(distance: Id) -> std::ops::RangeInclusive<Id> {
    let low = Id::power_of_two(power(distance));
    low..=low.plus(low.plus(Id::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    const NOW: Moment = Moment::START;

    fn contact(number: u8) -> Contact {
        Contact { id: Id::numbered(number), addr: SocketAddr::from(([127, 0, 0, 1], 12000 + u16::from(number))) }
    }

    fn ring(me: u8, heard: &[u8]) -> Ring {
        let interval = Duration::from_secs(15);
        let mut ring = Ring::new(NOW, Id::numbered(me), &[], interval, false, Chance::seeded(1));
        heard.iter().for_each(|number| ring.heard_from(NOW, contact(*number)));
        ring
    }

    fn numbers(contacts: &[Contact]) -> Vec<u8> {
        contacts.iter().map(|contact| contact.id.number().unwrap()).collect()
    }

    #[test]
    fn successors_are_the_beginning_and_the_predecessor_is_the_end() {
        let ring = ring(14, &[2, 4, 5, 8, 9, 19]);
        assert_eq!(numbers(&ring.contacts()), [19, 2, 4, 5, 8, 9]);
        assert_eq!(numbers(&ring.shown()), [19, 2]);
        assert_eq!(ring.predecessor().unwrap().contact, contact(9));
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
        let keepers =
            |key| ring.keepers(Id::numbered(key), 3).unwrap().iter().map(|id| id.number().unwrap()).collect::<Vec<_>>();
        assert_eq!(keepers(19), [19, 2, 4]);
        assert_eq!(keepers(7), [8, 9, 14]);
        assert_eq!(keepers(220), [2, 4, 5]);
        assert_eq!(keepers(9), [9, 14, 19]);
    }

    #[test]
    fn keepers_of_far_places_are_not_guessed() {
        let heard: Vec<u8> = (1..=16).chain(200..=215).collect();
        let ring = ring(0, &heard);
        assert!(ring.keepers(Id::numbered(100), 3).is_none());
        assert_eq!(ring.keepers(Id::numbered(215), 3).unwrap(), [215, 0, 1].map(Id::numbered));
        assert_eq!(ring.keepers(Id::numbered(5), 3).unwrap(), [5, 6, 7].map(Id::numbered));
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
        ring.fingers = true;
        (1..=200).rev().for_each(|number| ring.heard_from(NOW, contact(number)));
        let fingers: Vec<u8> = numbers(&ring.contacts()).into_iter().filter(|n| (17..185).contains(n)).collect();
        assert_eq!(fingers, [32, 64, 128]);
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
