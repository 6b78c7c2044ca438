//! Time since a run began. Works where `std::time::Instant` does not: in the simulator and in wasm.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time, counted from the start of the run. Microseconds inside: 584,000 years of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// When the run began.
    pub const START: Moment = Moment(0);
    /// Later than anything that will happen: "no need to wake me".
    pub const NEVER: Moment = Moment(u64::MAX);

    /// The moment `elapsed` after the start.
    pub fn after(elapsed: Duration) -> Moment {
        Moment(micros(elapsed))
    }

    /// How long after the start this is.
    pub fn elapsed(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    /// Saturates at [`Moment::NEVER`].
    fn add(self, later: Duration) -> Moment {
        Moment(self.0.saturating_add(micros(later)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    /// Saturates at [`Moment::START`].
    fn sub(self, earlier: Duration) -> Moment {
        Moment(self.0.saturating_sub(micros(earlier)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.elapsed().as_secs_f64())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
