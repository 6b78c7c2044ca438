//! The words typed at a running peer.

use crate::live::Kind;
use crate::web::schema::Mode;
use thiserror::Error;

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Keep this file in the network.
    Store(String),
    /// Bring this file here.
    Request(String),
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
    /// Show the words.
    Help,
    /// Clear the screen.
    Clear,
    /// Hand over, say goodbye, go.
    Quit,
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
        "Request NAME   brings a file here",
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
        "help           shows these words",
        "Quit           hands over, says goodbye, ends",
    ];

    /// Reads one line. Nothing if it is blank. In Kademlia's networks some words have a letter.
    pub fn parse(line: &str, kind: Kind) -> Result<Option<Word>, BadLine> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim_start();
        let name = |of| if rest.is_empty() { Err(BadLine::Nameless(of)) } else { Ok(rest.to_owned()) };
        let word = match (full(&word.to_ascii_lowercase(), kind), rest) {
            ("", _) => return Ok(None),
            ("store", _) => Word::Store(name("Store")?),
            ("request", _) => Word::Request(name("Request")?),
            ("rm", _) => Word::Remove(name("rm")?),
            ("check", rest) => {
                let repair = rest.strip_suffix("--repair").filter(|name| name.ends_with(char::is_whitespace));
                let named = name("check")?;
                Word::Check { name: repair.map_or(named, |name| name.trim_end().to_owned()), repair: repair.is_some() }
            }
            ("history", _) => Word::History(name("history")?),
            ("ls", "") => Word::List,
            ("set", _) => {
                let (key, value) = rest.split_once(char::is_whitespace).ok_or(BadLine::Valueless)?;
                Word::Set { key: key.to_owned(), value: value.trim_start().to_owned() }
            }
            ("get", key) if key.is_empty() || key.contains(char::is_whitespace) => return Err(BadLine::Keyless),
            ("get", key) => Word::Get(key.to_owned()),
            ("find", _) => Word::Look(find(&name("find")?)),
            ("status", "") => Word::Look(Look::Status),
            ("ring", "") => Word::Look(Look::Ring),
            ("peers", "") => Word::Look(Look::Peers),
            ("ping", peer) if peer.is_empty() || peer.contains(char::is_whitespace) => return Err(BadLine::Peerless),
            ("ping", peer) => Word::Look(Look::Ping(peer.to_owned())),
            ("watch", kinds) => Word::Look(Look::Watch(kinds.split_whitespace().map(str::to_owned).collect())),
            ("help", "") => Word::Help,
            ("clear", "") => Word::Clear,
            ("quit", "") => Word::Quit,
            _ => return Err(BadLine::Unknown),
        };
        Ok(Some(word))
    }
}

impl Word {
    /// Whether only a peer that has joined its network can do it.
    pub fn is_for_members(&self) -> bool {
        match self {
            Word::Look(Look::Status | Look::Watch(_)) | Word::Help | Word::Clear | Word::Quit => false,
            Word::Look(Look::Ring | Look::Peers | Look::Ping(_) | Look::Find { .. })
            | Word::Store(_)
            | Word::Request(_)
            | Word::Remove(_)
            | Word::Check { .. }
            | Word::History(_)
            | Word::List
            | Word::Set { .. }
            | Word::Get(_) => true,
        }
    }
}

/// A file, and perhaps a geometry behind it.
fn find(rest: &str) -> Look {
    for (mode, word) in [(Mode::Ring, "ring"), (Mode::Kademlia, "kademlia")] {
        let before = rest.strip_suffix(word).map(str::trim_end).and_then(|rest| rest.strip_suffix("--as"));
        if let Some(name) = before.filter(|name| name.ends_with(char::is_whitespace)) {
            return Look::Find { name: name.trim_end().to_owned(), mode: Some(mode) };
        }
    }
    Look::Find { name: rest.to_owned(), mode: None }
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

    #[test]
    fn letter_case_and_blanks_around_do_not_matter() {
        for line in ["Store 4103", "store 4103", "STORE\t4103 ", "  sToRe   4103\r\n"] {
            assert_eq!(parse(line), Ok(Some(Word::Store("4103".into()))), "{line:?}");
        }
        assert_eq!(parse("rEQUEST 0007"), Ok(Some(Word::Request("0007".into()))));
        assert_eq!(parse(" quit "), Ok(Some(Word::Quit)));
    }

    #[test]
    fn the_rest_of_the_line_is_the_name() {
        assert_eq!(parse("Request my  long name.pdf"), Ok(Some(Word::Request("my  long name.pdf".into()))));
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
        for line in ["Stor 4103", "help me", "clear all", "s a b", "q", "quit now", "4103", "Store4103"] {
            assert_eq!(parse(line), Err(BadLine::Unknown), "{line:?}");
        }
        assert!(BadLine::Unknown.to_string().contains("Store FILE, Request NAME,"));
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
        assert_eq!((parse("help"), parse("Clear")), (Ok(Some(Word::Help)), Ok(Some(Word::Clear))));
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
        assert_eq!(look("find --as ring"), find("--as ring", None), "a file may be called so");
        assert_eq!((look("Ring"), look("peers"), look("status")), (Look::Ring, Look::Peers, Look::Status));
        assert_eq!(look("ping 4"), Look::Ping("4".to_owned()));
        assert_eq!(look("watch peer  file"), Look::Watch(vec!["peer".to_owned(), "file".to_owned()]));
        assert_eq!(parse("find"), Err(BadLine::Nameless("find")));
        assert_eq!((parse("ping"), parse("ping 4 5")), (Err(BadLine::Peerless), Err(BadLine::Peerless)));
        assert_eq!(parse("ring 4"), Err(BadLine::Unknown));
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
