//! What goes into a peer and what comes out: the whole of its contact with the world.

pub use super::contacts::{Contacts, KnownContact, Whom};
pub use super::looking_up::{LookedUp, LookupStep};
pub use super::tracing::{Hop, Ruler, Trace};
pub use crate::ground::MoveError;
use crate::ground::krpc::Network;
use crate::ground::{Contact, Content, Copy, FileName, Id, Item, Manifest, Secret};
pub use crate::overlay::{Acquaintance, Geometry, Reason, Role};
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;

/// Connects an input with the output it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A UDP datagram arrived.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// Somebody wants something done. Ends in one [`Output::Answer`] with the same ticket, chosen by the driver.
    Command {
        /// For the answer.
        ticket: Ticket,
        /// What.
        command: Command,
    },
    /// An [`Output::Move`] came to its end.
    Moved {
        /// The move's.
        ticket: Ticket,
        /// How.
        outcome: Result<(), MoveError>,
    },
    /// An [`Move::Inspect`] came to its end.
    Inspected {
        /// The move's.
        ticket: Ticket,
        /// All versions held there, the highest first.
        outcome: Result<Vec<Copy>, MoveError>,
    },
    /// An [`Move::List`] came to its end.
    Listed {
        /// The move's.
        ticket: Ticket,
        /// The version that answers for each name held there.
        outcome: Result<Vec<Manifest>, MoveError>,
    },
    /// Somebody's upload is complete, verified and durable in our store.
    Received {
        /// What.
        manifest: Manifest,
        /// What is left of its life, where that has an end.
        left: Option<Duration>,
    },
    /// The bytes of this version in our store are wrong; the store has dropped it.
    Damaged(Manifest),
    /// An [`Output::Probe`] came to its end.
    Probed {
        /// Whom it was for.
        addr: SocketAddr,
        /// Its machine holds the port open: somebody is there, if perhaps too busy to answer.
        open: bool,
    },
    /// The system says that nobody listens there (ICMP).
    Unreachable(SocketAddr),
    /// Those by whom it joined, or shall find its network again, are to be asked here. None of its contacts is.
    Known(Vec<SocketAddr>),
    /// Where others reach us by now, as in [`Config::reached_at`](super::Config::reached_at).
    ReachedAt(Vec<SocketAddr>),
    /// An [`Output::Look`] came to its end.
    Looked {
        /// The look's.
        ticket: Ticket,
        /// There is such a file.
        found: bool,
    },
    /// The moment of [`Peer::wake_at`](super::Peer::wake_at) has come. To be said after all datagrams that are waiting.
    Wake,
}

/// What people and programs can want of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Keep this file in the network. The driver holds the bytes ready under the command's ticket.
    Store {
        /// Under this name.
        name: FileName,
        /// The bytes.
        content: Content,
        /// How long; none: until it is removed.
        ttl: Option<Duration>,
    },
    /// Bring this file here.
    Request {
        /// Its name.
        name: FileName,
        /// Which version; none: the one that answers.
        version: Option<u64>,
    },
    /// Let nobody find this file any more, whatever copies come back.
    Remove {
        /// Its name.
        name: FileName,
    },
    /// Find out who holds which versions of a file.
    Inspect {
        /// Its name.
        name: FileName,
        /// All bytes are to be read, and compared with their hash.
        verify: bool,
        /// What is found lacking is to be made good first.
        mend: bool,
    },
    /// Find out which files there are in the network.
    List,
    /// Find out who keeps what belongs at a key, and tell the way there.
    LookUp {
        /// The key.
        key: Id,
    },
    /// Keep a small value in the network (BEP 44).
    Put {
        /// What.
        publication: Publication,
        /// Promise it a day, in which this peer and its keepers publish it again. Otherwise it is for the caller to do so.
        promised: bool,
    },
    /// Find a small value.
    Find(Sought),
    /// Say that a torrent can be had here (BEP 5).
    Announce {
        /// Which.
        info_hash: Id,
        /// At which port; none: at the one this peer asks from.
        port: Option<u16>,
        /// All of it.
        seed: bool,
    },
    /// Find who has a torrent.
    FindPeers {
        /// Which.
        info_hash: Id,
        /// How many they are is wanted too (BEP 33).
        scrape: bool,
    },
    /// Ask those near an id what torrents they know of (BEP 51).
    Sample(Id),
    /// Say whom this peer knows.
    Contacts,
    /// Find out how long somebody takes to answer.
    Ping(Whom),
    /// Find who keeps a file, and say each step of the way.
    Trace {
        /// Its name.
        name: FileName,
        /// The way that this geometry would take; none: the network's own.
        ruler: Option<Ruler>,
    },
    /// Hand over what is held, tell the others, go.
    Leave,
}

impl Command {
    /// It looks for a place in the network: it cannot be begun before the peer knows what is its own to keep.
    pub fn is_about_places(&self) -> bool {
        !matches!(self, Command::Leave | Command::Contacts | Command::Ping(_))
    }
}

/// A value to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// Bencoded; its key is its hash.
    Immutable(Vec<u8>),
    /// Under a key pair.
    Mutable {
        /// The pair.
        secret: Secret,
        /// Tells several values of one pair apart.
        salt: Vec<u8>,
        /// The version; none: one more than the network has.
        seq: Option<i64>,
        /// Only if the network has this version.
        cas: Option<i64>,
        /// Bencoded.
        value: Vec<u8>,
    },
}

/// A value looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// With this hash.
    Immutable(Id),
    /// Signed with this key.
    Mutable {
        /// The public key.
        key: [u8; 32],
        /// Its salt.
        salt: Vec<u8>,
    },
}

/// Something a peer knew, from an earlier run.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Of what; each is there once.
    pub key: Vec<u8>,
    /// What.
    pub value: Vec<u8>,
    /// How long ago it was noted.
    pub age: Duration,
}

/// What a peer wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a UDP datagram.
    Send {
        /// Where to.
        to: SocketAddr,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// Move a file's bytes; ends in [`Input::Moved`].
    Move {
        /// For the outcome.
        ticket: Ticket,
        /// From where to where.
        task: Move,
    },
    /// Find out whether a port is still held open (a TCP connection, closed at once); ends in [`Input::Probed`].
    Probe {
        /// Whose.
        addr: SocketAddr,
    },
    /// Look whether the working folder has a file for this four-digit name; ends in [`Input::Looked`].
    Look {
        /// For the outcome.
        ticket: Ticket,
        /// The name.
        name: FileName,
    },
    /// All who shall keep this version have it and we are none of them, or its time is over: drop the copy.
    Forget(Manifest),
    /// Remember this for the next run, as a [`Memory`], instead of what has been noted under the key so far.
    Note {
        /// Of what.
        key: Vec<u8>,
        /// What; none: it is to be forgotten.
        value: Option<Vec<u8>>,
    },
    /// The end of a command.
    Answer {
        /// The command's.
        ticket: Ticket,
        /// How it ended.
        answer: Answer,
    },
    /// Something worth telling that nobody asked for.
    News(News),
}

/// Bytes to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Into our own store, from the bytes under a command's ticket. No [`Input::Received`] is said of it.
    Keep {
        /// What.
        manifest: Manifest,
        /// The command's ticket.
        source: Ticket,
    },
    /// To another peer's store; done when it said that they are durable there.
    Upload {
        /// What. What says "removed" has no bytes.
        manifest: Manifest,
        /// What is left of its life, where that has an end.
        left: Option<Duration>,
        /// From the bytes under a command's ticket, which is just being stored; from our own store where there is none.
        source: Option<Ticket>,
        /// Whose store.
        to: Contact,
    },
    /// From other peers to the file the requester gets. It fails when all of them have; what arrived before is kept.
    Download {
        /// Whose name.
        name: FileName,
        /// What must arrive; unknown where the file only lies in the holder's folder.
        content: Option<Content>,
        /// Who has it, the one to begin with first. Not empty.
        from: Vec<Contact>,
        /// The command's ticket.
        order: Ticket,
    },
    /// No bytes, but word of which versions a peer (we, perhaps) holds of a name; ends in [`Input::Inspected`].
    Inspect {
        /// The name.
        name: FileName,
        /// Whose store.
        at: Contact,
        /// It is to read all bytes, and to say whether they are right.
        verify: bool,
    },
    /// No bytes, but word of which names a peer (we, perhaps) holds; ends in [`Input::Listed`].
    List {
        /// Whose store.
        at: Contact,
    },
    /// From our own store (or, where content is unknown, our working folder) to the file the requester gets.
    Deliver {
        /// Whose name.
        name: FileName,
        /// What.
        content: Option<Content>,
        /// The command's ticket.
        order: Ticket,
    },
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The file, or that it is removed, is durable at these peers.
    Stored {
        /// What was stored.
        manifest: Manifest,
        /// A file of this name was there before, perhaps the same; not where it was removed.
        replaces: bool,
        /// Who has it, the owner first.
        copies: Vec<Id>,
        /// How many copies were wanted. With fewer peers than that in the network, their number.
        wanted: usize,
    },
    /// The file is here.
    Fetched {
        /// Whose name.
        name: FileName,
        /// Who had it.
        from: Id,
    },
    /// Everybody responsible was asked: it is not there.
    NotFound {
        /// Whose name.
        name: FileName,
        /// How many peers were asked.
        asked: usize,
        /// Why it is not there.
        absence: Absence,
    },
    /// Who holds a file.
    Inspected {
        /// Whose name.
        name: FileName,
        /// Who holds which versions, the owner first.
        holders: Vec<(Id, Vec<Copy>)>,
        /// How many copies there should be.
        wanted: usize,
        /// How many peers were asked.
        asked: usize,
        /// Why there is none, if there is none.
        absence: Absence,
    },
    /// Who keeps a key, and how that was found out.
    LookedUp(LookedUp),
    /// The files of the network.
    Listed {
        /// The version that answers for each name, in their order, and who holds it.
        files: Vec<(Manifest, Vec<Id>)>,
        /// How many peers were asked.
        asked: usize,
        /// How many of them did not answer.
        silent: usize,
    },
    /// It could not be done.
    Failed {
        /// The file's name.
        name: FileName,
        /// Why, in one sentence that says what to do.
        reason: String,
    },
    /// A value is kept by these peers.
    Put {
        /// What is kept.
        item: Item,
        /// By whom, the nearest first.
        copies: Vec<Id>,
    },
    /// A value was found, and is what it should be.
    Found(Item),
    /// Everybody responsible was asked: there is no such value.
    NoValue {
        /// How many peers were asked; one, if there is only ourselves.
        asked: usize,
    },
    /// These know now that the torrent can be had here.
    Announced(Vec<Id>),
    /// Who has a torrent.
    Peers {
        /// They.
        peers: Vec<SocketAddr>,
        /// Estimates of how many have all of it, and how many a part.
        scrape: Option<(f64, f64)>,
        /// How many peers were asked.
        asked: usize,
    },
    /// Torrents that those near an id know of.
    Samples {
        /// Some.
        ids: Vec<Id>,
        /// How many there are in all, by their account.
        num: u64,
    },
    /// Whom this peer knows.
    Contacts(Contacts),
    /// Somebody answered a ping.
    Pinged {
        /// Who.
        contact: Contact,
        /// How long it took.
        round_trip: Duration,
        /// With which attempt.
        attempts: u32,
    },
    /// The way to who keeps a file.
    Traced(Box<Trace>),
    /// What was wanted apart from files could not be done: why, in one sentence.
    Unable(String),
    /// Those who shall keep a value do not want it: why, in one sentence.
    Refused(String),
    /// We have left: the driver ends.
    Left,
}

/// Why a file is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Nobody has heard of it.
    NeverStored,
    /// It was removed.
    Removed,
    /// Others know that it was stored, but who held it is gone.
    HoldersGone,
    /// It is there, but not in the version that was asked for.
    NoSuchVersion {
        /// The latest that is.
        latest: u64,
    },
    /// It is held, but its bytes are not right any more.
    Damaged,
    /// Some who may hold it did not answer.
    OutOfReach {
        /// How many.
        silent: usize,
    },
}

/// Things worth telling. The terminal's lines, the log and the simulator's checks are made from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A round of pings went out to these.
    PingsSent(Vec<Id>),
    /// A round's ping arrived from this peer.
    PingReceived(Id),
    /// A round's ping was answered by this peer.
    PingAnswered(Id),
    /// This peer looks for its place, which is further on.
    JoinForwarded(Id),
    /// This peer's place is between us and our successor.
    JoinReceived(Id),
    /// Our first successor has a new successor.
    SuccessorChangeReceived,
    /// We are in, between others, with these first successors, where there is such a thing.
    Joined(Option<Successors>),
    /// We could not join.
    JoinFailed(JoinError),
    /// Our first two successors are others than before.
    SuccessorsChanged(Successors),
    /// A successor said goodbye.
    Departing(Id),
    /// A successor has not answered twice running, and is passed over. It is heard again, or dead.
    Silent(Id),
    /// A successor is dead.
    Dead(Id),
    /// A store passes by.
    StoreForwarded(FileName),
    /// A store ends here.
    StoreAccepted(FileName),
    /// Our own request goes out.
    RequestSent(FileName),
    /// Somebody is asked for a command of ours.
    Asking {
        /// The file's name.
        name: FileName,
        /// How many peers led to this one, itself included.
        hop: usize,
        /// How many have been asked, in all.
        asked: usize,
    },
    /// A request passes by, or we are its owner and do not have the file.
    NotHere(FileName),
    /// A request ends here.
    FileHere(FileName),
    /// A file's bytes leave for this peer. Told by the driver.
    Sending {
        /// The file's name.
        name: FileName,
        /// Who gets it.
        to: Id,
    },
    /// They are all sent. Told by the driver.
    Sent,
    /// A file's bytes arrive from this peer. Told by the driver.
    Receiving {
        /// The file's name.
        name: FileName,
        /// Who had it.
        from: Id,
    },
    /// A holder failed on the way; the others go on. Told by the driver.
    HolderFailed {
        /// The file's name.
        name: FileName,
        /// The holder.
        holder: Id,
        /// Why.
        error: MoveError,
    },
    /// This peer leaves, and still has bytes that nobody else has: they go first.
    HandingOver {
        /// How many files.
        files: usize,
    },
    /// This peer leaves with bytes that nobody else has, for nobody who should keep them takes them. They stay on its disk.
    NotTaken {
        /// How many files.
        files: usize,
    },
}

/// The two successors people are shown. In a ring of two, the second is the peer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successors {
    /// The next peer.
    pub first: Id,
    /// The one after it.
    pub second: Id,
}

/// Why a peer could not join.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JoinError {
    /// The known peer never answered.
    #[error("nobody answers at {0}")]
    Silence(SocketAddr),
    /// A living peer has this id already.
    #[error("the ring has such a peer already, at {0}")]
    Taken(SocketAddr),
    /// The known peer is in a network of another kind.
    #[error("the peer at {addr} is in {theirs}, and this one belongs in {ours}")]
    Elsewhere {
        /// Where it is.
        addr: SocketAddr,
        /// What it is in.
        theirs: Network,
        /// What we could join.
        ours: Network,
    },
}
