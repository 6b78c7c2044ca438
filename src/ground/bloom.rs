//! Sets of addresses that can be counted and joined, but not listed (BEP 33).

use super::Id;
use std::fmt;
use std::net::IpAddr;

/// Roughly which addresses share a file. Two bits of 2048 stand for each address.
///
/// ```text
/// SHA-1 of the address, 4 or 16 bytes:   low 0 · high 0 · low 1 · high 1 · …     two numbers, each mod 2048
/// bit n of the filter:                   in byte n / 8, worth 2^(n mod 8)
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Bloom([u8; Bloom::LEN]);

impl Bloom {
    /// Length in bytes.
    pub const LEN: usize = 256;
    const BITS: u32 = 8 * Bloom::LEN as u32;

    /// The filter with just these bytes, if they are exactly 256.
    pub fn from_slice(bytes: &[u8]) -> Option<Bloom> {
        bytes.try_into().ok().map(Bloom)
    }

    /// The 256 bytes.
    pub const fn as_bytes(&self) -> &[u8; Bloom::LEN] {
        &self.0
    }

    /// Adds an address.
    pub fn insert(&mut self, ip: IpAddr) {
        for (byte, bit) in places(ip) {
            self.0[byte] |= bit;
        }
    }

    /// False: it was never inserted. True: it probably was; the fuller, the less sure.
    pub fn contains(&self, ip: IpAddr) -> bool {
        places(ip).into_iter().all(|(byte, bit)| self.0[byte] & bit != 0)
    }

    /// The filter of who is in this one or the other.
    pub fn union(&self, other: &Bloom) -> Bloom {
        Bloom(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    /// About how many addresses were inserted, by the BEP's formula: half a one if none were.
    /// Breaks down near 8000: a full filter says 7806.
    pub fn estimate(&self) -> f64 {
        let zeros = self.0.iter().map(|byte| byte.count_zeros()).sum::<u32>();
        // From below our own addition: a stranger's full filter must not count infinitely many.
        let zeros = f64::from(zeros.clamp(1, Bloom::BITS - 1));
        let bits = f64::from(Bloom::BITS);
        (zeros / bits).ln() / (2.0 * (1.0 - 1.0 / bits).ln())
    }
}

impl Default for Bloom {
    /// Nobody.
    fn default() -> Bloom {
        Bloom([0; Bloom::LEN])
    }
}

impl fmt::Debug for Bloom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {:.1} addresses", self.estimate())
    }
}

/// The byte and the bit in it of each of the two hashes. An IPv4 address is the same if mapped into IPv6.
fn places(ip: IpAddr) -> [(usize, u8); 2] {
    let hash = match ip.to_canonical() {
        IpAddr::V4(ip) => Id::hashed(&ip.octets()),
        IpAddr::V6(ip) => Id::hashed(&ip.octets()),
    };
    let [low0, high0, low1, high1, ..] = *hash.as_bytes();
    [[low0, high0], [low1, high1]].map(|hash| {
        let index = usize::from(u16::from_le_bytes(hash)) % (8 * Bloom::LEN);
        (index / 8, 1 << (index % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// BEP 33, "Test Vectors".
    const PUBLISHED: &str = "\
        F6C3F5EA A07FFD91 BDE89F77 7F26FB2B FF37BDB8 FB2BBAA2 FD3DDDE7 BACFFF75 EE7CCBAE \
        FE5EEDB1 FBFAFF67 F6ABFF5E 43DDBCA3 FD9B9FFD F4FFD3E9 DFF12D1B DF59DB53 DBE9FA5B \
        7FF3B8FD FCDE1AFB 8BEDD7BE 2F3EE71E BBBFE93B CDEEFE14 8246C2BC 5DBFF7E7 EFDCF24F \
        D8DC7ADF FD8FFFDF DDFFF7A4 BBEEDF5C B95CE81F C7FCFF1F F4FFFFDF E5F7FDCB B7FD79B3 \
        FA1FC77B FE07FFF9 05B7B7FF C7FEFEFF E0B8370B B0CD3F5B 7F2BD93F EB4386CF DD6F7FD5 \
        BFAF2E9E BFFFFEEC D67ADBF7 C67F17EF D5D75EBA 6FFEBA7F FF47A91E B1BFBB53 E8ABFB57 \
        62ABE8FF 237279BF EFBFEEF5 FFC5FEBF DFE5ADFF ADFEE1FB 737FFFFB FD9F6AEF FEEE76B6 \
        FD8F72EF";

    fn published_v4() -> impl Iterator<Item = IpAddr> {
        (0..=255).map(|last| Ipv4Addr::new(192, 0, 2, last).into())
    }

    fn published_v6() -> impl Iterator<Item = IpAddr> {
        (0..=0x3e7).map(|last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into())
    }

    fn filter_of(ips: impl Iterator<Item = IpAddr>) -> Bloom {
        let mut filter = Bloom::default();
        ips.for_each(|ip| filter.insert(ip));
        filter
    }

    #[test]
    fn the_published_filter_comes_out_byte_for_byte() {
        let filter = filter_of(published_v4().chain(published_v6()));
        let hex: String = filter.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(hex, PUBLISHED.replace(' ', ""));
        // Published with four digits, cut off: 1224.93088… .
        assert!(filter.estimate().to_string().starts_with("1224.9308"), "{}", filter.estimate());
    }

    #[test]
    fn whoever_was_inserted_is_contained() {
        let filter = filter_of(published_v4());
        assert!(published_v4().all(|ip| filter.contains(ip)));
        assert!(published_v6().filter(|ip| filter.contains(*ip)).count() < 100);
        assert!(published_v4().all(|ip| !Bloom::default().contains(ip)));
    }

    #[test]
    fn a_union_is_the_filter_of_both() {
        let both = filter_of(published_v4().chain(published_v6()));
        assert_eq!(filter_of(published_v4()).union(&filter_of(published_v6())), both);
        assert_eq!(both.union(&Bloom::default()), both);
    }

    #[test]
    fn a_mapped_address_counts_once() {
        let mut filter = filter_of(published_v4());
        let before = filter.clone();
        filter.insert(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().into());
        assert_eq!(filter, before);
    }

    #[test]
    fn only_256_bytes_are_a_filter() {
        let filter = filter_of(published_v6());
        assert_eq!(Bloom::from_slice(filter.as_bytes()), Some(filter));
        assert_eq!(Bloom::from_slice(&[0; 255]), None);
        assert_eq!(Bloom::from_slice(&[0; 257]), None);
    }

    #[test]
    fn a_full_filter_counts_a_number() {
        let full = Bloom::from_slice(&[0xff; Bloom::LEN]).unwrap();
        assert_eq!(full.estimate().round(), 7806.0);
        assert_eq!(Bloom::default().estimate().round(), 1.0);
        assert!(Bloom::default().estimate() < 0.6);
    }
}
