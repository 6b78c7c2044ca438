//! `p2p watch`: what happens at a peer, as it happens.

use super::link::{Heard, Link};
use super::say;
use crate::cli::args::client::Asking;
use crate::cli::args::looking::Watch;
use crate::cli::speech;
use crate::cli::tell::clean;
use crate::web::schema::{Code, KINDS, Outcome, Trouble};
use serde_json::{Map, Value};

/// Shows what happens, until the peer ends.
pub fn watch(watch: &Watch, link: impl Fn(&Asking) -> Result<Link, Trouble>) -> Result<Outcome, Trouble> {
    check(&watch.kinds)?;
    let link = link(&watch.asking)?;
    let ended = listen(&link, watch.since, &watch.kinds, |line| {
        say(line);
        speech::is_heard()
    });
    match ended? {
        Heard::Enough => Ok(Outcome::Good),
        Heard::All => Err(gone(&link)),
    }
}

/// Why nothing more is told.
fn gone(link: &Link) -> Trouble {
    Trouble::new(Code::OutOfReach, format!("peer {} tells nothing more: it has ended", link.name()))
}

/// Hands on what happens, each in a line, as long as more is wanted.
pub fn listen(
    link: &Link,
    since: Option<u64>,
    kinds: &[String],
    mut more: impl FnMut(&str) -> bool,
) -> Result<Heard, Trouble> {
    check(kinds)?;
    let route = since.map_or("/v1/events".to_owned(), |since| format!("/v1/events?since={since}"));
    link.listen(&route, |line| {
        // What is no data keeps the connection open (server-sent events).
        let Some(text) = line.strip_prefix("data: ") else { return true };
        match serde_json::from_str(text) {
            Ok(Value::Object(told)) if is_wanted(&told, kinds) && link.json => more(text),
            Ok(Value::Object(told)) if is_wanted(&told, kinds) => more(&self::line(&told)),
            _ => true,
        }
    })
}

/// Fails where nothing that happens is of such a kind.
fn check(kinds: &[String]) -> Result<(), Trouble> {
    match kinds.iter().find(|kind| !KINDS.iter().any(|known| is_of(known, kind))) {
        Some(unknown) => {
            let message = format!("nothing that happens is called {unknown}");
            Err(Trouble::new(Code::Usage, message).hint(format!("the kinds are {}", KINDS.join(", "))))
        }
        None => Ok(()),
    }
}

/// By its kind, or the group that this belongs to.
fn is_wanted(told: &Map<String, Value>, kinds: &[String]) -> bool {
    let kind = told.get("event").and_then(Value::as_str).unwrap_or_default();
    kinds.is_empty() || kinds.iter().any(|wanted| is_of(kind, wanted))
}

fn is_of(kind: &str, wanted: &str) -> bool {
    kind == wanted || kind.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'))
}

/// `21:04:05  file.stored  file report.pdf  holders 14, 15, 19`, the time in UTC.
fn line(told: &Map<String, Value>) -> String {
    let kind = told.get("event").and_then(Value::as_str).unwrap_or_default();
    let seconds = told.get("at_unix_ms").and_then(Value::as_u64).unwrap_or_default() / 1000;
    let [hours, minutes, seconds] = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60];
    let rest = told.iter().filter(|(key, _)| !["event", "at_unix_ms", "id"].contains(&key.as_str()));
    let rest: Vec<String> = rest.map(|(key, value)| format!("{key} {}", brief(value))).collect();
    clean(&format!("{hours:02}:{minutes:02}:{seconds:02}  {kind:<14} {}", rest.join("  ")))
}

/// The name of what has one.
fn brief(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(brief).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match fields.get("peer").or_else(|| fields.get("name")) {
            Some(name) => brief(name),
            None => value.to_string(),
        },
        Value::Null => "–".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(value: Value) -> Map<String, Value> {
        let Value::Object(told) = value else { panic!() };
        told
    }

    #[test]
    fn what_happens_is_one_line_each() {
        let stored = told(json!({
            "id": 7, "at_unix_ms": 75_845_000, "event": "file.stored", "file": { "name": "a.pdf", "version": 1 },
            "holders": [{ "peer": "14", "id": "0e" }, { "peer": "15", "id": "0f" }], "wanted": 3
        }));
        assert_eq!(line(&stored), "21:04:05  file.stored    file a.pdf  holders 14, 15  wanted 3");
    }

    #[test]
    fn a_kind_is_wanted_by_its_name_or_its_group() {
        let dead = told(json!({ "event": "peer.dead" }));
        let wanted =
            |kinds: &[&str]| is_wanted(&dead, &kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>());
        assert!(wanted(&[]) && wanted(&["peer.dead"]) && wanted(&["file", "peer"]));
        assert!(!wanted(&["pee"]) && !wanted(&["peer.left"]) && !wanted(&["peer.dead.x"]));
    }
}
