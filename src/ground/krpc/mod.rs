//! KRPC: one UDP datagram, one bencoded dictionary (BEP 5), with our own extra keys that strangers ignore.
//!
//! ```text
//! top level   t transaction · y q|r|e · q method · a arguments · r answer · e [code, text]
//!             ro read-only (BEP 43) · v version · ip the asker's address, in answers (BEP 42)
//!             ours: bye 1 "I am leaving" · at "I am reached there", 6 or 18 bytes
//! in a        id · target · info_hash · port · implied_port · seed (BEP 33) · token · want n4 n6 (BEP 32) · scrape
//!             v · k · salt · seq · sig · cas (BEP 44)
//!             ours: errand join|store|request|find · name · shown 1 · moved 1 · lost id · files · left (seconds)
//!             first · last · digest
//! in r        id · nodes (26 bytes each) · nodes6 (38 bytes each) · token · values · v k seq sig · BFsd BFpe
//!             interval · num · samples (BEP 51)
//!             ours: all 1 (the nodes are all there are) · next (so many follow the target without a gap) · own 1
//!             lying 1 · files · told (a file announced) · left · net (to who joins: what network this is)
//!             agrees 1
//! files       100 bytes each: key 20 · version 8 · length 8 · BLAKE3 32 · link 32
//! ```

mod answer;
mod compact;
mod network;
mod question;

pub use answer::{Answer, MAX_PEERS, MAX_SAMPLES, Samples, Scrape};
pub use compact::{MAX_FILES, compact_files, files_from};
pub use network::Network;
pub use question::{Announcement, Errand, Offer, Ping, Question, Range};

use super::Id;
use super::bencode::{self, DictWriter, Malformed, Value, Writer};
use compact::{compact, compact_len, id_in, is_set};
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;

/// The longest datagram written, but for one that carries a large signed item: fits every path without fragments
/// (IPv6 guarantees 1280 bytes).
pub const MAX_DATAGRAM: usize = 1200;
/// Most contacts in one answer: 16 successors and 8 predecessors of a ring, 624 bytes over IPv4.
pub const MAX_NODES: usize = 24;
/// Most nodes in an answer to strangers, who drop more than 16.
pub const MAX_NODES_FOR_STRANGERS: usize = 8;
/// Longest text taken from a refusal, in characters: people are shown it.
const MAX_REFUSAL_CHARS: usize = 200;
/// Room made for a message before it is written, in bytes, beside contacts: pings and most questions fit.
const USUAL_LEN: usize = 160;
/// "p2p", wire version 1; the last byte says whether the peer keeps files.
const VERSION: [u8; 3] = *b"P2\x00";

/// One datagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Chosen by who asks, 1 to 20 bytes, echoed by who answers.
    pub transaction: Vec<u8>,
    /// The sender is leaving: do not count on it.
    pub leaving: bool,
    /// Where the sender says that it is reached, if not where this comes from.
    pub reached_at: Option<SocketAddr>,
    /// What its sender runs.
    pub program: Program,
    /// What it says.
    pub body: Body,
}

/// What the sender of a message runs, as far as it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// This program, with a store for files.
    Keeper,
    /// This program, without.
    Plain,
    /// Another program of the Mainline DHT.
    Stranger,
}

/// The three kinds of message.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A question.
    Question {
        /// Who asks.
        from: Id,
        /// Asks without being a member: not to be remembered as a contact (BEP 43).
        read_only: bool,
        /// Which families of contacts are wanted (BEP 32).
        want: Want,
        /// What it asks.
        question: Question,
    },
    /// The answer to a question.
    Answer {
        /// Who answers.
        from: Id,
        /// Where it saw the question come from. What is written is where the answer goes.
        seen_at: Option<SocketAddr>,
        /// What it says.
        answer: Answer,
    },
    /// A refusal.
    Refusal(Refusal),
}

/// Which contacts are wanted; neither: those of the family that the question came by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// A refusal: its KRPC code and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 201 generic, 202 server, 203 protocol, 204 unknown method; BEP 44: 205 too big, 206 bad signature, 207 salt too
    /// big, 301 cas mismatch, 302 sequence number too low.
    pub code: i64,
    /// Why.
    pub text: String,
}

impl Refusal {
    /// With this code, for this reason.
    pub fn new(code: i64, text: &str) -> Refusal {
        Refusal { code, text: text.to_owned() }
    }

    /// "Ask later": a peer that is just joining.
    pub fn busy() -> Refusal {
        Refusal::new(202, "joining: ask again")
    }

    /// The question makes no sense.
    pub fn protocol(text: &str) -> Refusal {
        Refusal::new(203, text)
    }

    /// No such question here.
    pub fn unknown_method() -> Refusal {
        Refusal::new(204, "method unknown")
    }

    /// An item that its key did not sign.
    pub fn bad_signature() -> Refusal {
        Refusal::new(206, "bad signature")
    }

    /// It was for an earlier version of an item than the one there.
    pub fn is_outdated(&self) -> bool {
        matches!(self.code, 301 | 302)
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
        Writer::dict_within(self.room(), |d| match &self.body {
            Body::Question { from, read_only, want, question } => {
                d.dict("a", |a| question.encode(a, *from, want.words()));
                self.encode_standing(d);
                d.bytes("q", question.method().as_bytes());
                if *read_only {
                    d.count("ro", 1);
                }
                self.encode_tail(d, "q");
            }
            Body::Answer { from, answer, .. } => {
                self.encode_standing(d);
                d.filled("ip", compact_len(to), |out| compact(to, out));
                d.dict("r", |r| answer.encode(r, *from));
                self.encode_tail(d, "r");
            }
            Body::Refusal(refusal) => {
                self.encode_standing(d);
                d.error("e", refusal.code, &refusal.text);
                self.encode_tail(d, "e");
            }
        })
    }

    /// About as much as it takes, in bytes.
    fn room(&self) -> usize {
        match &self.body {
            Body::Answer { answer, .. } => USUAL_LEN + answer.nodes.len() * 26,
            Body::Question { .. } | Body::Refusal(_) => USUAL_LEN,
        }
    }

    fn encode_standing(&self, d: &mut DictWriter) {
        if let Some(at) = self.reached_at {
            d.filled("at", compact_len(at), |out| compact(at, out));
        }
        if self.leaving {
            d.count("bye", 1);
        }
    }

    fn encode_tail(&self, d: &mut DictWriter, kind: &str) {
        d.bytes("t", &self.transaction);
        let [p, two, version] = VERSION;
        match self.program {
            Program::Keeper => d.bytes("v", &[p, two, version, 1]),
            Program::Plain => d.bytes("v", &[p, two, version, 0]),
            Program::Stranger => {}
        }
        d.bytes("y", kind.as_bytes());
    }

    /// Reads a datagram.
    pub fn decode(datagram: &[u8]) -> Result<Message, BadMessage> {
        let text = bencode::decode(datagram)?;
        let transaction = text.get("t").and_then(Value::bytes).ok_or(BadMessage::Form("no transaction"))?;
        if !(1..=20).contains(&transaction.len()) {
            return Err(BadMessage::Form("transaction of a wrong length"));
        }
        let body = match text.get("y").and_then(Value::text) {
            Some("q") => decode_question(datagram, &text)
                .map_err(|refusal| BadMessage::Refused { transaction: transaction.to_vec(), refusal })?,
            Some("r") => {
                let r = text.get("r").ok_or(BadMessage::Form("no answer"))?;
                let (from, answer) = Answer::decode(datagram, r)?;
                let seen_at = text.get("ip").and_then(Value::bytes).and_then(compact::addr_in);
                Body::Answer { from, seen_at, answer }
            }
            Some("e") => Body::Refusal(decode_refusal(&text)),
            _ => return Err(BadMessage::Form("neither question, answer nor refusal")),
        };
        let (leaving, program) = (is_set(&text, "bye"), program_in(&text));
        let reached_at = text.get("at").and_then(Value::bytes).and_then(compact::addr_in);
        // What strangers mean by this word is not known.
        let reached_at = reached_at.filter(|_| program != Program::Stranger);
        Ok(Message { transaction: transaction.to_vec(), leaving, reached_at, program, body })
    }
}

impl Want {
    fn words(self) -> &'static [&'static [u8]] {
        match (self.v4, self.v6) {
            (false, false) => &[],
            (true, false) => &[b"n4"],
            (false, true) => &[b"n6"],
            (true, true) => &[b"n4", b"n6"],
        }
    }
}

fn decode_question(datagram: &[u8], text: &Value) -> Result<Body, Refusal> {
    let arguments = text.get("a").ok_or_else(|| Refusal::protocol("no arguments"))?;
    let from = id_in(arguments, "id").ok_or_else(|| Refusal::protocol("no id"))?;
    let question = Question::decode(datagram, text, arguments)?;
    let words = arguments.get("want").and_then(Value::list).unwrap_or_default();
    let wants = |word: &[u8]| words.iter().any(|value| value.bytes() == Some(word));
    let want = Want { v4: wants(b"n4"), v6: wants(b"n6") };
    Ok(Body::Question { from, read_only: is_set(text, "ro"), want, question })
}

/// Its text may be shown at a terminal: a stranger has nothing to command there.
fn decode_refusal(text: &Value) -> Refusal {
    let parts = text.get("e").and_then(Value::list).unwrap_or_default();
    let text = parts.get(1).and_then(Value::text).unwrap_or_default();
    Refusal {
        code: parts.first().and_then(Value::int).unwrap_or(201),
        text: text.chars().filter(|char| !char.is_control()).take(MAX_REFUSAL_CHARS).collect(),
    }
}

fn program_in(text: &Value) -> Program {
    match text.get("v").and_then(Value::bytes) {
        Some([p, two, version, keeps]) if [*p, *two, *version] == VERSION => {
            if *keeps == 1 {
                Program::Keeper
            } else {
                Program::Plain
            }
        }
        _ => Program::Stranger,
    }
}

/// A number of seconds; no life is longer than a month.
fn secs_in(dict: &Value, key: &str) -> Option<Duration> {
    dict.get(key).and_then(Value::count).map(|secs| Duration::from_secs(secs.min(31 * 86_400)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::item::text_value;
    use crate::ground::{Bloom, Contact, Content, FileName, Holding, Item, Secret, Signed};
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn addr() -> SocketAddr {
        "127.0.0.1:12008".parse().unwrap()
    }

    fn holding() -> Holding {
        let content = Content { hash: [0x9c; 32], len_bytes: 5 << 30 };
        Holding { key: Id::hashed(b"4103"), version: 3, content, link: [5; 32] }
    }

    fn examples() -> Vec<Message> {
        let want = Want { v4: true, v6: true };
        let question =
            |question| Body::Question { from: Id::numbered(2), read_only: false, want: Want::default(), question };
        let answer = |answer| Body::Answer { from: Id::numbered(8), seen_at: Some(addr()), answer };
        let signed = Secret::named("key").sign(b"salt", 7, &text_value(b"value"));
        let said = Item::Mutable(Signed { salt: Vec::new(), ..signed.clone() });
        let offer = |item, left| Offer { item, token: b"tokn".to_vec(), cas: Some(-1), left };
        let announcement = |port, file| Announcement {
            info_hash: holding().key,
            port,
            seed: port.is_some(),
            token: b"tokn".to_vec(),
            file,
        };
        let mut bloom = Bloom::default();
        bloom.insert(IpAddr::from([127, 0, 0, 1]));
        let name = FileName::parse("4103").unwrap();
        let find = |errand| question(Question::FindNode { target: Id::numbered(7), errand });
        let contacts = [addr(), "[::1]:12009".parse().unwrap()].map(|addr| Contact { id: Id::numbered(8), addr });
        let bodies = vec![
            question(Question::Ping(Ping::Quiet)),
            question(Question::Ping(Ping::Shown)),
            question(Question::Ping(Ping::Moved)),
            question(Question::Ping(Ping::Lost(Id::numbered(14)))),
            Body::Question {
                from: Id::numbered(15),
                read_only: true,
                want: Want::default(),
                question: Question::Ping(Ping::Quiet),
            },
            Body::Question {
                from: Id::numbered(15),
                read_only: false,
                want,
                question: Question::FindNode { target: Id::MAX, errand: None },
            },
            question(Question::GetPeers { info_hash: holding().key, scrape: true }),
            question(Question::AnnouncePeer(Box::new(announcement(Some(6881), Some(holding()))))),
            question(Question::AnnouncePeer(Box::new(announcement(None, None)))),
            question(Question::Get { target: Id::MAX, seq: Some(3) }),
            question(Question::Get { target: Id::MAX, seq: None }),
            question(Question::Put(Box::new(offer(Item::Mutable(signed), Some(Duration::from_secs(3600)))))),
            question(Question::Put(Box::new(offer(Item::Immutable(b"l1:xi5ee".to_vec()), None)))),
            question(Question::SampleInfohashes { target: Id::MAX }),
            answer(Answer {
                item: Some(Box::new(said)),
                seq: Some(7),
                left: Some(Duration::from_secs(9)),
                ..Answer::default()
            }),
            answer(Answer {
                item: Some(Box::new(Item::Immutable(b"i5e".to_vec()))),
                token: vec![1; 4],
                ..Answer::default()
            }),
            answer(Answer {
                peers: vec![addr(), "[2001:db8::1]:6881".parse().unwrap()],
                told: Some(Box::new(holding())),
                scrape: Some(Box::new(Scrape { seeds: bloom, peers: Bloom::default() })),
                samples: Some(Box::new(Samples { interval_secs: 60, num: 1000, ids: vec![Id::MAX; MAX_SAMPLES] })),
                ..Answer::default()
            }),
            answer(Answer { samples: Some(Box::default()), ..Answer::default() }),
            find(None),
            find(Some(Errand::Join)),
            find(Some(Errand::Store(name.clone()))),
            find(Some(Errand::Request(name.clone()))),
            find(Some(Errand::Find(name))),
            question(Question::Holds(vec![holding(); MAX_FILES])),
            answer(Answer::default()),
            answer(Answer {
                nodes: contacts.to_vec(),
                gapless: 1,
                everybody: true,
                own: true,
                files: vec![holding()],
                lying: true,
                network: Some(Network::NumberedRing),
                ..Answer::default()
            }),
            Body::Refusal(Refusal::busy()),
        ];
        bodies
            .into_iter()
            .enumerate()
            .map(|(at, body)| {
                let program = [Program::Keeper, Program::Plain, Program::Stranger][at % 3];
                let reached_at = (at % 3 == 0 && program != Program::Stranger).then_some(addr());
                Message { transaction: vec![at as u8, 0, 255], leaving: at % 2 == 1, reached_at, program, body }
            })
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
            ..Answer::default()
        };
        let body = Body::Answer { from: Id::MAX, seen_at: None, answer };
        let message =
            Message { transaction: vec![0; 20], leaving: true, reached_at: None, program: Program::Keeper, body };
        assert!(message.encode(addr()).len() <= MAX_DATAGRAM);
    }

    #[test]
    fn nodes_make_way_for_a_large_value_and_for_many_peers() {
        let node = |n| Contact { id: Id::numbered(n), addr: addr() };
        let nodes: Vec<Contact> = (0..16).map(node).collect();
        let len = |answer| {
            let body = Body::Answer { from: Id::MAX, seen_at: None, answer };
            let message =
                Message { transaction: vec![0; 4], leaving: false, reached_at: None, program: Program::Keeper, body };
            let datagram = message.encode(addr());
            let Body::Answer { answer, .. } = Message::decode(&datagram).unwrap().body else { panic!() };
            (datagram.len(), answer.nodes.len())
        };
        let signed = Secret::named("key").sign(b"", 7, &text_value(&[0; 990]));
        let (large, _) = len(Answer {
            nodes: nodes.clone(),
            item: Some(Box::new(Item::Mutable(signed))),
            token: vec![0; 4],
            ..Answer::default()
        });
        assert!(large < 1280, "{large}");
        let peers = vec![addr(); 3 * MAX_PEERS];
        let (many, beside) = len(Answer { nodes: nodes[..8].to_vec(), peers, token: vec![0; 4], ..Answer::default() });
        assert!(many <= 1024 && beside == 8, "{many} bytes, {beside} nodes");
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
        assert_eq!(message.body, Body::Question { from, read_only: false, want: Want::default(), question });
        assert_eq!(message.transaction, b"aa");
        let pong = b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re";
        let answer = Answer::default();
        let answer = Body::Answer { from: Id::new(*b"mnopqrstuvwxyz123456"), seen_at: None, answer };
        assert_eq!(Message::decode(pong).unwrap().body, answer);
    }

    const FROM: &[u8; 20] = b"abcdefghij0123456789";
    const OTHER: &[u8; 20] = b"mnopqrstuvwxyz123456";

    fn published_question(datagram: &[u8], question: Question) {
        let message = Message::decode(datagram).unwrap();
        let body = Body::Question { from: Id::new(*FROM), read_only: false, want: Want::default(), question };
        assert_eq!(message.body, body);
        assert_eq!(message.encode(addr()), datagram, "written as it is published");
    }

    /// BEP 5's own packets.
    #[test]
    fn the_published_questions_are_read_and_written_byte_for_byte() {
        published_question(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", Question::Ping(Ping::Quiet));
        published_question(
            b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
            Question::FindNode { target: Id::new(*OTHER), errand: None },
        );
        published_question(
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
            Question::GetPeers { info_hash: Id::new(*OTHER), scrape: false },
        );
        let announcement = |port| Announcement {
            info_hash: Id::new(*OTHER),
            port,
            seed: false,
            token: b"aoeusnth".to_vec(),
            file: None,
        };
        let implied = b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe";
        let body = Message::decode(implied).unwrap().body;
        let question = Question::AnnouncePeer(Box::new(announcement(None)));
        assert_eq!(body, Body::Question { from: Id::new(*FROM), read_only: false, want: Want::default(), question });
        published_question(
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
            Question::AnnouncePeer(Box::new(announcement(Some(6881)))),
        );
    }

    #[test]
    fn the_published_answers_are_read() {
        let answer = |datagram: &[u8]| match Message::decode(datagram).unwrap().body {
            Body::Answer { answer, .. } => answer,
            other => panic!("{other:?}"),
        };
        // BEP 5 shortens its nodes to "def456...": nine letters are no contact.
        let peers =
            answer(b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re");
        let compact = |bytes: &[u8; 6]| {
            SocketAddr::from((<[u8; 4]>::try_from(&bytes[..4]).unwrap(), u16::from_be_bytes([bytes[4], bytes[5]])))
        };
        assert_eq!(peers.peers, [compact(b"axje.u"), compact(b"idhtnm")]);
        assert_eq!(peers.token, b"aoeusnth");
        let refusal = Message::decode(b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee").unwrap().body;
        assert_eq!(refusal, Body::Refusal(Refusal::new(201, "A Generic Error Ocurred")));
        let written = Message {
            transaction: b"aa".to_vec(),
            leaving: false,
            reached_at: None,
            program: Program::Stranger,
            body: refusal,
        };
        assert_eq!(written.encode(addr()), b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee");
    }

    #[test]
    fn a_refusal_commands_no_terminal() {
        let said = format!("\x1b[2Jno\n{}", "o".repeat(5000));
        let datagram = [format!("d1:eli201e{}:", said.len()).as_bytes(), said.as_bytes(), b"e1:t2:aa1:y1:ee"].concat();
        let Body::Refusal(Refusal { text, .. }) = Message::decode(&datagram).unwrap().body else { panic!() };
        assert!(text.starts_with("[2Jnoo") && text.len() == MAX_REFUSAL_CHARS, "{text:?}");
    }

    #[test]
    fn tokens_nobody_would_give_are_not_taken() {
        let answer = |len: usize| {
            let token = "x".repeat(len);
            let datagram = format!("d1:rd2:id20:abcdefghij01234567895:token{len}:{token}e1:t2:aa1:y1:re");
            let Body::Answer { answer, .. } = Message::decode(datagram.as_bytes()).unwrap().body else { panic!() };
            answer.token.len()
        };
        assert_eq!([20, 64, 65, 10_000].map(answer), [20, 64, 0, 0]);
    }

    #[test]
    fn a_question_of_later_times_is_one_for_contacts_if_it_has_a_target() {
        let datagram = b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q5:dance1:t2:aa1:y1:qe";
        let Body::Question { question, .. } = Message::decode(datagram).unwrap().body else { panic!() };
        assert_eq!(question, Question::FindNode { target: Id::new(*OTHER), errand: None });
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

    proptest! {
        #[test]
        fn any_change_of_one_byte_is_read_or_refused(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut datagram = which.get(&examples()).encode(addr());
            let at = at.index(datagram.len());
            datagram[at] = byte;
            let _ = Message::decode(&datagram);
        }
    }
}
