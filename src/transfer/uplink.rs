//! Who is given bytes when several want some, and how fast all of it goes.
//!
//! As in BitTorrent, who gives to us is given to first: the four takers from whom most came in the last 20 s, ranked anew
//! every 10 s, and one more, drawn anew every 30 s, so that a newcomer gets something to give. Unlike there nobody is
//! *choked*: a taker that asks waits in a queue, and whoever is not among these five has its turn when none of them
//! waits. Choking spares TCP many connections that all send a little, and costs time in which the uplink is idle while
//! the chosen ones have nothing to ask; here [`SLOTS`] bounds the first, and the second does not happen.

use super::pace::Pace;
use crate::ground::{Chance, Moment};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Most that are given to at the same time: the five, and room for one to begin while another ends. Guess.
const SLOTS: usize = 8;
/// With a limit, a slot for each so many bytes a second: fewer at once are served sooner.
const SLOT_BYTES_PER_SECOND: u64 = 128 << 10;
/// BEP 3: "four peers which it has the best download rates from".
const FAVOURED: usize = 4;
/// BEP 3: "calculated using a rolling 20-second average".
const REMEMBERED: Duration = Duration::from_secs(20);
/// BEP 3: "they change who's choked once every ten seconds".
const RANKED_EVERY: Duration = Duration::from_secs(10);
/// BEP 3: "which peer is optimistically unchoked rotates every 30 seconds".
const DRAWN_EVERY: Duration = Duration::from_secs(30);
/// Most givers that are remembered. Guess: no peer takes from more than twelve at a time.
const MOST_GIVERS: usize = 256;

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u64);

/// Whose turn it is: decisions alone, time is told.
struct Turns {
    slots: usize,
    serving: usize,
    waiting: VecDeque<(Ticket, SocketAddr)>,
    /// When each taker last asked.
    asked: BTreeMap<SocketAddr, Moment>,
    /// What came from whom: seconds since the start, and bytes.
    came: BTreeMap<SocketAddr, VecDeque<(u64, u64)>>,
    favoured: Vec<SocketAddr>,
    drawn: Option<SocketAddr>,
    ranked_at: Option<Moment>,
    drawn_at: Option<Moment>,
    next: u64,
    chance: Chance,
}

impl Turns {
    fn new(slots: usize, seed: u64) -> Turns {
        Turns {
            slots,
            serving: 0,
            waiting: VecDeque::new(),
            asked: BTreeMap::new(),
            came: BTreeMap::new(),
            favoured: Vec::new(),
            drawn: None,
            ranked_at: None,
            drawn_at: None,
            next: 0,
            chance: Chance::seeded(seed),
        }
    }

    /// Joins the queue.
    fn ask(&mut self, now: Moment, who: SocketAddr) -> Ticket {
        self.asked.insert(who, now);
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push_back((ticket, who));
        ticket
    }

    /// Leaves the queue.
    fn give_up(&mut self, ticket: Ticket) {
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
    }

    /// Takes a slot, if there is one and it is this one's turn.
    fn begin(&mut self, now: Moment, ticket: Ticket) -> bool {
        self.rank(now);
        if self.serving == self.slots || self.first() != Some(ticket) {
            return false;
        }
        self.give_up(ticket);
        self.serving += 1;
        true
    }

    /// Gives a slot back.
    fn end(&mut self) {
        self.serving -= 1;
    }

    fn received(&mut self, now: Moment, from: SocketAddr, bytes: u64) {
        if self.came.len() == MOST_GIVERS && !self.came.contains_key(&from) {
            return;
        }
        let second = now.elapsed().as_secs();
        let came = self.came.entry(from).or_default();
        match came.back_mut() {
            Some((last, sum)) if *last == second => *sum += bytes,
            _ => came.push_back((second, bytes)),
        }
    }

    /// Who waits and comes first.
    fn first(&self) -> Option<Ticket> {
        let is_preferred = |who: &SocketAddr| self.favoured.contains(who) || self.drawn == Some(*who);
        let preferred = self.waiting.iter().find(|(_, who)| is_preferred(who));
        preferred.or(self.waiting.front()).map(|(ticket, _)| *ticket)
    }

    fn rank(&mut self, now: Moment) {
        if is_due(self.ranked_at, now, RANKED_EVERY) {
            self.ranked_at = Some(now);
            self.asked.retain(|_, asked| now.since(*asked) < REMEMBERED);
            let oldest = now.elapsed().as_secs().saturating_sub(REMEMBERED.as_secs());
            self.came.values_mut().for_each(|came| came.retain(|(second, _)| *second >= oldest));
            self.came.retain(|_, came| !came.is_empty());
            let sum =
                |who: &SocketAddr| self.came.get(who).map(|came| came.iter().map(|(_, bytes)| *bytes).sum::<u64>());
            let mut givers: Vec<(u64, SocketAddr)> =
                self.asked.keys().filter_map(|who| Some((sum(who)?, *who))).collect();
            givers.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
            self.favoured = givers.into_iter().take(FAVOURED).map(|(_, who)| who).collect();
        }
        if is_due(self.drawn_at, now, DRAWN_EVERY) {
            let others: Vec<SocketAddr> =
                self.asked.keys().filter(|who| !self.favoured.contains(who)).copied().collect();
            if !others.is_empty() {
                self.drawn_at = Some(now);
                self.drawn = Some(others[self.chance.within(0..others.len() as u64) as usize]);
            }
        }
    }
}

fn is_due(last: Option<Moment>, now: Moment, every: Duration) -> bool {
    last.is_none_or(|last| now.since(last) >= every)
}

/// What leaves this peer: whose turn it is, and how fast.
pub struct Uplink {
    begun: Instant,
    turns: Mutex<Turns>,
    changed: Condvar,
    pace: Pace,
}

impl Uplink {
    /// `limit`: bytes a second; none: as fast as it goes.
    pub fn new(limit: Option<u64>, seed: u64) -> Uplink {
        let slots = limit.map_or(SLOTS, |limit| (limit / SLOT_BYTES_PER_SECOND).clamp(1, SLOTS as u64) as usize);
        let turns = Mutex::new(Turns::new(slots, seed));
        Uplink { begun: Instant::now(), turns, changed: Condvar::new(), pace: Pace::new(limit) }
    }

    /// Joins the queue of those who are given something.
    pub fn queue(&self, who: SocketAddr) -> Waiting<'_> {
        let ticket = self.turns().ask(self.now(), who);
        Waiting { uplink: self, ticket }
    }

    /// Notes what somebody gave us.
    pub fn received(&self, from: SocketAddr, bytes: u64) {
        self.turns().received(self.now(), from, bytes);
    }

    /// How fast bytes may leave.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    fn now(&self) -> Moment {
        Moment::after(self.begun.elapsed())
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().expect("nothing panics while it is held")
    }
}

/// A place in the queue, left when dropped.
pub struct Waiting<'u> {
    uplink: &'u Uplink,
    ticket: Ticket,
}

impl<'u> Waiting<'u> {
    /// Waits for the turn, at most so long. The place is kept.
    pub fn turn(&self, most: Duration) -> Option<Turn<'u>> {
        let until = Instant::now() + most;
        let mut turns = self.uplink.turns();
        loop {
            if turns.begin(self.uplink.now(), self.ticket) {
                // The next in the queue may have a slot too.
                self.uplink.changed.notify_all();
                return Some(Turn { uplink: self.uplink });
            }
            let left = until.checked_duration_since(Instant::now())?;
            let waited = self.uplink.changed.wait_timeout(turns, left);
            turns = waited.expect("nothing panics while it is held").0;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.uplink.turns().give_up(self.ticket);
        self.uplink.changed.notify_all();
    }
}

/// A turn, over when dropped.
pub struct Turn<'u> {
    uplink: &'u Uplink,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.uplink.turns().end();
        self.uplink.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::after(Duration::from_secs(secs))
    }

    fn who(number: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], number))
    }

    /// Everybody of these asks in a row; returns who is served, one after the other.
    fn order(turns: &mut Turns, now: Moment, takers: impl IntoIterator<Item = u16>) -> Vec<u16> {
        let tickets: Vec<(Ticket, u16)> = takers.into_iter().map(|taker| (turns.ask(now, who(taker)), taker)).collect();
        let mut served = Vec::new();
        while let Some((ticket, taker)) = tickets.iter().find(|(ticket, _)| turns.begin(now, *ticket)) {
            served.push(*taker);
            turns.give_up(*ticket);
            turns.end();
        }
        served
    }

    #[test]
    fn who_gave_most_is_served_first_and_the_others_in_their_order() {
        let mut turns = Turns::new(1, 7);
        (1..=9).for_each(|taker| _ = turns.ask(at(0), who(taker)));
        turns.waiting.clear();
        for (giver, bytes) in [(9, 500), (8, 400), (7, 300), (6, 200), (5, 100)] {
            turns.received(at(0), who(giver), bytes);
        }
        turns.drawn_at = Some(at(0));
        let served = order(&mut turns, at(1), 1..=9);
        assert_eq!(served, [6, 7, 8, 9, 1, 2, 3, 4, 5], "four are favoured, the fifth is not");
    }

    #[test]
    fn nobody_waits_while_a_slot_is_free() {
        let mut turns = Turns::new(2, 7);
        turns.received(at(0), who(1), 1000);
        let tickets = [1, 2, 3].map(|taker| turns.ask(at(0), who(taker)));
        let begun = tickets.iter().rev().chain(tickets.iter().rev()).filter(|ticket| turns.begin(at(0), **ticket));
        assert_eq!(begun.count(), 2, "who gave nothing is served too");
        assert!(!turns.begin(at(0), tickets[2]));
        turns.end();
        assert!(turns.begin(at(0), tickets[2]));
    }

    #[test]
    fn what_was_given_long_ago_is_forgotten() {
        let mut turns = Turns::new(1, 7);
        turns.received(at(0), who(2), 1000);
        turns.drawn_at = Some(at(0));
        assert_eq!(order(&mut turns, at(0), [1, 2]), [2, 1]);
        assert_eq!(order(&mut turns, at(15), [1, 2]), [2, 1]);
        turns.drawn_at = Some(at(25));
        assert_eq!(order(&mut turns, at(25), [1, 2]), [1, 2]);
        assert!(turns.came.is_empty());
    }

    #[test]
    fn one_more_is_drawn_anew_so_that_everybody_comes_first_at_times() {
        let mut turns = Turns::new(1, 7);
        (1..=3).for_each(|giver| turns.received(at(0), who(giver), 1000));
        let mut firsts = std::collections::BTreeSet::new();
        for round in 0..40 {
            let served = order(&mut turns, at(31 * round), [4, 5, 6, 7]);
            firsts.insert(served[0]);
        }
        assert_eq!(firsts.into_iter().collect::<Vec<_>>(), [4, 5, 6, 7]);
    }

    #[test]
    fn who_goes_away_holds_up_nobody() {
        let uplink = Uplink::new(Some(1), 7);
        let first = uplink.queue(who(1));
        let turn = first.turn(Duration::ZERO).unwrap();
        let (second, third) = (uplink.queue(who(2)), uplink.queue(who(3)));
        assert!(second.turn(Duration::ZERO).is_none());
        drop((second, turn));
        assert!(third.turn(Duration::ZERO).is_some());
    }
}
