//! The same done with many files: some at once, and where one fails the others are done all the same.

use super::{bars, say, show};
use crate::web::schema::{Object, Outcome, Trouble};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Most at once. Guess: twice what a peer transfers at once, so that it never waits for us.
const AT_ONCE: usize = 16;

/// Does the work with each of them. Of several that fail each is told by its name, and the first decides how it ends.
pub fn each<T: Sync>(
    items: &[T],
    json: bool,
    name: impl Fn(&T) -> &str + Sync,
    work: impl Fn(&T) -> Result<Outcome, Trouble> + Sync,
) -> Result<Outcome, Trouble> {
    if let [one] = items {
        return work(one);
    }
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outcomes: Mutex<Vec<(usize, Result<Outcome, Trouble>)>> = Mutex::default();
    bars::count(0, items.len());
    let worker = || {
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(at)
        {
            let outcome = work(item).map_err(|trouble| named(name(item), trouble));
            match &outcome {
                Err(trouble) if json => say(Object::Error(trouble.clone()).line().trim_end()),
                Err(trouble) => show::trouble(trouble),
                Ok(_) => {}
            }
            bars::count(done.fetch_add(1, Ordering::Relaxed) + 1, items.len());
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
        }
    };
    thread::scope(|scope| (0..AT_ONCE.min(items.len())).for_each(|_| _ = scope.spawn(worker)));
    together(outcomes.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Says what it is about, if it does not begin with that.
fn named(name: &str, trouble: Trouble) -> Trouble {
    if trouble.message.starts_with(name) {
        return trouble;
    }
    Trouble { message: format!("{name}: {}", trouble.message), ..trouble }
}

/// How all of it ended: as its worst part.
fn together(mut outcomes: Vec<(usize, Result<Outcome, Trouble>)>) -> Result<Outcome, Trouble> {
    outcomes.sort_by_key(|(at, _)| *at);
    let all = outcomes.len();
    let failed = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count();
    let mut worst = Outcome::Good;
    for (_, outcome) in outcomes {
        match outcome {
            Err(first) => return Err(Trouble::new(first.code, format!("{failed} of {all} files failed"))),
            Ok(Outcome::Good) => {}
            Ok(Outcome::Few) => worst = Outcome::Few,
            Ok(Outcome::Damaged) => return Ok(Outcome::Damaged),
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::schema::Code;

    fn each_of(items: &[u32], work: impl Fn(u32) -> Result<Outcome, Trouble> + Sync) -> Result<Outcome, Trouble> {
        each(items, false, |_| "an item", |item| work(*item))
    }

    #[test]
    fn what_failed_is_named_once() {
        let named = |message| named("a", Trouble::new(Code::Failed, message)).message;
        assert_eq!(named("the passphrase does not fit"), "a: the passphrase does not fit");
        assert_eq!(named("a was not found"), "a was not found");
    }

    #[test]
    fn all_are_done_though_some_fail_and_the_first_failure_decides() {
        let seen = Mutex::new(Vec::new());
        let items: Vec<u32> = (0..100).collect();
        let outcome = each_of(&items, |item| {
            seen.lock().unwrap().push(item);
            match item {
                40 => Err(Trouble::new(Code::NotFound, "40 is not there")),
                41 => Err(Trouble::new(Code::Refused, "41 is refused")),
                _ => Ok(Outcome::Good),
            }
        });
        let trouble = outcome.unwrap_err();
        assert_eq!((trouble.code, trouble.message.as_str()), (Code::NotFound, "2 of 100 files failed"));
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, items);
    }

    #[test]
    fn too_few_copies_of_one_are_too_few_of_all() {
        let few = |item| Ok(if item == 2 { Outcome::Few } else { Outcome::Good });
        assert_eq!(each_of(&[1, 2, 3], few), Ok(Outcome::Few));
        assert_eq!(each_of(&[1, 3], few), Ok(Outcome::Good));
    }

    #[test]
    fn one_alone_ends_as_it_does() {
        let trouble = Trouble::new(Code::Damaged, "the copy is damaged");
        assert_eq!(each_of(&[1], |_| Err(trouble.clone())), Err(trouble));
    }
}
