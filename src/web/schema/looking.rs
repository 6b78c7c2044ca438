//! The JSON of what people look at: contacts, pings, the way of a lookup.

use super::{Hex, Mode, Who};
use crate::ground::{Contact, Id, Naming};
use crate::peer::{Contacts, Geometry, Hop, KnownContact, Reason, Role, Ruler, Trace};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// `POST /v1/ping`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingWish {
    /// A peer's number or name, or `ADDRESS:PORT`.
    pub peer: String,
}

/// `POST /v1/find`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindWish {
    /// The file's name.
    pub name: String,
    /// Whose way is wanted; none: the network's own.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// What is seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Seen {
    /// Somebody whom the peer knows.
    #[serde(rename = "contact")]
    Contact {
        /// Who.
        peer: Who,
        /// Where.
        addr: SocketAddr,
        /// What it is to the peer.
        roles: Vec<SeenRole>,
        /// How long it takes to answer, on average, in microseconds; none: not measured.
        rtt_us: Option<u64>,
        /// How long ago it answered last, in milliseconds; none: never.
        heard_ms: Option<u64>,
        /// It has missed answers.
        suspect: bool,
        /// It runs another program, and takes no files.
        stranger: bool,
    },
    /// All contacts have been told.
    #[serde(rename = "contacts")]
    Contacts {
        /// Whose.
        me: Who,
        /// Where that one is.
        addr: SocketAddr,
        /// How many.
        contacts: usize,
        /// There is nobody else, as far as it knows.
        everybody: bool,
    },
    /// A ping was answered.
    #[serde(rename = "pinged")]
    Pinged {
        /// By whom.
        peer: Who,
        /// Where.
        addr: SocketAddr,
        /// How long it took, in microseconds.
        rtt_us: u64,
        /// With which attempt.
        attempts: u32,
    },
    /// A peer on the way.
    #[serde(rename = "find.hop")]
    Hop {
        /// From 1.
        hop: usize,
        /// Who was asked.
        peer: Who,
        /// Where.
        addr: SocketAddr,
        /// Who had named it.
        by: Who,
        /// Why.
        why: SeenReason,
        /// How far it is from the place, as an id.
        left: Hex<{ Id::LEN }>,
        /// How many of those met are nearer.
        nearer: usize,
        /// How long it took to answer, in microseconds; none: it did not, or was not asked.
        rtt_us: Option<u64>,
        /// The same from the beginning.
        total_us: Option<u64>,
    },
    /// The end of the way.
    #[serde(rename = "find.end")]
    Found {
        /// The file's name.
        name: String,
        /// Where it belongs.
        place: Who,
        /// Where the way began.
        from: Who,
        /// How nearness was measured.
        mode: Mode,
        /// Nobody was asked along this way: it is what this geometry would do among the peers met.
        computed: bool,
        /// Who keeps the place.
        owner: Who,
        /// On the ring: where what it owns begins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owns_from: Option<Who>,
        /// Who has the file, the owner first.
        holders: Vec<Who>,
        /// Everybody met, in the order of their ids.
        met: Vec<Who>,
        /// How many peers said what they hold.
        asked: usize,
    },
}

/// What a contact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", content = "index", rename_all = "snake_case")]
pub enum SeenRole {
    /// So many peers on; 1 is the next.
    Successor(usize),
    /// The one before.
    Predecessor,
    /// The first at or after 2^(index - 1) from here.
    Finger(usize),
    /// It shares so many leading bits.
    Bucket(usize),
}

/// Why a peer was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum SeenReason {
    /// It is the next after who named it.
    Successor,
    /// It is the first at or after `target`, which is 2^(index - 1) from who named it.
    Finger {
        /// Which.
        index: usize,
        /// Where it points.
        target: Who,
    },
    /// It shares so many leading bits with who named it.
    Bucket {
        /// How many.
        index: usize,
    },
    /// It was named.
    Named,
}

impl Seen {
    /// Everybody a peer knows, and their number at the end.
    pub fn contacts(naming: Naming, contacts: &Contacts) -> Vec<Seen> {
        let me = Who::new(naming, contacts.me.id);
        let sum = Seen::Contacts {
            me,
            addr: contacts.me.addr,
            contacts: contacts.known.len(),
            everybody: contacts.everybody,
        };
        contacts.known.iter().map(|known| contact(naming, known)).chain([sum]).collect()
    }

    /// An answer to a ping.
    pub fn pinged(naming: Naming, contact: Contact, round_trip: Duration, attempts: u32) -> Seen {
        let Contact { id, addr } = contact;
        Seen::Pinged { peer: Who::new(naming, id), addr, rtt_us: micros(round_trip), attempts }
    }

    /// A way, hop by hop, and its end.
    pub fn trace(naming: Naming, trace: &Trace) -> Vec<Seen> {
        let hops = trace.hops.iter().enumerate().map(|(at, hop)| self::hop(naming, at + 1, hop));
        let before = trace.met.iter().copied().filter(|id| *id != trace.owner);
        let before = before.min_by_key(|id| id.clockwise_to(trace.owner));
        // Right after the one before it.
        let next = |id: Id| Who::new(naming, id.plus(Id::power_of_two(unused_bits(naming))));
        let end = Seen::Found {
            name: trace.name.to_string(),
            place: Who::new(naming, trace.place),
            from: Who::new(naming, trace.from),
            mode: mode(trace.geometry),
            computed: trace.supposed,
            owner: Who::new(naming, trace.owner),
            owns_from: before.filter(|_| trace.geometry == Geometry::Ring).map(next),
            holders: Who::all(naming, &trace.holders),
            met: Who::all(naming, &trace.met),
            asked: trace.asked,
        };
        hops.chain([end]).collect()
    }
}

impl From<Mode> for Ruler {
    fn from(mode: Mode) -> Ruler {
        match mode {
            Mode::Ring => Ruler::Ring,
            Mode::Kademlia => Ruler::Kademlia,
        }
    }
}

fn mode(geometry: Geometry) -> Mode {
    match geometry {
        Geometry::Ring => Mode::Ring,
        Geometry::Xor { .. } => Mode::Kademlia,
    }
}

fn contact(naming: Naming, known: &KnownContact) -> Seen {
    let role = |role: &Role| match *role {
        Role::Successor(index) => SeenRole::Successor(index),
        Role::Predecessor => SeenRole::Predecessor,
        Role::Finger(index) => SeenRole::Finger(index - unused_bits(naming)),
        Role::Bucket(index) => SeenRole::Bucket(index),
    };
    Seen::Contact {
        peer: Who::new(naming, known.about.contact.id),
        addr: known.about.contact.addr,
        roles: known.about.roles.iter().map(role).collect(),
        rtt_us: known.round_trip.map(micros),
        heard_ms: known.heard_ago.map(|ago| micros(ago) / 1000),
        suspect: known.about.suspect,
        stranger: known.stranger,
    }
}

fn hop(naming: Naming, at: usize, hop: &Hop) -> Seen {
    let why = match hop.reason {
        Reason::Successor => SeenReason::Successor,
        Reason::Finger(index) => {
            let target = hop.by.plus(Id::power_of_two(index - 1));
            SeenReason::Finger { index: index - unused_bits(naming), target: Who::new(naming, target) }
        }
        Reason::Bucket(index) => SeenReason::Bucket { index },
        Reason::Named => SeenReason::Named,
    };
    Seen::Hop {
        hop: at,
        peer: Who::new(naming, hop.to.id),
        addr: hop.to.addr,
        by: Who::new(naming, hop.by),
        why,
        left: Hex(*hop.left.as_bytes()),
        nearer: hop.nearer,
        rtt_us: hop.round_trip.map(micros),
        total_us: hop.total.map(micros),
    }
}

/// How many of the lowest bits of all ids and places are zero.
fn unused_bits(naming: Naming) -> usize {
    match naming {
        Naming::Numbered => Id::BITS - 8,
        Naming::NumberedPeers | Naming::Hashed => 0,
    }
}

/// Whole microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
