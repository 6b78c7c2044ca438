//! How much a transfer costs beyond moving and hashing the bytes. By hand:
//!
//! ```text
//! cargo bench --bench transfer -- [MiB, 1024] [rounds, 5] [folder, the system's temporary one]
//! ```
//!
//! The baseline is the least that could be called the same: sendfile into a loopback connection; at the other end 1 MiB at
//! a time into BLAKE3 and a file; at last one fsync. All are measured in turn, so that the disk's moods hit all.

use blake3::Hasher;
use p2p::ground::{Contact, FileName, Id, Manifest, MoveError};
use p2p::store::{Pieces, Store, source};
use p2p::transfer::{self, Exchange, Limits, Lines, Order, Payload, Put, Question, Served};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Moves the file at the first path into the folder at the second.
type Run = fn(&Path, &Path);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let len_mib = arguments.next().map_or(1024, |text| text.parse().expect("MiB as a number"));
    let rounds = arguments.next().map_or(5, |text| text.parse().expect("rounds as a number"));
    let parent = arguments.next().map_or(std::env::temp_dir(), Into::into);
    let dir = tempfile::tempdir_in(parent).unwrap();
    let source = dir.path().join("source");
    write_source(&source, len_mib);

    pieces(&source);
    let work: [(&str, Run); 4] = [("baseline", baseline), ("upload", upload), ("download", download), ("three", swarm)];
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        for ((_, run), times) in work.iter().zip(&mut times) {
            let room = tempfile::tempdir_in(dir.path()).unwrap();
            // What the run before deleted is not this one's to write.
            rustix::fs::sync();
            let start = Instant::now();
            run(&source, room.path());
            times.push(start.elapsed());
        }
    }
    let hashing = Instant::now();
    source::hash(&mut File::open(&source).unwrap()).unwrap();
    println!("{len_mib} MiB, median of {rounds}; hashing alone {:.2?}", hashing.elapsed());
    times.iter_mut().for_each(|times| times.sort());
    let median = |times: &[Duration]| times[times.len() / 2];
    for ((name, _), taken) in work.iter().zip(&times) {
        let ratio = median(taken).as_secs_f64() / median(&times[0]).as_secs_f64();
        println!("{name:9} {:.2?}  ratio {ratio:.2}  (best {:.2?})", median(taken), taken[0]);
    }
}

fn write_source(path: &Path, len_mib: u64) {
    let mut file = File::create(path).unwrap();
    let mut bytes = Hasher::new().finalize_xof();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..len_mib {
        bytes.fill(&mut buffer);
        file.write_all(&buffer).unwrap();
    }
    file.sync_all().unwrap();
}

/// A connection: `near` runs here, `far` at the other end in a thread.
fn connected(near: impl FnOnce(TcpStream), far: impl FnOnce(TcpStream) + Send) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| far(listener.accept().unwrap().0));
        near(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    });
}

fn baseline(source: &Path, room: &Path) {
    let send = |stream: TcpStream| {
        let file = File::open(source).unwrap();
        while rustix::fs::sendfile(&stream, &file, None, 1 << 30).unwrap() > 0 {}
    };
    connected(send, |mut stream| {
        let mut file = File::create(room.join("copy")).unwrap();
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let got = stream.read(&mut buffer).unwrap();
            if got == 0 {
                break;
            }
            hasher.update(&buffer[..got]);
            file.write_all(&buffer[..got]).unwrap();
        }
        hasher.finalize();
        file.sync_all().unwrap();
    });
}

fn upload(source: &Path, room: &Path) {
    // Hashing the source happens before the network hears of it, and is measured apart.
    let pieces = pieces(source);
    let put = Put { manifest: manifest(&pieces), left: None, fresh: true, from: Id::ZERO };
    let store = Store::open(&room.join("store"), None).unwrap();
    let exchange = Exchange::new(Limits::default(), 7);
    let give = |mut stream| {
        let payload = Payload { pieces: &pieces, file: &File::open(source).unwrap() };
        transfer::upload(&mut stream, &put, Some(payload), &exchange).unwrap();
    };
    connected(give, |mut stream| {
        let Question::Put(put) = transfer::read_question(&mut stream).unwrap() else { panic!("not a put") };
        transfer::serve_put(&mut stream, &put, &store, &exchange).unwrap();
    });
}

fn download(source: &Path, room: &Path) {
    take_from(1, source, room);
}

fn swarm(source: &Path, room: &Path) {
    take_from(3, source, room);
}

/// From so many holders at once, all of whom have the list.
fn take_from(count: u8, source: &Path, room: &Path) {
    let pieces = pieces(source);
    let name = FileName::parse("4103").unwrap();
    let destination = &room.join("received");
    let doors: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let holder = |(number, door): (usize, &TcpListener)| Contact {
        id: Id::numbered(number as u8),
        addr: door.local_addr().unwrap(),
    };
    let holders: Vec<Contact> = doors.iter().enumerate().map(holder).collect();
    let exchange = Exchange::new(Limits::default(), 7);
    thread::scope(|scope| {
        for door in &doors {
            scope.spawn(|| {
                let mut stream = door.accept().unwrap().0;
                let Ok(Question::Get(get)) = transfer::read_question(&mut stream) else { return };
                let (file, list) = (File::open(source).unwrap(), Some(pieces.clone()));
                let served = Served::Whole { file, content: pieces.content(), pieces: list };
                // Whoever is not needed any more is cut off.
                let _ =
                    transfer::serve_get(&mut stream, &get, Some(served), &exchange, IpAddr::V4(Ipv4Addr::LOCALHOST));
            });
        }
        let order = Order { name: &name, content: pieces.content(), me: Id::ZERO, port: 7, destination, seed: 7 };
        let own = Exchange::new(Limits::default(), 7);
        transfer::take(&order, &holders, &Fresh, &own, &|_| {}, &|| true).unwrap();
    });
}

/// A new line for each conversation.
struct Fresh;

impl Lines for Fresh {
    fn idle(&self, _to: SocketAddr) -> Option<TcpStream> {
        None
    }

    fn call(&self, to: SocketAddr) -> Result<TcpStream, MoveError> {
        Ok(TcpStream::connect(to).unwrap())
    }

    fn keep(&self, _to: SocketAddr, _line: TcpStream) {}
}

/// Of the source, which stays the same: hashed once.
fn pieces(source: &Path) -> Pieces {
    static PIECES: std::sync::OnceLock<Pieces> = std::sync::OnceLock::new();
    PIECES.get_or_init(|| source::hash(&mut File::open(source).unwrap()).unwrap()).clone()
}

fn manifest(pieces: &Pieces) -> Manifest {
    Manifest::after(None, FileName::parse("4103").unwrap(), pieces.content(), Id::ZERO)
}
