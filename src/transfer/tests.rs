use super::*;
use crate::ground::{Contact, Content, FileName, Id, Manifest};
use crate::store::pieces::tests::{noise, pieces_of};
use crate::store::tests::SmallDisk;
use crate::store::{ChunkSet, Partial, Pieces, Place, Store};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread;
use tempfile::{TempDir, tempdir};

const ME: Id = Id::numbered(2);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CHUNK: usize = 64 << 10;

fn exchange() -> Exchange {
    Exchange::new(Limits::default(), 7)
}

/// Runs both ends of a connection. `far` closes it when it returns.
fn connected<N, F: Send>(near: impl FnOnce(TcpStream) -> N, far: impl FnOnce(TcpStream) -> F + Send) -> (N, F) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        let far = scope.spawn(|| far(listener.accept().unwrap().0));
        let near = near(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        (near, far.join().unwrap())
    })
}

fn name() -> FileName {
    FileName::parse("4103").unwrap()
}

fn manifest(version: u64, bytes: &[u8]) -> Manifest {
    let content = Content { hash: *blake3::hash(bytes).as_bytes(), len_bytes: bytes.len() as u64 };
    Manifest::after(None, name(), content, Id::ZERO).at_version(version)
}

fn file(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// Uploads `bytes` under `manifest`, whose list is that of `announced`, and returns what each side says.
fn put_as(
    store: &Store,
    manifest: &Manifest,
    announced: &[u8],
    bytes: &[u8],
) -> (Result<(), MoveError>, Result<(), MoveError>) {
    let pieces = pieces_of(announced);
    let put = Put { manifest: manifest.clone(), left: None, fresh: true, from: ME };
    let give = |mut stream| {
        let payload = Payload { pieces: &pieces, file: &file(bytes) };
        upload(&mut stream, &put, Some(payload), &exchange())
    };
    connected(give, |mut stream| {
        let Question::Put(put) = read_question(&mut stream).unwrap() else { panic!("not a put") };
        serve_put(&mut stream, &put, store, &exchange())
    })
}

fn put(store: &Store, version: u64, bytes: &[u8]) -> (Result<(), MoveError>, Result<(), MoveError>) {
    put_as(store, &manifest(version, bytes), bytes, bytes)
}

fn kept(store: &Store) -> Vec<Vec<u8>> {
    let read = |kept: crate::store::Kept| {
        let mut bytes = Vec::new();
        store.open_content(&kept.manifest.content).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    store.held().into_iter().map(read).collect()
}

fn files_in(root: &Path, folder: &str) -> usize {
    fs::read_dir(root.join(folder)).unwrap().count()
}

fn new_store() -> (TempDir, Store) {
    let dir = tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    (dir, store)
}

#[test]
fn any_bytes_are_put() {
    let mut not_utf8 = vec![b'%'; 200];
    not_utf8[72] = 0x9c;
    for bytes in [vec![], not_utf8, noise(CHUNK).0, noise(CHUNK + 1).0, noise(3 << 20).0, b"\x02\0\0\0\x04d1:ae".into()]
    {
        let (dir, store) = new_store();
        assert_eq!(put(&store, 1, &bytes), (Ok(()), Ok(())));
        assert_eq!(kept(&store), std::slice::from_ref(&bytes));
        assert_eq!((files_in(dir.path(), "tmp"), files_in(dir.path(), "partial")), (0, 0));
        let list = store.pieces(&manifest(1, &bytes).content);
        assert_eq!(list.unwrap_or_default(), pieces_of(&bytes).to_bytes(), "kept for those who will ask");
    }
}

#[test]
fn what_is_there_is_not_sent_again() {
    let (_dir, store) = new_store();
    let bytes = noise(300_000).0;
    put(&store, 1, &bytes).0.unwrap();
    assert_eq!(put_as(&store, &manifest(1, &bytes), &bytes, b"never read"), (Ok(()), Ok(())));
}

#[test]
fn who_stores_an_earlier_version_hears_of_the_later_one() {
    let (_dir, store) = new_store();
    put(&store, 2, b"two").0.unwrap();
    let outdated = Err(MoveError::Outdated(manifest(2, b"two").holding()));
    assert_eq!(put(&store, 1, b"one"), (outdated.clone(), outdated));
    assert_eq!(kept(&store), [b"two"]);
}

#[test]
fn what_says_removed_needs_no_bytes() {
    let (_dir, store) = new_store();
    put(&store, 1, b"bytes").0.unwrap();
    let removed = Manifest { content: Content::REMOVED, ..manifest(2, b"") };
    let question = Put { manifest: removed.clone(), left: None, fresh: true, from: ME };
    let (near, far) = connected(
        |mut stream| upload(&mut stream, &question, None, &exchange()),
        |mut stream| {
            let Question::Put(put) = read_question(&mut stream).unwrap() else { panic!("not a put") };
            serve_put(&mut stream, &put, &store, &exchange())
        },
    );
    assert_eq!((near, far), (Ok(()), Ok(())));
    assert_eq!(store.get(&name().key()), Some(removed));
}

#[test]
fn damaged_bytes_are_never_kept() {
    let (dir, store) = new_store();
    let damaged = Err(MoveError::Damaged);
    assert_eq!(put_as(&store, &manifest(1, b"good"), b"good", b"evil"), (damaged.clone(), damaged.clone()));
    assert_eq!((files_in(dir.path(), "content"), files_in(dir.path(), "partial")), (0, 0));
    let good = noise(300_000).0;
    let mut evil = good.clone();
    evil[200_000] ^= 1;
    assert_eq!(put_as(&store, &manifest(1, &good), &good, &evil), (damaged.clone(), damaged.clone()));
    assert_eq!(put_as(&store, &manifest(1, &good), &evil, &good), (damaged.clone(), damaged), "the list is wrong");
    assert_eq!(files_in(dir.path(), "content"), 0);
}

/// A stream on which the byte at `flip` is damaged on its way out, once.
struct Damaging<S> {
    stream: S,
    sent: u64,
    flip: u64,
}

impl<S: Read> Read for Damaging<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl<S: Write> Write for Damaging<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut bytes = bytes.to_vec();
        if let Some(byte) = self.flip.checked_sub(self.sent).and_then(|at| bytes.get_mut(at as usize)) {
            *byte ^= 1;
        }
        let written = self.stream.write(&bytes)?;
        self.sent += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[test]
fn a_chunk_damaged_on_its_way_is_sent_again_and_no_other() {
    let (_dir, store) = new_store();
    let (bytes, pieces) = noise(1 << 20);
    let question = Put { manifest: manifest(1, &bytes), left: None, fresh: true, from: ME };
    let give = |stream: TcpStream| {
        let mut stream = Damaging { stream, sent: 0, flip: 600_000 };
        let payload = Payload { pieces: &pieces, file: &file(&bytes) };
        (upload(&mut stream, &question, Some(payload), &exchange()), stream.sent)
    };
    let ((outcome, sent), _) = connected(give, |mut stream| {
        let Question::Put(put) = read_question(&mut stream).unwrap() else { panic!("not a put") };
        serve_put(&mut stream, &put, &store, &exchange())
    });
    assert_eq!(outcome, Ok(()));
    assert_eq!(kept(&store), std::slice::from_ref(&bytes));
    let once = (bytes.len() + CHUNK) as u64;
    assert!((once..once + 2000).contains(&sent), "{sent}");
}

#[test]
fn an_upload_that_broke_off_goes_on() {
    let (dir, store) = new_store();
    let (bytes, pieces) = noise(1 << 20);
    let question = Put { manifest: manifest(1, &bytes), left: None, fresh: true, from: ME };
    let die = |mut stream: TcpStream| {
        let mut first = frame::bytes(&Question::Put(question.clone()).encode());
        first.extend(pieces.to_bytes());
        first.extend(&bytes[..10 * CHUNK + 77]);
        stream.write_all(&first).unwrap();
        assert!(matches!(read_reply(&mut stream), Ok(Reply::Lacks(_))));
        stream.shutdown(Shutdown::Write).unwrap();
    };
    let serve = |mut stream: TcpStream| {
        let Question::Put(put) = read_question(&mut stream).unwrap() else { panic!("not a put") };
        serve_put(&mut stream, &put, &store, &exchange())
    };
    assert!(matches!(connected(die, serve).1, Err(MoveError::Unreachable(_))));
    assert_eq!(files_in(dir.path(), "partial"), 2);
    let give = |stream: TcpStream| {
        let mut stream = Damaging { stream, sent: 0, flip: u64::MAX };
        let payload = Payload { pieces: &pieces, file: &file(&bytes) };
        (upload(&mut stream, &question, Some(payload), &exchange()), stream.sent)
    };
    let ((outcome, sent), _) = connected(give, serve);
    assert_eq!(outcome, Ok(()));
    assert!(sent < (6 * CHUNK + 2000) as u64, "{sent}");
    assert_eq!(kept(&store), [bytes]);
    assert_eq!(files_in(dir.path(), "partial"), 0);
}

#[test]
fn a_source_that_shrank_is_the_senders_own_trouble() {
    let (_dir, store) = new_store();
    let bytes = noise(200_000).0;
    let (sender, receiver) = put_as(&store, &manifest(1, &bytes), &bytes, &bytes[..150_000]);
    assert!(matches!(sender, Err(MoveError::Local(_))), "{sender:?}");
    assert!(matches!(receiver, Err(MoveError::Unreachable(_))), "{receiver:?}");
    assert!(kept(&store).is_empty());
}

#[test]
fn a_full_disk_reaches_the_sender_as_a_refusal() {
    let Some(disk) = SmallDisk::mount() else { return };
    let large = noise(32 << 20).0;
    let store = Store::open(disk.path(), None).unwrap();
    let (sender, receiver) = put(&store, 1, &large);
    assert_eq!(sender, Err(MoveError::Refused("no space left on its disk".to_owned())));
    assert!(matches!(receiver, Err(MoveError::Local(_))), "{receiver:?}");
    assert_eq!((files_in(disk.path(), "content"), files_in(disk.path(), "partial")), (0, 0));
    assert_eq!(put(&store, 1, b"fits"), (Ok(()), Ok(())));
}

#[test]
fn a_put_that_ends_anywhere_is_refused() {
    let mut conversation = Vec::new();
    let opening = Question::Put(Put { manifest: manifest(1, b"bytes"), left: None, fresh: true, from: ME });
    frame::write(&mut conversation, &opening.encode()).unwrap();
    let opening_len = conversation.len();
    conversation.extend_from_slice(b"bytes");
    let (_dir, store) = new_store();
    for len in 0..conversation.len() {
        let mut stream = Recorded { said: &conversation[..len], heard: Vec::new() };
        match read_question(&mut stream) {
            Err(BadFrame::Io(_)) => assert!(len < opening_len),
            Ok(Question::Put(put)) => {
                let outcome = serve_put(&mut stream, &put, &store, &exchange());
                assert!(matches!(outcome, Err(MoveError::Unreachable(_))), "{outcome:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(kept(&store).is_empty());
}

#[test]
fn a_refusal_is_heard() {
    let question = Put { manifest: manifest(1, b""), left: None, fresh: true, from: ME };
    let pieces = pieces_of(b"");
    let (outcome, _) = connected(
        |mut stream| upload(&mut stream, &question, Some(Payload { pieces: &pieces, file: &file(b"") }), &exchange()),
        |mut stream| {
            let Question::Put(put) = read_question(&mut stream).unwrap() else { panic!("not a put") };
            decline_put(&mut stream, &put, "busy: try later").unwrap();
        },
    );
    assert_eq!(outcome, Err(MoveError::Refused("busy: try later".to_owned())));
}

/// What a holder does with a file.
#[derive(Clone)]
enum Manner {
    /// It gives it.
    Honest,
    /// It says nothing before all that wait so have been asked, is slow then, and gives not much before all give.
    Together(Arc<Company>),
    /// It dies after so many bytes.
    Dies(u64),
    /// It has wrong bytes.
    Lies,
    /// It has a wrong byte in each of these chunks.
    Damaged(Vec<usize>),
    /// It has wrong bytes, and says so from the second time on; whether it was asked before.
    LiesAndAdmitsIt(Arc<AtomicBool>),
    /// It has wrong bytes, and opens this when it is asked for them.
    LiesFirst(Arc<OnceLock<()>>),
    /// It says nothing before this is open, and is slow then.
    After(Arc<OnceLock<()>>),
    /// It has a part of it, and gets no more.
    Part(Arc<Partial>),
    /// It does not have it.
    Missing,
    /// It says that it takes its time, for ever.
    Stalls,
}

/// Those who give together.
struct Company {
    asked: Barrier,
    /// How many have given more than a chunk, and how many will.
    giving: AtomicUsize,
    count: usize,
}

impl Company {
    fn of(count: usize) -> Arc<Company> {
        Arc::new(Company { asked: Barrier::new(count), giving: AtomicUsize::new(0), count })
    }

    /// Returns when all give. One that is never asked for so much is not waited for without end: then the test says so.
    fn wait(&self) {
        let begun = Instant::now();
        while self.giving.load(Ordering::SeqCst) < self.count && begun.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Several holders behind doors of their own.
struct Holders {
    contacts: Vec<Contact>,
    /// How many bytes each has sent.
    sent: Vec<Arc<AtomicU64>>,
    asked: Vec<Arc<AtomicU64>>,
    closing: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Counts what is sent, and does as its holder would.
struct Mannered {
    stream: TcpStream,
    sent: Arc<AtomicU64>,
    manner: Manner,
}

impl Read for Mannered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Mannered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.manner {
            Manner::Together(_) | Manner::After(_) => thread::sleep(Duration::from_millis(5)),
            Manner::Dies(after) if self.sent.load(Ordering::Relaxed) > *after => {
                // What it has sent arrives: closed with questions unread, the socket would take that back.
                self.stream.shutdown(Shutdown::Write)?;
                io::copy(&mut self.stream, &mut io::sink())?;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            _ => {}
        }
        let written = self.stream.write(bytes)?;
        let before = self.sent.fetch_add(written as u64, Ordering::Relaxed);
        if let Manner::Together(all) = &self.manner
            && (before..before + written as u64).contains(&(CHUNK as u64))
        {
            all.giving.fetch_add(1, Ordering::SeqCst);
            all.wait();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Holders {
    fn of(bytes: &[u8], manners: &[Manner]) -> Holders {
        let closing = Arc::new(AtomicBool::new(false));
        let mut holders =
            Holders { contacts: Vec::new(), sent: Vec::new(), asked: Vec::new(), closing, threads: Vec::new() };
        let exchange = Arc::new(exchange());
        for (number, manner) in manners.iter().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            holders.contacts.push(Contact { id: Id::numbered(number as u8), addr: listener.local_addr().unwrap() });
            let (sent, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            holders.sent.push(sent.clone());
            holders.asked.push(asked.clone());
            let (bytes, manner, closing, exchange) =
                (bytes.to_vec(), manner.clone(), holders.closing.clone(), exchange.clone());
            holders.threads.push(thread::spawn(move || {
                thread::scope(|scope| {
                    while let Ok((stream, _)) = listener.accept() {
                        if closing.load(Ordering::Relaxed) {
                            return;
                        }
                        asked.fetch_add(1, Ordering::Relaxed);
                        let mannered = Mannered { stream, sent: sent.clone(), manner: manner.clone() };
                        scope.spawn(|| serve(mannered, &bytes, &exchange));
                    }
                });
            }));
        }
        holders
    }

    fn sent(&self) -> Vec<u64> {
        self.sent.iter().map(|sent| sent.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        self.contacts.iter().for_each(|contact| drop(TcpStream::connect(contact.addr)));
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn serve(mut stream: Mannered, bytes: &[u8], exchange: &Exchange) {
    while let Ok(Question::Get(get)) = read_question(&mut stream) {
        let content = manifest(1, bytes).content;
        if let Manner::Stalls = stream.manner {
            stream.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
            while send(&mut stream, &message::Reply::Wait).is_ok() {
                let _ = stream.read(&mut [0]);
            }
            return;
        }
        if let Manner::LiesAndAdmitsIt(asked) = &stream.manner
            && asked.swap(true, Ordering::Relaxed)
        {
            return drop(send(&mut stream, &message::Reply::Damaged));
        }
        let whole = |bytes: &[u8]| Served::Whole { file: file(bytes), content, pieces: Some(pieces_of_good(content)) };
        let served = match &stream.manner {
            Manner::Missing | Manner::Stalls => None,
            Manner::Part(partial) => Some(Served::Growing(partial.clone())),
            Manner::Lies | Manner::LiesAndAdmitsIt(_) => Some(whole(&vec![b'x'; bytes.len()])),
            Manner::Damaged(chunks) => {
                let mut bytes = bytes.to_vec();
                chunks.iter().for_each(|chunk| bytes[chunk * CHUNK] ^= 1);
                Some(whole(&bytes))
            }
            // Gates open and are passed when there is nothing left but to give: the file to give takes a while to write.
            Manner::LiesFirst(gate) => {
                let whole = whole(&vec![b'x'; bytes.len()]);
                gate.get_or_init(|| ());
                Some(whole)
            }
            Manner::Honest | Manner::Dies(_) | Manner::Together(_) | Manner::After(_) if get.content.is_none() => {
                Some(Served::Lying { file: file(bytes), len_bytes: bytes.len() as u64 })
            }
            Manner::Honest | Manner::Dies(_) => Some(whole(bytes)),
            Manner::Together(all) => {
                let whole = whole(bytes);
                all.asked.wait();
                Some(whole)
            }
            Manner::After(gate) => {
                let whole = whole(bytes);
                gate.wait();
                Some(whole)
            }
        };
        if serve_get(&mut stream, &get, served, exchange, HERE).is_err() {
            return;
        }
    }
}

/// The lists of what tests give, by content.
fn pieces_of_good(content: Content) -> Pieces {
    noise_pieces().lock().unwrap()[&content].clone()
}

fn noise_pieces() -> &'static Mutex<BTreeMap<Content, Pieces>> {
    static KNOWN: Mutex<BTreeMap<Content, Pieces>> = Mutex::new(BTreeMap::new());
    &KNOWN
}

fn good(len: usize) -> Vec<u8> {
    let (bytes, pieces) = noise(len);
    noise_pieces().lock().unwrap().insert(pieces.content(), pieces);
    bytes
}

/// Lines without a pool.
struct Fresh;

impl Lines for Fresh {
    fn idle(&self, _to: SocketAddr) -> Option<TcpStream> {
        None
    }

    fn call(&self, to: SocketAddr) -> Result<TcpStream, MoveError> {
        let line = TcpStream::connect(to).map_err(|error| unreachable_by(&error))?;
        line.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Ok(line)
    }

    fn keep(&self, _to: SocketAddr, _line: TcpStream) {}
}

struct Taken {
    outcome: Result<(), MoveError>,
    told: Vec<Told>,
}

fn take_to(destination: &Path, bytes: &[u8], holders: &[Contact], exchange: &Exchange) -> Taken {
    let name = name();
    let content = manifest(1, bytes).content;
    let order = Order { name: &name, content, me: ME, port: 7, destination, seed: 7 };
    let told = Mutex::new(Vec::new());
    let outcome = take(&order, holders, &Fresh, exchange, &|one| told.lock().unwrap().push(one), &|| true);
    if outcome.is_ok() {
        assert!(fs::read(destination).unwrap() == bytes);
    }
    Taken { outcome, told: told.into_inner().unwrap() }
}

fn destination() -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("received_4103.pdf");
    (dir, path)
}

#[test]
fn any_content_is_got() {
    for len in [0, 1, CHUNK, CHUNK + 1, 3 << 20, (20 << 20) + 7] {
        let bytes = good(len);
        let (dir, destination) = destination();
        let holders = Holders::of(&bytes, &[Manner::Honest]);
        let taken = take_to(&destination, &bytes, &holders.contacts, &exchange());
        assert_eq!(taken.outcome, Ok(()), "{len}");
        assert_eq!(taken.told, [Told::Receiving(Id::numbered(0))]);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        assert!(holders.sent()[0] < (len + len / 1000 + 2000) as u64, "{len}");
    }
}

#[test]
fn long_content_comes_from_all_holders_at_once_and_short_content_from_one() {
    for (len, from) in [(20 << 20, 3), (2 << 20, 1)] {
        let all = Company::of(from);
        let manners = [(); 3].map(|()| Manner::Together(all.clone()));
        let bytes = good(len);
        let holders = Holders::of(&bytes, &manners);
        assert_eq!(take_to(&destination().1, &bytes, &holders.contacts, &exchange()).outcome, Ok(()));
        assert_eq!(holders.sent().iter().filter(|sent| **sent > CHUNK as u64).count(), from, "{:?}", holders.sent());
    }
}

#[test]
fn one_that_dies_and_one_that_lies_cost_little_and_are_told() {
    let bytes = good(20 << 20);
    let (_dir, destination) = destination();
    // The good one is not to be done before the liar is asked.
    let lied = Arc::default();
    let manners = [Manner::LiesFirst(Arc::clone(&lied)), Manner::Dies(3 << 20), Manner::After(lied)];
    let holders = Holders::of(&bytes, &manners);
    let Taken { outcome, told } = take_to(&destination, &bytes, &holders.contacts, &exchange());
    assert_eq!(outcome, Ok(()));
    let failed: Vec<&Told> = told.iter().filter(|told| matches!(told, Told::Failed(..))).collect();
    assert!(failed.contains(&&Told::Failed(Id::numbered(0), MoveError::Damaged)), "{told:?}");
    assert_eq!(holders.asked[0].load(Ordering::Relaxed), 1, "a liar is asked once");
    assert!(holders.sent().iter().sum::<u64>() < (24 << 20), "{:?}", holders.sent());
}

#[test]
fn copies_damaged_in_different_places_make_a_whole_one() {
    // At once, and one after the other.
    for len in [6 << 20, 2 << 20] {
        let bytes = good(len);
        let manners = [vec![1, 2, 12, 13], vec![30, 3], vec![31, 20, 4]].map(Manner::Damaged);
        let holders = Holders::of(&bytes, &manners);
        let (_dir, destination) = destination();
        let Taken { outcome, told } = take_to(&destination, &bytes, &holders.contacts, &exchange());
        assert_eq!(outcome, Ok(()), "{told:?}");
        for holder in 0..3 {
            let failed = Told::Failed(Id::numbered(holder), MoveError::Damaged);
            assert!(told.iter().filter(|told| **told == failed).count() <= 1, "{told:?}");
        }
        assert!(holders.sent().iter().sum::<u64>() < 4 * len as u64, "{:?}", holders.sent());
    }
}

#[test]
fn who_waits_for_the_rest_itself_keeps_nobody_from_being_asked() {
    // At once, and one after the other. A test that waits a minute has failed.
    for (len, idle) in [(6 << 20, take::MOST_SOURCES), (2 << 20, 1)] {
        let bytes = good(len);
        let dirs: Vec<TempDir> = (0..idle).map(|_| tempdir().unwrap()).collect();
        let nothing = dirs.iter().map(|dir| Manner::Part(part(dir, &bytes, 0..0)));
        let damaged = [vec![1], vec![30]].map(Manner::Damaged);
        let manners: Vec<Manner> = nothing.chain(damaged).collect();
        let holders = Holders::of(&bytes, &manners);
        let begun = std::time::Instant::now();
        let (_dir, destination) = destination();
        assert_eq!(take_to(&destination, &bytes, &holders.contacts, &exchange()).outcome, Ok(()));
        assert!(begun.elapsed() < swarm::STUCK_AFTER);
    }
}

#[test]
fn who_was_wrong_has_a_second_chance_and_no_third() {
    for len in [6 << 20, 2 << 20] {
        let bytes = good(len);
        let (_dir, destination) = destination();
        let holders = Holders::of(&bytes, &[Manner::LiesAndAdmitsIt(Arc::default())]);
        let Taken { outcome, told } = take_to(&destination, &bytes, &holders.contacts, &exchange());
        assert_eq!((outcome, told), (Err(MoveError::Damaged), vec![]));
        assert_eq!(holders.asked[0].load(Ordering::Relaxed), 2);
    }
}

#[test]
fn what_all_have_wrong_is_given_up_and_the_rest_is_kept() {
    for len in [6 << 20, 2 << 20] {
        let bytes = good(len);
        let (_dir, destination) = destination();
        let holders = Holders::of(&bytes, &[vec![1, 30], vec![30], vec![31, 30]].map(Manner::Damaged));
        let outcome = take_to(&destination, &bytes, &holders.contacts, &exchange()).outcome;
        assert_eq!(outcome, Err(MoveError::Damaged));
        let last = Holders::of(&bytes, &[Manner::Honest]);
        assert_eq!(take_to(&destination, &bytes, &last.contacts, &exchange()).outcome, Ok(()));
        assert!(last.sent()[0] < 2 * CHUNK as u64, "but the one chunk all is there: {:?}", last.sent());
    }
}

#[test]
fn one_that_stalls_before_it_gives_anything_holds_up_nobody() {
    let bytes = good(9_000_000);
    let holders = Holders::of(&bytes, &[Manner::Honest, Manner::Stalls]);
    let (_dir, destination) = destination();
    assert_eq!(take_to(&destination, &bytes, &holders.contacts, &exchange()).outcome, Ok(()));
}

#[test]
fn short_content_is_got_from_the_next_where_one_fails() {
    for len in [1000, 1 << 20] {
        let bytes = good(len);
        let (_dir, destination) = destination();
        let holders = Holders::of(&bytes, &[Manner::Missing, Manner::Lies, Manner::Honest]);
        let Taken { outcome, told } = take_to(&destination, &bytes, &holders.contacts, &exchange());
        assert_eq!(outcome, Ok(()));
        assert_eq!(told[0], Told::Failed(Id::numbered(0), MoveError::Missing));
        assert!(told.contains(&Told::Failed(Id::numbered(1), MoveError::Damaged)), "{told:?}");
    }
}

#[test]
fn when_all_fail_the_last_says_why_and_nothing_wrong_is_kept() {
    for (manners, error) in [(vec![Manner::Missing, Manner::Lies], MoveError::Damaged), (vec![], MoveError::Missing)] {
        let bytes = good(1 << 20);
        let (dir, destination) = destination();
        let holders = Holders::of(&bytes, &manners);
        assert_eq!(take_to(&destination, &bytes, &holders.contacts, &exchange()).outcome, Err(error));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    }
}

#[test]
fn the_next_order_goes_on_where_the_last_one_stopped() {
    let bytes = good(2 << 20);
    let (_dir, destination) = destination();
    let first = Holders::of(&bytes, &[Manner::Dies(1 << 20)]);
    let outcome = take_to(&destination, &bytes, &first.contacts, &exchange()).outcome;
    assert!(matches!(outcome, Err(MoveError::Unreachable(_))), "{outcome:?}");
    let second = Holders::of(&bytes, &[Manner::Honest]);
    assert_eq!(take_to(&destination, &bytes, &second.contacts, &exchange()).outcome, Ok(()));
    let both = first.sent()[0] + second.sent()[0];
    assert!(both < (bytes.len() + 10 * CHUNK) as u64, "{both}");
    assert!(second.sent()[0] < (bytes.len() / 2 + 8 * CHUNK) as u64);
}

/// A partial with these chunks of the bytes.
fn part(dir: &TempDir, bytes: &[u8], chunks: std::ops::Range<u64>) -> Arc<Partial> {
    let pieces = pieces_of(bytes);
    let partial = Partial::open(&Place::within(dir.path(), &pieces.content()), &pieces).unwrap();
    for index in chunks {
        let chunk = &bytes[pieces.start(index) as usize..][..pieces.chunk_len(index) as usize];
        partial.accept(index, chunk).unwrap();
    }
    Arc::new(partial)
}

#[test]
fn those_who_have_a_part_give_it() {
    let bytes = good(5 << 20);
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let manners = [Manner::Part(part(&one, &bytes, 0..40)), Manner::Part(part(&two, &bytes, 40..80))];
    let holders = Holders::of(&bytes, &manners);
    assert_eq!(take_to(&destination().1, &bytes, &holders.contacts, &exchange()).outcome, Ok(()));
    assert!(holders.sent().iter().all(|sent| *sent > (2 << 20)), "{:?}", holders.sent());
}

#[test]
fn what_comes_to_a_giver_later_is_heard_of() {
    let bytes = good(5 << 20);
    let dir = tempdir().unwrap();
    let partial = part(&dir, &bytes, 0..40);
    let holders = Holders::of(&bytes, &[Manner::Part(partial.clone())]);
    let (_dir, destination) = destination();
    thread::scope(|scope| {
        let taking = scope.spawn(|| take_to(&destination, &bytes, &holders.contacts, &exchange()).outcome);
        while holders.sent()[0] < 40 * CHUNK as u64 {
            thread::yield_now();
        }
        for index in 40..80 {
            let chunk = &bytes[index * CHUNK..][..CHUNK];
            partial.accept(index as u64, chunk).unwrap();
        }
        assert_eq!(taking.join().unwrap(), Ok(()));
    });
}

#[test]
fn takers_hear_of_each_other_and_get_on() {
    let bytes = good(6 << 20);
    let dir = tempdir().unwrap();
    // The holder dies half-way; another taker has the rest.
    let other = Holders::of(&bytes, &[Manner::Part(part(&dir, &bytes, 0..96))]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let holder = Contact { id: ME, addr: listener.local_addr().unwrap() };
    let (taker, list) = (other.contacts[0].addr, pieces_of(&bytes).to_bytes());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = listener.accept().unwrap().0;
            read_question(&mut stream).unwrap();
            let bits = ChunkSet::none(96).as_bytes().to_vec();
            send(&mut stream, &Reply::Holds { bits: Some(bits), takers: vec![taker] }).unwrap();
            assert_eq!(read_question(&mut stream).unwrap(), Question::Hashes);
            send(&mut stream, &Reply::Hashes).unwrap();
            stream.write_all(&list).unwrap();
            // Idle questions until the taker has all from elsewhere.
            while let Ok(Question::Want(_)) = read_question(&mut stream) {
                send(&mut stream, &Reply::Give { run: 0..0, new: vec![], takers: vec![] }).unwrap();
            }
        });
        assert_eq!(take_to(&destination().1, &bytes, &[holder], &exchange()).outcome, Ok(()));
    });
    assert!(other.sent()[0] > 6 << 20);
}

#[test]
fn a_list_that_proves_nothing_is_not_believed() {
    let bytes = good(1 << 20);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let holder = Contact { id: ME, addr: listener.local_addr().unwrap() };
    let mut list = pieces_of(&bytes).to_bytes();
    list[99] ^= 4;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = listener.accept().unwrap().0;
            read_question(&mut stream).unwrap();
            send(&mut stream, &Reply::Holds { bits: None, takers: vec![] }).unwrap();
            read_question(&mut stream).unwrap();
            send(&mut stream, &Reply::Hashes).unwrap();
            stream.write_all(&list).unwrap();
        });
        let (dir, destination) = destination();
        let outcome = take_to(&destination, &bytes, &[holder], &exchange()).outcome;
        assert_eq!(outcome, Err(MoveError::Damaged));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    });
}

#[test]
fn what_is_not_here_cannot_be_wanted() {
    let bytes = good(1 << 20);
    let dir = tempdir().unwrap();
    let partial = part(&dir, &bytes, 0..4);
    for wanted in [2..5, 15..17, 0..u64::MAX] {
        let get = Get { name: name(), content: Some(manifest(1, &bytes).content), from: ME, port: 7 };
        let (near, far) = connected(
            |mut stream| {
                ask(&mut stream, &Question::Get(get.clone())).unwrap();
                let Reply::Holds { bits: Some(bits), .. } = read_reply(&mut stream).unwrap() else { panic!("not all") };
                assert_eq!(bits, [0xf0, 0]);
                ask(&mut stream, &Question::Want(wanted)).unwrap();
                read_reply(&mut stream)
            },
            |mut stream| {
                let Question::Get(get) = read_question(&mut stream).unwrap() else { panic!("not a get") };
                serve_get(&mut stream, &get, Some(Served::Growing(partial.clone())), &exchange(), HERE)
            },
        );
        assert!(matches!(near, Err(MoveError::Refused(_))), "{near:?}");
        assert!(matches!(far, Err(MoveError::Refused(_))), "{far:?}");
    }
}

#[test]
fn a_requester_without_room_blames_itself_and_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount() else { return };
    let bytes = good(32 << 20);
    let holders = Holders::of(&bytes, &[Manner::Honest, Manner::Honest]);
    let outcome = take_to(&disk.path().join("received"), &bytes, &holders.contacts, &exchange()).outcome;
    assert!(matches!(&outcome, Err(MoveError::Local(reason)) if reason.starts_with("no space left")), "{outcome:?}");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[test]
fn a_file_nobody_knows_the_hash_of_is_checked_by_what_its_holder_sent() {
    let bytes = good(100_000);
    let get = Get { name: name(), content: None, from: ME, port: 7 };
    let holders = Holders::of(&bytes, &[Manner::Missing, Manner::Dies(0), Manner::Honest]);
    let (dir, destination) = destination();
    let told = Mutex::new(Vec::new());
    let outcome = fetch(&get, &holders.contacts, &destination, &Fresh, &|one| told.lock().unwrap().push(one));
    assert_eq!(outcome, Ok(()));
    assert_eq!(fs::read(&destination).unwrap(), bytes);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    assert_eq!(told.into_inner().unwrap().last(), Some(&Told::Receiving(Id::numbered(2))));
}

#[test]
fn an_inspection_says_which_versions_are_here_and_whether_they_are_right() {
    use crate::ground::{Copy, Health};
    let (dir, store) = new_store();
    let bytes = noise(300_000).0;
    put(&store, 1, b"one").0.unwrap();
    put(&store, 2, &bytes).0.unwrap();
    let ask = |verify| {
        connected(
            |mut stream| inspect(&mut stream, &name(), verify).unwrap(),
            |mut stream| {
                let Question::Inspect { name, verify } = read_question(&mut stream).unwrap() else { panic!() };
                serve_inspect(&mut stream, &store, &name, verify).unwrap()
            },
        )
    };
    let both = |one, two| {
        let copy = |manifest, health| Copy { manifest, health };
        vec![copy(manifest(2, &bytes), two), copy(manifest(1, b"one"), one)]
    };
    assert_eq!(ask(false).0, both(Health::Here, Health::Here));
    assert_eq!(ask(true).0, both(Health::Verified, Health::Verified));
    let content = blake3::hash(&bytes).to_hex();
    let damaged = File::options().write(true).open(dir.path().join("content").join(content.as_str())).unwrap();
    damaged.write_all_at(b"evil", 70_000).unwrap();
    let bad = Health::Damaged { bad: 1, chunks: 5 };
    assert_eq!(ask(true), (both(Health::Verified, bad), vec![manifest(2, &bytes)]));
    assert_eq!(ask(true), (both(Health::Verified, bad), vec![manifest(2, &bytes)]), "it stays, and stays so");
    put(&store, 2, &bytes).0.unwrap();
    assert_eq!(ask(true), (both(Health::Verified, Health::Verified), Vec::new()));
}

#[test]
fn a_list_of_any_length_is_told() {
    for len in [0, 1, 100, 101, 250] {
        let names = (0..len).map(|number| FileName::parse(&format!("file {number}")).unwrap());
        let manifests: Vec<Manifest> = names.map(|name| Manifest { name, ..manifest(1, b"") }).collect();
        let (heard, _) = connected(
            |mut stream| list(&mut stream),
            |mut stream| {
                assert_eq!(read_question(&mut stream).unwrap(), Question::List);
                serve_list(&mut stream, &manifests).unwrap();
            },
        );
        assert_eq!(heard, Ok(manifests));
    }
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
        let _ = read_question(&mut &bytes[..]);
        let _ = Question::decode(&bytes);
        let _ = Reply::decode(&bytes);
    }
}
