//! A network living: it grows, peers come and go, files are stored and wanted.

use super::churn::{Churn, Departure, Flow, anybody};
use super::{PeerIndex, Weather, World};
use crate::ground::{Chance, Content, Moment};
use crate::overlay::Tuning;
use crate::peer::{Answer, Command, Ticket};
use std::time::Duration;

/// Time between two joins while the network grows.
const JOIN_EVERY: Duration = Duration::from_millis(200);
/// A new file may be requested so long after it was stored: acknowledged, surely.
const OLD_ENOUGH: Duration = Duration::from_secs(20);
/// Requests still open at the end get so long.
const LAST_WAIT: Duration = Duration::from_secs(60);
/// Size of a stored file, in bytes.
const FILE_BYTES: u64 = 100_000;

/// What shall happen.
#[derive(Clone, Debug)]
pub struct Story {
    /// How many peers.
    pub peers: usize,
    /// They are there from the start, and know each other: see [`World::grown`].
    pub grown: bool,
    /// Decides everything that chance decides.
    pub seed: u64,
    /// The weather.
    pub weather: Weather,
    /// How long it goes on after the network has grown.
    pub length: Duration,
    /// Who comes and goes meanwhile.
    pub churn: Churn,
    /// How those who go, go.
    pub departure: Departure,
    /// Kademlia; none: the ring.
    pub kademlia: Option<Tuning>,
    /// Most files stored, one every ten seconds.
    pub files: usize,
    /// Time between two requests.
    pub request_every: Duration,
    /// Time between two rounds of pings to neighbours on the ring.
    pub ping_interval: Duration,
    /// What else happens, and how long after the network has grown.
    pub events: Vec<(Duration, Event)>,
}

/// Something that happens to all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Half of the peers are cut off from the other half.
    Cut,
    /// Everybody reaches everybody again.
    Heal,
    /// Each peer dies with this probability.
    Die(f64),
    /// Everybody requests the first file.
    Crowd,
}

impl Default for Story {
    /// 64 peers of a ring for ten minutes, nobody comes or goes.
    fn default() -> Story {
        Story {
            peers: 64,
            grown: false,
            seed: 1,
            weather: Weather::default(),
            length: Duration::from_secs(600),
            churn: Churn::None,
            departure: Departure::Leave,
            kademlia: None,
            files: usize::MAX,
            request_every: Duration::from_secs(1),
            ping_interval: Duration::from_secs(15),
            events: Vec::new(),
        }
    }
}

/// Time between two stores.
const STORE_EVERY: Duration = Duration::from_secs(10);

/// How the network is at some moment.
#[derive(Clone, Debug)]
pub struct Report {
    /// Time since the start.
    pub time: Duration,
    /// Members now.
    pub members: usize,
    /// Peers that joined, ever.
    pub joined: usize,
    /// Peers that went, ever.
    pub gone: usize,
    /// Every successor and predecessor is right.
    pub closed: bool,
    /// Stores acknowledged.
    pub stored: usize,
    /// Stores given.
    pub stores: usize,
    /// Requests that brought the right bytes.
    pub found: usize,
    /// Requests that ended.
    pub requests: usize,
    /// Datagram bytes sent by one peer in a second, on average over the run.
    pub bytes_per_peer_second: f64,
    /// Bytes of files given from one keeper to another by one peer in a second, on average over the run.
    pub repair_bytes_per_peer_second: f64,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Summary {
    /// At the end.
    pub report: Report,
    /// Acknowledged files that no running peer has.
    pub lost: usize,
    /// Time a successful request took: median.
    pub request_p50: Duration,
    /// Time a successful request took: 99th percentile.
    pub request_p99: Duration,
    /// Inputs handled by all peers.
    pub events: u64,
    /// The first broken rule, as a sentence.
    pub broken: Option<String>,
    /// Two runs with the same fingerprint were the same run.
    pub fingerprint: u64,
}

/// The story as it goes on.
struct Telling {
    world: World,
    chance: Chance,
    stores: Vec<(String, Ticket)>,
    requests: Vec<(usize, Ticket)>,
    gone: usize,
    /// Rules are not checked now.
    unchecked: bool,
    peer_seconds: f64,
}

impl Story {
    fn world(&self) -> World {
        let world = World::new(self.seed, self.weather).ping_every(self.ping_interval);
        match self.kademlia {
            Some(tuning) => world.kademlia(tuning),
            None => world,
        }
    }

    /// Lets it happen; `each_minute` is told how it goes, and says whether it shall go on.
    pub fn run(&self, mut each_minute: impl FnMut(&Report) -> bool) -> Summary {
        let mut telling = Telling {
            world: self.world(),
            chance: Chance::seeded(!self.seed),
            stores: Vec::new(),
            requests: Vec::new(),
            gone: 0,
            unchecked: false,
            peer_seconds: 0.0,
        };
        if self.grown {
            telling.world = telling.world.grown(self.peers);
        } else {
            telling.grow(self.peers);
        }
        let grown = telling.world.now();
        let chance = Chance::seeded(telling.chance.bits());
        let mut flow = Flow::begin(&telling.world, self.churn, self.departure, chance);
        let (mut request_at, mut store_at) = (grown, grown);
        let mut minute = Duration::from_secs(60);
        let mut events: Vec<(Moment, Event)> = self.events.iter().map(|(at, event)| (grown + *at, *event)).collect();
        events.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        while telling.world.now() < grown + self.length {
            let now = telling.world.now();
            let event_at = events.last().map_or(Moment::NEVER, |(at, _)| *at);
            let next = [flow.next(), event_at, request_at, store_at, grown + minute].into_iter().min().expect("five");
            telling.pass(next.since(now));
            let now = next;
            flow.happen(&mut telling.world);
            telling.gone += std::mem::take(&mut flow.gone);
            if let Some((_, event)) = events.pop_if(|(at, _)| *at <= now) {
                telling.meet(event);
            }
            if now == store_at {
                store_at = if telling.stores.len() + 1 < self.files { now + STORE_EVERY } else { Moment::NEVER };
                telling.store();
            }
            if now == request_at {
                request_at = now + self.request_every;
                telling.request();
            }
            if now == grown + minute {
                minute += Duration::from_secs(60);
                telling.check_again();
                if !each_minute(&telling.report()) {
                    break;
                }
            }
        }
        telling.pass(LAST_WAIT);
        telling.summary()
    }
}

impl Telling {
    fn grow(&mut self, peers: usize) {
        self.world.start_alone();
        for _ in 1..peers {
            self.pass(JOIN_EVERY);
            self.join();
        }
        self.pass(Duration::from_secs(20));
    }

    fn pass(&mut self, time: Duration) {
        self.peer_seconds += time.as_secs_f64() * self.world.member_count() as f64;
        self.world.run_for(time);
    }

    fn anybody(&mut self) -> PeerIndex {
        anybody(&self.world, &mut self.chance)
    }

    fn join(&mut self) {
        let known = self.anybody();
        self.world.join(known);
    }

    fn meet(&mut self, event: Event) {
        match event {
            Event::Cut => {
                let sides: Vec<bool> = (0..self.world.started()).map(|_| self.chance.happens(0.5)).collect();
                self.world.partition(|at| sides[at]);
                self.unchecked = true;
            }
            Event::Heal => self.world.heal(),
            Event::Die(share) => {
                for at in self.world.members() {
                    if self.world.member_count() > 1 && self.chance.happens(share) {
                        self.world.kill(at);
                        self.world.bury(at);
                        self.gone += 1;
                    }
                }
            }
            Event::Crowd => {
                for at in self.world.members() {
                    if let Some((name, _)) = self.stores.first() {
                        let ticket = self.world.request(at, &name.clone());
                        self.requests.push((0, ticket));
                    }
                }
            }
        }
    }

    /// After a cut the rules count from the moment when there is one ring again.
    fn check_again(&mut self) {
        if self.unchecked && self.world.check_ideal().is_ok() {
            self.unchecked = false;
            self.world.check_rules();
        }
    }

    fn store(&mut self) {
        let at = self.anybody();
        let name = format!("file {}", self.stores.len());
        let ticket = self.world.store(at, &name, FILE_BYTES);
        self.stores.push((name, ticket));
    }

    fn request(&mut self) {
        let now = self.world.now();
        let old = |(_, store): &&(String, Ticket)| {
            now.since(self.world.record(*store).given) > OLD_ENOUGH && self.world.is_stored(*store)
        };
        let old = self.stores.iter().filter(old).count() as u64;
        if old > 0 {
            let which = self.chance.within(0..old) as usize;
            let at = self.anybody();
            let name = self.stores[which].0.clone();
            let ticket = self.world.request(at, &name);
            self.requests.push((which, ticket));
        }
    }

    fn content(&self, which: usize) -> Content {
        match &self.world.record(self.stores[which].1).command {
            Command::Store { content, .. } => *content,
            _ => unreachable!("stores are stores"),
        }
    }

    fn report(&self) -> Report {
        let ended = self.requests.iter().filter(|(_, request)| self.world.record(*request).answer.is_some());
        Report {
            time: self.world.now().elapsed(),
            members: self.world.member_count(),
            joined: self.world.started(),
            gone: self.gone,
            closed: self.world.check_closed().is_ok(),
            stored: self.stores.iter().filter(|(_, store)| self.world.is_stored(*store)).count(),
            stores: self.stores.len(),
            found: self.times().len(),
            requests: ended.count(),
            bytes_per_peer_second: self.world.counts.datagram_bytes as f64 / self.peer_seconds.max(1.0),
            repair_bytes_per_peer_second: self.world.counts.repair_bytes as f64 / self.peer_seconds.max(1.0),
        }
    }

    /// How long each successful request took, in order of length.
    fn times(&self) -> Vec<Duration> {
        let time = |(which, request): &(usize, Ticket)| {
            let record = self.world.record(*request);
            let right = record.brought == Some(self.content(*which));
            match &record.answer {
                Some((at, Answer::Fetched { .. })) if right => Some(at.since(record.given)),
                _ => None,
            }
        };
        let mut times: Vec<Duration> = self.requests.iter().filter_map(time).collect();
        times.sort();
        times
    }

    fn summary(&self) -> Summary {
        let times = self.times();
        let percentile = |share: f64| {
            let at = (times.len() as f64 * share) as usize;
            times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        let lost = |(which, (name, store)): &(usize, &(String, Ticket))| {
            self.world.is_stored(*store) && self.world.copies(name, self.content(*which)) == 0
        };
        let broken = self.world.broken().map(|broken| format!("at {:?}: {}", broken.at, broken.rule));
        Summary {
            report: self.report(),
            lost: self.stores.iter().enumerate().filter(lost).count(),
            request_p50: percentile(0.5),
            request_p99: percentile(0.99),
            events: self.world.counts.events,
            broken,
            fingerprint: self.world.fingerprint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_with_churn_loses_no_acknowledged_file() {
        for (seed, departure) in [(1, Departure::Leave), (2, Departure::Crash)] {
            let story = Story {
                peers: 50,
                seed,
                weather: Weather { loss: 0.02, ..Weather::default() },
                length: Duration::from_secs(600),
                churn: Churn::Poisson(0.02),
                departure,
                ..Story::default()
            };
            let mut minutes = 0;
            let summary = story.run(|_| {
                minutes += 1;
                true
            });
            assert_eq!(minutes, 10);
            assert_eq!((summary.lost, &summary.broken), (0, &None), "seed {seed}");
            let report = &summary.report;
            assert!(report.stored == report.stores && report.requests > 500, "seed {seed}: {report:?}");
            assert_eq!(report.found, report.requests, "seed {seed}");
        }
    }
}
