//! Peers that do not answer as they should.

use crate::ground::krpc::{Body, Message};
use crate::ground::{Contact, Id};
use std::net::{Ipv4Addr, SocketAddr};

/// How a peer misbehaves. It answers pings, so nobody takes it for dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malice {
    /// Searches are not answered.
    Silent,
    /// Searches are answered with peers that do not exist.
    Invents,
}

impl Malice {
    /// What is sent instead of a datagram; none: nothing.
    pub(super) fn spoil(self, bytes: Vec<u8>, to: SocketAddr) -> Option<Vec<u8>> {
        let Ok(mut message) = Message::decode(&bytes) else { return Some(bytes) };
        match (&mut message.body, self) {
            (Body::Answer { answer, .. }, Malice::Silent) if !answer.nodes.is_empty() => None,
            (Body::Answer { answer, .. }, Malice::Invents) if !answer.nodes.is_empty() => {
                answer.nodes.iter_mut().for_each(|node| *node = invented(*node));
                Some(message.encode(to))
            }
            _ => Some(bytes),
        }
    }
}

/// Somebody just before, and as near as the one in whose place it is named, at an address where nobody is.
fn invented(instead_of: Contact) -> Contact {
    let addr = SocketAddr::from((Ipv4Addr::new(11, 0, 0, instead_of.id.as_bytes()[19]), 1));
    Contact { id: instead_of.id.plus(Id::MAX), addr }
}
