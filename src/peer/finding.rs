//! What walks find: values, who has a torrent, and which torrents there are.

use super::search::Asks;
use super::values::LIFE;
use super::walks::{Candidate, Goal, Walk};
use super::*;
use crate::ground::Item;
use crate::ground::item::mutable_target;
use crate::ground::krpc::{self, MAX_PEERS, Offer, Program, Samples, Scrape};
use std::collections::BTreeSet;

/// What is looked for, and what of it has been found.
pub(super) enum Finding {
    Value { sought: Sought, best: Option<(Item, Option<Duration>)>, lacking: BTreeSet<Id> },
    Peers { scrape: Option<Box<Scrape>>, wants_scrape: bool, peers: BTreeSet<SocketAddr> },
    Samples { ids: BTreeSet<Id>, num: u64 },
}

/// Most peers or samples gathered by one walk.
const MAX_GATHERED: usize = 20 * MAX_PEERS;

impl Finding {
    pub fn asks(&self) -> Asks {
        match self {
            Finding::Value { .. } => Asks::Item { seq: None },
            Finding::Peers { wants_scrape, .. } => Asks::Peers { scrape: *wants_scrape },
            Finding::Samples { .. } => Asks::Samples,
        }
    }

    /// Takes what is in an answer; false if it is not what it claims to be.
    pub fn gather(&mut self, target: Id, from: Contact, answer: krpc::Answer) -> bool {
        match self {
            Finding::Value { sought, best, lacking } => {
                let Some(item) = answer.item else {
                    lacking.insert(from.id);
                    return true;
                };
                let Some(item) = genuine(sought, target, *item) else { return false };
                let later = |(known, _): &(Item, Option<Duration>)| rank(known) < rank(&item);
                if best.as_ref().is_none_or(later) {
                    *best = Some((item, answer.left));
                }
            }
            Finding::Peers { scrape, wants_scrape, peers } => {
                if let Some(filters) = answer.scrape.filter(|_| *wants_scrape) {
                    let sum = scrape.get_or_insert_default();
                    sum.seeds = sum.seeds.union(&filters.seeds);
                    sum.peers = sum.peers.union(&filters.peers);
                }
                let room = MAX_GATHERED.saturating_sub(peers.len());
                peers.extend(answer.peers.into_iter().take(room));
            }
            Finding::Samples { ids, num } => {
                let Samples { num: more, ids: samples, .. } =
                    answer.samples.map(|samples| *samples).unwrap_or_default();
                *num = num.saturating_add(more);
                let room = MAX_GATHERED.saturating_sub(ids.len());
                ids.extend(samples.into_iter().take(room));
            }
        }
        true
    }

    /// Nobody had anything yet.
    pub fn is_empty(&self) -> bool {
        match self {
            Finding::Value { best, .. } => best.is_none(),
            Finding::Peers { peers, .. } => peers.is_empty(),
            Finding::Samples { ids, .. } => ids.is_empty(),
        }
    }

    /// Nothing better can come: the first copy of an immutable value that verifies is all there is to know.
    pub fn is_content(&self) -> bool {
        matches!(self, Finding::Value { best: Some((Item::Immutable(_), _)), .. })
    }
}

/// The item as it was asked for: with the salt, under the right target, signed.
fn genuine(sought: &Sought, target: Id, item: Item) -> Option<Item> {
    let item = match (sought, item) {
        (Sought::Immutable(_), item @ Item::Immutable(_)) => item,
        (Sought::Mutable { key, salt }, Item::Mutable(mut signed)) if signed.key == *key => {
            signed.salt.clone_from(salt);
            Item::Mutable(signed)
        }
        _ => return None,
    };
    (item.target() == target && item.verify().is_ok()).then_some(item)
}

/// Of two versions the one with the higher sequence number counts; of equal ones any, but everywhere the same.
fn rank(item: &Item) -> (Option<i64>, &[u8]) {
    (item.seq(), item.value())
}

impl Sought {
    /// The id that it is found under.
    pub fn target(&self) -> Id {
        match self {
            Sought::Immutable(target) => *target,
            Sought::Mutable { key, salt } => mutable_target(key, salt),
        }
    }
}

impl Peer {
    pub(super) fn start_find(&mut self, now: Moment, ticket: Ticket, sought: Sought) {
        let target = sought.target();
        let own = self.keeping.values.get(now, target).map(|kept| (kept.item.clone(), kept.left(now)));
        let finding = Finding::Value { sought, best: own, lacking: BTreeSet::new() };
        if finding.is_content() {
            // We keep it ourselves.
            let Finding::Value { best: Some((item, _)), .. } = finding else { unreachable!("seen just above") };
            return self.answer(ticket, Answer::Found(item));
        }
        self.start_walk(now, Some(ticket), target, Goal::Find(finding));
    }

    pub(super) fn start_find_peers(&mut self, now: Moment, ticket: Ticket, info_hash: Id, wants_scrape: bool) {
        let own = [false, true].map(|v6| self.keeping.trackers.peers(now, info_hash, v6, &mut self.chance));
        let scrape = wants_scrape.then(|| Box::new(self.keeping.trackers.scrape(now, info_hash)));
        let finding = Finding::Peers { scrape, wants_scrape, peers: own.into_iter().flatten().collect() };
        self.start_walk(now, Some(ticket), info_hash, Goal::Find(finding));
    }

    pub(super) fn start_sample(&mut self, now: Moment, ticket: Ticket, target: Id) {
        let finding = Finding::Samples { ids: BTreeSet::new(), num: 0 };
        self.start_walk(now, Some(ticket), target, Goal::Find(finding));
    }

    /// The walk has found what there is.
    pub(super) fn found(&mut self, now: Moment, walk: Walk) {
        let asked = walk.asked();
        let Goal::Find(finding) = walk.goal else { unreachable!("only finders find") };
        let answer = match finding {
            Finding::Value { best: Some((item, left)), lacking, .. } => {
                if let Some(left) = left {
                    self.cache(now, walk.candidates.values(), &lacking, &item, left);
                }
                Answer::Found(item)
            }
            _ if asked > 0 && walk.heard.is_empty() => {
                Answer::Unable("nobody answers: the network is out of reach".to_owned())
            }
            Finding::Value { best: None, .. } => {
                // Who is alone and keeps values is everybody who could have it.
                let alone = !self.read_only && self.overlay.contacts().is_empty();
                Answer::NoValue { asked: asked.max(usize::from(alone)) }
            }
            Finding::Peers { scrape, peers, .. } => {
                let scrape = scrape.map(|scrape| (scrape.seeds.estimate(), scrape.peers.estimate()));
                Answer::Peers { peers: peers.into_iter().collect(), scrape, asked }
            }
            Finding::Samples { ids, num } => Answer::Samples { ids: ids.into_iter().collect(), num },
        };
        self.answer_if_asked(walk.ticket, answer);
    }

    /// Leaves a copy with the nearest peer of ours that lacked the value: whoever looks for it next has a shorter way.
    /// The farther away, the shorter it is kept (Kademlia §4.1).
    fn cache<'a>(
        &mut self,
        now: Moment,
        candidates: impl Iterator<Item = &'a Candidate>,
        lacking: &BTreeSet<Id>,
        item: &Item,
        left: Duration,
    ) {
        let ours = candidates.enumerate().filter(|(_, candidate)| candidate.program != Program::Stranger);
        let nearest = ours.map(|(rank, candidate)| (rank, candidate.clone()));
        let nearest = nearest.into_iter().find(|(_, candidate)| {
            lacking.contains(&candidate.contact.id) && Peer::fits_its_address(candidate.contact)
        });
        if let Some((rank, Candidate { contact, token, .. })) = nearest {
            let left = Some(left.min(LIFE) / (1 << rank.min(16)));
            let offer = Offer { item: item.clone(), token, cas: None, left };
            self.ask(now, contact, Question::Put(Box::new(offer)), Patience::Search, Why::Cached);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liars_cannot_count_beyond_all_numbers() {
        let mut finding = Finding::Samples { ids: BTreeSet::new(), num: 0 };
        let from = Contact { id: Id::ZERO, addr: SocketAddr::from(([127, 0, 0, 1], 1)) };
        for _ in 0..4 {
            let samples = Some(Samples { num: u64::MAX / 2, ..Samples::default() });
            assert!(finding.gather(
                Id::ZERO,
                from,
                krpc::Answer { samples: samples.map(Box::new), ..krpc::Answer::default() }
            ));
        }
        assert!(matches!(finding, Finding::Samples { num: u64::MAX, .. }));
    }
}
