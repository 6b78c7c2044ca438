//! The words typed at a running peer.

use super::phrase::{self, BadPhrase, Choice, Phrase};
use super::typos;
use crate::live::Kind;
use crate::web::schema::Mode;
use std::path::PathBuf;
use thiserror::Error;

/// A typo is that near to a word, in letters changed, left out or too many; and to short words nearer. Guess.
const NEAR: usize = 2;

const REPAIR: Choice = Choice { long: "--repair", short: None, value: None };
const AS: Choice = Choice { long: "--as", short: None, value: Some("kademlia") };
const OUTPUT: Choice = Choice { long: "--output", short: Some("-o"), value: Some("copy.pdf") };
const VERSION: Choice = Choice { long: "--version", short: None, value: Some("1") };
const ABRUPT: Choice = Choice { long: "--abrupt", short: None, value: None };

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Keep this file in the network.
    Store(String),
    /// Bring this file here.
    Request {
        /// The file's name.
        name: String,
        /// To this file, or into this folder; none: to where copies always arrive.
        output: Option<PathBuf>,
        /// This version; none: the latest.
        version: Option<u64>,
    },
    /// Let nobody find this file any more.
    Remove(String),
    /// Look how the copies of this file are.
    Check {
        /// The file's name.
        name: String,
        /// What lacks is to be made good.
        repair: bool,
    },
    /// Show the versions of this file.
    History(String),
    /// Show which files there are.
    List,
    /// Keep this value in the network.
    Set {
        /// Under this key.
        key: String,
        /// The value.
        value: String,
    },
    /// Show the value under this key.
    Get(String),
    /// Show something of the network.
    Look(Look),
    /// Show these words, one a line.
    Help(&'static [&'static str]),
    /// Clear the screen.
    Clear,
    /// Hand over, say goodbye, go.
    Quit,
    /// Go at once, without a word to anybody.
    Vanish,
}

/// What is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Which peer this is.
    Status,
    /// Whom it knows, where they are.
    Ring,
    /// Whom it knows, how they are.
    Peers,
    /// How fast this peer answers.
    Ping(String),
    /// What happens here, only of these kinds if some are named, until the same word again.
    Watch(Vec<String>),
    /// The way to who keeps a file.
    Find {
        /// The file's name.
        name: String,
        /// The way of this geometry; none: the network's own.
        mode: Option<Mode>,
    },
}

/// Why a line says nothing to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadLine {
    /// Its first word is none of ours.
    #[error(
        "The words are: Store FILE, Request NAME, rm NAME, ls, check NAME, history NAME, set KEY VALUE, get KEY, find NAME, status, ring, peers, ping PEER, watch, clear, help, Quit"
    )]
    Unknown,
    /// Its first word is nearly one of ours.
    #[error("there is no word {word}: did you mean {meant}?")]
    Typo {
        /// What was typed.
        word: String,
        /// What was perhaps meant.
        meant: &'static str,
    },
    /// More behind a word than belongs there.
    #[error("{0} stands alone: leave out what is behind it")]
    Alone(&'static str),
    /// What stands behind a word cannot be read.
    #[error(transparent)]
    Phrase(#[from] BadPhrase),
    /// An option with a value that it does not take.
    #[error("{option} does not take {value}: {advice}")]
    Value {
        /// The option.
        option: &'static str,
        /// What was typed behind it.
        value: String,
        /// What it takes.
        advice: &'static str,
    },
    /// A ping without somebody.
    #[error("ping needs a peer: ping 4, or ping 10.0.0.7:12004")]
    Peerless,
    /// A word without its file.
    #[error("{0} needs the name of a file: {0} 4103")]
    Nameless(&'static str),
    /// A set without its key or value.
    #[error("set needs a key and a value: set colour light blue")]
    Valueless,
    /// A get without its key, or with more than that.
    #[error("get needs a key, which is one word: get colour")]
    Keyless,
}

impl Word {
    /// What [`Word::Help`] shows: each word, and what it does.
    pub const HELP: [&str; 17] = [
        "Store FILE     keeps a file in the network",
        "Request NAME   brings a file here; with -o PATH, to that place; with --version N, an earlier version",
        "rm NAME        lets nobody find a file any more",
        "ls             shows which files there are",
        "check NAME     reads all copies of a file; with --repair, has made good what lacks",
        "history NAME   shows the versions of a file",
        "set KEY VALUE  keeps a value in the network",
        "get KEY        shows a value",
        "find NAME      shows the way to who keeps a file; with --as kademlia or --as ring, the way it would take there",
        "status         shows which peer this is",
        "ring           shows whom this peer knows, in the order of the ring or bucket by bucket",
        "peers          shows whom this peer knows, and how fast each answers",
        "ping PEER      shows how fast a peer answers",
        "watch          shows what happens as the commands and programs are told, until watch again",
        "clear          clears the screen",
        "help           shows these words; help find, only what find does",
        "Quit           hands over, says goodbye, ends; with --abrupt, vanishes",
    ];

    /// Reads one line. Nothing if it is blank. In Kademlia's networks some words have a letter.
    pub fn parse(line: &str, kind: Kind) -> Result<Option<Word>, BadLine> {
        let line = line.trim();
        let (typed, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim_start();
        let alone = |word, of: &'static str| match Phrase::read(of, rest, &[])? {
            phrase if phrase.pieces == 0 => Ok(word),
            _ => Err(BadLine::Alone(of)),
        };
        let word = match full(&typed.to_ascii_lowercase(), kind) {
            "" => return Ok(None),
            "store" => Word::Store(named("Store", rest, &[])?.named),
            "request" => request(rest)?,
            "rm" => Word::Remove(named("rm", rest, &[])?.named),
            "check" => {
                let phrase = named("check", rest, &[REPAIR])?;
                Word::Check { repair: phrase.option(REPAIR.long).is_some(), name: phrase.named }
            }
            "history" => Word::History(named("history", rest, &[])?.named),
            "ls" => alone(Word::List, "ls")?,
            "set" => set(rest)?,
            "get" => Word::Get(only("get", rest)?.ok_or(BadLine::Keyless)?),
            "find" => Word::Look(find(rest)?),
            "status" => alone(Word::Look(Look::Status), "status")?,
            "ring" => alone(Word::Look(Look::Ring), "ring")?,
            "peers" => alone(Word::Look(Look::Peers), "peers")?,
            "ping" => Word::Look(Look::Ping(only("ping", rest)?.ok_or(BadLine::Peerless)?)),
            "watch" => {
                let kinds = Phrase::read("watch", rest, &[])?.named;
                Word::Look(Look::Watch(kinds.split_whitespace().map(str::to_owned).collect()))
            }
            "help" | "?" if rest.is_empty() => Word::Help(&Word::HELP),
            "help" | "?" => {
                Word::Help(Word::help_of(full(&rest.to_ascii_lowercase(), kind)).ok_or_else(|| unknown(rest))?)
            }
            "clear" => alone(Word::Clear, "clear")?,
            "quit" | "exit" => match Phrase::read("Quit", rest, &[ABRUPT])? {
                phrase if phrase.pieces > 0 => return Err(BadLine::Alone("Quit")),
                phrase if phrase.option(ABRUPT.long).is_some() => Word::Vanish,
                _ => Word::Quit,
            },
            _ => return Err(unknown(typed)),
        };
        Ok(Some(word))
    }

    /// All words, as they are shown.
    pub fn all() -> impl Iterator<Item = &'static str> {
        Word::HELP.into_iter().filter_map(|line| line.split(' ').next())
    }

    /// The line of [`Word::HELP`] about a word.
    fn help_of(word: &str) -> Option<&'static [&'static str]> {
        let lines: &'static [&'static str] = &Word::HELP;
        let at = Word::all().position(|known| known.eq_ignore_ascii_case(word))?;
        lines.get(at..=at)
    }

    /// Whether only a peer that has joined its network can do it.
    pub fn is_for_members(&self) -> bool {
        match self {
            Word::Look(Look::Status | Look::Watch(_)) | Word::Help(_) | Word::Clear | Word::Quit | Word::Vanish => {
                false
            }
            Word::Look(Look::Ring | Look::Peers | Look::Ping(_) | Look::Find { .. })
            | Word::Store(_)
            | Word::Request { .. }
            | Word::Remove(_)
            | Word::Check { .. }
            | Word::History(_)
            | Word::List
            | Word::Set { .. }
            | Word::Get(_) => true,
        }
    }
}

/// What stands behind a word that is about a file.
fn named(word: &'static str, rest: &str, options: &[Choice]) -> Result<Phrase, BadLine> {
    let phrase = Phrase::read(word, rest, options)?;
    if phrase.named.is_empty() { Err(BadLine::Nameless(word)) } else { Ok(phrase) }
}

/// The only piece behind a word; none, where there are more or it is empty.
fn only(word: &'static str, rest: &str) -> Result<Option<String>, BadLine> {
    let phrase = Phrase::read(word, rest, &[])?;
    Ok((phrase.pieces == 1 && !phrase.named.is_empty()).then_some(phrase.named))
}

/// A file, and perhaps where to and which version.
fn request(rest: &str) -> Result<Word, BadLine> {
    let phrase = named("Request", rest, &[OUTPUT, VERSION])?;
    let bad = |option, value: &str, advice| BadLine::Value { option, value: value.to_owned(), advice };
    let version = match phrase.option(VERSION.long) {
        None => None,
        Some(text) => match text.parse() {
            Ok(version @ 1..) => Some(version),
            Ok(_) | Err(_) => return Err(bad(VERSION.long, text, "versions are counted from 1")),
        },
    };
    let output = match phrase.option(OUTPUT.long) {
        Some("-") => {
            return Err(bad(OUTPUT.long, "-", "name a file or a folder, or say p2p request in another terminal"));
        }
        output => output.map(PathBuf::from),
    };
    Ok(Word::Request { output, version, name: phrase.named })
}

/// A key, and a value that is what is typed, or what is between its quotes.
fn set(rest: &str) -> Result<Word, BadLine> {
    let (key, value) = match phrase::quoted(rest) {
        Some((key, len)) => (key, rest[len..].trim_start()),
        None => {
            let (key, value) = rest.split_once(char::is_whitespace).ok_or(BadLine::Valueless)?;
            (key.to_owned(), value.trim_start())
        }
    };
    let value = match phrase::quoted(value) {
        Some((inner, len)) if len == value.len() => inner,
        Some(_) | None if value.is_empty() => return Err(BadLine::Valueless),
        Some(_) | None => value.to_owned(),
    };
    if key.is_empty() { Err(BadLine::Valueless) } else { Ok(Word::Set { key, value }) }
}

/// A file, and perhaps a geometry.
fn find(rest: &str) -> Result<Look, BadLine> {
    let phrase = named("find", rest, &[AS])?;
    let mode = match phrase.option(AS.long) {
        None => None,
        Some("ring") => Some(Mode::Ring),
        Some("kademlia") => Some(Mode::Kademlia),
        Some(other) => {
            return Err(BadLine::Value { option: AS.long, value: other.to_owned(), advice: "say ring or kademlia" });
        }
    };
    Ok(Look::Find { mode, name: phrase.named })
}

fn unknown(word: &str) -> BadLine {
    let typed = word.to_ascii_lowercase();
    let most = NEAR.min(typed.chars().count() / 2);
    let known: Vec<(String, &str)> = Word::all().map(|word| (word.to_ascii_lowercase(), word)).collect();
    let near = typos::nearest(&typed, known.iter().map(|(lower, _)| lower.as_str()), most);
    match near.and_then(|near| known.iter().find(|(lower, _)| lower == near)) {
        Some((_, meant)) => BadLine::Typo { word: word.to_owned(), meant },
        None => BadLine::Unknown,
    }
}

/// The word that a letter stands for.
fn full(word: &str, kind: Kind) -> &str {
    match (kind, word) {
        (Kind::Kademlia(_), "s") => "set",
        (Kind::Kademlia(_), "g") => "get",
        (Kind::Kademlia(_), "c") => "clear",
        (Kind::Kademlia(_), "q") => "quit",
        (Kind::Kademlia(_) | Kind::Ring(_), word) => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{RingTuning, Tuning};

    fn parse(line: &str) -> Result<Option<Word>, BadLine> {
        Word::parse(line, Kind::Ring(RingTuning::CLASSIC))
    }

    fn set(key: &str, value: &str) -> Word {
        Word::Set { key: key.to_owned(), value: value.to_owned() }
    }

    fn wanted(name: &str) -> Word {
        Word::Request { name: name.to_owned(), output: None, version: None }
    }

    #[test]
    fn letter_case_and_blanks_around_do_not_matter() {
        for line in ["Store 4103", "store 4103", "STORE\t4103 ", "  sToRe   4103\r\n"] {
            assert_eq!(parse(line), Ok(Some(Word::Store("4103".into()))), "{line:?}");
        }
        assert_eq!(parse("rEQUEST 0007"), Ok(Some(wanted("0007"))));
        assert_eq!(parse(" quit "), Ok(Some(Word::Quit)));
    }

    #[test]
    fn the_rest_of_the_line_is_the_name() {
        assert_eq!(parse("Request my  long name.pdf"), Ok(Some(wanted("my  long name.pdf"))));
        assert_eq!(parse("Store files/a b"), Ok(Some(Word::Store("files/a b".into()))));
    }

    #[test]
    fn blank_lines_say_nothing() {
        for line in ["", "   ", "\t", "\r\n"] {
            assert_eq!(parse(line), Ok(None));
        }
    }

    #[test]
    fn other_words_are_answered_with_the_list() {
        for line in ["help me", "s a b", "q", "4103", "Store4103", "next?", "hilfe"] {
            assert_eq!(parse(line), Err(BadLine::Unknown), "{line:?}");
        }
        assert!(BadLine::Unknown.to_string().contains("Store FILE, Request NAME,"));
        for line in ["clear all", "quit now", "ls a", "ring 4"] {
            assert!(matches!(parse(line), Err(BadLine::Alone(_))), "{line:?}");
        }
    }

    #[test]
    fn a_typo_gets_a_suggestion_and_what_people_say_elsewhere_is_understood() {
        let meant = |line| parse(line).unwrap_err().to_string();
        assert_eq!(meant("stor 4103"), "there is no word stor: did you mean Store?");
        assert_eq!(meant("REQEST a"), "there is no word REQEST: did you mean Request?");
        assert_eq!(meant("help fnd"), "there is no word fnd: did you mean find?");
        assert_eq!((parse("exit"), parse("quit --abrupt")), (Ok(Some(Word::Quit)), Ok(Some(Word::Vanish))));
        let Ok(Some(Word::Help([line]))) = parse("? FIND") else { panic!() };
        assert!(line.starts_with("find NAME"), "{line}");
    }

    #[test]
    fn options_are_those_of_the_commands() {
        let request = |name: &str, output: Option<&str>, version| {
            Ok(Some(Word::Request { name: name.to_owned(), output: output.map(PathBuf::from), version }))
        };
        assert_eq!(parse("Request x -o y"), request("x", Some("y"), None));
        assert_eq!(parse("request my --version 2 x"), Err(BadLine::Phrase(BadPhrase::Split)));
        assert_eq!(parse("request --version 2 my x --output 'a b'"), request("my x", Some("a b"), Some(2)));
        for line in ["Request x --version 0", "Request x --version new", "Request x -o -", "find x --as star"] {
            assert!(matches!(parse(line), Err(BadLine::Value { .. })), "{line}");
        }
        for line in ["Store x --encrypt", "rm --all", "ls --json", "ping --all", "watch --since 3", "get --json a"] {
            assert!(matches!(parse(line), Err(BadLine::Phrase(BadPhrase::Option { .. }))), "{line}");
        }
        let check = |name: &str, repair| Ok(Some(Word::Check { name: name.to_owned(), repair }));
        assert_eq!(parse("check --repair my x"), check("my x", true));
        assert_eq!(parse("check my x --repair"), check("my x", true));
        assert_eq!(parse("check '--repair'"), check("--repair", false));
    }

    #[test]
    fn quotes_keep_what_is_between_them() {
        assert_eq!(parse("Store \"hello  world.txt\""), Ok(Some(Word::Store("hello  world.txt".into()))));
        assert_eq!(parse(r"Store hello\ world.txt"), Ok(Some(Word::Store("hello world.txt".into()))));
        assert_eq!(parse("set 'two words' \"light blue\""), Ok(Some(set("two words", "light blue"))));
        assert_eq!(parse(r#"set json {"a": "b c"}"#), Ok(Some(set("json", r#"{"a": "b c"}"#))));
        assert_eq!(parse("set depth --40"), Ok(Some(set("depth", "--40"))));
        assert_eq!(parse("get 'two words'"), Ok(Some(Word::Get("two words".into()))));
    }

    #[test]
    fn a_word_without_its_file_is_told_so() {
        assert_eq!(parse("store"), Err(BadLine::Nameless("Store")));
        assert_eq!(parse("Request  "), Err(BadLine::Nameless("Request")));
    }

    #[test]
    fn a_key_is_one_word_and_its_value_the_rest_of_the_line() {
        assert_eq!(parse("set colour  light  blue "), Ok(Some(set("colour", "light  blue"))));
        assert_eq!(parse("GET colour"), Ok(Some(Word::Get("colour".into()))));
        for line in ["set", "set colour", "set colour  "] {
            assert_eq!(parse(line), Err(BadLine::Valueless), "{line:?}");
        }
        for line in ["get", "get two words"] {
            assert_eq!(parse(line), Err(BadLine::Keyless), "{line:?}");
        }
        assert_eq!((parse("help"), parse("Clear")), (Ok(Some(Word::Help(&Word::HELP))), Ok(Some(Word::Clear))));
    }

    #[test]
    fn a_look_is_at_something() {
        let look = |line| match parse(line) {
            Ok(Some(Word::Look(look))) => look,
            other => panic!("{line}: {other:?}"),
        };
        let find = |name: &str, mode| Look::Find { name: name.to_owned(), mode };
        assert_eq!(look("find my file.pdf"), find("my file.pdf", None));
        assert_eq!(look("find my file.pdf --as ring"), find("my file.pdf", Some(Mode::Ring)));
        assert_eq!(look("FIND a --as  kademlia "), find("a", Some(Mode::Kademlia)));
        assert_eq!(look("find --as ring my file.pdf"), find("my file.pdf", Some(Mode::Ring)));
        assert_eq!(look("find -- --as ring"), find("--as ring", None), "a file may be called so");
        assert_eq!(parse("find --as ring"), Err(BadLine::Nameless("find")));
        assert_eq!((look("Ring"), look("peers"), look("status")), (Look::Ring, Look::Peers, Look::Status));
        assert_eq!(look("ping 4"), Look::Ping("4".to_owned()));
        assert_eq!(look("watch peer  file"), Look::Watch(vec!["peer".to_owned(), "file".to_owned()]));
        assert_eq!(parse("find"), Err(BadLine::Nameless("find")));
        assert_eq!((parse("ping"), parse("ping 4 5")), (Err(BadLine::Peerless), Err(BadLine::Peerless)));
    }

    #[test]
    fn in_kademlias_networks_letters_are_words() {
        let parse = |line| Word::parse(line, Kind::Kademlia(Tuning::default())).unwrap().unwrap();
        assert_eq!(
            ["s a b c", "g a", "c", "q"].map(parse),
            [set("a", "b c"), Word::Get("a".into()), Word::Clear, Word::Quit]
        );
        assert_eq!(parse("S a b"), set("a", "b"));
    }
}
