//! Ids tied to addresses (BEP 42): who has few addresses has few places to choose from.
//!
//! ```text
//! id     21 bits of a hash · any bits · last byte: any 5 bits, r of 3 bits
//! hash   CRC-32C of the address, masked by 03 0f 3f ff, with r in its top 3 bits
//!        or of the upper half of an IPv6 address, masked by 01 03 07 0f 1f 3f 7f ff, with r likewise
//! ```

use super::{Chance, Id};
use crc::{CRC_32_ISCSI, Crc};
use std::net::IpAddr;

/// CRC-32C by one of its other names.
static CRC_32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

const V4_MASK: [u8; 4] = [0x03, 0x0f, 0x3f, 0xff];
const V6_MASK: [u8; 8] = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];
/// The bits of the third byte that come from the hash; with the first two bytes, 21 bits.
const THIRD_BYTE: u8 = 0xf8;

/// A node at this address may have this id. At an exempt address it may have any.
pub fn matches(id: Id, ip: IpAddr) -> bool {
    is_exempt(ip) || tied(*id.as_bytes(), ip) == id
}

/// In a range that many networks use at once, so that the address ties nobody: private, link-local, loopback.
pub fn is_exempt(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

/// One host can have it, and be asked there.
pub fn is_one_hosts(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// The network of an address, as far as one owner mostly reaches: a /24, or a /64 of IPv6.
pub fn network(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip) >> 8),
        IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64 | 1 << 63,
    }
}

/// Any id that matches the address. At an exempt address any id at all: else the nodes of a network in one room would
/// share eight places.
pub fn id_for(ip: IpAddr, chance: &mut Chance) -> Id {
    let mut random = [0; Id::LEN];
    for bytes in random.chunks_mut(8) {
        bytes.copy_from_slice(&chance.bits().to_be_bytes()[..bytes.len()]);
    }
    if is_exempt(ip) { Id::new(random) } else { tied(random, ip) }
}

/// These bytes, made to match the address where their own r demands it.
fn tied(mut bytes: [u8; Id::LEN], ip: IpAddr) -> Id {
    let [first, second, third, _] = hash(ip, bytes[Id::LEN - 1]).to_be_bytes();
    bytes[0] = first;
    bytes[1] = second;
    bytes[2] = third & THIRD_BYTE | bytes[2] & !THIRD_BYTE;
    Id::new(bytes)
}

/// Of r, only the lower 3 bits count. An IPv4 address is the same if mapped into IPv6.
fn hash(ip: IpAddr, r: u8) -> u32 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => masked_hash(ip.octets(), V4_MASK, r),
        IpAddr::V6(ip) => {
            let upper_half = ip.octets()[..8].try_into().expect("8 of 16");
            masked_hash(upper_half, V6_MASK, r)
        }
    }
}

fn masked_hash<const LEN: usize>(mut address: [u8; LEN], mask: [u8; LEN], r: u8) -> u32 {
    address.iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask);
    address[0] |= (r & 7) << 5;
    CRC_32C.checksum(&address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// BEP 42, "test vectors": address, and an id whose first 21 bits and last byte matter.
    const PUBLISHED: [(&str, &str); 5] = [
        ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
        ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
        ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
        ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
        ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
    ];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn id(hex: &str) -> Id {
        Id::new(std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()))
    }

    /// The id with its first 21 bits turned round.
    fn spoilt(id: Id) -> Id {
        let mut mask = [0; Id::LEN];
        mask[..3].copy_from_slice(&[0xff, 0xff, THIRD_BYTE]);
        id.xor(Id::new(mask))
    }

    #[test]
    fn the_published_ids_come_out() {
        for (address, hex) in PUBLISHED {
            let (ip, id) = (ip(address), id(hex));
            assert_eq!(tied(*spoilt(id).as_bytes(), ip), id, "{address}");
            assert!(matches(id, ip), "{address}");
            assert!(!matches(spoilt(id), ip), "{address}");
        }
    }

    #[test]
    fn each_of_the_21_bits_counts_and_no_other_but_r() {
        let (ip, id) = (ip(PUBLISHED[0].0), id(PUBLISHED[0].1));
        for bit in 0..Id::BITS {
            let other = id.xor(Id::power_of_two(bit));
            let counts = !(3..Id::BITS - 21).contains(&bit);
            assert_eq!(matches(other, ip), !counts, "bit {bit}");
        }
    }

    #[test]
    fn another_address_does_not_match() {
        for (address, hex) in PUBLISHED {
            for (other, _) in PUBLISHED.iter().filter(|(other, _)| *other != address) {
                assert!(!matches(id(hex), ip(other)), "{hex} {other}");
            }
        }
    }

    #[test]
    fn of_ipv6_the_upper_half_counts() {
        let mut chance = Chance::seeded(1);
        let id = id_for(ip("2a02:8071:1::1"), &mut chance);
        assert!(matches(id, ip("2a02:8071:1::ffff")));
        assert!(!matches(id, ip("2a02:8071:2::1")));
        // Computed with a bitwise CRC-32C in Python: crc32c(60 02 00 01 00 01 00 00).
        assert_eq!(hash(ip("2a02:8071:1::1"), 3), 0xd67e_b863);
    }

    #[test]
    fn a_mapped_address_counts_as_ipv4() {
        let (address, hex) = PUBLISHED[0];
        let mapped = address.parse::<Ipv4Addr>().unwrap().to_ipv6_mapped();
        assert!(matches(id(hex), mapped.into()));
        assert!(is_exempt(ip("::ffff:10.0.0.1")));
    }

    #[test]
    fn addresses_used_by_many_networks_are_exempt() {
        for address in ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.9.9", "127.0.0.1"] {
            assert!(is_exempt(ip(address)) && matches(Id::ZERO, ip(address)), "{address}");
        }
        for address in ["::1", "fe80::1", "fd00::1", "fc00::1"] {
            assert!(is_exempt(ip(address)) && matches(Id::ZERO, ip(address)), "{address}");
        }
        for address in ["9.255.255.255", "172.32.0.1", "192.169.0.1", "128.0.0.1", "2a02::1", "fe00::1", "::2"] {
            assert!(!is_exempt(ip(address)), "{address}");
        }
    }

    #[test]
    fn ids_on_loopback_are_spread() {
        let mut chance = Chance::seeded(1);
        let mut first_bytes =
            |address| (0..100).map(|_| id_for(ip(address), &mut chance).as_bytes()[0]).collect::<BTreeSet<u8>>().len();
        assert!(first_bytes("127.0.0.1") > 50);
        assert!(first_bytes("84.124.73.14") <= 8);
    }

    proptest! {
        #[test]
        fn an_address_matches_the_ids_made_for_it(v4: u32, v6: u128, seed: u64) {
            let mut chance = Chance::seeded(seed);
            for ip in [IpAddr::V4(Ipv4Addr::from(v4)), IpAddr::V6(Ipv6Addr::from(v6))] {
                let id = id_for(ip, &mut chance);
                prop_assert!(matches(id, ip));
                prop_assert!(is_exempt(ip) || !matches(spoilt(id), ip));
            }
        }
    }
}
