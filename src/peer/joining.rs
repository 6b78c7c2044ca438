//! Joining: a ping to the known peer, a lookup of our own id, and a ping to everybody who will be a neighbour.
//!
//! Corrected join (Zave 2017): only when the list is full of peers that answered do we become a member, and only
//! then are we anybody's contact. Until then our questions are read-only, and others' questions get "busy".

use super::search::{Search, Want};
use super::*;
use crate::ground::krpc::{self, Errand, Network, Ping};
use crate::overlay::Arrival;
use std::collections::BTreeSet;

/// How long the known peer may be silent: it may have been started a moment after us.
pub const KNOCK_FOR: Duration = Duration::from_secs(20);
/// How long to go on trying when the search ends nowhere.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// Most addresses that are known to begin with; later ones are left out. Guess: two names of as many addresses as are used.
const MAX_KNOWN: usize = 32;
/// Time between two tries.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// A peer that is joining.
pub(super) struct Joining {
    known: Vec<SocketAddr>,
    /// Families of which nobody has answered, and nobody is late: each is a network of its own (BEP 32).
    unheard: BTreeSet<bool>,
    phase: Phase,
    give_up_at: Moment,
    /// What we have learnt on the way.
    arrival: Arrival,
}

enum Phase {
    /// Waiting for the known peer.
    Knocking,
    /// Looking our own id up.
    Searching(Search),
    /// Waiting for answers of future neighbours.
    Meeting,
    /// It did not work: again at this moment.
    Resting(Moment),
}

/// What a joining peer asks.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// Are you there?
    Knock(SocketAddr),
    /// Whom do you know near me?
    Way(Contact),
    /// Will you be my neighbour?
    Neighbour(Contact),
    /// Are you what I want to be?
    Rival(SocketAddr),
}

impl Peer {
    pub(super) fn start_joining(&mut self, now: Moment, known: Vec<SocketAddr>) {
        self.joining = Some(Joining {
            unheard: known.iter().map(SocketAddr::is_ipv6).filter(|v6| self.families.has(*v6)).collect(),
            known: known.clone(),
            phase: Phase::Knocking,
            give_up_at: now + GIVE_UP_AFTER,
            arrival: Arrival::of(self.me.id),
        });
        self.knock(now, known);
    }

    fn knock(&mut self, now: Moment, known: Vec<SocketAddr>) {
        for addr in known {
            // Who only asks one thing will not wait for a network to be started.
            let patience = if self.read_only { Patience::Search } else { Patience::Until(now + KNOCK_FOR) };
            self.ask_anyone(now, addr, None, Question::Ping(Ping::Quiet), patience, Why::Joining(Asked::Knock(addr)));
        }
    }

    /// Where those are now by whom we join, or joined once. A member looks whether they are in another network by now.
    pub(super) fn known_at(&mut self, now: Moment, addrs: &[SocketAddr]) {
        let addrs = &addrs[..addrs.len().min(MAX_KNOWN)];
        match (self.standing, &mut self.joining) {
            (Standing::Joining, Some(joining)) => {
                let new: Vec<SocketAddr> = addrs.iter().filter(|addr| !joining.known.contains(addr)).copied().collect();
                // Who has a name by now is asked before who had it.
                joining.known.splice(0..0, new.iter().copied());
                joining.known.truncate(MAX_KNOWN);
                if self.is_knocking() {
                    self.knock(now, new);
                }
            }
            (Standing::Member, _) => {
                for addr in addrs {
                    self.ask_anyone(now, *addr, None, Question::Ping(Ping::Quiet), Patience::Ping, Why::Known);
                }
            }
            (Standing::Joining | Standing::Leaving | Standing::Gone, _) => {}
        }
    }

    /// Somebody answers where our network was: perhaps a whole network of others is there.
    pub(super) fn found_again(&mut self, now: Moment, contact: Contact) {
        if self.standing == Standing::Member && contact.id != self.me.id {
            self.refresh_from(now, contact);
        }
    }

    pub(super) fn joining_due(&self) -> Moment {
        match self.joining.as_ref().map(|joining| &joining.phase) {
            Some(Phase::Resting(until)) => *until,
            _ => Moment::NEVER,
        }
    }

    pub(super) fn retry_joining(&mut self, now: Moment) {
        let due = self.joining_due() <= now;
        if let Some(joining) = self.joining.as_mut().filter(|_| due) {
            joining.phase = Phase::Knocking;
            let known = joining.known.clone();
            self.knock(now, known);
        }
    }

    /// What kind of network this peer is in.
    pub(super) fn network(&self) -> Network {
        match (self.overlay.geometry(), self.naming) {
            (Geometry::Xor { .. }, _) => Network::Kademlia,
            (Geometry::Ring, Naming::Numbered) => Network::NumberedRing,
            (Geometry::Ring, Naming::NumberedPeers | Naming::Hashed) => Network::Ring,
        }
    }

    /// Whoever answered is in another kind of network. Programs that do not say so keep to Kademlia.
    fn is_elsewhere(&self, contact: Contact, answer: &krpc::Answer) -> Option<JoinError> {
        let theirs = answer.network.or(self.strangers.contains(&contact.id).then_some(Network::Kademlia));
        let theirs = theirs.filter(|theirs| *theirs != self.network())?;
        Some(JoinError::Elsewhere { addr: contact.addr, theirs, ours: self.network() })
    }

    pub(super) fn joining_answered(&mut self, now: Moment, asked: Asked, contact: Contact, answer: &krpc::Answer) {
        match asked {
            Asked::Rival(addr) => self.join_failed(JoinError::Taken(addr)),
            Asked::Knock(_) if contact.id == self.me.id => self.join_failed(JoinError::Taken(contact.addr)),
            Asked::Knock(_) if let Some(error) = self.is_elsewhere(contact, answer) => self.join_failed(error),
            Asked::Knock(addr) if !self.is_knocking() && !self.is_resting() => self.go_on_without(now, addr),
            Asked::Knock(addr) => {
                self.go_on_without(now, addr);
                let errand = Some(Errand::Join);
                let search = Search::for_myself(&*self.overlay, self.me.id, contact, errand);
                if let Some(joining) = &mut self.joining {
                    joining.arrival = Arrival::of(self.me.id).at(contact);
                }
                self.search_on(now, search);
            }
            Asked::Way(_) => {
                let near_us = self.near_us(answer);
                let Some(mut search) = self.take_search() else { return };
                let (mine, others): (Vec<Contact>, Vec<Contact>) =
                    answer.nodes.iter().partition(|named| named.id == self.me.id);
                if let Some(rival) =
                    mine.iter().find(|rival| rival.addr != self.me.addr && !self.reached_at.contains(&rival.addr))
                {
                    let why = Why::Joining(Asked::Rival(rival.addr));
                    self.ask(now, *rival, Question::Ping(Ping::Quiet), Patience::Search, why);
                }
                search.answered(contact.id, &others);
                if !near_us.following().is_empty() {
                    search.told_all(contact.id);
                }
                if let Some(joining) = &mut self.joining {
                    joining.arrival.hear(contact.id, &near_us);
                }
                self.search_on(now, search);
            }
            Asked::Neighbour(contact) => self.met(now, contact),
        }
    }

    pub(super) fn joining_late(&mut self, now: Moment, asked: &Asked, attempts: u32) {
        match asked {
            Asked::Way(contact) => {
                let Some(mut search) = self.take_search() else { return };
                search.late(contact.id, attempts);
                self.search_on(now, search);
            }
            Asked::Knock(addr) => self.go_on_without(now, *addr),
            Asked::Neighbour(_) | Asked::Rival(_) => {}
        }
    }

    pub(super) fn joining_silent(&mut self, now: Moment, asked: Asked) {
        match asked {
            Asked::Knock(addr) => {
                let asked = |why: &Why| matches!(why, Why::Joining(Asked::Knock(_)));
                let other = self.rpc.reasons().any(asked);
                if let Some(Joining { known, phase: Phase::Knocking, .. }) = self.joining.as_ref().filter(|_| !other) {
                    return self.join_failed(JoinError::Silence(known[0]));
                }
                self.go_on_without(now, addr);
            }
            Asked::Way(contact) => {
                let Some(mut search) = self.take_search() else { return };
                search.failed(contact.id);
                self.search_on(now, search);
            }
            Asked::Neighbour(contact) => self.met(now, contact),
            Asked::Rival(_) => self.become_member_if_met(now),
        }
    }

    pub(super) fn joining_refused(&mut self, now: Moment, asked: Asked) {
        match asked {
            // It is joining itself, perhaps by us.
            Asked::Knock(_) if self.is_knocking() => self.rest(now),
            Asked::Knock(addr) => self.go_on_without(now, addr),
            Asked::Way(_) | Asked::Neighbour(_) | Asked::Rival(_) => self.joining_silent(now, asked),
        }
    }

    /// This family need not be waited for any more: somebody of it has answered, or is late.
    fn go_on_without(&mut self, now: Moment, addr: SocketAddr) {
        if let Some(joining) = &mut self.joining
            && joining.unheard.remove(&addr.is_ipv6())
        {
            self.become_member_if_met(now);
        }
    }

    /// Nobody has answered yet of those we know.
    fn is_knocking(&self) -> bool {
        matches!(&self.joining, Some(Joining { phase: Phase::Knocking, .. }))
    }

    /// It did not work, but somebody else may still answer.
    fn is_resting(&self) -> bool {
        matches!(&self.joining, Some(Joining { phase: Phase::Resting(_), .. }))
    }

    fn take_search(&mut self) -> Option<Search> {
        let joining = self.joining.as_mut()?;
        match std::mem::replace(&mut joining.phase, Phase::Knocking) {
            Phase::Searching(search) => Some(search),
            other => {
                joining.phase = other;
                None
            }
        }
    }

    fn search_on(&mut self, now: Moment, mut search: Search) {
        loop {
            match search.want(&*self.overlay, self.me.id) {
                Want::Ask(contact, question) => {
                    self.ask(now, contact, question, Patience::Search, Why::Joining(Asked::Way(contact)));
                }
                Want::Wait => return self.set_phase(Phase::Searching(search)),
                Want::Done if search.lookup.nearest_answered().is_none() => return self.rest(now),
                Want::Done => break,
            }
        }
        let Some(joining) = &mut self.joining else { return };
        let to_meet = joining.arrival.meet(|heard| self.overlay.to_meet(heard)).clone();
        joining.phase = Phase::Meeting;
        for contact in to_meet {
            let why = Why::Joining(Asked::Neighbour(contact));
            self.ask(now, contact, Question::Ping(Ping::Quiet), Patience::Search, why);
        }
        self.become_member_if_met(now);
    }

    /// A future neighbour has answered (and is in the overlay by now), or will not.
    fn met(&mut self, now: Moment, contact: Contact) {
        if let Some(Joining { phase: Phase::Meeting, arrival, .. }) = &mut self.joining {
            arrival.met(contact);
        }
        self.become_member_if_met(now);
    }

    fn become_member_if_met(&mut self, now: Moment) {
        let Some(Joining { phase: Phase::Meeting, arrival, unheard, .. }) = &self.joining else { return };
        let rival_asked = self.rpc.reasons().any(|why| matches!(why, Why::Joining(Asked::Rival(_))));
        if !arrival.to_meet().is_empty() || !unheard.is_empty() || rival_asked {
            return;
        }
        let Some(watcher) = self.overlay.watcher() else { return self.rest(now) };
        if !self.overlay.joined(now, arrival.surroundings()) {
            return self.rest(now);
        }
        self.joining = None;
        self.standing = Standing::Member;
        self.note_successors();
        let shown = !self.overlay.shown().is_empty();
        self.news(News::Joined(shown.then(|| self.successors())));
        self.introduce_ourselves(now, watcher);
    }

    fn set_phase(&mut self, phase: Phase) {
        if let Some(joining) = &mut self.joining {
            joining.phase = phase;
        }
    }

    fn rest(&mut self, now: Moment) {
        let Some(joining) = &self.joining else { return };
        if now >= joining.give_up_at {
            return self.join_failed(JoinError::Silence(joining.known[0]));
        }
        if self.overlay.geometry() == Geometry::Ring {
            // Who answered this time may be dead the next.
            self.overlay.contacts().into_iter().for_each(|contact| self.overlay.lost(now, contact.id));
        }
        let until = now + self.chance.around(TRY_EVERY);
        self.set_phase(Phase::Resting(until));
    }

    fn join_failed(&mut self, error: JoinError) {
        self.joining = None;
        self.standing = Standing::Gone;
        self.news(News::JoinFailed(error));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outputs, peer, peer_of};
    use super::*;
    use crate::ground::krpc::{Body, Message, Program};
    use crate::overlay::{Kind, RingTuning};

    #[test]
    fn who_is_remembered_at_another_of_its_addresses_is_not_its_own_rival() {
        let [here, there, known] = ["0.0.0.0:12001", "127.0.0.1:12001", "127.0.0.1:12004"];
        let [there, known] = [there, known].map(|addr| addr.parse::<SocketAddr>().unwrap());
        let mut peer = peer(here, Start::Join(vec![known]), Vec::new());
        let me = Contact { id: peer.me.id, addr: there };
        let mut joined = false;
        for _ in 0..10 {
            for output in outputs(&mut peer) {
                match output {
                    Output::Send { to, bytes } if to == there => {
                        peer.handle(Moment::START, Input::Datagram { from: there, bytes });
                    }
                    Output::Send { to, bytes } => {
                        let transaction = Message::decode(&bytes).unwrap().transaction;
                        let answer = krpc::Answer { nodes: vec![me], ..krpc::Answer::default() };
                        let body = Body::Answer { from: Id::hashed(b"known"), seen_at: None, answer };
                        let message =
                            Message { transaction, leaving: false, reached_at: None, program: Program::Keeper, body };
                        peer.handle(Moment::START, Input::Datagram { from: to, bytes: message.encode(there) });
                    }
                    Output::News(News::JoinFailed(error)) => panic!("{error}"),
                    Output::News(News::Joined(_)) => joined = true,
                    _ => {}
                }
            }
        }
        assert!(joined);
    }

    #[test]
    fn who_joins_answers_no_ping_and_knocks_again_where_another_one_joins() {
        let [here, known] = ["127.0.0.1:12001", "127.0.0.1:12004"];
        let known = known.parse::<SocketAddr>().unwrap();
        let ring = Kind::Ring(RingTuning::CLASSIC);
        let mut peer = peer_of(ring, here, Start::Join(vec![known]), Vec::new());
        let sent = |peer: &mut Peer| {
            let bytes = |output: Output| if let Output::Send { bytes, .. } = output { Some(bytes) } else { None };
            outputs(peer)
                .into_iter()
                .filter_map(bytes)
                .map(|bytes| Message::decode(&bytes).unwrap())
                .collect::<Vec<_>>()
        };
        let [knock] = &sent(&mut peer)[..] else { panic!("it knocks once") };
        let reply = |transaction: &[u8], body: Body| {
            let message = Message {
                transaction: transaction.to_vec(),
                leaving: false,
                program: Program::Keeper,
                reached_at: None,
                body,
            };
            Input::Datagram { from: known, bytes: message.encode(known) }
        };
        peer.handle(Moment::START, reply(&knock.transaction, Body::Refusal(krpc::Refusal::busy())));
        assert!(sent(&mut peer).is_empty() && peer.standing == Standing::Joining);
        let question = Question::Ping(Ping::Quiet);
        let ping =
            Body::Question { from: Id::hashed(b"known"), read_only: false, want: krpc::Want::default(), question };
        peer.handle(Moment::START, reply(b"ab", ping));
        let [Message { body: Body::Refusal(refusal), .. }] = &sent(&mut peer)[..] else { panic!("it says why not") };
        assert_eq!(*refusal, krpc::Refusal::busy());
        peer.handle(Moment::START + 2 * TRY_EVERY, Input::Wake);
        assert_eq!(sent(&mut peer).len(), 1, "it knocks again");
    }

    #[test]
    fn who_is_refused_by_one_goes_on_with_the_next_that_answers() {
        let known = ["127.0.0.1:12004", "127.0.0.1:12005"].map(|addr| addr.parse::<SocketAddr>().unwrap());
        let ring = Kind::Ring(RingTuning::CLASSIC);
        let mut peer = peer_of(ring, "127.0.0.1:12001", Start::Join(known.to_vec()), Vec::new());
        let mut bodies = vec![
            Body::Refusal(krpc::Refusal::busy()),
            Body::Answer { from: Id::hashed(b"known"), seen_at: None, answer: krpc::Answer::default() },
        ];
        for output in outputs(&mut peer) {
            let Output::Send { to, bytes } = output else { continue };
            let Message { transaction, .. } = Message::decode(&bytes).unwrap();
            let message = Message {
                transaction,
                leaving: false,
                program: Program::Keeper,
                reached_at: None,
                body: bodies.remove(0),
            };
            peer.handle(Moment::START, Input::Datagram { from: to, bytes: message.encode(to) });
        }
        let way = |output: &Output| matches!(output, Output::Send { to, .. } if *to == known[1]);
        assert!(outputs(&mut peer).iter().any(way));
    }

    #[test]
    fn who_is_known_elsewhere_by_now_is_asked_there_once() {
        let [before, now] = ["127.0.0.1:12004", "127.0.0.1:12005"].map(|addr| addr.parse::<SocketAddr>().unwrap());
        let asked = |peer: &mut Peer| {
            peer.handle(Moment::START, Input::Known(vec![before, now]));
            let to = |output: Output| if let Output::Send { to, .. } = output { Some(to) } else { None };
            outputs(peer).into_iter().filter_map(to).collect::<Vec<SocketAddr>>()
        };
        let mut joining = peer("127.0.0.1:12001", Start::Join(vec![before]), Vec::new());
        outputs(&mut joining);
        assert_eq!(asked(&mut joining), [now], "it has knocked at the other address already");
        assert_eq!(asked(&mut joining), []);
        let mut member = peer("127.0.0.1:12001", Start::Ring(Vec::new()), Vec::new());
        outputs(&mut member);
        assert_eq!(asked(&mut member), [before, now]);
        let many: Vec<SocketAddr> = (1..1000).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        outputs(&mut member);
        member.handle(Moment::START, Input::Known(many));
        assert!(outputs(&mut member).len() <= MAX_KNOWN);
    }
}
