//! How fast bytes may go: a bucket of tokens that fills steadily.

use crate::ground::Moment;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// What may go at once after a pause, in time. Guess: so that short messages never wait.
const BURST: Duration = Duration::from_millis(100);

/// Bytes that go together where there is no limit: few system calls, and still within a core's cache.
const SLICE_BYTES: u64 = 256 << 10;
/// With a limit: in how many slices a second it goes, so that it flows. Guess.
const SLICES_A_SECOND: u64 = 10;
/// With a limit, at least so many.
const LEAST_SLICE_BYTES: u64 = 4 << 10;

/// A limit of bytes a second that several threads share, in the order in which they come.
pub struct Pace {
    limit: Option<u64>,
    begun: Instant,
    bucket: Mutex<Bucket>,
}

/// Until when what has gone already takes.
struct Bucket {
    busy_until: Moment,
}

impl Bucket {
    /// How long to wait before so many bytes go.
    fn take(&mut self, now: Moment, bytes: u64, limit: u64) -> Duration {
        let earliest = Moment::after(now.elapsed().saturating_sub(BURST));
        let from = self.busy_until.max(earliest);
        self.busy_until = Moment::after(from.elapsed() + Duration::from_secs_f64(bytes as f64 / limit as f64));
        self.busy_until.since(now)
    }
}

impl Pace {
    /// `limit`: bytes a second; none: as fast as it goes.
    pub fn new(limit: Option<u64>) -> Pace {
        let bucket = Mutex::new(Bucket { busy_until: Moment::START });
        Pace { limit: limit.map(|limit| limit.max(1)), begun: Instant::now(), bucket }
    }

    /// How many bytes should go together.
    pub fn slice_bytes(&self) -> usize {
        let slice = self.limit.map_or(SLICE_BYTES, |limit| limit / SLICES_A_SECOND);
        slice.clamp(LEAST_SLICE_BYTES, SLICE_BYTES) as usize
    }

    /// Returns when so many bytes may go, or should have come.
    pub fn wait(&self, bytes: u64) {
        let Some(limit) = self.limit else { return };
        let now = Moment::after(self.begun.elapsed());
        let wait = self.bucket.lock().expect("nothing panics while it is held").take(now, bytes, limit);
        thread::sleep(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after(Duration::from_millis(millis))
    }

    #[test]
    fn bytes_go_as_fast_as_the_limit_and_no_faster() {
        let mut bucket = Bucket { busy_until: Moment::START };
        let mut now = Duration::from_secs(5);
        for _ in 0..100 {
            now += bucket.take(Moment::after(now), 1000, 10_000);
        }
        let took = now - Duration::from_secs(5);
        assert_eq!(took, Duration::from_secs(10) - BURST);
    }

    #[test]
    fn a_pause_saves_up_no_more_than_a_burst() {
        let mut bucket = Bucket { busy_until: Moment::START };
        assert_eq!(bucket.take(at(100_000), 1000, 10_000), Duration::ZERO);
        assert_eq!(bucket.take(at(100_000), 1000, 10_000), Duration::from_millis(100));
    }

    #[test]
    fn two_share_one_limit() {
        let mut bucket = Bucket { busy_until: at(1000) };
        assert_eq!(bucket.take(at(1000), 1000, 1000), Duration::from_secs(1));
        assert_eq!(bucket.take(at(1000), 1000, 1000), Duration::from_secs(2));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let pace = Pace::new(None);
        pace.wait(u64::MAX);
        assert_eq!(pace.slice_bytes() as u64, SLICE_BYTES);
        assert!(Pace::new(Some(100_000)).slice_bytes() == 10_000);
    }
}
