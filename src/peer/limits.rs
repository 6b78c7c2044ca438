//! How much of us strangers get, and how many strangers we call.
//!
//! Counted in bytes of answers, for each network (a /24, or a /64 of IPv6) and for all together: so nobody can make us
//! send much to an address that is not its own. Who goes on after its share is used up is not heard at all for a while.
//! Whoever has answered us is *proven*: its address is its own. It has a share for itself, which no flood of forged
//! senders uses up. Where all others together have had much more than they sent, they get lean answers for a while.
//! Addresses of this machine and of private networks are not counted: labs and homes are not the Internet.

use crate::ground::{Chance, Id, Moment, address_id};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// One network's share, or that of one proven address. Guess: a hundred lookups a minute, with 600 bytes for each answer
/// on the way.
const NETWORK: Rate = Rate { bytes_per_second: 8_000.0, burst: 80_000.0 };
/// The share of everybody who is not proven: 2 Mbit a second.
const EVERYBODY: Rate = Rate { bytes_per_second: 250_000.0, burst: 1_000_000.0 };
/// What everybody not proven gets beyond [`LEAN`] times what it sent. Guess: a hundred values a second.
const SURPLUS: Rate = Rate { bytes_per_second: 50_000.0, burst: 500_000.0 };
/// An answer so many times as long as its question amplifies nothing much: pings, find_node.
const LEAN: usize = 4;
/// Who was turned away so often in a row is not heard for [`BAN`]. libtorrent bans at 50 messages in 10 s.
const PATIENCE: u32 = 200;
/// As libtorrent's.
const BAN: Duration = Duration::from_secs(5 * 60);
/// Shares remembered. Networks share one where they fall together, by a rule that strangers cannot foresee: what there
/// are of them does not grow, and nobody's ban is forgotten for a flood from elsewhere.
const SHARES: usize = 2048;
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
    /// None before they are needed: simulated networks are private.
    shares: Vec<Share>,
    /// Which share is whose depends on it.
    key: u64,
    everybody: Share,
    surplus: Share,
    fresh: Share,
}

impl Gate {
    pub fn new(now: Moment, chance: &mut Chance) -> Gate {
        let [everybody, surplus, fresh] = [EVERYBODY, SURPLUS, FRESH].map(|rate| Share::full(now, rate));
        Gate { shares: Vec::new(), key: chance.bits(), everybody, surplus, fresh }
    }

    /// Whether a question from there is heard. Who is turned away all the time is banned.
    pub fn admits(&mut self, now: Moment, from: SocketAddr, proven: bool) -> bool {
        if address_id::is_exempt(from.ip()) {
            return true;
        }
        self.everybody.fill(now);
        let everybody_has_some = proven || self.everybody.left > 0.0;
        let share = self.share(from, proven);
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

    /// Whether who is not proven may be given an answer many times as long as its question.
    pub fn is_generous(&mut self, now: Moment, to: SocketAddr, proven: bool) -> bool {
        self.surplus.fill(now);
        proven || address_id::is_exempt(to.ip()) || self.surplus.left > 0.0
    }

    /// It got so many bytes for so many.
    pub fn charge(&mut self, to: SocketAddr, proven: bool, question_bytes: usize, answer_bytes: usize) {
        if address_id::is_exempt(to.ip()) {
            return;
        }
        if !proven {
            self.everybody.left -= answer_bytes as f64;
            self.surplus.left -= answer_bytes.saturating_sub(LEAN * question_bytes) as f64;
        }
        self.share(to, proven).left -= answer_bytes as f64;
    }

    /// A network's share, or a proven address's own.
    fn share(&mut self, addr: SocketAddr, proven: bool) -> &mut Share {
        let network = address_id::network(addr.ip()).to_be_bytes();
        let whose = match (proven, addr.ip().to_canonical()) {
            (false, _) => network.to_vec(),
            (true, IpAddr::V4(ip)) => [&ip.octets()[..], &addr.port().to_be_bytes()].concat(),
            (true, IpAddr::V6(ip)) => [&ip.octets()[..], &addr.port().to_be_bytes()].concat(),
        };
        if self.shares.is_empty() {
            self.shares = vec![Share::full(Moment::START, NETWORK); SHARES];
        }
        let at = Id::hashed(&[&self.key.to_be_bytes()[..], &whose].concat()).beginning();
        &mut self.shares[at as usize % SHARES]
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
            let admitted = gate.admits(now, from, false);
            if admitted {
                gate.charge(from, false, 100, 500);
            }
            admitted
        };
        (0..times).filter(|_| admitted(gate)).count()
    }

    #[test]
    fn a_network_has_its_share_and_who_goes_on_is_not_heard_for_a_while() {
        let mut gate = Gate::new(Moment::START, &mut Chance::seeded(1));
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
        let mut gate = Gate::new(Moment::START, &mut Chance::seeded(1));
        let everywhere = (0..=255).flat_map(|a| (0..=255).map(move |b| addr(a, b, 1)));
        let answered: usize = everywhere.map(|from| flood(&mut gate, Moment::START, from, 1)).sum();
        assert!((2000..=2001).contains(&answered), "{answered}");
        assert_eq!(gate.shares.len(), SHARES);
        let friend = addr(255, 255, 7);
        assert!(gate.admits(Moment::START, friend, true) && !gate.admits(Moment::START, friend, false));
    }

    #[test]
    fn a_ban_is_not_forgotten_for_a_flood_from_elsewhere() {
        let mut gate = Gate::new(Moment::START, &mut Chance::seeded(1));
        flood(&mut gate, Moment::START, addr(1, 1, 1), 1000);
        let everywhere = (0..=255).flat_map(|a| (0..=255).map(move |b| addr(a, b, 9)));
        let answered: usize = everywhere.map(|from| flood(&mut gate, Moment::START, from, 1)).sum();
        assert!(answered < 2001, "{answered}");
        let soon = Moment::after(Duration::from_secs(60));
        assert!(!gate.admits(soon, addr(1, 1, 1), false));
        assert!(gate.admits(soon, addr(1, 1, 1), true), "somebody of there whom we know is not forged");
    }

    #[test]
    fn who_gets_much_more_than_it_sent_gets_less_for_a_while() {
        let mut gate = Gate::new(Moment::START, &mut Chance::seeded(1));
        let answers = (0..=255).flat_map(|a| (0..=255).map(move |b| addr(a, b, 1)));
        let generous = answers.take_while(|from| {
            gate.charge(*from, false, 100, 1200);
            gate.is_generous(Moment::START, *from, false)
        });
        assert_eq!(generous.count(), 624);
        assert!(gate.is_generous(Moment::START, addr(1, 1, 1), true));
        assert!(gate.is_generous(Moment::after(Duration::from_secs(1)), addr(1, 1, 1), false));
    }

    #[test]
    fn private_addresses_are_not_counted() {
        let mut gate = Gate::new(Moment::START, &mut Chance::seeded(1));
        assert_eq!(flood(&mut gate, Moment::START, "127.0.0.1:1".parse().unwrap(), 100_000), 100_000);
    }

    #[test]
    fn few_strangers_are_called_in_a_second() {
        let mut gate = Gate::new(Moment::START, &mut Chance::seeded(1));
        assert_eq!((0..1000).filter(|_| gate.may_call(Moment::START, addr(1, 1, 1))).count(), 300);
        let later = Moment::after(Duration::from_secs(1));
        assert_eq!((0..1000).filter(|_| gate.may_call(later, addr(1, 1, 1))).count(), 100);
    }
}
