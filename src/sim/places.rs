//! Which peer is at which address. The world makes its addresses itself, so a table tells, and nothing is searched.

use super::PeerIndex;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Everybody's port but those of numbered peers; these follow it.
const PORT: u16 = 12000;
/// Before the first address made.
const BEFORE_FIRST: u32 = 0x0a00_0000;
/// Peers that may be numbered.
const NUMBERED: usize = 256;

/// The peers by their addresses.
#[derive(Default)]
pub(super) struct Places {
    peers: Vec<Option<PeerIndex>>,
}

/// The address of a peer with a number.
pub(super) fn numbered(number: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT + u16::from(number)))
}

/// An address for the `count`th peer, from 0.
pub(super) fn made(count: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(BEFORE_FIRST + 1 + count as u32), PORT))
}

impl Places {
    /// From now on this peer is there, instead of any other.
    pub fn put(&mut self, addr: SocketAddr, at: PeerIndex) {
        let place = place(addr).expect("every address of a peer is made here");
        if self.peers.len() <= place {
            self.peers.resize(place + 1, None);
        }
        self.peers[place] = Some(at);
    }

    pub fn get(&self, addr: SocketAddr) -> Option<PeerIndex> {
        self.peers.get(place(addr)?).copied().flatten()
    }
}

fn place(addr: SocketAddr) -> Option<usize> {
    let IpAddr::V4(ip) = addr.ip() else { return None };
    match ip {
        Ipv4Addr::LOCALHOST => addr.port().checked_sub(PORT).map(usize::from).filter(|number| *number < NUMBERED),
        _ if addr.port() != PORT => None,
        _ => u32::from(ip).checked_sub(BEFORE_FIRST).map(|count| NUMBERED + count as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_place_of_its_own() {
        let mut places = Places::default();
        let all: Vec<SocketAddr> = (0..=255).map(numbered).chain((0..1000).map(made)).collect();
        all.iter().enumerate().for_each(|(at, addr)| places.put(*addr, at));
        assert!(all.iter().enumerate().all(|(at, addr)| places.get(*addr) == Some(at)));
        for nobody in
            ["127.0.0.1:11999", "127.0.0.1:12256", "10.0.0.1:12001", "9.9.9.9:12000", "10.9.0.0:12000", "[::1]:12000"]
        {
            assert_eq!(places.get(nobody.parse().unwrap()), None, "{nobody}");
        }
    }
}
