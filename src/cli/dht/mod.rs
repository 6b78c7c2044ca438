//! `p2p dht`: one plain operation in a Mainline DHT, by a node that lives just for it.

mod serve;

use super::args::dht::{Announce, Dht, Get, GetPeers, Key, Network, Put, Sample};
use super::speech;
use super::tell::shown_value;
use super::{FAILED, NOT_THERE, OUT_OF_REACH, REFUSED, TIMED_OUT};
use crate::ground::item::{as_text, text_value};
use crate::ground::{Id, Item, Secret};
use crate::live::{self, Bound, Node, Setup};
use crate::peer::{Answer, Command, Publication, Sought};
use serde_json::{Value, json};
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use tokio::time::timeout;

/// What went wrong: for people a sentence, for programs a word and the exit code.
struct Trouble {
    exit: u8,
    code: &'static str,
    message: String,
}

/// What came out: an object for programs, a line for people, and the exit code.
struct Outcome {
    exit: u8,
    object: Value,
    line: String,
    /// For people, beside the line.
    aside: Option<String>,
}

/// Does it.
pub fn run(dht: Dht) -> ExitCode {
    let (command, network) = match dht {
        Dht::Serve(serve) => return serve::run(&serve),
        Dht::Put(put) => (put_command(&put), put.network),
        Dht::Get(Get { key, salt, network }) => (Ok(find_command(key, salt.0)), network),
        Dht::Announce(Announce { info_hash, port, seeder, network }) => {
            let port = (port != 0).then_some(port);
            (Ok(Command::Announce { info_hash, port, seed: seeder }), network)
        }
        Dht::GetPeers(GetPeers { info_hash, scrape, network }) => {
            (Ok(Command::FindPeers { info_hash, scrape }), network)
        }
        Dht::Sample(Sample { target, network }) => {
            (Ok(Command::Sample(target.unwrap_or_else(live::drawn_id))), network)
        }
    };
    let outcome = command.and_then(|command| once(&network, command));
    match outcome {
        Ok(outcome) => {
            let line = if network.json { outcome.object.to_string() } else { outcome.line };
            if !line.is_empty() {
                speech::say(&line);
            }
            if let Some(aside) = outcome.aside.filter(|_| !network.json) {
                speech::aside(&aside);
            }
            ExitCode::from(outcome.exit)
        }
        Err(trouble) => trouble.tell(network.json),
    }
}

/// Joins, does one thing, goes.
fn once(network: &Network, command: Command) -> Result<Outcome, Trouble> {
    let bootstrap = network.bootstrap().map_err(Trouble::out_of_reach)?;
    if bootstrap.is_empty() {
        return Err(Trouble::new(2, "usage", "name nodes of the network: --bootstrap HOST:PORT"));
    }
    let runtime = live::runtime().map_err(Trouble::failed)?;
    let work = async {
        let (addr, also) = own_addrs(&bootstrap);
        let bound = Bound::at(addr, also).map_err(Trouble::failed)?;
        let (tuning, read_only) = (network.tuning.tuning(), !network.full);
        let node = Node::start_at(bound, Setup { bootstrap, tuning, read_only, ..Setup::default() });
        let node = node.map_err(Trouble::failed)?;
        node.joined().await.map_err(Trouble::out_of_reach)?;
        outcome(node.ask(command).await.map_err(Trouble::failed)?)
    };
    let outcome = runtime.block_on(async { timeout(network.timeout, work).await });
    runtime.shutdown_background();
    let late = || Trouble::new(TIMED_OUT, "timeout", format!("no answer within {:?}", network.timeout));
    outcome.unwrap_or_else(|_| Err(late()))
}

/// From where to ask these nodes: this machine alone if they are all on it, else all addresses of their families.
fn own_addrs(bootstrap: &[SocketAddr]) -> (SocketAddr, Option<SocketAddr>) {
    let local = bootstrap.iter().all(|addr| addr.ip().is_loopback());
    let own = |v4: bool| {
        let ip: IpAddr = match (v4, local) {
            (true, true) => Ipv4Addr::LOCALHOST.into(),
            (true, false) => Ipv4Addr::UNSPECIFIED.into(),
            (false, true) => Ipv6Addr::LOCALHOST.into(),
            (false, false) => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(ip, 0)
    };
    match (bootstrap.iter().any(SocketAddr::is_ipv4), bootstrap.iter().any(SocketAddr::is_ipv6)) {
        (true, true) => (own(true), Some(own(false))),
        (false, true) => (own(false), None),
        (_, false) => (own(true), None),
    }
}

fn put_command(put: &Put) -> Result<Command, Trouble> {
    let text = if put.text == "-" { read_text().map_err(Trouble::failed)? } else { put.text.clone().into_bytes() };
    let value = text_value(&text);
    if value.len() > Item::MAX_VALUE_BYTES {
        let most = Item::MAX_VALUE_BYTES;
        let message = format!("a value has at most {most} bytes, its length and a colon before it included");
        return Err(Trouble::new(2, "too_long", message));
    }
    let publication = match put.seed {
        None => Publication::Immutable(value),
        Some(seed) => {
            let (secret, salt) = (Secret::from_seed(seed), put.salt.0.clone());
            Publication::Mutable { secret, salt, seq: put.seq, cas: put.cas, value }
        }
    };
    Ok(Command::Put { publication, promised: false })
}

/// Standard input, and no more of it than shows that it is too long.
fn read_text() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    io::stdin().lock().take(Item::MAX_VALUE_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

fn find_command(key: Key, salt: Vec<u8>) -> Command {
    Command::Find(match key {
        Key::Immutable(key) => Sought::Immutable(key),
        Key::Mutable(key) => Sought::Mutable { key, salt },
    })
}

/// What an answer means to whoever asked.
fn outcome(answer: Answer) -> Result<Outcome, Trouble> {
    match answer {
        Answer::Put { copies, .. } if copies.is_empty() => Err(Trouble::out_of_reach("no node took the value")),
        Answer::Put { item, copies } => Ok(put_outcome(&item, copies.len())),
        Answer::Found(item) => Ok(found_outcome(&item)),
        Answer::NoValue { asked: 0 } => Err(Trouble::out_of_reach("nobody could be asked")),
        Answer::NoValue { asked } => Err(Trouble::new(
            NOT_THERE,
            "not_found",
            format!("there is no such value: the {asked} nodes that were asked do not have it"),
        )),
        Answer::Announced(to) if to.is_empty() => Err(Trouble::out_of_reach("no node took the announcement")),
        Answer::Announced(to) => {
            let object = json!({ "event": "done", "announced": to.len() });
            Ok(Outcome::done(object, format!("announced to {} nodes", to.len())))
        }
        Answer::Peers { asked: 0, .. } => Err(Trouble::out_of_reach("nobody could be asked")),
        Answer::Peers { peers, scrape, .. } => Ok(peers_outcome(&peers, scrape)),
        Answer::Samples { ids, num } => {
            let ids: Vec<String> = ids.iter().map(Id::to_string).collect();
            let line = ids.join(" ");
            let aside = Some(format!("{} of {num}", ids.len()));
            let object = json!({ "event": "done", "samples": ids, "num": num });
            Ok(Outcome { aside, ..Outcome::done(object, line) })
        }
        Answer::Refused(reason) => Err(Trouble::new(REFUSED, "refused", reason)),
        Answer::Unable(reason) => Err(Trouble::out_of_reach(reason)),
        other @ (Answer::Stored { .. }
        | Answer::Fetched { .. }
        | Answer::NotFound { .. }
        | Answer::Inspected { .. }
        | Answer::Listed { .. }
        | Answer::LookedUp(_)
        | Answer::Failed { .. }
        | Answer::Contacts(_)
        | Answer::Pinged { .. }
        | Answer::Traced(_)
        | Answer::Left) => unreachable!("no file was asked for: {other:?}"),
    }
}

fn put_outcome(item: &Item, copies: usize) -> Outcome {
    let target = item.target().to_string();
    let (key, object) = match item {
        Item::Immutable(_) => (target.clone(), json!({ "event": "done", "key": target, "copies": copies })),
        Item::Mutable(signed) => {
            let key = hex(&signed.key);
            let seq = signed.seq;
            (key.clone(), json!({ "event": "done", "key": key, "target": target, "seq": seq, "copies": copies }))
        }
    };
    Outcome { aside: Some(format!("{copies} copies")), ..Outcome::done(object, key) }
}

fn found_outcome(item: &Item) -> Outcome {
    let mut object = json!({ "event": "done" });
    match as_text(item.value()).and_then(|text| str::from_utf8(text).ok()) {
        Some(text) => object["value"] = text.into(),
        None => object["value_hex"] = hex(item.value()).into(),
    }
    if let Some(seq) = item.seq() {
        object["seq"] = seq.into();
    }
    Outcome::done(object, shown_value(item))
}

fn peers_outcome(peers: &[SocketAddr], scrape: Option<(f64, f64)>) -> Outcome {
    let peers: Vec<String> = peers.iter().map(SocketAddr::to_string).collect();
    let line = peers.join(" ");
    let exit = if peers.is_empty() { NOT_THERE } else { 0 };
    let mut object = json!({ "event": "done", "peers": peers });
    if let Some((seeds, leechers)) = scrape {
        object["seeds"] = seeds.into();
        object["leechers"] = leechers.into();
    }
    let counted = scrape.map(|(seeds, leechers)| format!("about {seeds:.0} have all of it, {leechers:.0} a part"));
    let aside = counted.or_else(|| peers.is_empty().then(|| "nobody there knows of anybody who has it".to_owned()));
    Outcome { exit, aside, ..Outcome::done(object, line) }
}

impl Outcome {
    fn done(object: Value, line: String) -> Outcome {
        Outcome { exit: 0, object, line, aside: None }
    }
}

impl Trouble {
    fn new(exit: u8, code: &'static str, message: impl ToString) -> Trouble {
        Trouble { exit, code, message: message.to_string() }
    }

    fn out_of_reach(why: impl ToString) -> Trouble {
        Trouble::new(OUT_OF_REACH, "out_of_reach", why)
    }

    fn failed(why: impl ToString) -> Trouble {
        Trouble::new(FAILED, "failed", why)
    }

    fn tell(&self, json: bool) -> ExitCode {
        if json {
            speech::say(&json!({ "event": "error", "code": self.code, "message": self.message }).to_string());
        } else {
            speech::aside(&self.message);
        }
        ExitCode::from(self.exit)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(answer: Answer) -> Value {
        outcome(answer).map(|outcome| outcome.object).unwrap_or_else(|trouble| panic!("{}", trouble.message))
    }

    fn exit(answer: Answer) -> u8 {
        outcome(answer).map_or_else(|trouble| trouble.exit, |outcome| outcome.exit)
    }

    #[test]
    fn answers_have_their_shapes() {
        let item = Item::Immutable(b"12:Hello World!".to_vec());
        let copies = vec![Id::numbered(1), Id::numbered(2)];
        let key = "e5f96f6f38320f0f33959cb4d3d656452117aadb";
        let put = object(Answer::Put { item: item.clone(), copies: copies.clone() });
        assert_eq!(put, json!({ "event": "done", "key": key, "copies": 2 }));
        assert_eq!(object(Answer::Found(item)), json!({ "event": "done", "value": "Hello World!" }));
        let number = Item::Immutable(b"i5e".to_vec());
        assert_eq!(object(Answer::Found(number)), json!({ "event": "done", "value_hex": "693565" }));

        let secret = Secret::from_seed([7; 32]);
        let signed = Item::Mutable(secret.sign(b"foo", 3, b"1:x"));
        let put = object(Answer::Put { item: signed.clone(), copies });
        let (key, target) = (hex(&secret.public()), signed.target().to_string());
        assert_eq!(put, json!({ "event": "done", "key": key, "target": target, "seq": 3, "copies": 2 }));
        assert_eq!(object(Answer::Found(signed)), json!({ "event": "done", "value": "x", "seq": 3 }));

        let peers = vec!["127.0.0.1:6881".parse().unwrap(), "[::1]:7".parse().unwrap()];
        let found = object(Answer::Peers { peers, scrape: Some((1.5, 0.0)), asked: 8 });
        let expected =
            json!({ "event": "done", "peers": ["127.0.0.1:6881", "[::1]:7"], "seeds": 1.5, "leechers": 0.0 });
        assert_eq!(found, expected);
        assert_eq!(object(Answer::Announced(vec![Id::ZERO])), json!({ "event": "done", "announced": 1 }));
        let samples = object(Answer::Samples { ids: vec![Id::ZERO], num: 9 });
        assert_eq!(samples, json!({ "event": "done", "samples": ["0".repeat(40)], "num": 9 }));
    }

    #[test]
    fn failures_have_their_exit_codes() {
        assert_eq!(exit(Answer::NoValue { asked: 8 }), 3);
        assert_eq!(exit(Answer::NoValue { asked: 0 }), 4);
        assert_eq!(exit(Answer::Peers { peers: vec![], scrape: None, asked: 8 }), 3);
        assert_eq!(exit(Answer::Peers { peers: vec![], scrape: None, asked: 0 }), 4);
        assert_eq!(exit(Answer::Announced(vec![])), 4);
        assert_eq!(exit(Answer::Refused("cas mismatch".into())), 7);
        assert_eq!(exit(Answer::Unable("nobody there".into())), 4);
    }

    #[test]
    fn one_asks_from_the_families_of_those_one_asks() {
        let own = |addrs: &[&str]| {
            let addrs: Vec<SocketAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
            let (addr, also) = own_addrs(&addrs);
            (addr.to_string(), also.map(|also| also.to_string()))
        };
        assert_eq!(own(&["127.0.0.1:7"]), ("127.0.0.1:0".into(), None));
        assert_eq!(own(&["[::1]:7"]), ("[::1]:0".into(), None));
        assert_eq!(own(&["[::1]:7", "127.0.0.1:7"]), ("127.0.0.1:0".into(), Some("[::1]:0".into())));
        assert_eq!(own(&["10.0.0.1:7", "127.0.0.1:7"]), ("0.0.0.0:0".into(), None));
        assert_eq!(own(&[]), ("127.0.0.1:0".into(), None));
    }
}
