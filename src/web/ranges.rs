//! Which bytes of a file a request wants, if any: RFC 9110 §13 and §14, for one range.

use axum::http::{HeaderMap, HeaderName, header};
use std::ops::Range;

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// 200.
    All,
    /// 206.
    Part(Range<u64>),
    /// 304: whoever asks has it.
    Unchanged,
    /// 412: it is not what whoever asks expects.
    Changed,
    /// 416: it is not so long.
    Beyond,
}

/// Of a file with this hash, in hexadecimal digits, and so many bytes. Several ranges at once are read as none, which is
/// allowed.
pub fn wanted(headers: &HeaderMap, hash: &str, len_bytes: u64) -> Want {
    let tag = entity_tag(hash);
    if headers.contains_key(header::IF_MATCH) && !names(headers, header::IF_MATCH, &tag, false) {
        return Want::Changed;
    }
    if names(headers, header::IF_NONE_MATCH, &tag, true) {
        return Want::Unchanged;
    }
    // Of anything else that whoever asks has begun with, the rest is no use.
    if headers.get(header::IF_RANGE).is_some_and(|expected| expected.as_bytes() != tag.as_bytes()) {
        return Want::All;
    }
    let mut ranges = headers.get_all(header::RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) => range.to_str().map_or(Want::All, |range| part(range, len_bytes)),
        _ => Want::All,
    }
}

/// The hash as HTTP writes it.
pub fn entity_tag(hash: &str) -> String {
    format!("\"{hash}\"")
}

/// Whether a header lists this tag, or any.
fn names(headers: &HeaderMap, header: HeaderName, tag: &str, weakly: bool) -> bool {
    let lists = headers.get_all(header).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).any(|listed| {
        let plain = if weakly { listed.strip_prefix("W/").unwrap_or(listed) } else { listed };
        plain == tag || listed == "*"
    })
}

/// `bytes=0-99`, `bytes=100-`, `bytes=-100`. What cannot be read is as if it were not there.
fn part(range: &str, len_bytes: u64) -> Want {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Want::All;
    };
    let range = match (number(first), number(last)) {
        (Ok(Some(first)), Ok(Some(last))) if first <= last => first..last.saturating_add(1).min(len_bytes),
        (Ok(Some(first)), Ok(None)) => first..len_bytes,
        (Ok(None), Ok(Some(count))) => len_bytes.saturating_sub(count)..len_bytes,
        _ => return Want::All,
    };
    if range.is_empty() { Want::Beyond } else { Want::Part(range) }
}

/// None where nothing is there. What is too large for us is larger than any file.
fn number(digits: &str) -> Result<Option<u64>, ()> {
    match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true if digits.is_empty() => Ok(None),
        true => Ok(Some(digits.parse().unwrap_or(u64::MAX))),
        false => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(headers: &[(HeaderName, &str)], len_bytes: u64) -> Want {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        wanted(&headers, "9f", len_bytes)
    }

    fn range(text: &str) -> Want {
        want(&[(header::RANGE, text)], 10)
    }

    #[test]
    fn ranges_are_read_in_all_their_forms() {
        assert_eq!(range("bytes=0-0"), Want::Part(0..1));
        assert_eq!(range("bytes=2-4"), Want::Part(2..5));
        assert_eq!(range("bytes=2-400"), Want::Part(2..10));
        assert_eq!(range("bytes=9-"), Want::Part(9..10));
        assert_eq!(range("bytes=-3"), Want::Part(7..10));
        assert_eq!(range("bytes=-30"), Want::Part(0..10));
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(range(beyond), Want::Beyond, "{beyond}");
        }
        for nonsense in ["bytes=4-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=1", "bytes=0-1,3-4", "bytes=+1-2"] {
            assert_eq!(range(nonsense), Want::All, "{nonsense}");
        }
        assert_eq!(want(&[(header::RANGE, "bytes=0-")], 0), Want::Beyond);
        assert_eq!(want(&[], 0), Want::All);
    }

    #[test]
    fn who_has_it_already_is_told_so() {
        let unchanged = |value| want(&[(header::IF_NONE_MATCH, value), (header::RANGE, "bytes=0-1")], 10);
        for value in ["\"9f\"", "W/\"9f\"", "*", "\"00\", \"9f\""] {
            assert_eq!(unchanged(value), Want::Unchanged, "{value}");
        }
        for value in ["\"00\"", "9f", ""] {
            assert_eq!(unchanged(value), Want::Part(0..2), "{value}");
        }
    }

    #[test]
    fn the_rest_is_only_sent_of_what_was_begun_with() {
        let rest = |value| want(&[(header::IF_RANGE, value), (header::RANGE, "bytes=5-")], 10);
        assert_eq!(rest("\"9f\""), Want::Part(5..10));
        for value in ["\"00\"", "W/\"9f\"", "Sat, 21 Nov 2026 22:00:00 GMT"] {
            assert_eq!(rest(value), Want::All, "{value}");
        }
        assert_eq!(want(&[(header::IF_MATCH, "\"00\"")], 10), Want::Changed);
        assert_eq!(want(&[(header::IF_MATCH, "\"00\", \"9f\"")], 10), Want::All);
    }
}
