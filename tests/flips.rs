//! One bit flips: on its way to a taker, on its way to a keeper, or at rest. Wrong bytes are never accepted, a file
//! arrives while one good copy is left, and little is sent in vain.
//!
//! Both ends of each connection are in this process; the end that sends is wrapped in one that flips the bit.

use p2p::ground::{Chance, Contact, Content, FileName, Id, Manifest, MoveError};
use p2p::store::{Pieces, Store, pieces::PieceHasher};
use p2p::transfer::{
    Exchange, Limits, Lines, Order, Payload, Put, Question, Served, Told, read_question, serve_get, serve_put, take,
    upload,
};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;
use tempfile::{TempDir, tempdir};

const HOLDERS: usize = 3;
const CHUNK: u64 = 64 << 10;
const MOST_BYTES: u64 = 1 << 20;
/// What all frames of a transfer have together, and a little more: some bits that should flip are never sent.
const FRAMES: u64 = 400;
/// How long the other end of a line is waited for.
const SOON: Duration = Duration::from_secs(30);
/// The same when the bit has flipped: a flipped length lets both wait for what never comes.
const PATIENCE: Duration = Duration::from_millis(100);
/// Most bytes that a flipped bit may cost, for each holder that gives it: the file once more, its list, and what is said.
const MOST_WASTED: u64 = MOST_BYTES + 16 * 32 + 4 * FRAMES;
/// Files that are worked on at once: most of the time goes into waiting for the disk.
const AT_ONCE: usize = 4;

#[test]
fn a_flipped_bit_is_never_accepted_and_no_file_is_lost_to_it() {
    println!("{}", transfers(600));
}

#[test]
#[ignore = "nightly: takes minutes"]
fn a_flipped_bit_is_never_accepted_in_ten_thousand_transfers() {
    println!("{}", transfers(10_000));
}

/// Which bit of what one end sends flips.
#[derive(Clone, Copy, Debug)]
enum Flip {
    None,
    /// This one.
    Bit(u64),
    /// This one of the list of hashes.
    OfList(u64),
}

/// A stream on which a bit flips on its way out.
struct Flipping<'f> {
    stream: TcpStream,
    flip: Flip,
    list: &'f [u8],
    sent: u64,
    flipped: bool,
}

impl Flipping<'_> {
    fn new(stream: TcpStream, flip: Flip, list: &[u8]) -> Flipping<'_> {
        stream.set_nodelay(true).unwrap();
        Flipping { stream, flip, list, sent: 0, flipped: false }
    }
}

impl Read for Flipping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Flipping<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut bytes = bytes.to_vec();
        let bit = match self.flip {
            Flip::Bit(bit) => bit.checked_sub(self.sent * 8),
            Flip::OfList(bit) if bytes == self.list => Some(bit),
            Flip::OfList(_) | Flip::None => None,
        };
        if let Some((bit, byte)) = bit.and_then(|bit| Some((bit, bytes.get_mut((bit / 8) as usize)?))) {
            *byte ^= 1 << (bit % 8);
            self.flipped = true;
            // Not before: a line that is slow to begin does not wait in vain. When this end goes away, the other one does.
            self.stream.set_read_timeout(Some(PATIENCE))?;
        }
        self.stream.write_all(&bytes)?;
        self.sent += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A file, and three who hold it in stores of their own.
struct Held {
    seed: u64,
    bytes: Vec<u8>,
    pieces: Pieces,
    list: Vec<u8>,
    manifest: Manifest,
    holders: Vec<Holder>,
}

struct Holder {
    dir: TempDir,
    store: Store,
    exchange: Exchange,
    contact: Contact,
}

impl Holder {
    fn content_path(&self, content: &Content) -> PathBuf {
        self.dir.path().join("content").join(blake3::Hash::from_bytes(content.hash).to_hex().as_str())
    }

    /// Damages what lies here; called again, heals it.
    fn flip_at_rest(&self, content: &Content, bit: u64) {
        let file = File::options().read(true).write(true).open(self.content_path(content)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, bit / 8).unwrap();
        byte[0] ^= 1 << (bit % 8);
        file.write_all_at(&byte, bit / 8).unwrap();
    }
}

fn exchange() -> Exchange {
    Exchange::new(Limits::default(), 7)
}

fn manifest(name: &str, pieces: &Pieces) -> Manifest {
    Manifest::after(None, FileName::parse(name).unwrap(), pieces.content(), Id::numbered(2))
}

/// Mostly several chunks, at times one or none.
fn random_bytes(chance: &mut Chance) -> (Vec<u8>, Pieces) {
    let len = match chance.within(0..10) {
        0 => 0,
        1 => chance.within(1..CHUNK + 1),
        _ => chance.within(CHUNK + 1..MOST_BYTES + 1),
    };
    let bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| chance.bits().to_le_bytes()).take(len as usize).collect();
    let mut hasher = PieceHasher::default();
    hasher.update(&bytes);
    (bytes, hasher.finish())
}

impl Held {
    fn by_three(seed: u64, chance: &mut Chance) -> Held {
        let (bytes, pieces) = random_bytes(chance);
        let manifest = manifest("4103", &pieces);
        let holders = (0..HOLDERS as u16).map(|number| {
            let dir = tempdir().unwrap();
            let store = Store::open(dir.path(), None).unwrap();
            // As it comes from another peer: with its list.
            let incoming = store.receive(&manifest, &pieces).unwrap();
            for index in 0..pieces.count() {
                let start = pieces.start(index) as usize;
                incoming.partial().accept(index, &bytes[start..][..pieces.chunk_len(index) as usize]).unwrap();
            }
            incoming.commit(None, true).unwrap();
            let contact = Contact { id: Id::numbered(number as u8), addr: ([127, 0, 0, 1], 1 + number).into() };
            Holder { dir, store, exchange: exchange(), contact }
        });
        let holders = holders.collect();
        Held { seed, list: pieces.to_bytes(), bytes, pieces, manifest, holders }
    }

    /// Takes the file from all three, from `first` first, where the bit flips. Wrong bytes end the test.
    fn take(&self, first: usize, flip: Flip) -> Taken {
        let dir = tempdir().unwrap();
        let destination = dir.path().join("received");
        let mut contacts: Vec<Contact> = self.holders.iter().map(|holder| holder.contact).collect();
        contacts.rotate_left(first);
        let content = self.manifest.content;
        let order = Order {
            name: &self.manifest.name,
            content,
            me: Id::numbered(9),
            port: 9,
            destination: &destination,
            seed: self.seed,
        };
        let (sent, flipped, given_up) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let outcome = thread::scope(|scope| {
            let flips = Mutex::new(Some((contacts[0].addr, flip)));
            let lines = Calls { scope, held: self, flips, sent: &sent, flipped: &flipped };
            take(
                &order,
                &contacts,
                &lines,
                &exchange(),
                &|told| match told {
                    Told::Failed(..) => _ = given_up.fetch_add(1, Ordering::Relaxed),
                    Told::Receiving(_) => {}
                },
                &|| true,
            )
        });
        match &outcome {
            Ok(()) => assert!(fs::read(&destination).unwrap() == self.bytes, "{}: wrong bytes, {flip:?}", self.seed),
            Err(_) => assert!(!destination.exists(), "{}: it failed and is there, {flip:?}", self.seed),
        }
        let flipped = flipped.into_inner() > 0;
        Taken { outcome, sent: sent.into_inner(), flipped, given_up: given_up.into_inner() }
    }
}

struct Taken {
    outcome: Result<(), MoveError>,
    /// Bytes that all holders sent.
    sent: u64,
    flipped: bool,
    given_up: usize,
}

/// Connects to holders: each call is answered by a thread of its own.
struct Calls<'s, 'e> {
    scope: &'s Scope<'s, 'e>,
    held: &'e Held,
    /// What flips, and on the first line to whom.
    flips: Mutex<Option<(SocketAddr, Flip)>>,
    sent: &'e AtomicU64,
    flipped: &'e AtomicUsize,
}

impl Lines for Calls<'_, '_> {
    fn idle(&self, _to: SocketAddr) -> Option<TcpStream> {
        None
    }

    fn call(&self, to: SocketAddr) -> Result<TcpStream, MoveError> {
        let flip = self.flips.lock().unwrap().take_if(|(at, _)| *at == to).map_or(Flip::None, |(_, flip)| flip);
        let (near, far) = connected();
        let (held, sent, flipped) = (self.held, self.sent, self.flipped);
        let holder = held.holders.iter().find(|holder| holder.contact.addr == to).unwrap();
        self.scope.spawn(move || {
            let mut far = Flipping::new(far, flip, &held.list);
            if let Ok(Question::Get(get)) = read_question(&mut far) {
                let content = held.manifest.content;
                let list = holder.store.pieces(&content);
                let pieces = list.and_then(|list| Pieces::from_bytes(content, &list));
                let served = Served::Whole { file: holder.store.open_content(&content).unwrap(), content, pieces };
                // A taker that has had enough goes away.
                let _ = serve_get(&mut far, &get, Some(served), &holder.exchange, IpAddr::V4(Ipv4Addr::LOCALHOST));
            }
            sent.fetch_add(far.sent, Ordering::Relaxed);
            flipped.fetch_add(usize::from(far.flipped), Ordering::Relaxed);
        });
        Ok(near)
    }

    fn keep(&self, _to: SocketAddr, _line: TcpStream) {}
}

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let far = listener.accept().unwrap().0;
    [&near, &far].into_iter().for_each(|end| end.set_read_timeout(Some(SOON)).unwrap());
    (near, far)
}

/// What came of many transfers; wrong bytes end the test before they are counted.
#[derive(Default)]
struct Tally {
    transfers: usize,
    flipped: usize,
    given_up: usize,
    wasted: u64,
    most_wasted: u64,
    /// Uploads that ended well at once, that is not as the sender meant: another name, version or time.
    other_manifest: usize,
}

impl Tally {
    /// `wrong`: at how many holders a bit is.
    fn count(&mut self, flipped: bool, wrong: usize, given_up: usize, wasted: u64) {
        self.transfers += 1;
        self.flipped += usize::from(flipped);
        self.given_up += given_up;
        self.wasted += wasted;
        self.most_wasted = self.most_wasted.max(wasted);
        assert!(wasted <= wrong as u64 * MOST_WASTED, "{wasted} bytes for a bit at {wrong}");
    }

    fn add(&mut self, other: Tally) {
        self.transfers += other.transfers;
        self.flipped += other.flipped;
        self.given_up += other.given_up;
        self.wasted += other.wasted;
        self.most_wasted = self.most_wasted.max(other.most_wasted);
        self.other_manifest += other.other_manifest;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Tally { transfers, flipped, given_up, wasted, most_wasted, other_manifest } = self;
        writeln!(f, "{transfers} transfers: 0 wrong, {wasted} bytes wasted in all, at most {most_wasted} in one")?;
        write!(f, "{flipped} bits flipped, {given_up} times a holder was given up, ")?;
        write!(f, "{other_manifest} uploads kept under another name, version or time")
    }
}

/// At least so many transfers, some thirty of each file; a seed decides what it is, and which bits flip.
fn transfers(wanted: usize) -> Tally {
    let (tally, seeds) = (Mutex::new(Tally::default()), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let keeper_dir = tempdir().unwrap();
                let keeper = Store::open(keeper_dir.path(), None).unwrap();
                while tally.lock().unwrap().transfers < wanted {
                    let seed = seeds.fetch_add(1, Ordering::Relaxed);
                    let mut chance = Chance::seeded(seed);
                    let held = Held::by_three(seed, &mut chance);
                    let mut own = Tally::default();
                    take_flipped(&held, &mut chance, &mut own);
                    take_damaged(&held, &mut chance, &mut own);
                    put_flipped(&keeper, keeper_dir.path(), &held, &mut chance, &mut own);
                    tally.lock().unwrap().add(own);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    assert!(tally.flipped * 10 > tally.transfers * 8, "{tally}: most bits that should flip are sent");
    tally
}

/// Half of the bits anywhere, the other half in what is said between the bytes.
fn any_bit(chance: &mut Chance, held: &Held) -> u64 {
    let said = FRAMES / 2 + held.list.len() as u64;
    let all = if chance.happens(0.5) { said } else { said + held.bytes.len() as u64 };
    chance.within(0..all * 8)
}

/// A bit flips on its way from each holder in turn: anywhere, and in its list.
fn take_flipped(held: &Held, chance: &mut Chance, tally: &mut Tally) {
    let good = held.take(0, Flip::None);
    assert_eq!(good.outcome, Ok(()));
    let mut take = |first, flip| {
        let taken = held.take(first, flip);
        assert_eq!(taken.outcome, Ok(()), "{}: two of three are good, {flip:?}", held.seed);
        tally.count(taken.flipped, 1, taken.given_up, taken.sent.saturating_sub(good.sent));
        taken
    };
    for at in 0..4 * HOLDERS {
        take(at % HOLDERS, Flip::Bit(any_bit(chance, held)));
    }
    for first in 0..HOLDERS {
        if held.pieces.count() > 1 {
            let taken = take(first, Flip::OfList(chance.within(0..held.list.len() as u64 * 8)));
            assert_eq!((taken.flipped, taken.given_up), (true, 1), "{}: it is not believed", held.seed);
        }
    }
}

/// A bit has flipped on the disk of each holder in turn, of all but one, and of all.
fn take_damaged(held: &Held, chance: &mut Chance, tally: &mut Tally) {
    if held.bytes.is_empty() {
        return;
    }
    let good = held.take(0, Flip::None);
    let bit = chance.within(0..held.bytes.len() as u64 * 8);
    let content = held.manifest.content;
    for first in 0..HOLDERS {
        for damaged in 1..=HOLDERS {
            // Once is enough where it is the same for whoever is first.
            if damaged > 1 && first != held.seed as usize % HOLDERS {
                continue;
            }
            let at = || (0..damaged).map(|step| &held.holders[(first + step) % HOLDERS]);
            at().for_each(|holder| holder.flip_at_rest(&content, bit));
            let taken = held.take(first, Flip::None);
            at().for_each(|holder| holder.flip_at_rest(&content, bit));
            match damaged < HOLDERS {
                true => assert_eq!((taken.outcome, taken.given_up), (Ok(()), damaged), "{}", held.seed),
                false => assert_eq!(taken.outcome, Err(MoveError::Damaged), "{}: all have it wrong", held.seed),
            }
            // Where nothing arrived, nothing was got in vain that something better was there for.
            let wasted = if damaged < HOLDERS { taken.sent.saturating_sub(good.sent) } else { 0 };
            tally.count(true, damaged, taken.given_up, wasted);
        }
    }
}

/// A bit flips on its way to a keeper; then the same is put again.
fn put_flipped(keeper: &Store, keeper_dir: &Path, held: &Held, chance: &mut Chance, tally: &mut Tally) {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&held.bytes, 0).unwrap();
    let put = |manifest: &Manifest, flip| {
        let put = Put { manifest: manifest.clone(), left: None, fresh: true, from: Id::numbered(2) };
        let (near, mut far) = connected();
        let mut near = Flipping::new(near, flip, &held.list);
        thread::scope(|scope| {
            scope.spawn(move || {
                if let Ok(Question::Put(put)) = read_question(&mut far) {
                    // Whatever it was: what counts is what is kept.
                    let _ = serve_put(&mut far, &put, keeper, &exchange());
                }
            });
            let payload = Payload { pieces: &held.pieces, file: &file };
            let outcome = upload(&mut near, &put, Some(payload), &exchange());
            // The keeper reads to the end of what it waits for.
            let _ = near.stream.shutdown(Shutdown::Both);
            (outcome, near.sent, near.flipped)
        })
    };
    let forget_all = || keeper.held().iter().for_each(|kept| keeper.forget(&kept.manifest).unwrap());
    let (good, sent_good, _) = put(&held.manifest, Flip::None);
    assert_eq!(good, Ok(()));
    forget_all();
    for _ in 0..10 {
        let flip = Flip::Bit(any_bit(chance, held));
        let (first, sent_first, flipped) = put(&held.manifest, flip);
        are_right(keeper_dir);
        let is_kept = keeper.versions(&held.manifest.name.key()).contains(&held.manifest);
        tally.other_manifest += usize::from(first.is_ok() && !is_kept);
        let (mut second, mut sent, _) = put(&held.manifest, Flip::None);
        if let Err(MoveError::Outdated(later)) = &second {
            // The bit has made a later version of it: what is stored now follows that.
            let Manifest { name, content, stored_by, .. } = held.manifest.clone();
            let next = Manifest::after(Some(later), name, content, stored_by);
            (second, sent, _) = put(&next, Flip::None);
        }
        assert_eq!(second, Ok(()), "{}: {flip:?}", held.seed);
        are_right(keeper_dir);
        forget_all();
        let wasted = (sent_first + sent).saturating_sub(sent_good);
        tally.count(flipped, 1, 0, wasted);
    }
}

/// All content of a store is what its name says.
fn are_right(store: &Path) {
    for entry in fs::read_dir(store.join("content")).unwrap() {
        let path = entry.unwrap().path();
        let hash = blake3::hash(&fs::read(&path).unwrap()).to_hex();
        assert_eq!(path.file_name().unwrap().to_str(), Some(hash.as_str()), "it keeps wrong bytes");
    }
}
