//! What one peer does: a value that is told what happened and says what it wants done.
//!
//! ```
//! use p2p::peer::{Config, Output, Peer, Start};
//! use p2p::ground::{Id, Moment, Naming};
//! use p2p::overlay::{Kind, RingTuning};
//! use std::{net::SocketAddr, time::Duration};
//!
//! let config = Config {
//!     id: Id::numbered(2),
//!     addr: SocketAddr::from(([127, 0, 0, 1], 12002)),
//!     reached_at: Vec::new(),
//!     naming: Naming::Numbered,
//!     start: Start::Join(vec![SocketAddr::from(([127, 0, 0, 1], 12004))]),
//!     ping_interval: Duration::from_secs(15),
//!     overlay: Kind::Ring(RingTuning::CLASSIC),
//!     replicas: 3,
//!     seed: 7,
//!     held: Vec::new(),
//!     keeps_files: true,
//!     read_only: false,
//!     both_families: false,
//!     memory: Vec::new(),
//! };
//! let mut peer = Peer::new(Moment::START, config);
//! while let Some(output) = peer.poll() {
//!     // 1. Do what it wants: here, note something for its next run, and send the first datagram to peer 4.
//!     assert!(matches!(output, Output::Note { .. } | Output::Send { .. }));
//! }
//! // 2. Sleep until something happens or peer.wake_at() has come.  3. Tell it: peer.handle(now, input).  4. Again.
//! assert!(peer.wake_at() > Moment::START);
//! ```

mod address;
mod announcing;
mod answering;
mod asking;
mod comparing;
mod contacts;
mod errands;
mod finding;
mod handover;
mod holders;
mod inspecting;
mod interface;
mod joining;
mod keeping;
mod known;
mod leaving;
mod limits;
mod listing;
mod liveness;
mod looking_up;
mod memory;
mod placing;
mod requesting;
mod rpc;
mod search;
mod shelf;
mod storing;
mod surroundings;
mod tokens;
mod tracing;
mod trackers;
mod upkeep;
mod values;
mod view;
mod waiting;
mod walks;

pub use interface::*;
pub use joining::KNOCK_FOR;
pub use view::View;

use crate::ground::krpc::{Body, Message, Program, Question};
use crate::ground::{Chance, Contact, Content, FileName, Holding, Id, Manifest, Moment, Naming};
use crate::overlay::{Kind, Overlay, RingTuning};
use asking::Why;
use rpc::{Overdue, Patience, Rpc};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// How a peer starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub id: Id,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where others reach it, at most one address of each family; those of its family that are missing are as others see them.
    pub reached_at: Vec<SocketAddr>,
    /// How its network names peers and places files.
    pub naming: Naming,
    /// Whom it knows.
    pub start: Start,
    /// Time between two rounds of shown pings.
    pub ping_interval: Duration,
    /// Who is near what.
    pub overlay: Kind,
    /// How many peers keep a file.
    pub replicas: usize,
    /// For its chances.
    pub seed: u64,
    /// What its store holds from an earlier run, and what is left of its life where that has an end.
    pub held: Vec<(Manifest, Option<Duration>)>,
    /// Keeps files for others, and says so. Without, it is a plain node of the DHT.
    pub keeps_files: bool,
    /// Only asks, and is nobody's contact (BEP 43).
    pub read_only: bool,
    /// It has an address of the other family too, at the same port: it takes part in both networks (BEP 32).
    pub both_families: bool,
    /// What it noted in an earlier run.
    pub memory: Vec<Memory>,
}

/// Whom a starting peer knows.
#[derive(Clone, Debug)]
pub enum Start {
    /// A ring of its own, or one whose peers start together and know their successors: none, one or two.
    Ring(Vec<Contact>),
    /// Peers of the network it joins: the first that answers shows the way.
    Join(Vec<SocketAddr>),
}

/// A timer that fires so late means that we were not running: paused, or the machine asleep.
const PAUSED_AFTER: Duration = Duration::from_secs(2);

/// One peer.
pub struct Peer {
    me: Contact,
    naming: Naming,
    replicas: usize,
    standing: Standing,
    kind: Kind,
    ping_interval: Duration,
    overlay: surroundings::Surroundings,
    votes: address::Votes,
    /// Where others reach it, where it was told.
    reached_at: Vec<SocketAddr>,
    /// Contacts that take no files.
    strangers: BTreeSet<Id>,
    rpc: Rpc<Why>,
    chance: Chance,
    liveness: liveness::Liveness,
    upkeep: upkeep::Upkeep,
    joining: Option<joining::Joining>,
    /// What waits for a network whose peers have just started.
    waiting: Vec<(Ticket, Command)>,
    errands: BTreeMap<ErrandId, errands::ErrandJob>,
    last_errand: ErrandId,
    looks: BTreeMap<Ticket, answering::PendingLook>,
    moves: BTreeMap<Ticket, MovePurpose>,
    last_ticket: u64,
    /// What it says that it runs.
    program: Program,
    read_only: bool,
    families: Families,
    gate: limits::Gate,
    walks: walks::Walks,
    keeping: keeping::Keeping,
    announcing: announcing::Announcing,
    notes: memory::Notes,
    shelf: shelf::Shelf,
    known: known::Known,
    /// Whom to tell of which file.
    told: Vec<(Contact, Holding)>,
    listings: BTreeMap<ErrandId, listing::Listing>,
    lookups: BTreeMap<ErrandId, looking_up::PendingLookup>,
    pings: BTreeMap<Ticket, contacts::PendingPing>,
    handover: handover::Handover,
    leaving: Option<leaving::Leaving>,
    out: VecDeque<Output>,
}

/// Where a peer stands in its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Looks for its place: asks, but is nobody's contact yet.
    Joining,
    /// One of them.
    Member,
    /// Says goodbye.
    Leaving,
    /// Has nothing to do with it any more, or could not join.
    Gone,
}

/// Counts the errands of one peer.
type ErrandId = u64;

/// The address families that a peer takes part in (BEP 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    fn has(self, v6: bool) -> bool {
        if v6 { self.v6 } else { self.v4 }
    }

    fn both(self) -> bool {
        self.v4 && self.v6
    }
}

/// What bytes are moved for.
enum MovePurpose {
    /// A store, and which attempt of it.
    Store(ErrandId, Contact, usize),
    /// A request.
    Request(ErrandId, Contact),
    /// Keeping a file at its keepers.
    Handover(Contact, Holding),
    /// The manifest of what is stored again.
    Adopt(ErrandId),
    /// An inspection.
    Inspect(ErrandId, Contact),
    /// A list.
    List(ErrandId, Contact),
}

impl Peer {
    /// A peer that starts now.
    pub fn new(now: Moment, config: Config) -> Peer {
        let mut chance = Chance::seeded(config.seed);
        let mut fork = || Chance::seeded(chance.bits());
        let remembered: Vec<Contact> =
            memory::contacts_in(&config.memory).into_iter().map(|(contact, _)| contact).collect();
        let (known, standing) = match &config.start {
            Start::Ring(named) if named.is_empty() && matches!(config.overlay, Kind::Kademlia(_)) => {
                (remembered.as_slice(), Standing::Member)
            }
            Start::Ring(named) => (named.as_slice(), Standing::Member),
            Start::Join(_) => (&[][..], Standing::Joining),
        };
        let overlay = config.overlay.start(now, config.id, known, config.ping_interval, fork());
        let mut peer = Peer {
            me: Contact { id: config.id, addr: config.addr },
            naming: config.overlay.naming(config.naming),
            replicas: config.replicas,
            standing,
            rpc: Rpc::new(config.id, fork()),
            liveness: liveness::Liveness::expecting(now, known),
            upkeep: upkeep::Upkeep::new(&*overlay),
            strangers: BTreeSet::new(),
            joining: None,
            waiting: Vec::new(),
            errands: BTreeMap::new(),
            last_errand: 0,
            looks: BTreeMap::new(),
            moves: BTreeMap::new(),
            last_ticket: 0,
            program: if config.keeps_files { Program::Keeper } else { Program::Plain },
            read_only: config.read_only,
            families: Families {
                v4: config.addr.is_ipv4() || config.both_families,
                v6: config.addr.is_ipv6() || config.both_families,
            },
            gate: limits::Gate::new(now, &mut fork()),
            walks: walks::Walks::default(),
            keeping: keeping::Keeping::new(now, &mut fork()),
            announcing: announcing::Announcing::new(
                now,
                overlay.geometry(),
                config.held.iter().map(|(manifest, _)| manifest.name.key()),
                &mut fork(),
            ),
            notes: memory::Notes::new(now),
            shelf: shelf::Shelf::default(),
            known: known::Known::default(),
            told: Vec::new(),
            listings: BTreeMap::new(),
            lookups: BTreeMap::new(),
            pings: BTreeMap::new(),
            handover: handover::Handover::new(now),
            leaving: None,
            kind: config.overlay,
            ping_interval: config.ping_interval,
            votes: address::Votes::default(),
            reached_at: config.reached_at,
            overlay: surroundings::Surroundings::new(overlay),
            out: VecDeque::new(),
            chance,
        };
        for (manifest, left) in config.held {
            peer.shelf.put(manifest, left.map_or(Moment::NEVER, |left| now + left));
        }
        peer.remember(now, &config.memory);
        if let Start::Join(known) = config.start {
            peer.start_joining(now, known);
        }
        peer.settle(now);
        peer
    }

    /// Tells it what happened.
    pub fn handle(&mut self, now: Moment, input: Input) {
        match input {
            Input::Command { ticket, command } => self.command(now, ticket, command),
            _ if self.standing == Standing::Gone => {}
            Input::Datagram { from, bytes } => self.receive(now, from, &bytes),
            Input::Moved { ticket, outcome } => match self.moves.remove(&ticket) {
                Some(MovePurpose::Store(errand, at, attempt)) => self.uploaded(now, errand, at, attempt, outcome),
                Some(MovePurpose::Request(errand, at)) => self.downloaded(now, errand, at, outcome),
                Some(MovePurpose::Handover(to, file)) => self.handed_over(now, to, &file, outcome),
                Some(MovePurpose::Adopt(_) | MovePurpose::Inspect(..) | MovePurpose::List(..)) | None => {}
            },
            Input::Inspected { ticket, outcome } => match self.moves.remove(&ticket) {
                Some(MovePurpose::Adopt(errand)) => self.adopted(errand, outcome),
                Some(MovePurpose::Inspect(errand, at)) => self.inspected(now, errand, at, outcome),
                _ => {}
            },
            Input::Listed { ticket, outcome } => {
                if let Some(MovePurpose::List(id, at)) = self.moves.remove(&ticket) {
                    self.listed(now, id, at, outcome);
                }
            }
            Input::Received { manifest, left } => self.received(now, manifest, left),
            Input::Damaged(manifest) => self.damaged(now, &manifest),
            Input::Probed { addr, open } => self.probed(now, addr, open),
            Input::Looked { ticket, found } => self.looked(now, ticket, found),
            Input::Unreachable(addr) => {
                let unanswered = self.rpc.unreachable(addr);
                unanswered.into_iter().for_each(|why| self.silent(now, why));
            }
            Input::Known(addrs) => self.known_at(now, &addrs),
            Input::ReachedAt(addrs) => self.reached_at = addrs,
            Input::Wake => self.wake(now),
        }
        self.settle(now);
    }

    fn command(&mut self, now: Moment, ticket: Ticket, command: Command) {
        let Some(command) = self.let_wait(now, ticket, command) else { return };
        match command {
            Command::Store { name, content, ttl } => self.start_store(now, ticket, name, content, ttl),
            Command::Request { name, version } => self.start_request(now, ticket, name, version),
            Command::Remove { name } => self.start_store(now, ticket, name, Content::REMOVED, None),
            Command::Inspect { name, verify, mend } => self.start_inspection(now, ticket, name, verify, mend),
            Command::List => self.start_listing(now, ticket),
            Command::LookUp { key } => self.start_lookup(now, ticket, key, looking_up::Purpose::Told),
            Command::Put { publication, promised } => self.start_put(now, ticket, publication, promised),
            Command::Find(sought) => self.start_find(now, ticket, sought),
            Command::Announce { info_hash, port, seed } => {
                self.start_announce(now, Some(ticket), info_hash, port, seed, None);
            }
            Command::FindPeers { info_hash, scrape } => self.start_find_peers(now, ticket, info_hash, scrape),
            Command::Sample(target) => self.start_sample(now, ticket, target),
            Command::Contacts => self.answer(ticket, Answer::Contacts(self.contacts_known(now))),
            Command::Ping(whom) => self.start_ping(now, ticket, &whom),
            Command::Trace { name, ruler } => self.start_trace(now, ticket, name, ruler),
            Command::Leave => self.start_leaving(now, ticket),
        }
    }

    /// Why it takes no commands now.
    fn unready(&self) -> Option<&'static str> {
        match self.standing {
            Standing::Member if self.leaving.is_none() => None,
            Standing::Member | Standing::Leaving => Some("this peer is leaving"),
            Standing::Joining => Some("this peer has not joined yet: try again in a moment"),
            Standing::Gone => Some("this peer is in no network any more"),
        }
    }

    /// What it wants done, until None.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to say [`Input::Wake`].
    pub fn wake_at(&self) -> Moment {
        if self.standing == Standing::Gone {
            return Moment::NEVER;
        }
        let upkeep = match self.standing {
            Standing::Member => {
                let notes = self.notes.contacts_at.min(self.announcing.due());
                self.upkeep_due().min(self.keeping.due()).min(notes)
            }
            Standing::Joining | Standing::Leaving | Standing::Gone => Moment::NEVER,
        };
        self.rpc.due().min(upkeep).min(self.joining_due()).min(self.handover_due()).min(self.leaving_due())
    }

    fn wake(&mut self, now: Moment) {
        let pause = now.since(self.rpc.due());
        if pause > PAUSED_AFTER {
            self.rpc.forgive(pause);
        }
        let mut again = Vec::new();
        for overdue in self.rpc.overdue(now, &mut again) {
            match overdue {
                Overdue::Late { why, attempts } => self.late(now, &why, attempts),
                Overdue::Silent { why } => self.silent(now, why),
            }
        }
        self.out.extend(again.into_iter().map(|(to, bytes)| Output::Send { to, bytes }));
        self.retry_joining(now);
    }

    /// After each input: says what has become different, and does what is due.
    fn settle(&mut self, now: Moment) {
        if self.standing == Standing::Member {
            self.tell_changes(now);
            self.start_waiting(now);
            self.do_chores(now);
            self.go_on_keeping(now);
            self.go_on_announcing(now);
            self.note_contacts(now);
        }
        for (keeper, file) in std::mem::take(&mut self.told) {
            self.ask(now, keeper, Question::Remember(vec![file]), Patience::Search, Why::Told);
        }
        self.hand_over(now);
        self.go_on_leaving(now);
        self.overlay.look_what_is_due();
    }

    /// Sends an answer or refusal; keeps it, if the same question must get the same one again.
    fn reply(&mut self, now: Moment, to: answering::Asking, transaction: Vec<u8>, body: Body, keep: bool) {
        let leaving = self.standing == Standing::Leaving;
        let reached_at = self.reached_from(to.addr);
        let message = Message { transaction, leaving, reached_at, program: self.program, body };
        let bytes = message.encode(to.addr);
        if keep {
            self.rpc.keep_answer(now, to.addr, message.transaction, bytes.clone());
        }
        self.send_answer(to, bytes);
    }

    fn move_bytes(&mut self, purpose: MovePurpose, task: Move) {
        let ticket = self.fresh_ticket();
        self.moves.insert(ticket, purpose);
        self.out.push_back(Output::Move { ticket, task });
    }

    fn fresh_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    fn news(&mut self, news: News) {
        self.out.push_back(Output::News(news));
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.out.push_back(Output::Answer { ticket, answer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::Tuning;

    /// A peer of a Kademlia network, not yet told anything.
    pub(super) fn peer(addr: &str, start: Start, memory: Vec<Memory>) -> Peer {
        peer_of(Kind::Kademlia(Tuning::default()), addr, start, memory)
    }

    pub(super) fn peer_of(overlay: Kind, addr: &str, start: Start, memory: Vec<Memory>) -> Peer {
        let config = Config {
            id: Id::hashed(addr.as_bytes()),
            addr: addr.parse().unwrap(),
            reached_at: Vec::new(),
            naming: Naming::Hashed,
            start,
            ping_interval: Duration::from_secs(15),
            overlay,
            replicas: 3,
            seed: 7,
            held: Vec::new(),
            keeps_files: true,
            read_only: false,
            both_families: false,
            memory,
        };
        Peer::new(Moment::START, config)
    }

    /// All it wants done now.
    pub(super) fn outputs(peer: &mut Peer) -> Vec<Output> {
        std::iter::from_fn(|| peer.poll()).collect()
    }

    #[test]
    fn who_has_left_answers_that_it_has() {
        let mut peer = peer("127.0.0.1:12001", Start::Ring(Vec::new()), Vec::new());
        let name = FileName::parse("4103").unwrap();
        for (ticket, command) in
            [Command::Leave, Command::Request { name, version: None }, Command::Leave].into_iter().enumerate()
        {
            outputs(&mut peer);
            peer.handle(Moment::START, Input::Command { ticket: Ticket(ticket as u64), command });
            let answers = outputs(&mut peer).into_iter().filter(|output| matches!(output, Output::Answer { .. }));
            assert_eq!(answers.count(), 1, "{ticket}");
        }
    }
}
