//! Where the world sees us, where it is to ask us, and the id that goes with our address (BEP 42).
//!
//! Every answer says from which address our question came. When enough networks agree, and our id does not fit the
//! address, we take one that does: others would not keep anything with us otherwise.
//!
//! Behind a published port the address that others see is not the one at which they reach us. Who was told that one says it
//! in each message to peers of ours, and is known by it alone: they ask there before they believe it, as with all hearsay.

use super::surroundings::Surroundings;
use super::*;
use crate::ground::address_id;
use std::net::IpAddr;

/// So many networks must have said where they see us.
const ENOUGH: usize = 6;
/// Most networks whose word is remembered.
const MAX_VOTES: usize = 32;
/// The id, as noted for the next run.
const ID: &[u8] = b"id";

/// What others say of our address: for each /16 (or half of an IPv6 address), its last word.
#[derive(Default)]
pub(super) struct Votes {
    said: VecDeque<(u64, IpAddr)>,
}

impl Votes {
    /// Somebody says where it sees us. The address, once most agree.
    fn count(&mut self, by: IpAddr, seen_at: IpAddr) -> Option<IpAddr> {
        let network = match by.to_canonical() {
            IpAddr::V4(ip) => u64::from(u32::from(ip) >> 16),
            IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
        };
        self.said.retain(|(other, _)| *other != network);
        self.said.push_back((network, seen_at));
        if self.said.len() > MAX_VOTES {
            self.said.pop_front();
        }
        let agree = self.said.iter().filter(|(_, said)| *said == seen_at).count();
        (agree >= ENOUGH && agree * 3 > self.said.len() * 2).then_some(seen_at)
    }
}

/// Where the sender of a message is to be asked: what it says of that, unless nobody who sees it at `from` could.
pub(super) fn whereabouts(from: SocketAddr, said: Option<SocketAddr>) -> SocketAddr {
    let usable = |said: &SocketAddr| {
        let (ip, here) = (said.ip(), from.ip());
        said.is_ipv4() == from.is_ipv4() && address_id::is_one_hosts(ip) && (here.is_loopback() || !ip.is_loopback())
    };
    said.filter(usable).unwrap_or(from)
}

impl Peer {
    /// Where we are reached by those at `addr`, if we were told that.
    pub(super) fn reached_from(&self, addr: SocketAddr) -> Option<SocketAddr> {
        self.reached_at.iter().find(|at| at.is_ipv4() == addr.is_ipv4()).copied()
    }

    /// Somebody answers at `seen` and says that it is reached at `said`: there it is asked, and is a contact if it answers.
    pub(super) fn is_reached_elsewhere(&mut self, now: Moment, seen: Contact, said: Contact, why: &Why) {
        self.liveness.heard(seen.id);
        if self.standing != Standing::Member {
            return;
        }
        if self.overlay.contact(seen.id) == Some(seen) {
            self.gone(now, seen);
            self.verify(now, said);
        } else if !matches!(why, Why::Verify(_)) && self.overlay.heard_of(said) {
            // Who is sent on from where it was sent on to is followed no farther.
            self.verify(now, said);
        }
    }

    /// An answer says where its sender sees us.
    pub(super) fn seen_at(&mut self, now: Moment, by: SocketAddr, seen_at: SocketAddr) {
        let (by, seen_at) = (by.ip(), seen_at.ip().to_canonical());
        let matters = self.kind.ties_ids_to_addresses() && self.me.id.number().is_none();
        // One id cannot fit two addresses: who has both families goes by IPv4.
        let other = self.families.both() && seen_at.is_ipv6();
        if !matters || other || address_id::is_exempt(by) || address_id::is_exempt(seen_at) {
            return;
        }
        let told = self.reached_at.iter().map(SocketAddr::ip).find(|told| told.is_ipv4() == seen_at.is_ipv4());
        if let Some(ip) = self.votes.count(by, seen_at).map(|seen_at| told.unwrap_or(seen_at))
            && !address_id::matches(self.me.id, ip)
        {
            let id = address_id::id_for(ip, &mut self.chance);
            self.take_id(now, id);
        }
    }

    /// Another id from now on: the same contacts, seen from another place.
    fn take_id(&mut self, now: Moment, id: Id) {
        let known = self.overlay.contacts();
        self.me.id = id;
        self.rpc.take_id(id);
        let overlay = self.kind.start(now, id, &known, self.ping_interval, Chance::seeded(self.chance.bits()));
        self.overlay = Surroundings::new(overlay);
        self.out.push_back(Output::Note { key: ID.to_vec(), value: Some(id.as_bytes().to_vec()) });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outputs, peer, peer_of};
    use super::*;
    use crate::ground::krpc;

    fn ip(a: u8, b: u8) -> IpAddr {
        IpAddr::from([a, b, 1, 1])
    }

    #[test]
    fn only_who_could_be_asked_there_is_believed_to_be_elsewhere() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let seen = addr("10.0.0.2:9");
        assert_eq!(whereabouts(seen, None), seen);
        assert_eq!(whereabouts(seen, Some(addr("10.0.0.1:13000"))), addr("10.0.0.1:13000"));
        for nowhere in ["127.0.0.1:9", "0.0.0.0:9", "255.255.255.255:9", "224.0.0.1:9", "[fd00::7]:9"] {
            assert_eq!(whereabouts(seen, Some(addr(nowhere))), seen, "{nowhere}");
        }
        assert_eq!(whereabouts(addr("127.0.0.1:9"), Some(addr("127.0.0.1:7"))), addr("127.0.0.1:7"));
    }

    /// Everything it sends, with an answer from where it is sent to, that says that its sender is reached at `next`.
    fn answered(peer: &mut Peer, id: Id, next: impl Fn(SocketAddr) -> SocketAddr) -> Vec<SocketAddr> {
        let sent = outputs(peer).into_iter().filter_map(|output| match output {
            Output::Send { to, bytes } => Some((to, bytes)),
            _ => None,
        });
        answer(peer, sent.collect(), id, next)
    }

    fn answer(
        peer: &mut Peer,
        sent: Vec<(SocketAddr, Vec<u8>)>,
        id: Id,
        next: impl Fn(SocketAddr) -> SocketAddr,
    ) -> Vec<SocketAddr> {
        let mut asked = Vec::new();
        for (to, bytes) in sent {
            asked.push(to);
            let Message { transaction, body: Body::Question { .. }, .. } = Message::decode(&bytes).unwrap() else {
                continue;
            };
            let body = Body::Answer { from: id, seen_at: None, answer: krpc::Answer::default() };
            let reached_at = Some(next(to));
            let message = Message { transaction, leaving: false, reached_at, program: Program::Keeper, body };
            peer.handle(Moment::START, Input::Datagram { from: to, bytes: message.encode(to) });
        }
        asked
    }

    #[test]
    fn who_sends_us_from_place_to_place_is_not_followed_without_end() {
        let mut peer = peer("10.0.0.1:9", Start::Ring(Vec::new()), Vec::new());
        let id = Id::hashed(b"restless");
        let next = |at: SocketAddr| SocketAddr::new(at.ip(), at.port() + 1);
        peer.handle(Moment::START, Input::Known(vec!["10.0.0.2:100".parse().unwrap()]));
        let asked: Vec<SocketAddr> = (0..20).flat_map(|_| answered(&mut peer, id, next)).collect();
        assert!((2..6).contains(&asked.len()), "{asked:?}");
        assert_eq!(peer.overlay.contacts(), [], "it was nowhere where it said that it is");
    }

    #[test]
    fn who_answers_from_elsewhere_than_it_was_asked_keeps_no_request_waiting() {
        for overlay in [Kind::Ring(RingTuning::default()), Kind::Kademlia(Default::default())] {
            let mut peer = peer_of(overlay, "10.0.0.1:9", Start::Ring(Vec::new()), Vec::new());
            let id = Id::hashed(b"somebody");
            peer.handle(Moment::START, Input::Known(vec!["10.0.0.2:100".parse().unwrap()]));
            while !answered(&mut peer, id, |at| at).is_empty() {}
            assert_eq!(peer.overlay.contacts().len(), 1, "it is a contact where it is");
            let name = FileName::parse("nowhere").unwrap();
            let command = Command::Request { name, version: None };
            peer.handle(Moment::START, Input::Command { ticket: Ticket(7), command });
            let (mut sent, mut found) = (Vec::new(), None);
            for _ in 0..20 {
                for output in outputs(&mut peer) {
                    match output {
                        Output::Send { to, bytes } => sent.push((to, bytes)),
                        Output::Answer { answer, .. } => found = Some(answer),
                        _ => {}
                    }
                }
                let elsewhere = |at: SocketAddr| SocketAddr::new(at.ip(), 200);
                answer(&mut peer, std::mem::take(&mut sent), id, elsewhere);
            }
            assert!(matches!(found, Some(Answer::NotFound { .. })), "{found:?}");
        }
    }

    #[test]
    fn where_we_are_reached_is_said_in_each_message_from_then_on() {
        let mut peer = peer("0.0.0.0:9", Start::Ring(Vec::new()), Vec::new());
        let said = |peer: &mut Peer, at: &[&str]| {
            let at = at.iter().map(|at| at.parse().unwrap()).collect();
            peer.handle(Moment::START, Input::ReachedAt(at));
            outputs(peer);
            peer.handle(Moment::START, Input::Known(vec!["10.0.0.2:100".parse().unwrap()]));
            let Some(Output::Send { bytes, .. }) = outputs(peer).pop() else { panic!("it asks there") };
            Message::decode(&bytes).unwrap().reached_at.map(|at| at.to_string())
        };
        assert_eq!(said(&mut peer, &[]), None);
        assert_eq!(said(&mut peer, &["[fd00::7]:9"]), None, "not for who is asked over IPv4");
        assert_eq!(said(&mut peer, &["[fd00::7]:9", "10.0.0.7:13000"]).as_deref(), Some("10.0.0.7:13000"));
    }

    #[test]
    fn most_of_several_networks_must_agree() {
        let mut votes = Votes::default();
        let ours = ip(81, 9);
        assert!((0..100).all(|_| votes.count(ip(5, 5), ours).is_none()), "one network, however often it says so");
        assert!((0..4).all(|at| votes.count(ip(6, at), ip(99, at)).is_none()));
        assert!((0..6).all(|at| votes.count(ip(7, at), ours).is_none()), "seven of eleven is not enough");
        assert_eq!(votes.count(ip(8, 1), ours), None);
        assert_eq!(votes.count(ip(8, 2), ours), Some(ours), "nine of thirteen is");
    }
}
