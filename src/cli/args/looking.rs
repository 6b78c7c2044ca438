//! The options of commands that look at a network.

use super::client::{Asking, Called, at_least};
use crate::web::schema::Mode;
use clap::{Args, ValueEnum};

const RING: &str = "\
Examples:
  p2p ring                                   Whom the peer knows, clockwise from itself
  p2p ring --peer 4                          As peer 4 sees it, where several run
In a Kademlia network: bucket by bucket.";

const PEERS: &str = "\
Examples:
  p2p peers                                  How fast each contact answers, and when it did last
  p2p peers --json                           The same, one JSON object a line";

const FIND: &str = "\
Examples:
  p2p find report.pdf                        Whom a request asks, in which order, and why
  p2p find report.pdf --as kademlia          The way that the other geometry would take among the same peers

The exit code tells: 0 found, 3 nobody has it, 4 who may have it cannot be reached.";

const PING: &str = "\
Examples:
  p2p ping 14                                A peer, by its number or the first digits of its id
  p2p ping 10.0.0.7:12004                    Whoever is there

The exit code tells: 0 it answers, 4 it does not.";

const WATCH: &str = "\
Examples:
  p2p watch                                  What happens at the peer, as it happens
  p2p watch peer                             Who comes, leaves and dies
  p2p watch file.stored file.fetched
  p2p watch --since 0 --json                 From the first that is kept on, one JSON object a line";

/// The contacts of a peer, where they are.
#[derive(Args, Debug)]
#[command(before_help = RING)]
pub struct Ring {
    #[command(flatten)]
    pub asking: Asking,
}

/// The contacts of a peer, how they are.
#[derive(Args, Debug)]
#[command(before_help = PEERS)]
pub struct Peers {
    #[command(flatten)]
    pub asking: Asking,
}

/// A file whose way is to be shown.
#[derive(Args, Debug)]
#[command(before_help = FIND)]
pub struct Find {
    #[command(flatten)]
    pub file: Called,
    /// The way that this geometry would take; computed, where the network has the other one
    #[arg(id = "geometry", long = "as", value_name = "GEOMETRY")]
    pub geometry: Option<Geometry>,
    #[command(flatten)]
    pub asking: Asking,
}

/// A peer that shall answer.
#[derive(Args, Debug)]
#[command(before_help = PING)]
pub struct Ping {
    /// Its number, the first digits of its id, or HOST:PORT
    pub peer: String,
    #[command(flatten)]
    pub asking: Asking,
}

/// What happens, to be shown.
#[derive(Args, Debug)]
#[command(before_help = WATCH)]
pub struct Watch {
    /// Only these: peer.silent, peer.dead, file.stored, …; or all of a group: peer, file
    pub kinds: Vec<String>,
    /// Begin with what was told after this number, as far as the peer keeps it
    #[arg(long, value_name = "NUMBER", value_parser = from_zero, allow_negative_numbers = true)]
    pub since: Option<u64>,
    #[command(flatten)]
    pub asking: Asking,
}

/// A whole number.
fn from_zero(text: &str) -> Result<u64, String> {
    at_least(0, text)
}

/// How nearness is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Geometry {
    /// Clockwise
    Ring,
    /// By differing bits
    Kademlia,
}

impl From<Geometry> for Mode {
    fn from(geometry: Geometry) -> Mode {
        match geometry {
            Geometry::Ring => Mode::Ring,
            Geometry::Kademlia => Mode::Kademlia,
        }
    }
}
