//! 160-bit ids, and the two ways to measure how far apart they are.

use sha1::{Digest, Sha1};
use std::cmp::Ordering;
use std::fmt;

/// A position among 2^160, big-endian: of a peer, of a file, of anything that is looked up.
///
/// A numbered peer n of the classic ring is the id whose first byte is n, so that the ring's order is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id([u8; Id::LEN]);

impl Id {
    /// Length in bytes.
    pub const LEN: usize = 20;
    /// Length in bits.
    pub const BITS: usize = 160;
    /// The smallest id; as a distance, "here".
    pub const ZERO: Id = Id([0; Id::LEN]);
    /// The largest id; as a distance, "once round, almost".
    pub const MAX: Id = Id([0xff; Id::LEN]);

    /// The id with just these bytes.
    pub const fn new(bytes: [u8; Id::LEN]) -> Id {
        Id(bytes)
    }

    /// The id in `bytes`, if they are exactly 20.
    pub fn from_slice(bytes: &[u8]) -> Option<Id> {
        bytes.try_into().ok().map(Id)
    }

    /// The smallest id that begins with these hexadecimal digits, if they are 1 to 40.
    pub fn beginning_with(digits: &str) -> Option<Id> {
        let mut bytes = [0; Id::LEN];
        for (at, digit) in digits.chars().enumerate() {
            let value = digit.to_digit(16)? as u8;
            *bytes.get_mut(at / 2)? |= if at % 2 == 0 { value << 4 } else { value };
        }
        (!digits.is_empty()).then_some(Id(bytes))
    }

    /// The id of peer `number` in the classic ring of 256.
    pub const fn numbered(number: u8) -> Id {
        let mut bytes = [0; Id::LEN];
        bytes[0] = number;
        Id(bytes)
    }

    /// The SHA-1 of `bytes`.
    pub fn hashed(bytes: &[u8]) -> Id {
        Id(Sha1::digest(bytes).into())
    }

    /// Its number in the classic ring, if it is the id of a numbered peer.
    pub fn number(self) -> Option<u8> {
        (Id::numbered(self.0[0]) == self).then_some(self.0[0])
    }

    /// The 20 bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; Id::LEN] {
        &self.0
    }

    /// How far one travels from here clockwise, upwards and round, to `other`: `other - self mod 2^160`.
    pub fn clockwise_to(self, other: Id) -> Id {
        let (high, low) = self.halves();
        let (other_high, other_low) = other.halves();
        let (low, borrow) = other_low.overflowing_sub(low);
        Id::from_halves(other_high.wrapping_sub(high).wrapping_sub(u32::from(borrow)), low)
    }

    /// The id `distance` clockwise from here.
    pub fn plus(self, distance: Id) -> Id {
        let (high, low) = self.halves();
        let (more_high, more_low) = distance.halves();
        let (low, carry) = low.overflowing_add(more_low);
        Id::from_halves(high.wrapping_add(more_high).wrapping_add(u32::from(carry)), low)
    }

    /// 2^`exponent`, for `exponent` below 160.
    pub fn power_of_two(exponent: usize) -> Id {
        let mut bytes = [0; Id::LEN];
        bytes[Id::LEN - 1 - exponent / 8] = 1 << (exponent % 8);
        Id(bytes)
    }

    /// The bits in which the two differ: Kademlia's distance.
    pub fn xor(self, other: Id) -> Id {
        Id(std::array::from_fn(|at| self.0[at] ^ other.0[at]))
    }

    /// The most significant 64 bits.
    pub fn beginning(self) -> u64 {
        let (beginning, _) = self.0.split_first_chunk().expect("an id has 20 bytes");
        u64::from_be_bytes(*beginning)
    }

    /// How many bits before the first that is set; 160 for zero.
    pub fn leading_zeros(self) -> usize {
        match self.halves() {
            (0, low) => 32 + low.leading_zeros() as usize,
            (high, _) => high.leading_zeros() as usize,
        }
    }

    /// Bit `at` below 160, the most significant first.
    pub fn bit(self, at: usize) -> bool {
        self.0[at / 8] & (0x80 >> (at % 8)) != 0
    }

    /// As a share of all ids, or of the way round: 0 up to 1.
    pub fn fraction(self) -> f64 {
        self.beginning() as f64 / 2f64.powi(64)
    }

    fn halves(self) -> (u32, u128) {
        let (high, low) = self.0.split_at(4);
        (
            u32::from_be_bytes(high.try_into().expect("split at 4")),
            u128::from_be_bytes(low.try_into().expect("16 of 20 are left")),
        )
    }

    fn from_halves(high: u32, low: u128) -> Id {
        let mut bytes = [0; Id::LEN];
        bytes[..4].copy_from_slice(&high.to_be_bytes());
        bytes[4..].copy_from_slice(&low.to_be_bytes());
        Id(bytes)
    }
}

impl Ord for Id {
    /// As numbers. The first eight bytes mostly decide: maps of ids are searched in half the time of comparing all bytes.
    fn cmp(&self, other: &Id) -> Ordering {
        self.beginning().cmp(&other.beginning()).then_with(|| self.0[8..].cmp(&other.0[8..]))
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Id) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Id {
    /// All 40 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    /// The peer's number, or the first eight digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(number) => write!(f, "#{number}"),
            None => write!(f, "{}…", &self.to_string()[..8]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_id() -> impl Strategy<Value = Id> {
        any::<[u8; 20]>().prop_map(Id::new)
    }

    proptest! {
        #[test]
        fn walking_the_clockwise_distance_arrives(a in any_id(), b in any_id()) {
            prop_assert_eq!(a.plus(a.clockwise_to(b)), b);
        }

        #[test]
        fn ids_are_ordered_as_their_bytes_are(a in any_id(), b in any_id(), same in 0..=Id::LEN) {
            let mut near_a = *b.as_bytes();
            near_a[..same].copy_from_slice(&a.as_bytes()[..same]);
            prop_assert_eq!(a.cmp(&Id::new(near_a)), a.as_bytes().cmp(&near_a));
        }

        #[test]
        fn the_two_ways_round_make_one_circle(a in any_id(), b in any_id()) {
            prop_assert_eq!(a.clockwise_to(b).plus(b.clockwise_to(a)), Id::ZERO);
        }
    }

    #[test]
    fn an_id_begins_with_its_first_digits_and_no_smaller_one_does() {
        let id = Id::beginning_with("9f2C4").unwrap();
        assert_eq!(id.to_string(), format!("9f2c4{}", "0".repeat(35)));
        assert_eq!(Id::beginning_with(&Id::MAX.to_string()), Some(Id::MAX));
        for digits in ["", "9g", "é", &"0".repeat(41)] {
            assert_eq!(Id::beginning_with(digits), None, "{digits}");
        }
    }

    #[test]
    fn half_way_is_a_half() {
        assert_eq!([Id::ZERO, Id::numbered(64), Id::power_of_two(159)].map(Id::fraction), [0.0, 0.25, 0.5]);
    }

    #[test]
    fn going_round_passes_zero() {
        assert_eq!(Id::numbered(250).clockwise_to(Id::numbered(4)), Id::numbered(10));
        assert_eq!(Id::numbered(4).clockwise_to(Id::numbered(4)), Id::ZERO);
    }

    #[test]
    fn powers_of_two_lie_where_they_should() {
        assert_eq!(Id::power_of_two(152), Id::numbered(1));
        assert_eq!(Id::ZERO.plus(Id::power_of_two(0)).as_bytes()[19], 1);
    }

    #[test]
    fn bits_count_from_the_most_significant() {
        for exponent in 0..Id::BITS {
            let power = Id::power_of_two(exponent);
            assert_eq!(power.leading_zeros(), Id::BITS - 1 - exponent);
            assert!((0..Id::BITS).all(|at| power.bit(at) == (at == power.leading_zeros())));
        }
        assert_eq!(Id::ZERO.leading_zeros(), Id::BITS);
    }

    #[test]
    fn only_numbered_ids_have_a_number() {
        assert_eq!(Id::numbered(19).number(), Some(19));
        assert_eq!(Id::hashed(b"19").number(), None);
    }
}
