//! Events as sentences: to the letter those of the assignment, and our own where it is silent.

use super::report::{self, Lacking, counted};
use crate::ground::item::as_text;
use crate::ground::krpc::Network;
use crate::ground::{Copy, FileName, Health, Id, Item, Naming};
use crate::live::Event;
use crate::peer::{Answer, JoinError, News, Successors};

/// One printed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// For standard output.
    Out(String),
    /// For standard error: what the assignment's output has no line for.
    Aside(String),
}

/// The lines that tell an event, to people who name peers this way.
pub fn lines(naming: Naming, event: &Event) -> Vec<Line> {
    told(&Teller { naming, lacking: Lacking::Advised }, event)
}

/// The same of a check that has made good what lacks.
pub fn lines_of_repair(naming: Naming, event: &Event) -> Vec<Line> {
    told(&Teller { naming, lacking: Lacking::Repaired }, event)
}

fn told(teller: &Teller, event: &Event) -> Vec<Line> {
    let lines = match event {
        Event::News(news) => teller.news(news),
        Event::Answer { subject: Some(key), answer, .. } => teller.value(key, answer),
        Event::Answer { subject: None, answer, .. } => teller.answer(answer),
    };
    lines.into_iter().map(printable).collect()
}

/// The names of files that there are, by this event.
pub fn names(event: &Event) -> Vec<&FileName> {
    match event {
        Event::News(News::StoreForwarded(name) | News::StoreAccepted(name) | News::FileHere(name)) => vec![name],
        Event::Answer { answer: Answer::Stored { manifest, .. }, .. } => vec![&manifest.name],
        Event::Answer { answer: Answer::Fetched { name, .. }, .. } => vec![name],
        Event::Answer { answer: Answer::Listed { files, .. }, .. } => {
            files.iter().map(|(manifest, _)| &manifest.name).collect()
        }
        Event::News(_) | Event::Answer { .. } => Vec::new(),
    }
}

struct Teller {
    naming: Naming,
    /// What is said where copies lack.
    lacking: Lacking,
}

impl Teller {
    fn news(&self, news: &News) -> Vec<Line> {
        let out = |text: String| vec![Line::Out(text)];
        match news {
            News::PingsSent(peers) if peers.is_empty() => Vec::new(),
            News::PingsSent(peers) => out(format!("Ping requests sent to {}", self.peers(peers))),
            News::PingReceived(from) => out(format!("Ping request message received from {}", self.peer(*from))),
            News::PingAnswered(by) => out(format!("Ping response received from {}", self.peer(*by))),
            News::JoinForwarded(peer) => out(format!("{} Join request forwarded to my successor", self.peer(*peer))),
            News::JoinReceived(peer) => out(format!("{} Join request received", self.peer(*peer))),
            News::SuccessorChangeReceived => out("Successor Change request received".into()),
            News::Joined(successors) => {
                let accepted = Line::Out("Join request has been accepted".into());
                let successors = successors.iter().flat_map(|successors| self.successors("My", *successors));
                [accepted].into_iter().chain(successors).collect()
            }
            News::JoinFailed(JoinError::Silence(addr)) => {
                vec![Line::Aside(format!("Nobody answers at {addr}: start that peer first, or name another one"))]
            }
            News::JoinFailed(JoinError::Taken(addr)) => vec![Line::Aside(match self.naming {
                Naming::Numbered | Naming::NumberedPeers => {
                    format!("The ring has a peer with this number already, at {addr}: choose another number")
                }
                Naming::Hashed => {
                    format!("A peer at {addr} has our id already: start in another --dir, or use more --bits")
                }
            })],
            News::JoinFailed(error @ JoinError::Elsewhere { theirs, .. }) => vec![Line::Aside(match theirs {
                Network::Kademlia => format!("Cannot join: {error}: start with --kademlia"),
                Network::NumberedRing => format!("Cannot join: {error}: start as p2p join NUMBER ..."),
                Network::Ring => format!("Cannot join: {error}: start as p2p join HOST:PORT ..."),
            })],
            News::SuccessorsChanged(successors) => self.successors("My new", *successors),
            News::Departing(peer) => out(format!("{} will depart from the network", self.peer(*peer))),
            News::Dead(peer) => out(format!("{} is no longer alive", self.peer(*peer))),
            News::StoreForwarded(name) => out(format!("Store {name} request forwarded to my successor")),
            News::StoreAccepted(name) => out(format!("Store {name} request accepted")),
            News::RequestSent(name) => out(format!("File request for {name} has been sent to my successor")),
            // What is told at the terminal is the assignment's.
            News::Silent(_) | News::Asking { .. } => Vec::new(),
            News::NotHere(name) => {
                out(format!("Request for File {name} has been received, but the file is not stored here"))
            }
            News::FileHere(name) => out(format!("File {name} is stored here")),
            News::Sending { name, to } => out(format!("Sending file {name} to {}", self.peer(*to))),
            News::Sent => out("The file has been sent".into()),
            News::Receiving { name, from } => {
                let from = self.peer(*from);
                vec![
                    Line::Out(format!("{from} had File {name}")),
                    Line::Out(format!("Receiving File {name} from {from}")),
                ]
            }
            News::HolderFailed { name, holder, error } => {
                out(format!("File {name} from {}: {error}; the next peer is asked", self.peer(*holder)))
            }
            News::NotTaken { files } => {
                let what = counted(*files, "file");
                let how = "in this peer's folder, and back in the network when it is started again";
                vec![Line::Aside(format!("Nobody takes {what} that nobody else has: kept {how}"))]
            }
            News::HandingOver { files } => vec![Line::Aside(format!("Handing over {}", counted(*files, "file")))],
        }
    }

    fn answer(&self, answer: &Answer) -> Vec<Line> {
        match answer {
            Answer::Stored { manifest, copies, .. } if manifest.content.is_removed() => {
                vec![Line::Out(format!("File {} is removed{}", manifest.name, self.at(copies)))]
            }
            Answer::Stored { manifest, copies, wanted, .. } if copies.len() < *wanted => {
                let (name, copies, place) = (&manifest.name, copies.len(), self.at(copies));
                vec![Line::Out(format!("File {name} is stored with only {copies} of {wanted} copies{place}"))]
            }
            Answer::Stored { manifest, copies, .. } => {
                let (name, count, place) = (&manifest.name, copies.len(), self.at(copies));
                vec![Line::Aside(format!("Stored {name}: {}{place}", in_copies(count)))]
            }
            Answer::Fetched { name, .. } => vec![Line::Out(format!("File {name} received"))],
            Answer::NotFound { name, asked, absence } => {
                vec![Line::Out(format!("File {name} {}", report::absence(*absence, *asked)))]
            }
            Answer::Inspected { name, holders, asked, absence, .. } if holders.is_empty() => {
                vec![Line::Out(format!("File {name} {}", report::absence(*absence, *asked)))]
            }
            Answer::Inspected { name, holders, wanted, .. } => {
                let verified = |copy: &Copy| copy.health != Health::Here;
                let lines = match holders.iter().flat_map(|(_, copies)| copies).any(verified) {
                    true => report::check(self.naming, name.as_str(), holders, *wanted, self.lacking),
                    false => report::history(self.naming, holders),
                };
                lines.into_iter().map(Line::Out).collect()
            }
            Answer::Listed { files, asked, silent } => {
                report::list(self.naming, files, *asked, *silent).into_iter().map(Line::Out).collect()
            }
            Answer::LookedUp(trace) => {
                let keepers: Vec<String> = trace.keepers.iter().map(|keeper| keeper.addr.to_string()).collect();
                vec![Line::Out(format!("{} is kept by {}", trace.key, keepers.join(", ")))]
            }
            Answer::Failed { name, reason } => vec![Line::Out(format!("File {name}: {reason}"))],
            Answer::Put { item, copies } => {
                vec![Line::Out(format!("Value {} is kept ({})", item.target(), in_copies(copies.len())))]
            }
            Answer::Found(item) => vec![Line::Out(format!("Value {} = {}", item.target(), shown_value(item)))],
            Answer::NoValue { asked } => {
                vec![Line::Out(format!("There is no such value ({} asked)", counted(*asked, "peer")))]
            }
            Answer::Announced(to) => vec![Line::Out(format!("Announced to {}", counted(to.len(), "peer")))],
            Answer::Peers { peers, .. } => peers.iter().map(|addr| Line::Out(addr.to_string())).collect(),
            Answer::Samples { ids, .. } => ids.iter().map(|id| Line::Out(id.to_string())).collect(),
            Answer::Unable(reason) | Answer::Refused(reason) => vec![Line::Out(reason.clone())],
            // Shown where it was asked for.
            Answer::Contacts(_) | Answer::Pinged { .. } | Answer::Traced(_) => Vec::new(),
            Answer::Left => Vec::new(),
        }
    }

    /// The end of a set or get.
    fn value(&self, key: &str, answer: &Answer) -> Vec<Line> {
        let line = match answer {
            Answer::Put { copies, .. } => format!("{key} is set ({})", in_copies(copies.len())),
            Answer::Found(item) => format!("{key} = {}", shown_value(item)),
            Answer::NoValue { asked } => format!("{key} is not set ({} asked)", counted(*asked, "peer")),
            Answer::Unable(reason) | Answer::Refused(reason) => format!("{key}: {reason}"),
            other => return self.answer(other),
        };
        vec![Line::Out(line)]
    }

    fn successors(&self, whose: &str, Successors { first, second }: Successors) -> Vec<Line> {
        vec![
            Line::Out(format!("{whose} first successor is {}", self.peer(first))),
            Line::Out(format!("{whose} second successor is {}", self.peer(second))),
        ]
    }

    /// `Peer 4`.
    fn peer(&self, id: Id) -> String {
        format!("Peer {}", self.naming.call(id))
    }

    /// `Peer 4`, `Peers 4 and 5`, `Peers 4, 5 and 8`.
    fn peers(&self, ids: &[Id]) -> String {
        peers(self.naming, ids)
    }

    /// `, at Peers 19 and 2`.
    fn at(&self, ids: &[Id]) -> String {
        if ids.is_empty() { String::new() } else { format!(", at {}", self.peers(ids)) }
    }
}

/// `Peer 4`, `Peers 4 and 5`, `Peers 4, 5 and 8`.
pub fn peers(naming: Naming, ids: &[Id]) -> String {
    let calls: Vec<String> = ids.iter().map(|id| naming.call(*id)).collect();
    match calls.as_slice() {
        [] => "no peer".to_owned(),
        [one] => format!("Peer {one}"),
        [most @ .., last] => format!("Peers {} and {last}", most.join(", ")),
    }
}

/// `512 B`, `18.2 MB`.
pub fn size(len_bytes: u64) -> String {
    let mut value = len_bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().expect("five units");
    while value >= 999.95
        && let Some(next) = units.next()
    {
        (value, unit) = (value / 1000.0, next);
    }
    if unit == "B" { format!("{len_bytes} B") } else { format!("{value:.1} {unit}") }
}

/// `1 copy`, `8 copies`.
fn in_copies(count: usize) -> String {
    if count == 1 { "1 copy".to_owned() } else { format!("{count} copies") }
}

/// A value as people read it: the text that it is or, where it is something else, its bencoding. What cannot be printed is
/// escaped.
pub fn shown_value(item: &Item) -> String {
    escaped(as_text(item.value()).unwrap_or(item.value()))
}

/// Text as people read it, where it may be none: what cannot be printed is escaped.
pub fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match misleads(letter) {
                true => shown.extend(letter.escape_default()),
                false => shown.push(letter),
            }
        }
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    shown
}

/// Control characters, line separators, and marks that turn the reading direction.
fn misleads(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What other peers say in their error texts must not steer our terminal, nor look like two lines.
fn printable(line: Line) -> Line {
    match line {
        Line::Out(text) => Line::Out(clean(&text)),
        Line::Aside(text) => Line::Aside(clean(&text)),
    }
}

/// One line, without control characters.
pub fn clean(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::{Content, Manifest};
    use crate::peer::{Absence, MoveError, Ticket};

    fn id(number: u8) -> Id {
        Id::numbered(number)
    }

    fn ids(numbers: &[u8]) -> Vec<Id> {
        numbers.iter().copied().map(Id::numbered).collect()
    }

    fn file(name: &str) -> FileName {
        FileName::parse(name).unwrap()
    }

    fn both(first: u8, second: u8) -> Successors {
        Successors { first: id(first), second: id(second) }
    }

    fn stored(copies: &[u8], wanted: usize) -> Event {
        let content = Content { hash: [7; 32], len_bytes: 0 };
        let manifest = Manifest::after(None, file("2067"), content, id(2));
        answer(Answer::Stored { manifest, replaces: false, copies: ids(copies), wanted })
    }

    fn answer(answer: Answer) -> Event {
        Event::Answer { ticket: Ticket(0), subject: None, answer }
    }

    fn told(key: &str, answer: Answer) -> Vec<String> {
        out(Event::Answer { ticket: Ticket(0), subject: Some(key.to_owned()), answer })
    }

    fn item(value: &[u8]) -> Item {
        Item::Immutable(value.to_vec())
    }

    fn out(event: Event) -> Vec<String> {
        let out = |line| if let Line::Out(text) = line { Some(text) } else { None };
        lines(Naming::Numbered, &event).into_iter().filter_map(out).collect()
    }

    fn aside(event: Event) -> Vec<String> {
        let aside = |line| if let Line::Aside(text) = line { Some(text) } else { None };
        lines(Naming::Numbered, &event).into_iter().filter_map(aside).collect()
    }

    #[test]
    fn every_line_of_the_assignment_is_exact() {
        let told: [(News, &[&str]); 24] = [
            (News::PingsSent(ids(&[4, 5])), &["Ping requests sent to Peers 4 and 5"]),
            (News::PingsSent(ids(&[4])), &["Ping requests sent to Peer 4"]),
            (News::PingReceived(id(2)), &["Ping request message received from Peer 2"]),
            (News::PingAnswered(id(4)), &["Ping response received from Peer 4"]),
            (News::JoinForwarded(id(15)), &["Peer 15 Join request forwarded to my successor"]),
            (News::JoinReceived(id(15)), &["Peer 15 Join request received"]),
            (
                News::SuccessorsChanged(both(15, 19)),
                &["My new first successor is Peer 15", "My new second successor is Peer 19"],
            ),
            (News::SuccessorChangeReceived, &["Successor Change request received"]),
            (
                News::Joined(Some(both(19, 2))),
                &["Join request has been accepted", "My first successor is Peer 19", "My second successor is Peer 2"],
            ),
            (News::Departing(id(9)), &["Peer 9 will depart from the network"]),
            (News::Dead(id(14)), &["Peer 14 is no longer alive"]),
            (News::StoreForwarded(file("2067")), &["Store 2067 request forwarded to my successor"]),
            (News::StoreAccepted(file("2067")), &["Store 2067 request accepted"]),
            (News::RequestSent(file("4103")), &["File request for 4103 has been sent to my successor"]),
            (
                News::NotHere(file("4103")),
                &["Request for File 4103 has been received, but the file is not stored here"],
            ),
            (News::FileHere(file("4103")), &["File 4103 is stored here"]),
            (News::Sending { name: file("4103"), to: id(2) }, &["Sending file 4103 to Peer 2"]),
            (News::Sent, &["The file has been sent"]),
            (
                News::Receiving { name: file("4103"), from: id(8) },
                &["Peer 8 had File 4103", "Receiving File 4103 from Peer 8"],
            ),
            (News::Joined(None), &["Join request has been accepted"]),
            (News::PingsSent(Vec::new()), &[]),
            (News::HandingOver { files: 2 }, &[]),
            (News::NotTaken { files: 2 }, &[]),
            (News::JoinFailed(JoinError::Silence("127.0.0.1:12004".parse().unwrap())), &[]),
        ];
        for (news, expected) in told {
            assert_eq!(out(Event::News(news)), expected);
        }
        let fetched = Answer::Fetched { name: file("4103"), from: id(8) };
        assert_eq!(out(answer(fetched)), ["File 4103 received"]);
    }

    #[test]
    fn a_plain_success_of_store_adds_nothing_to_the_output() {
        assert!(out(stored(&[19, 2, 4], 3)).is_empty());
        assert_eq!(aside(stored(&[19, 2, 4], 3)), ["Stored 2067: 3 copies, at Peers 19, 2 and 4"]);
        assert_eq!(aside(stored(&[2], 1)), ["Stored 2067: 1 copy, at Peer 2"]);
    }

    #[test]
    fn fewer_copies_than_wanted_are_told() {
        assert_eq!(out(stored(&[19, 2], 3)), ["File 2067 is stored with only 2 of 3 copies, at Peers 19 and 2"]);
        assert_eq!(out(stored(&[], 3)), ["File 2067 is stored with only 0 of 3 copies"]);
    }

    #[test]
    fn failures_are_one_line_each() {
        let not_found = Answer::NotFound { name: file("4103"), asked: 3, absence: Absence::NeverStored };
        assert_eq!(out(answer(not_found)), ["File 4103 was not found (3 peers asked): nobody has heard of it"]);
        let failed = Answer::Failed { name: file("a b"), reason: "no such file".into() };
        assert_eq!(out(answer(failed)), ["File a b: no such file"]);
        let damaged = News::HolderFailed { name: file("4103"), holder: id(8), error: MoveError::Damaged };
        assert_eq!(
            out(Event::News(damaged)),
            ["File 4103 from Peer 8: its bytes do not match their hash; the next peer is asked"]
        );
        assert!(out(answer(Answer::Left)).is_empty());
    }

    #[test]
    fn values_are_told_with_their_key() {
        let put = |copies: &[u8]| Answer::Put { item: item(b"1:x"), copies: ids(copies) };
        assert_eq!(told("colour", put(&[1, 2])), ["colour is set (2 copies)"]);
        assert_eq!(told("colour", put(&[1])), ["colour is set (1 copy)"]);
        assert_eq!(told("colour", Answer::Found(item(b"10:light blue"))), ["colour = light blue"]);
        assert_eq!(told("colour", Answer::NoValue { asked: 8 }), ["colour is not set (8 peers asked)"]);
        assert_eq!(told("colour", Answer::Unable("why".into())), ["colour: why"]);
    }

    #[test]
    fn values_that_cannot_be_printed_are_escaped() {
        let found = |value: &[u8]| told("k", Answer::Found(item(value)));
        assert_eq!(found(b"5:a\x1b[2J"), ["k = a\\u{1b}[2J"]);
        assert_eq!(found(b"6:a\xff\xfe\nb\r"), ["k = a\\xff\\xfe\\nb\\r"]);
        assert_eq!(found("9:\u{202e}abcäx".as_bytes()), ["k = \\u{202e}abcäx"]);
        assert_eq!(found(b"li1ei2ee"), ["k = li1ei2ee"]);
    }

    #[test]
    fn what_others_say_cannot_steer_the_terminal() {
        let error = MoveError::Refused("\x1b[2J\nPeer 8 is no longer alive\u{9b}".into());
        let refused = News::HolderFailed { name: file("4103"), holder: id(8), error };
        let [line] = &out(Event::News(refused))[..] else { panic!() };
        assert!(!line.contains(char::is_control), "{line:?}");
    }

    #[test]
    fn hashed_peers_are_called_by_their_first_digits() {
        let news = Event::News(News::Dead(Id::hashed(b"abc")));
        assert_eq!(lines(Naming::Hashed, &news), [Line::Out("Peer a9993e36 is no longer alive".into())]);
    }
}
