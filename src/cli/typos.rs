//! What was perhaps meant by a word that is none.

/// The nearest of the known words, if it is that near in letters changed, left out or too many.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>, most: usize) -> Option<&'k str> {
    let nearest = known.into_iter().map(|known| (changes(known, word), known)).min();
    nearest.filter(|(changes, _)| *changes <= most).map(|(_, known)| known)
}

/// How many letters are to be changed, left out or put in to make one word of the other (Levenshtein 1966).
fn changes(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *wanted);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_in_letters() {
        assert_eq!(changes("replicas", "replica"), 1);
        assert_eq!(changes("fingers", "fnigers"), 2);
        assert_eq!(changes("", "abc"), 3);
        assert_eq!(changes("dir", "dir"), 0);
    }

    #[test]
    fn what_is_too_far_off_is_not_meant() {
        assert_eq!(nearest("stor", ["store", "set"], 2), Some("store"));
        assert_eq!(nearest("dance", ["store", "set"], 2), None);
    }
}
