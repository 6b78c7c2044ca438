//! Where the world sees us, and the id that goes with it (BEP 42).
//!
//! Every answer says from which address our question came. When enough networks agree, and our id does not fit the
//! address, we take one that does: others would not keep anything with us otherwise.

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

impl Peer {
    /// An answer says where its sender sees us.
    pub(super) fn seen_at(&mut self, now: Moment, by: SocketAddr, seen_at: SocketAddr) {
        let (by, seen_at) = (by.ip(), seen_at.ip().to_canonical());
        let matters = self.kind.ties_ids_to_addresses() && self.me.id.number().is_none();
        // One id cannot fit two addresses: who has both families goes by IPv4.
        let other = self.families.both() && seen_at.is_ipv6();
        if !matters || other || address_id::is_exempt(by) || address_id::is_exempt(seen_at) {
            return;
        }
        if let Some(ip) = self.votes.count(by, seen_at)
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
    use super::*;

    fn ip(a: u8, b: u8) -> IpAddr {
        IpAddr::from([a, b, 1, 1])
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
