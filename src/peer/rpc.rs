//! Asking over UDP: transactions, round trips, asking again, giving up. And answering twice what is asked twice.
//!
//! A question is sent up to [`ATTEMPTS`] times under one transaction. After the first silence its asker is told that
//! it is *late*, after the last that it is *silent*. An answer counts when it comes from the address asked, with
//! the transaction and, where known, the id.

use crate::ground::krpc::{Body, Message, Program, Question, Want};
use crate::ground::{Chance, Id, Moment};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// How often a question is sent before its silence means something.
pub const ATTEMPTS: u32 = 3;
/// Time between two attempts of a ping.
pub const PING_EVERY: Duration = Duration::from_secs(1);
/// Shortest wait before an answer is late. Late is not silent: a search goes on to the next one, and takes the answer
/// when it comes. Guess: longer than a peer on a busy machine waits for its turn.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
/// Shortest wait after a question was repeated, doubling each time: a peer that hashes a gigabyte may not be scheduled for a while.
const SHORTEST_WAIT_AGAIN: Duration = Duration::from_millis(100);
/// Wait for a peer never measured. Guess: beyond most round trips of the Internet (median 156 ms).
const FIRST_WAIT: Duration = Duration::from_millis(400);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Most questions open at once; more are silent from the start.
const MAX_OPEN: usize = 1024;
/// Most addresses whose round trips are remembered.
const MAX_MEASURED: usize = 512;
/// Who was never measured is expected to be as fast as nine of ten of the last so many answers, and a margin.
const RECENT: usize = 256;
/// Of fewer answers nothing is concluded.
const ENOUGH_RECENT: usize = 16;
/// Most answers kept for who asks again.
const MAX_ANSWERS_KEPT: usize = 256;
/// How long an answer is kept for who asks again: longer than all attempts of a question take.
const ANSWERS_KEPT_FOR: Duration = Duration::from_secs(10);

/// How long to wait for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Attempts a second apart: is it alive?
    Ping,
    /// Attempts as the measured round trip allows: somebody waits for the result.
    Search,
    /// Attempts a second apart, for so long: a peer that may not have been started yet.
    Until(Moment),
}

/// What became of questions that time has run out for.
#[derive(Debug)]
pub enum Overdue<W> {
    /// Not answered yet, asked again.
    Late {
        /// Why it was asked.
        why: W,
        /// How many attempts went unanswered.
        attempts: u32,
    },
    /// Not answered at all.
    Silent {
        /// Why it was asked.
        why: W,
    },
}

/// The open questions, each with a reason `W` of the asker's.
pub struct Rpc<W> {
    me: Id,
    chance: Chance,
    open: BTreeMap<u32, Open<W>>,
    deadlines: BTreeSet<(Moment, u32)>,
    round_trips: BTreeMap<SocketAddr, RoundTrip>,
    /// Whose round trips these are, in the order in which they were first measured.
    measured: VecDeque<SocketAddr>,
    recent: VecDeque<Duration>,
    /// How long somebody never measured is waited for.
    first_wait: Duration,
    answers: BTreeMap<(SocketAddr, Vec<u8>), Vec<u8>>,
    answers_by_age: VecDeque<(Moment, SocketAddr, Vec<u8>)>,
}

/// An open question.
struct Open<W> {
    to: SocketAddr,
    expected: Option<Id>,
    bytes: Vec<u8>,
    why: W,
    patience: Patience,
    attempts: u32,
    sent: Moment,
    deadline: Moment,
}

/// Mean and mean deviation of measured round trips (Jacobson 1988).
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    mean: Duration,
    deviation: Duration,
}

impl<W: Clone> Rpc<W> {
    /// No question open.
    pub fn new(me: Id, chance: Chance) -> Rpc<W> {
        Rpc {
            me,
            chance,
            open: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            round_trips: BTreeMap::new(),
            measured: VecDeque::new(),
            recent: VecDeque::new(),
            first_wait: FIRST_WAIT,
            answers: BTreeMap::new(),
            answers_by_age: VecDeque::new(),
        }
    }

    /// Opens a question; returns the datagram to send now. `expected` is who must answer, where that is known.
    #[expect(clippy::too_many_arguments, reason = "a question is these things")]
    pub fn ask(
        &mut self,
        now: Moment,
        to: SocketAddr,
        expected: Option<Id>,
        question: Question,
        flags: Flags,
        patience: Patience,
        why: W,
    ) -> Vec<u8> {
        let transaction = self.fresh_transaction();
        let Flags { read_only, leaving, reached_at, program, want } = flags;
        let body = Body::Question { from: self.me, read_only, want, question };
        let message = Message { transaction: transaction.to_be_bytes().to_vec(), leaving, reached_at, program, body };
        let bytes = message.encode(to);
        let crowded = self.open.len() >= MAX_OPEN;
        let attempts = if crowded { ATTEMPTS } else { 1 };
        let deadline = if crowded { now } else { now + self.wait(to, patience, 1) };
        let open = Open { to, expected, bytes: bytes.clone(), why, patience, attempts, sent: now, deadline };
        self.deadlines.insert((deadline, transaction));
        self.open.insert(transaction, open);
        bytes
    }

    /// An answer or refusal came: the reason of the question it belongs to, if there is one.
    /// `from` is the id the answer gives, if it gives one.
    pub fn answered(
        &mut self,
        now: Moment,
        addr: SocketAddr,
        transaction: &[u8],
        from: Option<Id>,
    ) -> Option<Closed<W>> {
        let transaction = u32::from_be_bytes(transaction.try_into().ok()?);
        if self.open.get(&transaction)?.to != addr {
            return None;
        }
        let open = self.close(transaction)?;
        if open.attempts == 1 {
            // An answer to a repeated question does not tell which attempt it answers (Karn 1987).
            self.measure(addr, now.since(open.sent));
        }
        let as_expected = open.expected.is_none() || from.is_none() || open.expected == from;
        Some(Closed { why: open.why, expected: open.expected, as_expected })
    }

    /// A question of ours has come to ourselves: whoever is there is no other. Its reason.
    pub fn came_back(&mut self, transaction: &[u8]) -> Option<W> {
        let transaction = u32::from_be_bytes(transaction.try_into().ok()?);
        self.close(transaction).map(|open| open.why)
    }

    /// What is overdue by `now`; datagrams to be sent again go into `send`.
    pub fn overdue(&mut self, now: Moment, send: &mut Vec<(SocketAddr, Vec<u8>)>) -> Vec<Overdue<W>> {
        let mut overdue = Vec::new();
        while let Some((deadline, transaction)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            let open = &self.open[&transaction];
            let (to, patience, attempts) = (open.to, open.patience, open.attempts);
            let given_up = match patience {
                Patience::Until(end) => now >= end,
                Patience::Ping | Patience::Search => attempts >= ATTEMPTS,
            };
            if given_up {
                let open = self.open.remove(&transaction).expect("its deadline was listed");
                overdue.push(Overdue::Silent { why: open.why });
                continue;
            }
            let wait = self.wait(to, patience, attempts + 1);
            let open = self.open.get_mut(&transaction).expect("looked up just above");
            open.attempts += 1;
            open.sent = now;
            open.deadline = now + wait;
            self.deadlines.insert((open.deadline, transaction));
            send.push((open.to, open.bytes.clone()));
            overdue.push(Overdue::Late { why: open.why.clone(), attempts });
        }
        overdue
    }

    /// The system says that nobody listens there: the reasons of all questions for whose answers somebody waits. Pings
    /// go on: they are to find out whether it stays so.
    pub fn unreachable(&mut self, addr: SocketAddr) -> Vec<W> {
        let there = |open: &Open<W>| open.to == addr && open.patience == Patience::Search;
        let closed: Vec<u32> = self.open.iter().filter(|(_, open)| there(open)).map(|(at, _)| *at).collect();
        closed.into_iter().filter_map(|transaction| self.close(transaction)).map(|open| open.why).collect()
    }

    /// Somebody there was this fast in an earlier run.
    pub fn expect(&mut self, addr: SocketAddr, round_trip: Duration) {
        if !round_trip.is_zero() {
            let trip = RoundTrip { mean: round_trip, deviation: round_trip / 2 };
            if self.round_trips.insert(addr, trip).is_none() {
                self.measured.push_back(addr);
            }
        }
    }

    /// How fast somebody there is, on average.
    pub fn expected(&self, addr: SocketAddr) -> Option<Duration> {
        self.round_trips.get(&addr).map(|trip| trip.mean)
    }

    /// We have another id from now on.
    pub fn take_id(&mut self, me: Id) {
        self.me = me;
    }

    /// We were not running for `pause`: nobody is to blame for what was not answered meanwhile.
    pub fn forgive(&mut self, pause: Duration) {
        let moved = std::mem::take(&mut self.deadlines);
        for (deadline, transaction) in moved {
            let open = self.open.get_mut(&transaction).expect("each deadline is an open question's");
            open.deadline = deadline + pause;
            self.deadlines.insert((open.deadline, transaction));
        }
    }

    /// Forgets all questions for which this holds; their answers will be strangers'.
    pub fn forget(&mut self, mut which: impl FnMut(&W) -> bool) {
        let forgotten: Vec<u32> = self.open.iter().filter(|(_, open)| which(&open.why)).map(|(at, _)| *at).collect();
        forgotten.into_iter().for_each(|transaction| drop(self.close(transaction)));
    }

    /// When something will be overdue.
    pub fn due(&self) -> Moment {
        self.deadlines.first().map_or(Moment::NEVER, |(deadline, _)| *deadline)
    }

    /// The reasons of all open questions.
    pub fn reasons(&self) -> impl Iterator<Item = &W> {
        self.open.values().map(|open| &open.why)
    }

    /// The answer already given to this question, if it is a repetition.
    pub fn given_before(&self, asker: SocketAddr, transaction: &[u8]) -> Option<&Vec<u8>> {
        self.answers.get(&(asker, transaction.to_vec()))
    }

    /// Keeps an answer for who asks again.
    pub fn keep_answer(&mut self, now: Moment, asker: SocketAddr, transaction: Vec<u8>, answer: Vec<u8>) {
        self.answers.insert((asker, transaction.clone()), answer);
        self.answers_by_age.push_back((now, asker, transaction));
        while let Some((then, ..)) = self.answers_by_age.front() {
            if self.answers_by_age.len() <= MAX_ANSWERS_KEPT && now.since(*then) < ANSWERS_KEPT_FOR {
                break;
            }
            let (_, asker, transaction) = self.answers_by_age.pop_front().expect("just seen");
            self.answers.remove(&(asker, transaction));
        }
    }

    fn close(&mut self, transaction: u32) -> Option<Open<W>> {
        let open = self.open.remove(&transaction)?;
        self.deadlines.remove(&(open.deadline, transaction));
        Some(open)
    }

    fn fresh_transaction(&mut self) -> u32 {
        loop {
            let transaction = self.chance.bits() as u32;
            if !self.open.contains_key(&transaction) {
                return transaction;
            }
        }
    }

    /// Mean + 4 deviations, doubling with each attempt.
    fn wait(&self, to: SocketAddr, patience: Patience, attempt: u32) -> Duration {
        let Patience::Search = patience else { return PING_EVERY };
        let measured = self.round_trips.get(&to);
        let wait = measured.map_or(self.first_wait, |trip| trip.mean + 4 * trip.deviation);
        let doubled = 2u32.pow(attempt - 1);
        let shortest = if attempt == 1 { SHORTEST_WAIT } else { SHORTEST_WAIT_AGAIN * doubled };
        (wait * doubled).clamp(shortest, LONGEST_WAIT)
    }

    fn measure(&mut self, addr: SocketAddr, sample: Duration) {
        match self.round_trips.entry(addr) {
            Entry::Vacant(new) => {
                new.insert(RoundTrip { mean: sample, deviation: sample / 2 });
                self.measured.push_back(addr);
            }
            Entry::Occupied(mut known) => {
                let trip = known.get_mut();
                trip.deviation = (trip.deviation * 3 + trip.mean.abs_diff(sample)) / 4;
                trip.mean = (trip.mean * 7 + sample) / 8;
            }
        }
        self.learn_first_wait(sample);
        if self.round_trips.len() > MAX_MEASURED
            && let Some(first) = self.measured.pop_front()
        {
            self.round_trips.remove(&first);
        }
    }

    /// The 90th percentile of recent round trips and half as much again; looked at anew after each few answers.
    fn learn_first_wait(&mut self, sample: Duration) {
        if self.recent.len() == RECENT {
            self.recent.drain(..ENOUGH_RECENT);
        }
        self.recent.push_back(sample);
        if self.recent.len().is_multiple_of(ENOUGH_RECENT) {
            let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
            let at = sorted.len() * 9 / 10;
            let (_, percentile, _) = sorted.select_nth_unstable(at);
            self.first_wait = (*percentile * 3 / 2).min(FIRST_WAIT);
        }
    }
}

/// What a question says of its asker.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    /// What it runs.
    pub program: Program,
    /// Which contacts it wants.
    pub want: Want,
    /// Not a member yet: not to be remembered.
    pub read_only: bool,
    /// About to leave.
    pub leaving: bool,
    /// Where it is reached, if that is another address than others see.
    pub reached_at: Option<SocketAddr>,
}

/// A question that was answered.
#[derive(Debug)]
pub struct Closed<W> {
    /// Why it was asked.
    pub why: W,
    /// Who was asked.
    pub expected: Option<Id>,
    /// It was the one asked who answered, not another at its address.
    pub as_expected: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::krpc::Ping;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn at(millis: u64) -> Moment {
        Moment::after(Duration::from_millis(millis))
    }

    fn ask(rpc: &mut Rpc<u8>, now: Moment, patience: Patience) -> Vec<u8> {
        let flags = Flags {
            read_only: false,
            leaving: false,
            reached_at: None,
            program: Program::Keeper,
            want: Want::default(),
        };
        let bytes = rpc.ask(now, addr(1), Some(Id::numbered(1)), Question::Ping(Ping::Quiet), flags, patience, 7);
        Message::decode(&bytes).unwrap().transaction
    }

    fn rpc() -> Rpc<u8> {
        Rpc::new(Id::ZERO, Chance::seeded(1))
    }

    #[test]
    fn an_answer_counts_only_from_the_address_asked() {
        let mut rpc = rpc();
        let transaction = ask(&mut rpc, at(0), Patience::Ping);
        assert!(rpc.answered(at(1), addr(2), &transaction, None).is_none());
        assert!(rpc.answered(at(1), addr(1), b"zzzz", None).is_none());
        let closed = rpc.answered(at(1), addr(1), &transaction, Some(Id::numbered(9))).unwrap();
        assert!(!closed.as_expected);
        assert!(rpc.answered(at(2), addr(1), &transaction, None).is_none(), "only once");
    }

    #[test]
    fn a_ping_is_silent_three_seconds_after_it_was_sent() {
        let mut rpc = rpc();
        ask(&mut rpc, at(0), Patience::Ping);
        let mut send = Vec::new();
        let mut seen = Vec::new();
        while rpc.due() != Moment::NEVER {
            let now = rpc.due();
            for overdue in rpc.overdue(now, &mut send) {
                seen.push((now, matches!(overdue, Overdue::Silent { .. })));
            }
        }
        assert_eq!(seen, [(at(1000), false), (at(2000), false), (at(3000), true)]);
        assert_eq!(send.len(), 2);
    }

    #[test]
    fn searches_wait_as_long_as_round_trips_take() {
        let mut rpc = rpc();
        for _ in 0..20 {
            let transaction = ask(&mut rpc, at(0), Patience::Search);
            rpc.answered(at(60), addr(1), &transaction, None);
        }
        ask(&mut rpc, at(100), Patience::Search);
        let wait = rpc.due().since(at(100));
        assert!((60..100).contains(&wait.as_millis()), "{wait:?}");
    }

    #[test]
    fn who_was_never_measured_is_expected_to_be_as_fast_as_most_others() {
        let mut rpc = rpc();
        let wait = |rpc: &Rpc<u8>| rpc.wait(addr(9), Patience::Search, 1);
        assert_eq!(wait(&rpc), FIRST_WAIT);
        for round in 0..160 {
            let transaction = ask(&mut rpc, at(0), Patience::Search);
            // One of twenty is slow.
            let took = if round % 20 == 0 { 300 } else { 20 };
            rpc.answered(at(took), addr(1), &transaction, None);
        }
        assert_eq!(wait(&rpc), Duration::from_millis(30));
        assert_eq!(rpc.wait(addr(9), Patience::Search, 2), 2 * SHORTEST_WAIT_AGAIN);
    }

    #[test]
    fn what_is_unreachable_is_not_waited_for() {
        let mut rpc = rpc();
        ask(&mut rpc, at(0), Patience::Search);
        ask(&mut rpc, at(0), Patience::Until(at(5000)));
        ask(&mut rpc, at(0), Patience::Ping);
        assert!(rpc.unreachable(addr(2)).is_empty());
        assert_eq!(rpc.unreachable(addr(1)), [7]);
        assert_eq!(rpc.open.len(), 2, "whether it stays so is found out");
    }

    #[test]
    fn a_pause_of_ours_is_forgiven() {
        let mut rpc = rpc();
        ask(&mut rpc, at(0), Patience::Ping);
        rpc.forgive(Duration::from_secs(20));
        assert!(rpc.overdue(at(20_000), &mut Vec::new()).is_empty());
        assert_eq!(rpc.due(), at(21_000));
    }

    #[test]
    fn repeated_questions_get_the_same_answer_for_a_while() {
        let mut rpc = rpc();
        rpc.keep_answer(at(0), addr(1), vec![1], vec![42]);
        assert_eq!(rpc.given_before(addr(1), &[1]), Some(&vec![42]));
        assert_eq!(rpc.given_before(addr(2), &[1]), None);
        rpc.keep_answer(at(11_000), addr(1), vec![2], vec![43]);
        assert_eq!(rpc.given_before(addr(1), &[1]), None);
        for number in 0..1000u32 {
            rpc.keep_answer(at(11_000), addr(1), number.to_be_bytes().to_vec(), vec![0; 1000]);
        }
        assert!(rpc.answers.len() <= MAX_ANSWERS_KEPT);
    }

    #[test]
    fn more_questions_than_the_bound_are_silent_at_once() {
        let mut rpc = rpc();
        (0..=MAX_OPEN).for_each(|_| drop(ask(&mut rpc, at(0), Patience::Ping)));
        let overdue = rpc.overdue(at(0), &mut Vec::new());
        assert!(matches!(overdue[..], [Overdue::Silent { .. }]));
    }
}
