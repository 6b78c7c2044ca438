//! What a peer has told, as objects with numbers: the last thousand are kept, for whoever comes late or reads slowly.
//!
//! Nobody has a queue of its own. Readers say what they had last and are given what follows; who was away for longer
//! than is kept is told how much was missed.

use super::answers;
use super::schema::{Numbered, Object};
use crate::ground::{FileName, Id, Naming};
use crate::live::Event;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

/// Most objects kept: some 300 KB. Guess: an hour of a quiet network, a minute of a busy one.
const MOST_KEPT: usize = 1024;

/// How often is told how far a file has come.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// All that was told, as far as it is kept.
pub struct Told {
    kept: Mutex<VecDeque<Line>>,
    /// The number of the last one; zero: nothing was told.
    last: watch::Sender<u64>,
}

/// An object, with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counts up from one.
    pub number: u64,
    /// Its JSON, in one line without an end.
    pub text: Arc<str>,
}

/// What follows a number.
#[derive(Debug, PartialEq, Eq)]
pub struct Following {
    /// How many are not kept any more.
    pub missed: u64,
    /// The others.
    pub lines: Vec<Line>,
}

impl Default for Told {
    fn default() -> Told {
        Told { kept: Mutex::default(), last: watch::Sender::new(0) }
    }
}

impl Told {
    /// Tells something to all readers.
    pub fn tell(&self, object: &Object) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let id = *self.last.borrow() + 1;
        // Before 1970 a clock is wrong in any case.
        let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let numbered = Numbered { id, at_unix_ms, object: object.clone() };
        let text = serde_json::to_string(&numbered).expect("all keys are text, and nothing here fails to be written");
        if kept.len() == MOST_KEPT {
            kept.pop_front();
        }
        kept.push_back(Line { number: id, text: text.into() });
        self.last.send_replace(id);
    }

    /// Where a reader goes on who says that this was the last number it had. One that was not given out yet is of an earlier
    /// run: then it begins with everything that is kept.
    pub fn going_on_at(&self, number: u64) -> u64 {
        if number > self.last() { 0 } else { number }
    }

    /// What was told after this number, at most so many.
    pub fn after(&self, number: u64, most: usize) -> Following {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = kept.front().map_or(0, |first| (first.number - 1).saturating_sub(number));
        let lines = kept.iter().filter(|line| line.number > number).take(most).cloned().collect();
        Following { missed, lines }
    }

    /// The number of the last one.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Resolves when more was told than this.
    pub async fn more_than(&self, number: u64) {
        let mut last = self.last.subscribe();
        // It does not end while we are here.
        let _ = last.wait_for(|last| *last > number).await;
    }
}

/// Tells all that a host does, until it ends.
pub async fn listen(told: Arc<Told>, mut events: broadcast::Receiver<Event>, naming: Naming, me: Id) {
    loop {
        match events.recv().await {
            Ok(event) => answers::told(naming, me, event).iter().for_each(|object| told.tell(object)),
            Err(broadcast::error::RecvError::Lagged(missed)) => told.tell(&Object::Missed { events: missed }),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Tells now and then how far a file has come.
pub struct Meter {
    told: Arc<Told>,
    file: String,
    total: u64,
    begun: Instant,
    last: Instant,
}

impl Meter {
    /// For a file that begins to come now.
    pub fn new(told: Arc<Told>, file: &FileName, total: u64) -> Meter {
        let now = Instant::now();
        Meter { told, file: file.to_string(), total, begun: now, last: now }
    }

    /// So many bytes are here.
    pub fn reached(&mut self, bytes: u64) {
        if self.last.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.last = Instant::now();
        let seconds = self.begun.elapsed().as_secs_f64();
        let bytes_per_s = (bytes as f64 / seconds) as u64;
        let eta_s = (self.total - bytes).checked_div(bytes_per_s);
        let (file, total) = (self.file.clone(), self.total);
        self.told.tell(&Object::Progress { file, bytes, total, bytes_per_s, eta_s });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(told: &Told, after: u64, most: usize) -> (u64, Vec<u64>) {
        let Following { missed, lines } = told.after(after, most);
        (missed, lines.iter().map(|line| line.number).collect())
    }

    #[test]
    fn who_comes_late_is_told_what_is_kept_and_how_much_is_not() {
        let told = Told::default();
        assert_eq!(numbers(&told, 0, 9), (0, vec![]));
        for events in 1..=MOST_KEPT as u64 {
            told.tell(&Object::Missed { events });
        }
        assert_eq!(numbers(&told, 0, 2), (0, vec![1, 2]));
        assert_eq!(numbers(&told, 1023, 9), (0, vec![1024]));
        assert_eq!(numbers(&told, 1024, 9), (0, vec![]));
        assert_eq!((told.going_on_at(1024), told.going_on_at(0)), (1024, 0));
        assert_eq!(told.going_on_at(1025), 0, "a number of an earlier run");
        told.tell(&Object::Missed { events: 0 });
        told.tell(&Object::Missed { events: 0 });
        assert_eq!(numbers(&told, 1, 2), (1, vec![3, 4]));
        assert_eq!(numbers(&told, 0, 1), (2, vec![3]));
        assert_eq!(numbers(&told, 2, 1), (0, vec![3]));
        assert!(told.after(1025, 1).lines[0].text.starts_with(r#"{"id":1026,"at_unix_ms":"#));
    }
}
