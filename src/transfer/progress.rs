//! How far the files have come that are on their way, for who watches.

use crate::ground::FileName;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// All files on their way, in either direction.
#[derive(Debug, Default)]
pub struct Progress {
    files: Mutex<BTreeMap<FileName, Vec<Arc<Meter>>>>,
}

/// One transfer's.
#[derive(Debug, Default)]
struct Meter {
    done: AtomicU64,
    total: u64,
}

/// A transfer under way, which counts until it is dropped.
pub struct Running<'p> {
    progress: &'p Progress,
    name: FileName,
    meter: Arc<Meter>,
}

impl Progress {
    /// A transfer of so many bytes begins.
    pub fn begin(&self, name: &FileName, total: u64) -> Running<'_> {
        let meter = Arc::new(Meter { done: AtomicU64::new(0), total });
        self.files().entry(name.clone()).or_default().push(meter.clone());
        Running { progress: self, name: name.clone(), meter }
    }

    /// How far a file has come, in bytes, and how many it has. Of several transfers at once, to several peers, this is the
    /// mean. None: it is not on its way.
    pub fn of(&self, name: &FileName) -> Option<(u64, u64)> {
        let files = self.files();
        let meters = files.get(name)?;
        let total = meters.iter().map(|meter| meter.total).max()?;
        let done: u64 = meters.iter().map(|meter| meter.done.load(Ordering::Relaxed).min(meter.total)).sum();
        Some((done / meters.len() as u64, total))
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<FileName, Vec<Arc<Meter>>>> {
        self.files.lock().expect("nothing panics while it is held")
    }
}

impl Running<'_> {
    /// So many bytes more.
    pub fn add(&self, bytes: u64) {
        self.meter.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Running<'_> {
    /// It stays, as done, until all of the same file are.
    fn drop(&mut self) {
        self.meter.done.store(self.meter.total, Ordering::Relaxed);
        let mut files = self.progress.files();
        // Whoever still runs has its meter too.
        let over = files.get(&self.name).is_some_and(|meters| {
            meters.iter().all(|meter| Arc::ptr_eq(meter, &self.meter) || Arc::strong_count(meter) == 1)
        });
        if over {
            files.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_of_one_file_count_together_until_the_last_has_ended() {
        let (progress, name) = (Progress::default(), FileName::parse("a.pdf").unwrap());
        assert_eq!(progress.of(&name), None);
        let [one, other] = [(); 2].map(|()| progress.begin(&name, 100));
        one.add(40);
        assert_eq!(progress.of(&name), Some((20, 100)));
        drop(one);
        other.add(250);
        assert_eq!(progress.of(&name), Some((100, 100)), "never more than all");
        assert_eq!(progress.of(&FileName::parse("b.pdf").unwrap()), None);
        drop(other);
        assert_eq!(progress.of(&name), None);
    }
}
