//! Plain Mainline operations from the command line, against nodes in another process.

#![cfg(feature = "node")]

mod common;

use common::program;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Child, ChildStdin, Output, Stdio};
use std::time::{Duration, Instant};

const COUNT: usize = 8;
/// How many of these take something before a put is done: three of four are enough, where the others are late. On a busy
/// machine some are.
const ENOUGH: RangeInclusive<u64> = 6..=COUNT as u64;
const SEED: &str = "0707070707070707070707070707070707070707070707070707070707070707";
const INFO_HASH: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The SHA-1 of `12:Hello World!` (BEP 44).
const HELLO: &str = "e5f96f6f38320f0f33959cb4d3d656452117aadb";

/// Nodes in a process of their own, until they are dropped.
struct Network {
    child: Child,
    stdin: Option<ChildStdin>,
    addrs: Vec<String>,
    ids: Vec<String>,
}

impl Network {
    fn start(count: usize, words: &[&str]) -> Network {
        let mut command = program();
        command.args(["dht", "serve", "--json", "--exit-on-eof", "--count", &count.to_string()]).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told: Vec<Value> = lines.take(count).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        let all = |field: &str| told.iter().map(|node| node[field].as_str().unwrap().to_owned()).collect();
        assert!(told.iter().all(|node| node["event"] == "serving"), "{told:?}");
        let stdin = child.stdin.take();
        Network { child, stdin, addrs: all("addr"), ids: all("id") }
    }

    /// Does one thing, by way of the node that the number names.
    fn ask(&self, via: usize, words: &[&str]) -> (i32, Value) {
        let mut words = words.to_vec();
        words.extend(["--json", "--bootstrap", &self.addrs[via]]);
        let output = run(&words, b"");
        (output.status.code().unwrap(), object(&output))
    }

    fn done(&self, via: usize, words: &[&str]) -> Value {
        let (code, object) = self.ask(via, words);
        assert_eq!((code, &object["event"]), (0, &json!("done")), "{words:?}: {object}");
        object
    }

    fn fails(&self, words: &[&str]) -> (i32, Value) {
        let (code, object) = self.ask(0, words);
        assert_eq!(object["event"], "error", "{words:?}: {object}");
        assert!(object["message"].is_string(), "{object}");
        (code, object["code"].clone())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(words: &[&str], input: &[u8]) -> Output {
    let mut command = program();
    command.arg("dht").args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who does not read it need not.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// So many have it: the number is taken out of the answer, of which the rest can then be compared.
fn enough_have_it(answer: &mut Value, field: &str) {
    let count = answer.as_object_mut().unwrap().remove(field);
    assert!(count.as_ref().and_then(Value::as_u64).is_some_and(|count| ENOUGH.contains(&count)), "{count:?} {answer}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn values_are_kept_and_found() {
    let network = Network::start(COUNT, &[]);
    let mut put = network.done(0, &["put", "Hello World!"]);
    enough_have_it(&mut put, "copies");
    assert_eq!(put, json!({ "event": "done", "key": HELLO }));
    assert_eq!(network.done(5, &["get", HELLO]), json!({ "event": "done", "value": "Hello World!" }));
    assert_eq!(network.fails(&["get", &HELLO.replace('e', "f")]), (3, json!("not_found")));

    let words = ["put", "-", "--bootstrap", &network.addrs[1]];
    let put = run(&words, b"from a pipe");
    let key = text(&put.stdout).trim().to_owned();
    assert_eq!((put.status.code(), key.len()), (Some(0), 40));
    let got = run(&["get", &key, "--bootstrap", &network.addrs[2]], b"");
    assert_eq!((got.status.code(), text(&got.stdout)), (Some(0), "from a pipe\n".to_owned()));
    let long = run(&words, &[b'x'; 997]);
    assert_eq!(long.status.code(), Some(2));
    assert!(text(&long.stderr).contains("1000 bytes"));
}

#[test]
fn values_with_an_owner_have_versions() {
    let network = Network::start(COUNT, &[]);
    fn put<'w>(more: &[&'w str], value: &'w str) -> Vec<&'w str> {
        [&["put", "--seed", SEED, "--salt", "foo"], more, &[value]].concat()
    }
    let mut first = network.done(0, &put(&["--seq", "3"], "one"));
    enough_have_it(&mut first, "copies");
    let key = first["key"].as_str().unwrap().to_owned();
    assert_eq!((key.len(), &first["seq"]), (64, &json!(3)));
    assert_eq!(first["target"].as_str().unwrap().len(), 40);
    let get = ["get", "--salt", "foo", &key];
    assert_eq!(network.done(4, &get), json!({ "event": "done", "value": "one", "seq": 3 }));

    assert_eq!(network.fails(&put(&["--seq", "2"], "old")), (7, json!("refused")));
    assert_eq!(network.fails(&put(&["--cas", "2"], "other")), (7, json!("refused")));
    assert_eq!(network.done(0, &put(&["--cas", "3"], "two"))["seq"], 4);
    assert_eq!(network.done(0, &put(&[], "three"))["seq"], 5);
    assert_eq!(network.done(6, &get), json!({ "event": "done", "value": "three", "seq": 5 }));
    assert_eq!(network.fails(&["get", &key]), (3, json!("not_found")));
}

#[test]
fn torrents_are_announced_and_found() {
    let network = Network::start(COUNT, &[]);
    let mut announced = network.done(0, &["announce", INFO_HASH, "6881"]);
    enough_have_it(&mut announced, "announced");
    assert_eq!(announced, json!({ "event": "done" }));
    network.done(1, &["announce", INFO_HASH, "0", "--seeder"]);
    let found = network.done(7, &["get-peers", INFO_HASH]);
    let peers: Vec<&str> = found["peers"].as_array().unwrap().iter().map(|peer| peer.as_str().unwrap()).collect();
    assert_eq!(peers.len(), 2, "{found}");
    assert!(peers.contains(&"127.0.0.1:6881") && peers.iter().all(|peer| peer.starts_with("127.0.0.1:")));
    let scraped = network.done(3, &["get-peers", INFO_HASH, "--scrape"]);
    assert!(scraped["seeds"].as_f64().unwrap() > 0.5 && scraped["leechers"].as_f64().unwrap() > 0.5, "{scraped}");

    let (code, none) = network.ask(0, &["get-peers", &INFO_HASH.replace('a', "b")]);
    assert_eq!((code, none), (3, json!({ "event": "done", "peers": [] })));
    let sampled = network.done(0, &["sample", INFO_HASH]);
    assert_eq!(sampled["samples"], json!([INFO_HASH]));
    assert!(sampled["num"].as_u64().unwrap() > 0);
}

#[test]
fn ipv6_is_a_network_too() {
    let network = Network::start(COUNT, &["--listen", "[::1]:0"]);
    assert!(network.addrs.iter().all(|addr| addr.starts_with("[::1]:")), "{:?}", network.addrs);
    network.done(0, &["put", "Hello World!"]);
    assert_eq!(network.done(5, &["get", HELLO])["value"], "Hello World!");
    network.done(0, &["announce", INFO_HASH, "6881"]);
    assert_eq!(network.done(2, &["get-peers", INFO_HASH])["peers"], json!(["[::1]:6881"]));
}

#[test]
fn a_network_out_of_reach_is_told() {
    // Nobody listens at the port of a socket that hears one other alone; given back, it might be taken by another test.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    taken.connect("127.0.0.1:9").unwrap();
    let closed = taken.local_addr().unwrap().to_string();
    let output = run(&["get", HELLO, "--json", "--bootstrap", &closed], b"");
    assert_eq!((output.status.code(), &object(&output)["code"]), (Some(4), &json!("out_of_reach")));
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let output = run(&["get", HELLO, "--json", "--timeout", "0.5", "--bootstrap", &addr], b"");
    assert_eq!((output.status.code(), &object(&output)["code"]), (Some(124), &json!("timeout")));
    assert_eq!(run(&["get", HELLO], b"").status.code(), Some(2));
}

#[test]
fn a_full_node_can_ask_too() {
    let network = Network::start(COUNT, &[]);
    network.done(0, &["put", "Hello World!", "--full", "-k", "4", "--alpha", "5"]);
    assert_eq!(network.done(1, &["get", HELLO, "--full"])["value"], "Hello World!");
}

#[test]
fn nodes_with_a_folder_keep_their_ids() {
    let dir = tempfile::tempdir().unwrap();
    let ids = |folder: &Path| Network::start(3, &["--dir", folder.to_str().unwrap()]).ids.clone();
    let mut first = ids(dir.path());
    let mut again = ids(dir.path());
    first.sort();
    again.sort();
    assert_eq!(first, again);
}

#[test]
fn what_is_put_in_both_families_is_found_in_each() {
    let many = Network::start(60, &[]);
    let few = Network::start(1, &["--listen", "[::1]:0"]);
    let both = format!("{},{}", many.addrs[3], few.addrs[0]);
    for number in 0..4 {
        let put = run(&["put", &format!("value {number}"), "--json", "--bootstrap", &both], b"");
        let key = object(&put)["key"].as_str().unwrap().to_owned();
        for network in [&many, &few] {
            assert_eq!(network.done(0, &["get", &key])["value"], json!(format!("value {number}")));
        }
    }
}
