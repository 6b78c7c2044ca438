//! The words typed at a running peer.

use thiserror::Error;

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Keep this file in the network.
    Store(String),
    /// Bring this file here.
    Request(String),
    /// Hand over, say goodbye, go.
    Quit,
}

/// Why a line says nothing to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadLine {
    /// Its first word is none of ours.
    #[error("The words are: Store FILE, Request NAME, Quit")]
    Unknown,
    /// A word without its file.
    #[error("{0} needs the name of a file: {0} 4103")]
    Nameless(&'static str),
}

impl Word {
    /// Reads one line. Nothing if it is blank.
    pub fn parse(line: &str) -> Result<Option<Word>, BadLine> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let name = |of| match rest.trim_start() {
            "" => Err(BadLine::Nameless(of)),
            name => Ok(name.to_owned()),
        };
        match word.to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "store" => name("Store").map(|name| Some(Word::Store(name))),
            "request" => name("Request").map(|name| Some(Word::Request(name))),
            "quit" if rest.is_empty() => Ok(Some(Word::Quit)),
            _ => Err(BadLine::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_case_and_blanks_around_do_not_matter() {
        for line in ["Store 4103", "store 4103", "STORE\t4103 ", "  sToRe   4103\r\n"] {
            assert_eq!(Word::parse(line), Ok(Some(Word::Store("4103".into()))), "{line:?}");
        }
        assert_eq!(Word::parse("rEQUEST 0007"), Ok(Some(Word::Request("0007".into()))));
        assert_eq!(Word::parse(" quit "), Ok(Some(Word::Quit)));
    }

    #[test]
    fn the_rest_of_the_line_is_the_name() {
        assert_eq!(Word::parse("Request my  long name.pdf"), Ok(Some(Word::Request("my  long name.pdf".into()))));
        assert_eq!(Word::parse("Store files/a b"), Ok(Some(Word::Store("files/a b".into()))));
    }

    #[test]
    fn blank_lines_say_nothing() {
        for line in ["", "   ", "\t", "\r\n"] {
            assert_eq!(Word::parse(line), Ok(None));
        }
    }

    #[test]
    fn other_words_are_answered_with_the_list() {
        for line in ["help", "Stor 4103", "quit now", "4103", "Store4103"] {
            assert_eq!(Word::parse(line), Err(BadLine::Unknown), "{line:?}");
        }
        assert!(BadLine::Unknown.to_string().contains("Store FILE, Request NAME, Quit"));
    }

    #[test]
    fn a_word_without_its_file_is_told_so() {
        assert_eq!(Word::parse("store"), Err(BadLine::Nameless("Store")));
        assert_eq!(Word::parse("Request  "), Err(BadLine::Nameless("Request")));
    }
}
