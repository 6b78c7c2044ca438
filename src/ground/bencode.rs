//! Bencoding, bounded: no datagram can make the reader recurse, allocate or loop beyond small limits.
//!
//! Written here because the libraries that read bencoding abort the process on a datagram of nested lists.
//!
//! ```text
//! i-42e     a number             l … e     a list
//! 4:spam    a string of bytes    d 4:spami1e … e     a dictionary: string, value, string, value …
//! ```

use std::str;
use thiserror::Error;

/// Deepest nesting read. A KRPC message needs 3, a stored list of lists a few more.
pub const MAX_DEPTH: usize = 10;
/// Most values in one text: a find_node answer has about 10, a `values` list of a crowded torrent 200.
pub const MAX_VALUES: usize = 500;
/// Room made for a dictionary that is read: most have no more entries.
const USUAL_ENTRIES: usize = 8;
/// What 2^64 - 1 takes in decimal.
const MAX_DIGITS: usize = 20;

/// A decoded value; strings are borrowed from the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Int(i64),
    /// A string of any bytes.
    Bytes(&'a [u8]),
    /// A list.
    List(Vec<Value<'a>>),
    /// A dictionary in the order of the text; no key twice.
    Dict(Vec<(&'a [u8], Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The value under `key`, if this is a dictionary that has it.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Dict(entries) = self else { return None };
        entries.iter().find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value)
    }

    /// The string, if it is one.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        if let Value::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The string, if it is one and is UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    /// The number, if it is one.
    pub fn int(&self) -> Option<i64> {
        if let Value::Int(number) = self { Some(*number) } else { None }
    }

    /// The number, if it is one and not negative.
    pub fn count(&self) -> Option<u64> {
        self.int()?.try_into().ok()
    }

    /// The list, if it is one.
    pub fn list(&self) -> Option<&[Value<'a>]> {
        if let Value::List(values) = self { Some(values) } else { None }
    }
}

/// Why a text is not bencoding we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The text ends in the middle of a value.
    #[error("the text ends in the middle of a value")]
    Truncated,
    /// A byte stands where none of its kind can.
    #[error("byte {0} cannot stand where it stands")]
    Unexpected(usize),
    /// A number is not in its one shortest form, or does not fit 64 bits.
    #[error("the number at byte {0} is not canonical")]
    Number(usize),
    /// More nesting than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More values than [`MAX_VALUES`].
    #[error("more than {MAX_VALUES} values")]
    TooMany,
    /// A dictionary names something twice.
    #[error("the key at byte {0} is there already")]
    Twice(usize),
    /// Something follows the value.
    #[error("something follows the value at byte {0}")]
    Trailing(usize),
}

/// Reads one value that fills all of `text`.
pub fn decode(text: &[u8]) -> Result<Value<'_>, Malformed> {
    let mut reader = Reader { text, at: 0, values: 0 };
    let value = reader.value(MAX_DEPTH)?;
    if reader.at == text.len() { Ok(value) } else { Err(Malformed::Trailing(reader.at)) }
}

/// The exact bytes of the value under `path`, a key in each nested dictionary: what was hashed and signed.
///
/// Nothing if it is missing or what stands before it is malformed. What follows it is not read, so a text from the
/// wire goes through [`decode`] first.
pub fn raw<'a>(text: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    let mut reader = Reader { text, at: 0, values: 0 };
    let mut depth = MAX_DEPTH;
    for key in path {
        depth = depth.checked_sub(1)?;
        reader.enter(key, depth)?;
    }
    let start = reader.at;
    reader.value(depth).ok()?;
    Some(&text[start..reader.at])
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Result<u8, Malformed> {
        self.text.get(self.at).copied().ok_or(Malformed::Truncated)
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Malformed::TooMany);
        }
        match self.peek()? {
            b'i' => {
                self.at += 1;
                self.int(b'e').map(Value::Int)
            }
            b'0'..=b'9' => self.string().map(Value::Bytes),
            b'l' | b'd' if depth == 0 => Err(Malformed::TooDeep),
            b'l' => self.list(depth - 1),
            b'd' => self.dict(depth - 1),
            _ => Err(Malformed::Unexpected(self.at)),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        self.at += 1;
        let mut values = Vec::new();
        while self.peek()? != b'e' {
            values.push(self.value(depth)?);
        }
        self.at += 1;
        Ok(Value::List(values))
    }

    /// Keys in any order: strangers' programs do not all sort them.
    fn dict(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        self.at += 1;
        let mut entries: Vec<(&[u8], Value)> = Vec::with_capacity(USUAL_ENTRIES);
        while self.peek()? != b'e' {
            let start = self.at;
            let key = self.string()?;
            if entries.iter().any(|(other, _)| *other == key) {
                return Err(Malformed::Twice(start));
            }
            entries.push((key, self.value(depth)?));
        }
        self.at += 1;
        Ok(Value::Dict(entries))
    }

    /// Steps into the dictionary here, up to the value under `key`.
    fn enter(&mut self, key: &str, depth: usize) -> Option<()> {
        if self.peek().ok()? != b'd' {
            return None;
        }
        self.at += 1;
        while self.string().ok()? != key.as_bytes() {
            self.value(depth).ok()?;
        }
        Some(())
    }

    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        if !self.peek()?.is_ascii_digit() {
            return Err(Malformed::Unexpected(start));
        }
        let len = match self.short_len() {
            Some(len) => len,
            None => usize::try_from(self.int(b':')?).map_err(|_| Malformed::Number(start))?,
        };
        let rest = &self.text[self.at..];
        let bytes = rest.get(..len).ok_or(Malformed::Truncated)?;
        self.at += len;
        Ok(bytes)
    }

    /// The length of a string, if it has one to three digits, as most have, and nothing is wrong with it.
    fn short_len(&mut self) -> Option<usize> {
        let (len, digits) = match *self.text.get(self.at..)? {
            [a @ b'0'..=b'9', b':', ..] => (usize::from(a - b'0'), 1),
            [a @ b'1'..=b'9', b @ b'0'..=b'9', b':', ..] => (usize::from(a - b'0') * 10 + usize::from(b - b'0'), 2),
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b':', ..] => {
                (usize::from(a - b'0') * 100 + usize::from(b - b'0') * 10 + usize::from(c - b'0'), 3)
            }
            _ => return None,
        };
        self.at += digits + 1;
        Some(len)
    }

    /// A number up to `end`, in its one canonical form: no "+1", "01", "-0".
    fn int(&mut self, end: u8) -> Result<i64, Malformed> {
        let start = self.at;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let first = self.at;
        // Counted downwards: below zero there is one number more than above.
        let mut number: i64 = 0;
        while let digit @ b'0'..=b'9' = self.peek()? {
            let lower = number.checked_mul(10).and_then(|number| number.checked_sub(i64::from(digit - b'0')));
            number = lower.ok_or(Malformed::Number(start))?;
            self.at += 1;
        }
        let canonical = match self.text[first..self.at] {
            [] => false,
            [b'0'] => !negative,
            [first, ..] => first != b'0',
        };
        if !canonical || self.peek()? != end {
            return Err(Malformed::Number(start));
        }
        self.at += 1;
        if negative { Ok(number) } else { number.checked_neg().ok_or(Malformed::Number(start)) }
    }
}

/// Writes bencoding. Dictionaries are written key by key, in ascending order.
#[derive(Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// The text of one dictionary.
    pub fn dict(fill: impl FnOnce(&mut DictWriter)) -> Vec<u8> {
        Writer::dict_within(0, fill)
    }

    /// The same where `room` bytes are likely to be enough: they are asked for at once.
    pub fn dict_within(room: usize, fill: impl FnOnce(&mut DictWriter)) -> Vec<u8> {
        let mut writer = Writer { out: Vec::with_capacity(room) };
        writer.put_dict(fill);
        writer.out
    }

    fn put_dict(&mut self, fill: impl FnOnce(&mut DictWriter)) {
        self.out.push(b'd');
        fill(&mut DictWriter { writer: self, last: "" });
        self.out.push(b'e');
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_digits(bytes.len() as u64);
        self.out.push(b':');
        self.out.extend_from_slice(bytes);
    }

    fn put_int(&mut self, number: i64) {
        self.out.push(b'i');
        if number < 0 {
            self.out.push(b'-');
        }
        self.put_digits(number.unsigned_abs());
        self.out.push(b'e');
    }

    fn put_digits(&mut self, mut number: u64) {
        let mut digits = [b'0'; MAX_DIGITS];
        let mut at = MAX_DIGITS - 1;
        digits[at] += (number % 10) as u8;
        while number >= 10 {
            number /= 10;
            at -= 1;
            digits[at] += (number % 10) as u8;
        }
        self.out.extend_from_slice(&digits[at..]);
    }
}

/// An open dictionary. Keys must be given in ascending order, as the format demands.
pub struct DictWriter<'w> {
    writer: &'w mut Writer,
    last: &'static str,
}

impl DictWriter<'_> {
    /// A string.
    pub fn bytes(&mut self, key: &'static str, bytes: &[u8]) {
        self.key(key).put_bytes(bytes);
    }

    /// A string of `len` bytes that `fill` appends.
    pub fn filled(&mut self, key: &'static str, len: usize, fill: impl FnOnce(&mut Vec<u8>)) {
        let writer = self.key(key);
        writer.put_digits(len as u64);
        writer.out.push(b':');
        let end = writer.out.len() + len;
        writer.out.reserve(len);
        fill(&mut writer.out);
        debug_assert_eq!(writer.out.len(), end, "{key} has the length that was said");
    }

    /// A number. Beyond `i64` there is none in this format: larger ones are written as the largest.
    pub fn count(&mut self, key: &'static str, number: u64) {
        self.key(key).put_int(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// A number that may be negative.
    pub fn int(&mut self, key: &'static str, number: i64) {
        self.key(key).put_int(number);
    }

    /// A list of strings.
    pub fn strings(&mut self, key: &'static str, strings: &[&[u8]]) {
        let writer = self.key(key);
        writer.out.push(b'l');
        strings.iter().for_each(|bytes| writer.put_bytes(bytes));
        writer.out.push(b'e');
    }

    /// A value that is bencoded already.
    pub fn raw(&mut self, key: &'static str, text: &[u8]) {
        self.key(key).out.extend_from_slice(text);
    }

    /// An inner dictionary.
    pub fn dict(&mut self, key: &'static str, fill: impl FnOnce(&mut DictWriter)) {
        self.key(key).put_dict(fill);
    }

    /// A list of one number and one string: the form of a KRPC error.
    pub fn error(&mut self, key: &'static str, code: i64, text: &str) {
        let writer = self.key(key);
        writer.out.push(b'l');
        writer.put_int(code);
        writer.put_bytes(text.as_bytes());
        writer.out.push(b'e');
    }

    fn key(&mut self, key: &'static str) -> &mut Writer {
        debug_assert!(self.last < key, "{key} after {}", self.last);
        self.last = key;
        self.writer.put_bytes(key.as_bytes());
        self.writer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_kind() {
        let value = decode(b"d1:ai-7e1:bl2:xyi0eee").unwrap();
        assert_eq!(value.get("a").and_then(Value::int), Some(-7));
        assert_eq!(value.get("b").and_then(Value::list), Some(&[Value::Bytes(b"xy"), Value::Int(0)][..]));
        assert_eq!(value.get("c"), None);
    }

    #[test]
    fn every_truncation_is_noticed() {
        let text = b"d1:ad2:id3:abce1:q4:ping1:tl1:xi5eee";
        assert!(decode(text).is_ok());
        for len in 0..text.len() {
            assert_eq!(decode(&text[..len]), Err(Malformed::Truncated), "{len}");
        }
    }

    #[test]
    fn numbers_have_one_form() {
        for text in [
            "i01e",
            "i-0e",
            "i-01e",
            "i00e",
            "i+1e",
            "ie",
            "i-e",
            "i--1e",
            "i1.5e",
            "i 1e",
            "i9223372036854775808e",
            "i-9223372036854775809e",
            "01:a",
            "1e1:a",
            "99999999999999999999999:a",
        ] {
            assert!(matches!(decode(text.as_bytes()), Err(Malformed::Number(_))), "{text}");
        }
        assert_eq!(decode(b"i-9223372036854775808e"), Ok(Value::Int(i64::MIN)));
    }

    #[test]
    fn a_huge_claimed_length_allocates_nothing() {
        assert_eq!(decode(b"9223372036854775807:abc"), Err(Malformed::Truncated));
    }

    #[test]
    fn nested_lists_by_the_thousand_are_refused() {
        assert_eq!(decode(&vec![b'l'; 60_000]), Err(Malformed::TooDeep));
        let deep = |depth| [vec![b'l'; depth], vec![b'e'; depth]].concat();
        assert!(decode(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(decode(&deep(MAX_DEPTH + 1)), Err(Malformed::TooDeep));
    }

    #[test]
    fn wide_lists_are_refused() {
        let wide = |count| [b"l".to_vec(), b"0:".repeat(count), b"e".to_vec()].concat();
        assert!(decode(&wide(MAX_VALUES - 1)).is_ok());
        assert_eq!(decode(&wide(MAX_VALUES)), Err(Malformed::TooMany));
    }

    #[test]
    fn double_keys_and_trailing_bytes_are_refused() {
        assert_eq!(decode(b"d1:ai1e1:ai2ee"), Err(Malformed::Twice(7)));
        assert_eq!(decode(b"i1ei2e"), Err(Malformed::Trailing(3)));
    }

    #[test]
    fn the_exact_bytes_under_nested_keys_are_found() {
        for value in ["i-7e", "2:xy", "0:", "le", "l1:vi1ee", "de", "d1:v1:xe"] {
            for text in [format!("d1:ad1:v{value}e1:q3:pute"), format!("d1:v1:n1:a1:b1:cd1:xd1:v0:e1:v{value}1:k0:ee")]
            {
                let path = if text.starts_with("d1:a") { ["a", "v"] } else { ["c", "v"] };
                assert_eq!(raw(text.as_bytes(), &path), Some(value.as_bytes()), "{text}");
            }
        }
        assert_eq!(raw(b"d1:ade1:v1:xe", &[]), Some(&b"d1:ade1:v1:xe"[..]));
    }

    #[test]
    fn under_a_missing_key_nothing_is_found() {
        let text = b"d1:ad1:v1:xe1:bl1:v1:xee";
        for path in [&["a", "w"][..], &["v"], &["b", "v"], &["a", "v", "x"], &["a", ""], &["c", "v"]] {
            assert_eq!(raw(text, path), None, "{path:?}");
        }
        for len in 0..b"d1:ad1:v1:x".len() {
            assert_eq!(raw(&text[..len], &["a", "v"]), None, "{len}");
        }
    }

    #[test]
    fn exact_bytes_are_looked_for_no_deeper_than_values_are_read() {
        let deep = |depth| ["d1:a".repeat(depth).into_bytes(), b"0:".to_vec(), vec![b'e'; depth]].concat();
        assert_eq!(raw(&deep(MAX_DEPTH), &["a"; MAX_DEPTH]), Some(&b"0:"[..]));
        assert_eq!(raw(&deep(MAX_DEPTH + 1), &["a"; MAX_DEPTH + 1]), None);
        assert_eq!(raw(&deep(MAX_DEPTH + 1), &["a"; 3]), None);
        assert_eq!(raw(&[&b"d"[..], &b"1:bi0e".repeat(MAX_VALUES + 1), b"1:a0:e"].concat(), &["a"]), None);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let text = Writer::dict(|d| {
            d.dict("a", |d| d.bytes("id", b"\x9c\x00"));
            d.error("e", 203, "no");
            d.count("n", u64::MAX);
        });
        assert_eq!(text, b"d1:ad2:id2:\x9c\x00e1:eli203e2:noe1:ni9223372036854775807ee");
        assert!(decode(&text).is_ok());
    }

    #[test]
    fn the_ends_of_64_bits_are_written_as_they_are_read() {
        for number in [0, 9, 10, -1, 1_000_000, i64::MAX, i64::MIN] {
            let mut writer = Writer::default();
            writer.put_int(number);
            assert_eq!(writer.out, format!("i{number}e").into_bytes());
            assert_eq!(decode(&writer.out), Ok(Value::Int(number)));
        }
        let mut writer = Writer::default();
        writer.put_digits(u64::MAX);
        assert_eq!(writer.out, u64::MAX.to_string().into_bytes());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn any_bracket_soup_is_read_or_refused(text in "[ldie0-9:a-]{0,200}") {
            let _ = decode(text.as_bytes());
        }

        #[test]
        fn exact_bytes_are_the_value_that_is_read(text in "d1:[ab](i[0-9]e|[0-3]:|le|d1:[ab]0:e){0,3}e?") {
            let bytes = text.as_bytes();
            if let Ok(whole) = decode(bytes) {
                prop_assert_eq!(raw(bytes, &["a"]).map(decode), whole.get("a").cloned().map(Ok));
            }
        }
    }
}
