//! Files that a peer does not hold, and knows to have been stored: so that who looks for one can be told from who looks
//! for what never was.

use crate::ground::{Holding, Id};
use std::collections::{BTreeMap, VecDeque};

/// Most files remembered; the first go first. Guess: a megabyte.
const MAX_KNOWN: usize = 8192;

#[derive(Default)]
pub(super) struct Known {
    files: BTreeMap<Id, Holding>,
    order: VecDeque<Id>,
}

impl Known {
    /// There is such a version; of several the highest is remembered.
    pub fn remember(&mut self, file: Holding) {
        if let Some(known) = self.files.get_mut(&file.key) {
            if known.rank() < file.rank() {
                *known = file;
            }
            return;
        }
        if self.order.len() >= MAX_KNOWN {
            self.order.pop_front().map(|oldest| self.files.remove(&oldest));
        }
        self.order.push_back(file.key);
        self.files.insert(file.key, file);
    }

    pub fn get(&self, key: Id) -> Option<Holding> {
        self.files.get(&key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut known = Known::default();
        let file = |number: usize| Holding::any(Id::hashed(&number.to_be_bytes()));
        (0..2 * MAX_KNOWN).for_each(|number| known.remember(file(number)));
        assert_eq!((known.files.len(), known.order.len()), (MAX_KNOWN, MAX_KNOWN));
        assert!(known.get(file(0).key).is_none() && known.get(file(2 * MAX_KNOWN - 1).key).is_some());
        let later = Holding { version: 7, ..file(2 * MAX_KNOWN - 1) };
        known.remember(later);
        known.remember(file(2 * MAX_KNOWN - 1));
        assert_eq!(known.get(later.key), Some(later));
    }
}
