//! What kind of network a peer is in: who joins one of another kind would keep its files where nobody else looks for them.

use std::fmt;

/// The kinds there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A ring of 160-bit ids.
    Ring,
    /// The classic ring of peers 0 to 255.
    NumberedRing,
    /// Kademlia.
    Kademlia,
}

impl Network {
    /// Its word on the wire.
    pub(super) fn word(self) -> &'static str {
        match self {
            Network::Ring => "ring",
            Network::NumberedRing => "numbers",
            Network::Kademlia => "kademlia",
        }
    }

    /// The one with this word.
    pub(super) fn of_word(word: &str) -> Option<Network> {
        [Network::Ring, Network::NumberedRing, Network::Kademlia].into_iter().find(|network| network.word() == word)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Network::Ring => "a ring of 160-bit ids",
            Network::NumberedRing => "a ring of numbered peers",
            Network::Kademlia => "a Kademlia network",
        })
    }
}
