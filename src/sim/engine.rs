//! How the made-up world goes on: what is scheduled happens, and what a peer wants done is done.

use super::*;
use crate::ground::{Copy, Manifest};
use crate::overlay::Near;

/// Something that is going to happen, other than a peer waking.
pub(super) enum Event {
    Datagram { to: SocketAddr, from: SocketAddr, side: u8, bytes: Vec<u8> },
    MoveEnds { at: PeerIndex, ticket: Ticket, task: Box<Move> },
    ProbeEnds { at: PeerIndex, addr: SocketAddr },
    LookEnds { at: PeerIndex, ticket: Ticket },
}

/// A hash of bytes in their order, begun with `sum`: eight at once, as xxHash does it, whose second prime it borrows.
fn mixed(sum: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0xc2b2_ae3d_27d4_eb4f;
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(PRIME).rotate_left(31);
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(sum, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(bytes.len() as u64, |word, byte| word << 8 | u64::from(*byte));
    mix(sum, rest)
}

/// A peer that starts with nothing.
pub(super) fn config_of(contact: Contact, naming: Naming, overlay: Kind) -> Config {
    Config {
        id: contact.id,
        addr: contact.addr,
        reached_at: Vec::new(),
        naming,
        start: Start::Ring(Vec::new()),
        ping_interval: Duration::from_secs(15),
        overlay,
        replicas: 3,
        seed: 0,
        held: Vec::new(),
        keeps_files: true,
        read_only: false,
        both_families: false,
        memory: Vec::new(),
    }
}

impl World {
    pub(super) fn start(&mut self, contact: Contact, start: Start, disk: disks::Disk) -> PeerIndex {
        let config = Config {
            start,
            ping_interval: self.ping_interval,
            replicas: self.replicas,
            seed: self.chance.bits(),
            held: disk.held(self.now),
            keeps_files: self.keeps_files,
            memory: disk.memory(self.now),
            ..config_of(contact, self.naming, self.kind)
        };
        let at = self.hosts.len();
        let peer = Peer::new(self.now, config);
        self.hosts.push(Host {
            peer,
            id: contact.id,
            addr: contact.addr,
            state: State::Running,
            due: Moment::NEVER,
            wake_at: Moment::NEVER,
            side: 0,
            disk,
            held_back: Vec::new(),
            malice: None,
            handled: 0,
            uplink_free_at: Moment::START,
        });
        self.places.put(contact.addr, at);
        self.after(at);
        at
    }

    pub(super) fn fresh_contact(&mut self) -> Contact {
        Contact { id: Id::hashed(&self.chance.bits().to_be_bytes()), addr: places::made(self.hosts.len()) }
    }

    /// It has heard from these, and who is near it from its successor.
    pub(super) fn acquaint(&mut self, at: PeerIndex, known: &[Contact], near_us: Option<&Near>) {
        self.hosts[at].peer.acquaint(self.now, known, near_us);
        self.after(at);
    }

    pub(super) fn command(&mut self, at: PeerIndex, command: Command) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let record = Record { at, command: command.clone(), given: self.now, answer: None, brought: None };
        self.commands.insert(ticket, record);
        if self.hosts[at].state == State::Running {
            self.give(at, Input::Command { ticket, command });
        }
        ticket
    }

    pub(super) fn happen(&mut self, next: Next) {
        match next {
            Next::Wake(at) => self.wake(at),
            Next::Event(event) => self.come_about(event),
        }
    }

    /// A wake was scheduled for now. Meanwhile it may be due later than it was: then it sleeps on, as a real one would,
    /// whose timer is set anew after each input.
    fn wake(&mut self, at: PeerIndex) {
        let host = &mut self.hosts[at];
        if host.wake_at > self.now || host.state != State::Running {
            return;
        }
        host.wake_at = host.due;
        if host.due <= self.now {
            host.wake_at = Moment::NEVER;
            self.give(at, Input::Wake);
        } else if host.due != Moment::NEVER {
            self.future.wake(host.due, at);
        }
    }

    fn come_about(&mut self, event: Event) {
        match event {
            Event::Datagram { to, from, side, bytes } => {
                let Some(at) = self.places.get(to) else { return };
                if self.hosts[at].side == side {
                    self.give(at, Input::Datagram { from, bytes });
                }
            }
            Event::MoveEnds { at, ticket, task } => {
                if self.hosts[at].state == State::Dead {
                    return;
                }
                let input = match *task {
                    Move::Inspect { name, at: there, verify } => {
                        Input::Inspected { ticket, outcome: self.inspect(at, there, &name, verify) }
                    }
                    Move::List { at: there } => Input::Listed { ticket, outcome: self.list(at, there) },
                    task => Input::Moved { ticket, outcome: self.move_bytes(at, task) },
                };
                self.give(at, input);
            }
            Event::ProbeEnds { at, addr } => {
                let open = self.reachable(at, addr).is_some();
                self.give(at, Input::Probed { addr, open });
            }
            Event::LookEnds { at, ticket } => self.give(at, Input::Looked { ticket, found: false }),
        }
    }

    /// Tells a peer something, now or, if it is paused, later.
    pub(super) fn give(&mut self, at: PeerIndex, input: Input) {
        let host = &mut self.hosts[at];
        match host.state {
            State::Running => {
                self.counts.events += 1;
                host.handled += 1;
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
        host.due = host.peer.wake_at();
        if host.due < host.wake_at {
            host.wake_at = host.due;
            self.future.wake(host.due.max(self.now), at);
        }
        self.checks.look_at(self.now, at, &self.hosts);
    }

    fn perform(&mut self, at: PeerIndex, output: Output) {
        match output {
            Output::Send { to, bytes } => match self.hosts[at].malice {
                None => self.send(at, to, bytes),
                Some(malice) => {
                    if let Some(bytes) = malice.spoil(bytes, to) {
                        self.send(at, to, bytes);
                    }
                }
            },
            Output::Move { ticket, task } => {
                self.counts.moves += 1;
                let time = self.time_to_move(at, &task);
                let task = Box::new(task);
                self.future.schedule(self.now + time, Event::MoveEnds { at, ticket, task });
            }
            Output::Probe { addr } => {
                let time = match self.reachable(at, addr) {
                    Some(there) => self.weather.delay.sample(&mut self.chance, (at, there)) * 2,
                    None => Duration::from_secs(1),
                };
                self.future.schedule(self.now + time, Event::ProbeEnds { at, addr });
            }
            Output::Look { ticket, .. } => self.future.schedule(self.now, Event::LookEnds { at, ticket }),
            Output::Forget(manifest) => self.hosts[at].disk.forget(&manifest),
            Output::Note { key, value } => self.hosts[at].disk.note(self.now, key, value),
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
        self.fingerprint = mixed(self.fingerprint.wrapping_add(self.now.elapsed().as_micros() as u64), &bytes);
        let (from, side) = (self.hosts[at].addr, self.hosts[at].side);
        // What never happens takes no chance.
        let Weather { loss, duplication, .. } = self.weather;
        if loss > 0.0 && self.chance.happens(loss) {
            self.counts.lost += 1;
            return;
        }
        let pair = (at, self.places.get(to).unwrap_or(at));
        if duplication > 0.0 && self.chance.happens(duplication) {
            let at = self.now + self.weather.delay.sample(&mut self.chance, pair);
            self.future.schedule(at, Event::Datagram { to, from, side, bytes: bytes.clone() });
        }
        let at = self.now + self.weather.delay.sample(&mut self.chance, pair);
        self.future.schedule(at, Event::Datagram { to, from, side, bytes });
    }

    /// The peer at this address, if `at` can connect to it.
    fn reachable(&self, at: PeerIndex, addr: SocketAddr) -> Option<PeerIndex> {
        let there = self.places.get(addr)?;
        let host = &self.hosts[there];
        (host.state != State::Dead && host.side == self.hosts[at].side).then_some(there)
    }

    /// What one peer sends to all shares its uplink, one transfer after the other.
    fn time_to_move(&mut self, at: PeerIndex, task: &Move) -> Duration {
        let (len_bytes, other) = match task {
            Move::Keep { manifest, .. } => (manifest.content.len_bytes, None),
            Move::Upload { manifest, to, .. } => (manifest.content.len_bytes, Some(to)),
            Move::Download { content, from, .. } => (content.map_or(0, |content| content.len_bytes), from.first()),
            Move::Deliver { content, .. } => (content.map_or(0, |content| content.len_bytes), None),
            Move::Inspect { at, .. } | Move::List { at } => (0, Some(at)),
        };
        let there = other.and_then(|other| self.places.get(other.addr));
        let on_the_way = self.weather.delay.sample(&mut self.chance, (at, there.unwrap_or(at))) * 4;
        let sender = if matches!(task, Move::Upload { .. }) { Some(at) } else { there };
        let fastest = Duration::from_secs_f64(len_bytes as f64 / self.weather.bytes_per_second);
        let sent = match (self.weather.uplink_bytes_per_second, sender) {
            (Some(uplink), Some(sender)) if len_bytes > 0 => {
                let free_at = self.hosts[sender].uplink_free_at.max(self.now);
                let sent_at = free_at + Duration::from_secs_f64(len_bytes as f64 / uplink);
                self.hosts[sender].uplink_free_at = sent_at;
                sent_at.since(self.now).max(fastest)
            }
            _ => fastest,
        };
        on_the_way + sent
    }

    /// The peer at this contact, if it answers callers.
    fn call(&self, at: PeerIndex, other: Contact) -> Result<PeerIndex, MoveError> {
        let there = self.reachable(at, other.addr).filter(|there| self.hosts[*there].state == State::Running);
        there.ok_or_else(|| MoveError::Unreachable("no connection".to_owned()))
    }

    fn inspect(
        &mut self,
        at: PeerIndex,
        there: Contact,
        name: &FileName,
        verify: bool,
    ) -> Result<Vec<Copy>, MoveError> {
        let there = self.call(at, there)?;
        let (copies, damaged) = self.hosts[there].disk.inspect(name.key(), verify);
        for manifest in damaged {
            self.give(there, Input::Damaged(manifest));
        }
        Ok(copies)
    }

    fn list(&self, at: PeerIndex, there: Contact) -> Result<Vec<Manifest>, MoveError> {
        let there = self.call(at, there)?;
        Ok(self.hosts[there].disk.list())
    }

    fn end_of(&self, left: Option<Duration>) -> Moment {
        left.map_or(Moment::NEVER, |left| self.now + left)
    }

    /// The end of a move: who died on the way did not get it, or did not send it.
    fn move_bytes(&mut self, at: PeerIndex, task: Move) -> Result<(), MoveError> {
        let unreachable = || MoveError::Unreachable("no connection".to_owned());
        match task {
            Move::Keep { manifest, .. } => {
                let expires = self.end_of(manifest.ttl);
                self.hosts[at].disk.put(manifest, expires, true)
            }
            Move::Upload { manifest, left, source, to } => {
                let there = self.reachable(at, to.addr).ok_or_else(unreachable)?;
                if source.is_none() && !self.hosts[at].disk.holds(&manifest) {
                    return Err(MoveError::Local("it is not in the store any more".to_owned()));
                }
                if self.hosts[there].state == State::Paused || self.hosts[there].peer.takes_nothing() {
                    return Err(unreachable());
                }
                let expires = self.end_of(left);
                self.hosts[there].disk.put(manifest.clone(), expires, source.is_some())?;
                if source.is_none() {
                    self.counts.repair_bytes += manifest.content.len_bytes;
                }
                self.give(there, Input::Received { manifest, left });
                Ok(())
            }
            Move::Download { name, content, from, order } => {
                let mut outcome = Err(unreachable());
                for holder in from {
                    outcome = self.call(at, holder).and_then(|there| self.deliver(there, &name, content, order));
                    if outcome.is_ok() {
                        break;
                    }
                }
                outcome
            }
            Move::Inspect { .. } | Move::List { .. } => unreachable!("no bytes are moved by them"),
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
        let disk = &self.hosts[from].disk;
        let best = || disk.best(name.key()).map(|held| held.content);
        let brought = content.or_else(best).ok_or(MoveError::Missing)?;
        if !disk.versions(name.key()).any(|held| held.content == brought) {
            return Err(MoveError::Missing);
        }
        if !disk.serves(name.key(), &brought) {
            return Err(MoveError::Damaged);
        }
        if let Some(record) = self.commands.get_mut(&order) {
            record.brought = Some(brought);
        }
        Ok(())
    }
}
