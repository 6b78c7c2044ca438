//! What a running peer counts, for who watches it.

use crate::peer::View;

/// How often what has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meters {
    /// UDP datagrams that came.
    pub datagrams_in: u64,
    /// UDP datagrams that left.
    pub datagrams_out: u64,
    /// Commands that look for a place in the network.
    pub lookups: u64,
    /// Commands to bring a file here.
    pub requests: u64,
    /// Files whose bytes we set about to give or get: for commands of our own.
    pub transfers: u64,
    /// The same, to make a copy where one lacked.
    pub repairs: u64,
}

/// A peer as it is at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// What people may see.
    pub view: View,
    /// What was counted.
    pub meters: Meters,
    /// How many bytes its store keeps; what several versions refer to counts once.
    pub used_bytes: u64,
}
