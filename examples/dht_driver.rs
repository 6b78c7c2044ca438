//! Nodes of ours, driven as `tests/interop` drives the other clients: commands as lines of JSON in, answers out. For
//! `bench/dht`, where all of them do the same work.

use p2p::ground::Id;
use p2p::ground::item::{as_text, text_value};
use p2p::live::{Node, Setup, runtime};
use p2p::peer::{Answer, Publication, Sought};
use serde_json::{Value, json};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::sync::mpsc;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let option = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)).cloned();
    let count: usize = option("--count").map_or(1, |count| count.parse().expect("--count is a number"));
    let address = option("--address").unwrap_or_else(|| "127.0.0.1".to_owned());
    let bootstrap: Vec<SocketAddr> = option("--bootstrap")
        .unwrap_or_default()
        .split(',')
        .filter(|known| !known.is_empty())
        .map(|known| known.parse().expect("--bootstrap is HOST:PORT,…"))
        .collect();
    let addr = SocketAddr::new(address.parse().expect("--address is an address"), 0);
    runtime().expect("a runtime").block_on(serve(addr, count, bootstrap));
}

async fn serve(addr: SocketAddr, count: usize, mut bootstrap: Vec<SocketAddr>) {
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..count {
        let setup = Setup { bootstrap: bootstrap.clone(), ..Setup::default() };
        let node = Node::start(addr, setup).expect("the system gives a port");
        node.joined().await.expect("somebody answers");
        if bootstrap.is_empty() {
            bootstrap = node.addrs().to_vec();
        }
        nodes.push(node);
    }
    let ports: Vec<u16> = nodes.iter().map(|node| node.addrs()[0].port()).collect();
    say(&json!({ "event": "ready", "ports": ports }));
    let (read, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|line| read.send(line)));
    while let Some(line) = lines.recv().await {
        let command: Value = serde_json::from_str(&line).expect("a line of JSON");
        if command["do"] == "quit" {
            return;
        }
        let node = nodes[command["node"].as_u64().unwrap_or(0) as usize].clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let mut answer = obey(&node, &command).await;
            answer["ms"] = json!((begun.elapsed().as_secs_f64() * 1e6).round() / 1e3);
            answer["id"] = command["id"].clone();
            say(&answer);
        });
    }
}

async fn obey(node: &Node, command: &Value) -> Value {
    let text = |name: &str| command[name].as_str().unwrap_or_default();
    let answer = match text("do") {
        "put" => node.put(Publication::Immutable(text_value(text("value").as_bytes()))).await,
        "get" => node.find(Sought::Immutable(id(text("target")))).await,
        other => return json!({ "ok": false, "error": format!("no such command: {other}") }),
    };
    match answer {
        Ok(Answer::Put { item, copies }) => {
            json!({ "ok": true, "target": item.target().to_string(), "copies": copies.len() })
        }
        Ok(Answer::Found(item)) => {
            let value = as_text(item.value()).map(String::from_utf8_lossy);
            json!({ "ok": true, "value": value })
        }
        Ok(Answer::NoValue { .. }) => json!({ "ok": true, "value": null }),
        other => json!({ "ok": false, "error": format!("{other:?}") }),
    }
}

fn id(hex: &str) -> Id {
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal digits");
    Id::new(std::array::from_fn(byte))
}

fn say(answer: &Value) {
    let mut out = io::stdout().lock();
    writeln!(out, "{answer}").and_then(|()| out.flush()).expect("somebody reads");
}
