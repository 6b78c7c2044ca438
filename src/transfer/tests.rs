use super::*;
use crate::ground::{Content, FileName, Id, Manifest};
use crate::store::tests::SmallDisk;
use crate::store::{Arrival, Store};
use proptest::prelude::*;
use std::fs::{self, File};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;
use tempfile::{TempDir, tempdir};

const ME: Id = Id::numbered(2);

/// Runs both ends of a connection. `far` closes it when it returns.
fn connected<N, F: Send>(near: impl FnOnce(TcpStream) -> N, far: impl FnOnce(TcpStream) -> F + Send) -> (N, F) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        let far = scope.spawn(|| far(listener.accept().unwrap().0));
        let near = near(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        (near, far.join().unwrap())
    })
}

fn manifest(version: u64, bytes: &[u8]) -> Manifest {
    let content = Content { hash: *blake3::hash(bytes).as_bytes(), len_bytes: bytes.len() as u64 };
    Manifest::after(None, FileName::parse("4103").unwrap(), content, Id::ZERO).at_version(version)
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    file
}

/// Uploads `bytes` under `manifest`, and returns what each side says.
fn put(store: &Store, manifest: &Manifest, bytes: &[u8]) -> (Result<(), MoveError>, Result<(), MoveError>) {
    let give = |mut stream| upload(&mut stream, manifest, file(bytes), ME);
    connected(give, |mut stream| {
        let Opening::Put { manifest, from: ME } = read_opening(&mut stream).unwrap() else {
            panic!("not a put of ours")
        };
        serve_put(&mut stream, &manifest, store)
    })
}

fn kept(store: &Store) -> Vec<Vec<u8>> {
    let read = |manifest: Manifest| {
        let mut bytes = Vec::new();
        store.open_content(&manifest.content).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    store.held().into_iter().map(|kept| read(kept.manifest)).collect()
}

/// How many files lie in the store's folders, its lock aside.
fn files_in(root: &Path) -> usize {
    ["content", "tmp"].iter().map(|name| fs::read_dir(root.join(name)).unwrap().count()).sum()
}

fn new_store() -> (TempDir, Store) {
    let dir = tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    (dir, store)
}

/// Bytes without any pattern.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn odd_files() -> Vec<Vec<u8>> {
    let mut not_utf8 = vec![b'%'; 200];
    not_utf8[72] = 0x9c;
    vec![vec![], not_utf8, noise(3 << 20), b"\x01\x00\x00\x00\x04d1:ae".to_vec()]
}

#[test]
fn any_bytes_are_put_and_got_back() {
    for bytes in odd_files() {
        let (_dir, store) = new_store();
        let manifest = manifest(1, &bytes);
        assert_eq!(put(&store, &manifest, &bytes), (Ok(()), Ok(())));
        assert_eq!(kept(&store), std::slice::from_ref(&bytes));

        let served = || Served {
            file: store.open_content(&manifest.content).unwrap(),
            content: Some(manifest.content),
            len_bytes: manifest.content.len_bytes,
        };
        let (dir, mut arrival) = new_arrival();
        assert_eq!(get(&mut arrival, Some(manifest.content), served()), Ok(manifest.content));
        arrival.finish().unwrap();
        assert_eq!(fs::read(dir.path().join("received")).unwrap(), bytes);
    }
}

#[test]
fn what_is_there_is_not_sent_again() {
    let (_dir, store) = new_store();
    let manifest = manifest(1, b"bytes");
    put(&store, &manifest, b"bytes").0.unwrap();
    assert_eq!(put(&store, &manifest, b"never read"), (Ok(()), Ok(())));
}

#[test]
fn a_later_version_is_not_replaced_by_an_earlier_one() {
    let (_dir, store) = new_store();
    put(&store, &manifest(2, b"two"), b"two").0.unwrap();
    let outdated = Err(MoveError::Outdated(manifest(2, b"two").holding()));
    assert_eq!(put(&store, &manifest(1, b"one"), b"one"), (outdated.clone(), outdated));
    assert_eq!(kept(&store), [b"two"]);
}

#[test]
fn damaged_bytes_leave_nothing_behind() {
    let (dir, store) = new_store();
    let damaged = Err(MoveError::Damaged);
    assert_eq!(put(&store, &manifest(1, b"good"), b"evil"), (damaged.clone(), damaged));
    assert_eq!(files_in(dir.path()), 0);
}

#[test]
fn a_source_that_shrank_is_the_senders_own_trouble() {
    let (dir, store) = new_store();
    let (sender, receiver) = put(&store, &manifest(1, b"long ago it was longer"), b"short");
    assert!(matches!(sender, Err(MoveError::Local(_))), "{sender:?}");
    assert!(matches!(receiver, Err(MoveError::Unreachable(_))), "{receiver:?}");
    assert_eq!(files_in(dir.path()), 0);
}

#[test]
fn a_sender_that_falls_silent_leaves_nothing_behind() {
    let (dir, store) = new_store();
    let manifest = manifest(1, b"bytes");
    let start = |mut stream: TcpStream| {
        assert_eq!(read_reply(&mut stream), Ok(Reply::Go));
        stream.write_all(b"by").unwrap();
        // Waits until the other side gives up.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    };
    let (_, outcome) = connected(start, |mut stream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        serve_put(&mut stream, &manifest, &store)
    });
    assert_eq!(outcome, Err(MoveError::Unreachable("it fell silent".to_owned())));
    assert_eq!(files_in(dir.path()), 0);
}

#[test]
fn a_full_disk_reaches_the_sender_as_a_refusal() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = Store::open(disk.path(), None).unwrap();
    let large = noise(2 << 20);
    let (sender, receiver) = put(&store, &manifest(1, &large), &large);
    assert_eq!(sender, Err(MoveError::Refused("no space left on its disk".to_owned())));
    assert!(matches!(receiver, Err(MoveError::Local(_))), "{receiver:?}");
    assert_eq!(files_in(disk.path()), 0);
    assert_eq!(put(&store, &manifest(1, b"fits"), b"fits"), (Ok(()), Ok(())));
}

#[test]
fn a_requester_without_room_blames_itself_and_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount() else { return };
    let bytes = noise(2 << 20);
    let mut arrival = Arrival::at(&disk.path().join("received")).unwrap();
    let outcome = get(&mut arrival, Some(manifest(1, &bytes).content), known(&bytes));
    assert!(matches!(&outcome, Err(MoveError::Local(reason)) if reason.starts_with("no space left")), "{outcome:?}");
    drop(arrival);
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[test]
fn a_connection_that_ends_anywhere_is_refused() {
    let mut conversation = Vec::new();
    frame::write(&mut conversation, &Opening::Put { manifest: manifest(1, b"bytes"), from: ME }.encode()).unwrap();
    let opening_len = conversation.len();
    conversation.extend_from_slice(b"bytes");
    let (dir, store) = new_store();
    for len in 0..conversation.len() {
        let mut stream = Recorded { said: &conversation[..len], heard: Vec::new() };
        match read_opening(&mut stream) {
            Err(BadFrame::Io(_)) => assert!(len < opening_len),
            Ok(Opening::Put { manifest, .. }) => {
                let outcome = serve_put(&mut stream, &manifest, &store);
                assert!(matches!(outcome, Err(MoveError::Unreachable(_))), "{outcome:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(files_in(dir.path()), 0, "{len}");
    }
}

#[test]
fn a_refusal_is_heard() {
    let (outcome, _) = connected(
        |mut stream| upload(&mut stream, &manifest(1, b""), file(b""), ME),
        |mut stream| {
            read_opening(&mut stream).unwrap();
            refuse(&mut stream, "busy: try later").unwrap();
        },
    );
    assert_eq!(outcome, Err(MoveError::Refused("busy: try later".to_owned())));
}

fn new_arrival() -> (TempDir, Arrival) {
    let dir = tempdir().unwrap();
    let arrival = Arrival::at(&dir.path().join("received")).unwrap();
    (dir, arrival)
}

/// Downloads from one holder.
fn get(arrival: &mut Arrival, wanted: Option<Content>, served: Served) -> Result<Content, MoveError> {
    let name = FileName::parse("4103").unwrap();
    let take = |mut stream| download(&mut stream, &name, wanted, ME, arrival, |_| {});
    let give = |mut stream| {
        let Opening::Get { offset, .. } = read_opening(&mut stream).unwrap() else { panic!("not a get") };
        // A requester that hangs up is tested by its own words.
        let _ = serve_get(&mut stream, Some(served), offset);
    };
    connected(take, give).0
}

/// Downloads from a holder that dies after `len` bytes.
fn get_cut_short(arrival: &mut Arrival, wanted: Content, bytes: &[u8]) -> Result<Content, MoveError> {
    let name = FileName::parse("4103").unwrap();
    let take = |mut stream| download(&mut stream, &name, Some(wanted), ME, arrival, |_| {});
    let die = |mut stream: TcpStream| {
        read_opening(&mut stream).unwrap();
        send(&mut stream, &Reply::Here { len_bytes: wanted.len_bytes, hash: Some(wanted.hash) }).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    };
    connected(take, die).0
}

fn known(bytes: &[u8]) -> Served {
    let content = manifest(1, bytes).content;
    Served { file: file(bytes), content: Some(content), len_bytes: content.len_bytes }
}

fn unknown(bytes: &[u8]) -> Served {
    Served { content: None, ..known(bytes) }
}

#[test]
fn a_download_continues_where_the_first_holder_died() {
    let bytes = noise(300_000);
    let wanted = manifest(1, &bytes).content;
    for second in [known(&bytes), unknown(&bytes)] {
        let (dir, mut arrival) = new_arrival();
        let died = get_cut_short(&mut arrival, wanted, &bytes[..123_456]);
        assert!(matches!(died, Err(MoveError::Unreachable(_))), "{died:?}");
        assert_eq!(arrival.len_bytes(), 123_456);
        assert_eq!(get(&mut arrival, Some(wanted), second), Ok(wanted));
        arrival.finish().unwrap();
        assert_eq!(fs::read(dir.path().join("received")).unwrap(), bytes);
    }
}

#[test]
fn wrong_bytes_of_one_holder_are_made_good_by_the_next() {
    let wanted = manifest(1, b"good bytes").content;
    let liar = || Served { file: file(b"evil bytes"), ..known(b"good bytes") };
    let (dir, mut arrival) = new_arrival();
    assert_eq!(get(&mut arrival, Some(wanted), liar()), Err(MoveError::Damaged));
    assert_eq!(arrival.len_bytes(), 0);
    get_cut_short(&mut arrival, wanted, b"evil").unwrap_err();
    assert_eq!(get(&mut arrival, Some(wanted), known(b"good bytes")), Err(MoveError::Damaged), "half of each");
    assert_eq!(get(&mut arrival, Some(wanted), known(b"good bytes")), Ok(wanted));
    arrival.finish().unwrap();
    assert_eq!(fs::read(dir.path().join("received")).unwrap(), b"good bytes");
}

#[test]
fn a_holder_of_something_else_takes_nothing_away() {
    let wanted = manifest(1, b"good bytes").content;
    let (_dir, mut arrival) = new_arrival();
    get_cut_short(&mut arrival, wanted, b"good").unwrap_err();
    assert_eq!(get(&mut arrival, Some(wanted), known(b"other")), Err(MoveError::Damaged));
    assert_eq!(arrival.len_bytes(), 4);
}

#[test]
fn a_file_nobody_knows_the_hash_of_is_checked_by_what_its_holder_sent() {
    let bytes = noise(100_000);
    let (_dir, mut arrival) = new_arrival();
    assert_eq!(get(&mut arrival, None, unknown(&bytes)), Ok(manifest(1, &bytes).content));
}

#[test]
fn what_has_grown_beyond_the_holders_file_starts_again() {
    let (_dir, mut arrival) = new_arrival();
    get_cut_short(&mut arrival, manifest(1, b"long file").content, b"long").unwrap_err();
    assert_eq!(get(&mut arrival, None, unknown(b"abc")), Err(MoveError::Damaged));
    assert_eq!(get(&mut arrival, None, unknown(b"abc")), Ok(manifest(1, b"abc").content));
}

#[test]
fn a_file_that_is_not_there_is_missing() {
    let (_dir, mut arrival) = new_arrival();
    let name = FileName::parse("4103").unwrap();
    let (outcome, _) = connected(
        |mut stream| download(&mut stream, &name, None, ME, &mut arrival, |_| panic!("nothing is here")),
        |mut stream| {
            read_opening(&mut stream).unwrap();
            serve_get(&mut stream, None, 0).unwrap_err()
        },
    );
    assert_eq!(outcome, Err(MoveError::Missing));
}

#[test]
fn the_length_is_told_before_the_first_byte() {
    let (_dir, mut arrival) = new_arrival();
    let mut here = Vec::new();
    frame::write(&mut here, &Reply::Here { len_bytes: 7, hash: None }.encode()).unwrap();
    let mut stream = Recorded { said: &here, heard: Vec::new() };
    let mut told = 0;
    let name = FileName::parse("4103").unwrap();
    download(&mut stream, &name, None, ME, &mut arrival, |len_bytes| told = len_bytes).unwrap_err();
    assert_eq!(told, 7);
}

/// A stream whose other end has said everything already.
struct Recorded<'a> {
    said: &'a [u8],
    heard: Vec<u8>,
}

impl Read for Recorded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.said.read(buffer)
    }
}

impl Write for Recorded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_frame_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_opening(&mut &bytes[..]);
        let _ = Opening::decode(&bytes);
        let _ = Reply::decode(&bytes);
    }
}
