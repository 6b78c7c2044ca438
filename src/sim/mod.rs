//! A made-up network of real peers: the same [`Peer`] as in the program, with time, weather and disks made up.
//!
//! Everything is decided by the seed: same seed, same run, on every machine. After each event the checks of
//! `check.rs` look at what has changed.
//!
//! ```
//! use p2p::sim::{Weather, World};
//! use std::time::Duration;
//!
//! let mut world = World::new(7, Weather::default());
//! let first = world.start_alone();
//! let second = world.join(first);
//! world.run_for(Duration::from_secs(10));
//! assert!(world.check_ideal().is_ok());
//! let store = world.store(first, "2067", 1000);
//! world.run_for(Duration::from_secs(10));
//! assert!(world.is_stored(store));
//! # let _ = second;
//! ```

mod check;
mod churn;
mod disks;
mod engine;
mod future;
mod grown;
mod malice;
mod places;
mod seen;
mod still;
pub mod story;
pub mod tables;
mod weather;

pub use check::Broken;
pub use churn::{BadChurn, Churn, Departure, Sessions};
pub use malice::Malice;
pub use still::{StillLookup, StillRing};
pub use story::Story;
pub use weather::{Delay, Weather};

use crate::ground::item::{as_text, text_value};
use crate::ground::{Chance, Contact, Content, FileName, Id, Manifest, Moment, Naming, Secret};
use crate::overlay::{Kind, RingTuning, Tuning};
use crate::peer::{
    Answer, Command, Config, Input, Move, MoveError, News, Output, Peer, Publication, Sought, Standing, Start, Ticket,
    View,
};
use check::Checks;
use future::{Future, Next};
use places::Places;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Names a peer of a [`World`]: they are numbered in the order of their start.
pub type PeerIndex = usize;

/// A network, with its past and its future.
pub struct World {
    now: Moment,
    chance: Chance,
    weather: Weather,
    naming: Naming,
    kind: Kind,
    replicas: usize,
    keeps_files: bool,
    ping_interval: Duration,
    hosts: Vec<Host>,
    places: Places,
    future: Future,
    commands: BTreeMap<Ticket, Record>,
    last_ticket: u64,
    checks: Checks,
    keep_news: bool,
    /// What peers told, if [`World::keep_news`] was called.
    pub news: Vec<(Moment, PeerIndex, News)>,
    /// What has happened so far, counted.
    pub counts: Counts,
    fingerprint: u64,
}

/// A machine with one peer.
struct Host {
    peer: Peer,
    id: Id,
    addr: SocketAddr,
    state: State,
    /// When its peer wants to be woken.
    due: Moment,
    /// When the next wake is scheduled that counts.
    wake_at: Moment,
    side: u8,
    disk: disks::Disk,
    held_back: Vec<Input>,
    malice: Option<Malice>,
    handled: u64,
    /// All that it was told to send until now has left it then.
    uplink_free_at: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Paused,
    Dead,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Inputs handled by peers.
    pub events: u64,
    /// Datagrams sent.
    pub datagrams: u64,
    /// Datagrams lost on the way.
    pub lost: u64,
    /// Bytes of all datagrams sent.
    pub datagram_bytes: u64,
    /// Files moved.
    pub moves: u64,
    /// Bytes of files moved from one keeper to another.
    pub repair_bytes: u64,
}

/// A command given, and what came of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// At which peer.
    pub at: PeerIndex,
    /// What was wanted.
    pub command: Command,
    /// When.
    pub given: Moment,
    /// How it ended.
    pub answer: Option<(Moment, Answer)>,
    /// What a request brought.
    pub brought: Option<Content>,
}

impl World {
    /// An empty network with 160-bit ids and fingers.
    pub fn new(seed: u64, weather: Weather) -> World {
        World {
            now: Moment::START,
            chance: Chance::seeded(seed),
            weather,
            naming: Naming::Hashed,
            kind: Kind::Ring(RingTuning::DEFAULT),
            replicas: 3,
            keeps_files: true,
            ping_interval: Duration::from_secs(15),
            hosts: Vec::new(),
            places: Places::default(),
            future: Future::default(),
            commands: BTreeMap::new(),
            last_ticket: 0,
            checks: Checks::default(),
            keep_news: false,
            news: Vec::new(),
            counts: Counts::default(),
            fingerprint: 0,
        }
    }

    /// Peers are numbered and show their routes, as in the classic ring.
    pub fn classic(mut self) -> World {
        self.naming = Naming::Numbered;
        self.ring(RingTuning::CLASSIC)
    }

    /// Peers keep to Kademlia. The rules of a ring are not checked.
    pub fn kademlia(mut self, tuning: Tuning) -> World {
        self.kind = Kind::Kademlia(tuning);
        self.checks.switch_off();
        self
    }

    /// So much of the ring is known to each peer.
    pub fn ring(mut self, tuning: RingTuning) -> World {
        self.kind = Kind::Ring(tuning);
        self.checks.expect(tuning);
        self
    }

    /// Time between two rounds of shown pings, from the next peer started on.
    pub fn ping_every(mut self, interval: Duration) -> World {
        self.ping_interval = interval;
        self
    }

    /// Keeps all news in [`World::news`].
    pub fn keep_news(mut self) -> World {
        self.keep_news = true;
        self
    }

    /// How many peers keep a file, from the next peer started on.
    pub fn replicas(mut self, replicas: usize) -> World {
        self.replicas = replicas;
        self
    }

    /// Whether peers keep files, from the next peer started on.
    pub fn keep_files(&mut self, keeps_files: bool) {
        self.keeps_files = keeps_files;
    }

    /// The time.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Two runs with the same fingerprint were the same run.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The first broken rule, if one was seen.
    pub fn broken(&self) -> Option<&Broken> {
        self.checks.broken()
    }

    /// Peers that run and are members, clockwise.
    pub fn members(&self) -> Vec<PeerIndex> {
        self.checks.members().collect()
    }

    /// How many they are.
    pub fn member_count(&self) -> usize {
        self.checks.member_count()
    }

    /// What a peer shows.
    pub fn view(&self, at: PeerIndex) -> View {
        self.hosts[at].peer.view()
    }

    /// Whom a peer would name to who asks about a key.
    pub fn near(&self, at: PeerIndex, key: Id, count: usize) -> Vec<Contact> {
        self.hosts[at].peer.near(key, count)
    }

    /// How many peers were ever started.
    pub fn started(&self) -> usize {
        self.hosts.len()
    }

    /// Starts a peer with a ring of its own.
    pub fn start_alone(&mut self) -> PeerIndex {
        let contact = self.fresh_contact();
        self.start(contact, Start::Ring(Vec::new()), disks::Disk::default())
    }

    /// Starts a peer that joins through another.
    pub fn join(&mut self, known: PeerIndex) -> PeerIndex {
        let contact = self.fresh_contact();
        let known = self.hosts[known].addr;
        self.start(contact, Start::Join(vec![known]), disks::Disk::default())
    }

    /// Starts peer `number` of a classic ring whose peers know their successors.
    pub fn init(&mut self, number: u8, successors: &[u8]) -> PeerIndex {
        let successors = successors.iter().map(|number| numbered(*number)).collect();
        self.start(numbered(number), Start::Ring(successors), disks::Disk::default())
    }

    /// Starts peer `number`, which joins a classic ring through peer `known`.
    pub fn join_number(&mut self, number: u8, known: u8) -> PeerIndex {
        self.start(numbered(number), Start::Join(vec![numbered(known).addr]), disks::Disk::default())
    }

    /// Starts a second peer `number`, at another address.
    pub fn join_number_elsewhere(&mut self, number: u8, known: u8) -> PeerIndex {
        let contact = Contact { id: Id::numbered(number), addr: self.fresh_contact().addr };
        self.start(contact, Start::Join(vec![numbered(known).addr]), disks::Disk::default())
    }

    /// Starts a dead peer again: it joins through `known`, with what its disk holds.
    pub fn restart(&mut self, at: PeerIndex, known: PeerIndex) -> PeerIndex {
        let host = &mut self.hosts[at];
        assert_eq!(host.state, State::Dead, "only the dead start again");
        let contact = host.peer.view().me;
        let disk = std::mem::take(&mut host.disk);
        let known = self.hosts[known].addr;
        self.start(contact, Start::Join(vec![known]), disk)
    }

    /// Starts a dead peer again, with a network of its own and what its disk holds.
    pub fn restart_alone(&mut self, at: PeerIndex) -> PeerIndex {
        let host = &mut self.hosts[at];
        assert_eq!(host.state, State::Dead, "only the dead start again");
        let contact = host.peer.view().me;
        let disk = std::mem::take(&mut host.disk);
        self.start(contact, Start::Ring(Vec::new()), disk)
    }

    /// The power goes: it stops at once and tells nobody.
    pub fn kill(&mut self, at: PeerIndex) {
        self.hosts[at].state = State::Dead;
        self.checks.died(self.now, self.hosts[at].peer.id(), &self.hosts);
    }

    /// Forgets a dead peer and its disk: it never comes back.
    pub fn bury(&mut self, at: PeerIndex) {
        let host = &mut self.hosts[at];
        assert_eq!(host.state, State::Dead, "only the dead are buried");
        let start = Start::Ring(Vec::new());
        let config =
            Config { start, ..engine::config_of(host.peer.view().me, self.naming, Kind::Ring(RingTuning::CLASSIC)) };
        host.peer = Peer::new(self.now, config);
        (host.disk, host.held_back) = (disks::Disk::default(), Vec::new());
    }

    /// It stands still, and keeps its ports.
    pub fn pause(&mut self, at: PeerIndex) {
        if self.hosts[at].state == State::Running {
            self.hosts[at].state = State::Paused;
        }
    }

    /// It goes on: what arrived meanwhile first, then its timers.
    pub fn resume(&mut self, at: PeerIndex) {
        if self.hosts[at].state == State::Paused {
            self.hosts[at].state = State::Running;
            for input in std::mem::take(&mut self.hosts[at].held_back) {
                self.give(at, input);
            }
            let now = self.now;
            self.future.wake(now, at);
            self.hosts[at].wake_at = now;
        }
    }

    /// It hands over what it holds and says goodbye.
    pub fn quit(&mut self, at: PeerIndex) -> Ticket {
        self.command(at, Command::Leave)
    }

    /// Stores a file of `len_bytes` made-up bytes, different each time.
    pub fn store(&mut self, at: PeerIndex, name: &str, len_bytes: u64) -> Ticket {
        let mut hash = [0; Content::HASH_LEN];
        hash[..8].copy_from_slice(&self.chance.bits().to_be_bytes());
        let name = FileName::parse(name).expect("a simulated file has a good name");
        self.command(at, Command::Store { name, content: Content { hash, len_bytes }, ttl: None })
    }

    /// Requests a file.
    pub fn request(&mut self, at: PeerIndex, name: &str) -> Ticket {
        let name = FileName::parse(name).expect("a simulated file has a good name");
        self.command(at, Command::Request { name, version: None })
    }

    /// Sets a value for everybody.
    pub fn set(&mut self, at: PeerIndex, key: &str, value: &str) -> Ticket {
        let (secret, value) = (Secret::named(key), text_value(value.as_bytes()));
        let publication = Publication::Mutable { secret, salt: Vec::new(), seq: None, cas: None, value };
        self.command(at, Command::Put { publication, promised: true })
    }

    /// Looks for a value that anybody set.
    pub fn get(&mut self, at: PeerIndex, key: &str) -> Ticket {
        let sought = Sought::Mutable { key: Secret::named(key).public(), salt: Vec::new() };
        self.command(at, Command::Find(sought))
    }

    /// Looks up who keeps a key.
    pub fn look_up(&mut self, at: PeerIndex, key: Id) -> Ticket {
        self.command(at, Command::LookUp { key })
    }

    /// Gives any command.
    pub fn order(&mut self, at: PeerIndex, command: Command) -> Ticket {
        self.command(at, command)
    }

    /// The text that a search for a value brought.
    pub fn text(&self, ticket: Ticket) -> Option<&str> {
        match &self.commands[&ticket].answer {
            Some((_, Answer::Found(item))) => std::str::from_utf8(as_text(item.value())?).ok(),
            _ => None,
        }
    }

    /// What became of a command.
    pub fn record(&self, ticket: Ticket) -> &Record {
        &self.commands[&ticket]
    }

    /// How a command ended, once. It is forgotten then.
    pub fn take_answer(&mut self, ticket: Ticket) -> Option<Answer> {
        self.commands.get(&ticket)?.answer.as_ref()?;
        self.commands.remove(&ticket).and_then(|record| record.answer).map(|(_, answer)| answer)
    }

    /// The store was acknowledged, by however many.
    pub fn is_stored(&self, ticket: Ticket) -> bool {
        matches!(self.commands[&ticket].answer, Some((_, Answer::Stored { .. })))
    }

    /// The running peers of each side reach nobody on the other. Rules are not checked until [`World::heal`].
    pub fn partition(&mut self, side: impl Fn(PeerIndex) -> bool) {
        self.checks.suspend();
        self.hosts.iter_mut().enumerate().for_each(|(at, host)| host.side = u8::from(side(at)));
    }

    /// Everybody reaches everybody again.
    pub fn heal(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.side = 0);
    }

    /// Rules are not checked until [`World::check_rules`]: a ring whose peers start one by one is none yet.
    pub fn unchecked(mut self) -> World {
        self.checks.suspend();
        self
    }

    /// Rules are checked from now on, or from now on again.
    pub fn check_rules(&mut self) {
        self.checks.resume(self.now, &self.hosts);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Lets time pass until then.
    pub fn run_until(&mut self, end: Moment) {
        while let Some((at, next)) = self.future.next(end) {
            self.now = at;
            self.happen(next);
        }
        self.now = end;
    }

    /// Lets time pass until this is so, looking every `step`; false if it is not so after `limit`.
    pub fn run_while(&mut self, limit: Duration, step: Duration, mut goes_on: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + limit;
        while goes_on(self) {
            if self.now >= end {
                return false;
            }
            self.run_for(step);
        }
        true
    }
}

fn numbered(number: u8) -> Contact {
    Contact { id: Id::numbered(number), addr: places::numbered(number) }
}

impl Host {
    fn is_member(&self) -> bool {
        self.state != State::Dead && self.peer.standing() == Standing::Member
    }
}
