//! What strangers send: whatever it is, the peer answers the next pings, serves the next request, and keeps its memory and
//! its neighbours.

mod common;

use common::{Lab, Peer, Ring, SEVEN, SOON, eventually, noise};
use p2p::ground::krpc::{self, Answer, Body, Errand, Message, Ping, Program, Refusal, Want};
use p2p::ground::{Contact, Content, FileName, Holding, Id, Manifest};
use p2p::store::pieces::PieceHasher;
use p2p::transfer::{Get, Put, Question};
use rustix::net::{AddressFamily, SendFlags, SocketType};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// More than a peer of two ever needs, and less than a flood that is kept would take.
const MEMORY_KIB: u64 = 100 << 10;

/// Peers 2 and 8; all files belong to 8 alone.
struct Victim {
    ring: Ring,
    stranger: UdpSocket,
}

impl Victim {
    fn start() -> Victim {
        let mut ring = Ring::empty(Lab::new(), "1");
        ring.start("init 2 8 2 1 --replicas 1");
        ring.start("init 8 2 8 1 --replicas 1");
        ring.settles();
        let source = ring.lab.source("0007", &noise(200_000, 7));
        ring[2].type_line(&format!("Store {}", source.display()));
        ring[2].wait_for("Stored 0007: 1 copy, at Peer 8", SOON);
        ring.files.push(source);
        ring.mark();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.set_read_timeout(Some(SECOND)).unwrap();
        Victim { ring, stranger }
    }

    fn peer(&self) -> &Peer {
        &self.ring[8]
    }

    fn send(&self, datagram: &[u8]) {
        self.stranger.send_to(datagram, self.peer().addr).unwrap();
    }

    /// It answers a ping from elsewhere.
    fn answers(&self, after: &str) {
        answers_ping(self.peer().addr, after);
    }

    /// It is as before.
    fn is_well(&self, after: &str) {
        self.answers(after);
        let source = &self.ring.files[0];
        self.ring[2].order(source);
        self.ring[2].gets(source, SOON);
        self.ring.told_no_death();
        let strange = self.ring.told().into_iter().find(|told| told.contains("successor is"));
        assert_eq!(strange, None, "after {after}");
        let memory = self.peer().memory_kib();
        assert!(memory < MEMORY_KIB, "{memory} KiB after {after}");
    }
}

/// How often a ping is sent before its silence is the peer's: a full socket loses datagrams, ours among others', and on a
/// busy machine the peer may not have its turn for seconds.
const PINGS: u32 = 50;

/// The ping of BEP 5 is answered.
fn answers_ping(addr: SocketAddr, after: &str) {
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(SECOND / 5)).unwrap();
    let mut buffer = [0; 2000];
    for _ in 0..PINGS {
        asker.send_to(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t2:aa1:y1:qe", addr).unwrap();
        if let Ok((len, from)) = asker.recv_from(&mut buffer) {
            assert_eq!(from, addr);
            let answer = String::from_utf8_lossy(&buffer[..len]).into_owned();
            assert!(answer.contains("1:t2:aa") && answer.contains("1:y1:r"), "after {after}: {answer:?}");
            return;
        }
    }
    panic!("no answer to {PINGS} pings after {after}");
}

/// One of each kind.
fn datagrams() -> Vec<Vec<u8>> {
    let question =
        |question| Body::Question { from: Id::numbered(77), read_only: false, want: Want::default(), question };
    let name = FileName::parse("0007").unwrap();
    let find = |errand| question(krpc::Question::FindNode { target: Id::numbered(7), errand });
    let holding = Holding {
        version: u64::MAX,
        content: Content { hash: [0x9c; 32], len_bytes: u64::MAX >> 1 },
        ..Holding::any(name.key())
    };
    let nodes = (0..24).map(|n| Contact { id: Id::numbered(n), addr: ([127, 0, 0, 1], 9).into() }).collect();
    let answer = Answer { nodes, own: true, files: vec![holding], lying: true, ..Answer::default() };
    let bodies = [
        question(krpc::Question::Ping(Ping::Quiet)),
        question(krpc::Question::Ping(Ping::Shown)),
        question(krpc::Question::Ping(Ping::Moved)),
        question(krpc::Question::Ping(Ping::Lost(Id::numbered(2)))),
        find(None),
        find(Some(Errand::Join)),
        find(Some(Errand::Store(name.clone()))),
        find(Some(Errand::Request(name))),
        question(krpc::Question::Holds(vec![holding; 12])),
        Body::Answer { from: Id::numbered(2), seen_at: None, answer },
        Body::Answer { from: Id::numbered(2), seen_at: None, answer: Answer::default() },
        Body::Refusal(Refusal::busy()),
    ];
    let to = SocketAddr::from(([127, 0, 0, 1], 9));
    let encode = |body| {
        Message { transaction: b"aa".to_vec(), leaving: false, reached_at: None, program: Program::Keeper, body }
            .encode(to)
    };
    bodies.into_iter().map(encode).collect()
}

#[test]
fn every_truncation_of_every_datagram_is_survived() {
    let victim = Victim::start();
    for datagram in datagrams() {
        for len in 0..datagram.len() {
            victim.send(&datagram[..len]);
            if len % 100 == 0 {
                victim.answers("a truncated datagram");
            }
        }
    }
    victim.is_well("all truncated datagrams");
}

#[test]
fn flipped_bits_are_survived() {
    let victim = Victim::start();
    for (kind, datagram) in datagrams().into_iter().enumerate() {
        for bit in 0..datagram.len() * 8 {
            let mut flipped = datagram.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            victim.send(&flipped);
            if bit % 200 == 0 {
                victim.answers("a flipped bit");
            }
        }
        victim.answers(&format!("all flipped bits of kind {kind}"));
    }
    victim.is_well("all flipped bits");
}

#[test]
fn nested_huge_and_random_datagrams_are_survived() {
    let victim = Victim::start();
    let nested = |open: &str, count: usize| open.repeat(count).into_bytes();
    let lists = [b"d1:ad2:id20:abcdefghij01234567891:x".to_vec(), nested("l", 30_000)].concat();
    let lengths = ["99999999999999999999:", "-1:", "65507:x", "i99999999999999999999999e", "d1:ai1", "0:0:0:"];
    let mut all = vec![nested("l", 5_000), nested("l", 60_000), nested("d1:a", 1_000), nested("d1:a", 16_000), lists];
    all.push([nested("l", 30_000), nested("e", 30_000)].concat());
    all.push([b"l".to_vec(), nested("i1e", 20_000), b"e".to_vec()].concat());
    all.extend(lengths.map(|text| text.as_bytes().to_vec()));
    all.extend([vec![], vec![0; 65_507], vec![b'd'; 65_507], noise(65_507, 1)]);
    all.extend((0..3_000).map(|seed| noise(1 + (seed as usize * 7) % 1_500, seed)));
    for (number, datagram) in all.iter().enumerate() {
        victim.send(datagram);
        if datagram.len() > 1_500 || number % 50 == 0 {
            victim.answers(&format!("datagram {number} of {} bytes", datagram.len()));
        }
    }
    victim.is_well("nonsense of all sizes");
}

#[test]
fn a_flood_of_questions_from_strangers_leaves_memory_and_ring_alone() {
    let victim = Victim::start();
    let before = victim.peer().memory_kib();
    let kinds = datagrams();
    let sockets: Vec<UdpSocket> = (0..50).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for round in 0u32..400 {
        for (index, socket) in sockets.iter().enumerate() {
            let mut datagram = kinds[(round as usize + index) % kinds.len()].clone();
            // Other transactions, other ids.
            let at = datagram.windows(5).position(|part| part == b"1:t2:").expect("it has one") + 5;
            datagram[at..at + 2].copy_from_slice(&(round as u16).to_be_bytes());
            if let Some(at) = datagram.windows(7).position(|part| part == b"2:id20:") {
                datagram[at + 7..at + 11].copy_from_slice(&(round * 50 + index as u32 + 1).to_le_bytes());
            }
            let _ = socket.send_to(&datagram, victim.peer().addr);
        }
        if round % 50 == 0 {
            victim.answers("part of a flood");
        }
    }
    victim.answers("a flood");
    let after = victim.peer().memory_kib();
    assert!(after < before + (40 << 10), "{before} KiB became {after} KiB");
    let source = &victim.ring.files[0];
    victim.ring[2].order(source);
    victim.ring[2].gets(source, SOON);
    victim.ring.told_no_death();
}

/// A frame with this payload.
fn frame(payload: &[u8]) -> Vec<u8> {
    [&[2], &(payload.len() as u32).to_be_bytes()[..], payload].concat()
}

fn openings() -> [Vec<u8>; 2] {
    let (name, from) = (FileName::parse("0007").unwrap(), Id::numbered(77));
    let content = Content { hash: [b'h'; 32], len_bytes: 1_000_000_000 };
    let manifest = Manifest::after(None, name.clone(), content, from);
    let get = Question::Get(Get { name, content: None, from, port: 7 });
    let put = Question::Put(Put { manifest, left: None, fresh: true, from });
    [get, put].map(|question| frame(&question.encode()))
}

#[test]
fn truncated_and_nonsensical_connections_are_survived() {
    let victim = Victim::start();
    let addr = victim.peer().addr;
    let say = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(addr).unwrap();
        // It may hang up before it has heard everything.
        let _ = stream.write_all(bytes);
    };
    for opening in openings() {
        for len in 0..opening.len() {
            say(&opening[..len]);
        }
        victim.answers("truncated frames");
        for at in 0..opening.len() {
            let mut flipped = opening.clone();
            flipped[at] ^= 1 << (at % 8);
            say(&flipped);
        }
        victim.answers("flipped frames");
    }
    for huge in [
        &b"\x02\xff\xff\xff\xff"[..],
        b"\x02\x7f\xff\xff\xffd",
        b"\x02\x00\x01\x00\x01",
        b"\x01\0\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        say(huge);
        victim.answers("a huge length");
    }
    say(&frame(&b"l".repeat(65_536)));
    say(&frame(&b"d4:kind".repeat(9_000)));
    for seed in 0..100 {
        say(&noise(3_000, seed));
        say(&frame(&noise(3_000, seed)));
    }
    // Nothing of the half puts is left.
    let tmp = victim.peer().dir.join(".p2p").join(addr.port().to_string()).join("tmp");
    eventually(SOON, "tmp is empty", || fs::read_dir(&tmp).unwrap().next().is_none().then_some(()));
    victim.is_well("nonsense over TCP");
}

#[test]
fn hundreds_of_slow_and_silent_connections_do_not_keep_others_out_for_long() {
    let victim = Victim::start();
    let addr = victim.peer().addr;
    let [get, put] = openings();
    let mut held: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    for number in 0..300 {
        let Ok(stream) = TcpStream::connect_timeout(&addr, SECOND) else { continue };
        let slow = match number % 3 {
            0 => Vec::new(),
            1 => get.clone(),
            _ => put.clone(),
        };
        held.push((stream, slow));
    }
    assert!(held.len() > 100, "{}", held.len());
    // Each writes one byte a second, until the peer has had enough of all of them.
    let begun = Instant::now();
    let mut served = false;
    for second in 0..25 {
        held.retain_mut(|(stream, slow)| match slow.get(second) {
            Some(byte) => stream.write_all(&[*byte]).is_ok(),
            None => true,
        });
        victim.answers("slow connections");
        let source = &victim.ring.files[0];
        if !served {
            victim.ring[2].order(source);
        }
        let next = begun + SECOND * (second as u32 + 1);
        while Instant::now() < next && !served {
            served = victim.ring[2].lines().iter().any(|line| line.text == "File 0007 received");
            thread::sleep(Duration::from_millis(20));
        }
        if served {
            break;
        }
    }
    assert!(served, "no request was served while {} connections were held", held.len());
    eprintln!("{} connections held, a request was served after {:?}", held.len(), begun.elapsed());
    victim.is_well("slow connections");
}

#[test]
fn a_put_that_never_ends_is_given_up_and_nothing_of_it_is_kept_as_a_file() {
    let victim = Victim::start();
    let bytes = noise(1 << 20, 5);
    let mut hasher = PieceHasher::default();
    hasher.update(&bytes);
    let (pieces, from) = (hasher.finish(), Id::numbered(77));
    let manifest = Manifest::after(None, FileName::parse("0005").unwrap(), pieces.content(), from);
    let put = Question::Put(Put { manifest, left: None, fresh: true, from });
    let mut stream = TcpStream::connect(victim.peer().addr).unwrap();
    stream.write_all(&[frame(&put.encode()), pieces.to_bytes()].concat()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut answer = [0; 30];
    stream.read_exact(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("4:bits2:"), "{answer:?}");
    stream.write_all(&bytes[..bytes.len() / 2]).unwrap();
    // The connection stays open, and nothing comes any more.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let store = victim.peer().dir.join(".p2p").join(victim.peer().addr.port().to_string());
    assert_eq!(fs::read_dir(store.join("content")).unwrap().count(), 1, "only what was stored before");
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
    victim.is_well("half a put");
}

/// Sends a datagram that says it comes from elsewhere. False where we may not.
fn send_forged(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
    let (SocketAddr::V4(from_v4), SocketAddr::V4(to_v4)) = (from, to) else { return false };
    let raw = Some(rustix::net::ipproto::RAW);
    let Ok(socket) = rustix::net::socket(AddressFamily::INET, SocketType::RAW, raw) else { return false };
    let udp_len = (payload.len() + 8) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet[2..4].copy_from_slice(&(udp_len + 20).to_be_bytes());
    for addr in [from_v4, to_v4] {
        packet.extend(addr.ip().octets());
    }
    for number in [from.port(), to.port(), udp_len, 0] {
        packet.extend(number.to_be_bytes());
    }
    packet.extend(payload);
    rustix::net::sendto(&socket, &packet, SendFlags::empty(), &SocketAddrV4::new(*to_v4.ip(), 0)).is_ok()
}

#[test]
fn forged_notices_do_not_rewire_the_ring() {
    let mut ring = Ring::seven("1");
    ring.store(2, "0009", b"nine");
    ring.mark();
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut forged_too = 0;
    for (victim, [first, second]) in SEVEN {
        for pretended in [first, second, 250] {
            let to = ring[victim].addr;
            let notices = [
                (true, krpc::Question::Ping(Ping::Quiet)),
                (true, krpc::Question::Ping(Ping::Shown)),
                (false, krpc::Question::Ping(Ping::Moved)),
                (false, krpc::Question::Ping(Ping::Lost(Id::numbered(first)))),
                (false, krpc::Question::FindNode { target: Id::numbered(pretended), errand: Some(Errand::Join) }),
            ];
            for (number, (leaving, question)) in notices.into_iter().enumerate() {
                let body =
                    Body::Question { from: Id::numbered(pretended), read_only: false, want: Want::default(), question };
                let message = Message {
                    transaction: vec![pretended, number as u8],
                    leaving,
                    reached_at: None,
                    program: Program::Keeper,
                    body,
                }
                .encode(to);
                stranger.send_to(&message, to).unwrap();
                // And the same with the pretended sender's own address.
                let from = SocketAddr::from((Ipv4Addr::LOCALHOST, ring.lab.port(pretended)));
                forged_too += usize::from(send_forged(from, to, &message));
            }
            // An answer that nobody waits for.
            let nodes = vec![Contact { id: Id::numbered(3), addr: stranger.local_addr().unwrap() }];
            let answer = Answer { nodes, own: true, ..Answer::default() };
            let body = Body::Answer { from: Id::numbered(pretended), seen_at: None, answer };
            stranger
                .send_to(
                    &Message {
                        transaction: vec![0, 1],
                        leaving: true,
                        reached_at: None,
                        program: Program::Keeper,
                        body,
                    }
                    .encode(to),
                    to,
                )
                .unwrap();
        }
    }
    if forged_too == 0 {
        eprintln!("SKIPPED: sender addresses cannot be forged here");
    }
    // Three rounds later all is as it was.
    for _ in 0..3 {
        let rounds: Vec<usize> = ring.peers.values().map(|peer| peer.lines().len()).collect();
        eventually(SOON, "the next round", || {
            let later = ring.peers.values().zip(&rounds).all(|(peer, before)| {
                peer.lines()[*before..].iter().any(|line| line.text.starts_with("Ping requests sent"))
            });
            later.then_some(())
        });
    }
    let rewired = |told: &String| ["successor is", "depart", "alive"].iter().any(|words| told.contains(words));
    let told: Vec<String> = ring.told().into_iter().filter(rewired).collect();
    assert!(told.is_empty(), "{told:#?}");
    ring.closes_within(SECOND);
    ring.serves_everything();
}

/// A file system of a few MiB. None where nobody lets us mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Option<SmallDisk> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "p2p-test"]).arg(at);
        command.status().is_ok_and(|status| status.success()).then(|| SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_loudly_and_the_peer_serves_on() {
    let mut ring = Ring::empty(Lab::new(), "1");
    let full = ring.lab.folder("8");
    let Some(_disk) = SmallDisk::mount(&full, "2m") else {
        eprintln!("SKIPPED: no tmpfs can be mounted here");
        return;
    };
    for line in ["init 2 8 14 1", "init 8 14 2 1", "init 14 2 8 1"] {
        ring.start(line);
    }
    ring.settles();
    ring.store(2, "0007", &noise(100_000, 7));
    let big = ring.lab.source("0008", &noise(8 << 20, 8));
    ring[2].type_line(&format!("Store {}", big.display()));
    ring[2].wait_for("File 0008 is stored with only 2 of 3 copies, at Peers 14 and 2", SOON);
    let tmp = full.join(".p2p").join(ring.lab.port(8).to_string()).join("tmp");
    assert!(fs::read_dir(&tmp).unwrap().next().is_none());
    ring.files.push(big);
    answers_ping(ring[8].addr, "a full disk");
    // Peer 8 itself has no room for a copy of the big file either.
    ring.mark();
    ring[8].type_line("Request 0008");
    ring[8].wait_until(SOON, "no space", |line| line.text.contains("no space left on the disk"));
    let left =
        |folder: &Path| fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name()).collect::<Vec<_>>();
    assert_eq!(left(&full), [".p2p"]);
    let (small, big) = (ring.files[0].clone(), ring.files[1].clone());
    for (peer, source) in [(8, &small), (2, &small), (14, &small), (2, &big), (14, &big)] {
        ring[peer].order(source);
        ring[peer].gets(source, SOON);
    }
    ring.told_no_death();
}

#[test]
fn a_full_disk_at_every_keeper_means_no_copy_and_that_is_told() {
    let mut ring = Ring::empty(Lab::new(), "1");
    let full = ring.lab.folder("8");
    let Some(_disk) = SmallDisk::mount(&full, "1m") else {
        eprintln!("SKIPPED: no tmpfs can be mounted here");
        return;
    };
    ring.start("init 8");
    let big = ring.lab.source("0008", &noise(8 << 20, 8));
    ring[8].type_line(&format!("Store {}", big.display()));
    ring[8].wait_until(SOON, "no space", |line| {
        line.text.starts_with("File 0008") && line.text.contains("no space left on the disk")
    });
    ring[8].type_line("Request 0008");
    ring[8].wait_until(SOON, "not found", |line| line.text.starts_with("File 0008 was not found"));
    let tmp = full.join(".p2p").join(ring.lab.port(8).to_string()).join("tmp");
    assert!(fs::read_dir(&tmp).unwrap().next().is_none());
    let small = ring.lab.source("0007", b"seven");
    ring[8].type_line(&format!("Store {}", small.display()));
    ring[8].wait_for("Stored 0007: 1 copy, at Peer 8", SOON);
}
