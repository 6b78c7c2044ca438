//! Answers on the wire.

use super::compact::{
    FILE_LEN, MAX_FILES, addr_in, array_in, compact, compact_contact, compact_files, compact_len, contact_in, files_in,
    id_in, is_set,
};
use super::{BadMessage, MAX_DATAGRAM, MAX_NODES, MAX_NODES_FOR_STRANGERS, Network, secs_in};
use crate::ground::bencode::{DictWriter, Value, raw};
use crate::ground::{Bloom, Contact, Holding, Id, Item, Signed};
use std::net::SocketAddr;
use std::time::Duration;

/// Room that the parts of an answer other than nodes, peers and value may take.
const REST: usize = 362;
/// Most addresses of peers in one answer: with 8 nodes beside them they leave it below 1024 bytes over IPv4.
pub const MAX_PEERS: usize = 50;
/// Most addresses of peers in a lean answer.
const MAX_LEAN_PEERS: usize = 8;
/// Longest token taken from an answer: it is sent back, and nobody shall make us send much. Others' have 4 to 20 bytes.
const MAX_TOKEN: usize = 64;
/// Most samples of info-hashes in one answer (BEP 51): 400 bytes.
pub const MAX_SAMPLES: usize = 20;

/// What can be answered. Answers do not name their question, so there is one form for all. What few have is boxed: most
/// are moved about often, and say little.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Contacts near the target.
    pub nodes: Vec<Contact>,
    /// So many of the first nodes follow the target without a gap: the answerer knows of nobody else among them.
    pub gapless: usize,
    /// The nodes are all there are.
    pub everybody: bool,
    /// The target is the answerer's to keep.
    pub own: bool,
    /// Versions held of the files asked about.
    pub files: Vec<Holding>,
    /// What the answerer holds and the asker should agrees with the digest asked about.
    pub agrees: bool,
    /// The file asked for lies in the answerer's working folder, though nobody stored it.
    pub lying: bool,
    /// What to show when storing here; empty where nothing can be stored.
    pub token: Vec<u8>,
    /// Who announced the torrent, or file, asked for.
    pub peers: Vec<SocketAddr>,
    /// The latest version of the file asked for that was announced, by whoever.
    pub told: Option<Box<Holding>>,
    /// How many announced it (BEP 33).
    pub scrape: Option<Box<Scrape>>,
    /// The item asked for.
    pub item: Option<Box<Item>>,
    /// The version there, where the asker has it already.
    pub seq: Option<i64>,
    /// Among peers of ours: what is left of the item's life.
    pub left: Option<Duration>,
    /// Among peers of ours, to who joins: what network this is.
    pub network: Option<Network>,
    /// Torrents known of (BEP 51).
    pub samples: Option<Box<Samples>>,
}

/// Who has a torrent, as two filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrape {
    /// Those who have all of it.
    pub seeds: Bloom,
    /// The others.
    pub peers: Bloom,
}

/// Some of the info-hashes that somebody knows of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// Do not ask again before, in seconds, 0 to 21600.
    pub interval_secs: u64,
    /// How many there are in all.
    pub num: u64,
    /// Some of them.
    pub ids: Vec<Id>,
}

impl Answer {
    /// Leaves out what makes it many times as long as its question: whoever asked finds it elsewhere, or asks again.
    pub fn make_lean(&mut self) {
        self.nodes.truncate(MAX_NODES_FOR_STRANGERS);
        self.peers.truncate(MAX_LEAN_PEERS);
        (self.item, self.left, self.scrape) = (None, None, None);
        if let Some(samples) = &mut self.samples {
            samples.ids.clear();
        }
    }

    pub(super) fn encode(&self, r: &mut DictWriter, from: Id) {
        if let Some(scrape) = &self.scrape {
            r.bytes("BFpe", scrape.peers.as_bytes());
            r.bytes("BFsd", scrape.seeds.as_bytes());
        }
        if self.agrees {
            r.count("agrees", 1);
        }
        if self.everybody {
            r.count("all", 1);
        }
        if !self.files.is_empty() {
            r.bytes("files", &compact_files(&self.files));
        }
        r.bytes("id", from.as_bytes());
        if let Some(samples) = &self.samples {
            r.count("interval", samples.interval_secs);
        }
        if let Some(Item::Mutable(signed)) = self.item.as_deref() {
            r.bytes("k", &signed.key);
        }
        if let (Some(left), Some(_)) = (self.left, &self.item) {
            r.count("left", left.as_secs());
        }
        if self.lying {
            r.count("lying", 1);
        }
        if let Some(network) = self.network {
            r.bytes("net", network.word().as_bytes());
        }
        if self.gapless > 0 {
            r.count("next", self.gapless as u64);
        }
        self.encode_nodes(r);
        if let Some(samples) = &self.samples {
            r.count("num", samples.num);
        }
        if self.own {
            r.count("own", 1);
        }
        if let Some(samples) = &self.samples {
            let ids: Vec<u8> = samples.ids.iter().take(MAX_SAMPLES).flat_map(|id| *id.as_bytes()).collect();
            r.bytes("samples", &ids);
        }
        match (self.item.as_deref(), self.seq) {
            (Some(Item::Mutable(signed)), _) => {
                r.int("seq", signed.seq);
                r.bytes("sig", &signed.signature);
            }
            (_, Some(seq)) => r.int("seq", seq),
            _ => {}
        }
        if !self.token.is_empty() {
            r.bytes("token", &self.token);
        }
        if let Some(told) = &self.told {
            r.bytes("told", &compact_files(std::slice::from_ref(told)));
        }
        if let Some(item) = &self.item {
            r.raw("v", item.value());
        }
        if !self.peers.is_empty() {
            let compacted = |addr: &SocketAddr| {
                let mut bytes = Vec::with_capacity(18);
                compact(*addr, &mut bytes);
                bytes
            };
            let peers: Vec<Vec<u8>> = self.peers_that_fit().map(compacted).collect();
            r.strings("values", &peers.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }

    fn scrape_bytes(&self) -> usize {
        if self.scrape.is_some() { 2 * 262 } else { 0 }
    }

    /// As many peers as leave room for the nodes that lead to more of them.
    fn peers_that_fit(&self) -> impl Iterator<Item = &SocketAddr> {
        let nodes = self.nodes.iter().take(MAX_NODES_FOR_STRANGERS).map(node_bytes).sum::<usize>();
        let mut room = MAX_DATAGRAM.saturating_sub(REST + self.scrape_bytes() + nodes);
        let fits = move |peer: &&SocketAddr| {
            let fits = peer_bytes(peer) <= room;
            room = room.saturating_sub(peer_bytes(peer));
            fits
        };
        self.peers.iter().take(MAX_PEERS).take_while(fits)
    }

    /// As many nodes as fit beside the rest: those of IPv4, then those of IPv6.
    fn encode_nodes(&self, r: &mut DictWriter) {
        let value = self.item.as_ref().map_or(0, |item| item.value().len());
        let scrape = self.scrape_bytes();
        let samples = self.samples.as_ref().map_or(0, |samples| samples.ids.len() * Id::LEN);
        let peers = self.peers_that_fit().map(peer_bytes).sum::<usize>();
        let files = self.files.len().min(MAX_FILES).saturating_sub(1) * FILE_LEN;
        let mut room = MAX_DATAGRAM.saturating_sub(REST + value + scrape + samples + peers + files);
        let mut fits = |node: &&Contact| {
            let len = node_bytes(node);
            let fits = len <= room;
            room -= if fits { len } else { 0 };
            fits
        };
        let nodes = &self.nodes[..self.nodes.iter().take(MAX_NODES).take_while(|node| fits(node)).count()];
        for (key, v6) in [("nodes", false), ("nodes6", true)] {
            let family = nodes.iter().filter(|node| node.addr.is_ipv6() == v6);
            let len = family.clone().map(node_bytes).sum();
            if len > 0 {
                r.filled(key, len, |out| family.for_each(|node| compact_contact(node, out)));
            }
        }
    }

    pub(super) fn decode(datagram: &[u8], r: &Value) -> Result<(Id, Answer), BadMessage> {
        let from = id_in(r, "id").ok_or(BadMessage::Form("an answer without id"))?;
        let mut nodes = Vec::new();
        for (key, len) in [("nodes", 26), ("nodes6", 38)] {
            let bytes = r.get(key).and_then(Value::bytes).unwrap_or_default();
            if !bytes.len().is_multiple_of(len) {
                return Err(BadMessage::Form("nodes of a wrong length"));
            }
            nodes.reserve(MAX_NODES.min(bytes.len() / len));
            nodes.extend(bytes.chunks_exact(len).filter_map(contact_in));
        }
        nodes.truncate(MAX_NODES);
        let gapless = r.get("next").and_then(Value::count).map_or(0, |count| nodes.len().min(count as usize));
        let values = r.get("values").and_then(Value::list).unwrap_or_default();
        let peers = values.iter().filter_map(Value::bytes).filter_map(addr_in).take(2 * MAX_PEERS).collect();
        let token = r.get("token").and_then(Value::bytes).filter(|token| token.len() <= MAX_TOKEN);
        let value = r.get("v").and_then(|_| raw(datagram, &["r", "v"]));
        let item = value.and_then(|value| item_in(r, value));
        let seq = r.get("seq").and_then(Value::int);
        let bloom = |key| r.get(key).and_then(Value::bytes).and_then(Bloom::from_slice);
        let scrape = bloom("BFsd").zip(bloom("BFpe")).map(|(seeds, peers)| Box::new(Scrape { seeds, peers }));
        let answer = Answer {
            nodes,
            gapless,
            everybody: is_set(r, "all"),
            own: is_set(r, "own"),
            files: files_in(r, "files"),
            agrees: is_set(r, "agrees"),
            lying: is_set(r, "lying"),
            token: token.unwrap_or_default().to_vec(),
            peers,
            told: files_in(r, "told").first().copied().map(Box::new),
            scrape,
            item: item.map(Box::new),
            seq,
            left: secs_in(r, "left"),
            network: r.get("net").and_then(Value::text).and_then(Network::of_word),
            samples: samples_in(r).map(Box::new),
        };
        Ok((from, answer))
    }
}

fn node_bytes(node: &Contact) -> usize {
    Id::LEN + compact_len(node.addr)
}

fn peer_bytes(peer: &SocketAddr) -> usize {
    if peer.is_ipv4() { 8 } else { 21 }
}

/// The item in an answer, not verified; none where it is neither of the two kinds.
fn item_in(r: &Value, value: &[u8]) -> Option<Item> {
    let value = value.to_vec();
    if r.get("k").is_none() {
        return Some(Item::Immutable(value));
    }
    let (key, signature) = (array_in(r, "k")?, array_in(r, "sig")?);
    let seq = r.get("seq").and_then(Value::int)?;
    // The asker knows the salt: it is not said again.
    Some(Item::Mutable(Signed { key, salt: Vec::new(), seq, value, signature }))
}

fn samples_in(r: &Value) -> Option<Samples> {
    let bytes = r.get("samples").and_then(Value::bytes)?;
    let count = |key| r.get(key).and_then(Value::count).unwrap_or(0);
    let ids = bytes.chunks_exact(Id::LEN).filter_map(Id::from_slice).collect();
    Some(Samples { interval_secs: count("interval").min(21_600), num: count("num"), ids })
}
