//! What happens to datagrams on their way.

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
}

impl Default for Weather {
    /// Exponential delays with a mean of 50 ms (Chord, ToN 2003), nothing lost, nothing doubled, 10 MB/s.
    fn default() -> Weather {
        let delay = Delay::Exponential(Duration::from_millis(50));
        Weather { delay, loss: 0.0, duplication: 0.0, bytes_per_second: 10e6 }
    }
}

/// How long a datagram is on its way. Differing delays put datagrams out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Always so long.
    Constant(Duration),
    /// Exponentially distributed with this mean.
    Exponential(Duration),
}

impl Delay {
    /// One datagram's time on the way.
    pub fn sample(self, chance: &mut Chance) -> Duration {
        match self {
            Delay::Constant(delay) => delay,
            Delay::Exponential(mean) => chance.exponential(mean),
        }
    }
}
