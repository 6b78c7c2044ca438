//! Who announced which torrent, or file, to us (BEP 5, 33, 51).

use crate::ground::krpc::{MAX_PEERS, MAX_SAMPLES, Samples, Scrape};
use crate::ground::{Chance, Holding, Id, Moment};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an announcement is good. As libtorrent's.
const GOOD_FOR: Duration = Duration::from_secs(45 * 60);
/// Most torrents known of: with all their peers they take 20 MB at the very most.
const MAX_TORRENTS: usize = 2000;
/// Most peers known of one torrent.
const MAX_PEERS_KEPT: usize = 200;
/// Our samples change so fast, at most (BEP 51).
const SAMPLE_EVERY: Duration = Duration::from_secs(60);

/// All announcements.
#[derive(Default)]
pub(super) struct Trackers {
    torrents: BTreeMap<Id, BTreeMap<SocketAddr, Announced>>,
    swept_at: Moment,
}

#[derive(Clone, Copy)]
struct Announced {
    until: Moment,
    seed: bool,
    file: Option<Holding>,
}

impl Trackers {
    /// No more can be kept of this: tokens for it are withheld.
    pub fn is_full_for(&mut self, now: Moment, info_hash: Id) -> bool {
        // Else, once full, it stayed so: without tokens nobody announces any more.
        self.sweep(now);
        self.has_no_room_for(info_hash)
    }

    fn has_no_room_for(&self, info_hash: Id) -> bool {
        match self.torrents.get(&info_hash) {
            Some(peers) => peers.len() >= MAX_PEERS_KEPT,
            None => self.torrents.len() >= MAX_TORRENTS,
        }
    }

    /// Takes note. What is full changes only for those who are in it.
    pub fn put(&mut self, now: Moment, info_hash: Id, addr: SocketAddr, seed: bool, file: Option<Holding>) -> bool {
        self.sweep(now);
        let known = self.torrents.get(&info_hash).is_some_and(|peers| peers.contains_key(&addr));
        let room = known || !self.has_no_room_for(info_hash);
        if room {
            let announced = Announced { until: now + GOOD_FOR, seed, file };
            self.torrents.entry(info_hash).or_default().insert(addr, announced);
        }
        room
    }

    /// Who has it, of one family: at most as many as an answer takes, by chance.
    pub fn peers(&self, now: Moment, info_hash: Id, v6: bool, chance: &mut Chance) -> Vec<SocketAddr> {
        let mut peers: Vec<SocketAddr> =
            self.good(now, info_hash).filter(|(addr, _)| addr.is_ipv6() == v6).map(|(addr, _)| *addr).collect();
        draw(&mut peers, MAX_PEERS, chance);
        peers
    }

    /// The latest version of the file that anybody announced.
    pub fn told(&self, now: Moment, info_hash: Id) -> Option<Holding> {
        self.good(now, info_hash).filter_map(|(_, announced)| announced.file).max_by_key(Holding::rank)
    }

    /// How many have it, as filters.
    pub fn scrape(&self, now: Moment, info_hash: Id) -> Scrape {
        let mut scrape = Scrape::default();
        for (addr, announced) in self.good(now, info_hash) {
            if announced.seed { scrape.seeds.insert(addr.ip()) } else { scrape.peers.insert(addr.ip()) }
        }
        scrape
    }

    /// Some of the torrents, by chance.
    pub fn samples(&mut self, now: Moment, chance: &mut Chance) -> Samples {
        self.sweep(now);
        let mut ids: Vec<Id> = self.torrents.keys().copied().collect();
        let num = ids.len() as u64;
        draw(&mut ids, MAX_SAMPLES, chance);
        let interval_secs = if num > MAX_SAMPLES as u64 { SAMPLE_EVERY.as_secs() } else { 0 };
        Samples { interval_secs, num, ids }
    }

    fn good(&self, now: Moment, info_hash: Id) -> impl Iterator<Item = (&SocketAddr, &Announced)> {
        let peers = self.torrents.get(&info_hash);
        peers.into_iter().flatten().filter(move |(_, announced)| announced.until > now)
    }

    fn sweep(&mut self, now: Moment) {
        if now.since(self.swept_at) < SAMPLE_EVERY {
            return;
        }
        self.swept_at = now;
        self.torrents.retain(|_, peers| {
            peers.retain(|_, announced| announced.until > now);
            !peers.is_empty()
        });
    }
}

/// Keeps `count` of these, each as likely as the next.
fn draw<T>(all: &mut Vec<T>, count: usize, chance: &mut Chance) {
    if all.len() > count {
        for at in 0..count {
            let other = chance.within(at as u64..all.len() as u64) as usize;
            all.swap(at, other);
        }
        all.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(number: u32) -> SocketAddr {
        SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 + number), 6881))
    }

    #[test]
    fn announcements_are_good_for_45_minutes() {
        let (mut trackers, mut chance) = (Trackers::default(), Chance::seeded(1));
        let torrent = Id::hashed(b"torrent");
        assert!(trackers.put(Moment::START, torrent, addr(1), true, None));
        let later = Moment::START + GOOD_FOR - Duration::from_secs(1);
        assert_eq!(trackers.peers(later, torrent, false, &mut chance), [addr(1)]);
        assert!(trackers.peers(later, torrent, true, &mut chance).is_empty());
        assert!(trackers.peers(Moment::START + GOOD_FOR, torrent, false, &mut chance).is_empty());
        trackers.put(Moment::START + GOOD_FOR, Id::ZERO, addr(1), false, None);
        assert_eq!(trackers.samples(Moment::START + GOOD_FOR, &mut chance).ids, [Id::ZERO]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_those_in_it_stay() {
        let mut trackers = Trackers::default();
        let torrent = Id::hashed(b"torrent");
        let kept = (0..1000).filter(|at| trackers.put(Moment::START, torrent, addr(*at), false, None)).count();
        assert_eq!(kept, MAX_PEERS_KEPT);
        assert!(trackers.is_full_for(Moment::START, torrent) && !trackers.is_full_for(Moment::START, Id::ZERO));
        assert!(trackers.put(Moment::START, torrent, addr(0), true, None), "it was in it before");
        assert_eq!(trackers.peers(Moment::START, torrent, false, &mut Chance::seeded(1)).len(), MAX_PEERS);
        for at in 0..2 * MAX_TORRENTS as u32 {
            trackers.put(Moment::START, Id::hashed(&at.to_be_bytes()), addr(1), false, None);
        }
        assert_eq!(trackers.torrents.len(), MAX_TORRENTS);
        let samples = trackers.samples(Moment::START, &mut Chance::seeded(1));
        assert_eq!((samples.num, samples.ids.len()), (MAX_TORRENTS as u64, MAX_SAMPLES));
    }

    #[test]
    fn what_was_full_has_room_again_though_nobody_announces() {
        let mut trackers = Trackers::default();
        for at in 0..MAX_TORRENTS as u32 {
            trackers.put(Moment::START, Id::hashed(&at.to_be_bytes()), addr(1), false, None);
        }
        assert!(trackers.is_full_for(Moment::START, Id::ZERO));
        assert!(!trackers.is_full_for(Moment::START + GOOD_FOR, Id::ZERO));
        assert_eq!(trackers.samples(Moment::START + GOOD_FOR, &mut Chance::seeded(1)).num, 0);
    }

    #[test]
    fn a_scrape_counts_seeds_and_others_apart() {
        let mut trackers = Trackers::default();
        (0..100).for_each(|at| assert!(trackers.put(Moment::START, Id::ZERO, addr(at), at < 70, None)));
        let scrape = trackers.scrape(Moment::START, Id::ZERO);
        assert!((scrape.seeds.estimate() - 70.0).abs() < 5.0);
        assert!((scrape.peers.estimate() - 30.0).abs() < 3.0);
    }
}
