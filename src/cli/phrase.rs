//! What stands behind a typed word, taken apart as a shell would do it; but blanks in a name need no quotes.
//!
//! Quotes count where a piece begins and ends with them, so `Bob's file` is what it looks like; a backslash before a blank or
//! a mark is left out, as completion writes it. `--` ends the options.

use thiserror::Error;

/// An option of a typed word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// `--output`.
    pub long: &'static str,
    /// `-o`.
    pub short: Option<&'static str>,
    /// An example of its value; none: it takes none.
    pub value: Option<&'static str>,
}

/// What is named, and the options around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phrase {
    /// The pieces that are no options, with the blanks between them as they were typed; perhaps empty.
    pub named: String,
    /// How many pieces that were.
    pub pieces: usize,
    /// By their long names, with their values, in the order typed.
    options: Vec<(&'static str, String)>,
}

/// Why that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadPhrase {
    /// No such option.
    #[error("{word} has no option {option}{advice}; a name that begins so is put behind --, as in: {word} -- {option}")]
    Option {
        /// The word before it.
        word: &'static str,
        /// What was typed.
        option: String,
        /// The options it has, if any.
        advice: String,
    },
    /// An option without its value.
    #[error("{option} needs a value: {option} {example}")]
    Valueless {
        /// The option.
        option: &'static str,
        /// What it could be.
        example: &'static str,
    },
    /// A value for an option that takes none.
    #[error("{0} takes no value")]
    Valued(&'static str),
    /// Options amid a name.
    #[error("options stand before a name or behind it: put quotes around a name that has such words in it")]
    Split,
}

impl Phrase {
    /// Takes apart what stands behind `word`, which has these options.
    pub fn read(word: &'static str, rest: &str, options: &[Choice]) -> Result<Phrase, BadPhrase> {
        let mut phrase = Phrase::default();
        let mut pieces = pieces(rest).into_iter();
        let (mut heeded, mut ended) = (true, false);
        while let Some(piece) = pieces.next() {
            let is_option = piece.bare && heeded;
            if is_option && piece.text == "--" {
                heeded = false;
            } else if let Some((option, value)) =
                is_option.then(|| known(word, &piece.text, options)).transpose()?.flatten()
            {
                let value = match (option.value, value) {
                    (None, None) => String::new(),
                    (None, Some(_)) => return Err(BadPhrase::Valued(option.long)),
                    (Some(example), value) => {
                        let value = value.map(str::to_owned).or_else(|| pieces.next().map(|piece| piece.text));
                        let value = value.filter(|value| !value.is_empty());
                        value.ok_or(BadPhrase::Valueless { option: option.long, example })?
                    }
                };
                phrase.options.push((option.long, value));
                ended = phrase.pieces > 0;
            } else if ended {
                return Err(BadPhrase::Split);
            } else {
                if phrase.pieces > 0 {
                    phrase.named.push_str(piece.blanks);
                }
                phrase.named.push_str(&piece.text);
                phrase.pieces += 1;
            }
        }
        Ok(phrase)
    }

    /// The value of an option, the last one given; empty if it takes none.
    pub fn option(&self, long: &str) -> Option<&str> {
        self.options.iter().rev().find(|(option, _)| *option == long).map(|(_, value)| value.as_str())
    }
}

/// The option that a piece is, and what stands behind its `=`.
fn known<'p>(
    word: &'static str,
    piece: &'p str,
    options: &[Choice],
) -> Result<Option<(Choice, Option<&'p str>)>, BadPhrase> {
    if let Some(option) = options.iter().find(|option| option.short == Some(piece)) {
        return Ok(Some((*option, None)));
    }
    if !piece.starts_with("--") {
        return Ok(None);
    }
    let (long, value) = piece.split_once('=').map_or((piece, None), |(long, value)| (long, Some(value)));
    match options.iter().find(|option| option.long == long) {
        Some(option) => Ok(Some((*option, value))),
        None => {
            let known: Vec<&str> = options.iter().map(|option| option.long).collect();
            let advice = if known.is_empty() { String::new() } else { format!(", only {}", known.join(" and ")) };
            Err(BadPhrase::Option { word, option: piece.to_owned(), advice })
        }
    }
}

/// What stands between blanks.
struct Piece<'r> {
    text: String,
    /// Nothing of it was quoted.
    bare: bool,
    /// Those before it.
    blanks: &'r str,
}

fn pieces(mut rest: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    loop {
        let (blanks, text) = rest.split_at(rest.len() - rest.trim_start().len());
        if text.is_empty() {
            return pieces;
        }
        let (piece, len) = quoted(text).unwrap_or_else(|| plain(text));
        let bare = piece == text[..len];
        pieces.push(Piece { text: piece, bare, blanks });
        rest = &text[len..];
    }
}

/// The text between quotes, and how many bytes it has with them; none, where none begins and ends here.
pub fn quoted(text: &str) -> Option<(String, usize)> {
    let quote = text.chars().next().filter(|letter| matches!(letter, '"' | '\''))?;
    let (mut inner, mut escaped) = (String::new(), false);
    for (at, letter) in text.char_indices().skip(1) {
        if escaped && !matches!(letter, '"' | '\\') {
            inner.push('\\');
        }
        match letter {
            '\\' if quote == '"' && !escaped => {
                escaped = true;
                continue;
            }
            letter if letter == quote && !escaped => {
                let ends = text[at + 1..].chars().next().is_none_or(char::is_whitespace);
                return ends.then_some((inner, at + 1));
            }
            letter => inner.push(letter),
        }
        escaped = false;
    }
    None
}

/// The text up to the next blank that no backslash is before, and how many bytes it has with all backslashes.
fn plain(text: &str) -> (String, usize) {
    let mut inner = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next_if(|(_, next)| next.is_whitespace() || next.is_ascii_punctuation()) {
                Some((_, next)) => inner.push(next),
                None => inner.push('\\'),
            },
            letter if letter.is_whitespace() => return (inner, at),
            letter => inner.push(letter),
        }
    }
    (inner, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_empty() {
        let output = [Choice { long: "--output", short: Some("-o"), value: Some("copy.pdf") }];
        for rest in ["4103 --output=", "4103 --output ''", "4103 -o \"\"", "4103 -o"] {
            let read = Phrase::read("request", rest, &output);
            assert_eq!(read, Err(BadPhrase::Valueless { option: "--output", example: "copy.pdf" }), "{rest}");
        }
    }

    const AS: Choice = Choice { long: "--as", short: None, value: Some("kademlia") };
    const OUTPUT: Choice = Choice { long: "--output", short: Some("-o"), value: Some("copy.pdf") };
    const REPAIR: Choice = Choice { long: "--repair", short: None, value: None };

    fn read(rest: &str) -> Result<Phrase, BadPhrase> {
        Phrase::read("find", rest, &[AS, OUTPUT, REPAIR])
    }

    fn named(rest: &str) -> String {
        read(rest).unwrap_or_else(|error| panic!("{rest}: {error}")).named
    }

    #[test]
    fn blanks_of_a_name_stay_and_quotes_and_backslashes_go() {
        assert_eq!(named(" my  long name "), "my  long name");
        assert_eq!(named("\"hello  world.txt\""), "hello  world.txt");
        assert_eq!(named("'a \"b\"' c"), "a \"b\" c");
        assert_eq!(named(r#""a \"b\" \c""#), r#"a "b" \c"#);
        assert_eq!(named(r"hello\ world\ \(1\).txt"), "hello world (1).txt");
        assert_eq!(named("Bob's other's"), "Bob's other's");
        assert_eq!(named(r"a\b"), r"a\b");
        assert_eq!(named("\"open"), "\"open");
        assert_eq!(named("-rf $(id)"), "-rf $(id)");
    }

    #[test]
    fn options_stand_before_a_name_or_behind_it() {
        for rest in ["my file --as ring --repair", "--as ring --repair my file", "--as=ring my file --repair"] {
            let phrase = read(rest).unwrap();
            assert_eq!((phrase.named.as_str(), phrase.pieces), ("my file", 2), "{rest}");
            assert_eq!((phrase.option("--as"), phrase.option("--repair")), (Some("ring"), Some("")), "{rest}");
        }
        assert_eq!(read("a -o \"b c\"").unwrap().option("--output"), Some("b c"));
        assert_eq!(read("my --as ring file"), Err(BadPhrase::Split));
    }

    #[test]
    fn what_looks_like_an_option_and_is_none_is_refused() {
        let refused = |rest| read(rest).unwrap_err().to_string();
        assert!(refused("a --like ring").starts_with("find has no option --like, only --as and --output"));
        assert_eq!(refused("a --as"), "--as needs a value: --as kademlia");
        assert_eq!(refused("a --repair=yes"), "--repair takes no value");
    }

    #[test]
    fn quotes_and_two_dashes_make_a_name_of_anything() {
        assert_eq!(named("-- --as ring"), "--as ring");
        assert_eq!(named("'--as'"), "--as");
    }
}
