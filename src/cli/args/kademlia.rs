//! The options of peers and nodes that keep to Kademlia.

use crate::ground::Id;
use crate::live::{Eviction, Identity, Kind, Tuning};
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

/// The options of a peer.
#[derive(Args)]
#[command(next_help_heading = "Kademlia options")]
pub struct KademliaOptions {
    /// Keep to Kademlia instead of the ring, on the wire of the Mainline DHT
    #[arg(id = "kademlia", short = 'k', long = "kademlia", env = "P2P_KADEMLIA", value_parser = FalseyValueParser::new())]
    pub on: bool,
    /// Contacts in a bucket, and nodes that keep a value
    #[arg(long, env = "P2P_K", value_name = "N", default_value = "8", value_parser = clap::value_parser!(u8).range(1..=32))]
    k: u8,
    /// Questions of one lookup that may be open
    #[arg(long, env = "P2P_ALPHA", value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=16))]
    alpha: u8,
    /// Leading bits of ids that are used; the others are zero
    #[arg(long, env = "P2P_BITS", value_name = "N", default_value = "160", value_parser = clap::value_parser!(u8).range(4..=160))]
    bits: u8,
    /// Who goes when a bucket is full: the oldest if it does not answer a ping, or the oldest at once
    #[arg(long, env = "P2P_EVICTION", default_value = "ping")]
    eviction: Leaving,
    /// All buckets alike, or the first ones larger (128, 64, 32 and 16)
    #[arg(long, env = "P2P_BUCKETS", default_value = "plain")]
    buckets: Buckets,
}

#[derive(Clone, Copy, ValueEnum)]
enum Leaving {
    Ping,
    Oldest,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Buckets {
    Plain,
    Wide,
}

impl KademliaOptions {
    /// Those that say nothing without `--kademlia`.
    pub const TUNING: [&str; 5] = ["k", "alpha", "bits", "eviction", "buckets"];

    /// The overlay.
    pub fn kind(&self) -> Kind {
        let eviction = match self.eviction {
            Leaving::Ping => Eviction::Ping,
            Leaving::Oldest => Eviction::Oldest,
        };
        let wide = self.buckets == Buckets::Wide;
        Kind::Kademlia(Tuning { k: self.k.into(), alpha: self.alpha.into(), eviction, wide })
    }

    /// The identity in the room of `--bits`. A peer's number must not become another one.
    pub fn room(&self, identity: Identity) -> Result<Identity, String> {
        let bits = usize::from(self.bits);
        match identity {
            Identity::Kept { .. } => Ok(Identity::Kept { bits }),
            Identity::Given(id) => {
                let truncated = Identity::truncated(id, bits);
                match id.number() {
                    Some(number) if truncated != id => {
                        Err(format!("peer {number} does not fit {bits} bits: say --bits 8"))
                    }
                    _ => Ok(Identity::Given(truncated)),
                }
            }
        }
    }
}

/// The options of a plain node.
#[derive(Args, Debug)]
pub struct NodeTuning {
    /// Contacts in a bucket, and nodes that keep a value
    #[arg(short, long, env = "P2P_K", value_name = "N", default_value = "8", value_parser = clap::value_parser!(u8).range(1..=32))]
    k: u8,
    /// Questions of one lookup that may be open
    #[arg(long, env = "P2P_ALPHA", value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=16))]
    alpha: u8,
}

impl NodeTuning {
    /// For the overlay.
    pub fn tuning(&self) -> Tuning {
        Tuning { k: self.k.into(), alpha: self.alpha.into(), ..Tuning::default() }
    }
}

/// 40 hexadecimal digits.
pub fn id(text: &str) -> Result<Id, String> {
    unhex(text).map(Id::new).ok_or_else(|| "this takes 40 hexadecimal digits".to_owned())
}

/// So many bytes, as hexadecimal digits.
pub fn unhex<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    if text.len() != 2 * LEN || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("these are digits");
    Some(std::array::from_fn(byte))
}
