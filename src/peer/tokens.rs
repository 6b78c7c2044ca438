//! Tokens: who was told one at its address may store here for a while (BEP 5).

use crate::ground::{Chance, Id, Moment};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A secret is used for so long, and honoured as long again: a token is good for 5 to 10 minutes.
const SECRET_CHANGES_EVERY: Duration = Duration::from_secs(5 * 60);
/// Length of a token: as libtorrent's.
const TOKEN_LEN: usize = 4;

/// What tokens are made with.
pub(super) struct Tokens {
    secrets: [[u8; 8]; 2],
    change_at: Moment,
}

impl Tokens {
    pub fn new(now: Moment, chance: &mut Chance) -> Tokens {
        let secrets = [chance.bits().to_be_bytes(), chance.bits().to_be_bytes()];
        Tokens { secrets, change_at: now + SECRET_CHANGES_EVERY }
    }

    /// The secrets of an earlier run: tokens given then are still good.
    pub fn restored(now: Moment, bytes: &[u8]) -> Option<Tokens> {
        let (new, old) = bytes.split_at_checked(8)?;
        Some(Tokens { secrets: [new.try_into().ok()?, old.try_into().ok()?], change_at: now + SECRET_CHANGES_EVERY })
    }

    /// The secrets, to be remembered.
    pub fn secrets(&self) -> Vec<u8> {
        self.secrets.concat()
    }

    /// Takes a new secret when it is time; true if it did.
    pub fn age(&mut self, now: Moment, chance: &mut Chance) -> bool {
        let due = now >= self.change_at;
        if due {
            self.secrets = [chance.bits().to_be_bytes(), self.secrets[0]];
            self.change_at = now + SECRET_CHANGES_EVERY;
        }
        due
    }

    pub fn due(&self) -> Moment {
        self.change_at
    }

    /// The token for who asks about `target` from this address.
    pub fn give(&self, asker: SocketAddr, target: Id) -> Vec<u8> {
        token(&self.secrets[0], asker, target).to_vec()
    }

    /// It was given, not long ago, to who asked about `target` from this address.
    pub fn is_good(&self, shown: &[u8], asker: SocketAddr, target: Id) -> bool {
        self.secrets.iter().any(|secret| token(secret, asker, target) == shown)
    }
}

fn token(secret: &[u8; 8], asker: SocketAddr, target: Id) -> [u8; TOKEN_LEN] {
    let mut text = secret.to_vec();
    match asker.ip() {
        IpAddr::V4(ip) => text.extend(ip.octets()),
        IpAddr::V6(ip) => text.extend(ip.octets()),
    }
    text.extend(asker.port().to_be_bytes());
    text.extend(target.as_bytes());
    *Id::hashed(&text).as_bytes().first_chunk().expect("4 of 20 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_token_is_good_for_its_address_and_target_and_for_ten_minutes_at_most() {
        let mut chance = Chance::seeded(1);
        let mut tokens = Tokens::new(Moment::START, &mut chance);
        let target = Id::hashed(b"target");
        let token = tokens.give(addr(1), target);
        assert!(tokens.is_good(&token, addr(1), target));
        assert!(!tokens.is_good(&token, addr(2), target));
        assert!(!tokens.is_good(&token, addr(1), Id::ZERO));
        assert!(!tokens.is_good(b"", addr(1), target));
        assert!(tokens.age(tokens.due(), &mut chance));
        assert!(tokens.is_good(&token, addr(1), target));
        assert!(tokens.age(tokens.due(), &mut chance));
        assert!(!tokens.is_good(&token, addr(1), target));
    }

    #[test]
    fn tokens_of_the_run_before_are_honoured() {
        let tokens = Tokens::new(Moment::START, &mut Chance::seeded(1));
        let token = tokens.give(addr(1), Id::ZERO);
        let next = Tokens::restored(Moment::START, &tokens.secrets()).unwrap();
        assert!(next.is_good(&token, addr(1), Id::ZERO));
        assert!(Tokens::restored(Moment::START, b"short").is_none());
    }
}
