//! How much a transfer costs beyond moving and hashing the bytes. By hand:
//!
//! ```text
//! cargo bench --bench transfer -- [MiB, 1024] [rounds, 5] [folder, the system's temporary one]
//! ```
//!
//! The baseline is the least that could be called the same: a file into a loopback connection, 256 KiB at a time; at the
//! other end 1 MiB at a time into BLAKE3 and a file; at last one fsync. All are measured in turn, so that the disk's
//! moods hit all.

use blake3::Hasher;
use p2p::ground::{FileName, Id, Manifest};
use p2p::store::{Arrival, Store, source};
use p2p::transfer::{self, Opening, Served};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
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

    let work: [(&str, Run); 3] = [("baseline", baseline), ("upload", upload), ("download", download)];
    let mut times = [const { Vec::new() }; 3];
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
    let send = |mut stream| {
        let mut file = BufReader::with_capacity(256 << 10, File::open(source).unwrap());
        io::copy(&mut file, &mut stream).unwrap();
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
    let manifest = manifest(source);
    let store = Store::open(&room.join("store"), None).unwrap();
    let give = |mut stream| {
        transfer::upload(&mut stream, &manifest, File::open(source).unwrap(), Id::ZERO).unwrap();
    };
    connected(give, |mut stream| {
        let Opening::Put { manifest, .. } = transfer::read_opening(&mut stream).unwrap() else { panic!("not a put") };
        transfer::serve_put(&mut stream, &manifest, &store).unwrap();
    });
}

fn download(source: &Path, room: &Path) {
    let manifest = manifest(source);
    let take = |mut stream| {
        let mut arrival = Arrival::at(&room.join("received")).unwrap();
        let wanted = Some(manifest.content);
        transfer::download(&mut stream, &manifest.name, wanted, Id::ZERO, &mut arrival, |_| {}).unwrap();
        arrival.finish().unwrap();
    };
    connected(take, |mut stream| {
        transfer::read_opening(&mut stream).unwrap();
        let len_bytes = fs::metadata(source).unwrap().len();
        let served = Served { file: File::open(source).unwrap(), content: Some(manifest.content), len_bytes };
        transfer::serve_get(&mut stream, Some(served), 0).unwrap();
    });
}

/// Of the source, which stays the same: hashed once.
fn manifest(source: &Path) -> Manifest {
    static CONTENT: std::sync::OnceLock<p2p::ground::Content> = std::sync::OnceLock::new();
    let content = *CONTENT.get_or_init(|| source::hash(&mut File::open(source).unwrap()).unwrap());
    Manifest::after(None, FileName::parse("4103").unwrap(), content, Id::ZERO)
}
