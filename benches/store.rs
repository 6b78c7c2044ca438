//! Small files into a store, and the start of a store that has them: `cargo bench --bench store [FOLDER]`.
//!
//! The folder should lie on the disk that is meant; each figure has beside it what the disk does without us.

use p2p::ground::{Content, FileName, Id, Manifest};
use p2p::store::Store;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const FILE_BYTES: usize = 10_000;
const FILES: usize = 10_000;

fn main() {
    let room = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let room = room.map_or_else(std::env::temp_dir, PathBuf::from).join(format!("p2p-store-{}", std::process::id()));
    for (threads, files) in [(1, FILES / 10), (4, FILES), (16, FILES)] {
        fs::create_dir_all(&room).unwrap();
        let plain = in_threads(threads, files, |at| plain_file(&room, at));
        fs::remove_dir_all(&room).unwrap();

        let store = Store::open(&room, None).unwrap();
        let kept = in_threads(threads, files, |at| keep(&store, at));
        let per_second = |took: Duration| files as f64 / took.as_secs_f64();
        println!(
            "{threads:2} threads: {:6.0} files a second; written, renamed and synced without a store: {:6.0}",
            per_second(kept),
            per_second(plain)
        );
        drop(store);
        start(&room, files);
        fs::remove_dir_all(&room).unwrap();
    }
}

/// Does the work for each number below `count`, in so many threads.
fn in_threads(threads: usize, count: usize, work: impl Fn(usize) + Sync) -> Duration {
    let begun = Instant::now();
    thread::scope(|scope| {
        for first in 0..threads {
            let work = &work;
            scope.spawn(move || (first..count).step_by(threads).for_each(work));
        }
    });
    begun.elapsed()
}

fn bytes(at: usize) -> Vec<u8> {
    let mut bytes = vec![0; FILE_BYTES];
    bytes[..8].copy_from_slice(&at.to_be_bytes());
    bytes
}

fn keep(store: &Store, at: usize) {
    let bytes = bytes(at);
    let content = Content { hash: *blake3::hash(&bytes).as_bytes(), len_bytes: bytes.len() as u64 };
    let name = FileName::parse(&format!("file {at}")).unwrap();
    store.keep(&Manifest::after(None, name, content, Id::ZERO), None, true, &mut &bytes[..]).unwrap();
}

/// The least that anybody must do who wants a file to survive a power cut.
fn plain_file(room: &Path, at: usize) {
    let path = room.join(format!("{at}.part"));
    let mut file = File::create(&path).unwrap();
    file.write_all(&bytes(at)).unwrap();
    file.sync_all().unwrap();
    fs::rename(&path, room.join(at.to_string())).unwrap();
    File::open(room).unwrap().sync_all().unwrap();
}

fn start(room: &Path, files: usize) {
    let begun = Instant::now();
    let store = Store::open(room, None).unwrap();
    let took = begun.elapsed();
    assert_eq!(store.held().len(), files);
    println!("            a start with {files} files: {} ms", took.as_millis());
}
