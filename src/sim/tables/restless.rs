//! Lookups in a network whose peers come and go, and what became of them.

use super::super::churn::{Churn, Departure, Flow, anybody};
use super::super::{PeerIndex, Weather, World};
use super::{Tell, mean, percentile, world_of};
use crate::ground::{Chance, Id, Moment};
use crate::overlay::Kind;
use crate::peer::{Answer, LookedUp, Ticket};
use std::time::Duration;

/// Time between two joins while the network grows.
const JOIN_EVERY: Duration = Duration::from_millis(100);
/// Time from the last join to the first that goes.
const REST: Duration = Duration::from_secs(30);
/// Time until the first lookup, in churn already.
const SETTLING: Duration = Duration::from_secs(120);
/// How often it is looked whether a lookup has ended: who owns the key may change meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A lookup that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// A network whose peers come and go, and look things up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restless {
    pub seed: u64,
    pub peers: usize,
    pub kind: Kind,
    pub weather: Weather,
    pub churn: Churn,
    pub departure: Departure,
    pub ping_interval: Duration,
    /// Lookups a second, by all together.
    pub rate: f64,
    /// After so many it ends.
    pub lookups: usize,
}

/// How the lookups went.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookups {
    /// Lookups that ended while their asker was there.
    pub ended: usize,
    /// Of these, how many named somebody who was not the owner, or nobody.
    pub failed: usize,
    /// Mean over those that did not fail.
    pub path: f64,
    /// Questions of a lookup that were not answered, mean over those that did not fail.
    pub timeouts: f64,
    /// Questions of a lookup that were overdue, answered in the end or not; as a mean.
    pub overdue: f64,
    /// Median time of those that did not fail.
    pub p50: Duration,
    /// Their 99th percentile.
    pub p99: Duration,
    /// Sent by each peer in a second.
    pub bytes_per_peer_second: f64,
    /// The first broken rule of the ring.
    pub broken: Option<String>,
}

struct Open {
    ticket: Ticket,
    by: PeerIndex,
    key: Id,
    given: Moment,
    owner_before: Option<PeerIndex>,
}

struct Run {
    plan: Restless,
    world: World,
    chance: Chance,
    open: Vec<Open>,
    traces: Vec<LookedUp>,
    failed: usize,
}

impl Restless {
    /// Lets it happen.
    pub fn run(self, tell: Tell) -> Lookups {
        let world = world_of(self.kind, self.seed, self.weather).ping_every(self.ping_interval);
        let chance = Chance::seeded(!self.seed);
        Run { plan: self, world, chance, open: Vec::new(), traces: Vec::new(), failed: 0 }.run(tell)
    }

    /// How long it is likely to take, in simulated time.
    fn length(&self) -> Duration {
        JOIN_EVERY * self.peers as u32 + REST + SETTLING + Duration::from_secs_f64(self.lookups as f64 / self.rate)
    }
}

impl Run {
    fn run(mut self, tell: Tell) -> Lookups {
        let length = self.plan.length();
        let share = |world: &World| world.now().elapsed().div_duration_f64(length).min(1.0);
        self.world.start_alone();
        for _ in 1..self.plan.peers {
            tell(share(&self.world));
            self.world.run_for(JOIN_EVERY);
            let known = self.anybody();
            self.world.join(known);
        }
        self.world.run_for(REST);
        let begun = self.world.now();
        let chance = Chance::seeded(self.chance.bits());
        let mut flow = Flow::begin(&self.world, self.plan.churn, self.plan.departure, chance);
        let mut look_up_at = begun + SETTLING;
        let (mut given, mut sent_before) = (0, 0);
        while given < self.plan.lookups || !self.open.is_empty() {
            let next = [flow.next(), look_up_at, self.world.now() + LOOK_EVERY].into_iter().min().expect("three");
            self.world.run_until(next);
            tell(share(&self.world));
            self.look_at_open();
            flow.happen(&mut self.world);
            if next == look_up_at {
                if given == 0 {
                    sent_before = self.world.counts.datagram_bytes;
                }
                given += 1;
                let pause = self.chance.exponential(Duration::from_secs_f64(1.0 / self.plan.rate));
                look_up_at = if given < self.plan.lookups { next + pause } else { Moment::NEVER };
                self.look_up();
            }
        }
        let seconds = self.world.now().since(begun + SETTLING).as_secs_f64();
        let sent = (self.world.counts.datagram_bytes - sent_before) as f64;
        let peers = self.plan.peers as f64;
        self.sum_up(sent / seconds / peers)
    }

    fn sum_up(self, bytes_per_peer_second: f64) -> Lookups {
        let mut times: Vec<Duration> = self.traces.iter().map(|trace| trace.took).collect();
        Lookups {
            ended: self.traces.len() + self.failed,
            failed: self.failed,
            path: mean(self.traces.iter().map(|trace| trace.path_len() as f64)),
            timeouts: mean(self.traces.iter().map(|trace| trace.timeouts() as f64)),
            overdue: mean(self.traces.iter().map(|trace| trace.overdue() as f64)),
            p50: percentile(&mut times, 0.5),
            p99: percentile(&mut times, 0.99),
            bytes_per_peer_second,
            broken: self.world.broken().map(|broken| broken.rule.clone()),
        }
    }

    fn anybody(&mut self) -> PeerIndex {
        anybody(&self.world, &mut self.chance)
    }

    fn look_up(&mut self) {
        let by = self.anybody();
        let key = Id::hashed(&self.chance.bits().to_be_bytes());
        let ticket = self.world.look_up(by, key);
        let owner_before = self.world.owner(key);
        self.open.push(Open { ticket, by, key, given: self.world.now(), owner_before });
    }

    fn look_at_open(&mut self) {
        let now = self.world.now();
        for mut lookup in std::mem::take(&mut self.open) {
            let owner = self.world.owner(lookup.key);
            match self.world.take_answer(lookup.ticket) {
                Some(Answer::LookedUp(trace)) => {
                    // Between two looks the owner may have changed: either is right.
                    let found = trace.keepers.first().map(|keeper| keeper.id);
                    let right =
                        [lookup.owner_before, owner].iter().flatten().any(|at| Some(self.world.id(*at)) == found);
                    if right { self.traces.push(trace) } else { self.failed += 1 }
                }
                // Who leaves does not ask any more.
                _ if !self.world.is_member(lookup.by) => {}
                Some(_) => self.failed += 1,
                None if now.since(lookup.given) > LIMIT => self.failed += 1,
                None => {
                    lookup.owner_before = owner;
                    self.open.push(lookup);
                }
            }
        }
    }
}
