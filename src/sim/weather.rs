//! What happens to datagrams and files on their way.

use crate::ground::Chance;
use std::time::Duration;

/// The weather of a network.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Time on the way, one way.
    pub delay: Delay,
    /// Share of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Share of datagrams that arrive twice, 0 to 1.
    pub duplication: f64,
    /// Speed of one transfer of a file.
    pub bytes_per_second: f64,
    /// What one peer can send to all others together, files only; none: as much as is wanted.
    pub uplink_bytes_per_second: Option<f64>,
}

impl Default for Weather {
    /// Exponential delays with a mean of 50 ms (Chord, ToN 2003), nothing lost, nothing doubled, 10 MB/s.
    fn default() -> Weather {
        Weather {
            delay: Delay::Exponential(Duration::from_millis(50)),
            loss: 0.0,
            duplication: 0.0,
            bytes_per_second: 10e6,
            uplink_bytes_per_second: None,
        }
    }
}

/// How long a datagram is on its way. Differing delays put datagrams out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Always so long.
    Constant(Duration),
    /// Exponentially distributed with this mean.
    Exponential(Duration),
    /// Different for each pair of peers, and nearly the same for each datagram between them: round trips with a median
    /// of 156 ms, a tenth of them below 72 and a tenth above 336.
    Internet,
}

/// Half of the median round trip between hosts of the Internet (King, IMC 2002, as told in later papers).
const INTERNET_MEDIAN: Duration = Duration::from_millis(78);
/// Spread of its logarithm. Guess: one in ten pairs has more than twice the median.
const INTERNET_SPREAD: f64 = 0.6;
/// Mean of what comes on top, differently each time. Guess.
const INTERNET_JITTER: Duration = Duration::from_millis(2);

impl Delay {
    /// One datagram's time on the way between two peers.
    pub fn sample(self, chance: &mut Chance, pair: (usize, usize)) -> Duration {
        match self {
            Delay::Constant(delay) => delay,
            Delay::Exponential(mean) => chance.exponential(mean),
            Delay::Internet => {
                let factor = libm::exp(INTERNET_SPREAD * bell(pair));
                INTERNET_MEDIAN.mul_f64(factor) + chance.exponential(INTERNET_JITTER)
            }
        }
    }
}

/// A number for two peers, the same in both directions: normally distributed over all pairs, as twelve dice are.
fn bell((one, other): (usize, usize)) -> f64 {
    let mut chance = Chance::seeded((one.min(other) as u64) << 32 | one.max(other) as u64);
    (0..12).map(|_| chance.fraction()).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_internet_has_its_median_and_its_spread_and_is_as_far_back_as_forth() {
        let mut chance = Chance::seeded(1);
        let mut sample = |pair| Delay::Internet.sample(&mut chance, pair).as_secs_f64() * 2e3;
        let mut round_trips: Vec<f64> = (0..2000).map(|peer| sample((peer, 5000 - peer))).collect();
        round_trips.sort_by(f64::total_cmp);
        assert!((145.0..170.0).contains(&round_trips[1000]), "median {}", round_trips[1000]);
        assert!((60.0..90.0).contains(&round_trips[200]), "a tenth below {}", round_trips[200]);
        assert!((290.0..400.0).contains(&round_trips[1800]), "a tenth above {}", round_trips[1800]);
        assert!((sample((3, 9)) - sample((9, 3))).abs() < 60.0);
    }
}
