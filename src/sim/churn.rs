//! Who comes and goes.

use super::{PeerIndex, World};
use crate::ground::{Chance, Moment};
use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// Who comes and goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Churn {
    /// Nobody.
    None,
    /// Joins and departures, each at this many a second, at times that are independent of each other.
    Poisson(f64),
    /// Each peer stays for a time of its own; another one joins when it goes.
    Sessions(Sessions),
}

/// How long peers stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sessions {
    /// Exponentially distributed, with this median.
    Exponential(Duration),
    /// By Weibull's distribution: with a shape below 1, who has stayed long stays longer still (measured in file sharing
    /// networks; Stutzbach and Rejaie, IMC 2006, find 0.3 to 0.6).
    Weibull {
        /// Above 0.
        shape: f64,
        /// Half of all stay longer.
        median: Duration,
    },
}

/// How peers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// They hand over and say goodbye.
    Leave,
    /// They vanish.
    Crash,
}

impl Sessions {
    fn sample(self, chance: &mut Chance) -> Duration {
        let (shape, median) = match self {
            Sessions::Exponential(median) => (1.0, median),
            Sessions::Weibull { shape, median } => (shape, median),
        };
        // The inverse of 1 - 2^-(t / median)^shape.
        let halvings = -libm::log2(1.0 - chance.fraction());
        // The longest of a heavy tail is longer than any run.
        Duration::try_from_secs_f64(median.as_secs_f64() * libm::pow(halvings, 1.0 / shape)).unwrap_or(FOR_EVER)
    }
}

/// Longer than any run: a century.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A churn that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no churn: say `none`, `poisson:R` with R joins and R departures a second (0 to 100), `sessions:exp:1h` with \
     their median, or `sessions:weibull:0.5:1h` with shape and median; times are like 90s, 5m or 1h"
)]
pub struct BadChurn(String);

impl FromStr for Churn {
    type Err = BadChurn;

    fn from_str(text: &str) -> Result<Churn, BadChurn> {
        let bad = || BadChurn(text.to_owned());
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["none"] => Ok(Churn::None),
            ["poisson", rate] => {
                let rate = rate.parse().ok().filter(|rate| (0.0..=100.0).contains(rate));
                rate.map(Churn::Poisson).ok_or_else(bad)
            }
            ["sessions", "exp", median] => {
                median_in(median).map(Sessions::Exponential).map(Churn::Sessions).ok_or_else(bad)
            }
            ["sessions", "weibull", shape, median] | ["weibull", shape, median] => {
                let shape = shape.parse().ok().filter(|shape| (0.1..=10.0).contains(shape)).ok_or_else(bad)?;
                let median = median_in(median).ok_or_else(bad)?;
                Ok(Churn::Sessions(Sessions::Weibull { shape, median }))
            }
            _ => Err(bad()),
        }
    }
}

/// `90s`, `5m` or `1h`, from six seconds to ten years.
fn median_in(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * seconds;
    (6.0..=3.2e8).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// Comings and goings in a world, from some moment on.
pub(super) struct Flow {
    churn: Churn,
    departure: Departure,
    chance: Chance,
    join_at: Moment,
    part_at: Moment,
    /// When whose session ends.
    ends: BTreeSet<(Moment, PeerIndex)>,
    /// Peers that went.
    pub gone: usize,
}

impl Flow {
    /// They begin now. Who is there already stays for a session from now on.
    pub fn begin(world: &World, churn: Churn, departure: Departure, chance: Chance) -> Flow {
        let never = Moment::NEVER;
        let mut flow =
            Flow { churn, departure, chance, join_at: never, part_at: never, ends: BTreeSet::new(), gone: 0 };
        match churn {
            Churn::None => {}
            Churn::Poisson(rate) => {
                flow.join_at = flow.next_at(world.now(), rate);
                flow.part_at = flow.next_at(world.now(), rate);
            }
            Churn::Sessions(sessions) => {
                world.members().into_iter().for_each(|at| flow.begin_session(world.now(), at, sessions));
            }
        }
        flow
    }

    /// When somebody comes or goes next.
    pub fn next(&self) -> Moment {
        let ends = self.ends.first().map_or(Moment::NEVER, |(end, _)| *end);
        self.join_at.min(self.part_at).min(ends)
    }

    /// Whoever shall come or go by now does so.
    pub fn happen(&mut self, world: &mut World) {
        let now = world.now();
        match self.churn {
            Churn::None => {}
            Churn::Poisson(rate) => {
                if self.join_at <= now {
                    self.join_at = self.next_at(now, rate);
                    self.join(world);
                }
                if self.part_at <= now {
                    self.part_at = self.next_at(now, rate);
                    let at = anybody(world, &mut self.chance);
                    self.part(world, at);
                }
            }
            Churn::Sessions(sessions) => {
                while self.ends.first().is_some_and(|(end, _)| *end <= now) {
                    let (_, at) = self.ends.pop_first().expect("just seen");
                    self.part(world, at);
                    let newcomer = self.join(world);
                    self.begin_session(now, newcomer, sessions);
                }
            }
        }
    }

    fn next_at(&mut self, now: Moment, rate: f64) -> Moment {
        match rate {
            0.0 => Moment::NEVER,
            rate => now + self.chance.exponential(Duration::from_secs_f64(1.0 / rate)),
        }
    }

    fn begin_session(&mut self, now: Moment, at: PeerIndex, sessions: Sessions) {
        self.ends.insert((now + sessions.sample(&mut self.chance), at));
    }

    fn join(&mut self, world: &mut World) -> PeerIndex {
        let known = anybody(world, &mut self.chance);
        world.join(known)
    }

    /// The last one stays: an empty network has no story.
    fn part(&mut self, world: &mut World, at: PeerIndex) {
        if world.member_count() < 2 || world.is_dead(at) {
            return;
        }
        self.gone += 1;
        match self.departure {
            Departure::Leave if world.is_member(at) => drop(world.quit(at)),
            // Who has not joined yet has nobody to say goodbye to.
            Departure::Leave | Departure::Crash => {
                world.kill(at);
                world.bury(at);
            }
        }
    }
}

/// Any member.
pub(super) fn anybody(world: &World, chance: &mut Chance) -> PeerIndex {
    let members = world.members();
    members[chance.within(0..members.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn churn_is_read_or_refused() {
        let hour = Duration::from_secs(3600);
        assert_eq!("none".parse(), Ok(Churn::None));
        assert_eq!("poisson:0.4".parse(), Ok(Churn::Poisson(0.4)));
        assert_eq!("sessions:exp:1h".parse(), Ok(Churn::Sessions(Sessions::Exponential(hour))));
        assert_eq!("sessions:exp:60m".parse(), Ok(Churn::Sessions(Sessions::Exponential(hour))));
        let weibull = Churn::Sessions(Sessions::Weibull { shape: 0.5, median: hour });
        assert_eq!("sessions:weibull:0.5:1h".parse(), Ok(weibull));
        assert_eq!("weibull:0.5:3600s".parse(), Ok(weibull));
        for text in [
            "",
            "poisson",
            "poisson:",
            "poisson:-1",
            "poisson:nan",
            "poisson:1e9",
            "weekly:3",
            "sessions:60",
            "sessions:exp:",
            "sessions:exp:h",
            "sessions:exp:1",
            "sessions:exp:1µ",
            "sessions:exp:0s",
            "weibull:0:1h",
            "weibull:1h",
        ] {
            assert!(text.parse::<Churn>().is_err(), "{text}");
        }
    }

    #[test]
    fn half_of_all_sessions_are_longer_than_their_median() {
        let median = Duration::from_secs(3600);
        for sessions in [Sessions::Exponential(median), Sessions::Weibull { shape: 0.5, median }] {
            let mut chance = Chance::seeded(1);
            let longer = (0..10_000).filter(|_| sessions.sample(&mut chance) > median).count();
            assert!((4800..5200).contains(&longer), "{sessions:?}: {longer}");
        }
    }
}
