//! What the prompt completes: words, paths after Store, names of files, peers and keys after the words that take them.
//!
//! What was heard of is there at once. What the network knows is asked for in the background when somebody first wants it, and
//! whoever presses Tab waits a moment for it.

use super::asked::Asked;
use super::words::Word;
use crate::ground::Naming;
use crate::live::Host;
use crate::peer::{Answer, Standing};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use std::collections::BTreeSet;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Most names remembered of each kind. Guess: more than anybody looks through.
const MOST_NAMES: usize = 4096;

/// How long Tab waits for the network. Guess: what nobody takes for a fault.
const TAB_WAITS: Duration = Duration::from_millis(300);

/// How long what the network said is good enough. Guess: longer than a line takes to type.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// What --as takes.
const GEOMETRIES: [&str; 2] = ["kademlia", "ring"];

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    File,
    Peer,
    Key,
}

/// The names that this prompt has heard of. Clones are the same.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<BTreeSet<(Kind, String)>>>);

impl Names {
    /// There is something of that name.
    pub fn hear_of(&self, kind: Kind, name: &str) {
        let mut names = self.names();
        if names.range((kind, String::new())..).take_while(|(known, _)| *known == kind).count() < MOST_NAMES {
            names.insert((kind, name.to_owned()));
        }
    }

    fn beginning_with(&self, kind: Kind, beginning: &str) -> Vec<String> {
        let names = self.names();
        let from = names.range((kind, beginning.to_owned())..).map(|(kind, name)| (*kind, name));
        from.take_while(|(of, name)| *of == kind && name.starts_with(beginning)).map(|(_, name)| name.clone()).collect()
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<(Kind, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the network for names.
#[derive(Clone)]
pub struct Asker {
    pub host: Host,
    pub naming: Naming,
    pub runtime: Handle,
    pub names: Names,
    /// Told of lists, so that nobody else sees them.
    pub asked: Asked,
}

impl Asker {
    /// Asks for names of this kind. `heard` is dropped when they are known or will not be.
    async fn ask(self, kind: Kind, heard: Sender<()>) {
        // Who has not joined would be told so at the prompt, and has not asked.
        if self.host.look().await.is_ok_and(|look| look.view.standing == Standing::Member) {
            match kind {
                Kind::File => self.list().await,
                Kind::Peer => self.contacts().await,
                Kind::Key => {}
            }
        }
        drop(heard);
    }

    async fn list(&self) {
        self.asked.lists_unseen();
        let answer = match self.host.list() {
            Ok(reply) => reply.await.ok(),
            Err(_) => None,
        };
        match answer {
            Some(Answer::Listed { files, .. }) => {
                files.iter().for_each(|(manifest, _)| self.names.hear_of(Kind::File, manifest.name.as_str()));
            }
            _ => self.asked.lists_no_more(),
        }
    }

    async fn contacts(&self) {
        let Ok(reply) = self.host.contacts() else { return };
        if let Ok(Answer::Contacts(contacts)) = reply.await {
            let ids = contacts.known.iter().map(|known| known.about.contact.id);
            ids.for_each(|id| self.names.hear_of(Kind::Peer, &self.naming.call(id)));
        }
    }
}

/// Completes what is typed.
pub struct Completing {
    names: Names,
    paths: FilenameCompleter,
    /// None where there is no network.
    asker: Option<Asker>,
    /// When the network was asked last.
    asked_at: Mutex<[Option<Instant>; 2]>,
}

impl Completing {
    /// With names that are heard of meanwhile, and those that the asker brings.
    pub fn new(names: Names, asker: Option<Asker>) -> Completing {
        Completing { names, paths: FilenameCompleter::new(), asker, asked_at: Mutex::default() }
    }

    /// Names that begin so.
    fn named(&self, kind: Kind, at: usize, beginning: &str) -> (usize, Vec<Pair>) {
        self.ask(kind);
        let names = self.names.beginning_with(kind, beginning).into_iter();
        (at - beginning.len(), names.map(|name| pair(name, "")).collect())
    }

    /// Asks the network, unless it was asked just now, and waits a moment for what it says.
    fn ask(&self, kind: Kind) {
        let Some(asker) = &self.asker else { return };
        let slot = match kind {
            Kind::File => 0,
            Kind::Peer => 1,
            Kind::Key => return,
        };
        let last = &mut self.asked_at.lock().unwrap_or_else(PoisonError::into_inner)[slot];
        if last.is_some_and(|last| last.elapsed() < ASK_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        let (heard, known) = mpsc::channel();
        asker.runtime.spawn(asker.clone().ask(kind, heard));
        // Ends with the sender.
        let _ = known.recv_timeout(TAB_WAITS);
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
        let rest = rest.trim_start();
        // The piece before the last one, and that.
        let (before, last) = rest.rsplit_once(char::is_whitespace).unwrap_or(("", rest));
        let option = before.split_whitespace().next_back().unwrap_or_default();
        match (word.to_ascii_lowercase().as_str(), option) {
            ("store", _) | ("request", "-o" | "--output") => self.paths.complete(line, at, context),
            ("find", "--as") => {
                let geometries = GEOMETRIES.into_iter().filter(|geometry| geometry.starts_with(last));
                Ok((at - last.len(), geometries.map(|geometry| pair(geometry.to_owned(), "")).collect()))
            }
            ("request" | "rm" | "check" | "history" | "find", _) => Ok(self.named(Kind::File, at, rest)),
            ("ping", _) => Ok(self.named(Kind::Peer, at, rest)),
            ("get" | "set" | "g" | "s", _) => Ok(self.named(Kind::Key, at, rest)),
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
        ["report.pdf", "report 2.pdf", "4103"].into_iter().for_each(|name| names.hear_of(Kind::File, name));
        names.hear_of(Kind::Peer, "14");
        names.hear_of(Kind::Key, "colour");
        let history = DefaultHistory::new();
        let completing = Completing::new(names, None);
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

    #[test]
    fn peers_keys_and_geometries_are_completed_where_they_belong() {
        assert_eq!(completed("ping "), (5, vec!["14".to_owned()]));
        assert_eq!(completed("get co"), (4, vec!["colour".to_owned()]));
        assert_eq!(completed("find report.pdf --as "), (21, vec!["kademlia".to_owned(), "ring".to_owned()]));
        assert_eq!(completed("find --as r"), (10, vec!["ring".to_owned()]));
    }
}
