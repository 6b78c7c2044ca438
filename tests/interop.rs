//! Real BitTorrent clients as neighbours: libtorrent and npm's bittorrent-dht, over IPv4 and, where they can, IPv6.
//!
//! Each of three networks (ours alone, theirs alone, both) is written to by one party and read by another, with every
//! operation of the Mainline DHT. Who wrote is gone before the reader comes, so that what is found is in the network.
//! What was seen becomes a table: target/interop/table.md. tests/interop/install.sh installs the clients, which
//! ./test.sh does; set P2P_SKIP_INTEROP=1 to do without.

mod common;

use common::{SOON, eventually, program};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn libtorrent_and_we_serve_each_other() {
    neighbours(Client::Libtorrent, Family::V4);
}

#[test]
fn libtorrent_and_we_serve_each_other_over_ipv6() {
    neighbours(Client::Libtorrent, Family::V6);
}

#[test]
fn bittorrent_dht_and_we_serve_each_other() {
    neighbours(Client::BittorrentDht, Family::V4);
}

/// Nodes of a kind in a network.
const COUNT: usize = 8;
/// A lookup of a client that meets dead nodes waits 2 s (npm) or 15 s (libtorrent) for each in turn.
const LOOKUP: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    Libtorrent,
    /// Knows IPv4 only, and no BEP 51.
    BittorrentDht,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn host(self) -> &'static str {
        match self {
            Family::V4 => "127.0.0.1",
            Family::V6 => "::1",
        }
    }

    fn addr(self, port: u64) -> String {
        match self {
            Family::V4 => format!("127.0.0.1:{port}"),
            Family::V6 => format!("[::1]:{port}"),
        }
    }
}

/// The whole story of one client and one family of addresses.
fn neighbours(client: Client, family: Family) {
    if std::env::var_os("P2P_SKIP_INTEROP").is_some() {
        eprintln!("skipped: P2P_SKIP_INTEROP is set");
        return;
    }
    let installed = installation().join("installed");
    assert!(installed.exists(), "the real clients are not installed: run ./test.sh (or tests/interop/install.sh)");

    let story = Story { client, family };
    // At once: most of the time each waits for dead nodes.
    thread::scope(|scope| {
        for network in [Story::through_ours, Story::through_theirs, Story::through_both] {
            scope.spawn(move || network(story));
        }
    });
    let failed: Vec<Row> = table(client, family).into_iter().filter(|row| row.error.is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[derive(Clone, Copy)]
struct Story {
    client: Client,
    family: Family,
}

impl Story {
    /// The client knows nobody but us, and finds what an earlier one left with us.
    fn through_ours(self) {
        let ours = Ours::serve(self.family, &[]);
        let theirs = || -> Box<dyn Party> { Box::new(Theirs::start(self.client, 1, self.family, &ours.addrs)) };
        let we = || -> Box<dyn Party> { Box::new(ours.commands()) };
        self.run("ours", &theirs, &theirs);
        self.run("ours", &we, &we);
    }

    /// We know nobody but the client's nodes.
    fn through_theirs(self) {
        let theirs = Theirs::start(self.client, COUNT, self.family, &[]);
        let we = || -> Box<dyn Party> { Box::new(theirs.commands()) };
        self.run("theirs", &we, &we);
    }

    /// From one kind to the other, in a network of both.
    fn through_both(self) {
        let ours = Ours::serve(self.family, &[]);
        let crowd = Theirs::start(self.client, COUNT, self.family, &ours.addrs);
        let all = [&crowd.addrs[..], &ours.addrs[..]].concat();
        let theirs = || -> Box<dyn Party> { Box::new(Theirs::start(self.client, 1, self.family, &all)) };
        let we = || -> Box<dyn Party> { Box::new(ours.commands()) };
        self.run("both", &we, &theirs);
        self.run("both", &theirs, &we);
    }

    /// All operations, all at once: first everything is written, then everything is read. One after the other would be
    /// slow: libtorrent waits 15 s in each lookup that meets a dead node, and who wrote is dead when it is read.
    fn run(self, network: &'static str, writer: &dyn Fn() -> Box<dyn Party>, reader: &dyn Fn() -> Box<dyn Party>) {
        let Story { client, family } = self;
        let operations = OPERATIONS.iter().filter(|operation| operation.applies_to(client, network));
        let cases: Vec<Case> = operations.map(|operation| Case::new(operation, family)).collect();

        let writer = writer();
        let from = writer.name();
        let written = at_once(&cases, |case| (case.operation.write)(&*writer, case));
        drop(writer);

        let reader = reader();
        let to = reader.name();
        let read = at_once(&cases, |case| {
            let begun = Instant::now();
            loop {
                match (case.operation.read)(&*reader, case) {
                    // What was announced may still be under way.
                    Err(_) if begun.elapsed() < SOON => thread::sleep(Duration::from_millis(100)),
                    seen => return seen,
                }
            }
        });
        for ((case, written), read) in cases.iter().zip(written).zip(read) {
            let error = written.and(read).err();
            record(Row { client, family, network, from, to, operation: case.operation.name, error });
        }
    }
}

/// What is seen of each case, in their order.
fn at_once(cases: &[Case], look: impl Fn(&Case) -> Seen + Sync) -> Vec<Seen> {
    thread::scope(|scope| {
        let looks: Vec<_> = cases.iter().map(|case| scope.spawn(|| look(case))).collect();
        looks.into_iter().map(|look| look.join().expect("what goes wrong is an Err")).collect()
    })
}

/// Nothing, or what was wrong.
type Seen = Result<(), String>;

/// One thing that the network is for, as seen by who writes and by who reads.
struct Operation {
    name: &'static str,
    write: fn(&dyn Party, &Case) -> Seen,
    read: fn(&dyn Party, &Case) -> Seen,
    /// Every client and network understands it.
    is_everywhere: bool,
}

impl Operation {
    fn applies_to(&self, client: Client, network: &str) -> bool {
        self.is_everywhere || client == Client::Libtorrent || network == "ours"
    }
}

/// Names and values that no other case has.
struct Case {
    operation: &'static Operation,
    info_hash: String,
    port: u64,
    text: String,
    seed: String,
    family: Family,
    /// Where a mutable item is, once it is written.
    key: OnceLock<String>,
}

impl Case {
    fn new(operation: &'static Operation, family: Family) -> Case {
        let name = format!("{} {}", operation.name, rand_word());
        let port = 1024 + u64::from(Sha1::digest(&name)[0]) * 200;
        let (info_hash, seed) = (hex(&Sha1::digest(&name)), hex(&Sha1::digest(&name)) + &"0".repeat(24));
        Case { operation, info_hash, port, text: format!("value {name}"), seed, family, key: OnceLock::new() }
    }

    /// Writes a mutable item that has this sequence number then.
    fn write_mutable(&self, party: &dyn Party, salt: &str, text: &str, seq: u64) -> Seen {
        let (key, got_seq) = party.put_mutable(&self.seed, salt, text, seq)?;
        same(&key, self.key.get_or_init(|| key.clone()))?;
        same(got_seq, seq)
    }

    fn read_mutable(&self, party: &dyn Party, salt: &str, text: &str, seq: u64) -> Seen {
        let key = self.key.get().ok_or("it was not written")?;
        same(party.get_mutable(key, salt)?, Some((text.to_owned(), seq)))
    }
}

/// All of them. The clients and families share it.
const OPERATIONS: &[Operation] = &[
    Operation {
        name: "announce, get_peers",
        write: |party, case| party.announce(&case.info_hash, case.port),
        read: |party, case| {
            let peers = party.get_peers(&case.info_hash)?;
            peers.contains(&case.family.addr(case.port)).then_some(()).ok_or(format!("{peers:?}"))
        },
        is_everywhere: true,
    },
    Operation {
        name: "put, get",
        write: |party, case| same(party.put(&case.text)?, target_of(&case.text)),
        read: |party, case| same(party.get(&target_of(&case.text))?, Some(case.text.clone())),
        is_everywhere: true,
    },
    Operation {
        name: "the longest value",
        write: |party, case| same(party.put(&longest(case))?, target_of(&longest(case))),
        read: |party, case| same(party.get(&target_of(&longest(case)))?, Some(longest(case))),
        is_everywhere: true,
    },
    Operation {
        name: "nothing there",
        write: |_, _| Ok(()),
        read: |party, case| same(party.get(&case.info_hash)?, None),
        is_everywhere: true,
    },
    Operation {
        name: "mutable",
        write: |party, case| case.write_mutable(party, "", &case.text, 1),
        read: |party, case| case.read_mutable(party, "", &case.text, 1),
        is_everywhere: true,
    },
    Operation {
        name: "mutable, changed",
        write: |party, case| {
            case.write_mutable(party, "", &case.text, 1)?;
            case.write_mutable(party, "", "changed", 2)
        },
        read: |party, case| case.read_mutable(party, "", "changed", 2),
        is_everywhere: true,
    },
    Operation {
        name: "mutable, salt",
        write: |party, case| case.write_mutable(party, "some salt", &case.text, 1),
        read: |party, case| case.read_mutable(party, "some salt", &case.text, 1),
        is_everywhere: true,
    },
    Operation {
        name: "mutable, salt, changed",
        write: |party, case| {
            case.write_mutable(party, "some salt", &case.text, 1)?;
            case.write_mutable(party, "some salt", "changed", 2)
        },
        read: |party, case| case.read_mutable(party, "some salt", "changed", 2),
        is_everywhere: true,
    },
    Operation {
        name: "announce, sample",
        write: |party, case| party.announce(&case.info_hash, case.port),
        read: |party, case| match party.sample(&case.info_hash)? {
            // Not everybody can ask.
            None => Ok(()),
            Some(samples) => samples.contains(&case.info_hash).then_some(()).ok_or(format!("{samples:?}")),
        },
        is_everywhere: false,
    },
];

/// With its length before it, 999 bytes: bittorrent-dht's `put` refuses 1000.
fn longest(case: &Case) -> String {
    format!("{:.<995}", case.text)
}

/// Somebody who uses the DHT.
trait Party: Sync {
    fn name(&self) -> &'static str;
    /// Returns when the announcement can be found.
    fn announce(&self, info_hash: &str, port: u64) -> Seen;
    fn get_peers(&self, info_hash: &str) -> Result<Vec<String>, String>;
    /// The target.
    fn put(&self, text: &str) -> Result<String, String>;
    fn get(&self, target: &str) -> Result<Option<String>, String>;
    /// The public key and the sequence number, which is to be `seq`.
    fn put_mutable(&self, seed: &str, salt: &str, text: &str, seq: u64) -> Result<(String, u64), String>;
    fn get_mutable(&self, key: &str, salt: &str) -> Result<Option<(String, u64)>, String>;
    /// Info-hashes that are known near this one; nothing from who cannot ask.
    fn sample(&self, target: &str) -> Result<Option<Vec<String>>, String>;
}

// Ours.

/// Nodes of ours in one process.
struct Ours {
    addrs: Vec<String>,
    _process: Process,
}

impl Ours {
    fn serve(family: Family, bootstrap: &[String]) -> Ours {
        let mut command = program();
        command.args(["dht", "serve", "--json", "--count", &COUNT.to_string(), "--listen", &family.addr(0)]);
        if !bootstrap.is_empty() {
            command.args(["--bootstrap", &bootstrap.join(",")]);
        }
        let process = Process::start(command);
        let serving = || {
            let line = process.line(SOON);
            assert_eq!(line["event"], "serving", "{line}");
            words(&line["addr"])
        };
        Ours { addrs: (0..COUNT).map(|_| serving()).collect(), _process: process }
    }

    fn commands(&self) -> Commands {
        Commands { bootstrap: self.addrs.clone() }
    }
}

/// `p2p dht …`: each command is a node that comes and goes.
struct Commands {
    bootstrap: Vec<String>,
}

impl Commands {
    /// The line of JSON, or nothing if the network has nothing.
    fn run(&self, arguments: &[&str]) -> Result<Option<Value>, String> {
        let mut command = program();
        command.arg("dht").args(arguments).args(["--json", "--bootstrap", &self.bootstrap.join(",")]);
        let mut process = Process::start(command);
        // What it says before it is done is of no interest here.
        let line = process.lines().find(|line| line["event"] == "done");
        let status = eventually(LOOKUP, &format!("{arguments:?} ends"), || process.child.try_wait().unwrap());
        match (status.code(), line) {
            (Some(0), Some(line)) => Ok(Some(line)),
            (Some(3), _) => Ok(None),
            (_, line) => Err(format!("{arguments:?}: {status} {line:?}")),
        }
    }

    fn must(&self, arguments: &[&str]) -> Result<Value, String> {
        self.run(arguments)?.ok_or_else(|| format!("{arguments:?}: nothing found"))
    }
}

impl Party for Commands {
    fn name(&self) -> &'static str {
        "p2p"
    }

    fn announce(&self, info_hash: &str, port: u64) -> Seen {
        let line = self.must(&["announce", info_hash, &port.to_string()])?;
        if line["announced"].as_u64() >= Some(1) { Ok(()) } else { Err(line.to_string()) }
    }

    fn get_peers(&self, info_hash: &str) -> Result<Vec<String>, String> {
        let line = self.run(&["get-peers", info_hash])?;
        Ok(line.map_or(Vec::new(), |line| list(&line["peers"])))
    }

    fn put(&self, text: &str) -> Result<String, String> {
        Ok(words(&self.must(&["put", text])?["key"]))
    }

    fn get(&self, target: &str) -> Result<Option<String>, String> {
        Ok(self.run(&["get", target])?.map(|line| words(&line["value"])))
    }

    fn put_mutable(&self, seed: &str, salt: &str, text: &str, seq: u64) -> Result<(String, u64), String> {
        let (seq, cas) = (seq.to_string(), (seq - 1).to_string());
        let mut arguments = vec!["put", "--seed", seed, "--seq", &seq, text];
        if !salt.is_empty() {
            arguments.extend(["--salt", salt]);
        }
        if seq != "1" {
            arguments.extend(["--cas", &cas]);
        }
        let line = self.must(&arguments)?;
        Ok((words(&line["key"]), line["seq"].as_u64().ok_or(line.to_string())?))
    }

    fn get_mutable(&self, key: &str, salt: &str) -> Result<Option<(String, u64)>, String> {
        let mut arguments = vec!["get", key];
        if !salt.is_empty() {
            arguments.extend(["--salt", salt]);
        }
        let line = self.run(&arguments)?;
        line.map(|line| Ok((words(&line["value"]), line["seq"].as_u64().ok_or(line.to_string())?))).transpose()
    }

    fn sample(&self, target: &str) -> Result<Option<Vec<String>>, String> {
        Ok(self.run(&["sample", target])?.map(|line| list(&line["samples"])))
    }
}

// Theirs.

/// Nodes of a real client in one process, obeying lines of JSON.
struct Theirs {
    client: Client,
    addrs: Vec<String>,
    /// Others in its network; it was told of the first of them.
    others: Vec<String>,
    process: Mutex<Process>,
    answers: Mutex<HashMap<u64, Value>>,
}

impl Theirs {
    fn start(client: Client, count: usize, family: Family, others: &[String]) -> Theirs {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
        let mut command = match client {
            Client::Libtorrent => {
                let mut command = Command::new(installation().join("venv/bin/python"));
                command.args(["-W", "ignore"]).arg(sources.join("libtorrent_node.py"));
                command
            }
            Client::BittorrentDht => {
                let mut command = Command::new("node");
                command.arg(sources.join("bittorrent_dht_node.mjs")).env("INTEROP_MODULES", installation());
                command
            }
        };
        command.args(["--count", &count.to_string(), "--address", family.host()]);
        command.args(["--bootstrap", others.first().map_or("", String::as_str)]);
        let process = Process::start(command);
        let ready = process.line(SOON * 2);
        assert_eq!(ready["event"], "ready", "{ready}");
        let ports = ready["ports"].as_array().expect("a list of ports");
        let addrs = ports.iter().map(|port| family.addr(port.as_u64().expect("a port"))).collect();
        let theirs =
            Theirs { client, addrs, others: others.to_vec(), process: Mutex::new(process), answers: Mutex::default() };
        if count > 1 || !others.is_empty() {
            eventually(SOON, "a table with somebody in it", || {
                (theirs.ask(json!({"do": "nodes"})).ok()?["nodes"].as_u64() > Some(0)).then_some(())
            });
        }
        theirs
    }

    fn commands(&self) -> Commands {
        Commands { bootstrap: self.addrs.clone() }
    }

    /// What its first node says to a command.
    fn ask(&self, mut command: Value) -> Result<Value, String> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        command["id"] = json!(id);
        command["timeout_s"] = json!(LOOKUP.as_secs());
        self.process.lock().unwrap().say(&command);
        // Whoever waits collects the answers of all.
        let answer = eventually(LOOKUP + SOON, &format!("an answer to {command}"), || {
            let process = self.process.lock().unwrap();
            let mut answers = self.answers.lock().unwrap();
            answers.extend(process.pending().filter_map(|answer| Some((answer["id"].as_u64()?, answer))));
            answers.remove(&id)
        });
        if answer["ok"] == true { Ok(answer) } else { Err(format!("{command}: {answer}")) }
    }
}

impl Party for Theirs {
    fn name(&self) -> &'static str {
        match self.client {
            Client::Libtorrent => "libtorrent",
            Client::BittorrentDht => "bittorrent-dht",
        }
    }

    fn announce(&self, info_hash: &str, port: u64) -> Seen {
        self.ask(json!({"do": "announce", "info_hash": info_hash, "port": port}))?;
        // libtorrent does not tell when its announcements have arrived.
        let begun = Instant::now();
        while self.get_peers(info_hash)?.is_empty() {
            if begun.elapsed() > SOON {
                return Err("announced, and not found by itself".to_owned());
            }
        }
        Ok(())
    }

    fn get_peers(&self, info_hash: &str) -> Result<Vec<String>, String> {
        Ok(list(&self.ask(json!({"do": "get_peers", "info_hash": info_hash}))?["peers"]))
    }

    fn put(&self, text: &str) -> Result<String, String> {
        let answer = self.ask(json!({"do": "put", "value": text}))?;
        if answer["copies"].as_u64() >= Some(1) { Ok(words(&answer["target"])) } else { Err(answer.to_string()) }
    }

    fn get(&self, target: &str) -> Result<Option<String>, String> {
        Ok(self.ask(json!({"do": "get", "target": target}))?["value"].as_str().map(str::to_owned))
    }

    fn put_mutable(&self, seed: &str, salt: &str, text: &str, _seq: u64) -> Result<(String, u64), String> {
        let answer = self.ask(json!({"do": "put_mutable", "seed": seed, "salt": salt, "value": text}))?;
        let is_kept = answer["copies"].as_u64() >= Some(1);
        let seq = answer["seq"].as_u64().filter(|_| is_kept).ok_or(answer.to_string())?;
        Ok((words(&answer["key"]), seq))
    }

    fn get_mutable(&self, key: &str, salt: &str) -> Result<Option<(String, u64)>, String> {
        let answer = self.ask(json!({"do": "get_mutable", "key": key, "salt": salt}))?;
        let seq = answer["seq"].as_u64().unwrap_or_default();
        Ok(answer["value"].as_str().map(|value| (value.to_owned(), seq)))
    }

    fn sample(&self, target: &str) -> Result<Option<Vec<String>>, String> {
        // Over ::1 libtorrent 2.1.1 sends no question and tells no end of it.
        if self.client == Client::BittorrentDht || self.addrs[0].starts_with('[') {
            return Ok(None);
        }
        // It asks one node at a time, and leaves it to its user to walk.
        let ask = |addr: &String| self.ask(json!({"do": "sample", "addr": addr, "target": target}));
        let answers: Vec<Value> = self.others.iter().map(ask).collect::<Result<_, _>>()?;
        Ok(Some(answers.iter().flat_map(|answer| list(&answer["samples"])).collect()))
    }
}

// Processes.

/// A process that says lines of JSON. It ends when it is dropped.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(mut command: Command) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Process { child, lines }
    }

    fn say(&self, line: &Value) {
        writeln!(self.child.stdin.as_ref().expect("it is piped"), "{line}").unwrap();
    }

    fn line(&self, limit: Duration) -> Value {
        let line = self.lines.recv_timeout(limit).unwrap_or_else(|error| panic!("no line: {error}"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// What it has said.
    fn pending(&self) -> impl Iterator<Item = Value> {
        self.lines.try_iter().filter_map(|line| serde_json::from_str(&line).ok())
    }

    /// What it says until its output ends; a silent one is taken for one that has ended.
    fn lines(&self) -> impl Iterator<Item = Value> {
        let lines = std::iter::from_fn(|| self.lines.recv_timeout(LOOKUP).ok());
        lines.filter_map(|line| serde_json::from_str(&line).ok())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// What was seen.

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    client: Client,
    family: Family,
    network: &'static str,
    from: &'static str,
    to: &'static str,
    operation: &'static str,
    error: Option<String>,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Adds a row, and writes the table anew: the tests run at the same time.
fn record(row: Row) {
    let mut rows = ROWS.lock().unwrap();
    rows.push(row);
    rows.sort_by_key(|row| (row.client, row.family, row.network, row.from));
    let mut text =
        String::from("| client | family | nodes | from | to | operation | ok |\n|---|---|---|---|---|---|---|\n");
    for Row { client, family, network, from, to, operation, error } in rows.iter() {
        let family = if *family == Family::V4 { "IPv4" } else { "IPv6" };
        let ok = if error.is_none() { "yes" } else { "**no**" };
        text += &format!("| {client:?} | {family} | {network} | {from} | {to} | {operation} | {ok} |\n");
    }
    fs::write(installation().join("table.md"), text).unwrap();
}

fn table(client: Client, family: Family) -> Vec<Row> {
    let rows = ROWS.lock().unwrap();
    rows.iter().filter(|row| (row.client, row.family) == (client, family)).cloned().collect()
}

/// Where install.sh puts the clients.
fn installation() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop")
}

// Small things.

fn same<T: PartialEq + std::fmt::Debug>(got: T, wanted: T) -> Seen {
    if got == wanted { Ok(()) } else { Err(format!("{got:?} instead of {wanted:?}")) }
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().map_or(Vec::new(), |list| list.iter().map(words).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where an immutable text is kept.
fn target_of(text: &str) -> String {
    hex(&Sha1::digest(format!("{}:{text}", text.len())))
}

/// Something that is new in each run.
fn rand_word() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!("{:016x}", RandomState::new().hash_one(0))
}
