//! What was asked at this prompt in a way that its answer alone does not tell: repairs, and lists that only completion reads.

use super::tell::{self, Line};
use crate::ground::Naming;
use crate::live::Event;
use crate::peer::Answer;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most repairs that are remembered. Guess: as many commands as a peer lets wait.
const MOST_REPAIRS: usize = 64;

/// What has no answer yet. Clones are the same.
#[derive(Clone, Default)]
pub struct Asked(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    /// Names of the files that are to be made good.
    repairs: BTreeSet<String>,
    /// How many lists nobody is to see.
    unseen: usize,
}

impl Asked {
    /// A check that makes good what lacks.
    pub fn repairs(&self, name: &str) {
        let mut open = self.open();
        if open.repairs.len() < MOST_REPAIRS {
            open.repairs.insert(name.to_owned());
        }
    }

    /// A list that nobody is to see.
    pub fn lists_unseen(&self) {
        self.open().unseen += 1;
    }

    /// Such a list will not come.
    pub fn lists_no_more(&self) {
        let mut open = self.open();
        open.unseen = open.unseen.saturating_sub(1);
    }

    /// The lines that tell an event here.
    pub fn lines(&self, naming: Naming, event: &Event) -> Vec<Line> {
        match event {
            Event::Answer { answer: Answer::Listed { .. }, .. } if self.open().unseen > 0 => {
                self.lists_no_more();
                Vec::new()
            }
            Event::Answer { answer: Answer::Inspected { name, .. }, .. }
                if self.open().repairs.remove(name.as_str()) =>
            {
                tell::lines_of_repair(naming, event)
            }
            Event::Answer { answer: Answer::NotFound { name, .. } | Answer::Failed { name, .. }, .. } => {
                self.open().repairs.remove(name.as_str());
                tell::lines(naming, event)
            }
            Event::News(_) | Event::Answer { .. } => tell::lines(naming, event),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Ticket;

    #[test]
    fn a_list_that_nobody_is_to_see_is_not_shown_and_the_next_one_is() {
        let answer = Answer::Listed { files: Vec::new(), asked: 1, silent: 0 };
        let listed = Event::Answer { ticket: Ticket(0), subject: None, answer };
        let asked = Asked::default();
        asked.lists_unseen();
        assert_eq!(asked.lines(Naming::Numbered, &listed), []);
        assert_eq!(asked.lines(Naming::Numbered, &listed).len(), 1);
        asked.lists_unseen();
        asked.lists_no_more();
        assert_eq!(asked.lines(Naming::Numbered, &listed).len(), 1);
    }
}
