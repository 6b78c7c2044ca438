//! Seeded chance: the same seed gives the same run on every machine.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;
use std::time::Duration;

/// A stream of chances. ChaCha, so that who sees some of them (our transaction ids) cannot foresee the next.
#[derive(Clone, Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream that belongs to `seed`.
    pub fn seeded(seed: u64) -> Chance {
        Chance(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `range`, which must not be empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// True in `share` of all cases, 0 to 1.
    pub fn happens(&mut self, share: f64) -> bool {
        self.0.random_bool(share.clamp(0.0, 1.0))
    }

    /// From 0 up to, not including, 1.
    pub fn fraction(&mut self) -> f64 {
        self.0.random()
    }

    /// A duration between three quarters and five quarters of `period`: many peers do not beat together.
    pub fn around(&mut self, period: Duration) -> Duration {
        period.mul_f64(0.75 + 0.5 * self.fraction())
    }

    /// Exponentially distributed, with this mean. The logarithm is no machine's own: it is the same everywhere.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-libm::log(1.0 - self.fraction()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_stream() {
        let (mut one, mut other) = (Chance::seeded(7), Chance::seeded(7));
        assert!((0..100).all(|_| one.bits() == other.bits()));
        assert_ne!(Chance::seeded(8).bits(), Chance::seeded(7).bits());
    }

    #[test]
    fn exponential_delays_have_their_mean() {
        let mut chance = Chance::seeded(1);
        let mean = Duration::from_millis(50);
        let sum: Duration = (0..20_000).map(|_| chance.exponential(mean)).sum();
        assert!((sum.as_secs_f64() / 20_000.0 - 0.050).abs() < 0.002);
    }
}
