//! What the prompt completes: words, paths after Store, names seen before after the words that take a name.

use super::words::Word;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Most names remembered. Guess: more than anybody looks through.
const MOST_NAMES: usize = 4096;

/// The names of files that this prompt has heard of. Clones are the same.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<BTreeSet<String>>>);

impl Names {
    /// There is such a file.
    pub fn hear_of(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MOST_NAMES {
            names.insert(name.to_owned());
        }
    }

    fn beginning_with(&self, beginning: &str) -> Vec<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.range(beginning.to_owned()..).take_while(|name| name.starts_with(beginning)).cloned().collect()
    }
}

/// Completes what is typed.
pub struct Completing {
    names: Names,
    paths: FilenameCompleter,
}

impl Completing {
    /// With names that are heard of meanwhile.
    pub fn new(names: Names) -> Completing {
        Completing { names, paths: FilenameCompleter::new() }
    }
}

impl Completer for Completing {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..at];
        let begins = typed.len() - typed.trim_start().len();
        let Some((word, rest)) = typed.trim_start().split_once(char::is_whitespace) else {
            let words = words_beginning_with(&typed[begins..]).into_iter();
            return Ok((begins, words.map(|word| pair(word.to_owned(), " ")).collect()));
        };
        match word.to_ascii_lowercase().as_str() {
            "store" => self.paths.complete(line, at, context),
            "request" | "rm" | "check" | "history" | "find" => {
                let rest = rest.trim_start();
                let names = self.names.beginning_with(rest).into_iter();
                Ok((at - rest.len(), names.map(|name| pair(name, "")).collect()))
            }
            _ => Ok((at, Vec::new())),
        }
    }
}

fn words_beginning_with(beginning: &str) -> Vec<&'static str> {
    let beginning = beginning.to_ascii_lowercase();
    Word::all().filter(|word| word.to_ascii_lowercase().starts_with(&beginning)).collect()
}

fn pair(text: String, behind: &str) -> Pair {
    Pair { replacement: format!("{text}{behind}"), display: text }
}

impl Hinter for Completing {
    type Hint = String;
}
impl Highlighter for Completing {}
impl Validator for Completing {}
impl Helper for Completing {}

#[cfg(test)]
mod tests {
    use super::*;
    use rustyline::history::DefaultHistory;

    fn completed(line: &str) -> (usize, Vec<String>) {
        let names = Names::default();
        ["report.pdf", "report 2.pdf", "4103"].into_iter().for_each(|name| names.hear_of(name));
        let history = DefaultHistory::new();
        let completing = Completing::new(names);
        let (at, found) = completing.complete(line, line.len(), &Context::new(&history)).unwrap();
        (at, found.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn words_are_completed_whatever_their_letter_case() {
        assert_eq!(completed("req"), (0, vec!["Request ".to_owned()]));
        assert_eq!(completed("  P"), (2, vec!["peers ".to_owned(), "ping ".to_owned()]));
        assert_eq!(completed("x").1, [] as [String; 0]);
    }

    #[test]
    fn names_that_were_seen_are_completed_blanks_included() {
        assert_eq!(completed("Request rep"), (8, vec!["report 2.pdf".to_owned(), "report.pdf".to_owned()]));
        assert_eq!(completed("find report 2"), (5, vec!["report 2.pdf".to_owned()]));
        assert_eq!(completed("get rep").1, [] as [String; 0], "a key is no file");
    }
}
