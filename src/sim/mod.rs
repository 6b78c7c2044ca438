//! A made-up network of real peers: the same [`Peer`] as in the program, with time, weather and disks made up.
//!
//! Everything is decided by the seed: same seed, same run, on every machine. After each event the checks of
//! [`check`] look at what has changed.
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
mod disks;
pub mod story;
mod weather;

pub use check::Broken;
pub use story::{Churn, Departure, Story};
pub use weather::{Delay, Weather};

use crate::ground::{Chance, Contact, Content, FileName, Id, Moment, Naming};
use crate::overlay::ring::LIST_LEN;
use crate::peer::{Answer, Command, Config, Input, Move, MoveError, News, Output, Peer, Standing, Start, Ticket, View};
use check::Checks;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Names a peer of a [`World`]: they are numbered in the order of their start.
pub type PeerIndex = usize;

/// A network, with its past and its future.
pub struct World {
    now: Moment,
    chance: Chance,
    weather: Weather,
    naming: Naming,
    fingers: bool,
    replicas: usize,
    ping_interval: Duration,
    hosts: Vec<Host>,
    by_addr: BTreeMap<SocketAddr, PeerIndex>,
    future: BinaryHeap<Reverse<Scheduled>>,
    last_event: u64,
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
    addr: SocketAddr,
    state: State,
    wake_at: Moment,
    side: u8,
    disk: disks::Disk,
    held_back: Vec<Input>,
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

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Scheduled {
    at: Moment,
    order: u64,
    event: Event,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Datagram { to: SocketAddr, from: SocketAddr, side: u8, bytes: Vec<u8> },
    Wake(PeerIndex),
    MoveEnds { at: PeerIndex, ticket: Ticket, task: MoveTask },
    ProbeEnds { at: PeerIndex, addr: SocketAddr },
    LookEnds { at: PeerIndex, ticket: Ticket },
}

/// A [`Move`], ordered only by being scheduled: events compare by time and order before they come to this.
struct MoveTask(Move);

impl PartialEq for MoveTask {
    fn eq(&self, _: &MoveTask) -> bool {
        true
    }
}
impl Eq for MoveTask {}
impl PartialOrd for MoveTask {
    fn partial_cmp(&self, other: &MoveTask) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for MoveTask {
    fn cmp(&self, _: &MoveTask) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl World {
    /// An empty network with 160-bit ids and fingers.
    pub fn new(seed: u64, weather: Weather) -> World {
        World {
            now: Moment::START,
            chance: Chance::seeded(seed),
            weather,
            naming: Naming::Hashed,
            fingers: true,
            replicas: 3,
            ping_interval: Duration::from_secs(15),
            hosts: Vec::new(),
            by_addr: BTreeMap::new(),
            future: BinaryHeap::new(),
            last_event: 0,
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
        self.fingers = false;
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

    /// How many peers were ever started.
    pub fn started(&self) -> usize {
        self.hosts.len()
    }

    // --- what can be done to it ---

    /// Starts a peer with a ring of its own.
    pub fn start_alone(&mut self) -> PeerIndex {
        let contact = self.fresh_contact();
        self.start(contact, Start::Ring(Vec::new()), disks::Disk::default())
    }

    /// Starts a peer that joins through another.
    pub fn join(&mut self, known: PeerIndex) -> PeerIndex {
        let contact = self.fresh_contact();
        let known = self.hosts[known].addr;
        self.start(contact, Start::Join(known), disks::Disk::default())
    }

    /// Starts peer `number` of a classic ring whose peers know their successors.
    pub fn init(&mut self, number: u8, successors: &[u8]) -> PeerIndex {
        let successors = successors.iter().map(|number| numbered(*number)).collect();
        self.start(numbered(number), Start::Ring(successors), disks::Disk::default())
    }

    /// Starts peer `number`, which joins a classic ring through peer `known`.
    pub fn join_number(&mut self, number: u8, known: u8) -> PeerIndex {
        self.start(numbered(number), Start::Join(numbered(known).addr), disks::Disk::default())
    }

    /// Starts a second peer `number`, at another address.
    pub fn join_number_elsewhere(&mut self, number: u8, known: u8) -> PeerIndex {
        let contact = Contact { id: Id::numbered(number), addr: self.fresh_contact().addr };
        self.start(contact, Start::Join(numbered(known).addr), disks::Disk::default())
    }

    /// Starts a dead peer again: it joins through `known`, with what its disk holds.
    pub fn restart(&mut self, at: PeerIndex, known: PeerIndex) -> PeerIndex {
        let host = &mut self.hosts[at];
        assert_eq!(host.state, State::Dead, "only the dead start again");
        let contact = host.peer.view().me;
        let disk = std::mem::take(&mut host.disk);
        let known = self.hosts[known].addr;
        self.start(contact, Start::Join(known), disk)
    }

    /// The power goes: it stops at once and tells nobody.
    pub fn kill(&mut self, at: PeerIndex) {
        self.hosts[at].state = State::Dead;
        self.checks.gone(self.hosts[at].peer.view().me.id);
        self.checks.look_at_all(self.now, &self.hosts);
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
            self.schedule(now, Event::Wake(at));
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
        self.command(at, Command::Store { name, content: Content { hash, len_bytes } })
    }

    /// Requests a file.
    pub fn request(&mut self, at: PeerIndex, name: &str) -> Ticket {
        let name = FileName::parse(name).expect("a simulated file has a good name");
        self.command(at, Command::Request { name })
    }

    /// What became of a command.
    pub fn record(&self, ticket: Ticket) -> &Record {
        &self.commands[&ticket]
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
        while self.future.peek().is_some_and(|Reverse(next)| next.at <= end) {
            let Reverse(next) = self.future.pop().expect("just seen");
            self.now = next.at;
            self.happen(next.event);
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

    /// One ring: everybody's first successor and predecessor are the right ones.
    pub fn check_closed(&self) -> Result<(), String> {
        self.checks.lists(&self.hosts, 1)
    }

    /// One ring, and everybody's whole list is as it should be.
    pub fn check_ideal(&self) -> Result<(), String> {
        self.checks.lists(&self.hosts, LIST_LEN)
    }

    /// The running member that owns a place.
    pub fn owner(&self, place: Id) -> Option<PeerIndex> {
        self.checks.owner(place)
    }

    /// Where a name belongs in this network.
    pub fn place(&self, name: &str) -> Id {
        self.naming.place(&FileName::parse(name).expect("a simulated file has a good name"))
    }

    /// How many running peers have this content on their disk under this name.
    pub fn copies(&self, name: &str, content: Content) -> usize {
        let key = FileName::parse(name).expect("a simulated file has a good name").key();
        let running = self.hosts.iter().filter(|host| host.state != State::Dead);
        running.filter(|host| host.disk.get(key).is_some_and(|manifest| manifest.content == content)).count()
    }

    // --- how it works ---

    fn start(&mut self, contact: Contact, start: Start, disk: disks::Disk) -> PeerIndex {
        let config = Config {
            id: contact.id,
            addr: contact.addr,
            naming: self.naming,
            start,
            ping_interval: self.ping_interval,
            fingers: self.fingers,
            replicas: self.replicas,
            seed: self.chance.bits(),
            held: disk.manifests().cloned().collect(),
        };
        let at = self.hosts.len();
        let peer = Peer::new(self.now, config);
        self.hosts.push(Host {
            peer,
            addr: contact.addr,
            state: State::Running,
            wake_at: Moment::NEVER,
            side: 0,
            disk,
            held_back: Vec::new(),
        });
        self.by_addr.insert(contact.addr, at);
        self.after(at);
        at
    }

    fn fresh_contact(&mut self) -> Contact {
        let number = self.hosts.len() as u32 + 1;
        let addr = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + number), 12000));
        Contact { id: Id::hashed(&self.chance.bits().to_be_bytes()), addr }
    }

    fn command(&mut self, at: PeerIndex, command: Command) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let record = Record { at, command: command.clone(), given: self.now, answer: None, brought: None };
        self.commands.insert(ticket, record);
        if self.hosts[at].state == State::Running {
            self.give(at, Input::Command { ticket, command });
        }
        ticket
    }

    fn schedule(&mut self, at: Moment, event: Event) {
        self.last_event += 1;
        self.future.push(Reverse(Scheduled { at, order: self.last_event, event }));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Datagram { to, from, side, bytes } => {
                let Some(at) = self.by_addr.get(&to).copied() else { return };
                if self.hosts[at].side == side {
                    self.give(at, Input::Datagram { from, bytes });
                }
            }
            Event::Wake(at) => {
                let host = &self.hosts[at];
                if host.wake_at <= self.now && host.state == State::Running {
                    self.hosts[at].wake_at = Moment::NEVER;
                    self.give(at, Input::Wake);
                }
            }
            Event::MoveEnds { at, ticket, task } => {
                if self.hosts[at].state != State::Dead {
                    let outcome = self.move_bytes(at, task.0);
                    self.give(at, Input::Moved { ticket, outcome });
                }
            }
            Event::ProbeEnds { at, addr } => {
                let open = self.reachable(at, addr).is_some();
                self.give(at, Input::Probed { addr, open });
            }
            Event::LookEnds { at, ticket } => self.give(at, Input::Looked { ticket, found: false }),
        }
    }

    /// Tells a peer something, now or, if it is paused, later.
    fn give(&mut self, at: PeerIndex, input: Input) {
        let host = &mut self.hosts[at];
        match host.state {
            State::Running => {
                self.counts.events += 1;
                host.peer.handle(self.now, input);
                self.after(at);
            }
            State::Paused => host.held_back.push(input),
            State::Dead => {}
        }
    }

    /// Does what a peer wants done.
    fn after(&mut self, at: PeerIndex) {
        while let Some(output) = self.hosts[at].peer.poll() {
            self.perform(at, output);
        }
        let host = &mut self.hosts[at];
        let wake_at = host.peer.wake_at();
        if wake_at < host.wake_at {
            host.wake_at = wake_at;
            let at_moment = wake_at.max(self.now);
            self.schedule(at_moment, Event::Wake(at));
        }
        self.checks.look_at(self.now, at, &self.hosts);
    }

    fn perform(&mut self, at: PeerIndex, output: Output) {
        match output {
            Output::Send { to, bytes } => self.send(at, to, bytes),
            Output::Move { ticket, task } => {
                self.counts.moves += 1;
                let time = self.time_to_move(&task);
                let task = MoveTask(task);
                self.schedule(self.now + time, Event::MoveEnds { at, ticket, task });
            }
            Output::Probe { addr } => {
                let time = match self.reachable(at, addr) {
                    Some(_) => self.weather.delay.sample(&mut self.chance) * 2,
                    None => Duration::from_secs(1),
                };
                self.schedule(self.now + time, Event::ProbeEnds { at, addr });
            }
            Output::Look { ticket, .. } => self.schedule(self.now, Event::LookEnds { at, ticket }),
            Output::Forget(manifest) => self.hosts[at].disk.forget(&manifest),
            Output::Answer { ticket, answer } => {
                if answer == Answer::Left {
                    self.hosts[at].state = State::Dead;
                }
                if let Some(record) = self.commands.get_mut(&ticket) {
                    record.answer = Some((self.now, answer));
                }
            }
            Output::News(news) => {
                if let News::JoinFailed(_) = news {
                    self.hosts[at].state = State::Dead;
                }
                if self.keep_news {
                    self.news.push((self.now, at, news));
                }
            }
        }
    }

    fn send(&mut self, at: PeerIndex, to: SocketAddr, bytes: Vec<u8>) {
        self.counts.datagrams += 1;
        self.counts.datagram_bytes += bytes.len() as u64;
        let head = bytes.iter().fold(self.fingerprint, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        self.fingerprint = head.wrapping_add(self.now.elapsed().as_micros() as u64);
        let (from, side) = (self.hosts[at].addr, self.hosts[at].side);
        if self.chance.happens(self.weather.loss) {
            self.counts.lost += 1;
            return;
        }
        if self.chance.happens(self.weather.duplication) {
            let at = self.now + self.weather.delay.sample(&mut self.chance);
            self.schedule(at, Event::Datagram { to, from, side, bytes: bytes.clone() });
        }
        let at = self.now + self.weather.delay.sample(&mut self.chance);
        self.schedule(at, Event::Datagram { to, from, side, bytes });
    }

    /// The peer at this address, if `at` can connect to it.
    fn reachable(&self, at: PeerIndex, addr: SocketAddr) -> Option<PeerIndex> {
        let there = *self.by_addr.get(&addr)?;
        let host = &self.hosts[there];
        (host.state != State::Dead && host.side == self.hosts[at].side).then_some(there)
    }

    fn time_to_move(&mut self, task: &Move) -> Duration {
        let len_bytes = match task {
            Move::Keep { manifest, .. } | Move::Upload { manifest, .. } => manifest.content.len_bytes,
            Move::Download { content, .. } | Move::Deliver { content, .. } => {
                content.map_or(0, |content| content.len_bytes)
            }
        };
        let on_the_way = self.weather.delay.sample(&mut self.chance) * 4;
        on_the_way + Duration::from_secs_f64(len_bytes as f64 / self.weather.bytes_per_second)
    }

    /// The end of a move: who died on the way did not get it, or did not send it.
    fn move_bytes(&mut self, at: PeerIndex, task: Move) -> Result<(), MoveError> {
        let unreachable = || MoveError::Unreachable("no connection".to_owned());
        match task {
            Move::Keep { manifest, .. } => self.hosts[at].disk.put(manifest),
            Move::Upload { manifest, source, to } => {
                let there = self.reachable(at, to.addr).ok_or_else(unreachable)?;
                if source.is_none() && !self.hosts[at].disk.holds(&manifest) {
                    return Err(MoveError::Local("it is not in the store any more".to_owned()));
                }
                if self.hosts[there].state == State::Paused || self.hosts[there].peer.standing() == Standing::Gone {
                    return Err(unreachable());
                }
                self.hosts[there].disk.put(manifest.clone())?;
                self.give(there, Input::Received(manifest));
                Ok(())
            }
            Move::Download { name, content, from, order } => {
                let there = self.reachable(at, from.addr).ok_or_else(unreachable)?;
                if self.hosts[there].state == State::Paused {
                    return Err(unreachable());
                }
                self.deliver(there, &name, content, order)
            }
            Move::Deliver { name, content, order } => self.deliver(at, &name, content, order),
        }
    }

    fn deliver(
        &mut self,
        from: PeerIndex,
        name: &FileName,
        content: Option<Content>,
        order: Ticket,
    ) -> Result<(), MoveError> {
        let held = self.hosts[from].disk.get(name.key()).ok_or(MoveError::Missing)?;
        if content.is_some_and(|content| content != held.content) {
            return Err(MoveError::Missing);
        }
        let brought = held.content;
        if let Some(record) = self.commands.get_mut(&order) {
            record.brought = Some(brought);
        }
        Ok(())
    }
}

fn numbered(number: u8) -> Contact {
    Contact { id: Id::numbered(number), addr: SocketAddr::from(([127, 0, 0, 1], 12000 + u16::from(number))) }
}

impl Host {
    fn is_member(&self) -> bool {
        self.state != State::Dead && self.peer.standing() == Standing::Member
    }
}
