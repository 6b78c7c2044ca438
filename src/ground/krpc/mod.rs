//! KRPC: one UDP datagram, one bencoded dictionary (BEP 5), with our own extra keys that strangers ignore.
//!
//! ```text
//! top level   t transaction · y q|r|e · q method · a arguments · r answer · e [code, text]
//!             ro read-only (BEP 43) · v version · ip the asker's address, in answers
//!             bye 1: "I am leaving"
//! in a        id · target · errand join|store|request · name · shown 1 · moved 1 · lost id · files
//! in r        all 1 (the nodes are all there are) · files · id · lying 1 · next (so many nodes follow the target without a gap)
//!             nodes (26 bytes each) · nodes6 (38 bytes each) · own 1
//! files       68 bytes each: key 20 · version 8 · length 8 · BLAKE3 32
//! ```

use super::bencode::{self, DictWriter, Malformed, Value, Writer};
use super::{Contact, Content, FileName, Holding, Id, Manifest};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// The longest datagram written: fits every path without fragments (IPv6 guarantees 1280 bytes).
pub const MAX_DATAGRAM: usize = 1200;
/// Most contacts in one answer: 16 successors and 8 predecessors of a ring, 624 bytes over IPv4.
pub const MAX_NODES: usize = 24;
/// Most files named in one question or answer: 816 bytes.
pub const MAX_FILES: usize = 12;
/// "p2p", wire version 1.
const VERSION: &[u8] = b"P2\x00\x01";

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Chosen by who asks, 1 to 20 bytes, echoed by who answers.
    pub transaction: Vec<u8>,
    /// The sender is leaving: do not count on it.
    pub leaving: bool,
    /// What it says.
    pub body: Body,
}

/// The three kinds of message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A question.
    Question {
        /// Who asks.
        from: Id,
        /// Asks without being a member: not to be remembered as a contact (BEP 43).
        read_only: bool,
        /// What it asks.
        question: Question,
    },
    /// The answer to a question.
    Answer {
        /// Who answers.
        from: Id,
        /// What it says.
        answer: Answer,
    },
    /// A refusal.
    Refusal(Refusal),
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Are you there?
    Ping(Ping),
    /// Whom do you know near `target`?
    FindNode {
        /// An id or a place.
        target: Id,
        /// What the asker is about, where people shall see it pass by.
        errand: Option<Errand>,
    },
    /// Which versions of these files do you hold? The asker's own are named.
    Holds(Vec<Holding>),
}

/// Why a ping is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    /// To know, quietly.
    Quiet,
    /// A round of the classic ring, shown to people.
    Shown,
    /// "My first successor changed: ask me."
    Moved,
    /// "This neighbour of ours is dead: see for yourself."
    Lost(Id),
}

/// What a shown search is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// The asker looks for its own place.
    Join,
    /// It looks for who shall keep a file.
    Store(FileName),
    /// It looks for who has a file.
    Request(FileName),
}

/// What can be answered. Answers do not name their question, so there is one form for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Contacts near the target.
    pub nodes: Vec<Contact>,
    /// So many of the first nodes follow the target without a gap: the answerer knows of nobody else among them.
    pub gapless: usize,
    /// The nodes are all there are.
    pub everybody: bool,
    /// The target is the answerer's to keep.
    pub own: bool,
    /// Versions held of the files asked about.
    pub files: Vec<Holding>,
    /// The file asked for lies in the answerer's working folder, though nobody stored it.
    pub lying: bool,
}

/// A refusal: its KRPC code and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 201 generic, 202 server, 203 protocol, 204 unknown method.
    pub code: i64,
    /// Why.
    pub text: String,
}

impl Refusal {
    /// "Ask later": a peer that is just joining.
    pub fn busy() -> Refusal {
        Refusal { code: 202, text: "joining: ask again".to_owned() }
    }

    /// The question makes no sense.
    pub fn protocol(text: &str) -> Refusal {
        Refusal { code: 203, text: text.to_owned() }
    }

    /// No such question here.
    pub fn unknown_method() -> Refusal {
        Refusal { code: 204, text: "method unknown".to_owned() }
    }
}

/// Why a datagram is not a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadMessage {
    /// Not bencoding.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Not a message we could answer.
    #[error("not a KRPC message: {0}")]
    Form(&'static str),
    /// A question that deserves a refusal: it has a transaction to answer to.
    #[error("refused: {}", .refusal.text)]
    Refused {
        /// The question's transaction.
        transaction: Vec<u8>,
        /// What to say.
        refusal: Refusal,
    },
}

impl Message {
    /// The datagram for this message, to be sent to `to`.
    pub fn encode(&self, to: SocketAddr) -> Vec<u8> {
        Writer::dict(|d| match &self.body {
            Body::Question { from, read_only, question } => {
                d.dict("a", |a| encode_question(a, *from, question));
                self.encode_leaving(d);
                d.bytes("q", question.method().as_bytes());
                if *read_only {
                    d.count("ro", 1);
                }
                self.encode_tail(d, "q");
            }
            Body::Answer { from, answer } => {
                self.encode_leaving(d);
                d.bytes("ip", &compact(to));
                d.dict("r", |r| encode_answer(r, *from, answer));
                self.encode_tail(d, "r");
            }
            Body::Refusal(refusal) => {
                self.encode_leaving(d);
                d.error("e", refusal.code, &refusal.text);
                self.encode_tail(d, "e");
            }
        })
    }

    fn encode_leaving(&self, d: &mut DictWriter) {
        if self.leaving {
            d.count("bye", 1);
        }
    }

    fn encode_tail(&self, d: &mut DictWriter, kind: &str) {
        d.bytes("t", &self.transaction);
        d.bytes("v", VERSION);
        d.bytes("y", kind.as_bytes());
    }

    /// Reads a datagram.
    pub fn decode(datagram: &[u8]) -> Result<Message, BadMessage> {
        let text = bencode::decode(datagram)?;
        let transaction = text.get("t").and_then(Value::bytes).ok_or(BadMessage::Form("no transaction"))?;
        if !(1..=20).contains(&transaction.len()) {
            return Err(BadMessage::Form("transaction of a wrong length"));
        }
        let leaving = is_set(&text, "bye");
        let body = match text.get("y").and_then(Value::text) {
            Some("q") => decode_question(&text)
                .map_err(|refusal| BadMessage::Refused { transaction: transaction.to_vec(), refusal })?,
            Some("r") => decode_answer(text.get("r").ok_or(BadMessage::Form("no answer"))?)?,
            Some("e") => Body::Refusal(decode_refusal(&text)),
            _ => return Err(BadMessage::Form("neither question, answer nor refusal")),
        };
        Ok(Message { transaction: transaction.to_vec(), leaving, body })
    }
}

impl Question {
    fn method(&self) -> &'static str {
        match self {
            Question::Ping(_) => "ping",
            Question::FindNode { .. } => "find_node",
            Question::Holds(_) => "holds",
        }
    }
}

fn encode_question(a: &mut DictWriter, from: Id, question: &Question) {
    match question {
        Question::Ping(ping) => {
            a.bytes("id", from.as_bytes());
            match ping {
                Ping::Quiet => {}
                Ping::Lost(id) => a.bytes("lost", id.as_bytes()),
                Ping::Moved => a.count("moved", 1),
                Ping::Shown => a.count("shown", 1),
            }
        }
        Question::FindNode { target, errand } => {
            let (word, name) = match errand {
                None => (None, None),
                Some(Errand::Join) => (Some("join"), None),
                Some(Errand::Store(name)) => (Some("store"), Some(name)),
                Some(Errand::Request(name)) => (Some("request"), Some(name)),
            };
            if let Some(word) = word {
                a.bytes("errand", word.as_bytes());
            }
            a.bytes("id", from.as_bytes());
            if let Some(name) = name {
                a.bytes("name", name.as_str().as_bytes());
            }
            a.bytes("target", target.as_bytes());
        }
        Question::Holds(files) => {
            a.bytes("files", &compact_files(files));
            a.bytes("id", from.as_bytes());
        }
    }
}

fn decode_question(text: &Value) -> Result<Body, Refusal> {
    let arguments = text.get("a").ok_or_else(|| Refusal::protocol("no arguments"))?;
    let from = id_in(arguments, "id").ok_or_else(|| Refusal::protocol("no id"))?;
    let question = match text.get("q").and_then(Value::text) {
        Some("ping") if is_set(arguments, "shown") => Question::Ping(Ping::Shown),
        Some("ping") if is_set(arguments, "moved") => Question::Ping(Ping::Moved),
        Some("ping") if arguments.get("lost").is_some() => {
            Question::Ping(Ping::Lost(id_in(arguments, "lost").ok_or_else(|| Refusal::protocol("lost whom?"))?))
        }
        Some("ping") => Question::Ping(Ping::Quiet),
        Some("find_node") => Question::FindNode {
            target: id_in(arguments, "target").ok_or_else(|| Refusal::protocol("no target"))?,
            errand: decode_errand(arguments)?,
        },
        Some("holds") => Question::Holds(files_in(arguments)),
        _ => return Err(Refusal::unknown_method()),
    };
    Ok(Body::Question { from, read_only: is_set(text, "ro"), question })
}

fn decode_errand(arguments: &Value) -> Result<Option<Errand>, Refusal> {
    let name = || {
        let text = arguments.get("name").and_then(Value::text).ok_or_else(|| Refusal::protocol("no name"))?;
        FileName::parse(text).map_err(|error| Refusal::protocol(&error.to_string()))
    };
    Ok(match arguments.get("errand").and_then(Value::text) {
        Some("join") => Some(Errand::Join),
        Some("store") => Some(Errand::Store(name()?)),
        Some("request") => Some(Errand::Request(name()?)),
        // An errand of a later version: still a question for contacts.
        _ => None,
    })
}

fn encode_answer(r: &mut DictWriter, from: Id, answer: &Answer) {
    let nodes = &answer.nodes[..answer.nodes.len().min(MAX_NODES)];
    if answer.everybody {
        r.count("all", 1);
    }
    if !answer.files.is_empty() {
        r.bytes("files", &compact_files(&answer.files));
    }
    r.bytes("id", from.as_bytes());
    if answer.lying {
        r.count("lying", 1);
    }
    if answer.gapless > 0 {
        r.count("next", answer.gapless as u64);
    }
    for (key, v6) in [("nodes", false), ("nodes6", true)] {
        let nodes: Vec<u8> = nodes.iter().filter(|node| node.addr.is_ipv6() == v6).flat_map(compact_contact).collect();
        if !nodes.is_empty() {
            r.bytes(key, &nodes);
        }
    }
    if answer.own {
        r.count("own", 1);
    }
}

fn decode_answer(r: &Value) -> Result<Body, BadMessage> {
    let from = id_in(r, "id").ok_or(BadMessage::Form("an answer without id"))?;
    let mut nodes = Vec::new();
    for (key, len) in [("nodes", 26), ("nodes6", 38)] {
        let bytes = r.get(key).and_then(Value::bytes).unwrap_or_default();
        if !bytes.len().is_multiple_of(len) {
            return Err(BadMessage::Form("nodes of a wrong length"));
        }
        nodes.extend(bytes.chunks_exact(len).filter_map(contact_in));
    }
    nodes.truncate(MAX_NODES);
    let gapless = r.get("next").and_then(Value::count).map_or(0, |count| nodes.len().min(count as usize));
    let (everybody, own, lying) = (is_set(r, "all"), is_set(r, "own"), is_set(r, "lying"));
    Ok(Body::Answer { from, answer: Answer { nodes, gapless, everybody, own, files: files_in(r), lying } })
}

fn decode_refusal(text: &Value) -> Refusal {
    let parts = text.get("e").and_then(Value::list).unwrap_or_default();
    Refusal {
        code: parts.first().and_then(Value::int).unwrap_or(201),
        text: parts.get(1).and_then(Value::text).unwrap_or_default().to_owned(),
    }
}

fn is_set(dict: &Value, key: &str) -> bool {
    dict.get(key).and_then(Value::int) == Some(1)
}

fn id_in(dict: &Value, key: &str) -> Option<Id> {
    dict.get(key).and_then(Value::bytes).and_then(Id::from_slice)
}

fn compact_files(files: &[Holding]) -> Vec<u8> {
    let one = |file: &Holding| {
        let mut bytes = file.key.as_bytes().to_vec();
        bytes.extend(file.version.to_be_bytes());
        bytes.extend(file.content.len_bytes.to_be_bytes());
        bytes.extend(file.content.hash);
        bytes
    };
    files.iter().take(MAX_FILES).flat_map(one).collect()
}

fn files_in(dict: &Value) -> Vec<Holding> {
    let bytes = dict.get("files").and_then(Value::bytes).unwrap_or_default();
    let one = |bytes: &[u8]| {
        let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes of 68"));
        Holding {
            key: Id::from_slice(&bytes[..20]).expect("20 bytes of 68"),
            version: number(20),
            content: Content { len_bytes: number(28), hash: bytes[36..].try_into().expect("32 bytes of 68") },
        }
    };
    let sane = |holding: &Holding| holding.version <= Manifest::MAX_VERSION;
    bytes.chunks_exact(68).take(MAX_FILES).map(one).filter(sane).collect()
}

/// An address and port: 6 bytes, or 18 for IPv6.
fn compact(addr: SocketAddr) -> Vec<u8> {
    let mut bytes = match addr.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(addr.port().to_be_bytes());
    bytes
}

fn compact_contact(contact: &Contact) -> Vec<u8> {
    [&contact.id.as_bytes()[..], &compact(contact.addr)].concat()
}

/// The contact in 26 or 38 bytes; none where nobody can answer (port 0).
fn contact_in(bytes: &[u8]) -> Option<Contact> {
    let (id, rest) = bytes.split_at(Id::LEN);
    let (ip, port) = rest.split_at(rest.len() - 2);
    let ip: IpAddr = match ip.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
    };
    let port = u16::from_be_bytes(port.try_into().ok()?);
    (port != 0).then_some(Contact { id: Id::from_slice(id)?, addr: SocketAddr::new(ip, port) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr() -> SocketAddr {
        "127.0.0.1:12008".parse().unwrap()
    }

    fn holding() -> Holding {
        let content = Content { hash: [0x9c; 32], len_bytes: 5 << 30 };
        Holding { key: Id::hashed(b"4103"), version: 3, content }
    }

    fn examples() -> Vec<Message> {
        let question = |question| Body::Question { from: Id::numbered(2), read_only: false, question };
        let name = FileName::parse("4103").unwrap();
        let find = |errand| question(Question::FindNode { target: Id::numbered(7), errand });
        let contacts = [addr(), "[::1]:12009".parse().unwrap()].map(|addr| Contact { id: Id::numbered(8), addr });
        let bodies = vec![
            question(Question::Ping(Ping::Quiet)),
            question(Question::Ping(Ping::Shown)),
            question(Question::Ping(Ping::Moved)),
            question(Question::Ping(Ping::Lost(Id::numbered(14)))),
            Body::Question { from: Id::numbered(15), read_only: true, question: Question::Ping(Ping::Quiet) },
            find(None),
            find(Some(Errand::Join)),
            find(Some(Errand::Store(name.clone()))),
            find(Some(Errand::Request(name))),
            question(Question::Holds(vec![holding(); MAX_FILES])),
            Body::Answer { from: Id::numbered(8), answer: Answer::default() },
            Body::Answer {
                from: Id::numbered(8),
                answer: Answer {
                    nodes: contacts.to_vec(),
                    gapless: 1,
                    everybody: true,
                    own: true,
                    files: vec![holding()],
                    lying: true,
                },
            },
            Body::Refusal(Refusal::busy()),
        ];
        bodies
            .into_iter()
            .enumerate()
            .map(|(at, body)| Message { transaction: vec![at as u8, 0, 255], leaving: at % 2 == 1, body })
            .collect()
    }

    #[test]
    fn what_is_written_is_read_the_same() {
        for message in examples() {
            let datagram = message.encode(addr());
            assert_eq!(Message::decode(&datagram), Ok(message));
            assert!(datagram.len() <= MAX_DATAGRAM);
        }
    }

    #[test]
    fn the_fullest_answer_fits_a_datagram() {
        let v6 = |n| Contact { id: Id::numbered(n), addr: "[2001:db8::1]:6881".parse().unwrap() };
        let answer = Answer {
            nodes: (0..MAX_NODES as u8).map(v6).collect(),
            gapless: 16,
            everybody: true,
            own: true,
            files: vec![holding()],
            lying: true,
        };
        let body = Body::Answer { from: Id::MAX, answer };
        assert!(Message { transaction: vec![0; 20], leaving: true, body }.encode(addr()).len() <= MAX_DATAGRAM);
    }

    #[test]
    fn every_truncation_is_refused() {
        for message in examples() {
            let datagram = message.encode(addr());
            for len in 0..datagram.len() {
                assert!(Message::decode(&datagram[..len]).is_err());
            }
        }
    }

    #[test]
    fn the_published_ping_is_read_and_answered_to_the_letter() {
        let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
        let message = Message::decode(ping).unwrap();
        let from = Id::new(*b"abcdefghij0123456789");
        let question = Question::Ping(Ping::Quiet);
        assert_eq!(message.body, Body::Question { from, read_only: false, question });
        assert_eq!(message.transaction, b"aa");
        let pong = b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re";
        let answer = Body::Answer { from: Id::new(*b"mnopqrstuvwxyz123456"), answer: Answer::default() };
        assert_eq!(Message::decode(pong).unwrap().body, answer);
    }

    #[test]
    fn questions_without_sense_are_refused_by_name() {
        let refused = |datagram: &[u8]| match Message::decode(datagram) {
            Err(BadMessage::Refused { refusal, .. }) => refusal.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(b"d1:ad2:id20:abcdefghij0123456789e1:q5:dance1:t2:aa1:y1:qe"), 204);
        assert_eq!(refused(b"d1:ad2:id3:abce1:q4:ping1:t2:aa1:y1:qe"), 203);
        assert_eq!(refused(b"d1:q4:ping1:t2:aa1:y1:qe"), 203);
        assert_eq!(
            refused(b"d1:ad6:errand5:store2:id20:abcdefghij01234567894:name2:..6:target20:abcdefghij0123456789e1:q9:find_node1:t2:aa1:y1:qe"),
            203
        );
    }

    #[test]
    fn contacts_at_port_0_are_nobody() {
        let mut bytes = compact_contact(&Contact { id: Id::ZERO, addr: addr() });
        bytes[24..].fill(0);
        assert_eq!(contact_in(&bytes), None);
    }

    proptest! {
        #[test]
        fn any_change_of_one_byte_is_read_or_refused(which in 0usize..13, at in any::<prop::sample::Index>(), byte: u8) {
            let mut datagram = examples()[which].encode(addr());
            let at = at.index(datagram.len());
            datagram[at] = byte;
            let _ = Message::decode(&datagram);
        }
    }
}
