//! How much of us strangers get, and how many strangers we call.
//!
//! Counted in bytes of answers, for each network (a /24, or a /64 of IPv6) and for all together: so nobody can make us
//! send much to an address that is not its own. Who goes on after its share is used up is not heard at all for a while.
//! Addresses of this machine and of private networks are not counted: labs and homes are not the Internet.

use crate::ground::{Moment, address_id};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// One network's share. Guess: a hundred lookups a minute, with 600 bytes for each answer on the way.
const NETWORK: Rate = Rate { bytes_per_second: 8_000.0, burst: 80_000.0 };
/// Everybody's share: 2 Mbit a second.
const EVERYBODY: Rate = Rate { bytes_per_second: 250_000.0, burst: 1_000_000.0 };
/// Who was turned away so often in a row is not heard for [`BAN`]. libtorrent bans at 50 messages in 10 s.
const PATIENCE: u32 = 200;
/// As libtorrent's.
const BAN: Duration = Duration::from_secs(5 * 60);
/// Most networks remembered.
const MAX_NETWORKS: usize = 2048;
/// Addresses never called before that we call in a second, on average; home routers lose count of more.
const FRESH: Rate = Rate { bytes_per_second: 100.0, burst: 300.0 };

#[derive(Clone, Copy)]
struct Rate {
    bytes_per_second: f64,
    burst: f64,
}

/// What is left of a share.
#[derive(Clone, Copy)]
struct Share {
    rate: Rate,
    left: f64,
    at: Moment,
    turned_away: u32,
    banned_until: Moment,
}

impl Share {
    fn full(now: Moment, rate: Rate) -> Share {
        Share { rate, left: rate.burst, at: now, turned_away: 0, banned_until: Moment::START }
    }

    fn fill(&mut self, now: Moment) {
        let earned = now.since(self.at).as_secs_f64() * self.rate.bytes_per_second;
        self.left = (self.left + earned).min(self.rate.burst);
        self.at = now;
    }
}

/// The gate to this peer.
pub(super) struct Gate {
    networks: BTreeMap<u64, Share>,
    everybody: Share,
    fresh: Share,
}

impl Gate {
    pub fn new(now: Moment) -> Gate {
        let [everybody, fresh] = [EVERYBODY, FRESH].map(|rate| Share::full(now, rate));
        Gate { networks: BTreeMap::new(), everybody, fresh }
    }

    /// Whether a question from there is heard. Who is turned away all the time is banned.
    pub fn admits(&mut self, now: Moment, from: SocketAddr) -> bool {
        if address_id::is_exempt(from.ip()) {
            return true;
        }
        self.everybody.fill(now);
        let everybody_has_some = self.everybody.left > 0.0;
        let share = self.share(now, from.ip());
        if share.banned_until > now {
            return false;
        }
        share.fill(now);
        if share.left > 0.0 {
            share.turned_away = 0;
            return everybody_has_some;
        }
        share.turned_away += 1;
        if share.turned_away >= PATIENCE {
            share.banned_until = now + BAN;
        }
        false
    }

    /// It got so many bytes.
    pub fn charge(&mut self, now: Moment, to: SocketAddr, len_bytes: usize) {
        if address_id::is_exempt(to.ip()) {
            return;
        }
        self.everybody.left -= len_bytes as f64;
        self.share(now, to.ip()).left -= len_bytes as f64;
    }

    /// A network's share. Where there are too many, all go that are full again, or else everybody.
    fn share(&mut self, now: Moment, ip: IpAddr) -> &mut Share {
        if self.networks.len() >= MAX_NETWORKS && !self.networks.contains_key(&address_id::network(ip)) {
            self.networks.retain(|_, share| {
                share.fill(now);
                share.banned_until > now || share.left < share.rate.burst
            });
            if self.networks.len() >= MAX_NETWORKS {
                self.networks.clear();
            }
        }
        self.networks.entry(address_id::network(ip)).or_insert_with(|| Share::full(now, NETWORK))
    }

    /// Whether an address never called before may be called now.
    pub fn may_call(&mut self, now: Moment, to: SocketAddr) -> bool {
        if address_id::is_exempt(to.ip()) {
            return true;
        }
        self.fresh.fill(now);
        let may = self.fresh.left >= 1.0;
        self.fresh.left -= if may { 1.0 } else { 0.0 };
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(a: u8, b: u8, last: u8) -> SocketAddr {
        SocketAddr::from(([81, a, b, last], 6881))
    }

    fn flood(gate: &mut Gate, now: Moment, from: SocketAddr, times: usize) -> usize {
        let admitted = |gate: &mut Gate| {
            let admitted = gate.admits(now, from);
            if admitted {
                gate.charge(now, from, 500);
            }
            admitted
        };
        (0..times).filter(|_| admitted(gate)).count()
    }

    #[test]
    fn a_network_has_its_share_and_who_goes_on_is_not_heard_for_a_while() {
        let mut gate = Gate::new(Moment::START);
        assert_eq!(flood(&mut gate, Moment::START, addr(1, 1, 1), 150), 150);
        assert!(flood(&mut gate, Moment::START, addr(1, 1, 2), 1000) <= 10, "the same network");
        assert_eq!(flood(&mut gate, Moment::START, addr(1, 2, 1), 10), 10, "another network");
        let soon = Moment::after(Duration::from_secs(60));
        assert_eq!(flood(&mut gate, soon, addr(1, 1, 1), 10), 0, "banned");
        let later = Moment::after(BAN + Duration::from_secs(1));
        assert_eq!(flood(&mut gate, later, addr(1, 1, 1), 10), 10);
    }

    #[test]
    fn a_flood_from_everywhere_has_a_bound_in_answers_and_in_memory() {
        let mut gate = Gate::new(Moment::START);
        let everywhere = (0..=255).flat_map(|a| (0..=255).map(move |b| addr(a, b, 1)));
        let answered: usize = everywhere.map(|from| flood(&mut gate, Moment::START, from, 1)).sum();
        assert!((2000..=2001).contains(&answered), "{answered}");
        assert!(gate.networks.len() <= MAX_NETWORKS);
    }

    #[test]
    fn private_addresses_are_not_counted() {
        let mut gate = Gate::new(Moment::START);
        assert_eq!(flood(&mut gate, Moment::START, "127.0.0.1:1".parse().unwrap(), 100_000), 100_000);
    }

    #[test]
    fn few_strangers_are_called_in_a_second() {
        let mut gate = Gate::new(Moment::START);
        assert_eq!((0..1000).filter(|_| gate.may_call(Moment::START, addr(1, 1, 1))).count(), 300);
        let later = Moment::after(Duration::from_secs(1));
        assert_eq!((0..1000).filter(|_| gate.may_call(later, addr(1, 1, 1))).count(), 100);
    }
}
