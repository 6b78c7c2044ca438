//! How many questions one peer answers in a second, without the sockets: `cargo bench --bench peer`.

use p2p::ground::krpc::{Answer, Body, Message, Program, Question, Want};
use p2p::ground::{Chance, Id, Moment, Naming};
use p2p::overlay::{Kind, Tuning};
use p2p::peer::{Config, Input, Output, Peer, Start};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 300_000;

fn main() {
    let mut chance = Chance::seeded(1);
    let mut id = || Id::hashed(&chance.bits().to_be_bytes());
    let config = Config {
        id: id(),
        addr: SocketAddr::from(([10, 0, 0, 1], 6881)),
        reached_at: Vec::new(),
        naming: Naming::Hashed,
        overlay: Kind::Kademlia(Tuning::default()),
        start: Start::Ring(Vec::new()),
        ping_interval: Duration::from_secs(15),
        replicas: 3,
        seed: 7,
        held: Vec::new(),
        keeps_files: false,
        read_only: false,
        both_families: false,
        memory: Vec::new(),
    };
    let mut peer = Peer::new(Moment::START, config);
    // Strangers ask, are asked back, answer: the table fills.
    for number in 0..5000u32 {
        let (from, addr) = (id(), SocketAddr::from(((0x0a01_0000 + number).to_be_bytes(), 6881)));
        let ping = Question::FindNode { target: from, errand: None };
        give(&mut peer, addr, from, ping);
        while let Some(output) = peer.poll() {
            let Output::Send { to, bytes } = output else { continue };
            let Ok(Message { transaction, body: Body::Question { .. }, .. }) = Message::decode(&bytes) else {
                continue;
            };
            let body = Body::Answer { from, seen_at: None, answer: Answer::default() };
            let answer = Message { transaction, leaving: false, reached_at: None, program: Program::Plain, body };
            if to == addr {
                let bytes = answer.encode(to);
                peer.handle(Moment::START, Input::Datagram { from: addr, bytes });
            }
        }
    }
    println!("{} contacts", peer.view().contacts.len());
    let (asker, from) = (SocketAddr::from(([10, 9, 9, 9], 1)), id());
    let targets: Vec<Id> = (0..1024).map(|_| id()).collect();
    type Ask = fn(Id) -> Question;
    let questions: [(&str, Ask); 4] = [
        ("ping", |_| Question::Ping(p2p::ground::krpc::Ping::Quiet)),
        ("find_node", |target| Question::FindNode { target, errand: None }),
        ("get_peers", |info_hash| Question::GetPeers { info_hash, scrape: false }),
        ("get", |target| Question::Get { target, seq: None }),
    ];
    for (name, ask) in questions {
        let datagrams: Vec<Vec<u8>> = targets.iter().map(|target| datagram(asker, from, ask(*target))).collect();
        let begun = Instant::now();
        for round in 0..ROUNDS {
            let bytes = datagrams[round as usize % datagrams.len()].clone();
            peer.handle(Moment::START, Input::Datagram { from: asker, bytes });
            while let Some(output) = peer.poll() {
                black_box(output);
            }
            black_box(peer.wake_at());
        }
        let took = begun.elapsed();
        println!("{name:>10}: {:>9.0} a second", f64::from(ROUNDS) / took.as_secs_f64());
    }
}

fn datagram(to: SocketAddr, from: Id, question: Question) -> Vec<u8> {
    let body = Body::Question { from, read_only: true, want: Want::default(), question };
    Message { transaction: b"aaaa".to_vec(), leaving: false, reached_at: None, program: Program::Stranger, body }
        .encode(to)
}

fn give(peer: &mut Peer, addr: SocketAddr, from: Id, question: Question) {
    let body = Body::Question { from, read_only: false, want: Want::default(), question };
    let message =
        Message { transaction: b"aaaa".to_vec(), leaving: false, reached_at: None, program: Program::Plain, body };
    peer.handle(Moment::START, Input::Datagram { from: addr, bytes: message.encode(addr) });
}
