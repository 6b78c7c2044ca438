//! Whom a peer knows, and how long somebody takes to answer: what people look at.

use super::looking_up::Purpose;
use super::*;
use crate::ground::krpc::{self, Ping};
use crate::overlay::Acquaintance;

/// Most pings of people under way.
const MAX_PINGS: usize = 64;

/// Whom a peer knows at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Contacts {
    /// Who it is.
    pub me: Contact,
    /// Everybody: on the ring clockwise from it, in Kademlia bucket by bucket.
    pub known: Vec<KnownContact>,
    /// There is nobody else, as far as it knows.
    pub everybody: bool,
}

/// A contact, and all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownContact {
    /// Who, and what it is to us.
    pub about: Acquaintance,
    /// How long ago it answered last; none: never.
    pub heard_ago: Option<Duration>,
    /// How fast it answers, on average; none: it was not measured.
    pub round_trip: Option<Duration>,
    /// It runs another program, and takes no files.
    pub stranger: bool,
}

/// Somebody who is to be pinged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Whoever listens there.
    At(SocketAddr),
    /// The peer that people call so: by its number, or the first digits of its id.
    Called(String),
}

/// A ping that somebody waits for.
pub(super) struct PendingPing {
    to: SocketAddr,
    /// The last attempt.
    sent: Moment,
    attempts: u32,
}

impl Peer {
    /// Whom it knows.
    pub(super) fn contacts_known(&self, now: Moment) -> Contacts {
        let describe = |about: Acquaintance| KnownContact {
            heard_ago: about.heard.map(|heard| now.since(heard)),
            round_trip: self.rpc.expected(about.contact.addr),
            stranger: self.strangers.contains(&about.contact.id),
            about,
        };
        let known = self.overlay.described().into_iter().map(describe).collect();
        Contacts { me: self.me, known, everybody: self.overlay.near(self.me.id, krpc::MAX_NODES).everybody }
    }

    /// Pings somebody; who is called by a name, and is no contact, is looked for first.
    pub(super) fn start_ping(&mut self, now: Moment, ticket: Ticket, whom: &Whom) {
        let name = match whom {
            Whom::At(addr) => return self.ping(now, ticket, *addr, None),
            Whom::Called(name) => name.to_ascii_lowercase(),
        };
        let contacts = self.overlay.contacts();
        match self.called(&name, &contacts) {
            Ok(Some(one)) => self.ping(now, ticket, one.addr, Some(one.id)),
            Ok(None) if self.is_called(self.me.id, &name) => {
                let reason = format!("peer {name} is the one that was asked");
                self.answer(ticket, Answer::Unable(reason));
            }
            Ok(None) => match self.sought(&name) {
                Some(id) => self.start_lookup(now, ticket, id, Purpose::Ping(name)),
                None => self.answer(ticket, Answer::Unable(unknown(&name))),
            },
            Err(reason) => self.answer(ticket, Answer::Unable(reason)),
        }
    }

    /// A search for whoever is called so has found these.
    pub(super) fn ping_found(&mut self, now: Moment, ticket: Ticket, name: &str, found: &[Contact]) {
        match self.called(name, found) {
            Ok(Some(one)) => self.ping(now, ticket, one.addr, Some(one.id)),
            Ok(None) => self.answer(ticket, Answer::Unable(unknown(name))),
            Err(reason) => self.answer(ticket, Answer::Unable(reason)),
        }
    }

    /// `expected`: who that should be, where it is known.
    fn ping(&mut self, now: Moment, ticket: Ticket, to: SocketAddr, expected: Option<Id>) {
        if let (Standing::Gone, Some(reason)) = (self.standing, self.unready()) {
            return self.answer(ticket, Answer::Unable(reason.to_owned()));
        }
        if self.pings.len() >= MAX_PINGS {
            return self
                .answer(ticket, Answer::Unable(format!("{MAX_PINGS} pings are under way: wait for one to end")));
        }
        self.pings.insert(ticket, PendingPing { to, sent: now, attempts: 1 });
        self.ask_anyone(now, to, expected, Question::Ping(Ping::Quiet), Patience::Ping, Why::Pinged(ticket));
    }

    /// The one of these that people call so, in lower case. Fails where it may be several.
    fn called(&self, name: &str, among: &[Contact]) -> Result<Option<Contact>, String> {
        let mut found = among.iter().filter(|contact| self.is_called(contact.id, name));
        match (found.next(), found.next()) {
            (one, None) => Ok(one.copied()),
            (_, Some(_)) => Err(format!("several peers are called {name}: give more digits, or the address")),
        }
    }

    fn is_called(&self, id: Id, name: &str) -> bool {
        // A numbered peer's digits are another's number.
        let by_digits = self.naming == Naming::Hashed && id.to_string().starts_with(name);
        self.naming.call(id) == name || by_digits
    }

    /// Where a search for whoever is called so leads to: of those whose ids begin with these digits one is the nearest to
    /// the smallest of them, by either geometry.
    fn sought(&self, name: &str) -> Option<Id> {
        match self.naming {
            Naming::Numbered => name.parse().ok().map(Id::numbered),
            // Among them may be nodes of other programs.
            Naming::NumberedPeers => name.parse().ok().map(Id::numbered).or_else(|| Id::beginning_with(name)),
            Naming::Hashed => Id::beginning_with(name),
        }
    }

    pub(super) fn ping_late(&mut self, now: Moment, ticket: Ticket) {
        if let Some(ping) = self.pings.get_mut(&ticket) {
            (ping.sent, ping.attempts) = (now, ping.attempts + 1);
        }
    }

    pub(super) fn ping_answered(&mut self, now: Moment, ticket: Ticket, contact: Contact) {
        if let Some(PendingPing { sent, attempts, .. }) = self.pings.remove(&ticket) {
            self.answer(ticket, Answer::Pinged { contact, round_trip: now.since(sent), attempts });
        }
    }

    /// Nobody is there, or somebody else than was meant.
    pub(super) fn ping_unanswered(&mut self, ticket: Ticket) {
        if let Some(PendingPing { to, attempts, .. }) = self.pings.remove(&ticket) {
            let reason = format!("no answer from {to} ({attempts} of {} attempts)", rpc::ATTEMPTS);
            self.answer(ticket, Answer::Unable(reason));
        }
    }

    pub(super) fn fail_pings(&mut self, reason: &str) {
        for ticket in std::mem::take(&mut self.pings).into_keys() {
            self.answer(ticket, Answer::Unable(reason.to_owned()));
        }
    }
}

fn unknown(name: &str) -> String {
    format!("peer {name} is no contact of this peer, and was not found: give its address, HOST:PORT")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outputs, peer};
    use super::*;
    use crate::ground::krpc::Body;

    fn answers(peer: &mut Peer) -> Vec<Answer> {
        let answer = |output| if let Output::Answer { answer, .. } = output { Some(answer) } else { None };
        outputs(peer).into_iter().filter_map(answer).collect()
    }

    fn at(millis: u64) -> Moment {
        Moment::after(Duration::from_millis(millis))
    }

    /// A peer that pings somebody, and the question that it asked.
    fn pinging(whom: &str) -> (Peer, Vec<u8>) {
        let mut peer = peer("127.0.0.1:12001", Start::Ring(Vec::new()), Vec::new());
        outputs(&mut peer);
        let command = Command::Ping(Whom::At(whom.parse().unwrap()));
        peer.handle(at(0), Input::Command { ticket: Ticket(7), command });
        let question = outputs(&mut peer).into_iter().find_map(|output| match output {
            Output::Send { bytes, .. } => Some(Message::decode(&bytes).unwrap().transaction),
            _ => None,
        });
        (peer, question.unwrap())
    }

    #[test]
    fn a_ping_tells_the_round_trip_and_who_answered() {
        let (mut peer, transaction) = pinging("127.0.0.1:12002");
        let id = Id::hashed(b"somebody");
        let body = Body::Answer { from: id, seen_at: None, answer: Default::default() };
        let message = Message { transaction, leaving: false, reached_at: None, program: Program::Keeper, body };
        let from: SocketAddr = "127.0.0.1:12002".parse().unwrap();
        peer.handle(at(30), Input::Datagram { from, bytes: message.encode(from) });
        let contact = Contact { id, addr: from };
        assert_eq!(
            answers(&mut peer),
            [Answer::Pinged { contact, round_trip: Duration::from_millis(30), attempts: 1 }]
        );
    }

    #[test]
    fn silence_is_told_after_three_attempts() {
        let (mut peer, _) = pinging("127.0.0.1:12002");
        let mut told = Vec::new();
        while told.is_empty() && peer.wake_at() < at(60_000) {
            peer.handle(peer.wake_at(), Input::Wake);
            told = answers(&mut peer);
        }
        assert_eq!(told, [Answer::Unable("no answer from 127.0.0.1:12002 (3 of 3 attempts)".to_owned())]);
    }

    #[test]
    fn a_name_that_is_no_contact_is_not_guessed() {
        let mut peer = peer("127.0.0.1:12001", Start::Ring(Vec::new()), Vec::new());
        let own = peer.id().to_string();
        for (name, why) in [("8", "is no contact"), (own.as_str(), "is the one that was asked")] {
            let command = Command::Ping(Whom::Called(name.to_owned()));
            peer.handle(at(0), Input::Command { ticket: Ticket(7), command });
            let [Answer::Unable(reason)] = &answers(&mut peer)[..] else { panic!("{name}") };
            assert!(reason.contains(why), "{reason}");
        }
    }
}
